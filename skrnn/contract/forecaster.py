"""The sktime contract over the way of the data: fit, predict, update, pretrain."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.utils import Tags, TargetTags
from sklearn.utils.metaestimators import available_if
from sktime.forecasting.base import ForecastingHorizon
from torch import nn

from skrnn.callbacks import Callback, ProgressBar, StopAfter
from skrnn.contract.parameters import check_parameters, named, tuple_of
from skrnn.contract.pretraining import Pretraining
from skrnn.data.diagnosis import explain_refusal
from skrnn.data.holidays import Holidays
from skrnn.data.panel import Panel
from skrnn.data.ragged import evenly_spaced, numbered, series_offsets
from skrnn.data.scaling import Scaler
from skrnn.distributions import DISTRIBUTIONS, distribution_of
from skrnn.features.features import (
    Features,
    calendar_cycle,
    calendar_fields,
    level_period,
    naive_names,
    seasonal_periods,
)
from skrnn.features.naive import NaiveForecasts
from skrnn.forecasting.forecasting import Forecasting
from skrnn.network.devices import resolve_device, seeded
from skrnn.network.network import RecurrentNetwork
from skrnn.training.chunks import Chunks, DevicePanel
from skrnn.training.trainer import OPTIMIZERS, SCHEDULERS, Trainer, planned_epochs

# Forecasts of which the validation loss is the mean: enough to know it, in less time than an epoch.
MOST_VALIDATED = 1_000_000


class BaseRecurrentForecaster(Forecasting, Pretraining):
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
        "capability:pred_int": True,
        "capability:pred_int:insample": True,
        "capability:missing_values": True,
        "capability:categorical_in_X": True,
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

    def __init__(
        self,
        strategy: str = "recursive",
        window_length: int = 192,
        patch_length: int = 1,
        hidden_size: int = 128,
        num_layers: int = 1,
        dropout: float = 0.0,
        sp: int | Sequence[int] | str | None = "auto",
        lags: int | Sequence[int] | str | None = "auto",
        calendar: Sequence[str] | str | None = "auto",
        holidays: str | Sequence[Any] | None = None,
        past_covariates: Sequence[Any] | None = None,
        scaler: str | None = "standard",
        naive: Sequence[str] | str | None = "auto",
        criterion: str | nn.Module = "mae",
        quantiles: Sequence[float] = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95),
        n_samples: int = 200,
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
        precision: str = "float32",
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
        callbacks: Sequence[Callback] | None = None,
    ):
        self.strategy = strategy
        self.window_length = window_length
        self.patch_length = patch_length
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.dropout = dropout
        self.sp = sp
        self.lags = lags
        self.calendar = calendar
        self.holidays = holidays
        self.past_covariates = past_covariates
        self.scaler = scaler
        self.naive = naive
        self.criterion = criterion
        self.quantiles = quantiles
        self.n_samples = n_samples
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
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks
        super().__init__()
        ahead = isinstance(strategy, str) and strategy == "multioutput"
        probabilistic = isinstance(criterion, str) and criterion in DISTRIBUTIONS
        pred_int = probabilistic or validation_split is not None
        self.set_tags(
            **{
                "requires-fh-in-fit": ahead,
                "capability:pred_int": pred_int,
                "capability:pred_int:insample": pred_int,
            }
        )

    # ------------------------------------------------------------------ fit

    def _fit(self, y: pd.DataFrame, X: pd.DataFrame | None, fh: Any) -> BaseRecurrentForecaster:
        check_parameters(type(self).__name__, self.get_params(deep=False))
        device = resolve_device(self.device)
        pretrained = getattr(self, "pretrained_network_", None)
        covariates = self._covariates_of(X)
        panel = Panel.from_pandas(y, X, covariates).trim_leading_missing()
        stop = self._training_stop(panel)
        self._check_lengths(panel.cut(stop))
        horizons = self._horizons(panel, fh)
        trained = panel.cut(stop)
        self.scaler_ = Scaler(self.scaler).fit(trained.values, trained.series_of_rows())
        with seeded(self.random_state, device) as rng:
            if pretrained is None:
                self._build(trained, horizons, device)
            else:
                self._check_fits_pretrained(panel, horizons)
                self._features = self.pretrained_features_
                self._known_scaler = self.pretrained_known_scaler_
                self.network_ = copy.deepcopy(pretrained).to(device)
                self.network_.set_dropout(self.dropout)
            panel = panel.filled(self._features.seasons)
            self._train(panel, stop, device, rng, fresh=pretrained is None)
        self._panel = panel
        # Timeline positions that validation held out, of each series.
        self._held_out = np.stack([panel.origin + stop, panel.end])
        return self

    def _horizons(self, panel: Panel, fh: ForecastingHorizon | None) -> tuple[int, ...] | None:
        """Steps ahead that the network forecasts at once; None for one after the other.

        Those of a relative horizon; all up to the last of an absolute one, for an update makes
        them fewer. Steps up to the cutoff are forecast one step ahead.
        """
        if self.strategy == "recursive":
            return None
        if fh is None:
            if hasattr(self, "pretrained_features_"):
                return self.pretrained_features_.horizons
            msg = (
                f"{type(self).__name__} with strategy='multioutput' needs fh in fit, for the "
                f"network has an output for every step, but fh is None. Pass it: fit(y, fh=...)."
            )
            raise ValueError(msg)
        steps = np.unique(self._steps_ahead(panel, fh))
        last = int(steps.max())
        if last >= panel.lengths.max():
            msg = (
                f"strategy='multioutput' must see a target {last} steps ahead in some series, but "
                f"the longest has {panel.lengths.max()} observations. Shorten fh, pass longer "
                f"series, or set strategy='recursive'."
            )
            raise ValueError(msg)
        if not fh.is_relative:
            return tuple(range(1, max(1, last) + 1))
        return tuple(int(h) for h in np.unique(np.maximum(steps, 1)))

    def _build(self, panel: Panel, horizons: tuple[int, ...] | None, device: torch.device) -> None:
        """Choose the features from the data and make an untrained network."""
        sp = seasonal_periods(self.sp, panel)
        calendar = calendar_fields(self.calendar, panel)
        covariates = panel.covariates
        self._features = Features(
            sp=sp,
            lags=tuple_of(self.lags, auto=sp),
            naive=tuple_of(self.naive, auto=naive_names(sp)),
            calendar=calendar,
            holidays=None if self.holidays is None else Holidays(self.holidays),
            n_columns=len(panel.columns),
            n_past=len(covariates.past),
            n_numbers=int(covariates.numbers.sum()),
            sizes=covariates.sizes,
            missing=panel.observed is not None and not panel.observed.all(),
            horizons=horizons,
            patch_length=self.patch_length,
            level_period=level_period(panel),
            cycle=calendar_cycle(calendar, panel),
        )
        # X is scaled over all series alike: a column that is constant in each tells them apart.
        self._known_scaler = Scaler("standard" if self.scaler else None).fit(
            panel.known[:, covariates.numbers], np.zeros(len(panel.values), dtype=np.int64)
        )
        self.network_ = RecurrentNetwork(
            self._features,
            distribution_of(self.criterion, self.quantiles),
            self._cell(),
            self.hidden_size,
            self.num_layers,
            self.dropout,
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
        trainer = self._trainer(chunks, self.lr)
        if fresh:
            self._start(trainer, data, stop, rng)
        if self.validation_split is not None:
            trainer.validate = self._validation(panel, data, stop)
        num_epochs = self._num_epochs(chunks)
        if num_epochs:
            self.network_.seen += chunks.n_observations
            schedule = named(self.lr_scheduler, SCHEDULERS)
            if schedule is not None:
                trainer.scheduler = schedule(trainer.optimizer, num_epochs * len(chunks))
            trainer.fit(num_epochs)

    def _start(
        self, trainer: Trainer, data: DevicePanel, stop: np.ndarray, rng: np.random.Generator
    ) -> None:
        """Let training start from the naive forecasts that do best on the training range."""
        error = self.network_.naive_forecasts.errors(trainer.chunks.epoch())
        season = None
        if self._features.candidates and not self._features.horizons:
            features = self._features.over_a_season()
            naive_forecasts = NaiveForecasts(features).to(data.device)
            # Short chunks, so that a few batches hold many seasons of many series.
            (own,), views = rng.spawn(1), len(features.ahead)
            chunks = Chunks(data.looking(features), stop, 32, 16, "dense", own, views=views)
            season = naive_forecasts.errors(chunks.epoch(), pooled=True)
        self.network_.start_from(error, season, trainer.trust)

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
            optimizer=make(self.network_.parameters(), lr=lr, **(self.optimizer_kwargs or {})),
            max_grad_norm=self.max_grad_norm,
            callbacks=[*(self.callbacks or []), *([ProgressBar()] if self.verbose else [])],
            history=self.history_.to_dict("records"),
            patience=self.patience,
            precision=self.precision,
        )

    def _validation(self, panel: Panel, data: DevicePanel, stop: np.ndarray) -> Callable[[], float]:
        """Mean loss over the end of each series, as forecasts are made later."""
        series, k = numbered(panel.lengths - stop)
        kept = evenly_spaced(len(series), MOST_VALIDATED // len(self._features.ahead))
        series, cutoff = series[kept], (stop[series] + k)[kept]
        there, t = (torch.from_numpy(part).to(data.device) for part in (series, cutoff))
        target, observed = data.targets(there, t[:, None])  # (n, 1, J, C)
        inside = t[:, None] + data.ahead_by <= data.last[there][:, None]  # (n, J)
        inside = inside[:, None, :, None].expand_as(target)
        weight = (inside if observed is None else inside & observed).to(target.dtype)
        if not weight.any():
            msg = (
                f"validation_split={self.validation_split} must hold out an observation, but all "
                f"that it holds out are missing. Raise it, or pass None."
            )
            raise ValueError(msg)

        def validate() -> float:
            made = torch.from_numpy(self._decode(panel, data, series, cutoff)).to(target.device)
            return self.network_.loss(made[:, None], target, weight).item()

        return validate

    # --------------------------------------------------------------- update

    def _update(
        self, y: pd.DataFrame, X: pd.DataFrame | None = None, update_params: bool = True
    ) -> BaseRecurrentForecaster:
        panel = self._panel
        panel.covariates.check(X)
        new = Panel.from_pandas(y, X, panel.covariates, panel.timeline)
        before = panel.end
        self._panel = panel.updated(new).filled(self._features.seasons)
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
                self.network_.seen += int(n_new.sum())
                chunks = self._chunks(data, panel.lengths, rng, since)
                trainer = self._trainer(chunks, self.lr / 10)
                trainer.callbacks.append(StopAfter(steps))
                trainer.fit(-(-steps // len(chunks)))

    def _check_X_y(self, X: Any = None, y: Any = None, **options: Any) -> Any:
        try:
            return super()._check_X_y(X=X, y=y, **options)
        except (TypeError, ValueError) as error:
            # Where the package's own checks refuse the data too, they name the column or series,
            # the row and the way out.
            explain_refusal(y, X, tuple_of(self.past_covariates, auto=()), error)
            raise

    def _update_y_X(self, y: Any, X: Any = None, **options: Any) -> None:
        super()._update_y_X(y, X, **options)
        if y is not None:
            # sktime 1.0 moves the cutoff only where it remembers the data itself.
            self._set_cutoff_from_y(y)

    def _set_cutoff_from_y(self, y: Any) -> None:
        """Set the cutoff from the last rows: sktime copies the whole index of a panel for it."""
        if isinstance(y, pd.DataFrame) and len(y):
            y = y.iloc[series_offsets(y.index)[1:] - 1]
        super()._set_cutoff_from_y(y)

    def _check_lengths(self, panel: Panel) -> None:
        counts = panel.lengths
        if panel.observed is not None:
            observed = panel.observed[:, : len(panel.columns)]
            counts = np.add.reduceat(observed.astype(np.int64), panel.offsets[:-1]).min(axis=1)
        short = np.flatnonzero(counts < 2)
        if len(short):
            s = short[0]
            msg = (
                f"Series {panel.label(s)} must have at least 2 observations to train on, but it "
                f"has {counts[s]}. Drop it or lengthen it."
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
        ahead = small | {"strategy": "multioutput"}
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
                "validation_split": 0.4,
                "patience": 1,
            },
            small | {"criterion": "quantile", "n_samples": 20, "sp": 3},
            small | {"criterion": "studentt", "n_samples": 20, "lr_scheduler": "plateau"},
            ahead | {"criterion": "huber", "validation_split": 0.4, "sp": 3},
            ahead | {"criterion": "normal", "patch_length": 2, "holidays": ["2000-01-01"]},
            ahead | {"criterion": "quantile", "quantiles": [0.1, 0.9], "naive": None},
        ]
