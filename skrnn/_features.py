"""Features: what the network is told about each step, and the naive forecasts it corrects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from skrnn._panel import Panel, Timeline

# Phase of a stamp within a cycle, in [0, 1); the cycle's length in days; the harmonics encoded.
# Three harmonics of the week tell all seven days apart, two of the day its two load peaks.
CALENDAR = {
    "hour": (lambda t: (t.hour + t.minute / 60 + t.second / 3600) / 24, 1.0, 2),
    "dayofweek": (lambda t: t.dayofweek / 7, 7.0, 3),
    "dayofyear": (lambda t: (t.dayofyear - 1) / 366, 365.25, 2),
}
NAIVE = ("last", "seasonal", "shifted")

DAY = pd.Timedelta(days=1)


@dataclass(frozen=True)
class Features:
    """The channels of a step, and the naive forecasts of its target; all made from past values.

    With s the scaled series, a step t is told its surroundings relative to the last value: the
    last change s[t-1] - s[t-2] and each lag, s[t-l] - s[t-1]; and the calendar and X at t. A level
    that was never seen in training, at the end of a trend or after a shift, is nothing new to such
    a network. The bare network, without naive forecasts, must find the level itself and is told
    s[t-1] instead of its change. The naive forecasts of s[t] are

    - "last": s[t-1],
    - "seasonal", for each period p in ``sp``: s[t-p],
    - "shifted", for each period p in ``sp``: s[t-p] + s[t-1] - s[t-1-p], last season's value
      shifted to the present level, so that a trend goes on.

    A lag or a naive forecast that reaches before the first observation is masked, not filled.

    Parameters
    ----------
    sp : tuple of int
        Seasonal periods, in steps.
    lags : tuple of int
        Lags shown beside the last value.
    naive : tuple of str
        Which of the naive forecasts are mixed in; empty for none.
    calendar : tuple of str
        Names in `CALENDAR`.
    n_columns, n_covariates : int
        Columns of y and of X.
    """

    sp: tuple[int, ...]
    lags: tuple[int, ...]
    naive: tuple[str, ...]
    calendar: tuple[str, ...]
    n_columns: int
    n_covariates: int

    @cached_property
    def candidates(self) -> list[dict[int, float]]:
        """Each naive forecast as weights of past values: {offset: weight}."""
        made = [{1: 1.0}] if "last" in self.naive else []
        seasons = [p for p in self.sp if p > 1]
        made += [{p: 1.0} for p in seasons if "seasonal" in self.naive]
        made += [{p: 1.0, 1: 1.0, 1 + p: -1.0} for p in seasons if "shifted" in self.naive]
        # Seasonal forecasts of a series without a season are its last value.
        return made or ([{1: 1.0}] if self.naive else [])

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """How far back the values lie that a step needs, ascending; the first are 1 and 2."""
        return tuple(sorted({1, 2, *self.lags, *(k for c in self.candidates for k in c)}))

    @property
    def reach(self) -> int:
        """How many past values a step needs at most."""
        return self.offsets[-1]

    @property
    def n_inputs(self) -> int:
        return self.n_columns * (1 + len(self.lags)) + self.n_calendar + self.n_covariates

    @property
    def n_calendar(self) -> int:
        return sum(2 * CALENDAR[name][2] for name in self.calendar)

    @property
    def n_naive(self) -> int:
        return len(self.candidates)

    def encode_calendar(self, timeline: Timeline, first: int, stop: int) -> np.ndarray:
        """Sines and cosines of the timeline's positions ``first`` to ``stop``, float32."""
        if not self.calendar or not timeline.is_calendar:
            # A network pretrained on dates can still forecast a series without them.
            return np.zeros((stop - first, self.n_calendar), dtype=np.float32)
        stamps = timeline.stamps(np.arange(first, stop))
        if isinstance(stamps, pd.PeriodIndex):
            stamps = stamps.to_timestamp()
        waves = []
        for name in self.calendar:
            phase, _, harmonics = CALENDAR[name]
            angle = 2 * np.pi * np.asarray(phase(stamps), dtype=np.float64)
            for k in range(1, harmonics + 1):
                waves += [np.sin(k * angle), np.cos(k * angle)]
        return np.stack(waves, axis=1).astype(np.float32)


