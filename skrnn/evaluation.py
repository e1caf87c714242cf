"""Evaluation: sktime's table of scores over the splits of a series, from one backtest."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sktime.datatypes import convert_to
from sktime.forecasting.base import ForecastingHorizon
from sktime.forecasting.model_evaluation import evaluate as sktime_evaluate
from sktime.performance_metrics.forecasting import (
    MeanAbsoluteScaledError,
    MeanSquaredScaledError,
    MedianAbsoluteScaledError,
    MedianSquaredScaledError,
)
from sktime.performance_metrics.forecasting._base import BaseForecastingErrorMetric
from sktime.split import SameLocSplitter
from sktime.split.base import BaseSplitter
from sktime.utils.validation.forecasting import check_cv, check_scoring

from skrnn.backtesting import backtest
from skrnn.contract.forecaster import BaseRecurrentForecaster
from skrnn.data.covariates import Covariates
from skrnn.data.panel import Panel

PANDAS = ["pd.Series", "pd.DataFrame", "pd-multiindex", "pd_multiindex_hier"]
# Metrics that read y_train only as the mean or median of |y[t] - y[t - sp]| to some power.
SCALED: dict[type, tuple[int, Callable]] = {
    MeanAbsoluteScaledError: (1, np.mean),
    MeanSquaredScaledError: (2, np.mean),
    MedianAbsoluteScaledError: (1, np.median),
    MedianSquaredScaledError: (2, np.median),
}


def evaluate(
    forecaster: Any,
    cv: BaseSplitter,
    y: Any,
    X: Any = None,
    strategy: str = "no-update_params",
    scoring: Any = None,
    return_data: bool = False,
    error_score: str | float = np.nan,
    backend: str | None = None,
    cv_X: BaseSplitter | None = None,
    backend_params: dict | None = None,
    return_model: bool = False,
    cv_global: Any = None,
    cv_global_temporal: Any = None,
) -> pd.DataFrame:
    """Score a forecaster on every split of a series: sktime's `evaluate`, in one backtest.

    The forecaster is fitted once, on the first training window. From then on each split only
    moves its cutoff, and all forecasts come from one call of `backtest`: the table is sktime's,
    many times faster. Whatever else is asked for, sktime's `evaluate` does.

    Parameters
    ----------
    forecaster : GRUForecaster, LSTMForecaster or RNNForecaster
        Cloned, so that it does not change. Another forecaster, such as a pipeline, goes to
        sktime's `evaluate`.
    cv : sktime splitter
        Training and test windows. Where they leave gaps, or jump between series, sktime's
        `evaluate` walks through them.
    y : pd.Series, pd.DataFrame, or panel
        Observations of all windows, or what sktime takes in their place.
    X : pd.DataFrame, optional
        Covariates at every row of ``y``.
    strategy : {"no-update_params", "update", "refit"}, default="no-update_params"
        What happens between splits. The two that train go to sktime's `evaluate`, whose own
        default is ``"refit"``.
    scoring : sktime metric, callable, or list of them, optional
        By default the mean absolute percentage error, as in sktime.
    return_data : bool, default=False
        Whether to add the columns ``y_train``, ``y_test`` and ``y_pred``.
    error_score : "raise" or float, default=np.nan
        What becomes of an error: raised, or a score and sktime's warning.
    backend, cv_X, backend_params, return_model, cv_global, cv_global_temporal
        As in sktime, whose `evaluate` runs if ``cv_X``, ``return_model`` or ``cv_global`` is set.

    Returns
    -------
    pd.DataFrame
        A row for each split, with the columns of sktime's `evaluate`. Two of them are times:
        ``fit_time`` is that of the fit in the first row and 0 below; ``pred_time`` is each
        split's share of the backtest.

    Raises
    ------
    NotImplementedError
        If a metric scores intervals, quantiles or distributions, which the forecaster does not
        make.

    See Also
    --------
    backtest : The forecasts themselves, of a forecaster that is fitted already.

    Notes
    -----
    Where ``fh`` has gaps, such as ``[1, 24]``, sktime hands over X at these steps alone, which is
    too little for a recursive forecast, and scores NaN; here X is read at all steps up to the
    last.

    Most metrics are computed once, on a table with a column for each split, and the last split
    is checked against the metric itself. Functions, metrics that compare columns, and those that
    need more of the training window than its naive error are called split by split, which takes
    longer.

    Examples
    --------
    >>> from sktime.split import ExpandingWindowSplitter
    >>> from skrnn import SMAPE, GRUForecaster, evaluate
    >>> from skrnn.datasets import make_hourly_load
    >>> y = make_hourly_load(n_series=1, n_hours=600, random_state=0)
    >>> cv = ExpandingWindowSplitter(initial_window=500, fh=[1, 24])
    >>> forecaster = GRUForecaster(hidden_size=8, num_epochs=5, random_state=0)
    >>> table = evaluate(forecaster, cv, y, scoring=SMAPE())
    >>> list(table.columns)
    ['test_SMAPE', 'fit_time', 'pred_time', 'len_train_window', 'cutoff']
    >>> len(table), bool(table["test_SMAPE"].mean() < 20)
    (77, True)
    """
    asked = {
        "forecaster": forecaster,
        "cv": cv,
        "y": y,
        "X": X,
        "strategy": strategy,
        "scoring": scoring,
        "return_data": return_data,
        "error_score": error_score,
        "backend": backend,
        "cv_X": cv_X,
        "backend_params": backend_params,
        "return_model": return_model,
        "cv_global": cv_global,
        "cv_global_temporal": cv_global_temporal,
    }
    ours = isinstance(forecaster, BaseRecurrentForecaster) and strategy == "no-update_params"
    if not ours or return_model or cv_X is not None or cv_global is not None:
        return sktime_evaluate(**asked)
    metrics = [check_scoring(m) for m in (scoring if isinstance(scoring, list) else [scoring])]
    if any(_predicts(metric) != "pred" for metric in metrics):
        _check_probabilistic(forecaster, metrics)
        return sktime_evaluate(**asked)
    y = convert_to(y, PANDAS)
    X = X if X is None else convert_to(X, PANDAS)
    try:
        splits = _Splits.of(check_cv(cv, enforce_start_with_window=True), y)
    except (TypeError, ValueError):  # what is wrong with windows or y is for sktime to say
        splits = None
    if splits is None:
        return sktime_evaluate(**asked)
    try:
        return _evaluate(asked | {"y": y, "X": X}, splits, metrics)
    except Exception:
        if error_score == "raise":
            raise
        return sktime_evaluate(**asked)  # scores the splits before the error, and warns


def _evaluate(asked: dict[str, Any], splits: _Splits, metrics: list) -> pd.DataFrame:
    """The first split by sktime's `evaluate`, which fits; all of them by a backtest."""
    y, X, n = asked["y"], asked["X"], len(splits.last)
    train, test = splits.train(0), splits.test(0)
    known = _rows(splits.first[0], splits.last[0] + splits.steps[-1])  # sktime's skips gaps of fh
    here = {
        "cv": _GivenSplit(train, test, splits.fh),
        "cv_X": None if X is None else SameLocSplitter(_GivenSplit(train, known, splits.fh), y),
        "error_score": "raise",
        "return_model": True,
    }
    first = sktime_evaluate(**asked | here)
    model = first.pop("fitted_forecaster").iloc[0]

    begin = time.perf_counter()
    start, stop = splits.first[0], splits.last.max(axis=0)
    past, rows = _rows(start, stop), _rows(start, stop + splits.steps[-1])
    table = backtest(
        model,
        y.iloc[past].reindex(y.index[rows], fill_value=0),  # the rest, not read, may be missing
        X.to_frame() if isinstance(X, pd.Series) else X,
        fh=splits.steps,
        cutoffs=y.index[splits.last.ravel()],
    )
    seconds = time.perf_counter() - begin
    shape = (*splits.last.shape, len(splits.steps), -1)
    forecasts = _Forecasts(y, splits, table["y_pred"].to_numpy().reshape(shape))
    columns: dict[str, Any] = {f"test_{m.name}": _scores(m, forecasts) for m in metrics}
    columns["fit_time"] = np.r_[first["fit_time"].iloc[0], np.zeros(n - 1)]
    columns["pred_time"] = np.full(n, seconds / n)
    columns["len_train_window"] = splits.lengths()
    columns["cutoff"] = splits.cutoffs(y.index)
    if asked["return_data"]:
        for name in ("y_train", "y_test", "y_pred"):
            columns[name] = _objects([getattr(forecasts, name)(k) for k in range(n)])
    result = pd.DataFrame({name: columns[name] for name in first.columns})
    return result.astype({"cutoff": first["cutoff"].dtype})


