"""The features of a step, the naive forecasts, and the network that corrects them."""

# `values` is an array of ours here, never that of pandas.

import numpy as np
import pandas as pd
import pytest
import torch

from skrnn.data.covariates import Covariates
from skrnn.data.holidays import Holidays
from skrnn.data.panel import Panel
from skrnn.data.scaling import Scaler
from skrnn.distributions import Normal, Quantiles, distribution_of
from skrnn.features.features import (
    CALENDAR,
    LEVEL_NAIVE,
    NAIVE,
    SEASONAL_NAIVE,
    Features,
    calendar_cycle,
    calendar_fields,
    level_period,
    naive_names,
    season_depths,
    seasonal_periods,
    seasons_back,
)
from skrnn.features.naive import Ahead
from skrnn.network.network import CELLS, RecurrentNetwork, Steps
from skrnn.training.chunks import Chunk, DevicePanel

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
OF_VALUES = ("last", "seasonal", "shifted")  # which need no means and no older seasons
rng = np.random.default_rng(0)


def features_of(sp=(), lags=(), naive=(), calendar=(), n_columns=1, n_numbers=0, **kwargs):
    return Features(sp, lags, naive, calendar, n_columns, n_numbers=n_numbers, **kwargs)


def panel_of(index, values=None, X=None):
    values = rng.normal(size=len(index)) if values is None else values
    y = pd.DataFrame(values, index=index)
    return Panel.from_pandas(y, X, Covariates.of(X, ()))


def read(features, values, start=1, X=None, index=None):
    """What is known of each step from ``start`` to the end of one series, and the targets.

    The series is not scaled; a batch of one. Targets beyond the end repeat the last value.
    """
    index = pd.RangeIndex(len(values)) if index is None else index
    panel = panel_of(index, values, None if X is None else pd.DataFrame(X, index=index))
    group = panel.series_of_rows()
    numbers = panel.known[:, panel.covariates.numbers]
    scalers = (Scaler(None).fit(v, group) for v in (panel.values, numbers))
    data = DevicePanel(panel.filled(()), features, *scalers, CPU)
    series, t = torch.zeros(1, dtype=torch.long), torch.arange(start, len(values))[None]
    steps = data.steps(series, t[:, 0], len(values) - start)
    return steps, data.ahead(series, t), data.targets(series, t)[0]


def network_of(features, cell="gru", distribution="mae", hidden_size=3, num_layers=1, dropout=0.0):
    torch.manual_seed(0)
    made = distribution_of(distribution, (0.1, 0.5, 0.9))
    return RecurrentNetwork(features, made, cell, hidden_size, num_layers, dropout).eval()


def forecast_of(network, values, **kwargs):
    """Parameters of the forecasts of one series' steps, (L, J, C, K)."""
    steps, ahead, _ = read(network.features, values, **kwargs)
    with torch.no_grad():
        return network(steps, ahead)[0][0]


