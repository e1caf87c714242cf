"""The panel: all series in one array of values, read from pandas, and the way back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from skrnn.data.covariates import (
    Covariates,
    as_float,
    check_columns,
    check_finite,
    check_unique_columns,
)
from skrnn.data.missing import fill_missing
from skrnn.data.ragged import numbered, series_offsets
from skrnn.data.scaling import blocks
from skrnn.data.timeline import Timeline, check_stamps

# Rows of the blocks of series that are computed one after another, so that temporary arrays stay
# small; a longer series is a block alone.
ROWS_PER_BLOCK = 2**17


@dataclass(frozen=True)
class Panel:
    """Series one after another in one array, each contiguous on a shared timeline.

    Parameters
    ----------
    values : np.ndarray of shape (N, C)
        The target columns of all series, and after them the past covariates, float64. Missing
        values are NaN unless `filled` has replaced them.
    observed : np.ndarray of shape (N, C), or None
        Which values were observed; None if all.
    known : np.ndarray of shape (N, P)
        The covariates known in advance in the same rows, categories as numbers.
    offsets : np.ndarray of shape (S + 1,)
        Series s holds the rows ``offsets[s]`` to ``offsets[s + 1]``.
    origin : np.ndarray of shape (S,)
        Position of the first row of each series on the timeline.
    timeline : Timeline
    keys : pd.Index or None
        One label (or tuple) for each series; None for a single series without a name.
    columns : pd.Index
        The target columns.
    covariates : Covariates
        Description of the columns of X.
    """

    values: np.ndarray
    observed: np.ndarray | None
    known: np.ndarray
    offsets: np.ndarray
    origin: np.ndarray
    timeline: Timeline
    keys: pd.Index | None
    columns: pd.Index
    covariates: Covariates

    @classmethod
    def from_pandas(
        cls,
        y: pd.DataFrame,
        X: pd.DataFrame | None,
        covariates: Covariates,
        timeline: Timeline | None = None,
    ) -> Panel:
        """Read y, and the rows of X at the index of y, into one panel.

        Raises
        ------
        ValueError
            If y is empty or has a duplicated column; if a series is unsorted, lacks rows or has
            a row without time stamp; if y or X holds infinite values; if X lacks rows of y, or
            has NaN in columns known in advance.
        TypeError
            If time stamps are neither integers nor dates nor periods, or values are not numbers.
        """
        if len(y) == 0:
            msg = "y must hold at least one observation, but it is empty. Pass a longer series."
            raise ValueError(msg)
        if y.shape[1] == 0:
            msg = "y must have at least one column, but it has none. Pass the values to forecast."
            raise ValueError(msg)
        check_unique_columns(y.columns, "y")
        offsets, keys = _series_of(y.index)
        timeline, origin = _placed(y.index, offsets, keys, timeline)
        values = as_float(y, "y")
        if any(np.isinf(values[rows]).any() for rows in blocks(len(values))):
            check_finite(y, "y", missing=True)
        known = covariates.read_known(X, y.index)
        if covariates.past:
            values = np.concatenate([values, covariates.read_past(X, y.index)], axis=1)
        observed = ~np.isnan(values)
        return cls(
            values=values,
            observed=None if observed.all() else observed,
            known=known,
            offsets=offsets,
            origin=origin,
            timeline=timeline,
            keys=keys,
            columns=y.columns,
            covariates=covariates,
        )

    @property
    def n_series(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Number of rows of each series, shape (S,)."""
        return np.diff(self.offsets)

    @property
    def end(self) -> np.ndarray:
        """Timeline position after the last row of each series, shape (S,)."""
        return self.origin + self.lengths

    def blocks(self) -> Iterator[Panel]:
        """Panels of neighbouring series, of `ROWS_PER_BLOCK` rows at most or of one series."""
        return (self.part(first, stop) for first, stop in self.block_bounds())

    def block_bounds(self, most_series: int | None = None) -> Iterator[tuple[int, int]]:
        """First series and stop of each block, which is of so many series at most."""
        return block_bounds(self.offsets, most_series)

    def part(self, first: int, stop: int) -> Panel:
        """Some neighbouring series; their rows are not copied."""
        if (first, stop) == (0, self.n_series):
            return self
        rows = slice(self.offsets[first], self.offsets[stop])
        return replace(
            self,
            values=self.values[rows],
            observed=None if self.observed is None else self.observed[rows],
            known=self.known[rows],
            offsets=self.offsets[first : stop + 1] - self.offsets[first],
            origin=self.origin[first:stop],
            keys=None if self.keys is None else self.keys[first:stop],
        )

    def in_memory(self) -> Panel:
        """The same panel; of a stored one, with all its values in memory."""
        return self

    @cached_property
    def n_observed(self) -> np.ndarray:
        """Number of observations of each series and column, past covariates too, (S, C)."""
        if self.observed is None:
            return np.repeat(self.lengths[:, None], self.values.shape[1], axis=1)
        return np.concatenate(
            [
                np.add.reduceat(block.observed.astype(np.int64), block.offsets[:-1])  # type: ignore[union-attr]
                for block in self.blocks()
            ]
        )

    def series_of_rows(self) -> np.ndarray:
        """Series of each row, shape (N,)."""
        return numbered(self.lengths)[0]

    def positions(self) -> np.ndarray:
        """Timeline position of each row, shape (N,)."""
        series, k = numbered(self.lengths)
        return self.origin[series] + k

    def label(self, series: int) -> str:
        """Name of a series for messages."""
        return "y" if self.keys is None else _name(self.keys[series])

    def index(self, series: np.ndarray, *positions: np.ndarray) -> pd.Index:
        """Pandas index of series and one or more timeline positions, instance levels first."""
        stamps = [self.timeline.stamps(p) for p in positions]
        if self.keys is None:
            return stamps[0] if len(stamps) == 1 else pd.MultiIndex.from_arrays(stamps)
        keys = self.keys.take(series)
        levels = [keys.get_level_values(i) for i in range(keys.nlevels)]
        return pd.MultiIndex.from_arrays([*levels, *stamps])

    def observed_or_zero(self) -> np.ndarray:
        """Target values, (N, C), 0 where they were not observed."""
        values, n_columns = self.values[:, : len(self.columns)], len(self.columns)
        return (
            values if self.observed is None else np.where(self.observed[:, :n_columns], values, 0)
        )

    @cached_property
    def first_negative(self) -> np.ndarray:
        """Row of the first negative value of each series, (S, C); its length if there is none."""
        lengths = np.repeat(self.lengths, self.lengths)
        row = np.arange(len(self.values)) - np.repeat(self.offsets[:-1], self.lengths)
        rows = np.where(self.observed_or_zero() < 0, row[:, None], lengths[:, None])
        return np.minimum.reduceat(rows, self.offsets[:-1])

    def first_observed(self) -> np.ndarray:
        """First row of each series in which a target is observed, or its end, (S,)."""
        if self.observed is None:
            return self.offsets[:-1]
        observed = np.any(self.observed[:, : len(self.columns)], axis=1)
        end = np.repeat(self.offsets[1:], self.lengths)
        row = np.where(observed, np.arange(len(end)), end)
        return np.minimum.reduceat(row, self.offsets[:-1])

    def trim_leading_missing(self) -> Panel:
        """Drop the rows of each series before its first observation in any column of y.

        Raises
        ------
        ValueError
            If a series, or a column of one, has no observation.
        """
        if self.observed is None:
            return self
        observed = self.observed[:, : len(self.columns)]
        _check_observed(self, observed)
        trimmed = self._select(self.first_observed(), self.offsets[1:])
        # All missing values may have been in the rows dropped.
        complete = trimmed.observed is not None and trimmed.observed.all()
        return replace(trimmed, observed=None) if complete else trimmed

    def filled(self, periods: Sequence[int]) -> Panel:
        """Fill missing values as `fill_missing` does, for use as inputs; `observed` is kept."""
        if self.observed is None:
            return self
        return replace(self, values=fill_missing(self.values, self.observed, self.offsets, periods))

    def cut(self, stop: np.ndarray) -> Panel:
        """Keep only the first ``stop`` rows of each series, shape (S,)."""
        return self._select(self.offsets[:-1], self.offsets[:-1] + stop)

    def since(self, first: np.ndarray) -> Panel:
        """Keep only the rows from ``first`` on of each series, shape (S,)."""
        return self._select(self.offsets[:-1] + first, self.offsets[1:])

    def series(self, number: int) -> Panel:
        """One series as a panel of its own, which has its name and begins at its first row."""
        rows = slice(self.offsets[number], self.offsets[number + 1])
        observed = None if self.observed is None else self.observed[rows]
        start = self.timeline.stamps(self.origin[number : number + 1])
        return replace(
            self,
            values=self.values[rows],
            observed=None if observed is None or observed.all() else observed,
            known=self.known[rows],
            offsets=np.array([0, rows.stop - rows.start]),
            origin=np.zeros(1, dtype=np.int64),
            timeline=replace(self.timeline, start=start),
            keys=None if self.keys is None else self.keys[number : number + 1],
        )

    def tail(self, rows: int) -> Panel:
        """Keep only the last ``rows`` rows of each series; only these are copied."""
        kept = np.minimum(self.lengths, rows)
        return self._select(self.offsets[1:] - kept, self.offsets[1:]).in_memory()

    def _select(self, first: np.ndarray, stop: np.ndarray) -> Panel:
        """Keep the rows ``first`` to ``stop`` of each series, counted over the whole panel."""
        if (first == self.offsets[:-1]).all() and (stop == self.offsets[1:]).all():
            return self  # without a copy
        lengths = stop - first
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        rows = np.arange(offsets[-1]) + np.repeat(first - offsets[:-1], lengths)
        return replace(
            self,
            values=self.values[rows],
            observed=None if self.observed is None else self.observed[rows],
            known=self.known[rows],
            offsets=offsets,
            origin=self.origin + first - self.offsets[:-1],
        )

    def extended(self, horizon: int, known: np.ndarray) -> Panel:
        """Append ``horizon`` rows to each series for the values to forecast.

        Their values are zero and must not be read.

        Parameters
        ----------
        horizon : int
        known : np.ndarray of shape (S, horizon, P)
            Covariates known in advance in these rows.
        """
        n_added, n_columns = self.n_series * horizon, self.values.shape[1]
        series = np.concatenate(
            [self.series_of_rows(), np.repeat(np.arange(self.n_series), horizon)]
        )
        order = np.argsort(series, kind="stable")

        def append(present: np.ndarray, added: np.ndarray) -> np.ndarray:
            return np.concatenate([present, added])[order]

        return replace(
            self,
            values=append(self.values, np.zeros((n_added, n_columns))),
            observed=None
            if self.observed is None
            else append(self.observed, np.ones((n_added, n_columns), dtype=bool)),
            known=append(self.known, known.reshape(n_added, known.shape[2])),
            offsets=self.offsets + horizon * np.arange(self.n_series + 1),
        )

    def updated(self, new: Panel) -> Panel:
        """Merge the rows of ``new`` into the series: append, and replace where both hold a row.

        Rows of this panel before and after those of ``new`` are kept.

        Raises
        ------
        ValueError
            If ``new`` has other columns or an unknown series, or rows between are missing.
        """
        if len(self.columns) > 1 or len(new.columns) > 1:  # a single column may have another name
            check_columns(new.columns, self.columns, "y")
        match = self.match(new)
        _check_adjacent(self, new, match)
        origin, end = self.origin.copy(), self.end
        origin[match] = np.minimum(origin[match], new.origin)
        end[match] = np.maximum(end[match], new.end)
        offsets = np.concatenate([[0], np.cumsum(end - origin)])
        shift = offsets[:-1] - origin  # from the timeline position to the row, of each series

        def merge(old_rows: np.ndarray, new_rows: np.ndarray) -> np.ndarray:
            merged = np.empty((offsets[-1], old_rows.shape[1]))
            merged[self.positions() + shift[self.series_of_rows()]] = old_rows
            merged[new.positions() + shift[match[new.series_of_rows()]]] = new_rows
            return merged

        values = merge(self.raw(), new.raw())
        observed = ~np.isnan(values)
        return replace(
            self,
            values=values,
            observed=None if observed.all() else observed,
            known=merge(self.known, new.known),
            offsets=offsets,
            origin=origin,
        )

    def raw(self) -> np.ndarray:
        """Values, NaN where they were not observed."""
        if self.observed is None:
            return self.values
        return np.where(self.observed, self.values, np.nan)

    def match(self, new: Panel) -> np.ndarray:
        """Number in this panel of each series of ``new``, shape (S of new,).

        Raises
        ------
        ValueError
            If this panel lacks a series, or one of the two is a single series and the other not.
        """
        if self.keys is None and new.keys is None:
            return np.zeros(1, dtype=np.int64)
        if self.keys is None or new.keys is None or self.keys.nlevels != new.keys.nlevels:
            msg = (
                "Data must have the index levels seen in fit: a single series stays a single "
                "series, a panel a panel. Fit again on data of this shape."
            )
            raise ValueError(msg)
        match = self.keys.get_indexer(new.keys)
        if (match < 0).any():
            unknown = new.keys[np.flatnonzero(match < 0)[0]]
            msg = (
                f"Series {_name(unknown)} was not seen in fit, so its scale is not known. Fit on "
                f"it: `pretrain` on the panel, then `fit` with num_epochs=0, keeps the network."
            )
            raise ValueError(msg)
        return match


