"""Chunks: pieces of the panel drawn on the device by index; no copies, no DataLoader."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from skrnn._features import Features
from skrnn._networks import Steps
from skrnn._panel import Panel, numbered
from skrnn._scaling import Scaler


class DevicePanel:
    """The scaled panel, its calendar and its covariates, on the device once.

    Parameters
    ----------
    panel : Panel
    features : Features
    scaler, covariate_scaler : Scaler
        Fitted; ``scaler`` by series, ``covariate_scaler`` over all rows.
    device : torch.device
    """

    def __init__(
        self,
        panel: Panel,
        features: Features,
        scaler: Scaler,
        covariate_scaler: Scaler,
        device: torch.device,
    ):
        group = panel.series_of_rows()
        base = int(panel.origin.min())
        calendar = features.encode_calendar(panel.timeline, base, int(panel.end.max()))
        covariates = covariate_scaler.transform(panel.covariates, np.zeros_like(group))
        self.device = device
        self.lengths = panel.lengths
        self.values = torch.from_numpy(scaler.transform(panel.values, group)).to(device)  # (N, C)
        self.covariates = torch.from_numpy(covariates).to(device)  # (N, P)
        self.calendar = torch.from_numpy(calendar).to(device)  # (T, Q)
        self.first = torch.from_numpy(panel.offsets[:-1]).to(device)  # (S,)
        self.origin = torch.from_numpy(panel.origin - base).to(device)  # (S,)
        self.last = torch.from_numpy(panel.lengths - 1).to(device)  # (S,)
        self.offsets = torch.tensor(features.offsets, device=device)  # (K,)

    def steps(self, series: Tensor, start: Tensor, length: int) -> tuple[Steps, Tensor]:
        """Steps ``start`` to ``start + length`` of the given series, and their targets.

        Parameters
        ----------
        series, start : Tensor of shape (B,)
            Step t has target s[t] and knows s up to t - 1. Steps after a series' end repeat its
            last row: their weight must be zero.
        length : int

        Returns
        -------
        steps : Steps
        target : Tensor of shape (B, L, C)
        """
        count = start[:, None] + torch.arange(length, device=self.device)  # (B, L)
        count = torch.minimum(count, self.last[series][:, None])
        first = self.first[series]
        back = (count[..., None] - self.offsets).clamp_(min=0)  # (B, L, K)
        rows = first[:, None] + count
        known = [self.calendar[self.origin[series][:, None] + count], self.covariates[rows]]
        past = self.values[first[:, None, None] + back]  # (B, L, K, C)
        return Steps(past, count, torch.cat(known, dim=-1)), self.values[rows]


class Chunk(NamedTuple):
    """B pieces of L steps: targets, and 1 where a target counts in the loss."""

    steps: Steps
    target: Tensor  # (B, L, C)
    weight: Tensor  # (B, L, 1)
    n_targets: int


class Chunks:
    """Training batches: every target of the panel once an epoch, but for a batch's remainder.

    Dense supervision cuts each series into chunks of ``window_length`` steps, at a random phase
    each epoch, and counts the loss at every step: an observation is processed once. The last chunk
    of a series is moved inside it, the first one is moved or shortened, and a step that two chunks
    hold counts in one.
    "last" takes the ``window_length`` steps before and with every target, and counts that alone.

    Targets begin once all lags of a step exist, or at half of a series too short for that.

    Parameters
    ----------
    data : DevicePanel
    stop : np.ndarray of shape (S,)
        Targets of series s end before this row; what follows is validation.
    reach : int
        Past values that a step needs.
    window_length, batch_size : int
    supervision : {"dense", "last"}
    rng : np.random.Generator
    since : np.ndarray of shape (S,) or int, default=0
        Targets of series s begin at this row at the earliest.
    """

    def __init__(
        self,
        data: DevicePanel,
        stop: np.ndarray,
        reach: int,
        window_length: int,
        batch_size: int,
        supervision: str,
        rng: np.random.Generator,
        since: np.ndarray | int = 0,
    ):
        self.data, self.rng = data, rng
        self.window_length, self.batch_size = window_length, batch_size
        self.dense = supervision == "dense"
        needed = reach if self.dense else max(reach, window_length)
        self.begin = np.maximum(since, np.maximum(1, np.minimum(needed, stop // 2)))
        self.stop = stop
        self.n_targets = int((stop - self.begin).sum())

    def __len__(self) -> int:
        """Batches an epoch, at most."""
        if self.dense:
            n = self.stop - self.begin
            pieces = -(-n // self.window_length)
            # A phase cuts a series that fills more than one chunk once more.
            n_chunks = int((pieces + (n > self.window_length)).sum())
        else:
            n_chunks = self.n_targets
        return self._n_batches(n_chunks)

    def _n_batches(self, n_chunks: int) -> int:
        if self.dense:
            return -(-n_chunks // self.batch_size)
        # Windows left over wait for the next epoch's shuffle, unless there is no full batch.
        return max(1, n_chunks // self.batch_size)

    def epoch(self) -> Iterator[Chunk]:
        """Draw the batches of one epoch, in random order."""
        series, start, low, high = self._cut()
        order = self.rng.permutation(len(series))
        # Chunks of one length share a batch, so a short series costs no padding; with chunks of
        # one length only, this is the plain shuffle.
        order = order[np.argsort((high - start)[order], kind="stable")]
        batches = [
            order[i * self.batch_size : (i + 1) * self.batch_size]
            for i in range(self._n_batches(len(order)))
        ]
        lengths = [int((high - start)[batch].max()) for batch in batches]
        counts = [int((high - low)[batch].sum()) for batch in batches]
        table = torch.from_numpy(np.stack([series, start, low, high])).to(self.data.device)
        for i in self.rng.permutation(len(batches)):
            index = torch.from_numpy(batches[i]).to(self.data.device)
            yield self._gather(table[:, index], lengths[i], counts[i])

    def _gather(self, rows: Tensor, length: int, n_targets: int) -> Chunk:
        series, start, low, high = rows
        steps, target = self.data.steps(series, start, length)
        t = start[:, None] + torch.arange(length, device=start.device)
        weight = ((t >= low[:, None]) & (t < high[:, None])).float()[..., None]
        return Chunk(steps, target, weight, n_targets)

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
        return series, start, low, high
