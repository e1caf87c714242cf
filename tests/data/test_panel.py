# `values` is an array of ours here, never that of pandas.
import time

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
def test_index_of_all_rows_is_the_index_that_came(index):
    panel = panel_of(index)
    series = panel.series_of_rows()
    row = np.arange(len(series)) - panel.offsets[series]
    made = panel.index(series, panel.origin[series] + row)
    pd.testing.assert_index_equal(made, index, exact="equiv")


def test_label_is_y_for_a_single_series_and_the_key_in_a_panel():
    assert panel_of(HOURS).label(0) == "y"
    assert panel_of(several(north=HOURS, south=HOURS)).label(1) == "'south'"


def test_panel_without_covariates_has_no_columns_of_them():
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


def test_regular_series_of_any_two_ends_stand_side_by_side():
    # From the end of one series to the start of the next the step may be any.
    panel = panel_of(several(a=HOURS[6:9], b=HOURS[0:2], c=HOURS[3:12]))
    assert panel.origin.tolist() == [6, 0, 3]
    assert panel.end.tolist() == [9, 2, 12]


def test_interrupted_series_is_named():
    index = several(a=HOURS[:2], b=HOURS[:2]).append(several(a=HOURS[2:4]))
    with pytest.raises(ValueError, match="must stand together, but 'a' is interrupted"):
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


def test_missing_values_of_y_are_known_as_such():
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


def test_panel_of_which_all_is_observed_keeps_no_mask():
    assert panel_of(HOURS).observed is None


def test_column_of_text_in_y_is_named():
    bad = frame(HOURS, one=np.ones(12), word=["a"] * 12)
    with pytest.raises(TypeError, match="y must be numeric, but column 'word' is "):
        read(bad, frame(HOURS))


# ------------------------------------------------------------------------- X


def test_rows_of_X_are_found_by_stamp():
    index = several(a=HOURS[2:5], b=HOURS[3:6])
    longer = several(a=HOURS, b=HOURS)
    X = frame(longer, x=np.arange(24.0)).iloc[::-1]
    panel = panel_of(index, X)
    assert panel.known[:, 0].tolist() == [2, 3, 4, 15, 16, 17]
    assert panel.covariates.columns.tolist() == ["x"]


def test_values_of_X_outside_the_rows_of_y_play_no_part():
    X = frame(HOURS, x=np.r_[np.nan, np.arange(10.0), np.inf])
    assert panel_of(HOURS[1:11], X).known[:, 0].tolist() == list(range(10))


def test_lacking_rows_of_X_are_counted_and_the_first_is_named():
    index = several(a=HOURS[:4], b=HOURS[:4])
    X = frame(index).drop(index=[("b", HOURS[1]), ("b", HOURS[3])])
    with pytest.raises(ValueError, match="2 of 8 are missing, the first b, 2024-01-01 01:00:00"):
        panel_of(index, X)


def test_past_covariates_stand_beside_the_targets_and_the_others_are_known():
    X = frame(HOURS, wind=np.arange(12.0), sun=np.arange(12.0) * 10, rain=-np.arange(12.0))
    panel = panel_of(HOURS[3:5], X, past=["rain", "wind"], y=[7.0, 8.0])
    assert panel.values.tolist() == [[7, -3, 3], [8, -4, 4]]
    assert panel.known.tolist() == [[30], [40]]
    assert panel.columns.tolist() == ["y"]


def test_missing_value_of_a_past_covariate_is_known_as_such():
    X = frame(HOURS[:3], wind=[1.0, np.nan, 3.0])
    panel = panel_of(HOURS[:3], X, past=["wind"])
    assert panel.observed.tolist() == [[True, True], [True, False], [True, True]]


# --------------------------------------------------------------------- begun


