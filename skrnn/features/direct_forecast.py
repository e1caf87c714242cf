"""The direct forecast: a fixed mix of naive and linear forecasts, made at once for each step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skrnn.features.batch import Targets
from skrnn.features.features import Features
from skrnn.features.naive_forecasts import NaiveForecasts

# Share in the average with recursive forecasts, far ahead, before held-out paths estimate it.
INITIAL_SHARE = 0.5


class DirectForecast(nn.Module):
    """A fixed mix of the naive and linear forecasts of each step up to a season ahead.

    Recursive forecasts are averaged with it.

    Parameters
    ----------
    features : Features
        Its horizons are those of the direct forecast.
    """

    weights: Tensor
    share: Tensor

    def __init__(self, features: Features):
        super().__init__()
        self.features = features
        self.naive_forecasts = NaiveForecasts(features)
        n_horizons = len(features.horizons)
        shape = (n_horizons, features.n_outputs, features.n_mixed)
        self.register_buffer("weights", torch.full(shape, 1 / features.n_mixed))
        # Share of the direct forecast in the average with a recursive one.
        h = torch.arange(1.0, n_horizons + 1)
        self.register_buffer("share", INITIAL_SHARE * (1 - 1 / h))

    def forward(self, targets: Targets) -> Tensor:
        """Forecasts, (B, L, J, C)."""
        weights, forecasts = self.mixed(targets)
        return (weights * forecasts).sum(-1)

    def mixed(self, targets: Targets) -> tuple[Tensor, Tensor]:
        """Weights that sum to one, and the forecasts that they mix, (B, L, J, C, N) each."""
        forecasts, exists = self.naive_forecasts(targets)
        weights = self.weights * exists
        total = weights.sum(-1, keepdim=True)
        # Where none exists, the last value, which is the first of the mix.
        first = torch.zeros_like(weights)
        first[..., 0] = 1.0
        weights = weights / total.clamp(min=torch.finfo(total.dtype).tiny)
        return weights.where(total > 0, first), forecasts
