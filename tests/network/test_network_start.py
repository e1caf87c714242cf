"""The starting point of training, from the errors of the naive forecasts, and the loss weights."""

# `values` is an array of ours here, never that of pandas.

import numpy as np
import pytest
import torch

from builders import features_of, forecast_of, network_of, read
from skrnn.distributions import Normal, Quantiles
from skrnn.features.batch import Chunk, Steps, Targets
from skrnn.network.network import (
    CERTAIN_ERROR_EXPONENT,
    ERROR_EXPONENT,
    ERRORS_PER_CORRECTION,
    LEAST_ERROR_SHARE,
    SEASON_SHARE,
)

pytestmark = pytest.mark.usefixtures("one_thread")

rng = np.random.default_rng(0)
FEW_DATA = torch.inf  # the weight of a prior that counts as far more observations than there are


def chunk_of(past, target, weight, features, n_past=None):
    """One sequence of which every value of the past exists, or ``n_past`` at each step."""
    L = len(target)
    past = torch.as_tensor(past, dtype=torch.float32).reshape(1, L, -1, 1)
    n_past = torch.tensor([[max(features.naive_offsets)] * L if n_past is None else n_past])
    nothing = torch.zeros(1, L, 0)
    target, weight = (
        torch.as_tensor(part, dtype=torch.float32).reshape(1, L, 1, 1) for part in (target, weight)
    )
    steps = Steps(past, None, n_past, nothing, nothing.long())
    return Chunk(steps, Targets(past, None, n_past, None, None), target, weight)


def start(network, chunks):
    """Let training start from the errors on these chunks."""
    network.start_from(network.naive_forecasts.errors(chunks), None, FEW_DATA, 0.5)


@torch.no_grad()
def start_mix(network, chunks):
    """Weights of the naive forecasts in the untrained network."""
    start(network, chunks)
    return network.initial_weights().ravel().tolist()


def weights_of(*errors):
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
    assert start_mix(network_of(features), [chunk]) == weights_of(1, (6 * 2 + 2 * 1) / 8)
    swapped = chunk_of(past[:, ::-1].copy(), target, np.ones(6), features)
    assert start_mix(network_of(features), [swapped]) == weights_of(2, (6 * 1 + 2 * 2) / 8)


def test_start_depends_on_steps_that_count_alone():
    features = features_of(sp=(2,), naive=("last", "seasonal"))
    past = [[1.0, 2.0], [1.0, 2.0], [1e6, 0.0]]
    chunk = chunk_of(past, np.zeros(3), [1.0, 1.0, 0.0], features)
    assert start_mix(network_of(features), [chunk]) == weights_of(1, (2 * 2 + 2 * 1) / 4)


def test_start_averages_over_chunks():
    features = features_of(sp=(2,), naive=("last", "seasonal"))
    chunks = [
        chunk_of([[0.0, 3.0]], np.zeros(1), [1.0], features),
        chunk_of([[2.0, 1.0]], np.zeros(1), [1.0], features),
    ]
    # Mean errors 1 and 2.
    assert start_mix(network_of(features), chunks) == weights_of(1, (2 * 2 + 2 * 1) / 4)


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
    assert start_mix(network_of(features), [chunk]) == weights_of(1, ratio)


