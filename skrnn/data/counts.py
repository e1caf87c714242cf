"""Counts: whole numbers that are not negative."""

from __future__ import annotations

import numpy as np

from skrnn.data.panel import Panel


def check_counts(panel: Panel) -> None:
    """Raise unless all observations of the target columns are counts.

    Raises
    ------
    ValueError
        If one is negative or not a whole number.
    """
    values = panel.values[:, : len(panel.columns)]
    # Comparisons with NaN, which is a missing value, are false.
    wrong = np.argwhere((values < 0) | (np.abs(values - np.rint(values)) > 0))
    if len(wrong):
        row, c = wrong[0]
        series = panel.series_of_rows()[row]
        position = panel.positions()[row : row + 1]
        stamp = panel.timeline.stamps(position)[0]
        column = f", column {panel.columns[c]!r}" if len(panel.columns) > 1 else ""
        msg = (
            f"A criterion of counts needs whole numbers of at least 0, but series "
            f"{panel.label(series)}{column} is {values[row, c]:g} at {stamp} ({len(wrong)} such "
            f"values in all). Round or shift the values, or set criterion='quantile'."
        )
        raise ValueError(msg)
