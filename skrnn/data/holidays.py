"""Holidays: which days are holidays, by country or from a list, and the days beside them."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Number
from typing import Any

import numpy as np
import pandas as pd

DAY = pd.Timedelta(days=1)


class Holidays:
    """The holidays of a country, from the `holidays` package, or a list of dates.

    Parameters
    ----------
    days : str or list of dates
        A country, "US", or a part of one, "DE-BY", as the `holidays` package codes them; or the
        dates of all holidays, past and future. A number is not a date.

    Raises
    ------
    ImportError
        If a country is named and `holidays` is not installed.
    ValueError
        If `holidays` does not know the country, or an entry is not a date.
    """

    def __init__(self, days: str | Iterable[Any]):
        if not isinstance(days, (str, Iterable)):
            raise _refusal(days, f"{type(days).__name__} is neither")
        self.days = days if isinstance(days, str) else tuple(days)
        if isinstance(self.days, str):
            _of_country(self.days, [2000])
        else:
            self._dates = _dates(self.days)

    @property
    def dates(self) -> pd.DatetimeIndex:
        """The days of a list of dates; those of a country are without end."""
        return self._dates

    def around(self, stamps: pd.DatetimeIndex) -> list[np.ndarray]:
        """Three arrays, 1 where a stamp's day is a holiday, is before one, and is after one."""
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

    def __repr__(self) -> str:
        return f"Holidays({self.days!r})"


def _of_country(code: str, years: Iterable[int]) -> pd.DatetimeIndex:
    try:
        import holidays
    except ImportError as error:
        msg = (
            f"holidays={code!r} needs the holidays package. Run "
            '`pip install "skrnn[holidays]"`, or pass the dates themselves.'
        )
        raise ImportError(msg) from error
    country, _, part = code.partition("-")
    try:
        dates = holidays.country_holidays(country, subdiv=part or None, years=years)
    except NotImplementedError as error:
        msg = (
            f"The 'holidays' parameter must be a country, or a part of one, that the holidays "
            f"package knows, such as 'US' or 'DE-BY'. Got {code!r} instead. Pass the dates "
            f"themselves if it does not know yours."
        )
        raise ValueError(msg) from error
    return pd.DatetimeIndex(sorted(dates))


def _dates(days: Iterable[Any]) -> pd.DatetimeIndex:
    try:
        return pd.DatetimeIndex([_date(day) for day in days]).normalize()
    except (TypeError, ValueError) as error:
        raise _refusal(days, str(error)) from error


def _date(day: Any) -> pd.Timestamp:
    """A day as a time stamp without time zone: the local day, where it had one."""
    if isinstance(day, Number):  # pandas would read nanoseconds since 1970
        raise TypeError(f"{day!r} is a number")
    stamp = pd.Timestamp(str(day) if isinstance(day, str) else day)  # pandas refuses np.str_
    if stamp is pd.NaT:
        raise ValueError("an entry is missing")
    return stamp.tz_localize(None)


def _refusal(days: Any, reason: str) -> ValueError:
    return ValueError(
        f"The 'holidays' parameter must be a country such as 'US' or a list of dates such as "
        f"'2024-01-07'. Got {days!r} instead; {reason}."
    )
