"""Layers of several models at once are the layers of each, with its own weights."""

import numpy as np
import pytest
import torch

from skrnn.network.layers import GRU, LSTM
from skrnn.network.stacked_layers import (
    packed,
    run_stacked_layer,
    stacked_layer,
    stacked_states,
)

M, B, L, C, H = 3, 11, 12, 5, 7


def case(cls):
    """Networks, their stacked weights, inputs, and first states."""
    torch.manual_seed(0)
    networks = [cls(C, H, batch_first=True) for _ in range(M)]
    weights = [
        torch.stack([network.all_weights[0][i].detach() for network in networks]).requires_grad_()
        for i in range(4)
    ]
    x = torch.randn(M, B, L, C, requires_grad=True)
    first = [torch.randn(M, B, H, requires_grad=True) for _ in range(1 + (cls is LSTM))]
    return networks, weights, x, first


def alone(network, x, first):
    """Output and last states of one network."""
    parts = [part[None] for part in first]
    output, last = network(x, parts[0] if len(parts) == 1 else tuple(parts))
    return output, [last] if len(parts) == 1 else list(last)


@pytest.mark.parametrize("cls", [GRU, LSTM])
def test_outputs_states_and_gradients_are_those_of_each_network(cls):
    networks, weights, x, first = case(cls)
    output, last = stacked_layer(x, tuple(first), tuple(weights))
    loss = sum(
        (part * torch.linspace(-1, 2, part.numel()).view_as(part)).sum() for part in (output, *last)
    )
    loss.backward()
    for m, network in enumerate(networks):
        own_x = x[m].detach().requires_grad_()
        own_first = [part[m].detach().requires_grad_() for part in first]
        own_output, own_last = alone(network, own_x, own_first)
        torch.testing.assert_close(output[m], own_output)
        loss = 0
        for part, own in zip((output, *last), (own_output, *own_last), strict=True):
            factor = torch.linspace(-1, 2, part.numel()).view_as(part)[m]
            loss = loss + (own.view_as(factor) * factor).sum()
        loss.backward()
        pairs = [(x.grad[m], own_x.grad)]
        pairs += [(a.grad[m], b.grad) for a, b in zip(first, own_first, strict=True)]
        pairs += [(a.grad[m], b.grad) for a, b in zip(weights, network.all_weights[0], strict=True)]
        for found, expected in pairs:
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("cls", [GRU, LSTM])
def test_without_gradients_the_states_after_every_step_are_known(cls):
    _, weights, x, first = case(cls)
    with torch.no_grad():
        expected, last = stacked_layer(x, tuple(first), tuple(weights))
        own = packed(*weights)
        output, found = run_stacked_layer(x, tuple(first), own)
        every_output, every = stacked_states(x, tuple(first), own)
        assert torch.equal(output, expected)
        assert torch.equal(every_output, expected)
        for part, states, end in zip(found, every, last, strict=True):
            assert torch.equal(part, end)
            assert torch.equal(states[:, :, -1], end)
        _, half = run_stacked_layer(x[:, :, :5], tuple(first), own)
        for states, middle in zip(every, half, strict=True):
            np.testing.assert_allclose(states[:, :, 4], middle, rtol=1e-6, atol=1e-7)


def test_threads_divide_the_models(monkeypatch):
    _, weights, x, first = case(GRU)
    with torch.no_grad():
        expected, _ = run_stacked_layer(x, tuple(first), packed(*weights))
        monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
        found, _ = run_stacked_layer(x, tuple(first), packed(*weights))
    assert torch.equal(found, expected)
