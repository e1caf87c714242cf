import numpy as np
import pandas as pd
import pytest

from skrnn.data.covariates import Covariates
from skrnn.data.panel import Panel
from skrnn.data.timeline import Timeline

HOURS = pd.date_range("2024-01-01", periods=12, freq="h", name="time")


def panel_of(index):
    y = pd.DataFrame({"y": np.arange(len(index), dtype=float)}, index=index)
    return Panel.from_pandas(y, None, Covariates.of(None, ()))


def several(**series):
    """Index of a panel: one keyword a series, its time stamps."""
    pairs = [(key, stamp) for key, stamps in series.items() for stamp in stamps]
    return pd.MultiIndex.from_tuples(pairs, names=["series", "time"])


def without_freq(index):
    return pd.DatetimeIndex(list(index), name=index.name)


# Each makes n stamps. From a series of some of them the timeline must find all the others.
GRIDS = {
    "range": lambda n: pd.RangeIndex(5, 5 + n),
    "range step 3": lambda n: pd.RangeIndex(-6, -6 + 3 * n, 3),
    "integers": lambda n: pd.Index(np.arange(7, 7 + n)),
    "even integers": lambda n: pd.Index(np.arange(8, 8 + 2 * n, 2)),
    "period M": lambda n: pd.period_range("2019-11", periods=n, freq="M"),
    "period Q": lambda n: pd.period_range("2019Q3", periods=n, freq="Q"),
    "period h": lambda n: pd.period_range("2020-02-28 20:00", periods=n, freq="h"),
    "period 2M": lambda n: pd.period_range("2019-11", periods=n, freq="2M"),
    "period 6h": lambda n: pd.period_range("2020-02-28", periods=n, freq="6h"),
    "h": lambda n: pd.date_range("2020-02-28 20:00", periods=n, freq="h"),
    "2h": lambda n: pd.date_range("2020-02-28 20:00", periods=n, freq="2h"),
    "D": lambda n: pd.date_range("2020-02-20", periods=n, freq="D"),
    "3D": lambda n: pd.date_range("2020-02-20 12:00", periods=n, freq="3D"),
    "W": lambda n: pd.date_range("2019-12-01", periods=n, freq="W"),
    "W-WED": lambda n: pd.date_range("2019-12-01", periods=n, freq="W-WED"),
    "2W": lambda n: pd.date_range("2019-12-01", periods=n, freq="2W"),
    "2MS": lambda n: pd.date_range("2019-11-01", periods=n, freq="2MS"),
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
    "D into summer time": lambda n: pd.date_range(
        "2024-03-20", periods=n, freq="D", tz="Europe/Berlin"
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


@pytest.mark.parametrize("name", GRIDS)
def test_stamps_may_all_lie_before_the_start_or_after_the_end(name):
    longer = GRIDS[name](30)
    timeline = panel_of(longer[10:20]).timeline
    assert timeline.positions(longer[3:5]).tolist() == [-7, -6]
    assert timeline.positions(longer[25:27]).tolist() == [15, 16]
    assert timeline.stamps(np.array([-7, -6])).equals(longer[3:5])
    assert timeline.stamps(np.array([15, 16])).equals(longer[25:27])


def test_hour_that_repeats_out_of_summer_time_has_two_positions():
    index = pd.date_range("2024-10-27", periods=5, freq="h", tz="Europe/Berlin")
    assert index.hour.tolist() == [0, 1, 2, 2, 3]
    assert panel_of(index).timeline.positions(index).tolist() == [0, 1, 2, 3, 4]


def test_same_instants_in_another_time_zone_have_the_same_positions():
    berlin = pd.date_range("2024-03-30 15:00", periods=20, freq="h", tz="Europe/Berlin")
    timeline = panel_of(berlin).timeline
    assert timeline.positions(berlin[3:6].tz_convert("UTC")).tolist() == [3, 4, 5]


def test_series_of_one_row_has_the_frequency_of_its_index():
    timeline = panel_of(HOURS[:1]).timeline
    assert timeline.stamps(np.array([5]))[0] == HOURS[5]


def test_timeline_of_a_panel_starts_at_its_earliest_stamp():
    panel = panel_of(several(a=HOURS[4:9], b=HOURS[2:6]))
    assert panel.timeline.start[0] == HOURS[2]
    assert panel.origin.tolist() == [2, 0]


def test_frequency_is_that_of_the_longest_series():
    panel = panel_of(several(short=HOURS[[0]], long=HOURS[1:9]))
    assert panel.timeline.freq == pd.offsets.Hour()
    assert panel.origin.tolist() == [0, 1]


def test_is_calendar_only_with_dates():
    calendar = {name for name, make in GRIDS.items() if panel_of(make(9)).timeline.is_calendar}
    assert calendar == {name for name in GRIDS if "range" not in name and "integers" not in name}


def test_gap_between_months_is_named_with_their_frequency():
    months = without_freq(pd.date_range("2020-01-01", periods=12, freq="MS")).delete(4)
    with pytest.raises(ValueError, match=r"frequency 'MS', .* 2020-06-01 .* follows 2020-04-01"):
        panel_of(months)


def test_frequency_that_pandas_cannot_infer_is_the_shortest_step():
    with pytest.raises(ValueError, match=r"frequency 'h', .* 03:00:00 follows .* 01:00:00"):
        panel_of(without_freq(HOURS[[0, 1, 3]]))


def test_steps_are_fixed_only_with_a_frequency_of_hours_or_less():
    fixed = {name for name, make in GRIDS.items() if panel_of(make(9)).timeline.is_fixed}
    hours = {"h", "2h", "15min", "h into summer time", "h out of summer time"}
    assert fixed == hours | {"period h", "period 6h"}


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
    ("fitted", "later", "message"),
    [
        ("h", "range", "a DatetimeIndex without time zone, but got an integer index"),
        ("range", "h", "an integer index, but got a DatetimeIndex without time zone"),
        ("period M", "MS", "PeriodIndex, but got a DatetimeIndex without time zone"),
        ("h into summer time", "h", "a DatetimeIndex with time zone, but got a DatetimeIndex wit"),
    ],
)
def test_stamps_of_another_kind_are_refused(fitted, later, message):
    with pytest.raises(TypeError, match=message):
        panel_of(GRIDS[fitted](9)).timeline.positions(GRIDS[later](9))


def test_range_and_integer_index_are_one_kind():
    timeline = panel_of(pd.RangeIndex(5, 25)).timeline
    assert timeline.positions(pd.Index([7, 30])).tolist() == [2, 25]


@pytest.mark.parametrize("later", ["period Q", "period 2M", "period h"])
def test_periods_of_another_frequency_are_refused(later):
    timeline = panel_of(GRIDS["period M"](9)).timeline
    with pytest.raises(ValueError, match=r"frequency seen in fit, 'ME?', but got '.*'\. Convert"):
        timeline.positions(GRIDS[later](9))


def test_timeline_is_printed_as_its_frequency():
    assert str(Timeline(HOURS[:1], pd.offsets.Hour())) == "'h'"
    assert str(panel_of(pd.RangeIndex(0, 9, 3)).timeline) == "3"


# --------------------------------------------------------------------- steps


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("h", pd.Timedelta(hours=1)),
        ("2h", pd.Timedelta(hours=2)),
        ("15min", pd.Timedelta(minutes=15)),
        ("h out of summer time", pd.Timedelta(hours=1)),
        ("D", pd.Timedelta(days=1)),
        ("3D", pd.Timedelta(days=3)),
        ("D into summer time", pd.Timedelta(days=1)),
        ("W-WED", pd.Timedelta(days=7)),
        ("2W", pd.Timedelta(days=14)),
        ("period h", pd.Timedelta(hours=1)),
        ("period 6h", pd.Timedelta(hours=6)),
    ],
)
@pytest.mark.parametrize("unit", ["s", "ms", "ns"])
def test_durations_are_whole_numbers_of_steps(name, step, unit):
    timeline = panel_of(GRIDS[name](9)).timeline
    durations = pd.TimedeltaIndex([step * n for n in (3, 0, -2, 1000)]).as_unit(unit)
    steps = timeline.steps(durations)
    assert steps.tolist() == [3, 0, -2, 1000]
    assert steps.dtype == np.int64


