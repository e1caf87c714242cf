import numpy as np
import pandas as pd
import pytest

from skrnn.data.ragged import evenly_spaced, numbered, series_offsets


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
