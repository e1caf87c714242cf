"""Features: which naive forecasts are mixed, which past values are read, what is counted."""

import numpy as np
import pandas as pd
import pytest

from builders import NAIVE, OF_VALUES, features_of, network_of, panel_of, read
from skrnn import GRUForecaster
from skrnn.contract.models import chosen_features
from skrnn.data.holidays import Holidays
from skrnn.forecasting.strategies import MultiOutput, Recursive
from skrnn.naive import AUTO_LEVEL, AUTO_SEASONAL, naive_kinds

pytestmark = pytest.mark.usefixtures("one_thread")


def test_auto_takes_the_naive_forecasts_for_a_season_or_for_none():
    panel = panel_of(pd.RangeIndex(400))

    def chosen(sp):
        return chosen_features(GRUForecaster(sp=sp), panel, Recursive()).naive

    assert chosen((24, 168)) == chosen((1, 7)) == naive_kinds(AUTO_SEASONAL)
    assert chosen(None) == chosen(1) == naive_kinds(AUTO_LEVEL)
    assert "drift" not in AUTO_SEASONAL
    assert {*AUTO_SEASONAL, *AUTO_LEVEL} == {*NAIVE}


def mixed(features):
    """Name and period of each naive forecast."""
    return [(f.name, f.period) for f in features.naive_forecasts]


def reach_of(features):
    """Rows before a step of the earliest value that it reads, those of means left out."""
    return max(*features.offsets, *features.naive_offsets)


LEVELS_OF_7 = [("mean", 7), ("drift", 7)]


@pytest.mark.parametrize(
    ("naive", "expected"),
    [
        ((), []),
        (("last",), [("last", 1)]),
        (("seasonal",), [("seasonal", 4), ("seasonal", 7)]),
        (("shifted",), [("shifted", 4), ("shifted", 7)]),
        (("leveled",), [("leveled", 4), ("leveled", 7)]),
        (("mean",), [("mean", 7)]),
        (("last", "seasonal"), [("last", 1), ("seasonal", 4), ("seasonal", 7)]),
        (("mean", "last"), [("last", 1), ("mean", 7)]),
        (("averaged",), [("averaged", 4), ("averaged", 7)]),
        (("drift",), [("drift", 7)]),
        (("seasonal", "drift", "mean"), [*LEVELS_OF_7, ("seasonal", 4), ("seasonal", 7)]),
    ],
)
def test_naive_forecasts_asked_for_are_mixed(naive, expected):
    assert mixed(features_of(sp=(4, 7), naive=naive)) == expected


@pytest.mark.parametrize("sp", [(), (1,)])
@pytest.mark.parametrize("naive", [OF_VALUES, ("seasonal",), ("leveled",), ("averaged",)])
def test_without_a_season_of_two_steps_or_more_the_last_value_is_left(sp, naive):
    features = features_of(sp=sp, naive=naive, horizons=(1,), level_period=5)
    assert mixed(features) == [("last", 1)]
    assert features.naive_offsets == (1,)
    assert features.mean_periods == ()


@pytest.mark.parametrize("sp", [(), (1,)])
def test_without_a_season_mean_and_drift_are_of_the_level(sp):
    features = features_of(sp=sp, naive=NAIVE, horizons=(1,), level_period=5)
    assert mixed(features) == [("last", 1), ("mean", 5), ("drift", 5)]
    assert features.naive_offsets == (1,)
    assert features.mean_periods == (5,)


@pytest.mark.parametrize(
    ("features", "needed", "reach"),
    [
        (features_of(lags=(5, 3)), {1, 3, 5}, 5),
        (features_of(sp=(24,), naive=("shifted",)), {1, 24, 25}, 25),
        (features_of(sp=(24,), naive=("seasonal",)), {24}, 24),
        (features_of(sp=(24,), lags=(30,), naive=OF_VALUES), {1, 24, 25, 30}, 30),
        (features_of(sp=(24,), lags=(30,), naive=NAIVE), {1, 24, 25, 30, 48, 72}, 72),
        (features_of(sp=(24,), lags=(80,), naive=("averaged",)), {1, 24, 48, 72, 80}, 80),
        (features_of(patch_length=6), {1, 2, 3, 4, 5, 6, 7}, 7),
    ],
)
def test_offsets_and_reach_cover_lags_and_naive_forecasts(features, needed, reach):
    assert needed <= {*features.offsets, *features.naive_offsets}
    for offsets in (features.offsets, features.naive_offsets):
        assert offsets[0] == 1
        assert list(offsets) == sorted(offsets)
    assert reach_of(features) == features.history == reach


