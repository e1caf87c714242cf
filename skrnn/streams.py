"""Streams: new rows as numbers, and forecasts whose cost does not grow with what was seen."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from skrnn.contract.forecaster import BaseRecurrentForecaster
from skrnn.contract.intervals import check_levels, refuse_without_distribution
from skrnn.contract.parameters import check_flags
from skrnn.forecasting.fitted import Fitted
from skrnn.forecasting.streams import FittedStream

__all__ = ["Stream"]


class Stream:
    r"""A fitted forecaster that gets rows as they come, and forecasts at once.

    What `update` and the predictions cost, and what a stream keeps, does not depend on how many
    rows it has seen. Its forecasts are those of the forecaster after ``update(...,
    update_params=False)`` with the same rows: to about 1e-6 of the scale of a series, by which the
    order of sums in float32 differs.

    Parameters
    ----------
    forecaster : GRUForecaster, LSTMForecaster or RNNForecaster
        Fitted. It does not change.
    fh : int or list of int, optional
        Steps ahead of `predict` and `predict_quantiles`. By default the ``fh`` of `fit`, or without
        one the next step.
    alpha : float or list of float, optional
        Levels of `predict_quantiles`. Needed if held-out errors calibrate the quantiles, as they do
        unless ``validation_split`` is None: each new row then moves these quantiles.
    remember : bool, default=False
        Keep all rows, so that `forecaster` has them. The memory then grows with them.

    Attributes
    ----------
    series : pd.Index or None
        The series of a panel, in the order of the rows of `update` and of predictions; None for a
        single series.
    cutoff : pd.Index
        Time stamp of the last row of each series.
    context : int
        Rows of each series that are kept, unless ``remember``.

    Raises
    ------
    sktime.exceptions.NotFittedError
        If the forecaster is not fitted.
    TypeError
        If it is none of this package, or ``remember`` is no bool.
    ValueError
        If ``fh`` holds something else than steps from 1 on, ``alpha`` something else than levels in
        (0, 1); if errors cannot move the quantiles: a recursive forecaster of a distribution
        simulates steps after the first; or if the forecaster is an ensemble, with ``n_estimators``
        above 1.
    NotImplementedError
        If ``alpha`` is given, but the forecaster has no quantiles.

    See Also
    --------
    skrnn.backtest : Forecasts from many cutoffs of data that are there already.

    Notes
    -----
    The recurrent state at the end of each series is carried along; with ``supervision="last"`` or a
    ``patch_length`` above 1, each forecast runs over its window instead. Of each series are kept
    ``context`` rows: twice the ``window_length``, what a step reads back, another
    ``window_length``, and as many rows as were held out in `fit`. A gap is filled from the last
    observation before it, however long it lasts.

    A pickle of a stream goes on where it was. For a file of `skrnn.save`, save what `forecaster`
    returns, and make a stream of what `skrnn.load` returns. A stream is not for several threads at
    once.

    Examples
    --------
    >>> from skrnn import GRUForecaster, Stream
    >>> from skrnn.datasets import make_hourly_load
    >>> y = make_hourly_load(n_series=1, n_hours=500, random_state=0).droplevel(0)
    >>> forecaster = GRUForecaster(hidden_size=8, num_epochs=1, random_state=0).fit(y[:480])
    >>> stream = Stream(forecaster, fh=[1, 2])
    >>> for value in y["load_mw"][480:]:
    ...     stream = stream.update(value)
    >>> stream.predict().shape  # series, steps, columns
    (1, 2, 1)
    >>> stream.predict(as_frame=True).index[0] - y.index[-1]
    Timedelta('0 days 01:00:00')
    """

    def __init__(
        self,
        forecaster: BaseRecurrentForecaster,
        fh: int | Sequence[int] | None = None,
        alpha: float | Sequence[float] | None = None,
        remember: bool = False,
    ):
        if not isinstance(forecaster, BaseRecurrentForecaster):
            msg = (
                f"The 'forecaster' parameter of Stream must be a forecaster of skrnn, but got "
                f"{type(forecaster).__name__}. For others, call update and predict."
            )
            raise TypeError(msg)
        check_flags("Stream", remember=remember)
        forecaster.check_is_fitted()
        if fh is None:
            fh = _steps_of_fit(forecaster)
        self._steps = _steps(fh)
        self._alpha = None
        fitted: Any = forecaster.fitted_
        _refuse_ensemble(fitted)
        levels = None
        if alpha is not None:
            refuse_without_distribution(forecaster, "predict_quantiles")
            self._alpha = check_levels("alpha", alpha)
            if fitted.is_calibrated:
                levels = np.unique(self._alpha)
                _refuse_simulated(forecaster, self._steps)
        if isinstance(fitted, Fitted):  # a panel in a file stays there
            fitted = fitted.in_memory()
        self._stream = FittedStream(fitted, self._steps, levels, bool(remember))
        self._forecaster = _without_data(forecaster)

    # ------------------------------------------------------------------------ what it holds

    @property
    def series(self) -> pd.Index | None:
        """The series of a panel, in the order of rows and predictions; None for a single one."""
        return self._stream.latest.template.keys

    @property
    def cutoff(self) -> pd.Index:
        """Time stamp of the last row of each series."""
        return self._index(np.zeros(1, dtype=np.int64))

    @property
    def context(self) -> int:
        """Rows of each series that are kept at least, once there are so many."""
        return self._stream.n_context

    def forecaster(self) -> BaseRecurrentForecaster:
        """A forecaster at the end of the stream, with the rows that are kept.

        Returns
        -------
        GRUForecaster, LSTMForecaster or RNNForecaster
            Its forecasts are those of the stream. If the held-out rows have been dropped, as many
            of the last rows take their place: its quantiles are then those of the latest errors
            alone. A stream with ``remember`` drops none.

        Examples
        --------
        >>> from sktime.datasets import load_airline
        >>> from skrnn import GRUForecaster, Stream
        >>> y = load_airline()
        >>> forecaster = GRUForecaster(hidden_size=8, num_epochs=1, random_state=0).fit(y[:-1])
        >>> stream = Stream(forecaster).update(y.iloc[-1])
        >>> stream.forecaster().predict(fh=1).index[0]
        Period('1961-01', 'M')
        """
        result = copy.copy(self._forecaster)
        result.fitted_ = fitted = self._stream.fitted()
        result._set_cutoff_from_y(pd.DataFrame(index=fitted.last_stamps()))
        return result

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        del state["_stream"]
        return state | {"_forecaster": self.forecaster(), "stored": self._stream.stored()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        stored = state.pop("stored")
        self.__dict__.update(state)
        fitted: Any = self._forecaster.fitted_
        self._stream = FittedStream.restored(fitted, stored)
        self._forecaster = _without_data(self._forecaster)

    # ---------------------------------------------------------------------------- new rows

    def update(
        self,
        values: npt.ArrayLike,
        X: npt.ArrayLike | pd.DataFrame | None = None,
        series: Sequence[Any] | pd.Index | None = None,
    ) -> Stream:
        """Append one row to each series.

        An update is all or nothing: if it is refused, nothing has changed.

        Parameters
        ----------
        values : array-like of shape (S, C)
            The row after the last, of each series and column of y, in the unit of the data; NaN
            where a value is missing. A number is enough for a single series of one column, and one
            axis if either S or C is 1.
        X : array-like or pd.DataFrame of shape (S, number of columns of X), optional
            Covariates in the same row, all columns that `fit` was given, in that order. Of a
            DataFrame the columns count, not the index.
        series : list of keys or pd.Index, optional
            Which series the rows are of; by default all of them.

        Returns
        -------
        Stream
            Itself.

        Raises
        ------
        ValueError
            If shapes do not fit, a value is infinite, X is missing or holds NaN in a column known
            in advance or a category that was not seen in `fit`, or a series is unknown or given
            twice.
        TypeError
            If values are not numbers.

        Examples
        --------
        >>> import numpy as np
        >>> import pandas as pd
        >>> from skrnn import GRUForecaster, Stream
        >>> y = pd.Series(np.sin(np.arange(200.0)))
        >>> stream = Stream(GRUForecaster(hidden_size=4, num_epochs=1).fit(y))
        >>> stream.update(0.5).update(np.nan).cutoff
        Index([201], dtype='int64')
        """
        numbers = self._numbers(series)
        values = self._values(values, len(numbers))
        known, past = self._row_of_X(X, len(numbers))
        self._stream.update(numbers, np.concatenate([values, past], axis=1), known)
        return self

    def _numbers(self, series: Any) -> np.ndarray:
        keys, n_series = self.series, self._stream.latest.n_series
        if series is None:
            return np.arange(n_series)
        if keys is None:
            msg = (
                "The 'series' parameter must be None, for the stream has a single series without a "
                f"name. Got {series!r} instead."
            )
            raise ValueError(msg)
        if isinstance(series, (str, int, tuple)):
            series = [series]
        index = pd.Index(series, tupleize_cols=keys.nlevels > 1) if len(series) else keys[:0]
        numbers = keys.get_indexer(index)
        if (numbers < 0).any() or len(np.unique(numbers)) < len(numbers) or not len(numbers):
            msg = (
                f"The 'series' parameter must name series that the forecaster was fitted with, "
                f"each once, such as {list(keys[:3])}. Got {list(series)[:10]!r} instead."
            )
            raise ValueError(msg)
        return numbers

    def _values(self, values: Any, n_series: int) -> np.ndarray:
        """Values of a row of each series, (m, C)."""
        template = self._stream.latest.template
        shape = n_series, len(template.columns)
        values = _array(values, np.float64, "values")
        if values.size != n_series * shape[1] or values.shape not in _shapes(shape):
            msg = (
                f"values must hold one row of each of {n_series} series with {shape[1]} columns, "
                f"shape {shape}, but got shape {values.shape}. Call update for each row, and name "
                f"the series with series=... if only some have one."
            )
            raise ValueError(msg)
        values = values.reshape(shape)
        _check_finite(values, "values", template.columns, missing=True)
        if self._stream.of_counts:
            _check_counts(values)
        return values

    def _row_of_X(self, X: Any, n_series: int) -> tuple[np.ndarray, np.ndarray]:
        """Covariates known in advance, as `Covariates.read_known` gives them, and past ones."""
        self._check_X(X, past=True)
        covariates = self._stream.latest.template.covariates
        if not len(covariates.columns):
            return np.empty((n_series, 0)), np.empty((n_series, 0))
        return self._of_X(X, covariates.columns, (n_series,))

    def _check_X(self, X: Any, past: bool) -> None:
        """Raise ValueError if X is lacking, or not expected, or has other columns than in fit."""
        covariates = self._stream.latest.template.covariates
        if X is None or not len(covariates.columns) or isinstance(X, pd.DataFrame):
            is_array = not (X is None or isinstance(X, pd.DataFrame))
            covariates.check(pd.DataFrame(np.ravel(X)) if is_array else X, past)

    def _of_X(
        self, X: Any, columns: pd.Index, shape: tuple[int, ...]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Values of columns of X in an array or frame of ``shape`` and columns."""
        covariates = self._stream.latest.template.covariates
        if isinstance(X, pd.DataFrame):
            X = X[columns].to_numpy(dtype=object if covariates.categories else np.float64)
        shape = *shape, len(columns)
        X = _array(X, object if covariates.categories else np.float64, "X")
        if X.size != np.prod(shape) or X.shape not in _shapes(shape):
            msg = (
                f"X must have the shape {shape}, the last axis for the columns {list(columns)}, "
                f"but got shape {X.shape}. Pass a value for each."
            )
            raise ValueError(msg)
        X = X.reshape(shape)
        known: list[np.ndarray] = []
        past: list[np.ndarray] = []
        for k, name in enumerate(columns):
            column = X[..., k]
            if name in covariates.categories:
                column = _codes(column, name, covariates.categories[name])
            column = _array(column, np.float64, "X")
            is_past = name in covariates.past
            _check_finite(column[..., None], "X", [name], missing=is_past)
            (past if is_past else known).append(column)
        empty = np.empty((*shape[:-1], 0))
        return tuple(np.stack(part, axis=-1) if part else empty for part in (known, past))  # type: ignore[return-value]

    # --------------------------------------------------------------------------- forecasts

    def predict(
        self,
        fh: int | Sequence[int] | None = None,
        X: npt.ArrayLike | pd.DataFrame | None = None,
        as_frame: bool = False,
    ) -> np.ndarray | pd.DataFrame:
        """Forecast from the end of each series.

        Parameters
        ----------
        fh : int or list of int, optional
            Steps ahead, from 1 on; by default those of the stream.
        X : array-like of shape (S, H, columns) or pd.DataFrame, optional
            Covariates known in advance of the H rows after the end of each series, H being the last
            step; with "multioutput" the last step of `fit`. One series may leave out the first
            axis. Or a DataFrame as the forecaster's ``predict`` takes it, with the index of these
            rows.
        as_frame : bool, default=False
            Return the DataFrame that the forecaster's ``predict`` returns.

        Returns
        -------
        np.ndarray of shape (S, J, C), or pd.DataFrame
            Forecasts of the J steps, ascending, in the unit of the data.

        Raises
        ------
        ValueError
            If ``fh`` holds something else than steps from 1 on, or X is missing or of another
            shape.
        TypeError
            If ``as_frame`` is no bool.

        Examples
        --------
        >>> from sktime.datasets import load_airline
        >>> from skrnn import GRUForecaster, Stream
        >>> forecaster = GRUForecaster(hidden_size=8, num_epochs=1, random_state=0)
        >>> stream = Stream(forecaster.fit(load_airline()), fh=[1, 12])
        >>> stream.predict(as_frame=True).index.astype(str).tolist()
        ['1961-01', '1961-12']
        """
        check_flags("predict", as_frame=as_frame)
        steps = self._steps if fh is None else _steps(fh)
        distribution, parameters = self._stream.forecast(steps, self._known_ahead(X, steps))
        values = distribution.point(parameters)
        if not as_frame:
            return values
        columns = self._stream.latest.template.columns
        return pd.DataFrame(
            values.reshape(-1, len(columns)), index=self._index(steps), columns=columns
        )

    def predict_quantiles(
        self,
        fh: int | Sequence[int] | None = None,
        alpha: float | Sequence[float] | None = None,
        X: npt.ArrayLike | pd.DataFrame | None = None,
        as_frame: bool = False,
    ) -> np.ndarray | pd.DataFrame:
        """Forecast quantiles from the end of each series.

        Parameters
        ----------
        fh : int or list of int, optional
            Steps ahead. If errors move the quantiles, those of the stream and no others.
        alpha : float or list of float, optional
            Levels, by default those of the stream. If errors move the quantiles, some of these.
        X : array-like of shape (S, H, columns) or pd.DataFrame, optional
            See `predict`.
        as_frame : bool, default=False
            Return the DataFrame that the forecaster's ``predict_quantiles`` returns.

        Returns
        -------
        np.ndarray of shape (S, J, C, A), or pd.DataFrame
            Quantiles of the J steps, ascending, at the A levels, in the order given.

        Raises
        ------
        ValueError
            See `predict`; or if ``fh`` or ``alpha`` are others than those of the stream.
        NotImplementedError
            If the forecaster has no quantiles.

        Examples
        --------
        >>> from sktime.datasets import load_airline
        >>> from skrnn import GRUForecaster, Stream
        >>> forecaster = GRUForecaster(hidden_size=8, num_epochs=1, validation_split=0.2)
        >>> stream = Stream(forecaster.fit(load_airline()), fh=1, alpha=[0.05, 0.95])
        >>> low, high = stream.predict_quantiles()[0, 0, 0]
        >>> bool(low < high)
        True
        """
        check_flags("predict_quantiles", as_frame=as_frame)
        forecaster = self._forecaster
        refuse_without_distribution(forecaster, "predict_quantiles")
        steps = self._steps if fh is None else _steps(fh)
        levels = self._alpha if alpha is None else check_levels("alpha", alpha)
        tracker = self._stream.tracker
        if levels is None or (self._stream.is_calibrated and tracker is None):
            msg = (
                "The quantiles of a stream need levels that each row moves, but it was made "
                "without alpha. Make it with Stream(forecaster, fh=..., alpha=[0.05, 0.95])."
            )
            raise ValueError(msg)
        known = self._known_ahead(X, steps)
        if tracker is None:
            distribution, parameters = self._stream.forecast(steps, known, forecaster.n_samples)
            values = distribution.quantiles(parameters, levels)
        else:
            is_followed = np.isin(levels, tracker.levels).all()
            if not (is_followed and np.array_equal(steps, self._steps)):
                msg = (
                    f"The quantiles of this stream follow the errors of fh={self._steps.tolist()} "
                    f"at alpha={tracker.levels.tolist()}, but got fh={steps.tolist()} and alpha="
                    f"{levels.tolist()}. Leave them out, or make another stream for them."
                )
                raise ValueError(msg)
            values = self._stream.quantiles(known, forecaster.n_samples)
            values = values[..., np.searchsorted(tracker.levels, levels)]
        if not as_frame:
            return values
        columns = pd.MultiIndex.from_product([forecaster._get_varnames(), levels.tolist()])
        index = self._index(steps)
        return pd.DataFrame(values.reshape(len(index), -1), index=index, columns=columns)

    def _known_ahead(self, X: Any, steps: np.ndarray) -> np.ndarray:
        """Covariates known in advance of the rows after the end, (S, H, P)."""
        stream = self._stream
        template = stream.latest.template
        covariates, strategy = template.covariates, stream.strategy
        n_rows, n_known = strategy.n_rows_ahead(steps), len(covariates.known)
        shape = stream.latest.n_series, n_rows
        self._check_X(X, past=False)
        if not n_known:
            return np.empty((*shape, 0))
        if not isinstance(X, pd.DataFrame):
            return self._of_X(X, covariates.known, shape)[0]
        known = np.zeros((*shape, n_known))
        rows = strategy.rows_with_X(steps)
        known[:, rows - 1] = covariates.read_known(X, self._index(rows)).reshape(
            len(known), len(rows), -1
        )
        return known

    def _index(self, steps: np.ndarray) -> pd.Index:
        """Index of these steps ahead of each series' end."""
        latest = self._stream.latest
        series = np.repeat(np.arange(latest.n_series), len(steps))
        return latest.template.index(series, (latest.end[:, None] - 1 + steps).ravel())


