"""Fitting: from data and a forecaster's parameters to a trained model."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from skrnn.callbacks import Callback, ProgressBar, StopAfter, Training
from skrnn.contract.parameters import architecture_of, named, result_of, tuple_of
from skrnn.data.counts import check_counts
from skrnn.data.covariates import Covariates
from skrnn.data.held_out import FEWEST_TRAINING_ROWS, HeldOut
from skrnn.data.holidays import Holidays
from skrnn.data.level_shift import LevelShift
from skrnn.data.panel import Panel
from skrnn.data.scaling import Scaler
from skrnn.distributions import distribution_of
from skrnn.features.calendar import calendar_cycle, calendar_fields
from skrnn.features.device_panel import DevicePanel
from skrnn.features.features import Features, Strategy
from skrnn.features.linear_forecast import linear_lags
from skrnn.features.seasonality import check_within, level_period, seasonal_periods
from skrnn.forecasting.fitted import Fitted
from skrnn.forecasting.model import Model
from skrnn.forecasting.validation import HeldOutPaths, validation
from skrnn.naive import AUTO_LEVEL, AUTO_SEASONAL, naive_kinds
from skrnn.network.cells import CELLS
from skrnn.network.devices import resolve_device
from skrnn.network.network import RecurrentNetwork
from skrnn.network.randomness import RandomStreams, drawing_from
from skrnn.training.averages import WeightAverage
from skrnn.training.chunks import Chunks
from skrnn.training.prior import NaivePrior
from skrnn.training.schedules import (
    OPTIMIZERS,
    SCHEDULERS,
    WARM_UP_STEPS,
    is_milestone,
    one_cycle,
    planned_epochs,
    warm_up,
)
from skrnn.training.start import fit_linear_forecasts, start
from skrnn.training.trainer import Trainer

# An update trains at this share of the learning rate (decision 4).
UPDATE_LR_SHARE = 0.1
# The linear forecast reads calendar fields of which the data cover one cycle: its few waves are
# smooth, and penalised.
LINEAR_CALENDAR_CYCLES = 0.95  # 365 days hold a year of 365.25
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


# ------------------------------------------------------------------------------------- data


def read(
    forecaster: Any, y: pd.DataFrame, X: pd.DataFrame | None, pretrained: Model | None
) -> Panel:
    """The data as a panel that begins with the first observation of each series."""
    if y is None:  # sktime refuses it in fit, but not in pretrain
        msg = "pretrain needs y, a panel of several series, but y is None. Pass pretrain(y)."
        raise TypeError(msg)
    if pretrained is None:
        past = tuple_of(forecaster.past_covariates, auto=())
        covariates = Covariates.of(X, past, y.index)
    else:
        covariates = _pretrained_covariates(pretrained, X)
    panel = Panel.from_pandas(y, X, covariates).trim_leading_missing()
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


def forecasts_counts(forecaster: Any) -> bool:
    """Whether the criterion is a distribution of counts."""
    return distribution_of(forecaster.criterion, forecaster.quantiles).of_counts


def _pretrained_covariates(pretrained: Model, X: pd.DataFrame | None) -> Covariates:
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
    counts = trained.lengths[:, None]
    if trained.observed is not None:
        observed = trained.observed[:, : len(trained.columns)].astype(np.int64)
        counts = np.add.reduceat(observed, trained.offsets[:-1])  # (S, C)
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


# ------------------------------------------------------------------------------------ model


def new_model(
    forecaster: Any,
    panel: Panel,
    strategy: Strategy,
    device: torch.device,
    streams: RandomStreams,
) -> Model:
    """An untrained model, its features chosen from the rows to train on."""
    numbers = panel.known[:, panel.covariates.numbers]
    # X is scaled over all series alike: a column that is constant in each tells them apart.
    known_scaler = Scaler("standard" if forecaster.scaler else None).fit(
        numbers, np.zeros(len(panel.values), dtype=np.int64)
    )
    with drawing_from(streams.weights):
        network = RecurrentNetwork(
            chosen_features(forecaster, panel, strategy),
            distribution_of(forecaster.criterion, forecaster.quantiles),
            named(forecaster._cell(), CELLS),
            forecaster.hidden_size,
            forecaster.num_layers,
            forecaster.dropout,
        )
    return Model(
        network=network.float().to(device).eval(),
        known_scaler=known_scaler,
        covariates=panel.covariates,
        architecture=architecture_of(forecaster),
        **_of_series(forecaster, panel),
    )


def chosen_features(forecaster: Any, panel: Panel, strategy: Strategy) -> Features:
    """The features that parameters ask for; "auto" looks at the rows to train on."""
    sp = seasonal_periods(forecaster.sp, panel)
    lags = tuple_of(forecaster.lags, auto=sp)
    check_within("lags", lags, int(panel.lengths.max()))
    calendar = calendar_fields(forecaster.calendar, panel)
    auto = AUTO_SEASONAL if max(sp, default=1) > 1 else AUTO_LEVEL
    covariates = panel.covariates
    return Features(
        sp=sp,
        lags=lags,
        naive=naive_kinds(tuple_of(forecaster.naive, auto=auto)),
        calendar=calendar,
        holidays=None if forecaster.holidays is None else Holidays(forecaster.holidays),
        n_columns=len(panel.columns),
        n_past=len(covariates.past),
        n_numbers=int(covariates.numbers.sum()),
        sizes=covariates.sizes,
        missing=panel.observed is not None and not panel.observed.all(),
        strategy=strategy,
        patch_length=forecaster.patch_length,
        level_period=level_period(panel),
        cycle=calendar_cycle(calendar, panel),
        linear_lags=chosen_lags(forecaster, sp, panel),
        linear_calendar=calendar_fields(forecaster.calendar, panel, LINEAR_CALENDAR_CYCLES),
        of_counts=forecasts_counts(forecaster),
    )


def chosen_lags(forecaster: Any, sp: tuple[int, ...], panel: Panel) -> tuple[int, ...]:
    """Lags of the linear forecast: those given, or with "auto" those of the seasons."""
    lags = forecaster.linear_lags
    if lags is None or forecaster.naive is None:
        return ()
    if not isinstance(lags, str):
        given = tuple_of(lags, auto=())
        check_within("linear_lags", given, int(panel.lengths.max()))
        return tuple(sorted({1, *given}))
    return linear_lags(sp, int(np.median(panel.lengths)))


def warm_model(forecaster: Any, pretrained: Model, panel: Panel, device: torch.device) -> Model:
    """A copy of a pretrained model for the series of this panel."""
    network = copy.deepcopy(pretrained.network).to(device)
    network.set_dropout(forecaster.dropout)
    return replace(pretrained, network=network, **_of_series(forecaster, panel))


def with_level_shift(model: Model, panel: Panel) -> Model:
    """The model with the level shifts that the series of a filled panel end with; no counts'."""
    if model.features.of_counts:
        return model
    return replace(model, level_shift=LevelShift.latest(panel, model.features.seasons))


