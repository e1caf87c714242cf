r"""Distributions: what the outputs of the network say about a value.

A distribution is a module that turns K outputs of the network into parameters, and knows their
loss, samples, quantiles and variance. An instance of a subclass of `Distribution` is a value of the
``criterion`` parameter of a forecaster.

Examples
--------
A Laplace distribution, whose location is the median of its values and whose scale is their mean
distance from it:

>>> import torch
>>> from scipy import stats
>>> from skrnn import GRUForecaster
>>> from skrnn.datasets import make_hourly_load
>>> from skrnn.distributions import LocationScale
>>> class Laplace(LocationScale):
...     scale_of_error = 1.0
...     def loss(self, parameters, target):
...         location, scale = parameters.unbind(-1)
...         return (target - location).abs() / scale + scale.log()
...     def sample(self, parameters, generator):
...         location, scale = parameters.unbind(-1)
...         u = torch.empty_like(location).uniform_(-1, 1, generator=generator)
...         return location - scale * u.sign() * torch.log1p(-u.abs())
...     def frozen(self, parameters):
...         return stats.laplace(parameters[..., 0], parameters[..., 1])
>>> y = make_hourly_load(n_series=1, n_hours=500, random_state=0)
>>> forecaster = GRUForecaster(criterion=Laplace(), num_epochs=1, random_state=0).fit(y)
>>> forecaster.predict_interval(fh=[1, 2], coverage=0.9).shape
(2, 2)
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn.functional import softplus

__all__ = ["Distribution", "LocationScale", "Normal", "Point", "Quantiles", "StudentT"]

# Elementwise losses on scaled values. Huber's bend is at 1, one unit of the scaled series.
CRITERIA: dict[str, Callable] = {
    "mae": nn.functional.l1_loss,
    "mse": nn.functional.mse_loss,
    "huber": nn.functional.huber_loss,
}
# Smallest scale, in units of the scaled series: a perfect forecast has no infinite likelihood.
LEAST_SCALE = 1e-4
# A batch without any target that counts has loss 0: its weights are divided by this, not by 0.
LEAST_WEIGHT = 1e-6
# Standard deviation of a normal error, in units of its mean absolute value: sqrt(pi / 2).
NORMAL_SCALE_OF_ERROR = 1.25
# Degrees of freedom above which Student's t has a variance, with a margin; initial value of the
# output whose softplus is added to it: 6 degrees of freedom.
LEAST_DF, INITIAL_DF_OUTPUT = 2.01, 4.0
# The distance between two quantiles is the least that says how wide a distribution is.
FEWEST_LEVELS = 2
# Levels at which a distribution without a formula is handed to skpro and its variance computed.
GRID = (np.arange(200) + 0.5) / 200


class Predictive:
    """Points, quantiles and variance of forecasts, from parameters (..., K) in numpy."""

    # Whether all parameters are values that may come: points, quantiles or samples.
    has_values = False

    def point(self, parameters: Any) -> Any:
        """Point forecast, (...), from parameters in torch or numpy."""
        return parameters[..., 0]

    def unscaled(self, parameters: np.ndarray, center: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Bring parameters to the unit of the data; center and scale broadcast over (..., 1)."""
        return parameters * scale + center

    def quantiles(self, parameters: np.ndarray, levels: Sequence[float] | np.ndarray) -> np.ndarray:
        """Quantiles, (..., A), from parameters in the unit of the data."""
        raise NotImplementedError("abstract method")

    def variance(self, parameters: np.ndarray) -> np.ndarray:
        """Variance, (...), from parameters in the unit of the data."""
        return self.quantiles(parameters, GRID).var(-1)

    def skpro(self, parameters: np.ndarray, **labels: Any) -> Any:
        """Distribution of skpro, from parameters (n, C, K) in the unit of the data."""
        return empirical(self.quantiles(parameters, GRID), **labels)


