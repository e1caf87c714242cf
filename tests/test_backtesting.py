"""Backtesting equals the loop of updates and forecasts that it stands for, only faster."""

import copy
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from sktime.forecasting.base import ForecastingHorizon

from skrnn import GRUForecaster, LSTMForecaster, RNNForecaster, backtest

pytestmark = pytest.mark.usefixtures("one_thread")

CELLS = [
    pytest.param(GRUForecaster, id="gru"),
    pytest.param(LSTMForecaster, id="lstm"),
    pytest.param(partial(RNNForecaster, cell="rnn"), id="rnn"),
]
# Trained far enough that forecasts depend on the recurrent state, not on the naive mix alone.
SMALL = {
    "window_length": 24,
    "hidden_size": 8,
    "num_epochs": 5,
    "lr": 0.02,
    "batch_size": 4,
    "random_state": 0,
}

cells = pytest.mark.parametrize("cell", CELLS)


def hourly(n=200, seed=0, start="2024-01-01"):
    t = np.arange(n)
    noise = np.random.default_rng(seed).normal(0, 1, n)
    index = pd.date_range(start, periods=n, freq="h", name="time")
    return pd.Series(50 + 10 * np.sin(2 * np.pi * t / 24) + noise, index=index, name="load")


def temperature(y, seed=1):
    values = np.random.default_rng(seed).normal(15, 5, len(y))
    return pd.DataFrame({"temperature": values}, index=y.index)


def panel():
    """Three series that begin and end at times of their own."""
    parts = {
        "a": hourly(150, seed=1),
        "b": 1000 * hourly(120, seed=2, start="2024-01-03 05:00"),
        "c": hourly(190, seed=3, start="2023-12-30") - 40,
    }
    return pd.concat({k: v.to_frame("load") for k, v in parts.items()}, names=["region"])


def without_context(forecaster):
    """A copy that remembers only the first row of each series, for a loop from there on."""
    forecaster = copy.deepcopy(forecaster)
    fitted = forecaster.fitted_
    panel = fitted.panel.cut(np.ones(fitted.panel.n_series, dtype=int))
    forecaster.fitted_ = replace(fitted, panel=panel)
    return forecaster


def loop(forecaster, y, cutoffs, fh, X=None):
    """Rows (cutoff, time, forecast) of one series: `update` and `predict` at each cutoff."""
    forecaster = copy.deepcopy(forecaster)
    rows = []
    for cutoff in cutoffs:
        known = None if X is None else X.iloc[: cutoff + 1]
        forecaster.update(y.iloc[: cutoff + 1], X=known, update_params=False)
        made = forecaster.predict(fh=fh, X=X)
        rows += [(y.index[cutoff], time, *np.atleast_1d(row)) for time, row in made.T.items()]
    return rows


def check(table, rows, y):
    """The table holds exactly these forecasts, and the observations at their times."""
    cutoffs, times, made = zip(*rows, strict=True)
    assert table.columns.tolist() == ["y_true", "y_pred"]
    assert table.index.names == ["cutoff", "time"]
    assert list(table.index.get_level_values(0)) == list(cutoffs)
    assert list(table.index.get_level_values(1)) == list(times)
    np.testing.assert_array_equal(table["y_true"], y.loc[list(times)])
    np.testing.assert_allclose(table["y_pred"], made, rtol=1e-4)


@cells
@pytest.mark.parametrize("fh", [1, [3], [1, 3, 24]], ids=str)
@pytest.mark.parametrize("supervision", ["dense", "last"])
def test_equals_the_loop_of_updates_and_forecasts(cell, fh, supervision):
    y = hourly()
    forecaster = cell(**SMALL, supervision=supervision).fit(y[:140])
    table = backtest(forecaster, y, fh=fh, start=140)
    horizon = max(np.atleast_1d(fh))
    check(table, loop(forecaster, y, range(140, 200 - horizon), fh), y)


@cells
def test_equals_the_loop_with_covariates(cell):
    y = hourly()
    X = temperature(y)
    y = y + 2 * X["temperature"]
    forecaster = cell(**SMALL).fit(y[:140], X=X[:140])
    table = backtest(forecaster, y, X, fh=[1, 5], start=150)
    check(table, loop(forecaster, y, range(150, 195), [1, 5], X), y)
    other = backtest(forecaster, y, X * 1.5, fh=[1, 5], start=150)
    assert (table["y_pred"] - other["y_pred"]).abs().min() > 0


