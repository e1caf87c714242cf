"""Averages of weights: a network as good as at the end of a schedule, at any moment of training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

# The average reaches back over about this share of the steps so far: one in nine.
AVERAGED_STEPS = 8


class WeightAverage:
    r"""The polynomial-decay average of a network's weights.

    After step t it is :math:`\bar w_t = (1 - r_t)\, \bar w_{t-1} + r_t w_t` with
    :math:`r_t = (\gamma + 1) / (\gamma + t)` and :math:`\gamma = 8`. So it needs no length of
    training, unlike a learning rate that falls to zero at the end.

    Parameters
    ----------
    parameters : iterable of Tensor
        The weights.

    References
    ----------
    O. Shamir, T. Zhang, "Stochastic Gradient Descent for Non-smooth Optimization", ICML 2013.
    """

    def __init__(self, parameters: Iterable[Tensor]):
        self.parameters = list(parameters)
        self.weights = [parameter.detach().clone() for parameter in self.parameters]
        self.step = 0

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after an optimiser step."""
        self.step += 1
        rate = (AVERAGED_STEPS + 1) / (AVERAGED_STEPS + self.step)
        torch._foreach_lerp_(self.weights, self.parameters, rate)

    def state_dict(self) -> dict[str, Any]:
        """All that the average goes on from."""
        return {"weights": self.weights, "step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict` of an average of the same network."""
        present = zip(state["weights"], self.weights, strict=True)
        self.weights = [weight.to(own.device) for weight, own in present]
        self.step = state["step"]

    @contextmanager
    def used(self) -> Iterator[None]:
        """Let the network have the average as its weights."""
        present = [parameter.detach().clone() for parameter in self.parameters]
        self._set(self.weights)
        try:
            yield
        finally:
            self._set(present)

    @torch.no_grad()
    def _set(self, weights: list[Tensor]) -> None:
        for parameter, weight in zip(self.parameters, weights, strict=True):
            parameter.copy_(weight)
