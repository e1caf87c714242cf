"""Pretraining: what a network keeps from one panel for the next series."""

from __future__ import annotations

import warnings
from typing import Any

import pandas as pd
from sktime.forecasting.base import BaseForecaster

from skrnn.contract.parameters import plain, tuple_of
from skrnn.data.covariates import Covariates
from skrnn.data.panel import Panel
from skrnn.data.scaling import Scaler
from skrnn.features.features import Features
from skrnn.network.network import RecurrentNetwork

# What pretrain leaves behind.
PRETRAINED = (
    "pretrained_network_",
    "pretrained_features_",
    "pretrained_known_scaler_",
    "pretrained_covariates_",
    "pretrained_architecture_",
    "pretrained_columns_",
    "pretrained_frequency_",
)
# What a pretrained network was built with; other values would need other weights.
ARCHITECTURE = (
    "cell",
    "strategy",
    "patch_length",
    "hidden_size",
    "num_layers",
    "sp",
    "lags",
    "calendar",
    "holidays",
    "past_covariates",
    "naive",
    "criterion",
    "quantiles",
)


class Pretraining(BaseForecaster):
    """The pretraining part of the sktime contract."""

    pretrained_network_: RecurrentNetwork
    pretrained_features_: Features
    pretrained_known_scaler_: Scaler
    pretrained_covariates_: Covariates
    pretrained_architecture_: dict[str, Any]
    pretrained_columns_: pd.Index
    pretrained_frequency_: str

    past_covariates: Any

    def _pretrain(
        self, y: pd.DataFrame, X: pd.DataFrame | None = None, fh: Any = None
    ) -> Pretraining:
        self._fit(y, X, fh)
        self._keep_as_pretrained()
        return self

    def _pretrain_update(
        self, y: pd.DataFrame, X: pd.DataFrame | None = None, fh: Any = None
    ) -> Pretraining:
        return self._pretrain(y, X, fh)

    def _keep_as_pretrained(self) -> None:
        """Move the trained network to its pretrained name; what belongs to the panel goes."""
        self.pretrained_network_ = self.network_
        self.pretrained_features_ = self._features
        self.pretrained_known_scaler_ = self._known_scaler
        self.pretrained_covariates_ = self._panel.covariates
        params = self.get_params(deep=False)
        self.pretrained_architecture_ = {n: plain(params[n]) for n in ARCHITECTURE if n in params}
        self.pretrained_columns_ = self._panel.columns
        self.pretrained_frequency_ = str(self._panel.timeline)
        for name in (
            "network_",
            "scaler_",
            "history_",
            "_panel",
            "_features",
            "_known_scaler",
            "_held_out",
        ):
            delattr(self, name)

    def _check_fits_pretrained(self, panel: Panel, horizons: tuple[int, ...] | None) -> None:
        """Raise ValueError unless the pretrained network takes this panel's channels."""
        columns = self.pretrained_columns_
        # Another y may have other names; the same names in another order are a mistake.
        shuffled = set(panel.columns) == set(columns) and not panel.columns.equals(columns)
        if len(panel.columns) != len(columns) or shuffled:
            msg = (
                f"The network was pretrained on {len(columns)} columns of y, {list(columns)}, but "
                f"fit got {len(panel.columns)}, {list(panel.columns)}. Fit on the same columns in "
                f"the same order, or `reset()` the forecaster first."
            )
            raise ValueError(msg)
        trained = self.pretrained_features_.horizons or ()
        if horizons is not None and not set(horizons) <= set(trained):
            msg = (
                f"The network was pretrained to forecast the steps {list(trained)}, but fh asks "
                f"for {list(horizons)}. Pretrain with these, or leave fh as it was."
            )
            raise ValueError(msg)
        if str(panel.timeline) != self.pretrained_frequency_:
            warnings.warn(
                f"The network was pretrained on series of frequency {self.pretrained_frequency_}, "
                f"but y has {panel.timeline!s}: its seasonal periods are counted in those steps.",
                stacklevel=2,
            )
        for name, value in self.pretrained_architecture_.items():
            if plain(getattr(self, name)) != value:
                msg = (
                    f"The network was pretrained with {name}={value!r}, but the parameter is "
                    f"{getattr(self, name)!r} now. Set it back, or `reset()` the forecaster and "
                    f"fit anew."
                )
                raise ValueError(msg)

    def set_params(self, **params: Any) -> Pretraining:
        """Set parameters; a fitted forecaster must be fitted again, pretrained weights stay.

        Without them, ``set_params(num_epochs=0)`` after `pretrain` would forecast with a network
        that has learnt nothing.
        """
        kept = {name: getattr(self, name) for name in PRETRAINED if hasattr(self, name)}
        try:
            super().set_params(**params)
        finally:  # sktime resets before it refuses an unknown name
            if kept and params:
                self.__dict__ |= kept | {"_pretrained_attrs": list(kept), "_state": "pretrained"}
        return self

    def _covariates_of(self, X: pd.DataFrame | None) -> Covariates:
        """What the columns of X are; a pretrained network has seen that already."""
        if not hasattr(self, "pretrained_covariates_"):
            return Covariates.of(X, tuple_of(self.past_covariates, auto=()))
        expected = self.pretrained_covariates_.columns
        came = expected[:0] if X is None else X.columns
        if not came.equals(expected):
            msg = (
                f"The network was pretrained with X of columns {list(expected)}, but fit got "
                f"{list(came)}. Fit on the same columns in the same order, or `reset()` the "
                f"forecaster first."
            )
            raise ValueError(msg)
        return self.pretrained_covariates_
