"""Decoding: forecasts from many cutoffs of a panel, the recurrent state carried along."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from skrnn._chunks import DevicePanel
from skrnn._networks import RecurrentNetwork, State, Steps

# Steps of all runs in one forward pass: large enough to fill the device, small enough (about
# 100 MB at hidden size 128) for a laptop.
STEPS_AT_ONCE = 50_000
# Past values and forecasts held at once while many cutoffs are decoded step by step.
VALUES_AT_ONCE = 20_000_000


class Runs:
    """Stretches of series over which the network runs to reach every cutoff asked for.

    The state at a cutoff is that of a run from a zero state over the ``window_length`` steps
    before it or more: runs start on a grid of the timeline, every ``stride`` steps, so that the
    cutoffs of one cell of the grid share a run and any two callers agree on it. With a stride
    of 1 the run is exactly the ``window_length`` steps that end at the cutoff.

    Parameters
    ----------
    series, cutoff : np.ndarray of shape (n,)
        The forecast begins at row ``cutoff`` of the series, knowing the rows before it; at
        least one.
    origin : np.ndarray of shape (S,)
        Timeline position of the first row of each series.
    """

    def __init__(
        self,
        series: np.ndarray,
        cutoff: np.ndarray,
        origin: np.ndarray,
        window_length: int,
        stride: int,
    ):
        position = cutoff + origin[series]
        start = (position + 1) // stride * stride - window_length - origin[series]
        start = np.maximum(start, 1)
        pairs, self.run = np.unique(np.stack([series, start], axis=1), axis=0, return_inverse=True)
        self.series, self.start = pairs[:, 0], pairs[:, 1]
        self.step = cutoff - start  # of the cutoff within its run
        self.length = np.zeros(len(pairs), dtype=np.int64)
        np.maximum.at(self.length, self.run, self.step + 1)


@torch.no_grad()
def forecast(
    network: RecurrentNetwork,
    data: DevicePanel,
    series: np.ndarray,
    cutoff: np.ndarray,
    origin: np.ndarray,
    window_length: int,
    stride: int,
    horizon: int = 1,
) -> np.ndarray:
    """Forecast the rows ``cutoff`` to ``cutoff + horizon`` of each series, scaled, (n, H, C).

    ``data`` must hold these rows: their calendar and covariates are read, their values are not.
    For the other parameters see `Runs`.
    """
    network.eval()
    runs = Runs(series, cutoff, origin, window_length, stride)
    result = np.empty((len(cutoff), horizon, network.n_columns), dtype=np.float32)
    # Runs of like length together, so that no pass is padded much.
    order = np.argsort(runs.length, kind="stable")
    at_once = STEPS_AT_ONCE // (window_length + stride)
    if horizon > 1:
        at_once = min(at_once, VALUES_AT_ONCE // (stride * (int(data.offsets[-1]) + horizon)))
    at_once = max(1, at_once)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    by_run = np.argsort(place[runs.run], kind="stable")  # cutoffs in the order of their runs
    edges = np.searchsorted(place[runs.run][by_run], np.arange(0, len(order) + at_once, at_once))
    for i, (low, high) in enumerate(pairwise(edges)):
        batch, cutoffs = order[i * at_once : (i + 1) * at_once], by_run[low:high]
        device = data.device
        run = torch.from_numpy(place[runs.run[cutoffs]] - i * at_once).to(device)
        step = torch.from_numpy(runs.step[cutoffs]).to(device)
        steps, _ = data.steps(
            torch.from_numpy(runs.series[batch]).to(device),
            torch.from_numpy(runs.start[batch]).to(device),
            int(runs.length[batch].max()),
        )
        if horizon == 1:
            made = network(steps)[0][run, step][:, None]  # (n, 1, C)
        else:
            first, state = states(network, steps, run, step)
            made = recursive(
                network,
                data,
                torch.from_numpy(series[cutoffs]).to(device),
                torch.from_numpy(cutoff[cutoffs]).to(device),
                first,
                state,
                horizon,
            )
        result[cutoffs] = made.cpu().numpy()
    return result


def states(
    network: RecurrentNetwork, steps: Steps, run: Tensor, step: Tensor
) -> tuple[Tensor, State]:
    """One-step forecast (n, 1, C) and state after each given step of the given run.

    Only the state after the last step of a pass is known, so the runs advance together from one
    cutoff to the next.
    """
    first = torch.empty(len(run), 1, network.n_columns, device=run.device)
    order: list[Tensor] = []
    collected: list[State] = []
    state, done = None, 0
    for stop in torch.unique(step).tolist():  # sorted
        segment = Steps(*(part[:, done : stop + 1] for part in steps))
        made, state = network(segment, state)
        here = torch.nonzero(step == stop)[:, 0]
        first[here] = made[run[here], -1:]
        order.append(here)
        collected.append(each(lambda part, rows=run[here]: part[:, rows], state))
        done = stop + 1
    back = torch.argsort(torch.cat(order))
    return first, each(lambda *parts: torch.cat(parts, dim=1)[:, back], *collected)


def each(function: Callable[..., Tensor], *states: State) -> State:
    """Apply a function to the parts of states: an LSTM has two, other cells one."""
    if isinstance(states[0], tuple):
        return tuple(function(*parts) for parts in zip(*states, strict=True))
    return function(*states)


def recursive(
    network: RecurrentNetwork,
    data: DevicePanel,
    series: Tensor,
    cutoff: Tensor,
    first: Tensor,
    state: State,
    horizon: int,
) -> Tensor:
    """Forecast step by step, each forecast an input of the next step, (n, H, C)."""
    reach = int(data.offsets[-1])
    back = cutoff[:, None] - torch.arange(reach, 0, -1, device=cutoff.device)
    rows = data.first[series][:, None] + back.clamp_(min=0)
    past = data.values[rows]  # (n, reach, C)
    values = torch.cat([past, past.new_empty(len(past), horizon, past.shape[-1])], dim=1)
    values[:, reach] = first[:, 0]
    for h in range(1, horizon):
        count = (cutoff + h)[:, None]
        calendar = data.calendar[data.origin[series] + cutoff + h]  # (n, Q)
        covariates = data.covariates[data.first[series] + cutoff + h]  # (n, P)
        steps = Steps(
            past=values[:, reach + h - data.offsets][:, None],  # (n, 1, K, C)
            n_past=count,
            known=torch.cat([calendar, covariates], dim=-1)[:, None],
        )
        made, state = network(steps, state)
        values[:, reach + h] = made[:, 0]
    return values[:, reach:]
