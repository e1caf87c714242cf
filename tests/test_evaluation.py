"""`evaluate` makes the table of sktime's `evaluate`, from one fit and one backtest."""

import copy
import warnings

import numpy as np
import pandas as pd
import pytest
from sktime.exceptions import FitFailedWarning
from sktime.forecasting.compose import TransformedTargetForecaster
from sktime.forecasting.model_evaluation import evaluate as sktime_evaluate
from sktime.forecasting.naive import NaiveForecaster
from sktime.performance_metrics.forecasting import (
    GeometricMeanSquaredError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanAbsoluteScaledError,
    MeanSquaredError,
    MeanSquaredScaledError,
    MedianAbsoluteScaledError,
    MedianSquaredScaledError,
    RelativeLoss,
    make_forecasting_scorer,
)
from sktime.performance_metrics.forecasting.probabilistic import PinballLoss
from sktime.split import (
    CutoffSplitter,
    ExpandingGreedySplitter,
    ExpandingWindowSplitter,
    SingleWindowSplitter,
    SlidingWindowSplitter,
)
from sktime.split.base import BaseSplitter
from sktime.utils.parallel import backend_dict

from skrnn import SMAPE, GRUForecaster, LSTMForecaster, backtest, evaluate

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {
    "window_length": 24,
    "hidden_size": 4,
    "num_epochs": 2,
    "lr": 0.02,
    "batch_size": 4,
    "random_state": 0,
}
SAME = {pd.Series: pd.testing.assert_series_equal, pd.DataFrame: pd.testing.assert_frame_equal}
TIMES = ["fit_time", "pred_time"]
EXPANDING = ExpandingWindowSplitter(initial_window=140, fh=[1, 2, 3], step_length=6)


def hourly(n=200, seed=0, start="2024-01-01"):
    t = np.arange(n)
    noise = np.random.default_rng(seed).normal(0, 1, n)
    index = pd.date_range(start, periods=n, freq="h", name="time")
    return pd.Series(50 + 10 * np.sin(2 * np.pi * t / 24) + noise, index=index, name="load")


def covariates(y, seed=1):
    values = np.random.default_rng(seed).normal(15, 5, len(y))
    return pd.DataFrame({"temperature": values}, index=y.index)


def panel(starts=("2024-01-01", "2024-01-01", "2024-01-01"), lengths=(200, 200, 200)):
    parts = {
        name: (scale * hourly(n, seed, start)).to_frame("load")
        for seed, (name, scale, start, n) in enumerate(
            zip("abc", (1, 1000, 0.01), starts, lengths, strict=True)
        )
    }
    return pd.concat(parts, names=["region"])


def gru():
    return GRUForecaster(**SMALL)


@pytest.fixture
def in_one_pass(monkeypatch):
    """Let sktime see no more than the first split."""

    def first_only(*args, **kwargs):
        table = sktime_evaluate(*args, **kwargs)
        assert len(table) == 1, "handed over to sktime"
        return table

    monkeypatch.setattr("skrnn.evaluation.sktime_evaluate", first_only)


@pytest.fixture
def handed_over(monkeypatch):
    """Names of what went to sktime's `evaluate`."""
    calls = []

    def noted(*args, **kwargs):
        calls.append(kwargs)
        return sktime_evaluate(*args, **kwargs)

    monkeypatch.setattr("skrnn.evaluation.sktime_evaluate", noted)
    return calls


def check(table, expected):
    """Two tables of the same columns, types and numbers, but for the times."""
    assert list(table.columns) == list(expected.columns)
    cells = [name for name in table if isinstance(table[name].iloc[0], tuple(SAME))]
    pd.testing.assert_frame_equal(
        table.drop(columns=[*TIMES, *cells]), expected.drop(columns=[*TIMES, *cells]), rtol=1e-4
    )
    assert (table[TIMES].dtypes == expected[TIMES].dtypes).all()
    assert not (table[TIMES] < 0).any(axis=None)
    for name in cells:
        for one, other in zip(table[name], expected[name], strict=True):
            assert type(one) is type(other)
            exact = name in ("y_train", "y_test")
            SAME[type(one)](one, other, check_freq=exact, rtol=0 if exact else 1e-4)


