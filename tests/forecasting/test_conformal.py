import numpy as np
import pytest
from scipy import stats

from skpro_checks import INDICES, check_quantiles_and_labels, check_variance, columns_of
from skrnn.forecasting import conformal
from skrnn.forecasting.conformal import (
    ADAPTATIONS,
    FORGETTING,
    SIZE_RATES,
    WEIGHT_RATE,
    Calibrated,
    HeldOutErrors,
)

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


def held_out(errors, n_first, steps=(1,)):
    """Errors (1, G, J, C) of a cutoff in every row, of which the first ones are held out."""
    is_first = np.broadcast_to((np.arange(errors.shape[1]) < n_first)[:, None], errors.shape[1:3])
    cutoff = np.arange(errors.shape[1])[None]
    return HeldOutErrors(cutoff, errors, is_first[None], np.asarray(steps), 1)


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


def test_quantiles_of_few_overlapping_errors_are_wider():
    errors = np.sort(rng.normal(size=40)) + 3
    levels = np.array([0.01, 0.05, 0.25, 0.5, 0.9, 0.95])
    table = errors[None, :, None, None]
    first = held_out(table, 40, steps=[1]).adaptation(levels).start
    far = held_out(table, 40, steps=[4]).adaptation(levels).start
    n = 3 * 40 * 4 / (2 * 4**2 + 1)  # errors four steps ahead tell as much as so many
    outer = np.array([0.05, 0.05, 0.25, 0.9, 0.95])
    ratio = np.insert(stats.t.ppf(outer, n) / stats.t.ppf(outer, 40), 3, 1)
    median = first[0, 0, 3]
    np.testing.assert_allclose(far[0, 0], median + ratio * (first[0, 0] - median))
    assert 1.04 < ratio[1] < 1.05


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


# ------------------------------------------------------------------------ adaptation


@pytest.fixture
def one_step_size(monkeypatch):
    monkeypatch.setattr(conformal, "ADAPTATIONS", np.array([0.08]))
    monkeypatch.setattr(conformal, "SIZE_RATES", np.array([]))
    return 0.08


@pytest.fixture
def one_size_rate(monkeypatch):
    monkeypatch.setattr(conformal, "ADAPTATIONS", np.array([]))
    monkeypatch.setattr(conformal, "SIZE_RATES", np.array([0.1]))
    return 0.1


def test_quantile_moves_by_the_step_size_after_each_error_and_as_far_as_it_was_wrong(one_step_size):
    errors = np.sort(rng.normal(size=99))
    after = np.array([5.0, 5.0, -5.0])
    table = np.concatenate([errors, after])[None, :, None, None]
    found = held_out(table, 99).tracked(np.array([0.9]), np.arange(103))[0, :, 0, 0, 0]
    width = errors[89] - errors[9]  # ranks 90 and 10 of 99
    assert found[0] == errors[89]
    steps = np.diff(found)[-3:]
    np.testing.assert_allclose(steps, one_step_size * width * np.array([0.9, 0.9, -0.1]))


def test_errors_are_compared_with_the_quantile_that_the_forecast_was_made_with(one_step_size):
    # Three steps ahead, a forecast is made three errors after the last that it knows.
    table = np.full((1, 6, 1, 1), 1.0)
    table[0, :2] = [[[-1.0]], [[2.0]]]
    found = held_out(table, 2, steps=[3]).tracked(np.array([0.5]), np.arange(7))[0, :, 0, 0, 0]
    step = one_step_size * 3 / np.sqrt(3)  # the quantiles of two errors are the two themselves
    made_with = found[[0, 1, 2, 3]]
    expected = found[0] + np.cumsum(step * (0.5 - (table[0, 2:, 0, 0] <= made_with)))
    np.testing.assert_allclose(found[3:], expected)


def test_quantiles_are_the_first_ones_times_the_size_of_the_latest_errors(one_size_rate):
    errors = np.sort(rng.normal(size=99))
    table = np.concatenate([errors, [3.0, np.nan, -5.0, 0.0]])[None, :, None, None]
    found = held_out(table, 99).tracked(np.array([0.2, 0.9]), np.arange(104))[0, :, 0, 0]
    sizes = [1.0]
    for error in (3.0, None, 5.0, 0.0):
        relative = sizes[-1] if error is None else error / np.abs(errors).mean()
        sizes.append(sizes[-1] + one_size_rate * (relative - sizes[-1]))
    first = errors[[19, 89]]  # ranks 20 and 90 of 99
    np.testing.assert_allclose(found[99:], np.array(sizes)[:, None] * first)


