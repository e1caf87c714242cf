"""Evaluation: sktime's table of scores over the splits of a series, from one backtest."""

from __future__ import annotations

import time
import warnings
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from sktime.datatypes import convert_to
from sktime.exceptions import FitFailedWarning
from sktime.forecasting.base import BaseForecaster
from sktime.forecasting.model_evaluation import evaluate as sktime_evaluate
from sktime.split import SameLocSplitter
from sktime.split.base import BaseSplitter
from sktime.utils.parallel import backend_dict
from sktime.utils.validation.forecasting import check_cv

from skrnn.backtesting import backtest
from skrnn.contract.forecaster import BaseRecurrentForecaster
from skrnn.contract.scores import (
    SplitForecasts,
    metric_of,
    objects,
    scored_output,
    scores_of,
)
from skrnn.contract.splits import HorizonError, ReadSplits, Splits

__all__ = ["evaluate"]

PANDAS = ["pd.Series", "pd.DataFrame", "pd-multiindex", "pd_multiindex_hier"]


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
    """Score a forecaster on every split of a series, as sktime's `evaluate` does, but faster.

    The forecaster is fitted once, on the first training window. Later splits only move the cutoff,
    so one call of `backtest` makes all forecasts. The table is that of sktime's `evaluate`. Calls
    that need more than one fit go to sktime's `evaluate` itself.

    Parameters
    ----------
    forecaster : GRUForecaster, LSTMForecaster or RNNForecaster
        Forecaster to evaluate; a clone of it is fitted. For any other forecaster, such as a
        pipeline, sktime's `evaluate` runs.
    cv : sktime splitter
        Training and test windows. If they leave gaps, or mix the rows of several series, sktime's
        `evaluate` runs.
    y : pd.Series, pd.DataFrame, or panel
        Observations of all windows, or another container that sktime accepts.
    X : pd.DataFrame, optional
        Covariates at every row of ``y`` from the first training window to the last test window.
    strategy : {"no-update_params", "update", "refit"}, default="no-update_params"
        Whether the forecaster is trained again between splits. With ``"update"`` and ``"refit"``
        it is, and sktime's `evaluate` runs. The default of sktime is ``"refit"``.
    scoring : sktime metric, callable, or list of them, optional
        By default the mean absolute percentage error, as in sktime.
    return_data : bool, default=False
        Whether to add the columns ``y_train``, ``y_test`` and ``y_pred``.
    error_score : "raise" or float, default=np.nan
        With ``"raise"``, an error in a split is raised. With a number, that number is the score of
        the split, and a warning names the error.
    backend : str, optional
        Backend of sktime's `evaluate` with ``strategy="refit"``; without effect otherwise.
    cv_X : sktime splitter, optional
        Windows of X, as in sktime, whose `evaluate` runs if they are given.
    backend_params : dict, optional
        Of the backend, as in sktime.
    return_model : bool, default=False
        Whether to add the fitted forecasters, as in sktime, whose `evaluate` runs if True.
    cv_global : sktime splitter, optional
        Splits by series, as in sktime, whose `evaluate` runs if they are given.
    cv_global_temporal : sktime splitter, optional
        Splits by time within those, as in sktime.

    Returns
    -------
    pd.DataFrame
        A row for each split, with the columns of sktime's `evaluate`. Two of them are times in
        seconds: ``fit_time`` is the time of the fit in the first row and 0 in the others;
        ``pred_time`` is the time of the backtest, divided by the number of splits.

    Raises
    ------
    NotImplementedError
        If a metric scores intervals, quantiles or distributions, and the forecaster makes point
        forecasts only.
    TypeError
        If ``forecaster`` is none of sktime's, ``scoring`` is no metric, or ``y`` or ``X`` cannot be
        converted to pandas.
    ValueError
        If ``backend`` or ``error_score`` is none of those that sktime knows, if ``X`` lacks a row,
        or if a horizon in units of time does not lie on the index of ``y``.

    See Also
    --------
    backtest : The forecasts of a fitted forecaster from many cutoffs.

    Notes
    -----
    If ``fh`` has gaps, such as ``[1, 24]``, sktime passes X at these steps only. A recursive
    forecast needs X at every step, so sktime's scores are NaN. This function passes X at all steps
    up to the last.

    Most metrics are computed in one pass, on a table with a column for each split, and the metric
    itself is called on one split as a check. A scaled metric, such as
    ``MeanAbsoluteScaledError``, is an unscaled one divided by the naive error of the training
    window. Functions, metrics that compare columns, and metrics that need more of the training
    window are called split by split, which takes longer.

    If a split fails and ``error_score`` is a number, the splits are forecast again one by one from
    the same fitted forecaster, so that the others keep their scores.

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
    _check_options(forecaster, strategy, backend, error_score)
    arguments = {
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
    one_fit = isinstance(forecaster, BaseRecurrentForecaster) and strategy == "no-update_params"
    if not one_fit or return_model or cv_X is not None or cv_global is not None:
        return sktime_evaluate(**arguments)
    given = scoring if isinstance(scoring, list) else [scoring]
    metrics = [metric_of("evaluate", metric) for metric in given]
    if any(scored_output(metric) != "pred" for metric in metrics):
        _check_probabilistic(forecaster, metrics)
        return sktime_evaluate(**arguments)
    y, X = _as_pandas("y", y), None if X is None else _as_pandas("X", X)
    try:
        splits = Splits.of(check_cv(cv, enforce_start_with_window=True), y)
    except HorizonError:
        raise
    except (TypeError, ValueError):  # sktime's `evaluate` says what is wrong with the windows or y
        splits = None
    if splits is None:
        return sktime_evaluate(**arguments)
    _check_covariates(X, y, splits)
    return _evaluate_in_one_pass(arguments | {"y": y, "X": X}, splits, metrics)


def _evaluate_in_one_pass(arguments: dict[str, Any], splits: Splits, metrics: list) -> pd.DataFrame:
    """Fit on the first window, backtest from all cutoffs; one by one only if a split fails."""
    fitted_once = _fitted_once(arguments["forecaster"])
    try:
        # The first split by sktime's `evaluate`, which names and orders the columns.
        first = sktime_evaluate(
            **arguments
            | _read(splits, 1, arguments)
            | {"forecaster": fitted_once}
            | {"error_score": "raise"}
        )
        return _from_backtest(fitted_once.fitted(), first, arguments, splits, metrics)
    except Exception as error:
        if arguments["error_score"] == "raise":
            raise
        msg = (
            f"The evaluation of {type(arguments['forecaster']).__name__} failed with "
            f"{type(error).__name__}: {error} The splits are forecast one by one; those that fail "
            f"get the score {arguments['error_score']!r}. Pass error_score='raise' to raise the "
            f"error."
        )
        warnings.warn(msg, FitFailedWarning, stacklevel=3)
    table = sktime_evaluate(
        **arguments | _read(splits, len(splits), arguments) | {"forecaster": fitted_once}
    )
    if np.isfinite(table["fit_time"].iloc[0]):
        table.loc[0, "fit_time"] = fitted_once.fit_time
    return table


def _read(splits: Splits, n_splits: int, arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments of sktime's `evaluate` for the first splits, with X at all steps."""
    cv_X = SameLocSplitter(ReadSplits(splits, n_splits, all_steps=True), arguments["y"])
    return {
        "cv": ReadSplits(splits, n_splits),
        "cv_X": None if arguments["X"] is None else cv_X,
    }