def _steps_of_fit(forecaster: BaseRecurrentForecaster) -> Sequence[int]:
    fh = forecaster._fh
    if fh is None or not fh.is_relative:
        return forecaster.fitted_.model.features.horizons
    return fh.to_numpy()


def _steps(fh: Any) -> np.ndarray:
    """Steps ahead, ascending."""
    steps = np.atleast_1d(np.asarray(getattr(fh, "to_numpy", lambda: fh)()))
    is_right = steps.ndim == 1 and len(steps) and np.issubdtype(steps.dtype, np.integer)
    if not is_right or (steps < 1).any():
        msg = (
            f"The fh of a stream must be one or more whole steps ahead, from 1 on. Got {fh!r} "
            f"instead. Count from the last row: the next one is step 1."
        )
        raise ValueError(msg)
    return np.unique(steps.astype(np.int64))


def _refuse_ensemble(fitted: Any) -> None:
    """Raise ValueError if there are several networks: a stream carries the state of one."""
    n = len(fitted.model.members)
    if n > 1:
        msg = (
            f"A stream carries the recurrent state of one network, but the forecaster has "
            f"n_estimators={n}. Fit with n_estimators=1, or call update(update_params=False) and "
            f"predict instead."
        )
        raise ValueError(msg)


def _refuse_simulated(forecaster: BaseRecurrentForecaster, steps: np.ndarray) -> None:
    """Raise ValueError if the forecasts whose errors move quantiles are simulated."""
    fitted = forecaster.fitted_
    is_recursive = fitted.model.strategy.name == "recursive"
    if fitted.is_probabilistic and is_recursive and steps.max() > 1:
        msg = (
            f"The quantiles of a stream follow the errors of its forecasts, but those of "
            f"criterion={forecaster.criterion!r} with strategy='recursive' are simulated after the "
            f"first step. Pass fh=1, or fit with strategy='multioutput' or a point criterion such "
            f"as 'mae'."
        )
        raise ValueError(msg)


