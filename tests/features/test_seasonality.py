"""Seasonal periods: from the frequency, from the values, or given."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.signal import lfilter

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


def periods_in(values):
    return seasonal_periods("auto", panel_of(pd.RangeIndex(len(values)), np.asarray(values, float)))


DAYS_IN_WEEK = np.array([1.0, 1.0, 1.0, 0.9, 0.8, 0.3, 0.2])


@pytest.mark.parametrize(("day", "n_days"), [(24, 42), (24, 200), (48, 22), (8, 60)])
def test_day_and_week_without_dates_are_both_found(day, n_days):
    rng = np.random.default_rng(0)
    within_day = np.sin(2 * np.pi * np.arange(day) / day)
    values = (np.resize(DAYS_IN_WEEK, n_days)[:, None] * (2 + within_day)).ravel()
    values = values + 0.2 * rng.normal(size=len(values)) + 0.01 * np.arange(len(values))
    assert periods_in(values) == (day, 7 * day)


def test_day_and_week_are_found_in_a_panel_whose_longest_series_shows_the_day_alone():
    rng = np.random.default_rng(0)
    within_day = np.sin(2 * np.pi * np.arange(24) / 24)
    weekly = [np.resize(DAYS_IN_WEEK, 42)[:, None] * (2 + within_day) for _ in range(5)]
    series = [np.tile(within_day, 50), *(part.ravel() for part in weekly)]
    series = [values + 0.2 * rng.normal(size=len(values)) for values in series]
    assert periods_in(series[0]) == (24,)
    pairs = [(k, t) for k, values in enumerate(series) for t in range(len(values))]
    panel = panel_of(pd.MultiIndex.from_tuples(pairs), np.concatenate(series))
    assert seasonal_periods("auto", panel) == (24, 168)


@pytest.mark.parametrize("n", [144, 400, 1_500])
@pytest.mark.parametrize("period", [7, 12, 24])
def test_smooth_season_in_noise_is_found_and_no_other(n, period):
    rng = np.random.default_rng(0)
    for _ in range(20):
        wave = 2 * np.sin(2 * np.pi * np.arange(n) / period + rng.uniform(0, 6))
        assert periods_in(wave + 0.5 * rng.normal(size=n)) == (period,)


@pytest.mark.parametrize("n", [60, 144, 1_000])
@pytest.mark.parametrize(
    ("kind", "most"), [("noise", 3), ("walk", 8), ("autoregression", 5), ("trend", 3)]
)
def test_values_without_a_season_rarely_have_a_period(n, kind, most):
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(40):
        noise = rng.normal(size=n)
        values = {"noise": noise, "walk": noise.cumsum(), "trend": noise + 0.1 * np.arange(n)}
        values["autoregression"] = lfilter([1.0], [1.0, -0.8], noise)
        found += periods_in(values[kind]) != ()
    assert found <= most


@pytest.mark.parametrize("period", [4, 7, 12, 24])
def test_single_season_of_any_profile_is_rarely_taken_for_two(period):
    rng = np.random.default_rng(0)
    found = [
        periods_in(np.resize(rng.normal(size=period), 400) + 0.25 * rng.normal(size=400))
        for _ in range(50)
    ]
    assert all(found)
    assert sum(periods[-1] == period for periods in found) >= 45
    assert sum(len(periods) > 1 for periods in found) <= 6


def test_period_is_the_same_in_any_unit():
    t = np.arange(300)
    values = np.sin(2 * np.pi * t / 12) + 0.3 * np.random.default_rng(0).normal(size=300)
    assert [periods_in(u * values + 3 * u) for u in (1.0, 1e-200, 1e307)] == [(12,)] * 3


DATA = Path(os.environ.get("SKRNN_DATA") or Path(__file__).parents[3] / "shared" / "data" / "pjm")


@pytest.mark.skipif(
    not (DATA.parent / "m4").is_dir(), reason="needs the M4 files beside those of PJM"
)
def test_hours_of_m4_have_a_day_and_a_week():
    rows = pd.read_csv(DATA.parent / "m4" / "Hourly-train.csv", index_col=0).to_numpy(float)
    series = [row[~np.isnan(row)] for row in rows[::4]]
    found = [periods_in(values) for values in series]
    assert np.mean([24 in periods or 168 in periods for periods in found]) > 0.9
    pairs = [(k, t) for k, values in enumerate(series) for t in range(len(values))]
    panel = panel_of(pd.MultiIndex.from_tuples(pairs), np.concatenate(series))
    assert seasonal_periods("auto", panel) == (24, 168)
