"""Paths: scenarios of the future, joint over time and over the columns of y."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from sktime.forecasting.base import ForecastingHorizon
from sktime.utils.validation.forecasting import check_fh

from skrnn.contract.forecaster import BaseRecurrentForecaster
from skrnn.contract.horizons import steps_ahead
from skrnn.contract.parameters import check_seed
from skrnn.forecasting.joint import joint_paths
from skrnn.network.randomness import RandomStreams

__all__ = ["sample_paths"]


def sample_paths(
    forecaster: BaseRecurrentForecaster,
    fh: int | Sequence[Any] | ForecastingHorizon | None = None,
    X: pd.DataFrame | None = None,
    n_paths: int = 100,
    random_state: int | np.random.RandomState | None = None,
) -> pd.DataFrame:
    r"""Draw paths of the future: equally likely courses of each series.

    `predict_quantiles` says what each value may be, but not which values come together. The sum of
    a day, its highest hour, or the number of days without a sale are functions of a path: computed
    for every path, their quantiles are forecasts of them.

    Parameters
    ----------
    forecaster : GRUForecaster, LSTMForecaster or RNNForecaster
        Fitted. It must be able to `predict_quantiles`; its data does not change.
    fh : int, list of int or of durations, ForecastingHorizon or None, default=None
        Steps ahead, or times after the end of every series. None takes the ``fh`` of `fit`.
    X : pd.DataFrame, optional
        Covariates known in advance, as in ``predict``.
    n_paths : int, default=100
        Paths of each series.
    random_state : int, numpy.random.RandomState or None, default=None
        Seed of the draws. None draws other paths in every call.

    Returns
    -------
    pd.DataFrame
        Index (instance levels, ``path`` from 0 on, time), columns those of y, in the unit of the
        data.

    Raises
    ------
    NotFittedError
        If the forecaster is not fitted.
    TypeError
        If ``forecaster`` or ``X`` is of another kind.
    ValueError
        If ``n_paths`` is less than 1; if ``fh`` asks for times up to the cutoff; if the forecaster
        holds out no rows, or too few for steps so far ahead, and its paths need their errors.

    See Also
    --------
    skrnn.plotting.plot_forecast : Draw them.

    Notes
    -----
    The values of all paths at one step are those at the levels (i - 0.5) / V, i = 1, ..., V, of
    `predict_quantiles`. So the paths have its quantiles, its bounds and whole numbers for counts.
    Above 200 paths, levels between 200 computed ones are interpolated. Which of the values a path
    takes is its rank at this step:

    - ``strategy="recursive"`` with a distribution as ``criterion``: the rank in the sampled
      recursion, where each draw is an input of the next step. Where no rows are held out, or y is
      counts, the paths are those of the recursion themselves.
    - All other forecasts, and every y of several columns whose forecast is calibrated: an empirical
      copula of the errors of held-out rows (the Schaake shuffle [1]_ with errors in the place of
      observations). A path takes the ranks of the errors from one earlier cutoff, over all steps
      and columns, in the order of these errors among those of all paths. Cutoffs of all series
      count, and at least five are needed; with few of them, paths that follow the same one differ
      little in shape. Of counts, the rank is that of F(y - 1) + u P(y), with u uniform [2]_.

    Without held-out rows, columns of a recursive forecast are drawn independently, given all values
    before.

    Paths of different series are drawn independently: add up values of one path, not values of the
    paths of several series.

    References
    ----------
    .. [1] R. Schefzik, T. Thorarinsdottir, T. Gneiting, "Uncertainty Quantification in Complex
       Simulation Models Using Ensemble Copula Coupling", Statistical Science 28, 2013.
    .. [2] L. Rueschendorf, "On the Distributional Transform, Sklar's Theorem, and the Empirical
       Copula Process", Journal of Statistical Planning and Inference 139, 2009.

    Examples
    --------
    >>> from sktime.datasets import load_airline
    >>> from skrnn import GRUForecaster, sample_paths
    >>> forecaster = GRUForecaster(random_state=0).fit(load_airline())
    >>> paths = sample_paths(forecaster, fh=range(1, 7), n_paths=100, random_state=0)
    >>> paths.index.names, len(paths)
    (FrozenList(['path', 'Period']), 600)
    >>> half_year = paths.iloc[:, 0].groupby("path").sum()
    >>> bool(half_year.quantile(0.05) < forecaster.predict(fh=range(1, 7)).sum())
    True
    """
    _check(forecaster, X, n_paths, random_state)
    forecaster.check_is_fitted()
    fitted: Any = forecaster.fitted_
    fh = forecaster.fh if fh is None else check_fh(fh, freq=forecaster.cutoff)
    X = X.to_frame() if isinstance(X, pd.Series) else X
    _check_rows_held_out(forecaster)
    streams = RandomStreams.of(random_state)
    steps = steps_ahead(fitted.panel, fh)
    index, paths = joint_paths(fitted, steps, X, int(n_paths), forecaster.n_samples, streams)
    values = np.moveaxis(paths, -1, 1).reshape(-1, paths.shape[2])  # of (S, V, J, C)
    index = _index(index, steps.shape[0], steps.shape[1], int(n_paths))
    return pd.DataFrame(values, index=index, columns=fitted.panel.columns)


def _index(index: pd.Index, n_series: int, n_steps: int, n_paths: int) -> pd.MultiIndex:
    """The index of series and steps with the number of the path before the time."""
    if not isinstance(index, pd.MultiIndex):
        index = pd.MultiIndex.from_arrays([index])
    shape = (n_series, n_paths, n_steps)
    codes = [
        np.broadcast_to(np.asarray(code).reshape(n_series, 1, n_steps), shape).ravel()
        for code in index.codes
    ]
    path = np.broadcast_to(np.arange(n_paths)[:, None], shape).ravel()
    *instances, time = index.levels
    *of_instances, of_time = codes
    return pd.MultiIndex(
        levels=[*instances, pd.RangeIndex(n_paths), time],
        codes=[*of_instances, path, of_time],
        names=[*index.names[:-1], "path", index.names[-1]],
        verify_integrity=False,
    )


def _check(forecaster: Any, X: Any, n_paths: Any, random_state: Any) -> None:
    if not isinstance(forecaster, BaseRecurrentForecaster):
        msg = (
            f"The 'forecaster' parameter of sample_paths must be a forecaster of skrnn, but got "
            f"{type(forecaster).__name__}. For others, use predict_proba of sktime."
        )
        raise TypeError(msg)
    if not isinstance(X, (pd.Series, pd.DataFrame, type(None))):
        msg = (
            f"The 'X' parameter of sample_paths must be pandas or None, but got "
            f"{type(X).__name__}. Convert it."
        )
        raise TypeError(msg)
    if not isinstance(n_paths, Integral) or isinstance(n_paths, bool) or n_paths < 1:
        msg = f"The 'n_paths' parameter must be an int of at least 1. Got {n_paths!r} instead."
        raise ValueError(msg)
    check_seed("sample_paths", random_state)


def _check_rows_held_out(forecaster: BaseRecurrentForecaster) -> None:
    """Raise ValueError if paths are made of the errors of held-out rows, and there are none."""
    fitted: Any = forecaster.fitted_
    simulates = fitted.is_probabilistic and fitted.model.strategy.name == "recursive"
    if fitted.held_out.is_empty and not simulates:
        msg = (
            f"sample_paths of {type(forecaster).__name__} with strategy={forecaster.strategy!r} "
            f"and criterion={forecaster.criterion!r} needs the errors of held-out rows, but "
            f"num_epochs={forecaster.num_epochs!r} with validation_split="
            f"{forecaster.validation_split!r} held out none. Leave num_epochs='auto' and pass "
            f"longer series, set validation_split, or set strategy='recursive' with "
            f"criterion='quantile', and fit again."
        )
        raise ValueError(msg)
