"""What the three forecasters do with their data and their parameters, whichever cell they hold."""

import ast
import copy
import inspect
import pickle
import re
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from sktime.forecasting.base import ForecastingHorizon
from torch import nn

from skrnn import GRUForecaster, LSTMForecaster, RNNForecaster, backtest
from skrnn.callbacks import Callback
from skrnn.features.features import LEVEL_NAIVE, SEASONAL_NAIVE

pytestmark = pytest.mark.usefixtures("one_thread")

CELLS = [
    pytest.param(GRUForecaster, id="gru"),
    pytest.param(LSTMForecaster, id="lstm"),
    pytest.param(partial(RNNForecaster, cell="rnn"), id="rnn"),
]
CLASSES = [GRUForecaster, LSTMForecaster, RNNForecaster]
SMALL = {"window_length": 12, "hidden_size": 4, "num_epochs": 2, "lr": 0.02, "random_state": 0}
# Enough to learn from: a second or less.
LEARNER = {"window_length": 24, "hidden_size": 16, "batch_size": 4, "lr": 0.01, "random_state": 0}

cells = pytest.mark.parametrize("cell", CELLS)


def noisy(n=100, seed=0, index=None):
    """A wave of 12 steps, a slow trend and noise."""
    t = np.arange(n)
    noise = np.random.default_rng(seed).normal(0, 1, n)
    values = 100 + 0.1 * t + 10 * np.sin(2 * np.pi * t / 12) + noise
    return pd.Series(values, index=pd.RangeIndex(n) if index is None else index)


def hourly(n=100, seed=0):
    index = pd.date_range("2024-01-01", periods=n, freq="h", name="time")
    return noisy(n, seed, index).rename("load")


def covariate(y, seed=1):
    return pd.DataFrame({"x": np.random.default_rng(seed).normal(0, 1, len(y))}, index=y.index)


def panel(lengths=(60, 80, 70)):
    parts = {f"s{i}": noisy(n, seed=i).to_frame("y") for i, n in enumerate(lengths)}
    return pd.concat(parts, names=["series", "step"])


def weights(forecaster):
    return {name: value.clone() for name, value in forecaster.network_.state_dict().items()}


def same_weights(one, other):
    assert one.keys() == other.keys()
    return all(torch.equal(one[name], other[name]) for name in one)


# ------------------------------------------------------------------ learning


@cells
@pytest.mark.parametrize("seed", range(5))
def test_periodic_series_goes_on_for_two_periods(cell, seed):
    t = np.arange(120)
    y = pd.Series(np.array([3.0, 7, 1, 9, 4, 4, 8, 2])[t % 8])
    forecaster = cell(**{**LEARNER, "random_state": seed}, num_epochs=20).fit(y[:104])
    made = forecaster.predict(fh=range(1, 17))
    assert np.abs(made - y[104:]).max() < 0.5  # of a range of 8; last value: 8


@cells
@pytest.mark.parametrize("seed", range(5))
def test_linear_trend_goes_on_beyond_the_training_range(cell, seed):
    y = pd.Series(3.0 * np.arange(120) + 5)
    forecaster = cell(**{**LEARNER, "random_state": seed}, num_epochs=50).fit(y[:100])
    made = forecaster.predict(fh=range(1, 21))
    assert (np.diff(made, prepend=y[99]) > 1.5).all()
    assert made.iloc[-1] - y[99] == pytest.approx(60, rel=0.25)


@pytest.mark.parametrize("cell", [GRUForecaster, LSTMForecaster])
@pytest.mark.parametrize("n", [36, 60])
@pytest.mark.parametrize(
    "index",
    [
        pd.RangeIndex(60),
        pd.period_range("2000-01", periods=60, freq="M"),
        pd.date_range("1950", periods=60, freq="YS"),
    ],
    ids=["integers", "months", "years"],
)
def test_straight_line_goes_on_with_its_slope(cell, n, index):
    y = pd.Series(3.0 * np.arange(60) + 5, index=index)[:n]
    made = cell(random_state=0).fit(y).predict(fh=range(1, 13))
    np.testing.assert_allclose(np.diff(made, prepend=y.iloc[-1]), 3.0, rtol=0.01)


@cells
def test_trend_and_season_go_on_together(cell):
    t = np.arange(144)
    index = pd.period_range("2000-01", periods=144, freq="M")
    y = pd.Series(3.0 * t + 20 * np.sin(2 * np.pi * t / 12), index=index)
    made = cell(**LEARNER, num_epochs=20).fit(y[:120]).predict(fh=range(1, 25))
    assert np.abs(made - y[120:]).max() < 0.2 * 72  # the trend adds 72 in that time


@cells
@pytest.mark.parametrize("seed", range(5))
def test_covariate_of_the_forecast_step_explains_y(cell, seed):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"x": rng.normal(0, 1, 260)})
    y = 3 * X["x"] + rng.normal(0, 0.1, 260)
    forecaster = cell(**{**LEARNER, "random_state": seed}, num_epochs=100, sp=None, naive=None)
    forecaster.fit(y[:240], X=X[:240])
    made = forecaster.predict(fh=range(1, 21), X=X[240:])
    # Neither the past of y nor x one step earlier tells anything: without x(t) it is about 2.4.
    assert np.abs(made - y[240:]).mean() < 0.8


@cells
def test_forecast_answers_to_the_covariate_of_its_own_step(cell):
    y = noisy()
    X = covariate(y)
    forecaster = cell(**SMALL).fit(y[:90], X=X[:90])
    before = forecaster.predict(fh=range(1, 11), X=X[90:])
    changed = X[90:].copy()
    changed.iloc[4] += 1
    after = forecaster.predict(fh=range(1, 11), X=changed)
    np.testing.assert_array_equal(after[:4], before[:4])
    assert (after[4:] != before[4:]).all()


