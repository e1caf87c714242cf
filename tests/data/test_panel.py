# `values` is the array of a Panel, never that of pandas.
import copy
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from skrnn.data.covariates import Covariates
from skrnn.data.panel import Panel

HOURS = pd.date_range("2024-01-01", periods=12, freq="h", name="time")


def frame(index, **columns):
    columns = columns or {"y": np.arange(len(index), dtype=float)}
    return pd.DataFrame(columns, index=index)


def read(y, X=None, timeline=None, past=()):
    return Panel.from_pandas(y, X, Covariates.of(X, past), timeline)


def panel_of(index, X=None, timeline=None, past=(), **columns):
    return read(frame(index, **columns), X, timeline, past)


def first_column(panel):
    return panel.values[:, 0].tolist()


def several(names=("series", "time"), **series):
    """Index of a panel: one keyword a series, its time stamps."""
    pairs = [(key, stamp) for key, stamps in series.items() for stamp in stamps]
    return pd.MultiIndex.from_tuples(pairs, names=names)


def without_freq(index):
    return pd.DatetimeIndex(list(index), name=index.name)


# --------------------------------------------------------------------- Panel


def test_rows_of_each_series_lie_between_its_offsets():
    panel = panel_of(several(b=HOURS[:3], a=HOURS[1:6], c=HOURS[2:4]))
    assert panel.offsets.tolist() == [0, 3, 8, 10]
    assert panel.lengths.tolist() == [3, 5, 2]
    assert panel.origin.tolist() == [0, 1, 2]
    assert panel.end.tolist() == [3, 6, 4]
    assert panel.series_of_rows().tolist() == [0] * 3 + [1] * 5 + [2] * 2
    assert panel.keys.tolist() == ["b", "a", "c"]
    assert panel.n_series == 3


def test_values_are_the_columns_in_float64():
    panel = panel_of(HOURS[:3], load=np.array([1, 2, 3]), price=np.array([0.5, 1.5, 2.5]))
    values = panel.values
    assert values.tolist() == [[1.0, 0.5], [2.0, 1.5], [3.0, 2.5]]
    assert values.dtype == np.float64
    assert panel.columns.tolist() == ["load", "price"]


def test_hierarchical_keys_are_tuples_of_all_levels_but_time():
    tuples = [
        (country, shop, stamp)
        for country, shop in [("de", "1"), ("de", "2"), ("fr", "1")]
        for stamp in HOURS[:4]
    ]
    index = pd.MultiIndex.from_tuples(tuples, names=["country", "shop", "time"])
    panel = panel_of(index)
    assert panel.keys.tolist() == [("de", "1"), ("de", "2"), ("fr", "1")]
    assert panel.offsets.tolist() == [0, 4, 8, 12]
    assert panel.label(1) == "('de', '2')"


@pytest.mark.parametrize(
    "index",
    [
        HOURS,
        several(b=HOURS[:3], a=HOURS[1:6], names=["region", None]),
        pd.MultiIndex.from_tuples(
            [("de", shop, day) for shop in (2, 1) for day in (4, 5, 6)],
            names=["country", "shop", "day"],
        ),
    ],
    ids=["single", "panel", "hierarchy"],
)
def test_index_of_all_rows_is_the_index_of_y(index):
    panel = panel_of(index)
    series = panel.series_of_rows()
    row = np.arange(len(series)) - panel.offsets[series]
    result = panel.index(series, panel.origin[series] + row)
    pd.testing.assert_index_equal(result, index, exact="equiv")


def test_label_is_y_for_a_single_series_and_the_key_in_a_panel():
    assert panel_of(HOURS).label(0) == "y"
    assert panel_of(several(north=HOURS, south=HOURS)).label(1) == "'south'"


def test_panel_without_covariates_has_no_known_columns():
    panel = panel_of(HOURS)
    assert panel.known.shape == (12, 0)
    assert len(panel.covariates.columns) == 0
    assert panel.values.shape == (12, 1)


