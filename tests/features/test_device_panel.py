"""The panel on the device: what steps and targets read of it."""

# `values` is an array of ours here, never that of pandas.

import numpy as np
import pandas as pd
import pytest
import torch

from builders import CPU, NAIVE, device_panel_of, features_of, panel_of
from skrnn.data.holidays import Holidays
from skrnn.data.scaling import Scaler
from skrnn.features.device_panel import DevicePanel
from skrnn.features.means import trailing_means
from skrnn.forecasting.strategies import MultiOutput

pytestmark = pytest.mark.usefixtures("one_thread")

LENGTHS, STARTS = [6, 1, 9], [3, 0, 40]


def panel_with(lengths=LENGTHS, starts=STARTS, X=None, missing=(), freq=None):
    """Series of which each value is its row in the panel, so that a value says where it is from."""
    pairs = zip(starts, lengths, strict=True)
    rows = [(s, t) for s, (start, n) in enumerate(pairs) for t in range(start, start + n)]
    index = pd.MultiIndex.from_tuples(rows)
    if freq is not None:
        stamps = pd.Timestamp("2024-01-01") + pd.to_timedelta(index.get_level_values(1), freq)
        index = pd.MultiIndex.from_arrays([index.get_level_values(0), stamps])
    values = np.arange(float(len(index)))
    values[list(missing)] = np.nan
    return panel_of(index, values, None if X is None else pd.DataFrame(X(values), index=index))


def long(*numbers):
    return torch.tensor(numbers)


# ----------------------------------------------------------------- past values


def test_past_values_lie_so_many_rows_before_within_the_series():
    data = device_panel_of(panel_with(), features_of(lags=(3,)))
    steps = data.steps(long(0, 2), long(4, 5), 2)
    # Offsets 1, 2 and 3 before rows 4 and 5 of the first series, 5 and 6 of the third, whose first
    # row is the panel's 7.
    expected = [[[3, 2, 1], [4, 3, 2]], [[11, 10, 9], [12, 11, 10]]]
    assert steps.past[..., 0].tolist() == expected
    assert steps.n_past.tolist() == [[4, 5], [5, 6]]


def test_no_row_of_another_series_is_read():
    data = device_panel_of(panel_with(), features_of(lags=(100,)))
    for s, (first, stop) in enumerate(((0, 6), (6, 7), (7, 16))):
        past = data.steps(long(s), long(0), 20).past
        assert first <= past.min() <= past.max() < stop


def test_steps_beyond_the_end_repeat_the_last_row():
    data = device_panel_of(panel_with(), features_of())
    steps = data.steps(long(0), long(4), 4)
    assert steps.n_past.tolist() == [[4, 5, 5, 5]]
    assert steps.past[0, :, 0, 0].tolist() == [3, 4, 4, 4]


def test_steps_of_patches_are_a_patch_apart():
    data = device_panel_of(panel_with(), features_of(patch_length=3))
    assert data.times(long(1, 2), 3).tolist() == [[1, 4, 7], [2, 5, 8]]
    assert data.steps(long(2), long(1), 2).n_past.tolist() == [[1, 4]]


def test_means_end_where_the_naive_forecasts_need_them():
    features = features_of(sp=(2, 3), naive=("leveled",), horizons=(1, 3))
    panel = panel_with()
    data = device_panel_of(panel, features)
    means = data.targets(long(2), long(8)[None]).means
    assert means.shape == (1, 1, 2, 3, 1)
    # s[7] is the panel's row 14. Periods 2 and 3: at the step, and k seasons before it.
    expected = [[(14 + 13) / 2, (12 + 11) / 2, (10 + 9) / 2], [13, 10, 10]]
    assert means[0, 0, :, :, 0].tolist() == expected


