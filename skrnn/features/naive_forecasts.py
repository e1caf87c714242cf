"""The naive forecasts of the targets as one module of the network, and their errors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

import torch
from torch import Tensor, nn

from skrnn.features.batch import Chunk, Targets
from skrnn.features.features import Features
from skrnn.features.linear_forecast import LinearForecast
from skrnn.naive import (
    NAIVE_FORECASTS,
    KnownValues,
    NaiveForecast,
    offset_table,
    seasons_back,
)

# Batches on which the naive forecasts are compared.
N_COMPARED_BATCHES = 8
# A naive forecast seen on few targets counts as if it had been as good as the last value on this
# many further ones.
PSEUDO_TARGETS = 2.0
# Added to an error in units of the scaled series, so that a perfect one has a logarithm.
LEAST_ERROR = 1e-6


class NaiveForecasts(nn.Module):
    """All naive forecasts of the targets; nothing in this module is trained.

    Parameters
    ----------
    features : Features
    """

    depth: Tensor
    # Of a single step, where in the past values and means the R terms of each forecast are, and
    # their weights, (R, N); None if a forecast is not linear.
    term_places: Tensor | None
    term_weights: Tensor | None

    def __init__(self, features: Features):
        super().__init__()
        self.features = features
        horizons, forecasts = features.horizons, features.naive_forecasts
        built_in = NAIVE_FORECASTS.values()
        self.has_users_own = any(type(f) not in built_in for f in forecasts)
        position = {offset: k for k, offset in enumerate(features.naive_offsets)}
        constants = {"depth": torch.ones(len(horizons), 0).long()}
        for f in forecasts:
            _check_offsets(f, horizons)
        if forecasts:
            depth = [[f.depth(h) for f in forecasts] for h in horizons]
            constants["depth"] = torch.tensor(depth)  # (J, N)
        for i, f in enumerate(forecasts):
            offsets = offset_table([f.offsets(h) for h in horizons])  # (J, R)
            places = [[position.get(o, 0) for o in row] for row in offsets.tolist()]
            periods_ahead = [h / (seasons_back(h, f.period) * f.period) for h in horizons]
            constants[f"offsets_{i}"] = offsets
            constants[f"position_{i}"] = torch.tensor(places).long()
            constants[f"periods_ahead_{i}"] = torch.tensor(periods_ahead)[:, None].float()
        self.linear = None
        if features.linear_lags:
            self.linear = LinearForecast(features)
            of_linear = torch.full((len(horizons), 1), self.linear.depth)
            constants["depth"] = torch.cat([constants["depth"], of_linear], dim=1)
        for name, constant in constants.items():
            self.register_buffer(name, constant, persistent=False)
        for name, terms in self._terms().items():
            self.register_buffer(name, terms, persistent=False)

    def forward(self, targets: Targets) -> tuple[Tensor, Tensor]:
        """Naive forecasts, (B, L, J, C, N), and whether they exist, (B, L, J, 1, N)."""
        exists = (targets.n_past[..., None, None] >= self.depth)[:, :, :, None]
        if targets.naive is not None:
            return targets.naive, exists
        stacked = self.of_values(targets)
        if self.linear is not None:
            linear = self.linear(targets).to(stacked.dtype)
            stacked = torch.cat([stacked, linear[..., None]], -1)
        if self.has_users_own:
            # A weight of zero does not mask NaN, which such a forecast may be where none exists.
            last = targets.past[:, :, :1, : self.features.n_outputs, None]
            stacked = stacked.where(exists | stacked.isfinite(), last)
        return stacked, exists

    def of_values(self, targets: Targets) -> Tensor:
        """All but the linear forecast, (B, L, J, C, N)."""
        past = targets.past[..., : self.features.n_outputs]
        shape = past[:, :, None, 0].expand(-1, -1, len(self.features.horizons), -1)
        forecasts = [
            f.forecast(self._known(i, f.period, f.reads_means, past, targets)).expand_as(shape)
            for i, f in enumerate(self.features.naive_forecasts)
        ]
        return torch.stack(forecasts, -1) if forecasts else shape[..., None][..., :0]

    def _terms(self) -> dict[str, Tensor | None]:
        """The terms of linear forecasts, found by letting each past value and mean alone be one."""
        features = self.features
        if self.has_users_own or features.horizons != (1,) or not features.naive_forecasts:
            return {"term_places": None, "term_weights": None}
        n_past, n_means = len(features.naive_offsets), len(features.mean_periods)
        size = n_past + 2 * n_means
        # And all together, whose forecasts are sums of the others if these are linear.
        weights = torch.linspace(2, 3, size, dtype=torch.float32) * (-1) ** torch.arange(size)
        inputs = torch.cat([torch.eye(size, dtype=torch.float32), weights[None]])
        past, means = inputs[:, None, :n_past, None], None
        if n_means:
            means = inputs[:, None, n_past:, None].unflatten(2, (n_means, 2))
        t = torch.full((len(inputs), 1), features.history)
        forecasts = self.of_values(Targets(past, means, t, None, None))[:, 0, 0, 0]
        alone, together = forecasts[:-1], forecasts[-1]
        if not torch.allclose(weights @ alone, together):
            return {"term_places": None, "term_weights": None}
        n_terms = int(alone.count_nonzero(0).max())
        places = alone.abs().argsort(0, descending=True)[:n_terms]
        return {"term_places": places, "term_weights": alone.gather(0, places)}

    def _known(
        self, i: int, period: int, reads_means: bool, past: Tensor, targets: Targets
    ) -> KnownValues:
        means = None
        if reads_means:
            k = self.features.mean_periods.index(period)
            means = targets.means[:, :, k, :, : self.features.n_outputs]  # type: ignore[index]
        return KnownValues(
            last=past[:, :, None, 0],
            past=past,
            position=getattr(self, f"position_{i}"),
            offsets=getattr(self, f"offsets_{i}"),
            n_past=targets.n_past,
            means=means,
            periods_ahead=getattr(self, f"periods_ahead_{i}"),
        )

    @torch.no_grad()
    def errors(self, chunks: Iterable[Chunk]) -> Tensor:
        """Mean absolute errors on a few batches, (J, C, N).

        A forecast that exists only late in a series is compared with the last value on the targets
        that it has: its error is that of the last value on all targets, times the ratio of the two.
        """
        n_outputs = self.features.n_outputs
        shape = (len(self.features.horizons), n_outputs, self.features.n_mixed)
        error = self.depth.new_zeros(shape, dtype=torch.float32)  # (J, C, N)
        if not self.features.n_mixed:
            return error  # no batch is drawn for nothing
        last_error_sum, total, n_targets = error, error[..., :1], error[..., :1]
        for chunk in islice(chunks, N_COMPARED_BATCHES):
            forecasts, exists = self(chunk.targets)
            weight = chunk.weight[..., None]  # (B, L, J, C, 1)
            counts = weight * exists  # (B, L, J, C, N)
            last = chunk.targets.past[:, :, None, 0, :n_outputs]  # always exists
            last_error = (last - chunk.values).abs()[..., None]
            error = error + ((forecasts - chunk.values[..., None]).abs() * counts).sum((0, 1))
            last_error_sum = last_error_sum + (last_error * counts).sum((0, 1))
            total = total + (last_error * weight).sum((0, 1))
            n_targets = n_targets + weight.sum((0, 1))
        if self.linear is not None:
            of_linear = error[..., -1:] * self.linear.optimism[..., None]
            error = torch.cat([error[..., :-1], of_linear], dim=-1)
        baseline = total / n_targets.clamp(min=1)  # of the last value, on all targets
        # A horizon without a sampled target gets the largest of these errors.
        baseline = torch.where(n_targets > 0, baseline, baseline.amax()) + LEAST_ERROR
        return (
            baseline
            * (error + PSEUDO_TARGETS * baseline)
            / (last_error_sum + PSEUDO_TARGETS * baseline)
        )


def _check_offsets(forecast: NaiveForecast, horizons: Sequence[int]) -> None:
    """Raise ValueError if a naive forecast reads its target, or a value after the last one."""
    for h in horizons:
        offsets = forecast.offsets(h)
        if min(offsets, default=1) < 1:
            msg = (
                f"The offsets of a naive forecast must be at least 1, which is the last known "
                f"value, but {type(forecast).__name__} with period {forecast.period} has offsets "
                f"{offsets} at horizon {h}. Go back `self.back(h)` rows from the target."
            )
            raise ValueError(msg)
