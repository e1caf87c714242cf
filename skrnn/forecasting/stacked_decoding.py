"""Decoding of many models at once: forecasts of each from as many cutoffs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from skrnn.features.device_panel import DevicePanel
from skrnn.forecasting.decoding import (
    FORECASTS_AT_ONCE,
    STEPS_AT_ONCE,
    Decoder,
    Runs,
    recursive,
)
from skrnn.network.cells import State, concatenated, each_part
from skrnn.network.network import RecurrentNetwork
from skrnn.network.stack import NetworkStack

# Recurrent output (n, H) and state at n cutoffs.
Reached = tuple[Tensor, State]


class StackCutoffs(NamedTuple):
    """Equally many cutoffs of M models; where a model has fewer, it repeats its first.

    series, cutoff : of each in the panel of all models, (M, K).
    counts : whether it is one of the model's own, (M, K).
    """

    series: np.ndarray
    cutoff: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, cutoffs: Sequence[tuple[np.ndarray, np.ndarray]]) -> StackCutoffs:
        """From series and cutoffs (K_m,) of each model."""
        n = np.array([len(series) for series, _ in cutoffs])
        k = np.arange(n.max())
        counts = k < n[:, None]
        place = np.where(counts, k, 0)
        pairs = [
            (s[of_model], t[of_model]) for (s, t), of_model in zip(cutoffs, place, strict=True)
        ]
        series, cutoff = (np.stack(part) for part in zip(*pairs, strict=True))
        return cls(series, cutoff, counts)

    def places(self, others: StackCutoffs) -> np.ndarray | None:
        """Which cutoffs of each model the others are, (M, K'); None if one is not among them."""
        base = 1 + max(int(self.cutoff.max()), int(others.cutoff.max()))
        numbers, asked = (each.series * base + each.cutoff for each in (self, others))
        result = np.empty_like(asked)
        for m, (of_model, counts) in enumerate(zip(numbers, self.counts, strict=True)):
            result[m] = np.searchsorted(of_model[counts], asked[m])
        found = np.take_along_axis(numbers, np.minimum(result, numbers.shape[1] - 1), axis=1)
        return result if (found == asked).all() else None

    def select(self, models: np.ndarray) -> StackCutoffs:
        """Those of some models."""
        return StackCutoffs(*(part[models] for part in self))


@dataclass(frozen=True)
class StackDecoder(Decoder):
    """Forecasts of M models from K cutoffs each, as M K cutoffs in the order of the models.

    Parameters
    ----------
    network : NetworkStack
    data : DevicePanel
        The series of all models; those of a model are neighbours, in the order of the models.
    series, cutoff : np.ndarray of shape (M K,)
    runs : Runs
    direct_forecasts : np.ndarray, optional
        What `direct` returns, if it was computed before.
    known_states : tuple of Tensor and State, optional
        What `reached` returns, likewise.
    """

    network: Any
    direct_forecasts: np.ndarray | None = None
    known_states: Reached | None = None

    @classmethod
    def at(
        cls,
        stack: NetworkStack,
        data: DevicePanel,
        cutoffs: StackCutoffs,
        grid: tuple[np.ndarray, int, int, int],
        direct_forecasts: np.ndarray | None = None,
    ) -> StackDecoder:
        """The decoder; ``grid`` has origins of series, window length, stride and patch length."""
        series, cutoff = cutoffs.series.ravel(), cutoffs.cutoff.ravel()
        runs = Runs(series, cutoff, *grid)
        return cls(stack, data, series, cutoff, runs, direct_forecasts=direct_forecasts)

    @torch.no_grad()
    def parameters(self) -> np.ndarray:
        """Parameters of the networks' own horizons from each cutoff, (M K, J, C, K')."""
        results, (hidden, _) = [], self.reached()
        for part in self._parts(len(self.network.features.horizons)):
            series, t = self._put(self.series[part.cutoffs], self.cutoff[part.cutoffs])
            targets = self.data.targets(series, t[:, None])
            parameters = part.stack.decode(hidden[part.cutoffs, None], targets)
            results.append(parameters[:, 0].cpu().numpy())
        return np.concatenate(results)

    @torch.no_grad()
    def paths(
        self, horizon: int, n_samples: int = 0, generator: torch.Generator | None = None
    ) -> np.ndarray:
        """Point forecasts one after the other up to ``horizon``, (M K, H, C, 1)."""
        results, (hidden, state) = [], self.reached()
        for part in self._parts(horizon):
            series, t = self._put(self.series[part.cutoffs], self.cutoff[part.cutoffs])
            own = each_part(lambda tensor, of_part=part.cutoffs: tensor[:, of_part], state)
            stack: Any = part.stack
            values = recursive(stack, self.data, series, t, hidden[part.cutoffs], own, horizon)
            results.append(values[..., None].cpu().numpy())
        return np.concatenate(results)

    @torch.no_grad()
    def reached(self) -> Reached:
        """Recurrent output (M K, H) and state at each cutoff."""
        if self.known_states is not None:
            return self.known_states
        outputs, collected = [], []
        for part in self._parts(1):
            out, every = part.stack.states(self._read(part.runs, 0)[2])
            place = tuple(self._put(part.run, self.runs.step[part.cutoffs]))
            outputs.append(out[place])
            state = each_part(lambda tensor, place=place: tensor[place][None], every)
            collected.append(state)
        return torch.cat(outputs), concatenated(collected)

    @torch.no_grad()
    def direct(self) -> np.ndarray | None:
        """The networks' direct forecasts, (M K, H, C, 1); None if they have none."""
        direct = self.network.direct
        if direct is None or self.direct_forecasts is not None:
            return self.direct_forecasts
        data, results = self.data.with_features(direct.features), []
        for part in self._parts(len(direct.features.horizons)):
            series, t = self._put(self.series[part.cutoffs], self.cutoff[part.cutoffs])
            values = part.stack.each(_direct, data.targets(series, t[:, None]))
            results.append(values[:, 0, ..., None].cpu().numpy())
        return np.concatenate(results)

    def share(self) -> np.ndarray:
        """Share of the direct forecast at each of its horizons, (M K, H)."""
        share = self.network.tensors["direct.share"].cpu().numpy()
        return np.repeat(share, len(self.series) // len(share), axis=0)

    def _parts(self, n_horizons: int) -> Iterator[_Part]:
        """Models whose forecasts are computed at once."""
        n_models = len(self.network)
        n_cutoffs = len(self.series) // n_models
        run = self.runs.run.reshape(n_models, n_cutoffs)
        # The runs of a model are neighbours, because its series are.
        first, last = run.min(1), run.max(1)
        n_runs = int((last - first).max()) + 1
        runs = np.minimum(first[:, None] + np.arange(n_runs), last[:, None])  # (M, R)
        most = min(
            STEPS_AT_ONCE // (n_runs * int(self.runs.length.max())),
            FORECASTS_AT_ONCE // (n_horizons * n_cutoffs),
        )
        place = run - first[:, None]
        for begin in range(0, n_models, max(1, most)):
            models = slice(begin, begin + max(1, most))
            of_model = n_runs * np.arange(len(runs[models]))[:, None]
            yield _Part(
                self.network.select(models),
                runs[models].ravel(),
                (place[models] + of_model).ravel(),
                slice(begin * n_cutoffs, (begin + len(runs[models])) * n_cutoffs),
            )


@dataclass(frozen=True)
class _Part:
    """Some of the models: their runs, the run of each cutoff, and which cutoffs are theirs."""

    stack: NetworkStack
    runs: np.ndarray
    run: np.ndarray
    cutoffs: Any


def _direct(network: RecurrentNetwork, targets: Any) -> Tensor:
    return network.direct(targets)  # type: ignore[misc]
