"""Dropout that draws from a generator of its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Dropout(nn.Dropout):
    r"""torch.nn.Dropout with a generator of its own.

    In training each element :math:`x` becomes :math:`x m / (1 - p)`, where :math:`m` is 0 with
    probability :math:`p` and else 1. On a CPU the numbers are those of :class:`torch.nn.Dropout`
    if the generators are in the same state.

    Parameters
    ----------
    p : float, default=0.5
        Probability with which an element becomes zero.

    Attributes
    ----------
    generator : torch.Generator or None
        Generator that the mask is drawn from, on the device of the input; None is torch's global
        one. Copies and pickles leave it out, since torch cannot copy the generators of all devices.
    """

    generator: torch.Generator | None = None

    def __init__(self, p: float = 0.5):
        super().__init__(p)

    def forward(self, input: Tensor) -> Tensor:
        """Return the input with elements dropped; outside of training, the input itself."""
        return dropout(input, self.p, self.training, self.generator)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"generator": None}


def dropout(x: Tensor, p: float, training: bool, generator: torch.Generator | None) -> Tensor:
    """`torch.nn.functional.dropout` with a mask from ``generator``."""
    if not training or p == 0:
        return x
    kept = torch.empty_like(x).bernoulli_(1 - p, generator=generator)
    if p == 1:  # all is dropped; dividing by 1 - p would give NaN
        return x * kept
    return x * kept.div_(1 - p)
