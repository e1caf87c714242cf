import copy
import math
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
import torch
from small_trainings import (
    FEATURES,
    SEVERAL_HORIZONS,
    SMALL,
    Y,
    chunks_of,
    network_of,
    one_chunk,
    trainer_of,
    weights_of,
)
from torch import nn

from skrnn import GRUForecaster, LSTMForecaster
from skrnn.callbacks import Callback
from skrnn.distributions import CRITERIA, distribution_of
from skrnn.forecasting import decoding
from skrnn.network.threads import whole_operators
from skrnn.training import trainer as trainer_module
from skrnn.training.divergence import DIVERGED_ERROR, N_CHECKED_BATCHES, check_sensible
from skrnn.training.prior import ridge_strength
from skrnn.training.schedules import one_cycle
from skrnn.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")

RNG = np.random.default_rng(0)
HOURLY = pd.Series(
    100 + 20 * np.sin(np.arange(200) * 2 * np.pi / 24) + RNG.normal(0, 2, 200),
    index=pd.date_range("2024-01-01", periods=200, freq="h"),
)


class Events(Callback):
    """Keeps the names of the events."""

    def __init__(self):
        self.events = []

    def on_train_begin(self, training, num_epochs):
        self.events.append("train begin")

    def on_train_end(self, training):
        self.events.append("train end")


# ------------------------------------------------------------------- the loop


@pytest.mark.parametrize("features", [FEATURES, SEVERAL_HORIZONS], ids=["step", "horizons"])
@pytest.mark.parametrize("criterion", ["mae", "mse"])
def test_training_equals_a_handwritten_loop(criterion, features):
    loss_weight = torch.tensor([[1.5], [0.5]][: len(features.horizons)])
    network = network_of(criterion, features)
    network.loss_weight.copy_(loss_weight)
    network.penalty_scale.fill_(0.1)
    trainer = trainer_of(
        network,
        chunks_of(features=features),
        optimizer=torch.optim.Adam(network.parameters(), lr=1e-2),
        max_grad_norm=0.1,
    )
    trainer.scheduler = one_cycle(trainer.optimizer, 3 * len(trainer.chunks))
    trainer.fit(3)

    by_hand, chunks = network_of(features=features), chunks_of(features=features)
    head = by_hand.head
    penalized = [head.correction.weight, head.mix.weight]
    penalized += (
        [head.correction.bias] if features is FEATURES else [head.direct.weight, head.direct.bias]
    )
    optimizer = torch.optim.Adam(by_hand.parameters(), lr=1e-2)
    scheduler = one_cycle(optimizer, 3 * len(chunks))
    strength = ridge_strength(features, chunks.n_observations)
    losses = []
    for _ in range(3):
        total = count = 0.0
        for chunk in chunks.epoch():
            distance = by_hand(chunk.steps, chunk.targets)[0][..., 0] - chunk.values
            errors = distance.abs() if criterion == "mae" else distance**2
            weight = chunk.weight * loss_weight
            loss = (errors * weight).sum() / weight.sum()
            ridge = strength * 0.1 * sum((p**2).sum() for p in penalized)
            optimizer.zero_grad()
            (loss + ridge).backward()
            norm = torch.sqrt(sum((p.grad**2).sum() for p in by_hand.parameters()))
            if norm > 0.1:
                for p in by_hand.parameters():
                    p.grad *= 0.1 / norm
            optimizer.step()
            scheduler.step()
            total += loss.item() * chunk.weight.sum().item()
            count += chunk.weight.sum().item()
        losses.append(total / count)

    torch.testing.assert_close(weights_of(network), weights_of(by_hand), rtol=0, atol=1e-5)
    rows = trainer.training.rows
    assert [row["loss"] for row in rows] == pytest.approx(losses, rel=1e-5)
    untrained = weights_of(network_of(features=features))
    assert not torch.allclose(weights_of(network), untrained, atol=1e-3)


