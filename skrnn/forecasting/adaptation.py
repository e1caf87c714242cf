"""Quantiles of errors that follow later errors: adaptive conformal inference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

# 0.95 times 20 is rank 19, whatever floating point makes of it.
RANK_TOLERANCE = 1e-9
# Errors that overlap count as fewer, but as two at least. Quantiles further out than these levels
# are widened as these are (decision 47).
FEWEST_ERRORS, OUTERMOST = 2.0, (0.05, 0.95)
# Step sizes of adaptive conformal inference: after each error, a quantile moves by so much of the
# distance between the 10 % and the 90 % quantile, divided by the root of the steps ahead.
ADAPTATIONS = np.array([0.0, 0.01, 0.04, 0.16])
# Other quantiles follow the size of the errors, which reacts sooner: it moves by so much of the way
# to the size of each error, divided by the same root.
SIZE_RATES = np.array([0.02, 0.06, 0.18])
# The weights of all of them fall by this exponent with each unit of pinball loss, in units of that
# distance. A loss counts by this share less after each row: weights follow the last thousand rows.
WEIGHT_RATE, FORGETTING = 0.3, 0.001


@dataclass(frozen=True)
class HeldOutErrors:
    """Errors of forecasts of held-out rows, in units of their expected size, in order of time.

    Parameters
    ----------
    cutoff : np.ndarray of shape (S, G)
        Row of the first step forecast, ascending; the length of the series and more where there
        is none.
    errors : np.ndarray of shape (S, G, J, C)
        NaN where no value was observed.
    is_first : np.ndarray of shape (S, G, J)
        Which errors, those of held-out rows, give the first quantiles; the others move them.
    steps : np.ndarray of shape (J,)
    stride : int
        Rows from one cutoff to the next.
    """

    cutoff: np.ndarray
    errors: np.ndarray
    is_first: np.ndarray
    steps: np.ndarray
    stride: int

    def tracked(self, levels: np.ndarray, counts: np.ndarray) -> np.ndarray:
        r"""Quantiles at ascending levels after so many errors, (S, U, J, C, A).

        The first ones are those of split conformal prediction, widened where errors are few and
        overlap. After each later error e a quantile
        q at level a moves by :math:`\eta\,(a - 1[e \le q'])`, where q' is the quantile as it was
        when the forecast was made. So in the long run a share a of errors lies below theirs,
        whatever changes in the series. A small step size :math:`\eta`, or none, is best while
        nothing changes, a large one after a change. Other quantiles are the first ones times the
        mean size of the latest errors, in units of that of the first ones. The result is the mean
        over those of `ADAPTATIONS` and `SIZE_RATES`, with weights :math:`\exp(-0.3\,L)`, L being
        the sum of the pinball losses so far, see `FORGETTING`.

        Parameters
        ----------
        levels : np.ndarray of shape (A,)
        counts : np.ndarray of shape (U,)
            Numbers of errors, ascending, each between 0 and G.
        """
        adaptation = self.adaptation(levels)
        # Errors that were known when a forecast was made end so many cutoffs before it.
        before, n_recent = adaptation.before, int(adaptation.before.max()) + 1
        horizon = np.arange(len(self.steps))
        # The latest quantiles; the place of those after k errors is the remainder of k.
        state = adaptation.begin(len(self.errors))
        recent = np.tile(state.quantile, (n_recent, *(1,) * state.quantile.ndim))
        result = np.empty((len(self.errors), len(counts), *adaptation.start.shape))
        place = np.searchsorted(counts, np.arange(counts[-1] + 1))
        # Before the first of the later errors nothing moves.
        is_later = ~self.is_first & ~np.isnan(self.errors).all(-1)
        moves = np.flatnonzero(is_later.any((0, 2)))
        begin = min(moves[0], counts[-1]) if len(moves) else counts[-1]
        result[:, counts < begin] = adaptation.start
        for k in range(begin, counts[-1] + 1):
            recent[k % n_recent] = state.quantile
            if counts[place[k]] == k:
                result[:, place[k]] = adaptation.mean(state)
            if k == counts[-1]:
                break
            made_with = recent[np.maximum(k - before, 0) % n_recent, :, :, horizon]
            made_with = np.moveaxis(made_with, 0, 2)  # (E, S, J, C, A)
            error = self.errors[:, k]  # (S, J, C)
            stays = self.is_first[:, k, :, None] | np.isnan(error)
            state = adaptation.moved(state, made_with, error, stays)
        return np.sort(result, axis=-1)

    def adaptation(self, levels: np.ndarray) -> Adaptation:
        """How quantiles at ascending levels (A,) follow errors, and from where."""
        n_horizons, n_columns = self.errors.shape[2:]
        start = np.empty((n_horizons, n_columns, len(levels)))
        width, size = np.empty((n_horizons, n_columns, 1)), np.empty((n_horizons, n_columns))
        for j in range(n_horizons):
            overlap = max(1.0, self.steps[j] / self.stride)
            for c in range(n_columns):
                pooled = self.errors[:, :, j, c][self.is_first[:, :, j]]
                pooled = np.sort(pooled[~np.isnan(pooled)])
                low, median, high = _ranked(pooled, [0.1, 0.5, 0.9])
                ranked = _ranked(pooled, levels)
                start[j, c] = _widened(ranked, levels, median, len(pooled), overlap)
                width[j, c], size[j, c] = high - low, np.abs(pooled).mean()
        return Adaptation(levels, start, width, size, self.steps, self.stride)


class Followed(NamedTuple):
    """Quantiles that follow errors in E ways, of which the last F follow the size of the errors.

    quantile, loss : (E, S, J, C, A).
    size : mean size of the latest errors, in units of that of the first ones, (F, S, J, C).
    """

    quantile: np.ndarray
    loss: np.ndarray
    size: np.ndarray


@dataclass(frozen=True)
class Adaptation:
    """How quantiles follow errors, see `HeldOutErrors.tracked`.

    Parameters
    ----------
    levels : np.ndarray of shape (A,)
        Ascending.
    start : np.ndarray of shape (J, C, A)
        The first quantiles.
    width : np.ndarray of shape (J, C, 1)
        Distance between the 10 % and the 90 % quantile.
    size : np.ndarray of shape (J, C)
        Mean size of the first errors.
    steps : np.ndarray of shape (J,)
    stride : int
    """

    levels: np.ndarray
    start: np.ndarray
    width: np.ndarray
    size: np.ndarray
    steps: np.ndarray
    stride: int

    @property
    def before(self) -> np.ndarray:
        """How many cutoffs before a forecast the last one is whose error is known, (J,)."""
        return -(-self.steps // self.stride) - 1

    def begin(self, n_series: int) -> Followed:
        """The first quantiles, before any error moved them."""
        n_ways = len(ADAPTATIONS) + len(SIZE_RATES)
        quantile = np.tile(self.start, (n_ways, n_series, 1, 1, 1))
        size = np.ones((len(SIZE_RATES), *quantile.shape[1:-1]))
        return Followed(quantile, np.zeros_like(quantile), size)

    def moved(
        self, state: Followed, made_with: np.ndarray, error: np.ndarray, stays: np.ndarray
    ) -> Followed:
        """The state after an error of each series and horizon.

        Parameters
        ----------
        state : Followed
        made_with : np.ndarray of shape (E, S, J, C, A)
            Quantiles as they were when the forecast was made.
        error, stays : np.ndarray of shape (S, J, C)
            The error, and whether it moves nothing.
        """
        root, n = np.sqrt(self.steps)[:, None], len(ADAPTATIONS)
        relative = np.divide(np.abs(error), self.size, np.ones_like(error), where=self.size > 0)
        rate = 1 - (1 - SIZE_RATES[:, None, None, None]) ** self.stride
        size = np.where(stays, state.size, state.size + rate / root * (relative - state.size))
        width = np.maximum(self.width, np.finfo(np.float64).tiny)
        error, stays = error[..., None], stays[..., None]
        is_below = error <= made_with
        step = ADAPTATIONS[:, None, None, None, None] * self.stride * self.width / root[..., None]
        move = np.where(stays, 0.0, step * (self.levels - is_below[:n]))
        quantile = np.concatenate([state.quantile[:n] + move, size[..., None] * self.start])
        pinball = (self.levels - is_below) * (error - made_with) / width
        kept = (1 - FORGETTING) ** self.stride
        loss = np.where(stays, state.loss, kept * state.loss + self.stride * pinball)
        return Followed(quantile, loss, size)

    def mean(self, state: Followed) -> np.ndarray:
        """The mean of the quantiles, weighed by their losses, (S, J, C, A)."""
        weight = np.exp(WEIGHT_RATE * (state.loss.min(0) - state.loss))
        return (weight * state.quantile).sum(0) / weight.sum(0)


def _ranked(errors: np.ndarray, levels: Sequence[float] | np.ndarray) -> np.ndarray:
    """Conformal quantiles of ascending errors."""
    n, level = len(errors), np.asarray(levels, dtype=np.float64)
    place = (n + 1) * level
    rank = np.where(level > 0.5, np.ceil(place - RANK_TOLERANCE), np.floor(place + RANK_TOLERANCE))
    return errors[np.clip(rank, 1, n).astype(np.int64) - 1]


def _widened(
    quantiles: np.ndarray, levels: np.ndarray, median: float, n: int, overlap: float
) -> np.ndarray:
    r"""The quantiles of n errors as far from their median as fewer independent errors would ask.

    The errors of forecasts k steps ahead from neighbouring rows share steps. If those of single
    steps are independent, n of them tell as much of the spread as :math:`m = 3 n k / (2 k^2 + 1)`
    independent ones. Distances grow by the ratio of the quantiles of Student's t with m and with n
    degrees of freedom.
    """
    n_independent = 3 * n * overlap / (2 * overlap**2 + 1)
    n_independent = min(n, max(FEWEST_ERRORS, n_independent))
    level = np.clip(levels, *OUTERMOST)
    ratio = np.ones(len(level))
    np.divide(stdtrit(n_independent, level), stdtrit(n, level), ratio, where=level != 0.5)
    return median + ratio * (quantiles - median)
