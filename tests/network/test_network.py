"""The network: its inputs, its forecasts, its penalty, and what of it is trained and moved."""

# `values` is an array of ours here, never that of pandas.

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from builders import (
    NAIVE,
    OF_VALUES,
    features_of,
    forecast_of,
    naive_by_hand,
    network_of,
    panel_of,
    randomised,
    read,
)
from skrnn import GRUForecaster
from skrnn.datasets import make_hourly_load
from skrnn.features.batch import Targets
from skrnn.naive import AUTO_SEASONAL
from skrnn.network.cells import CELLS

pytestmark = pytest.mark.usefixtures("one_thread")

rng = np.random.default_rng(0)


# -------------------------------------------------------------------- inputs


def test_inputs_show_the_last_value_and_each_lag_relative_to_it():
    s = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0])
    features = features_of(lags=(2, 4))
    steps, *_ = read(features, s)
    inputs = network_of(features).inputs(steps)[0]
    expected = [
        # s[t-1], s[t-2] - s[t-1], s[t-4] - s[t-1]; zero where there is no past.
        [3.0, 0.0, 0.0],
        [1.0, 3.0 - 1.0, 0.0],
        [4.0, 1.0 - 4.0, 0.0],
        [1.0, 4.0 - 1.0, 3.0 - 1.0],
        [5.0, 1.0 - 5.0, 1.0 - 5.0],
        [9.0, 5.0 - 9.0, 4.0 - 9.0],
    ]
    assert inputs.tolist() == expected


def test_inputs_of_a_corrected_network_show_the_last_change_instead_of_the_level():
    s = np.array([3.0, 1.0, 4.0, 1.0, 5.0])
    features = features_of(lags=(2,), naive=("last",))
    steps, *_ = read(features, s)
    inputs = network_of(features).inputs(steps)[0]
    # s[t-1] - s[t-2], s[t-2] - s[t-1].
    assert inputs.tolist() == [[0.0, 0.0], [-2.0, 2.0], [3.0, -3.0], [-3.0, 3.0]]


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
    inputs = network_of(features).inputs(steps)[0]
    assert inputs[:, -2:].tolist() == X[3:].tolist()


def test_inputs_show_the_embedded_category_of_the_target_step():
    X = pd.DataFrame({"x": np.arange(6.0), "day": list("abacab"), "open": list("nnynny")})
    features = features_of(n_numbers=1, sizes=(3, 2))
    network = network_of(features)
    steps, *_ = read(features, np.zeros(6), start=2, X=X)
    inputs = network.inputs(steps)[0]
    day, is_open = (table.weight for table in network.embeddings)
    assert torch.equal(
        inputs[:, -day.shape[1] - is_open.shape[1] :][:, : day.shape[1]], day[[0, 2, 0, 1]]
    )
    assert torch.equal(inputs[:, -is_open.shape[1] :], is_open[[1, 0, 0, 1]])
    assert inputs.shape[-1] == features.n_inputs + day.shape[1] + is_open.shape[1]


@pytest.mark.parametrize(("size", "width"), [(1, 1), (2, 2), (7, 4), (60, 31), (62, 32), (500, 32)])
def test_embedding_widens_with_the_number_of_categories_up_to_32(size, width):
    network = network_of(features_of(sizes=(size,)))
    assert network.embeddings[0].weight.shape == (size, width)


def test_inputs_show_which_values_are_missing():
    s = np.array([3.0, np.nan, 4.0, np.nan, 5.0, 9.0])
    features = features_of(lags=(3,), naive=("last",), missing=True)
    steps, *_ = read(features, s, start=2)
    inputs = network_of(features).inputs(steps)[0]
    expected = [
        # Change and lag of the filled values, 3 3 4 4 5; the last and the lag are missing.
        [0.0, 0.0, 1.0, 0.0],
        [1.0, 3.0 - 4.0, 0.0, 0.0],
        [0.0, 3.0 - 4.0, 1.0, 1.0],
        [1.0, 4.0 - 5.0, 0.0, 0.0],
    ]
    assert inputs.tolist() == expected


def test_inputs_show_the_calendar_of_the_target_step():
    index = pd.date_range("2024-01-01", periods=30, freq="h")
    features = features_of(calendar=("hour",))
    steps, *_ = read(features, np.zeros(30), start=5, index=index)
    inputs = network_of(features).inputs(steps)[0]
    expected = features.encode_calendar(panel_of(index).timeline, np.arange(5, 30))
    assert expected.shape == (25, 4)
    np.testing.assert_array_equal(inputs[:, -4:], expected)


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
        computed = [
            network.inputs(steps) if name == "inputs" else network.naive_forecasts(targets)[0]
            for steps, targets, _ in (one, other)
        ]
        np.testing.assert_array_equal(computed[0][0, :t], computed[1][0, :t])
        assert not torch.equal(computed[0][0, t], computed[1][0, t])


