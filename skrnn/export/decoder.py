"""Decoder: the network's inputs of a step, and its forecasts from the recurrent output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from skrnn.distributions.base import LEAST_SCALE
from skrnn.distributions.counts import MEAN_AT_ZERO, Counts
from skrnn.distributions.location_scale import LocationScale
from skrnn.distributions.values import Quantiles
from skrnn.export.graph import FLOAT, Tensor, concat
from skrnn.export.mix import Target, mixed_forecasts, numbers
from skrnn.network.heads import HorizonHead, StepHead
from skrnn.network.network import RecurrentNetwork


def step_inputs(
    network: RecurrentNetwork,
    past: Callable[[Sequence[int]], Tensor],
    observed: Callable[[Sequence[int]], Tensor],
    n_past: Tensor,
    known: Tensor | None,
    codes: Tensor | None,
) -> Tensor:
    """What the recurrent layer reads at each step, (S, L, D); see `RecurrentNetwork.inputs`.

    Parameters
    ----------
    network : RecurrentNetwork
    past, observed : callable
        From offsets before the steps to the scaled values there, (S, L, K, C), and whether they
        were observed.
    n_past : Tensor of shape (S, L)
        Rows before each step.
    known : Tensor of shape (S, L, Q), or None
    codes : Tensor of shape (S, L, E), or None
    """
    features = network.features
    last, lags = past([1]), list(features.lags)

    def exists(offsets: Sequence[int]) -> Tensor:
        return (n_past.unsqueeze(2) >= np.array(offsets)).cast(FLOAT).unsqueeze(3)

    back = list(range(2, features.patch_length + 2))
    changes = (last - past(back)) * exists(back)  # (S, L, patch, C)
    if not features.naive:
        # Without naive forecasts the network must find the level itself; see `Features`.
        before = [changes.part(0, len(back) - 1, 2)] if len(back) > 1 else []
        changes = concat([last, *before], 2)
    channels = [changes]
    if lags:
        channels.append((past(lags) - last) * exists(lags))
    if features.missing:
        flags = [1 - observed([1])]
        if lags:
            flags.append((1 - observed(lags)) * exists(lags))
    flat = [channel.reshape(0, 0, -1) for channel in channels]
    if known is not None:
        flat.append(known)
    if features.missing:
        flat += [flag.reshape(0, 0, -1) for flag in flags]
    return concat([*flat, *_embedded(network, codes)], 2)


def _embedded(network: RecurrentNetwork, codes: Tensor | None) -> list[Tensor]:
    """The vectors of each category, of codes (..., E)."""
    if codes is None:
        return []
    tables = [codes.graph.constant(numbers(table.weight)) for table in network.embeddings]  # type: ignore
    return [table.take(codes.take(k, 2), 0) for k, table in enumerate(tables)]


def decoded(network: RecurrentNetwork, hidden: Tensor, target: Target) -> Tensor:
    """Parameters of the forecasts, (S, J, C, K), from the recurrent output (S, H).

    Points, trained quantiles, or location and scale; the shape of a distribution is left out.
    """
    features, outputs_of = network.features, HEADS[type(network.head)]
    if not features.n_mixed:
        outputs, _ = outputs_of(network.head, hidden, _known(network, target, None, None))
        return _parameters(network.distribution, outputs)
    naive, exists = mixed_forecasts(network.naive_forecasts, target)
    known = _known(network, target, naive, exists)
    outputs, score = outputs_of(network.head, hidden, known)
    # Where none exists, all share: a softmax of nothing is NaN.
    shared = exists | ~exists.any(3, keepdims=True)
    weights = score.graph.op("Softmax", score.where(shared, -np.inf), axis=-1)
    correction = outputs.part(0, 1, 3) * numbers(network.correction_scale)
    location = correction + (weights * naive).sum(3, keepdims=True)
    n = network.distribution.n_outputs
    outputs = concat([location, outputs.part(1, n, 3)], 3) if n > 1 else location
    return _parameters(network.distribution, outputs)


def _known(
    network: RecurrentNetwork, target: Target, naive: Tensor | None, exists: Tensor | None
) -> Tensor | None:
    """Known inputs of each target, (S, J, Q); None where there are none, or the step has them."""
    if isinstance(network.head, StepHead):
        return None
    channels = [] if target.known is None else [target.known]
    if naive is not None:
        last = target.past.part(0, 1, 1).part(0, network.features.n_outputs, 2).unsqueeze(3)
        relative = (naive - last) * exists.cast(FLOAT)  # type: ignore[union-attr]
        channels.append(relative.reshape(0, 0, -1))
    channels += _embedded(network, target.codes)
    return concat(channels, 2) if channels else None


def _linear(layer: Any, x: Tensor) -> Tensor:
    """A linear layer of torch."""
    result = x.graph.op("MatMul", x, np.ascontiguousarray(numbers(layer.weight).T))
    return result if layer.bias is None else result + numbers(layer.bias)


def _relu(x: Tensor) -> Tensor:
    return x.graph.op("Relu", x)


def _step_head(head: StepHead, hidden: Tensor, known: Tensor | None) -> tuple[Tensor, Any]:
    outputs = _linear(head.correction, _relu(hidden)).reshape(0, *head.shape)
    if head.mix is None:
        return outputs, None
    bias = numbers(head.mix_bias)
    return outputs, _linear(head.mix, hidden).reshape(0, *bias.shape) + bias


def _horizon_head(head: HorizonHead, hidden: Tensor, known: Tensor | None) -> tuple[Tensor, Any]:
    rows = _linear(head.state, hidden).unsqueeze(1)
    if head.known is not None and known is not None:
        rows = rows + _linear(head.known, known)
    rows = _relu(rows + numbers(head.horizon))  # (S, J, width)
    outputs = _linear(head.correction, rows).reshape(0, 0, *head.shape[1:])
    outputs = outputs + _linear(head.direct, hidden).reshape(0, *head.shape)
    if head.mix is None:
        return outputs, None
    bias = numbers(head.mix_bias)
    return outputs, _linear(head.mix, rows).reshape(0, 0, *bias.shape[1:]) + bias


HEADS: dict[type, Callable[..., tuple[Tensor, Any]]] = {
    StepHead: _step_head,
    HorizonHead: _horizon_head,
}


def _parameters(distribution: Any, outputs: Tensor) -> Tensor:
    """Parameters in their ranges, from outputs (S, J, C, K); see `Distribution.forward`."""
    if isinstance(distribution, Quantiles):
        return _ascending(distribution, outputs)
    location = outputs.part(0, 1, 3)
    if isinstance(distribution, Counts):
        square = location * location + 4 * MEAN_AT_ZERO**2
        return (location + square.graph.op("Sqrt", square)) / 2
    if isinstance(distribution, LocationScale):
        scale = outputs.part(1, 2, 3)
        return concat([location, scale.graph.op("Softplus", scale) + LEAST_SCALE], 3)
    return location


def _ascending(distribution: Quantiles, outputs: Tensor) -> Tensor:
    """The trained quantiles, each a positive distance further out than the one before."""
    n, middle = distribution.n_outputs, distribution.middle
    location, gaps = outputs.part(0, 1, 3), outputs.part(1, n, 3)
    gaps = gaps.graph.op("Softplus", gaps)
    # Which distances add up to each quantile, with their sign.
    level, gap = np.arange(n)[None, :], np.arange(n - 1)[:, None]
    above = (gap >= middle) & (gap < level)
    below = (gap < middle) & (gap >= level)
    signs = above.astype(np.float32) - below.astype(np.float32)
    return location + gaps.graph.op("MatMul", gaps, signs)


def point_of(distribution: Any, parameters: Tensor) -> Tensor:
    """The point forecast, (S, J, C), from the parameters (S, J, C, K)."""
    if not isinstance(distribution, Quantiles):
        return parameters.take(0, 3)
    weights = distribution.weights([0.5]).astype(parameters.dtype)
    return parameters.graph.op("MatMul", parameters, weights).squeeze(3)