@dataclass(frozen=True)
class _Splits:
    """Training windows and tested rows of n splits of S series, as rows of y.

    Parameters
    ----------
    first, last : np.ndarray of shape (n, S)
        First and last row of each training window.
    steps : np.ndarray of shape (J,)
        Steps from the last training row to the rows tested.
    shift : np.ndarray of shape (S,)
        Timeline position of each row of a series, less the row.
    fh : Any
        Horizon as the splitter has it; None if it has none.
    """

    first: np.ndarray
    last: np.ndarray
    steps: np.ndarray
    shift: np.ndarray
    fh: Any

    @classmethod
    def of(cls, cv: BaseSplitter, y: pd.Series | pd.DataFrame) -> _Splits | None:
        """Read the splits; None if the walk through them is not a backtest."""
        # Without the values, which may be missing outside of all windows.
        zeros = pd.DataFrame({"y": np.zeros(len(y))}, index=y.index)
        panel = Panel.from_pandas(zeros, None, Covariates.of(None, ()))
        if panel.keys is not None and (
            cv.get_tag("split_hierarchical") or not panel.keys.is_monotonic_increasing
        ):
            return None  # the splitter does not go through the series one by one, in this order
        fh = cv.fh  # read before the splits, as sktime does
        windows: list = []
        before = None
        for begin, end in zip(panel.offsets[:-1], panel.offsets[1:], strict=True):
            stamps = y.index.get_level_values(-1)[begin:end]
            if before is None or not stamps.equals(before):
                found = _windows(cv, stamps if panel.keys is None else pd.Index(stamps.values))
            if found is None:
                return None
            windows.append((found[0] + begin, found[1]))
            before = stamps
        n = min(len(rows) for rows, _ in windows)  # as sktime's zip over series
        steps = windows[0][1]
        first, last = np.stack([rows[:n] for rows, _ in windows], axis=-1).swapaxes(0, 1)
        splits = cls(first, last, steps, panel.origin - panel.offsets[:-1], fh)
        right = (
            all(np.array_equal(own, steps) for _, own in windows)
            and (steps > 0).all()
            and (last + steps[-1] < panel.offsets[1:]).all()
            # Each window goes on where history ends, so that an update finds no gap.
            and (first >= first[0]).all()
            and (first[1:] <= last[:-1] + 1).all()
            and splits._fits_horizon()
        )
        return splits if right else None

    def _fits_horizon(self) -> bool:
        """Whether the forecaster's horizon is the steps tested."""
        if self.fh is None:  # the time stamps tested, the same for all series
            position = self.last + self.shift
            return bool((position == position[:, :1]).all())
        fh = ForecastingHorizon(self.fh)
        steps = fh.to_pandas()
        whole = pd.api.types.is_integer_dtype(steps) and fh.is_relative
        return isinstance(steps, pd.TimedeltaIndex) or (whole and np.array_equal(steps, self.steps))

    def train(self, k: int) -> np.ndarray:
        """Rows of the k-th training window."""
        return _rows(self.first[k], self.last[k])

    def test(self, k: int) -> np.ndarray:
        """Rows tested in the k-th split."""
        return (self.last[k][:, None] + self.steps).ravel()

    def lengths(self) -> np.ndarray:
        """Time stamps in each training window: of the union, where series differ, shape (n,)."""
        begin, end = self.first + self.shift, self.last + self.shift
        order = np.argsort(begin, axis=1, kind="stable")
        begin, end = (np.take_along_axis(part, order, axis=1) for part in (begin, end))
        covered = np.maximum.accumulate(end, axis=1)
        begin[:, 1:] = np.maximum(begin[:, 1:], covered[:, :-1] + 1)
        return np.maximum(end - begin + 1, 0).sum(axis=1)

    def cutoffs(self, index: pd.Index) -> pd.Index:
        """Time stamp at which each training window ends, in the series that ends last."""
        latest = np.argmax(self.last + self.shift, axis=1)[:, None]
        return index.get_level_values(-1).take(np.take_along_axis(self.last, latest, axis=1)[:, 0])


