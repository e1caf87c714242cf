"""Axes: where a plot is drawn, in which colors, and how its axes are labelled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The palette of Okabe and Ito for colour-blind readers, without its yellow and its black.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
OTHERS = "#999999"  # what has no colour of its own
STYLES = ("-", "--", "-.", ":")  # lines that overlap stay visible
MAX_MARKERS = 30  # with more points than that, they are not marked one by one
FIGURE_SIZE = (10, 4)  # inches
MAX_DATE_TICKS = 8
# In a figure of its own, the legend is beside the axes. Around axes that the user gives there may
# be no room, so the legend is inside, where matplotlib finds the most.
BESIDE = {"loc": "upper left", "bbox_to_anchor": (1, 1), "frameon": False}
INSIDE = {"fontsize": "small"}


def axes_and_legend(ax: Axes | None) -> tuple[Axes, dict[str, Any]]:
    """Axes to draw on, new ones if None, and where the legend goes."""
    try:
        from matplotlib.axes import Axes

        if ax is None:
            import matplotlib.pyplot as plt

            return plt.subplots(figsize=FIGURE_SIZE, layout="constrained")[1], BESIDE
    except ImportError as error:
        msg = 'skrnn.plotting draws with matplotlib. Run `pip install "skrnn[plot]"`.'
        raise ImportError(msg) from error
    if not isinstance(ax, Axes):
        msg = (
            f"The 'ax' parameter must be matplotlib axes or None for a new figure. Got {ax!r} "
            f"instead; pass one of those that plt.subplots() returns."
        )
        raise TypeError(msg)
    return ax, INSIDE


def paler(color: str, share: float, ax: Axes) -> np.ndarray:
    """Mix a share of the color into the background; unlike alpha, the legend shows the same."""
    from matplotlib.colors import to_rgb

    return share * np.array(to_rgb(color)) + (1 - share) * np.array(to_rgb(ax.get_facecolor()))


def places(index: pd.Index) -> np.ndarray:
    """Where the time stamps lie on the horizontal axis: dates as matplotlib counts days."""
    from matplotlib.dates import date2num

    is_dates = isinstance(index, pd.DatetimeIndex)
    return np.asarray(date2num(index) if is_dates else index, dtype=float)


def whole_numbers(ax: Axes) -> None:
    """Put the ticks of the horizontal axis at whole numbers."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))


def label(ax: Axes, index: pd.Index, column: Any, series: Any, legend: dict[str, Any]) -> None:
    """Label the axes, write dates briefly, title the series, and add the legend."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    if isinstance(index, pd.DatetimeIndex):
        ticks = AutoDateLocator(tz=index.tz, minticks=3, maxticks=MAX_DATE_TICKS)
        dates = ConciseDateFormatter(ticks, tz=index.tz)
        dates.formats[2] = dates.zero_formats[2] = "%b-%d"  # a day needs its month
        dates.offset_formats[2] = "%Y"
        ax.xaxis.set_major_locator(ticks)
        ax.xaxis.set_major_formatter(dates)
    else:
        whole_numbers(ax)
    ax.set(xlabel=index.name or "time", ylabel=column if isinstance(column, str) else "y")
    if series is not None:
        ax.set_title(", ".join(map(str, series)) if isinstance(series, tuple) else str(series))
    ax.legend(**legend)
