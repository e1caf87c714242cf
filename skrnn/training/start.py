"""The start of training: linear forecasts fitted, and weights of the mix from errors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from skrnn.features.device_panel import DevicePanel
from skrnn.features.direct_forecast import DirectForecast
from skrnn.features.naive_forecasts import NaiveForecasts
from skrnn.network.network import RecurrentNetwork, error_weights
from skrnn.network.randomness import RandomStreams
from skrnn.training.chunks import Chunks
from skrnn.training.least_squares import LeftOut, fit_linear
from skrnn.training.prior import NaivePrior, certainty_of_errors
from skrnn.training.stacking import stacked_weights

# A weight below this counts as this, so that it has a logarithm.
LEAST_WEIGHT = 1e-9
# Chunks on which naive forecasts are compared over a season: short ones, so that a few batches
# hold many seasons of many series.
COMPARED_CHUNK_STEPS, COMPARED_CHUNKS_PER_BATCH = 32, 16
# Steps among which these chunks are drawn at most, about: they take 1 GB.
MOST_COMPARED_STEPS = 2**27


@torch.no_grad()
def start(network: RecurrentNetwork, chunks: Chunks, streams: RandomStreams) -> Tensor:
    """Let training start from the mix of naive and linear forecasts that is best on these rows.

    Returns
    -------
    Tensor of shape (J, C, N)
        The scores of the mix.
    """
    errors, season_errors, left_out = _compared(network, chunks, streams)
    prior = NaivePrior(network, chunks.n_observations)
    network.start_from(errors, season_errors, prior.weight, _certainty(network, chunks))
    scores = _stacked(network, chunks, network.head.mix_bias.detach().clone(), left_out)
    network.head.mix_bias.copy_(scores)
    return scores


@torch.no_grad()
def start_on_more(
    network: RecurrentNetwork, chunks: Chunks, before: Tensor, streams: RandomStreams
) -> Tensor:
    """Let training go on from where it would start on these rows, plus what has been learned.

    Linear and direct forecasts are fitted anew, and the scores of the mix move as their start does.

    Parameters
    ----------
    before : Tensor of shape (J, C, N)
        The scores from which training on fewer rows started.

    Returns
    -------
    Tensor of shape (J, C, N)
        The scores from which it would start on these rows.
    """
    if not network.features.n_mixed:
        return before
    errors, season_errors, left_out = _compared(network, chunks, streams)
    prior = NaivePrior(network, chunks.n_observations)
    certainty = _certainty(network, chunks)
    scores = network.initial_scores(errors, season_errors, prior.weight, certainty)
    scores = _stacked(network, chunks, scores, left_out)
    network.head.mix_bias.add_(scores - before)
    return scores


def _certainty(network: RecurrentNetwork, chunks: Chunks) -> float:
    return certainty_of_errors(network.features, chunks.n_observations, len(chunks.stop))


def _compared(
    network: RecurrentNetwork, chunks: Chunks, streams: RandomStreams
) -> tuple[Tensor, Tensor | None, LeftOut | None]:
    """Errors of the naive and linear forecasts, fitted to these rows: (J, C, N), (1, C, N).

    The second ones are over a season, of a recursive network.
    """
    left_out = fit_linear_forecasts(network, chunks)
    errors = network.naive_forecasts.errors(chunks.epoch())
    if network.ahead is None:
        return errors, None, left_out
    compared = Chunks(
        chunks.data.with_features(network.ahead),
        chunks.stop,
        COMPARED_CHUNK_STEPS,
        COMPARED_CHUNKS_PER_BATCH,
        "dense",
        streams.numpy.spawn(1)[0],
        since=_latest(chunks),
        visits_per_target=len(network.ahead.horizons),
    )
    if network.direct is None:
        naive_forecasts = NaiveForecasts(network.ahead).to(chunks.data.device)
        ahead_errors = naive_forecasts.errors(compared.epoch())
    else:
        ahead_errors = network.direct.naive_forecasts.errors(compared.epoch())
        _weigh(network.direct, compared.data, ahead_errors, left_out)
    return errors, ahead_errors.mean(0, keepdim=True), left_out


def _stacked(
    network: RecurrentNetwork, chunks: Chunks, scores: Tensor, left_out: LeftOut | None
) -> Tensor:
    """Scores by the errors of the mix, of several horizons at once; (J, C, N).

    ``scores`` are by the error of each forecast alone, which a recursive mix keeps.
    """
    if network.ahead is not None or left_out is None:
        return scores
    weights = stacked_weights(network.naive_forecasts, chunks.data, left_out, scores.softmax(-1))
    return weights.clamp(min=LEAST_WEIGHT).log()


def _latest(chunks: Chunks) -> np.ndarray | int:
    """First of the latest rows of each series, so that all together are not too many."""
    if chunks.n_observations <= MOST_COMPARED_STEPS:
        return 0
    return chunks.stop - max(1, MOST_COMPARED_STEPS // len(chunks.stop))


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
