"""Check: an exported graph, run by onnxruntime, forecasts what the forecaster does."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnxruntime

from skrnn.data.panel import Panel
from skrnn.data.ragged import evenly_spaced
from skrnn.export.clock import seconds_of
from skrnn.forecasting.conformal import calibrated
from skrnn.forecasting.fitted import Fitted
from skrnn.forecasting.model import Model

# Largest difference, relative to the largest forecast of a series, or to its scale if that is more.
TOLERANCE = 1e-5
# Series that are forecast to compare.
MOST_SERIES = 20


def check_forecasts(content: bytes, fitted: Fitted, levels: Sequence[float] = ()) -> None:
    """Raise RuntimeError unless the graph forecasts what the fitted model does.

    Both forecast from the end of the context, on the CPU. X after it is taken to stay as it is.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    short = _with_short_context(fitted)
    panel, series = short.panel, evenly_spaced(fitted.panel.n_series, MOST_SERIES)
    steps = _compared_steps(short.single)
    known = panel.known[panel.offsets[1:] - 1]
    known = np.repeat(known[:, None], steps[-1], axis=1)  # (S, H, P)
    expected = _expected(short, fitted, series, steps, known, levels)
    found = session.run(list(expected), inputs_of(panel, series, known))
    scale = short.model.scaler.scale_[series][:, None, : len(panel.columns)]  # type: ignore
    for (name, values), result in zip(expected.items(), found, strict=True):
        unit = np.abs(values).max(axis=1, keepdims=True)
        unit = np.maximum(unit, scale if values.ndim == 3 else scale[..., None])
        difference = float(np.max(np.abs(result - values) / unit))
        if not difference <= TOLERANCE:
            msg = (
                f"The {name} of the exported graph must be that of the forecaster, to "
                f"{TOLERANCE:g} of its size, but they differ by {difference:.3g}. Nothing was "
                f"written. Please report it with the `summary()` of the forecaster."
            )
            raise RuntimeError(msg)


def _compared_steps(model: Model) -> np.ndarray:
    """All horizons, or recursively one step more than there are direct forecasts."""
    if model.strategy.name != "recursive":
        return np.array(model.features.horizons)
    direct = model.network.direct
    return np.arange(1, 2 + (1 if direct is None else len(direct.features.horizons)))


def _expected(
    short: Fitted,
    fitted: Fitted,
    series: np.ndarray,
    steps: np.ndarray,
    known: np.ndarray,
    levels: Sequence[float],
) -> dict[str, np.ndarray]:
    """What the graph should give of some series, from the context of ``short``."""
    extended, rows = short.panel.extended(int(steps[-1]), known), short.panel.lengths[series]
    distribution, parameters = short.forecast_from(extended, series, rows, steps)
    result = {"forecast": distribution.point(parameters)}
    if not levels:
        return result
    if fitted.is_calibrated:
        distribution, parameters = short.model.forecast(extended, series, rows, steps)
        distribution, parameters = calibrated(
            distribution,
            parameters,
            series,
            fitted.panel.lengths[series],
            np.broadcast_to(steps, parameters.shape[:2]),
            tuple(bound[series] for bound in fitted.bounds),
            *fitted.held_out_errors(steps),
        )
    return result | {"quantiles": distribution.quantiles(parameters, levels)}


def inputs_of(panel: Panel, series: np.ndarray, known: np.ndarray) -> dict[str, np.ndarray]:
    """What an exported graph is given to forecast from the end of some series of a panel.

    Parameters
    ----------
    panel : Panel
    series : np.ndarray of shape (n,)
    known : np.ndarray of shape (S, H, P)
        Covariates known in advance of the rows after the end of each series.
    """
    n_rows, horizon = int(panel.lengths[series].max()), known.shape[1]
    back = np.arange(-n_rows, horizon)
    # Shorter series begin later: before are missing values.
    row = panel.offsets[series + 1][:, None] + back[:n_rows]
    is_row = (row >= panel.offsets[series][:, None])[..., None]
    row = np.maximum(row, panel.offsets[series][:, None])
    values = np.where(is_row, panel.raw()[row], np.nan)
    of_rows = np.concatenate([panel.known[row], known[series]], axis=1)
    n_columns, is_number = len(panel.columns), panel.covariates.numbers
    positions = (panel.end[series][:, None] + back).ravel()
    inputs = {
        "y": values[..., :n_columns],
        "past_covariates": values[..., n_columns:],
        "X_numbers": of_rows[..., is_number],
        "X_categories": of_rows[..., ~is_number].astype(np.int64),
        "time": seconds_of(panel.timeline.stamps(positions)).reshape(len(series), -1),
        "series": series.astype(np.int64),
    }
    return {name: array for name, array in inputs.items() if array.shape[-1]}


def _with_short_context(fitted: Fitted) -> Fitted:
    """The same on the CPU, with a context whose gaps are filled from its own rows alone."""
    model, panel = fitted.single, fitted.panel
    tail = panel.tail(fitted.rows_before + model.features.longest_season)
    panel = tail if _has_values(tail) else panel
    panel = replace(panel, values=panel.raw()).trim_leading_missing()
    return replace(
        fitted,
        model=_on_cpu(model),
        panel=panel.filled(model.features.seasons),
        began=None,
        least_dropped=fitted.least(),  # bounds are those of all observations
    )


def _has_values(panel: Panel) -> bool:
    """Whether each target column of each series has an observation."""
    if panel.observed is None:
        return True
    observed = panel.observed[:, : len(panel.columns)].astype(np.int64)
    return bool(np.add.reduceat(observed, panel.offsets[:-1]).all())


def _on_cpu(model: Model) -> Model:
    if model.device.type == "cpu":
        return model
    return replace(model, network=copy.deepcopy(model.network).cpu())