def calendar_fields(calendar: str | Sequence[str] | None, panel: Panel) -> tuple[str, ...]:
    """Choose the calendar fields: those asked for, or all that frequency and length can show.

    "auto" takes a cycle of more than two steps that the data holds at least twice: of one winter
    nobody learns what a winter does.
    """
    if calendar is None:
        return ()
    timeline = panel.timeline
    if calendar != "auto":
        if not timeline.is_calendar:
            msg = (
                f"calendar={calendar!r} needs dates or periods in the index of y, but it holds "
                f"integers. Pass calendar='auto' or None, or a DatetimeIndex."
            )
            raise ValueError(msg)
        return (calendar,) if isinstance(calendar, str) else tuple(calendar)
    if not timeline.is_calendar:
        return ()
    step = _step_in_days(timeline)
    span = step * (panel.end.max() - panel.origin.min())
    return tuple(
        name for name, (_, days, _) in CALENDAR.items() if 2 * step < days <= span / 2 + step
    )


def seasonal_periods(sp: int | Sequence[int] | str | None, panel: Panel) -> tuple[int, ...]:
    """Choose the seasonal periods: those given, else the day, week and year of the frequency.

    "auto" keeps a period that the longest series holds at least twice. An index without dates
    tells no period, so the data must: the highest significant peak of the autocorrelation.
    """
    if sp is None:
        return ()
    if isinstance(sp, (int, np.integer)):
        return (int(sp),)
    if not isinstance(sp, str):
        return tuple(int(p) for p in sp)
    longest = int(panel.lengths.max())
    if not panel.timeline.is_calendar:
        period = _period_of_values(panel)
        return () if period is None else (period,)
    step = _step_in_days(panel.timeline)
    if step >= 5:  # weeks to years: the year is the only season
        cycles = [365.25]
    elif step >= 1:
        # Business days: five of them are a week.
        weekdays = isinstance(panel.timeline.freq, pd.offsets.BusinessDay)
        cycles = [5.0 if weekdays else 7.0]
    else:
        cycles = [1.0, 7.0]
    periods = [(round(days / step), days / step) for days in cycles]
    # A cycle that is no whole number of steps, as a week of 5-hour steps, is no seasonal lag.
    return tuple(p for p, exact in periods if 1 < p <= longest / 2 and abs(exact - p) < 0.01 * p)


def _step_in_days(timeline: Timeline) -> float:
    """Mean length of one step in days."""
    if isinstance(timeline.freq, pd.offsets.BusinessDay):
        return 1.0
    stamps = timeline.stamps(np.array([0, 12]))
    if isinstance(stamps, pd.PeriodIndex):
        stamps = stamps.to_timestamp()
    return (stamps[1] - stamps[0]) / DAY / 12


def _period_of_values(panel: Panel) -> int | None:
    """Lag of the first high peak of the autocorrelation of the differences, if significant.

    Differences, so that a trend is no season. A peak must stand above the largest that the
    differences of n values of white noise show, about sqrt(3 log n / (n - lag)), lie within a
    third of the series, and be nearly as high as the highest: a period's multiples are as high as
    itself. The longest series decides.
    """
    longest = int(np.argmax(panel.lengths))
    rows = slice(panel.offsets[longest], panel.offsets[longest + 1])
    change = np.diff(panel.values[rows, 0])[-10_000:]
    n = len(change)
    if n < 8 or not np.ptp(change) > 0:
        return None
    change = change - change.mean()
    spectrum = np.abs(np.fft.rfft(change, 2 * n)) ** 2
    pairs = n - np.arange(n // 3 + 2)
    correlation = np.fft.irfft(spectrum)[: len(pairs)] / pairs
    correlation /= correlation[0]
    inner = correlation[2:-1]
    peak = (inner > correlation[1:-2]) & (inner >= correlation[3:])
    peak &= inner > np.sqrt(3 * np.log(n) / pairs[2:-1])
    if not peak.any():
        return None
    high = peak & (inner >= 0.9 * inner[peak].max())
    return int(np.flatnonzero(high)[0]) + 2
