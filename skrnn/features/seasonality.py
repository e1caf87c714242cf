"""Seasonality: the periods of a series, from its frequency or from its values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from skrnn.data.panel import Panel
from skrnn.data.ragged import evenly_spaced

# Cycles of the calendar in days, by the length of a step: for steps of five days and more the year
# is the only season; for days the week; for shorter steps the day and the week.
YEAR, WEEK, BUSINESS_WEEK, DAY = 365.25, 7.0, 5.0, 1.0
LONGEST_STEP_WITH_YEAR = 183  # days; of a half-year and longer steps the year is no season
SHORTEST_STEP_WITH_YEAR = 5  # days
# A cycle counts as a whole number of steps up to this share of it; a week of 5-hour steps does not.
WHOLE_PERIOD_TOLERANCE = 0.01
# Series, and values of each, in which periods are looked for, at most and at least.
MOST_SERIES, MOST_VALUES, FEWEST_VALUES = 50, 5_000, 9
# A period must fit into the series about this many times.
FEWEST_PERIODS = 3
# A season explains this share of the variance at least. Of random walks with K cycles one in
# twenty has a period that explains 2 / K, of n values of noise 10 / n.
LEAST_SCORE, WALK_SCORE, NOISE_SCORE = 0.1, 2.0, 10.0
# The period is the first peak that is at least this share of the highest: its multiples are as
# high as itself.
NEAR_HIGHEST = 0.95
# A season within another must fit into it at least so many times, and explain this share of its
# profile. Two halves of random values are alike too often.
FEWEST_CYCLES_WITHIN, MOST_OF_PROFILE = 3, 0.5
# A season over another is a peak of the autocorrelation of at least this, and this far above its
# lowest value before.
LEAST_CORRELATION, LEAST_RISE = 0.2, 0.15
# That of n values of noise is below this, divided by the root of n, at all lags.
NOISE_CORRELATION = 4.0
TINY = 1e-12
# The mean level of a series without a season is taken over a quarter of it, at most a dozen values.
MOST_LEVEL_VALUES = 12


def seasonal_periods(sp: int | Sequence[int] | str | None, panel: Panel) -> tuple[int, ...]:
    """Choose the seasonal periods: those given, or with "auto" those of the frequency.

    "auto" keeps a period that is shorter than the longest series. Neither an index without dates
    nor one of years has a period of its own. For these the values tell, see `periods_of_values`.

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
        return periods_of_values(panel)
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


