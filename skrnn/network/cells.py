"""Cells: the recurrent layers by name, the protocol of a user's own, and layers on one another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from skrnn.network.dropout import Dropout
from skrnn.network.layers import GRU, LSTM, states_of_steps

# Of one layer: None is the zero state; an LSTM's has two parts, (hidden, cell).
LayerState = Tensor | tuple[Tensor, ...]
# Of all layers, in their order.
State = tuple[LayerState, ...] | None


class Cell(Protocol):
    """A recurrent layer as `torch.nn.GRU` is one, with ``num_layers=1`` and ``batch_first=True``.

    A class or factory with this protocol is a value of the ``cell`` parameter of `RNNForecaster`.
    It is called as ``cell(input_size, hidden_size, batch_first=True)`` and returns a module.
    """

    def __call__(self, input: Tensor, hx: LayerState | None = None) -> tuple[Tensor, LayerState]:
        """Run over a sequence.

        Parameters
        ----------
        input : Tensor of shape (B, L, C)
            B sequences of L steps with C channels.
        hx : Tensor of shape (1, B, H), or tuple of these, optional
            The state after earlier steps; zeros by default.

        Returns
        -------
        output : Tensor of shape (B, L, H)
            Output of every step.
        state : Tensor of shape (1, B, H), or tuple of these
            The state after the last step: a sequence cut in two, with the state handed on, must
            have the output of the whole one.
        """


CELLS: dict[str, Callable[..., nn.Module]] = {"gru": GRU, "lstm": LSTM, "rnn": nn.RNN}


class RecurrentLayers(nn.Module):
    """Recurrent layers on one another, with dropout between them.

    Parameters
    ----------
    cell : callable
        Makes one layer, see `Cell`.
    input_size, hidden_size, num_layers : int
    dropout : float
        Probability of dropping an output on its way to the next layer.
    """

    def __init__(
        self,
        cell: Callable[..., nn.Module],
        input_size: int,
        hidden_size: int,
        num_layers: int,
        dropout: float,
    ):
        super().__init__()
        sizes = [input_size, *[hidden_size] * (num_layers - 1)]
        self.layers = nn.ModuleList(cell(size, hidden_size, batch_first=True) for size in sizes)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Output of the last layer at every step, (B, L, H), and the state after the last step."""
        states = []
        for k, layer in enumerate(self.layers):
            if k:
                x = self.dropout(x)
            x, last = layer(x, None if state is None else state[k])
            states.append(last)
        return x, tuple(states)

    def states_of_steps(self, x: Tensor) -> tuple[Tensor, State] | None:
        """Output of the last layer, and the states after every step, (B, L, H) each.

        None for cells that cannot tell them.
        """
        states = []
        for layer in self.layers:
            result = states_of_steps(layer, x)
            if result is None:
                return None
            x, of_layer = result
            states.append(of_layer)
        return x, tuple(states)


def each_part(function: Callable[..., Tensor], *states: State | LayerState) -> State:
    """Apply a function to the corresponding tensors of states."""
    if isinstance(states[0], tuple):
        return tuple(each_part(function, *parts) for parts in zip(*states, strict=True))  # type: ignore
    return function(*states)  # type: ignore[return-value]


def select(state: State, sequences: Tensor) -> State:
    """The states of the given sequences of a batch."""
    return each_part(lambda part: part[:, sequences], state)


def concatenated(states: list[State]) -> State:
    """The states of several batches as one batch."""
    return each_part(lambda *parts: torch.cat(parts, dim=1), *states)