def check_equals_sktime(forecaster, cv, y, X=None, **options):
    """Equal to sktime's, with data; the table of ours."""
    options = {"return_data": True, "error_score": "raise"} | options
    table = evaluate(forecaster, cv, y, X, **options)
    expected = sktime_evaluate(forecaster, cv, y, X, strategy="no-update_params", **options)
    check(table, expected)
    assert len(table) > 1
    return table


@pytest.mark.usefixtures("in_one_pass")
@pytest.mark.parametrize(
    "cv",
    [
        EXPANDING,
        ExpandingWindowSplitter(initial_window=150, fh=[1, 24], step_length=5),
        ExpandingWindowSplitter(initial_window=185, fh=2),
        SlidingWindowSplitter(window_length=140, fh=[1, 2, 3], step_length=7),
        SlidingWindowSplitter(window_length=10, fh=[2], step_length=10),
        SlidingWindowSplitter(window_length=10, initial_window=150, fh=[1, 2], step_length=9),
        CutoffSplitter(np.array([150, 153, 161, 180]), fh=[1, 4], window_length=100),
        CutoffSplitter(np.array([150, 153, 161, 180]), fh=[1, 4], window_length=20),
        CutoffSplitter(
            pd.DatetimeIndex(["2024-01-07", "2024-01-07 13:00", "2024-01-08"]),
            fh=pd.to_timedelta([1, 3], unit="h"),
            window_length=pd.Timedelta(hours=60),
        ),
        ExpandingGreedySplitter(test_size=6, folds=4),
        ExpandingGreedySplitter(test_size=0.05, folds=3),
    ],
    ids=lambda cv: f"{type(cv).__name__[:-8]} {cv.fh}",
)
def test_equals_sktimes_for_every_kind_of_window(cv):
    check_equals_sktime(gru(), cv, hourly())


@pytest.mark.usefixtures("in_one_pass")
@pytest.mark.parametrize(
    "index",
    [
        pd.RangeIndex(200),
        pd.Index(np.arange(1000, 1600, 3), name="step"),
        pd.period_range("2000-01", periods=200, freq="M"),
        pd.date_range("2000-01-31", periods=200, freq="ME"),
        pd.date_range("2024-01-01", periods=200, freq="h", tz="Europe/Berlin"),
    ],
    ids=["RangeIndex", "integers by 3", "months", "ends of months", "time zone"],
)
@pytest.mark.parametrize("frame", [False, True], ids=["Series", "DataFrame"])
def test_equals_sktimes_on_any_index(index, frame):
    y = hourly().set_axis(index)
    check_equals_sktime(gru(), EXPANDING, y.to_frame() if frame else y)


@pytest.mark.usefixtures("in_one_pass")
def test_equals_sktimes_for_a_series_without_a_name():
    check_equals_sktime(LSTMForecaster(**SMALL), EXPANDING, hourly().rename(None))


@pytest.mark.usefixtures("in_one_pass")
def test_equals_sktimes_for_an_array():
    check_equals_sktime(gru(), EXPANDING, hourly().to_numpy(), return_data=False)


@pytest.mark.usefixtures("in_one_pass")
@pytest.mark.parametrize("cv", [EXPANDING, SlidingWindowSplitter([1, 2], 24, 8, 140)], ids=str)
def test_equals_sktimes_with_covariates(cv):
    y = hourly()
    X = covariates(y)
    y = y + 2 * X["temperature"]
    forecaster = GRUForecaster(**SMALL | {"num_epochs": 20})  # so that it heeds X
    table = check_equals_sktime(forecaster, cv, y, X)
    other = evaluate(forecaster, cv, y, X[::-1].set_axis(X.index), error_score="raise")
    assert (table.iloc[:, 0] / other.iloc[:, 0] - 1).abs().min() > 1e-3


