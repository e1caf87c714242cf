import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from torch import nn

from skpro_checks import INDICES, OLD_SCIPY, check_quantiles_and_labels, check_variance, columns_of
from skrnn import GRUForecaster
from skrnn.distributions import (
    CRITERIA,
    Normal,
    Point,
    Poisson,
    Predictive,
    Quantiles,
    StudentT,
    distribution_of,
    is_probabilistic,
)
from skrnn.distributions.base import LEAST_SCALE
from skrnn.distributions.mixture import Mixture

pytestmark = pytest.mark.usefixtures("one_thread")

rng = np.random.default_rng(0)
LEVELS = [0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95]
# Location, scale and degrees of freedom of four values.
PARAMETERS = np.array([[0.0, 1.0, 3.0], [-5.0, 0.2, 2.5], [100.0, 30.0, 8.0], [1e-3, 1e-2, 50.0]])
NORMAL, T = PARAMETERS[:, :2], PARAMETERS
Z = stats.norm.ppf(LEVELS)
QUANTILES = NORMAL[:, :1] + NORMAL[:, 1:] * Z


def softplus(x):
    return np.logaddexp(0, x)


# ---------------------------------------------------------------- parameters


def test_outputs_of_a_normal_are_its_location_and_before_softplus_its_scale():
    outputs = torch.tensor([[2.0, -3.0], [-1.0, 4.0]])
    made = Normal()(outputs)
    expected = [[2.0, softplus(-3.0) + 1e-4], [-1.0, softplus(4.0) + 1e-4]]
    np.testing.assert_allclose(made, expected, rtol=1e-5)


def test_outputs_of_a_t_stay_above_two_degrees_of_freedom():
    made = StudentT()(torch.tensor([[2.0, -3.0, 1.0], [0.0, -200.0, -200.0]]))
    expected = [[2.0, softplus(-3.0) + 1e-4, softplus(1.0) + 2.01], [0.0, LEAST_SCALE, 2.01]]
    np.testing.assert_allclose(made, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("levels", "outputs", "expected"),
    [
        # The middle one is the location; gaps of log 2 and log(1 + e) in the order of the levels.
        ([0.1, 0.5, 0.9], [5.0, 0.0, 1.0], [5 - np.log(2), 5, 5 + np.log(1 + np.e)]),
        (
            [0.9, 0.2, 0.4, 0.1],
            [5.0, 0.0, 1.0, 2.0],
            [5 - softplus(0.0) - softplus(1.0), 5 - softplus(1.0), 5, 5 + softplus(2.0)],
        ),
        ([0.7, 0.9], [5.0, 0.0], [5, 5 + np.log(2)]),
        ([0.1, 0.3], [5.0, 0.0], [5 - np.log(2), 5]),
    ],
)
def test_outputs_of_quantiles_are_a_location_and_the_gaps_between_neighbours(
    levels, outputs, expected
):
    made = Quantiles(levels)(torch.tensor(outputs))
    np.testing.assert_allclose(made, expected, rtol=1e-5)


def test_levels_of_quantiles_are_sorted_and_stand_once():
    assert Quantiles([0.9, 0.1, 0.5, 0.1]).levels.tolist() == [0.1, 0.5, 0.9]


outputs_of = hnp.arrays(np.float32, (3, 7), elements=st.floats(-(2.0**20), 2.0**20, width=32))
some_levels = st.lists(st.floats(0.001, 0.999), min_size=2, max_size=9, unique=True).map(sorted)


@settings(max_examples=60, deadline=None)
@given(outputs=outputs_of, asked=some_levels)
def test_quantiles_never_cross(outputs, asked):
    distribution = Quantiles(LEVELS)
    made = distribution(torch.from_numpy(outputs)).numpy().astype(np.float64)
    assert (np.diff(made) >= 0).all()
    size = np.abs(made).max(-1, keepdims=True)
    # Nor do those between and beyond them, but for rounding.
    assert (np.diff(distribution.quantiles(made, asked)) >= -1e-9 * size).all()