def test_begun_drops_the_rows_before_the_first_observation_of_each_series():
    index = several(a=HOURS[:4], b=HOURS[2:5], c=HOURS[:3])
    nan = np.nan
    panel = panel_of(
        index,
        frame(index, x=np.arange(10.0)),
        u=[nan, nan, 3.0, nan, 5.0, nan, 7.0, nan, nan, nan],
        v=[nan, 2.0, nan, 4.0, 5.0, 6.0, 7.0, nan, nan, 10.0],
    )
    begun = panel.begun()
    assert begun.known[:, 0].tolist() == [1, 2, 3, 4, 5, 6, 9]
    np.testing.assert_array_equal(begun.values[:, 1], [2, nan, 4, 5, 6, 7, 10])
    assert begun.observed[:, 0].tolist() == [False, True, False, True, False, True, False]
    assert begun.offsets.tolist() == [0, 3, 6, 7]
    assert begun.origin.tolist() == [1, 2, 2]
    assert begun.end.tolist() == panel.end.tolist()


@pytest.mark.parametrize("y", [[1.0, 2.0, 3.0], [1.0, np.nan, 3.0]])
def test_series_that_begins_with_an_observation_keeps_its_rows(y):
    panel = panel_of(HOURS[:3], y=y)
    assert panel.begun() is panel


def test_past_covariate_is_no_observation_of_the_series():
    X = frame(HOURS[:3], wind=[1.0, 2.0, 3.0])
    panel = panel_of(HOURS[:3], X, past=["wind"], y=[np.nan, 5.0, 6.0]).begun()
    assert panel.values.tolist() == [[5, 2], [6, 3]]


def test_series_without_an_observation_is_named():
    index = several(a=HOURS[:3], b=HOURS[:2], c=HOURS[:2])
    with pytest.raises(ValueError, match="but in 'b' all are missing"):
        panel_of(index, y=[np.nan, 2.0, 3.0, np.nan, np.nan, 1.0, 2.0]).begun()
    with pytest.raises(ValueError, match="but in y all are missing"):
        panel_of(HOURS[:2], y=[np.nan, np.nan]).begun()


# -------------------------------------------------------------------- filled


def filled(y, period):
    return (
        panel_of(pd.RangeIndex(len(y)), y=y)
        .filled([period] if period else [])
        .values[:, 0]
        .tolist()
    )


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
    made = filled(y, period)
    assert {int(t): made[t] for t in np.flatnonzero(np.isnan(y))} == expected
    assert [made[t] for t in np.flatnonzero(~np.isnan(y))] == y[~np.isnan(y)].tolist()


def fill_by_hand(y, period):
    """The rule, one value after another."""
    s, seen = y.copy(), ~np.isnan(y)
    for t in np.flatnonzero(~seen):
        before = np.flatnonzero(seen[:t])
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
def test_filled_values_are_those_of_the_rule_applied_one_after_another(period, share, begins):
    rng = np.random.default_rng(0)
    for _ in range(20):
        y = np.where(rng.random(60) < share, np.nan, rng.integers(-9, 10, 60))
        y[:begins], y[begins] = np.nan, 1.0
        np.testing.assert_array_equal(filled(y, period), fill_by_hand(y, period))


def test_several_seasons_give_the_mean_of_their_forecasts():
    y = panel_of(pd.RangeIndex(8), y=np.array([1, 5, 2, 4, 9, np.nan, 7, np.nan]))
    # s[2] + s[4] - s[1] and s[3] + s[4] - s[2]; then s[4] + s[6] - s[3] and s[5] + s[6] - s[4].
    first = ((2 + 9 - 5) + (4 + 9 - 2)) / 2
    expected = [first, ((9 + 7 - 4) + (first + 7 - 9)) / 2]
    assert y.filled((3, 2)).values[[5, 7], 0].tolist() == expected


@pytest.mark.parametrize("period", [None, 3])
@pytest.mark.parametrize("t", [2, 7, 8, 15])
def test_filled_value_knows_nothing_after_it(period, t):
    y = np.random.default_rng(1).integers(-9, 10, 20).astype(float)
    y[[2, 6, 7, 8, 9, 15]] = np.nan
    changed = y.copy()
    changed[t + 1 :] = np.where(np.isnan(changed[t + 1 :]), 50.0, 100.0)
    np.testing.assert_array_equal(filled(changed, period)[: t + 1], filled(y, period)[: t + 1])


