"""What a fitted forecaster predicts from its context, and what cannot change that."""

import io
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pandas as pd
import pytest

import skrnn
from skrnn import GRUForecaster, LSTMForecaster, backtest
from skrnn.forecasting import fitted as fitted_module

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {"hidden_size": 8, "num_epochs": 2, "window_length": 24, "sp": 24, "random_state": 0}
STRATEGIES = pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
FH = [-3, 0, 1, 2, 5]


def hourly(n=300, seed=0, start="2024-01-01"):
    t = np.arange(n)
    noise = np.random.default_rng(seed).normal(0, 2, n)
    index = pd.date_range(start, periods=n, freq="h")
    return pd.Series(100 + 20 * np.sin(2 * np.pi * t / 24) + noise, index=index, name="y")


def panel():
    """Two series of different ends and levels."""
    parts = {"a": hourly(300, 1), "b": 1000 * hourly(260, 2)}
    return pd.concat({name: part.to_frame() for name, part in parts.items()}, names=["name"])


# ------------------------------------------------------- errors of held-out rows


@STRATEGIES
def test_errors_of_held_out_rows_are_computed_once_and_anew_after_an_update(strategy, monkeypatch):
    y, calls = panel(), []
    original = fitted_module.held_out_errors

    def counted(*args):
        calls.append(args[-1].tolist())
        return original(*args)

    monkeypatch.setattr(fitted_module, "held_out_errors", counted)
    train, fh = y.groupby(level=0).head(240), [1, 2, 5]
    forecaster = GRUForecaster(strategy=strategy, validation_split=0.2, **SMALL).fit(train, fh=fh)
    first = forecaster.predict_interval(coverage=0.8)
    pd.testing.assert_frame_equal(forecaster.predict_interval(coverage=0.8), first)
    forecaster.predict_quantiles(alpha=[0.05, 0.5])
    assert calls == [fh]
    updated = forecaster.update(y, update_params=False).predict_interval(coverage=0.8)
    assert calls == [fh, fh]
    again = skrnn.load(saved(forecaster)).predict_interval(fh=fh, coverage=0.8)
    pd.testing.assert_frame_equal(updated, again)


def test_errors_of_held_out_rows_are_those_of_the_horizon_asked_for():
    forecaster = GRUForecaster(validation_split=0.2, **SMALL).fit(panel(), fh=[1, 2, 5])
    fresh = skrnn.load(saved(forecaster))
    forecaster.predict_interval()
    found = forecaster.predict_interval(fh=[2, 5])
    pd.testing.assert_frame_equal(found, fresh.predict_interval(fh=[2, 5]))


def saved(forecaster):
    file = io.BytesIO()
    skrnn.save(forecaster, file)
    return file.getvalue()


# ------------------------------------------------------- one series and the others


@STRATEGIES
@pytest.mark.parametrize("glitch", [1e20, -1.797e308])
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
def test_glitch_in_one_series_reaches_no_other(strategy, glitch):
    y = panel()
    forecaster = GRUForecaster(strategy=strategy, **SMALL).fit(y, fh=FH)
    broken = y.copy()
    broken.iloc[160] = glitch
    before = forecaster.predict(fh=FH)
    after = forecaster.update(broken, update_params=False).predict(fh=FH)
    pd.testing.assert_frame_equal(after.loc[["b"]], before.loc[["b"]], rtol=0, atol=0)


@STRATEGIES
def test_glitch_is_forgotten_by_forecasts_that_do_not_read_it(strategy):
    # A running sum over the whole series would round all later means to the size of the glitch.
    y = hourly()
    forecaster = GRUForecaster(strategy=strategy, **SMALL).fit(y, fh=FH)
    broken = y.copy()
    broken.iloc[20] = 1e20
    before = forecaster.predict(fh=FH)
    after = forecaster.update(broken, update_params=False).predict(fh=FH)
    pd.testing.assert_series_equal(after, before, rtol=0, atol=0)


# --------------------------------------------------------------- random numbers


class Entropy:
    """Seeds of a forecaster that is not given a number."""

    none = staticmethod(lambda: None)
    random_state = staticmethod(lambda: np.random.RandomState(3))


@STRATEGIES
@pytest.mark.parametrize("make", [Entropy.none, Entropy.random_state], ids=["None", "RandomState"])
def test_intervals_and_quantiles_of_one_forecaster_agree_whatever_its_random_state(strategy, make):
    settings = SMALL | {"random_state": make(), "criterion": "normal", "strategy": strategy}
    forecaster = GRUForecaster(**settings).fit(hourly(), fh=FH)
    state = forecaster.random_state
    before = None if state is None else state.get_state()[1:3]
    interval = forecaster.predict_interval(fh=FH, coverage=0.9)
    quantiles = forecaster.predict_quantiles(fh=FH, alpha=[0.05, 0.95])
    np.testing.assert_allclose(interval.to_numpy(), quantiles.to_numpy(), rtol=1e-12)
    again = forecaster.predict_quantiles(fh=FH, alpha=[0.05, 0.95])
    pd.testing.assert_frame_equal(again, quantiles, rtol=0, atol=0)
    variance = forecaster.predict_var(fh=FH)
    pd.testing.assert_frame_equal(forecaster.predict_var(fh=FH), variance, rtol=0, atol=0)
    if state is not None:  # predicting does not advance the user's generator
        after = state.get_state()[1:3]
        assert before[0].tolist() == after[0].tolist()
        assert before[1] == after[1]


