"""Training many models together: those of one architecture in one computation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from skrnn.callbacks import Training
from skrnn.contract.fitting import (
    CHOOSING_PATIENCE,
    CHOOSING_PATIENCE_PER_EPOCH,
    FINAL_SHARE,
    Record,
    Trained,
    Untrained,
    check_targets,
    chunks_of,
    final_phase,
    with_initial_weights,
)
from skrnn.contract.parameters import named, plain
from skrnn.data.stored_panel import StoredPanel
from skrnn.features.device_panel import DevicePanel
from skrnn.forecasting.parts import Part, joint_data
from skrnn.forecasting.stacked_validation import HeldOutPathsOfStack, StackValidation
from skrnn.network.devices import enough_memory
from skrnn.network.randomness import RandomStreams
from skrnn.network.stack import NetworkStack, is_stackable
from skrnn.training.chunks import Chunks
from skrnn.training.prior import ridge_strength
from skrnn.training.schedules import (
    OPTIMIZERS,
    SCHEDULERS,
    is_milestone,
    one_cycle,
    planned_epochs,
    warm_up,
)
from skrnn.training.stack_start import looked_up, start_stack
from skrnn.training.stack_trainer import Lane, Member, Rate, StackTrainer

# Numbers in memory of the networks that are trained at once: weights, and what the kernels keep of
# each step. At the defaults and 144 months these are 400 networks; with gradients, averages and the
# optimiser's state they take 1.5 GB.
NUMBERS_AT_ONCE = 2**26
# What the kernels keep of each step, in numbers for each hidden unit.
KEPT_PER_UNIT = 6


@dataclass(frozen=True)
class Task:
    """A training among many.

    Parameters
    ----------
    forecaster : BaseRecurrentForecaster
        Its parameters say how to train.
    start : Untrained
    """

    forecaster: Any
    start: Untrained


def can_train_together(forecaster: Any) -> bool:
    """Whether a forecaster's training is one whose every step is known.

    What a user's own optimiser, schedule or callback does with many networks at once is not known.
    """
    return (
        isinstance(forecaster.optimizer, str)
        and (forecaster.lr_scheduler is None or isinstance(forecaster.lr_scheduler, str))
        and forecaster.lr_scheduler != "plateau"
        and forecaster.precision == "float32"
        and forecaster.checkpoint is None
        and not forecaster.callbacks
        and not forecaster.verbose
    )


def train_together(tasks: Sequence[Task]) -> list[Trained | None]:
    """Train the models of tasks, those of one architecture at once; None of what must be alone."""
    results: list[Trained | None] = [None] * len(tasks)
    groups: dict[Any, list[int]] = defaultdict(list)
    for i, task in enumerate(tasks):
        in_memory = not isinstance(task.start.panel, StoredPanel)
        known = can_train_together(task.forecaster) and is_stackable(task.start.model.network)
        if in_memory and known:
            groups[_group(task)].append(i)
    for members in groups.values():
        if len(members) == 1:
            continue
        # Series of like length go together, so that little is padded.
        members.sort(key=lambda i: tasks[i].start.panel.lengths.tolist())
        size = max(1, NUMBERS_AT_ONCE // _numbers(tasks[members[-1]]))
        n_stacks = -(-len(members) // size)
        for some in np.array_split(np.array(members), n_stacks):
            trained = _StackTraining([tasks[i] for i in some]).run()
            for i, one in zip(some, trained, strict=True):
                results[i] = one
    return results


def _group(task: Task) -> Any:
    """What must be equal for models to be trained at once."""
    forecaster, start = task.forecaster, task.start
    network, held_out = start.model.network, start.held_out
    covariates = start.panel.covariates
    return (
        network.features,
        id(covariates) if covariates.sizes else (tuple(covariates.columns), covariates.past),
        str(start.panel.timeline),
        tuple((name, plain(v)) for name, v in start.model.architecture.items()),
        forecaster.window_length,
        forecaster.supervision,
        forecaster.optimizer,
        tuple(sorted((forecaster.optimizer_kwargs or {}).items())),
        forecaster.max_grad_norm,
        forecaster.patience,
        held_out.is_empty,
        held_out.is_trained_on,
    )


def _numbers(task: Task) -> int:
    """About how many numbers one network and its batch are in memory."""
    network, forecaster, lengths = (
        task.start.model.network,
        task.forecaster,
        task.start.panel.lengths,
    )
    n_weights = sum(parameter.numel() for parameter in network.parameters())
    n_steps = min(forecaster.window_length, int(lengths.max())) // forecaster.patch_length
    pieces = -(-lengths // forecaster.window_length)
    n_chunks = min(forecaster.batch_size, int((pieces + (pieces > 1)).sum()))
    if forecaster.supervision != "dense":
        n_chunks = min(forecaster.batch_size, int(lengths.sum()))
    n_units = task.start.model.architecture["hidden_size"]
    per_step = KEPT_PER_UNIT * n_units * forecaster.num_layers
    return n_weights + n_chunks * n_steps * per_step


class _StackTraining:
    """The trainings of some tasks in one computation; each goes the way of `train`."""

    def __init__(self, tasks: Sequence[Task]):
        self.tasks = tasks
        starts = [task.start for task in tasks]
        counts = [start.panel.n_series for start in starts]
        self.first_series = np.cumsum([0, *counts])[:-1]
        self.parts = [
            Part(start.model, start.panel, start.held_out, int(s))
            for start, s in zip(starts, self.first_series, strict=True)
        ]
        self.data, model = joint_data(self.parts), starts[0].model
        origin = np.concatenate([start.panel.origin for start in starts])
        self.grid = origin, model.window_length, model.stride, model.features.patch_length
        self.stack = NetworkStack.of([start.model.network for start in starts])
        # From which training starts: scores of each network's mix.
        self.scores = torch.zeros_like(self.stack.tensors["head.mix_bias"])
        self.on_device: dict[Any, DevicePanel] = {}
        self.members = [
            Member(
                number=i,
                first_series=part.first_series,
                label="the network" if part.panel.keys is None else f"series {part.panel.label(0)}",
                training=Training(type(task.forecaster).__name__, part.model.network),
            )
            for i, (task, part) in enumerate(zip(tasks, self.parts, strict=True))
        ]

    @enough_memory()
    def run(self) -> list[Trained]:
        """Train all networks, and take them apart again."""
        held_out = self.parts[0].held_out
        stops = [part.rows()[0] for part in self.parts]
        lanes = self._lanes(
            range(len(self.parts)), stops, [task.start.streams for task in self.tasks]
        )
        planned = [0] * len(self.parts)
        for numbers, chunks, _ in lanes:
            for i in numbers:
                check_targets(self.parts[i].model, chunks, self.parts[i].panel)
                num_epochs = self.tasks[i].forecaster.num_epochs
                planned[i] = planned_epochs(num_epochs, chunks.n_targets, len(chunks))
        self._start(lanes)
        validate = None
        if not held_out.is_empty:
            validate = StackValidation(self.parts, self.data, self.grid)
        early = self.stack
        trained = [lane for lane in lanes if planned[lane[0][0]]]
        if trained:
            chooses = not held_out.is_empty and held_out.is_trained_on
            self._train(trained, planned, validate, chooses)
            if chooses:
                HeldOutPathsOfStack(self.parts, self.data, self.grid).set_share(self.stack)
                copied = {name: tensor.clone() for name, tensor in self.stack.tensors.items()}
                early, scores = NetworkStack(self.stack.template, copied), self.scores.clone()
                n_batches = {i: len(chunks) for numbers, chunks, _ in lanes for i in numbers}
                self._train_on_all(n_batches)
                planned = [member.best_epoch for member in self.members]
                return self._apart(planned, early, scores)
        return self._apart(planned, None, self.scores)

    def _train(
        self,
        lanes: list[_Lane],
        planned: list[int],
        validate: StackValidation | None,
        chooses: bool,
    ) -> None:
        """As many epochs as planned, or as lower the validation loss."""
        in_training = []
        for numbers, chunks, _ in lanes:
            forecaster, num_epochs = self.tasks[numbers[0]].forecaster, planned[numbers[0]]
            if chooses:
                num_epochs, schedule = max(1, round(num_epochs * (1 - FINAL_SHARE))), warm_up
            else:
                schedule = named(forecaster.lr_scheduler, SCHEDULERS)
                if schedule is not None:
                    schedule = partial(schedule, total_steps=num_epochs * len(chunks))
            self._count(numbers, chunks)
            in_training.append(
                self._lane(numbers, chunks, num_epochs, Rate(forecaster.lr, schedule))
            )
        trainer = self._trainer(in_training)
        trainer.validate = None if validate is None else validate.losses
        trainer.patience = self.tasks[0].forecaster.patience
        if chooses:
            trainer.is_validated, trainer.has_average = is_milestone, True
            trainer.patience = CHOOSING_PATIENCE
            trainer.patience_per_epoch = CHOOSING_PATIENCE_PER_EPOCH
        self._fit(trainer)

    def _train_on_all(self, n_batches: dict[int, int]) -> None:
        """The last share of the steps, on all rows."""
        stops = [part.panel.lengths for part in self.parts]
        streams = []
        for task, member in zip(self.tasks, self.members, strict=True):
            own = RandomStreams(task.start.streams.seed)
            if self.stack.template.ahead is not None:
                own.numpy.spawn(1)  # as the first start did
            own.numpy.bit_generator.state = member.rng_state
            streams.append(own)
        lanes = self._lanes(range(len(self.parts)), stops, streams, n_batches)
        best = [self.members[numbers[0]].best_epoch for numbers, _, _ in lanes]
        for goes_on in (False, True):
            some = [lane for lane, epoch in zip(lanes, best, strict=True) if bool(epoch) is goes_on]
            self._start(some, goes_on)
        in_training = []
        for (numbers, chunks, _), epoch in zip(lanes, best, strict=True):
            forecaster = self.tasks[numbers[0]].forecaster
            steps, lr = final_phase(forecaster, epoch * n_batches[numbers[0]])
            if steps:
                self._count(numbers, chunks)
                rate = Rate(lr, partial(one_cycle, total_steps=steps))
                epochs = -(-steps // len(chunks))
                in_training.append(self._lane(numbers, chunks, epochs, rate, steps))
        if in_training:
            self._fit(self._trainer(in_training))

    # ------------------------------------------------------------------------------- lanes

    def _lanes(
        self,
        numbers: Sequence[int],
        stops: list[np.ndarray],
        streams: list[RandomStreams],
        n_batches: dict[int, int] | None = None,
    ) -> list[_Lane]:
        """Networks whose chunks are the same, with those of one of them and its random numbers.

        With ``n_batches``, those of earlier epochs, also for as many steps.
        """
        grouped: dict[Any, list[int]] = defaultdict(list)
        found: dict[Any, tuple[Chunks, RandomStreams]] = {}
        for i in numbers:
            forecaster, part = self.tasks[i].forecaster, self.parts[i]
            key: tuple = (
                part.panel.lengths.tobytes(),
                stops[i].tobytes(),
                streams[i].seed,
                forecaster.lr,
                forecaster.lr_scheduler,
                forecaster.batch_size,
                forecaster.num_epochs,
            )
            if n_batches is not None:
                key += (self.members[i].best_epoch, n_batches[i])
            chunks = found[key][0] if key in found else self._chunks(i, stops[i], streams[i])
            found.setdefault(key, (chunks, streams[i]))
            if n_batches is not None and chunks.is_random:
                key += (str(streams[i].numpy.bit_generator.state),)
                if key not in found:
                    found[key] = self._chunks(i, stops[i], streams[i]), streams[i]
            grouped[key].append(i)
        return [(numbers, *found[key]) for key, numbers in grouped.items()]

    def _chunks(self, number: int, stop: np.ndarray, streams: RandomStreams) -> Chunks:
        part, source = self.parts[number], self._source(number)
        if source not in self.on_device:
            self.on_device[source] = part.model.on_device(part.panel)
        return chunks_of(self.tasks[number].forecaster, self.on_device[source], stop, streams)

    def _source(self, number: int) -> tuple[int, int]:
        """The model and panel that a training starts from; several trainings may share them."""
        part = self.parts[number]
        return id(part.model), id(part.panel)

    def _lane(
        self,
        numbers: list[int],
        chunks: Chunks,
        num_epochs: int,
        rate: Rate,
        steps: int | None = None,
    ) -> Lane:
        return Lane([self.members[i] for i in numbers], chunks, num_epochs, rate, steps)

    # ------------------------------------------------------------------------- the networks

    def _start(self, lanes: list[_Lane], goes_on: bool = False) -> None:
        """Let trainings start from the naive mix; the learning rate and their length do not count.

        What starts from one model and panel with the same random numbers is started once. With
        ``goes_on`` they go on from what they have learned.
        """
        alike: dict[Any, list[_Lane]] = defaultdict(list)
        for lane in lanes:
            (number, *_), chunks, streams = lane
            drawn = str(chunks.rng.bit_generator.state) if chunks.is_random else ""
            lengths = self.parts[number].panel.lengths.tobytes(), chunks.stop.tobytes()
            key = (*lengths, chunks.batch_size, streams.seed, drawn)
            alike[key].append(lane)
        for same in alike.values():
            _, chunks, streams = same[0]
            copies: dict[Any, list[int]] = defaultdict(list)
            for i in (i for numbers, _, _ in same for i in numbers):
                copies[i if goes_on else self._source(i)].append(i)
            started = [first for first, *_ in copies.values()]
            some = self.stack.select(started)
            before = self.scores[started] if goes_on else None
            places = self.first_series[started]
            scores = start_stack(some, self.data, places, chunks, streams, before)
            self._put_back(some, started)
            for own, (first, *others) in zip(scores, copies.values(), strict=True):
                self.scores[[first, *others]] = own
                if others:
                    for tensor in self.stack.tensors.values():
                        tensor[others] = tensor[first].clone()
            for _, others_chunks, _ in same[1:]:
                others_chunks.rng.bit_generator.state = chunks.rng.bit_generator.state

    def _count(self, numbers: list[int], chunks: Chunks) -> None:
        """Note how many observations are trained on."""
        self.stack.tensors["n_observations"][numbers] = float(chunks.n_observations)

    def _put_back(self, some: NetworkStack, numbers: list[int]) -> None:
        for name, tensor in some.tensors.items():
            self.stack.tensors[name][numbers] = tensor

    def _trainer(self, lanes: list[Lane]) -> StackTrainer:
        forecaster = self.tasks[0].forecaster
        members = [member for lane in lanes for member in lane.members]
        numbers = [member.number for member in members]
        stack = self.stack.select(numbers)
        counts = self.stack.tensors["n_observations"][numbers].tolist()
        last = np.concatenate([lane.chunks.stop for lane in lanes for _ in lane.members])
        places = np.concatenate(
            [
                m.first_series + np.arange(len(lane.chunks.stop))
                for lane in lanes
                for m in lane.members
            ]
        )
        stop = np.array(self.data.lengths)
        stop[places] = last
        data = self.data.cut(stop)
        if all(lane.chunks.can_look_up for lane in lanes):
            data = looked_up(stack, data, lanes)
        return StackTrainer(
            stack=stack,
            numbers=numbers,
            lanes=lanes,
            data=data,
            make_optimizer=partial(
                OPTIMIZERS[forecaster.optimizer], **(forecaster.optimizer_kwargs or {})
            ),
            ridge=np.array([ridge_strength(stack.features, n) for n in counts]),
            max_grad_norm=forecaster.max_grad_norm,
        )

    def _fit(self, trainer: StackTrainer) -> None:
        trainer.fit()
        self._put_back(trainer.stack, trainer.numbers)

    def _apart(
        self, planned: list[int], early: NetworkStack | None, scores: torch.Tensor
    ) -> list[Trained]:
        """The models, one by one; ``scores`` are those from which the early ones started."""
        results = []
        for i, (part, member) in enumerate(zip(self.parts, self.members, strict=True)):
            model = replace(part.model, network=self.stack.network(i))
            model = first = with_initial_weights(model, self.scores[i])
            if early is not None:
                first = with_initial_weights(replace(model, network=early.network(i)), scores[i])
            results.append(Trained(model, first, Record(member.training.history, planned[i])))
        return results


# Numbers of networks, the chunks of one of them, and what it draws from.
_Lane = tuple[list[int], Chunks, RandomStreams]
