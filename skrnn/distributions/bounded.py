"""Bounded: a distribution of values that cannot lie beyond given bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skrnn.distributions.base import GRID, Predictive


class Bounded(Predictive):
    r"""The distribution of :math:`\min(\max(y, l), u)` for a y of a given distribution.

    Its parameters are those of y, and after them l and u, (..., K + 2).

    Parameters
    ----------
    distribution : Predictive
    """

    def __init__(self, distribution: Predictive):
        self.distribution = distribution

    def point(self, parameters: np.ndarray) -> np.ndarray:
        """The point forecast of y within the bounds, (...)."""
        return np.clip(
            self.distribution.point(parameters[..., :-2]), parameters[..., -2], parameters[..., -1]
        )

    def quantiles(self, parameters: np.ndarray, levels: Sequence[float] | np.ndarray) -> np.ndarray:
        """Quantiles, (..., A): those of y within the bounds, for the transform is monotone."""
        quantiles = self.distribution.quantiles(parameters[..., :-2], levels)
        return np.clip(quantiles, parameters[..., -2:-1], parameters[..., -1:])

    def variance(self, parameters: np.ndarray) -> np.ndarray:
        """Variance, (...); that of y where the bounds do not matter."""
        if self._is_inside(parameters):
            return self.distribution.variance(parameters[..., :-2])
        return super().variance(parameters)

    def skpro(self, parameters: np.ndarray, **labels: Any) -> Any:
        """Distribution of skpro; that of y where the bounds do not matter."""
        if self._is_inside(parameters):
            return self.distribution.skpro(parameters[..., :-2], **labels)
        return super().skpro(parameters, **labels)

    def _is_inside(self, parameters: np.ndarray) -> bool:
        """Whether no value of any distribution, but for one in 400, lies beyond its bounds."""
        outer = self.distribution.quantiles(parameters[..., :-2], GRID[[0, -1]])
        return bool(
            (outer[..., 0] >= parameters[..., -2]).all()
            and (outer[..., 1] <= parameters[..., -1]).all()
        )
