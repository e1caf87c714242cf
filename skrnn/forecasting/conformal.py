"""Conformal prediction: quantiles that hold what they claim, from errors on held-out rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skrnn.distributions.base import Predictive, empirical
from skrnn.forecasting.adaptation import HeldOutErrors
from skrnn.forecasting.held_out_errors import center_and_size
from skrnn.forecasting.samples import Samples, ranks


class Calibrated(Predictive):
    r"""A forecast plus quantiles of the errors of earlier forecasts.

    With m the centre of the forecast, s the expected size of its error and q the quantile of the
    errors e = (y - m) / s of earlier forecasts, the quantile at level a is :math:`m + s\,q_a`.
    Of n held-out errors, :math:`q_a` is the one with rank :math:`\lceil (n + 1) a \rceil` above the
    median and :math:`\lfloor (n + 1) a \rfloor` below it. From there on it follows each further
    error by adaptive conformal inference, see `HeldOutErrors.tracked`.

    Parameters
    ----------
    errors : HeldOutErrors

    Notes
    -----
    Parameters are (..., 8 + V): forecast, centre, size, lower and upper bound, numbers of the
    series, of the known errors and of the horizon, and V simulated values, if there are any.

    References
    ----------
    J. Lei et al., "Distribution-Free Predictive Inference for Regression", JASA 113, 2018.
    I. Gibbs, E. Candes, "Adaptive Conformal Inference Under Distribution Shift", NeurIPS 2021.
    I. Gibbs, E. Candes, "Conformal Inference for Online Prediction with Arbitrary Distribution
    Shifts", JMLR 25, 2024 (step sizes weighed by their pinball losses).
    A. Angelopoulos, E. Candes, R. Tibshirani, "Conformal PID Control for Time Series Prediction",
    NeurIPS 2023 (quantiles that follow errors).
    """

    N_NUMBERS = 8

    def __init__(self, errors: HeldOutErrors):
        self.errors = errors

    def quantiles(self, parameters: np.ndarray, levels: Sequence[float] | np.ndarray) -> np.ndarray:
        """Quantiles, (..., C, A), from parameters (..., C, K)."""
        levels = np.asarray(levels, dtype=np.float64)
        order = np.argsort(levels)
        _, center, size, lower, upper, *place = np.moveaxis(
            parameters[..., : self.N_NUMBERS], -1, 0
        )
        series, count, horizon = (part.astype(np.int64) for part in place)
        counts, count = np.unique(count, return_inverse=True)
        table = self.errors.tracked(levels[order], counts)[..., np.argsort(order)]
        column = np.arange(parameters.shape[-2])
        quantile = table[series, count.reshape(series.shape), horizon, column]
        quantile = center[..., None] + size[..., None] * quantile
        return np.clip(quantile, lower[..., None], upper[..., None])

    def skpro(self, parameters: np.ndarray, **labels: Any) -> Any:
        """Distribution of skpro; of simulated paths, whose order at each step stays the same."""
        n_samples = parameters.shape[-1] - self.N_NUMBERS
        if not n_samples:
            return super().skpro(parameters, **labels)
        values = self.quantiles(parameters, (np.arange(n_samples) + 0.5) / n_samples)
        paths = np.take_along_axis(values, ranks(parameters[..., self.N_NUMBERS :]), axis=-1)
        return empirical(paths, time_indep=False, **labels)


def calibrated(
    distribution: Predictive,
    parameters: np.ndarray,
    series: np.ndarray,
    rows: np.ndarray,
    steps: np.ndarray,
    bounds: tuple[np.ndarray, np.ndarray],
    errors: HeldOutErrors,
    sizes: np.ndarray,
) -> tuple[Calibrated, np.ndarray]:
    """Calibrated distribution of forecasts of series (n,) from rows (n,), and its parameters.

    Parameters
    ----------
    distribution, parameters : Predictive, np.ndarray of shape (n, J, C, K)
    series, rows : np.ndarray of shape (n,)
        The rows before each of ``rows`` are known.
    steps : np.ndarray of shape (n, J)
        Steps ahead.
    bounds : tuple of np.ndarray of shape (n, C)
        Lower and upper bound of the quantiles.
    errors, sizes : HeldOutErrors, np.ndarray of shape (S, C)
        Those of all steps asked for, see `held_out_errors`.
    """
    center, size = center_and_size(distribution, parameters)
    size = size * sizes[series][:, None]
    horizon = np.searchsorted(errors.steps, steps)
    # Errors are known as far as their target lies before the row.
    latest = rows[:, None] - steps  # (n, J)
    count = (errors.cutoff[series][:, None] <= latest[..., None]).sum(-1)
    lower, upper = (np.broadcast_to(bound[:, None], center.shape) for bound in bounds)
    numbers = [np.clip(distribution.point(parameters), lower, upper), center, size, lower, upper]
    numbers += [
        np.broadcast_to(part[..., None], center.shape)
        for part in (np.broadcast_to(series[:, None], steps.shape), count, horizon)
    ]
    result = np.stack(numbers, axis=-1)
    if isinstance(distribution, Samples) and parameters.shape[-1] > 1:  # not of a point
        result = np.concatenate([result, parameters], axis=-1)
    return Calibrated(errors), result
