"""ETTh1, 96 to 720 hours ahead: MSE and MAE of the test range on standardised values.

    python examples/benchmarks/etth1.py FOLDER  # that of ETTh1.csv

The usual protocol: 8,640 hours of training, 2,880 of validation, 2,880 of test; seven channels,
standardised on the training hours; forecasts from every start. One network for the seven channels,
each a series of its own. Validation chooses the epoch. `--train N` trains on the first N hours and
scores the 2,880 hours of validation that follow them: settings were chosen with 5,760 and 8,640.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from skrnn import RNNForecaster, backtest

TRAIN, VALIDATION, TEST = 8640, 2880, 2880
# Published for SegRNN, a GRU over segments, with a look-back of 720.
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
    parser.add_argument("--train", type=int, help="hours of training, to score those that follow")
    parser.add_argument("--params", default="", help="others, as in 'num_epochs=3, lr=0.01'")
    args = parser.parse_args()
    settings = SETTINGS | eval(f"dict({args.params})")
    y, train = read(args.folder), args.train or TRAIN
    settings["validation_split"] = VALIDATION / (train + VALIDATION)
    first = train if args.train else TRAIN + VALIDATION
    print("horizon  seed  seconds  best epoch    MSE    MAE  SegRNN's MSE")
    for horizon in args.horizons:
        errors = []
        for seed in args.seeds:
            forecaster = RNNForecaster(**settings, random_state=seed)
            forecaster.fit(y.groupby(level=0).head(train + VALIDATION), fh=range(1, horizon + 1))
            errors.append(errors_of(forecaster, y, first, horizon))
            history = forecaster.history_
            print(
                f"{horizon:7}  {seed:4}  {history['seconds'].sum():7.1f}"
                f"  {history['validation_loss'].argmin() + 1:10}  {scores(errors[-1])}"
                f"  {SEGRNN[horizon]:.3f}",
                flush=True,
            )
        # The error of a mean of forecasts is the mean of their errors.
        print(f"{horizon:7}  mean forecast of these {scores(np.mean(errors, axis=0)):>17}")


def scores(error: np.ndarray) -> str:
    """MSE and MAE."""
    return f"{np.mean(error**2):.3f}  {np.mean(np.abs(error)):.3f}"


def read(folder: Path) -> pd.DataFrame:
    """The channels as a panel, standardised on the training hours."""
    data = pd.read_csv(folder / "ETTh1.csv", parse_dates=["date"], index_col="date")
    data = data.iloc[: TRAIN + VALIDATION + TEST]
    train = data.iloc[:TRAIN]
    scaled = (data - train.mean()) / train.std(ddof=0)
    return pd.concat({name: scaled[[name]].set_axis(["value"], axis=1) for name in scaled})


def errors_of(forecaster: RNNForecaster, y: pd.DataFrame, first: int, horizon: int) -> np.ndarray:
    """Errors (channels, starts, horizon) from every start from hour ``first`` on."""
    made = []
    for name in y.index.unique(level=0):  # one at a time, for memory
        channel = y.loc[[name]].iloc[: first + TEST]
        table = backtest(forecaster, channel, fh=range(1, horizon + 1), start=first - 1)
        error = (table["y_true"] - table["y_pred"]).to_numpy(np.float32)
        made.append(error.reshape(-1, horizon))
    return np.stack(made)


if __name__ == "__main__":
    main()