@cells
@pytest.mark.parametrize("seed", range(5))
def test_calendar_alone_forecasts_what_the_hour_determines(cell, seed):
    index = pd.date_range("2024-01-01", periods=24 * 16, freq="h")
    y = pd.Series(np.random.default_rng(7).normal(0, 1, 24)[index.hour], index=index)
    parameters = {**LEARNER, "lr": 0.02, "random_state": seed, "num_epochs": 60}
    forecaster = cell(**parameters, lags=None, naive=None, sp=None).fit(y[:-24])
    made = forecaster.predict(fh=range(1, 25))
    assert np.abs(made - y[-24:]).mean() < 0.4  # the profile's mean deviation is 0.8
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(made[:-1], y[-23:], atol=0.4)  # not one hour early


@cells
@pytest.mark.parametrize("naive", ["auto", None])
def test_columns_of_a_frame_drive_each_other_through_one_network(cell, naive):
    steps = np.random.default_rng(0).normal(0, 1, 260)
    # With naive forecasts the network sees changes, without them levels.
    a = steps if naive is None else steps.cumsum()
    y = pd.DataFrame({"a": a, "b": np.r_[0, 2 * a[:-1]]})
    forecaster = cell(**LEARNER, num_epochs=60, sp=None, naive=naive).fit(y[:240])
    table = backtest(forecaster, y, start=199)
    error = (table["y_pred", "b"] - table["y_true", "b"]).abs().mean()
    assert error < 0.9  # to whom a is hidden, b (or its change) is white noise of mean size 1.6
    assert list(forecaster.predict(fh=[1]).columns) == ["a", "b"]


# ------------------------------------------------------------------ panels


@cells
def test_panel_trains_one_network_however_many_series(cell):
    def size(y):
        return sum(p.numel() for p in cell(**SMALL, sp=12).fit(y).network_.parameters())

    assert size(panel((60,) * 2)) == size(panel((60,) * 7)) == size(noisy(60))


@cells
def test_series_of_all_scales_are_forecast_alike(cell):
    y = noisy()
    both = pd.concat({"small": y.to_frame("y"), "large": (1e6 * y - 3e8).to_frame("y")})
    made = cell(**SMALL).fit(both).predict(fh=range(1, 13))["y"]
    assert made["small"].std() > 1
    np.testing.assert_allclose(made["large"], 1e6 * made["small"] - 3e8, rtol=1e-4)


@cells
def test_one_panel_learns_scales_1_and_1e6(cell):
    t = np.arange(120)
    small = 1 + 0.3 * np.sin(2 * np.pi * t / 12)
    large = 1e6 * (5 + np.cos(2 * np.pi * t / 12))
    y = pd.concat({"small": pd.DataFrame({"y": small}), "large": pd.DataFrame({"y": large})})
    forecaster = cell(**LEARNER, num_epochs=20).fit(y.groupby(level=0).head(100))
    made = forecaster.predict(fh=range(1, 13))["y"]
    assert np.abs(made["small"] - small[100:112]).max() < 0.1 * 0.3
    assert np.abs(made["large"] - large[100:112]).max() < 0.1 * 1e6


@cells
def test_each_series_is_forecast_from_its_own_end(cell):
    made = cell(**SMALL).fit(panel()).predict(fh=[1, 5])
    assert made.index.names == ["series", "step"]
    assert list(made.index) == [
        ("s0", 60),
        ("s0", 64),
        ("s1", 80),
        ("s1", 84),
        ("s2", 70),
        ("s2", 74),
    ]


@cells
def test_forecast_of_a_series_does_not_depend_on_its_neighbours_in_the_panel(cell):
    forecaster = cell(**{**SMALL, "num_epochs": 0}, naive=["last"], sp=None).fit(panel())
    alone = forecaster.clone().fit(panel().loc[["s1"]])
    alone.network_.load_state_dict(forecaster.network_.state_dict())
    np.testing.assert_allclose(
        forecaster.predict(fh=[1, 2, 3]).loc["s1"], alone.predict(fh=[1, 2, 3]).loc["s1"], rtol=1e-5
    )


@cells
def test_panel_of_one_series_forecasts_as_the_series_alone(cell):
    y = hourly()
    alone = cell(**SMALL).fit(y).predict(fh=[1, 2, 3])
    only = pd.concat({"only": y.to_frame()})
    in_panel = cell(**SMALL).fit(only).predict(fh=[1, 2, 3])
    np.testing.assert_array_equal(in_panel["load"], alone)
    assert list(in_panel.loc["only"].index) == list(alone.index)


@cells
def test_hierarchy_forecasts_as_the_panel_of_its_series(cell):
    flat = panel()
    hierarchy = pd.concat({"east": flat.loc[["s0", "s1"]], "west": flat.loc[["s2"]]})
    hierarchy.index.names = ["coast", "series", "step"]
    made = cell(**SMALL).fit(hierarchy).predict(fh=[1, 5])
    expected = cell(**SMALL).fit(flat).predict(fh=[1, 5])
    assert made.index.names == ["coast", "series", "step"]
    coast = ["east"] * 4 + ["west"] * 2
    assert list(made.index) == [(c, *key) for c, key in zip(coast, expected.index, strict=True)]
    np.testing.assert_array_equal(made["y"], expected["y"])


