"""Callbacks: what happens besides training, between epochs and batches."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from numbers import Integral
from typing import Any, ClassVar

import pandas as pd
from torch import nn

__all__ = ["Callback", "ProgressBar", "StopAfter", "Training"]


class Training:
    """What callbacks may read of a training under way.

    Parameters
    ----------
    name : str
        Name of the forecaster's class.
    network : torch.nn.Module
        The network in training.

    Attributes
    ----------
    num_epochs : int
        Epochs that are planned.
    epoch : int
        Whole epochs so far in this training.
    step : int
        Optimiser steps so far in this training.

    Examples
    --------
    >>> from sktime.datasets import load_airline
    >>> from skrnn import GRUForecaster
    >>> from skrnn.callbacks import Callback
    >>> class Last(Callback):
    ...     def on_train_end(self, training):
    ...         print(training.name, training.epoch, len(training.history))
    >>> forecaster = GRUForecaster(hidden_size=4, num_epochs=2, callbacks=[Last()])
    >>> _ = forecaster.fit(load_airline())
    GRUForecaster 2 2
    """

    def __init__(self, name: str, network: nn.Module):
        self.name, self.network = name, network
        self.num_epochs = self.epoch = self.step = 0
        self.rows: list[dict[str, float]] = []

    @property
    def history(self) -> pd.DataFrame:
        """A row for each whole epoch, those before an `update` included; see ``history_``."""
        return pd.DataFrame(self.rows)


class Callback:
    """Base class of what runs during training; override the methods you need.

    The order is ``on_train_begin``, then for each epoch ``on_epoch_begin``, ``on_batch_end`` after
    every optimiser step, ``on_epoch_end``, and last ``on_train_end``, which runs also when training
    ends early or fails. All callbacks get each event, in the order of their list.

    Training stops when ``on_batch_end`` or ``on_epoch_end`` returns True. The remaining callbacks
    still get the event. After ``on_batch_end`` they also get ``on_epoch_end``, whose row covers the
    steps of the unfinished epoch. A KeyboardInterrupt, from Ctrl-C or from a callback, ends
    training at once: ``on_train_end`` is next. So does any other exception, which `fit` raises.

    Attributes
    ----------
    only_observes : bool
        Whether the callback reads the training and changes nothing in it, except that it may stop
        it. On a CUDA device a training whose callbacks only observe is several times faster: its
        steps are captured as CUDA graphs. False unless a subclass says so.

    Examples
    --------
    >>> from skrnn import GRUForecaster
    >>> from skrnn.callbacks import Callback
    >>> from skrnn.datasets import make_hourly_load
    >>> class StopBelow(Callback):
    ...     only_observes = True
    ...     def __init__(self, loss):
    ...         self.loss = loss
    ...     def on_epoch_end(self, training, epoch):
    ...         return epoch["loss"] < self.loss
    >>> y = make_hourly_load(n_series=2, n_hours=500, random_state=0)
    >>> forecaster = GRUForecaster(hidden_size=8, num_epochs=50, callbacks=[StopBelow(10.0)])
    >>> len(forecaster.fit(y).history_)
    1
    """

    only_observes: ClassVar[bool] = False

    def on_train_begin(self, training: Training, num_epochs: int) -> None:
        """Run before the first epoch.

        Parameters
        ----------
        training : Training
            The training under way.
        num_epochs : int
            Epochs that are planned.
        """

    def on_epoch_begin(self, training: Training) -> None:
        """Run before each epoch.

        Parameters
        ----------
        training : Training
            The training under way.
        """

    def on_batch_end(self, training: Training, n_batches: int) -> bool | None:
        """Run after each optimiser step.

        Parameters
        ----------
        training : Training
            The training under way.
        n_batches : int
            Optimiser steps of a whole epoch, at most: chunks are cut anew in each.

        Returns
        -------
        bool or None
            True stops training.
        """

    def on_epoch_end(self, training: Training, epoch: dict[str, float]) -> bool | None:
        """Run after each epoch, and after its validation.

        Parameters
        ----------
        training : Training
            The training under way.
        epoch : dict
            The epoch's row of ``history_``.

        Returns
        -------
        bool or None
            True stops training.
        """

    def on_train_end(self, training: Training) -> None:
        """Run after the last epoch, and when training fails; the best weights are back in place.

        Parameters
        ----------
        training : Training
            The training under way.
        """


class ProgressBar(Callback):
    """A bar that counts optimiser steps and shows the loss, on a terminal or in a notebook.

    In a log file or a pipe, where each redrawing would be a line, it prints one line an epoch.
    ``verbose=True`` of a forecaster adds it.

    Raises
    ------
    ImportError
        When training begins, if tqdm is not installed.

    Examples
    --------
    >>> from sktime.datasets import load_airline
    >>> from skrnn import GRUForecaster
    >>> from skrnn.callbacks import ProgressBar
    >>> forecaster = GRUForecaster(hidden_size=4, num_epochs=2, callbacks=[ProgressBar()])
    >>> len(forecaster.fit(load_airline()).history_)  # the bar is on standard error
    2
    """

    only_observes = True

    def __init__(self) -> None:
        self.bar: Any = None

    def on_train_begin(self, training: Training, num_epochs: int) -> None:
        """Open the bar."""
        try:
            from tqdm.auto import tqdm
        except ImportError as error:
            msg = (
                "verbose=True needs tqdm for the progress bar. Run "
                '`pip install "skrnn[progress]"`, or pass verbose=False.'
            )
            raise ImportError(msg) from error
        in_notebook = any(kind.__module__ == "tqdm.notebook" for kind in tqdm.__mro__)
        # None: no bar where standard error is no terminal, as it is not in a notebook either.
        disable = False if in_notebook else None
        done = training.step  # more than 0 if an earlier training is resumed
        self.bar = tqdm(desc=training.name, unit="step", initial=done, disable=disable)

    def on_batch_end(self, training: Training, n_batches: int) -> None:
        """Move the bar by one step."""
        self.bar.total = n_batches * training.num_epochs
        self.bar.update()

    def on_epoch_end(self, training: Training, epoch: Mapping[str, float]) -> None:
        """Show the losses of the epoch; the bar is full should this be the last."""
        losses = {name: epoch[name] for name in ("loss", "validation_loss") if name in epoch}
        # The row goes on counting from earlier trainings.
        count = f"{training.epoch}/{training.num_epochs}"
        if self.bar.disable:
            parts = [f"{name.replace('_', ' ')} {value:.4g}" for name, value in losses.items()]
            print(f"{training.name}: epoch {count}, {', '.join(parts)}", file=sys.stderr)
            return
        self.bar.total = self.bar.n
        # Drawn with the next step or the close, which know the total.
        self.bar.set_postfix(refresh=False, epoch=count, **losses)

    def on_train_end(self, training: Training) -> None:
        """Close the bar, if it could be opened."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None  # an open bar cannot be pickled with the forecaster


