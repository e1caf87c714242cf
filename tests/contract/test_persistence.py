"""Persistence: what copies and pickles of a fitted forecaster hold."""

import copy
import pickle
import warnings
from dataclasses import replace

import pandas as pd
import pytest
import torch

from skrnn import GRUForecaster
from skrnn.callbacks import StopAfter
from skrnn.contract.persistence import _moved, _with_models, pickled
from small_cases import SMALL, cells, covariate, hourly, noisy, panel

pytestmark = pytest.mark.usefixtures("one_thread")

# ------------------------------------------------------------------ copies


@cells
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda f: pickle.loads(pickle.dumps(f))], ids=["deepcopy", "pickle"]
)
def test_copy_forecasts_and_updates_as_the_original(cell, copied):
    y = hourly()
    X = covariate(y)
    forecaster = cell(**SMALL).fit(y[:80], X=X[:80])
    other = copied(forecaster)
    expected = forecaster.predict(fh=[1, 5], X=X[80:])
    pd.testing.assert_series_equal(other.predict(fh=[1, 5], X=X[80:]), expected)
    for f in (forecaster, other):
        f.update(y[80:90], X=X[80:90])
    expected = forecaster.predict(fh=[1, 5], X=X[90:])
    pd.testing.assert_series_equal(other.predict(fh=[1, 5], X=X[90:]), expected)


@cells
def test_copy_is_independent(cell):
    y = hourly()
    forecaster = cell(**SMALL).fit(y[:80])
    before = forecaster.predict(fh=[1, 2])
    copy.deepcopy(forecaster).update(y[80:])
    pd.testing.assert_series_equal(forecaster.predict(fh=[1, 2]), before)


def test_pickle_holds_the_context_and_not_all_that_was_trained_on():
    forecaster = GRUForecaster(**SMALL, sp=24, callbacks=[StopAfter(1)])
    sizes = [len(pickle.dumps(forecaster.clone().fit(hourly(n)))) for n in (2_000, 10_000)]
    assert sizes[1] < 1.2 * sizes[0]


# ------------------------------------------------------------------ devices


@pytest.mark.parametrize("fitted", [True, False], ids=["fitted", "pretrained"])
def test_pickle_loaded_without_its_device_warns_and_forecasts_on_the_cpu(fitted):
    # Fitted on the CPU, with a device that was there then: what is loaded finds it missing.
    forecaster = GRUForecaster(**SMALL)
    forecaster = forecaster.fit(noisy()) if fitted else forecaster.pretrain(panel())
    copied = pickle.dumps(forecaster)
    forecaster.device = "cuda:99"
    with pytest.warns(UserWarning, match=r"GRUForecaster was fitted on 'cuda:99'.*on the CPU"):
        loaded = pickle.loads(pickle.dumps(forecaster))
    expected = pickle.loads(copied)
    if not fitted:
        loaded.device = "cpu"
        loaded, expected = (f.fit(noisy()) for f in (loaded, expected))
    pd.testing.assert_series_equal(loaded.predict(fh=[1, 2]), expected.predict(fh=[1, 2]))


def test_pickle_of_an_unfitted_forecaster_asks_for_no_device():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = pickle.loads(pickle.dumps(GRUForecaster(device="cuda:99")))
    assert loaded.get_params()["device"] == "cuda:99"


def test_networks_elsewhere_are_copied_to_the_cpu_and_stay_where_they_are():
    forecaster = GRUForecaster(**SMALL, device="cpu").pretrain(panel()).fit(noisy())
    elsewhere = torch.device("meta")  # a device that every machine has
    fitted, pretrained = forecaster.fitted_, forecaster.pretrained_model_
    moved = replace(pretrained, network=copy.deepcopy(pretrained.network).to(elsewhere))
    copied = _moved(moved, elsewhere)
    assert copied is moved  # nothing to copy
    state = pickled({"fitted_": fitted, "pretrained_model_": pretrained, "lr": 0.1})
    assert state["fitted_"].model is fitted.model  # nothing to copy, again
    assert state["pretrained_model_"] is pretrained
    assert state["lr"] == 0.1
    early = replace(fitted.model, network=copy.deepcopy(fitted.model.network))
    for before in (fitted, replace(fitted, early=early)):
        after = _with_models({"fitted_": before}, lambda model: _moved(model, elsewhere))["fitted_"]
        assert after.model.device == after.early.device == elsewhere
        assert (after.early is after.model) == (before.early is before.model)
    back = _moved(pretrained, elsewhere)
    assert (back.device, pretrained.device) == (elsewhere, torch.device("cpu"))
