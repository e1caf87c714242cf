import numpy as np
import pytest
import torch
from torch import nn

from skrnn.training.averages import WeightAverage

GAMMA = 8  # of the polynomial decay


def test_average_of_weights_is_that_of_polynomial_decay():
    network = nn.Linear(1, 1, bias=False)
    average = WeightAverage(network.parameters())
    weights = np.random.default_rng(0).normal(size=30)
    expected = 0.0
    for t, weight in enumerate(weights, start=1):
        with torch.no_grad():
            network.weight.fill_(weight)
        average.update()
        rate = (GAMMA + 1) / (GAMMA + t)
        expected = (1 - rate) * expected + rate * weight
    assert average.weights[0].item() == pytest.approx(expected, rel=1e-5)


def test_average_after_one_step_is_its_weights():
    network = nn.Linear(2, 1)
    average = WeightAverage(network.parameters())
    with torch.no_grad():
        network.weight.add_(1.0)
    average.update()
    assert torch.equal(average.weights[0], network.weight)


def test_network_has_the_average_while_it_is_used_and_its_own_weights_after():
    network = nn.Linear(1, 1)
    average = WeightAverage(network.parameters())
    own = 5.0
    with torch.no_grad():
        network.weight.fill_(own)
    before = average.weights[0].clone()
    with average.used():
        assert torch.equal(network.weight, before)
    assert network.weight.item() == own


def test_average_goes_on_from_its_state():
    network = nn.Linear(1, 1)
    average = WeightAverage(network.parameters())
    for k in range(3):
        with torch.no_grad():
            network.weight.fill_(float(k))
        average.update()
    other = WeightAverage(network.parameters())
    other.load_state_dict(average.state_dict())
    average.update()
    other.update()
    assert torch.equal(average.weights[0], other.weights[0])
