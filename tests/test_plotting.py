"""What is drawn: the values of lines and bands, their names, and what is refused."""

import sys
from types import SimpleNamespace

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.dates import date2num, num2date
from sktime.exceptions import NotFittedError
from sktime.forecasting.naive import NaiveForecaster

from skrnn import GRUForecaster, LSTMForecaster, backtest, explain, smape
from skrnn.callbacks import Callback
from skrnn.plotting import plot_comparison, plot_explanation, plot_forecast, plot_history

pytestmark = pytest.mark.usefixtures("one_thread")

INDEXES = {
    "integer": pd.RangeIndex(100, 180),
    "dates": pd.date_range("2024-01-01", periods=80, freq="h"),
    "zoned": pd.date_range("2024-10-26", periods=80, freq="h", tz="Europe/Berlin"),
    "periods": pd.period_range("2018-01", periods=80, freq="M"),
}
SMALL = {"hidden_size": 4, "window_length": 24, "batch_size": 4, "sp": None, "random_state": 0}


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture
def ax():
    return plt.figure().add_subplot()


def of(index=INDEXES["integer"], seed=0, name="load"):
    return pd.Series(np.random.default_rng(seed).normal(50, 5, len(index)), index, name=name)


def panel(n_series=3, columns=("load",)):
    parts = {
        f"s{k}": pd.DataFrame({c: of(seed=10 * k + i) for i, c in enumerate(columns)})
        for k in range(n_series)
    }
    return pd.concat(parts, names=["series", "time"])


def drawn(ax):
    """Values of each line by its label."""
    return {line.get_label(): np.asarray(line.get_ydata(), float) for line in ax.get_lines()}


def where(ax):
    """Places of each line by its label, as matplotlib counts them."""
    return {line.get_label(): line.get_xydata()[:, 0] for line in ax.get_lines()}


def bands(ax):
    """Upper and lower ends at each place, by label."""
    found = {}
    for collection in ax.collections:
        vertices = collection.get_paths()[0].vertices
        places = np.unique(vertices[:, 0])
        ends = [vertices[vertices[:, 0] == x, 1] for x in places]
        found[collection.get_label()] = places, [(e.min(), e.max()) for e in ends]
    return found


def intervals_of(forecast, widths):
    """A frame such as predict_interval returns."""
    name = forecast.name or 0
    return pd.DataFrame(
        {
            (name, coverage, side): forecast + sign * width
            for coverage, width in widths.items()
            for side, sign in (("lower", -1), ("upper", 1))
        }
    )


# ------------------------------------------------------------------ plot_forecast


@pytest.mark.parametrize("kind", INDEXES)
def test_forecast_begins_at_the_last_observation_before_it(kind):
    y = of(INDEXES[kind])
    ax = plot_forecast(y[60:] + 1, y[:60], y_true=y[60:], n_history=None)
    lines, places = drawn(ax), where(ax)
    np.testing.assert_array_equal(lines["observed"], y[:60])
    np.testing.assert_array_equal(lines["forecast"], [y.iloc[59], *(y[60:] + 1)])
    np.testing.assert_array_equal(lines["actual"], y[59:])
    index = y.index.to_timestamp() if kind == "periods" else y.index
    expected = index if kind == "integer" else date2num(index)
    np.testing.assert_allclose(places["observed"], expected[:60])
    np.testing.assert_allclose(places["forecast"], expected[59:])
    np.testing.assert_allclose(places["actual"], expected[59:])


def test_periods_and_dates_lie_side_by_side():
    y = of(INDEXES["periods"])
    dated = y[:60].set_axis(y.index[:60].to_timestamp())
    places = where(plot_forecast(y[60:], dated, n_history=None))
    np.testing.assert_array_equal(places["forecast"], date2num(y.index.to_timestamp()[59:]))
    assert places["observed"][-1] == places["forecast"][0]


def test_forecast_alone_is_drawn_alone():
    y = of()
    lines = drawn(plot_forecast(y))
    assert list(lines) == ["forecast"]
    np.testing.assert_array_equal(lines["forecast"], y)


@pytest.mark.parametrize(
    ("n_history", "n_forecasts", "n_shown"),
    [("auto", 5, 50), ("auto", 12, 60), (None, 5, 75), (7, 5, 7), (1000, 5, 75)],
)
def test_n_history_bounds_the_observations_before_the_forecast(n_history, n_forecasts, n_shown):
    y = of()
    ax = plot_forecast(y[-n_forecasts:], y[:-n_forecasts], n_history=n_history)
    expected = y[:-n_forecasts][-n_shown:]
    np.testing.assert_array_equal(drawn(ax)["observed"], expected)


