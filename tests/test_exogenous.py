"""Covariates: known in advance or in the past alone, numbers or categories, holidays."""

import numpy as np
import pandas as pd
import pytest

from skrnn import GRUForecaster, backtest

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = {"hidden_size": 16, "window_length": 48, "sp": None, "random_state": 0}
STRATEGIES = pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
N, TRAIN = 900, 800
INDEX = pd.date_range("2024-01-01", periods=N, freq="h")


def driven_by(column, effect):
    noise = 0.1 * np.random.default_rng(9).normal(size=N)
    return pd.Series(10 + column.map(effect).astype(float).to_numpy() + noise, index=INDEX)


@STRATEGIES
def test_category_of_the_forecast_step_explains_y(strategy):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"sky": rng.choice(["clear", "cloud", "rain"], N)}, index=INDEX)
    y = driven_by(X["sky"], {"clear": 5.0, "cloud": 0.0, "rain": 9.0})
    forecaster = GRUForecaster(strategy=strategy, num_epochs=250, **SETTINGS)
    forecaster.fit(y[:TRAIN], X[:TRAIN], fh=range(1, 13))
    forecast = forecaster.predict(X=X[TRAIN:])
    assert (forecast - y[TRAIN : TRAIN + 12]).abs().mean() < 1.0  # a constant is 3.2 off
    assert forecaster.network_.embeddings[0].num_embeddings == 3


def test_category_may_be_of_any_type_and_order():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, N)
    y = pd.Series(codes * 1.0, index=INDEX)
    words = np.array(["a", "b", "c"])[codes]
    forecasts = []
    for column in (words.astype(object), pd.Categorical(words, categories=["c", "b", "a"])):
        X = pd.DataFrame({"kind": column}, index=INDEX)
        forecaster = GRUForecaster(num_epochs=2, **SETTINGS).fit(y[:TRAIN], X[:TRAIN])
        forecasts.append(forecaster.predict(fh=[1, 2], X=X[TRAIN:]))
    pd.testing.assert_series_equal(*forecasts)


@STRATEGIES
def test_past_covariate_drives_y_and_is_not_asked_for_at_predict(strategy):
    rng = np.random.default_rng(1)
    lead = pd.Series(rng.normal(size=N), index=INDEX)
    y = (3 * lead.shift(1, fill_value=0.0) + 0.1 * rng.normal(size=N)).rename("y")
    X = lead.to_frame("lead")
    forecaster = GRUForecaster(strategy=strategy, past_covariates=["lead"], **SETTINGS)
    forecaster.fit(y[:TRAIN], X[:TRAIN], fh=[1, 2])
    made = forecaster.predict(fh=[1, 2])  # without X
    pd.testing.assert_series_equal(made, forecaster.predict(fh=[1, 2], X=X[TRAIN:]))
    table = backtest(forecaster, y, X, fh=[1], start=TRAIN - 1)
    error = (table["y_true"] - table["y_pred"]).abs().mean()
    assert error < 1.0  # without the lead, 2.4


@STRATEGIES
def test_past_covariates_may_be_missing_and_known_ones_stand_beside_them(strategy):
    rng = np.random.default_rng(1)
    X = pd.DataFrame({"known": rng.normal(size=N), "past": rng.normal(size=N)}, index=INDEX)
    y = 3 * X["known"]
    X.loc[rng.random(N) < 0.3, "past"] = np.nan
    settings = SETTINGS | {"num_epochs": 200, "strategy": strategy, "past_covariates": ["past"]}
    forecaster = GRUForecaster(**settings).fit(y[:TRAIN], X[:TRAIN], fh=[1, 2, 3])
    forecast = forecaster.predict(X=X[["known"]][TRAIN:])
    assert (forecast - y[TRAIN : TRAIN + 3]).abs().mean() < 1.0
    with pytest.raises(ValueError, match=r"\['known'\]"):
        forecaster.predict(X=X[["past"]][TRAIN:])


