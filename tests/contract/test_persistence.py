"""Persistence: what copies and pickles of a fitted forecaster hold."""

import copy
import pickle

import pandas as pd
import pytest

from small_cases import SMALL, cells, covariate, hourly

pytestmark = pytest.mark.usefixtures("one_thread")

# ------------------------------------------------------------------ copies


@cells
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda f: pickle.loads(pickle.dumps(f))], ids=["deepcopy", "pickle"]
)
def test_copy_forecasts_and_updates_as_the_original(cell, copied):
    y = hourly()
    X = covariate(y)
    forecaster = cell(**SMALL).fit(y[:80], X=X[:80])
    other = copied(forecaster)
    expected = forecaster.predict(fh=[1, 5], X=X[80:])
    pd.testing.assert_series_equal(other.predict(fh=[1, 5], X=X[80:]), expected)
    for f in (forecaster, other):
        f.update(y[80:90], X=X[80:90])
    expected = forecaster.predict(fh=[1, 5], X=X[90:])
    pd.testing.assert_series_equal(other.predict(fh=[1, 5], X=X[90:]), expected)


@cells
def test_copy_is_independent(cell):
    y = hourly()
    forecaster = cell(**SMALL).fit(y[:80])
    before = forecaster.predict(fh=[1, 2])
    copy.deepcopy(forecaster).update(y[80:])
    pd.testing.assert_series_equal(forecaster.predict(fh=[1, 2]), before)
