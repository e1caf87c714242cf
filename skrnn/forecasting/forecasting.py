"""Forecasting: from a fitted network to points, quantiles, variances and distributions."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from sktime.forecasting.base import BaseForecaster, ForecastingHorizon

from skrnn.data.panel import Panel
from skrnn.data.ragged import evenly_spaced, numbered
from skrnn.data.scaling import Scaler
from skrnn.distributions import Distribution, Residuals, Samples
from skrnn.features.features import Features
from skrnn.forecasting import decoding
from skrnn.network.devices import resolve_device, seeded, tf32
from skrnn.network.network import RecurrentNetwork
from skrnn.training.chunks import DevicePanel

# Point forecasts whose held-out residuals make intervals: enough for the quantiles of 1 in 100.
MOST_RESIDUALS = 5_000


class Forecasting(BaseForecaster):
    """The predicting half of the sktime contract, for forecasters that have been fitted."""

    network_: RecurrentNetwork
    scaler_: Scaler
    _features: Features
    _known_scaler: Scaler
    _panel: Panel
    _held_out: np.ndarray  # timeline positions (2, S) between which validation held out

    # parameters of the forecasters
    window_length: int
    patch_length: int
    supervision: str
    n_samples: int
    validation_split: float | None
    device: str | torch.device
    precision: str
    random_state: int | np.random.RandomState | None

    def _predict(self, fh: ForecastingHorizon, X: pd.DataFrame | None) -> pd.DataFrame:
        distribution, index, made = self._forecast(fh, X)
        return pd.DataFrame(distribution.point(made), index=index, columns=self._panel.columns)

    def _predict_quantiles(
        self, fh: ForecastingHorizon, X: pd.DataFrame | None, alpha: Sequence[float]
    ) -> pd.DataFrame:
        distribution, index, made = self._predictive(fh, X)
        values = distribution.quantiles(made, alpha)  # (n, C, A)
        columns = pd.MultiIndex.from_product([self._get_varnames(), alpha])
        return pd.DataFrame(values.reshape(len(index), -1), index=index, columns=columns)

    def _predict_var(
        self, fh: ForecastingHorizon, X: pd.DataFrame | None = None, cov: bool = False
    ) -> pd.DataFrame:
        if cov:
            msg = (
                f"{type(self).__name__} predicts the variance of each value, but cov=True asks "
                f"for covariances. Set cov=False."
            )
            raise NotImplementedError(msg)
        distribution, index, made = self._predictive(fh, X)
        return pd.DataFrame(distribution.variance(made), index=index, columns=self._get_varnames())

    def _predict_proba(
        self, fh: ForecastingHorizon, X: pd.DataFrame | None, marginal: bool = True
    ) -> Any:
        distribution, index, made = self._predictive(fh, X)
        return distribution.skpro(made, index=index, columns=self._panel.columns)

    def _predictive(
        self, fh: ForecastingHorizon, X: pd.DataFrame | None
    ) -> tuple[Distribution, pd.Index, np.ndarray]:
        """Distribution of each forecast, and its parameters (n, C, K) in the unit of the data."""
        if self.network_.distribution.is_probabilistic:
            return self._forecast(fh, X, self.n_samples)
        _, index, made = self._forecast(fh, X)
        steps = np.maximum(self._steps_ahead(self._panel, fh), 1)
        points = made[..., 0].reshape(*steps.shape, -1)  # (S, J, C)
        distribution, made = self._with_residuals(points, np.arange(len(points)), steps)
        return distribution, index, made.reshape(len(index), *made.shape[2:])

    def _predictive_made(
        self,
        panel: Panel,
        data: DevicePanel,
        series: np.ndarray,
        row: np.ndarray,
        steps: np.ndarray,
    ) -> tuple[Distribution, np.ndarray]:
        """Distribution of each forecast from row on, and its parameters (n, J, C, K)."""
        if self.network_.distribution.is_probabilistic:
            return self._made(panel, data, series, row, steps, self.n_samples)
        distribution, made = self._made(panel, data, series, row, steps)
        ahead = np.broadcast_to(steps, made.shape[:2])
        return self._with_residuals(distribution.point(made), series, ahead)

    def _future_known(self, X: pd.DataFrame | None, steps: np.ndarray) -> np.ndarray:
        """What X tells of the rows after each series' end, (S, H, P).

        A recursive forecast needs every step up to the last; several horizons at once the first
        step, which the recurrent layer sees, and the steps asked for.
        """
        panel, horizon = self._panel, self._horizon(steps)
        future = np.zeros((panel.n_series, horizon, len(panel.covariates.known)))
        ahead = steps[steps > 0]
        if not future.size or not len(ahead):
            return future
        needed = np.arange(1, horizon + 1)
        if self._features.horizons:
            needed = np.union1d([1], ahead)
        series = np.repeat(np.arange(panel.n_series), len(needed))
        positions = panel.end[:, None] - 1 + needed
        index = panel.index(series, positions.ravel())
        future[:, needed - 1] = panel.covariates.read_known(X, index).reshape(
            panel.n_series, len(needed), -1
        )
        return future

    def _horizon(self, steps: np.ndarray) -> int:
        """Rows after a series' end that a forecast needs."""
        return (self._features.horizons or (max(0, int(steps.max())),))[-1]

    def _forecast(
        self, fh: ForecastingHorizon, X: pd.DataFrame | None, n_samples: int = 0
    ) -> tuple[Distribution, pd.Index, np.ndarray]:
        """Distribution and index of the forecasts, and its parameters (n, C, K).

        One step ahead up to the cutoff, then on; the first observation of a series has no past to
        be forecast from: NaN.
        """
        panel = self._panel
        steps = self._steps_ahead(panel, fh)  # (S, J)
        panel.covariates.check(X, past=False, needed=bool((steps > 0).any()))
        future = self._future_known(X, steps)
        horizon = future.shape[1]
        # Only the rows that the runs to the earliest position reach are scaled and moved.
        earliest = max(0, int(1 - steps.min()))
        tail = panel.tail(
            2 * self.window_length + self._features.history + self.patch_length + earliest
        )
        data = self._on_device(tail.extended(horizon, future), self._forecast_device())
        parts = []
        row = tail.lengths[:, None] - 1 + steps
        inside, ahead = (row > 0) & (steps <= 0), steps > 0
        if inside.any():
            series, _ = np.nonzero(inside)
            one = np.ones(1, dtype=np.int64)
            distribution, made = self._made(tail, data, series, row[inside], one, n_samples)
            parts.append((inside, made[:, 0]))
        if ahead.any():
            series, _ = np.nonzero(ahead)
            wanted, every = np.unique(steps[ahead]), np.arange(panel.n_series)
            distribution, made = self._made(tail, data, every, tail.lengths, wanted, n_samples)
            parts.append((ahead, made[series, np.searchsorted(wanted, steps[ahead])]))
        if not parts:  # nothing but first observations
            distribution, parts = Samples(), [(ahead, np.empty((0, len(panel.columns), 1)))]
        result = np.full((*steps.shape, *parts[0][1].shape[1:]), np.nan)
        for here, made in parts:
            result[here] = made
        series = np.repeat(np.arange(panel.n_series), steps.shape[1])
        index = panel.index(series, (panel.end[:, None] - 1 + steps).ravel())
        return distribution, index, result.reshape(len(index), *result.shape[2:])

    def _made(
        self,
        panel: Panel,
        data: DevicePanel,
        series: np.ndarray,
        row: np.ndarray,
        steps: np.ndarray,
        n_samples: int = 0,
    ) -> tuple[Distribution, np.ndarray]:
        """Forecasts of some steps ahead, from row on: distribution and parameters (n, J, C, K).

        In the unit of the data. Of several horizons at once, the parameters are the network's own;
        step by step, they are point forecasts, or ``n_samples`` equally likely values.
        """
        distribution, n_columns = self.network_.distribution, len(self._panel.columns)
        made = self._decode(panel, data, series, row, int(steps.max()), n_samples)
        made = made[:, self._output(steps), :n_columns].astype(np.float64)
        if not self._features.horizons:
            if steps.max() == 1:
                levels = (np.arange(n_samples) + 0.5) / max(1, n_samples)
                if n_samples:
                    made = distribution.quantiles(made, levels)
                else:
                    made = distribution.point(made)[..., None]
            distribution = Samples()
        center, scale = (
            part[series][:, None, :n_columns, None]
            for part in (self.scaler_.center_, self.scaler_.scale_)
        )
        return distribution, distribution.unscaled(made, center, scale)

    def _output(self, steps: np.ndarray) -> np.ndarray:
        """Where the network's outputs hold the given steps ahead."""
        horizons = self._features.horizons
        if horizons is None:
            return steps - 1
        lacking = np.setdiff1d(steps, horizons)
        if len(lacking):
            msg = (
                f"strategy='multioutput' forecasts the steps that fit was given, {list(horizons)}, "
                f"but step {lacking[0]} came. Fit with it, or set strategy='recursive'."
            )
            raise ValueError(msg)
        return np.searchsorted(horizons, steps)

    def _with_residuals(
        self, points: np.ndarray, series: np.ndarray, steps: np.ndarray
    ) -> tuple[Distribution, np.ndarray]:
        """Conformal distribution of point forecasts (n, J, C) so many steps ahead, (n, J)."""
        wanted = np.unique(steps)
        distribution, sizes = self._residuals(wanted)
        place = np.broadcast_to(np.searchsorted(wanted, steps)[..., None], points.shape)
        size = np.broadcast_to(sizes[series][:, None], points.shape)
        return distribution, np.stack([points, size, place], axis=-1)

    def _residuals(self, steps: np.ndarray) -> tuple[Residuals, np.ndarray]:
        """Residuals over what validation held out, and the size of each series' errors (S, C).

        Series differ in how well they are forecast: each one's residuals are divided by their mean
        size, drawn towards that of all as if by ten residuals more.
        """
        panel, n_columns = self._panel, len(self._panel.columns)
        first, stop = self._held_out - panel.origin  # rows of each series
        stop = np.minimum(stop, panel.lengths)
        series, k = numbered(np.maximum(stop - first, 0))
        cutoff = first[series] + k
        kept = evenly_spaced(len(cutoff), MOST_RESIDUALS)
        series, cutoff = series[kept], cutoff[kept]
        row = cutoff[:, None] + steps - 1  # (n, J)
        inside = row < stop[series][:, None]
        row = panel.offsets[series][:, None] + np.minimum(row, stop[series][:, None] - 1)
        counts = np.broadcast_to(inside[..., None], (*row.shape, n_columns))
        if panel.observed is not None:
            counts = counts & panel.observed[row][..., :n_columns]  # (n, J, C)
        lacking = np.argwhere(~counts.any(0))
        if len(lacking):
            msg = (
                f"Intervals of point forecasts need held-out residuals {steps[lacking[0][0]]} "
                f"steps ahead, but validation_split={self.validation_split} holds out none. Raise "
                f"it, shorten fh, or set criterion='quantile'."
            )
            raise ValueError(msg)
        data = self._on_device(panel, self._forecast_device())
        distribution, made = self._made(panel, data, series, cutoff, steps)
        residual = panel.values[row][..., :n_columns] - distribution.point(made)
        scale = self.scaler_.scale_[:, :n_columns]
        residual = residual / scale[series][:, None]
        size = np.where(counts, np.abs(residual), 0.0)
        mean = size.sum(0) / counts.sum(0)  # of each step
        relative = size / np.where(mean > 0, mean, 1.0)
        total = np.full((2, panel.n_series, n_columns), 10.0)
        np.add.at(total[0], series, relative.sum(1))
        np.add.at(total[1], series, counts.sum(1))
        sizes = total[0] / total[1]
        residual = residual / sizes[series][:, None]
        table = [
            [residual[counts[:, j, c], j, c] for c in range(n_columns)] for j in range(len(steps))
        ]
        return Residuals(table), sizes * scale

    def _forecast_device(self) -> torch.device:
        """Device to forecast on: the one asked for, or the CPU on a machine without it."""
        try:
            device = resolve_device(self.device)
        except ValueError:
            warnings.warn(
                f"This {type(self).__name__} was fitted on {self.device!r}, which is not there "
                f"now; it forecasts on the CPU.",
                stacklevel=2,
            )
            device = torch.device("cpu")
        self.network_.to(device)
        return device

    def _steps_ahead(self, panel: Panel, fh: ForecastingHorizon) -> np.ndarray:
        """Steps asked for, (S, J), from each series' end; 0 is its last observation."""
        if fh.is_relative:
            steps = fh.to_pandas()
            if isinstance(steps, pd.TimedeltaIndex):
                now, after = panel.timeline.stamps(np.array([0, 1]))
                steps = steps // (after - now)
            return np.broadcast_to(np.asarray(steps, dtype=np.int64), (panel.n_series, len(steps)))
        positions = panel.timeline.positions(fh.to_pandas())
        return positions - panel.end[:, None] + 1

    def _on_device(self, panel: Panel, device: torch.device) -> DevicePanel:
        return DevicePanel(panel, self._features, self.scaler_, self._known_scaler, device)

    def _decode(
        self,
        panel: Panel,
        data: DevicePanel,
        series: np.ndarray,
        cutoff: np.ndarray,
        horizon: int = 1,
        n_samples: int = 0,
    ) -> np.ndarray:
        """Scaled forecasts (n, H, C, K) of the rows from each cutoff on; see `forecast`."""
        generator = None
        if n_samples:
            with seeded(self.random_state, data.device) as rng:
                generator = torch.Generator(data.device).manual_seed(int(rng.integers(2**31)))
        with tf32(self.precision == "tf32"):
            return decoding.forecast(
                self.network_,
                data,
                series,
                cutoff,
                panel.origin,
                self.window_length,
                self.window_length if self.supervision == "dense" else 1,
                horizon,
                n_samples,
                generator,
            )
