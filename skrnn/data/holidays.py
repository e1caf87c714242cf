"""Holidays: which days are one, by country or as the user says, and the days around them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

DAY = pd.Timedelta(days=1)


class Holidays:
    """Days off: those of a country, by the `holidays` package, or the user's own dates.

    Parameters
    ----------
    days : str or list of dates
        A country, "US", or a part of it, "DE-BY", as the `holidays` package codes them; or dates,
        each of them a holiday, past and future.

    Raises
    ------
    ImportError
        If a country is named and `holidays` is not installed.
    ValueError
        If `holidays` does not know the country, or an entry is no date.
    """

    def __init__(self, days: str | Iterable[Any]):
        self.days = days if isinstance(days, str) else tuple(days)
        if isinstance(self.days, str):
            _of_country(self.days, [2000])
        else:
            self._dates = _dates(self.days)

    def around(self, stamps: pd.DatetimeIndex) -> list[np.ndarray]:
        """1 where a stamp's day is a holiday, the day before one, the day after one."""
        day = (stamps if stamps.tz is None else stamps.tz_localize(None)).normalize()
        if isinstance(self.days, str):
            years = range(int(day.year.min()) - 1, int(day.year.max()) + 2)
            dates = _of_country(self.days, years)
        else:
            dates = self._dates
        return [(day + shift).isin(dates).astype(float) for shift in (0 * DAY, DAY, -DAY)]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Holidays) and self.days == other.days

    def __hash__(self) -> int:
        return hash(self.days)


def _of_country(code: str, years: Iterable[int]) -> pd.DatetimeIndex:
    try:
        import holidays
    except ImportError as error:
        msg = (
            f"holidays={code!r} needs the holidays package. Run `pip install skrnn[holidays]`, or "
            f"pass the dates themselves."
        )
        raise ImportError(msg) from error
    country, _, part = code.partition("-")
    try:
        found = holidays.country_holidays(country, subdiv=part or None, years=years)
    except NotImplementedError as error:
        msg = (
            f"The 'holidays' parameter must be a country, or a part of one, that the holidays "
            f"package knows, such as 'US' or 'DE-BY'. Got {code!r} instead. Pass the dates "
            f"themselves if it does not know yours."
        )
        raise ValueError(msg) from error
    return pd.DatetimeIndex(sorted(found))


def _dates(days: Iterable[Any]) -> pd.DatetimeIndex:
    try:
        dates = pd.DatetimeIndex([pd.Timestamp(day) for day in days]).normalize()
        if dates.hasnans:
            raise ValueError("an entry is missing")
        return dates
    except (TypeError, ValueError) as error:
        msg = (
            f"The 'holidays' parameter must be a country such as 'US' or a list of dates. "
            f"Got {days!r} instead; {error}."
        )
        raise ValueError(msg) from error
