"""The calendar: time of day, of week and of year as sines and cosines, and days off."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from skrnn.data.holidays import Holidays
from skrnn.data.panel import Panel
from skrnn.data.timeline import Timeline

# Of each field: the phase of a stamp within its cycle, in [0, 1); the cycle's length in days; how
# many harmonics are encoded. Three harmonics of the week tell all seven days apart, two of the day
# its two load peaks.
CALENDAR = {
    "hour": (lambda t: (t.hour + t.minute / 60 + t.second / 3600) / 24, 1.0, 2),
    "dayofweek": (lambda t: t.dayofweek / 7, 7.0, 3),
    "dayofyear": (lambda t: (t.dayofyear - 1) / 366, 365.25, 2),
}
YEAR_FIELD = "dayofyear"
# Channels of holidays: the day itself, the day before one, the day after one.
N_HOLIDAY_CHANNELS = 3
# Steps are numbered from a Monday; a month has so many days at least, and in the mean.
MONDAY = pd.Timestamp("1970-01-05")
SHORTEST_MONTH, MEAN_MONTH = 28, 30.4375


def calendar_fields(
    calendar: str | Sequence[str] | None, panel: Panel, cycles: float = 2
) -> tuple[str, ...]:
    """Choose the calendar fields: those asked for, or with "auto" those that the data can teach.

    "auto" takes a cycle of more than two steps of which the data cover at least so many: from a
    single winter a network would learn that winter.
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
    step = timeline.step_in_days
    span = step * (panel.end.max() - panel.origin.min())
    return tuple(
        name for name, (_, days, _) in CALENDAR.items() if 2 * step < days <= span / cycles + step
    )


def calendar_cycle(calendar: Sequence[str], panel: Panel) -> int:
    """Steps of the longest cycle among calendar fields; 0 without fields."""
    days = [CALENDAR[name][1] for name in calendar]
    return round(max(days) / panel.timeline.step_in_days) if days else 0


def ordinals(timeline: Timeline, positions: np.ndarray) -> np.ndarray:
    """Number of each position on its calendar, the same on every timeline of that frequency, (n,).

    The remainder by a period is the phase: of hours by 168, the hour of the week. Steps of local
    time are counted as the clock shows them. Of steps of other kinds than those below, positions
    are counted from the start of the timeline.
    """
    if not timeline.is_calendar:
        return np.asarray(timeline.stamps(positions), dtype=np.int64) // timeline.freq
    stamps, step = timeline.timestamps(positions).tz_localize(None), timeline.step_in_days
    if isinstance(timeline.freq, pd.offsets.BusinessDay):
        return np.busday_count(MONDAY.to_numpy().astype("M8[D]"), stamps.to_numpy().astype("M8[D]"))
    if timeline.has_equal_steps:
        return np.asarray((stamps - MONDAY) // pd.Timedelta(days=step), dtype=np.int64)
    if step >= SHORTEST_MONTH:
        months = np.asarray(12 * stamps.year + stamps.month - 1, dtype=np.int64)
        return months // round(step / MEAN_MONTH)
    return np.asarray(positions, dtype=np.int64)


def n_calendar_channels(calendar: Sequence[str], holidays: Holidays | None) -> int:
    """Number of channels that `encode_calendar` makes."""
    waves = sum(2 * CALENDAR[name][2] for name in calendar)
    return waves + (N_HOLIDAY_CHANNELS if holidays else 0)


def encode_calendar(
    calendar: Sequence[str], holidays: Holidays | None, timeline: Timeline, positions: np.ndarray
) -> np.ndarray:
    """Sines, cosines and holidays at positions of the timeline, (n, Q), float32."""
    n_channels = n_calendar_channels(calendar, holidays)
    if not n_channels or not timeline.is_calendar:
        # A network pretrained on dates can still forecast a series without dates.
        return np.zeros((len(positions), n_channels), dtype=np.float32)
    stamps = timeline.timestamps(positions)
    # Each channel is written into its place, so that there is no second copy of all of them.
    encoded = np.empty((len(positions), n_channels), dtype=np.float32)
    channel = 0
    for name in calendar:
        phase, _, harmonics = CALENDAR[name]
        angle = 2 * np.pi * np.asarray(phase(stamps), dtype=np.float64)
        for k in range(1, harmonics + 1):
            encoded[:, channel], encoded[:, channel + 1] = np.sin(k * angle), np.cos(k * angle)
            channel += 2
    if holidays:
        encoded[:, channel:] = np.stack(holidays.around(stamps), axis=1)
    return encoded
