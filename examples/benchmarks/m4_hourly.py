"""M4 Hourly, 48 hours ahead: sMAPE, MASE and OWA of one network for all 414 series.

    python examples/benchmarks/m4_hourly.py FOLDER  # of Hourly-train.csv and Hourly-test.csv

sMAPE and MASE (seasonality 24) are those of the competition, averaged over the series. OWA is their
mean relative to Naive2, which has 18.383 and 2.395. With `--validate` the last 48 hours of the
training range are held out and scored instead of the test hours. Each seed trains a network; the
last row is the mean of their forecasts.

A network takes two to three minutes on one core (AMD EPYC with AVX-512, torch 2.13); there are
four.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
import results

from skrnn import LSTMForecaster

HORIZON, DAY = 48, 24  # hours
NAIVE2 = {"sMAPE": 18.383, "MASE": 2.395}
# Chosen on the last 48 hours of the training range; sp is a day, a week and two weeks, in hours.
SETTINGS = {
    "strategy": "multioutput",
    "sp": [24, 168, 336],
    "window_length": 96,
    "dropout": 0.1,
    "batch_size": 32,
    "num_epochs": 64,
}
# Share of a series' mean that is added before taking logarithms. Errors of logarithms are relative,
# as in sMAPE; the offset limits those of values close to zero.
OFFSET = 0.1


def read(folder, validate):
    """Return the training values of each series and the 48 values after them."""
    train, test = (
        pd.read_csv(folder / f"Hourly-{part}.csv", index_col=0).to_numpy(float)
        for part in ("train", "test")
    )
    train = [row[~np.isnan(row)] for row in train]
    if validate:
        return [row[:-HORIZON] for row in train], np.stack([row[-HORIZON:] for row in train])
    return train, test


def score(train, test, forecast):
    """Return the scores of forecasts (S, 48)."""
    error = np.abs(test - forecast)
    smape = np.mean(200 * error / (np.abs(test) + np.abs(forecast)))
    scale = np.array([np.mean(np.abs(row[DAY:] - row[:-DAY])) for row in train])
    mase = np.mean(error / scale[:, None])
    scores = {"sMAPE": smape, "MASE": mase}
    return scores | {"OWA": np.mean([scores[name] / NAIVE2[name] for name in NAIVE2])}


def show(name, seconds, scores):
    """Print a row, and return it."""
    numbers = " | ".join(f"{scores[key]:.3f}" for key in ("sMAPE", "MASE", "OWA"))
    print(f"| {name} | {seconds:.0f} | {numbers} |", flush=True)
    return {"method": name, "seconds": seconds} | scores


def fit(train, seed=0, log=True, **settings):
    """Return a forecaster fitted to all series, and its forecasts (S, 48)."""
    lengths = [len(row) for row in train]
    index = pd.MultiIndex.from_arrays(
        [
            np.repeat(np.arange(len(train)), lengths),
            np.concatenate([np.arange(n) for n in lengths]),
        ],
        names=["series", "hour"],
    )
    values = np.concatenate(train)
    offset = np.array([OFFSET * row.mean() for row in train])
    if log:
        values = np.log(values + np.repeat(offset, lengths))
    y = pd.DataFrame({"value": values}, index)
    forecaster = LSTMForecaster(**settings, random_state=seed).fit(y, fh=range(1, HORIZON + 1))
    forecast = forecaster.predict()["value"].to_numpy().reshape(-1, HORIZON)
    return forecaster, np.exp(forecast) - offset[:, None] if log else forecast


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--validate", action="store_true")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--params", default="", help="more settings, as in 'num_epochs=3, lr=0.01'")
    results.add_argument(parser)
    args = parser.parse_args()
    settings = SETTINGS | eval(f"dict({args.params})")
    train, test = read(args.folder, args.validate)
    print("| method | seconds | sMAPE | MASE | OWA |\n|---|---|---|---|---|")
    daily = np.stack([np.tile(row[-DAY:], HORIZON // DAY) for row in train])
    rows = [show("seasonal naive", 0, score(train, test, daily))]
    start, forecasts = time.perf_counter(), []
    for seed in args.seeds:
        forecaster, forecast = fit(train, seed, **settings)
        forecasts.append(forecast)
        seconds = forecaster.history_["seconds"].sum()
        rows.append(show(f"LSTMForecaster, seed {seed}", seconds, score(train, test, forecast)))
    seconds = time.perf_counter() - start
    mean = np.mean(forecasts, axis=0)
    rows.append(show(f"the mean of these {len(forecasts)}", seconds, score(train, test, mean)))
    results.write(args.json, rows)


if __name__ == "__main__":
    main()