# ----------------------------------------------------------------- forecasts


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def gru(x, h, w, u, b, c):
    """One step of a GRU: r, z and n lie one below the other in the weights."""
    (xr, xz, xn), (hr, hz, hn) = np.split(w @ x + b, 3), np.split(u @ h[0] + c, 3)
    r, z = sigmoid(xr + hr), sigmoid(xz + hz)
    return [(1 - z) * np.tanh(xn + r * hn) + z * h[0]]


def lstm(x, h, w, u, b, c):
    """One step of an LSTM: i, f, g and o lie one below the other in the weights."""
    i, f, g, o = np.split(w @ x + b + u @ h[0] + c, 4)
    cell = sigmoid(f) * h[1] + sigmoid(i) * np.tanh(g)
    return [sigmoid(o) * np.tanh(cell), cell]


def rnn(x, h, w, u, b, c):
    return [np.tanh(w @ x + b + u @ h[0] + c)]


BY_HAND = {"gru": gru, "lstm": lstm, "rnn": rnn}


def hidden_by_hand(network, cell, inputs):
    """Output of the last recurrent layer at each step of one sequence, (L, H)."""
    layer_inputs = inputs
    for layer in network.recurrent.layers:
        weights = [
            getattr(layer, f"{name}_l0").detach().double().numpy()
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        ]
        state = [np.zeros(layer.hidden_size)] * 2
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
    scale = np.array([0.5, 2.0])
    network.correction_scale[0, :, 0] = torch.from_numpy(scale)
    forecast = forecast_of(network, s)[:, 0, :, 0]

    steps, *_ = read(features, s)
    hidden = hidden_by_hand(network, cell, network.inputs(steps)[0].detach().double().numpy())
    correction = linear_by_hand(network.head.correction, np.maximum(hidden, 0))
    bias = network.head.mix_bias[0].detach().double().numpy()
    scores = (hidden @ network.head.mix.weight.detach().double().numpy().T).reshape(11, 2, -1)
    for t in range(1, 12):
        for c in range(2):
            naive = [
                naive_by_hand(s[:, c], f.name, f.period, t, 1) for f in features.naive_forecasts
            ]
            exist = [i for i, value in enumerate(naive) if value is not None]
            weights = np.exp((scores[t - 1] + bias)[c, exist])
            mixed = weights @ [naive[i] for i in exist] / weights.sum()
            expected = mixed + scale[c] * correction[t - 1, c]
            assert forecast[t - 1, c] == pytest.approx(expected, abs=1e-4)


def test_forecast_of_horizons_matches_the_documented_formula():
    n, horizons, sp = 14, (1, 2, 5), 3
    s, X = rng.normal(size=(n, 2)), rng.normal(size=(n, 1))
    features = features_of((sp,), (2,), NAIVE, (), 2, 1, horizons=horizons)
    network = randomised(network_of(features, hidden_size=5))
    scale = rng.uniform(0.1, 2.0, size=(3, 2))
    network.correction_scale[..., 0] = torch.from_numpy(scale)
    forecast = forecast_of(network, s, X=X)[..., 0]

    steps, *_ = read(features, s, X=X)
    hidden = hidden_by_hand(network, "gru", network.inputs(steps)[0].detach().double().numpy())
    head, (A, B, U, V, M) = (
        network.head,
        (
            getattr(network.head, name).weight.detach().double().numpy()
            for name in ("correction", "direct", "state", "known", "mix")
        ),
    )
    p, q, b_direct, b_state = (
        part.detach().double().numpy()
        for part in (head.horizon, head.mix_bias, head.direct.bias, head.state.bias)
    )
    for t in range(1, n):
        output = hidden[t - 1]
        for j, h in enumerate(horizons):
            if t - 1 + h >= n:
                continue
            values = [
                [naive_by_hand(s[:, c], f.name, f.period, t, h) for f in features.naive_forecasts]
                for c in range(2)
            ]
            relative = [0.0 if v is None else v - s[t - 1, c] for c in range(2) for v in values[c]]
            u = np.array([X[t - 1 + h, 0], *relative])
            e = np.maximum(U @ output + b_state + V @ u + p[j], 0)
            correction = A @ e + (B @ output + b_direct).reshape(3, 2)[j]
            scores = (M @ e).reshape(2, -1) + q[j]
            for c in range(2):
                exist = [i for i, v in enumerate(values[c]) if v is not None]
                weights = np.exp(scores[c, exist])
                mixed = weights @ [values[c][i] for i in exist] / weights.sum()
                expected = mixed + scale[j, c] * correction[c]
                assert forecast[t - 1, j, c] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("cell", CELLS)
