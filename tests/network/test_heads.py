"""The heads, from the recurrent output to corrections and scores, against their formulas."""

import warnings

import numpy as np
import pytest
import torch

from skrnn.network.heads import FEWEST_DECODER_UNITS, HorizonHead, StepHead

pytestmark = pytest.mark.usefixtures("one_thread")

C, K, N = 2, 3, 4  # columns, outputs of each, naive forecasts
J, H, Q = 3, 20, 5  # horizons, hidden size, known channels


def step_head(n_naive=N):
    torch.manual_seed(0)
    return StepHead(H, (C, K, n_naive))


def horizon_head(n_naive=N, n_known=Q, hidden_size=H):
    torch.manual_seed(0)
    return HorizonHead(hidden_size, n_known, J, (C, K, n_naive))


HEADS = {"step": step_head, "horizon": horizon_head}


@torch.no_grad()
def randomised(head):
    for parameter in head.parameters():
        parameter.copy_(torch.randn_like(parameter))
    return head


def numbers(head):
    """The weights of a head by name, as arrays."""
    return {name: w.detach().double().numpy() for name, w in head.named_parameters()}


def inputs(n_known=Q):
    """Recurrent output, the same after dropout, and known inputs of 2 sequences of 6 steps."""
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(2, 6, H, generator=generator)
    dropped = hidden * (torch.rand(2, 6, H, generator=generator) > 0.5)
    return hidden, dropped, torch.randn(2, 6, J, n_known, generator=generator)


# -------------------------------------------------------------------- formulas


def test_step_head_matches_its_formula():
    head = randomised(step_head())
    hidden, dropped, _ = inputs()
    outputs, scores = head(hidden, dropped, None)
    assert outputs.shape == (2, 6, 1, C, K)
    assert scores.shape == (2, 6, 1, C, N)
    w = numbers(head)
    h, d = hidden[1, 4].double().numpy(), dropped[1, 4].double().numpy()
    # The correction reads what dropout leaves; the scores of the mix are never dropped.
    correction = w["correction.weight"] @ np.maximum(d, 0) + w["correction.bias"]
    score = (w["mix.weight"] @ h).reshape(C, N) + w["mix_bias"][0]
    np.testing.assert_allclose(outputs[1, 4, 0].detach(), correction.reshape(C, K), atol=1e-4)
    np.testing.assert_allclose(scores[1, 4, 0].detach(), score, atol=1e-4)


@pytest.mark.parametrize("n_known", [Q, 0])
def test_horizon_head_matches_its_formula(n_known):
    head = randomised(horizon_head(n_known=n_known))
    hidden, dropped, known = inputs(n_known)
    outputs, scores = head(hidden, dropped, known)
    assert outputs.shape == (2, 6, J, C, K)
    assert scores.shape == (2, 6, J, C, N)
    w = numbers(head)
    d = dropped[1, 4].double().numpy()
    direct = (w["direct.weight"] @ d + w["direct.bias"]).reshape(J, C, K)
    for j in range(J):
        decoded = w["state.weight"] @ d + w["state.bias"] + w["horizon"][j]
        if n_known:
            decoded = decoded + w["known.weight"] @ known[1, 4, j].double().numpy()
        e = np.maximum(decoded, 0)
        correction = (w["correction.weight"] @ e).reshape(C, K) + direct[j]
        score = (w["mix.weight"] @ e).reshape(C, N) + w["mix_bias"][j]
        np.testing.assert_allclose(outputs[1, 4, j].detach(), correction, atol=1e-4)
        np.testing.assert_allclose(scores[1, 4, j].detach(), score, atol=1e-4)


@pytest.mark.parametrize(("hidden_size", "units"), [(128, 64), (20, 10), (16, 8), (4, 8), (1, 8)])
def test_decoder_has_half_as_many_units_as_the_recurrent_layer_but_eight_at_least(
    hidden_size, units
):
    assert horizon_head(hidden_size=hidden_size).horizon.shape == (J, units)
    assert FEWEST_DECODER_UNITS == 8


# ------------------------------------------------------------------ the start


@pytest.mark.parametrize("make", HEADS.values(), ids=HEADS)
def test_correction_and_scores_start_at_zero(make):
    hidden, dropped, known = inputs()
    outputs, scores = make()(hidden, dropped, known)
    assert (outputs == 0).all()
    assert (scores == 0).all()


@pytest.mark.parametrize("make", HEADS.values(), ids=HEADS)
def test_without_naive_forecasts_there_are_no_scores_and_weights_start_as_torchs(make):
    head = make(n_naive=0)
    outputs, scores = head(*inputs())
    assert scores is None
    assert outputs.std() > 0
    bound = head.correction.in_features**-0.5  # of torch's uniform distribution
    assert 0.5 * bound < head.correction.weight.abs().max() <= bound


def test_head_without_known_inputs_warns_of_no_empty_layer():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert horizon_head(n_known=0).known is None


@pytest.mark.parametrize("make", HEADS.values(), ids=HEADS)
def test_start_sets_every_output_but_the_location(make):
    head = make()
    n_horizons = head.mix_bias.shape[0]
    start = torch.arange(n_horizons * C * K, dtype=torch.float32).view(n_horizons, C, K) + 1
    with torch.no_grad():
        head.start_from(start)
    hidden, dropped, known = inputs()
    outputs, _ = head(hidden, dropped, known)
    assert (outputs[..., 0] == 0).all()
    assert torch.equal(outputs[1, 4, ..., 1:], start[..., 1:])
    assert torch.equal(outputs[0, 0], outputs[1, 4])


# ------------------------------------------------------------------ the penalty


@pytest.mark.parametrize("make", HEADS.values(), ids=HEADS)
def test_penalized_weights_are_those_that_move_the_location_or_the_mix(make):
    head = randomised(make())
    total = sum(weight.square().sum() for weight in head.penalized())
    gradients = dict(
        zip(
            dict(head.named_parameters()),
            torch.autograd.grad(total, list(head.parameters()), allow_unused=True),
            strict=True,
        )
    )
    penalized = {name for name, gradient in gradients.items() if gradient is not None}
    assert penalized == (
        {"correction.weight", "correction.bias", "mix.weight"}
        if isinstance(head, StepHead)
        else {"correction.weight", "direct.weight", "direct.bias", "mix.weight"}
    )
    # Of the biases, those of locations: a scale is no move away from the mix.
    name = "correction.bias" if isinstance(head, StepHead) else "direct.bias"
    bias = gradients[name].view(-1, K)
    assert (bias[:, 0] != 0).all()
    assert (bias[:, 1:] == 0).all()
    for name in penalized - {"correction.bias", "direct.bias"}:
        torch.testing.assert_close(gradients[name], 2 * dict(head.named_parameters())[name])
