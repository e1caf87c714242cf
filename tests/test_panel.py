# `values` is an array of ours here, never that of pandas.
import time

import numpy as np
import pandas as pd
import pytest

from skrnn._panel import Panel, Timeline, check_covariate_columns, rows_of

HOURS = pd.date_range("2024-01-01", periods=12, freq="h", name="time")


def frame(index, **columns):
    columns = columns or {"y": np.arange(len(index), dtype=float)}
    return pd.DataFrame(columns, index=index)


def panel_of(index, X=None, timeline=None, **columns):
    return Panel.from_pandas(frame(index, **columns), X, timeline)


def first_column(panel):
    return panel.values[:, 0].tolist()


def several(names=("series", "time"), **series):
    """Index of a panel: one keyword a series, its time stamps."""
    pairs = [(key, stamp) for key, stamps in series.items() for stamp in stamps]
    return pd.MultiIndex.from_tuples(pairs, names=names)


def without_freq(index):
    return pd.DatetimeIndex(list(index), name=index.name)


# ------------------------------------------------------------------ Timeline

# Each makes n stamps; a series that holds only some of them must still know all the others.
GRIDS = {
    "range": lambda n: pd.RangeIndex(5, 5 + n),
    "range step 3": lambda n: pd.RangeIndex(-6, -6 + 3 * n, 3),
    "integers": lambda n: pd.Index(np.arange(7, 7 + n)),
    "even integers": lambda n: pd.Index(np.arange(8, 8 + 2 * n, 2)),
    "period M": lambda n: pd.period_range("2019-11", periods=n, freq="M"),
    "period Q": lambda n: pd.period_range("2019Q3", periods=n, freq="Q"),
    "period h": lambda n: pd.period_range("2020-02-28 20:00", periods=n, freq="h"),
    "period 2M": lambda n: pd.period_range("2019-11", periods=n, freq="2M"),
    "h": lambda n: pd.date_range("2020-02-28 20:00", periods=n, freq="h"),
    "D": lambda n: pd.date_range("2020-02-20", periods=n, freq="D"),
    "W": lambda n: pd.date_range("2019-12-01", periods=n, freq="W"),
    "W-WED": lambda n: pd.date_range("2019-12-01", periods=n, freq="W-WED"),
    "MS": lambda n: pd.date_range("2019-11-01", periods=n, freq="MS"),
    "ME": lambda n: pd.date_range("2019-11-30", periods=n, freq="ME"),
    "QS": lambda n: pd.date_range("2019-10-01", periods=n, freq="QS"),
    "YS": lambda n: pd.date_range("1999-01-01", periods=n, freq="YS"),
    "B": lambda n: pd.date_range("2020-02-20", periods=n, freq="B"),
    "15min": lambda n: pd.date_range("2020-02-28 20:00", periods=n, freq="15min"),
    "h into summer time": lambda n: pd.date_range(
        "2024-03-30 15:00", periods=n, freq="h", tz="Europe/Berlin"
    ),
    "h out of summer time": lambda n: pd.date_range(
        "2024-10-26 15:00", periods=n, freq="h", tz="Europe/Berlin"
    ),
    "B into summer time": lambda n: pd.date_range(
        "2024-03-20", periods=n, freq="B", tz="Europe/Berlin"
    ),
}
DATES = [name for name, make in GRIDS.items() if isinstance(make(3), pd.DatetimeIndex)]


@pytest.mark.parametrize("name", GRIDS)
def test_stamps_before_within_and_after_a_series_are_those_of_the_longer_index(name):
    longer = GRIDS[name](30).rename("when")
    timeline = panel_of(longer[10:20]).timeline
    stamps = timeline.stamps(np.arange(-10, 20))
    assert stamps.equals(longer)
    assert stamps.name == "when"
    assert timeline.positions(longer).tolist() == list(range(-10, 20))


@pytest.mark.parametrize("name", DATES)
def test_lost_frequency_is_inferred(name):
    longer = GRIDS[name](30)
    timeline = panel_of(without_freq(longer[10:20])).timeline
    assert timeline.stamps(np.arange(-10, 20)).equals(longer)
    assert timeline.positions(longer).tolist() == list(range(-10, 20))


@pytest.mark.parametrize("name", GRIDS)
def test_positions_follow_the_order_of_the_stamps(name):
    longer = GRIDS[name](30)
    timeline = panel_of(longer[10:20]).timeline
    chosen = np.array([17, 2, 2, 29, 10])
    assert timeline.positions(longer[chosen]).tolist() == [7, -8, -8, 19, 0]
    assert timeline.stamps(chosen - 10).equals(longer[chosen])


