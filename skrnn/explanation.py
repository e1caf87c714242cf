"""Explanation: what a forecast is the sum of, and how much it depends on each covariate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from skrnn.backtesting import Cutoffs, check_forecaster, check_tables
from skrnn.contract.forecaster import BaseRecurrentForecaster
from skrnn.contract.parameters import check_flags, check_seed
from skrnn.data.covariates import Covariates, check_columns, is_number
from skrnn.data.panel import Panel
from skrnn.features.device_panel import DevicePanel
from skrnn.features.sources import CALENDAR, HOLIDAYS, source_of
from skrnn.forecasting.fitted import Fitted

__all__ = ["explain", "importance"]


def explain(
    forecaster: BaseRecurrentForecaster,
    fh: Any = None,
    X: pd.DataFrame | None = None,
    *,
    inputs: bool = False,
    counterfactual: Mapping[Any, Any] | None = None,
) -> pd.DataFrame:
    r"""Split each forecast of `predict` into contributions that add up to it.

    With weights w of the mix, naive forecasts n, the linear forecast as a sum of its parts l, and
    the correction u c of the network, all in the unit of the data, a forecast is

    .. math:: f = \sum_j w_j\, n_j + w_l \sum_g l_g + u c,

    and each term is a column.

    Parameters
    ----------
    forecaster : GRUForecaster, LSTMForecaster or RNNForecaster
        Fitted.
    fh : int, list of int or of durations, ForecastingHorizon or None, default=None
        As in ``forecaster.predict``.
    X : pd.DataFrame, optional
        As in ``forecaster.predict``.
    inputs : bool, default=False
        Whether the correction is divided among the inputs of the network. Its columns then add up
        to the correction.
    counterfactual : mapping of column names of X, optional
        Changes of covariates that are known in advance, in the rows of ``X`` that are forecast. The
        result is then by how much each contribution changes; its sum is the change of the forecast.
        A number is added to a numeric column; a category replaces the values of a categorical one;
        a callable takes the column, as a Series, and returns the new one.

    Returns
    -------
    pd.DataFrame
        The rows of ``predict``. The columns have two levels, ``part`` and ``source``; if y has
        several columns, its column comes before them. The sum over all columns (of one column of
        y) is ``predict``, to rounding. A row that cannot be forecast is NaN. A column of X that has
        the name of another source gets the suffix "(X)". The parts are

        ============ ==============================================================================
        naive        weight times forecast of each naive forecast: its name and period
        linear       weight times each part of the linear forecast: "lags" (last value and lags),
                     "season" (phase of each season), "calendar", "holidays", each column of X, and
                     "intercept" (with the centre of the scaler)
        correction   "network"; or with ``inputs`` the "changes" of the last values, each lag, the
                     "calendar", "holidays", each column of X, flags of "missing values", the
                     "naive forecasts" that "multioutput" reads, and the "baseline"
        center       the centre of the scaler, where there are no naive forecasts
        distribution what lies between the network's location and the point forecast: in counts,
                     whose mean is positive, and in quantiles without the median
        range        what ``forecast_range`` adds or takes away
        ============ ==============================================================================

        Parts that the forecaster does not have are left out.

    Raises
    ------
    NotFittedError
        If the forecaster is not fitted.
    TypeError, ValueError
        If an argument is of the wrong kind, or ``counterfactual`` names a column that is not known
        in advance.

    Notes
    -----
    A contribution belongs to one step. In a recursive forecast of several steps, the past values of
    a step are themselves forecasts, from the second step on: "last" is then the weight times the
    forecast of the step before, and a covariate of an earlier step acts through it. A
    counterfactual includes such indirect effects. The direct forecast that recursive forecasts are
    averaged with has the same naive and linear forecasts; each contribution is the average of the
    two.

    With ``inputs``, the correction is a function of the inputs of all steps up to the forecast
    (as they are, forecasts included). It is integrated along a path from a baseline, where nothing
    has changed, lags equal the last value, no value is missing, there is no holiday, the sines and
    cosines of the calendar are 0, numeric columns of X are at their mean in training (with
    ``scaler=None``, at 0) and categories at the mean of their vectors. "baseline" is the correction
    there, and the others add up to the rest (integrated gradients [1]_). Past covariates have one
    source for their changes and lags.

    References
    ----------
    .. [1] M. Sundararajan, A. Taly, Q. Yan, "Axiomatic Attribution for Deep Networks", ICML 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from sktime.datasets import load_airline
    >>> from skrnn import GRUForecaster, explain
    >>> forecaster = GRUForecaster(random_state=0).fit(load_airline())
    >>> table = explain(forecaster, fh=range(1, 13))
    >>> bool(np.allclose(table.sum(axis=1), forecaster.predict(fh=range(1, 13))))
    True
    >>> table["linear"].columns.tolist()
    ['lags', 'intercept', 'calendar', 'season']
    """
    check_forecaster("explain", forecaster)
    check_flags("explain", inputs=inputs)
    forecaster.check_is_fitted()
    if counterfactual is None:
        return _explained(forecaster, fh, X, inputs)
    changed = _changed(X, counterfactual, forecaster.fitted_.panel.covariates)
    return _explained(forecaster, fh, changed, inputs) - _explained(forecaster, fh, X, inputs)


def _explained(
    forecaster: BaseRecurrentForecaster, fh: Any, X: pd.DataFrame | None, by_input: bool
) -> pd.DataFrame:
    index, sources, parts = forecaster._explained(fh, X, by_input)
    labels = pd.MultiIndex.from_tuples(sources, names=["part", "source"])
    columns = forecaster.fitted_.model.columns
    if len(columns) > 1:
        entries = [(column, *source) for column in columns for source in sources]
        labels = pd.MultiIndex.from_tuples(entries, names=["column", *labels.names])
    return pd.DataFrame(parts.reshape(len(index), -1), index=index, columns=labels)


def _changed(
    X: pd.DataFrame | None, changes: Mapping[Any, Any], covariates: Covariates
) -> pd.DataFrame:
    """X with the changes of a counterfactual."""
    if not isinstance(changes, Mapping) or not changes:
        msg = (
            f"The 'counterfactual' parameter must map names of columns of X to their changes. Got "
            f"{changes!r} instead. Pass, for example, {{'temperature': 5.0}}."
        )
        raise TypeError(msg)
    unknown = [name for name in changes if name not in covariates.known]
    if unknown:
        msg = (
            f"The 'counterfactual' parameter must name columns of X that are known in advance, "
            f"{list(covariates.known)}. Got {unknown[0]!r}, which is none of them."
        )
        raise ValueError(msg)
    X = X.to_frame() if isinstance(X, pd.Series) else X
    if not isinstance(X, pd.DataFrame):
        msg = (
            f"A counterfactual changes X, so X must be pandas. Got {type(X).__name__} "
            f"instead. Pass the X that predict needs."
        )
        raise TypeError(msg)
    if not set(changes) <= set(X.columns):
        check_columns(X.columns, covariates.known, "X")
    X = X.copy()
    for name, change in changes.items():
        if callable(change):
            X[name] = change(X[name])
        elif is_number(X[name]):
            if not isinstance(change, Real):
                msg = (
                    f"The change of a numeric column must be a number, which is added, or a "
                    f"callable. Got {change!r} for {name!r} instead."
                )
                raise TypeError(msg)
            X[name] = X[name] + change
        else:
            X[name] = pd.Series([change] * len(X), index=X.index, dtype=object)
    return X


def importance(
    forecaster: BaseRecurrentForecaster,
    y: pd.Series | pd.DataFrame,
    X: pd.DataFrame | None = None,
    *,
    fh: Any = 1,
    start: Any = 0.9,
    step_length: int = 1,
    cutoffs: pd.Index | None = None,
    scoring: Callable[[Any, Any], float] | None = None,
    n_repeats: int = 5,
    random_state: int | np.random.RandomState | None = None,
) -> pd.DataFrame:
    r"""Permutation importance: how much the error grows if a covariate or the calendar is shuffled.

    The forecaster is backtested with the values of one source shuffled among the rows [1]_. With e
    the error of the backtest and :math:`e_r` that of repeat r, the importance is the mean of
    :math:`e_r - e`. What the network knows of a source through past values of y stays.

    Parameters
    ----------
    forecaster : GRUForecaster, LSTMForecaster or RNNForecaster
        Fitted.
    y : pd.Series, pd.DataFrame or panel
        Observations, as in `skrnn.backtest`. Shuffled are all rows that the forecaster has, those
        of ``y`` among them.
    X : pd.DataFrame, optional
        As in `skrnn.backtest`.
    fh : int, list of int or of durations, ForecastingHorizon or None, default=1
        As in `skrnn.backtest`.
    start : float, int or time stamp, default=0.9
        As in `skrnn.backtest`.
    step_length : int, default=1
        As in `skrnn.backtest`.
    cutoffs : pd.Index, optional
        As in `skrnn.backtest`.
    scoring : callable, optional
        Error from ``y_true`` and ``y_pred``, pandas objects without missing values, lower is
        better, such as `skrnn.smape`; the mean absolute error by default, in the unit of y.
    n_repeats : int, default=5
        Shuffles of each source.
    random_state : int, numpy.random.RandomState or None, default=None
        Seed of the shuffles.

    Returns
    -------
    pd.DataFrame
        A row for each column of X, for "calendar" and for "holidays", as far as the forecaster
        reads them, the most important first. Columns: ``importance``; ``std``, its standard
        deviation over the repeats; ``error``, that of the backtest with nothing shuffled. Known
        columns of X are shuffled over all series together, past covariates within each series,
        "calendar" along with the phases of the seasons that the linear forecast reads.

    Raises
    ------
    NotFittedError
        If the forecaster is not fitted.
    ValueError, TypeError
        If a parameter is out of its range, or the forecaster reads neither X nor a calendar.

    References
    ----------
    .. [1] L. Breiman, "Random Forests", Machine Learning 45, 2001.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from skrnn import GRUForecaster, importance
    >>> days = pd.date_range("2024-01-01", periods=400, freq="D")
    >>> X = pd.DataFrame(np.random.default_rng(0).normal(size=(400, 2)), days, ["price", "noise"])
    >>> y = 50 - 8 * X["price"] + np.random.default_rng(1).normal(size=400)
    >>> forecaster = GRUForecaster(num_epochs=0).fit(y[:300], X[:300])
    >>> importance(forecaster, y, X, start=300, random_state=0).index[0]
    'price'
    """
    check_forecaster("importance", forecaster)
    check_tables("importance", y, X)
    forecaster.check_is_fitted()
    if not isinstance(n_repeats, Integral) or isinstance(n_repeats, bool) or n_repeats < 1:
        msg = f"The 'n_repeats' parameter must be an int of at least 1. Got {n_repeats!r}."
        raise ValueError(msg)
    check_seed("importance", random_state)
    scoring = _mean_absolute_error if scoring is None else scoring
    if not callable(scoring):
        msg = (
            f"The 'scoring' parameter of importance must be a callable of y_true and y_pred, such "
            f"as skrnn.smape, or None. Got {scoring!r} instead."
        )
        raise TypeError(msg)
    fitted = forecaster.fitted_
    cut = Cutoffs.of(fitted, y, X, fh, start, step_length, cutoffs)
    shuffles = _shuffles(fitted)
    if not shuffles:
        msg = (
            "importance shuffles X, the calendar and holidays, but the forecaster reads none of "
            "them. Fit it with X, or with calendar fields."
        )
        raise ValueError(msg)
    rng = check_random_state(random_state)

    def error(panel: Panel, data: DevicePanel) -> float:
        distribution, parameters = cut.forecasts(fitted, panel, data)
        table = cut.table({"y_pred": distribution.point(parameters)}, fitted.model.columns).dropna()
        return float(scoring(table["y_true"], table["y_pred"]))

    expected = error(cut.panel, fitted.model.on_device(cut.panel))
    rows = []
    for name, shuffle in shuffles.items():
        errors = [error(*shuffle(cut.panel, rng)) for _ in range(n_repeats)]
        rows.append((name, np.mean(errors) - expected, np.std(errors), expected))
    table = pd.DataFrame(rows, columns=["source", "importance", "std", "error"])
    return table.set_index("source").sort_values("importance", ascending=False, kind="stable")


# From a panel and random numbers to the panel with one source shuffled, and the same on the device.
Shuffle = Callable[[Panel, np.random.RandomState], tuple[Panel, DevicePanel]]


def _shuffles(fitted: Fitted) -> dict[str, Shuffle]:
    """For each source that the forecaster reads, what shuffles it."""
    model, covariates = fitted.model, fitted.panel.covariates
    features = model.features

    def of_known(k: int) -> Shuffle:
        def shuffle(panel: Panel, rng: np.random.RandomState) -> tuple[Panel, DevicePanel]:
            known = panel.known.copy()
            known[:, k] = rng.permutation(known[:, k])
            panel = replace(panel, known=known)
            return panel, model.on_device(panel)

        return shuffle

    def of_past(k: int) -> Shuffle:
        def shuffle(panel: Panel, rng: np.random.RandomState) -> tuple[Panel, DevicePanel]:
            column = features.n_columns + k
            order = np.arange(len(panel.values))
            for s in range(panel.n_series):
                rng.shuffle(order[panel.offsets[s] : panel.offsets[s + 1]])
            values, observed = panel.values.copy(), panel.observed
            values[:, column] = values[order, column]
            if observed is not None:
                observed = observed.copy()
                observed[:, column] = observed[order, column]
            panel = replace(panel, values=values, observed=observed)
            return panel, model.on_device(panel)

        return shuffle

    def of_calendar(channels: slice) -> Shuffle:
        def shuffle(panel: Panel, rng: np.random.RandomState) -> tuple[Panel, DevicePanel]:
            data = model.on_device(panel)
            return panel, data.with_calendar_from(rng.permutation(len(data.calendar)), channels)

        return shuffle

    shuffles = {source_of(name): of_known(k) for k, name in enumerate(covariates.known)}
    shuffles |= {source_of(name): of_past(k) for k, name in enumerate(covariates.past)}
    if features.n_calendar or (features.linear_lags and features.seasons):
        shuffles[CALENDAR] = of_calendar(slice(0, features.n_calendar))
    if features.holidays:
        shuffles[HOLIDAYS] = of_calendar(slice(features.n_calendar, None))
    return shuffles


def _mean_absolute_error(y_true: Any, y_pred: Any) -> float:
    return float(np.abs(np.asarray(y_true) - np.asarray(y_pred)).mean())
