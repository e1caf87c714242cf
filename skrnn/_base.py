"""The sktime contract over the way of the data: fit, predict, update, pretrain."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.utils import Tags, TargetTags
from sklearn.utils.metaestimators import available_if
from sktime.forecasting.base import BaseForecaster, ForecastingHorizon
from torch import nn

from skrnn import _decoding
from skrnn._chunks import Chunks, DevicePanel
from skrnn._device import resolve_device, seeded
from skrnn._features import NAIVE, Features, calendar_fields, seasonal_periods
from skrnn._networks import RecurrentNetwork
from skrnn._panel import Panel, check_covariate_columns, explain, numbered, rows_of
from skrnn._parameters import check_parameters, named, plain, tuple_of
from skrnn._scaling import Scaler
from skrnn._training import CRITERIA, OPTIMIZERS, SCHEDULERS, Trainer, mean_loss, planned_epochs
from skrnn.callbacks import Callback, ProgressBar, StopAfter

# What pretrain leaves behind.
PRETRAINED = (
    "pretrained_network_",
    "pretrained_features_",
    "pretrained_covariate_scaler_",
    "pretrained_architecture_",
    "pretrained_columns_",
    "pretrained_frequency_",
)
# What a pretrained network was built with; other values would need other weights.
ARCHITECTURE = ("cell", "hidden_size", "num_layers", "sp", "lags", "calendar", "naive")


class BaseRecurrentForecaster(BaseForecaster):
    """What `GRUForecaster`, `LSTMForecaster` and `RNNForecaster` share: everything but the cell."""

    _tags = {
        "authors": ["skrnn developers"],
        "maintainers": ["skrnn developers"],
        "python_dependencies": ["torch"],
        "y_inner_mtype": ["pd.DataFrame", "pd-multiindex", "pd_multiindex_hier"],
        "X_inner_mtype": ["pd.DataFrame", "pd-multiindex", "pd_multiindex_hier"],
        "capability:multivariate": True,
        "capability:exogenous": True,
        "capability:insample": True,
        "capability:pred_int": False,
        "capability:missing_values": False,
        "capability:categorical_in_X": False,
        # Each step of a recursive forecast needs its own X.
        "capability:non_contiguous_X": False,
        "capability:unequal_length": True,
        "capability:update": True,
        "capability:pretrain": True,
        "capability:random_state": True,
        "requires-fh-in-fit": False,
    }
    # The forecaster keeps its own context, so sktime need not keep a second copy.
    _config = {"remember_data": False}
    _y = _X = None
    # scikit-learn's searches set this on a clone and delete it after `fit`, which resets instances.
    _parent_callback_ctx = None

    pretrained_network_: RecurrentNetwork
    pretrained_features_: Features
    pretrained_covariate_scaler_: Scaler
    pretrained_architecture_: dict[str, Any]
    pretrained_columns_: tuple[pd.Index, pd.Index]
    pretrained_frequency_: str

    def __init__(
        self,
        window_length: int = 192,
        hidden_size: int = 128,
        num_layers: int = 1,
        dropout: float = 0.0,
        sp: int | Sequence[int] | str | None = "auto",
        lags: int | Sequence[int] | str | None = "auto",
        calendar: Sequence[str] | str | None = "auto",
        scaler: str | None = "standard",
        naive: Sequence[str] | str | None = "auto",
        criterion: str | nn.Module = "mae",
        optimizer: str | Callable = "adamw",
        optimizer_kwargs: dict[str, Any] | None = None,
        lr: float = 4e-3,
        lr_scheduler: str | Callable | None = "one_cycle",
        num_epochs: int | str = "auto",
        batch_size: int = 16,
        max_grad_norm: float | None = 1.0,
        supervision: str = "dense",
        validation_split: float | None = None,
        patience: int | None = None,
        device: str | torch.device = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
        callbacks: Sequence[Callback] | None = None,
    ):
        self.window_length = window_length
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.dropout = dropout
        self.sp = sp
        self.lags = lags
        self.calendar = calendar
        self.scaler = scaler
        self.naive = naive
        self.criterion = criterion
        self.optimizer = optimizer
        self.optimizer_kwargs = optimizer_kwargs
        self.lr = lr
        self.lr_scheduler = lr_scheduler
        self.num_epochs = num_epochs
        self.batch_size = batch_size
        self.max_grad_norm = max_grad_norm
        self.supervision = supervision
        self.validation_split = validation_split
        self.patience = patience
        self.device = device
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks
        super().__init__()

    # ------------------------------------------------------------------ fit

    def _fit(self, y: pd.DataFrame, X: pd.DataFrame | None, fh: Any) -> BaseRecurrentForecaster:
        check_parameters(type(self).__name__, self.get_params(deep=False))
        device = resolve_device(self.device)
        panel = Panel.from_pandas(y, X)
        self._check_lengths(panel)
        pretrained = getattr(self, "pretrained_network_", None)
        stop = self._training_stop(panel)
        trained = panel.cut(stop)
        self.scaler_ = Scaler(self.scaler).fit(trained.values, trained.series_of_rows())
        with seeded(self.random_state, device) as rng:
            if pretrained is None:
                self._build(trained, device)
            else:
                self._check_fits_pretrained(panel)
                self._features = self.pretrained_features_
                self._covariate_scaler = self.pretrained_covariate_scaler_
                self.network_ = copy.deepcopy(pretrained).to(device)
                self.network_.set_dropout(self.dropout)
            self._train(panel, stop, device, rng, fresh=pretrained is None)
        self._panel = panel
        return self

    def _build(self, panel: Panel, device: torch.device) -> None:
        """Choose the features from the data and make an untrained network."""
        sp = seasonal_periods(self.sp, panel)
        self._features = Features(
            sp=sp,
            lags=tuple_of(self.lags, auto=sp),
            naive=tuple_of(self.naive, auto=NAIVE),
            calendar=calendar_fields(self.calendar, panel),
            n_columns=len(panel.columns),
            n_covariates=len(panel.covariate_columns),
        )
        # X is scaled over all series alike: a column that is constant in each tells them apart.
        self._covariate_scaler = Scaler("standard" if self.scaler else None).fit(
            panel.covariates, np.zeros(len(panel.values), dtype=np.int64)
        )
        self.network_ = RecurrentNetwork(
            self._features, self._cell(), self.hidden_size, self.num_layers, self.dropout
        ).to(device)

    def _cell(self) -> str:
        """Name of the recurrent cell, a key of `CELLS`."""
        raise NotImplementedError("abstract method")

    def _train(
        self,
        panel: Panel,
        stop: np.ndarray,
        device: torch.device,
        rng: np.random.Generator,
        fresh: bool,
    ) -> None:
        """Put the panel on the device, draw chunks of the rows before ``stop`` and train."""
        self.history_ = pd.DataFrame()
        data = self._on_device(panel, device)
        chunks = self._chunks(data, stop, rng)
        if fresh:
            self.network_.start_from(chunks.epoch())
        trainer = self._trainer(chunks, self.lr)
        if self.validation_split is not None:
            trainer.validate = self._validation(panel, data, stop)
        num_epochs = self._num_epochs(chunks)
        if num_epochs:
            schedule = named(self.lr_scheduler, SCHEDULERS)
            if schedule is not None:
                trainer.scheduler = schedule(trainer.optimizer, num_epochs * len(chunks))
            trainer.fit(num_epochs)

    def _training_stop(self, panel: Panel) -> np.ndarray:
        """Row of each series at which training targets end and validation targets begin."""
        if self.validation_split is None:
            return panel.lengths
        held = np.ceil(self.validation_split * panel.lengths).astype(np.int64)
        stop = np.maximum(panel.lengths - held, 2)
        if (stop == panel.lengths).all():
            msg = (
                f"validation_split={self.validation_split} must leave 2 observations to train on "
                f"and hold out at least one, but the longest series has {panel.lengths.max()}. "
                f"Pass longer series, or validation_split=None."
            )
            raise ValueError(msg)
        return stop

    def _on_device(self, panel: Panel, device: torch.device) -> DevicePanel:
        return DevicePanel(panel, self._features, self.scaler_, self._covariate_scaler, device)

    def _chunks(
        self,
        data: DevicePanel,
        stop: np.ndarray,
        rng: np.random.Generator,
        since: np.ndarray | int = 0,
    ) -> Chunks:
        return Chunks(
            data,
            stop,
            self._features.reach,
            self.window_length,
            self.batch_size,
            self.supervision,
            rng,
            since,
        )

    def _num_epochs(self, chunks: Chunks) -> int:
        if isinstance(self.num_epochs, str):
            return planned_epochs(chunks.n_targets, len(chunks))
        return self.num_epochs

    def _trainer(self, chunks: Chunks, lr: float) -> Trainer:
        make = named(self.optimizer, OPTIMIZERS)
        return Trainer(
            forecaster=self,
            network=self.network_,
            chunks=chunks,
            criterion=named(self.criterion, CRITERIA),
            optimizer=make(self.network_.parameters(), lr=lr, **(self.optimizer_kwargs or {})),
            max_grad_norm=self.max_grad_norm,
            callbacks=[*(self.callbacks or []), *([ProgressBar()] if self.verbose else [])],
            history=self.history_.to_dict("records"),
            patience=self.patience,
        )

    def _validation(self, panel: Panel, data: DevicePanel, stop: np.ndarray) -> Callable[[], float]:
        """Mean one-step loss over the end of each series, as forecasts are made later."""
        count = panel.lengths - stop
        series, k = numbered(count)
        cutoff = stop[series] + k
        target = data.values[panel.offsets[series] + cutoff]
        criterion = named(self.criterion, CRITERIA)

        def validate() -> float:
            made = self._decode(panel, data, series, cutoff)[:, 0]
            return mean_loss(criterion, torch.from_numpy(made).to(target.device), target).item()

        return validate

    def _decode(
        self,
        panel: Panel,
        data: DevicePanel,
        series: np.ndarray,
        cutoff: np.ndarray,
        horizon: int = 1,
    ) -> np.ndarray:
        """Scaled forecasts (n, H, C) of the rows from each cutoff on."""
        return _decoding.forecast(
            self.network_,
            data,
            series,
            cutoff,
            panel.origin,
            self.window_length,
            self.window_length if self.supervision == "dense" else 1,
            horizon,
        )

    # -------------------------------------------------------------- predict

    def _predict(self, fh: ForecastingHorizon, X: pd.DataFrame | None) -> pd.DataFrame:
        check_covariate_columns(X, self._panel.covariate_columns, self._needs_X(fh))
        wanted = self._positions(fh)  # (S, J)
        horizon = int(max(0, (wanted - self._panel.end[:, None] + 1).max()))
        future = self._future_covariates(X, horizon)  # (S, H, P)
        values = self._forecast_positions(wanted, horizon, future)  # (S, J, C)
        series = np.repeat(np.arange(self._panel.n_series), wanted.shape[1])
        index = self._panel.index(series, wanted.ravel())
        flat = values.reshape(len(index), -1)
        return pd.DataFrame(flat, index=index, columns=self._panel.columns)

    def _positions(self, fh: ForecastingHorizon) -> np.ndarray:
        """Timeline positions asked for, (S, J); relative steps count from each series' end."""
        if fh.is_relative:
            steps = fh.to_pandas()
            if isinstance(steps, pd.TimedeltaIndex):
                now, after = self._panel.timeline.stamps(np.array([0, 1]))
                steps = steps // (after - now)
            return self._panel.end[:, None] - 1 + np.asarray(steps, dtype=np.int64)
        positions = self._panel.timeline.positions(fh.to_pandas())
        return np.broadcast_to(positions, (self._panel.n_series, len(positions)))

    def _needs_X(self, fh: ForecastingHorizon) -> bool:
        return bool((self._positions(fh) >= self._panel.end[:, None]).any())

    def _future_covariates(self, X: pd.DataFrame | None, horizon: int) -> np.ndarray:
        """Rows of X after each series' end, (S, H, P)."""
        panel = self._panel
        shape = (panel.n_series, horizon, len(panel.covariate_columns))
        if not np.prod(shape):
            return np.zeros(shape)
        series = np.repeat(np.arange(panel.n_series), horizon)
        positions = panel.end[:, None] + np.arange(horizon)
        return rows_of(X, panel.index(series, positions.ravel())).reshape(shape)

    def _forecast_positions(
        self, wanted: np.ndarray, horizon: int, future: np.ndarray
    ) -> np.ndarray:
        """Forecasts at timeline positions, (S, J, C): one step ahead up to the cutoff, then on.

        The first observation of a series has no past to be forecast from: NaN.
        """
        # Only the rows that the runs to the earliest position reach are scaled and moved.
        earliest = int((self._panel.end[:, None] - wanted).max())
        rows = 2 * self.window_length + self._features.reach + max(0, earliest)
        panel = self._panel.tail(rows)
        data = self._on_device(panel.extended(horizon, future), self._forecast_device())
        result = np.full((*wanted.shape, len(panel.columns)), np.nan)

        row = wanted - panel.origin[:, None]  # (S, J)
        inside = (row > 0) & (wanted < panel.end[:, None])
        if inside.any():
            series, j = np.nonzero(inside)
            made = self._decode(panel, data, series, row[inside])[:, 0]
            result[series, j] = self.scaler_.inverse(made, series)
        if horizon:
            every = np.arange(panel.n_series)
            made = self._decode(panel, data, every, panel.lengths, horizon)  # (S, H, C)
            made = self.scaler_.inverse(made, every)
            series, j = np.nonzero(wanted >= panel.end[:, None])
            result[series, j] = made[series, (wanted - panel.end[:, None])[series, j]]
        return result

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

    # --------------------------------------------------------------- update

    def _update(
        self, y: pd.DataFrame, X: pd.DataFrame | None = None, update_params: bool = True
    ) -> BaseRecurrentForecaster:
        check_covariate_columns(X, self._panel.covariate_columns)
        new = Panel.from_pandas(y, X, timeline=self._panel.timeline)
        before = self._panel.end
        self._panel = self._panel.updated(new)
        if update_params:
            self._continue_training(np.maximum(self._panel.end - before, 0))
        return self

    def _continue_training(self, n_new: np.ndarray) -> None:
        """Train on from the present weights, as many steps as the new observations are worth.

        The steps that `fit` would plan for all the data, times the share of it that is new, at a
        tenth of the learning rate; on the new rows of each series, ``n_new`` of shape (S,), and a
        window before them.
        """
        device, panel = resolve_device(self.device), self._panel
        n_new = n_new if n_new.any() else np.ones_like(n_new)  # old rows may have been revised
        since = panel.lengths - np.where(n_new > 0, n_new + self.window_length, 0)
        with seeded(self.random_state, device) as rng:
            self.network_.to(device)
            data = self._on_device(panel, device)
            whole = self._chunks(data, panel.lengths, rng)
            planned = self._num_epochs(whole) * len(whole)
            steps = int(np.ceil(planned * n_new.sum() / len(panel.values)))
            if steps:
                chunks = self._chunks(data, panel.lengths, rng, since)
                trainer = self._trainer(chunks, self.lr / 10)
                trainer.callbacks.append(StopAfter(steps))
                trainer.fit(-(-steps // len(chunks)))

    # ------------------------------------------------------------- pretrain

    def _pretrain(
        self, y: pd.DataFrame, X: pd.DataFrame | None = None, fh: Any = None
    ) -> BaseRecurrentForecaster:
        self._fit(y, X, fh)
        self._keep_as_pretrained()
        return self

    def _pretrain_update(
        self, y: pd.DataFrame, X: pd.DataFrame | None = None, fh: Any = None
    ) -> BaseRecurrentForecaster:
        return self._pretrain(y, X, fh)

    def _keep_as_pretrained(self) -> None:
        """Move the trained network to its pretrained name; what belongs to the panel goes."""
        self.pretrained_network_ = self.network_
        self.pretrained_features_ = self._features
        self.pretrained_covariate_scaler_ = self._covariate_scaler
        params = self.get_params(deep=False)
        self.pretrained_architecture_ = {n: plain(params[n]) for n in ARCHITECTURE if n in params}
        self.pretrained_columns_ = (self._panel.columns, self._panel.covariate_columns)
        self.pretrained_frequency_ = str(self._panel.timeline)
        for name in ("network_", "scaler_", "history_", "_panel", "_features", "_covariate_scaler"):
            delattr(self, name)

    def _check_fits_pretrained(self, panel: Panel) -> None:
        """Raise ValueError unless the pretrained network takes this panel's channels."""
        features = self.pretrained_features_
        columns, covariate_columns = self.pretrained_columns_
        came = (len(panel.columns), len(panel.covariate_columns))
        # Another y may have other names; the same names in another order are a mistake.
        shuffled = set(panel.columns) == set(columns) and not panel.columns.equals(columns)
        same_X = panel.covariate_columns.equals(covariate_columns)
        if came != (features.n_columns, features.n_covariates) or shuffled or not same_X:
            msg = (
                f"The network was pretrained on {features.n_columns} columns of y and "
                f"{features.n_covariates} of X, {list(columns)} and {list(covariate_columns)}, but "
                f"fit got {came[0]} and {came[1]}, {list(panel.columns)} and "
                f"{list(panel.covariate_columns)}. Fit on the same columns in the same order, or "
                f"`reset()` the forecaster first."
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

    def set_params(self, **params: Any) -> BaseRecurrentForecaster:
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

    def _check_X_y(self, X: Any = None, y: Any = None, **options: Any) -> Any:
        try:
            return super()._check_X_y(X=X, y=y, **options)
        except (TypeError, ValueError) as error:
            # Where the package's own checks refuse the data too, they name the column or series,
            # the row and the way out.
            explain(y, X, error)
            raise

    def _update_y_X(self, y: Any, X: Any = None, **options: Any) -> None:
        super()._update_y_X(y, X, **options)
        if y is not None:
            # sktime 1.0 moves the cutoff only where it remembers the data itself.
            self._set_cutoff_from_y(y)

    def _check_lengths(self, panel: Panel) -> None:
        short = np.flatnonzero(panel.lengths < 2)
        if len(short):
            msg = (
                f"Series {panel.label(short[0])} has {panel.lengths[short[0]]} observation, but "
                f"at least 2 are needed to train. Drop it or lengthen it."
            )
            raise ValueError(msg)

    # -------------------------------------------------- scikit-learn, pickle

    @available_if(lambda self: self.is_fitted)
    def score(self, y: Any, X: Any = None, fh: Any = None) -> float:
        """Mean absolute percentage error of the forecast, as of every sktime forecaster.

        It is an error, and scikit-learn's searches maximise `score`: an unfitted forecaster has
        none, so that a search without ``scoring=`` is refused instead of choosing the worst.

        Parameters
        ----------
        y : pd.Series or pd.DataFrame
            Observations at the horizon.
        X : pd.DataFrame, optional
            Covariates up to the end of the horizon.
        fh : int, list or ForecastingHorizon, optional
            Steps to forecast; by default those given in `fit`.

        Returns
        -------
        float
            Fraction, not percent.
        """
        return super().score(y, X, fh)

    def __sklearn_tags__(self) -> Tags:
        """Tags by which scikit-learn's searches know what they hold."""
        return Tags(estimator_type=None, target_tags=TargetTags(required=False))

    def __sklearn_clone__(self) -> BaseRecurrentForecaster:
        """Clone as sktime does: parameters, configuration and pretrained weights."""
        return self.clone()

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the network on the CPU, so that it loads on a machine without the device."""
        state = self.__dict__.copy()
        for name in ("network_", "pretrained_network_"):
            if name in state and next(state[name].parameters()).device.type != "cpu":
                state[name] = copy.deepcopy(state[name]).cpu()
        return state

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Small settings that train in a fraction of a second, for sktime's test suites.

        Parameters
        ----------
        parameter_set : str, default="default"
            Not used; there is one set.

        Returns
        -------
        list of dict
            Parameters of test instances.
        """
        small = {"hidden_size": 4, "num_epochs": 2, "window_length": 8, "random_state": 0}
        return [
            small,
            small
            | {
                "window_length": 5,
                "num_layers": 2,
                "dropout": 0.1,
                "sp": 3,
                "lags": [2, 3],
                "calendar": None,
                "scaler": "minmax",
                "naive": None,
                "criterion": "mse",
                "optimizer": "adam",
                "lr_scheduler": None,
                "supervision": "last",
                "validation_split": 0.2,
                "patience": 1,
            },
        ]
