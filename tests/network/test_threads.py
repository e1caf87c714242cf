import threading

import pytest
import torch

from skrnn.network import threads
from skrnn.network.threads import (
    map_in_threads,
    n_threads,
    n_threads_of_tasks,
    run_in_threads,
    shares,
    whole_operators,
)

pytestmark = [
    pytest.mark.skipif(threads._openmp() is None, reason="this PyTorch has no GNU OpenMP"),
    pytest.mark.usefixtures("two_threads"),
]


def test_operators_use_one_thread_and_tasks_the_number_that_the_user_set():
    assert (torch.get_num_threads(), n_threads(), n_threads_of_tasks()) == (2, 2, 1)
    with whole_operators():
        assert (torch.get_num_threads(), n_threads(), n_threads_of_tasks()) == (1, 2, 2)
        with whole_operators():
            assert (torch.get_num_threads(), n_threads()) == (1, 2)
        assert (torch.get_num_threads(), n_threads()) == (1, 2)
    assert (torch.get_num_threads(), n_threads(), n_threads_of_tasks()) == (2, 2, 1)


def test_the_users_number_of_threads_is_back_after_an_error():
    with pytest.raises(KeyError), whole_operators():
        raise KeyError
    assert (torch.get_num_threads(), n_threads_of_tasks()) == (2, 1)


def test_another_thread_of_the_user_keeps_its_number():
    found = []
    with whole_operators():
        other = threading.Thread(
            target=lambda: found.append((torch.get_num_threads(), n_threads()))
        )
        other.start()
        other.join()
    assert found == [(2, 2)]


@pytest.mark.parametrize("n", [1, 5])
def test_one_thread_and_many_threads_stay_as_they_are(n):
    torch.set_num_threads(n)
    with whole_operators():
        assert (torch.get_num_threads(), n_threads(), n_threads_of_tasks()) == (n, n, 1)


def test_a_process_that_uses_a_gpu_divides_no_tasks(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    with whole_operators():
        assert (n_threads(), n_threads_of_tasks()) == (2, 1)


@pytest.mark.parametrize(("n", "n_threads", "sizes"), [(5, 2, [2, 3]), (6, 3, [2, 2, 2])])
def test_shares_are_equal_parts(n, n_threads, sizes):
    assert shares(n, n_threads) == sizes


def test_results_are_in_the_order_of_the_items_from_two_threads():
    both = threading.Barrier(2, timeout=60)  # passed only if two threads are at work at once

    def task(item):
        both.wait()
        return item, threading.get_ident(), torch.get_num_threads(), n_threads_of_tasks()

    with whole_operators():
        results = map_in_threads(task, [3, 1])
    assert [item for item, *_ in results] == [3, 1]
    assert len({thread for _, thread, *_ in results}) == 2
    assert all(numbers == [1, 1] for _, _, *numbers in results)


def test_without_whole_operators_tasks_run_in_the_callers_thread():
    caller = threading.get_ident()
    assert map_in_threads(lambda _: threading.get_ident(), range(3)) == [caller] * 3


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad, torch.inference_mode])
def test_tasks_have_the_gradient_mode_of_the_caller(mode):
    def modes(_):
        return torch.is_grad_enabled(), torch.is_inference_mode_enabled()

    with whole_operators(), mode():
        assert map_in_threads(modes, range(2)) == [modes(None)] * 2


@pytest.mark.parametrize("bad", [0, 3])
def test_an_error_of_a_task_reaches_the_caller_after_all_have_ended(bad):
    ended = []

    def task(item):
        if item == bad:
            raise KeyError(item)
        ended.append(item)

    with whole_operators(), pytest.raises(KeyError, match=str(bad)):
        map_in_threads(task, range(4))
    # Those of the other thread, and of this one those before.
    assert set(ended) == ({2, 3} if bad == 0 else {0, 1, 2})


def test_kernels_within_whole_operators_use_threads_of_our_own():
    names = set()
    with whole_operators():
        run_in_threads(lambda *_: names.add(threading.current_thread().name), 4, 2)
    assert sum(name.startswith("skrnn") for name in names) == 1
