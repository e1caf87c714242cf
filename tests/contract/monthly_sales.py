"""Monthly sales, their panels and covariates, and small settings for tests of the contract."""

import numpy as np
import pandas as pd
import pytest

from small_cases import CLASSES

SMALL = {"window_length": 12, "hidden_size": 4, "num_epochs": 2, "random_state": 0}
FH = [1, 2, 3]

forecasters = pytest.mark.parametrize("cls", CLASSES)


def monthly(n=96, seed=0):
    """A trend, a year and noise: no two stretches of it are alike."""
    t = np.arange(n)
    noise = np.random.default_rng(seed).normal(0, 2, n)
    index = pd.period_range("2000-01", periods=n, freq="M")
    return pd.Series(200 + t + 20 * np.sin(2 * np.pi * t / 12) + noise, index=index, name="sales")


def covariate(y, seed=1):
    values = np.random.default_rng(seed).uniform(1, 2, len(y))
    return pd.DataFrame({"price": values}, index=y.index)


def panel(n_series=3, n=60):
    return pd.concat({f"s{i}": monthly(n, seed=10 + i).to_frame("sales") for i in range(n_series)})


def weights(network):
    state = network.state_dict().items()
    return {name: value.clone() for name, value in state if name != "n_observations"}  # a count
