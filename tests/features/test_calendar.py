"""The calendar as sines and cosines, holidays, and the fields that "auto" chooses."""

import numpy as np
import pandas as pd
import pytest

from builders import dates, panel_of
from skrnn.data.holidays import Holidays
from skrnn.data.timeline import Timeline
from skrnn.features.calendar import (
    CALENDAR,
    calendar_cycle,
    calendar_fields,
    encode_calendar,
    n_calendar_channels,
    ordinals,
)


def encoded(stamps, *calendar):
    """Channels of the stamps, which must lie on a grid of hours or days, as (n, Q)."""
    timeline = panel_of(stamps).timeline
    return encode_calendar(calendar, None, timeline, np.arange(len(stamps)))


def has_channel(channels, expected):
    return any(np.allclose(channel, expected, atol=1e-6) for channel in channels.T)


def test_hour_turns_once_and_twice_a_day():
    channels = encoded(pd.date_range("2024-05-17", periods=4, freq="6h"), "hour")
    assert has_channel(channels, [0, 1, 0, -1])  # sine of the day at 0, 6, 12 and 18 h
    assert has_channel(channels, [1, 0, -1, 0])
    assert has_channel(channels, [1, -1, 1, -1])  # cosine of half a day


def test_minutes_count_as_parts_of_the_hour():
    channels = encoded(pd.date_range("2024-05-17 02:45", periods=3, freq="15min"), "hour")
    angle = 2 * np.pi * np.array([2.75, 3.0, 3.25]) / 24
    assert has_channel(channels, np.sin(angle))


def test_week_begins_on_monday():
    monday = pd.date_range("2024-01-01", periods=7, freq="D")
    assert monday[0].day_name() == "Monday"
    angle = 2 * np.pi * np.arange(7) / 7
    channels = encoded(monday, "dayofweek")
    for k in (1, 2, 3):
        assert has_channel(channels, np.sin(k * angle))
        assert has_channel(channels, np.cos(k * angle))


def test_year_begins_on_new_years_day_and_turns_in_july():
    days = pd.date_range("2024-01-01", periods=366, freq="D")
    channels = encoded(days, "dayofyear")[[0, 183]]
    assert days[183] == pd.Timestamp("2024-07-02")
    assert has_channel(channels, [1, -1])


@pytest.mark.parametrize("name", CALENDAR)
def test_calendar_channels_are_sines_and_cosines(name):
    channels = encoded(pd.date_range("2024-01-01", periods=500, freq="7h"), name)
    waves = channels.reshape(500, -1, 2)
    np.testing.assert_allclose((waves**2).sum(-1), 1.0, rtol=1e-6)
    assert channels.dtype == np.float32


@pytest.mark.parametrize(("name", "freq", "n"), [("hour", "h", 24), ("dayofweek", "D", 7)])
def test_phases_of_a_cycle_differ_and_return(name, freq, n):
    channels = encoded(pd.date_range("2024-01-01", periods=2 * n, freq=freq), name)
    np.testing.assert_allclose(channels[:n], channels[n:], atol=1e-6)
    distance = np.abs(channels[:n, None] - channels[None, :n]).max(-1)
    assert (distance + np.eye(n) > 0.2).all()


def test_hour_of_an_aware_index_is_the_local_hour():
    local = pd.date_range("2024-03-29", periods=96, freq="h", tz="Europe/Berlin")
    channels = encoded(local, "hour")
    noon = channels[local.hour == 12]
    assert len(noon) == 4  # of days before and after summer time begins
    np.testing.assert_allclose(noon, noon[[0, 0, 0, 0]], atol=1e-6)
    assert has_channel(noon, [-1, -1, -1, -1])


@pytest.mark.parametrize(
    ("periods", "dates"),
    [
        (pd.period_range("2024-01-01", periods=50, freq="h"), "h"),
        (pd.period_range("2024-01-01", periods=50, freq="D"), "D"),
        (pd.period_range("2024-01", periods=50, freq="M"), "MS"),
    ],
)
def test_period_is_encoded_as_its_first_instant(periods, dates):
    stamps = pd.date_range("2024-01-01", periods=50, freq=dates)
    np.testing.assert_array_equal(encoded(periods, *CALENDAR), encoded(stamps, *CALENDAR))


