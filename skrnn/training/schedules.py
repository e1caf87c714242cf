"""Schedules: optimisers, learning rates over the steps, and how many steps there are."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, ReduceLROnPlateau

# Of AdamW by default, torch's own.
WEIGHT_DECAY = 0.01
# Fused optimisers update all weights in one kernel.
OPTIMIZERS: dict[str, Callable] = {
    "adamw": partial(torch.optim.AdamW, weight_decay=WEIGHT_DECAY, fused=True),
    "adam": partial(torch.optim.Adam, fused=True),
    "sgd": partial(torch.optim.SGD, fused=True),
    "rmsprop": torch.optim.RMSprop,
}

# The one-cycle schedule rises over one step in ten and ends at this share of the rate.
STEPS_PER_RISING_STEP, FINAL_SHARE = 10, 1e-4
# The plateau schedule multiplies the rate by this after the fifth epoch without a lower loss.
PLATEAU_FACTOR, PLATEAU_EPOCHS = 0.5, 5
# Steps to the full learning rate where the length of training is not known before.
WARM_UP_STEPS = 20
# Milestones of training for each factor of e in epochs.
MILESTONE_DENSITY = 6
# Planned optimiser steps for n targets: min(n / 4, 60 n^(1/3)).
TARGETS_PER_STEP, STEPS_PER_CUBE_ROOT = 4, 60
# One series of ten to a hundred thousand hours is learnt best in 10 to 40 epochs.
MOST_EPOCHS = 40


def one_cycle(optimizer: torch.optim.Optimizer, total_steps: int) -> Any:
    """Rise to the learning rate over the first tenth of training, then fall to almost zero.

    Smith and Topin, Super-Convergence (2018); the momentum stays as it is.
    """
    rise = max(1, total_steps // STEPS_PER_RISING_STEP)

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        done = min(1.0, (step - rise) / max(1, total_steps - rise))
        return FINAL_SHARE + (1 - FINAL_SHARE) * 0.5 * (1 + math.cos(math.pi * done))

    return LambdaLR(optimizer, factor)


def warm_up(optimizer: torch.optim.Optimizer) -> Any:
    """Rise to the learning rate over `WARM_UP_STEPS`, and stay there."""
    return LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / WARM_UP_STEPS))


def is_milestone(epoch: int) -> bool:
    """Whether an epoch is 1 to 5, or the first after one more tenth of the epochs so far."""
    return int(MILESTONE_DENSITY * math.log(epoch + 1)) > int(MILESTONE_DENSITY * math.log(epoch))


def cosine(optimizer: torch.optim.Optimizer, total_steps: int) -> Any:
    """Fall from the learning rate to zero along half a cosine; Loshchilov and Hutter (2017)."""
    return CosineAnnealingLR(optimizer, total_steps)


def plateau(optimizer: torch.optim.Optimizer, total_steps: int) -> Any:
    """Halve the learning rate after every fifth epoch in a row without a lower loss.

    A loss is lower if it is so by more than a ten-thousandth, torch's default.
    """
    # torch's patience is the number of epochs that must be exceeded.
    return ReduceLROnPlateau(optimizer, factor=PLATEAU_FACTOR, patience=PLATEAU_EPOCHS - 1)


SCHEDULERS: dict[str, Callable] = {"one_cycle": one_cycle, "cosine": cosine, "plateau": plateau}


def planned_steps(n_targets: int) -> float:
    """Optimiser steps for n targets: min(n / 4, 60 n^(1/3)).

    132 months get 33 steps, a million hours 6,000. The steps grow with what there is to learn, but
    a series ten thousand times as long is not trained ten thousand times as long.
    """
    return min(n_targets / TARGETS_PER_STEP, STEPS_PER_CUBE_ROOT * n_targets ** (1 / 3))


def planned_epochs(num_epochs: int | str, n_targets: int, n_batches: int) -> int:
    """Epochs of a training: those asked for, or with "auto" those with about the planned steps."""
    if not isinstance(num_epochs, str):
        return num_epochs
    return min(MOST_EPOCHS, max(1, round(planned_steps(n_targets) / n_batches)))
