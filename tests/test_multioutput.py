"""strategy="multioutput": all steps of fh at once, from the state at the cutoff."""

import numpy as np
import pandas as pd
import pytest
import torch

from skrnn import GRUForecaster, LSTMForecaster, backtest
from skrnn.datasets import make_hourly_load

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {"hidden_size": 8, "num_epochs": 3, "window_length": 48, "random_state": 0}
AHEAD = SMALL | {"strategy": "multioutput"}


def load(n=400, seed=0):
    return make_hourly_load(n_series=1, n_hours=n, random_state=seed).droplevel(0)["load_mw"]


@pytest.fixture(scope="module")
def fitted():
    return GRUForecaster(**AHEAD).fit(load(460)[:400], fh=[1, 2, 24, 30])


def test_fh_is_needed_in_fit_and_the_tag_says_so():
    forecaster = GRUForecaster(**AHEAD)
    assert forecaster.get_tag("requires-fh-in-fit")
    assert not GRUForecaster(**SMALL).get_tag("requires-fh-in-fit")
    assert GRUForecaster(**SMALL).set_params(strategy="multioutput").get_tag("requires-fh-in-fit")
    with pytest.raises(ValueError, match="fh"):
        forecaster.fit(load())


@pytest.mark.parametrize("cls", [GRUForecaster, LSTMForecaster])
def test_one_step_forecast_reacts_to_the_very_last_observation(cls):
    y = load()
    forecaster = cls(**AHEAD).fit(y, fh=[1, 24])
    before = forecaster.predict()
    changed = y.copy()
    changed.iloc[-1] += 100.0
    after = forecaster.update(changed.iloc[-1:], update_params=False).predict()
    # The naive mix alone moves the next hour by a good part of the change; a forecast from an
    # older state would not move at all.
    assert after.iloc[0] - before.iloc[0] > 30.0


