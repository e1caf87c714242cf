"""Splits: the training windows of a splitter and the rows that it tests, as row numbers of y."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sktime.forecasting.base import ForecastingHorizon
from sktime.split.base import BaseSplitter

from skrnn.data.covariates import Covariates
from skrnn.data.panel import Panel


class HorizonError(ValueError):
    """A horizon in units of time that does not lie on the index."""


@dataclass(frozen=True)
class Splits:
    """Training windows and tested rows of n splits of S series, as row numbers of y.

    Parameters
    ----------
    first, last : np.ndarray of shape (n, S)
        First and last row of each training window.
    steps : np.ndarray of shape (J,)
        Steps from the last row of a training window to the rows that are tested.
    shift : np.ndarray of shape (S,)
        Timeline position of a row of each series, minus its row number.
    fh : Any
        Horizon of the splitter; None if it has none.
    """

    first: np.ndarray
    last: np.ndarray
    steps: np.ndarray
    shift: np.ndarray
    fh: Any

    @classmethod
    def of(cls, cv: BaseSplitter, y: pd.Series | pd.DataFrame) -> Splits | None:
        """Read the splits; None if one backtest cannot make their forecasts.

        Parameters
        ----------
        cv : sktime splitter
            Training windows and tested rows.
        y : pd.Series, pd.DataFrame, or panel
            Observations; only the index is read.

        Returns
        -------
        Splits or None

        Raises
        ------
        HorizonError
            If the horizon is in units of time and does not lie on the index of ``y``.
        """
        # Zeros in place of the values, which may be missing outside all windows.
        zeros = pd.DataFrame({"y": np.zeros(len(y))}, index=y.index)
        panel = Panel.from_pandas(zeros, None, Covariates.of(None, ()))
        if panel.keys is not None and (
            cv.get_tag("split_hierarchical") or not panel.keys.is_monotonic_increasing
        ):
            return None  # the splitter does not split each series by itself, in this order
        fh = cv.fh  # sktime reads it before the splits, and some splitters change it in `split`
        windows: list[tuple[np.ndarray, np.ndarray]] = []
        previous = None
        for begin, end in zip(panel.offsets[:-1], panel.offsets[1:], strict=True):
            stamps = y.index.get_level_values(-1)[begin:end]
            if previous is None or not stamps.equals(previous):
                stamps_of_series = stamps if panel.keys is None else pd.Index(stamps.values)
                found = _windows(cv, stamps_of_series, fh)
            if found is None:
                return None
            windows.append((found[0] + begin, found[1]))
            previous = stamps
        n = min(len(rows) for rows, _ in windows)  # sktime stops at the series with fewest splits
        steps = windows[0][1]
        first, last = np.stack([rows[:n] for rows, _ in windows], axis=-1).swapaxes(0, 1)
        splits = cls(first, last, steps, panel.origin - panel.offsets[:-1], fh)
        one_backtest = (
            all(np.array_equal(steps_of_series, steps) for _, steps_of_series in windows)
            and (steps > 0).all()
            and (last + steps[-1] < panel.offsets[1:]).all()
            # Each window begins at or before the row after the previous one: an update with it
            # leaves no gap.
            and (first >= first[0]).all()
            and (first[1:] <= last[:-1] + 1).all()
            and splits._fits_horizon()
        )
        return splits if one_backtest else None

    def _fits_horizon(self) -> bool:
        """Whether the horizon of the splitter is the steps tested."""
        if self.fh is None:  # the time stamps tested, the same for all series
            position = self.last + self.shift
            return bool((position == position[:, :1]).all())
        fh = ForecastingHorizon(self.fh)
        steps = fh.to_pandas()
        whole = pd.api.types.is_integer_dtype(steps) and fh.is_relative
        return isinstance(steps, pd.TimedeltaIndex) or (whole and np.array_equal(steps, self.steps))

    def __len__(self) -> int:
        return len(self.last)

    def train(self, k: int) -> np.ndarray:
        """Rows of the k-th training window."""
        return rows_between(self.first[k], self.last[k])

    def test(self, k: int) -> np.ndarray:
        """Rows tested in the k-th split."""
        return (self.last[k][:, None] + self.steps).ravel()

    def known(self, k: int) -> np.ndarray:
        """Rows at which the k-th forecast reads covariates: up to the last step, without gaps."""
        return rows_between(self.first[k], self.last[k] + self.steps[-1])

    def past(self) -> np.ndarray:
        """Rows up to the last cutoff of each series."""
        return rows_between(self.first[0], self.last.max(axis=0))

    def rows(self) -> np.ndarray:
        """Rows up to the last one that is tested."""
        return rows_between(self.first[0], self.last.max(axis=0) + self.steps[-1])

    def lengths(self) -> np.ndarray:
        """Number of time stamps in each training window, shape (n,).

        Where the windows of several series differ, their union counts.
        """
        begin, end = self.first + self.shift, self.last + self.shift
        order = np.argsort(begin, axis=1, kind="stable")
        begin, end = (np.take_along_axis(part, order, axis=1) for part in (begin, end))
        # A window may lie within an earlier one: what counts is the latest end so far.
        covered = np.maximum.accumulate(end, axis=1)
        begin[:, 1:] = np.maximum(begin[:, 1:], covered[:, :-1] + 1)
        return np.maximum(end - begin + 1, 0).sum(axis=1)

    def cutoffs(self, index: pd.Index) -> pd.Index:
        """Time stamp at which each training window ends, in the series that ends last."""
        latest = np.argmax(self.last + self.shift, axis=1)[:, None]
        return index.get_level_values(-1).take(np.take_along_axis(self.last, latest, axis=1)[:, 0])


class ReadSplits(BaseSplitter):
    """The first splits of `Splits`, as a splitter of sktime.

    Parameters
    ----------
    splits : Splits
        Windows, read from another splitter.
    n_splits : int
        How many of them, from the first on.
    all_steps : bool, default=False
        Whether the test rows are those at which a forecast reads covariates, instead of those
        that are scored.
    """

    def __init__(self, splits: Splits, n_splits: int, all_steps: bool = False):
        self.splits = splits
        self.n_splits = n_splits
        self.all_steps = all_steps
        super().__init__()  # sktime 1.0's sets fh=1
        self.fh = splits.fh

    def split(self, y: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the rows of each training window and of its test."""
        test = self.splits.known if self.all_steps else self.splits.test
        for k in range(self.n_splits):
            yield self.splits.train(k), test(k)


