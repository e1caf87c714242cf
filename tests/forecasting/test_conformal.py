import numpy as np
import pytest
from small_errors import held_out

from skpro_checks import INDICES, check_quantiles_and_labels, check_variance, columns_of
from skrnn.forecasting.conformal import Calibrated

rng = np.random.default_rng(0)


def calibrated(table, steps=None):
    """Calibrated forecasts of one series, from held-out errors of each horizon and column."""
    longest = max(len(errors) for row in table for errors in row)
    errors = np.full((1, longest, len(table), len(table[0])), np.nan)
    for j, row in enumerate(table):
        for c, column in enumerate(row):
            errors[0, : len(column), j, c] = column
    steps = np.arange(1, len(table) + 1) if steps is None else steps
    return Calibrated(held_out(errors, longest, steps))


def parameters_of(forecasts, count=0):
    """Parameters, from point forecasts, sizes of their errors and horizons, (n, C, 3)."""
    forecast, size, horizon = np.moveaxis(np.asarray(forecasts, dtype=float), -1, 0)
    bounds = [0 * size - np.inf, 0 * size + np.inf]
    place = [0 * size, 0 * size + count, horizon]
    return np.stack([forecast, forecast, size, *bounds, *place], axis=-1)


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
        (99, 0.55, 55),  # 100 * 0.55 is 55.00000000000001
        (99, 0.29, 29),  # 100 * 0.29 is 28.999999999999996
        (5, 0.01, 1),  # too few to tell: the outermost
        (5, 0.99, 5),
        (1, 0.5, 1),
    ],
)
def test_conformal_quantile_is_the_residual_at_its_place(n, level, place):
    residuals = rng.permutation(np.arange(1.0, n + 1)) * 10
    made = calibrated([[residuals]]).quantiles(parameters_of([[[500.0, 2.0, 0.0]]]), [level])
    assert made.tolist() == [[[500 + 2 * 10 * place]]]


@pytest.mark.parametrize(
    ("n", "coverage"),
    # Enough residuals to tell: at least one of n + 1 beyond each end.
    [(9, 0.5), (9, 0.8), *((n, c) for n in (19, 20, 37, 100) for c in (0.5, 0.8, 0.9))],
)
def test_interval_covers_its_share_of_exchangeable_residuals(n, coverage):
    values = np.sort(rng.normal(size=n + 1))
    parameters = parameters_of([[[0.0, 1.0, 0.0]]])
    inside = 0
    for k in range(n + 1):
        others = calibrated([[np.delete(values, k)]])
        low, high = others.quantiles(parameters, [(1 - coverage) / 2, (1 + coverage) / 2])[0, 0]
        inside += low <= values[k] <= high
    assert inside >= coverage * (n + 1) - 1e-9


def test_residuals_are_those_of_the_horizon_and_the_column():
    table = [[np.array([1.0]), np.array([2.0])], [np.array([3.0]), np.array([4.0])]]
    # Of forecasts 10, 20 and so on, of errors of size 1 or 100.
    parameters = parameters_of(
        [
            [[10.0, 1.0, 0.0], [20.0, 1.0, 0.0]],
            [[30.0, 100.0, 1.0], [40.0, 100.0, 1.0]],
            [[50.0, 1.0, 1.0], [60.0, 100.0, 0.0]],
        ]
    )
    made = calibrated(table).quantiles(parameters, [0.1, 0.9])
    assert made[..., 0].tolist() == [[11, 22], [330, 440], [53, 260]]
    assert made[..., 1].tolist() == made[..., 0].tolist()


def test_point_of_residuals_is_the_forecast_itself():
    parameters = parameters_of([[[10.0, 1.0, 0.0]], [[30.0, 100.0, 0.0]]])
    assert calibrated([[np.arange(9.0)]]).point(parameters).tolist() == [[10.0], [30.0]]


def test_variance_of_residuals_grows_with_the_square_of_the_size_of_the_errors():
    residuals = np.sort(rng.normal(size=2000))
    parameters = parameters_of([[[10.0, 1.0, 0.0]], [[30.0, 7.0, 0.0]]])
    made = calibrated([[residuals]]).variance(parameters)[:, 0]
    np.testing.assert_allclose(made, residuals.var() * np.array([1.0, 49.0]), rtol=0.05)


def test_quantiles_of_a_forecast_are_those_after_the_errors_that_were_known():
    made = Calibrated(held_out(rng.normal(size=(1, 50, 1, 1)), 20))
    tracked = made.errors.tracked(np.array([0.2, 0.7]), np.arange(51))[0, :, 0, 0]
    for count in (0, 1, 50):
        quantiles = made.quantiles(parameters_of([[[10.0, 2.0, 0.0]]], count), [0.7, 0.2])
        np.testing.assert_allclose(quantiles[0, 0], 10 + 2 * tracked[count, ::-1])


# --------------------------------------------------------------------- skpro

CALIBRATED = calibrated([[rng.normal(size=400), rng.normal(size=300) ** 2]])
PARAMETERS = parameters_of(columns_of(np.array([[3.0, 1.0, 0], [9.0, 2.0, 0], [0.0, 5.0, 0]])))


@pytest.mark.parametrize("index", INDICES, ids=["panel", "series"])
def test_distribution_of_skpro_has_the_same_quantiles_and_labels(index):
    check_quantiles_and_labels(CALIBRATED, PARAMETERS, index, has_formula=False)


def test_distribution_of_skpro_has_the_same_variance():
    check_variance(CALIBRATED, PARAMETERS)
