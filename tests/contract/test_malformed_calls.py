"""Malformed calls of the public functions: refused by a documented error, or right by value.

Hypothesis draws them. ``SKRNN_CALLS=500 pytest tests/contract/test_malformed_calls.py`` tries 500
of each kind.
"""

import copy
import inspect
import io
import os
import tempfile
import traceback
from functools import partial
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
import sklearn
import sktime
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sktime.split import ExpandingWindowSplitter

import skrnn
from skrnn import GRUForecaster, RecurrentGridSearchCV, Stream, backtest, plotting, smape
from skrnn.datasets import PanelFile, fetch_pjm_load, make_hourly_load

matplotlib.use("Agg")

import matplotlib.pyplot as plt

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning"),
]

N = 40
VALUES = np.sin(np.arange(N)) + 3
Y = pd.Series(VALUES, pd.date_range("2024-01-01", periods=N, freq="D"), name="load")
SMALL = {"hidden_size": 2, "window_length": 4, "num_epochs": 1, "random_state": 0}
FITTED = GRUForecaster(**SMALL, validation_split=0.2).fit(Y[:30])

DOCUMENTED = (TypeError, ValueError, NotImplementedError, OSError)
# Where errors are raised on purpose; in any other module a call was not checked.
CHECKED = [Path(package.__file__).parent for package in (skrnn, sktime)]
OF_SKLEARN = "utils/_param_validation.py", "model_selection/_search.py"
CHECKED += [Path(sklearn.__file__).parent / file for file in OF_SKLEARN]

odd_numbers = st.one_of(
    st.integers(-1_000, 0), st.floats(max_value=0.0), st.just(float("nan")), st.booleans()
)
odd = st.one_of(
    odd_numbers,
    st.text(max_size=3),
    st.binary(max_size=3),
    st.complex_numbers(max_magnitude=10),
    st.lists(st.one_of(odd_numbers, st.text(max_size=2), st.none()), max_size=3),
    st.dictionaries(st.text(max_size=2), odd_numbers, max_size=2),
    st.sampled_from([None, pd.NaT, object(), np.ones(1), np.ones((2, 2)), len, type]),
)


@st.composite
def odd_data(draw):
    """A series or frame whose values or index, or both, are not those of a time series."""
    n = draw(st.integers(0, N))
    columns = {
        "numbers": VALUES[:n],
        "text": ["a"] * n,
        "flags": np.arange(n) % 2 == 0,
        "complex": VALUES[:n].astype(complex),
        "missing": np.full(n, np.nan),
        "infinite": np.where(np.arange(n) == 2, np.inf, VALUES[:n]),
        "stamps": Y.index[:n],
        "categories": pd.Categorical(["a"] * n),
        "nullable": pd.array([1, None] * n, dtype="Int64")[:n],
        "objects": VALUES[:n].astype(object),
        "huge": VALUES[:n] * 4e307,
    }
    indexes = {
        "days": Y.index[:n],
        "backwards": Y.index[:n][::-1],
        "repeated": [0] * n,
        "gaps": Y.index[:n] + pd.to_timedelta(np.arange(n) ** 2, "D"),
        "text": [f"{k}" for k in range(n)],
        "fractions": np.arange(n) * 1.5,
        "durations": pd.timedelta_range("1D", periods=n),
        "no stamps": pd.DatetimeIndex([pd.NaT] * n),
        "numbers": pd.RangeIndex(n),
        "months": pd.period_range("2024-01", periods=n, freq="M"),
        "levels": pd.MultiIndex.from_arrays([["a"] * n, ["b"] * n, range(n)]),
    }
    index = indexes[draw(st.sampled_from(sorted(indexes)))]
    names = draw(st.lists(st.sampled_from(sorted(columns)), unique=True, max_size=2))
    if len(names) == 1 and draw(st.booleans()):
        return pd.Series(columns[names[0]], index)
    return pd.DataFrame({name: columns[name] for name in names}, range(n)).set_axis(index)


anything = st.one_of(odd, odd_data())


def check(call):
    """The call is refused by a documented error that was raised on purpose, or is finite."""
    try:
        result, error = call(), None
    except DOCUMENTED as refused:
        result, error = None, refused
    if error is not None:
        last = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        on_purpose = any(place in [last, *last.parents] for place in CHECKED)
        assert on_purpose or isinstance(error, OSError), f"{type(error)} of {last}: {error}"
        assert len(str(error)) > 15
    elif result is not None:
        assert np.isfinite(np.asarray(result, dtype=np.float64)).all()


