"""Saving: a forecaster as one file, and a forecaster from it."""

from __future__ import annotations

import os
from typing import Any, BinaryIO

import torch

from skrnn.contract.forecaster import BaseRecurrentForecaster
from skrnn.contract.stored import HISTORIES, described, restored
from skrnn.files.container import InvalidFileError, pack, read, unpack, write
from skrnn.files.encoding import CannotSaveError, CodeNeededError
from skrnn.forecasters import GRUForecaster, LSTMForecaster, RNNForecaster

__all__ = ["CannotSaveError", "CodeNeededError", "InvalidFileError", "load", "save"]

CLASSES = {cls.__name__: cls for cls in (GRUForecaster, LSTMForecaster, RNNForecaster)}


def save(
    forecaster: BaseRecurrentForecaster,
    path: str | os.PathLike | BinaryIO,
    history: str = "context",
) -> None:
    """Write a forecaster to a file, from which `load` makes one with the same forecasts.

    The file is a safetensors file: arrays of numbers, and a description of them in JSON. It holds
    no code, so that loading it runs none. A file that is there already stays as it is until the new
    one is whole and on the disk.

    Parameters
    ----------
    forecaster : GRUForecaster, LSTMForecaster or RNNForecaster
        Fitted, pretrained or neither.
    path : str, path-like or binary file object
        Where to write.
    history : {"context", "all", "none"}, default="context"
        How much of the data the file holds. "context" is the end of each series that forecasts and
        their intervals are computed from. With "all", in-sample forecasts of earlier rows are
        possible as well. With "none" the file holds no value of the series: the network is saved as
        after `pretrain`, to be fitted to other series.

    Raises
    ------
    CannotSaveError
        If the forecaster is of another class, or its index is of a type that a file cannot hold.
    ValueError
        If ``history`` is something else.
    OSError
        If the file cannot be written.

    See Also
    --------
    load : Make a forecaster from the file.

    Notes
    -----
    A parameter that is code, such as a criterion or a cell of your own, is not in the file. `load`
    asks for it by name.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import skrnn
    >>> from skrnn.datasets import make_hourly_load
    >>> y = make_hourly_load(n_series=1, n_hours=500, random_state=0)
    >>> forecaster = skrnn.GRUForecaster(hidden_size=8, num_epochs=1, random_state=0).fit(y)
    >>> path = Path(tempfile.mkdtemp()) / "load.skrnn"
    >>> skrnn.save(forecaster, path)
    >>> loaded = skrnn.load(path)
    >>> loaded.predict(fh=[1, 2]).equals(forecaster.predict(fh=[1, 2]))
    True
    """
    if not isinstance(history, str) or history not in HISTORIES:
        msg = f"history must be one of {list(HISTORIES)}. Got {history!r} instead."
        raise ValueError(msg)
    cls = type(forecaster)
    if CLASSES.get(cls.__name__) is not cls:
        msg = (
            f"skrnn.save writes {', '.join(CLASSES)}, but got a {cls.__module__}."
            f"{cls.__qualname__}. Save the forecaster inside of it."
        )
        raise CannotSaveError(msg)
    description, arrays = described(forecaster, history)
    write(pack(description, arrays), path)


def load(
    source: str | os.PathLike | bytes | BinaryIO,
    device: str | torch.device = "auto",
    **code: Any,
) -> BaseRecurrentForecaster:
    """Make a forecaster from a file that `save` has written.

    Parameters
    ----------
    source : str, path-like, bytes or binary file object
        The file, or its content.
    device : str or torch.device, default="auto"
        The ``device`` parameter of the forecaster, whatever it was.
    **code : object
        The parameters that were code when the forecaster was saved, such as ``criterion``. If one
        is missing, the error names it.

    Returns
    -------
    GRUForecaster, LSTMForecaster or RNNForecaster
        In the state in which it was saved.

    Raises
    ------
    InvalidFileError
        If the file is damaged, of another kind, or of a newer version of the package.
    CodeNeededError
        If a parameter that was code is missing.
    TypeError
        If another parameter is given.
    OSError
        If the file cannot be read.

    See Also
    --------
    save : Write the file.

    Examples
    --------
    >>> import skrnn
    >>> skrnn.load(b"a text")
    Traceback (most recent call last):
    skrnn.files.container.InvalidFileError: The file must be one that `skrnn.save` has written, ...
    """
    return restored(CLASSES, *unpack(read(source)), device, code)
