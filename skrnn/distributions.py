"""Distributions: what the network's outputs say of a value, their loss, quantiles and variance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn.functional import softplus

# Elementwise losses on scaled values. Huber's bend lies at 1, one unit of the scaled series.
CRITERIA: dict[str, Callable] = {
    "mae": nn.functional.l1_loss,
    "mse": nn.functional.mse_loss,
    "huber": nn.functional.huber_loss,
}
DISTRIBUTIONS = ("normal", "studentt", "quantile")

# Smallest scale, in units of the scaled series: a perfect forecast has no infinite likelihood.
LEAST_SCALE = 1e-4
# Levels at which a distribution that is no formula is shown to skpro.
GRID = (np.arange(200) + 0.5) / 200


class Distribution:
    """What K outputs of the network say of one value; parameters are the last axis, (..., K).

    The first output is the location, to which the network adds its mix of naive forecasts.
    """

    is_probabilistic = True
    # Whether the loss grows with the unit of the values: a log density does not.
    has_unit = True
    # Whether the location is a median, which a rare value does not move.
    is_median = False
    n_parameters: int

    def start(self, error: Tensor) -> Tensor:
        """Outputs (..., K) from which training starts, given the naive mix's mean error."""
        raise NotImplementedError("abstract method")

    def parameters(self, outputs: Tensor) -> Tensor:
        """Turn outputs of the network into parameters in their ranges, (..., K)."""
        return outputs

    def loss(self, parameters: Tensor, target: Tensor) -> Tensor:
        """Loss of each value, (...)."""
        raise NotImplementedError("abstract method")

    def mean_loss(self, parameters: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Mean loss over the targets that count; parameters (..., K), target and weight (...)."""
        return (self.loss(parameters, target) * weight).sum() / weight.sum().clamp(min=1e-6)

    def point(self, parameters: Any) -> Any:
        """Point forecast, (...), of parameters in torch or numpy."""
        return parameters[..., 0]

    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        """One value of each distribution, (...)."""
        raise NotImplementedError("abstract method")

    def unscaled(self, parameters: np.ndarray, center: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Bring parameters to the unit of the data; center and scale broadcast over (..., 1)."""
        return parameters * scale + center

    def quantiles(self, parameters: np.ndarray, levels: Sequence[float] | np.ndarray) -> np.ndarray:
        """Quantiles, (..., A), of parameters in the unit of the data."""
        raise NotImplementedError("abstract method")

    def variance(self, parameters: np.ndarray) -> np.ndarray:
        """Variance, (...), of parameters in the unit of the data."""
        return self.quantiles(parameters, GRID).var(-1)

    def skpro(self, parameters: np.ndarray, **labels: Any) -> Any:
        """The distribution as skpro has it, of parameters (n, C, K) in the unit of the data."""
        return _empirical(self.quantiles(parameters, GRID), **labels)


class Point(Distribution):
    """A single number for each value, and the loss of it.

    Parameters
    ----------
    criterion : callable
        Elementwise with ``reduction="none"``, or a user's module, which returns one number.
    """

    is_probabilistic = False
    n_parameters = 1

    def __init__(self, criterion: Callable):
        self.criterion = criterion
        self.is_median = criterion is CRITERIA["mae"] or isinstance(criterion, nn.L1Loss)

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
        # A user's module reduces as it likes, so it is shown only what counts.
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


class Normal(Distribution):
    r"""Normal distribution of location :math:`\mu`, scale :math:`\sigma`; minus log density."""

    has_unit = False
    n_parameters = 2

    def start(self, error: Tensor) -> Tensor:
        """Start with the scale of a normal error of this mean size."""
        return torch.stack([torch.zeros_like(error), _before_softplus(1.25 * error)], dim=-1)

    def parameters(self, outputs: Tensor) -> Tensor:
        """Location, scale."""
        return torch.cat([outputs[..., :1], softplus(outputs[..., 1:]) + LEAST_SCALE], dim=-1)

    def loss(self, parameters: Tensor, target: Tensor) -> Tensor:
        """Minus the log density, but for a constant."""
        location, scale = parameters.unbind(-1)
        return 0.5 * ((target - location) / scale).square() + scale.log()

    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        """One value of each distribution, (...)."""
        location, scale = parameters.unbind(-1)
        noise = torch.empty_like(location).normal_(generator=generator)
        return location + scale * noise

    def unscaled(self, parameters: np.ndarray, center: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Bring location and scale to the unit of the data."""
        made = parameters.copy()
        made[..., :1] = parameters[..., :1] * scale + center
        made[..., 1:2] *= scale
        return made

    def frozen(self, parameters: np.ndarray) -> Any:
        """The distribution as scipy has it."""
        return stats.norm(parameters[..., 0], parameters[..., 1])

    def quantiles(self, parameters: np.ndarray, levels: Sequence[float] | np.ndarray) -> np.ndarray:
        """Quantiles, (..., A), of parameters in the unit of the data."""
        return np.stack([self.frozen(parameters).ppf(level) for level in levels], axis=-1)

    def variance(self, parameters: np.ndarray) -> np.ndarray:
        """Variance, (...), of parameters in the unit of the data."""
        return self.frozen(parameters).var()

    def skpro(self, parameters: np.ndarray, **labels: Any) -> Any:
        """The distribution as skpro has it, of parameters (n, C, K)."""
        from skpro.distributions import Normal as NormalOfSkpro

        return NormalOfSkpro(mu=parameters[..., 0], sigma=parameters[..., 1], **labels)


class StudentT(Normal):
    r"""Student's t: location, scale, degrees of freedom :math:`\nu > 2`; minus log density."""

    n_parameters = 3

    def start(self, error: Tensor) -> Tensor:
        """Start with 6 degrees of freedom."""
        return torch.cat([super().start(error), torch.full_like(error, 4.0)[..., None]], dim=-1)

    def parameters(self, outputs: Tensor) -> Tensor:
        """Location, scale, degrees of freedom; above two, for otherwise there is no variance."""
        positive = softplus(outputs[..., 1:])
        least = positive.new_tensor([LEAST_SCALE, 2.01])
        return torch.cat([outputs[..., :1], positive + least], dim=-1)

    def loss(self, parameters: Tensor, target: Tensor) -> Tensor:
        """Minus the log density."""
        location, scale, df = parameters.unbind(-1)
        return -torch.distributions.StudentT(df, location, scale, validate_args=False).log_prob(
            target
        )

    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        """A normal value over the root of a chi-squared one."""
        location, scale, df = parameters.unbind(-1)
        noise = torch.empty_like(location).normal_(generator=generator)
        # torch's gamma draws cannot be seeded by a generator on every device; _standard_gamma can.
        chi = 2 * torch._standard_gamma(df / 2, generator=generator)
        return location + scale * noise * (df / chi).sqrt()

    def frozen(self, parameters: np.ndarray) -> Any:
        """The distribution as scipy has it."""
        return stats.t(parameters[..., 2], parameters[..., 0], parameters[..., 1])

    def skpro(self, parameters: np.ndarray, **labels: Any) -> Any:
        """The distribution as skpro has it."""
        from skpro.distributions import TDistribution

        location, scale, df = np.moveaxis(parameters, -1, 0)
        return TDistribution(mu=location, sigma=scale, df=df, **labels)


class Quantiles(Distribution):
    r"""Quantiles at fixed levels, which never cross; the mean of their pinball losses.

    The location is the quantile nearest to the median; each of the others lies a positive
    distance further out. Between the levels, and beyond them, the quantile function is linear in
    the quantile of the standard normal distribution, so that normal quantiles are continued as
    normal ones.

    Parameters
    ----------
    levels : sequence of float
        In (0, 1).
    """

    def __init__(self, levels: Sequence[float]):
        self.levels = np.unique(np.asarray(levels, dtype=np.float64))
        self.n_parameters = len(self.levels)
        self.middle = int(np.abs(self.levels - 0.5).argmin())
        self.is_median = bool(self.levels[self.middle] == 0.5)

    def start(self, error: Tensor) -> Tensor:
        """Start with the distances of a normal error of this mean size."""
        gaps = torch.from_numpy(np.diff(stats.norm.ppf(self.levels))).to(error)
        distances = _before_softplus(1.25 * error[..., None] * gaps)
        return torch.cat([torch.zeros_like(error)[..., None], distances], dim=-1)

    def parameters(self, outputs: Tensor) -> Tensor:
        """Quantiles, ascending."""
        location, gaps = outputs[..., :1], softplus(outputs[..., 1:])
        below = location - gaps[..., : self.middle].flip(-1).cumsum(-1).flip(-1)
        above = location + gaps[..., self.middle :].cumsum(-1)
        return torch.cat([below, location, above], dim=-1)

    def loss(self, parameters: Tensor, target: Tensor) -> Tensor:
        """Twice the mean pinball loss: the absolute error, were the median the only level."""
        level = torch.from_numpy(self.levels).to(parameters)
        over = target[..., None] - parameters
        return 2 * torch.maximum(level * over, (level - 1) * over).mean(-1)

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
        knots = torch.from_numpy(stats.norm.ppf(self.levels)).to(parameters)
        if len(knots) == 1:
            return parameters[..., 0]
        k = torch.searchsorted(knots, z.contiguous()).clamp(1, len(knots) - 1)
        low, high = knots[k - 1], knots[k]
        left = parameters.gather(-1, (k - 1)[..., None])[..., 0]
        right = parameters.gather(-1, k[..., None])[..., 0]
        return left + (right - left) * (z - low) / (high - low)

    def _weights(self, levels: Sequence[float] | np.ndarray) -> np.ndarray:
        """Weights (K, A) of the trained quantiles in the one at each level."""
        knots, z = stats.norm.ppf(self.levels), stats.norm.ppf(np.asarray(levels, dtype=float))
        weights = np.zeros((len(knots), len(z)))
        if len(knots) == 1:
            return weights + 1.0
        k = np.searchsorted(knots, z).clip(1, len(knots) - 1)
        share = (z - knots[k - 1]) / (knots[k] - knots[k - 1])
        columns = np.arange(len(z))
        weights[k - 1, columns] = 1 - share
        weights[k, columns] += share
        return weights

    def quantiles(self, parameters: np.ndarray, levels: Sequence[float] | np.ndarray) -> np.ndarray:
        """Quantiles, (..., A)."""
        return parameters @ self._weights(levels)


class Samples(Distribution):
    """Equally likely values of each forecast, the last axis: sampled paths, or a single point."""

    def point(self, parameters: np.ndarray) -> np.ndarray:
        """Mean, (...)."""
        return parameters.mean(-1)

    def quantiles(self, parameters: np.ndarray, levels: Sequence[float] | np.ndarray) -> np.ndarray:
        """Quantiles, (..., A), of values (..., V)."""
        return np.moveaxis(np.quantile(parameters, levels, axis=-1, method="hazen"), 0, -1)

    def variance(self, parameters: np.ndarray) -> np.ndarray:
        """Variance, (...)."""
        return parameters.var(-1)

    def skpro(self, parameters: np.ndarray, **labels: Any) -> Any:
        """The values as skpro has them."""
        return _empirical(parameters, **labels)


class Residuals(Distribution):
    r"""Split conformal prediction: a point forecast plus quantiles of held-out residuals.

    Of n held-out residuals, in ascending order, the one at place :math:`\lceil (n + 1) a \rceil`
    is the quantile at level a above the median, :math:`\lfloor (n + 1) a \rfloor` below: an
    interval covers at least its share of exchangeable residuals, as far as n can tell.

    Parameters
    ----------
    residuals : list of list of np.ndarray
        Of each horizon and column, relative to the size of the errors of their series.

    Notes
    -----
    Parameters are (..., 3): forecast, size of the errors, number of the horizon.

    References
    ----------
    J. Lei et al., "Distribution-Free Predictive Inference for Regression", JASA 113, 2018.
    """

    def __init__(self, residuals: list[list[np.ndarray]]):
        self.residuals = [[np.sort(column) for column in row] for row in residuals]

    def quantiles(self, parameters: np.ndarray, levels: Sequence[float] | np.ndarray) -> np.ndarray:
        """Quantiles, (n, C, A), of parameters (n, C, 3)."""
        table = np.array([[_ranked(r, levels) for r in row] for row in self.residuals])  # (J, C, A)
        location, size, horizon = np.moveaxis(parameters, -1, 0)
        column = np.arange(parameters.shape[-2])
        return location[..., None] + size[..., None] * table[horizon.astype(np.int64), column]


def _ranked(residuals: np.ndarray, levels: Sequence[float] | np.ndarray) -> np.ndarray:
    """Conformal quantiles of ascending residuals."""
    n, level = len(residuals), np.asarray(levels, dtype=np.float64)
    place = (n + 1) * level
    # 1e-9: 0.95 * 20 is 19, whatever the rounding says.
    rank = np.where(level > 0.5, np.ceil(place - 1e-9), np.floor(place + 1e-9))
    return residuals[np.clip(rank, 1, n).astype(np.int64) - 1]


def _empirical(values: np.ndarray, index: pd.Index, columns: pd.Index) -> Any:
    """Distribution of skpro of equally likely values (n, C, V)."""
    from skpro.distributions import Empirical

    n = values.shape[-1]
    parts = [index.get_level_values(i) for i in range(index.nlevels)]
    keys = [np.repeat(np.arange(n), len(index))]
    keys += [part.take(np.tile(np.arange(len(index)), n)) for part in parts]
    rows = pd.MultiIndex.from_arrays(keys, names=["sample", *index.names])
    flat = np.moveaxis(values, -1, 0).reshape(n * len(index), -1)
    return Empirical(pd.DataFrame(flat, index=rows, columns=columns), index=index, columns=columns)


def distribution_of(criterion: Any, quantiles: Sequence[float]) -> Distribution:
    """What a forecaster's ``criterion`` makes of the network's outputs."""
    if isinstance(criterion, nn.Module):
        return Point(criterion)
    if criterion in CRITERIA:
        return Point(CRITERIA[criterion])
    made = {"normal": Normal, "studentt": StudentT, "quantile": lambda: Quantiles(quantiles)}
    return made[criterion]()


def _before_softplus(value: Tensor) -> Tensor:
    """What softplus turns into a positive value."""
    value = value.clamp(min=LEAST_SCALE)
    return value + torch.log(-torch.expm1(-value))
