"""What a distribution is: parameters of a value, and what can be said from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import special
from torch import Tensor, nn

# Smallest scale, in units of the scaled series: a perfect forecast has no infinite likelihood.
LEAST_SCALE = 1e-4
# A batch without any target that counts has loss 0: its weights are divided by this, not by 0.
LEAST_WEIGHT = 1e-6
# Levels at which a distribution without a formula is handed to skpro and its variance computed.
GRID = (np.arange(200) + 0.5) / 200
# Quantiles of the standard normal distribution between whose levels a distribution function without
# a formula is interpolated.
Z_OF_GRID = np.linspace(-4, 4, 65)


class Predictive:
    """Points, quantiles and variance of forecasts, from parameters (..., K) in numpy.

    Examples
    --------
    The rectangular distribution from a to b, whose parameters these are:

    >>> import numpy as np
    >>> from skrnn.distributions import Predictive
    >>> class Rectangular(Predictive):
    ...     def quantiles(self, parameters, levels):
    ...         start, end = parameters[..., :1], parameters[..., 1:]
    ...         return start + (end - start) * np.asarray(levels)
    >>> parameters = np.array([0.0, 12.0])
    >>> Rectangular().quantiles(parameters, [0.25, 0.5])
    array([3., 6.])
    >>> Rectangular().variance(parameters).round(1)  # 12^2 / 12
    np.float64(12.0)
    """

    # Whether all parameters are values that may come: points, quantiles or samples.
    has_values = False

    def point(self, parameters: Any) -> Any:
        """Point forecast.

        Parameters
        ----------
        parameters : Tensor or np.ndarray of shape (..., K)
            Parameters of each forecast, in any unit.

        Returns
        -------
        Tensor or np.ndarray of shape (...)
            One number for each forecast, in the same unit.
        """
        return parameters[..., 0]

    def unscaled(self, parameters: np.ndarray, center: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Bring parameters to the unit of the data.

        Parameters
        ----------
        parameters : np.ndarray of shape (..., K)
            Parameters on the scale of the network.
        center, scale : np.ndarray, broadcast over (..., 1)
            Statistics of the series: a scaled value times ``scale`` plus ``center`` is an
            observation.

        Returns
        -------
        np.ndarray of shape (..., K)
            Parameters in the unit of the data.
        """
        return parameters * scale + center

    def quantiles(self, parameters: np.ndarray, levels: Sequence[float] | np.ndarray) -> np.ndarray:
        """Quantiles.

        Parameters
        ----------
        parameters : np.ndarray of shape (..., K)
            Parameters of each forecast, in the unit of the data.
        levels : sequence of float
            A levels in (0, 1).

        Returns
        -------
        np.ndarray of shape (..., A)
            Quantiles in the unit of the data.
        """
        raise NotImplementedError("abstract method")

    def variance(self, parameters: np.ndarray) -> np.ndarray:
        """Variance, by default that of 200 quantiles.

        Parameters
        ----------
        parameters : np.ndarray of shape (..., K)
            Parameters of each forecast, in the unit of the data.

        Returns
        -------
        np.ndarray of shape (...)
            Variances, in the square of the unit.
        """
        return self.quantiles(parameters, GRID).var(-1)

    def mean(self, parameters: np.ndarray) -> np.ndarray:
        """Mean, by default that of 200 quantiles.

        Parameters
        ----------
        parameters : np.ndarray of shape (..., K)
            Parameters of each forecast, in the unit of the data.

        Returns
        -------
        np.ndarray of shape (...)
            Means in the unit of the data.
        """
        return self.quantiles(parameters, GRID).mean(-1)

    def cdf(self, parameters: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Probability of at most a value, by default interpolated between 65 quantiles.

        Parameters
        ----------
        parameters : np.ndarray of shape (..., K)
            Parameters of each forecast, in the unit of the data.
        values : np.ndarray of shape (..., A)
            A values for each forecast, in the unit of the data.

        Returns
        -------
        np.ndarray of shape (..., A)
            Probabilities.
        """
        knots = self.quantiles(parameters, special.ndtr(Z_OF_GRID))
        return interpolated_cdf(knots, Z_OF_GRID, values)

    def skpro(self, parameters: np.ndarray, **labels: Any) -> Any:
        """Distribution of skpro, by default that of 200 quantiles.

        Parameters
        ----------
        parameters : np.ndarray of shape (n, C, K)
            Parameters of each forecast, in the unit of the data.
        **labels : pd.Index
            ``index`` and ``columns`` of the distribution.

        Returns
        -------
        skpro distribution of shape (n, C)
            The marginal distribution of each forecast.
        """
        return empirical(self.quantiles(parameters, GRID), **labels)


class Distribution(nn.Module, Predictive):
    """What K outputs of the network say about one value; parameters are the last axis, (..., K).

    The first output is the location, to which the network adds its mix of naive forecasts. Of a
    subclass, `n_outputs`, `start`, `loss`, `sample`, `unscaled` and `quantiles` are needed.
    Parameters and buffers of the module are trained and moved to the device with the network.

    Examples
    --------
    A Laplace distribution is in the docstring of `skrnn.distributions`. Those of the package are
    also modules to compute with:

    >>> import torch
    >>> from skrnn.distributions import Distribution, Normal
    >>> normal = Normal()
    >>> isinstance(normal, Distribution), normal.n_parameters
    (True, 2)
    >>> normal(normal.start(torch.tensor(0.8)))  # location and scale for a mean error of 0.8
    tensor([0.0000, 1.000...])
    """

    is_probabilistic = True
    # Whether values are counts, which are scaled but not shifted; see `Counts`.
    of_counts = False
    # Whether the point forecast is the location, to rounding.
    has_point_at_location: bool = False
    # Whether the loss grows with the unit of the values; a log density does not.
    has_unit = True
    # Whether the mean loss of a batch runs the same operators whatever its values are, so that a
    # CUDA graph can hold them. Those of other packages are never captured.
    is_capturable: bool = True
    # K, outputs of the network for each value.
    n_outputs: int

    @property
    def n_parameters(self) -> int:
        """Parameters of each value."""
        return self.n_outputs

    def start(self, error: Tensor) -> Tensor:
        """Outputs from which training starts.

        Parameters
        ----------
        error : Tensor of shape (...)
            Mean absolute error of the mix of naive forecasts, on the scale of the network.

        Returns
        -------
        Tensor of shape (..., n_outputs)
            Outputs whose location is 0, and whose scale is that of such an error.
        """
        raise NotImplementedError("abstract method")

    def forward(self, outputs: Tensor) -> Tensor:
        """Turn outputs of the network, (..., n_outputs), into parameters in their ranges."""
        return outputs

    def loss(self, parameters: Tensor, target: Tensor) -> Tensor:
        """Loss of each value.

        Parameters
        ----------
        parameters : Tensor of shape (..., K)
            Parameters of each forecast, on the scale of the network.
        target : Tensor of shape (...)
            The values that came.

        Returns
        -------
        Tensor of shape (...)
            The lower, the better the forecast.
        """
        raise NotImplementedError("abstract method")

    def mean_loss(self, parameters: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Mean loss over the targets that count.

        Parameters
        ----------
        parameters : Tensor of shape (..., K)
            Parameters of each forecast, on the scale of the network.
        target : Tensor of shape (...)
            The values that came.
        weight : Tensor of shape (...)
            What each of them counts; 0 for a value that is missing.

        Returns
        -------
        Tensor of shape ()
            The mean, weighted.
        """
        return (self.loss(parameters, target) * weight).sum() / weight.sum().clamp(min=LEAST_WEIGHT)

    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        """One random value of each distribution.

        Parameters
        ----------
        parameters : Tensor of shape (..., K)
            Parameters of each forecast, on the scale of the network.
        generator : torch.Generator
            Source of the random numbers, on the device of the parameters.

        Returns
        -------
        Tensor of shape (...)
            Values on the scale of the network.
        """
        raise NotImplementedError("abstract method")


def before_softplus(value: Tensor) -> Tensor:
    """Return what softplus turns into a positive value."""
    value = value.clamp(min=LEAST_SCALE)
    return value + torch.log(-torch.expm1(-value))


def interpolated_cdf(knots: np.ndarray, z: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Probability of at most each value (..., A), by quantiles (..., K) at levels of ascending z.

    Between the quantiles, and beyond them, z is linear in the value.
    """
    gaps = np.maximum(np.diff(knots), np.finfo(np.float64).tiny)
    with np.errstate(over="ignore"):  # a gap without a width is a step
        slopes = np.diff(z) / gaps
        result = z[0] + (values - knots[..., :1]) * slopes[..., :1]
        for k in range(1, len(z) - 1):
            knot, slope = knots[..., k : k + 1], slopes[..., k : k + 1]
            result = np.where(values > knot, z[k] + (values - knot) * slope, result)
    return special.ndtr(result)


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
