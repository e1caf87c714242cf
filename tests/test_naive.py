"""Each naive forecast against numbers computed by hand, and naive forecasts of a user."""

import itertools
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone

from builders import NAIVE, features_of, read
from skrnn import GRUForecaster
from skrnn.datasets import make_hourly_load
from skrnn.features.naive_forecasts import NaiveForecasts
from skrnn.naive import (
    AUTO_LEVEL,
    AUTO_SEASONAL,
    FEWEST_SEASONS,
    MOST_SEASONS,
    NAIVE_FORECASTS,
    Averaged,
    Drift,
    Last,
    Leveled,
    Mean,
    NaiveForecast,
    Seasonal,
    Shifted,
    naive_forecasts,
    naive_kinds,
    offset_table,
    seasons_back,
)

pytestmark = pytest.mark.usefixtures("one_thread")

S = [2.0, 7.0, 1.0, 8.0, 2.0, 8.0, 1.0, 8.0, 4.0, 5.0, 9.0, 0.0]  # s[0] to s[11], all known


def after_the_end(kind, p, horizons, s=S):
    """Naive forecasts of steps after the end of a series, None where they do not exist."""
    features = features_of(sp=(p,) if p > 1 else (), naive=(kind,), horizons=horizons)
    _, targets, _ = read(features, np.r_[s, 1e6])  # the step after the end, which nothing may read
    forecasts, exists = NaiveForecasts(features)(targets)
    pairs = zip(forecasts[0, -1, :, 0, 0].tolist(), exists[0, -1, :, 0, 0].tolist(), strict=True)
    return [value if exist else None for value, exist in pairs]


# ------------------------------------------------------------------- by hand

BY_HAND = [
    # (name, period): horizon -> forecast. The last value is s[11] = 0.
    ("last", 4, {1: 0.0, 4: 0.0, 9: 0.0}),
    # Mean of s[8..11], of s[9..11], of s[0..11].
    ("mean", 4, {1: 18 / 4, 9: 18 / 4}),
    ("mean", 3, {1: 14 / 3}),
    ("mean", 12, {2: 55 / 12}),
    # Period 4: s[8], s[9], s[11]; five steps ahead s[8] again. Period 3: s[9], s[11], s[9].
    ("seasonal", 4, {1: 4.0, 2: 5.0, 4: 0.0, 5: 4.0, 8: 0.0}),
    ("seasonal", 3, {1: 5.0, 3: 0.0, 7: 5.0}),
    # Last minus s[7] = 8 for one season back, minus s[3] = 8 for two; period 3: minus s[8] = 4,
    # and minus s[5] = 8.
    ("shifted", 4, {1: 4.0 - 8, 2: 5.0 - 8, 4: 0.0 - 8, 5: 4.0 - 8}),
    ("shifted", 3, {1: 5.0 - 4, 3: 0.0 - 4, 4: 5.0 - 8}),
    # The mean 18/4 minus that of s[4..7], 19/4, or two seasons back of s[0..3], 18/4.
    ("leveled", 4, {1: 4.0 - 1 / 4, 3: 9.0 - 1 / 4, 5: 4.0, 8: 0.0}),
    ("leveled", 3, {1: 5.0 + (14 - 13) / 3, 4: 5.0 + (14 - 18) / 3}),
    # The same change a step: over 4 or, two seasons back, 8 steps.
    ("drift", 4, {1: -1 / 16, 4: -4 / 16, 5: 0.0, 8: 0.0}),
    ("drift", 3, {1: (1 / 3) / 3, 3: 3 * (1 / 3) / 3, 4: 4 * (-4 / 3) / 6}),
    # Three seasons: s[8], s[4], s[0]; s[9], s[5], s[1]. Four two seasons ahead, of which three
    # exist. Period 3: s[9], s[6], s[3]; then all four: s[9], s[6], s[3], s[0].
    ("averaged", 4, {1: 8 / 3, 2: 20 / 3, 4: 16 / 3, 5: 8 / 3}),
    ("averaged", 3, {1: 14 / 3, 4: 16 / 4}),
]


