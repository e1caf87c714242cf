# `values` is an array of ours here, never that of pandas.
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from skrnn.data.covariates import Covariates
from skrnn.data.panel import Panel
from skrnn.data.scaling import Scaler
from skrnn.distributions import CRITERIA, Normal, Point, Quantiles
from skrnn.features.features import NAIVE, Features
from skrnn.forecasting import decoding
from skrnn.forecasting.decoding import Levels, Runs, forecast
from skrnn.network.network import CELLS, RecurrentNetwork
from skrnn.training.chunks import DevicePanel

pytestmark = pytest.mark.usefixtures("one_thread")

W = 6  # window_length
LENGTHS, STARTS = [30, 12, 21], [0, 9, 4]
# Every channel there is: lags, naive forecasts, calendar and X, two columns of y.
FULL = Features((3, 5), (2, 4), NAIVE, ("hour",), 2, n_numbers=1)
AHEAD = Features((3, 5), (2, 4), NAIVE, ("hour",), 2, n_numbers=1, horizons=(1, 2, 6))
POINT = Point(CRITERIA["mae"])


def panel_of(lengths=LENGTHS, starts=STARTS, n_columns=2, seed=0, past=()):
    rng = np.random.default_rng(seed)
    hours = pd.date_range("2024-01-01", periods=100, freq="h")
    pairs = zip(starts, lengths, strict=True)
    parts = [(s, hour) for s, (first, n) in enumerate(pairs) for hour in hours[first : first + n]]
    index = pd.MultiIndex.from_tuples(parts)
    y = pd.DataFrame(rng.normal(size=(len(index), n_columns)), index=index)
    X = pd.DataFrame({"x": rng.normal(size=len(index))}, index=index)
    return Panel.from_pandas(y, X, Covariates.of(X, past))


def data_of(panel, features=FULL):
    values, group = panel.values, panel.series_of_rows()
    unscaled = Scaler(None).fit(values, group), Scaler(None).fit(panel.known, group * 0)
    return DevicePanel(panel, features, *unscaled, torch.device("cpu"))


def network_of(cell="gru", features=FULL, num_layers=1, dropout=0.0, distribution=POINT):
    """A network none of whose weights is zero."""
    torch.manual_seed(0)
    network = RecurrentNetwork(features, distribution, cell, 4, num_layers, dropout)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter) / 3)
    return network


def parameters_of(
    network, panel, data, series, cutoff, stride=1, horizon=1, window_length=W, **kwargs
):
    """Forecasts from some cutoffs, (n, H, C, K)."""
    series, cutoff = np.atleast_1d(series), np.atleast_1d(cutoff)
    return forecast(
        network, data, series, cutoff, panel.origin, window_length, stride, horizon, **kwargs
    )


def forecast_of(*args, **kwargs):
    """Point forecasts from some cutoffs, (n, H, C)."""
    return parameters_of(*args, **kwargs)[..., 0]


def network_at(network, data, series, start, length, state=None):
    """Forecasts of some steps of one series, (L, J, C, K), and the state after them."""
    series, start = torch.tensor([series]), torch.tensor([start])
    patch = network.features.patch_length
    t = start[:, None] + patch * torch.arange(length)
    made, state = network(data.steps(series, start, length), data.ahead(series, t), state)
    return made[0], state


def start_of(panel, series, cutoff, stride):
    """First step of the run to a cutoff, as documented."""
    end = cutoff + panel.origin[series] + 1  # timeline position after the run's last step
    return max(1, end - end % stride - W - panel.origin[series])


def put(data, panel, series, row, values):
    """Let a row of a series have these values, and the means up to it."""
    first, here = panel.offsets[series], panel.offsets[series] + row
    data.values[here] = torch.as_tensor(values)
    for k, period in enumerate(data.features.level_periods):
        data.levels[here, k] = data.values[max(first, here - period + 1) : here + 1].mean(0)