def _placed(
    index: pd.Index, offsets: np.ndarray, keys: pd.Index | None, timeline: Timeline | None
) -> tuple[Timeline, np.ndarray]:
    """The timeline of an index, and the position of each series' first row, (S,).

    By blocks of series: the index of a panel has no array of all time stamps.
    """
    bounds = list(block_bounds(offsets))

    def stamps_of(first: int, stop: int) -> tuple[pd.Index, np.ndarray, pd.Index | None]:
        part = index[offsets[first] : offsets[stop]]
        stamps = part if keys is None else part.get_level_values(-1)
        own = None if keys is None else keys[first:stop]
        return stamps, offsets[first : stop + 1] - offsets[first], own

    earliest = []
    for first, stop in bounds:
        stamps, own, labels = stamps_of(first, stop)
        check_stamps(stamps)
        _check_steps(stamps[1:] > stamps[:-1], "the index", stamps, own, labels)
        earliest.append(stamps.take([stamps.argmin()]))
    if timeline is None:
        longest = int(np.argmax(np.diff(offsets)))
        start = earliest[0].append(earliest[1:])
        start = start.take([start.argmin()])
        series, own, _ = stamps_of(longest, longest + 1)
        timeline = Timeline(start, Timeline.of(series, own).freq)
    origin = []
    for first, stop in bounds:
        stamps, own, labels = stamps_of(first, stop)
        position = timeline.positions(stamps)
        _check_steps(np.diff(position) == 1, f"frequency {timeline!s}", stamps, own, labels)
        origin.append(position[own[:-1]])
    return timeline, np.concatenate(origin)


