"""Mixture: a value of one of several distributions, each equally likely."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from skrnn.distributions.base import Distribution, Predictive

# A quantile is found when the probability of at most its value is within this of its level.
LEVEL_TOLERANCE = 1e-11
# Steps of the search at most; ten are usual.
MOST_STEPS = 100


class Mixture(Predictive):
    r"""The mixture of M distributions F: a value is at most y with :math:`\frac1M \sum_m F_m(y)`.

    The parameters of all are one after another, (..., M K).

    Parameters
    ----------
    distributions : sequence of Distribution
        All of one kind; each may have trained parameters of its own.
    """

    def __init__(self, distributions: Sequence[Distribution]):
        self.distributions = tuple(distributions)

    def point(self, parameters: np.ndarray) -> np.ndarray:
        """The mean of all point forecasts, (...)."""
        return self._mean([d.point(own) for d, own in self._each(parameters)])

    def mean(self, parameters: np.ndarray) -> np.ndarray:
        """Mean, (...)."""
        return self._mean([d.mean(own) for d, own in self._each(parameters)])

    def variance(self, parameters: np.ndarray) -> np.ndarray:
        """Variance, (...): the mean of all variances plus the variance of all means."""
        within = self._mean([d.variance(own) for d, own in self._each(parameters)])
        return within + np.var([d.mean(own) for d, own in self._each(parameters)], axis=0)

    def cdf(self, parameters: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Probability of at most a value, (..., A), of values (..., A)."""
        return self._mean([d.cdf(own, values) for d, own in self._each(parameters)])

    def quantiles(self, parameters: np.ndarray, levels: Sequence[float] | np.ndarray) -> np.ndarray:
        """Quantiles, (..., A); each lies between the least and the greatest of all."""
        levels = np.asarray(levels, dtype=np.float64)
        of_all = [d.quantiles(own, levels) for d, own in self._each(parameters)]
        low, high = np.min(of_all, axis=0), np.max(of_all, axis=0)  # (..., A)
        rows = parameters.reshape(-1, parameters.shape[-1])

        def excess(found: np.ndarray, values: np.ndarray) -> np.ndarray:
            """Probability of at most these values (n,) over the levels, of quantiles by number."""
            row, level = np.divmod(found, len(levels))
            return self.cdf(rows[row], values[:, None])[:, 0] - levels[level]

        search = _least_counts if self.distributions[0].of_counts else _roots
        return search(excess, low.ravel(), high.ravel()).reshape(low.shape)

    def _each(self, parameters: np.ndarray) -> Any:
        """Each distribution with its parameters (..., K)."""
        parts = np.split(parameters, len(self.distributions), axis=-1)
        return zip(self.distributions, parts, strict=True)

    @staticmethod
    def _mean(of_each: Sequence[np.ndarray]) -> np.ndarray:
        return np.mean(of_each, axis=0)


# From numbers of quantiles (n,) and values to what the distribution function is above the levels.
Excess = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _roots(excess: Excess, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Values between two (n,) at which the distribution function has its level.

    The search is the Illinois variant of regula falsi: where one end of the bracket stays for a
    second time, its distance from the level counts half.
    """
    result, open_ones = high.copy(), np.flatnonzero(high > low)
    low, high = low[open_ones], high[open_ones]
    below = np.minimum(excess(open_ones, low), 0.0)
    above = np.maximum(excess(open_ones, high), 0.0)
    moved = np.zeros(len(low))  # 1 where the lower end moved last, -1 where the upper one did
    for _ in range(MOST_STEPS):
        width = above - below
        share = np.divide(-below, width, out=np.full_like(width, 0.5), where=width > 0)
        value = low + share * (high - low)
        found = excess(open_ones, value)
        result[open_ones] = value
        is_below = found < 0
        above = np.where(is_below, np.where(moved > 0, above / 2, above), found)
        below = np.where(is_below, found, np.where(moved < 0, below / 2, below))
        low, high = np.where(is_below, value, low), np.where(is_below, high, value)
        moved = np.where(is_below, 1.0, -1.0)
        goes_on = np.abs(found) > LEVEL_TOLERANCE
        if not goes_on.any():
            break
        open_ones = open_ones[goes_on]
        low, high, below, above, moved = (
            part[goes_on] for part in (low, high, below, above, moved)
        )
    return result


def _least_counts(excess: Excess, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The least whole numbers between two (n,) up to which a share of the level lies."""
    low, high = low - 1, high.copy()
    open_ones = np.flatnonzero(high - low > 1)
    while len(open_ones):
        middle = np.floor((low[open_ones] + high[open_ones]) / 2)
        is_enough = excess(open_ones, middle) >= 0
        high[open_ones[is_enough]] = middle[is_enough]
        low[open_ones[~is_enough]] = middle[~is_enough]
        open_ones = open_ones[high[open_ones] - low[open_ones] > 1]
    return high
