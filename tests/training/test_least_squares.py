"""The linear forecast's coefficients: those of a ridge regression, on the rows to train on."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.signal import lfilter

from builders import device_panel_of, features_of, panel_of
from skrnn import GRUForecaster
from skrnn.features.linear_forecast import LinearForecast
from skrnn.training import least_squares
from skrnn.training.least_squares import LEVEL_HORIZONS, N_FOLDS, fit_linear

pytestmark = pytest.mark.usefixtures("one_thread")


def fitted(values, X=None, stop=None, begin=13, index=None, **settings):
    """A linear forecast fitted to one series, its panel, and what was left out."""
    settings = {"naive": ("last",), "linear_lags": (1, 2, 3), "sp": ()} | settings
    features = features_of(n_numbers=0 if X is None else X.shape[1], **settings)
    index = pd.RangeIndex(len(values)) if index is None else index
    X = None if X is None else pd.DataFrame(X, index=index)
    data = device_panel_of(panel_of(index, values, X), features)
    linear = LinearForecast(features)
    stop = np.array([len(values) if stop is None else stop])
    left_out = fit_linear(linear, data.cut(stop), np.array([begin]), stop)
    return linear, data, left_out


def persistent(n, rng):
    """An autoregression, whose past values are worth reading."""
    return lfilter([1.0], [1.0, -0.8], rng.normal(size=n))


def by_hand(s, X, rows, h, penalty, n_level_rows):
    """Coefficients of last value, two changes and one; and of X before and at the target."""
    columns = [s[rows - 1], s[rows - 2] - s[rows - 1], s[rows - 3] - s[rows - 1], 1 + 0 * rows]
    if X is not None:
        columns += [X[rows - 1, 0], X[rows + h - 1, 0]]
    z = np.stack(columns, axis=1)
    target = s[rows + h - 1] - s[rows - 1]
    ridge = penalty * np.eye(z.shape[1])
    ridge[0, 0] += n_level_rows
    return np.linalg.solve(z.T @ z + ridge, z.T @ target)


@pytest.mark.parametrize("penalty", [0.1, 10.0])
@pytest.mark.parametrize("with_X", [False, True])
def test_coefficients_are_those_of_a_ridge_regression(monkeypatch, penalty, with_X):
    monkeypatch.setattr(least_squares, "PENALTIES", (penalty,))
    rng = np.random.default_rng(0)
    s, X = persistent(200, rng), rng.normal(size=(200, 1)) if with_X else None
    linear, _, _ = fitted(s, X, horizons=(1, 4))
    rows = np.arange(13, 200 - 4 + 1)
    for j, h in enumerate((1, 4)):
        expected = by_hand(s, X, rows, h, penalty, LEVEL_HORIZONS * 4)
        made = linear.coefficients[:, j, 0].tolist() + linear.known_coefficients[:, j, 0].tolist()
        np.testing.assert_allclose(made, expected, atol=2e-4)


@pytest.mark.parametrize("with_X", [False, True])
def test_noise_is_forecast_by_its_season_and_X_alone(monkeypatch, with_X):
    monkeypatch.setattr(least_squares, "PENALTIES_WITHOUT_PAST", (2.0,))
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1_000, 1)) if with_X else None
    s = np.array([0.0, 2, -1, 1])[np.arange(1_000) % 4] + rng.normal(size=1_000)
    s += 3 * X[:, 0] if with_X else 0
    linear, data, _ = fitted(s, X, horizons=(1, 3), sp=(4,))
    rows = np.arange(13, 1_000 - 3 + 1)
    given = [np.ones(len(rows)), *([X[rows - 1, 0]] if with_X else [])]
    phases = np.eye(4)[data.ordinal[rows].numpy() % 4].T
    for j, h in enumerate((1, 3)):
        z = np.stack([*given, *phases, *([X[rows + h - 1, 0]] if with_X else [])], axis=1)
        w = np.linalg.solve(z.T @ z + 2.0 * np.eye(z.shape[1]), z.T @ s[rows + h - 1])
        of_past = linear.coefficients[: linear.sizes[0], j, 0]
        assert of_past.tolist() == [-1.0] + [0.0] * (len(of_past) - 1)
        made = linear.coefficients[linear.sizes[0] : linear.n_plain, j, 0].tolist()
        made += linear.known_coefficients[:, j, 0].tolist()
        np.testing.assert_allclose(made, w, atol=2e-4)


@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
def test_noise_about_a_weekly_profile_is_forecast_by_the_profile(strategy):
    rng = np.random.default_rng(0)
    profile, days = 20 + np.array([0.0, 2, 4, 6, 8, 10, -6]), np.arange(914) % 7
    index = pd.date_range("2020-01-06", periods=900, freq="D")
    distances = []
    for _ in range(4):
        y = pd.Series(profile[days[:900]] + 8 * rng.normal(size=900), index)
        forecaster = GRUForecaster(strategy, num_epochs=0, random_state=0).fit(y, fh=range(1, 15))
        distances.append(np.abs(forecaster.predict() - profile[days[900:]]).mean())
    # The means of 129 weeks are off by .6, those of three by 3.7, and the last week by 6.4.
    assert np.mean(distances) < 1.45


@pytest.mark.parametrize(("kept", "reads_past"), [(1.0, True), (0.0, False)])
def test_past_values_are_read_where_a_deviation_from_the_season_stays(kept, reads_past):
    """Left-out blocks in the middle of a random walk are near the means of those around them."""
    first = []
    for seed in range(8):
        errors = np.random.default_rng(seed).normal(size=144)
        walk = lfilter([1.0], [1.0, -kept], errors)
        walk = (walk - walk.mean()) / walk.std()
        linear, _, _ = fitted(walk, horizons=tuple(range(1, 15)))
        first.append(linear.coefficients[0].numpy())
    assert (np.array(first) > -1).all() if reads_past else np.mean(np.array(first) == -1) > 0.6


def test_steps_of_which_no_target_was_observed_do_not_count(monkeypatch):
    monkeypatch.setattr(least_squares, "PENALTIES", (0.1,))
    s = np.sin(np.arange(300.0)) + 0.01 * np.random.default_rng(0).normal(size=300)
    s[100:150] = np.nan
    one, data, _ = fitted(s, missing=True)
    # As if most of the gap were filled otherwise; the rows after it read its last three values.
    data.values[100:147] += 3.0
    other = LinearForecast(one.features)
    fit_linear(other, data, np.array([13]), np.array([300]))
    assert torch.equal(one.coefficients, other.coefficients)


def test_values_from_the_stop_on_are_not_read():
    s = np.random.default_rng(0).normal(size=200)
    changed = s.copy()
    changed[150:] = 1e6
    one, other = (fitted(values, stop=150, horizons=(1, 4))[0] for values in (s, changed))
    assert torch.equal(one.coefficients, other.coefficients)
    assert torch.equal(one.optimism, other.optimism)


def test_forecast_of_an_autoregression_with_a_season_misses_by_its_noise():
    rng = np.random.default_rng(0)
    t = np.arange(3_000)
    deviation = np.zeros(3_000)
    for k in range(2, 3_000):
        deviation[k] = 1.2 * deviation[k - 1] - 0.5 * deviation[k - 2] + 0.1 * rng.normal()
    s = deviation + np.array([0.0, 2, -1, 1, 0.5, 3])[t % 6]
    linear, data, _ = fitted(s, stop=2_500, sp=(6,), linear_lags=tuple(range(1, 8)))
    at = torch.arange(2_500, 3_000)
    targets = data.targets(torch.zeros(500, dtype=torch.long), at[:, None])
    error = linear(targets).ravel().numpy() - s[2_500:]
    assert np.abs(error).mean() == pytest.approx(0.1 * np.sqrt(2 / np.pi), rel=0.1)


def test_noise_gets_the_largest_penalty_and_an_exact_relation_a_small_one():
    rng = np.random.default_rng(0)
    noise, _, _ = fitted(rng.normal(size=300).cumsum(), linear_lags=tuple(range(1, 30)))
    # A random walk is forecast best by its last value.
    assert noise.coefficients.abs().max() < 0.1
    exact, _, _ = fitted(np.sin(np.arange(300.0)))
    x = np.sin(np.arange(300.0))
    made = exact.coefficients[:, 0, 0].numpy()
    step = x[3:] - x[2:-1]
    z = np.stack([x[2:-1], x[1:-2] - x[2:-1], x[:-3] - x[2:-1]], axis=1)
    assert np.abs(z @ made[:3] + made[3] - step).max() < 0.01


def test_left_out_forecasts_are_made_by_coefficients_of_the_other_folds(monkeypatch):
    monkeypatch.setattr(least_squares, "PENALTIES", (1.0,))
    s = persistent(113, np.random.default_rng(0))
    _, _, left_out = fitted(s)
    rows = np.arange(13, 113)
    fold = np.arange(100) * 20 // 100 % N_FOLDS
    t = left_out.t.numpy()
    assert sorted(t) == rows.tolist()
    for k in range(N_FOLDS):
        w = by_hand(s, None, rows[fold != k], 1, 1.0, LEVEL_HORIZONS * (1 - 1 / N_FOLDS))
        for row in rows[fold == k]:
            z = [s[row - 1], s[row - 2] - s[row - 1], s[row - 3] - s[row - 1], 1]
            made = left_out.forecasts[np.flatnonzero(t == row)[0], 0, 0].item()
            assert made == pytest.approx(s[row - 1] + np.dot(z, w), abs=1e-4)


@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
def test_short_random_walks_are_not_forecast_to_return_to_their_means(strategy):
    """Each walk is scaled by its own mean, to which it seems to return."""
    values = np.random.default_rng(0).normal(size=(150, 38)).cumsum(axis=1)
    days = pd.date_range("2024-01-01", periods=30)
    y = pd.concat({f"w{k:03}": pd.DataFrame({"y": v[:30]}, days) for k, v in enumerate(values)})
    forecaster = GRUForecaster(strategy, sp=None, num_epochs=0, random_state=0)
    forecast = forecaster.fit(y, fh=range(1, 9)).predict()["y"].to_numpy().reshape(150, 8)
    truth, last = values[:, 30:], values[:, 29:30]
    # The last value is the best forecast of a random walk.
    assert np.abs(truth - forecast).mean() < 1.04 * np.abs(truth - last).mean()


def test_few_steps_leave_none_out_and_take_the_largest_penalty():
    linear, _, left_out = fitted(np.arange(17.0))  # four steps
    assert left_out is None
    assert linear.coefficients.abs().max() < 0.1
    untouched, _, left_out = fitted(np.arange(13.0))
    assert left_out is None
    assert not untouched.coefficients.any()


def test_errors_of_overfitted_coefficients_are_known_to_be_larger_than_they_look(monkeypatch):
    monkeypatch.setattr(least_squares, "PENALTIES", (1e-3,))
    # Without past values all forecasts are near 0, and all errors near 100.
    monkeypatch.setattr(least_squares, "PENALTIES_WITHOUT_PAST", (1e9,))
    walk = 100 + np.random.default_rng(0).normal(size=160).cumsum()
    many, _, _ = fitted(walk, begin=61, linear_lags=tuple(range(1, 61)))
    few, _, _ = fitted(walk, begin=61, linear_lags=(1, 2))
    assert few.optimism.item() < 1.1
    assert many.optimism.item() > 2