class StopAfter(Callback):
    """Stop after some optimiser steps.

    Parameters
    ----------
    max_steps : int
        Optimiser steps of one training, at least 1.

    Raises
    ------
    TypeError, ValueError
        If ``max_steps`` is not an int of at least 1.

    Examples
    --------
    >>> from sktime.datasets import load_airline
    >>> from skrnn import GRUForecaster
    >>> from skrnn.callbacks import StopAfter
    >>> forecaster = GRUForecaster(hidden_size=4, num_epochs=50, callbacks=[StopAfter(3)])
    >>> forecaster.fit(load_airline()).history_["epoch"].max()  # one step is an epoch here
    np.int64(3)
    """

    only_observes = True

    def __init__(self, max_steps: int):
        if not isinstance(max_steps, Integral) or isinstance(max_steps, bool):
            msg = f"max_steps must be an int of at least 1. Got {max_steps!r} instead."
            raise TypeError(msg)
        if max_steps < 1:
            msg = f"max_steps must be at least 1. Got {max_steps!r}; num_epochs=0 trains nothing."
            raise ValueError(msg)
        self.max_steps: int = max_steps

    def on_batch_end(self, training: Training, n_batches: int) -> bool:
        """Stop training after the last of these steps."""
        return training.step >= self.max_steps
