"""Missing values of y: masked out of the loss, shown as missing, filled in as inputs alone."""

import numpy as np
import pandas as pd
import pytest

from skrnn import GRUForecaster, backtest
from skrnn.datasets import make_hourly_load
from skrnn.training.chunks import Chunks

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {"hidden_size": 8, "num_epochs": 3, "window_length": 48, "random_state": 0}
STRATEGIES = pytest.mark.parametrize("strategy", ["recursive", "multioutput"])


def load(n=600):
    return make_hourly_load(n_series=1, n_hours=n, random_state=0).droplevel(0)["load_mw"]


def punctured(y, share=0.2, seed=1):
    return y.mask(np.random.default_rng(seed).random(len(y)) < share)


@STRATEGIES
def test_missing_targets_have_no_part_in_the_loss(strategy):
    y = punctured(load())
    forecaster = GRUForecaster(strategy=strategy, **SMALL | {"num_epochs": 1}).fit(y, fh=[1, 2])
    # If they were targets, the values that fill them in would be.
    panel, values = forecaster.fitted_.panel, y.to_numpy()
    data = forecaster.fitted_.model.on_device(panel)
    rng = np.random.default_rng(0)
    for chunk in Chunks(data, panel.lengths, SMALL["window_length"], 16, "dense", rng).epoch():
        t = chunk.steps.n_past[..., None] + data.steps_after
        observed = ~np.isnan(values[np.minimum(t.numpy(), len(y) - 1)])
        assert not (chunk.weight[..., 0].numpy().astype(bool) & ~observed).any()
        assert chunk.weight.sum() > 0


@STRATEGIES
def test_forecast_after_missing_values_is_near_that_of_the_whole_series(strategy):
    y = load(1400)
    settings = SMALL | {"num_epochs": 20, "strategy": strategy}
    errors = []
    for seen in (y, punctured(y)):
        forecaster = GRUForecaster(**settings).fit(seen[:1200], fh=[1])
        table = backtest(forecaster, seen, fh=[1], start=1199)
        errors.append((table["y_pred"].droplevel("cutoff") - y[1200:]).abs().mean())
    assert errors[1] < 1.5 * errors[0]


def test_network_is_shown_which_values_are_missing():
    y = punctured(load())
    forecaster = GRUForecaster(**SMALL).fit(y)
    whole = GRUForecaster(**SMALL).fit(load())
    # The last value, and each of the two lags, has a channel that says so.
    n_inputs = forecaster.network_.recurrent.layers[0].input_size
    assert n_inputs == whole.network_.recurrent.layers[0].input_size + 3


@STRATEGIES
def test_missing_last_observation_is_forecast_from_those_before(strategy):
    y = load()
    forecaster = GRUForecaster(strategy=strategy, **SMALL).fit(punctured(y[:500]), fh=[1, 2])
    gap = y[500:503].copy()
    gap.iloc[1:] = np.nan
    forecaster.update(gap, update_params=False)
    made = forecaster.predict(fh=[1, 2])
    assert made.index[0] == y.index[503]
    assert ((made - y[503:505]).abs() < 0.1 * y[503:505]).all()


def test_series_begins_with_its_first_observation():
    y = load(200)
    late = pd.concat([y[:30] * np.nan, y[30:]])
    one = GRUForecaster(**SMALL).fit(late)
    other = GRUForecaster(**SMALL).fit(y[30:])
    pd.testing.assert_series_equal(one.predict(fh=[1, 2, 3]), other.predict(fh=[1, 2, 3]))
    assert one.predict(fh=[-199, -171, -169]).isna().tolist() == [True, True, True]
    assert one.predict(fh=[-168]).notna().all()


def test_scale_is_that_of_the_observed_values():
    y = pd.Series([1.0, np.nan, 3.0, np.nan, 8.0])
    scaler = GRUForecaster(**SMALL).fit(y).scaler_
    assert scaler.center_[0, 0] == pytest.approx(4.0)
    assert scaler.scale_[0, 0] == pytest.approx(np.std([1, 3, 8]))


def test_backtest_leaves_missing_observations_missing_and_forecasts_them():
    y = punctured(load())
    forecaster = GRUForecaster(**SMALL).fit(y[:500])
    table = backtest(forecaster, y, start=499).droplevel("cutoff")
    pd.testing.assert_series_equal(table["y_true"], y[500:], check_names=False, check_freq=False)
    assert table["y_pred"].notna().all()


def test_in_sample_forecasts_and_loop_of_updates_agree_where_values_are_missing():
    y = punctured(load())
    forecaster = GRUForecaster(**SMALL).fit(y[:500])
    table = backtest(forecaster, y, start=499)["y_pred"]
    loop = forecaster.clone().fit(y[:500])
    for row in (500, 505, 520):
        loop.update(y[500:row], update_params=False) if row > 500 else None
        assert loop.predict(fh=1).iloc[0] == pytest.approx(table.iloc[row - 500], rel=1e-5)


def test_columns_may_miss_values_at_different_times():
    y = load()
    frame = pd.DataFrame({"a": punctured(y, seed=2), "b": punctured(y * 2, seed=3)})
    frame.iloc[:40, 1] = np.nan  # b begins later
    made = GRUForecaster(**SMALL).fit(frame).predict(fh=[1, 2])
    assert made["b"].to_numpy() == pytest.approx(2 * made["a"].to_numpy(), rel=0.15)


def test_network_that_never_saw_a_gap_forecasts_over_one():
    y = load()
    forecaster = GRUForecaster(**SMALL).fit(y[:500])
    forecaster.update(y[500:510].mask(np.arange(10) > 4), update_params=False)
    made = forecaster.predict(fh=[1, 2, 3])
    assert ((made - y[510:513]).abs() < 0.15 * y[510:513]).all()
