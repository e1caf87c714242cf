"""Several networks of different seeds: their mean or mixture, in everything a forecaster does."""

import copy
import pickle
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch

import skrnn
import skrnn.plotting
from skrnn import GRUForecaster, LSTMForecaster, RNNForecaster, backtest, explain, sample_paths
from skrnn.callbacks import Callback, StopAfter
from skrnn.contract import ensembles
from skrnn.contract.checkpoints import Checkpoint
from skrnn.contract.fitting import train
from skrnn.files.container import InvalidFileError, pack, unpack
from skrnn.network.randomness import RandomStreams

FH = [1, 2, 5]
SMALL = {"hidden_size": 4, "window_length": 24, "num_epochs": 3, "sp": 12, "random_state": 0}
CLOSE = {"rtol": 1e-5, "atol": 1e-8}


def months(n=100, seed=0, name="y"):
    rng, t = np.random.default_rng(seed), np.arange(n)
    values = 100 + 20 * np.sin(2 * np.pi * t / 12) + np.cumsum(rng.normal(size=n)) * 3
    index = pd.period_range("2000-01", periods=n, freq="M", name="month")
    return pd.DataFrame({name: values}, index=index)


def ensemble(y=None, cls=GRUForecaster, fh=FH, n=3, **parameters):
    y = months() if y is None else y
    return cls(**SMALL | {"n_estimators": n} | parameters).fit(y, fh=fh)


def alone(forecaster, number):
    """A forecaster with one of the networks of an ensemble."""
    one = copy.deepcopy(forecaster)
    one.fitted_ = replace(one.fitted_, model=one.fitted_.model.members[number])
    return one


def of_members(forecaster, method, *args, **kwargs):
    """What a method of each network's forecaster returns."""
    n = len(forecaster.networks_)
    return [getattr(alone(forecaster, m), method)(*args, **kwargs) for m in range(n)]


def seeds_of(seed, n):
    return [RandomStreams(seed).of_member(m).seed for m in range(n)]


@pytest.fixture(scope="module")
def chosen():
    """An ensemble whose held-out rows choose each network's length of training."""
    return ensemble(months(), num_epochs="auto", hidden_size=6)


# ------------------------------------------------------------------------- the networks


@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
@pytest.mark.parametrize("cls", [GRUForecaster, LSTMForecaster])
def test_the_first_network_starts_from_the_weights_of_a_single_one(cls, strategy):
    several, one = (ensemble(cls=cls, n=n, strategy=strategy, num_epochs=0) for n in (2, 1))
    for name, weight in one.network_.state_dict().items():
        assert torch.equal(several.networks_[0].state_dict()[name], weight)


@pytest.mark.parametrize("cls", [GRUForecaster, LSTMForecaster])
@pytest.mark.parametrize(
    "parameters",
    [
        {"num_epochs": "auto"},
        {"strategy": "multioutput", "criterion": "quantile"},
        {"supervision": "last", "validation_split": 0.2},
    ],
    ids=str,
)
def test_the_first_network_is_that_of_a_single_one(cls, parameters):
    several, one = ensemble(cls=cls, n=2, **parameters), ensemble(cls=cls, n=1, **parameters)
    for name, weight in one.network_.state_dict().items():
        # Single precision rounds a weight of one half to 3e-8.
        found = several.networks_[0].state_dict()[name]
        np.testing.assert_allclose(found, weight, rtol=1e-5, atol=3e-8)
    np.testing.assert_allclose(of_members(several, "predict")[0], one.predict(), **CLOSE)
    assert several.num_epochs_[0] == one.num_epochs_
    numbers = ["epoch", "loss", "lr"]
    np.testing.assert_allclose(several.history_.loc[0][numbers], one.history_[numbers], rtol=1e-4)


