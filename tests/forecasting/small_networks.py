"""A panel of three short series, networks without a zero weight, and their forecasts.

Several test files of this folder import them.
"""

# `values` is an array of ours here, never that of pandas.
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from skrnn.data.covariates import Covariates
from skrnn.data.panel import Panel
from skrnn.data.scaling import Scaler
from skrnn.distributions import CRITERIA, Point
from skrnn.features.device_panel import DevicePanel
from skrnn.features.features import Features
from skrnn.forecasting.decoding import Decoder, Runs
from skrnn.forecasting.model import Model
from skrnn.forecasting.strategies import MultiOutput, Recursive
from skrnn.naive import NAIVE_FORECASTS, naive_kinds
from skrnn.network.cells import CELLS
from skrnn.network.network import RecurrentNetwork

W = 6  # window_length
LENGTHS, STARTS = [30, 12, 21], [0, 9, 4]
NAIVE = naive_kinds(tuple(NAIVE_FORECASTS))
# Every channel there is: lags, naive forecasts, calendar and X, two columns of y.
FULL = Features((3, 5), (2, 4), NAIVE, ("hour",), 2, Recursive(), n_numbers=1)
AT_ONCE = replace(FULL, strategy=MultiOutput((1, 2, 6)))
POINT = Point(CRITERIA["mae"])


def panel_of(lengths=LENGTHS, starts=STARTS, n_columns=2, seed=0, past=()):
    rng = np.random.default_rng(seed)
    hours = pd.date_range("2024-01-01", periods=100, freq="h")
    pairs = zip(starts, lengths, strict=True)
    parts = [(s, hour) for s, (first, n) in enumerate(pairs) for hour in hours[first : first + n]]
    index = pd.MultiIndex.from_tuples(parts)
    y = pd.DataFrame(rng.normal(size=(len(index), n_columns)), index=index)
    X = pd.DataFrame({"x": rng.normal(size=len(index))}, index=index)
    return Panel.from_pandas(y, X, Covariates.of(X, past))


def unscaled(panel):
    """A scaler of the values and one of X that leave them as they are."""
    group = panel.series_of_rows()
    return Scaler(None).fit(panel.values, group), Scaler(None).fit(panel.known, group * 0)


def data_of(panel, features=FULL):
    return DevicePanel(panel, features, *unscaled(panel), torch.device("cpu"))


def network_of(cell="gru", features=FULL, num_layers=1, dropout=0.0, distribution=POINT):
    """A network none of whose weights is zero, in evaluation mode."""
    torch.manual_seed(0)
    network = RecurrentNetwork(features, distribution, CELLS[cell], 4, num_layers, dropout)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter) / 3)
    return network.eval()


def model_of(network, panel, stride=1, window_length=W):
    """A model that neither scales the values nor X."""
    scaler, known_scaler = unscaled(panel)
    return Model(
        network=network,
        scaler=scaler,
        known_scaler=known_scaler,
        covariates=panel.covariates,
        columns=panel.columns,
        timeline=panel.timeline,
        architecture={},
        window_length=window_length,
        stride=stride,
    )


def decoder_of(network, panel, data, series, cutoff, stride=1, window_length=W):
    series, cutoff = np.atleast_1d(series), np.atleast_1d(cutoff)
    patch_length = network.features.patch_length
    runs = Runs(series, cutoff, panel.origin, window_length, stride, patch_length)
    return Decoder(network, data, series, cutoff, runs)


def forecast_of(network, panel, data, series, cutoff, stride=1, horizon=1, **kwargs):
    """Point forecasts from some cutoffs, (n, H, C)."""
    decoder = decoder_of(network, panel, data, series, cutoff, stride, **kwargs)
    at_once = horizon == 1 or network.features.strategy.name == "multioutput"
    return (decoder.parameters() if at_once else decoder.paths(horizon))[..., 0]


def network_at(network, data, series, start, length, state=None):
    """Forecasts of some steps of one series, (L, J, C, K), and the state after them."""
    series, start = torch.tensor([series]), torch.tensor([start])
    patch = network.features.patch_length
    t = start[:, None] + patch * torch.arange(length)
    steps, targets = data.steps(series, start, length), data.targets(series, t)
    parameters, state = network(steps, targets, state)
    return parameters[0], state


def start_of(panel, series, cutoff, stride):
    """First step of the run to a cutoff, as documented."""
    end = cutoff + panel.origin[series] + 1  # timeline position after the run's last step
    return max(1, end - end % stride - W - panel.origin[series])


def put(data, panel, series, row, values):
    """Let a row of a series have these values, and the means up to it."""
    first, place = panel.offsets[series], panel.offsets[series] + row
    data.values[place] = torch.as_tensor(values)
    for k, period in enumerate(data.features.mean_periods):
        data.means[place, k] = data.values[max(first, place - period + 1) : place + 1].mean(0)


@torch.no_grad()
def forecast_by_hand(network, panel, data, series, cutoff, stride, horizon):
    """One step ahead, again and again, each time from the start and over the forecasts so far."""
    start, row = start_of(panel, series, cutoff, stride), panel.offsets[series] + cutoff
    kept, forecasts = (data.values.clone(), data.means.clone()), []
    data.values[row:], data.means[row:] = torch.nan, torch.nan
    for h in range(horizon):
        step = network_at(network, data, series, start, cutoff + h + 1 - start)[0][-1, 0, :, 0]
        put(data, panel, series, cutoff + h, step)
        forecasts.append(step.numpy())
    data.values, data.means = kept
    return np.array(forecasts)


def with_values(panel, change):
    """The panel with a changed copy of its values."""
    values = panel.values.copy()
    change(values)
    return replace(panel, values=values)
