"""The symmetric percentage error, as a function, an sktime metric and a scikit-learn scorer."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sktime.forecasting.base import BaseForecaster, ForecastingHorizon

from skrnn.contract.private_names import BaseForecastingErrorMetric

__all__ = ["SMAPE", "smape", "smape_scorer"]


def smape(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    r"""Return the symmetric mean absolute percentage error, in percent from 0 to 200.

    .. math::
        \text{sMAPE} = \frac{1}{n} \sum_{t=1}^{n} \frac{200 \, |y_t - f_t|}{|y_t| + |f_t|}

    :math:`y_t` is the observation and :math:`f_t` the forecast at time :math:`t`; with several
    variables the mean is over all of them. A term 0/0 is a perfect forecast and counts as 0.

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
    TypeError
        If the values are no real numbers, such as text, dates or complex numbers.
    ValueError
        If the shapes differ or are empty, if the index or the columns of two pandas objects differ,
        or if a value is NaN or infinite.

    See Also
    --------
    SMAPE : The same number as an sktime metric, by variable, by series or by time.
    smape_scorer : The same number, negated, as a scikit-learn scorer.

    Notes
    -----
    This is the definition of the M4 competition [2]_. Some publications use another one, whose
    values cannot be compared: :math:`\frac{1}{n} \sum |f_t - y_t| / (f_t + y_t) / 2`, evaluated
    from left to right as in a program, divides by :math:`2 (f_t + y_t)`. Its value, a fraction, is
    a quarter of the usual one; 400 times that is the number returned here.

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
    truth, forecast = _as_table("y_true", y_true), _as_table("y_pred", y_pred)  # (n, d), (n, d)
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

    :math:`y_t` is the observation and :math:`f_t` the forecast at time :math:`t`. Lower is better,
    and a term 0/0 counts as 0. The value equals that of :func:`smape`, which gives the sources. It
    is 100 times sktime's ``MeanAbsolutePercentageError(symmetric=True)``, except that sktime skips
    missing forecasts and this class raises an error.

    Parameters
    ----------
    multioutput : {"uniform_average", "raw_values"} or array-like, default="uniform_average"
        How to aggregate the variables: their mean, one value each, or the sum weighted by these d
        weights, which should add up to 1.
    multilevel : str, default="uniform_average"
        How to aggregate the series of a panel or hierarchy: ``"uniform_average"`` is the mean of
        the series' errors, ``"uniform_average_time"`` the mean over all rows (long series weigh
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
    Pass it to sktime as a metric: ``evaluate(forecaster, cv, y, scoring=SMAPE())`` or
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
            _percentage_errors(_as_table("y_true", y_true), _as_table("y_pred", y_pred)),
            index=y_true.index,
            columns=y_true.columns,
        )
        errors = self._get_weighted_df(errors, **kwargs)  # by `sample_weight`
        return self._handle_multioutput(errors, self.multioutput)

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict]:
        """Return the parameters with which sktime's contract tests build this metric."""
        return [{}, {"multilevel": "uniform_average_time"}]


def smape_scorer(
    forecaster: BaseForecaster,
    y: pd.Series | pd.DataFrame | ArrayLike,
    X: pd.DataFrame | ArrayLike | None = None,
) -> float:
    """Score a fitted forecaster by minus its sMAPE on ``y``, for scikit-learn's model selection.

    Pass it to scikit-learn as a scorer: ``GridSearchCV(forecaster, grid, cv=cv,
    scoring=smape_scorer).fit(y, X)``. Use a ``TimeSeriesSplit`` as ``cv``: the default, ``KFold``,
    trains on the future.

    Parameters
    ----------
    forecaster : BaseForecaster
        Fitted forecaster with sktime's ``predict(fh, X)`` and ``cutoff``.
    y : pandas.Series, pandas.DataFrame or array-like of shape (n,) or (n, d)
        Observations to forecast, at the times of their index, also after a gap. Without an index
        they are the n steps after the cutoff.
    X : pandas.DataFrame or array-like of shape (n, k), optional
        Exogenous variables at the times of ``y``.

    Returns
    -------
    float
        Minus the sMAPE in percent, -200 to 0: greater is better.

    Raises
    ------
    ValueError
        If ``y`` or the forecast is NaN or infinite, or if their times differ.

    See Also
    --------
    smape : The error that this scorer negates, with its sources.
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
    with np.errstate(over="ignore"):
        size = np.abs(truth) + np.abs(forecast)
        # Only where the sum overflows: the ratio of the halves is the same, and halves of the
        # smallest floats would be 0.
        scale = np.where(np.isinf(size), 0.5, 1.0)
    truth, forecast = scale * truth, scale * forecast
    size = np.abs(truth) + np.abs(forecast)
    # Exactly 0/0 is a perfect forecast; a floor such as eps would also shrink errors below it.
    ratio = np.divide(np.abs(truth - forecast), size, out=np.zeros_like(size), where=size != 0)
    return 200 * ratio


def _as_table(name: str, values: ArrayLike) -> np.ndarray:
    """The values as floats of shape (n, d); TypeError if they are no real numbers."""
    if isinstance(values, np.ma.MaskedArray):
        values = np.ma.filled(values.astype(float), np.nan)  # masked is missing
    try:
        table = np.asarray(values)
        if table.dtype.kind == "O":
            if any(isinstance(value, (str, bytes)) for value in table.ravel()):
                raise TypeError("it holds text")
            table = np.where(pd.isna(table), np.nan, table)
        elif table.dtype.kind not in "biuf":
            raise TypeError(f"the dtype is {table.dtype}")
        table = table.astype(float)
    except (TypeError, ValueError) as error:
        msg = (
            f"{name} must hold real numbers, a row for each time. Got {type(values).__name__} "
            f"instead: {error}. Convert it to numbers."
        )
        raise TypeError(msg) from error
    if table.ndim > 2:
        msg = f"{name} must have the shape (n,) or (n, d). Got {table.shape!r} instead."
        raise ValueError(msg)
    # A Series and a one-column DataFrame would otherwise broadcast to an (n, n) table of errors.
    return table.reshape(-1, 1) if table.ndim < 2 else table


def _horizon(
    forecaster: BaseForecaster, y: pd.Series | pd.DataFrame | ArrayLike
) -> ForecastingHorizon:
    if not isinstance(y, (pd.Series, pd.DataFrame)):
        return ForecastingHorizon(np.arange(1, len(np.asarray(y)) + 1), is_relative=True)
    times = y.index.unique(level=-1)  # the time level, if y is a panel
    # If the cutoff has a frequency, it decides, because sktime refuses a horizon with another name
    # for the same frequency: a training index that lost its freq is inferred as quarters from
    # October, and the test still has quarters from January. Otherwise that of the test is kept.
    if isinstance(times, pd.DatetimeIndex) and getattr(forecaster.cutoff, "freq", None) is not None:
        times = pd.DatetimeIndex(times, freq=None)
    return ForecastingHorizon(times, is_relative=False)
