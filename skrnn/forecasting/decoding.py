"""Decoding: forecasts from many cutoffs of a panel, the recurrent state carried along."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from skrnn.features.naive import Ahead
from skrnn.network.network import RecurrentNetwork, State, Steps
from skrnn.training.chunks import DevicePanel

# Steps of all runs in one forward pass: large enough to fill the device, small enough (about
# 100 MB at hidden size 128) for a laptop.
STEPS_AT_ONCE = 50_000
# Past values and forecasts held at once while many cutoffs are decoded step by step.
VALUES_AT_ONCE = 20_000_000
# Forecasts made at once from states: each costs a few hundred bytes on the way.
FORECASTS_AT_ONCE = 500_000


class Runs:
    """Stretches of series over which the network runs to reach every cutoff asked for.

    The state at a cutoff is that of a run from a zero state over the ``window_length`` steps
    before it or more: runs start on a grid of the timeline, every ``stride`` steps, so that the
    cutoffs of one cell of the grid share a run and any two callers agree on it. With a stride
    of 1 the run is exactly the ``window_length`` steps that end at the cutoff. Where one step of
    the network takes in a patch of time steps, the last of the run ends at the cutoff as well.

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
        patch_length: int,
    ):
        position = cutoff + origin[series]
        start = (position + 1) // stride * stride - window_length - origin[series]
        start = np.maximum(start, 1)
        start += (cutoff - start) % patch_length
        pairs, self.run = np.unique(np.stack([series, start], axis=1), axis=0, return_inverse=True)
        self.series, self.start = pairs[:, 0], pairs[:, 1]
        self.step = (cutoff - start) // patch_length  # of the cutoff within its run
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
    n_samples: int = 0,
    generator: torch.Generator | None = None,
) -> np.ndarray:
    """Forecast the rows from ``cutoff`` on of each series, scaled.

    ``data`` must hold these rows: their calendar and covariates are read, their values are not.
    For the parameters not explained here see `Runs`.

    Parameters
    ----------
    horizon : int, default=1
        Steps ahead H, made one after the other; a network of several horizons makes those at once.
    n_samples : int, default=0
        Paths sampled from each cutoff, where forecasts are made one after the other; 0 for the
        point forecasts.
    generator : torch.Generator, optional
        Of the samples.

    Returns
    -------
    np.ndarray of shape (n, H, C, K)
        Parameters of the distributions of one step, or of several horizons at once; point
        forecasts of several steps, K = 1; sampled paths, K = ``n_samples``.
    """
    network.eval()
    features = network.features
    at_once_ahead = bool(features.horizons) or horizon == 1
    runs = Runs(series, cutoff, origin, window_length, stride, features.patch_length)
    n_kept = network.distribution.n_parameters if at_once_ahead else max(1, n_samples)
    n_ahead = len(features.horizons) if features.horizons else horizon
    result = np.empty((len(cutoff), n_ahead, features.n_outputs, n_kept), dtype=np.float32)
    # Runs of like length together, so that no pass is padded much.
    order = np.argsort(runs.length, kind="stable")
    at_once = STEPS_AT_ONCE * features.patch_length // (window_length + stride)
    if not at_once_ahead:
        held = stride * (features.history + horizon) * max(1, n_samples)
        at_once = min(at_once, VALUES_AT_ONCE // held)
    at_once = max(1, at_once)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    by_run = np.argsort(place[runs.run], kind="stable")  # cutoffs in the order of their runs
    edges = np.searchsorted(place[runs.run][by_run], np.arange(0, len(order) + at_once, at_once))

    def put(array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(data.device)

    for i, (low, high) in enumerate(pairwise(edges)):
        batch, cutoffs = order[i * at_once : (i + 1) * at_once], by_run[low:high]
        run, step = put(place[runs.run[cutoffs]] - i * at_once), put(runs.step[cutoffs])
        steps = data.steps(
            put(runs.series[batch]), put(runs.start[batch]), int(runs.length[batch].max())
        )
        here, t = put(series[cutoffs]), put(cutoff[cutoffs])
        if at_once_ahead:
            hidden = network.encode(steps)[0][run, step]  # (n, H)
            size = max(1, FORECASTS_AT_ONCE // n_ahead)
            for part in torch.arange(len(t), device=t.device).split(size):
                made = network.decode(hidden[part, None], data.ahead(here[part], t[part, None]))
                result[cutoffs[part.cpu().numpy()]] = made[:, 0].cpu().numpy()
            continue
        hidden, state = states(network, steps, run, step)
        if n_samples:
            here, t, hidden = (part.repeat_interleave(n_samples, 0) for part in (here, t, hidden))
            state = each(lambda part: part.repeat_interleave(n_samples, 1), state)
        made = recursive(network, data, here, t, hidden, state, horizon, generator)
        made = made.unflatten(0, (-1, max(1, n_samples))).movedim(1, -1)  # (n, H, C, V)
        result[cutoffs] = made.cpu().numpy()
    return result


def states(
    network: RecurrentNetwork, steps: Steps, run: Tensor, step: Tensor
) -> tuple[Tensor, State]:
    """Recurrent output (n, H) and state after each given step of the given run.

    Only the state after the last step of a pass is known, so the runs advance together from one
    cutoff to the next.
    """
    order: list[Tensor] = []
    outputs: list[Tensor] = []
    collected: list[State] = []
    state, done = None, 0
    for stop in torch.unique(step).tolist():  # sorted
        segment = steps.between(done, stop + 1)
        hidden, state = network.encode(segment, state)
        here = torch.nonzero(step == stop)[:, 0]
        order.append(here)
        outputs.append(hidden[run[here], -1])
        collected.append(each(lambda part, rows=run[here]: part[:, rows], state))
        done = stop + 1
    back = torch.argsort(torch.cat(order))
    state = each(lambda *parts: torch.cat(parts, dim=1)[:, back], *collected)
    return torch.cat(outputs)[back], state


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
    hidden: Tensor,
    state: State,
    horizon: int,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Forecast step by step, each forecast, or draw, an input of the next step, (n, H, C)."""
    distribution, history = network.distribution, network.features.history
    back = cutoff[:, None] - torch.arange(history, 0, -1, device=cutoff.device)
    rows = data.rows(series, back)
    past = data.values[rows]  # (n, history, C)
    values = torch.cat([past, past.new_empty(len(past), horizon, past.shape[-1])], dim=1)
    levels = Levels(past, data.level_offsets, network.features.level_periods, horizon)
    observed = None
    if network.features.missing:
        # A forecast is all that is known of its step: no stand-in for a missing value.
        observed = torch.ones_like(values)
        if data.observed is not None:
            observed[:, :history] = data.observed[rows].to(values.dtype)
    for h in range(horizon):
        count = (cutoff + h)[:, None]
        here = history + h
        if h:
            offsets = here - data.offsets
            steps = Steps(
                past=values[:, offsets][:, None],  # (n, 1, K, C)
                observed=None if observed is None else observed[:, offsets][:, None],
                n_past=count,
                known=(known := data.known(series, count))[0],
                codes=known[1],
            )
            output, state = network.encode(steps, state)
            hidden = output[:, 0]
        past = values[:, here - data.naive_offsets][:, None]  # (n, 1, K, C)
        ahead = Ahead(past, levels.at(here, count), count, None, None)
        made = network.decode(hidden[:, None], ahead)[:, 0, 0]  # (n, C, K)
        if generator is None:
            values[:, here] = distribution.point(made)
        else:
            values[:, here] = distribution.sample(made, generator)
        levels.append(here, values[:, here])
    return values[:, history:]


class Levels:
    """Means over the last values before a step, of paths to which forecasts are appended.

    Parameters
    ----------
    past : Tensor of shape (n, history, C)
        Values so far; those before a series' first are not read.
    offsets : Tensor of shape (P, O)
        How far before a step each mean ends, for each of P periods.
    periods : tuple of int
    horizon : int
        Values that will be appended.
    """

    def __init__(self, past: Tensor, offsets: Tensor, periods: tuple[int, ...], horizon: int):
        self.offsets, self.periods = offsets, torch.tensor(periods, device=past.device)[:, None]
        n, history, n_columns = past.shape
        # In float64: a mean is the difference of two sums.
        self.total = past.new_zeros(n, history + horizon + 1, n_columns, dtype=torch.float64)
        if periods:
            self.total[:, 1 : history + 1] = past.double().cumsum(1)

    def at(self, here: int, count: Tensor) -> Tensor | None:
        """Means before the value at ``here``, (n, 1, P, O, C).

        A mean that would reach before the first of the ``count`` (n, 1) values so far is that of
        the values there are.
        """
        if not self.offsets.numel():
            return None
        back = torch.minimum(self.offsets, count[..., None])  # (n, P, O), not before the first
        stop = here - back + 1
        held = torch.minimum(count[..., None] - back + 1, self.periods)
        path = torch.arange(len(count), device=stop.device)[:, None, None]
        sums = self.total[path, stop] - self.total[path, stop - held]
        return (sums / held[..., None]).float()[:, None]

    def append(self, here: int, values: Tensor) -> None:
        """Take in the values (n, C) at ``here``."""
        if self.offsets.numel():
            self.total[:, here + 1] = self.total[:, here] + values