def test_networks_trained_at_once_are_those_of_one_after_the_other(monkeypatch):
    # The first weights of the mix then depend on the batch that is drawn, as on long series.
    monkeypatch.setattr("skrnn.features.naive_forecasts.N_COMPARED_BATCHES", 1)
    chosen = {"num_epochs": "auto", "batch_size": 2}
    for parameters in (
        chosen,
        chosen | {"naive": None},
        {"criterion": "normal"},
        {"window_length": 12},
    ):
        called = mock.Mock(side_effect=train)
        monkeypatch.setattr(ensembles, "train", called)
        at_once = ensemble(**parameters)
        assert called.call_count == 0
        with monkeypatch.context() as patch:
            patch.setattr(ensembles, "train_together", lambda tasks: [None] * len(tasks))
            one_by_one = ensemble(**parameters)
        assert called.call_count == 3
        np.testing.assert_allclose(at_once.predict(), one_by_one.predict(), **CLOSE)
        assert at_once.num_epochs_.equals(one_by_one.num_epochs_)


@pytest.mark.parametrize(
    "parameters",
    [{"dropout": 0.3}, {"callbacks": [StopAfter(2)]}, {"lr_scheduler": "plateau"}],
    ids=["dropout", "callbacks", "plateau"],
)
def test_each_network_is_that_of_a_fit_with_its_seed(parameters):
    several = ensemble(**parameters)
    drawn = mock.patch.object(RandomStreams, "of")
    for seed, forecast in zip(
        seeds_of(several.fitted_.seed, 3), of_members(several, "predict"), strict=True
    ):
        with drawn as of:
            of.side_effect = lambda state, seed=seed: RandomStreams(seed)
            one = ensemble(n=1, **parameters)
        np.testing.assert_allclose(forecast, one.predict(), **CLOSE)


def test_a_larger_ensemble_has_the_networks_of_a_smaller_one():
    two, three = ensemble(n=2), ensemble(n=3)
    for small, large in zip(two.networks_, three.networks_[:2], strict=True):
        torch.testing.assert_close(small.state_dict(), large.state_dict())
    first, *others = (network.recurrent.layers[0].weight_hh_l0 for network in three.networks_)
    assert all((first - other).abs().max() > 0.1 for other in others)


def test_a_random_state_is_advanced_by_one_draw():
    states = [np.random.RandomState(1) for _ in range(2)]
    ensemble(random_state=states[0]), ensemble(n=1, random_state=states[1])
    assert states[0].randint(10**9) == states[1].randint(10**9)


# ------------------------------------------------------------------------ the forecasts


def test_point_forecasts_are_the_mean(chosen):
    np.testing.assert_allclose(
        chosen.predict(FH), np.mean(of_members(chosen, "predict", FH), axis=0), rtol=1e-12
    )
    inside = [-5, 0, 2]
    np.testing.assert_allclose(
        chosen.predict(inside), np.mean(of_members(chosen, "predict", inside), axis=0), rtol=1e-12
    )
    members = [forecast.to_numpy() for forecast in of_members(chosen, "predict", FH)]
    assert np.ptp(members, axis=0).max() > 1e-3  # they differ


@pytest.mark.parametrize("criterion", ["normal", "studentt", "quantile"])
def test_quantiles_are_those_of_the_mixture(criterion):
    several = ensemble(strategy="multioutput", criterion=criterion, forecast_range=None)
    levels = np.array([0.05, 0.4, 0.9])
    found = several.predict_quantiles(FH, alpha=levels)
    fine = np.linspace(0.002, 0.998, 499)
    shares = 0
    for one in of_members(several, "predict_quantiles", FH, alpha=fine):
        curve = one.to_numpy()
        shares = shares + np.stack(
            [np.interp(v, q, fine) for v, q in zip(found.to_numpy(), curve, strict=True)]
        )
    np.testing.assert_allclose(shares / 3, np.broadcast_to(levels, shares.shape), atol=1e-3)
    points = of_members(several, "predict", FH)
    np.testing.assert_allclose(several.predict(FH), np.mean(points, axis=0), rtol=1e-12)
    within = of_members(several, "predict_var", FH)
    if criterion != "quantile":  # whose medians are not the means
        expected = np.mean(within, axis=0) + np.var(points, axis=0)
        np.testing.assert_allclose(several.predict_var(FH), expected, rtol=1e-6)


