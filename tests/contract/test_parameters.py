"""Parameters: which values are taken, which warn, and when two of them are the same."""

import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
from torch import nn

from skrnn import GRUForecaster, RNNForecaster
from skrnn.contract.parameters import (
    ARCHITECTURE,
    CONSTRAINTS,
    DEFAULT_QUANTILES,
    plain,
)
from small_cases import CLASSES, SMALL, cells, noisy

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("cls", CLASSES)
def test_every_parameter_is_constrained(cls):
    assert set(cls().get_params()) | {"cell"} == set(CONSTRAINTS)


@cells
def test_sizes_of_a_numpy_grid_are_taken(cell):
    sizes = {"hidden_size": np.int64(4), "num_layers": np.int64(2)}
    as_numpy, as_int = (cell(**SMALL | sizes), cell(**SMALL | {"num_layers": 2}))
    one, other = (f.fit(noisy()).predict(fh=[1, 2]) for f in (as_numpy, as_int))
    pd.testing.assert_series_equal(one, other)


@pytest.mark.parametrize("criterion", ["mae", "normal", nn.L1Loss()], ids=str)
def test_quantiles_without_their_criterion_warn_at_the_users_line(criterion):
    forecaster = GRUForecaster(**SMALL, criterion=criterion, quantiles=[0.1, 0.9])
    with pytest.warns(UserWarning, match=r"'quantiles' .* criterion='quantile'") as caught:
        forecaster.fit(noisy())
    assert caught[0].filename == __file__
    assert "(0.1, 0.9) has no effect" in str(caught[0].message)


@pytest.mark.parametrize(
    "parameters",
    [
        {"criterion": "quantile", "quantiles": [0.1, 0.9]},
        {"criterion": "quantile"},
        {"quantiles": list(DEFAULT_QUANTILES)},
        {"quantiles": np.array(DEFAULT_QUANTILES)},
        {},
    ],
    ids=str,
)
def test_quantiles_with_their_criterion_or_by_default_do_not_warn(parameters):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GRUForecaster(**SMALL, **parameters).fit(noisy())


@pytest.mark.parametrize("quantiles", [[0.9], [0.9, 0.9], []])
def test_fewer_than_two_quantiles_are_refused(quantiles):
    forecaster = GRUForecaster(**SMALL, criterion="quantile", quantiles=quantiles)
    with pytest.raises(ValueError, match=r"'quantiles' .* at least 2 different levels"):
        forecaster.fit(noisy())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1, 2], (1, 2)),
        (np.array([1, 2]), (1, 2)),
        (pd.Series([1, 2]), (1, 2)),
        (pd.DatetimeIndex(["2024-01-01"]), [pd.Timestamp("2024-01-01")]),
        (nn.HuberLoss(delta=2.0), nn.HuberLoss(delta=2.0).eval()),
        (partial(nn.GRU, bias=False), partial(nn.GRU, bias=False)),
    ],
)
def test_parameters_are_the_same_whatever_holds_them(one, other):
    assert plain(one) == plain(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1, 2], [2, 1]),
        ("US", ["US"]),
        (nn.L1Loss(), nn.MSELoss()),
        (nn.HuberLoss(delta=2.0), nn.HuberLoss(delta=1.0)),
        (nn.HuberLoss(reduction="sum"), nn.HuberLoss()),
        (partial(nn.GRU, bias=False), partial(nn.LSTM, bias=False)),
        (partial(nn.GRU, bias=False), nn.GRU),
    ],
)
def test_parameters_that_differ_are_different(one, other):
    assert plain(one) != plain(other)


def test_architecture_is_that_of_the_class():
    for cls, names in ((RNNForecaster, ARCHITECTURE), (GRUForecaster, ARCHITECTURE[1:])):
        forecaster = cls(**SMALL).fit(noisy())
        assert tuple(forecaster.fitted_.model.architecture) == names
    assert ARCHITECTURE[0] == "cell"
    assert set(ARCHITECTURE) <= set(CONSTRAINTS)
