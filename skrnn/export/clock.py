"""Clock: calendar fields, numbers of steps and positions, computed in the graph from stamps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pandas as pd

from skrnn.data.holidays import Holidays
from skrnn.data.timeline import Timeline
from skrnn.export.graph import DOUBLE, FLOAT, INT, Tensor, concat
from skrnn.features.calendar import (
    CALENDAR,
    MEAN_MONTH,
    SHORTEST_MONTH,
    n_calendar_channels,
    ordinals,
)

DAY = 86_400  # seconds
FIRST_MONDAY = 4  # days from 1970-01-01 to the Monday from which steps are numbered
# Days from 0001-01-01, and from 0000-03-01, to 1970-01-01, in the Gregorian calendar.
DAYS_FROM_YEAR_1, DAYS_FROM_MARCH_0 = 719_162, 719_468
# Days in 400, 100 and 4 years.
DAYS_IN_400, DAYS_IN_100, DAYS_IN_4 = 146_097, 36_524, 1_460
# Time zones change their offset at whole quarters of an hour; changes between these years are in
# the file.
FIRST_YEAR, LAST_YEAR, QUARTER = 1970, 2100, 900


class Clock:
    """Stamps in the graph, and what a step reads of them.

    Parameters
    ----------
    time : Tensor of shape (S, R)
        Stamps: integers of an integer index; of dates and periods the seconds since 1970, with a
        time zone in UTC, without one as the clock shows them. A period is the time at which it
        begins.
    timeline : Timeline
        The grid on which they lie, which `check_timeline` accepts.
    """

    def __init__(self, time: Tensor, timeline: Timeline):
        self.time, self.timeline = time, timeline
        # What the clock shows.
        self.local = _local(time, timeline) if timeline.is_calendar else time

    @cached_property
    def _days(self) -> Tensor:
        """Days from 1970-01-01 to that of each stamp."""
        return self.local // DAY

    def positions(self) -> Tensor:
        """Positions on the timeline, (S, R)."""
        timeline, freq = self.timeline, self.timeline.freq
        if not timeline.is_calendar:
            return (self.time - int(timeline.start[0])) // int(freq)
        if timeline.is_fixed:
            step = round(pd.Timedelta(freq).total_seconds())
            return (self.time - int(seconds_of(timeline.start)[0])) // step
        first = timeline.timestamps(np.zeros(1, dtype=np.int64)).tz_localize(None)
        if isinstance(freq, (pd.offsets.Day, pd.offsets.Week)):
            # As the clock shows them: where clocks change, days are not equally long.
            step = freq.n * DAY * (7 if isinstance(freq, pd.offsets.Week) else 1)
            return (self.local - int(seconds_of(first)[0])) // step
        since = self.ordinals() - int(ordinals(timeline, np.zeros(1, dtype=np.int64))[0])
        return since // freq.n if isinstance(freq, pd.offsets.BusinessDay) else since

    def ordinals(self) -> Tensor:
        """Numbers of the steps on their calendar, (S, R); see `features.calendar.ordinals`."""
        timeline = self.timeline
        if not timeline.is_calendar:
            return self.time // int(timeline.freq)
        if isinstance(timeline.freq, pd.offsets.BusinessDay):
            since = self._days - FIRST_MONDAY
            return since // 7 * 5 + (since % 7).minimum(5)
        if not timeline.has_equal_steps:
            year, month = self._year_and_month()
            return (year * 12 + month - 1) // round(timeline.step_in_days / MEAN_MONTH)
        step = round(timeline.step_in_days * DAY)
        return (self.local - FIRST_MONDAY * DAY) // step

    def encoded(self, calendar: Sequence[str], holidays: Holidays | None) -> Tensor | None:
        """Sines, cosines and holidays, (S, R, Q); None where there is no channel."""
        n_channels = n_calendar_channels(calendar, holidays)
        if not n_channels:
            return None
        if not self.timeline.is_calendar:
            # A network pretrained on dates can still forecast a series without dates.
            zeros = (self.time * 0).cast(FLOAT).unsqueeze(-1)
            return zeros.expand(1, 1, n_channels)
        channels = []
        for name in calendar:
            angle = self._phase(name) * (2 * np.pi)
            for k in range(1, CALENDAR[name][2] + 1):
                # A cosine is a sine a quarter of a turn later.
                channels += [_sine(angle * k), _sine(angle * k + np.pi / 2)]
        if holidays:
            channels += self._around(holidays)
        return concat([channel.unsqueeze(-1) for channel in channels], -1)

    def _phase(self, name: str) -> Tensor:
        """Phase within the cycle of a calendar field, in [0, 1), (S, R), float64."""
        if name == "hour":
            return (self.local % DAY).cast(DOUBLE) / DAY
        if name == "dayofweek":
            return ((self._days + 3) % 7).cast(DOUBLE) / 7  # 1970 began on a Thursday
        year, _ = self._year_and_month()
        return (self._days - _first_day(year)).cast(DOUBLE) / 366

    def _around(self, holidays: Holidays) -> list[Tensor]:
        """Whether a day is a holiday, is before one, and is after one, (S, R) each."""
        days = holidays.dates.to_numpy().astype("datetime64[D]").astype(np.int64)
        shifted = [(self._days + shift).unsqueeze(-1).equals(days) for shift in (0, 1, -1)]
        return [is_holiday.any(-1).cast(FLOAT) for is_holiday in shifted]

    def _year_and_month(self) -> tuple[Tensor, Tensor]:
        """Year and month of each stamp, by arithmetic on years that begin in March.

        E. G. Richards, "Calendars", in Explanatory Supplement to the Astronomical Almanac, 2013.
        """
        days = self._days + DAYS_FROM_MARCH_0
        era, day = days // DAYS_IN_400, days % DAYS_IN_400
        leap_days = day // DAYS_IN_4 - day // DAYS_IN_100 + day // (DAYS_IN_400 - 1)
        year_of_era = (day - leap_days) // 365
        year_before = year_of_era * 365 + year_of_era // 4 - year_of_era // 100
        from_march = ((day - year_before) * 5 + 2) // 153
        month = (from_march + 2) % 12 + 1
        return era * 400 + year_of_era + (from_march >= 10).cast(INT), month


def check_timeline(timeline: Timeline) -> None:
    """Raise ValueError unless the steps of a timeline can be counted from stamps in seconds."""
    freq = timeline.freq
    if not timeline.is_calendar or isinstance(freq, (pd.offsets.BusinessDay, pd.offsets.Week)):
        return
    if timeline.is_fixed:
        if pd.Timedelta(freq) % pd.Timedelta(seconds=1) == pd.Timedelta(0):
            return
        reason = "its steps are no whole seconds"
    elif isinstance(freq, pd.offsets.Day) or timeline.step_in_days >= SHORTEST_MONTH:
        return
    else:
        reason = "its steps are of no fixed length"
    msg = (
        f"to_onnx needs an index of integers, or of steps of whole seconds, days, business days, "
        f"weeks, months or years, but got the frequency {timeline!s}: {reason}. Resample the "
        f"series, or use a RangeIndex."
    )
    raise ValueError(msg)


def seconds_of(stamps: pd.Index) -> np.ndarray:
    """Stamps as `Clock` reads them: integers, or seconds since 1970."""
    if isinstance(stamps, pd.PeriodIndex):
        stamps = stamps.to_timestamp()
    if not isinstance(stamps, pd.DatetimeIndex):
        return np.asarray(stamps, dtype=np.int64)
    if stamps.tz is not None:
        stamps = stamps.tz_convert("UTC").tz_localize(None)
    return stamps.to_numpy().astype("datetime64[s]").astype(np.int64)


def _first_day(year: Tensor) -> Tensor:
    """Days from 1970-01-01 to the first day of a year."""
    before = year - 1
    leap_days = before // 4 - before // 100 + before // 400
    return before * 365 + leap_days - DAYS_FROM_YEAR_1


def _sine(angle: Tensor) -> Tensor:
    return angle.graph.op("Sin", angle).cast(FLOAT)


def _local(time: Tensor, timeline: Timeline) -> Tensor:
    """Seconds since 1970 as the clock of the time zone shows them."""
    zone = getattr(timeline.start, "tz", None)
    if zone is None:
        return time
    since, offset = _changes(zone)
    # The last change before each stamp, by bisection.
    n = 1 << len(since).bit_length()
    since = np.concatenate([since, np.full(n - len(since), np.iinfo(np.int64).max)])
    changes, place = time.graph.constant(since), time * 0
    while n > 1:
        n //= 2
        later = place + n
        place = later.where(time >= changes.take(later - 1, 0), place)
    return time + time.graph.constant(offset).take(place, 0)


def _changes(zone: object) -> tuple[np.ndarray, np.ndarray]:
    """When a time zone changes its offset, (K,), and the offsets before and after, (K + 1,)."""
    first, last = (
        np.datetime64(f"{y}-01-01", "s").astype(np.int64) for y in (FIRST_YEAR, LAST_YEAR)
    )
    days = np.arange(first, last, DAY)
    offset = _offsets(days, zone)
    # Of each day after which the offset is another, the first quarter of an hour with it.
    before = np.flatnonzero(np.diff(offset))
    quarters = days[before, None] + np.arange(QUARTER, DAY + 1, QUARTER)
    is_new = _offsets(quarters.ravel(), zone).reshape(quarters.shape) != offset[before, None]
    since = quarters[np.arange(len(before)), is_new.argmax(1)]
    return since, np.concatenate([offset[:1], offset[before + 1]])


def _offsets(utc: np.ndarray, zone: object) -> np.ndarray:
    """Offset of the clock from UTC, in seconds."""
    stamps = pd.DatetimeIndex(utc.astype("datetime64[s]")).tz_localize("UTC").tz_convert(zone)
    return stamps.tz_localize(None).to_numpy().astype("datetime64[s]").astype(np.int64) - utc
