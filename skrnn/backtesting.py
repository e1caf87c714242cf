"""Backtesting: forecasts of one fitted forecaster from many cutoffs in batched passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from sktime.forecasting.base import ForecastingHorizon

from skrnn.contract.forecaster import BaseRecurrentForecaster
from skrnn.contract.intervals import check_levels
from skrnn.data.panel import Panel
from skrnn.data.ragged import numbered
from skrnn.distributions import Predictive
from skrnn.features.device_panel import DevicePanel
from skrnn.forecasting.fitted import Fitted
from skrnn.forecasting.local import LocalFitted

__all__ = ["backtest"]


def backtest(
    forecaster: BaseRecurrentForecaster,
    y: pd.Series | pd.DataFrame,
    X: pd.DataFrame | None = None,
    *,
    fh: int | Sequence[Any] | ForecastingHorizon = 1,
    start: float | int | Any = 0.9,
    step_length: int = 1,
    cutoffs: pd.Index | None = None,
    alpha: float | Sequence[float] | None = None,
) -> pd.DataFrame:
    """Forecast from every cutoff of a series with a fitted forecaster, without refitting.

    The values are those of the loop that, for each cutoff, calls
    ``forecaster.update(y up to the cutoff, update_params=False)`` and ``forecaster.predict(fh)``.
    A cutoff within the forecaster's own data is forecast as if these ended there. The forecaster
    itself does not change.

    Parameters
    ----------
    forecaster : GRUForecaster, LSTMForecaster or RNNForecaster
        Fitted, on the series of ``y``.
    y : pd.Series, pd.DataFrame, or panel of shape (N, C)
        The observations, of training and test range or of the test range alone; it must go on
        where the forecaster's data ends, or overlap it.
    X : pd.DataFrame, optional
        Covariates at every row of ``y``, if the forecaster was fitted with X.
    fh : int, list of int or of durations, or relative ForecastingHorizon, default=1
        Steps ahead, at least 1; as in sktime, an int is that many steps, 3 as [1, 2, 3].
    start : float, int or time stamp, default=0.9
        The first cutoff, which is the last observation that the first forecast knows: a fraction
        of each series, a position in it (negative: from its end), or the first stamp that is not
        earlier.
    step_length : int, default=1
        Observations from one cutoff to the next.
    cutoffs : pd.Index, optional
        The cutoffs themselves, entries of the index of ``y`` in any order, in place of ``start``
        and ``step_length``.
    alpha : float or list of float, optional
        Levels, in (0, 1), of quantiles to forecast as well; the forecaster must be able to
        `predict_quantiles`.

    Returns
    -------
    pd.DataFrame
        A row for each series, cutoff and step, for the cutoffs from which the observations at
        all steps are in ``y``: index (instance levels, cutoff, time), columns ``y_true`` and
        ``y_pred``, and ``y_pred_0.05`` for a quantile; with several columns in ``y``, a second
        column level names them.

    Raises
    ------
    NotFittedError
        If the forecaster is not fitted.
    ValueError
        If a parameter is out of its range, or no cutoff is left in some series.

    Examples
    --------
    >>> from skrnn import GRUForecaster, backtest, smape
    >>> from skrnn.datasets import make_hourly_load
    >>> y = make_hourly_load(n_series=2, n_hours=600, random_state=0)
    >>> train = y.groupby(level=0).head(500)
    >>> forecaster = GRUForecaster(hidden_size=8, num_epochs=5, random_state=0).fit(train)
    >>> table = backtest(forecaster, y, start=499)
    >>> table.index.names, len(table)
    (FrozenList(['region', 'cutoff', 'time']), 200)
    >>> smape(table["y_true"], table["y_pred"]) < 20
    True
    """
    check_forecaster("backtest", forecaster)
    check_tables("backtest", y, X)
    forecaster.check_is_fitted()
    fitted, levels = forecaster.fitted_, _levels(forecaster, alpha)

    def table(fitted: Fitted, y: Any, X: Any, cutoffs: Any) -> pd.DataFrame:
        cut = Cutoffs.of(fitted, y, X, fh, start, step_length, cutoffs)
        return _table(fitted, cut, levels, forecaster.n_samples)

    if isinstance(fitted, LocalFitted):
        return _table_of_each(fitted, table, y, X, cutoffs)
    return table(fitted, y, X, cutoffs)


def _table(fitted: Fitted, cut: Cutoffs, levels: np.ndarray, n_samples: int) -> pd.DataFrame:
    """The observations and the forecasts from all cutoffs."""
    data = fitted.model.on_device(cut.panel)
    distribution, parameters = cut.forecasts(fitted, cut.panel, data)
    forecasts = {"y_pred": distribution.point(parameters)}  # (n, J, C)
    if len(levels):
        distribution, parameters = fitted.predictive_from(
            cut.panel, cut.match, cut.row, cut.steps, n_samples, data
        )
        quantiles = np.moveaxis(distribution.quantiles(parameters, levels), -1, 0)
        names = [quantile_column(level) for level in levels]
        forecasts |= dict(zip(names, quantiles, strict=True))
    return cut.table(forecasts, fitted.model.columns)


def _table_of_each(
    local: LocalFitted, table: Callable, y: pd.DataFrame, X: Any, cutoffs: Any
) -> pd.DataFrame:
    """The tables of all series, each from its own model, in the order of y or of the cutoffs."""
    number = local.numbers(y)  # of the series of each row
    found = None
    if pd.api.types.is_list_like(cutoffs):
        cutoffs = pd.Index(cutoffs)
        found = y.index.get_indexer(cutoffs)
    tables: list[pd.DataFrame] = []
    places: list[np.ndarray] = []
    for i in pd.unique(number):
        own, place = cutoffs, np.zeros(0, dtype=np.int64)
        if found is not None:
            # An entry that is not in y is refused by the first series.
            is_own = np.where(found < 0, not tables, number[found] == i)
            place = np.flatnonzero(is_own)
            if not len(place):
                continue
            own = cutoffs[place]
        rows = number == i
        of_x = X if X is None else X.iloc[local.numbers(X) == i]
        tables.append(table(local.parts[i], y[rows], of_x, own))
        places.append(place)
    if not tables:  # no cutoff at all is refused
        tables = [table(local.parts[0], y[number == number[0]], X, cutoffs)]
    result = pd.concat(tables)
    if found is None:
        return result
    n_steps = len(result) // len(found)
    order = np.argsort(np.concatenate(places), kind="stable")
    return result.iloc[(order[:, None] * n_steps + np.arange(n_steps)).ravel()]


@dataclass(frozen=True)
class Cutoffs:
    """The cutoffs of a backtest, in the data to compare with and in all that is known.

    Parameters
    ----------
    new : Panel
        The observations to compare with.
    series, cutoff : np.ndarray of shape (n,)
        Series and row of each cutoff in ``new``.
    steps : np.ndarray of shape (J,)
        Steps ahead.
    panel : Panel
        The forecaster's own data, and ``new``.
    match, row : np.ndarray of shape (n,)
        Series of each cutoff in ``panel``, and the first row that is forecast.
    """

    new: Panel
    series: np.ndarray
    cutoff: np.ndarray
    steps: np.ndarray
    panel: Panel
    match: np.ndarray
    row: np.ndarray

    @classmethod
    def of(
        cls,
        fitted: Fitted,
        y: pd.Series | pd.DataFrame,
        X: pd.DataFrame | None,
        fh: Any,
        start: Any,
        step_length: int,
        cutoffs: pd.Index | None,
    ) -> Cutoffs:
        """The cutoffs that the parameters of `backtest` ask for."""
        steps = _steps(fh, fitted.panel, len(y))
        if (
            not isinstance(step_length, Integral)
            or isinstance(step_length, bool)
            or step_length < 1
        ):
            msg = f"The 'step_length' parameter must be an int of at least 1. Got {step_length!r}."
            raise ValueError(msg)
        y, X = (part.to_frame() if isinstance(part, pd.Series) else part for part in (y, X))
        fitted.panel.covariates.check(X)
        new = Panel.from_pandas(y, X, fitted.panel.covariates, fitted.panel.timeline)
        if cutoffs is None:
            series, cutoff = _cutoffs(new, start, int(steps.max()), int(step_length))
        else:
            series, cutoff = _listed(new, y.index, cutoffs, int(steps.max()))
        # Rows of the forecaster's own data before y are history, as in an update.
        panel = fitted.panel.updated(new).filled(fitted.model.features.seasons)
        match = fitted.panel.match(new)[series]
        row = cutoff + new.origin[series] - panel.origin[match] + 1  # the first that is forecast
        return cls(new, series, cutoff, steps, panel, match, row)

    def forecasts(
        self, fitted: Fitted, panel: Panel, data: DevicePanel
    ) -> tuple[Predictive, np.ndarray]:
        """Distribution of the forecasts and its parameters (n, J, C, K)."""
        return fitted.forecast_from(panel, self.match, self.row, self.steps, data=data)

    def table(self, forecasts: dict[str, np.ndarray], columns: pd.Index) -> pd.DataFrame:
        """The observations and the forecasts (n, J, C), with a row for each cutoff and step."""
        panel, series, cutoff, steps = self.new, self.series, self.cutoff, self.steps
        rows = panel.offsets[series][:, None] + cutoff[:, None] + steps  # (n, J)
        n = len(steps)
        position = np.repeat(panel.origin[series] + cutoff, n)
        index = panel.index(np.repeat(series, n), position, position + np.tile(steps, len(cutoff)))
        index = index.set_names(["cutoff", "time"], level=[-2, -1])
        true = pd.DataFrame(
            panel.values[rows.ravel(), : len(columns)], index=index, columns=columns
        )
        parts = {"y_true": true} | {
            name: pd.DataFrame(values.reshape(len(index), -1), index=index, columns=columns)
            for name, values in forecasts.items()
        }
        if len(columns) == 1:
            return pd.DataFrame({name: part.iloc[:, 0] for name, part in parts.items()})
        return pd.concat(parts, axis=1)


def check_forecaster(caller: str, forecaster: Any) -> None:
    """Raise TypeError unless it is a forecaster of skrnn."""
    if not isinstance(forecaster, BaseRecurrentForecaster):
        msg = (
            f"The 'forecaster' parameter of {caller} must be a forecaster of skrnn, but got "
            f"{type(forecaster).__name__}. For others, use evaluate of sktime."
        )
        raise TypeError(msg)


def check_tables(caller: str, y: Any, X: Any) -> None:
    """Raise TypeError unless y is pandas, and X is pandas or None."""
    pandas = pd.Series, pd.DataFrame
    for name, value, kind, expected in (
        ("y", y, pandas, "pandas"),
        ("X", X, (*pandas, type(None)), "pandas or None"),
    ):
        if not isinstance(value, kind):
            msg = (
                f"The {name!r} parameter of {caller} must be {expected}, but got "
                f"{type(value).__name__}. Convert it."
            )
            raise TypeError(msg)


def _steps(fh: Any, panel: Panel, n_rows: int) -> np.ndarray:
    """Steps ahead, ascending, each at least 1."""
    given = fh
    if isinstance(fh, ForecastingHorizon):
        if not fh.is_relative:
            msg = (
                "The 'fh' parameter of backtest must be relative, for every cutoff has times of "
                "its own, but got an absolute horizon. Pass steps ahead, such as [1, 24]."
            )
            raise ValueError(msg)
        fh = fh.to_pandas()
    elif isinstance(fh, Integral) and not isinstance(fh, bool):
        # As in sktime, 3 is the next three steps. More steps than rows of y are refused later; a
        # list of them all could fill the memory.
        fh = range(1, int(fh) + 1) if fh <= n_rows else [int(fh)]
    try:
        steps = np.atleast_1d(np.asarray(fh))
    except ValueError:  # a list of lists of different lengths
        steps = np.array([])
    if pd.api.types.infer_dtype(steps).startswith("timedelta"):
        steps = panel.timeline.steps(pd.TimedeltaIndex(steps))
    if not np.issubdtype(steps.dtype, np.integer) or not len(steps) or steps.min() < 1:
        msg = (
            f"The 'fh' parameter of backtest must be steps ahead of at least 1, as ints or "
            f"durations. Got {given!r} instead."
        )
        raise ValueError(msg)
    return np.unique(steps)


def _levels(forecaster: BaseRecurrentForecaster, alpha: Any) -> np.ndarray:
    """Levels of quantiles, each in (0, 1)."""
    if alpha is None:
        return np.array([])
    levels = check_levels("alpha", alpha)
    if len(levels) and not forecaster.get_tag("capability:pred_int"):
        msg = (
            f"The 'alpha' parameter needs a forecaster of distributions, but criterion="
            f"{forecaster.criterion!r} makes points, and no rows are held out. Leave "
            f"num_epochs='auto', set validation_split, or set criterion='quantile', 'normal' or "
            f"'studentt'."
        )
        raise ValueError(msg)
    return levels


def _cutoffs(
    panel: Panel, start: Any, horizon: int, step_length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Series and row of each cutoff from which ``horizon`` observations follow."""
    lengths = panel.lengths
    if isinstance(start, Integral):
        position = int(start)
        first = lengths + position if position < 0 else np.full_like(lengths, position)
    elif isinstance(start, Real):
        start = float(start)
        if not 0 <= start < 1:
            msg = (
                f"The 'start' parameter must be a fraction in [0, 1), an integer position or a "
                f"time stamp. Got {start!r} instead."
            )
            raise ValueError(msg)
        first = (start * lengths).astype(np.int64)
    else:
        first = _first_not_before(panel, start)
    stop = lengths - horizon
    short = np.flatnonzero((first < 0) | (first >= stop))
    if len(short):
        s = short[0]
        msg = (
            f"Every series must hold a cutoff and {horizon} observations after it, but series "
            f"{panel.label(s)} has {lengths[s]} rows and start={start!r} is row {first[s]} of it. "
            f"Start earlier, shorten fh, or leave the series out."
        )
        raise ValueError(msg)
    count = -(-(stop - first) // step_length)
    series, k = numbered(count)
    return series, first[series] + k * step_length


def _listed(
    panel: Panel, index: pd.Index, cutoffs: pd.Index, horizon: int
) -> tuple[np.ndarray, np.ndarray]:
    """Series and row of each cutoff, given as entries of the index of ``y``."""
    if not pd.api.types.is_list_like(cutoffs):
        msg = (
            f"The 'cutoffs' parameter must be a list of entries of the index of y. Got {cutoffs!r} "
            f"instead. Pass [{cutoffs!r}]."
        )
        raise TypeError(msg)
    found = index.get_indexer(cutoffs)
    series = np.searchsorted(panel.offsets, found, side="right") - 1
    wrong = np.flatnonzero((found < 0) | (found + horizon >= panel.offsets[series + 1]))
    if len(wrong) or not len(found):
        reason = f"{list(cutoffs)[wrong[0]]} is not" if len(wrong) else "the list is empty"
        msg = (
            f"The 'cutoffs' parameter must be entries of the index of y with {horizon} "
            f"observations after each, but {reason}. Select them from y.index, or shorten fh."
        )
        raise ValueError(msg)
    return series, found - panel.offsets[series]


def _first_not_before(panel: Panel, stamp: Any) -> np.ndarray:
    """Row of each series whose stamp is the first that is not earlier than ``stamp``."""
    first, stop = int(panel.origin.min()), int(panel.end.max())
    stamps = panel.timeline.stamps(np.arange(first, stop))
    try:
        if stamp is None:
            raise TypeError("None is no time stamp")
        if isinstance(stamps, pd.PeriodIndex):
            stamp = pd.Period(stamp, freq=stamps.freq)
        elif isinstance(stamps, pd.DatetimeIndex):
            stamp = pd.Timestamp(stamp)
        position = first + int(stamps.searchsorted(stamp, side="left"))
    except (TypeError, ValueError) as error:
        msg = (
            f"The 'start' parameter must be a fraction in [0, 1), an integer position or a time "
            f"stamp of the index, such as {stamps[0]}. Got {stamp!r} instead."
        )
        raise TypeError(msg) from error
    return np.maximum(position - panel.origin, 0)


def quantile_column(level: float) -> str:
    """Name of a quantile in the table of a backtest."""
    return f"y_pred_{float(level)!r}"
