import copy
import math
import signal
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sktime.forecasting.model_evaluation import evaluate
from sktime.forecasting.model_selection import ForecastingGridSearchCV
from sktime.split import ExpandingWindowSplitter
from torch import nn

from skrnn import SMAPE, GRUForecaster, smape_scorer
from skrnn.callbacks import Callback
from skrnn.data.covariates import Covariates
from skrnn.data.panel import Panel
from skrnn.data.scaling import Scaler
from skrnn.distributions import CRITERIA, Normal, Point, Quantiles, StudentT
from skrnn.features.features import NAIVE, Features
from skrnn.network.network import RecurrentNetwork
from skrnn.training.chunks import Chunk, Chunks, DevicePanel
from skrnn.training.trainer import (
    OPTIMIZERS,
    SCHEDULERS,
    Trainer,
    one_cycle,
    planned_epochs,
)

pytestmark = pytest.mark.usefixtures("one_thread")

FEATURES = Features((4,), (4,), NAIVE, (), 1)
AHEAD = Features((4,), (4,), NAIVE, (), 1, horizons=(1, 3))


def network_of(criterion="mae", features=FEATURES):
    torch.manual_seed(0)
    criterion = CRITERIA[criterion] if isinstance(criterion, str) else criterion
    return RecurrentNetwork(features, Point(criterion), "gru", 3, 1, 0.0)


def chunks_of(seed=0, batch_size=5, features=FEATURES):
    """Batches of three short noisy series."""
    rng = np.random.default_rng(9)
    index = pd.MultiIndex.from_product([range(3), range(20)])
    y = pd.DataFrame({"y": np.tile([0.0, 3.0, 1.0, -2.0, 1.0], 12) + rng.normal(size=60)}, index)
    panel = Panel.from_pandas(y, None, Covariates.of(None, ()))
    group = panel.series_of_rows()
    scaler = Scaler("standard").fit(y.to_numpy(), group)
    data = DevicePanel(
        panel, features, scaler, Scaler(None).fit(panel.known, group * 0), torch.device("cpu")
    )
    rng = np.random.default_rng(seed)
    return Chunks(data, panel.lengths, 6, batch_size, "dense", rng)


def trainer_of(network=None, chunks=None, lr=1e-2, optimizer=None, **kwargs):
    network = network_of() if network is None else network
    defaults = {
        "forecaster": SimpleNamespace(),
        "network": network,
        "chunks": chunks_of() if chunks is None else chunks,
        "optimizer": torch.optim.SGD(network.parameters(), lr) if optimizer is None else optimizer,
        "max_grad_norm": None,
        "callbacks": [],
        "history": [],
        "patience": None,
    }
    return Trainer(**defaults | kwargs)


def weights_of(network):
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


SMALL = {
    "hidden_size": 2,
    "window_length": 5,
    "batch_size": 4,
    "num_epochs": 3,
    "sp": None,
    "random_state": 0,
}
Y = pd.Series(
    np.tile([1.0, 4.0, 2.0, 0.0], 15) + np.random.default_rng(0).normal(size=60), name="y"
)


PANEL = pd.MultiIndex.from_product([["a", "b"], range(30)])


def one_chunk():
    return next(iter(chunks_of().epoch()))


# ------------------------------------------------------------------- the loop


@pytest.mark.parametrize(
    ("told", "prior"),
    [({}, 2_000), ({"n_numbers": 1}, 50), ({"n_columns": 2}, 50), ({"n_past": 1}, 50)],
)
def test_trust_in_the_mix_is_great_where_few_values_of_the_series_are_all_that_is_told(told, prior):
    features = Features((4,), (4,), NAIVE, (), **{"n_columns": 1} | told)
    trainer = trainer_of(network_of(features=features))
    assert trainer.trust == prior / trainer.chunks.n_observations


def test_trust_of_a_network_that_has_learnt_from_more_before_stays_small():
    network = network_of()
    network.seen.fill_(1e6)
    assert trainer_of(network).trust == 2_000 / 1e6


