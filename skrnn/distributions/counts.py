"""Distributions of counts: Poisson and negative binomial."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor
from torch.nn.functional import softplus

from skrnn.distributions.base import Distribution

# Where the location is negative, the mean is still positive: it is about this at 0, in units of the
# scaled series.
MEAN_AT_ZERO = 0.02
# A dispersion below this is that of a Poisson distribution.
LEAST_DISPERSION = 1e-4
# Output whose softplus is the first dispersion: 0.3.
INITIAL_DISPERSION_OUTPUT = -1.0


class Counts(Distribution):
    r"""A distribution of whole numbers from 0, with mean :math:`m`; minus log probability.

    Series of counts are scaled but not shifted, so that zero stays zero: the values are counts
    divided by the scale u of their series, which is the last parameter. The mean is a smooth
    positive part of the location l, :math:`m = (l + \sqrt{l^2 + 4 \epsilon^2}) / 2`. The point
    forecast is the mean.

    Of a subclass, `loss`, `sample` and `frozen` are needed. All of them get parameters of values;
    times u these are counts.

    Examples
    --------
    Counts that are geometric, the negative binomial distribution of dispersion 1:

    >>> import torch
    >>> from scipy import stats
    >>> from skrnn.distributions import Counts
    >>> class Geometric(Counts):
    ...     def loss(self, parameters, target):
    ...         mean, scale = parameters.unbind(-1)
    ...         count = scale * target
    ...         return (count + 1) * torch.log1p(scale * mean) - count * (scale * mean).log()
    ...     def sample(self, parameters, generator):
    ...         mean, scale = parameters.unbind(-1)
    ...         gamma = torch.empty_like(mean).exponential_(generator=generator) * scale * mean
    ...         return torch.poisson(gamma, generator=generator) / scale
    ...     def frozen(self, parameters):
    ...         return stats.nbinom(1, 1 / (1 + parameters[..., 0] * parameters[..., 1]))
    >>> from skrnn import GRUForecaster
    >>> import pandas as pd
    >>> y = pd.Series([0, 2, 1, 0, 5, 1] * 20)
    >>> forecaster = GRUForecaster(criterion=Geometric(), num_epochs=2, random_state=0).fit(y)
    >>> forecaster.predict_quantiles(fh=[1], alpha=[0.05]).iloc[0, 0]
    np.float64(0.0)
    """

    of_counts = True
    has_unit = False
    n_outputs = 1

    @property
    def n_parameters(self) -> int:
        """The outputs and the scale."""
        return self.n_outputs + 1

    def start(self, error: Tensor) -> Tensor:
        """Start from the naive mix."""
        return torch.zeros_like(error)[..., None]

    def forward(self, outputs: Tensor) -> Tensor:
        """Mean, further parameters, scale."""
        location = outputs[..., :1]
        mean = (location + (location.square() + 4 * MEAN_AT_ZERO**2).sqrt()) / 2
        return torch.cat([mean, outputs[..., 1:]], dim=-1)

    def unscaled(self, parameters: np.ndarray, center: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Bring the mean to counts, and so the scale to 1."""
        result = parameters.copy()
        result[..., :1] *= scale
        result[..., -1] = 1.0
        return result

    def frozen(self, parameters: np.ndarray) -> Any:
        """The distribution of scipy.stats of the counts.

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
        """Quantiles, (..., A): the least counts up to which a share of the level lies."""
        frozen, scale = self.frozen(parameters), parameters[..., -1]
        return np.stack([frozen.ppf(level) / scale for level in levels], axis=-1)

    def variance(self, parameters: np.ndarray) -> np.ndarray:
        """Variance, (...)."""
        return self.frozen(parameters).var() / parameters[..., -1] ** 2

    def mean(self, parameters: np.ndarray) -> np.ndarray:
        """Mean, (...)."""
        return self.frozen(parameters).mean() / parameters[..., -1]

    def cdf(self, parameters: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Probability of at most a value, (..., A), of values (..., A)."""
        parameters = parameters[..., None, :]
        return self.frozen(parameters).cdf(values * parameters[..., -1])


