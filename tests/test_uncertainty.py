"""Intervals, quantiles, variances and distributions: consistent with each other, and right."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from skrnn import GRUForecaster, LSTMForecaster, backtest
from skrnn.datasets import make_hourly_load

pytestmark = pytest.mark.usefixtures("one_thread")

LEVELS = [0.05, 0.25, 0.5, 0.75, 0.95]
SMALL = {"hidden_size": 8, "num_epochs": 5, "window_length": 48, "random_state": 0}
KINDS = {
    f"{strategy} {name}": SMALL | {"strategy": strategy} | options
    for strategy in ("recursive", "multioutput")
    for name, options in {
        "normal": {"criterion": "normal"},
        "studentt": {"criterion": "studentt"},
        "quantile": {"criterion": "quantile"},
        "two quantiles": {"criterion": "quantile", "quantiles": [0.1, 0.9]},
        "conformal": {"validation_split": 0.2},
    }.items()
}
FH = [-1, 0, 1, 2, 24]


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS)
def fitted(request):
    y = make_hourly_load(n_series=2, n_hours=400, random_state=0)
    return GRUForecaster(**request.param).fit(y, fh=FH)


def test_quantiles_do_not_cross_and_cover_the_point_forecast(fitted):
    quantiles = fitted.predict_quantiles(fh=FH, alpha=LEVELS)["load_mw"]
    assert (np.diff(quantiles, axis=1) >= 0).all()
    point = fitted.predict(fh=FH)["load_mw"]
    assert ((point > quantiles[0.05]) & (point < quantiles[0.95])).all()


def test_interval_is_a_pair_of_quantiles(fitted):
    interval = fitted.predict_interval(fh=FH, coverage=0.9)["load_mw"][0.9]
    quantiles = fitted.predict_quantiles(fh=FH, alpha=[0.05, 0.95])["load_mw"]
    np.testing.assert_allclose(interval.to_numpy(), quantiles.to_numpy(), rtol=1e-6)


def test_distribution_has_the_quantiles_and_the_variance(fitted):
    made = fitted.predict_proba(fh=FH)
    quantiles = fitted.predict_quantiles(fh=FH, alpha=LEVELS).to_numpy()
    width = (quantiles[:, -1] - quantiles[:, 0])[:, None]
    difference = made.quantile(LEVELS).to_numpy() - quantiles
    # A step function of 200 values against one that is interpolated.
    assert (np.abs(difference) < 0.1 * width).all()
    variance = fitted.predict_var(fh=FH).to_numpy()
    np.testing.assert_allclose(made.var().to_numpy(), variance, rtol=0.02)


def test_forecasts_of_distributions_repeat_with_the_seed(fitted):
    one, other = (fitted.predict_quantiles(fh=FH, alpha=LEVELS) for _ in range(2))
    pd.testing.assert_frame_equal(one, other)


def test_uncertainty_grows_with_the_horizon_of_a_random_walk():
    y = pd.Series(np.random.default_rng(0).normal(size=1500).cumsum())
    for kind, parameters in KINDS.items():
        settings = parameters | {"sp": None, "num_epochs": 20}
        forecaster = GRUForecaster(**settings).fit(y, fh=[1, 4, 9])
        spread = np.sqrt(forecaster.predict_var(fh=[1, 4, 9]).to_numpy().ravel())
        # Steps are normal with deviation 1: after h of them the deviation is the root of h.
        assert spread == pytest.approx([1, 2, 3], rel=0.3), kind


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_cover_what_they_claim_on_later_data(kind):
    t = np.arange(4000)
    noise = np.random.default_rng(1).normal(size=len(t))
    y = pd.Series(10 * np.sin(2 * np.pi * t / 12) + noise)
    settings = KINDS[kind] | {"sp": 12, "num_epochs": "auto", "validation_split": 0.2}
    forecaster = GRUForecaster(**settings).fit(y[:3000], fh=[1, 12])
    table = backtest(forecaster, y, fh=[1, 12], start=2999, step_length=3, alpha=[0.05, 0.95])
    inside = (table["y_true"] > table["y_pred_0.05"]) & (table["y_true"] < table["y_pred_0.95"])
    cover = inside.groupby(np.arange(len(inside)) % 2).mean()
    assert cover.between(0.85, 0.955).all(), cover.to_list()
    # The noise alone is 3.3 wide, the seasonal naive forecast's errors 4.7.
    width = (table["y_pred_0.95"] - table["y_pred_0.05"]).mean()
    assert 2.9 < width < 4.7


@pytest.mark.parametrize("criterion", ["normal", "studentt"])
def test_parametric_forecast_has_the_scale_of_the_noise(criterion):
    rng = np.random.default_rng(2)
    noise = rng.normal(size=3000) if criterion == "normal" else rng.standard_t(4, size=3000)
    settings = SMALL | {"strategy": "multioutput", "sp": None, "num_epochs": "auto"}
    y = pd.Series(5 + 2 * noise)
    forecaster = GRUForecaster(criterion=criterion, **settings).fit(y, fh=[1, 2])
    quantiles = forecaster.predict_quantiles(alpha=[0.1, 0.9]).to_numpy()
    true = stats.norm if criterion == "normal" else stats.t(4)
    assert np.diff(quantiles) == pytest.approx(2 * np.diff(true.ppf([0.1, 0.9]))[0], rel=0.25)
    assert quantiles.mean(axis=1) == pytest.approx(5, abs=1)


def test_conformal_interval_is_the_rank_of_the_held_out_residuals():
    y = pd.Series(np.random.default_rng(3).normal(size=200))
    forecaster = GRUForecaster(**SMALL | {"validation_split": 0.245, "sp": None}).fit(y)
    held = 49  # ceil(0.245 * 200)
    table = backtest(forecaster, y, fh=1, start=200 - held - 1)
    residual = np.sort(table["y_true"] - table["y_pred"])
    assert len(residual) == held
    interval = forecaster.predict_interval(fh=1, coverage=0.9).to_numpy()[0]
    point = forecaster.predict(fh=1).iloc[0]
    # Ranks floor(50 * 0.05) = 2 and ceil(50 * 0.95) = 48 of 49.
    assert interval - point == pytest.approx([residual[1], residual[47]], rel=1e-4)


def test_series_that_are_forecast_worse_get_wider_conformal_intervals():
    rng = np.random.default_rng(4)
    t = np.arange(600)
    y = {
        name: pd.DataFrame({"y": 10 * np.sin(2 * np.pi * t / 12) + size * rng.normal(size=600)})
        for name, size in {"calm": 0.1, "wild": 3.0}.items()
    }
    forecaster = GRUForecaster(**SMALL | {"validation_split": 0.3, "sp": 12}).fit(pd.concat(y))
    interval = forecaster.predict_interval(fh=[1], coverage=0.9).to_numpy()
    width = interval[:, 1] - interval[:, 0]
    assert width[1] > 10 * width[0]


def test_tags_follow_the_criterion_and_the_held_out_rows():
    def can(**parameters):
        return LSTMForecaster(**parameters).get_tag("capability:pred_int")

    # Held-out rows choose the epochs, and their errors make intervals.
    assert can()
    assert can(criterion="mse")
    assert not can(num_epochs=5)
    assert not can(validation_split=None)
    assert can(num_epochs=5, criterion="normal")
    assert can(num_epochs=5, criterion="quantile")
    assert can(num_epochs=5, validation_split=0.1)
    assert LSTMForecaster().set_params(criterion="studentt").get_tag("capability:pred_int")
    assert (
        not LSTMForecaster(criterion="normal", num_epochs=5)
        .set_params(criterion="mae")
        .get_tag("capability:pred_int")
    )
    with pytest.raises(NotImplementedError, match="LSTMForecaster"):
        LSTMForecaster(**SMALL).fit(pd.Series(np.arange(30.0))).predict_interval(fh=1)


def test_more_steps_than_were_held_out_have_no_interval():
    forecaster = GRUForecaster(**SMALL | {"validation_split": 0.1}).fit(pd.Series(np.arange(50.0)))
    assert forecaster.predict_interval(fh=[5]).notna().all(axis=None)
    with pytest.raises(ValueError, match=r"held-out rows 6 steps ahead, but 5 rows are held out"):
        forecaster.predict_interval(fh=[6])


@pytest.mark.parametrize("kind", KINDS)
def test_quantiles_of_a_backtest_are_those_of_predict(kind):
    y = make_hourly_load(n_series=1, n_hours=460, random_state=0).droplevel(0)["load_mw"]
    forecaster = GRUForecaster(**KINDS[kind] | {"n_samples": 2000}).fit(y[:400], fh=[1, 3])
    table = backtest(forecaster, y[:410], fh=[1, 3], start=399, alpha=[0.1, 0.9])
    quantiles = forecaster.predict_quantiles(fh=[1, 3], alpha=[0.1, 0.9]).to_numpy()
    made = table[["y_pred_0.1", "y_pred_0.9"]].iloc[:2].to_numpy()
    width = quantiles[:, 1] - quantiles[:, 0]
    # Sampled paths differ by chance, all else not at all.
    tolerance = 0.1 if kind.startswith("recursive") and "conformal" not in kind else 1e-3
    assert (np.abs(made - quantiles) < tolerance * width[:, None]).all()
    points = forecaster.predict(fh=[1, 3])
    np.testing.assert_allclose(table["y_pred"].iloc[:2], points, rtol=1e-5)


def test_backtest_without_a_distribution_has_no_quantiles():
    y = pd.Series(np.arange(60.0))
    forecaster = GRUForecaster(**SMALL).fit(y[:50])
    with pytest.raises(ValueError, match=r"criterion='mae' makes points.*'quantile'"):
        backtest(forecaster, y, alpha=0.1)
    with pytest.raises(ValueError, match=r"levels in \(0, 1\)"):
        backtest(forecaster, y, alpha=[0.1, 1.0])


@pytest.mark.parametrize("quantiles", [[0.9], [0.5], [0.5, 0.5]], ids=str)
def test_interval_needs_two_quantile_levels(quantiles):
    forecaster = GRUForecaster(**SMALL | {"criterion": "quantile", "quantiles": quantiles})
    with pytest.raises(ValueError, match="quantiles"):
        forecaster.fit(pd.Series(np.arange(60.0)))
