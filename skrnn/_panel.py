"""The panel: pandas in, one array of values and where each series lies in it; and back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

DATES = (pd.DatetimeIndex, pd.PeriodIndex)


@dataclass(frozen=True)
class Timeline:
    """The regular grid of time stamps on which every series of a panel lies.

    Parameters
    ----------
    start : pd.Index of length 1
        The stamp at position 0.
    freq : pd.offsets.BaseOffset or int
        From one position to the next: an offset, or the step of an integer index.
    """

    start: pd.Index
    freq: Any

    @classmethod
    def of(cls, index: pd.Index, offsets: np.ndarray) -> Timeline:
        """Find the grid of a panel's stamps; the longest series tells the frequency.

        Raises
        ------
        TypeError
            If the stamps are neither integers nor dates nor periods.
        """
        if not (pd.api.types.is_integer_dtype(index) or isinstance(index, DATES)):
            msg = (
                f"Time stamps must be integers, dates or periods, but {_kind(index)} of "
                f"{index.dtype} came. Convert the index, for example with `pd.to_datetime`."
            )
            raise TypeError(msg)
        longest = int(np.argmax(np.diff(offsets)))
        series = index[offsets[longest] : offsets[longest + 1]]
        return cls(index.take([index.argmin()]), _frequency(series))

    @property
    def is_calendar(self) -> bool:
        """Whether positions are dates, so that they have an hour or a weekday."""
        return isinstance(self.start, DATES)

    @property
    def is_fixed(self) -> bool:
        """Whether a step is always the same duration; a day is not, where clocks change."""
        return isinstance(self.freq, pd.offsets.Tick) and not isinstance(self.freq, pd.offsets.Day)

    def positions(self, stamps: pd.Index) -> np.ndarray:
        """Position of each stamp on the grid; it may lie before the start."""
        if _kind(stamps) != _kind(self.start):
            msg = (
                f"Time stamps must be of the kind seen in fit, {_kind(self.start)}, but "
                f"{_kind(stamps)} came. Convert the index."
            )
            raise TypeError(msg)
        if isinstance(stamps, pd.PeriodIndex):
            if stamps.freq != self.freq:
                msg = (
                    f"Periods must have the frequency seen in fit, {self.freq.freqstr!r}, but "
                    f"{stamps.freqstr!r} came. Convert them with `.asfreq`."
                )
                raise ValueError(msg)
            steps, rest = np.divmod(stamps.asi8 - self.start.asi8[0], self.freq.n)
        elif isinstance(stamps, pd.DatetimeIndex):
            if self.is_fixed:
                elapsed = stamps - self.start[0]
                steps = np.asarray(elapsed // pd.Timedelta(self.freq))
                rest = np.asarray(elapsed % pd.Timedelta(self.freq)) != np.timedelta64(0)
            else:
                first, last = min(self.start[0], stamps.min()), max(self.start[0], stamps.max())
                grid = pd.date_range(first, last, freq=self.freq)
                steps, start = grid.get_indexer(stamps), grid.get_indexer(self.start)[0]
                rest = (steps < 0) | (start < 0)
                steps = steps - start
        else:
            steps, rest = np.divmod(np.asarray(stamps) - self.start[0], self.freq)
        if np.any(rest):
            off = stamps[np.flatnonzero(rest)[0]]
            msg = (
                f"All time stamps must lie on one grid of frequency {self!s}, but {off} does not. "
                f"Resample the series to one frequency."
            )
            raise ValueError(msg)
        return np.asarray(steps, dtype=np.int64)

    def stamps(self, positions: np.ndarray) -> pd.Index:
        """Time stamp at each position, under the index's own name."""
        return self._stamps(np.asarray(positions, dtype=np.int64)).rename(self.start.name)

    def _stamps(self, positions: np.ndarray) -> pd.Index:
        if isinstance(self.start, pd.PeriodIndex):
            ordinals = self.start.asi8[0] + positions * self.freq.n
            return pd.PeriodIndex.from_ordinals(ordinals, freq=self.freq)
        if not isinstance(self.start, pd.DatetimeIndex):
            return pd.Index(self.start[0] + positions * self.freq)
        if self.is_fixed:
            return self.start[0] + pd.to_timedelta(positions * pd.Timedelta(self.freq))
        low, high = min(positions.min(initial=0), 0), max(positions.max(initial=0), 0)
        before = pd.date_range(end=self.start[0], periods=1 - low, freq=self.freq)
        after = pd.date_range(self.start[0], periods=1 + high, freq=self.freq)
        return before.append(after[1:]).take(positions - low)

    def __str__(self) -> str:
        """Frequency as pandas writes it."""
        return repr(getattr(self.freq, "freqstr", self.freq))


