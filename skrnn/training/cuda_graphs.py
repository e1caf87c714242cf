"""CUDA graphs: a training step of many small kernels, launched as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from skrnn.callbacks import Callback
from skrnn.features.batch import Chunk
from skrnn.network.network import RecurrentNetwork

# Steps on batches of one shape before a graph is captured from them, as torch's notes on CUDA
# graphs do it: they create the optimiser's state and the workspaces of cuBLAS and cuDNN.
STEPS_BEFORE_CAPTURE = 3
# Shapes of batches with a graph at most. Series of many lengths have more, each seldom.
MOST_GRAPHS = 16
# A graph holds the kernels, not the Python code around them. These optimisers do all on the device.
CAPTURABLE_OPTIMIZERS = (torch.optim.Adam, torch.optim.AdamW)
# Code that is known to do the same at every step.
KNOWN_PACKAGES = ("skrnn", "torch")


def is_capturable(
    network: RecurrentNetwork, optimizer: torch.optim.Optimizer, callbacks: Iterable[Callback]
) -> bool:
    """Whether every training step launches the same kernels, whatever the numbers.

    A user's own module, hook, naive forecast or optimiser may do something else at each step, and
    so may a callback that does not only observe.
    """
    return (
        runs_known_code(network)
        and type(optimizer) in CAPTURABLE_OPTIMIZERS
        and all(group["fused"] for group in optimizer.param_groups)
        and all(callback.only_observes for callback in callbacks)
    )


def runs_known_code(network: RecurrentNetwork) -> bool:
    """Whether no module, hook, naive forecast or loss is a user's own."""
    return (
        all(map(_is_known, network.modules()))
        and not any(
            p._backward_hooks or p._post_accumulate_grad_hooks for p in network.parameters()
        )
        and not network.naive_forecasts.has_users_own
        and network.distribution.is_capturable
    )


def _is_known(module: nn.Module) -> bool:
    hooks = (
        module._forward_hooks,
        module._forward_pre_hooks,
        module._backward_hooks,
        module._backward_pre_hooks,
    )
    return type(module).__module__.split(".")[0] in KNOWN_PACKAGES and not any(hooks)


@dataclass
class Graph:
    """A captured step.

    Parameters
    ----------
    graph : torch.cuda.CUDAGraph
    inputs : list of Tensor
        The batch that it reads, replaced before each replay.
    rates : list of Tensor
        The learning rates that it reads, likewise.
    loss : Tensor
    gradients : list of Tensor or None
        Of each parameter, written by a replay.
    """

    graph: torch.cuda.CUDAGraph
    inputs: list[Tensor]
    rates: list[Tensor]
    loss: Tensor
    gradients: list[Tensor | None]


class CudaGraphs:
    """Training steps on a CUDA device, captured once for each shape of batch and then replayed.

    At the defaults a step has some 200 kernels. The GPU computes them in .7 ms, but launching them
    one by one takes the CPU 5 ms (NVIDIA H200, torch 2.11). A replay launches them at once.

    The first steps of each shape run one by one. What a graph holds as a constant is part of the
    key under which it is found: shapes, types, and the optimiser's options except the learning
    rate.

    Parameters
    ----------
    step : callable
        Trains on a batch and returns its loss: forward, backward and optimiser step.
    parameters : list of nn.Parameter
    optimizer : torch.optim.Adam or torch.optim.AdamW
        Fused.
    generator : torch.Generator or None
        What dropout draws from.
    """

    def __init__(
        self,
        step: Callable[[Chunk], Tensor],
        parameters: list[nn.Parameter],
        optimizer: torch.optim.Optimizer,
        generator: torch.Generator | None,
    ):
        self.step, self.parameters, self.optimizer = step, parameters, optimizer
        self.generator = generator
        self.steps: Counter = Counter()
        self.graphs: dict[Any, Graph] = {}
        self.stream = torch.cuda.Stream(parameters[0].device)
        self.memory = torch.cuda.graph_pool_handle()  # replays follow each other: one is enough

    def __call__(self, chunk: Chunk) -> Tensor:
        """Train on a batch and return its loss."""
        tensors = list(_tensors(chunk))
        key = self._constants(), tuple((tensor.shape, tensor.dtype) for tensor in tensors)
        graph = self.graphs.get(key)
        if graph is None:
            self.steps[key] += 1
            if self.steps[key] <= STEPS_BEFORE_CAPTURE or len(self.graphs) == MOST_GRAPHS:
                return self._one_by_one(chunk)
            graph = self.graphs[key] = self._captured(chunk)
        return self._replay(graph, tensors)

    def _constants(self) -> tuple:
        """The options of the optimiser that a graph holds."""
        varying = ("params", "lr", "initial_lr")
        groups = self.optimizer.param_groups
        return tuple(value for g in groups for name, value in g.items() if name not in varying)

    def _one_by_one(self, chunk: Chunk) -> Tensor:
        """The step outside of a graph, on the stream that captures."""
        present = torch.cuda.current_stream(self.stream.device)
        self.stream.wait_stream(present)
        with torch.cuda.stream(self.stream):
            loss = self.step(chunk)
        present.wait_stream(self.stream)
        return loss

    def _captured(self, chunk: Chunk) -> Graph:
        """A graph of the step, which is not computed yet."""
        groups, device = self.optimizer.param_groups, self.stream.device
        inputs = _copied(chunk)
        rates = [torch.zeros((), dtype=torch.float32, device=device) for _ in groups]
        options = [{name: group[name] for name in ("lr", "capturable")} for group in groups]
        graph = torch.cuda.CUDAGraph()
        if self.generator is not None:
            graph.register_generator_state(self.generator)
        for group, rate in zip(groups, rates, strict=True):
            group.update(lr=rate, capturable=True)
        for parameter in self.parameters:
            parameter.grad = None  # the graph has gradients of its own
        try:
            # Other threads may go on using the device meanwhile.
            with torch.cuda.graph(
                graph, pool=self.memory, stream=self.stream, capture_error_mode="thread_local"
            ):
                loss = self.step(inputs)
        finally:
            for group, option in zip(groups, options, strict=True):
                group.update(option)
        gradients = [parameter.grad for parameter in self.parameters]
        return Graph(graph, list(_tensors(inputs)), rates, loss, gradients)

    def _replay(self, graph: Graph, tensors: list[Tensor]) -> Tensor:
        torch._foreach_copy_(graph.inputs, tensors)
        for rate, group in zip(graph.rates, self.optimizer.param_groups, strict=True):
            rate.fill_(group["lr"])
        graph.graph.replay()
        for parameter, gradient in zip(self.parameters, graph.gradients, strict=True):
            parameter.grad = gradient
        return graph.loss.clone()  # the next replay overwrites it

    def close(self) -> None:
        """Give up the memory of the graphs, to which the gradients belong."""
        self.graphs.clear()
        for parameter in self.parameters:
            parameter.grad = None


def _tensors(batch: Any) -> Iterator[Tensor]:
    """The tensors of a batch, in the order of its fields."""
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, tuple):
        for part in batch:
            yield from _tensors(part)


def _copied(batch: Any) -> Any:
    """The batch with tensors of its own."""
    if isinstance(batch, Tensor):
        return batch.clone(memory_format=torch.contiguous_format)
    if isinstance(batch, tuple):
        return type(batch)(*map(_copied, batch))
    return batch