def test_means_are_trailing_means_of_the_scaled_values():
    panel, features = panel_with(), features_of(sp=(3,), naive=("mean",))
    data = device_panel_of(panel, features)
    n_rows = torch.from_numpy(np.concatenate([np.arange(n) + 1 for n in LENGTHS]))
    assert torch.equal(data.means[:, 0], trailing_means(data.values, n_rows, 3))
    assert device_panel_of(panel, features_of()).means is None


# ------------------------------------------------------------------- targets


@pytest.mark.parametrize("horizons", [None, (1, 3)])
def test_target_values_lie_so_many_steps_ahead(horizons):
    data = device_panel_of(panel_with(), features_of(horizons=horizons))
    values, observed = data.target_values(long(2), long(4, 7)[None])
    # Row 4 of the third series is the panel's 11; three steps ahead of row 7 is beyond the end.
    expected = [[11], [14]] if horizons is None else [[11, 13], [14, 15]]
    assert values[0, :, :, 0].tolist() == expected
    assert observed is None


def test_targets_are_the_columns_of_y_alone_unless_recursive():
    index = pd.RangeIndex(8)
    values = np.arange(24.0).reshape(8, 3)
    for horizons, n in ((None, 3), ((1,), 2)):
        features = features_of(n_columns=2, n_past=1, horizons=horizons)
        data = device_panel_of(panel_of(index, values), features)
        targets, _ = data.target_values(long(0), long(5)[None])
        assert targets.ravel().tolist() == [15.0, 16.0, 17.0][:n]


def test_known_of_several_horizons_is_that_of_each_target():
    def X(values):
        return {"x": -values}

    panel = panel_with(X=X)
    recursive = device_panel_of(panel, features_of(n_numbers=1))
    assert recursive.targets(long(0), long(2)[None]).known is None
    data = device_panel_of(panel, features_of(n_numbers=1, horizons=(1, 3)))
    assert data.targets(long(0), long(2)[None]).known.ravel().tolist() == [-2, -4]
    assert data.steps(long(0), long(2), 1).known.ravel().tolist() == [-2]


def test_categories_are_read_as_codes_of_the_step_and_of_each_target():
    def X(values):
        return {"day": [f"c{int(v) % 3}" for v in values]}

    panel = panel_with(X=X)
    data = device_panel_of(panel, features_of(sizes=(3,), horizons=(1, 3)))
    assert data.steps(long(0), long(2), 2).codes.ravel().tolist() == [2, 0]
    assert data.targets(long(0), long(2)[None]).codes.ravel().tolist() == [2, 1]
    assert device_panel_of(panel_with(), features_of()).codes is None


def test_targets_of_steps_that_were_read_are_not_read_again():
    data = device_panel_of(panel_with(), features_of(sp=(2,), naive=NAIVE))
    steps = data.steps(long(2), long(1), 4)
    t = data.times(long(1), 4)
    targets = data.targets(long(2), t, steps)
    assert targets.past is steps.past
    assert torch.equal(targets.past, data.targets(long(2), t).past)


# ------------------------------------------------------------ missing values


def test_flags_of_missing_values_go_with_the_past_values():
    panel = panel_with(missing=[2, 3])
    data = device_panel_of(panel, features_of(missing=True))
    steps = data.steps(long(0), long(3), 3)
    assert steps.observed[..., 0].tolist() == [[[0, 1], [0, 0], [1, 0]]]
    assert steps.past[..., 0].tolist() == [[[1, 1], [1, 1], [4, 1]]]
    _, observed = data.target_values(long(0), long(1, 2, 3, 4)[None])
    assert observed.ravel().tolist() == [True, False, False, True]


def test_flags_are_all_one_where_nothing_is_missing():
    data = device_panel_of(panel_with(), features_of(missing=True))
    assert (data.steps(long(0), long(1), 4).observed == 1).all()
    assert device_panel_of(panel_with(), features_of()).steps(long(0), long(1), 4).observed is None


