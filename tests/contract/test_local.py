"""A network for each series of a panel, trained together, is the one of a fit of its own."""

import pickle
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch
from sktime.split import ExpandingWindowSplitter

import skrnn
from skrnn import GRUForecaster, LSTMForecaster, RNNForecaster, backtest, evaluate
from skrnn.contract import together
from skrnn.contract.fitting import train

FH = [1, 2, 5]
# As equal as float32 lets sums in another order be.
CLOSE = {"rtol": 1e-5, "atol": 1e-8}


def series_of(seed, n):
    """Months with a season, a trend and noise, in one of three units."""
    rng, t = np.random.default_rng(seed), np.arange(n)
    season = 15 * np.sin(2 * np.pi * (t + rng.integers(12)) / 12)
    values = 100 + t * rng.normal() / 3 + season + np.cumsum(rng.normal(size=n)) * 2
    index = pd.period_range("2000-01", periods=n + seed, freq="M", name="month")[seed:]
    return pd.DataFrame({"y": 10.0 ** (seed % 3) * values}, index=index)


def panel_of(parts):
    return pd.concat(parts, names=["shop"])


ALIKE = {f"s{k}": series_of(k, 96) for k in range(4)}
UNLIKE = {f"s{k}": series_of(k, 110 + 23 * k) for k in range(4)}


def with_gaps(parts):
    """Missing values in all series but one, at the beginning of another one as well."""
    result = {key: part.copy() for key, part in parts.items()}
    for k, part in enumerate(result.values()):
        if k:
            part.iloc[np.random.default_rng(k).choice(len(part), 7, replace=False)] = np.nan
    result["s1"].iloc[:3] = np.nan
    return result


def with_future(parts):
    """Two covariates for each series and six rows more."""
    result = {}
    for k, (key, part) in enumerate(parts.items()):
        rng = np.random.default_rng(k)
        index = pd.period_range(part.index[0], periods=len(part) + 6, freq="M", name="month")
        columns = {
            "price": k + 3 * rng.normal(size=len(index)),
            "promo": rng.integers(0, 2, len(index)),
        }
        result[key] = pd.DataFrame(columns, index=index)
    return result


def fitted(cls, parts, X=None, **parameters):
    """A local forecaster, and one forecaster for each series."""
    parameters = {"hidden_size": 6, "random_state": 0} | parameters
    past = None if X is None else {key: X[key].loc[part.index] for key, part in parts.items()}
    local = cls(pooling="local", **parameters)
    local.fit(panel_of(parts), X=None if X is None else panel_of(past), fh=FH)
    alone = {
        key: cls(**parameters).fit(part, X=None if X is None else past[key], fh=FH)
        for key, part in parts.items()
    }
    return local, alone


def assert_same(of_panel, of_series):
    """Tables of the panel and of each series hold the same numbers."""
    for key, table in of_series.items():
        np.testing.assert_allclose(of_panel.loc[key], table, **CLOSE)
        pd.testing.assert_index_equal(of_panel.loc[key].index, table.index)


@pytest.fixture(scope="module")
def pair():
    return fitted(GRUForecaster, with_gaps(UNLIKE))


@pytest.mark.parametrize("cls", [GRUForecaster, LSTMForecaster])
@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
@pytest.mark.parametrize(
    "parts", [ALIKE, UNLIKE, with_gaps(UNLIKE)], ids=["alike", "unlike", "gaps"]
)
def test_each_network_is_that_of_a_fit_of_its_own(cls, strategy, parts, monkeypatch):
    alone = mock.Mock(side_effect=train)
    monkeypatch.setattr("skrnn.contract.local.train", alone)
    local = cls(pooling="local", hidden_size=6, strategy=strategy, random_state=0)
    local.fit(panel_of(parts), fh=FH)
    has_gaps = [part["y"].isna().any() for part in parts.values()]
    # The one series without gaps reads other inputs than those with gaps.
    assert alone.call_count == (1 if any(has_gaps) else 0)
    forecasts = local.predict(FH)
    for key, part in parts.items():
        alone = cls(hidden_size=6, strategy=strategy, random_state=0).fit(part, fh=FH)
        np.testing.assert_allclose(forecasts.loc[key], alone.predict(FH), **CLOSE)
        assert local.num_epochs_[key] == alone.num_epochs_
        numbers = ["epoch", "loss", "lr", "validation_loss"]
        np.testing.assert_allclose(
            local.history_.loc[key][numbers], alone.history_[numbers], rtol=1e-4
        )


