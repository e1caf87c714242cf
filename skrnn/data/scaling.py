"""Scaling: each series to a common scale by its own statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import pandas as pd
from pandas.api.typing import DataFrameGroupBy

SCALERS = ("standard", "minmax", "robust", None)
# Rows that `Scaler.transform` scales at a time: its float64 copies stay below 8 MB a column.
ROWS_PER_BLOCK = 1_000_000
# Squares and sums of values between 2**-400 and 2**400 (about 1e-120 and 1e120) fit in float64.
SAFE_EXPONENT = 400
# Deviations below this share of the level are rounding errors, not changes of the series.
ROUNDING_NOISE = 1e-12


def blocks(n_rows: int) -> Iterator[slice]:
    """Slices of rows, to be computed one after another so that temporary arrays stay small."""
    return (slice(first, first + ROWS_PER_BLOCK) for first in range(0, n_rows, ROWS_PER_BLOCK))


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
    is_centered : bool, default=True
        If not, the centre is 0: counts stay at zero or above.

    Attributes
    ----------
    center_, scale_ : np.ndarray of shape (S, C)
        Statistics of each group and column, in the unit of the data.
    """

    def __init__(self, kind: str | None, is_centered: bool = True):
        self.kind, self.is_centered = kind, is_centered

    def fit(self, values: np.ndarray, group: np.ndarray) -> Scaler:
        """Compute the statistics of groups of neighbouring rows, which are numbered from 0."""
        exponent = None if self.kind is None else _extreme_exponents(values, group)
        if exponent is not None:
            # Scaled by a power of two, which is exact, so that squares neither over- nor underflow.
            values = np.ldexp(values, -exponent[group])
        center, scale = self._statistics(pd.DataFrame(values).groupby(group))
        return self._set(center, scale, exponent)

    def fit_blocks(self, blocks: Callable[[], Iterable[np.ndarray]]) -> Scaler:
        """Compute the statistics of all rows of several arrays together, as one group.

        Parameters
        ----------
        blocks : callable
            Gives the arrays, (n, C) each, anew in each of two passes. Means and deviations alone
            can be computed so: the kind must be "standard" or None.
        """
        n, total = 0, np.zeros(1)
        for values in blocks():
            n, total = n + len(values), total + values.sum(0)
        mean = total / n
        if self.kind is None:
            return self._set(0.0 * mean[None], 0.0 * mean[None] + 1.0, None)
        square = sum(np.square(values - mean).sum(0) for values in blocks()) / n
        return self._set(mean[None], np.sqrt(square)[None], None)

    def _set(self, center: np.ndarray, scale: np.ndarray, exponent: np.ndarray | None) -> Scaler:
        """Set the statistics, those of values that were divided by powers of two if given."""
        # A constant series has scale 0, or rounding noise of its level; 1 keeps it at zero
        # instead of NaN or noise.
        is_constant = ~(scale > ROUNDING_NOISE * np.abs(center))
        scale = np.where(is_constant, 1.0, scale)
        if exponent is not None:
            center = np.ldexp(center, exponent)
            # The rounding noise of a very large constant would be infinite in float32; that of a
            # very small one is not.
            scale = np.ldexp(scale, np.where(is_constant, np.maximum(exponent, 0), exponent))
        self.center_, self.scale_ = center if self.is_centered else 0.0 * center, scale
        return self

    @classmethod
    def joined(cls, parts: Sequence[Scaler]) -> Scaler:
        """One scaler of the groups of several, which are numbered one after another."""
        result = cls(parts[0].kind, parts[0].is_centered)
        result.center_ = np.concatenate([part.center_ for part in parts])
        result.scale_ = np.concatenate([part.scale_ for part in parts])
        return result

    def of(self, groups: np.ndarray | slice) -> Scaler:
        """A scaler of some of the groups."""
        result = type(self)(self.kind, self.is_centered)
        result.center_, result.scale_ = self.center_[groups], self.scale_[groups]
        return result

    def _statistics(self, groups: DataFrameGroupBy) -> tuple[np.ndarray, np.ndarray]:
        """Centre and scale of each group and column, (S, C) each; a scale may be zero."""
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
        return center.to_numpy(), scale.to_numpy()

    def transform(self, values: np.ndarray, group: np.ndarray) -> np.ndarray:
        """Scale rows of the given groups, shape (N, C); float64 in, float32 out."""
        scaled = np.empty(values.shape, dtype=np.float32)
        for rows in blocks(len(values)):
            # Subtract in float64: a level of 1e9 with changes of 1 does not fit in float32.
            part = values[rows] - self.center_[group[rows]]
            scaled[rows] = part / self.scale_[group[rows]]
        return scaled

    def __repr__(self) -> str:
        return f"Scaler({self.kind!r})"


def _extreme_exponents(values: np.ndarray, group: np.ndarray) -> np.ndarray | None:
    """Power of two of each group and column beyond `SAFE_EXPONENT`, 0 for the others, (S, C).

    None if there is no such group.
    """
    first = np.flatnonzero(np.diff(group, prepend=-1))  # rows of a group are together
    largest = np.fmax.reduceat(np.abs(values), first) if len(group) else np.abs(values)
    exponent = np.frexp(np.nan_to_num(largest))[1]  # that of NaN is undefined in C
    extreme = np.abs(exponent) > SAFE_EXPONENT
    return np.where(extreme, exponent, 0) if extreme.any() else None
