"""The service of examples/serve forecasts what the forecaster does, and refuses in sentences."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skrnn import GRUForecaster
from skrnn.datasets import make_hourly_load

pytest.importorskip("fastapi")
# The newest test client needs Python 3.11, and earlier ones the package before it.
pytest.importorskip("httpx2" if sys.version_info >= (3, 11) else "httpx")
from fastapi.testclient import TestClient

pytestmark = pytest.mark.usefixtures("one_thread")

SERVE = Path(__file__).parents[1] / "examples" / "serve"
JSON = {"content-type": "application/json"}
SMALL = {"hidden_size": 4, "num_epochs": 1, "window_length": 24, "random_state": 0}


def module(name):
    spec = importlib.util.spec_from_file_location(f"serve_{name}", SERVE / f"{name}.py")
    result = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = result
    spec.loader.exec_module(result)
    return result


def client_of(forecaster, folder, **kwargs):
    path = folder / "model.onnx"
    forecaster.to_onnx(path, **kwargs)
    return TestClient(module("app").create_app(str(path)))


def stamps(index):
    return [str(stamp) for stamp in index.strftime("%Y-%m-%dT%H:%M")]


@pytest.fixture(scope="module")
def load():
    return make_hourly_load(n_series=1, n_hours=700, random_state=0).droplevel(0)["load_mw"]


@pytest.fixture(scope="module")
def hourly(load, tmp_path_factory):
    """A service of one hourly series, and its forecaster."""
    forecaster = GRUForecaster(**SMALL).fit(load)
    return client_of(forecaster, tmp_path_factory.mktemp("hourly")), forecaster


@pytest.fixture(scope="module")
def regions(tmp_path_factory):
    """A service of two series with X, all horizons at once and quantiles; forecaster, y and X."""
    days = pd.date_range("2024-01-01", periods=128, freq="D")
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_product([["north", "south"], days], names=["region", "day"])
    X = pd.DataFrame(
        {
            "price": rng.normal(size=256),
            "sky": rng.choice(["sun", "rain"], 256),
            "visits": rng.normal(size=256),
        },
        index,
    )
    y = pd.DataFrame({"sold": rng.normal(size=256) + np.repeat([10, 1_000], 128)}, index)
    is_known = index.get_level_values(1) < days[-8]
    params = SMALL | {"strategy": "multioutput", "num_epochs": 2, "validation_split": 0.3}
    forecaster = GRUForecaster(**params, past_covariates=["visits"])
    forecaster.fit(y[is_known], X=X[is_known], fh=[1, 2, 8])
    folder = tmp_path_factory.mktemp("regions")
    return client_of(forecaster, folder, alpha=[0.1, 0.9]), forecaster, y[is_known], X


def of_regions(y, X, name):
    rows, X = y.loc[name, "sold"], X.loc[name]
    return {
        "name": name,
        "time": stamps(rows.index),
        "values": rows.tolist(),
        "X": {
            "price": X["price"].tolist(),
            "sky": X["sky"].tolist(),
            "visits": X["visits"].tolist()[: len(rows)],
        },
    }


def test_one_series_is_forecast_as_by_the_forecaster(hourly, load):
    client, forecaster = hourly
    series = {"time": stamps(load.index), "values": load.tolist()}
    answer = client.post("/forecast", json={"horizon": 30, "series": series})
    assert answer.status_code == 200
    (forecast,) = answer.json()["forecasts"]
    expected = forecaster.predict(fh=range(1, 31))
    np.testing.assert_allclose(np.array(forecast["values"])[:, 0], expected, rtol=1e-5)
    assert pd.DatetimeIndex(forecast["time"]).equals(pd.DatetimeIndex(expected.index))


def test_missing_values_are_null(load, tmp_path):
    values = load.copy()
    values.iloc[-5:-2] = np.nan
    forecaster = GRUForecaster(**SMALL).fit(load[:-5])
    client = client_of(forecaster, tmp_path)
    expected = forecaster.update(values[-5:], update_params=False).predict(fh=[1, 2, 3])
    series = {
        "time": stamps(load.index),
        "values": [None if np.isnan(v) else v for v in values],
    }
    answer = client.post("/forecast", json={"horizon": 3, "series": series}).json()
    found = np.array(answer["forecasts"][0]["values"])[:, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_several_series_are_forecast_at_once_with_quantiles(regions):
    client, forecaster, y, X = regions
    both = [of_regions(y, X, name) for name in ("south", "north")]
    answer = client.post("/forecast", json={"series": both})
    assert answer.status_code == 200, answer.json()
    ahead = X[X.index.get_level_values(1) > y.index.get_level_values(1).max()]
    ahead = ahead.drop(columns="visits")
    expected = forecaster.predict(X=ahead)
    quantiles = forecaster.predict_quantiles(X=ahead, alpha=[0.1, 0.9])
    for forecast in answer.json()["forecasts"]:
        name = forecast["name"]
        np.testing.assert_allclose(forecast["values"], expected.loc[name], rtol=1e-5)
        for level in (0.1, 0.9):
            np.testing.assert_allclose(
                np.array(forecast["quantiles"][str(level)])[:, 0],
                quantiles.loc[name][("sold", level)],
                rtol=1e-5,
            )
    assert [forecast["name"] for forecast in answer.json()["forecasts"]] == ["south", "north"]


def test_a_shorter_series_in_a_batch_is_forecast_as_alone(regions):
    client, _, y, X = regions
    long, short = (of_regions(y, X, name) for name in ("north", "south"))
    for key in ("time", "values"):
        short[key] = short[key][-40:]
    short["X"] = {
        name: column[-40 if name == "visits" else -48 :] for name, column in short["X"].items()
    }
    together = client.post("/forecast", json={"series": [long, short]}).json()["forecasts"][1]
    alone = client.post("/forecast", json={"series": short}).json()["forecasts"][0]
    np.testing.assert_allclose(together["values"], alone["values"], rtol=1e-5)


def test_health_says_what_is_forecast(regions):
    health = regions[0].get("/health").json()
    assert health["status"] == "ok"
    assert (health["columns"], health["horizons"]) == (["sold"], [1, 2, 8])


def hours(n=300, **changes):
    series = {
        "time": stamps(pd.date_range("2024-01-01", periods=n, freq="h")),
        "values": np.arange(float(n)).tolist(),
    }
    return {"horizon": 2, "series": series | changes}


BAD = {
    "no JSON": ("{", "must be JSON, but at character 1: Expecting property name"),
    "no series": ({"horizon": 1}, "at series: Field required"),
    "a misspelt name": (hours(value=[1.0]), "at series.value: Extra inputs"),
    "text for a value": (hours(values=["high"]), "at series.values.0"),
    "no row": (hours(values=[]), "at series.values: List should have at least 1 item"),
    "horizon 0": (hours() | {"horizon": 0}, "at horizon: Input should be greater"),
    "horizon too far": (hours() | {"horizon": 10**6}, "at horizon: Input should be less"),
    "no horizon": ({"series": hours()["series"]}, "must have a horizon"),
    "no series in the list": (hours() | {"series": []}, "must hold 1 to 1000 series"),
    "two columns": (hours(values=[[1.0, 2.0]] * 300), "must hold 1 values, of the columns"),
    "ragged rows": (hours(values=[1.0, [1.0, 2.0]]), "must hold 1 values, of the columns"),
    "nothing but nulls": (hours(values=[None] * 300), "all are missing"),
    "fewer stamps than rows": (hours(values=[1.0] * 301), "each of 301 rows"),
    "descending": (hours(time=hours()["series"]["time"][::-1]), "must ascend"),
    "a gap": (
        hours(time=[*hours()["series"]["time"][:-1], "2025-01-01T00:00"]),
        "differ in length",
    ),
    "no dates": (hours(time=["yesterday"] * 300), "ISO dates, such as"),
    "integers for dates": (hours(time=list(range(300))), "ISO dates, such as"),
    "a time zone": (hours(time=["2024-01-01T00:00Z"] * 300), "without a time zone"),
    "an unknown name": (hours(name="north"), "one series without a name"),
    "unknown X": (hours(X={"price": [1.0] * 302}), "must have the columns []"),
}


@pytest.mark.parametrize(("body", "words"), BAD.values(), ids=BAD)
def test_bad_requests_are_refused_in_a_sentence(hourly, body, words):
    body = body if isinstance(body, str) else json.dumps(body)
    answer = hourly[0].post("/forecast", content=body, headers=JSON)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "west"}, "Series 'west' was not in fit, which knows ['north', 'south']"),
        ({"X": {}}, "must have the columns ['visits', 'price', 'sky']"),
        ({"sky": ["fog"] * 128}, "Column 'sky' of X must hold categories of fit"),
        ({"price": [None] * 128}, "Column 'price' of X must hold numbers, none of them missing"),
        ({"price": ["a"] * 128}, "Column 'price' of X must hold numbers, none of them missing"),
        ({"price": [1.0]}, "Column 'price' of X of series 'north' must hold 128 values"),
    ],
)
def test_bad_names_and_X_are_refused(regions, change, words):
    client, _, y, X = regions
    series = of_regions(y, X, "north")
    known = {key for key in change if key in series}
    series |= {key: change[key] for key in known}
    series["X"] = series["X"] | {key: change[key] for key in change if key not in known}
    answer = client.post("/forecast", json={"series": series})
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


def test_the_load_test_counts_unexpected_answers(hourly, monkeypatch):
    test = module("load_test")
    statuses = {body: 200 for body in test.BAD}  # as if bad requests were accepted
    monkeypatch.setattr(test, "ask", lambda connection, path, body: statuses.get(body, 200))
    seconds, wrong = test.latencies(0, test.mixed([b"good"] * 4), rate=1_000, seconds=0.016)
    assert (len(seconds), wrong) == (16, 8)
    body = test.question(0)
    assert hourly[0].post("/forecast", content=body, headers=JSON).status_code == 200
    for bad in test.BAD:
        assert hourly[0].post("/forecast", content=bad, headers=JSON).status_code == 422