@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
def test_covariates_are_scaled_and_read_by_series(strategy):
    X = with_future(UNLIKE)
    local, alone = fitted(GRUForecaster, UNLIKE, X, strategy=strategy)
    future = {key: X[key].iloc[-6:] for key in UNLIKE}
    forecasts = local.predict(FH, X=panel_of(future))
    assert_same(forecasts, {key: one.predict(FH, X=future[key]) for key, one in alone.items()})


@pytest.mark.parametrize(
    "parameters",
    [
        {"num_epochs": 5, "validation_split": 0.2, "patience": 2},
        {"num_epochs": 3, "supervision": "last", "window_length": 24, "lr_scheduler": "cosine"},
        {"window_length": 30},  # several chunks of each series, in random order
        {"criterion": "normal", "num_epochs": 4},
        {"naive": None, "num_epochs": 3},
        {
            "num_layers": 2,
            "optimizer": "sgd",
            "optimizer_kwargs": {"momentum": 0.9},
            "num_epochs": 4,
        },
        {"num_epochs": 0},
        {"strategy": "multioutput", "patch_length": 2, "window_length": 24, "num_epochs": 3},
    ],
    ids=str,
)
def test_settings_that_change_the_training_are_kept(parameters):
    local, alone = fitted(GRUForecaster, UNLIKE, **parameters)
    assert_same(local.predict(FH), {key: one.predict(FH) for key, one in alone.items()})


def test_counts_have_networks_of_their_own():
    parts = {key: (part.abs() / part.mean() * 9).round() for key, part in ALIKE.items()}
    local, alone = fitted(GRUForecaster, parts, criterion="negbinomial", num_epochs=4)
    assert_same(local.predict(FH), {key: one.predict(FH) for key, one in alone.items()})


@pytest.mark.parametrize(
    "parameters",
    [
        {"dropout": 0.3, "num_epochs": 2},
        {"lr_scheduler": "plateau", "num_epochs": 2},
        {"optimizer": torch.optim.Adam, "num_epochs": 2},
    ],
    ids=["dropout", "plateau", "own optimizer"],
)
def test_what_cannot_be_trained_together_is_trained_one_by_one(parameters):
    local, alone = fitted(LSTMForecaster, ALIKE, **parameters)
    assert_same(local.predict(FH), {key: one.predict(FH) for key, one in alone.items()})


def test_a_cell_without_kernels_is_trained_one_by_one():
    local, alone = fitted(RNNForecaster, ALIKE, cell="rnn", num_epochs=2)
    assert_same(local.predict(FH), {key: one.predict(FH) for key, one in alone.items()})


def test_categories_are_those_of_each_series():
    X = {
        key: frame.assign(day=list("ab" * len(frame))[: len(frame)])
        for key, frame in with_future(ALIKE).items()
    }
    X["s3"]["day"] = list("abc" * len(X["s3"]))[: len(X["s3"])]
    local, alone = fitted(GRUForecaster, ALIKE, X, num_epochs=2)
    future = {key: X[key].iloc[-6:] for key in ALIKE}
    forecasts = local.predict(FH, X=panel_of(future))
    assert_same(forecasts, {key: one.predict(FH, X=future[key]) for key, one in alone.items()})


def test_many_stacks_are_the_same_as_one(monkeypatch):
    one = GRUForecaster(pooling="local", hidden_size=6, random_state=0).fit(panel_of(UNLIKE))
    monkeypatch.setattr(together, "NUMBERS_AT_ONCE", 1)
    many = GRUForecaster(pooling="local", hidden_size=6, random_state=0).fit(panel_of(UNLIKE))
    np.testing.assert_allclose(many.predict(FH), one.predict(FH), **CLOSE)


def test_seeds_of_a_random_state_are_drawn_in_the_order_of_the_series():
    parameters = {"hidden_size": 6, "naive": None, "num_epochs": 2}
    local = GRUForecaster(pooling="local", random_state=np.random.RandomState(1), **parameters).fit(
        panel_of(ALIKE)
    )
    drawn = np.random.RandomState(1)
    alone = {
        key: GRUForecaster(random_state=drawn, **parameters).fit(part)
        for key, part in ALIKE.items()
    }
    assert_same(local.predict(FH), {key: one.predict(FH) for key, one in alone.items()})


