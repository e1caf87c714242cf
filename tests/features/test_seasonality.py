"""Seasonal periods: from the frequency, from the values, or given."""

import numpy as np
import pandas as pd
import pytest

from builders import dates, panel_of
from skrnn.features.seasonality import check_within, level_period, seasonal_periods


@pytest.mark.parametrize(
    ("lengths", "expected"), [([2], 1), ([9], 2), ([5, 40, 20], 10), ([51], 12), ([900], 12)]
)
def test_level_without_a_season_is_a_quarter_of_the_longest_series_up_to_twelve(lengths, expected):
    index = pd.MultiIndex.from_tuples([(s, t) for s, n in enumerate(lengths) for t in range(n)])
    assert level_period(panel_of(index)) == expected


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (dates("h", 400), (24, 168)),
        (dates("h", 169), (24, 168)),
        (dates("h", 168), (24,)),
        (dates("h", 25), (24,)),
        (dates("h", 24), ()),
        (dates("15min", 1400), (96, 672)),
        (dates("D", 30), (7,)),
        (dates("D", 8), (7,)),
        (dates("D", 7), ()),
        (dates("B", 30), (5,)),
        (dates("W", 120), (52,)),
        (dates("MS", 60), (12,)),
        (dates("ME", 24), (12,)),
        (dates("MS", 18), (12,)),
        (dates("MS", 12), ()),
        (dates("6MS", 10), (2,)),
        (dates("QS", 20), (4,)),
        (dates("YS", 20), ()),
        (dates("h", 400, tz="Europe/Berlin"), (24, 168)),
        (dates("D", 30, tz="Europe/Berlin"), (7,)),
        (pd.period_range("2020", periods=400, freq="h"), (24, 168)),
        (pd.period_range("2020", periods=60, freq="M"), (12,)),
        (pd.period_range("2020", periods=20, freq="Q"), (4,)),
        (pd.period_range("2020", periods=20, freq="Y"), ()),
    ],
    ids=lambda value: str(value) if isinstance(value, tuple) else f"{value.freqstr} {len(value)}",
)
def test_auto_sp_is_the_day_week_or_year_of_the_frequency(index, expected):
    assert seasonal_periods("auto", panel_of(index)) == expected


def test_longest_series_decides_which_periods_fit():
    days = dates("D", 30)
    index = pd.MultiIndex.from_tuples([("a", days[0])] + [("b", day) for day in days])
    assert seasonal_periods("auto", panel_of(index)) == (7,)


@pytest.mark.parametrize("period", [3, 5, 7, 12, 17, 40])
def test_period_of_an_index_without_dates_is_found_in_the_values(period):
    t = np.arange(400)
    noise = np.random.default_rng(period).normal(size=400)
    values = 10.0 * (t % period == 0) + 0.1 * t + noise
    assert seasonal_periods("auto", panel_of(pd.RangeIndex(400), values)) == (period,)


@pytest.mark.parametrize(
    "index",
    [
        dates("YS", 80),
        dates("YE", 80),
        pd.period_range("1900", periods=80, freq="Y"),
        dates("2YS", 80),
        pd.RangeIndex(80),
    ],
    ids=["start", "end", "period", "two years", "integers"],
)
def test_cycle_of_years_is_found_in_the_values(index):
    t = np.arange(80)
    noise = np.random.default_rng(0).normal(size=80)
    values = 5 * np.sin(2 * np.pi * t / 10) + 0.1 * t + 0.3 * noise
    assert seasonal_periods("auto", panel_of(index, values)) == (10,)
    assert seasonal_periods("auto", panel_of(index, 0.1 * t + noise)) == ()


@pytest.mark.parametrize("values", [np.ones(300), np.arange(300.0), np.array([0.0, 1.0])])
def test_values_without_a_cycle_have_no_period(values):
    assert seasonal_periods("auto", panel_of(pd.RangeIndex(len(values)), values)) == ()


@pytest.mark.parametrize(
    ("sp", "expected"), [(None, ()), (5, (5,)), (np.int64(5), (5,)), ([24, 168], (24, 168))]
)
def test_sp_that_is_given_is_taken(sp, expected):
    assert seasonal_periods(sp, panel_of(dates("h", 169))) == expected


@pytest.mark.parametrize("sp", [168, [24, 168], [168, 24]])
def test_sp_as_long_as_the_longest_series_is_refused(sp):
    with pytest.raises(ValueError, match=r"'sp' .* longest series, which has 168 .* Got 168\."):
        seasonal_periods(sp, panel_of(dates("h", 168)))


def test_the_longest_series_of_a_panel_bounds_sp():
    index = pd.MultiIndex.from_tuples([("a", 0), ("a", 1)] + [("b", t) for t in range(10)])
    assert seasonal_periods(9, panel_of(index)) == (9,)
    with pytest.raises(ValueError, match="Got 10"):
        seasonal_periods(10, panel_of(index))


def test_error_of_a_lag_beyond_the_data_names_the_first_one_and_the_way_out():
    check_within("lags", (1, 11), 12)
    with pytest.raises(ValueError, match=r"'lags' .* has 12 .* Got 12\. .* lags='auto'"):
        check_within("lags", (3, 12, 40), 12)


def test_missing_values_do_not_hide_the_period_of_the_values():
    t = np.arange(400)
    values = 10.0 * (t % 7 == 0) + np.random.default_rng(0).normal(size=400)
    values[[0, 50, 51, 399]] = np.nan
    assert seasonal_periods("auto", panel_of(pd.RangeIndex(400), values)) == (7,)