@cells
def test_covariates_of_a_panel_reach_their_own_series(cell):
    y = panel((60, 80))
    X = pd.DataFrame({"x": np.random.default_rng(0).normal(size=len(y))}, index=y.index)
    train = y.groupby(level=0).head(55).index
    forecaster = cell(**SMALL).fit(y.loc[train], X=X.loc[train])
    X_ahead = X.groupby(level=0).tail(-55)
    before = forecaster.predict(fh=[1, 2], X=X_ahead)
    changed = X_ahead.copy()
    changed.loc["s1"] += 1
    after = forecaster.predict(fh=[1, 2], X=changed)
    np.testing.assert_array_equal(after.loc["s0"], before.loc["s0"])
    assert (after.loc["s1"] != before.loc["s1"]).all(axis=None)


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
    forecaster = cell(**SMALL).fit(y)
    made = forecaster.predict(fh=range(1, 13))
    fed = copy.deepcopy(forecaster)
    for time, expected in made.items():
        step = fed.predict(fh=[1])
        assert step.index[0] == time
        # A run started afresh at each cutoff may differ in where it starts, so a little in state.
        assert step.iloc[0] == pytest.approx(expected, rel=2e-3)
        fed.update(step.rename("load"), update_params=False)


# ------------------------------------------------------------------ data


@cells
def test_index_without_dates_gets_no_calendar(cell):
    parameters = {**SMALL, "sp": None, "lags": None}
    dated = cell(**parameters).fit(hourly(24 * 15))
    # Last value; two harmonics of the day and three of the week.
    assert dated.network_.recurrent.input_size == 1 + 4 + 6
    plain = hourly(24 * 15).reset_index(drop=True)
    assert cell(**parameters).fit(plain).network_.recurrent.input_size == 1
    off = cell(**parameters, calendar=None).fit(hourly(24 * 15))
    assert off.network_.recurrent.input_size == 1


@cells
def test_calendar_named_is_the_calendar_taken(cell):
    parameters = {**SMALL, "sp": None, "lags": None}
    y = hourly(48)
    sizes = {"hour": 4, "dayofweek": 6, "dayofyear": 4}
    for name, size in sizes.items():
        forecaster = cell(**parameters, calendar=[name]).fit(y)
        assert forecaster.network_.recurrent.input_size == 1 + size


@cells
@pytest.mark.parametrize("dtype", ["int64", "int8", "float32", "Int64", "Float64"])
def test_other_number_types_forecast_as_float64(cell, dtype):
    y = noisy().round()
    expected = cell(**SMALL).fit(y).predict(fh=[1, 2, 3])
    made = cell(**SMALL).fit(y.astype(dtype)).predict(fh=[1, 2, 3])
    np.testing.assert_array_equal(made, expected)


@cells
@pytest.mark.parametrize("level", [0.0, 7.0, -3.3, 1e9])
def test_constant_series_goes_on(cell, level):
    made = cell(**SMALL).fit(pd.Series(np.full(50, level))).predict(fh=range(1, 20))
    np.testing.assert_allclose(made, level, rtol=1e-3, atol=0.05)


@cells
def test_constant_series_in_a_panel_goes_on(cell):
    y = panel((60, 60))
    y.loc["s1"] = 7.0
    made = cell(**SMALL).fit(y).predict(fh=range(1, 10))
    assert made.notna().all(axis=None)
    np.testing.assert_allclose(made.loc["s1"], 7.0, atol=0.5)


@cells
def test_names_and_index_come_back(cell):
    y = hourly()
    made = cell(**SMALL).fit(y).predict(fh=[1, 2])
    assert isinstance(made, pd.Series)
    assert made.name == "load"
    assert made.index.name == "time"
    assert list(made.index) == list(y.index[-1] + pd.to_timedelta([1, 2], "h"))
    frame = cell(**SMALL).fit(y.to_frame()).predict(fh=[1, 2])
    assert list(frame.columns) == ["load"]
    np.testing.assert_array_equal(frame["load"], made)
    unnamed = cell(**SMALL).fit(y.rename(None)).predict(fh=[1, 2])
    assert unnamed.name is None
    wide = cell(**SMALL).fit(pd.DataFrame({("a", 1): y, ("b", 2): -y})).predict(fh=[1])
    assert list(wide.columns) == [("a", 1), ("b", 2)]


@cells
def test_fit_predict_and_update_leave_the_data(cell):
    y = hourly()
    X = covariate(y)
    y_before, X_before = y.copy(), X.copy()
    forecaster = cell(**SMALL).fit(y[:80], X=X[:80])
    forecaster.update(y[80:90], X=X[80:90])
    forecaster.predict(fh=[1, 2], X=X[90:])
    pd.testing.assert_series_equal(y, y_before)
    pd.testing.assert_frame_equal(X, X_before)


@cells
def test_forecasts_of_a_shifted_and_stretched_series_are_shifted_and_stretched(cell):
    y = noisy()
    made = cell(**SMALL).fit(y).predict(fh=[1, 2, 3])
    other = cell(**SMALL).fit(1000 * y + 1e6).predict(fh=[1, 2, 3])
    np.testing.assert_allclose((other - 1e6) / 1000, made, rtol=1e-4)


@cells
@pytest.mark.parametrize("naive", [["seasonal"], ["shifted"]], ids=str)
def test_naive_forecasts_that_do_not_exist_yet_spoil_nothing(cell, naive):
    y = noisy()
    forecaster = cell(**SMALL, naive=naive, sp=12).fit(y)
    assert np.isfinite(forecaster.history_["loss"]).all()
    # The first season has no season before it, and is forecast nevertheless.
    made = forecaster.predict(fh=range(-98, 13))
    assert made.notna().all()
    assert np.abs(made - y.mean()).max() < 100


