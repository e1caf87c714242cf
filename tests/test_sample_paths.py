"""Paths: their quantiles are those of the forecast, and their steps and columns come together."""

import numpy as np
import pandas as pd
import pytest
from sktime.exceptions import NotFittedError
from sktime.forecasting.naive import NaiveForecaster

from skrnn import GRUForecaster, backtest, sample_paths
from skrnn.datasets import make_hourly_load
from skrnn.forecasting import joint
from skrnn.plotting import plot_forecast

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {"hidden_size": 4, "num_epochs": 1, "window_length": 24, "random_state": 0}
HELD_OUT = SMALL | {"validation_split": 0.3}
AT_ONCE = {"strategy": "multioutput"}
KINDS = {
    "recursive point": HELD_OUT,
    "recursive quantile": HELD_OUT | {"criterion": "quantile", "n_samples": 40},
    "multioutput point": HELD_OUT | AT_ONCE,
    "multioutput quantile": HELD_OUT | AT_ONCE | {"criterion": "quantile"},
    "multioutput counts": HELD_OUT | AT_ONCE | {"criterion": "negbinomial"},
}
FH = [1, 2, 6]


def noise(n=200, seed=0, columns=1):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(rng.normal(size=(n, columns)), columns=[f"y{c}" for c in range(columns)])


def counts(n=200, seed=0):
    days = pd.date_range("2024-01-01", periods=n, freq="D")
    return pd.Series(np.random.default_rng(seed).poisson(3.0, n), days, name="sold")


def wide(paths, column=0):
    """Paths of one series, (paths, steps)."""
    return paths.iloc[:, column].unstack("path").T.to_numpy()


@pytest.mark.parametrize("settings", KINDS.values(), ids=KINDS)
def test_values_at_each_step_are_the_quantiles_of_the_forecast(settings):
    y = pd.concat({"a": counts().to_frame(), "b": 10 * counts(150, seed=1).to_frame()})
    forecaster = GRUForecaster(**settings).fit(y[:-14], fh=FH)
    for _ in range(2):
        n = 20
        paths = sample_paths(forecaster, FH, n_paths=n, random_state=0)
        quantiles = forecaster.predict_quantiles(FH, alpha=(np.arange(n) + 0.5) / n)
        ascending = np.sort(paths.to_numpy().reshape(2, n, len(FH)), axis=1)
        expected = quantiles.to_numpy().reshape(2, len(FH), n).swapaxes(1, 2)
        np.testing.assert_allclose(ascending, expected)
        forecaster.update(y[-14:], update_params=False)  # the quantiles follow, and so do the paths


def test_many_paths_lie_between_the_quantiles_next_to_them():
    forecaster = GRUForecaster(**KINDS["multioutput point"]).fit(noise(), fh=FH)
    n, at = 1_000, np.array([50, 250, 500, 950])
    paths = np.sort(wide(sample_paths(forecaster, n_paths=n, random_state=0)), axis=0)[at].T
    levels = (at + 0.5) / n
    low, high = (forecaster.predict_quantiles(alpha=levels + d).to_numpy() for d in (-0.015, 0.015))
    assert ((low <= paths) & (paths <= high)).all()


@pytest.mark.parametrize("kind", list(KINDS)[:4])
def test_paths_of_a_random_walk_are_correlated_as_it_is(kind):
    # The values k and m steps ahead have a correlation of sqrt(k / m).
    y = noise(1_500).cumsum()
    steps = range(1, 10)
    settings = KINDS[kind] | {"sp": None, "num_epochs": 0, "linear_lags": None, "naive": ["last"]}
    forecaster = GRUForecaster(**settings).fit(y, fh=steps)
    paths = wide(sample_paths(forecaster, steps, n_paths=400, random_state=0))
    made = np.corrcoef(paths.T)
    for k, m in [(1, 4), (4, 9), (1, 9)]:
        assert made[k - 1, m - 1] == pytest.approx(np.sqrt(k / m), abs=0.15)


def test_each_path_has_the_ranks_of_the_errors_from_one_cutoff():
    y, share = noise(100).cumsum(), 0.2
    forecaster = GRUForecaster(**SMALL, validation_split=share, sp=None, scaler=None).fit(y)
    table = backtest(forecaster, y, fh=[1, 2, 3], start=79)
    errors = (table["y_true"] - table["y_pred"]).to_numpy().reshape(-1, 3)
    paths = wide(sample_paths(forecaster, [1, 2, 3], n_paths=len(errors), random_state=0))
    # Conformal quantiles of neighbouring ranks may be the same.
    expected = np.take_along_axis(np.sort(paths, 0), errors.argsort(0).argsort(0), 0)
    np.testing.assert_array_equal(*(np.unique(rows, axis=0) for rows in (paths, expected)))