@pytest.mark.parametrize(
    ("told", "n", "ridge"),
    [
        # 500 to the seasons of four seen, where the naive forecasts go back over all that is told.
        ({}, 200, 10),
        ({}, 5_000, 0.2),  # halved
        ({}, 1e6, 5e-8),
        ({"horizons": (1, 2)}, 200, 10),
        # (2,000 / n)^1.5 with a longer cycle of the calendar, (50 / n)^1.5 with X.
        ({"cycle": 365}, 500, 8),
        ({"n_numbers": 1}, 200, 0.125),
    ],
)
def test_ridge_is_strong_where_few_seasons_tell_all_and_leaves_room_for_what_else_is_told(
    told, n, ridge
):
    features = Features((4,), (4,), NAIVE, (), **{"n_columns": 1} | told)
    network = network_of(features=features)
    network.seen.fill_(n)
    trainer = trainer_of(network, chunks_of(features=FEATURES))
    assert trainer.ridge == pytest.approx(ridge, rel=3e-3)


@pytest.mark.parametrize("features", [FEATURES, AHEAD], ids=["step", "horizons"])
@pytest.mark.parametrize("criterion", ["mae", "mse"])
def test_training_equals_a_handwritten_loop(criterion, features):
    emphasis = torch.tensor([[1.5], [0.5]][: len(features.ahead)])
    network = network_of(criterion, features)
    network.emphasis.copy_(emphasis)
    network.error.fill_(0.1)
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
    departing = [head.correction.weight, head.mix.weight]
    departing += (
        [head.direct.weight, head.direct.bias] if features.horizons else [head.correction.bias]
    )
    optimizer = torch.optim.Adam(by_hand.parameters(), lr=1e-2)
    scheduler = one_cycle(optimizer, 3 * len(chunks))
    losses = []
    for _ in range(3):
        total = count = 0.0
        for chunk in chunks.epoch():
            distance = by_hand(chunk.steps, chunk.ahead)[0][..., 0] - chunk.target
            errors = distance.abs() if criterion == "mae" else distance**2
            weight = chunk.weight * emphasis
            loss = (errors * weight).sum() / weight.sum()
            n = chunks.n_observations
            ridge = 2e3 / n / (1 + (n / 5e3) ** 2) * 0.1 * sum((p**2).sum() for p in departing)
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
    assert [row["loss"] for row in trainer.history] == pytest.approx(losses, rel=1e-5)
    untrained = weights_of(network_of(features=features))
    assert not torch.allclose(weights_of(network), untrained, atol=1e-3)


def test_training_lowers_the_loss():
    network = network_of()
    trainer = trainer_of(network, optimizer=torch.optim.Adam(network.parameters(), lr=3e-2))
    trainer.fit(20)
    losses = [row["loss"] for row in trainer.history]
    assert losses[-1] < 0.9 * losses[0]


def test_history_counts_epochs_and_tells_the_learning_rate_and_the_speed():
    trainer = trainer_of(lr=0.25)
    trainer.scheduler = torch.optim.lr_scheduler.LambdaLR(trainer.optimizer, lambda step: 0.5**step)
    trainer.fit(2)
    first, second = trainer.history
    assert (first["epoch"], second["epoch"]) == (1, 2)
    assert first["lr"] == 0.25
    n_batches = math.log2(first["lr"] / second["lr"])
    assert n_batches == round(n_batches) > 1
    speed = trainer.chunks.n_targets / first["seconds"]
    assert first["targets_per_second"] == pytest.approx(speed, rel=1e-6)


def test_history_goes_on_where_it_ended():
    trainer = trainer_of(history=[{"epoch": 1, "loss": 5.0}])
    trainer.fit(2)
    assert [row["epoch"] for row in trainer.history] == [1, 2, 3]


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


@pytest.mark.parametrize("criterion", [*CRITERIA.values(), nn.L1Loss()], ids=str)
def test_target_without_weight_changes_nothing(criterion):
    chunk = one_chunk()
    weight = chunk.weight.clone()
    weight[:, ::2] = 0.0
    garbage = torch.where(weight > 0, chunk.target, 1e6)
    moved = []
    for target in (chunk.target, garbage):
        network = network_of(criterion)
        trainer = trainer_of(network)
        loss = trainer.step(Chunk(chunk.steps, chunk.ahead, target, weight))
        moved.append(torch.cat([weights_of(network), loss[None]]))
    assert torch.equal(*moved)
    assert not torch.equal(moved[0][:-1], weights_of(network_of()))


