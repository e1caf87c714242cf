"""Quantiles: those of a forecast from its parameters, and as held-out errors calibrate them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from skrnn.distributions import Point
from skrnn.distributions.values import Quantiles
from skrnn.export.graph import Tensor
from skrnn.export.scales import Scales
from skrnn.forecasting.fitted import Fitted

# Levels whose distance is the size of a forecast's error, see `skrnn.forecasting.conformal`.
LOW, MIDDLE, HIGH = 0.1, 0.5, 0.9


def quantiles_of(distribution: Any, parameters: Tensor, levels: Sequence[float]) -> Tensor:
    """Quantiles (S, J, C, A) from parameters (S, J, C, K) in the unit of the data."""
    if isinstance(distribution, Quantiles):
        return parameters.graph.op("MatMul", parameters, distribution.weights(levels))
    location, scale = parameters.part(0, 1, 3), parameters.part(1, 2, 3)
    return location + scale * stats.norm.ppf(np.asarray(levels))


class Calibration:
    """Quantiles of the errors so far, by which those of new forecasts are corrected.

    Parameters
    ----------
    fitted : Fitted
        Of a multioutput model.
    levels : sequence of float

    Attributes
    ----------
    sizes : np.ndarray of shape (S, C)
        Size of the errors of each series.
    table : np.ndarray of shape (S, J C A)
        Quantiles of the errors in units of their size.
    """

    def __init__(self, fitted: Fitted, levels: Sequence[float]):
        steps = np.array(fitted.model.features.horizons)
        errors, self.sizes = fitted.held_out_errors(steps)
        # Errors are known as far as their target lies before the end.
        latest = fitted.panel.lengths[:, None] - steps  # (S, J)
        count = (errors.cutoff[:, None] <= latest[..., None]).sum(-1)
        counts, place = np.unique(count, return_inverse=True)
        ascending = np.argsort(levels)
        tracked = errors.tracked(np.asarray(levels)[ascending], counts)[..., np.argsort(ascending)]
        series = np.arange(len(count))[:, None]
        found = tracked[series, place.reshape(count.shape), np.arange(len(steps))]  # (S, J, C, A)
        self.table = found.reshape(len(found), -1)
        self.shape = found.shape[1:]

    def calibrated(self, distribution: Any, parameters: Tensor, scales: Scales) -> Tensor:
        """Quantiles (S, J, C, A) of forecasts with these parameters (S, J, C, K).

        Those of a series that was not fitted are NaN: no error of it is known.
        """
        sizes = scales.of_series(self.sizes, new=np.nan).unsqueeze(3)  # (S, 1, C, 1)
        errors = scales.of_series(self.table).reshape(-1, *self.shape)
        if isinstance(distribution, Point):
            return parameters + sizes * errors
        low, center, high = (
            quantiles_of(distribution, parameters, [level]) for level in (LOW, MIDDLE, HIGH)
        )
        size = ((high - low) / 2).maximum(np.finfo(np.float64).tiny)
        return center + size * sizes * errors
