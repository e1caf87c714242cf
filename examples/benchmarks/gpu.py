"""PJM on a GPU: error by training time, the tutorial's protocol, and training speed by size.

    SKRNN_DATA=<folder of the PJM files> python examples/benchmarks/gpu.py [--device DEVICE]

The first table has the sMAPE of the next hour, of regions' mean, against the seconds of `fit` and
of its training alone. The second is the tutorial's protocol. The last has targets and TFLOP per
second; the latter count the matrix products of the recurrent layer, forward and backward. All takes
five minutes on an NVIDIA H200, and hours without a CUDA device.
"""

import argparse
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import results
import torch

from skrnn import GRUForecaster, LSTMForecaster, backtest
from skrnn.datasets import fetch_pjm_load

FORECASTERS = {"GRU": GRUForecaster, "LSTM": LSTMForecaster}
STEP = 19  # hours between cutoffs; coprime to 24, so that every hour of the day is scored
TEST_SHARE, LOOK_BACK = 0.1, 90  # of the windows of 90 hours, the last tenth is the test range
# A multiplication and an addition for each weight, forward, and twice as many backward.
FLOP_PER_WEIGHT = 6
# Two regions of 145,000 hours show the speed as twelve do, in less time.
TIMED_REGIONS = ["PJME", "DAYTON"]
SPEEDS = [(16, "float32"), (256, "float32"), (256, "bf16")]


def score(forecaster, y, begin):
    """Mean sMAPE of the regions, one hour ahead, over a sample of the test hours."""
    row = y.groupby(level=0).cumcount()
    cutoffs = y.index[(row >= begin - 1) & ((row - begin) % STEP == 0)]
    last = y.groupby(level=0).tail(1).index
    table = backtest(forecaster, y, fh=[1], cutoffs=cutoffs.difference(last))
    true, forecast = table["y_true"], table["y_pred"]
    error = 200 * (true - forecast).abs() / (true.abs() + forecast.abs())
    return error.groupby(level=0).mean().mean()


def errors_by_time(y, begin, device):
    """Print the error after so many epochs, the last time at the defaults, and return the rows."""
    rows = []
    train = y[y.groupby(level=0).cumcount() < begin]
    GRUForecaster(num_epochs=1, device=device).fit(train)  # loads the libraries of the device
    columns = "| cell | batch | lr | epochs | fit, s | training, s | sMAPE % |"
    print(f"{columns}\n|---|---|---|---|---|---|---|")
    for cell, Forecaster in FORECASTERS.items():
        for batch_size, num_epochs in [
            *((16, n) for n in (1, 3, 8, 20)),
            *((64, n) for n in (3, 20)),
            (16, "auto"),
        ]:
            lr = Forecaster().lr * np.sqrt(batch_size / 16)
            settings = {"num_epochs": num_epochs, "batch_size": batch_size, "lr": lr}
            start = time.perf_counter()
            forecaster = Forecaster(**settings, device=device, random_state=0).fit(train)
            seconds = time.perf_counter() - start
            training = forecaster.history_["seconds"].sum()
            epochs = len(forecaster.history_) if num_epochs == "auto" else num_epochs
            error = score(forecaster, y, begin)
            row = f"{batch_size} | {lr:.1e} | {epochs} | {seconds:.1f} | {training:.1f}"
            print(f"| {cell} | {row} | {error:.3f} |", flush=True)
            row = {"part": "errors", "cell": cell, "batch": batch_size, "lr": lr, "epochs": epochs}
            rows.append(row | {"fit, s": seconds, "training, s": training, "sMAPE %": error})
    return rows


def tutorial(device):
    """Run the tutorial's protocol, which prints its own table."""
    print("\nThe tutorial's protocol:", flush=True)
    script = Path(__file__).parents[1] / "compare_gru_lstm.py"
    options = ["--protocol", "tutorial", "--device", device, "--figure", "gpu_tutorial.png"]
    subprocess.run([sys.executable, script, *options], check=True)


def speeds(y, device):
    """Print targets and operations per second by size, precision and batch, and return them."""
    rows = []
    y = y.loc[TIMED_REGIONS]
    columns = "| cell | hidden size | batch | precision | targets/s | TFLOP/s |"
    print(f"\n{columns}\n|---|---|---|---|---|---|")
    for cell, Forecaster in FORECASTERS.items():
        for hidden_size in (64, 128, 256, 512, 1024):
            for batch_size, precision in SPEEDS:
                speed_of = f"batch {batch_size}" + ", bf16" * (precision == "bf16")
                settings = {"hidden_size": hidden_size, "precision": precision}
                settings |= {"batch_size": batch_size, "device": device, "random_state": 0}
                forecaster = Forecaster(num_epochs=4, **settings).fit(y)
                speed = forecaster.history_["targets_per_second"].max()
                weights = sum(p.numel() for p in forecaster.network_.recurrent.parameters())
                row = f"{hidden_size} | {batch_size} | {precision} | {speed:,.0f}"
                tflop = FLOP_PER_WEIGHT * weights * speed / 1e12
                print(f"| {cell} | {row} | {tflop:.2f} |", flush=True)
                row = {"part": "speeds", "cell": cell, "hidden size": hidden_size}
                rows.append(row | {"speed of": speed_of, "targets/s": speed, "TFLOP/s": tflop})
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="auto")
    results.add_argument(parser)
    args = parser.parse_args()
    device = args.device
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor()
    print(f"{name or platform.machine()}, torch {torch.__version__}, device={device!r}\n")
    y = fetch_pjm_load()
    n = y.groupby(level=0)[y.columns[0]].transform("size")
    begin = n - (TEST_SHARE * (n - LOOK_BACK)).astype(int)
    rows = errors_by_time(y, begin, device)
    tutorial(device)
    rows += speeds(y, device)
    results.write(args.json, rows)


if __name__ == "__main__":
    main()
