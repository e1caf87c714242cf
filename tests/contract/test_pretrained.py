"""Pretrained networks: what they keep, what they hand on, and which forecasters they serve."""

import copy
import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from monthly_sales import FH, SMALL, covariate, forecasters, monthly, panel, weights
from sklearn.base import clone
from torch import nn

from skrnn import GRUForecaster, RNNForecaster
from skrnn.callbacks import Callback
from skrnn.contract.parameters import ARCHITECTURE
from skrnn.data.scaling import Scaler
from skrnn.forecasting.model import Model
from small_cases import CLASSES, noisy, same_weights

pytestmark = pytest.mark.usefixtures("one_thread")

# ------------------------------------------------------------------ what it hands on


@pytest.fixture(scope="module", params=CLASSES, ids=lambda cls: cls.__name__)
def pretrained(request):
    forecaster = request.param(**{**SMALL, "num_epochs": 20, "lr": 0.02})
    return forecaster.pretrain(panel())


def zero_shot(forecaster, y):
    return forecaster.clone().set_params(num_epochs=0).fit(y)


def test_fit_without_epochs_keeps_the_pretrained_weights(pretrained):
    fitted = zero_shot(pretrained, monthly(seed=5))
    assert same_weights(weights(fitted.network_), weights(pretrained.pretrained_model_.network))


def test_pretraining_reaches_the_forecasts_of_a_new_series(pretrained):
    y = monthly(seed=5)
    learned = zero_shot(pretrained, y).predict(fh=FH)
    unlearned = type(pretrained)(**{**SMALL, "num_epochs": 0}).fit(y).predict(fh=FH)
    assert learned.index.equals(unlearned.index)
    assert np.abs(learned - unlearned).max() > 0.1


def test_pretrained_forecasts_are_in_the_new_series_unit(pretrained):
    y = monthly(seed=5)
    forecast = zero_shot(pretrained, y).predict(fh=FH)
    elsewhere = zero_shot(pretrained, 1000 * y - 7).predict(fh=FH)
    np.testing.assert_allclose(elsewhere, 1000 * forecast - 7, rtol=1e-5)


def test_unknown_parameter_name_does_not_cost_the_pretrained_weights():
    forecaster = GRUForecaster(**SMALL).pretrain(panel())
    with pytest.raises(ValueError, match="bogus"):
        forecaster.set_params(bogus=1)
    assert forecaster.state == "pretrained"
    assert hasattr(forecaster, "pretrained_model_")


def test_fit_at_another_frequency_than_pretrained_warns():
    forecaster = GRUForecaster(**SMALL).pretrain(panel())
    daily = pd.Series(monthly().to_numpy(), pd.date_range("2024-01-01", periods=96, freq="D"))
    words = r"pretrained on series of frequency 'ME?', but y has 'D'"
    with pytest.warns(UserWarning, match=words) as caught:
        forecaster.fit(daily)
    assert caught[0].filename == __file__


def test_dropout_may_change_after_pretraining():
    forecaster = GRUForecaster(**SMALL).pretrain(panel()).set_params(dropout=0.5)
    assert forecaster.fit(monthly()).network_.output_dropout.p == 0.5


def test_swapped_covariates_after_pretraining_are_refused():
    y = panel()
    X = pd.DataFrame({"a": 0.0, "b": 1.0}, index=y.index)
    forecaster = GRUForecaster(**SMALL).pretrain(y, X)
    new = monthly()
    swapped = pd.DataFrame({"b": 0.0, "a": 1.0}, index=new.index)
    with pytest.raises(ValueError, match="same columns in the same order"):
        forecaster.fit(new, swapped)


def test_fit_trains_on_from_the_pretrained_weights(pretrained):
    y = monthly(seed=5)
    tuned = pretrained.clone().set_params(num_epochs=1, lr=1e-9).fit(y)
    before, after = weights(pretrained.pretrained_model_.network), weights(tuned.network_)
    assert not same_weights(before, after)
    for name in before:
        torch.testing.assert_close(after[name], before[name], rtol=0, atol=1e-6)