def _from_backtest(
    forecaster: BaseRecurrentForecaster,
    first: pd.DataFrame,
    arguments: dict[str, Any],
    splits: Splits,
    metrics: list,
) -> pd.DataFrame:
    """Table of all splits, in the columns of the first, from a forecaster fitted on the first."""
    y, X, n = arguments["y"], arguments["X"], len(splits)
    begin = time.perf_counter()
    table = backtest(
        forecaster,
        # Rows after the last cutoff are only tested. Zeros stand for them, for they may be missing.
        y.iloc[splits.past()].reindex(y.index[splits.rows()], fill_value=0),
        X.to_frame() if isinstance(X, pd.Series) else X,
        fh=splits.steps,
        cutoffs=y.index[splits.last.ravel()],
    )
    seconds = time.perf_counter() - begin
    shape = (*splits.last.shape, len(splits.steps), -1)
    forecasts = SplitForecasts(y, splits, table["y_pred"].to_numpy().reshape(shape))
    columns: dict[str, Any] = {f"test_{m.name}": scores_of(m, forecasts) for m in metrics}
    columns["fit_time"] = np.r_[first["fit_time"].iloc[0], np.zeros(n - 1)]
    columns["pred_time"] = np.full(n, seconds / n)
    columns["len_train_window"] = splits.lengths()
    columns["cutoff"] = splits.cutoffs(y.index)
    if arguments["return_data"]:
        for name in ("y_train", "y_test", "y_pred"):
            columns[name] = objects([getattr(forecasts, name)(k) for k in range(n)])
    result = pd.DataFrame({name: columns[name] for name in first.columns})
    return result.astype({"cutoff": first["cutoff"].dtype})


