"""The model: what was fitted, and how it forecasts in the unit of the data."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from skrnn.data.covariates import Covariates
from skrnn.data.level_shift import LevelShift
from skrnn.data.panel import Panel
from skrnn.data.scaling import Scaler
from skrnn.data.stored_panel import StoredPanel
from skrnn.data.timeline import Timeline
from skrnn.distributions import Distribution, Predictive
from skrnn.features.device_panel import DevicePanel
from skrnn.features.features import Features
from skrnn.features.sources import ChannelNames
from skrnn.features.stored_device_panel import StoredDevicePanel
from skrnn.forecasting.contributions import Contributions, Explained
from skrnn.forecasting.decoding import Decoder, Runs
from skrnn.forecasting.strategies import ForecastingStrategy
from skrnn.network.devices import enough_memory, in_parts, tf32
from skrnn.network.network import RecurrentNetwork
from skrnn.network.threads import whole_operators

# Paths whose draws are worth dividing each operator among threads.
FEWEST_DIVIDED_PATHS = 1_000


@dataclass(frozen=True)
class Model:
    """What was fitted: everything that a forecast needs except the data that it starts from.

    A model is never changed. An update that trains makes a new one.

    Parameters
    ----------
    network : RecurrentNetwork
        In evaluation mode, on the device on which it forecasts.
    scaler : Scaler or None
        Statistics of each series; None in a model pretrained for other series.
    known_scaler : Scaler
        Statistics of the numeric columns of X that are known in advance.
    covariates : Covariates
        What the columns of X are.
    columns : pd.Index
        Target columns.
    timeline : Timeline
        The grid of time stamps.
    architecture : mapping
        The parameters of the forecaster that the network was built with.
    window_length : int
        Time steps over which the network runs to a cutoff, at least.
    stride : int
        Time steps from the start of one run to the next, see `Runs`.
    allows_tf32 : bool
        Whether an NVIDIA GPU may round factors to TF32.
    initial_weights : np.ndarray of shape (J, C, N), or None
        Weights of the naive forecasts before training.
    level_shift : LevelShift or None
        The network knows all rows on the level after it.
    """

    network: RecurrentNetwork
    scaler: Scaler | None
    known_scaler: Scaler
    covariates: Covariates
    columns: pd.Index
    timeline: Timeline
    architecture: Mapping[str, Any]
    window_length: int
    stride: int
    allows_tf32: bool = False
    initial_weights: np.ndarray | None = None
    level_shift: LevelShift | None = None

    @property
    def members(self) -> tuple[Model, ...]:
        """Itself; those of an `Ensemble` are several."""
        return (self,)

    @property
    def distribution(self) -> Distribution:
        """What the network forecasts of each value."""
        return self.network.distribution

    @property
    def features(self) -> Features:
        """Inputs of a step, and the naive forecasts."""
        return self.network.features

    @property
    def strategy(self) -> ForecastingStrategy:
        """How several steps are forecast."""
        return self.features.strategy  # type: ignore[return-value]

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return next(self.network.parameters()).device

    def on_device(self, panel: Panel) -> DevicePanel:
        """Scale a panel and put it beside the network."""
        if isinstance(panel, StoredPanel):
            return StoredDevicePanel(
                panel,
                self.features,
                self.scaler,  # type: ignore[arg-type]
                self.known_scaler,
                self.level_shift,
                self.device,
            )
        if self.level_shift is not None:
            panel = self.level_shift.removed(panel)
        return DevicePanel(panel, self.features, self.scaler, self.known_scaler, self.device)  # type: ignore[arg-type]

    def decoder(
        self,
        panel: Panel,
        data: DevicePanel,
        series: np.ndarray,
        rows: np.ndarray,
        n_parts: int = 1,
        contributions: Contributions | None = None,
    ) -> Decoder:
        """Scaled forecasts from row on of the given series; ``data`` is the panel on the device."""
        patch_length = self.features.patch_length
        runs = Runs(series, rows, panel.origin, self.window_length, self.stride, patch_length)
        return Decoder(self.network, data, series, rows, runs, n_parts, contributions)

    def contributions(self, by_input: bool) -> Contributions:
        """What forecasts are explained by; with the correction divided among its inputs, or not."""
        names = ChannelNames.of(self.features, self.covariates)
        return Contributions(self.network, names, by_input)

    @enough_memory()
    def forecast(
        self,
        panel: Panel,
        series: np.ndarray,
        rows: np.ndarray,
        steps: np.ndarray,
        n_samples: int = 0,
        generator: torch.Generator | None = None,
        data: DevicePanel | None = None,
        contributions: Contributions | None = None,
    ) -> tuple[Predictive, np.ndarray]:
        """Forecast some steps ahead from many cutoffs; the one way in which anything is forecast.

        Where a batch does not fit into memory, batches of half the size are tried, and so on. Paths
        are then other draws.

        Parameters
        ----------
        panel : Panel
            Filled; it holds the rows to forecast, whose values are not read.
        series, rows : np.ndarray of shape (n,)
            Row ``rows[i]`` of series ``series[i]`` is the first that is forecast; all rows before
            it are known.
        steps : np.ndarray of shape (J,)
            Steps ahead, ascending; 1 is the row itself.
        n_samples : int, default=0
            Simulated paths, where steps are forecast one after the other; 0 for the point forecast.
        generator : torch.Generator, optional
            Random numbers of the paths.
        data : DevicePanel, optional
            The panel on the device, if it is there already.
        contributions : Contributions, optional
            What the forecasts are explained by; without simulated paths.

        Returns
        -------
        distribution : Predictive
            An `Explained` one with ``contributions``.
        parameters : np.ndarray of shape (n, J, C, K)
            Its parameters in the unit of the data.
        """
        data = self.on_device(panel) if data is None else data
        drawn = None if generator is None else generator.get_state()

        def in_batches(n_parts: int) -> tuple[Predictive, np.ndarray]:
            if generator is not None and drawn is not None:
                generator.set_state(drawn)
            decoder = self.decoder(panel, data, series, rows, n_parts, contributions)
            return self.strategy.forecast(decoder, steps, n_samples, generator)

        # Paths that are drawn from one generator are not divided among threads of our own.
        few = len(rows) * n_samples < FEWEST_DIVIDED_PATHS
        with tf32(self.allows_tf32), whole_operators() if few else nullcontext():
            distribution, parameters = in_parts(in_batches)
        if contributions is not None:
            distribution = Explained(distribution, contributions)
        positions = panel.origin[series][:, None] + rows[:, None] + steps - 1  # (n, J)
        return distribution, self.unscaled(distribution, parameters, series, positions)

    def unscaled(
        self,
        distribution: Predictive,
        parameters: np.ndarray,
        series: np.ndarray,
        positions: np.ndarray,
    ) -> np.ndarray:
        """Parameters (n, J, C, K) in the unit of the data, of series (n,) at positions (n, J)."""
        n_columns = len(self.columns)
        parameters = parameters[:, :, :n_columns].astype(np.float64)
        center, scale = self.level_and_scale(series, positions)
        return distribution.unscaled(parameters, center, scale)

    def level_and_scale(
        self, series: np.ndarray, positions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Centre, (n, J, C, 1) or (n, 1, C, 1), and scale of forecasts, in the unit of the data."""
        center, scale = (
            statistic[series][:, None, : len(self.columns), None]
            for statistic in (self.scaler.center_, self.scaler.scale_)  # type: ignore[union-attr]
        )
        if self.level_shift is not None:
            center = center - self.level_shift.before(series, positions)[..., None]
        return center, scale

    def part(self, series: slice) -> Model:
        """The model for some of its series."""
        scaler, shift = self.scaler, self.level_shift
        if shift is not None:
            shift = LevelShift(shift.since[series], shift.size[series])
        return replace(self, scaler=scaler.of(series), level_shift=shift)  # type: ignore[union-attr]

    def without_series(self) -> Model:
        """The model for other series: nothing of those that it was trained on stays."""
        return replace(self, scaler=None, level_shift=None)
