"""Covariates: what the columns of X are, and their values as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Covariates:
    """The columns of X: known in advance or only in the past, numbers or categories.

    Parameters
    ----------
    columns : pd.Index
        All columns of X, in its order.
    past : tuple
        Names of the columns which are known up to the present alone.
    categories : dict of {name: pd.Index}
        The values of each categorical column, as seen in fit.
    """

    columns: pd.Index
    past: tuple
    categories: dict[Any, pd.Index]

    @classmethod
    def of(cls, X: pd.DataFrame | None, past: Sequence) -> Covariates:
        """Find the kinds of the columns of X.

        Raises
        ------
        ValueError
            If a name of ``past`` is no column of X, or X has a column twice.
        TypeError
            If a past covariate is categorical.
        """
        X = pd.DataFrame() if X is None else X
        columns = X.columns
        unknown = [name for name in past if name not in columns]
        if unknown:
            msg = (
                f"past_covariates must name columns of X, but {unknown[0]!r} is none of them, "
                f"{list(columns)}. Correct the name, or pass X with this column in fit."
            )
            raise ValueError(msg)
        if not columns.is_unique:
            twice = columns[columns.duplicated()][0]
            msg = f"X must have each column once, but {twice!r} stands twice. Rename or drop one."
            raise ValueError(msg)
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
            values = X[name].dropna().astype(object).unique()
            categories[name] = pd.Index(values, dtype=object)
        return cls(columns, tuple(past), categories)

    @property
    def known(self) -> pd.Index:
        """Columns that predict needs: all but the past ones."""
        return self.columns[~self.columns.isin(self.past)] if self.past else self.columns

    @property
    def numbers(self) -> np.ndarray:
        """Whether each known column is a number, shape (P,)."""
        return np.array([name not in self.categories for name in self.known], dtype=bool)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of values of each categorical column."""
        return tuple(len(self.categories[name]) for name in self.known if name in self.categories)

    def check(self, X: pd.DataFrame | None, past: bool = True, needed: bool = True) -> None:
        """Raise ValueError unless X, if it is needed or given, has the columns seen in fit.

        Parameters
        ----------
        X : pd.DataFrame or None
        past : bool, default=True
            Whether the past covariates must be there; they may be in any case.
        needed : bool, default=True
            Whether X must be given if the forecaster was fitted with any such column.
        """
        expected = self.columns if past else self.known
        if X is None:
            if len(expected) and needed:
                msg = (
                    f"The forecaster was fitted with X of columns {list(expected)}, so X must be "
                    f"given here as well, but X is None. Pass its values up to the last step of "
                    f"the forecast."
                )
                raise ValueError(msg)
            return
        if not len(self.columns):
            msg = (
                f"The forecaster was fitted without X, but X with columns {list(X.columns)} came. "
                f"Leave it out, or fit with X."
            )
            raise ValueError(msg)
        if not (X.columns.equals(expected) or X.columns.equals(self.columns)):
            check_columns(X.columns, expected, "X")

    def read_known(self, X: pd.DataFrame | None, index: pd.Index) -> np.ndarray:
        """Values of the known columns at the rows of ``index``, (N, P); categories as numbers.

        Raises
        ------
        ValueError
            If X lacks a row, holds NaN or infinite values, or a category not seen in fit.
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
        """Values of the past columns at the rows of ``index``, (N, P); NaN where missing."""
        if X is None or not self.past:
            return np.empty((len(index), 0))
        X = rows_of(X[list(self.past)], index)
        values = as_float(X, "X")
        check_finite(X, "X", missing=True)
        return values

    def _codes(self, column: pd.Series) -> np.ndarray:
        seen = self.categories[column.name]
        codes = seen.get_indexer(pd.Index(column.astype(object), dtype=object))
        wrong = np.flatnonzero((codes < 0) & column.notna().to_numpy())
        if len(wrong):
            msg = (
                f"X must hold categories seen in fit, but column {column.name!r} holds "
                f"{column.iloc[wrong[0]]!r} at {stamp(column.index, wrong[0])}; seen were "
                f"{list(seen[:10])}{' and more' if len(seen) > 10 else ''}. Replace it, or fit "
                f"again."
            )
            raise ValueError(msg)
        return np.where(codes < 0, np.nan, codes)


def is_number(column: pd.Series) -> bool:
    """Whether a column is a number; one of dtype object is if all its values are."""
    if pd.api.types.is_object_dtype(column.dtype):
        kind = pd.api.types.infer_dtype(column, skipna=True)
        return kind in ("integer", "floating", "mixed-integer-float", "boolean", "empty")
    dtype = column.dtype
    return pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(dtype)


def as_float(frame: pd.DataFrame, name: str) -> np.ndarray:
    """Values as float64, a copy: the user may go on to change the frame."""
    for column in frame.columns:
        if not is_number(frame[column]):
            msg = (
                f"{name} must be numeric, but column {column!r} is categorical "
                f"({frame[column].dtype}). Encode it as numbers, or drop it."
            )
            raise TypeError(msg)
    return frame.to_numpy(dtype=np.float64, na_value=np.nan, copy=True)


def rows_of(X: pd.DataFrame, index: pd.Index) -> pd.DataFrame:
    """Rows of X at the stamps of ``index``.

    Raises
    ------
    ValueError
        If X lacks one of the rows, or has one twice.
    """
    if not X.index.is_unique:
        row = int(np.flatnonzero(X.index.duplicated())[0])
        msg = f"X must hold each row once, but {stamp(X.index, row)} stands twice. Drop one."
        raise ValueError(msg)
    if X.index.equals(index):
        return X
    found = X.index.get_indexer(index)
    lacking = np.flatnonzero(found < 0)
    if len(lacking):
        msg = (
            f"X must have a row for every time stamp of y and of the forecast, but "
            f"{len(lacking)} of {len(index)} are missing, the first {stamp(index, lacking[0])}"
            f". Pass X over the whole range."
        )
        raise ValueError(msg)
    return X.take(found)


def check_finite(frame: pd.DataFrame, name: str, missing: bool) -> None:
    """Raise ValueError if a column of numbers is infinite, or NaN unless ``missing``."""
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
    """Raise ValueError unless columns are those seen in fit, in their order."""
    if not columns.equals(expected):
        msg = (
            f"{name} must have the columns seen in fit, {list(expected)}, but it has "
            f"{list(columns)}. Select and order them, or fit again."
        )
        raise ValueError(msg)


def stamp(index: pd.Index, row: int) -> str:
    """A row's label for messages."""
    entry = index[row]
    return ", ".join(map(str, entry)) if isinstance(entry, tuple) else str(entry)
