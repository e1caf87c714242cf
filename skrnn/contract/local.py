"""Local forecasters: a network for each series of a panel, all trained together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NoReturn

import pandas as pd

from skrnn.contract.checkpoints import FINGERPRINT, Checkpoint
from skrnn.contract.ensembles import (
    MEMBER,
    all_starts,
    history_of,
    num_epochs_of,
    train_all_on,
)
from skrnn.contract.fitting import Record, Trained, fitted_of, read_each, train, untrained
from skrnn.contract.horizons import steps_ahead
from skrnn.contract.together import Task, train_together
from skrnn.data.outliers import warn_of_outliers
from skrnn.forecasting.ensemble import AnyModel
from skrnn.forecasting.fitted import Fitted
from skrnn.forecasting.local import LocalFitted
from skrnn.network.randomness import RandomStreams
from skrnn.training.processes import Processes


def fit_each(
    forecaster: Any, y: pd.DataFrame, X: pd.DataFrame | None, fh: Any, pretrained: AnyModel | None
) -> tuple[LocalFitted, list[list[Record]]]:
    """Fit a model to each series, as if a forecaster were fitted to one after the other.

    With them come the records of the members of each.
    """
    _check(forecaster)
    panels = read_each(forecaster, y, X)
    streams = [RandomStreams.of(forecaster.random_state) for _ in panels]
    for panel in panels:
        warn_of_outliers(panel)
    networks: dict[Any, Any] = {}
    processes = Processes.joined()
    together = pretrained is None and processes.n == 1
    of_each = []
    for panel, own in zip(panels, streams, strict=True):
        shared = networks if together else None
        start = untrained(forecaster, panel, fh, pretrained, own, shared)
        of_each.append(all_starts(forecaster, start, pretrained, shared))
    n = forecaster.n_estimators
    results: list[Trained | None] = [None] * (n * len(panels))
    if together:
        every = [Task(forecaster, start) for starts in of_each for start in starts]
        results = train_together(every)
    parts, records = [], []
    for i, (panel, starts) in enumerate(zip(panels, of_each, strict=True)):
        trained = [result for result in results[i * n : (i + 1) * n] if result is not None]
        if len(trained) < n:
            checkpoint = Checkpoint.of(forecaster, panel, pretrained, processes)
            own = checkpoint.streams(RandomStreams(starts[0].streams.seed))
            start = untrained(forecaster, panel, fh, pretrained, own)  # with its own network
            starts = all_starts(forecaster, start, pretrained)
            trained = [
                train(forecaster, one, checkpoint, processes, pretrained is None) for one in starts
            ]
            checkpoint.remove()
        parts.append(fitted_of(forecaster, starts[0], trained))
        records.append([one.record for one in trained])
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


def histories(fitted: LocalFitted, records: Sequence[Sequence[Record]]) -> pd.DataFrame:
    """The histories of all series, whose names are the first levels of the index."""
    of_series = [history_of([each.history for each in of_members]) for of_members in records]
    return _joined(fitted, of_series)


def _joined(fitted: LocalFitted, histories: Sequence[pd.DataFrame]) -> pd.DataFrame:
    keys, (*members, _) = fitted.keys, histories[0].index.names
    return pd.concat(histories, keys=list(keys), names=[*keys.names, *members, "row"])


def _histories_of(forecaster: Any) -> list[pd.DataFrame]:
    """The history of each series."""
    history, keys = forecaster.history_, forecaster.fitted_.keys
    levels = list(range(keys.nlevels))
    if not len(history):  # without training there is no row and no name
        return [history.reset_index(drop=True)] * len(keys)
    if len(forecaster.fitted_.parts[0].model.members) == 1:
        number = keys.get_indexer(history.index.droplevel(-1))
        return [history[number == i].reset_index(drop=True) for i in range(len(keys))]
    number = keys.get_indexer(history.index.droplevel([-2, -1]))
    return [history[number == i].droplevel(levels) for i in range(len(keys))]


def num_epochs(fitted: LocalFitted, records: Sequence[Sequence[Record]]) -> pd.Series:
    """Planned epochs of each series, or of each member of each."""
    of_series = [num_epochs_of(of_members) for of_members in records]
    keys = fitted.keys
    if isinstance(of_series[0], pd.Series):
        return pd.concat(of_series, keys=list(keys), names=[*keys.names, MEMBER])
    return pd.Series(of_series, index=keys)


def _num_epochs_of(forecaster: Any, number: int) -> Any:
    """Planned epochs of a series, as those of its own forecaster."""
    n, planned = len(forecaster.fitted_.parts[0].model.members), forecaster.num_epochs_
    if n == 1:
        return int(planned.iloc[number])
    own = planned.iloc[number * n : (number + 1) * n]
    return own.droplevel(list(range(own.index.nlevels - 1)))


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
            planned = _num_epochs_of(forecaster, i)
            parts[i], of_history[i] = train_all_on(
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
    history = _joined(fitted, of_history) if update_params else forecaster.history_
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
        result.num_epochs_ = _num_epochs_of(forecaster, number)
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
