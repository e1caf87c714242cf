"""Missing values: what the network reads as input where a value was not observed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def fill_missing(
    values: np.ndarray, observed: np.ndarray, offsets: np.ndarray, periods: Sequence[int]
) -> np.ndarray:
    r"""Fill missing values with seasonal naive forecasts from the observations before them.

    Let a be the last observation before the missing time t. The filled value is the mean of
    :math:`s_{t-p} + s_a - s_{a-p}` over the periods p for which :math:`a - p` is not before the
    first observation, and :math:`s_a` if there is no such period. Values on the right that are
    missing themselves are filled first. Nothing after t is used.

    Parameters
    ----------
    values : np.ndarray of shape (N, C)
        Rows of all series, one series after another.
    observed : np.ndarray of shape (N, C)
        Which values were observed; the others are filled.
    offsets : np.ndarray of shape (S + 1,)
        Series s holds the rows ``offsets[s]`` to ``offsets[s + 1]``.
    periods : sequence of int
        Seasonal periods, in steps.

    Returns
    -------
    np.ndarray of shape (N, C)
        A copy; NaN before the first observation of a column in a series.
    """
    values = np.where(observed, values, np.nan)
    row = np.arange(len(values))
    for column, known in zip(values.T, observed.T, strict=True):  # columns are views
        begin = np.minimum.reduceat(np.where(known, row, len(row)), offsets[:-1])
        first = np.repeat(begin, np.diff(offsets))
        missing = np.flatnonzero(~known & (row > first))
        last = np.maximum.accumulate(np.where(known, row, 0))[missing]
        _fill_column(column, missing, last, first[missing], periods)
    return values


def _fill_column(
    column: np.ndarray,
    missing: np.ndarray,
    last: np.ndarray,
    first: np.ndarray,
    periods: Sequence[int],
) -> None:
    """Fill the rows ``missing`` of a column in place.

    ``last`` is the last observed row before each, ``first`` the first observed row of its series.
    Each pass fills the rows whose own references are known: as many passes as the longest chain
    of missing values that refer to each other.
    """
    while len(missing):
        total, n = np.zeros(len(missing)), np.zeros(len(missing))
        for period in periods:
            # Where there is no observation a season before, the difference is zero and not counted.
            season = np.where(last - period >= first, last - period, last)
            forecast = column[missing - last + season] - column[season]
            has_season = season < last
            total, n = total + np.where(has_season, forecast, 0.0), n + has_season
        value = column[last] + total / np.maximum(n, 1)
        ready = ~np.isnan(value)
        column[missing[ready]] = value[ready]
        missing, last, first = missing[~ready], last[~ready], first[~ready]
