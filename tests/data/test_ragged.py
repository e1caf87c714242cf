import numpy as np
import pandas as pd
import pytest

from skrnn.data.ragged import evenly_spaced, numbered, sampled, series_offsets


def test_items_are_numbered_within_their_series():
    series, number = numbered(np.array([2, 0, 3, 1]))
    assert series.tolist() == [0, 0, 2, 2, 2, 3]
    assert number.tolist() == [0, 1, 0, 1, 2, 0]


@pytest.mark.parametrize("counts", [[], [0], [0, 0]])
def test_no_items_have_no_numbers(counts):
    series, number = numbered(np.array(counts, dtype=np.int64))
    assert len(series) == len(number) == 0


@pytest.mark.parametrize(
    ("n", "most", "expected"),
    [
        (5, 9, [0, 1, 2, 3, 4]),
        (5, 5, [0, 1, 2, 3, 4]),
        (9, 3, [0, 4, 8]),
        (10, 4, [0, 3, 6, 9]),
        (10, 1, [0]),
        (1, 3, [0]),
        (0, 3, []),
    ],
)
def test_evenly_spaced_integers_include_both_ends(n, most, expected):
    assert evenly_spaced(n, most).tolist() == expected


def test_evenly_spaced_integers_are_distinct_and_their_steps_differ_by_one_at_most():
    for n in range(2, 60):
        for most in range(2, n + 1):
            steps = np.diff(evenly_spaced(n, most))
            assert steps.min() >= 1
            assert np.ptp(steps) <= 1


@pytest.mark.parametrize(("n", "most"), [(0, 3), (1, 3), (5, 5), (5, 9)])
def test_of_few_integers_all_are_sampled(n, most):
    assert sampled(n, most).tolist() == list(range(n))


@pytest.mark.parametrize(("n", "most"), [(10, 1), (10, 4), (1000, 999), (480_000, 20_000)])
def test_of_many_integers_one_of_each_stretch_is_sampled(n, most):
    place, edges = sampled(n, most), np.arange(most + 1) * n // most
    assert (edges[:-1] <= place).all()
    assert (place < edges[1:]).all()


@pytest.mark.parametrize("season", [7, 24, 168, 1440])
@pytest.mark.parametrize("distance", [7, 24, 25, 168])
def test_sampled_integers_have_all_phases_of_a_season_about_equally_often(season, distance):
    for part in np.split(sampled(distance * 50 * season, 50 * season), 5):
        counts = np.bincount(part % season, minlength=season)
        assert counts.mean() == 10
        assert counts.var() < 30  # 10 of independent ones, 600 and more of a single phase


def test_index_without_levels_is_one_series():
    assert series_offsets(pd.RangeIndex(4)).tolist() == [0, 4]
    assert series_offsets(pd.RangeIndex(0)).tolist() == [0, 0]


def test_each_change_of_a_level_but_the_last_starts_a_series():
    index = pd.MultiIndex.from_tuples(
        [("b", 1, 0), ("b", 1, 1), ("b", 2, 0), ("a", 2, 0), ("a", 2, 1), ("a", 1, 5)]
    )
    assert series_offsets(index).tolist() == [0, 2, 3, 5, 6]
    assert series_offsets(index.droplevel(1)).tolist() == [0, 3, 6]


def test_levels_that_no_row_uses_start_no_series():
    index = pd.MultiIndex.from_product([["a", "b", "c"], [0, 1]])[[0, 1, 4, 5]]
    assert series_offsets(index).tolist() == [0, 2, 4]
