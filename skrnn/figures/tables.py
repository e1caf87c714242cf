"""Tables to draw: one series and one column of what the user passes, sorted by time."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd

from skrnn.contract.forecaster import BaseRecurrentForecaster

MAX_NAMES_IN_MESSAGE = 10
# With n_history="auto": so many observations per forecast, and at least so many in all.
OBSERVATIONS_PER_FORECAST = 5
MIN_OBSERVATIONS = 50
# A contribution that is smaller than this share of the largest is drawn with the others.
LEAST_SHARE_SHOWN = 0.01
# More lines hide each other.
MAX_PATHS = 50


def frame_of(name: str, table: Any) -> pd.DataFrame:
    """The table as a DataFrame with at least one value; ``name`` is its name in errors."""
    if not isinstance(table, (pd.Series, pd.DataFrame)):
        msg = (
            f"{name} must be a pandas Series or DataFrame with its time stamps as the index. Got "
            f"{type(table).__name__} instead; convert it."
        )
        raise TypeError(msg)
    if table.size == 0:
        msg = (
            f"{name} must have at least one row and column, but its shape is {table.shape}. Pass "
            f"the rows to draw."
        )
        raise ValueError(msg)
    return table.to_frame() if isinstance(table, pd.Series) else table


def choose(parameter: str, wanted: Any, names: Iterable, kind: str) -> Any:
    """Return the name that is wanted, or the only one there is."""
    names = list(names)
    if wanted is None and len(names) == 1:
        return names[0]
    if not pd.api.types.is_hashable(wanted) or wanted not in names:
        listed = ", ".join(map(repr, names[:MAX_NAMES_IN_MESSAGE]))
        listed += ", ..." * (len(names) > MAX_NAMES_IN_MESSAGE)
        msg = (
            f"The {parameter!r} parameter must name one of the {len(names)} {kind}, {listed}. "
            f"Got {wanted!r} instead; pass one of them, such as {parameter}={names[0]!r}."
        )
        raise ValueError(msg)
    return wanted


def choose_series(tables: dict[str, pd.DataFrame], series: Any) -> Any:
    """Return the series to draw, which every panel among the tables must hold."""
    found = {name: _series_of_rows(table.index) for name, table in tables.items()}
    panels = {name: labels for name, labels in found.items() if labels is not None}
    for name, labels in panels.items():
        series = choose("series", series, labels.unique(), f"series of {name}")
    if series is not None and not panels:
        msg = (
            f"The 'series' parameter must be None for a single series, which has no name in its "
            f"index. Got {series!r} instead; leave it out."
        )
        raise ValueError(msg)
    return series


def rows_of_series(table: pd.DataFrame, series: Any) -> pd.DataFrame:
    """Rows of one series, without the index levels that name it."""
    labels = _series_of_rows(table.index)
    return table if labels is None else table[labels.isin([series])].droplevel(_levels(table.index))


def same_stamps(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The tables sorted by time and, with dates, in the time zone of the first one.

    Raises
    ------
    TypeError
        If an index holds neither numbers nor dates nor periods, or another kind of time stamps
        than the index of the first table.
    ValueError
        If a time stamp is missing.
    """
    first, reference = next(iter(tables.items()))
    expected = _kind_of_stamps(first, reference.index)
    zone = getattr(reference.index, "tz", None)
    same = {}
    for name, table in tables.items():
        kind = _kind_of_stamps(name, table.index)
        if kind != expected:
            msg = (
                f"{name} must have time stamps of the kind of {first}, {expected}. Got {kind} "
                f"instead; give both the same kind of index."
            )
            raise TypeError(msg)
        if zone is not None and table.index.tz != zone:
            table = table.tz_convert(zone)
        same[name] = table.sort_index(kind="stable")
    return same


def with_dates(table: pd.DataFrame) -> pd.DataFrame:
    """The table with dates in place of periods, which matplotlib cannot draw: their starts."""
    index = table.index
    return table.set_axis(index.to_timestamp()) if isinstance(index, pd.PeriodIndex) else table


def column_of(name: str, table: pd.DataFrame, column: Any) -> pd.Series:
    """One column of a table, as floats; the only column of a table may have any name."""
    if table.shape[1] > 1:
        choose("column", column, table.columns, f"columns of {name}")
    values = table[column] if table.shape[1] > 1 else table.iloc[:, 0]
    return as_floats(name, values)


def as_floats(name: str, values: pd.Series | pd.DataFrame) -> Any:
    """The values as floats; TypeError if they are no real numbers."""
    try:
        if np.iscomplexobj(values):
            raise TypeError("it holds complex numbers")
        return values.astype(float)
    except (TypeError, ValueError) as error:
        msg = f"{name} must hold real numbers to draw. Got other values: {error}."
        raise TypeError(msg) from error


