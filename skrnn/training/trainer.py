"""The trainer: forward, backward, clip, step; validation, early stopping and history."""

from __future__ import annotations

import copy
import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import grad
from torch.optim.lr_scheduler import ReduceLROnPlateau

from skrnn.callbacks import Callback, Training
from skrnn.distributions.base import LEAST_WEIGHT
from skrnn.features.batch import Chunk
from skrnn.network.devices import tf32
from skrnn.network.network import RecurrentNetwork
from skrnn.network.randomness import RandomStreams
from skrnn.network.threads import map_in_threads, n_threads_of_tasks, shares
from skrnn.training.averages import WeightAverage
from skrnn.training.chunks import Chunks, split
from skrnn.training.cuda_graphs import CudaGraphs, is_capturable, runs_known_code
from skrnn.training.divergence import check_finite, check_sensible
from skrnn.training.processes import Processes

# Steps of the network that are worth a thread. Fewer take less time than the Python code around
# them, which threads run in turn.
LEAST_STEPS_OF_THREAD = 512


@dataclass
class Progress:
    """Where a training stands; with the weights and the random numbers, all that it goes on from.

    Parameters
    ----------
    epoch : int
        Whole epochs so far.
    step : int
        Optimiser steps so far.
    best_loss : float
        Lowest validation loss.
    best_epoch : int
        Its epoch; 0 before the first.
    best_weights : dict or None
        Its weights.
    last_weights : dict or None
        Those of the last step, while the network has the best ones; training goes on from them.
    losses, weights : list of Tensor
        Loss and weight of each batch of the epoch under way.
    lr : float
        Learning rate of its first step.
    epoch_randomness : dict or None
        State of the random numbers at the beginning of the epoch under way, which redraws its
        batches.
    """

    epoch: int = 0
    step: int = 0
    best_loss: float = math.inf
    best_epoch: int = 0
    best_weights: dict[str, Tensor] | None = None
    last_weights: dict[str, Tensor] | None = None
    losses: list[Tensor] = field(default_factory=list)
    weights: list[Tensor] = field(default_factory=list)
    lr: float = math.nan
    epoch_randomness: dict[str, Any] | None = None