@dataclass(frozen=True)
class Panel:
    """Series one after another in one array, each contiguous on a shared timeline.

    Parameters
    ----------
    values : np.ndarray of shape (N, C)
        The target columns of all series, float64.
    covariates : np.ndarray of shape (N, P)
        The columns of X at the same rows; P is 0 without X.
    offsets : np.ndarray of shape (S + 1,)
        Series s holds the rows ``offsets[s]`` to ``offsets[s + 1]``.
    origin : np.ndarray of shape (S,)
        Position of the first row of each series on the timeline.
    timeline : Timeline
    keys : pd.Index or None
        One label (or tuple) a series; None for a single series without a name.
    columns, covariate_columns : pd.Index
    """

    values: np.ndarray
    covariates: np.ndarray
    offsets: np.ndarray
    origin: np.ndarray
    timeline: Timeline
    keys: pd.Index | None
    columns: pd.Index
    covariate_columns: pd.Index

    @classmethod
    def from_pandas(
        cls, y: pd.DataFrame, X: pd.DataFrame | None, timeline: Timeline | None = None
    ) -> Panel:
        """Read y, and the rows of X at the index of y, into one panel.

        Raises
        ------
        ValueError
            If a series is empty, unsorted, or lacks rows; if y or X holds NaN or infinite values;
            if X lacks rows of y.
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
        values = _as_float(y, "y")
        _check_finite(y, "y")
        if X is None:
            covariates, covariate_columns = np.empty((len(y), 0)), pd.Index([])
        else:
            covariates = rows_of(X, y.index)
            covariate_columns = X.columns
        return cls(
            values=values,
            covariates=covariates,
            offsets=offsets,
            origin=position[offsets[:-1]],
            timeline=timeline,
            keys=keys,
            columns=y.columns,
            covariate_columns=covariate_columns,
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

    def cut(self, stop: np.ndarray) -> Panel:
        """Only the first ``stop`` rows of each series."""
        return self._select(self.offsets[:-1], self.offsets[:-1] + stop)

    def tail(self, rows: int) -> Panel:
        """Only the last ``rows`` rows of each series: copies little, whatever the history."""
        kept = np.minimum(self.lengths, rows)
        if (kept == self.lengths).all():
            return self
        return self._select(self.offsets[1:] - kept, self.offsets[1:])

    def _select(self, first: np.ndarray, stop: np.ndarray) -> Panel:
        """Cut each series to its rows ``first`` to ``stop`` (row numbers of the panel)."""
        lengths = stop - first
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        rows = np.arange(offsets[-1]) + np.repeat(first - offsets[:-1], lengths)
        return replace(
            self,
            values=self.values[rows],
            covariates=self.covariates[rows],
            offsets=offsets,
            origin=self.origin + first - self.offsets[:-1],
        )

    def extended(self, horizon: int, covariates: np.ndarray) -> Panel:
        """Append ``horizon`` rows to each series: values to forecast, and known covariates.

        The values of these rows are zero and must not be read.

        Parameters
        ----------
        horizon : int
        covariates : np.ndarray of shape (S, horizon, P)
        """
        series = np.concatenate(
            [self.series_of_rows(), np.repeat(np.arange(self.n_series), horizon)]
        )
        order = np.argsort(series, kind="stable")
        added = np.zeros((self.n_series * horizon, len(self.columns)))
        appended = covariates.reshape(self.n_series * horizon, len(self.covariate_columns))
        return replace(
            self,
            values=np.concatenate([self.values, added])[order],
            covariates=np.concatenate([self.covariates, appended])[order],
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
            _check_columns(new.columns, self.columns, "y")
        _check_columns(new.covariate_columns, self.covariate_columns, "X")
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
        return replace(
            self,
            values=np.concatenate([old.values, new.values])[order],
            covariates=np.concatenate([old.covariates, new.covariates])[order],
            offsets=np.searchsorted(series[order], np.arange(self.n_series + 1)),
            origin=origin,
        )

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


def numbered(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For counts[s] things of each series s: the series, and the number within it, of each."""
    series = np.repeat(np.arange(len(counts)), counts)
    return series, np.arange(len(series)) - np.repeat(np.cumsum(counts) - counts, counts)


