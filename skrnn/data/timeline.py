"""The timeline: the regular grid of time stamps on which every series of a panel lies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

DATES = (pd.DatetimeIndex, pd.PeriodIndex)
DAY = pd.Timedelta(days=1)
# Steps over which the length of one is averaged: months and quarters differ, years hardly.
AVERAGED_STEPS = 12


@dataclass(frozen=True)
class Timeline:
    """The regular grid of time stamps on which every series of a panel lies.

    Parameters
    ----------
    start : pd.Index of length 1
        The stamp at position 0.
    freq : pd.offsets.BaseOffset or int
        The step from one position to the next: an offset, or an int for an integer index.
    """

    start: pd.Index
    freq: Any

    @classmethod
    def of(cls, index: pd.Index, offsets: np.ndarray) -> Timeline:
        """Find the grid of a panel's stamps, which `check_stamps` accepts.

        The frequency is that of the longest series.
        """
        longest = int(np.argmax(np.diff(offsets)))
        series = index[offsets[longest] : offsets[longest + 1]]
        return cls(index.take([index.argmin()]), _frequency(series))

    @property
    def is_calendar(self) -> bool:
        """Whether the stamps are dates or periods, so that they have an hour or a weekday."""
        return isinstance(self.start, DATES)

    @property
    def is_fixed(self) -> bool:
        """Whether every step lasts equally long; a day does not where clocks change."""
        return isinstance(self.freq, pd.offsets.Tick) and not isinstance(self.freq, pd.offsets.Day)

    @property
    def has_equal_steps(self) -> bool:
        """Whether every step is as long as the others by the clock."""
        return isinstance(self.freq, (pd.offsets.Tick, pd.offsets.Day, pd.offsets.Week))

    @cached_property
    def step_in_days(self) -> float:
        """Mean length of one step in days."""
        freq = self.freq
        if self.is_fixed:
            return pd.Timedelta(freq) / DAY
        if self.has_equal_steps:  # by the clock: a day stays one where the clock changes
            return freq.n * (7.0 if isinstance(freq, pd.offsets.Week) else 1.0)
        if isinstance(freq, pd.offsets.BusinessDay):
            return 1.0
        stamps = self.timestamps(np.array([0, AVERAGED_STEPS]))
        return (stamps[1] - stamps[0]) / DAY / AVERAGED_STEPS

    def positions(self, stamps: pd.Index) -> np.ndarray:
        """Position of each stamp on the grid, shape (n,); negative before the start.

        Raises
        ------
        TypeError
            If the stamps are of another kind than the start.
        ValueError
            If a stamp is not on the grid, or periods have another frequency.
        """
        if _kind(stamps) != _kind(self.start):
            msg = (
                f"Time stamps must be of the kind seen in fit, {_kind(self.start)}, but got "
                f"{_kind(stamps)}. Convert the index."
            )
            raise TypeError(msg)
        if isinstance(stamps, pd.PeriodIndex):
            if stamps.freq != self.freq:
                msg = (
                    f"Periods must have the frequency seen in fit, {self.freq.freqstr!r}, but got "
                    f"{stamps.freqstr!r}. Convert them with `.asfreq`."
                )
                raise ValueError(msg)
            steps, rest = np.divmod(stamps.asi8 - self.start.asi8[0], self.freq.n)
        elif isinstance(stamps, pd.DatetimeIndex):
            if self.is_fixed:
                elapsed = stamps - self.start[0]
                steps = np.asarray(elapsed // pd.Timedelta(self.freq))
                rest = np.asarray(elapsed % pd.Timedelta(self.freq)) != np.timedelta64(0, "ns")
            else:
                first, last = min(self.start[0], stamps.min()), max(self.start[0], stamps.max())
                grid = pd.date_range(first, last, freq=self.freq)
                steps, start = grid.get_indexer(stamps), grid.get_indexer(self.start)[0]
                rest = (steps < 0) | (start < 0)
                steps = steps - start
        else:
            # A small integer type, such as int8, would overflow in the difference.
            steps, rest = np.divmod(_as_int64(stamps) - int(self.start[0]), self.freq)
        if np.any(rest):
            stamp = stamps[np.flatnonzero(rest)[0]]
            msg = (
                f"All time stamps must lie on one grid of frequency {self!s}, but {stamp} does "
                f"not. Resample the series to one frequency."
            )
            raise ValueError(msg)
        return np.asarray(steps, dtype=np.int64)

    def steps(self, durations: pd.TimedeltaIndex) -> np.ndarray:
        """Number of steps in each duration, shape (n,).

        A day counts as 24 hours and a week as seven such days, also where clocks change.

        Raises
        ------
        ValueError
            If a duration is not a whole number of steps, or the timeline has no step of a fixed
            duration: it is of integers, months, business days or the like.
        """
        step = self._duration()
        if step is None:
            msg = (
                f"Durations need time stamps whose steps all last equally long, but the steps of "
                f"frequency {self!s} {'differ' if self.is_calendar else 'are integers'}. Pass "
                f"integers, which count the steps, or time stamps."
            )
            raise ValueError(msg)
        wrong = np.flatnonzero(durations % step != pd.Timedelta(0))  # NaT differs too
        if len(wrong):
            msg = (
                f"Durations must be a whole number of steps of frequency {self!s}, but got "
                f"{durations[wrong[0]]}. Pass a multiple of it, or integers, which count the steps."
            )
            raise ValueError(msg)
        return np.asarray(durations // step, dtype=np.int64)

    def _duration(self) -> pd.Timedelta | None:
        """How long a step lasts; None where steps differ or are integers."""
        for offset, days in ((pd.offsets.Day, 1), (pd.offsets.Week, 7)):
            if isinstance(self.freq, offset):
                return pd.Timedelta(days=days * self.freq.n)
        return pd.Timedelta(self.freq) if self.is_fixed else None

    def stamps(self, positions: np.ndarray) -> pd.Index:
        """Time stamp at each position; the index has the name of the start's."""
        return self._stamps(np.asarray(positions, dtype=np.int64)).rename(self.start.name)

    def timestamps(self, positions: np.ndarray) -> pd.DatetimeIndex:
        """Time at which each position begins, of a timeline of dates or periods."""
        stamps = self.stamps(positions)
        return stamps.to_timestamp() if isinstance(stamps, pd.PeriodIndex) else stamps

    def _stamps(self, positions: np.ndarray) -> pd.Index:
        if isinstance(self.start, pd.PeriodIndex):
            ordinals = self.start.asi8[0] + positions * self.freq.n
            return pd.PeriodIndex.from_ordinals(ordinals, freq=self.freq)
        if not isinstance(self.start, pd.DatetimeIndex):
            return pd.Index(int(self.start[0]) + positions * self.freq)
        if self.is_fixed:
            return self.start[0] + pd.to_timedelta(positions * pd.Timedelta(self.freq))
        low, high = positions.min(initial=0), positions.max(initial=0)
        before = pd.date_range(end=self.start[0], periods=1 - low, freq=self.freq)
        after = pd.date_range(self.start[0], periods=1 + high, freq=self.freq)
        return before.append(after[1:]).take(positions - low)

    def __str__(self) -> str:
        """Frequency as pandas writes it."""
        return repr(getattr(self.freq, "freqstr", self.freq))