def test_step_reports_the_loss_before_it():
    chunk, network = one_chunk(), network_of()
    with torch.no_grad():
        made = network(chunk.steps, chunk.ahead)[0][..., 0]
    before = ((made - chunk.target).abs() * chunk.weight).sum() / chunk.weight.sum()
    torch.testing.assert_close(trainer_of(network).step(chunk), before)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_loss_that_is_not_finite_raises(value):
    network = network_of()
    with torch.no_grad():
        network.head.correction.bias.fill_(value)
    trainer = trainer_of(network)
    with pytest.raises(FloatingPointError, match="training loss must stay finite, but it became"):
        trainer.fit(1)
    assert trainer.history == []


def test_network_trains_in_training_mode():
    network, modes = network_of().eval(), []
    network.register_forward_hook(lambda module, args, output: modes.append(module.training))
    trainer_of(network).fit(1)
    assert set(modes) == {True}
    assert not network.training  # ready to forecast


def test_zero_epochs_change_nothing():
    trainer = trainer_of()
    trainer.fit(0)
    assert trainer.history == []
    assert torch.equal(weights_of(trainer.network), weights_of(network_of()))


# ------------------------------------------------------------------- the loss

FORECAST = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]])
TARGET = torch.tensor([[[1.5, 4.0], [3.0, 1.0]], [[9.0, 6.0], [0.0, 0.0]]])
WEIGHT = torch.tensor([[[1.0], [1.0]], [[1.0], [0.0]]])
# Distances that count: 0.5, 2, 0, 3, 4, 0.
BY_HAND = {
    "mae": 9.5 / 6,
    "mse": (0.25 + 4 + 9 + 16) / 6,
    "huber": (0.125 + 1.5 + 2.5 + 3.5) / 6,
}
MODULES = {"mae": nn.L1Loss(), "mse": nn.MSELoss(), "huber": nn.HuberLoss()}


def mean_loss(criterion, forecast=FORECAST, target=TARGET, weight=WEIGHT):
    weight = weight.expand_as(target)
    return Point(criterion).mean_loss(forecast[..., None], target, weight)


@pytest.mark.parametrize("name", BY_HAND)
def test_mean_loss_is_the_mean_over_what_counts(name):
    for criterion in (CRITERIA[name], MODULES[name]):
        assert mean_loss(criterion).item() == pytest.approx(BY_HAND[name])


@pytest.mark.parametrize("name", BY_HAND)
def test_mean_loss_of_what_counts_alike_is_the_plain_mean(name):
    expected = MODULES[name](FORECAST, TARGET).item()
    for criterion in (CRITERIA[name], MODULES[name]):
        assert mean_loss(criterion, weight=torch.ones(())).item() == pytest.approx(expected)


def test_mean_loss_lets_a_module_reduce_as_it_likes():
    assert mean_loss(nn.L1Loss(reduction="sum")) == 9.5


def test_module_that_does_not_reduce_is_refused():
    with pytest.raises(ValueError, match=r"returned shape \(6,\). Set its reduction to 'mean'"):
        mean_loss(nn.L1Loss(reduction="none"))


@pytest.mark.parametrize("distribution", [Normal(), StudentT(), Quantiles([0.1, 0.5, 0.8])])
def test_mean_loss_of_a_distribution_is_the_mean_over_what_counts(distribution):
    outputs = torch.randn(2, 2, 2, distribution.n_parameters, generator=torch.Generator())
    parameters = distribution.parameters(outputs)
    made = distribution.mean_loss(parameters, TARGET, WEIGHT.expand_as(TARGET))
    each = distribution.loss(parameters, TARGET)
    expected = (each[0].sum() + each[1, 0].sum()) / 6
    assert made.item() == pytest.approx(expected.item())


# --------------------------------------------------------------- the schedule