@torch.no_grad()
def forecast_by_hand(network, panel, data, series, cutoff, stride, horizon):
    """One step ahead, again and again, each time from the start and over the forecasts so far."""
    network.eval()
    start, row = start_of(panel, series, cutoff, stride), panel.offsets[series] + cutoff
    kept, made = (data.values.clone(), data.levels.clone()), []
    data.values[row:], data.levels[row:] = torch.nan, torch.nan
    for h in range(horizon):
        step = network_at(network, data, series, start, cutoff + h + 1 - start)[0][-1, 0, :, 0]
        put(data, panel, series, cutoff + h, step)
        made.append(step.numpy())
    data.values, data.levels = kept
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

    first, state = network_at(network, data, series, cutoff + 1 - W, W)
    np.testing.assert_allclose(made[0], first[-1, 0, :, 0], rtol=0, atol=1e-5)
    put(data, panel, series, cutoff, first[-1, 0, :, 0])
    second, _ = network_at(network, data, series, cutoff + 1, 1, state)
    np.testing.assert_allclose(made[1], second[0, 0, :, 0], rtol=0, atol=1e-5)
    unaware, _ = network_at(network, data, series, cutoff + 1, 1)
    assert not torch.allclose(unaware, second, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("stride", [1, W])
@pytest.mark.parametrize("cell", CELLS)
def test_horizons_are_forecast_at_once_from_the_cutoff(cell, stride):
    panel = panel_of()
    data, network = data_of(panel, AHEAD), network_of(cell, AHEAD).eval()
    for series, cutoff in [(0, 23), (0, 20), (1, 5), (1, 1), (2, 14), (2, 3)]:
        made = forecast_of(network, panel, data, series, cutoff, stride, 6)[0]
        start = start_of(panel, series, cutoff, stride)
        expected = network_at(network, data, series, start, cutoff + 1 - start)[0][-1, ..., 0]
        assert made.shape == (3, 2)
        np.testing.assert_allclose(made, expected, rtol=0, atol=1e-5)


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
    monkeypatch.setattr(decoding, "STEPS_AT_ONCE", at_once)
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
        changed.levels[first + cutoff : last] = value
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
    for name in ("calendar", "numbers"):
        data = data_of(panel)
        getattr(data, name)[cutoff + horizon :] += 100.0
        after = forecast_of(network, panel, data, 0, cutoff, horizon=horizon)
        np.testing.assert_array_equal(after, before)
        getattr(data, name)[cutoff + horizon - 1] += 1.0
        after = forecast_of(network, panel, data, 0, cutoff, horizon=horizon)
        np.testing.assert_array_equal(after[0, :-1], before[0, :-1])
        assert np.abs(after[0, -1] - before[0, -1]).min() > 1e-4


@pytest.mark.parametrize(
    ("features", "known"),
    [
        (replace(FULL, naive=("last", "seasonal")), 25 + 1 - W - 4),  # of the run's first step
        (replace(FULL, naive=("last", "mean", "leveled")), 25 - 2 * 5),  # means of two seasons
        (FULL, 25 - 3 * 5),  # the oldest of three seasons
    ],
    ids=["lags", "means", "seasons"],
)
def test_forecast_forgets_what_lies_before_its_run_lags_and_naive_forecasts(features, known):
    panel, cutoff = panel_of(), 25
    network, data = network_of(features=features), data_of(panel, features)
    before = forecast_of(network, panel, data, 0, cutoff, horizon=3)
    data.values[:known] = 1e6
    np.testing.assert_array_equal(forecast_of(network, panel, data, 0, cutoff, horizon=3), before)
    data.values[known] += 100.0
    assert (forecast_of(network, panel, data, 0, cutoff, horizon=3) != before).any()


def test_other_series_play_no_part():
    panel = panel_of()
    network, data = network_of(), data_of(panel)
    before = forecast_of(network, panel, data, [1, 1], [1, 5], horizon=5)
    for rows in (slice(panel.offsets[1]), slice(panel.offsets[2], None)):
        data.values[rows], data.levels[rows] = 1e6, 1e6
    np.testing.assert_array_equal(
        forecast_of(network, panel, data, [1, 1], [1, 5], horizon=5), before
    )


# ------------------------------------------------------------- naive forecasts


def naive_forecast(values, sp, naive, cutoff, horizon, horizons=None, level_period=1):
    """Forecast of an untrained network: the mean of naive forecasts and no correction."""
    sp = () if sp is None else (sp,)
    naive = (naive,) if isinstance(naive, str) else naive
    features = Features(sp, (), naive, (), 1, horizons=horizons, level_period=level_period)
    panel = Panel.from_pandas(pd.DataFrame({"y": values}), None, Covariates.of(None, ()))
    torch.manual_seed(0)
    network = RecurrentNetwork(features, POINT, "gru", 2, 1, 0.0)
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


@pytest.mark.parametrize("naive", ["seasonal", "shifted", "leveled"])
def test_naive_forecasts_of_horizons_at_once_continue_a_seasonal_trend(naive):
    t = np.arange(60)
    season = np.array([0.0, 2.0, -1.0, 4.0])[t % 4]
    values = 0.5 * t + season
    made = naive_forecast(values[:30], 4, naive, 30, 10, horizons=tuple(range(1, 11)))
    # The season of the last known steps stands on their own level: k seasons of 4 steps back.
    back = 4 * -(-np.arange(1, 11) // 4)
    expected = values[30:40] - (0.5 * back if naive == "seasonal" else 0.0)
    np.testing.assert_allclose(made, expected, rtol=0, atol=1e-4)


def test_mean_of_horizons_at_once_is_that_of_the_last_season():
    values = np.random.default_rng(0).normal(size=20)
    made = naive_forecast(values, 4, "mean", 20, 10, horizons=(1, 10))
    np.testing.assert_allclose(made, values[-4:].mean(), rtol=0, atol=1e-6)


def recursion(s, names, m, horizon):
    """The mean of naive forecasts of one step, which goes on as an observation, by hand."""
    s = list(s)
    for _ in range(horizon):
        made = {"last": s[-1], "mean": np.mean(s[-m:])}
        if len(s) >= m:
            made["averaged"] = np.mean(s[-m::-m][:3])
        if len(s) >= 2 * m:
            rise = np.mean(s[-m:]) - np.mean(s[-2 * m : -m])
            made["leveled"], made["drift"] = s[-m] + rise, s[-1] + rise / m
        s.append(np.mean([made[name] for name in names if name in made]))
    return s[-horizon:]


@pytest.mark.parametrize(
    ("names", "n"),
    [
        *((("mean",), n) for n in (1, 3, 4, 7, 50)),
        *((("averaged",), n) for n in (4, 5, 7, 8, 11, 12, 50)),
        *(((name,), n) for name in ("leveled", "drift") for n in (8, 9, 50)),
        # Before there are two seasons, forecasts included, the last value is alone.
        *((("last", name), n) for name in ("leveled", "drift") for n in (1, 3, 4, 7, 8)),
        *((("last", "mean", "averaged", "leveled"), n) for n in (1, 4, 7, 20)),
    ],
)
def test_recursive_naive_forecasts_are_made_of_the_forecasts_before(names, n):
    values = np.random.default_rng(0).normal(size=n)
    made = naive_forecast(values, 4, names, n, 13)
    np.testing.assert_allclose(made, recursion(values, names, 4, 13), rtol=0, atol=1e-5)


@pytest.mark.parametrize("n", [1, 4, 7, 8, 50])
def test_recursive_level_without_a_season_is_made_of_the_forecasts_before(n):
    values = np.random.default_rng(0).normal(size=n)
    names = ("last", "mean", "drift")
    made = naive_forecast(values, None, names, n, 13, level_period=4)
    np.testing.assert_allclose(made, recursion(values, names, 4, 13), rtol=0, atol=1e-5)


@pytest.mark.parametrize("naive", ["mean", "averaged", "leveled", "drift"])
@pytest.mark.parametrize("n", [1, 3, 7])
def test_first_of_several_steps_is_the_only_one_even_of_a_short_series(naive, n):
    values = 5 + np.random.default_rng(0).normal(size=n)
    one = naive_forecast(values, 4, naive, n, 1)
    np.testing.assert_allclose(naive_forecast(values, 4, naive, n, 3)[:1], one, rtol=0, atol=1e-5)


@pytest.mark.parametrize("naive", [("leveled",), ("mean",), NAIVE])
def test_means_of_values_appended_are_those_of_the_panel(naive):
    features = Features((3, 5), (), naive, (), 2)
    panel, count = panel_of(), 12  # values of each series before the first that is appended
    data = data_of(panel, features)
    series = torch.arange(3)
    for known in (1, 4, 7, 11):
        history = features.history
        back = torch.full((3, 1), known) - torch.arange(history, 0, -1)
        past = data.values[data.rows(series, back)] * (back >= 0)[..., None]
        levels = Levels(past, data.level_offsets, features.level_periods, count - known)
        for t in range(known, count):
            made = levels.at(history + t - known, torch.full((3, 1), t))
            expected = data.ahead(series, torch.full((3, 1), t)).levels
            torch.testing.assert_close(made, expected, rtol=0, atol=1e-5)
            levels.append(history + t - known, data.values[data.first + t])


# --------------------------------------------------------- horizons at once


@pytest.mark.parametrize("value", [1e6, 0.0])
@pytest.mark.parametrize("stride", [1, W])
def test_forecast_of_horizons_knows_no_value_at_or_after_its_cutoff(value, stride):
    panel, network = panel_of(), network_of(features=AHEAD)
    cutoffs = np.array([20, 6, 9])
    before = forecast_of(network, panel, data_of(panel, AHEAD), range(3), cutoffs, stride, 6)
    values = panel.values.copy()
    for first, last, cutoff in zip(panel.offsets[:-1], panel.offsets[1:], cutoffs, strict=True):
        values[first + cutoff : last] = value
    changed = data_of(replace(panel, values=values), AHEAD)
    after = forecast_of(network, panel, changed, range(3), cutoffs, stride, 6)
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-5)


def test_forecast_of_horizons_knows_calendar_and_X_of_each_target():
    panel, cutoff = panel_of(), 12
    network = network_of(features=AHEAD)
    before = forecast_of(network, panel, data_of(panel, AHEAD), 0, cutoff, horizon=6)[0]
    for name in ("calendar", "numbers"):
        for j, h in enumerate(AHEAD.horizons):
            data = data_of(panel, AHEAD)
            getattr(data, name)[cutoff + h - 1] += 1.0
            after = forecast_of(network, panel, data, 0, cutoff, horizon=6)[0]
            others = [k for k in range(3) if k != j]
            assert np.abs(after[j] - before[j]).min() > 1e-4
            if h > 1:  # the step itself is an input of the recurrent layer
                np.testing.assert_array_equal(after[others], before[others])


@pytest.mark.parametrize("at_once", [1, 3, 8])
def test_few_forecasts_at_once_give_the_values_of_many(monkeypatch, at_once):
    panel = panel_of()
    data, network = data_of(panel, AHEAD), network_of(features=AHEAD)
    series, cutoff = np.repeat([0, 1, 2], 7), np.tile(np.arange(1, 8), 3)
    many = forecast_of(network, panel, data, series, cutoff, W, 6)
    monkeypatch.setattr(decoding, "FORECASTS_AT_ONCE", at_once)
    few = forecast_of(network, panel, data, series, cutoff, W, 6)
    np.testing.assert_allclose(few, many, rtol=0, atol=1e-5)


# ------------------------------------------------------------------- patches


@torch.no_grad()
@pytest.mark.parametrize("stride", [1, W])
def test_last_patch_of_a_forecast_ends_at_its_cutoff(stride):
    features = replace(AHEAD, patch_length=3)
    panel = panel_of()
    data, network = data_of(panel, features), network_of(features=features).eval()
    for series, cutoff, start in [
        (0, 10, {1: 7, W: 1}),
        (0, 2, {1: 2, W: 2}),
        (1, 5, {1: 2, W: 2}),
    ]:
        made = forecast_of(network, panel, data, series, cutoff, stride, 6)[0]
        length = (cutoff - start[stride]) // 3 + 1
        expected = network_at(network, data, series, start[stride], length)[0][-1, ..., 0]
        np.testing.assert_allclose(made, expected, rtol=0, atol=1e-5)


# ------------------------------------------------- distributions and samples


@torch.no_grad()
@pytest.mark.parametrize("features", [FULL, AHEAD], ids=["step", "horizons"])
@pytest.mark.parametrize("distribution", [Normal(), Quantiles([0.1, 0.5, 0.8])])
def test_parameters_of_one_step_or_several_at_once_are_those_of_the_network(distribution, features):
    panel = panel_of()
    data = data_of(panel, features)
    network = network_of(features=features, distribution=distribution).eval()
    horizon = 6 if features.horizons else 1
    made = parameters_of(network, panel, data, [0, 2], [20, 9], W, horizon)
    for k, (series, cutoff) in enumerate([(0, 20), (2, 9)]):
        start = start_of(panel, series, cutoff, W)
        expected = network_at(network, data, series, start, cutoff + 1 - start)[0][-1]
        np.testing.assert_allclose(made[k], expected, rtol=0, atol=1e-5)


def test_several_steps_one_after_the_other_go_on_from_the_points():
    panel = panel_of()
    data, network = data_of(panel), network_of(distribution=Normal())
    made = parameters_of(network, panel, data, 0, 20, horizon=4)
    assert made.shape == (1, 4, 2, 1)
    expected = forecast_by_hand(network, panel, data, 0, 20, 1, 4)
    np.testing.assert_allclose(made[0, ..., 0], expected, rtol=0, atol=1e-5)


def samples_of(network, panel, data, series, cutoff, n_samples=3000, horizon=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return parameters_of(
        network,
        panel,
        data,
        series,
        cutoff,
        horizon=horizon,
        n_samples=n_samples,
        generator=generator,
    )


def test_sampled_first_step_has_the_location_and_scale_of_the_network():
    panel = panel_of()
    data, network = data_of(panel), network_of(distribution=Normal())
    paths = samples_of(network, panel, data, [0, 2], [20, 9])
    location, scale = np.moveaxis(parameters_of(network, panel, data, [0, 2], [20, 9])[:, 0], -1, 0)
    error = scale / np.sqrt(3000)
    assert (np.abs(paths[:, 0].mean(-1) - location) < 4 * error).all()
    np.testing.assert_allclose(paths[:, 0].std(-1), scale, rtol=0.06)


def test_each_step_of_a_path_goes_on_from_its_own_draw():
    panel, n = panel_of(), 50
    data, network = data_of(panel), network_of(distribution=Normal())
    series, cutoff = 0, 20
    paths = samples_of(network, panel, data, series, cutoff, n)[0]
    noise = torch.Generator().manual_seed(0)
    drawn = [torch.empty(n, 2).normal_(generator=noise).numpy() for _ in range(3)]
    for v in (0, 17, 49):
        kept = data.values.clone(), data.levels.clone()
        for h in range(3):
            made = parameters_of(network, panel, data, series, cutoff + h, window_length=W + h)
            location, scale = made[0, 0].T
            expected = location + scale * drawn[h][v]
            np.testing.assert_allclose(paths[h, :, v], expected, rtol=0, atol=1e-4)
            put(data, panel, series, cutoff + h, paths[h, :, v])
        data.values, data.levels = kept


def test_paths_of_a_seed_return_and_those_of_another_differ():
    panel = panel_of()
    data, network = data_of(panel), network_of(distribution=Normal())
    one, same, other = (
        samples_of(network, panel, data, [0, 1], [20, 6], 5, seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.isclose(one, other).any()


# ------------------------------------------- missing values, past covariates


@torch.no_grad()
@pytest.mark.parametrize("horizon", [1, 4])
def test_forecasts_are_no_missing_values_to_the_steps_after_them(horizon):
    features = replace(FULL, missing=True)
    whole = panel_of()
    gaps = whole.values.copy()
    gaps[[15, 18, 19, 22]] = np.nan
    observed = ~np.isnan(gaps)
    panel = replace(whole, values=gaps, observed=observed).filled((3,))
    data, network = data_of(panel, features), network_of(features=features).eval()
    made = forecast_of(network, panel, data, 0, 20, horizon=horizon)[0]
    data.observed[20:] = True
    expected = forecast_by_hand(network, panel, data, 0, 20, 1, horizon)
    np.testing.assert_allclose(made, expected, rtol=0, atol=1e-5)
    data.observed[19] = True  # it is filled, but the network is told
    assert (forecast_of(network, panel, data, 0, 20, horizon=horizon)[0] != made).all()


@pytest.mark.parametrize("horizon", [1, 4])
def test_past_covariates_are_forecast_along_step_by_step(horizon):
    features = Features((3, 5), (2, 4), NAIVE, ("hour",), 2, n_past=1)
    panel = panel_of(past=["x"])
    assert panel.values.shape[1] == 3
    data, network = data_of(panel, features), network_of(features=features)
    for series, cutoff in [(0, 20), (1, 5)]:
        made = forecast_of(network, panel, data, series, cutoff, horizon=horizon)[0]
        expected = forecast_by_hand(network, panel, data, series, cutoff, 1, horizon)
        assert made.shape == (horizon, 3)
        np.testing.assert_allclose(made, expected, rtol=0, atol=1e-5)


def test_past_covariates_are_inputs_but_no_outputs_of_horizons_at_once():
    features = replace(AHEAD, n_past=1, n_numbers=0)
    panel = panel_of(past=["x"])
    data, network = data_of(panel, features), network_of(features=features)
    made = forecast_of(network, panel, data, 0, 20, horizon=6)
    assert made.shape == (1, 3, 2)
    data.values[20:, 2] = 1e6
    np.testing.assert_array_equal(forecast_of(network, panel, data, 0, 20, horizon=6), made)
    data.values[19, 2] += 1.0
    changed = forecast_of(network, panel, data, 0, 20, horizon=6)
    assert np.abs(changed - made).min() > 1e-4


# ------------------------------------------------------------------------ runs


def test_run_of_stride_one_is_the_window_that_ends_at_the_cutoff():
    runs = Runs(np.array([0, 0]), np.array([20, 4]), np.array([3]), W, 1, 1)
    assert runs.start[runs.run].tolist() == [20 + 1 - W, 1]
    assert runs.step.tolist() == [W - 1, 3]
    assert runs.length[runs.run].tolist() == [W, 4]


def test_runs_start_on_a_grid_of_the_timeline():
    # Series of origin 3, stride 8, window 8. Cutoff 20 is position 23: its run ends before 24
    # and starts at 16, row 13. Cutoff 19 is in the cell before: position 8, row 5.
    runs = Runs(np.zeros(4, dtype=int), np.array([20, 19, 27, 12]), np.array([3]), 8, 8, 1)
    assert runs.start[runs.run].tolist() == [13, 5, 13, 5]
    assert runs.step.tolist() == [7, 14, 14, 7]
    assert len(runs.start) == 2
    assert runs.length[runs.run].tolist() == [15] * 4


@pytest.mark.parametrize("stride", [1, 3, W])
def test_every_run_has_the_window_or_begins_with_its_series(stride):
    origin = np.array([0, 5, 17])
    series, cutoff = np.repeat([0, 1, 2], 60), np.tile(np.arange(1, 61), 3)
    runs = Runs(series, cutoff, origin, W, stride, 1)
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
    together = Runs(np.zeros_like(cutoff), cutoff, origin, W, stride, 1)
    for i, c in enumerate(cutoff):
        alone = Runs(np.zeros(1, dtype=int), np.array([c]), origin, W, stride, 1)
        assert alone.start[0] == together.start[together.run[i]]


@pytest.mark.parametrize("patch_length", [2, 3])
@pytest.mark.parametrize("stride", [1, W])
def test_run_of_patches_ends_at_its_cutoff_and_begins_after_the_first_row(stride, patch_length):
    origin = np.array([0, 5, 17])
    series, cutoff = np.repeat([0, 1, 2], 60), np.tile(np.arange(1, 61), 3)
    runs = Runs(series, cutoff, origin, W, stride, patch_length)
    start = runs.start[runs.run]
    assert (runs.series[runs.run] == series).all()
    assert (start + patch_length * runs.step == cutoff).all()
    assert (start >= 1).all()
    assert (runs.step >= 0).all()
    assert (runs.length[runs.run] > runs.step).all()
    # As long as the window, up to what is left of a patch, or all that the series has.
    taken = cutoff - start + 1
    assert ((taken > W - patch_length) | (start <= patch_length)).all()
    assert (taken < W + stride).all()


def test_runs_of_patches_by_hand():
    runs = Runs(np.zeros(4, dtype=int), np.array([20, 19, 4, 1]), np.array([0]), 6, 1, 3)
    # The window begins at 15, 14, 1 and 1; then on to a whole number of patches.
    assert runs.start[runs.run].tolist() == [17, 16, 1, 1]
    assert runs.step.tolist() == [1, 1, 1, 0]


@pytest.mark.parametrize("stride", [1, W])
def test_rows_dropped_before_the_context_do_not_change_a_forecast(stride):
    panel = panel_of()
    tail = panel.tail(W + stride + FULL.history)
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
    ahead = network_of(features=AHEAD)
    assert forecast_of(ahead, panel, data_of(panel, AHEAD), none, none).shape == (0, 3, 2)


def test_forecasts_keep_no_graph_and_change_no_data():
    panel = panel_of()
    network, data = network_of(), data_of(panel)
    values = data.values.clone()
    assert isinstance(forecast_of(network, panel, data, 0, 20, horizon=3), np.ndarray)
    assert torch.equal(data.values, values)
