"""Series, panels and small forecasters that several test files use."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from skrnn import GRUForecaster, LSTMForecaster, RNNForecaster

CELLS = [
    pytest.param(GRUForecaster, id="gru"),
    pytest.param(LSTMForecaster, id="lstm"),
    pytest.param(partial(RNNForecaster, cell="rnn"), id="rnn"),
]
CLASSES = [GRUForecaster, LSTMForecaster, RNNForecaster]
SMALL = {"window_length": 12, "hidden_size": 4, "num_epochs": 2, "lr": 0.02, "random_state": 0}
# Enough to learn from: a second or less.
LEARNER = {"window_length": 24, "hidden_size": 16, "batch_size": 4, "lr": 0.01, "random_state": 0}

cells = pytest.mark.parametrize("cell", CELLS)


def noisy(n=100, seed=0, index=None):
    """A wave of 12 steps, a slow trend and noise."""
    t = np.arange(n)
    noise = np.random.default_rng(seed).normal(0, 1, n)
    values = 100 + 0.1 * t + 10 * np.sin(2 * np.pi * t / 12) + noise
    return pd.Series(values, index=pd.RangeIndex(n) if index is None else index)


def hourly(n=100, seed=0):
    index = pd.date_range("2024-01-01", periods=n, freq="h", name="time")
    return noisy(n, seed, index).rename("load")


def covariate(y, seed=1):
    return pd.DataFrame({"x": np.random.default_rng(seed).normal(0, 1, len(y))}, index=y.index)


def panel(lengths=(60, 80, 70)):
    parts = {f"s{i}": noisy(n, seed=i).to_frame("y") for i, n in enumerate(lengths)}
    return pd.concat(parts, names=["series", "step"])


def weights(forecaster):
    return {name: value.clone() for name, value in forecaster.network_.state_dict().items()}


def same_weights(one, other):
    assert one.keys() == other.keys()
    return all(torch.equal(one[name], other[name]) for name in one)
