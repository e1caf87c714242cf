"""Errors of forecasts of held-out rows, which tell how sure a forecast is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from skrnn.data.held_out import HeldOut
from skrnn.data.panel import Panel
from skrnn.distributions.base import Predictive
from skrnn.forecasting.adaptation import HeldOutErrors
from skrnn.forecasting.ensemble import AnyModel
from skrnn.forecasting.samples import Samples

# Cutoffs whose held-out errors are computed, of points or distributions, and of simulated paths,
# and the paths of each.
MOST_CUTOFFS, MOST_SIMULATED_CUTOFFS, N_SIMULATED = 2_000, 300, 20
# The size of a series' errors is drawn towards that of all series as if by so many errors more.
PSEUDO_ERRORS = 10.0


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
        samples = model.strategy.name == "recursive" and model.distribution.is_probabilistic
        is_simulated = samples and steps[-1] > 1
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
        n_samples = N_SIMULATED if samples else 0
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
