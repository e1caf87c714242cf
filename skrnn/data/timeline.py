"""The timeline: the regular grid of time stamps on which every series of a panel lies."""

from __future__ import annotations

from dataclasses import dataclass
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


def _kind(index: pd.Index) -> str:
    if pd.api.types.is_integer_dtype(index):
        return "an integer index"
    if isinstance(index, pd.DatetimeIndex):
        return f"a DatetimeIndex {'without' if index.tz is None else 'with'} time zone"
    return f"a {type(index).__name__}"
