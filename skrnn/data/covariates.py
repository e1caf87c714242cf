"""Covariates: what each column of X is, and its values as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Covariates:
    """The columns of X: known in advance or only up to now, numeric or categorical.

    Parameters
    ----------
    columns : pd.Index
        All columns of X, in its order.
    past : tuple
        Names of the columns that are known only up to now.
    categories : dict of {name: pd.Index}
        The values of each categorical column in fit.
    """

    columns: pd.Index
    past: tuple
    categories: dict[Any, pd.Index]

    @classmethod
    def of(
        cls, X: pd.DataFrame | None, past: Sequence[Any], index: pd.Index | None = None
    ) -> Covariates:
        """Read from X which columns there are, and the categories of each categorical one.

        Parameters
        ----------
        X : pd.DataFrame or None
        past : sequence
            Names of the columns that are known only up to now.
        index : pd.Index, optional
            Index of y. Only values of X in these rows become categories, because the network is
            not trained on others. All rows by default.

        Raises
        ------
        ValueError
            If a name of ``past`` is not a column of X, or a name or a column is duplicated.
        TypeError
            If a name of ``past`` cannot be a column's name, a past covariate is categorical, or a
            column holds lists or other objects that cannot be categories.
        """
        X = pd.DataFrame() if X is None else X
        columns = X.columns
        _check_past_names(past, columns)
        check_unique_columns(columns, "X")
        rows = None  # found for the first categorical column
        categories = {}
        for name in columns:
            if is_number(X[name]):
                continue
            if name in past:
                msg = (
                    f"Past covariates must be numbers, but column {name!r} is categorical "
                    f"({X[name].dtype}). Encode it as numbers, for example with pd.get_dummies."
                )
                raise TypeError(msg)
            if rows is None:
                rows = _rows_in(X.index, index)
            column = X[name].iloc[rows].dropna().astype(object)
            try:
                categories[name] = pd.Index(column.unique(), dtype=object)
            except TypeError:
                check_hashable(column, "X")
                raise
        return cls(columns, tuple(past), categories)

    @property
    def known(self) -> pd.Index:
        """Columns that `predict` needs: all except the past covariates."""
        return self.columns[~self.columns.isin(self.past)] if self.past else self.columns

    @property
    def numbers(self) -> np.ndarray:
        """Whether each known column is numeric, shape (P,)."""
        return np.array([name not in self.categories for name in self.known], dtype=bool)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of values of each categorical column."""
        return tuple(len(self.categories[name]) for name in self.known if name in self.categories)

    def check(self, X: pd.DataFrame | None, past: bool = True, needed: bool = True) -> None:
        """Raise ValueError unless X has the columns seen in fit.

        Parameters
        ----------
        X : pd.DataFrame or None
        past : bool, default=True
            Whether X must have the past covariates. It may have them in any case.
        needed : bool, default=True
            Whether X must be given at all, if the forecaster was fitted with X.
        """
        expected = self.columns if past else self.known
        if X is None:
            if len(expected) and needed:
                rows = "in the rows of y" if past else "up to the last step of the forecast"
                msg = (
                    f"The forecaster was fitted with X of columns {list(expected)}, so X must be "
                    f"given again, but X is None. Pass its values {rows}."
                )
                raise ValueError(msg)
            return
        if not len(self.columns):
            msg = (
                f"The forecaster was fitted without X, but got X with columns "
                f"{list(X.columns)}. Leave it out, or fit with X."
            )
            raise ValueError(msg)
        if not (X.columns.equals(expected) or X.columns.equals(self.columns)):
            check_columns(X.columns, expected, "X")

    def read_known(self, X: pd.DataFrame | None, index: pd.Index) -> np.ndarray:
        """Values of the known columns in the rows of ``index``, shape (N, P).

        A category is its place among the categories seen in fit.

        Raises
        ------
        ValueError
            If X lacks a row, or holds NaN, infinite values or a category not seen in fit.
        TypeError
            If a column that was numeric in fit is not, or a column holds lists.
        """
        if X is None or not len(self.known):
            return np.empty((len(index), 0))
        X = rows_of(X[self.known], index)
        values = np.empty(X.shape)
        for k, name in enumerate(X.columns):
            if name in self.categories:
                values[:, k] = self._codes(X[name])
            else:
                values[:, k] = as_float(X[[name]], "X")[:, 0]
        check_finite(pd.DataFrame(values, index=X.index, columns=X.columns), "X", missing=False)
        return values

    def read_past(self, X: pd.DataFrame | None, index: pd.Index) -> np.ndarray:
        """Values of the past covariates in the rows of ``index``, (N, P); NaN where missing."""
        if X is None or not self.past:
            return np.empty((len(index), 0))
        X = rows_of(X[list(self.past)], index)
        values = as_float(X, "X")
        check_finite(X, "X", missing=True)
        return values

    def _codes(self, column: pd.Series) -> np.ndarray:
        """Place of each value among the categories seen in fit; NaN where it is missing."""
        categories = self.categories[column.name]
        try:
            codes = categories.get_indexer(pd.Index(column.astype(object), dtype=object))
        except TypeError:
            check_hashable(column, "X")
            raise
        wrong = np.flatnonzero((codes < 0) & column.notna().to_numpy())
        if len(wrong):
            msg = (
                f"X must hold categories seen in fit, but column {column.name!r} holds "
                f"{column.iloc[wrong[0]]!r} at {stamp(column.index, wrong[0])}; fit saw "
                f"{list(categories[:10])}{' and more' if len(categories) > 10 else ''}. Replace "
                f"it, or fit again."
            )
            raise ValueError(msg)
        return np.where(codes < 0, np.nan, codes)


