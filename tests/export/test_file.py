"""The file: what is in it, what is refused before one is written, and how it is used alone."""

import io
import json
import subprocess
import sys
from importlib.metadata import version

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from sktime.exceptions import NotFittedError
from torch import nn

import skrnn
from skrnn import GRUForecaster, RNNForecaster
from skrnn.datasets import make_hourly_load
from skrnn.distributions import Normal
from skrnn.export import file as file_module
from skrnn.export.check import inputs_of
from skrnn.naive import Last

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning"),
]

SMALL = {"hidden_size": 4, "window_length": 12, "num_epochs": 0, "sp": 6, "random_state": 0}
INDEX = pd.date_range("2024-01-01", periods=90, freq="h", name="time")
Y = pd.Series(5 + np.sin(np.arange(90)) + np.arange(90) % 6, INDEX, name="load")


@pytest.fixture(scope="module")
def forecaster():
    """One with trained weights."""
    return GRUForecaster(**SMALL | {"num_epochs": 1}).fit(Y)


def exported(forecaster, **options):
    file = io.BytesIO()
    forecaster.to_onnx(file, **options)
    return onnxruntime.InferenceSession(file.getvalue())


def inputs(y, n_ahead, series=0):
    stamps = pd.date_range(y.index[0], periods=len(y) + n_ahead, freq=y.index.freq)
    return {
        "y": y.to_numpy(dtype=float).reshape(1, len(y), -1),
        "time": stamps.to_numpy().astype("datetime64[s]").astype(np.int64)[None],
        "series": np.array([series]),
    }


@pytest.mark.parametrize("criterion", ["mae", "normal", "quantile"])
@pytest.mark.parametrize("split", [0.3, None])
def test_quantiles_are_those_of_predict_quantiles(criterion, split):
    options = {"strategy": "multioutput", "criterion": criterion, "validation_split": split}
    forecaster = GRUForecaster(**SMALL, **options).fit(Y, fh=[1, 3])
    levels = [0.9, 0.05, 0.5]
    if criterion == "mae" and split is None:
        with pytest.raises(ValueError, match=r"no rows were held out\. Leave alpha out"):
            forecaster.to_onnx(io.BytesIO(), alpha=levels)
        return
    session = exported(forecaster, alpha=levels)
    (found,) = session.run(["quantiles"], inputs(Y, 3))
    expected = forecaster.predict_quantiles(alpha=levels).to_numpy().reshape(found.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    if split is not None:  # nothing is known of the errors of another series
        (found,) = session.run(["quantiles"], inputs(Y, 3, series=-1))
        assert np.isnan(found).all()


def test_metadata_say_what_the_file_holds():
    y = pd.concat({"north": Y, "south": Y + 1}, names=["region", "time"]).to_frame()
    X = pd.DataFrame({"kind": ["b", "a", "c"] * 60, 7: np.arange(180.0)}, y.index)
    forecaster = GRUForecaster(**SMALL).fit(y, X)
    metadata = exported(forecaster).get_modelmeta().custom_metadata_map
    found = {name: json.loads(text) for name, text in metadata.items()}
    assert found["class"] == "GRUForecaster"
    assert found["parameters"]["hidden_size"] == 4
    assert found["versions"]["torch"] == version("torch")
    assert found["columns"] == ["load"]
    assert found["series"] == ["north", "south"]
    assert found["horizons"] == "any"
    assert found["X_numbers"] == [7]
    assert found["X_categories"] == {"kind": ["b", "a", "c"]}
    assert found["time"] == "seconds since 1970-01-01, as the clock shows them"
    assert found["frequency"] == "h"
    assert found["context"] == forecaster.fitted_.rows_before


def test_context_of_the_metadata_is_enough():
    y = make_hourly_load(n_series=1, n_hours=500, random_state=0).droplevel(0).iloc[:, 0]
    y.index.freq = "h"
    forecaster = GRUForecaster(**SMALL | {"sp": 24, "window_length": 50}).fit(y)
    session = exported(forecaster)
    n = json.loads(session.get_modelmeta().custom_metadata_map["context"])
    whole, enough = (session.run(None, inputs(part, 30))[0] for part in (y, y.iloc[-n:]))
    np.testing.assert_allclose(enough, whole, rtol=1e-6)


class Mine(nn.GRU):
    """A cell whose forward pass nobody knows."""


class OwnNormal(Normal):
    pass


class OwnLast(Last):
    name = "own"


REFUSED = {
    "cell": (RNNForecaster, {"cell": Mine}, r"cell=Mine is code of your own"),
    "relu": (
        RNNForecaster,
        {"cell": lambda *a, **kw: nn.RNN(*a, nonlinearity="relu", **kw)},
        r"cell=RNN is code of your own",
    ),
    "criterion": (GRUForecaster, {"criterion": OwnNormal()}, r"criterion=OwnNormal is code of"),
    "naive": (GRUForecaster, {"naive": ["last", OwnLast], "linear_lags": None}, r"naive=OwnLast"),
    "holidays": (GRUForecaster, {"holidays": "US"}, r"'US' is a country.*Pass the dates"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_operator_is_refused_before_anything_is_written(name, tmp_path):
    cls, options, message = REFUSED[name]
    forecaster = cls(**SMALL | options).fit(Y)
    path = tmp_path / "a.onnx"
    path.write_bytes(b"before")
    with pytest.raises(ValueError, match=message):
        forecaster.to_onnx(path)
    assert path.read_bytes() == b"before"
    assert [p.name for p in tmp_path.iterdir()] == ["a.onnx"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"criterion": "quantile"}, "simulated paths"),
        ({"criterion": "studentt", "strategy": "multioutput"}, "StudentT have no operator"),
        ({"criterion": "poisson", "strategy": "multioutput"}, "Poisson have no operator"),
    ],
)
def test_quantiles_that_are_no_formula_are_refused(options, message):
    forecaster = GRUForecaster(**SMALL | options).fit(Y.round(), fh=[1])
    with pytest.raises(ValueError, match=message):
        forecaster.to_onnx(io.BytesIO(), alpha=0.9)
    exported(forecaster)  # points are not