class Poisson(Counts):
    r"""Poisson distribution of counts y with mean :math:`\mu = u m`: :math:`\mu - y \log \mu`.

    Examples
    --------
    >>> import numpy as np
    >>> from skrnn.distributions import Poisson
    >>> Poisson().quantiles(np.array([2.0, 1.0]), [0.05, 0.95])  # mean 2, scale 1
    array([0., 5.])
    """

    def loss(self, parameters: Tensor, target: Tensor) -> Tensor:
        """Minus the log probability, without the logarithm of y!, of each value z."""
        mean, scale = parameters.unbind(-1)
        return scale * (mean - target * (scale * mean).log())

    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        """A Poisson count, divided by the scale, (...)."""
        mean, scale = parameters.unbind(-1)
        return torch.poisson(mean * scale, generator=generator) / scale

    def frozen(self, parameters: np.ndarray) -> Any:
        """The distribution of scipy.stats."""
        return stats.poisson(parameters[..., 0] * parameters[..., -1])

    def skpro(self, parameters: np.ndarray, **labels: Any) -> Any:
        """Distribution of skpro, from parameters (n, C, K) in the unit of the data."""
        from skpro.distributions import Poisson as PoissonOfSkpro

        return PoissonOfSkpro(mu=parameters[..., 0], **labels)


class NegativeBinomial(Counts):
    r"""Negative binomial distribution: mean :math:`\mu = u m`, dispersion :math:`\alpha`.

    The variance is :math:`\mu + \alpha \mu^2`. With :math:`r = 1 / \alpha`, the probability of the
    count y is :math:`\frac{\Gamma(y + r)}{\Gamma(r)\, y!}\, (\frac{r}{r + \mu})^r
    (\frac{\mu}{r + \mu})^y`.

    Examples
    --------
    >>> import numpy as np
    >>> from skrnn.distributions import NegativeBinomial
    >>> parameters = np.array([2.0, 0.5, 1.0])  # mean 2, dispersion 0.5, scale 1
    >>> NegativeBinomial().variance(parameters).round(6)
    np.float64(4.0)
    """

    n_outputs = 2

    def start(self, error: Tensor) -> Tensor:
        """Start with a dispersion of 0.3."""
        dispersion = torch.full_like(error, INITIAL_DISPERSION_OUTPUT)
        return torch.stack([torch.zeros_like(error), dispersion], dim=-1)

    def forward(self, outputs: Tensor) -> Tensor:
        """Mean, dispersion, scale."""
        mean, raw, scale = super().forward(outputs).split(1, dim=-1)
        return torch.cat([mean, softplus(raw) + LEAST_DISPERSION, scale], dim=-1)

    def loss(self, parameters: Tensor, target: Tensor) -> Tensor:
        """Minus the log probability, without the logarithm of y!, of each value z."""
        mean, dispersion, scale = parameters.unbind(-1)
        mean, count, r = scale * mean, scale * target, dispersion.reciprocal()
        log_probability = torch.lgamma(count + r) - torch.lgamma(r)
        log_probability = log_probability - r * torch.log1p(mean * dispersion)
        return count * torch.log(r + mean) - count * mean.log() - log_probability

    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        """A Poisson count whose mean is drawn from a gamma distribution, over the scale, (...)."""
        mean, dispersion, scale = parameters.unbind(-1)
        # torch's gamma draws cannot be seeded by a generator on every device; _standard_gamma can.
        drawn = torch._standard_gamma(dispersion.reciprocal(), generator=generator) * dispersion
        return torch.poisson(drawn * mean * scale, generator=generator) / scale

    def frozen(self, parameters: np.ndarray) -> Any:
        """The distribution of scipy.stats."""
        mean, dispersion, scale = np.moveaxis(parameters, -1, 0)
        return stats.nbinom(1 / dispersion, 1 / (1 + dispersion * mean * scale))

    def skpro(self, parameters: np.ndarray, **labels: Any) -> Any:
        """Distribution of skpro, from parameters (n, C, K) in the unit of the data."""
        from skpro.distributions import NegativeBinomial as NegativeBinomialOfSkpro

        return NegativeBinomialOfSkpro(mu=parameters[..., 0], alpha=parameters[..., 1], **labels)


COUNTS: dict[str, Callable[[Sequence[float]], Distribution]] = {
    "poisson": lambda quantiles: Poisson(),
    "negbinomial": lambda quantiles: NegativeBinomial(),
}
