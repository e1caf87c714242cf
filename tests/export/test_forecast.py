"""Forecasts of exported graphs, of settings and data drawn at random, equal those of `predict`.

``SKRNN_EXPORTS=200 pytest tests/export/test_forecast.py`` draws 200.
"""

import io
import os
from dataclasses import replace

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from torch import nn

from skrnn import GRUForecaster, LSTMForecaster, RNNForecaster
from skrnn.data.scaling import Scaler
from skrnn.export.check import inputs_of

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning"),
]

N_DRAWN = int(os.environ.get("SKRNN_EXPORTS", "20"))
INDEXES = {
    "range": lambda n: pd.RangeIndex(5, 5 + 3 * n, 3),
    "integers": lambda n: pd.Index(np.arange(n) - 7),
    "half hours": lambda n: pd.date_range("2024-02-27 13:30", periods=n, freq="30min"),
    "hours": lambda n: pd.date_range("2023-12-30", periods=n, freq="h"),
    "hours of a zone": lambda n: pd.date_range("2024-03-29", periods=n, freq="h", tz="Europe/Rome"),
    "days": lambda n: pd.date_range("2024-02-01", periods=n, freq="D"),
    "days of a zone": lambda n: pd.date_range(
        "2024-01-01", periods=n, freq="D", tz="America/New_York"
    ),
    "business days": lambda n: pd.date_range("2024-01-03", periods=n, freq="B"),
    "weeks": lambda n: pd.date_range("2020-01-01", periods=n, freq="W"),
    "months": lambda n: pd.period_range("1999-03", periods=n, freq="M"),
    "quarters": lambda n: pd.date_range("1960-02-01", periods=n, freq="QE"),
    "years": lambda n: pd.date_range("1801", periods=n, freq="YS"),
}


