"""Limits: no more memory for a network than its file accounts for."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode  # torch's documented way, in spite of _

from skrnn.files.container import InvalidFileError

# A network's largest tensor has at most so many times the numbers of all its weights, or so many:
# constants of its architecture are not in a file.
TIMES_THE_WEIGHTS, FEWEST_NUMBERS = 10, 100_000


class MemoryLimit(TorchDispatchMode):
    """Inside the block, a tensor of too many numbers is an error, before its memory is written to.

    Parameters
    ----------
    n_weights : int
        Numbers of all weights in the file.
    """

    def __init__(self, n_weights: int):
        super().__init__()
        self.most = max(TIMES_THE_WEIGHTS * n_weights, FEWEST_NUMBERS)

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        result: Any = operator(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.numel() > self.most:
            msg = f"The file is damaged: it describes a tensor of {result.numel():,} numbers."
            raise InvalidFileError(msg)
        return result
