"""What a fit learns from, and how: features, seeds, losses, schedules, held-out rows, callbacks."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from skrnn import GRUForecaster, backtest
from skrnn.callbacks import Callback
from skrnn.contract import fitting
from skrnn.naive import AUTO_LEVEL, AUTO_SEASONAL
from skrnn.training.trainer import Trainer
from small_cases import (
    LEARNER,
    SMALL,
    cells,
    covariate,
    hourly,
    noisy,
    panel,
    same_weights,
    weights,
)

pytestmark = pytest.mark.usefixtures("one_thread")

# ------------------------------------------------------------------ data


@cells
def test_index_without_dates_gets_no_calendar(cell):
    parameters = {**SMALL, "sp": None, "lags": None}
    dated = cell(**parameters).fit(hourly(24 * 15))
    # Last value; two harmonics of the day and three of the week.
    assert dated.network_.recurrent.layers[0].input_size == 1 + 4 + 6
    plain = hourly(24 * 15).reset_index(drop=True)
    assert cell(**parameters).fit(plain).network_.recurrent.layers[0].input_size == 1
    off = cell(**parameters, calendar=None).fit(hourly(24 * 15))
    assert off.network_.recurrent.layers[0].input_size == 1


@cells
def test_calendar_named_is_the_calendar_taken(cell):
    parameters = {**SMALL, "sp": None, "lags": None}
    y = hourly(48)
    sizes = {"hour": 4, "dayofweek": 6, "dayofyear": 4}
    for name, size in sizes.items():
        forecaster = cell(**parameters, calendar=[name]).fit(y)
        assert forecaster.network_.recurrent.layers[0].input_size == 1 + size


@cells
@pytest.mark.parametrize("naive", [["seasonal"], ["shifted"]], ids=str)
def test_naive_forecasts_that_do_not_exist_yet_spoil_nothing(cell, naive):
    y = noisy()
    forecaster = cell(**SMALL, naive=naive, sp=12).fit(y)
    assert np.isfinite(forecaster.history_["loss"]).all()
    # The first season has no season before it, and is forecast nevertheless.
    made = forecaster.predict(fh=range(-98, 13))
    assert made.notna().all()
    assert np.abs(made - y.mean()).max() < 100


@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
@pytest.mark.parametrize(("sp", "names"), [(12, AUTO_SEASONAL), (None, AUTO_LEVEL)])
def test_naive_forecasts_of_auto_are_those_of_a_season_or_of_none(strategy, sp, names):
    forecaster = GRUForecaster(**SMALL | {"num_epochs": 0}, strategy=strategy, sp=sp)
    naive = forecaster.fit(noisy(40), fh=[1, 2]).naive_
    # A quarter of 40 observations is a level.
    period = {"last": 1} if sp else {"last": 1, "mean": 10, "drift": 10}
    expected = [(name, period.get(name, 12)) for name in names]
    assert naive.index.tolist() == [*expected, ("linear", 1)]


@pytest.mark.parametrize(
    ("naive", "n"),
    [
        *((naive, n) for naive in ("mean", "averaged") for n in (13, 18, 100)),
        *((naive, n) for naive in ("leveled", "drift") for n in (24, 30, 100)),
    ],
)
def test_untrained_recursive_forecast_repeats_the_naive_forecast_of_one_step(naive, n):
    y = noisy(n)
    settings = SMALL | {"num_epochs": 0, "linear_lags": None}
    forecaster = GRUForecaster(**settings, naive=[naive], sp=12).fit(y)
    s = y.tolist()
    one_step = {
        "mean": lambda: np.mean(s[-12:]),
        "averaged": lambda: np.mean(s[-12::-12][:3]),
        "leveled": lambda: s[-12] + np.mean(s[-12:]) - np.mean(s[-24:-12]),
        "drift": lambda: s[-1] + (np.mean(s[-12:]) - np.mean(s[-24:-12])) / 12,
    }
    for _ in range(30):
        s.append(one_step[naive]())
    np.testing.assert_allclose(forecaster.predict(fh=range(1, 31)), s[n:], rtol=1e-5)


def test_mix_of_a_short_series_repeats_seasons_though_the_last_value_is_best_one_step_ahead():
    # Days of half hours, each a smooth hump, higher or lower than the last.
    hump = np.sin(2 * np.pi * np.arange(48) / 48).clip(min=0)
    y = pd.Series(np.concatenate([hump * high for high in (4, 5, 2, 5, 3, 4)]))
    settings = SMALL | {"num_epochs": 0, "linear_lags": None}
    forecaster = GRUForecaster(**settings, sp=48).fit(y)
    weight = forecaster.naive_.iloc[:, 0].droplevel("period")
    assert weight["seasonal"] + weight["averaged"] > 5 * (weight["last"] + weight["mean"])
    made = forecaster.predict(fh=range(1, 49))
    assert np.abs(made - 4 * hump).mean() < np.abs(np.full(48, y.iloc[-1]) - 4 * hump).mean() / 3


@cells
def test_two_observations_are_enough(cell):
    y = pd.Series([1.0, 2.0], index=pd.period_range("2024-01", periods=2, freq="M"))
    made = cell(**SMALL).fit(y).predict(fh=[1])
    assert -1 < made.iloc[0] < 4


@cells
def test_second_fit_forgets_the_first(cell):
    forecaster = cell(**SMALL).fit(noisy(seed=1))
    again = forecaster.fit(hourly()).predict(fh=[1, 2])
    pd.testing.assert_series_equal(again, cell(**SMALL).fit(hourly()).predict(fh=[1, 2]))
    assert len(forecaster.history_) == 2


@cells
def test_given_seasons_and_lags_are_inputs(cell):
    y = noisy()

    def inputs(**parameters):
        return cell(**SMALL, **parameters).fit(y).network_.recurrent.layers[0].input_size

    assert inputs(sp=None) == 1
    assert inputs(sp=12) == 2  # lags="auto" are the seasons
    assert inputs(sp=[12, 24]) == 3
    assert inputs(sp=12, lags=[1, 2, 5]) == 4
    assert inputs() == inputs(sp=12)  # the data tell the period


# ------------------------------------------------------------------ random numbers


@cells
def test_same_seed_repeats_to_the_bit(cell):
    y = noisy()
    one, other = (cell(**SMALL, dropout=0.3).fit(y) for _ in range(2))
    assert same_weights(weights(one), weights(other))
    np.testing.assert_array_equal(one.predict(fh=range(1, 25)), other.predict(fh=range(1, 25)))
    np.testing.assert_array_equal(one.history_["loss"], other.history_["loss"])
    for forecaster in (one, other):
        forecaster.update(noisy(110)[100:])
    assert same_weights(weights(one), weights(other))


@cells
def test_other_seeds_differ(cell):
    y = noisy()
    seeds = [0, 1, None, None]
    made = {cell(**{**SMALL, "random_state": s}).fit(y).predict(fh=[3]).iloc[0] for s in seeds}
    assert len(made) == 4


@cells
def test_random_state_instance_is_a_seed(cell):
    y = noisy()
    first, second = (
        cell(**{**SMALL, "random_state": np.random.RandomState(3)}).fit(y) for _ in range(2)
    )
    assert same_weights(weights(first), weights(second))


@cells
@pytest.mark.parametrize("random_state", [0, None])
def test_global_random_generators_are_left_alone(cell, random_state):
    y = noisy()
    forecaster = cell(**{**SMALL, "random_state": random_state, "dropout": 0.2})
    np.random.seed(5)
    torch.manual_seed(5)
    before = np.random.get_state(), torch.get_rng_state()
    forecaster.fit(y[:80])
    forecaster.predict(fh=[1, 2])
    forecaster.update(y[80:])
    backtest(forecaster, y)
    after = np.random.get_state(), torch.get_rng_state()
    assert torch.equal(after[1], before[1])
    np.testing.assert_array_equal(after[0][1], before[0][1])
    assert after[0][2:] == before[0][2:]


@cells
def test_global_seeds_change_no_result(cell):
    y = noisy()
    made = []
    for seed in (1, 2):
        np.random.seed(seed)
        torch.manual_seed(seed)
        made.append(cell(**SMALL).fit(y).predict(fh=[1, 2]))
    pd.testing.assert_series_equal(*made)


@cells
def test_dropout_is_for_training_only(cell):
    y = noisy()
    forecaster = cell(**SMALL, dropout=0.5).fit(y)
    pd.testing.assert_series_equal(forecaster.predict(fh=[1, 5]), forecaster.predict(fh=[1, 5]))
    assert not same_weights(weights(forecaster), weights(cell(**SMALL).fit(y)))


# ------------------------------------------------------------------ training


@cells
def test_history_has_a_row_for_each_epoch(cell):
    history = cell(**{**SMALL, "num_epochs": 5}, sp=None, linear_lags=None).fit(noisy()).history_
    columns = ["epoch", "loss", "lr", "seconds", "targets_per_second"]
    assert history.columns.tolist() == columns
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5]
    # Every observation but the first two, which no change leads to, is a target once an epoch.
    np.testing.assert_allclose(history["seconds"] * history["targets_per_second"], 98)
    validated = cell(**SMALL, validation_split=0.2).fit(noisy()).history_
    assert validated.columns.tolist() == [*columns, "validation_loss"]


@cells
@pytest.mark.parametrize(
    ("criterion", "loss"),
    [
        ("mae", np.abs),
        ("mse", np.square),
        ("huber", lambda e: np.where(np.abs(e) < 1, e**2 / 2, np.abs(e) - 0.5)),
    ],
)
def test_loss_of_an_epoch_is_the_mean_of_its_one_step_errors(cell, criterion, loss):
    y = noisy()
    # One chunk holds the whole series, and the learning rate moves nothing.
    parameters = {**SMALL, "window_length": 200, "num_epochs": 1, "lr": 1e-12}
    forecaster = cell(**parameters, criterion=criterion, sp=None, linear_lags=None).fit(y)
    error = (forecaster.predict(fh=range(-97, 1)) - y[2:]) / y.std(ddof=0)
    assert forecaster.history_["loss"][0] == pytest.approx(loss(error).mean(), rel=1e-4)


@cells
def test_loss_of_last_supervision_is_the_mean_over_all_windows(cell):
    y = noisy()
    # 88 windows of 12 steps have a target: eleven full batches.
    parameters = {**SMALL, "num_epochs": 1, "lr": 1e-12, "batch_size": 8}
    forecaster = cell(**parameters, supervision="last", sp=None).fit(y)
    error = (forecaster.predict(fh=range(-87, 1)) - y[12:]) / y.std(ddof=0)
    history = forecaster.history_
    assert history["loss"][0] == pytest.approx(error.abs().mean(), rel=1e-4)
    np.testing.assert_allclose(history["seconds"] * history["targets_per_second"], 88)


@cells
@pytest.mark.parametrize(("supervision", "num_epochs"), [("dense", 30), ("last", 10)])
def test_training_lowers_the_loss(cell, supervision, num_epochs):
    y = noisy()
    parameters = {**LEARNER, "num_epochs": num_epochs, "supervision": supervision}
    forecaster = cell(**parameters, naive=None, lags=None, sp=None).fit(y)
    loss = forecaster.history_["loss"]
    assert loss.iloc[-1] < 0.8 * loss.iloc[0]


@cells
def test_learning_rate_rises_to_its_peak_and_falls_to_nothing(cell):
    y = noisy()  # a step an epoch: one chunk
    parameters = {**SMALL, "window_length": 200, "num_epochs": 40, "lr": 0.02}
    lr = cell(**parameters).fit(y).history_["lr"]
    assert lr[0] == pytest.approx(0.02 / 4)
    assert lr.max() == pytest.approx(0.02)
    assert lr.idxmax() in (3, 4)
    assert (np.diff(lr[4:]) < 0).all()
    assert lr.iloc[-1] < 0.02 / 100

    cosine = cell(**parameters, lr_scheduler="cosine").fit(y).history_["lr"]
    np.testing.assert_allclose(cosine, 0.01 * (1 + np.cos(np.pi * np.arange(40) / 40)))
    constant = cell(**parameters, lr_scheduler=None).fit(y).history_["lr"]
    assert (constant == 0.02).all()


@cells
def test_scheduler_may_be_a_function_of_optimizer_and_steps(cell):
    asked = []

    def halve(optimizer, total_steps):
        asked.append((type(optimizer), total_steps))
        return torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)

    parameters = {**SMALL, "window_length": 200, "num_epochs": 4, "lr": 0.02}
    history = cell(**parameters, lr_scheduler=halve, optimizer="sgd").fit(noisy()).history_
    assert asked == [(torch.optim.SGD, 4)]
    np.testing.assert_allclose(history["lr"], [0.02, 0.01, 0.005, 0.0025])


@cells
@pytest.mark.parametrize(
    ("name", "module"),
    [("mae", nn.L1Loss()), ("mse", nn.MSELoss()), ("huber", nn.HuberLoss())],
    ids=["mae", "mse", "huber"],
)
@pytest.mark.parametrize("supervision", ["dense", "last"])
def test_criterion_may_be_a_module(cell, name, module, supervision):
    parameters = {**SMALL, "supervision": supervision}
    named = cell(**parameters, criterion=name).fit(noisy()).predict(fh=[1, 2, 3])
    own = cell(**parameters, criterion=module).fit(noisy()).predict(fh=[1, 2, 3])
    np.testing.assert_allclose(own, named, rtol=1e-4)


@cells
@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
@pytest.mark.parametrize("sp", [None, 3])
def test_length_of_training_is_chosen_without_naive_forecasts(cell, strategy, sp):
    y = pd.Series(np.tile([1.0, 4.0, 2.0], 40))
    settings = {"hidden_size": 4, "window_length": 12, "sp": sp, "random_state": 0}
    forecaster = cell(strategy=strategy, naive=None, **settings).fit(y, fh=[1, 2, 3])
    assert forecaster.history_["validation_loss"].notna().any()
    assert forecaster.predict_interval(coverage=0.8).notna().all(axis=None)


def test_criteria_differ():
    made = [GRUForecaster(**SMALL, criterion=c).fit(noisy()) for c in ("mae", "mse", "huber")]
    assert len({f.predict(fh=[3]).iloc[0] for f in made}) == 3


@cells
@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("adam", partial(torch.optim.Adam, fused=True)),
        ("adamw", partial(torch.optim.AdamW, fused=True)),
        ("sgd", partial(torch.optim.SGD, fused=True)),
        ("rmsprop", torch.optim.RMSprop),
    ],
)
def test_optimizer_may_be_made_by_torch_itself(cell, name, function):
    y = noisy()
    named = cell(**SMALL, optimizer=name).fit(y)
    own = cell(**SMALL, optimizer=function).fit(y)
    assert same_weights(weights(named), weights(own))


@cells
def test_optimizer_kwargs_reach_the_optimizer(cell):
    y = noisy()
    plain = cell(**SMALL, optimizer="sgd").fit(y)
    pushed = cell(**SMALL, optimizer="sgd", optimizer_kwargs={"momentum": 0.9}).fit(y)
    expected = cell(**SMALL, optimizer=partial(torch.optim.SGD, momentum=0.9, fused=True)).fit(y)
    assert not same_weights(weights(plain), weights(pushed))
    assert same_weights(weights(pushed), weights(expected))


@cells
def test_clipped_gradients_take_clipped_steps(cell):
    y = noisy()
    parameters = {**SMALL, "lr": 1.0, "optimizer": "sgd", "lr_scheduler": None, "batch_size": 100}
    start = weights(cell(**{**parameters, "num_epochs": 0}).fit(y))

    def moved(max_grad_norm):
        forecaster = cell(**{**parameters, "num_epochs": 1}, max_grad_norm=max_grad_norm).fit(y)
        change = [
            w - start[name] for name, w in weights(forecaster).items() if name != "n_observations"
        ]
        return torch.cat([c.flatten() for c in change]).norm().item()

    assert moved(1e-3) == pytest.approx(1e-3, rel=0.02)  # one step of the whole epoch
    assert moved(None) > 0.01


@cells
def test_auto_plans_epochs_by_optimiser_steps(cell):
    parameters = {**SMALL, "hidden_size": 2, "num_epochs": "auto", "sp": None}
    parameters |= {"linear_lags": None, "validation_split": None}
    # 120 targets in 11 or fewer chunks, one batch, are worth 30 steps.
    assert len(cell(**parameters).fit(noisy(122)).history_) == 30
    # 8 series of 125 targets, 1,000 in all: 250 steps, of 8 times 12 chunks in batches of 4.
    many = cell(**parameters | {"batch_size": 4}).fit(panel((127,) * 8))
    assert len(many.history_) == round(250 / 24)


@cells
def test_no_epochs_leave_the_network_as_it_was_made(cell):
    y = noisy()
    untrained = cell(**{**SMALL, "num_epochs": 0}).fit(y)
    assert len(untrained.history_) == 0
    assert not same_weights(weights(untrained), weights(cell(**SMALL).fit(y)))
    # Nothing is learnt yet: the forecast is a mix of last value and the same step a season ago.
    made = untrained.predict(fh=[1]).iloc[0]
    seen = [y.iloc[-1], y.iloc[-12], y.iloc[-12] + y.iloc[-1] - y.iloc[-13]]
    assert min(seen) - 1e-3 <= made <= max(seen) + 1e-3


@cells
def test_validation_end_is_not_trained_on(cell):
    y = noisy()
    changed = y.copy()
    changed.iloc[80:] = 5.0
    # The best epoch is chosen by the held end, so there is one epoch; nothing is scaled by it.
    parameters = {**SMALL, "num_epochs": 1, "lr": 0.01, "scaler": None, "sp": 12}
    one, other = (cell(**parameters, validation_split=0.2).fit(v) for v in (y, changed))
    assert same_weights(weights(one), weights(other))
    assert one.history_["loss"][0] == other.history_["loss"][0]
    assert one.history_["validation_loss"][0] != other.history_["validation_loss"][0]
    changed.iloc[79] += 1  # the last value that is trained on
    assert not same_weights(
        weights(one), weights(cell(**parameters, validation_split=0.2).fit(changed))
    )


@cells
def test_weights_of_the_best_epoch_are_kept(cell):
    def spoil(optimizer, total_steps):
        # The later half of training climbs the loss instead of descending it.
        return torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: 1.0 if step < total_steps / 2 else -50.0
        )

    y = noisy()
    parameters = {**SMALL, "num_epochs": 8, "lr_scheduler": spoil, "optimizer": "sgd", "sp": None}
    forecaster = cell(**parameters, validation_split=0.2).fit(y)
    losses = forecaster.history_["validation_loss"]
    assert len(losses) == 8
    assert losses.idxmin() < 7  # or the last epoch were the best one anyway
    error = (forecaster.predict(fh=range(-19, 1)) - y[80:]) / y[:80].std(ddof=0)
    assert error.abs().mean() == pytest.approx(losses.min(), rel=1e-4)


@cells
@pytest.mark.parametrize("patience", [1, 3])
def test_patience_waits_as_many_epochs_for_a_lower_loss(cell, patience):
    parameters = {**SMALL, "num_epochs": 60, "lr": 0.1, "lr_scheduler": None, "batch_size": 2}
    forecaster = cell(**parameters, validation_split=0.2, patience=patience).fit(noisy())
    losses = forecaster.history_["validation_loss"]
    assert len(losses) < 60
    assert len(losses) - 1 - losses.idxmin() == patience


@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
def test_update_with_revised_held_out_rows_trains_as_if_they_were_not_revised(strategy):
    y = noisy(100)
    changed = y.copy()
    changed.iloc[80:] = changed.iloc[80:].to_numpy()[::-1]
    made = []
    for values in (y, changed):
        forecaster = GRUForecaster(**SMALL, strategy=strategy, validation_split=0.2)
        made.append(weights(forecaster.fit(y, fh=[1]).update(values[70:])))
    assert same_weights(*made)
    assert not same_weights(made[0], weights(forecaster.clone().fit(y, fh=[1])))  # it has trained


def test_update_trains_at_a_tenth_of_the_learning_rate_throughout():
    forecaster = GRUForecaster(**SMALL | {"num_epochs": 20}).fit(noisy(80))
    n_epochs = len(forecaster.history_)
    history = forecaster.update(noisy(100)[80:]).history_[n_epochs:]
    assert len(history) > 1
    np.testing.assert_allclose(history["lr"], 0.1 * SMALL["lr"])  # decision 4


@pytest.mark.parametrize("validation_split", [None, 0.2])
def test_update_trains_on_targets_before_new_rows_only_where_none_is_held_out(
    monkeypatch, validation_split
):
    trained = []

    class Spy(Trainer):
        def fit(self, num_epochs):
            trained.append((self.chunks.begin.tolist(), self.chunks.stop.tolist()))
            super().fit(num_epochs)

    monkeypatch.setattr(fitting, "Trainer", Spy)
    y = noisy(120)
    forecaster = GRUForecaster(**SMALL, sp=None, lags=2, validation_split=validation_split)
    forecaster.fit(y[:100]).update(y[100:])
    first = 100 - SMALL["window_length"] if validation_split is None else 100
    (_, fitted_stop), (begin, stop) = trained
    assert fitted_stop == [100 if validation_split is None else 80]
    assert begin[0] >= first
    assert begin[0] <= first + 3  # a few steps are inputs of the first target
    assert stop == [120]


# ------------------------------------------------------------------ scaler


@pytest.mark.parametrize(
    ("scaler", "center", "scale"),
    [
        ("standard", np.mean, np.std),
        ("minmax", np.min, np.ptp),
        ("robust", np.median, lambda v: np.subtract(*np.quantile(v, [0.75, 0.25]))),
        (None, lambda v: 0.0, lambda v: 1.0),
    ],
)
@cells
def test_scaler_statistics_are_those_of_each_series_and_column(cell, scaler, center, scale):
    y = panel()
    y["z"] = 1000 * y["y"] ** 2
    forecaster = cell(**SMALL, scaler=scaler).fit(y)
    for name, function in (("center_", center), ("scale_", scale)):
        expected = [[function(y.loc[s, c]) for c in ("y", "z")] for s in ("s0", "s1", "s2")]
        np.testing.assert_allclose(getattr(forecaster.scaler_, name), expected, rtol=1e-9)


def test_scalers_forecast_differently():
    made = [
        GRUForecaster(**SMALL, scaler=s).fit(noisy() / 50).predict(fh=[3]).iloc[0]
        for s in ("standard", "minmax", "robust", None)
    ]
    assert len(set(made)) == 4


# ------------------------------------------------------------------ callbacks and output


class Recorder(Callback):
    def __init__(self, stop=None):
        self.events = []
        self.stop = stop

    def on_train_begin(self, training, num_epochs):
        self.events.append(f"begin {num_epochs}")

    def on_epoch_begin(self, training):
        self.events.append("epoch")

    def on_batch_end(self, training, n_batches):
        self.events.append(f"batch of {n_batches}")
        return self.stop == "batch"

    def on_epoch_end(self, training, epoch):
        self.events.append(f"end of {epoch['epoch']}, {len(training.history)} in history")
        return self.stop == "epoch"

    def on_train_end(self, training):
        self.events.append("end")


@cells
def test_callbacks_are_called_in_order(cell):
    recorder = Recorder()
    parameters = {**SMALL, "window_length": 200, "num_epochs": 2}
    cell(**parameters, callbacks=[recorder]).fit(noisy())
    assert recorder.events == [
        "begin 2",
        "epoch",
        "batch of 1",
        "end of 1, 1 in history",
        "epoch",
        "batch of 1",
        "end of 2, 2 in history",
        "end",
    ]


@cells
@pytest.mark.parametrize(("stop", "steps"), [("batch", 1), ("epoch", 4)])
def test_callback_that_returns_true_stops_training(cell, stop, steps):
    recorder = Recorder(stop)
    parameters = {**SMALL, "num_epochs": 9, "batch_size": 1, "window_length": 25}
    forecaster = cell(**parameters, sp=None, callbacks=[recorder])
    forecaster.fit(noisy())
    batches = [event for event in recorder.events if event.startswith("batch")]
    assert len(forecaster.history_) == 1
    assert steps <= len(batches) <= steps + 1
    assert recorder.events[-1] == "end"


@cells
def test_train_end_is_called_when_training_fails(cell):
    recorder = Recorder()

    def fail(forecast, target):
        raise RuntimeError("no loss today")

    criterion = nn.L1Loss()
    criterion.forward = fail
    with pytest.raises(RuntimeError, match="no loss today"):
        cell(**SMALL, criterion=criterion, callbacks=[recorder]).fit(noisy())
    assert recorder.events[-1] == "end"


@cells
def test_changing_the_data_after_fit_changes_no_forecast(cell):
    y = hourly()
    X = covariate(y)
    forecaster = cell(**SMALL).fit(y, X)
    future = pd.DataFrame({"x": [0.0]}, index=y.index[-1:] + pd.Timedelta("1h"))
    before = forecaster.predict(fh=1, X=future)
    y.iloc[:] = 0.0
    X.iloc[:] = 99.0
    pd.testing.assert_series_equal(forecaster.predict(fh=1, X=future), before)


def test_held_out_end_does_not_enter_the_scaling():
    y = noisy()
    spoiled = y.copy()
    spoiled.iloc[80:] = 1e4
    scales = [GRUForecaster(**SMALL, validation_split=0.2).fit(v).scaler_ for v in (y, spoiled)]
    assert scales[0].center_ == scales[1].center_ == pytest.approx(y[:80].mean())
    assert scales[0].scale_ == scales[1].scale_ == pytest.approx(y[:80].std(ddof=0))
