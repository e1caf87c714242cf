"""Exports: a fitted forecaster as an ONNX file, and what the file says of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, BinaryIO

from skrnn.contract.intervals import check_levels


def export(
    forecaster: Any, path: str | os.PathLike | BinaryIO, alpha: float | Sequence[float] | None
) -> None:
    """Write a fitted forecaster to an ONNX file."""
    need_onnx()
    if not (isinstance(path, (str, os.PathLike)) or hasattr(path, "write")):
        msg = (
            f"to_onnx writes to a str, a path or a binary file object, but got a "
            f"{type(path).__name__}. Pass the name of the file, such as 'load.onnx'."
        )
        raise TypeError(msg)
    # onnx and onnxruntime are optional.
    from skrnn.export.file import write_onnx

    levels = [] if alpha is None else check_levels("alpha", alpha).tolist()
    parameters = forecaster.get_params(deep=False)
    write_onnx(forecaster.fitted_, path, levels, type(forecaster).__name__, parameters)


def need_onnx() -> None:
    """Raise ImportError unless the packages are installed that write ONNX files and run them."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        msg = (
            "to_onnx writes a file with onnx and runs it with onnxruntime, of which one is not "
            'installed. Run `pip install "skrnn[onnx]"`.'
        )
        raise ImportError(msg) from error
