"""What scikit-learn's searches ask of an estimator, by value."""

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, TimeSeriesSplit
from sklearn.utils import get_tags

from skrnn import GRUForecaster, LSTMForecaster, RNNForecaster, smape, smape_scorer

pytestmark = pytest.mark.usefixtures("one_thread")

CLASSES = [GRUForecaster, LSTMForecaster, RNNForecaster]
SMALL = {
    "window_length": 12,
    "hidden_size": 4,
    "num_epochs": 0,
    "linear_lags": None,
    "random_state": 0,
}
# Best in the middle: neither the first nor the last is chosen by mistake, nor the worst.
GRID = {"naive": [["last"], ["last", "shifted"], ["last", "seasonal"]]}
CV = TimeSeriesSplit(n_splits=3, test_size=6)

forecasters = pytest.mark.parametrize("cls", CLASSES)


def monthly(n=96, seed=0):
    """A trend, a year and noise, which the shifted seasonal naive forecasts best."""
    t = np.arange(n)
    noise = np.random.default_rng(seed).normal(0, 1, n)
    index = pd.period_range("2000-01", periods=n, freq="M")
    return pd.Series(200 + t + 20 * np.sin(2 * np.pi * t / 12) + noise, index=index, name="sales")


def covariate(y):
    values = np.random.default_rng(1).uniform(1, 2, len(y))
    return pd.DataFrame({"price": values}, index=y.index)


def scores_by_hand(forecaster, y, X=None):
    """Minus the sMAPE of each split: fit on the train rows, predict the times of the test rows."""
    scores = []
    for train, test in CV.split(y):
        forecaster = forecaster.clone().fit(y.iloc[train], X=None if X is None else X.iloc[train])
        steps = list(range(1, len(test) + 1))
        made = forecaster.predict(fh=steps, X=None if X is None else X.iloc[test])
        scores.append(-smape(y.iloc[test], made))
    return scores


def check_search(search, candidates, forecaster, y, X=None):
    """Compare every split's score of every candidate, and the choice, with those made by hand."""
    by_hand = [scores_by_hand(forecaster.clone().set_params(**c), y, X) for c in candidates]
    assert search.cv_results_["params"] == candidates
    for k in range(CV.n_splits):
        expected = [scores[k] for scores in by_hand]
        np.testing.assert_allclose(search.cv_results_[f"split{k}_test_score"], expected, rtol=1e-5)
    best = int(np.argmax(np.mean(by_hand, axis=1)))
    assert search.best_params_ == candidates[best]
    return best


@forecasters
@pytest.mark.parametrize("with_x", [False, True], ids=["y", "y and X"])
def test_grid_search_equals_the_loop_by_hand(cls, with_x):
    y = monthly()
    X = covariate(y) if with_x else None
    forecaster = cls(**{**SMALL, "num_epochs": 1})
    search = GridSearchCV(forecaster, GRID, cv=CV, scoring=smape_scorer, error_score="raise")
    search.fit(y, X) if with_x else search.fit(y)
    best = check_search(search, [{"naive": n} for n in GRID["naive"]], forecaster, y, X)
    assert best == 1


@forecasters
def test_grid_search_refits_the_best_on_all_of_y(cls):
    y = monthly()
    search = GridSearchCV(cls(**SMALL), GRID, cv=CV, scoring=smape_scorer).fit(y)
    by_hand = cls(**SMALL, naive=["last", "shifted"]).fit(y)
    pd.testing.assert_series_equal(
        search.best_estimator_.predict(fh=[1, 2]), by_hand.predict(fh=[1, 2])
    )


@forecasters
@pytest.mark.parametrize("with_x", [False, True], ids=["y", "y and X"])
def test_randomized_search_equals_the_loop_by_hand(cls, with_x):
    y = monthly()
    X = covariate(y) if with_x else None
    grid = {**GRID, "lr": [1e-3, 1e-2]}
    forecaster = cls(**{**SMALL, "num_epochs": 1})
    search = RandomizedSearchCV(
        forecaster,
        grid,
        n_iter=3,
        random_state=0,
        cv=CV,
        scoring=smape_scorer,
        error_score="raise",
    )
    search.fit(y, X) if with_x else search.fit(y)
    candidates = search.cv_results_["params"]
    assert len({str(c) for c in candidates}) == 3
    check_search(search, candidates, forecaster, y, X)


def test_search_over_cells_and_classes_alike():
    y = monthly()
    forecaster = RNNForecaster(**{**SMALL, "num_epochs": 5, "lr": 0.05})
    search = GridSearchCV(forecaster, {"cell": ["gru", "lstm"]}, cv=CV, scoring=smape_scorer)
    search.fit(y)
    for cls, k in [(GRUForecaster, 0), (LSTMForecaster, 1)]:
        named = cls(**{**SMALL, "num_epochs": 5, "lr": 0.05})
        expected = np.mean(scores_by_hand(named, y))
        np.testing.assert_allclose(search.cv_results_["mean_test_score"][k], expected, rtol=1e-5)


