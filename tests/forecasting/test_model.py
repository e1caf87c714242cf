import re
from dataclasses import replace
from itertools import count

import numpy as np
import pandas as pd
import pytest
import torch
from small_networks import (
    AT_ONCE,
    FULL,
    W,
    data_of,
    decoder_of,
    forecast_of,
    model_of,
    network_of,
    panel_of,
)

from skrnn import GRUForecaster
from skrnn.data.scaling import Scaler
from skrnn.distributions import Normal, Quantiles, StudentT
from skrnn.forecasting import decoding
from skrnn.network.network import RecurrentNetwork

pytestmark = pytest.mark.usefixtures("one_thread")

SERIES, ROWS = np.array([0, 2, 1]), np.array([20, 9, 5])


def scaled_apart(panel):
    """The panel in other units, one for each series and column, and the scaler to the old ones."""
    scaler = Scaler(None).fit(panel.values, panel.series_of_rows())
    shape = scaler.center_.shape
    scaler.center_ = 1000.0 * np.arange(1, 1 + np.prod(shape)).reshape(shape)
    scaler.scale_ = 10.0 ** np.arange(np.prod(shape)).reshape(shape)
    group = panel.series_of_rows()
    return replace(
        panel, values=panel.values * scaler.scale_[group] + scaler.center_[group]
    ), scaler


@pytest.mark.parametrize("features", [FULL, AT_ONCE], ids=["step by step", "at once"])
def test_forecasts_are_in_the_unit_of_each_series_and_column(features):
    panel = panel_of()
    network, steps = network_of(features=features), np.array([1, 2, 6])
    distribution, expected = model_of(network, panel).forecast(panel, SERIES, ROWS, steps)
    other, scaler = scaled_apart(panel)
    model = replace(model_of(network, panel), scaler=scaler)
    forecast = distribution.point(model.forecast(other, SERIES, ROWS, steps)[1])
    center, scale = scaler.center_[SERIES][:, None], scaler.scale_[SERIES][:, None]
    expected = distribution.point(expected)
    np.testing.assert_allclose((forecast - center) / scale, expected, rtol=0, atol=1e-4)
    assert forecast.shape == (3, 3, 2)


@pytest.mark.parametrize("distribution", [Normal(), StudentT(), Quantiles([0.1, 0.5, 0.8])])
def test_quantiles_are_in_the_unit_of_each_series_and_column(distribution):
    panel = panel_of()
    network, steps = network_of(features=AT_ONCE, distribution=distribution), np.array([2, 6])
    other, scaler = scaled_apart(panel)
    model = replace(model_of(network, panel), scaler=scaler)
    levels = [0.05, 0.5, 0.9]
    quantiles, unscaled = (
        network.distribution.quantiles(m.forecast(p, SERIES, ROWS, steps)[1], levels)
        for m, p in ((model, other), (model_of(network, panel), panel))
    )
    center, scale = (a[SERIES][:, None, :, None] for a in (scaler.center_, scaler.scale_))
    np.testing.assert_allclose((quantiles - center) / scale, unscaled, rtol=0, atol=1e-4)


def too_large(monkeypatch, most, error):
    """Let passes over more than so many steps of the network run out of memory; list all passes."""
    inputs, passes = RecurrentNetwork.inputs, []

    def limited(self, steps):
        passes.append(steps.past[..., 0, 0].numel())
        if passes[-1] > most:
            raise error
        return inputs(self, steps)

    monkeypatch.setattr(RecurrentNetwork, "inputs", limited)
    return passes


@pytest.mark.parametrize("features", [FULL, AT_ONCE], ids=["step by step", "at once"])
def test_batch_that_does_not_fit_into_memory_is_halved_until_it_does(monkeypatch, features):
    panel, steps = panel_of(), np.array([1, 2, 6])
    model = model_of(network_of(features=features), panel)
    _, expected = model.forecast(panel, SERIES, ROWS, steps)
    monkeypatch.setattr(decoding, "STEPS_AT_ONCE", 64)
    passes = too_large(monkeypatch, 14, torch.cuda.OutOfMemoryError("CUDA out of memory."))
    _, found = model.forecast(panel, SERIES, ROWS, steps)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert max(passes) > 14 >= passes[-1]


def test_paths_in_smaller_batches_begin_with_the_same_random_numbers(monkeypatch):
    panel, steps = panel_of(), np.array([1, 2])
    model = model_of(network_of(distribution=Normal()), panel)
    monkeypatch.setattr(decoding, "STEPS_AT_ONCE", 1)  # a run at a time, as after the halving
    args = panel, SERIES, ROWS, steps, 5
    _, expected = model.forecast(*args, torch.Generator().manual_seed(1))
    monkeypatch.setattr(decoding, "STEPS_AT_ONCE", 64)
    too_large(monkeypatch, 7, RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    _, found = model.forecast(*args, torch.Generator().manual_seed(1))
    np.testing.assert_array_equal(found, expected)


def test_paths_that_are_begun_anew_draw_the_same_random_numbers(monkeypatch):
    panel, steps = panel_of(), np.array([1, 2])
    model = model_of(network_of(distribution=Normal()), panel)
    monkeypatch.setattr(decoding, "STEPS_AT_ONCE", 1)  # a run at a time
    args = panel, SERIES, ROWS, steps, 5
    _, expected = model.forecast(*args, torch.Generator().manual_seed(1))
    inputs, passes = RecurrentNetwork.inputs, count()

    def fails_once(self, steps):
        if next(passes) == 3:  # after the paths of the first cutoff
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return inputs(self, steps)

    monkeypatch.setattr(RecurrentNetwork, "inputs", fails_once)
    _, found = model.forecast(*args, torch.Generator().manual_seed(1))
    np.testing.assert_array_equal(found, expected)
    assert next(passes) > 4


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
    ids=["allocator", "runtime", "cuDNN", "cuBLAS"],
)
def test_forecast_that_never_fits_into_memory_names_the_settings(monkeypatch, error):
    panel = panel_of()
    model = model_of(network_of(), panel)
    passes = too_large(monkeypatch, 0, error)
    with pytest.raises(MemoryError, match=rf"{re.escape(str(error))} Lower batch_size"):
        model.forecast(panel, SERIES, ROWS, np.array([1]))
    assert len(passes) == 11  # divided by 1 to 1,024


