"""Callbacks: what happens besides training, between epochs and batches."""

from __future__ import annotations

from typing import Any


class Callback:
    """Base class of what runs during training; override the methods you need.

    The order is ``on_train_begin``, then for each epoch ``on_epoch_begin``, ``on_batch_end`` after
    every optimiser step, ``on_epoch_end``, and last ``on_train_end``, which runs also when training
    ends early or fails. Each event is told to all callbacks in the order of their list.
    ``forecaster`` is the forecaster being fitted, its network at ``forecaster.network_`` and the
    whole epochs so far in ``forecaster.history_``, those before an `update` included.

    Training stops when ``on_batch_end`` or ``on_epoch_end`` returns True. The remaining callbacks
    are told all the same, and after ``on_batch_end`` so is the end of the epoch, whose row is of
    the steps it made. A KeyboardInterrupt, be it of Ctrl-C or of a callback, ends training at
    once: next is ``on_train_end``. Any other exception does so too, and is raised from `fit`.

    Examples
    --------
    >>> from skrnn import GRUForecaster
    >>> from skrnn.callbacks import Callback
    >>> from skrnn.datasets import make_hourly_load
    >>> class StopBelow(Callback):
    ...     def __init__(self, loss):
    ...         self.loss = loss
    ...     def on_epoch_end(self, forecaster, epoch):
    ...         return epoch["loss"] < self.loss
    >>> y = make_hourly_load(n_series=2, n_hours=500, random_state=0)
    >>> forecaster = GRUForecaster(hidden_size=8, num_epochs=50, callbacks=[StopBelow(10.0)])
    >>> len(forecaster.fit(y).history_)
    1
    """

    def on_train_begin(self, forecaster: Any, num_epochs: int) -> None:
        """Run before the first epoch.

        Parameters
        ----------
        forecaster : object
            The forecaster being fitted.
        num_epochs : int
            Epochs that are planned.
        """

    def on_epoch_begin(self, forecaster: Any) -> None:
        """Run before each epoch.

        Parameters
        ----------
        forecaster : object
            The forecaster being fitted.
        """

    def on_batch_end(self, forecaster: Any, n_batches: int) -> bool | None:
        """Run after each optimiser step.

        Parameters
        ----------
        forecaster : object
            The forecaster being fitted.
        n_batches : int
            Optimiser steps of a whole epoch, at most: pieces are cut anew in each.

        Returns
        -------
        bool or None
            True stops training.
        """

    def on_epoch_end(self, forecaster: Any, epoch: dict[str, float]) -> bool | None:
        """Run after each epoch, and after its validation.

        Parameters
        ----------
        forecaster : object
            The forecaster being fitted.
        epoch : dict
            The epoch's row of ``history_``.

        Returns
        -------
        bool or None
            True stops training.
        """

    def on_train_end(self, forecaster: Any) -> None:
        """Run after the last epoch, and when training fails; the best weights are back in place.

        Parameters
        ----------
        forecaster : object
            The forecaster being fitted.
        """


class ProgressBar(Callback):
    """A bar that counts optimiser steps and shows the loss; on a terminal or in a notebook.

    ``verbose=True`` of a forecaster adds it.

    Raises
    ------
    ImportError
        When training begins, if tqdm is not installed.
    """

    def __init__(self) -> None:
        self.bar: Any = None

    def on_train_begin(self, forecaster: Any, num_epochs: int) -> None:
        """Open the bar."""
        try:
            from tqdm.auto import tqdm
        except ImportError as error:
            msg = (
                "verbose=True needs tqdm for the progress bar. Run `pip install skrnn[progress]`, "
                "or pass verbose=False."
            )
            raise ImportError(msg) from error
        self.num_epochs, self.epoch = num_epochs, 0
        self.bar = tqdm(desc=type(forecaster).__name__, unit="step")

    def on_batch_end(self, forecaster: Any, n_batches: int) -> None:
        """Move the bar by one step."""
        self.bar.total = n_batches * self.num_epochs
        self.bar.update()

    def on_epoch_end(self, forecaster: Any, epoch: dict[str, float]) -> None:
        """Show the losses of the epoch; the bar is full should this be the last."""
        self.epoch += 1  # the row counts on from earlier trainings
        self.bar.total = self.bar.n
        shown = {name: epoch[name] for name in ("loss", "validation_loss") if name in epoch}
        # Drawn with the next step or the close, which know the total.
        self.bar.set_postfix(refresh=False, epoch=f"{self.epoch}/{self.num_epochs}", **shown)

    def on_train_end(self, forecaster: Any) -> None:
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
    """

    def __init__(self, max_steps: int):
        if max_steps < 1:
            msg = f"max_steps must be at least 1. Got {max_steps!r}; num_epochs=0 trains nothing."
            raise ValueError(msg)
        self.max_steps = max_steps

    def on_train_begin(self, forecaster: Any, num_epochs: int) -> None:
        """Start counting."""
        self.steps = 0

    def on_batch_end(self, forecaster: Any, n_batches: int) -> bool:
        """Count a step."""
        self.steps += 1
        return self.steps >= self.max_steps
