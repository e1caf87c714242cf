"""A fit works among other threads and in every mode of torch, and leaves the generators alone."""

import functools
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sktime.forecasting.model_selection import ForecastingGridSearchCV
from sktime.performance_metrics.forecasting import MeanAbsoluteError
from sktime.split import SlidingWindowSplitter

from skrnn import GRUForecaster, LSTMForecaster, smape_scorer

pytestmark = pytest.mark.usefixtures("one_thread")

RNG = np.random.default_rng(0)
Y = pd.Series(np.tile([1.0, 4.0, 2.0, 0.0], 15) + RNG.normal(size=60), name="y")
PANEL = pd.DataFrame({"y": Y}).set_index(pd.MultiIndex.from_product([["a", "b"], range(30)]))
SMALL = {"hidden_size": 4, "window_length": 8, "batch_size": 4, "num_epochs": 2, "sp": None}
N_FITS, N_THREADS = 20, 4


def numbers(forecaster):
    """Weights, points and quantiles, to the bit."""
    weights = [p.detach().cpu().numpy().ravel() for p in forecaster.network_.parameters()]
    parts = [*weights, forecaster.predict(fh=[1, 2, 3]).to_numpy().ravel()]
    if forecaster.get_tag("capability:pred_int"):
        parts.append(
            forecaster.predict_quantiles(fh=[1, 2, 3], alpha=[0.1, 0.9]).to_numpy().ravel()
        )
    return np.concatenate(parts)


def global_states():
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()


# ------------------------------------------------------------------------------ threads

DRAWING = {
    "dropout of the output": {"dropout": 0.3, "naive": None},
    "dropout between layers": {"dropout": 0.3, "naive": None, "num_layers": 2},
    "sampled paths": {"dropout": 0.3, "naive": None, "criterion": "normal", "n_samples": 20},
}


def fitted(seed, **settings):
    forecaster = (GRUForecaster, LSTMForecaster)[seed % 2](
        **SMALL, random_state=seed, **settings
    ).fit(Y)
    return numbers(forecaster.update(Y[-3:].set_axis(range(60, 63))))