@settings(max_examples=60, deadline=None)
@given(outputs=outputs_of, asked=some_levels)
@pytest.mark.parametrize("distribution", [Normal(), StudentT()], ids=["normal", "t"])
def test_quantiles_of_a_formula_never_cross(distribution, outputs, asked):
    outputs = torch.from_numpy(outputs[:, : distribution.n_outputs])
    made = distribution(outputs).numpy().astype(np.float64)
    assert (made[:, 1] > 0).all()
    quantiles = distribution.quantiles(made, asked)
    rounding = 4 * np.finfo(float).eps * np.abs(quantiles).max(-1, keepdims=True)
    assert (np.diff(quantiles) >= (-rounding if OLD_SCIPY else 0)).all()


# --------------------------------------------------------------------- start


@pytest.mark.parametrize("error", [0.01, 0.8, 3.0])
def test_start_has_the_scale_of_a_normal_error_of_that_mean_size(error):
    # A normal error of deviation 1 has a mean size of 0.798, about 1 / 1.25.
    assert 1.25 * np.sqrt(2 / np.pi) == pytest.approx(1, abs=0.003)
    sizes = torch.full((2, 3), error)
    for distribution in (Normal(), StudentT()):
        made = distribution(distribution.start(sizes)).numpy()
        assert (made[..., 0] == 0).all()
        np.testing.assert_allclose(made[..., 1], 1.25 * error, rtol=1e-3, atol=1.1e-4)
    quantiles = Quantiles(LEVELS)
    made = quantiles(quantiles.start(sizes)).numpy()
    expected = np.broadcast_to(1.25 * error * Z, made.shape)
    np.testing.assert_allclose(made, expected, rtol=1e-3, atol=1e-5)


def test_start_of_a_t_has_six_degrees_of_freedom():
    t = StudentT()
    assert t(t.start(torch.ones(1)))[0, 2].item() == pytest.approx(6, abs=0.05)


def test_start_of_no_error_is_narrow_but_finite():
    for distribution in (Normal(), StudentT(), Quantiles(LEVELS)):
        made = distribution(distribution.start(torch.zeros(1)))
        assert torch.isfinite(made).all()
        low, high = distribution.quantiles(made.numpy().astype(float), [0.1, 0.9])[0]
        assert 0 < high - low < 1e-3


def test_start_of_a_point_is_no_correction():
    assert Point(CRITERIA["mae"]).start(torch.ones(2, 3)).tolist() == [[[0.0]] * 3] * 2


# ---------------------------------------------------------------------- loss

TARGETS = np.array([[0.5], [-5.5], [220.0], [0.0]])


def loss_of(distribution, parameters, target):
    parameters, target = (torch.from_numpy(np.array(part)) for part in (parameters, target))
    return distribution.loss(parameters, target).numpy()


def test_loss_of_a_normal_is_minus_the_log_density_but_for_the_constant():
    made = loss_of(Normal(), NORMAL, TARGETS[:, 0])
    expected = -stats.norm.logpdf(TARGETS[:, 0], *NORMAL.T) - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(made, expected, rtol=1e-6, atol=1e-9)


def test_loss_of_a_t_is_minus_the_log_density():
    location, scale, df = T.T
    made = loss_of(StudentT(), T, TARGETS[:, 0])
    expected = -stats.t.logpdf(TARGETS[:, 0], df, location, scale)
    np.testing.assert_allclose(made, expected, rtol=1e-6)


def test_loss_of_quantiles_by_hand():
    # Pinball losses of 3 below quantile 5 at level 0.9, above quantile 1 at 0.1, above 2 at 0.5.
    expected = 2 * (0.1 * 2 + 0.1 * 2 + 0.5 * 1) / 3
    made = loss_of(Quantiles([0.1, 0.5, 0.9]), [1.0, 2.0, 5.0], 3.0)
    assert made == pytest.approx(expected)