@pytest.mark.parametrize("horizons", [None, (1, 2)])
def test_lags_that_the_linear_forecast_alone_reads_come_last(horizons):
    shared = {"sp": (4,), "lags": (6,), "naive": ("seasonal",), "horizons": horizons}
    without, with_linear = features_of(**shared), features_of(**shared, linear_lags=(1, 2, 3, 9))
    assert with_linear.naive_offsets[: len(without.naive_offsets)] == without.naive_offsets
    assert with_linear.offsets[: len(without.offsets)] == without.offsets
    assert set(with_linear.naive_offsets) == {*without.naive_offsets, 1, 2, 3, 9}
    assert with_linear.history == 9


@pytest.mark.parametrize(
    ("naive", "horizons", "expected"),
    [
        # Values at t - 1 + h - kp lie kp - h + 1 before t, the level k seasons ago kp + 1.
        (("last",), (1, 30), {1}),
        (("mean",), (1, 30), {1}),
        (("seasonal",), (1,), {1, 24}),
        (("seasonal",), (1, 2, 24), {1, 24, 23}),
        (("seasonal",), (24, 25, 48, 49), {1, 24}),
        (("seasonal",), (30,), {1, 48 - 29}),
        (("shifted",), (2,), {1, 23, 25}),
        (("shifted",), (24, 25), {1, 25, 24, 49}),
        (("leveled",), (30, 60), {1, 19, 49, 72 - 59, 73}),
        (("averaged",), (1, 30), {1, 24, 48, 72, 48 - 29, 72 - 29, 96 - 29, 120 - 29}),
        (("drift",), (1, 30), {1}),
    ],
)
def test_naive_offsets_go_so_many_seasons_back_that_the_value_is_known(naive, horizons, expected):
    features = features_of(sp=(24,), naive=naive, horizons=horizons)
    assert features.naive_offsets == tuple(sorted(expected))
    assert reach_of(features) == max(2, *expected)


@pytest.mark.parametrize(
    ("naive", "horizons", "reach", "history"),
    [
        # The season before the one that is shifted to the present level, in whole.
        (("leveled",), None, 169, 168 + 168),
        (("leveled",), (1, 24, 30), 169, 168 + 168),
        (("leveled",), (1, 400), 1 + 3 * 168, 3 * 168 + 168),
        (("mean",), (1, 30), 2, 168 + 168),
        (("drift",), (1, 400), 2, 3 * 168 + 168),
        (("averaged",), (1, 30), 3 * 168, 3 * 168),
        (NAIVE, (1, 30), 3 * 168, 3 * 168),
    ],
)
def test_history_covers_the_values_and_the_means_that_a_step_needs(naive, horizons, reach, history):
    features = features_of(sp=(24, 168), naive=naive, horizons=horizons)
    assert reach_of(features) == reach
    assert features.history == history


@pytest.mark.parametrize(
    ("naive", "periods"),
    [(("leveled",), (24, 168)), (("mean",), (168,)), (("drift",), (168,)), (("averaged",), ())],
)
def test_means_are_taken_over_the_seasons_that_need_them(naive, periods):
    assert features_of(sp=(168, 24), naive=naive).mean_periods == periods


@pytest.mark.parametrize("horizons", [None, (1, 30)])
@pytest.mark.parametrize(
    ("naive", "needed"),
    [
        # Targets begin where a season and the value before it exist, not three seasons later.
        (("last", "seasonal"), {None: 24, (1, 30): 24}),
        (("averaged",), {None: 6, (1, 30): 6}),
        (("leveled",), {None: 25, (1, 30): 49}),
        (NAIVE, {None: 25, (1, 30): 49}),
        (("mean", "drift"), {None: 6, (1, 30): 6}),
    ],
)
def test_older_seasons_and_means_are_no_past_that_targets_wait_for(naive, needed, horizons):
    features = features_of(sp=(24,), lags=(6,), naive=naive, horizons=horizons)
    assert features.needed == needed[horizons]


def test_a_period_of_one_step_is_no_season():
    assert features_of(sp=(168, 24)).seasons == (168, 24)
    assert features_of(sp=(1, 7)).seasons == (7,)
    assert features_of(sp=(1,)).seasons == ()