@pytest.mark.parametrize(
    ("rows", "before", "after"),
    [
        ([0, 1, 2, 4, 5, 6, 7], "02:00:00", "04:00:00"),
        ([0, 1, 2, 2, 3, 4, 5], "02:00:00", "02:00:00"),
        ([0, 1, 2, 3, 5, 4, 6, 7], "05:00:00", "04:00:00"),
    ],
    ids=["gap", "duplicate", "unsorted"],
)
def test_irregular_series_is_named_with_the_stamps(rows, before, after):
    index = several(good=HOURS, bad=HOURS[rows])
    with pytest.raises(ValueError, match="one row for every time stamp") as caught:
        panel_of(index)
    assert "Series 'bad'" in str(caught.value)
    assert f"2024-01-01 {after} follows 2024-01-01 {before}" in str(caught.value)


def test_gap_names_the_frequency_though_the_index_lost_it():
    with pytest.raises(ValueError, match=r"Series y .* frequency 'h', .* 05:00:00 follows .* 03:0"):
        panel_of(without_freq(HOURS.delete(4)))


def test_gap_of_an_integer_index_is_named():
    with pytest.raises(ValueError, match="frequency 2, in order, but 10 follows 6"):
        panel_of(pd.Index([2, 4, 6, 10, 12]))


def test_gap_between_periods_is_named():
    months = pd.period_range("2020-01", periods=6, freq="M")
    with pytest.raises(ValueError, match="2020-05 follows 2020-03"):
        panel_of(months.delete(3))


def test_series_may_start_and_end_at_any_stamps():
    # The step from the end of one series to the start of the next is not checked.
    panel = panel_of(several(a=HOURS[6:9], b=HOURS[0:2], c=HOURS[3:12]))
    assert panel.origin.tolist() == [6, 0, 3]
    assert panel.end.tolist() == [9, 2, 12]


def test_interrupted_series_is_named():
    index = several(a=HOURS[:2], b=HOURS[:2]).append(several(a=HOURS[2:4]))
    with pytest.raises(ValueError, match="must be contiguous, but those of 'a' are interrupted"):
        panel_of(index)


def test_empty_series_is_refused():
    with pytest.raises(ValueError, match="at least one observation"):
        panel_of(HOURS[:0])


@pytest.mark.parametrize(
    ("name", "value"),
    [("y", np.inf), ("y", -np.inf), ("X", np.nan), ("X", np.inf), ("X", -np.inf)],
)
def test_value_that_is_not_finite_is_located(name, value):
    index = several(a=HOURS[:3], b=HOURS[:3])
    bad = frame(index, one=np.ones(6), two=np.ones(6))
    bad.iloc[[4, 5], 1] = value
    good = frame(index)
    y, X = (bad, good) if name == "y" else (good, bad)
    with pytest.raises(ValueError, match=f"{name} must be finite") as caught:
        read(y, X)
    assert f"column 'two' holds {value} at b, 2024-01-01 01:00:00" in str(caught.value)
    assert "(2 such values in all)" in str(caught.value)


def test_missing_values_of_y_are_masked():
    index = several(a=HOURS[:3], b=HOURS[:2])
    panel = panel_of(index, u=[1.0, np.nan, 3.0, np.nan, 5.0], v=np.arange(5.0))
    assert panel.observed.tolist() == [
        [True, True],
        [False, True],
        [True, True],
        [False, True],
        [True, True],
    ]
    np.testing.assert_array_equal(panel.values[:, 0], [1, np.nan, 3, np.nan, 5])


def test_panel_without_missing_values_has_no_mask():
    assert panel_of(HOURS).observed is None


def test_column_of_text_in_y_is_named():
    bad = frame(HOURS, one=np.ones(12), word=["a"] * 12)
    with pytest.raises(TypeError, match="y must be numeric, but column 'word' is "):
        read(bad, frame(HOURS))


def test_duplicated_column_of_y_is_named():
    y = pd.DataFrame(np.ones((12, 3)), index=HOURS, columns=["a", "b", "a"])
    with pytest.raises(ValueError, match="y must have each column once, but 'a' is duplicated"):
        read(y)


@pytest.mark.parametrize("value", [[1.0, 2.0], np.ones(2), {"a": 1}], ids=["list", "array", "dict"])
@pytest.mark.parametrize("row", [0, 2])
def test_value_of_y_that_is_no_number_is_located(value, row):
    column = np.array([1.0, 2.0, 3.0], dtype=object)
    column[row] = value
    y = frame(HOURS[:3], y=column)
    with pytest.raises(TypeError, match="y must hold one number in each row") as caught:
        read(y)
    holds = f"column 'y' holds a {type(value).__name__} at {HOURS[row]}. Split it"
    assert holds in str(caught.value)


