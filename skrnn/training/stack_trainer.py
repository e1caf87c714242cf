"""The trainer of many networks at once: one optimiser step of each, then the next of each."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skrnn.callbacks import Training
from skrnn.features.batch import Chunk
from skrnn.features.device_panel import DevicePanel
from skrnn.network.network import RecurrentNetwork
from skrnn.network.stack import NetworkStack
from skrnn.training.averages import WeightAverage
from skrnn.training.chunks import Chunks, DrawnBatches
from skrnn.training.divergence import N_CHECKED_BATCHES, check_error, check_finite


@dataclass
class Member:
    """One of the networks in training.

    Parameters
    ----------
    number : int
        Its number among all networks.
    first_series : int
        Number of its first series among those of all networks.
    label : str
        Of its data, for messages.
    training : Training
        Its history.
    """

    number: int
    first_series: int
    label: str
    training: Training
    best_loss: float = math.inf
    best_epoch: int = 0
    rng_state: Any = None  # of its chunks, when training ended


class Rate:
    """The learning rate at each step.

    Parameters
    ----------
    lr : float
    scheduler : callable or None
        Makes a scheduler from an optimizer.
    """

    def __init__(self, lr: float, scheduler: Callable | None):
        self.optimizer = torch.optim.SGD([torch.zeros(())], lr=lr)
        self.scheduler = None if scheduler is None else scheduler(self.optimizer)

    @property
    def now(self) -> float:
        """The rate of the next step."""
        return self.optimizer.param_groups[0]["lr"]

    def step(self) -> None:
        """Go on to the next step."""
        if self.scheduler is not None:
            self.optimizer.step()  # of nothing; torch expects it before the scheduler's
            self.scheduler.step()


@dataclass
class Lane:
    """Networks that draw the same chunks of their series, for as many epochs at the same rate.

    Parameters
    ----------
    members : list of Member
    chunks : Chunks
        Of one of the networks; the others have series of the same lengths.
    num_epochs : int
    rate : Rate
    most_steps : int or None
        Optimiser steps after which training ends.
    """

    members: list[Member]
    chunks: Chunks
    num_epochs: int
    rate: Rate
    most_steps: int | None = None
    epoch: int = field(default=0, init=False)
    step: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._drawn: DrawnBatches | None = None
        self._batches = self._epoch()

    def _epoch(self) -> Iterator[tuple[np.ndarray, int, int, bool]]:
        if self._drawn is None or self.chunks.is_random:
            self._drawn = self.chunks.drawn()
        drawn = self._drawn
        self.n_targets, self.epoch_lr, self.started = 0, self.rate.now, time.perf_counter()
        numbers = [b for first, stop in drawn.runs for b in range(first, stop)]
        # A run is read at once, so that all its batches are as long as its first.
        lengths = {
            b: drawn.lengths[first] for first, stop in drawn.runs for b in range(first, stop)
        }
        for i, b in enumerate(numbers):
            chunks = drawn.chunks[:, drawn.firsts[b] : drawn.stops[b]]
            yield chunks, lengths[b], drawn.counts[b], i == len(numbers) - 1

    def next_batch(self) -> tuple[np.ndarray, int, bool]:
        """Chunks (5, B) of the next batch, their length, and whether it is the epoch's last."""
        batch = next(self._batches, None)
        if batch is None:
            self._batches = self._epoch()
            batch = next(self._batches)
        chunks, length, n_targets, is_last = batch
        self.n_targets += n_targets
        self.step += 1
        if is_last or self.step == self.most_steps:
            self.epoch += 1
            self._batches = iter(())
            return chunks, length, True
        return chunks, length, False

    @property
    def is_over(self) -> bool:
        """Whether all epochs are done, or all steps."""
        return self.epoch >= self.num_epochs or self.step == self.most_steps


