"""Fitting: from data and a forecaster's parameters to a trained model."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from skrnn.callbacks import Callback, ProgressBar, StopAfter, Training
from skrnn.contract.checkpoints import Checkpoint
from skrnn.contract.horizons import strategy_of
from skrnn.contract.models import forecasts_counts, new_model, warm_model, with_level_shift
from skrnn.contract.parameters import named, plain, result_of, tuple_of
from skrnn.contract.pretrained import check_fits
from skrnn.data.counts import check_counts
from skrnn.data.covariates import Covariates
from skrnn.data.held_out import FEWEST_TRAINING_ROWS, HeldOut
from skrnn.data.panel import Panel
from skrnn.features.device_panel import DevicePanel
from skrnn.features.features import Strategy
from skrnn.files.panel_file import PanelFile, panel_of
from skrnn.forecasting.ensemble import AnyModel, ensemble_of
from skrnn.forecasting.fitted import Fitted
from skrnn.forecasting.model import Model
from skrnn.forecasting.validation import HeldOutPaths, validation
from skrnn.network.devices import enough_memory, resolve_device
from skrnn.network.randomness import RandomStreams
from skrnn.network.threads import whole_operators
from skrnn.training.averages import WeightAverage
from skrnn.training.chunks import Chunks
from skrnn.training.prior import NaivePrior
from skrnn.training.processes import Processes
from skrnn.training.schedules import (
    OPTIMIZERS,
    SCHEDULERS,
    WARM_UP_STEPS,
    is_milestone,
    one_cycle,
    planned_epochs,
    warm_up,
)
from skrnn.training.start import start as start_training
from skrnn.training.start import start_on_more
from skrnn.training.trainer import Trainer

# An update trains at this share of the learning rate (decision 4).
UPDATE_LR_SHARE = 0.1
# Where held-out rows choose how long to train, the last share of the steps trains on all rows.
FINAL_SHARE = 0.25
# Epochs to wait for a lower validation loss: so many, and so many for each epoch up to the best.
CHOOSING_PATIENCE, CHOOSING_PATIENCE_PER_EPOCH = 5, 0.6


@dataclass(frozen=True)
class Record:
    """What happened in training.

    Parameters
    ----------
    history : pd.DataFrame
        A row for each epoch; see ``history_``.
    num_epochs : int
        Epochs that were planned.
    """

    history: pd.DataFrame
    num_epochs: int


@dataclass(frozen=True)
class Trained:
    """What a training leads to.

    Parameters
    ----------
    model : Model
    early : Model
        The one that the held-out rows have not changed.
    record : Record
    """

    model: Model
    early: Model
    record: Record


# ------------------------------------------------------------------------------------- data


def read(
    forecaster: Any,
    y: pd.DataFrame | PanelFile,
    X: pd.DataFrame | None,
    pretrained: AnyModel | None,
) -> Panel:
    """The data as a panel that begins with the first observation of each series."""
    if isinstance(y, PanelFile):
        past = tuple_of(forecaster.past_covariates, auto=())
        expected = None if pretrained is None else pretrained.covariates
        return checked(forecaster, panel_of(y, past, expected))
    if y is None:  # sktime refuses it in fit, but not in pretrain
        msg = "pretrain needs y, a panel of several series, but y is None. Pass pretrain(y)."
        raise TypeError(msg)
    if pretrained is None:
        past = tuple_of(forecaster.past_covariates, auto=())
        covariates = Covariates.of(X, past, y.index)
    else:
        covariates = _pretrained_covariates(pretrained, X)
    return checked(forecaster, Panel.from_pandas(y, X, covariates))


def read_each(forecaster: Any, y: pd.DataFrame, X: pd.DataFrame | None) -> list[Panel]:
    """The data of each series as a panel of its own, as `read` reads them alone."""
    past = tuple_of(forecaster.past_covariates, auto=())
    panel = Panel.from_pandas(y, X, Covariates.of(X, past, y.index))
    if panel.keys is None:
        return [checked(forecaster, panel)]
    if not panel.covariates.sizes:
        return [checked(forecaster, panel.series(s)) for s in range(panel.n_series)]
    result = []  # each series has categories of its own
    for s in range(panel.n_series):
        of_y = y.iloc[panel.offsets[s] : panel.offsets[s + 1]]
        own = Panel.from_pandas(of_y, X, Covariates.of(X, past, of_y.index))
        result.append(checked(forecaster, own))
    return result


def checked(forecaster: Any, panel: Panel) -> Panel:
    """The panel from the first observation of each series on, with values to be forecast."""
    panel, covariates = panel.trim_leading_missing(), panel.covariates
    if forecasts_counts(forecaster):
        check_counts(panel)
        if covariates.past and forecaster.strategy == "recursive":
            msg = (
                f"criterion={forecaster.criterion!r} with past_covariates needs "
                f"strategy='multioutput': a recursive forecast forecasts past covariates too, and "
                f"they are no counts. Set it and pass fh in fit, or drop past_covariates."
            )
            raise ValueError(msg)
    return panel


def _pretrained_covariates(pretrained: AnyModel, X: pd.DataFrame | None) -> Covariates:
    expected = pretrained.covariates.columns
    columns = expected[:0] if X is None else X.columns
    if not columns.equals(expected):
        msg = (
            f"The network was pretrained with X of columns {list(expected)}, but fit got "
            f"{list(columns)}. Fit on the same columns in the same order, or `reset()` the "
            f"forecaster first."
        )
        raise ValueError(msg)
    return pretrained.covariates


def held_out_rows(forecaster: Any, panel: Panel, strategy: Strategy) -> HeldOut:
    """The rows that choose how long to train, or give validation losses alone."""
    share = forecaster.validation_split
    if not isinstance(share, str):
        return HeldOut.of(panel, share)
    if forecaster.num_epochs != "auto":
        return HeldOut.of(panel, None)
    return HeldOut.automatic(panel, strategy.horizons[-1])


def training_panel(panel: Panel, held_out: HeldOut) -> Panel:
    """The rows to train on.

    Raises
    ------
    ValueError
        If a column of a series has less than two observations in them.
    """
    stop, _ = held_out.rows(panel)
    trained = panel.cut(stop)
    counts = trained.n_observed[:, : len(trained.columns)]  # (S, C)
    short = np.argwhere(counts < FEWEST_TRAINING_ROWS)
    if len(short):
        s, c = short[0]
        column = f" in column {panel.columns[c]!r}" if len(panel.columns) > 1 else ""
        msg = (
            f"Series {panel.label(s)} must have at least {FEWEST_TRAINING_ROWS} observations to "
            f"train on{column}, but it has {counts[s, c]}. Drop it or lengthen it."
        )
        raise ValueError(msg)
    return trained


@dataclass(frozen=True)
class Untrained:
    """What a training starts from.

    Parameters
    ----------
    model : Model
        Its features, scales and initial weights are chosen.
    panel : Panel
        Its missing values are filled.
    held_out : HeldOut
    streams : RandomStreams
    """

    model: Model
    panel: Panel
    held_out: HeldOut
    streams: RandomStreams


def untrained(
    forecaster: Any,
    panel: Panel,
    fh: Any,
    pretrained: AnyModel | None,
    streams: RandomStreams,
    networks: dict[Any, Any] | None = None,
) -> Untrained:
    """A model for the data, not trained yet; ``networks`` are those of `new_model`.

    Of an ensemble, it is the first member.
    """
    device, strategy = (
        resolve_device(forecaster.device),
        strategy_of(forecaster, panel, fh, pretrained),
    )
    held_out = held_out_rows(forecaster, panel, strategy)
    trained = training_panel(panel, held_out)
    if pretrained is None:
        model = new_model(forecaster, trained, strategy, device, streams, networks)
    else:
        check_fits(forecaster, pretrained, panel, strategy)
        model = warm_model(forecaster, pretrained.members[0], trained, device)
    panel = panel.filled(model.features.seasons)
    return Untrained(with_level_shift(model, panel), panel, held_out, streams)


# --------------------------------------------------------------------------------- training


@enough_memory()
@whole_operators()
def train(
    forecaster: Any,
    start: Untrained,
    checkpoint: Checkpoint,
    processes: Processes,
    is_new: bool,
) -> Trained:
    """Train the model's network in place.

    With ``validation_split="auto"``, training on the other rows shows how long it helps; then all
    rows are trained on. Several processes end with the same weights.
    """
    model, panel, held_out, streams = start.model, start.panel, start.held_out, start.streams
    data = model.on_device(panel)
    stop, _ = held_out.rows(panel)
    chunks = chunks_of(forecaster, data, stop, streams)
    num_epochs = planned_epochs(forecaster.num_epochs, chunks.n_targets, len(chunks))
    if num_epochs or is_new:
        check_targets(model, chunks, panel)
    if is_new:
        scores = start_training(model.network, chunks, streams)
        model = with_initial_weights(model, scores)
    naive_forecasts = model.network.naive_forecasts
    looked_up = chunks.look_up(naive_forecasts, data) if num_epochs else data
    validate = None
    if not held_out.is_empty:
        validate = validation(model, panel, data, looked_up, held_out, processes)
    training = Training(type(forecaster).__name__, model.network)
    if not num_epochs:
        return Trained(model, model, Record(training.history, 0))
    n_before = model.network.n_observations.clone()
    model.network.n_observations += chunks.n_observations
    trainer = _trainer(forecaster, model, chunks, streams, training, forecaster.lr, processes)
    trainer.validate = validate
    if held_out.is_empty or not held_out.is_trained_on:
        schedule = named(forecaster.lr_scheduler, SCHEDULERS)
        if schedule is not None:
            steps = num_epochs * len(chunks)
            trainer.scheduler = result_of(
                "lr_scheduler", LRScheduler, schedule, trainer.optimizer, steps
            )
        checkpoint.run(trainer, num_epochs)
        return Trained(model, model, Record(training.history, num_epochs))
    trainer.scheduler, trainer.is_validated = warm_up(trainer.optimizer), is_milestone
    trainer.average = WeightAverage(model.network.parameters())
    trainer.patience, trainer.patience_per_epoch = CHOOSING_PATIENCE, CHOOSING_PATIENCE_PER_EPOCH
    trainer.validated()  # untrained
    checkpoint.run(trainer, max(1, round(num_epochs * (1 - FINAL_SHARE))))
    HeldOutPaths(model, panel, data, held_out).set_share()
    # From here on the network changes; this model has not been trained on the held-out rows.
    early = replace(model, network=copy.deepcopy(model.network))
    num_epochs = trainer.progress.best_epoch
    if not (trainer.interrupted or trainer.stopped):
        whole = chunks_of(forecaster, data, panel.lengths, streams)
        if is_new:
            if num_epochs:
                scores = start_on_more(model.network, whole, scores, streams)
            else:
                scores = start_training(model.network, whole, streams)
            model = with_initial_weights(model, scores)
        steps, lr = final_phase(forecaster, num_epochs * len(chunks))
        if steps:
            model.network.n_observations.copy_(n_before + whole.n_observations)
            whole.look_up(naive_forecasts, data)
            trainer = _trainer(forecaster, model, whole, streams, training, lr, processes)
            trainer.scheduler = one_cycle(trainer.optimizer, steps)
            trainer.callbacks.append(StopAfter(steps))
            checkpoint.run(trainer, -(-steps // len(whole)))
    return Trained(model, early, Record(training.history, num_epochs))


def final_phase(forecaster: Any, n_chosen: int) -> tuple[int, float]:
    """Steps on all rows after the chosen ones, and their rate: no higher than it had risen."""
    steps = round(n_chosen * FINAL_SHARE / (1 - FINAL_SHARE))
    return steps, forecaster.lr * min(1.0, n_chosen / WARM_UP_STEPS)


def fitted_of(forecaster: Any, start: Untrained, trained: Sequence[Trained]) -> Fitted:
    """The fitted state after the trainings of all members, the first of which had this start."""
    model, early = (
        ensemble_of([getattr(one, name) for one in trained]) for name in ("model", "early")
    )
    if all(one.early is one.model for one in trained):
        early = model
    bounds = plain(forecaster.forecast_range)
    return Fitted(model, start.panel, start.held_out, start.streams.seed, early, bounds)


@enough_memory()
@whole_operators()
def train_on(
    forecaster: Any,
    fitted: Fitted,
    previous_end: np.ndarray,
    history: pd.DataFrame,
    num_epochs: int,
    checkpoint: Checkpoint,
    processes: Processes,
) -> tuple[Fitted, pd.DataFrame]:
    """The fitted state with a copy of its model, trained on with the rows that an update added.

    The steps are those of as many epochs over all the data as `fit` planned or chose, times the
    share of it that is new, at a tenth of the learning rate. They train on the new rows of each
    series and a window before them, except rows that are held out for good. Without new rows, old
    ones may have been revised: the last rows that are not held out are trained on.
    """
    device, panel = resolve_device(forecaster.device), fitted.panel
    model = fitted.single
    model = replace(model, network=copy.deepcopy(model.network).to(device))
    streams = RandomStreams(fitted.seed)
    n_new = np.maximum(panel.end - previous_end, 0)
    first_held_out, stop_held_out = fitted.held_out.rows(panel)
    if fitted.held_out.is_trained_on:
        first_held_out, stop_held_out = panel.lengths, np.zeros_like(panel.lengths)
    if n_new.any():
        stop, earliest = panel.lengths, 0 if fitted.held_out.is_empty else stop_held_out
    else:
        n_new, stop, earliest = np.ones_like(n_new), first_held_out, 0
    # Far enough back for the new rows to be targets of every horizon.
    n_before = max(forecaster.window_length, model.features.horizons[-1] - 1)
    since = np.maximum(stop - np.where(n_new > 0, n_new + n_before, 0), earliest)
    data = model.on_device(panel)
    whole = chunks_of(forecaster, data, panel.lengths, streams)
    planned = num_epochs * len(whole)
    steps = int(np.ceil(planned * n_new.sum() / len(panel.values)))
    chunks = chunks_of(forecaster, data, stop, streams, since)
    if not steps or not _has_target(model, chunks, panel).any():
        return fitted, history
    model.network.n_observations += int(n_new.sum())
    training = Training(type(forecaster).__name__, model.network)
    training.rows = history.to_dict("records")
    trainer = _trainer(
        forecaster, model, chunks, streams, training, forecaster.lr * UPDATE_LR_SHARE, processes
    )
    trainer.callbacks.append(StopAfter(steps))
    checkpoint.run(trainer, -(-steps // len(chunks)))
    return replace(fitted, model=model), training.history


def chunks_of(
    forecaster: Any,
    data: DevicePanel,
    stop: np.ndarray,
    streams: RandomStreams,
    since: np.ndarray | int = 0,
) -> Chunks:
    """The training batches, of rows ``since`` to ``stop`` of each series."""
    return Chunks(
        data,
        stop,
        forecaster.window_length,
        forecaster.batch_size,
        forecaster.supervision,
        streams.numpy,
        since,
    )


def check_targets(model: Model, chunks: Chunks, panel: Panel) -> None:
    """Raise ValueError unless each horizon has a training target."""
    untrained = np.flatnonzero(~_has_target(model, chunks, panel))
    if len(untrained):
        msg = (
            f"Some series must have an observation {model.features.horizons[untrained[0]]} steps "
            f"after the first that training can forecast from, but none has. Shorten fh, pass "
            f"longer series, or hold out less by validation_split."
        )
        raise ValueError(msg)


def _has_target(model: Model, chunks: Chunks, panel: Panel) -> np.ndarray:
    """Whether each horizon has a training target that was observed, (J,)."""
    observed = panel.observed
    result = []
    for h in model.features.horizons:
        first, stop = chunks.begin + h - 1, chunks.stop
        has_target = first < stop
        if observed is not None and has_target.any():
            rows = zip(first, stop, panel.offsets[:-1], strict=True)
            n = len(panel.columns)
            result.append(any(observed[o + a : o + b, :n].any() for a, b, o in rows))
        else:
            result.append(bool(has_target.any()))
    return np.array(result)


def _trainer(
    forecaster: Any,
    model: Model,
    chunks: Chunks,
    streams: RandomStreams,
    training: Training,
    lr: float,
    processes: Processes,
) -> Trainer:
    make = named(forecaster.optimizer, OPTIMIZERS)
    options = {"lr": lr, **(forecaster.optimizer_kwargs or {})}
    callbacks: list[Callback] = list(forecaster.callbacks or [])
    first_decides = bool(callbacks) and processes.n > 1
    if forecaster.verbose:
        callbacks.append(ProgressBar())
    return Trainer(
        network=model.network,
        chunks=chunks,
        optimizer=result_of("optimizer", Optimizer, make, model.network.parameters(), **options),
        streams=streams,
        penalty=NaivePrior(model.network, chunks.n_observations).penalty,
        max_grad_norm=forecaster.max_grad_norm,
        callbacks=callbacks if processes.is_first else [],
        training=training,
        patience=forecaster.patience,
        precision=forecaster.precision,
        processes=processes,
        first_decides=first_decides,
        # The other processes would wait for one that has been interrupted, and so would the other
        # networks of an ensemble.
        keep_at_interrupt=not forecaster._is_clone
        and processes.n == 1
        and forecaster.n_estimators == 1,
    )


def with_initial_weights(model: Model, scores: Tensor) -> Model:
    """The model with a record of the weights of its mix before training."""
    if not model.features.n_mixed:
        return model
    return replace(model, initial_weights=scores.softmax(-1).cpu().numpy())
