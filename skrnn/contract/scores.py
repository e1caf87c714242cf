"""Scores: a metric's values for all splits of an evaluation, in one pass where it allows that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sktime.performance_metrics.base import BaseMetric
from sktime.performance_metrics.forecasting import (
    MeanAbsoluteError,
    MeanAbsoluteScaledError,
    MeanSquaredError,
    MeanSquaredScaledError,
    MedianAbsoluteError,
    MedianAbsoluteScaledError,
    MedianSquaredError,
    MedianSquaredScaledError,
)
from sktime.utils.validation.forecasting import check_scoring

from skrnn.contract.splits import Splits

# A scaled metric is an unscaled one, divided by the mean or median of |y[t] - y[t - sp]| ** power
# over the training window.
SCALED: dict[type, tuple[type, int, Callable]] = {
    MeanAbsoluteScaledError: (MeanAbsoluteError, 1, np.mean),
    MeanSquaredScaledError: (MeanSquaredError, 2, np.mean),
    MedianAbsoluteScaledError: (MedianAbsoluteError, 1, np.median),
    MedianSquaredScaledError: (MedianSquaredError, 2, np.median),
}
# sktime divides by this much where the naive error is smaller.
SMALLEST_NAIVE_ERROR = np.finfo(np.float64).eps
# Two ways to add up the same numbers differ by rounding alone.
ROUNDING = 1e-9


@dataclass(frozen=True)
class SplitForecasts:
    """Forecasts of the rows tested, and the observations of each split.

    Parameters
    ----------
    y : pd.Series, pd.DataFrame, or panel
        Observations of all windows.
    splits : Splits
        Training windows and tested rows.
    values : np.ndarray of shape (n, S, J, C)
        Forecasts: splits, series, steps, columns.
    """

    y: pd.Series | pd.DataFrame
    splits: Splits
    values: np.ndarray

    def observed(self) -> np.ndarray:
        """Observations of the rows tested, (n, S, J, C)."""
        rows = self.splits.last[..., None] + self.splits.steps
        return self.y.to_numpy(dtype=np.float64)[rows].reshape(self.values.shape)

    def y_train(self, k: int) -> pd.Series | pd.DataFrame:
        """Observations of the k-th training window."""
        return self.y.iloc[self.splits.train(k)]

    def y_test(self, k: int) -> pd.Series | pd.DataFrame:
        """Observations that the k-th split tests."""
        return self.y.iloc[self.splits.test(k)]

    def y_pred(self, k: int) -> pd.Series | pd.DataFrame:
        """Forecasts of the k-th split."""
        index = self.y.index[self.splits.test(k)]
        if isinstance(self.y, pd.Series):
            return pd.Series(self.values[k].ravel(), index=index, name=self.y.name)
        return pd.DataFrame(
            self.values[k].reshape(len(index), -1), index=index, columns=self.y.columns
        )


def metric_of(caller: str, scoring: Any) -> Any:
    """The metric that ``scoring`` stands for, as in sktime."""
    if isinstance(scoring, type):
        msg = (
            f"The 'scoring' parameter of {caller} must be a metric, not a class. Got {scoring!r} "
            f"instead; pass {scoring.__name__}()."
        )
        raise TypeError(msg)
    return check_scoring(scoring)


def scored_output(metric: Any) -> str:
    """What a metric scores; "pred" is point forecasts."""
    if not hasattr(metric, "get_tag"):
        return "pred"
    return metric.get_tag("scitype:y_pred", raise_error=False, tag_value_default="pred")


def scores_of(metric: Callable, forecasts: SplitForecasts) -> np.ndarray:
    """Score of each split, (n,).

    Parameters
    ----------
    metric : callable
        Metric of sktime, or a function of ``y_true``, ``y_pred`` and ``y_train``.
    forecasts : SplitForecasts
        Forecasts and observations of n splits.

    Returns
    -------
    np.ndarray of shape (n,)
        Floats; objects if the metric returns an array or a table.
    """

    def score(k: int) -> Any:
        truth, forecast = forecasts.y_test(k), forecasts.y_pred(k)
        return metric(truth, forecast, y_train=forecasts.y_train(k))

    scores, n = _scores_in_one_pass(metric, forecasts), len(forecasts.splits)
    if scores is not None:
        # The metric itself has the last word: a subclass may compute something else. Compared at
        # the largest score, for in a perfect forecast any two metrics agree on 0.
        k = int(np.argmax(np.nan_to_num(np.abs(scores))))
        if np.isclose(scores[k], score(k), rtol=ROUNDING, atol=0, equal_nan=True):
            return scores
    each = [score(k) for k in range(n)]
    return np.array(each) if np.ndim(each[0]) == 0 else objects(each)


def objects(items: list) -> np.ndarray:
    """Array that holds each item in one cell, tables included."""
    cells = np.empty(len(items), dtype=object)
    cells[:] = items
    return cells


def _scores_in_one_pass(metric: Any, forecasts: SplitForecasts) -> np.ndarray | None:
    """Scores of a metric that treats columns alike, from a table with a column for each split.

    A metric with ``multioutput="raw_values"`` scores each column of a table by itself. None if
    the metric does not, or if it needs more of the training windows than their naive errors.
    """
    weights = getattr(metric, "multioutput", None)
    level = getattr(metric, "multilevel", None)
    if (
        not isinstance(metric, BaseMetric)
        or getattr(metric, "by_index", False)
        or metric.get_tag("inner_implements_multilevel", False)
        or metric.get_tag("requires-y-pred-benchmark", False)
        or (isinstance(weights, str) and weights != "uniform_average")
        or level not in ("uniform_average", "uniform_average_time")
    ):
        return None
    n, S, J, C = forecasts.values.shape
    pool_series = S > 1 and level == "uniform_average_time"
    by_column, naive = metric.clone(), None
    if metric.get_tag("requires-y-train", False):
        naive = _naive_errors(metric, forecasts)  # (n, S, C)
        # With several columns, all but the mean absolute scaled error divide the mean of the
        # errors by the mean of the naive errors instead of column by column.
        by_ratios = C == 1 or isinstance(metric, MeanAbsoluteScaledError)
        if naive is None or pool_series or not by_ratios:
            return None
        by_column = SCALED[type(metric)][0]()
    # Rows are steps, or the steps of all series; columns are splits, series and variables. Arrays,
    # because sktime checks each column of a DataFrame, which takes longer than all the scores.
    axes, rows = ((1, 2, 0, 3), S * J) if pool_series else ((2, 0, 1, 3), J)
    observed, forecast = (
        part.transpose(axes).reshape(rows, -1) for part in (forecasts.observed(), forecasts.values)
    )
    try:
        by_column = by_column.set_params(multioutput="raw_values")
        scores = np.asarray(by_column.evaluate(observed, forecast), dtype=np.float64)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None  # the metric refuses the table; split by split it says what is wrong
    if scores.shape != (observed.shape[1],):
        return None
    scores = scores.reshape(n, -1, C)
    if naive is not None:
        scores = scores / naive
        scores = np.sqrt(scores) if getattr(metric, "square_root", False) else scores
    scores = scores.mean(axis=-1) if isinstance(weights, str) else scores @ np.asarray(weights)
    return scores.mean(axis=1)


def _naive_errors(metric: Any, forecasts: SplitForecasts) -> np.ndarray | None:
    """Divisor of a scaled metric in each training window, (n, S, C); None if it is not known."""
    begin, stop = forecasts.splits.first, forecasts.splits.last + 1
    if type(metric) not in SCALED or (begin + metric.sp >= stop).any():
        return None
    _, power, middle = SCALED[type(metric)]
    values = forecasts.y.to_numpy(dtype=np.float64).reshape(len(forecasts.y), -1)
    # Row t compares t and t + sp, so the last sp rows of a window are left out.
    errors = np.abs(values[metric.sp :] - values[: -metric.sp]) ** power
    windows = zip(begin.ravel(), stop.ravel() - metric.sp, strict=True)
    naive = np.stack([middle(errors[a:b], axis=0) for a, b in windows])
    smallest = getattr(metric, "eps", None) or SMALLEST_NAIVE_ERROR
    return np.maximum(naive.reshape(*begin.shape, -1), smallest)
