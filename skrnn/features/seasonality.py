"""Seasonality: the periods of a series, from its frequency or from its autocorrelation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from skrnn.data.panel import Panel

# Cycles of the calendar in days, by the length of a step: for steps of five days and more the year
# is the only season; for days the week; for shorter steps the day and the week.
YEAR, WEEK, BUSINESS_WEEK, DAY = 365.25, 7.0, 5.0, 1.0
LONGEST_STEP_WITH_YEAR = 183  # days; of a half-year and longer steps the year is no season
SHORTEST_STEP_WITH_YEAR = 5  # days
# A cycle counts as a whole number of steps up to this share of it; a week of 5-hour steps does not.
WHOLE_PERIOD_TOLERANCE = 0.01
# The autocorrelation is computed over at most so many of the latest differences.
MOST_DIFFERENCES = 10_000
# The period is the first peak that is at least this share of the highest: its multiples are as
# high as itself.
HIGH_PEAK = 0.9
# Fewer differences show no period. A period must fit into the series about this many times.
FEWEST_DIFFERENCES, FEWEST_PERIODS = 8, 3
# The mean level of a series without a season is taken over a quarter of it, at most a dozen values.
MOST_LEVEL_VALUES = 12


def seasonal_periods(sp: int | Sequence[int] | str | None, panel: Panel) -> tuple[int, ...]:
    """Choose the seasonal periods: those given, or with "auto" those of the frequency.

    "auto" keeps a period that is shorter than the longest series. Neither an index without dates
    nor one of years has a period of its own. For these it is the highest significant peak of the
    autocorrelation.

    Raises
    ------
    ValueError
        If a period that was given is not shorter than the longest series.
    """
    longest = int(panel.lengths.max())
    if sp is None:
        return ()
    if not isinstance(sp, str):
        periods = (int(sp),) if isinstance(sp, (int, np.integer)) else tuple(int(p) for p in sp)
        check_within("sp", periods, longest)
        return periods
    step = panel.timeline.step_in_days if panel.timeline.is_calendar else np.inf
    if step > LONGEST_STEP_WITH_YEAR:
        period = _period_of_values(panel)
        return () if period is None else (period,)
    if step >= SHORTEST_STEP_WITH_YEAR:
        cycles = [YEAR]
    elif step >= 1:
        weekdays = isinstance(panel.timeline.freq, pd.offsets.BusinessDay)
        cycles = [BUSINESS_WEEK if weekdays else WEEK]
    else:
        cycles = [DAY, WEEK]
    exact = [days / step for days in cycles]
    return tuple(
        round(p)
        for p in exact
        if 1 < round(p) < longest and abs(p - round(p)) < WHOLE_PERIOD_TOLERANCE * round(p)
    )


def check_within(name: str, steps: Sequence[Any], longest: int) -> None:
    """Raise ValueError if a period or lag reaches beyond the longest series."""
    beyond = [step for step in steps if step >= longest]
    if beyond:
        msg = (
            f"The {name!r} parameter must be shorter than the longest series, which has "
            f"{longest} observations to train on. Got {beyond[0]}. Pass longer series, or "
            f"{name}='auto'."
        )
        raise ValueError(msg)


def level_period(panel: Panel) -> int:
    """Number of values of which the mean is the level of a series without a season."""
    return int(np.clip(panel.lengths.max() // 4, 1, MOST_LEVEL_VALUES))


def _period_of_values(panel: Panel) -> int | None:
    r"""Lag of the first high peak of the autocorrelation of the differences, if significant.

    Differences, so that a trend is no season. A peak must stand above the largest that the
    differences of n values of white noise show, about :math:`\sqrt{3 \log n / (n - l)}` at lag l,
    and lie within a third of the series. The longest series decides.
    """
    longest = int(np.argmax(panel.lengths))
    rows = slice(panel.offsets[longest], panel.offsets[longest + 1])
    values = pd.Series(panel.values[rows, 0])
    if values.isna().any():
        values = values.interpolate(limit_direction="both")
    change = np.diff(values)[-MOST_DIFFERENCES:]
    n = len(change)
    if n < FEWEST_DIFFERENCES or not np.ptp(change) > 0:
        return None
    change = change - change.mean()
    spectrum = np.abs(np.fft.rfft(change, 2 * n)) ** 2
    pairs = n - np.arange(n // FEWEST_PERIODS + 2)
    correlation = np.fft.irfft(spectrum)[: len(pairs)] / pairs
    correlation /= correlation[0]
    inner = correlation[2:-1]
    peak = (inner > correlation[1:-2]) & (inner >= correlation[3:])
    peak &= inner > np.sqrt(3 * np.log(n) / pairs[2:-1])
    if not peak.any():
        return None
    high = peak & (inner >= HIGH_PEAK * inner[peak].max())
    return int(np.flatnonzero(high)[0]) + 2
