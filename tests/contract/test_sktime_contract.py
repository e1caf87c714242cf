"""What sktime asks of a forecaster, by value: checks, evaluate, pipelines, pretrain, update."""

import copy
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import sktime
import torch
from monthly_sales import CLASSES, FH, SMALL, covariate, forecasters, monthly, panel, weights
from packaging.version import Version
from sktime.forecasting.model_evaluation import evaluate
from sktime.forecasting.model_selection import ForecastingGridSearchCV
from sktime.split import ExpandingWindowSplitter, SlidingWindowSplitter
from sktime.transformations.series.boxcox import LogTransformer
from sktime.transformations.series.detrend import Deseasonalizer, Detrender
from sktime.transformations.series.exponent import ExponentTransformer
from sktime.utils.estimator_checks import check_estimator, parametrize_with_checks

from skrnn import SMAPE, GRUForecaster, RNNForecaster, smape
from small_cases import same_weights

pytestmark = pytest.mark.usefixtures("one_thread")

# ------------------------------------------------------------------ sktime's own checks


# Before 1.2 these checks read the data that sktime keeps, also where remember_data is off.
READ_KEPT_DATA = ("test__y_and_cutoff", "test__y_when_refitting")


@parametrize_with_checks(CLASSES, obj_varname="cls")
def test_every_check_of_sktime_passes(cls, test_name):
    if Version(sktime.__version__) < Version("1.2") and test_name in READ_KEPT_DATA:
        return
    results = check_estimator(cls, tests_to_run=test_name, raise_exceptions=False, verbose=False)
    assert {name: result for name, result in results.items() if str(result) != "PASSED"} == {}


@forecasters
def test_sktime_has_checks_of_every_kind(cls):
    # A class that sktime cannot run is checked by nothing.
    (parameters,) = [mark.args[1] for mark in test_every_check_of_sktime_passes.pytestmark]
    names = {name for checked, name in parameters if checked is cls}
    assert len(names) > 50
    assert {
        "test_predict_quantiles",
        "test_hierarchical_with_exogenous",
        "test_fit_idempotent",
    } <= names


@forecasters
def test_no_check_of_sktime_is_switched_off(cls):
    assert not cls.get_class_tag("tests:skip_by_name", None)
    assert not cls.get_class_tag("tests:skip_all", False)


@forecasters
def test_construction_warns_of_nothing(cls):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cls()
        cls(**SMALL).clone()


@forecasters
def test_sktime_keeps_no_second_copy_of_the_data(cls):
    forecaster = cls(**SMALL).fit(monthly(), X=covariate(monthly()))
    assert forecaster.get_config()["remember_data"] is False
    assert forecaster._y is None
    assert forecaster._X is None


# ------------------------------------------------------------------ evaluation and search


def scores_by_hand(forecaster, y, X, cv, strategy):
    """The loop that `evaluate` stands for, shown only the rows that are new at each split."""
    scores, known = [], 0
    for train, test in cv.split(y):
        X_test = None if X is None else X.iloc[test]
        X_new = None if X is None else X.iloc[known : train[-1] + 1]
        if not scores or strategy == "refit":
            forecaster = forecaster.clone()
            forecaster.fit(y.iloc[train], X=None if X is None else X.iloc[train], fh=FH)
        else:
            y_new = y.iloc[known : train[-1] + 1]
            forecaster.update(y_new, X=X_new, update_params=strategy == "update")
        known = train[-1] + 1
        scores.append(smape(y.iloc[test], forecaster.predict(fh=FH, X=X_test)))
    return scores


@forecasters
@pytest.mark.parametrize("strategy", ["refit", "update", "no-update_params"])
@pytest.mark.parametrize("with_x", [False, True], ids=["y", "y and X"])
def test_evaluate_equals_the_loop_by_hand(cls, strategy, with_x):
    y = monthly()
    X = covariate(y) if with_x else None
    cv = ExpandingWindowSplitter(initial_window=60, step_length=12, fh=FH)
    forecaster = cls(**SMALL)
    table = evaluate(forecaster, cv, y, X, strategy=strategy, scoring=SMAPE(), error_score="raise")
    expected = scores_by_hand(forecaster, y, X, cv, strategy)
    assert len(expected) == 3
    assert len(set(expected)) == 3
    np.testing.assert_allclose(table["test_SMAPE"], expected, rtol=1e-5)


