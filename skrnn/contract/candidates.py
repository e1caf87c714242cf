"""Candidates of a search: forecasters of other parameters, fitted to the same training windows."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from sktime.forecasting.base import ForecastingHorizon
from sktime.split import SameLocSplitter, TestPlusTrainSplitter

from skrnn.contract.fitting import Untrained, fitted_of, read, untrained
from skrnn.contract.horizons import steps_ahead
from skrnn.contract.parameters import check_parameters, plain, tuple_of
from skrnn.contract.together import Task, can_train_together, train_together
from skrnn.data.outliers import warn_of_outliers
from skrnn.data.panel import Panel
from skrnn.forecasting.fitted import Fitted
from skrnn.forecasting.local import points_of_each
from skrnn.network.randomness import RandomStreams
from skrnn.network.stack import is_stackable
from skrnn.training.processes import Processes

# Parameters that are read in training alone: an untrained model does not depend on them.
OF_TRAINING = {
    "batch_size",
    "lr",
    "lr_scheduler",
    "max_grad_norm",
    "optimizer",
    "optimizer_kwargs",
    "patience",
}


@dataclass
class Fold:
    """A training window, what is tested after it, and what sktime's `fit` makes of both.

    Parameters
    ----------
    y_train, y_test : pd.Series, pd.DataFrame, or panel
    X_train, X_test : pd.DataFrame or None
    fh : ForecastingHorizon or what sktime makes one from
    forecaster : BaseRecurrentForecaster
        Unfitted. sktime's `fit` and `predict` check and convert the data of the fold with it.
    """

    y_train: Any
    y_test: Any
    X_train: Any
    X_test: Any
    fh: Any
    forecaster: Any

    def __post_init__(self) -> None:
        self.panels: dict[Any, Panel] = {}
        self.starts: dict[Any, Untrained] = {}

        def noted(y: pd.DataFrame, X: pd.DataFrame | None, fh: ForecastingHorizon) -> Any:
            self.fitted_to = y, X, fh
            return self.forecaster

        self.forecaster._fit = noted
        self.forecaster.fit(self.y_train, X=self.X_train, fh=self.fh)

    def start(self, forecaster: Any, seed: int) -> Untrained:
        """An untrained model of this fold, with random numbers of its own.

        Forecasters that differ in their training alone share the model and its data.
        """
        y, X, fh = self.fitted_to
        params = forecaster.get_params(deep=False)
        past = tuple_of(forecaster.past_covariates, auto=())
        of_data = past, forecaster.strategy, plain(forecaster.criterion)
        if of_data not in self.panels:
            panel = read(forecaster, y, X, None)
            warn_of_outliers(panel)
            self.panels[of_data] = panel
        params |= {"random_state": seed, "num_epochs": isinstance(forecaster.num_epochs, str)}
        key = (
            type(forecaster),
            *((n, plain(v)) for n, v in params.items() if n not in OF_TRAINING),
        )
        if key not in self.starts:
            streams = RandomStreams(seed)
            self.starts[key] = untrained(forecaster, self.panels[of_data], fh, None, streams)
        return replace(self.starts[key], streams=RandomStreams(seed))

    def forecasts(self, parts: Sequence[Fitted]) -> list[Any]:
        """What `predict` of forecasters returns that were fitted to this fold."""
        tables: list[pd.DataFrame] = []

        def predicted(fh: ForecastingHorizon, X: pd.DataFrame | None) -> pd.DataFrame:
            steps = [steps_ahead(part.panel, fh) for part in parts]
            tables.extend(points_of_each(parts, steps, [X] * len(parts)))
            return tables[0]

        self.forecaster._predict = predicted
        first = self.forecaster.predict(fh=self.fh, X=self.X_test)
        return [_like(first, table.to_numpy()) for table in tables]


def _like(table: Any, values: np.ndarray) -> Any:
    """A table of other values."""
    if isinstance(table, pd.Series):
        return pd.Series(values[:, 0], index=table.index, name=table.name)
    return pd.DataFrame(values, index=table.index, columns=table.columns)


def folds_of(forecaster: Any, cv: Any, y: Any, X: Any) -> Iterator[Fold]:
    """The folds of a splitter, as sktime's `evaluate` makes them."""
    splits = cv.split_series(y)
    of_X: Iterator[tuple[Any, Any]] | None = None
    if X is not None:
        of_X = iter(SameLocSplitter(TestPlusTrainSplitter(cv), y).split_series(X))
    for y_train, y_test in splits:
        X_train, X_test = (None, None) if of_X is None else next(of_X)
        fh = cv.fh
        if fh is None:
            fh = ForecastingHorizon(y_test.index.unique(level=-1), is_relative=False)
        yield Fold(y_train, y_test, X_train, X_test, fh, forecaster.clone())


@torch.inference_mode(False)
@torch.enable_grad()
def fit_candidates(
    forecasters: Sequence[Any], folds: Sequence[Fold]
) -> tuple[dict[int, list[Fitted]], float]:
    """The fitted states of candidates in each fold, by their number, and the seconds of one fit.

    Those that cannot be trained together are left out, and so are those of which a fit fails.
    """
    begin = time.perf_counter()
    tasks = {
        i: [Task(forecaster, start) for start in _starts(forecaster, folds)]
        for i, forecaster in enumerate(forecasters)
    }
    tasks = {i: of_folds for i, of_folds in tasks.items() if of_folds}
    parts = {}
    for (i, of_folds), trained in zip(tasks.items(), _trained([*tasks.values()]), strict=True):
        if None not in trained:
            pairs = zip(of_folds, trained, strict=True)
            parts[i] = [fitted_of(t.forecaster, t.start, [r]) for t, r in pairs]
    return parts, (time.perf_counter() - begin) / max(1, len(tasks) * len(folds))


def _starts(forecaster: Any, folds: Sequence[Fold]) -> list[Untrained]:
    """Untrained models of a candidate in each fold; none if it must be fitted alone."""
    is_local = forecaster.pooling == "local" and folds[0].fitted_to[0].index.nlevels > 1
    is_pretrained = getattr(forecaster, "pretrained_model_", None) is not None
    result = []
    try:
        check_parameters(type(forecaster).__name__, forecaster.get_params(deep=False))
        if is_local or is_pretrained or not can_train_together(forecaster):
            return []
        if forecaster.n_estimators > 1 or Processes.joined().n > 1:
            return []
        for fold in folds:
            # Each fit is that of a clone, so that a RandomState is advanced in none.
            streams = RandomStreams.of(copy.deepcopy(forecaster.random_state))
            result.append(fold.start(forecaster, streams.seed))
            if not is_stackable(result[0].model.network):
                return []
    except Exception:  # sktime's search fits it alone, and says what is wrong
        return []
    return result


def _trained(tasks: list[list[Task]]) -> list[list[Any]]:
    """What `train_together` returns for each candidate; None where a training of it fails."""
    if not tasks:
        return []
    try:
        results = iter(train_together([task for of_candidate in tasks for task in of_candidate]))
        return [[next(results) for _ in of_candidate] for of_candidate in tasks]
    except (FloatingPointError, ValueError):  # of one candidate: look for it in either half
        half = len(tasks) // 2
        return _trained(tasks[:half]) + _trained(tasks[half:]) if half else [[None]]
