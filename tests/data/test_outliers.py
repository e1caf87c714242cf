"""Outliers: one value that dwarfs all others is named, and nothing else is."""

import warnings

import numpy as np
import pandas as pd
import pytest

from skrnn import GRUForecaster

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {"hidden_size": 2, "num_epochs": 0, "random_state": 0}
INDEX = pd.date_range("2024-01-01", periods=200, freq="h")
Y = pd.Series(np.random.default_rng(0).normal(5, 1, 200), INDEX)


def with_outlier(value):
    y = Y.copy()
    y.iloc[30] = value
    return y


@pytest.mark.parametrize("value", [1e5, -1e5, 1e12])
def test_value_that_dwarfs_all_others_is_named_with_its_time_and_the_way_out(value):
    with pytest.warns(UserWarning, match=r"at 2024-01-02 06:00:00.*replace it by NaN") as caught:
        GRUForecaster(**SMALL).fit(with_outlier(value))
    assert caught[0].filename == __file__


def test_its_series_and_column_are_named():
    frame = pd.DataFrame({"load": Y, "wind": with_outlier(1e6)})
    panel = pd.concat({"north": pd.DataFrame({"load": Y, "wind": Y}), "south": frame})
    with pytest.warns(
        UserWarning, match=r"Series 'south'.*in column 'wind' at 2024-01-02 06:00:00"
    ):
        GRUForecaster(**SMALL).fit(panel)


def no_outliers():
    rng = np.random.default_rng(1)
    gap = with_outlier(np.nan)
    return {
        "normal": Y,
        "ten deviations": with_outlier(15.0),
        "missing": gap,
        "lognormal": pd.Series(rng.lognormal(0, 2, 200), INDEX),
        "rare demand": pd.Series(rng.poisson(0.1, 200).astype(float), INDEX),
        "growth by a factor of a billion": pd.Series(np.geomspace(1, 1e9, 200), INDEX),
        "unit that changed by a thousand": pd.Series(np.repeat([1.0, 1000.0], 100), INDEX) + Y,
    }


@pytest.mark.parametrize("name", no_outliers())
def test_other_series_have_no_warning(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        GRUForecaster(**SMALL).fit(no_outliers()[name])
