"""Ragged arrays: series of different lengths, one after another in one array."""

from __future__ import annotations

import numpy as np
import pandas as pd


def numbered(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number the items of a ragged array, of which series s has ``counts[s]``.

    Returns
    -------
    series : np.ndarray of shape (counts.sum(),)
        The series of each item.
    number : np.ndarray of shape (counts.sum(),)
        The number of each item within its series, from 0.
    """
    series = np.repeat(np.arange(len(counts)), counts)
    return series, np.arange(len(series)) - np.repeat(np.cumsum(counts) - counts, counts)


def sampled_items(counts: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Some items of a ragged array, see `sampled`: what `numbered` says of them, and how many.

    The other items are not numbered, which would take 16 bytes each.
    """
    stop = np.cumsum(counts)
    n = int(stop[-1])
    kept = sampled(n, most)
    series = np.searchsorted(stop, kept, side="right")
    return series, kept - (stop - counts)[series], n


def evenly_spaced(n: int, most: int) -> np.ndarray:
    """Evenly spaced integers from 0 to n - 1: all n of them, or ``most`` if that is fewer."""
    return np.linspace(0, n - 1, min(n, most)).astype(np.int64)


def sampled(n: int, most: int) -> np.ndarray:
    """Ascending integers below n: all of them, or one of each of ``most`` equal stretches.

    Which one is random, but the same at every call. Evenly spaced integers would all be of one
    phase of a season if their distance is a multiple of it.
    """
    edges = np.arange(min(n, most) + 1) * n // max(1, min(n, most))
    return np.random.default_rng(0).integers(edges[:-1], edges[1:])


def series_offsets(index: pd.Index) -> np.ndarray:
    """First row of each series in a pandas index, and the number of rows; shape (S + 1,)."""
    if not isinstance(index, pd.MultiIndex):
        return np.array([0, len(index)])
    codes = np.column_stack([np.asarray(level) for level in index.codes[:-1]])
    change = np.flatnonzero((codes[1:] != codes[:-1]).any(axis=1)) + 1
    return np.concatenate([[0], change, [len(index)]]).astype(np.int64)
