"""The panel: pandas in, one array of values and where each series lies in it; and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from skrnn.data.covariates import Covariates, as_float, check_columns, check_finite
from skrnn.data.timeline import Timeline


@dataclass(frozen=True)
class Panel:
    """Series one after another in one array, each contiguous on a shared timeline.

    Parameters
    ----------
    values : np.ndarray of shape (N, C)
        The target columns of all series, and after them the past covariates, float64. NaN where
        missing, until `filled`.
    observed : np.ndarray of shape (N, C), or None
        Which values were observed; None if all.
    known : np.ndarray of shape (N, P)
        The covariates known in advance at the same rows, categories as numbers.
    offsets : np.ndarray of shape (S + 1,)
        Series s holds the rows ``offsets[s]`` to ``offsets[s + 1]``.
    origin : np.ndarray of shape (S,)
        Position of the first row of each series on the timeline.
    timeline : Timeline
    keys : pd.Index or None
        One label (or tuple) a series; None for a single series without a name.
    columns : pd.Index
        The target columns.
    covariates : Covariates
        What the columns of X are.
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
            If a series is empty, unsorted, or lacks rows; if y or X holds infinite values, or what
            is known in advance of X holds NaN; if X lacks rows of y.
        """
        if len(y) == 0:
            msg = "y must hold at least one observation, but it is empty. Pass a longer series."
            raise ValueError(msg)
        if y.shape[1] == 0:
            msg = "y must have at least one column, but it has none. Pass the values to forecast."
            raise ValueError(msg)
        offsets, keys, stamps = _series_of(y.index)
        _check_steps(stamps[1:] > stamps[:-1], "the index", stamps, offsets, keys)
        if timeline is None:
            timeline = Timeline.of(stamps, offsets)
        position = timeline.positions(stamps)
        _check_steps(np.diff(position) == 1, f"frequency {timeline!s}", stamps, offsets, keys)
        values = as_float(y, "y")
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
            origin=position[offsets[:-1]],
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
        """Observations of each series, shape (S,)."""
        return np.diff(self.offsets)

    @property
    def end(self) -> np.ndarray:
        """Timeline position one past the last row of each series, shape (S,)."""
        return self.origin + self.lengths

    def series_of_rows(self) -> np.ndarray:
        """Number of the series that each row belongs to, shape (N,)."""
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

    def begun(self) -> Panel:
        """Without the rows of each series before its first observation.

        Raises
        ------
        ValueError
            If a series has no observation.
        """
        if self.observed is None:
            return self
        seen = np.asarray(self.observed[:, : len(self.columns)].any(axis=1))
        # The first observed row at or after each row, N for none.
        nxt = np.where(seen, np.arange(len(seen)), len(seen))
        first = np.minimum.accumulate(nxt[::-1])[::-1][self.offsets[:-1]]
        empty = np.flatnonzero(first >= self.offsets[1:])
        if len(empty):
            msg = (
                f"Every series must hold an observation, but in {self.label(empty[0])} all are "
                f"missing. Drop it."
            )
            raise ValueError(msg)
        begun = self._select(first, self.offsets[1:])
        # What was missing may have been the rows before.
        whole = begun.observed is not None and begun.observed.all()
        return replace(begun, observed=None) if whole else begun

    def filled(self, periods: Sequence[int]) -> Panel:
        r"""What stands in for missing values where they are inputs: seasonal naive forecasts.

        After the last observation, at a, before a missing value t it is the mean of
        :math:`s_{t-p} + s_a - s_{a-p}` over the periods p, with values that were filled before
        where these are missing too; :math:`s_a` before the first season. Nothing after t is used.
        Before the first observation of a column it stays NaN.
        """
        if self.observed is None:
            return self
        values = np.where(self.observed, self.values, np.nan)
        row = np.arange(len(values))
        for column, observed in zip(values.T, self.observed.T, strict=True):  # columns are views
            begin = np.minimum.reduceat(np.where(observed, row, len(row)), self.offsets[:-1])
            first = np.repeat(begin, self.lengths)
            missing = np.flatnonzero(~observed & (row > first))
            last = np.maximum.accumulate(np.where(observed, row, 0))[missing]
            _fill(column, missing, last, first[missing], periods)
        return replace(self, values=values)

    def cut(self, stop: np.ndarray) -> Panel:
        """Only the first ``stop`` rows of each series."""
        return self._select(self.offsets[:-1], self.offsets[:-1] + stop)

    def tail(self, rows: int) -> Panel:
        """Only the last ``rows`` rows of each series: copies little, whatever the history."""
        kept = np.minimum(self.lengths, rows)
        return self._select(self.offsets[1:] - kept, self.offsets[1:])

    def _select(self, first: np.ndarray, stop: np.ndarray) -> Panel:
        """Cut each series to its rows ``first`` to ``stop`` (row numbers of the panel)."""
        if (first == self.offsets[:-1]).all() and (stop == self.offsets[1:]).all():
            return self  # nothing is copied
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
        """Append ``horizon`` rows to each series: values to forecast, and what is known of them.

        The values of these rows are zero and must not be read.

        Parameters
        ----------
        horizon : int
        known : np.ndarray of shape (S, horizon, P)
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
        """Continue each series with the rows of ``new``; the end of ``new`` is the new end.

        Where both hold a row the newer value stands, and rows of this panel after the end of the
        new ones are dropped: the present moves to the end of the data that came last.

        Raises
        ------
        ValueError
            If ``new`` has other columns, a series that is not here, or starts after a gap.
        """
        if len(self.columns) > 1 or len(new.columns) > 1:  # the name of a single one plays no part
            check_columns(new.columns, self.columns, "y")
        match = self._match(new)
        gap = np.flatnonzero(new.origin > self.end[match])
        if len(gap):
            s = gap[0]
            expected, came = self.timeline.stamps(np.array([self.end[match[s]], new.origin[s]]))
            msg = (
                f"An update must continue series {new.label(s)} at {expected}, but its first row "
                f"is at {came}. Pass the rows between as well."
            )
            raise ValueError(msg)

        # Rows of the old panel before the first new row of their series, then all new rows;
        # a stable sort by series puts each series together again.
        kept, origin = self.lengths.copy(), self.origin.copy()
        kept[match] = np.clip(new.origin - self.origin[match], 0, self.lengths[match])
        origin[match] = np.minimum(self.origin[match], new.origin)
        old = self.cut(kept)
        series = np.concatenate([old.series_of_rows(), match[new.series_of_rows()]])
        order = np.argsort(series, kind="stable")
        values = np.concatenate([old._raw(), new._raw()])[order]
        observed = ~np.isnan(values)
        return replace(
            self,
            values=values,
            observed=None if observed.all() else observed,
            known=np.concatenate([old.known, new.known])[order],
            offsets=np.searchsorted(series[order], np.arange(self.n_series + 1)),
            origin=origin,
        )

    def _raw(self) -> np.ndarray:
        """Values, NaN where they were not observed."""
        if self.observed is None:
            return self.values
        return np.where(self.observed, self.values, np.nan)

    def _match(self, new: Panel) -> np.ndarray:
        """Number here of each series of ``new``."""
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