def test_quantiles_of_counts_are_the_least_counts_of_the_mixture():
    y = (months() / 8).round()
    several = ensemble(y, strategy="multioutput", criterion="negbinomial")
    found = several.predict_quantiles(FH, alpha=[0.1, 0.8]).to_numpy()
    distribution, _, parameters = several.fitted_.forecast(np.array([FH]), None)
    for a, level in enumerate([0.1, 0.8]):
        for shift, is_enough in ((0, True), (-1, False)):
            share = np.mean(
                [
                    d.cdf(p, found[:, None, a : a + 1] + shift)
                    for d, p in zip(
                        distribution.distribution.distributions,
                        np.split(parameters[..., :-2], 3, axis=-1),
                        strict=True,
                    )
                ],
                axis=0,
            )
            assert ((share >= level) == is_enough).all()


def test_simulated_paths_are_divided_among_the_networks():
    several = ensemble(criterion="normal", n_samples=7, forecast_range=None)
    steps = np.array([[1, 2, 3]])
    _, _, paths = several.fitted_.forecast(steps, None, 7)
    model = several.fitted_.model
    assert paths.shape[-1] == 7
    asked = []

    def noted(member, *args):
        asked.append((member, args[4]))
        return original(member, *args)

    original = type(model.members[0]).forecast
    with mock.patch.object(type(model.members[0]), "forecast", noted):
        _, _, again = several.fitted_.forecast(steps, None, 7)
        several.fitted_.forecast(steps, None, 2)
    assert [n for _, n in asked] == [3, 2, 2, 1, 1]  # of two paths the third network has none
    np.testing.assert_array_equal(again, paths)
    _, _, longer = several.fitted_.forecast(np.array([[1, 2, 3, 4]]), None, 7)
    np.testing.assert_array_equal(longer[:3], paths)  # draws of one change none of another