def test_values_that_nothing_fills_are_at_the_mean():
    index = pd.RangeIndex(4)
    values = np.array([[1.0, np.nan], [2.0, np.nan], [3.0, 7.0], [4.0, 9.0]])
    panel = panel_of(index, values)
    group = panel.series_of_rows()
    scalers = (
        Scaler(kind).fit(v, group) for kind, v in (("standard", values), (None, values[:, :0]))
    )
    features = features_of(n_columns=2, missing=True)
    data = DevicePanel(panel.filled(()), features, *scalers, CPU)
    assert data.values[:, 1].tolist() == [0.0, 0.0, -1.0, 1.0]


# ------------------------------------------------------------------- calendar


def calendar_of_rows(data, panel, s):
    """Calendar that the steps of a series read."""
    return data.steps(long(s), long(0), int(panel.lengths[s])).known[0]


@pytest.mark.parametrize(
    ("starts", "rows", "n_rows"),
    [([3, 0, 4], 99, 13), ([3, 10, 4], 4, 8), ([3, 0, 5000], 99, 16)],
    ids=["together", "their ends", "years apart"],
)
def test_calendar_of_a_row_is_that_of_its_stamp(starts, rows, n_rows):
    holidays = Holidays(["2024-01-01"])
    features = features_of(calendar=("hour", "dayofyear"), holidays=holidays)
    panel = panel_with(starts=starts, freq="h").tail(rows)
    data = device_panel_of(panel, features)
    assert len(data.calendar) == n_rows
    positions = panel.positions()
    for s, first in enumerate(panel.offsets[:-1]):
        expected = features.encode_calendar(panel.timeline, positions[first:][: panel.lengths[s]])
        np.testing.assert_array_equal(calendar_of_rows(data, panel, s), expected)


def test_series_that_share_dates_share_the_rows_of_the_calendar():
    features = features_of(calendar=("hour",))
    together = device_panel_of(panel_with([50, 50, 50], [0, 1, 2], freq="h"), features)
    assert len(together.calendar) == 52
    apart = device_panel_of(panel_with([5, 5], [0, 10**6], freq="h"), features)
    assert len(apart.calendar) == 10  # not a million


def test_numbers_follow_the_calendar():
    panel = panel_with(X=lambda values: {"x": -values}, freq="h")
    data = device_panel_of(panel, features_of(calendar=("hour",), n_numbers=1))
    known = data.steps(long(2), long(3), 2).known
    assert known.shape == (1, 2, 5)
    assert known[0, :, 4].tolist() == [-10, -11]


# ------------------------------------------------------------- other features


def test_panel_is_read_for_other_horizons_without_a_copy():
    data = device_panel_of(panel_with(), features_of(sp=(3,), naive=NAIVE))
    features = data.features.ahead(MultiOutput)
    other = data.with_features(features)
    assert other.values is data.values
    assert other.means is data.means
    values, _ = other.target_values(long(2), long(4)[None])
    assert values.ravel().tolist() == [11, 12, 13]
    assert data.target_values(long(2), long(4)[None])[0].ravel().tolist() == [11]
    expected = device_panel_of(panel_with(), features).targets(long(2), long(4)[None])
    for part, other_part in zip(expected, other.targets(long(2), long(4)[None]), strict=True):
        assert part is other_part is None or torch.equal(part, other_part)


def test_values_are_scaled_by_series_and_numbers_over_all():
    panel = panel_with(X=lambda values: {"x": -values})
    group = panel.series_of_rows()
    scaler = Scaler("standard").fit(panel.values, group)
    known_scaler = Scaler("standard").fit(panel.known, 0 * group)
    data = DevicePanel(panel, features_of(n_numbers=1), scaler, known_scaler, CPU)
    assert data.values.dtype == torch.float32
    first = np.arange(6.0)
    np.testing.assert_allclose(data.values[:6, 0], (first - 2.5) / first.std(), rtol=1e-6)
    assert data.values[6].item() == 0.0  # a series of one row is at its center
    rows = np.arange(16.0)
    np.testing.assert_allclose(data.numbers[:, 0], -(rows - 7.5) / rows.std(), rtol=1e-6)