@pytest.mark.parametrize(("name", "p", "expected"), BY_HAND)
def test_forecast_is_the_number_computed_by_hand(name, p, expected):
    assert after_the_end(name, p, tuple(expected)) == pytest.approx(list(expected.values()))


@pytest.mark.parametrize(("name", "p", "expected"), BY_HAND)
def test_a_step_alone_is_forecast_as_among_others(name, p, expected):
    for h, value in expected.items():
        assert after_the_end(name, p, (h,)) == [pytest.approx(value)]


def test_every_naive_forecast_is_computed_by_hand():
    assert {name for name, *_ in BY_HAND} == {*NAIVE_FORECASTS}


@pytest.mark.parametrize(
    ("kind", "p", "depths"),
    [
        (Last, 1, {1: 1, 9: 1}),
        (Mean, 4, {1: 1, 9: 1}),
        (Drift, 4, {1: 8, 4: 8, 5: 12}),
        (Seasonal, 4, {1: 4, 4: 1, 5: 4, 8: 1}),
        (Shifted, 4, {1: 5, 4: 5, 5: 9}),
        (Leveled, 4, {1: 8, 4: 8, 5: 12}),
        (Averaged, 4, {1: 4, 4: 1, 5: 4}),
    ],
)
def test_forecast_exists_once_the_series_is_as_long_as_its_depth(kind, p, depths):
    for h, depth in depths.items():
        assert kind(p).depth(h) == depth
        for n in range(1, 13):
            (forecast,) = after_the_end(kind, p, (h,), S[:n])
            assert (forecast is not None) == (n >= depth), (h, n)


# ------------------------------------------------------------------- seasons


@pytest.mark.parametrize(("h", "p", "k"), [(1, 4, 1), (4, 4, 1), (5, 4, 2), (8, 4, 2), (9, 4, 3)])
def test_seasons_back_is_the_least_number_that_reaches_what_is_known(h, p, k):
    assert seasons_back(h, p) == k


def test_averaged_takes_twice_as_many_seasons_as_the_target_is_ahead_within_bounds():
    counts = [len(Averaged(24).offsets(h)) for h in (1, 24, 25, 48, 49, 168, 169, 720)]
    assert counts == [FEWEST_SEASONS] * 2 + [4, 4, 6] + [MOST_SEASONS] * 3
    assert (FEWEST_SEASONS, MOST_SEASONS) == (3, 14)  # decision 10
    assert Averaged(24).offsets(25) == [24, 48, 72, 96]


def test_no_offset_reads_the_target_or_a_later_value():
    for kind, p, h in itertools.product(NAIVE_FORECASTS.values(), (1, 2, 7, 24), range(1, 60)):
        assert all(offset >= 1 for offset in kind(p).offsets(h)), (kind, p, h)


def test_table_fills_up_shorter_lists_with_an_offset_that_no_series_reaches():
    table = offset_table([[4, 8], [1], []])
    assert table[0].tolist() == [4, 8]
    assert table[1, 0] == 1
    assert (table[1, 1] > 10**12) & (table[2] > 10**12).all()
    assert offset_table([[], []]).shape == (2, 0)


# --------------------------------------------------------------------- kinds


def test_names_are_those_of_the_parameter_in_the_order_of_mixing():
    assert (
        tuple(NAIVE_FORECASTS)
        == NAIVE
        == (*("last", "mean", "drift", "seasonal", "shifted", "leveled", "averaged"),)
    )
    assert all(kind.name == name for name, kind in NAIVE_FORECASTS.items())


def test_auto_uses_all_but_drift_with_a_season_and_those_of_the_level_without():
    assert {*AUTO_SEASONAL} == {*NAIVE_FORECASTS} - {"drift"}
    assert AUTO_LEVEL == ("last", "mean", "drift")


