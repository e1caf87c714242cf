"""Counts: Poisson and negative binomial criteria, whose samples and quantiles are whole numbers."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from skrnn import GRUForecaster, LSTMForecaster
from skrnn.distributions import NegativeBinomial, Poisson

pytestmark = pytest.mark.usefixtures("one_thread")

ALPHA = 0.4  # dispersion of the simulated counts
STRATEGIES = ["recursive", "multioutput"]
# Mean, dispersion (of the negative binomial) and scale of values; counts are scale times values.
PARAMETERS = np.array([[0.5, 0.3, 2.0], [3.0, 1.5, 10.0], [0.01, 0.01, 7.0]])
CASES = [
    (Poisson(), PARAMETERS[:, [0, 2]], stats.poisson(PARAMETERS[:, 0] * PARAMETERS[:, 2])),
    (
        NegativeBinomial(),
        PARAMETERS,
        # Of mean m and dispersion a: 1 / a failures, each with probability 1 / (1 + a m).
        stats.nbinom(
            1 / PARAMETERS[:, 1], 1 / (1 + PARAMETERS[:, 1] * PARAMETERS[:, 0] * PARAMETERS[:, 2])
        ),
    ),
]
distributions = pytest.mark.parametrize(
    ("distribution", "parameters", "frozen"), CASES, ids=["poisson", "negbinomial"]
)


def weekly(size, seed=0, n=400, dispersion=0.0):
    """Counts with a weekly profile of this mean, and the mean of each day."""
    rng = np.random.default_rng(seed)
    index = pd.date_range("2020-01-06", periods=n, freq="D")
    profile = np.array([0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6])
    mean = size * np.resize(profile, n)
    rate = mean if not dispersion else mean * rng.gamma(1 / dispersion, dispersion, n)
    return pd.Series(rng.poisson(rate), index=index, name="sold"), pd.Series(mean, index=index)


# ------------------------------------------------------------------------- distributions


@distributions
def test_loss_is_minus_the_log_probability_but_for_a_constant_of_the_count(
    distribution, parameters, frozen
):
    scale = torch.tensor(parameters[:, -1])
    losses = [
        distribution.loss(torch.tensor(parameters), count / scale).numpy() + frozen.logpmf(count)
        for count in (0, 1, 7)
    ]
    # What is left is the logarithm of the count's factorial.
    for loss, count in zip(losses, (0, 1, 7), strict=True):
        constant = -sum(np.log(k) for k in range(1, count + 1))
        np.testing.assert_allclose(loss, constant, rtol=1e-9, atol=1e-9)


@distributions
def test_quantiles_and_variance_are_those_of_scipy_in_both_units(distribution, parameters, frozen):
    scale = parameters[:, -1:]
    levels = [0.05, 0.5, 0.9, 0.999]
    expected = np.stack([frozen.ppf(level) for level in levels], axis=-1)
    np.testing.assert_allclose(distribution.quantiles(parameters, levels) * scale, expected)
    in_data = distribution.unscaled(parameters, np.zeros_like(scale), scale)
    np.testing.assert_array_equal(distribution.quantiles(in_data, levels), expected)
    np.testing.assert_allclose(distribution.variance(in_data), frozen.var())
    np.testing.assert_allclose(distribution.point(in_data), frozen.mean())


@distributions
def test_samples_are_counts_with_the_mean_and_the_variance(distribution, parameters, frozen):
    many = torch.tensor(parameters).float().expand(40_000, -1, -1)
    drawn = distribution.sample(many, torch.Generator().manual_seed(0)).double()
    counts = drawn * torch.tensor(parameters[:, -1])
    np.testing.assert_allclose(counts, counts.round(), atol=1e-4)
    np.testing.assert_allclose(counts.mean(0), frozen.mean(), rtol=0.06)
    np.testing.assert_allclose(counts.var(0), frozen.var(), rtol=0.12)


@pytest.mark.parametrize("distribution", [Poisson(), NegativeBinomial()])
def test_mean_is_positive_and_nearly_the_location_where_that_is(distribution):
    location = torch.tensor([-5.0, 0.0, 1.0, 30.0])
    outputs = torch.zeros(4, distribution.n_outputs + 1)
    outputs[:, 0], outputs[:, -1] = location, 1.0
    mean = distribution(outputs)[:, 0]
    assert (mean > 0).all()
    np.testing.assert_allclose(mean[2:], location[2:], rtol=1e-3)
    assert mean[0] < mean[1] < 0.05


# ---------------------------------------------------------------------------- forecasters


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("criterion", "dispersion"), [("poisson", 0.0), ("negbinomial", ALPHA)])
def test_parameters_of_simulated_counts_are_recovered(strategy, criterion, dispersion):
    y, mean = weekly(20, n=900, dispersion=dispersion)
    forecaster = GRUForecaster(strategy=strategy, criterion=criterion, random_state=0)
    forecaster.fit(y[:-14], fh=range(1, 15))
    expected, variance = mean[-14:], mean[-14:] + dispersion * mean[-14:] ** 2
    assert np.abs(forecaster.predict() / expected - 1).mean() < 0.2
    assert 0.7 < (forecaster.predict_var()["sold"] / variance).mean() < 1.5


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("cls", [GRUForecaster, LSTMForecaster])
def test_quantiles_and_samples_are_whole_numbers_in_a_panel_of_unlike_series(cls, strategy):
    few, many = weekly(0.5)[0], weekly(3_000, seed=1)[0]
    y = pd.concat({"few": few, "many": many}, names=["item", "day"]).to_frame()
    forecaster = cls(
        strategy=strategy, criterion="negbinomial", hidden_size=8, num_epochs=3, random_state=0
    )
    forecaster.fit(y, fh=[1, 2, 7])
    quantiles = forecaster.predict_quantiles(alpha=[0.05, 0.5, 0.95]).to_numpy()
    np.testing.assert_array_equal(quantiles, np.rint(quantiles))
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert (quantiles >= 0).all()
    sample = forecaster.predict_proba().sample(3).to_numpy()
    np.testing.assert_array_equal(sample, np.rint(sample))
    point = forecaster.predict()["sold"]
    assert 0 < point["few"].max() < 3
    assert 500 < point["many"].min() < point["many"].max() < 10_000


def test_intervals_of_one_step_and_of_several_agree_on_the_first():
    forecaster = GRUForecaster(criterion="poisson", hidden_size=8, num_epochs=3, random_state=0)
    forecaster.set_params(n_samples=2_000).fit(weekly(5)[0])
    one = forecaster.predict_quantiles(fh=[1], alpha=[0.1, 0.5, 0.9]).to_numpy()[0]
    several = forecaster.predict_quantiles(fh=[1, 2], alpha=[0.1, 0.5, 0.9]).to_numpy()[0]
    assert np.abs(one - several).max() <= 1


@pytest.mark.parametrize(("value", "words"), [(-1.0, "is -1 at"), (2.5, "is 2.5 at")])
def test_values_that_are_no_counts_are_refused_by_name(value, words):
    y = weekly(5, n=60)[0].astype(float)
    bad = y.copy()
    bad.iloc[40] = value
    forecaster = GRUForecaster(criterion="poisson", hidden_size=4, num_epochs=1, random_state=0)
    with pytest.raises(ValueError, match=f"whole numbers of at least 0, but .*{words} 2020-02-15"):
        forecaster.fit(bad)
    forecaster.fit(y[:30])
    before = forecaster.predict(fh=[1])
    with pytest.raises(ValueError, match="whole numbers"):
        forecaster.update(bad[30:])
    pd.testing.assert_series_equal(forecaster.predict(fh=[1]), before)


def test_missing_counts_are_no_counts_that_are_refused():
    y = weekly(5, n=60)[0].astype(float)
    y.iloc[20:25] = np.nan
    forecaster = GRUForecaster(criterion="negbinomial", hidden_size=4, num_epochs=1, random_state=0)
    assert (forecaster.fit(y).predict(fh=[1, 2]) > 0).all()


def test_past_covariates_of_a_recursive_forecast_are_refused_with_the_way_out():
    y = weekly(5, n=60)[0]
    X = pd.DataFrame({"price": np.linspace(1, 2, 60)}, index=y.index)
    settings = {"criterion": "poisson", "past_covariates": ["price"], "hidden_size": 4}
    with pytest.raises(ValueError, match="Set it and pass fh in fit, or drop past_covariates"):
        GRUForecaster(num_epochs=1, **settings).fit(y, X)
    at_once = GRUForecaster(num_epochs=1, strategy="multioutput", **settings)
    assert (at_once.fit(y, X, fh=[1, 2]).predict() > 0).all()


def test_counts_are_scaled_but_not_shifted():
    y = weekly(5)[0]
    forecaster = GRUForecaster(criterion="poisson", hidden_size=4, num_epochs=1, random_state=0)
    scaler = forecaster.fit(y).scaler_
    np.testing.assert_array_equal(scaler.center_, 0.0)
    np.testing.assert_allclose(scaler.scale_, y.std(ddof=0))