@pytest.mark.usefixtures("in_one_pass")
def test_gaps_in_the_horizon_are_bridged_by_covariates_that_sktime_leaves_out():
    y = hourly()
    X = covariates(y)
    cv = ExpandingWindowSplitter(initial_window=140, fh=[1, 6], step_length=10)
    with pytest.raises(ValueError, match="X must have a row"):
        sktime_evaluate(gru(), cv, y, X, strategy="no-update_params", error_score="raise")
    table = evaluate(gru(), cv, y, X, return_data=True, error_score="raise")
    expected = backtest(gru().fit(y[:140], X=X[:140]), y, X, fh=[1, 6], start=139, step_length=10)
    np.testing.assert_allclose(pd.concat(table["y_pred"].tolist()), expected["y_pred"], rtol=1e-5)


@pytest.mark.usefixtures("in_one_pass")
@pytest.mark.parametrize("level", ["uniform_average", "uniform_average_time", "raw_values"])
@pytest.mark.parametrize(
    "y",
    [
        panel(),
        panel(lengths=(200, 180, 190)),
        panel(starts=("2024-01-01", "2024-01-03 05:00", "2023-12-30")),
        panel(starts=("2024-01-01", "2024-03-01", "2023-12-30")),
        pd.concat({"east": panel().loc[["a", "b"]], "west": panel().loc[["c"]]}, names=["coast"]),
    ],
    ids=["equal", "unequal ends", "unequal starts", "apart", "hierarchy"],
)
def test_equals_sktimes_for_a_panel(y, level):
    metrics = [
        MeanAbsoluteError(multilevel=level),
        MeanSquaredError(square_root=True, multilevel=level),
    ]
    cv = ExpandingWindowSplitter(initial_window=140, fh=[1, 2, 3], step_length=15)
    check_equals_sktime(gru(), cv, y, scoring=metrics)


@pytest.mark.usefixtures("in_one_pass")
def test_equals_sktimes_for_a_panel_with_covariates():
    y = panel()
    cv = SlidingWindowSplitter(window_length=140, fh=[1, 2], step_length=15)
    check_equals_sktime(gru(), cv, y, covariates(y), scoring=MeanAbsoluteScaledError(sp=24))


METRICS = [
    MeanAbsolutePercentageError(symmetric=True),
    SMAPE(),
    MeanSquaredError(square_root=True),
    GeometricMeanSquaredError(square_root=True),
    MeanAbsoluteScaledError(sp=24),
    MeanSquaredScaledError(sp=7, square_root=True),
    MedianAbsoluteScaledError(sp=2),
    MedianSquaredScaledError(sp=24),
    make_forecasting_scorer(lambda y_true, y_pred: float(np.max(y_true - y_pred)), name="worst"),
]


@pytest.mark.usefixtures("in_one_pass")
@pytest.mark.parametrize(
    "cv",
    [ExpandingWindowSplitter([1, 2], 140, 20), SlidingWindowSplitter([1, 2], 50, 24)],
    ids=["expanding", "sliding"],
)
@pytest.mark.parametrize("kind", ["series", "columns", "panel"])
def test_equals_sktimes_for_every_metric(cv, kind):
    y = {
        "series": hourly(),
        "columns": pd.DataFrame({"north": hourly(seed=1), "south": 100 * hourly(seed=2)}),
        "panel": panel(),
    }[kind]
    table = check_equals_sktime(gru(), cv, y, scoring=METRICS)
    assert table.filter(like="test_").shape[1] == len(METRICS)


@pytest.mark.usefixtures("in_one_pass")
@pytest.mark.parametrize("weights", ["uniform_average", "raw_values", [0.3, 0.7], [1.0, 2.0]])
@pytest.mark.parametrize("metric", [MeanSquaredError, MeanAbsoluteScaledError, SMAPE])
def test_equals_sktimes_for_weighted_columns(metric, weights):
    y = pd.DataFrame({"north": hourly(seed=1), "south": 100 * hourly(seed=2)})
    cv = ExpandingWindowSplitter(initial_window=140, fh=[1, 2], step_length=15)
    check_equals_sktime(gru(), cv, y, scoring=metric(multioutput=weights))


