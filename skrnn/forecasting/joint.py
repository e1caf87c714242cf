"""Joint paths: values of several steps and columns that come together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from skrnn.distributions import Predictive
from skrnn.forecasting.conformal import Calibrated
from skrnn.forecasting.fitted import MOST_VALUES_AHEAD, Fitted
from skrnn.forecasting.held_out_errors import held_out_scores
from skrnn.forecasting.samples import ranks
from skrnn.network.randomness import RandomStreams

# Fewest series of errors from which paths are drawn.
FEWEST_VECTORS = 5
# A series of errors may lack those of missing values, but so many of its steps must be observed.
LEAST_OBSERVED = 0.5
# Paths simulated at once, and levels at which quantiles are computed; between them they are linear.
PATHS_AT_ONCE, MOST_LEVELS = 1_000, 200


def joint_paths(
    fitted: Fitted,
    steps: np.ndarray,
    X: pd.DataFrame | None,
    n_paths: int,
    n_samples: int,
    streams: RandomStreams,
) -> tuple[pd.Index, np.ndarray]:
    """Index of the steps (S x J rows), and as many paths of each series, (S, J, C, V).

    Parameters
    ----------
    fitted : Fitted
    steps : np.ndarray of shape (S, J)
        Steps from each series' end, at least 1.
    X : pd.DataFrame or None
        Covariates known in advance, of all rows that are forecast.
    n_paths : int
    n_samples : int
        Simulated paths from which quantiles are computed, see `Fitted.predictive`.
    streams : RandomStreams
    """
    _check(fitted, steps, n_paths)
    n_columns = len(fitted.panel.columns)
    shape = (*steps.shape, n_columns, n_paths)
    simulates = fitted.is_probabilistic and fitted.model.strategy.name == "recursive"
    if simulates and not fitted.is_calibrated:
        index, paths = _simulated(fitted, steps, X, n_paths, streams)
        return index, paths.reshape(shape)
    distribution, index, parameters = fitted.predictive(steps, X, n_samples)
    if simulates and n_columns == 1:
        order = ranks(_simulated(fitted, steps, X, n_paths, streams)[1])
    else:
        order = _drawn_ranks(_scores(fitted, distribution, steps), steps, n_paths, streams)
    values = _ascending(distribution, parameters, n_paths)  # (S * J, C, V)
    if fitted.model.features.of_counts:
        values = np.rint(values)  # between two levels
    return index, np.take_along_axis(values, order.reshape(values.shape), axis=-1).reshape(shape)


def _check(fitted: Fitted, steps: np.ndarray, n_paths: int) -> None:
    early = np.argwhere(steps < 1)
    if len(early):
        s = early[0][0]
        msg = (
            f"sample_paths needs times after the end of every series, but fh asks for step "
            f"{steps[s].min()} of series {fitted.panel.label(s)}, where 0 is its last observation. "
            f"Pass steps ahead, such as fh=range(1, 25)."
        )
        raise ValueError(msg)
    n_values = steps.size * len(fitted.panel.columns) * n_paths
    if n_values > MOST_VALUES_AHEAD:
        msg = (
            f"sample_paths must return at most {MOST_VALUES_AHEAD:,} values, but {n_paths:,} paths "
            f"of {steps.size:,} forecasts are {n_values:,}. Lower n_paths, shorten fh, or call it "
            f"several times with different values of random_state."
        )
        raise ValueError(msg)


def _simulated(
    fitted: Fitted, steps: np.ndarray, X: pd.DataFrame | None, n_paths: int, streams: RandomStreams
) -> tuple[pd.Index, np.ndarray]:
    """Paths of the sampled recursion, (S * J, C, V), in parts that fit into memory."""
    parts = []
    for first in range(0, n_paths, PATHS_AT_ONCE):
        seeded = replace(fitted, seed=int(streams.numpy.integers(2**31)))
        n = min(PATHS_AT_ONCE, n_paths - first)
        _, index, paths = seeded.forecast(steps, X, n)
        parts.append(paths)
    paths = np.concatenate(parts, axis=-1)
    # Of a single step the quantiles are known, and come in ascending order.
    return index, streams.numpy.permuted(paths, axis=-1) if steps.max() == 1 else paths


# ----------------------------------------------------------------- paths from held-out rows


def _scores(fitted: Fitted, distribution: Predictive, steps: np.ndarray) -> np.ndarray:
    """How far up in its distribution each value of the held-out rows came, (T, J, C).

    Each of the T vectors belongs to a cutoff and holds the numbers of all steps ahead. Numbers of
    the same step and column are in the order of their ranks. NaN for missing values.
    """
    if isinstance(distribution, Calibrated):
        scores = distribution.errors.errors
    else:
        scores = held_out_scores(fitted.early, fitted.panel, fitted.held_out, np.unique(steps))
    scores = scores.reshape(-1, *scores.shape[2:])
    observed = ~np.isnan(scores)
    # The first and the last step bound what is filled in between.
    complete = observed[:, [0, -1]].all((1, 2)) & (observed.mean(1) >= LEAST_OBSERVED).all(-1)
    if complete.sum() < FEWEST_VECTORS:
        msg = (
            f"sample_paths needs the errors of held-out rows, {steps.max()} steps ahead from at "
            f"least {FEWEST_VECTORS} cutoffs, but there are {complete.sum()} such cutoffs without "
            f"long gaps. Pass longer series, raise validation_split or shorten fh."
        )
        raise ValueError(msg)
    return scores[complete]


def _drawn_ranks(
    scores: np.ndarray, steps: np.ndarray, n_paths: int, streams: RandomStreams
) -> np.ndarray:
    """Ranks of each step and column among so many paths, (S, J, C, V), each of one vector.

    Every vector is drawn equally often, or once less. Draws of the same vector are kept apart by a
    number of their own, the same at every step.
    """
    place = np.searchsorted(np.unique(steps), steps)  # (S, J)
    scores = _ranked(scores)  # (T, J, C)
    n_vectors, rng = len(scores), streams.numpy
    result = np.empty((*steps.shape, scores.shape[-1], n_paths), dtype=np.int32)
    for s in range(len(steps)):
        rounds = -(-n_paths // n_vectors)
        drawn = np.concatenate([rng.permutation(n_vectors) for _ in range(rounds)])[:n_paths]
        apart = rng.random((n_paths, 1, scores.shape[-1]))
        result[s] = ranks(np.moveaxis(scores[drawn][:, place[s]] + apart, 0, -1))
    return result


def _ranked(scores: np.ndarray) -> np.ndarray:
    """Ranks 0, 1, ... of each step and column, (T, J, C), of those missing interpolated."""
    result = np.empty(scores.shape)
    n_vectors, n_steps, n_columns = scores.shape
    for j in range(n_steps):
        for c in range(n_columns):
            seen = ~np.isnan(scores[:, j, c])
            rank = ranks(scores[seen, j, c])
            result[seen, j, c] = rank * (n_vectors - 1) / max(seen.sum() - 1, 1)
            result[~seen, j, c] = np.nan
    for t, c in np.argwhere(np.isnan(result).any(1)):
        line, step = result[t, :, c], np.arange(n_steps)
        gap = np.isnan(line)
        line[gap] = np.interp(step[gap], step[~gap], line[~gap])
    return result


def _ascending(distribution: Predictive, parameters: Any, n: int) -> np.ndarray:
    """Equally likely values of each forecast, ascending, (..., C, n)."""
    levels = (np.arange(n) + 0.5) / n
    if n <= MOST_LEVELS:
        return distribution.quantiles(parameters, levels)
    # Evenly spaced in the quantiles of a normal distribution: close together at both ends.
    first, last = stats.norm.ppf(levels[[0, -1]])
    z = np.linspace(first, last, MOST_LEVELS)
    grid = stats.norm.cdf(z)
    quantiles = distribution.quantiles(parameters, grid)
    k = np.searchsorted(grid, levels).clip(1, MOST_LEVELS - 1)
    share = (levels - grid[k - 1]) / (grid[k] - grid[k - 1])
    low = quantiles[..., k - 1]
    return low + share * (quantiles[..., k] - low)
