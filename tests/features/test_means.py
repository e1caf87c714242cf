"""Trailing means of series, and of paths to which forecasts are appended."""

import numpy as np
import pytest
import torch

from skrnn.data.ragged import numbered
from skrnn.features.means import PathMeans, accumulator_dtype, trailing_means

pytestmark = pytest.mark.usefixtures("one_thread")

LENGTHS = np.array([1, 2, 30, 7, 13, 64])
PERIODS = [1, 2, 3, 4, 5, 7, 8, 12, 24, 31, 168]
EXTREME = [1e300, -1e300, np.inf, -np.inf, np.nan]


def series_of(lengths=LENGTHS, n_columns=2, seed=0, dtype=torch.float64):
    """Values (N, C) of series one after another, and the number of each row in its series."""
    values = np.random.default_rng(seed).normal(size=(lengths.sum(), n_columns))
    return torch.from_numpy(values).to(dtype), torch.from_numpy(numbered(lengths)[1] + 1)


def same_bits(one, other):
    """Whether tensors are equal, NaN to NaN."""
    return np.array_equal(one.numpy(), other.numpy(), equal_nan=True)


# ------------------------------------------------------------ trailing means


@pytest.mark.parametrize("period", PERIODS)
def test_trailing_mean_is_the_mean_of_the_window_within_its_series(period):
    values, n_rows = series_of()
    means = trailing_means(values, n_rows, period)
    assert means.shape == values.shape
    for row, n in enumerate(n_rows.tolist()):
        window = values[row + 1 - min(period, n) : row + 1]
        np.testing.assert_allclose(means[row], window.mean(0), rtol=0, atol=1e-14)


def test_trailing_means_of_a_short_series_by_hand():
    values = torch.tensor([[3.0], [1.0], [4.0], [1.0], [10.0], [20.0]])
    n_rows = torch.tensor([1, 2, 3, 4, 1, 2])
    assert trailing_means(values, n_rows, 2).ravel().tolist() == [3, 2, 2.5, 2.5, 10, 15]
    assert trailing_means(values, n_rows, 3)[3].item() == 2.0
    # A period longer than the series: the mean so far.
    expected = torch.tensor([[3, 2, 8 / 3, 9 / 4, 10, 15]]).T
    torch.testing.assert_close(trailing_means(values, n_rows, 100), expected)


@pytest.mark.parametrize("value", EXTREME)
@pytest.mark.parametrize("period", PERIODS)
def test_an_extreme_value_reaches_the_windows_that_hold_it_alone(period, value):
    values, n_rows = series_of()
    before = trailing_means(values, n_rows, period)
    row = 1 + 2 + 11  # in the third series, which has 30 rows
    values[row, 0] = value
    after = trailing_means(values, n_rows, period)
    stop = min(row + period, 1 + 2 + 30)
    held = torch.zeros(len(values), 2, dtype=torch.bool)
    held[row:stop, 0] = True
    assert same_bits(after[~held], before[~held])
    assert (after[held] != before[held]).all()


@pytest.mark.parametrize("value", [3e38, -3e38, *EXTREME[2:]])
def test_an_extreme_value_in_single_precision_stays_in_its_window_too(value):
    values, n_rows = series_of(dtype=torch.float32)
    before = trailing_means(values, n_rows, 5)
    values[20, 1] = value
    after = trailing_means(values, n_rows, 5)
    assert after.dtype == torch.float32
    assert same_bits(after[:20], before[:20])
    assert same_bits(after[25:], before[25:])


@pytest.mark.parametrize("period", PERIODS)
def test_trailing_mean_does_not_depend_on_the_rows_before_its_window(period):
    values, n_rows = series_of(np.array([64]))
    whole = trailing_means(values, n_rows, period)
    for n_dropped in (1, 2, 3, 17, 40):
        cut = trailing_means(values[n_dropped:], n_rows[: 64 - n_dropped], period)
        assert same_bits(cut[period - 1 :], whole[n_dropped + period - 1 :])


@pytest.mark.parametrize("period", PERIODS)
def test_trailing_means_of_a_series_are_those_it_has_alone(period):
    values, n_rows = series_of()
    together = trailing_means(values, n_rows, period)
    stops = np.cumsum(LENGTHS)
    for first, stop in zip(stops - LENGTHS, stops, strict=True):
        alone = trailing_means(values[first:stop], n_rows[first:stop], period)
        assert same_bits(alone, together[first:stop])