def randomised(network):
    """The same network with no weight left at zero."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter) / 2)
    return network


# ---------------------------------------------------------- naive forecasts


def test_naive_forecasts_by_hand():
    s = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0])
    features = features_of(sp=(2, 3), naive=OF_VALUES)
    _, ahead, target = read(features, s, start=4)
    made, exists = network_of(features).naive_forecasts(ahead)
    assert target.ravel().tolist() == s[4:].tolist()
    assert exists.all()
    by_hand = {
        # step:  last, s[t-2], s[t-3], then both plus the change of the level since.
        4: [1.0, 4.0, 1.0, 4.0 + 1.0 - 1.0, 1.0 + 1.0 - 3.0],
        5: [5.0, 1.0, 4.0, 1.0 + 5.0 - 4.0, 4.0 + 5.0 - 1.0],
        6: [9.0, 5.0, 1.0, 5.0 + 9.0 - 1.0, 1.0 + 9.0 - 4.0],
        7: [2.0, 9.0, 5.0, 9.0 + 2.0 - 5.0, 5.0 + 2.0 - 1.0],
    }
    for t, expected in by_hand.items():
        assert made[0, t - 4, 0, 0].tolist() == expected


def after_the_end(s, name, horizons, **kwargs):
    """A naive forecast of steps after the end of a series, None where it does not exist."""
    features = features_of(naive=(name,), horizons=horizons, **kwargs)
    _, ahead, _ = read(features, np.r_[s, 1e6])  # the step after the end, which nothing may read
    made, exists = network_of(features).naive_forecasts(ahead)
    pairs = zip(made[0, -1, :, 0, 0].tolist(), exists[0, -1, :, 0, 0].tolist(), strict=True)
    return [value if there else None for value, there in pairs]


@pytest.mark.parametrize(
    ("s", "expected"),
    [
        # Of four steps a season, the first, second and fourth step ahead, and the first again.
        ([4, 1, 2, 9], [4, 1, 9, 4]),
        ([0, 3, 6, 3, 4, 1, 2, 9], [2, 2, 6, 2]),
        ([8, 5, 7, 0, 0, 3, 6, 3, 4, 1, 2, 9], [4, 3, 4, 4]),
        ([99, 99, 99, 99, 8, 5, 7, 0, 0, 3, 6, 3, 4, 1, 2, 9], [4, 3, 4, 27.75]),
        ([8, 4, 1, 2, 9], [4, 1, 8.5, 4]),  # two seasons of the fourth step alone
        ([1, 2, 9], [None, 1, 9, None]),
    ],
)
def test_averaged_is_the_mean_of_three_seasons_and_of_four_two_ahead_as_they_exist(s, expected):
    assert after_the_end(s, "averaged", (1, 2, 4, 5), sp=(4,)) == expected


def test_averaged_takes_twice_as_many_seasons_as_it_looks_ahead_but_fourteen_at_most():
    assert [len(season_depths(h, 24)) for h in (1, 24, 25, 48, 49, 168, 169, 720)] == [
        *(3, 3, 4, 4, 6, 14, 14, 14)
    ]
    assert season_depths(25, 24) == [24, 48, 72, 96]


@pytest.mark.parametrize("kwargs", [{"level_period": 3}, {"sp": (2, 3), "level_period": 9}])
@pytest.mark.parametrize(
    ("s", "horizons", "expected"),
    [
        # From a mean of 2 over three values to 5 over the next: 1 a step from the last value on.
        ([1, 2, 3, 4, 4, 7], (1, 2, 3), [7 + 1, 7 + 2, 7 + 3]),
        ([0, 1, 2, 3, 4, 4, 7], (1, 3), [7 + 1, 7 + 3]),
        # Four to six steps ahead, the means are six steps apart: from 11 to 5.
        ([10, 11, 12, 1, 2, 3, 4, 4, 7], (1, 3, 4, 6), [7 + 1, 7 + 3, 7 - 4, 7 - 6]),
        ([10, 11, 12, 1, 2, 3, 4, 4, 7], (5,), [7 - 5]),
        ([2, 3, 4, 4, 7], (1, 3), [None, None]),
        ([1, 2, 3, 4, 4, 7], (3, 4), [7 + 3, None]),
    ],
)
def test_drift_goes_on_from_the_last_value_as_the_level_did(s, horizons, expected, kwargs):
    assert after_the_end(s, "drift", horizons, **kwargs) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("horizons", [(1,), (1, 3, 7), (12, 13, 40)])
def test_drift_continues_a_straight_line(horizons):
    t = np.arange(100.0)
    made = after_the_end(0.5 * t, "drift", horizons, level_period=12)
    assert made == pytest.approx([0.5 * (99 + h) for h in horizons], abs=1e-4)


def test_auto_takes_the_naive_forecasts_that_go_with_a_season_or_with_none():
    assert naive_names((24, 168)) == naive_names((1, 7)) == SEASONAL_NAIVE
    assert naive_names(()) == naive_names((1,)) == LEVEL_NAIVE
    assert "drift" not in SEASONAL_NAIVE
    assert {*SEASONAL_NAIVE, *LEVEL_NAIVE} == {*NAIVE}


@pytest.mark.parametrize(
    ("lengths", "expected"), [([2], 1), ([9], 2), ([5, 40, 20], 10), ([51], 12), ([900], 12)]
)
def test_level_without_a_season_is_a_quarter_of_the_longest_series_up_to_twelve(lengths, expected):
    index = pd.MultiIndex.from_tuples([(s, t) for s, n in enumerate(lengths) for t in range(n)])
    assert level_period(panel_of(index)) == expected


LEVELS_OF_7 = [("mean", 7), ("drift", 7)]


@pytest.mark.parametrize(
    ("naive", "expected"),
    [
        ((), []),
        (("last",), [("last", 1)]),
        (("seasonal",), [("seasonal", 4), ("seasonal", 7)]),
        (("shifted",), [("shifted", 4), ("shifted", 7)]),
        (("leveled",), [("leveled", 4), ("leveled", 7)]),
        (("mean",), [("mean", 7)]),
        (("last", "seasonal"), [("last", 1), ("seasonal", 4), ("seasonal", 7)]),
        (("mean", "last"), [("last", 1), ("mean", 7)]),
        (("averaged",), [("averaged", 4), ("averaged", 7)]),
        (("drift",), [("drift", 7)]),
        (("seasonal", "drift", "mean"), [*LEVELS_OF_7, ("seasonal", 4), ("seasonal", 7)]),
    ],
)
def test_naive_forecasts_asked_for_are_made(naive, expected):
    assert features_of(sp=(4, 7), naive=naive).candidates == expected


@pytest.mark.parametrize("sp", [(), (1,)])
@pytest.mark.parametrize("naive", [OF_VALUES, ("seasonal",), ("leveled",), ("averaged",)])
def test_without_a_season_of_two_steps_or_more_the_last_value_is_left(sp, naive):
    features = features_of(sp=sp, naive=naive, horizons=(1,), level_period=5)
    assert features.candidates == [("last", 1)]
    assert features.naive_offsets == (1,)
    assert features.level_periods == ()


@pytest.mark.parametrize("sp", [(), (1,)])
def test_without_a_season_mean_and_drift_are_of_the_level(sp):
    features = features_of(sp=sp, naive=NAIVE, horizons=(1,), level_period=5)
    assert features.candidates == [("last", 1), ("mean", 5), ("drift", 5)]
    assert features.naive_offsets == (1,)
    assert features.level_periods == (5,)


def naive_by_hand(s, name, p, t, h):
    """Naive forecast of s[t - 1 + h] that knows s up to t - 1, None where it does not exist."""
    k = 1
    while t - 1 + h - k * p > t - 1:
        k += 1
    rows = [t - 1] if name in ("last", "mean", "drift") else [t - 1 + h - k * p]
    rows += [t - 1 - k * p] if name == "shifted" else []
    rows += [t - k * p - p] if name in ("leveled", "drift") else []
    if min(rows) < 0:
        return None
    if name == "last":
        return s[t - 1]
    if name == "mean":
        return np.mean(s[max(0, t - p) : t])
    if name == "averaged":
        return np.mean(
            [s[row] for row in range(t - 1 + h - k * p, -1, -p)][: min(14, max(3, 2 * k))]
        )
    season = s[t - 1 + h - k * p]
    if name == "seasonal":
        return season
    if name == "shifted":
        return season + s[t - 1] - s[t - 1 - k * p]
    rise = np.mean(s[t - p : t]) - np.mean(s[t - k * p - p : t - k * p])
    return season + rise if name == "leveled" else s[t - 1] + h * rise / (k * p)


@pytest.mark.parametrize("sp", [(), (4,), (2, 5), (7, 3, 12)])
@pytest.mark.parametrize("horizons", [None, (1,), (3,), (1, 2, 3, 4, 5, 6, 7, 8, 9), (2, 8, 30)])
def test_naive_forecasts_of_horizons_are_those_of_a_loop_over_the_series(horizons, sp):
    s = rng.normal(size=60)
    features = features_of(sp=sp, naive=NAIVE, horizons=horizons, level_period=8)
    _, ahead, _ = read(features, s)
    made, exists = network_of(features).naive_forecasts(ahead)
    assert [name for name, _ in features.candidates] == [
        "last",
        "mean",
        "drift",
        *(name for name in ("seasonal", "shifted", "leveled", "averaged") for _ in sp),
    ]
    for t in range(1, 60):
        for j, h in enumerate(horizons or (1,)):
            for i, (name, p) in enumerate(features.candidates):
                expected = naive_by_hand(s, name, p, t, h)
                assert exists[0, t - 1, j, 0, i] == (expected is not None), (name, p, t, h)
                if expected is not None:
                    assert made[0, t - 1, j, 0, i] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("horizons", [None, (1, 3, 9)])
def test_every_naive_forecast_moves_with_the_level_of_the_series(horizons):
    # So that the forecast does.
    s = rng.normal(size=30)
    features = features_of(sp=(2, 3, 9), naive=NAIVE, horizons=horizons)
    network = network_of(features)
    low, high = (network.naive_forecasts(read(features, s + level)[1])[0] for level in (0.0, 64.0))
    torch.testing.assert_close(high, low + 64.0, rtol=0, atol=1e-4)


@pytest.mark.parametrize("horizons", [None, (1, 5)])
def test_naive_forecasts_of_each_column_use_that_column(horizons):
    s = rng.normal(size=(15, 2))
    features = features_of(sp=(3,), naive=NAIVE, n_columns=2, horizons=horizons)
    made, _ = network_of(features).naive_forecasts(read(features, s, start=4)[1])
    single = features_of(sp=(3,), naive=NAIVE, horizons=horizons)
    for column in range(2):
        ahead = read(single, s[:, column], start=4)[1]
        alone, _ = network_of(single).naive_forecasts(ahead)
        np.testing.assert_array_equal(made[:, :, :, [column]], alone)


def test_naive_forecast_exists_once_its_deepest_value_does():
    features = features_of(sp=(2, 4), naive=NAIVE)
    _, exists = network_of(features).naive_forecasts(read(features, rng.normal(size=10))[1])
    # last and mean need 1 value, the drift 8, the seasons 2 and 4, shifted 3 and 5, leveled 4 and
    # 8, averaged 2 and 4; steps 1 to 9.
    needed = (1, 1, 8, 2, 4, 3, 5, 4, 8, 2, 4)
    expected = [[t >= n for n in needed] for t in range(1, 10)]
    assert exists[0, :, 0, 0].tolist() == expected


def test_naive_forecasts_of_several_horizons_exist_once_their_deepest_values_do():
    features = features_of(sp=(4,), naive=NAIVE, horizons=(1, 4, 5))
    _, exists = network_of(features).naive_forecasts(read(features, rng.normal(size=20))[1])
    # Of last, mean, drift, seasonal, shifted, leveled and averaged; one season back, and two for
    # the last horizon.
    needed = [[1, 1, 8, 4, 5, 8, 4], [1, 1, 8, 1, 5, 8, 1], [1, 1, 12, 4, 9, 12, 4]]
    expected = [[[t >= n for n in row] for row in needed] for t in range(1, 20)]
    assert exists[0, :, :, 0].tolist() == expected


@pytest.mark.parametrize(
    ("features", "needed", "reach"),
    [
        (features_of(lags=(5, 3)), {1, 3, 5}, 5),
        (features_of(sp=(24,), naive=("shifted",)), {1, 24, 25}, 25),
        (features_of(sp=(24,), naive=("seasonal",)), {24}, 24),
        (features_of(sp=(24,), lags=(30,), naive=OF_VALUES), {1, 24, 25, 30}, 30),
        (features_of(sp=(24,), lags=(30,), naive=NAIVE), {1, 24, 25, 30, 48, 72}, 72),
        (features_of(sp=(24,), lags=(80,), naive=("averaged",)), {1, 24, 48, 72, 80}, 80),
        (features_of(patch_length=6), {1, 2, 3, 4, 5, 6, 7}, 7),
    ],
)
def test_offsets_and_reach_cover_lags_and_naive_forecasts(features, needed, reach):
    assert needed <= {*features.offsets, *features.naive_offsets}
    for offsets in (features.offsets, features.naive_offsets):
        assert offsets[0] == 1
        assert list(offsets) == sorted(offsets)
    assert features.reach == features.history == reach


@pytest.mark.parametrize(
    ("naive", "horizons", "expected"),
    [
        # Values at t - 1 + h - kp lie kp - h + 1 before t, the level k seasons ago kp + 1.
        (("last",), (1, 30), {1}),
        (("mean",), (1, 30), {1}),
        (("seasonal",), (1,), {1, 24}),
        (("seasonal",), (1, 2, 24), {1, 24, 23}),
        (("seasonal",), (24, 25, 48, 49), {1, 24}),
        (("seasonal",), (30,), {1, 48 - 29}),
        (("shifted",), (2,), {1, 23, 25}),
        (("shifted",), (24, 25), {1, 25, 24, 49}),
        (("leveled",), (30, 60), {1, 19, 49, 72 - 59, 73}),
        (("averaged",), (1, 30), {1, 24, 48, 72, 48 - 29, 72 - 29, 96 - 29, 120 - 29}),
        (("drift",), (1, 30), {1}),
    ],
)
def test_naive_offsets_go_so_many_seasons_back_that_the_value_is_known(naive, horizons, expected):
    features = features_of(sp=(24,), naive=naive, horizons=horizons)
    assert features.naive_offsets == tuple(sorted(expected))
    assert features.reach == max(2, *expected)


@pytest.mark.parametrize(
    ("naive", "horizons", "reach", "history"),
    [
        # The season before the one that is shifted to the present level, in whole.
        (("leveled",), None, 169, 168 + 168),
        (("leveled",), (1, 24, 30), 169, 168 + 168),
        (("leveled",), (1, 400), 1 + 3 * 168, 3 * 168 + 168),
        (("mean",), (1, 30), 2, 168 + 168),
        (("drift",), (1, 400), 2, 3 * 168 + 168),
        (("averaged",), (1, 30), 3 * 168, 3 * 168),
        (NAIVE, (1, 30), 3 * 168, 3 * 168),
    ],
)
def test_history_covers_the_values_and_the_means_that_a_step_needs(naive, horizons, reach, history):
    features = features_of(sp=(24, 168), naive=naive, horizons=horizons)
    assert features.reach == reach
    assert features.history == history


@pytest.mark.parametrize(
    ("naive", "periods"),
    [(("leveled",), (24, 168)), (("mean",), (168,)), (("drift",), (168,)), (("averaged",), ())],
)
def test_means_are_taken_over_the_seasons_that_need_them(naive, periods):
    assert features_of(sp=(168, 24), naive=naive).level_periods == periods


@pytest.mark.parametrize("horizons", [None, (1, 30)])
@pytest.mark.parametrize(
    ("naive", "needed"),
    [
        # Targets begin where a season and the value before it exist, not three seasons later.
        (("last", "seasonal"), {None: 24, (1, 30): 24}),
        (("averaged",), {None: 6, (1, 30): 6}),
        (("leveled",), {None: 25, (1, 30): 49}),
        (NAIVE, {None: 25, (1, 30): 49}),
        (("mean", "drift"), {None: 6, (1, 30): 6}),
    ],
)
def test_older_seasons_and_means_are_no_past_that_targets_wait_for(naive, needed, horizons):
    features = features_of(sp=(24,), lags=(6,), naive=naive, horizons=horizons)
    assert features.needed == needed[horizons]


@pytest.mark.parametrize(("h", "p", "k"), [(1, 4, 1), (4, 4, 1), (5, 4, 2), (8, 4, 2), (9, 4, 3)])
def test_seasons_back_is_the_least_number_that_reaches_what_is_known(h, p, k):
    assert seasons_back(h, p) == k


def test_a_period_of_one_step_is_no_season():
    assert features_of(sp=(168, 24)).seasons == (168, 24)
    assert features_of(sp=(1, 7)).seasons == (7,)
    assert features_of(sp=(1,)).seasons == ()


# -------------------------------------------------------------------- inputs


def test_inputs_show_the_last_value_and_each_lag_relative_to_it():
    s = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0])
    features = features_of(lags=(2, 4))
    steps, *_ = read(features, s)
    made = network_of(features).inputs(steps)[0]
    expected = [
        # s[t-1], s[t-2] - s[t-1], s[t-4] - s[t-1]; zero where there is no past.
        [3.0, 0.0, 0.0],
        [1.0, 3.0 - 1.0, 0.0],
        [4.0, 1.0 - 4.0, 0.0],
        [1.0, 4.0 - 1.0, 3.0 - 1.0],
        [5.0, 1.0 - 5.0, 1.0 - 5.0],
        [9.0, 5.0 - 9.0, 4.0 - 9.0],
    ]
    assert made.tolist() == expected


def test_inputs_of_a_corrected_network_show_the_last_change_instead_of_the_level():
    s = np.array([3.0, 1.0, 4.0, 1.0, 5.0])
    features = features_of(lags=(2,), naive=("last",))
    steps, *_ = read(features, s)
    made = network_of(features).inputs(steps)[0]
    # s[t-1] - s[t-2], s[t-2] - s[t-1].
    assert made.tolist() == [[0.0, 0.0], [-2.0, 2.0], [3.0, -3.0], [-3.0, 3.0]]


@pytest.mark.parametrize(
    ("naive", "start", "expected"),
    [
        # The changes back to 1, 2 and 3 steps before the last value, zero where there is no past.
        (("last",), 4, [3 - 2, 3 - 0, 3 - 7]),
        (("last",), 5, [4 - 3, 4 - 2, 4 - 0]),
        (("last",), 2, [0 - 7, 0, 0]),
        # The last value itself, and the changes to 1 and 2 steps before.
        ((), 4, [3, 3 - 2, 3 - 0]),
        ((), 5, [4, 4 - 3, 4 - 2]),
        ((), 2, [0, 0 - 7, 0]),
    ],
)
def test_inputs_show_every_value_of_a_patch(naive, start, expected):
    s = np.array([7.0, 0.0, 2.0, 3.0, 4.0, 5.0])
    features = features_of(naive=naive, patch_length=3)
    steps, *_ = read(features, s, start=start)
    assert network_of(features).inputs(steps)[0, 0].tolist() == expected


def test_inputs_show_X_of_the_target_step():
    X = np.arange(14.0).reshape(7, 2) * 100
    features = features_of(n_numbers=2)
    steps, *_ = read(features, np.zeros(7), start=3, X=X)
    made = network_of(features).inputs(steps)[0]
    assert made[:, -2:].tolist() == X[3:].tolist()


def test_inputs_show_the_vector_of_the_category_of_the_target_step():
    X = pd.DataFrame({"x": np.arange(6.0), "day": list("abacab"), "open": list("nnynny")})
    features = features_of(n_numbers=1, sizes=(3, 2))
    network = network_of(features)
    steps, *_ = read(features, np.zeros(6), start=2, X=X)
    made = network.inputs(steps)[0]
    day, is_open = (table.weight for table in network.embeddings)
    assert torch.equal(
        made[:, -day.shape[1] - is_open.shape[1] :][:, : day.shape[1]], day[[0, 2, 0, 1]]
    )
    assert torch.equal(made[:, -is_open.shape[1] :], is_open[[1, 0, 0, 1]])
    assert made.shape[-1] == features.n_inputs + day.shape[1] + is_open.shape[1]


@pytest.mark.parametrize(("size", "width"), [(1, 1), (2, 2), (7, 4), (60, 31), (62, 32), (500, 32)])
def test_vector_of_a_category_widens_slowly_with_their_number(size, width):
    network = network_of(features_of(sizes=(size,)))
    assert network.embeddings[0].weight.shape == (size, width)


def test_inputs_show_which_values_are_missing():
    s = np.array([3.0, np.nan, 4.0, np.nan, 5.0, 9.0])
    features = features_of(lags=(3,), naive=("last",), missing=True)
    steps, *_ = read(features, s, start=2)
    made = network_of(features).inputs(steps)[0]
    expected = [
        # Change and lag of the filled values, 3 3 4 4 5; the last and the lag are missing.
        [0.0, 0.0, 1.0, 0.0],
        [1.0, 3.0 - 4.0, 0.0, 0.0],
        [0.0, 3.0 - 4.0, 1.0, 1.0],
        [1.0, 4.0 - 5.0, 0.0, 0.0],
    ]
    assert made.tolist() == expected


def test_inputs_show_the_calendar_of_the_target_step():
    index = pd.date_range("2024-01-01", periods=30, freq="h")
    features = features_of(calendar=("hour",))
    steps, *_ = read(features, np.zeros(30), start=5, index=index)
    made = network_of(features).inputs(steps)[0]
    expected = features.encode_calendar(panel_of(index).timeline, np.arange(5, 30))
    assert expected.shape == (25, 4)
    np.testing.assert_array_equal(made[:, -4:], expected)


@pytest.mark.parametrize(
    "more", [{}, {"missing": True}, {"patch_length": 4}, {"holidays": Holidays(["2024-01-01"])}]
)
def test_n_inputs_counts_the_channels(more):
    features = features_of((3,), (3, 5), NAIVE, ("hour", "dayofyear"), 2, 4, **more)
    index = pd.date_range("2024-01-01", periods=12, freq="h")
    steps, *_ = read(features, np.zeros((12, 2)), X=np.zeros((12, 4)), index=index)
    made = network_of(features).inputs(steps)
    assert made.shape == (1, 11, features.n_inputs)


@pytest.mark.parametrize("horizons", [None, (1, 6)])
@pytest.mark.parametrize("cell", CELLS)
def test_forecast_moves_with_the_level_of_the_series(cell, horizons):
    # So a level that was never seen in training is nothing new.
    s = rng.normal(size=15)
    features = features_of(sp=(4,), lags=(2,), naive=NAIVE, horizons=horizons)
    network = randomised(network_of(features, cell))
    low, high = (forecast_of(network, s + level) for level in (0.0, 64.0))
    torch.testing.assert_close(high, low + 64.0, rtol=0, atol=1e-3)


@pytest.mark.parametrize("horizons", [None, (1, 4)])
@pytest.mark.parametrize("t", [1, 4, 8])
def test_inputs_and_naive_forecasts_know_nothing_of_the_target_or_later(t, horizons):
    features = features_of((3,), (2, 5), NAIVE, horizons=horizons)
    network = network_of(features)
    s = rng.normal(size=10)
    changed = s.copy()
    changed[t:] += 100.0
    one, other = read(features, s), read(features, changed)
    for name in ("inputs", "naive forecasts"):
        made = [
            network.inputs(steps) if name == "inputs" else network.naive_forecasts(ahead)[0]
            for steps, ahead, _ in (one, other)
        ]
        np.testing.assert_array_equal(made[0][0, :t], made[1][0, :t])
        assert not torch.equal(made[0][0, t], made[1][0, t])


# ------------------------------------------------------------------ calendar


def encoded(stamps, *calendar):
    """Channels of the stamps, which must lie on a grid of hours or days, as (n, Q)."""
    timeline = panel_of(stamps).timeline
    return features_of(calendar=calendar).encode_calendar(timeline, np.arange(len(stamps)))


def has_channel(channels, expected):
    return any(np.allclose(channel, expected, atol=1e-6) for channel in channels.T)


def test_hour_turns_once_and_twice_a_day():
    channels = encoded(pd.date_range("2024-05-17", periods=4, freq="6h"), "hour")
    assert has_channel(channels, [0, 1, 0, -1])  # sine of the day at 0, 6, 12 and 18 h
    assert has_channel(channels, [1, 0, -1, 0])
    assert has_channel(channels, [1, -1, 1, -1])  # cosine of half a day


def test_minutes_count_as_parts_of_the_hour():
    channels = encoded(pd.date_range("2024-05-17 02:45", periods=3, freq="15min"), "hour")
    angle = 2 * np.pi * np.array([2.75, 3.0, 3.25]) / 24
    assert has_channel(channels, np.sin(angle))


def test_week_begins_on_monday():
    monday = pd.date_range("2024-01-01", periods=7, freq="D")
    assert monday[0].day_name() == "Monday"
    angle = 2 * np.pi * np.arange(7) / 7
    channels = encoded(monday, "dayofweek")
    for k in (1, 2, 3):
        assert has_channel(channels, np.sin(k * angle))
        assert has_channel(channels, np.cos(k * angle))


def test_year_begins_on_new_years_day_and_turns_in_july():
    days = pd.date_range("2024-01-01", periods=366, freq="D")
    channels = encoded(days, "dayofyear")[[0, 183]]
    assert days[183] == pd.Timestamp("2024-07-02")
    assert has_channel(channels, [1, -1])


@pytest.mark.parametrize("name", CALENDAR)
def test_calendar_channels_are_sines_and_cosines(name):
    channels = encoded(pd.date_range("2024-01-01", periods=500, freq="7h"), name)
    waves = channels.reshape(500, -1, 2)
    np.testing.assert_allclose((waves**2).sum(-1), 1.0, rtol=1e-6)
    assert channels.dtype == np.float32


@pytest.mark.parametrize(("name", "freq", "n"), [("hour", "h", 24), ("dayofweek", "D", 7)])
def test_all_phases_of_a_cycle_are_told_apart_and_return(name, freq, n):
    channels = encoded(pd.date_range("2024-01-01", periods=2 * n, freq=freq), name)
    np.testing.assert_allclose(channels[:n], channels[n:], atol=1e-6)
    distance = np.abs(channels[:n, None] - channels[None, :n]).max(-1)
    assert (distance + np.eye(n) > 0.2).all()


def test_hour_of_an_aware_index_is_the_local_hour():
    local = pd.date_range("2024-03-29", periods=96, freq="h", tz="Europe/Berlin")
    channels = encoded(local, "hour")
    noon = channels[local.hour == 12]
    assert len(noon) == 4  # of days before and after summer time begins
    np.testing.assert_allclose(noon, noon[[0, 0, 0, 0]], atol=1e-6)
    assert has_channel(noon, [-1, -1, -1, -1])


@pytest.mark.parametrize(
    ("periods", "dates"),
    [
        (pd.period_range("2024-01-01", periods=50, freq="h"), "h"),
        (pd.period_range("2024-01-01", periods=50, freq="D"), "D"),
        (pd.period_range("2024-01", periods=50, freq="M"), "MS"),
    ],
)
def test_period_is_encoded_as_its_first_instant(periods, dates):
    stamps = pd.date_range("2024-01-01", periods=50, freq=dates)
    np.testing.assert_array_equal(encoded(periods, *CALENDAR), encoded(stamps, *CALENDAR))


def test_calendar_goes_on_beyond_the_series():
    days = pd.date_range("2024-01-01", periods=30, freq="D")
    features = features_of(calendar=("dayofweek",))
    beyond = features.encode_calendar(panel_of(days[:10]).timeline, np.arange(20, 30))
    np.testing.assert_array_equal(beyond, encoded(days, "dayofweek")[20:])


def test_calendar_of_an_index_without_dates_is_zero():
    channels = encoded(pd.RangeIndex(9), "hour", "dayofyear")
    assert (channels == 0).all()
    assert channels.shape == (9, 8)


def test_holidays_stand_beside_the_calendar():
    days = pd.date_range("2024-05-01", periods=5, freq="D")
    features = features_of(calendar=("dayofweek",), holidays=Holidays(["2024-05-03"]), n_numbers=2)
    channels = features.encode_calendar(panel_of(days).timeline, np.arange(5))
    assert features.n_known == 6 + 3 + 2
    np.testing.assert_array_equal(channels[:, :6], encoded(days, "dayofweek"))
    # The day itself, the day before it, the day after it.
    assert channels[:, 6:].T.tolist() == [[0, 0, 1, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 1, 0]]


def dates(freq, periods, **kwargs):
    return pd.date_range("2020-01-01", periods=periods, freq=freq, **kwargs)


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (dates("h", 400), ("hour", "dayofweek")),
        (dates("h", 24 * 800), ("hour", "dayofweek", "dayofyear")),
        (dates("h", 100), ("hour",)),
        (dates("h", 20), ()),
        (dates("D", 60), ("dayofweek",)),
        (dates("D", 800), ("dayofweek", "dayofyear")),
        (dates("B", 60), ("dayofweek",)),
        (dates("W", 200), ("dayofyear",)),
        (dates("MS", 60), ("dayofyear",)),
        (dates("YS", 60), ()),
        (pd.period_range("2020-01", periods=60, freq="M"), ("dayofyear",)),
        (pd.RangeIndex(5000), ()),
    ],
)
def test_auto_calendar_takes_the_cycles_that_the_data_holds_twice(index, expected):
    assert calendar_fields("auto", panel_of(index)) == expected


def test_calendar_asked_for_is_taken_where_there_are_dates():
    assert calendar_fields(["dayofyear"], panel_of(dates("h", 20))) == ("dayofyear",)
    assert calendar_fields("dayofyear", panel_of(dates("h", 20))) == ("dayofyear",)
    assert calendar_fields("auto", panel_of(pd.RangeIndex(20))) == ()
    with pytest.raises(ValueError, match="needs dates or periods in the index"):
        calendar_fields(["dayofyear"], panel_of(pd.RangeIndex(20)))
    assert calendar_fields(None, panel_of(dates("h", 4000))) == ()


# ------------------------------------------------------------------------ sp


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (dates("h", 400), (24, 168)),
        (dates("h", 169), (24, 168)),
        (dates("h", 168), (24,)),
        (dates("h", 25), (24,)),
        (dates("h", 24), ()),
        (dates("15min", 1400), (96, 672)),
        (dates("D", 30), (7,)),
        (dates("D", 8), (7,)),
        (dates("D", 7), ()),
        (dates("B", 30), (5,)),
        (dates("W", 120), (52,)),
        (dates("MS", 60), (12,)),
        (dates("ME", 24), (12,)),
        (dates("MS", 18), (12,)),
        (dates("MS", 12), ()),
        (dates("6MS", 10), (2,)),
        (dates("QS", 20), (4,)),
        (dates("YS", 20), ()),
        (dates("h", 400, tz="Europe/Berlin"), (24, 168)),
        (dates("D", 30, tz="Europe/Berlin"), (7,)),
        (pd.period_range("2020", periods=400, freq="h"), (24, 168)),
        (pd.period_range("2020", periods=60, freq="M"), (12,)),
        (pd.period_range("2020", periods=20, freq="Q"), (4,)),
        (pd.period_range("2020", periods=20, freq="Y"), ()),
    ],
    ids=lambda value: str(value) if isinstance(value, tuple) else f"{value.freqstr} {len(value)}",
)
def test_auto_sp_is_the_day_week_or_year_of_the_frequency(index, expected):
    assert seasonal_periods("auto", panel_of(index)) == expected


def test_longest_series_decides_which_periods_fit():
    days = dates("D", 30)
    index = pd.MultiIndex.from_tuples([("a", days[0])] + [("b", day) for day in days])
    assert seasonal_periods("auto", panel_of(index)) == (7,)


@pytest.mark.parametrize("period", [3, 5, 7, 12, 17, 40])
def test_period_of_an_index_without_dates_is_found_in_the_values(period):
    t = np.arange(400)
    noise = np.random.default_rng(period).normal(size=400)
    values = 10.0 * (t % period == 0) + 0.1 * t + noise
    assert seasonal_periods("auto", panel_of(pd.RangeIndex(400), values)) == (period,)


@pytest.mark.parametrize(
    "index",
    [
        dates("YS", 80),
        dates("YE", 80),
        pd.period_range("1900", periods=80, freq="Y"),
        dates("2YS", 80),
        pd.RangeIndex(80),
    ],
    ids=["start", "end", "period", "two years", "integers"],
)
def test_cycle_of_years_is_found_in_the_values(index):
    t = np.arange(80)
    noise = np.random.default_rng(0).normal(size=80)
    values = 5 * np.sin(2 * np.pi * t / 10) + 0.1 * t + 0.3 * noise
    assert seasonal_periods("auto", panel_of(index, values)) == (10,)
    assert seasonal_periods("auto", panel_of(index, 0.1 * t + noise)) == ()


@pytest.mark.parametrize("values", [np.ones(300), np.arange(300.0), np.array([0.0, 1.0])])
def test_values_without_a_cycle_have_no_period(values):
    assert seasonal_periods("auto", panel_of(pd.RangeIndex(len(values)), values)) == ()


@pytest.mark.parametrize(
    ("sp", "expected"), [(None, ()), (5, (5,)), (np.int64(5), (5,)), ([24, 168], (24, 168))]
)
def test_sp_that_is_given_is_taken(sp, expected):
    assert seasonal_periods(sp, panel_of(dates("h", 40))) == expected


# ------------------------------------------------------------------- network


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def gru(x, h, w, u, b, c):
    """One step of a GRU: r, z and n stand one below the other in the weights."""
    (xr, xz, xn), (hr, hz, hn) = np.split(w @ x + b, 3), np.split(u @ h[0] + c, 3)
    r, z = sigmoid(xr + hr), sigmoid(xz + hz)
    return [(1 - z) * np.tanh(xn + r * hn) + z * h[0]]


def lstm(x, h, w, u, b, c):
    """One step of an LSTM: i, f, g and o stand one below the other in the weights."""
    i, f, g, o = np.split(w @ x + b + u @ h[0] + c, 4)
    cell = sigmoid(f) * h[1] + sigmoid(i) * np.tanh(g)
    return [sigmoid(o) * np.tanh(cell), cell]


def rnn(x, h, w, u, b, c):
    return [np.tanh(w @ x + b + u @ h[0] + c)]


BY_HAND = {"gru": gru, "lstm": lstm, "rnn": rnn}


def hidden_by_hand(network, cell, inputs):
    """Output of the last recurrent layer at each step of one sequence, (L, H)."""
    layer_inputs = inputs
    for layer in range(network.recurrent.num_layers):
        weights = [
            getattr(network.recurrent, f"{name}_l{layer}").detach().double().numpy()
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        ]
        state = [np.zeros(network.recurrent.hidden_size)] * 2
        outputs = []
        for x in layer_inputs:
            state = BY_HAND[cell](x, state, *weights)
            outputs.append(state[0])
        layer_inputs = outputs
    return np.array(layer_inputs)


def linear_by_hand(layer, x):
    return x @ layer.weight.detach().double().numpy().T + layer.bias.detach().double().numpy()


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_forecast_matches_handwritten_cell(cell, num_layers):
    s = rng.normal(size=(12, 2))
    features = features_of(sp=(3,), lags=(2,), naive=NAIVE, n_columns=2)
    network = randomised(network_of(features, cell, num_layers=num_layers))
    unit = np.array([0.5, 2.0])
    network.unit[0, :, 0] = torch.from_numpy(unit)
    made = forecast_of(network, s)[:, 0, :, 0]

    steps, *_ = read(features, s)
    hidden = hidden_by_hand(network, cell, network.inputs(steps)[0].detach().double().numpy())
    correction = linear_by_hand(network.head.correction, np.maximum(hidden, 0))
    bias = network.head.mix_bias[0].detach().double().numpy()
    scores = (hidden @ network.head.mix.weight.detach().double().numpy().T).reshape(11, 2, -1)
    for t in range(1, 12):
        for c in range(2):
            naive = [naive_by_hand(s[:, c], name, p, t, 1) for name, p in features.candidates]
            there = [i for i, value in enumerate(naive) if value is not None]
            weights = np.exp((scores[t - 1] + bias)[c, there])
            mixed = weights @ [naive[i] for i in there] / weights.sum()
            expected = mixed + unit[c] * correction[t - 1, c]
            assert made[t - 1, c] == pytest.approx(expected, abs=1e-4)


def test_forecast_of_horizons_matches_the_documented_formula():
    n, horizons, sp = 14, (1, 2, 5), 3
    s, X = rng.normal(size=(n, 2)), rng.normal(size=(n, 1))
    features = features_of((sp,), (2,), NAIVE, (), 2, 1, horizons=horizons)
    network = randomised(network_of(features, hidden_size=5))
    unit = rng.uniform(0.1, 2.0, size=(3, 2))
    network.unit[..., 0] = torch.from_numpy(unit)
    made = forecast_of(network, s, X=X)[..., 0]

    steps, *_ = read(features, s, X=X)
    hidden = hidden_by_hand(network, "gru", network.inputs(steps)[0].detach().double().numpy())
    head, (A, B, U, V, M) = (
        network.head,
        (
            getattr(network.head, name).weight.detach().double().numpy()
            for name in ("correction", "direct", "state", "known", "mix")
        ),
    )
    place, q, b_direct, b_state = (
        part.detach().double().numpy()
        for part in (head.place, head.mix_bias, head.direct.bias, head.state.bias)
    )
    for t in range(1, n):
        h = hidden[t - 1]
        for j, ahead in enumerate(horizons):
            if t - 1 + ahead >= n:
                continue
            values = [
                [naive_by_hand(s[:, c], name, p, t, ahead) for name, p in features.candidates]
                for c in range(2)
            ]
            relative = [0.0 if v is None else v - s[t - 1, c] for c in range(2) for v in values[c]]
            u = np.array([X[t - 1 + ahead, 0], *relative])
            e = np.maximum(U @ h + b_state + V @ u + place[j], 0)
            correction = A @ e + (B @ h + b_direct).reshape(3, 2)[j]
            scores = (M @ e).reshape(2, -1) + q[j]
            for c in range(2):
                there = [i for i, v in enumerate(values[c]) if v is not None]
                weights = np.exp(scores[c, there])
                mixed = weights @ [values[c][i] for i in there] / weights.sum()
                expected = mixed + unit[j, c] * correction[c]
                assert made[t - 1, j, c] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("cell", CELLS)
def test_forecast_without_naive_forecasts_is_relu_and_linear(cell):
    s = rng.normal(size=12)
    features = features_of(lags=(2,))
    network = network_of(features, cell)
    made = forecast_of(network, s)[:, 0, :, 0].numpy()
    steps, *_ = read(features, s)
    hidden = hidden_by_hand(network, cell, network.inputs(steps)[0].double().numpy())
    expected = linear_by_hand(network.head.correction, np.maximum(hidden, 0))
    np.testing.assert_allclose(made, expected, atol=1e-5)
    assert np.ptp(made) > 0


@pytest.mark.parametrize("cell", CELLS)
def test_state_continues_a_sequence_that_is_cut(cell):
    features = features_of(sp=(3,), lags=(2,), naive=NAIVE)
    network = randomised(network_of(features, cell, num_layers=2))
    steps, ahead, _ = read(features, rng.normal(size=20))
    first, second = (
        Ahead(*(p if p is None else p[:, part] for p in ahead))
        for part in (slice(8), slice(8, None))
    )
    with torch.no_grad():
        whole, _ = network(steps, ahead)
        begun, state = network(steps.between(0, 8), first)
        ended, _ = network(steps.between(8, 19), second, state)
    torch.testing.assert_close(torch.cat([begun, ended], 1), whole, rtol=0, atol=1e-5)


def test_forecasts_from_some_steps_are_those_from_all():
    features = features_of(sp=(3,), lags=(2,), naive=NAIVE, horizons=(1, 2))
    network = randomised(network_of(features))
    steps, ahead, _ = read(features, rng.normal(size=20))
    at = torch.tensor([[1, 4, 18]])
    some = Ahead(*(part if part is None else part[:, at[0]] for part in ahead))
    with torch.no_grad():
        whole, _ = network(steps, ahead)
        made, _ = network(steps, some, at=at)
    torch.testing.assert_close(made, whole[:, at[0]], rtol=0, atol=1e-6)


@pytest.mark.parametrize("horizons", [None, (1, 2)])
@pytest.mark.parametrize("cell", CELLS)
def test_untrained_network_forecasts_the_mean_of_the_naive_forecasts(cell, horizons):
    s = rng.normal(size=12)
    features = features_of(sp=(3,), lags=(2,), naive=OF_VALUES, horizons=horizons)
    made = forecast_of(network_of(features, cell), s)[:, 0, 0, 0].tolist()
    assert made[0] == pytest.approx(s[0], abs=1e-6)
    assert made[2] == pytest.approx((s[2] + s[0]) / 2, abs=1e-6)
    for t in range(4, 12):
        naive = [s[t - 1], s[t - 3], s[t - 3] + s[t - 1] - s[t - 4]]
        assert made[t - 1] == pytest.approx(np.mean(naive), abs=1e-6)


def test_naive_forecasts_move_the_location_alone():
    s = rng.normal(size=12)
    features = features_of(sp=(3,), naive=NAIVE)
    one, other = (forecast_of(network_of(features, distribution="normal"), x) for x in (s, s + 9))
    torch.testing.assert_close(other[..., 0], one[..., 0] + 9, rtol=0, atol=1e-4)
    torch.testing.assert_close(other[..., 1], one[..., 1], rtol=0, atol=1e-6)


def chunk_of(past, target, weight, features, n_past=None):
    """One sequence of which every value of the past exists, or ``n_past`` at each step."""
    L = len(target)
    past = torch.as_tensor(past, dtype=torch.float32).reshape(1, L, -1, 1)
    n_past = torch.tensor([[features.reach] * L if n_past is None else n_past])
    nothing = torch.zeros(1, L, 0)
    target, weight = (
        torch.as_tensor(part, dtype=torch.float32).reshape(1, L, 1, 1) for part in (target, weight)
    )
    steps = Steps(past, None, n_past, nothing, nothing.long())
    return Chunk(steps, Ahead(past, None, n_past, None, None), target, weight)


def start(network, chunks):
    """Let training start from the errors on these chunks."""
    network.start_from(network.naive_forecasts.errors(chunks))


@torch.no_grad()
def start_mix(network, chunks):
    """Weights of the naive forecasts in the untrained network."""
    start(network, chunks)
    return network.head.mix_bias.softmax(-1).ravel().tolist()


def weighed(*errors):
    """Weights of naive forecasts with these errors."""
    weights = np.array(errors, dtype=float) ** -4
    return pytest.approx(weights / weights.sum(), rel=1e-4)


def test_start_weighs_naive_forecasts_by_their_error_to_the_power_minus_four():
    features = features_of(sp=(2,), naive=("last", "seasonal"))
    target = np.arange(6.0)
    # The last value is wrong by 1, the season by 2, in both directions; two targets more that
    # both miss by as much as the last value does.
    past = np.stack([target + np.tile([1, -1], 3), target + np.tile([-2, 2], 3)], axis=1)
    chunk = chunk_of(past, target, np.ones(6), features)
    assert start_mix(network_of(features), [chunk]) == weighed(1, (6 * 2 + 2 * 1) / 8)
    swapped = chunk_of(past[:, ::-1].copy(), target, np.ones(6), features)
    assert start_mix(network_of(features), [swapped]) == weighed(2, (6 * 1 + 2 * 2) / 8)


def test_start_looks_only_at_steps_that_count():
    features = features_of(sp=(2,), naive=("last", "seasonal"))
    past = [[1.0, 2.0], [1.0, 2.0], [1e6, 0.0]]
    chunk = chunk_of(past, np.zeros(3), [1.0, 1.0, 0.0], features)
    assert start_mix(network_of(features), [chunk]) == weighed(1, (2 * 2 + 2 * 1) / 4)


def test_start_averages_over_chunks():
    features = features_of(sp=(2,), naive=("last", "seasonal"))
    chunks = [
        chunk_of([[0.0, 3.0]], np.zeros(1), [1.0], features),
        chunk_of([[2.0, 1.0]], np.zeros(1), [1.0], features),
    ]
    # Mean errors 1 and 2.
    assert start_mix(network_of(features), chunks) == weighed(1, (2 * 2 + 2 * 1) / 4)


@pytest.mark.parametrize(
    ("early", "late", "ratio"),
    [
        # The season is not favoured for the calm in which alone it exists, nor for being new.
        (100.0, [1.0, 2.0], (2 * 2 + 2 * 50.5) / (2 * 1 + 2 * 50.5)),
        (1.0, [100.0, 10.0], (2 * 10 + 2 * 50.5) / (2 * 100 + 2 * 50.5)),
    ],
)
def test_start_compares_late_naive_forecasts_with_the_first_on_the_same_targets(early, late, ratio):
    features = features_of(sp=(2,), naive=("last", "seasonal"))
    past = [[early, 0.0], [early, 0.0], late, late]
    # The last value's mean error is 50.5; there is a season before the last two steps alone.
    chunk = chunk_of(past, np.zeros(4), np.ones(4), features, n_past=[1, 1, 2, 2])
    assert start_mix(network_of(features), [chunk]) == weighed(1, ratio)


@pytest.mark.parametrize(
    ("distribution", "naive", "expected"),
    [
        # A normal error of mean size 0.8 has a deviation of 1; z of 0.9 is 1.2816.
        (Normal(), ("last", "seasonal"), [1.25 * 0.8]),
        (Quantiles([0.1, 0.5, 0.9]), ("last", "seasonal"), [-1.2816 * 1.25 * 0.8, 1.2816]),
        # The bare network knows no errors: the mean size of the series' values, scaled, is one.
        (Normal(), (), [1.25]),
    ],
)
def test_start_is_as_wide_as_the_errors_of_the_best_naive_forecast(distribution, naive, expected):
    features = features_of(sp=(2,), naive=naive)
    torch.manual_seed(0)
    network = RecurrentNetwork(features, distribution, "gru", 3, 1, 0.0)
    target = np.arange(6.0)
    error = np.tile([0.8, -0.8], 3)
    past = np.stack([target + error, target + 3 * error], axis=1)
    start(network, [chunk_of(past, target, np.ones(6), features)])
    if not naive:
        torch.nn.init.zeros_(network.head.correction.weight)
    hidden = torch.zeros(1, 1, 3)
    outputs, _ = network.head(hidden, hidden, None)
    made = distribution.parameters(outputs).ravel().detach()
    made = made[[0, 2]] - made[1] if isinstance(distribution, Quantiles) else made[1:]
    np.testing.assert_allclose(made, expected, rtol=1e-3)


def test_start_of_each_horizon_weighs_by_the_errors_of_that_horizon():
    s = 0.1 * np.arange(40.0)
    features = features_of(sp=(4,), naive=("last", "seasonal"), horizons=(1, 4))
    network = network_of(features)
    steps, ahead, target = read(features, s, start=4)
    weight = torch.ones_like(target)
    weight[:, -3:, 1] = 0.0  # beyond the end
    start(network, [Chunk(steps, ahead, target, weight)])
    # One step ahead of a trend the last value is wrong by 1 step, the season by 4; four ahead
    # both are wrong by 4.
    one, four = network.head.mix_bias.detach().softmax(-1)[:, 0].numpy()
    assert one == weighed(1, (36 * 4 + 2 * 1) / 38)
    assert four == weighed(4, 4)


@pytest.mark.parametrize(
    ("trust", "share"),
    [
        (np.inf, 0.75),  # few data
        (1.0, 0.375),
        (1e-9, 0.0),  # many
    ],
)
def test_start_weighs_by_the_season_ahead_the_more_the_fewer_data_there_are(trust, share):
    network = network_of(features_of(sp=(2,), naive=("last", "seasonal")))
    error, season = torch.tensor([[[0.1, 0.2]]]), torch.tensor([[[0.9, 0.3]]])
    network.start_from(error, season, trust)
    expected = weighed(*(error ** (1 - share) * season**share)[0, 0])
    assert network.head.mix_bias.detach().softmax(-1).ravel().tolist() == expected


@pytest.mark.parametrize(
    ("season", "growth"),
    [([0.9, 0.3], 3.0), ([0.1, 0.2], 1.0), ([0.01, 0.02], 1.0)],
)
@pytest.mark.parametrize(("distribution", "size"), [("mae", 0.1), ("normal", 1.0)])
def test_size_of_a_loss_grows_as_the_square_of_an_error_over_a_season(
    distribution, size, season, growth
):
    features = features_of(sp=(2,), naive=("last", "seasonal"))
    network = network_of(features, distribution=distribution)
    network.start_from(torch.tensor([[[0.1, 0.2]]]), torch.tensor([[season]]))
    assert network.error.item() == pytest.approx(size * growth**2)
    # The unit of a correction is that of the next step's error.
    assert network.unit.item() == 1.0


def test_errors_over_a_season_are_the_mean_over_its_steps():
    features = features_of(sp=(4,), naive=("last", "seasonal")).over_a_season()
    assert features.horizons == (1, 2, 3, 4)
    s = np.arange(24.0)
    steps, ahead, target = read(features, s, start=4)
    weight = torch.ones_like(target)
    for h in range(2, 5):
        weight[:, 21 - h :, h - 1] = 0.0  # beyond the end
    counts = np.array([20, 19, 18, 17])
    missed = (counts * [1, 2, 3, 4]).sum() / counts.sum()
    chunk = Chunk(steps, ahead, target, weight)
    errors = network_of(features).naive_forecasts.errors([chunk], pooled=True)
    # The season is off by four throughout; as if two targets more had been missed by as much as
    # the last value misses.
    n = counts.mean()
    seasonal = missed * (4 * n + 2 * missed) / (missed * n + 2 * missed)
    np.testing.assert_allclose(errors.ravel(), [missed, seasonal], rtol=1e-5)


def test_a_long_season_is_compared_at_a_few_of_its_steps():
    horizons = features_of(sp=(24, 168), naive=NAIVE).over_a_season().horizons
    assert (len(horizons), horizons[0], horizons[-1]) == (24, 1, 168)
    assert set(np.diff(horizons)) == {7, 8}


def test_over_a_season_past_covariates_are_forecast_along():
    features = features_of(sp=(4,), naive=NAIVE, n_columns=2, n_past=1)
    assert (features.over_a_season().n_outputs, features.n_outputs) == (3, 3)


def test_start_knows_the_size_of_an_error_though_no_naive_forecast_exists():
    features = features_of(sp=(2,), naive=("seasonal",))
    chunk = chunk_of([[0.05, 9.0]] * 4, np.zeros(4), np.ones(4), features, n_past=[1, 1, 1, 1])
    network = network_of(features, distribution="normal")
    start(network, [chunk])
    # That of the last value.
    assert network.unit.item() == pytest.approx(0.5, rel=1e-3)


@torch.no_grad()
def started_on_a_line(slopes, distribution="mae"):
    """A network of one and four steps ahead that training on straight lines would start from."""
    n, kwargs = 40, {"n_columns": len(slopes), "horizons": (1, 4)}
    features = features_of(sp=(4,), naive=("last", "seasonal"), **kwargs)
    network = network_of(features, distribution=distribution)
    steps, ahead, target = read(features, np.outer(np.arange(n), slopes), start=4)
    weight = torch.ones_like(target)
    weight[:, -3:, 1] = 0.0  # beyond the end
    start(network, [Chunk(steps, ahead, target, weight)])
    return network


@pytest.mark.parametrize("distribution", ["mae", "normal"])
@pytest.mark.parametrize(
    ("slope", "unit"), [(0.01, [0.1, 0.4]), (0.05, [0.5, 1.0]), (2.0, [1.0, 1.0])]
)
def test_unit_of_a_correction_is_ten_times_the_least_error_but_one_at_most(
    slope, unit, distribution
):
    # The last value is off by one and four slopes.
    network = started_on_a_line([slope], distribution)
    np.testing.assert_allclose(network.unit.ravel(), unit, rtol=1e-3)


@pytest.mark.parametrize("distribution", ["mae", "mse", "huber", "quantile"])
def test_emphasis_is_the_inverse_of_the_least_error_and_one_on_average(distribution):
    network = started_on_a_line([0.01], distribution)
    # Errors of one and four slopes: 1 and 1 / 4, their mean 5 / 8.
    np.testing.assert_allclose(network.emphasis.ravel(), [1.6, 0.4], rtol=1e-3)
    # Errors 1, 2, 4 and 8: 1, 1 / 2, 1 / 4 and 1 / 8, their mean 15 / 32.
    network = started_on_a_line([0.01, 0.02], distribution)
    expected = np.array([[1, 1 / 2], [1 / 4, 1 / 8]]) * 32 / 15
    np.testing.assert_allclose(network.emphasis, expected, rtol=1e-3)


def test_emphasis_of_what_is_known_exactly_is_that_of_a_tenth_of_the_mean_error():
    network = started_on_a_line([0.0, 0.08])
    # Errors 0, 8, 0 and 32: their mean is 10, a tenth of it 1.
    expected = np.array([[1, 1 / 8], [1, 1 / 32]])
    np.testing.assert_allclose(network.emphasis, expected / expected.mean(), rtol=1e-3)


@pytest.mark.parametrize("distribution", ["normal", "studentt"])
def test_emphasis_of_a_log_density_which_has_no_unit_is_one(distribution):
    network = started_on_a_line([0.01, 0.08], distribution)
    assert (network.emphasis == 1).all()
    assert network.error == 1


def test_size_of_a_loss_is_the_mean_of_the_least_errors():
    # Errors of one and four slopes.
    network = started_on_a_line([0.01, 0.02])
    assert network.error.item() == pytest.approx((0.01 + 0.04 + 0.02 + 0.08) / 4, rel=1e-3)


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        # Errors 1 and 2 of the first step ahead, 8 of the second; a fourth target does not count.
        ("mae", (1.5 * (1 + 2) + 0.5 * 8) / 3.5),
        ("mse", (1.5 * (1 + 4) + 0.5 * 64) / 3.5),
        (torch.nn.L1Loss(), (1 + 2 + 8) / 3),
    ],
    ids=["mae", "mse", "module"],
)
def test_loss_is_the_mean_weighted_by_the_emphasis_but_for_a_module(distribution, expected):
    network = network_of(features_of(horizons=(1, 2)), distribution=distribution)
    network.emphasis[:, 0] = torch.tensor([1.5, 0.5])
    made = torch.tensor([[1.0, 8.0], [-2.0, 99.0]])[None, ..., None, None]  # (B, L, J, C, K)
    weight = torch.tensor([[1.0, 1.0], [1.0, 0.0]])[None, ..., None]
    loss = network.loss(made, torch.zeros_like(weight), weight)
    assert loss.item() == pytest.approx(expected)


def test_start_favours_the_season_of_a_seasonal_series():
    s = np.tile([0.0, 5.0, -3.0, 8.0], 10) + 0.01 * rng.normal(size=40)
    features = features_of(sp=(4,), naive=("last", "seasonal"))
    network = network_of(features)
    steps, ahead, target = read(features, s, start=5)
    start(network, [Chunk(steps, ahead, target, torch.ones_like(target))])
    made = forecast_of(network, s, start=5)
    np.testing.assert_allclose(made.ravel(), s[1:-4], atol=1e-3)


def test_start_does_not_favour_a_naive_forecast_that_never_existed():
    features = features_of(sp=(8,), naive=("last", "seasonal"))
    network = network_of(features)
    steps, ahead, target = read(features, rng.normal(size=8))
    last, seasonal = start_mix(network, [Chunk(steps, ahead, target, torch.ones_like(target))])
    assert 0 < seasonal <= last


def test_start_without_naive_forecasts_changes_nothing():
    features = features_of()
    network = network_of(features)
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    start(network, [chunk_of([[1.0]], [0.0], [1.0], features)])
    for name, weight in network.state_dict().items():
        assert torch.equal(weight, before[name])


FLAT = np.r_[rng.normal(size=12), np.full(13, 5.0)]  # three seasons of four before the last


@pytest.mark.parametrize("horizons", [None, (1, 2)])
@pytest.mark.parametrize("distribution", ["mae", torch.nn.L1Loss(), "quantile"], ids=str)
def test_a_median_is_the_last_value_where_that_was_also_the_value_a_season_before(
    distribution, horizons
):
    features = features_of(sp=(4,), naive=SEASONAL_NAIVE, horizons=horizons)
    network = randomised(network_of(features, distribution=distribution))
    made = network.distribution.point(forecast_of(network, FLAT))
    np.testing.assert_allclose(made[15:], 5.0, rtol=1e-6)  # from the fourth 5 on
    assert ((made[:14] - 5.0).abs() > 1e-2).all()


def test_a_median_is_corrected_where_two_seasons_before_had_two_values():
    features = features_of(sp=(4, 6), naive=SEASONAL_NAIVE)
    network = randomised(network_of(features))
    values = np.r_[np.arange(18.0), 5.0, 5.0, 5.0, 5.0, 5.0]
    assert (forecast_of(network, values)[-1] - 5.0).abs().item() > 1e-2  # six before is 16
    values[-7] = 5.0
    np.testing.assert_allclose(forecast_of(network, values)[-1], 5.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("told", "distribution"),
    [({}, "mse"), ({}, "normal"), ({"n_numbers": 1}, "mae"), ({"n_columns": 2}, "mae")],
    ids=str,
)
def test_a_mean_is_corrected_where_values_agree_and_so_is_what_x_tells_of(told, distribution):
    features = features_of(sp=(4,), naive=SEASONAL_NAIVE, **told)
    network = randomised(network_of(features, distribution=distribution))
    values = np.stack([FLAT] * told.get("n_columns", 1), axis=1)
    X = {"x": np.zeros(25)} if "n_numbers" in told else None
    made = network.distribution.point(forecast_of(network, values, X=X))
    assert ((made[-1] - 5.0).abs() > 1e-2).all()


@pytest.mark.parametrize(
    ("told", "foreseen"),
    [
        ({}, True),
        ({"cycle": 4}, True),
        ({"cycle": 5}, False),
        ({"lags": (12,)}, True),
        ({"lags": (13,)}, False),
        ({"patch_length": 12}, False),
    ],
    ids=str,
)
def test_what_a_longer_cycle_or_lag_tells_is_corrected_where_values_agree(told, foreseen):
    # Three seasons of four steps are what "averaged" goes back over.
    features = features_of(**{"sp": (4,), "lags": (4,), "naive": SEASONAL_NAIVE} | told)
    network = randomised(network_of(features))
    corrected = (forecast_of(network, FLAT)[-1] - 5.0).abs().item() > 1e-2
    assert corrected != foreseen


@pytest.mark.parametrize(
    ("freq", "calendar", "steps"),
    [
        ("h", ("hour",), 24),
        ("h", ("hour", "dayofweek"), 168),
        ("D", ("dayofyear",), 365),
        ("MS", ("dayofyear",), 12),
        ("W", ("dayofyear",), 52),
        ("D", (), 0),
    ],
)
def test_cycle_is_the_longest_of_the_calendar_in_steps(freq, calendar, steps):
    assert calendar_cycle(calendar, panel_of(dates(freq, 30))) == steps


def test_a_single_naive_forecast_does_not_agree_with_itself():
    network = randomised(network_of(features_of(sp=(4,), naive=("seasonal",))))
    assert np.abs(forecast_of(network, FLAT)[-1].item() - 5.0) > 1e-2


@pytest.mark.parametrize("horizons", [None, (1, 2)])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_dropout_acts_in_training_alone(num_layers, horizons):
    features = features_of(lags=(2,), horizons=horizons)
    network = network_of(features, hidden_size=8, num_layers=num_layers, dropout=0.5)
    s = rng.normal(size=12)
    assert torch.equal(forecast_of(network, s), forecast_of(network, s))
    network.train()
    assert not torch.equal(forecast_of(network, s), forecast_of(network, s))


@pytest.mark.parametrize("horizons", [None, (1, 3)])
def test_departure_is_what_departs_from_a_fixed_mix(horizons):
    features = features_of(sp=(3,), naive=NAIVE, horizons=horizons)
    network = network_of(features, distribution="normal")
    assert network.departure() == 0
    with torch.no_grad():
        network.head.mix_bias.fill_(5.0)
        name = "direct" if horizons else "correction"
        bias = getattr(network.head, name).bias.view(-1, 2)
        bias[:, 1] = 7.0  # scales
        assert network.departure() == 0
        bias[:, 0] = 3.0
        network.head.mix.weight[0, 0] = 2.0
    assert network.departure().item() == 9.0 * len(bias) + 4.0


def test_bare_network_departs_from_nothing():
    assert network_of(features_of()).departure() == 0.0


def test_state_dict_holds_weights_and_what_the_start_measured():
    network = network_of(features_of(sp=(3,), lags=(2,), naive=NAIVE))
    names = {name for name, _ in network.named_parameters()}
    assert set(network.state_dict()) == names | {"unit", "emphasis", "error", "seen"}
