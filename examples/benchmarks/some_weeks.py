"""Some weeks of one hourly series: errors relative to those of repeating the last week.

    SKRNN_DATA=<folder of the PJM files> python examples/benchmarks/some_weeks.py M4_FOLDER

A GRU with default settings is fitted to 4, 8 or 26 weeks of a PJM region, and to all except the
last 96 hours of a series of M4 Hourly. Without being fitted again, it forecasts the week (or the 96
hours) that follows: 24 hours (M4: 48) from every fifth hour, and the next hour from every hour. All
hours are taken from the training ranges: the first three quarters of PJM, and Hourly-train.csv of
M4. The last line is the time it took. `--params "num_epochs=0"` shows the untrained network.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
import results
from m4_hourly import read

from skrnn import GRUForecaster, backtest
from skrnn.datasets import fetch_pjm_load

WEEK = 168  # hours
PJM_WEEKS, PJM_HORIZON = (4, 8, 26), 24  # weeks of training; hours ahead
M4_TEST, M4_HORIZON, M4_SERIES = 96, 48, 12  # hours held out; hours ahead; series drawn
STEP_LENGTH = 5  # hours between cutoffs of the day ahead


def stretches(rng):
    """Yield name, values, hours of training and horizon of random stretches of PJM."""
    load = fetch_pjm_load().squeeze()
    for _, region in load.groupby(level=0, sort=False):
        y = region.droplevel(0).dropna()
        y = y.iloc[: 3 * len(y) // 4]
        for weeks in PJM_WEEKS:
            n = (weeks + 1) * WEEK
            start = rng.integers(0, len(y) - n)
            yield (
                f"PJM, {weeks} weeks",
                y.iloc[start : start + n].asfreq("h"),
                weeks * WEEK,
                PJM_HORIZON,
            )


def m4(folder, rng):
    """Yield the same of random series of M4 Hourly."""
    hours, _ = read(folder, validate=False)
    for k in rng.choice(len(hours), M4_SERIES, replace=False):
        values = hours[k]
        y = pd.Series(values, pd.date_range("2020-01-01", periods=len(values), freq="h"))
        yield "M4 Hourly", y, len(y) - M4_TEST, M4_HORIZON


def ratios(y, n_train, horizon, params):
    """Yield the mean absolute error relative to seasonal naive: horizon, next hour."""
    forecaster = GRUForecaster(**params).fit(y.iloc[:n_train])
    naive = y.shift(WEEK)
    for fh, step_length in ((horizon, STEP_LENGTH), (1, 1)):
        table = backtest(forecaster, y, fh=fh, start=n_train - 1, step_length=step_length)
        repeated = naive.loc[table.index.get_level_values("time")].to_numpy()
        error = (table["y_pred"] - table["y_true"]).abs().mean()
        yield error / np.nanmean(np.abs(table["y_true"].to_numpy() - repeated))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("m4", type=Path)
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the network; the series do not depend on it"
    )
    parser.add_argument("--params", default="", help="parameters, as in 'num_epochs=0, lr=0.01'")
    results.add_argument(parser)
    args = parser.parse_args()
    params = {"random_state": args.seed} | eval(f"dict({args.params})")
    rng, start = np.random.default_rng(0), time.perf_counter()
    rows = [
        (name, *ratios(y, n_train, horizon, params))
        for name, y, n_train, horizon in [*stretches(rng), *m4(args.m4, rng)]
    ]
    table = pd.DataFrame(rows, columns=["series", "day ahead", "next hour"])
    params = args.params or "defaults"
    results.write(args.json, table.assign(params=params).to_dict("records"))
    table = table.set_index("series")
    means = table.groupby(level=0, sort=False).mean()
    means.loc["all"] = table.mean()
    worst = table["day ahead"].groupby(level=0).max()
    means["worst day"] = worst.reindex(means.index, fill_value=worst.max())
    print(means.to_string(float_format="%.3f"))
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