def block_bounds(offsets: np.ndarray, most_series: int | None = None) -> Iterator[tuple[int, int]]:
    """First series and stop of each block, see `ROWS_PER_BLOCK`, of so many series at most."""
    first, n_series = 0, len(offsets) - 1
    while first < n_series:
        most = offsets[first] + ROWS_PER_BLOCK
        stop = int(np.searchsorted(offsets, most, side="right")) - 1
        stop = max(first + 1, min(stop, first + (most_series or n_series)))
        yield first, stop
        first = stop


def _series_of(index: pd.Index) -> tuple[np.ndarray, pd.Index | None]:
    """First row of each series (and the end), and the keys."""
    offsets = series_offsets(index)
    if not isinstance(index, pd.MultiIndex):
        return offsets, None
    keys = index[offsets[:-1]].droplevel(-1)
    if not keys.is_unique:
        msg = (
            f"The rows of a series must be contiguous, but those of "
            f"{_name(keys[keys.duplicated()][0])} are interrupted by another series. Sort with "
            f"`.sort_index()`."
        )
        raise ValueError(msg)
    return offsets, keys


def _check_steps(
    is_right: np.ndarray, grid: str, stamps: pd.Index, offsets: np.ndarray, keys: pd.Index | None
) -> None:
    """Raise ValueError at the first wrong step within a series; ``is_right`` is (N - 1,)."""
    is_right = np.array(is_right)
    is_right[offsets[1:-1] - 1] = True  # from one series to the next any step is right
    wrong = np.flatnonzero(~is_right)
    if len(wrong) == 0:
        return
    row = wrong[0]
    series = int(np.searchsorted(offsets, row, side="right")) - 1
    name = "y" if keys is None else _name(keys[series])
    msg = (
        f"Series {name} must have one row for every time stamp of {grid}, in order, but "
        f"{stamps[row + 1]} follows {stamps[row]}. Sort it, average duplicates and fill gaps "
        f"(`.groupby(level=-1).mean().asfreq(...).interpolate()`), or use a RangeIndex if the "
        f"time stamps do not matter."
    )
    raise ValueError(msg)


