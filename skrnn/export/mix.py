"""Mix: the naive and linear forecasts of one target, and the direct forecast of several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from skrnn.export.graph import BOOL, FLOAT, Tensor, concat
from skrnn.features.direct_forecast import DirectForecast
from skrnn.features.linear_forecast import LinearForecast
from skrnn.features.naive_forecasts import NaiveForecasts
from skrnn.naive import (
    Averaged,
    Drift,
    Last,
    Leveled,
    Mean,
    NaiveForecast,
    Seasonal,
    Shifted,
)

# Of a table by the hour of the week, or of the day and the season, one row enters a forecast.
TABLE_BITS = 20


@dataclass(frozen=True)
class Target:
    """What is known of the J targets from one step of S series; see `skrnn.features.batch.Targets`.

    Parameters
    ----------
    past : Tensor of shape (S, K, C)
        Scaled values at each of K offsets before the step.
    means : list of Tensor of shape (S, 1 + J, C)
        Of each period the trailing means at the step and k seasons before it.
    n_past : Tensor of shape (S, 1)
        Rows before the step.
    known : Tensor of shape (S, J, Q), or None
        Calendar and numeric columns of X at each target.
    codes : Tensor of shape (S, J, E), or None
        Categories of X at each target.
    ordinal, calendar : Tensor of shape (S,) and (S, Q), or None
        Number of the step on its calendar, and calendar fields of the linear forecast.
    linear_known, known_before : Tensor of shape (S, J, P) and (S, P), or None
        Holidays and numeric columns of X at each target and at the row before the step.
    """

    past: Tensor
    means: list[Tensor]
    n_past: Tensor
    known: Tensor | None = None
    codes: Tensor | None = None
    ordinal: Tensor | None = None
    calendar: Tensor | None = None
    linear_known: Tensor | None = None
    known_before: Tensor | None = None


@dataclass(frozen=True)
class _Known:
    """What one naive forecast reads; see `skrnn.naive.KnownValues`."""

    last: Tensor  # (S, 1, C)
    past: Tensor  # (S, K, C)
    position: np.ndarray  # (J, R)
    offsets: np.ndarray  # (J, R)
    n_past: Tensor  # (S, 1)
    means: Tensor | None  # (S, 1 + J, C)
    periods_ahead: np.ndarray  # (J, 1)

    def value(self, k: int) -> Tensor:
        return self.past.take(self.position[:, k], 1)

    @property
    def mean(self) -> Tensor:
        return self.means.part(0, 1, 1)  # type: ignore[union-attr]

    @property
    def mean_before(self) -> Tensor:
        return self.means.part(1, 1 + len(self.position), 1)  # type: ignore[union-attr]

    def average(self) -> Tensor:
        """Mean of the values that exist, of which the first is taken to do."""
        exist = self.n_past.unsqueeze(2) >= self.offsets  # (S, J, R)
        is_first = np.arange(self.offsets.shape[1]) == 0
        weight = (exist | exist.graph.constant(is_first, BOOL)).cast(FLOAT).unsqueeze(3)
        return (self.past.take(self.position, 1) * weight).sum(2) / weight.sum(2)


FORECASTS: dict[type[NaiveForecast], Callable[[_Known], Tensor]] = {
    Last: lambda known: known.last,
    Mean: lambda known: known.mean,
    Drift: lambda known: known.last + (known.mean - known.mean_before) * known.periods_ahead,
    Seasonal: lambda known: known.value(0),
    Shifted: lambda known: known.value(0) + known.last - known.value(1),
    Leveled: lambda known: known.value(0) + known.mean - known.mean_before,
    Averaged: lambda known: known.average(),
}


def mixed_forecasts(module: NaiveForecasts, target: Target) -> tuple[Tensor, Tensor]:
    """Naive and linear forecasts, (S, J, C, N), and whether they exist, (S, J, 1, N)."""
    features = module.features
    n_horizons, n_outputs = len(features.horizons), features.n_outputs
    past = target.past.part(0, n_outputs, 2)
    forecasts = []
    for i, f in enumerate(features.naive_forecasts):
        means = None
        if f.reads_means:
            means = target.means[features.mean_periods.index(f.period)].part(0, n_outputs, 2)
        known = _Known(
            last=past.part(0, 1, 1),
            past=past,
            position=numbers(getattr(module, f"position_{i}")),
            # No context is as long as the offset that stands for none.
            offsets=np.minimum(numbers(getattr(module, f"offsets_{i}")), np.iinfo(np.int32).max),
            n_past=target.n_past,
            means=means,
            periods_ahead=numbers(getattr(module, f"periods_ahead_{i}")),
        )
        forecasts.append(FORECASTS[type(f)](known).expand(1, n_horizons, 1))
    if module.linear is not None:
        forecasts.append(linear_forecast(module.linear, target))
    exists = target.n_past.unsqueeze(2) >= numbers(module.depth)  # (S, J, N)
    return concat([x.unsqueeze(3) for x in forecasts], 3), exists.unsqueeze(2)


def linear_forecast(module: LinearForecast, target: Target) -> Tensor:
    """The linear forecast of each target, (S, J, C); see `LinearForecast.forward`."""
    shape = (0, len(module.features.horizons), module.features.n_outputs)
    coefficients = numbers(module.coefficients)
    ends = np.cumsum([*module.sizes, 0])[:-1]
    of_values, of_others, *tables = np.split(coefficients[: module.n_plain], ends)[
        : len(module.sizes)
    ]
    past = target.past.part(0, module.features.n_outputs, 2)
    last = past.part(0, 1, 1)
    lags = numbers(module.lag_position)
    values = concat([last, past.take(lags, 1) - last], 1) if len(lags) else last  # (S, K, C)
    graph = last.graph
    result = last + graph.op("Einsum", values, of_values, equation="skc,kjc->sjc")

    others = [x for x in (target.calendar, target.known_before) if x is not None]
    if module.reads_columns:
        every = target.past.part(0, 1, 1)
        changes = target.past.take(numbers(module.cross_position), 1) - every
        others.append(concat([every, changes], 1).reshape(0, -1))
    result = result + of_others[0]  # the regressor that is one
    if others:
        flat = of_others[1:].reshape(len(of_others) - 1, -1)
        result = result + graph.op("MatMul", concat(others, 1), flat).reshape(*shape)
    for (period, n), table in zip(module.phases, tables, strict=True):
        phase = target.ordinal % period // (period // n)  # type: ignore[operator]
        result = result + graph.constant(table, bits=TABLE_BITS).take(phase, 0)
    if module.n_crossed and module.n_crossed_phases:
        period, n = module.phases[0][0], module.n_crossed_phases
        phase = target.ordinal % period // (period // n)  # type: ignore[operator]
        table = coefficients[module.n_plain :].reshape(n, module.n_crossed, *coefficients.shape[1:])
        crossed = values.take(numbers(module.crossed_position), 1)
        if module.waves.stop > module.waves.start:
            waves = target.calendar.part(module.waves.start, module.waves.stop, 1)  # type: ignore
            waves = waves.unsqueeze(2).expand(1, 1, module.features.n_outputs)
            crossed = concat([waves, crossed], 1)
        looked_up = graph.constant(table, bits=TABLE_BITS).take(phase, 0)
        crossed = graph.op("Einsum", looked_up, crossed, equation="sxjc,sxc->sjc")
        result = result + crossed
    if target.linear_known is not None:
        known = numbers(module.known_coefficients)
        result = result + graph.op("Einsum", target.linear_known, known, equation="sjp,pjc->sjc")
    return result


def direct_forecast(module: DirectForecast, target: Target) -> Tensor:
    """Forecasts of the steps up to a season ahead, (S, J, C); see `DirectForecast.forward`."""
    forecasts, exists = mixed_forecasts(module.naive_forecasts, target)
    weights = exists.cast(FLOAT) * numbers(module.weights)  # (S, J, C, N)
    total = weights.sum(3)
    mixed = (weights * forecasts).sum(3) / total.maximum(np.finfo(np.float32).tiny)
    return mixed.where(total > 0, forecasts.take(0, 3))


def numbers(tensor: torch.Tensor) -> np.ndarray:
    """A tensor of torch as an array."""
    return tensor.detach().cpu().numpy()