@pytest.mark.parametrize("kind", list(KINDS)[:4])
def test_columns_come_together(kind):
    shared = noise(400, columns=2).to_numpy().copy()
    shared[:, 1] = 0.9 * shared[:, 0] + np.sqrt(1 - 0.81) * shared[:, 1]
    y = pd.DataFrame(shared, columns=["u", "v"])
    forecaster = GRUForecaster(**KINDS[kind] | {"sp": None, "linear_lags": None}).fit(y, fh=[1, 2])
    paths = sample_paths(forecaster, [1, 2], n_paths=300, random_state=0)
    assert paths.columns.tolist() == ["u", "v"]
    for step in (400, 401):
        made = paths.xs(step, level=-1).corr().iloc[0, 1]
        assert made == pytest.approx(0.9, abs=0.12)


@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
def test_paths_of_counts_are_counts(strategy):
    settings = HELD_OUT | {"strategy": strategy, "criterion": "poisson", "forecast_range": (1, 8)}
    forecaster = GRUForecaster(**settings).fit(counts(), fh=FH)
    values = sample_paths(forecaster, n_paths=500, random_state=0).to_numpy()
    np.testing.assert_array_equal(values, np.rint(values))
    assert (values.min(), values.max()) == (1, 8)


@pytest.mark.parametrize("kind", list(KINDS)[:4])
def test_paths_keep_the_forecast_range(kind):
    settings = KINDS[kind] | {"forecast_range": (-0.5, 0.5)}
    forecaster = GRUForecaster(**settings).fit(noise(), fh=FH)
    values = sample_paths(forecaster, n_paths=100, random_state=0).to_numpy()
    assert (values.min(), values.max()) == (-0.5, 0.5)


def test_uncalibrated_paths_are_those_of_the_recursion():
    settings = SMALL | {"criterion": "normal", "n_samples": 2_000}
    forecaster = GRUForecaster(**settings).fit(noise())
    paths = wide(sample_paths(forecaster, [1, 2, 3], n_paths=2_000, random_state=1))
    levels = [0.1, 0.5, 0.9]
    quantiles = forecaster.predict_quantiles([1, 2, 3], alpha=levels).to_numpy()
    np.testing.assert_allclose(np.quantile(paths, levels, axis=0).T, quantiles, atol=0.12)


@pytest.mark.parametrize("criterion", ["quantile", "normal"])
def test_paths_of_a_single_step_are_not_in_order(criterion):
    settings = SMALL | {"criterion": criterion}
    forecaster = GRUForecaster(**settings).fit(noise(columns=2))
    paths = sample_paths(forecaster, 1, n_paths=100, random_state=0)
    assert abs(np.corrcoef(paths["y0"], paths["y1"])[0, 1]) < 0.35
    assert abs(np.corrcoef(np.arange(100), paths["y0"])[0, 1]) < 0.35


def test_random_state_repeats_paths_and_leaves_the_global_generators_alone():
    forecaster = GRUForecaster(**KINDS["recursive quantile"]).fit(noise())
    before = np.random.get_state()[1].tolist()
    one, same, other, free, again = (
        sample_paths(forecaster, FH, n_paths=10, random_state=state)
        for state in (0, np.random.RandomState(0), 1, None, None)
    )
    pd.testing.assert_frame_equal(one, same)
    assert not one.equals(other)
    assert not free.equals(again)
    assert np.random.get_state()[1].tolist() == before


def test_parts_of_the_simulation_differ(monkeypatch):
    monkeypatch.setattr(joint, "PATHS_AT_ONCE", 8)
    forecaster = GRUForecaster(**SMALL, criterion="normal").fit(noise())
    paths = wide(sample_paths(forecaster, FH, n_paths=20, random_state=0))
    assert paths.shape == (20, 3)
    assert len(np.unique(paths[:, -1])) == 20


@pytest.mark.parametrize(
    "index",
    [
        pd.period_range("2001-01", periods=150, freq="M"),
        pd.date_range("2001-01-01", periods=150, freq="h", tz="Europe/Berlin"),
        pd.RangeIndex(150),
    ],
    ids=["period", "zone", "range"],
)
def test_index_is_that_of_the_forecast_with_the_path(index):
    y = pd.Series(np.random.default_rng(0).normal(size=150), index.rename("when"), name="y")
    forecaster = GRUForecaster(**HELD_OUT).fit(y)
    paths = sample_paths(forecaster, FH, n_paths=3)
    assert paths.index.names == ["path", "when"]
    assert paths.index.get_level_values(0).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert paths.xs(1).index.equals(forecaster.predict(FH).index)


