"""Naive and linear forecasts along paths: what depends on no forecast is computed beforehand."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from skrnn.features.device_panel import DevicePanel
from skrnn.features.naive_forecasts import NaiveForecasts

# Steps of paths whose calendar is looked up at once: a few hundred bytes each.
STEPS_AT_ONCE = 200_000
# Coefficients of the linear forecast that a step reads, for all paths: 160 MB. Those of many
# columns, each by all others, are more.
MOST_COEFFICIENTS = 20_000_000


class LinearParts(NamedTuple):
    """The linear forecast of paths: what past values add, and all else.

    response : by past values, for each of X phases of the season, (X, K C, C').
    fixed : what the calendar and X add at each of H steps, (m, H, C').
    phase : of each of these steps, (m, H).
    """

    response: Tensor
    fixed: Tensor
    phase: Tensor


class PathForecasts:
    """Forecasts of the next value of paths on which all naive forecasts exist.

    Each naive forecast is then a linear function of past values and means, and so is the linear
    forecast but for a part that only the calendar and X decide. A step takes a few operators in the
    place of hundreds.

    Parameters
    ----------
    naive : NaiveForecasts
        Their terms are read.
    linear : LinearParts or None
        None without a linear forecast.
    n_paths : int
        Paths of each of the m cutoffs.
    """

    def __init__(self, naive: NaiveForecasts, linear: LinearParts | None, n_paths: int):
        self.naive, self.linear, self.n_paths = naive, linear, n_paths

    @classmethod
    def of(
        cls,
        naive: NaiveForecasts,
        data: DevicePanel,
        series: Tensor,
        cutoff: Tensor,
        earliest: int,
        horizon: int,
        n_paths: int,
    ) -> PathForecasts | None:
        """Those of ``horizon`` steps from each cutoff (m,), of which the earliest is given.

        None if a naive forecast does not exist at one of them or is not linear, or if the linear
        forecasts of so many columns take too much memory.
        """
        if naive.term_places is None or earliest < naive.features.history:
            return None
        linear = naive.linear
        if linear is None:
            return cls(naive, None, n_paths)
        response = linear.response()
        if len(series) * n_paths * response[0].numel() > MOST_COEFFICIENTS:
            return None
        n_at_once = max(1, STEPS_AT_ONCE // len(series))
        parts = []
        for first in range(0, horizon, n_at_once):
            h = torch.arange(first, min(first + n_at_once, horizon), device=cutoff.device)
            given: Any = data.regressors(series, cutoff[:, None] + h)
            parts.append((linear.without_past(given), linear.crossed_phase(given)))
        fixed, phase = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
        return cls(naive, LinearParts(response, fixed[:, :, 0], phase), n_paths)

    def at(self, h: int, past: Tensor, means: Tensor | None) -> Tensor:
        """Forecasts of step h, (n, 1, 1, C, N), from past values (n, K, C) and means."""
        # Sums of products, for a graphics processor may round the terms of matrix products.
        known = past if means is None else torch.cat([past, means[:, 0].flatten(1, 2)], dim=1)
        places: Any = self.naive.term_places
        weights: Any = self.naive.term_weights
        terms = known.index_select(1, places.flatten()).unflatten(1, places.shape)  # (n, R, N, C)
        forecasts = (terms * weights[..., None]).sum(1).transpose(1, 2)
        if self.linear is not None:
            phase = self.linear.phase[:, h].repeat_interleave(self.n_paths, 0)
            response = F.embedding(phase, self.linear.response.flatten(1))
            response = response.view(len(past), -1, self.linear.response.shape[-1])
            fixed = self.linear.fixed[:, h].repeat_interleave(self.n_paths, 0)
            linear = (past.flatten(1)[..., None] * response).sum(1) + fixed
            forecasts = torch.cat([forecasts, linear[..., None]], dim=-1)
        return forecasts[:, None, None]
