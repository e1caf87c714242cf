"""Samples: equally likely values of each forecast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skrnn.distributions.base import Predictive, empirical


class Samples(Predictive):
    """Equally likely values of each forecast, the last axis: simulated paths, or a single point."""

    has_values = True

    def point(self, parameters: np.ndarray) -> np.ndarray:
        """Mean, (...)."""
        return parameters.mean(-1)

    def quantiles(self, parameters: np.ndarray, levels: Sequence[float] | np.ndarray) -> np.ndarray:
        """Quantiles, (..., A), of values (..., V)."""
        return np.moveaxis(np.quantile(parameters, levels, axis=-1, method="hazen"), 0, -1)

    def variance(self, parameters: np.ndarray) -> np.ndarray:
        """Variance, (...)."""
        return parameters.var(-1)

    def skpro(self, parameters: np.ndarray, **labels: Any) -> Any:
        """Distribution of skpro, whose samples are whole paths."""
        return empirical(parameters, time_indep=False, **labels)


class CountSamples(Samples):
    """The same of counts: values and quantiles are whole numbers."""

    def unscaled(self, parameters: np.ndarray, center: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Bring values to counts; what single precision has left of others is rounded away."""
        return np.rint(super().unscaled(parameters, center, scale))

    def quantiles(self, parameters: np.ndarray, levels: Sequence[float] | np.ndarray) -> np.ndarray:
        """Quantiles, (..., A): the least counts up to which a share of the level lies."""
        found = np.quantile(parameters, levels, axis=-1, method="inverted_cdf")
        return np.moveaxis(found, 0, -1)


def ranks(values: np.ndarray) -> np.ndarray:
    """Rank of each value along the last axis, from 0 on; of equal values the first is lower."""
    order = values.argsort(-1, kind="stable")
    result = np.empty(values.shape, dtype=np.int32)
    place = np.broadcast_to(np.arange(values.shape[-1], dtype=np.int32), values.shape)
    np.put_along_axis(result, order, place, axis=-1)
    return result
