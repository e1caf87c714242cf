import pytest
import torch
from small_trainings import FEATURES, SEVERAL_HORIZONS, features_of, network_of

from skrnn.features.features import Features
from skrnn.forecasting.strategies import MultiOutput, Recursive
from skrnn.training.prior import (
    HALVING_OBSERVATIONS,
    PENALTY_OF_ONE_SEASON,
    PRIOR_OBSERVATIONS,
    PRIOR_OBSERVATIONS_WITH_X,
    SEASONS_OF_HALF_CERTAINTY,
    NaivePrior,
    certainty_of_errors,
    prior_weight,
    ridge_strength,
)

pytestmark = pytest.mark.usefixtures("one_thread")

WITHOUT_NAIVE = Features((), (), (), (), 1, Recursive())
# One season of these features is four steps.
PERIOD = 4


def test_constants_are_those_of_the_decisions():
    assert (PRIOR_OBSERVATIONS, PRIOR_OBSERVATIONS_WITH_X) == (2_000, 50)
    assert (PENALTY_OF_ONE_SEASON, HALVING_OBSERVATIONS) == (500, 5_000)
    assert SEASONS_OF_HALF_CERTAINTY == 150


@pytest.mark.parametrize(
    ("inputs", "prior"),
    [
        ({}, PRIOR_OBSERVATIONS),
        ({"n_numbers": 1}, PRIOR_OBSERVATIONS_WITH_X),
        ({"n_columns": 2}, PRIOR_OBSERVATIONS_WITH_X),
        ({"n_past": 1}, PRIOR_OBSERVATIONS_WITH_X),
        ({"sizes": (3,)}, PRIOR_OBSERVATIONS_WITH_X),
    ],
)
def test_prior_weighs_more_where_a_step_reads_its_own_series_alone(inputs, prior):
    features = features_of(**inputs)
    assert prior_weight(features, 57) == prior / 57
    assert NaivePrior(network_of(features=features), 57).weight == prior / 57


def test_prior_of_a_network_that_was_trained_on_more_before_stays_weak():
    network = network_of()
    network.n_observations.fill_(1e6)
    assert NaivePrior(network, 57).weight == PRIOR_OBSERVATIONS / 1e6
    assert NaivePrior(network, 57).ridge == ridge_strength(FEATURES, 1e6)
    network.n_observations.fill_(5)
    assert NaivePrior(network, 57).weight == PRIOR_OBSERVATIONS / 57


@pytest.mark.parametrize(
    ("n_seasons", "n_series", "certainty"),
    [
        (150, 1, 1 / 2),
        (50, 1, 1 / 4),
        (150, 2, 1 / 2),  # of each of two series
        (0.01, 1, 0.0),
        (1e6, 1, 0.0),  # from which the network learns a mix of its own
    ],
)
def test_errors_of_many_seasons_and_few_observations_are_certain(n_seasons, n_series, certainty):
    n = n_seasons * n_series * PERIOD
    expected = certainty / (1 + (n / HALVING_OBSERVATIONS) ** 2)
    assert certainty_of_errors(FEATURES, n, n_series) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("inputs", "n", "ridge"),
    [
        # 500 times p / n where the naive forecasts go back over all inputs.
        ({}, 200, PENALTY_OF_ONE_SEASON * PERIOD / 200),
        ({}, HALVING_OBSERVATIONS, PENALTY_OF_ONE_SEASON * PERIOD / HALVING_OBSERVATIONS / 2),
        ({}, 1e6, 5e-8),
        ({"strategy": MultiOutput((1, 2))}, 200, PENALTY_OF_ONE_SEASON * PERIOD / 200),
        # The prior weight to the power 1.5 with a longer cycle of the calendar, and with X.
        ({"cycle": 365}, 500, (PRIOR_OBSERVATIONS / 500) ** 1.5),
        ({"n_numbers": 1}, 200, (PRIOR_OBSERVATIONS_WITH_X / 200) ** 1.5),
    ],
)
def test_ridge_is_strong_for_few_seasons_and_leaves_room_for_what_naive_forecasts_cannot_know(
    inputs, n, ridge
):
    features = features_of(**inputs)
    assert ridge_strength(features, n) == pytest.approx(ridge, rel=3e-3)
    network = network_of(features=features)
    network.n_observations.fill_(n)
    assert NaivePrior(network, 5).ridge == ridge_strength(features, n)


@pytest.mark.parametrize("features", [FEATURES, SEVERAL_HORIZONS], ids=["step", "horizons"])
def test_penalty_is_the_ridge_times_the_squares_of_what_moves_forecasts_from_the_mix(features):
    network = network_of(features=features)
    network.penalty_scale.fill_(0.25)
    with torch.no_grad():
        for parameter in network.head.parameters():
            parameter.fill_(2.0)
    head = network.head
    if features is FEATURES:
        penalized = [head.correction.weight, head.correction.bias, head.mix.weight]
    else:
        penalized = [head.correction.weight, head.direct.weight, head.direct.bias, head.mix.weight]
    n = sum(parameter.numel() for parameter in penalized)
    prior = NaivePrior(network, 200)
    assert prior.penalty().item() == pytest.approx(prior.ridge * 0.25 * 4 * n)
    # It is that of the present weights, with their gradient.
    with torch.no_grad():
        head.correction.weight.fill_(0.0)
    prior.penalty().backward()
    assert (head.correction.weight.grad == 0).all()
    torch.testing.assert_close(head.mix.weight.grad, torch.full_like(head.mix.weight, prior.ridge))
    assert head.mix_bias.grad is None


def test_penalty_starts_at_zero():
    assert NaivePrior(network_of(), 200).penalty() == 0


def test_network_without_naive_forecasts_has_no_penalty():
    assert NaivePrior(network_of(features=WITHOUT_NAIVE), 200).penalty() == 0
