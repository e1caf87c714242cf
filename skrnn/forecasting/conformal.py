"""Conformal prediction: intervals of point forecasts from the errors on held-out rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skrnn.data.held_out import HeldOut
from skrnn.data.panel import Panel
from skrnn.data.ragged import evenly_spaced, numbered
from skrnn.distributions import Predictive
from skrnn.forecasting.model import Model

# Cutoffs whose held-out residuals are computed: enough for the quantiles of 1 in 100.
MOST_RESIDUAL_CUTOFFS = 5_000
# The size of a series' errors is drawn towards that of all series as if by so many residuals more.
PSEUDO_RESIDUALS = 10.0
# 0.95 times 20 is rank 19, whatever floating point makes of it.
RANK_TOLERANCE = 1e-9


class Residuals(Predictive):
    r"""Split conformal prediction: a point forecast plus quantiles of held-out residuals.

    Of n held-out residuals in ascending order, the quantile at level a is the one with rank
    :math:`\lceil (n + 1) a \rceil` above the median and :math:`\lfloor (n + 1) a \rfloor` below it.
    So an interval covers at least its share of exchangeable residuals, as far as n residuals allow.

    Parameters
    ----------
    residuals : list of list of np.ndarray
        Of each horizon and column, relative to the size of the errors of their series.

    Notes
    -----
    Parameters are (..., 3): forecast, size of the errors, number of the horizon.

    References
    ----------
    J. Lei et al., "Distribution-Free Predictive Inference for Regression", JASA 113, 2018.
    """

    def __init__(self, residuals: list[list[np.ndarray]]):
        self.residuals = [[np.sort(column) for column in row] for row in residuals]

    def quantiles(self, parameters: np.ndarray, levels: Sequence[float] | np.ndarray) -> np.ndarray:
        """Quantiles, (n, C, A), from parameters (n, C, 3)."""
        table = np.array([[_ranked(r, levels) for r in row] for row in self.residuals])  # (J, C, A)
        location, size, horizon = np.moveaxis(parameters, -1, 0)
        column = np.arange(parameters.shape[-2])
        return location[..., None] + size[..., None] * table[horizon.astype(np.int64), column]


def with_residuals(
    points: np.ndarray,
    series: np.ndarray,
    steps: np.ndarray,
    model: Model,
    panel: Panel,
    held_out: HeldOut,
) -> tuple[Residuals, np.ndarray]:
    """Conformal distribution of point forecasts (n, J, C) of series (n,), steps (n, J) ahead.

    Its parameters are (n, J, C, 3).

    Raises
    ------
    ValueError
        If no held-out observation lies so many steps after another held-out row.
    """
    horizons = np.unique(steps)
    distribution, sizes = held_out_residuals(model, panel, held_out, horizons)
    place = np.broadcast_to(np.searchsorted(horizons, steps)[..., None], points.shape)
    size = np.broadcast_to(sizes[series][:, None], points.shape)
    return distribution, np.stack([points, size, place], axis=-1)


def held_out_residuals(
    model: Model, panel: Panel, held_out: HeldOut, steps: np.ndarray
) -> tuple[Residuals, np.ndarray]:
    """Residuals on the held-out rows, and the size of each series' errors (S, C).

    Series differ in how well they are forecast. Each one's residuals are divided by their mean
    size, which is drawn towards that of all series, see `PSEUDO_RESIDUALS`.
    """
    n_columns = len(model.columns)
    first, stop = held_out.rows(panel)
    series, k = numbered(stop - first)
    cutoff = first[series] + k
    kept = evenly_spaced(len(cutoff), MOST_RESIDUAL_CUTOFFS)
    series, cutoff = series[kept], cutoff[kept]
    row = cutoff[:, None] + steps - 1  # (n, J)
    inside = row < stop[series][:, None]
    row = panel.offsets[series][:, None] + np.minimum(row, stop[series][:, None] - 1)
    counts = np.broadcast_to(inside[..., None], (*row.shape, n_columns))
    if panel.observed is not None:
        counts = counts & panel.observed[row][..., :n_columns]  # (n, J, C)
    missing = np.argwhere(~counts.any(0))
    if len(missing):
        msg = (
            f"Intervals of point forecasts need held-out residuals {steps[missing[0][0]]} steps "
            f"ahead, but validation_split holds out none. Raise validation_split, shorten fh, or "
            f"set criterion='quantile'."
        )
        raise ValueError(msg)
    distribution, parameters = model.forecast(panel, series, cutoff, steps)
    residual = panel.values[row][..., :n_columns] - distribution.point(parameters)
    scale = model.scaler.scale_[:, :n_columns]  # type: ignore[union-attr]
    residual = residual / scale[series][:, None]
    size = np.where(counts, np.abs(residual), 0.0)
    mean = size.sum(0) / counts.sum(0)  # of each horizon
    relative = size / np.where(mean > 0, mean, 1.0)
    total = np.full((2, panel.n_series, n_columns), PSEUDO_RESIDUALS)
    np.add.at(total[0], series, relative.sum(1))
    np.add.at(total[1], series, counts.sum(1))
    sizes = total[0] / total[1]
    residual = residual / sizes[series][:, None]
    table = [[residual[counts[:, j, c], j, c] for c in range(n_columns)] for j in range(len(steps))]
    return Residuals(table), sizes * scale


def _ranked(residuals: np.ndarray, levels: Sequence[float] | np.ndarray) -> np.ndarray:
    """Conformal quantiles of ascending residuals."""
    n, level = len(residuals), np.asarray(levels, dtype=np.float64)
    place = (n + 1) * level
    rank = np.where(level > 0.5, np.ceil(place - RANK_TOLERANCE), np.floor(place + RANK_TOLERANCE))
    return residuals[np.clip(rank, 1, n).astype(np.int64) - 1]
