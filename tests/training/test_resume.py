"""The state of a trainer: training that resumes from it goes on as if it had never stopped."""

import copy
import functools
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_trainings import chunks_of, features_of, network_of, one_chunk, trainer_of, weights_of

import skrnn
from skrnn.callbacks import Callback, StopAfter
from skrnn.forecasting.strategies import MultiOutput
from skrnn.network.randomness import RandomStreams
from skrnn.training.schedules import OPTIMIZERS, SCHEDULERS

pytestmark = pytest.mark.usefixtures("one_thread")

NUM_EPOCHS = 3
MANY_HORIZONS = features_of(MultiOutput(tuple(range(1, 13))))


def new_trainer(
    optimizer="adamw", schedule="one_cycle", validation=False, seed=0, features=None, **kwargs
):
    """A trainer whose streams also draw the dropout; the seed is that of batches and dropout."""
    settings = {} if features is None else {"features": features}
    network = network_of(**settings, **kwargs)
    streams = RandomStreams(seed)
    chunks = chunks_of(streams, batch_size=3, **settings)
    trainer = trainer_of(
        network,
        chunks,
        optimizer=OPTIMIZERS[optimizer](network.parameters(), lr=0.03),
        streams=streams,
        max_grad_norm=1.0,
    )
    if schedule is not None:
        trainer.scheduler = SCHEDULERS[schedule](trainer.optimizer, NUM_EPOCHS * len(chunks))
    if validation:
        trainer.validate = lambda: validation_loss(network, one_chunk_of(features))
    return trainer


def one_chunk_of(features):
    return one_chunk() if features is None else next(iter(chunks_of(features=features).epoch()))


def validation_loss(network, chunk):
    with torch.no_grad():
        parameters, _ = network(chunk.steps, chunk.targets, at=chunk.at)
        return network.loss(parameters, chunk.values, chunk.weight).item()


class Save(Callback):
    """Keeps the trainer's state after a step, or after an epoch, and stops there."""

    def __init__(self, step=None, epoch=None):
        self.step, self.epoch, self.state = step, epoch, None

    def on_batch_end(self, training, n_batches):
        if training.step == self.step:
            self.state = self.trainer.state_dict()
        return self.state is not None

    def on_epoch_end(self, training, epoch):
        if training.epoch == self.epoch:
            self.state = self.trainer.state_dict()
        return self.state is not None


def saved(at, **settings):
    """State of a training that stopped there."""
    trainer, save = new_trainer(**settings), Save(**at)
    save.trainer, trainer.callbacks = trainer, [save]
    trainer.fit(NUM_EPOCHS)
    return save.state


def through_a_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def rows_of(trainer):
    """History without what the clock says."""
    clock = ("seconds", "targets_per_second")
    return [{k: v for k, v in row.items() if k not in clock} for row in trainer.training.rows]


@functools.cache
def whole_training(**settings):
    trainer = new_trainer(**settings)
    trainer.fit(NUM_EPOCHS)
    return trainer


def assert_resumes(at, **settings):
    whole = whole_training(**settings)
    state = through_a_file(saved(at, **settings))
    resumed = new_trainer(**settings | {"seed": 99})
    with torch.no_grad():
        for parameter in resumed.network.parameters():
            parameter.add_(1.0)
    resumed.load_state_dict(state)
    assert resumed.training.step == state["progress"]["step"]
    resumed.fit(NUM_EPOCHS)
    assert torch.equal(weights_of(resumed.network), weights_of(whole.network))
    assert rows_of(resumed) == rows_of(whole)
    assert resumed.progress.step == whole.progress.step == resumed.training.step
    assert resumed.training.epoch == NUM_EPOCHS


# Two to four batches an epoch.
PLACES = [{"step": 1}, {"step": 6}, {"epoch": 1}, {"epoch": 2}]
place = pytest.mark.parametrize("at", PLACES, ids=lambda at: "".join(map(str, *at.items())))


def test_places_are_in_the_middle_and_at_the_end_of_an_epoch():
    states = [saved(at) for at in PLACES]
    assert [len(state["progress"]["losses"]) > 0 for state in states] == [True, True, False, False]
    assert [state["progress"]["epoch"] for state in states] == [0, 1, 1, 2]
    assert all(state["progress"]["step"] > 0 for state in states)


@pytest.mark.parametrize("optimizer", sorted(set(OPTIMIZERS) - {"adamw"}))
@place
def test_training_resumes_to_the_bit_with_each_optimizer(at, optimizer):
    assert_resumes(at, optimizer=optimizer)


@pytest.mark.parametrize("validation", [False, True])
@pytest.mark.parametrize("schedule", [None, *SCHEDULERS])
@place
def test_training_resumes_to_the_bit_with_each_schedule(at, schedule, validation):
    assert_resumes(at, schedule=schedule, validation=validation)


@pytest.mark.parametrize("validation", [False, True])
@pytest.mark.parametrize(("cell", "num_layers"), [("gru", 1), ("lstm", 2)])
@place
def test_training_resumes_to_the_bit_with_dropout(at, cell, num_layers, validation):
    settings = {"cell": cell, "num_layers": num_layers, "dropout": 0.4}
    assert_resumes(at, validation=validation, **settings)


