import pytest
import torch


@pytest.fixture(scope="module")
def one_thread():
    """Tiny networks spend most of their time waiting for torch's second thread, so have none."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