def _windows(cv: BaseSplitter, stamps: pd.Index) -> tuple[np.ndarray, np.ndarray] | None:
    """First and last training row of each split (n, 2) of a series, and the steps tested."""
    windows, steps = [], None
    for train, test in cv.split(stamps):
        if not len(train) or not len(test) or (np.diff(train) != 1).any():
            return None
        ahead = test - train[-1]
        steps = ahead if steps is None else steps
        if not np.array_equal(ahead, steps):
            return None
        windows.append((train[0], train[-1]))
    return None if steps is None else (np.array(windows), steps)


class _GivenSplit(BaseSplitter):
    """One split, its rows given."""

    def __init__(self, train: np.ndarray, test: np.ndarray, fh: Any):
        self.train = train
        self.test = test
        super().__init__()  # sktime 1.0's sets fh=1
        self.fh = fh

    def split(self, y: Any) -> Any:
        yield self.train, self.test


@dataclass(frozen=True)
class _Forecasts:
    """Forecasts ``pred`` of shape (n, S, J, C) of the rows tested, and the data of each split."""

    y: pd.Series | pd.DataFrame
    splits: _Splits
    pred: np.ndarray

    def true(self) -> np.ndarray:
        """Observations of the rows tested, (n, S, J, C)."""
        rows = self.splits.last[..., None] + self.splits.steps
        return self.y.to_numpy(dtype=np.float64)[rows].reshape(self.pred.shape)

    def y_train(self, k: int) -> pd.Series | pd.DataFrame:
        return self.y.iloc[self.splits.train(k)]

    def y_test(self, k: int) -> pd.Series | pd.DataFrame:
        return self.y.iloc[self.splits.test(k)]

    def y_pred(self, k: int) -> pd.Series | pd.DataFrame:
        index = self.y.index[self.splits.test(k)]
        if isinstance(self.y, pd.Series):
            return pd.Series(self.pred[k].ravel(), index=index, name=self.y.name)
        return pd.DataFrame(
            self.pred[k].reshape(len(index), -1), index=index, columns=self.y.columns
        )