def test_fit_leaves_the_pretrained_weights_for_the_next_fit(pretrained):
    before = weights(pretrained.pretrained_model_.network)
    forecaster = pretrained.clone().fit(monthly(seed=5))
    assert not same_weights(weights(forecaster.network_), before)
    assert same_weights(weights(forecaster.pretrained_model_.network), before)
    first = forecaster.predict(fh=FH)
    pd.testing.assert_series_equal(forecaster.fit(monthly(seed=5)).predict(fh=FH), first)


def test_clones_and_set_params_keep_the_pretrained_weights(pretrained):
    kept = weights(pretrained.pretrained_model_.network)
    assert same_weights(weights(pretrained.clone().pretrained_model_.network), kept)
    forecaster = pretrained.clone().set_params(num_epochs=0)
    assert same_weights(weights(forecaster.pretrained_model_.network), kept)


def test_reset_forgets_the_pretrained_weights(pretrained):
    y = monthly(seed=5)
    forecaster = pretrained.clone()
    forecaster.reset()
    fresh = type(pretrained)(**pretrained.get_params()).fit(y)
    pd.testing.assert_series_equal(forecaster.fit(y).predict(fh=FH), fresh.predict(fh=FH))


def test_pretrained_forecaster_itself_is_not_fitted(pretrained):
    assert not pretrained.is_fitted
    assert pretrained.state == "pretrained"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hidden_size": 5}, ["hidden_size=4", "5", "reset()"]),
        ({"num_layers": 2}, ["num_layers=1", "2", "reset()"]),
    ],
)
def test_fit_with_another_architecture_than_pretrained_is_refused(pretrained, change, words):
    with pytest.raises(ValueError, match="pretrained") as error:
        pretrained.clone().set_params(**change).fit(monthly())
    for word in words:
        assert word in str(error.value)


def test_fit_on_other_columns_than_pretrained_is_refused(pretrained):
    y = monthly()
    with pytest.raises(ValueError, match=r"X of columns \[\], but fit got \['price'\]"):
        pretrained.clone().fit(y, X=covariate(y))
    with pytest.raises(ValueError, match=r"1 columns of y, .* but fit got 2"):
        pretrained.clone().fit(pd.DataFrame({"a": y, "b": y[::-1].to_numpy()}))


@forecasters
def test_pretraining_twice_learns_on(cls):
    # sktime's meaning: the second panel continues from the first one's weights.
    once = cls(**{**SMALL, "num_epochs": 1, "lr": 1e-9}).pretrain(panel(1))
    before = weights(once.pretrained_model_.network)
    after = weights(once.pretrain(panel(2)).pretrained_model_.network)
    for name in before:
        torch.testing.assert_close(after[name], before[name], rtol=0, atol=1e-6)


def test_network_counts_the_observations_that_it_has_learnt_from():
    y = noisy(100)
    panel = pd.DataFrame({"y": np.tile(y, 3)}, pd.MultiIndex.from_product([range(3), y.index]))
    forecaster = GRUForecaster(**SMALL, sp=4, linear_lags=None).pretrain(panel)
    # Targets begin where a season and the value before it exist.
    assert forecaster.pretrained_model_.network.n_observations == 3 * 95
    forecaster.fit(y[:80])
    assert forecaster.network_.n_observations == 3 * 95 + 75
    assert forecaster.pretrained_model_.network.n_observations == 3 * 95
    forecaster.update(y[80:85])
    assert forecaster.network_.n_observations == 3 * 95 + 80


# ------------------------------------------------------------------ which parameters it serves

# Of each parameter of the architecture, another value, and what else pretraining needs for it.
OTHERS = {
    "cell": ("lstm", {}),
    "strategy": ("multioutput", {}),
    "patch_length": (2, {"strategy": "multioutput"}),
    "hidden_size": (5, {}),
    "num_layers": (2, {}),
    "sp": (5, {}),
    "lags": ([5], {}),
    "calendar": (None, {}),
    "holidays": (["2000-01-01"], {}),
    "past_covariates": (["price"], {}),
    "naive": (None, {}),
    "linear_lags": (None, {}),
    "criterion": ("mse", {}),
    "quantiles": ([0.1, 0.9], {"criterion": "quantile"}),
}


