"""The summary: what was chosen, by whom, and how training went, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from skrnn.contract.ensembles import histories_of_members
from skrnn.forecasting.fitted import Fitted


def naive_table(fitted: Fitted) -> pd.DataFrame:
    """Initial weights of the naive forecasts: a row for each, a column for each target column.

    Of several horizons, the mean.
    """
    model = fitted.model
    pairs = [(f.name, f.period) for f in model.features.naive_forecasts]
    if model.features.linear_lags:
        pairs.append(("linear", 1))
    index = pd.MultiIndex.from_tuples(pairs, names=["naive", "period"])
    if model.initial_weights is None:
        index = pd.MultiIndex.from_arrays([[], []], names=index.names)
        return pd.DataFrame(index=index, columns=model.columns, dtype=float)
    weights = model.initial_weights.mean(0)[: len(model.columns)]  # (C, N)
    return pd.DataFrame(weights.T, index=index, columns=model.columns)


def summary_table(forecaster: Any) -> pd.DataFrame:
    """What a fitted forecaster consists of: a row for each entry, with its value and its origin.

    Losses of several networks are averaged.
    """
    fitted = forecaster.fitted_
    model, panel = fitted.model, fitted.panel
    features, parameters = model.features, forecaster.get_params(deep=False)
    networks = [member.network for member in model.members]
    n = len(networks)
    histories = histories_of_members(forecaster.history_, n)
    planned = np.ravel(forecaster.num_epochs_).tolist()

    weights = forecaster.naive_.mean(axis=1).nlargest(3)
    mix = ", ".join(f"{name}({period}) {w:.2f}" for (name, period), w in weights.items())
    cell = forecaster._cell()
    rows: list[tuple[str, Any, str]] = [
        ("class", type(forecaster).__name__, ""),
        ("cell", cell if isinstance(cell, str) else getattr(cell, "__name__", cell), "given"),
        ("strategy", features.strategy.name, "given"),
        ("sp", _listed(features.sp), _kind(parameters["sp"])),
        ("lags", _listed(features.lags), _kind(parameters["lags"])),
        ("linear_lags", _listed(features.linear_lags), _kind(parameters["linear_lags"])),
        ("calendar", _listed(features.calendar), _kind(parameters["calendar"])),
        ("largest naive weights", mix or "none", _kind(parameters["naive"])),
        *([("networks", n, "given")] if n > 1 else []),
        ("hidden_size", forecaster.hidden_size_, _kind(parameters["hidden_size"])),
        ("trainable weights", sum(w.numel() for m in networks for w in m.parameters()), ""),
        ("device", str(model.device), _kind(parameters["device"])),
        ("series", panel.n_series, ""),
        ("observations", len(panel.values), ""),
        ("level shifts", _shifts(fitted), ""),
        ("held-out rows", int((fitted.held_out.stop - fitted.held_out.first).sum()), ""),
        ("planned epochs", _each(planned), _kind(parameters["num_epochs"])),
        ("epochs", _each([len(history) for history in histories]), ""),
    ]
    history = forecaster.history_
    if len(history):
        rows.append(("training seconds", round(float(history["seconds"].sum()), 2), ""))
        last = np.mean([history["loss"].iloc[-1] for history in histories])
        rows.append(("training loss", float(f"{last:.4g}"), ""))
    if "validation_loss" in history:
        best = [history.loc[history["validation_loss"].idxmin()] for history in histories]
        lowest = np.mean([row["validation_loss"] for row in best])
        rows.append(("validation loss", float(f"{lowest:.4g}"), ""))
        rows.append(("best epoch", _each([int(row["epoch"]) for row in best]), ""))
    return pd.DataFrame(rows, columns=["entry", "value", "chosen"]).set_index("entry")


def _shifts(fitted: Fitted) -> str:
    """The level shift of a single series and column; of several, how many there are."""
    shift = fitted.model.level_shift
    if shift is None:
        return "none"
    if shift.size.size > 1:
        return f"{np.count_nonzero(shift.size)} of {shift.size.size}"
    stamp = fitted.panel.timeline.stamps(shift.since[0])[0]
    return f"{shift.size[0, 0]:+.4g} since {stamp}"


def _each(numbers: Sequence[int]) -> Any:
    """A number, or those of all networks as text."""
    return int(numbers[0]) if len(numbers) == 1 else _listed(tuple(numbers))


def _kind(value: Any) -> str:
    return "auto" if isinstance(value, str) and value == "auto" else "given"


def _listed(values: tuple) -> str:
    return ", ".join(map(str, values)) or "none"
