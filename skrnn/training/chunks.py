"""Chunks: pieces of the panel drawn on the device by index; no copies, no DataLoader."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from itertools import pairwise, repeat, starmap
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from skrnn.data.panel import Panel
from skrnn.data.ragged import numbered
from skrnn.data.scaling import Scaler, blocks
from skrnn.features.features import Features, seasons_back
from skrnn.features.naive import Ahead
from skrnn.network.network import Steps


class DevicePanel:
    """The scaled panel, its calendar and its covariates, on the device once.

    Parameters
    ----------
    panel : Panel
        Its missing values filled.
    features : Features
    scaler, known_scaler : Scaler
        Fitted; ``scaler`` by series, ``known_scaler`` over all rows, of the known numbers.
    device : torch.device
    """

    def __init__(
        self,
        panel: Panel,
        features: Features,
        scaler: Scaler,
        known_scaler: Scaler,
        device: torch.device,
    ):
        def put(array: np.ndarray) -> Tensor:
            return torch.from_numpy(array).to(device)

        group = panel.series_of_rows()
        values = scaler.transform(panel.values, group)
        if panel.observed is not None:
            # Before its first observation a column is at its mean.
            values = np.nan_to_num(values, copy=False)
        is_number = panel.covariates.numbers
        numbers = known_scaler.transform(panel.known[:, is_number], np.zeros_like(group))
        self.device = device
        self.lengths = panel.lengths
        self.values = put(values)  # (N, C)
        self.observed = None if panel.observed is None else put(panel.observed)  # (N, C)
        self.levels = put(_levels(values, panel, features))  # (N, P, C)
        self.numbers = put(numbers)  # (N, Q)
        codes = panel.known[:, ~is_number].astype(np.int64)
        self.codes = put(codes) if features.sizes else None  # (N, E)
        # Series that share their dates share rows of the calendar; the ends of series that stop
        # years apart do not.
        base, stop = int(panel.origin.min()), int(panel.end.max())
        shared = stop - base < len(group)
        positions = np.arange(base, stop) if shared else panel.positions()
        self.calendar = put(features.encode_calendar(panel.timeline, positions))  # (T, Q)
        self.first = put(panel.offsets[:-1])  # (S,)
        # From a row of the panel to the row of the calendar.
        lead = panel.origin - base - panel.offsets[:-1]
        self.lead = put(lead if shared else np.zeros_like(lead))  # (S,)
        self.last = put(panel.lengths - 1)  # (S,)
        self._look(features)

    def _look(self, features: Features) -> None:
        """Note how far back and ahead a step looks."""
        device = self.device
        self.features = features
        self.offsets = torch.tensor(features.offsets, device=device)
        self.naive_offsets = torch.tensor(features.naive_offsets, device=device)
        self.ahead_by = torch.tensor(features.ahead, device=device) - 1  # (J,)
        self.level_offsets = torch.tensor(
            [
                [1, *(1 + p * seasons_back(h, p) for h in features.ahead)]
                for p in features.level_periods
            ],
            device=device,
        )  # (P, 1 + J)

    def looking(self, features: Features) -> DevicePanel:
        """The same panel for steps that look further ahead; their seasons must be the same."""
        made = copy.copy(self)
        made._look(features)
        return made

    def rows(self, series: Tensor, row: Tensor) -> Tensor:
        """Rows of the panel, for rows of series (B,) of shape (B, ...); beyond an end, the last."""
        row = torch.minimum(row, _like(row, self.last[series])).clamp_(min=0)
        return row.add_(_like(row, self.first[series]))

    def known(self, series: Tensor, row: Tensor) -> tuple[Tensor, Tensor | None]:
        """Calendar and numbers, (B, ..., Q), and codes, (B, ..., E), of rows of series (B,)."""
        here = self.rows(series, row)
        # A third of the time of indexing.
        made = F.embedding(here + _like(row, self.lead[series]), self.calendar)
        if self.numbers.shape[1]:
            made = torch.cat([made, self.numbers[here]], dim=-1)
        return made, None if self.codes is None else self.codes[here]

    def steps(self, series: Tensor, start: Tensor, length: int) -> Steps:
        """The recurrent layer's steps from row ``start`` of the given series on, a patch apart.

        Parameters
        ----------
        series, start : Tensor of shape (B,)
            Step t has target s[t] and knows s up to t - 1. Steps after a series' end repeat its
            last row: their weight must be zero.
        length : int
            Number of steps.
        """
        t = torch.minimum(self.times(start, length), self.last[series][:, None])  # (B, L)
        rows = self.rows(series, t[..., None] - self.offsets)  # (B, L, K)
        past, observed = self.values[rows], None
        if self.features.missing:
            seen = self.observed
            observed = torch.ones_like(past) if seen is None else seen[rows].to(past.dtype)
        return Steps(past, observed, t, *self.known(series, t))

    def times(self, start: Tensor, length: int) -> Tensor:
        """Rows (B, L) of the steps from ``start`` on, a patch apart."""
        after = torch.arange(length, device=self.device) * self.features.patch_length
        return start[:, None] + after

    def ahead(self, series: Tensor, t: Tensor, steps: Steps | None = None) -> Ahead:
        """What is known of the targets of each step t, rows (B, L) of the given series.

        One step ahead, the past is that of ``steps``, if these are the same steps.
        """
        t = torch.minimum(t, self.last[series][:, None])
        if steps is not None and not self.features.horizons:
            past = steps.past
        else:
            past = self.values[self.rows(series, t[..., None] - self.naive_offsets)]  # (B, L, K, C)
        levels = None
        if self.level_offsets.numel():
            rows = self.rows(series, t[..., None, None] - self.level_offsets)  # (B, L, P, 1 + J)
            period = torch.arange(len(self.level_offsets), device=self.device)[:, None]
            levels = self.levels[rows, period]  # (B, L, P, 1 + J, C)
        if not self.features.horizons:
            return Ahead(past, levels, t, None, None)
        return Ahead(past, levels, t, *self.known(series, t[..., None] + self.ahead_by))

    def targets(self, series: Tensor, t: Tensor) -> tuple[Tensor, Tensor | None]:
        """Values (B, L, J, C) that the steps t (B, L) forecast, and whether they were observed."""
        rows = self.rows(series, t[..., None] + self.ahead_by)
        n = self.features.n_outputs
        observed = None if self.observed is None else self.observed[rows][..., :n]
        return self.values[rows][..., :n], observed


def _like(row: Tensor, of_series: Tensor) -> Tensor:
    """What is true of each series (B,), shaped to go with its rows (B, ...)."""
    return of_series.view((-1,) + (1,) * (row.ndim - 1))


def _levels(values: np.ndarray, panel: Panel, features: Features) -> np.ndarray:
    """Mean over the last p rows at each row, for each period p, (N, P, C)."""
    made = np.empty((len(values), len(features.level_periods), values.shape[1]), dtype=np.float32)
    if not features.level_periods:
        return made
    total = np.zeros((len(values) + 1, values.shape[1]))
    np.cumsum(values, 0, out=total[1:])
    for rows in blocks(len(values)):
        stop = np.arange(rows.start, min(rows.stop, len(values))) + 1
        first = panel.offsets[np.searchsorted(panel.offsets, stop, side="left") - 1]
        for k, p in enumerate(features.level_periods):
            start = np.maximum(stop - p, first)
            made[rows, k] = (total[stop] - total[start]) / (stop - start)[:, None]
    return made


# Numbers read from the panel at once, 8 MB of them: at the defaults 16 batches, of which each alone
# costs 0.2 ms, a twentieth of a training step.
READ = 2**21
# Training forecasts several horizons from so many steps that it meets a target about this often.
# Forecasts of one target from neighbouring steps teach almost the same, and cost as much again.
VIEWS = 4


class Chunk(NamedTuple):
    """B pieces of L steps: targets of M of them, and 1 where a target counts in the loss."""

    steps: Steps
    ahead: Ahead
    target: Tensor  # (B, M, J, C)
    weight: Tensor  # (B, M, J, C)
    at: Tensor | None = None  # (B, M), the steps that are forecast from; None for all
    n_targets: int = 0


def _split(made: Any, size: int) -> Iterator[Any]:
    """Cut the tensors of a named tuple, of tuples in it too, into such tuples of ``size`` rows."""
    if isinstance(made, Tensor):
        return iter(made.split(size))
    if isinstance(made, tuple):
        return starmap(type(made), zip(*(_split(part, size) for part in made), strict=False))
    return repeat(made)


def _runs(lengths: np.ndarray, at_most: np.ndarray) -> list[tuple[int, int]]:
    """Cut ascending lengths into ranges of equal ones, of ``at_most`` each."""
    runs = []
    bounds = [0, *(np.flatnonzero(np.diff(lengths)) + 1).tolist(), len(lengths)]
    for first, stop in pairwise(bounds):
        size = int(at_most[first])
        runs += [(i, min(i + size, stop)) for i in range(first, stop, size)]
    return runs


class Chunks:
    """Training batches: every target of the panel once an epoch, but for a batch's remainder.

    Dense supervision cuts each series into chunks of ``window_length`` steps, at a random phase
    each epoch, and counts the loss at every step: an observation is processed once. The last chunk
    of a series is moved inside it, the first one is moved or shortened, and a step that two chunks
    hold counts in one.
    "last" takes the ``window_length`` steps before and with every target, and counts that alone.

    Targets begin once all lags of a step exist, or at half of a series too short for that. Several
    steps ahead, each step's targets count as far as they are observed and lie before ``stop``.
    Where a step of the network takes in several time steps, the phase decides which are its ends.
    Of several horizons the targets overlap, so that not every step is forecast from, see `VIEWS`.

    Parameters
    ----------
    data : DevicePanel
    stop : np.ndarray of shape (S,)
        Targets of series s end before this row; what follows is validation.
    window_length, batch_size : int
    supervision : {"dense", "last"}
    rng : np.random.Generator
    since : np.ndarray of shape (S,) or int, default=0
        Targets of series s begin at this row at the earliest.
    views : int, default=VIEWS
        How often a target is met, if there are as many horizons.
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
        views: int = VIEWS,
    ):
        self.data, self.rng = data, rng
        self.window_length, self.batch_size = window_length, batch_size
        self.dense = supervision == "dense"
        self.patch_length = data.features.patch_length
        needed = data.features.needed
        needed = needed if self.dense else max(needed, window_length)
        self.begin = np.maximum(since, np.maximum(1, np.minimum(needed, stop // 2)))
        self.stop = stop
        horizons = data.features.horizons or ()
        # Steps from one that is forecast from to the next.
        self.every = max(1, len(horizons) // (views * self.patch_length)) if self.dense else 1
        # Of a patch's steps one counts.
        self.stride = self.patch_length if self.dense else 1
        self.n_observations = max(1, int((stop - self.begin).sum()))
        self.n_targets = max(1, self.n_observations // self.stride)
        self._stop = torch.from_numpy(stop).to(data.device)

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

    def epoch(self) -> Iterator[Chunk]:
        """Draw the batches of one epoch, in random order."""
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
        # Put on the device once an epoch: the loop copies nothing.
        chunks = np.stack([series, start, low, high, phase])[:, order]
        table = torch.from_numpy(chunks).to(self.data.device)
        # Neighbours of one length are drawn together, as random an order as one by one.
        together = np.maximum(1, READ // (self.batch_size * lengths * self._numbers))
        runs = _runs(lengths, together)
        for i in self.rng.permutation(len(runs)):
            first, stop = runs[i]
            rows = table[:, firsts[first] : stops[stop - 1]]
            drawn = self._gather(rows, int(lengths[first]))
            for chunk, n in zip(_split(drawn, self.batch_size), counts[first:stop], strict=True):
                yield chunk._replace(n_targets=n)

    @property
    def _numbers(self) -> int:
        """How many numbers are read for a step, about."""
        features = self.data.features
        width = features.n_known + len(features.sizes)
        n_ahead = len(features.ahead) / (self.every if self.dense else self.window_length)
        past = features.n_values * (len(features.offsets) + len(features.naive_offsets))
        ahead = n_ahead * (width + 2 * features.n_outputs)
        return math.ceil(past + width + ahead)

    def _gather(self, rows: Tensor, length: int) -> Chunk:
        series, start, low, high, phase = rows
        steps = self.data.steps(series, start, length)
        t, at = self.data.times(start, length), None
        if self.every > 1:
            at = phase[:, None] + self.every * torch.arange(
                -(-length // self.every), device=t.device
            )
        elif not self.dense:
            at = (high - 1 - start)[:, None] // self.patch_length
        if at is not None:
            t, at = start[:, None] + self.patch_length * at, at.clamp(max=length - 1)
        target, observed = self.data.targets(series, t)
        counts = ((t >= low[:, None]) & (t < high[:, None]))[..., None]  # (B, L, 1)
        if self.data.features.horizons:
            reached = t[..., None] + self.data.ahead_by < self._stop[series][:, None, None]
            counts = counts & reached  # (B, L, J)
        counts = counts[..., None].expand_as(target)
        weight = (counts if observed is None else counts & observed).to(target.dtype)
        ahead = self.data.ahead(series, t, steps if at is None else None)
        return Chunk(steps, ahead, target, weight, at)

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