@cells
def test_equals_the_loop_inside_the_training_range(cell):
    y = hourly()
    forecaster = cell(**SMALL).fit(y)
    table = backtest(forecaster, y, fh=[1, 2], start=1)
    check(table, loop(without_context(forecaster), y, range(1, 198), [1, 2]), y)


@cells
def test_equals_the_loop_for_many_columns(cell):
    y = pd.DataFrame({"north": hourly(seed=1), "south": 100 * hourly(seed=2)})
    forecaster = cell(**SMALL).fit(y[:140])
    table = backtest(forecaster, y, fh=[1, 3], start=180)
    assert table.columns.tolist() == [
        ("y_true", "north"),
        ("y_true", "south"),
        ("y_pred", "north"),
        ("y_pred", "south"),
    ]
    walked = copy.deepcopy(forecaster)
    for cutoff in range(180, 197):
        made = walked.update(y[: cutoff + 1], update_params=False).predict(fh=[1, 3])
        rows = table.xs(y.index[cutoff], level="cutoff")
        assert rows.index.equals(made.index)
        np.testing.assert_allclose(rows["y_pred"], made, rtol=1e-4)
        np.testing.assert_array_equal(rows["y_true"], y.loc[made.index])
    assert len(table) == 2 * 17


@cells
@pytest.mark.parametrize("with_x", [False, True], ids=["y", "y and X"])
def test_equals_the_loop_for_a_panel_with_unequal_ends(cell, with_x):
    y = panel()
    X = temperature(y) if with_x else None
    train = y.groupby(level=0).head(100)
    forecaster = cell(**SMALL).fit(train, X=X.loc[train.index] if with_x else None)
    table = backtest(forecaster, y, X, fh=[1, 4], start=0.9)
    assert table.index.names == ["region", "cutoff", "time"]

    expected = []
    for name, first, stop in [("a", 135, 146), ("b", 108, 116), ("c", 171, 186)]:
        walked = copy.deepcopy(forecaster)
        own = y.loc[[name]]
        for cutoff in range(first, stop):
            known = own.iloc[: cutoff + 1]
            walked.update(known, X=X.loc[known.index] if with_x else None, update_params=False)
            X_ahead = pd.concat([X.loc[[s]].iloc[99:] for s in "abc"]) if with_x else None
            made = walked.predict(fh=[1, 4], X=X_ahead).loc[name]
            for time, value in made["load"].items():
                expected.append((name, own.index[cutoff][1], time, value))
    assert list(table.index) == [row[:3] for row in expected]
    np.testing.assert_allclose(table["y_pred"], [row[3] for row in expected], rtol=1e-4)
    times = table.index.droplevel("cutoff")
    np.testing.assert_array_equal(table["y_true"], y["load"].loc[times])


def test_equals_the_loop_for_a_hierarchy():
    y = pd.concat({"east": panel().loc[["a", "b"]], "west": panel().loc[["c"]]}, names=["coast"])
    forecaster = GRUForecaster(**SMALL).fit(y.groupby(level=[0, 1]).head(100))
    table = backtest(forecaster, y, start=-4)
    assert table.index.names == ["coast", "region", "cutoff", "time"]
    alone = backtest(
        GRUForecaster(**SMALL).fit(panel().groupby(level=0).head(100)), panel(), start=-4
    )
    np.testing.assert_allclose(table["y_pred"], alone["y_pred"], rtol=1e-4)


@cells
@pytest.mark.parametrize(
    "index",
    [
        pd.RangeIndex(200),
        pd.RangeIndex(1000, 1600, 3),
        pd.period_range("2000-01", periods=200, freq="M"),
        pd.date_range("2000-01-31", periods=200, freq="ME"),
        pd.date_range("2024-01-01", periods=200, freq="B"),
    ],
    ids=["RangeIndex", "RangeIndex by 3", "months", "ends of months", "business days"],
)
def test_equals_the_loop_on_any_index(cell, index):
    y = hourly().set_axis(index.rename("when"))
    forecaster = cell(**SMALL).fit(y[:140])
    table = backtest(forecaster, y, fh=[1, 3], start=180)
    check(table, loop(forecaster, y, range(180, 197), [1, 3]), y)


