"""Features: which past values, calendar fields and covariates a step of the network reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from torch import nn

from skrnn.data.holidays import Holidays
from skrnn.data.timeline import Timeline
from skrnn.features.batch import Steps, Targets
from skrnn.features.calendar import YEAR_FIELD, encode_calendar, n_calendar_channels
from skrnn.naive import NaiveForecast, naive_forecasts, seasons_back

# Steps ahead of the direct forecast that recursive forecasts are averaged with: a week of hours.
MOST_DIRECT = 168


class Strategy(Protocol):
    """How several steps are forecast; the strategies are in `skrnn.forecasting.strategies`."""

    @property
    def horizons(self) -> tuple[int, ...]:
        """Steps ahead that the network forecasts from one of its steps, ascending."""

    def step_offsets(self, inputs: set[int], naive: set[int]) -> set[int]:
        """Rows before a step of the past values that it reads, given those that others need."""

    def target_offsets(self, inputs: set[int], naive: set[int]) -> set[int]:
        """Rows before a step of the past values that the naive forecasts read."""

    def n_outputs(self, n_columns: int, n_past: int) -> int:
        """Columns that are forecast, of target columns and past covariates."""

    def targets(self, data: Any, series: Any, t: Any, steps: Steps | None) -> Targets:
        """What is known of the targets of the steps t."""

    def direct(self, features: Features) -> Features | None:
        """Features of direct forecasts up to a season ahead; None if all forecasts are direct."""

    def head(self, hidden_size: int, n_known: int, shape: tuple[int, int, int]) -> nn.Module:
        """The layers that decode the recurrent output."""


@dataclass(frozen=True)
class Features:
    r"""The inputs of a step, and the naive forecasts of its targets; all from past values.

    With s the scaled series, the inputs of step t are relative to the last value: the last changes
    :math:`s_{t-1} - s_{t-1-i}` for i up to ``patch_length``, each lag,
    :math:`s_{t-l} - s_{t-1}`, and the calendar and X at t. So a level that training has not seen,
    at the end of a trend or after a shift, is nothing new to the network. A network without naive
    forecasts must find the level itself and gets :math:`s_{t-1}` in place of its change.

    A lag or a naive forecast that reaches before the first observation is masked, not filled.

    Parameters
    ----------
    sp : tuple of int
        Seasonal periods, in steps.
    lags : tuple of int
        Lags shown beside the last value.
    naive : tuple of NaiveForecast subclasses
        Which naive forecasts are mixed; empty for none.
    calendar : tuple of str
        Names in `CALENDAR`.
    n_columns : int
        Target columns.
    strategy : Strategy
        How several steps are forecast.
    n_past : int
        Past covariates.
    n_numbers : int
        Numeric columns of X that are known in advance.
    sizes : tuple of int
        Number of values of each categorical column of X.
    holidays : Holidays or None
    missing : bool
        Whether steps have flags for missing values.
    patch_length : int
        Time steps that one step of the recurrent layer takes in.
    level_period : int
        Values of which the level of a series without a season is the mean.
    cycle : int
        Steps of the longest cycle of the calendar.
    linear_lags : tuple of int
        Lags of the linear forecast, ascending; empty for no such forecast.
    linear_calendar : tuple of str
        Calendar fields that the linear forecast reads.
    of_counts : bool
        Whether the target columns are counts.
    """

    sp: tuple[int, ...]
    lags: tuple[int, ...]
    naive: tuple[type[NaiveForecast], ...]
    calendar: tuple[str, ...]
    n_columns: int
    strategy: Strategy
    n_past: int = 0
    n_numbers: int = 0
    sizes: tuple[int, ...] = ()
    holidays: Holidays | None = None
    missing: bool = False
    patch_length: int = 1
    level_period: int = 1
    cycle: int = 0
    linear_lags: tuple[int, ...] = ()
    linear_calendar: tuple[str, ...] = ()
    of_counts: bool = False

    @property
    def seasons(self) -> tuple[int, ...]:
        """Seasonal periods of more than one step."""
        return tuple(p for p in self.sp if p > 1)

    @property
    def horizons(self) -> tuple[int, ...]:
        """Steps ahead that are forecast from one step of the network."""
        return self.strategy.horizons

    @cached_property
    def naive_forecasts(self) -> list[NaiveForecast]:
        """The naive forecasts that are mixed, N of them."""
        return naive_forecasts(self.naive, self.seasons, self.level_period)

    # ------------------------------------------------------- which past values are read

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Rows before a step of the past values that it reads.

        They ascend, 1 and 2 the first; those that the linear forecast alone reads come last.
        """
        return self._with_linear_lags(self.strategy.step_offsets)

    @cached_property
    def naive_offsets(self) -> tuple[int, ...]:
        """Rows before a step of the past values that its naive and linear forecasts read."""
        return self._with_linear_lags(self.strategy.target_offsets)

    def _with_linear_lags(self, offsets_of: Callable[[set[int], set[int]], set[int]]) -> tuple:
        naive = self._naive_offsets()
        offsets = offsets_of(self._input_offsets, naive)
        every = offsets_of(self._input_offsets, naive | set(self.linear_lags))
        return (*sorted(offsets), *sorted(every - offsets))

    @property
    def _input_offsets(self) -> set[int]:
        return {*range(1, self.patch_length + 2), *self.lags}

    def _naive_offsets(self, kinds: Iterable[NaiveForecast] | None = None) -> set[int]:
        kinds = self.naive_forecasts if kinds is None else kinds
        return {1, *(offset for f in kinds for h in self.horizons for offset in f.offsets(h))}

    @cached_property
    def mean_periods(self) -> tuple[int, ...]:
        """Periods over which trailing means are needed, P of them."""
        return tuple(sorted({f.period for f in self.naive_forecasts if f.reads_means}))

    @property
    def mean_offsets(self) -> list[list[int]]:
        """Rows before a step at which each period's means end: for the step and each horizon."""
        return [
            [1, *(1 + p * seasons_back(h, p) for h in self.horizons)] for p in self.mean_periods
        ]

    @property
    def needed(self) -> int:
        """Past values that a step should have before it is a training target."""
        waited_for = [f for f in self.naive_forecasts if f.waits]
        return max(self._input_offsets | self._naive_offsets(waited_for) | set(self.linear_lags))

    @property
    def history(self) -> int:
        """Past values that a step reads at most, those of its means included."""
        means = (p * (1 + seasons_back(h, p)) for p in self.mean_periods for h in self.horizons)
        return max(*self.offsets, *self.naive_offsets, *means)

    def ahead(self, strategy_of: Any) -> Features:
        """The same naive and linear forecasts of every step up to a season ahead, all at once.

        Parameters
        ----------
        strategy_of : callable
            Makes the strategy that forecasts the given horizons at once.
        """
        horizons = tuple(range(1, min(self.longest_season, MOST_DIRECT) + 1))
        return replace(
            self,
            strategy=strategy_of(horizons),
            n_columns=self.n_values,
            n_past=0,
            lags=(),
            patch_length=1,
        )

    # ------------------------------------------------------------------ what is counted

    @property
    def n_values(self) -> int:
        """Columns of values: targets and past covariates."""
        return self.n_columns + self.n_past

    @property
    def n_outputs(self) -> int:
        """Columns that are forecast."""
        return self.strategy.n_outputs(self.n_columns, self.n_past)

    @property
    def n_mixed(self) -> int:
        """Forecasts that are mixed: the naive ones, and the linear one."""
        return len(self.naive_forecasts) + bool(self.linear_lags)

    @property
    def n_calendar(self) -> int:
        """Channels of the calendar without holidays."""
        return n_calendar_channels(self.calendar, None)

    @property
    def n_linear_calendar(self) -> int:
        """Channels of the calendar that the linear forecast reads."""
        return n_calendar_channels(self.linear_calendar, None)

    @property
    def n_linear_known(self) -> int:
        """Holidays and numeric columns of X."""
        return self.n_known - self.n_calendar

    @property
    def year_channels(self) -> slice:
        """Channels of the linear forecast's calendar that hold the first wave of the year."""
        if YEAR_FIELD not in self.linear_calendar:
            return slice(0, 0)
        before = self.linear_calendar[: self.linear_calendar.index(YEAR_FIELD)]
        first = n_calendar_channels(before, None)
        return slice(first, first + 2)

    @property
    def n_known(self) -> int:
        """Channels of calendar, holidays and numeric columns of X."""
        return n_calendar_channels(self.calendar, self.holidays) + self.n_numbers

    @property
    def n_inputs(self) -> int:
        """Channels of a step, without the embedded categories."""
        n_flags = 1 + len(self.lags) if self.missing else 0
        return self.n_values * (self.patch_length + len(self.lags) + n_flags) + self.n_known

    @property
    def longest_season(self) -> int:
        """Steps of the longest period of the naive forecasts; without any, of the seasons."""
        return max((f.period for f in self.naive_forecasts), default=max(self.seasons, default=1))

    @property
    def is_univariate_only(self) -> bool:
        """Whether a step reads nothing but its own series and the calendar."""
        return self.n_values == 1 and not (self.n_numbers or self.sizes or self.holidays)

    @cached_property
    def naive_covers_inputs(self) -> bool:
        """Whether the naive forecasts go back as far as everything that a step reads.

        They do not for a year of days with a weekly season: that a shop closes in winter, the
        calendar alone shows.
        """
        if not (self.is_univariate_only and self.naive_forecasts):
            return False
        reach = max(self._naive_offsets())
        return max(self._input_offsets) <= reach and self.cycle <= self.longest_season

    def encode_calendar(self, timeline: Timeline, positions: np.ndarray) -> np.ndarray:
        """Calendar and holidays at positions of the timeline, (n, Q), float32."""
        return encode_calendar(self.calendar, self.holidays, timeline, positions)
