"""Streams: after the same rows, their forecasts are those of the forecaster."""

import pickle
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sktime.exceptions import NotFittedError
from sktime.forecasting.naive import NaiveForecaster

import skrnn
from skrnn import GRUForecaster, LSTMForecaster, Stream

pytestmark = pytest.mark.usefixtures("one_thread")

WINDOW, N, FH, ALPHA = 12, 150, [1, 2, 5], [0.9, 0.1, 0.5]
SMALL = {
    "hidden_size": 5,
    "num_epochs": 3,
    "lr": 0.05,
    "window_length": WINDOW,
    "sp": 4,
    "random_state": 0,
}
HELD_OUT = SMALL | {"validation_split": 0.3}
AT_ONCE = {"strategy": "multioutput"}
# Differences of forecasts in float32, as a share of the scale of the series.
PRECISION = 1e-6


def waves(n=N, n_columns=1, seed=0, freq="D"):
    """Rows of random walks with a season of four steps."""
    rng = np.random.default_rng(seed)
    values = 0.3 * rng.normal(size=(n, n_columns)).cumsum(0) + rng.normal(size=(n, n_columns))
    values += 2 * np.sin(np.arange(n) * np.pi / 2)[:, None]
    index = pd.date_range("2024-01-01", periods=n, freq=freq)
    return pd.DataFrame(values, index, columns=[f"y{c}" for c in range(n_columns)])


def with_gaps(y):
    values = y.copy()
    for start, stop in [(20, 22), (70, 71), (105, 118), (125, 127)]:
        values.iloc[start:stop, 0] = np.nan
    return values


def covariates(index):
    rng = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "price": rng.normal(size=len(index)),
            "weather": rng.choice(["sun", "rain", "snow"], len(index)),
            "visits": rng.normal(size=len(index)),
        },
        index,
    )


def assert_same(stream, forecaster, fh=FH, alpha=None, X=None, of_stream=None):
    """Point forecasts and quantiles agree, and so do index and columns."""
    scale = forecaster.scaler_.scale_.max()
    expected = forecaster.predict(fh=fh, X=X)
    expected = expected.to_frame() if isinstance(expected, pd.Series) else expected
    forecast = stream.predict(fh, X=X if of_stream is None else of_stream, as_frame=True)
    pd.testing.assert_index_equal(forecast.index, expected.index)
    np.testing.assert_allclose(forecast, expected, atol=PRECISION * scale, rtol=0)
    if alpha is not None:
        expected = forecaster.predict_quantiles(fh=fh, X=X, alpha=alpha)
        quantiles = stream.predict_quantiles(X=X if of_stream is None else of_stream, as_frame=True)
        pd.testing.assert_index_equal(quantiles.columns, expected.columns)
        np.testing.assert_allclose(quantiles, expected, atol=PRECISION * scale, rtol=0)


KINDS = {
    "recursive": (GRUForecaster, HELD_OUT),
    "multioutput": (GRUForecaster, HELD_OUT | AT_ONCE),
    "rows held out, then trained on": (
        GRUForecaster,
        SMALL | {"num_epochs": "auto", "validation_split": "auto", "hidden_size": 3},
    ),
    "two layers of LSTM, quantiles": (
        LSTMForecaster,
        HELD_OUT | AT_ONCE | {"criterion": "quantile", "num_layers": 2},
    ),
    "windows of one length": (GRUForecaster, HELD_OUT | {"supervision": "last"}),
    "patches": (GRUForecaster, HELD_OUT | AT_ONCE | {"patch_length": 2}),
    "window of one step": (GRUForecaster, HELD_OUT | {"window_length": 1}),
    "distribution that is not calibrated": (
        GRUForecaster,
        SMALL | {"criterion": "studentt", "n_samples": 7, "validation_split": None},
    ),
}


