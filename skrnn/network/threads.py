"""Threads of the CPU: those that kernels and tasks are divided among, and those of an operator."""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, TypeVar

import torch

T = TypeVar("T")
# With more threads, operators of a step gain from being divided, and other processes are less
# likely to hold one of the cores.
MOST_THREADS_OF_WHOLE_OPERATORS = 4
_IMPORTING_PROCESS = os.getpid()


class _Own(threading.local):
    """Of a thread whose operators are whole, the number of threads for all else."""

    n: int | None = None


_own = _Own()


@functools.cache
def _openmp() -> Any:
    """PyTorch's own OpenMP library, or None if it has no GNU entry point."""
    if os.getpid() != _IMPORTING_PROCESS:
        # A forked process inherits the library without its threads: a call would never return.
        return None
    library = ctypes.CDLL(torch._C.__file__)
    return library if hasattr(library, "GOMP_parallel") else None


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="skrnn")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_openmp.cache_clear)
    os.register_at_fork(after_in_child=_pool.cache_clear)


def n_threads() -> int:
    """Number of threads that the caller may use: torch's, also where operators are whole."""
    return _own.n or torch.get_num_threads()


def n_threads_of_tasks() -> int:
    """Number of threads that tasks of the caller are divided among; 1 where operators are.

    In a process that uses CUDA it is 1: a GPU computes one task after the other.
    """
    return 1 if torch.cuda.is_initialized() else _own.n or 1


@contextmanager
def whole_operators() -> Iterator[None]:
    """Let the caller's thread compute torch's operators alone; kernels and tasks are divided.

    PyTorch divides an operator among threads of OpenMP, which wait for each other in a busy loop.
    Where another process uses one of the cores, an operator of a tenth of a millisecond waits for
    several milliseconds: training took 3.5 times as long beside one busy process on two cores.
    Our own threads sleep while they wait.

    More than `MOST_THREADS_OF_WHOLE_OPERATORS` threads divide operators as torch does.
    """
    n = torch.get_num_threads()
    if _openmp() is None or not 1 < n <= MOST_THREADS_OF_WHOLE_OPERATORS:
        yield
        return
    with _one_thread(n_elsewhere=n):
        yield


@contextmanager
def _one_thread(n_elsewhere: int) -> Iterator[None]:
    """Let this thread's operators use one thread, and everything else ``n_elsewhere``."""
    openmp, before = _openmp(), _own.n
    n = torch.get_num_threads()  # torch sets the number of a new thread at the first call
    # Both numbers belong to the calling thread.
    set_mkl = getattr(openmp, "MKL_Set_Num_Threads_Local", None)
    openmp.omp_set_num_threads(1)
    n_mkl = set_mkl and set_mkl(1)
    _own.n = n_elsewhere
    try:
        yield
    finally:
        _own.n = before
        openmp.omp_set_num_threads(n)
        if set_mkl:
            set_mkl(n_mkl)


def ranges(n: int, parts: int) -> list[tuple[int, int]]:
    """First and stop of equal parts of n."""
    return list(pairwise(n * part // parts for part in range(parts + 1)))


def shares(n: int, parts: int) -> list[int]:
    """Sizes of equal parts of n."""
    return [stop - first for first, stop in ranges(n, parts)]


def run_in_threads(work: Callable[[int, int, int], None], blocks: int, threads: int) -> None:
    """Call work(thread, start, stop) in each thread, for equal shares of the range of blocks."""
    calls = [(thread, *share) for thread, share in enumerate(ranges(blocks, threads))]
    openmp = _openmp()
    if threads == 1:
        work(*calls[0])
    elif openmp is None or _own.n:
        futures = [_pool().submit(work, *share) for share in calls[1:]]
        try:
            work(*calls[0])
        finally:
            wait(futures)
        for future in futures:
            future.result()
    else:
        # PyTorch's own threads, because they spin for a while after each operator: others would
        # compete with them for the cores.
        errors = []

        @ctypes.CFUNCTYPE(None, ctypes.c_void_p)
        def parallel_region(_: Any) -> None:
            try:
                # OpenMP may start fewer threads than asked for, for instance in nested regions.
                for share in calls[openmp.omp_get_thread_num() :: openmp.omp_get_num_threads()]:
                    work(*share)
            except BaseException as error:  # ctypes would print it and go on
                errors.append(error)

        openmp.GOMP_parallel(parallel_region, None, threads, 0)
        if errors:
            raise errors[0]


def map_in_threads(function: Callable[[Any], T], items: Sequence[Any]) -> list[T]:
    """The function of every item, in their order; where operators are whole, in several threads."""
    threads = min(len(items), n_threads_of_tasks())
    if threads == 1:
        return [function(item) for item in items]
    results: list[Any] = [None] * len(items)
    has_grad, is_inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()

    def work(_: int, start: int, stop: int) -> None:
        # Modes and numbers of threads are those of a thread.
        with (
            _one_thread(n_elsewhere=1),
            torch.inference_mode(is_inference),
            torch.set_grad_enabled(has_grad),
        ):
            results[start:stop] = [function(item) for item in items[start:stop]]

    run_in_threads(work, len(items), threads)
    return results
