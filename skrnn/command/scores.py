"""Scores: the errors of a backtest by horizon, beside those of the seasonal naive forecast."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from skrnn.backtesting import quantile_column
from skrnn.data.ragged import series_offsets
from skrnn.metrics import smape


def season_of(train: pd.DataFrame, periods: Sequence[int]) -> int:
    """The period whose seasonal naive forecast has the lowest error on the training rows.

    1, the last value, if there is no period.
    """
    # Every series counts in units of its last-value error.
    unit = _scales(train, 1)
    errors = {p: pd.Series((_scales(train, p) / unit).ravel()).mean() for p in periods}
    errors = {p: error for p, error in errors.items() if not np.isnan(error)}
    return min(errors, key=errors.__getitem__, default=1)


def score_table(
    table: pd.DataFrame,
    y: pd.DataFrame,
    train: pd.DataFrame,
    season: int,
    coverages: Sequence[float] = (),
) -> pd.DataFrame:
    r"""Scores of the forecasts and of the seasonal naive ones, for each target and horizon.

    The mean absolute scaled error of N forecasts, with m the season and s the series of each, is

    .. math::
        \text{MASE} = \frac{1}{N} \sum_{i=1}^{N} \frac{|y_i - f_i|}{q_{s(i)}}, \qquad
        q_s = \text{mean}_t |y_t - y_{t-m}| \text{ on the training rows of } s.

    Parameters
    ----------
    table : pd.DataFrame
        Result of `skrnn.backtest`.
    y, train : pd.DataFrame
        All observations, and those that the forecaster was trained on.
    season : int
        Period m of the seasonal naive forecast, in steps.
    coverages : sequence of float
        Of intervals whose quantiles are in the table; the share of observations inside is added.

    Returns
    -------
    pd.DataFrame
        Index ``target`` and ``horizon``, with "all" for the mean over the horizons. Columns
        ``sMAPE``, ``MAE`` and ``MASE``, with the suffix ``_naive`` of the seasonal naive forecast,
        ``inside_0.9`` for an interval, and ``forecasts``, how many were scored: those whose
        observation and whose observation a season before are not missing. A series whose training
        rows all equal those a season before has no scale q and is left out of MASE.

    References
    ----------
    .. [1] R. J. Hyndman, A. B. Koehler (2006). Another look at measures of forecast accuracy.
       International Journal of Forecasting 22(4), 679-688.
    """
    *_, cutoffs, times = range(table.index.nlevels)
    row = y.index.get_indexer(table.index.droplevel(cutoffs))
    horizon = row - y.index.get_indexer(table.index.droplevel(times))
    offsets = series_offsets(y.index)
    series = np.searchsorted(offsets, row, side="right") - 1
    before = row - -(-horizon // season) * season  # the last such season that the cutoff knows
    exists = before >= offsets[series]
    scales = _scales(train, season)  # (S, C)
    rows = []
    for k, target in enumerate(y.columns):
        of_target = table if table.columns.nlevels == 1 else table.xs(target, axis=1, level=1)
        values = y[target].to_numpy()
        naive = np.where(exists, values[before], np.nan)
        true, forecast = of_target["y_true"].to_numpy(), of_target["y_pred"].to_numpy()
        scored = ~np.isnan(true) & ~np.isnan(naive)
        for label in [*np.unique(horizon), "all"]:
            chosen = scored & ((label == "all") | (horizon == label))
            if not chosen.any():
                continue
            entry = {"target": target, "horizon": label}
            for suffix, values_of in (("", forecast), ("_naive", naive)):
                error = np.abs(true - values_of)[chosen]
                entry[f"sMAPE{suffix}"] = smape(true[chosen], values_of[chosen])
                entry[f"MAE{suffix}"] = error.mean()
                entry[f"MASE{suffix}"] = pd.Series(error / scales[series[chosen], k]).mean()
            for coverage in coverages:
                lower, upper = (of_target[quantile_column(a)].to_numpy() for a in ends_of(coverage))
                entry[f"inside_{coverage:g}"] = np.mean(((lower <= true) & (true <= upper))[chosen])
            rows.append(entry | {"forecasts": int(chosen.sum())})
    if not rows:
        msg = (
            "No forecast can be scored, for its observation, or that a season before, is missing "
            "everywhere. Pass more rows."
        )
        raise ValueError(msg)
    return pd.DataFrame(rows).set_index(["target", "horizon"])


def ends_of(coverage: float) -> tuple[float, float]:
    """Levels of the quantiles at the ends of a central interval."""
    return round((1 - coverage) / 2, 12), round((1 + coverage) / 2, 12)


def _scales(train: pd.DataFrame, season: int) -> np.ndarray:
    """Mean absolute change over a season, (S, C); NaN where it is 0 or no pair is observed."""
    offsets = series_offsets(train.index)
    scales = [
        np.abs(part[season:] - part[:-season])
        for part in np.split(train.to_numpy(dtype=float), offsets[1:-1])
    ]
    means = np.array([pd.DataFrame(change).mean().to_numpy() for change in scales])
    return np.where(means > 0, means, np.nan)
