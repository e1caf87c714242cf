import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from torch import nn

from skrnn.distributions import (
    CRITERIA,
    LEAST_SCALE,
    Normal,
    Point,
    Quantiles,
    Residuals,
    Samples,
    StudentT,
    distribution_of,
)

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
    made = Normal().parameters(outputs)
    expected = [[2.0, softplus(-3.0) + 1e-4], [-1.0, softplus(4.0) + 1e-4]]
    np.testing.assert_allclose(made, expected, rtol=1e-5)


def test_outputs_of_a_t_stay_above_two_degrees_of_freedom():
    made = StudentT().parameters(torch.tensor([[2.0, -3.0, 1.0], [0.0, -200.0, -200.0]]))
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
        ([0.3], [5.0], [5]),
    ],
)
def test_outputs_of_quantiles_are_a_location_and_the_gaps_between_neighbours(
    levels, outputs, expected
):
    made = Quantiles(levels).parameters(torch.tensor(outputs))
    np.testing.assert_allclose(made, expected, rtol=1e-5)


def test_levels_of_quantiles_are_sorted_and_stand_once():
    assert Quantiles([0.9, 0.1, 0.5, 0.1]).levels.tolist() == [0.1, 0.5, 0.9]


outputs_of = hnp.arrays(np.float32, (3, 7), elements=st.floats(-(2.0**20), 2.0**20, width=32))
some_levels = st.lists(st.floats(0.001, 0.999), min_size=2, max_size=9, unique=True).map(sorted)


@settings(max_examples=60, deadline=None)
@given(outputs=outputs_of, asked=some_levels)
def test_quantiles_never_cross(outputs, asked):
    distribution = Quantiles(LEVELS)
    made = distribution.parameters(torch.from_numpy(outputs)).numpy().astype(np.float64)
    assert (np.diff(made) >= 0).all()
    size = np.abs(made).max(-1, keepdims=True)
    # Nor do those between and beyond them, but for rounding.
    assert (np.diff(distribution.quantiles(made, asked)) >= -1e-9 * size).all()


@settings(max_examples=60, deadline=None)
@given(outputs=outputs_of, asked=some_levels)
@pytest.mark.parametrize("distribution", [Normal(), StudentT()], ids=["normal", "t"])
def test_quantiles_of_a_formula_never_cross(distribution, outputs, asked):
    outputs = torch.from_numpy(outputs[:, : distribution.n_parameters])
    made = distribution.parameters(outputs).numpy().astype(np.float64)
    assert (made[:, 1] > 0).all()
    assert (np.diff(distribution.quantiles(made, asked)) >= 0).all()


# --------------------------------------------------------------------- start


@pytest.mark.parametrize("error", [0.01, 0.8, 3.0])
def test_start_has_the_scale_of_a_normal_error_of_that_mean_size(error):
    # A normal error of deviation 1 has a mean size of 0.798, about 1 / 1.25.
    assert 1.25 * np.sqrt(2 / np.pi) == pytest.approx(1, abs=0.003)
    sizes = torch.full((2, 3), error)
    for distribution in (Normal(), StudentT()):
        made = distribution.parameters(distribution.start(sizes)).numpy()
        assert (made[..., 0] == 0).all()
        np.testing.assert_allclose(made[..., 1], 1.25 * error, rtol=1e-3, atol=1.1e-4)
    quantiles = Quantiles(LEVELS)
    made = quantiles.parameters(quantiles.start(sizes)).numpy()
    expected = np.broadcast_to(1.25 * error * Z, made.shape)
    np.testing.assert_allclose(made, expected, rtol=1e-3, atol=1e-5)


def test_start_of_a_t_has_six_degrees_of_freedom():
    t = StudentT()
    assert t.parameters(t.start(torch.ones(1)))[0, 2].item() == pytest.approx(6, abs=0.05)


def test_start_of_no_error_is_narrow_but_finite():
    for distribution in (Normal(), StudentT(), Quantiles(LEVELS)):
        made = distribution.parameters(distribution.start(torch.zeros(1)))
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


def test_loss_of_the_median_alone_is_the_absolute_error():
    made = loss_of(Quantiles([0.5]), [[1.0], [4.0]], [3.0, 3.5])
    assert made.tolist() == [2.0, 0.5]


@pytest.mark.parametrize("level", [0.1, 0.5, 0.8])
def test_loss_of_a_quantile_is_least_at_that_quantile(level):
    values = rng.normal(size=1001)
    guesses = np.linspace(-2, 2, 401)
    losses = [loss_of(Quantiles([level]), np.full((1001, 1), g), values).mean() for g in guesses]
    best = guesses[np.argmin(losses)]
    assert best == pytest.approx(np.quantile(values, level), abs=0.02)


