"""Conformal intervals of fitted forecasters: which held-out errors they are made of."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from skrnn import GRUForecaster, backtest
from skrnn.data.held_out import HeldOut
from skrnn.forecasting import held_out_errors as module
from skrnn.forecasting.held_out_errors import PSEUDO_ERRORS, held_out_errors

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {"hidden_size": 8, "num_epochs": 2, "window_length": 24, "sp": None, "random_state": 0}
STRATEGIES = pytest.mark.parametrize("strategy", ["recursive", "multioutput"])


def noise(n=200, seed=0):
    return pd.Series(np.random.default_rng(seed).normal(size=n), name="y")


def errors_of(forecaster, *steps):
    """Held-out errors of each horizon and column, ascending, and sizes of errors (S, C)."""
    fitted = forecaster.fitted_
    errors, sizes = held_out_errors(fitted.early, fitted.panel, fitted.held_out, np.array(steps))
    table = [
        [
            np.sort(column[~np.isnan(column)])
            for column in errors.errors[:, :, j][errors.is_first[:, :, j]].T
        ]
        for j in range(len(steps))
    ]
    return table, sizes


def test_interval_of_a_panel_is_that_of_relative_errors_times_the_size_of_the_series():
    # By hand from the forecasts of a backtest over the held-out rows.
    sizes = {"calm": 0.5, "wild": 20.0, "short": 3.0}
    lengths = {"calm": 200, "wild": 200, "short": 60}
    y = pd.concat(
        {k: (5 + s * noise(lengths[k], i)).to_frame() for i, (k, s) in enumerate(sizes.items())}
    )
    forecaster = GRUForecaster(scaler=None, validation_split=0.25, **SMALL).fit(y)
    errors = {}
    for name, n in lengths.items():
        table = backtest(forecaster, y.loc[[name]], fh=[1, 2], start=n - n // 4 - 1)
        # The last cutoff has a target one step ahead alone.
        last = backtest(forecaster, y.loc[[name]], fh=[1], start=n - 2)
        table = pd.concat([table, last])
        error = table["y_true"] - table["y_pred"]
        time, cutoff = (table.index.get_level_values(k) for k in ("time", "cutoff"))
        errors[name] = [error[time - cutoff == h].to_numpy() for h in (1, 2)]
    means = [np.abs(np.concatenate([e[h] for e in errors.values()])).mean() for h in (0, 1)]
    every = [[], []]
    expected_sizes = {}
    for name, parts in errors.items():
        # Of n errors, n / h are independent h steps ahead; horizons count as their mean.
        relative = sum(
            np.abs(e).sum() / m / h / 2 for h, e, m in zip((1, 2), parts, means, strict=True)
        )
        n = sum(len(e) / h / 2 for h, e in zip((1, 2), parts, strict=True))
        expected_sizes[name] = (PSEUDO_ERRORS + relative) / (PSEUDO_ERRORS + n)
        for h in (0, 1):
            every[h].append(parts[h] / expected_sizes[name])
    table, made_sizes = errors_of(forecaster, 1, 2)
    np.testing.assert_allclose(made_sizes[:, 0], list(expected_sizes.values()), rtol=1e-4)
    for h in (0, 1):
        np.testing.assert_allclose(table[h][0], np.sort(np.concatenate(every[h])), atol=1e-4)
    interval = forecaster.predict_interval(fh=[1, 2], coverage=0.8).to_numpy().reshape(3, 2, 2)
    point = forecaster.predict(fh=[1, 2]).to_numpy().reshape(3, 2)
    for s, size in enumerate(expected_sizes.values()):
        for h in (0, 1):
            ranked = np.sort(np.concatenate(every[h]))
            n = len(ranked)
            low, high = np.floor((n + 1) * 0.1), np.ceil((n + 1) * 0.9)
            quantiles = ranked[[int(low) - 1, int(high) - 1]]
            if h == 1:  # errors two steps ahead overlap: 9 of them tell as much as 6
                median, independent = ranked[int(np.floor((n + 1) / 2)) - 1], 2 * n / 3
                ratio = stats.t.ppf(0.9, independent) / stats.t.ppf(0.9, n)
                quantiles = median + ratio * (quantiles - median)
            expected = size * quantiles
            np.testing.assert_allclose(interval[s, h] - point[s, h], expected, rtol=1e-3, atol=1e-4)


def test_few_errors_of_a_series_say_little_about_their_size():
    # Both are ten times as hard to forecast as the rest, but one of them has three held-out rows.
    rng = np.random.default_rng(0)
    parts = {f"s{k}": pd.DataFrame({"y": rng.normal(size=400)}) for k in range(8)}
    parts["long"] = pd.DataFrame({"y": 10 * rng.normal(size=400)})
    parts["short"] = pd.DataFrame({"y": 10 * rng.normal(size=12)})
    y = pd.concat(parts)
    forecaster = GRUForecaster(scaler=None, validation_split=0.25, **SMALL).fit(y)
    _, sizes = errors_of(forecaster, 1)
    sizes = dict(zip(forecaster.fitted_.panel.keys, sizes[:, 0], strict=True))
    usual = np.mean([sizes[f"s{k}"] for k in range(8)])
    assert sizes["long"] / usual == pytest.approx(10, rel=0.3)
    assert 1 < sizes["short"] / usual < 5


def test_intervals_of_short_random_walks_hold_nearly_their_share():
    # Errors of neighbouring cutoffs are those of the same few steps.
    n, horizon, n_series = 30, 8, 200
    walks = 100 * np.random.default_rng(0).normal(size=(n_series, n + horizon)).cumsum(1)
    y = pd.concat({f"s{k}": pd.DataFrame({"y": walk[:n]}) for k, walk in enumerate(walks)})
    forecaster = GRUForecaster(strategy="multioutput", hidden_size=4, random_state=0)
    interval = forecaster.fit(y, fh=range(1, horizon + 1)).predict_interval(coverage=0.9)
    lower, upper = np.moveaxis(interval.to_numpy().reshape(n_series, horizon, 2), -1, 0)
    inside = (lower <= walks[:, n:]) & (walks[:, n:] <= upper)
    assert inside.mean() == pytest.approx(0.9, abs=0.03)  # 0.81 with all errors counted as one each


# ------------------------------------------------------------- which rows give residuals


@STRATEGIES
def test_filled_values_are_no_residuals(strategy):
    y = noise(200)
    y.iloc[[160, 163, 164, 199]] = np.nan
    forecaster = GRUForecaster(strategy=strategy, validation_split=0.25, **SMALL)
    forecaster.fit(y, fh=[1, 3])
    table, _ = errors_of(forecaster, 1, 3)
    assert len(table[0][0]) == 50 - 4
    assert len(table[1][0]) == 48 - 4
    point = backtest(forecaster, y, fh=[1], start=149)
    errors = (point["y_true"] - point["y_pred"]).dropna()
    assert len(errors) == 46
    scale = forecaster.scaler_.scale_[0, 0]
    relative = table[0][0] / np.abs(table[0][0]).mean()
    expected = np.sort(errors / scale) / np.abs(errors / scale).mean()
    np.testing.assert_allclose(relative, expected, atol=1e-4)


def test_filled_values_of_one_column_are_residuals_of_none_but_the_other():
    y = pd.DataFrame({"a": noise(200, 0), "b": noise(200, 1)})
    y.loc[170:179, "b"] = np.nan
    forecaster = GRUForecaster(validation_split=0.25, **SMALL).fit(y)
    (columns,), _ = errors_of(forecaster, 1)
    assert [len(column) for column in columns] == [50, 40]


@STRATEGIES
@pytest.mark.parametrize("update_params", [False, True])
def test_rows_after_the_held_out_ones_are_none_of_the_first_errors(strategy, update_params):
    y = noise(260)
    forecaster = GRUForecaster(strategy=strategy, validation_split=0.25, **SMALL)
    forecaster.fit(y[:200], fh=[1, 3])
    before, _ = errors_of(forecaster, 1, 3)
    forecaster.update(y[200:], update_params=update_params)
    after, _ = errors_of(forecaster, 1, 3)
    assert [len(row[0]) for row in after] == [len(row[0]) for row in before] == [50, 48]
    if not update_params:
        for one, other in zip(before, after, strict=True):
            np.testing.assert_allclose(one[0], other[0], rtol=1e-6)


def test_held_out_rows_are_the_same_moments_after_an_update_with_earlier_rows():
    index = pd.date_range("2024-01-01", periods=300, freq="h")
    y = noise(300).set_axis(index)
    forecaster = GRUForecaster(validation_split=0.25, **SMALL).fit(y[100:])
    before, _ = errors_of(forecaster, 1)
    forecaster.update(y[50:110], update_params=False)
    after, _ = errors_of(forecaster, 1)
    np.testing.assert_allclose(after[0][0], before[0][0], rtol=1e-5)


def test_held_out_rows_that_an_update_revises_give_the_errors_of_their_new_values():
    y = noise(200)
    forecaster = GRUForecaster(validation_split=0.25, **SMALL).fit(y)
    revised = y.copy()
    revised.iloc[180:] = np.nan
    forecaster.update(revised[170:], update_params=False)
    (columns,), _ = errors_of(forecaster, 1)
    assert len(columns[0]) == 50 - 20


@pytest.mark.parametrize(
    ("lengths", "first", "stop"),
    [([20, 10], [15, 8], [20, 10]), ([17, 10], [15, 8], [17, 10]), ([9, 3], [9, 3], [9, 3])],
    ids=["whole", "the end is gone", "all held-out rows are gone"],
)
def test_held_out_rows_end_with_the_series(lengths, first, stop):
    parts = {"a": noise(20).to_frame(), "b": noise(10).to_frame()}
    panel = GRUForecaster(**SMALL).fit(pd.concat(parts)).fitted_.panel
    held_out = HeldOut(np.array([15, 8]), np.array([20, 10]))
    rows = held_out.rows(panel.cut(np.array(lengths)))
    assert [part.tolist() for part in rows] == [first, stop]


def test_cutoffs_of_many_held_out_rows_are_spread_evenly(monkeypatch):
    y = noise(200)
    forecaster = GRUForecaster(validation_split=0.25, **SMALL).fit(y)
    every, _ = errors_of(forecaster, 1)
    monkeypatch.setattr(module, "MOST_CUTOFFS", 10)
    some, _ = errors_of(forecaster, 1)
    assert len(some[0][0]) == 10
    sizes = np.abs(every[0][0]).mean() / np.abs(some[0][0]).mean()
    assert 0.3 < sizes < 3
    assert forecaster.predict_interval(fh=[1]).notna().all(axis=None)


@STRATEGIES
def test_horizon_without_a_held_out_error_is_named(strategy):
    y = noise(200)
    y.iloc[155:] = np.nan  # five of the held-out rows are left
    forecaster = GRUForecaster(strategy=strategy, validation_split=0.25, **SMALL)
    forecaster.fit(y, fh=[1, 5, 6])
    if strategy == "recursive":
        assert forecaster.predict_interval(fh=[1, 5]).notna().all(axis=None)
    with pytest.raises(ValueError, match="need errors of held-out rows 6 steps ahead"):
        forecaster.predict_interval(fh=[1, 5, 6])


# ------------------------------------------------------------------- intervals after updates


def trained_rows(monkeypatch):
    """Rows of the one series that are targets of the training steps from now on."""
    from skrnn.training.trainer import Trainer

    rows, step = [], Trainer.step

    def recorded(trainer, chunk):
        t = chunk.steps.n_past if chunk.at is None else chunk.steps.n_past.gather(1, chunk.at)
        horizons = trainer.chunks.data.steps_after
        target = (t[..., None] + horizons)[chunk.weight[..., 0] > 0]
        rows.extend(target.tolist())
        return step(trainer, chunk)

    monkeypatch.setattr(Trainer, "step", recorded)
    return rows


@STRATEGIES
@pytest.mark.parametrize("supervision", ["dense", "last"])
def test_update_trains_on_the_new_rows_and_on_none_that_is_held_out(
    monkeypatch, strategy, supervision
):
    y = noise(260)
    settings = SMALL | {"strategy": strategy, "supervision": supervision, "num_epochs": 10}
    forecaster = GRUForecaster(validation_split=0.25, **settings).fit(y[:200], fh=[1, 3])
    rows = trained_rows(monkeypatch)
    forecaster.update(y[200:230])
    forecaster.update(y[230:])
    assert set(rows) == set(range(200, 260))
    rows.clear()
    forecaster.update(y[140:260])  # nothing new, perhaps revised: the last rows before these
    assert rows
    assert max(rows) < 150


@STRATEGIES
def test_weights_after_an_update_depend_on_held_out_values_as_inputs_alone(monkeypatch, strategy):
    # With a window of 24 steps and no lags further back, the new rows' forecasts do not read the
    # earlier of the held-out rows.
    y = noise(230)
    settings = SMALL | {"naive": ["last"], "lags": None, "strategy": strategy}
    weights = []
    for change in (0.0, 5.0):
        forecaster = GRUForecaster(validation_split=0.25, **settings).fit(y[:200], fh=[1, 3])
        fitted = forecaster.fitted_
        values = fitted.panel.values.copy()
        values[150:170] += change
        forecaster.fitted_ = replace(fitted, panel=replace(fitted.panel, values=values))
        forecaster.update(y[200:])
        weights.append(forecaster.network_.state_dict())
    assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])
