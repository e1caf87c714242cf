"""Checkpoints: a training's state in a file, from which the same training goes on."""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from skrnn.contract.parameters import plain
from skrnn.contract.stored import code_name
from skrnn.data.panel import Panel
from skrnn.data.stored_panel import StoredPanel
from skrnn.files.container import pack, read, unpack, write
from skrnn.files.encoding import CannotSaveError, Decoder, Encoder
from skrnn.forecasting.ensemble import AnyModel
from skrnn.network.randomness import RandomStreams
from skrnn.training.processes import Processes
from skrnn.training.trainer import Trainer

# In a path, replaced by a number that stands for the data and parameters of a fit.
FINGERPRINT, FINGERPRINT_DIGITS = "{fingerprint}", 16
# Parameters that change nothing in the weights.
IRRELEVANT = (
    "checkpoint",
    "checkpoint_seconds",
    "verbose",
    "device",
    "n_samples",
    "forecast_range",
)


class Checkpoint:
    """The state of the trainings of one fit, in a file that is removed when they have ended.

    Parameters
    ----------
    path : str, path-like or None
        Of the file; None for no checkpoints.
    seconds : float
        Between two of them, at least.
    identity : mapping of str to str
        What the weights depend on, each as text.
    processes : Processes
        Those that train together. The first one reads and writes the file.
    """

    def __init__(
        self, path: Any, seconds: float, identity: Mapping[str, str], processes: Processes
    ):
        self.seconds, self.identity, self.processes = seconds, dict(identity), processes
        self.seed: int | None = None
        self.finished: list[dict[str, Any]] = []
        self.present: dict[str, Any] | None = None
        self.n_trainings, self.is_full = 0, False
        self.written = time.monotonic()
        self.path = None
        if path is not None:
            text = json.dumps(self.identity, sort_keys=True).encode()
            fingerprint = hashlib.sha256(text).hexdigest()[:FINGERPRINT_DIGITS]
            self.path = Path(str(path).replace(FINGERPRINT, fingerprint))
            if processes.is_first:
                for unfinished in self.path.parent.glob(f".{self.path.name}.*"):
                    unfinished.unlink(missing_ok=True)  # killed while it was written
                if self.path.exists():
                    self._read()
            found = self.seed, self.finished, self.present
            self.seed, self.finished, self.present = processes.from_first(found)

    @classmethod
    def of(
        cls, forecaster: Any, panel: Panel, before: AnyModel | None, processes: Processes
    ) -> Checkpoint:
        """The checkpoint of a training on these data, which starts from a model or from none.

        Raises
        ------
        ValueError
            If the file, or another process of those that train together, has other data or
            parameters.
        """
        if forecaster.checkpoint is None and processes.n == 1:
            return cls(None, 0.0, {}, processes)
        weights: Any = None
        if before is not None:
            weights = [member.network.state_dict() for member in before.members]
            weights = weights[0] if len(weights) == 1 else weights
        identity = {
            "the forecaster's class": type(forecaster).__name__,
            "the data": panel.digest if isinstance(panel, StoredPanel) else _digest(panel),
            "the weights to start from": _digest(weights),
        }
        for name, value in forecaster.get_params(deep=False).items():
            if name not in IRRELEVANT:
                identity[name] = _text(value)
        has_file = str(forecaster.checkpoint is not None)
        processes.check_alike(identity | {"whether there is a checkpoint": has_file})
        return cls(forecaster.checkpoint, forecaster.checkpoint_seconds, identity, processes)

    def streams(self, drawn: RandomStreams) -> RandomStreams:
        """The random numbers of the training that the file holds, or else those drawn."""
        if self.seed is None:
            self.seed = self.processes.from_first(drawn.seed)
        return RandomStreams(self.seed)

    def run(self, trainer: Trainer, num_epochs: int) -> None:
        """Train, from where the file says that the same training was."""
        number, self.n_trainings = self.n_trainings, self.n_trainings + 1
        if self.path is None:
            trainer.fit(num_epochs)
            return
        if number < len(self.finished):
            self._resume(trainer, self.finished[number])
            trainer.network.eval()
            return
        if self.present is not None:
            self._resume(trainer, self.present)
            self.present = None
        trainer.after_step = self.after_step
        trainer.fit(num_epochs)
        self.finished.append(_state(trainer))
        if self.processes.is_first:
            self._write(self.finished)

    def after_step(self, trainer: Trainer) -> None:
        """Write the state, if the last one is old enough."""
        if self.processes.is_first and time.monotonic() - self.written >= self.seconds:
            self._write([*self.finished, _state(trainer)], is_under_way=True)

    def remove(self) -> None:
        """Remove the file: training has ended, and the forecaster has what it led to."""
        if self.path is None:
            return
        if self.processes.is_first:
            self.path.unlink(missing_ok=True)
        self.processes.from_first(None)  # no process returns while the file is there

    def _resume(self, trainer: Trainer, state: dict[str, Any]) -> None:
        trainer.load_state_dict(state["trainer"])
        trainer.stopped, trainer.interrupted = state["stopped"], state["interrupted"]

    def _write(self, states: list[dict[str, Any]], is_under_way: bool = False) -> None:
        encode = Encoder()
        description = {
            "checkpoint": self.identity,
            "seed": self.seed,
            "is_under_way": is_under_way,
            "states": encode(states, "states"),
        }
        try:
            write(pack(description, encode.arrays), self.path)  # type: ignore[arg-type]
        except OSError as error:
            if not self.is_full:
                warnings.warn(
                    f"The checkpoint {str(self.path)!r} could not be written: {error}. Training "
                    f"goes on, and an earlier checkpoint stays as it is.",
                    stacklevel=2,
                )
            self.is_full = True
        self.written = time.monotonic()

    def _read(self) -> None:
        description, arrays = unpack(read(self.path))  # type: ignore[arg-type]
        found = description.get("checkpoint")
        if found != self.identity:
            names = {*self.identity, *(found or {})}
            differing = sorted(
                name for name in names if self.identity.get(name) != (found or {}).get(name)
            )
            msg = (
                f"The checkpoint {str(self.path)!r} must be one of the same data and parameters, "
                f"but it differs in {', '.join(differing)}. Set them back to go on from it; remove "
                f"it, or name another file, to start again."
            )
            raise ValueError(msg)
        self.seed = description["seed"]
        states = Decoder(arrays)(description["states"])
        if description["is_under_way"]:
            *states, self.present = states
        self.finished = states


def _state(trainer: Trainer) -> dict[str, Any]:
    return {
        "trainer": trainer.state_dict(),
        "stopped": trainer.stopped,
        "interrupted": trainer.interrupted,
    }


def _digest(value: Any) -> str:
    """A hash of an object that a file can hold."""
    encode = Encoder()
    description = {"value": encode(value, "value")}
    return hashlib.sha256(pack(description, encode.arrays)).hexdigest()


def _text(value: Any) -> str:
    """A parameter as text: equal values give equal texts."""
    encode = Encoder()
    try:
        encode(value, "value")
    except CannotSaveError:
        return plain(value) if isinstance(value, nn.Module) else code_name(value)
    return _digest(value) if encode.arrays else repr(value)
