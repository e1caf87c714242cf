"""Trailing means: the mean of the last values up to each row, within one series."""

from __future__ import annotations

import torch
from torch import Tensor


def accumulator_dtype(device: torch.device) -> torch.dtype:
    """Type in which sums are computed: float64, which Apple's MPS does not have."""
    return torch.float32 if device.type == "mps" else torch.float64


def trailing_means(values: Tensor, n_rows: Tensor, period: int) -> Tensor:
    r"""Mean of the last ``period`` values up to each row, in the type of ``values``.

    With n values of the series so far, :math:`m_t = \frac{1}{\min(p, n)} \sum_{i=0}^{\min(p, n)-1}
    s_{t-i}`. Windows of 1, 2, 4, ... rows are added up, so that a mean depends on the values of
    its window alone. Differences of one running sum would carry an extreme value to every later
    row, and to other series.

    Parameters
    ----------
    values : Tensor of shape (N, C)
        Series one after another.
    n_rows : Tensor of shape (N,)
        Rows of the series up to each row, that row included: 1, 2, ... in each series.
    period : int

    Returns
    -------
    Tensor of shape (N, C)
    """
    window = values.to(accumulator_dtype(values.device))  # sums over the last `size` rows
    total, done, size = torch.zeros_like(window), 0, 1
    while True:
        if period & size:
            total += _rows_before(window, done, n_rows)
            done += size
        if 2 * size > period:
            break
        window = window + _rows_before(window, size, n_rows)
        size *= 2
    return (total / n_rows.clamp(max=period)[:, None]).to(values.dtype)


def _rows_before(values: Tensor, k: int, n_rows: Tensor) -> Tensor:
    """The values ``k`` rows before each row, zero before the first row of a series."""
    if k == 0:
        return values
    before = torch.zeros_like(values)
    before[k:] = values[:-k]
    return torch.where((n_rows > k)[:, None], before, 0.0)


class PathMeans:
    """Trailing means of paths to which forecasts are appended one after the other.

    Parameters
    ----------
    values : Tensor of shape (n, T + H, C)
        T past values of each path and room for H forecasts, filled in as they are made.
    means : Tensor of shape (n, T, P, C)
        Trailing means of the past values over P periods.
    n_rows : Tensor of shape (n,)
        Rows of the series before the first forecast; the values of ``values`` before the first row
        of a series are not read.
    periods : tuple of int
    offsets : Tensor of shape (P, O)
        How many rows before a step the means end that the naive forecasts read.
    """

    def __init__(
        self,
        values: Tensor,
        means: Tensor,
        n_rows: Tensor,
        periods: tuple[int, ...],
        offsets: Tensor,
    ):
        self.values, self.n_rows, self.periods, self.offsets = values, n_rows, periods, offsets
        self.n_past = means.shape[1]
        room = means.new_empty(len(values), values.shape[1] - self.n_past, *means.shape[2:])
        self.means = torch.cat([means, room], dim=1)  # (n, T + H, P, C)
        self.path = torch.arange(len(values), device=values.device)[:, None, None]
        self.period = torch.arange(len(periods), device=values.device)[:, None]

    def before(self, row: int) -> Tensor | None:
        """Means that the naive forecasts of ``row`` read, (n, 1, P, O, C)."""
        if not self.periods:
            return None
        count = self.n_rows + (row - self.n_past)
        # No mean ends before the first row of a series.
        back = torch.minimum(self.offsets, count[:, None, None])  # (n, P, O)
        return self.means[self.path, row - back, self.period][:, None]

    def append(self, row: int) -> None:
        """Compute the means up to ``row``, whose values have been forecast."""
        dtype = accumulator_dtype(self.values.device)
        count = self.n_rows + (row - self.n_past + 1)
        for k, period in enumerate(self.periods):
            first = max(0, row + 1 - period)
            window = self.values[:, first : row + 1]
            back = torch.arange(row - first, -1, -1, device=window.device)
            exists = (back < count[:, None])[..., None]
            total = torch.where(exists, window, 0.0).sum(1, dtype=dtype)
            self.means[:, row, k] = (total / count.clamp(max=period)[:, None]).to(window.dtype)
