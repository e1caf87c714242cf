"""The ensemble: models of the same data that differ in their networks, and forecast as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

import numpy as np
import torch

from skrnn.data.panel import Panel
from skrnn.distributions import Distribution, Predictive
from skrnn.distributions.mixture import Mixture
from skrnn.features.device_panel import DevicePanel
from skrnn.forecasting.model import Model
from skrnn.network.randomness import SEED_BOUND


class NoCommonNetworkError(NotImplementedError, AttributeError):
    """What needs one network was asked of many; an AttributeError, so that `hasattr` is false."""


def _shared(name: str) -> Any:
    """What all members have alike."""

    def value(ensemble: Ensemble) -> Any:
        return getattr(ensemble.members[0], name)

    return property(value)


@dataclass(frozen=True)
class Ensemble:
    """Models that read the same and are scaled alike; the forecast is their mean or mixture.

    It takes the place of a `Model`.

    Parameters
    ----------
    members : tuple of Model
        At least two; they differ in their networks and initial weights alone.
    """

    members: tuple[Model, ...]

    scaler = _shared("scaler")
    known_scaler = _shared("known_scaler")
    covariates = _shared("covariates")
    columns = _shared("columns")
    timeline = _shared("timeline")
    architecture = _shared("architecture")
    window_length = _shared("window_length")
    stride = _shared("stride")
    level_shift = _shared("level_shift")
    features = _shared("features")
    strategy = _shared("strategy")
    distribution = _shared("distribution")
    device = _shared("device")
    on_device = _shared("on_device")

    @property
    def initial_weights(self) -> np.ndarray | None:
        """The mean of those of all networks, (J, C, N)."""
        of_all = [m.initial_weights for m in self.members if m.initial_weights is not None]
        return np.mean(of_all, axis=0, dtype=of_all[0].dtype) if of_all else None

    @property
    def network(self) -> NoReturn:
        """There is none of all members."""
        msg = (
            f"With n_estimators={len(self.members)} there is no single network_. The networks are "
            f"in networks_."
        )
        raise NoCommonNetworkError(msg)

    def forecast(
        self,
        panel: Panel,
        series: np.ndarray,
        rows: np.ndarray,
        steps: np.ndarray,
        n_samples: int = 0,
        generator: torch.Generator | None = None,
        data: DevicePanel | None = None,
    ) -> tuple[Predictive, np.ndarray]:
        """See `Model.forecast`.

        Points are averaged. Of distributions the result is their mixture. Simulated paths are
        divided among the members: path i is of member i modulo their number.
        """
        data, n = self.on_device(panel) if data is None else data, len(self.members)
        if self.strategy.name != "recursive":
            n_samples = 0  # nothing is simulated
        counts = [len(range(m, n_samples, n)) for m in range(n)]
        generators = _generators(generator, n)
        of_each = [
            member.forecast(panel, series, rows, steps, count, own, data)
            for member, count, own in zip(self.members, counts, generators, strict=True)
            if count or not n_samples  # there may be fewer paths than members
        ]
        distributions, parameters = zip(*of_each, strict=True)
        return combined(distributions, parameters, is_simulated=n_samples > 0)

    def part(self, series: slice) -> Ensemble:
        """The models for some of their series."""
        return Ensemble(tuple(member.part(series) for member in self.members))

    def without_series(self) -> Ensemble:
        """The models for other series: nothing of those that they were trained on stays."""
        return Ensemble(tuple(member.without_series() for member in self.members))


AnyModel: TypeAlias = Model | Ensemble


def ensemble_of(models: Sequence[Model]) -> AnyModel:
    """Models as one; a single one is itself."""
    return models[0] if len(models) == 1 else Ensemble(tuple(models))


def combined(
    distributions: Sequence[Predictive], parameters: Sequence[np.ndarray], is_simulated: bool
) -> tuple[Predictive, np.ndarray]:
    """The mean of points (n, J, C, 1), the mixture of distributions, or all simulated paths."""
    first = distributions[0]
    if is_simulated:
        paths = np.empty((*parameters[0].shape[:-1], sum(part.shape[-1] for part in parameters)))
        for m, part in enumerate(parameters):
            paths[..., m :: len(parameters)] = part
        return first, paths
    if isinstance(first, Distribution) and first.is_probabilistic:
        return Mixture(distributions), np.concatenate(parameters, axis=-1)  # type: ignore[arg-type]
    return first, np.mean(parameters, axis=0)


def _generators(generator: torch.Generator | None, n: int) -> list[torch.Generator | None]:
    """A generator for each of n members: how many numbers one draws changes none of another."""
    if generator is None:
        return [None] * n
    device = generator.device
    seeds = torch.randint(SEED_BOUND, (n,), generator=generator, device=device).tolist()
    return [torch.Generator(device).manual_seed(seed) for seed in seeds]
