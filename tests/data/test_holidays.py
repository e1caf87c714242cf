import datetime
import sys

import numpy as np
import pandas as pd
import pytest

from skrnn.data.holidays import Holidays


def around(days, stamps):
    """Holiday, day before one, day after one: the dates or hours at which each is 1."""
    channels = Holidays(days).around(stamps)
    assert all(set(channel) <= {0.0, 1.0} for channel in channels)
    return [stamps[channel == 1].strftime("%m-%d").tolist() for channel in channels]


def test_days_around_the_fourth_of_july():
    stamps = pd.date_range("2023-07-01", "2023-07-10", freq="D")
    assert around("US", stamps) == [["07-04"], ["07-03"], ["07-05"]]


def test_days_of_every_year_of_the_stamps_are_known():
    stamps = pd.date_range("1990-07-02", "2040-07-06", freq="D")
    holiday = Holidays("US").around(stamps)[0]
    fourth = (stamps.month == 7) & (stamps.day == 4)
    assert fourth.sum() == 51
    assert holiday[fourth].tolist() == [1.0] * 51


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ("2023-12-31", [0, 1, 0]),  # the holiday is in the next year
        ("2024-01-01", [1, 0, 0]),
        ("2024-01-02", [0, 0, 1]),
        ("2023-12-24", [0, 1, 0]),
        ("2023-12-26", [0, 0, 1]),
    ],
)
def test_turn_of_the_year_by_hand(stamp, expected):
    assert [int(c[0]) for c in Holidays("US").around(pd.DatetimeIndex([stamp]))] == expected


def test_part_of_a_country_has_its_own_days():
    stamps = pd.DatetimeIndex(["2024-01-06", "2024-10-03"])  # Epiphany, German Unity Day
    assert Holidays("DE-BY").around(stamps)[0].tolist() == [1, 1]
    assert Holidays("DE").around(stamps)[0].tolist() == [0, 1]


@pytest.mark.parametrize(
    "days",
    [
        ["2024-05-03", "2024-05-07"],
        [pd.Timestamp("2024-05-03 15:00"), np.datetime64("2024-05-07")],
        pd.to_datetime(["2024-05-07", "2024-05-03"]),
        [datetime.date(2024, 5, 3), datetime.datetime(2024, 5, 7, 12)],
        ["20240503", np.str_("20240507")],
        # The local days, which are others in UTC.
        pd.to_datetime(["2024-05-03 00:30", "2024-05-07 23:30"]).tz_localize("Europe/Berlin"),
        [pd.Timestamp("2024-05-03 23:00", tz="America/New_York"), pd.Timestamp("2024-05-07")],
    ],
    ids=["text", "stamps", "index", "datetime", "digits", "time zone", "time zones"],
)
def test_dates_given_are_holidays(days):
    stamps = pd.date_range("2024-05-01", "2024-05-10", freq="D")
    expected = [["05-03", "05-07"], ["05-02", "05-06"], ["05-04", "05-08"]]
    assert around(days, stamps) == expected


def test_adjacent_holidays_are_each_others_neighbours():
    stamps = pd.date_range("2024-12-24", "2024-12-28", freq="D")
    channels = Holidays(["2024-12-25", "2024-12-26"]).around(stamps)
    assert np.array(channels).tolist() == [[0, 1, 1, 0, 0], [1, 1, 0, 0, 0], [0, 0, 1, 1, 0]]


def test_every_hour_of_a_day_counts():
    stamps = pd.date_range("2023-07-03 22:00", periods=52, freq="h")
    holiday, before, after = Holidays("US").around(stamps)
    assert holiday.tolist() == [0] * 2 + [1] * 24 + [0] * 26
    assert before.tolist() == [1] * 2 + [0] * 50
    assert after.tolist() == [0] * 26 + [1] * 24 + [0] * 2


def test_day_of_an_index_with_time_zone_is_the_local_day():
    stamps = pd.date_range("2023-07-03 22:00", periods=52, freq="h", tz="America/New_York")
    holiday = Holidays("US").around(stamps)[0]
    assert stamps[holiday == 1].day.unique().tolist() == [4]
    assert holiday.sum() == 24


def test_no_dates_are_no_holidays():
    stamps = pd.date_range("2023-07-01", periods=10, freq="D")
    assert np.array(Holidays([]).around(stamps)).tolist() == [[0] * 10] * 3


@pytest.mark.parametrize("code", ["XX", "DE-XX", "nowhere"])
def test_unknown_country_is_named(code):
    with pytest.raises(
        ValueError, match=rf"that the holidays package knows.* Got '{code}' instead"
    ):
        Holidays(code)


@pytest.mark.parametrize(
    "days",
    [
        ["2024-05-03", "easter"],
        [{}],
        [None, "2024-05-03"],
        [pd.NaT],
        # pandas reads numbers as nanoseconds since 1970.
        [20240107],
        [20240107.0],
        [True],
        ["2024-05-03", np.int64(20240107)],
        np.array([20240107]),
        np.array([20240107.0], dtype=np.float32),
        [np.float64("nan")],
        [np.timedelta64(5, "D")],
        20240107,
        None,
    ],
    ids=repr,
)
def test_entry_that_is_not_a_date_is_refused(days):
    with pytest.raises(ValueError, match="must be a country such as 'US' or a list of dates"):
        Holidays(days)


def test_missing_package_is_named_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "holidays", None)
    expected = r"holidays='US' needs .*`pip install \"skrnn\[holidays\]\"`"
    with pytest.raises(ImportError, match=expected):
        Holidays("US")
    stamps = pd.DatetimeIndex(["2024-05-03"])
    assert Holidays(["2024-05-03"]).around(stamps)[0].tolist() == [1]


def test_same_days_are_equal():
    assert Holidays("US") == Holidays("US")
    assert hash(Holidays("US")) == hash(Holidays("US"))
    assert Holidays(["2024-05-03"]) == Holidays(("2024-05-03",))
    assert Holidays("US") != Holidays("CA")
    assert Holidays("US") != "US"