def is_number(column: pd.Series) -> bool:
    """Whether a column is numeric; one of dtype object is if all its values are numbers."""
    if pd.api.types.is_object_dtype(column.dtype):
        kind = pd.api.types.infer_dtype(column, skipna=True)
        return kind in ("integer", "floating", "mixed-integer-float", "boolean", "empty")
    dtype = column.dtype
    return pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(dtype)


def as_float(frame: pd.DataFrame, name: str) -> np.ndarray:
    """Values as float64, a copy: the user may go on to change the frame.

    Raises
    ------
    TypeError
        If a column is not numeric.
    ValueError
        If an integer does not fit in float64.
    """
    for column in frame.columns:
        if not is_number(frame[column]):
            check_hashable(frame[column], name)
            msg = (
                f"{name} must be numeric, but column {column!r} is categorical "
                f"({frame[column].dtype}). Encode it as numbers, drop it, or put it in the index, "
                f"with `.set_index`, if it names series or times."
            )
            raise TypeError(msg)
    try:
        return frame.to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
    except OverflowError as error:
        msg = f"{name} must hold values that fit in float64, but {error}. Rescale or replace them."
        raise ValueError(msg) from error


def check_hashable(column: pd.Series, name: str) -> None:
    """Raise TypeError if a value of a column is a list, an array or the like."""
    for row, value in enumerate(column):
        if not pd.api.types.is_hashable(value):
            one = "one number" if name == "y" else "one number or category"
            msg = (
                f"{name} must hold {one} in each row, but column {column.name!r} holds a "
                f"{type(value).__name__} at {stamp(column.index, row)}. Split it into several "
                f"columns, or drop it."
            )
            raise TypeError(msg)


def rows_of(X: pd.DataFrame, index: pd.Index) -> pd.DataFrame:
    """Rows of X at the entries of ``index``.

    Raises
    ------
    ValueError
        If X lacks one of the rows, or a row is duplicated.
    """
    if not X.index.is_unique:
        row = int(np.flatnonzero(X.index.duplicated())[0])
        msg = f"X must hold each row once, but {stamp(X.index, row)} is duplicated. Drop one."
        raise ValueError(msg)
    if X.index.equals(index):
        return X
    found = X.index.get_indexer(index)
    lacking = np.flatnonzero(found < 0)
    if len(lacking):
        msg = (
            f"X must have a row for every time stamp of y and of the forecast, but "
            f"{len(lacking)} of {len(index)} are missing, the first {stamp(index, lacking[0])}. "
            f"Pass X over the whole range."
        )
        raise ValueError(msg)
    return X.take(found)


def check_finite(frame: pd.DataFrame, name: str, missing: bool) -> None:
    """Raise ValueError if a value is infinite, or if one is NaN and ``missing`` is false."""
    values = frame.to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = np.isinf(values) if missing else ~np.isfinite(values)
    if not wrong.any():
        return
    row, column = np.argwhere(wrong)[0]
    msg = (
        f"{name} must be finite, but column {frame.columns[column]!r} holds "
        f"{values[row, column]} at {stamp(frame.index, row)} ({wrong.sum()} such values in "
        f"all). Fill them, for example with `.interpolate()`, or drop the "
        f"{'series' if name == 'y' else 'column'}."
    )
    raise ValueError(msg)


def check_columns(columns: pd.Index, expected: pd.Index, name: str) -> None:
    """Raise ValueError unless columns are those seen in fit, in the same order."""
    if not columns.equals(expected):
        msg = (
            f"{name} must have the columns seen in fit, {list(expected)}, but it has "
            f"{list(columns)}. Select and order them, or fit again."
        )
        raise ValueError(msg)


def check_unique_columns(columns: pd.Index, name: str) -> None:
    """Raise ValueError if two columns have the same name."""
    if not columns.is_unique:
        duplicate = columns[columns.duplicated()][0]
        msg = (
            f"{name} must have each column once, but {duplicate!r} is duplicated. Rename or drop "
            f"one."
        )
        raise ValueError(msg)


def _check_past_names(past: Sequence[Any], columns: pd.Index) -> None:
    """Raise unless each name is a column of X and is given once."""
    names = set(columns)  # a MultiIndex also says that it contains the first level of an entry
    known = set()
    for name in past:
        if not pd.api.types.is_hashable(name):
            msg = (
                f"past_covariates must be names of columns of X. Got {name!r} among them instead. "
                f"Pass a flat list of names, such as {list(columns[:2])}."
            )
            raise TypeError(msg)
        if name not in names:
            msg = (
                f"past_covariates must name columns of X, but {name!r} is none of them, "
                f"{list(columns)}. Correct the name, or pass X with this column in fit."
            )
            raise ValueError(msg)
        if name in known:
            msg = f"past_covariates must be distinct, but {name!r} is duplicated. Drop one."
            raise ValueError(msg)
        known.add(name)


def _rows_in(index: pd.Index, rows: pd.Index | None) -> np.ndarray:
    """Numbers of the entries of ``index`` that are among ``rows``; all if that is None."""
    everything = np.arange(len(index))
    if rows is None or index.equals(rows):
        return everything
    if index.nlevels != rows.nlevels:
        return everything  # `read_known` names the first row that X lacks
    return np.flatnonzero(index.isin(rows))


def stamp(index: pd.Index, row: int) -> str:
    """A row's label for messages."""
    entry = index[row]
    return ", ".join(map(str, entry)) if isinstance(entry, tuple) else str(entry)
