"""Recurrent layers on one another against torch's, states, and a user's own cell."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from torch import nn

from builders import NAIVE, features_of, forecast_of, network_of, randomised
from skrnn import GRUForecaster, RNNForecaster
from skrnn.datasets import make_hourly_load
from skrnn.network.cells import CELLS, RecurrentLayers, concatenated, each_part, select

pytestmark = pytest.mark.usefixtures("one_thread")

TORCH = {"gru": nn.GRU, "lstm": nn.LSTM, "rnn": nn.RNN}
B, L, D, H = 3, 17, 4, 6


class MinimalGatedUnit(nn.Module):
    r"""A minimal gated unit: one gate :math:`f` forgets and, as :math:`1 - f`, keeps.

    .. math:: f = \sigma(W_f x + U_f h + b_f), \quad
              n = \tanh(W_n x + f (U_n h) + b_n), \quad h' = (1 - f) h + f n.
    """

    def __init__(self, input_size, hidden_size, batch_first=True):
        super().__init__()
        self.of_input = nn.Linear(input_size, 2 * hidden_size)
        self.of_state = nn.Linear(hidden_size, 2 * hidden_size, bias=False)

    def forward(self, input, hx=None):
        gate, candidate = self.of_input(input).chunk(2, dim=-1)
        h = gate.new_zeros(gate[:, 0].shape) if hx is None else hx[0]
        outputs = []
        for t in range(input.shape[1]):
            recurrent_gate, recurrent_candidate = self.of_state(h).chunk(2, dim=-1)
            f = torch.sigmoid(gate[:, t] + recurrent_gate)
            n = torch.tanh(candidate[:, t] + f * recurrent_candidate)
            h = (1 - f) * h + f * n
            outputs.append(h)
        return torch.stack(outputs, dim=1), h[None]


def layers_of(cell, num_layers=2, dropout=0.0, dtype=torch.float64):
    torch.manual_seed(0)
    make = CELLS[cell] if isinstance(cell, str) else cell
    return RecurrentLayers(make, D, H, num_layers, dropout).to(dtype)


def torch_layers_like(layers, cell):
    """torch's own module of several layers, with the weights of these."""
    theirs = TORCH[cell](D, H, len(layers.layers), batch_first=True).double()
    weights = {
        name.replace("_l0", f"_l{k}"): weight
        for k, layer in enumerate(layers.layers)
        for name, weight in layer.state_dict().items()
    }
    theirs.load_state_dict(weights)
    return theirs


def sequences(length=L):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(B, length, D, generator=generator, dtype=torch.float64)


def layer_states(cell, state):
    """torch's state of all layers as one state a layer, (1, B, H) each."""
    if cell == "lstm":
        return tuple(zip(*(part.split(1) for part in state), strict=True))
    return tuple(state.split(1))


# -------------------------------------------------------------- against torch


@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_layers_are_those_of_torch_with_the_same_weights(cell, num_layers):
    layers = layers_of(cell, num_layers)
    theirs = torch_layers_like(layers, cell)
    x = sequences()
    output, state = layers(x)
    expected, expected_state = theirs(x)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-12)
    assert len(state) == num_layers
    for part, expected_part in zip(state, layer_states(cell, expected_state), strict=True):
        torch.testing.assert_close(part, expected_part, rtol=0, atol=1e-12)


