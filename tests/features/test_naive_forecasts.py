"""The naive forecasts of all targets as one module, and their errors."""

# `values` is an array of ours here, never that of pandas.

import numpy as np
import pytest
import torch

from builders import NAIVE, OF_VALUES, features_of, naive_by_hand, read
from skrnn.features.batch import Chunk
from skrnn.features.naive_forecasts import N_COMPARED_BATCHES, NaiveForecasts

pytestmark = pytest.mark.usefixtures("one_thread")

rng = np.random.default_rng(0)


def test_naive_forecasts_by_hand():
    s = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0])
    features = features_of(sp=(2, 3), naive=OF_VALUES)
    _, targets, values = read(features, s, start=4)
    forecast, exists = NaiveForecasts(features)(targets)
    assert values.ravel().tolist() == s[4:].tolist()
    assert exists.all()
    by_hand = {
        # step:  last, s[t-2], s[t-3], then both plus the change of the level since.
        4: [1.0, 4.0, 1.0, 4.0 + 1.0 - 1.0, 1.0 + 1.0 - 3.0],
        5: [5.0, 1.0, 4.0, 1.0 + 5.0 - 4.0, 4.0 + 5.0 - 1.0],
        6: [9.0, 5.0, 1.0, 5.0 + 9.0 - 1.0, 1.0 + 9.0 - 4.0],
        7: [2.0, 9.0, 5.0, 9.0 + 2.0 - 5.0, 5.0 + 2.0 - 1.0],
    }
    for t, expected in by_hand.items():
        assert forecast[0, t - 4, 0, 0].tolist() == expected


def after_the_end(s, name, horizons, **kwargs):
    """A naive forecast of steps after the end of a series, None where it does not exist."""
    features = features_of(naive=(name,), horizons=horizons, **kwargs)
    _, targets, _ = read(features, np.r_[s, 1e6])  # the step after the end, which nothing may read
    forecast, exists = NaiveForecasts(features)(targets)
    pairs = zip(forecast[0, -1, :, 0, 0].tolist(), exists[0, -1, :, 0, 0].tolist(), strict=True)
    return [value if exist else None for value, exist in pairs]


@pytest.mark.parametrize(
    ("s", "expected"),
    [
        # Seasons of four steps; the first, second, fourth and (the first again) fifth step ahead.
        ([4, 1, 2, 9], [4, 1, 9, 4]),
        ([0, 3, 6, 3, 4, 1, 2, 9], [2, 2, 6, 2]),
        ([8, 5, 7, 0, 0, 3, 6, 3, 4, 1, 2, 9], [4, 3, 4, 4]),
        ([99, 99, 99, 99, 8, 5, 7, 0, 0, 3, 6, 3, 4, 1, 2, 9], [4, 3, 4, 27.75]),
        ([8, 4, 1, 2, 9], [4, 1, 8.5, 4]),  # two seasons of the fourth step alone
        ([1, 2, 9], [None, 1, 9, None]),
    ],
)
def test_averaged_is_the_mean_of_three_seasons_and_of_four_two_ahead_as_they_exist(s, expected):
    assert after_the_end(s, "averaged", (1, 2, 4, 5), sp=(4,)) == expected


@pytest.mark.parametrize("kwargs", [{"level_period": 3}, {"sp": (2, 3), "level_period": 9}])
@pytest.mark.parametrize(
    ("s", "horizons", "expected"),
    [
        # From a mean of 2 over three values to 5 over the next: 1 a step from the last value on.
        ([1, 2, 3, 4, 4, 7], (1, 2, 3), [7 + 1, 7 + 2, 7 + 3]),
        ([0, 1, 2, 3, 4, 4, 7], (1, 3), [7 + 1, 7 + 3]),
        # Four to six steps ahead, the means are six steps apart: from 11 to 5.
        ([10, 11, 12, 1, 2, 3, 4, 4, 7], (1, 3, 4, 6), [7 + 1, 7 + 3, 7 - 4, 7 - 6]),
        ([10, 11, 12, 1, 2, 3, 4, 4, 7], (5,), [7 - 5]),
        ([2, 3, 4, 4, 7], (1, 3), [None, None]),
        ([1, 2, 3, 4, 4, 7], (3, 4), [7 + 3, None]),
    ],
)
def test_drift_continues_the_trend_of_the_mean_from_the_last_value(s, horizons, expected, kwargs):
    assert after_the_end(s, "drift", horizons, **kwargs) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("horizons", [(1,), (1, 3, 7), (12, 13, 40)])
def test_drift_continues_a_straight_line(horizons):
    t = np.arange(100.0)
    forecast = after_the_end(0.5 * t, "drift", horizons, level_period=12)
    assert forecast == pytest.approx([0.5 * (99 + h) for h in horizons], abs=1e-4)


@pytest.mark.parametrize("sp", [(), (4,), (2, 5), (7, 3, 12)])
@pytest.mark.parametrize("horizons", [None, (1,), (3,), (1, 2, 3, 4, 5, 6, 7, 8, 9), (2, 8, 30)])
def test_naive_forecasts_of_horizons_are_those_of_a_loop_over_the_series(horizons, sp):
    s = rng.normal(size=60)
    features = features_of(sp=sp, naive=NAIVE, horizons=horizons, level_period=8)
    _, targets, _ = read(features, s)
    forecast, exists = NaiveForecasts(features)(targets)
    assert [f.name for f in features.naive_forecasts] == [
        "last",
        "mean",
        "drift",
        *(name for name in ("seasonal", "shifted", "leveled", "averaged") for _ in sp),
    ]
    for t in range(1, 60):
        for j, h in enumerate(horizons or (1,)):
            for i, f in enumerate(features.naive_forecasts):
                expected = naive_by_hand(s, f.name, f.period, t, h)
                assert exists[0, t - 1, j, 0, i] == (expected is not None), (f, t, h)
                if expected is not None:
                    assert forecast[0, t - 1, j, 0, i] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("horizons", [None, (1, 3, 9)])
