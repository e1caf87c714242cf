"""Strategies: several steps ahead one after the other, or all at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from skrnn.distributions import Distribution, Predictive
from skrnn.features.batch import Steps, Targets
from skrnn.features.device_panel import DevicePanel
from skrnn.features.features import Features, Strategy
from skrnn.forecasting.decoding import Decoder
from skrnn.forecasting.samples import CountSamples, Samples
from skrnn.network.heads import HorizonHead, StepHead


class ForecastingStrategy(Strategy, Protocol):
    """A strategy as a model uses it: what is read ahead, and how cutoffs are decoded."""

    @property
    def name(self) -> str:
        """Value of the ``strategy`` parameter."""

    def n_rows_ahead(self, steps: np.ndarray) -> int:
        """Rows after the end of a series that forecasts of these steps read."""

    def rows_with_X(self, steps: np.ndarray) -> np.ndarray:
        """Of these rows, counted from 1, those that need X."""

    def forecast(
        self,
        decoder: Decoder,
        steps: np.ndarray,
        n_samples: int,
        generator: torch.Generator | None,
    ) -> tuple[Predictive, np.ndarray]:
        """Distribution of the forecasts and its parameters, scaled, (n, J, C, K + 2 P)."""


@dataclass(frozen=True)
class Recursive:
    """One step ahead at a time, each forecast an input of the next; any horizon can be forecast.

    Covariates of a target are inputs of its own step. Past covariates are forecast along with the
    target columns, for they are inputs of later steps.
    """

    name: ClassVar[str] = "recursive"
    horizons: ClassVar[tuple[int, ...]] = (1,)

    # ------------------------------------------------------------- what a step reads

    def step_offsets(self, inputs: set[int], naive: set[int]) -> set[int]:
        """Those of inputs and naive forecasts together: the values are read once."""
        return inputs | naive

    def target_offsets(self, inputs: set[int], naive: set[int]) -> set[int]:
        """The same."""
        return self.step_offsets(inputs, naive)

    def n_outputs(self, n_columns: int, n_past: int) -> int:
        """All columns of values."""
        return n_columns + n_past

    def targets(self, data: DevicePanel, series: Tensor, t: Tensor, steps: Steps | None) -> Targets:
        """Past values and means; the calendar and X are inputs of the step itself."""
        past = data.past(series, t, data.naive_offsets) if steps is None else steps.past
        means, regressors = data.means_before(series, t), data.regressors(series, t)
        naive, scale = data.naive_before(series, t), data.scale_of(series)
        return Targets(past, means, t, None, None, regressors, naive, scale)

    def direct(self, features: Features) -> Features | None:
        """All steps up to a season ahead."""
        return features.ahead(MultiOutput) if features.n_mixed else None

    def head(self, hidden_size: int, n_known: int, shape: tuple[int, int, int]) -> nn.Module:
        """Correction and scores from the recurrent output alone."""
        return StepHead(hidden_size, shape)

    # ------------------------------------------------------------------ forecasting

    def n_rows_ahead(self, steps: np.ndarray) -> int:
        """Rows after the end of a series that forecasts of these steps read."""
        return max(0, int(steps.max()))

    def rows_with_X(self, steps: np.ndarray) -> np.ndarray:
        """Of these rows, counted from 1, those that need X: every one up to the last."""
        return np.arange(1, self.n_rows_ahead(steps) + 1)

    def forecast(
        self,
        decoder: Decoder,
        steps: np.ndarray,
        n_samples: int,
        generator: torch.Generator | None,
    ) -> tuple[Predictive, np.ndarray]:
        """Distribution of the forecasts and its parameters, scaled, (n, J, C, K).

        These are equally likely values: ``n_samples`` of them, or with 0 the point forecast.
        """
        distribution, horizon = decoder.network.distribution, int(steps.max())
        values = CountSamples() if distribution.of_counts and n_samples else Samples()
        if horizon > 1:
            return values, _averaged(decoder, horizon, n_samples, generator)[:, steps - 1]
        # A single step needs no simulation: its quantiles are known.
        parameters = decoder.parameters().astype(np.float64)
        if not n_samples:
            own, channels = np.split(parameters, [distribution.n_parameters], axis=-1)
            return values, np.concatenate([distribution.point(own)[..., None], channels], axis=-1)
        levels = (np.arange(n_samples) + 0.5) / n_samples
        return values, distribution.quantiles(parameters, levels)


def _averaged(
    decoder: Decoder, horizon: int, n_samples: int, generator: torch.Generator | None
) -> np.ndarray:
    """Paths, (n, H, C, V), moved so that the point path is averaged with the direct forecast.

    Errors grow along a path. Those of a direct forecast are others, so that the mean of the two is
    better than each. Over the second half of the steps that are forecast directly, its share falls
    to zero.
    """
    paths = decoder.paths(horizon, n_samples, generator)
    direct = decoder.direct()  # (n, H', C, 1 + 2 P)
    if direct is None or decoder.network.direct is None:
        return paths
    point = decoder.paths(horizon) if n_samples else paths  # (n, H, C, 1 + 2 P)
    n = min(horizon, direct.shape[1])
    fading = np.clip(2 - 2 * np.arange(n) / direct.shape[1], 0, 1)
    share = decoder.share()[..., :n] * fading
    moved = share[..., None, None] * (direct[:, :n] - point[:, :n])
    # Counts are multiplied instead, so that none falls below zero.
    scale = decoder.data.scale_of(torch.from_numpy(decoder.series).to(decoder.data.device))
    if scale is None:
        paths[:, :n] += moved
    else:
        ratio = np.maximum(moved + point[:, :n], 0.0)[..., :1] / point[:, :n, :, :1]
        n_paths = max(1, n_samples)
        paths[:, :n, :, :n_paths] *= ratio
        paths[:, :n, :, n_paths:] += moved[..., 1:]
        if n_samples:
            of_path = scale[:, 0, :, :, None].cpu().numpy()
            # Whole numbers again: rounded up or down at random, so that means stay.
            up = torch.rand(paths[:, :n].shape, generator=generator, device=decoder.data.device)
            paths[:, :n] = np.floor(paths[:, :n] * of_path + up.cpu().numpy()) / of_path
    return paths


@dataclass(frozen=True)
class MultiOutput:
    """All horizons at once, from the state at the cutoff.

    Parameters
    ----------
    horizons : tuple of int
        Steps ahead, ascending.
    """

    horizons: tuple[int, ...]
    name: ClassVar[str] = "multioutput"

    # ------------------------------------------------------------- what a step reads

    def step_offsets(self, inputs: set[int], naive: set[int]) -> set[int]:
        """Those of the inputs alone."""
        return inputs

    def target_offsets(self, inputs: set[int], naive: set[int]) -> set[int]:
        """Those of the naive forecasts alone."""
        return naive

    def n_outputs(self, n_columns: int, n_past: int) -> int:
        """The target columns."""
        return n_columns

    def targets(self, data: DevicePanel, series: Tensor, t: Tensor, steps: Steps | None) -> Targets:
        """Past values, means, and the calendar and X at each target."""
        past = data.past(series, t, data.naive_offsets)
        known = data.known(series, t[..., None] + data.steps_after)
        means, regressors = data.means_before(series, t), data.regressors(series, t)
        naive, scale = data.naive_before(series, t), data.scale_of(series)
        return Targets(past, means, t, *known, regressors, naive, scale)

    def direct(self, features: Features) -> None:
        """None: every forecast is a direct one."""

    def head(self, hidden_size: int, n_known: int, shape: tuple[int, int, int]) -> nn.Module:
        """Correction and scores of each horizon, decoded from its known inputs."""
        return HorizonHead(hidden_size, n_known, len(self.horizons), shape)

    # ------------------------------------------------------------------ forecasting

    def n_rows_ahead(self, steps: np.ndarray) -> int:
        """Rows after the end of a series that forecasts of these steps read."""
        return self.horizons[-1]

    def rows_with_X(self, steps: np.ndarray) -> np.ndarray:
        """Of these rows, counted from 1, those that need X.

        The first, which the recurrent layer reads, and the steps asked for.
        """
        return np.union1d([1], steps[steps > 0])

    def forecast(
        self,
        decoder: Decoder,
        steps: np.ndarray,
        n_samples: int,
        generator: torch.Generator | None,
    ) -> tuple[Distribution, np.ndarray]:
        """The network's distribution of the forecasts and its parameters, scaled, (n, J, C, K)."""
        missing = np.setdiff1d(steps, self.horizons)
        if len(missing):
            msg = (
                f"strategy='multioutput' forecasts the steps that fit was given, "
                f"{list(self.horizons)}, but got step {missing[0]}. Fit with it, or set "
                f"strategy='recursive'."
            )
            raise ValueError(msg)
        place = np.searchsorted(self.horizons, steps)
        return decoder.network.distribution, decoder.parameters()[:, place]


STRATEGIES = ("recursive", "multioutput")