def _scores(metric: Callable, forecasts: _Forecasts) -> np.ndarray:
    """Score of each split, (n,): all at once if that is the metric's own score of the last."""

    def one(k: int) -> Any:
        truth, forecast = forecasts.y_test(k), forecasts.y_pred(k)
        return metric(truth, forecast, y_train=forecasts.y_train(k))

    scores, n = _scores_at_once(metric, forecasts), len(forecasts.pred)
    if scores is not None and np.isclose(scores[-1], one(n - 1), rtol=1e-9, atol=0, equal_nan=True):
        return scores
    each = [one(k) for k in range(n)]
    return np.array(each) if np.ndim(each[0]) == 0 else _objects(each)


def _scores_at_once(metric: Any, forecasts: _Forecasts) -> np.ndarray | None:
    """Scores of a metric that takes columns one by one, with a column for each split.

    A metric with ``multioutput="raw_values"`` scores each column of a table by itself. None if
    the metric does not, or if it needs the training windows themselves.
    """
    weights = getattr(metric, "multioutput", None)
    level = getattr(metric, "multilevel", None)
    if (
        not isinstance(metric, BaseForecastingErrorMetric)
        or metric.by_index
        or metric.get_tag("inner_implements_multilevel", False)
        or (isinstance(weights, str) and weights != "uniform_average")
        or level not in ("uniform_average", "uniform_average_time")
    ):
        return None
    n, S, J, C = forecasts.pred.shape
    series_first = S > 1 and level == "uniform_average_time"
    # Rows are steps, or those of all series; columns are splits, series and variables.
    axes, rows = ((1, 2, 0, 3), S * J) if series_first else ((2, 0, 1, 3), J)
    true, pred = (
        pd.DataFrame(part.transpose(axes).reshape(rows, -1))
        for part in (forecasts.true(), forecasts.pred)
    )
    changed: dict[str, Any] = {"multioutput": "raw_values"}
    data = {}
    if metric.get_tag("requires-y-train", False):
        naive = _naive_errors(metric, forecasts)  # (n, S, C)
        if naive is None or series_first:
            return None
        # A training window of two rows with the same naive error as the real one.
        changed["sp"] = 1
        data["y_train"] = pd.DataFrame(np.stack([np.zeros(naive.size), naive.ravel()]))
    try:
        # `_evaluate` is `evaluate` less the checks, which take longer than all scores.
        by_column = metric.clone().set_params(**changed)
        scores = np.asarray(by_column._evaluate(true, pred, **data), dtype=np.float64)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    if scores.shape != (true.shape[1],):
        return None
    scores = scores.reshape(n, -1, C)
    scores = scores.mean(axis=-1) if isinstance(weights, str) else scores @ np.asarray(weights)
    return scores.mean(axis=1)


