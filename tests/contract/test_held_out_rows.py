"""Held-out rows: they do not reach the weights."""

import numpy as np
import pytest
import torch

from skrnn import GRUForecaster
from skrnn.datasets import make_hourly_load

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {"hidden_size": 8, "num_epochs": 1, "window_length": 24, "random_state": 0}
STRATEGIES = pytest.mark.parametrize("strategy", ["recursive", "multioutput"])


def weights_of(forecaster, y, **fit):
    return forecaster.clone().fit(y, **fit).network_.state_dict()


# After one epoch: of several, the one with the lowest loss on the held-out rows is kept.
@STRATEGIES
@pytest.mark.parametrize("supervision", ["dense", "last"])
@pytest.mark.parametrize("criterion", ["mae", "studentt", "quantile"])
def test_held_out_values_change_no_weight(strategy, supervision, criterion):
    y = make_hourly_load(n_series=3, n_hours=240, random_state=0)
    n = y.groupby(level=0).size().iloc[0]
    settings = SMALL | {"strategy": strategy, "supervision": supervision, "criterion": criterion}
    forecaster = GRUForecaster(validation_split=0.2, **settings)
    changed = y.copy()
    for stop, value in ((n, 1e16), (2 * n, -1e16)):  # also before the rows of another series
        changed.iloc[stop - int(0.2 * n) : stop] = value
    one, other = (weights_of(forecaster, frame, fh=[1, 30]) for frame in (y, changed))
    assert all(torch.equal(one[name], other[name]) for name in one)


@STRATEGIES
def test_held_out_gaps_change_no_weight(strategy):
    y = make_hourly_load(n_series=2, n_hours=240, random_state=0)
    y.iloc[50] = np.nan  # the network has flags for missing values in both cases
    forecaster = GRUForecaster(validation_split=0.2, strategy=strategy, **SMALL)
    changed = y.copy()
    changed.iloc[[200, 230, 439, 460]] = np.nan
    one, other = (weights_of(forecaster, frame, fh=[1, 30]) for frame in (y, changed))
    assert all(torch.equal(one[name], other[name]) for name in one)


@STRATEGIES
def test_last_row_to_train_on_changes_weights(strategy):
    y = make_hourly_load(n_series=1, n_hours=240, random_state=0)
    forecaster = GRUForecaster(validation_split=0.2, strategy=strategy, **SMALL)
    changed = y.copy()
    changed.iloc[191] += 100.0
    one, other = (weights_of(forecaster, frame, fh=[1, 30]) for frame in (y, changed))
    assert not all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("num_epochs", [0, 1])
def test_held_out_rows_without_an_observation_are_refused_untrained_too(num_epochs):
    y = make_hourly_load(n_series=1, n_hours=240, random_state=0)
    y.iloc[-48:] = np.nan
    forecaster = GRUForecaster(validation_split=0.2, **SMALL | {"num_epochs": num_epochs})
    with pytest.raises(ValueError, match="validation_split must hold out an observation"):
        forecaster.fit(y)
