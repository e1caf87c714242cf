"""The start of training: linear forecasts fitted, and weights of the mix from errors."""

from __future__ import annotations

import torch
from torch import Tensor

from skrnn.features.device_panel import DevicePanel
from skrnn.features.direct_forecast import DirectForecast
from skrnn.features.naive_forecasts import NaiveForecasts
from skrnn.network.network import RecurrentNetwork, error_weights
from skrnn.network.randomness import RandomStreams
from skrnn.training.chunks import Chunks
from skrnn.training.least_squares import LeftOut, fit_linear
from skrnn.training.prior import NaivePrior
from skrnn.training.stacking import stacked_weights

# A weight below this counts as this, so that it has a logarithm.
LEAST_WEIGHT = 1e-9
# Chunks on which naive forecasts are compared over a season: short ones, so that a few batches
# hold many seasons of many series.
COMPARED_CHUNK_STEPS, COMPARED_CHUNKS_PER_BATCH = 32, 16


@torch.no_grad()
def start(network: RecurrentNetwork, chunks: Chunks, streams: RandomStreams) -> None:
    """Let training start from the mix of naive and linear forecasts that is best on these rows."""
    left_out = fit_linear_forecasts(network, chunks)
    errors = network.naive_forecasts.errors(chunks.epoch())
    season_errors = None
    if network.ahead is not None:
        compared = Chunks(
            chunks.data.with_features(network.ahead),
            chunks.stop,
            COMPARED_CHUNK_STEPS,
            COMPARED_CHUNKS_PER_BATCH,
            "dense",
            streams.numpy.spawn(1)[0],
            visits_per_target=len(network.ahead.horizons),
        )
        if network.direct is None:
            naive_forecasts = NaiveForecasts(network.ahead).to(chunks.data.device)
            ahead_errors = naive_forecasts.errors(compared.epoch())
        else:
            ahead_errors = network.direct.naive_forecasts.errors(compared.epoch())
            _weigh(network.direct, compared.data, ahead_errors, left_out)
        season_errors = ahead_errors.mean(0, keepdim=True)
    prior = NaivePrior(network, chunks.n_observations)
    network.start_from(errors, season_errors, prior.weight)
    if network.ahead is None and left_out is not None:
        weights = network.initial_weights()
        weights = stacked_weights(network.naive_forecasts, chunks.data, left_out, weights)
        network.head.mix_bias.copy_(weights.clamp(min=LEAST_WEIGHT).log())


def _weigh(
    direct: DirectForecast, data: DevicePanel, errors: Tensor, left_out: LeftOut | None
) -> None:
    """Set the weights of the direct forecast."""
    weights = error_weights(errors)
    if left_out is not None:
        weights = stacked_weights(direct.naive_forecasts, data, left_out, weights)
    direct.weights.copy_(weights)


def fit_linear_forecasts(network: RecurrentNetwork, chunks: Chunks) -> LeftOut | None:
    """Fit the linear forecasts of the network's mix and of its direct forecast."""
    linear, direct = network.naive_forecasts.linear, network.direct
    if linear is None:
        return None
    if direct is None:
        return fit_linear(linear, chunks.data, chunks.begin, chunks.stop)
    of_direct = direct.naive_forecasts.linear
    assert of_direct is not None  # the mix has one
    data = chunks.data.with_features(direct.features)
    left_out = fit_linear(of_direct, data, chunks.begin, chunks.stop)
    linear.take(of_direct)
    return left_out