def test_integer_that_does_not_fit_in_float64_is_refused():
    y = frame(HOURS[:2], y=pd.Series([1, 10**400], dtype=object, index=HOURS[:2]))
    with pytest.raises(ValueError, match="y must hold values that fit in float64"):
        read(y)


STAMPS = list(HOURS[:4])


@pytest.mark.parametrize(
    ("stamps", "kind"),
    [
        (pd.Index([0, 1, "a", 3], dtype=object), "an Index of dtype object .* 'mixed-integer'"),
        (pd.Index([STAMPS[0], 1, *STAMPS[2:]], dtype=object), "an Index of dtype object"),
        (pd.Index(STAMPS, dtype=object), "an Index of dtype object .* 'datetime'"),
        (pd.Index([0, 1, None, 3], dtype=object), "an Index of dtype object"),
        (pd.Index(list("abcd")), "an Index of dtype .* 'string'"),
        (pd.Index([0.0, 1.0, 2.0, 3.0]), "an Index of dtype float64"),
        (pd.Index([True, False, True, True]), "an Index of dtype bool"),
        (pd.CategoricalIndex([0, 1, 2, 3]), "a CategoricalIndex of dtype category"),
        (pd.interval_range(0, 4), "an IntervalIndex of dtype interval"),
        (pd.to_timedelta(range(4), "h"), "a TimedeltaIndex of dtype timedelta64"),
    ],
    ids=str,
)
@pytest.mark.parametrize("is_panel", [False, True])
def test_time_stamps_of_another_type_are_refused(stamps, kind, is_panel):
    index = pd.MultiIndex.from_arrays([["a"] * 4, stamps]) if is_panel else stamps
    timeline = panel_of(HOURS).timeline
    if isinstance(index.get_level_values(-1), pd.DatetimeIndex):
        # Before version 3 pandas turns stamps into dates where it builds a MultiIndex.
        assert panel_of(index).timeline.start[0] == STAMPS[0]
        return
    with pytest.raises(TypeError, match=f"integers, dates or periods, but got {kind}"):
        panel_of(index)
    with pytest.raises(TypeError, match=f"integers, dates or periods, but got {kind}"):
        panel_of(index, timeline=timeline)


@pytest.mark.parametrize("row", [0, 2, 3])
@pytest.mark.parametrize(
    "stamps",
    [
        pd.DatetimeIndex(STAMPS),
        pd.date_range("2024-03-30", periods=4, tz="Europe/Berlin"),
        pd.period_range("2020-01", periods=4, freq="M"),
        pd.Index([1, 2, 3, 4], dtype="Int64"),
    ],
    ids=lambda stamps: type(stamps).__name__,
)
def test_missing_time_stamp_is_located(stamps, row):
    missing = stamps.where(np.arange(4) != row)
    match = f"must have a time stamp, but in row {row} of the data it is (NaT|<NA>)"
    with pytest.raises(ValueError, match=match):
        panel_of(missing)
    behind = pd.MultiIndex.from_arrays([["a"] * 4 + ["b"] * 4, stamps.append(missing)])
    with pytest.raises(ValueError, match=f"in row {4 + row} of the data .*1 such rows"):
        panel_of(behind)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.uint64, "Int64"])
def test_integer_time_stamps_of_any_type_are_read(dtype):
    start = -100 if dtype in (np.int8, "Int64") else 5
    panel = panel_of(pd.Index(np.arange(start, start + 200), dtype=dtype))
    assert panel.end.tolist() == [200]
    stamps = panel.timeline.stamps(np.array([-1, 0, 300]))
    assert stamps.tolist() == [start - 1, start, start + 300]
    assert pd.api.types.is_integer_dtype(stamps)


