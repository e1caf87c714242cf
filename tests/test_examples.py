"""The examples: their protocols by value, their fallback, and what they print.

Where errors are compared with a bound, they are of the end of a training range. No test range has
a bound, so that it stays fit for a report.
"""

import functools
import importlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.model_selection import TimeSeriesSplit
from sktime.datasets import load_airline

from skrnn import GRUForecaster, LSTMForecaster, RNNForecaster, backtest, smape
from skrnn.callbacks import Callback, StopAfter
from skrnn.datasets import fetch_pjm_load, make_hourly_load

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("SKRNN_DATA") or ROOT.parent / "shared" / "data" / "pjm")
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="needs the PJM files: set SKRNN_DATA to their folder"
)


@pytest.fixture(scope="module")
def example():
    path = ROOT / "examples" / "compare_gru_lstm.py"
    spec = importlib.util.spec_from_file_location("compare_gru_lstm", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Batches(Callback):
    """Keep how many targets and batches an epoch has."""

    def on_batch_end(self, forecaster, n_batches):
        self.n_batches = n_batches


@needs_data
def test_tutorial_protocol_trains_on_980185_windows(example):
    load = fetch_pjm_load(data_home=DATA, regular=False)
    y, X, _ = example.tutorial_panel(load)
    train = ~example.is_test(y)
    assert (train.groupby(level=0).sum() - 90).sum() == 980_185
    batches = Batches()
    settings = example.TUTORIAL | {"hidden_size": 2, "num_layers": 1, "dropout": 0.0}
    GRUForecaster(**settings, callbacks=[batches, StopAfter(1)]).fit(y[train], X[train])
    assert batches.n_batches == 980_185 // 1024


def test_tutorial_channels_are_those_of_the_row_before(example):
    load = make_hourly_load(n_series=2, n_hours=200, random_state=0)
    y, X, scale = example.tutorial_panel(load)
    region = load.index[0][0]
    time = load.loc[region].index
    assert X.loc[region, "hour"].iloc[5] == pytest.approx(time[4].hour / 23)
    assert X.loc[region, "dayofweek"].iloc[30] == pytest.approx(time[29].dayofweek / 6)
    back = y.loc[region, "load_mw"] * scale.loc[region, "span"] + scale.loc[region, "low"]
    np.testing.assert_allclose(back, load.loc[region, "load_mw"])


def test_state_is_carried_from_batch_to_batch_and_zero_at_each_epoch(example):
    class RecordStates(Callback):
        states = []

        def on_train_begin(self, training, num_epochs):
            self.hook = training.network.recurrent.register_forward_hook(
                lambda m, args, out: self.states.append((args[1], out[1]))
            )

        def on_train_end(self, training):
            self.hook.remove()

    y = pd.Series(np.random.default_rng(0).normal(size=60))
    settings = example.TUTORIAL | {
        "hidden_size": 3,
        "num_layers": 1,
        "dropout": 0.0,
        "num_epochs": 2,
        "window_length": 10,
        "batch_size": 20,
    }
    GRUForecaster(
        **settings, callbacks=[example.CarriedState(), RecordStates()], random_state=0
    ).fit(y)
    (first, out1), (second, _), (third, _), (fourth, _) = (
        RecordStates.states
    )  # 50 windows: 2 batches
    assert first is None
    assert third is None
    assert torch.equal(second[0], out1[0])  # of the only layer
    assert fourth is not None


def test_without_data_the_example_says_so_and_simulates_load(
    example, monkeypatch, capsys, tmp_path
):
    def offline(**options):
        raise OSError("PJM files could not be downloaded.")

    monkeypatch.setattr(example, "fetch_pjm_load", offline)
    monkeypatch.setattr(
        example, "make_hourly_load", lambda random_state: make_hourly_load(4, 800, random_state)
    )
    figure = tmp_path / "figure.png"
    arguments = ["compare_gru_lstm.py", "--max-steps", "3", "--figure", str(figure)]
    monkeypatch.setattr("sys.argv", arguments)
    example.main()
    printed = capsys.readouterr().out
    assert "PJM files could not be downloaded." in printed
    assert "Simulated load is used instead" in printed
    assert [line.split()[0] for line in printed.splitlines() if line.startswith("mean")] == ["mean"]
    assert figure.read_bytes()[:4] == b"\x89PNG"


# ------------------------------------------------------------------- day_ahead.py


@pytest.fixture
def day_ahead(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples")  # it imports its neighbour
    return importlib.import_module("day_ahead")


@pytest.fixture
def fitted_series(monkeypatch):
    """The series passed to `fit`, one for each call."""
    series, fit = [], RNNForecaster.fit

    @functools.wraps(fit)
    def recorded(self, y, *args, **kwargs):
        series.append(y)
        return fit(self, y, *args, **kwargs)

    monkeypatch.setattr(RNNForecaster, "fit", recorded)
    return series


def test_day_ahead_cutoffs_go_from_the_end_of_training_to_a_day_before_the_end(day_ahead):
    y = make_hourly_load(n_series=2, n_hours=400, random_state=0)
    test = day_ahead.is_test(y)  # int(0.1 * (400 - 90)) = 31 hours
    cutoffs = day_ahead.cutoffs_of(test, step_length=3)
    assert np.flatnonzero(y.index.isin(cutoffs)).tolist() == [368, 371, 374, 768, 771, 774]


def test_day_ahead_naive_has_the_quantiles_of_its_errors_in_training(day_ahead):
    y = make_hourly_load(n_series=2, n_hours=400, random_state=0)
    test = day_ahead.is_test(y)
    y.loc[test, "load_mw"] += 1e6  # no part of the quantiles
    region = y.index[0][0]
    load = y.loc[region, "load_mw"]
    rows = [(region, load.index[368], load.index[368 + h]) for h in (1, 24)]
    index = pd.MultiIndex.from_tuples(rows, names=["region", "cutoff", "time"])
    table = pd.DataFrame({"y_true": 0.0}, index=index)
    naive = day_ahead.naive_table(table, y["load_mw"], ~test)
    before = load.iloc[[345, 368]].to_numpy()
    np.testing.assert_array_equal(naive["y_pred"], before)
    errors = load.iloc[24:369].to_numpy() - load.iloc[:345].to_numpy()
    for level in (0.05, 0.5, 0.95):
        expected = before + np.quantile(errors, level)
        np.testing.assert_allclose(naive[f"y_pred_{level:g}"], expected)


def test_day_ahead_scores_are_means_over_regions_of_each_regions_score(day_ahead):
    cutoff = pd.Timestamp("2024-01-01")
    rows = [
        (region, cutoff + pd.Timedelta(hours=k), cutoff + pd.Timedelta(hours=k + h))
        for region, n in {"small": 1, "large": 3}.items()
        for k in range(n)
        for h in day_ahead.STEPS
    ]
    index = pd.MultiIndex.from_tuples(rows, names=["region", "cutoff", "time"])
    large = index.get_level_values(0) == "large"
    ahead = index.get_level_values("time") - index.get_level_values("cutoff")
    y_true = np.where(large, 300.0, 100.0)
    table = pd.DataFrame({"y_true": y_true, "y_pred": np.where(large, 300.0, 300.0)}, index=index)
    # Quantiles of the large region are right; those of the small one are all 10 too low, or, six
    # hours ahead, 10 too high.
    off = np.where(large, 0.0, np.where(ahead == pd.Timedelta(hours=6), 10.0, -10.0))
    table = table.assign(**dict.fromkeys(day_ahead.QUANTILES, y_true + off))
    scores = day_ahead.scores_of(table)
    assert scores.columns.tolist() == ["h=1", "h=6", "h=12", "h=18", "h=24", "all"]
    error, inside, pinball = scores.to_numpy()
    np.testing.assert_allclose(error, 50)  # 100 of the small region, 0 of the large
    np.testing.assert_allclose(inside, 0.5)
    # 10 MW, times the mean level, in percent of 100 MW; and the mean of two regions.
    np.testing.assert_allclose(pinball, 10 * 0.5 / 100 * 100 / 2)


def test_day_ahead_trains_before_the_test_range_and_prints_the_scores(
    day_ahead, fitted_series, monkeypatch, capsys, tmp_path
):
    def offline(**options):
        raise OSError("PJM files could not be downloaded.")

    shared = sys.modules["compare_gru_lstm"]
    y = make_hourly_load(3, 800, 0)
    test = day_ahead.is_test(y)
    factors = np.random.default_rng(0).uniform(0.5, 1.5, test.sum())
    y.loc[test, "load_mw"] *= factors  # training on these rows would change the quantiles
    monkeypatch.setattr(shared, "fetch_pjm_load", offline)
    monkeypatch.setattr(shared, "make_hourly_load", lambda random_state: y)
    figure = tmp_path / "figure.png"
    small = ["--hidden-size", "4", "--num-epochs", "1", "--max-steps", "3"]
    regions = ["--regions", "region_02", "region_00"]
    monkeypatch.setattr("sys.argv", ["_", *small, *regions, "--figure", str(figure)])
    day_ahead.main()
    (trained,) = fitted_series
    assert trained.index.unique(level=0).tolist() == ["region_02", "region_00"]
    assert trained.groupby(level=0).size().tolist() == [729, 729]  # 800 - int(0.1 * 710)
    printed = capsys.readouterr().out
    assert "Simulated load is used instead" in printed
    assert "4 days of 2 regions" in printed
    lines = printed.split("A day ahead\n")[1].splitlines()[1:7]
    values = np.array([line.split()[-6:] for line in lines], dtype=float)
    error, naive_error, inside, naive_inside, pinball, naive_pinball = values
    assert ((error > 0) & (error < 200)).all()
    assert ((inside >= 0) & (inside <= 1)).all()
    assert ((naive_inside >= 0) & (naive_inside <= 1)).all()
    assert (pinball > 0).all()
    hours = np.concatenate([cutoff + np.arange(1, 25) for cutoff in (728, 765)])
    expected = []
    for region in ("region_02", "region_00"):
        load = y.loc[region, "load_mw"].to_numpy()
        low, high = np.quantile(load[24:729] - load[:705], [0.05, 0.95])
        change = load[hours] - load[hours - 24]
        is_inside = ((change >= low) & (change <= high)).mean()
        expected.append([smape(load[hours], load[hours - 24]), is_inside])
    expected = np.mean(expected, axis=0)
    np.testing.assert_allclose([naive_error[-1], naive_inside[-1]], expected, atol=6e-4)
    assert 0 < naive_pinball[-1] < naive_error[-1]
    assert figure.read_bytes()[:4] == b"\x89PNG"


def test_day_ahead_names_the_available_regions_in_the_error(day_ahead):
    load = make_hourly_load(2, 30, 0)
    with pytest.raises(SystemExit, match=r"among region_00, region_01. Got PJME"):
        day_ahead.select(load, ["PJME"])


# ---------------------------------------------------------------------- tuning.py


@pytest.fixture
def tuning(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples")
    return importlib.import_module("tuning")


def test_both_searches_score_the_same_folds(tuning):
    train = load_airline()[: -tuning.HELD_OUT]
    ours = list(tuning.folds(train).split(train))
    theirs = list(TimeSeriesSplit(tuning.FOLDS, test_size=tuning.YEAR).split(train))
    assert len(ours) == len(theirs) == 3
    for (fit, score), (fit_too, score_too) in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(fit, fit_too)
        np.testing.assert_array_equal(score, score_too)


def test_tuning_holds_out_two_years_and_prints_settings_and_scores(
    tuning, fitted_series, monkeypatch, capsys, tmp_path
):
    figure = tmp_path / "figure.png"
    grid = {"cell": ["gru", "rnn"], "hidden_size": [4, 6], "window_length": [24, 48]}
    monkeypatch.setattr(tuning, "GRID", grid)
    arguments = ["--trials", "2", "--num-epochs", "1", "--figure", str(figure)]
    monkeypatch.setattr("sys.argv", ["tuning.py", *arguments])
    tuning.main()
    # The folds' fits, then the refits of both winners and of the default.
    assert (
        len(fitted_series) == 3 * (2 + 8 + 1) + 3 + 1
    )  # sktime refits its n best, here one, once more
    assert max(y.index[-1] for y in fitted_series) == pd.Period("1958-12", "M")

    printed = capsys.readouterr().out
    settings = {}
    for line in printed.splitlines()[:2]:
        name, best = line.split(": ")
        settings[name] = dict(setting.split("=") for setting in best.split(", "))
    optuna, best = settings["Optuna, the best of 2"], settings["grid, the best of 8"]
    assert optuna["cell"] in tuning.CELLS
    assert 8 <= int(optuna["hidden_size"]) <= 128
    assert int(optuna["window_length"]) in range(24, 73, 12)
    assert 5e-4 <= float(optuna["lr"]) <= 2e-2
    assert best.keys() == grid.keys()
    assert all(value in map(str, grid[name]) for name, value in best.items())

    rows = [line.rsplit(maxsplit=2) for line in printed.splitlines()]
    scores = {row[0]: tuple(map(float, row[1:])) for row in rows if row and row[-1][-3:-2] == "."}
    assert list(scores) == ["default", "Optuna", "grid", "seasonal naive"]
    y = load_airline()
    expected = [smape(y[years], y.shift(12)[years]) for years in (slice(84, 120), slice(120, 144))]
    assert scores["seasonal naive"] == pytest.approx(expected, abs=6e-3)  # two digits are printed

    def year_after(fitted, n):
        return fitted.update(y[:n], update_params=False).predict(range(1, 13))

    default = RNNForecaster(num_epochs=1, random_state=0)
    folds = [smape(y[n : n + 12], year_after(default.clone().fit(y[:n]), n)) for n in (84, 96, 108)]
    fitted = default.clone().fit(y[:120])
    held_out = smape(y[120:], pd.concat([year_after(fitted, n) for n in (120, 132)]))
    assert scores["default"] == pytest.approx((np.mean(folds), held_out), abs=6e-3)
    assert figure.read_bytes()[:4] == b"\x89PNG"


@pytest.fixture(scope="module")
def benchmark_module():
    def load(name):
        folder = str(ROOT / "examples" / "benchmarks")
        sys.path.insert(0, folder)
        try:
            return importlib.import_module(name)
        finally:
            sys.path.remove(folder)

    return load


@pytest.fixture
def robustness(benchmark_module):
    return benchmark_module("pjm_robustness")


@pytest.fixture(scope="module")
def pjm(example):
    """The training range, whether an hour is of its last tenth, and whether it is scored, too."""
    load = fetch_pjm_load(data_home=DATA, add_observed=True)
    load = load[~example.is_test(load)]
    y = load[["load_mw"]]
    held_out = example.is_test(y)
    return y, held_out, held_out & load["observed"]


QUICK = {"num_epochs": 3, "random_state": 0}


# Two claims in one test: the training on all hours takes half a minute.
@needs_data
def test_three_epochs_on_pjm_beat_the_tutorial_and_a_fifth_missing_costs_three_tenths_at_most(
    robustness, pjm
):
    y, held_out, scored = pjm
    complete = robustness.error_by_region(GRUForecaster(**QUICK).fit(y[~held_out]), y, y, scored)
    assert complete.mean() < 0.9  # the tutorial's GRU: 1.123
    known = robustness.with_missing(y, 0.2)
    assert known["load_mw"].isna().mean() == pytest.approx(0.2, abs=0.002)
    forecaster = GRUForecaster(**QUICK).fit(known[~held_out])
    errors = robustness.error_by_region(forecaster, known, y, scored)
    assert errors.mean() < 1.3 * complete.mean()


# Two claims about one training, again.
@needs_data
def test_an_epoch_of_an_lstm_beats_the_tutorial_and_forecasts_a_region_that_it_was_not_trained_on(
    robustness, example, pjm
):
    y, held_out, scored = pjm
    others = y.drop(index="DAYTON", level=0)
    training = others[~held_out.loc[others.index]]
    pretrained = LSTMForecaster(num_epochs=1, random_state=0).pretrain(training)
    fitted = pretrained.clone().set_params(num_epochs=0).fit(training)
    errors = robustness.error_by_region(fitted, others, others, scored.loc[others.index])
    assert errors.mean() < 0.9  # the tutorial's LSTM: 1.081
    zero, tuned = robustness.new_region(pretrained, *pjm, "DAYTON", 1)
    rows = scored.index[scored]
    last = example.naive_forecasts(y)["naive"].loc[rows]
    error = example.by_region(y.loc[rows, "load_mw"], last)["DAYTON"]
    assert zero < error / 4
    assert tuned < zero


@needs_data
def test_intervals_a_day_ahead_cover_nine_tenths_of_the_held_out_hours(pjm):
    y, held_out, _ = pjm
    regions = ["DAYTON", "DEOK", "PJMW"]
    y, held_out = y.loc[regions], held_out.loc[regions]
    settings = {"hidden_size": 32, "num_epochs": 2, "random_state": 0}
    forecaster = GRUForecaster(strategy="multioutput", criterion="quantile", **settings)
    forecaster.fit(y[~held_out], fh=range(1, 25))
    table = backtest(forecaster, y, fh=range(1, 25), start=0.9, step_length=37, alpha=[0.05, 0.95])
    inside = table["y_true"].between(table["y_pred_0.05"], table["y_pred_0.95"])
    assert 0.87 < inside.mean() < 0.93
    error = (table["y_true"] - table["y_pred"]).abs().mean()
    day_old = y["load_mw"].groupby(level=0).shift(24)
    times = table.index.droplevel("cutoff")
    assert error < 0.65 * (table["y_true"].to_numpy() - day_old.loc[times]).abs().mean()


# ------------------------------------------------------------------- one series


@needs_data
def test_defaults_on_single_series_are_below_a_ridge_and_their_intervals_hold(benchmark_module):
    module = benchmark_module("one_series")
    load = fetch_pjm_load(["AEP", "DAYTON"], data_home=DATA)["load_mw"]
    n, n_later = 3_000, 500
    methods = {
        strategy: functools.partial(GRUForecaster, strategy, random_state=0)
        for strategy in ("recursive", "multioutput")
    }
    tables = []
    for region in ("AEP", "DAYTON"):
        hours = load.loc[region].asfreq("h").interpolate()
        y = hours.iloc[: len(hours) // 2].iloc[-n - n_later :]  # far from the test range
        tables.append(module.evaluate(y, n, (24, 168), methods, step_length=5))
    mean = pd.concat(tables).groupby(level=0).mean().loc[list(methods)]
    assert (mean["next"] < 1).all()
    assert (mean["season"] < 1).all()
    assert mean["90 %"].between(0.85, 0.95).all()
    assert mean["50 %"].between(0.43, 0.57).all()


# ------------------------------------------------------------------- benchmarks of accuracy


@pytest.mark.parametrize("cell", ["GRU", "LSTM"])
def test_defaults_on_bundled_series_are_never_much_worse_than_the_last_season(
    benchmark_module, cell
):
    module = benchmark_module("out_of_the_box")
    make = module.FORECASTERS[cell](random_state=0).clone
    ratios = {}
    # Seasons before the last two; the benchmark itself scores those. Cells differ little: the LSTM
    # gets every third series.
    cases = list(module.cases(validate=True, draws=0))
    assert len(cases) >= 20
    for kind, name, y, sp, origins in cases[:: 3 if cell == "LSTM" else 1]:
        assert kind == "bundled"
        error, naive = module.errors(make, y, sp, origins)
        ratios[name] = error / naive
    ratios = pd.Series(ratios)
    assert len(ratios) >= 7
    assert ratios.max() < 1.2, ratios.nlargest(3)
    assert ratios.mean() < 0.85


def test_out_of_the_box_prints_the_ratio_of_every_series_that_naive_does_not_forecast_exactly(
    benchmark_module, monkeypatch, capsys
):
    module = benchmark_module("out_of_the_box")
    series = {name: module.bundled()[name] for name in ("airline", "lynx", "PBS")}
    monkeypatch.setattr(module, "bundled", lambda: series)
    monkeypatch.setattr("sys.argv", ["_", "--draws", "0", "--params", "num_epochs=0"])
    module.main()
    printed = capsys.readouterr().out
    rows = {line.split()[-3]: line.split()[-2:] for line in printed.splitlines()[4:6]}
    for name in ("airline", "lynx"):
        y, sp = series[name]
        naive = sum(np.abs(y.shift(sp)[-k * sp :][:sp] - y[-k * sp :][:sp]).sum() for k in (1, 2))
        for cell, ratio in zip(["GRU", "LSTM"], rows[name], strict=True):
            fitted = module.FORECASTERS[cell](num_epochs=0, random_state=0)
            forecasts = [fitted.clone().fit(y[: -k * sp]).predict(range(1, sp + 1)) for k in (2, 1)]
            error = (pd.concat(forecasts) - y[-2 * sp :]).abs().sum()
            assert float(ratio) == pytest.approx(error / naive, abs=6e-4)
    assert rows.keys() == {"airline", "lynx"}
    # PBS ends in years of zeros.
    for line, cell in zip(printed.splitlines(), ["GRU", "LSTM"], strict=False):
        assert line.startswith(f"PBS: seasonal naive is exact; errors of {cell} sum to ")


def test_out_of_the_box_scores_the_last_seasons_by_hand(benchmark_module):
    module = benchmark_module("out_of_the_box")
    y = pd.Series(np.arange(48.0), pd.period_range("2000-01", periods=48, freq="M"))
    parts = list(module.held_out(y, 12, 2))
    assert [(len(train), test.iloc[0], len(test)) for train, test in parts] == [
        (24, 24.0, 12),
        (36, 36.0, 12),
    ]

    class Zero:
        def fit(self, y):
            return self

        def predict(self, fh):
            return 0.0

    error, naive = module.errors(Zero, y, 12, 2)
    assert error == np.arange(24, 48).sum()
    assert naive == 24 * 12.0


@pytest.mark.skipif(
    not (DATA.parent / "m4").is_dir(), reason="needs the M4 files beside those of PJM"
)
def test_seasonal_naive_on_m4_is_the_published_one(benchmark_module):
    module = benchmark_module("m4_hourly")
    train, test = module.read(DATA.parent / "m4", validate=False)
    assert (len(train), test.shape) == (414, (414, 48))
    daily = np.stack([np.tile(row[-24:], 2) for row in train])
    scores = module.score(train, test, daily)
    assert scores["sMAPE"] == pytest.approx(13.912, abs=5e-4)
    assert scores["MASE"] == pytest.approx(1.193, abs=5e-4)


@pytest.mark.skipif(not (DATA.parent / "ett").is_dir(), reason="needs ETTh1 beside the PJM files")
def test_ett_is_scored_from_every_start_on_values_standardised_in_training(benchmark_module):
    module = benchmark_module("etth1")
    y = module.read(DATA.parent / "ett")
    train = y.groupby(level=0).head(8640)
    assert train.groupby(level=0)["value"].mean().abs().max() < 1e-9
    assert train.groupby(level=0)["value"].std(ddof=0).sub(1).abs().max() < 1e-9
    assert (y.groupby(level=0).size() == 14_400).all()

    # The errors of a network that repeats the last value are those computed by hand.
    forecaster = GRUForecaster(
        strategy="multioutput",
        naive=["last"],
        linear_lags=None,
        num_epochs=0,
        sp=None,
        calendar=None,
    ).fit(y.groupby(level=0).head(11_520), fh=range(1, 97))
    errors = module.errors_of(forecaster, y, 11_520, 96)
    values = y["value"].to_numpy().reshape(7, -1)
    start = np.arange(11_520, 14_400 - 96 + 1)
    error = values[:, start[:, None] + np.arange(96)] - values[:, start - 1][..., None]
    np.testing.assert_allclose(errors, error, atol=1e-5)
    expected = {"MSE": np.mean(error**2), "MAE": np.mean(np.abs(error))}
    assert module.scores(errors) == pytest.approx(expected, rel=1e-5)


def test_some_weeks_scores_a_forecaster_that_repeats_the_last_week_as_one(benchmark_module):
    rng = np.random.default_rng(0)
    y = pd.Series(rng.normal(size=500), pd.date_range("2020-01-01", periods=500, freq="h"))
    params = {"naive": "seasonal", "linear_lags": None, "sp": 168, "num_epochs": 0}
    ratios = list(benchmark_module("some_weeks").ratios(y, 400, 24, params))
    np.testing.assert_allclose(ratios, 1.0, rtol=1e-5)


@needs_data
def test_training_on_two_processes_prints_the_loss_of_one(monkeypatch):
    monkeypatch.setenv("SKRNN_DATA", str(DATA))
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += [str(ROOT / "examples" / "train_on_many.py"), "--hours=400", "--epochs=1"]
    run = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=True)
    load = fetch_pjm_load().groupby(level=0).tail(400)
    alone = GRUForecaster(num_epochs=1, random_state=0).fit(load)
    assert run.stdout.startswith("2 processes, ")
    loss = float(run.stdout.splitlines()[0].split()[-1])
    assert loss == pytest.approx(alone.history_["loss"].iloc[-1], rel=1e-3)


# ------------------------------------------------------------------- README.md


def test_the_snippet_of_the_readme_runs_as_it_stands_and_saves_its_figure(monkeypatch, tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    _, _, after = text.partition("```python\n")
    code, _, _ = after.partition("```")
    assert len([line for line in code.splitlines() if line]) <= 10
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["forecast"].index[-1] == pd.Period("1961-12", "M")
    lower, upper = names["intervals"].iloc[:, -2:].to_numpy().T
    assert (lower < names["forecast"]).all()
    assert (upper > names["forecast"]).all()
    assert (tmp_path / "forecast.png").read_bytes()[:4] == b"\x89PNG"