def test_observations_go_on_through_the_forecast_but_not_past_it():
    y = of()
    lines = drawn(plot_forecast(y[40:50] + 1, y, y_true=y, n_history=5))
    np.testing.assert_array_equal(lines["observed"], y[35:50])
    np.testing.assert_array_equal(lines["forecast"], [y.iloc[39], *(y[40:50] + 1)])
    np.testing.assert_array_equal(lines["actual"], y[39:50])


def test_in_sample_predictions_from_the_first_row_have_nothing_to_begin_at():
    y = of()
    made = y.shift(1)  # the first one is NaN, as that of predict is
    lines = drawn(plot_forecast(made, y))
    np.testing.assert_array_equal(lines["forecast"], made)
    np.testing.assert_array_equal(lines["observed"], y)


def test_intervals_of_sktime_are_drawn_widest_first_and_darker_inwards():
    y = of(INDEXES["periods"])
    naive = NaiveForecaster(strategy="drift").fit(y[:60])
    intervals = naive.predict_interval([1, 2, 3], coverage=[0.5, 0.95, 0.8])
    ax = plot_forecast(naive.predict([1, 2, 3]), y[:60], intervals=intervals)
    found = bands(ax)
    assert list(found) == ["95 % interval", "80 % interval", "50 % interval"]
    for coverage in (0.95, 0.8, 0.5):
        places, ends = found[f"{100 * coverage:g} % interval"]
        np.testing.assert_allclose(places, date2num(y.index[59:63].to_timestamp()))
        np.testing.assert_allclose(ends[0], [y.iloc[59]] * 2)
        np.testing.assert_allclose(ends[1:], intervals["load"][coverage][["lower", "upper"]])
    brightness = [sum(to_rgb(c.get_facecolor()[0])) for c in ax.collections]
    assert brightness == sorted(brightness, reverse=True)
    assert len(set(brightness)) == 3


def test_intervals_are_beneath_the_lines():
    y = of()
    ax = plot_forecast(y[70:], y[:70], intervals=intervals_of(y[70:], {0.9: 2}))
    assert ax.collections[0].get_zorder() < min(line.get_zorder() for line in ax.get_lines())


def test_one_series_of_a_panel_is_drawn_under_its_name():
    y = panel()
    past, future = y.groupby(level=0).head(70), y.groupby(level=0).tail(10)
    intervals = pd.concat(
        {k: intervals_of(future.loc[k, "load"], {0.9: 2}) for k in ("s0", "s1", "s2")},
        names=["series", "time"],
    )
    ax = plot_forecast(future + 1, past, y_true=future, intervals=intervals, series="s1")
    lines = drawn(ax)
    truth = y.loc["s1", "load"]
    np.testing.assert_array_equal(lines["forecast"], [truth.iloc[69], *(truth[70:] + 1)])
    np.testing.assert_array_equal(lines["observed"], truth[20:70])
    np.testing.assert_array_equal(lines["actual"], truth[69:])
    _, ends = bands(ax)["90 % interval"]
    np.testing.assert_allclose([e[1] for e in ends[1:]], truth[70:] + 2)
    assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) == ("s1", "time", "load")


def test_only_series_of_a_forecast_is_found_in_the_panel_of_observations():
    y = panel()
    ax = plot_forecast(y.loc[["s2"]][70:], y.groupby(level=0).head(70))
    np.testing.assert_array_equal(drawn(ax)["observed"], y.loc["s2", "load"][20:70])
    assert ax.get_title() == "s2"


def test_series_of_a_hierarchy_is_named_by_its_labels():
    y = pd.concat({"east": panel(2), "west": panel(2) + 100}, names=["side"])
    ax = plot_forecast(y, series=("west", "s1"))
    np.testing.assert_array_equal(drawn(ax)["forecast"], y.loc[("west", "s1"), "load"])
    assert ax.get_title() == "west, s1"


def test_one_column_of_several_is_drawn():
    y = panel(1, ("load", "wind")).droplevel(0)
    parts = [intervals_of(y[c][70:], {0.9: w}) for c, w in (("load", 1), ("wind", 2))]
    ax = plot_forecast(y[70:], y[:70], intervals=pd.concat(parts, axis=1), column="wind")
    np.testing.assert_array_equal(drawn(ax)["observed"], y["wind"][20:70])
    np.testing.assert_array_equal(drawn(ax)["forecast"], y["wind"][69:])
    _, ends = bands(ax)["90 % interval"]
    np.testing.assert_allclose([e[0] for e in ends[1:]], y["wind"][70:] - 2)
    assert ax.get_ylabel() == "wind"


def test_a_single_column_may_have_another_name_than_that_of_the_forecast():
    y = of()
    ax = plot_forecast(y[70:].rename(None), y[:70], y_true=y[70:].rename("truth"))
    assert list(drawn(ax)) == ["observed", "actual", "forecast"]
    assert ax.get_ylabel() == "y"


