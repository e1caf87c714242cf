"""Plotting: forecasts with their intervals and contributions, histories, backtests side by side.

Every function draws on one matplotlib axes and returns it. With ``ax=None`` it makes a new figure,
which is ``ax.figure``. Nothing is shown or saved.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from skrnn.figures.axes import (
    COLORS,
    MAX_MARKERS,
    OTHERS,
    STYLES,
    axes_and_legend,
    label,
    paler,
    places,
    whole_numbers,
)
from skrnn.figures.tables import (
    backtest_of,
    bands_of,
    choose,
    choose_series,
    column_of,
    complete_rows,
    contributions_of,
    frame_of,
    histories_of,
    largest,
    n_observations,
    paths_of,
    rows_at_step,
    rows_of_series,
    same_stamps,
    times_in_window,
    with_dates,
)
from skrnn.metrics import smape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_comparison", "plot_explanation", "plot_forecast", "plot_history"]


def plot_forecast(
    y_pred: pd.Series | pd.DataFrame,
    y: pd.Series | pd.DataFrame | None = None,
    *,
    y_true: pd.Series | pd.DataFrame | None = None,
    intervals: pd.DataFrame | None = None,
    paths: pd.DataFrame | None = None,
    series: Any = None,
    column: Any = None,
    n_history: int | str | None = "auto",
    ax: Axes | None = None,
) -> Axes:
    """Draw a forecast after the last observations, with its intervals and its paths.

    Parameters
    ----------
    y_pred : pd.Series, pd.DataFrame, or panel of shape (N, C)
        Result of ``predict``; the index holds integers, dates or periods, in any order.
    y : pd.Series, pd.DataFrame or panel, optional
        Observations. Those after the last forecast are not drawn. The line of the forecast starts
        at the last observation before the first forecast.
    y_true : pd.Series, pd.DataFrame or panel, optional
        Observations at the times of the forecast, which the forecaster did not know.
    intervals : pd.DataFrame, optional
        Result of ``predict_interval``, with one or several coverages; narrow ones are darker.
    paths : pd.DataFrame, optional
        Result of `skrnn.sample_paths`. The first 50 are drawn.
    series : label or tuple of labels, optional
        The series of a panel to draw. Not needed if there is only one.
    column : label, optional
        The column to draw. Not needed if there is only one.
    n_history : int, "auto" or None, default="auto"
        Maximum number of observations to draw before the first forecast. ``"auto"`` draws five
        times the number of forecasts, but at least 50; None draws all.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax``, or the axes of the new figure.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If a table is not pandas or holds no numbers, if its time stamps are of another kind than
        those of ``y_pred`` (numbers, dates with or without a time zone), or if ``ax`` is no axes.
    ValueError
        If all forecasts are NaN, or if ``series`` or ``column`` is unknown, or missing where there
        are several.

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
    tables = {"y_pred": frame_of("y_pred", y_pred)} | {
        name: frame_of(name, table)
        for name, table in (("y", y), ("y_true", y_true), ("intervals", intervals))
        if table is not None
    }
    if paths is not None:
        named = choose("column", column, tables["y_pred"].columns, "columns of y_pred")
        tables["paths"] = paths_of(frame_of("paths", paths), named)
    series = choose_series(tables, series)
    tables = same_stamps(
        {name: with_dates(rows_of_series(table, series)) for name, table in tables.items()}
    )
    column = choose("column", column, tables["y_pred"].columns, "columns of y_pred")
    forecast = column_of("y_pred", tables["y_pred"], column)
    if y is not None and (tables["y"].index > forecast.index[-1]).all():
        msg = (
            "y must hold an observation before the last forecast, but all lie after it. Pass the "
            "forecasts first: plot_forecast(y_pred, y)."
        )
        raise ValueError(msg)
    if forecast.isna().all():
        msg = f"y_pred must have a value to draw, but all {len(forecast)} forecasts are NaN."
        raise ValueError(msg)
    nothing = forecast.iloc[:0]
    first, end = forecast.index[0], forecast.index[-1]
    observed = column_of("y", tables["y"], column).loc[:end] if "y" in tables else nothing
    n_past = int((observed.index < first).sum())
    n_shown = n_observations(n_history, len(forecast), n_past)
    last = observed.iloc[n_past - 1 : n_past] if n_past else nothing
    actual = nothing
    if "y_true" in tables:
        actual = column_of("y_true", tables["y_true"], column).loc[first:end]
    bands = bands_of(tables["intervals"], column) if "intervals" in tables else []

    ax, legend = axes_and_legend(ax)
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
            color=paler(COLORS[0], 0.6 * k / (len(bands) + 1), ax),
            linewidth=0,
            zorder=1,
            label=f"{100 * coverage:g} % interval",
        )
    if "paths" in tables:
        drawn = tables["paths"]
        drawn = np.vstack([np.repeat(last.to_numpy()[:, None], drawn.shape[1], axis=1), drawn])
        times = last.index.append(tables["paths"].index)
        lines = ax.plot(times, drawn, color=COLORS[0], linewidth=0.6, alpha=0.35, zorder=1.5)
        lines[0].set_label("paths")
    line = pd.concat([last, forecast])
    marked = range(len(last), len(line)) if len(forecast) <= MAX_MARKERS else []
    ax.plot(line.index, line, ".-", color=COLORS[0], markevery=marked, label="forecast")
    time = next((t.index.name for t in tables.values() if t.index.name), "time")
    label(ax, forecast.index.rename(time), column, series, legend)
    return ax


