"""Recurrence: torch's recurrent layers as operators of ONNX, with their gates in its order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from torch import nn

from skrnn.export.graph import Tensor
from skrnn.network.layers import GRU, LSTM

# Of each kind of layer: the operator, and which of torch's gates ONNX has first, second, ...
OPERATORS: dict[type[nn.Module], tuple[str, tuple[int, ...]]] = {
    GRU: ("GRU", (1, 0, 2)),  # torch: r, z, n; ONNX: z, r, h
    nn.GRU: ("GRU", (1, 0, 2)),
    LSTM: ("LSTM", (0, 3, 1, 2)),  # torch: i, f, g, o; ONNX: i, o, f, c
    nn.LSTM: ("LSTM", (0, 3, 1, 2)),
    nn.RNN: ("RNN", (0,)),
}
# Options of the operators beside their defaults. Torch multiplies the reset gate with the state
# after its weights.
OPTIONS: dict[str, dict[str, Any]] = {"GRU": {"linear_before_reset": 1}, "LSTM": {}, "RNN": {}}

# Of each layer the parts of its state, (1, S, H).
States = list[tuple[Tensor, ...]]


def is_exportable(layer: nn.Module) -> bool:
    """Whether ONNX has an operator that computes this layer."""
    return bool(
        type(layer) in OPERATORS
        and layer.bias
        and not layer.bidirectional
        and layer.num_layers == 1
        and not getattr(layer, "proj_size", 0)
        and getattr(layer, "nonlinearity", "tanh") == "tanh"
    )


class Recurrence:
    """Recurrent layers on one another.

    Parameters
    ----------
    layers : iterable of Module
        Those that `is_exportable` accepts.
    """

    def __init__(self, layers: Iterable[nn.Module]):
        self.layers: list[Any] = list(layers)

    def run(
        self, x: Tensor, states: States | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, States]:
        """Output of the last layer after the last step, (S, H), and the states there.

        Parameters
        ----------
        x : Tensor of shape (S, L, D)
        states : list of tuple of Tensor, optional
            Zeros by default.
        lengths : Tensor of shape (S,), int32, optional
            Steps of each sequence; all by default.
        """
        x, last = x.transpose(1, 0, 2), []  # (L, S, D)
        for k, layer in enumerate(self.layers):
            kind, gates = OPERATORS[type(layer)]
            first = states[k] if states else ()
            every, *parts = x.graph.op(
                kind,
                x,
                *_weights(layer, gates),
                lengths,
                *first,
                n_outputs=3 if kind == "LSTM" else 2,
                hidden_size=layer.hidden_size,
                **OPTIONS[kind],
            )
            last.append(tuple(parts))
            x = every.squeeze(1)  # from one direction of each step, (L, 1, S, H)
        return last[-1][0].squeeze(0), last


def _weights(layer: Any, gates: Sequence[int]) -> list[np.ndarray]:
    """Weights (1, G H, D) and (1, G H, H) and biases (1, 2 G H), the gates in ONNX's order."""
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    of_x, of_h, *bias = (
        getattr(layer, name)
        .detach()
        .cpu()
        .numpy()
        .reshape(len(gates), layer.hidden_size, -1)[list(gates)]
        for name in names
    )
    both = np.concatenate([part.ravel() for part in bias])
    return [x.reshape(1, -1, x.shape[-1]) for x in (of_x, of_h)] + [both[None]]