def _naive_errors(metric: Any, forecasts: _Forecasts) -> np.ndarray | None:
    """Naive error of each training window, (n, S, C), in the unit of y; None if unknown."""
    begin, stop = forecasts.splits.first, forecasts.splits.last + 1
    if type(metric) not in SCALED or (begin + metric.sp >= stop).any():
        return None
    power, middle = SCALED[type(metric)]
    values = forecasts.y.to_numpy(dtype=np.float64).reshape(len(forecasts.y), -1)
    # Row t is of t and t + sp: the rows of a window are its first ones.
    errors = np.abs(values[metric.sp :] - values[: -metric.sp]) ** power
    windows = zip(begin.ravel(), stop.ravel() - metric.sp, strict=True)
    naive = np.stack([middle(errors[a:b], axis=0) for a, b in windows])
    return naive.reshape(*begin.shape, -1) ** (1 / power)


def _rows(first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Rows ``first`` to ``last`` of each series, one after another."""
    return np.concatenate([np.arange(a, b + 1) for a, b in zip(first, last, strict=True)])


def _objects(items: list) -> np.ndarray:
    cells = np.empty(len(items), dtype=object)
    cells[:] = items
    return cells


def _predicts(metric: Any) -> str:
    """What a metric scores: "pred" is point forecasts."""
    if not hasattr(metric, "get_tag"):
        return "pred"
    return metric.get_tag("scitype:y_pred", raise_error=False, tag_value_default="pred")


def _check_probabilistic(forecaster: BaseRecurrentForecaster, metrics: list) -> None:
    """Raise NotImplementedError unless the forecaster makes what the metrics score."""
    if forecaster.get_tag("capability:pred_int"):
        return
    name = next(metric.name for metric in metrics if _predicts(metric) != "pred")
    msg = (
        f"{type(forecaster).__name__} makes point forecasts, so every metric must score those, but "
        f"{name} came. Score points, or wrap the forecaster in one of sktime's that makes "
        f"intervals, such as ConformalIntervals: it goes to sktime's evaluate."
    )
    raise NotImplementedError(msg)
