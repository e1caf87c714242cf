"""Contributions: what each forecast is the sum of, as further values beside its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from skrnn.distributions import Predictive
from skrnn.features.batch import Steps, Targets, joined
from skrnn.features.naive_forecasts import NaiveForecasts
from skrnn.features.sources import BASELINE, INTERCEPT, NETWORK, ChannelNames, Groups
from skrnn.naive import NaiveForecast
from skrnn.network.attribution import InputGroups, Located, attributed
from skrnn.network.network import Mixed, RecurrentNetwork

# Sources are pairs: a part of the forecast, and what it comes from.
NAIVE, LINEAR, CORRECTION = "naive", "linear", "correction"
CENTER, DISTRIBUTION, RANGE = ("center", "scaler"), ("distribution", "point"), ("range", "bounds")

# Of each step of a recursive forecast: its inputs (None of the first, which the run holds), what is
# known of its target, and what its forecast is the sum of.
Trace = list[tuple[Tensor | None, Targets, Mixed]]


class Path(NamedTuple):
    """Forecasts from T steps one after the other, of m cutoffs.

    steps : steps of R runs that reach the cutoffs.
    run, step : run and step of each cutoff's first forecast, (m,).
    inputs : inputs of each of the steps after the first, (m, 1, D).
    targets, mixed : of all T steps.
    """

    steps: Steps
    run: Tensor
    step: Tensor
    inputs: Sequence[Tensor]
    targets: Targets
    mixed: Mixed

    @classmethod
    def of(cls, trace: Trace, steps: Steps, run: Tensor, step: Tensor) -> Path:
        """The path that left this trace."""
        inputs, targets, mixed = zip(*trace, strict=True)
        return cls(steps, run, step, inputs[1:], joined(targets), joined(mixed))


class Contributions:
    """What forecasts of a network are explained by: P sources, the centre of the series among them.

    Each forecast has 2 P values: what the sources contribute, scaled, and the shares in which they
    hold the centre of the series, which sum to one. The weights of the mix do, too, so that each
    naive forecast contributes weight times forecast in the unit of the data.

    Parameters
    ----------
    network : RecurrentNetwork
    names : ChannelNames
    by_input : bool
        Whether the correction is divided among the inputs of the network.
    """

    def __init__(self, network: RecurrentNetwork, names: ChannelNames, by_input: bool):
        self.network = network
        naive, device = network.naive_forecasts, network.correction_scale.device
        self.has_point_at_location = network.distribution.has_point_at_location
        self.sources = [(NAIVE, _label(f)) for f in network.features.naive_forecasts]
        if naive.linear is not None:
            shared, known = naive.linear.sources(names)
            groups = list(dict.fromkeys([*shared, *known]))
            self.sources += [(LINEAR, group) for group in groups]
            self.groups = Groups.of(groups, shared, known, device)
            self.is_intercept = torch.tensor([g == INTERCEPT for g in groups], device=device)
        self.inputs: InputGroups | None = None
        if by_input:
            of_inputs = network.input_sources(names)
            of_targets = network.target_sources(names) if network.head.reads_targets else []
            groups = list(dict.fromkeys([*of_inputs, *of_targets]))
            self.inputs = InputGroups.of(groups, of_inputs, of_targets, device)
            self.sources += [*((CORRECTION, group) for group in [*groups, BASELINE])]
        else:
            self.sources.append((CORRECTION, NETWORK))
        if not network.features.n_mixed:
            self.sources.append(CENTER)

    @property
    def n_channels(self) -> int:
        """Values of each forecast, 2 P."""
        return 2 * len(self.sources)

    def of_path(self, path: Path) -> Tensor:
        """Of the network's forecasts, (m, T, J, C, 2 P)."""
        mixed = path.mixed
        correction = mixed.correction[..., None]
        if self.inputs is not None:
            correction = self._by_input(self.inputs, path)
        if mixed.weights is None or mixed.naive is None:
            zero = torch.zeros_like(mixed.correction[..., None])
            no_share = torch.zeros_like(correction)
            return torch.cat([correction, zero, no_share, zero + 1], dim=-1)
        naive = self.network.naive_forecasts
        return self._of_mix(naive, mixed.weights, mixed.naive, path.targets, correction)

    def of_direct(self, weights: Tensor, forecasts: Tensor, targets: Targets) -> Tensor:
        """Of direct forecasts, which nothing corrects, (B, L, J, C, 2 P)."""
        naive = self.network.direct.naive_forecasts  # type: ignore[union-attr]
        n_corrections = 1 if self.inputs is None else self.inputs.n_groups + 1
        correction = forecasts.new_zeros(*forecasts.shape[:-1], n_corrections)
        return self._of_mix(naive, weights, forecasts, targets, correction)

    def _of_mix(
        self,
        naive: NaiveForecasts,
        weights: Tensor,
        forecasts: Tensor,
        targets: Targets,
        correction: Tensor,
    ) -> Tensor:
        n_naive = len(naive.features.naive_forecasts)
        shares = [weights[..., :n_naive]]
        parts = [shares[0] * forecasts[..., :n_naive]]
        if naive.linear is not None:
            of_linear = weights[..., n_naive:]  # (B, L, J, C, 1)
            parts.append(of_linear * naive.linear.parts(targets, self.groups))
            shares.append(of_linear * self.is_intercept)
        return torch.cat([*parts, correction, *shares, torch.zeros_like(correction)], dim=-1)

    def _by_input(self, groups: InputGroups, path: Path) -> Tensor:
        network, inputs = self.network, self.network.inputs(path.steps)
        run, step = path.run[:, None], path.step[:, None]
        if len(path.inputs):
            # Each cutoff's run goes on over the steps that have been forecast.
            ahead = torch.cat(tuple(path.inputs), dim=1)  # (m, T - 1, D)
            inputs = torch.cat([inputs[path.run], torch.zeros_like(ahead)], dim=1)
            n, n_ahead = ahead.shape[:2]
            run = torch.arange(n, device=run.device)[:, None]
            step = step + torch.arange(n_ahead + 1, device=run.device)
            inputs[run, step[:, 1:]] = ahead
        known = None
        if network.head.reads_targets:
            known = network.known_of_targets(path.targets, *network.naive_forecasts(path.targets))
        return attributed(network, groups, Located(inputs, run, step, known))