def test_loss_of_the_median_is_the_absolute_error():
    # Of two levels, the mean; the other quantile is the target itself.
    made = loss_of(Quantiles([0.5, 0.9]), [[1.0, 3.0], [4.0, 3.5]], [3.0, 3.5])
    assert made.tolist() == [2.0 / 2, 0.5 / 2]


@pytest.mark.parametrize("level", [0.1, 0.5, 0.8])
def test_loss_of_a_quantile_is_least_at_that_quantile(level):
    values = rng.normal(size=1001)
    guesses = np.linspace(-2, 2, 401)
    distribution, other = Quantiles([level, 0.99]), np.full(1001, 2.5)
    losses = [
        loss_of(distribution, np.stack([np.full(1001, g), other], -1), values).mean()
        for g in guesses
    ]
    best = guesses[np.argmin(losses)]
    assert best == pytest.approx(np.quantile(values, level), abs=0.02)


@pytest.mark.parametrize("criterion", ["mae", "mse", "huber"])
def test_loss_of_a_point_is_the_criterion(criterion):
    made = loss_of(Point(CRITERIA[criterion]), [[1.0], [1.0]], [1.5, 4.0])
    expected = {"mae": [0.5, 3], "mse": [0.25, 9], "huber": [0.125, 2.5]}[criterion]
    assert made.tolist() == expected


# ----------------------------------------------------------------- mean loss

FORECAST = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]])
TARGET = torch.tensor([[[1.5, 4.0], [3.0, 1.0]], [[9.0, 6.0], [0.0, 0.0]]])
WEIGHT = torch.tensor([[[1.0], [1.0]], [[1.0], [0.0]]])
# Distances that count: 0.5, 2, 0, 3, 4, 0.
BY_HAND = {
    "mae": 9.5 / 6,
    "mse": (0.25 + 4 + 9 + 16) / 6,
    "huber": (0.125 + 1.5 + 2.5 + 3.5) / 6,
}
MODULES = {"mae": nn.L1Loss(), "mse": nn.MSELoss(), "huber": nn.HuberLoss()}


def mean_loss(criterion, forecast=FORECAST, target=TARGET, weight=WEIGHT):
    weight = weight.expand_as(target)
    return Point(criterion).mean_loss(forecast[..., None], target, weight)


@pytest.mark.parametrize("name", BY_HAND)
def test_mean_loss_is_the_mean_over_what_counts(name):
    for criterion in (CRITERIA[name], MODULES[name]):
        assert mean_loss(criterion).item() == pytest.approx(BY_HAND[name])


@pytest.mark.parametrize("name", BY_HAND)
def test_mean_loss_of_equal_weights_is_the_plain_mean(name):
    expected = MODULES[name](FORECAST, TARGET).item()
    for criterion in (CRITERIA[name], MODULES[name]):
        assert mean_loss(criterion, weight=torch.ones(())).item() == pytest.approx(expected)


def test_mean_loss_lets_a_module_reduce_as_it_likes():
    assert mean_loss(nn.L1Loss(reduction="sum")) == 9.5


@pytest.mark.parametrize("criterion", [*CRITERIA.values(), nn.L1Loss()], ids=[*CRITERIA, "L1Loss"])
def test_mean_loss_of_nothing_that_counts_is_zero(criterion):
    assert mean_loss(criterion, weight=torch.zeros(())) == 0


def test_module_that_does_not_reduce_is_refused():
    with pytest.raises(ValueError, match=r"returned shape \(6,\). Set its reduction to 'mean'"):
        mean_loss(nn.L1Loss(reduction="none"))


@pytest.mark.parametrize("distribution", [Normal(), StudentT(), Quantiles([0.1, 0.5, 0.8])])
def test_mean_loss_of_a_distribution_is_the_mean_over_what_counts(distribution):
    outputs = torch.randn(2, 2, 2, distribution.n_outputs, generator=torch.Generator())
    parameters = distribution(outputs)
    loss = distribution.mean_loss(parameters, TARGET, WEIGHT.expand_as(TARGET))
    each = distribution.loss(parameters, TARGET)
    expected = (each[0].sum() + each[1, 0].sum()) / 6
    assert loss.item() == pytest.approx(expected.item())