def test_backtest_with_a_random_state_repeats_and_leaves_the_generator_as_it_is():
    settings = SMALL | {"random_state": np.random.RandomState(3), "criterion": "normal"}
    forecaster = GRUForecaster(**settings).fit(hourly()[:280])
    before = forecaster.random_state.get_state()[1:3]
    tables = [backtest(forecaster, hourly(), fh=[1, 3], alpha=[0.1, 0.9]) for _ in range(2)]
    pd.testing.assert_frame_equal(*tables, rtol=0, atol=0)
    after = forecaster.random_state.get_state()[1:3]
    assert before[0].tolist() == after[0].tolist()
    assert before[1] == after[1]


@pytest.mark.parametrize("n_columns", [1, 2])
def test_distribution_of_a_recursive_forecast_has_whole_paths(n_columns):
    pytest.importorskip("skpro")
    # A random walk whose steps have a deviation of 1: 20 steps ahead, values are spread by about
    # 4.5, but two neighbours on a path differ by 1. Independent draws would differ by more than 6.
    steps = np.random.default_rng(0).normal(size=(600, n_columns))
    y = pd.DataFrame(steps.cumsum(axis=0), columns=list("ab"[:n_columns]))
    settings = SMALL | {"sp": None, "criterion": "normal", "num_epochs": 10}
    forecaster = GRUForecaster(**settings).fit(y)
    distribution = forecaster.predict_proba(fh=range(1, 21))
    n = 300
    samples = distribution.sample(n)
    paths = samples.to_numpy().reshape(n, 20, n_columns)
    change = np.diff(paths, axis=1)[:, 10:]
    assert 0.5 < change.std() < 2 < 3 < paths[:, -1].std(axis=0).min()


def test_distribution_of_a_panel_has_whole_paths_of_every_series():
    pytest.importorskip("skpro")
    parts = {
        name: pd.DataFrame({"y": size * np.random.default_rng(seed).normal(size=400).cumsum()})
        for seed, (name, size) in enumerate({"small": 1.0, "large": 1000.0}.items())
    }
    settings = SMALL | {"sp": None, "criterion": "normal", "num_epochs": 10}
    forecaster = GRUForecaster(**settings).fit(pd.concat(parts))
    n = 200
    paths = forecaster.predict_proba(fh=range(1, 21)).sample(n).to_numpy().reshape(n, 2, 20)
    sizes = {"small": 1.0, "large": 1000.0}
    for series, name in enumerate(forecaster.fitted_.panel.keys):
        size = sizes[name]
        change = np.diff(paths[:, series], axis=1)[:, 10:] / size
        assert 0.3 < change.std() < 2 < paths[:, series, -1].std() / size


# -------------------------------------------------------------------- one forecaster, many calls


@STRATEGIES
@pytest.mark.parametrize("cls", [GRUForecaster, LSTMForecaster])
def test_threads_that_predict_with_one_forecaster_get_what_one_call_gets(cls, strategy):
    y = panel()
    forecaster = cls(strategy=strategy, **SMALL).fit(y, fh=[1, 2, 5])
    expected = forecaster.predict(fh=[1, 2, 5])
    table = backtest(forecaster, y, fh=[1, 2], start=250)

    def call(k):
        if k % 10 == 0:
            return backtest(forecaster, y, fh=[1, 2], start=250)
        # sktime's own predict stores fh in the forecaster: threads use one of the same.
        return forecaster.predict(fh=[1, 2, 5])

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # threads take turns as often as they can
    try:
        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(call, range(200)))
    finally:
        sys.setswitchinterval(interval)
    for k, result in enumerate(results):
        pd.testing.assert_frame_equal(result, expected if k % 10 else table, rtol=0, atol=0)


@STRATEGIES
@pytest.mark.parametrize("num_epochs", [0, 2])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_dropout_is_off(strategy, num_epochs, num_layers):
    settings = SMALL | {"num_epochs": num_epochs, "num_layers": num_layers, "naive": None}
    forecaster = GRUForecaster(strategy=strategy, dropout=0.5, **settings).fit(hourly(), fh=FH)
    one, other = forecaster.predict(), forecaster.predict()
    pd.testing.assert_series_equal(one, other, rtol=0, atol=0)
    forecaster.update(hourly(310)[300:])
    one, other = forecaster.predict(), forecaster.predict()
    pd.testing.assert_series_equal(one, other, rtol=0, atol=0)