@pytest.mark.parametrize("cut", [1, 8, L - 1])
@pytest.mark.parametrize("cell", CELLS)
def test_two_halves_with_the_state_handed_on_are_torchs_whole(cell, cut):
    layers = layers_of(cell)
    theirs = torch_layers_like(layers, cell)
    x = sequences()
    first, state = layers(x[:, :cut])
    second, state = layers(x[:, cut:], state)
    expected, expected_state = theirs(x)
    torch.testing.assert_close(torch.cat([first, second], 1), expected, rtol=0, atol=1e-12)
    for part, expected_part in zip(state, layer_states(cell, expected_state), strict=True):
        torch.testing.assert_close(part, expected_part, rtol=0, atol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_are_those_of_torch(cell):
    layers = layers_of(cell)
    theirs = torch_layers_like(layers, cell)
    x = sequences()
    layers(x)[0].sin().sum().backward()
    theirs(x)[0].sin().sum().backward()
    for k, layer in enumerate(layers.layers):
        for name, weight in layer.named_parameters():
            expected = getattr(theirs, name.replace("_l0", f"_l{k}")).grad
            torch.testing.assert_close(weight.grad, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("cell", CELLS)
def test_dropout_is_between_layers_as_in_torch(cell):
    # torch drops a layer's output by one mask, drawn from the global generator.
    layers = layers_of(cell, dropout=0.4)
    x = sequences()
    torch.manual_seed(7)
    output, _ = layers(x)
    hidden, _ = layers.layers[0](x)
    torch.manual_seed(7)
    expected, _ = layers.layers[1](nn.functional.dropout(hidden, 0.4))
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-12)
    single = layers_of(cell, 1, dropout=0.4)
    assert torch.equal(single(x)[0], single.layers[0](x)[0])  # nothing follows a single layer
    whole, _ = layers.eval()(x)
    assert torch.equal(whole, layers.layers[1](layers.layers[0](x)[0])[0])


# --------------------------------------------------------------------- states


def state_of(n):
    """State of an LSTM's layer, of an LSTM's other layer and of a GRU's, of n sequences."""
    part = torch.arange(n * H, dtype=torch.float32).view(1, n, H)
    return (part, part + 100), (part + 200, part + 300), part + 400


def test_selected_states_are_those_of_the_sequences():
    (h, c), _, g = select(state_of(4), torch.tensor([3, 0, 3]))
    whole, _ = state_of(4)[0]
    expected = whole[:, [3, 0, 3]]
    assert torch.equal(h, expected)
    assert torch.equal(c, expected + 100)
    assert torch.equal(g, expected + 400)


def test_states_of_batches_are_concatenated_by_sequence():
    state = state_of(5)
    parts = [select(state, torch.tensor(rows)) for rows in ([0, 1], [2], [3, 4])]
    joined = concatenated(parts)
    each_part(lambda part, expected: torch.testing.assert_close(part, expected), joined, state)
    assert isinstance(joined[0], tuple)
    assert isinstance(joined[2], torch.Tensor)


# ------------------------------------------------------------- a user's own cell


def mgu_by_hand(layer, x):
    """Output (L, H) of a minimal gated unit for one sequence (L, D)."""
    W, b, U = (
        part.detach().double().numpy()
        for part in (layer.of_input.weight, layer.of_input.bias, layer.of_state.weight)
    )
    h, outputs = np.zeros(U.shape[1]), []
    for step in x:
        (wf, wn), (uf, un) = np.split(W @ step + b, 2), np.split(U @ h, 2)
        f = 1 / (1 + np.exp(-(wf + uf)))
        h = (1 - f) * h + f * np.tanh(wn + f * un)
        outputs.append(h)
    return np.array(outputs)


def test_minimal_gated_unit_in_two_layers_is_the_formula():
    layers = layers_of(MinimalGatedUnit)
    x = sequences()
    output, state = layers(x)
    first = mgu_by_hand(layers.layers[0], x[1].numpy())
    expected = mgu_by_hand(layers.layers[1], first)
    np.testing.assert_allclose(output[1].detach(), expected, atol=1e-12)
    np.testing.assert_allclose(state[0][0, 1].detach(), first[-1], atol=1e-12)
    np.testing.assert_allclose(state[1][0, 1].detach(), expected[-1], atol=1e-12)


KWARGS = {"sp": 24, "hidden_size": 6, "window_length": 48, "num_epochs": 2, "random_state": 0}
DATA = make_hourly_load(n_series=2, n_hours=250, random_state=0)


def split(n_later=24):
    """All but the last rows of each series, and these."""
    later = DATA.groupby(level=0).tail(n_later).index
    return DATA.drop(later), DATA.loc[later]


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
def test_users_cell_is_fitted_updated_cloned_and_pickled(strategy, num_layers):
    early, later = split()
    forecaster = RNNForecaster(
        cell=MinimalGatedUnit, strategy=strategy, num_layers=num_layers, **KWARGS
    )
    forecast = forecaster.fit(early, fh=[1, 2, 12]).predict()
    assert [type(layer) for layer in forecaster.network_.recurrent.layers] == [
        MinimalGatedUnit
    ] * num_layers
    assert forecast.shape == (6, 1)
    assert np.isfinite(forecast.to_numpy()).all()

    again = clone(forecaster)
    assert again.cell is MinimalGatedUnit
    pd.testing.assert_frame_equal(again.fit(early, fh=[1, 2, 12]).predict(), forecast)
    pickled = pickle.loads(pickle.dumps(forecaster))
    pd.testing.assert_frame_equal(pickled.predict(), forecast)

    weights = [weight.clone() for weight in forecaster.network_.recurrent.parameters()]
    updated = forecaster.update(later).predict()
    assert (updated.index.get_level_values(-1) > forecast.index.get_level_values(-1)).all()
    assert not all(map(torch.equal, weights, forecaster.network_.recurrent.parameters()))
    pd.testing.assert_frame_equal(pickled.update(later).predict(), updated)


def test_users_cell_moves_a_forecast_as_its_formula_says():
    s = np.random.default_rng(0).normal(size=30)
    features = features_of(sp=(4,), naive=NAIVE)
    network = randomised(network_of(features, MinimalGatedUnit))
    forecast = forecast_of(network, s)
    with torch.no_grad():
        network.recurrent.layers[0].of_state.weight.zero_()
    assert not torch.allclose(forecast_of(network, s), forecast)


def test_users_cell_samples_paths():
    early, _ = split()
    forecaster = RNNForecaster(
        cell=MinimalGatedUnit, criterion="normal", n_samples=30, num_layers=2, **KWARGS
    )
    interval = forecaster.fit(early).predict_interval(fh=[1, 3], coverage=0.8)
    low, high = interval.to_numpy().T
    assert (low < high).all()


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_torchs_own_class_is_the_cell_of_that_name(cell):
    early, _ = split()
    by_name = RNNForecaster(cell=cell, **KWARGS).fit(early).predict(fh=[1, 5])
    by_class = RNNForecaster(cell=TORCH[cell], **KWARGS).fit(early).predict(fh=[1, 5])
    np.testing.assert_allclose(by_class, by_name, rtol=1e-3)


def test_gru_forecaster_is_the_forecaster_of_that_cell():
    early, _ = split()
    expected = GRUForecaster(**KWARGS).fit(early).predict(fh=[1, 5])
    pd.testing.assert_frame_equal(
        RNNForecaster(cell="gru", **KWARGS).fit(early).predict(fh=[1, 5]), expected
    )