class _FittedOnce:
    """A forecaster for sktime's `evaluate` that trains in its first `fit` and in no other.

    Parameters
    ----------
    forecaster : BaseRecurrentForecaster
        Forecaster to fit; a clone of it is trained.
    """

    def __init__(self, forecaster: BaseRecurrentForecaster):
        self.forecaster = forecaster
        self.outcome: Any = None  # the fitted forecaster, or the error of its fit

    def clone(self) -> _FittedOnce:
        return self

    def fit(self, y: Any, X: Any = None, fh: Any = None) -> _FittedOnce:
        if self.outcome is None:
            begin = time.perf_counter()
            try:
                self.outcome = self.forecaster.clone().fit(y=y, X=X, fh=fh)
            except Exception as error:
                self.outcome = error  # `fitted` raises it, now and in later calls
            self.fit_time = time.perf_counter() - begin
        self.fitted()
        return self

    def fitted(self) -> BaseRecurrentForecaster:
        """The fitted forecaster; raises the error of its fit."""
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def update(self, y: Any, X: Any = None, update_params: bool = False) -> None:
        self.fitted().update(y=y, X=X, update_params=update_params)

    def predict(self, fh: Any = None, X: Any = None) -> pd.Series | pd.DataFrame:
        return self.fitted().predict(fh=fh, X=X)

    @property
    def cutoff(self) -> pd.Index:
        return self.fitted().cutoff

    def __repr__(self) -> str:
        return repr(self.forecaster)


def _fitted_once(forecaster: BaseRecurrentForecaster) -> _FittedOnce:
    """`_FittedOnce` under the forecaster's class name, which sktime puts in its warning."""
    return type(type(forecaster).__name__, (_FittedOnce,), {})(forecaster)


def _check_options(forecaster: Any, strategy: Any, backend: Any, error_score: Any) -> None:
    if not isinstance(forecaster, BaseForecaster):
        msg = (
            f"The 'forecaster' parameter of evaluate must be a forecaster of skrnn or sktime, but "
            f"got {type(forecaster).__name__}."
        )
        raise TypeError(msg)
    if not isinstance(strategy, str):  # of a str, sktime says whether it knows it
        msg = f"The 'strategy' parameter of evaluate must be a str. Got {strategy!r} instead."
        raise TypeError(msg)
    if backend is not None and not (isinstance(backend, str) and backend in backend_dict):
        msg = (
            f"The 'backend' parameter of evaluate must be None or one of "
            f"{', '.join(map(repr, backend_dict))}. Got {backend!r} instead."
        )
        raise ValueError(msg)
    if isinstance(error_score, str):
        known = error_score == "raise"
    else:
        known = isinstance(error_score, Real) and not isinstance(error_score, bool)
    if not known:
        msg = (
            f"The 'error_score' parameter of evaluate must be 'raise' or a number, such as "
            f"np.nan. Got {error_score!r} instead."
        )
        raise ValueError(msg)


def _as_pandas(name: str, given: Any) -> pd.Series | pd.DataFrame:
    try:
        return convert_to(given, PANDAS)
    except (TypeError, ValueError) as error:
        msg = (
            f"The {name!r} parameter of evaluate must be pandas, or another container that sktime "
            f"converts to pandas. Got {type(given).__name__}, and sktime says: {error}"
        )
        raise TypeError(msg) from error


def _check_covariates(X: Any, y: pd.Series | pd.DataFrame, splits: Splits) -> None:
    """Raise ValueError unless X has every row of y from the first window to the last test."""
    if X is None:
        return
    rows = y.index[splits.rows()]
    missing = rows[~rows.isin(X.index)]
    if len(missing):
        msg = (
            f"X must have a row for every row of y in the splits, but {len(missing)} of "
            f"{len(rows)} are missing, the first {missing[0]}. Pass X over the whole range of y, "
            f"with the same index."
        )
        raise ValueError(msg)


def _check_probabilistic(forecaster: BaseRecurrentForecaster, metrics: list) -> None:
    """Raise NotImplementedError unless the forecaster makes what the metrics score."""
    if forecaster.get_tag("capability:pred_int"):
        return
    name = next(metric.name for metric in metrics if scored_output(metric) != "pred")
    msg = (
        f"{type(forecaster).__name__} makes point forecasts, so every metric must score those. "
        f"Got {name} instead. Use a metric of point forecasts, set criterion='quantile' or "
        f"validation_split, or wrap the forecaster in one of sktime's that makes intervals, such "
        f"as ConformalIntervals."
    )
    raise NotImplementedError(msg)