class Draw:
    """Settings and data of one forecaster."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.kind = self.one(*INDEXES)
        self.horizon = int(self.rng.integers(1, 10))
        self.strategy = self.one("recursive", "multioutput")
        self.criterion = self.one(
            "mae", "mae", "mse", "normal", "studentt", "quantile", "poisson", "negbinomial"
        )
        self.of_counts = self.criterion in ("poisson", "negbinomial")
        self.columns = [c for c in ("number", "kind", "past") if self.rng.random() < 0.35]
        if self.of_counts and self.strategy == "recursive" and "past" in self.columns:
            self.columns.remove("past")  # they are no counts
        self.gaps = self.one(0, 0, 0.05, 0.3)
        self.n_series, self.n_columns = self.one(1, 1, 2, 5), self.one(1, 1, 2, 3)
        self.length = int(self.rng.integers(40, 110))

    def one(self, *options):
        return options[self.rng.integers(len(options))]

    def data(self):
        parts = [self.series(s) for s in range(self.n_series)]
        if self.n_series == 1:
            y, X = parts[0]
        else:
            y, X = (
                pd.concat(dict(enumerate(part)), names=["id", "t"])
                for part in zip(*parts, strict=True)
            )
        return y, X[self.columns] if self.columns else None

    def series(self, s):
        """One series; all but the first begin later and end earlier."""
        rng, n = self.rng, self.length + self.horizon
        t, index = np.arange(n), INDEXES[self.kind](n)
        wave = np.sin(2 * np.pi * t[:, None] / self.one(7, 12, 24))
        noise = rng.normal(size=(n, self.n_columns))
        values = 10 ** rng.uniform(-3, 4) * (3 + wave + 0.1 * noise.cumsum(0) + 0.2 * noise)
        if self.of_counts:
            values = rng.poisson(5 * np.abs(values) / np.abs(values).mean()).astype(float)
        else:
            values += self.one(0, 0, 1e6)
        y = pd.DataFrame(values, index, columns=[f"c{k}" for k in range(self.n_columns)])
        y = y.iloc[
            int(rng.integers(0, 10)) * (s > 0) : self.length - int(rng.integers(9)) * (s > 0)
        ]
        mask = rng.random(y.shape) < self.gaps
        mask[:2] = False
        y = y.mask(mask)
        if self.gaps and rng.random() < 0.5:
            y.iloc[-4:-1] = np.nan  # a longer gap
        X = pd.DataFrame(
            {
                "number": rng.normal(5, 100, n),
                "kind": rng.choice(list("abc"), n),
                "past": np.where(rng.random(n) < self.gaps, np.nan, rng.normal(size=n).cumsum()),
            },
            index,
        )
        return y, X

    def forecaster(self):
        rng, has_dates = self.rng, self.kind not in ("range", "integers")
        patch_length = self.one(1, 1, 2, 4) if self.strategy == "multioutput" else 1
        options = {
            "strategy": self.strategy,
            "criterion": self.criterion,
            "window_length": patch_length * int(rng.integers(1, 12)),
            "patch_length": patch_length,
            "hidden_size": int(rng.integers(1, 9)),
            "num_layers": self.one(1, 1, 2, 3),
            "sp": self.one("auto", "auto", None, 7, [4, 12], 1),
            "lags": self.one("auto", "auto", None, [2, 5], 3),
            "scaler": self.one("standard", "minmax", "robust", None),
            "naive": self.one(
                "auto", "auto", None, ["last"], ["seasonal"], ["mean", "drift"],
                ["averaged", "leveled"], ["shifted", "last"],
            ),
            "linear_lags": self.one("auto", "auto", None, [1, 2, 7]),
            "supervision": self.one("dense", "dense", "last"),
            "forecast_range": self.one("auto", None, (0, None), (None, 1)),
            "num_epochs": self.one(0, 1),
            "lr": self.one(4e-3, 0.1),
            "random_state": 0,
        }  # fmt: skip
        if self.criterion == "quantile":
            options["quantiles"] = self.one([0.1, 0.5, 0.9], [0.2, 0.8], [0.05, 0.6, 0.9])
        if "past" in self.columns:
            options["past_covariates"] = ["past"]
        if has_dates and rng.random() < 0.4:
            options["holidays"] = ["1999-05-01", "2024-02-29", "2024-03-04", "2023-12-31"]
        if has_dates and rng.random() < 0.4:
            options["calendar"] = self.one(["hour", "dayofyear"], ["dayofweek"], None)
        cls = self.one(
            GRUForecaster, LSTMForecaster, lambda **kw: RNNForecaster(cell="rnn", **kw),
            lambda **kw: RNNForecaster(cell=nn.LSTM, **kw),
        )  # fmt: skip
        return cls(**options)


def forecasts(fitted, draw, n_rows, is_new):
    """What the graph is given from a context of so many rows, and what the model forecasts."""
    rng, panel = draw.rng, fitted.panel.tail(n_rows)
    panel = replace(panel, values=panel.raw()).trim_leading_missing()
    model, options = fitted.model, {}
    if is_new:
        # As `fit` with num_epochs=0 would do with this context.
        scaler = Scaler(model.scaler.kind, model.scaler.is_centered)
        scaler = scaler.fit(panel.raw(), panel.series_of_rows())
        options["model"] = replace(model, scaler=scaler, level_shift=None)
    reference = replace(fitted, panel=panel.filled(model.features.seasons), **options)
    if not is_new:
        vars(reference)["bounds"] = fitted.bounds
    extra = 0 if draw.strategy == "multioutput" else int(rng.integers(0, 30))
    steps = np.arange(1, draw.horizon + extra + 1)
    known = rng.normal(scale=50, size=(panel.n_series, steps[-1], panel.known.shape[1]))
    known[..., ~panel.covariates.numbers] = rng.integers(0, 2)
    series = rng.permutation(panel.n_series)[: rng.integers(1, panel.n_series + 1)]
    extended = reference.panel.extended(int(steps[-1]), known)
    distribution, parameters = reference.forecast_from(
        extended, series, panel.lengths[series], steps
    )
    inputs = inputs_of(panel, series, known)
    if is_new:
        inputs["series"] = np.full_like(series, -1)
    scale = reference.model.scaler.scale_[series][:, None, : draw.n_columns]
    return inputs, distribution.point(parameters), scale


@pytest.mark.parametrize("seed", range(N_DRAWN))
def test_graph_forecasts_what_the_forecaster_does_from_any_context(seed):
    draw = Draw(seed)
    y, X = draw.data()
    forecaster = draw.forecaster().fit(y, X, fh=range(1, draw.horizon + 1))
    file = io.BytesIO()
    forecaster.to_onnx(file)
    session = onnxruntime.InferenceSession(file.getvalue())
    fitted, n_rows = forecaster.fitted_, [10**6, *draw.rng.integers(12, 60, 2)]
    for n, is_new in zip(n_rows, (False, False, True), strict=True):
        try:
            inputs, expected, scale = forecasts(fitted, draw, n, is_new)
        except ValueError:  # no observation in so few rows
            continue
        (found,) = session.run(["forecast"], inputs)
        assert found.shape == expected.shape
        unit = np.maximum(np.abs(expected).max(axis=1, keepdims=True), scale)
        assert np.max(np.abs(found - expected) / unit) < 1e-5


def test_graph_forecasts_what_predict_does():
    draw = Draw(0)
    draw.kind, draw.strategy, draw.n_series, draw.columns = "hours", "recursive", 2, ["number"]
    y, X = draw.data()
    forecaster = draw.forecaster().set_params(scaler="standard").fit(y, X)
    file = io.BytesIO()
    forecaster.to_onnx(file)
    session = onnxruntime.InferenceSession(file.getvalue())
    rows = [y.loc[s] for s in (0, 1)]
    ahead = 5
    length = max(map(len, rows))
    values = np.full((2, length, y.shape[1]), np.nan)
    time = np.empty((2, length + ahead), dtype=np.int64)
    X_ahead, numbers = [], np.zeros((2, length + ahead, 1))
    for s, one in enumerate(rows):
        values[s, length - len(one) :] = one
        stamps = pd.date_range(end=one.index[-1], periods=length, freq="h")
        stamps = stamps.union(pd.date_range(one.index[-1], periods=ahead + 1, freq="h"))
        time[s] = stamps.to_numpy().astype("datetime64[s]").astype(np.int64)
        of_series = X.loc[s].reindex(stamps).fillna(0.5)
        numbers[s] = of_series
        X_ahead.append(of_series)
    inputs = {"y": values, "time": time, "X_numbers": numbers, "series": np.array([0, 1])}
    (found,) = session.run(["forecast"], inputs)
    X = pd.concat(dict(enumerate(X_ahead)), names=["id", "t"])
    expected = forecaster.predict(fh=range(1, ahead + 1), X=X).to_numpy().reshape(found.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
