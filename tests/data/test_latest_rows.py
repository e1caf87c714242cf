"""Latest rows: after any number of new rows they are the end of the panel that holds them all."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import panel_of
from skrnn.data.latest_rows import LatestRows
from skrnn.data.panel import Panel


def series(n, n_columns=2, seed=0, share_missing=0.3):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, n_columns))
    values[rng.random(values.shape) < share_missing] = np.nan
    values[0] = 1.0
    return values


def two_series(a, b):
    """A panel of two series that begin at different rows and end together."""
    index = [("a", k) for k in range(len(a))]
    index += [("b", k) for k in range(len(a) - len(b), len(a))]
    return panel_of(pd.MultiIndex.from_tuples(index), np.concatenate([a, b]))


def filled_panel(a, b, periods) -> Panel:
    return two_series(a, b).filled(periods)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    periods=st.sampled_from([(), (3,), (2, 5)]),
    n_kept=st.sampled_from([None, 1, 9]),
    share_missing=st.sampled_from([0.0, 0.3, 0.8]),
)
def test_rows_and_fills_are_those_of_the_whole_panel(seed, periods, n_kept, share_missing):
    a, b = (series(60, seed=seed + k, share_missing=share_missing) for k in (0, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("skrnn.data.latest_rows.FEWEST_SPARE_ROWS", 2)
        patch.setattr("skrnn.data.latest_rows.MOST_SPARE_ROWS", 2)
        latest = LatestRows(filled_panel(a[:20], b[:12], periods), periods, n_kept, n_ahead=1)
        for k in range(40):
            if latest.is_full:
                latest.make_room()
            rows = np.stack([a[20 + k], b[12 + k]])
            latest.append(np.arange(2), rows, np.empty((2, 0)))
    expected = filled_panel(a, b[:52], periods)
    kept = latest.panel()
    assert (kept.lengths >= min(latest.n_kept, 52)).all()
    np.testing.assert_array_equal(kept.end, expected.end)
    for s in range(2):
        n, stop = kept.lengths[s], expected.offsets[s + 1]
        rows = slice(kept.offsets[s], kept.offsets[s + 1])
        np.testing.assert_allclose(kept.values[rows], expected.values[stop - n : stop])
        np.testing.assert_allclose(kept.raw()[rows], expected.raw()[stop - n : stop])
    least = np.where(np.isnan(expected.raw()), 0.0, expected.raw())
    np.testing.assert_array_equal(latest.least, np.minimum.reduceat(least, expected.offsets[:-1]))


def test_a_gap_longer_than_a_block_is_filled_from_before_it():
    values = np.sin(np.arange(80.0) * np.pi / 2)[:, None] + 5
    values[20:] = np.nan
    latest = LatestRows(panel_of(pd.RangeIndex(10), values[:10]), (4,), n_kept=5, n_ahead=1)
    for k in range(10, 80):
        if latest.is_full or k % 7 == 0:
            latest.make_room()
        latest.append(np.zeros(1, dtype=int), values[k : k + 1], np.empty((1, 0)))
    assert latest.count[0] < 60  # the last observation has been dropped
    expected = panel_of(pd.RangeIndex(80), values).filled((4,)).values
    n = latest.count[0]
    np.testing.assert_allclose(latest.panel().values, expected[-n:])


def test_only_the_series_named_get_a_row():
    latest = LatestRows(two_series(series(9), series(5)), (), None, 1)
    before = latest.panel()
    latest.append(np.array([1]), np.ones((1, 2)), np.empty((1, 0)))
    after = latest.panel()
    np.testing.assert_array_equal(after.lengths - before.lengths, [0, 1])
    np.testing.assert_array_equal(after.values[:9], before.values[:9])
    np.testing.assert_array_equal(after.values[-1], [1.0, 1.0])
