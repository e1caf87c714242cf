import pickle
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import check_scoring
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.utils import InputTags, Tags, TargetTags
from sktime.forecasting.base import BaseForecaster
from sktime.forecasting.model_evaluation import evaluate
from sktime.forecasting.model_selection import ForecastingGridSearchCV
from sktime.forecasting.naive import NaiveForecaster
from sktime.performance_metrics.forecasting import MeanAbsolutePercentageError
from sktime.split import SlidingWindowSplitter
from sktime.utils.estimator_checks import check_estimator

from skrnn.metrics import SMAPE, smape, smape_scorer

# sktime announces its 1.3 default at every construction, and turns times with a zone into periods.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*remember_data.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Converting to PeriodArray:UserWarning"),
]

JANUARY = pd.date_range("2024-01-01", periods=2, freq="D")

# y = 90, 150 and f = 110, 50: 200 * 20 / 200 = 20 and 200 * 100 / 200 = 100 percent.
TRUTH, FORECAST = [90.0, 150.0], [110.0, 50.0]


def line(index):
    """1, 2, 3, ...: the drift forecaster continues it exactly, at the right times only."""
    return pd.Series(np.arange(1.0, len(index) + 1), index=index, name="line")


def without_freq(y):
    y = y.copy()
    y.index = pd.DatetimeIndex(y.index.to_numpy(), tz=y.index.tz)
    assert y.index.freq is None
    return y


class ForSklearn:
    """What scikit-learn's searches ask of a forecaster and sktime's forecasters lack."""

    # scikit-learn 1.9 sets this during fit and deletes it afterwards; sktime's fit deletes every
    # attribute that the class does not have, and the second deletion would fail.
    _parent_callback_ctx = None

    def __sklearn_tags__(self):
        target = TargetTags(required=False)
        return Tags(estimator_type=None, target_tags=target, input_tags=InputTags())


class SklearnNaive(ForSklearn, NaiveForecaster):
    pass


class TimesX(ForSklearn, BaseForecaster):
    """Forecast `factor` times X."""

    _tags = {
        "capability:exogenous": True,
        "y_inner_mtype": "pd.Series",
        "requires-fh-in-fit": False,
    }

    def __init__(self, factor=1.0):
        self.factor = factor
        super().__init__()

    def _fit(self, y, X, fh):
        return self

    def _predict(self, fh, X):
        return self.factor * X.iloc[:, 0].loc[fh.to_absolute_index(self.cutoff)]


class StepsAhead(BaseForecaster):
    """Forecast the number of steps since the cutoff."""

    _tags = {"y_inner_mtype": "pd.Series", "requires-fh-in-fit": False}

    def _fit(self, y, X, fh):
        return self

    def _predict(self, fh, X):
        steps = fh.to_relative(self.cutoff).to_numpy()
        return pd.Series(steps, index=fh.to_absolute_index(self.cutoff), dtype=float)


# smape


@pytest.mark.parametrize(
    ("y_true", "y_pred", "percent"),
    [
        ([90.0], [110.0], 20.0),
        ([110.0], [90.0], 20.0),
        (TRUTH, FORECAST, 60.0),
        ([5.0, -5.0], [5.0, -5.0], 0.0),
        ([-90.0], [-110.0], 20.0),
        ([1.0, 2.0], [-1.0, -2.0], 200.0),
        ([0.0], [3.0], 200.0),
        ([0, 0], [0, 1], 100.0),
        ([1e-300], [3e-300], 100.0),
        ([1e308], [1.5e308], 40.0),
        ([1e308], [-1.5e308], 200.0),
        ([1e308, 90.0], [1e308, 110.0], 10.0),
        ([5e-324], [1e-323], 200 / 3),
        ([[90.0, 0.0], [150.0, 10.0]], [[110.0, 0.0], [50.0, 30.0]], 55.0),
    ],
)
def test_smape_equals_hand_computed_percent(y_true, y_pred, percent):
    assert smape(y_true, y_pred) == pytest.approx(percent, abs=1e-12)


def test_zero_over_zero_counts_as_perfect_without_warning():
    with np.errstate(all="raise"):
        assert smape([0.0, 90.0], [0.0, 110.0]) == 10.0