@pytest.mark.parametrize("criterion", ["mae", "mse", "huber"])
def test_loss_of_a_point_is_the_criterion(criterion):
    made = loss_of(Point(CRITERIA[criterion]), [[1.0], [1.0]], [1.5, 4.0])
    expected = {"mae": [0.5, 3], "mse": [0.25, 9], "huber": [0.125, 2.5]}[criterion]
    assert made.tolist() == expected


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
    parameters = distribution.parameters(torch.zeros(50, distribution.n_parameters))
    before = torch.get_rng_state()
    one, same, other = (
        distribution.sample(parameters, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert not torch.isclose(one, other).any()
    assert torch.equal(torch.get_rng_state(), before)


def test_single_quantile_is_a_single_value():
    distribution = Quantiles([0.3])
    parameters = torch.tensor([[1.0], [7.0]])
    assert distribution.sample(parameters, torch.Generator()).tolist() == [1.0, 7.0]
    assert distribution.quantiles(parameters.numpy(), [0.1, 0.9]).tolist() == [[1, 1], [7, 7]]
    assert distribution.point(parameters).tolist() == [1.0, 7.0]


# --------------------------------------------------- equally likely values


def test_quantiles_mean_and_variance_of_equally_likely_values_by_hand():
    values = np.array([[4.0, 0.0, 3.0, 1.0, 2.0], [7.0, 7.0, 7.0, 7.0, 7.0]])
    samples = Samples()
    # Value k of five stands at level (k + 1/2) / 5; between them it is linear.
    made = samples.quantiles(values, [0.01, 0.1, 0.2, 0.5, 0.9, 0.99])
    np.testing.assert_allclose(made, [[0, 0, 0.5, 2, 4, 4], [7] * 6])
    assert samples.point(values).tolist() == [2.0, 7.0]
    assert samples.variance(values).tolist() == [2.0, 0.0]


def test_quantiles_taken_as_values_give_the_same_quantiles():
    levels = (np.arange(50) + 0.5) / 50
    values = Normal().quantiles(NORMAL, levels)
    np.testing.assert_allclose(Samples().quantiles(values, levels), values, rtol=1e-9)


# ----------------------------------------------------------------- residuals


@pytest.mark.parametrize(
    ("n", "level", "place"),
    [
        (19, 0.05, 1),  # 20 * 0.05
        (19, 0.95, 19),  # whatever 20 * 0.95 rounds to
        (19, 0.1, 2),
        (19, 0.5, 10),
        (10, 0.1, 1),  # floor of 1.1
        (10, 0.9, 10),  # ceiling of 9.9
        (10, 0.25, 2),  # floor of 2.75
        (10, 0.75, 9),  # ceiling of 8.25
        (10, 0.5, 5),  # floor of 5.5
        (99, 0.01, 1),
        (99, 0.99, 99),
        (5, 0.01, 1),  # too few to tell: the outermost
        (5, 0.99, 5),
        (1, 0.5, 1),
    ],
)
def test_conformal_quantile_is_the_residual_at_its_place(n, level, place):
    residuals = rng.permutation(np.arange(1.0, n + 1)) * 10
    made = Residuals([[residuals]]).quantiles(np.array([[[500.0, 2.0, 0.0]]]), [level])
    assert made.tolist() == [[[500 + 2 * 10 * place]]]


@pytest.mark.parametrize(
    ("n", "coverage"),
    # Enough residuals to tell: at least one of n + 1 beyond each end.
    [(9, 0.5), (9, 0.8), *((n, c) for n in (19, 20, 37, 100) for c in (0.5, 0.8, 0.9))],
)
def test_interval_covers_its_share_of_exchangeable_residuals(n, coverage):
    values = np.sort(rng.normal(size=n + 1))
    parameters = np.array([[[0.0, 1.0, 0.0]]])
    inside = 0
    for k in range(n + 1):
        others = Residuals([[np.delete(values, k)]])
        low, high = others.quantiles(parameters, [(1 - coverage) / 2, (1 + coverage) / 2])[0, 0]
        inside += low <= values[k] <= high
    assert inside >= coverage * (n + 1) - 1e-9


def test_residuals_are_those_of_the_horizon_and_the_column():
    table = [[np.array([1.0]), np.array([2.0])], [np.array([3.0]), np.array([4.0])]]
    # Of forecasts 10, 20 and so on, of errors of size 1 or 100.
    parameters = np.array(
        [
            [[10.0, 1.0, 0.0], [20.0, 1.0, 0.0]],
            [[30.0, 100.0, 1.0], [40.0, 100.0, 1.0]],
            [[50.0, 1.0, 1.0], [60.0, 100.0, 0.0]],
        ]
    )
    made = Residuals(table).quantiles(parameters, [0.1, 0.9])
    assert made[..., 0].tolist() == [[11, 22], [330, 440], [53, 260]]
    assert made[..., 1].tolist() == made[..., 0].tolist()


def test_point_of_residuals_is_the_forecast_itself():
    parameters = np.array([[[10.0, 1.0, 0.0]], [[30.0, 100.0, 0.0]]])
    assert Residuals([[np.arange(9.0)]]).point(parameters).tolist() == [[10.0], [30.0]]


def test_variance_of_residuals_grows_with_the_square_of_the_size_of_the_errors():
    residuals = np.sort(rng.normal(size=2000))
    parameters = np.array([[[10.0, 1.0, 0.0]], [[30.0, 7.0, 0.0]]])
    made = Residuals([[residuals]]).variance(parameters)[:, 0]
    np.testing.assert_allclose(made, residuals.var() * np.array([1.0, 49.0]), rtol=0.05)


# --------------------------------------------------------------------- skpro

INDEX = pd.MultiIndex.from_tuples(
    [
        ("a", pd.Timestamp("2024-01-01")),
        ("a", pd.Timestamp("2024-01-02")),
        ("b", pd.Timestamp("2024-01-01")),
    ],
    names=["series", "time"],
)
COLUMNS = pd.Index(["u", "v"])


def columns_of(parameters):
    """Parameters (3, 2, K) of three rows and two columns, no two of them alike."""
    parts = [parameters[[0, 1, 2]], parameters[[2, 0, 1]]]
    return np.stack(parts, axis=1)


RESIDUALS = Residuals([[rng.normal(size=40), rng.normal(size=30) ** 2]])
SKPRO = {
    "normal": (Normal(), columns_of(NORMAL)),
    "t": (StudentT(), columns_of(T)),
    "quantiles": (Quantiles(LEVELS), columns_of(QUANTILES)),
    "samples": (Samples(), rng.normal(size=(3, 2, 500))),
    "residuals": (RESIDUALS, columns_of(np.array([[3.0, 1.0, 0], [9.0, 2.0, 0], [0.0, 5.0, 0]]))),
}


@pytest.mark.parametrize("index", [INDEX, pd.RangeIndex(3)], ids=["panel", "series"])
@pytest.mark.parametrize("name", SKPRO)
def test_distribution_of_skpro_has_the_same_quantiles_and_labels(name, index):
    distribution, parameters = SKPRO[name]
    made = distribution.skpro(parameters, index=index, columns=COLUMNS)
    pd.testing.assert_index_equal(made.index, index)
    pd.testing.assert_index_equal(made.columns, COLUMNS)
    levels = [0.1, 0.5, 0.8]
    frame = made.quantile(levels)
    expected = distribution.quantiles(parameters, levels)
    # Equally likely values tell a level up to one of them.
    low, high = (distribution.quantiles(parameters, np.array(levels) + e) for e in (-0.006, 0.006))
    for c, column in enumerate(COLUMNS):
        for a, level in enumerate(levels):
            values = frame[(column, level)].to_numpy()
            if name in ("normal", "t"):
                np.testing.assert_allclose(values, expected[:, c, a], rtol=1e-9)
            assert (low[:, c, a] <= values + 1e-9).all()
            assert (values <= high[:, c, a] + 1e-9).all()


@pytest.mark.parametrize("name", SKPRO)
def test_distribution_of_skpro_has_the_same_variance(name):
    distribution, parameters = SKPRO[name]
    made = distribution.skpro(parameters, index=INDEX, columns=COLUMNS).var()
    np.testing.assert_allclose(made, distribution.variance(parameters), rtol=1e-6)


# ----------------------------------------------------------- distribution_of


@pytest.mark.parametrize(
    ("criterion", "kind", "n_parameters"),
    [
        ("mae", Point, 1),
        ("mse", Point, 1),
        ("huber", Point, 1),
        (nn.L1Loss(), Point, 1),
        ("normal", Normal, 2),
        ("studentt", StudentT, 3),
        ("quantile", Quantiles, 7),
    ],
)
def test_criterion_tells_the_distribution(criterion, kind, n_parameters):
    made = distribution_of(criterion, LEVELS)
    assert type(made) is kind
    assert made.n_parameters == n_parameters
    assert made.is_probabilistic is (kind is not Point)
