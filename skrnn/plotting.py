"""Plotting: forecasts with their intervals, training histories, backtests side by side.

Every function draws on one matplotlib axes and returns it. Where ``ax`` is None it makes a figure
of its own, which is at ``ax.figure``; nothing is shown or saved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from itertools import cycle
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from skrnn.contract.forecaster import BaseRecurrentForecaster
from skrnn.metrics import smape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_comparison", "plot_forecast", "plot_history"]

# Okabe and Ito's palette, told apart by the colour-blind, without its yellow and its black.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
STYLES = ("-", "--", "-.", ":")  # lines that lie on one another stay visible
POINTS = 30  # up to so many, each is marked
LISTED = 10  # names in a message
# The legend is beside the axes of a figure of its own; what surrounds axes that are given is not
# known, so it is in them, where matplotlib finds the most room.
BESIDE = {"loc": "upper left", "bbox_to_anchor": (1, 1), "frameon": False}
INSIDE = {"fontsize": "small"}


def plot_forecast(
    y_pred: pd.Series | pd.DataFrame,
    y: pd.Series | pd.DataFrame | None = None,
    *,
    y_true: pd.Series | pd.DataFrame | None = None,
    intervals: pd.DataFrame | None = None,
    series: Any = None,
    column: Any = None,
    n_history: int | str | None = "auto",
    ax: Axes | None = None,
) -> Axes:
    """Draw a forecast where the observations end, with its intervals.

    Parameters
    ----------
    y_pred : pd.Series, pd.DataFrame, or panel of shape (N, C)
        What ``predict`` returned; the index holds integers, dates or periods.
    y : pd.Series, pd.DataFrame or panel, optional
        Observations. Those after the last forecast are left out; the last one before the first
        forecast is where the forecast's line begins.
    y_true : pd.Series, pd.DataFrame or panel, optional
        Observations at the times of the forecast, which the forecaster did not know.
    intervals : pd.DataFrame, optional
        What ``predict_interval`` returned, of one or several coverages; narrow ones are darker.
    series : label or tuple of labels, optional
        The series of a panel to draw; it may be left out where there is only one.
    column : label, optional
        The column to draw; it may be left out where there is only one.
    n_history : int, "auto" or None, default="auto"
        Observations before the first forecast that are drawn: so many at most, five times the
        number of forecasts but at least 50, or all.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If something is not pandas, or has integers for time stamps where ``y_pred`` has dates.
    ValueError
        If ``series`` or ``column`` names none of those there are, or must and does not.

    Examples
    --------
    >>> from skrnn import GRUForecaster
    >>> from skrnn.datasets import make_hourly_load
    >>> from skrnn.plotting import plot_forecast
    >>> y = make_hourly_load(n_series=2, n_hours=500, random_state=0)
    >>> forecaster = GRUForecaster(hidden_size=8, num_epochs=5, random_state=0).fit(y)
    >>> ax = plot_forecast(forecaster.predict(fh=range(1, 25)), y, series="region_00")
    >>> [line.get_label() for line in ax.get_lines()]
    ['observed', 'forecast']
    """
    given = {"y_pred": y_pred, "y": y, "y_true": y_true, "intervals": intervals}
    tables = {name: _frame(name, table) for name, table in given.items() if table is not None}
    series = _series(tables, series)
    tables = {name: _placed(_of_series(table, series)) for name, table in tables.items()}
    _check_stamps(tables)
    column = _choose("column", column, tables["y_pred"].columns, "columns of y_pred")
    forecast = tables["y_pred"][column].astype(float)
    first, end = forecast.index[0], forecast.index[-1]
    observed = _column(tables, "y", column).loc[:end]
    n_past = int((observed.index < first).sum())
    n_shown = min(n_past, _n_history(n_history, len(forecast), n_past))
    last = observed.iloc[n_past - 1 : n_past] if n_past else observed.iloc[:0]
    actual = _column(tables, "y_true", column).loc[first:end]
    bands = _bands(tables["intervals"], column) if "intervals" in tables else []

    ax, legend = _axes(ax)
    observed = observed.iloc[n_past - n_shown :]
    if len(observed):
        ax.plot(observed.index, observed, color="black", linewidth=1.2, label="observed")
    if len(actual):
        actual = pd.concat([last, actual])
        ax.plot(actual.index, actual, ":", color="black", linewidth=1.6, label="actual")
    for k, (coverage, lower, upper) in enumerate(bands, start=1):
        lower, upper = pd.concat([last, lower]), pd.concat([last, upper])
        ax.fill_between(
            lower.index,
            lower,
            upper,
            color=_paler(COLORS[0], 0.6 * k / (len(bands) + 1), ax),
            linewidth=0,
            zorder=1,
            label=f"{100 * coverage:g} % interval",
        )
    line = pd.concat([last, forecast])
    marked = range(len(last), len(line)) if len(forecast) <= POINTS else []
    ax.plot(line.index, line, ".-", color=COLORS[0], markevery=marked, label="forecast")
    time = next((t.index.name for t in tables.values() if t.index.name), "time")
    _label(ax, forecast.index.rename(time), column, series, legend)
    return ax


def plot_history(
    forecasters: BaseRecurrentForecaster | Mapping[str, BaseRecurrentForecaster],
    *,
    ax: Axes | None = None,
) -> Axes:
    """Draw the loss of each epoch of training, of one forecaster or of several.

    With ``validation_split``, the validation loss is dashed and its best epoch, whose weights
    ``fit`` keeps, is marked.

    Parameters
    ----------
    forecasters : GRUForecaster, LSTMForecaster, RNNForecaster, or mapping of names to them
        Fitted, or being fitted, as in a callback.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    NotFittedError
        If a forecaster is not fitted.
    ValueError
        If a forecaster was fitted without training.

    Examples
    --------
    >>> from sktime.datasets import load_airline
    >>> from skrnn import GRUForecaster
    >>> from skrnn.plotting import plot_history
    >>> forecaster = GRUForecaster(num_epochs=5, validation_split=0.2, random_state=0)
    >>> ax = plot_history(forecaster.fit(load_airline()))
    >>> [line.get_label() for line in ax.get_lines()]
    ['loss', 'validation loss, best in epoch 1']
    """
    if isinstance(forecasters, Mapping):
        histories = {f"{name}, ": _history(one) for name, one in forecasters.items()}
    else:
        histories = {"": _history(forecasters)}

    ax, legend = _axes(ax)
    for (name, history), color in zip(histories.items(), cycle(COLORS), strict=False):
        epoch, loss = history["epoch"], history["loss"]
        marked = -(-len(epoch) // POINTS)
        ax.plot(epoch, loss, ".-", color=color, markevery=marked, label=f"{name}loss")
        if "validation_loss" in history:
            validation = history["validation_loss"]
            best = int(validation.argmin())
            label = f"{name}validation loss, best in epoch {epoch[best]}"
            ax.plot(epoch, validation, "o--", color=color, markevery=[best], label=label)
    ax.set(xlabel="epoch", ylabel="loss")
    _number(ax)
    ax.legend(**legend)
    return ax


def plot_comparison(
    tables: Mapping[str, pd.DataFrame],
    *,
    series: Any = None,
    column: Any = None,
    step: int | None = None,
    window: int | slice | None = 200,
    ax: Axes | None = None,
) -> Axes:
    """Draw the forecasts of several backtests over the actual values, with their sMAPE.

    Only times that all tables forecast are drawn. The legend's sMAPE is that of the forecasts
    drawn; that of all of them is ``smape(table["y_true"], table["y_pred"])``.

    Parameters
    ----------
    tables : mapping of names to pd.DataFrame
        What `skrnn.backtest` returned for each forecaster. A table of another origin needs
        columns ``y_true`` and ``y_pred`` and the index (instance levels, time); it need not have
        a level ``cutoff``.
    series : label or tuple of labels, optional
        The series of a panel to draw; it may be left out where there is only one.
    column : label, optional
        The column of y to draw; it may be left out where there is only one.
    step : int, optional
        Steps from cutoff to time of the forecasts to draw, counted in time stamps of the table.
        It may be left out where each time was forecast from one cutoff, and plays no part in a
        table without cutoffs.
    window : int, slice or None, default=200
        The times to draw: the last so many, those from a slice of time stamps, or all.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If ``tables`` is not a mapping of DataFrames.
    ValueError
        If ``series``, ``column`` or ``step`` names none of those there are, or must and does not,
        if no time is left to draw, or if the tables do not share their actual values.

    Examples
    --------
    >>> from skrnn import GRUForecaster, LSTMForecaster, backtest
    >>> from skrnn.datasets import make_hourly_load
    >>> from skrnn.plotting import plot_comparison
    >>> y = make_hourly_load(n_series=2, n_hours=600, random_state=0)
    >>> train, tables = y.groupby(level=0).head(500), {}
    >>> for forecaster in (GRUForecaster, LSTMForecaster):
    ...     fitted = forecaster(hidden_size=8, num_epochs=5, random_state=0).fit(train)
    ...     tables[forecaster.__name__] = backtest(fitted, y, fh=[1, 24], start=499)
    >>> ax = plot_comparison(tables, series="region_01", step=24, window=48)
    >>> [line.get_label() for line in ax.get_lines()]
    ['actual', 'GRUForecaster, sMAPE ... %', 'LSTMForecaster, sMAPE ... %']
    """
    if not isinstance(tables, Mapping) or not tables:
        msg = (
            f"The 'tables' parameter must map the name of each forecaster to its backtest, but "
            f"{tables if isinstance(tables, Mapping) else type(tables).__name__} came. Pass, for "
            f"example, {{'GRU': backtest(forecaster, y)}}."
        )
        raise TypeError(msg)
    known = {f"table {name!r}": _frame(f"table {name!r}", t) for name, t in tables.items()}
    series = _series(known, series)
    lines = []
    for name, table in known.items():
        columns = _columns(name, table)
        column = _choose("column", column, columns, f"columns of {name}")
        table = table if table.columns.nlevels == 1 else table.xs(column, axis=1, level=1)
        table = _at_step(name, _of_series(table, series)[["y_true", "y_pred"]].dropna(), step)
        lines.append(table)
    times = _window(reduce(pd.Index.intersection, [table.index for table in lines]), window)
    lines = [_placed(table.loc[times]) for table in lines]
    actual = lines[0]["y_true"]
    for name, table in zip(known, lines, strict=True):
        if not np.allclose(table["y_true"], actual):
            msg = (
                f"All tables must hold the same y_true, but {name} differs from "
                f"{next(iter(known))}. Backtest on the same y, in the same unit."
            )
            raise ValueError(msg)

    ax, legend = _axes(ax)
    ax.plot(actual.index, actual, color="black", linewidth=2.4, label="actual")
    looks = zip(cycle(STYLES), cycle(COLORS))
    for name, table, (style, color) in zip(tables, lines, looks, strict=False):
        label = f"{name}, sMAPE {smape(actual, table['y_pred']):.2f} %"
        ax.plot(table.index, table["y_pred"], style, color=color, linewidth=1.4, label=label)
    _label(ax, actual.index, column, series, legend)
    return ax


# --------------------------------------------------------------------- what to draw


def _frame(name: str, table: Any) -> pd.DataFrame:
    if not isinstance(table, (pd.Series, pd.DataFrame)):
        msg = (
            f"{name} must be pandas, but {type(table).__name__} came. Convert it to a Series or "
            f"DataFrame with its time stamps as the index."
        )
        raise TypeError(msg)
    if len(table) == 0:
        msg = f"{name} must have at least one row, but it is empty. Pass the rows to draw."
        raise ValueError(msg)
    return table.to_frame() if isinstance(table, pd.Series) else table


def _choose(parameter: str, wanted: Any, names: Iterable, kind: str) -> Any:
    """Return the name that is wanted, or the only one."""
    names = list(names)
    if wanted is None and len(names) == 1:
        return names[0]
    if wanted not in names:
        listed = ", ".join(map(repr, names[:LISTED])) + ", ..." * (len(names) > LISTED)
        msg = (
            f"The {parameter!r} parameter must name one of the {len(names)} {kind}, {listed}. "
            f"Got {wanted!r} instead; pass one of them, such as {parameter}={names[0]!r}."
        )
        raise ValueError(msg)
    return wanted


def _instances(index: pd.Index) -> pd.Index | None:
    """Series of each row; None without levels before the cutoff and the time."""
    levels = [i for i in range(index.nlevels - 1) if index.names[i] != "cutoff"]
    return index.droplevel([i for i in range(index.nlevels) if i not in levels]) if levels else None


def _series(tables: dict[str, pd.DataFrame], series: Any) -> Any:
    """Return the series to draw, which every panel among the tables must hold."""
    found = {name: _instances(table.index) for name, table in tables.items()}
    panels = {name: instances for name, instances in found.items() if instances is not None}
    for name, instances in panels.items():
        series = _choose("series", series, instances.unique(), f"series of {name}")
    if series is not None and not panels:
        msg = (
            f"The 'series' parameter must be None for a single series, which has no name in its "
            f"index. Got {series!r} instead; leave it out."
        )
        raise ValueError(msg)
    return series


def _of_series(table: pd.DataFrame, series: Any) -> pd.DataFrame:
    """Rows of one series, without its levels."""
    instances = _instances(table.index)
    if instances is None:
        return table
    levels = [i for i in range(table.index.nlevels - 1) if table.index.names[i] != "cutoff"]
    return table[instances.isin([series])].droplevel(levels)


def _column(tables: dict[str, pd.DataFrame], name: str, column: Any) -> pd.Series:
    """One column of a table, empty if there is no such table; a single one may have any name."""
    if name not in tables:
        return tables["y_pred"][column].iloc[:0].astype(float)
    table = tables[name]
    if table.shape[1] > 1:
        _choose("column", column, table.columns, f"columns of {name}")
        return table[column].astype(float)
    return table.iloc[:, 0].astype(float)


def _bands(intervals: pd.DataFrame, column: Any) -> list[tuple[float, pd.Series, pd.Series]]:
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
        _choose("column", column, variables, "variables of intervals")
        intervals = intervals[[column]]
    bands = intervals.droplevel(0, axis=1).astype(float)
    coverages = sorted(bands.columns.get_level_values(0).unique(), reverse=True)
    return [(c, bands[c, "lower"], bands[c, "upper"]) for c in coverages]


def _n_history(n_history: int | str | None, n_forecasts: int, n_past: int) -> int:
    if n_history is None:
        return n_past
    if isinstance(n_history, str) and n_history == "auto":
        return max(50, 5 * n_forecasts)
    if not isinstance(n_history, Integral) or n_history < 1:
        msg = (
            f"The 'n_history' parameter must be an int of at least 1, 'auto' or None. Got "
            f"{n_history!r} instead; to draw no history, leave out y."
        )
        raise ValueError(msg)
    return int(n_history)


def _history(forecaster: Any) -> pd.DataFrame:
    if not isinstance(forecaster, BaseRecurrentForecaster):
        msg = (
            f"plot_history takes forecasters of skrnn, one or a mapping of names to them, but "
            f"{type(forecaster).__name__} came. Pass a fitted one, of a search its "
            f"best_forecaster_ or best_estimator_."
        )
        raise TypeError(msg)
    if not hasattr(forecaster, "history_"):
        forecaster.check_is_fitted()
    if len(forecaster.history_) == 0:
        msg = (
            f"A training history must hold an epoch, but this {type(forecaster).__name__} has "
            f"none. Fit it, with num_epochs of at least 1."
        )
        raise ValueError(msg)
    return forecaster.history_


def _columns(name: str, table: pd.DataFrame) -> list:
    """Names of the columns of y in a backtest; a single one has none, and is called y."""
    sides = table.columns.get_level_values(0)
    if not {"y_true", "y_pred"} <= set(sides):
        msg = (
            f"{name} must have the columns 'y_true' and 'y_pred'. Got {list(sides.unique())} "
            f"instead; pass what skrnn.backtest returns."
        )
        raise ValueError(msg)
    return ["y"] if table.columns.nlevels == 1 else table["y_true"].columns.tolist()


def _at_step(name: str, table: pd.DataFrame, step: int | None) -> pd.DataFrame:
    """Rows of one step ahead, by time; of a table without cutoffs, all of them."""
    steps: list[int] = []
    if "cutoff" in table.index.names:
        cutoff, time = (pd.Index(table.index.get_level_values(i)) for i in ("cutoff", -1))
        grid = cutoff.union(time).unique()
        ahead = grid.get_indexer(time) - grid.get_indexer(cutoff)
        steps = np.unique(ahead).tolist()
        if step is not None:
            table = table[ahead == _choose("step", step, steps, f"steps ahead of {name}")]
        table = table.droplevel("cutoff")
    twice = table.index[table.index.duplicated()]
    if len(twice):
        if step is None and len(steps) > 1:
            _choose("step", None, steps, f"steps ahead of {name}")
        msg = f"{name} must forecast each time once, but {twice[0]} is there twice. Keep one row."
        raise ValueError(msg)
    return table.sort_index()


def _window(times: pd.Index, window: int | slice | None) -> pd.Index:
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


# ------------------------------------------------------------------ how it is drawn


def _placed(table: pd.DataFrame) -> pd.DataFrame:
    """The table at places that matplotlib knows: a period at its start."""
    index = table.index
    return table.set_axis(index.to_timestamp()) if isinstance(index, pd.PeriodIndex) else table


def _check_stamps(tables: dict[str, pd.DataFrame]) -> None:
    dated = {name: isinstance(table.index, pd.DatetimeIndex) for name, table in tables.items()}
    for name, is_dated in dated.items():
        if is_dated != dated["y_pred"]:
            kinds = {True: "dates", False: "numbers"}
            msg = (
                f"{name} must have time stamps of the kind of y_pred, {kinds[not is_dated]}, but "
                f"{kinds[is_dated]} came. Give both the same index."
            )
            raise TypeError(msg)


def _axes(ax: Axes | None) -> tuple[Axes, dict[str, Any]]:
    """Axes to draw on, and where its legend goes."""
    if ax is not None:
        return ax, INSIDE
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        msg = 'skrnn.plotting draws with matplotlib. Run `pip install "skrnn[plot]"`.'
        raise ImportError(msg) from error
    return plt.subplots(figsize=(10, 4), layout="constrained")[1], BESIDE


def _paler(color: str, share: float, ax: Axes) -> np.ndarray:
    """Mix a share of the color into the background; unlike alpha, the legend shows the same."""
    from matplotlib.colors import to_rgb

    return share * np.array(to_rgb(color)) + (1 - share) * np.array(to_rgb(ax.get_facecolor()))


def _number(ax: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))


def _label(ax: Axes, index: pd.Index, column: Any, series: Any, legend: dict[str, Any]) -> None:
    """Name the axes, write dates briefly, and tell the lines apart."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    if isinstance(index, pd.DatetimeIndex):
        ticks = AutoDateLocator(tz=index.tz, minticks=3, maxticks=8)
        dates = ConciseDateFormatter(ticks, tz=index.tz)
        dates.formats[2] = dates.zero_formats[2] = "%b-%d"  # a day is told with its month
        dates.offset_formats[2] = "%Y"
        ax.xaxis.set_major_locator(ticks)
        ax.xaxis.set_major_formatter(dates)
    else:
        _number(ax)
    ax.set(xlabel=index.name or "time", ylabel=column if isinstance(column, str) else "y")
    if series is not None:
        ax.set_title(", ".join(map(str, series)) if isinstance(series, tuple) else str(series))
    ax.legend(**legend)
