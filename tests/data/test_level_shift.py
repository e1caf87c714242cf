"""Level shifts before the end of a series: which are found, and what forecasts make of them."""

import numpy as np
import pandas as pd
import pytest

from builders import panel_of
from skrnn import GRUForecaster, LSTMForecaster, backtest
from skrnn.data.level_shift import LevelShift

pytestmark = pytest.mark.usefixtures("one_thread")

MONTHS = pd.period_range("2010-01", periods=132, freq="M", name="month")


def monthly(seed=0, size=60.0, length=3, n=132, end=120):
    """Months with a season, a trend and noise, and a shift so many rows before row ``end``."""
    rng, t = np.random.default_rng(seed), np.arange(n)
    y = 300 + 40 * np.sin(2 * np.pi * t / 12) + 15 * np.cos(4 * np.pi * t / 12) + 0.3 * t
    y += 8 * rng.normal(size=n)
    y[end - length :] += size
    return pd.Series(y, MONTHS[:n], name="sold")


def found(values, season=12):
    """Rows since the shift, and its size; None if there is none."""
    shift = LevelShift.latest(panel_of(pd.RangeIndex(len(values)), np.asarray(values)), (season,))
    return None if shift is None else (len(values) - shift.since[0, 0], shift.size[0, 0])


@pytest.mark.parametrize("size", [60.0, -60.0])
@pytest.mark.parametrize("length", [3, 5, 8, 11])
def test_shift_is_found_with_its_length_and_size(size, length):
    for seed in range(5):
        rows, level = found(monthly(seed, size, length)[:120])
        assert abs(rows - length) <= 1
        assert abs(level - size) < 20


@pytest.mark.parametrize("season", [7, 12, 24])
def test_series_without_a_shift_have_none(season):
    rng, n = np.random.default_rng(0), 12 * season
    wave = 5 * np.sin(2 * np.pi * np.arange(n) / season)
    draws = [rng.normal(size=n) for _ in range(100)]
    assert sum(found(wave + noise, season) is not None for noise in draws) <= 2
    assert sum(found(wave + noise.cumsum(), season) is not None for noise in draws) <= 6
    trend = 0.5 * np.arange(n)
    assert sum(found(wave + trend + noise, season) is not None for noise in draws) <= 2
    growing = (1 + np.arange(n) / n) * (20 + wave)
    assert sum(found(growing + 0.3 * noise, season) is not None for noise in draws) <= 2


def test_spike_is_no_shift():
    spike = monthly(size=0)[:120].copy()
    spike.iloc[-2] += 300
    assert found(spike) is None


def test_series_of_few_seasons_or_none_have_no_shift():
    y = monthly()[:120]
    assert found(y[-90:]) is None
    assert found(y, season=1) is None


def test_rows_before_the_shift_are_brought_to_the_new_level():
    index = pd.MultiIndex.from_product([["a", "b"], range(4)])
    panel = panel_of(index, np.arange(8.0))
    shift = LevelShift(since=np.array([[2], [0]]), size=np.array([[10.0], [0.0]]))
    removed = shift.removed(panel).values[:, 0]
    np.testing.assert_array_equal(removed, [10, 11, 2, 3, 4, 5, 6, 7])
    np.testing.assert_array_equal(panel.values[:, 0], np.arange(8.0))


@pytest.mark.parametrize("cls", [GRUForecaster, LSTMForecaster])
@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
def test_forecasts_follow_a_shift_three_months_before_the_end(monkeypatch, cls, strategy):
    y = monthly()
    forecaster = cls(strategy, random_state=0)
    error = (forecaster.fit(y[:120], fh=range(1, 13)).predict() - y[120:]).abs().mean()
    assert error < 15
    # Rows before the shift are forecast on the level that they had.
    if strategy == "recursive":
        past = forecaster.predict(fh=np.arange(-60, -10))
        assert (past - y[past.index]).abs().mean() < 15
    monkeypatch.setattr(LevelShift, "latest", lambda panel, seasons: None)
    assert (forecaster.fit(y[:120], fh=range(1, 13)).predict() - y[120:]).abs().mean() > 25


def test_backtest_after_a_shift_equals_updates_and_forecasts():
    y = monthly()
    forecaster = GRUForecaster(hidden_size=8, random_state=0).fit(y[:120])
    assert forecaster.fitted_.model.level_shift is not None
    table = backtest(forecaster, y, fh=[1, 3], start=119, alpha=[0.1, 0.9])
    for cutoff in (119, 122):
        one = forecaster.clone().fit(y[:120]).update(y[: cutoff + 1], update_params=False)
        rows = table.xs(y.index[cutoff], level="cutoff")
        np.testing.assert_allclose(rows["y_pred"], one.predict(fh=[1, 3]), rtol=1e-5)
        quantiles = one.predict_quantiles(fh=[1, 3], alpha=[0.1, 0.9])
        np.testing.assert_allclose(rows[["y_pred_0.1", "y_pred_0.9"]], quantiles, rtol=1e-4)


def test_shift_of_one_series_leaves_the_others_and_the_summary_names_it():
    shifted, calm = monthly(0)[:120], monthly(1, size=0)[:120]
    y = pd.concat({"calm": calm, "shifted": shifted}, names=["item", "month"]).to_frame()
    settings = {"hidden_size": 8, "num_epochs": 2, "random_state": 0}
    several = GRUForecaster(**settings).fit(y)
    assert several.summary().loc["level shifts", "value"] == "1 of 2"
    assert several.fitted_.model.level_shift.size[0, 0] == 0
    one = GRUForecaster(**settings).fit(shifted).summary().loc["level shifts", "value"]
    assert one.startswith("+7") or one.startswith("+6") or one.startswith("+5")
    assert one.endswith("since 2019-10")
    assert GRUForecaster(**settings).fit(calm).summary().loc["level shifts", "value"] == "none"