def test_forecasts_of_a_gru_are_drawn_as_they_are():
    y = of(INDEXES["periods"])
    forecast = GRUForecaster(**SMALL, num_epochs=1).fit(y[:60]).predict([1, 2, 12])
    ax = plot_forecast(forecast, y[:60])
    np.testing.assert_array_equal(drawn(ax)["forecast"][1:], forecast)
    np.testing.assert_allclose(
        where(ax)["forecast"], date2num(y.index[[59, 60, 61, 71]].to_timestamp())
    )


def test_few_forecasts_are_marked_and_the_observation_before_them_is_not():
    y = of()
    few = plot_forecast(y[70:], y[:70]).get_lines()[-1]
    assert list(few.get_markevery()) == list(range(1, 11))
    assert list(plot_forecast(y[40:], y[:40]).get_lines()[-1].get_markevery()) == []


def test_the_index_gives_the_name_and_the_ticks_of_the_time():
    y = of(INDEXES["dates"].rename("hour"))
    ax = plot_forecast(y[60:], y[:60])
    ax.figure.canvas.draw()
    assert ax.get_xlabel() == "hour"
    assert [t.get_text() for t in ax.get_xticklabels()] == ["Jan-01", "Jan-02", "Jan-03", "Jan-04"]
    ax = plot_forecast(of()[2:3], of()[:2])
    ax.figure.canvas.draw()
    assert all(float(t) == int(t) for t in ax.get_xticks())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"'series' parameter must name one of the 3 series of y_pred, 's0', 's1', 's2'. Got "
             r"None instead; pass one of them, such as series='s0'"),
        ({"series": "s9"}, "Got 's9' instead"),
        ({"series": "s0", "column": "wind"}, "1 columns of y_pred, 'load'. Got 'wind'"),
        ({"series": "s0", "n_history": 0}, "'n_history' parameter must be an int of at least 1"),
        ({"series": "s0", "n_history": "some"}, "Got 'some' instead"),
        ({"series": "s0", "intervals": panel()}, "must have the columns of sktime's predict_int"),
        ({"series": "s2", "y_true": panel(2)}, "one of the 2 series of y_true, 's0', 's1'"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused_before_a_figure_is_made(options, message):
    with pytest.raises(ValueError, match=message):
        plot_forecast(panel(), panel(), **options)
    assert plt.get_fignums() == []


def test_many_series_are_not_all_listed():
    with pytest.raises(ValueError, match=r"one of the 12 series of y_pred, .*'s9', \.\.\.\. Got"):
        plot_forecast(panel(12))


def test_a_series_cannot_be_chosen_where_there_is_one():
    with pytest.raises(ValueError, match="must be None for a single series"):
        plot_forecast(of(), series="s0")


def test_columns_of_a_wide_forecast_are_listed():
    with pytest.raises(ValueError, match=r"2 columns of y_pred, 'load', 'wind'. Got None"):
        plot_forecast(panel(1, ("load", "wind")))


def test_other_kinds_of_data_are_refused():
    for data in (np.arange(3.0), None, [1.0]):
        with pytest.raises(TypeError, match=rf"y_pred must be a pandas .* {type(data).__name__}"):
            plot_forecast(data)
    with pytest.raises(ValueError, match="y must have at least one row"):
        plot_forecast(of(), of()[:0])
    with pytest.raises(TypeError, match="y must have time stamps of the kind of y_pred, numbers"):
        plot_forecast(of(), of(INDEXES["dates"]))
    assert plt.get_fignums() == []


@pytest.mark.parametrize("kind", INDEXES)
def test_rows_of_a_forecast_and_of_observations_may_be_in_any_order(kind):
    y = of(INDEXES[kind])
    shuffled = [part.sample(frac=1, random_state=1) for part in (y[60:] + 1, y[:60], y[60:])]
    assert not any(part.index.is_monotonic_increasing for part in shuffled)
    lines = drawn(plot_forecast(shuffled[0], shuffled[1], y_true=shuffled[2], n_history=None))
    expected = drawn(plot_forecast(y[60:] + 1, y[:60], y_true=y[60:], n_history=None))
    assert list(lines) == list(expected)
    for name in expected:
        np.testing.assert_array_equal(lines[name], expected[name])


def test_dates_with_a_time_zone_and_dates_without_do_not_mix():
    y, zoned = of(INDEXES["dates"]), of(INDEXES["dates"].tz_localize("UTC"))
    intervals = intervals_of(zoned[60:], {0.9: 2})
    for options in ({"y": zoned[:60]}, {"y_true": zoned[60:]}, {"intervals": intervals}):
        name = next(iter(options))
        with pytest.raises(TypeError, match=f"{name} must .*y_pred, dates without a time zone"):
            plot_forecast(y[60:], **options)
    with pytest.raises(TypeError, match=r"y must .*y_pred, dates with a time zone. Got dates with"):
        plot_forecast(zoned[60:], y[:60])
    with pytest.raises(TypeError, match=r"table 'L' must .*table 'G', dates without a time zone"):
        plot_comparison({"G": table_of(y, 1), "L": table_of(zoned, 1)})
    assert plt.get_fignums() == []


def test_two_time_zones_are_drawn_in_that_of_the_forecast():
    y = of(INDEXES["zoned"])
    other = y.tz_convert("America/New_York")
    ax = plot_forecast(y[60:], other[:60], y_true=other[60:], n_history=None)
    np.testing.assert_array_equal(where(ax)["observed"], date2num(y.index[:60]))
    np.testing.assert_array_equal(drawn(ax)["actual"], y[59:])
    assert str(ax.xaxis.get_major_locator().tz) == "Europe/Berlin"
    ax = plot_comparison({"G": table_of(y, 1), "L": table_of(other, 2)}, window=20)
    assert str(ax.xaxis.get_major_locator().tz) == "Europe/Berlin"
    assert num2date(where(ax)["actual"][-1], y.index.tz) == y.index[-1]
    _, first, second = drawn(ax).values()
    np.testing.assert_allclose(second - first, 1)


def test_forecasts_without_a_value_are_refused():
    y = of()
    with pytest.raises(ValueError, match="all 10 forecasts are NaN"):
        plot_forecast(y[70:] * np.nan, y[:70])
    table = table_of(y, 1)
    with pytest.raises(ValueError, match="table 'L' must have a row with both y_true and y_pred"):
        plot_comparison({"G": table, "L": table.assign(y_pred=np.nan)})
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    "values", [["a"] * 3, [1j] * 3, [[1.0]] * 3], ids=["text", "complex", "lists"]
)
def test_what_is_no_number_cannot_be_drawn(values):
    text = pd.Series(values, name="load")
    for name, draw in {
        "y_pred": lambda: plot_forecast(text),
        "y": lambda: plot_forecast(pd.Series([1.0, 2, 3]), text),
        "table 'G'": lambda: plot_comparison({"G": pd.DataFrame({"y_true": text, "y_pred": 1.0})}),
    }.items():
        with pytest.raises(TypeError, match=f"^{name} must hold real numbers"):
            draw()
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    "index",
    [["a", "b"], ["a", 1], pd.to_timedelta([1, 2], unit="h"), [False, True]],
)
def test_time_stamps_must_be_integers_dates_or_periods(index):
    y = pd.Series([1.0, 2.0], index)
    with pytest.raises(TypeError, match="The index of y_pred must hold integers, dates or periods"):
        plot_forecast(y)
    with pytest.raises(TypeError, match="The index of table 'G' must hold integers, dates or per"):
        plot_comparison({"G": pd.DataFrame({"y_true": y, "y_pred": y})})


