"""Intervals: a refusal of probabilistic forecasts that names the way to them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any

import numpy as np

# What each method gives, in the words by which sktime's test suite knows the refusal.
GIVEN = {
    "predict_interval": "prediction intervals",
    "predict_quantiles": "quantile predictions",
    "predict_var": "variance predictions",
    "predict_proba": "probabilistic predictions",
}


def needs_distribution(method: Callable) -> Callable:
    """Let a method of sktime that predicts distributions say what the forecaster would need."""

    @wraps(method)
    def predict(self: Any, *args: Any, **kwargs: Any) -> Any:
        refuse_without_distribution(self, method.__name__)
        given = parameters.bind(self, *args, **kwargs).arguments
        for name in ("coverage", "alpha"):
            if given.get(name) is not None:
                check_levels(name, given[name])
        return method(self, *args, **kwargs)

    parameters = signature(method)
    return predict


def refuse_without_distribution(forecaster: Any, method: str) -> None:
    """Raise NotImplementedError if a forecaster has no intervals, saying what it would need."""
    if not forecaster.get_tag("capability:pred_int"):
        msg = (
            f"{method} gives {GIVEN[method]}, but {type(forecaster).__name__} with criterion="
            f"{forecaster.criterion!r} forecasts points, and num_epochs={forecaster.num_epochs!r} "
            f"with validation_split={forecaster.validation_split!r} holds out no rows, whose "
            f"errors would make intervals. Leave num_epochs='auto', set validation_split, or set "
            f"criterion='quantile', 'normal' or 'studentt', and fit again."
        )
        raise NotImplementedError(msg)


def check_levels(name: str, levels: Any) -> np.ndarray:
    """Coverages or quantile levels as an array; raise ValueError unless all lie in (0, 1)."""
    try:
        values = np.atleast_1d(np.asarray(levels, dtype=np.float64))
    except (TypeError, ValueError):
        values = np.array([np.nan])
    if values.ndim > 1 or not ((values > 0) & (values < 1)).all():
        msg = (
            f"The {name!r} parameter must hold levels in (0, 1). Got {levels!r} instead. Write 0.9 "
            f"for 90 %."
        )
        raise ValueError(msg)
    return values


def refuse_covariances(forecaster: Any, cov: bool) -> None:
    """Raise NotImplementedError if `predict_var` is asked for covariances."""
    if cov:
        msg = (
            f"{type(forecaster).__name__} predicts the variance of each value, but cov=True asks "
            f"for covariances. Set cov=False."
        )
        raise NotImplementedError(msg)


def need_skpro() -> None:
    """Raise ImportError unless skpro is installed, whose distributions `predict_proba` gives."""
    try:
        import skpro.distributions  # noqa: F401
    except ImportError as error:
        msg = (
            "predict_proba gives a distribution of skpro, which is not installed. Run "
            '`pip install "skrnn[proba]"`, or use predict_quantiles or predict_interval.'
        )
        raise ImportError(msg) from error