@pytest.mark.parametrize("part", ["y", "y beside past covariates", "past covariates", "known"])
def test_writing_into_the_memory_of_the_data_leaves_the_panel(part):
    # One block of float64, which pandas hands out as it is unless it is asked to copy.
    memory = {name: np.arange(24.0).reshape(12, 2) for name in ("y", "X")}
    y = pd.DataFrame(memory["y"], index=HOURS, columns=["u", "v"], copy=False)
    X = pd.DataFrame(memory["X"], index=HOURS, columns=["a", "b"], copy=False)
    assert np.shares_memory(y.to_numpy(), memory["y"])
    assert np.shares_memory(X.to_numpy(), memory["X"])
    past = () if part in ("y", "known") else ("a", "b")
    panel = read(y, None if part == "y" else X, past=past)
    before = panel.values.copy(), panel.known.copy()
    for array in memory.values():
        array[...] = -1.0
    np.testing.assert_array_equal(panel.values, before[0])
    np.testing.assert_array_equal(panel.known, before[1])


# ------------------------------------------------------------------------- X


def test_rows_of_X_are_found_by_stamp():
    index = several(a=HOURS[2:5], b=HOURS[3:6])
    longer = several(a=HOURS, b=HOURS)
    X = frame(longer, x=np.arange(24.0)).iloc[::-1]
    panel = panel_of(index, X)
    assert panel.known[:, 0].tolist() == [2, 3, 4, 15, 16, 17]
    assert panel.covariates.columns.tolist() == ["x"]


def test_values_of_X_outside_the_rows_of_y_are_ignored():
    X = frame(HOURS, x=np.r_[np.nan, np.arange(10.0), np.inf])
    assert panel_of(HOURS[1:11], X).known[:, 0].tolist() == list(range(10))


def test_lacking_rows_of_X_are_counted_and_the_first_is_named():
    index = several(a=HOURS[:4], b=HOURS[:4])
    X = frame(index).drop(index=[("b", HOURS[1]), ("b", HOURS[3])])
    with pytest.raises(ValueError, match="2 of 8 are missing, the first b, 2024-01-01 01:00:00"):
        panel_of(index, X)


def test_past_covariates_follow_the_targets_and_the_other_columns_are_known():
    X = frame(HOURS, wind=np.arange(12.0), sun=np.arange(12.0) * 10, rain=-np.arange(12.0))
    panel = panel_of(HOURS[3:5], X, past=["rain", "wind"], y=[7.0, 8.0])
    assert panel.values.tolist() == [[7, -3, 3], [8, -4, 4]]
    assert panel.known.tolist() == [[30], [40]]
    assert panel.columns.tolist() == ["y"]


def test_missing_value_of_a_past_covariate_is_masked():
    X = frame(HOURS[:3], wind=[1.0, np.nan, 3.0])
    panel = panel_of(HOURS[:3], X, past=["wind"])
    assert panel.observed.tolist() == [[True, True], [True, False], [True, True]]


# ------------------------------------------------------ trim_leading_missing


def test_trimming_drops_the_rows_before_the_first_observation_of_each_series():
    index = several(a=HOURS[:4], b=HOURS[2:5], c=HOURS[:3])
    nan = np.nan
    panel = panel_of(
        index,
        frame(index, x=np.arange(10.0)),
        u=[nan, nan, 3.0, nan, 5.0, nan, 7.0, nan, nan, 11.0],
        v=[nan, 2.0, nan, 4.0, 5.0, 6.0, 7.0, nan, nan, 10.0],
    )
    trimmed = panel.trim_leading_missing()
    assert trimmed.known[:, 0].tolist() == [1, 2, 3, 4, 5, 6, 9]
    np.testing.assert_array_equal(trimmed.values[:, 1], [2, nan, 4, 5, 6, 7, 10])
    assert trimmed.observed[:, 0].tolist() == [False, True, False, True, False, True, True]
    assert trimmed.offsets.tolist() == [0, 3, 6, 7]
    assert trimmed.origin.tolist() == [1, 2, 2]
    assert trimmed.end.tolist() == panel.end.tolist()


@pytest.mark.parametrize("y", [[1.0, 2.0, 3.0], [1.0, np.nan, 3.0]])
def test_series_that_begins_with_an_observation_keeps_its_rows(y):
    panel = panel_of(HOURS[:3], y=y)
    assert panel.trim_leading_missing() is panel