@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
@pytest.mark.parametrize(("sp", "names"), [(12, SEASONAL_NAIVE), (None, LEVEL_NAIVE)])
def test_naive_forecasts_of_auto_are_those_of_a_season_or_of_none(strategy, sp, names):
    forecaster = GRUForecaster(**SMALL | {"num_epochs": 0}, strategy=strategy, sp=sp)
    candidates = forecaster.fit(noisy(40), fh=[1, 2])._features.candidates
    # A quarter of 40 observations is a level.
    period = {"last": 1} if sp else {"last": 1, "mean": 10, "drift": 10}
    assert candidates == [(name, period.get(name, 12)) for name in names]


@pytest.mark.parametrize(
    ("naive", "n"),
    [
        *((naive, n) for naive in ("mean", "averaged") for n in (12, 18, 100)),
        *((naive, n) for naive in ("leveled", "drift") for n in (24, 30, 100)),
    ],
)
def test_untrained_recursive_forecast_repeats_the_naive_forecast_of_one_step(naive, n):
    y = noisy(n)
    forecaster = GRUForecaster(**SMALL | {"num_epochs": 0}, naive=[naive], sp=12).fit(y)
    s = y.tolist()
    one_step = {
        "mean": lambda: np.mean(s[-12:]),
        "averaged": lambda: np.mean(s[-12::-12][:3]),
        "leveled": lambda: s[-12] + np.mean(s[-12:]) - np.mean(s[-24:-12]),
        "drift": lambda: s[-1] + (np.mean(s[-12:]) - np.mean(s[-24:-12])) / 12,
    }
    for _ in range(30):
        s.append(one_step[naive]())
    np.testing.assert_allclose(forecaster.predict(fh=range(1, 31)), s[n:], rtol=1e-5)


def test_mix_of_a_short_series_repeats_seasons_though_the_last_value_is_best_one_step_ahead():
    # Days of half hours, each a smooth hump, higher or lower than the last.
    hump = np.sin(2 * np.pi * np.arange(48) / 48).clip(min=0)
    y = pd.Series(np.concatenate([hump * high for high in (4, 5, 2, 5, 3, 4)]))
    forecaster = GRUForecaster(**SMALL | {"num_epochs": 0}, sp=48).fit(y)
    weight = forecaster.network_.head.mix_bias.detach().softmax(-1).ravel()
    weight = dict(zip((name for name, _ in forecaster._features.candidates), weight, strict=True))
    assert weight["seasonal"] + weight["averaged"] > 5 * (weight["last"] + weight["mean"])
    made = forecaster.predict(fh=range(1, 49))
    assert np.abs(made - 4 * hump).mean() < np.abs(np.full(48, y.iloc[-1]) - 4 * hump).mean() / 3


@cells
def test_series_that_has_been_flat_for_a_season_goes_on_flat(cell):
    y = pd.Series(np.r_[noisy(60), np.zeros(12)])
    made = cell(**SMALL, sp=12).fit(y).predict(fh=range(1, 25))
    np.testing.assert_allclose(made, 0.0, atol=1e-4)


@cells
def test_two_observations_are_enough(cell):
    y = pd.Series([1.0, 2.0], index=pd.period_range("2024-01", periods=2, freq="M"))
    made = cell(**SMALL).fit(y).predict(fh=[1])
    assert -1 < made.iloc[0] < 4


@cells
def test_second_fit_forgets_the_first(cell):
    forecaster = cell(**SMALL).fit(noisy(seed=1))
    again = forecaster.fit(hourly()).predict(fh=[1, 2])
    pd.testing.assert_series_equal(again, cell(**SMALL).fit(hourly()).predict(fh=[1, 2]))
    assert len(forecaster.history_) == 2


@cells
def test_given_seasons_and_lags_are_inputs(cell):
    y = noisy()

    def inputs(**parameters):
        return cell(**SMALL, **parameters).fit(y).network_.recurrent.input_size

    assert inputs(sp=None) == 1
    assert inputs(sp=12) == 2  # lags="auto" are the seasons
    assert inputs(sp=[12, 24]) == 3
    assert inputs(sp=12, lags=[1, 2, 5]) == 4
    assert inputs() == inputs(sp=12)  # the data tell the period


# ------------------------------------------------------------------ random numbers


@cells
def test_same_seed_repeats_to_the_bit(cell):
    y = noisy()
    one, other = (cell(**SMALL, dropout=0.3).fit(y) for _ in range(2))
    assert same_weights(weights(one), weights(other))
    np.testing.assert_array_equal(one.predict(fh=range(1, 25)), other.predict(fh=range(1, 25)))
    np.testing.assert_array_equal(one.history_["loss"], other.history_["loss"])
    for forecaster in (one, other):
        forecaster.update(noisy(110)[100:])
    assert same_weights(weights(one), weights(other))


@cells
def test_other_seeds_differ(cell):
    y = noisy()
    seeds = [0, 1, None, None]
    made = {cell(**{**SMALL, "random_state": s}).fit(y).predict(fh=[3]).iloc[0] for s in seeds}
    assert len(made) == 4


@cells
def test_random_state_instance_is_a_seed(cell):
    y = noisy()
    first, second = (
        cell(**{**SMALL, "random_state": np.random.RandomState(3)}).fit(y) for _ in range(2)
    )
    assert same_weights(weights(first), weights(second))


@cells
@pytest.mark.parametrize("random_state", [0, None])
def test_global_random_generators_are_left_alone(cell, random_state):
    y = noisy()
    forecaster = cell(**{**SMALL, "random_state": random_state, "dropout": 0.2})
    np.random.seed(5)
    torch.manual_seed(5)
    before = np.random.get_state(), torch.get_rng_state()
    forecaster.fit(y[:80])
    forecaster.predict(fh=[1, 2])
    forecaster.update(y[80:])
    backtest(forecaster, y)
    after = np.random.get_state(), torch.get_rng_state()
    assert torch.equal(after[1], before[1])
    np.testing.assert_array_equal(after[0][1], before[0][1])
    assert after[0][2:] == before[0][2:]


