"""The forecaster as sktime and scikit-learn see it: updates, copies, names, representations."""

import copy
import functools
import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn.base
import torch
from sktime.forecasting.compose import TransformedTargetForecaster
from sktime.transformations.series.boxcox import LogTransformer

from skrnn import GRUForecaster, LSTMForecaster, RNNForecaster
from skrnn.callbacks import Callback
from skrnn.contract.forecaster import BaseRecurrentForecaster
from small_cases import (
    CLASSES,
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

FH = [-1, 1, 2, 3]
N_FITTED, N = 80, 100


# ------------------------------------------------------------------ an update is all or nothing


def state_of(forecaster, X):
    """All that an update may change."""
    fitted = forecaster.fitted_
    return {
        "forecasts": forecaster.predict(fh=FH, X=X).to_numpy(),
        "cutoff": forecaster.cutoff,
        "history": forecaster.history_.copy(),
        "values": fitted.panel.values.copy(),
        "known": fitted.panel.known.copy(),
        "end": fitted.panel.end,
        "weights": weights(forecaster),
        "scale": fitted.model.scaler.scale_.copy(),
        "held out": fitted.held_out.first.copy(),
    }


def assert_same_state(one, other):
    assert one.keys() == other.keys()
    assert same_weights(one["weights"], other["weights"])
    pd.testing.assert_index_equal(one["cutoff"], other["cutoff"])
    pd.testing.assert_frame_equal(one["history"], other["history"])
    for name in one.keys() - {"weights", "cutoff", "history"}:
        np.testing.assert_array_equal(one[name], other[name])


class Fail(Callback):
    """Fails in the second step, once it is armed."""

    armed = False

    def on_batch_end(self, training, n_batches):
        if self.armed and training.step > 1:
            raise RuntimeError("no step today")


def arm(forecaster, y, X):
    forecaster.callbacks[0].armed = True
    return y, X


def without_device(forecaster, y, X):
    forecaster.device = "cuda:99"
    return y, X


def with_value(data, value, row=2):
    data = data.copy()
    data.iloc[row] = value
    return data


# What is done to a correct update, and the error that comes of it.
REFUSED = {
    "fails in training": (arm, RuntimeError, "no step today"),
    "absurd value": (lambda f, y, X: (with_value(y, 1e300), X), FloatingPointError, "finite"),
    "infinity": (lambda f, y, X: (with_value(y, np.inf), X), ValueError, "finite"),
    "gap": (lambda f, y, X: (y.groupby(level=0).tail(5), X), ValueError, "Pass the rows between"),
    "missing device": (without_device, ValueError, "cuda:99"),
    "missing X": (lambda f, y, X: (y, None), ValueError, "Pass its values in the rows of y"),
    "X with NaN": (lambda f, y, X: (y, with_value(X, np.nan)), ValueError, "finite"),
    "X without rows": (lambda f, y, X: (y, X.groupby(level=0).head(5)), ValueError, "Pass X"),
    "other columns": (lambda f, y, X: (y.assign(z=1.0), X), ValueError, "columns"),
    "unknown series": (
        lambda f, y, X: (y.rename(index={"s0": "new"}), X.rename(index={"s0": "new"})),
        ValueError,
        "not seen in fit",
    ),
}


PANEL = panel((N, N - 5))
X = pd.DataFrame({"x": np.random.default_rng(0).normal(size=len(PANEL))}, PANEL.index)
OLD = PANEL.groupby(level=0).head(N_FITTED)
LATER = PANEL.groupby(level=0).nth(range(N_FITTED, N - 12))
X_LATER, X_AHEAD = X.loc[LATER.index], X.drop(OLD.index.union(LATER.index))


@functools.cache
def fitted_to_update(cls, strategy, validation_split):
    """A forecaster, its state, and its state after a correct update."""
    parameters = SMALL | {"strategy": strategy, "validation_split": validation_split}
    parameters |= {"batch_size": 1, "num_epochs": 5}
    forecaster = cls(**parameters, callbacks=[Fail()]).fit(OLD, X.loc[OLD.index], fh=FH)
    updated = copy.deepcopy(forecaster).update(LATER, X_LATER)
    return forecaster, state_of(forecaster, X.drop(OLD.index)), state_of(updated, X_AHEAD)


@pytest.mark.parametrize("refused", REFUSED)
@pytest.mark.parametrize(
    ("cls", "strategy", "validation_split"),
    [(GRUForecaster, "recursive", 0.2), (LSTMForecaster, "multioutput", None)],
)
def test_update_that_fails_changes_nothing(cls, strategy, validation_split, refused):
    fitted, before, expected = fitted_to_update(cls, strategy, validation_split)
    forecaster = copy.deepcopy(fitted)
    spoil, error, words = REFUSED[refused]
    with pytest.raises(error, match=words):
        forecaster.update(*spoil(forecaster, LATER, X_LATER))

    forecaster.device, forecaster.callbacks[0].armed = "auto", False
    assert forecaster.is_fitted
    assert_same_state(state_of(forecaster, X.drop(OLD.index)), before)
    # A correct update goes as if the other had not been.
    after = state_of(forecaster.update(LATER, X_LATER), X_AHEAD)
    seconds = ["seconds", "targets_per_second"]
    left, right = (
        state | {"history": state["history"].drop(columns=seconds)} for state in (after, expected)
    )
    assert_same_state(left, right)
    assert not same_weights(left["weights"], before["weights"])


@cells
def test_update_that_fails_leaves_a_single_series(cell):
    y = hourly(N)
    forecaster = cell(**SMALL).fit(y[:N_FITTED])
    before = state_of(forecaster, None)
    for bad in (y[N_FITTED + 2 :], with_value(y[N_FITTED:], np.inf), y[N_FITTED:].to_frame("a")):
        with pytest.raises(ValueError, match=r"Pass the rows between|finite|"):
            forecaster.update(pd.concat([bad, bad], axis=1) if bad.ndim > 1 else bad)
        assert_same_state(state_of(forecaster, None), before)


@pytest.mark.parametrize("update_params", [False, True])
@pytest.mark.parametrize(
    "index",
    [
        pd.date_range("2024-01-01", periods=N, freq="h"),
        pd.period_range("2000-01", periods=N, freq="M"),
        pd.RangeIndex(N),
    ],
    ids=["hours", "months", "integers"],
)
def test_update_with_older_rows_keeps_later_ones_and_the_cutoff(index, update_params):
    y = noisy(N, index=index)
    corrected = y.copy()
    corrected.iloc[20:50] += 30
    forecaster = GRUForecaster(**SMALL).fit(y)
    forecaster.update(corrected[20:50], update_params=update_params)
    assert forecaster.cutoff[0] == index[-1]
    np.testing.assert_array_equal(forecaster.fitted_.panel.values[:, 0], corrected)
    assert forecaster.predict(fh=[1]).index[0] == index[-1] + (index[-1] - index[-2])


def test_update_with_older_rows_of_one_series_leaves_the_other():
    y = panel((N, N))
    forecaster = GRUForecaster(**SMALL).fit(y)
    before = forecaster.predict(fh=FH)
    forecaster.update(y.loc[["s0"]].iloc[:50], update_params=False)
    pd.testing.assert_frame_equal(forecaster.predict(fh=FH), before)
    assert forecaster.fitted_.panel.lengths.tolist() == [N, N]


# ------------------------------------------------------------------ the user's data


@cells
@pytest.mark.parametrize("updated", [False, True], ids=["fit", "update"])
@pytest.mark.parametrize("shape", ["series", "panel"])
def test_writing_into_the_users_arrays_changes_no_forecast(cell, updated, shape):
    buffer, X_buffer = noisy(N).to_numpy(copy=True)[:, None], np.zeros((N + 3, 1))
    X_buffer[:, 0] = np.random.default_rng(0).normal(size=N + 3)
    index = pd.RangeIndex(N + 3)
    if shape == "panel":
        index = pd.MultiIndex.from_product([["only"], index])
    y = pd.DataFrame(buffer, index[:N], ["y"], copy=False)
    X = pd.DataFrame(X_buffer, index, ["x"], copy=False)
    assert np.shares_memory(y.to_numpy(), buffer)  # or the test would prove nothing
    assert np.shares_memory(X.to_numpy(), X_buffer)
    n = N_FITTED if updated else N
    forecaster = cell(**SMALL).fit(y[:n], X[:n])
    if updated:
        forecaster.update(y[n:], X[n:N], update_params=False)
    X_ahead = X[N - 3 :].copy()
    before = state_of(forecaster, X_ahead)
    buffer[:], X_buffer[:] = 1e6, -1e6
    assert_same_state(state_of(forecaster, X_ahead), before)


# ------------------------------------------------------------------ clones


@pytest.mark.parametrize("cls", CLASSES)
def test_clone_equals_its_original_and_knows_that_it_is_one(cls):
    forecaster = cls(**SMALL, lags=[2, 3])
    for copied in (forecaster.clone(), sklearn.base.clone(forecaster)):
        assert type(copied) is cls
        assert copied is not forecaster
        assert copied == forecaster
        assert copied != forecaster.clone().set_params(lags=[2])
        assert copied._is_clone
        assert copied.set_params(lr=0.1)._is_clone
        assert copied.fit(noisy())._is_clone
        assert pickle.loads(pickle.dumps(copied))._is_clone
    assert not forecaster._is_clone
    assert not copy.deepcopy(forecaster)._is_clone
    assert not pickle.loads(pickle.dumps(forecaster))._is_clone


def test_forecaster_within_a_pipeline_is_a_clone():
    steps = [("log", LogTransformer()), ("forecast", GRUForecaster(**SMALL))]
    fitted = TransformedTargetForecaster(steps).fit(noisy(), fh=FH)
    assert fitted.steps_[-1][1]._is_clone
    assert not steps[-1][1]._is_clone


# ------------------------------------------------------------------ names and representations


@pytest.mark.parametrize("cls", CLASSES)
def test_misspelt_parameter_names_the_class_that_the_user_wrote(cls):
    with pytest.raises(TypeError, match=rf"^{cls.__name__}\.__init__\(\) got .*'hidden'"):
        cls(hidden=3)


def test_misspelt_parameter_of_a_subclass_names_the_subclass():
    class Mine(LSTMForecaster):
        pass

    with pytest.raises(TypeError, match=r"Mine\.__init__\(\) got .*'hidden'"):
        Mine(hidden=3)
    assert Mine(hidden_size=3).get_params()["hidden_size"] == 3
    assert BaseRecurrentForecaster.__init__.__qualname__ == "BaseRecurrentForecaster.__init__"


@pytest.mark.parametrize("cls", CLASSES)
def test_html_representation_shows_the_class_and_what_was_set(cls):
    forecaster = cls(hidden_size=4, num_epochs=1)
    for html in (forecaster._repr_html_(), forecaster.fit(noisy())._repr_html_()):
        assert cls.__name__ in html
        assert "hidden_size=4" in html


@pytest.mark.parametrize("cls", CLASSES)
def test_every_cell_of_the_three_classes_is_its_own(cls):
    expected = {GRUForecaster: "gru", LSTMForecaster: "lstm", RNNForecaster: "rnn"}[cls]
    options = {"cell": "rnn"} if cls is RNNForecaster else {}
    assert cls(**options)._cell() == expected


# ------------------------------------------------------------------ torch's global switches


@pytest.mark.parametrize("switch", [torch.no_grad, torch.inference_mode], ids=["no_grad", "inf"])
def test_fit_and_update_train_whatever_torchs_gradient_mode(switch):
    y = noisy(N)
    expected = GRUForecaster(**SMALL).fit(y[:N_FITTED]).update(y[N_FITTED:])
    with switch():
        forecaster = GRUForecaster(**SMALL).fit(y[:N_FITTED]).update(y[N_FITTED:])
    assert same_weights(weights(forecaster), weights(expected))


# ------------------------------------------------------------------ categories (through fit)


@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
def test_category_that_only_rows_after_y_hold_is_refused_as_untrained(strategy):
    y = hourly(N)
    X = covariate(y).assign(sky="blue")
    X.loc[X.index[N_FITTED + 2] :, "sky"] = "green"
    forecasts, fh = [], [1, 2]
    for X_fit in (X, X[:N_FITTED]):
        forecaster = GRUForecaster(**SMALL, strategy=strategy).fit(y[:N_FITTED], X_fit, fh=fh)
        forecasts.append(forecaster.predict(fh=fh, X=X[N_FITTED:][:2]))
        with pytest.raises(ValueError, match=r"'sky' holds 'green' .* fit saw \['blue'\]"):
            forecaster.predict(fh=fh, X=X[N_FITTED:][:2].assign(sky=["blue", "green"]))
    pd.testing.assert_series_equal(*forecasts)
