"""A tracker follows errors one at a time as `HeldOutErrors.tracked` does all at once."""

import numpy as np
import pandas as pd
import pytest

from skrnn import GRUForecaster
from skrnn.forecasting.held_out_errors import held_out_errors
from skrnn.forecasting.streams import Tracker

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("most_cutoffs", [2_000, 9], ids=["every row", "every third row"])
def test_quantiles_are_those_of_all_errors_at_once(monkeypatch, most_cutoffs):
    monkeypatch.setattr("skrnn.forecasting.held_out_errors.MOST_CUTOFFS", most_cutoffs)
    rng = np.random.default_rng(0)
    y = pd.Series(rng.normal(size=90) * np.repeat([1.0, 4.0], [60, 30]))
    settings = {"hidden_size": 3, "num_epochs": 1, "window_length": 8, "random_state": 0}
    forecaster = GRUForecaster(**settings, validation_split=0.4).fit(y[:60])
    fitted = forecaster.fitted_
    steps, levels = np.array([1, 2, 5]), np.array([0.1, 0.5, 0.9])
    tracker = Tracker(fitted, steps, levels)
    for n in (60, 75, 90):  # followed again from the start, after so many rows
        forecaster.update(y[60:n], update_params=False) if n > 60 else None
        panel = forecaster.fitted_.panel
        errors, sizes = held_out_errors(fitted.early, panel, fitted.held_out, steps)
        again = Tracker(forecaster.fitted_, steps, levels)
        counts = (errors.cutoff[0][:, None] <= n - steps).sum(0)
        table = errors.tracked(levels, np.unique(counts))
        expected = np.stack(
            [table[0, np.searchsorted(np.unique(counts), c), j] for j, c in enumerate(counts)]
        )
        np.testing.assert_allclose(again.quantiles()[0], expected)
        np.testing.assert_array_equal(again.count[0], counts)
        np.testing.assert_allclose(sizes, tracker.sizes)
    assert not np.allclose(again.quantiles(), tracker.quantiles())