def test_half_months_are_refused():
    y = pd.Series(Y.to_numpy(), pd.date_range("2020", periods=len(Y), freq="SMS"))
    forecaster = GRUForecaster(**SMALL | {"linear_lags": None}).fit(y)
    with pytest.raises(ValueError, match="steps are of no fixed length"):
        forecaster.to_onnx(io.BytesIO())


def test_steps_below_a_second_are_refused():
    y = pd.Series(Y.to_numpy(), pd.date_range("2020", periods=len(Y), freq="100ms"))
    forecaster = GRUForecaster(**SMALL).fit(y)
    with pytest.raises(ValueError, match="no whole seconds"):
        forecaster.to_onnx(io.BytesIO())


def test_unfitted_forecaster_is_refused():
    with pytest.raises(NotFittedError):
        GRUForecaster().to_onnx(io.BytesIO())


def test_graph_that_forecasts_otherwise_is_not_written(forecaster, tmp_path, monkeypatch):
    path = tmp_path / "a.onnx"
    forecaster.to_onnx(path)
    before = path.read_bytes()
    other = GRUForecaster(**SMALL).fit(Y + np.arange(90)).fitted_
    graph = file_module.forecast_graph
    monkeypatch.setattr(file_module, "forecast_graph", lambda fitted, levels: graph(other, levels))
    with pytest.raises(RuntimeError, match=r"forecast of the exported graph.*differ by .*Nothing"):
        forecaster.to_onnx(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("path", [None, 5, b"a.onnx"])
def test_what_is_no_file_is_refused(forecaster, path):
    with pytest.raises(TypeError, match="to_onnx writes to a str, a path or"):
        forecaster.to_onnx(path)


def test_series_that_does_not_exist_is_an_error_of_the_runtime(forecaster):
    session = exported(forecaster)
    for number in (1, -2):
        with pytest.raises(Exception, match=r"out of|bounds"):
            session.run(None, inputs(Y, 1, series=number))


def test_too_few_rows_ahead_are_an_error_of_the_runtime():
    forecaster = GRUForecaster(strategy="multioutput", **SMALL).fit(Y, fh=[1, 4])
    session = exported(forecaster)
    assert session.run(None, inputs(Y, 4))[0].shape == (1, 2, 1)
    with pytest.raises(Exception, match=r"out of|bounds"):
        session.run(None, inputs(Y, 3))


def test_updated_and_loaded_forecasters_are_exported_from_their_own_end(tmp_path):
    y = Y.mask(np.arange(90) % 11 == 5)
    forecaster = GRUForecaster(**SMALL).fit(y[:70]).update(y[70:], update_params=False)
    skrnn.save(forecaster, tmp_path / "a.skrnn")
    loaded = skrnn.load(tmp_path / "a.skrnn")
    expected = forecaster.predict(fh=[1, 2, 3]).to_numpy()
    for each in (forecaster, loaded):
        (found,) = exported(each).run(None, inputs(y, 3))
        np.testing.assert_allclose(found.ravel(), expected, rtol=1e-6)


def test_defaults_take_less_than_half_a_megabyte(tmp_path):
    y = make_hourly_load(n_series=1, n_hours=400, random_state=0).droplevel(0)
    forecaster = GRUForecaster(strategy="multioutput", num_epochs=0).fit(y, fh=range(1, 25))
    forecaster.to_onnx(tmp_path / "a.onnx")
    assert (tmp_path / "a.onnx").stat().st_size < 500_000


SNIPPET = """
import sys
from importlib.metadata import version
import numpy as np
import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
inputs = dict(np.load(sys.argv[2]))
(forecast,) = session.run(["forecast"], inputs)
print(*forecast.ravel())
assert not {"torch", "sktime", "pandas", "skrnn"} & set(sys.modules)
"""


def test_file_forecasts_with_numpy_and_onnxruntime_alone(forecaster, tmp_path):
    forecaster.to_onnx(tmp_path / "a.onnx")
    np.savez(tmp_path / "a.npz", **inputs(Y, 3))
    command = [sys.executable, "-c", SNIPPET, tmp_path / "a.onnx", tmp_path / "a.npz"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = np.array(done.stdout.split(), dtype=float)
    np.testing.assert_allclose(found, forecaster.predict(fh=[1, 2, 3]), rtol=1e-6)


def test_panel_of_many_series_is_forecast_in_any_order_and_number():
    parts = {k: Y * k + k for k in range(1, 30)}
    y = pd.concat(parts, names=["id", "time"]).to_frame()
    forecaster = GRUForecaster(**SMALL).fit(y)
    session = exported(forecaster)
    expected = forecaster.predict(fh=[1, 2]).to_numpy().reshape(29, 2, 1)
    for series in (np.array([28, 0, 7]), np.arange(29), np.array([3, 3])):
        given = inputs_of(forecaster.fitted_.panel, series, np.zeros((29, 2, 0)))
        (found,) = session.run(None, given)
        np.testing.assert_allclose(found, expected[series], rtol=1e-6)


def test_level_shift_is_that_of_the_series_and_of_no_other():
    rng, t = np.random.default_rng(0), np.arange(300)
    y = pd.Series(np.sin(t / 4) + 0.1 * rng.normal(size=300) + 30.0 * (t >= 290))
    forecaster = GRUForecaster(**SMALL | {"sp": 24}).fit(y)
    assert forecaster.fitted_.model.level_shift is not None
    session = exported(forecaster)
    time = np.arange(303)[None]
    given = {"y": y.to_numpy().reshape(1, -1, 1), "time": time, "series": np.array([0])}
    (found,) = session.run(None, given)
    np.testing.assert_allclose(found.ravel(), forecaster.predict(fh=[1, 2, 3]), rtol=1e-6)
    # A context that ends before the shift is forecast on the level that it had.
    before = {"y": given["y"][:, :280], "time": time[:, :290], "series": np.array([0])}
    assert np.abs(session.run(None, before)[0]).max() < 5
    # Another series has none: its rows, which are moved by it above, stay as they are.
    (other,) = session.run(None, given | {"series": np.array([-1])})
    assert np.abs(other - found).max() > 1