@cells
def test_global_seeds_change_no_result(cell):
    y = noisy()
    made = []
    for seed in (1, 2):
        np.random.seed(seed)
        torch.manual_seed(seed)
        made.append(cell(**SMALL).fit(y).predict(fh=[1, 2]))
    pd.testing.assert_series_equal(*made)


@cells
def test_dropout_is_for_training_only(cell):
    y = noisy()
    forecaster = cell(**SMALL, dropout=0.5).fit(y)
    pd.testing.assert_series_equal(forecaster.predict(fh=[1, 5]), forecaster.predict(fh=[1, 5]))
    assert not same_weights(weights(forecaster), weights(cell(**SMALL).fit(y)))


# ------------------------------------------------------------------ training


@cells
def test_history_has_a_row_for_each_epoch(cell):
    history = cell(**{**SMALL, "num_epochs": 5}, sp=None).fit(noisy()).history_
    columns = ["epoch", "loss", "lr", "seconds", "targets_per_second"]
    assert history.columns.tolist() == columns
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5]
    # Every observation but the first two, which no change leads to, is a target once an epoch.
    np.testing.assert_allclose(history["seconds"] * history["targets_per_second"], 98)
    validated = cell(**SMALL, validation_split=0.2).fit(noisy()).history_
    assert validated.columns.tolist() == [*columns, "validation_loss"]


@cells
@pytest.mark.parametrize(
    ("criterion", "loss"),
    [
        ("mae", np.abs),
        ("mse", np.square),
        ("huber", lambda e: np.where(np.abs(e) < 1, e**2 / 2, np.abs(e) - 0.5)),
    ],
)
def test_loss_of_an_epoch_is_the_mean_of_its_one_step_errors(cell, criterion, loss):
    y = noisy()
    # One chunk holds the whole series, and the learning rate moves nothing.
    parameters = {**SMALL, "window_length": 200, "num_epochs": 1, "lr": 1e-12}
    forecaster = cell(**parameters, criterion=criterion, sp=None).fit(y)
    error = (forecaster.predict(fh=range(-97, 1)) - y[2:]) / y.std(ddof=0)
    assert forecaster.history_["loss"][0] == pytest.approx(loss(error).mean(), rel=1e-4)


@cells
def test_loss_of_last_supervision_is_the_mean_over_all_windows(cell):
    y = noisy()
    # 88 windows of 12 steps have a target: eleven full batches.
    parameters = {**SMALL, "num_epochs": 1, "lr": 1e-12, "batch_size": 8}
    forecaster = cell(**parameters, supervision="last", sp=None).fit(y)
    error = (forecaster.predict(fh=range(-87, 1)) - y[12:]) / y.std(ddof=0)
    history = forecaster.history_
    assert history["loss"][0] == pytest.approx(error.abs().mean(), rel=1e-4)
    np.testing.assert_allclose(history["seconds"] * history["targets_per_second"], 88)


@cells
@pytest.mark.parametrize("supervision", ["dense", "last"])
def test_training_lowers_the_loss(cell, supervision):
    y = noisy()
    parameters = {**LEARNER, "num_epochs": 30, "supervision": supervision}
    forecaster = cell(**parameters, naive=None, lags=None, sp=None).fit(y)
    loss = forecaster.history_["loss"]
    assert loss.iloc[-1] < 0.8 * loss.iloc[0]


@cells
def test_learning_rate_rises_to_its_peak_and_falls_to_nothing(cell):
    y = noisy()  # a step an epoch: one chunk
    parameters = {**SMALL, "window_length": 200, "num_epochs": 40, "lr": 0.02}
    lr = cell(**parameters).fit(y).history_["lr"]
    assert lr[0] == pytest.approx(0.02 / 4)
    assert lr.max() == pytest.approx(0.02)
    assert lr.idxmax() in (3, 4)
    assert (np.diff(lr[4:]) < 0).all()
    assert lr.iloc[-1] < 0.02 / 100

    cosine = cell(**parameters, lr_scheduler="cosine").fit(y).history_["lr"]
    np.testing.assert_allclose(cosine, 0.01 * (1 + np.cos(np.pi * np.arange(40) / 40)))
    constant = cell(**parameters, lr_scheduler=None).fit(y).history_["lr"]
    assert (constant == 0.02).all()


@cells
def test_scheduler_may_be_a_function_of_optimizer_and_steps(cell):
    asked = []

    def halve(optimizer, total_steps):
        asked.append((type(optimizer), total_steps))
        return torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)

    parameters = {**SMALL, "window_length": 200, "num_epochs": 4, "lr": 0.02}
    history = cell(**parameters, lr_scheduler=halve, optimizer="sgd").fit(noisy()).history_
    assert asked == [(torch.optim.SGD, 4)]
    np.testing.assert_allclose(history["lr"], [0.02, 0.01, 0.005, 0.0025])


@cells
@pytest.mark.parametrize(
    ("name", "module"),
    [("mae", nn.L1Loss()), ("mse", nn.MSELoss()), ("huber", nn.HuberLoss())],
    ids=["mae", "mse", "huber"],
)
@pytest.mark.parametrize("supervision", ["dense", "last"])
def test_criterion_may_be_a_module(cell, name, module, supervision):
    parameters = {**SMALL, "supervision": supervision}
    named = cell(**parameters, criterion=name).fit(noisy()).predict(fh=[1, 2, 3])
    own = cell(**parameters, criterion=module).fit(noisy()).predict(fh=[1, 2, 3])
    np.testing.assert_allclose(own, named, rtol=1e-4)