def periods_of_values(panel: Panel) -> tuple[int, ...]:
    r"""The seasonal periods that the values show: none, one, or one within another.

    A period p is scored by cross-validation. Each cycle is forecast by the mean of the others, all
    relative to the centred moving average over p values. With K cycles, the share of variance that
    is explained is

    .. math:: R_p = 1 - \left(\frac{K}{K - 1}\right)^2
              \frac{\sum_t (x_t - \bar x_{t \bmod p})^2}{\sum_t x_t^2}.

    The period is the shortest local maximum near the highest one. A season within it counts if it
    explains most of the period's mean profile, by the same score. A season over it counts if, from
    cycle to cycle of what the period leaves, the autocorrelation has a peak. Scores are means over
    some series.

    Notes
    -----
    Few cycles of a random walk resemble each other by chance, so that R must be above
    `WALK_SCORE` / K.
    """
    parts = _parts(panel)
    if not parts:
        return ()
    score = _mean_of_some([_scores(x) for x in parts])  # of periods 2, 3, ...
    period, n = np.arange(2, len(score) + 2), max(map(len, parts))
    least = np.maximum(LEAST_SCORE, np.maximum(WALK_SCORE * period / (n - period), NOISE_SCORE / n))
    around = np.pad(score, 1, constant_values=-np.inf)
    is_peak = (score > least) & (score >= around[:-2]) & (score >= around[2:])
    if not is_peak.any():
        return ()
    base = int(period[np.flatnonzero(is_peak & (score >= NEAR_HIGHEST * score[is_peak].max()))[0]])
    long = [x for x in parts if len(x) >= FEWEST_PERIODS * base]
    cycles = [_cycles(_detrended(x, base), base) for x in long]
    for p in period[is_peak]:
        if base % p == 0 and FEWEST_CYCLES_WITHIN * p <= base:
            # A profile goes on with its beginning.
            profiles = [np.pad(x.mean(0), p // 2, mode="wrap") for x in cycles]
            shapes = [_cycles(_detrended(x, p), p) for x in profiles]
            if np.mean([_explained(shape) for shape in shapes]) >= MOST_OF_PROFILE:
                return (int(p), base)
    n_cycles = _cycles_over(cycles)
    if n_cycles is None:
        return (base,)
    # Half of a season resembles the other half where its profile has two humps.
    return (2 * base,) if n_cycles == 2 else (base, n_cycles * base)


def _parts(panel: Panel) -> list[np.ndarray]:
    """The latest values of some series, of mean 0 and variance 1."""
    parts = []
    by_length = np.argsort(-panel.lengths, kind="stable")
    for s in by_length[evenly_spaced(panel.n_series, MOST_SERIES)]:
        stop = panel.offsets[s + 1]
        values = pd.Series(panel.values[max(panel.offsets[s], stop - MOST_VALUES) : stop, 0])
        x = values.interpolate(limit_direction="both").to_numpy()
        x = x / max(np.abs(x).max(), np.finfo(np.float64).tiny)  # squares of 1e200 are infinite
        if len(x) >= FEWEST_VALUES and np.ptp(x) > 0:
            x = (x - x.mean()) / np.ptp(x)
            parts.append(x / x.std())
    return parts


def _scores(x: np.ndarray) -> np.ndarray:
    """Share of variance that each period from 2 to a third of the values explains."""
    periods = range(2, len(x) // FEWEST_PERIODS + 1)
    return np.array([_explained(_cycles(_detrended(x, p), p)) for p in periods])


def _detrended(x: np.ndarray, period: int) -> np.ndarray:
    """Values relative to the centred moving average over a period, where it exists."""
    total = np.cumsum(np.pad(x, (1, 0)))
    mean = (total[period:] - total[:-period]) / period
    if period % 2 == 0:
        mean = (mean[1:] + mean[:-1]) / 2  # of one value more, whose ends count half
    first = period // 2
    return x[first : first + len(mean)] - mean


def _cycles(x: np.ndarray, period: int) -> np.ndarray:
    """The latest whole cycles, (K, p)."""
    n_cycles = len(x) // period
    return x[len(x) - n_cycles * period :].reshape(n_cycles, period)


def _explained(cycles: np.ndarray) -> float:
    """Share of the variance of cycles (K, p) that the mean of the others explains."""
    n_cycles, total = len(cycles), np.square(cycles).sum()
    if n_cycles < FEWEST_PERIODS - 1 or not total > 0:
        return -np.inf
    rest = np.square(cycles - cycles.mean(0)).sum()
    return 1 - (n_cycles / (n_cycles - 1)) ** 2 * rest / total


def _cycles_over(cycles: list[np.ndarray]) -> int | None:
    """Number of cycles of a longer season, from what the period leaves; None if there is none."""
    lagged = []
    for x in cycles:
        rest = x - x.mean(0)
        lagged.append(
            np.array(
                [
                    (rest[:-k] * rest[k:]).mean() / max(np.square(rest).mean(), TINY)
                    for k in range(1, len(rest) // FEWEST_PERIODS + 2)
                ]
            )
        )
    correlation = _mean_of_some(lagged)  # of 1, 2, ... cycles
    least = max(LEAST_CORRELATION, NOISE_CORRELATION / sum(x.size for x in cycles) ** 0.5)
    for k in range(2, len(correlation)):
        before, here, after = correlation[k - 2 : k + 1]
        rises = here - correlation[: k - 1].min() > LEAST_RISE
        if here > max(before, after, least) and rises:
            return k
    return None


def _mean_of_some(rows: list[np.ndarray]) -> np.ndarray:
    """Mean of each place over the rows that reach it."""
    table = np.full((len(rows), max(map(len, rows))), np.nan)
    for row, values in zip(table, rows, strict=True):
        row[: len(values)] = values
    return np.nanmean(table, axis=0)
