"""What a fit chose: attributes with a trailing underscore, and the summary."""

import numpy as np
import pandas as pd
import pytest
import torch
from sktime.exceptions import NotFittedError

from skrnn import GRUForecaster, RNNForecaster
from skrnn.naive import AUTO_SEASONAL
from small_cases import CLASSES, SMALL, cells, covariate, hourly, noisy, panel

pytestmark = pytest.mark.usefixtures("one_thread")

ATTRIBUTES = (
    "network_",
    "networks_",
    "scaler_",
    "device_",
    "hidden_size_",
    "sp_",
    "lags_",
    "calendar_",
    "linear_lags_",
    "naive_",
    "num_epochs_",
    "history_",
    "fitted_",
)


# ------------------------------------------------------------------ attributes


@pytest.mark.parametrize("name", ATTRIBUTES)
@pytest.mark.parametrize("cls", CLASSES)
def test_attribute_is_absent_before_fit_and_after_set_params(cls, name):
    forecaster = cls(**SMALL)
    for absent in (forecaster, forecaster.clone().fit(noisy()).set_params(lr=0.1)):
        assert not hasattr(absent, name)
        with pytest.raises(AttributeError):
            getattr(absent, name)
    assert hasattr(forecaster.fit(noisy()), name)


def test_attribute_of_the_model_says_before_fit_what_to_do():
    with pytest.raises(NotFittedError, match=r"GRUForecaster has not been fitted yet.*`fit`"):
        _ = GRUForecaster().sp_
    pretrained = GRUForecaster(**SMALL).pretrain(panel())
    with pytest.raises(NotFittedError):
        _ = pretrained.network_


def test_what_auto_chose_is_that_of_the_index_and_the_data():
    forecaster = GRUForecaster(**SMALL).fit(hourly(24 * 15))
    assert forecaster.sp_ == (24, 168)
    assert forecaster.lags_ == (24, 168)
    assert forecaster.calendar_ == ("hour", "dayofweek")
    assert forecaster.device_.type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert forecaster.num_epochs_ == 2
    periods = forecaster.naive_.reset_index().groupby("naive")["period"].apply(set)
    assert set(periods.index) == {*AUTO_SEASONAL, "linear"}
    assert periods["seasonal"] == {24, 168}


def test_what_was_given_is_taken():
    parameters = SMALL | {"sp": [7, 12], "lags": 3, "calendar": None, "device": "cpu"}
    forecaster = GRUForecaster(
        **parameters | {"naive": ["last", "seasonal"], "linear_lags": [1, 5]}
    ).fit(hourly())
    assert forecaster.sp_ == (7, 12)
    assert forecaster.lags_ == (3,)
    assert forecaster.calendar_ == ()
    assert forecaster.linear_lags_ == (1, 5)
    expected = [("last", 1), ("linear", 1), ("seasonal", 7), ("seasonal", 12)]
    assert sorted(forecaster.naive_.index) == expected


@pytest.mark.parametrize(
    ("strategy", "past"), [("recursive", None), ("multioutput", None), ("recursive", ["x"])]
)
def test_initial_weights_are_a_mix_for_each_column_that_favours_the_better_forecast(strategy, past):
    # The first column repeats its season, the second its last value.
    season = np.tile([0.0, 5, 1, 7], 25)
    y = pd.DataFrame({"season": season, "walk": np.linspace(0, 1, 100)})
    y += 0.01 * np.random.default_rng(0).normal(size=y.shape)
    X = pd.DataFrame({"x": season})
    parameters = SMALL | {"strategy": strategy, "past_covariates": past, "sp": 4}
    forecaster = GRUForecaster(**parameters, naive=["last", "seasonal"], linear_lags=None)
    naive = forecaster.fit(y, X if past else None, fh=[1, 2]).naive_
    assert naive.columns.tolist() == ["season", "walk"]
    assert naive.index.names == ["naive", "period"]
    np.testing.assert_allclose(naive.sum(), 1.0, rtol=1e-5)
    assert naive.loc[("seasonal", 4), "season"] > 0.99
    assert naive.loc[("last", 1), "walk"] > 0.5
    network = forecaster.network_.head.mix_bias.detach().cpu().softmax(-1)
    # Training has moved on from them.
    assert not torch.equal(network.mean(0)[0], torch.tensor(naive["season"].to_numpy()))