def test_update_needs_past_covariates_and_forecasts_from_them():
    rng = np.random.default_rng(1)
    lead = pd.Series(rng.normal(size=N), index=INDEX)
    y = 3 * lead.shift(1, fill_value=0.0)
    X = lead.to_frame("lead")
    forecaster = GRUForecaster(past_covariates=["lead"], **SETTINGS).fit(y[:TRAIN], X[:TRAIN])
    expected = backtest(forecaster, y, X, start=TRAIN + 9)["y_pred"].iloc[0]
    with pytest.raises(ValueError, match="X is None"):
        forecaster.update(y[TRAIN : TRAIN + 10], update_params=False)
    new = slice(TRAIN, TRAIN + 10)
    forecaster.update(y[new], X[new], update_params=False)
    assert forecaster.predict(fh=1).iloc[0] == pytest.approx(expected, rel=1e-5)


@STRATEGIES
def test_constant_columns_tell_series_apart(strategy):
    # Half of the series rise with x, half fall; a static column says which, numeric or not.
    rng = np.random.default_rng(2)
    x = rng.normal(size=(8, 300))
    sign = np.repeat([1.0, -1.0], 4)
    frames = {}
    for s in range(8):
        frames[f"s{s}"] = pd.DataFrame(
            {"y": sign[s] * x[s], "x": x[s], "kind": "up" if sign[s] > 0 else "down"}
        )
    data = pd.concat(frames)
    y, X = data[["y"]], data[["x", "kind"]]
    now = data.index.get_level_values(1) < 290
    settings = SETTINGS | {"num_epochs": 250, "strategy": strategy}
    forecaster = GRUForecaster(**settings).fit(y[now], X[now], fh=[1, 2])
    forecast = forecaster.predict(X=X[~now])
    truth = y[~now].loc[forecast.index]
    assert (forecast - truth).abs().mean().iloc[0] < 0.4  # not knowing which, 0.8


@STRATEGIES
def test_holidays_and_the_days_around_them_are_known(strategy):
    days = pd.date_range("2015-01-01", "2020-12-31", freq="D")
    months = pd.period_range("2015-01", "2020-12", freq="M")
    free = pd.DatetimeIndex([f"{m}-{1 + (7 * i) % 27:02d}" for i, m in enumerate(months)])
    load = np.full(len(days), 100.0)
    load[days.isin(free)] = 50.0
    load[days.isin(free + pd.Timedelta("1D"))] = 80.0
    y = pd.Series(load + np.random.default_rng(3).normal(size=len(days)), index=days)
    train = y[:"2019"]
    settings = SETTINGS | {
        "calendar": None,
        "strategy": strategy,
        "criterion": "mse",
        "num_epochs": 300,
    }
    errors = {}
    for holidays in (None, free):
        forecaster = GRUForecaster(holidays=holidays, **settings).fit(train, fh=[1, 2])
        table = backtest(forecaster, y, fh=[1, 2], start=len(train) - 1)
        off = (table["y_true"] - table["y_pred"]).abs()
        time = table.index.get_level_values("time")
        errors[holidays is None] = off[time.isin(free)].mean()
    assert errors[True] > 34  # not knowing of them, some 40
    assert errors[False] < 20


def test_holidays_of_a_country_are_those_of_the_package():
    y = pd.Series(np.arange(400.0), index=pd.date_range("2023-01-01", periods=400, freq="D"))
    one = GRUForecaster(holidays="US", num_epochs=1, **SETTINGS).fit(y)
    model = one.fitted_.model
    waves = model.features.encode_calendar(model.timeline, np.arange(400))[:, -3:]
    fourth = y.index.get_loc("2023-07-04")
    assert waves[fourth - 1 : fourth + 2].tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]


def test_nan_in_known_covariates_is_refused():
    X = pd.DataFrame({"x": np.arange(N) * 1.0, "kind": "a"}, index=INDEX)
    y = pd.Series(np.arange(N) * 1.0, index=INDEX)
    for column in X.columns:
        broken = X.copy()
        broken.loc[INDEX[5], column] = np.nan
        with pytest.raises(ValueError, match=rf"X must be finite, but column '{column}'.*05:00"):
            GRUForecaster(num_epochs=1, **SETTINGS).fit(y, broken)