def test_forecasts_of_a_random_walk_start_from_its_last_value():
    y = pd.Series(np.random.default_rng(0).normal(size=600).cumsum())
    forecaster = GRUForecaster(**AHEAD | {"sp": None}).fit(y[:500], fh=[1, 2, 3])
    table = backtest(forecaster, y, fh=[1, 2, 3], start=499)
    step = np.tile([1, 2, 3], len(table) // 3)
    error = (table["y_true"] - table["y_pred"]).groupby(step).std()
    assert error.to_numpy() == pytest.approx(np.sqrt([1, 2, 3]), rel=0.2)


def test_each_horizon_is_forecast_at_its_own_time():
    # s[t] is 1 at every tenth step: a forecast that belongs to another step is wrong.
    y = pd.Series(np.arange(400) % 10 == 0).astype(float)
    forecaster = GRUForecaster(**AHEAD | {"num_epochs": 10}).fit(y[:350], fh=[2, 5, 10, 13])
    table = backtest(forecaster, y, fh=[2, 5, 10, 13], start=349)
    assert (table["y_pred"] - table["y_true"]).abs().max() < 0.2
    assert forecaster.predict().index.tolist() == [351, 354, 359, 362]


def test_gaps_in_fh_are_the_same_as_in_a_whole_horizon_by_value():
    y = load()
    settings = AHEAD | {"num_epochs": 0}
    gaps = GRUForecaster(**settings).fit(y, fh=[3, 24]).predict()
    whole = GRUForecaster(**settings).fit(y, fh=range(1, 25)).predict()
    # Untrained, both are the fixed mix of the naive forecasts, each weighed by its own error
    # over a sample of the steps.
    pd.testing.assert_series_equal(gaps, whole.iloc[[2, 23]], check_freq=False, rtol=2e-3)


def test_untrained_forecast_is_a_mix_of_the_naive_forecasts():
    y = load()
    s = y.to_numpy()
    h, p, q, t = 30, 24, 168, len(y)
    forecaster = GRUForecaster(**AHEAD | {"num_epochs": 0, "naive": ["seasonal"], "sp": 24})
    forecaster.set_params(linear_lags=None)
    assert forecaster.fit(y, fh=[h]).predict().iloc[0] == pytest.approx(s[t - 1 + h - 2 * p])
    forecaster.set_params(naive=["leveled"])
    level = s[t - p :].mean() - s[t - 3 * p : t - 2 * p].mean()
    expected = s[t - 1 + h - 2 * p] + level
    assert forecaster.fit(y, fh=[h]).predict().iloc[0] == pytest.approx(expected, rel=1e-5)
    forecaster.set_params(naive=["drift"])
    expected = s[t - 1] + h * level / (2 * p)
    assert forecaster.fit(y, fh=[h]).predict().iloc[0] == pytest.approx(expected, rel=1e-5)
    forecaster.set_params(naive=["averaged"])
    expected = np.mean([s[t - 1 + h - k * p] for k in (2, 3, 4, 5)])
    assert forecaster.fit(y, fh=[h]).predict().iloc[0] == pytest.approx(expected, rel=1e-5)
    forecaster.set_params(naive=["mean"], sp=[p, q])
    assert forecaster.fit(y, fh=[h]).predict().iloc[0] == pytest.approx(s[t - q :].mean(), rel=1e-5)


def test_known_future_of_each_target_step_is_used():
    index = pd.date_range("2024-01-01", periods=900, freq="h")
    X = pd.DataFrame({"open": np.random.default_rng(0).random(900) < 0.5}, index=index) * 1.0
    y = 10 + 5 * X["open"]
    forecaster = GRUForecaster(**AHEAD | {"num_epochs": 200, "sp": None, "hidden_size": 16})
    forecaster.fit(y[:800], X[:800], fh=range(1, 13))
    forecast = forecaster.predict(X=X[800:])
    assert (forecast - y[800:812]).abs().max() < 1.0


def test_predict_needs_X_at_the_first_step_and_the_steps_asked_for_alone():
    y = load()
    X = pd.DataFrame(
        {"x": np.arange(430.0)}, index=pd.date_range(y.index[0], periods=430, freq="h")
    )
    forecaster = GRUForecaster(**AHEAD).fit(y, X[:400], fh=[2, 24])
    whole = forecaster.predict(X=X[400:])
    pd.testing.assert_series_equal(forecaster.predict(X=X.iloc[[400, 401, 423]]), whole)
    for lacking in ([401, 423], [400, 423], [400, 401]):
        with pytest.raises(ValueError, match="missing"):
            forecaster.predict(X=X.iloc[lacking])


def test_backtest_equals_the_loop_of_update_and_predict(fitted):
    y = load(460)
    table = backtest(fitted, y, fh=[1, 2, 24, 30], start=405)
    clone = GRUForecaster(**AHEAD).fit(y[:400], fh=[1, 2, 24, 30])
    for cutoff in (405, 411, 429):
        clone.update(y[400 : cutoff + 1], update_params=False)
        expected = clone.predict()
        made = table.loc[y.index[cutoff], "y_pred"]
        np.testing.assert_allclose(made, expected, rtol=1e-5)


def test_backtest_of_some_of_the_steps_is_that_of_all(fitted):
    y = load(460)
    whole = backtest(fitted, y, fh=[1, 2, 24, 30], start=405)["y_pred"]
    some = backtest(fitted, y, fh=[2, 30], start=405)["y_pred"]
    pd.testing.assert_series_equal(some, whole.loc[some.index])
    with pytest.raises(ValueError, match=r"\[1, 2, 24, 30\], but got step 3"):
        backtest(fitted, y, fh=[3], start=405)


@pytest.mark.parametrize("length", [43, 44, 45, 46])
def test_patches_end_at_the_cutoff_whatever_its_phase(length):
    y = pd.Series(np.arange(200) % 6 == 0).astype(float)
    forecaster = GRUForecaster(**AHEAD | {"patch_length": 4, "num_epochs": 30, "sp": 6})
    forecaster.fit(y[: 100 + length], fh=[1, 2, 7])
    expected = y[[100 + length, 101 + length, 106 + length]]
    assert (forecaster.predict() - expected).abs().max() < 0.25


def test_patch_is_seen_whole():
    y = load()
    forecaster = GRUForecaster(**AHEAD | {"patch_length": 6}).fit(y, fh=[1, 2])
    before = forecaster.predict()
    for back in range(1, 7):
        changed = y.copy()
        changed.iloc[-back] += 50.0
        again = forecaster.clone().set_params(num_epochs=0).fit(y, fh=[1, 2])
        again.network_.load_state_dict(forecaster.network_.state_dict())
        again.update(changed.iloc[-7:], update_params=False)
        assert (again.predict() - before).abs().max() > 0.01, back


def test_horizon_longer_than_every_series_is_refused():
    with pytest.raises(ValueError, match=r"40 steps ahead .* 30 observations"):
        GRUForecaster(**AHEAD).fit(load(30), fh=[40])


def test_absolute_horizon_shrinks_as_the_cutoff_moves():
    y = load(410)
    fh = pd.date_range(y.index[399], periods=13, freq="h")[1:]
    forecaster = GRUForecaster(**AHEAD).fit(y[:400], fh=fh)
    first = forecaster.predict()
    assert first.index.equals(fh)
    forecaster.update(y[400:405], update_params=False)
    assert forecaster.predict().index.equals(fh)  # now up to 7 steps ahead, the rest in-sample
    table = backtest(forecaster, y, fh=range(1, 6), start=404)
    np.testing.assert_allclose(
        table["y_pred"].to_numpy()[:5], forecaster.predict().iloc[5:10], rtol=1e-5
    )


def test_pretrained_steps_are_the_only_ones_to_fit():
    panel = make_hourly_load(n_series=2, n_hours=300, random_state=0)
    forecaster = GRUForecaster(**AHEAD).pretrain(panel, fh=[1, 24]).set_params(num_epochs=0)
    assert forecaster.clone().fit(load(), fh=[1, 24]).predict().notna().all()
    with pytest.raises(ValueError, match=r"pretrained to forecast the steps \[1, 24\]"):
        forecaster.clone().fit(load(), fh=[1, 2])


def test_columns_that_drive_each_other_are_forecast_by_one_network():
    # a takes over b's last value, b minus a's: each column's past says nothing of its future.
    rng = np.random.default_rng(0)
    s = np.zeros((1500, 2))
    for t in range(1, len(s)):
        s[t] = np.array([0.9, -0.9]) * s[t - 1, ::-1] + rng.normal(size=2)
    y = pd.DataFrame(s, columns=["a", "b"])
    settings = {"hidden_size": 32, "window_length": 100, "random_state": 0}
    errors = {}
    for strategy in ("recursive", "multioutput"):
        forecaster = GRUForecaster(strategy=strategy, **settings).fit(y[:1200], fh=[1, 2])
        table = backtest(forecaster, y, fh=[1, 2], start=1199)
        error = ((table["y_true"] - table["y_pred"]) ** 2).groupby(np.arange(len(table)) % 2).mean()
        errors[strategy] = error.mean(axis=1).to_numpy()
    # The noise is 1 one step ahead and 1.81 two steps ahead; a column by itself has 5.3 at best.
    for error in errors.values():
        assert error[0] < 1.8
        assert error[1] < 2.9


def test_gradient_of_no_horizon_reaches_the_targets():
    # Weights of a network fitted on a series do not depend on values after the training range.
    y = load()
    settings = AHEAD | {"validation_split": 0.25, "num_epochs": 1}
    one = GRUForecaster(**settings).fit(y, fh=[1, 24]).network_.state_dict()
    changed = y.copy()
    changed.iloc[300:] += 1000.0
    other = GRUForecaster(**settings).fit(changed, fh=[1, 24]).network_.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