def rates(schedule, total_steps, lr):
    """Learning rate of each step, and what it would be after the last."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr)
    scheduler = schedule(optimizer, total_steps)
    made = []
    for _ in range(total_steps):
        made.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return np.array(made), optimizer.param_groups[0]["lr"]


def test_one_cycle_rises_for_a_tenth_and_falls_along_a_cosine():
    made, after = rates(one_cycle, 200, lr=0.5)
    np.testing.assert_allclose(made[:20], 0.5 * np.arange(1, 21) / 20)
    assert made.max() == 0.5
    assert np.flatnonzero(made == 0.5).tolist() == [19, 20]
    assert (np.diff(made[20:]) < 0).all()
    # Half of the fall, after half of its steps.
    assert made[110] == pytest.approx(0.5 * (1 + 1e-4) / 2)
    assert after == pytest.approx(0.5e-4)
    assert made[-1] < 2e-4


@pytest.mark.parametrize("total_steps", [2, 5, 9])
def test_one_cycle_of_few_steps_begins_at_the_full_rate(total_steps):
    made, after = rates(one_cycle, total_steps, lr=0.5)
    assert made[0] == 0.5
    assert (made > 0).all()
    assert after == pytest.approx(0.5e-4)


def test_one_cycle_stays_low_beyond_its_end():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.5)
    scheduler = one_cycle(optimizer, 10)
    for _ in range(30):
        optimizer.step()
        scheduler.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.5e-4)


def test_cosine_falls_from_the_rate_to_zero():
    made, after = rates(SCHEDULERS["cosine"], 50, lr=0.5)
    np.testing.assert_allclose(made, 0.25 * (1 + np.cos(np.pi * np.arange(50) / 50)), atol=1e-9)
    assert after == pytest.approx(0.0, abs=1e-9)


class Given(Trainer):
    """Trains nothing; its epochs have the losses it is given, as training or validation loss."""

    def epoch(self):
        row = {"loss": self.losses[len(self.history)], "lr": self.optimizer.param_groups[0]["lr"]}
        self.step(one_chunk())  # which must not step the schedule
        return row


def plateau_rates(losses, validated, schedule):
    """Learning rate of each epoch, by the losses of either kind; the other kind always falls."""
    falling = [1.0 / (1 + epoch) for epoch in range(len(losses))]
    trainer = Given(**vars_of(trainer_of(lr=1.0)))
    trainer.losses = falling if validated else losses
    if validated:
        trainer.validate = lambda: losses[len(trainer.history)]
    trainer.scheduler = schedule(trainer.optimizer, len(losses))
    trainer.fit(len(losses))
    return [row["lr"] for row in trainer.history]


def vars_of(trainer):
    return {
        name: value for name, value in vars(trainer).items() if name not in ("stopped", "steps")
    }


@pytest.mark.parametrize("validated", [True, False])
@pytest.mark.parametrize(
    ("losses", "rates"),
    [
        ([3.0, *[3.0] * 4, 2.0, *[2.0] * 4, 1.0], [1.0] * 11),  # four are not enough
        ([3.0, *[4.0] * 5, 3.5], [1.0] * 6 + [0.5]),
        ([3.0, *[2.9999] * 5, 1.0], [1.0] * 6 + [0.5]),  # lower by less than a ten-thousandth
        ([3.0, *[2.999] * 5, 1.0], [1.0] * 7),
        ([3.0, *[4.0] * 10, 4.0], [1.0] * 6 + [0.5] * 5 + [0.25]),
        ([3.0, *[np.nan] * 5, 4.0], [1.0] * 6 + [0.5]),
    ],
)
def test_plateau_halves_the_rate_after_five_epochs_without_a_lower_loss(losses, rates, validated):
    assert plateau_rates(losses, validated, SCHEDULERS["plateau"]) == rates


def test_plateau_of_a_factory_steps_once_an_epoch_by_its_own_settings():
    def factory(optimizer, total_steps):
        return torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=0)

    made = plateau_rates([3.0, 2.0, 2.5, 1.0, 1.5, 1.0], True, factory)
    assert made == pytest.approx([1.0, 1.0, 1.0, 0.1, 0.1, 0.01])


@pytest.mark.parametrize("validation_split", [None, 0.2])
def test_plateau_is_a_schedule_of_the_forecaster(validation_split):
    forecaster = GRUForecaster(
        **{**SMALL, "num_epochs": 40, "lr": 0.1, "lr_scheduler": "plateau"},
        validation_split=validation_split,
    )
    history = forecaster.fit(Y).history_
    monitored = history["loss" if validation_split is None else "validation_loss"]
    rate, best, waited, rates = 0.1, math.inf, 0, []
    for loss in monitored:
        rates.append(rate)
        best, waited = (loss, 0) if loss < best * (1 - 1e-4) else (best, waited + 1)
        if waited == 5:
            rate, waited = rate / 2, 0
    assert history["lr"].tolist() == rates
    assert rates[-1] < 0.1


@pytest.mark.parametrize(
    ("n_targets", "n_batches", "epochs"),
    [
        (128, 1, 32),  # a quarter of the targets
        (1_000_000, 100, 60),  # 60 * 100 steps, 100 an epoch
        (1_000_000, 3900, 2),  # 1.54 epochs
        (1_000_000, 4100, 1),  # 1.46 epochs
        (1_000_000, 10**6, 1),
        (1, 1, 1),
    ],
)
def test_planned_epochs(n_targets, n_batches, epochs):
    assert planned_epochs(n_targets, n_batches) == epochs


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_take_parameters_and_a_rate_and_lower_the_loss(name):
    parameter = nn.Parameter(torch.tensor([1.0]))
    optimizer = OPTIMIZERS[name]([parameter], lr=0.01)
    for _ in range(20):
        optimizer.zero_grad()
        (parameter**2).sum().backward()
        optimizer.step()
    assert 0 < parameter.item() < 0.95


# -------------------------------------------------------------- early stopping


def validated(losses, num_epochs, patience):
    """Train with given validation losses; the trainer, and the weights after each epoch."""
    seen = []
    trainer = trainer_of(patience=patience)

    def validate():
        seen.append(copy.deepcopy(weights_of(trainer.network)))
        return losses[len(seen) - 1]

    trainer.validate = validate
    trainer.fit(num_epochs)
    return trainer, seen


@pytest.mark.parametrize(
    ("losses", "patience", "trained", "best"),
    [
        ([5.0, 3.0, 4.0, 3.5, 1.0], 2, 4, 1),
        ([5.0, 3.0, 4.0, 3.5, 1.0], 3, 5, 4),
        ([5.0, 3.0, 3.0, 3.0, 1.0], 2, 4, 1),  # an equal loss is no new lowest
        ([5.0, 6.0, 1.0, 1.0, 1.0], 1, 2, 0),
        ([5.0, 4.0, 3.0, 2.0, 1.0], 1, 5, 4),
        ([5.0, 1.0, 2.0, 3.0, 4.0], None, 5, 1),
        ([5.0, np.nan, 2.0, np.nan, np.nan], 2, 5, 2),
    ],
)
def test_training_stops_after_patience_and_keeps_the_best_weights(losses, patience, trained, best):
    trainer, seen = validated(losses, 5, patience)
    assert len(trainer.history) == trained
    np.testing.assert_array_equal(
        [row["validation_loss"] for row in trainer.history], losses[:trained]
    )
    assert torch.equal(weights_of(trainer.network), seen[best])
    assert not torch.equal(seen[0], seen[1])


def test_best_weights_are_kept_when_a_callback_stops():
    trainer = trainer_of(patience=None)
    seen = []

    def validate():
        seen.append(weights_of(trainer.network))
        return float(len(seen))

    stop = SimpleNamespace(
        on_train_begin=lambda *_: None,
        on_epoch_begin=lambda *_: None,
        on_batch_end=lambda *_: None,
        on_epoch_end=lambda forecaster, row: row["epoch"] == 2,
        on_train_end=lambda *_: None,
    )
    trainer.validate, trainer.callbacks = validate, [stop]
    trainer.fit(9)
    assert len(seen) == 2
    assert torch.equal(weights_of(trainer.network), seen[0])


def test_without_validation_the_last_weights_stand():
    trainer = trainer_of()
    trainer.fit(2)
    other = trainer_of()
    other.fit(1)
    other.fit(1)
    assert torch.equal(weights_of(trainer.network), weights_of(other.network))
    assert "validation_loss" not in trainer.history[0]


def test_validation_loss_is_of_each_series_own_end_and_the_best_epochs_weights_forecast():
    # Three series of different lengths that end at different times.
    stamps = {"a": range(40), "b": range(15, 70), "c": range(5, 30)}
    index = pd.MultiIndex.from_tuples([(s, t) for s, times in stamps.items() for t in times])
    rng = np.random.default_rng(3)
    y = pd.DataFrame({"y": 10 * rng.normal(size=len(index)) + 50}, index)
    seen = []

    class Watch(Callback):
        def on_epoch_end(self, forecaster, epoch):
            seen.append(weights_of(forecaster.network_))

    forecaster = GRUForecaster(
        **{**SMALL, "num_epochs": 12, "lr": 0.3, "lr_scheduler": None},
        validation_split=0.2,
        callbacks=[Watch()],
    ).fit(y)
    losses = forecaster.history_["validation_loss"]
    best = losses.idxmin()
    assert 0 < best < 11  # or the first or last weights were kept anyway
    assert torch.equal(weights_of(forecaster.network_), seen[best])

    forecast = forecaster.predict(fh=range(-10, 1))
    errors = []
    for name, times in stamps.items():
        held = math.ceil(0.2 * len(times))
        trained, end = y.loc[name][:-held], y.loc[name][-held:]
        errors.append((forecast.loc[name][-held:] - end).abs() / trained.std(ddof=0))
    assert pd.concat(errors)["y"].mean() == pytest.approx(losses.min(), rel=1e-4)


def test_validation_loss_weighs_each_step_ahead_by_its_emphasis():
    s = np.random.default_rng(0).normal(size=60).cumsum()
    settings = SMALL | {"lr": 1e-6, "num_epochs": 1, "naive": ["last"], "strategy": "multioutput"}
    forecaster = GRUForecaster(**settings, validation_split=0.2).fit(pd.Series(s), fh=[1, 4])
    # Of 12 held-out steps each is forecast from, the last three know no step four ahead.
    t = np.arange(48, 60)
    errors = [np.abs(s[t] - s[t - 1]), np.abs(s[t[:-3] + 3] - s[t[:-3] - 1])]
    emphasis = forecaster.network_.emphasis.ravel().tolist()
    assert emphasis[0] > 1.2 > 0.8 > emphasis[1]
    total = sum(w * e.sum() for w, e in zip(emphasis, errors, strict=True))
    expected = total / (12 * emphasis[0] + 9 * emphasis[1]) / forecaster.scaler_.scale_.item()
    assert forecaster.history_["validation_loss"][0] == pytest.approx(expected, rel=1e-3)


def test_validation_of_very_many_forecasts_takes_evenly_spaced_cutoffs(monkeypatch):
    s = np.random.default_rng(0).normal(size=60).cumsum()
    settings = SMALL | {"lr": 1e-6, "num_epochs": 1, "naive": ["last"], "validation_split": 0.25}
    monkeypatch.setattr("skrnn.contract.forecaster.MOST_VALIDATED", 3)
    loss = GRUForecaster(**settings).fit(pd.Series(s)).history_["validation_loss"][0]
    errors = np.abs(np.diff(s))[[44, 51, 58]]  # the first, the middle and the last held out
    assert loss == pytest.approx(errors.mean() / s[:45].std(), rel=1e-3)


# ------------------------------------------------------------------- interrupts


class Interrupt(Callback):
    """Presses Ctrl-C in the n-th of an event; keeps the weights of that moment and of epochs."""

    def __init__(self, event, n=1):
        self.event, self.n = event, n
        self.weights, self.count, self.ended = [], 0, 0

    def press(self, event, forecaster):
        if event in ("epoch end", self.event):
            self.weights.append(weights_of(forecaster.network_))
        if event == self.event:
            self.count += 1
            if self.count == self.n:
                signal.raise_signal(signal.SIGINT)

    def on_train_begin(self, forecaster, num_epochs):
        self.press("train begin", forecaster)

    def on_epoch_begin(self, forecaster):
        self.press("epoch begin", forecaster)

    def on_batch_end(self, forecaster, n_batches):
        self.press("batch end", forecaster)

    def on_epoch_end(self, forecaster, epoch):
        self.press("epoch end", forecaster)

    def on_train_end(self, forecaster):
        self.ended += 1
        self.press("train end", forecaster)


def interrupted(event, n=1, **kwargs):
    interrupt = Interrupt(event, n)
    forecaster = GRUForecaster(**{**SMALL, "callbacks": [interrupt], **kwargs})
    return forecaster, interrupt


@pytest.mark.parametrize(
    ("event", "n", "rows", "said"),
    [
        ("train begin", 1, 0, "in epoch 0 of 3, after 0 optimiser steps"),
        ("epoch begin", 1, 0, "in epoch 1 of 3, after 0 optimiser steps"),
        ("batch end", 2, 0, "in epoch 1 of 3, after 2 optimiser steps"),
        ("batch end", 5, 1, "in epoch 2 of 3, after 5 optimiser steps"),
        ("epoch begin", 3, 2, "in epoch 3 of 3, after 8 optimiser steps"),
        ("epoch end", 2, 2, "in epoch 2 of 3, after 8 optimiser steps"),
    ],
)
def test_interrupt_keeps_the_weights_of_the_moment_and_the_whole_epochs(event, n, rows, said):
    forecaster, interrupt = interrupted(event, n)
    with pytest.warns(UserWarning, match=said) as told:
        assert forecaster.fit(Y) is forecaster
    assert len(told) == 1
    text = str(told[0].message)
    assert "GRUForecaster keeps the weights of that moment" in text
    assert "`update` trains on with new observations, `fit` begins anew" in text
    assert torch.equal(weights_of(forecaster.network_), interrupt.weights[-1])
    assert len(forecaster.history_) == rows
    assert interrupt.ended == 1
    assert not forecaster.network_.training
    assert np.isfinite(forecaster.predict(fh=[1, 2, 3])).all()


def test_interrupt_leaves_what_a_callback_would_have_stopped_at():
    class Stop(Callback):
        def on_train_begin(self, forecaster, num_epochs):
            self.steps = 0

        def on_batch_end(self, forecaster, n_batches):
            self.steps += 1
            return self.steps == 6

    forecaster, _ = interrupted("batch end", 6)
    with pytest.warns(UserWarning, match="interrupted"):
        made = forecaster.fit(Y).predict(fh=[1, 2])
    stopped = GRUForecaster(**SMALL, callbacks=[Stop()]).fit(Y).predict(fh=[1, 2])
    pd.testing.assert_series_equal(made, stopped)


def test_interrupt_keeps_the_weights_of_the_best_epoch():
    settings = {"num_epochs": 12, "lr": 0.5, "lr_scheduler": None, "validation_split": 0.2}
    whole = GRUForecaster(**{**SMALL, **settings}).fit(Y).history_["validation_loss"]
    best = whole[:6].idxmin()
    assert best < 5
    forecaster, interrupt = interrupted("epoch end", 6, **settings)
    with pytest.warns(UserWarning, match=f"keeps the weights of epoch {best + 1}, the best,"):
        forecaster.fit(Y)
    assert torch.equal(weights_of(forecaster.network_), interrupt.weights[best])
    assert forecaster.history_["validation_loss"].tolist() == whole[:6].tolist()


def test_interrupt_before_the_first_validation_keeps_the_weights_of_the_moment():
    forecaster, interrupt = interrupted("batch end", 2, validation_split=0.2)
    with pytest.warns(UserWarning, match="weights of that moment"):
        forecaster.fit(Y)
    assert torch.equal(weights_of(forecaster.network_), interrupt.weights[-1])
    assert forecaster.history_.empty


def test_interrupt_of_validation_keeps_the_best_weights_so_far():
    trainer, seen = trainer_of(), []

    def validate():
        seen.append(weights_of(trainer.network))
        if len(seen) == 3:
            raise KeyboardInterrupt
        return [1.0, 2.0][len(seen) - 1]

    trainer.validate = validate
    with pytest.warns(UserWarning, match="in epoch 3 of 9, .* weights of epoch 1, the best"):
        trainer.fit(9)
    assert torch.equal(weights_of(trainer.network), seen[0])
    assert [row["validation_loss"] for row in trainer.history] == [1.0, 2.0]


def test_interrupt_of_update_keeps_the_weights_and_the_new_observations():
    forecaster = GRUForecaster(**SMALL).fit(Y[:40])
    history, interrupt = forecaster.history_, Interrupt("batch end", 3)
    forecaster.callbacks = [interrupt]
    with pytest.warns(UserWarning, match="in epoch 2 of 2, after 3 optimiser steps"):
        forecaster.update(Y[40:])
    assert torch.equal(weights_of(forecaster.network_), interrupt.weights[-1])
    pd.testing.assert_frame_equal(forecaster.history_[:3], history)
    assert len(forecaster.history_) == 4
    assert forecaster.predict(fh=[1]).index.tolist() == [60]


def test_interrupt_of_pretrain_keeps_the_weights_for_fit():
    forecaster, interrupt = interrupted("batch end", 5)
    with pytest.warns(UserWarning, match="after 5 optimiser steps"):
        forecaster.pretrain(pd.DataFrame({"y": Y}).set_index(PANEL))
    assert torch.equal(weights_of(forecaster.pretrained_network_), interrupt.weights[-1])
    forecaster.set_params(num_epochs=0).fit(Y)
    assert torch.equal(weights_of(forecaster.network_), interrupt.weights[-1])


def test_fit_begins_anew_after_an_interrupt():
    forecaster, _ = interrupted("batch end", 5)
    with pytest.warns(UserWarning, match="interrupted"):
        forecaster.fit(Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        forecaster.fit(Y)
    whole = GRUForecaster(**SMALL).fit(Y)
    assert torch.equal(weights_of(forecaster.network_), weights_of(whole.network_))


@pytest.mark.parametrize("first", ["batch end", "never"])
def test_interrupt_after_the_epochs_is_raised(first):
    late, early = Interrupt("train end"), Interrupt(first, 2)
    with pytest.raises(KeyboardInterrupt):
        GRUForecaster(**SMALL, callbacks=[early, late]).fit(Y)
    assert early.ended == late.ended == 1


def test_interrupt_of_diverged_weights_raises():
    class Spoil(Callback):
        def on_batch_end(self, forecaster, n_batches):
            forecaster.network_.head.correction.bias.data.fill_(np.nan)
            raise KeyboardInterrupt

    with pytest.raises(FloatingPointError, match="largest weight must stay finite, but it became"):
        GRUForecaster(**SMALL, callbacks=[Spoil()]).fit(Y)


def sklearn_search(forecaster):
    cv = TimeSeriesSplit(2, test_size=5)
    return GridSearchCV(forecaster, {"lr": [0.1, 0.2]}, cv=cv, scoring=smape_scorer).fit(Y)


def sktime_search(forecaster):
    grid = {"lr": [0.1, 0.2]}
    cv = ExpandingWindowSplitter(initial_window=40, step_length=10, fh=[1])
    # In this process, for the callback to be seen here.
    return ForecastingGridSearchCV(forecaster, cv, grid, scoring=SMAPE(), backend=None).fit(Y)


def sktime_evaluate(forecaster):
    cv = ExpandingWindowSplitter(initial_window=40, step_length=10, fh=[1])
    return evaluate(forecaster, cv, Y, scoring=SMAPE())


@pytest.mark.parametrize("search", [sklearn_search, sktime_search, sktime_evaluate])
def test_interrupt_ends_a_search(search):
    begun = []

    class Press(Callback):
        def on_train_begin(self, forecaster, num_epochs):
            begun.append(forecaster)

        def on_batch_end(self, forecaster, n_batches):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        search(GRUForecaster(**SMALL, callbacks=[Press()]))
    assert len(begun) == 1