def test_a_missing_time_stamp_is_refused():
    y = pd.Series([1.0, 2.0], pd.DatetimeIndex(["2024-01-01", pd.NaT]))
    with pytest.raises(ValueError, match="The index of y_pred must have no missing time stamp"):
        plot_forecast(y)


# ------------------------------------------------------------------- plot_history


@pytest.fixture(scope="module")
def trained():
    options = SMALL | {"num_epochs": 4, "lr": 0.05, "lr_scheduler": None}
    y = of(INDEXES["periods"])
    return {
        "GRU": GRUForecaster(**options, validation_split=0.2).fit(y),
        "LSTM": LSTMForecaster(**options).fit(y),
    }


def test_history_of_one_forecaster_has_its_losses_and_the_best_epoch(trained):
    history = trained["GRU"].history_
    best = history["validation_loss"].idxmin()
    ax = plot_history(trained["GRU"])
    validation = f"validation loss, best in epoch {best + 1}"
    assert list(drawn(ax)) == ["loss", validation]
    np.testing.assert_array_equal(drawn(ax)["loss"], history["loss"])
    np.testing.assert_array_equal(drawn(ax)[validation], history["validation_loss"])
    np.testing.assert_array_equal(where(ax)[validation], [1, 2, 3, 4])
    assert ax.get_lines()[1].get_markevery() == [best]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss")


def test_best_epoch_is_that_of_the_lowest_validation_loss(trained):
    forecaster = GRUForecaster()
    # After an update the history goes on without a validation loss.
    losses = [3.0, 1.0, 2.0, np.nan]
    forecaster.history_ = pd.DataFrame(
        {"epoch": [1, 2, 3, 4], "loss": 1.0, "validation_loss": losses}
    )
    line = plot_history(forecaster).get_lines()[1]
    assert line.get_label() == "validation loss, best in epoch 2"
    assert line.get_markevery() == [1]


