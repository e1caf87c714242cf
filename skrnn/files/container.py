"""The container: named arrays and a description of them as one safetensors file."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as read_arrays
from safetensors.numpy import save as write_arrays

# Of the description. A change that older versions of the package cannot read gets the next number.
FORMAT = 1
# It is one entry of the metadata: its checksum, and after a space the JSON.
DESCRIPTION = "skrnn"
# What is raised by content of another form.
UNREADABLE = (
    SafetensorError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,  # a RecursionError among them
    TypeError,
    ValueError,
)


class InvalidFileError(ValueError):
    """A file is damaged, of another kind, or of a version that this one cannot read.

    Examples
    --------
    >>> import skrnn
    >>> from skrnn.saving import InvalidFileError
    >>> try:
    ...     skrnn.load(b"a text")
    ... except InvalidFileError as error:
    ...     print(error)
    The file must be one that `skrnn.save` has written, ...
    """


def pack(description: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """The content of a file."""
    text = json.dumps({"format": FORMAT, **description}, allow_nan=False)
    # `ascontiguousarray` would turn a single number into an array of one.
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    return write_arrays(arrays, {DESCRIPTION: f"{_checksum(text, arrays)} {text}"})


def unpack(content: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The description and the arrays of a file's content.

    Raises
    ------
    InvalidFileError
        If the content is not that of a file, is damaged, or has a newer format.
    """
    try:
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        checksum, text = header["__metadata__"][DESCRIPTION].split(" ", 1)
        arrays = read_arrays(content)
        is_whole = _checksum(text, arrays) == checksum
        description = json.loads(text) if is_whole else {}
    except UNREADABLE as error:
        msg = (
            f"The file must be one that `skrnn.save` has written, but it cannot be read as one "
            f"({type(error).__name__}: {str(error)[:100]}). Check its name, or copy it again."
        )
        raise InvalidFileError(msg) from error
    if not is_whole:
        msg = "The file is damaged: its content does not have its checksum. Copy it again."
        raise InvalidFileError(msg)
    version = description.get("format") if isinstance(description, dict) else None
    if version != FORMAT:
        msg = (
            f"The file must have format {FORMAT}, but it has {version!r}. Upgrade skrnn if it is "
            f"newer."
        )
        raise InvalidFileError(msg)
    return description, arrays


def _checksum(text: str, arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of the description and of every array's name, type, shape and numbers."""
    result = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        result.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        result.update(array.data if array.size else b"")
    return result.hexdigest()


def write(content: bytes, target: str | os.PathLike | BinaryIO) -> None:
    """Write to a file object, or to a path: there the old file stays until the new one is whole."""
    if hasattr(target, "write"):
        target.write(content)
        return
    path = _path(target, "write")
    with replacing(path) as temporary, open(temporary, "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    if os.name == "posix":  # the new name is on the disk, too
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Where to write a file that takes the place of another when it is whole, or is removed."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def read(source: str | os.PathLike | bytes | bytearray | memoryview | BinaryIO) -> bytes:
    """The content of a path or file object; bytes are content themselves."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source)
    if hasattr(source, "read"):
        return source.read()
    return _path(source, "read").read_bytes()


def _path(given: Any, method: str) -> Path:
    if not isinstance(given, (str, os.PathLike)):
        msg = (
            f"A file must be a str, a path or a binary file object with `{method}`, but got a "
            f"{type(given).__name__}. skrnn.save takes the forecaster first, then the file."
        )
        raise TypeError(msg)
    return Path(given)