@dataclass
class StackTrainer:
    """The loop that trains the networks of a stack in place, each as `Trainer` would alone.

    Parameters
    ----------
    stack : NetworkStack
    numbers : list of int
        The members' numbers of its networks.
    lanes : list of Lane
        The networks in lanes; together, they are those of the stack in their order.
    data : DevicePanel
        The series of all networks, up to the last row to train on.
    make_optimizer : callable
        Gets parameters and ``lr``. The optimiser computes each number's step from its own gradients
        alone, in proportion to the rate.
    ridge : np.ndarray of shape (M,)
        Strength of each network's penalty.
    max_grad_norm : float or None
    validate : callable or None
        Returns the validation losses of a stack of some networks, given their numbers.
    is_validated : callable
        Whether an epoch, by its number, is validated.
    has_average : bool
        Whether averaged weights are validated and kept.
    patience, patience_per_epoch : see `Trainer`
    """

    stack: NetworkStack
    numbers: list[int]
    lanes: list[Lane]
    data: DevicePanel
    make_optimizer: Callable
    ridge: np.ndarray
    max_grad_norm: float | None
    validate: Callable[[NetworkStack, np.ndarray], np.ndarray] | None = None
    is_validated: Callable[[int], bool] = lambda epoch: True
    has_average: bool = False
    patience: int | None = None
    patience_per_epoch: float = 0.0

    def fit(self) -> None:
        """Train all networks to their ends.

        Raises
        ------
        FloatingPointError
            If the training of a network diverges.
        """
        with torch.inference_mode(False), torch.enable_grad():
            self._fit()

    def _fit(self) -> None:
        self.final = self.stack.parameters
        self.place = {number: place for place, number in enumerate(self.numbers)}
        self.best = [tensor.clone() for tensor in self.final] if self.validate else None
        self.weights = [tensor.clone().requires_grad_() for tensor in self.final]
        self.running = self.stack.with_parameters(self.weights)
        self.penalties = torch.from_numpy(self.ridge.astype(np.float32))
        self.optimizer = self.make_optimizer(self.weights, lr=self.lanes[0].rate.now)
        self.average = WeightAverage(self.weights) if self.has_average else None
        self.losses = torch.zeros(2, len(self.stack))  # of the epoch: weighted sums, weights
        if self.has_average:
            self._validate(self.lanes)  # untrained
        while self.lanes:
            self._step()

    def _step(self) -> None:
        """A step of every network; the end of an epoch of those whose last batch it was."""
        batches = [lane.next_batch() for lane in self.lanes]
        chunk = self._chunk([batch[:2] for batch in batches])
        self._learn(chunk)
        ended = [lane for lane, batch in zip(self.lanes, batches, strict=True) if batch[2]]
        for lane in self.lanes:
            lane.rate.step()
        if ended:
            self._end_epochs(ended)

    def _learn(self, chunk: Chunk) -> None:
        """Forward, backward, clip and optimiser step."""
        stack = self.running
        hidden = _hidden(stack, chunk)
        losses = stack.losses(hidden, chunk.targets, chunk.values, chunk.weight)
        for weight in self.weights:
            weight.grad = None
        total = losses
        if stack.features.naive:
            total = losses + self.penalties * stack.of_each(RecurrentNetwork.penalty)
        total.sum().backward()
        with torch.no_grad():
            n_targets = chunk.weight.unflatten(0, (len(stack), -1)).flatten(1).sum(1)
            self.losses += torch.stack([losses * n_targets, n_targets])
            if self.max_grad_norm is not None:
                self._clip(self.max_grad_norm)
            self._descend()
            if self.average is not None:
                self.average.update()

    def _clip(self, max_norm: float) -> None:
        """Scale the gradients of each network down to a norm of ``max_norm``, if it is larger."""
        gradients = [weight.grad for weight in self.weights if weight.grad is not None]
        norms = [torch.linalg.vector_norm(g.flatten(1), dim=1) for g in gradients]
        norm = torch.linalg.vector_norm(torch.stack(norms), dim=0)  # (M,)
        divisor = (norm / max_norm).clamp(min=1.0)
        for gradient in gradients:
            gradient.div_(_per_network(divisor, gradient))

    def _descend(self) -> None:
        """The optimiser's step, at the rate of each network."""
        rates = [lane.rate.now for lane in self.lanes]
        for group in self.optimizer.param_groups:
            group["lr"] = max(rates)
        if min(rates) == max(rates):
            self.optimizer.step()
            return
        # A step is proportional to its rate, so a part of it is the step at a lower rate.
        before = [weight.detach().clone() for weight in self.weights]
        self.optimizer.step()
        counts = [len(lane.members) for lane in self.lanes]
        share = torch.from_numpy(np.repeat(np.array(rates) / max(rates), counts)).float()
        for weight, old in zip(self.weights, before, strict=True):
            weight.copy_(torch.lerp(old, weight, _per_network(share, weight)))

    # ------------------------------------------------------------------------------ batches

    def _chunk(self, batches: list[tuple[np.ndarray, int]]) -> Chunk:
        """The batches of all networks as one, each filled up with chunks that count nothing."""
        n_chunks = max(chunks.shape[1] for chunks, _ in batches)
        rows: list[np.ndarray] = []
        for lane, (chunks, _) in zip(self.lanes, batches, strict=True):
            of_lane = np.empty((5, len(lane.members), n_chunks), dtype=np.int64)
            of_lane[:] = np.array([0, 1, 2, 2, 0])[:, None, None]  # no step counts
            of_lane[:, :, : chunks.shape[1]] = chunks[:, None]
            of_lane[0] += np.array([member.first_series for member in lane.members])[:, None]
            rows.append(of_lane)
        table = torch.from_numpy(np.concatenate(rows, axis=1).reshape(5, -1)).to(self.data.device)
        reader = self.lanes[0].chunks.reading(self.data)
        return reader.gathered(table, max(length for _, length in batches))

    # ----------------------------------------------------------------------- ends of epochs

    def _end_epochs(self, lanes: list[Lane]) -> None:
        """History and validation of these lanes, and the end of training of networks in them."""
        places = self._places(lanes)
        sums, weights = self.losses[:, places]
        means = (sums / weights.clamp(min=1)).tolist()
        self.losses[:, places] = 0.0
        rows: list[dict[str, float]] = []
        for lane in lanes:
            seconds = (time.perf_counter() - lane.started) / len(self.running)
            for member in lane.members:
                mean = means[len(rows)]
                self._check(member, "training loss", mean)
                row = {
                    "epoch": len(member.training.rows) + 1,
                    "loss": mean,
                    "lr": lane.epoch_lr,
                    "seconds": seconds,
                    "targets_per_second": lane.n_targets / seconds,
                }
                rows.append(row)
                member.training.rows.append(row)
                member.training.epoch, member.training.step = lane.epoch, lane.step
        validated = [lane for lane in lanes if self.validate and self.is_validated(lane.epoch)]
        if validated:
            self._validate(validated)
        self._finish(lanes)

    def _places(self, lanes: list[Lane]) -> np.ndarray:
        """Places of the networks of these lanes among those in training."""
        counts = np.array([len(lane.members) for lane in self.lanes])
        is_theirs = [any(lane is other for other in lanes) for lane in self.lanes]
        return np.flatnonzero(np.repeat(is_theirs, counts))

    def _validate(self, lanes: list[Lane]) -> None:
        places = self._places(lanes)
        members = [member for lane in lanes for member in lane.members]
        epochs = [lane.epoch for lane in lanes for _ in lane.members]
        weights = self.weights if self.average is None else self.average.weights
        weights = [weight.detach() for weight in weights]
        stack = self.running.with_parameters(weights)
        if len(places) < len(stack):
            stack = stack.select(torch.from_numpy(places))
        losses = self.validate(stack, np.array([m.number for m in members]))  # type: ignore[misc]
        better = []
        for i, (member, epoch, loss) in enumerate(
            zip(members, epochs, losses.tolist(), strict=True)
        ):
            self._check(member, "validation loss", loss)
            if epoch:
                member.training.rows[-1]["validation_loss"] = loss
            if loss < member.best_loss:
                member.best_loss, member.best_epoch = loss, epoch
                better.append(i)
        numbers = torch.tensor([self.place[members[i].number] for i in better])
        if better:
            for best, weight in zip(self.best, stack.parameters, strict=True):  # type: ignore[arg-type]
                best[numbers] = weight[better]

    def _finish(self, lanes: list[Lane]) -> None:
        """Take the networks out of the stack whose training is over."""
        finished: list[tuple[Lane, Member]] = []
        for lane in lanes:
            over = [m for m in lane.members if lane.is_over or self._is_over(lane, m)]
            finished += [(lane, member) for member in over]
        if not finished:
            return
        is_over = {id(member) for _, member in finished}
        everyone = [member for lane in self.lanes for member in lane.members]
        keep = torch.tensor([i for i, m in enumerate(everyone) if id(m) not in is_over]).long()
        gone = torch.tensor([i for i, m in enumerate(everyone) if id(m) in is_over])
        numbers = torch.tensor([self.place[everyone[i].number] for i in gone.tolist()])
        sources = self.best if self.best is not None else self.weights
        taken = numbers if self.best is not None else gone
        for final, source in zip(self.final, sources, strict=True):
            final[numbers] = source[taken].detach()
        self._check_sensible(finished)
        for lane, member in finished:
            lane.members = [m for m in lane.members if m is not member]
            member.rng_state = lane.chunks.rng.bit_generator.state
        self.lanes = [lane for lane in self.lanes if lane.members]
        if self.lanes:
            self._keep(keep)

    def _is_over(self, lane: Lane, member: Member) -> bool:
        if self.patience is None:
            return False
        best = member.best_epoch
        return lane.epoch - best >= self.patience + self.patience_per_epoch * best

    def _keep(self, places: Tensor) -> None:
        """Go on with some of the networks."""
        n_before = len(self.running)
        for weight in self.weights:
            state = self.optimizer.state[weight]
            for name, value in state.items():
                if isinstance(value, Tensor) and value.shape[:1] == (n_before,):
                    state[name] = value[places]
            weight.data, weight.grad = weight.data[places], None
        if self.average is not None:
            self.average.weights = [weight[places] for weight in self.average.weights]
        buffers = {
            name: tensor[places]
            for name, tensor in self.running.tensors.items()
            if name not in self.running.names
        }
        named = dict(zip(self.running.names, self.weights, strict=True))
        self.running = NetworkStack(self.running.template, {**named, **buffers})
        self.penalties, self.losses = self.penalties[places], self.losses[:, places]

    # --------------------------------------------------------------------------- divergence

    def _check(self, member: Member, name: str, value: float) -> None:
        with _named(member):
            check_finite(name, value, member.training, self.optimizer)

    @torch.no_grad()
    def _check_sensible(self, finished: list[tuple[Lane, Member]]) -> None:
        """Raise FloatingPointError unless the final weights forecast the training data sensibly."""
        lanes = list({id(lane): lane for lane, _ in finished}.values())
        drawn = [lane.chunks.rng.bit_generator.state for lane in lanes]
        of_lane = [[m for other, m in finished if other is lane] for lane in lanes]
        members = [member for some in of_lane for member in some]
        numbers = torch.tensor([self.place[member.number] for member in members])
        stack = self.stack.select(numbers)
        checked = [
            Lane(some, lane.chunks, 1, lane.rate) for some, lane in zip(of_lane, lanes, strict=True)
        ]
        sums = torch.zeros(2, len(stack))
        present, self.lanes = self.lanes, checked
        try:
            for _ in range(N_CHECKED_BATCHES):
                # A lane with a single batch repeats it, which changes no ratio.
                chunk = self._chunk([lane.next_batch()[:2] for lane in checked])
                hidden = _hidden(stack, chunk)
                point = stack.distribution.point(stack.decode(hidden, chunk.targets).float())
                error = (point - chunk.values).abs() * chunk.weight
                size = (1 + chunk.values.abs()) * chunk.weight
                both = torch.stack([error, size]).unflatten(1, (len(stack), -1))
                sums += both.flatten(2).sum(2)
        finally:
            self.lanes = present
            for lane, state in zip(lanes, drawn, strict=True):
                lane.chunks.rng.bit_generator.state = state
        errors = (sums[0] / sums[1].clamp(min=1)).tolist()
        for member, error in zip(members, errors, strict=True):
            with _named(member):
                check_error(error, member.training, self.optimizer)


def _hidden(stack: NetworkStack, chunk: Chunk) -> Tensor:
    """Recurrent output at the steps of a chunk that have targets."""
    hidden, _ = stack.encode(chunk.steps)
    if chunk.at is None:
        return hidden
    return hidden.gather(1, chunk.at[..., None].expand(-1, -1, hidden.shape[-1]))


@contextmanager
def _named(member: Member) -> Iterator[None]:
    """Say of which network an error is."""
    try:
        yield
    except FloatingPointError as error:
        raise FloatingPointError(f"Of {member.label}: {error}") from None


def _per_network(numbers: Tensor, tensor: Tensor) -> Tensor:
    """A number for each network (M,), shaped to go with a tensor (M, ...)."""
    return numbers.view(-1, *(1,) * (tensor.ndim - 1))
