"""What untrained strategies forecast: mixes of naive forecasts, recursively or all at once."""

import numpy as np
import pandas as pd
import pytest
import torch
from small_networks import AT_ONCE, FULL, POINT, W, data_of, model_of, network_of, panel_of

from skrnn.data.covariates import Covariates
from skrnn.data.panel import Panel
from skrnn.distributions import Normal
from skrnn.features.features import Features
from skrnn.forecasting.samples import Samples
from skrnn.forecasting.strategies import MultiOutput, Recursive
from skrnn.naive import naive_kinds
from skrnn.network.cells import CELLS
from skrnn.network.network import RecurrentNetwork

pytestmark = pytest.mark.usefixtures("one_thread")


def naive_forecast(values, sp, naive, cutoff, horizon, horizons=None, level_period=1):
    """Forecast of an untrained network: the mean of naive forecasts and no correction."""
    strategy = Recursive() if horizons is None else MultiOutput(horizons)
    sp = () if sp is None else (sp,)
    kinds = naive_kinds((naive,) if isinstance(naive, str) else naive)
    features = Features(sp, (), kinds, (), 1, strategy, level_period=level_period)
    panel = Panel.from_pandas(pd.DataFrame({"y": values}), None, Covariates.of(None, ()))
    torch.manual_seed(0)
    network = RecurrentNetwork(features, POINT, CELLS["gru"], 2, 1, 0.0)
    panel = panel.extended(horizon, np.zeros((1, horizon, 0)))
    steps = np.arange(1, horizon + 1) if horizons is None else np.array(horizons)
    model = model_of(network, panel)
    distribution, parameters = model.forecast(panel, np.zeros(1, int), np.array([cutoff]), steps)
    return distribution.point(parameters)[0, :, 0]


# ------------------------------------------------------------------------ recursive


def test_lag_shorter_than_the_horizon_reads_the_forecasts():
    values = np.random.default_rng(0).normal(size=20).round(2)
    forecast = naive_forecast(values, 3, "seasonal", 20, 8)
    expected = values[[17, 18, 19, 17, 18, 19, 17, 18]]
    np.testing.assert_allclose(forecast, expected, rtol=0, atol=1e-6)


def test_last_value_stays():
    forecast = naive_forecast(np.arange(20.0), 3, "last", 20, 4)
    assert forecast.tolist() == [19.0] * 4


def test_shifted_season_continues_a_seasonal_trend():
    t = np.arange(40)
    values = 0.5 * t + np.array([0.0, 2.0, -1.0, 4.0])[t % 4]
    forecast = naive_forecast(values[:30], 4, "shifted", 30, 10)
    np.testing.assert_allclose(forecast, values[30:], rtol=0, atol=1e-4)


def recursion(s, names, m, horizon):
    """The mean of naive forecasts of one step, which is appended as an observation, by hand."""
    s = list(s)
    for _ in range(horizon):
        naive = {"last": s[-1], "mean": np.mean(s[-m:])}
        if len(s) >= m:
            naive["averaged"] = np.mean(s[-m::-m][:3])
        if len(s) >= 2 * m:
            rise = np.mean(s[-m:]) - np.mean(s[-2 * m : -m])
            naive["leveled"], naive["drift"] = s[-m] + rise, s[-1] + rise / m
        s.append(np.mean([naive[name] for name in names if name in naive]))
    return s[-horizon:]


@pytest.mark.parametrize(
    ("names", "n"),
    [
        *((("mean",), n) for n in (1, 3, 4, 7, 50)),
        *((("averaged",), n) for n in (4, 5, 7, 8, 11, 12, 50)),
        *(((name,), n) for name in ("leveled", "drift") for n in (8, 9, 50)),
        # Before there are two seasons, forecasts included, the last value is alone.
        *((("last", name), n) for name in ("leveled", "drift") for n in (1, 3, 4, 7, 8)),
        *((("last", "mean", "averaged", "leveled"), n) for n in (1, 4, 7, 20)),
    ],
)
def test_recursive_naive_forecasts_are_made_of_the_forecasts_before(names, n):
    values = np.random.default_rng(0).normal(size=n)
    forecast = naive_forecast(values, 4, names, n, 13)
    np.testing.assert_allclose(forecast, recursion(values, names, 4, 13), rtol=0, atol=1e-5)


@pytest.mark.parametrize("n", [1, 4, 7, 8, 50])
def test_recursive_level_without_a_season_is_made_of_the_forecasts_before(n):
    values = np.random.default_rng(0).normal(size=n)
    names = ("last", "mean", "drift")
    forecast = naive_forecast(values, None, names, n, 13, level_period=4)
    np.testing.assert_allclose(forecast, recursion(values, names, 4, 13), rtol=0, atol=1e-5)


@pytest.mark.parametrize("naive", ["mean", "averaged", "leveled", "drift"])
@pytest.mark.parametrize("n", [1, 3, 7])
def test_first_of_several_steps_is_the_only_one_even_of_a_short_series(naive, n):
    values = 5 + np.random.default_rng(0).normal(size=n)
    one = naive_forecast(values, 4, naive, n, 1)
    several = naive_forecast(values, 4, naive, n, 3)
    np.testing.assert_allclose(several[:1], one, rtol=0, atol=1e-5)


