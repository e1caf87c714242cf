"""Validation of many models at once, each on its own held-out rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skrnn.features.device_panel import DevicePanel
from skrnn.forecasting.parts import Part
from skrnn.forecasting.stacked_decoding import Reached, StackCutoffs, StackDecoder
from skrnn.forecasting.validation import (
    LEAST_LOSS,
    MOST_CHOOSING_FORECASTS,
    MOST_VALIDATED_FORECASTS,
    new_share,
    next_step_cutoffs,
    path_cutoffs,
    validation,
)
from skrnn.network.cells import select
from skrnn.network.network import RecurrentNetwork
from skrnn.network.stack import NetworkStack
from skrnn.training.processes import Processes


class StackValidation:
    """Losses of models over their held-out rows; those that `validation` computes one by one.

    Parameters
    ----------
    parts : list of Part
        All with held-out rows, or with the same kind of them.
    data : DevicePanel
        The series of all models.
    grid : tuple
        Origins of these series, window length, stride and patch length; see `Runs`.
    """

    def __init__(self, parts: Sequence[Part], data: DevicePanel, grid: Any):
        self.parts, self.data, self.grid = parts, data, grid
        model, held_out = parts[0].model, parts[0].held_out
        self.strategy, self.season = model.strategy, model.features.longest_season
        self.is_trained_on = held_out.is_trained_on
        most = MOST_CHOOSING_FORECASTS if self.is_trained_on else MOST_VALIDATED_FORECASTS
        most //= len(model.features.horizons)
        self.next_step = StackCutoffs.of(
            [_shifted(next_step_cutoffs(*part.rows(), most), part) for part in parts]
        )
        self.values, self.weight = self._targets()
        for part, weight in zip(parts, self.weight.flatten(1), strict=True):
            if not weight.any():  # alone, it raises its error
                own = part.model.on_device(part.panel)
                validation(part.model, part.panel, own, own, part.held_out, Processes())
        self.paths = HeldOutPathsOfStack(parts, data, grid) if self._reads_paths else None
        self.place = None if self.paths is None else self.next_step.places(self.paths.cutoffs)
        self.first: np.ndarray | None = None  # losses of the untrained networks, (M, 2)

    @property
    def _reads_paths(self) -> bool:
        return self.is_trained_on and self.strategy.name == "recursive"

    def _targets(self) -> tuple[Tensor, Tensor]:
        """Values (M, K, J, C) and what each counts."""
        data = self.data
        series, t = (torch.from_numpy(part.ravel()).to(data.device) for part in self.next_step[:2])
        values, observed = data.target_values(series, t[:, None])  # (M K, 1, J, C)
        inside = t[:, None] + data.steps_after <= data.last[series][:, None]
        inside = inside[:, None, :, None].expand_as(values)
        counts = torch.from_numpy(self.next_step.counts.ravel()).to(data.device)
        weight = (inside if observed is None else inside & observed) & counts[:, None, None, None]
        shape = (*self.next_step.counts.shape, *values.shape[1:])
        return values.view(shape), weight.to(values.dtype).view(shape)

    def losses(self, stack: NetworkStack, models: np.ndarray) -> np.ndarray:
        """Validation losses of a stack of the given models, (M,)."""
        decoder = StackDecoder.at(stack, self.data, self.next_step.select(models), self.grid)
        reached = decoder.reached()
        decoder = replace(decoder, known_states=reached)
        parameters = torch.from_numpy(decoder.parameters()).to(self.values.device)
        parameters = parameters[:, None].unflatten(0, (len(stack), -1))
        losses = stack.of_each(_loss, parameters, self.values[models], self.weight[models])
        losses = losses.cpu().numpy().astype(np.float64)
        if self.paths is None:
            return losses
        if self.place is not None:  # the paths begin at some of these cutoffs
            n = self.next_step.counts.shape[1] * np.arange(len(models))[:, None]
            place = torch.from_numpy((self.place[models] + n).ravel())
            hidden, state = reached
            reached = hidden[place], select(state, place)
        errors = self.paths.errors(stack, models, None if self.place is None else reached)
        both = np.stack([losses, errors], axis=1)  # (M, 2)
        if self.first is None:  # the first call is of all models
            self.first = np.empty((len(self.parts), 2))
            self.first[models] = np.maximum(both, LEAST_LOSS)
        first = self.first[models]
        relative = both / first
        if not stack.distribution.has_unit:
            return losses + relative[:, 1]
        return first[:, 0] * relative.mean(1)


class HeldOutPathsOfStack:
    """Forecasts of many models up to a season ahead, from some of their held-out rows.

    Parameters
    ----------
    parts, data, grid : see `StackValidation`
    """

    def __init__(self, parts: Sequence[Part], data: DevicePanel, grid: Any):
        self.parts, self.data, self.grid = parts, data, grid
        self.strategy = parts[0].model.strategy
        season, n_columns = parts[0].model.features.longest_season, len(parts[0].model.columns)
        found = [path_cutoffs(*part.rows(), season) for part in parts]
        self.cutoffs = StackCutoffs.of(
            [_shifted((s, t), part) for (s, t, _), part in zip(found, parts, strict=True)]
        )
        n_steps = np.array([n for _, _, n in found])
        self.n_steps = n_steps
        self.steps = np.arange(1, int(n_steps.max()) + 1)
        is_asked = self.cutoffs.counts[..., None] & (self.steps <= n_steps[:, None, None])
        series, t = (torch.from_numpy(part.ravel()).to(data.device) for part in self.cutoffs[:2])
        steps = torch.from_numpy(self.steps).to(data.device)
        rows = data.rows(series, t[:, None] + steps - 1)
        shape = (*is_asked.shape, n_columns)  # (M, K, H, C)
        self.values = data.values[rows][..., :n_columns].cpu().numpy().reshape(shape)
        self.counts = np.broadcast_to(is_asked[..., None], shape).astype(self.values.dtype)
        if data.observed is not None:
            observed = data.observed[rows][..., :n_columns].cpu().numpy()
            self.counts = self.counts * observed.reshape(shape)
        self._direct: np.ndarray | None = None

    def errors(
        self, stack: NetworkStack, models: np.ndarray, reached: Reached | None
    ) -> np.ndarray:
        """Mean absolute errors of the given models, scaled, (M,); with states known before."""
        decoder = replace(self._decoder(stack, models), known_states=reached)
        distribution, parameters = self.strategy.forecast(decoder, self.steps, 0, None)
        point = distribution.point(parameters).reshape(
            -1, *self.values.shape[1:3], parameters.shape[-2]
        )
        error = np.abs(point[..., : self.values.shape[-1]] - self.values[models])
        counts = self.counts[models]
        total = (error * counts).sum((1, 2, 3), dtype=np.float64)
        return total / np.maximum(1.0, counts.sum((1, 2, 3), dtype=np.float64))

    def set_share(self, stack: NetworkStack) -> None:
        """Set the share of each model's direct forecast by least squares."""
        if stack.direct is None:
            return
        decoder = self._decoder(stack, np.arange(len(self.parts)))
        shape, n = self.values.shape, self.values.shape[-1]
        path = decoder.paths(int(self.steps[-1]))[..., 0].reshape(*shape[:3], -1)[..., :n]
        direct = decoder.direct()[:, : shape[2], :, 0].reshape(*shape[:3], -1)[..., :n]  # type: ignore[index]
        product = ((self.values - path) * (direct - path) * self.counts).sum((1, 3))
        square = ((direct - path) ** 2 * self.counts).sum((1, 3))
        share = stack.tensors["direct.share"]
        for m, part in enumerate(self.parts):
            first, stop = part.rows()
            h, n_held_out = self.n_steps[m], int((stop - first).sum())
            found = new_share(share[m].cpu().numpy(), product[m, :h], square[m, :h], n_held_out)
            share[m] = torch.from_numpy(found)

    def _decoder(self, stack: NetworkStack, models: np.ndarray) -> StackDecoder:
        cutoffs = self.cutoffs.select(models)
        decoder = StackDecoder.at(stack, self.data, cutoffs, self.grid)
        if stack.direct is None:
            return decoder
        if self._direct is None:  # the first call is of all models; training does not change it
            found = decoder.direct()
            shape = *self.cutoffs.counts.shape, *found.shape[1:]  # type: ignore[union-attr]
            self._direct = np.empty(shape, dtype=found.dtype)  # type: ignore[union-attr]
            self._direct[models] = found.reshape(shape)  # type: ignore[union-attr]
        of_models = self._direct[models].reshape(-1, *self._direct.shape[2:])
        return replace(decoder, direct_forecasts=of_models)


def _shifted(cutoffs: tuple[np.ndarray, np.ndarray], part: Part) -> tuple[np.ndarray, np.ndarray]:
    """Cutoffs with the series' numbers among those of all models."""
    series, cutoff = cutoffs
    return series + part.first_series, cutoff


def _loss(network: RecurrentNetwork, parameters: Tensor, values: Tensor, weight: Tensor) -> Tensor:
    return network.loss(parameters, values, weight)
