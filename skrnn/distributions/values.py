"""Points and quantiles: distributions whose parameters are values that may come."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn.functional import softplus

from skrnn.distributions.base import Distribution, before_softplus, interpolated_cdf
from skrnn.distributions.location_scale import NORMAL_SCALE_OF_ERROR

# The distance between two quantiles is the least that says how wide a distribution is.
FEWEST_LEVELS = 2


class Point(Distribution):
    """A single number for each value, and its loss.

    Parameters
    ----------
    criterion : callable
        Elementwise with ``reduction="none"``, or a module that returns one number.

    Examples
    --------
    >>> import torch
    >>> from torch.nn.functional import l1_loss
    >>> from skrnn.distributions import Point
    >>> Point(l1_loss).loss(torch.tensor([[1.0], [4.0]]), torch.tensor([3.0, 3.0]))
    tensor([2., 1.])
    """

    is_probabilistic = False
    has_point_at_location = True
    has_values = True
    n_outputs = 1

    def __init__(self, criterion: Callable):
        super().__init__()
        # A module is copied: training its parameters leaves the user's object as it is.
        is_module = isinstance(criterion, nn.Module)
        self.criterion = copy.deepcopy(criterion) if is_module else criterion
        # A module gets the targets that count, whose number is another in each batch.
        self.is_capturable = not is_module

    def start(self, error: Tensor) -> Tensor:
        """Start from the naive mix."""
        return torch.zeros_like(error)[..., None]

    def loss(self, parameters: Tensor, target: Tensor) -> Tensor:
        """Loss of each value."""
        return self.criterion(parameters[..., 0], target, reduction="none")

    def mean_loss(self, parameters: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Mean loss over the targets that count."""
        if not isinstance(self.criterion, nn.Module):
            return super().mean_loss(parameters, target, weight)
        # A user's module reduces as it likes, so it gets only the targets that count.
        counts = weight > 0
        if not counts.any():
            return 0.0 * parameters.sum()
        loss = self.criterion(parameters[..., 0][counts], target[counts])
        if loss.ndim:
            msg = (
                f"The 'criterion' parameter must be a module that returns one number, but it "
                f"returned shape {tuple(loss.shape)}. Set its reduction to 'mean'."
            )
            raise ValueError(msg)
        return loss


class Quantiles(Distribution):
    r"""Quantiles at fixed levels, which never cross; the mean of their pinball losses.

    The location is the quantile nearest to the median; each of the others is a positive distance
    further out. Between the levels, and beyond them, the quantile function is linear in the
    quantile of the standard normal distribution, so that normal quantiles are continued as normal
    ones.

    Parameters
    ----------
    levels : sequence of float
        In (0, 1), at least two different ones.

    Examples
    --------
    >>> import numpy as np
    >>> from skrnn.distributions import Quantiles
    >>> trained = np.array([90.0, 100.0, 120.0])
    >>> Quantiles([0.1, 0.5, 0.9]).quantiles(trained, [0.1, 0.25, 0.5]).round(1)
    array([ 90. ,  94.7, 100. ])
    """

    has_values = True
    level: Tensor
    gap: Tensor
    knots: Tensor

    def __init__(self, levels: Sequence[float]):
        super().__init__()
        self.levels = np.unique(np.asarray(levels, dtype=np.float64))
        inside = (self.levels > 0) & (self.levels < 1)
        if len(self.levels) < FEWEST_LEVELS or not inside.all():
            msg = (
                f"Quantiles must have at least two different levels in (0, 1). Got {levels!r} "
                f"instead. A single one does not say how wide an interval is."
            )
            raise ValueError(msg)
        self.n_outputs = len(self.levels)
        self.middle = int(np.abs(self.levels - 0.5).argmin())
        self.has_point_at_location = bool(self.levels[self.middle] == 0.5)
        normal = stats.norm.ppf(self.levels)
        for name, constant in (("level", self.levels), ("gap", np.diff(normal)), ("knots", normal)):
            self.register_buffer(
                name, torch.from_numpy(constant.astype(np.float32)), persistent=False
            )

    def start(self, error: Tensor) -> Tensor:
        """Start with the distances of a normal error of this mean size."""
        distances = before_softplus(NORMAL_SCALE_OF_ERROR * error[..., None] * self.gap)
        return torch.cat([torch.zeros_like(error)[..., None], distances], dim=-1)

    def forward(self, outputs: Tensor) -> Tensor:
        """Quantiles, ascending."""
        location, gaps = outputs[..., :1], softplus(outputs[..., 1:])
        below = location - gaps[..., : self.middle].flip(-1).cumsum(-1).flip(-1)
        above = location + gaps[..., self.middle :].cumsum(-1)
        return torch.cat([below, location, above], dim=-1)

    def loss(self, parameters: Tensor, target: Tensor) -> Tensor:
        """Twice the mean pinball loss: the absolute error, were the median the only level."""
        over = target[..., None] - parameters
        return 2 * torch.maximum(self.level * over, (self.level - 1) * over).mean(-1)

    def point(self, parameters: Any) -> Any:
        """The median."""
        if self.has_point_at_location:
            return parameters[..., self.middle]
        weights = self.weights([0.5])[:, 0]
        if isinstance(parameters, Tensor):
            return parameters @ torch.from_numpy(weights).to(parameters)
        return parameters @ weights

    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        """The quantile function at a standard normal draw, (...)."""
        z = torch.empty_like(parameters[..., 0]).normal_(generator=generator)
        k = torch.searchsorted(self.knots, z.contiguous()).clamp(1, len(self.knots) - 1)
        low, high = self.knots[k - 1], self.knots[k]
        left = parameters.gather(-1, (k - 1)[..., None])[..., 0]
        right = parameters.gather(-1, k[..., None])[..., 0]
        return left + (right - left) * (z - low) / (high - low)

    def weights(self, levels: Sequence[float] | np.ndarray) -> np.ndarray:
        """Weights (K, A) of the trained quantiles in the one at each level.

        Parameters
        ----------
        levels : np.ndarray of shape (A,)
            Between 0 and 1.

        Returns
        -------
        np.ndarray of shape (K, A)
            Columns sum to one.
        """
        knots, z = stats.norm.ppf(self.levels), stats.norm.ppf(np.asarray(levels, dtype=float))
        weights = np.zeros((len(knots), len(z)))
        k = np.searchsorted(knots, z).clip(1, len(knots) - 1)
        share = (z - knots[k - 1]) / (knots[k] - knots[k - 1])
        columns = np.arange(len(z))
        weights[k - 1, columns] = 1 - share
        weights[k, columns] += share
        return weights

    def quantiles(self, parameters: np.ndarray, levels: Sequence[float] | np.ndarray) -> np.ndarray:
        """Quantiles, (..., A)."""
        return parameters @ self.weights(levels)

    def cdf(self, parameters: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Probability of at most a value, (..., A), of values (..., A)."""
        return interpolated_cdf(parameters, stats.norm.ppf(self.levels), values)


# Elementwise losses on scaled values. Huber's bend is at 1, one unit of the scaled series.
CRITERIA: dict[str, Callable] = {
    "mae": nn.functional.l1_loss,
    "mse": nn.functional.mse_loss,
    "huber": nn.functional.huber_loss,
}
QUANTILES: dict[str, Callable[[Sequence[float]], Distribution]] = {"quantile": Quantiles}