def rows_of(X: pd.DataFrame, index: pd.Index) -> np.ndarray:
    """Values of X at the rows of ``index``, shape (N, P), float64.

    Raises
    ------
    ValueError
        If X lacks one of the rows, or holds NaN or infinite values in them.
    """
    if not X.index.is_unique:
        row = int(np.flatnonzero(X.index.duplicated())[0])
        msg = f"X must hold each row once, but {_stamp(X.index, row)} stands twice. Drop one."
        raise ValueError(msg)
    if not X.index.equals(index):
        found = X.index.get_indexer(index)
        lacking = np.flatnonzero(found < 0)
        if len(lacking):
            msg = (
                f"X must have a row for every time stamp of y and of the forecast, but "
                f"{len(lacking)} of {len(index)} are missing, the first {_stamp(index, lacking[0])}"
                f". Pass X over the whole range."
            )
            raise ValueError(msg)
        X = X.take(found)
    values = _as_float(X, "X")
    _check_finite(X, "X")
    return values


def check_covariate_columns(
    X: pd.DataFrame | None, expected: pd.Index, needed: bool = True
) -> None:
    """Raise ValueError unless X, if it is needed or given, has the columns seen in fit."""
    if X is None and len(expected) and needed:
        msg = (
            f"The forecaster was fitted with X of columns {list(expected)}, so X must be given "
            f"here as well, but X is None. Pass its values up to the last step of the forecast."
        )
        raise ValueError(msg)
    if X is not None and not len(expected):
        msg = (
            f"The forecaster was fitted without X, but X with columns {list(X.columns)} came. "
            f"Leave it out, or fit with X."
        )
        raise ValueError(msg)
    if X is not None:
        _check_columns(X.columns, expected, "X")


def explain(y: Any, X: Any, error: Exception) -> None:
    """Raise what is wrong with y and X in the package's own words, if it can tell."""
    y, X = (data.to_frame() if isinstance(data, pd.Series) else data for data in (y, X))
    try:
        if isinstance(X, pd.DataFrame):
            rows_of(X, X.index)
        if isinstance(y, pd.DataFrame) and len(y):
            Panel.from_pandas(y, X if isinstance(X, pd.DataFrame) else None)
    except (TypeError, ValueError) as clearer:
        raise clearer from error


def _check_finite(frame: pd.DataFrame, name: str) -> None:
    """Raise ValueError if a numeric column holds NaN or infinite values."""
    numbers = frame.select_dtypes("number")
    wrong = ~np.isfinite(numbers.to_numpy(dtype=np.float64))
    if not wrong.any():
        return
    row, column = np.argwhere(wrong)[0]
    msg = (
        f"{name} must be finite, but column {numbers.columns[column]!r} holds "
        f"{numbers.iloc[row, column]} at {_stamp(frame.index, row)} ({wrong.sum()} such values in "
        f"all). Fill them, for example with `.interpolate()`, or drop the series."
    )
    raise ValueError(msg)


