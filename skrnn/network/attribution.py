r"""Attribution: how much of the correction is due to each group of inputs.

The correction is a function f of all inputs of the steps up to a forecast. From the baseline, see
`RecurrentNetwork.baseline`, the inputs move to what they are along a straight line, in `N_PIECES`
pieces. In each piece the groups move one after the other. By the gradient theorem, the integral of
the gradient of f over the part of the path in which one group moves is the difference of f at the
two ends of that part. So a group's attribution is a sum of differences, and no gradient is needed:
one forward pass serves all horizons and columns, and any cell will do. All attributions together
are the correction minus that at the baseline, to rounding.

The order of the groups matters less the more pieces there are; the mean over an order and its
reverse differs from the integral along the straight line itself, which is known as integrated
gradients [1]_, by a term in the square of a piece's length.

References
----------
.. [1] M. Sundararajan, A. Taly, Q. Yan, "Axiomatic Attribution for Deep Networks", ICML 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from skrnn.network.network import RecurrentNetwork

# Pieces of the path. With 8, attributions of a trained network are within 1 % of the integral
# along the straight line.
N_PIECES = 8
# Steps of all runs in one forward pass.
STEPS_AT_ONCE = 50_000


class InputGroups(NamedTuple):
    """The group, 0 to G - 1, of each channel of a step's inputs and of a target's known inputs.

    n_groups : G.
    inputs : (D,).
    known : (Q,).
    """

    n_groups: int
    inputs: Tensor
    known: Tensor

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        inputs: Sequence[str],
        known: Sequence[str],
        device: torch.device,
    ) -> InputGroups:
        """The groups with these names, of channels that belong to these."""
        places = {name: g for g, name in enumerate(names)}
        group = [torch.tensor([places[s] for s in part]).long() for part in (inputs, known)]
        return cls(len(names), *(part.to(device) for part in group))


class Located(NamedTuple):
    """Steps of runs from which m x T forecasts of J horizons are made.

    inputs : of the recurrent layer at each step of R runs, (R, L, D).
    run, step : run and step of each forecast, (m, 1) and (m, T).
    known : known inputs of the targets, (m, T, J, Q); None if those of the steps hold them.
    """

    inputs: Tensor
    run: Tensor
    step: Tensor
    known: Tensor | None


def attributed(network: RecurrentNetwork, groups: InputGroups, at: Located) -> Tensor:
    """Attribution of the correction to each group, and last its baseline, (m, T, J, C, G + 1)."""
    rank = torch.arange(groups.n_groups, device=at.inputs.device)
    one_way, baseline = _in_order(network, groups, at, rank)
    other_way, _ = _in_order(network, groups, at, rank.flip(0))
    return torch.cat([(one_way + other_way) / 2, baseline[None]]).movedim(0, -1)


def _in_order(
    network: RecurrentNetwork, groups: InputGroups, at: Located, rank: Tensor
) -> tuple[Tensor, Tensor]:
    """By how much each group moves the correction, (G, m, T, J, C), and that at the baseline.

    ``rank`` (G,) is when in each piece of the path the group moves.
    """
    n = groups.n_groups
    part = torch.arange(N_PIECES * n, device=rank.device)[:, None]  # a group in a piece
    share = (part // n + (part % n >= rank)) / N_PIECES  # (P, G)
    share = torch.cat([torch.zeros_like(share[:1]), share])
    corrections = _corrections(network, groups, at, share)
    moved = corrections.diff(dim=0).unflatten(0, (N_PIECES, n)).sum(0)
    return moved[rank], corrections[0]


def _corrections(
    network: RecurrentNetwork, groups: InputGroups, at: Located, share: Tensor
) -> Tensor:
    """The correction where each group has gone a share (P, G) of its way, (P, m, T, J, C)."""
    share = share.to(at.inputs.dtype)
    start = network.baseline(at.inputs.shape[-1])
    way = at.inputs - start
    known_start = known_way = None
    if at.known is not None:
        known_start = network.baseline(at.known.shape[-1])
        known_way = at.known - known_start
    n_at_once = max(1, STEPS_AT_ONCE // max(1, way[..., 0].numel()))
    parts = []
    for levels in share.split(n_at_once):
        inputs = start + way * levels[:, None, None, groups.inputs]  # (p, R, L, D)
        hidden = network.recurrent(inputs.flatten(0, 1))[0].unflatten(0, inputs.shape[:2])
        hidden = hidden[:, at.run, at.step].flatten(0, 1)  # (p m, T, H)
        known = None
        if known_way is not None:
            moved = known_way * levels[:, None, None, None, groups.known]
            known = (known_start + moved).flatten(0, 1)
        parts.append(network.correction(hidden, known).unflatten(0, (len(levels), -1)))
    return torch.cat(parts)