class Own(NaiveForecast):
    name = "own"


def test_kinds_are_mixed_in_one_order_however_they_are_given():
    assert naive_kinds(["seasonal", Own, "last"]) == (Last, Seasonal, Own)
    assert naive_kinds([Own, Seasonal, "last", "seasonal", Own]) == (Last, Seasonal, Own)
    assert naive_kinds([]) == ()


def test_one_forecast_for_each_season_or_one_for_the_longest():
    kinds = naive_kinds(NAIVE)
    expected = [Last(1), Mean(7), Drift(7)]
    expected += [kind(p) for kind in (Seasonal, Shifted, Leveled, Averaged) for p in (4, 7)]
    assert naive_forecasts(kinds, (4, 7), 3) == expected
    assert naive_forecasts(kinds, (), 3) == [Last(1), Mean(3), Drift(3)]


def test_without_a_season_seasonal_forecasts_are_the_last_value():
    assert naive_forecasts([Seasonal, Averaged], (), 3) == [Last(1)]
    assert naive_forecasts([], (), 3) == naive_forecasts([], (4,), 3) == []


def test_forecasts_are_equal_if_kind_and_period_are():
    assert len({Seasonal(4), Seasonal(4), Seasonal(7), Shifted(4), Last(1)}) == 4
    assert Seasonal(4) != Shifted(4)
    assert Seasonal(4) != "seasonal"
    assert repr(Seasonal(4)) == "Seasonal(4)"


def test_a_forecast_without_a_formula_says_so():
    with pytest.raises(NotImplementedError, match="abstract"):
        Own(3).forecast(None)


# -------------------------------------------------------------- those of a user


class Middle(NaiveForecast):
    """The mean of the last two known values of the same place in the season."""

    name = "middle"

    def offsets(self, h):
        return [self.back(h) - h + 1, self.back(h) + self.period - h + 1]

    def forecast(self, known):
        return (known.value(0) + known.value(1)) / 2


class Center(NaiveForecast):
    """Half way between the last value and the mean over the longest period."""

    name, each_period, reads_means = "center", False, True

    def forecast(self, known):
        return (known.last + known.mean) / 2


class Trimmed(NaiveForecast):
    """The median of as many seasons as exist, of a number that depends on the horizon."""

    name, waits = "trimmed", False

    def offsets(self, h):
        k = seasons_back(h, self.period)
        return [(k + i) * self.period - h + 1 for i in range(3 if h > 2 else 1)]

    def depth(self, h):
        return self.offsets(h)[0]

    def forecast(self, known):
        values = known.values().where(known.exist()[..., None], torch.nan)
        return values.nanmedian(3).values


