"""The symmetric percentage error, as a function, an sktime metric and a scikit-learn scorer."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sktime.forecasting.base import BaseForecaster, ForecastingHorizon
from sktime.performance_metrics.forecasting._base import BaseForecastingErrorMetric

__all__ = ["SMAPE", "smape", "smape_scorer"]


def smape(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    r"""Return the symmetric mean absolute percentage error, in percent from 0 to 200.

    .. math::
        \text{sMAPE} = \frac{1}{n} \sum_{t=1}^{n} \frac{200 \, |y_t - f_t|}{|y_t| + |f_t|}

    A time at which observation and forecast are both zero was forecast perfectly and counts as 0.

    Parameters
    ----------
    y_true : array-like, pandas.Series or pandas.DataFrame of shape (n,) or (n, d)
        Observations, in any unit.
    y_pred : array-like, pandas.Series or pandas.DataFrame of shape (n,) or (n, d)
        Forecasts of the same times, in the unit of ``y_true``. If both are pandas objects, their
        labels must agree; otherwise they are compared by position.

    Returns
    -------
    float
        The mean over all times and variables, in percent: 0 is perfect, 200 the worst.

    Raises
    ------
    ValueError
        If the shapes differ or are empty, if the index or the columns of two pandas objects differ,
        or if a value is NaN or infinite.

    See Also
    --------
    SMAPE : The same number as an sktime metric, by variable, by series or by time.
    smape_scorer : The same number, negated, as a scikit-learn scorer.

    Notes
    -----
    This is the definition of the M4 competition [2]_. Some publications divide differently and
    their numbers do not compare: :math:`\frac{1}{n} \sum |f_t - y_t| / (f_t + y_t) / 2`, read from
    left to right as a program does, divides by :math:`2 (f_t + y_t)`. It gives a quarter of the
    usual value, as a fraction; 400 times that is the number returned here.

    References
    ----------
    .. [1] S. Makridakis (1993). Accuracy measures: theoretical and practical concerns.
       International Journal of Forecasting 9(4), 527-529.
    .. [2] S. Makridakis, E. Spiliotis, V. Assimakopoulos (2020). The M4 Competition: 100,000 time
       series and 61 forecasting methods. International Journal of Forecasting 36(1), 54-74.

    Examples
    --------
    >>> from skrnn.metrics import smape
    >>> smape([90, 150], [110, 50])  # the mean of 20 % and 100 %
    60.0
    """
    truth, forecast = _as_table(y_true), _as_table(y_pred)  # (n, d), (n, d)
    if truth.shape != forecast.shape or truth.size == 0:
        msg = (
            "y_true and y_pred must have the same shape and at least one value. "
            f"Got {truth.shape!r} and {forecast.shape!r} (times, variables). "
            "Pass one forecast for every observation."
        )
        raise ValueError(msg)
    for axis in ("index", "columns"):
        labels, others = getattr(y_true, axis, None), getattr(y_pred, axis, None)
        # A list has an `index` too: a method.
        if not (isinstance(labels, pd.Index) and isinstance(others, pd.Index)):
            continue
        if not labels.equals(others):
            msg = (
                f"y_true and y_pred must have the same {axis}. Got {labels!r} and {others!r}. "
                "Select the same labels in the same order, or pass arrays to compare by position."
            )
            raise ValueError(msg)
    return float(_percentage_errors(truth, forecast).mean())


class SMAPE(BaseForecastingErrorMetric):
    r"""Symmetric mean absolute percentage error as an sktime metric, in percent from 0 to 200.

    .. math::
        \text{sMAPE} = \frac{1}{n} \sum_{t=1}^{n} \frac{200 \, |y_t - f_t|}{|y_t| + |f_t|}

    Lower is better, and 0/0 counts as 0. The value is that of :func:`smape`, which gives the
    sources; it is 100 times sktime's ``MeanAbsolutePercentageError(symmetric=True)``, which skips
    missing forecasts where this class raises.

    Parameters
    ----------
    multioutput : {"uniform_average", "raw_values"} or array-like, default="uniform_average"
        How to aggregate the variables: their mean, one value each, or the sum with these d
        weights, which should add up to 1.
    multilevel : str, default="uniform_average"
        How to aggregate the series of a panel or hierarchy: ``"uniform_average"`` is the mean of
        the series' errors, ``"uniform_average_time"`` the mean over all rows (long series count
        more), ``"raw_values"`` one value each.
    by_index : bool, default=False
        Whether a call returns the error of each time, as ``evaluate_by_index`` does, instead of
        their mean.

    Raises
    ------
    ValueError
        On evaluation, if a value is NaN or infinite, or if the shapes differ.

    See Also
    --------
    smape : The same number from arrays, Series or DataFrames.
    smape_scorer : The same number, negated, as a scikit-learn scorer.

    Examples
    --------
    In sktime, it goes where a metric goes: ``evaluate(forecaster, cv, y, scoring=SMAPE())`` or
    ``ForecastingGridSearchCV(forecaster, cv, grid, scoring=SMAPE())``.

    >>> import pandas as pd
    >>> from skrnn.metrics import SMAPE
    >>> y_true = pd.DataFrame({"load": [90.0, 150.0], "wind": [0.0, 10.0]})
    >>> y_pred = pd.DataFrame({"load": [110.0, 50.0], "wind": [0.0, 30.0]})
    >>> float(SMAPE()(y_true, y_pred))
    55.0
    >>> SMAPE(multioutput="raw_values")(y_true, y_pred)
    array([60., 50.])
    """

    def _evaluate_by_index(
        self, y_true: pd.DataFrame, y_pred: pd.DataFrame, **kwargs
    ) -> pd.Series | pd.DataFrame:
        errors = pd.DataFrame(
            _percentage_errors(y_true.to_numpy(dtype=float), y_pred.to_numpy(dtype=float)),
            index=y_true.index,
            columns=y_true.columns,
        )
        errors = self._get_weighted_df(errors, **kwargs)  # by `sample_weight`
        return self._handle_multioutput(errors, self.multioutput)

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict]:
        """Return the parameters sktime's contract tests build this metric with."""
        return [{}, {"multilevel": "uniform_average_time"}]