def test_evaluation_strategies_give_three_different_answers():
    y, cv = monthly(), ExpandingWindowSplitter(initial_window=60, step_length=12, fh=FH)
    last = {
        strategy: scores_by_hand(GRUForecaster(**SMALL), y, None, cv, strategy)[-1]
        for strategy in ("refit", "update", "no-update_params")
    }
    assert len(set(last.values())) == 3


@forecasters
def test_sktimes_grid_search_picks_the_lowest_smape(cls):
    y = monthly()
    cv = ExpandingWindowSplitter(initial_window=72, step_length=6, fh=FH)
    naive = [["last"], ["shifted"], ["seasonal"]]
    forecaster = cls(**{**SMALL, "num_epochs": 0, "linear_lags": None})
    search = ForecastingGridSearchCV(
        forecaster, cv, {"naive": naive}, scoring=SMAPE(), error_score="raise"
    )
    search.fit(y)
    expected = [
        np.mean(scores_by_hand(forecaster.clone().set_params(naive=n), y, None, cv, "refit"))
        for n in naive
    ]
    np.testing.assert_allclose(search.cv_results_["mean_test_SMAPE"], expected, rtol=1e-5)
    # The seasonal forecasts know the year, and only the shifted one knows the trend as well.
    assert np.argmin(expected) == 1
    assert search.best_params_ == {"naive": ["shifted"]}
    np.testing.assert_allclose(
        search.predict(fh=FH),
        forecaster.clone().set_params(naive=["shifted"]).fit(y).predict(fh=FH),
    )


def test_sktimes_grid_search_compares_the_cells():
    y = monthly()
    cv = SlidingWindowSplitter(window_length=60, step_length=12, fh=FH)
    cells = ["gru", "lstm", "rnn"]
    # Enough training that the cells part company.
    forecaster = RNNForecaster(**{**SMALL, "num_epochs": 10, "lr": 0.03, "linear_lags": None})
    search = ForecastingGridSearchCV(forecaster, cv, {"cell": cells}, scoring=SMAPE())
    search.fit(y)
    expected = [
        np.mean(scores_by_hand(forecaster.clone().set_params(cell=c), y, None, cv, "refit"))
        for c in cells
    ]
    assert len(set(expected)) == 3
    np.testing.assert_allclose(search.cv_results_["mean_test_SMAPE"], expected, rtol=1e-5)
    assert search.best_params_ == {"cell": cells[int(np.argmin(expected))]}


# ------------------------------------------------------------------ pipelines


@forecasters
@pytest.mark.parametrize(
    "transformer",
    [Deseasonalizer(sp=12), Detrender(), LogTransformer()],
    ids=["Deseasonalizer", "Detrender", "LogTransformer"],
)
def test_pipeline_equals_transforming_by_hand(cls, transformer):
    y = monthly()
    pipeline = (transformer.clone() * cls(**SMALL)).fit(y, fh=FH)
    by_hand = transformer.clone().fit(y)
    transformed = cls(**SMALL).fit(by_hand.transform(y)).predict(fh=FH)
    expected = by_hand.inverse_transform(transformed)
    pd.testing.assert_series_equal(pipeline.predict(), expected)
    plain = cls(**SMALL).fit(y).predict(fh=FH)
    assert np.abs(expected - plain).max() > 0.01


@forecasters
def test_pipeline_slides_the_context_in_an_update(cls):
    y = monthly()
    pipeline = (LogTransformer() * cls(**SMALL)).fit(y[:80], fh=FH)
    pipeline.update(y[80:], update_params=False)
    by_hand = cls(**SMALL).fit(np.log(y[:80])).update(np.log(y[80:]), update_params=False)
    pd.testing.assert_series_equal(pipeline.predict(), np.exp(by_hand.predict(fh=FH)))


@forecasters
def test_transformer_of_x_equals_transforming_x_by_hand(cls):
    y = monthly()
    X = covariate(y)
    train, test = slice(0, 90), slice(90, 93)
    pipeline = (ExponentTransformer(power=3) ** cls(**SMALL)).fit(y[train], X=X[train], fh=FH)
    by_hand = cls(**SMALL).fit(y[train], X=X[train] ** 3)
    expected = by_hand.predict(fh=FH, X=X[test] ** 3)
    pd.testing.assert_series_equal(pipeline.predict(X=X[test]), expected)
    plain = cls(**SMALL).fit(y[train], X=X[train]).predict(fh=FH, X=X[test])
    assert np.abs(expected - plain).max() > 1e-4


