r"""Naive forecasts: made from past values alone, mixed and corrected by the network.

With s the scaled series, the forecast for h steps ahead of step t is one for the target
:math:`s_{t-1+h}`; :math:`s_{t-1}` is the last known value. A seasonal forecast of period p goes
:math:`k = \lceil h / p \rceil` seasons back, to the last known value of the same place in the
season.

A new naive forecast is a subclass of `NaiveForecast`; its class is an entry of the ``naive``
parameter of a forecaster, or of `NAIVE_FORECASTS` here, which gives it a name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

__all__ = ["NAIVE_FORECASTS", "KnownValues", "NaiveForecast", "seasons_back"]

# Seasons of which "averaged" takes the mean. Three remove two thirds of what the noise of one adds
# to the variance of a forecast. Far ahead the latest seasons say less, so that twice as many
# seasons are averaged as the target is ahead, up to 14 (decision 10).
FEWEST_SEASONS, MOST_SEASONS = 3, 14
# An offset that no series reaches; it fills up lists of offsets of unequal length.
NO_OFFSET = 2**40


def seasons_back(h: int, period: int) -> int:
    """Return the seasons from a target ``h`` steps ahead back to what is known, ceil(h / p).

    Parameters
    ----------
    h : int
        Steps from the last known value to the target.
    period : int
        Seasonal period p in steps.

    Returns
    -------
    int
        Seasons, at least 1 for h of at least 1.

    Examples
    --------
    >>> from skrnn.naive import seasons_back
    >>> seasons_back(24, 24), seasons_back(25, 24)  # tomorrow's hour was known today, and later not
    (1, 2)
    """
    return -(-h // period)


class KnownValues:
    """What a naive forecast reads at each step, for all J horizons.

    Parameters
    ----------
    last : Tensor of shape (B, L, 1, C)
        The last known value.
    past : Tensor of shape (B, L, K, C)
        Values at K offsets before the step.
    position : Tensor of shape (J, R)
        Where in ``past`` the R values lie that the forecast reads.
    offsets : Tensor of shape (J, R)
        The offsets of these values, in rows before the step.
    n_past : Tensor of shape (B, L)
        Rows of the series before the step.
    means : Tensor of shape (B, L, 1 + J, C), or None
        Means over the period, at the step and k seasons before it for each horizon.
    periods_ahead : Tensor of shape (J, 1)
        Each horizon in units of the k periods that reach back from it, h / (k p).

    Examples
    --------
    One step of one series, whose last two values were 5 and 3, and a forecast that reads both:

    >>> import torch
    >>> from skrnn.naive import KnownValues
    >>> past = torch.tensor([5.0, 3.0]).reshape(1, 1, 2, 1)
    >>> both = torch.tensor([[0, 1]])
    >>> known = KnownValues(past[:, :, :1], past, both, both + 1, torch.ones(1, 1), None, both)
    >>> known.value(1).item(), known.exist().tolist()  # the series has begun with the 5
    (3.0, [[[[True, False]]]])
    """

    def __init__(
        self,
        last: Tensor,
        past: Tensor,
        position: Tensor,
        offsets: Tensor,
        n_past: Tensor,
        means: Tensor | None,
        periods_ahead: Tensor,
    ):
        self.last, self.periods_ahead = last, periods_ahead
        self._past, self._position, self._offsets = past, position, offsets
        self._n_past, self._means = n_past, means

    def value(self, k: int) -> Tensor:
        """The k-th value that `NaiveForecast.offsets` lists, of each horizon.

        Parameters
        ----------
        k : int
            Number of the value in the list, from 0.

        Returns
        -------
        Tensor of shape (B, L, J, C)
            The values, on the scale of s.
        """
        return self._past[:, :, self._position[:, k]]

    def values(self) -> Tensor:
        """All values that `NaiveForecast.offsets` lists.

        Returns
        -------
        Tensor of shape (B, L, J, R, C)
            The values, on the scale of s.
        """
        return self._past[:, :, self._position]

    def exist(self) -> Tensor:
        """Whether the series had begun at each of these values.

        Returns
        -------
        Tensor of bool of shape (B, L, J, R)
            False where `values` holds a stand-in.
        """
        return self._n_past[..., None, None] >= self._offsets

    @property
    def mean(self) -> Tensor:
        """Mean of the last ``period`` values, (B, L, 1, C)."""
        return self._means[:, :, :1]  # type: ignore[index]

    @property
    def mean_before(self) -> Tensor:
        """The same k seasons before, for each horizon, (B, L, J, C)."""
        return self._means[:, :, 1:]  # type: ignore[index]


class NaiveForecast:
    """A forecast of the next values from the past values of the same series.

    A subclass says which values it reads, how many must exist, and what it computes. Its ``name``
    is by default that of the class.

    Parameters
    ----------
    period : int
        Seasonal period p in time steps; 1 for a forecast without a season.

    Examples
    --------
    The mean of the last two values of the same place in the season:

    >>> from skrnn import GRUForecaster
    >>> from skrnn.datasets import make_hourly_load
    >>> from skrnn.naive import NaiveForecast, seasons_back
    >>> class Middle(NaiveForecast):
    ...     name = "middle"
    ...     def offsets(self, h):
    ...         back = seasons_back(h, self.period) * self.period - h + 1
    ...         return [back, back + self.period]
    ...     def forecast(self, known):
    ...         return (known.value(0) + known.value(1)) / 2
    >>> y = make_hourly_load(n_series=1, n_hours=500, random_state=0)
    >>> forecaster = GRUForecaster(
    ...     naive=["last", Middle], linear_lags=None, num_epochs=1, random_state=0
    ... )
    >>> forecaster.fit(y).naive_.index.tolist()
    [('last', 1), ('middle', 24), ('middle', 168)]
    """

    name: ClassVar[str]
    # Whether there is one forecast for each seasonal period, or one for the longest.
    each_period: ClassVar[bool] = True
    # Whether `forecast` reads `KnownValues.mean`.
    reads_means: ClassVar[bool] = False
    # Whether a step of training waits until the values of `offsets` exist.
    waits: ClassVar[bool] = True

    def __init__(self, period: int):
        self.period = period

    def __init_subclass__(cls) -> None:
        if not hasattr(cls, "name"):
            cls.name = cls.__name__

    @classmethod
    def of(cls, seasons: Sequence[int], level_period: int) -> list[NaiveForecast]:
        """The forecasts of this kind for a series.

        Parameters
        ----------
        seasons : sequence of int
            Seasonal periods of more than one step.
        level_period : int
            Period over which the level of a series without a season is averaged.

        Returns
        -------
        list of NaiveForecast
            One for each period, or for the longest alone.
        """
        periods = list(seasons) if cls.each_period else [max(seasons, default=level_period)]
        return [cls(period) for period in periods]

    def offsets(self, h: int) -> list[int]:
        """Rows before the step of the values read; 1 is the last known value.

        Parameters
        ----------
        h : int
            Steps from the last known value to the target.

        Returns
        -------
        list of int
            As many for every horizon, or fewer.
        """
        return []

    def depth(self, h: int) -> int:
        """Rows of the series that must exist before the step.

        Parameters
        ----------
        h : int
            Steps from the last known value to the target.

        Returns
        -------
        int
            At least 1.
        """
        return max(self.offsets(h), default=1)

    def forecast(self, known: KnownValues) -> Tensor:
        """Compute the forecasts.

        Parameters
        ----------
        known : KnownValues
            What may be read.

        Returns
        -------
        Tensor of shape (B, L, J, C), or (B, L, 1, C) if alike for all horizons
            The forecasts, on the scale of s.
        """
        raise NotImplementedError("abstract method")

    def back(self, h: int) -> int:
        """Rows of the k seasons that reach back from the target, k p.

        Parameters
        ----------
        h : int
            Steps from the last known value to the target.

        Returns
        -------
        int
            The least multiple of the period that is not below ``h``.
        """
        return seasons_back(h, self.period) * self.period

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.period == other.period  # type: ignore

    def __hash__(self) -> int:
        return hash((type(self), self.period))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.period})"


class Last(NaiveForecast):
    """The last value, s[t-1]."""

    name = "last"

    @classmethod
    def of(cls, seasons: Sequence[int], level_period: int) -> list[NaiveForecast]:
        """One forecast, without a season."""
        return [cls(1)]

    def depth(self, h: int) -> int:
        """A step has a value before it."""
        return 1

    def forecast(self, known: KnownValues) -> Tensor:
        """Repeat the last value."""
        return known.last


class Mean(NaiveForecast):
    """The mean over the longest period."""

    name, each_period, reads_means = "mean", False, True

    def depth(self, h: int) -> int:
        """A series shorter than the period has the mean of what there is."""
        return 1

    def forecast(self, known: KnownValues) -> Tensor:
        """Repeat the mean."""
        return known.mean


class Drift(NaiveForecast):
    r"""The last value and the trend of the mean, :math:`s_{t-1} + h (a - b) / (k m)`.

    a is the mean of the last m values, m the longest period, b that of the m values k m rows
    before.
    """

    name, each_period, reads_means = "drift", False, True

    def depth(self, h: int) -> int:
        """Both means must be whole."""
        return self.back(h) + self.period

    def forecast(self, known: KnownValues) -> Tensor:
        """Continue the trend from the last value."""
        return known.last + (known.mean - known.mean_before) * known.periods_ahead


class Seasonal(NaiveForecast):
    """The last known value of the same place in the season, s[t-1+h-kp]."""

    name = "seasonal"

    def offsets(self, h: int) -> list[int]:
        """The value k seasons before the target."""
        return [self.back(h) - h + 1]

    def forecast(self, known: KnownValues) -> Tensor:
        """Repeat the season."""
        return known.value(0)


class Shifted(NaiveForecast):
    """The seasonal forecast shifted to the present level, s[t-1+h-kp] + s[t-1] - s[t-1-kp]."""

    name = "shifted"

    def offsets(self, h: int) -> list[int]:
        """The value k seasons before the target, and that k seasons before the last value."""
        back = self.back(h)
        return [back - h + 1, back + 1]

    def forecast(self, known: KnownValues) -> Tensor:
        """Add the change since k seasons before."""
        return known.value(0) + known.last - known.value(1)


class Leveled(NaiveForecast):
    """The seasonal forecast shifted by the change of the mean over a season."""

    name, reads_means = "leveled", True

    def offsets(self, h: int) -> list[int]:
        """The value k seasons before the target, and the end of the mean k seasons before."""
        back = self.back(h)
        return [back - h + 1, back + 1]

    def depth(self, h: int) -> int:
        """The mean k seasons before must be whole."""
        return self.back(h) + self.period

    def forecast(self, known: KnownValues) -> Tensor:
        """Add the change of the mean."""
        return known.value(0) + known.mean - known.mean_before


class Averaged(NaiveForecast):
    """The mean of the values of the same place in several seasons, as far as they exist."""

    name, waits = "averaged", False

    def offsets(self, h: int) -> list[int]:
        """The values 1, 2, ... seasons before the target, from the last known one on."""
        k = seasons_back(h, self.period)
        n = min(max(FEWEST_SEASONS, 2 * k), MOST_SEASONS)
        return [(k + i) * self.period - h + 1 for i in range(n)]

    def depth(self, h: int) -> int:
        """The latest of these seasons must exist."""
        return self.back(h) - h + 1

    def forecast(self, known: KnownValues) -> Tensor:
        """Average over the seasons that exist."""
        exist = known.exist()
        exist[..., 0] = True  # where no season exists, the forecast is masked
        weight = exist[..., None].to(known.last.dtype)  # (B, L, J, R, 1)
        return (known.values() * weight).sum(3) / weight.sum(3)


# In the order in which the network mixes them.
NAIVE_FORECASTS: dict[str, type[NaiveForecast]] = {
    kind.name: kind for kind in (Last, Mean, Drift, Seasonal, Shifted, Leveled, Averaged)
}
# What naive="auto" takes for a series with a season, and for one without (decision 10).
AUTO_SEASONAL = tuple(name for name in NAIVE_FORECASTS if name != "drift")
AUTO_LEVEL = ("last", "mean", "drift")


def naive_kinds(entries: Sequence[str | type[NaiveForecast]]) -> tuple[type[NaiveForecast], ...]:
    """Return the classes of the entries of the ``naive`` parameter, in the order of mixing."""
    kinds = [NAIVE_FORECASTS[entry] if isinstance(entry, str) else entry for entry in entries]
    order = list(NAIVE_FORECASTS.values())
    known = [kind for kind in order if kind in kinds]
    return (*known, *dict.fromkeys(kind for kind in kinds if kind not in order))


def naive_forecasts(
    kinds: Sequence[type[NaiveForecast]], seasons: Sequence[int], level_period: int
) -> list[NaiveForecast]:
    """Return the naive forecasts of these kinds for a series with these seasons.

    Seasonal forecasts of a series without a season are its last value.
    """
    forecasts = [f for kind in kinds for f in kind.of(seasons, level_period)]
    return forecasts or ([Last(1)] if kinds else [])


def offset_table(rows: Sequence[Sequence[int]]) -> Tensor:
    """Return lists of offsets, one a horizon, as a table (J, R); shorter ones are filled up."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[NO_OFFSET] * (width - len(row))] for row in rows]).long()