@pytest.mark.parametrize("name", ARCHITECTURE)
def test_network_of_another_architecture_is_refused_with_the_way_out(name):
    other, options = OTHERS[name]
    y, new = panel(), monthly()
    forecaster = RNNForecaster(**SMALL | {"num_epochs": 0}, **options)
    forecaster.pretrain(y, covariate(y), fh=FH)
    value = forecaster.get_params()[name]
    with pytest.raises(ValueError, match="The network was pretrained with") as error:
        forecaster.set_params(**{name: other}).fit(new, covariate(new), fh=FH)
    assert f"pretrained with {name}={value!r}, but the parameter is {other!r}" in str(error.value)
    assert "reset()" in str(error.value)
    # Set back, it serves again.
    assert forecaster.set_params(**{name: value}).fit(new, covariate(new), fh=FH).is_fitted


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cell", partial(nn.GRU, bias=False)),
        ("holidays", pd.DatetimeIndex(["2000-01-01"])),
        ("lags", pd.Series([2, 3])),
        ("sp", np.array([12])),
        ("criterion", nn.L1Loss()),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
@pytest.mark.parametrize("copied", [clone, copy.deepcopy, lambda f: pickle.loads(pickle.dumps(f))])
def test_network_serves_a_copy_whose_parameters_are_equal_but_not_the_same(name, value, copied):
    forecaster = RNNForecaster(**SMALL, **{name: value}).pretrain(panel())
    fitted = copied(forecaster).set_params(num_epochs=0).fit(monthly())
    assert same_weights(weights(fitted.network_), weights(forecaster.pretrained_model_.network))


def test_partials_that_differ_in_an_argument_are_different_cells():
    forecaster = RNNForecaster(**SMALL, cell=partial(nn.GRU, bias=False)).pretrain(panel())
    with pytest.raises(ValueError, match="pretrained with cell="):
        forecaster.set_params(cell=partial(nn.GRU, bias=True)).fit(monthly())


def test_horizon_that_was_not_pretrained_is_refused():
    forecaster = GRUForecaster(**SMALL, strategy="multioutput").pretrain(panel(), fh=[1, 2])
    with pytest.raises(ValueError, match=r"the steps \[1, 2\], but fh asks for \[1, 3\]"):
        forecaster.fit(monthly(), fh=[1, 3])
    assert forecaster.fit(monthly(), fh=[2]).predict().index.tolist() == [monthly(98).index[-1]]
    # Pretrained again without fh, it keeps its horizons.
    again = forecaster.pretrain(panel(2)).pretrained_model_
    assert again.features.horizons == (1, 2)


@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
@pytest.mark.parametrize("copied", [lambda f: f, clone], ids=["itself", "clone"])
def test_module_as_criterion_pretrains(strategy, copied):
    parameters = SMALL | {"strategy": strategy}
    forecaster = copied(GRUForecaster(**parameters, criterion=nn.L1Loss())).pretrain(panel(), fh=FH)
    assert forecaster.state == "pretrained"
    fitted = copied(forecaster).set_params(num_epochs=0).fit(monthly(), fh=FH)
    kept = weights(forecaster.pretrained_model_.network)
    assert same_weights(weights(fitted.network_), kept)
    fresh = GRUForecaster(**parameters | {"num_epochs": 0}).fit(monthly(), fh=FH)
    assert np.abs(fitted.predict(FH) - fresh.predict(FH)).max() > 1e-3


# ------------------------------------------------------------------ what it keeps


