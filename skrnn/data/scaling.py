"""Scaling: each series to a common scale by its own statistics, and the way back."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

SCALERS = ("standard", "minmax", "robust", None)


def blocks(n_rows: int) -> Iterator[slice]:
    """Slices of a million rows: what is computed on the way to a result stays small beside it."""
    return (slice(first, first + 1_000_000) for first in range(0, n_rows, 1_000_000))


class Scaler:
    """Centre and scale of each group of rows: z = (y - center) / scale.

    ======== ============= =======================================
    kind     center        scale
    ======== ============= =======================================
    standard mean          standard deviation
    minmax   minimum       maximum - minimum
    robust   median        distance between the quartiles
    None     0             1
    ======== ============= =======================================

    Parameters
    ----------
    kind : {"standard", "minmax", "robust", None}

    Attributes
    ----------
    center_, scale_ : np.ndarray of shape (S, C)
        Statistics of each group and column, in the unit of the data.
    """

    def __init__(self, kind: str | None):
        self.kind = kind

    def fit(self, values: np.ndarray, group: np.ndarray) -> Scaler:
        """Compute the statistics of the rows of each group; groups are numbered from 0."""
        groups = pd.DataFrame(values).groupby(group)
        if self.kind == "standard":
            center, scale = groups.mean(), groups.std(ddof=0)
        elif self.kind == "minmax":
            center, scale = groups.min(), groups.max() - groups.min()
        elif self.kind == "robust":
            center, scale = groups.median(), groups.quantile(0.75) - groups.quantile(0.25)
            # Counts that are mostly zero have no quartile distance; their deviation is one.
            scale = scale.where(scale > 0, groups.std(ddof=0))
        else:
            center = groups.first() * 0.0
            scale = center + 1.0
        self.center_ = center.to_numpy()
        # A constant series has scale 0, or rounding noise of its level; 1 keeps it at zero
        # instead of NaN or noise.
        noise = 1e-12 * np.abs(self.center_)
        self.scale_ = np.where(scale.to_numpy() > noise, scale.to_numpy(), 1.0)
        return self

    def transform(self, values: np.ndarray, group: np.ndarray) -> np.ndarray:
        """Scale rows of the given groups, shape (N, C); float64 in, float32 out."""
        made = np.empty(values.shape, dtype=np.float32)
        for rows in blocks(len(values)):
            # Subtract in float64: a level of 1e9 with changes of 1 does not fit in float32.
            part = values[rows] - self.center_[group[rows]]
            made[rows] = part / self.scale_[group[rows]]
        return made

    def inverse(self, values: np.ndarray, group: np.ndarray) -> np.ndarray:
        """Bring forecasts, shape (N, ..., C), back to the unit of the data."""
        shape = (len(group),) + (1,) * (values.ndim - 2) + (-1,)
        return values * self.scale_[group].reshape(shape) + self.center_[group].reshape(shape)

    def __repr__(self) -> str:
        return f"Scaler({self.kind!r})"