def test_criteria_differ():
    made = [GRUForecaster(**SMALL, criterion=c).fit(noisy()) for c in ("mae", "mse", "huber")]
    assert len({f.predict(fh=[3]).iloc[0] for f in made}) == 3


@cells
@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("adam", partial(torch.optim.Adam, fused=True)),
        ("adamw", partial(torch.optim.AdamW, fused=True)),
        ("sgd", partial(torch.optim.SGD, fused=True)),
        ("rmsprop", torch.optim.RMSprop),
    ],
)
def test_optimizer_may_be_made_by_torch_itself(cell, name, function):
    y = noisy()
    named = cell(**SMALL, optimizer=name).fit(y)
    own = cell(**SMALL, optimizer=function).fit(y)
    assert same_weights(weights(named), weights(own))


@cells
def test_optimizer_kwargs_reach_the_optimizer(cell):
    y = noisy()
    plain = cell(**SMALL, optimizer="sgd").fit(y)
    pushed = cell(**SMALL, optimizer="sgd", optimizer_kwargs={"momentum": 0.9}).fit(y)
    expected = cell(**SMALL, optimizer=partial(torch.optim.SGD, momentum=0.9, fused=True)).fit(y)
    assert not same_weights(weights(plain), weights(pushed))
    assert same_weights(weights(pushed), weights(expected))


@cells
def test_clipped_gradients_take_clipped_steps(cell):
    y = noisy()
    parameters = {**SMALL, "lr": 1.0, "optimizer": "sgd", "lr_scheduler": None, "batch_size": 100}
    start = weights(cell(**{**parameters, "num_epochs": 0}).fit(y))

    def moved(max_grad_norm):
        forecaster = cell(**{**parameters, "num_epochs": 1}, max_grad_norm=max_grad_norm).fit(y)
        change = [w - start[name] for name, w in weights(forecaster).items() if name != "seen"]
        return torch.cat([c.flatten() for c in change]).norm().item()

    assert moved(1e-3) == pytest.approx(1e-3, rel=0.02)  # one step of the whole epoch
    assert moved(None) > 0.01


@cells
def test_auto_plans_epochs_by_optimiser_steps(cell):
    parameters = {**SMALL, "hidden_size": 2, "num_epochs": "auto", "sp": None}
    # 120 targets in 11 or fewer chunks, one batch, are worth 30 steps.
    assert len(cell(**parameters).fit(noisy(122)).history_) == 30
    # 8 series of 125 targets, 1,000 in all: 250 steps, of 8 times 12 chunks in batches of 4.
    many = cell(**parameters | {"batch_size": 4}).fit(panel((127,) * 8))
    assert len(many.history_) == round(250 / 24)


@cells
def test_no_epochs_leave_the_network_as_it_was_made(cell):
    y = noisy()
    untrained = cell(**{**SMALL, "num_epochs": 0}).fit(y)
    assert len(untrained.history_) == 0
    assert not same_weights(weights(untrained), weights(cell(**SMALL).fit(y)))
    # Nothing is learnt yet: the forecast is a mix of last value and the same step a season ago.
    made = untrained.predict(fh=[1]).iloc[0]
    seen = [y.iloc[-1], y.iloc[-12], y.iloc[-12] + y.iloc[-1] - y.iloc[-13]]
    assert min(seen) - 1e-3 <= made <= max(seen) + 1e-3


@cells
def test_validation_end_is_not_trained_on(cell):
    y = noisy()
    changed = y.copy()
    changed.iloc[80:] = 5.0
    # The best epoch is chosen by the held end, so there is one epoch; nothing is scaled by it.
    parameters = {**SMALL, "num_epochs": 1, "lr": 0.01, "scaler": None, "sp": 12}
    one, other = (cell(**parameters, validation_split=0.2).fit(v) for v in (y, changed))
    assert same_weights(weights(one), weights(other))
    assert one.history_["loss"][0] == other.history_["loss"][0]
    assert one.history_["validation_loss"][0] != other.history_["validation_loss"][0]
    changed.iloc[79] += 1  # the last value that is trained on
    assert not same_weights(
        weights(one), weights(cell(**parameters, validation_split=0.2).fit(changed))
    )


@cells
def test_weights_of_the_best_epoch_are_kept(cell):
    def spoil(optimizer, total_steps):
        # The later half of training climbs the loss instead of descending it.
        return torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: 1.0 if step < total_steps / 2 else -50.0
        )

    y = noisy()
    parameters = {**SMALL, "num_epochs": 8, "lr_scheduler": spoil, "optimizer": "sgd", "sp": None}
    forecaster = cell(**parameters, validation_split=0.2).fit(y)
    losses = forecaster.history_["validation_loss"]
    assert len(losses) == 8
    assert losses.idxmin() < 7  # or the last epoch were the best one anyway
    error = (forecaster.predict(fh=range(-19, 1)) - y[80:]) / y[:80].std(ddof=0)
    assert error.abs().mean() == pytest.approx(losses.min(), rel=1e-4)


@cells
@pytest.mark.parametrize("patience", [1, 3])
def test_patience_waits_as_many_epochs_for_a_lower_loss(cell, patience):
    parameters = {**SMALL, "num_epochs": 60, "lr": 0.1, "lr_scheduler": None, "batch_size": 2}
    forecaster = cell(**parameters, validation_split=0.2, patience=patience).fit(noisy())
    losses = forecaster.history_["validation_loss"]
    assert len(losses) < 60
    assert len(losses) - 1 - losses.idxmin() == patience


# ------------------------------------------------------------------ scaler


