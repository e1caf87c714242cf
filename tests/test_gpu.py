"""On a CUDA device: the same forecasts as on the CPU, and a pickle that loads without one."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch

from skrnn import GRUForecaster, LSTMForecaster, backtest
from skrnn.datasets import make_hourly_load

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
