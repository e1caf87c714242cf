"""Outliers: values so far from all others that they decide how a series is scaled."""

from __future__ import annotations

import warnings

import numpy as np

from skrnn.data.panel import Panel

# A value that is so many times the distance between the quartiles away from the median is most
# likely an error: a unit changed, a code for "missing".
FAR = 1_000.0


def warn_of_outliers(panel: Panel) -> None:
    """Warn of the first target value that dwarfs all others of its series.

    The forecaster is trained all the same, for the value may be right.
    """
    for block in panel.blocks():
        message = _outlier(block)
        if message is not None:
            warnings.warn(message, stacklevel=7)  # the line that calls fit
            return


def _outlier(panel: Panel) -> str | None:
    """What to say of the first such value; None if there is none."""
    for c, column in enumerate(panel.columns):
        values = panel.values[:, c]
        for s in _suspects(values, panel.offsets[:-1], panel.lengths):
            first = panel.offsets[s]
            series = values[first : first + panel.lengths[s]]
            low, median, high = np.nanquantile(series, [0.25, 0.5, 0.75])
            row = int(np.nanargmax(np.abs(series - median)))
            times = abs(series[row] - median) / (high - low) if high > low else 0.0
            if times > FAR:
                stamp = panel.timeline.stamps(np.array([panel.origin[s] + row]))[0]
                name = f" in column {column!r}" if len(panel.columns) > 1 else ""
                return (
                    f"Series {panel.label(s)} has the value {series[row]:g}{name} at {stamp}. Its "
                    f"distance from the median is {times:,.0f} times that between the quartiles, "
                    f"so that this value decides how the series is scaled, and forecasts may be "
                    f"far off. If it is an error, replace it by NaN: values may be missing."
                )
    return None


def _suspects(values: np.ndarray, first: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Series in which one value may be that far: it alone makes up most of their variance.

    This finds them in one pass, so that quartiles are computed of these alone.
    """
    observed = ~np.isnan(values)
    counts = np.maximum(np.add.reduceat(observed, first), 1)
    filled = np.where(observed, values, 0.0)
    mean = np.add.reduceat(filled / np.repeat(counts, lengths), first)
    distance = np.where(observed, np.abs(values - np.repeat(mean, lengths)), 0.0)
    largest = np.maximum.reduceat(distance, first)
    share = distance / np.repeat(np.where(largest > 0, largest, 1.0), lengths)
    return np.flatnonzero((largest > 0) & (np.add.reduceat(share**2, first) < 4))
