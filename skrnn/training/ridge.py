"""Ridge: the normal equations of a regression, solved for many penalties and horizons at once."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from skrnn.features.means import accumulator_dtype

# An error in units of the scaled series that counts as none.
LEAST_ERROR = 1e-6


class Block(NamedTuple):
    """Some steps of one column; targets are relative to the last value.

    z : regressors, (n, D).
    known : known inputs, (n, J, P).
    target, weight : (n, J).
    """

    z: Tensor
    known: Tensor | None
    target: Tensor
    weight: Tensor

    @classmethod
    def joined(cls, blocks: Sequence[Block]) -> Block:
        """One block of the steps of several."""
        parts = zip(*blocks, strict=True)
        return cls(*(None if part[0] is None else torch.cat(part) for part in parts))  # type: ignore

    def at(self, places: Tensor) -> Block:
        """Some of the steps."""
        return Block(*(None if part is None else part[places] for part in self))  # type: ignore


class RidgeModel(NamedTuple):
    """Regressors among which cross-validation chooses, and penalties to try with them.

    places : numbers of the regressors, (D',).
    penalties : (R,).
    reads_past : whether any of them is of past values. Else the last value is taken back.
    """

    places: Tensor
    penalties: Tensor
    reads_past: bool


class Sums:
    """Sums of products that the normal equations of ridge regression need, of one column.

    Parameters
    ----------
    models : list of RidgeModel
        Among which to choose; all R candidates are all penalties of each, in this order.
    n, n_horizons, n_known : int
        Numbers of regressors of all models together, of horizons, and of known inputs.
    device : torch.device
    """

    def __init__(
        self, models: list[RidgeModel], n: int, n_horizons: int, n_known: int, device: torch.device
    ):
        dtype = accumulator_dtype(device)

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(*shape, dtype=dtype, device=device)

        self.models = models
        self.shared = zeros(n, n)
        self.target = zeros(n, n_horizons)
        self.crossed = zeros(n_horizons, n, n_known)
        self.known = zeros(n_horizons, n_known, n_known)
        self.known_target = zeros(n_horizons, n_known)
        # Of each model by its number: eigenvalues and eigenvectors.
        self.decomposed: dict[int, tuple[Tensor, Tensor]] = {}

    def add(self, block: Block) -> None:
        """Add some steps."""
        z, known, target, weight = block
        # A step of which no target was observed says nothing.
        counts = weight.any(1, keepdim=True)
        z, known = z * counts, None if known is None else known * counts[..., None]
        # Products of a block are computed in single precision, which is twice as fast, and added
        # in double precision.
        self.shared = self.shared + z.T @ z
        self.target = self.target + z.T @ target
        if known is not None:
            self.crossed = self.crossed + torch.einsum("nd,njp->jdp", z, known)
            self.known = self.known + torch.einsum("njp,njq->jpq", known, known)
            self.known_target = self.known_target + torch.einsum("njp,nj->jp", known, target)

    def hold_level(self, level_columns: list[tuple[int, int]], n_rows: float) -> None:
        """Add so many rows, of standard deviation 1, in which the level says nothing.

        A series is scaled by its own mean, which its later values enter. So a short one seems to
        return to its mean, even a random walk, and forecasts of many short series would.
        """
        for column, n_phases in level_columns:
            if column < len(self.shared):
                self.shared[column, column] += n_rows / n_phases

    def __add__(self, other: Sums) -> Sums:
        return self._combined(other, 1)

    def __sub__(self, other: Sums) -> Sums:
        return self._combined(other, -1)

    def _combined(self, other: Sums, sign: int) -> Sums:
        result = copy.copy(self)
        for name in ("shared", "target", "crossed", "known", "known_target"):
            setattr(result, name, getattr(self, name) + sign * getattr(other, name))
        result.decomposed = {}
        return result

    def persistence(self) -> Tensor:
        """How much of a deviation from the season the next value keeps, from 0 to 1.

        The correlation of neighbouring values about their season, the calendar and X.
        """
        places, penalties, reads_past = self.models[-1]
        if reads_past:
            return self.shared.new_zeros(())  # there is no forecast without past values to compare
        ridge = penalties[0] * torch.eye(len(places), device=places.device)
        shared = self.shared[places][:, places] + ridge
        last = self.shared[:, 0]
        following = last + self.target[:, 0]
        of_season = torch.linalg.solve(shared, last[places])
        kept = following[0] - of_season @ following[places]
        correlation = kept / (last[0] - of_season @ last[places]).clamp(min=LEAST_ERROR)
        return correlation.clamp(0, 1)

    def candidates(self, horizons: Tensor) -> tuple[Tensor, Tensor]:
        """Coefficients (R, D, J), and those of the known inputs (R, P, J), of some horizons."""
        parts = [
            self._solved(i, model.penalties[:, None].expand(-1, len(horizons)), horizons)
            for i, model in enumerate(self.models)
        ]
        coefficients, known = (torch.cat(part) for part in zip(*parts, strict=True))
        return coefficients, known

    def solution(self, best: Tensor) -> tuple[Tensor, Tensor]:
        """Coefficients (D, J) and (P, J) of each horizon's best candidate, (J,)."""
        every = torch.arange(len(best), device=best.device)
        coefficients, known = torch.zeros_like(self.target), torch.zeros_like(self.known_target.T)
        first = 0
        for i, (_, penalties, _) in enumerate(self.models):
            number = best - first
            chosen = (number >= 0) & (number < len(penalties))
            penalty = penalties[number.clamp(0, len(penalties) - 1)]
            found, of_known = self._solved(i, penalty[None], every)
            coefficients = found[0].where(chosen, coefficients)
            known = of_known[0].where(chosen, known)
            first += len(penalties)
        return coefficients, known

    def _decomposed(self, i: int) -> tuple[Tensor, Tensor]:
        # All horizons share the regressors, so one decomposition serves all of them and all
        # penalties.
        if i not in self.decomposed:
            places = self.models[i].places
            shared = self.shared[places][:, places]
            # PyTorch has no such decomposition for MPS.
            on_cpu = shared.cpu() if shared.device.type == "mps" else shared
            values, vectors = (part.to(shared.device) for part in torch.linalg.eigh(on_cpu))
            self.decomposed[i] = values.clamp(min=0), vectors
        return self.decomposed[i]

    def _solved(self, i: int, penalties: Tensor, horizons: Tensor) -> tuple[Tensor, Tensor]:
        """Coefficients (R, D, J) and (R, P, J) of a model by R penalties of each horizon, (R, J).

        Those of all but its regressors are zero.
        """
        places, _, reads_past = self.models[i]
        values, vectors = self._decomposed(i)
        inverse = 1 / (values[:, None] + penalties[:, None])  # (R, D', J)
        target, known = self.target[places][:, horizons], self.known_target[horizons]  # (J, P)
        if not reads_past:
            # Targets are relative to the last value, which is added to them again.
            target, known = target + self.shared[places, :1], known + self.crossed[horizons, 0]
        target = vectors.T @ target  # (D', J)
        n_known = known.shape[1]
        if n_known:
            # The known inputs differ by horizon; they are eliminated as a block.
            crossed = torch.einsum("de,jdp->jep", vectors, self.crossed[horizons][:, places])
            weighted = crossed * inverse.mT[..., None]  # (R, J, D', P)
            ridge = penalties[..., None, None] * torch.eye(n_known, device=known.device)
            schur = self.known[horizons] + ridge - weighted.mT @ crossed  # (R, J, P, P)
            rest = known - torch.einsum("rjdp,dj->rjp", weighted, target)
            known = torch.linalg.solve(schur, rest[..., None])[..., 0]  # (R, J, P)
            target = target - torch.einsum("jdp,rjp->rdj", crossed, known)
        else:
            known = known.expand(len(penalties), -1, -1)
        found = vectors @ (inverse * target)
        coefficients = found.new_zeros(len(found), len(self.shared), len(horizons))
        coefficients[:, places] = found
        if not reads_past:
            coefficients[:, 0] = -1.0
        return coefficients, known.mT


def forecast_by(block: Block, candidate: tuple[Tensor, ...], horizons: Tensor) -> Tensor:
    """Forecasts relative to the last value, (n, R, J), by coefficients (R, D, J) and (R, P, J)."""
    coefficients, of_known = (part.to(block.z.dtype) for part in candidate)
    # One product for all candidates takes half the time of one for each.
    forecast = block.z @ coefficients.transpose(0, 1).flatten(1)
    forecast = forecast.unflatten(1, (len(coefficients), -1))
    if block.known is not None:
        forecast = forecast + torch.einsum("njp,rpj->nrj", block.known[:, horizons], of_known)
    return forecast
