# `values` is an array of ours here, never that of pandas.
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_networks import (
    AT_ONCE,
    FULL,
    LENGTHS,
    W,
    data_of,
    decoder_of,
    forecast_by_hand,
    forecast_of,
    network_at,
    network_of,
    panel_of,
    put,
    start_of,
    with_values,
)

from skrnn.distributions import Normal, Quantiles
from skrnn.features.features import Features
from skrnn.features.means import PathMeans
from skrnn.forecasting import decoding
from skrnn.forecasting.decoding import Runs
from skrnn.forecasting.strategies import Recursive
from skrnn.naive import naive_kinds
from skrnn.network.cells import CELLS
from skrnn.network.threads import whole_operators

pytestmark = pytest.mark.usefixtures("one_thread")

N_PATHS = 3000

# ------------------------------------------------------------------- by hand


@pytest.mark.parametrize("horizon", [1, 2, 7])
@pytest.mark.parametrize("stride", [1, W])
@pytest.mark.parametrize("cell", CELLS)
def test_forecast_matches_one_step_forecasts_fed_back_by_hand(cell, stride, horizon):
    panel = panel_of()
    data, network = data_of(panel), network_of(cell, num_layers=2)
    for series, cutoff in [(0, 23), (0, 20), (1, 5), (1, 1), (2, 14), (2, 3)]:
        forecast = forecast_of(network, panel, data, series, cutoff, stride, horizon)[0]
        expected = forecast_by_hand(network, panel, data, series, cutoff, stride, horizon)
        np.testing.assert_allclose(forecast, expected, rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("cell", CELLS)
def test_second_step_is_a_first_step_from_the_carried_state(cell):
    panel, series, cutoff = panel_of(), 0, 15
    data, network = data_of(panel), network_of(cell)
    forecast = forecast_of(network, panel, data, series, cutoff, horizon=2)[0]

    first, state = network_at(network, data, series, cutoff + 1 - W, W)
    np.testing.assert_allclose(forecast[0], first[-1, 0, :, 0], rtol=0, atol=1e-5)
    put(data, panel, series, cutoff, first[-1, 0, :, 0])
    second, _ = network_at(network, data, series, cutoff + 1, 1, state)
    np.testing.assert_allclose(forecast[1], second[0, 0, :, 0], rtol=0, atol=1e-5)
    unaware, _ = network_at(network, data, series, cutoff + 1, 1)
    assert not torch.allclose(unaware, second, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("stride", [1, W])
@pytest.mark.parametrize("cell", CELLS)
def test_horizons_are_forecast_at_once_from_the_cutoff(cell, stride):
    panel = panel_of()
    data, network = data_of(panel, AT_ONCE), network_of(cell, AT_ONCE)
    for series, cutoff in [(0, 23), (0, 20), (1, 5), (1, 1), (2, 14), (2, 3)]:
        forecast = forecast_of(network, panel, data, series, cutoff, stride)[0]
        start = start_of(panel, series, cutoff, stride)
        expected = network_at(network, data, series, start, cutoff + 1 - start)[0][-1, ..., 0]
        assert forecast.shape == (3, 2)
        np.testing.assert_allclose(forecast, expected, rtol=0, atol=1e-5)


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
    for forecast, s, c in zip(together, series[order], cutoff[order], strict=True):
        alone = forecast_of(network, panel, data, s, c, stride, horizon)[0]
        np.testing.assert_allclose(forecast, alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("limit", ["STEPS_AT_ONCE", "VALUES_AT_ONCE"])
@pytest.mark.parametrize("at_once", [1, 20, 40, 200])
@pytest.mark.parametrize("horizon", [1, 4])
@pytest.mark.parametrize("stride", [1, W])
def test_small_passes_give_the_values_of_a_large_one(monkeypatch, limit, at_once, horizon, stride):
    panel = panel_of()
    data, network = data_of(panel), network_of("lstm")
    series = np.repeat([0, 1, 2], 7)
    cutoff = np.tile(np.arange(1, 8), 3)[::-1].copy()
    large = forecast_of(network, panel, data, series, cutoff, stride, horizon)
    monkeypatch.setattr(decoding, limit, at_once)
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


@pytest.mark.parametrize("n_samples", [0, 3])
def test_two_threads_forecast_and_draw_what_one_does(monkeypatch, two_threads, n_samples):
    monkeypatch.setattr(decoding, "FEWEST_OF_THREAD", 2)
    panel = panel_of()
    network = network_of(distribution=Normal()) if n_samples else network_of()
    series, cutoff = np.repeat([0, 1, 2], 3), np.tile([3, 5, 6], 3)
    decoder = decoder_of(network, panel, data_of(panel), series, cutoff)
    made = []
    for threads in (nullcontext(), whole_operators()):
        with threads:
            generator = torch.Generator().manual_seed(0) if n_samples else None
            made.append(decoder.paths(4, n_samples, generator))
    np.testing.assert_allclose(*made, rtol=0, atol=1e-6)


# ------------------------------------------------------------------ the future


def from_the_cutoffs_on(panel, cutoffs, value):
    """The panel with every value from the cutoffs on replaced."""

    def change(values):
        for first, last, cutoff in zip(panel.offsets[:-1], panel.offsets[1:], cutoffs, strict=True):
            values[first + cutoff : last] = value

    return with_values(panel, change)


@pytest.mark.parametrize("value", [1e6, np.nan])
@pytest.mark.parametrize("horizon", [1, 5])
@pytest.mark.parametrize("stride", [1, W])
def test_forecast_knows_no_value_at_or_after_its_cutoff(value, horizon, stride):
    panel, network, cutoffs = panel_of(), network_of(), np.array([20, 6, 9])
    changed = from_the_cutoffs_on(panel, cutoffs, value)
    before, after = (
        forecast_of(network, p, data_of(p), np.arange(3), cutoffs, stride, horizon)
        for p in (panel, changed)
    )
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
        # Of the run's first step.
        (replace(FULL, naive=naive_kinds(("last", "seasonal"))), 25 + 1 - W - 4),
        # Means of two seasons.
        (replace(FULL, naive=naive_kinds(("last", "mean", "leveled"))), 25 - 2 * 5),
        # The oldest of three seasons.
        (FULL, 25 - 3 * 5),
    ],
    ids=["lags", "means", "seasons"],
)
def test_forecast_forgets_what_lies_before_its_run_lags_and_naive_forecasts(features, known):
    panel, network = panel_of(), network_of(features=features)

    def forecast(change):
        changed = with_values(panel, change)
        data = data_of(changed, features)
        return forecast_of(network, changed, data, 0, 25, horizon=3)

    def replace_before(values):
        values[:known] = 1e6

    def replace_up_to(values):
        values[: known + 1] = 1e6

    before = forecast(lambda values: None)
    np.testing.assert_array_equal(forecast(replace_before), before)
    assert (forecast(replace_up_to) != before).any()


@pytest.mark.parametrize("glitch", [1e6, 1e30, np.nan])
@pytest.mark.parametrize("features", [FULL, AT_ONCE], ids=["step by step", "at once"])
def test_other_series_play_no_part(features, glitch):
    panel, network = panel_of(), network_of(features=features)

    def change(values):
        values[: panel.offsets[1]] = values[panel.offsets[2] :] = glitch

    changed = with_values(panel, change)
    before, after = (
        forecast_of(network, p, data_of(p, features), [1, 1], [1, 5], horizon=5)
        for p in (panel, changed)
    )
    np.testing.assert_array_equal(after, before)


# -------------------------------------------------------------------- trailing means


@pytest.mark.parametrize("naive", [("leveled",), ("mean",), ("mean", "drift", "leveled")])
def test_means_of_values_appended_are_those_of_the_panel(naive):
    features = Features((3, 5), (), naive_kinds(naive), (), 2, Recursive())
    panel, stop = panel_of(), 12  # values of each series, known or appended
    data = data_of(panel, features)
    series = torch.arange(3)
    for known in (1, 4, 7, 11):
        n_past = features.history
        back = torch.full((3, 1), known) - torch.arange(n_past, 0, -1)
        rows = data.rows(series, back)
        room = torch.full((3, stop - known, 2), torch.nan)
        values = torch.cat([data.values[rows], room], dim=1)
        count = torch.full((3,), known)
        means = PathMeans(values, data.means[rows], count, features.mean_periods, data.mean_offsets)
        for t in range(known, stop):
            expected = data.targets(series, torch.full((3, 1), t)).means
            row = n_past + t - known
            torch.testing.assert_close(means.before(row), expected, rtol=0, atol=1e-5)
            values[:, row] = data.values[data.first + t]
            means.append(row)


# --------------------------------------------------------- horizons at once


@pytest.mark.parametrize("value", [1e6, 0.0, np.nan])
@pytest.mark.parametrize("stride", [1, W])
def test_forecast_of_horizons_knows_no_value_at_or_after_its_cutoff(value, stride):
    panel, network, cutoffs = panel_of(), network_of(features=AT_ONCE), np.array([20, 6, 9])
    changed = from_the_cutoffs_on(panel, cutoffs, value)
    before, after = (
        forecast_of(network, p, data_of(p, AT_ONCE), np.arange(3), cutoffs, stride)
        for p in (panel, changed)
    )
    np.testing.assert_array_equal(after, before)


def test_forecast_of_horizons_knows_calendar_and_X_of_each_target():
    panel, cutoff = panel_of(), 12
    network = network_of(features=AT_ONCE)
    before = forecast_of(network, panel, data_of(panel, AT_ONCE), 0, cutoff)[0]
    for name in ("calendar", "numbers"):
        for j, h in enumerate(AT_ONCE.horizons):
            data = data_of(panel, AT_ONCE)
            getattr(data, name)[cutoff + h - 1] += 1.0
            after = forecast_of(network, panel, data, 0, cutoff)[0]
            others = [k for k in range(3) if k != j]
            assert np.abs(after[j] - before[j]).min() > 1e-4
            if h > 1:  # the step itself is an input of the recurrent layer
                np.testing.assert_array_equal(after[others], before[others])


@pytest.mark.parametrize("at_once", [1, 3, 8])
def test_few_forecasts_at_once_give_the_values_of_many(monkeypatch, at_once):
    panel = panel_of()
    data, network = data_of(panel, AT_ONCE), network_of(features=AT_ONCE)
    series, cutoff = np.repeat([0, 1, 2], 7), np.tile(np.arange(1, 8), 3)
    many = forecast_of(network, panel, data, series, cutoff, W)
    monkeypatch.setattr(decoding, "FORECASTS_AT_ONCE", at_once)
    few = forecast_of(network, panel, data, series, cutoff, W)
    np.testing.assert_allclose(few, many, rtol=0, atol=1e-5)


# ------------------------------------------------------------------- patches


@torch.no_grad()
@pytest.mark.parametrize("stride", [1, W])
def test_last_patch_of_a_forecast_ends_at_its_cutoff(stride):
    features = replace(AT_ONCE, patch_length=3)
    panel = panel_of()
    data, network = data_of(panel, features), network_of(features=features)
    for series, cutoff, start in [
        (0, 10, {1: 7, W: 1}),
        (0, 2, {1: 2, W: 2}),
        (1, 5, {1: 2, W: 2}),
    ]:
        forecast = forecast_of(network, panel, data, series, cutoff, stride)[0]
        length = (cutoff - start[stride]) // 3 + 1
        expected = network_at(network, data, series, start[stride], length)[0][-1, ..., 0]
        np.testing.assert_allclose(forecast, expected, rtol=0, atol=1e-5)


# ------------------------------------------------- distributions and samples


@torch.no_grad()
@pytest.mark.parametrize("features", [FULL, AT_ONCE], ids=["step", "horizons"])
@pytest.mark.parametrize("distribution", [Normal(), Quantiles([0.1, 0.5, 0.8])])
def test_parameters_of_one_step_or_several_at_once_are_those_of_the_network(distribution, features):
    panel = panel_of()
    data = data_of(panel, features)
    network = network_of(features=features, distribution=distribution)
    parameters = decoder_of(network, panel, data, [0, 2], [20, 9], W).parameters()
    for k, (series, cutoff) in enumerate([(0, 20), (2, 9)]):
        start = start_of(panel, series, cutoff, W)
        expected = network_at(network, data, series, start, cutoff + 1 - start)[0][-1]
        np.testing.assert_allclose(parameters[k], expected, rtol=0, atol=1e-5)


def test_several_steps_one_after_the_other_go_on_from_the_points():
    panel = panel_of()
    data, network = data_of(panel), network_of(distribution=Normal())
    paths = decoder_of(network, panel, data, 0, 20).paths(4)
    assert paths.shape == (1, 4, 2, 1)
    expected = forecast_by_hand(network, panel, data, 0, 20, 1, 4)
    np.testing.assert_allclose(paths[0, ..., 0], expected, rtol=0, atol=1e-5)


def paths_of(network, panel, data, series, cutoff, n_paths=N_PATHS, horizon=3, seed=0):
    """Simulated paths, (n, H, C, V)."""
    generator = torch.Generator().manual_seed(seed)
    return decoder_of(network, panel, data, series, cutoff).paths(horizon, n_paths, generator)


def test_sampled_first_step_has_the_location_and_scale_of_the_network():
    panel = panel_of()
    data, network = data_of(panel), network_of(distribution=Normal())
    paths = paths_of(network, panel, data, [0, 2], [20, 9])
    parameters = decoder_of(network, panel, data, [0, 2], [20, 9]).parameters()
    location, scale = np.moveaxis(parameters[:, 0], -1, 0)
    error = scale / np.sqrt(N_PATHS)
    assert (np.abs(paths[:, 0].mean(-1) - location) < 4 * error).all()
    np.testing.assert_allclose(paths[:, 0].std(-1), scale, rtol=0.06)


@pytest.mark.parametrize("cell", CELLS)
def test_each_step_of_a_path_goes_on_from_its_own_draw(cell):
    # Several series: each path must carry the state, the values and the means of its own one.
    panel, n = panel_of(), 20
    data, network = data_of(panel), network_of(cell, num_layers=2, distribution=Normal())
    series, cutoff = np.array([2, 0, 1]), np.array([14, 20, 5])
    paths = paths_of(network, panel, data, series, cutoff, n)
    noise = torch.Generator().manual_seed(0)
    # The draws follow the order of the series.
    drawn = [torch.empty(3 * n, 2).normal_(generator=noise).view(3, n, 2) for _ in range(3)]
    for k, s in enumerate(series):
        for v in (0, 7, n - 1):
            kept = data.values.clone(), data.means.clone()
            for h in range(3):
                decoder = decoder_of(network, panel, data, s, cutoff[k] + h, window_length=W + h)
                location, scale = decoder.parameters()[0, 0].T
                expected = location + scale * drawn[h][s, v].numpy()
                np.testing.assert_allclose(paths[k, h, :, v], expected, rtol=0, atol=1e-4)
                put(data, panel, s, cutoff[k] + h, paths[k, h, :, v])
            data.values, data.means = kept


def test_paths_of_a_seed_return_and_those_of_another_differ():
    panel = panel_of()
    data, network = data_of(panel), network_of(distribution=Normal())
    one, same, other = (
        paths_of(network, panel, data, [0, 1], [20, 6], 5, seed=seed) for seed in (1, 1, 2)
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
    data, network = data_of(panel, features), network_of(features=features)
    forecast = forecast_of(network, panel, data, 0, 20, horizon=horizon)[0]
    data.observed[20:] = True
    expected = forecast_by_hand(network, panel, data, 0, 20, 1, horizon)
    np.testing.assert_allclose(forecast, expected, rtol=0, atol=1e-5)
    data.observed[19] = True  # it was filled, but the network is shown an observation
    assert (forecast_of(network, panel, data, 0, 20, horizon=horizon)[0] != forecast).all()


@pytest.mark.parametrize("horizon", [1, 4])
def test_past_covariates_are_forecast_along_step_by_step(horizon):
    features = replace(FULL, n_past=1, n_numbers=0)
    panel = panel_of(past=["x"])
    assert panel.values.shape[1] == 3
    data, network = data_of(panel, features), network_of(features=features)
    for series, cutoff in [(0, 20), (1, 5)]:
        forecast = forecast_of(network, panel, data, series, cutoff, horizon=horizon)[0]
        expected = forecast_by_hand(network, panel, data, series, cutoff, 1, horizon)
        assert forecast.shape == (horizon, 3)
        np.testing.assert_allclose(forecast, expected, rtol=0, atol=1e-5)


def test_past_covariates_are_inputs_but_no_outputs_of_horizons_at_once():
    features = replace(AT_ONCE, n_past=1, n_numbers=0)
    panel = panel_of(past=["x"])
    data, network = data_of(panel, features), network_of(features=features)
    before = forecast_of(network, panel, data, 0, 20)
    assert before.shape == (1, 3, 2)
    data.values[20:, 2] = 1e6
    np.testing.assert_array_equal(forecast_of(network, panel, data, 0, 20), before)
    data.values[19, 2] += 1.0
    changed = forecast_of(network, panel, data, 0, 20)
    assert np.abs(changed - before).min() > 1e-4


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


@pytest.mark.parametrize("horizon", [1, 3])
def test_no_cutoff_makes_no_forecast(horizon):
    panel, none = panel_of(), np.zeros(0, dtype=int)
    forecast = forecast_of(network_of(), panel, data_of(panel), none, none, horizon=horizon)
    assert forecast.shape == (0, horizon, 2)
    at_once = network_of(features=AT_ONCE)
    assert forecast_of(at_once, panel, data_of(panel, AT_ONCE), none, none).shape == (0, 3, 2)


def test_forecasts_keep_no_graph_and_change_no_data():
    panel = panel_of()
    network, data = network_of(), data_of(panel)
    values = data.values.clone()
    assert isinstance(forecast_of(network, panel, data, 0, 20, horizon=3), np.ndarray)
    assert torch.equal(data.values, values)
