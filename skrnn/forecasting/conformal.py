"""Conformal prediction: quantiles that hold what they claim, from errors on held-out rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.special import stdtrit

from skrnn.data.held_out import HeldOut
from skrnn.data.panel import Panel
from skrnn.distributions.base import Predictive, empirical
from skrnn.forecasting.ensemble import AnyModel
from skrnn.forecasting.samples import Samples, ranks

# Cutoffs whose held-out errors are computed, of points or distributions, and of simulated paths,
# and the paths of each.
MOST_CUTOFFS, MOST_SIMULATED_CUTOFFS, N_SIMULATED = 2_000, 300, 20
# The size of a series' errors is drawn towards that of all series as if by so many errors more.
PSEUDO_ERRORS = 10.0
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


class Calibrated(Predictive):
    r"""A forecast plus quantiles of the errors of earlier forecasts.

    With m the centre of the forecast, s the expected size of its error and q the quantile of the
    errors e = (y - m) / s of earlier forecasts, the quantile at level a is :math:`m + s\,q_a`.
    Of n held-out errors, :math:`q_a` is the one with rank :math:`\lceil (n + 1) a \rceil` above the
    median and :math:`\lfloor (n + 1) a \rfloor` below it. From there on it follows each further
    error by adaptive conformal inference, see `HeldOutErrors.tracked`.

    Parameters
    ----------
    errors : HeldOutErrors

    Notes
    -----
    Parameters are (..., 8 + V): forecast, centre, size, lower and upper bound, numbers of the
    series, of the known errors and of the horizon, and V simulated values, if there are any.

    References
    ----------
    J. Lei et al., "Distribution-Free Predictive Inference for Regression", JASA 113, 2018.
    I. Gibbs, E. Candes, "Adaptive Conformal Inference Under Distribution Shift", NeurIPS 2021.
    I. Gibbs, E. Candes, "Conformal Inference for Online Prediction with Arbitrary Distribution
    Shifts", JMLR 25, 2024 (step sizes weighed by their pinball losses).
    A. Angelopoulos, E. Candes, R. Tibshirani, "Conformal PID Control for Time Series Prediction",
    NeurIPS 2023 (quantiles that follow errors).
    """

    N_NUMBERS = 8

    def __init__(self, errors: HeldOutErrors):
        self.errors = errors

    def quantiles(self, parameters: np.ndarray, levels: Sequence[float] | np.ndarray) -> np.ndarray:
        """Quantiles, (..., C, A), from parameters (..., C, K)."""
        levels = np.asarray(levels, dtype=np.float64)
        order = np.argsort(levels)
        _, center, size, lower, upper, *place = np.moveaxis(
            parameters[..., : self.N_NUMBERS], -1, 0
        )
        series, count, horizon = (part.astype(np.int64) for part in place)
        counts, count = np.unique(count, return_inverse=True)
        table = self.errors.tracked(levels[order], counts)[..., np.argsort(order)]
        column = np.arange(parameters.shape[-2])
        quantile = table[series, count.reshape(series.shape), horizon, column]
        quantile = center[..., None] + size[..., None] * quantile
        return np.clip(quantile, lower[..., None], upper[..., None])

    def skpro(self, parameters: np.ndarray, **labels: Any) -> Any:
        """Distribution of skpro; of simulated paths, whose order at each step stays the same."""
        n_samples = parameters.shape[-1] - self.N_NUMBERS
        if not n_samples:
            return super().skpro(parameters, **labels)
        values = self.quantiles(parameters, (np.arange(n_samples) + 0.5) / n_samples)
        paths = np.take_along_axis(values, ranks(parameters[..., self.N_NUMBERS :]), axis=-1)
        return empirical(paths, time_indep=False, **labels)


def calibrated(
    distribution: Predictive,
    parameters: np.ndarray,
    series: np.ndarray,
    rows: np.ndarray,
    steps: np.ndarray,
    bounds: tuple[np.ndarray, np.ndarray],
    errors: HeldOutErrors,
    sizes: np.ndarray,
) -> tuple[Calibrated, np.ndarray]:
    """Calibrated distribution of forecasts of series (n,) from rows (n,), and its parameters.

    Parameters
    ----------
    distribution, parameters : Predictive, np.ndarray of shape (n, J, C, K)
    series, rows : np.ndarray of shape (n,)
        The rows before each of ``rows`` are known.
    steps : np.ndarray of shape (n, J)
        Steps ahead.
    bounds : tuple of np.ndarray of shape (n, C)
        Lower and upper bound of the quantiles.
    errors, sizes : HeldOutErrors, np.ndarray of shape (S, C)
        Those of all steps asked for, see `held_out_errors`.
    """
    center, size = center_and_size(distribution, parameters)
    size = size * sizes[series][:, None]
    horizon = np.searchsorted(errors.steps, steps)
    # Errors are known as far as their target lies before the row.
    latest = rows[:, None] - steps  # (n, J)
    count = (errors.cutoff[series][:, None] <= latest[..., None]).sum(-1)
    lower, upper = (np.broadcast_to(bound[:, None], center.shape) for bound in bounds)
    numbers = [np.clip(distribution.point(parameters), lower, upper), center, size, lower, upper]
    numbers += [
        np.broadcast_to(part[..., None], center.shape)
        for part in (np.broadcast_to(series[:, None], steps.shape), count, horizon)
    ]
    result = np.stack(numbers, axis=-1)
    if isinstance(distribution, Samples) and parameters.shape[-1] > 1:  # not of a point
        result = np.concatenate([result, parameters], axis=-1)
    return Calibrated(errors), result


def held_out_errors(
    model: AnyModel, panel: Panel, held_out: HeldOut, steps: np.ndarray
) -> tuple[HeldOutErrors, np.ndarray]:
    """Errors since the first held-out rows, and the size of each series' errors (S, C).

    Series differ in how well they are forecast. Each one's errors are divided by their mean size
    over the held-out rows, which is drawn towards that of all series, see `PSEUDO_ERRORS`.

    Parameters
    ----------
    model : Model or Ensemble
        One that the held-out rows have not changed.
    panel : Panel
        All observations so far.
    held_out : HeldOut
    steps : np.ndarray of shape (J,)
        Steps ahead, ascending.

    Raises
    ------
    ValueError
        If there is no error so many steps ahead.
    """
    forecasts = _HeldOutForecasts.of(model, panel, held_out, steps)
    series, n_columns = forecasts.series, len(model.columns)
    center, size = center_and_size(forecasts.distribution, forecasts.parameters)
    error = forecasts.values - center
    scale = model.scaler.scale_[:, :n_columns]  # type: ignore[union-attr]
    if not model.distribution.is_probabilistic:
        size = size * scale[series][:, None]
    error = error / size
    counts = ~np.isnan(error)
    chosen = counts & forecasts.is_first[..., None]
    # Mean sizes, over the held-out rows.
    absolute = np.where(chosen, np.abs(error), 0.0)
    mean = absolute.sum(0) / np.maximum(chosen.sum(0), 1)  # of each horizon
    relative = absolute / np.where(mean > 0, mean, 1.0)
    # Forecasts of the same rows err together: of n rows, n / h are independent h steps ahead.
    weight = chosen / (len(steps) * steps[:, None])
    total = np.full((2, panel.n_series, n_columns), PSEUDO_ERRORS)
    np.add.at(total[0], series, (weight * relative).sum(1))
    np.add.at(total[1], series, weight.sum(1))
    sizes = total[0] / total[1]
    result = forecasts.by_cutoff(error / sizes[series][:, None], np.nan)
    of_all = forecasts.by_cutoff(forecasts.is_first, False)
    if not model.distribution.is_probabilistic:
        sizes = sizes * scale
    return HeldOutErrors(forecasts.cutoff, result, of_all, steps, forecasts.stride), sizes


def held_out_scores(
    model: AnyModel, panel: Panel, held_out: HeldOut, steps: np.ndarray
) -> np.ndarray:
    """Randomised probability integral transforms of held-out counts, (S, G, J, C).

    Of a count y with the distribution function F, a number between F(y - 1) and F(y): uniform if
    the forecast is right. NaN where no value was observed.
    """
    forecasts = _HeldOutForecasts.of(model, panel, held_out, steps)
    counts = forecasts.values
    values = np.stack([counts - 1, counts], axis=-1)
    below, up_to = np.moveaxis(forecasts.distribution.cdf(forecasts.parameters, values), -1, 0)
    share = np.random.default_rng(0).random(counts.shape)
    return forecasts.by_cutoff(below + share * (up_to - below), np.nan)


@dataclass(frozen=True)
class _HeldOutForecasts:
    """Forecasts of rows that the model was not trained on, and their observations.

    Parameters
    ----------
    cutoff : np.ndarray of shape (S, G)
        See `HeldOutErrors`.
    series, place : np.ndarray of shape (n,)
        Series of each of the n cutoffs, and its number among the G.
    values : np.ndarray of shape (n, J, C)
        NaN where no value was observed.
    is_first : np.ndarray of shape (n, J)
        Which values are in the held-out rows; others come later.
    distribution, parameters : Predictive, np.ndarray of shape (n, J, C, K)
    stride : int
        Rows from one cutoff to the next.
    """

    cutoff: np.ndarray
    series: np.ndarray
    place: np.ndarray
    values: np.ndarray
    is_first: np.ndarray
    distribution: Predictive
    parameters: np.ndarray
    stride: int

    @classmethod
    def of(
        cls, model: AnyModel, panel: Panel, held_out: HeldOut, steps: np.ndarray
    ) -> _HeldOutForecasts:
        """Forecast from the first held-out row of each series on, up to its end."""
        n_columns = len(model.columns)
        first, stop = held_out.rows(panel)
        is_simulated = model.strategy.name == "recursive" and model.distribution.is_probabilistic
        is_simulated = is_simulated and steps[-1] > 1
        most = MOST_SIMULATED_CUTOFFS if is_simulated else MOST_CUTOFFS
        stride = max(1, -(-int((stop - first).sum()) // most))
        last = np.where(stop > first, panel.lengths, first)
        n_cutoffs = -(-(last - first) // stride)  # (S,)
        k = np.arange(n_cutoffs.max())
        cutoff = first[:, None] + stride * k  # (S, G)
        inside = k < n_cutoffs[:, None]
        series, place = np.nonzero(inside)
        rows = cutoff[series, place]
        target = rows[:, None] + steps - 1  # (n, J)
        is_row = target < panel.lengths[series][:, None]
        is_first = target < stop[series][:, None]
        target = panel.offsets[series][:, None] + np.where(is_row, target, 0)
        counts = np.broadcast_to(is_row[..., None], (*target.shape, n_columns))
        if panel.observed is not None:
            counts = counts & panel.observed[target][..., :n_columns]  # (n, J, C)
        missing = np.argwhere(~(counts & is_first[..., None]).any(0))
        if len(missing):
            msg = (
                f"Intervals need errors of held-out rows {steps[missing[0][0]]} steps ahead, but "
                f"{(stop - first).max()} rows are held out of the longest series. Pass longer "
                f"series, raise validation_split, shorten fh, or set criterion='quantile' and "
                f"validation_split=None for intervals that are not calibrated."
            )
            raise ValueError(msg)
        generator = torch.Generator(model.device).manual_seed(0) if is_simulated else None
        n_samples = N_SIMULATED if is_simulated else 0
        if model.distribution.is_probabilistic and not is_simulated:
            n_samples = N_SIMULATED if model.strategy.name == "recursive" else 0
        distribution, parameters = model.forecast(panel, series, rows, steps, n_samples, generator)
        values = np.where(counts, panel.values[target][..., :n_columns], np.nan)
        cutoff = np.where(inside, cutoff, np.iinfo(np.int64).max)
        return cls(cutoff, series, place, values, is_first, distribution, parameters, stride)

    def by_cutoff(self, values: np.ndarray, fill: float) -> np.ndarray:
        """Values (n, ...) of the cutoffs by series and number, (S, G, ...)."""
        result = np.full((*self.cutoff.shape, *values.shape[1:]), fill)
        result[self.series, self.place] = values
        return result


def center_and_size(
    distribution: Predictive, parameters: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Centre of each forecast and the size of its error, (n, J, C); 1 for a point."""
    if isinstance(distribution, Samples):
        if parameters.shape[-1] == 1:
            return parameters[..., 0], np.ones(parameters.shape[:-1])
        center = np.median(parameters, axis=-1)
        size = np.abs(parameters - center[..., None]).mean(-1)
    elif getattr(distribution, "is_probabilistic", True):
        low, center, high = np.moveaxis(distribution.quantiles(parameters, [0.1, 0.5, 0.9]), -1, 0)
        size = (high - low) / 2
    else:
        center = distribution.point(parameters)
        size = np.ones(center.shape)
    return center, np.maximum(size, np.finfo(np.float64).tiny)


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