@pytest.mark.parametrize(("cls", "params"), KINDS.values(), ids=KINDS)
def test_forecasts_are_those_of_the_forecaster(cls, params):
    y = waves()
    forecaster = cls(**params).fit(y[:90], fh=FH)
    stream = Stream(forecaster, alpha=ALPHA)
    for k in range(90, N):  # over several starts of runs
        stream.update(y.iloc[k, 0])
        forecaster.update(y.iloc[k : k + 1], update_params=False)
        if k % 10 == 0:
            assert_same(stream, forecaster, alpha=ALPHA)


def test_runs_are_long_enough_to_matter():
    """The state carried along changes the forecast: otherwise the tests above see nothing."""
    y = waves()
    stream = Stream(GRUForecaster(**HELD_OUT).fit(y[:90]), FH)
    for value in y.iloc[90:100, 0]:
        stream.update(value)
    before = stream.predict()
    carried = stream._stream.model
    carried.state = tuple(0 * part for part in carried.state)
    assert np.abs(stream.predict() - before).max() > 1e-3


@pytest.mark.parametrize("params", [HELD_OUT, HELD_OUT | AT_ONCE], ids=["recursive", "multioutput"])
def test_gaps_are_filled_as_the_forecaster_fills_them(params):
    y = with_gaps(waves(n_columns=2))
    forecaster = GRUForecaster(**params).fit(y[:90], fh=FH)
    stream = Stream(forecaster, alpha=ALPHA)
    for k in range(90, 135):
        stream.update(y.iloc[k])
        forecaster.update(y.iloc[k : k + 1], update_params=False)
        if k > 103 and k % 3 == 0:
            assert_same(stream, forecaster, alpha=ALPHA if k % 9 == 0 else None)


@pytest.mark.parametrize("params", [HELD_OUT, HELD_OUT | AT_ONCE], ids=["recursive", "multioutput"])
def test_covariates_come_with_their_row_and_ahead(params):
    y = waves()
    X = covariates(y.index)
    forecaster = GRUForecaster(**params, past_covariates=["visits"]).fit(y[:90], X=X[:90], fh=FH)
    stream = Stream(forecaster, alpha=ALPHA)
    for k in range(90, 120):
        row = X.iloc[k] if k % 2 else X.iloc[k : k + 1]
        stream.update(y.iloc[k], X=row)
        forecaster.update(y.iloc[k : k + 1], X=X.iloc[k : k + 1], update_params=False)
        if k % 13 == 0:
            ahead = X.iloc[k + 1 : k + 6].drop(columns="visits")
            assert_same(stream, forecaster, alpha=ALPHA, X=ahead)
            assert_same(stream, forecaster, X=ahead, of_stream=ahead.to_numpy())


def panel():
    """Three series of different lengths and scales."""
    parts = {"a": waves(seed=1), "b": 100 * waves(seed=2)[40:], "c": waves(seed=3)[80:] - 50}
    return pd.concat(parts, names=["series", "day"])


@pytest.mark.parametrize("params", [HELD_OUT, HELD_OUT | AT_ONCE], ids=["recursive", "multioutput"])
def test_series_of_a_panel_get_rows_together_or_alone(params):
    y = panel()
    days = waves().index
    forecaster = GRUForecaster(**params).fit(y[y.index.get_level_values(1) < days[100]], fh=FH)
    stream = Stream(forecaster, alpha=ALPHA)
    assert stream.series.tolist() == ["a", "b", "c"]
    for k in range(100, 140):
        rows = y.xs(days[k], level=1, drop_level=False)
        stream.update(rows)
        forecaster.update(rows, update_params=False)
        if k % 8 == 0:
            assert_same(stream, forecaster, alpha=ALPHA)
    for k, names in [(140, ["c", "a"]), (141, ["c"]), (142, ["c"])]:
        rows = y.xs(days[k], level=1, drop_level=False).loc[names]
        stream.update(rows, series=names)
        forecaster.update(rows.sort_index(), update_params=False)
        assert_same(stream, forecaster, alpha=ALPHA)
    assert stream.cutoff.get_level_values(1).tolist() == [days[140], days[139], days[142]]