def test_initial_weights_are_those_before_training():
    untrained = GRUForecaster(**SMALL | {"num_epochs": 0}, sp=12).fit(noisy())
    weights = untrained.network_.head.mix_bias.detach().softmax(-1)[0, 0].cpu().numpy()
    np.testing.assert_array_equal(untrained.naive_.iloc[:, 0].to_numpy(), weights)
    trained = GRUForecaster(**SMALL, sp=12).fit(noisy())
    pd.testing.assert_frame_equal(trained.naive_, untrained.naive_)


def test_initial_weights_of_several_horizons_are_their_mean():
    parameters = SMALL | {"num_epochs": 0, "strategy": "multioutput", "sp": 12}
    forecaster = GRUForecaster(**parameters).fit(noisy(), fh=[1, 6])
    weights = forecaster.network_.head.mix_bias.detach().cpu().softmax(-1)[:, 0]  # (J, N)
    assert not torch.equal(weights[0], weights[1])
    np.testing.assert_allclose(forecaster.naive_.iloc[:, 0], weights.mean(0), rtol=1e-6)


def test_without_naive_forecasts_their_table_is_empty():
    naive = GRUForecaster(**SMALL, naive=None).fit(noisy()).naive_
    assert naive.shape == (0, 1)


def test_fitted_parameters_of_sktime_are_the_attributes():
    forecaster = GRUForecaster(**SMALL).fit(noisy())
    params = forecaster.get_fitted_params()
    assert set(params) == {name.rstrip("_") for name in ATTRIBUTES}
    assert params["network"] is forecaster.network_
    assert params["sp"] == forecaster.sp_


# ------------------------------------------------------------------ summary


def test_summary_before_fit_is_refused():
    with pytest.raises(NotFittedError):
        GRUForecaster().summary()


@cells
def test_summary_shows_values_and_who_chose_them(cell):
    y = panel((60, 80))
    forecaster = cell(**SMALL, sp=12, validation_split=0.1).fit(y)
    summary = forecaster.summary()
    assert summary.index.name == "entry"
    assert summary.columns.tolist() == ["value", "chosen"]
    value, chosen, history = summary["value"], summary["chosen"], forecaster.history_
    assert value["class"] == type(forecaster).__name__
    assert value["cell"] == forecaster._cell()
    assert value["strategy"] == "recursive"
    assert (value["sp"], chosen["sp"]) == ("12", "given")
    assert (value["lags"], chosen["lags"]) == ("12", "auto")
    assert (value["calendar"], chosen["calendar"]) == ("none", "auto")
    assert value["trainable weights"] == sum(p.numel() for p in forecaster.network_.parameters())
    assert (value["device"], chosen["device"]) == (str(forecaster.device_), "auto")
    assert (value["series"], value["observations"]) == (2, 140)
    assert value["held-out rows"] == 6 + 8
    assert (value["planned epochs"], chosen["planned epochs"]) == (2, "given")
    assert value["epochs"] == 2
    assert value["training seconds"] == pytest.approx(history["seconds"].sum(), abs=0.01)
    assert value["training loss"] == pytest.approx(history["loss"].iloc[-1], rel=1e-3)
    assert value["validation loss"] == pytest.approx(history["validation_loss"].min(), rel=1e-3)
    assert value["best epoch"] == history["validation_loss"].idxmin() + 1


def test_summary_names_the_naive_forecasts_of_the_largest_initial_weights_in_order():
    forecaster = GRUForecaster(**SMALL, sp=12).fit(noisy())
    naive = forecaster.naive_.iloc[:, 0].sort_values(ascending=False)
    parts = [f"{name}({period}) {weight:.2f}" for (name, period), weight in naive[:3].items()]
    assert forecaster.summary().loc["largest naive weights", "value"] == ", ".join(parts)
    without = GRUForecaster(**SMALL, naive=None).fit(noisy()).summary()
    assert without.loc["largest naive weights"].tolist() == ["none", "given"]


def test_summary_without_training_has_no_losses():
    summary = (
        GRUForecaster(**SMALL | {"num_epochs": 0}).fit(hourly(), covariate(hourly())).summary()
    )
    assert summary.loc["epochs", "value"] == 0
    assert summary.index.intersection(["training loss", "validation loss"]).empty


def test_summary_names_a_cell_of_the_users_own():
    summary = RNNForecaster(**SMALL, cell=torch.nn.GRU).fit(noisy()).summary()
    assert summary.loc["cell", "value"] == "GRU"
