"""Search: sktime's grid search, with the networks of all candidates and folds trained together."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from sklearn.model_selection import ParameterGrid
from sktime.exceptions import FitFailedWarning
from sktime.forecasting.model_selection import ForecastingGridSearchCV
from sktime.utils.validation.forecasting import check_cv

from skrnn.contract.candidates import Fold, fit_candidates, folds_of
from skrnn.contract.forecaster import BaseRecurrentForecaster
from skrnn.contract.scores import metric_of, scored_output
from skrnn.forecasters import GRUForecaster
from skrnn.metrics import SMAPE

__all__ = ["RecurrentGridSearchCV"]


class RecurrentGridSearchCV(ForecastingGridSearchCV):
    """Grid search by cross-validation that trains candidates and folds together.

    It is sktime's `ForecastingGridSearchCV`, with the same results in less time: the networks of
    one architecture are trained in one computation, each as it would be alone, and forecast in one.

    Parameters
    ----------
    forecaster : GRUForecaster, LSTMForecaster or RNNForecaster
        The forecaster to tune. For another one, such as a pipeline, the search is sktime's.
    cv : sktime splitter
        Training and test windows.
    param_grid : dict or list of dict
        Names of parameters, each with the list of its values. A list of grids is searched as their
        union.
    scoring : sktime metric, str or callable, optional
        By default the mean absolute percentage error, as in sktime.
    strategy : {"refit", "update", "no-update_params"}, default="refit"
        With ``"refit"`` a forecaster is fitted to each training window. The others fit the first
        one and update; their candidates are evaluated one by one, as in sktime.
    update_behaviour : {"full_refit", "inner_only", "no_update"}, default="full_refit"
        What `update` does: search again on all data, update the best forecaster, or append the new
        observations to its context without training.
    refit : bool, default=True
        Whether to fit the best forecaster to all data. Without it, `predict` is not available.
    tune_by_instance : bool, default=False
        Whether to search for each series of a panel separately.
    tune_by_variable : bool, default=False
        Whether to search for each column of y separately.
    verbose : int, default=0
        With 1 or more, the number of fits is printed.
    return_n_best_forecasters : int, default=1
        How many of the best forecasters ``n_best_forecasters_`` holds; -1 for all.
    error_score : "raise" or float, default=np.nan
        Score of a fold that fails, with a warning; ``"raise"`` raises its error.
    backend : str, default="loky"
        How sktime runs the candidates that cannot be trained together; see Notes.
    backend_params : dict, optional
        Of the backend, such as ``n_jobs``.
    n_jobs : int, default="deprecated"
        Without effect, as in sktime. Pass it in ``backend_params``.

    Attributes
    ----------
    cv_results_ : pd.DataFrame
        A row for each candidate: mean score over the folds, mean seconds of a fit and of a
        forecast, parameters and rank. The seconds of candidates that were trained together are
        those of all, divided by the number of fits.
    best_index_ : int
        Row of the best candidate.
    best_params_ : dict
        Its parameters.
    best_score_ : float
        Its mean score.
    best_forecaster_ : BaseRecurrentForecaster
        The forecaster with these parameters, fitted to all data if ``refit``.
    n_best_forecasters_ : list of tuple
        Ranks and forecasters of the best candidates, fitted to all data if ``refit``.
    n_best_scores_ : list of float
        Their mean scores.

    Raises
    ------
    NotFittedError
        If the fits of all candidates fail.
    TypeError, ValueError
        If ``cv`` is no splitter of sktime, ``param_grid`` is no grid, or another parameter is out
        of its range.

    See Also
    --------
    evaluate : Scores of one forecaster on every split.

    Notes
    -----
    Candidates are trained together if

    - ``strategy="refit"`` and the metric scores point forecasts,
    - they are trained on the CPU, with Numba installed,
    - they have neither dropout, ``checkpoint``, ``callbacks``, ``verbose``, a pretrained network,
      ``lr_scheduler="plateau"``, another ``precision`` than float32, nor an optimizer, schedule,
      cell or naive forecast of your own, nor ``pooling="local"`` on a panel.

    All others are evaluated as in sktime, and so are those of which a fit fails. Networks of
    different size are trained in one computation for each size, and so are those of other
    ``window_length``, features, criterion or ``optimizer``. What differs in ``lr``, ``num_epochs``,
    ``batch_size`` and ``lr_scheduler`` goes together.

    With an int as ``random_state``, candidates that differ in their training alone share the
    initial network and the linear fit of each fold, which saves much of the time.

    The numbers agree with those of sktime's search to float32's rounding. Where the validation
    losses of two epochs agree to rounding, which of them is the best is not determined, and the two
    searches may differ.

    Examples
    --------
    >>> from sktime.datasets import load_airline
    >>> from sktime.split import ExpandingWindowSplitter
    >>> from skrnn import SMAPE, GRUForecaster, RecurrentGridSearchCV
    >>> y = load_airline()
    >>> search = RecurrentGridSearchCV(
    ...     GRUForecaster(hidden_size=8, random_state=0),
    ...     ExpandingWindowSplitter(initial_window=108, step_length=12, fh=range(1, 13)),
    ...     {"lr": [1e-3, 4e-3, 16e-3], "num_epochs": [5, 20]},
    ...     scoring=SMAPE(),
    ... ).fit(y)
    >>> len(search.cv_results_), sorted(search.best_params_)
    (6, ['lr', 'num_epochs'])
    >>> search.predict(fh=range(1, 13)).index[-1]
    Period('1961-12', 'M')
    """

    refit: bool

    def _fit(self, y: Any, X: Any, fh: Any) -> RecurrentGridSearchCV:
        check_cv(self.cv)
        self._check_grid()
        if not isinstance(self.forecaster, BaseRecurrentForecaster):
            return super()._fit(y, X, fh)
        refit = self.refit
        self.refit, self._data = False, (y, X)
        try:
            super()._fit(y, X, fh)
        finally:
            self.refit = refit
            del self._data
        if refit:
            self._refit(y, X, fh)
        return self

    def _check_grid(self) -> None:
        """Raise TypeError or ValueError unless there are candidates."""
        grid = self.param_grid
        if not isinstance(grid, (Mapping, Sequence)) or isinstance(grid, (str, bytes)) or not grid:
            msg = (
                f"The 'param_grid' parameter of RecurrentGridSearchCV must be a dict of lists or a "
                f"list of such dicts. Got {grid!r} instead; pass, for example, "
                f"{{'lr': [0.001, 0.01]}}."
            )
            raise TypeError(msg)
        ParameterGrid(grid)  # checks the lists

    def _refit(self, y: Any, X: Any, fh: Any) -> None:
        """Fit the best forecasters to all data; sktime fits the very best of them twice."""
        self.best_forecaster_.fit(y=y, X=X, fh=fh)
        rank = next(name for name in self.cv_results_ if name.startswith("rank_"))
        order = self.cv_results_.sort_values(by=rank, ascending=True).index  # as sktime ranks them
        for place, (of_rank, forecaster) in enumerate(self.n_best_forecasters_):
            if order[place] == self.best_index_:
                best = copy.deepcopy(self.best_forecaster_)
                self.n_best_forecasters_[place] = of_rank, best
            else:
                forecaster.fit(y=y, X=X, fh=fh)

    def _run_search(self, evaluate_candidates: Callable) -> list[pd.Series]:
        def evaluated(candidates: Iterable[dict[str, Any]]) -> list[pd.Series]:
            candidates = list(candidates)
            together = self._evaluated_together(candidates)
            others = [params for i, params in enumerate(candidates) if i not in together]
            alone = iter(evaluate_candidates(others) if others else ())
            return [together[i] if i in together else next(alone) for i in range(len(candidates))]

        return super()._run_search(evaluated)

    def _evaluated_together(self, candidates: list[dict[str, Any]]) -> dict[int, pd.Series]:
        """Rows of ``cv_results_`` of the candidates that are trained together, by their number."""
        metric = metric_of("RecurrentGridSearchCV", self.scoring)
        is_recurrent = isinstance(self.forecaster, BaseRecurrentForecaster)
        if not is_recurrent or self.strategy != "refit" or scored_output(metric) != "pred":
            return {}
        cv, (y, X) = check_cv(self.cv, enforce_start_with_window=True), self._data
        forecasters = [self.forecaster.clone().set_params(**params) for params in candidates]
        try:
            folds = list(folds_of(self.forecaster, cv, y, X))
            parts, fit_time = fit_candidates(forecasters, folds)
            begin, n_fits = time.perf_counter(), len(parts) * len(folds)
            forecasts = [
                fold.forecasts([of_folds[k] for of_folds in parts.values()])
                for k, fold in enumerate(folds)
                if parts
            ]
        except Exception:  # sktime's search tells the folds that fail from the others
            return {}
        if self.verbose > 0:
            print(
                f"Fitting {len(folds)} folds for each of {len(parts)} candidates together, "
                f"totalling {n_fits} fits"
            )
        pred_time, result = (time.perf_counter() - begin) / max(1, n_fits), {}
        for i, *of_folds in zip(parts, *forecasts, strict=True):
            scores = [self._score(metric, *pair) for pair in zip(folds, of_folds, strict=True)]
            columns = {f"test_{metric.name}": scores, "fit_time": fit_time, "pred_time": pred_time}
            row = pd.DataFrame(columns).mean().add_prefix("mean_")
            row["params"] = candidates[i]
            result[i] = row
        return result

    def _score(self, metric: Any, fold: Fold, forecast: Any) -> Any:
        try:
            return metric(fold.y_test, forecast, y_train=fold.y_train)
        except Exception as error:
            if self.error_score == "raise":
                raise
            msg = (
                f"Scoring {metric.name} failed with {type(error).__name__}: {error} The score of "
                f"the fold is {self.error_score!r}. Pass error_score='raise' to raise the error."
            )
            warnings.warn(msg, FitFailedWarning, stacklevel=2)
            return self.error_score

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Two searches among small networks."""
        from sktime.split import SingleWindowSplitter

        forecaster = GRUForecaster(hidden_size=4, num_epochs=1, linear_lags=None, random_state=0)
        search: dict[str, Any] = {
            "forecaster": forecaster,
            "cv": SingleWindowSplitter(fh=1),
            "scoring": SMAPE(),
        }
        grids = {"criterion": ["mae"], "lr": [0.01, 0.02]}, {"criterion": ["mse"]}
        return [
            search | {"param_grid": {"lr": [0.01, 0.02]}},
            search | {"param_grid": list(grids), "update_behaviour": "inner_only"},
        ]