def rows_between(first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Rows ``first`` to ``last`` of each series, one after another."""
    return np.concatenate([np.arange(a, b + 1) for a, b in zip(first, last, strict=True)])


def _windows(cv: BaseSplitter, stamps: pd.Index, fh: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """First and last training row of each split (n, 2) of one series, and the steps tested."""
    windows, steps = [], None
    durations: Any = None if fh is None else ForecastingHorizon(fh).to_pandas()
    in_time_units = isinstance(durations, pd.TimedeltaIndex)
    try:
        for train, test in cv.split(stamps):
            if not len(train) or not len(test) or (np.diff(train) != 1).any():
                return None
            if in_time_units and not (stamps[test] == stamps[train[-1]] + durations).all():
                raise KeyError((stamps[train[-1]] + durations)[0])
            test_steps = test - train[-1]
            steps = test_steps if steps is None else steps
            if not np.array_equal(test_steps, steps):
                return None
            windows.append((train[0], train[-1]))
    except (KeyError, TypeError, ValueError) as error:
        if not in_time_units:
            raise
        msg = (
            f"The horizon of cv must lie on the index of y, but {type(cv).__name__} with "
            f"fh={fh!r} failed with {type(error).__name__}: {error}. Give fh in steps, such as "
            f"[1, 24], or in whole multiples of the index's frequency."
        )
        raise HorizonError(msg) from error
    return None if steps is None else (np.array(windows), steps)