def test_every_naive_forecast_moves_with_the_level_of_the_series(horizons):
    # So that the forecast does.
    s = rng.normal(size=30)
    features = features_of(sp=(2, 3, 9), naive=NAIVE, horizons=horizons)
    naive_forecasts = NaiveForecasts(features)
    low, high = (naive_forecasts(read(features, s + level)[1])[0] for level in (0.0, 64.0))
    torch.testing.assert_close(high, low + 64.0, rtol=0, atol=1e-4)


@pytest.mark.parametrize("horizons", [None, (1, 5)])
def test_naive_forecasts_of_each_column_use_that_column(horizons):
    s = rng.normal(size=(15, 2))
    features = features_of(sp=(3,), naive=NAIVE, n_columns=2, horizons=horizons)
    forecast, _ = NaiveForecasts(features)(read(features, s, start=4)[1])
    single = features_of(sp=(3,), naive=NAIVE, horizons=horizons)
    for column in range(2):
        targets = read(single, s[:, column], start=4)[1]
        alone, _ = NaiveForecasts(single)(targets)
        np.testing.assert_array_equal(forecast[:, :, :, [column]], alone)


def test_naive_forecast_exists_once_its_deepest_value_does():
    features = features_of(sp=(2, 4), naive=NAIVE)
    _, exists = NaiveForecasts(features)(read(features, rng.normal(size=10))[1])
    # last and mean need 1 value, the drift 8, the seasons 2 and 4, shifted 3 and 5, leveled 4 and
    # 8, averaged 2 and 4; steps 1 to 9.
    needed = (1, 1, 8, 2, 4, 3, 5, 4, 8, 2, 4)
    expected = [[t >= n for n in needed] for t in range(1, 10)]
    assert exists[0, :, 0, 0].tolist() == expected


def test_naive_forecasts_of_several_horizons_exist_once_their_deepest_values_do():
    features = features_of(sp=(4,), naive=NAIVE, horizons=(1, 4, 5))
    _, exists = NaiveForecasts(features)(read(features, rng.normal(size=20))[1])
    # Of last, mean, drift, seasonal, shifted, leveled and averaged; one season back, and two for
    # the last horizon.
    needed = [[1, 1, 8, 4, 5, 8, 4], [1, 1, 8, 1, 5, 8, 1], [1, 1, 12, 4, 9, 12, 4]]
    expected = [[[t >= n for n in row] for row in needed] for t in range(1, 20)]
    assert exists[0, :, :, 0].tolist() == expected


def line(slope=1.0, n=24, horizons=(1, 4), start=4):
    """Chunk of a straight line, its targets beyond the end not counted; last value and season."""
    features = features_of(sp=(4,), naive=("last", "seasonal"), horizons=horizons)
    steps, targets, values = read(features, slope * np.arange(n), start=start)
    weight = torch.ones_like(values)
    for j, h in enumerate(horizons):
        weight[:, len(weight[0]) + 1 - h :, j] = 0.0
    return NaiveForecasts(features), Chunk(steps, targets, values, weight)


def test_errors_of_each_horizon_are_means_of_its_targets():
    naive_forecasts, chunk = line()
    errors = naive_forecasts.errors([chunk])[:, 0]
    # A season of four steps is off by 4. Two targets more count as forecast like the last value.
    expected = [[1, (20 * 4 + 2 * 1) / (20 * 1 + 2 * 1)], [4, 4]]
    np.testing.assert_allclose(errors, expected, rtol=1e-5)


def test_errors_are_those_of_the_first_batches():
    naive_forecasts, chunk = line()
    far_off = chunk._replace(values=chunk.values + 1e3)
    expected = naive_forecasts.errors([chunk] * N_COMPARED_BATCHES)
    batches = iter([chunk] * N_COMPARED_BATCHES + [far_off])
    assert torch.equal(naive_forecasts.errors(batches), expected)
    assert next(batches) is far_off  # drawn later, by nobody here
    assert not torch.equal(naive_forecasts.errors([far_off]), expected)


def test_horizon_without_a_target_has_the_largest_error_of_the_last_value():
    naive_forecasts, chunk = line(horizons=(1, 2, 4))
    chunk.weight[:, :, 1] = 0.0
    errors = naive_forecasts.errors([chunk])[:, 0]
    np.testing.assert_allclose(errors[:, 0], [1, 4, 4], rtol=1e-5)
    np.testing.assert_allclose(errors[1, 1], 4, rtol=1e-5)


def test_no_batch_is_drawn_without_naive_forecasts():
    batches = iter([None])
    assert NaiveForecasts(features_of()).errors(batches).shape == (1, 1, 0)
    assert next(batches) is None


def test_perfect_naive_forecast_has_an_error_above_zero():
    naive_forecasts, chunk = line(slope=0.0)
    assert (naive_forecasts.errors([chunk]) > 0).all()
