"""Intervals: a refusal of probabilistic forecasts that names the way to them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any


def needs_distribution(method: Callable) -> Callable:
    """Let a method of sktime that predicts distributions say what the forecaster would need."""

    @wraps(method)
    def predict(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not self.get_tag("capability:pred_int"):
            msg = (
                f"{method.__name__} needs a distribution, but {type(self).__name__} with "
                f"criterion={self.criterion!r} forecasts points. Set criterion='quantile', "
                f"'normal' or 'studentt', or validation_split, whose held-out errors make "
                f"conformal intervals, and fit again."
            )
            raise NotImplementedError(msg)
        return method(self, *args, **kwargs)

    return predict


def refuse_covariances(forecaster: Any, cov: bool) -> None:
    """Raise NotImplementedError if `predict_var` is asked for covariances."""
    if cov:
        msg = (
            f"{type(forecaster).__name__} predicts the variance of each value, but cov=True asks "
            f"for covariances. Set cov=False."
        )
        raise NotImplementedError(msg)