def plot_history(
    forecasters: Any,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Draw the loss of each training epoch, for one forecaster or several.

    With ``validation_split``, the validation loss is dashed. Its best epoch, whose weights ``fit``
    keeps, is marked. With ``validation_split="auto"``, the epochs after the last validation train
    on all rows. Each network of an ensemble, and that of each series, has a line of its own.

    Parameters
    ----------
    forecasters : GRUForecaster, LSTMForecaster, RNNForecaster, or mapping of names to them
        Fitted forecasters. In a callback, the training that its methods receive. Any object with a
        DataFrame ``history_`` or ``history`` is accepted, with columns ``epoch`` and ``loss``.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax``, or the axes of the new figure.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    NotFittedError
        If a forecaster is not fitted.
    TypeError
        If an object has no training history.
    ValueError
        If a history has no epoch, or if the mapping is empty.

    Examples
    --------
    >>> from sktime.datasets import load_airline
    >>> from skrnn import GRUForecaster
    >>> from skrnn.plotting import plot_history
    >>> forecaster = GRUForecaster(num_epochs=5, validation_split=0.2, random_state=0)
    >>> ax = plot_history(forecaster.fit(load_airline()))
    >>> [line.get_label() for line in ax.get_lines()]
    ['loss', 'validation loss, best in epoch 5']
    """
    if isinstance(forecasters, Mapping) and not forecasters:
        msg = (
            "The 'forecasters' parameter of plot_history must name at least one forecaster, but "
            "it is empty. Pass, for example, {'GRU': forecaster}."
        )
        raise ValueError(msg)
    if isinstance(forecasters, Mapping):
        parts = [histories_of(one, f"{name}, ") for name, one in forecasters.items()]
    else:
        parts = [histories_of(forecasters, "")]
    histories = {label: history for part in parts for label, history in part.items()}

    ax, legend = axes_and_legend(ax)
    for (name, history), color in zip(histories.items(), cycle(COLORS), strict=False):
        epoch, loss = history["epoch"], history["loss"]
        every = -(-len(epoch) // MAX_MARKERS)
        ax.plot(epoch, loss, ".-", color=color, markevery=every, label=f"{name}loss")
        if "validation_loss" in history and history["validation_loss"].notna().any():
            validated = history.dropna(subset="validation_loss")  # not every epoch is
            epoch, validation = validated["epoch"], validated["validation_loss"]
            best = int(validation.argmin())
            text = f"{name}validation loss, best in epoch {epoch.iloc[best]}"
            ax.plot(epoch, validation, "o--", color=color, markevery=[best], label=text)
    ax.set(xlabel="epoch", ylabel="loss")
    whole_numbers(ax)
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
    """Draw the forecasts of several backtests and the actual values, with their sMAPE.

    Only times that all tables forecast are drawn. The sMAPE in the legend is that of the forecasts
    drawn. That of all forecasts is ``smape(table["y_true"], table["y_pred"])``.

    Parameters
    ----------
    tables : mapping of names to pd.DataFrame
        Result of `skrnn.backtest` for each forecaster. Any other table needs the columns
        ``y_true`` and ``y_pred`` and the index (instance levels, time); the level ``cutoff`` is
        optional.
    series : label or tuple of labels, optional
        The series of a panel to draw. Not needed if there is only one.
    column : label, optional
        The column of y to draw. Not needed if there is only one.
    step : int, optional
        Number of steps from cutoff to time of the forecasts to draw, counted in time stamps of the
        table. Not needed if each time was forecast from one cutoff only; without effect for a
        table without cutoffs.
    window : int, slice or None, default=200
        The times to draw: the last ones by number, those in a slice of time stamps, or all.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax``, or the axes of the new figure.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If ``tables`` is not a mapping of DataFrames of numbers, if their time stamps are of
        different kinds, or if ``ax`` is no axes.
    ValueError
        If ``series``, ``column`` or ``step`` is unknown, or missing where there are several; if no
        time is left to draw; or if the tables do not hold the same actual values.

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
        got = tables if isinstance(tables, Mapping) else type(tables).__name__
        msg = (
            f"The 'tables' parameter must map the name of each forecaster to its backtest. Got "
            f"{got} instead; pass, for example, {{'GRU': backtest(forecaster, y)}}."
        )
        raise TypeError(msg)
    named = {f"table {name!r}": frame_of(f"table {name!r}", t) for name, t in tables.items()}
    series = choose_series(named, series)
    lines = {}
    for name, table in named.items():
        table, column = backtest_of(name, table, column)
        table = complete_rows(name, rows_of_series(table, series))
        lines[name] = rows_at_step(name, table, step)
    lines = same_stamps(lines)
    times = reduce(pd.Index.intersection, [table.index for table in lines.values()])
    times = times_in_window(times, window)
    lines = {name: with_dates(table.loc[times]) for name, table in lines.items()}
    first, actual = next((name, table["y_true"]) for name, table in lines.items())
    for name, table in lines.items():
        if not np.allclose(table["y_true"], actual):
            msg = (
                f"All tables must hold the same y_true, but {name} differs from {first}. Backtest "
                f"on the same y, in the same unit."
            )
            raise ValueError(msg)

    ax, legend = axes_and_legend(ax)
    ax.plot(actual.index, actual, color="black", linewidth=2.4, label="actual")
    looks = zip(cycle(STYLES), cycle(COLORS))
    for name, table, (style, color) in zip(tables, lines.values(), looks, strict=False):
        text = f"{name}, sMAPE {smape(actual, table['y_pred']):.2f} %"
        ax.plot(table.index, table["y_pred"], style, color=color, linewidth=1.4, label=text)
    label(ax, actual.index, column, series, legend)
    return ax


def plot_explanation(
    explanation: pd.DataFrame,
    *,
    by: str = "source",
    n_largest: int = 6,
    around: str = "mean",
    series: Any = None,
    column: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the contributions to a forecast as stacked bars over the horizon, the forecast on top.

    Parameters
    ----------
    explanation : pd.DataFrame
        Result of `skrnn.explain`.
    by : {"source", "part"}, default="source"
        What has a colour of its own: each source, whatever part it belongs to, with the naive
        forecasts and the intercept as one; or each part.
    n_largest : int, default=6
        Contributions that vary most over the horizon; the others are drawn as one. At most 6.
    around : {"mean", "zero"}, default="mean"
        "mean" draws by how much each contribution is above or below its own mean over the horizon,
        around the mean of the forecast: why one step is forecast higher than another. "zero" stacks
        the contributions themselves, above and below zero, as for a single step.
    series : label or tuple of labels, optional
        The series of a panel to draw. Not needed if there is only one.
    column : label, optional
        The column of y to draw. Not needed if there is only one.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax``, or the axes of the new figure.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If ``explanation`` is not pandas or holds no numbers, or if ``ax`` is no axes.
    ValueError
        If ``explanation`` is not a result of `skrnn.explain`, if all its rows are NaN, if another
        parameter is out of its range, or if ``series`` or ``column`` is unknown, or missing where
        there are several.

    Examples
    --------
    >>> from sktime.datasets import load_airline
    >>> from skrnn import GRUForecaster, explain
    >>> from skrnn.plotting import plot_explanation
    >>> forecaster = GRUForecaster(random_state=0).fit(load_airline())
    >>> ax = plot_explanation(explain(forecaster, fh=range(1, 25)), n_largest=3)
    >>> ax.get_legend_handles_labels()[1][0]
    'forecast'
    """
    for name, value, allowed in (
        ("by", by, ("source", "part")),
        ("around", around, ("mean", "zero")),
        ("n_largest", n_largest, range(1, len(COLORS) + 1)),
    ):
        is_known = pd.api.types.is_hashable(value) and value in allowed
        if not is_known or isinstance(value, bool):
            msg = (
                f"The {name!r} parameter of plot_explanation must be one of "
                f"{', '.join(map(repr, allowed))}. Got {value!r} instead."
            )
            raise ValueError(msg)
    table = frame_of("explanation", explanation)
    series = choose_series({"explanation": table}, series)
    table = rows_of_series(table, series)
    table = with_dates(same_stamps({"explanation": table})["explanation"])
    table, column = contributions_of(table, by, column)
    forecast, is_centred = table.sum(axis=1), around == "mean" and len(table) > 1
    shown, others = largest(table, n_largest, by_variation=is_centred)
    drawn = [(*pair, color) for pair, color in zip(shown.items(), COLORS, strict=False)]
    if others is not None:
        drawn.append(("other sources", others, OTHERS))

    ax, legend = axes_and_legend(ax)
    x, base = places(table.index), forecast.mean() if is_centred else 0.0
    width = np.diff(x).min() if len(x) > 1 else 1.0
    above = below = np.full(len(x), base)
    for name, height, color in drawn:
        height = (height - height.mean() if is_centred else height).to_numpy()
        bottom = np.where(height >= 0, above, below)
        ax.bar(x, height, width, bottom, color=paler(color, 0.75, ax), linewidth=0, label=name)
        above, below = above + height.clip(min=0), below + height.clip(max=0)
    ax.use_sticky_edges = False  # bars would touch the frame
    marked = len(forecast) <= MAX_MARKERS
    ax.plot(x, forecast, ".-" if marked else "-", color="black", linewidth=1.6, label="forecast")
    text = "mean of the forecast" if is_centred else None
    ax.axhline(base, color="black", linewidth=0.6, linestyle=":", label=text)
    label(ax, table.index, column, series, legend)
    return ax
