"""Decoding: from many cutoffs of a panel, the recurrent state at each and the forecasts from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, starmap
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from skrnn.features.batch import Steps, Targets
from skrnn.features.device_panel import DevicePanel
from skrnn.features.means import PathMeans
from skrnn.features.path_forecasts import PathForecasts
from skrnn.forecasting.contributions import Contributions, Path, Trace
from skrnn.network.cells import State, concatenated, each_part, select
from skrnn.network.network import RecurrentNetwork
from skrnn.network.threads import map_in_threads, n_threads_of_tasks, ranges

# Steps of all runs in one forward pass: large enough to fill the device, about 100 MB at hidden
# size 128.
STEPS_AT_ONCE = 50_000
# Past values and forecasts held at once while many cutoffs are decoded step by step.
VALUES_AT_ONCE = 20_000_000
# Forecasts computed at once from states: each takes a few hundred bytes on the way.
FORECASTS_AT_ONCE = 500_000
# Cutoffs that are worth a thread: the operators of fewer take less time than the Python code around
# them, which threads run in turn.
FEWEST_OF_THREAD = 500


class Runs:
    """Stretches of series over which the network runs to reach every cutoff asked for.

    The state at a cutoff is that of a run from a zero state over at least the ``window_length``
    steps before it. Runs start on a grid of the timeline, every ``stride`` steps, so that the
    cutoffs of one cell of the grid share a run and any two callers agree on it. With a stride of 1
    the run is exactly the ``window_length`` steps that end at the cutoff. Where one step of the
    network takes in a patch of time steps, the last patch of the run ends at the cutoff as well.

    Parameters
    ----------
    series, cutoff : np.ndarray of shape (n,)
        The forecast begins at row ``cutoff`` of the series and reads the rows before it, at least
        one.
    origin : np.ndarray of shape (S,)
        Timeline position of the first row of each series.
    window_length, stride, patch_length : int
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
        self.steps_per_run = window_length + stride  # at most
        position = cutoff + origin[series]
        start = (position + 1) // stride * stride - window_length - origin[series]
        start = np.maximum(start, 1)
        start += (cutoff - start) % patch_length
        pairs, self.run = np.unique(np.stack([series, start], axis=1), axis=0, return_inverse=True)
        self.series, self.start = pairs[:, 0], pairs[:, 1]
        self.cutoffs_per_run = int(np.bincount(self.run).max(initial=1))  # at most
        self.step = (cutoff - start) // patch_length  # of the cutoff within its run
        self.length = np.zeros(len(pairs), dtype=np.int64)
        np.maximum.at(self.length, self.run, self.step + 1)

    def batches(
        self, n_runs: int, by_length: bool = True
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Batches of so many runs, with the cutoffs that they reach.

        Parameters
        ----------
        n_runs : int
        by_length : bool, default=True
            Whether runs of like length are together, so that little is padded; if not, they are in
            the order of their series.

        Yields
        ------
        runs : np.ndarray
            Numbers of the runs.
        cutoffs : np.ndarray of shape (m,)
            Numbers of the cutoffs.
        place : np.ndarray of shape (m,)
            Where in ``runs`` the run of each cutoff is.
        """
        n = len(self.length)
        order = np.argsort(self.length, kind="stable") if by_length else np.arange(n)
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        by_run = np.argsort(place[self.run], kind="stable")  # cutoffs in the order of their runs
        bounds = np.arange(0, len(order) + n_runs, n_runs)
        edges = np.searchsorted(place[self.run][by_run], bounds)
        for i, (low, high) in enumerate(pairwise(edges)):
            cutoffs = by_run[low:high]
            yield (
                order[i * n_runs : (i + 1) * n_runs],
                cutoffs,
                place[self.run[cutoffs]] - i * n_runs,
            )


class Encoded(NamedTuple):
    """What is known of m cutoffs after the recurrent layer.

    cutoffs : numbers of the cutoffs, (m,).
    hidden : recurrent output at each, (m, H).
    state : recurrent state after it; None if it is not asked for.
    steps : steps of the runs to them.
    run, step : which of the runs, and which of its steps, is that of each cutoff, (m,).
    data : a panel that holds what forecasts from the cutoffs read.
    series : number in it of the series of each cutoff, (m,).
    """

    cutoffs: np.ndarray
    hidden: Tensor
    state: State
    steps: Steps
    run: Tensor
    step: Tensor
    data: DevicePanel
    series: Tensor


@dataclass(frozen=True)
class Decoder:
    """Forecasts, scaled, from the rows on that follow the cutoffs of series.

    Parameters
    ----------
    network : RecurrentNetwork
    data : DevicePanel
        It must hold the rows to forecast: their calendar and covariates are read, their values are
        not.
    series, cutoff : np.ndarray of shape (n,)
        See `Runs`.
    runs : Runs
    n_parts : int, default=1
        What is computed at once is divided by it.
    contributions : Contributions, optional
        What the forecasts are explained by; 2 P more values then follow each forecast's own.
    """

    network: RecurrentNetwork
    data: DevicePanel
    series: np.ndarray
    cutoff: np.ndarray
    runs: Runs
    n_parts: int = 1
    contributions: Contributions | None = None

    @property
    def n_channels(self) -> int:
        """Values by which each forecast is explained, 2 P; 0 if it is not."""
        return 0 if self.contributions is None else self.contributions.n_channels

    @torch.no_grad()
    def parameters(self) -> np.ndarray:
        """Parameters of the network's own horizons from each cutoff, (n, J, C, K + 2 P)."""
        network, features = self.network, self.network.features
        n_parameters = network.distribution.n_parameters + self.n_channels
        shape = (len(features.horizons), features.n_outputs, n_parameters)
        result = np.empty((len(self.cutoff), *shape), dtype=np.float32)
        n_at_once = self._forecasts_at_once(len(features.horizons))

        def decode(encoded: Encoded, part: slice) -> None:
            cutoffs, run, step = encoded.cutoffs[part], encoded.run[part], encoded.step[part]
            (t,) = self._put(self.cutoff[cutoffs])
            targets = encoded.data.targets(encoded.series[part], t[:, None])
            mixed = network.mixed(encoded.hidden[part, None], targets)
            parameters = network.parameters_of(mixed, targets)
            if self.contributions is not None:
                path = Path(encoded.steps, run, step, [], targets, mixed)
                channels = self.contributions.of_path(path)
                parameters = torch.cat([parameters, channels], dim=-1)
            result[cutoffs] = parameters[:, 0].cpu().numpy()

        for encoded in self._encoded(features.horizons[-1]):
            parts = _parts(len(encoded.cutoffs), n_at_once)
            map_in_threads(partial(decode, encoded), parts)
        return result

    @torch.no_grad()
    def paths(
        self, horizon: int, n_samples: int = 0, generator: torch.Generator | None = None
    ) -> np.ndarray:
        """Values one after the other up to ``horizon``, each an input of the next, (n, H, C, V).

        V is 1, the point forecasts, and 2 P if these are explained; or ``n_samples`` paths, whose
        values are drawn.
        """
        features, n_paths = self.network.features, max(1, n_samples)
        shape = (len(self.cutoff), horizon, features.n_outputs, n_paths + self.n_channels)
        result = np.empty(shape, dtype=np.float32)
        n_values = (features.history + horizon) * n_paths  # of each cutoff
        if self.contributions is not None:  # what each step has read is kept
            n_values += horizon * len(features.offsets)

        def decode(encoded: Encoded, part: slice) -> None:
            cutoffs, series = encoded.cutoffs[part], encoded.series[part]
            state = each_part(lambda states: states[:, part], encoded.state)
            (first,) = self._put(self.cutoff[cutoffs])
            hidden = encoded.hidden[part]
            naive = PathForecasts.of(
                self.network.naive_forecasts,
                encoded.data,
                series,
                first,
                earliest=int(self.cutoff.min()),
                horizon=horizon,
                n_paths=n_paths,
            )
            trace: Trace | None = None if self.contributions is None else []
            if n_samples:
                series, first, hidden = (
                    start.repeat_interleave(n_samples, 0) for start in (series, first, hidden)
                )
                state = each_part(lambda states: states.repeat_interleave(n_samples, 1), state)
            values = recursive(
                self.network,
                encoded.data,
                series,
                first,
                hidden,
                state,
                horizon,
                generator,
                trace,
                naive,
            )
            values = values.unflatten(0, (-1, n_paths)).movedim(1, -1)  # (m, H, C, V)
            if self.contributions is not None and trace is not None:
                path = Path.of(trace, encoded.steps, encoded.run[part], encoded.step[part])
                channels = self.contributions.of_path(path)[:, :, 0]
                values = torch.cat([values, channels], dim=-1)
            result[cutoffs] = values.cpu().numpy()

        # Draws in the order of the series: what one series has seen changes no draw of another.
        for encoded in self._encoded_with_states(n_values, horizon, by_length=not n_samples):
            n = len(encoded.cutoffs)
            parts = [slice(0, n)] if n_samples else _parts(n, n)
            map_in_threads(partial(decode, encoded), parts)
        return result

    @torch.no_grad()
    def direct(self) -> np.ndarray | None:
        """The network's direct forecasts, (n, H, C, 1 + 2 P); None if it has none."""
        direct = self.network.direct
        if direct is None:
            return None
        whole, n_horizons = self.data.with_features(direct.features), len(direct.features.horizons)
        n_at_once = self._forecasts_at_once(n_horizons)
        parts = []
        for first in range(0, len(self.cutoff), n_at_once):
            part = slice(first, first + n_at_once)
            series, t = self._put(self.series[part], self.cutoff[part])
            data, series = whole.near(series, t, t + n_horizons)
            targets = data.targets(series, t[:, None])
            weights, forecasts = direct.mixed(targets)
            values = (weights * forecasts).sum(-1, keepdim=True)
            if self.contributions is not None:
                channels = self.contributions.of_direct(weights, forecasts, targets)
                values = torch.cat([values, channels], dim=-1)
            parts.append(values[:, 0].cpu().numpy())
        return np.concatenate(parts)

    def _encoded(self, horizon: int) -> Iterator[Encoded]:
        """Batches of cutoffs with their recurrent outputs, to forecast up to ``horizon``."""
        for runs, cutoffs, place in self.runs.batches(self._runs_at_once()):
            data, series, steps = self._read(runs, horizon)
            run, step = self._put(place, self.runs.step[cutoffs])
            hidden = self.network.encode(steps)[0][run, step]
            yield Encoded(cutoffs, hidden, None, steps, run, step, data, series[run])

    def _encoded_with_states(
        self, n_values: int, horizon: int, by_length: bool
    ) -> Iterator[Encoded]:
        """The same with the states, in batches for so many values of each cutoff."""
        n_values *= self.runs.cutoffs_per_run
        n_runs = max(1, min(self._runs_at_once(), VALUES_AT_ONCE // n_values // self.n_parts))
        for runs, cutoffs, place in self.runs.batches(n_runs, by_length):
            (data, series, steps), step = self._read(runs, horizon), self.runs.step[cutoffs]
            hidden, state = states(self.network, steps, place, step)
            run, at = self._put(place, step)
            yield Encoded(cutoffs, hidden, state, steps, run, at, data, series[run])

    def share(self) -> np.ndarray:
        """Share of the direct forecast at each of its horizons, (H,)."""
        return self.network.direct.share.cpu().numpy()  # type: ignore[union-attr]

    def _runs_at_once(self) -> int:
        return runs_at_once(
            self.runs.steps_per_run, self.network.features.patch_length, self.n_parts
        )

    def _forecasts_at_once(self, n_horizons: int) -> int:
        return max(1, FORECASTS_AT_ONCE // n_horizons // self.n_parts)

    def _read(self, runs: np.ndarray, horizon: int) -> tuple[DevicePanel, Tensor, Steps]:
        """The panel near some runs and their forecasts, the numbers of their series, and steps."""
        series, start = self._put(self.runs.series[runs], self.runs.start[runs])
        length = int(self.runs.length[runs].max())
        stop = start + self.network.features.patch_length * length + horizon
        data, series = self.data.near(series, start, stop)
        return data, series, data.steps(series, start, length)

    def _put(self, *arrays: np.ndarray) -> list[Tensor]:
        return [torch.from_numpy(array).to(self.data.device) for array in arrays]


def _parts(n: int, at_once: int) -> list[slice]:
    """Parts of n cutoffs to decode at once, or in as many threads as there are."""
    n_parts = max(1, -(-n // at_once), min(n_threads_of_tasks(), n // FEWEST_OF_THREAD))
    return list(starmap(slice, ranges(n, n_parts)))


def runs_at_once(steps_per_run: int, patch_length: int, n_parts: int) -> int:
    """Runs in one forward pass."""
    return max(1, STEPS_AT_ONCE * patch_length // steps_per_run // n_parts)


def states(
    network: RecurrentNetwork, steps: Steps, run: np.ndarray, step: np.ndarray
) -> tuple[Tensor, State]:
    """Recurrent output (n, H) and state after each given step of the given run.

    Where only the state after the last step of a pass is known, all runs advance together from one
    cutoff to the next.
    """
    device = steps.past.device
    if (every := network.states_of_steps(steps)) is not None:
        hidden, state = every
        of_run, at = (torch.from_numpy(part).to(device) for part in (run, step))
        return hidden[of_run, at], each_part(lambda part: part[of_run, at][None], state)
    order: list[np.ndarray] = []
    outputs: list[Tensor] = []
    collected: list[State] = []
    state, done = None, 0
    for stop in np.unique(step).tolist():
        hidden, state = network.encode(steps.between(done, stop + 1), state)
        reached = np.flatnonzero(step == stop)
        runs = torch.from_numpy(run[reached]).to(device)
        order.append(reached)
        outputs.append(hidden[runs, -1])
        collected.append(select(state, runs))
        done = stop + 1
    back = torch.from_numpy(np.argsort(np.concatenate(order))).to(device)
    return torch.cat(outputs)[back], select(concatenated(collected), back)


def recursive(
    network: RecurrentNetwork,
    data: DevicePanel,
    series: Tensor,
    cutoff: Tensor,
    hidden: Tensor,
    state: State,
    horizon: int,
    generator: torch.Generator | None = None,
    trace: Trace | None = None,
    naive: PathForecasts | None = None,
) -> Tensor:
    """Forecast step by step, each forecast, or draw, an input of the next step, (n, H, C).

    ``trace`` gets what each step has read, and what its forecast is the sum of. ``naive`` are the
    naive forecasts, where they need not be looked up at every step.
    """
    features, distribution = network.features, network.distribution
    history = features.history
    back = cutoff[:, None] - torch.arange(history, 0, -1, device=cutoff.device)
    rows = data.rows(series, back)
    past = data.values[rows]  # (n, T, C)
    # By time, so that what one step reads and writes is contiguous.
    by_time = past.new_empty(history + horizon, len(past), past.shape[-1])
    by_time[:history] = past.transpose(0, 1)
    values = by_time.transpose(0, 1)  # (n, T + H, C)
    past_means = past.new_empty(*past.shape[:2], 0, past.shape[-1])
    means = PathMeans(
        values=values,
        means=past_means if data.means is None else data.means[rows],
        n_rows=cutoff,
        periods=features.mean_periods,
        offsets=data.mean_offsets,
    )
    observed = None
    if features.missing:
        # A forecast is all that is known of its step: no value that fills a gap.
        observed = torch.ones_like(values)
        if data.observed is not None:
            observed[:, :history] = data.observed[rows].to(values.dtype)
    for h in range(horizon):
        t, row, inputs = (cutoff + h)[:, None], history + h, None
        if h:
            offsets = row - data.offsets
            known, codes = data.known(series, t)
            steps = Steps(
                past=by_time[offsets].transpose(0, 1)[:, None],  # (n, 1, K, C)
                observed=None if observed is None else observed[:, offsets][:, None],
                n_past=t,
                known=known,
                codes=codes,
            )
            inputs = network.inputs(steps)
            output, state = network.recurrent(inputs, state)
            hidden = output[:, 0]
        past = by_time[row - data.naive_offsets].transpose(0, 1)[:, None]  # (n, 1, K, C)
        of_means, scale, regressors = means.before(row), data.scale_of(series), None
        if naive is None or trace is not None:
            regressors = data.regressors(series, t)
        targets = Targets(past, of_means, t, None, None, regressors, None, scale)
        given = () if naive is None else (naive.at(h, past[:, 0], of_means),)
        mixed = network.mixed(hidden[:, None], targets, *given)
        parameters = network.parameters_of(mixed, targets)[:, 0, 0]  # (n, C, K)
        if trace is not None:
            trace.append((inputs, targets, mixed))
        if generator is None:
            values[:, row] = distribution.point(parameters)
        else:
            values[:, row] = distribution.sample(parameters, generator)
        means.append(row)
    return values[:, history:]
