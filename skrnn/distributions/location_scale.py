"""Distributions with a location and a scale: normal and Student's t."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor
from torch.nn.functional import softplus

from skrnn.distributions.base import LEAST_SCALE, Distribution, before_softplus

# Standard deviation of a normal error, in units of its mean absolute value: sqrt(pi / 2).
NORMAL_SCALE_OF_ERROR = 1.25
# Degrees of freedom above which Student's t has a variance, with a margin; initial value of the
# output whose softplus is added to it: 6 degrees of freedom.
LEAST_DF, INITIAL_DF_OUTPUT = 2.01, 4.0


class LocationScale(Distribution):
    r"""A distribution with location :math:`\mu` and scale :math:`\sigma`; minus log density.

    Of a subclass, `scale_of_error`, `loss`, `sample` and `frozen` are needed.

    Examples
    --------
    A logistic distribution, whose scale is its mean absolute error over 2 log 2:

    >>> import math
    >>> import torch
    >>> from scipy import stats
    >>> from torch.nn.functional import softplus
    >>> from skrnn import GRUForecaster
    >>> from skrnn.datasets import make_hourly_load
    >>> from skrnn.distributions import LocationScale
    >>> class Logistic(LocationScale):
    ...     scale_of_error = 1 / (2 * math.log(2))
    ...     def loss(self, parameters, target):
    ...         location, scale = parameters.unbind(-1)
    ...         z = (target - location) / scale
    ...         return z + 2 * softplus(-z) + scale.log()
    ...     def sample(self, parameters, generator):
    ...         location, scale = parameters.unbind(-1)
    ...         u = torch.empty_like(location).uniform_(generator=generator)
    ...         return location + scale * torch.logit(u, eps=1e-6)
    ...     def frozen(self, parameters):
    ...         return stats.logistic(parameters[..., 0], parameters[..., 1])
    >>> y = make_hourly_load(n_series=1, n_hours=500, random_state=0)
    >>> forecaster = GRUForecaster(criterion=Logistic(), num_epochs=1, random_state=0).fit(y)
    >>> forecaster.predict_interval(fh=[1, 2], coverage=0.9).shape
    (2, 2)
    """

    has_point_at_location = True
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
        """The distribution of scipy.stats.

        Parameters
        ----------
        parameters : np.ndarray of shape (..., K)
            Parameters of each forecast, in the unit of the data.

        Returns
        -------
        frozen distribution of scipy.stats, of shape (...)
            Of which quantiles, probabilities, mean and variance are taken.
        """
        raise NotImplementedError("abstract method")

    def quantiles(self, parameters: np.ndarray, levels: Sequence[float] | np.ndarray) -> np.ndarray:
        """Quantiles, (..., A), from parameters in the unit of the data."""
        frozen = self.frozen(parameters)
        return np.stack([frozen.ppf(level) for level in levels], axis=-1)

    def variance(self, parameters: np.ndarray) -> np.ndarray:
        """Variance, (...), from parameters in the unit of the data."""
        return self.frozen(parameters).var()

    def mean(self, parameters: np.ndarray) -> np.ndarray:
        """Mean, (...), from parameters in the unit of the data."""
        return self.frozen(parameters).mean()

    def cdf(self, parameters: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Probability of at most a value, (..., A), of values (..., A)."""
        return self.frozen(parameters[..., None, :]).cdf(values)


class Normal(LocationScale):
    r"""Normal distribution, :math:`\tfrac{1}{2} ((y - \mu) / \sigma)^2 + \log \sigma`.

    Examples
    --------
    >>> import numpy as np
    >>> from skrnn.distributions import Normal
    >>> Normal().quantiles(np.array([100.0, 10.0]), [0.5, 0.975]).round(1)
    array([100. , 119.6])
    """

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
    r"""Student's t: location, scale, degrees of freedom :math:`\nu > 2`; minus log density.

    Examples
    --------
    >>> import numpy as np
    >>> from skrnn.distributions import StudentT
    >>> StudentT().quantiles(np.array([100.0, 10.0, 4.0]), [0.5, 0.975]).round(1)
    array([100. , 127.8])
    """

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


LOCATION_SCALE: dict[str, Callable[[Sequence[float]], Distribution]] = {
    "normal": lambda quantiles: Normal(),
    "studentt": lambda quantiles: StudentT(),
}
