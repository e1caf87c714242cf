"""Diagnosis: the package's own words for data that another library refused."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Number
from typing import Any

import pandas as pd
import torch
from pandas.api.types import is_hashable

from skrnn.data.covariates import Covariates
from skrnn.data.panel import Panel
from skrnn.data.timeline import DATES

# Of these, sktime takes lists of DataFrames alone.
NO_CONTAINERS = (list, tuple, set, dict, str, bytes, Number, torch.Tensor)


def explain_refusal(y: Any, X: Any, past_covariates: Sequence[Any], error: Exception) -> None:
    """Raise what the package's own checks find wrong with y and X; return if they find nothing.

    They name the series or column, the row and the way out, which ``error`` may not.

    Parameters
    ----------
    y, X : Any
        The data that were refused. Only pandas objects are checked, and what sktime knows as no
        container of series.
    past_covariates : sequence
        Names of the columns of X that are known only up to now; these may hold NaN. Names that
        are not columns of X are ignored, because `predict` does not need these columns.
    error : Exception
        The refusal, which becomes the cause of the clearer error.

    Raises
    ------
    TypeError, ValueError
        If the checks find something wrong.
    """
    for name, data in (("y", y), ("X", X)):
        _check_container(data, name, error)
    y, X = (data.to_frame() if isinstance(data, pd.Series) else data for data in (y, X))
    X = X if isinstance(X, pd.DataFrame) else None
    if X is not None and not len(X):
        msg = "X must have a row for every time stamp of y, but it has none. Pass its rows or None."
        raise ValueError(msg) from error
    y = y if isinstance(y, pd.DataFrame) and len(y) else None
    if X is not None and y is not None:
        _check_same_kind(y.index, X.index, error)
    columns = [] if X is None else list(X.columns)
    past = [name for name in past_covariates if is_hashable(name) and name in columns]
    try:
        covariates = Covariates.of(X, past, None if y is None else y.index)
        if y is not None:
            Panel.from_pandas(y, X, covariates)
        elif X is not None:
            covariates.read_known(X, X.index)
            covariates.read_past(X, X.index)
    except (TypeError, ValueError) as clearer:
        raise clearer from error


def _check_container(data: Any, name: str, error: Exception) -> None:
    """Raise TypeError for common objects that hold no series in a form that sktime knows."""
    if isinstance(data, list) and not data:
        msg = f"{name} must hold a series, but it is an empty list. Pass pandas data."
        raise TypeError(msg) from error
    if isinstance(data, pd.Series) and isinstance(data.index, pd.MultiIndex):
        msg = (
            f"{name} must be a DataFrame if its index has several levels, but it is a Series. Pass "
            f"`{name}.to_frame()`."
        )
        raise TypeError(msg) from error
    of_frames = isinstance(data, list) and all(isinstance(part, pd.DataFrame) for part in data)
    if isinstance(data, NO_CONTAINERS) and not of_frames:
        kind = type(data).__name__
        msg = (
            f"{name} must be a pandas Series or DataFrame, or a numpy array, but it is of type "
            f"{kind}. Convert it, for example with `pd.Series({name})`."
        )
        raise TypeError(msg) from error


def _check_same_kind(of_y: pd.Index, of_X: pd.Index, error: Exception) -> None:
    """Raise TypeError if one index has time stamps of another kind than the other."""
    kinds = [_kind_of(index) for index in (of_y, of_X)]
    if kinds[0] is not kinds[1]:
        names = [kind.__name__ for kind in kinds]
        msg = (
            f"X must have time stamps of the kind that y has, but those of y are of type "
            f"{names[0]} and those of X of type {names[1]}. Give X the index of y."
        )
        raise TypeError(msg) from error


def _kind_of(index: pd.Index) -> type[pd.Index]:
    """The type of an index of times, or of its last level; `pd.Index` for numbers."""
    times = index.levels[-1] if isinstance(index, pd.MultiIndex) else index
    return type(times) if isinstance(times, (*DATES, pd.TimedeltaIndex)) else pd.Index