def test_size_of_errors_several_steps_ahead_moves_less(one_size_rate):
    table = np.concatenate([np.full(9, 1.0), [3.0]])[None, :, None, None]
    found = held_out(table, 9, steps=[4]).tracked(np.array([0.5]), np.arange(11))[0, :, 0, 0, 0]
    assert found[10] == pytest.approx(1 + one_size_rate / 2 * (3 - 1))


def test_quantiles_of_forecasts_that_never_erred_follow_errors_all_the_same():
    table = np.concatenate([np.zeros(20), [1.0, 1.0]])[None, :, None, None]
    found = held_out(table, 20).tracked(np.array([0.1, 0.9]), np.arange(23))
    assert np.isfinite(found).all()


def test_step_sizes_and_size_rates_are_weighed_by_their_pinball_losses(monkeypatch):
    table = np.concatenate([np.sort(rng.normal(size=99)), rng.normal(size=40) + 1])
    errors = held_out(table[None, :, None, None], 99)
    counts, level = np.arange(140), np.array([0.9])
    found = errors.tracked(level, counts)[0, :, 0, 0, 0]
    alone = []
    for step_size in ADAPTATIONS:
        monkeypatch.setattr(conformal, "ADAPTATIONS", np.array([step_size]))
        monkeypatch.setattr(conformal, "SIZE_RATES", np.array([]))
        alone.append(errors.tracked(level, counts)[0, :, 0, 0, 0])
    for rate in SIZE_RATES:
        monkeypatch.setattr(conformal, "ADAPTATIONS", np.array([]))
        monkeypatch.setattr(conformal, "SIZE_RATES", np.array([rate]))
        alone.append(errors.tracked(level, counts)[0, :, 0, 0, 0])
    width = table[89] - table[9]
    loss = np.zeros(len(alone))
    for k in range(99, 139):
        over = table[k] - np.array([quantile[k] for quantile in alone])
        loss = (1 - FORGETTING) * loss + np.maximum(0.9 * over, -0.1 * over) / width
        expected = np.average(
            [quantile[k + 1] for quantile in alone], weights=np.exp(-WEIGHT_RATE * loss)
        )
        assert found[k + 1] == pytest.approx(expected)


def test_coverage_recovers_after_the_spread_of_the_errors_has_doubled():
    calm, wild = rng.normal(size=500), 2 * rng.normal(size=2_000)
    table = np.concatenate([calm, wild])[None, :, None, None]
    low, high = held_out(table, 500).tracked(np.array([0.05, 0.95]), np.arange(2_500))[0, :, 0, 0].T
    inside = (table[0, :, 0, 0] >= low) & (table[0, :, 0, 0] <= high)
    assert inside[500:520].mean() < 0.85
    assert abs(inside[600:].mean() - 0.9) < 0.02


def test_coverage_recovers_within_some_forty_errors_after_the_spread_has_doubled():
    errors = rng.normal(size=(100, 548)) * np.where(np.arange(548) < 500, 1, 2)
    is_first = np.broadcast_to((np.arange(548) < 300)[:, None], (100, 548, 1))
    cutoff = np.tile(np.arange(548), (100, 1))
    held = HeldOutErrors(cutoff, errors[..., None, None], is_first, np.array([1]), 1)
    found = held.tracked(np.array([0.05, 0.95]), np.arange(549))[:, :548, 0, 0]
    inside = (errors >= found[..., 0]) & (errors <= found[..., 1])
    assert abs(inside[:, 300:500].mean() - 0.9) < 0.01
    assert inside[:, 500:507].mean() < 0.7
    assert inside[:, 528:].mean() > 0.77  # with the step sizes alone 0.72


def test_missing_errors_move_nothing():
    table = np.array([1.0, 2.0, np.nan, np.nan])[None, :, None, None]
    found = held_out(table, 2).tracked(np.array([0.5]), np.arange(5))[0, :, 0, 0, 0]
    assert found[2] == found[3] == found[4]


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