@pytest.mark.parametrize(
    "cv",
    [EXPANDING, SlidingWindowSplitter([1, 2, 3], 50, 9)],
    ids=["expanding", "sliding"],
)
@pytest.mark.parametrize("metric", METRICS[:8], ids=lambda m: m.name)
def test_common_metrics_are_computed_at_once(cv, metric, monkeypatch):
    kind = type(metric)
    calls = []
    call = kind.__call__
    monkeypatch.setattr(kind, "__call__", lambda *a, **k: calls.append(a) or call(*a, **k))
    table = evaluate(gru(), cv, hourly(), scoring=metric, error_score="raise")
    assert len(calls) == 2  # sktime's of the first split, the check of the last
    assert len(table) > 5


@pytest.mark.usefixtures("in_one_pass")
def test_metrics_that_need_the_training_window_itself_equal_sktimes():
    class InRanges(MeanAbsoluteError):
        """In units of the range of the training window, of which the package knows nothing."""

        _tags = {"requires-y-train": True}

        def _evaluate(self, y_true, y_pred, **kwargs):
            y_train = kwargs["y_train"]
            errors = (y_true - y_pred).abs().mean() / (y_train.max() - y_train.min())
            return self._handle_multioutput(errors, self.multioutput)

    cv = SlidingWindowSplitter([1, 2], 20, 9)  # so that the ranges differ
    check_equals_sktime(gru(), cv, hourly(), scoring=[InRanges(), MeanAbsoluteScaledError()])


class Share(MeanAbsoluteError):
    """Errors as a share of all observations, which depends on the columns beside."""

    def _evaluate(self, y_true, y_pred, **kwargs):
        errors = (y_true - y_pred).abs().mean()
        return self._handle_multioutput(errors / y_true.to_numpy().sum(), self.multioutput)


@pytest.mark.usefixtures("in_one_pass")
def test_metrics_of_several_columns_are_right_if_the_last_forecast_is_perfect(monkeypatch):
    # On a perfect forecast every metric is 0, whatever it is divided by.
    y = pd.DataFrame({"north": hourly(seed=1), "south": 100 * hourly(seed=2)})
    cv = ExpandingWindowSplitter(initial_window=140, fh=[1, 2], step_length=15)
    last = max(test[0] for _, test in cv.split(y.index))

    def perfect_at_the_end(*args, **kwargs):
        table = backtest(*args, **kwargs)
        at_end = table.index.get_level_values("time") >= y.index[last]
        for name in y:
            table.loc[at_end, ("y_pred", name)] = y[name].to_numpy()[last : last + 2]
        return table

    monkeypatch.setattr("skrnn.evaluation.backtest", perfect_at_the_end)
    metrics = [
        MeanSquaredScaledError(sp=7),
        MedianAbsoluteScaledError(),
        MeanAbsoluteScaledError(),
        Share(),
    ]
    table = evaluate(gru(), cv, y, scoring=metrics, return_data=True, error_score="raise")
    for metric in metrics:
        expected = [
            metric(row.y_test, row.y_pred, y_train=row.y_train) for row in table.itertuples()
        ]
        np.testing.assert_allclose(table[f"test_{metric.name}"], expected, rtol=1e-9)
        assert expected[-1] == 0 < expected[0]


def test_metric_that_compares_columns_is_called_split_by_split():
    check_equals_sktime(gru(), EXPANDING, hourly(), scoring=Share())


def test_two_metrics_of_one_name_share_a_column_as_in_sktime():
    metrics = [MeanSquaredError(), MeanSquaredError(square_root=True)]
    check_equals_sktime(gru(), EXPANDING, hourly(), scoring=metrics)


def test_a_single_split_equals_sktimes():
    cv = SingleWindowSplitter(fh=[1, 2, 3])
    table, expected = (
        run(gru(), cv, hourly(), strategy="no-update_params", return_data=True)
        for run in (evaluate, sktime_evaluate)
    )
    check(table, expected)
    assert len(table) == 1


@pytest.mark.usefixtures("in_one_pass")
@pytest.mark.parametrize("y", [hourly(), panel()], ids=["series", "panel"])
def test_missing_values_outside_of_the_training_windows_play_no_part(y):
    row = y.groupby(y.index.get_level_values(0)).cumcount() if y.index.nlevels > 1 else range(200)
    y = y.where(pd.Series(row, y.index).between(5, 170), axis=0)
    cv = CutoffSplitter(np.array([150, 160, 169]), fh=[1, 2], window_length=100)
    check_equals_sktime(gru(), cv, y)


