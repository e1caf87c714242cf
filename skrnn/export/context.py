"""Context: raw values with gaps in, and the scaled panel out, as far as forecasts read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skrnn.export.clock import Clock
from skrnn.export.graph import DOUBLE, FLOAT, INT, Graph, Tensor, concat
from skrnn.export.scales import Scales
from skrnn.features.features import Features
from skrnn.forecasting.fitted import Fitted


@dataclass(frozen=True)
class Inputs:
    """What the caller of an exported file gives; S series, R rows, H rows more up to a forecast.

    Parameters
    ----------
    y : Tensor of shape (S, R, C), float64
        Values in the unit of the data, NaN where there is none. All series end at the last row.
    past : Tensor of shape (S, R, P), float64, or None
        Past covariates.
    numbers : Tensor of shape (S, R + H, Q), float64, or None
        Numeric columns of X that are known in advance.
    codes : Tensor of shape (S, R + H, E), int64, or None
        Categorical columns of X, as numbers of their categories.
    time : Tensor of shape (S, R + H), int64
        Stamps, see `Clock`.
    series : Tensor of shape (S,), int64
        Number of each series among those of `fit`; -1 for another one, see `Scales`.
    """

    y: Tensor
    past: Tensor | None
    numbers: Tensor | None
    codes: Tensor | None
    time: Tensor
    series: Tensor

    @classmethod
    def of(cls, graph: Graph, features: Features) -> Inputs:
        """The inputs that a network with these features needs."""
        ahead = ("series", "rows_and_horizon")

        def rows_of(name: str, n: int, first: Sequence[str], dtype: type) -> Tensor | None:
            return graph.input(name, dtype, (*first, n)) if n else None

        y = graph.input("y", DOUBLE, ("series", "rows", features.n_columns))
        return cls(
            y=y,
            past=rows_of("past_covariates", features.n_past, ("series", "rows"), DOUBLE),
            numbers=rows_of("X_numbers", features.n_numbers, ahead, DOUBLE),
            codes=rows_of("X_categories", len(features.sizes), ahead, INT),
            time=graph.input("time", INT, ahead),
            series=graph.input("series", INT, ("series",)),
        )


class Context:
    """The scaled panel in the graph; what `DevicePanel` is on the device.

    Rows of a series are counted from its first observation, as in a panel.

    Parameters
    ----------
    inputs : Inputs
    fitted : Fitted
        Its model says how values are scaled and which means are needed.

    Attributes
    ----------
    n_rows : Tensor of shape (S, 1)
        Rows of each series.
    values : Tensor of shape (S, R, C)
        Scaled values of targets and past covariates, zero before a series begins.
    observed : Tensor of shape (S, R, C), or None
        1 where values were observed, 0 elsewhere; None if no step reads it.
    means : list of Tensor of shape (S, R, C)
        Trailing means over each period.
    known : Tensor of shape (S, R + H, Q), or None
        Calendar and numeric columns of X.
    """

    def __init__(self, inputs: Inputs, fitted: Fitted):
        model = fitted.model
        features, timeline = model.features, model.timeline
        self.features, self.graph = features, inputs.y.graph
        raw = concat([x for x in (inputs.y, inputs.past) if x is not None], -1)
        self.length, self.end = raw.shape(1), inputs.time.shape(1)  # R and R + H
        row = self.graph.op("Range", np.int64(0), self.length.squeeze(0), np.int64(1))
        is_known = ~raw.is_nan()
        has_y = is_known.take(range(features.n_columns), 2).any(2)
        begin = row.expand(1, 1).where(has_y, self.length).min(1, keepdims=True)  # (S, 1)
        self.lead, self.n_rows = begin, self.length - begin
        is_row = row.unsqueeze(0) >= begin  # (S, R)
        is_known = is_known & is_row.unsqueeze(2)
        filled = _filled(raw, is_known, row, self.length, features.seasons)

        clock = Clock(inputs.time, timeline)
        self.position = clock.positions()
        self.scales = Scales(inputs.series, raw.where(is_known, np.nan), fitted)
        moved = self.scales.level_shift(self.position.part(0, self.length, 1))
        if moved is not None:
            filled = filled + (_padded(moved, 2, 0, features.n_past) if features.n_past else moved)
        scaled = ((filled - self.scales.center) / self.scales.scale).cast(FLOAT)
        # Before its first observation a column is at its mean.
        self.values = scaled.where(is_row.unsqueeze(2) & ~scaled.is_nan(), 0.0)
        self.observed = is_known.cast(FLOAT) if features.missing else None
        count = (row.unsqueeze(0) - begin + 1).maximum(1)  # (S, R)
        self.means = [_trailing_mean(self.values, count, p) for p in features.mean_periods]

        parts = [clock.encoded(features.calendar, features.holidays)]
        if inputs.numbers is not None:
            numbers = (inputs.numbers - model.known_scaler.center_) / model.known_scaler.scale_
            parts.append(numbers.cast(FLOAT))
        parts = [part for part in parts if part is not None]
        self.known = concat(parts, -1) if parts else None  # type: ignore[arg-type]
        self.codes = inputs.codes
        if features.linear_lags:
            self.linear_calendar = clock.encoded(features.linear_calendar, None)
            self.ordinal = clock.ordinals()

    def rows(self, t: Tensor, n_axes: int = 2) -> Tensor:
        """Where rows t of the series, (S, ...), lie in the arrays; before the first, the first."""
        return t.maximum(0) + self.lead.reshape(-1, *[1] * (n_axes - 1))


def _filled(
    raw: Tensor, is_known: Tensor, row: Tensor, length: Tensor, periods: Sequence[int]
) -> Tensor:
    """Missing values filled as `skrnn.data.missing.fill_missing` does, (S, R, C)."""
    graph = raw.graph
    nan = np.float64(np.nan)
    row = (raw.is_nan().cast(INT) * 0) + row.unsqueeze(1)  # (S, R, C)
    first = row.where(is_known, length).min(1, keepdims=True)  # (S, 1, C)
    missing = ~is_known & (row > first)
    # The last observation up to each row: its number among the observations leads to its row.
    number = (graph.op("CumSum", is_known.cast(INT), np.int64(1)) - 1).maximum(0)
    of_number = graph.op(
        "ScatterElements", row * 0, number, row.where(is_known, 0), axis=1, reduction="max"
    )
    last = of_number.take_along(number, 1)

    def is_left(values: Tensor) -> Tensor:
        return missing & values.is_nan()

    def filled_once(step: Tensor, values: Tensor) -> tuple:
        value = values.take_along(last, 1)
        total = n = graph.constant(0.0)
        for period in periods:
            before = last - period
            has_season = before >= first
            season = values.take_along(before.where(has_season, last), 1)
            change = values.take_along((row - period).maximum(0), 1) - season
            total, n = total + change.where(has_season, 0.0), n + has_season.cast(DOUBLE)
        value = value + total / n.maximum(1)
        values = value.where(is_left(values), values)
        return [values], is_left(values).any(), []

    start = raw.where(is_known, nan)
    (values,), _ = graph.loop([start], filled_once, goes_on=is_left(start).any())
    return values


def _trailing_mean(values: Tensor, n_rows: Tensor, period: int) -> Tensor:
    """Mean of the last values up to each row, see `skrnn.features.means.trailing_means`."""
    window = values.cast(DOUBLE)
    total, done, size = None, 0, 1
    while True:
        if period & size:
            part = _rows_before(window, done)
            total = part if total is None else total + part
            done += size
        if 2 * size > period:
            break
        window = window + _rows_before(window, size)
        size *= 2
    count = n_rows.minimum(period).cast(DOUBLE).unsqueeze(2)
    return (total / count).cast(FLOAT)  # type: ignore[operator]


def _rows_before(values: Tensor, k: int) -> Tensor:
    """The values k rows before each row, zero before the first."""
    if k == 0:
        return values
    return _padded(values, 1, k, 0).part(0, values.shape(1), 1)


def _padded(values: Tensor, axis: int, before: int, after: int) -> Tensor:
    """Zeros before and after along an axis of three."""
    pads = np.zeros((2, 3), dtype=np.int64)
    pads[:, axis] = before, after
    return values.graph.op("Pad", values, pads.ravel(), np.zeros((), values.dtype))
