"""Validation: the loss of forecasts of the held-out rows, made as forecasts are made later."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from skrnn.data.held_out import HeldOut
from skrnn.data.panel import Panel
from skrnn.data.ragged import sampled_items
from skrnn.distributions.base import LEAST_WEIGHT
from skrnn.features.device_panel import DevicePanel
from skrnn.forecasting.model import Model
from skrnn.training.processes import Processes

# Forecasts whose mean loss is the validation loss: enough to know it, in less time than an epoch.
MOST_VALIDATED_FORECASTS = 1_000_000
# The same where the length of training is chosen; paths over a season, and their steps.
MOST_CHOOSING_FORECASTS, MOST_PATHS, MOST_PATH_STEPS = 200_000, 200, 48
# A loss below this counts as this, as a divisor.
LEAST_LOSS = 1e-6
# Rows that the initial share of the direct forecast counts as; horizons up to this factor apart
# share the estimate.
SHARE_ROWS, SHARE_WIDTH = 50.0, 1.5


def validation(
    model: Model,
    panel: Panel,
    data: DevicePanel,
    looked_up: DevicePanel,
    held_out: HeldOut,
    processes: Processes,
) -> Callable[[], float]:
    """Loss over the held-out rows, as forecasts are made later; each process makes a part of them.

    Where they choose the length of a recursive training, the error of paths over a season counts
    as much as the loss of the next step. The next step reads the panel whose naive forecasts may be
    looked up; paths compute them from their own values.
    """
    next_step = _next_step_validation(model, panel, looked_up, held_out, processes)
    if not held_out.is_trained_on or model.strategy.name != "recursive":
        return next_step
    paths = HeldOutPaths(model, panel, data, held_out, processes)
    first: list[float] = []

    def validate() -> float:
        loss, path_loss = next_step(), paths.error()
        if not first:
            first.extend((max(loss, LEAST_LOSS), max(path_loss, LEAST_LOSS)))
        relative_error = path_loss / first[1]
        if not model.network.distribution.has_unit:
            return loss + relative_error
        # The mean of both, relative to the untrained network, in the unit of the loss.
        return first[0] * (loss / first[0] + relative_error) / 2

    return validate


class HeldOutPaths:
    """Forecasts up to a season ahead, step by step, from some of the held-out rows.

    Each of several processes makes a part of them.
    """

    def __init__(
        self,
        model: Model,
        panel: Panel,
        data: DevicePanel,
        held_out: HeldOut,
        processes: Processes | None = None,
    ):
        self.model, self.panel, self.data = model, panel, data
        self.processes = Processes() if processes is None else processes
        first, stop = held_out.rows(panel)
        series, cutoff, n_steps = path_cutoffs(first, stop, model.features.longest_season)
        self.steps = np.arange(1, n_steps + 1)
        kept = slice(*self.processes.share(len(series)))
        self.series, self.cutoff = series[kept], cutoff[kept]
        n, start = len(model.columns), torch.from_numpy(self.cutoff).to(data.device)
        of_paths = torch.from_numpy(self.series).to(data.device)
        near, number = data.near(of_paths, start, start + n_steps, history=0)
        rows = near.rows(number, start[:, None] + torch.arange(n_steps, device=data.device))
        self.values = near.values[rows][..., :n].cpu().numpy()
        self.counts = np.ones_like(self.values)
        if near.observed is not None:
            self.counts = near.observed[rows][..., :n].cpu().numpy().astype(self.values.dtype)
        self.n_held_out = int((stop - first).sum())

    def error(self) -> float:
        """Mean absolute error, scaled."""
        sums = np.zeros(2)
        if len(self.series):
            decoder = self.model.decoder(self.panel, self.data, self.series, self.cutoff)
            distribution, parameters = self.model.strategy.forecast(decoder, self.steps, 0, None)
            point = distribution.point(parameters)[..., : self.values.shape[-1]]
            sums[0] = (np.abs(point - self.values) * self.counts).sum()
            sums[1] = self.counts.sum()
        total, count = self.processes.total(torch.from_numpy(sums).to(self.data.device)).tolist()
        return total / max(1.0, count)

    @torch.no_grad()
    def set_share(self) -> None:
        r"""Set the direct forecast's share of each horizon by least squares.

        Of n held-out rows, n / h are independent for h steps ahead; the initial share counts as
        `SHARE_ROWS` more. Neighbouring horizons are taken together.
        """
        direct = self.model.network.direct
        if direct is None or not len(self.series):
            return
        decoder = self.model.decoder(self.panel, self.data, self.series, self.cutoff)
        n, h = self.values.shape[-1], self.steps
        share = direct.share.cpu().numpy()
        path = decoder.paths(int(h[-1]))[..., :n, 0]
        other = decoder.direct()[:, : h[-1], :n, 0]  # type: ignore[index]
        product = ((self.values - path) * (other - path) * self.counts).sum((0, 2))
        square = ((other - path) ** 2 * self.counts).sum((0, 2))
        direct.share.copy_(torch.from_numpy(new_share(share, product, square, self.n_held_out)))


def new_share(
    share: np.ndarray, product: np.ndarray, square: np.ndarray, n_held_out: int
) -> np.ndarray:
    """The share (H,) by sums of products and squares of as many steps ahead as were forecast."""
    h = np.arange(1, len(product) + 1)
    near = (h <= SHARE_WIDTH * h[:, None]) & (h * SHARE_WIDTH >= h[:, None])
    found = np.clip((near @ product) / np.maximum(near @ square, LEAST_LOSS), 0, 1)
    n_independent = n_held_out / h
    share = share.copy()
    share[: len(h)] = (n_independent * found + SHARE_ROWS * share[: len(h)]) / (
        n_independent + SHARE_ROWS
    )
    share[0], share[len(h) :] = 0.0, share[len(h) - 1]
    return share


def path_cutoffs(
    first: np.ndarray, stop: np.ndarray, season: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Series and cutoffs of paths over the held-out rows, and their number of steps."""
    n_steps = min(season, MOST_PATH_STEPS, int((stop - first).max()) // 2)
    series, k, _ = sampled_items(np.maximum(stop - first - n_steps + 1, 0), MOST_PATHS)
    return series, first[series] + k, max(1, n_steps)


def next_step_cutoffs(
    first: np.ndarray, stop: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Series and cutoffs of forecasts of the held-out rows, at most so many."""
    series, k, _ = sampled_items(stop - first, max(1, most))
    return series, first[series] + k


def _next_step_validation(
    model: Model, panel: Panel, data: DevicePanel, held_out: HeldOut, processes: Processes
) -> Callable[[], float]:
    """Mean loss over the held-out rows."""
    first, stop = held_out.rows(panel)
    n_horizons = len(model.features.horizons)
    most = MOST_CHOOSING_FORECASTS if held_out.is_trained_on else MOST_VALIDATED_FORECASTS
    series, cutoff = next_step_cutoffs(first, stop, most // n_horizons)
    on_device, t = (torch.from_numpy(part).to(data.device) for part in (series, cutoff))
    near, number = data.near(on_device, t, t + model.features.horizons[-1], history=0)
    values, observed = near.target_values(number, t[:, None])  # (n, 1, J, C)
    inside = t[:, None] + data.steps_after <= data.last[on_device][:, None]  # (n, J)
    inside = inside[:, None, :, None].expand_as(values)
    weight = (inside if observed is None else inside & observed).to(values.dtype)
    if not inside.any():
        msg = (
            f"validation_split must hold out targets of the horizons "
            f"{list(model.features.horizons)}, but the longest held-out end has "
            f"{(stop - first).max()} rows. Raise it, shorten fh, or pass None."
        )
        raise ValueError(msg)
    if not weight.any():
        msg = (
            "validation_split must hold out an observation, but all values that it holds out are "
            "missing. Raise it, or pass None."
        )
        raise ValueError(msg)

    begin, end = processes.share(len(series))
    series, cutoff = series[begin:end], cutoff[begin:end]
    values, weight = values[begin:end], weight[begin:end]

    def validate() -> float:
        sums = values.new_zeros(2)
        if len(series):
            parameters = torch.from_numpy(model.decoder(panel, data, series, cutoff).parameters())
            loss = model.network.loss(parameters[:, None].to(values.device), values, weight)
            if processes.n == 1:
                return loss.item()
            sums[1] = model.network.loss_weights(weight).sum()
            sums[0] = loss * sums[1]
        total, count = processes.total(sums).tolist()
        return total / max(count, LEAST_WEIGHT)

    return validate