def test_series_that_end_apart_are_forecast_at_the_same_times():
    y = make_hourly_load(n_series=2, n_hours=200, random_state=0)
    y = y.drop(y.loc[["region_01"]].index[-2:])
    forecaster = GRUForecaster(**HELD_OUT).fit(y)
    times = pd.date_range(y.index.get_level_values(1).max(), periods=4, freq="h")[1:]
    paths = sample_paths(forecaster, times, n_paths=20, random_state=0)
    assert paths.index.names == ["region", "path", "time"]
    assert paths.xs(19, level="path").index.equals(forecaster.predict(times).index)
    quantiles = forecaster.predict_quantiles(times, alpha=[0.525]).iloc[:, 0]
    by_time = paths.iloc[:, 0].unstack("path").to_numpy()
    np.testing.assert_allclose(np.sort(by_time, 1)[:, 10], quantiles)


def test_paths_read_the_future_of_X():
    X = pd.DataFrame({"on": np.random.default_rng(1).integers(0, 2, 302) * 1.0})
    y = noise(300) + 100 * X[:300].to_numpy()
    forecaster = GRUForecaster(**HELD_OUT | {"sp": None}).fit(y, X[:300])
    off, on = (
        wide(sample_paths(forecaster, [1, 2], X.assign(on=value), 50, random_state=0))
        for value in (0.0, 1.0)
    )
    assert ((on - off).mean(0) > 50).all()


def test_gaps_in_the_held_out_rows_are_bridged():
    y = noise(1_000).cumsum()
    y = y.mask(np.random.default_rng(1).random(y.shape) < 0.1)
    settings = HELD_OUT | {"sp": None, "num_epochs": 0, "linear_lags": None, "naive": ["last"]}
    forecaster = GRUForecaster(**settings).fit(y)
    paths = wide(sample_paths(forecaster, range(1, 25), n_paths=200, random_state=0))
    # The values 16 and 17 steps ahead of a random walk have a correlation of 0.97.
    assert np.corrcoef(paths.T)[15, 16] > 0.9


def test_data_of_the_forecaster_stay():
    forecaster = GRUForecaster(**KINDS["recursive quantile"]).fit(noise())
    before, fitted = forecaster.predict(FH), forecaster.fitted_
    sample_paths(forecaster, FH, n_paths=10)
    assert forecaster.fitted_ is fitted
    pd.testing.assert_frame_equal(forecaster.predict(FH), before)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        ({"n_paths": 0}, ValueError, "'n_paths' parameter must be an int of at least 1. Got 0"),
        ({"n_paths": 2.5}, ValueError, "'n_paths' parameter"),
        ({"n_paths": 10**8}, ValueError, "Lower n_paths"),
        ({"fh": [0, 1]}, ValueError, "asks for step 0 of series y"),
        ({"fh": 200}, ValueError, "held-out rows"),
        ({"fh": [1, 58]}, ValueError, "58 steps ahead from at least 5 cutoffs, but there are 3"),
        ({"X": [1]}, TypeError, "'X' parameter of sample_paths must be pandas"),
        ({"random_state": "x"}, ValueError, "random_state"),
        ({"forecaster": NaiveForecaster()}, TypeError, "got NaiveForecaster"),
        ({"forecaster": GRUForecaster()}, NotFittedError, "not been fitted"),
    ],
)
def test_wrong_calls_are_refused_with_a_sentence(fitted_to_noise, call, error, words):
    with pytest.raises(error, match=words):
        sample_paths(**{"forecaster": fitted_to_noise, "fh": FH} | call)


@pytest.fixture(scope="module")
def fitted_to_noise():
    return GRUForecaster(**HELD_OUT | {"sp": None}).fit(noise())


def test_forecaster_without_held_out_rows_is_refused():
    forecaster = GRUForecaster(**SMALL).fit(noise())
    with pytest.raises(ValueError, match="num_epochs=1 with validation_split='auto' held out none"):
        sample_paths(forecaster, FH)


def test_paths_are_drawn_behind_the_forecast(fitted_to_noise):
    pytest.importorskip("matplotlib").use("Agg")
    paths = sample_paths(fitted_to_noise, FH, n_paths=60, random_state=0)
    ax = plot_forecast(fitted_to_noise.predict(FH), noise(), paths=paths)
    lines = [line for line in ax.get_lines() if line.get_linewidth() < 1]
    assert len(lines) == 50
    np.testing.assert_array_equal(lines[7].get_ydata()[1:], wide(paths)[7])
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["observed", "paths", "forecast"]
    alone = plot_forecast(fitted_to_noise.predict(FH), paths=paths).get_lines()
    np.testing.assert_array_equal(alone[7].get_ydata(), wide(paths)[7])
    with pytest.raises(ValueError, match="'path' before the time"):
        plot_forecast(fitted_to_noise.predict(FH), paths=noise())