def test_a_quarter_formula_times_400_is_smape():
    y, f = np.array(TRUTH), np.array(FORECAST)
    quarter = np.mean(np.abs(f - y) / (f + y) / 2)
    assert 400 * quarter == pytest.approx(smape(y, f))


def test_unsigned_integers_do_not_wrap_around():
    assert smape(np.array([90], dtype=np.uint8), np.array([110], dtype=np.uint8)) == 20.0


@pytest.mark.parametrize("left", ["list", "array", "column", "Series", "DataFrame"])
@pytest.mark.parametrize("right", ["list", "array", "column", "Series", "DataFrame"])
def test_containers_of_one_variable_agree_without_broadcasting(left, right):
    build = {
        "list": list,
        "array": np.array,
        "column": lambda values: np.array(values).reshape(-1, 1),
        "Series": lambda values: pd.Series(values, index=JANUARY, name="load"),
        "DataFrame": lambda values: pd.DataFrame({"load": values}, index=JANUARY),
    }
    assert smape(build[left](TRUTH), build[right](FORECAST)) == 60.0


@pytest.mark.parametrize(
    "index",
    [JANUARY + pd.Timedelta(1, "D"), JANUARY[::-1], JANUARY.to_period("D"), pd.RangeIndex(2)],
)
def test_pandas_objects_of_different_times_are_refused(index):
    with pytest.raises(ValueError, match="must have the same index"):
        smape(pd.Series(TRUTH, index=JANUARY), pd.Series(FORECAST, index=index))


def test_frames_of_swapped_columns_are_refused():
    y = pd.DataFrame({"load": TRUTH, "wind": FORECAST})
    with pytest.raises(ValueError, match="must have the same columns"):
        smape(y, y[["wind", "load"]])


def test_an_array_is_compared_with_a_series_by_position():
    assert smape(pd.Series(TRUTH, index=JANUARY), np.array(FORECAST)) == 60.0


def test_a_lost_freq_is_not_a_different_index():
    y = pd.Series(TRUTH, index=JANUARY)
    assert smape(y, without_freq(pd.Series(FORECAST, index=JANUARY))) == 60.0


@pytest.mark.parametrize(
    ("y_true", "y_pred", "shapes"),
    [
        ([1.0, 2.0], [1.0], r"\(2, 1\) and \(1, 1\)"),
        ([1.0, 2.0], [[1.0, 2.0]], r"\(2, 1\) and \(1, 2\)"),
        ([], [], r"\(0, 1\) and \(0, 1\)"),
    ],
)
def test_different_or_empty_shapes_are_refused(y_true, y_pred, shapes):
    with pytest.raises(ValueError, match=f"must have the same shape.*{shapes}"):
        smape(y_true, y_pred)


@pytest.mark.parametrize("bad", [np.nan, np.inf, None])
def test_values_that_are_not_finite_are_refused_by_name(bad):
    with pytest.raises(ValueError, match=r"y_true must be finite. Got 1 .* among 2 values"):
        smape([bad, 1.0], [1.0, 1.0])
    with pytest.raises(ValueError, match=r"y_pred must be finite. Got 1 .* among 2 values"):
        smape([1.0, 1.0], [bad, 1.0])


@pytest.mark.parametrize(
    "bad",
    [
        ["a", "b"],
        "ab",
        np.array(["1.5", "2"]),
        pd.Series(["1", "2"]),
        [1j, 2.0],
        np.array([1 + 0j, 2]),
        pd.date_range("2024", periods=2),
        {"a": 1},
        [[1, 2], [3]],
    ],
    ids=str,
)
def test_what_is_no_real_number_is_refused_by_name(bad):
    with pytest.raises(TypeError, match=r"^y_true must hold real numbers.* Got "):
        smape(bad, TRUTH)
    with pytest.raises(TypeError, match=r"^y_pred must hold real numbers.* Got "):
        smape(TRUTH, bad)


def test_a_table_of_three_axes_is_refused():
    with pytest.raises(ValueError, match=r"y_true must have the shape .* Got \(1, 2, 1\)"):
        smape([[[1.0], [2.0]]], [[[1.0], [2.0]]])