@pytest.mark.parametrize("p", [4, 3])
@pytest.mark.parametrize("horizons", [(1,), (2, 5), (1, 3, 6)])
def test_forecast_of_a_user_is_computed_from_the_values_it_lists(p, horizons):
    expected = []
    for h in horizons:
        k = -(-h // p)
        first, second = 11 + h - k * p, 11 + h - (k + 1) * p
        expected.append((S[first] + S[second]) / 2 if second >= 0 else None)
    assert after_the_end(Middle, p, horizons) == pytest.approx(expected)


def test_forecast_of_a_user_may_read_means():
    assert after_the_end(Center, 4, (1, 9)) == [18 / 8] * 2


def test_forecast_of_a_user_may_read_more_values_for_some_horizons():
    # s[8] alone; of s[10], s[6], s[2] and of s[11], s[7], s[3] the middle one.
    assert after_the_end(Trimmed, 4, (1, 3, 4)) == [4.0, 1.0, 8.0]
    # Of s[10] and s[6] torch takes the lower as median.
    assert after_the_end(Trimmed, 4, (3,), [0.0, *S[4:]]) == [1.0]


@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
def test_forecaster_without_training_forecasts_what_a_user_computes(strategy):
    y = make_hourly_load(n_series=1, n_hours=300, random_state=0)
    forecaster = GRUForecaster(
        strategy=strategy, naive=[Middle], linear_lags=None, sp=24, num_epochs=0
    )
    forecast = forecaster.fit(y, fh=range(1, 25)).predict()
    s = y.to_numpy().ravel()
    np.testing.assert_allclose(forecast.to_numpy().ravel(), (s[-24:] + s[-48:-24]) / 2, rtol=1e-5)


@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
def test_forecasts_of_a_user_are_mixed_with_others_and_trained(strategy):
    y = make_hourly_load(n_series=2, n_hours=300, random_state=0)
    kwargs = {"strategy": strategy, "hidden_size": 8, "num_epochs": 1, "random_state": 0}
    kwargs["linear_lags"] = None
    forecaster = GRUForecaster(naive=["last", Middle, Center, Trimmed], sp=[4, 24], **kwargs)
    forecaster.fit(y, fh=[1, 5])
    assert forecaster.naive_.index.tolist() == [
        *[("last", 1), ("middle", 4), ("middle", 24), ("center", 24)],
        *[("trimmed", 4), ("trimmed", 24)],
    ]
    forecast = forecaster.predict()
    assert np.isfinite(forecast.to_numpy()).all()
    again = pickle.loads(pickle.dumps(forecaster)).predict()
    np.testing.assert_array_equal(again, forecast)
    np.testing.assert_array_equal(clone(forecaster).fit(y, fh=[1, 5]).predict(), forecast)
    plain = GRUForecaster(naive=["last"], sp=[4, 24], **kwargs).fit(y, fh=[1, 5]).predict()
    assert not np.allclose(plain, forecast)


class NoName(NaiveForecast):
    def forecast(self, known):
        return known.last


def test_forecast_of_a_user_has_the_name_of_its_class_unless_it_has_its_own():
    assert (NoName.name, Middle.name) == ("NoName", "middle")

    class Better(Middle):
        pass

    assert Better.name == "middle"


class Leak(NaiveForecast):
    """One season before the target, which more than a season ahead is not known."""

    def offsets(self, h):
        return [self.period - h + 1]

    def forecast(self, known):
        return known.value(0)


@pytest.mark.parametrize(
    ("strategy", "sp", "h", "offset"),
    [("multioutput", 12, 13, 0), ("multioutput", 12, 24, -11), ("recursive", [4, 24], 5, 0)],
)
def test_forecast_of_a_user_that_would_read_its_target_is_refused(strategy, sp, h, offset):
    # Recursively, errors are compared over the longest season.
    y = make_hourly_load(n_series=1, n_hours=200, random_state=0)
    forecaster = GRUForecaster(strategy=strategy, naive=[Leak], sp=sp, num_epochs=0)
    with pytest.raises(ValueError, match=rf"Leak .* offsets \[{offset}\] at horizon {h}\b"):
        forecaster.fit(y, fh=[1, h])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_a_user_computes_where_a_forecast_does_not_exist_is_never_read(value):
    class Early(Trimmed):
        def forecast(self, known):
            exists = known.exist()[:, :, :, 0, None]
            return super().forecast(known).where(exists, value)

    class Zero(Trimmed):
        def forecast(self, known):
            return super().forecast(known).nan_to_num(0.0)

    y = make_hourly_load(n_series=1, n_hours=100, random_state=0)
    kwargs = {"sp": 24, "hidden_size": 8, "num_epochs": 2, "random_state": 0}
    one, other = (
        GRUForecaster(naive=["last", kind], **kwargs).fit(y).predict(fh=[1, 2])
        for kind in (Early, Zero)
    )
    np.testing.assert_array_equal(one, other)


def test_a_class_that_is_no_naive_forecast_is_refused():
    with pytest.raises(TypeError, match=r"subclasses of skrnn\.naive\.NaiveForecast"):
        GRUForecaster(naive=["last", dict]).fit(make_hourly_load(n_series=1, n_hours=100))