@pytest.mark.parametrize("settings", DRAWING.values(), ids=DRAWING)
def test_fits_in_threads_equal_serial_ones_to_the_bit(settings):
    n_fits = N_FITS if settings is DRAWING["dropout of the output"] else N_FITS // 3
    serial = [fitted(seed, **settings) for seed in range(n_fits)]
    with ThreadPoolExecutor(N_THREADS) as pool:
        threaded = list(pool.map(lambda seed: fitted(seed, **settings), range(n_fits)))
    for one, other in zip(threaded, serial, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len({array.tobytes() for array in serial}) == n_fits  # the seeds differ


def test_fits_with_the_same_seed_at_once_repeat_to_the_bit():
    serial = fitted(0, **DRAWING["sampled paths"])
    with ThreadPoolExecutor(N_THREADS) as pool:
        for found in pool.map(lambda _: fitted(0, **DRAWING["sampled paths"]), range(N_THREADS)):
            np.testing.assert_array_equal(found, serial)


def test_predictions_of_one_forecaster_in_threads_equal_serial_ones():
    forecaster = GRUForecaster(**SMALL, criterion="normal", n_samples=20, random_state=0).fit(Y)
    expected = numbers(forecaster)
    with ThreadPoolExecutor(N_THREADS) as pool:
        for predicted in pool.map(lambda _: numbers(forecaster), range(N_FITS)):
            np.testing.assert_array_equal(predicted, expected)


def test_search_under_the_threading_backend_equals_a_serial_one():
    forecaster = GRUForecaster(**SMALL, dropout=0.3, naive=None, random_state=0)
    grid, cv = {"lr": [1e-3, 1e-2], "hidden_size": [2, 3]}, TimeSeriesSplit(2, test_size=5)

    def scores(n_jobs):
        with joblib.parallel_backend("threading"):
            search = GridSearchCV(forecaster, grid, cv=cv, scoring=smape_scorer, n_jobs=n_jobs)
            search.fit(Y)
        results = search.cv_results_
        return np.concatenate([results["split0_test_score"], results["split1_test_score"]])

    serial = scores(1)
    np.testing.assert_array_equal(scores(N_THREADS), serial)
    assert len(set(serial)) > 4


@pytest.mark.parametrize("backend", ["loky", "threading", "dask"])
def test_search_of_sktime_in_two_workers_equals_a_serial_one(backend):
    def found(**where):
        search = ForecastingGridSearchCV(
            GRUForecaster(**SMALL, dropout=0.3, naive=None, random_state=0),
            SlidingWindowSplitter(fh=[1, 2], window_length=40, step_length=9),
            {"lr": [1e-3, 1e-2], "hidden_size": [2, 3]},
            scoring=MeanAbsoluteError(),
            error_score="raise",
            **where,
        )
        search.fit(Y)
        return search.cv_results_["mean_test_MeanAbsoluteError"], search.predict([1, 2])

    parameters = {"num_workers": 2} if backend == "dask" else {"n_jobs": 2}
    scores, forecast = found(backend=backend, backend_params=parameters)
    serial, expected = found()
    # Another process may use more threads, which add in another order.
    np.testing.assert_allclose(scores, serial, rtol=1e-5)
    np.testing.assert_allclose(forecast, expected, rtol=1e-5)
    assert len(set(serial)) == 4


WRITES = """
import numpy as np, pandas as pd
from skrnn import GRUForecaster, backtest
y = pd.Series(np.arange(60.0) % 4, name="y")
forecaster = GRUForecaster(hidden_size=4, window_length=8, num_epochs=2, random_state=0).fit(y[:50])
forecaster.update(y[50:55])
print(forecaster.predict([1, 2]).tolist(), len(backtest(forecaster, y)))
"""


def test_processes_in_one_folder_agree_and_write_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", WRITES]
    other = subprocess.Popen(command, env=os.environ | home, stdout=subprocess.PIPE, text=True)
    exec(WRITES, {})  # this process is the second one
    printed = other.communicate()[0]
    assert other.returncode == 0
    assert printed.split() == capsys.readouterr().out.split()
    assert list(tmp_path.iterdir()) == []


# ----------------------------------------------------------- the global generators


@pytest.mark.parametrize("settings", DRAWING.values(), ids=DRAWING)
@pytest.mark.parametrize("random_state", [0, None])
def test_fit_update_pretrain_and_predict_leave_the_global_generators_as_they_were(
    settings, random_state
):
    before = global_states()
    forecaster = GRUForecaster(**SMALL, **settings, random_state=random_state)
    numbers(forecaster.fit(Y).update(Y[-3:].set_axis(range(60, 63))))
    forecaster.reset().pretrain(PANEL).fit(Y)
    assert global_states() == before


def test_fit_does_not_depend_on_the_global_generators():
    torch.manual_seed(1)
    one = fitted(0, **DRAWING["sampled paths"])
    torch.manual_seed(2)
    np.testing.assert_array_equal(fitted(0, **DRAWING["sampled paths"]), one)


# ---------------------------------------------------------------------- global modes


@contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


GRADIENT_MODES = {"no_grad": torch.no_grad, "inference_mode": torch.inference_mode}
SETTINGS = {
    "recursive": {},
    "normal": {"criterion": "normal", "n_samples": 5},
    "studentt": {"criterion": "studentt", "n_samples": 5},
    "quantile": {"criterion": "quantile", "n_samples": 5},
    "held out": {"validation_split": 0.2, "dropout": 0.3},
    "without naive": {"naive": None, "supervision": "last"},
    "module": {"criterion": torch.nn.HuberLoss()},
    "multioutput": {"strategy": "multioutput", "criterion": "normal", "calendar": None},
}


def fit_and_update(forecaster):
    return forecaster.fit(Y, fh=[1, 2, 3]).update(Y[-3:].set_axis(range(60, 63)))


@functools.cache
def numbers_with(kind, name):
    return numbers(fit_and_update(kind(**SMALL, **SETTINGS[name], random_state=0)))


@pytest.mark.parametrize("mode", GRADIENT_MODES)
@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("kind", [GRUForecaster, LSTMForecaster])
def test_fit_update_and_predict_are_the_same_without_gradients_around_them(kind, name, mode):
    expected = numbers_with(kind, name)
    with GRADIENT_MODES[mode]():
        before = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        result = numbers_with.__wrapped__(kind, name)
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == before
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("mode", GRADIENT_MODES)
def test_pretrain_is_the_same_without_gradients_around_it(mode):
    expected = numbers(GRUForecaster(**SMALL, random_state=0).pretrain(PANEL).fit(Y))
    with GRADIENT_MODES[mode]():
        pretrained = GRUForecaster(**SMALL, random_state=0).pretrain(PANEL)
    np.testing.assert_array_equal(numbers(pretrained.fit(Y)), expected)


@pytest.mark.parametrize("mode", GRADIENT_MODES)
def test_network_fitted_without_gradients_around_it_trains_on_with_them(mode):
    with GRADIENT_MODES[mode]():
        forecaster = GRUForecaster(**SMALL, random_state=0).fit(Y)
    whole = GRUForecaster(**SMALL, random_state=0).fit(Y)
    new = Y[-9:].set_axis(range(60, 69))
    np.testing.assert_array_equal(numbers(forecaster.update(new)), numbers(whole.update(new)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16], ids=str)
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("kind", [GRUForecaster, LSTMForecaster])
def test_network_is_float32_whatever_the_default_type_of_torch(kind, settings, dtype):
    # The initial weights are drawn in the default type, so that they differ.
    with default_dtype(dtype):
        forecaster = fit_and_update(kind(**SMALL, **settings, random_state=0))
        inside = numbers(forecaster)
    state = forecaster.network_.state_dict().values()
    assert {part.dtype for part in state if part.is_floating_point()} == {torch.float32}
    assert np.isfinite(inside).all()
    np.testing.assert_array_equal(numbers(forecaster), inside)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16], ids=str)
def test_pretrain_works_whatever_the_default_type_of_torch(dtype):
    with default_dtype(dtype):
        pretrained = GRUForecaster(**SMALL, random_state=0).pretrain(PANEL)
    assert np.isfinite(numbers(pretrained.fit(Y))).all()