@pytest.mark.parametrize("with_x", [False, True], ids=["y", "y and X"])
def test_search_in_two_processes_equals_one_process(with_x):
    y = monthly()
    data = (y, covariate(y)) if with_x else (y,)
    grid = {**GRID, "random_state": [0, 1]}
    forecaster = RNNForecaster(**{**SMALL, "num_epochs": 2})
    arguments = {"cv": CV, "scoring": smape_scorer, "error_score": "raise"}
    with joblib.parallel_config(backend="loky"):
        two = GridSearchCV(forecaster, grid, n_jobs=2, **arguments).fit(*data)
    one = GridSearchCV(forecaster, grid, n_jobs=1, **arguments).fit(*data)
    np.testing.assert_allclose(
        two.cv_results_["mean_test_score"], one.cv_results_["mean_test_score"], rtol=1e-5
    )
    assert two.best_params_ == one.best_params_


@forecasters
@pytest.mark.parametrize("search", [GridSearchCV, RandomizedSearchCV])
def test_search_without_scoring_is_refused_instead_of_choosing_the_worst(cls, search):
    grid = {"naive": [["last"], ["shifted"]]}
    extra = {"n_iter": 2} if search is RandomizedSearchCV else {}
    with pytest.raises(TypeError, match="scoring"):
        search(cls(**SMALL), grid, cv=CV, **extra).fit(monthly())


@forecasters
def test_score_of_a_fitted_forecaster_is_the_error_of_sktime(cls):
    y = monthly()
    forecaster = cls(**SMALL).fit(y[:90])
    made = forecaster.predict(fh=range(1, 7))
    expected = np.mean(np.abs(y[90:] - made) / np.abs(y[90:]))
    assert forecaster.score(y[90:], fh=list(range(1, 7))) == pytest.approx(expected, rel=1e-6)


@forecasters
def test_tags_say_neither_classifier_nor_regressor_and_y_is_no_target(cls):
    tags = get_tags(cls())
    assert tags.estimator_type is None
    assert tags.target_tags.required is False
    assert not is_classifier(cls())
    assert not is_regressor(cls())


@forecasters
def test_clone_has_the_parameters_and_is_not_fitted(cls):
    forecaster = cls(hidden_size=5, lags=[2, 3], num_epochs=1).fit(monthly())
    copied = clone(forecaster)
    assert type(copied) is cls
    assert copied.get_params() == forecaster.get_params()
    assert not copied.is_fitted
    assert not hasattr(copied, "network_")


@forecasters
def test_clone_keeps_the_pretrained_weights(cls):
    panel = pd.concat({f"s{i}": monthly(60, seed=i).to_frame() for i in range(2)})
    forecaster = cls(**{**SMALL, "num_epochs": 3}).pretrain(panel)
    copied = clone(forecaster).set_params(num_epochs=0).fit(monthly())
    expected = forecaster.pretrained_model_.network.state_dict()
    assert copied.network_.state_dict().keys() == expected.keys()
    for name, value in copied.network_.state_dict().items():
        assert torch.equal(value, expected[name])


def test_search_fine_tunes_the_pretrained_weights():
    y = monthly()
    panel = pd.concat({f"s{i}": monthly(60, seed=i).to_frame() for i in range(2)})
    forecaster = GRUForecaster(**{**SMALL, "num_epochs": 20, "lr": 0.02}).pretrain(panel)
    search = GridSearchCV(forecaster, {"num_epochs": [0, 1]}, cv=CV, scoring=smape_scorer).fit(y)
    check_search(search, [{"num_epochs": 0}, {"num_epochs": 1}], forecaster, y)
    fresh = scores_by_hand(GRUForecaster(**SMALL), y)
    assert abs(search.cv_results_["mean_test_score"][0] - np.mean(fresh)) > 1e-3


@forecasters
def test_set_params_sets_what_get_params_gets(cls):
    forecaster = cls()
    changed = {"lr": 0.1, "sp": [3, 4], "scaler": None, "num_epochs": 7}
    assert forecaster.set_params(**changed) is forecaster
    params = forecaster.get_params()
    assert {name: params[name] for name in changed} == changed
    unchanged = cls().get_params()
    assert all(params[name] == unchanged[name] for name in params if name not in changed)


@forecasters
def test_set_params_of_an_unknown_name_is_refused(cls):
    with pytest.raises(ValueError, match="hidden_sizes"):
        cls().set_params(hidden_sizes=3)


@forecasters
def test_set_params_asks_for_a_new_fit(cls):
    forecaster = cls(**SMALL).fit(monthly())
    forecaster.set_params(hidden_size=5)
    assert not forecaster.is_fitted
