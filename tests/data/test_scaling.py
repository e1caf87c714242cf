import numpy as np
import pytest

from skrnn.data.scaling import SCALERS, Scaler

rng = np.random.default_rng(0)
LENGTHS = [7, 30, 11]
GROUP = np.repeat(np.arange(3), LENGTHS)
# Two columns of three series on very different scales.
VALUES = (
    rng.normal(size=(48, 2)) * np.array([1.0, 50.0])[GROUP % 2][:, None] + 100.0 * GROUP[:, None]
)
SERIES = np.split(VALUES, np.cumsum(LENGTHS)[:-1])

BY_HAND = {
    "standard": lambda v: (v.mean(0), np.sqrt(((v - v.mean(0)) ** 2).mean(0))),
    "minmax": lambda v: (v.min(0), v.max(0) - v.min(0)),
    "robust": lambda v: (np.median(v, 0), np.subtract(*np.percentile(v, [75, 25], axis=0))),
    None: lambda v: (np.zeros(2), np.ones(2)),
}


def round_trip(kind, values, group):
    scaler = Scaler(kind).fit(values, group)
    return scaler.inverse(scaler.transform(values, group), group)


@pytest.mark.parametrize("kind", SCALERS)
def test_statistics_are_those_of_each_series_and_column(kind):
    scaler = Scaler(kind).fit(VALUES, GROUP)
    for s in range(3):
        center, scale = BY_HAND[kind](SERIES[s])
        np.testing.assert_allclose(scaler.center_[s], center, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(scaler.scale_[s], scale, rtol=1e-12)


@pytest.mark.parametrize("kind", SCALERS)
def test_transform_subtracts_the_center_and_divides_by_the_scale(kind):
    made = Scaler(kind).fit(VALUES, GROUP).transform(VALUES, GROUP)
    for s in range(3):
        center, scale = BY_HAND[kind](SERIES[s])
        expected = (SERIES[s] - center) / scale
        np.testing.assert_allclose(made[s == GROUP], expected, rtol=1e-6, atol=1e-6)
    assert made.dtype == np.float32


@pytest.mark.parametrize("kind", SCALERS)
def test_rows_of_a_group_need_not_stand_together(kind):
    order = rng.permutation(len(VALUES))
    sorted_, shuffled = (
        Scaler(kind).fit(VALUES, GROUP),
        Scaler(kind).fit(VALUES[order], GROUP[order]),
    )
    np.testing.assert_allclose(shuffled.center_, sorted_.center_, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(shuffled.scale_, sorted_.scale_, rtol=1e-12)


@pytest.mark.parametrize("kind", SCALERS)
def test_inverse_undoes_transform(kind):
    np.testing.assert_allclose(round_trip(kind, VALUES, GROUP), VALUES, rtol=1e-5)


@pytest.mark.parametrize("kind", ["standard", "minmax", "robust"])
def test_small_changes_on_a_high_level_survive_the_round_trip(kind):
    # Float32 alone would round these values to multiples of 64.
    values = 1e9 + rng.normal(size=(200, 1))
    group = np.zeros(200, dtype=int)
    np.testing.assert_allclose(round_trip(kind, values, group), values, rtol=0, atol=1e-5)


def test_inverse_of_forecasts_uses_the_series_of_each_row():
    scaler = Scaler("standard").fit(VALUES, GROUP)
    forecasts = rng.normal(size=(4, 5, 2))  # (n, H, C)
    group = np.array([2, 0, 2, 1])
    made = scaler.inverse(forecasts, group)
    for i, s in enumerate(group):
        mean, deviation = BY_HAND["standard"](SERIES[s])
        np.testing.assert_allclose(made[i], forecasts[i] * deviation + mean, rtol=1e-12)


@pytest.mark.parametrize("kind", SCALERS)
@pytest.mark.parametrize("level", [0.0, 0.1, -3.7, 1e9 + 0.1])
def test_constant_series_is_scaled_by_one(kind, level):
    values = np.full((1000, 1), level)
    group = np.zeros(1000, dtype=int)
    scaler = Scaler(kind).fit(values, group)
    assert scaler.scale_.tolist() == [[1.0]]
    expected = level if kind is None else 0.0
    np.testing.assert_allclose(scaler.transform(values, group), expected, atol=1e-6)
    np.testing.assert_allclose(round_trip(kind, values, group), level, rtol=1e-7)


@pytest.mark.parametrize("kind", ["standard", "robust"])
def test_series_constant_but_for_rounding_stays_at_zero(kind):
    values = np.tile([0.3, 0.1 + 0.2], 50)[:, None]
    assert np.ptp(values) > 0
    scaler = Scaler(kind).fit(values, np.zeros(100, dtype=int))
    assert scaler.scale_.tolist() == [[1.0]]
    made = scaler.transform(values, np.zeros(100, dtype=int))
    np.testing.assert_allclose(made, 0.0, atol=1e-15)


def test_constant_series_leaves_the_others_scaled():
    values = np.r_[np.full(5, 3.0), [0.0, 2.0, 4.0, 6.0, 8.0]][:, None]
    scaler = Scaler("minmax").fit(values, np.repeat([0, 1], 5))
    assert scaler.center_.ravel().tolist() == [3.0, 0.0]
    assert scaler.scale_.ravel().tolist() == [1.0, 8.0]


def test_robust_scales_mostly_zero_counts_by_their_deviation():
    counts = np.zeros((20, 1))
    counts[[3, 11]] = [[4.0], [16.0]]
    scaler = Scaler("robust").fit(counts, np.zeros(20, dtype=int))
    # Mean 1, mean square (16 + 256) / 20 = 13.6: variance 12.6.
    assert scaler.center_.tolist() == [[0.0]]
    np.testing.assert_allclose(scaler.scale_, np.sqrt(12.6), rtol=1e-12)


def test_robust_ignores_an_outlier():
    values = np.r_[np.arange(101.0), 1e12][:, None]
    scaler = Scaler("robust").fit(values, np.zeros(102, dtype=int))
    assert scaler.center_[0, 0] == 50.5
    assert scaler.scale_[0, 0] == 50.5


@pytest.mark.parametrize("kind", SCALERS)
def test_series_of_one_row_is_zero_but_for_none(kind):
    made = (
        Scaler(kind)
        .fit(np.array([[7.0]]), np.array([0]))
        .transform(np.array([[7.0]]), np.array([0]))
    )
    assert made.tolist() == [[7.0 if kind is None else 0.0]]


@pytest.mark.parametrize("kind", SCALERS)
def test_no_columns_are_no_error(kind):
    empty, group = np.empty((5, 0)), np.zeros(5, dtype=int)
    assert Scaler(kind).fit(empty, group).transform(empty, group).shape == (5, 0)


def test_repr_names_the_kind():
    assert repr(Scaler("robust")) == "Scaler('robust')"