@settings(max_examples=6, deadline=None)
@given(
    seed=st.integers(0, 1_000),
    freq=st.sampled_from(["h", "B", "MS", "15min"]),
    share_missing=st.sampled_from([0.0, 0.3]),
    shortest=st.sampled_from([6, 40]),
    gain=st.sampled_from([1e-6, 1.0, 1e6]),
)
def test_forecasts_are_those_of_the_forecaster_on_drawn_data(
    seed, freq, share_missing, shortest, gain
):
    rng = np.random.default_rng(seed)
    y = gain * waves(80, seed=seed, freq=freq)
    y[(rng.random(y.shape) < share_missing) & (np.arange(80)[:, None] >= 6)] = np.nan
    fitted = GRUForecaster(**SMALL, calendar=None, validation_split=None).fit(y[:shortest])
    stream = Stream(fitted, fh=[1, 3])
    for k in range(shortest, 80):
        stream.update(y.iloc[k, 0])
        if k in (shortest, 57, 79):
            fitted.update(y[: k + 1], update_params=False)
            assert_same(stream, fitted, fh=[1, 3])


def test_blocks_slide_and_forecasts_stay(monkeypatch):
    """The latest rows are moved many times, and rows before the context are dropped."""
    monkeypatch.setattr("skrnn.data.latest_rows.FEWEST_SPARE_ROWS", 3)
    monkeypatch.setattr("skrnn.data.latest_rows.MOST_SPARE_ROWS", 3)
    y = with_gaps(waves(250))
    params = HELD_OUT | {"validation_split": 0.2, "linear_lags": 3}
    forecaster = GRUForecaster(**params).fit(y[:60], fh=[1, 2])
    stream = Stream(forecaster, alpha=ALPHA)
    for k in range(60, 250):
        stream.update(y.iloc[k, 0])
    forecaster.update(y[60:], update_params=False)
    assert_same(stream, forecaster, fh=[1, 2], alpha=ALPHA)
    assert stream.context < 190
    assert stream._stream.latest.capacity <= stream.context + 3 + 2


def test_what_a_stream_holds_does_not_grow(monkeypatch):
    monkeypatch.setattr("skrnn.data.latest_rows.MOST_SPARE_ROWS", 64)
    y = waves(400).iloc[:, 0].to_numpy()
    forecaster = GRUForecaster(**HELD_OUT).fit(pd.Series(y[:90]))
    stream = Stream(forecaster, 1, ALPHA)
    sizes = []
    for n in (200, 600):
        for k in range(n):
            stream.update(y[k % 400])
        stream.predict()
        sizes.append(len(pickle.dumps(stream)))
    assert sizes[1] == pytest.approx(sizes[0], rel=0.05)
    assert forecaster.cutoff[0] == 89  # and the forecaster is as it was


# ------------------------------------------------------------------------- there and back


@pytest.fixture(scope="module")
def fitted():
    return GRUForecaster(**HELD_OUT).fit(waves()[:90], fh=FH)


def test_a_forecaster_of_the_stream_goes_on(fitted):
    y = waves()
    stream = Stream(fitted, alpha=ALPHA, remember=True)
    for value in y.iloc[90:120, 0]:
        stream.update(value)
    forecaster = stream.forecaster()
    assert forecaster.cutoff[0] == y.index[119]
    assert_same(stream, forecaster, alpha=ALPHA)
    forecaster.update(y[120:], update_params=False)
    for value in y.iloc[120:, 0]:
        stream.update(value)
    assert_same(stream, forecaster, alpha=ALPHA)
    assert len(forecaster.fitted_.panel.values) == N


