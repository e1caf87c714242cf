"""Batches: the steps of sequences, what is known of their targets, and the values to forecast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Steps(NamedTuple):
    """What is known before each of L steps of B sequences.

    past : scaled values at each of K offsets before the step, (B, L, K, C).
    observed : 1 where these were observed, 0 where they were filled in; None if none is missing.
    n_past : rows of the series before the step, (B, L); an offset beyond it has no value.
    known : calendar and numeric columns of X at the step itself, (B, L, Q).
    codes : categories of X at the step itself, (B, L, E); None if there are none.
    """

    past: Tensor
    observed: Tensor | None
    n_past: Tensor
    known: Tensor
    codes: Tensor | None

    def between(self, first: int, stop: int) -> Steps:
        """Steps ``first`` to ``stop`` (excluded)."""
        parts = (None if part is None else part[:, first:stop] for part in self)
        return Steps(*parts)  # type: ignore[arg-type]


class Regressors(NamedTuple):
    """What the linear forecast reads beside past values, at each of L steps of B sequences.

    ordinal : number of the step on its calendar, (B, L); its remainder by a period is the phase.
    calendar : calendar fields of the step, (B, L, Q).
    known : holidays and numeric columns of X at each of J targets, (B, L, J, P); None without any.
    known_before : the same at the row before the step, (B, L, P).
    """

    ordinal: Tensor
    calendar: Tensor
    known: Tensor | None
    known_before: Tensor | None


class Targets(NamedTuple):
    """What is known of the J targets of each of L steps of B sequences.

    past : scaled values at each of K offsets before the step, (B, L, K, C).
    means : trailing means over each of P periods, at the step and k seasons before it for each
        horizon, where k seasons reach back from the target to what is known,
        (B, L, P, 1 + J, C); None if no naive forecast reads a mean.
    n_past : rows of the series before the step, (B, L).
    known : calendar and numeric columns of X at each target, (B, L, J, Q); None if the target is
        the step itself, whose inputs hold them.
    codes : categories of X at each target, (B, L, J, E); None if there are none.
    regressors : what the linear forecast reads; None if there is no linear forecast, or if the
        naive forecasts are given.
    naive : naive forecasts that were computed before, (B, L, J, C, N); None if there are none.
    scale : of each series and column, whose values are counts, (B, 1, 1, C); None for others.
    """

    past: Tensor
    means: Tensor | None
    n_past: Tensor
    known: Tensor | None
    codes: Tensor | None
    regressors: Regressors | None = None
    naive: Tensor | None = None
    scale: Tensor | None = None


class Chunk(NamedTuple):
    """A training batch: B pieces of L steps, with the targets of M of these steps.

    steps : Steps
    targets : Targets
    values : scaled values to forecast, (B, M, J, C).
    weight : 1 where a target counts in the loss, else 0, (B, M, J, C).
    at : the M steps from which is forecast, (B, M); None for all L.
    n_targets : number of targets that count.
    """

    steps: Steps
    targets: Targets
    values: Tensor
    weight: Tensor
    at: Tensor | None = None
    n_targets: int = 0


def joined(parts: Sequence[Any]) -> Any:
    """Steps one after the other, of the same sequences: tensors, or named tuples of them."""
    first = parts[0]
    if first is None:
        return None
    if isinstance(first, Tensor):
        return torch.cat(tuple(parts), dim=1)
    return type(first)(*map(joined, zip(*parts, strict=True)))