def test_past_covariate_is_no_observation_of_the_series():
    X = frame(HOURS[:3], wind=[1.0, 2.0, 3.0])
    panel = panel_of(HOURS[:3], X, past=["wind"], y=[np.nan, 5.0, 6.0]).trim_leading_missing()
    assert panel.values.tolist() == [[5, 2], [6, 3]]


def test_series_without_an_observation_is_named():
    index = several(a=HOURS[:3], b=HOURS[:2], c=HOURS[:2])
    with pytest.raises(ValueError, match="but in 'b' all are missing"):
        panel_of(index, y=[np.nan, 2.0, 3.0, np.nan, np.nan, 1.0, 2.0]).trim_leading_missing()
    with pytest.raises(ValueError, match="but in y all are missing"):
        panel_of(HOURS[:2], y=[np.nan, np.nan]).trim_leading_missing()


def test_column_without_an_observation_is_named_with_its_series():
    nan = np.nan
    index = several(a=HOURS[:2], b=HOURS[:2])
    a, b = [1.0, 2.0, 3.0, 4.0], [1.0, nan, nan, nan]
    with pytest.raises(ValueError, match="column 'b' of series 'b' has no observation"):
        panel_of(index, a=a, b=b).trim_leading_missing()
    with pytest.raises(ValueError, match=r"column 'b' of y has no observation\. Drop the"):
        panel_of(HOURS[:2], a=[1.0, 2.0], b=[nan, nan]).trim_leading_missing()


def test_past_covariate_may_lack_every_observation():
    panel = panel_of(HOURS[:2], frame(HOURS, wind=np.full(12, np.nan)), past=["wind"])
    assert panel.trim_leading_missing() is panel


def test_trimming_may_leave_one_row_of_a_series():
    nan = np.nan
    panel = panel_of(several(a=HOURS[:3], b=HOURS[:1]), y=[nan, nan, 3.0, 4.0])
    trimmed = panel.trim_leading_missing()
    assert first_column(trimmed) == [3, 4]
    assert trimmed.origin.tolist() == [2, 0]
    assert trimmed.end.tolist() == [3, 1]
    assert trimmed.observed is None
    assert trimmed.filled((1,)) is trimmed
    assert first_column(trimmed.tail(5)) == first_column(trimmed.cut(trimmed.lengths)) == [3, 4]


# -------------------------------------------------------------------- filled


def test_filling_keeps_the_mask_and_the_original_panel():
    panel = panel_of(HOURS[:3], y=[1.0, np.nan, 3.0])
    filled = panel.filled(())
    assert filled.observed.tolist() == [[True], [False], [True]]
    assert np.isnan(panel.values[1, 0])
    again = filled.filled(())
    assert first_column(again) == first_column(filled) == [1, 1, 3]


def test_each_series_is_filled_with_its_own_seasons():
    y = [1.0, 2.0, 3.0, np.nan, 5.0, np.nan, 7.0]
    panel = panel_of(several(a=HOURS[:4], b=HOURS[:3]), y=y).filled((2,))
    assert first_column(panel) == [1, 2, 3, 2 + 3 - 1, 5, 5, 7]


def test_panel_without_missing_values_needs_no_filling():
    panel = panel_of(HOURS)
    assert panel.filled((3,)) is panel


# ------------------------------------------------------------------- updated


def updated(old, new, X_old=None, X_new=None, past=()):
    """Panel of `old` updated with `new`, both frames."""
    old = read(old, X_old, past=past)
    return old.updated(Panel.from_pandas(new, X_new, old.covariates, old.timeline))


def as_dict(panel):
    """{(key, position): value of the first column}."""
    series = panel.series_of_rows()
    row = np.arange(len(series)) - panel.offsets[series]
    pairs = zip(series, panel.origin[series] + row, first_column(panel), strict=True)
    name = ["y"] if panel.keys is None else panel.keys
    return {(name[s], int(p)): v for s, p, v in pairs}


def line(index, slope):
    return frame(index, y=slope * np.arange(1.0, len(index) + 1))


def test_update_appends_the_next_rows():
    panel = updated(line(HOURS[:3], 1), line(HOURS[3:5], 10))
    assert first_column(panel) == [1, 2, 3, 10, 20]
    assert panel.origin.tolist() == [0]
    assert panel.end.tolist() == [5]


