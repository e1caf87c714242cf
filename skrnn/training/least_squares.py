"""Least squares: the coefficients of the linear forecast, in closed form."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import reduce
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from skrnn.data.ragged import evenly_spaced, numbered
from skrnn.features.device_panel import DevicePanel
from skrnn.features.linear_forecast import LinearForecast
from skrnn.features.means import accumulator_dtype

# Ridge penalties among which cross-validation chooses, for values in units of the scaled series.
PENALTIES = tuple(np.logspace(-2, 4, 13))
# Cross-validation: folds, the blocks of time of all folds together at most, and how many horizons a
# block is long at least, so that few targets lie in two blocks.
N_FOLDS, MOST_BLOCKS, BLOCK_HORIZONS = 5, 20, 4
# Horizons for which a penalty is chosen at most; those between take that of the nearest.
MOST_CHOSEN_HORIZONS = 24
# Coefficients that differ within the season need so many rows for each regressor.
ROWS_PER_CROSSED_REGRESSOR = 4
# Steps that are fitted to at most, and read at once.
MOST_STEPS, STEPS_AT_ONCE = 100_000, 4_096
# Left-out steps whose forecasts are kept.
MOST_LEFT_OUT = 1_000
# An error in units of the scaled series that counts as none.
LEAST_ERROR = 1e-6


@torch.no_grad()
def fit_linear(
    linear: LinearForecast, data: DevicePanel, begin: np.ndarray, stop: np.ndarray
) -> LeftOut | None:
    r"""Fit the linear forecast by ridge regression.

    For each horizon and column the coefficients are those that minimise
    :math:`\sum_t (s_{t-1+h} - f_{th})^2 + \lambda \|c\|^2`. The penalty is the one of `PENALTIES`
    with the least mean absolute error in cross-validation over blocks of time, which also chooses
    whether coefficients differ within the season.

    Parameters
    ----------
    linear : LinearForecast
        Its coefficients are set, and by how much its errors are larger on steps that it was not
        fitted to.
    data : DevicePanel
        With the features of ``linear``.
    begin, stop : np.ndarray of shape (S,)
        Steps of each series, of which all horizons lie before ``stop``.

    Returns
    -------
    LeftOut or None
        Forecasts of steps that were left out; None if there are too few steps to leave any out.
    """
    horizons, n_columns = linear.features.horizons, linear.features.n_outputs
    counts = np.maximum(stop - horizons[-1] + 1 - begin, 0)
    series, k = numbered(counts)
    kept = evenly_spaced(len(series), MOST_STEPS)
    if not len(kept):
        return None
    series, k = series[kept], k[kept]
    blocks = np.clip(counts[series] // (BLOCK_HORIZONS * horizons[-1]), N_FOLDS, MOST_BLOCKS)
    fold = blocks * k // counts[series] % N_FOLDS
    rows = _Rows(linear, data, series, k + begin[series])
    folds = [rows.sums(fold == number) for number in np.unique(fold)]
    total = [reduce(_Sums.__add__, sums) for sums in zip(*folds, strict=True)]
    chosen = torch.from_numpy(evenly_spaced(len(horizons), MOST_CHOSEN_HORIZONS)).to(data.device)
    nearest = (torch.arange(len(horizons), device=data.device)[:, None] - chosen).abs().argmin(1)
    if len(folds) < N_FOLDS:
        _set(linear, total, torch.full((n_columns, len(horizons)), len(PENALTIES) - 1))
        return None
    # Each fold is left out in turn.
    rests = [[whole - part for whole, part in zip(total, sums, strict=True)] for sums in folds]
    errors = [
        rows.errors(fold == k, [sums.candidates(chosen) for sums in rest], chosen)
        for k, rest in enumerate(rests)
    ]
    # A fold has fewer rows than all folds, so that the crossed regressors may be left out of some.
    n_candidates = min(part.shape[1] for part in errors)
    left_out_errors = torch.stack([part[:, :n_candidates] for part in errors]).sum(0)
    least, best = left_out_errors.min(1)  # (C, J')
    best = best[:, nearest].cpu()  # to be compared without waiting for the device each time
    _set(linear, total, best)
    fitted = [
        (linear.coefficients[None, :, chosen, c], linear.known_coefficients[None, :, chosen, c])
        for c in range(n_columns)
    ]
    fit_errors = rows.errors(np.ones(len(series), dtype=bool), fitted, chosen)[:, 0]
    optimism = (least / fit_errors.clamp(min=LEAST_ERROR)).clamp(min=1)
    linear.optimism.copy_(optimism[:, nearest].T)
    return _left_out(rows, fold, rests, best, chosen, nearest)


def _set(linear: LinearForecast, sums: list[_Sums], best: Tensor) -> None:
    """Set the coefficients to those of the best candidates (C, J)."""
    for c, of_column in enumerate(sums):
        coefficients, known = of_column.solution(best[c])
        linear.coefficients[:, :, c] = coefficients.to(linear.coefficients.dtype)
        linear.known_coefficients[:, :, c] = known.to(linear.coefficients.dtype)


def _left_out(
    rows: _Rows,
    fold: np.ndarray,
    rests: list[list[_Sums]],
    best: Tensor,
    chosen: Tensor,
    nearest: Tensor,
) -> LeftOut:
    """Forecasts of some steps of each fold by coefficients of the other folds."""
    sampled = np.zeros(len(fold), dtype=bool)
    sampled[evenly_spaced(len(fold), MOST_LEFT_OUT)] = True
    places, forecasts = [], []
    for k, rest in enumerate(rests):
        which = sampled & (fold == k)
        if which.any():
            solutions = [
                tuple(part[None, :, chosen] for part in sums.solution(best[c]))
                for c, sums in enumerate(rest)
            ]
            places.append(np.flatnonzero(which))
            forecasts.append(rows.forecasts(which, solutions, chosen))
    place = np.concatenate(places)
    series, t = (torch.from_numpy(a[place]).to(chosen.device) for a in (rows.series, rows.t))
    return LeftOut(series, t, chosen, nearest, torch.cat(forecasts))


class LeftOut(NamedTuple):
    """Linear forecasts from steps that their coefficients were not fitted to.

    series, t : the steps, (n,).
    places : numbers of J' horizons, (J',).
    nearest : number in ``places`` of the nearest of these to each horizon, (J,).
    forecasts : scaled, (n, J', C).
    """

    series: Tensor
    t: Tensor
    places: Tensor
    nearest: Tensor
    forecasts: Tensor


class _Sums:
    """Sums of products that the normal equations of ridge regression need, of one column."""

    def __init__(self, linear: LinearForecast, device: torch.device):
        n, n_horizons, _ = linear.coefficients.shape
        n_known = linear.known_coefficients.shape[0]
        dtype = accumulator_dtype(device)

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(*shape, dtype=dtype, device=device)

        self.n_rows, self.n_plain = 0, linear.n_plain
        self.shared = zeros(n, n)
        self.target = zeros(n, n_horizons)
        self.crossed = zeros(n_horizons, n, n_known)
        self.known = zeros(n_horizons, n_known, n_known)
        self.known_target = zeros(n_horizons, n_known)

    def add(self, z: Tensor, known: Tensor | None, target: Tensor) -> None:
        """Add rows: regressors (n, D), known inputs (n, J, P) and targets (n, J)."""
        # Products of a block are computed in single precision, which is twice as fast, and added
        # in double precision.
        self.n_rows += len(z)
        self.shared += z.T @ z
        self.target += z.T @ target
        if known is not None:
            self.crossed += torch.einsum("nd,njp->jdp", z, known)
            self.known += torch.einsum("njp,njq->jpq", known, known)
            self.known_target += torch.einsum("njp,nj->jp", known, target)

    def __add__(self, other: _Sums) -> _Sums:
        return self._combined(other, 1)

    def __sub__(self, other: _Sums) -> _Sums:
        return self._combined(other, -1)

    def _combined(self, other: _Sums, sign: int) -> _Sums:
        result = copy.copy(self)
        for name in ("n_rows", "shared", "target", "crossed", "known", "known_target"):
            setattr(result, name, getattr(self, name) + sign * getattr(other, name))
        return result

    @property
    def sizes(self) -> list[int]:
        """Numbers of regressors among which to choose: without the crossed ones, and with them."""
        n = len(self.shared)
        has_crossed = self.n_rows >= ROWS_PER_CROSSED_REGRESSOR * n and n > self.n_plain
        return [self.n_plain, n] if has_crossed else [self.n_plain]

    def candidates(self, horizons: Tensor) -> tuple[Tensor, Tensor]:
        """Coefficients (R, D, J), and those of the known inputs (R, P, J), of some horizons.

        The R candidates are all penalties for each of `sizes`.
        """
        parts = []
        for n in self.sizes:
            values, vectors = self._decomposed(n)
            for penalty in PENALTIES:
                inverse = (1 / (values + penalty))[:, None].expand(-1, len(horizons))
                parts.append(self._solved(n, vectors, inverse, penalty, horizons))
        coefficients, known = (torch.stack(part) for part in zip(*parts, strict=True))
        return coefficients, known

    def solution(self, best: Tensor) -> tuple[Tensor, Tensor]:
        """Coefficients (D, J) and (P, J) of each horizon's best candidate (J,), on the CPU."""
        coefficients = torch.zeros_like(self.target)
        known = torch.zeros_like(self.known_target.T)
        penalties = torch.tensor(PENALTIES, dtype=coefficients.dtype)[best % len(PENALTIES)]
        for i, n in enumerate(self.sizes):
            places = torch.nonzero(best // len(PENALTIES) == i)[:, 0]
            if len(places):
                values, vectors = self._decomposed(n)
                horizons, penalty = (part.to(values.device) for part in (places, penalties[places]))
                inverse = 1 / (values[:, None] + penalty)
                found = self._solved(n, vectors, inverse, penalty, horizons)
                coefficients[:, horizons], known[:, horizons] = found
        return coefficients, known

    def _decomposed(self, n: int) -> tuple[Tensor, Tensor]:
        # All horizons share the regressors, so one decomposition serves all of them and all
        # penalties.
        shared = self.shared[:n, :n]
        # PyTorch has no such decomposition for MPS.
        on_cpu = shared.cpu() if shared.device.type == "mps" else shared
        values, vectors = (part.to(shared.device) for part in torch.linalg.eigh(on_cpu))
        return values.clamp(min=0), vectors

    def _solved(
        self, n: int, vectors: Tensor, inverse: Tensor, penalty: Tensor | float, horizons: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Coefficients of the first n regressors and of the known inputs; the others are zero."""
        target = vectors.T @ self.target[:n, horizons]  # (n, J)
        known = self.known_target[horizons]  # (J, P)
        if known.shape[1]:
            # The known inputs differ by horizon; they are eliminated as a block.
            crossed = torch.einsum("de,jdp->jep", vectors, self.crossed[horizons, :n])
            weighted = crossed * inverse.T[..., None]
            ridge = torch.eye(known.shape[1], device=known.device, dtype=known.dtype)
            ridge = (
                torch.as_tensor(penalty, dtype=known.dtype, device=known.device)[..., None, None]
                * ridge
            )
            schur = self.known[horizons] + ridge - weighted.mT @ crossed
            rest = known - torch.einsum("jdp,dj->jp", weighted, target)
            known = torch.linalg.solve(schur, rest[..., None])[..., 0]
            target = target - torch.einsum("jdp,jp->dj", crossed, known)
        found = vectors @ (inverse * target)
        return F.pad(found, (0, 0, 0, len(self.shared) - n)), known.T


class _Rows:
    """Steps of series, read in blocks."""

    def __init__(
        self, linear: LinearForecast, data: DevicePanel, series: np.ndarray, t: np.ndarray
    ):
        self.linear, self.data, self.series, self.t = linear, data, series, t

    def blocks(
        self, which: np.ndarray
    ) -> Iterator[tuple[int, Tensor, Tensor | None, Tensor, Tensor]]:
        """Column, regressors (n, D), known (n, J, P), targets and weights (n, J).

        Targets are relative to the last value.
        """
        data, features = self.data, self.linear.features
        series, t = (torch.from_numpy(a[which]).to(data.device) for a in (self.series, self.t))
        for of_series, at in zip(series.split(STEPS_AT_ONCE), t.split(STEPS_AT_ONCE), strict=True):
            targets = data.targets(of_series, at[:, None])
            future, observed = data.target_values(of_series, at[:, None])  # (n, 1, J, C)
            known = targets.regressors.known  # type: ignore[union-attr]
            for c in range(features.n_outputs):
                z = self.linear.design(targets, c)[:, 0]
                target = future[:, 0, :, c] - targets.past[:, 0, :1, c]
                weight = torch.ones_like(target)
                if observed is not None:
                    weight = observed[:, 0, :, c].to(target.dtype)
                yield c, z, None if known is None else known[:, 0], target, weight

    def sums(self, which: np.ndarray) -> list[_Sums]:
        """Sums of each column over these steps."""
        columns = [
            _Sums(self.linear, self.data.device) for _ in range(self.linear.features.n_outputs)
        ]
        for c, z, known, target, _ in self.blocks(which):
            columns[c].add(z, known, target)
        return columns

    def errors(
        self, which: np.ndarray, candidates: list[tuple[Tensor, Tensor]], horizons: Tensor
    ) -> Tensor:
        """Sums of absolute errors of each column's candidates at some horizons, (C, R, J)."""
        n_candidates = len(candidates[0][0])
        total = torch.zeros(len(candidates), n_candidates, len(horizons), device=self.data.device)
        for c, z, known, target, weight in self.blocks(which):
            error = _forecast(z, known, candidates[c], horizons) - target[:, horizons]
            total[c] += (error.abs() * weight[:, horizons]).sum(1)
        return total

    def forecasts(
        self, which: np.ndarray, solutions: list[tuple[Tensor, ...]], horizons: Tensor
    ) -> Tensor:
        """Forecasts of some horizons by one solution of each column, (n, J, C)."""
        columns: list[list[Tensor]] = [[] for _ in solutions]
        for c, z, known, _, _ in self.blocks(which):
            last = z[:, :1]  # the first regressor
            columns[c].append(last + _forecast(z, known, solutions[c], horizons)[0])
        return torch.stack([torch.cat(blocks) for blocks in columns], dim=-1)


def _forecast(
    z: Tensor, known: Tensor | None, candidate: tuple[Tensor, ...], horizons: Tensor
) -> Tensor:
    """Forecasts relative to the last value, (R, n, J), by coefficients (R, D, J) and (R, P, J)."""
    coefficients, of_known = (part.to(z.dtype) for part in candidate)
    forecast = z @ coefficients
    if known is not None:
        forecast = forecast + torch.einsum("njp,rpj->rnj", known[:, horizons], of_known)
    return forecast
