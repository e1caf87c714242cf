"""Attributes: what a fitted forecaster shows, read from its fitted model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sktime.exceptions import NotFittedError

from skrnn.forecasting.fitted import Fitted


def of_fitted(read: Callable[[Fitted], Any], doc: str) -> Any:
    """Property of a forecaster that is read from its fitted state, and is absent before `fit`.

    Parameters
    ----------
    read : callable
        From the fitted state to the value.
    doc : str
        Docstring of the property.
    """

    def value(forecaster: Any) -> Any:
        fitted = vars(forecaster).get("fitted_")
        if fitted is None:
            # An AttributeError as well, so that `hasattr` is false.
            msg = (
                f"This {type(forecaster).__name__} has not been fitted yet, and has no fitted "
                f"attributes. Call `fit` first."
            )
            raise NotFittedError(msg)
        return read(fitted)

    return property(value, doc=doc)