@pytest.mark.usefixtures("in_one_pass")
@pytest.mark.parametrize(
    ("starts", "lengths", "n_stamps"),
    [
        (("2024-01-01", "2024-01-02", "2024-01-06"), (200, 80, 60), 197),
        (("2024-01-01", "2024-01-02", "2024-01-09 02:00"), (200, 80, 60), 251),
        (("2024-01-03", "2024-01-01", "2024-01-06"), (200, 80, 60), 77 + 168),
    ],
    ids=["two within the first", "one within, one apart", "overlap"],
)
def test_stamps_of_windows_that_nest_within_one_another_count_once(starts, lengths, n_stamps):
    y, cv = panel(starts, lengths), SingleWindowSplitter(fh=[1, 2, 3])
    table = evaluate(gru(), cv, y, return_data=True, error_score="raise")
    expected = sktime_evaluate(
        gru(), cv, y, strategy="no-update_params", return_data=True, error_score="raise"
    )
    check(table, expected)
    assert table["len_train_window"].tolist() == [n_stamps]


def test_forecaster_does_not_change():
    forecaster = gru()
    evaluate(forecaster, EXPANDING, hourly())
    assert not forecaster.is_fitted


@pytest.mark.parametrize(
    "options",
    [
        {"strategy": "refit"},
        {"strategy": "update"},
        {"return_model": True},
        {"forecaster": NaiveForecaster()},
        {"forecaster": TransformedTargetForecaster([GRUForecaster(**SMALL)])},
        {"cv": ExpandingGreedySplitter(test_size=5, folds=3), "y": panel()},
        {"cv": SlidingWindowSplitter([1], 10, 20, initial_window=100), "error_score": np.nan},
    ],
    ids=["refit", "update", "model", "naive", "pipeline", "greedy panel", "gaps between windows"],
)
@pytest.mark.filterwarnings("ignore::sktime.exceptions.FitFailedWarning")
def test_anything_else_goes_to_sktime(options, handed_over):
    cv = ExpandingWindowSplitter(initial_window=140, fh=[1, 2], step_length=25)
    asked = {"forecaster": gru(), "cv": cv, "y": hourly(), "error_score": "raise"} | options
    table = evaluate(**asked)
    assert [call["cv"] for call in handed_over] == [asked["cv"]]
    expected = sktime_evaluate(**{"strategy": "no-update_params"} | asked)
    check(table.drop(columns="fitted_forecaster", errors="ignore"), expected[expected.columns[:5]])
    assert list(table.columns) == list(expected.columns)


@pytest.mark.parametrize("bad", [20, 150, 160], ids=lambda row: f"row {row}")
def test_error_score_is_that_of_sktime(bad):
    y = hourly()
    y.iloc[bad] = np.inf
    with pytest.raises(ValueError, match="must be finite"):
        evaluate(gru(), EXPANDING, y, error_score="raise")
    tables = []
    for run in (evaluate, sktime_evaluate):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            tables.append(run(gru(), EXPANDING, y, strategy="no-update_params", error_score=-1.0))
        assert any("fitting of forecaster" in str(w.message) for w in caught)
    pd.testing.assert_frame_equal(*(t.drop(columns=TIMES) for t in tables))


def test_missing_values_in_training_windows_are_no_obstacle():
    y = hourly()
    y.iloc[[20, 90, 141]] = np.nan
    check_equals_sktime(gru(), EXPANDING, y)


class Windows(BaseSplitter):
    """Training windows and tested steps, given."""

    def __init__(self, windows, steps, fh=None):
        self.windows = windows
        self.steps = steps
        super().__init__()
        self.fh = steps if fh is None else fh

    def split(self, y):
        for first, last in self.windows:
            yield np.arange(first, last + 1), last + np.array(self.steps)


