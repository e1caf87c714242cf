"""ETTh1, 96 to 720 hours ahead: MSE and MAE over the test range, on standardised values.

    python examples/benchmarks/etth1.py FOLDER  # of ETTh1.csv

The usual protocol has 8,640 hours of training, 2,880 of validation and 2,880 of test, seven
channels standardised on the training hours, and forecasts from every hour of the test range. One
network is trained on all channels, each as a series. The epoch with the least validation loss is
used. `--train N` trains on the first N hours and scores the 2,880 hours after them instead. The
settings were chosen in this way with N of 5,760 and 8,640, without the test range.

Each of twelve trainings takes about 80 seconds, mostly for validation, on one core (AMD EPYC with
AVX-512, torch 2.13).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import results

from skrnn import RNNForecaster, backtest

TRAIN, VALIDATION, TEST = 8640, 2880, 2880  # hours
# MSE by horizon, published for SegRNN, a GRU over segments, with a look-back of 720 hours.
SEGRNN = {96: 0.351, 192: 0.392, 336: 0.423, 720: 0.466}
SETTINGS = {
    "cell": "lstm",
    "strategy": "multioutput",
    "criterion": "mse",
    "sp": [24, 168, 672],
    "calendar": None,
    "window_length": 720,
    "patch_length": 24,
    "hidden_size": 64,
    "dropout": 0.5,
    "lr": 1e-3,
    "optimizer_kwargs": {"weight_decay": 0.05},
    "num_epochs": 60,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--horizons", type=int, nargs="+", default=list(SEGRNN))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--train", type=int, help="hours of training; scores the 2,880 after")
    parser.add_argument("--params", default="", help="more settings, as in 'num_epochs=3, lr=0.01'")
    results.add_argument(parser)
    args = parser.parse_args()
    settings = SETTINGS | eval(f"dict({args.params})")
    y, train = read(args.folder), args.train or TRAIN
    settings["validation_split"] = VALIDATION / (train + VALIDATION)
    first = train if args.train else TRAIN + VALIDATION
    print("horizon  seed  seconds  best epoch    MSE    MAE  SegRNN's MSE")
    rows = []
    for horizon in args.horizons:
        errors = []
        for seed in args.seeds:
            forecaster = RNNForecaster(**settings, random_state=seed)
            forecaster.fit(y.groupby(level=0).head(train + VALIDATION), fh=range(1, horizon + 1))
            errors.append(errors_of(forecaster, y, first, horizon))
            history = forecaster.history_
            print(
                f"{horizon:7}  {seed:4}  {history['seconds'].sum():7.1f}"
                f"  {history['validation_loss'].argmin() + 1:10}  {shown(errors[-1])}"
                f"  {SEGRNN[horizon]:.3f}",
                flush=True,
            )
            row = {"horizon": horizon, "seed": seed, "seconds": history["seconds"].sum()}
            rows.append(row | scores(errors[-1]))
        # The error of the mean forecast is the mean of the errors.
        mean = np.mean(errors, axis=0)
        print(f"{horizon:7}  mean forecast of these {shown(mean):>17}")
        rows.append({"horizon": horizon, "seed": "mean forecast"} | scores(mean))
        rows.append({"horizon": horizon, "seed": "SegRNN, published", "MSE": SEGRNN[horizon]})
    results.write(args.json, rows)


def scores(error: np.ndarray) -> dict[str, float]:
    """MSE and MAE."""
    return {"MSE": np.mean(error**2), "MAE": np.mean(np.abs(error))}


def shown(error: np.ndarray) -> str:
    """MSE and MAE as text."""
    return "  ".join(f"{score:.3f}" for score in scores(error).values())


def read(folder: Path) -> pd.DataFrame:
    """The channels as a panel, standardised on the training hours."""
    data = pd.read_csv(folder / "ETTh1.csv", parse_dates=["date"], index_col="date")
    data = data.iloc[: TRAIN + VALIDATION + TEST]
    train = data.iloc[:TRAIN]
    scaled = (data - train.mean()) / train.std(ddof=0)
    return pd.concat({name: scaled[[name]].set_axis(["value"], axis=1) for name in scaled})


def errors_of(forecaster: RNNForecaster, y: pd.DataFrame, first: int, horizon: int) -> np.ndarray:
    """Errors (channels, starts, horizon) from every start from hour ``first`` on."""
    channels = []
    for name in y.index.unique(level=0):  # one after the other, to save memory
        channel = y.loc[[name]].iloc[: first + TEST]
        table = backtest(forecaster, channel, fh=range(1, horizon + 1), start=first - 1)
        error = (table["y_true"] - table["y_pred"]).to_numpy(np.float32)
        channels.append(error.reshape(-1, horizon))
    return np.stack(channels)


if __name__ == "__main__":
    main()
