"""The processes that train one network together, joined in a group of `torch.distributed`."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed, nn

# Whether this process was forked from one that was in a group, whose connections are not its own.
_is_forked_member = False
# The thread that trains in a group: sums of several threads would mix.
_thread_of_group: weakref.WeakKeyDictionary[Any, threading.Thread] = weakref.WeakKeyDictionary()
_asking = threading.Lock()


def _note_fork() -> None:
    global _is_forked_member
    _is_forked_member = _has_group()


def _has_group() -> bool:
    return distributed.is_available() and distributed.is_initialized()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


class Processes:
    """The processes that train together; one without a group.

    Parameters
    ----------
    rank : int
        Number of this process, from 0.
    n : int
        How many there are.
    """

    def __init__(self, rank: int = 0, n: int = 1):
        self.rank, self.n = rank, n

    @classmethod
    def joined(cls) -> Processes:
        """Those of the default group, if the user has initialised one.

        Raises
        ------
        RuntimeError
            If another thread, which is still alive, has trained in the group: trainings in several
            threads would mix up their sums.
        """
        if not _has_group() or _is_forked_member or distributed.get_world_size() == 1:
            return cls()
        asking = threading.current_thread()
        with _asking:
            thread = _thread_of_group.setdefault(distributed.group.WORLD, asking)
            if thread is not asking and thread.is_alive():
                msg = (
                    f"With an initialised torch.distributed process group, all training must run "
                    f"in one thread, but {thread.name} has trained and {asking.name} asks to "
                    f"train. Use processes instead of threads (backend='loky'), or destroy the "
                    f"group."
                )
                raise RuntimeError(msg)
            _thread_of_group[distributed.group.WORLD] = asking
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def is_first(self) -> bool:
        """Whether this process writes files, shows bars and asks callbacks."""
        return self.rank == 0

    def share(self, n: Any) -> tuple[Any, Any]:
        """First and stop of this process' part of n rows; n may be an array."""
        return n * self.rank // self.n, n * (self.rank + 1) // self.n

    def total(self, values: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.n > 1:
            with self._connected():
                distributed.all_reduce(values)
        return values

    def from_first(self, value: Any) -> Any:
        """The value of the first process."""
        if self.n == 1:
            return value
        values = [value]
        with self._connected():
            distributed.broadcast_object_list(values, src=0)
        return values[0]

    def gathered(self, value: Any) -> list[Any]:
        """The values of all processes, in their order."""
        values: list[Any] = [None] * self.n
        with self._connected():
            distributed.all_gather_object(values, value)
        return values

    @torch.no_grad()
    def take_weights_of_first(self, network: nn.Module) -> None:
        """Copy weights and buffers from the first process, whose last bits may differ."""
        if self.n > 1:
            with self._connected():
                for tensor in network.state_dict().values():
                    if tensor.numel():
                        distributed.broadcast(tensor, src=0)

    def check_alike(self, identity: Mapping[str, str]) -> None:
        """Raise ValueError unless all processes train the same on the same data.

        Parameters
        ----------
        identity : mapping of str to str
            What the weights depend on, each as text.
        """
        if self.n == 1:
            return
        identities = self.gathered(dict(identity))
        for rank, other in enumerate(identities):
            names = {*other, *identities[0]}
            differing = sorted(name for name in names if other.get(name) != identities[0].get(name))
            if differing:
                msg = (
                    f"All {self.n} processes of the torch.distributed group must train with the "
                    f"same data and parameters, but process {rank} differs from process 0 in "
                    f"{', '.join(differing)}. Give all of them the same, or destroy the group to "
                    f"train each by itself."
                )
                raise ValueError(msg)

    @contextmanager
    def _connected(self) -> Iterator[None]:
        """Name the way out where another process is gone."""
        try:
            yield
        except RuntimeError as error:
            msg = (
                f"All {self.n} processes of the torch.distributed group must train to the end, but "
                f"process {self.rank} has lost the connection to another: "
                f"{str(error).splitlines()[0]} Look at the others' errors and start all of them "
                f"again; with checkpoint= they go on from the last checkpoint."
            )
            raise ConnectionError(msg) from error
