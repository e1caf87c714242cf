import numpy as np
import pytest
from scipy import stats
from small_errors import held_out

from skrnn.forecasting import adaptation
from skrnn.forecasting.adaptation import (
    ADAPTATIONS,
    FORGETTING,
    SIZE_RATES,
    WEIGHT_RATE,
    HeldOutErrors,
)

rng = np.random.default_rng(0)


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


@pytest.fixture
def one_step_size(monkeypatch):
    monkeypatch.setattr(adaptation, "ADAPTATIONS", np.array([0.08]))
    monkeypatch.setattr(adaptation, "SIZE_RATES", np.array([]))
    return 0.08


@pytest.fixture
def one_size_rate(monkeypatch):
    monkeypatch.setattr(adaptation, "ADAPTATIONS", np.array([]))
    monkeypatch.setattr(adaptation, "SIZE_RATES", np.array([0.1]))
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
        monkeypatch.setattr(adaptation, "ADAPTATIONS", np.array([step_size]))
        monkeypatch.setattr(adaptation, "SIZE_RATES", np.array([]))
        alone.append(errors.tracked(level, counts)[0, :, 0, 0, 0])
    for rate in SIZE_RATES:
        monkeypatch.setattr(adaptation, "ADAPTATIONS", np.array([]))
        monkeypatch.setattr(adaptation, "SIZE_RATES", np.array([rate]))
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