@pytest.mark.parametrize(
    ("scaler", "center", "scale"),
    [
        ("standard", np.mean, np.std),
        ("minmax", np.min, np.ptp),
        ("robust", np.median, lambda v: np.subtract(*np.quantile(v, [0.75, 0.25]))),
        (None, lambda v: 0.0, lambda v: 1.0),
    ],
)
@cells
def test_scaler_statistics_are_those_of_each_series_and_column(cell, scaler, center, scale):
    y = panel()
    y["z"] = 1000 * y["y"] ** 2
    forecaster = cell(**SMALL, scaler=scaler).fit(y)
    for name, function in (("center_", center), ("scale_", scale)):
        expected = [[function(y.loc[s, c]) for c in ("y", "z")] for s in ("s0", "s1", "s2")]
        np.testing.assert_allclose(getattr(forecaster.scaler_, name), expected, rtol=1e-9)


def test_scalers_forecast_differently():
    made = [
        GRUForecaster(**SMALL, scaler=s).fit(noisy() / 50).predict(fh=[3]).iloc[0]
        for s in ("standard", "minmax", "robust", None)
    ]
    assert len(set(made)) == 4


# ------------------------------------------------------------------ callbacks and output


class Recorder(Callback):
    def __init__(self, stop=None):
        self.events = []
        self.stop = stop

    def on_train_begin(self, forecaster, num_epochs):
        self.events.append(f"begin {num_epochs}")

    def on_epoch_begin(self, forecaster):
        self.events.append("epoch")

    def on_batch_end(self, forecaster, n_batches):
        self.events.append(f"batch of {n_batches}")
        return self.stop == "batch"

    def on_epoch_end(self, forecaster, epoch):
        self.events.append(f"end of {epoch['epoch']}, {len(forecaster.history_)} in history")
        return self.stop == "epoch"

    def on_train_end(self, forecaster):
        self.events.append("end")


@cells
def test_callbacks_are_called_in_order(cell):
    recorder = Recorder()
    parameters = {**SMALL, "window_length": 200, "num_epochs": 2}
    cell(**parameters, callbacks=[recorder]).fit(noisy())
    assert recorder.events == [
        "begin 2",
        "epoch",
        "batch of 1",
        "end of 1, 1 in history",
        "epoch",
        "batch of 1",
        "end of 2, 2 in history",
        "end",
    ]


@cells
@pytest.mark.parametrize(("stop", "steps"), [("batch", 1), ("epoch", 4)])
def test_callback_that_returns_true_stops_training(cell, stop, steps):
    recorder = Recorder(stop)
    parameters = {**SMALL, "num_epochs": 9, "batch_size": 1, "window_length": 25}
    forecaster = cell(**parameters, sp=None, callbacks=[recorder])
    forecaster.fit(noisy())
    batches = [event for event in recorder.events if event.startswith("batch")]
    assert len(forecaster.history_) == 1
    assert steps <= len(batches) <= steps + 1
    assert recorder.events[-1] == "end"


@cells
def test_train_end_is_called_when_training_fails(cell):
    recorder = Recorder()

    def fail(forecast, target):
        raise RuntimeError("no loss today")

    criterion = nn.L1Loss()
    criterion.forward = fail
    with pytest.raises(RuntimeError, match="no loss today"):
        cell(**SMALL, criterion=criterion, callbacks=[recorder]).fit(noisy())
    assert recorder.events[-1] == "end"


@cells
def test_nothing_is_printed(cell, capfd):
    forecaster = cell(**SMALL).fit(noisy())
    forecaster.predict(fh=[1])
    forecaster.update(noisy(110)[100:])
    assert capfd.readouterr() == ("", "")


@cells
def test_verbose_shows_a_progress_bar_and_prints_nothing(cell, capfd):
    forecaster = cell(**SMALL, verbose=True).fit(noisy())
    out, err = capfd.readouterr()
    assert out == ""
    assert type(forecaster).__name__ in err
    assert "epoch=2/2" in err
    assert "loss=" in err


# ------------------------------------------------------------------ copies


@cells
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda f: pickle.loads(pickle.dumps(f))], ids=["deepcopy", "pickle"]
)
def test_copy_forecasts_and_updates_as_the_original(cell, copied):
    y = hourly()
    X = covariate(y)
    forecaster = cell(**SMALL).fit(y[:80], X=X[:80])
    other = copied(forecaster)
    expected = forecaster.predict(fh=[1, 5], X=X[80:])
    pd.testing.assert_series_equal(other.predict(fh=[1, 5], X=X[80:]), expected)
    for f in (forecaster, other):
        f.update(y[80:90], X=X[80:90])
    expected = forecaster.predict(fh=[1, 5], X=X[90:])
    pd.testing.assert_series_equal(other.predict(fh=[1, 5], X=X[90:]), expected)


@cells
def test_copy_is_independent(cell):
    y = hourly()
    forecaster = cell(**SMALL).fit(y[:80])
    before = forecaster.predict(fh=[1, 2])
    copy.deepcopy(forecaster).update(y[80:])
    pd.testing.assert_series_equal(forecaster.predict(fh=[1, 2]), before)


# ------------------------------------------------------------------ what was learnt from before


def test_network_counts_the_observations_that_it_has_learnt_from():
    y = noisy(100)
    panel = pd.DataFrame({"y": np.tile(y, 3)}, pd.MultiIndex.from_product([range(3), y.index]))
    forecaster = GRUForecaster(**SMALL, sp=4).pretrain(panel)
    # Targets begin where a season and the value before it exist.
    assert forecaster.pretrained_network_.seen == 3 * 95
    forecaster.fit(y[:80])
    assert forecaster.network_.seen == 3 * 95 + 75
    assert forecaster.pretrained_network_.seen == 3 * 95
    forecaster.update(y[80:85])
    assert forecaster.network_.seen == 3 * 95 + 80


