from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import torch

from skrnn.data.missing import fill_missing
from skrnn.data.scaling import SCALERS, Scaler
from skrnn.export.context import _filled, _trailing_mean
from skrnn.export.graph import DOUBLE, FLOAT, INT, Graph
from skrnn.export.scales import Scales
from skrnn.features.means import trailing_means

S, R, C = 3, 40, 2


def run(graph, result, **inputs):
    graph.output("result", result, ("series", "rows", "columns"))
    session = onnxruntime.InferenceSession(graph.model({}).SerializeToString())
    return session.run(None, inputs)[0]


def values_with_gaps(share=0.3, long=12):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(S, R, C)).cumsum(1)
    values[rng.random(values.shape) < share] = np.nan
    values[0, 20 : 20 + long] = np.nan
    values[1, :15, 1] = np.nan  # a column that begins later
    values[2, :, 0] = np.nan  # and one without values
    return values


@pytest.mark.parametrize("periods", [(), (4,), (3, 7)])
def test_gaps_are_filled_as_in_the_panel(periods):
    values = values_with_gaps()
    known = ~np.isnan(values)
    graph = Graph()
    raw = graph.input("raw", DOUBLE, (S, R, C))
    row = graph.constant(np.arange(R))
    found = run(graph, _filled(raw, ~raw.is_nan(), row, raw.shape(1), periods), raw=values)
    expected = fill_missing(
        values.reshape(-1, C), known.reshape(-1, C), R * np.arange(S + 1), periods
    )
    np.testing.assert_allclose(found, expected.reshape(values.shape), rtol=1e-12)


@pytest.mark.parametrize("period", [1, 2, 7, 24, 100])
def test_trailing_means_are_those_of_the_panel(period):
    values = np.random.default_rng(0).normal(size=(S, R, C)).astype(FLOAT)
    values[0, 20] = 1e9  # which no later mean may carry along
    graph = Graph()
    x, n_rows = graph.input("x", FLOAT, (S, R, C)), np.tile(np.arange(1, R + 1), (S, 1))
    found = run(graph, _trailing_mean(x, graph.constant(n_rows), period), x=values)
    flat = torch.from_numpy(values.reshape(-1, C)), torch.from_numpy(n_rows.ravel())
    np.testing.assert_allclose(found.reshape(-1, C), trailing_means(*flat, period), rtol=1e-6)


@pytest.mark.parametrize("kind", SCALERS)
@pytest.mark.parametrize("is_centered", [True, False])
def test_series_that_was_not_fitted_is_scaled_by_its_own_statistics(kind, is_centered):
    values = values_with_gaps()[:2] * 1e3
    values[1, :, 0] = np.where(np.isnan(values[1, :, 0]), np.nan, 5.0)  # a constant
    values = np.concatenate([values, 1e200 * values, 1e-200 * values])
    n = len(values)
    expected = Scaler(kind, is_centered).fit(values.reshape(-1, C), np.repeat(np.arange(n), R))
    scaler = Scaler(kind, is_centered)
    scaler.center_, scaler.scale_ = np.full((1, C), 7.0), np.full((1, C), 8.0)
    model = SimpleNamespace(scaler=scaler, level_shift=None, columns=range(C))
    fitted = SimpleNamespace(model=model, forecast_range=None)
    for statistic in ("center", "scale"):
        graph = Graph()
        raw, series = graph.input("raw", DOUBLE, (n, R, C)), graph.input("series", INT, (n,))
        result = getattr(Scales(series, raw, fitted), statistic)
        numbers = np.array([-1, -1, -1, 0, -1, -1])
        found = run(graph, result, raw=values, series=numbers)[:, 0]
        new = numbers < 0
        wanted = getattr(expected, f"{statistic}_")
        np.testing.assert_allclose(found[new][:3], wanted[new][:3], rtol=1e-9, atol=1e-9)
        assert (found[~new] == {"center": 7, "scale": 8}[statistic]).all()
