"""What several test files build: features, panels, networks, and what these read of a series."""

# `values` is an array of ours here, never that of pandas.

import numpy as np
import pandas as pd
import torch

from skrnn.data.covariates import Covariates
from skrnn.data.panel import Panel
from skrnn.data.scaling import Scaler
from skrnn.distributions import Distribution, distribution_of
from skrnn.features.device_panel import DevicePanel
from skrnn.features.features import Features
from skrnn.forecasting.strategies import MultiOutput, Recursive
from skrnn.naive import NAIVE_FORECASTS, naive_kinds
from skrnn.network.cells import CELLS
from skrnn.network.network import RecurrentNetwork

CPU = torch.device("cpu")
NAIVE = tuple(NAIVE_FORECASTS)
OF_VALUES = ("last", "seasonal", "shifted")  # which read neither means nor older seasons


def strategy_of(horizons):
    """All of these horizons at once; None for one step after the other."""
    return Recursive() if horizons is None else MultiOutput(tuple(horizons))


def features_of(
    sp=(), lags=(), naive=(), calendar=(), n_columns=1, n_numbers=0, horizons=None, **kwargs
):
    """Features with naive forecasts by name (or class) and a strategy by its horizons."""
    return Features(
        sp,
        lags,
        naive_kinds(naive),
        calendar,
        n_columns,
        strategy_of(horizons),
        n_numbers=n_numbers,
        **kwargs,
    )


def dates(freq, periods, **kwargs):
    return pd.date_range("2020-01-01", periods=periods, freq=freq, **kwargs)


def panel_of(index, values=None, X=None):
    """A panel with this index, of random values where none are given."""
    if values is None:
        values = np.random.default_rng(0).normal(size=len(index))
    y = pd.DataFrame(values, index=index)
    return Panel.from_pandas(y, X, Covariates.of(X, ()))


def device_panel_of(panel, features):
    """The panel on the CPU, not scaled, its missing values filled."""
    group = panel.series_of_rows()
    numbers = panel.known[:, panel.covariates.numbers]
    scalers = (Scaler(None).fit(v, group) for v in (panel.values, numbers))
    return DevicePanel(panel.filled(()), features, *scalers, CPU)


def read(features, values, start=1, X=None, index=None):
    """What is known of each step from ``start`` to the end of one series, and the target values.

    The series is not scaled; a batch of one. Targets beyond the end repeat the last value.
    """
    index = pd.RangeIndex(len(values)) if index is None else index
    panel = panel_of(index, values, None if X is None else pd.DataFrame(X, index=index))
    data = device_panel_of(panel, features)
    series, t = torch.zeros(1, dtype=torch.long), torch.arange(start, len(values))[None]
    steps = data.steps(series, t[:, 0], len(values) - start)
    return steps, data.targets(series, t), data.target_values(series, t)[0]


def network_of(features, cell="gru", distribution="mae", hidden_size=3, num_layers=1, dropout=0.0):
    """A network in evaluation mode, its weights drawn from a fixed seed."""
    torch.manual_seed(0)
    if not isinstance(distribution, Distribution):
        distribution = distribution_of(distribution, (0.1, 0.5, 0.9))
    cell = CELLS[cell] if isinstance(cell, str) else cell
    return RecurrentNetwork(features, distribution, cell, hidden_size, num_layers, dropout).eval()


@torch.no_grad()
def forecast_of(network, values, **kwargs):
    """Parameters of the forecasts of one series' steps, (L, J, C, K)."""
    steps, targets, _ = read(network.features, values, **kwargs)
    return network(steps, targets)[0][0]


@torch.no_grad()
def randomised(network):
    """The same network with no weight left at zero."""
    for parameter in network.parameters():
        parameter.copy_(torch.randn_like(parameter) / 2)
    return network


def naive_by_hand(s, name, p, t, h):
    """Naive forecast of s[t - 1 + h] that knows s up to t - 1, None where it does not exist."""
    k = 1
    while t - 1 + h - k * p > t - 1:
        k += 1
    rows = [t - 1] if name in ("last", "mean", "drift") else [t - 1 + h - k * p]
    rows += [t - 1 - k * p] if name == "shifted" else []
    rows += [t - k * p - p] if name in ("leveled", "drift") else []
    if min(rows) < 0:
        return None
    if name == "last":
        return s[t - 1]
    if name == "mean":
        return np.mean(s[max(0, t - p) : t])
    if name == "averaged":
        return np.mean(
            [s[row] for row in range(t - 1 + h - k * p, -1, -p)][: min(14, max(3, 2 * k))]
        )
    season = s[t - 1 + h - k * p]
    if name == "seasonal":
        return season
    if name == "shifted":
        return season + s[t - 1] - s[t - 1 - k * p]
    rise = np.mean(s[t - p : t]) - np.mean(s[t - k * p - p : t - k * p])
    return season + rise if name == "leveled" else s[t - 1] + h * rise / (k * p)
