"""Scores: errors by horizon against those by hand."""

import numpy as np
import pandas as pd
import pytest

from skrnn import GRUForecaster, backtest
from skrnn.command.scores import ends_of, score_table, season_of

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = {"hidden_size": 4, "num_epochs": 1, "sp": 3, "random_state": 0}


def panel(rows=24):
    index = pd.MultiIndex.from_product([["a", "b"], range(rows)], names=["shop", "day"])
    rng = np.random.default_rng(0)
    season = np.tile([0, 5, 9], len(index) // 3)
    return pd.DataFrame(
        {"sold": season + rng.normal(10, 1, len(index)), "back": rng.random(48)}, index
    )


def test_scores_equal_those_by_hand():
    y = panel()
    train = y.groupby(level=0).head(17)
    forecaster = GRUForecaster(**SMALL).fit(train)
    table = backtest(forecaster, y, fh=[1, 2, 3, 4], start=16)
    scores = score_table(table, y, train, season=3)
    for target in y.columns:
        errors, naive, scaled = [], [], []
        for shop in ("a", "b"):
            s = y.loc[shop, target].to_numpy()
            scale = np.abs(s[3:17] - s[:14]).mean()
            for cutoff in range(16, 20):
                time = cutoff + 4
                f = table["y_pred", target].loc[(shop, cutoff, time)]
                errors.append(abs(s[time] - f))
                naive.append(abs(s[time] - s[time - 6]))  # one season ahead is not known yet
                scaled.append(errors[-1] / scale)
        row = scores.loc[(target, 4)]
        assert row["forecasts"] == 8
        np.testing.assert_allclose(
            row[["MAE", "MAE_naive", "MASE"]].astype(float),
            [np.mean(errors), np.mean(naive), np.mean(scaled)],
        )
    every = scores.loc[("sold", "all")]
    true, forecast = (table[name, "sold"].to_numpy() for name in ("y_true", "y_pred"))
    np.testing.assert_allclose(every["MAE"], np.abs(true - forecast).mean())
    np.testing.assert_allclose(
        every["sMAPE"], np.mean(200 * np.abs(true - forecast) / (np.abs(true) + np.abs(forecast)))
    )


def test_missing_values_are_scored_by_neither():
    y = panel()[["sold"]]
    y.iloc[18] = np.nan  # an observation to forecast, and the season before another one
    train = y.groupby(level=0).head(17)
    table = backtest(GRUForecaster(**SMALL).fit(train), y, fh=[1], start=16)
    scores = score_table(table, y, train, season=3)
    assert scores["forecasts"].tolist() == [12, 12]  # 14 cutoffs, without times 18 and 21 of a
    assert scores.notna().all(axis=None)


def test_no_season_is_read_from_another_series():
    whole = panel()[["sold"]]
    y = pd.concat([whole.loc[["a"]], whole.loc[["b"]].head(10)])  # b is shorter than a season
    rows = [("a", 20, 21), ("a", 21, 22), ("b", 8, 9)]
    index = pd.MultiIndex.from_tuples(rows, names=["shop", "cutoff", "day"])
    true = [y.loc[(shop, day), "sold"] for shop, _, day in rows]
    table = pd.DataFrame({"y_true": true, "y_pred": 0.0}, index)
    scores = score_table(table, y, y.groupby(level=0).head(18), season=12)
    assert scores["forecasts"].tolist() == [2, 2]
    np.testing.assert_allclose(scores["MAE"], np.mean(true[:2]))


def test_intervals_count_the_observations_inside():
    y = panel()[["sold"]]
    table = pd.DataFrame(
        {"y_true": y["sold"].loc["a"].iloc[3:7].to_numpy(), "y_pred": 0.0},
        pd.MultiIndex.from_arrays([range(2, 6), range(3, 7)], names=["cutoff", "day"]),
    )
    table["y_pred_0.1"] = table["y_true"] - [1, 1, 1, -1]
    table["y_pred_0.9"] = table["y_true"] + [1, 0, -1, 2]
    single = y.loc["a"]
    scores = score_table(table, single, single[:3], season=1, coverages=[0.8])
    assert scores.loc[("sold", "all"), "inside_0.8"] == 0.5


def test_the_season_is_that_with_the_lowest_error():
    y = panel()[["sold"]]
    assert season_of(y, [2, 3, 5]) == 3
    assert season_of(y, []) == 1
    assert season_of(y, [3, 30]) == 3  # longer than the series


def test_a_series_without_scale_is_left_out_of_mase():
    y = panel()[["sold"]]
    y.loc["b"] = 7.0
    train = y.groupby(level=0).head(17)
    table = backtest(GRUForecaster(**SMALL).fit(train), y, fh=[1], start=16)
    of_a = score_table(table.loc[["a"]], y, train, season=3)
    both = score_table(table, y, train, season=3)
    np.testing.assert_allclose(both["MASE"], of_a["MASE"])
    assert both["forecasts"].tolist() == [14, 14]


@pytest.mark.parametrize(("coverage", "ends"), [(0.9, (0.05, 0.95)), (0.8, (0.1, 0.9))])
def test_ends_of_intervals(coverage, ends):
    assert ends_of(coverage) == ends