def _of_series(forecaster: Any, panel: Panel) -> dict[str, Any]:
    """What a model takes from the series of a fit and from parameters that need no new weights."""
    return {
        "scaler": Scaler(forecaster.scaler, is_centered=not forecasts_counts(forecaster)).fit(
            panel.values, panel.series_of_rows()
        ),
        "columns": panel.columns,
        "timeline": panel.timeline,
        "window_length": forecaster.window_length,
        "stride": forecaster.window_length if forecaster.supervision == "dense" else 1,
        "allows_tf32": forecaster.precision == "tf32",
    }


# --------------------------------------------------------------------------------- training


def train(
    forecaster: Any,
    model: Model,
    panel: Panel,
    held_out: HeldOut,
    streams: RandomStreams,
    is_new: bool,
) -> tuple[Model, Model, Record]:
    """Train the model's network in place; also the model that the held-out rows have not changed.

    With ``validation_split="auto"``, training on the other rows shows how long it helps; then all
    rows are trained on.
    """
    data = model.on_device(panel)
    stop, _ = held_out.rows(panel)
    chunks = _chunks(forecaster, data, stop, streams)
    num_epochs = planned_epochs(forecaster.num_epochs, chunks.n_targets, len(chunks))
    if num_epochs or is_new:
        _check_targets(model, chunks, panel)
    if is_new:
        model = _started(model, chunks, streams)
    validate = None if held_out.is_empty else validation(model, panel, data, held_out)
    training = Training(type(forecaster).__name__, model.network)
    if not num_epochs:
        return model, model, Record(training.history, 0)
    n_before = model.network.n_observations.clone()
    model.network.n_observations += chunks.n_observations
    trainer = _trainer(forecaster, model, chunks, streams, training, forecaster.lr)
    trainer.validate = validate
    if held_out.is_empty or not held_out.is_trained_on:
        schedule = named(forecaster.lr_scheduler, SCHEDULERS)
        if schedule is not None:
            steps = num_epochs * len(chunks)
            trainer.scheduler = result_of(
                "lr_scheduler", LRScheduler, schedule, trainer.optimizer, steps
            )
        trainer.fit(num_epochs)
        return model, model, Record(training.history, num_epochs)
    trainer.scheduler, trainer.is_validated = warm_up(trainer.optimizer), is_milestone
    trainer.average = WeightAverage(model.network)
    trainer.patience, trainer.patience_per_epoch = CHOOSING_PATIENCE, CHOOSING_PATIENCE_PER_EPOCH
    trainer.validated()  # untrained
    trainer.fit(max(1, round(num_epochs * (1 - FINAL_SHARE))))
    HeldOutPaths(model, panel, data, held_out).set_share()
    # From here on the network changes; this model has not been trained on the held-out rows.
    early = replace(model, network=copy.deepcopy(model.network))
    num_epochs = trainer.progress.best_epoch
    if not (trainer.interrupted or trainer.stopped):
        whole = _chunks(forecaster, data, panel.lengths, streams)
        if is_new and num_epochs:
            fit_linear_forecasts(model.network, whole)
        elif is_new:
            model = _started(model, whole, streams)
        n_chosen = num_epochs * len(chunks)
        steps = round(n_chosen * FINAL_SHARE / (1 - FINAL_SHARE))
        if steps:
            model.network.n_observations.copy_(n_before + whole.n_observations)
            # No higher than the rate had risen.
            lr = forecaster.lr * min(1.0, n_chosen / WARM_UP_STEPS)
            trainer = _trainer(forecaster, model, whole, streams, training, lr)
            trainer.scheduler = one_cycle(trainer.optimizer, steps)
            trainer.callbacks.append(StopAfter(steps))
            trainer.fit(-(-steps // len(whole)))
    return model, early, Record(training.history, num_epochs)


def train_on(
    forecaster: Any, fitted: Fitted, previous_end: np.ndarray, history: pd.DataFrame
) -> tuple[Fitted, pd.DataFrame]:
    """The fitted state with a copy of its model, trained on with the rows that an update added.

    The steps are those of as many epochs over all the data as `fit` planned or chose, times the
    share of it that is new, at a tenth of the learning rate. They train on the new rows of each
    series and a window before them, except rows that are held out for good. Without new rows, old
    ones may have been revised: the last rows that are not held out are trained on.
    """
    device, panel = resolve_device(forecaster.device), fitted.panel
    model = replace(fitted.model, network=copy.deepcopy(fitted.model.network).to(device))
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
    whole = _chunks(forecaster, data, panel.lengths, streams)
    planned = forecaster.num_epochs_ * len(whole)
    steps = int(np.ceil(planned * n_new.sum() / len(panel.values)))
    chunks = _chunks(forecaster, data, stop, streams, since)
    if not steps or not _has_target(model, chunks, panel).any():
        return fitted, history
    model.network.n_observations += int(n_new.sum())
    training = Training(type(forecaster).__name__, model.network)
    training.rows = history.to_dict("records")
    trainer = _trainer(
        forecaster, model, chunks, streams, training, forecaster.lr * UPDATE_LR_SHARE
    )
    trainer.callbacks.append(StopAfter(steps))
    trainer.fit(-(-steps // len(chunks)))
    return replace(fitted, model=model), training.history


def _chunks(
    forecaster: Any,
    data: DevicePanel,
    stop: np.ndarray,
    streams: RandomStreams,
    since: np.ndarray | int = 0,
) -> Chunks:
    return Chunks(
        data,
        stop,
        forecaster.window_length,
        forecaster.batch_size,
        forecaster.supervision,
        streams.numpy,
        since,
    )


def _check_targets(model: Model, chunks: Chunks, panel: Panel) -> None:
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
            has_target = np.array([observed[o + a : o + b, :n].any() for a, b, o in rows])
        result.append(has_target.any())
    return np.array(result)


def _trainer(
    forecaster: Any,
    model: Model,
    chunks: Chunks,
    streams: RandomStreams,
    training: Training,
    lr: float,
) -> Trainer:
    make = named(forecaster.optimizer, OPTIMIZERS)
    options = {"lr": lr, **(forecaster.optimizer_kwargs or {})}
    callbacks: list[Callback] = list(forecaster.callbacks or [])
    return Trainer(
        network=model.network,
        chunks=chunks,
        optimizer=result_of("optimizer", Optimizer, make, model.network.parameters(), **options),
        streams=streams,
        penalty=NaivePrior(model.network, chunks.n_observations).penalty,
        max_grad_norm=forecaster.max_grad_norm,
        callbacks=[*callbacks, *([ProgressBar()] if forecaster.verbose else [])],
        training=training,
        patience=forecaster.patience,
        precision=forecaster.precision,
        keep_at_interrupt=not forecaster._is_clone,
    )


def _started(model: Model, chunks: Chunks, streams: RandomStreams) -> Model:
    """The model with its network ready to be trained."""
    start(model.network, chunks, streams)
    if not model.features.n_mixed:
        return model
    return replace(model, initial_weights=model.network.initial_weights().cpu().numpy())
