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
    return scaler.transform(values, group) * scaler.scale_[group] + scaler.center_[group]


@pytest.mark.parametrize("kind", SCALERS)
def test_statistics_are_those_of_each_series_and_column(kind):
    scaler = Scaler(kind).fit(VALUES, GROUP)
    for s in range(3):
        center, scale = BY_HAND[kind](SERIES[s])
        np.testing.assert_allclose(scaler.center_[s], center, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(scaler.scale_[s], scale, rtol=1e-12)


@pytest.mark.parametrize("kind", SCALERS)
def test_scaler_that_is_not_centered_divides_alone(kind):
    scaler = Scaler(kind, is_centered=False).fit(VALUES, GROUP)
    assert (scaler.center_ == 0).all()
    np.testing.assert_array_equal(scaler.scale_, Scaler(kind).fit(VALUES, GROUP).scale_)


@pytest.mark.parametrize("kind", SCALERS)
def test_transform_subtracts_the_center_and_divides_by_the_scale(kind):
    scaled = Scaler(kind).fit(VALUES, GROUP).transform(VALUES, GROUP)
    for s in range(3):
        center, scale = BY_HAND[kind](SERIES[s])
        expected = (SERIES[s] - center) / scale
        np.testing.assert_allclose(scaled[s == GROUP], expected, rtol=1e-6, atol=1e-6)
    assert scaled.dtype == np.float32


@pytest.mark.parametrize("kind", SCALERS)
def test_rows_of_a_group_need_not_be_contiguous(kind):
    order = rng.permutation(len(VALUES))
    sorted_, shuffled = (
        Scaler(kind).fit(VALUES, GROUP),
        Scaler(kind).fit(VALUES[order], GROUP[order]),
    )
    np.testing.assert_allclose(shuffled.center_, sorted_.center_, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(shuffled.scale_, sorted_.scale_, rtol=1e-12)


@pytest.mark.parametrize("kind", SCALERS)
def test_scale_and_center_undo_the_transform(kind):
    np.testing.assert_allclose(round_trip(kind, VALUES, GROUP), VALUES, rtol=1e-5)


@pytest.mark.parametrize("kind", ["standard", "minmax", "robust"])
def test_small_changes_on_a_high_level_survive_the_round_trip(kind):
    # Float32 alone would round these values to multiples of 64.
    values = 1e9 + rng.normal(size=(200, 1))
    group = np.zeros(200, dtype=int)
    np.testing.assert_allclose(round_trip(kind, values, group), values, rtol=0, atol=1e-5)


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
    scaled = scaler.transform(values, np.zeros(100, dtype=int))
    np.testing.assert_allclose(scaled, 0.0, atol=1e-15)


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
    row, group = np.array([[7.0]]), np.array([0])
    scaled = Scaler(kind).fit(row, group).transform(row, group)
    assert scaled.tolist() == [[7.0 if kind is None else 0.0]]


@pytest.mark.parametrize("kind", SCALERS)
def test_no_columns_are_no_error(kind):
    empty, group = np.empty((5, 0)), np.zeros(5, dtype=int)
    assert Scaler(kind).fit(empty, group).transform(empty, group).shape == (5, 0)


# ------------------------------------------------------------ extreme values


@pytest.mark.parametrize("kind", ["standard", "minmax", "robust"])
@pytest.mark.parametrize("exponent", [1, 399, 401, 662, 990, -1, -399, -401, -662, -950])
def test_statistics_of_extreme_values_are_those_of_ordinary_ones_to_the_bit(kind, exponent):
    # A power of two changes no digit, so each statistic must be the same times that power.
    ordinary = Scaler(kind).fit(VALUES, GROUP)
    scaler = Scaler(kind).fit(np.ldexp(VALUES, exponent), GROUP)
    np.testing.assert_array_equal(scaler.center_, np.ldexp(ordinary.center_, exponent))
    np.testing.assert_array_equal(scaler.scale_, np.ldexp(ordinary.scale_, exponent))
    scaled = scaler.transform(np.ldexp(VALUES, exponent), GROUP)
    np.testing.assert_array_equal(scaled, ordinary.transform(VALUES, GROUP))


@pytest.mark.parametrize("kind", ["standard", "minmax", "robust"])
@pytest.mark.parametrize("factor", [1e200, -1e300, 1e-200, 1e-280])
def test_extreme_values_are_scaled_like_ordinary_ones(kind, factor):
    values = np.sin(np.arange(200.0))[:, None] + 3
    group = np.repeat([0, 1], 100)
    ordinary = Scaler(kind).fit(values * np.sign(factor), group)
    scaler = Scaler(kind).fit(values * factor, group)
    scale = abs(factor)
    np.testing.assert_allclose(scaler.center_, ordinary.center_ * scale, rtol=1e-14)
    np.testing.assert_allclose(scaler.scale_, ordinary.scale_ * scale, rtol=1e-13)


@pytest.mark.parametrize("sign", [1, -1])
def test_series_is_extreme_by_its_largest_magnitude(sign):
    values, group = sign * np.array([[0.0], [1e200], [2e200]]), np.zeros(3, dtype=int)
    scaler = Scaler("standard").fit(values, group)
    assert scaler.center_[0, 0] == pytest.approx(sign * 1e200, rel=1e-14)
    assert scaler.scale_[0, 0] == pytest.approx(1e200 * np.sqrt(2 / 3), rel=1e-14)


@pytest.mark.parametrize("kind", ["standard", "minmax", "robust"])
def test_constant_beside_an_extreme_series_is_scaled_by_one(kind):
    values, group = np.array([[3.0], [3.0], [1e200], [2e200]]), np.array([0, 0, 1, 1])
    assert Scaler(kind).fit(values, group).scale_[0, 0] == 1.0


@pytest.mark.parametrize("kind", SCALERS)
def test_extreme_series_or_column_leaves_the_others_to_the_bit(kind):
    extreme = VALUES.copy()
    extreme[GROUP == 1, 0] *= 1e250
    extreme[GROUP == 2, 1] *= 1e-250
    ordinary, scaler = Scaler(kind).fit(VALUES, GROUP), Scaler(kind).fit(extreme, GROUP)
    for s, c in [(0, 0), (0, 1), (1, 1), (2, 0)]:
        assert scaler.center_[s, c] == ordinary.center_[s, c]
        assert scaler.scale_[s, c] == ordinary.scale_[s, c]


@pytest.mark.parametrize("kind", ["standard", "minmax", "robust"])
@pytest.mark.parametrize("factor", [1.0, 1e250, 1e-250])
def test_missing_values_have_no_effect_on_the_statistics(kind, factor):
    values = VALUES * factor
    gaps = values[:, None].repeat(2, axis=1).reshape(-1, 2)
    gaps[1::2] = np.nan
    scaler = Scaler(kind).fit(gaps, GROUP.repeat(2))
    whole = Scaler(kind).fit(values, GROUP)
    np.testing.assert_array_equal(scaler.center_, whole.center_)
    np.testing.assert_array_equal(scaler.scale_, whole.scale_)


@pytest.mark.parametrize("kind", ["standard", "minmax", "robust"])
@pytest.mark.parametrize("level", [1e200, -1.1e300, 1.1e-200])
def test_extreme_constant_is_scaled_to_zero(kind, level):
    values, group = np.full((1000, 1), level), np.zeros(1000, dtype=int)
    scaler = Scaler(kind).fit(values, group)
    assert scaler.center_[0, 0] == pytest.approx(level, rel=1e-12)
    assert scaler.scale_[0, 0] >= 1.0
    assert np.abs(scaler.transform(values, group)).max() < 1e-12


def test_without_a_scaler_extreme_values_are_left_alone():
    scaler = Scaler(None).fit(VALUES * 1e200, GROUP)
    assert scaler.center_.tolist() == [[0.0, 0.0]] * 3
    assert scaler.scale_.tolist() == [[1.0, 1.0]] * 3


def test_repr_names_the_kind():
    assert repr(Scaler("robust")) == "Scaler('robust')"
