"""Bounds of forecasts: values that cannot come are forecast neither as points nor as quantiles."""

import copy

import numpy as np
import pandas as pd
import pytest

from skrnn import GRUForecaster, backtest

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {"hidden_size": 4, "window_length": 24, "random_state": 0}
STRATEGIES = pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
FH = list(range(1, 15))
LEVELS = [0.05, 0.25, 0.5, 0.75, 0.95]


def demand(n=500, mean=0.6):
    days = pd.date_range("2022-01-01", periods=n, freq="D")
    return pd.Series(np.random.default_rng(0).poisson(mean, n).astype(float), days)


@STRATEGIES
@pytest.mark.parametrize("criterion", ["mae", "mse", "quantile", "normal", "studentt"])
def test_what_was_never_negative_is_forecast_nowhere_below_zero(strategy, criterion):
    y = demand(250)
    settings = SMALL | {"strategy": strategy, "criterion": criterion, "n_samples": 20}
    forecaster = GRUForecaster(**settings).fit(y[:200], fh=FH)
    quantiles = forecaster.predict_quantiles(fh=FH, alpha=LEVELS).to_numpy()
    assert quantiles.min() == 0.0
    assert quantiles[:, -1].min() > 0.5
    if criterion not in ("normal", "studentt"):
        assert forecaster.predict(fh=FH).min() >= 0.0
    table = backtest(forecaster, y, fh=FH, start=199, step_length=5, alpha=LEVELS)
    assert table.filter(like="y_pred_").to_numpy().min() == 0.0


def test_without_bounds_the_same_forecasts_go_below_and_inside_they_are_equal():
    y = demand()
    fits = [
        GRUForecaster(**SMALL, forecast_range=bounds).fit(y) for bounds in ("auto", None, (0.2, 1))
    ]
    zero, free, narrow = (f.predict_quantiles(fh=FH, alpha=LEVELS).to_numpy() for f in fits)
    assert free.min() < -0.1
    np.testing.assert_allclose(zero, np.maximum(free, 0), rtol=1e-6)
    np.testing.assert_allclose(narrow, np.clip(free, 0.2, 1), rtol=1e-6)


def test_series_of_a_panel_have_bounds_of_their_own():
    calm = demand()
    y = pd.concat({"demand": calm.to_frame("y"), "change": (calm - 1).to_frame("y")})
    forecaster = GRUForecaster(**SMALL).fit(y)
    lower = forecaster.predict_quantiles(fh=FH, alpha=[0.05])
    assert lower.loc["demand"].min().item() == 0.0
    assert lower.loc["change"].min().item() < -0.5


def test_first_negative_value_of_an_update_lifts_the_bound():
    y = demand()
    forecaster = GRUForecaster(**SMALL).fit(y[:490])
    assert forecaster.predict_quantiles(fh=FH, alpha=[0.05]).to_numpy().min() == 0.0
    later = y[490:].copy()
    later.iloc[0] = -1.0
    forecaster.update(later, update_params=False)
    assert forecaster.predict_quantiles(fh=FH, alpha=[0.05]).to_numpy().min() < 0.0


@pytest.mark.parametrize(
    ("strategy", "criterion"), [("recursive", "mae"), ("multioutput", "normal")]
)
def test_backtest_is_bounded_by_what_its_cutoffs_know(strategy, criterion):
    y = demand(160)
    y.iloc[130:] -= 5
    settings = SMALL | {"num_epochs": 2, "validation_split": 0.2, "criterion": criterion}
    forecaster = GRUForecaster(strategy, **settings).fit(y[:120], fh=[1, 2])
    table = backtest(forecaster, y, fh=[1, 2], start=119, alpha=[0.1])
    for n in (129, 130, 131, 150):
        updated = copy.deepcopy(forecaster).update(y[120:n], update_params=False)
        made = table.loc[y.index[n - 1]]
        np.testing.assert_allclose(made["y_pred"], updated.predict([1, 2]), rtol=1e-5)
        quantiles = updated.predict_quantiles([1, 2], alpha=[0.1]).iloc[:, 0]
        np.testing.assert_allclose(made["y_pred_0.1"], quantiles, rtol=1e-5)
        assert (made["y_pred_0.1"] < 0).all() == (n > 130)


@pytest.mark.parametrize("bounds", [(1, 0), (0,), (0, np.nan), ("a", None), (0, 0)])
def test_bounds_that_are_no_range_are_refused(bounds):
    with pytest.raises(ValueError, match="'forecast_range' parameter must be a lower"):
        GRUForecaster(**SMALL, forecast_range=bounds).fit(demand())