def test_hour_that_repeats_out_of_summer_time_has_two_positions():
    index = pd.date_range("2024-10-27", periods=5, freq="h", tz="Europe/Berlin")
    assert index.hour.tolist() == [0, 1, 2, 2, 3]
    assert panel_of(index).timeline.positions(index).tolist() == [0, 1, 2, 3, 4]


def test_same_instants_in_another_time_zone_have_the_same_positions():
    berlin = pd.date_range("2024-03-30 15:00", periods=20, freq="h", tz="Europe/Berlin")
    timeline = panel_of(berlin).timeline
    assert timeline.positions(berlin[3:6].tz_convert("UTC")).tolist() == [3, 4, 5]


def test_series_of_one_observation_keeps_the_frequency_of_its_index():
    timeline = panel_of(HOURS[:1]).timeline
    assert timeline.stamps(np.array([5]))[0] == HOURS[5]


def test_timeline_of_a_panel_starts_at_its_earliest_stamp():
    panel = panel_of(several(a=HOURS[4:9], b=HOURS[2:6]))
    assert panel.timeline.start[0] == HOURS[2]
    assert panel.origin.tolist() == [2, 0]


def test_longest_series_tells_the_frequency():
    panel = panel_of(several(short=HOURS[[0]], long=HOURS[1:9]))
    assert panel.timeline.freq == pd.offsets.Hour()
    assert panel.origin.tolist() == [0, 1]


def test_is_calendar_only_with_dates():
    calendar = {name for name, make in GRIDS.items() if panel_of(make(9)).timeline.is_calendar}
    assert calendar == {name for name in GRIDS if "range" not in name and "integers" not in name}


def test_frequency_of_a_single_stamp_without_freq_is_refused():
    with pytest.raises(ValueError, match=r"single time stamp, 2024-01-01 .* at least two"):
        panel_of(pd.DatetimeIndex(["2024-01-01"]))


@pytest.mark.parametrize(
    ("name", "stamp", "freq"),
    [
        ("range step 3", pd.Index([4]), "3"),
        ("even integers", pd.Index([9]), "2"),
        ("period 2M", pd.PeriodIndex(["2019-12"], freq="2M"), "2M"),
        ("h", pd.DatetimeIndex(["2020-02-29 01:30"]), "'h'"),
        ("D", pd.DatetimeIndex(["2020-02-29 12:00"]), "'D'"),
        ("MS", pd.DatetimeIndex(["2020-01-02"]), "'MS'"),
        ("B", pd.DatetimeIndex(["2020-02-29"]), "'B'"),
        ("15min", pd.DatetimeIndex(["2020-02-29 00:10"]), "'15min'"),
    ],
)
def test_stamp_off_the_grid_is_named(name, stamp, freq):
    grid = GRIDS[name](30)
    timeline = panel_of(grid).timeline
    with pytest.raises(ValueError, match="must lie on one grid") as caught:
        timeline.positions(grid[:1].append(stamp))
    assert f"but {stamp[0]} does not" in str(caught.value)
    assert freq in str(caught.value)


@pytest.mark.parametrize(
    ("seen", "came", "message"),
    [
        ("h", "range", "a DatetimeIndex without time zone, but an integer index came"),
        ("range", "h", "an integer index, but a DatetimeIndex without time zone came"),
        ("period M", "MS", "PeriodIndex, but a DatetimeIndex without time zone came"),
    ],
)
def test_stamps_of_another_kind_are_refused(seen, came, message):
    with pytest.raises(TypeError, match=message):
        panel_of(GRIDS[seen](9)).timeline.positions(GRIDS[came](9))


def test_range_and_integer_index_are_one_kind():
    timeline = panel_of(pd.RangeIndex(5, 25)).timeline
    assert timeline.positions(pd.Index([7, 30])).tolist() == [2, 25]


@pytest.mark.parametrize("came", ["period Q", "period 2M", "period h"])
def test_periods_of_another_frequency_are_refused(came):
    timeline = panel_of(GRIDS["period M"](9)).timeline
    with pytest.raises(ValueError, match=r"frequency seen in fit, 'ME?', but .* came"):
        timeline.positions(GRIDS[came](9))


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
    assert panel.covariates.shape == (12, 0)
    assert len(panel.covariate_columns) == 0


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


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["y", "X"])
def test_value_that_is_not_finite_is_located(name, value):
    index = several(a=HOURS[:3], b=HOURS[:3])
    bad = frame(index, one=np.ones(6), two=np.ones(6))
    bad.iloc[[4, 5], 1] = value
    good = frame(index)
    y, X = (bad, good) if name == "y" else (good, bad)
    with pytest.raises(ValueError, match=f"{name} must be finite") as caught:
        Panel.from_pandas(y, X)
    assert f"column 'two' holds {value} at b, 2024-01-01 01:00:00" in str(caught.value)
    assert "(2 such values in all)" in str(caught.value)