def test_intervals_are_calibrated_by_errors_of_the_ensemble():
    several = ensemble(months(200), num_epochs="auto", hidden_size=6, fh=[1, 2])
    found = several.predict_quantiles([1], alpha=[0.1, 0.9]).to_numpy()[0]
    fitted = several.fitted_
    first, stop = fitted.held_out.rows(fitted.panel)
    rows = np.arange(first[0], stop[0])
    zeros, one = np.zeros_like(rows), np.array([1])
    forecasts = [
        model.forecast(fitted.panel, zeros, rows, one)[1][:, 0, 0, 0]
        for model in fitted.early.members
    ]
    errors = np.sort(fitted.panel.values[rows, 0] - np.mean(forecasts, axis=0))
    n = len(errors)
    ranks = int(np.floor((n + 1) * 0.1)), int(np.ceil((n + 1) * 0.9))
    expected = several.predict([1]).to_numpy()[0] + errors[[ranks[0] - 1, ranks[1] - 1]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
@pytest.mark.parametrize("inputs", [False, True])
def test_contributions_are_means_and_add_up(strategy, inputs):
    several = ensemble(strategy=strategy, criterion="quantile")
    table = explain(several, fh=FH, inputs=inputs)
    np.testing.assert_allclose(table.sum(axis=1), several.predict(FH)["y"], rtol=1e-9)
    of_each = [explain(alone(several, m), fh=FH, inputs=inputs) for m in range(3)]
    np.testing.assert_allclose(table, np.mean(of_each, axis=0), rtol=1e-9, atol=1e-9)


def test_a_backtest_is_the_mean_of_those_of_the_networks(chosen):
    y = months(110)
    table = backtest(chosen, y, fh=FH, start=98, alpha=[0.2])
    of_each = [backtest(alone(chosen, m), y, fh=FH, start=98) for m in range(3)]
    expected = np.mean([one["y_pred"] for one in of_each], axis=0)
    np.testing.assert_allclose(table["y_pred"], expected, rtol=1e-12)
    assert (table["y_pred_0.2"] < table["y_pred"]).all()


def test_paths_are_joint_and_have_the_quantiles():
    several = ensemble(criterion="normal", n_samples=40, forecast_range=None)
    paths = sample_paths(several, fh=[1, 2, 3], n_paths=60, random_state=0)["y"].unstack("path")
    assert paths.shape == (3, 60)
    first, last = paths.iloc[0], paths.iloc[2]
    assert np.corrcoef(first, last)[0, 1] > 0.2


# ------------------------------------------------------------------- after the forecasts


def test_an_update_trains_every_network_as_alone():
    y = months(148)
    first, rest = y.iloc[:100], y.iloc[100:]
    several = ensemble(first, window_length=12, batch_size=1)  # in random order
    singles = [alone(several, m) for m in range(3)]
    seeds, histories = seeds_of(several.fitted_.seed, 3), several.history_
    several.update(rest)
    for m, one in enumerate(singles):
        one.fitted_ = replace(one.fitted_, seed=seeds[m])
        one.history_, one.num_epochs_ = histories.loc[m].reset_index(drop=True), 3
        one.update(rest)
        np.testing.assert_allclose(of_members(several, "predict")[m], one.predict(), **CLOSE)
        assert len(several.history_.loc[m]) == len(one.history_) > len(histories.loc[m])
    before = several.networks_
    several.update(months(150).iloc[148:], update_params=False)
    assert all(a is b for a, b in zip(before, several.networks_, strict=True))


def test_history_and_epochs_have_a_member_level(chosen):
    assert chosen.history_.index.names == ["member", "row"]
    assert chosen.num_epochs_.index.equals(pd.RangeIndex(3, name="member"))
    for m, planned in chosen.num_epochs_.items():
        history = chosen.history_.loc[m]
        assert history["epoch"].tolist() == list(range(1, len(history) + 1))
        validated = history["validation_loss"].dropna()
        if planned:
            assert validated.idxmin() + 1 == planned
    table = chosen.summary()["value"]
    assert table["networks"] == 3
    assert table["planned epochs"] == ", ".join(map(str, chosen.num_epochs_))
    assert table["trainable weights"] == 3 * sum(
        weight.numel() for weight in chosen.networks_[0].parameters()
    )


def test_the_plot_of_the_history_has_a_line_for_each_network(chosen):
    pytest.importorskip("matplotlib")
    lines = {line.get_label(): line for line in skrnn.plotting.plot_history(chosen).get_lines()}
    for m in range(3):
        losses = chosen.history_.loc[m, "loss"]
        np.testing.assert_array_equal(lines[f"member {m}, loss"].get_ydata(), losses)


def test_without_training_there_is_no_history():
    several = ensemble(num_epochs=0)
    assert len(several.history_) == 0
    several.update(months(104).iloc[100:])
    assert several.num_epochs_.tolist() == [0, 0, 0]


def test_copies_and_pickles_and_files_forecast_the_same(chosen, tmp_path):
    skrnn.save(chosen, tmp_path / "context")
    copies = [
        pickle.loads(pickle.dumps(chosen)),
        copy.deepcopy(chosen),
        skrnn.load(tmp_path / "context"),
    ]
    expected = chosen.predict(FH), chosen.predict_quantiles(FH, alpha=[0.1, 0.7])
    for one in copies:
        pd.testing.assert_frame_equal(one.predict(FH), expected[0])
        pd.testing.assert_frame_equal(one.predict_quantiles(FH, alpha=[0.1, 0.7]), expected[1])
        pd.testing.assert_frame_equal(one.history_, chosen.history_)
        pd.testing.assert_series_equal(one.num_epochs_, chosen.num_epochs_)
        assert one.fitted_.early is not one.fitted_.model
    assert chosen.clone().n_estimators == 3


@pytest.mark.parametrize("change", ["none", "fewer", "other"])
def test_a_file_whose_networks_do_not_belong_together_is_refused(chosen, tmp_path, change):
    skrnn.save(chosen, tmp_path / "file")
    description, arrays = unpack((tmp_path / "file").read_bytes())
    models = description["state"]["fitted_"]["Fitted"]
    if change == "none":
        models["model"]["members"] = []
    elif change == "fewer":
        models["early"]["members"].pop()
    else:
        models["model"]["members"][1]["features"]["sp"] = {"tuple": [3]}
    del description["format"]
    with pytest.raises(InvalidFileError):
        skrnn.load(pack(description, arrays))


def test_pretrained_networks_are_fitted_each():
    panel = pd.concat({"a": months(seed=1), "b": months(seed=2)}, names=["shop"])
    pretrained = GRUForecaster(**SMALL, n_estimators=2).pretrain(panel)
    fitted = pretrained.clone().set_params(num_epochs=0).fit(months())
    for before, after in zip(pretrained.pretrained_model_.members, fitted.networks_, strict=True):
        torch.testing.assert_close(before.network.state_dict(), after.state_dict())
    pretrained.clone().fit(months()).predict(FH)  # trains on
    with pytest.raises(ValueError, match="pretrained with n_estimators=2, but the parameter is 1"):
        pretrained.clone().set_params(n_estimators=1).fit(months())


def test_each_series_may_have_an_ensemble():
    parts = {"a": months(96, 1), "b": months(120, 2)}
    panel = pd.concat(parts, names=["shop"])
    local = GRUForecaster(**SMALL, n_estimators=2, pooling="local").fit(panel)
    for key, part in parts.items():
        one = GRUForecaster(**SMALL, n_estimators=2).fit(part)
        np.testing.assert_allclose(local.predict(FH).loc[key], one.predict(FH), **CLOSE)
        assert local.num_epochs_[key].tolist() == [3, 3]
        pd.testing.assert_index_equal(local.history_.loc[key].index, one.history_.index)
        same = local.of_series(key)
        pd.testing.assert_series_equal(same.num_epochs_, one.num_epochs_)
        np.testing.assert_allclose(same.history_["loss"], one.history_["loss"], rtol=1e-4)
    new = pd.concat({"b": months(123, 2).iloc[120:]}, names=["shop"])
    before = local.history_
    local.update(new)
    assert len(local.history_.loc["a"]) == len(before.loc["a"])
    assert len(local.history_.loc[("b", 1)]) > len(before.loc[("b", 1)])


class Killed(Exception):
    pass


def test_training_goes_on_from_a_checkpoint(tmp_path, monkeypatch):
    settings = {"checkpoint": tmp_path / "state", "checkpoint_seconds": 0, "random_state": None}
    write, n_written = Checkpoint._write, []

    def killed_after_six(checkpoint, *args, **kwargs):
        write(checkpoint, *args, **kwargs)
        n_written.append(len(checkpoint.finished))
        if len(n_written) == 6:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "_write", killed_after_six)
        with pytest.raises(Killed):
            ensemble(**settings)
    assert n_written[-1] == 1  # the second network was in training
    resumed = ensemble(**settings)
    assert not list(tmp_path.iterdir())
    seed = resumed.fitted_.seed
    monkeypatch.setattr(RandomStreams, "of", lambda state: RandomStreams(seed))
    whole = ensemble(**settings)
    np.testing.assert_array_equal(resumed.predict(), whole.predict())