def test_histories_of_several_forecasters_have_names_and_colors(trained):
    ax = plot_history(trained)
    labels = list(drawn(ax))
    assert [label.split(", best")[0] for label in labels] == [
        "GRU, loss",
        "GRU, validation loss",
        "LSTM, loss",
    ]
    np.testing.assert_array_equal(drawn(ax)["LSTM, loss"], trained["LSTM"].history_["loss"])
    first, second, third = (line.get_color() for line in ax.get_lines())
    assert first == second != third


def test_history_is_drawn_while_training():
    drawn_epochs = []

    class Draw(Callback):
        def on_epoch_end(self, forecaster, epoch):
            drawn_epochs.append(len(drawn(plot_history(forecaster))["loss"]))

    GRUForecaster(**SMALL, num_epochs=3, callbacks=[Draw()]).fit(of())
    assert drawn_epochs == [1, 2, 3]


def test_history_of_a_training_is_drawn_as_that_of_its_forecaster(trained):
    # A callback gets a view of the training with a DataFrame `history`.
    training = SimpleNamespace(history=trained["GRU"].history_)
    lines, expected = drawn(plot_history(training)), drawn(plot_history(trained["GRU"]))
    assert list(lines) == list(expected)
    for name in expected:
        np.testing.assert_array_equal(lines[name], expected[name])


def test_validation_losses_that_are_all_missing_are_not_drawn():
    history = pd.DataFrame({"epoch": [1, 2], "loss": 1.0, "validation_loss": np.nan})
    assert list(drawn(plot_history(SimpleNamespace(history=history)))) == ["loss"]


def test_the_best_epoch_has_the_number_of_its_row():
    history = pd.DataFrame({"epoch": [5, 6], "loss": 1.0, "validation_loss": [2.0, 1.0]}, [7, 8])
    line = plot_history(SimpleNamespace(history=history)).get_lines()[1]
    assert line.get_label() == "validation loss, best in epoch 6"


def test_what_has_no_history_is_refused():
    for forecaster in (GRUForecaster(), GRUForecaster(**SMALL, num_epochs=1).pretrain(panel())):
        with pytest.raises(NotFittedError):
            plot_history(forecaster)
    with pytest.raises(ValueError, match=r"that of GRUForecaster has none. Fit with num_epochs"):
        plot_history({"a": GRUForecaster(**SMALL, num_epochs=0).fit(of())})
    with pytest.raises(TypeError, match=r"forecasters of skrnn, .* Got NaiveForecaster instead"):
        plot_history({"naive": NaiveForecaster()})
    with pytest.raises(TypeError, match="Got NoneType instead"):
        plot_history(None)
    with pytest.raises(ValueError, match="must have the columns 'epoch' and 'loss'"):
        plot_history(SimpleNamespace(history=pd.DataFrame({"epoch": [1]})))
    with pytest.raises(ValueError, match="must name at least one forecaster, but it is empty"):
        plot_history({})
    assert plt.get_fignums() == []


# ---------------------------------------------------------------- plot_comparison


def table_of(y, noise, fh=(1,), first=10, step_length=1):
    """A backtest whose forecasts miss by ``noise`` times the steps ahead."""
    rows = [
        (y.index[c], y.index[c + h], y.iloc[c + h], y.iloc[c + h] + noise * h)
        for c in range(first, len(y) - max(fh), step_length)
        for h in fh
    ]
    table = pd.DataFrame(rows, columns=["cutoff", "time", "y_true", "y_pred"])
    return table.set_index(["cutoff", "time"])


@pytest.mark.parametrize("kind", INDEXES)
def test_comparison_draws_actual_and_forecasts_with_their_smape(kind):
    y = of(INDEXES[kind])
    ax = plot_comparison({"GRU": table_of(y, 1), "LSTM": table_of(y, -3)}, window=20)
    gru, lstm = (f"{n}, sMAPE {smape(y[-20:], y[-20:] + e):.2f} %" for n, e in
                 (("GRU", 1), ("LSTM", -3)))  # fmt: skip
    lines = drawn(ax)
    assert list(lines) == ["actual", gru, lstm]
    np.testing.assert_array_equal(lines["actual"], y[-20:])
    np.testing.assert_allclose(lines[gru], y[-20:] + 1)
    np.testing.assert_allclose(lines[lstm], y[-20:] - 3)
    index = y.index.to_timestamp() if kind == "periods" else y.index
    expected = index if kind == "integer" else date2num(index)
    np.testing.assert_allclose(where(ax)[lstm], expected[-20:])
    assert to_rgb(ax.get_lines()[0].get_color()) == (0, 0, 0)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(lines)