# ------------------------------------------------------------------ update


def with_weights_of(trained, y, X=None):
    """Forecast from the history y with another forecaster's network and scalers."""
    forecaster = type(trained)(**trained.get_params()).set_params(num_epochs=0).fit(y, X=X)
    forecaster.fitted_ = replace(forecaster.fitted_, model=trained.fitted_.model)
    return forecaster


@forecasters
@pytest.mark.parametrize("with_x", [False, True], ids=["y", "y and X"])
def test_update_without_training_forecasts_from_the_longer_history(cls, with_x):
    y = monthly()
    X = covariate(y) if with_x else None
    old, new, ahead = slice(0, 80), slice(80, 93), slice(93, 96)
    forecaster = cls(**SMALL).fit(y[old], X=X[old] if with_x else None)
    forecaster.update(y[new], X=X[new] if with_x else None, update_params=False)
    X_ahead = X[ahead] if with_x else None
    longer = with_weights_of(forecaster, y[:93], X[:93] if with_x else None)
    expected = longer.predict(fh=FH, X=X_ahead)
    pd.testing.assert_series_equal(forecaster.predict(fh=FH, X=X_ahead), expected)
    assert list(expected.index) == list(y.index[ahead])


@forecasters
def test_update_without_training_leaves_the_weights(cls):
    y = monthly()
    forecaster = cls(**SMALL).fit(y[:80])
    before, epochs = weights(forecaster.network_), len(forecaster.history_)
    forecaster.update(y[80:], update_params=False)
    assert same_weights(weights(forecaster.network_), before)
    assert len(forecaster.history_) == epochs


@forecasters
def test_update_without_training_reacts_to_the_newest_observation(cls):
    y = monthly()
    moved = y.copy()
    moved.iloc[-1] += 50
    one, other = (cls(**SMALL).fit(y[:80]) for _ in range(2))
    one.update(y[80:], update_params=False)
    other.update(moved[80:], update_params=False)
    assert (other.predict(fh=[1]) - one.predict(fh=[1])).abs().iloc[0] > 1


@forecasters
def test_update_trains_on_from_the_present_weights(cls):
    y = monthly()
    forecaster = cls(**SMALL).fit(y[:80])
    before, epochs = weights(forecaster.network_), len(forecaster.history_)
    forecaster.update(y[80:])
    after = weights(forecaster.network_)
    assert not same_weights(after, before)
    # A tenth of the learning rate for the share of the data that is new: near the old weights.
    for name in before:
        torch.testing.assert_close(after[name], before[name], rtol=0, atol=0.01)
    assert list(forecaster.history_["epoch"]) == list(range(1, len(forecaster.history_) + 1))
    assert len(forecaster.history_) > epochs
    longer = with_weights_of(forecaster, y)
    pd.testing.assert_series_equal(forecaster.predict(fh=FH), longer.predict(fh=FH))


@forecasters
@pytest.mark.parametrize("update_params", [False, True])
def test_update_reads_nothing_that_sktime_remembers(cls, update_params):
    y = monthly()
    X = covariate(y)
    one, other = (cls(**SMALL).fit(y[:80], X=X[:80]) for _ in range(2))
    other._y, other._X = "not the data", "not the data"
    for forecaster in (one, other):
        forecaster.update(y[80:93], X=X[80:93], update_params=update_params)
    expected = one.predict(fh=FH, X=X[93:])
    pd.testing.assert_series_equal(other.predict(fh=FH, X=X[93:]), expected)


@forecasters
def test_remembered_data_change_no_forecast(cls):
    y = monthly()
    one, other = cls(**SMALL), cls(**SMALL).set_config(remember_data=True)
    for forecaster in (one, other):
        forecaster.fit(y[:80]).update(y[80:])
    pd.testing.assert_series_equal(other.predict(fh=FH), one.predict(fh=FH))


