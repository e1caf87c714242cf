"""The features of a step, the naive forecasts, and the network that corrects them."""

# `values` is an array of ours here, never that of pandas.

import numpy as np
import pandas as pd
import pytest
import torch

from skrnn._chunks import Chunk, DevicePanel
from skrnn._features import CALENDAR, NAIVE, Features, calendar_fields, seasonal_periods
from skrnn._networks import CELLS, RecurrentNetwork, Steps
from skrnn._panel import Panel
from skrnn._scaling import Scaler

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
rng = np.random.default_rng(0)


def features_of(sp=(), lags=(), naive=(), calendar=(), n_columns=1, n_covariates=0):
    return Features(sp, lags, naive, calendar, n_columns, n_covariates)


def panel_of(index, values=None, X=None):
    values = rng.normal(size=len(index)) if values is None else values
    return Panel.from_pandas(pd.DataFrame(values, index=index), X)


def steps_of(features, values, start=1, X=None, index=None):
    """Steps ``start`` to the end of one series that is not scaled, a batch of one."""
    index = pd.RangeIndex(len(values)) if index is None else index
    panel = panel_of(index, values, None if X is None else pd.DataFrame(X, index=index))
    group = panel.series_of_rows()
    columns = panel.values, panel.covariates
    data = DevicePanel(panel, features, *(Scaler(None).fit(v, group) for v in columns), CPU)
    first = torch.tensor([start])
    return data.steps(torch.zeros_like(first), first, len(values) - start)


def network_of(features, cell="gru", hidden_size=3, num_layers=1, dropout=0.0, seed=0):
    torch.manual_seed(seed)
    network = RecurrentNetwork(features, cell, hidden_size, num_layers, dropout)
    return network.eval()


