"""The prior: how close the forecast of a short series stays to its naive mix."""

from __future__ import annotations

from torch import Tensor

from skrnn.features.features import Features
from skrnn.network.network import RecurrentNetwork

# Observations that the prior counts as: for a network that reads its series alone, and for one that
# reads more, which no naive forecast knows. Chosen on short series, on the seasons before the last
# two (decisions 10 and 11).
PRIOR_OBSERVATIONS, PRIOR_OBSERVATIONS_WITH_X = 2_000.0, 50.0
PRIOR_EXPONENT = 1.5
# Ridge penalty of one observed season, where the naive forecasts cover the inputs, and the number
# of observations that halves it (decision 12).
PENALTY_OF_ONE_SEASON, HALVING_OBSERVATIONS = 500.0, 5_000.0
# Seasons of a series after which the errors of its forecasts are half certain (decision 45).
SEASONS_OF_HALF_CERTAINTY = 150.0


class NaivePrior:
    """A Gaussian prior on the weights that move forecasts away from the naive mix.

    Its penalty is added to the training loss, in units of the mix's error.

    Parameters
    ----------
    network : RecurrentNetwork
    n_observations : int
        Observations of this training. A network that was trained on more before counts those.

    Attributes
    ----------
    weight : float
        Observations that the prior counts as, per observation trained on.
    ridge : float
        Strength of the ridge penalty.
    """

    def __init__(self, network: RecurrentNetwork, n_observations: int):
        self.network = network
        # Read once: the count is on the device, and reading it is a synchronisation.
        n = max(network.n_observations.item(), n_observations)
        self.weight = prior_weight(network.features, n)
        self.ridge = ridge_strength(network.features, n)

    def penalty(self) -> Tensor | float:
        """The penalty on the present weights."""
        return self.ridge * self.network.penalty()


def prior_weight(features: Features, n: float) -> float:
    """Observations that the prior counts as, per observation trained on."""
    alone = features.is_univariate_only
    return (PRIOR_OBSERVATIONS if alone else PRIOR_OBSERVATIONS_WITH_X) / n


def ridge_strength(features: Features, n: float) -> float:
    r"""Strength of the ridge penalty for n observations.

    Where the naive forecasts cover the inputs it is :math:`500\, (p / n) / (1 + (n / 5000)^2)`, for
    a longest season of p steps: from few repetitions a network would memorise the season's profile.
    Elsewhere it is the prior weight to the power 1.5, which leaves room for what naive forecasts
    cannot know.
    """
    if not features.naive_covers_inputs:
        return prior_weight(features, n) ** PRIOR_EXPONENT
    return PENALTY_OF_ONE_SEASON * features.longest_season / n * _share_of_few(n)


def certainty_of_errors(features: Features, n: float, n_series: int) -> float:
    r"""How far the errors of forecasts alone decide how they are mixed, from 0 to 1.

    It is :math:`S / (S + 150) / (1 + (n / 5000)^2)` for n observations of S seasons of each series:
    few seasons say little, and from many observations the network learns a mix of its own.
    """
    n_seasons = n / n_series / features.longest_season
    return n_seasons / (n_seasons + SEASONS_OF_HALF_CERTAINTY) * _share_of_few(n)


def _share_of_few(n: float) -> float:
    """What is left of a rule for few observations, of which one half is left at 5,000."""
    return 1 / (1 + (n / HALVING_OBSERVATIONS) ** 2)