def _without_data(forecaster: BaseRecurrentForecaster) -> BaseRecurrentForecaster:
    """A shallow copy that holds neither the fitted state nor data that sktime remembers."""
    result = copy.copy(forecaster)
    for name in ("fitted_", "_y", "_X"):
        result.__dict__.pop(name, None)
    return result


def _array(values: Any, dtype: Any, name: str) -> np.ndarray:
    try:
        if np.iscomplexobj(values):
            raise TypeError("they are complex")
        return np.asarray(values, dtype=dtype)
    except (TypeError, ValueError) as error:
        msg = f"{name} must hold numbers, one in each place, but {error}. Convert them."
        raise TypeError(msg) from error


def _shapes(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Shapes in which an array may be given: axes of length 1 may be left out."""
    return [shape, tuple(n for n in shape if n > 1), *_without_one(shape)]


def _without_one(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    return [shape[:k] + shape[k + 1 :] for k, n in enumerate(shape) if n == 1]


def _check_finite(values: np.ndarray, name: str, columns: Any, missing: bool) -> None:
    """Raise ValueError if a value is infinite, or missing where none may be; columns come last."""
    wrong = np.isinf(values) if missing else ~np.isfinite(values)
    if wrong.any():
        column = columns[np.argwhere(wrong)[0][-1]]
        msg = (
            f"{name} must be finite, but column {column!r} holds {values[wrong][0]} ({wrong.sum()} "
            f"such values in all). " + ("Pass NaN for a missing value." if missing else "Fill it.")
        )
        raise ValueError(msg)


def _check_counts(values: np.ndarray) -> None:
    wrong = (values < 0) | (np.abs(values - np.rint(values)) > 0)
    if wrong.any():
        msg = (
            f"A criterion of counts needs whole numbers of at least 0, but values hold "
            f"{values[wrong][0]:g}. Round or shift the values, or set criterion='quantile'."
        )
        raise ValueError(msg)


def _codes(column: np.ndarray, name: Any, categories: pd.Index) -> np.ndarray:
    """Place of each value among the categories seen in fit."""
    flat = pd.Index(column.ravel(), dtype=object)
    codes = categories.get_indexer(flat)
    wrong = np.flatnonzero(codes < 0)
    if len(wrong):
        msg = (
            f"X must hold categories seen in fit, but column {name!r} holds {flat[wrong[0]]!r}; "
            f"fit saw {list(categories[:10])}{' and more' if len(categories) > 10 else ''}. "
            f"Replace it, or fit again."
        )
        raise ValueError(msg)
    return codes.reshape(column.shape).astype(np.float64)