@place
def test_training_resumes_to_the_bit_with_many_horizons(at):
    assert_resumes(at, features=MANY_HORIZONS, criterion="normal", dropout=0.4, validation=True)


def test_dropout_and_batches_depend_on_the_seed_that_the_state_restores():
    one, other = new_trainer(dropout=0.4), new_trainer(dropout=0.4, seed=99)
    one.fit(1)
    other.fit(1)
    assert not torch.equal(weights_of(one.network), weights_of(other.network))


@pytest.mark.parametrize("validation", [False, True])
def test_trainer_that_was_stopped_goes_on_itself(validation):
    settings = {"validation": validation, "dropout": 0.4, "optimizer": "adamw"}
    whole = new_trainer(**settings)
    whole.fit(NUM_EPOCHS)
    trainer = new_trainer(**settings)
    for num_epochs in (1, 2, NUM_EPOCHS):
        trainer.fit(num_epochs)
    assert torch.equal(weights_of(trainer.network), weights_of(whole.network))
    assert rows_of(trainer) == rows_of(whole)


def test_state_after_training_has_the_last_weights_beside_the_best():
    trainer = new_trainer()
    losses = iter([1.0, 2.0, 3.0, 0.5])
    trainer.validate = lambda: next(losses)
    weights = []

    class Watch(Callback):
        def on_epoch_end(self, training, epoch):
            weights.append(weights_of(training.network))

    trainer.callbacks = [Watch()]
    trainer.fit(3)
    assert torch.equal(weights_of(trainer.network), weights[0])
    state = through_a_file(trainer.state_dict())
    resumed = new_trainer(seed=99)
    resumed.load_state_dict(state)
    assert torch.equal(weights_of(resumed.network), weights[0])
    resumed.validate = lambda: next(losses)
    resumed.fit(4)
    assert resumed.progress.best_epoch == 4
    whole = new_trainer()
    whole.fit(4)
    assert torch.equal(weights_of(resumed.network), weights_of(whole.network))


def test_patience_counts_the_epochs_before_the_restart():
    trainer = new_trainer()
    losses = iter([1.0, 2.0, 3.0, 4.0])
    trainer.validate, trainer.patience = lambda: next(losses), 3
    trainer.fit(2)
    resumed = new_trainer()
    resumed.load_state_dict(trainer.state_dict())
    resumed.validate, resumed.patience = lambda: next(losses), 3
    resumed.fit(9)
    assert [row["validation_loss"] for row in resumed.training.rows] == [1.0, 2.0, 3.0, 4.0]
    assert resumed.progress.best_epoch == 1


def test_steps_of_stop_after_count_those_before_the_restart():
    resumed = new_trainer()
    resumed.load_state_dict(saved({"step": 5}))
    resumed.callbacks = [StopAfter(7)]
    resumed.fit(NUM_EPOCHS)
    assert resumed.progress.step == 7


def test_training_goes_on_after_a_callback_stopped_it():
    trainer = new_trainer()
    trainer.callbacks = [StopAfter(3)]
    trainer.fit(NUM_EPOCHS)
    trainer.callbacks = []
    trainer.fit(NUM_EPOCHS)
    assert trainer.training.epoch == NUM_EPOCHS
    assert trainer.progress.step > 3


def test_state_does_not_change_with_the_training_that_goes_on():
    trainer = new_trainer(validation=True, dropout=0.4)
    trainer.fit(1)
    state = trainer.state_dict()
    before = copy.deepcopy(state)
    trainer.fit(NUM_EPOCHS)
    for part in ("network", "progress"):
        assert str(state[part]) == str(before[part])
    assert str(state["optimizer"]) == str(before["optimizer"])
    assert state["history"] == before["history"]
    # Nor does a trainer that resumes from it.
    resumed = new_trainer(validation=True, dropout=0.4)
    resumed.load_state_dict(state)
    resumed.fit(NUM_EPOCHS)
    assert str(state["network"]) == str(before["network"])
    assert len(state["history"]) == 1


def test_training_resumes_to_the_bit_in_another_process(tmp_path):
    settings = {"dropout": 0.4, "validation": True, "schedule": "plateau"}
    torch.save(saved({"step": 6}, **settings), tmp_path / "state.pt")
    code = f"""
import torch
from test_resume import NUM_EPOCHS, new_trainer
torch.set_num_threads(1)
trainer = new_trainer(**{settings!r}, seed=99)
trainer.load_state_dict(torch.load({str(tmp_path / "state.pt")!r}, weights_only=False))
trainer.fit(NUM_EPOCHS)
torch.save(trainer.network.state_dict(), {str(tmp_path / "weights.pt")!r})
"""
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(skrnn.__file__).parents[1])])
    environment = os.environ | {"PYTHONPATH": path}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    whole = new_trainer(**settings)
    whole.fit(NUM_EPOCHS)
    for name, weight in torch.load(tmp_path / "weights.pt").items():
        assert torch.equal(weight, whole.network.state_dict()[name])