class Explained(Predictive):
    """A distribution whose parameters are followed by what explains the forecasts, (..., K + 2 P).

    Parameters
    ----------
    distribution : Predictive
    contributions : Contributions
    """

    def __init__(self, distribution: Predictive, contributions: Contributions):
        self.distribution, self.contributions = distribution, contributions

    def unscaled(self, parameters: np.ndarray, center: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Bring all to the unit of the data; each source carries its share of the centre."""
        own, parts, shares = self._parts(parameters)
        # In double precision: a centre may be a billion times the scale.
        shares = shares / shares.sum(-1, keepdims=True)
        own = self.distribution.unscaled(own, center, scale)
        return np.concatenate([own, parts * scale + shares * center, shares], axis=-1)

    def split(self, parameters: np.ndarray) -> tuple[list[tuple[str, str]], np.ndarray, np.ndarray]:
        """The sources, what each contributes to the point forecast, and the own parameters.

        The point forecast of some distributions is not their location; what lies between is a
        source of its own. In others, what single precision leaves between the sum and the forecast
        goes to the sources by their shares of the centre.
        """
        own, parts, shares = self._parts(parameters)
        rest = self.distribution.point(own)[..., None] - parts.sum(-1, keepdims=True)
        if self.contributions.has_point_at_location:
            return self.contributions.sources, parts + shares * rest, own
        sources = [*self.contributions.sources, DISTRIBUTION]
        return sources, np.concatenate([parts, rest], axis=-1), own

    def _parts(self, parameters: np.ndarray) -> list[np.ndarray]:
        n = len(self.contributions.sources)
        return np.split(parameters, [parameters.shape[-1] - 2 * n, -n], axis=-1)


def _label(forecast: NaiveForecast) -> str:
    """A naive forecast by its name and period."""
    return forecast.name if forecast.period == 1 else f"{forecast.name} {forecast.period}"