@forecasters
def test_overlapping_update_equals_one_of_the_new_rows_alone(cls):
    y = monthly()
    one = cls(**SMALL).fit(y[:80]).update(y[80:], update_params=False)
    other = cls(**SMALL).fit(y[:80]).update(y[70:], update_params=False)
    pd.testing.assert_series_equal(other.predict(fh=FH), one.predict(fh=FH))


@forecasters
def test_update_with_corrected_rows_forecasts_from_the_correction(cls):
    y = monthly()
    corrected = y.copy()
    corrected.iloc[70:80] += 30
    forecaster = cls(**SMALL).fit(y[:80]).update(corrected[70:], update_params=False)
    longer = with_weights_of(forecaster, corrected)
    pd.testing.assert_series_equal(forecaster.predict(fh=FH), longer.predict(fh=FH))


@forecasters
def test_same_update_twice_is_the_update_once(cls):
    y = monthly()
    forecaster = cls(**SMALL).fit(y[:80]).update(y[80:], update_params=False)
    once = forecaster.predict(fh=FH)
    twice = forecaster.update(y[80:], update_params=False).predict(fh=FH)
    pd.testing.assert_series_equal(twice, once)


@forecasters
def test_many_small_updates_equal_one_large_update(cls):
    y = monthly()
    one = cls(**SMALL).fit(y[:80]).update(y[80:], update_params=False)
    other = cls(**SMALL).fit(y[:80])
    for i in range(80, 96):
        other.update(y[i : i + 1], update_params=False)
    pd.testing.assert_series_equal(other.predict(fh=FH), one.predict(fh=FH))


@forecasters
def test_update_after_a_gap_is_refused_and_changes_nothing(cls):
    y = monthly()
    forecaster = cls(**SMALL).fit(y[:80])
    before = forecaster.predict(fh=FH)
    with pytest.raises(ValueError, match=r"2006-09.*2006-11") as error:
        copy.deepcopy(forecaster).update(y[82:], update_params=False)
    assert "Pass the rows between" in str(error.value)
    pd.testing.assert_series_equal(forecaster.predict(fh=FH), before)


@forecasters
@pytest.mark.parametrize("update_params", [False, True])
def test_cutoff_is_the_last_observation(cls, update_params):
    y = monthly()
    forecaster = cls(**SMALL).fit(y[:80])
    assert forecaster.cutoff[0] == y.index[79]
    forecaster.update(y[80:90], update_params=update_params)
    assert forecaster.cutoff[0] == y.index[89]
    assert list(forecaster.predict(fh=FH).index) == list(y.index[90:93])


@forecasters
def test_update_of_one_series_leaves_the_others(cls):
    y = panel()
    train = y.groupby(level=0).head(50)
    forecaster = cls(**SMALL).fit(train)
    before = forecaster.predict(fh=FH)
    forecaster.update(y.loc[["s1"]].iloc[50:], update_params=False)
    after = forecaster.predict(fh=FH)
    pd.testing.assert_frame_equal(after.loc[["s0", "s2"]], before.loc[["s0", "s2"]])
    assert list(after.loc["s1"].index) == [y.loc["s1"].index[-1] + h for h in FH]


@forecasters
def test_update_predict_equals_the_loop_by_hand(cls):
    y = monthly()
    cv = ExpandingWindowSplitter(initial_window=6, step_length=3, fh=FH)
    forecaster = cls(**SMALL).fit(y[:80])
    made = forecaster.clone().fit(y[:80]).update_predict(y[80:], cv=cv, update_params=False)
    by_hand = {}
    for train, _ in cv.split(y[80:]):
        forecaster.update(y[80:].iloc[train], update_params=False)
        by_hand[y[80:].index[train[-1]]] = forecaster.predict(fh=FH)
    assert len(by_hand) > 1
    for cutoff, expected in by_hand.items():
        np.testing.assert_allclose(made[cutoff].dropna(), expected, rtol=1e-5)


def test_update_that_reaches_back_keeps_the_other_series():
    both = panel(2, 60)
    first, second = both.index.get_level_values(0).unique()
    late = both.groupby(level=0).tail(40)
    forecaster = GRUForecaster(**SMALL).fit(late)
    forecaster.update(both.loc[[first]], update_params=False)
    forecaster.update(both.loc[[second]].tail(5), update_params=False)
    assert forecaster.fitted_.panel.lengths.tolist() == [60, 40]
    assert forecaster.predict(fh=1).notna().all(axis=None)
