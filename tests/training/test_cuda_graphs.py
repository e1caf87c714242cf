"""Which training steps may be captured as CUDA graphs; `tests/test_gpu.py` captures some."""

from dataclasses import replace

import pytest
import torch
from small_trainings import FEATURES, network_of
from torch import nn

from skrnn.callbacks import Callback, ProgressBar, StopAfter
from skrnn.distributions import Point
from skrnn.naive import Last
from skrnn.training.cuda_graphs import is_capturable
from skrnn.training.schedules import OPTIMIZERS


class UsersLoss(nn.L1Loss):
    pass


class UsersNaive(Last):
    pass


USERS = replace(FEATURES, naive=(UsersNaive,))


class Watching(Callback):
    only_observes = True


def capturable(network=None, optimizer="adamw", callbacks=(), **options):
    network = network_of() if network is None else network
    optimizer = OPTIMIZERS.get(optimizer, optimizer)(network.parameters(), **options)
    return is_capturable(network, optimizer, callbacks)


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
@pytest.mark.parametrize("criterion", ["mae", "quantile", "studentt", "negbinomial"])
def test_steps_of_the_packages_own_parts_are_capturable(cell, criterion):
    network = network_of(criterion, cell=cell, dropout=0.5, num_layers=2)
    assert capturable(network, callbacks=[ProgressBar(), StopAfter(3), Watching()])


def hooked(event):
    network = network_of()
    getattr(network.recurrent, f"register_{event}")(lambda *args: None)
    return network


@pytest.mark.parametrize(
    "unknown",
    [
        pytest.param({"network": network_of(Point(UsersLoss()))}, id="a loss"),
        pytest.param({"network": network_of(Point(nn.L1Loss()))}, id="a loss of torch"),
        pytest.param({"network": network_of(features=USERS)}, id="a naive forecast"),
        pytest.param({"network": hooked("forward_hook")}, id="a hook after forward"),
        pytest.param({"network": hooked("forward_pre_hook")}, id="a hook before forward"),
        pytest.param({"network": hooked("full_backward_hook")}, id="a hook of gradients"),
        pytest.param({"optimizer": torch.optim.SGD}, id="an optimiser"),
        pytest.param({"fused": False}, id="an optimiser that is not fused"),
        pytest.param({"callbacks": [Watching(), Callback()]}, id="a callback"),
    ],
)
def test_steps_with_unknown_parts_are_not_capturable(unknown):
    assert not capturable(**unknown)
