"""Training: forward, backward, clip, step; early stopping; history."""

from __future__ import annotations

import copy
import math
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, ReduceLROnPlateau

from skrnn.callbacks import Callback
from skrnn.network.devices import tf32
from skrnn.network.network import RecurrentNetwork
from skrnn.training.chunks import Chunk, Chunks

# Fused: all weights in one kernel, 50 us a step on a CPU instead of 180.
OPTIMIZERS: dict[str, Callable] = {
    "adamw": partial(torch.optim.AdamW, weight_decay=0.01, fused=True),
    "adam": partial(torch.optim.Adam, fused=True),
    "sgd": partial(torch.optim.SGD, fused=True),
    "rmsprop": torch.optim.RMSprop,
}


def one_cycle(optimizer: torch.optim.Optimizer, total_steps: int) -> Any:
    """Rise to the learning rate over the first tenth of training, then fall to almost zero.

    Smith and Topin, Super-Convergence (2018); the momentum stays as it is.
    """
    rise = max(1, total_steps // 10)

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        done = min(1.0, (step - rise) / max(1, total_steps - rise))
        return 1e-4 + (1 - 1e-4) * 0.5 * (1 + math.cos(math.pi * done))

    return LambdaLR(optimizer, factor)


def cosine(optimizer: torch.optim.Optimizer, total_steps: int) -> Any:
    """Fall from the learning rate to zero along half a cosine; Loshchilov and Hutter (2017)."""
    return CosineAnnealingLR(optimizer, total_steps)


def plateau(optimizer: torch.optim.Optimizer, total_steps: int) -> Any:
    """Halve the learning rate after every fifth epoch in a row without a lower loss.

    Lower by a ten-thousandth, which is torch's default.
    """
    return ReduceLROnPlateau(optimizer, factor=0.5, patience=4)  # torch's patience is exceeded


SCHEDULERS: dict[str, Callable] = {"one_cycle": one_cycle, "cosine": cosine, "plateau": plateau}


# Observations' worth of trust in the naive mix, see `Trainer.trust`: of a network that is told of
# its series alone, and of one that is told more, which no naive forecast knows. Chosen on short
# series, on seasons before the last two (decisions 10 and 11).
PRIOR, PRIOR_TOLD = 2_000.0, 50.0


# Modules that fit many forecasters, by the beginnings of their names.
SEARCHES = ("sklearn.model_selection", "sktime.forecasting.model_")


def planned_steps(n_targets: int) -> float:
    """Optimiser steps for n targets: min(n / 4, 60 n^(1/3)).

    132 months get 33 steps, a million hours 6,000: the steps grow with what there is to learn,
    but a series ten thousand times as long is not trained ten thousand times as long.
    """
    return min(n_targets / 4, 60 * n_targets ** (1 / 3))


def planned_epochs(n_targets: int, n_batches: int) -> int:
    """Epochs that make about the planned steps, at least one."""
    return max(1, round(planned_steps(n_targets) / n_batches))


def check_finite(name: str, value: float) -> None:
    """Raise FloatingPointError if training has diverged."""
    if not math.isfinite(value):
        msg = (
            f"The {name} must stay finite, but it became {value}. Lower lr, set max_grad_norm, or "
            f"look for extreme values in the data."
        )
        raise FloatingPointError(msg)


def in_search() -> bool:
    """Whether a search or an evaluation, which an interrupt is meant for, is fitting.

    It would take the interrupted training for a whole one, compare it with others and go on with
    the next, so that a hundred candidates would need a hundred interrupts.
    """
    frames = (frame for frame, _ in traceback.walk_stack(None))
    return any(frame.f_globals.get("__name__", "").startswith(SEARCHES) for frame in frames)


@dataclass
class Trainer:
    """The loop over epochs and batches that trains a network in place.

    Parameters
    ----------
    forecaster : object
        What callbacks are shown; its ``history_`` gets a row each epoch.
    network : RecurrentNetwork
    chunks : Chunks
    optimizer : torch.optim.Optimizer
    max_grad_norm : float or None
    callbacks : list of Callback
    history : list of dict
        The rows so far.
    patience : int or None
        Epochs to wait for a new lowest validation loss.
    precision : {"float32", "tf32", "bf16"}
    scheduler : torch.optim.lr_scheduler.LRScheduler or None
        Steps once a batch; a ReduceLROnPlateau once an epoch, by the validation loss if there is
        one, else by the training loss.
    validate : callable or None
        Returns the validation loss. The weights of the epoch with the lowest are kept.
    """

    forecaster: Any
    network: RecurrentNetwork
    chunks: Chunks
    optimizer: torch.optim.Optimizer
    max_grad_norm: float | None
    callbacks: list[Callback]
    history: list[dict[str, float]]
    patience: int | None
    precision: str = "float32"
    scheduler: Any = None
    validate: Callable[[], float] | None = None
    stopped: bool = field(default=False, init=False)
    steps: int = field(default=0, init=False)

    @cached_property
    def _parameters(self) -> list[nn.Parameter]:
        return list(self.network.parameters())  # walking through the modules takes 50 us

    @cached_property
    def n_learnt(self) -> float:
        """Observations, of which a network that is tuned or updated has learnt from more before."""
        return max(self.network.seen.item(), self.chunks.n_observations)

    @property
    def trust(self) -> float:
        """In the naive mix: the observations that it is worth, to those learnt from."""
        return (PRIOR if self.network.features.is_alone else PRIOR_TOLD) / self.n_learnt

    @cached_property
    def ridge(self) -> float:
        """On what departs from the naive mix, in units of the mix's error: a Gaussian prior.

        Where the naive forecasts go back over all that the network is told of, it is 500 to the n/p
        seasons seen, for a profile of p steps is learnt by heart from few repetitions; 5,000
        observations halve that, a million do not feel it. Where they do not, (PRIOR / n)^1.5 leaves
        room for what they cannot know (decision 12).
        """
        features = self.network.features
        if not features.is_foreseen:
            return self.trust**1.5
        n = self.n_learnt
        return 500 * features.longest / n / (1 + (n / 5_000) ** 2)

    def fit(self, num_epochs: int) -> None:
        """Train for some epochs, in the precision asked for; see `_fit`."""
        with tf32(self.precision == "tf32"):
            self._fit(num_epochs)

    def _fit(self, num_epochs: int) -> None:
        """Train for some epochs, or until a callback or the validation loss says stop.

        An interrupt does the same, with a warning; an epoch that it cuts short has no row. It is
        not caught within a search, nor a second one while the first is dealt with.
        """
        best, best_weights, waited = math.inf, None, 0
        epoch, best_epoch, interrupted = 0, 0, False
        try:
            self._tell("on_train_begin", num_epochs)
            for epoch in range(1, num_epochs + 1):
                row = self.epoch()
                if self.validate is not None:
                    row["validation_loss"] = self.validate()
                    waited += 1
                    if row["validation_loss"] < best:
                        best, waited = row["validation_loss"], 0
                        weights = copy.deepcopy(self.network.state_dict())
                        best_weights, best_epoch = weights, epoch
                if isinstance(self.scheduler, ReduceLROnPlateau):
                    self.scheduler.step(row.get("validation_loss", row["loss"]))
                self.history.append(row)
                self.forecaster.history_ = pd.DataFrame(self.history)
                self._tell("on_epoch_end", row)
                if self.stopped or (self.patience is not None and waited >= self.patience):
                    break
        except KeyboardInterrupt:
            if in_search():
                raise
            interrupted = True
        finally:
            if best_weights is not None:
                self.network.load_state_dict(best_weights)
            self.network.eval()
            self._tell("on_train_end")
        if interrupted:  # told now that the progress bar is closed
            self._warn_of_interrupt(f"{epoch} of {num_epochs}", best_epoch)

    def epoch(self) -> dict[str, float]:
        """One pass over all targets; returns the epoch's loss, learning rate and speed."""
        self._tell("on_epoch_begin")
        self.network.train()
        began, lr = time.perf_counter(), self.optimizer.param_groups[0]["lr"]
        losses, counted, n_targets = [], [], 0
        n_batches = len(self.chunks)
        for chunk in self.chunks.epoch():
            losses.append(self.step(chunk))
            counted.append(chunk.weight.sum())  # missing targets and those after the end do not
            self.steps += 1
            n_targets += chunk.n_targets
            self._tell("on_batch_end", n_batches)
            if self.stopped:
                break
        weights = torch.stack(counted)
        # The epoch's only device-to-host sync.
        loss = (torch.stack(losses) @ weights / weights.sum().clamp(min=1)).item()
        check_finite("training loss", loss)
        seconds = time.perf_counter() - began
        return {
            "epoch": len(self.history) + 1,
            "loss": loss,
            "lr": lr,
            "seconds": seconds,
            "targets_per_second": n_targets / seconds,
        }

    def step(self, chunk: Chunk) -> Tensor:
        """Forward, backward, clip, step; the loss stays on the device."""
        with self._autocast(chunk.target.device.type):
            made, _ = self.network(chunk.steps, chunk.ahead, at=chunk.at)  # (B, M, J, C, K)
        loss = self.network.loss(made.float(), chunk.target, chunk.weight)
        for parameter in self._parameters:
            parameter.grad = None
        (loss + self.ridge * self.network.departure()).backward()
        if self.max_grad_norm is not None:
            self._clip(self.max_grad_norm)
        self.optimizer.step()
        if self.scheduler is not None and not isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step()
        return loss.detach()

    def _autocast(self, device_type: str) -> AbstractContextManager:
        if self.precision != "bf16":
            return nullcontext()  # autocast costs 40 us even if it is not enabled
        return torch.autocast(device_type, torch.bfloat16)

    def _clip(self, max_norm: float) -> None:
        """Scale the gradients down to a norm of ``max_norm`` together, if theirs is larger.

        As torch's clip_grad_norm_, in a third less time: that is 1 % of an epoch.
        """
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        torch._foreach_div_(gradients, (norm / max_norm).clamp(min=1.0))

    def _warn_of_interrupt(self, epoch: str, best_epoch: int) -> None:
        if not best_epoch:  # weights that no loss of a whole epoch has vouched for
            weights = nn.utils.parameters_to_vector(self.network.parameters())
            check_finite("largest weight", weights.abs().max().item())
        kept = f"of epoch {best_epoch}, the best," if best_epoch else "of that moment,"
        warnings.warn(
            f"Training was interrupted in epoch {epoch}, after {self.steps} optimiser steps. "
            f"{type(self.forecaster).__name__} keeps the weights {kept} as if training had ended "
            f"there. `update` trains on with new observations, `fit` begins anew.",
            stacklevel=3,
        )

    def _tell(self, event: str, *args: Any) -> None:
        for callback in self.callbacks:
            if getattr(callback, event)(self.forecaster, *args):
                self.stopped = True