def test_step_chooses_forecasts_that_far_ahead():
    y = of(INDEXES["periods"])
    tables = {"GRU": table_of(y, 1, fh=(1, 12))}
    for step in (1, 12):
        made = list(drawn(plot_comparison(tables, step=step, window=30)).values())[1]
        end = len(y) if step == 12 else len(y) - 11
        np.testing.assert_allclose(made, y[end - 30 : end] + step)


def test_forecasts_that_follow_one_another_need_no_step():
    y = of()
    table = table_of(y, 1, fh=range(1, 13), first=7, step_length=12)
    _, made = drawn(plot_comparison({"GRU": table}, window=None)).values()
    np.testing.assert_allclose(made, y[8:] + np.tile(np.arange(1, 13), 6))


@pytest.mark.parametrize(
    ("kind", "window"),
    [
        ("integer", slice(150, 159)),
        ("periods", slice("2022-03", "2022-12")),
        ("periods", slice(pd.Period("2022-03", "M"), pd.Period("2022-12", "M"))),
        ("dates", slice("2024-01-03 02:00", "2024-01-03 11:00")),
    ],
)
def test_window_takes_a_slice_of_time_stamps(kind, window):
    y = of(INDEXES[kind])
    lines = drawn(plot_comparison({"GRU": table_of(y, 1)}, window=window))
    np.testing.assert_array_equal(lines["actual"], y[50:60])


def test_only_times_that_all_tables_forecast_are_drawn_and_scored():
    y = of()
    naive = pd.DataFrame({"y_true": y, "y_pred": y.shift(30)})  # no cutoffs, 30 without a forecast
    lines = drawn(plot_comparison({"GRU": table_of(y, 1), "naive": naive}, window=None))
    actual, gru, made = lines.values()
    np.testing.assert_array_equal(actual, y[30:])
    np.testing.assert_allclose(gru, y[30:] + 1)
    np.testing.assert_array_equal(made, y.shift(30)[30:])
    assert list(lines)[2] == f"naive, sMAPE {smape(actual, made):.2f} %"


def test_rows_of_a_table_may_be_in_any_order():
    y = of()
    table = table_of(y, 1).sample(frac=1, random_state=0)
    actual, made = drawn(plot_comparison({"GRU": table}, window=20)).values()
    np.testing.assert_array_equal(actual, y[-20:])
    np.testing.assert_allclose(made, y[-20:] + 1)


def test_backtest_of_a_panel_is_drawn_by_series():
    y = panel()
    tables = {}
    for cell in (GRUForecaster, LSTMForecaster):
        forecaster = cell(**SMALL, num_epochs=1).fit(y.groupby(level=0).head(60))
        tables[cell.__name__] = backtest(forecaster, y, fh=[1, 5], start=59)
    ax = plot_comparison(tables, series="s1", step=5)
    for (name, table), line in zip(tables.items(), ax.get_lines()[1:], strict=True):
        expected = table.loc["s1"].groupby(level="cutoff").tail(1)["y_pred"]
        np.testing.assert_array_equal(line.get_ydata(), expected)
        np.testing.assert_array_equal(line.get_xdata(), expected.index.get_level_values("time"))
        assert line.get_label().startswith(f"{name}, sMAPE ")
    assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) == ("s1", "time", "y")


def test_backtest_of_several_columns_is_drawn_by_column():
    y = panel(1, ("load", "wind")).droplevel(0)
    table = backtest(GRUForecaster(**SMALL, num_epochs=1).fit(y[:60]), y, start=59)
    ax = plot_comparison({"GRU": table}, column="wind")
    actual, made = drawn(ax).values()
    np.testing.assert_array_equal(actual, y["wind"][60:])
    np.testing.assert_array_equal(made, table["y_pred", "wind"])
    assert ax.get_ylabel() == "wind"
    with pytest.raises(ValueError, match=r"2 columns of table 'GRU', 'load', 'wind'. Got None"):
        plot_comparison({"GRU": table})


def test_lines_differ_in_color_and_style():
    y = of()
    ax = plot_comparison({str(k): table_of(y, k) for k in range(6)})
    lines = ax.get_lines()[1:]
    assert len({line.get_color() for line in lines}) == 6
    assert len({line.get_linestyle() for line in lines}) == 4


