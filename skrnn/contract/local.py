"""Local forecasters: a network for each series of a panel, all trained together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn

import pandas as pd

from skrnn.contract.checkpoints import FINGERPRINT, Checkpoint
from skrnn.contract.fitting import Record, fitted_of, read_each, train, train_on, untrained
from skrnn.contract.horizons import steps_ahead
from skrnn.contract.together import Task, Trained, train_together
from skrnn.data.outliers import warn_of_outliers
from skrnn.forecasting.fitted import Fitted
from skrnn.forecasting.local import LocalFitted
from skrnn.forecasting.model import Model
from skrnn.network.randomness import RandomStreams
from skrnn.training.processes import Processes


def fit_each(
    forecaster: Any, y: pd.DataFrame, X: pd.DataFrame | None, fh: Any, pretrained: Model | None
) -> tuple[LocalFitted, list[Record]]:
    """Fit a model to each series, as if a forecaster were fitted to one after the other."""
    _check(forecaster)
    panels = read_each(forecaster, y, X)
    streams = [RandomStreams.of(forecaster.random_state) for _ in panels]
    for panel in panels:
        warn_of_outliers(panel)
    networks: dict[Any, Any] = {}
    processes = Processes.joined()
    together = pretrained is None and processes.n == 1
    starts = []
    for panel, own in zip(panels, streams, strict=True):
        shared = networks if together else None
        starts.append(untrained(forecaster, panel, fh, pretrained, own, shared))
    trained: list[Trained | None] = [None] * len(starts)
    if together:
        trained = train_together([Task(forecaster, start) for start in starts])
    parts, records = [], []
    for panel, start, result in zip(panels, starts, trained, strict=True):
        if result is not None:
            model, early, record = result.model, result.early, result.record
        else:
            checkpoint = Checkpoint.of(forecaster, panel, pretrained, processes)
            own = checkpoint.streams(RandomStreams(start.streams.seed))
            start = untrained(forecaster, panel, fh, pretrained, own)  # with its own network
            model, early, record = train(
                forecaster, start, checkpoint, processes, pretrained is None
            )
            checkpoint.remove()
        parts.append(fitted_of(forecaster, start, model, early))
        records.append(record)
    return LocalFitted(tuple(parts)), records


def _check(forecaster: Any) -> None:
    """Raise ValueError if all series would write to one checkpoint."""
    path = forecaster.checkpoint
    if path is not None and FINGERPRINT not in str(path):
        msg = (
            f"With pooling='local', the checkpoint of each series must be a file of its own, but "
            f"checkpoint is {str(path)!r}. Write {FINGERPRINT} in it, which stands for the data."
        )
        raise ValueError(msg)


def histories(fitted: LocalFitted, records: list[pd.DataFrame]) -> pd.DataFrame:
    """The histories of all series, whose names are the first levels of the index."""
    keys = fitted.keys
    return pd.concat(records, keys=list(keys), names=[*keys.names, "row"])


def _histories_of(forecaster: Any) -> list[pd.DataFrame]:
    """The history of each series."""
    history, keys = forecaster.history_, forecaster.fitted_.keys
    if not len(history):  # without training there is no row and no name
        return [history.reset_index(drop=True)] * len(keys)
    number = keys.get_indexer(history.index.droplevel(-1))
    return [history[number == i].reset_index(drop=True) for i in range(len(keys))]


def num_epochs(fitted: LocalFitted, records: list[Record]) -> pd.Series:
    """Planned epochs of each series."""
    return pd.Series([record.num_epochs for record in records], index=fitted.keys)


def update_each(
    forecaster: Any, y: pd.DataFrame, X: pd.DataFrame | None, update_params: bool
) -> tuple[LocalFitted, pd.DataFrame]:
    """Append new observations to the series that have some, and train their models on."""
    local, processes = forecaster.fitted_, Processes.joined()
    of_history = _histories_of(forecaster) if update_params else []
    parts = list(local.parts)
    rows = zip(local.split(y), local.split(X), strict=True)
    for i, (of_y, of_x) in enumerate(rows):
        if of_y is None:
            continue
        before, parts[i] = parts[i], parts[i].appended(of_y, of_x)
        if update_params:
            checkpoint = Checkpoint.of(forecaster, parts[i].panel, parts[i].model, processes)
            planned = int(forecaster.num_epochs_.iloc[i])
            parts[i], of_history[i] = train_on(
                forecaster,
                parts[i],
                before.panel.end,
                of_history[i],
                planned,
                checkpoint,
                processes,
            )
            checkpoint.remove()
    fitted = LocalFitted(tuple(parts))
    history = histories(fitted, of_history) if update_params else forecaster.history_
    return fitted, history


def points(forecaster: Any, fh: Any, X: pd.DataFrame | None) -> pd.DataFrame:
    """Point forecasts of all series."""
    local = forecaster.fitted_
    steps = [steps_ahead(part.panel, fh) for part in local.parts]
    return pd.concat(local.points(steps, local.split(X)))


def for_each(
    forecaster: Any, forecast: Callable[[Fitted, pd.DataFrame | None], pd.DataFrame], X: Any
) -> pd.DataFrame:
    """Tables of forecasts of each series, one after another."""
    local = forecaster.fitted_
    pairs = zip(local.parts, local.split(X), strict=True)
    return pd.concat([forecast(part, of_x) for part, of_x in pairs])


def refuse_distributions() -> NoReturn:
    """Raise NotImplementedError: skpro cannot put several below one another."""
    msg = (
        "predict_proba gives one distribution of all rows, but with pooling='local' each series "
        "has its own. Call predict_quantiles or predict_interval, or predict_proba of "
        "`of_series(key)`."
    )
    raise NotImplementedError(msg)


def of_series(forecaster: Any, key: Any) -> Any:
    """A forecaster fitted to one series alone, with its model from a local forecaster."""
    local = forecaster.fitted_
    number = local.keys.get_indexer([key])[0]
    if number < 0:
        msg = (
            f"of_series must get the name of a series seen in fit, but {key!r} is none of "
            f"{list(local.keys[:5])}{' ...' if len(local.keys) > 5 else ''}."
        )
        raise KeyError(msg)
    part = local.parts[number]
    alone = replace(part, panel=replace(part.panel, keys=None))
    parameters = forecaster.get_params(deep=False) | {"pooling": "global"}
    result = type(forecaster)(**parameters)

    def fitted(y: Any, X: Any, fh: Any) -> Any:
        result.fitted_ = alone
        result.history_ = _histories_of(forecaster)[number]
        result.num_epochs_ = int(forecaster.num_epochs_.iloc[number])
        return result

    rows = range(alone.panel.lengths[0])
    index = alone.panel.index(pd.Index([0] * len(rows)), alone.panel.positions())
    values = alone.panel.raw()[:, : len(alone.panel.columns)]
    result._fit = fitted  # sktime notes what kind of y it has seen
    try:
        result.fit(pd.DataFrame(values, index, alone.panel.columns), fh=forecaster._fh)
    finally:
        del result._fit
    return result