class Interrupt(Callback):
    def on_epoch_end(self, training, epoch):
        raise KeyboardInterrupt


def test_an_interrupt_ends_all_trainings():
    forecaster = GRUForecaster(**SMALL, n_estimators=2, callbacks=[Interrupt()])
    with pytest.raises(KeyboardInterrupt):
        forecaster.fit(months())
    assert not forecaster.is_fitted


# ------------------------------------------------------------------------- what is refused


def test_what_needs_one_network_names_the_way_out(chosen):
    assert not hasattr(chosen, "network_")
    with pytest.raises(AttributeError, match="networks_"):
        chosen.network_  # noqa: B018
    with pytest.raises(ValueError, match=r"n_estimators=3.*n_estimators=1"):
        skrnn.Stream(chosen)
    pytest.importorskip("onnxruntime")
    with pytest.raises(ValueError, match=r"n_estimators=3.*n_estimators=1"):
        chosen.to_onnx("never")
    assert not Path("never").exists()


@pytest.mark.parametrize("n", [0, -1, 1.5, "two", None])
def test_the_number_of_networks_must_be_a_positive_int(n):
    with pytest.raises(ValueError, match="'n_estimators' parameter of GRUForecaster must be"):
        GRUForecaster(n_estimators=n).fit(months())


def test_a_cell_of_ones_own_may_be_in_an_ensemble():
    several = ensemble(cls=RNNForecaster, cell="rnn")
    np.testing.assert_allclose(
        several.predict(), np.mean(of_members(several, "predict"), axis=0), rtol=1e-12
    )