def test_some_steps_of_a_recursion_are_those_of_all():
    panel, series = panel_of(), np.array([0, 2])
    model, rows = model_of(network_of(), panel), np.array([20, 9])
    _, every = model.forecast(panel, series, rows, np.arange(1, 7))
    _, some = model.forecast(panel, series, rows, np.array([2, 6]))
    np.testing.assert_array_equal(some, every[:, [1, 5]])


def test_recursive_reads_rows_and_X_up_to_the_last_step():
    strategy, steps = Recursive(), np.array([-3, 0, 2, 5])
    assert strategy.n_rows_ahead(steps) == 5
    assert strategy.rows_with_X(steps).tolist() == [1, 2, 3, 4, 5]
    assert strategy.n_rows_ahead(np.array([-3, 0])) == 0
    assert strategy.rows_with_X(np.array([-3, 0])).tolist() == []


def test_single_step_of_a_distribution_is_its_quantiles_and_several_are_simulated_paths():
    panel, n = panel_of(), 20
    network = network_of(distribution=Normal())
    model, series, rows = model_of(network, panel), np.array([0]), np.array([20])
    one, values = model.forecast(panel, series, rows, np.array([1]), n)
    assert isinstance(one, Samples)
    parameters = model.decoder(panel, data_of(panel), series, rows).parameters()
    levels = (np.arange(n) + 0.5) / n
    expected = network.distribution.quantiles(parameters.astype(float), levels)
    np.testing.assert_allclose(values, expected, rtol=1e-6)

    generator = torch.Generator().manual_seed(3)
    _, paths = model.forecast(panel, series, rows, np.array([1, 2]), n, generator)
    decoder = model.decoder(panel, data_of(panel), series, rows)
    expected = decoder.paths(2, n, torch.Generator().manual_seed(3))
    np.testing.assert_allclose(paths, expected, rtol=1e-6)


# -------------------------------------------------------------------- all at once


@pytest.mark.parametrize("naive", ["seasonal", "shifted", "leveled"])
def test_naive_forecasts_of_horizons_at_once_continue_a_seasonal_trend(naive):
    t = np.arange(60)
    season = np.array([0.0, 2.0, -1.0, 4.0])[t % 4]
    values = 0.5 * t + season
    forecast = naive_forecast(values[:30], 4, naive, 30, 10, horizons=tuple(range(1, 11)))
    # The season of the last known steps is at their own level: k seasons of 4 steps back.
    back = 4 * -(-np.arange(1, 11) // 4)
    expected = values[30:40] - (0.5 * back if naive == "seasonal" else 0.0)
    np.testing.assert_allclose(forecast, expected, rtol=0, atol=1e-4)


def test_mean_of_horizons_at_once_is_that_of_the_last_season():
    values = np.random.default_rng(0).normal(size=20)
    forecast = naive_forecast(values, 4, "mean", 20, 10, horizons=(1, 10))
    np.testing.assert_allclose(forecast, values[-4:].mean(), rtol=0, atol=1e-6)


def test_some_of_several_horizons_are_those_of_all():
    panel, series = panel_of(), np.array([0, 2])
    model, rows = model_of(network_of(features=AT_ONCE), panel), np.array([20, 9])
    _, every = model.forecast(panel, series, rows, np.array(AT_ONCE.horizons))
    _, some = model.forecast(panel, series, rows, np.array([2, 6]))
    np.testing.assert_array_equal(some, every[:, [1, 2]])


@pytest.mark.parametrize("step", [3, 7])
def test_step_that_is_no_horizon_is_refused(step):
    panel = panel_of()
    model = model_of(network_of(features=AT_ONCE), panel)
    with pytest.raises(ValueError, match=rf"\[1, 2, 6\], but got step {step}\. Fit with it"):
        model.forecast(panel, np.array([0]), np.array([20]), np.array([1, step]))


def test_several_horizons_read_rows_up_to_the_last_and_X_of_the_first_and_the_steps_asked_for():
    strategy = MultiOutput((2, 5, 9))
    for steps in (np.array([5]), np.array([-3, 0, 5])):
        assert strategy.n_rows_ahead(steps) == 9
        assert strategy.rows_with_X(steps).tolist() == [1, 5]


def test_strategies_read_and_forecast_what_they_say():
    assert (FULL.strategy, AT_ONCE.strategy) == (Recursive(), MultiOutput((1, 2, 6)))
    assert FULL.offsets == FULL.naive_offsets
    assert set(AT_ONCE.offsets) == {1, 2, 4}  # the last change and the lags
    assert Recursive().n_outputs(n_columns=2, n_past=3) == 5
    assert MultiOutput((1,)).n_outputs(n_columns=2, n_past=3) == 2
    assert FULL.history > W  # naive forecasts read further back than the run
