"""Ensembles: several networks of different seeds, fitted to the same data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from skrnn.contract.checkpoints import Checkpoint
from skrnn.contract.fitting import Record, Trained, Untrained, train, train_on
from skrnn.contract.models import new_network, warm_network
from skrnn.contract.together import Task, train_together
from skrnn.forecasting.ensemble import AnyModel, ensemble_of
from skrnn.forecasting.fitted import Fitted
from skrnn.network.randomness import RandomStreams
from skrnn.training.processes import Processes

# The level of an index that has the numbers of the networks.
MEMBER = "member"


def all_starts(
    forecaster: Any,
    first: Untrained,
    pretrained: AnyModel | None,
    networks: dict[Any, Any] | None = None,
) -> list[Untrained]:
    """What the trainings of all members start from, the first of which is given.

    They differ in network and random numbers; ``networks`` are those of `new_model`.
    """
    starts, device = [first], first.model.device
    for number in range(1, forecaster.n_estimators):
        streams = first.streams.of_member(number)
        if pretrained is None:
            features = first.model.features
            n_units = first.model.architecture["hidden_size"]
            network = new_network(forecaster, features, n_units, device, streams, networks)
            weights = None
        else:
            member = pretrained.members[number]
            network = warm_network(forecaster, member, device)
            weights = member.initial_weights
        model = replace(first.model, network=network, initial_weights=weights)
        starts.append(replace(first, model=model, streams=streams))
    return starts


def train_all(
    forecaster: Any,
    starts: Sequence[Untrained],
    checkpoint: Checkpoint,
    processes: Processes,
    is_new: bool,
) -> list[Trained]:
    """Train all members: at once where that can be, else one after the other."""
    trained: list[Trained | None] = [None] * len(starts)
    if len(starts) > 1 and is_new and processes.n == 1:
        trained = train_together([Task(forecaster, start) for start in starts])
    return [
        train(forecaster, start, checkpoint, processes, is_new) if result is None else result
        for start, result in zip(starts, trained, strict=True)
    ]


def train_all_on(
    forecaster: Any,
    fitted: Fitted,
    previous_end: np.ndarray,
    history: pd.DataFrame,
    num_epochs: Any,
    checkpoint: Checkpoint,
    processes: Processes,
) -> tuple[Fitted, pd.DataFrame]:
    """`train_on` for each member, with its random numbers."""
    members, histories, n = [], [], len(fitted.model.members)
    of_each = zip(fitted.model.members, histories_of_members(history, n), strict=True)
    for number, (member, of_member) in enumerate(of_each):
        seed = RandomStreams(fitted.seed).of_member(number).seed
        one, of_member = train_on(
            forecaster,
            replace(fitted, model=member, seed=seed),
            previous_end,
            of_member,
            int(num_epochs if n == 1 else num_epochs.iloc[number]),
            checkpoint,
            processes,
        )
        members.append(one.single)
        histories.append(of_member)
    return replace(fitted, model=ensemble_of(members)), history_of(histories)


def history_of(histories: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The histories of all members as one, whose index begins with their numbers."""
    if len(histories) == 1:
        return histories[0]
    return pd.concat(histories, keys=range(len(histories)), names=[MEMBER, "row"])


def histories_of_members(history: pd.DataFrame, n: int) -> list[pd.DataFrame]:
    """The history of each of n members."""
    if n == 1:
        return [history]
    number = history.index.get_level_values(MEMBER)
    return [history[number == m].reset_index(drop=True) for m in range(n)]


def num_epochs_of(records: Sequence[Record]) -> Any:
    """Planned epochs: a number, or those of each member."""
    numbers = [record.num_epochs for record in records]
    if len(numbers) == 1:
        return numbers[0]
    return pd.Series(numbers, index=pd.RangeIndex(len(numbers), name=MEMBER))
