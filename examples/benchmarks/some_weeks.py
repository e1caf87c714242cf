"""Some weeks of one hourly series: errors a day ahead relative to those of repeating the last week.

    python examples/benchmarks/some_weeks.py M4_FOLDER [--params "num_epochs=0"]

A GRU with default settings is fitted to 4, 8 or 26 weeks of a PJM region, and to the hours of
series of M4 Hourly but for their last 96. It forecasts the 24 hours (PJM) or 48 hours (M4) after
every fifth hour of the week (or the 96 hours) that follows, without being fitted again. All hours
are of the training ranges: the first three quarters of PJM, and Hourly-train.csv of M4.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from m4_hourly import read

from skrnn import GRUForecaster, backtest
from skrnn.datasets import fetch_pjm_load

WEEK = 168


def stretches(rng):
    """Name, hours and length of the training range of stretches of PJM, and how far to forecast."""
    load = fetch_pjm_load().squeeze()
    for _, region in load.groupby(level=0, sort=False):
        y = region.droplevel(0).dropna()
        y = y.iloc[: 3 * len(y) // 4]
        for weeks in (4, 8, 26):
            n = (weeks + 1) * WEEK
            start = rng.integers(0, len(y) - n)
            yield f"PJM, {weeks} weeks", y.iloc[start : start + n].asfreq("h"), weeks * WEEK, 24


def m4(folder, rng):
    """Draw series of M4 Hourly."""
    hours, _ = read(folder, validate=False)
    for k in rng.choice(len(hours), 12, replace=False):
        values = hours[k]
        y = pd.Series(values, pd.date_range("2020-01-01", periods=len(values), freq="h"))
        yield "M4 Hourly", y, len(y) - 96, 48


def ratios(y, n_train, horizon, params):
    """Mean absolute error relative to seasonal naive, over the horizon and of the next hour."""
    forecaster = GRUForecaster(**params).fit(y.iloc[:n_train])
    naive = y.shift(WEEK)
    for fh, step_length in ((horizon, 5), (1, 1)):
        table = backtest(forecaster, y, fh=fh, start=n_train - 1, step_length=step_length)
        repeated = naive.loc[table.index.get_level_values("time")].to_numpy()
        error = (table["y_pred"] - table["y_true"]).abs().mean()
        yield error / np.nanmean(np.abs(table["y_true"].to_numpy() - repeated))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("m4", type=Path)
    parser.add_argument("--seed", type=int, default=0, help="of the network; the series stay")
    parser.add_argument("--params", default="", help="parameters, as in 'num_epochs=0, lr=0.01'")
    args = parser.parse_args()
    params = {"random_state": args.seed} | eval(f"dict({args.params})")
    rng, began = np.random.default_rng(0), time.perf_counter()
    rows = [
        (name, *ratios(y, n_train, horizon, params))
        for name, y, n_train, horizon in [*stretches(rng), *m4(args.m4, rng)]
    ]
    table = pd.DataFrame(rows, columns=["series", "day ahead", "next hour"]).set_index("series")
    means = table.groupby(level=0, sort=False).mean()
    means.loc["all"] = table.mean()
    worst = table["day ahead"].groupby(level=0).max()
    means["worst day"] = worst.reindex(means.index, fill_value=worst.max())
    print(means.to_string(float_format="%.3f"))
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
