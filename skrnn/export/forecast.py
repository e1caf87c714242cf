"""Forecast: from the context to forecasts in the unit of the data, for both strategies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from skrnn.distributions.location_scale import LocationScale
from skrnn.export.context import Context, Inputs
from skrnn.export.decoder import decoded, point_of, step_inputs
from skrnn.export.graph import DOUBLE, FLOAT, Graph, Tensor, concat
from skrnn.export.mix import Target, direct_forecast, numbers
from skrnn.export.quantiles import Calibration, quantiles_of
from skrnn.export.recurrence import Recurrence, States
from skrnn.features.direct_forecast import DirectForecast
from skrnn.features.features import Features
from skrnn.forecasting.fitted import Fitted
from skrnn.forecasting.model import Model


def forecast_graph(fitted: Fitted, levels: Sequence[float] = ()) -> Graph:
    """The graph whose output ``forecast``, (S, J, C), is what `predict` forecasts.

    With levels it has the output ``quantiles``, (S, J, C, A), as well.
    """
    graph, model = Graph(), fitted.single
    context = Context(Inputs.of(graph, model.features), fitted)
    n_columns, n_horizons = len(model.columns), len(model.features.horizons)
    if model.strategy.name == "recursive":
        path = _one_after_another(context, fitted)
        graph.output("forecast", path, ("series", "horizon", n_columns))
        return graph
    parameters = _at_once(context, fitted)
    point = point_of(model.network.distribution, _limited(parameters, context))
    graph.output("forecast", point, ("series", n_horizons, n_columns))
    if levels:
        quantiles = _quantiles(parameters, context, fitted, levels)
        graph.output("quantiles", quantiles, ("series", n_horizons, n_columns, len(levels)))
    return graph


def _at_once(context: Context, fitted: Fitted) -> Tensor:
    """Parameters of the forecasts of all horizons from the state at the cutoff, (S, J, C, K)."""
    network, features = fitted.single.network, fitted.single.features
    hidden, _ = _state_at_cutoff(context, fitted.single)
    row = context.length + (np.array(features.horizons) - 1)
    parameters = decoded(network, hidden, _targets(context, features, row))
    return _unscaled(parameters, row, context, fitted.single)


def _one_after_another(context: Context, fitted: Fitted) -> Tensor:
    """Forecasts of a path, averaged with the direct forecast, (S, H, C)."""
    model = fitted.single
    path = _path(context, model)
    if model.network.direct is not None:
        path = _averaged(path, context, model.network.direct)
    path = path.part(0, len(model.columns), 2).unsqueeze(3)
    row = context.graph.op("Range", context.length.squeeze(0), context.end.squeeze(0), np.int64(1))
    return _limited(_unscaled(path, row, context, model), context).squeeze(3)


def _quantiles(
    parameters: Tensor, context: Context, fitted: Fitted, levels: Sequence[float]
) -> Tensor:
    """Quantiles of the forecasts with these parameters, as `predict_quantiles` has them."""
    distribution = fitted.single.network.distribution
    if fitted.is_calibrated:
        calibration = Calibration(fitted, levels)
        found = calibration.calibrated(distribution, parameters, context.scales)
        return _limited(found, context)
    if distribution.has_values:
        return quantiles_of(distribution, _limited(parameters, context), levels)
    return _limited(quantiles_of(distribution, parameters, levels), context)


def _state_at_cutoff(context: Context, model: Model) -> tuple[Tensor, States]:
    """Output of the recurrent layer at the cutoff, (S, H), and its state; see `Runs`."""
    patch_length, stride, n_rows = model.features.patch_length, model.stride, context.n_rows
    position = context.position.take(context.length, 1)  # of the first forecast, (S, 1)
    origin = position - n_rows
    start = ((position + 1) // stride * stride - model.window_length - origin).maximum(1)
    start = start + (n_rows - start) % patch_length
    n_steps = (n_rows - start) // patch_length + 1  # (S, 1)
    step = context.graph.op("Range", np.int64(0), n_steps.max(), np.int64(1))
    # Steps after a series' cutoff are beyond the length of its sequence.
    t = (start + step * patch_length).minimum(n_rows)  # (S, L)

    def read(values: Tensor | None) -> Callable[[Sequence[int]], Any]:
        def at(offsets: Sequence[int]) -> Tensor:
            rows = context.rows(t.unsqueeze(2) - np.array(offsets), n_axes=3)
            return values.take_rows(rows)  # type: ignore[union-attr]

        return at

    known, codes = (
        None if x is None else x.take_rows(context.rows(t)) for x in (context.known, context.codes)
    )
    x = step_inputs(model.network, read(context.values), read(context.observed), t, known, codes)
    layers = Recurrence(model.network.recurrent.layers)
    return layers.run(x, lengths=n_steps.squeeze(1).cast(np.int32))


def _targets(context: Context, features: Features, row: Tensor) -> Target:
    """What is known at the cutoff of the targets in rows (J,) of the inputs."""
    cutoff = context.n_rows

    def before(values: Tensor, offsets: Sequence[int]) -> Tensor:
        return values.take_rows(context.rows(cutoff - np.array(offsets)))

    ends = zip(context.means, features.mean_offsets, strict=True)
    return Target(
        past=before(context.values, features.naive_offsets),
        means=[before(mean, offsets) for mean, offsets in ends],
        n_past=cutoff,
        known=None if context.known is None else context.known.take(row, 1),
        codes=None if context.codes is None else context.codes.take(row, 1),
        **_regressors(context, features, context.length, row),
    )


def _regressors(
    context: Context, features: Features, step: Tensor, row: Tensor
) -> dict[str, Tensor]:
    """What the linear forecast from the step in row (1,) reads of targets in rows (J,)."""
    if not features.linear_lags:
        return {}
    result = {"ordinal": context.ordinal.take(step, 1).squeeze(1)}
    if context.linear_calendar is not None:
        result["calendar"] = context.linear_calendar.take(step, 1).squeeze(1)
    if features.n_linear_known:
        known = context.known.part(features.n_calendar, features.n_known, 2)  # type: ignore
        result["linear_known"] = known.take(row, 1)
        result["known_before"] = known.take(step - 1, 1).squeeze(1)
    return result


def _path(context: Context, model: Model) -> Tensor:
    """Scaled forecasts, each an input of the next, (S, H, C); see `decoding.recursive`."""
    network, features, history = model.network, model.features, model.features.history
    layers = Recurrence(network.recurrent.layers)
    n_means, has_flags = len(context.means), context.observed is not None

    def step(h: Tensor, *carried: Tensor) -> tuple:
        path = _Path.of(carried, n_means, has_flags, len(layers.layers))
        row, n_past = context.length + h, context.n_rows + h
        target = Target(
            past=path.past.take(_places(history, features.naive_offsets), 1),
            means=[
                mean.take(_places(history, offsets), 1)
                for mean, offsets in zip(path.means, features.mean_offsets, strict=True)
            ],
            n_past=n_past,
            **_regressors(context, features, row, row),
        )
        value = point_of(network.distribution, decoded(network, path.hidden, target))  # (S, 1, C)
        past, n_rows = _appended(path.past, value), n_past + 1
        means = [
            _appended(mean, _mean_of_last(past, n_rows, period))
            for mean, period in zip(path.means, features.mean_periods, strict=True)
        ]
        # A forecast is all that is known of its step: no value that fills a gap.
        flags = [_appended(x, value * 0 + 1) for x in path.flags]
        # The step after the last forecast reads the last row once more; its output is not read.
        next_row = (row + 1).minimum(context.end - 1)
        known, codes = (
            None if x is None else x.take(next_row, 1) for x in (context.known, context.codes)
        )

        def read(values: Tensor) -> Callable[[Sequence[int]], Tensor]:
            return lambda offsets: values.take(_places(history, offsets), 1).unsqueeze(1)

        observed = read(flags[0] if flags else past)
        hidden, states = layers.run(
            step_inputs(network, read(past), observed, n_rows, known, codes), path.states
        )
        following = _Path(past, means, flags, hidden, states)
        return following.parts(), None, [value.squeeze(1)]

    back = context.rows(context.n_rows - np.arange(history, 0, -1))  # (S, T)
    flags = [] if context.observed is None else [context.observed]
    past, *means = (table.take_rows(back) for table in (context.values, *context.means))
    start = _Path(
        past, means, [x.take_rows(back) for x in flags], *_state_at_cutoff(context, model)
    )
    n_steps = context.end - context.length
    _, (values,) = context.graph.loop(start.parts(), step, n_steps=n_steps)
    return values.transpose(1, 0, 2)


class _Path(NamedTuple):
    """What one step of a path hands to the next; T is how far back a step reads.

    past : scaled values, (S, T, C).
    means : their trailing means over each period, (S, T, C) each.
    flags : whether they were observed, (S, T, C); empty if no step reads it.
    hidden : output of the recurrent layer, (S, H).
    states : its states.
    """

    past: Tensor
    means: list[Tensor]
    flags: list[Tensor]
    hidden: Tensor
    states: States

    def parts(self) -> list[Tensor]:
        """All tensors in a row."""
        of_layers = [part for parts in self.states for part in parts]
        return [self.past, *self.means, *self.flags, self.hidden, *of_layers]

    @classmethod
    def of(cls, parts: Sequence[Tensor], n_means: int, has_flags: bool, n_layers: int) -> _Path:
        """The same of tensors in a row."""
        past, *rest = parts
        means, rest = rest[:n_means], rest[n_means:]
        flags, (hidden, *of_layers) = rest[:has_flags], rest[has_flags:]
        n = len(of_layers) // n_layers  # two of an LSTM, one of others
        states = [tuple(of_layers[k * n : (k + 1) * n]) for k in range(n_layers)]
        return cls(past, means, flags, hidden, states)


def _places(history: int, offsets: Sequence[int]) -> np.ndarray:
    """Where values at offsets before a step are, among the last ``history`` values before it."""
    return history - np.array(offsets)


def _appended(rows: Tensor, row: Tensor) -> Tensor:
    """Rows (S, T, C) without the first and with another one, (S, 1, C), at the end."""
    return concat([rows.part(1, np.iinfo(np.int64).max, 1), row], 1)


def _mean_of_last(past: Tensor, count: Tensor, period: int) -> Tensor:
    """Mean of the last values of series with so many rows (S, 1), (S, 1, C)."""
    window = past.part(-period, np.iinfo(np.int64).max, 1).cast(DOUBLE)
    exists = (count > np.arange(period - 1, -1, -1)).unsqueeze(2)  # (S, period, 1)
    total = window.where(exists, 0.0).sum(1, keepdims=True)
    return (total / count.minimum(period).cast(DOUBLE).unsqueeze(2)).cast(FLOAT)


def _averaged(path: Tensor, context: Context, direct: DirectForecast) -> Tensor:
    """Paths (S, H, C) averaged with the direct forecast; see `strategies._averaged`."""
    features = direct.features
    n_direct = len(features.horizons)
    row = (context.length + np.arange(n_direct)).minimum(context.end - 1)
    forecast = direct_forecast(direct, _targets(context, features, row))  # (S, J, C)
    fading = np.clip(2 - 2 * np.arange(n_direct) / n_direct, 0, 1)
    share = (numbers(direct.share) * fading).astype(np.float32)[:, None]
    n = (context.end - context.length).minimum(n_direct)
    near = path.part(0, n, 1)
    moved = (forecast.part(0, n, 1) - near) * path.graph.constant(share).part(0, n, 0)
    averaged = near + moved
    if features.of_counts:
        averaged = averaged.maximum(0)
    return concat([averaged, path.part(n, np.iinfo(np.int64).max, 1)], 1)


def _unscaled(parameters: Tensor, row: Tensor, context: Context, model: Model) -> Tensor:
    """Parameters (S, J, C, K) of targets in rows (J,) in the unit of the data, float64."""
    n_columns, scales = len(model.columns), context.scales
    center, scale = (x.part(0, n_columns, 2).unsqueeze(3) for x in (scales.center, scales.scale))
    moved = scales.level_shift(context.position.take(row, 1))
    center = center if moved is None else center - moved.unsqueeze(3)
    scaled = parameters.cast(DOUBLE) * scale
    if isinstance(model.network.distribution, LocationScale) and model.strategy.name != "recursive":
        return concat([scaled.part(0, 1, 3) + center, scaled.part(1, 2, 3)], 3)
    return scaled + center


def _limited(values: Tensor, context: Context) -> Tensor:
    """Values (S, J, C, K) within `forecast_range`."""
    lower, upper = context.scales.bounds
    values = values if lower is None else values.maximum(lower)
    return values if upper is None else values.minimum(upper)
