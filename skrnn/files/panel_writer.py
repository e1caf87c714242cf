"""Writing panel files: piece by piece, and put in place when they are whole."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from skrnn.data.covariates import Covariates, check_columns, check_finite, is_number
from skrnn.data.panel import Panel
from skrnn.data.scaling import ROUNDING_NOISE
from skrnn.data.timeline import Timeline
from skrnn.files.container import pack
from skrnn.files.encoding import Encoder

# A file is this head; the rows, float32; a description of them; its length in bytes and the tail.
VERSION = 1
KIND = b"skrnn panel\n"
HEAD, TAIL = struct.Struct("<12sI"), struct.Struct("<Q12s")
# Rows that are read and written at once while a file is built, about 100 MB with pandas' index.
ROWS_PER_PIECE = 2**18
# What float32 rounds away may be this share of a series' range at most.
MOST_LOSS = 1e-3


class PanelWriter:
    """Writes a panel file piece by piece; it is put in place when it is whole."""

    def __init__(self, path: str | os.PathLike, freq: Any):
        self.path, self.freq = Path(path), freq
        self.temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}")
        self.timeline: Timeline | None = None
        self.columns, self.X_columns = pd.Index([]), pd.Index([])
        self.keys: list[pd.Index] = []
        # Of each piece, by series; of a series in several pieces, the last of these go on.
        self.lengths: list[np.ndarray] = []
        self.origin: list[np.ndarray] = []
        self.n_observed: list[np.ndarray] = []
        self.low: list[np.ndarray] = []
        self.high: list[np.ndarray] = []
        self.lost: list[np.ndarray] = []
        self.n_missing: np.ndarray | int = 0
        self.next_position, self.earliest = 0, 0
        self.digest = hashlib.sha256()

    def __enter__(self) -> PanelWriter:
        try:
            self.file: BinaryIO = open(self.temporary, "xb")
        except OSError as error:
            raise self._unwritable(error) from error
        self.file.write(HEAD.pack(KIND, VERSION))
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            if error is None:
                self._finish()
        except OSError as unwritten:
            raise self._unwritable(unwritten) from unwritten
        finally:
            with contextlib.suppress(OSError):
                self.file.close()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.temporary)

    def _unwritable(self, error: OSError) -> OSError:
        msg = (
            f"The panel file {str(self.path)!r} could not be written: {error.strerror or error}. "
            f"What was written of it is removed. Make room, or write it elsewhere."
        )
        return OSError(error.errno, msg)

    def add_frames(self, frames: Sequence[tuple], names: Sequence[Any] | None) -> None:
        """Add series, each a key, y, and X or None."""
        keys = [key for key, _, _ in frames]
        n_levels = len(keys[0]) if isinstance(keys[0], tuple) else 1
        if names is not None and len(names) not in (n_levels, n_levels + 1):
            msg = (
                f"names must name the {n_levels} levels of the keys, such as {keys[0]!r}, and may "
                f"name that of time. Got {list(names)} instead."
            )
            raise ValueError(msg)
        y = pd.concat([y for _, y, _ in frames], keys=keys, names=names)
        with_X = [X is not None for _, _, X in frames]
        if any(with_X) and not all(with_X):
            msg = (
                f"Either all series have X or none has, but series {keys[with_X.index(False)]!r} "
                f"has none. Pass it for every series."
            )
            raise ValueError(msg)
        X = pd.concat([X for _, _, X in frames], keys=keys, names=names) if all(with_X) else None
        self.add(y, X)

    def add(self, y: pd.DataFrame, X: pd.DataFrame | None) -> None:
        """Add rows of some series, the first of which may go on with the last one added."""
        names = () if X is None else tuple(X.columns)
        for name in names:
            if not is_number(X[name]):  # type: ignore[index]
                msg = (
                    f"The columns of X in a panel file must be numbers, but column {name!r} is "
                    f"categorical. Encode it as numbers, for example with pd.get_dummies."
                )
                raise TypeError(msg)
        # `fit` decides which of them are known in advance, and must not be missing.
        covariates = Covariates.of(X, names)
        timeline = self.timeline
        if timeline is None and self.freq is not None:
            stamps = y.index.get_level_values(-1)
            timeline = Timeline(stamps[:1], offset_of(self.freq))
        self.add_panel(Panel.from_pandas(y, X, covariates, timeline))

    def add_panel(self, panel: Panel) -> None:
        """The same of a panel whose covariates are among its values."""
        columns, of_X = panel.columns, panel.covariates.columns
        if self.timeline is None or not self.lengths:
            self.timeline, self.columns, self.X_columns = panel.timeline, columns, of_X
        check_columns(columns, self.columns, "y")
        check_columns(of_X, self.X_columns, "X")
        goes_on = bool(self.lengths) and (panel.keys is None or panel.keys[0] == self.keys[-1][-1])
        if goes_on and panel.origin[0] != self.next_position:
            expected, found = panel.timeline.stamps(np.array([self.next_position, panel.origin[0]]))
            msg = (
                f"Series {panel.label(0)} must have one row for every time stamp of frequency "
                f"{panel.timeline!s}, in order, but {found} comes where {expected} should. Sort "
                f"the data by series and time, average duplicates and fill gaps."
            )
            raise ValueError(msg)
        self.earliest = min(self.earliest, int(panel.origin.min()))
        self.next_position = int(panel.end[-1])
        has_begun = np.zeros(panel.n_series, dtype=bool)
        has_begun[0] = goes_on and bool(self.lengths[-1][-1])
        first = np.where(has_begun, panel.offsets[:-1], panel.first_observed())
        panel = panel._select(first, panel.offsets[1:])
        rows = panel.values
        with np.errstate(over="ignore"):
            written = rows.astype(np.float32)
        self._check_overflow(panel, rows, written)
        self._note(panel, rows, goes_on)
        content = np.ascontiguousarray(written).data
        try:
            self.file.write(content)
        except OSError as error:
            raise self._unwritable(error) from error
        self.digest.update(content)

    def _note(self, panel: Panel, rows: np.ndarray, goes_on: bool) -> None:
        """Keep what the description says of the series."""
        n, shape = len(panel.columns), (panel.n_series, len(panel.columns))
        n_observed, lost = np.zeros(shape, dtype=np.int64), np.zeros(shape)
        low, high = np.full(shape, np.inf), np.full(shape, -np.inf)
        is_there = panel.lengths > 0
        if is_there.any():
            begin, values = panel.offsets[:-1][is_there], rows[:, :n]
            observed = ~np.isnan(values)
            n_observed[is_there] = np.add.reduceat(observed.astype(np.int64), begin)
            low[is_there] = np.minimum.reduceat(np.where(observed, values, np.inf), begin)
            high[is_there] = np.maximum.reduceat(np.where(observed, values, -np.inf), begin)
            rounded = np.where(observed, np.abs(values - values.astype(np.float32)), 0.0)
            lost[is_there] = np.maximum.reduceat(rounded, begin)
        self.n_missing = self.n_missing + np.isnan(rows).sum(0)
        lengths, origin = panel.lengths, panel.origin
        if goes_on:
            if not self.lengths[-1][-1]:
                self.origin[-1][-1] = origin[0]
            self.lengths[-1][-1] += lengths[0]
            self.n_observed[-1][-1] += n_observed[0]
            self.low[-1][-1] = np.minimum(self.low[-1][-1], low[0])
            self.high[-1][-1] = np.maximum(self.high[-1][-1], high[0])
            self.lost[-1][-1] = np.maximum(self.lost[-1][-1], lost[0])
        new = slice(int(goes_on), None)
        if panel.n_series > int(goes_on):
            if panel.keys is not None:
                self.keys.append(panel.keys[new])
            for kept, added in (
                (self.lengths, lengths),
                (self.origin, origin),
                (self.n_observed, n_observed),
                (self.low, low),
                (self.high, high),
                (self.lost, lost),
            ):
                kept.append(added[new].copy())

    def _check_overflow(self, panel: Panel, rows: np.ndarray, written: np.ndarray) -> None:
        wrong = np.argwhere(np.isinf(written))
        if len(wrong):
            row, column = wrong[0]
            name = [*panel.columns, *panel.covariates.columns][column]
            series = panel.label(int(panel.series_of_rows()[row]))
            msg = (
                f"Values must fit in float32, below 3.4e38, but column {name!r} of series {series} "
                f"holds {rows[row, column]:g}. Rescale it."
            )
            raise ValueError(msg)

    def _finish(self) -> None:
        """Write the description, and put the file in place."""
        if not self.lengths:
            msg = "A panel file must hold at least one series, but no rows came. Pass some."
            raise ValueError(msg)
        keys = None
        if self.keys:
            keys = self.keys[0].append(self.keys[1:])
            if not keys.is_unique:
                msg = (
                    f"The rows of a series must be together, but those of "
                    f"{keys[keys.duplicated()][0]!r} are interrupted by another series. Sort the "
                    f"data by series and time."
                )
                raise ValueError(msg)
        lengths, origin = np.concatenate(self.lengths), np.concatenate(self.origin)
        self._check_values(keys)
        assert self.timeline is not None
        start = self.timeline.stamps(np.array([self.earliest]))
        encode = Encoder()
        parts = {
            "keys": keys,
            "timeline": replace(self.timeline, start=start),
            "columns": self.columns,
            "X_columns": self.X_columns,
            "lengths": lengths,
            "origin": origin - self.earliest,
            "n_missing": np.asarray(self.n_missing),
            "digest": self.digest.hexdigest(),
        }
        description = {name: encode(value, name) for name, value in parts.items()}
        content = pack({"panel": description}, encode.arrays)
        self.file.write(content)
        self.file.write(TAIL.pack(len(content), KIND))
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        os.replace(self.temporary, self.path)

    def _check_values(self, keys: pd.Index | None) -> None:
        """Raise ValueError unless each column of each series is observed, and precise enough."""
        n_observed, lost = np.concatenate(self.n_observed), np.concatenate(self.lost)
        low, high = np.concatenate(self.low), np.concatenate(self.high)
        size = high - low

        def name(series: int) -> str:
            return "y" if keys is None else f"series {keys[series]!r}"

        empty = np.argwhere(n_observed == 0)
        if len(empty):
            series, column = empty[0]
            msg = (
                f"Every column must hold an observation in every series, but column "
                f"{self.columns[column]!r} of {name(series)} has none. Drop the series or the "
                f"column."
            )
            raise ValueError(msg)
        is_constant = size <= ROUNDING_NOISE * np.maximum(np.abs(low), np.abs(high))
        coarse = np.argwhere((lost > MOST_LOSS * size) & ~is_constant)
        if len(coarse):
            series, column = coarse[0]
            msg = (
                f"A panel file holds float32, about 7 digits, but column {self.columns[column]!r} "
                f"of {name(series)} changes by {size[series, column]:g} at most, of which rounding "
                f"would lose {lost[series, column]:.2g}. Subtract the level of the series first."
            )
            raise ValueError(msg)


def plain_keys(column: pd.Series) -> pd.Series:
    """A column of keys without categories, which differ from batch to batch."""
    if column.isna().any():
        msg = f"Every row must name its series, but column {column.name!r} has missing values."
        raise ValueError(msg)
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.astype(column.cat.categories.dtype)
    return column


def offset_of(freq: Any) -> pd.offsets.BaseOffset:
    """The offset of pandas that a frequency names."""
    try:
        return pd.tseries.frequencies.to_offset(freq)
    except (TypeError, ValueError) as error:
        msg = f"freq must be a frequency of pandas, such as 'h' or 'MS'. Got {freq!r} instead."
        raise ValueError(msg) from error


def timeline_of(start: Any, freq: Any, n_series: int) -> tuple[Timeline, np.ndarray]:
    """The timeline of series that begin at these stamps, and the position of each start."""
    stamps = start if isinstance(start, pd.Index) else pd.Index([start])
    is_dates = isinstance(stamps, (pd.DatetimeIndex, pd.PeriodIndex)) and not stamps.hasnans
    if not is_dates and not pd.api.types.is_integer_dtype(stamps):
        msg = f"start must be an int, a date, a period or an index of them. Got {start!r} instead."
        raise TypeError(msg)
    if len(stamps) not in (1, n_series):
        msg = (
            f"start must be one time stamp, or one for each of {n_series} series, but there are "
            f"{len(stamps)}."
        )
        raise ValueError(msg)
    first = stamps.take([stamps.argmin()])
    if isinstance(stamps, pd.PeriodIndex):
        timeline = Timeline(first, stamps.freq)
    elif isinstance(stamps, pd.DatetimeIndex):
        if freq is None:
            msg = "freq must say how far apart dates are, but it is None. Pass it, such as 'h'."
            raise ValueError(msg)
        timeline = Timeline(first, offset_of(freq))
    else:
        timeline = Timeline(first, 1)
    return timeline, np.broadcast_to(timeline.positions(stamps), n_series)


def pieces_of(
    values: np.ndarray,
    lengths: np.ndarray,
    keys: pd.Index | None,
    timeline: Timeline,
    origin: np.ndarray,
    columns: pd.Index,
) -> Iterator[Panel]:
    """Pieces of an array as panels; a long series is in several of them."""
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    covariates = Covariates.of(None, ())
    for begin in range(0, len(values), ROWS_PER_PIECE):
        end = min(begin + ROWS_PER_PIECE, len(values))
        _check_map(values)
        rows = np.array(values[begin:end], dtype=np.float64).reshape(end - begin, -1)
        first = int(np.searchsorted(offsets, begin, side="right")) - 1
        stop = int(np.searchsorted(offsets, end, side="left"))
        bounds = np.clip(offsets[first : stop + 1], begin, end)
        observed = ~np.isnan(rows)
        panel = Panel(
            values=rows,
            observed=None if observed.all() else observed,
            known=np.empty((len(rows), 0)),
            offsets=bounds - begin,
            origin=origin[first:stop] + bounds[:-1] - offsets[first:stop],
            timeline=timeline,
            keys=None if keys is None else keys[first:stop],
            columns=columns,
            covariates=covariates,
        )
        if np.isinf(rows).any():
            index = panel.index(panel.series_of_rows(), panel.positions())
            check_finite(pd.DataFrame(rows, index=index, columns=columns), "y", missing=True)
        yield panel


def _check_map(values: np.ndarray) -> None:
    """Raise ValueError if the file of a memmap is shorter than the map: reading it would crash."""
    name = getattr(values, "filename", None)
    if name is None:
        return
    size, needed = os.path.getsize(name), values.offset + values.nbytes  # type: ignore[attr-defined]
    if size < needed:
        msg = (
            f"The memmap must be of a file of {needed:,} bytes, but {str(name)!r} has become "
            f"shorter, {size:,} bytes. Write it again."
        )
        raise ValueError(msg)