@dataclass
class Trainer:
    """The loop over epochs and batches that trains a network in place.

    Parameters
    ----------
    network : RecurrentNetwork
    chunks : Chunks
        The batches.
    optimizer : torch.optim.Optimizer
    streams : RandomStreams
        Random numbers of batches and dropout.
    penalty : callable
        Returns what is added to each batch's loss.
    max_grad_norm : float or None
        Norm to which gradients are clipped.
    callbacks : list of Callback
    training : Training
        What callbacks get; its rows go on from those of earlier trainings.
    patience : int or None
        Epochs to wait for a new lowest validation loss.
    patience_per_epoch : float
        Further epochs to wait for each up to the best.
    precision : {"float32", "tf32", "bf16"}
    scheduler : torch.optim.lr_scheduler.LRScheduler or None
        Steps once a batch; a ReduceLROnPlateau once an epoch, by the validation loss if there is
        one, else by the training loss.
    validate : callable or None
        Returns the validation loss. The weights of the epoch with the lowest are kept.
    is_validated : callable
        Whether an epoch, by its number, is validated.
    average : WeightAverage or None
        The weights that are validated and kept; those of the last step without it.
    after_step : callable or None
        Called with the trainer after each step that is not the last; it may read the state.
    processes : Processes
        Those that train together: each learns from its part of every batch.
    first_decides : bool
        Whether the first process alone has callbacks that may end training.
    keep_at_interrupt : bool
        Whether an interrupt (Ctrl-C) ends training with a warning and keeps the weights; if not,
        it is raised.
    """

    network: RecurrentNetwork
    chunks: Chunks
    optimizer: torch.optim.Optimizer
    streams: RandomStreams
    penalty: Callable[[], Tensor | float]
    max_grad_norm: float | None
    callbacks: list[Callback]
    training: Training
    patience: int | None = None
    patience_per_epoch: float = 0.0
    precision: str = "float32"
    scheduler: Any = None
    validate: Callable[[], float] | None = None
    is_validated: Callable[[int], bool] = lambda epoch: True
    average: WeightAverage | None = None
    after_step: Callable[[Trainer], None] | None = None
    processes: Processes = field(default_factory=Processes)
    first_decides: bool = False
    keep_at_interrupt: bool = True
    stopped: bool = field(default=False, init=False)
    interrupted: bool = field(default=False, init=False)
    progress: Progress = field(default_factory=Progress, init=False)
    graphs: CudaGraphs | None = field(default=None, init=False)

    def fit(self, num_epochs: int) -> None:
        """Train up to a number of epochs, unless a callback or the validation loss ends it earlier.

        Raises
        ------
        FloatingPointError
            If training diverges.
        """
        # A caller's `torch.no_grad()` or `inference_mode()` does not reach the training.
        with self._drawing(), torch.inference_mode(False), torch.enable_grad():
            self._fit(num_epochs)

    def _fit(self, num_epochs: int) -> None:
        progress, epoch = self.progress, 0
        self.stopped = self.interrupted = False
        if progress.last_weights is not None:
            self.network.load_state_dict(progress.last_weights)
            progress.last_weights = None
        self.processes.take_weights_of_first(self.network)
        try:
            self.training.num_epochs = num_epochs
            self._notify("on_train_begin", num_epochs)
            self.graphs = self._cuda_graphs()  # begin may have registered hooks
            while progress.epoch < num_epochs and not self._is_over():
                epoch = progress.epoch + 1
                self._epoch()
        except KeyboardInterrupt:
            if not self.keep_at_interrupt:
                raise
            self.interrupted = True
        finally:
            if self.graphs is not None:
                self.graphs.close()
                self.graphs = None
            if progress.best_weights is not None:
                progress.last_weights = copy.deepcopy(self.network.state_dict())
                self.network.load_state_dict(progress.best_weights)
            self.network.eval()
            self._notify_end()
        if self.progress.step:
            check_sensible(self.training, self.chunks, self.streams, self.optimizer)
        if self.interrupted:  # after the progress bar is closed
            self._warn_of_interrupt(f"{epoch} of {num_epochs}")

    def _is_over(self) -> bool:
        if self.stopped or self.patience is None:
            return self.stopped
        best = self.progress.best_epoch
        return self.progress.epoch - best >= self.patience + self.patience_per_epoch * best

    def _epoch(self) -> None:
        """One pass over all targets, its validation and its row of the history."""
        row = self.train_epoch()
        progress = self.progress
        progress.epoch += 1
        if self.validate is not None and self.is_validated(progress.epoch):
            row["validation_loss"] = self.validated()
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(row.get("validation_loss", row["loss"]))
        self.training.rows.append(row)
        self.training.epoch = progress.epoch
        self._notify("on_epoch_end", row)

    def train_epoch(self) -> dict[str, float]:
        """One pass over all targets; returns the epoch's loss, learning rate and speed."""
        progress = self.progress
        self._notify("on_epoch_begin")
        self.network.train()
        started, n_targets, n_batches = time.perf_counter(), 0, len(self.chunks)
        for chunk in self._batches():
            loss, weight = self.step(chunk)
            progress.losses.append(loss)
            progress.weights.append(weight)
            progress.step += 1
            n_targets += chunk.n_targets
            self.training.step = progress.step
            self._notify("on_batch_end", n_batches)
            if self.stopped:
                break
            if self.after_step is not None:
                self.after_step(self)
        weights = torch.stack(progress.weights)
        # The epoch's only device-to-host synchronisation.
        mean = (torch.stack(progress.losses) @ weights / weights.sum().clamp(min=1)).item()
        progress.losses, progress.weights, progress.epoch_randomness = [], [], None
        check_finite("training loss", mean, self.training, self.optimizer)
        seconds = time.perf_counter() - started
        return {
            "epoch": len(self.training.rows) + 1,
            "loss": mean,
            "lr": progress.lr,
            "seconds": seconds,
            "targets_per_second": n_targets / seconds,
        }

    def _batches(self) -> Iterator[Chunk]:
        """The batches of an epoch; those that were trained on before a restart are left out."""
        done = len(self.progress.losses)
        if done:
            now = self.streams.state_dict()
            self.streams.load_state_dict(self.progress.epoch_randomness or now)
            batches = self.chunks.epoch(self.processes)
            for _ in range(done):
                next(batches)
            self.streams.load_state_dict(now | {"numpy": self.streams.state_dict()["numpy"]})
        else:
            self.progress.lr = self.optimizer.param_groups[0]["lr"]
            self.progress.epoch_randomness = self.streams.state_dict()
            batches = self.chunks.epoch(self.processes)
        yield from batches

    def step(self, chunk: Chunk) -> tuple[Tensor, Tensor]:
        """Forward, backward, clip, step; loss and number of targets stay on the device."""
        n_targets = chunk.weight.sum()  # missing targets do not count
        if self.processes.n > 1:
            loss, n_targets = self._learn_together(chunk, n_targets)
        else:
            loss = self._learn(chunk) if self.graphs is None else self.graphs(chunk)
        if self.scheduler is not None and not isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step()
        if self.average is not None:
            self.average.update()
        return loss, n_targets

    def _learn(self, chunk: Chunk) -> Tensor:
        """Forward, backward, clip and optimiser step: what a CUDA graph holds."""
        for parameter in self._parameters:
            parameter.grad = None
        threads = self._threads(chunk)
        if threads > 1:
            loss = self._learn_in_threads(chunk, threads)
            self._add_penalty()
        else:
            loss = self._loss(chunk)
            (loss + self.penalty()).backward()
        self._descend()
        return loss.detach()

    def _threads(self, chunk: Chunk) -> int:
        """Threads that each take a part of the batch forward and backward."""
        if not self._is_divisible:
            return 1
        n_sequences, n_steps = chunk.steps.n_past.shape
        worthwhile = n_sequences * n_steps // LEAST_STEPS_OF_THREAD
        return max(1, min(n_threads_of_tasks(), n_sequences, worthwhile))

    @cached_property
    def _is_divisible(self) -> bool:
        """Whether parts of a batch can be learned from at once, to the same gradients."""
        return (
            self._parameters[0].device.type == "cpu"
            and self.precision != "bf16"  # autocast belongs to a thread
            and not self.network.has_dropout  # its generator would be drawn from in any order
            and runs_known_code(self.network)
        )

    def _learn_in_threads(self, chunk: Chunk, threads: int) -> Tensor:
        """The loss; gradients of all parts of the batch are added up, in their order."""
        network, parameters = self.network, self._parameters
        weight = network.loss_weights(chunk.weight).sum().clamp(min=LEAST_WEIGHT)

        def learned(part: Chunk) -> tuple[Tensor | None, ...]:
            share = network.loss_weights(part.weight).sum() / weight
            loss = share * self._loss(part)
            return loss.detach(), *grad(loss, parameters, allow_unused=True)

        parts = list(split(chunk, shares(len(chunk.values), threads)))
        losses, *gradients = zip(*map_in_threads(learned, parts), strict=True)
        for parameter, of_parts in zip(parameters, gradients, strict=True):
            if of_parts[0] is not None:
                parameter.grad = torch.stack(of_parts).sum(0)
        return torch.stack(losses).sum()

    def _learn_together(self, chunk: Chunk, n_targets: Tensor) -> tuple[Tensor, Tensor]:
        """The same from a part of the batch: gradients and losses of all processes are added up.

        The mean loss of the batch is the sum of all weighted losses over the sum of all weights.
        """
        weight = self.network.loss_weights(chunk.weight).sum()
        for parameter in self._parameters:
            parameter.grad = torch.zeros_like(parameter)
        loss = weight
        if len(chunk.values):
            loss = weight * self._loss(chunk)
            loss.backward()
        gradients = [parameter.grad for parameter in self._parameters]
        sums = torch.stack([loss.detach(), weight, n_targets])
        flat = self.processes.total(torch.cat([*(g.flatten() for g in gradients), sums]))  # type: ignore
        *parts, sums = flat.split([*(p.numel() for p in self._parameters), len(sums)])
        loss, weight, n_targets = sums.unbind()
        weight = weight.clamp(min=LEAST_WEIGHT)
        for parameter, part in zip(self._parameters, parts, strict=True):
            parameter.grad = (part / weight).view_as(parameter)
        self._add_penalty()
        self._descend()
        return loss / weight, n_targets

    def _add_penalty(self) -> None:
        """Add the gradients of the penalty to those of the loss."""
        penalty = self.penalty()
        if isinstance(penalty, Tensor):
            penalty.backward()

    def _loss(self, chunk: Chunk) -> Tensor:
        with self._autocast(chunk.values.device.type):
            parameters, _ = self.network(chunk.steps, chunk.targets, at=chunk.at)  # (B, M, J, C, K)
        return self.network.loss(parameters.float(), chunk.values, chunk.weight)

    def _descend(self) -> None:
        if self.max_grad_norm is not None:
            self._clip(self.max_grad_norm)
        self.optimizer.step()

    def _cuda_graphs(self) -> CudaGraphs | None:
        """Graphs of the steps, where the device has them and every step is the same."""
        device = self._parameters[0].device
        if self.processes.n > 1 or device.type != "cuda":
            return None
        if not is_capturable(self.network, self.optimizer, self.callbacks):
            return None
        drops = self.network.has_dropout
        generator = self.streams.dropout(device) if drops else None
        return CudaGraphs(self._learn, self._parameters, self.optimizer, generator)

    @cached_property
    def _parameters(self) -> list[nn.Parameter]:
        return list(self.network.parameters())  # walking through the modules takes time

    def _autocast(self, device_type: str) -> AbstractContextManager:
        if self.precision != "bf16":
            return nullcontext()  # autocast takes time even where it is not enabled
        return torch.autocast(device_type, torch.bfloat16)

    def _clip(self, max_norm: float) -> None:
        """Scale the gradients down to a norm of ``max_norm`` together, if theirs is larger.

        As torch's clip_grad_norm_, in fewer operators.
        """
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        torch._foreach_div_(gradients, (norm / max_norm).clamp(min=1.0))

    def validated(self) -> float:
        """The validation loss; the weights are kept if it is the lowest so far."""
        self.network.eval()
        progress = self.progress
        with nullcontext() if self.average is None else self.average.used():
            loss = self.validate()  # type: ignore[misc]
            check_finite("validation loss", loss, self.training, self.optimizer)
            if loss < progress.best_loss:
                progress.best_loss, progress.best_epoch = loss, progress.epoch
                progress.best_weights = copy.deepcopy(self.network.state_dict())
        return loss

    # ------------------------------------------------------------------------------ state

    def state_dict(self) -> dict[str, Any]:
        """All that training goes on from: weights, optimiser, schedule, random numbers, history."""
        progress = dict(vars(self.progress))
        return copy.deepcopy(
            {
                "network": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
                "average": None if self.average is None else self.average.state_dict(),
                "streams": self.streams.state_dict(),
                "progress": progress,
                "history": self.training.rows,
            }
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict` of a trainer with the same data and parameters."""
        state = copy.deepcopy(state)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.streams.load_state_dict(state["streams"])
        self.progress = Progress(**state["progress"])
        device = self._parameters[0].device
        for losses in (self.progress.losses, self.progress.weights):
            losses[:] = [loss.to(device) for loss in losses]
        self.training.rows = state["history"]
        self.training.epoch, self.training.step = self.progress.epoch, self.progress.step

    # ------------------------------------------------------------------------------- ends

    @contextmanager
    def _drawing(self) -> Iterator[None]:
        """Let dropout draw from the trainer's own generator, and TF32 be used if it is allowed."""
        device = next(self.network.parameters()).device
        drops = self.network.has_dropout
        self.network.draw_dropout_from(self.streams.dropout(device) if drops else None)
        try:
            with tf32(self.precision == "tf32"):
                yield
        finally:
            self.network.draw_dropout_from(None)

    def _warn_of_interrupt(self, epoch: str) -> None:
        progress = self.progress
        best = progress.best_epoch
        weights = f"the weights of epoch {best}, the best," if best else "the present weights,"
        warnings.warn(
            f"Training was interrupted in epoch {epoch}, after {progress.step} optimiser steps. "
            f"{self.training.name} keeps {weights} as if training had ended there. `update` trains "
            f"on with new observations, `fit` starts again.",
            stacklevel=4,
        )

    def _notify(self, event: str, *args: Any) -> None:
        for callback in self.callbacks:
            if getattr(callback, event)(self.training, *args):
                self.stopped = True
        if self.first_decides:
            self.stopped = self.processes.from_first(self.stopped)

    def _notify_end(self) -> None:
        with ExitStack() as ends:  # all of them run, even if one fails
            for callback in reversed(self.callbacks):
                ends.callback(callback.on_train_end, self.training)
