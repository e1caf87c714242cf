"""The forecasting horizon: which one can be trained, and durations."""

import numpy as np
import pandas as pd
import pytest

from skrnn import GRUForecaster, backtest
from skrnn.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {"hidden_size": 8, "num_epochs": 3, "random_state": 0}
AT_ONCE = SMALL | {"strategy": "multioutput"}
STRATEGIES = pytest.mark.parametrize("strategy", ["recursive", "multioutput"])


def hourly(n, freq="h"):
    t = np.arange(n)
    noise = np.random.default_rng(0).normal(0, 2, n)
    index = pd.date_range("2024-01-01", periods=n, freq=freq)
    return pd.Series(100 + 20 * np.sin(2 * np.pi * t / 24) + noise, index=index, name="y")


@pytest.fixture
def n_targets(monkeypatch):
    """Training targets of each horizon that count, summed over all steps."""
    totals, step = [], Trainer.step

    def counted(trainer, chunk):
        totals.append(chunk.weight.sum((0, 1, 3)).cpu().numpy())
        return step(trainer, chunk)

    monkeypatch.setattr(Trainer, "step", counted)
    return lambda: np.sum(totals, axis=0)


# ------------------------------------------------------ horizons that can be trained


@pytest.mark.parametrize("supervision", ["dense", "last"])
@pytest.mark.parametrize("fh", [[80], [1, 48], [1, 80], [1, 99], [99], [24, 60, 90]], ids=str)
def test_every_horizon_has_training_targets(n_targets, fh, supervision):
    y = hourly(100)
    forecaster = GRUForecaster(supervision=supervision, **AT_ONCE).fit(y, fh=fh)
    assert (n_targets() > 0).all()
    assert (forecaster.history_["loss"] > 0).all()


def test_every_horizon_has_training_targets_though_only_one_series_is_long(n_targets):
    y = pd.concat({"long": hourly(100).to_frame(), "short": hourly(30).to_frame()})
    GRUForecaster(**AT_ONCE).fit(y, fh=[1, 80])
    assert (n_targets() > 0).all()


def test_horizon_longer_than_every_series_is_refused():
    with pytest.raises(ValueError, match=r"target 100 steps ahead .* the longest has 100 obs"):
        GRUForecaster(**AT_ONCE).fit(hourly(100), fh=[1, 100])


@pytest.mark.parametrize("fh", [[80], [1, 80]], ids=str)
def test_horizon_longer_than_the_rows_to_train_on_is_refused(fh):
    with pytest.raises(ValueError, match=r"an observation 80 steps after .* by validation_split"):
        GRUForecaster(validation_split=0.5, **AT_ONCE).fit(hourly(100), fh=fh)


def test_horizon_whose_targets_are_all_missing_is_refused():
    y = hourly(100)
    y.iloc[79:] = np.nan
    with pytest.raises(ValueError, match=r"must have an observation 80 steps after"):
        GRUForecaster(**AT_ONCE).fit(y, fh=[1, 80])
    y.iloc[99] = 100.0
    assert GRUForecaster(**AT_ONCE).fit(y, fh=[1, 80]).predict().notna().all()


def test_horizons_longer_than_the_held_out_end_are_refused_as_such():
    with pytest.raises(ValueError, match=r"hold out targets of the horizons \[30\].* 10 rows"):
        GRUForecaster(validation_split=0.1, **AT_ONCE).fit(hourly(100), fh=[30])


def test_held_out_end_that_is_missing_is_refused_as_such():
    y = hourly(100)
    y.iloc[80:] = np.nan
    with pytest.raises(ValueError, match="all values that it holds out are missing"):
        GRUForecaster(validation_split=0.2, **AT_ONCE).fit(y, fh=[1, 2])


@pytest.mark.parametrize("supervision", ["dense", "last"])
def test_update_trains_the_new_rows_as_targets_of_every_horizon(n_targets, supervision):
    y = hourly(310)
    settings = AT_ONCE | {"window_length": 24, "supervision": supervision}
    forecaster = GRUForecaster(**settings).fit(y[:300], fh=[1, 80])
    before = n_targets()
    forecaster.update(y[300:])
    assert (n_targets() > before).all()


def test_update_whose_new_rows_are_no_targets_yet_does_not_train():
    # All rows that are 80 steps after a row that is not held out are held out themselves.
    y = hourly(310)
    settings = AT_ONCE | {"window_length": 24, "validation_split": 0.3}
    forecaster = GRUForecaster(**settings).fit(y[:300], fh=[80])
    history = forecaster.history_
    forecaster.update(y[300:])
    pd.testing.assert_frame_equal(forecaster.history_, history)
    assert forecaster.cutoff[0] == y.index[309]


# ------------------------------------------------------------------------ durations


@STRATEGIES
@pytest.mark.parametrize("duration", ["30min", "90min", "1s", "61min"])
def test_duration_between_two_steps_is_refused(strategy, duration):
    y = hourly(120)
    fh = pd.to_timedelta(["1h", duration])
    forecaster = GRUForecaster(strategy=strategy, **SMALL)
    match = r"Durations must be a whole number of steps of frequency 'h', but got 0 days"
    if strategy == "multioutput":
        with pytest.raises(ValueError, match=match):
            forecaster.fit(y, fh=fh)
        forecaster.fit(y, fh=[1, 2])
    else:
        with pytest.raises(ValueError, match=match):
            forecaster.fit(y).predict(fh=fh)
    with pytest.raises(ValueError, match=match):
        backtest(forecaster, y, fh=fh)


@STRATEGIES
def test_duration_is_its_number_of_steps(strategy):
    y = hourly(120)
    fh = pd.to_timedelta(["1h", "3h"])
    forecaster = GRUForecaster(strategy=strategy, **SMALL).fit(y, fh=[1, 3])
    by_duration = GRUForecaster(strategy=strategy, **SMALL).fit(y, fh=fh)
    pd.testing.assert_series_equal(by_duration.predict(fh=fh), forecaster.predict(fh=[1, 3]))
    expected = backtest(forecaster, y, fh=[1, 3])
    pd.testing.assert_frame_equal(backtest(forecaster, y, fh=fh), expected)
    one = backtest(forecaster, y, fh=pd.Timedelta("3h"))
    pd.testing.assert_frame_equal(one, backtest(forecaster, y, fh=[3]))


@pytest.mark.parametrize("freq", ["MS", "ME", "B", "QS"])
def test_duration_where_steps_differ_is_refused(freq):
    y = hourly(60, freq)
    forecaster = GRUForecaster(**SMALL).fit(y)
    fh = pd.to_timedelta(["28D"])
    match = r"whose steps all last equally long, but .* differ\. Pass integers"
    with pytest.raises(ValueError, match=match):
        forecaster.predict(fh=fh)
    with pytest.raises(ValueError, match=match):
        backtest(forecaster, y, fh=fh)


def test_duration_on_integers_is_refused():
    y = pd.Series(np.arange(50.0))
    forecaster = GRUForecaster(**SMALL).fit(y)
    with pytest.raises(ValueError, match="are integers"):
        backtest(forecaster, y, fh=pd.to_timedelta(["1h"]))


@STRATEGIES
def test_absolute_horizon_between_two_steps_is_refused(strategy):
    y = hourly(120)
    fh = pd.DatetimeIndex([y.index[-1] + pd.Timedelta("90min")])
    with pytest.raises(ValueError, match="must lie on one grid of frequency 'h'"):
        GRUForecaster(strategy=strategy, **SMALL).fit(y, fh=fh).predict(fh=fh)