@pytest.mark.parametrize(
    ("distribution", "naive", "expected"),
    [
        # A normal error of mean size 0.8 has a deviation of 1; z of 0.9 is 1.2816.
        (Normal(), ("last", "seasonal"), [1.25 * 0.8]),
        (Quantiles([0.1, 0.5, 0.9]), ("last", "seasonal"), [-1.2816 * 1.25 * 0.8, 1.2816]),
        # Without naive forecasts there are no errors: the mean size of the scaled values is one.
        (Normal(), (), [1.25]),
    ],
)
def test_start_is_as_wide_as_the_errors_of_the_best_naive_forecast(distribution, naive, expected):
    features = features_of(sp=(2,), naive=naive)
    network = network_of(features, distribution=distribution)
    target = np.arange(6.0)
    error = np.tile([0.8, -0.8], 3)
    past = np.stack([target + error, target + 3 * error], axis=1)
    start(network, [chunk_of(past, target, np.ones(6), features)])
    if not naive:
        torch.nn.init.zeros_(network.head.correction.weight)
    hidden = torch.zeros(1, 1, 3)
    outputs, _ = network.head(hidden, hidden, None)
    parameters = distribution(outputs).ravel().detach()
    if isinstance(distribution, Quantiles):
        widths = parameters[[0, 2]] - parameters[1]
    else:
        widths = parameters[1:]
    np.testing.assert_allclose(widths, expected, rtol=1e-3)


def test_start_of_each_horizon_weighs_by_the_errors_of_that_horizon():
    s = 0.1 * np.arange(40.0)
    features = features_of(sp=(4,), naive=("last", "seasonal"), horizons=(1, 4))
    network = network_of(features)
    steps, targets, values = read(features, s, start=4)
    weight = torch.ones_like(values)
    weight[:, -3:, 1] = 0.0  # beyond the end
    start(network, [Chunk(steps, targets, values, weight)])
    # One step ahead of a trend the last value is wrong by 1 step, the season by 4; four ahead
    # both are wrong by 4.
    one, four = network.initial_weights()[:, 0].numpy()
    assert one == weights_of(1, (36 * 4 + 2 * 1) / 38)
    assert four == weights_of(4, 4)


@pytest.mark.parametrize(
    ("prior_weight", "share"),
    [
        (np.inf, 0.75),  # few data
        (1.0, 0.375),
        (1e-9, 0.0),  # many
    ],
)
def test_start_weighs_by_the_season_ahead_the_more_the_fewer_data_there_are(prior_weight, share):
    network = network_of(features_of(sp=(2,), naive=("last", "seasonal")))
    error, season = torch.tensor([[[0.1, 0.2]]]), torch.tensor([[[0.9, 0.3]]])
    network.start_from(error, season, prior_weight, 0.5)
    expected = weights_of(*(error ** (1 - share) * season**share)[0, 0])
    assert network.initial_weights().ravel().tolist() == expected


@pytest.mark.parametrize(("certainty", "exponent"), [(0.0, 4), (0.5, 6), (1.0, 8)])
def test_next_step_beside_a_direct_forecast_weighs_certain_errors_more(certainty, exponent):
    network = network_of(features_of(sp=(2,), naive=("last", "seasonal"), linear_lags=(1, 2)))
    assert network.direct is not None
    error, season = torch.tensor([[[0.1, 0.2, 0.15]]]), torch.tensor([[[0.9, 0.3, 0.1]]])
    network.start_from(error, season, FEW_DATA, certainty)
    expected = np.array([0.1, 0.2, 0.15]) ** -exponent
    np.testing.assert_allclose(
        network.initial_weights().ravel(), expected / expected.sum(), rtol=1e-4
    )


@pytest.mark.parametrize(
    ("season", "growth"),
    [([0.9, 0.3], 3.0), ([0.1, 0.2], 1.0), ([0.01, 0.02], 1.0)],
)
@pytest.mark.parametrize(("distribution", "size"), [("mae", 0.1), ("normal", 1.0)])
def test_penalty_scale_grows_as_the_square_of_an_error_over_a_season(
    distribution, size, season, growth
):
    features = features_of(sp=(2,), naive=("last", "seasonal"))
    network = network_of(features, distribution=distribution)
    network.start_from(torch.tensor([[[0.1, 0.2]]]), torch.tensor([[season]]), FEW_DATA, 0.5)
    assert network.penalty_scale.item() == pytest.approx(size * growth**2)
    # The unit of a correction is that of the next step's error.
    assert network.correction_scale.item() == 1.0


