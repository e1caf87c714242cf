"""File: a fitted forecaster as an ONNX file, checked against its own forecasts."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np

from skrnn.export.check import check_forecasts
from skrnn.export.description import description_of
from skrnn.export.forecast import forecast_graph
from skrnn.export.refusal import check_exportable
from skrnn.files.container import write
from skrnn.forecasting.fitted import Fitted


def write_onnx(
    fitted: Fitted,
    path: str | os.PathLike | BinaryIO,
    levels: Sequence[float],
    name: str,
    parameters: Mapping[str, Any],
) -> None:
    """Write the graph of a fitted forecaster's forecasts, once it has been compared with them.

    Parameters
    ----------
    fitted : Fitted
    path : str, path-like or binary file object
    levels : sequence of float
        Quantile levels of a second output; none for no such output.
    name : str
        Class of the forecaster.
    parameters : mapping
        Those of the forecaster.
    """
    check_exportable(fitted, levels)
    entries = description_of(fitted, name, parameters, levels)
    metadata = {key: json.dumps(value, default=_plain) for key, value in entries.items()}
    content = forecast_graph(fitted, levels).model(metadata).SerializeToString()
    check_forecasts(content, fitted, levels)
    write(content, path)


def _plain(value: Any) -> Any:
    """What JSON writes of a number of numpy, and of anything else its text."""
    return value.item() if isinstance(value, np.generic) else str(value)
