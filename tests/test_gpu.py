"""On a CUDA device: the forecasts of the CPU, captured steps, a pickle that loads without one."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch

from skrnn import GRUForecaster, LSTMForecaster, backtest, explain
from skrnn.callbacks import Callback
from skrnn.datasets import make_hourly_load
from skrnn.training.cuda_graphs import CudaGraphs
from skrnn.training.trainer import Trainer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
FORECASTERS = pytest.mark.parametrize("forecaster", [GRUForecaster, LSTMForecaster])


@FORECASTERS
def test_cuda_forecasts_what_the_cpu_forecasts_from_the_same_weights(forecaster):
    y = make_hourly_load(n_series=2, n_hours=600, random_state=0)
    fitted = forecaster(device="cuda", hidden_size=16, num_epochs=3, random_state=0).fit(y)
    assert next(fitted.network_.parameters()).is_cuda
    on_cpu = forecaster(device="cpu", hidden_size=16, num_epochs=0, random_state=0).fit(y)
    on_cpu.network_.load_state_dict(fitted.network_.state_dict())
    fh = [-5, 1, 24]
    np.testing.assert_allclose(fitted.predict(fh), on_cpu.predict(fh), rtol=1e-3)
    pd.testing.assert_frame_equal(backtest(fitted, y, fh=2), backtest(on_cpu, y, fh=2), rtol=1e-3)


@FORECASTERS
@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
@pytest.mark.parametrize("inputs", [False, True])
def test_contributions_on_cuda_add_up_to_predict(forecaster, strategy, inputs):
    y = make_hourly_load(n_series=2, n_hours=600, random_state=0)
    fitted = forecaster(device="cuda", strategy=strategy, hidden_size=16, num_epochs=3)
    fitted.fit(y, fh=[-5, 1, 24])
    difference = explain(fitted, inputs=inputs).sum(axis=1) - fitted.predict().iloc[:, 0]
    assert (difference.abs() / fitted.scaler_.scale_.min()).max() < 1e-6


@FORECASTERS
def test_pickle_of_a_cuda_forecaster_holds_cpu_tensors_and_loads_onto_the_device(forecaster):
    y = make_hourly_load(n_series=1, n_hours=300, random_state=0).droplevel(0)
    fitted = forecaster(device="cuda", hidden_size=8, num_epochs=1, random_state=0).fit(y)
    assert fitted.__getstate__()["fitted_"].model.device == torch.device("cpu")
    loaded = pickle.loads(pickle.dumps(fitted))
    assert loaded.device_.type == fitted.device_.type == "cuda"
    np.testing.assert_allclose(loaded.predict([1, 2]), fitted.predict([1, 2]), rtol=1e-4)


@FORECASTERS
def test_pickle_of_a_cuda_forecaster_loads_without_a_device(monkeypatch, forecaster):
    y = make_hourly_load(n_series=1, n_hours=300, random_state=0).droplevel(0)
    fitted = forecaster(device="cuda", hidden_size=8, num_epochs=1, random_state=0).fit(y)
    pickled, expected = pickle.dumps(fitted), fitted.predict([1, 2])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.warns(UserWarning, match="it forecasts on the CPU"):
        loaded = pickle.loads(pickled)
    assert loaded.device_.type == "cpu"
    np.testing.assert_allclose(loaded.predict([1, 2]), expected, rtol=1e-4)


class Observer(Callback):
    only_observes = True


class Other(Callback):
    pass


@pytest.fixture
def captured(monkeypatch):
    """The batches whose steps were captured."""
    chunks, capture = [], CudaGraphs._captured

    def watched(self, chunk):
        chunks.append(chunk)
        return capture(self, chunk)

    monkeypatch.setattr(CudaGraphs, "_captured", watched)
    return chunks


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"dropout": 0.3},
        {"num_layers": 2, "dropout": 0.3},
        {"precision": "bf16"},
        {"optimizer": "adam", "lr_scheduler": "plateau"},
        {"criterion": "studentt", "max_grad_norm": None},
        {"num_epochs": "auto", "validation_split": "auto"},
        {"strategy": "multioutput", "criterion": "quantile"},
        {"supervision": "last", "window_length": 24, "batch_size": 64, "num_epochs": 2},
    ],
    ids=str,
)
@FORECASTERS
def test_captured_steps_train_as_steps_one_by_one(monkeypatch, captured, forecaster, settings):
    y = make_hourly_load(n_series=3, n_hours=1200, random_state=0).iloc[700:]  # one is shorter
    settings = {"hidden_size": 16, "num_epochs": 8, "batch_size": 2, "random_state": 0} | settings
    fitted = forecaster(device="cuda", **settings).fit(y, fh=[1, 2, 24])
    assert captured
    monkeypatch.setattr(Trainer, "_cuda_graphs", lambda self: None)
    expected = forecaster(device="cuda", **settings).fit(y, fh=[1, 2, 24])
    rtol = 0.05 if "precision" in settings else 0.01
    np.testing.assert_allclose(fitted.history_["loss"], expected.history_["loss"], rtol=rtol)
    pd.testing.assert_series_equal(fitted.history_["lr"], expected.history_["lr"])
    np.testing.assert_allclose(fitted.predict(), expected.predict(), rtol=rtol)


@FORECASTERS
def test_update_trains_on_with_captured_steps(captured, forecaster):
    y = make_hourly_load(n_series=1, n_hours=1200, random_state=0).droplevel(0)
    settings = {"hidden_size": 16, "batch_size": 1, "window_length": 24, "random_state": 0}
    fitted = forecaster(device="cuda", **settings).fit(y[:1000])
    captured.clear()
    before = fitted.network_.head.correction.weight.clone()
    fitted.update(y[1000:])
    assert captured
    assert not torch.equal(fitted.network_.head.correction.weight, before)


@pytest.mark.parametrize(("callback", "is_captured"), [(Observer(), True), (Other(), False)])
def test_only_callbacks_that_observe_leave_steps_to_be_captured(captured, callback, is_captured):
    y = make_hourly_load(n_series=1, n_hours=1200, random_state=0).droplevel(0)
    settings = {"hidden_size": 8, "num_epochs": 2, "batch_size": 1, "random_state": 0}
    GRUForecaster(device="cuda", callbacks=[callback], **settings).fit(y)
    assert bool(captured) == is_captured


def test_learning_rate_of_a_schedule_reaches_captured_steps(monkeypatch, captured):
    y = make_hourly_load(n_series=1, n_hours=3000, random_state=0).droplevel(0)
    settings = {"hidden_size": 8, "num_epochs": 4, "batch_size": 1, "random_state": 0}
    stopped = {"lr_scheduler": lambda optimizer, steps: zero_after(optimizer, 8)}
    fitted = GRUForecaster(device="cuda", **settings, **stopped).fit(y)
    assert captured
    # AdamW at a rate of zero changes nothing, however many steps follow.
    shorter = GRUForecaster(device="cuda", **settings | {"num_epochs": 2}, **stopped).fit(y)
    for one, other in zip(fitted.network_.parameters(), shorter.network_.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def zero_after(optimizer, n_steps):
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: float(step < n_steps))


@pytest.fixture
def little_memory():
    """No more memory of the GPU than is taken now, and 64 MB."""
    torch.cuda.empty_cache()
    allowed = torch.cuda.memory_reserved() + 2**26
    torch.cuda.set_per_process_memory_fraction(
        allowed / torch.cuda.get_device_properties(0).total_memory
    )
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


@FORECASTERS
def test_fit_beyond_the_memory_names_what_to_lower_and_the_forecaster_stays_usable(
    little_memory, forecaster
):
    y = make_hourly_load(n_series=20, n_hours=2_000, random_state=0)
    large = forecaster(device="cuda", hidden_size=1_024, batch_size=512, num_epochs=1)
    with pytest.raises(MemoryError, match=r"Lower batch_size, window_length, hidden_size"):
        large.fit(y)
    small = large.set_params(hidden_size=8, batch_size=16)
    assert np.isfinite(small.fit(y).predict([1, 2]).to_numpy()).all()
