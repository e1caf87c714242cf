"""The latest rows of a panel. New rows are appended, and the oldest ones are dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from skrnn.data.panel import Panel
from skrnn.data.ragged import numbered

# Rows that can be appended before the arrays are copied: the most for one series, the most for all
# series together, and the fewest for one series.
MOST_SPARE_ROWS, SPARE_ROWS, FEWEST_SPARE_ROWS = 1_024, 2_000_000, 64
NEVER, NOT_YET = np.iinfo(np.int64).min, np.iinfo(np.int64).max


class LatestRows:
    """The last rows of each series, each in a block of the same length.

    A missing value is filled when its row is appended, as `fill_missing` does. The values from
    which a gap is filled are kept until the gap ends, even if their rows are dropped.

    Parameters
    ----------
    panel : Panel
        The rows to start with, with missing values filled.
    periods : sequence of int
        Seasonal periods from which missing values are filled.
    n_kept : int or None
        Number of latest rows that are kept for each series; None for all.
    n_ahead : int
        Number of rows after the end for which there is always space.

    Attributes
    ----------
    values, observed, known : np.ndarray of shape (S, R, .)
        Blocks of R rows, see `Panel`. Rows from ``count`` on are not used yet.
    count : np.ndarray of shape (S,)
        Rows in each block.
    origin : np.ndarray of shape (S,)
        Position of the first row of each block.
    began : np.ndarray of shape (S,)
        Position of the first row of each series, which may have been dropped.
    least : np.ndarray of shape (S, C)
        Smallest value so far of each series and target column; missing values count as 0.
    """

    def __init__(self, panel: Panel, periods: Sequence[int], n_kept: int | None, n_ahead: int):
        self.periods = np.array(periods, dtype=np.int64)
        self.n_ahead = n_ahead
        fewest = int(self.periods.max(initial=0)) + 1
        self.n_kept = NOT_YET if n_kept is None else max(n_kept, fewest)
        observed = panel.observed
        observed = np.ones(panel.values.shape, bool) if observed is None else observed
        self._start_fills(panel, observed)
        counted = np.where(observed, panel.values, 0.0)[:, : len(panel.columns)]
        self.least = np.minimum.reduceat(counted, panel.offsets[:-1])
        self.began = panel.origin.copy()
        self.template = panel.tail(1)
        tail = panel.tail(self.n_kept)
        self.count, self.origin = tail.lengths, tail.origin.copy()
        observed = np.ones(tail.values.shape, bool) if tail.observed is None else tail.observed
        series, row = numbered(tail.lengths)
        self.values, self.observed, self.known = (
            np.zeros((tail.n_series, tail.lengths.max(), part.shape[1]), part.dtype)
            for part in (tail.values, observed, tail.known)
        )
        self.values[series, row], self.observed[series, row] = tail.values, observed
        self.known[series, row] = tail.known
        self.make_room()

    def _start_fills(self, panel: Panel, observed: np.ndarray) -> None:
        """Find where each column was observed, and the values that fill a gap at its end."""
        positions, first = panel.positions()[:, None], panel.offsets[:-1]
        self.first_observed = np.minimum.reduceat(np.where(observed, positions, NOT_YET), first)
        self.last_observed = np.maximum.reduceat(np.where(observed, positions, NEVER), first)
        # For each gap, the last value before it, and the values one season before that value.
        self.before_gap = np.full(self.last_observed.shape, np.nan)  # (S, V)
        self.seasons_before_gap = np.full((*self.before_gap.shape, len(self.periods)), np.nan)
        in_gap = (self.last_observed < panel.end[:, None] - 1) & (self.last_observed > NEVER)
        for s, c in np.argwhere(in_gap):
            row = panel.offsets[s] + self.last_observed[s, c] - panel.origin[s]
            self._note_gap(s, c, panel.values[row, c], panel.values[:, c], row - self.periods)

    def _note_gap(self, s: int, c: int, last: float, column: np.ndarray, rows: np.ndarray) -> None:
        self.before_gap[s, c] = last
        exists = self.last_observed[s, c] - self.periods >= self.first_observed[s, c]
        self.seasons_before_gap[s, c] = np.where(exists, column[np.where(exists, rows, 0)], np.nan)

    # ------------------------------------------------------------------------ the blocks

    @property
    def n_series(self) -> int:
        return len(self.count)

    @property
    def capacity(self) -> int:
        """Rows of a block."""
        return self.values.shape[1]

    @property
    def end(self) -> np.ndarray:
        """Timeline position after the last row of each series, (S,)."""
        return self.origin + self.count

    @property
    def is_full(self) -> bool:
        """Whether a block lacks space for one more row and the ``n_ahead`` rows after it."""
        return bool(self.count.max() + self.n_ahead >= self.capacity)

    def make_room(self) -> np.ndarray:
        """Drop all but the last ``n_kept`` rows, and lengthen the blocks if necessary.

        Returns
        -------
        np.ndarray of shape (S, R)
            For each row of the new blocks, its row in the old ones; arbitrary for unused rows.
        """
        kept = np.minimum(self.count, self.n_kept)
        dropped, longest = self.count - kept, int(kept.max())
        spare = max(FEWEST_SPARE_ROWS, min(MOST_SPARE_ROWS, SPARE_ROWS // self.n_series))
        if self.n_kept == NOT_YET:
            spare = max(spare, longest)  # so that each row is copied only a few times
        rows = np.arange(longest + spare + self.n_ahead) + dropped[:, None]
        rows = np.minimum(rows, self.capacity - 1)
        self.values, self.observed, self.known = (
            block[np.arange(self.n_series)[:, None], rows]
            for block in (self.values, self.observed, self.known)
        )
        self.count, self.origin = kept, self.origin + dropped
        return rows

    def grid(self) -> Panel:
        """A panel whose series are whole blocks, unused rows included."""
        parts = (self.values, self.observed, self.known)
        n_rows = self.n_series * self.capacity
        values, observed, known = (part.reshape(n_rows, part.shape[2]) for part in parts)
        offsets = self.capacity * np.arange(self.n_series + 1)
        return self._panel(values, observed, known, offsets)

    def panel(self) -> Panel:
        """The rows that are kept."""
        series, row = numbered(self.count)
        parts = (self.values, self.observed, self.known)
        values, observed, known = (part[series, row] for part in parts)
        offsets = np.concatenate([[0], np.cumsum(self.count)])
        return self._panel(values, None if observed.all() else observed, known, offsets)

    def _panel(
        self,
        values: np.ndarray,
        observed: np.ndarray | None,
        known: np.ndarray,
        offsets: np.ndarray,
    ) -> Panel:
        return replace(
            self.template,
            values=values,
            observed=observed,
            known=known,
            offsets=offsets,
            origin=self.origin.copy(),
        )

    # ------------------------------------------------------------------------- new rows

    def append(self, series: np.ndarray, values: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Append a row to each of the given series (m,).

        There must be space, see `is_full`.

        Parameters
        ----------
        series : np.ndarray of shape (m,)
        values : np.ndarray of shape (m, V)
            NaN where missing.
        known : np.ndarray of shape (m, P)

        Returns
        -------
        np.ndarray of shape (m, V)
            The values with gaps filled; NaN before the first observation of a column.
        """
        row, position = self.count[series], self.end[series, None]
        missing = np.isnan(values)
        if missing.any():
            values = values.copy()
            for i, c in np.argwhere(missing):
                values[i, c] = self._fill(series[i], c, row[i])
        self.first_observed[series] = np.minimum(
            self.first_observed[series], np.where(missing, NOT_YET, position)
        )
        self.last_observed[series] = np.where(missing, self.last_observed[series], position)
        n_columns = self.least.shape[1]
        counted = np.where(missing, 0.0, values)[:, :n_columns]
        self.least[series] = np.minimum(self.least[series], counted)
        self.values[series, row], self.observed[series, row] = values, ~missing
        self.known[series, row] = known
        self.count[series] += 1
        return values

    def _fill(self, s: int, c: int, row: int) -> float:
        """The value that replaces a missing one in a column at ``row``; see `fill_missing`."""
        column = self.values[s, :, c]
        if self.last_observed[s, c] == self.origin[s] + row - 1:  # a gap begins
            self._note_gap(s, c, column[row - 1], column, row - 1 - self.periods)
        change = column[np.maximum(row - self.periods, 0)] - self.seasons_before_gap[s, c]
        exists = ~np.isnan(self.seasons_before_gap[s, c])
        return self.before_gap[s, c] + change[exists].sum() / max(1, exists.sum())