@pytest.mark.parametrize(
    "more", [{}, {"missing": True}, {"patch_length": 4}, {"holidays": Holidays(["2024-01-01"])}]
)
def test_n_inputs_counts_the_channels(more):
    features = features_of((3,), (3, 5), NAIVE, ("hour", "dayofyear"), 2, 4, **more)
    index = pd.date_range("2024-01-01", periods=12, freq="h")
    steps, *_ = read(features, np.zeros((12, 2)), X=np.zeros((12, 4)), index=index)
    assert network_of(features).inputs(steps).shape == (1, 11, features.n_inputs)


@pytest.mark.parametrize(("sp", "longest"), [((24, 168), 168), ((24, 672), 168), ((4,), 4)])
def test_steps_ahead_are_those_of_the_longest_season_up_to_a_week_of_hours(sp, longest):
    horizons = features_of(sp=sp, naive=NAIVE).ahead(MultiOutput).horizons
    assert horizons == tuple(range(1, longest + 1))


def test_a_season_ahead_nothing_but_the_naive_forecasts_is_read():
    features = features_of(sp=(4,), lags=(50,), naive=NAIVE).ahead(MultiOutput)
    assert features.lags == ()
    assert features.patch_length == 1
    assert mixed(features) == mixed(features_of(sp=(4,), naive=NAIVE))


def test_a_season_ahead_past_covariates_are_forecast_along():
    features = features_of(sp=(4,), naive=NAIVE, n_columns=2, n_past=1)
    ahead = features.ahead(MultiOutput)
    assert (ahead.n_outputs, features.n_outputs) == (3, 3)
    assert (ahead.n_values, features.n_values) == (3, 3)


@pytest.mark.parametrize(
    ("more", "covers"),
    [
        ({}, True),
        ({"cycle": 4}, True),
        ({"cycle": 5}, False),
        ({"lags": (12,)}, True),
        ({"lags": (13,)}, False),
        ({"patch_length": 12}, False),
    ],
    ids=str,
)
def test_naive_forecasts_cover_the_inputs_unless_a_cycle_or_lag_reaches_further(more, covers):
    # "averaged" goes back over three seasons of four steps.
    features = features_of(**{"sp": (4,), "lags": (4,), "naive": AUTO_SEASONAL} | more)
    assert features.naive_covers_inputs == covers


@pytest.mark.parametrize(
    "more",
    [
        {"n_numbers": 1},
        {"sizes": (3,)},
        {"n_columns": 2},
        {"n_past": 1},
        {"holidays": Holidays(["2024-01-01"])},
        {"naive": ()},
    ],
    ids=str,
)
def test_naive_forecasts_do_not_cover_what_other_columns_show(more):
    features = features_of(**{"sp": (4,), "naive": AUTO_SEASONAL} | more)
    assert not features.naive_covers_inputs
    assert features.is_univariate_only == ("naive" in more)


@pytest.mark.parametrize(
    ("more", "n"),
    [
        ({}, 6 + 4),
        ({"n_numbers": 2}, 6 + 4 + 2),
        ({"n_numbers": 2, "holidays": Holidays(["2024-05-03"])}, 6 + 4 + 3 + 2),
        ({"sizes": (3, 5)}, 6 + 4),  # categories are embedded
    ],
    ids=str,
)
def test_n_known_counts_calendar_holidays_and_numbers(more, n):
    assert features_of(calendar=("dayofweek", "hour"), **more).n_known == n


@pytest.mark.parametrize(("horizons", "n_outputs"), [(None, 5), ((1, 2), 2)])
def test_past_covariates_are_forecast_recursively_only(horizons, n_outputs):
    features = features_of(n_columns=2, n_past=3, horizons=horizons)
    assert (features.n_values, features.n_outputs) == (5, n_outputs)


def test_recursive_steps_read_inputs_and_naive_forecasts_at_once():
    kwargs = {"sp": (4,), "lags": (9,), "naive": ("last", "shifted")}
    recursive, at_once = features_of(**kwargs), features_of(**kwargs, horizons=(1, 2))
    assert recursive.offsets == recursive.naive_offsets == (1, 2, 4, 5, 9)
    assert at_once.offsets == (1, 2, 9)
    assert at_once.naive_offsets == (1, 3, 4, 5)


def test_means_end_at_the_step_and_whole_seasons_before_it():
    features = features_of(sp=(4, 3), naive=("leveled",), horizons=(1, 4, 5))
    assert features.mean_periods == (3, 4)
    assert features.mean_offsets == [[1, 1 + 3, 1 + 6, 1 + 6], [1, 1 + 4, 1 + 4, 1 + 8]]
