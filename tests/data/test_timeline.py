# `values` is an array of ours here, never that of pandas.
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


def test_timeline_says_its_frequency_as_pandas_writes_it():
    assert str(Timeline(HOURS[:1], pd.offsets.Hour())) == "'h'"
    assert str(panel_of(pd.RangeIndex(0, 9, 3)).timeline) == "3"