def _check_observed(panel: Panel, observed: np.ndarray) -> None:
    """Raise ValueError unless each target column of each series has an observation."""
    counts = np.add.reduceat(observed.astype(np.int64), panel.offsets[:-1])  # (S, C)
    if counts.all():
        return
    s, column = np.argwhere(counts == 0)[0]
    if counts[s].any():
        series = "y" if panel.keys is None else f"series {panel.label(s)}"
        msg = (
            f"Every column must hold an observation in every series, but column "
            f"{panel.columns[column]!r} of {series} has no observation. Drop the column or the "
            f"series."
        )
    else:
        msg = (
            f"Every series must hold an observation, but in {panel.label(s)} all are missing. "
            f"Drop it."
        )
    raise ValueError(msg)


def _check_adjacent(panel: Panel, new: Panel, match: np.ndarray) -> None:
    """Raise ValueError if there is a gap between the rows of a panel and new ones."""
    begin, end = panel.origin[match], panel.end[match]
    gap = np.flatnonzero((new.origin > end) | (new.end < begin))
    if len(gap) == 0:
        return
    s = gap[0]
    if new.origin[s] > end[s]:
        expected, first = panel.timeline.stamps(np.array([end[s], new.origin[s]]))
        msg = (
            f"An update must continue series {new.label(s)} at {expected}, but its first row is "
            f"at {first}. Pass the rows between as well."
        )
    else:
        expected, last = panel.timeline.stamps(np.array([begin[s], new.end[s] - 1]))
        msg = (
            f"An update must not leave a gap before series {new.label(s)}, which starts at "
            f"{expected}, but its last row is at {last}. Pass the rows between as well."
        )
    raise ValueError(msg)


def _name(key: Any) -> str:
    """Label of a series as a user wrote it: no numpy scalars."""
    if isinstance(key, tuple):
        return f"({', '.join(map(_name, key))})"
    return repr(key.item() if isinstance(key, np.generic) else key)
