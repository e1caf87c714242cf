"""Numbers: the forecast of a scaled or shifted series is the scaled or shifted forecast."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skrnn import GRUForecaster
from skrnn.datasets import make_hourly_load

pytestmark = pytest.mark.usefixtures("one_thread")

LOAD = make_hourly_load(n_series=1, n_hours=400, random_state=0).droplevel(0)["load_mw"]
Y = (LOAD - LOAD.mean()) / LOAD.std() + 5
STEPS = [1, 2, 3, 24]
SMALL = {"hidden_size": 4, "num_epochs": 2, "validation_split": "auto", "random_state": 0}
few = settings(max_examples=3, deadline=None, derandomize=True)


def forecasts(y, **parameters):
    forecaster = GRUForecaster(**SMALL | parameters).fit(y, fh=STEPS)
    result = forecaster.predict(STEPS).to_numpy()[:, None]
    if "criterion" in parameters:
        quantiles = forecaster.predict_quantiles(fh=STEPS, alpha=[0.1, 0.9])
        result = np.concatenate([result, quantiles.to_numpy()], axis=1)
    return result


@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
@pytest.mark.parametrize(
    "options",
    [{}, {"scaler": "minmax"}, {"scaler": "robust"}]
    + [{"criterion": name} for name in ("normal", "studentt", "quantile")],
    ids=str,
)
def test_forecast_of_a_scaled_series_is_the_scaled_forecast(strategy, options):
    expected = forecasts(Y, strategy=strategy, **options)

    @few
    @given(exponent=st.floats(-12, 12))
    def check(exponent):
        found = forecasts(Y * 10**exponent, strategy=strategy, **options)
        np.testing.assert_allclose(found / 10**exponent, expected, rtol=1e-4)

    check()


@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
def test_forecast_of_a_shifted_series_is_the_shifted_forecast(strategy):
    options = {"strategy": strategy, "forecast_range": None}
    expected = forecasts(Y, **options)

    @few
    @given(shift=st.floats(-1e6, 1e6))
    def check(shift):
        found = forecasts(Y + shift, **options)
        np.testing.assert_allclose(found - shift, expected, atol=1e-4)

    check()


@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
@pytest.mark.parametrize("factor", [1e-9, 1e6])
def test_chosen_training_of_a_scaled_series_is_the_same(strategy, factor):
    y, options = Y[:200], {"strategy": strategy, "num_epochs": "auto"}
    found = forecasts(y * factor, **options)
    np.testing.assert_allclose(found / factor, forecasts(y, **options), rtol=1e-4)


def test_integers_beyond_the_precision_of_float32_keep_their_last_digits():
    y = pd.Series(2**40 + np.tile([1, 5, 2, 7], 30))
    forecast = GRUForecaster(**SMALL, sp=4).fit(y).predict([1, 2, 3, 4])
    np.testing.assert_allclose(forecast - 2**40, [1, 5, 2, 7], atol=0.1)


@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
def test_constant_series_is_forecast_exactly(strategy):
    for constant in (0.0, 1e-12, 3.0, 1e12):
        y = pd.Series(np.full(60, constant))
        forecast = GRUForecaster(strategy, hidden_size=4, random_state=0).fit(y, fh=STEPS)
        np.testing.assert_array_equal(forecast.predict(STEPS), constant)