def _check_columns(columns: pd.Index, expected: pd.Index, name: str) -> None:
    if not columns.equals(expected):
        msg = (
            f"{name} must have the columns seen in fit, {list(expected)}, but it has "
            f"{list(columns)}. Select and order them, or fit again."
        )
        raise ValueError(msg)


def _series_of(index: pd.Index) -> tuple[np.ndarray, pd.Index | None, pd.Index]:
    """First row of each series (and the end), the keys, and the time stamp of each row."""
    if not isinstance(index, pd.MultiIndex):
        return np.array([0, len(index)]), None, index
    codes = np.column_stack([np.asarray(level) for level in index.codes[:-1]])
    change = np.flatnonzero((codes[1:] != codes[:-1]).any(axis=1)) + 1
    first = np.concatenate([[0], change]).astype(np.int64)
    keys = index[first].droplevel(-1)
    if not keys.is_unique:
        msg = (
            f"The rows of a series must stand together, but {_name(keys[keys.duplicated()][0])} is "
            f"interrupted. Sort with `.sort_index()`."
        )
        raise ValueError(msg)
    return np.append(first, len(index)), keys, index.get_level_values(-1)


def _frequency(stamps: pd.Index) -> pd.offsets.BaseOffset | int:
    """Step of a series' index: its own, else the inferred, else the most common one."""
    if isinstance(stamps, pd.RangeIndex):
        return int(stamps.step)
    if isinstance(stamps, pd.PeriodIndex):
        return stamps.freq
    if not isinstance(stamps, pd.DatetimeIndex):
        steps = np.unique(np.diff(np.asarray(stamps)))
        return int(steps[0]) if len(steps) and steps[0] > 0 else 1
    if stamps.freq is not None:
        return stamps.freq
    inferred = _inferred(stamps)
    if inferred is not None:
        return pd.tseries.frequencies.to_offset(inferred)
    if len(stamps) < 2:
        msg = (
            f"The frequency of a single time stamp, {stamps[0]}, cannot be known. Pass at least "
            f"two observations, or an index with a freq."
        )
        raise ValueError(msg)
    # Too few or too irregular for pandas: the shortest step, so that the check names a longer one.
    return pd.tseries.frequencies.to_offset(pd.Timedelta(np.diff(stamps.to_numpy()).min()))


def _inferred(stamps: pd.DatetimeIndex) -> str | None:
    """Frequency that pandas infers, if need be from the longest half, quarter, ... without gaps."""
    parts = [stamps]
    while len(parts[0]) > 2:
        for part in parts:
            if len(part) > 2 and (inferred := pd.infer_freq(part)) is not None:
                return inferred
        parts = [half for p in parts for half in (p[: len(p) // 2], p[len(p) // 2 :])]
    return None


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


def _as_float(frame: pd.DataFrame, name: str) -> np.ndarray:
    for column, dtype in zip(frame.columns, frame.dtypes, strict=True):
        real = pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(dtype)
        if not real:
            msg = (
                f"{name} must be numeric, but column {column!r} is categorical ({dtype}). "
                f"Encode it as numbers, or drop it."
            )
            raise TypeError(msg)
    return frame.to_numpy(dtype=np.float64, copy=True)  # the user may go on to change the frame


def _stamp(index: pd.Index, row: int) -> str:
    entry = index[row]
    return ", ".join(map(str, entry)) if isinstance(entry, tuple) else str(entry)


def _kind(index: pd.Index) -> str:
    if pd.api.types.is_integer_dtype(index):
        return "an integer index"
    if isinstance(index, pd.DatetimeIndex):
        return f"a DatetimeIndex {'without' if index.tz is None else 'with'} time zone"
    return f"a {type(index).__name__}"


def _name(key: Any) -> str:
    """Label of a series as a user wrote it: no numpy scalars."""
    if isinstance(key, tuple):
        return f"({', '.join(map(_name, key))})"
    return repr(key.item() if isinstance(key, np.generic) else key)
