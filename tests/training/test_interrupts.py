"""Ctrl-C: a forecaster that the user made keeps its weights, a clone raises."""

import copy
import pickle
import signal
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import (
    GridSearchCV,
    RandomizedSearchCV,
    TimeSeriesSplit,
    cross_val_score,
)
from sktime.forecasting.compose import (
    ForecastByLevel,
    ForecastingPipeline,
    MultiplexForecaster,
    TransformedTargetForecaster,
)
from sktime.forecasting.model_evaluation import evaluate
from sktime.forecasting.model_selection import (
    ForecastingGridSearchCV,
    ForecastingRandomizedSearchCV,
)
from sktime.split import ExpandingWindowSplitter
from sktime.transformations.series.difference import Differencer
from small_trainings import SMALL, Y, trainer_of, weights_of

from skrnn import SMAPE, GRUForecaster, smape_scorer
from skrnn.callbacks import Callback, StopAfter


@pytest.fixture(autouse=True)
def interrupt_handler():
    """Python's own handler of Ctrl-C: a process that a script starts in its background has none."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


pytestmark = pytest.mark.usefixtures("one_thread")

PANEL = pd.MultiIndex.from_product([["a", "b"], range(30)])


class Shared(Callback):
    """A callback that clones share; they copy other ones."""

    def __deepcopy__(self, memo):
        return self


class Interrupt(Shared):
    """Presses Ctrl-C in the n-th of an event; keeps the weights of that moment and of epochs."""

    def __init__(self, event, n=1):
        self.event, self.n = event, n
        self.weights, self.count, self.ended = [], 0, 0

    def press(self, event, training):
        if event in ("epoch end", self.event):
            self.weights.append(weights_of(training.network))
        if event == self.event:
            self.count += 1
            if self.count == self.n:
                signal.raise_signal(signal.SIGINT)

    def on_train_begin(self, training, num_epochs):
        self.press("train begin", training)

    def on_epoch_begin(self, training):
        self.press("epoch begin", training)

    def on_batch_end(self, training, n_batches):
        self.press("batch end", training)

    def on_epoch_end(self, training, epoch):
        self.press("epoch end", training)

    def on_train_end(self, training):
        self.ended += 1
        self.press("train end", training)


def interrupted(event, n=1, **kwargs):
    interrupt = Interrupt(event, n)
    forecaster = GRUForecaster(**{**SMALL, "callbacks": [interrupt], **kwargs})
    return forecaster, interrupt


# ---------------------------------------------------------- a forecaster of the user


@pytest.mark.parametrize(
    ("event", "n", "rows", "message"),
    [
        ("train begin", 1, 0, "in epoch 0 of 3, after 0 optimiser steps"),
        ("epoch begin", 1, 0, "in epoch 1 of 3, after 0 optimiser steps"),
        ("batch end", 2, 0, "in epoch 1 of 3, after 2 optimiser steps"),
        ("batch end", 5, 1, "in epoch 2 of 3, after 5 optimiser steps"),
        ("epoch begin", 3, 2, "in epoch 3 of 3, after 8 optimiser steps"),
        ("epoch end", 2, 2, "in epoch 2 of 3, after 8 optimiser steps"),
    ],
)
def test_interrupt_keeps_the_present_weights_and_the_whole_epochs(event, n, rows, message):
    forecaster, interrupt = interrupted(event, n)
    with pytest.warns(UserWarning, match=message) as record:
        assert forecaster.fit(Y) is forecaster
    assert len(record) == 1
    text = str(record[0].message)
    assert "GRUForecaster keeps the present weights" in text
    assert "`update` trains on with new observations, `fit` starts again" in text
    assert torch.equal(weights_of(forecaster.network_), interrupt.weights[-1])
    assert len(forecaster.history_) == rows
    assert interrupt.ended == 1
    assert not forecaster.network_.training
    assert np.isfinite(forecaster.predict(fh=[1, 2, 3])).all()


def test_interrupt_leaves_what_a_callback_would_have_stopped_at():
    forecaster, _ = interrupted("batch end", 6)
    with pytest.warns(UserWarning, match="interrupted"):
        forecast = forecaster.fit(Y).predict(fh=[1, 2])
    stopped = GRUForecaster(**SMALL, callbacks=[StopAfter(6)]).fit(Y).predict(fh=[1, 2])
    pd.testing.assert_series_equal(forecast, stopped)


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


def test_interrupt_before_the_first_validation_keeps_the_present_weights():
    forecaster, interrupt = interrupted("batch end", 2, validation_split=0.2)
    with pytest.warns(UserWarning, match="keeps the present weights"):
        forecaster.fit(Y)
    assert torch.equal(weights_of(forecaster.network_), interrupt.weights[-1])
    assert forecaster.history_.empty


def test_interrupt_of_validation_keeps_the_best_weights_so_far():
    trainer, weights = trainer_of(), []

    def validate():
        weights.append(weights_of(trainer.network))
        if len(weights) == 3:
            raise KeyboardInterrupt
        return [1.0, 2.0][len(weights) - 1]

    trainer.validate = validate
    with pytest.warns(UserWarning, match="in epoch 3 of 9, .* weights of epoch 1, the best"):
        trainer.fit(9)
    assert torch.equal(weights_of(trainer.network), weights[0])
    assert [row["validation_loss"] for row in trainer.training.rows] == [1.0, 2.0]


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
    assert torch.equal(weights_of(forecaster.pretrained_model_.network), interrupt.weights[-1])
    forecaster.set_params(num_epochs=0).fit(Y)
    assert torch.equal(weights_of(forecaster.network_), interrupt.weights[-1])


def test_fit_starts_again_after_an_interrupt():
    forecaster, _ = interrupted("batch end", 5)
    with pytest.warns(UserWarning, match="interrupted"):
        forecaster.fit(Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        forecaster.fit(Y)
    whole = GRUForecaster(**SMALL).fit(Y)
    assert torch.equal(weights_of(forecaster.network_), weights_of(whole.network_))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda f: pickle.loads(pickle.dumps(f))])
def test_copy_of_a_forecaster_of_the_user_keeps_its_weights_too(copied):
    forecaster = copied(interrupted("batch end", 2)[0])
    with pytest.warns(UserWarning, match="after 2 optimiser steps"):
        forecaster.fit(Y)


@pytest.mark.parametrize("first", ["batch end", "never"])
def test_interrupt_after_the_epochs_is_raised(first):
    late, early = Interrupt("train end"), Interrupt(first, 2)
    with pytest.raises(KeyboardInterrupt):
        GRUForecaster(**SMALL, callbacks=[early, late]).fit(Y)
    assert early.ended == late.ended == 1


def test_interrupt_at_the_end_of_one_callback_still_ends_the_others():
    late, other = Interrupt("train end"), Interrupt("never")
    with pytest.raises(KeyboardInterrupt):
        GRUForecaster(**SMALL, callbacks=[late, other]).fit(Y)
    assert other.ended == 1


def test_interrupt_of_diverged_weights_raises():
    class Spoil(Callback):
        def on_batch_end(self, training, n_batches):
            training.network.head.correction.bias.data.fill_(np.nan)
            raise KeyboardInterrupt

    with pytest.raises(FloatingPointError, match="must end with forecasts near the data"):
        GRUForecaster(**SMALL, callbacks=[Spoil()]).fit(Y)


# ------------------------------------------------------------------------- a clone


@pytest.mark.parametrize("cloned", [clone, GRUForecaster.clone], ids=["sklearn", "sktime"])
def test_interrupt_of_a_clone_is_raised(cloned):
    forecaster, interrupt = interrupted("batch end", 2)
    with pytest.raises(KeyboardInterrupt):
        cloned(forecaster).fit(Y)
    assert interrupt.ended == 1
    # The clone's origin is still the user's.
    interrupt.count = 0
    with pytest.warns(UserWarning, match="after 2 optimiser steps"):
        forecaster.fit(Y)


def test_interrupt_of_a_clone_of_a_clone_is_raised():
    forecaster, _ = interrupted("batch end", 2)
    with pytest.raises(KeyboardInterrupt):
        forecaster.clone().clone().fit(Y)


def test_interrupt_of_a_clone_is_raised_in_its_second_fit_and_in_update_and_pretrain():
    forecaster, interrupt = interrupted("batch end", 10**6)
    cloned = forecaster.clone().fit(Y[:40])
    interrupt.n = interrupt.count + 1
    fitted, history = cloned.fitted_, cloned.history_
    with pytest.raises(KeyboardInterrupt):
        cloned.update(Y[40:])
    assert cloned.fitted_ is fitted
    assert cloned.history_ is history
    interrupt.n = interrupt.count + 1
    with pytest.raises(KeyboardInterrupt):
        cloned.fit(Y)
    interrupt.n = interrupt.count + 1
    with pytest.raises(KeyboardInterrupt):
        cloned.reset().pretrain(pd.DataFrame({"y": Y}).set_index(PANEL))


CV = TimeSeriesSplit(2, test_size=5)
SPLITS = ExpandingWindowSplitter(initial_window=40, step_length=10, fh=[1])
GRID = {"lr": [0.1, 0.2]}
IN_THIS_PROCESS = {"scoring": SMAPE(), "backend": None}  # so that the callback is seen
SEARCHES = {
    "GridSearchCV": lambda f: GridSearchCV(f, GRID, cv=CV, scoring=smape_scorer).fit(Y),
    "RandomizedSearchCV": lambda f: RandomizedSearchCV(
        f, GRID, cv=CV, scoring=smape_scorer, n_iter=2, random_state=0
    ).fit(Y),
    "cross_val_score": lambda f: cross_val_score(f, Y.to_frame(), Y, cv=CV, scoring=smape_scorer),
    "ForecastingGridSearchCV": lambda f: ForecastingGridSearchCV(
        f, SPLITS, GRID, **IN_THIS_PROCESS
    ).fit(Y),
    "ForecastingRandomizedSearchCV": lambda f: ForecastingRandomizedSearchCV(
        f, SPLITS, GRID, n_iter=2, random_state=0, **IN_THIS_PROCESS
    ).fit(Y),
    "evaluate": lambda f: evaluate(f, SPLITS, Y, scoring=SMAPE()),
    "evaluate, update": lambda f: evaluate(f, SPLITS, Y, strategy="update", scoring=SMAPE()),
    "TransformedTargetForecaster": lambda f: TransformedTargetForecaster([Differencer(), f]).fit(Y),
    "ForecastingPipeline": lambda f: ForecastingPipeline([f]).fit(Y),
    "product of a transformer": lambda f: (Differencer() * f).fit(Y),
    "MultiplexForecaster": lambda f: MultiplexForecaster([("gru", f)], "gru").fit(Y),
    "ForecastByLevel": lambda f: ForecastByLevel(f).fit(pd.DataFrame({"y": Y}).set_index(PANEL)),
    "search over a pipeline": lambda f: ForecastingGridSearchCV(
        TransformedTargetForecaster([("difference", Differencer()), ("gru", f)]),
        SPLITS,
        {"gru__lr": [0.1, 0.2]},
        **IN_THIS_PROCESS,
    ).fit(Y),
}


class Press(Shared):
    """Presses Ctrl-C at the first step of every training, and counts these."""

    def __init__(self):
        self.begun = self.ended = 0

    def on_train_begin(self, training, num_epochs):
        self.begun += 1

    def on_batch_end(self, training, n_batches):
        signal.raise_signal(signal.SIGINT)

    def on_train_end(self, training):
        self.ended += 1


@pytest.mark.parametrize("search", SEARCHES)
def test_one_interrupt_ends_a_search_an_evaluation_and_a_pipeline(search):
    press = Press()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        with pytest.raises(KeyboardInterrupt):
            SEARCHES[search](GRUForecaster(**SMALL, callbacks=[press]))
    assert (press.begun, press.ended) == (1, 1)


def test_interrupt_of_the_refit_ends_a_search_too():
    class PressLate(Press):
        def on_batch_end(self, training, n_batches):
            if self.begun == 5:  # two settings on two splits come first
                super().on_batch_end(training, n_batches)

    press = PressLate()
    with pytest.raises(KeyboardInterrupt):
        SEARCHES["GridSearchCV"](GRUForecaster(**SMALL, callbacks=[press]))
    assert (press.begun, press.ended) == (5, 5)


def test_interrupt_of_a_trainer_that_keeps_nothing_is_raised_with_callbacks_closed():
    press = Press()
    trainer = trainer_of(callbacks=[press], keep_at_interrupt=False)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(2)
    assert (press.begun, press.ended) == (1, 1)
    assert not trainer.network.training