NESTED = {
    "starts later": [(0, 139), (20, 150), (50, 170)],
    "starts earlier than the one before": [(0, 139), (40, 150), (10, 170), (60, 171)],
    "ends earlier than the one before": [(0, 139), (5, 170), (10, 150), (0, 160)],
    "lies within the one before": [(0, 139), (0, 180), (30, 150), (40, 145)],
}


@pytest.mark.usefixtures("in_one_pass")
@pytest.mark.parametrize("windows", NESTED.values(), ids=NESTED)
@pytest.mark.parametrize("with_X", [False, True], ids=["y", "X"])
def test_windows_that_nest_are_forecast_from_the_rows_up_to_each_cutoff(windows, with_X):
    y = hourly()
    X = covariates(y) if with_X else None
    y = y + 2 * X["temperature"] if with_X else y
    steps = [1, 4]
    metric = MeanAbsoluteScaledError(sp=3)
    table = evaluate(
        gru(), Windows(windows, steps), y, X, scoring=metric, return_data=True, error_score="raise"
    )
    first, last = windows[0]
    fitted = gru().fit(y[first : last + 1], X=X, fh=steps)
    assert len(table) == len(windows)
    for (first, last), row in zip(windows, table.itertuples(), strict=True):
        forecaster = copy.deepcopy(fitted)
        forecaster.update(y[: last + 1], X=X, update_params=False)
        expected = forecaster.predict(fh=steps, X=X)
        np.testing.assert_allclose(row.y_pred, expected, rtol=1e-5)
        assert row.y_pred.index.equals(y.index[[last + 1, last + 4]])
        pd.testing.assert_series_equal(row.y_train, y[first : last + 1], check_freq=False)
        pd.testing.assert_series_equal(row.y_test, y.iloc[[last + 1, last + 4]], check_freq=False)
        assert (row.cutoff, row.len_train_window) == (y.index[last], last - first + 1)
        score = metric(row.y_test, row.y_pred, y_train=y[first : last + 1])
        np.testing.assert_allclose(row.test_MeanAbsoluteScaledError, score, rtol=1e-9)
    assert table["test_MeanAbsoluteScaledError"].nunique() == len(windows)


@pytest.mark.filterwarnings("ignore::sktime.exceptions.FitFailedWarning")
def test_a_window_that_starts_before_the_first_one_goes_to_sktime(handed_over):
    cv = Windows([(20, 139), (10, 150)], [1])
    evaluate(gru(), cv, hourly())
    assert [call["cv"] for call in handed_over] == [cv]


@pytest.mark.filterwarnings("ignore:y_pred and y_true do not have the same row index")
def test_a_tested_row_beyond_the_end_of_a_series_goes_to_sktime(handed_over):
    cv = Windows([(0, 139), (0, 199)], [1])
    evaluate(gru(), cv, panel())
    assert [call["cv"] for call in handed_over] == [cv]


@pytest.mark.parametrize("strategy", ["no-update_params", "refit"])
def test_options_that_sktime_does_not_know_are_refused(strategy):
    y = hourly()
    with pytest.raises(ValueError, match=r"'backend' parameter of evaluate .*'loky'.* Got 'foo'"):
        evaluate(gru(), EXPANDING, y, backend="foo", strategy=strategy)
    for score in ("foo", None, True, [1.0], np.zeros(2)):
        with pytest.raises(ValueError, match="'error_score' parameter of evaluate must be 'raise'"):
            evaluate(gru(), EXPANDING, y, error_score=score, strategy=strategy)


@pytest.mark.usefixtures("in_one_pass")
@pytest.mark.parametrize("backend", [None, *backend_dict])
def test_backends_of_sktime_are_accepted(backend):
    cv = SingleWindowSplitter(fh=[1])
    if backend in ("dask", "dask_lazy", "ray"):
        pytest.importorskip(backend.split("_")[0])
    assert np.isfinite(evaluate(gru(), cv, hourly(), backend=backend).iloc[0, 0])


