"""Trailing means: the mean of the last values up to each row, within one series."""

from __future__ import annotations

import math

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
        self.path = torch.arange(len(values), device=values.device)
        self.period = torch.arange(len(periods), device=values.device)[:, None]
        # By time, so that what one step reads and writes is contiguous.
        shape = (len(periods), values.shape[1], len(values), values.shape[-1])
        self.means = means.new_empty(shape)  # (P, T + H, n, C)
        self.means[:, : self.n_past] = means.permute(2, 1, 0, 3)
        if periods:
            # Rows of the shortest series before the first that a mean ends at. Reading it from a
            # GPU would wait for it.
            on_cpu = n_rows.device.type == "cpu"
            self.n_spare = int(n_rows.min() - offsets.max()) if on_cpu else -math.inf
            self.sums = self._window_sums()

    def _window_sums(self) -> list[Tensor]:
        """Sums over 1, 2, 4, ... rows that end at the last rows, as in `trailing_means`.

        Of a window of k rows, the sums that end at row r are at place r % (k + 1), (k + 1, n, C).
        """
        longest, result = max(self.periods), []
        past = self.values[:, max(0, self.n_past - longest) : self.n_past].transpose(0, 1)
        back = torch.arange(len(past), 0, -1, device=past.device)
        exists = (back[:, None] <= self.n_rows)[..., None]  # (t, n, 1)
        window = torch.where(exists, past, 0.0).to(accumulator_dtype(past.device))
        size = 1
        while size <= longest:
            last = window[-(size + 1) :]
            rows = torch.arange(self.n_past - len(last), self.n_past, device=past.device)
            sums = window.new_zeros(size + 1, *window.shape[1:])
            sums[rows % (size + 1)] = last
            result.append(sums)
            window = torch.cat([window[:size], window[size:] + window[:-size]])
            size *= 2
        return result

    def before(self, row: int) -> Tensor | None:
        """Means that the naive forecasts of ``row`` read, (n, 1, P, O, C)."""
        if not self.periods:
            return None
        n_appended = row - self.n_past
        if self.n_spare + n_appended >= 0:
            means = self.means[self.period, row - self.offsets]  # (P, O, n, C)
        else:  # no mean ends before the first row of a series
            back = torch.minimum(self.offsets[..., None], self.n_rows + n_appended)  # (P, O, n)
            means = self.means[self.period[..., None], row - back, self.path]
        return means.movedim(2, 0)[:, None]

    def append(self, row: int) -> None:
        """Compute the means up to ``row``, whose values have been forecast."""
        if not self.periods:
            return
        newest = self.values[:, row].to(self.sums[0].dtype)  # (n, C)
        for sums in self.sums:
            size = len(sums) - 1
            sums[row % (size + 1)] = newest
            newest = newest + sums[(row - size) % (size + 1)]
        count = self.n_rows + (row - self.n_past + 1)
        for k, period in enumerate(self.periods):
            total, done = torch.zeros_like(newest), 0
            for sums in self.sums:
                size = len(sums) - 1
                if period & size:
                    total += sums[(row - done) % (size + 1)]
                    done += size
            self.means[k, row] = total / count.clamp(max=period)[:, None]