def test_without_memory_the_last_rows_are_the_held_out_ones(monkeypatch):
    monkeypatch.setattr("skrnn.data.latest_rows.MOST_SPARE_ROWS", 64)
    y = waves(300)
    forecaster = GRUForecaster(**HELD_OUT).fit(y[:90], fh=[1])
    stream, residuals = Stream(forecaster, alpha=ALPHA), []
    for value in y.iloc[90:, 0]:
        residuals.append(value - stream.predict().item())
        stream.update(value)
    last = stream.forecaster()
    kept = last.fitted_.panel
    assert stream.context <= len(kept.values) < 210
    held_out = last.fitted_.held_out
    assert (held_out.stop, held_out.first) == (300, 300 - 27)
    assert_same(stream, last, fh=[1])
    # Of 27 errors, 0.9 is the quantile of rank 0.9 * 28, rounded up.
    high = last.predict(fh=1).iloc[0, 0] + np.sort(residuals[-27:])[26 - 1]
    assert last.predict_quantiles(fh=1, alpha=0.9).iloc[0, 0] == pytest.approx(high, abs=1e-5)


@pytest.mark.parametrize("is_file", [True, False], ids=["skrnn.save", "pickle"])
def test_a_stored_stream_goes_on(is_file):
    y = with_gaps(waves())
    forecaster = GRUForecaster(**HELD_OUT).fit(y[:90], fh=FH)
    stream = Stream(forecaster, alpha=ALPHA)
    for value in y.iloc[90:110, 0]:  # the last ones are missing
        stream.update(value)
    if is_file:
        file = BytesIO()
        skrnn.save(stream.forecaster(), file)
        again = Stream(skrnn.load(file.getvalue(), device="cpu"), alpha=ALPHA)
    else:
        again = pickle.loads(pickle.dumps(stream))
    for value in y.iloc[110:130, 0]:
        stream.update(value)
        again.update(value)
    scale = forecaster.scaler_.scale_.max()
    for method in ("predict", "predict_quantiles"):
        forecasts = (getattr(each, method)() for each in (stream, again))
        np.testing.assert_allclose(*forecasts, atol=PRECISION * scale, rtol=0)


def test_a_negative_value_widens_the_range():
    y = waves() - waves().min()
    forecaster = GRUForecaster(**HELD_OUT).fit(y, fh=[1])
    stream = Stream(forecaster, alpha=[0.01])
    for value in [0.0, -5.0, -10.0, -10.0, -15.0]:
        stream.update(value)
        row = pd.DataFrame({"y0": value}, [forecaster.cutoff[0] + pd.Timedelta(days=1)])
        forecaster.update(row, update_params=False)
        assert_same(stream, forecaster, fh=[1], alpha=[0.01])
    assert stream.predict_quantiles().min() < 0


# ------------------------------------------------------------------------------ refusals

BAD_ROWS = {
    "two values": ([1.0, 2.0], "shape (1, 1), but got shape (2,)"),
    "infinite": (np.inf, "column 'y0' holds inf"),
    "text": ("high", "must hold numbers"),
    "complex": (np.array([1.0 + 1.0j]), "must hold numbers"),
    "ragged": ([[1.0], [1.0, 2.0]], "must hold numbers"),
    "empty": ([], "but got shape (0,)"),
}