def test_start_knows_the_size_of_an_error_though_no_naive_forecast_exists():
    features = features_of(sp=(2,), naive=("seasonal",))
    chunk = chunk_of([[0.05, 9.0]] * 4, np.zeros(4), np.ones(4), features, n_past=[1, 1, 1, 1])
    network = network_of(features, distribution="normal")
    start(network, [chunk])
    # That of the last value.
    assert network.correction_scale.item() == pytest.approx(0.5, rel=1e-3)


@torch.no_grad()
def started_on_a_line(slopes, distribution="mae"):
    """A network of one and four steps ahead that training on straight lines would start from."""
    n, kwargs = 40, {"n_columns": len(slopes), "horizons": (1, 4)}
    features = features_of(sp=(4,), naive=("last", "seasonal"), **kwargs)
    network = network_of(features, distribution=distribution)
    steps, targets, values = read(features, np.outer(np.arange(n), slopes), start=4)
    weight = torch.ones_like(values)
    weight[:, -3:, 1] = 0.0  # beyond the end
    start(network, [Chunk(steps, targets, values, weight)])
    return network


@pytest.mark.parametrize("distribution", ["mae", "normal"])
@pytest.mark.parametrize(
    ("slope", "unit"), [(0.01, [0.1, 0.4]), (0.05, [0.5, 1.0]), (2.0, [1.0, 1.0])]
)
def test_correction_scale_is_ten_times_the_least_error_but_one_at_most(slope, unit, distribution):
    # The last value is off by one and four slopes.
    network = started_on_a_line([slope], distribution)
    np.testing.assert_allclose(network.correction_scale.ravel(), unit, rtol=1e-3)


@pytest.mark.parametrize("distribution", ["mae", "mse", "huber", "quantile"])
def test_loss_weight_is_the_inverse_of_the_least_error_and_one_on_average(distribution):
    network = started_on_a_line([0.01], distribution)
    # Errors of one and four slopes: 1 and 1 / 4, their mean 5 / 8.
    np.testing.assert_allclose(network.loss_weight.ravel(), [1.6, 0.4], rtol=1e-3)
    # Errors 1, 2, 4 and 8: 1, 1 / 2, 1 / 4 and 1 / 8, their mean 15 / 32.
    network = started_on_a_line([0.01, 0.02], distribution)
    expected = np.array([[1, 1 / 2], [1 / 4, 1 / 8]]) * 32 / 15
    np.testing.assert_allclose(network.loss_weight, expected, rtol=1e-3)


def test_loss_weight_of_what_is_known_exactly_is_that_of_a_tenth_of_the_mean_error():
    network = started_on_a_line([0.0, 0.08])
    # Errors 0, 8, 0 and 32: their mean is 10, a tenth of it 1.
    expected = np.array([[1, 1 / 8], [1, 1 / 32]])
    np.testing.assert_allclose(network.loss_weight, expected / expected.mean(), rtol=1e-3)


@pytest.mark.parametrize("distribution", ["normal", "studentt"])
def test_loss_weight_of_a_log_density_which_has_no_unit_is_one(distribution):
    network = started_on_a_line([0.01, 0.08], distribution)
    assert (network.loss_weight == 1).all()
    assert network.penalty_scale == 1


def test_penalty_scale_is_the_mean_of_the_least_errors():
    # Errors of one and four slopes.
    network = started_on_a_line([0.01, 0.02])
    assert network.penalty_scale.item() == pytest.approx((0.01 + 0.04 + 0.02 + 0.08) / 4, rel=1e-3)


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
def test_loss_is_a_mean_by_loss_weight_but_for_a_module(distribution, expected):
    network = network_of(features_of(horizons=(1, 2)), distribution=distribution)
    network.loss_weight[:, 0] = torch.tensor([1.5, 0.5])
    parameters = torch.tensor([[1.0, 8.0], [-2.0, 99.0]])[None, ..., None, None]  # (B, L, J, C, K)
    weight = torch.tensor([[1.0, 1.0], [1.0, 0.0]])[None, ..., None]
    loss = network.loss(parameters, torch.zeros_like(weight), weight)
    assert loss.item() == pytest.approx(expected)


