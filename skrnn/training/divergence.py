"""Divergence: training that has left the data behind is an error, never a forecast."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.optim import Optimizer

from skrnn.callbacks import Training
from skrnn.network.randomness import RandomStreams
from skrnn.training.chunks import Chunks

# Training has diverged if the mean error of its forecasts is more than this many times the mean
# size of the values: a forecast of the mean is off by less than 1, and of 85 trainings with
# learning rates of 1 to 1e6 those that forecast sensibly were off by less than 1 as well.
DIVERGED_ERROR = 10
N_CHECKED_BATCHES = 2


def check_finite(name: str, value: float, training: Training, optimizer: Optimizer) -> None:
    """Raise FloatingPointError if a loss is not finite."""
    if not math.isfinite(value):
        epoch = len(training.rows) + 1
        msg = (
            f"The {name} must stay finite, but it became {value} in epoch {epoch}, after "
            f"{training.step} optimiser steps. {_way_out(optimizer)}"
        )
        raise FloatingPointError(msg)


@torch.no_grad()
def check_sensible(
    training: Training, chunks: Chunks, streams: RandomStreams, optimizer: Optimizer
) -> None:
    """Raise FloatingPointError unless the final weights forecast the training data sensibly.

    The loss of an epoch is that of the weights before its last steps: these too may diverge.
    """
    network: Any = training.network
    errors, sizes = [], []
    state = streams.state_dict()
    for chunk, _ in zip(chunks.epoch(), range(N_CHECKED_BATCHES), strict=False):
        parameters, _ = network(chunk.steps, chunk.targets, at=chunk.at)
        point = network.distribution.point(parameters.float())
        errors.append(((point - chunk.values).abs() * chunk.weight).sum())
        sizes.append(((1 + chunk.values.abs()) * chunk.weight).sum())
    streams.load_state_dict(state)
    error = (torch.stack(errors).sum() / torch.stack(sizes).sum().clamp(min=1)).item()
    check_error(error, training, optimizer)


def check_error(error: float, training: Training, optimizer: Optimizer) -> None:
    """Raise FloatingPointError if an error, in units of the size of the values, is too large."""
    if not error < DIVERGED_ERROR:
        msg = (
            f"Training must end with forecasts near the data, but after {training.step} "
            f"optimiser steps they are off by {error:.3g} times the size of the training values. "
            f"{_way_out(optimizer)}"
        )
        raise FloatingPointError(msg)


def _way_out(optimizer: Optimizer) -> str:
    lr = optimizer.param_groups[0]["lr"]
    return (
        f"Lower lr (it was {lr:.3g} at last), set max_grad_norm, or look for extreme values in the "
        f"data."
    )
