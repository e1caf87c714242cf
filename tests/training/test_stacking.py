import numpy as np
import pandas as pd
import pytest
import torch

from builders import device_panel_of, features_of, panel_of
from skrnn.features.naive_forecasts import NaiveForecasts
from skrnn.training import least_squares
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


def test_a_sample_of_the_steps_says_as_much_as_all_where_targets_overlap(monkeypatch):
    """A season with a slow noise: 20 steps ahead, every step or every tenth gives the weights."""
    rng = np.random.default_rng(0)
    noise = np.zeros(4_000)
    for k in range(1, 4_000):
        noise[k] = 0.97 * noise[k - 1] + 0.3 * rng.normal()
    s = np.tile([0.0, 2, -1, 1], 1_000) + noise
    of = {}
    for most in (400, 4_000):
        monkeypatch.setattr(least_squares, "MOST_LEFT_OUT", most)
        of[most] = stacked(s, horizons=(1, 20))[1]
    np.testing.assert_allclose(of[400], of[4_000], atol=0.05)
