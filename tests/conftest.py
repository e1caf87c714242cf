import os

import pytest

# Several test processes side by side: a second thread in each would wait for a core.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch


@pytest.fixture
def restored_threads():
    """Torch's number of threads after the test is that before it."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def two_threads(restored_threads):
    torch.set_num_threads(2)


@pytest.fixture(scope="module")
def one_thread():
    """Tiny networks spend most of their time waiting for torch's second thread, so have none."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