def test_penalty_is_added_to_the_loss_of_each_step_and_not_to_that_in_the_history():
    network, calls = network_of(), []
    push = nn.Parameter(torch.zeros(()))

    def penalty():
        calls.append(1)
        return 3.0 * push

    trainer = trainer_of(network, penalty=penalty)
    trainer.fit(1)
    assert len(calls) == trainer.progress.step
    assert push.grad == 3.0 * len(calls)
    without = trainer_of(penalty=lambda: 0.0)
    without.fit(1)
    assert trainer.training.rows[0]["loss"] == without.training.rows[0]["loss"]


def test_training_lowers_the_loss():
    network = network_of()
    trainer = trainer_of(network, optimizer=torch.optim.Adam(network.parameters(), lr=3e-2))
    trainer.fit(20)
    losses = [row["loss"] for row in trainer.training.rows]
    assert losses[-1] < 0.9 * losses[0]


def test_history_counts_epochs_and_has_the_learning_rate_and_the_speed():
    trainer = trainer_of(lr=0.25)
    trainer.scheduler = torch.optim.lr_scheduler.LambdaLR(trainer.optimizer, lambda step: 0.5**step)
    trainer.fit(2)
    first, second = trainer.training.rows
    assert (first["epoch"], second["epoch"]) == (1, 2)
    assert first["lr"] == 0.25
    n_batches = math.log2(first["lr"] / second["lr"])
    assert n_batches == round(n_batches) > 1
    speed = trainer.chunks.n_targets / first["seconds"]
    assert first["targets_per_second"] == pytest.approx(speed, rel=1e-6)


def test_history_goes_on_where_it_ended():
    trainer = trainer_of(rows=[{"epoch": 1, "loss": 5.0}])
    trainer.fit(2)
    assert [row["epoch"] for row in trainer.training.rows] == [1, 2, 3]
    assert trainer.training.history["epoch"].tolist() == [1, 2, 3]
    # Of this training alone:
    assert (trainer.training.epoch, trainer.training.num_epochs) == (2, 2)


def test_gradient_norm_is_clipped():
    chunk = one_chunk()
    moved = {}
    for limit in (None, 1e-3, 1e9):
        network = network_of()
        before = weights_of(network)
        trainer_of(network, lr=1.0, max_grad_norm=limit).step(chunk)
        moved[limit] = weights_of(network) - before
    # A step of plain gradient descent is the gradient.
    assert moved[1e-3].norm() == pytest.approx(1e-3, rel=1e-3)
    assert moved[None].norm() > 1e-2
    torch.testing.assert_close(moved[1e9], moved[None])
    cosine = nn.functional.cosine_similarity(moved[1e-3], moved[None], dim=0)
    assert cosine == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("criterion", [*CRITERIA, nn.L1Loss()], ids=str)
def test_target_without_weight_changes_nothing(criterion):
    chunk = one_chunk()
    weight = chunk.weight.clone()
    weight[:, ::2] = 0.0
    garbage = torch.where(weight > 0, chunk.values, 1e6)
    moved = []
    for values in (chunk.values, garbage):
        network = network_of(criterion)
        loss, _ = trainer_of(network).step(chunk._replace(values=values, weight=weight))
        moved.append(torch.cat([weights_of(network), loss[None]]))
    assert torch.equal(*moved)
    assert not torch.equal(moved[0][:-1], weights_of(network_of()))


def test_step_reports_the_loss_before_it():
    chunk, network = one_chunk(), network_of()
    with torch.no_grad():
        forecast = network(chunk.steps, chunk.targets)[0][..., 0]
    before = ((forecast - chunk.values).abs() * chunk.weight).sum() / chunk.weight.sum()
    loss, n_targets = trainer_of(network).step(chunk)
    torch.testing.assert_close(loss, before)
    assert n_targets == chunk.weight.sum()


def test_network_trains_in_training_mode():
    network, modes = network_of().eval(), []
    network.register_forward_hook(lambda module, args, output: modes.append(module.training))
    trainer = trainer_of(network)
    trainer.fit(1)
    n = trainer.progress.step
    assert modes == [True] * n + [False] * min(n, N_CHECKED_BATCHES)
    assert not network.training  # ready to forecast


