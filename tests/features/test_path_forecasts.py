import numpy as np
import pandas as pd
import pytest
import torch

from skrnn import GRUForecaster
from skrnn.features import path_forecasts
from skrnn.features.path_forecasts import PathForecasts
from skrnn.naive import NAIVE_FORECASTS, NaiveForecast

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = {"hidden_size": 4, "num_epochs": 1, "random_state": 0}
N, AHEAD = 400, 30


def data(n=N, n_columns=1, counts=False):
    """Hours of correlated columns with a day and a week, and a covariate with its future."""
    rng, t = np.random.default_rng(0), np.arange(n + AHEAD)
    day = 2 * np.sin(2 * np.pi * t / 24)[:, None] + np.cos(2 * np.pi * t / 168)[:, None]
    values = 20 + day + 0.3 * rng.normal(size=(len(t), n_columns)).cumsum(0)
    index = pd.date_range("2024-01-01", periods=len(t), freq="h")
    X = pd.DataFrame({"x": rng.normal(size=len(t))}, index)
    values = values + 0.5 * X.to_numpy()
    values = rng.poisson(np.abs(values)) if counts else values
    y = pd.DataFrame(values, index, columns=[f"y{c}" for c in range(n_columns)])
    return y[:n], X


@pytest.fixture
def of(monkeypatch):
    """Whether each call made such forecasts, and what lets further calls make none."""
    made, original = [], PathForecasts.of

    def spy(*args, **kwargs):
        result = original(*args, **kwargs)
        made.append(result is not None)
        return result

    monkeypatch.setattr(PathForecasts, "of", spy)
    return made, lambda: monkeypatch.setattr(PathForecasts, "of", lambda *_, **__: None)


CASES = {
    "day and week": ({"sp": [24, 168]}, 1, False),
    "of a covariate, over a short season": ({"sp": [24]}, 1, True),
    "of two columns": ({"sp": [24]}, 2, True),
    "of three past columns": ({"sp": [24], "past_covariates": ["x"]}, 2, False),
    "without a season": ({"sp": None, "naive": ["last", "mean", "drift"]}, 1, False),
    "without a linear forecast": ({"sp": [24], "linear_lags": None}, 1, False),
    "the linear forecast alone": ({"sp": [24], "naive": ["last"], "linear_lags": [1, 24]}, 1, True),
    "of counts": ({"sp": [24], "criterion": "negbinomial"}, 1, False),
    "of a distribution": ({"sp": [24], "criterion": "normal"}, 1, False),
}


@pytest.mark.parametrize("case", CASES)
def test_paths_are_those_of_forecasts_looked_up_at_every_step(of, case):
    settings, n_columns, has_x = CASES[case]
    y, X = data(800 if settings.get("sp") == [24, 168] else N, n_columns, "counts" in case)
    past = "past_covariates" in settings
    forecaster = GRUForecaster(**SMALL, **settings).fit(y, X[: len(y)] if has_x or past else None)
    made, stop = of
    ahead = {"fh": range(1, AHEAD + 1), "X": X[len(y) :] if has_x else None}
    found = forecaster.predict(**ahead)
    quantiles = None
    if forecaster.criterion != "mae":
        quantiles = forecaster.predict_quantiles(**ahead, alpha=[0.1, 0.9])
    assert made
    assert all(made)
    stop()
    np.testing.assert_allclose(found, forecaster.predict(**ahead), rtol=1e-6)
    if quantiles is not None:
        expected = forecaster.predict_quantiles(**ahead, alpha=[0.1, 0.9])
        np.testing.assert_allclose(quantiles, expected, rtol=1e-5)


def test_paths_of_a_series_that_is_not_scaled_are_as_exact_as_its_level(of):
    # The regressor that is one has a coefficient of thousands.
    rng, t = np.random.default_rng(0), np.arange(110)
    noise = rng.normal(size=len(t))
    values = 1e6 + 1e3 * (3 + np.sin(2 * np.pi * t / 12) + 0.1 * noise.cumsum() + 0.2 * noise)
    y = pd.Series(values, pd.date_range("1960-02-01", periods=len(t), freq="QE"))
    settings = {"sp": [4, 12], "naive": ["last"], "scaler": None, "calendar": None}
    forecaster = GRUForecaster(**SMALL | settings | {"num_epochs": 0}).fit(y)
    made, stop = of
    found = forecaster.predict(fh=range(1, 9))
    assert made[-1]
    stop()
    np.testing.assert_allclose(found, forecaster.predict(fh=range(1, 9)), rtol=1e-6)


def test_forecasts_that_do_not_all_exist_are_looked_up_at_every_step(of):
    y, _ = data(60)
    forecaster = GRUForecaster(**SMALL, sp=[24]).fit(y)
    forecaster.predict(fh=range(1, 5))
    assert not any(of[0])


def test_coefficients_that_take_too_much_memory_are_looked_up_at_every_step(of, monkeypatch):
    y, _ = data(n_columns=2)
    forecaster = GRUForecaster(**SMALL, sp=[24]).fit(y)
    expected = forecaster.predict(fh=range(1, 5))
    assert of[0][-1]
    monkeypatch.setattr(path_forecasts, "MOST_COEFFICIENTS", 4 * 24)
    np.testing.assert_allclose(forecaster.predict(fh=range(1, 5)), expected, rtol=1e-6)
    assert not of[0][-1]


class MedianOfThree(NaiveForecast):
    """The median of the last three values."""

    name = "median"

    def offsets(self, h):
        return [1, 2, 3]

    def forecast(self, known):
        return known.values().median(3).values


def test_users_own_naive_forecast_may_be_no_linear_one(of):
    y, _ = data()
    forecaster = GRUForecaster(**SMALL, sp=[24], naive=["last", MedianOfThree]).fit(y)
    forecaster.predict(fh=range(1, 5))
    assert not any(of[0])


@pytest.mark.parametrize("name", NAIVE_FORECASTS)
def test_naive_forecasts_are_linear_in_past_values_and_means(name):
    y, _ = data()
    forecaster = GRUForecaster(**SMALL, sp=[24], naive=[name]).fit(y)
    assert forecaster.network_.naive_forecasts.term_places is not None


def test_one_that_is_not_linear_has_no_terms(monkeypatch):
    kind = NAIVE_FORECASTS["last"]
    monkeypatch.setattr(kind, "forecast", lambda self, known: known.last.abs().sqrt())
    y, _ = data()
    forecaster = GRUForecaster(**SMALL, sp=[24], naive=["last"]).fit(y)
    assert forecaster.network_.naive_forecasts.term_places is None
    assert not torch.isnan(torch.tensor(forecaster.predict(fh=[1, 2]).to_numpy())).any()