def test_forecast_without_naive_forecasts_is_relu_and_linear(cell):
    s = rng.normal(size=12)
    features = features_of(lags=(2,))
    network = network_of(features, cell)
    forecast = forecast_of(network, s)[:, 0, :, 0].numpy()
    steps, *_ = read(features, s)
    hidden = hidden_by_hand(network, cell, network.inputs(steps)[0].double().numpy())
    expected = linear_by_hand(network.head.correction, np.maximum(hidden, 0))
    np.testing.assert_allclose(forecast, expected, atol=1e-5)
    assert np.ptp(forecast) > 0


@pytest.mark.parametrize("cell", CELLS)
def test_state_continues_a_sequence_that_is_cut(cell):
    features = features_of(sp=(3,), lags=(2,), naive=NAIVE)
    network = randomised(network_of(features, cell, num_layers=2))
    steps, targets, _ = read(features, rng.normal(size=20))
    first, second = (
        Targets(*(p if p is None else p[:, part] for p in targets))
        for part in (slice(8), slice(8, None))
    )
    with torch.no_grad():
        whole, _ = network(steps, targets)
        beginning, state = network(steps.between(0, 8), first)
        end, _ = network(steps.between(8, 19), second, state)
    torch.testing.assert_close(torch.cat([beginning, end], 1), whole, rtol=0, atol=1e-5)


def test_forecasts_from_some_steps_are_those_from_all():
    features = features_of(sp=(3,), lags=(2,), naive=NAIVE, horizons=(1, 2))
    network = randomised(network_of(features))
    steps, targets, _ = read(features, rng.normal(size=20))
    at = torch.tensor([[1, 4, 18]])
    some = Targets(*(part if part is None else part[:, at[0]] for part in targets))
    with torch.no_grad():
        whole, _ = network(steps, targets)
        forecast, _ = network(steps, some, at=at)
    torch.testing.assert_close(forecast, whole[:, at[0]], rtol=0, atol=1e-6)


@pytest.mark.parametrize("horizons", [None, (1, 2)])
@pytest.mark.parametrize("cell", CELLS)
def test_untrained_network_forecasts_the_mean_of_the_naive_forecasts(cell, horizons):
    s = rng.normal(size=12)
    features = features_of(sp=(3,), lags=(2,), naive=OF_VALUES, horizons=horizons)
    forecast = forecast_of(network_of(features, cell), s)[:, 0, 0, 0].tolist()
    assert forecast[0] == pytest.approx(s[0], abs=1e-6)
    assert forecast[2] == pytest.approx((s[2] + s[0]) / 2, abs=1e-6)
    for t in range(4, 12):
        naive = [s[t - 1], s[t - 3], s[t - 3] + s[t - 1] - s[t - 4]]
        assert forecast[t - 1] == pytest.approx(np.mean(naive), abs=1e-6)


@pytest.mark.parametrize("horizons", [None, (1, 2)])
def test_before_the_first_season_of_any_naive_forecast_the_first_value_is_forecast(horizons):
    s = rng.normal(size=12)
    features = features_of(sp=(6, 4), naive=("seasonal",), horizons=horizons)
    forecast = forecast_of(network_of(features), s)[:, 0, 0, 0]
    np.testing.assert_allclose(forecast[:3], s[0], rtol=1e-6)  # of s[1] to s[3]
    np.testing.assert_allclose(forecast[3:5], s[0:2], rtol=1e-6)  # the shorter season alone
    np.testing.assert_allclose(forecast[5:], (s[2:8] + s[0:6]) / 2, rtol=1e-5, atol=1e-6)


def test_naive_forecasts_move_the_location_alone():
    s = rng.normal(size=12)
    features = features_of(sp=(3,), naive=NAIVE)
    one, other = (forecast_of(network_of(features, distribution="normal"), x) for x in (s, s + 9))
    torch.testing.assert_close(other[..., 0], one[..., 0] + 9, rtol=0, atol=1e-4)
    torch.testing.assert_close(other[..., 1], one[..., 1], rtol=0, atol=1e-6)


# ------------------------------------- forecasts where values hardly differ
#
# A rule that held the last value where all seasons agreed within a share of the scale froze these.