def tensors_of(value, path="", seen=None):
    """Names of all numpy arrays and tensors within an object, by their path, with their sizes."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, (np.ndarray, torch.Tensor, pd.Series, pd.DataFrame)):
        yield path, value.size if not isinstance(value, torch.Tensor) else value.numel()
        return
    parts = value.items() if isinstance(value, dict) else getattr(value, "__dict__", {}).items()
    if isinstance(value, (list, tuple)):
        parts = enumerate(value)
    for name, part in parts:
        yield from tensors_of(part, f"{path}.{name}", seen)


@pytest.mark.parametrize("n_series", [3, 30])
def test_pretrained_model_holds_nothing_of_its_series(n_series):
    y = panel(n_series)
    forecaster = GRUForecaster(**SMALL).pretrain(y, covariate(y))
    model = forecaster.pretrained_model_
    assert isinstance(model, Model)
    assert model.scaler is None
    assert set(vars(forecaster)) & {"fitted_", "history_", "num_epochs_"} == set()
    # No array grows with the number of series, so none holds their values or statistics.
    sizes = dict(tensors_of(model))
    few = panel(2)
    other = GRUForecaster(**SMALL).pretrain(few, covariate(few)).pretrained_model_
    assert sizes == dict(tensors_of(other))
    assert len(sizes) > 10


def test_update_of_what_was_pretrained_leaves_the_pretrained_model():
    forecaster = GRUForecaster(**SMALL).pretrain(panel())
    before = weights(forecaster.pretrained_model_.network)
    forecaster.fit(monthly()[:80]).update(monthly()[80:])
    assert same_weights(weights(forecaster.pretrained_model_.network), before)
    assert not same_weights(weights(forecaster.network_), before)


def test_scaling_of_known_covariates_is_that_of_pretraining():
    y, new = panel(), monthly(seed=5)
    X, X_new = covariate(y), 10 * covariate(new)
    forecaster = GRUForecaster(**SMALL | {"num_epochs": 0}).pretrain(y, X)
    fitted = forecaster.fit(new, X_new).fitted_.model
    expected = Scaler("standard").fit(X.to_numpy(), np.zeros(len(X), dtype=int))
    np.testing.assert_array_equal(fitted.known_scaler.center_, expected.center_)
    np.testing.assert_array_equal(fitted.known_scaler.scale_, expected.scale_)
    # Those of y are the new series' own.
    assert fitted.scaler.center_ == pytest.approx(new.mean())


@pytest.mark.parametrize(
    "copied",
    [
        lambda f: f.clone(),
        clone,
        copy.deepcopy,
        lambda f: pickle.loads(pickle.dumps(f)),
        lambda f: f.set_params(lr=0.1),
        lambda f: f.set_params(),
        lambda f: f.fit(monthly(seed=6)).set_params(verbose=False),
        lambda f: f.fit(monthly(seed=6)).clone(),
    ],
)
@forecasters
def test_zero_shot_forecasts_are_equal_to_the_bit_in_every_copy(cls, copied):
    y = monthly(seed=5)
    forecaster = cls(**SMALL).pretrain(panel())
    kept = weights(forecaster.pretrained_model_.network)
    expected = forecaster.clone().set_params(num_epochs=0).fit(y).predict(fh=FH)
    other = copied(forecaster)
    assert other.state == "pretrained"
    fitted = other.set_params(num_epochs=0).fit(y)
    assert same_weights(weights(fitted.network_), kept)
    pd.testing.assert_series_equal(fitted.predict(fh=FH), expected)
    # sktime lists and clones it on.
    assert list(other.get_pretrained_params()) == ["pretrained_model_"]
    assert same_weights(weights(other.clone().pretrained_model_.network), kept)
    other.reset()
    assert not hasattr(other, "pretrained_model_")


def test_empty_set_params_leaves_a_fitted_forecaster_fitted():
    forecaster = GRUForecaster(**SMALL).pretrain(panel()).fit(monthly())
    expected = forecaster.predict(fh=FH)
    assert forecaster.set_params() is forecaster
    pd.testing.assert_series_equal(forecaster.predict(fh=FH), expected)
    fitted = GRUForecaster(**SMALL).fit(monthly())
    assert fitted.set_params().is_fitted


def test_pretraining_that_fails_leaves_the_pretrained_model():
    forecaster = GRUForecaster(**SMALL).pretrain(panel())
    before = weights(forecaster.pretrained_model_.network)
    spoiled = panel()
    spoiled.iloc[5] = np.inf
    with pytest.raises(ValueError, match="finite"):
        forecaster.pretrain(spoiled)
    assert forecaster.state == "pretrained"
    assert same_weights(weights(forecaster.pretrained_model_.network), before)
    assert forecaster.fit(monthly()).is_fitted


def test_pretrain_of_nothing_is_refused():
    with pytest.raises(TypeError, match=r"pretrain needs y, a panel .* y is None"):
        GRUForecaster(**SMALL).pretrain(None)


def test_interrupted_pretraining_on_a_clone_leaves_the_forecaster_new():
    class Interrupt(Callback):
        def on_epoch_end(self, training, epoch):
            raise KeyboardInterrupt

    forecaster = GRUForecaster(**SMALL, callbacks=[Interrupt()]).clone()
    with pytest.raises(KeyboardInterrupt):
        forecaster.pretrain(panel())
    assert forecaster.state == "new"
    assert not hasattr(forecaster, "pretrained_model_")