def bands_of(intervals: pd.DataFrame, column: Any) -> list[tuple[float, pd.Series, pd.Series]]:
    """Coverage, lower and upper end of the intervals, the widest first."""
    columns = intervals.columns
    if columns.nlevels != 3 or set(columns.get_level_values(2)) != {"lower", "upper"}:
        msg = (
            f"intervals must have the columns of sktime's predict_interval, (variable, coverage, "
            f"'lower' or 'upper'). Got {columns[0]!r} instead; call predict_interval(fh, "
            f"coverage=[0.5, 0.9])."
        )
        raise ValueError(msg)
    variables = columns.get_level_values(0).unique()
    if len(variables) > 1:
        choose("column", column, variables, "variables of intervals")
        intervals = intervals[[column]]
    bands = as_floats("intervals", intervals.droplevel(0, axis=1))
    coverages = sorted(bands.columns.get_level_values(0).unique(), reverse=True)
    return [(c, bands[c, "lower"], bands[c, "upper"]) for c in coverages]


def contributions_of(table: pd.DataFrame, by: str, column: Any) -> tuple[pd.DataFrame, Any]:
    """Contributions to the forecasts of one column of y, by source or part, and that column.

    The explanation of a single column does not name it; it is called y. Rows that cannot be
    forecast are left out.
    """
    names = list(table.columns.names)
    if names[-2:] != ["part", "source"]:
        msg = (
            f"explanation must have the column levels 'part' and 'source'. Got {names} instead; "
            f"pass what skrnn.explain returns."
        )
        raise ValueError(msg)
    single = len(names) == 2
    columns = ["y"] if single else table.columns.get_level_values(0).unique().tolist()
    column = choose("column", column, columns, "columns of explanation")
    table = as_floats("explanation", table if single else table[column]).dropna()
    if len(table) == 0:
        msg = "explanation must have a forecast to draw, but all of its rows are NaN."
        raise ValueError(msg)
    names = [part if by == "part" else _name_of_source(part, source) for part, source in table]
    return table.T.groupby(names, sort=False).sum().T, column


def _name_of_source(part: str, source: str) -> str:
    """Where a contribution comes from, whatever part of the forecast it belongs to.

    The weights of the mix shift the level of the series between the naive forecasts and the
    intercept of the linear one, so that these are one.
    """
    if part in ("naive", "center") or (part, source) == ("linear", "intercept"):
        return "naive and intercept"
    if part == "correction" and source in ("network", "baseline"):
        return "correction" if source == "network" else "correction at baseline"
    return part if part in ("distribution", "range") else source


def largest(
    table: pd.DataFrame, n: int, by_variation: bool
) -> tuple[pd.DataFrame, pd.Series | None]:
    """The n columns that vary most over the rows, or are largest, and the sum of the others.

    None instead of a sum of nothing but zeros.
    """
    size = table.std(ddof=0) if by_variation else table.abs().mean()
    shown = size.nlargest(n)
    is_shown = table.columns.isin(shown.index[shown > LEAST_SHARE_SHOWN * size.max()])
    others = table.loc[:, ~is_shown]
    return table.loc[:, is_shown], others.sum(axis=1) if (others != 0).any(axis=None) else None


def paths_of(paths: pd.DataFrame, column: Any) -> pd.DataFrame:
    """The first paths of one column of y, a column for each."""
    index = paths.index
    if index.nlevels < 2 or index.names[-2] != "path":
        msg = (
            f"paths must have the index levels of skrnn.sample_paths, 'path' before the time. Got "
            f"{list(index.names)} instead; pass its result."
        )
        raise ValueError(msg)
    number = index.get_level_values(-2)
    first = number.unique()[:MAX_PATHS]
    values = column_of("paths", paths[number.isin(first)], column)
    return values.unstack(-2)


def n_observations(n_history: int | str | None, n_forecasts: int, n_past: int) -> int:
    """How many of the observations before the first forecast are drawn."""
    if n_history is None:
        return n_past
    if isinstance(n_history, str) and n_history == "auto":
        return min(n_past, max(MIN_OBSERVATIONS, OBSERVATIONS_PER_FORECAST * n_forecasts))
    if not isinstance(n_history, Integral) or n_history < 1:
        msg = (
            f"The 'n_history' parameter must be an int of at least 1, 'auto' or None. Got "
            f"{n_history!r} instead; to draw no history, leave out y."
        )
        raise ValueError(msg)
    return min(n_past, int(n_history))


def backtest_of(name: str, table: pd.DataFrame, column: Any) -> tuple[pd.DataFrame, Any]:
    """Columns y_true and y_pred of a backtest for one column of y, and the name of that column.

    A backtest of a single column does not name it; it is called y.
    """
    sides = table.columns.get_level_values(0)
    if not {"y_true", "y_pred"} <= set(sides):
        msg = (
            f"{name} must have the columns 'y_true' and 'y_pred'. Got {list(sides.unique())} "
            f"instead; pass what skrnn.backtest returns."
        )
        raise ValueError(msg)
    single = table.columns.nlevels == 1
    columns = ["y"] if single else table["y_true"].columns.tolist()
    column = choose("column", column, columns, f"columns of {name}")
    table = table if single else table.xs(column, axis=1, level=1)
    return as_floats(name, table[["y_true", "y_pred"]]), column


