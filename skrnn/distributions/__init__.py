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
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from skrnn.distributions.base import Distribution, Predictive
from skrnn.distributions.counts import COUNTS, Counts, NegativeBinomial, Poisson
from skrnn.distributions.location_scale import LOCATION_SCALE, LocationScale, Normal, StudentT
from skrnn.distributions.values import CRITERIA, QUANTILES, Point, Quantiles

__all__ = [
    "Counts",
    "Distribution",
    "LocationScale",
    "NegativeBinomial",
    "Normal",
    "Point",
    "Poisson",
    "Predictive",
    "Quantiles",
    "StudentT",
]

# By the name that the ``criterion`` parameter takes.
DISTRIBUTIONS: dict[str, Callable[[Sequence[float]], Distribution]] = {
    **LOCATION_SCALE,
    **QUANTILES,
    **COUNTS,
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
