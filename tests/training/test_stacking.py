import numpy as np
import pandas as pd
import pytest
import torch

from builders import device_panel_of, features_of, panel_of
from skrnn.features.naive_forecasts import NaiveForecasts
from skrnn.training.least_squares import fit_linear
from skrnn.training.stacking import stacked_weights

pytestmark = pytest.mark.usefixtures("one_thread")


def stacked(s, horizons=(1,), naive=("last", "seasonal")):
    """Weights of the last value, the season and the linear forecast, (J, N)."""
    features = features_of(sp=(4,), naive=naive, linear_lags=(1, 2, 4), horizons=horizons)
    data = device_panel_of(panel_of(pd.RangeIndex(len(s)), s), features)
    module = NaiveForecasts(features)
    bounds = np.array([9]), np.array([len(s)])
    left_out = fit_linear(module.linear, data, *bounds)
    equal = torch.full((len(horizons), 1, features.n_mixed), 1 / features.n_mixed)
    return stacked_weights(module, data, left_out, equal)[:, 0]


def test_weights_are_shares():
    weights = stacked(np.random.default_rng(0).normal(size=100), horizons=(1, 3, 9))
    np.testing.assert_allclose(weights.sum(-1), 1.0, rtol=1e-5)
    assert (weights >= 0).all()


def test_the_better_forecast_gets_the_weight():
    rng = np.random.default_rng(0)
    season = np.tile(rng.normal(size=4), 500) + 0.01 * rng.normal(size=2_000)
    last, seasonal, linear = stacked(season)[0].tolist()
    assert last < 0.05
    assert seasonal + linear > 0.95
    walk = rng.normal(size=2_000).cumsum()
    last, seasonal, linear = stacked(walk)[0].tolist()
    assert seasonal < 0.05


def test_few_targets_leave_more_of_the_initial_weights():
    rng = np.random.default_rng(0)
    season = np.tile(rng.normal(size=4), 500) + 0.5 * rng.normal(size=2_000)
    few, many = (stacked(season[:n])[0] for n in (30, 2_000))
    assert many[0] < few[0] - 0.05


def test_exact_forecasts_get_all_the_weight():
    season = np.tile(np.random.default_rng(0).normal(size=4), 20)
    weights = stacked(season, horizons=(1, 5))
    assert (weights[:, 1:].sum(-1) > 0.99).all()  # the season, and a regression on it