def test_update_replaces_the_rows_that_both_hold():
    panel = updated(line(HOURS[:4], 1), line(HOURS[2:6], 10))
    assert first_column(panel) == [1, 2, 10, 20, 30, 40]


def test_update_keeps_the_rows_after_its_end():
    panel = updated(line(HOURS[:8], 1), line(HOURS[2:4], 10))
    assert first_column(panel) == [1, 2, 10, 20, 5, 6, 7, 8]
    assert panel.origin.tolist() == [0]
    assert panel.end.tolist() == [8]


def test_update_with_older_rows_changes_nothing_else():
    y, X = frame(HOURS, u=np.arange(12.0), v=-np.arange(12.0)), frame(HOURS, x=np.arange(12.0))
    panel = updated(y, y.iloc[3:6] * 10, X, X.iloc[3:6] * 10, past=["x"])
    row = np.arange(12.0)
    expected = np.where((row >= 3) & (row < 6), 10, 1) * np.array([row, -row, row])
    np.testing.assert_array_equal(panel.values.T, expected)


def test_update_keeps_later_rows_of_each_series_of_a_panel():
    old = line(several(a=HOURS[:4], b=HOURS[1:5], c=HOURS[2:5]), 1)
    new = line(several(c=HOURS[1:3], a=HOURS[:1], b=HOURS[4:6]), 10)
    assert as_dict(updated(old, new)) == {
        **{("a", 0): 30, ("a", 1): 2, ("a", 2): 3, ("a", 3): 4},
        **{("b", 1): 5, ("b", 2): 6, ("b", 3): 7, ("b", 4): 40, ("b", 5): 50},
        **{("c", 1): 10, ("c", 2): 20, ("c", 3): 10, ("c", 4): 11},
    }


def test_update_that_ends_where_the_series_starts_goes_before_it():
    panel = updated(line(HOURS[4:6], 1), line(HOURS[2:4], 10))
    assert first_column(panel) == [10, 20, 1, 2]
    assert panel.origin.tolist() == [-2]
    assert panel.end.tolist() == [2]


def test_update_that_ends_before_the_series_starts_names_both_stamps():
    old = several(a=HOURS[:3], b=HOURS[5:8])
    new = several(a=HOURS[3:5], b=HOURS[2:4])
    with pytest.raises(ValueError, match="a gap before series 'b'") as caught:
        updated(frame(old), frame(new))
    stamps = "starts at 2024-01-01 05:00:00, but its last row is at 2024-01-01 03:00:00"
    assert stamps in str(caught.value)


@pytest.mark.parametrize("value", [7.0, np.nan])
def test_series_of_one_row_is_updated(value):
    old = frame(several(a=HOURS[:1], b=HOURS[:3]), y=[1.0, 2.0, 3.0, 4.0])
    panel = updated(old, frame(several(a=HOURS[1:2]), y=[value]))
    np.testing.assert_array_equal(panel.values[:, 0], [1, value, 2, 3, 4])
    assert panel.offsets.tolist() == [0, 2, 5]
    panel = updated(old, frame(several(a=HOURS[:1]), y=[value]))
    np.testing.assert_array_equal(panel.values[:, 0], [value, 2, 3, 4])


def test_update_that_covers_the_series_replaces_all_of_it():
    panel = updated(line(HOURS[4:6], 1), line(HOURS[1:6], 10))
    assert first_column(panel) == [10, 20, 30, 40, 50]
    assert panel.origin.tolist() == [-3]
    assert panel.index(np.zeros(5, dtype=int), np.arange(-3, 2)).equals(HOURS[1:6])


def test_update_of_some_series_leaves_the_others():
    old = line(several(a=HOURS[:3], b=HOURS[1:4], c=HOURS[:2]), 1)
    new = line(several(c=HOURS[2:4], a=HOURS[2:4]), 10)
    assert as_dict(updated(old, new)) == {
        **{("a", 0): 1, ("a", 1): 2, ("a", 2): 30, ("a", 3): 40},
        **{("b", 1): 4, ("b", 2): 5, ("b", 3): 6},
        **{("c", 0): 7, ("c", 1): 8, ("c", 2): 10, ("c", 3): 20},
    }


