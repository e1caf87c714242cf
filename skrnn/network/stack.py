"""A stack: networks of one architecture, computed at once, each with weights of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_flatten, tree_unflatten

from skrnn.features.batch import Steps, Targets
from skrnn.network.cells import State
from skrnn.network.layers import GRU, LSTM
from skrnn.network.network import Mixed, RecurrentNetwork
from skrnn.network.stacked_layers import (
    Packed,
    has_kernels,
    packed,
    run_stacked_layer,
    stacked_layer,
    stacked_states,
)

# How torch names the weights of a layer.
WEIGHTS = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


def is_stackable(network: RecurrentNetwork) -> bool:
    """Whether networks of this architecture can be computed at once.

    The recurrent layers must be those of the package on a CPU, and what else is computed must be
    known: a user's own module may do anything. Dropout would need random numbers of each network.
    """
    return (
        all(type(layer) in (GRU, LSTM) for layer in network.recurrent.layers)
        and next(network.parameters()).device.type == "cpu"
        and has_kernels()
        and not network.has_dropout
        and not network.naive_forecasts.has_users_own
        and type(network.distribution).__module__.startswith("skrnn.")
        and not any(True for _ in network.distribution.parameters())
    )


class NetworkStack:
    """M networks of one architecture, computed at once.

    Batches hold equally many sequences of each network, those of the first network first: M B
    sequences are (M B, L, ...). Methods and results are those of `RecurrentNetwork`.

    Parameters
    ----------
    template : RecurrentNetwork
        Its architecture and its constants; its weights are not read.
    tensors : dict of Tensor
        Weights and buffers by their names, with a leading axis of M networks.
    """

    def __init__(self, template: RecurrentNetwork, tensors: dict[str, Tensor]):
        self.template, self.tensors = template, tensors
        self.features, self.distribution = template.features, template.distribution
        self.direct, self.recurrent_layers = template.direct, template.recurrent.layers
        self.names = [name for name, _ in template.named_parameters()]
        self._caller = _Caller(template)
        self._packed_layers: dict[int, Packed] = {}

    @classmethod
    def of(cls, networks: Sequence[RecurrentNetwork]) -> NetworkStack:
        """The stack of copies of these networks."""
        states = [network.state_dict() for network in networks]
        tensors = {name: torch.stack([state[name] for state in states]) for name in states[0]}
        return cls(networks[0], tensors)

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    @property
    def parameters(self) -> list[Tensor]:
        """What is trained, in the order of the network's parameters."""
        return [self.tensors[name] for name in self.names]

    def with_parameters(self, parameters: Sequence[Tensor]) -> NetworkStack:
        """The stack with other values of its parameters."""
        named = dict(zip(self.names, parameters, strict=True))
        return NetworkStack(self.template, self.tensors | named)

    def select(self, networks: Any) -> NetworkStack:
        """Some of the networks, by an index or a slice, which copies nothing."""
        parts = {name: tensor[networks] for name, tensor in self.tensors.items()}
        return NetworkStack(self.template, parts)

    def network(self, number: int) -> RecurrentNetwork:
        """A copy of one network, alone."""
        return with_state(
            self.template, {name: tensor[number] for name, tensor in self.tensors.items()}
        )

    # ---------------------------------------------------------------- as a RecurrentNetwork

    def encode(self, steps: Steps, state: State = None) -> tuple[Tensor, State]:
        """Output of the recurrent layers at every step, and the state after the last."""
        return self.recurrent(self.inputs(steps), state)

    def inputs(self, steps: Steps) -> Tensor:
        """The inputs of every step, (M B, L, D)."""
        if len(self.template.embeddings):
            return self.each(RecurrentNetwork.inputs, steps)
        return self.template.inputs(steps)

    def recurrent(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Output of the last recurrent layer, (M B, L, H), and the state after the last step."""
        x, states = x.unflatten(0, (len(self), -1)), []
        for k in range(len(self.recurrent_layers)):
            first = self._first_state(k, x, state)
            if torch.is_grad_enabled():
                x, last = stacked_layer(x, first, self._weights(k))
            else:
                x, last = run_stacked_layer(x, first, self._packed(k))
            flat = tuple(part.flatten(0, 1)[None] for part in last)
            states.append(flat if len(flat) > 1 else flat[0])
        return x.flatten(0, 1), tuple(states)

    def states(self, steps: Steps) -> tuple[Tensor, State]:
        """Output of the recurrent layers, (M B, L, H), and state after every step, (M B, L, H)."""
        x, states = self.inputs(steps).unflatten(0, (len(self), -1)), []
        for k in range(len(self.recurrent_layers)):
            x, every = stacked_states(x, self._first_state(k, x, None), self._packed(k))
            flat = tuple(part.flatten(0, 1) for part in every)
            states.append(flat if len(flat) > 1 else flat[0])
        return x.flatten(0, 1), tuple(states)

    def _first_state(self, k: int, x: Tensor, state: State) -> tuple[Tensor, ...]:
        """The state of a layer before the first step, (M, B, H) each."""
        layer = self.recurrent_layers[k]
        shape = (*x.shape[:2], layer.hidden_size)
        if state is None:
            zeros = x.new_zeros(shape)
            return (zeros, zeros) if isinstance(layer, LSTM) else (zeros,)
        parts = state[k] if isinstance(state[k], tuple) else (state[k],)
        return tuple(part[0].view(shape) for part in parts)  # type: ignore[index]

    def _weights(self, k: int) -> tuple[Tensor, ...]:
        return tuple(self.tensors[f"recurrent.layers.{k}.{name}"] for name in WEIGHTS)

    def _packed(self, k: int) -> Packed:
        """The weights of a layer in the order of the kernels; they must not change any more."""
        if k not in self._packed_layers:
            self._packed_layers[k] = packed(*self._weights(k))
        return self._packed_layers[k]

    def decode(self, hidden: Tensor, targets: Targets) -> Tensor:
        """Parameters of the forecasts, (M B, L, J, C, K)."""
        return self.each(RecurrentNetwork.decode, hidden, targets)

    def mixed(self, hidden: Tensor, targets: Targets) -> Mixed:
        """The correction, and the naive forecasts with their weights."""
        return self.each(RecurrentNetwork.mixed, hidden, targets)

    def parameters_of(self, mixed: Mixed, targets: Targets) -> Tensor:
        """Parameters of the distribution whose location is the mix and its correction."""
        return self.template.parameters_of(mixed, targets)

    def losses(self, hidden: Tensor, targets: Targets, values: Tensor, weight: Tensor) -> Tensor:
        """Mean loss of each network over its targets that count, (M,).

        Parameters
        ----------
        hidden : Tensor of shape (M B, L, H)
            Outputs of the recurrent layers.
        targets, values, weight : see `RecurrentNetwork.loss`
        """
        return self.of_each(_loss, *self.by_network((hidden, targets, values, weight)))

    def by_network(self, batch: Any) -> Any:
        """The tensors of a batch (M B, ...) as (M, B, ...)."""
        return _mapped(lambda part: part.unflatten(0, (len(self), -1)), batch)

    def each(self, function: Callable, *args: Any) -> Any:
        """What a function of a network and of its part of batches returns, as batches.

        Parameters
        ----------
        function : callable
            Gets a network and its part of each argument.
        *args : Tensor, None, or tuples of these
            With a leading axis of M B.

        Returns
        -------
        Tensor, None, or tuples of these
            With a leading axis of M B.
        """
        results = self.of_each(function, *self.by_network(args))
        return _mapped(lambda part: part.flatten(0, 1), results)

    def of_each(self, function: Callable, *args: Any) -> Any:
        """The same with arguments and results that have a leading axis of M.

        What the function changes in place in weights and buffers, it changes in the stack.
        """
        leaves, structure = tree_flatten(args)
        returned: list[Any] = []

        def one(tensors: dict[str, Tensor], parts: list[Tensor]) -> list[Tensor]:
            own = tree_unflatten(_merged(leaves, parts), structure)
            state = {f"network.{name}": tensor for name, tensor in tensors.items()}
            result = functional_call(self._caller, state, (function, *own))
            returned[:], result_structure = tree_flatten(result)
            returned.append(result_structure)
            return [leaf for leaf in returned if isinstance(leaf, Tensor)]

        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        results = torch.vmap(one)(self.tensors, tensors)
        *flat, structure = returned
        return tree_unflatten(_merged(flat, results), structure)


def _mapped(change: Callable[[Tensor], Tensor], tree: Any) -> Any:
    """The same tuples, with tensors that were changed."""
    leaves, structure = tree_flatten(tree)
    leaves = [change(leaf) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
    return tree_unflatten(leaves, structure)


def _merged(leaves: Sequence[Any], tensors: Sequence[Tensor]) -> list[Any]:
    """The leaves, with other tensors in the places of tensors."""
    given = iter(tensors)
    return [next(given) if isinstance(leaf, Tensor) else leaf for leaf in leaves]


class _Caller(nn.Module):
    """A network as the first argument of a function, so that torch can exchange its weights."""

    def __init__(self, network: RecurrentNetwork):
        super().__init__()
        self.network = network

    def forward(self, function: Callable, *args: Any) -> Any:
        return function(self.network, *args)


def _loss(
    network: RecurrentNetwork, hidden: Tensor, targets: Targets, values: Tensor, weight: Tensor
) -> Tensor:
    return network.loss(network.decode(hidden, targets).float(), values, weight)


def with_state(template: nn.Module, state: dict[str, Tensor], prefix: str = "") -> Any:
    """A module like another, with a copy of other weights; `copy.deepcopy` takes ten times as long.

    Constants, which are not in the state, are shared.
    """
    module = object.__new__(type(template))
    # Hooks of one network are none of another.
    attributes = {
        name: value.copy() if isinstance(value, dict) else value
        for name, value in vars(template).items()
    }
    attributes["_parameters"] = {
        name: nn.Parameter(state[prefix + name].detach().clone())
        for name in template._parameters
        if f"{prefix}{name}" in state
    } | {name: None for name, value in template._parameters.items() if value is None}
    attributes["_buffers"] = {
        name: state[prefix + name].detach().clone() if prefix + name in state else buffer
        for name, buffer in template._buffers.items()
    }
    attributes["_modules"] = {
        name: None if child is None else with_state(child, state, f"{prefix}{name}.")
        for name, child in template._modules.items()
    }
    vars(module).update(attributes)
    if isinstance(module, nn.RNNBase):
        module._init_flat_weights()
    return module