@pytest.mark.parametrize(
    ("tables", "options", "message"),
    [
        ({"G": table_of(of(), 1, fh=(1, 5))}, {},
         r"'step' parameter must name one of the 2 steps ahead of table 'G', 1, 5\. Got None"),
        ({"G": table_of(of(), 1, fh=(1, 5))}, {"step": 2}, "Got 2 instead"),
        ({"G": table_of(of(), 1)}, {"window": 0}, "'window' parameter must be an int of at least"),
        ({"G": table_of(of(), 1)}, {"window": 0.5}, "Got 0.5 instead"),
        ({"G": table_of(of(), 1)}, {"window": slice(500, 600)}, "of 69 shared times none is in"),
        ({"G": table_of(of()[:40], 1), "L": table_of(of()[30:], 1)}, {}, "of 0 shared times none"),
        ({"G": table_of(of(), 1), "L": table_of(10 * of(), 1)}, {},
         "same y_true, but table 'L' differs from table 'G'"),
        ({"G": table_of(of(), 1)}, {"series": "s0"}, "must be None for a single series"),
        ({"G": table_of(of(), 1)}, {"column": "load"}, "1 columns of table 'G', 'y'. Got 'load'"),
        ({"G": of().to_frame()}, {}, r"table 'G' must have the columns 'y_true' and 'y_pred'. Got "
                                     r"\['load'\]"),
        ({"G": pd.concat([pd.DataFrame({"y_true": of(), "y_pred": of()})] * 2)}, {},
         "table 'G' must forecast each time once, but 100 is duplicated"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused_before_a_figure_is_made(tables, options, message):
    with pytest.raises(ValueError, match=message):
        plot_comparison(tables, **options)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("tables", [table_of(of(), 1), {}, [1]], ids=["table", "empty", "list"])
def test_tables_must_have_names(tables):
    with pytest.raises(TypeError, match="must map the name of each forecaster to its backtest"):
        plot_comparison(tables)


# --------------------------------------------------------------------- every plot


def plots(trained):
    y = of()
    return {
        "forecast": lambda **ax: plot_forecast(y[70:], y[:70], **ax),
        "history": lambda **ax: plot_history(trained, **ax),
        "comparison": lambda **ax: plot_comparison({"GRU": table_of(y, 1)}, **ax),
    }


@pytest.mark.parametrize("name", ["forecast", "history", "comparison"])
def test_given_axes_are_drawn_on_and_pyplot_is_left_alone(name, ax, trained):
    current = plt.figure().add_subplot()
    open_figures = plt.get_fignums()
    assert plots(trained)[name](ax=ax) is ax
    assert plt.gca() is current
    assert plt.get_fignums() == open_figures
    assert not current.has_data()


@pytest.mark.parametrize("name", ["forecast", "history", "comparison"])
@pytest.mark.parametrize("ax", [5, "ax", [1]])
def test_other_axes_than_those_of_matplotlib_are_refused(name, ax, trained):
    with pytest.raises(TypeError, match="'ax' parameter must be matplotlib axes or None"):
        plots(trained)[name](ax=ax)


def test_an_array_of_axes_is_refused():
    _, axes = plt.subplots(2)
    with pytest.raises(TypeError, match="'ax' parameter must be matplotlib axes or None"):
        plot_forecast(of(), ax=axes)


@pytest.mark.parametrize("name", ["forecast", "history", "comparison"])
def test_nothing_of_a_new_figure_is_cut_off_or_overlaps(name, trained):
    ax = plots(trained)[name]()
    ax.figure.canvas.draw()
    inside = ax.figure.bbox
    legend = ax.get_legend().get_window_extent()
    for box in (legend, ax.xaxis.label.get_window_extent(), ax.yaxis.label.get_window_extent()):
        assert box.x0 >= inside.x0
        assert box.x1 <= inside.x1
        assert box.y0 >= inside.y0
        assert box.y1 <= inside.y1
    assert not legend.overlaps(ax.get_window_extent())


@pytest.mark.parametrize("name", ["forecast", "history", "comparison"])
def test_without_matplotlib_the_error_says_what_to_install(name, trained, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r'Run `pip install "skrnn\[plot\]"`'):
        plots(trained)[name]()


def test_data_passed_in_does_not_change():
    y = of(INDEXES["periods"])
    past, future = y[:60].copy(), y[60:].copy()
    intervals = intervals_of(future, {0.9: 2})
    before = intervals.copy()
    plot_forecast(future, past, intervals=intervals)
    pd.testing.assert_series_equal(past, y[:60])
    pd.testing.assert_series_equal(future, y[60:])
    pd.testing.assert_frame_equal(intervals, before)


def test_observations_that_all_follow_the_forecast_are_refused():
    with pytest.raises(ValueError, match=r"Pass the forecasts first: plot_forecast\(y_pred, y\)"):
        plot_forecast(pd.Series(range(5)), pd.Series(range(3), index=[5, 6, 7]))


def test_epochs_without_a_validation_loss_do_not_break_its_line():
    history = pd.DataFrame(
        {"epoch": [1, 2, 3, 4], "loss": [4.0, 3.0, 2.0, 1.0], "validation_loss": [3, 2.5, None, 2]}
    )
    ax = plot_history(SimpleNamespace(history_=history))
    line = ax.get_lines()[1]
    assert line.get_xdata().tolist() == [1, 2, 4]
    assert line.get_ydata().tolist() == [3, 2.5, 2]
    assert line.get_label() == "validation loss, best in epoch 4"


# --------------------------------------------------------------- plot_explanation


def explanation_of(index, seed=0):
    """Contributions of three sources, one of them in two parts, and a small one."""
    rng = np.random.default_rng(seed)
    columns = [
        ("naive", "last"),
        ("linear", "intercept"),
        ("linear", "heat"),
        ("linear", "lags"),
        ("correction", "heat"),
        ("correction", "network"),
        ("range", "bounds"),
    ]
    scale = np.array([50, 20, 9, 5, 2, 0.5, 0.0])
    columns = pd.MultiIndex.from_tuples(columns, names=["part", "source"])
    return pd.DataFrame(rng.normal(size=(len(index), 7)) * scale, index, columns)


def bars(ax):
    """Bottom and top of each bar, by label."""
    found = {}
    for container in ax.containers:
        ends = [(bar.get_y(), bar.get_y() + bar.get_height()) for bar in container]
        found[container.get_label()] = np.array(ends)
    return found


@pytest.mark.parametrize("kind", INDEXES)
def test_bars_around_zero_are_the_contributions_of_each_source(kind):
    table = explanation_of(INDEXES[kind][:20])
    ax = plot_explanation(table, around="zero", n_largest=3)
    found = bars(ax)
    assert list(found) == ["naive and intercept", "heat", "lags", "other sources"]
    heights = {name: ends[:, 1] - ends[:, 0] for name, ends in found.items()}
    expected = {
        "naive and intercept": table["naive", "last"] + table["linear", "intercept"],
        "heat": table["linear", "heat"] + table["correction", "heat"],
        "lags": table["linear", "lags"],
        "other sources": table["correction", "network"] + table["range", "bounds"],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(heights[name], values, err_msg=name)
    np.testing.assert_allclose(drawn(ax)["forecast"], table.sum(axis=1))
    # Bars of one sign lie on each other: all that is above zero reaches to the sum of it.
    top = np.max([ends.max(1) for ends in found.values()], axis=0)
    np.testing.assert_allclose(top, sum(v.clip(lower=0) for v in expected.values()))
    index = table.index.to_timestamp() if kind == "periods" else table.index
    places = index if kind == "integer" else date2num(index)
    np.testing.assert_allclose(where(ax)["forecast"], places)


def test_bars_around_the_mean_are_what_differs_from_step_to_step():
    table = explanation_of(INDEXES["integer"][:20])
    ax = plot_explanation(table, by="part")
    found, forecast = bars(ax), table.sum(axis=1)
    assert list(found) == ["naive", "linear", "correction"]  # the range is 0 in all steps
    heights = sum(ends[:, 1] - ends[:, 0] for ends in found.values())
    np.testing.assert_allclose(heights, forecast - forecast.mean())
    assert drawn(ax)["mean of the forecast"] == pytest.approx([forecast.mean()] * 2)


def test_a_single_step_is_drawn_around_zero():
    table = explanation_of(INDEXES["dates"][:1])
    found = bars(plot_explanation(table))
    assert sum(np.diff(ends).item() for ends in found.values()) == pytest.approx(table.sum().sum())


def test_explanation_of_one_column_of_one_series_is_chosen():
    y = panel(n_series=2, columns=("load", "wind"))
    table = explain(GRUForecaster(**SMALL, num_epochs=0).fit(y), fh=[1, 2, 3])
    ax = plot_explanation(table, series="s1", column="wind")
    np.testing.assert_allclose(drawn(ax)["forecast"], table.loc["s1", "wind"].sum(axis=1))
    assert (ax.get_title(), ax.get_ylabel()) == ("s1", "wind")
    with pytest.raises(ValueError, match="'series' parameter must name one of the 2 series"):
        plot_explanation(table, column="wind")
    with pytest.raises(ValueError, match="'column' parameter must name one of the 2 columns"):
        plot_explanation(table, series="s1")


def test_steps_that_cannot_be_forecast_are_left_out():
    table = explanation_of(INDEXES["integer"][:5])
    table.iloc[0] = np.nan
    assert len(drawn(plot_explanation(table))["forecast"]) == 4
    with pytest.raises(ValueError, match="all of its rows are NaN"):
        plot_explanation(table.iloc[:1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"by": "column"}, "'by' parameter of plot_explanation must be one of 'source', 'part'"),
        ({"around": "median"}, "'around' parameter"),
        ({"n_largest": 7}, "must be one of 1, 2, 3, 4, 5, 6. Got 7"),
    ],
)
def test_wrong_arguments_of_plot_explanation_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        plot_explanation(explanation_of(INDEXES["integer"][:5]), **arguments)


def test_only_an_explanation_is_drawn_as_one():
    with pytest.raises(ValueError, match=r"pass what skrnn\.explain returns"):
        plot_explanation(of())