@cells
def test_test_range_alone_equals_the_whole_series(cell):
    y = hourly()
    forecaster = cell(**SMALL).fit(y[:140])
    whole = backtest(forecaster, y, fh=[1, 3], start=150)
    pd.testing.assert_frame_equal(backtest(forecaster, y[140:], fh=[1, 3], start=10), whole)
    pd.testing.assert_frame_equal(backtest(forecaster, y[130:], fh=[1, 3], start=20), whole)


def test_test_range_alone_of_some_series_of_a_panel():
    y = panel()
    forecaster = LSTMForecaster(**SMALL).fit(y.groupby(level=0).head(100))
    whole = backtest(forecaster, y, start=110)
    rest = y.loc[["c"]].iloc[100:]
    pd.testing.assert_frame_equal(backtest(forecaster, rest, start=10), whole.loc[["c"]])


@pytest.mark.parametrize(
    ("start", "first"),
    [
        (0.9, 180),
        (0.0, 0),
        (0.503, 100),
        (150, 150),
        (0, 0),
        (-50, 150),
        (pd.Timestamp("2024-01-07 06:00"), 150),
        (pd.Timestamp("2024-01-07 05:30"), 150),
        (np.int64(150), 150),
    ],
)
def test_start_is_the_first_cutoff(start, first):
    y = hourly()
    forecaster = GRUForecaster(**SMALL).fit(y[:140])
    table = backtest(forecaster, y, start=start)
    assert list(table.index.get_level_values("cutoff")) == list(y.index[first:-1])
    assert list(table.index.get_level_values("time")) == list(y.index[first + 1 :])


def test_start_as_a_period_is_the_first_cutoff():
    y = hourly().set_axis(pd.period_range("2000-01", periods=200, freq="M"))
    forecaster = GRUForecaster(**SMALL).fit(y[:140])
    table = backtest(forecaster, y, start=pd.Period("2016-01", freq="M"))
    assert table.index[0] == (pd.Period("2016-01", "M"), pd.Period("2016-02", "M"))


def test_start_as_a_time_stamp_is_the_same_moment_in_every_series():
    y = panel()
    forecaster = GRUForecaster(**SMALL).fit(y.groupby(level=0).head(100))
    start = pd.Timestamp("2024-01-06")
    table = backtest(forecaster, y, start=start)
    first = table.reset_index().groupby("region")["cutoff"].min()
    assert first.tolist() == [start] * 3


def test_start_as_a_time_stamp_is_the_beginning_of_a_series_that_begins_later():
    y = panel()
    forecaster = GRUForecaster(**SMALL).fit(y.groupby(level=0).head(100))
    start = pd.Timestamp("2024-01-02 07:00")  # b begins a day later
    table = backtest(forecaster, y, fh=[1, 3], start=start)
    first = table.reset_index().groupby("region")["cutoff"].min()
    assert first.tolist() == [start, pd.Timestamp("2024-01-03 05:00"), start]
    alone = backtest(forecaster, y.loc[["b"]], fh=[1, 3], start=0)
    pd.testing.assert_frame_equal(table.loc[["b"]], alone, rtol=1e-4)


def test_start_as_a_time_stamp_after_the_end_of_a_series_names_it():
    y = panel()
    forecaster = GRUForecaster(**SMALL).fit(y.groupby(level=0).head(100))
    with pytest.raises(ValueError, match=r"series 'a' has 150 rows .* leave the series out"):
        backtest(forecaster, y, start=pd.Timestamp("2024-01-07 06:00"))


@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
def test_glitch_in_one_series_moves_no_forecast_of_another(strategy):
    y = panel()
    forecaster = GRUForecaster(strategy=strategy, **SMALL)
    forecaster.fit(y.groupby(level=0).head(100), fh=[1, 3])
    broken = y.copy()
    broken.iloc[130] = 1e20  # in a, before b and c
    table, other = (backtest(forecaster, frame, fh=[1, 3], start=0.8) for frame in (y, broken))
    pd.testing.assert_frame_equal(other.loc[["b", "c"]], table.loc[["b", "c"]], rtol=0, atol=0)
    walked = copy.deepcopy(forecaster).update(broken[:140], update_params=False)
    made = walked.predict(fh=[1, 3]).loc["a"]
    rows = other.loc["a"].xs(y.index[139][1], level="cutoff")
    np.testing.assert_allclose(rows["y_pred"], made["load"], rtol=1e-4)


