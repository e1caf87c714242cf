from itertools import pairwise

import numpy as np
import pytest

from skrnn.data.missing import fill_missing


def filled(y, *periods):
    """Values of one series with its missing ones filled."""
    y = np.array(y, dtype=float)[:, None]
    return fill_missing(y, ~np.isnan(y), np.array([0, len(y)]), periods)[:, 0]


@pytest.mark.parametrize(
    ("y", "period", "expected"),
    [
        # s[5] = s[2] + s[4] - s[1], one season of three steps back.
        ([1, 5, 2, 4, 9, None, 7], 3, {5: 2 + 9 - 5}),
        # All of a gap by the change since one season before its last observation, s[4] - s[1].
        ([1, 5, 2, 4, 9, None, None, 7], 3, {5: 2 + 9 - 5, 6: 4 + 9 - 5}),
        # A gap longer than the season goes on from what was filled: s[8] from s[5].
        ([1, 5, 2, 4, 9, None, None, None, None, 0], 3, {5: 6, 6: 8, 7: 9 + 4, 8: 6 + 4}),
        # The season of a lone missing value was missing too, and filled before.
        ([1, 5, 2, 3, None, 4, 7, None, 8], 3, {4: 5 + 3 - 1, 7: (5 + 3 - 1) + 7 - 3}),
        # The last observation's own season was missing: s[4] and s[1] = s[0], no season before.
        ([6, None, 2, 3, 9, None, 1], 3, {1: 6, 5: 2 + 9 - 6}),
        # No season before the last observation: the value itself.
        ([4, 5, 2, None, None, 7], 3, {3: 2, 4: 2}),
        ([4, 5, 2, 1, 0, None, None], 12, {5: 0, 6: 0}),
        # No season at all.
        ([1, 5, 2, 4, 9, None, None, 7, None], None, {5: 9, 6: 9, 8: 7}),
        # s[3] stands in for the season of s[5].
        ([1, 2, 3, None, 5, None], 2, {3: 2 + 3 - 1, 5: (2 + 3 - 1) + 5 - 3}),
    ],
)
def test_missing_value_is_the_seasonal_naive_forecast_at_the_present_level(y, period, expected):
    y = np.array(y, dtype=float)
    result = filled(y, *([period] if period else []))
    assert {int(t): result[t] for t in np.flatnonzero(np.isnan(y))} == expected
    assert result[~np.isnan(y)].tolist() == y[~np.isnan(y)].tolist()


def fill_by_hand(y, period):
    """The formula, applied to one value after another."""
    s, observed = y.copy(), ~np.isnan(y)
    for t in np.flatnonzero(~observed):
        before = np.flatnonzero(observed[:t])
        if not len(before):
            continue
        a = before[-1]
        value = np.nan
        if period is not None and a - period >= before[0]:
            value = s[t - period] + s[a] - s[a - period]
        s[t] = s[a] if np.isnan(value) else value
    return s


@pytest.mark.parametrize("begins", [0, 9])
@pytest.mark.parametrize("period", [None, 1, 2, 5, 12])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_filled_values_follow_the_formula_one_after_another(period, share, begins):
    rng = np.random.default_rng(0)
    for _ in range(20):
        y = np.where(rng.random(60) < share, np.nan, rng.integers(-9, 10, 60))
        y[:begins], y[begins] = np.nan, 1.0
        periods = [period] if period else []
        np.testing.assert_array_equal(filled(y, *periods), fill_by_hand(y, period))


def test_several_seasons_give_the_mean_of_their_forecasts():
    # s[2] + s[4] - s[1] and s[3] + s[4] - s[2]; then s[4] + s[6] - s[3] and s[5] + s[6] - s[4].
    first = ((2 + 9 - 5) + (4 + 9 - 2)) / 2
    expected = [first, ((9 + 7 - 4) + (first + 7 - 9)) / 2]
    assert filled([1, 5, 2, 4, 9, None, 7, None], 3, 2)[[5, 7]].tolist() == expected


@pytest.mark.parametrize("period", [None, 3])
@pytest.mark.parametrize("t", [2, 7, 8, 15])
def test_filled_value_does_not_depend_on_later_values(period, t):
    y = np.random.default_rng(1).integers(-9, 10, 20).astype(float)
    y[[2, 6, 7, 8, 9, 15]] = np.nan
    changed = y.copy()
    changed[t + 1 :] = np.where(np.isnan(changed[t + 1 :]), 50.0, 100.0)
    periods = [period] if period else []
    np.testing.assert_array_equal(filled(changed, *periods)[: t + 1], filled(y, *periods)[: t + 1])


def test_series_and_columns_are_filled_separately():
    rng = np.random.default_rng(2)
    offsets = np.cumsum([0, 9, 3, 20, 1, 14])
    y = rng.integers(-9, 10, (offsets[-1], 2)).astype(float)
    y[rng.random(y.shape) < 0.4] = np.nan
    result = fill_missing(y, ~np.isnan(y), offsets, (4,))
    for first, stop in pairwise(offsets):
        for c in range(2):
            np.testing.assert_array_equal(result[first:stop, c], fill_by_hand(y[first:stop, c], 4))


def test_values_before_the_first_observation_of_a_column_stay_missing():
    nan = np.nan
    y = np.array([[1, nan], [nan, nan], [3, 6], [4, nan]])
    result = fill_missing(y, ~np.isnan(y), np.array([0, 4]), ())
    np.testing.assert_array_equal(result, [[1, nan], [1, nan], [3, 6], [4, 6]])


def test_values_that_were_filled_before_are_not_read():
    y, observed = np.array([[1.0], [99.0], [3.0], [99.0]]), np.array([[1], [0], [1], [0]], bool)
    assert fill_missing(y, observed, np.array([0, 4]), ()).ravel().tolist() == [1, 1, 3, 3]
    assert y.ravel().tolist() == [1, 99, 3, 99]
