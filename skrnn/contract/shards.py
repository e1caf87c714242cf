"""Shards: the series of a panel that each process of a group has read."""

from __future__ import annotations

from typing import Any

import pandas as pd

from skrnn.training.processes import Processes


def whole(processes: Processes, y: Any, X: pd.DataFrame | None) -> tuple[Any, Any]:
    """The series of all processes in the order of these, if each has read others.

    Data that are the same everywhere stay as they are; whether they are is compared later.

    Raises
    ------
    ValueError
        If some series are those of two processes and others are not, or if columns or levels of
        the index differ.
    """
    if processes.n == 1:
        return y, X
    keys = _keys(y)
    of_all = processes.gathered(keys)
    if any(other is None for other in of_all) or all(other.equals(of_all[0]) for other in of_all):
        return y, X
    _check_disjoint(of_all)
    processes.check_alike({"the columns of y": _form(y), "the columns of X": _form(X)})
    shards = processes.gathered((y, X))
    joined = [None if parts[0] is None else pd.concat(parts) for parts in zip(*shards, strict=True)]
    return joined[0], joined[1]


def _keys(y: Any) -> pd.Index | None:
    """The names of the series of a panel."""
    is_panel = isinstance(y, pd.DataFrame) and isinstance(y.index, pd.MultiIndex)
    return y.index.droplevel(-1).unique() if is_panel else None


def _form(data: pd.DataFrame | None) -> str:
    """Columns and levels of the index, as text."""
    return "" if data is None else f"{[*data.columns]} {[*data.index.names]}"


def _check_disjoint(of_all: list[pd.Index]) -> None:
    """Raise ValueError if a series belongs to two processes."""
    owner: dict[Any, int] = {}
    for rank, keys in enumerate(of_all):
        for key in keys:
            if key in owner:
                msg = (
                    f"Each process of the torch.distributed group must have all series, or series "
                    f"that no other has, but processes {owner[key]} and {rank} both have series "
                    f"{key!r}, and not all have the same series. Give each its own part of the "
                    f"panel, or all of them the whole panel."
                )
                raise ValueError(msg)
            owner[key] = rank
