"""Change one setting at a time and measure the error, on the training ranges of PJM and M4 Hourly.

    SKRNN_DATA=<folder of the PJM files> python examples/benchmarks/ablation.py pjm
    python examples/benchmarks/ablation.py m4 FOLDER  # of Hourly-train.csv and Hourly-test.csv

The end of the training range is held out and scored. PJM: the next hour, with the defaults of
`GRUForecaster` except for fewer epochs. M4: the settings of m4_hourly.py with a quarter of the
epochs. All rows train for the same number of epochs, except "windows, loss at the last step", which
trains for as many seconds as the reference.

On one core (AMD EPYC with AVX-512, torch 2.13) PJM takes 6 minutes and M4 12 minutes.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))
import m4_hourly
import pjm_accuracy
import results

from skrnn.callbacks import Callback

EPOCHS = {"pjm": 6, "m4": 16}
SHARED = {
    "no naive forecasts": {"naive": None},
    "change from the last value": {"naive": ["last"]},
    "no averaged, leveled, mean": {"naive": ["last", "seasonal", "shifted"]},
    "no lags as inputs": {"lags": None},
    "constant learning rate": {"lr_scheduler": None},
    "squared loss": {"criterion": "mse"},
    "dropout 0.2": {"dropout": 0.2},
    "windows, loss at the last step": {"supervision": "last", "batch_size": 256},
}
PJM = {
    "no calendar": {"calendar": None},
    "calendar of the hour before": {"calendar": None, "before": True},
    "holidays": {"holidays": "US"},
    "256 units": {"hidden_size": 256},
}
M4 = {
    "recursive": {"strategy": "recursive"},
    "no logarithm": {"log": False},
    "no dropout": {"dropout": 0.0},
    "sp=24": {"sp": 24},
}


class Deadline(Callback):
    """Ends training after a number of seconds."""

    def __init__(self, seconds):
        self.seconds = seconds

    def on_train_begin(self, training, num_epochs):
        self.start = time.perf_counter()

    def on_batch_end(self, training, n_batches):
        return time.perf_counter() - self.start > self.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", choices=["pjm", "m4"])
    parser.add_argument("folder", type=Path, nargs="?", help="folder of the M4 files")
    parser.add_argument("--num-epochs", type=int)
    results.add_argument(parser)
    args = parser.parse_args()
    epochs = args.num_epochs or EPOCHS[args.data]
    score = pjm() if args.data == "pjm" else m4(args.folder)
    print("| setting | seconds | error | of the reference |\n|---|---|---|---|", flush=True)
    seconds, reference = score({"num_epochs": epochs})
    print(f"| reference | {seconds:.0f} | {reference:.3f} | |", flush=True)
    rows = [{"data": args.data, "setting": "reference", "seconds": seconds, "error": reference}]
    for name, change in (SHARED | (PJM if args.data == "pjm" else M4)).items():
        change = {"num_epochs": epochs} | change
        if "supervision" in change:
            # A schedule needs the number of epochs, which is unknown here: the rate is constant.
            change |= {"num_epochs": 1, "callbacks": [Deadline(seconds)], "lr_scheduler": None}
        took, error = score(change)
        print(f"| {name} | {took:.0f} | {error:.3f} | {error / reference:.3f} |", flush=True)
        row = {"data": args.data, "setting": name, "seconds": took, "error": error}
        rows.append(row | {"relative": error / reference})
    results.write(args.json, rows)


def pjm():
    """Return a function that scores a setting by the next hour's sMAPE, averaged over regions."""
    load = pjm_accuracy.read(validate=True)
    waves = calendar_before(load.index)

    def score(change):
        change = dict(change)
        X = waves if change.pop("before", False) else None
        settings = {"cell": "gru", "random_state": 0} | change
        forecaster, errors = pjm_accuracy.run(settings, load, [1], X)
        return forecaster.history_["seconds"].sum(), errors[1].mean()

    return score


def calendar_before(index: pd.MultiIndex) -> pd.DataFrame:
    """The calendar features of `calendar="auto"`, but for the hour before the target."""
    time = index.get_level_values(-1) - pd.Timedelta(hours=1)
    cycles = {"hour": (time.hour / 24, 2), "week": (time.dayofweek / 7, 3)}
    cycles["year"] = ((time.dayofyear - 1) / 366, 2)
    waves = {}
    for name, (phase, harmonics) in cycles.items():
        for k in range(1, harmonics + 1):
            waves[f"{name} sin {k}"] = np.sin(2 * np.pi * k * phase)
            waves[f"{name} cos {k}"] = np.cos(2 * np.pi * k * phase)
    return pd.DataFrame(waves, index=index)


def m4(folder: Path):
    """Return a function that scores a setting by OWA."""
    train, test = m4_hourly.read(folder, validate=True)

    def score(change):
        forecaster, forecast = m4_hourly.fit(train, **m4_hourly.SETTINGS | change)
        return forecaster.history_["seconds"].sum(), m4_hourly.score(train, test, forecast)["OWA"]

    return score


if __name__ == "__main__":
    main()