@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
def test_glitch_is_forgotten_by_forecasts_that_do_not_read_it(strategy):
    y = hourly(400)
    forecaster = GRUForecaster(strategy=strategy, **SMALL).fit(y[:140], fh=[1, 3])
    broken = y.copy()
    broken.iloc[20] = 1e20
    table, other = (backtest(forecaster, s, fh=[1, 3], start=200) for s in (y, broken))
    pd.testing.assert_frame_equal(other, table, rtol=0, atol=0)


def test_quantile_levels_that_differ_in_the_seventh_digit_have_columns_of_their_own():
    y = hourly()
    forecaster = GRUForecaster(**SMALL | {"criterion": "normal"}).fit(y[:140])
    alpha = [0.1234561, 0.1234562, 0.9]
    table = backtest(forecaster, y, start=190, alpha=alpha)
    columns = ["y_pred_0.1234561", "y_pred_0.1234562", "y_pred_0.9"]
    assert table.columns.tolist() == ["y_true", "y_pred", *columns]
    assert (table[columns[0]] < table[columns[1]]).all()


@pytest.mark.parametrize(
    "fh", [0, -1, True, 1.5, [0, 1], [1, 2.5], [], [[1], [2, 3]], "1", ["1"], None, 10**20], ids=str
)
def test_horizon_that_is_no_number_of_steps_is_refused(fh):
    y = hourly(60)
    forecaster = GRUForecaster(**SMALL | {"num_epochs": 0}).fit(y)
    with pytest.raises(ValueError, match="'fh' parameter of backtest must be steps ahead of at le"):
        backtest(forecaster, y, fh=fh)


@pytest.mark.parametrize("fh", [10**9, [10**9]], ids=str)
def test_horizon_longer_than_y_is_refused_before_it_fills_the_memory(fh):
    y = hourly(60)
    forecaster = GRUForecaster(**SMALL | {"num_epochs": 0}).fit(y)
    with pytest.raises(ValueError, match=r"1000000000 observations after it, but series y has 60"):
        backtest(forecaster, y, fh=fh)


@pytest.mark.parametrize("alpha", [0, 1.0, np.nan, [0.1, np.nan], "high", [[0.1, 0.2]]], ids=str)
def test_level_that_is_none_is_refused(alpha):
    y = hourly(60)
    forecaster = GRUForecaster(**SMALL | {"num_epochs": 0, "criterion": "normal"}).fit(y)
    with pytest.raises(ValueError, match=r"'alpha' parameter must hold levels in \(0, 1\)\. Got"):
        backtest(forecaster, y, alpha=alpha)


def test_single_cutoff_outside_of_a_list_is_refused():
    y = hourly(60)
    forecaster = GRUForecaster(**SMALL | {"num_epochs": 0}).fit(y)
    with pytest.raises(TypeError, match=r"'cutoffs' parameter must be a list .* Pass \[Timestamp"):
        backtest(forecaster, y, cutoffs=y.index[50])


@cells
@pytest.mark.parametrize("step_length", [2, 7, 24])
def test_step_length_takes_every_so_manyth_cutoff(cell, step_length):
    y = hourly()
    forecaster = cell(**SMALL).fit(y[:140])
    every = backtest(forecaster, y, fh=[1, 3], start=145)
    table = backtest(forecaster, y, fh=[1, 3], start=145, step_length=step_length)
    cutoffs = y.index[145:197:step_length]
    assert list(table.index.unique("cutoff")) == list(cutoffs)
    expected = every[every.index.get_level_values("cutoff").isin(cutoffs)]
    pd.testing.assert_frame_equal(table, expected, rtol=1e-4)


def test_listed_cutoffs_are_taken_in_their_order():
    y = panel()
    forecaster = GRUForecaster(**SMALL).fit(y.groupby(level=0).head(100))
    every = backtest(forecaster, y, fh=[1, 3], start=50)
    cutoffs = y.index[[130, 55, 250, 55]]  # rows of a, a, b, a
    table = backtest(forecaster, y, fh=[1, 3], cutoffs=cutoffs)
    own = every.index.droplevel("time")
    expected = pd.concat([every[own == cutoff] for cutoff in cutoffs])
    pd.testing.assert_frame_equal(table, expected, rtol=1e-4)
    alone = backtest(forecaster, y.loc[["b"]], fh=[1, 3], cutoffs=cutoffs[[2]])
    pd.testing.assert_frame_equal(alone, table.iloc[4:6], rtol=1e-4)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([120, 197], "2024-01-09 05:00:00 is not"),
        ([250], "2024-01-11 10:00:00 is not"),
        ([], "the list is empty"),
    ],
    ids=["observations end", "not in y", "empty"],
)
def test_listed_cutoffs_must_be_in_y_with_the_horizon_after_them(rows, reason):
    y = hourly(300)
    forecaster = GRUForecaster(**SMALL).fit(y[:100])
    with pytest.raises(ValueError, match=f"'cutoffs' .* 3 observations after each, but {reason}"):
        backtest(forecaster, y[:200], fh=3, cutoffs=y.index[rows])