def test_masked_and_nullable_values_are_missing():
    masked = np.ma.array([1.0, 2.0], mask=[True, False])
    nullable = pd.Series([pd.NA, 2], dtype="Int64")
    for bad in (masked, nullable, nullable.to_frame()):
        with pytest.raises(ValueError, match=r"y_true must be finite. Got 1 .* among 2 values"):
            smape(bad, np.array([1.0, 2.0]))


def test_integers_booleans_and_decimals_are_numbers():
    assert smape([True, 2], [True, 2]) == 0.0
    assert smape([Decimal("90")], [110]) == 20.0
    assert smape(pd.Series([90], dtype="Int64"), [110]) == 20.0


# SMAPE

WIDE_TRUTH = pd.DataFrame({"load": TRUTH, "wind": [0.0, 10.0]}, index=JANUARY)
WIDE_FORECAST = pd.DataFrame({"load": FORECAST, "wind": [0.0, 30.0]}, index=JANUARY)


def panel(values):
    """Series "a" of two times and "b" of one: mean of series and mean of rows differ."""
    keys = [("a", JANUARY[0]), ("a", JANUARY[1]), ("b", JANUARY[0])]
    index = pd.MultiIndex.from_tuples(keys, names=["series", "time"])
    return pd.DataFrame({"load": values}, index=index)


def test_smape_metric_passes_the_sktime_contract():
    check_estimator(SMAPE, raise_exceptions=True, verbose=False)


@pytest.mark.parametrize(
    ("multioutput", "percent"),
    [("uniform_average", 55.0), ([0.75, 0.25], 57.5), ("raw_values", [60.0, 50.0])],
)
def test_multioutput_aggregates_the_variables(multioutput, percent):
    metric = SMAPE(multioutput=multioutput)
    np.testing.assert_allclose(metric(WIDE_TRUTH, WIDE_FORECAST), percent)


@pytest.mark.parametrize(
    ("multilevel", "percent"),
    # "a": the mean of 20 and 100 is 60; "b": 200.
    [
        ("uniform_average", 130.0),
        ("uniform_average_time", 320 / 3),
        ("raw_values", [[60.0], [200.0]]),
    ],
)
def test_multilevel_aggregates_the_series(multilevel, percent):
    metric = SMAPE(multilevel=multilevel)
    np.testing.assert_allclose(metric(panel([*TRUTH, 0.0]), panel([*FORECAST, 1.0])), percent)


def test_evaluate_by_index_returns_the_error_of_each_time():
    by_time = SMAPE().evaluate_by_index(WIDE_TRUTH, WIDE_FORECAST)
    pd.testing.assert_series_equal(by_time, pd.Series([10.0, 100.0], index=JANUARY))
    by_variable = SMAPE(multioutput="raw_values", by_index=True)(WIDE_TRUTH, WIDE_FORECAST)
    expected = pd.DataFrame({"load": [20.0, 100.0], "wind": [0.0, 100.0]}, index=JANUARY)
    pd.testing.assert_frame_equal(by_variable, expected)


def test_sample_weight_weights_the_times():
    weighted = SMAPE()(pd.Series(TRUTH), pd.Series(FORECAST), sample_weight=np.array([2.0, 0.0]))
    assert weighted == 20.0


def test_smape_metric_is_the_percentage_of_sktimes_fraction():
    y, f = np.random.default_rng(0).normal(size=(2, 50))
    assert SMAPE()(y, f) == pytest.approx(100 * MeanAbsolutePercentageError(symmetric=True)(y, f))
    assert SMAPE()(y, f) == pytest.approx(smape(y, f))


def test_smape_metric_keeps_errors_below_machine_epsilon():
    y, f = np.array([1e-20, 0.0]), np.array([3e-20, 0.0])
    assert SMAPE()(y, f) == pytest.approx(50.0)


@pytest.mark.parametrize("forecast", [1.5e308, -1.5e308])
def test_smape_metric_of_the_largest_floats_is_that_of_smape(forecast):
    y, f = np.array([1e308, 1.0]), np.array([forecast, 1.0])
    assert SMAPE()(y, f) == smape(y, f) == (20.0 if forecast > 0 else 100.0)


def test_smape_metric_does_not_skip_a_missing_forecast():
    with pytest.raises(ValueError, match="y_pred must be finite"):
        SMAPE()(pd.Series(TRUTH), pd.Series([np.nan, 150.0]))