def test_fitted_state_cannot_be_changed_in_place():
    fitted = GRUForecaster(**SMALL).fit(hourly()).fitted_
    for part, name in ((fitted, "panel"), (fitted.model, "network"), (fitted.panel, "values")):
        with pytest.raises(FrozenInstanceError):
            setattr(part, name, None)


# ------------------------------------------------------------------------- the horizon


@pytest.mark.parametrize("index", ["dates", "integers"])
def test_horizon_that_would_not_fit_into_memory_is_refused(index):
    y = hourly() if index == "dates" else hourly().reset_index(drop=True)
    forecaster = GRUForecaster(**SMALL).fit(y)
    with pytest.raises(ValueError, match=r"fh must ask for at most .* 1,000,000,000 steps ahead"):
        forecaster.predict(fh=[10**9])


def test_simulated_paths_and_series_count_in_the_limit_of_a_forecast(monkeypatch):
    monkeypatch.setattr(fitted_module, "MOST_VALUES_AHEAD", 60)
    settings = SMALL | {"criterion": "normal", "n_samples": 5}
    forecaster = GRUForecaster(**settings).fit(panel())
    assert len(forecaster.predict(fh=[30])) == 2
    assert len(forecaster.predict_var(fh=[6])) == 2
    with pytest.raises(ValueError, match=r"at most 60 forecasts, .* are 62\. Shorten fh"):
        forecaster.predict(fh=[31])
    with pytest.raises(ValueError, match=r"2 series and 5 paths are 70\. .* lower n_samples"):
        forecaster.predict_var(fh=[7])


@STRATEGIES
def test_forecast_before_the_first_observation_with_a_past_is_missing(strategy):
    y = hourly(100)
    fh = [-100, -99, -98, -50, 0]
    forecaster = GRUForecaster(strategy=strategy, **SMALL).fit(y, fh=fh)
    table = backtest(forecaster, y, fh=[1], start=0)["y_pred"]
    forecast = forecaster.predict(fh=fh)
    assert forecast.isna().tolist() == [True, True, False, False, False]
    expected = table.to_numpy()[[0, 48, 98]]
    np.testing.assert_allclose(forecast.iloc[2:], expected, rtol=1e-5)


@STRATEGIES
def test_only_the_end_of_a_long_context_is_read(strategy, monkeypatch):
    y = hourly(1000)
    forecaster = GRUForecaster(strategy=strategy, **SMALL).fit(y, fh=[-4, 1, 3])
    expected = forecaster.predict()
    in_sample = backtest(forecaster, y, fh=[1], start=1000 - 6)["y_pred"].iloc[0]
    assert expected.iloc[0] == pytest.approx(in_sample, rel=1e-5)
    model = type(forecaster.fitted_.model)
    lengths, on_device = [], model.on_device
    monkeypatch.setattr(
        model, "on_device", lambda self, p: lengths.append(len(p.values)) or on_device(self, p)
    )
    pd.testing.assert_series_equal(forecaster.predict(), expected)
    assert len(lengths) == 1
    assert lengths[0] < 300
    # Fed with the whole context, the forecast is the same.
    monkeypatch.setattr(fitted_module.Fitted, "_rows_read", lambda self, steps: 1000)
    np.testing.assert_allclose(forecaster.predict(), expected, rtol=1e-5)
    # Everything that lies before what is read may change.
    fitted = forecaster.fitted_
    values = fitted.panel.values.copy()
    values[: 1000 - lengths[0]] = 1e6
    forecaster.fitted_ = replace(fitted, panel=replace(fitted.panel, values=values))
    np.testing.assert_allclose(forecaster.predict(), expected, rtol=1e-5)


# ----------------------------------------------------------------------------- X


@STRATEGIES
@pytest.mark.parametrize("row", [0, 1, 4])
def test_X_must_have_the_rows_that_a_forecast_reads(strategy, row):
    y = hourly()
    X = pd.DataFrame({"x": np.random.default_rng(0).normal(size=310)}, index=hourly(310).index)
    forecaster = GRUForecaster(strategy=strategy, **SMALL).fit(y, X[:300], fh=[2, 5])
    ahead = X[300:305]
    whole = forecaster.predict(X=ahead)
    lacking = ahead.drop(ahead.index[row])
    with pytest.raises(ValueError, match=str(ahead.index[row])):
        forecaster.predict(X=lacking)
    changed = ahead.copy()
    changed.iloc[row] += 5.0
    assert (forecaster.predict(X=changed) != whole).any()


def test_X_between_the_first_step_and_the_horizons_is_not_read_all_at_once():
    y = hourly()
    X = pd.DataFrame({"x": np.random.default_rng(0).normal(size=310)}, index=hourly(310).index)
    forecaster = GRUForecaster(strategy="multioutput", **SMALL).fit(y, X[:300], fh=[2, 5])
    whole = forecaster.predict(X=X[300:305])
    some = forecaster.predict(X=X.iloc[[300, 301, 304]])
    pd.testing.assert_series_equal(some, whole, rtol=0, atol=0)