@pytest.mark.parametrize("error_score", ["raise", np.nan])
@pytest.mark.parametrize(
    ("rows", "n_missing", "first"),
    [
        (slice(150), 47, "2024-01-07 06:00:00"),
        (slice(50), 147, "2024-01-03 02:00:00"),
        (slice(5, None), 5, "2024-01-01 00:00:00"),
        (np.delete(np.arange(200), 20), 1, "2024-01-01 20:00:00"),
    ],
    ids=["ends early", "ends in the first window", "starts late", "gap"],
)
@pytest.mark.parametrize("several", [False, True], ids=["series", "panel"])
def test_rows_that_X_lacks_are_named(rows, n_missing, first, several, error_score):
    y = panel() if several else hourly()
    X = covariates(y)
    X = (
        X.groupby(level=0, group_keys=False).apply(lambda x: x.iloc[rows])
        if several
        else X.iloc[rows]
    )
    of_all = 197 if not several else 3 * 197
    n_missing *= 3 if several else 1
    message = rf"X must have a row .* {n_missing} of {of_all} are missing, the first .*{first}"
    with pytest.raises(ValueError, match=message):
        evaluate(gru(), EXPANDING, y, X, error_score=error_score)


def test_X_without_the_index_of_y_is_refused():
    y = hourly()
    with pytest.raises(ValueError, match="X must have a row for every row of y in the splits"):
        evaluate(gru(), EXPANDING, y, covariates(y).to_numpy())


@pytest.mark.usefixtures("in_one_pass")
def test_X_need_not_reach_beyond_the_last_row_tested():
    y = hourly()
    X = covariates(y)
    cv = CutoffSplitter(np.array([139, 150]), fh=[1, 2], window_length=100)
    options = {"return_data": True, "error_score": "raise"}
    check(evaluate(gru(), cv, y, X[40:153], **options), evaluate(gru(), cv, y, X, **options))


HOURS = {"window_length": pd.Timedelta(hours=100), "step_length": pd.Timedelta(hours=20)}


@pytest.mark.usefixtures("in_one_pass")
def test_a_horizon_in_hours_equals_that_in_steps():
    y = hourly()
    in_hours = SlidingWindowSplitter(fh=pd.to_timedelta([1, 3], unit="h"), **HOURS)
    in_steps = SlidingWindowSplitter(fh=[1, 3], window_length=100, step_length=20)
    options = {"return_data": True, "error_score": "raise"}
    tables = [evaluate(gru(), cv, y, **options) for cv in (in_hours, in_steps)]
    n = min(map(len, tables))
    assert n > 3
    check(*(table[:n] for table in tables))


@pytest.mark.parametrize("error_score", ["raise", np.nan])
@pytest.mark.parametrize(
    ("cv", "index"),
    [
        (Windows([(0, 139), (0, 150)], [1], pd.to_timedelta(["40min"])), None),
        (SlidingWindowSplitter(pd.to_timedelta(["30min"]), **HOURS), None),
        (SlidingWindowSplitter(pd.to_timedelta(["90min"]), **HOURS), None),
        (
            SlidingWindowSplitter(
                pd.to_timedelta(["28D"]), pd.Timedelta(days=3650), pd.Timedelta(days=200)
            ),
            pd.date_range("2000-01-01", periods=200, freq="MS"),
        ),
    ],
    ids=["rounded by the splitter", "half an hour", "one and a half", "28 days"],
)
def test_a_horizon_in_units_of_time_must_lie_on_the_index(cv, index, error_score):
    y = hourly() if index is None else hourly().set_axis(index)
    with pytest.raises(
        ValueError, match=r"horizon of cv must lie on the index of y.*Give fh in st"
    ):
        evaluate(gru(), cv, y, error_score=error_score)


@pytest.fixture
def fits(monkeypatch):
    """Number of rows in each fit of a GRUForecaster."""
    calls, fit = [], GRUForecaster.fit
    monkeypatch.setattr(
        GRUForecaster, "fit", lambda self, y, *a, **k: calls.append(len(y)) or fit(self, y, *a, **k)
    )
    return calls