def test_smape_metric_survives_pickle_and_clone():
    metric = SMAPE(multioutput="raw_values")
    for copy in (pickle.loads(pickle.dumps(metric)), metric.clone()):
        assert copy.get_params() == metric.get_params()
        np.testing.assert_allclose(copy(WIDE_TRUTH, WIDE_FORECAST), [60.0, 50.0])


def test_sktime_evaluate_names_its_column_after_the_metric():
    y = line(pd.period_range("2024-01", periods=8, freq="M"))
    cv = SlidingWindowSplitter(fh=[1], window_length=6)
    results = evaluate(
        NaiveForecaster(strategy="last"), cv, y, scoring=SMAPE(), error_score="raise"
    )
    # 7 forecast as 6, 8 forecast as 7.
    np.testing.assert_allclose(results["test_SMAPE"], [200 / 13, 200 / 15])


def test_sktime_grid_search_picks_the_smallest_smape():
    y = line(pd.period_range("2024-01", periods=9, freq="M"))
    cv = SlidingWindowSplitter(fh=[1, 2], window_length=6)
    grid = {"strategy": ["mean", "drift", "last"]}
    search = ForecastingGridSearchCV(
        NaiveForecaster(), cv, grid, scoring=SMAPE(), backend=None
    ).fit(y)
    assert search.best_params_ == {"strategy": "drift"}
    assert search.best_score_ == pytest.approx(0.0, abs=1e-9)


# smape_scorer

INDEXES = {
    "hours": pd.date_range("2024-01-01", periods=24, freq="h"),
    "two hours": pd.date_range("2024-01-01", periods=24, freq="2h"),
    "daylight saving": pd.date_range("2024-03-30 12:00", periods=24, freq="h", tz="Europe/Berlin"),
    "weeks": pd.date_range("2024-01-01", periods=24, freq="W"),
    "month starts": pd.date_range("2024-01-01", periods=24, freq="MS"),
    "month ends": pd.date_range("2024-01-01", periods=24, freq="ME"),
    "quarters": pd.date_range("2020-01-01", periods=24, freq="QS"),
    "periods": pd.period_range("2024-01", periods=24, freq="M"),
    "range": pd.RangeIndex(5, 29),
    "integers": pd.Index(range(5, 29), dtype="int64"),
}
DATETIMES = [name for name, index in INDEXES.items() if isinstance(index, pd.DatetimeIndex)]


def assert_drift_scores_zero(y_train, y_test):
    drift = NaiveForecaster(strategy="drift").fit(y_train)
    assert smape_scorer(drift, y_test) == pytest.approx(0.0, abs=1e-9)
    assert smape_scorer(drift, y_test + 1.0) < -1.0


@pytest.mark.parametrize("name", INDEXES)
@pytest.mark.parametrize("test", [slice(16, 20), slice(18, 22), slice(18, 19)])
def test_scorer_forecasts_the_times_of_the_index(name, test):
    y = line(INDEXES[name])
    assert_drift_scores_zero(y[:16], y[test])


@pytest.mark.parametrize("name", DATETIMES)
@pytest.mark.parametrize("lost", ["train", "test", "both"])
@pytest.mark.parametrize("test", [slice(18, 22), slice(18, 19)])
def test_scorer_does_not_need_the_freq(name, lost, test):
    y = line(INDEXES[name])
    y_train, y_test = y[:16], y[test]
    if lost != "test":
        y_train = without_freq(y_train)
    if lost != "train":
        y_test = without_freq(y_test)
    assert_drift_scores_zero(y_train, y_test)


def test_scorer_keeps_the_freq_of_the_test_where_gaps_hide_that_of_the_training():
    hours = INDEXES["hours"]
    steps = StepsAhead().fit(line(hours[:16].delete(5)))
    assert steps.cutoff.freq is None
    assert smape_scorer(steps, pd.Series([3.0, 4.0], index=hours[18:20])) == 0.0


def test_scorer_scores_every_second_hour_of_an_hourly_forecast():
    y = line(INDEXES["hours"])
    assert y[16:22:2].index.freq == "2h"
    assert_drift_scores_zero(y[:16], y[16:22:2])


