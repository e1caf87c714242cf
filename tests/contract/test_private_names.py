"""Each private name of sktime and scikit-learn still is what the package takes it for.

A failing test says what to look at, after a new version of either.
"""

import ast
import inspect
from numbers import Integral
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator
from sklearn.model_selection import GridSearchCV
from sktime.forecasting.base import BaseForecaster
from sktime.forecasting.model_selection import ForecastingGridSearchCV
from sktime.forecasting.naive import NaiveForecaster
from sktime.performance_metrics.base import BaseMetric
from sktime.performance_metrics.forecasting import MeanAbsoluteError
from sktime.split import SingleWindowSplitter

import skrnn
from skrnn import SMAPE, GRUForecaster
from skrnn.contract import private_names
from skrnn.contract.private_names import (
    FORECASTER_METHODS,
    METRIC_METHODS,
    PARENT_CALLBACK,
    SEARCH_METHODS,
    BaseForecastingErrorMetric,
    Interval,
    StrOptions,
    validate_parameter_constraints,
)

SOURCE = Path(skrnn.__file__).parent
LIBRARIES = ("sktime", "sklearn")
# What the overriding and calling code relies on: the names of the arguments.
ARGUMENTS = {
    "_check_X_y": {"X", "y"},
    "_update_y_X": {"y", "X"},
    "_set_cutoff_from_y": {"y"},
    "_check_fh": {"fh"},
    "_get_varnames": set(),
    "_evaluate_by_index": {"y_true", "y_pred"},
    "_get_weighted_df": {"df"},
    "_handle_multioutput": {"df", "multioutput"},
}


def private_imports(path):
    """Private names, or names from private modules, that a file imports from the libraries."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] in LIBRARIES and any(part.startswith("_") for part in parts):
                yield name


def test_private_names_are_imported_in_one_module_only():
    found = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if any(private_imports(path))
    }
    assert "contract/private_names.py" in found
    assert found == {"contract/private_names.py"}, "import them from private_names"


def test_every_private_name_is_in_the_docstring():
    names = {name.rpartition(".")[2] for name in private_imports(Path(private_names.__file__))}
    assert names < set(private_names.__all__)
    for name in private_names.__all__:
        assert f"`{name}`" in private_names.__doc__


def test_base_class_of_metrics_is_that_of_sktimes_metrics():
    """Look at the imports of sktime's extension_templates/metric_forecasting.py."""
    assert issubclass(MeanAbsoluteError, BaseForecastingErrorMetric)
    assert issubclass(SMAPE, BaseForecastingErrorMetric)
    assert issubclass(BaseForecastingErrorMetric, BaseMetric)


@pytest.mark.parametrize("name", METRIC_METHODS)
def test_methods_of_metrics_have_their_arguments(name):
    """Look at `_evaluate_by_index` in sktime's extension_templates/metric_forecasting.py."""
    arguments = inspect.signature(getattr(BaseForecastingErrorMetric, name)).parameters
    assert ARGUMENTS[name] <= set(arguments)


def test_methods_of_metrics_weight_the_times_and_average_the_variables():
    """Look at `_get_weighted_df` and `_handle_multioutput` in sktime's metrics."""
    metric = MeanAbsoluteError(multioutput=[0.25, 0.75])
    errors = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    weighted = metric._get_weighted_df(errors, sample_weight=np.array([2.0, 0.0]))
    np.testing.assert_array_equal(weighted, [[2.0, 6.0], [0.0, 0.0]])
    np.testing.assert_array_equal(
        metric._handle_multioutput(errors, metric.multioutput), [2.5, 3.5]
    )


@pytest.mark.parametrize("name", FORECASTER_METHODS)
def test_methods_of_forecasters_have_their_arguments(name):
    """Look at `fit` and `update` in sktime/forecasting/base/_base.py, which call them."""
    arguments = inspect.signature(getattr(BaseForecaster, name)).parameters
    assert ARGUMENTS[name] <= set(arguments)


@pytest.mark.parametrize("name", sorted(set(FORECASTER_METHODS) - {"_get_varnames", "_check_fh"}))
def test_fit_and_update_call_the_methods_that_are_overridden(name, monkeypatch):
    """Look at `fit` and `update` in sktime/forecasting/base/_base.py: what replaces the call?"""
    calls = []
    method = getattr(BaseForecaster, name)
    monkeypatch.setattr(BaseForecaster, name, lambda *a, **k: calls.append(name) or method(*a, **k))
    y = pd.Series(np.arange(10.0))
    forecaster = NaiveForecaster().fit(y[:5])
    assert calls
    calls.clear()
    forecaster.update(y[5:], update_params=False)
    assert calls


