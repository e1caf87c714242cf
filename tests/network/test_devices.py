import numpy as np
import pytest
import torch

from skrnn import GRUForecaster, LSTMForecaster
from skrnn.callbacks import Callback
from skrnn.datasets import make_hourly_load
from skrnn.network.devices import resolve_device

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
def test_auto_is_cuda_if_it_is_available():
    assert resolve_device("auto") == torch.device("cuda")


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:1", torch.device("cuda:1")])
def test_device_of_this_machine_is_taken(device):
    assert resolve_device(device) == torch.device(device)


@pytest.mark.usefixtures("no_cuda")
def test_auto_is_never_mps(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("auto") == CPU
    assert resolve_device("mps") == torch.device("mps")


@pytest.mark.usefixtures("no_cuda")
@pytest.mark.parametrize("device", ["cuda", "cuda:7", torch.device("cuda")])
def test_missing_cuda_is_refused_with_the_way_out(device):
    with pytest.raises(ValueError, match="finds 0 'cuda' devices on this machine") as caught:
        resolve_device(device)
    assert f"Got {device!r} instead" in str(caught.value)
    assert "Pass device='auto'" in str(caught.value)


@pytest.mark.usefixtures("two_gpus")
def test_number_beyond_the_last_device_is_refused():
    with pytest.raises(ValueError, match="finds 2 'cuda' devices on this machine"):
        resolve_device("cuda:2")


@pytest.mark.parametrize("device", ["gpu", "", "cuda:x", None])
def test_device_that_torch_does_not_know_is_refused(device):
    with pytest.raises(ValueError, match="The 'device' parameter must be 'auto', 'cpu'") as caught:
        resolve_device(device)
    assert f"Got {device!r} instead" in str(caught.value)


@pytest.mark.parametrize("device", ["meta", "xla"])
def test_device_that_nothing_can_be_computed_on_is_refused(device):
    with pytest.raises(ValueError, match=f"finds 0 '{device}' devices on this machine"):
        resolve_device(device)


@pytest.mark.parametrize(("precision", "allowed"), [("float32", False), ("tf32", True)])
def test_tf32_is_used_only_if_chosen_and_torchs_settings_are_restored(precision, allowed):
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    settings_in_use = []

    class RecordSettings(Callback):
        def on_batch_end(self, training, n_batches):
            settings_in_use.append((cudnn.allow_tf32, matmul.allow_tf32))

    y = make_hourly_load(n_series=1, n_hours=200, random_state=0).droplevel(0)
    settings = {
        "hidden_size": 4,
        "num_epochs": 1,
        "random_state": 0,
        "callbacks": [RecordSettings()],
    }
    GRUForecaster(precision=precision, **settings).fit(y)
    assert set(settings_in_use) == {(allowed, allowed)}
    assert (cudnn.allow_tf32, matmul.allow_tf32) == before


@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
@pytest.mark.parametrize("forecaster", [GRUForecaster, LSTMForecaster])
def test_bf16_trains_nearly_what_float32_trains(forecaster, strategy):
    y = make_hourly_load(n_series=1, n_hours=400, random_state=0).droplevel(0)
    settings = {"hidden_size": 8, "num_epochs": 10, "random_state": 0, "strategy": strategy}
    exact = forecaster(**settings).fit(y, fh=[1, 2])
    rounded = forecaster(precision="bf16", **settings).fit(y, fh=[1, 2])
    assert rounded.network_.head.correction.weight.dtype == torch.float32
    losses = exact.history_["loss"], rounded.history_["loss"]
    assert not losses[0].equals(losses[1])
    np.testing.assert_allclose(*losses, rtol=0.03)
    np.testing.assert_allclose(rounded.predict(), exact.predict(), rtol=0.03)
