"""A stack computes what each of its networks computes alone."""

import pytest
import torch
from torch import nn

from skrnn.network.network import RecurrentNetwork
from skrnn.network.stack import NetworkStack, is_stackable
from tests.builders import features_of, network_of, randomised, read

VALUES = torch.linspace(0, 3, 40).sin().numpy()


def networks_of(**options):
    features = features_of(sp=(4,), naive=("last", "seasonal"), lags=(4,), **options)
    result = []
    for seed in range(3):
        network = network_of(features)
        torch.manual_seed(seed)
        result.append(randomised(network))
    return result


@pytest.mark.parametrize("horizons", [None, (1, 3)])
def test_forecasts_and_losses_are_those_of_each_network(horizons):
    networks = networks_of(horizons=horizons)
    stack = NetworkStack.of(networks)
    steps, targets, values = read(networks[0].features, VALUES)

    def repeated(batch):
        if isinstance(batch, tuple):
            return type(batch)(*map(repeated, batch))
        return batch if batch is None else batch.repeat(3, *[1] * (batch.ndim - 1))

    with torch.no_grad():
        hidden, _ = stack.encode(repeated(steps))
        found = stack.decode(hidden, repeated(targets))
        weight = torch.ones_like(repeated(values))
        losses = stack.losses(hidden, repeated(targets), repeated(values), weight)
        for m, network in enumerate(networks):
            expected, _ = network(steps, targets)
            torch.testing.assert_close(found[m : m + 1], expected)
            loss = network.loss(expected, values, torch.ones_like(values))
            torch.testing.assert_close(losses[m], loss)


def test_a_function_changes_each_network_in_place():
    networks = networks_of()
    stack = NetworkStack.of(networks)

    def doubled(network):
        network.correction_scale.mul_(2)
        return network.correction_scale.sum()

    sums = stack.of_each(doubled)
    torch.testing.assert_close(sums, torch.full((3,), 2.0))
    assert torch.equal(stack.tensors["correction_scale"], torch.full((3, 1, 1, 1), 2.0))
    assert networks[0].correction_scale.item() == 1.0


def test_a_network_taken_out_is_a_copy_of_its_own():
    networks = networks_of()
    taken = NetworkStack.of(networks).network(1)
    assert type(taken) is RecurrentNetwork
    steps, targets, _ = read(taken.features, VALUES)
    with torch.no_grad():
        torch.testing.assert_close(taken(steps, targets)[0], networks[1](steps, targets)[0])
        for parameter in taken.parameters():
            parameter.zero_()
    assert any(parameter.any() for parameter in networks[1].parameters())
    handle = taken.register_forward_hook(lambda *_: None)
    assert not networks[1]._forward_hooks
    handle.remove()


def test_unknown_modules_and_dropout_are_not_stacked():
    features = features_of(naive=("last",))
    assert is_stackable(network_of(features))
    assert not is_stackable(network_of(features, cell=nn.GRU))
    assert not is_stackable(network_of(features, dropout=0.1))