def test_other_errors_of_a_forecast_are_raised_at_once(monkeypatch):
    panel = panel_of()
    passes = too_large(monkeypatch, 0, RuntimeError("sizes differ"))
    with pytest.raises(RuntimeError, match="sizes differ"):
        model_of(network_of(), panel).forecast(panel, SERIES, ROWS, np.array([1]))
    assert len(passes) == 1


class ShiftOf:
    """A level shift that changes no panel, and by each position's number the forecasts before."""

    def removed(self, panel):
        return panel

    def before(self, series, positions):
        return np.stack([positions * 1000.0, series[:, None] + 0.0 * positions], axis=-1)


def test_level_before_a_shift_is_taken_from_forecasts_at_their_positions():
    panel, steps = panel_of(), np.array([1, 2, 6])
    model = model_of(network_of(), panel)
    distribution, expected = model.forecast(panel, SERIES, ROWS, steps)
    shifted = replace(model, level_shift=ShiftOf())
    change = distribution.point(shifted.forecast(panel, SERIES, ROWS, steps)[1])
    change = change - distribution.point(expected)
    positions = (panel.origin[SERIES] + ROWS)[:, None] + steps - 1
    np.testing.assert_allclose(change[..., 0], -1000.0 * positions, rtol=1e-6)
    np.testing.assert_allclose(change[..., 1], -SERIES[:, None] + 0.0 * steps, atol=1e-5)


def test_model_multiplies_in_full_precision_unless_told():
    assert not model_of(network_of(), panel_of()).allows_tf32


def test_past_covariates_are_no_columns_of_the_forecast():
    features = replace(FULL, n_past=1, n_numbers=0)
    panel = panel_of(past=["x"])
    model = model_of(network_of(features=features), panel)
    distribution, parameters = model.forecast(panel, SERIES, ROWS, np.array([1, 4]))
    forecast = distribution.point(parameters)
    assert forecast.shape == (3, 2, 2)
    data = data_of(panel, features)
    expected = forecast_of(model.network, panel, data, SERIES, ROWS, horizon=4)
    np.testing.assert_allclose(forecast, expected[:, [0, 3], :2], rtol=1e-6)


def test_forecast_is_that_of_runs_with_the_models_window_and_stride():
    panel, steps = panel_of(), np.array([1])
    network = network_of()
    forecasts = []
    for stride, window_length in [(1, W), (W, W), (1, 2 * W)]:
        model = model_of(network, panel, stride, window_length)
        parameters = model.forecast(panel, SERIES, ROWS, steps)[1]
        decoder = decoder_of(network, panel, data_of(panel), SERIES, ROWS, stride, window_length)
        np.testing.assert_allclose(parameters, decoder.parameters(), rtol=1e-6)
        forecasts.append(parameters)
    assert (forecasts[0] != forecasts[1]).any()
    assert (forecasts[0] != forecasts[2]).any()


def test_panel_that_is_on_the_device_already_is_not_put_there_again(monkeypatch):
    panel, steps = panel_of(), np.array([1, 2])
    model = model_of(network_of(), panel)
    data = model.on_device(panel)
    expected = model.forecast(panel, SERIES, ROWS, steps)[1]
    monkeypatch.setattr(type(model), "on_device", None)
    np.testing.assert_array_equal(
        model.forecast(panel, SERIES, ROWS, steps, data=data)[1], expected
    )


def test_forecasting_changes_no_weight():
    panel = panel_of()
    network = network_of()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    model_of(network, panel).forecast(panel, SERIES, ROWS, np.arange(1, 5))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module.training for module in network.modules())


@pytest.mark.parametrize(("precision", "allowed"), [("float32", False), ("tf32", True)])
def test_tf32_is_used_in_forecasts_only_if_it_was_chosen(monkeypatch, precision, allowed):
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    used = []
    parameters = decoding.Decoder.parameters

    def recorded(decoder):
        used.append((cudnn.allow_tf32, matmul.allow_tf32))
        return parameters(decoder)

    y = pd.Series(np.arange(60.0))
    forecaster = GRUForecaster(hidden_size=4, num_epochs=1, precision=precision, random_state=0)
    forecaster.fit(y)
    monkeypatch.setattr(decoding.Decoder, "parameters", recorded)
    forecaster.predict([1])
    assert used == [(allowed, allowed)]
    assert (cudnn.allow_tf32, matmul.allow_tf32) == before


def test_model_for_other_series_keeps_all_but_the_scaler():
    panel = panel_of()
    model = model_of(network_of(), panel)
    other = model.without_series()
    assert other.scaler is None
    assert other.network is model.network
    assert other.known_scaler is model.known_scaler
    assert model.scaler is not None
