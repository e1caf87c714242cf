import numpy as np
import pytest
import torch

from skrnn._device import resolve_device, seeded

CPU = torch.device("cpu")


@pytest.fixture
def no_cuda(monkeypatch):
    """A machine without CUDA, whatever this one has."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def two_gpus(monkeypatch):
    """What torch says on a machine with two CUDA devices."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.usefixtures("no_cuda")
@pytest.mark.parametrize("device", ["auto", "cpu", CPU])
def test_device_without_cuda_is_the_cpu(device):
    assert resolve_device(device) == CPU


@pytest.mark.usefixtures("two_gpus")
def test_auto_takes_cuda_where_it_is():
    assert resolve_device("auto") == torch.device("cuda")


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:1", torch.device("cuda:1")])
def test_device_that_is_there_is_taken(device):
    assert resolve_device(device) == torch.device(device)


@pytest.mark.usefixtures("no_cuda")
def test_auto_never_takes_mps(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("auto") == CPU
    assert resolve_device("mps") == torch.device("mps")


@pytest.mark.usefixtures("no_cuda")
@pytest.mark.parametrize("device", ["cuda", "cuda:7", torch.device("cuda")])
def test_cuda_that_is_not_there_is_refused_in_a_sentence(device):
    with pytest.raises(ValueError, match="finds 0 'cuda' devices here") as caught:
        resolve_device(device)
    assert f"Got {device!r} instead" in str(caught.value)
    assert "Pass device='auto'" in str(caught.value)


@pytest.mark.usefixtures("two_gpus")
def test_number_beyond_the_last_device_is_refused():
    with pytest.raises(ValueError, match="finds 2 'cuda' devices here"):
        resolve_device("cuda:2")


@pytest.mark.parametrize("device", ["gpu", "", "cuda:x", None])
def test_device_that_torch_does_not_know_is_refused(device):
    with pytest.raises(ValueError, match="The 'device' parameter must be 'auto', 'cpu'") as caught:
        resolve_device(device)
    assert f"Got {device!r} instead" in str(caught.value)


@pytest.mark.parametrize("device", ["meta", "xla"])
def test_device_that_nothing_can_be_computed_on_is_refused(device):
    with pytest.raises(ValueError, match=f"finds 0 '{device}' devices here"):
        resolve_device(device)


def draw(random_state):
    with seeded(random_state, CPU) as rng:
        return [*rng.random(3), *torch.rand(3).tolist()]


def global_states():
    return np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


@pytest.mark.parametrize("random_state", [None, 0, 7])
def test_seeded_leaves_global_generators_as_they_were(random_state):
    before = global_states()
    draw(random_state)
    assert global_states() == before


def test_seeded_leaves_global_generators_as_they_were_when_the_block_fails():
    def fail():
        with seeded(0, CPU):
            torch.rand(3)
            raise ZeroDivisionError

    before = global_states()
    with pytest.raises(ZeroDivisionError):
        fail()
    assert global_states() == before


def test_seeded_repeats_with_the_same_seed():
    assert draw(3) == draw(3)
    assert draw(3) != draw(4)
    assert draw(np.random.RandomState(3)) == draw(3)


def test_seeded_does_not_depend_on_global_generators():
    made = []
    for seed in (1, 2):
        np.random.seed(seed)
        torch.manual_seed(seed)
        made.append(draw(5))
    assert made[0] == made[1]


def test_seeded_with_none_differs_though_global_generators_repeat():
    made = []
    for _ in range(2):
        np.random.seed(0)
        torch.manual_seed(0)
        made.append(draw(None))
    assert made[0] != made[1]


def test_seeded_with_a_random_state_moves_it_on():
    random_state = np.random.RandomState(0)
    assert draw(random_state) != draw(random_state)
