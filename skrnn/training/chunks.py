"""Chunks: training batches, drawn from the panel on the device by index."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from itertools import pairwise, repeat, starmap
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from skrnn.data.ragged import numbered
from skrnn.features.batch import Chunk
from skrnn.features.device_panel import DevicePanel
from skrnn.features.naive_forecasts import NaiveForecasts
from skrnn.training.processes import Processes

# Numbers read from the panel at once, 8 MB of them. At the defaults that is 16 batches. Reading
# each alone took a twentieth of a training step (2-core AMD EPYC, torch 2.13).
NUMBERS_PER_READ = 2**21
# Training forecasts several horizons from so many steps that it visits each target about this
# often. Forecasts of one target from neighbouring steps teach almost the same, at the same cost.
VISITS_PER_TARGET = 4
# Naive forecasts that are computed before training at most: 128 MB of them.
MOST_LOOKED_UP = 2**25
# They are computed if so many epochs read all of them.
MOST_EPOCHS_OF_LOOKED_UP = 8


def split(batch: Any, sizes: list[int]) -> Iterator[Any]:
    """Cut the tensors of a named tuple, of tuples in it too, into such tuples of some rows."""
    if isinstance(batch, Tensor):
        return iter(batch.split(sizes))
    if isinstance(batch, tuple):
        return starmap(type(batch), zip(*(split(part, sizes) for part in batch), strict=False))
    return repeat(batch)


def _runs(lengths: np.ndarray, at_most: np.ndarray) -> list[tuple[int, int]]:
    """Cut ascending lengths into ranges of equal ones, of ``at_most`` each."""
    runs = []
    bounds = [0, *(np.flatnonzero(np.diff(lengths)) + 1).tolist(), len(lengths)]
    for first, stop in pairwise(bounds):
        size = int(at_most[first])
        runs += [(i, min(i + size, stop)) for i in range(first, stop, size)]
    return runs


class DrawnBatches(NamedTuple):
    """The batches of an epoch.

    chunks : series, first step, range of steps that count (first and stop), and phase of each
        chunk, (5, n).
    firsts, stops : range of chunks of each batch.
    lengths : steps of the network in each batch.
    counts : targets that count in each batch.
    runs : ranges of batches of one length, in the order of training.
    """

    chunks: np.ndarray
    firsts: np.ndarray
    stops: np.ndarray
    lengths: list[int]
    counts: list[int]
    runs: list[tuple[int, int]]


class Chunks:
    """Training batches: every target of the panel once an epoch, except a batch's remainder.

    Dense supervision cuts each series into chunks of ``window_length`` steps, at a random phase in
    each epoch, and counts the loss at every step: an observation is processed once. The last chunk
    of a series is moved inside it, the first one is moved or shortened, and a step that two chunks
    hold counts in one of them.
    "last" takes the ``window_length`` steps up to every target, and counts that target alone.

    Targets begin where all lags of a step exist, at half of a series that is too short for that,
    and early enough that a series long enough has a target of every horizon. A step's targets count
    as far as they are observed and lie before ``stop``. Where a step of the network takes in a
    patch of several time steps, the phase decides where patches end. Targets of several horizons
    overlap, so that not every step is forecast from, see `VISITS_PER_TARGET`.

    Parameters
    ----------
    data : DevicePanel
    stop : np.ndarray of shape (S,)
        Targets of series s end before this row; what follows is held out.
    window_length, batch_size : int
    supervision : {"dense", "last"}
    rng : np.random.Generator
    since : np.ndarray of shape (S,) or int, default=0
        Targets of series s begin at this row at the earliest.
    visits_per_target : int, default=VISITS_PER_TARGET
        How often a target is visited in an epoch, if there are as many horizons.
    """

    def __init__(
        self,
        data: DevicePanel,
        stop: np.ndarray,
        window_length: int,
        batch_size: int,
        supervision: str,
        rng: np.random.Generator,
        since: np.ndarray | int = 0,
        visits_per_target: int = VISITS_PER_TARGET,
    ):
        # Held-out values are not read, not even with weight zero: zero times infinity is NaN.
        self.data, self.rng = data.cut(stop), rng
        self.window_length, self.batch_size = window_length, batch_size
        self.dense = supervision == "dense"
        self.patch_length = data.features.patch_length
        needed = data.features.needed
        needed = needed if self.dense else max(needed, window_length)
        horizons = data.features.horizons
        earliest = np.minimum(needed, stop // 2)
        whole = np.where(stop > horizons[-1], stop - horizons[-1], earliest)
        earliest = np.maximum(1, np.minimum(earliest, whole))
        self.begin = np.minimum(np.maximum(since, earliest), stop)
        self.stop = stop
        # Steps from one that is forecast from to the next.
        visits = visits_per_target * self.patch_length
        self.every = max(1, len(horizons) // visits) if self.dense else 1
        # Steps of a patch among which one counts.
        self.stride = self.patch_length if self.dense else 1
        self.n_observations = max(1, int((stop - self.begin).sum()))
        self.n_targets = max(1, self.n_observations // self.stride)

    def __len__(self) -> int:
        """Batches an epoch, at most."""
        if self.dense:
            n = self.stop - self.begin
            pieces = -(-n // self.window_length)
            # A phase cuts a series that fills more than one chunk once more.
            n_chunks = int((pieces + (n > self.window_length)).sum())
        else:
            n_chunks = int((self.stop - self.begin).sum())
        return self._n_batches(n_chunks)

    def _n_batches(self, n_chunks: int) -> int:
        if self.dense:
            return -(-n_chunks // self.batch_size)
        # Windows left over wait for the next epoch's shuffle, unless there is no full batch.
        return max(1, n_chunks // self.batch_size)

    def epoch(self, processes: Processes | None = None) -> Iterator[Chunk]:
        """Draw the batches of one epoch, in random order; of several processes, their parts.

        All processes draw the same batches, if their random numbers are the same. A part may be
        empty.
        """
        batches = self.drawn(processes)
        # Put on the device once an epoch: the loop copies nothing.
        table = torch.from_numpy(batches.chunks).to(self.data.device)
        for first, stop in batches.runs:
            rows = table[:, batches.firsts[first] : batches.stops[stop - 1]]
            drawn = self.gathered(rows, batches.lengths[first])
            sizes = (batches.stops - batches.firsts)[first:stop].tolist()
            for chunk, n in zip(split(drawn, sizes), batches.counts[first:stop], strict=True):
                yield chunk._replace(n_targets=n)

    def drawn(self, processes: Processes | None = None) -> DrawnBatches:
        """Draw the batches of an epoch, without reading the panel."""
        series, start, low, high = self._cut()
        phase = self.rng.integers(0, self.every, len(series)) if self.every > 1 else 0 * series
        order = self.rng.permutation(len(series))
        # Chunks of one length share a batch, so a short series costs no padding; with chunks of
        # one length only, this is the plain shuffle.
        order = order[np.argsort((high - start)[order], kind="stable")]
        firsts = np.arange(self._n_batches(len(order))) * self.batch_size
        stops = np.minimum(firsts + self.batch_size, len(order))
        lengths = -(-(high - start)[order[stops - 1]] // self.patch_length)  # the last is longest
        counted = np.append(0, np.cumsum((high - low)[order]))
        counts = np.maximum(1, (counted[stops] - counted[firsts]) // self.stride).tolist()
        if processes is not None:
            begin, end = processes.share(stops - firsts)
            batch, k = numbered(end - begin)
            order = order[(firsts + begin)[batch] + k]
            stops = np.cumsum(end - begin)
            firsts = stops - (end - begin)
        chunks = np.stack([series, start, low, high, phase])[:, order]
        # Neighbours of one length are drawn together, as random an order as one by one.
        numbers = self.batch_size * lengths * self._numbers_per_step
        together = np.maximum(1, NUMBERS_PER_READ // numbers)
        runs = _runs(lengths, together)
        runs = [runs[i] for i in self.rng.permutation(len(runs))]
        return DrawnBatches(chunks, firsts, stops, lengths.tolist(), counts, runs)

    @property
    def can_look_up(self) -> bool:
        """Whether a few epochs read the naive forecasts of all rows, and these fit into memory."""
        features = self.data.features
        n_forecasts = len(features.horizons) * features.n_outputs * features.n_mixed
        is_small = int(self.data.lengths.sum()) * n_forecasts <= MOST_LOOKED_UP
        is_read = n_forecasts > 0 and self.every <= MOST_EPOCHS_OF_LOOKED_UP
        return is_read and is_small and self.data.is_whole

    def look_up(self, naive_forecasts: NaiveForecasts, data: DevicePanel) -> DevicePanel:
        """Compute the naive forecasts of all rows of the whole panel now, if that saves time.

        The chunks read them from the panel that is returned.
        """
        if self.can_look_up:
            data = data.with_naive(naive_forecasts)
            self.data = data.cut(self.stop)
        return data

    def reading(self, data: DevicePanel) -> Chunks:
        """The same chunks, drawn from the same random numbers, of other data."""
        chunks = copy.copy(self)
        chunks.data = data
        return chunks

    @property
    def is_random(self) -> bool:
        """Whether epochs differ: not those of one series that fits into one chunk."""
        is_one_chunk = len(self.stop) == 1 and (self.stop - self.begin)[0] <= self.window_length
        return not (self.dense and is_one_chunk and self.every == 1 and self.patch_length == 1)

    @property
    def _numbers_per_step(self) -> int:
        """About how many numbers are read for a step."""
        features = self.data.features
        width = features.n_known + len(features.sizes)
        n_horizons = len(features.horizons) / (self.every if self.dense else self.window_length)
        past = features.n_values * (len(self.data.offsets) + len(self.data.naive_offsets))
        targets = n_horizons * (width + 2 * features.n_outputs)
        return math.ceil(past + width + targets)

    def gathered(self, rows: Tensor, length: int) -> Chunk:
        """Read chunks of so many steps of the network, each given as in `DrawnBatches.chunks`."""
        series, start, low, high, phase = rows
        horizons = self.data.features.horizons
        stop = start + self.patch_length * (length + self.every) + horizons[-1]
        data, series = self.data.near(series, start, stop)
        steps = data.steps(series, start, length)
        t, at = data.times(start, length), None
        if self.every > 1:
            at = phase[:, None] + self.every * torch.arange(
                -(-length // self.every), device=t.device
            )
        elif not self.dense:
            at = (high - 1 - start)[:, None] // self.patch_length
        if at is not None:
            t, at = start[:, None] + self.patch_length * at, at.clamp(max=length - 1)
        values, observed = data.target_values(series, t)
        counts = ((t >= low[:, None]) & (t < high[:, None]))[..., None]  # (B, L, 1)
        reached = t[..., None] + data.steps_after <= data.last[series][:, None, None]
        counts = (counts & reached)[..., None].expand_as(values)  # (B, L, J, C)
        weight = (counts if observed is None else counts & observed).to(values.dtype)
        targets = data.targets(series, t, steps if at is None else None)
        return Chunk(steps, targets, values, weight, at)

    def _cut(self) -> tuple[np.ndarray, ...]:
        """Series, first step, and the range of steps that count, of each chunk."""
        n = self.stop - self.begin
        size = self.window_length if self.dense else 1
        # Chunk k of a series counts the steps from begin + k * size - back.
        back = np.where(n > size, self.rng.integers(0, size, len(n)), 0)
        pieces = -(-(n + back) // size)
        series, k = numbered(pieces)
        edge = (self.begin - back)[series] + k * size
        low = np.maximum(edge, self.begin[series])
        high = np.minimum(edge + size, self.stop[series])
        # The window ends with its last target and is as long as the series' past allows.
        start = np.maximum(high - self.window_length, 1)
        if self.patch_length > 1:
            # One step in a patch counts, which one changes from epoch to epoch; of a window, the
            # last.
            ends = self.rng.integers(0, np.minimum(self.stride, high - low))
            start = np.minimum(start + (high - 1 - ends - start) % self.patch_length, high - 1)
        return series, start, low, high