FLAT = np.r_[rng.normal(size=12), np.full(13, 5.0)]  # three seasons of four before the last


@pytest.mark.parametrize("horizons", [None, (1, 2)])
@pytest.mark.parametrize("distribution", ["mae", "mse", "normal", nn.L1Loss(), "quantile"], ids=str)
def test_forecast_is_corrected_where_all_seasons_agree(distribution, horizons):
    features = features_of(sp=(4,), naive=AUTO_SEASONAL, horizons=horizons)
    network = randomised(network_of(features, distribution=distribution))
    forecast = network.distribution.point(forecast_of(network, FLAT))
    assert ((forecast[-1] - 5.0).abs() > 1e-2).all()
    _, targets, _ = read(features, FLAT)
    naive, exists = network.naive_forecasts(targets)
    assert exists[0, -1].all()
    np.testing.assert_allclose(naive[0, -1], 5.0, rtol=1e-6)  # all agree


def day_and_noise(n=400):
    """Hours with a season of 24 steps."""
    return 20 * np.sin(2 * np.pi * np.arange(n) / 24) + np.random.default_rng(0).normal(size=n)


def with_glitch(s):
    s = s.copy()
    s[50] = 2**31 - 1
    return (s - s.mean()) / s.std()


def with_change_of_unit(s):
    s = s.copy()
    s[:150] *= 1e4
    return (s - s.mean()) / s.std()


@pytest.mark.parametrize(
    "scaled", [with_glitch, with_change_of_unit, lambda s: 1e-6 * s], ids=["glitch", "unit", "tiny"]
)
def test_mix_is_forecast_however_small_the_differences(scaled):
    s = scaled(day_and_noise())
    network = network_of(features_of(sp=(24,), naive=("last", "seasonal", "averaged")))
    with torch.no_grad():
        network.head.mix_bias.copy_(torch.tensor([0.0, 1.0, 2.0]))
    forecast = forecast_of(network, s, start=300)[:, 0, 0, 0].double().numpy()
    weights = np.exp([0.0, 1.0, 2.0])
    naive = [
        [naive_by_hand(s, name, 24, t, 1) for name in ("last", "seasonal", "averaged")]
        for t in range(300, 400)
    ]
    mixed = np.array(naive) @ weights / weights.sum()
    # A few units in the last place of single precision, in which the values are.
    np.testing.assert_allclose(forecast, mixed, rtol=0, atol=4e-7 * np.abs(s[200:]).max())
    assert np.abs(forecast - s[299:399]).mean() > 0.1 * s[200:].std()


@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
@pytest.mark.parametrize("scaler", ["standard", None])
@pytest.mark.parametrize("change", ["glitch", "unit", "tiny"])
def test_forecasts_of_two_days_are_not_frozen(change, scaler, strategy):
    index = pd.date_range("2024-01-01", periods=960, freq="h")
    y = pd.Series(100 + day_and_noise(960), index=index)
    if change == "glitch":
        y.iloc[100] = 2**31 - 1
    elif change == "unit":
        y.iloc[:300] *= 1e4
    else:
        y = (y - 100) * 1e-6
    settings = {"scaler": scaler, "hidden_size": 8, "num_epochs": 0, "random_state": 0}
    if change == "unit":
        # The linear forecast minimises squares: where the unit changes, the large values rule it.
        settings["linear_lags"] = None
    forecast = GRUForecaster(strategy=strategy, **settings).fit(y, fh=range(1, 49)).predict()
    # Some hours are equal in what single precision leaves at the scale of the glitch; a frozen
    # forecast has a single value.
    assert forecast[:24].nunique() > 12
    assert np.corrcoef(forecast, y[-48:])[0, 1] > 0.5


# ------------------------------------------------- a user's own criterion