@pytest.mark.parametrize("rows", [slice(2, 6), slice(1, 2), slice(0, 4)])
def test_update_leaves_both_panels_as_they_were(rows):
    y, X = frame(HOURS, y=np.r_[0.0, np.nan, np.arange(2.0, 12)]), frame(HOURS)
    old = read(y[:4], X)
    new = Panel.from_pandas(y[rows] + 1, X, old.covariates, old.timeline)
    before = copy.deepcopy((old, new))
    old.updated(new).values[...] = -1.0
    for panel, copied in zip((old, new), before, strict=True):
        for name in ("values", "observed", "known", "offsets", "origin"):
            np.testing.assert_array_equal(getattr(panel, name), getattr(copied, name))


def test_update_continues_the_covariates():
    y, X = frame(HOURS), frame(HOURS, x=np.arange(12.0) * 100)
    panel = updated(y.iloc[:3], y.iloc[2:5], X.iloc[:3], X.iloc[2:5] + 1)
    assert panel.known[:, 0].tolist() == [0, 100, 201, 301, 401]


def test_update_continues_the_past_covariates():
    y, X = frame(HOURS), frame(HOURS, x=np.arange(12.0) * 100)
    panel = updated(y.iloc[:3], y.iloc[2:5], X.iloc[:3], X.iloc[2:5] + 1, past=["x"])
    assert panel.values[:, 1].tolist() == [0, 100, 201, 301, 401]


@pytest.mark.parametrize(
    ("old", "new", "seen"),
    [
        ([1, None, 3], [4, 5], [1, 0, 1, 1, 1]),
        ([1, 2, 3], [None, 5], [1, 1, 1, 0, 1]),
        ([1, None, 3], [None, 5], [1, 0, 1, 0, 1]),
    ],
)
def test_update_keeps_what_was_missing_and_drops_the_filled_values(old, new, seen):
    old = panel_of(HOURS[:3], y=np.array(old, dtype=float)).filled(())
    new = panel_of(HOURS[3:5], timeline=old.timeline, y=np.array(new, dtype=float)).filled(())
    panel = old.updated(new)
    assert panel.observed[:, 0].tolist() == [bool(one) for one in seen]
    assert np.isnan(panel.values[:, 0]).tolist() == [not one for one in seen]


def test_update_with_the_missing_values_leaves_none_missing():
    old = panel_of(HOURS[:3], y=[1.0, np.nan, np.nan])
    panel = old.updated(panel_of(HOURS[1:4], timeline=old.timeline, y=[2.0, 3.0, 4.0]))
    assert panel.observed is None
    assert first_column(panel) == [1, 2, 3, 4]


@pytest.mark.parametrize("first", [4, 5])
def test_update_after_a_gap_names_the_series_and_both_stamps(first):
    old = several(a=HOURS[:3], b=HOURS[:3])
    new = several(a=HOURS[3:5], b=HOURS[first : first + 2])
    with pytest.raises(ValueError, match="update must continue series 'b'") as caught:
        updated(frame(old), frame(new))
    stamps = f"at 2024-01-01 03:00:00, but its first row is at 2024-01-01 0{first}:00:00"
    assert stamps in str(caught.value)


def test_update_of_an_unknown_series_is_refused():
    with pytest.raises(ValueError, match="'c' was not seen in fit"):
        updated(frame(several(a=HOURS[:3])), frame(several(a=HOURS[3:5], c=HOURS[3:5])))


@pytest.mark.parametrize("panel_first", [True, False])
def test_update_of_a_panel_with_a_single_series_is_refused(panel_first):
    both = frame(several(a=HOURS[:3])), frame(HOURS[:3])
    old, new = both if panel_first else both[::-1]
    with pytest.raises(ValueError, match="index levels seen in fit"):
        updated(old, new)


def test_update_with_other_columns_is_refused():
    two = frame(HOURS[3:5], y=np.ones(2), z=np.ones(2))
    with pytest.raises(ValueError, match=r"y must have the columns seen in fit, \['y'\], but"):
        updated(frame(HOURS[:3]), two)


def test_update_of_a_single_column_ignores_its_name():
    renamed = updated(frame(HOURS[:3], y=[1.0, 2, 3]), frame(HOURS[3:4], z=[4.0]))
    assert first_column(renamed) == [1, 2, 3, 4]
    assert list(renamed.columns) == ["y"]


# ------------------------------------------------------------ tail, extended


