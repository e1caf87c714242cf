"""Random numbers of one training, independent of the global generators of torch and numpy."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch.utils._python_dispatch import TorchDispatchMode  # torch's documented way, in spite of _

# Seeds are drawn below this bound: all that a 32-bit signed integer can hold.
SEED_BOUND = 2**31
# A meta tensor holds no numbers and has no generators; its operators accept those of the CPU.
DEVICES_OF_THE_CPU_GENERATOR = ("cpu", "meta")


class RandomStreams:
    """Random numbers of one training, from one seed.

    They neither read nor change the global generators of torch and numpy, so trainings in several
    threads repeat their results, and the random numbers of the caller stay as they were.

    Parameters
    ----------
    seed : int
        Seed of all streams.

    Attributes
    ----------
    seed : int
    numpy : numpy.random.Generator
        For draws in numpy, such as the order of the batches.
    weights : torch.Generator
        For the initial weights, on the CPU.
    """

    def __init__(self, seed: int):
        self.seed = int(seed)
        self.numpy = np.random.default_rng(self.seed)
        self.weights = torch.Generator().manual_seed(self.seed)
        self._dropout: dict[str, torch.Generator] = {}
        self._unused_states: dict[str, torch.Tensor] = {}  # loaded, of devices not asked for yet

    @classmethod
    def of(cls, random_state: int | np.random.RandomState | None) -> RandomStreams:
        """Streams for scikit-learn's ``random_state``.

        None draws fresh entropy from the operating system. A RandomState is advanced by one draw.
        """
        if random_state is None:
            return cls(int(np.random.SeedSequence().generate_state(1)[0]))
        return cls(int(check_random_state(random_state).randint(SEED_BOUND - 1)))

    def of_member(self, number: int) -> RandomStreams:
        """Unused streams for one of several trainings; the first, 0, has the seed of these.

        The seed of each depends on this seed and its number alone, not on how many there are.
        """
        if not number:
            return RandomStreams(self.seed)
        return RandomStreams(int(np.random.default_rng([self.seed, number]).integers(SEED_BOUND)))

    def dropout(self, device: torch.device) -> torch.Generator:
        """Generator for dropout on ``device``, the same object at every call.

        On the CPU it is `weights`, which goes on after the initial weights.
        """
        if device.type in DEVICES_OF_THE_CPU_GENERATOR:
            return self.weights
        key = _key(device)
        if key not in self._dropout:
            generator = torch.Generator(key).manual_seed(self.seed)
            if key in self._unused_states:
                generator.set_state(self._unused_states.pop(key))
            self._dropout[key] = generator
        return self._dropout[key]

    def sampling(self, device: torch.device) -> torch.Generator:
        """Return a new generator for sampled paths on ``device``, equal at every call."""
        seed = int(np.random.default_rng(self.seed).integers(SEED_BOUND))
        on_cpu = device.type in DEVICES_OF_THE_CPU_GENERATOR
        return torch.Generator("cpu" if on_cpu else _key(device)).manual_seed(seed)

    def state_dict(self) -> dict[str, Any]:
        """Seed and state of every stream, with which `load_state_dict` resumes them."""
        used = {key: generator.get_state() for key, generator in self._dropout.items()}
        return {
            "seed": self.seed,
            "numpy": self.numpy.bit_generator.state,
            "weights": self.weights.get_state(),
            "dropout": self._unused_states | used,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a `state_dict`, also on a machine without the devices it was saved with."""
        self.seed = state["seed"]
        self.numpy.bit_generator.state = state["numpy"]
        self.weights.set_state(state["weights"])
        self._unused_states = dict(state["dropout"])
        for key, generator in self._dropout.items():
            if key in self._unused_states:
                generator.set_state(self._unused_states.pop(key))
            else:
                generator.manual_seed(self.seed)


def _key(device: torch.device) -> str:
    """Name of a device with its number: "cuda" is the current CUDA device."""
    if device.type == "cuda" and device.index is None:
        return f"cuda:{torch.cuda.current_device()}"
    return str(device)


@contextmanager
def drawing_from(generator: torch.Generator) -> Iterator[None]:
    """Let torch's random operators of this thread draw from ``generator`` inside the block.

    This reaches code that offers no generator, such as ``reset_parameters`` of a module: torch's
    layers get the weights that they would get after ``torch.manual_seed`` with the same seed, and
    the global generator is neither read nor changed. A generator that the code does pass is used.
    An operator for which torch has no variant with a generator, such as CUDA's fused dropout, still
    draws from the global one. The tensors must be on the generator's device.
    """
    with _DrawingFrom(generator):
        yield


class _DrawingFrom(TorchDispatchMode):
    """Fill in the generator of every random operator that is called without one."""

    def __init__(self, generator: torch.Generator):
        super().__init__()
        self.generator = generator

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        operator, position = _with_generator(operator)
        if position is None:
            return operator(*args, **kwargs)
        if len(args) > position:  # passed by position, which may be None
            given = self.generator if args[position] is None else args[position]
            return operator(*args[:position], given, *args[position + 1 :], **kwargs)
        if kwargs.get("generator") is None:
            kwargs["generator"] = self.generator
        return operator(*args, **kwargs)


@functools.cache
def _with_generator(operator: Any) -> tuple[Any, int | None]:
    """Overload of an operator that takes a generator, and the place of this argument.

    torch.rand, for instance, reaches a dispatch mode as an overload without it. The place is None
    where no overload takes one.
    """
    names = _argument_names(operator)
    if "generator" in names:
        return operator, names.index("generator")
    if torch.Tag.nondeterministic_seeded in operator.tags:
        packet = operator.overloadpacket
        for overload in packet.overloads():
            other = getattr(packet, overload)
            with_it = _argument_names(other)
            if [name for name in with_it if name != "generator"] == names != with_it:
                return other, with_it.index("generator")
    return operator, None


def _argument_names(operator: Any) -> list[str]:
    return [argument.name for argument in operator._schema.arguments]
