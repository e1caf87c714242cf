"""Description: what an ONNX file says of the forecaster in it, in its metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from skrnn.forecasting.fitted import Fitted

PACKAGES = ("skrnn", "torch", "sktime", "onnx")
DATES = "seconds since 1970-01-01"


def description_of(
    fitted: Fitted, name: str, parameters: Mapping[str, Any], levels: Sequence[float]
) -> dict[str, Any]:
    """Entries of the metadata, each of which can be written as JSON.

    Parameters
    ----------
    fitted : Fitted
    name : str
        Class of the forecaster.
    parameters : mapping
        Those of the forecaster.
    levels : sequence of float
        Those of the output ``quantiles``.
    """
    model, panel = fitted.model, fitted.panel
    features, covariates = model.features, model.covariates
    is_recursive = model.strategy.name == "recursive"
    numbers = [c for c in covariates.known if c not in covariates.categories]
    return {
        "class": name,
        "parameters": dict(parameters),
        "versions": {package: version(package) for package in PACKAGES},
        "columns": list(model.columns),
        "series": None if panel.keys is None else list(panel.keys),
        "horizons": "any" if is_recursive else list(features.horizons),
        "quantiles": list(levels),
        "past_covariates": list(covariates.past),
        "X_numbers": numbers,
        "X_categories": {str(c): list(covariates.categories[c]) for c in covariates.categories},
        "time": _kind_of_time(fitted),
        "frequency": getattr(model.timeline.freq, "freqstr", model.timeline.freq),
        "context": fitted.rows_before,
        "longest_season": features.longest_season,
    }


def _kind_of_time(fitted: Fitted) -> str:
    timeline = fitted.model.timeline
    if not timeline.is_calendar:
        return "integers of the index"
    zone = getattr(timeline.start, "tz", None)
    return f"{DATES}, as the clock shows them" if zone is None else f"{DATES} in UTC, of {zone}"
