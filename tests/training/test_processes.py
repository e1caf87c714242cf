"""Processes that train together end with the weights of one."""

import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from torch import distributed

from skrnn import GRUForecaster
from skrnn.training.processes import Processes
from training import joint_trainings as trainings

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(not distributed.is_available(), reason="torch without torch.distributed"),
]


def run(folder, *names, n=2):
    """Results of the trainings in each process, up to the one that has killed it."""
    # Not as a script: a checkpoint compares the module that a callback comes from.
    code = "import sys; from training.joint_trainings import main; main(*sys.argv[1:])"
    script, tests = [sys.executable, "-c", code], Path(__file__).parents[1]
    processes = [
        subprocess.Popen(
            [*script, str(rank), str(n), str(folder / "store"), str(folder), *names], cwd=tests
        )
        for rank in range(n)
    ]
    for process in processes:
        process.wait(timeout=300)
    return [pickle.loads(Path(folder, f"results{rank}").read_bytes()) for rank in range(n)]


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    folder = tmp_path_factory.mktemp("left")
    left = folder.with_name("left")
    left.mkdir()
    trainings.checkpoint(str(left))
    for name in ("checkpoint", "failed"):
        (left / name).rename(folder / name)
    alike = [function.__name__ for function in trainings.ALIKE]
    return run(folder, *alike, "without_a_seed", "unlike", "killed")


@pytest.mark.parametrize("training", trainings.ALIKE, ids=lambda f: f.__name__)
def test_two_processes_end_with_the_weights_of_one(together, training, tmp_path):
    alone = training(str(tmp_path))
    for results in together:
        found = results[training.__name__]
        assert found.keys() == alone.keys()
        for name, expected in alone.items():
            np.testing.assert_allclose(found[name], expected, rtol=1e-5, atol=1e-6, err_msg=name)


def test_processes_without_a_seed_train_with_that_of_the_first(together):
    one, other = (results["without_a_seed"] for results in together)
    assert np.array_equal(one["weights"], other["weights"])
    assert np.array_equal(one["forecast"], other["forecast"])


def test_unlike_data_and_parameters_are_named_by_all_processes(together):
    for results in together:
        data, series, columns, parameters = results["unlike"]["messages"]
        assert "process 1 differs from process 0 in the data. Give all" in data
        assert "processes 0 and 1 both have series 'region_01', and not all" in series
        assert "process 1 differs from process 0 in the columns of y. Give all" in columns
        assert "process 1 differs from process 0 in hidden_size, lr. Give all" in parameters


def test_killed_process_ends_the_other_with_an_error(together):
    first, second = together
    assert "killed" not in first
    assert "process 1 has lost the connection to another" in second["killed"]["message"]


def test_training_in_a_second_thread_of_a_group_is_refused(tmp_path):
    errors, threads, end = [], [], threading.Event()

    def fit(lives_on=False):
        try:
            threads.append(Processes.joined().n)
        except RuntimeError as error:
            errors.append(str(error))
        if lives_on:
            end.wait()

    def in_thread(**options):
        thread = threading.Thread(target=fit, kwargs=options, name="worker")
        thread.start()
        return thread

    store = f"file://{tmp_path}/s"
    for group in range(2):
        distributed.init_process_group("gloo", init_method=store + str(group), rank=0, world_size=1)
        try:
            assert Processes.joined().n == 1  # one process is no group to join
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(distributed, "get_world_size", lambda: 2)
                if group == 0:  # as a launcher that trains in a thread
                    in_thread().join()
                    assert Processes.joined().n == 2  # that thread has ended
                in_thread().join()
                if group == 1:  # another group may be another thread's, while the first one lives
                    living = in_thread(lives_on=True)
                    while len(threads) < 3:
                        end.wait(0.01)
                    with pytest.raises(RuntimeError, match="worker has trained and Main"):
                        Processes.joined()
                    end.set()
                    living.join()
        finally:
            distributed.destroy_process_group()
    assert threads == [2, 2, 2]
    assert len(errors) == 1
    assert "MainThread has trained and worker asks to train" in errors[0]


def test_shares_of_all_processes_are_the_whole():
    for n in (1, 2, 3, 7):
        for size in (0, 1, 5, 16):
            bounds = [Processes(rank, n).share(size) for rank in range(n)]
            assert [a for a, _ in bounds[1:]] == [b for _, b in bounds[:-1]]
            assert (bounds[0][0], bounds[-1][1]) == (0, size)


def test_fit_leaves_nothing_of_a_group_on_the_forecaster():
    forecaster = GRUForecaster(**trainings.FEW).fit(trainings.PANEL)
    assert not any(isinstance(value, Processes) for value in vars(forecaster).values())
