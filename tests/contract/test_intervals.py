"""Intervals: a forecaster of points says what would give it a distribution."""

import numpy as np
import pytest

from skrnn import GRUForecaster
from skrnn.contract.intervals import GIVEN
from small_cases import SMALL, cells, noisy

pytestmark = pytest.mark.usefixtures("one_thread")

PROBABILISTIC = {
    "predict_interval": {"coverage": 0.9},
    "predict_quantiles": {"alpha": [0.1, 0.9]},
    "predict_var": {},
    "predict_proba": {},
}


@cells
@pytest.mark.parametrize("method", PROBABILISTIC)
def test_forecaster_of_points_names_what_gives_intervals(cell, method):
    forecaster = cell(**SMALL, criterion="mse").fit(noisy())
    with pytest.raises(NotImplementedError) as error:
        getattr(forecaster, method)(fh=[1], **PROBABILISTIC[method])
    for words in (
        method,
        GIVEN[method],
        "criterion='mse'",
        "criterion='quantile'",
        "validation_split",
    ):
        assert words in str(error.value)
    assert "sktime" not in str(error.value)


@pytest.mark.parametrize("method", PROBABILISTIC)
@pytest.mark.parametrize(
    "options",
    [
        {"criterion": "normal"},
        {"criterion": "studentt"},
        {"criterion": "quantile"},
        {"validation_split": 0.2},
    ],
    ids=str,
)
def test_each_way_that_the_message_names_gives_a_distribution(options, method):
    forecaster = GRUForecaster(**SMALL, n_samples=10, **options).fit(noisy())
    made = getattr(forecaster, method)(fh=[1, 2], **PROBABILISTIC[method])
    assert len(made) == 2
    if method in ("predict_interval", "predict_quantiles"):
        assert (np.diff(made.to_numpy(), axis=1) > 0).all()


@pytest.mark.parametrize("options", [{"criterion": "normal"}, {"validation_split": 0.2}])
def test_covariances_are_refused(options):
    forecaster = GRUForecaster(**SMALL, **options).fit(noisy())
    with pytest.raises(NotImplementedError, match=r"GRUForecaster predicts the variance .*cov"):
        forecaster.predict_var(fh=[1, 2], cov=True)
    assert (forecaster.predict_var(fh=[1, 2], cov=False) > 0).all(axis=None)


def test_tag_says_whether_intervals_are_available_and_follows_set_params():
    assert GRUForecaster().get_tag("capability:pred_int")
    assert not GRUForecaster(num_epochs=5).get_tag("capability:pred_int")
    for options in ({"criterion": "quantile"}, {"validation_split": 0.1}, {"num_epochs": "auto"}):
        forecaster = GRUForecaster(num_epochs=5)
        assert forecaster.set_params(**options).get_tag("capability:pred_int")


@pytest.mark.parametrize("coverage", [90, 1.0, 0, [0.5, 90], "wide", True], ids=str)
def test_coverage_that_is_no_fraction_is_refused(coverage):
    forecaster = GRUForecaster(criterion="normal", **SMALL).fit(noisy(30))
    with pytest.raises(
        ValueError, match=r"'coverage' parameter must hold levels in \(0, 1\)\. Got"
    ):
        forecaster.predict_interval(fh=[1], coverage=coverage)
    with pytest.raises(ValueError, match=r"'alpha' parameter must hold levels in \(0, 1\)\. Got"):
        forecaster.predict_quantiles(fh=[1], alpha=coverage)