def check_stamps(stamps: pd.Index) -> None:
    """Raise unless all stamps are integers, dates or periods, and none is missing.

    Raises
    ------
    TypeError
        If the stamps are of another type.
    ValueError
        If a stamp is missing.
    """
    if not (pd.api.types.is_integer_dtype(stamps) or isinstance(stamps, DATES)):
        kind = pd.api.types.infer_dtype(stamps, skipna=False)
        msg = (
            f"Time stamps must be integers, dates or periods, but got {_kind(stamps)} of dtype "
            f"{stamps.dtype} with values of type {kind!r}. Convert the index, for example with "
            f"`pd.to_datetime` or `.infer_objects()`."
        )
        raise TypeError(msg)
    missing = np.flatnonzero(stamps.isna())
    if len(missing):
        msg = (
            f"Every row must have a time stamp, but in row {missing[0]} of the data it is "
            f"{stamps[missing[0]]} ({len(missing)} such rows in all). Correct the index, or drop "
            f"these rows."
        )
        raise ValueError(msg)


def _frequency(stamps: pd.Index) -> pd.offsets.BaseOffset | int:
    """Step of a series' index: its own, else the inferred, else the shortest one."""
    if isinstance(stamps, pd.RangeIndex):
        return int(stamps.step)
    if isinstance(stamps, pd.PeriodIndex):
        return stamps.freq
    if not isinstance(stamps, pd.DatetimeIndex):
        steps = np.unique(np.diff(_as_int64(stamps)))
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
    # Too short or too irregular for pandas: the check then names the first longer step.
    return pd.tseries.frequencies.to_offset(pd.Timedelta(np.diff(stamps.to_numpy()).min()))


def _inferred(stamps: pd.DatetimeIndex) -> str | None:
    """Frequency that pandas infers from all stamps, or else from the first half, quarter, ..."""
    parts = [stamps]
    while len(parts[0]) > 2:
        for part in parts:
            if len(part) > 2 and (inferred := pd.infer_freq(part)) is not None:
                return inferred
        parts = [half for p in parts for half in (p[: len(p) // 2], p[len(p) // 2 :])]
    return None


def _as_int64(stamps: pd.Index) -> np.ndarray:
    return np.asarray(stamps, dtype=np.int64)


def _kind(index: pd.Index) -> str:
    """Kind of an index for messages, with its article."""
    if pd.api.types.is_integer_dtype(index):
        return "an integer index"
    if isinstance(index, pd.DatetimeIndex):
        return f"a DatetimeIndex {'without' if index.tz is None else 'with'} time zone"
    name = type(index).__name__
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"