attempts = settings(
    max_examples=int(os.environ.get("SKRNN_CALLS", "40")),
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
PARAMETERS = sorted(inspect.signature(GRUForecaster).parameters)


@attempts
@given(name=st.sampled_from(PARAMETERS), value=odd)
def test_parameter(name, value):
    check(lambda: GRUForecaster(**SMALL | {name: value}).fit(Y, fh=[1, 2]).predict([1, 2]))


@attempts
@given(y=anything.filter(lambda y: y is not None))  # sktime refuses None by an assertion
def test_y_in_fit(y):
    check(lambda: GRUForecaster(**SMALL).fit(y).predict([1, 2]))


@attempts
@given(X=anything)
def test_X_in_fit(X):
    check(lambda: GRUForecaster(**SMALL).fit(Y, X) and None)


@attempts
@given(fh=odd)
def test_fh_in_predict(fh):
    check(lambda: FITTED.predict(fh).dropna())


@attempts
@given(levels=odd, method=st.sampled_from(["predict_interval", "predict_quantiles"]))
def test_levels(levels, method):
    name = {"predict_interval": "coverage", "predict_quantiles": "alpha"}[method]
    check(lambda: getattr(FITTED, method)(fh=[1], **{name: levels}))


@attempts
@given(y=anything, update_params=st.booleans())
def test_update(y, update_params):
    forecaster = copy.deepcopy(FITTED)
    check(lambda: forecaster.update(y, update_params=update_params).predict([1]))


@attempts
@given(
    name=st.sampled_from(["y", "X", "fh", "start", "step_length", "alpha", "cutoffs"]),
    value=anything,
)
def test_backtest(name, value):
    check(lambda: backtest(FITTED, **{"y": Y, "start": 30, "fh": [1]} | {name: value}))


@attempts
@given(y_true=anything, y_pred=anything)
def test_metric(y_true, y_pred):
    check(lambda: smape(y_true, y_pred) and None)


@attempts
@given(file=anything.filter(lambda file: not isinstance(file, (str, bool))))
def test_file(file):
    check(lambda: skrnn.save(FITTED, file))
    check(lambda: FITTED.to_onnx(file))
    check(lambda: skrnn.load(file) and None)


def saved():
    file = io.BytesIO()
    skrnn.save(FITTED, file)
    return file.getvalue()


def discarding(call):
    """The same call, whose result is not looked at."""
    return lambda **arguments: call(**arguments) and None


def closing(plot):
    """The same plot, whose figure is closed."""

    def draw(**arguments):
        try:
            plot(**arguments)
        finally:
            plt.close("all")

    return draw


def panel_file(build):
    def write(**arguments):
        with tempfile.TemporaryDirectory() as folder:
            build(f"{folder}/panel", **arguments)

    return write


def to_stream(values, X, series):
    Stream(FITTED, fh=[1, 2]).update(values, X=X, series=series)


def search(**arguments):
    RecurrentGridSearchCV(GRUForecaster(**SMALL), backend="None", **arguments).fit(Y)


CV = ExpandingWindowSplitter(initial_window=34, fh=[1, 2], step_length=3)
STREAM = Stream(FITTED, fh=[1, 2], alpha=[0.1, 0.5])
# Each function with arguments that it takes; one of them is replaced.
FUNCTIONS = {
    "backtest": (partial(backtest, y=Y, start=30), {"forecaster": FITTED}),
    "evaluate": (
        lambda **arguments: len(skrnn.evaluate(**arguments)),
        {"forecaster": FITTED, "cv": CV, "y": Y, "X": None, "strategy": "no-update_params"}
        | {"scoring": None, "error_score": "raise", "backend": None, "cv_X": None},
    ),
    "explain": (
        lambda **arguments: skrnn.explain(**arguments).dropna(),
        {"forecaster": FITTED, "fh": [1, 2], "X": None, "inputs": False, "counterfactual": None},
    ),
    "importance": (
        lambda **arguments: len(skrnn.importance(**arguments)),
        {"forecaster": FITTED, "y": Y, "X": None, "fh": 1, "start": 0.9, "step_length": 1}
        | {"cutoffs": None, "scoring": None, "n_repeats": 1, "random_state": 0},
    ),
    "sample_paths": (
        skrnn.sample_paths,
        {"forecaster": FITTED, "fh": [1, 2], "X": None, "n_paths": 3, "random_state": 0},
    ),
    "RecurrentGridSearchCV": (
        search,
        {"cv": CV, "param_grid": {"lr": [0.01]}, "scoring": None, "error_score": "raise"},
    ),
    "Stream": (
        lambda **arguments: Stream(**arguments).predict(),
        {"forecaster": FITTED, "fh": [1, 2], "alpha": [0.1], "remember": False},
    ),
    "Stream.update": (to_stream, {"values": [3.0], "X": None, "series": None}),
    "Stream.predict": (STREAM.predict, {"fh": [1, 2], "X": None, "as_frame": False}),
    "Stream.predict_quantiles": (
        STREAM.predict_quantiles,
        {"fh": [1, 2], "alpha": [0.1], "X": None, "as_frame": False},
    ),
    "plot_forecast": (
        closing(plotting.plot_forecast),
        {"y_pred": FITTED.predict([1, 2]), "y": Y, "y_true": None, "series": None, "column": None}
        | {"intervals": FITTED.predict_interval([1, 2]), "n_history": "auto", "ax": None}
        | {"paths": skrnn.sample_paths(FITTED, [1, 2], n_paths=3, random_state=0)},
    ),
    "plot_comparison": (
        closing(plotting.plot_comparison),
        {"tables": {"GRU": backtest(FITTED, Y, start=30)}, "series": None, "column": None}
        | {"step": 1, "window": 20, "ax": None},
    ),
    "plot_explanation": (
        closing(plotting.plot_explanation),
        {"explanation": skrnn.explain(FITTED, [1, 2]), "by": "source", "n_largest": 6}
        | {"around": "mean", "series": None, "column": None, "ax": None},
    ),
    "plot_history": (closing(plotting.plot_history), {"forecasters": FITTED, "ax": None}),
    "make_hourly_load": (make_hourly_load, {"n_series": 2, "n_hours": 30, "random_state": 0}),
    "fetch_pjm_load": (
        fetch_pjm_load,
        {"regions": "DUQ", "data_home": ".", "download_if_missing": False, "regular": True}
        | {"add_observed": False},
    ),
    "PanelFile.from_array": (
        panel_file(PanelFile.from_array),
        {"values": VALUES.reshape(-1, 2), "lengths": [N // 2], "keys": ["a"], "start": 0}
        | {"freq": None, "columns": ["p", "q"]},
    ),
    "PanelFile.from_frames": (
        panel_file(PanelFile.from_frames),
        {"frames": [("a", Y)], "names": ["series"], "freq": "D"},
    ),
    "pretrain": (
        lambda **arguments: GRUForecaster(**SMALL).pretrain(**arguments) and None,
        {"y": Y, "X": None, "fh": [1]},
    ),
    "of_series": (discarding(FITTED.of_series), {"key": "a"}),
    "to_onnx": (partial(FITTED.to_onnx, io.BytesIO()), {"alpha": None}),
    "predict_blocks": (
        lambda **arguments: pd.concat(FITTED.predict_blocks(**arguments)).dropna(),
        {"fh": [1], "X": None},
    ),
    "save": (partial(skrnn.save, path=io.BytesIO()), {"forecaster": FITTED, "history": "context"}),
    "load": (discarding(partial(skrnn.load, saved())), {"device": "cpu"}),
}
few = settings(attempts, max_examples=-(-attempts.max_examples // 4))


@pytest.mark.parametrize("function", list(FUNCTIONS))
@few
@given(data=st.data())
def test_argument(function, data):
    call, arguments = FUNCTIONS[function]
    name, value = data.draw(st.sampled_from(sorted(arguments))), data.draw(anything)
    check(lambda: call(**arguments | {name: value}))


def test_network_beyond_memory_names_the_settings_to_lower():
    with pytest.raises(MemoryError, match=r"Lower batch_size, window_length, hidden_size"):
        GRUForecaster(**SMALL | {"hidden_size": 10**12}).fit(Y)
    assert GRUForecaster(**SMALL).fit(Y).predict([1]).notna().all()
