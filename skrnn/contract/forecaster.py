"""The forecaster: sktime's contract as tables of contents over a fitted model."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import torch
from sklearn.utils import Tags, TargetTags
from sklearn.utils.metaestimators import available_if
from sktime.forecasting.base import BaseForecaster, ForecastingHorizon
from torch import nn

from skrnn.callbacks import Callback
from skrnn.contract import local
from skrnn.contract.attributes import of_fitted
from skrnn.contract.blocks import (
    predictions,
    refuse_covariates_beside,
    refuse_file_in_update,
    refuse_local,
    write_parquet,
)
from skrnn.contract.checkpoints import Checkpoint
from skrnn.contract.ensembles import (
    all_starts,
    history_of,
    num_epochs_of,
    train_all,
    train_all_on,
)
from skrnn.contract.exports import export
from skrnn.contract.fitting import fitted_of, read, untrained
from skrnn.contract.horizons import steps_ahead
from skrnn.contract.intervals import need_skpro, needs_distribution, refuse_covariances
from skrnn.contract.parameters import (
    DEFAULT_QUANTILES,
    check_parameters,
    renamed,
    tuple_of,
)
from skrnn.contract.persistence import copied, pickled, put_back
from skrnn.contract.shards import whole
from skrnn.contract.summary import naive_table, summary_table
from skrnn.contract.tags import TAGS, contract_settings, tags_of
from skrnn.data.diagnosis import explain_refusal
from skrnn.data.outliers import warn_of_outliers
from skrnn.data.ragged import series_offsets
from skrnn.files.panel_file import PanelFile, head_of
from skrnn.forecasting.ensemble import AnyModel
from skrnn.forecasting.fitted import Fitted
from skrnn.forecasting.local import LocalFitted
from skrnn.network.devices import resolve_device
from skrnn.network.randomness import RandomStreams
from skrnn.training.processes import Processes


class BaseRecurrentForecaster(BaseForecaster):
    """What `GRUForecaster`, `LSTMForecaster` and `RNNForecaster` share: everything but the cell."""

    _tags = TAGS
    # The forecaster keeps its own context, so sktime need not keep a second copy.
    _config = {"remember_data": False}
    _y = _X = None
    # scikit-learn's searches set this on a clone and delete it after `fit`, which resets instances.
    _parent_callback_ctx = None
    # Searches, evaluations and pipelines fit clones; an interrupt is meant for them (decision 14).
    _is_clone = False

    fitted_: Fitted | LocalFitted
    history_: pd.DataFrame
    num_epochs_: int | pd.Series
    pretrained_model_: AnyModel

    def __init__(
        self,
        strategy: str = "recursive",
        window_length: int = 192,
        patch_length: int = 1,
        hidden_size: int | str = "auto",
        num_layers: int = 1,
        dropout: float = 0.0,
        sp: int | Sequence[int] | str | None = "auto",
        lags: int | Sequence[int] | str | None = "auto",
        calendar: Sequence[str] | str | None = "auto",
        holidays: str | Sequence[Any] | None = None,
        past_covariates: Sequence[Any] | None = None,
        scaler: str | None = "standard",
        naive: Sequence[Any] | str | None = "auto",
        linear_lags: int | Sequence[int] | str | None = "auto",
        criterion: str | nn.Module = "mae",
        quantiles: Sequence[float] = DEFAULT_QUANTILES,
        n_samples: int = 200,
        forecast_range: Sequence[float | None] | str | None = "auto",
        optimizer: str | Callable = "adamw",
        optimizer_kwargs: dict[str, Any] | None = None,
        lr: float = 4e-3,
        lr_scheduler: str | Callable | None = "one_cycle",
        num_epochs: int | str = "auto",
        batch_size: int = 16,
        max_grad_norm: float | None = 1.0,
        supervision: str = "dense",
        validation_split: float | str | None = "auto",
        patience: int | None = None,
        device: str | torch.device = "auto",
        precision: str = "float32",
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
        callbacks: Sequence[Callback] | None = None,
        checkpoint: str | os.PathLike | None = None,
        checkpoint_seconds: float = 60.0,
        pooling: str = "global",
        n_estimators: int = 1,
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
        self.linear_lags = linear_lags
        self.criterion = criterion
        self.quantiles = quantiles
        self.n_samples = n_samples
        self.forecast_range = forecast_range
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
        self.checkpoint = checkpoint
        self.checkpoint_seconds = checkpoint_seconds
        self.pooling = pooling
        self.n_estimators = n_estimators
        super().__init__()

    def __init_subclass__(cls, **options: Any) -> None:
        """Give each class an ``__init__`` of its own name, which Python's messages show."""
        super().__init_subclass__(**options)
        if "__init__" not in vars(cls):
            cls.__init__ = renamed(cls.__init__, f"{cls.__qualname__}.__init__")  # type: ignore[method-assign]

    def __dynamic_tags__(self) -> None:
        """Tags that depend on parameters; sktime calls this when the object is made."""
        self.set_tags(**tags_of(self))

    def _cell(self) -> str | Callable[..., nn.Module]:
        """The recurrent cell: a key of `CELLS`, or what makes one."""
        raise NotImplementedError("abstract method")

    @torch.inference_mode(False)
    @torch.enable_grad()
    def _fit(self, y: pd.DataFrame, X: pd.DataFrame | None, fh: Any) -> BaseRecurrentForecaster:
        check_parameters(type(self).__name__, self.get_params(deep=False))
        resolve_device(self.device)  # before the data are read
        pretrained = getattr(self, "pretrained_model_", None)
        file = self._taken_file()
        if file is not None:
            refuse_local(self)
            self._fit_one(file, None, fh, pretrained)
            self._set_cutoff_from_fitted()
            return self
        if self.pooling == "local" and isinstance(y.index, pd.MultiIndex):
            self.fitted_, records = local.fit_each(self, y, X, fh, pretrained)
            self.history_ = local.histories(self.fitted_, records)
            self.num_epochs_ = local.num_epochs(self.fitted_, records)
            return self
        return self._fit_one(y, X, fh, pretrained)

    def _fit_one(
        self,
        y: pd.DataFrame | PanelFile,
        X: pd.DataFrame | None,
        fh: Any,
        pretrained: AnyModel | None,
    ) -> BaseRecurrentForecaster:
        """Fit one model to all series, those of other processes as well."""
        processes = Processes.joined()
        shard = y
        y, X = whole(processes, y, X)
        panel = read(self, y, X, pretrained)
        warn_of_outliers(panel)
        checkpoint = Checkpoint.of(self, panel, pretrained, processes)
        streams = checkpoint.streams(RandomStreams.of(self.random_state))
        start = untrained(self, panel, fh, pretrained, streams)
        starts = all_starts(self, start, pretrained)
        trained = train_all(self, starts, checkpoint, processes, pretrained is None)
        self.fitted_ = fitted_of(self, start, trained)
        self.history_ = history_of([one.record.history for one in trained])
        self.num_epochs_ = num_epochs_of([one.record for one in trained])
        checkpoint.remove()
        if y is not shard:
            self._set_cutoff_from_fitted()
        return self

    @torch.inference_mode(False)
    @torch.enable_grad()
    def _update(
        self, y: pd.DataFrame, X: pd.DataFrame | None = None, update_params: bool = True
    ) -> BaseRecurrentForecaster:
        if isinstance(self.fitted_, LocalFitted):
            fitted_each, history = local.update_each(self, y, X, update_params)
            self.fitted_, self.history_ = fitted_each, history
            self._set_cutoff_from_fitted()
            return self
        processes = Processes.joined() if update_params else Processes()
        y, X = whole(processes, y, X)
        fitted, history = self.fitted_.appended(y, X), self.history_
        if update_params:
            checkpoint = Checkpoint.of(self, fitted.panel, fitted.model, processes)
            end = self.fitted_.panel.end
            fitted, history = train_all_on(
                self, fitted, end, history, self.num_epochs_, checkpoint, processes
            )
            checkpoint.remove()
        # Nothing has changed so far: an update that fails or is refused leaves everything as it is.
        self.fitted_, self.history_ = fitted, history
        self._set_cutoff_from_fitted()
        return self

    @torch.inference_mode(False)
    @torch.enable_grad()
    def _pretrain(
        self, y: pd.DataFrame, X: pd.DataFrame | None = None, fh: Any = None
    ) -> BaseRecurrentForecaster:
        check_parameters(type(self).__name__, self.get_params(deep=False))
        file, pretrained = self._taken_file(), getattr(self, "pretrained_model_", None)
        self._fit_one(y if file is None else file, X if file is None else None, fh, pretrained)
        self.pretrained_model_ = self.fitted_.model.without_series()
        for name in ("fitted_", "history_", "num_epochs_"):
            delattr(self, name)
        return self

    _pretrain_update = _pretrain

    def _predict(self, fh: ForecastingHorizon, X: pd.DataFrame | None) -> pd.DataFrame:
        if isinstance(self.fitted_, LocalFitted):
            return local.points(self, fh, X)
        steps = steps_ahead(self.fitted_.panel, fh)
        distribution, index, parameters = self.fitted_.forecast(steps, X)
        values = distribution.point(parameters)
        return pd.DataFrame(values, index=index, columns=self.fitted_.model.columns)

    def _explained(
        self, fh: Any, X: Any, by_input: bool
    ) -> tuple[pd.Index, list[tuple[str, str]], np.ndarray]:
        fitted: Any = self.fitted_
        steps = steps_ahead(fitted.panel, self._check_fh(fh))
        return fitted.explained(steps, self._check_X_y(X=X)[0], by_input)

    def _predict_quantiles(
        self, fh: ForecastingHorizon, X: pd.DataFrame | None, alpha: Sequence[float]
    ) -> pd.DataFrame:
        columns = pd.MultiIndex.from_product([self._get_varnames(), alpha])

        def quantiles(fitted: Fitted, X: pd.DataFrame | None) -> pd.DataFrame:
            steps = steps_ahead(fitted.panel, fh)
            distribution, index, parameters = fitted.predictive(steps, X, self.n_samples)
            values = distribution.quantiles(parameters, alpha)  # (n, C, A)
            return pd.DataFrame(values.reshape(len(index), -1), index=index, columns=columns)

        return self._of_all(quantiles, X)

    def _predict_var(
        self, fh: ForecastingHorizon, X: pd.DataFrame | None = None, cov: bool = False
    ) -> pd.DataFrame:
        refuse_covariances(self, cov)

        def variances(fitted: Fitted, X: pd.DataFrame | None) -> pd.DataFrame:
            steps = steps_ahead(fitted.panel, fh)
            distribution, index, parameters = fitted.predictive(steps, X, self.n_samples)
            values = distribution.variance(parameters)
            return pd.DataFrame(values, index=index, columns=self._get_varnames())

        return self._of_all(variances, X)

    def _of_all(self, forecast: Callable, X: pd.DataFrame | None) -> pd.DataFrame:
        """What forecasts from a fitted state, of a local forecaster from that of each series."""
        if isinstance(self.fitted_, LocalFitted):
            return local.for_each(self, forecast, X)
        return forecast(self.fitted_, X)

    def _predict_proba(
        self, fh: ForecastingHorizon, X: pd.DataFrame | None, marginal: bool = True
    ) -> Any:
        need_skpro()
        if isinstance(self.fitted_, LocalFitted):
            local.refuse_distributions()
        steps = steps_ahead(self.fitted_.panel, fh)
        distribution, index, parameters = self.fitted_.predictive(steps, X, self.n_samples)
        return distribution.skpro(parameters, index=index, columns=self.fitted_.model.columns)

    predict_interval = needs_distribution(BaseForecaster.predict_interval)
    predict_quantiles = needs_distribution(BaseForecaster.predict_quantiles)
    predict_var = needs_distribution(BaseForecaster.predict_var)
    predict_proba = needs_distribution(BaseForecaster.predict_proba)

    def predict_blocks(
        self, fh: Any = None, X: pd.DataFrame | None = None
    ) -> Iterator[pd.DataFrame]:
        """Forecast as `predict` does, some series at a time, for more than memory holds.

        Parameters
        ----------
        fh : int, list, pd.Index or ForecastingHorizon, optional
            See `predict`; it is needed if `fit` had none.
        X : pd.DataFrame, optional
            See `predict`: the rows of all series.

        Yields
        ------
        pd.DataFrame
            Forecasts of the next series, in the order of `fit`. All together are those of
            `predict`.

        Raises
        ------
        sktime.exceptions.NotFittedError
            Before `fit`.

        Examples
        --------
        >>> from skrnn import GRUForecaster
        >>> from skrnn.datasets import make_hourly_load
        >>> load = make_hourly_load(n_series=2, n_hours=400, random_state=0)
        >>> forecaster = GRUForecaster(hidden_size=8, num_epochs=1, random_state=0).fit(load)
        >>> sum(len(block) for block in forecaster.predict_blocks(fh=[1, 2, 3]))
        6
        """
        self.check_is_fitted()
        return predictions(self, self._check_fh(fh), self._check_X_y(X=X)[0])

    def predict_to_parquet(
        self, path: str | os.PathLike, fh: Any = None, X: pd.DataFrame | None = None
    ) -> None:
        """Write the forecasts of `predict` to a parquet file, some series at a time.

        Parameters
        ----------
        path : str or path-like
            Where to write. A file that is there stays until the new one is whole.
        fh : int, list, pd.Index or ForecastingHorizon, optional
            See `predict`; it is needed if `fit` had none.
        X : pd.DataFrame, optional
            See `predict`: the rows of all series.

        Raises
        ------
        sktime.exceptions.NotFittedError
            Before `fit`.
        ImportError
            If pyarrow is missing: ``pip install "skrnn[parquet]"``.
        OSError
            If the file cannot be written. What was written is removed.

        Notes
        -----
        The levels of the index are columns, ``level_0``, ``level_1``, ... if they have no names.
        Periods are written as the time at which they begin.

        Examples
        --------
        >>> import tempfile
        >>> import pandas as pd
        >>> from skrnn import GRUForecaster
        >>> from skrnn.datasets import make_hourly_load
        >>> load = make_hourly_load(n_series=2, n_hours=400, random_state=0)
        >>> forecaster = GRUForecaster(hidden_size=8, num_epochs=1, random_state=0).fit(load)
        >>> path = tempfile.mkdtemp() + "/forecasts.parquet"
        >>> forecaster.predict_to_parquet(path, fh=[1, 2, 3])
        >>> pd.read_parquet(path).columns.tolist()
        ['region', 'time', 'load_mw']
        """
        write_parquet(path, self.predict_blocks(fh, X))

    def of_series(self, key: Any) -> BaseRecurrentForecaster:
        """The forecaster of one series, as if it had been fitted to that series alone.

        Parameters
        ----------
        key : label or tuple of labels
            The name of the series: its entries in the index of y, without the time.

        Returns
        -------
        BaseRecurrentForecaster
            Fitted, with the network, history and data of the series. It is a copy: an update of
            one changes nothing in the other.

        Raises
        ------
        ValueError
            If all series share one network, with ``pooling="global"``.
        KeyError
            If there is no such series.
        """
        self.check_is_fitted()
        if not isinstance(self.fitted_, LocalFitted):
            msg = (
                f"of_series needs a network for each series, but this {type(self).__name__} has "
                f"one of all. Set pooling='local' and fit on a panel."
            )
            raise ValueError(msg)
        return local.of_series(self, key)

    def summary(self) -> pd.DataFrame:
        """What was fitted: entries with their value and who chose it, the data or the user.

        Returns
        -------
        pd.DataFrame
            Index ``entry``; columns ``value`` and ``chosen`` ("auto", "given" or empty).
        """
        self.check_is_fitted()
        return summary_table(self)

    def to_onnx(
        self, path: str | os.PathLike | BinaryIO, alpha: float | Sequence[float] | None = None
    ) -> None:
        r"""Write what `predict` computes as one ONNX file, to forecast without torch or sktime.

        Scaling, gaps, calendar, the mix of naive forecasts, the recurrent layers, and with
        "recursive" the loop over the steps are operators of ONNX in the file. Before it is put in
        place, onnxruntime runs it, and its forecasts are compared with those of the forecaster.

        Parameters
        ----------
        path : str, path-like or binary file object
            Where to write. A file that is there stays until the new one has been compared.
        alpha : float or list of float, optional
            Levels of quantiles that the file forecasts as well, in (0, 1), as `predict_quantiles`
            does. With "multioutput" only, and not for ``criterion="studentt"`` or counts.

        Raises
        ------
        sktime.exceptions.NotFittedError
            Before `fit`.
        ImportError
            If onnx or onnxruntime is missing: ``pip install "skrnn[onnx]"``.
        ValueError
            If what the forecaster computes cannot be written: a cell, distribution or naive
            forecast of your own, the holidays of a country (pass their dates), quantiles of
            simulated paths, a frequency whose steps cannot be counted, or several networks, with
            ``n_estimators`` above 1. Nothing is written then.
        RuntimeError
            If the file's forecasts differ from those of the forecaster by more than 1e-5 of the
            largest forecast of a series, or of its scale. Nothing is written.
        TypeError
            If ``path`` is none of the above.
        OSError
            If the file cannot be written.

        See Also
        --------
        skrnn.save : A file that can be loaded, updated and trained on.

        Notes
        -----
        For S series, R rows of context and a forecast of the H rows after them, the inputs are

        ==================== ================ ========= ===========================================
        input                shape            type      content
        ==================== ================ ========= ===========================================
        ``y``                (S, R, columns)  float64   the latest values, NaN where missing
        ``past_covariates``  (S, R, columns)  float64   these columns of X
        ``X_numbers``        (S, R + H, ...)  float64   numeric columns of X known in advance
        ``X_categories``     (S, R + H, ...)  int64     the others: the place of each value in the
                                                        list of the metadata
        ``time``             (S, R + H)       int64     time stamps: an integer index as it is;
                                                        of dates the seconds since 1970-01-01, with
                                                        a time zone in UTC, without one as the
                                                        clock shows them; of periods their start
        ``series``           (S,)             int64     number of each series in `fit`, from 0; -1
                                                        for another series, which is scaled by its
                                                        values in ``y``
        ==================== ================ ========= ===========================================

        of which those of covariates exist only where the forecaster has them. ``forecast`` is (S,
        H, columns) with "recursive". With "multioutput" it is (S, J, columns) for the J horizons of
        `fit`, and H must be the last of them. ``quantiles`` has a last axis of levels. Both are
        float64 in the unit of y.

        All series of a call end at the same row. Shorter ones begin with NaN, and rows before the
        first value count as no rows. Any number of rows is enough for a forecast. With the
        ``context`` that the metadata give, in rows, it is that of the whole history; where values
        are missing, pass a season more.

        The metadata of the file are texts in JSON: class, parameters, versions, columns, series,
        horizons, quantiles, past_covariates, X_numbers, X_categories, time, frequency, context and
        longest_season. Quantiles that held-out errors calibrate stay as they were at the export,
        and are NaN for a series that was not in `fit`. A time zone's changes of the clock are in
        the file from 1970 to 2100.

        Examples
        --------
        >>> import tempfile
        >>> import numpy as np
        >>> import onnxruntime
        >>> from sktime.datasets import load_airline
        >>> from skrnn import GRUForecaster
        >>> y = load_airline()
        >>> forecaster = GRUForecaster(hidden_size=8, num_epochs=1, random_state=0).fit(y)
        >>> path = tempfile.mkdtemp() + "/passengers.onnx"
        >>> forecaster.to_onnx(path)
        >>> session = onnxruntime.InferenceSession(path)
        >>> months = np.arange("1949-01", "1962-01", dtype="datetime64[M]")  # and a year more
        >>> inputs = {
        ...     "y": y.to_numpy(dtype=np.float64).reshape(1, -1, 1),
        ...     "time": months.astype("datetime64[s]").astype(np.int64)[None],
        ...     "series": np.array([0]),
        ... }
        >>> (forecast,) = session.run(["forecast"], inputs)
        >>> np.allclose(forecast[0, :, 0], forecaster.predict(fh=range(1, 13)), rtol=1e-5)
        True
        """
        self.check_is_fitted()
        export(self, path, alpha)

    network_ = of_fitted(attrgetter("model.network"), "The trained network.")
    networks_ = of_fitted(
        lambda fitted: [member.network for member in fitted.model.members], "All trained networks."
    )
    scaler_ = of_fitted(attrgetter("model.scaler"), "Statistics of each series.")
    device_ = of_fitted(attrgetter("model.device"), "Device of the network.")
    hidden_size_ = of_fitted(
        lambda fitted: fitted.model.architecture["hidden_size"], "Units of each recurrent layer."
    )
    sp_ = of_fitted(attrgetter("model.features.sp"), "Seasonal periods.")
    lags_ = of_fitted(attrgetter("model.features.lags"), "Lags read beside the last value.")
    linear_lags_ = of_fitted(attrgetter("model.features.linear_lags"), "Lags of the regression.")
    calendar_ = of_fitted(attrgetter("model.features.calendar"), "Calendar fields.")
    naive_ = of_fitted(naive_table, "Initial weights of the naive forecasts.")

    def _check_X_y(self, X: Any = None, y: Any = None, **options: Any) -> Any:
        self.__dict__.pop("_file", None)
        if isinstance(y, PanelFile):
            refuse_covariates_beside(y, X)
            # sktime learns from its first rows what the data are; `_fit` takes the file.
            self._file, (y, X) = y, head_of(y)
        try:
            return super()._check_X_y(X=X, y=y, **options)
        except (IndexError, TypeError, ValueError) as error:
            # The package's own checks name the column or series, the row and the way out.
            explain_refusal(y, X, tuple_of(self.past_covariates, auto=()), error)
            raise

    def _taken_file(self) -> PanelFile | None:
        """The panel file that was passed to `fit` in place of y, once."""
        return self.__dict__.pop("_file", None)

    def _update_y_X(self, y: Any, X: Any = None, **options: Any) -> None:
        before = self._cutoff
        super()._update_y_X(y, X, **options)
        if y is not None and self._cutoff is before:
            # sktime 1.0 moves the cutoff only where it remembers the data itself.
            self._set_cutoff_from_y(y)

    def update(self, y: Any, X: Any = None, update_params: bool = True) -> Any:
        """Append new observations, and train on with them; see sktime's `BaseForecaster.update`.

        An update is all or nothing: if it is refused or fails, nothing has changed.
        """
        refuse_file_in_update(y)
        # Before `_update`, sktime moves the cutoff, notes the columns and the kind of y, and with
        # remember_data stores the data.
        before = dict(vars(self))
        try:
            return super().update(y, X=X, update_params=update_params)
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _set_cutoff_from_y(self, y: Any) -> None:
        """Set the cutoff from the last rows: sktime copies the whole index of a panel for it."""
        if isinstance(y, pd.DataFrame) and len(y):
            y = y.iloc[series_offsets(y.index)[1:] - 1]
        super()._set_cutoff_from_y(y)

    def _set_cutoff_from_fitted(self) -> None:
        """Set the cutoff from the last rows of all series, of which sktime may have seen a part."""
        self._set_cutoff_from_y(pd.DataFrame(index=self.fitted_.last_stamps()))

    def clone(self) -> BaseRecurrentForecaster:
        """An unfitted copy with the same parameters, configuration and pretrained model."""
        clone = super().clone()
        clone._is_clone = True
        return clone

    def set_params(self, **params: Any) -> BaseRecurrentForecaster:
        """Set parameters and forget what was fitted, but keep a pretrained model (decision 4)."""
        pretrained = vars(self).get("pretrained_model_")
        try:
            return super().set_params(**params)
        finally:  # sktime resets before it refuses an unknown name
            if pretrained is not None and "pretrained_model_" not in vars(self):
                self.pretrained_model_, self._pretrained_attrs = pretrained, ["pretrained_model_"]
                self._state = "pretrained"

    @available_if(lambda self: self.is_fitted)
    def score(self, y: Any, X: Any = None, fh: Any = None) -> float:
        """Mean absolute percentage error of the forecast at ``fh``, as a fraction, as in sktime.

        It is an error, and scikit-learn's searches maximise `score`: an unfitted forecaster has
        none, so that a search without ``scoring=`` is refused instead of choosing the worst.
        """
        return super().score(y, X, fh)

    def __sklearn_tags__(self) -> Tags:
        """Tags by which scikit-learn's searches know what they hold."""
        return Tags(estimator_type=None, target_tags=TargetTags(required=False))

    def __sklearn_clone__(self) -> BaseRecurrentForecaster:
        """Clone as sktime does: parameters, configuration and pretrained weights."""
        return self.clone()

    def __getstate__(self) -> dict[str, Any]:
        """Pickle networks on the CPU, and of the data the context of forecasts."""
        return pickled(self.__dict__)

    def __deepcopy__(self, memo: dict[int, Any]) -> BaseRecurrentForecaster:
        """A copy with all data, unlike a pickle, and with networks where they are."""
        return copied(self, memo)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Put the network back on the device that was asked for, if this machine has it."""
        self.__dict__.update(state)
        put_back(self)

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        # LSTMForecaster is checked with the other settings: only the cell differs.
        first, *_, last = contract_settings()
        return [first, last]