def test_tail_keeps_the_last_rows_at_their_positions():
    index = several(a=HOURS[:6], b=HOURS[4:6], c=HOURS[1:5])
    panel = panel_of(index, frame(index, x=-np.arange(12.0)))
    tail = panel.tail(3)
    assert first_column(tail) == [3, 4, 5, 6, 7, 9, 10, 11]
    assert tail.known[:, 0].tolist() == [-3, -4, -5, -6, -7, -9, -10, -11]
    assert tail.origin.tolist() == [3, 4, 2]
    assert tail.end.tolist() == panel.end.tolist()
    assert tail.lengths.tolist() == [3, 2, 3]


def test_tail_longer_than_every_series_is_the_panel():
    panel = panel_of(several(a=HOURS[:6], b=HOURS[4:6]))
    assert first_column(panel.tail(6)) == first_column(panel)
    assert panel.tail(6).offsets.tolist() == [0, 6, 8]


def test_extended_appends_rows_with_their_covariates_to_each_series():
    index = several(a=HOURS[:3], b=HOURS[:1])
    panel = panel_of(index, frame(index, x=[1.0, 2.0, 3.0, 4.0]))
    future = np.array([[[30.0], [31.0]], [[40.0], [41.0]]])
    extended = panel.extended(2, future)
    assert extended.offsets.tolist() == [0, 5, 8]
    assert extended.known[:, 0].tolist() == [1, 2, 3, 30, 31, 4, 40, 41]
    assert [first_column(extended)[row] for row in (0, 1, 2, 5)] == [0, 1, 2, 3]
    assert extended.origin.tolist() == panel.origin.tolist()


def test_rows_appended_for_a_forecast_are_not_missing():
    index = several(a=HOURS[:3], b=HOURS[:1])
    panel = panel_of(index, y=[1.0, np.nan, 3.0, 4.0]).extended(1, np.zeros((2, 1, 0)))
    assert panel.observed[:, 0].tolist() == [True, False, True, True, True, True]


def test_tail_and_cut_keep_the_missing_values_of_their_rows():
    panel = panel_of(HOURS[:4], y=[1.0, np.nan, 3.0, 4.0])
    assert panel.tail(3).observed[:, 0].tolist() == [False, True, True]
    assert panel.cut(np.array([2])).observed[:, 0].tolist() == [True, False]


def test_extended_by_nothing_is_the_panel():
    panel = panel_of(several(a=HOURS[:3], b=HOURS[:1]))
    assert first_column(panel.extended(0, np.zeros((2, 0, 0)))) == first_column(panel)


# --------------------------------------------------------------------- costs


def count_calls(function):
    """Number of calls of Python and C functions: a loop over series shows, a busy machine not."""
    n_calls = 0

    def count(frame, event, arg):
        nonlocal n_calls
        n_calls += event in ("call", "c_call")

    function()  # caches are filled
    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return n_calls


def old_and_new(n_series):
    stamps = pd.date_range("2000-01-01", periods=22, freq="h")
    old = panel_of(pd.MultiIndex.from_product([range(n_series), stamps[:20]]))
    rows = frame(pd.MultiIndex.from_product([range(n_series), stamps[20:]]))
    return old, read(rows, timeline=old.timeline)


@pytest.mark.parametrize(
    "use",
    [
        lambda old, new: old.updated(new),
        lambda old, new: old.tail(5),
        lambda old, new: old.extended(10, np.zeros((old.n_series, 10, 0))),
        lambda old, new: replace(old, observed=old.values > 1).filled((2,)),
        lambda old, new: replace(old, observed=old.values >= 0).trim_leading_missing(),
    ],
    ids=["updated", "tail", "extended", "filled", "trim"],
)
def test_panel_has_no_loop_over_series(use):
    few, many = old_and_new(10), old_and_new(1000)
    assert count_calls(lambda: use(*many)) < count_calls(lambda: use(*few)) + 50


def test_reading_has_no_loop_over_series():
    stamps = pd.date_range("2000-01-01", periods=20, freq="h")
    few, many = (frame(pd.MultiIndex.from_product([range(n), stamps])) for n in (10, 1000))
    assert count_calls(lambda: read(many)) < count_calls(lambda: read(few)) + 50