# ------------------------------------------------------------------------ after the fit


def test_intervals_and_in_sample_forecasts_are_those_of_each_series(pair):
    local, alone = pair
    intervals = local.predict_interval(FH, coverage=0.8)
    assert_same(
        intervals, {key: one.predict_interval(FH, coverage=0.8) for key, one in alone.items()}
    )
    assert_same(local.predict_var(FH), {key: one.predict_var(FH) for key, one in alone.items()})
    assert_same(
        local.predict([-1, 0, 2]), {key: one.predict([-1, 0, 2]) for key, one in alone.items()}
    )


def test_paths_of_a_distribution_are_those_of_each_series():
    local, alone = fitted(GRUForecaster, ALIKE, criterion="normal", n_samples=20, num_epochs=2)
    quantiles = {key: one.predict_quantiles(FH, alpha=[0.1, 0.7]) for key, one in alone.items()}
    assert_same(local.predict_quantiles(FH, alpha=[0.1, 0.7]), quantiles)


@pytest.mark.parametrize("update_params", [False, True])
def test_an_update_reaches_the_series_that_have_new_rows(update_params):
    first = {key: part.iloc[:-4] for key, part in ALIKE.items()}
    local, alone = fitted(GRUForecaster, first)
    new = {key: part.iloc[-4:] for key, part in ALIKE.items() if key != "s2"}
    local.update(panel_of(new), update_params=update_params)
    for key, rows in new.items():
        alone[key].update(rows, update_params=update_params)
    assert_same(local.predict(FH), {key: one.predict(FH) for key, one in alone.items()})
    assert len(local.history_.loc["s2"]) == len(alone["s2"].history_)
    assert len(local.history_.loc["s1"]) == len(alone["s1"].history_)


def test_a_backtest_is_that_of_each_series(pair):
    local, alone = pair
    y = with_gaps(UNLIKE)
    table = backtest(local, panel_of(y), fh=FH, start=0.9, alpha=0.9)
    assert_same(
        table,
        {key: backtest(one, y[key], fh=FH, start=0.9, alpha=0.9) for key, one in alone.items()},
    )


def test_a_backtest_from_given_cutoffs_has_their_order(pair):
    local, alone = pair
    y = with_gaps(UNLIKE)
    cutoffs = panel_of(y).index[[-10, 20, -12, 30]]
    table = backtest(local, panel_of(y), fh=FH, cutoffs=cutoffs)
    found = [(*entry[:-1],) for entry in table.index[:: len(FH)]]
    assert found == list(cutoffs)
    expected = [backtest(alone[key], y[key], fh=FH, cutoffs=[stamp]) for key, stamp in cutoffs]
    np.testing.assert_allclose(table["y_pred"], pd.concat(expected)["y_pred"], **CLOSE)


def test_evaluate_scores_a_network_for_each_series():
    cv = ExpandingWindowSplitter(fh=FH, initial_window=70, step_length=10)
    forecaster = GRUForecaster(pooling="local", hidden_size=4, num_epochs=2, random_state=0)
    once = evaluate(forecaster, cv, panel_of(ALIKE), strategy="no-update_params", return_data=True)
    local = forecaster.clone().fit(panel_of({key: part.iloc[:70] for key, part in ALIKE.items()}))
    local.update(
        panel_of({key: part.iloc[70:80] for key, part in ALIKE.items()}), update_params=False
    )
    np.testing.assert_allclose(once["y_pred"].iloc[1], local.predict(FH), **CLOSE)


@pytest.mark.parametrize("history", ["context", "all"])
def test_a_file_has_the_network_of_each_series(pair, tmp_path, history):
    local, _ = pair
    skrnn.save(local, tmp_path / "local.skrnn", history=history)
    loaded = skrnn.load(tmp_path / "local.skrnn")
    pd.testing.assert_frame_equal(loaded.predict(FH), local.predict(FH))
    pd.testing.assert_frame_equal(loaded.predict_interval(FH), local.predict_interval(FH))
    pd.testing.assert_frame_equal(loaded.history_, local.history_)
    pd.testing.assert_series_equal(loaded.num_epochs_, local.num_epochs_)