def test_calendar_is_encoded_beyond_the_end_of_the_series():
    days = pd.date_range("2024-01-01", periods=30, freq="D")
    timeline = panel_of(days[:10]).timeline
    beyond = encode_calendar(["dayofweek"], None, timeline, np.arange(20, 30))
    np.testing.assert_array_equal(beyond, encoded(days, "dayofweek")[20:])


def test_calendar_of_an_index_without_dates_is_zero():
    channels = encoded(pd.RangeIndex(9), "hour", "dayofyear")
    assert (channels == 0).all()
    assert channels.shape == (9, 8)


def test_holidays_follow_the_calendar():
    days = pd.date_range("2024-05-01", periods=5, freq="D")
    holidays = Holidays(["2024-05-03"])
    channels = encode_calendar(["dayofweek"], holidays, panel_of(days).timeline, np.arange(5))
    assert channels.shape[1] == n_calendar_channels(["dayofweek"], holidays) == 6 + 3
    np.testing.assert_array_equal(channels[:, :6], encoded(days, "dayofweek"))
    # The day itself, the day before it, the day after it.
    assert channels[:, 6:].T.tolist() == [[0, 0, 1, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 1, 0]]


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (dates("h", 400), ("hour", "dayofweek")),
        (dates("h", 24 * 800), ("hour", "dayofweek", "dayofyear")),
        (dates("h", 100), ("hour",)),
        # Two cycles, or one step less.
        (dates("h", 47), ("hour",)),
        (dates("h", 45), ()),
        (dates("h", 20), ()),
        (dates("D", 60), ("dayofweek",)),
        (dates("D", 800), ("dayofweek", "dayofyear")),
        (dates("B", 60), ("dayofweek",)),
        (dates("W", 200), ("dayofyear",)),
        (dates("MS", 60), ("dayofyear",)),
        (dates("YS", 60), ()),
        (pd.period_range("2020-01", periods=60, freq="M"), ("dayofyear",)),
        (pd.RangeIndex(5000), ()),
    ],
)
def test_auto_calendar_takes_the_cycles_of_which_the_data_cover_two(index, expected):
    assert calendar_fields("auto", panel_of(index)) == expected


def test_calendar_asked_for_is_taken_where_there_are_dates():
    assert calendar_fields(["dayofyear"], panel_of(dates("h", 20))) == ("dayofyear",)
    assert calendar_fields("dayofyear", panel_of(dates("h", 20))) == ("dayofyear",)
    assert calendar_fields("auto", panel_of(pd.RangeIndex(20))) == ()
    with pytest.raises(ValueError, match="needs dates or periods in the index"):
        calendar_fields(["dayofyear"], panel_of(pd.RangeIndex(20)))
    assert calendar_fields(None, panel_of(dates("h", 4000))) == ()


@pytest.mark.parametrize(
    ("freq", "calendar", "steps"),
    [
        ("h", ("hour",), 24),
        ("h", ("hour", "dayofweek"), 168),
        ("D", ("dayofyear",), 365),
        ("MS", ("dayofyear",), 12),
        ("W", ("dayofyear",), 52),
        ("D", (), 0),
    ],
)
def test_cycle_is_the_longest_of_the_calendar_in_steps(freq, calendar, steps):
    assert calendar_cycle(calendar, panel_of(dates(freq, 30))) == steps


@pytest.mark.parametrize(
    "index",
    [
        pd.date_range("2020-01-06", periods=40, freq="28D"),
        pd.date_range("2020-01-05", periods=40, freq="4W"),
        pd.date_range("2020-01-01", periods=40, freq="720h"),
        # The clock changes on the fourth day, from which the length of a step was measured.
        pd.date_range("2024-03-07", periods=800, freq="D", tz="America/New_York"),
    ],
    ids=["28 days", "4 weeks", "720 hours", "local days"],
)
def test_equal_steps_have_neighbouring_numbers(index):
    timeline = Timeline.of(index, np.array([0, len(index)]))
    numbers = ordinals(timeline, np.arange(len(index)))
    assert np.diff(numbers).tolist() == [1] * (len(index) - 1)
    # They are the same on a timeline that begins later.
    later = Timeline.of(index[3:], np.array([0, len(index) - 3]))
    assert ordinals(later, np.arange(5)).tolist() == numbers[3:8].tolist()