@pytest.mark.parametrize("name", ["y", "X"])
def test_column_of_text_is_named(name):
    good, bad = frame(HOURS), frame(HOURS, one=np.ones(12), word=["a"] * 12)
    y, X = (bad, good) if name == "y" else (good, bad)
    with pytest.raises(TypeError, match=f"{name} must be numeric, but column 'word' is "):
        Panel.from_pandas(y, X)


# ------------------------------------------------------------------------- X


def test_rows_of_X_are_found_by_stamp():
    index = several(a=HOURS[2:5], b=HOURS[3:6])
    longer = several(a=HOURS, b=HOURS)
    X = frame(longer, x=np.arange(24.0)).iloc[::-1]
    panel = panel_of(index, X)
    assert panel.covariates[:, 0].tolist() == [2, 3, 4, 15, 16, 17]
    assert panel.covariate_columns.tolist() == ["x"]


def test_values_of_X_outside_the_rows_asked_for_play_no_part():
    X = frame(HOURS, x=np.r_[np.nan, np.arange(10.0), np.inf])
    assert rows_of(X, HOURS[1:11])[:, 0].tolist() == list(range(10))


def test_lacking_rows_of_X_are_counted_and_the_first_is_named():
    index = several(a=HOURS[:4], b=HOURS[:4])
    X = frame(index).drop(index=[("b", HOURS[1]), ("b", HOURS[3])])
    with pytest.raises(ValueError, match="2 of 8 are missing, the first b, 2024-01-01 01:00:00"):
        panel_of(index, X)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (None, r"fitted with X of columns \['a', 'b'\].*X is None"),
        (frame(HOURS, b=np.ones(12), a=np.ones(12)), r"\['a', 'b'\], but it has \['b', 'a'\]"),
        (frame(HOURS, a=np.ones(12)), r"\['a', 'b'\], but it has \['a'\]"),
    ],
    ids=["none", "order", "lacking"],
)
def test_other_columns_of_X_are_refused(X, message):
    with pytest.raises(ValueError, match=message):
        check_covariate_columns(X, pd.Index(["a", "b"]))


def test_missing_X_is_no_error_where_it_is_not_needed():
    check_covariate_columns(None, pd.Index(["a"]), needed=False)
    check_covariate_columns(None, pd.Index([]))


# ------------------------------------------------------------------- updated


def updated(old, new, X_old=None, X_new=None):
    """Panel of `old` updated with `new`, both frames."""
    old = Panel.from_pandas(old, X_old)
    return old.updated(Panel.from_pandas(new, X_new, timeline=old.timeline))


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
    assert panel.covariates[:, 0].tolist() == [0, 100, 201, 301, 401]


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
    with pytest.raises(ValueError, match=r"X must have the columns seen in fit, \['y'\], but"):
        updated(frame(HOURS[:3]), frame(HOURS[3:5]), X_old=frame(HOURS))


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
    assert tail.covariates[:, 0].tolist() == [-3, -4, -5, -6, -7, -9, -10, -11]
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
    assert extended.covariates[:, 0].tolist() == [1, 2, 3, 30, 31, 4, 40, 41]
    assert [first_column(extended)[row] for row in (0, 1, 2, 5)] == [0, 1, 2, 3]
    assert extended.origin.tolist() == panel.origin.tolist()


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
    assert quickest(lambda: Panel.from_pandas(many, None)) < 8 * quickest(
        lambda: Panel.from_pandas(one, None)
    )


def test_updating_ten_thousand_series_costs_about_what_building_them_does():
    stamps = pd.date_range("2000-01-01", periods=110, freq="h")
    old = panel_of(pd.MultiIndex.from_product([range(10_000), stamps[:100]]))
    rows = frame(pd.MultiIndex.from_product([range(10_000), stamps[100:]]))
    new = Panel.from_pandas(rows, None, timeline=old.timeline)
    build = quickest(lambda: panel_of(pd.MultiIndex.from_product([range(10_000), stamps[:100]])))
    assert quickest(lambda: old.updated(new)) < 4 * build
    assert quickest(lambda: old.tail(50)) < 4 * build
    assert quickest(lambda: old.extended(10, np.zeros((10_000, 10, 0)))) < 4 * build


def test_timeline_says_its_frequency_as_pandas_writes_it():
    assert str(Timeline(HOURS[:1], pd.offsets.Hour())) == "'h'"
    assert str(panel_of(pd.RangeIndex(0, 9, 3)).timeline) == "3"