@pytest.mark.parametrize(("values", "words"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_refused_row_changes_nothing(fitted, values, words):
    stream = Stream(fitted, alpha=ALPHA)
    before = stream.predict(), stream.predict_quantiles(), stream.cutoff
    with pytest.raises((TypeError, ValueError)) as refusal:
        stream.update(values)
    assert words in str(refusal.value)
    with pytest.raises(ValueError, match="fitted without X"):
        stream.update(1.0, X=1.0)
    with pytest.raises(ValueError, match="single series without a name"):
        stream.update(1.0, series=["a"])
    after = stream.predict(), stream.predict_quantiles(), stream.cutoff
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_refused_X_changes_nothing():
    y = waves()
    X = covariates(y.index)
    forecaster = GRUForecaster(**HELD_OUT, past_covariates=["visits"]).fit(y[:90], X=X[:90])
    stream = Stream(forecaster, fh=1)
    ahead = [[0.5, "sun"]]
    before = stream.predict(X=ahead)
    for row, words in [
        (None, "must be given again"),
        ([1.0, "sun"], r"shape \(1, 3\)"),
        ([np.nan, "sun", 1.0], "column 'price' holds nan"),
        ([1.0, "fog", 1.0], "column 'weather' holds 'fog'"),
        (["x", "sun", 1.0], "must hold numbers"),
        (X[["price", "weather"]].iloc[:1], "columns seen in fit"),
    ]:
        with pytest.raises((TypeError, ValueError), match=words):
            stream.update(0.0, X=row)
    with pytest.raises(ValueError, match="up to the last step"):
        stream.predict()
    with pytest.raises(ValueError, match=r"shape \(1, 2, 2\)"):
        stream.predict(fh=2, X=ahead)
    np.testing.assert_array_equal(stream.predict(X=ahead), before)
    stream.update(0.0, X=[1.0, "sun", np.nan])  # a past covariate may be missing
    assert not np.array_equal(stream.predict(X=ahead), before)


def test_series_must_be_known_and_given_once():
    stream = Stream(GRUForecaster(**SMALL).fit(panel()))
    for names in (["d"], ["a", "a"], []):
        with pytest.raises(ValueError, match="each once, such as"):
            stream.update(np.zeros(len(names)), series=names)
    with pytest.raises(ValueError, match=r"shape \(3, 1\), but got shape \(2,\)"):
        stream.update([1.0, 2.0])


def test_counts_must_be_counts():
    y = pd.Series(np.random.default_rng(0).poisson(3.0, 100))
    forecaster = GRUForecaster(**SMALL | AT_ONCE, criterion="poisson").fit(y[:90], fh=FH)
    stream = Stream(forecaster, alpha=ALPHA)
    for bad in (-1.0, 0.5):
        with pytest.raises(ValueError, match="whole numbers of at least 0"):
            stream.update(bad)
    for k in range(90, 100):
        stream.update(y[k])
        forecaster.update(y[k : k + 1], update_params=False)
    assert_same(stream, forecaster, alpha=ALPHA)


def test_steps_and_levels_are_checked(fitted):
    for fh in (0, [1, -2], 1.5, [], "1"):
        with pytest.raises(ValueError, match="whole steps ahead"):
            Stream(fitted, fh=fh)
    with pytest.raises(ValueError, match="at most 50,000,000 forecasts"):
        Stream(fitted).predict(fh=10**8)
    with pytest.raises(ValueError, match=r"levels in \(0, 1\)"):
        Stream(fitted, alpha=90)
    stream = Stream(fitted, alpha=ALPHA)
    with pytest.raises(ValueError, match="make another stream"):
        stream.predict_quantiles(fh=[1])
    with pytest.raises(ValueError, match="make another stream"):
        stream.predict_quantiles(alpha=[0.2])
    with pytest.raises(ValueError, match="made without alpha"):
        Stream(fitted).predict_quantiles(alpha=[0.2])
    one = stream.predict_quantiles(alpha=[0.5])
    np.testing.assert_array_equal(one[..., 0], stream.predict_quantiles()[..., 2])


def test_a_stream_needs_a_fitted_forecaster_with_quantiles_if_asked():
    with pytest.raises(TypeError, match="must be a forecaster of skrnn, but got NaiveForecaster"):
        Stream(NaiveForecaster())
    with pytest.raises(NotFittedError):
        Stream(GRUForecaster())
    points = GRUForecaster(**SMALL, validation_split=None).fit(waves()[:60])
    with pytest.raises(NotImplementedError, match="holds out no rows"):
        Stream(points, alpha=[0.5])
    with pytest.raises(NotImplementedError, match="holds out no rows"):
        Stream(points).predict_quantiles(alpha=[0.5])
    simulated = GRUForecaster(**HELD_OUT, criterion="normal").fit(waves()[:60])
    with pytest.raises(ValueError, match="simulated after the first step"):
        Stream(simulated, fh=[1, 2], alpha=[0.5])
    assert_same(Stream(simulated, fh=1, alpha=ALPHA), simulated, fh=[1], alpha=ALPHA)