def test_a_pickle_forecasts_the_same(pair):
    local, _ = pair
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(local)).predict(FH), local.predict(FH))


def test_the_forecaster_of_one_series_is_the_one_fitted_alone(pair):
    local, alone = pair
    one = local.of_series("s1")
    np.testing.assert_allclose(one.predict(FH), alone["s1"].predict(FH), **CLOSE)
    assert one.summary().loc["epochs", "value"] == len(alone["s1"].history_)
    assert one.pooling == "global"
    assert one.cutoff.equals(alone["s1"].cutoff)
    before = local.predict(FH)
    one.update(series_of(1, 115).iloc[-4:], update_params=True)
    pd.testing.assert_frame_equal(local.predict(FH), before)


def test_networks_share_no_weights(pair):
    local, _ = pair
    networks = [part.model.network for part in local.fitted_.parts]
    pointers = {p.data_ptr() for network in networks for p in network.parameters()}
    assert len(pointers) == sum(len(list(network.parameters())) for network in networks)


def test_a_single_series_has_one_network():
    y = ALIKE["s0"]
    local = GRUForecaster(pooling="local", hidden_size=4, num_epochs=2, random_state=0).fit(y)
    alone = GRUForecaster(hidden_size=4, num_epochs=2, random_state=0).fit(y)
    pd.testing.assert_frame_equal(local.predict(FH), alone.predict(FH))


def test_pretraining_pools_and_each_series_goes_on_from_it():
    parameters = {"hidden_size": 4, "num_epochs": 2, "random_state": 0}
    local = GRUForecaster(pooling="local", **parameters).pretrain(panel_of(ALIKE))
    pooled = GRUForecaster(**parameters).pretrain(panel_of(ALIKE))
    local.fit(panel_of(ALIKE))
    alone = {key: pooled.clone().fit(part) for key, part in ALIKE.items()}
    assert_same(local.predict(FH), {key: one.predict(FH) for key, one in alone.items()})


# --------------------------------------------------------------------------- refusals


def test_what_needs_one_network_says_how_to_get_it(pair):
    local, _ = pair
    for call in (
        lambda: local.network_,
        local.summary,
        lambda: skrnn.explain(local, FH),
        lambda: skrnn.save(local, "none.skrnn", history="none"),
    ):
        with pytest.raises(NotImplementedError, match=r"of_series\(key\)"):
            call()
    assert not hasattr(local, "network_")


def test_predict_proba_is_refused_with_the_way_out(pair):
    pytest.importorskip("skpro")
    with pytest.raises(NotImplementedError, match="predict_quantiles"):
        pair[0].predict_proba(FH)


def test_an_unknown_series_is_named(pair):
    local, _ = pair
    new = panel_of({"other": series_of(9, 20)})
    with pytest.raises(ValueError, match="'other' was not seen in fit"):
        local.update(new, update_params=False)
    with pytest.raises(KeyError, match="'other' is none of"):
        local.of_series("other")


def test_of_series_of_a_pooled_forecaster_is_refused():
    forecaster = GRUForecaster(hidden_size=4, num_epochs=1).fit(panel_of(ALIKE))
    with pytest.raises(ValueError, match="Set pooling='local'"):
        forecaster.of_series("s0")


def test_one_checkpoint_of_all_series_is_refused(tmp_path):
    forecaster = GRUForecaster(pooling="local", checkpoint=tmp_path / "state")
    with pytest.raises(ValueError, match=r"\{fingerprint\}"):
        forecaster.fit(panel_of(ALIKE))


def test_divergence_names_the_series():
    forecaster = GRUForecaster(
        pooling="local", hidden_size=4, num_epochs=3, optimizer="sgd", lr=1e30, naive=None,
        max_grad_norm=None,
    )  # fmt: skip
    with pytest.raises(FloatingPointError, match="Of series 's"):
        forecaster.fit(panel_of(ALIKE))


def test_two_threads_train_the_networks_that_one_thread_does(two_threads):
    def forecast():
        forecaster = GRUForecaster(pooling="local", hidden_size=6, random_state=0)
        return forecaster.fit(panel_of(ALIKE), fh=FH).predict()

    found = forecast()
    torch.set_num_threads(1)
    pd.testing.assert_frame_equal(found, forecast(), **CLOSE)