# ---------------------------------------------- quantiles, points, variances


def test_quantiles_and_variance_of_a_normal_are_those_of_scipy():
    np.testing.assert_allclose(Normal().quantiles(NORMAL, LEVELS), QUANTILES, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(Normal().variance(NORMAL), NORMAL[:, 1] ** 2)
    assert Normal().point(NORMAL).tolist() == NORMAL[:, 0].tolist()


def test_quantiles_and_variance_of_a_t_are_those_of_scipy():
    location, scale, df = T.T
    made = StudentT().quantiles(T, LEVELS)
    for k, level in enumerate(LEVELS):
        np.testing.assert_allclose(made[:, k], stats.t.ppf(level, df, location, scale))
    np.testing.assert_allclose(StudentT().variance(T), scale**2 * df / (df - 2))


def test_trained_quantiles_are_returned_as_they_are():
    distribution = Quantiles(LEVELS)
    values = np.sort(rng.normal(size=(3, 2, 7)))
    np.testing.assert_allclose(distribution.quantiles(values, LEVELS), values, atol=1e-12)
    np.testing.assert_allclose(distribution.quantiles(values, LEVELS[::-1]), values[..., ::-1])
    assert distribution.point(values).tolist() == values[..., 3].tolist()


@pytest.mark.parametrize("levels", [LEVELS, [0.1, 0.9], [0.3, 0.4]])
def test_normal_quantiles_are_continued_as_normal_ones(levels):
    trained = NORMAL[:, :1] + NORMAL[:, 1:] * stats.norm.ppf(levels)
    asked = np.array([0.001, 0.07, 0.33, 0.5, 0.62, 0.99])
    expected = Normal().quantiles(NORMAL, asked)
    made = Quantiles(levels).quantiles(trained, asked)
    np.testing.assert_allclose(made, expected, rtol=1e-9, atol=1e-9)


def test_quantile_between_two_lies_by_its_normal_quantile():
    low, high, z = *stats.norm.ppf([0.5, 0.9]), stats.norm.ppf(0.8)
    made = Quantiles([0.1, 0.5, 0.9]).quantiles(np.array([0.0, 1.0, 5.0]), [0.8])
    assert made == pytest.approx([1 + 4 * (z - low) / (high - low)])


@pytest.mark.parametrize("as_tensor", [False, True])
def test_point_of_quantiles_without_the_median_lies_between_its_neighbours(as_tensor):
    distribution = Quantiles([0.1, 0.4, 0.6, 0.9])
    values = np.array([[0.0, 1.0, 3.0, 9.0]])
    made = distribution.point(torch.from_numpy(values) if as_tensor else values)
    np.testing.assert_allclose(made, [2.0])


def test_variance_of_normal_quantiles_is_about_that_of_the_normal():
    made = Quantiles(LEVELS).variance(QUANTILES)
    np.testing.assert_allclose(made, NORMAL[:, 1] ** 2, rtol=0.02)


@pytest.mark.parametrize(
    ("distribution", "parameters"),
    [(Normal(), NORMAL), (StudentT(), T), (Quantiles(LEVELS), QUANTILES)],
    ids=["normal", "t", "quantiles"],
)
def test_quantiles_of_the_unscaled_distribution_are_the_unscaled_quantiles(
    distribution, parameters
):
    center, scale = np.array([[[3.0], [-7.0]]]), np.array([[[10.0], [0.1]]])
    parameters = np.stack([parameters, parameters[::-1]], axis=1)  # (n, C, K)
    before = parameters.copy()
    made = distribution.quantiles(distribution.unscaled(parameters, center, scale), LEVELS)
    expected = distribution.quantiles(parameters, LEVELS) * scale + center
    np.testing.assert_allclose(made, expected, rtol=1e-9)
    np.testing.assert_array_equal(parameters, before)


# ------------------------------------------------------------------- samples


@pytest.mark.parametrize(
    ("distribution", "parameters"),
    [
        (Normal(), NORMAL),
        (StudentT(), T),
        (Quantiles(LEVELS), QUANTILES),
        (Quantiles(LEVELS), np.tile([-9.0, -1.0, 0.0, 0.5, 4.0, 5.0, 50.0], (4, 1))),
        (Quantiles([0.2, 0.6]), np.tile([-1.0, 5.0], (4, 1))),
    ],
    ids=["normal", "t", "quantiles", "skewed quantiles", "two quantiles"],
)
def test_samples_lie_below_each_quantile_as_often_as_its_level_says(distribution, parameters):
    n = 20_000
    many = torch.from_numpy(parameters).expand(n, *parameters.shape)
    drawn = distribution.sample(many, torch.Generator().manual_seed(0)).numpy()
    levels = np.array([0.01, 0.05, 0.2, 0.5, 0.7, 0.95])
    below = (drawn[..., None] < distribution.quantiles(parameters, levels)).mean(0)
    error = np.sqrt(levels * (1 - levels) / n)
    assert (np.abs(below - levels) < 4 * error).all()


@pytest.mark.parametrize("distribution", [Normal(), StudentT(), Quantiles(LEVELS)])
def test_generator_seeds_the_samples_and_the_global_state_stays(distribution):
    parameters = distribution(torch.zeros(50, distribution.n_outputs))
    before = torch.get_rng_state()
    one, same, other = (
        distribution.sample(parameters, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert not torch.isclose(one, other).any()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("levels", [[], [0.3], [0.3, 0.3], [0.5, 1.0], [0.0, 0.5], [0.1, np.nan]])
def test_quantiles_need_two_levels_between_zero_and_one(levels):
    with pytest.raises(ValueError, match=r"at least two different levels in \(0, 1\). Got \["):
        Quantiles(levels)


# --------------------------------------------------------------------- skpro

SKPRO = {
    "normal": (Normal(), columns_of(NORMAL)),
    "t": (StudentT(), columns_of(T)),
    "quantiles": (Quantiles(LEVELS), columns_of(QUANTILES)),
}


@pytest.mark.parametrize("index", INDICES, ids=["panel", "series"])
@pytest.mark.parametrize("name", SKPRO)
def test_distribution_of_skpro_has_the_same_quantiles_and_labels(name, index):
    check_quantiles_and_labels(*SKPRO[name], index, has_formula=name != "quantiles")


@pytest.mark.parametrize("name", SKPRO)
def test_distribution_of_skpro_has_the_same_variance(name):
    check_variance(*SKPRO[name])


# ----------------------------------------------------------- distribution_of


class Twice(Normal):
    """A user's distribution."""


@pytest.mark.parametrize(
    ("criterion", "kind", "n_outputs"),
    [
        ("mae", Point, 1),
        ("mse", Point, 1),
        ("huber", Point, 1),
        (nn.L1Loss(), Point, 1),
        ("normal", Normal, 2),
        ("studentt", StudentT, 3),
        ("quantile", Quantiles, 7),
        (Twice(), Twice, 2),
        (Quantiles([0.2, 0.8]), Quantiles, 2),
    ],
)
def test_criterion_names_the_distribution(criterion, kind, n_outputs):
    made = distribution_of(criterion, LEVELS)
    assert type(made) is kind
    assert made.n_outputs == n_outputs
    assert made.is_probabilistic is is_probabilistic(criterion) is (kind is not Point)


class Weighted(nn.Module):
    """A loss with a weight of its own and a constant."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.0))
        self.register_buffer("share", torch.tensor(0.5))

    def forward(self, forecast, target):
        return (self.share * self.weight * (forecast - target).abs()).mean() + self.weight**2


class Learnt(Normal):
    """A normal distribution whose scale has a factor that is trained."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(1.0))

    def forward(self, outputs):
        location, scale = super().forward(outputs).unbind(-1)
        return torch.stack([location, self.factor.exp() * scale], -1)


@pytest.mark.parametrize("criterion", [Weighted(), Learnt()], ids=["criterion", "distribution"])
def test_parameters_of_a_module_are_trained_in_a_copy(criterion):
    (before,) = [p.item() for p in criterion.parameters()]
    settings = {"hidden_size": 2, "window_length": 5, "num_epochs": 3, "random_state": 0}
    fitted = GRUForecaster(criterion=criterion, **settings).fit(pd.Series(np.arange(40) % 3.0))
    assert [p.item() for p in criterion.parameters()] == [before]
    (trained,) = [p.item() for p in fitted.network_.distribution.parameters()]
    assert trained != before


def test_buffers_of_a_module_go_to_the_device_with_the_network():
    for criterion in (Weighted(), Quantiles(LEVELS)):
        distribution = distribution_of(criterion, LEVELS).to("meta")
        tensors = [*distribution.parameters(), *distribution.buffers()]
        assert tensors
        assert all(tensor.device.type == "meta" for tensor in tensors)


def test_constants_of_a_distribution_are_no_weights():
    assert Quantiles(LEVELS).state_dict() == {}


# ------------------------------------------------------------------ probabilities, mixtures


class Exponential(Predictive):
    """One without a formula of its distribution function."""

    def quantiles(self, parameters, levels):
        return -parameters[..., :1] * np.log1p(-np.asarray(levels))


KINDS = {
    "normal": (Normal(), [[5.0, 2.0], [-1.0, 0.5]]),
    "student": (StudentT(), [[5.0, 2.0, 3.0], [-1.0, 0.5, 8.0]]),
    "quantiles": (Quantiles([0.1, 0.4, 0.9]), [[1.0, 2.0, 5.0], [-3.0, 0.0, 0.5]]),
    "exponential": (Exponential(), [[3.0], [0.5]]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_distribution_function_inverts_the_quantiles(kind):
    distribution, parameters = KINDS[kind]
    parameters, levels = np.array(parameters), np.array([0.02, 0.3, 0.5, 0.97])
    found = distribution.cdf(parameters, distribution.quantiles(parameters, levels))
    # Without a formula, it is linear between quantiles.
    atol = 1e-3 if kind == "exponential" else 1e-9
    np.testing.assert_allclose(found, [levels, levels], atol=atol)
    expected = distribution.quantiles(parameters, (np.arange(20_000) + 0.5) / 20_000).mean(-1)
    np.testing.assert_allclose(distribution.mean(parameters), expected, rtol=2e-2, atol=1e-3)


@pytest.mark.parametrize("kind", ["normal", "student", "quantiles"])
def test_a_mixture_has_the_mean_of_the_probabilities(kind):
    distribution, (one, other) = KINDS[kind]
    mixture, parameters = Mixture([distribution] * 2), np.array([one + other, one + one])
    levels = np.array([0.001, 0.2, 0.5, 0.999])
    found = mixture.quantiles(parameters, levels)
    shares = [distribution.cdf(np.array(part), found[0]) for part in (one, other)]
    np.testing.assert_allclose(np.mean(shares, axis=0), levels, atol=1e-10)
    # Of two that are the same, it is one of them.
    alone = distribution.quantiles(np.array(one), levels)
    np.testing.assert_allclose(found[1], alone, rtol=1e-12)
    np.testing.assert_allclose(
        mixture.point(parameters)[0],
        (distribution.point(np.array(one)) + distribution.point(np.array(other))) / 2,
    )


def test_a_mixture_of_counts_has_whole_quantiles_and_the_total_variance():
    mixture, parameters = Mixture([Poisson()] * 2), np.array([[2.0, 1.0, 30.0, 1.0]])
    levels = np.array([0.2, 0.5, 0.51, 0.9])
    found = mixture.quantiles(parameters, levels)[0]

    def share(count):
        return (stats.poisson(2).cdf(count) + stats.poisson(30).cdf(count)) / 2

    assert (share(found) >= levels).all()
    assert (share(found - 1) < levels).all()
    np.testing.assert_allclose(mixture.mean(parameters), 16)
    np.testing.assert_allclose(mixture.variance(parameters), 16 + 14**2)
