"""Time: forecasts of every kind of index have the right stamps, and read the right calendar."""

import numpy as np
import pandas as pd
import pytest
from sktime.forecasting.base import ForecastingHorizon

from skrnn import GRUForecaster

SMALL = {"hidden_size": 4, "window_length": 8, "num_epochs": 2, "random_state": 0}
N, FH = 60, [1, 2, 13]
RNG = np.random.default_rng(0)
VALUES = np.tile([10.0, 14.0, 12.0], N // 3) + RNG.normal(size=N)


def anchored(freq):
    return pd.date_range("2020-01-05", periods=N, freq=freq)


# Every kind of index, and the stamps of 1, 2 and 13 steps after its end, written out.
INDEXES = {
    "hours": (
        pd.date_range("2024-02-27 05:00", periods=N, freq="h"),
        ["2024-02-29 17:00", "2024-02-29 18:00", "2024-03-01 05:00"],
    ),
    "quarter hours": (
        pd.date_range("2023-12-31 10:00", periods=N, freq="15min"),
        ["2024-01-01 01:00", "2024-01-01 01:15", "2024-01-01 04:00"],
    ),
    "minutes": (
        pd.date_range("2024-02-28 23:00", periods=N, freq="min"),
        ["2024-02-29 00:00", "2024-02-29 00:01", "2024-02-29 00:12"],
    ),
    "days": (
        pd.date_range("2024-01-01", periods=N, freq="D"),
        ["2024-03-01", "2024-03-02", "2024-03-13"],
    ),
    "days without freq": (
        pd.DatetimeIndex(pd.date_range("2024-01-01", periods=N).to_numpy()),
        ["2024-03-01", "2024-03-02", "2024-03-13"],
    ),
    "business days": (
        pd.bdate_range("2024-01-01", periods=N),
        ["2024-03-25", "2024-03-26", "2024-04-10"],
    ),
    "weeks that end on Wednesday": (
        pd.date_range("2023-01-04", periods=N, freq="W-WED"),
        ["2024-02-28", "2024-03-06", "2024-05-22"],
    ),
    "month starts": (
        pd.date_range("2019-03-01", periods=N, freq="MS"),
        ["2024-03-01", "2024-04-01", "2025-03-01"],
    ),
    "month ends": (
        pd.date_range("2019-02-28", periods=N, freq="ME"),
        ["2024-02-29", "2024-03-31", "2025-02-28"],
    ),
    "quarter ends of a year to November": (
        pd.date_range("2009-02-28", periods=N, freq="QE-NOV"),
        ["2024-02-29", "2024-05-31", "2027-02-28"],
    ),
    "years": (
        pd.date_range("1960-12-31", periods=N, freq="YE"),
        ["2020-12-31", "2021-12-31", "2032-12-31"],
    ),
    "hours into summer time": (
        pd.date_range("2024-03-28 14:00", periods=N, freq="h", tz="Europe/Berlin"),
        ["2024-03-31T03:00+02:00", "2024-03-31T04:00+02:00", "2024-03-31T15:00+02:00"],
    ),
    "hours out of summer time": (
        pd.date_range("2024-10-24 15:00", periods=N, freq="h", tz="Europe/Berlin"),
        ["2024-10-27T02:00+01:00", "2024-10-27T03:00+01:00", "2024-10-27T14:00+01:00"],
    ),
    "days over summer time": (
        pd.date_range("2024-02-01", periods=N, freq="D", tz="Europe/Berlin"),
        ["2024-04-01T00:00+02:00", "2024-04-02T00:00+02:00", "2024-04-13T00:00+02:00"],
    ),
}
PERIODS = {
    "months": (
        pd.period_range("2019-03", periods=N, freq="M"),
        ["2024-03", "2024-04", "2025-03"],
    ),
    "quarters to November": (
        pd.period_range("2009Q1", periods=N, freq="Q-NOV"),
        ["2024Q1", "2024Q2", "2027Q1"],
    ),
    "weeks": (
        pd.period_range("2023-01-04", periods=N, freq="W-WED"),
        ["2024-02-28", "2024-03-06", "2024-05-22"],
    ),
    "years": (pd.period_range("1960", periods=N, freq="Y"), ["2020", "2021", "2032"]),
    "days": (
        pd.period_range("2024-01-01", periods=N, freq="D"),
        ["2024-03-01", "2024-03-02", "2024-03-13"],
    ),
    "hours": (
        pd.period_range("2024-02-27 05:00", periods=N, freq="h"),
        ["2024-02-29 17:00", "2024-02-29 18:00", "2024-03-01 05:00"],
    ),
}
INTEGERS = {
    "range": (pd.RangeIndex(N), [60, 61, 72]),
    "range with an offset": (pd.RangeIndex(7, 7 + N), [67, 68, 79]),
    "integers": (pd.Index(np.arange(N) + 3), [63, 64, 75]),
    "negative integers": (pd.Index(np.arange(N) - 100), [-40, -39, -28]),
    # Horizons count rows, as the guide says under Limits.
    "every fifth": (pd.RangeIndex(3, 3 + 5 * N, 5), [303, 308, 363]),
    "every fifth as integers": (pd.Index(3 + 5 * np.arange(N)), [303, 308, 363]),
}


def forecast(index, **settings):
    y = pd.Series(VALUES, index, name="y")
    return GRUForecaster(**SMALL | settings).fit(y, fh=FH).predict()


@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
@pytest.mark.parametrize("name", INDEXES)
def test_stamps_of_forecasts_continue_the_dates(name, strategy):
    index, expected = INDEXES[name]
    found = forecast(index, strategy=strategy).index
    stamps = pd.DatetimeIndex([pd.Timestamp(stamp) for stamp in expected])
    if index.tz is not None:
        stamps = stamps.tz_convert(index.tz)
    assert found.tolist() == stamps.tolist()


@pytest.mark.parametrize("name", PERIODS)
def test_stamps_of_forecasts_continue_the_periods(name):
    index, expected = PERIODS[name]
    found = forecast(index).index
    assert found.tolist() == pd.PeriodIndex(expected, freq=index.freq).tolist()


@pytest.mark.parametrize("name", INTEGERS)
def test_stamps_of_forecasts_continue_the_integers(name):
    index, expected = INTEGERS[name]
    assert forecast(index).index.tolist() == expected


@pytest.mark.parametrize("name", ["range with an offset", "every fifth", "every fifth as integers"])
def test_absolute_horizons_are_integers_of_the_index(name):
    index, expected = INTEGERS[name]
    y = pd.Series(VALUES, index, name="y")
    absolute = ForecastingHorizon(expected, is_relative=False)
    pd.testing.assert_series_equal(GRUForecaster(**SMALL).fit(y).predict(absolute), forecast(index))


# Indexes that say the same in two ways.
EQUAL = {
    "months as periods": (PERIODS["months"][0], INDEXES["month starts"][0]),
    "days as periods": (PERIODS["days"][0], INDEXES["days"][0]),
    "days without freq": INDEXES["days without freq"][:1] + INDEXES["days"][:1],
    "hours as periods": (PERIODS["hours"][0], INDEXES["hours"][0]),
    "hours of UTC": (INDEXES["hours"][0].tz_localize("UTC"), INDEXES["hours"][0]),
    "hours of a zone": (INDEXES["hours"][0].tz_localize("Asia/Tokyo"), INDEXES["hours"][0]),
    "integers": (INTEGERS["range with an offset"][0], INTEGERS["range"][0]),
    "every fifth integer": (INTEGERS["every fifth"][0], INTEGERS["range"][0]),
}


@pytest.mark.parametrize("name", EQUAL)
def test_indexes_that_say_the_same_have_the_same_forecasts(name):
    one, other = (forecast(index, sp=[3], num_epochs=5) for index in EQUAL[name])
    np.testing.assert_array_equal(one, other)


def clock(hours):
    """A load by the hour of the day: high from 8 to 19 on the clock."""
    return np.where((hours >= 8) & (hours < 20), 100.0, 50.0)


@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
@pytest.mark.parametrize("change", ["2024-03-31", "2024-10-27"])
def test_seasons_follow_the_clock_where_it_changes(change, strategy):
    index = pd.date_range("2024-01-10", "2024-12-31", freq="h", tz="Europe/Berlin")
    y = pd.Series(clock(index.hour) + np.random.default_rng(0).normal(size=len(index)), index)
    train = y[: pd.Timestamp(change, tz="Europe/Berlin") + pd.Timedelta("21D")]
    test = y[len(train) : len(train) + 24]
    forecaster = GRUForecaster(strategy, random_state=0).fit(train[-24 * 56 :], fh=range(1, 25))
    assert (forecaster.predict() - test).abs().mean() < 3
