"""Dropout with a generator of its own against that of torch."""

import copy
import pickle

import pytest
import torch
from torch.nn import functional as F

from skrnn.network.dropout import Dropout


def seeded_dropout(p, seed):
    dropout = Dropout(p)
    dropout.generator = torch.Generator().manual_seed(seed)
    return dropout


@pytest.mark.parametrize("p", [0.1, 0.3, 1.0])
@pytest.mark.parametrize("shape", [(7,), (4096,), (5, 3, 8)])
def test_numbers_are_those_of_torch_from_the_same_seed(shape, p):
    x = torch.randn(shape)
    torch.manual_seed(5)
    expected = F.dropout(x, p)
    assert torch.equal(seeded_dropout(p, 5)(x), expected)


def test_layout_in_memory_gives_the_numbers_of_torch():
    x = torch.randn(6, 4, 8).transpose(0, 1)
    torch.manual_seed(5)
    expected = F.dropout(x, 0.3)
    assert torch.equal(seeded_dropout(0.3, 5)(x), expected)


def test_gradient_is_that_of_torch():
    x = torch.randn(50, requires_grad=True)
    torch.manual_seed(5)
    (expected,) = torch.autograd.grad(F.dropout(x, 0.3).sin().sum(), x)
    (gradient,) = torch.autograd.grad(seeded_dropout(0.3, 5)(x).sin().sum(), x)
    assert torch.equal(gradient, expected)


def test_global_generator_is_neither_read_nor_changed():
    x, before = torch.ones(100), torch.get_rng_state()
    seeded_dropout(0.5, 5)(x)
    assert torch.equal(torch.get_rng_state(), before)


def test_without_a_generator_the_global_one_is_used():
    x = torch.ones(100)
    torch.manual_seed(5)
    expected = F.dropout(x, 0.5)
    torch.manual_seed(5)
    assert torch.equal(Dropout(0.5)(x), expected)


@pytest.mark.parametrize(("p", "training"), [(0.5, False), (0.0, True)])
def test_nothing_is_dropped_or_drawn_outside_of_training_or_with_p_zero(p, training):
    x, dropout = torch.ones(100), seeded_dropout(p, 5).train(training)
    before = dropout.generator.get_state()
    assert dropout(x) is x
    assert torch.equal(dropout.generator.get_state(), before)


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, copy.copy, lambda module: pickle.loads(pickle.dumps(module))]
)
def test_copies_leave_the_generator_out(duplicate):
    dropout = seeded_dropout(0.3, 5)
    other = duplicate(dropout)
    assert other.p == 0.3
    assert other.generator is None
    assert dropout.generator is not None


@pytest.mark.parametrize("p", [-0.1, 1.1])
def test_probability_outside_of_zero_to_one_is_refused(p):
    with pytest.raises(ValueError, match="between 0 and 1"):
        Dropout(p)