@pytest.mark.parametrize("bad", [20, 160], ids=["fit fails", "an update fails"])
def test_an_error_in_a_split_does_not_train_again(bad, fits):
    y = hourly()
    y.iloc[bad] = np.inf
    with pytest.warns(FitFailedWarning) as caught:
        table = evaluate(gru(), EXPANDING, y, error_score=-1.0, return_data=True)
    assert fits == [140]
    messages = [str(warning.message) for warning in caught]
    assert "GRUForecaster failed with ValueError" in messages[0]
    assert "must be finite" in messages[0]
    assert "fitting of forecaster GRUForecaster failed" in messages[1]
    failed = table["test_MeanAbsolutePercentageError"] == -1.0
    assert failed.all() if bad == 20 else 0 < failed.sum() < len(table)
    assert np.isfinite(table["fit_time"][0]) == (bad == 160)


def test_splits_before_an_error_have_their_scores():
    y = hourly()
    expected = evaluate(gru(), EXPANDING, y, error_score="raise")
    y.iloc[160] = np.inf
    with pytest.warns(FitFailedWarning):
        table = evaluate(gru(), EXPANDING, y, error_score=-1.0)
    scores = table["test_MeanAbsolutePercentageError"]
    before = [test[-1] < 160 for _, test in EXPANDING.split(y.index)]
    assert sum(before) == 3
    np.testing.assert_allclose(scores[before], expected.iloc[:, 0][before], rtol=1e-5)
    assert (scores[[not early for early in before]][1:] == -1.0).all()


def test_gaps_in_the_horizon_keep_their_covariates_where_a_split_fails():
    y = hourly()
    X = covariates(y)
    cv = ExpandingWindowSplitter(initial_window=140, fh=[1, 6], step_length=10)
    expected = evaluate(gru(), cv, y, X, error_score="raise")
    y.iloc[170] = np.inf
    with pytest.warns(FitFailedWarning):
        table = evaluate(gru(), cv, y, X)
    np.testing.assert_allclose(table.iloc[:3, 0], expected.iloc[:3, 0], rtol=1e-5)


@pytest.mark.parametrize("error", [AttributeError, ZeroDivisionError, RuntimeError])
def test_an_error_of_the_package_itself_is_raised_or_named_in_a_warning(error, monkeypatch):
    y = hourly()
    expected = evaluate(gru(), EXPANDING, y, error_score="raise")

    def broken(*args, **kwargs):
        raise error("a bug")

    monkeypatch.setattr("skrnn.evaluation.backtest", broken)
    with pytest.raises(error, match="a bug"):
        evaluate(gru(), EXPANDING, y, error_score="raise")
    with pytest.warns(FitFailedWarning, match=f"failed with {error.__name__}: a bug"):
        table = evaluate(gru(), EXPANDING, y)
    check(table, expected)


def test_an_interrupt_is_no_failed_split(monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("skrnn.evaluation.backtest", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluate(gru(), EXPANDING, hourly())


def test_a_whole_evaluation_fits_once_and_backtests_once(fits, monkeypatch):
    calls = []
    monkeypatch.setattr(
        "skrnn.evaluation.backtest", lambda *a, **k: calls.append(k) or backtest(*a, **k)
    )
    cv = ExpandingWindowSplitter(initial_window=140, fh=[1, 2])
    table = evaluate(gru(), cv, hourly(), error_score="raise")
    assert (fits, len(calls), len(table)) == ([140], 1, 59)


def test_probabilistic_metric_is_refused_with_a_way_out():
    with pytest.raises(NotImplementedError, match=r"Got PinballLoss instead.*ConformalIntervals"):
        evaluate(gru(), EXPANDING, hourly(), scoring=[MeanAbsoluteError(), PinballLoss()])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strategy": "rewind"}, "strategy"),
        ({"cv": 3}, "cv"),
        ({"y": "y"}, "y"),
        ({"cv": ExpandingWindowSplitter(initial_window=300)}, "window"),
        ({"scoring": RelativeLoss()}, "y_pred_benchmark"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_errors_are_those_of_sktime(options, message):
    asked = {"forecaster": gru(), "cv": EXPANDING, "y": hourly(), "error_score": "raise"} | options
    with pytest.raises(Exception, match=message) as expected:
        sktime_evaluate(**{"strategy": "no-update_params"} | asked)
    with pytest.raises(expected.type, match=message):
        evaluate(**asked)