def test_zero_epochs_change_nothing():
    trainer = trainer_of()
    trainer.fit(0)
    assert trainer.training.rows == []
    assert torch.equal(weights_of(trainer.network), weights_of(network_of()))


def test_epochs_are_counted_over_several_calls():
    trainer = trainer_of()
    trainer.fit(1)
    trainer.fit(1)  # there already
    assert len(trainer.training.rows) == 1
    trainer.fit(2)
    other = trainer_of()
    other.fit(2)
    assert torch.equal(weights_of(trainer.network), weights_of(other.network))
    assert "validation_loss" not in trainer.training.rows[0]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_training_does_not_depend_on_the_gradient_mode_around_it(mode):
    inside, outside = trainer_of(), trainer_of()
    with mode():
        inside.fit(2)
    outside.fit(2)
    assert torch.equal(weights_of(inside.network), weights_of(outside.network))


# ----------------------------------------------------------------- divergence


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_training_loss_that_is_not_finite_raises(value):
    network = network_of()
    with torch.no_grad():
        network.head.correction.bias.fill_(value)
    events = Events()
    trainer = trainer_of(network, callbacks=[events])
    with pytest.raises(FloatingPointError, match="training loss must stay finite, but it became"):
        trainer.fit(1)
    assert trainer.training.rows == []
    assert events.events == ["train begin", "train end"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("epoch", [1, 3])
def test_validation_loss_that_is_not_finite_raises(value, epoch):
    losses = iter([*range(epoch - 1), value])
    events = Events()
    trainer = trainer_of(validate=lambda: float(next(losses)), callbacks=[events], patience=9)
    match = rf"must stay finite, but it became {value} in epoch {epoch}, after \d+ optimiser"
    with pytest.raises(FloatingPointError, match=match):
        trainer.fit(5)
    assert len(trainer.training.rows) == epoch - 1
    assert events.events == ["train begin", "train end"]


@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
@pytest.mark.parametrize("criterion", ["mse", "normal", "studentt"])
@pytest.mark.parametrize("forecaster", [GRUForecaster, LSTMForecaster])
def test_infinite_validation_loss_of_a_forecaster_is_reported(strategy, criterion, forecaster):
    y = Y.copy()
    y.iloc[-12:] = 1e30
    settings = {**SMALL, "strategy": strategy, "criterion": criterion}
    with pytest.raises(FloatingPointError, match=r"validation loss .* became (inf|nan) in epoch 1"):
        forecaster(**settings, validation_split=0.2, patience=2).fit(y, fh=[1, 2, 3])


@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
@pytest.mark.parametrize("supervision", ["dense", "last"])
def test_held_out_values_do_not_reach_the_weights(strategy, supervision):
    index = pd.MultiIndex.from_product([["a", "b"], range(60)])
    settings = {**SMALL, "strategy": strategy, "supervision": supervision, "criterion": "mse"}

    def losses(held_out):
        y = pd.DataFrame({"y": np.r_[Y, 2 * Y]}, index)
        y.iloc[48:60] = held_out
        fitted = GRUForecaster(**settings, validation_split=0.2).fit(y, fh=[1, 2, 3])
        return fitted.history_["loss"].tolist()

    assert losses(1e16) == losses(0.0)


def test_weights_that_diverge_in_the_last_step_raise():
    # The loss of a step is that of the weights before it: with one step it stays small.
    events = Events()
    trainer = trainer_of(lr=1e6, chunks=chunks_of(batch_size=100), callbacks=[events])
    with pytest.raises(
        FloatingPointError, match="after 1 optimiser steps they are off by"
    ) as error:
        trainer.fit(1)
    assert "Lower lr (it was 1e+06 at last), set max_grad_norm" in str(error.value)
    assert trainer.training.rows[0]["loss"] < 2
    assert events.events == ["train begin", "train end"]


@pytest.mark.parametrize(
    ("error", "raises"), [(0.9 * DIVERGED_ERROR, False), (1.2 * DIVERGED_ERROR, True)]
)
def test_forecasts_may_be_off_by_the_named_multiple_of_the_values(error, raises):
    network = network_of()

    class Shift(Callback):
        def on_batch_end(self, training, n_batches):
            chunk = one_chunk()
            size = ((1 + chunk.values.abs()) * chunk.weight).sum() / chunk.weight.sum()
            network.head.correction.bias.data.fill_(error * size.item())
            return True

    trainer = trainer_of(network, callbacks=[Shift()])
    if raises:
        with pytest.raises(FloatingPointError, match="Training must end with forecasts near"):
            trainer.fit(1)
    else:
        trainer.fit(1)


def test_check_of_the_final_weights_draws_no_random_number():
    trainer = trainer_of(network_of(dropout=0.5))
    trainer.fit(1)
    before = trainer.streams.state_dict()
    check_sensible(trainer.training, trainer.chunks, trainer.streams, trainer.optimizer)
    after = trainer.streams.state_dict()
    assert str(before["numpy"]) == str(after["numpy"])
    assert torch.equal(before["weights"], after["weights"])


@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
@pytest.mark.parametrize("forecaster", [GRUForecaster, LSTMForecaster])
def test_absurd_learning_rate_is_reported(strategy, forecaster):
    settings = {"hidden_size": 8, "num_epochs": 3, "random_state": 0, "strategy": strategy}
    with pytest.raises(FloatingPointError, match="Lower lr"):
        forecaster(lr=1e6, lr_scheduler=None, **settings).fit(HOURLY, fh=range(1, 49))


EXTREME = [
    {"lr": lr, "optimizer": optimizer, "max_grad_norm": clip, "criterion": criterion}
    for k, (lr, optimizer, clip, criterion) in enumerate(
        (lr, optimizer, clip, criterion)
        for lr in (1e6, 1e3, 30.0)
        for optimizer in ("adamw", "sgd", "rmsprop")
        for clip in (1.0, None)
        for criterion in ("mae", "mse", "normal", "quantile", "studentt")
    )
    if k % 3 == 0
]


@pytest.mark.parametrize("k", range(len(EXTREME)))
def test_no_extreme_setting_gives_an_absurd_forecast_without_an_error(k):
    settings = EXTREME[k] | {"strategy": ("recursive", "multioutput")[k % 2]}
    settings["naive"] = ("auto", None)[k // 2 % 2]
    forecaster = (GRUForecaster, LSTMForecaster)[k // 4 % 2](
        hidden_size=8, num_epochs=3, random_state=0, window_length=24, lr_scheduler=None, **settings
    )
    with suppress(FloatingPointError):
        forecast = forecaster.fit(HOURLY, fh=range(1, 49)).predict()
        # One step ahead the error is bounded; over two days a recursion may add to it.
        assert (forecast - HOURLY.mean()).abs().mean() < 10 * DIVERGED_ERROR * HOURLY.std()


def test_update_that_diverges_leaves_the_forecaster_as_it_was():
    forecaster = GRUForecaster(**{**SMALL, "lr": 1e-3}).fit(Y[:40])
    before, fitted = forecaster.predict(fh=[1, 2]), forecaster.fitted_
    forecaster.lr, forecaster.max_grad_norm = 1e9, None
    with pytest.raises(FloatingPointError):
        forecaster.update(Y[40:])
    assert forecaster.fitted_ is fitted
    pd.testing.assert_series_equal(forecaster.predict(fh=[1, 2]), before)


# -------------------------------------------------------------- early stopping


def validated(losses, num_epochs, patience):
    """Train with given validation losses; the trainer, and the weights after each epoch."""
    weights = []
    trainer = trainer_of(patience=patience)

    def validate():
        weights.append(copy.deepcopy(weights_of(trainer.network)))
        return losses[len(weights) - 1]

    trainer.validate = validate
    trainer.fit(num_epochs)
    return trainer, weights


@pytest.mark.parametrize(
    ("losses", "patience", "trained", "best"),
    [
        ([5.0, 3.0, 4.0, 3.5, 1.0], 2, 4, 1),
        ([5.0, 3.0, 4.0, 3.5, 1.0], 3, 5, 4),
        ([5.0, 3.0, 3.0, 3.0, 1.0], 2, 4, 1),  # an equal loss is no new lowest
        ([5.0, 6.0, 1.0, 1.0, 1.0], 1, 2, 0),
        ([5.0, 4.0, 3.0, 2.0, 1.0], 1, 5, 4),
        ([5.0, 1.0, 2.0, 3.0, 4.0], None, 5, 1),
    ],
)
def test_training_stops_after_patience_and_keeps_the_best_weights(losses, patience, trained, best):
    trainer, weights = validated(losses, 5, patience)
    rows = trainer.training.rows
    assert len(rows) == trained
    assert [row["validation_loss"] for row in rows] == losses[:trained]
    assert (trainer.progress.best_epoch, trainer.progress.best_loss) == (best + 1, losses[best])
    assert torch.equal(weights_of(trainer.network), weights[best])
    assert not torch.equal(weights[0], weights[1])


def test_validation_runs_in_evaluation_mode():
    modes = []
    trainer = trainer_of()
    trainer.validate = lambda: modes.append(trainer.network.training) or 1.0
    trainer.fit(2)
    assert modes == [False, False]


def test_best_weights_are_kept_when_a_callback_stops():
    class Stop(Callback):
        def on_epoch_end(self, training, epoch):
            return epoch["epoch"] == 2

    trainer = trainer_of(callbacks=[Stop()])
    weights = []

    def validate():
        weights.append(weights_of(trainer.network))
        return float(len(weights))

    trainer.validate = validate
    trainer.fit(9)
    assert len(weights) == 2
    assert torch.equal(weights_of(trainer.network), weights[0])


def test_validation_loss_is_of_each_series_own_end_and_the_best_epochs_weights_forecast():
    # Three series of different lengths that end at different times.
    stamps = {"a": range(40), "b": range(15, 70), "c": range(5, 30)}
    index = pd.MultiIndex.from_tuples([(s, t) for s, times in stamps.items() for t in times])
    rng = np.random.default_rng(3)
    y = pd.DataFrame({"y": 10 * rng.normal(size=len(index)) + 50}, index)
    weights = []

    class Watch(Callback):
        def on_epoch_end(self, training, epoch):
            weights.append(weights_of(training.network))

    forecaster = GRUForecaster(
        **{**SMALL, "num_epochs": 12, "lr": 0.3, "lr_scheduler": None},
        validation_split=0.2,
        callbacks=[Watch()],
    ).fit(y)
    losses = forecaster.history_["validation_loss"]
    best = losses.idxmin()
    assert 0 < best < 11  # or the first or last weights were kept anyway
    assert torch.equal(weights_of(forecaster.network_), weights[best])

    forecast = forecaster.predict(fh=range(-10, 1))
    errors = []
    for name, times in stamps.items():
        held = math.ceil(0.2 * len(times))
        trained, end = y.loc[name][:-held], y.loc[name][-held:]
        errors.append((forecast.loc[name][-held:] - end).abs() / trained.std(ddof=0))
    assert pd.concat(errors)["y"].mean() == pytest.approx(losses.min(), rel=1e-4)


def test_validation_loss_weighs_each_horizon_by_its_loss_weight():
    s = np.random.default_rng(0).normal(size=60).cumsum()
    settings = SMALL | {"lr": 1e-6, "num_epochs": 1, "naive": ["last"], "strategy": "multioutput"}
    forecaster = GRUForecaster(**settings, validation_split=0.2).fit(pd.Series(s), fh=[1, 4])
    # Of 12 held-out steps each is forecast from; for the last three the target four steps ahead
    # is beyond the end.
    t = np.arange(48, 60)
    errors = [np.abs(s[t] - s[t - 1]), np.abs(s[t[:-3] + 3] - s[t[:-3] - 1])]
    weights = forecaster.network_.loss_weight.ravel().tolist()
    assert weights[0] > 1.2 > 0.8 > weights[1]
    total = sum(w * e.sum() for w, e in zip(weights, errors, strict=True))
    expected = total / (12 * weights[0] + 9 * weights[1]) / forecaster.scaler_.scale_.item()
    assert forecaster.history_["validation_loss"][0] == pytest.approx(expected, rel=1e-3)


def test_validation_of_very_many_forecasts_takes_a_cutoff_of_each_stretch(monkeypatch):
    s = np.random.default_rng(0).normal(size=60).cumsum()
    settings = SMALL | {"lr": 1e-6, "num_epochs": 1, "naive": ["last"], "validation_split": 0.25}
    monkeypatch.setattr("skrnn.forecasting.validation.MOST_VALIDATED_FORECASTS", 3)
    loss = GRUForecaster(**settings).fit(pd.Series(s)).history_["validation_loss"][0]
    # Of each five held-out rows one: the fifth, the fourth and the third.
    errors = np.abs(np.diff(s))[[48, 52, 56]]
    assert loss == pytest.approx(errors.mean() / s[:45].std(), rel=1e-3)


# ------------------------------------------------------------------------- threads


@pytest.fixture
def divided(monkeypatch, two_threads):
    """Two threads take parts of each batch; how many threads took each."""
    found, learn = [], Trainer._learn_in_threads

    def spy(self, chunk, threads):
        found.append(threads)
        return learn(self, chunk, threads)

    monkeypatch.setattr(Trainer, "_learn_in_threads", spy)
    monkeypatch.setattr(trainer_module, "LEAST_STEPS_OF_THREAD", 1)
    return found


@pytest.mark.parametrize("criterion", ["mae", "quantile"])
@pytest.mark.parametrize("features", [FEATURES, SEVERAL_HORIZONS], ids=["step", "horizons"])
def test_a_batch_divided_among_threads_has_the_gradients_of_the_whole(features, criterion, divided):
    network = network_of(criterion, features)
    chunk = next(iter(chunks_of(features=features).epoch()))
    weight = chunk.weight.clone()
    weight[0, ::2] = 0  # missing values: parts count by their targets
    chunk = chunk._replace(weight=weight)
    trainer = trainer_of(network, lr=0.0)
    loss = trainer._learn(chunk)
    assert not divided
    expected = [parameter.grad.clone() for parameter in network.parameters()]
    with whole_operators():
        found = trainer._learn(chunk)
    assert divided == [2]
    torch.testing.assert_close(found, loss)
    for parameter, gradient in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
def test_two_threads_train_and_forecast_as_one(strategy, divided, monkeypatch):
    monkeypatch.setattr(decoding, "FEWEST_OF_THREAD", 1)

    def forecast():
        forecaster = GRUForecaster(strategy, num_epochs=4, batch_size=3, window_length=20)
        forecaster.set_params(hidden_size=4, random_state=0, validation_split=0.2)
        forecaster.fit(HOURLY.mask(np.arange(len(HOURLY)) % 31 == 7), fh=[1, 2])
        # Intervals are made from forecasts of all held-out rows.
        bounds = forecaster.predict_interval(coverage=[0.5, 0.9]).to_numpy()
        forecasts = np.column_stack([forecaster.predict(), bounds])
        return forecasts, forecaster.history_[["loss", "validation_loss"]].to_numpy()

    found, losses = forecast()
    assert set(divided) == {2}
    torch.set_num_threads(1)
    n_divided = len(divided)
    expected, expected_losses = forecast()
    assert len(divided) == n_divided
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-4)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_fit_leaves_the_number_of_threads_as_it_was(divided):
    GRUForecaster(**SMALL).fit(Y)
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(
    "own", ["dropout", "hook", "gradient hook", "accumulation hook", "criterion"]
)
def test_a_batch_stays_whole_where_its_parts_would_not_add_up(own, divided):
    criterion = nn.HuberLoss() if own == "criterion" else "mae"
    network = network_of(distribution_of(criterion, (0.5,)), dropout=0.5 * (own == "dropout"))
    seen = []
    if own == "hook":
        network.head.register_forward_hook(lambda *_: seen.append(0))
    if own == "gradient hook":
        network.head.mix_bias.register_hook(lambda _: seen.append(0))
    if own == "accumulation hook":
        network.head.mix_bias.register_post_accumulate_grad_hook(lambda _: seen.append(0))
    with whole_operators():
        trainer_of(network)._learn(one_chunk())
    assert not divided
    assert len(seen) == ("hook" in own)