def test_start_favours_the_season_of_a_seasonal_series():
    s = np.tile([0.0, 5.0, -3.0, 8.0], 10) + 0.01 * rng.normal(size=40)
    features = features_of(sp=(4,), naive=("last", "seasonal"))
    network = network_of(features)
    steps, targets, values = read(features, s, start=5)
    start(network, [Chunk(steps, targets, values, torch.ones_like(values))])
    forecast = forecast_of(network, s, start=5)
    np.testing.assert_allclose(forecast.ravel(), s[1:-4], atol=1e-3)


def test_start_does_not_favour_a_naive_forecast_that_never_existed():
    features = features_of(sp=(8,), naive=("last", "seasonal"))
    network = network_of(features)
    steps, targets, values = read(features, rng.normal(size=8))
    last, seasonal = start_mix(network, [Chunk(steps, targets, values, torch.ones_like(values))])
    assert 0 < seasonal <= last


def test_start_without_naive_forecasts_changes_nothing():
    features = features_of()
    network = network_of(features)
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    start(network, [chunk_of([[1.0]], [0.0], [1.0], features)])
    for name, weight in network.state_dict().items():
        assert torch.equal(weight, before[name])


def test_constants_are_those_of_the_decisions():
    # The tests above compute with these numbers.
    assert (ERROR_EXPONENT, ERRORS_PER_CORRECTION) == (4, 10)  # decision 10
    assert CERTAIN_ERROR_EXPONENT == 8  # decision 45
    assert (SEASON_SHARE, LEAST_ERROR_SHARE) == (0.75, 0.1)  # decision 11


def test_initial_weights_are_the_softmax_of_the_initial_scores():
    network = network_of(features_of(sp=(2,), naive=("last", "seasonal"), horizons=(1, 2)))
    with torch.no_grad():
        network.head.mix_bias[0, 0] = torch.tensor([0.0, np.log(3)])
        network.head.mix_bias[1, 0] = torch.tensor([5.0, 5.0])
    weights = network.initial_weights()
    assert not weights.requires_grad
    torch.testing.assert_close(weights, torch.tensor([[[0.25, 0.75]], [[0.5, 0.5]]]))


def test_start_of_one_step_by_hand():
    # Errors 0.05 and 0.1 of the next step, 0.4 and 0.2 over a season; as many prior observations
    # as there are data: the season counts 3 / 8.
    network = network_of(features_of(sp=(2,), naive=("last", "seasonal")), distribution="mae")
    network.start_from(torch.tensor([[[0.05, 0.1]]]), torch.tensor([[[0.4, 0.2]]]), 1.0, 0.5)
    errors = np.array([0.05**0.625 * 0.4**0.375, 0.1**0.625 * 0.2**0.375])
    expected = errors**-4.0 / (errors**-4.0).sum()
    np.testing.assert_allclose(network.initial_weights().ravel(), expected, rtol=1e-5)
    assert network.correction_scale.item() == pytest.approx(0.5)  # ten times 0.05
    assert network.penalty_scale.item() == pytest.approx(0.05 * (0.2 / 0.05) ** 2)
    assert network.loss_weight.item() == 1.0  # of a single horizon and column
    assert (network.head.correction.weight == 0).all()
    assert (network.head.correction.bias == 0).all()


def test_start_leaves_the_recurrent_layer_as_it_is():
    network = network_of(features_of(sp=(2,), naive=("last", "seasonal")))
    before = [weight.clone() for weight in network.recurrent.parameters()]
    network.start_from(torch.tensor([[[0.05, 0.1]]]), None, 1.0, 0.5)
    assert all(map(torch.equal, before, network.recurrent.parameters()))
