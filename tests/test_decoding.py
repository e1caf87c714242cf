# `values` is an array of ours here, never that of pandas.
import numpy as np
import pandas as pd
import pytest
import torch

from skrnn import _decoding
from skrnn._chunks import DevicePanel
from skrnn._decoding import Runs, forecast
from skrnn._features import NAIVE, Features
from skrnn._networks import CELLS, RecurrentNetwork
from skrnn._panel import Panel
from skrnn._scaling import Scaler

pytestmark = pytest.mark.usefixtures("one_thread")

W = 6  # window_length
LENGTHS, STARTS = [30, 12, 21], [0, 9, 4]
# Every channel there is: lags, naive forecasts, calendar and X, two columns of y.
FULL = Features((3, 5), (2, 4), NAIVE, ("hour",), 2, 1)


def panel_of(lengths=LENGTHS, starts=STARTS, n_columns=2, seed=0):
    rng = np.random.default_rng(seed)
    hours = pd.date_range("2024-01-01", periods=100, freq="h")
    pairs = zip(starts, lengths, strict=True)
    parts = [(s, hour) for s, (first, n) in enumerate(pairs) for hour in hours[first : first + n]]
    index = pd.MultiIndex.from_tuples(parts)
    y = pd.DataFrame(rng.normal(size=(len(index), n_columns)), index=index)
    return Panel.from_pandas(y, pd.DataFrame({"x": rng.normal(size=len(index))}, index=index))


def data_of(panel, features=FULL):
    values, group = panel.values, panel.series_of_rows()
    unscaled = Scaler(None).fit(values, group), Scaler(None).fit(panel.covariates, group * 0)
    return DevicePanel(panel, features, *unscaled, torch.device("cpu"))


def network_of(cell="gru", features=FULL, num_layers=1, dropout=0.0):
    """A network none of whose weights is zero."""
    torch.manual_seed(0)
    network = RecurrentNetwork(features, cell, 4, num_layers, dropout)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter) / 3)
    return network


def forecast_of(network, panel, data, series, cutoff, stride=1, horizon=1, window_length=W):
    series, cutoff = np.atleast_1d(series), np.atleast_1d(cutoff)
    return forecast(network, data, series, cutoff, panel.origin, window_length, stride, horizon)


def start_of(panel, series, cutoff, stride):
    """First step of the run to a cutoff, as documented."""
    end = cutoff + panel.origin[series] + 1  # timeline position after the run's last step
    return max(1, end - end % stride - W - panel.origin[series])


@torch.no_grad()
def forecast_by_hand(network, panel, data, series, cutoff, stride, horizon):
    """One step ahead, again and again, each time from the start and over the forecasts so far."""
    network.eval()
    start, row = start_of(panel, series, cutoff, stride), panel.offsets[series] + cutoff
    kept, made = data.values.clone(), []
    data.values[row:] = torch.nan
    for h in range(horizon):
        first = torch.tensor([start])
        steps, _ = data.steps(torch.tensor([series]), first, cutoff + h + 1 - start)
        step = network(steps)[0][0, -1]
        data.values[row + h] = step
        made.append(step.numpy())
    data.values = kept
    return np.array(made)


# ------------------------------------------------------------------- by hand


