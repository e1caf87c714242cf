"""Scales: centre, scale, level shift and bounds of each series, fitted or of its own context."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from skrnn.data.scaling import ROUNDING_NOISE, Scaler
from skrnn.export.graph import DOUBLE, INT, Tensor
from skrnn.forecasting.fitted import Fitted


class Scales:
    """What the unit of each series is.

    Parameters
    ----------
    series : Tensor of shape (S,)
        Number of each series in `fit`; -1 for another series, of which the observations given are
        scaled by their own statistics, as `fit` with ``num_epochs=0`` would.
    raw : Tensor of shape (S, R, C)
        Targets and past covariates, NaN where nothing was observed.
    fitted : Fitted

    Attributes
    ----------
    center, scale : Tensor of shape (S, 1, C)
    bounds : tuple of Tensor of shape (S, 1, C, 1) or (), or None
        Lower and upper bound of the targets' forecasts; None where no series has one.
    """

    def __init__(self, series: Tensor, raw: Tensor, fitted: Fitted):
        model, n_columns = fitted.model, len(fitted.model.columns)
        scaler: Scaler = model.scaler  # type: ignore[assignment]
        self._is_new = (series < 0).unsqueeze(1, 2)  # (S, 1, 1)
        # ONNX counts numbers below zero from the end; one that is too large is an error.
        self._number = series.where(series >= -1, np.iinfo(np.int64).max).maximum(0)
        center, scale = _statistics(raw, scaler)
        self.center = self.of_series(scaler.center_, new=center)
        self.scale = self.of_series(scaler.scale_, new=scale)
        self.bounds = self._bounds(fitted, raw.part(0, n_columns, 2))
        self._since = self._size = None
        if model.level_shift is not None:
            self._since = self.of_series(model.level_shift.since)
            self._size = self.of_series(model.level_shift.size, new=0.0)

    def of_series(self, table: np.ndarray, new: Tensor | float | None = None) -> Tensor:
        """What a table (n, C) of the fitted series has of each series, (S, 1, C).

        ``new``, if given, stands for series that were not fitted.
        """
        found = self._number.graph.constant(table).take(self._number, 0).unsqueeze(1)
        if new is None:
            return found
        new = new if isinstance(new, Tensor) else self._number.graph.constant(new, table.dtype)
        return new.where(self._is_new, found)

    def _bounds(self, fitted: Fitted, y: Tensor) -> tuple[Tensor | None, Tensor | None]:
        if fitted.forecast_range is None:
            return None, None
        if fitted.forecast_range == "auto":
            # Zero for what was never negative; a comparison with NaN is false.
            is_negative = (y < 0).any(1, keepdims=True)
            own = (is_negative.cast(DOUBLE) * 0).where(~is_negative, -np.inf)
            return self.of_series(fitted.bounds[0], new=own).unsqueeze(3), None
        low, high = (
            None if bound is None else y.graph.constant(bound, DOUBLE)
            for bound in fitted.forecast_range
        )
        return low, high

    def level_shift(self, positions: Tensor) -> Tensor | None:
        """How much higher the new level is, at positions (S, R), (S, R, C); None without shifts."""
        if self._size is None or self._since is None:
            return None
        return self._size.where(self._since > positions.unsqueeze(2), 0.0)


def _statistics(raw: Tensor, scaler: Scaler) -> tuple[Tensor, Tensor]:
    """Centre and scale of observations (S, R, C), NaN where there are none; see `Scaler`."""
    is_known = ~raw.is_nan()
    count = is_known.cast(DOUBLE).sum(1, keepdims=True)  # (S, 1, C)
    if scaler.kind is None:
        return count * 0, count * 0 + 1
    # In units of the largest value, so that squares neither over- nor underflow.
    largest = raw.graph.op("Abs", raw.where(is_known, 0.0)).max(1, keepdims=True)
    unit = largest.where(largest > 0, 1.0)
    values = raw / unit
    center, scale = STATISTICS[scaler.kind](values, is_known, count)
    is_constant = ~(scale > center.graph.op("Abs", center) * ROUNDING_NOISE)
    scale = (scale * unit).where(~is_constant, 1.0)
    return center * unit if scaler.is_centered else center * 0, scale


def _standard(values: Tensor, is_known: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    mean = values.where(is_known, 0.0).sum(1, keepdims=True) / count
    from_mean = (values - mean).where(is_known, 0.0)
    variance = (from_mean * from_mean).sum(1, keepdims=True) / count
    return mean, variance.graph.op("Sqrt", variance)


def _minmax(values: Tensor, is_known: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    least = values.where(is_known, np.inf).min(1, keepdims=True)
    return least, values.where(is_known, -np.inf).max(1, keepdims=True) - least


def _robust(values: Tensor, is_known: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    ascending, _ = values.graph.op(
        "TopK",
        values.where(is_known, np.inf),
        values.shape(1),
        n_outputs=2,
        axis=1,
        largest=0,
    )

    def quantile(level: float) -> Tensor:
        place = (count - 1) * level
        low = place.graph.op("Floor", place)
        first = low.cast(INT).maximum(0)
        below, above = (
            ascending.take_along(k, 1) for k in (first, (first + 1).minimum(count.cast(INT) - 1))
        )
        return below + (above - below) * (place - low)

    distance = quantile(0.75) - quantile(0.25)
    # Counts that are mostly zero have no quartile distance; their deviation is one.
    return quantile(0.5), distance.where(distance > 0, _standard(values, is_known, count)[1])


Statistics = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
STATISTICS: dict[str, Statistics] = {
    "standard": _standard,
    "minmax": _minmax,
    "robust": _robust,
}
