"""Devices: where the network runs, and with which precision CUDA multiplies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

T = TypeVar("T")
# Batches of forecasts are not divided further than into so many parts.
MOST_PARTS = 1_024
# What torch says where memory is short: its allocators for the CPU and for CUDA, the CUDA runtime,
# and cuDNN and cuBLAS. Only the allocator for CUDA has a class of errors for it.
OUT_OF_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "STATUS_ALLOC_FAILED",
)


def resolve_device(device: str | torch.device) -> torch.device:
    """Turn the ``device`` parameter into a device of this machine.

    "auto" is CUDA if it is available and the CPU otherwise. It is never MPS, where torch's
    recurrent layers have been slower than on the CPU.

    Raises
    ------
    ValueError
        If torch does not know the device or this machine does not have it.
    """
    if isinstance(device, str) and device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        found, reason = None, str(error).split("\n")[0]
    if found is not None:
        counts = {
            "cpu": 1,
            "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
            "mps": int(torch.backends.mps.is_available()),
        }
        count = counts.get(found.type, 0)
        if (found.index or 0) < count:
            return found
        reason = f"torch {torch.__version__} finds {count} {found.type!r} devices on this machine"
    msg = (
        f"The 'device' parameter must be 'auto', 'cpu', 'cuda', 'cuda:<number>' or 'mps', and name "
        f"a device of this machine. Got {device!r} instead; {reason}. Pass device='auto' to use a "
        f"CUDA device if there is one and the CPU otherwise."
    )
    raise ValueError(msg)


@contextmanager
def enough_memory() -> Iterator[None]:
    """Name the settings to lower where torch runs out of memory.

    Raises
    ------
    MemoryError
    """
    try:
        yield
    except RuntimeError as error:
        if not _is_out_of_memory(error):
            raise
        msg = (
            f"The network and its batches must fit into memory, but they do not: "
            f"{str(error).splitlines()[0]} Lower batch_size, window_length, hidden_size or "
            f"num_layers, or n_samples in a forecast, or set device='cpu' if a GPU is too small."
        )
        raise MemoryError(msg) from error


def in_parts(compute: Callable[[int], T]) -> T:
    """Compute in batches that are divided by 1, then by 2, 4, ..., until they fit into memory.

    Parameters
    ----------
    compute : callable
        Gets the number by which its batches are divided.

    Raises
    ------
    RuntimeError
        Torch's, if batches that are divided by `MOST_PARTS` do not fit either.
    """
    n_parts = 1
    while True:
        try:
            return compute(n_parts)
        except RuntimeError as error:
            if n_parts >= MOST_PARTS or not _is_out_of_memory(error):
                raise
        # After the block, where the error no longer holds what was computed.
        n_parts *= 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _is_out_of_memory(error: RuntimeError) -> bool:
    return any(text in str(error) for text in OUT_OF_MEMORY)


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Allow or forbid CUDA to multiply in TF32; torch's settings are restored afterwards."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    cudnn.allow_tf32 = matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = before