def spread(n: int, most: int) -> np.ndarray:
    """So many of the numbers from 0 to n - 1 at most, evenly spaced."""
    return np.linspace(0, n - 1, min(n, most)).astype(np.int64)


def numbered(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For counts[s] things of each series s: the series, and the number within it, of each."""
    series = np.repeat(np.arange(len(counts)), counts)
    return series, np.arange(len(series)) - np.repeat(np.cumsum(counts) - counts, counts)


def _fill(
    column: np.ndarray,
    missing: np.ndarray,
    last: np.ndarray,
    first: np.ndarray,
    periods: Sequence[int],
) -> None:
    """Fill missing rows in place, given each one's last observed row and its series' first.

    Each pass fills the rows whose own references are known: as many passes as the longest chain
    of missing values that refer to each other.
    """
    while len(missing):
        total, n = np.zeros(len(missing)), np.zeros(len(missing))
        for p in periods:
            there = np.where(last - p >= first, last - p, last)  # no season: adds nothing
            value = column[missing - last + there] - column[there]
            total, n = total + np.where(there < last, value, 0.0), n + (there < last)
        value = column[last] + total / np.maximum(n, 1)
        ready = ~np.isnan(value)
        column[missing[ready]] = value[ready]
        missing, last, first = missing[~ready], last[~ready], first[~ready]


def explain(y: Any, X: Any, error: Exception) -> None:
    """Raise what is wrong with y and X in the package's own words, if it can tell."""
    y, X = (data.to_frame() if isinstance(data, pd.Series) else data for data in (y, X))
    try:
        X = X if isinstance(X, pd.DataFrame) else None
        covariates = Covariates.of(X, ())
        if X is not None:
            covariates.read_known(X, X.index)
        if isinstance(y, pd.DataFrame) and len(y):
            Panel.from_pandas(y, X, covariates)
    except (TypeError, ValueError) as clearer:
        raise clearer from error


def offsets_of(index: pd.Index) -> np.ndarray:
    """First row of each series, and the end."""
    if not isinstance(index, pd.MultiIndex):
        return np.array([0, len(index)])
    codes = np.column_stack([np.asarray(level) for level in index.codes[:-1]])
    change = np.flatnonzero((codes[1:] != codes[:-1]).any(axis=1)) + 1
    return np.concatenate([[0], change, [len(index)]]).astype(np.int64)


def _series_of(index: pd.Index) -> tuple[np.ndarray, pd.Index | None, pd.Index]:
    """First row of each series (and the end), the keys, and the time stamp of each row."""
    offsets = offsets_of(index)
    if not isinstance(index, pd.MultiIndex):
        return offsets, None, index
    keys = index[offsets[:-1]].droplevel(-1)
    if not keys.is_unique:
        msg = (
            f"The rows of a series must stand together, but {_name(keys[keys.duplicated()][0])} is "
            f"interrupted. Sort with `.sort_index()`."
        )
        raise ValueError(msg)
    return offsets, keys, index.get_level_values(-1)


def _check_steps(
    right: np.ndarray, grid: str, stamps: pd.Index, offsets: np.ndarray, keys: pd.Index | None
) -> None:
    """Raise ValueError at the first step within a series that is not right, shape (N - 1,)."""
    right = np.array(right)
    right[offsets[1:-1] - 1] = True  # from one series to the next any step is right
    wrong = np.flatnonzero(~right)
    if len(wrong) == 0:
        return
    row = wrong[0]
    series = int(np.searchsorted(offsets, row, side="right")) - 1
    name = "y" if keys is None else _name(keys[series])
    msg = (
        f"Series {name} must have one row for every time stamp of {grid}, in order, but "
        f"{stamps[row + 1]} follows {stamps[row]}. Sort it, average duplicates and fill gaps "
        f"(`.groupby(level=-1).mean().asfreq(...).interpolate()`), or use a RangeIndex if time "
        f"plays no part."
    )
    raise ValueError(msg)


def _name(key: Any) -> str:
    """Label of a series as a user wrote it: no numpy scalars."""
    if isinstance(key, tuple):
        return f"({', '.join(map(_name, key))})"
    return repr(key.item() if isinstance(key, np.generic) else key)