class Distribution(nn.Module, Predictive):
    """What K outputs of the network say about one value; parameters are the last axis, (..., K).

    The first output is the location, to which the network adds its mix of naive forecasts. Of a
    subclass, `n_outputs`, `start`, `loss`, `sample`, `unscaled` and `quantiles` are needed.
    Parameters and buffers of the module are trained and moved to the device with the network.
    """

    is_probabilistic = True
    # Whether the loss grows with the unit of the values; a log density does not.
    has_unit = True
    # K, outputs of the network for each value.
    n_outputs: int

    def start(self, error: Tensor) -> Tensor:
        """Outputs (..., K) from which training starts, given the naive mix's mean error."""
        raise NotImplementedError("abstract method")

    def forward(self, outputs: Tensor) -> Tensor:
        """Turn outputs of the network into parameters in their ranges, (..., K)."""
        return outputs

    def loss(self, parameters: Tensor, target: Tensor) -> Tensor:
        """Loss of each value, (...)."""
        raise NotImplementedError("abstract method")

    def mean_loss(self, parameters: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Mean loss over the targets that count; parameters (..., K), target and weight (...)."""
        return (self.loss(parameters, target) * weight).sum() / weight.sum().clamp(min=LEAST_WEIGHT)

    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        """One value of each distribution, (...)."""
        raise NotImplementedError("abstract method")


class Point(Distribution):
    """A single number for each value, and its loss.

    Parameters
    ----------
    criterion : callable
        Elementwise with ``reduction="none"``, or a module that returns one number.
    """

    is_probabilistic = False
    has_values = True
    n_outputs = 1

    def __init__(self, criterion: Callable):
        super().__init__()
        # A module is copied: training its parameters leaves the user's object as it is.
        self.criterion = copy.deepcopy(criterion) if isinstance(criterion, nn.Module) else criterion

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


class LocationScale(Distribution):
    r"""A distribution with location :math:`\mu` and scale :math:`\sigma`; minus log density.

    Of a subclass, `scale_of_error`, `loss`, `sample` and `frozen` are needed.
    """

    has_unit = False
    n_outputs = 2
    # The scale that goes with a mean absolute error of 1.
    scale_of_error: float

    def start(self, error: Tensor) -> Tensor:
        """Start with the scale of an error of this mean size."""
        scale = before_softplus(self.scale_of_error * error)
        return torch.stack([torch.zeros_like(error), scale], dim=-1)

    def forward(self, outputs: Tensor) -> Tensor:
        """Location, scale."""
        return torch.cat([outputs[..., :1], softplus(outputs[..., 1:]) + LEAST_SCALE], dim=-1)

    def unscaled(self, parameters: np.ndarray, center: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Bring location and scale to the unit of the data."""
        result = parameters.copy()
        result[..., :1] = parameters[..., :1] * scale + center
        result[..., 1:2] *= scale
        return result

    def frozen(self, parameters: np.ndarray) -> Any:
        """The distribution of scipy.stats, from parameters in the unit of the data."""
        raise NotImplementedError("abstract method")

    def quantiles(self, parameters: np.ndarray, levels: Sequence[float] | np.ndarray) -> np.ndarray:
        """Quantiles, (..., A), from parameters in the unit of the data."""
        frozen = self.frozen(parameters)
        return np.stack([frozen.ppf(level) for level in levels], axis=-1)

    def variance(self, parameters: np.ndarray) -> np.ndarray:
        """Variance, (...), from parameters in the unit of the data."""
        return self.frozen(parameters).var()


class Normal(LocationScale):
    r"""Normal distribution, :math:`\tfrac{1}{2} ((y - \mu) / \sigma)^2 + \log \sigma`."""

    scale_of_error = NORMAL_SCALE_OF_ERROR

    def loss(self, parameters: Tensor, target: Tensor) -> Tensor:
        """Minus the log density, without its constant."""
        location, scale = parameters.unbind(-1)
        return 0.5 * ((target - location) / scale).square() + scale.log()

    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        """Location plus scale times a standard normal value, (...)."""
        location, scale = parameters.unbind(-1)
        return location + scale * torch.empty_like(location).normal_(generator=generator)

    def frozen(self, parameters: np.ndarray) -> Any:
        """The distribution of scipy.stats."""
        return stats.norm(parameters[..., 0], parameters[..., 1])

    def skpro(self, parameters: np.ndarray, **labels: Any) -> Any:
        """Distribution of skpro, from parameters (n, C, K)."""
        from skpro.distributions import Normal as NormalOfSkpro

        return NormalOfSkpro(mu=parameters[..., 0], sigma=parameters[..., 1], **labels)


class StudentT(LocationScale):
    r"""Student's t: location, scale, degrees of freedom :math:`\nu > 2`; minus log density."""

    scale_of_error = NORMAL_SCALE_OF_ERROR
    n_outputs = 3
    least: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("least", torch.tensor([LEAST_SCALE, LEAST_DF]), persistent=False)

    def start(self, error: Tensor) -> Tensor:
        """Start with 6 degrees of freedom."""
        df = torch.full_like(error, INITIAL_DF_OUTPUT)[..., None]
        return torch.cat([super().start(error), df], dim=-1)

    def forward(self, outputs: Tensor) -> Tensor:
        """Location, scale, degrees of freedom."""
        positive = softplus(outputs[..., 1:]) + self.least
        return torch.cat([outputs[..., :1], positive], dim=-1)

    def loss(self, parameters: Tensor, target: Tensor) -> Tensor:
        """Minus the log density."""
        # As torch.distributions.StudentT, which checks df on the CPU: a synchronisation a step.
        location, scale, df = parameters.unbind(-1)
        z = (target - location) / scale
        log_constant = (
            scale.log()
            + 0.5 * df.log()
            + 0.5 * math.log(math.pi)
            + torch.lgamma(0.5 * df)
            - torch.lgamma(0.5 * (df + 1.0))
        )
        return log_constant + 0.5 * (df + 1.0) * torch.log1p(z**2.0 / df)

    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        """A normal value over the root of a chi-squared one, scaled and moved, (...)."""
        location, scale, df = parameters.unbind(-1)
        noise = torch.empty_like(location).normal_(generator=generator)
        # torch's gamma draws cannot be seeded by a generator on every device; _standard_gamma can.
        chi = 2 * torch._standard_gamma(df / 2, generator=generator)
        return location + scale * noise * (df / chi).sqrt()

    def frozen(self, parameters: np.ndarray) -> Any:
        """The distribution of scipy.stats."""
        return stats.t(parameters[..., 2], parameters[..., 0], parameters[..., 1])

    def skpro(self, parameters: np.ndarray, **labels: Any) -> Any:
        """Distribution of skpro, from parameters (n, C, K)."""
        from skpro.distributions import TDistribution

        location, scale, df = np.moveaxis(parameters, -1, 0)
        return TDistribution(mu=location, sigma=scale, df=df, **labels)


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
        if self.levels[self.middle] == 0.5:
            return parameters[..., self.middle]
        weights = self._weights([0.5])[:, 0]
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

    def _weights(self, levels: Sequence[float] | np.ndarray) -> np.ndarray:
        """Weights (K, A) of the trained quantiles in the one at each level."""
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
        return parameters @ self._weights(levels)


# Distributions by the name that the ``criterion`` parameter takes.
DISTRIBUTIONS: dict[str, Callable[[Sequence[float]], Distribution]] = {
    "normal": lambda quantiles: Normal(),
    "studentt": lambda quantiles: StudentT(),
    "quantile": Quantiles,
}


def is_probabilistic(criterion: Any) -> bool:
    """Return whether a ``criterion`` forecasts a distribution."""
    if isinstance(criterion, Distribution):
        return criterion.is_probabilistic
    return isinstance(criterion, str) and criterion in DISTRIBUTIONS


def distribution_of(criterion: Any, quantiles: Sequence[float]) -> Distribution:
    """Return the distribution that a forecaster's ``criterion`` asks for, untrained."""
    if isinstance(criterion, Distribution):
        return copy.deepcopy(criterion)
    if isinstance(criterion, nn.Module):
        return Point(criterion)
    if criterion in CRITERIA:
        return Point(CRITERIA[criterion])
    return DISTRIBUTIONS[criterion](quantiles)


def before_softplus(value: Tensor) -> Tensor:
    """Return what softplus turns into a positive value."""
    value = value.clamp(min=LEAST_SCALE)
    return value + torch.log(-torch.expm1(-value))


def empirical(
    values: np.ndarray, index: pd.Index, columns: pd.Index, time_indep: bool = True
) -> Any:
    """Return the distribution of skpro of equally likely values (n, C, V).

    Parameters
    ----------
    values : np.ndarray of shape (n, C, V)
    index, columns : pd.Index
        Labels of the n rows and C columns.
    time_indep : bool, default=True
        Whether rows are independent; if not, a sample of skpro is one of the V paths.
    """
    from skpro.distributions import Empirical

    n = values.shape[-1]
    parts = [index.get_level_values(i) for i in range(index.nlevels)]
    keys = [np.repeat(np.arange(n), len(index))]
    keys += [part.take(np.tile(np.arange(len(index)), n)) for part in parts]
    rows = pd.MultiIndex.from_arrays(keys, names=["sample", *index.names])
    flat = np.moveaxis(values, -1, 0).reshape(n * len(index), -1)
    frame = pd.DataFrame(flat, index=rows, columns=columns)
    return Empirical(frame, time_indep=time_indep, index=index, columns=columns)
