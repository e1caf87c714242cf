"""The start of training of many networks whose series are alike in shape, each on its own."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skrnn.data.ragged import numbered
from skrnn.features.batch import Targets
from skrnn.features.device_panel import DevicePanel
from skrnn.network.network import RecurrentNetwork
from skrnn.network.randomness import RandomStreams
from skrnn.network.stack import NetworkStack
from skrnn.training.chunks import Chunks
from skrnn.training.stack_trainer import Lane
from skrnn.training.start import start, start_on_more

# Rows of all networks of which linear forecasts are computed at once.
ROWS_AT_ONCE = 2**16


@torch.no_grad()
def start_stack(
    stack: NetworkStack,
    data: DevicePanel,
    first_series: np.ndarray,
    chunks: Chunks,
    streams: RandomStreams,
    before: Tensor | None = None,
) -> Tensor:
    """`start` for each network of a stack.

    Parameters
    ----------
    stack : NetworkStack
        Changed in place.
    data : DevicePanel
        The series of all networks.
    first_series : np.ndarray of shape (M,)
        Number of each network's first series.
    chunks : Chunks
        Of one network; the others have series of the same lengths.
    streams : RandomStreams
        What each network draws from.
    before : Tensor of shape (M, J, C, N), optional
        The scores of each network's mix from which an earlier training started: `start_on_more`.

    Returns
    -------
    Tensor of shape (M, J, C, N)
        The scores from which they start on these rows.
    """
    if before is None:
        return _each(partial(start, streams=streams), stack, data, first_series, chunks)
    go_on = partial(start_on_more, streams=streams)
    return _each(go_on, stack, data, first_series, chunks, before)


@torch.no_grad()
def looked_up(stack: NetworkStack, data: DevicePanel, lanes: Sequence[Lane]) -> DevicePanel:
    """The panel with the naive forecasts of each network from every row of its series."""
    features = data.features
    shape = len(data.values), len(features.horizons), features.n_outputs, features.n_mixed
    forecasts = data.values.new_zeros(shape)
    alike: dict[bytes, list[Lane]] = defaultdict(list)
    for lane in lanes:
        alike[lane.chunks.data.lengths.tobytes()].append(lane)
    places = {id(member): k for k, member in enumerate(m for lane in lanes for m in lane.members)}
    for same in alike.values():
        members = [member for lane in same for member in lane.members]
        some = stack.select([places[id(member)] for member in members])
        lengths = same[0].chunks.data.lengths
        series, t = (torch.from_numpy(part).to(data.device) for part in numbered(lengths))
        first = torch.tensor([member.first_series for member in members], device=data.device)
        at_once = max(1, ROWS_AT_ONCE // len(members))
        for s, row in zip(series.split(at_once), t.split(at_once), strict=True):
            of_all = (first[:, None] + s).flatten(), row.repeat(len(members))
            targets = data.targets(of_all[0], of_all[1][:, None])
            place = data.first[of_all[0]] + of_all[1]
            forecasts[place] = some.each(_naive, targets)[:, 0]
    return data.holding(forecasts)


def _naive(network: RecurrentNetwork, targets: Targets) -> Tensor:
    return network.naive_forecasts(targets)[0]


def _each(
    function: Callable,
    stack: NetworkStack,
    data: DevicePanel,
    first_series: np.ndarray,
    chunks: Chunks,
    *others: Tensor,
) -> Any:
    parts = _by_network(data, first_series, chunks.data)

    def of_one(network: RecurrentNetwork, own: dict[str, Tensor], *others: Tensor) -> Any:
        return function(network, chunks.reading(_with_parts(chunks.data, own)), *others)

    # The count of observations is read as a number, which is the same for all.
    tensors = {name: part for name, part in stack.tensors.items() if name != "n_observations"}
    return NetworkStack(stack.template, tensors).of_each(of_one, parts, *others)


def _by_network(data: DevicePanel, first_series: np.ndarray, one: DevicePanel) -> dict[str, Tensor]:
    """What is read by row or by series of each network, (M, ...), in the order of its rows."""
    n_rows, n_series = len(one.values), len(one.lengths)
    first = torch.from_numpy(first_series).to(data.device)
    series = first[:, None] + torch.arange(n_series, device=data.device)  # (M, S)
    rows = data.first[first][:, None] + torch.arange(n_rows, device=data.device)  # (M, N)
    lengths = torch.from_numpy(one.lengths).to(data.device)
    of_calendar = rows + data.lead[series].repeat_interleave(lengths, dim=1)
    parts = {"values": rows, "observed": rows, "means": rows, "numbers": rows, "scale": series}
    parts |= {"calendar": of_calendar}
    if data.features.linear_lags:
        parts |= {"linear_calendar": of_calendar, "ordinal": of_calendar}
    return {
        name: getattr(data, name)[index]
        for name, index in parts.items()
        if getattr(data, name) is not None
    }


def _with_parts(one: DevicePanel, parts: dict[str, Tensor]) -> DevicePanel:
    """The panel of one network with what it reads; its calendar has a row for each row."""
    panel = copy.copy(one)
    vars(panel).update(parts, lead=torch.zeros_like(one.lead))
    return panel
