"""What the three forecasters do with their data, whichever cell they have."""

import ast
import inspect
import re

import numpy as np
import pandas as pd
import pytest
from torch import nn

from skrnn import GRUForecaster, LSTMForecaster, RNNForecaster, backtest
from small_cases import (
    CLASSES,
    LEARNER,
    SMALL,
    cells,
    covariate,
    hourly,
    noisy,
    panel,
)

pytestmark = pytest.mark.usefixtures("one_thread")

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
    changed = X_ahead + (X_ahead.index.get_level_values(0) == "s1").astype(float)[:, None]
    after = forecaster.predict(fh=[1, 2], X=changed)
    np.testing.assert_array_equal(after.loc["s0"], before.loc["s0"])
    assert (after.loc["s1"] != before.loc["s1"]).all(axis=None)


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
def test_nothing_is_printed(cell, capfd):
    forecaster = cell(**SMALL).fit(noisy())
    forecaster.predict(fh=[1])
    forecaster.update(noisy(110)[100:])
    assert capfd.readouterr() == ("", "")


@cells
def test_verbose_writes_a_line_for_each_epoch_to_a_log_and_prints_nothing(cell, capfd):
    forecaster = cell(**SMALL, verbose=True).fit(noisy())
    out, err = capfd.readouterr()
    assert out == ""
    name, loss = type(forecaster).__name__, forecaster.history_["loss"]
    expected = [f"{name}: epoch {k}/2, loss {loss[k - 1]:.4g}" for k in (1, 2)]
    assert err.splitlines() == expected


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
        assert isinstance(forecaster.fit(noisy()).network_.recurrent.layers[0], layer)


@pytest.mark.parametrize(("cell", "cls"), [("gru", GRUForecaster), ("lstm", LSTMForecaster)])
def test_cell_by_name_forecasts_as_its_class(cell, cls):
    y = noisy()
    by_name = RNNForecaster(cell=cell, **SMALL).fit(y).predict(fh=[1, 5])
    pd.testing.assert_series_equal(by_name, cls(**SMALL).fit(y).predict(fh=[1, 5]))


@cells
def test_layers_and_units_are_as_asked(cell):
    forecaster = cell(**{**SMALL, "hidden_size": 5}, num_layers=3, dropout=0.25).fit(noisy())
    recurrent = forecaster.network_.recurrent
    assert [layer.hidden_size for layer in recurrent.layers] == [5, 5, 5]
    assert [layer.num_layers for layer in recurrent.layers] == [1, 1, 1]
    assert recurrent.dropout.p == 0.25


@pytest.mark.parametrize("cls", CLASSES)
def test_constructor_sets_parameters_and_nothing_else(cls):
    given = {name: object() for name in coded(cls)}
    forecaster = cls(**given)
    assert all(getattr(forecaster, name) is value for name, value in given.items())


def test_sales_that_rest_each_summer_begin_again_in_winter():
    days = pd.date_range("2018-01-01", "2022-07-31", freq="D")
    sales = 100 * np.maximum(0, np.cos(2 * np.pi * (days.dayofyear - 15) / 365.25))
    y = pd.Series(sales * (1 + 0.3 * (days.dayofweek >= 5)), days)
    made = GRUForecaster(random_state=0).fit(y).predict(np.arange(1, 151))
    assert made[:"2022-09-30"].abs().max() < 3  # of 100 in winter
    assert 50 < made["2022-12-01":"2022-12-14"].mean() < 110  # they were 82 a year before
