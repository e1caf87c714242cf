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
    first, n_wrong = "", 0
    for block in panel.blocks():
        values = block.values[:, : len(block.columns)]
        # Comparisons with NaN, which is a missing value, are false.
        wrong = np.argwhere((values < 0) | (np.abs(values - np.rint(values)) > 0))
        if len(wrong) and not n_wrong:
            row, c = wrong[0]
            series = block.series_of_rows()[row]
            stamp = block.timeline.stamps(block.positions()[row : row + 1])[0]
            column = f", column {block.columns[c]!r}" if len(block.columns) > 1 else ""
            first = f"{block.label(series)}{column} is {values[row, c]:g} at {stamp}"
        n_wrong += len(wrong)
    if n_wrong:
        msg = (
            f"A criterion of counts needs whole numbers of at least 0, but series {first} "
            f"({n_wrong} such values in all). Round or shift the values, or set "
            f"criterion='quantile'."
        )
        raise ValueError(msg)
