"""Naive forecasts: made from past values, and how well they do."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from skrnn.features.features import LEVELS, Features, season_depths, seasons_back

if TYPE_CHECKING:
    from skrnn.training.chunks import Chunk

# Targets' worth of belief that a naive forecast is as good as the last value.
FEW = 2.0
NEVER = 2**40  # rows before a step that no series has


class Ahead(NamedTuple):
    """What is known of the J targets of each of L steps of B sequences.

    past : scaled values at each of K offsets before the step, (B, L, K, C).
    levels : means over each of P periods before the step, and before the seasons that the naive
        forecasts go back to, (B, L, P, 1 + J, C); or None.
    n_past : rows before the step, (B, L).
    known : calendar and numbers of X at each target, (B, L, J, Q); None for the step's own.
    codes : categories of X at each target, (B, L, J, E), or None.
    """

    past: Tensor
    levels: Tensor | None
    n_past: Tensor
    known: Tensor | None
    codes: Tensor | None


class NaiveForecasts(nn.Module):
    """The naive forecasts of the targets, see `Features`; nothing in it is learnt.

    Parameters
    ----------
    features : Features
    """

    depth: Tensor
    target_position: Tensor
    before_position: Tensor
    season_depth: Tensor
    drift: Tensor

    def __init__(self, features: Features):
        super().__init__()
        self.features = features
        position = {offset: k for k, offset in enumerate(features.naive_offsets)}
        depth = torch.ones(len(features.ahead), len(features.candidates), dtype=torch.long)
        seasons, before, drift = [], [], []
        for j, h in enumerate(features.ahead):
            for i, (name, p) in enumerate(features.candidates):
                back = seasons_back(h, p) * p
                if name not in ("last", "mean"):
                    extra = {"shifted": 1, "leveled": p, "drift": p}
                    depth[j, i] = back + extra.get(name, 1 - h)
                if name == "drift":
                    drift.append(h / back)
            periods = features.seasonal_periods
            seasons.append([season_depths(h, p) for p in periods])
            before.append([position.get(seasons_back(h, p) * p + 1, 0) for p in periods])
        # The sets of seasons differ in size: a depth of NEVER fills them up.
        most = max((len(part) for row in seasons for part in row), default=0)
        seasons = [[part + [NEVER] * (most - len(part)) for part in row] for row in seasons]
        target = [[[position.get(d, 0) for d in part] for part in row] for row in seasons]
        constants = {
            "depth": depth,
            "season_depth": torch.tensor(seasons).long(),  # (J, P, seasons)
            "target_position": torch.tensor(target).long(),  # (J, P, seasons)
            "before_position": torch.tensor(before).long(),  # (J, P)
            "drift": torch.tensor(drift)[:, None],  # (J, 1), periods ahead
        }
        for name, constant in constants.items():
            self.register_buffer(name, constant, persistent=False)

    def forward(self, ahead: Ahead) -> tuple[Tensor, Tensor]:
        """Naive forecasts, (B, L, J, C, N), and whether they exist, (B, L, J, 1, N)."""
        past = ahead.past[..., : self.features.n_outputs]
        whole = past[:, :, None, 0].expand(-1, -1, len(self.features.ahead), -1)
        made = [
            self._naive(name, p, past, ahead).expand_as(whole)
            for name, p in self.features.candidates
        ]
        exists = (ahead.n_past[..., None, None] >= self.depth)[:, :, :, None]  # (B, L, J, 1, N)
        return torch.stack(made, dim=-1) if made else whole[..., None][..., :0], exists

    def _naive(self, name: str, p: int, past: Tensor, ahead: Ahead) -> Tensor:
        """One naive forecast of each horizon, (B, L, J, C), or of all of them, (B, L, 1, C)."""
        features, last = self.features, past[:, :, None, 0]
        if name == "last":
            return last
        if name in LEVELS:
            k = features.level_periods.index(p)
            levels = ahead.levels[:, :, k, :, : features.n_outputs]  # type: ignore[index]
            level, earlier = levels[:, :, :1], levels[:, :, 1:]  # (B, L, 1, C), (B, L, J, C)
            if name == "mean":
                return level
            if name == "drift":
                return last + (level - earlier) * self.drift
        k = features.seasonal_periods.index(p)
        if name == "averaged":
            seasons = past[:, :, self.target_position[:, k]]  # (B, L, J, seasons, C)
            there = ahead.n_past[..., None, None] >= self.season_depth[:, k]
            there[..., 0] = True  # where there is none, it is masked as "seasonal" is
            there = there[..., None].to(past.dtype)  # (B, L, J, seasons, 1)
            return (seasons * there).sum(3) / there.sum(3)
        seasonal = past[:, :, self.target_position[:, k, 0]]  # (B, L, J, C)
        if name == "shifted":
            return seasonal + last - past[:, :, self.before_position[:, k]]
        return seasonal + level - earlier if name == "leveled" else seasonal

    @torch.no_grad()
    def errors(self, chunks: Iterable[Chunk], n_chunks: int = 8, pooled: bool = False) -> Tensor:
        """Mean absolute errors on a few batches, (J, C, N); pooled over the targets, (1, C, N).

        One that exists late is compared with the last value on the targets that it has: its error
        is that of the last value, times the ratio of the two.
        """
        n_outputs = self.features.n_outputs
        shape = (len(self.features.ahead), n_outputs, len(self.features.candidates))
        sums = self.depth.new_zeros(2, *shape, dtype=torch.float32)  # (2, J, C, N)
        if not self.features.candidates:
            return sums[0]  # no batch is drawn for nothing
        total = sums.new_zeros(2, *shape[:2], 1)  # (2, J, C, 1)
        for chunk in islice(chunks, n_chunks):
            naive, exists = self(chunk.ahead)
            weight = chunk.weight[..., None]  # (B, L, J, C, 1)
            counts = weight * exists  # (B, L, J, C, N)
            last = chunk.ahead.past[:, :, None, 0, :n_outputs]  # always exists
            missed = (last - chunk.target).abs()[..., None]
            sums[0] += ((naive - chunk.target[..., None]).abs() * counts).sum((0, 1))
            sums[1] += (missed * counts).sum((0, 1))
            total[0] += (missed * weight).sum((0, 1))
            total[1] += weight.sum((0, 1))
        if pooled:
            sums, total = sums.mean(1, keepdim=True), total.mean(1, keepdim=True)
        own, last = sums
        usual = total[0] / total[1].clamp(min=1)
        # Of a step ahead that no sampled target has, the worst is assumed.
        usual = torch.where(total[1] > 0, usual, usual.amax()) + 1e-6
        # As if FEW targets more had been missed by as much as the last value misses.
        return usual * (own + FEW * usual) / (last + FEW * usual)
