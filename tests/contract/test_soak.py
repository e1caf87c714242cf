"""Soak: many rounds of update and predict forecast as one update, in level memory.

``SKRNN_ROUNDS=10000 pytest tests/contract/test_soak.py`` runs 10,000 rounds.
"""

import os
import tracemalloc

import pytest

from skrnn import GRUForecaster
from skrnn.datasets import make_hourly_load

N_ROUNDS, N_TRAINING = int(os.environ.get("SKRNN_ROUNDS", "60")), 200
BYTES_A_ROUND = 400  # a row of values, stamps and what sktime remembers takes less


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
def test_rounds_of_update_and_predict_forecast_as_one_update_in_level_memory(strategy):
    n_hours = N_TRAINING + N_ROUNDS
    y = make_hourly_load(n_series=1, n_hours=n_hours, random_state=0).droplevel(0)["load_mw"]
    settings = {"hidden_size": 4, "num_epochs": 1, "random_state": 0}
    at_once = GRUForecaster(strategy, **settings).fit(y[:N_TRAINING], fh=[1, 2])
    forecaster = GRUForecaster(strategy, **settings).fit(y[:N_TRAINING], fh=[1, 2])
    warm = N_TRAINING + N_ROUNDS // 3
    for row in range(N_TRAINING, warm):
        forecaster.update(y[row : row + 1], update_params=False).predict([1, 2])
    tracemalloc.start()
    for row in range(warm, n_hours):
        forecast = forecaster.update(y[row : row + 1], update_params=False).predict([1, 2])
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    at_once.update(y[N_TRAINING:], update_params=False)
    assert forecast.equals(at_once.predict([1, 2]))
    # Compared with the rows that are kept; small objects of the first rounds count once.
    assert taken < BYTES_A_ROUND * (n_hours - warm) + 500_000