def test_values_of_single_precision_are_summed_in_double():
    # 2**24 + 1 is no float32: one after the other, ones would be lost.
    values = torch.ones(300, 1)
    values[0] = 2.0**24
    means = trailing_means(values, torch.arange(300) + 1, 300)
    assert means[-1].item() == torch.tensor((2.0**24 + 299) / 300).item()
    assert accumulator_dtype(torch.device("cpu")) == torch.float64


def test_a_device_without_double_precision_sums_in_single():
    assert accumulator_dtype(torch.device("mps")) == torch.float32


def test_values_are_left_as_they_are():
    values, n_rows = series_of()
    before = values.clone()
    for period in PERIODS:
        trailing_means(values, n_rows, period)
    assert torch.equal(values, before)


# ----------------------------------------------------------- means of paths

T, H = 20, 6  # past values that each path holds, and forecasts
PATH_PERIODS = (1, 3, 8)
# The step itself, one and two seasons before it; several horizons of one period may repeat it.
PATH_OFFSETS = torch.tensor([[1, 2, 3], [1, 4, 7], [1, 9, 17]])


def paths_of(n_past, dtype=torch.float64, extreme=None):
    """Paths after ``n_past`` rows each, their forecasts appended; and the whole series.

    What lies before the first row of a series in its T past values is of another series.
    """
    whole = [series_of(np.array([n + H]), seed=n, dtype=dtype)[0] for n in n_past]
    values = torch.full((len(n_past), T + H, 2), 1e6 if extreme is None else extreme, dtype=dtype)
    means = torch.full((len(n_past), T, len(PATH_PERIODS), 2), torch.nan, dtype=dtype)
    for i, (n, s) in enumerate(zip(n_past, whole, strict=True)):
        kept = min(n, T)
        past = s[n - kept : n]
        values[i, T - kept : T] = past
        n_rows = torch.arange(1, n + 1)
        for k, period in enumerate(PATH_PERIODS):
            means[i, T - kept : T, k] = trailing_means(s[:n], n_rows, period)[-kept:]
    paths = PathMeans(values, means, torch.tensor(n_past), PATH_PERIODS, PATH_OFFSETS)
    return paths, whole


@pytest.mark.parametrize("extreme", [1e6, np.nan, np.inf])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_means_of_paths_are_the_trailing_means_of_the_extended_series(dtype, extreme):
    n_past = [1, 2, 5, 8, 19, 20, 21, 50]  # shorter than a period, than T, and longer
    paths, whole = paths_of(n_past, dtype, extreme)
    for h in range(H):
        row = T + h
        before = paths.before(row)
        assert before.shape == (len(n_past), 1, len(PATH_PERIODS), 3, 2)
        for i, (n, s) in enumerate(zip(n_past, whole, strict=True)):
            for k, period in enumerate(PATH_PERIODS):
                means = trailing_means(s, torch.arange(1, len(s) + 1), period)
                for j, offset in enumerate(PATH_OFFSETS[k].tolist()):
                    # Before the first row of a series there is none; the first row's stands in.
                    expected = means[max(0, n + h - offset)]
                    torch.testing.assert_close(before[i, 0, k, j], expected)
            paths.values[i, row] = s[n + h]
        paths.append(row)


def test_forecasts_change_later_means_alone():
    one, _ = paths_of([30])
    other, _ = paths_of([30])
    for paths, forecast in ((one, 0.0), (other, 99.0)):
        paths.values[0, T] = forecast
        paths.append(T)
    assert torch.equal(one.before(T), other.before(T))
    # Of each period, only the mean that ends with the forecast.
    difference = (other.before(T + 1) - one.before(T + 1))[0, 0, :, :, 0]
    expected = torch.tensor([[99, 0, 0], [99 / 3, 0, 0], [99 / 8, 0, 0]]).double()
    torch.testing.assert_close(difference, expected)


def test_values_that_are_not_forecast_yet_are_not_read():
    paths, _ = paths_of([30])
    paths.values[0, T] = 1.0
    paths.values[0, T + 1 :] = torch.nan
    paths.append(T)
    assert paths.before(T + 1).isfinite().all()


def test_paths_of_naive_forecasts_without_means_have_none():
    values = torch.zeros(2, T + H, 1)
    paths = PathMeans(values, torch.zeros(2, T, 0, 1), torch.tensor([5, 5]), (), torch.zeros(0, 0))
    paths.append(T)
    assert paths.before(T) is None
