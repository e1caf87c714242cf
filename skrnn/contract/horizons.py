"""Horizons: sktime's forecasting horizon as steps ahead of each series' end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sktime.forecasting.base import ForecastingHorizon

from skrnn.data.panel import Panel
from skrnn.features.features import Strategy
from skrnn.forecasting.ensemble import AnyModel
from skrnn.forecasting.strategies import MultiOutput, Recursive


def steps_ahead(panel: Panel, fh: ForecastingHorizon) -> np.ndarray:
    """Steps asked for, (S, J), from each series' end; 0 is its last observation."""
    if fh.is_relative:
        steps = fh.to_pandas()
        if isinstance(steps, pd.TimedeltaIndex):
            steps = panel.timeline.steps(steps)
        return np.broadcast_to(np.asarray(steps, dtype=np.int64), (panel.n_series, len(steps)))
    positions = panel.timeline.positions(fh.to_pandas())
    return positions - panel.end[:, None] + 1


def strategy_of(
    forecaster: Any, panel: Panel, fh: ForecastingHorizon | None, pretrained: AnyModel | None
) -> Strategy:
    """The strategy that the forecaster's parameters and ``fh`` ask for.

    With "multioutput", the horizons are those of a relative ``fh``. Of an absolute one they are all
    steps up to the last, for an update makes them fewer. Steps up to the cutoff are forecast one
    step ahead.

    Raises
    ------
    ValueError
        If "multioutput" has no ``fh``, or no series is long enough for it.
    """
    if forecaster.strategy == "recursive":
        return Recursive()
    if fh is None:
        if pretrained is not None:
            return pretrained.features.strategy
        msg = (
            f"{type(forecaster).__name__} with strategy='multioutput' needs fh in fit, for the "
            f"network has an output for every step, but fh is None. Pass it: fit(y, fh=...)."
        )
        raise ValueError(msg)
    steps = np.unique(steps_ahead(panel, fh))
    last = int(steps.max())
    if last >= panel.lengths.max():
        msg = (
            f"strategy='multioutput' needs a training target {last} steps ahead in some series, "
            f"but the longest has {panel.lengths.max()} observations. Shorten fh, pass longer "
            f"series, or set strategy='recursive'."
        )
        raise ValueError(msg)
    if not fh.is_relative:
        return MultiOutput(tuple(range(1, max(1, last) + 1)))
    return MultiOutput(tuple(int(h) for h in np.unique(np.maximum(steps, 1))))