def test_series_and_columns_are_filled_by_themselves():
    rng = np.random.default_rng(2)
    lengths = [9, 3, 20, 1, 14]
    index = several(**{f"s{k}": range(k, k + n) for k, n in enumerate(lengths)})
    y = rng.integers(-9, 10, (len(index), 2)).astype(float)
    y[rng.random(y.shape) < 0.4] = np.nan
    panel = panel_of(index, u=y[:, 0], v=y[:, 1]).filled((4,))
    for first, stop in zip(panel.offsets[:-1], panel.offsets[1:], strict=True):
        for c in range(2):
            expected = fill_by_hand(y[first:stop, c], 4)
            np.testing.assert_array_equal(panel.values[first:stop, c], expected)


def test_before_the_first_observation_of_a_column_its_values_stay_missing():
    panel = panel_of(HOURS[:4], u=[1.0, np.nan, 3.0, 4.0], v=[np.nan, np.nan, 6.0, np.nan])
    made = panel.filled(()).values
    np.testing.assert_array_equal(made, [[1, np.nan], [1, np.nan], [3, 6], [4, 6]])


def test_filling_keeps_the_mask_and_the_panel_it_came_from():
    panel = panel_of(HOURS[:3], y=[1.0, np.nan, 3.0])
    made = panel.filled(())
    assert made.observed.tolist() == [[True], [False], [True]]
    assert np.isnan(panel.values[1, 0])
    again = made.filled(())
    assert first_column(again) == first_column(made) == [1, 1, 3]


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


def test_newer_value_stands_where_both_hold_a_row():
    panel = updated(line(HOURS[:4], 1), line(HOURS[2:6], 10))
    assert first_column(panel) == [1, 2, 10, 20, 30, 40]


def test_rows_after_the_end_of_the_update_are_dropped():
    panel = updated(line(HOURS[:8], 1), line(HOURS[2:4], 10))
    assert first_column(panel) == [1, 2, 10, 20]
    assert panel.end.tolist() == [4]


def test_update_that_starts_earlier_replaces_the_whole_series():
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


def test_update_leaves_the_panel_it_came_from():
    old = panel_of(HOURS[:4])
    old.updated(panel_of(HOURS[2:6], timeline=old.timeline))
    assert first_column(old) == [0, 1, 2, 3]
    assert old.end.tolist() == [4]


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
def test_update_keeps_what_was_missing_and_forgets_what_stood_in_for_it(old, new, seen):
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


def test_name_of_a_single_column_plays_no_part_in_an_update():
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


def test_extended_rows_are_no_missing_values():
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


# --------------------------------------------------------------------- speed


def quickest(function):
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def test_ten_thousand_series_cost_no_more_than_one_of_as_many_rows():
    stamps = pd.date_range("2000-01-01", periods=1_000_000, freq="h")
    one = frame(stamps)
    many = frame(pd.MultiIndex.from_product([range(10_000), stamps[:100]]))
    # Measured: 1.2 times; the margin is for busy machines. A loop over the series costs far more.
    assert quickest(lambda: read(many)) < 8 * quickest(lambda: read(one))


def test_updating_ten_thousand_series_costs_about_what_building_them_does():
    stamps = pd.date_range("2000-01-01", periods=110, freq="h")
    old = panel_of(pd.MultiIndex.from_product([range(10_000), stamps[:100]]))
    rows = frame(pd.MultiIndex.from_product([range(10_000), stamps[100:]]))
    new = read(rows, timeline=old.timeline)
    build = quickest(lambda: panel_of(pd.MultiIndex.from_product([range(10_000), stamps[:100]])))
    assert quickest(lambda: old.updated(new)) < 4 * build
    assert quickest(lambda: old.tail(50)) < 4 * build
    assert quickest(lambda: old.extended(10, np.zeros((10_000, 10, 0)))) < 4 * build