# ------------------------------------------------------------------ signature and documentation


def documented(cls):
    """Names and defaults of the numpydoc Parameters section, in order."""
    text = inspect.cleandoc(cls.__doc__)
    section = re.search(r"^Parameters\n-+\n(.*?)^\w+\n-+\n", text, re.DOTALL | re.MULTILINE)[1]
    entries = re.findall(r"^(\w+) : .*default=(.+)$", section, re.MULTILINE)
    assert len(entries) == len(re.findall(r"^\w+ : ", section, re.MULTILINE))
    return {name: ast.literal_eval(default) for name, default in entries}


def coded(cls):
    return {
        name: parameter.default
        for name, parameter in inspect.signature(cls.__init__).parameters.items()
        if name != "self"
    }


@pytest.mark.parametrize("cls", CLASSES)
def test_documented_defaults_are_the_coded_ones(cls):
    assert list(documented(cls)) == list(coded(cls))
    assert documented(cls) == coded(cls)
    for name, default in coded(cls).items():
        assert type(documented(cls)[name]) is type(default)


@pytest.mark.parametrize("cls", CLASSES)
def test_docstring_has_every_section(cls):
    text = inspect.cleandoc(cls.__doc__)
    sections = re.findall(r"^(\w+)\n-+$", text, re.MULTILINE)
    assert sections == ["Parameters", "Attributes", "Raises", "Notes", "References", "Examples"]
    assert "{name}" not in text
    assert "{reference}" not in text
    assert f">>> from skrnn import {cls.__name__}" in text


def test_gru_and_lstm_have_the_same_parameters_and_rnn_adds_the_cell():
    assert coded(GRUForecaster) == coded(LSTMForecaster)
    assert coded(RNNForecaster) == {"cell": "gru", **coded(GRUForecaster)}
    assert list(coded(RNNForecaster)) == ["cell", *coded(GRUForecaster)]


@pytest.mark.parametrize(("cell", "layer"), [("gru", nn.GRU), ("lstm", nn.LSTM), ("rnn", nn.RNN)])
def test_cell_is_torchs_own_layer(cell, layer):
    named = {"gru": GRUForecaster, "lstm": LSTMForecaster}
    forecasters = [RNNForecaster(cell=cell, **SMALL)]
    forecasters += [named[cell](**SMALL)] if cell in named else []
    for forecaster in forecasters:
        assert isinstance(forecaster.fit(noisy()).network_.recurrent, layer)


@pytest.mark.parametrize(("cell", "cls"), [("gru", GRUForecaster), ("lstm", LSTMForecaster)])
def test_cell_by_name_forecasts_as_its_class(cell, cls):
    y = noisy()
    by_name = RNNForecaster(cell=cell, **SMALL).fit(y).predict(fh=[1, 5])
    pd.testing.assert_series_equal(by_name, cls(**SMALL).fit(y).predict(fh=[1, 5]))


@cells
def test_layers_and_units_are_as_asked(cell):
    forecaster = cell(**{**SMALL, "hidden_size": 5}, num_layers=3, dropout=0.25).fit(noisy())
    recurrent = forecaster.network_.recurrent
    assert (recurrent.hidden_size, recurrent.num_layers) == (5, 3)
    assert recurrent.dropout == 0.25


@pytest.mark.parametrize("cls", CLASSES)
def test_constructor_sets_parameters_and_nothing_else(cls):
    given = {name: object() for name in coded(cls)}
    forecaster = cls(**given)
    assert all(getattr(forecaster, name) is value for name, value in given.items())


@cells
def test_changing_the_data_after_fit_changes_no_forecast(cell):
    y = hourly()
    X = covariate(y)
    forecaster = cell(**SMALL).fit(y, X)
    future = pd.DataFrame({"x": [0.0]}, index=y.index[-1:] + pd.Timedelta("1h"))
    before = forecaster.predict(fh=1, X=future)
    y.iloc[:] = 0.0
    X.iloc[:] = 99.0
    pd.testing.assert_series_equal(forecaster.predict(fh=1, X=future), before)


def test_held_out_end_does_not_enter_the_scaling():
    y = noisy()
    spoiled = y.copy()
    spoiled.iloc[80:] = 1e4
    scales = [GRUForecaster(**SMALL, validation_split=0.2).fit(v).scaler_ for v in (y, spoiled)]
    assert scales[0].center_ == scales[1].center_ == pytest.approx(y[:80].mean())
    assert scales[0].scale_ == scales[1].scale_ == pytest.approx(y[:80].std(ddof=0))


@cells
def test_sizes_of_a_numpy_grid_are_taken(cell):
    sizes = {"hidden_size": np.int64(4), "num_layers": np.int64(2)}
    as_numpy, as_int = (cell(**SMALL | sizes), cell(**SMALL | {"num_layers": 2}))
    one, other = (f.fit(noisy()).predict(fh=[1, 2]) for f in (as_numpy, as_int))
    pd.testing.assert_series_equal(one, other)


def test_sales_that_rest_each_summer_begin_again_in_winter():
    days = pd.date_range("2018-01-01", "2022-07-31", freq="D")
    sales = 100 * np.maximum(0, np.cos(2 * np.pi * (days.dayofyear - 15) / 365.25))
    y = pd.Series(sales * (1 + 0.3 * (days.dayofweek >= 5)), days)
    made = GRUForecaster(random_state=0).fit(y).predict(np.arange(1, 151))
    assert made[:"2022-09-30"].abs().max() < 2
    assert 50 < made["2022-12-01":"2022-12-14"].mean() < 110  # they were 82 a year before
