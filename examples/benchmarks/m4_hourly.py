"""M4 Hourly: one shared network over all 414 series, 48 hours ahead; prints sMAPE, MASE and OWA.

sMAPE and MASE (seasonality 24) are the competition's, means over the series; OWA is their mean
relative to Naive2's 18.383 and 2.395. A folder holds Hourly-train.csv and Hourly-test.csv of the
competition. Run `python m4_hourly.py FOLDER`; with `--validate` the last 48 hours of the training
range are held out instead of the test hours.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sktime.forecasting.compose import EnsembleForecaster

from skrnn import LSTMForecaster

HORIZON, DAY = 48, 24
NAIVE2 = {"sMAPE": 18.383, "MASE": 2.395}
# Chosen on the last 48 hours of the training range.
SETTINGS = {
    "strategy": "multioutput",
    "sp": [24, 168, 336],
    "window_length": 96,
    "dropout": 0.1,
    "batch_size": 32,
    "num_epochs": 64,
}
# Of the logarithm of a value plus this share of its series' mean: errors are relative, as in sMAPE,
# but not of hours next to zero.
OFFSET = 0.1


def read(folder, validate):
    """Return the training values of each series, and its next 48 hours."""
    train, test = (
        pd.read_csv(folder / f"Hourly-{part}.csv", index_col=0).to_numpy(float)
        for part in ("train", "test")
    )
    train = [row[~np.isnan(row)] for row in train]
    if validate:
        return [row[:-HORIZON] for row in train], np.stack([row[-HORIZON:] for row in train])
    return train, test


def score(train, test, forecast):
    """Scores of forecasts (S, 48)."""
    error = np.abs(test - forecast)
    smape = np.mean(200 * error / (np.abs(test) + np.abs(forecast)))
    scale = np.array([np.mean(np.abs(row[DAY:] - row[:-DAY])) for row in train])
    mase = np.mean(error / scale[:, None])
    scores = {"sMAPE": smape, "MASE": mase}
    return scores | {"OWA": np.mean([scores[name] / NAIVE2[name] for name in NAIVE2])}


def show(name, seconds, scores):
    numbers = " | ".join(f"{scores[key]:.3f}" for key in ("sMAPE", "MASE", "OWA"))
    print(f"| {name} | {seconds:.0f} | {numbers} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--validate", action="store_true")
    parser.add_argument(
        "--members", type=int, default=4, help="networks whose forecasts are averaged"
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    train, test = read(args.folder, args.validate)
    print("| method | seconds | sMAPE | MASE | OWA |\n|---|---|---|---|---|")
    daily = np.stack([np.tile(row[-DAY:], HORIZON // DAY) for row in train])
    show("seasonal naive", 0, score(train, test, daily))

    lengths = [len(row) for row in train]
    index = pd.MultiIndex.from_arrays(
        [
            np.repeat(np.arange(len(train)), lengths),
            np.concatenate([np.arange(n) for n in lengths]),
        ],
        names=["series", "hour"],
    )
    offset = np.array([OFFSET * row.mean() for row in train])
    y = pd.DataFrame({"value": np.log(np.concatenate(train) + np.repeat(offset, lengths))}, index)
    members = [
        (str(seed), LSTMForecaster(**SETTINGS, random_state=seed))
        for seed in range(args.seed, args.seed + args.members)
    ]
    began = time.perf_counter()
    forecaster = EnsembleForecaster(members, n_jobs=1).fit(y, fh=range(1, HORIZON + 1))
    made = forecaster.predict()["value"].to_numpy().reshape(test.shape)
    seconds = time.perf_counter() - began
    show(
        f"skrnn LSTM, {args.members} networks",
        seconds,
        score(train, test, np.exp(made) - offset[:, None]),
    )


if __name__ == "__main__":
    main()
