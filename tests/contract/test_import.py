"""Import: it changes nothing of the process, and what is optional is not needed."""

import subprocess
import sys

import numpy as np
import pytest

CHANGES = """
import random, sys, threading, time, warnings
start = time.process_time()
import numpy as np, torch
import sklearn, sktime.forecasting.base, sktime.performance_metrics.forecasting
def state():
    return (
        list(warnings.filters), threading.active_count(), torch.get_num_threads(),
        random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist(),
        torch.get_default_dtype(), torch.is_grad_enabled(), np.geterr(),
    )
before, modules, begin = state(), set(sys.modules), time.process_time()
import skrnn
end = time.process_time()
assert state() == before
loaded = {name.split(".")[0] for name in set(sys.modules) - modules}
optional = {"matplotlib", "optuna", "tqdm", "holidays", "pooch", "skpro", "numba", "onnx"}
print((end - begin) / (begin - start), *sorted(loaded & (optional | {"onnxruntime"})))
"""


WITHOUT_EXTRAS = """
import sys
optional = "numba matplotlib pooch tqdm holidays skpro optuna onnx onnxruntime".split()
for name in optional:
    sys.modules[name] = None
"""
FORECASTS = """
import io, numpy as np, pandas as pd
import skrnn
from skrnn import LSTMForecaster, backtest, evaluate
from sktime.split import SlidingWindowSplitter
index = pd.date_range("2024-01-01", periods=120, name="day")
y = pd.Series(np.arange(120.0) % 7 + np.sin(np.arange(120)), index, name="load")
X = pd.DataFrame({"x": np.cos(np.arange(123)), "kind": ["a", "b", "c"] * 41},
                 pd.date_range("2024-01-01", periods=123, name="day"))
forecaster = LSTMForecaster(hidden_size=4, window_length=8, num_epochs=3, sp=7, random_state=0,
                            validation_split=0.2, holidays=["2024-02-01"])
forecaster.fit(y[:100], X[:100]).update(y[100:110], X[100:110])
file = io.BytesIO()
skrnn.save(forecaster, file)
loaded = skrnn.load(file.getvalue())
for each in (forecaster, loaded):
    print(*each.predict([1, 2, 3], X[110:]).tolist())
    print(*each.predict_interval([1, 3], X[110:]).to_numpy().ravel().tolist())
print(*backtest(forecaster, y, X)["y_pred"].tolist())
cv = SlidingWindowSplitter(fh=[1, 2], window_length=80, step_length=10)
print(evaluate(forecaster, cv, y, X[:120]).iloc[:, 0].tolist()[0])
print(skrnn.smape(y[:5], y[1:6].to_numpy()))
print(len(forecaster.summary()), len(forecaster.history_))
"""


def test_without_any_optional_package_the_forecasts_are_the_same(capsys):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRAS + FORECASTS], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    exec(FORECASTS, {})  # here, where all are present
    found, expected = (
        np.array(text.split(), dtype=float) for text in (done.stdout, capsys.readouterr().out)
    )
    # Without Numba the layers are torch's, which round otherwise.
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert len(expected) > 20


# What needs an optional package, and the command that its absence is answered with.
NEEDED = {
    "matplotlib": ("skrnn.plotting.plot_forecast(y, y)", "skrnn[plot]"),
    "pooch": ("skrnn.datasets.fetch_pjm_load()", "skrnn[datasets]"),
    "tqdm": ("GRUForecaster(num_epochs=1, verbose=True).fit(y)", "skrnn[progress]"),
    "holidays": ("GRUForecaster(num_epochs=1, holidays='US').fit(y)", "skrnn[holidays]"),
    "skpro": (
        "GRUForecaster(num_epochs=1, criterion='normal').fit(y).predict_proba([1])",
        "skrnn[proba]",
    ),
    "onnx": ("GRUForecaster(num_epochs=1).fit(y).to_onnx('a.onnx')", "skrnn[onnx]"),
    "onnxruntime": ("GRUForecaster(num_epochs=1).fit(y).to_onnx('a.onnx')", "skrnn[onnx]"),
}
# Each call fails with its package absent, which is there for the next: some cannot be loaded twice.
WITHOUT_ONE = f"""
import os
os.environ.pop("SKRNN_DATA", None)
import numpy as np, pandas as pd
import skrnn, skrnn.plotting, skrnn.datasets
from skrnn import GRUForecaster
y = pd.Series(np.arange(40.0) % 3, pd.date_range("2024", periods=40))
for package, (call, _) in {NEEDED!r}.items():
    names = [name for name in sys.modules if name.split(".")[0] == package]
    loaded = {{name: sys.modules.pop(name) for name in names}}
    sys.modules[package] = None
    try:
        eval(call)
    except ImportError as error:
        print(package, error)
    del sys.modules[package]
    sys.modules.update(loaded)
"""


@pytest.fixture(scope="module")
def printed():
    """What one new interpreter prints of the import, and of each call without its package."""
    code = CHANGES + WITHOUT_ONE
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()


def test_import_is_quick_changes_nothing_and_loads_no_optional_package(printed):
    share, *optional = printed[0].split()
    assert optional == []
    # Relative to the import of torch and sktime by the same process: a fiftieth, or a thirtieth
    # where Python compiles all three anew.
    assert float(share) < 0.08


def test_what_needs_an_absent_package_names_the_command_that_installs_it(printed):
    answers = dict(line.split(" ", 1) for line in printed[1:])
    assert answers.keys() == NEEDED.keys()
    for package, (_, extra) in NEEDED.items():
        assert f"pip install {extra}" in answers[package].replace('"', "")
