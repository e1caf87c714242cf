"""Features: what the network is told about each step, and the naive forecasts it corrects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from skrnn.data.holidays import Holidays
from skrnn.data.panel import Panel
from skrnn.data.ragged import evenly_spaced
from skrnn.data.timeline import Timeline

# Phase of a stamp within a cycle, in [0, 1); the cycle's length in days; the harmonics encoded.
# Three harmonics of the week tell all seven days apart, two of the day its two load peaks.
CALENDAR = {
    "hour": (lambda t: (t.hour + t.minute / 60 + t.second / 3600) / 24, 1.0, 2),
    "dayofweek": (lambda t: t.dayofweek / 7, 7.0, 3),
    "dayofyear": (lambda t: (t.dayofyear - 1) / 366, 365.25, 2),
}
# Naive forecasts of a series with a season, and of one without.
SEASONAL_NAIVE = ("last", "mean", "seasonal", "shifted", "leveled", "averaged")
LEVEL_NAIVE = ("last", "mean", "drift")
NAIVE = (*SEASONAL_NAIVE, "drift")
# Seasons of which "averaged" takes the mean, the least and the most: with three, two thirds of what
# the noise of one adds to a forecast's variance is gone, and more would go back too far. Far ahead
# the last ones tell less, so that it takes twice as many as are looked ahead.
LEAST_SEASONS, MOST_SEASONS = 3, 14
MOST_COMPARED = 24  # steps within a season for which naive forecasts are compared
SEASONAL = ("seasonal", "shifted", "leveled", "averaged")  # those that repeat a season
LEVELS = ("mean", "drift", "leveled")  # those that need means

DAY = pd.Timedelta(days=1)


@dataclass(frozen=True)
class Features:
    r"""The channels of a step, and the naive forecasts of its targets; all made from past values.

    With s the scaled series, a step t is told its surroundings relative to the last value: the
    last changes s[t-1] - s[t-1-i], i up to ``patch_length``, and each lag, s[t-l] - s[t-1]; and
    the calendar and X at t. A level that was never seen in training, at the end of a trend or after
    a shift, is nothing new to such a network. The bare network, without naive forecasts, must find
    the level itself and is told s[t-1] instead of its change. The naive forecasts of
    s[t-1+h], h steps ahead, with k seasons of p steps going back to what is known,
    k = ceil(h / p), are

    - "last": s[t-1],
    - "seasonal", for each period p in ``sp``: s[t-1+h-kp],
    - "shifted", for each period: s[t-1+h-kp] + s[t-1] - s[t-1-kp], the last known season's value
      shifted to the present level, so that a trend goes on,
    - "leveled": the same, the level being the mean of the last p values,
    - "averaged": the mean of s[t-1+h-kp] and of the values of the seasons before, as far as these
      exist: of three seasons one season ahead, of more further ahead, see `season_depths`,
    - "mean": the mean over the longest period m,
    - "drift": s[t-1] + h (a - b) / (km) with a the mean of the last m values, b that of the m
      values k m steps before: the last value and the trend of the level.

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
    holidays : Holidays or None
    n_columns, n_past : int
        Target columns, and past covariates.
    n_numbers : int
        Numeric columns of X that are known in advance.
    sizes : tuple of int
        Number of values of each categorical column of X.
    missing : bool
        Whether steps are told which of the values they see are missing.
    horizons : tuple of int, or None
        Steps ahead that are forecast at once, ascending; None for one after the other.
    patch_length : int
        Time steps that one step of the recurrent layer takes in.
    level_period : int
        Values of which the level of a series without a season is the mean.
    cycle : int
        Steps of the longest cycle of the calendar.
    """

    sp: tuple[int, ...]
    lags: tuple[int, ...]
    naive: tuple[str, ...]
    calendar: tuple[str, ...]
    n_columns: int
    n_past: int = 0
    n_numbers: int = 0
    sizes: tuple[int, ...] = ()
    holidays: Holidays | None = None
    missing: bool = False
    horizons: tuple[int, ...] | None = None
    patch_length: int = 1
    level_period: int = 1
    cycle: int = 0

    @cached_property
    def candidates(self) -> list[tuple[str, int]]:
        """The naive forecasts: name and period."""
        made = [("last", 1)] if "last" in self.naive else []
        longest = max(self.seasons, default=self.level_period)
        made += [(name, longest) for name in ("mean", "drift") if name in self.naive]
        for name in ("seasonal", "shifted", "leveled", "averaged"):
            made += [(name, p) for p in self.seasons if name in self.naive]
        # Seasonal forecasts of a series without a season are its last value.
        return made or ([("last", 1)] if self.naive else [])

    @property
    def ahead(self) -> tuple[int, ...]:
        """Steps ahead of the forecasts from one step."""
        return self.horizons or (1,)

    def over_a_season(self) -> Features:
        """The same naive forecasts, of steps up to the longest season ahead, all at once."""
        horizons = tuple(int(h) + 1 for h in evenly_spaced(self.longest, MOST_COMPARED))
        return replace(
            self, horizons=horizons, n_columns=self.n_values, n_past=0, lags=(), patch_length=1
        )

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """How far before a step the values lie that it is told, ascending, 1 and 2 the first.

        One step ahead, those that its naive forecasts need are among them: they are read once.
        """
        return tuple(sorted(self._shown if self.horizons else self._shown | self._back(NAIVE)))

    @cached_property
    def naive_offsets(self) -> tuple[int, ...]:
        """How far before a step the values lie that its forecasts are given, 1 the first."""
        return tuple(sorted(self._back(NAIVE))) if self.horizons else self.offsets

    @property
    def _shown(self) -> set[int]:
        return {*range(1, self.patch_length + 2), *self.lags}

    def _back(self, names: Sequence[str]) -> set[int]:
        """How far before a step the values lie that its naive forecasts of these names need."""
        back = {1}
        for name, p in self.candidates:
            for h in self.ahead:
                k = seasons_back(h, p)
                if name in SEASONAL and name in names:
                    depths = season_depths(h, p)
                    back |= set(depths if name == "averaged" else depths[:1])
                if name in ("shifted", "leveled") and name in names:
                    back.add(k * p + 1)
        return back

    @cached_property
    def seasonal_periods(self) -> tuple[int, ...]:
        """Periods of the forecasts that repeat a season."""
        return tuple(sorted({p for name, p in self.candidates if name in SEASONAL}))

    @cached_property
    def level_periods(self) -> tuple[int, ...]:
        """Periods over which means are needed."""
        return tuple(sorted({p for name, p in self.candidates if name in LEVELS}))

    @property
    def needed(self) -> int:
        """How many past values a step should have to be learnt from.

        Not those of older seasons: "averaged" does without, and a short series has no more.
        """
        return max(self._shown | self._back(("seasonal", "shifted", "leveled")))

    @property
    def reach(self) -> int:
        """How many past values a step needs at most, but for the means of its levels."""
        return max(self.offsets[-1], self.naive_offsets[-1])

    @property
    def history(self) -> int:
        """How many past values a step needs at most."""
        deepest = max(
            (p * (1 + seasons_back(h, p)) for p in self.level_periods for h in self.ahead),
            default=0,
        )
        return max(self.reach, deepest)

    @property
    def n_values(self) -> int:
        """Columns of values: targets and past covariates."""
        return self.n_columns + self.n_past

    @property
    def is_alone(self) -> bool:
        """Whether a step is told of nothing but its own series and the calendar."""
        return self.n_values == 1 and not (self.n_numbers or self.sizes or self.holidays)

    @cached_property
    def is_foreseen(self) -> bool:
        """Whether the naive forecasts go back over all that a step is told of.

        They do not over a year of days with a season of weeks: what a shop that is closed in winter
        sells in spring, the calendar tells alone.
        """
        if not (self.is_alone and self.candidates):
            return False
        return max(self._shown) <= max(self._back(NAIVE)) and self.cycle <= self.longest

    @property
    def longest(self) -> int:
        """Steps of the longest season of the naive forecasts."""
        return max(p for _, p in self.candidates)

    @property
    def n_outputs(self) -> int:
        """Columns that are forecast: step by step, past covariates are forecast along."""
        return self.n_columns if self.horizons else self.n_values

    @property
    def n_known(self) -> int:
        """Channels of calendar, holidays and numbers of X."""
        waves = sum(2 * CALENDAR[name][2] for name in self.calendar)
        return waves + (3 if self.holidays else 0) + self.n_numbers

    @property
    def n_inputs(self) -> int:
        """Channels of a step, but for the embedded ones."""
        n_flags = 1 + len(self.lags) if self.missing else 0
        return self.n_values * (self.patch_length + len(self.lags) + n_flags) + self.n_known

    @property
    def seasons(self) -> tuple[int, ...]:
        """Periods of more than one step."""
        return tuple(p for p in self.sp if p > 1)

    def encode_calendar(self, timeline: Timeline, positions: np.ndarray) -> np.ndarray:
        """Waves and holidays at positions of the timeline, (n, Q), float32."""
        n_channels = self.n_known - self.n_numbers
        if not n_channels or not timeline.is_calendar:
            # A network pretrained on dates can still forecast a series without them.
            return np.zeros((len(positions), n_channels), dtype=np.float32)
        stamps = timeline.stamps(positions)
        if isinstance(stamps, pd.PeriodIndex):
            stamps = stamps.to_timestamp()
        # One channel after the other into place: no second copy of all of them.
        made = np.empty((len(positions), n_channels), dtype=np.float32)
        channel = 0
        for name in self.calendar:
            phase, _, harmonics = CALENDAR[name]
            angle = 2 * np.pi * np.asarray(phase(stamps), dtype=np.float64)
            for k in range(1, harmonics + 1):
                made[:, channel], made[:, channel + 1] = np.sin(k * angle), np.cos(k * angle)
                channel += 2
        if self.holidays:
            made[:, channel:] = np.stack(self.holidays.around(stamps), axis=1)
        return made


def naive_names(sp: Sequence[int]) -> tuple[str, ...]:
    """Choose the naive forecasts: those that go with seasons, or with none."""
    return SEASONAL_NAIVE if max(sp, default=1) > 1 else LEVEL_NAIVE


def level_period(panel: Panel) -> int:
    """Values that make the level of a series without a season: a quarter of it, twelve at most."""
    return int(np.clip(panel.lengths.max() // 4, 1, 12))


def season_depths(h: int, p: int) -> list[int]:
    """How far before a step the values lie of which "averaged" is the mean, h steps ahead."""
    k = seasons_back(h, p)
    n = min(max(LEAST_SEASONS, 2 * k), MOST_SEASONS)
    return [(k + i) * p - h + 1 for i in range(n)]


def seasons_back(h: int, p: int) -> int:
    """Seasons of p steps from h steps ahead back to what is known."""
    return -(-h // p)


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


def calendar_cycle(calendar: Sequence[str], panel: Panel) -> int:
    """Steps of the longest cycle among calendar fields, 0 of none."""
    days = [CALENDAR[name][1] for name in calendar]
    return round(max(days) / _step_in_days(panel.timeline)) if days else 0


def seasonal_periods(sp: int | Sequence[int] | str | None, panel: Panel) -> tuple[int, ...]:
    """Choose the seasonal periods: those given, else the day, week and year of the frequency.

    "auto" keeps a period that is shorter than the longest series. An index without dates tells no
    period, nor do years, so the data must: the highest significant peak of the autocorrelation.
    """
    if sp is None:
        return ()
    if isinstance(sp, (int, np.integer)):
        return (int(sp),)
    if not isinstance(sp, str):
        return tuple(int(p) for p in sp)
    longest = int(panel.lengths.max())
    step = _step_in_days(panel.timeline) if panel.timeline.is_calendar else np.inf
    if step > 183:  # numbers, or years, which hold no cycle of the calendar
        period = _period_of_values(panel)
        return () if period is None else (period,)
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
    return tuple(p for p, exact in periods if 1 < p < longest and abs(exact - p) < 0.01 * p)


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
    values = pd.Series(panel.values[rows, 0])
    if values.isna().any():
        values = values.interpolate(limit_direction="both")
    change = np.diff(values)[-10_000:]
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
