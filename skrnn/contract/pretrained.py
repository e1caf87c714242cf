"""Pretrained models: whether a forecaster's parameters and data fit the network."""

from __future__ import annotations

import warnings
from typing import Any

from skrnn.contract.parameters import plain
from skrnn.data.panel import Panel
from skrnn.features.features import Strategy
from skrnn.forecasting.ensemble import AnyModel


def check_fits(forecaster: Any, pretrained: AnyModel, panel: Panel, strategy: Strategy) -> None:
    """Raise ValueError unless the pretrained network serves this panel and these parameters."""
    for name, value in pretrained.architecture.items():
        is_any = name == "hidden_size" and forecaster.hidden_size == "auto"
        if plain(getattr(forecaster, name)) != value and not is_any:
            msg = (
                f"The network was pretrained with {name}={value!r}, but the parameter is "
                f"{getattr(forecaster, name)!r} now. Set it back, or `reset()` the forecaster and "
                f"fit again."
            )
            raise ValueError(msg)
    n = len(pretrained.members)
    if forecaster.n_estimators != n:
        msg = (
            f"The forecaster was pretrained with n_estimators={n}, but the parameter is "
            f"{forecaster.n_estimators} now. Set it back, or `reset()` the forecaster and fit "
            f"again."
        )
        raise ValueError(msg)
    columns = pretrained.columns
    # Another y may have other names; the same names in another order are a mistake.
    shuffled = set(panel.columns) == set(columns) and not panel.columns.equals(columns)
    if len(panel.columns) != len(columns) or shuffled:
        msg = (
            f"The network was pretrained on {len(columns)} columns of y, {list(columns)}, but "
            f"fit got {len(panel.columns)}, {list(panel.columns)}. Fit on the same columns in "
            f"the same order, or `reset()` the forecaster first."
        )
        raise ValueError(msg)
    trained = pretrained.features.horizons
    if not set(strategy.horizons) <= set(trained):
        msg = (
            f"The network was pretrained to forecast the steps {list(trained)}, but fh asks "
            f"for {list(strategy.horizons)}. Pretrain with these, or leave fh as it was."
        )
        raise ValueError(msg)
    if str(panel.timeline) != str(pretrained.timeline):
        warnings.warn(
            f"The network was pretrained on series of frequency {pretrained.timeline!s}, "
            f"but y has {panel.timeline!s}: its seasonal periods are counted in those steps.",
            stacklevel=8,  # the line that calls fit
        )