def test_checked_horizon_is_that_of_fit_or_the_one_given():
    """Look at `predict` in sktime/forecasting/base/_base.py, which calls `_check_fh`."""
    forecaster = NaiveForecaster().fit(pd.Series(np.arange(10.0)), fh=[1, 2])
    assert forecaster._check_fh(None).to_pandas().tolist() == [1, 2]
    assert forecaster._check_fh([3]).to_pandas().tolist() == [3]


def test_names_of_the_variables_are_those_of_y():
    """Look at `_predict_quantiles` in sktime's extension_templates/forecasting.py."""
    y = pd.DataFrame({"load": np.arange(10.0), "wind": np.arange(10.0)})
    assert list(NaiveForecaster().fit(y[["load"]])._get_varnames()) == ["load"]
    small = {"hidden_size": 4, "num_epochs": 0, "window_length": 4, "random_state": 0}
    assert list(GRUForecaster(**small).fit(y)._get_varnames()) == ["load", "wind"]


@pytest.mark.parametrize("name", SEARCH_METHODS)
def test_a_search_evaluates_all_candidates_in_one_call_and_ranks_the_rows_returned(name):
    """Look at `_fit` in sktime/forecasting/model_selection/_base.py, which calls it."""
    calls = []

    class Search(ForecastingGridSearchCV):
        pass

    def run_search(self, evaluate_candidates):
        def evaluated(candidates):
            calls.append(list(candidates))
            return evaluate_candidates(calls[0])[::-1]

        return getattr(ForecastingGridSearchCV, name)(self, evaluated)

    setattr(Search, name, run_search)
    grid = {"strategy": ["last", "mean"]}
    cv = SingleWindowSplitter(fh=1)
    search = Search(NaiveForecaster(), cv, grid, backend="None", refit=False)
    search.fit(pd.Series(np.arange(10.0)))
    assert calls == [[{"strategy": "last"}, {"strategy": "mean"}]]
    assert search.cv_results_["params"].tolist() == calls[0][::-1]
    assert search.best_params_ == {"strategy": "last"}


@pytest.mark.parametrize("name", ["_y", "_X"])
def test_sktime_keeps_no_data_that_it_is_told_not_to_remember(name):
    """Look for `remember_data` in sktime/forecasting/base/_base.py."""
    y, X = pd.Series(np.arange(10.0)), pd.DataFrame({"x": np.arange(10.0)})
    small = {"hidden_size": 4, "num_epochs": 0, "window_length": 4, "random_state": 0}
    forecaster = GRUForecaster(**small).fit(y, X=X)
    assert getattr(forecaster, name) is None
    forecaster = GRUForecaster(**small).set_config(remember_data=True).fit(y, X=X)
    assert getattr(forecaster, name) is not None


@pytest.mark.parametrize(
    ("constraint", "good", "bad", "sentence"),
    [
        (Interval(Integral, 1, None, closed="left"), 1, 0, "an int in the range [1, inf)"),
        (StrOptions({"a"}), "a", "b", "a str among {'a'}"),
    ],
    ids=["Interval", "StrOptions"],
)
def test_constraints_pass_what_they_allow_and_name_what_they_do_not(
    constraint, good, bad, sentence
):
    """Look at sklearn/utils/_param_validation.py; `contract/parameters.py` has the table."""
    validate_parameter_constraints({"size": [constraint]}, {"size": good}, "Caller")
    with pytest.raises(ValueError, match="The 'size' parameter of Caller must be") as error:
        validate_parameter_constraints({"size": [constraint]}, {"size": bad}, "Caller")
    assert sentence in str(error.value)
    assert f"Got {bad!r} instead" in str(error.value)
    assert isinstance(error.value, TypeError)


@pytest.mark.parametrize("constraint", ["array-like", "random_state", "boolean", callable, None])
def test_constraints_by_name_are_known(constraint):
    """Look at `make_constraint` in sklearn/utils/_param_validation.py."""
    good = {"array-like": [1], "random_state": 0, "boolean": True, callable: len, None: None}
    validate_parameter_constraints({"p": [constraint]}, {"p": good[constraint]}, "Caller")
    with pytest.raises(ValueError, match="The 'p' parameter of Caller"):
        validate_parameter_constraints({"p": [constraint]}, {"p": object()}, "Caller")


@pytest.mark.skipif(
    tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 9), reason="came with 1.9"
)
def test_searches_set_the_attribute_of_callbacks_on_each_clone():
    """Look for `_parent_callback_ctx` in sklearn/callback; if it is gone, remove it here."""
    found = []

    class Recorder(BaseEstimator):
        def fit(self, X, y=None):
            found.append(PARENT_CALLBACK in vars(self))
            return self

        def score(self, X, y=None):
            return 0.0

    GridSearchCV(Recorder(), {}, cv=2).fit(np.zeros((4, 1)))
    assert found
    assert all(found)
    assert getattr(GRUForecaster, PARENT_CALLBACK) is None
