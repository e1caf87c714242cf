"""Held-out rows: how many, of which series, and where they are after an update."""

import numpy as np
import pandas as pd
import pytest

from skrnn.data.covariates import Covariates
from skrnn.data.held_out import FEWEST_TRAINING_ROWS, HeldOut
from skrnn.data.panel import Panel


def panel_of(*lengths):
    parts = {f"s{i}": pd.DataFrame({"y": np.arange(float(n))}) for i, n in enumerate(lengths)}
    y = pd.concat(parts, names=["series", "step"])
    return Panel.from_pandas(y, None, Covariates.of(None, ()))


def test_share_of_each_series_is_held_out_rounded_up():
    held_out = HeldOut.of(panel_of(10, 11, 30), 0.2)
    assert (held_out.stop - held_out.first).tolist() == [2, 3, 6]
    assert held_out.stop.tolist() == [10, 11, 30]


def test_two_rows_are_left_to_train_on():
    held_out = HeldOut.of(panel_of(3, 20), 0.9)
    assert held_out.first.tolist() == [FEWEST_TRAINING_ROWS, FEWEST_TRAINING_ROWS]


def test_series_too_short_to_hold_out_from_is_trained_on_whole():
    held_out = HeldOut.of(panel_of(1, 2, 20), 0.5)
    assert (held_out.stop - held_out.first).tolist() == [0, 0, 10]


def test_series_that_are_all_too_short_are_refused():
    with pytest.raises(ValueError, match=r"the longest series has 2\. Pass longer series"):
        HeldOut.of(panel_of(1, 2), 0.5)


def test_nothing_is_held_out_without_a_share():
    held_out = HeldOut.of(panel_of(5, 7), None)
    assert held_out.is_empty
    assert held_out.first.tolist() == [5, 7]


def test_rows_stay_where_they_were_when_observations_are_appended():
    held_out = HeldOut.of(panel_of(10, 20), 0.2)
    first, stop = held_out.rows(panel_of(15, 20))
    assert (first.tolist(), stop.tolist()) == ([8, 16], [10, 20])


def test_rows_that_a_panel_no_longer_has_are_not_held_out():
    held_out = HeldOut.of(panel_of(10, 20), 0.2)
    first, stop = held_out.rows(panel_of(9, 5))
    assert (first.tolist(), stop.tolist()) == ([8, 5], [9, 5])


def automatic(panel, horizon):
    held_out = HeldOut.automatic(panel, horizon)
    return (held_out.stop - held_out.first).tolist()


def test_long_series_hold_out_fifteen_percent_by_themselves():
    assert automatic(panel_of(400, 60), 8) == [60, 0]
    assert automatic(panel_of(106), 8) == [0]  # 15 rows are less than two horizons
    assert automatic(panel_of(107), 8) == [16]


@pytest.mark.parametrize(
    ("length", "horizon", "n"),
    [
        (60, 12, 12),  # one horizon
        (30, 4, 8),  # at least eight rows
        (20, 4, 6),  # at most a third
        (20, 7, 0),  # which is less than the horizon
        (100, 8, 15),  # 15 %, where that is more
    ],
)
def test_fifty_short_series_hold_out_one_horizon_each(length, horizon, n):
    assert automatic(panel_of(*[length] * 50), horizon) == [n] * 50
    assert automatic(panel_of(*[length] * 49), horizon) == [0] * 49


def test_few_short_series_beside_long_ones_hold_out_nothing():
    assert automatic(panel_of(*[400] * 50, 30), 8) == [60] * 50 + [0]
