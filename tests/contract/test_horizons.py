"""Horizons: with gaps, absolute, before the cutoff, across it."""

import copy

import numpy as np
import pandas as pd
import pytest
from sktime.forecasting.base import ForecastingHorizon

from skrnn import GRUForecaster, backtest
from small_cases import (
    SMALL,
    cells,
    hourly,
    noisy,
    panel,
)

pytestmark = pytest.mark.usefixtures("one_thread")

# ------------------------------------------------------------------ horizons


@cells
def test_horizon_with_gaps_equals_the_whole_horizon_there(cell):
    forecaster = cell(**SMALL).fit(hourly())
    whole = forecaster.predict(fh=range(1, 31))
    for steps in ([1, 5], [5], [30], [2, 3, 17]):
        some = forecaster.predict(fh=steps)
        pd.testing.assert_series_equal(some, whole.iloc[np.array(steps) - 1], check_freq=False)


@cells
@pytest.mark.parametrize(
    "index",
    [
        pd.date_range("2024-01-01", periods=105, freq="h"),
        pd.date_range("2000-01-31", periods=105, freq="ME"),
        pd.period_range("2000-01", periods=105, freq="M"),
        pd.RangeIndex(105),
        pd.Index(np.arange(10, 220, 2)),
    ],
    ids=["hours", "ends of months", "months", "RangeIndex", "integers"],
)
def test_absolute_horizon_equals_the_relative_one(cell, index):
    y = noisy(105, index=index)
    forecaster = cell(**SMALL).fit(y[:100])
    relative = forecaster.predict(fh=[1, 3, 5])
    assert list(relative.index) == [index[100], index[102], index[104]]
    absolute = forecaster.predict(fh=_absolute(index[[100, 102, 104]]))
    np.testing.assert_array_equal(absolute, relative)
    assert list(absolute.index) == list(relative.index)


def _absolute(times):
    return ForecastingHorizon(times, is_relative=False)


@cells
@pytest.mark.parametrize("supervision", ["dense", "last"])
def test_in_sample_forecasts_are_one_step_ahead(cell, supervision):
    y = hourly()
    forecaster = cell(**SMALL, supervision=supervision).fit(y)
    made = forecaster.predict(fh=range(-99, 1))
    assert list(made.index) == list(y.index)
    assert np.isnan(made.iloc[0])  # nothing is known before the first observation
    expected = backtest(forecaster, y, fh=1, start=0)["y_pred"]
    np.testing.assert_allclose(made[1:], expected, rtol=1e-5)


@cells
def test_horizon_across_the_cutoff_joins_both_kinds(cell):
    forecaster = cell(**SMALL).fit(hourly())
    made = forecaster.predict(fh=[-3, 0, 1, 4])
    np.testing.assert_allclose(made[:2], forecaster.predict(fh=[-3, 0]), rtol=1e-5)
    np.testing.assert_allclose(made[2:], forecaster.predict(fh=[1, 4]), rtol=1e-5)


@cells
def test_in_sample_forecasts_of_a_panel_are_those_of_each_series(cell):
    y = panel()
    forecaster = cell(**SMALL).fit(y)
    made = forecaster.predict(fh=[-5, 0])
    expected = backtest(forecaster, y, start=0)["y_pred"]
    for name, end in (("s0", 59), ("s1", 79), ("s2", 69)):
        for step in (end - 5, end):
            assert made.loc[(name, step), "y"] == pytest.approx(
                expected.loc[(name, step - 1, step)], rel=1e-5
            )


@cells
def test_long_horizon_equals_feeding_forecasts_back(cell):
    y = hourly()
    # With a linear forecast the path would be averaged with direct forecasts.
    forecaster = cell(**SMALL, linear_lags=None).fit(y)
    made = forecaster.predict(fh=range(1, 13))
    fed = copy.deepcopy(forecaster)
    for time, expected in made.items():
        step = fed.predict(fh=[1])
        assert step.index[0] == time
        # A run started afresh at each cutoff may differ in where it starts, so a little in state.
        assert step.iloc[0] == pytest.approx(expected, rel=2e-3)
        fed.update(step.rename("load"), update_params=False)


# ------------------------------------------------------------------ of strategy="multioutput"


@pytest.mark.parametrize("n", [40, 41])
def test_horizon_as_long_as_the_longest_series_is_refused_by_the_strategy(n):
    y = pd.concat({"short": noisy(20).to_frame("y"), "long": noisy(40).to_frame("y")})
    forecaster = GRUForecaster(**SMALL, strategy="multioutput")
    with pytest.raises(ValueError, match=f"needs a training target {n} steps ahead .* has 40 obs"):
        forecaster.fit(y, fh=[1, n])
    assert forecaster.fit(y, fh=[1, 39]).network_.features.horizons == (1, 39)


def test_network_has_the_steps_of_a_relative_horizon_and_all_up_to_an_absolute_one():
    y = hourly(60)
    forecaster = GRUForecaster(**SMALL, strategy="multioutput")
    assert forecaster.fit(y, fh=[-2, 0, 2, 5]).network_.features.horizons == (1, 2, 5)
    times = y.index[-1] + pd.to_timedelta([2, 5], "h")
    assert forecaster.fit(y, fh=_absolute(times)).network_.features.horizons == (1, 2, 3, 4, 5)


def test_strategy_without_horizon_says_where_to_pass_it():
    with pytest.raises(ValueError, match="fh"):
        GRUForecaster(**SMALL, strategy="multioutput").fit(noisy())
    y = pd.concat({"a": noisy().to_frame("y")})
    with pytest.raises(ValueError, match=r"strategy='multioutput' needs fh in fit.*fit\(y, fh="):
        GRUForecaster(**SMALL, strategy="multioutput").pretrain(y)