def randomised(network):
    """The same network with no weight left at zero."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter) / 2)
    return network


# ---------------------------------------------------------- naive forecasts


def test_naive_forecasts_by_hand():
    s = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0])
    features = features_of(sp=(2, 3), naive=NAIVE)
    steps, target = steps_of(features, s, start=4)
    made, exists = network_of(features).naive_forecasts(steps)
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
        assert sorted(made[0, t - 4, 0].tolist()) == sorted(expected)


@pytest.mark.parametrize(
    ("naive", "expected"),
    [
        ((), []),
        (("last",), [{1: 1.0}]),
        (("seasonal",), [{4: 1.0}, {7: 1.0}]),
        (("shifted",), [{4: 1.0, 1: 1.0, 5: -1.0}, {7: 1.0, 1: 1.0, 8: -1.0}]),
        (("last", "seasonal"), [{1: 1.0}, {4: 1.0}, {7: 1.0}]),
    ],
)
def test_naive_forecasts_asked_for_are_made(naive, expected):
    features = features_of(sp=(4, 7), naive=naive)
    assert features.candidates == expected
    assert features.n_naive == len(expected)


def test_weights_of_every_naive_forecast_sum_to_one():
    # So that a forecast rises with the level of the series.
    for candidate in features_of(sp=(2, 3, 9), naive=NAIVE).candidates:
        assert sum(candidate.values()) == 1.0


def test_period_of_one_step_is_no_season():
    assert features_of(sp=(1,), naive=NAIVE).candidates == [{1: 1.0}]


def test_naive_forecasts_of_each_column_use_that_column():
    s = rng.normal(size=(9, 2))
    features = features_of(sp=(3,), naive=NAIVE, n_columns=2)
    steps, _ = steps_of(features, s, start=4)
    made, _ = network_of(features).naive_forecasts(steps)
    for column in range(2):
        alone, _ = network_of(features).naive_forecasts(
            steps_of(features_of(sp=(3,), naive=NAIVE), s[:, column], start=4)[0]
        )
        np.testing.assert_array_equal(made[:, :, [column]], alone)


def test_naive_forecast_exists_once_its_deepest_value_does():
    features = features_of(sp=(2, 4), naive=NAIVE)
    steps, _ = steps_of(features, rng.normal(size=9))
    _, exists = network_of(features).naive_forecasts(steps)
    # last needs 1 value, the seasons 2 and 4, the shifted seasons 3 and 5; steps 1 to 8.
    expected = [[t >= reach for reach in (1, 2, 4, 3, 5)] for t in range(1, 9)]
    assert exists[0, :, 0].tolist() == expected


@pytest.mark.parametrize(
    ("features", "needed", "reach"),
    [
        (features_of(lags=(5, 3)), {1, 3, 5}, 5),
        (features_of(sp=(24,), naive=("shifted",)), {1, 24, 25}, 25),
        (features_of(sp=(24,), naive=("seasonal",)), {24}, 24),
        (features_of(sp=(24,), lags=(30,), naive=NAIVE), {1, 24, 25, 30}, 30),
    ],
)
def test_offsets_and_reach_cover_lags_and_naive_forecasts(features, needed, reach):
    assert needed <= set(features.offsets)
    assert features.offsets[0] == 1
    assert list(features.offsets) == sorted(features.offsets)
    assert features.reach == reach


# -------------------------------------------------------------------- inputs


def test_inputs_show_the_last_value_and_each_lag_relative_to_it():
    s = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0])
    features = features_of(lags=(2, 4))
    steps, _ = steps_of(features, s)
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


def test_inputs_show_X_of_the_target_step():
    X = np.arange(14.0).reshape(7, 2) * 100
    features = features_of(n_covariates=2)
    steps, _ = steps_of(features, np.zeros(7), start=3, X=X)
    made = network_of(features).inputs(steps)[0]
    assert made[:, -2:].tolist() == X[3:].tolist()


def test_inputs_show_the_calendar_of_the_target_step():
    index = pd.date_range("2024-01-01", periods=30, freq="h")
    features = features_of(calendar=("hour",))
    steps, _ = steps_of(features, np.zeros(30), start=5, index=index)
    made = network_of(features).inputs(steps)[0]
    expected = features.encode_calendar(panel_of(index).timeline, 5, 30)
    np.testing.assert_array_equal(made[:, -features.n_calendar :], expected)


def test_n_inputs_counts_the_channels():
    features = features_of((3,), (3, 5), NAIVE, ("hour", "dayofyear"), 2, 4)
    index = pd.date_range("2024-01-01", periods=12, freq="h")
    steps, _ = steps_of(features, np.zeros((12, 2)), X=np.zeros((12, 4)), index=index)
    made = network_of(features).inputs(steps)
    assert made.shape == (1, 11, features.n_inputs)


@pytest.mark.parametrize("cell", CELLS)
def test_forecast_moves_with_the_level_of_the_series(cell):
    # So a level that was never seen in training is nothing new.
    s = rng.normal(size=15)
    features = features_of(sp=(4,), lags=(2,), naive=NAIVE)
    network = randomised(network_of(features, cell))
    with torch.no_grad():
        low, high = (network(steps_of(features, s + level)[0])[0] for level in (0.0, 64.0))
    torch.testing.assert_close(high, low + 64.0, rtol=0, atol=1e-3)


@pytest.mark.parametrize("t", [1, 4, 8])
def test_inputs_and_naive_forecasts_know_nothing_of_the_target_or_later(t):
    features = features_of((3,), (2, 5), NAIVE)
    network = network_of(features)
    s = rng.normal(size=10)
    changed = s.copy()
    changed[t:] += 100.0
    (one, _), (other, _) = steps_of(features, s), steps_of(features, changed)
    for read in (network.inputs, lambda steps: network.naive_forecasts(steps)[0]):
        np.testing.assert_array_equal(read(one)[0, :t], read(other)[0, :t])
        assert not torch.equal(read(one)[0, t], read(other)[0, t])


# ------------------------------------------------------------------ calendar


def encoded(stamps, *calendar):
    """Channels of the stamps, which must lie on a grid of hours or days, as (n, Q)."""
    timeline = panel_of(stamps).timeline
    return features_of(calendar=calendar).encode_calendar(timeline, 0, len(stamps))


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
    beyond = features.encode_calendar(panel_of(days[:10]).timeline, 20, 30)
    np.testing.assert_array_equal(beyond, encoded(days, "dayofweek")[20:])


def test_calendar_of_an_index_without_dates_is_zero():
    channels = encoded(pd.RangeIndex(9), "hour", "dayofyear")
    assert (channels == 0).all()
    assert channels.shape == (9, features_of(calendar=("hour", "dayofyear")).n_calendar)


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
        (dates("h", 335), (24,)),
        (dates("h", 47), ()),
        (dates("15min", 1400), (96, 672)),
        (dates("D", 30), (7,)),
        (dates("D", 13), ()),
        (dates("B", 30), (5,)),
        (dates("W", 120), (52,)),
        (dates("MS", 60), (12,)),
        (dates("ME", 24), (12,)),
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
    steps, _ = steps_of(features, s)
    with torch.no_grad():
        made = network(steps)[0][0].numpy()

    hidden = hidden_by_hand(network, cell, network.inputs(steps)[0].double().numpy())
    correction = linear_by_hand(network.head, np.maximum(hidden, 0))
    scores = linear_by_hand(network.mix, hidden).reshape(11, 2, 3)
    for t in range(1, 12):
        for c in range(2):
            naive = [s[t - 1, c]]
            if t >= 3:
                naive.append(s[t - 3, c])
            if t >= 4:
                naive.append(s[t - 3, c] + s[t - 1, c] - s[t - 4, c])
            weights = np.exp(scores[t - 1, c, : len(naive)])
            expected = weights @ naive / weights.sum() + correction[t - 1, c]
            assert made[t - 1, c] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("cell", CELLS)
def test_forecast_without_naive_forecasts_is_relu_and_linear(cell):
    s = rng.normal(size=12)
    features = features_of(lags=(2,))
    network = network_of(features, cell)
    steps, _ = steps_of(features, s)
    with torch.no_grad():
        made = network(steps)[0][0].numpy()
    hidden = hidden_by_hand(network, cell, network.inputs(steps)[0].double().numpy())
    expected = linear_by_hand(network.head, np.maximum(hidden, 0))
    np.testing.assert_allclose(made, expected, atol=1e-5)
    assert np.ptp(made) > 0


@pytest.mark.parametrize("cell", CELLS)
def test_state_continues_a_sequence_that_is_cut(cell):
    features = features_of(sp=(3,), lags=(2,), naive=NAIVE)
    network = randomised(network_of(features, cell, num_layers=2))
    steps, _ = steps_of(features, rng.normal(size=20))
    with torch.no_grad():
        whole, _ = network(steps)
        first, state = network(Steps(*(part[:, :8] for part in steps)))
        second, _ = network(Steps(*(part[:, 8:] for part in steps)), state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_untrained_network_forecasts_the_mean_of_the_naive_forecasts(cell):
    s = rng.normal(size=12)
    features = features_of(sp=(3,), lags=(2,), naive=NAIVE)
    steps, _ = steps_of(features, s)
    with torch.no_grad():
        made = network_of(features, cell)(steps)[0].ravel().tolist()
    assert made[0] == pytest.approx(s[0], abs=1e-6)
    assert made[2] == pytest.approx((s[2] + s[0]) / 2, abs=1e-6)
    for t in range(4, 12):
        naive = [s[t - 1], s[t - 3], s[t - 3] + s[t - 1] - s[t - 4]]
        assert made[t - 1] == pytest.approx(np.mean(naive), abs=1e-6)


def chunk_of(past, target, weight, features):
    """One sequence of which every value of the past exists."""
    L = len(target)
    past = torch.as_tensor(past, dtype=torch.float32).reshape(1, L, -1, 1)
    steps = Steps(past, torch.full((1, L), features.reach), torch.zeros(1, L, 0))
    target, weight = (
        torch.as_tensor(part, dtype=torch.float32).reshape(1, L, 1) for part in (target, weight)
    )
    return Chunk(steps, target, weight, int(weight.sum()))


@torch.no_grad()
def start_mix(network, chunks):
    """Weights of the naive forecasts in the untrained network."""
    network.start_from(chunks)
    return network.mix.bias.softmax(0).tolist()


def test_start_weighs_naive_forecasts_by_their_error_to_the_power_minus_four():
    features = features_of(sp=(2,), naive=("last", "seasonal"))
    target = np.arange(6.0)
    # The last value is wrong by 1, the season by 2, in both directions.
    past = np.stack([target + np.tile([1, -1], 3), target + np.tile([-2, 2], 3)], axis=1)
    chunk = chunk_of(past, target, np.ones(6), features)
    assert start_mix(network_of(features), [chunk]) == pytest.approx([16 / 17, 1 / 17], rel=1e-4)
    swapped = chunk_of(past[:, ::-1].copy(), target, np.ones(6), features)
    assert start_mix(network_of(features), [swapped]) == pytest.approx([1 / 17, 16 / 17], rel=1e-4)


def test_start_looks_only_at_steps_that_count():
    features = features_of(sp=(2,), naive=("last", "seasonal"))
    past = [[1.0, 2.0], [1.0, 2.0], [1e6, 0.0]]
    chunk = chunk_of(past, np.zeros(3), [1.0, 1.0, 0.0], features)
    assert start_mix(network_of(features), [chunk]) == pytest.approx([16 / 17, 1 / 17], rel=1e-4)


def test_start_averages_over_chunks():
    features = features_of(sp=(2,), naive=("last", "seasonal"))
    chunks = [
        chunk_of([[0.0, 3.0]], np.zeros(1), [1.0], features),
        chunk_of([[2.0, 1.0]], np.zeros(1), [1.0], features),
    ]
    # Mean errors 1 and 2.
    assert start_mix(network_of(features), chunks) == pytest.approx([16 / 17, 1 / 17], rel=1e-4)


def test_start_favours_the_season_of_a_seasonal_series():
    s = np.tile([0.0, 5.0, -3.0, 8.0], 10) + 0.01 * rng.normal(size=40)
    features = features_of(sp=(4,), naive=("last", "seasonal"))
    network = network_of(features)
    steps, target = steps_of(features, s, start=5)
    network.start_from([Chunk(steps, target, torch.ones_like(target), 35)])
    with torch.no_grad():
        made, _ = network(steps)
    np.testing.assert_allclose(made.ravel(), s[1:-4], atol=1e-3)


def test_start_does_not_favour_a_naive_forecast_that_never_existed():
    features = features_of(sp=(8,), naive=("last", "seasonal"))
    network = network_of(features)
    steps, target = steps_of(features, rng.normal(size=8))
    network.start_from([Chunk(steps, target, torch.ones_like(target), 7)])
    last, seasonal = network.mix.bias.softmax(0).tolist()
    assert 0 < seasonal <= last


def test_start_without_naive_forecasts_changes_nothing():
    features = features_of()
    network = network_of(features)
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    network.start_from([chunk_of([[1.0]], [0.0], [1.0], features)])
    for name, weight in network.state_dict().items():
        assert torch.equal(weight, before[name])


@pytest.mark.parametrize("num_layers", [1, 2])
def test_dropout_acts_in_training_alone(num_layers):
    features = features_of(lags=(2,))
    network = network_of(features, hidden_size=8, num_layers=num_layers, dropout=0.5)
    steps, _ = steps_of(features, rng.normal(size=12))
    with torch.no_grad():
        one, other = network(steps)[0], network(steps)[0]
        assert torch.equal(one, other)
        network.train()
        one, other = network(steps)[0], network(steps)[0]
        assert not torch.equal(one, other)


def test_state_dict_holds_weights_alone():
    network = network_of(features_of(sp=(3,), lags=(2,), naive=NAIVE))
    assert set(network.state_dict()) == {name for name, _ in network.named_parameters()}
