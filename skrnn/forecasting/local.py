"""Local models: a fitted state of its own for each series of a panel."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from skrnn.forecasting.ensemble import NoCommonNetworkError
from skrnn.forecasting.fitted import Fitted, bounded
from skrnn.forecasting.parts import Part, joint_data
from skrnn.forecasting.stacked_decoding import StackCutoffs, StackDecoder
from skrnn.network.stack import NetworkStack, is_stackable


@dataclass(frozen=True)
class LocalFitted:
    """The fitted states of the series of a panel, in their order.

    Parameters
    ----------
    parts : tuple of Fitted
        Each with the panel of its series.
    """

    parts: tuple[Fitted, ...]

    @property
    def keys(self) -> pd.Index:
        """The names of the series."""
        first, *others = (part.panel.keys for part in self.parts)
        return first.append(others)  # type: ignore[union-attr, arg-type]

    def split(self, table: pd.DataFrame | None) -> list[pd.DataFrame | None]:
        """The rows of each series in a table; None where it has none."""
        if table is None:
            return [None] * len(self.parts)
        number = self.numbers(table)
        order = np.argsort(number, kind="stable")
        edges = np.searchsorted(number[order], np.arange(len(self.parts) + 1))
        rows = [order[a:b] for a, b in pairwise(edges)]
        return [table.iloc[of_series] if len(of_series) else None for of_series in rows]

    def numbers(self, table: pd.DataFrame) -> np.ndarray:
        """The number of the series of each row of a table.

        Raises
        ------
        ValueError
            If a row is of a series that was not seen in fit.
        """
        if table.index.nlevels != self.keys.nlevels + 1:
            msg = (
                "Data must have the index levels seen in fit: a panel stays a panel. Fit again on "
                "data of this shape, or call `of_series(key)` for the forecaster of one series."
            )
            raise ValueError(msg)
        keys = table.index.droplevel(-1)
        number = self.keys.get_indexer(keys)
        if (number < 0).any():
            unknown = keys[np.flatnonzero(number < 0)[0]]
            msg = (
                f"Series {unknown!r} was not seen in fit, and with pooling='local' each series has "
                f"a network of its own. Fit again on all series."
            )
            raise ValueError(msg)
        return number

    def points(
        self, steps: Sequence[np.ndarray], X: Sequence[pd.DataFrame | None]
    ) -> list[pd.DataFrame]:
        """Point forecasts of each series, of its steps (1, J) ahead with its X."""
        return points_of_each(self.parts, steps, X)

    def last_stamps(self) -> pd.Index:
        """Index of each series' last observation."""
        first, *others = (part.last_stamps() for part in self.parts)
        return first.append(others)

    def with_context_alone(self) -> LocalFitted:
        """The same without the rows that neither later forecasts nor their intervals read."""
        return LocalFitted(tuple(part.with_context_alone() for part in self.parts))

    @property
    def model(self) -> NoReturn:
        """There is none of all series."""
        msg = (
            "With pooling='local' each series has a network of its own, and there is none of the "
            "panel. Call `of_series(key)` for the forecaster of one series, which has it."
        )
        raise NoCommonNetworkError(msg)

    panel = held_out = early = explained = is_probabilistic = model


def points_of_each(
    parts: Sequence[Fitted], steps: Sequence[np.ndarray], X: Sequence[pd.DataFrame | None]
) -> list[pd.DataFrame]:
    """Point forecasts of each part, of its steps (S, J) ahead with its X, as one by one.

    Parts whose models have one architecture and as many series are forecast at once.
    """
    result: list[Any] = [None] * len(parts)
    groups: dict[Any, list[int]] = defaultdict(list)
    for i, part in enumerate(parts):
        model = part.model
        key: tuple = (i,)  # alone
        is_one = len(model.members) == 1
        if is_one and (steps[i] > 0).all() and is_stackable(model.network):
            built = tuple(model.architecture.items()), model.window_length, model.stride
            key = model.features, str(model.timeline), steps[i].shape, *built
        groups[key].append(i)
    for numbers in groups.values():
        some, of_some = [parts[i] for i in numbers], [steps[i] for i in numbers]
        if len(some) == 1:
            distribution, _, parameters = some[0].forecast(of_some[0], X[numbers[0]])
            values = distribution.point(parameters)[None]
        else:
            values = _points(some, of_some, [X[i] for i in numbers])
        for i, of_part in zip(numbers, values, strict=True):
            panel = parts[i].panel
            series = np.repeat(np.arange(panel.n_series), steps[i].shape[1])
            index = panel.index(series, (panel.end[:, None] - 1 + steps[i]).ravel())
            result[i] = pd.DataFrame(of_part, index, parts[i].model.columns)
    return result


def _points(
    parts: Sequence[Fitted], steps: Sequence[np.ndarray], X: Sequence[pd.DataFrame | None]
) -> np.ndarray:
    """Point forecasts (M, S J, C) of models of one architecture, each for steps (S, J) ahead."""
    read = [part.read_ahead(s, x) for part, s, x in zip(parts, steps, X, strict=True)]
    data = joint_data(
        [
            Part(part.single, extended, part.held_out, m)
            for m, (part, (_, extended)) in enumerate(zip(parts, read, strict=True))
        ]
    )
    model, tails = parts[0].single, [tail for tail, _ in read]
    origin, rows = (
        np.concatenate([getattr(tail, name) for tail in tails]) for name in ("origin", "lengths")
    )
    grid = origin, model.window_length, model.stride, model.features.patch_length
    shape = len(parts), parts[0].panel.n_series
    every = np.arange(shape[0] * shape[1]).reshape(shape)
    cutoffs = StackCutoffs(every, rows.reshape(shape), np.ones(shape))
    stack = NetworkStack.of([part.model.network for part in parts])
    decoder = StackDecoder.at(stack, data, cutoffs, grid)
    horizons = np.unique(np.concatenate(steps))
    distribution, parameters = model.strategy.forecast(decoder, horizons, 0, None)
    parameters = parameters[:, :, : len(model.columns)].astype(np.float64)
    series = np.arange(shape[1])
    pairs = [
        part.single.level_and_scale(series, tail.end[:, None] + horizons - 1)
        for part, tail in zip(parts, tails, strict=True)
    ]
    of_one = (shape[1], len(horizons), len(model.columns), 1)
    center, scale = (
        np.concatenate([np.broadcast_to(part, of_one) for part in of_all])
        for of_all in zip(*pairs, strict=True)
    )
    parameters = distribution.unscaled(parameters, center, scale)
    lower, upper = zip(*(part.bounds for part in parts), strict=True)
    bounds = np.concatenate(lower), np.concatenate(upper)
    distribution, parameters = bounded(distribution, parameters, bounds)
    place = np.searchsorted(horizons, np.concatenate(steps))[..., None]
    values = np.take_along_axis(distribution.point(parameters), place, axis=1)  # (M S, J, C)
    return values.reshape(len(parts), -1, len(model.columns))
