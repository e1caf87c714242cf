"""Explanations: contributions that add up to the forecast, what-ifs, and importance."""

import io

import numpy as np
import pandas as pd
import pytest
import torch
from sktime.forecasting.naive import NaiveForecaster

import skrnn
from builders import randomised
from skrnn import GRUForecaster, LSTMForecaster, backtest, explain, importance, smape
from skrnn.contract.horizons import steps_ahead
from small_cases import LEARNER, hourly, noisy, panel

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {"window_length": 12, "hidden_size": 4, "num_epochs": 0, "random_state": 0}
BOTH = pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
FH = [1, 2, 3, 5, 14]


def covariates(index, seed=3):
    """A number, a category, a past covariate with gaps, and a name that is taken."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(len(index), 3)), index, ["x", "calendar", "lag 24"])
    X["kind"] = rng.choice(["a", "b", "c"], len(index))
    X["measured"] = np.where(rng.random(len(index)) < 0.2, np.nan, rng.normal(size=len(index)))
    return X


def with_network(forecaster):
    """The same with weights that correct much and mix unevenly."""
    torch.manual_seed(1)
    randomised(forecaster.network_)
    return forecaster


def fitted(y, X=None, cls=GRUForecaster, **settings):
    return with_network(cls(**SMALL | settings).fit(y, X, fh=FH))


def columns(y):
    """Two columns of very different level, with missing values."""
    y = pd.DataFrame({"a": y, "b": 1e7 + 3 * y.shift(2).bfill()})
    y.iloc[30:35, 0] = y.iloc[-2:, 1] = np.nan
    return y


def total(table, y_pred):
    """Sums of the contributions, shaped as the forecast."""
    if table.columns.nlevels == 3:
        return table.T.groupby(level=0, sort=False).sum(min_count=1).T[list(y_pred.columns)]
    return table.sum(axis=1, min_count=1).to_frame()


def check_sums(forecaster, fh=None, X=None):
    """The contributions add up to predict, and those of inputs to the correction."""
    y_pred = forecaster.predict(fh, X)
    y_pred = y_pred.to_frame() if isinstance(y_pred, pd.Series) else y_pred
    table, by_input = (explain(forecaster, fh, X, inputs=inputs) for inputs in (False, True))
    n_columns = y_pred.shape[1]
    scale = forecaster.scaler_.scale_[:, :n_columns].min(0)
    # 1e-6 is promised. What single precision leaves would be seen here, as it is given to sources.
    for each in (table, by_input):
        assert each.index.equals(y_pred.index)
        np.testing.assert_allclose(total(each, y_pred) / scale, y_pred / scale, rtol=0, atol=1e-8)
    names = [level for level in table.columns.names if level != "source"]
    parts, parts_by_input = (t.T.groupby(level=names).sum().T for t in (table, by_input))
    np.testing.assert_allclose(parts_by_input / scale.max(), parts / scale.max(), atol=1e-5)
    return by_input


CASES = {
    "default": {},
    "two layers of an LSTM": {"cls": LSTMForecaster, "num_layers": 2},
    "normal": {"criterion": "normal"},
    "studentt": {"criterion": "studentt"},
    "quantile": {"criterion": "quantile"},
    "quantiles without a median": {"criterion": "quantile", "quantiles": (0.2, 0.7, 0.9)},
    "no naive": {"naive": None},
    "no linear": {"linear_lags": None},
    "not scaled": {"scaler": None},
    "range": {"forecast_range": (95.0, 104.0)},
    "range of quantiles": {
        "criterion": "quantile",
        "quantiles": (0.2, 0.7),
        "forecast_range": (99.0, 101.0),
    },
}


@BOTH
@pytest.mark.parametrize("case", CASES)
def test_contributions_add_up_to_predict(strategy, case):
    settings = CASES[case] | {"strategy": strategy}
    check_sums(fitted(noisy(), sp=12, **settings))


@BOTH
@pytest.mark.parametrize("criterion", ["poisson", "negbinomial"])
def test_those_of_counts_add_up_to_predict(strategy, criterion):
    y = pd.Series(np.random.default_rng(0).poisson(2.0, 120))
    table = check_sums(fitted(y, criterion=criterion, strategy=strategy, sp=7))
    # The mean of counts is not the location; with a random network it often is far from it.
    assert table["distribution", "point"].abs().max() > 1e-3


def test_the_mean_of_many_counts_is_the_location_after_the_average_with_direct_forecasts():
    y = pd.Series(np.random.default_rng(0).poisson(50.0, 120))
    forecaster = GRUForecaster(**SMALL, criterion="poisson", sp=7).fit(y)
    table = explain(forecaster, range(1, 8))
    # (l + sqrt(l^2 + 4 e^2)) / 2 - l is about e^2 / l, with e = 0.02 and l = 7 in scaled units.
    assert table["distribution", "point"].abs().max() < 1e-3
    assert table["range", "bounds"].abs().max() == 0.0


@BOTH
def test_those_of_covariates_of_each_kind_add_up_to_predict(strategy):
    y = hourly(150)
    X = covariates(pd.date_range(y.index[0], periods=170, freq="h"))
    settings = {"strategy": strategy, "past_covariates": ["measured"]}
    forecaster = fitted(y, X[:150], holidays=["2024-01-06"], **settings)
    table = check_sums(forecaster, X=X[150:])
    named = {
        "x",
        "kind",
        "measured",
        "calendar (X)",
        "lag 24",
        "lag 24 (X)",
        "calendar",
        "holidays",
        "missing values",
    }
    assert named <= set(table["correction"].columns)
    # No source is left out: each of them moves this network.
    moving = table["correction"].abs().max().drop("holidays")
    assert (moving > 0).all()


@BOTH
def test_those_of_several_columns_with_missing_values_add_up_to_predict(strategy):
    table = check_sums(fitted(columns(noisy()), strategy=strategy, sp=12))
    assert table.columns.names == ["column", "part", "source"]
    assert (table["a"]["correction"]["missing values"] != 0).any()


@BOTH
def test_those_of_a_panel_add_up_to_predict_up_to_the_cutoff_and_after_it(strategy):
    forecaster = with_network(GRUForecaster(**SMALL, strategy=strategy).fit(panel(), fh=[-3, 0, 4]))
    table = check_sums(forecaster)
    assert len(table) == 9


def test_those_of_one_row_and_of_a_first_observation():
    forecaster = with_network(GRUForecaster(**SMALL).fit(noisy(60)))
    check_sums(forecaster, [1])
    assert check_sums(forecaster, [-59]).isna().all(axis=None)
    assert check_sums(forecaster, [-59, -58, 1]).isna().all(axis=1).tolist() == [True, False, False]


def test_those_after_update_and_load_add_up_to_predict():
    forecaster = with_network(GRUForecaster(**SMALL).fit(noisy(60)))
    forecaster.update(noisy(70)[60:], update_params=False)
    expected = check_sums(forecaster, FH)
    file = io.BytesIO()
    skrnn.save(forecaster, file)
    loaded = skrnn.load(file.getvalue())
    pd.testing.assert_frame_equal(check_sums(loaded, FH), expected)
    check_sums(forecaster.set_config().update(noisy(75)[70:]), FH)


def test_those_before_a_level_shift_add_up_to_predict():
    index = pd.date_range("2012-01", periods=120, freq="MS")
    y = noisy(120, index=index) + 60.0 * (np.arange(120) >= 117)
    forecaster = with_network(GRUForecaster(**SMALL).fit(y))
    assert forecaster.fitted_.model.level_shift is not None
    check_sums(forecaster, [-6, -1, 1, 3])


@pytest.mark.parametrize(
    ("index", "factor"),
    [
        (pd.period_range("2012-01", periods=100, freq="M"), 1e-9),
        (pd.date_range("2024-01-01", periods=100, freq="h", tz="Europe/Berlin"), 1e12),
        (pd.RangeIndex(1000, 1300, 3), 1.0),
    ],
    ids=["periods", "time zone", "steps of 3"],
)
def test_those_of_any_index_and_unit_add_up_to_predict(index, factor):
    check_sums(fitted(noisy(100, index=index) * factor), FH)


# ----------------------------------------------------------------- what a contribution is


def test_nothing_but_rounding_is_given_to_the_sources_by_their_shares():
    y = hourly(150)
    X = covariates(y.index)
    for strategy in ("recursive", "multioutput"):
        forecaster = fitted(y[:130], X[:130], past_covariates=["measured"], strategy=strategy)
        fit = forecaster.fitted_
        contributions = fit.model.contributions(by_input=True)
        steps = steps_ahead(fit.panel, forecaster._check_fh(None))
        explained, _, parameters = fit._unbounded(steps, X[130:], 0, contributions)
        own, parts, shares = explained._parts(parameters)
        rest = explained.distribution.point(own) - parts.sum(-1)
        assert np.abs(rest / forecaster.scaler_.scale_[:, :1]).max() < 2e-5
        np.testing.assert_allclose(shares.sum(-1), 1.0)


@pytest.mark.parametrize("linear_lags", [None, [1, 2, 12]])
def test_naive_contributions_are_weights_times_forecasts(linear_lags):
    y = noisy()
    settings = {"naive": ["last", "seasonal"], "sp": 12, "linear_lags": linear_lags}
    forecaster = GRUForecaster(**SMALL, **settings).fit(y)
    table, weights = explain(forecaster, [1]), forecaster.naive_.iloc[:, 0]
    assert table.columns.tolist()[:2] == [("naive", "last"), ("naive", "seasonal 12")]
    expected = weights.to_numpy()[:2] * [y.iloc[-1], y.iloc[-12]]
    np.testing.assert_allclose(table["naive"].iloc[0], expected, rtol=1e-6)
    assert table["correction", "network"].item() == 0.0


def test_the_last_value_of_a_later_step_is_the_forecast_before():
    settings = {"naive": ["last", "seasonal"], "sp": 12, "linear_lags": None}
    forecaster = GRUForecaster(**SMALL, **settings).fit(noisy())
    fh = range(1, 6)
    last, y_pred = explain(forecaster, fh)["naive", "last"], forecaster.predict(fh)
    weight = forecaster.naive_.loc[("last", 1)].item()
    np.testing.assert_allclose(last.to_numpy()[1:], weight * y_pred.to_numpy()[:-1], rtol=1e-6)


def test_a_forecast_in_range_owes_nothing_to_the_range_and_another_what_it_lacks():
    forecaster = fitted(noisy(), sp=12, forecast_range=(None, 101.0))
    free = fitted(noisy(), sp=12, forecast_range=None)
    table, y_pred = explain(forecaster, FH), free.predict(FH)
    np.testing.assert_allclose(table["range", "bounds"], np.minimum(101.0 - y_pred, 0.0), atol=1e-9)
    assert "range" not in explain(free, FH).columns.get_level_values("part")


N_DAYS, HORIZON = 900, 42


@pytest.fixture(scope="module")
def sales():
    """Days whose weekday, days off, temperature and promotions have known effects."""
    rng = np.random.default_rng(0)
    days = pd.date_range("2021-01-01", periods=N_DAYS + HORIZON, freq="D", name="day")
    X = pd.DataFrame({"temperature": rng.normal(15, 6, len(days))}, days)
    X["promotion"] = (rng.random(len(days)) < 0.2) * 1.0
    X["noise"] = rng.normal(size=len(days))
    off = days[np.arange(len(days)) % 23 == 11]
    effects = pd.DataFrame(
        {
            "season": 10 * np.array([1.0, 0.6, 0.3, 0.0, -0.2, -1.2, -0.5])[days.dayofweek],
            "holidays": -12.0 * days.isin(off),
            "temperature": 1.5 * (X["temperature"] - 15),
            "promotion": 9 * X["promotion"],
        }
    )
    y = 100 + effects.sum(axis=1) + rng.normal(0, 1, len(days))
    return y, X, list(off), effects


@pytest.fixture(scope="module", params=["recursive", "multioutput"])
def seller(request, sales):
    y, X, off, _ = sales
    settings = {"holidays": off, "hidden_size": 16, "num_epochs": 8, "random_state": 0}
    forecaster = GRUForecaster(strategy=request.param, **settings)
    return forecaster.fit(y[:N_DAYS], X[:N_DAYS], fh=range(1, HORIZON + 1))


def test_known_effects_are_recovered(sales, seller):
    _, X, _, effects = sales
    X, effects = X[N_DAYS:], effects[N_DAYS:]
    found = explain(seller, X=X, inputs=True).T.groupby(level="source").sum().T
    for name in ("holidays", "temperature", "promotion"):
        slope = np.polyfit(effects[name], found[name], 1)[0]
        assert slope == pytest.approx(1.0, abs=0.15), name
    assert found["noise"].std() < 0.15 * effects["temperature"].std()
    # In a recursive forecast, lags carry the effects of earlier steps. Of steps that are alike but
    # for the weekday, that of the weekday is what is left.
    alike = X.assign(temperature=15.0, promotion=0.0, noise=0.0)
    table = explain(seller, X=alike, inputs=True)
    season = table.drop(columns=["holidays"], level="source").sum(axis=1)
    assert np.polyfit(effects["season"], season, 1)[0] == pytest.approx(1.0, abs=0.15)


# ---------------------------------------------------------------------- counterfactuals


def test_a_counterfactual_adds_up_to_the_change_of_the_forecast(sales, seller):
    X = sales[1][N_DAYS:]
    changes = {"temperature": 4, "promotion": lambda column: 1 - column}
    table = explain(seller, X=X, counterfactual=changes)
    other = X.assign(temperature=X["temperature"] + 4, promotion=1 - X["promotion"])
    expected = seller.predict(X=other) - seller.predict(X=X)
    np.testing.assert_allclose(table.sum(axis=1), expected, atol=1e-5)
    assert X.equals(sales[1][N_DAYS:])
    changed = table.sum(axis=1).iloc[0]  # the first step has no forecast as an input
    assert changed == pytest.approx(6.0 + 9 * (1 - 2 * X["promotion"].iloc[0]), rel=0.15)


def test_a_counterfactual_replaces_a_category():
    y = hourly(150)
    X = covariates(pd.date_range(y.index[0], periods=170, freq="h")).drop(columns="measured")
    forecaster = fitted(y, X[:150])
    # X may be a Series, of a single column.
    series, x = fitted(y, X[["x"]][:150]), X["x"][150:]
    found = explain(series, X=x, counterfactual={"x": 1.0}).sum(axis=1)
    np.testing.assert_allclose(found, series.predict(X=x + 1) - series.predict(X=x), atol=1e-5)
    found = explain(forecaster, X=X[150:], counterfactual={"kind": "b"}).sum(axis=1)
    expected = forecaster.predict(X=X[150:].assign(kind="b")) - forecaster.predict(X=X[150:])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert (expected != 0).any()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"counterfactual": {"wind": 1}},
            ValueError,
            r"\['x', 'calendar', 'lag 24', 'kind'\]. Got 'wind'",
        ),
        ({"counterfactual": {"measured": 1}}, ValueError, "Got 'measured'"),
        ({"counterfactual": {"x": "warm"}}, TypeError, "Got 'warm' for 'x'"),
        ({"counterfactual": {"kind": "d"}}, ValueError, "holds 'd'"),
        ({"counterfactual": 5}, TypeError, "must map names"),
        ({"counterfactual": {}}, TypeError, "must map names"),
        ({"counterfactual": {"x": 1}, "X": None}, TypeError, "Got NoneType"),
        ({"X": None}, ValueError, "X is None"),
    ],
)
def test_wrong_arguments_are_named(arguments, error, message):
    y = hourly(60)
    X = covariates(pd.date_range(y.index[0], periods=80, freq="h"))
    forecaster = GRUForecaster(**SMALL, past_covariates=["measured"]).fit(y, X[:60])
    with pytest.raises(error, match=message):
        explain(forecaster, [1, 2], **{"X": X[60:]} | arguments)


def test_other_forecasters_and_unfitted_ones_are_refused():
    with pytest.raises(TypeError, match="explain must be a forecaster of skrnn, but got Naive"):
        explain(NaiveForecaster().fit(noisy()), [1])
    with pytest.raises(TypeError, match="importance must be a forecaster of skrnn"):
        importance(NaiveForecaster().fit(noisy()), noisy())
    for call in (lambda f: explain(f, [1]), lambda f: importance(f, noisy())):
        with pytest.raises(Exception, match="not been fitted"):
            call(GRUForecaster())


# --------------------------------------------------------------------------- importance


def test_importance_is_the_growth_of_the_error(sales):
    y, X, off, _ = sales
    settings = {"holidays": off, "hidden_size": 4, "num_epochs": 0, "random_state": 0}
    forecaster = GRUForecaster(**settings).fit(y[:N_DAYS], X[:N_DAYS])
    table = importance(forecaster, y, X, start=N_DAYS - 200, n_repeats=3, random_state=0)
    made = backtest(forecaster, y, X, start=N_DAYS - 200)
    expected = (made["y_true"] - made["y_pred"]).abs().mean()
    np.testing.assert_allclose(table["error"], expected)
    assert table.index[0] == "temperature"
    assert set(table.index) == {"temperature", "promotion", "noise", "calendar", "holidays"}
    # The difference of two temperatures, 9 degrees of effect each, and of two errors of 1.
    absolute = np.sqrt(2 / np.pi)
    growth = absolute * (np.sqrt(2 * 9.0**2 + 1) - 1)
    assert table.loc["temperature", "importance"] == pytest.approx(growth, rel=0.15)
    assert abs(table.loc["noise", "importance"]) < 0.05
    assert table.loc[["calendar", "holidays"], "importance"].min() > 0.3
    assert (table["std"] > 0).all()
    assert table["std"].max() < 1.0
    again = importance(forecaster, y, X, start=N_DAYS - 200, n_repeats=3, random_state=0)
    pd.testing.assert_frame_equal(table, again)


def test_importance_of_past_covariates_and_categories_by_another_score():
    index = hourly(300).index
    X = covariates(index)
    y = 100 + 30.0 * (X["kind"] == "a")
    settings = {"past_covariates": ["measured"], "naive": None, "num_epochs": 40, "lr": 0.03}
    forecaster = GRUForecaster(**LEARNER | settings).fit(y[:240], X[:240])
    table = importance(forecaster, y, X, scoring=smape, n_repeats=2, random_state=0)
    assert table.index[0] == "kind"
    assert table["importance"].is_monotonic_decreasing
    assert set(table.index) == {"kind", "measured", "x", "calendar (X)", "lag 24 (X)", "calendar"}
    assert table.loc["kind", "importance"] > 2
    assert table.loc["measured", "importance"] != 0


def test_importance_of_a_panel_shuffles_what_is_constant_within_each_series():
    y = panel((100, 100, 100))
    X = y[[]].assign(size=np.repeat([1.0, 2.0, 3.0], 100))
    forecaster = with_network(GRUForecaster(**SMALL).fit(y, X))
    table = importance(forecaster, y, X, fh=[1, 2], n_repeats=2, random_state=0)
    assert table.loc["size", "std"] > 0


def test_scoring_is_a_callable():
    with pytest.raises(TypeError, match=r"'scoring' parameter .* Got 'mae' instead"):
        importance(GRUForecaster(**SMALL).fit(noisy()), noisy(), scoring="mae")


@pytest.mark.parametrize("n_repeats", [0, -1, 1.5, True, "3"])
def test_number_of_repeats_is_a_positive_int(n_repeats):
    with pytest.raises(ValueError, match="n_repeats"):
        importance(GRUForecaster(**SMALL).fit(noisy()), noisy(), n_repeats=n_repeats)


def test_importance_without_anything_to_shuffle_is_refused():
    forecaster = GRUForecaster(**SMALL, sp=None).fit(noisy())
    with pytest.raises(ValueError, match="reads none of"):
        importance(forecaster, noisy())