def test_horizon_may_be_sktimes_and_in_any_order():
    y = hourly()
    forecaster = GRUForecaster(**SMALL).fit(y[:140])
    expected = backtest(forecaster, y, fh=[1, 3])
    for fh in (ForecastingHorizon([1, 3]), np.array([3, 1]), (1, 3)):
        pd.testing.assert_frame_equal(backtest(forecaster, y, fh=fh), expected)


@cells
def test_forecaster_does_not_change(cell):
    y = hourly()
    forecaster = cell(**SMALL).fit(y[:140])
    before = forecaster.predict(fh=[1, 2, 3])
    state = {k: v.clone() for k, v in forecaster.network_.state_dict().items()}
    history, data = forecaster.history_, y.copy()
    backtest(forecaster, y, fh=[1, 3])
    assert forecaster.cutoff[0] == y.index[139]
    pd.testing.assert_series_equal(forecaster.predict(fh=[1, 2, 3]), before)
    for name, value in forecaster.network_.state_dict().items():
        assert torch.equal(value, state[name])
    pd.testing.assert_frame_equal(forecaster.history_, history)
    pd.testing.assert_series_equal(y, data)


def test_name_of_a_single_column_plays_no_part():
    y = hourly()
    forecaster = GRUForecaster(**SMALL).fit(y[:140])
    expected = backtest(forecaster, y)
    for named in (y.rename("other"), y.rename(None), y.to_frame("other")):
        pd.testing.assert_frame_equal(backtest(forecaster, named), expected)


@cells
@pytest.mark.parametrize("supervision", ["dense", "last"])
@pytest.mark.parametrize("with_x", [False, True], ids=["y", "y and X"])
def test_forecast_does_not_know_what_comes_after_its_cutoff(cell, supervision, with_x):
    y = hourly()
    X = temperature(y) if with_x else None
    forecaster = cell(**SMALL, supervision=supervision)
    forecaster.fit(y[:140], X=X[:140] if with_x else None)
    changed = y.copy()
    changed.iloc[171:] = 999.0
    one, other = (backtest(forecaster, v, X, fh=[1, 3], start=150)["y_pred"] for v in (y, changed))
    cutoffs = one.index.get_level_values("cutoff")
    known = cutoffs <= y.index[170]
    np.testing.assert_allclose(other[known], one[known], rtol=1e-5)
    assert (other - one).abs()[~known].mean() > 1


@cells
def test_forecast_does_not_know_covariates_beyond_its_time(cell):
    y = hourly()
    X = temperature(y)
    forecaster = cell(**SMALL).fit(y[:140], X=X[:140])
    changed = X.copy()
    changed.iloc[171:] += 20
    one, other = (backtest(forecaster, y, x, start=150)["y_pred"] for x in (X, changed))
    known = one.index.get_level_values("time") <= y.index[170]
    np.testing.assert_allclose(other[known], one[known], rtol=1e-5)
    assert ((other - one).abs()[~known] > 0).all()


def test_many_cutoffs_in_several_passes_equal_few(monkeypatch):
    y = panel()
    forecaster = GRUForecaster(**SMALL).fit(y.groupby(level=0).head(100))
    expected = backtest(forecaster, y, fh=[1, 3], start=20)
    monkeypatch.setattr("skrnn.forecasting.decoding.STEPS_AT_ONCE", 100)
    table = backtest(forecaster, y, fh=[1, 3], start=20)
    pd.testing.assert_frame_equal(table, expected, rtol=1e-4)


def test_int_horizon_is_that_many_steps_as_in_sktime():
    y = pd.Series(np.arange(60.0) % 7)
    forecaster = GRUForecaster(hidden_size=4, num_epochs=1, random_state=0).fit(y)
    pd.testing.assert_frame_equal(
        backtest(forecaster, y, fh=3), backtest(forecaster, y, fh=[1, 2, 3])
    )