class Tilted(nn.Module):
    """An absolute error around a bias that is trained, times a scale that is a buffer."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(()))
        self.register_buffer("scale", torch.tensor(3.0))

    def forward(self, forecast, target):
        return self.scale * (forecast + self.bias - target).abs().mean()


def test_criterion_is_a_copy_in_the_network_with_parameters_and_buffers():
    criterion = Tilted()
    network = network_of(features_of(), distribution=criterion)
    inner = network.distribution.criterion
    assert inner is not criterion
    assert any(inner.bias is parameter for parameter in network.parameters())
    assert any(inner.scale is buffer for buffer in network.buffers())
    assert {"distribution.criterion.bias", "distribution.criterion.scale"} <= {
        *network.state_dict()
    }


def test_criterion_moves_with_the_network():
    criterion = Tilted()
    network = network_of(features_of(), distribution=criterion)
    network.to("meta")
    inner = network.distribution.criterion
    assert inner.bias.device.type == inner.scale.device.type == "meta"
    assert criterion.bias.device.type == criterion.scale.device.type == "cpu"


@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
def test_criterion_is_trained_and_the_users_object_left_unchanged(strategy):
    y = make_hourly_load(n_series=1, n_hours=300, random_state=0)
    criterion = Tilted()
    before = copy.deepcopy(criterion.state_dict())
    kwargs = {"strategy": strategy, "hidden_size": 8, "num_epochs": 3, "random_state": 0}
    forecaster = GRUForecaster(criterion=criterion, **kwargs).fit(y[:-24], fh=[1, 2])
    trained = forecaster.network_.distribution.criterion.bias.item()
    assert abs(trained) > 1e-4
    forecaster.update(y[-24:])
    assert forecaster.network_.distribution.criterion.bias.item() != trained
    assert forecaster.criterion is criterion
    assert all(torch.equal(value, before[name]) for name, value in criterion.state_dict().items())
    assert criterion.bias.grad is None
    again = GRUForecaster(criterion=criterion, **kwargs).fit(y[:-24], fh=[1, 2])
    assert again.network_.distribution.criterion.bias.item() == trained


def test_criterion_is_in_training_mode_while_the_network_is():
    network = network_of(features_of(), distribution=Tilted())
    assert not network.distribution.criterion.training
    assert network.train().distribution.criterion.training


# ------------------------------------------------ dropout, penalty, state dict


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
def test_penalty_is_the_squared_size_of_what_departs_from_a_fixed_mix(horizons):
    features = features_of(sp=(3,), naive=NAIVE, horizons=horizons)
    network = network_of(features, distribution="normal")
    assert network.penalty() == 0
    with torch.no_grad():
        network.head.mix_bias.fill_(5.0)
        name = "direct" if horizons else "correction"
        bias = getattr(network.head, name).bias.view(-1, 2)
        bias[:, 1] = 7.0  # scales
        assert network.penalty() == 0
        bias[:, 0] = 3.0
        network.head.mix.weight[0, 0] = 2.0
    assert network.penalty().item() == 9.0 * len(bias) + 4.0


def test_network_without_naive_forecasts_has_no_penalty():
    assert network_of(features_of()).penalty() == 0.0


def test_state_dict_holds_weights_and_what_the_start_measured():
    network = network_of(features_of(sp=(3,), lags=(2,), naive=NAIVE))
    names = {name for name, _ in network.named_parameters()}
    assert set(network.state_dict()) == names | {
        *("correction_scale", "loss_weight", "penalty_scale", "n_observations")
    }


@pytest.mark.parametrize("horizons", [None, (1, 3)])
def test_penalty_is_in_the_unit_of_the_loss(horizons):
    network = network_of(features_of(sp=(3,), naive=NAIVE, horizons=horizons))
    with torch.no_grad():
        network.head.mix.weight[0, 0] = 2.0
        network.head.correction.weight[0, 1] = -3.0
        network.penalty_scale.fill_(0.5)
    assert network.penalty().item() == 0.5 * (4.0 + 9.0)


def test_penalty_pulls_weights_towards_the_mix():
    network = randomised(network_of(features_of(sp=(3,), naive=NAIVE)))
    network.penalty().backward()
    head = network.head
    for weight in (head.mix.weight, head.correction.weight, head.correction.bias):
        torch.testing.assert_close(weight.grad, 2 * weight)
    assert head.mix_bias.grad is None
    assert all(parameter.grad is None for parameter in network.recurrent.parameters())


@pytest.mark.parametrize(("num_layers", "between", "output"), [(1, 0.0, 0.3), (2, 0.3, 0.0)])
def test_dropout_is_between_layers_or_after_a_single_one(num_layers, between, output):
    network = network_of(features_of(), num_layers=num_layers, dropout=0.3)
    assert (network.recurrent.dropout.p, network.output_dropout.p) == (between, output)
    assert network.has_dropout
    network.set_dropout(0.0)
    assert not network.has_dropout


def test_dropout_draws_from_the_generator_given():
    network = network_of(features_of(), hidden_size=8, dropout=0.5).train()
    s, before = rng.normal(size=12), torch.get_rng_state()
    drawn = []
    for seed in (1, 1, 2):
        network.draw_dropout_from(torch.Generator().manual_seed(seed))
        drawn.append(forecast_of(network, s))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
