import math

import numpy as np
import pytest
import torch
from small_trainings import SMALL, Y, one_chunk, trainer_of
from torch import nn

from skrnn import GRUForecaster
from skrnn.training.schedules import (
    FINAL_SHARE,
    MOST_EPOCHS,
    OPTIMIZERS,
    PLATEAU_EPOCHS,
    PLATEAU_FACTOR,
    SCHEDULERS,
    STEPS_PER_CUBE_ROOT,
    TARGETS_PER_STEP,
    one_cycle,
    planned_epochs,
    planned_steps,
)
from skrnn.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")


def rates(schedule, total_steps, lr):
    """Learning rate of each step, and what it would be after the last."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr)
    scheduler = schedule(optimizer, total_steps)
    rates = []
    for _ in range(total_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return np.array(rates), optimizer.param_groups[0]["lr"]


def test_one_cycle_rises_for_a_tenth_and_falls_along_a_cosine():
    lr, after = rates(one_cycle, 200, lr=0.5)
    np.testing.assert_allclose(lr[:20], 0.5 * np.arange(1, 21) / 20)
    assert lr.max() == 0.5
    assert np.flatnonzero(lr == 0.5).tolist() == [19, 20]
    assert (np.diff(lr[20:]) < 0).all()
    # Half of the fall, after half of its steps.
    assert lr[110] == pytest.approx(0.5 * (1 + FINAL_SHARE) / 2)
    assert after == pytest.approx(0.5 * FINAL_SHARE)
    assert FINAL_SHARE == 1e-4
    assert lr[-1] < 2e-4


@pytest.mark.parametrize("total_steps", [2, 5, 9])
def test_one_cycle_of_few_steps_begins_at_the_full_rate(total_steps):
    lr, after = rates(one_cycle, total_steps, lr=0.5)
    assert lr[0] == 0.5
    assert (lr > 0).all()
    assert after == pytest.approx(0.5 * FINAL_SHARE)


def test_one_cycle_stays_low_beyond_its_end():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.5)
    scheduler = one_cycle(optimizer, 10)
    for _ in range(30):
        optimizer.step()
        scheduler.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.5 * FINAL_SHARE)


def test_cosine_falls_from_the_rate_to_zero():
    lr, after = rates(SCHEDULERS["cosine"], 50, lr=0.5)
    np.testing.assert_allclose(lr, 0.25 * (1 + np.cos(np.pi * np.arange(50) / 50)), atol=1e-9)
    assert after == pytest.approx(0.0, abs=1e-9)


class WithLosses(Trainer):
    """Takes one step an epoch; the training losses are those in ``losses``."""

    def train_epoch(self):
        lr = self.optimizer.param_groups[0]["lr"]
        row = {"loss": self.losses[len(self.training.rows)], "lr": lr}
        self.step(one_chunk())  # which must not step the schedule
        return row


def plateau_rates(losses, validated, schedule):
    """Learning rate of each epoch, by the losses of either kind; the other kind always falls."""
    falling = [1.0 / (1 + epoch) for epoch in range(len(losses))]
    trainer = trainer_of(lr=1.0, max_grad_norm=1e-6)
    trainer.__class__ = WithLosses
    trainer.losses = falling if validated else losses
    if validated:
        trainer.validate = lambda: losses[len(trainer.training.rows)]
    trainer.scheduler = schedule(trainer.optimizer, len(losses))
    trainer.fit(len(losses))
    return [row["lr"] for row in trainer.training.rows]


@pytest.mark.parametrize("validated", [True, False])
@pytest.mark.parametrize(
    ("losses", "rates"),
    [
        ([3.0, *[3.0] * 4, 2.0, *[2.0] * 4, 1.0], [1.0] * 11),  # four are not enough
        ([3.0, *[4.0] * 5, 3.5], [1.0] * 6 + [0.5]),
        ([3.0, *[2.9999] * 5, 1.0], [1.0] * 6 + [0.5]),  # lower by less than a ten-thousandth
        ([3.0, *[2.999] * 5, 1.0], [1.0] * 7),
        ([3.0, *[4.0] * 10, 4.0], [1.0] * 6 + [0.5] * 5 + [0.25]),
    ],
)
def test_plateau_halves_the_rate_after_five_epochs_without_a_lower_loss(losses, rates, validated):
    assert plateau_rates(losses, validated, SCHEDULERS["plateau"]) == rates


def test_plateau_of_a_factory_steps_once_an_epoch_by_its_own_settings():
    def factory(optimizer, total_steps):
        return torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=0)

    lr = plateau_rates([3.0, 2.0, 2.5, 1.0, 1.5, 1.0], True, factory)
    assert lr == pytest.approx([1.0, 1.0, 1.0, 0.1, 0.1, 0.01])


@pytest.mark.parametrize("validation_split", [None, 0.2])
def test_plateau_is_a_schedule_of_the_forecaster(validation_split):
    forecaster = GRUForecaster(
        **{**SMALL, "num_epochs": 40, "lr": 0.1, "lr_scheduler": "plateau"},
        validation_split=validation_split,
    )
    history = forecaster.fit(Y).history_
    monitored = history["loss" if validation_split is None else "validation_loss"]
    rate, best, waited, rates = 0.1, math.inf, 0, []
    for loss in monitored:
        rates.append(rate)
        best, waited = (loss, 0) if loss < best * (1 - 1e-4) else (best, waited + 1)
        if waited == PLATEAU_EPOCHS:
            rate, waited = rate * PLATEAU_FACTOR, 0
    assert history["lr"].tolist() == rates
    assert rates[-1] < 0.1


@pytest.mark.parametrize("name", ["one_cycle", "cosine"])
def test_schedules_by_step_are_planned_over_all_epochs_of_the_forecaster(name):
    forecaster = GRUForecaster(**SMALL, lr=0.1, lr_scheduler=name).fit(Y)
    n_steps = 3 * 4  # 59 targets in chunks of 5, by four
    expected, _ = rates(SCHEDULERS[name], n_steps, 0.1)
    assert set(forecaster.history_["lr"]) <= set(expected)
    assert forecaster.history_["lr"][0] == expected[0]


@pytest.mark.parametrize(
    ("n_targets", "n_batches", "epochs"),
    [
        (128, 1, 32),  # a quarter of the targets
        (1_000_000, 200, 30),  # 60 * 100 steps, 200 an epoch
        (1_000_000, 100, MOST_EPOCHS),
        (1_000_000, 3900, 2),  # 1.54 epochs
        (1_000_000, 4100, 1),  # 1.46 epochs
        (1_000_000, 10**6, 1),
        (1, 1, 1),
    ],
)
def test_auto_plans_epochs_with_about_the_planned_steps(n_targets, n_batches, epochs):
    assert planned_epochs("auto", n_targets, n_batches) == epochs


@pytest.mark.parametrize("num_epochs", [0, 1, 7])
def test_given_epochs_are_those_planned(num_epochs):
    assert planned_epochs(num_epochs, 1_000_000, 100) == num_epochs


def test_planned_steps_grow_with_the_targets_then_with_their_cube_root():
    assert (TARGETS_PER_STEP, STEPS_PER_CUBE_ROOT) == (4, 60)
    assert planned_steps(132) == 33
    assert planned_steps(1_000_000) == pytest.approx(6_000)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_take_parameters_and_a_rate_and_lower_the_loss(name):
    parameter = nn.Parameter(torch.tensor([1.0]))
    optimizer = OPTIMIZERS[name]([parameter], lr=0.01)
    for _ in range(20):
        optimizer.zero_grad()
        (parameter**2).sum().backward()
        optimizer.step()
    assert 0 < parameter.item() < 0.95