@pytest.mark.parametrize("horizon", [1, 2, 7])
@pytest.mark.parametrize("stride", [1, W])
@pytest.mark.parametrize("cell", CELLS)
def test_forecast_matches_one_step_forecasts_fed_back_by_hand(cell, stride, horizon):
    panel = panel_of()
    data, network = data_of(panel), network_of(cell, num_layers=2)
    for series, cutoff in [(0, 23), (0, 20), (1, 5), (1, 1), (2, 14), (2, 3)]:
        made = forecast_of(network, panel, data, series, cutoff, stride, horizon)[0]
        expected = forecast_by_hand(network, panel, data, series, cutoff, stride, horizon)
        np.testing.assert_allclose(made, expected, rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("cell", CELLS)
def test_second_step_is_a_first_step_from_the_carried_state(cell):
    panel, series, cutoff = panel_of(), 0, 15
    data, network = data_of(panel), network_of(cell).eval()
    made = forecast_of(network, panel, data, series, cutoff, horizon=2)[0]

    zero, start = torch.tensor([0]), torch.tensor([cutoff + 1 - W])
    first, state = network(data.steps(zero, start, W)[0])
    np.testing.assert_allclose(made[0], first[0, -1], rtol=0, atol=1e-5)
    data.values[cutoff] = first[0, -1]
    second, _ = network(data.steps(zero, start + W, 1)[0], state)
    np.testing.assert_allclose(made[1], second[0, 0], rtol=0, atol=1e-5)
    unaware, _ = network(data.steps(zero, start + W, 1)[0])
    assert not torch.allclose(unaware, second, atol=1e-3)


@pytest.mark.parametrize("stride", [1, W])
@pytest.mark.parametrize("horizon", [1, 4])
def test_many_cutoffs_at_once_are_those_one_by_one_in_any_order(horizon, stride):
    panel = panel_of()
    data, network = data_of(panel), network_of()
    series = np.repeat([0, 1, 2], np.array(LENGTHS) - horizon)
    cutoff = np.concatenate([np.arange(1, n - horizon + 1) for n in LENGTHS])
    order = np.random.default_rng(1).permutation(len(series))[: len(series) // 2]
    order = np.r_[order, order[:3]]  # some twice
    together = forecast_of(network, panel, data, series[order], cutoff[order], stride, horizon)
    for made, s, c in zip(together, series[order], cutoff[order], strict=True):
        alone = forecast_of(network, panel, data, s, c, stride, horizon)[0]
        np.testing.assert_allclose(made, alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("at_once", [1, 20, 40])
@pytest.mark.parametrize("horizon", [1, 4])
@pytest.mark.parametrize("stride", [1, W])
def test_small_passes_give_the_values_of_a_large_one(monkeypatch, at_once, horizon, stride):
    panel = panel_of()
    data, network = data_of(panel), network_of("lstm")
    series = np.repeat([0, 1, 2], 7)
    cutoff = np.tile(np.arange(1, 8), 3)[::-1].copy()
    large = forecast_of(network, panel, data, series, cutoff, stride, horizon)
    monkeypatch.setattr(_decoding, "STEPS_AT_ONCE", at_once)
    small = forecast_of(network, panel, data, series, cutoff, stride, horizon)
    np.testing.assert_allclose(small, large, rtol=0, atol=1e-5)
    assert len(np.unique(large.round(4), axis=0)) == len(large)


@pytest.mark.parametrize("horizon", [2, 5])
def test_first_steps_of_a_longer_forecast_are_the_shorter_forecast(horizon):
    panel = panel_of()
    data, network = data_of(panel), network_of()
    series, cutoff = np.array([0, 1, 2, 0]), np.array([20, 6, 9, 3])
    longer = forecast_of(network, panel, data, series, cutoff, horizon=6)
    shorter = forecast_of(network, panel, data, series, cutoff, horizon=horizon)
    np.testing.assert_allclose(longer[:, :horizon], shorter, rtol=0, atol=1e-5)
    one = forecast_of(network, panel, data, series, cutoff)
    np.testing.assert_allclose(longer[:, :1], one, rtol=0, atol=1e-5)


# ------------------------------------------------------------------ the future


@pytest.mark.parametrize("value", [1e6, np.nan])
@pytest.mark.parametrize("horizon", [1, 5])
@pytest.mark.parametrize("stride", [1, W])
def test_forecast_knows_no_value_at_or_after_its_cutoff(value, horizon, stride):
    panel = panel_of()
    network = network_of()
    cutoffs = np.array([20, 6, 9])
    before = forecast_of(network, panel, data_of(panel), np.arange(3), cutoffs, stride, horizon)
    changed = data_of(panel)
    for first, last, cutoff in zip(panel.offsets[:-1], panel.offsets[1:], cutoffs, strict=True):
        changed.values[first + cutoff : last] = value
    after = forecast_of(network, panel, changed, np.arange(3), cutoffs, stride, horizon)
    np.testing.assert_array_equal(after, before)


def test_forecast_knows_the_value_before_its_cutoff():
    panel = panel_of()
    network, data = network_of(), data_of(panel)
    before = forecast_of(network, panel, data, 0, 20)
    data.values[19] += 1.0
    assert np.abs(forecast_of(network, panel, data, 0, 20) - before).min() > 0.01


@pytest.mark.parametrize("horizon", [1, 5])
def test_forecast_knows_calendar_and_X_of_its_own_steps_and_no_later(horizon):
    panel, cutoff = panel_of(), 12
    network = network_of()
    before = forecast_of(network, panel, data_of(panel), 0, cutoff, horizon=horizon)
    for name in ("calendar", "covariates"):
        data = data_of(panel)
        getattr(data, name)[cutoff + horizon :] += 100.0
        after = forecast_of(network, panel, data, 0, cutoff, horizon=horizon)
        np.testing.assert_array_equal(after, before)
        getattr(data, name)[cutoff + horizon - 1] += 1.0
        after = forecast_of(network, panel, data, 0, cutoff, horizon=horizon)
        np.testing.assert_array_equal(after[0, :-1], before[0, :-1])
        assert np.abs(after[0, -1] - before[0, -1]).min() > 1e-4


def test_forecast_forgets_what_lies_before_its_run_and_lags():
    panel, cutoff = panel_of(), 25
    network, data = network_of(), data_of(panel)
    before = forecast_of(network, panel, data, 0, cutoff, horizon=3)
    known = cutoff + 1 - W - max(FULL.lags)  # the deepest lag of the run's first step
    data.values[:known] = 1e6
    np.testing.assert_array_equal(forecast_of(network, panel, data, 0, cutoff, horizon=3), before)
    data.values[known] += 100.0
    assert (forecast_of(network, panel, data, 0, cutoff, horizon=3) != before).any()


def test_other_series_play_no_part():
    panel = panel_of()
    network, data = network_of(), data_of(panel)
    before = forecast_of(network, panel, data, [1, 1], [1, 5], horizon=5)
    data.values[: panel.offsets[1]] = 1e6
    data.values[panel.offsets[2] :] = 1e6
    np.testing.assert_array_equal(
        forecast_of(network, panel, data, [1, 1], [1, 5], horizon=5), before
    )


# ------------------------------------------------------------- naive forecasts


def naive_forecast(values, sp, naive, cutoff, horizon):
    """Forecast of an untrained network: one naive forecast and no correction."""
    features = Features((sp,), (), (naive,), (), 1, 0)
    panel = Panel.from_pandas(pd.DataFrame({"y": values}), None)
    torch.manual_seed(0)
    network = RecurrentNetwork(features, "gru", 2, 1, 0.0)
    data = data_of(panel.extended(horizon, np.zeros((1, horizon, 0))), features)
    return forecast_of(network, panel, data, 0, cutoff, horizon=horizon)[0, :, 0]


def test_lag_shorter_than_the_horizon_reads_the_forecasts():
    values = np.random.default_rng(0).normal(size=20).round(2)
    made = naive_forecast(values, 3, "seasonal", 20, 8)
    expected = values[[17, 18, 19, 17, 18, 19, 17, 18]]
    np.testing.assert_allclose(made, expected, rtol=0, atol=1e-6)


def test_last_value_stays():
    made = naive_forecast(np.arange(20.0), 3, "last", 20, 4)
    assert made.tolist() == [19.0] * 4


def test_shifted_season_continues_a_seasonal_trend():
    t = np.arange(40)
    values = 0.5 * t + np.array([0.0, 2.0, -1.0, 4.0])[t % 4]
    made = naive_forecast(values[:30], 4, "shifted", 30, 10)
    np.testing.assert_allclose(made, values[30:], rtol=0, atol=1e-4)


# ------------------------------------------------------------------------ runs


def test_run_of_stride_one_is_the_window_that_ends_at_the_cutoff():
    runs = Runs(np.array([0, 0]), np.array([20, 4]), np.array([3]), W, 1)
    assert runs.start[runs.run].tolist() == [20 + 1 - W, 1]
    assert runs.step.tolist() == [W - 1, 3]
    assert runs.length[runs.run].tolist() == [W, 4]


def test_runs_start_on_a_grid_of_the_timeline():
    # Series of origin 3, stride 8, window 8. Cutoff 20 is position 23: its run ends before 24
    # and starts at 16, row 13. Cutoff 19 is in the cell before: position 8, row 5.
    runs = Runs(np.zeros(4, dtype=int), np.array([20, 19, 27, 12]), np.array([3]), 8, 8)
    assert runs.start[runs.run].tolist() == [13, 5, 13, 5]
    assert runs.step.tolist() == [7, 14, 14, 7]
    assert len(runs.start) == 2
    assert runs.length[runs.run].tolist() == [15] * 4


@pytest.mark.parametrize("stride", [1, 3, W])
def test_every_run_has_the_window_or_begins_with_its_series(stride):
    origin = np.array([0, 5, 17])
    series, cutoff = np.repeat([0, 1, 2], 60), np.tile(np.arange(1, 61), 3)
    runs = Runs(series, cutoff, origin, W, stride)
    start = runs.start[runs.run]
    assert (runs.series[runs.run] == series).all()
    assert ((runs.step + 1 >= W) | (start == 1)).all()
    assert (runs.step + 1 < W + stride).all()
    assert (start + runs.step == cutoff).all()
    assert (((start + origin[series] + W) % stride == 0) | (start == 1)).all()
    assert (runs.length[runs.run] > runs.step).all()


@pytest.mark.parametrize("stride", [1, 3, W])
def test_a_run_does_not_depend_on_the_other_cutoffs(stride):
    origin = np.array([2])
    cutoff = np.arange(1, 40)
    together = Runs(np.zeros_like(cutoff), cutoff, origin, W, stride)
    for i, c in enumerate(cutoff):
        alone = Runs(np.zeros(1, dtype=int), np.array([c]), origin, W, stride)
        assert alone.start[0] == together.start[together.run[i]]


@pytest.mark.parametrize("stride", [1, W])
def test_rows_dropped_before_the_context_do_not_change_a_forecast(stride):
    panel = panel_of()
    tail = panel.tail(W + stride + FULL.reach)
    network = network_of()
    whole = forecast_of(network, panel, data_of(panel), [0, 1, 2], [29, 11, 20], stride)
    row = np.array([29, 11, 20]) - (panel.lengths - tail.lengths)
    cut = forecast_of(network, tail, data_of(tail), [0, 1, 2], row, stride)
    np.testing.assert_allclose(cut, whole, rtol=0, atol=1e-5)


# ------------------------------------------------------------------- the rest


def test_dropout_is_off():
    panel = panel_of()
    network, data = network_of(dropout=0.5).train(), data_of(panel)
    made = [forecast_of(network, panel, data, 0, 20, horizon=3) for _ in range(2)]
    np.testing.assert_array_equal(*made)


def test_no_cutoff_makes_no_forecast():
    panel, none = panel_of(), np.zeros(0, dtype=int)
    assert forecast_of(network_of(), panel, data_of(panel), none, none).shape == (0, 1, 2)


def test_forecasts_keep_no_graph_and_change_no_data():
    panel = panel_of()
    network, data = network_of(), data_of(panel)
    values = data.values.clone()
    assert isinstance(forecast_of(network, panel, data, 0, 20, horizon=3), np.ndarray)
    assert torch.equal(data.values, values)