def smape_scorer(
    forecaster: BaseForecaster,
    y: pd.Series | pd.DataFrame | ArrayLike,
    X: pd.DataFrame | ArrayLike | None = None,
) -> float:
    """Score a fitted forecaster by minus its sMAPE on ``y``, for scikit-learn's model selection.

    It goes where scikit-learn takes a scorer: ``GridSearchCV(forecaster, grid, cv=cv,
    scoring=smape_scorer).fit(y, X)``. Let ``cv`` be a ``TimeSeriesSplit``: the default, ``KFold``,
    trains on the future.

    Parameters
    ----------
    forecaster : BaseForecaster
        Fitted forecaster with sktime's ``predict(fh, X)`` and ``cutoff``.
    y : pandas.Series, pandas.DataFrame or array-like of shape (n,) or (n, d)
        Observations to forecast. They are forecast at the times of their index, wherever these
        lie, such as after a gap; without an index, they are the n steps after the cutoff.
    X : pandas.DataFrame or array-like of shape (n, k), optional
        Exogenous variables at the times of ``y``.

    Returns
    -------
    float
        Minus the sMAPE in percent, -200 to 0: greater is better.

    Raises
    ------
    ValueError
        If ``y`` or the forecast is NaN or infinite, or if the forecast is for other times.

    See Also
    --------
    smape : The error this scorer negates, with its sources.
    SMAPE : The metric for sktime's own model selection.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktime.forecasting.naive import NaiveForecaster
    >>> from skrnn.metrics import smape_scorer
    >>> y = pd.Series([70.0, 90.0, 110.0, 50.0], index=pd.period_range("2024", periods=4, freq="Y"))
    >>> forecaster = NaiveForecaster(strategy="last").fit(y[:3])
    >>> round(smape_scorer(forecaster, y[3:]), 6)  # 50 was forecast as 110
    -75.0
    """
    return -smape(y, forecaster.predict(fh=_horizon(forecaster, y), X=X))


def _percentage_errors(truth: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    for name, values in (("y_true", truth), ("y_pred", forecast)):
        missing = np.count_nonzero(~np.isfinite(values))
        if missing:
            msg = (
                f"{name} must be finite. Got {missing} NaN or infinite among {values.size} values. "
                "Fill them, or drop their times from both y_true and y_pred."
            )
            raise ValueError(msg)
    size = np.abs(truth) + np.abs(forecast)
    # Exactly 0/0 is a perfect forecast; a floor such as eps would also shrink errors below it.
    ratio = np.divide(np.abs(truth - forecast), size, out=np.zeros_like(size), where=size != 0)
    return 200 * ratio


def _as_table(values: ArrayLike) -> np.ndarray:
    # A Series and a one-column DataFrame would otherwise broadcast to an (n, n) table of errors.
    table = np.asarray(values, dtype=float)
    return table.reshape(-1, 1) if table.ndim < 2 else table


def _horizon(
    forecaster: BaseForecaster, y: pd.Series | pd.DataFrame | ArrayLike
) -> ForecastingHorizon:
    if not isinstance(y, (pd.Series, pd.DataFrame)):
        return ForecastingHorizon(np.arange(1, len(np.asarray(y)) + 1), is_relative=True)
    times = y.index.unique(level=-1)  # the time level, if y is a panel
    # Where the cutoff has a frequency it decides, since sktime refuses a horizon that spells it
    # differently: a training index that lost its freq is inferred as quarters from October, while
    # the test still has quarters from January. Where it has none, the test's own is all there is.
    if isinstance(times, pd.DatetimeIndex) and getattr(forecaster.cutoff, "freq", None) is not None:
        times = pd.DatetimeIndex(times, freq=None)
    return ForecastingHorizon(times, is_relative=False)
