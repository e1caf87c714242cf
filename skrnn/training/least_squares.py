"""Least squares: the coefficients of the linear forecast, in closed form."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from skrnn.data.ragged import evenly_spaced, sampled, sampled_items
from skrnn.features.device_panel import DevicePanel
from skrnn.features.linear_forecast import LinearForecast
from skrnn.features.means import accumulator_dtype
from skrnn.network.threads import map_in_threads
from skrnn.training.ridge import LEAST_ERROR, Block, RidgeModel, Sums, forecast_by

# Ridge penalties among which cross-validation chooses, for values in units of the scaled series.
PENALTIES = tuple(np.logspace(-2, 4, 13))
# Cross-validation: folds, the blocks of time of all folds together at most, and how many horizons a
# block is long at least, so that few targets lie in two blocks.
N_FOLDS, MOST_BLOCKS, BLOCK_HORIZONS = 5, 20, 4
# Horizons for which a penalty is chosen at most; those between take that of the nearest.
MOST_CHOSEN_HORIZONS = 24
# Rows of each series, in units of the longest horizon, in which its level is taken to say nothing
# about its changes (decision 29).
LEVEL_HORIZONS = 10.0
# Penalties of a forecast that reads no past value: about none, some, and nearly all.
PENALTIES_WITHOUT_PAST = PENALTIES[::6]
# Coefficients that differ within the season need so many rows for each regressor, and so does a
# forecast that reads no past value.
ROWS_PER_REGRESSOR = 4
# Steps that are fitted to at most, and read at once.
MOST_STEPS, STEPS_AT_ONCE = 100_000, 4_096
# Numbers of what is read that are kept for the next pass at most: 128 MB.
MOST_KEPT = 2**25
# Steps on which penalties are compared at most.
MOST_COMPARED = 20_000
# Left-out steps whose forecasts are kept.
MOST_LEFT_OUT = 1_000


@torch.no_grad()
def fit_linear(
    linear: LinearForecast, data: DevicePanel, begin: np.ndarray, stop: np.ndarray
) -> LeftOut | None:
    r"""Fit the linear forecast by ridge regression.

    For each horizon and column the coefficients are those that minimise
    :math:`\sum_t (s_{t-1+h} - f_{th})^2 + \lambda \|c\|^2 + 10 H S\, a^2`, for S series and a
    longest horizon of H; a is the coefficient of the last value (decision 29). The penalty is the
    one of `PENALTIES` with the least mean absolute error in cross-validation over blocks of time.
    This also chooses whether coefficients differ within the season, and whether past values are
    read at all (decision 44).

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
    series, k, _ = sampled_items(counts, MOST_STEPS)
    if not len(series):
        return None
    blocks = np.clip(counts[series] // (BLOCK_HORIZONS * horizons[-1]), N_FOLDS, MOST_BLOCKS)
    fold = blocks * k // counts[series] % N_FOLDS
    rows = _Rows(linear, data, series, k + begin[series])
    folds = map_in_threads(lambda number: rows.sums(fold == number), np.unique(fold).tolist())
    n_level_rows = LEVEL_HORIZONS * horizons[-1] * len(np.unique(series))
    total = [reduce(Sums.__add__, sums) for sums in zip(*folds, strict=True)]
    persistence = torch.stack([sums.persistence() for sums in total])
    if not linear.features.of_counts:  # which are not scaled by their means
        for sums in (each for columns in folds for each in columns):
            sums.hold_level(linear.level_columns, n_level_rows / len(folds))
        for sums in total:
            sums.hold_level(linear.level_columns, n_level_rows)
    chosen = torch.from_numpy(evenly_spaced(len(horizons), MOST_CHOSEN_HORIZONS)).to(data.device)
    nearest = (torch.arange(len(horizons), device=data.device)[:, None] - chosen).abs().argmin(1)
    if len(folds) < N_FOLDS:
        # The first model's, which reads past values.
        largest = torch.full((n_columns, len(horizons)), len(PENALTIES) - 1, device=data.device)
        _set(linear, total, largest)
        return None
    # Each fold is left out in turn.
    rests = [[whole - part for whole, part in zip(total, sums, strict=True)] for sums in folds]
    compared = _mask(len(fold), MOST_COMPARED)

    def errors_without(k: int) -> Tensor:
        candidates = [sums.candidates(chosen) for sums in rests[k]]
        return rows.errors(compared & (fold == k), candidates, chosen)

    errors = torch.stack(map_in_threads(errors_without, range(len(rests)))).sum(0)  # (C, R, J')
    # In rows in which the level says nothing, a forecast that does not read it is wrong by 1.
    n_compared_level_rows = n_level_rows * compared.sum() / len(fold)
    of_level = n_compared_level_rows * persistence[:, None] * rows.ignores_past  # (C, R)
    best = (errors + of_level[..., None]).argmin(1)  # (C, J')
    least = errors.gather(1, best[:, None])[:, 0]
    best = best[:, nearest]
    _set(linear, total, best)
    n = rows.n_regressors
    fitted = [
        (linear.coefficients[None, :n, chosen, c], linear.known_coefficients[None, :, chosen, c])
        for c in range(n_columns)
    ]
    fit_errors = rows.errors(compared, fitted, chosen)[:, 0]
    optimism = (least / fit_errors.clamp(min=LEAST_ERROR)).clamp(min=1)
    linear.optimism.copy_(optimism[:, nearest].T)
    return _left_out(rows, fold, rests, best, chosen, nearest)


def _mask(n: int, most: int) -> np.ndarray:
    """Which of n steps are among ``most`` of them."""
    result = np.zeros(n, dtype=bool)
    result[sampled(n, most)] = True
    return result


def _set(linear: LinearForecast, sums: list[Sums], best: Tensor) -> None:
    """Set the coefficients to those of the best candidates (C, J)."""
    for c, of_column in enumerate(sums):
        coefficients, known = of_column.solution(best[c])
        linear.coefficients[:, :, c] = 0.0
        linear.coefficients[: len(coefficients), :, c] = coefficients.to(linear.coefficients.dtype)
        linear.known_coefficients[:, :, c] = known.to(linear.coefficients.dtype)


def _left_out(
    rows: _Rows,
    fold: np.ndarray,
    rests: list[list[Sums]],
    best: Tensor,
    chosen: Tensor,
    nearest: Tensor,
) -> LeftOut:
    """Forecasts of some steps of each fold by coefficients of the other folds."""
    kept = _mask(len(fold), MOST_LEFT_OUT)
    left_out = [k for k in range(len(rests)) if (kept & (fold == k)).any()]

    def forecasts_without(k: int) -> Tensor:
        solutions = [
            tuple(part[None, :, chosen] for part in sums.solution(best[c]))
            for c, sums in enumerate(rests[k])
        ]
        return rows.forecasts(kept & (fold == k), solutions, chosen)

    forecasts = map_in_threads(forecasts_without, left_out)
    place = np.concatenate([np.flatnonzero(kept & (fold == k)) for k in left_out])
    series, t = (torch.from_numpy(a[place]).to(chosen.device) for a in (rows.series, rows.t))
    return LeftOut(series, t, chosen, nearest, torch.cat(forecasts), len(fold))


class LeftOut(NamedTuple):
    """Linear forecasts from steps that their coefficients were not fitted to.

    series, t : the steps, (n,).
    places : numbers of J' horizons, (J',).
    nearest : number in ``places`` of the nearest of these to each horizon, (J,).
    forecasts : scaled, (n, J', C).
    n_steps : steps that were left out in turn, of which these are a sample.
    """

    series: Tensor
    t: Tensor
    places: Tensor
    nearest: Tensor
    forecasts: Tensor
    n_steps: int


class _Rows:
    """Steps of series, read in blocks. Where they are few, they are read once and kept."""

    def __init__(
        self, linear: LinearForecast, data: DevicePanel, series: np.ndarray, t: np.ndarray
    ):
        self.linear, self.data, self.series, self.t = linear, data, series, t
        n, most = len(linear.coefficients), len(series) * (1 - 1 / N_FOLDS) / ROWS_PER_REGRESSOR
        self.has_crossed = linear.n_plain < n <= most
        self.n_regressors = n if self.has_crossed else linear.n_plain
        self.models = self._models(most)
        self._kept = None
        n_known, n_horizons, n_columns = linear.known_coefficients.shape
        of_step = self.n_regressors + (2 + n_known) * n_horizons
        if len(series) * n_columns * of_step <= MOST_KEPT:
            every = torch.arange(len(series), device=data.device)
            read = map_in_threads(self._read, every.split(STEPS_AT_ONCE))
            self._kept = [Block.joined(blocks) for blocks in zip(*read, strict=True)]

    def _models(self, most: float) -> list[RidgeModel]:
        """All regressors with and without the crossed ones; and without those of past values."""
        linear, device = self.linear, self.data.device
        dtype = accumulator_dtype(device)
        penalties, few = (
            torch.tensor(some, dtype=dtype, device=device)
            for some in (PENALTIES, PENALTIES_WITHOUT_PAST)
        )
        every = torch.arange(self.n_regressors, device=device)
        result = [RidgeModel(every[: linear.n_plain], penalties, True)]
        result += [RidgeModel(every, penalties, True)] * self.has_crossed
        places = linear.places_without_past.to(device)
        return result + [RidgeModel(places, few, False)] * (len(places) <= most)

    @property
    def ignores_past(self) -> Tensor:
        """Which of all candidates read no past value, (R,)."""
        numbers = [len(model.penalties) for model in self.models]
        reads_past = torch.tensor([model.reads_past for model in self.models])
        return ~reads_past.repeat_interleave(torch.tensor(numbers)).to(self.data.device)

    def blocks(self, which: np.ndarray) -> Iterator[tuple[int, Block]]:
        """Some of the steps of each column, by its number."""
        places = torch.from_numpy(np.flatnonzero(which)).to(self.data.device)
        for some in places.split(STEPS_AT_ONCE):
            blocks = (
                self._read(some) if self._kept is None else [block.at(some) for block in self._kept]
            )
            yield from enumerate(blocks)

    def _read(self, places: Tensor) -> list[Block]:
        """These steps of each column."""
        data, features = self.data, self.linear.features
        series, t = (
            torch.from_numpy(part).to(data.device)[places] for part in (self.series, self.t)
        )
        data, series = data.near(series, t, t + features.horizons[-1])
        targets = data.targets_of_linear(series, t[:, None])
        future, observed = data.target_values(series, t[:, None])  # (n, 1, J, C)
        known = targets.regressors.known  # type: ignore[union-attr]
        blocks = []
        for c in range(features.n_outputs):
            target = future[:, 0, :, c] - targets.past[:, 0, :1, c]
            weight = torch.ones_like(target)
            if observed is not None:
                weight = observed[:, 0, :, c].to(target.dtype)
            z = self.linear.design(targets, c, has_crossed=self.has_crossed)[:, 0]
            blocks.append(Block(z, None if known is None else known[:, 0], target, weight))
        return blocks

    def sums(self, which: np.ndarray) -> list[Sums]:
        """Sums of each column over these steps."""
        n_known, n_horizons, n_columns = self.linear.known_coefficients.shape
        columns = [
            Sums(self.models, self.n_regressors, n_horizons, n_known, self.data.device)
            for _ in range(n_columns)
        ]
        for c, block in self.blocks(which):
            columns[c].add(block)
        return columns

    def errors(
        self, which: np.ndarray, candidates: list[tuple[Tensor, Tensor]], horizons: Tensor
    ) -> Tensor:
        """Sums of absolute errors of each column's candidates at some horizons, (C, R, J)."""
        n_candidates = len(candidates[0][0])
        total = [torch.zeros(n_candidates, len(horizons), device=self.data.device)] * len(
            candidates
        )
        for c, block in self.blocks(which):
            error = forecast_by(block, candidates[c], horizons) - block.target[:, None, horizons]
            total[c] = total[c] + (error.abs() * block.weight[:, None, horizons]).sum(0)
        return torch.stack(total)

    def forecasts(
        self, which: np.ndarray, solutions: list[tuple[Tensor, ...]], horizons: Tensor
    ) -> Tensor:
        """Forecasts of some horizons by one solution of each column, (n, J, C)."""
        columns: list[list[Tensor]] = [[] for _ in solutions]
        for c, block in self.blocks(which):
            last = block.z[:, :1]  # the first regressor
            columns[c].append(last + forecast_by(block, solutions[c], horizons)[:, 0])
        return torch.stack([torch.cat(blocks) for blocks in columns], dim=-1)