def test_scorer_of_an_array_forecasts_the_next_steps():
    y = line(pd.RangeIndex(8)).to_numpy()
    drift = NaiveForecaster(strategy="drift").fit(y[:6])
    last = NaiveForecaster(strategy="last").fit(y[:6])
    for y_test in (y[6:], list(y[6:])):
        assert smape_scorer(drift, y_test) == pytest.approx(0.0, abs=1e-9)
        # 7 and 8 forecast as 6.
        assert smape_scorer(last, y_test) == pytest.approx(-(200 / 13 + 400 / 14) / 2)


def test_scorer_averages_the_columns_of_a_frame():
    y = pd.DataFrame({"load": [110.0, 90.0], "wind": [50.0, 150.0]}, index=JANUARY)
    last = NaiveForecaster(strategy="last").fit(y[:1])
    y_test = y[1:]
    y_test.index = pd.DatetimeIndex(y_test.index, freq="D")
    assert smape_scorer(last, y_test) == -60.0


def test_scorer_takes_a_series_where_a_one_column_frame_was_fitted():
    y = line(INDEXES["periods"])
    last = NaiveForecaster(strategy="last").fit(y[:22].to_frame())
    # 23 and 24 forecast as 22.
    expected = -(200 / 45 + 400 / 46) / 2
    assert smape_scorer(last, y[22:]) == pytest.approx(expected)
    assert smape_scorer(last, y[22:].to_frame()) == pytest.approx(expected)


def test_scorer_scores_every_series_of_a_panel():
    times = pd.period_range("2024-01", periods=3, freq="M")
    index = pd.MultiIndex.from_product([["a", "b"], times], names=["series", "time"])
    y = pd.DataFrame({"load": [1.0, 110.0, 90.0, 1.0, 50.0, 150.0]}, index=index)
    is_test = index.get_level_values("time") == times[-1]
    last = NaiveForecaster(strategy="last").fit(y[~is_test])
    assert smape_scorer(last, y[is_test]) == -60.0


def test_scorer_refuses_missing_observations():
    y = line(INDEXES["hours"])
    y.iloc[-1] = np.nan
    with pytest.raises(ValueError, match="y_true must be finite"):
        smape_scorer(NaiveForecaster().fit(y[:-2]), y[-2:])


def test_scorer_is_pickled_by_name():
    assert pickle.loads(pickle.dumps(smape_scorer)) is smape_scorer


def test_sklearn_accepts_the_scorer():
    assert check_scoring(SklearnNaive(), scoring=smape_scorer) is smape_scorer


@pytest.mark.parametrize("name", ["hours", "periods", "range"])
def test_sklearn_grid_search_scores_the_times_after_a_gap(name):
    y = line(INDEXES[name])[:12]
    search = GridSearchCV(
        SklearnNaive(),
        {"strategy": ["last", "drift"]},
        scoring=smape_scorer,
        cv=TimeSeriesSplit(n_splits=2, test_size=2, gap=2),
        error_score="raise",
    ).fit(y)
    # "last" forecasts 9 and 10 as 6, then 11 and 12 as 8.
    folds = [-(200 * 3 / 15 + 200 * 4 / 16) / 2, -(200 * 3 / 19 + 200 * 4 / 20) / 2]
    scores = [search.cv_results_[f"split{fold}_test_score"] for fold in (0, 1)]
    np.testing.assert_allclose(scores, np.transpose([folds, [0.0, 0.0]]), atol=1e-9)
    assert search.best_params_ == {"strategy": "drift"}


def test_sklearn_grid_search_hands_the_test_rows_of_x_to_the_forecast():
    y = line(INDEXES["hours"])
    search = GridSearchCV(
        TimesX(),
        {"factor": [3.0, 1.0]},
        scoring={"smape": smape_scorer, "again": smape_scorer},
        cv=TimeSeriesSplit(n_splits=3, gap=1),
        refit="smape",
        error_score="raise",
    ).fit(y, y.to_frame("truth"))
    # y forecast as 3 y: 200 * 2 / 4.
    np.testing.assert_allclose(search.cv_results_["mean_test_smape"], [-100.0, 0.0])
    np.testing.assert_allclose(search.cv_results_["mean_test_again"], [-100.0, 0.0])
    assert search.best_params_ == {"factor": 1.0}