@pytest.mark.parametrize(
    ("name", "durations", "refused"),
    [
        ("h", ["30min"], "0 days 00:30:00"),
        ("h", ["1h", "90min"], "0 days 01:30:00"),
        ("h", ["-30min"], "-1 days +23:30:00"),
        ("h", ["1h", "1ns"], "0 days 00:00:00.000000001"),
        ("h", [None], "NaT"),
        ("h out of summer time", ["30min"], "0 days 00:30:00"),
        ("2h", ["3h"], "0 days 03:00:00"),
        ("D", ["36h"], "1 days 12:00:00"),
        ("3D", ["4D"], "4 days 00:00:00"),
        ("W", ["10D"], "10 days 00:00:00"),
        ("2W", ["7D"], "7 days 00:00:00"),
        ("period h", ["30min"], "0 days 00:30:00"),
        ("period 6h", ["7h"], "0 days 07:00:00"),
    ],
)
def test_duration_off_the_grid_is_named_with_the_frequency(name, durations, refused):
    timeline = panel_of(GRIDS[name](9)).timeline
    with pytest.raises(ValueError, match="must be a whole number of steps") as caught:
        timeline.steps(pd.to_timedelta(durations))
    assert f"of frequency {timeline!s}, but got {refused}. Pass" in str(caught.value)


@pytest.mark.parametrize(
    "name", ["MS", "ME", "2MS", "QS", "YS", "B", "B into summer time", "period M", "period Q"]
)
def test_durations_are_refused_where_steps_differ_in_length(name):
    timeline = panel_of(GRIDS[name](9)).timeline
    with pytest.raises(ValueError, match=r"steps of .* differ\. Pass integers, .*, or") as caught:
        timeline.steps(pd.to_timedelta(["28D"]))
    assert f"frequency {timeline!s} differ" in str(caught.value)


@pytest.mark.parametrize("name", ["range", "even integers"])
def test_durations_are_refused_where_steps_are_integers(name):
    with pytest.raises(ValueError, match=r"frequency [12] are integers\. Pass integers"):
        panel_of(GRIDS[name](9)).timeline.steps(pd.to_timedelta(["1h"]))


def test_no_durations_are_no_steps():
    assert panel_of(HOURS).timeline.steps(pd.to_timedelta([])).tolist() == []


@pytest.mark.parametrize(
    ("freq", "days"),
    [("h", 1 / 24), ("15min", 1 / 96), ("D", 1), ("B", 1), ("W", 7), ("MS", 366 / 12), ("2D", 2)],
)
def test_step_of_a_frequency_is_its_mean_length_in_days(freq, days):
    timeline = panel_of(pd.date_range("2020-01-01", periods=30, freq=freq)).timeline
    assert timeline.step_in_days == pytest.approx(days)  # 2020 has 366 days


def test_step_of_periods_is_that_of_dates():
    months = panel_of(pd.period_range("2020-01", periods=30, freq="M")).timeline
    of_dates = panel_of(pd.date_range("2020-01", periods=30, freq="MS")).timeline
    assert months.step_in_days == of_dates.step_in_days