def complete_rows(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Rows with both an observation and a forecast."""
    table = table.dropna()
    if len(table) == 0:
        msg = (
            f"{name} must have a row with both y_true and y_pred, but one of them is NaN in every "
            f"row. Check the forecasts."
        )
        raise ValueError(msg)
    return table


def rows_at_step(name: str, table: pd.DataFrame, step: int | None) -> pd.DataFrame:
    """Rows forecast that many steps ahead, or all rows of a table without cutoffs."""
    steps: list[int] = []
    if "cutoff" in table.index.names:
        cutoff, time = (pd.Index(table.index.get_level_values(i)) for i in ("cutoff", -1))
        grid = cutoff.union(time).unique()
        steps_ahead = grid.get_indexer(time) - grid.get_indexer(cutoff)
        steps = np.unique(steps_ahead).tolist()
        if step is not None:
            step = choose("step", step, steps, f"steps ahead of {name}")
            table = table[steps_ahead == step]
        table = table.droplevel("cutoff")
    duplicated = table.index[table.index.duplicated()]
    if len(duplicated):
        if step is None and len(steps) > 1:
            choose("step", None, steps, f"steps ahead of {name}")
        msg = (
            f"{name} must forecast each time once, but {duplicated[0]} is duplicated. Keep one row."
        )
        raise ValueError(msg)
    return table


def times_in_window(times: pd.Index, window: int | slice | None) -> pd.Index:
    """The shared times to draw: the last so many, those of a slice, or all."""
    if isinstance(window, slice):
        chosen = times[times.slice_indexer(window.start, window.stop, window.step)]
    elif window is None:
        chosen = times
    elif isinstance(window, Integral) and window >= 1:
        chosen = times[-int(window) :]
    else:
        msg = (
            f"The 'window' parameter must be an int of at least 1, a slice of time stamps or None. "
            f"Got {window!r} instead."
        )
        raise ValueError(msg)
    if len(chosen) == 0:
        msg = (
            f"The tables must share times in the window, but of {len(times)} shared times none is "
            f"in {window!r}. Backtest from cutoffs that overlap, or widen the window."
        )
        raise ValueError(msg)
    return chosen


def histories_of(trained: Any, prefix: str) -> dict[str, pd.DataFrame]:
    """Training histories, of each network one, by labels that begin with the prefix."""
    history = history_of(trained)
    levels = range(history.index.nlevels - 1)
    if not levels:
        return {prefix: history}
    # By values: the keys of a single level are tuples in all versions of pandas.
    groups = history.groupby([history.index.get_level_values(k) for k in levels], sort=False)
    names = [str(history.index.names[level]) for level in levels]
    return {
        prefix + "".join(f"{n} {k}, " for n, k in zip(names, key, strict=True)): part
        for key, part in groups
    }


def history_of(trained: Any) -> pd.DataFrame:
    """Training history of a forecaster, or of the view of a training that a callback gets."""
    found = (getattr(trained, name, None) for name in ("history_", "history"))
    history = next((table for table in found if isinstance(table, pd.DataFrame)), None)
    kind = type(trained).__name__
    if history is None:
        if isinstance(trained, BaseRecurrentForecaster):
            trained.check_is_fitted()
        msg = (
            f"plot_history takes what has a training history, one or a mapping of names to them: "
            f"forecasters of skrnn, or the training that a callback gets. Got {kind} instead. Pass "
            f"a fitted forecaster, for example the best_forecaster_ or best_estimator_ of a search."
        )
        raise TypeError(msg)
    if len(history) == 0:
        msg = (
            f"A training history must have at least one epoch, but that of {kind} has none. Fit "
            f"with num_epochs of at least 1."
        )
        raise ValueError(msg)
    if not {"epoch", "loss"} <= set(history):
        msg = (
            f"A training history must have the columns 'epoch' and 'loss', but that of {kind} has "
            f"{list(history)}. Pass a forecaster of skrnn."
        )
        raise ValueError(msg)
    return history


def _kind_of_stamps(name: str, index: pd.Index) -> str:
    if index.hasnans:
        msg = f"The index of {name} must have no missing time stamp. Drop the row, or fill it."
        raise ValueError(msg)
    if isinstance(index, (pd.DatetimeIndex, pd.PeriodIndex)):
        with_zone = getattr(index, "tz", None) is not None
        return f"dates {'with' if with_zone else 'without'} a time zone"
    if pd.api.types.is_numeric_dtype(index) and not pd.api.types.is_bool_dtype(index):
        return "numbers"
    msg = (
        f"The index of {name} must hold integers, dates or periods. Got {type(index).__name__} of "
        f"{index.dtype}, such as {index[0]!r}; convert it, for example by pd.to_datetime."
    )
    raise TypeError(msg)


def _levels(index: pd.Index) -> list[int]:
    """Levels of an index that name the series: those before the cutoff and the time."""
    return [i for i in range(index.nlevels - 1) if index.names[i] != "cutoff"]


def _series_of_rows(index: pd.Index) -> pd.Index | None:
    """Series of each row; None for a single series without a name."""
    levels = _levels(index)
    return index.droplevel([i for i in range(index.nlevels) if i not in levels]) if levels else None
