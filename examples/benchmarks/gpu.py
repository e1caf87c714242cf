"""PJM on a GPU: training speed by hidden size, error by training time, and the tutorial's protocol.

    SKRNN_DATA=<folder of the PJM files> python examples/benchmarks/gpu.py [DEVICE]

The first table has targets and TFLOP per second. The latter count the matrix products of the
recurrent layer, forward and backward. The second table has sMAPE against seconds of training.
Without a CUDA device all is measured on the CPU, which takes hours; the time on a GPU has not been
measured yet. `overhead.py DEVICE` measures what an epoch spends outside of forward, backward and
optimiser step.
"""

import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from skrnn import GRUForecaster, LSTMForecaster, backtest
from skrnn.datasets import fetch_pjm_load

FORECASTERS = {"GRU": GRUForecaster, "LSTM": LSTMForecaster}
STEP = 19  # hours between cutoffs; coprime to 24, so that every hour of the day is scored
TEST_SHARE, LOOK_BACK = 0.1, 90  # of the windows of 90 hours, the last tenth is the test range
# A multiplication and an addition for each weight, forward, and twice as many backward.
FLOP_PER_WEIGHT = 6


def score(forecaster, y, begin):
    """Mean sMAPE of the regions, one hour ahead, over a sample of the test hours."""
    row = y.groupby(level=0).cumcount()
    cutoffs = y.index[(row >= begin - 1) & ((row - begin) % STEP == 0)]
    last = y.groupby(level=0).tail(1).index
    table = backtest(forecaster, y, fh=[1], cutoffs=cutoffs.difference(last))
    true, forecast = table["y_true"], table["y_pred"]
    error = 200 * (true - forecast).abs() / (true.abs() + forecast.abs())
    return error.groupby(level=0).mean().mean()


def main(device="auto"):
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor()
    print(f"{name or platform.machine()}, torch {torch.__version__}, device={device!r}\n")
    y = fetch_pjm_load()
    n = y.groupby(level=0)[y.columns[0]].transform("size")
    begin = n - (TEST_SHARE * (n - LOOK_BACK)).astype(int)
    train = y[y.groupby(level=0).cumcount() < begin]

    columns = "| cell | hidden size | precision | batch | targets/s | TFLOP/s |"
    print(f"{columns}\n|---|---|---|---|---|---|")
    for cell, Forecaster in FORECASTERS.items():
        for hidden_size in (64, 128, 256, 512, 1024):
            for precision in ("float32", "tf32", "bf16"):
                for batch_size in (16, 256):
                    settings = {"hidden_size": hidden_size, "precision": precision}
                    settings |= {"batch_size": batch_size, "device": device, "random_state": 0}
                    forecaster = Forecaster(num_epochs=2, **settings).fit(train)
                    speed = forecaster.history_["targets_per_second"].iloc[-1]
                    weights = sum(p.numel() for p in forecaster.network_.recurrent.parameters())
                    row = f"{hidden_size} | {precision} | {batch_size} | {speed:,.0f}"
                    print(
                        f"| {cell} | {row} | {FLOP_PER_WEIGHT * weights * speed / 1e12:.2f} |",
                        flush=True,
                    )

    print("\n| cell | batch | lr | epochs | seconds | sMAPE % |\n|---|---|---|---|---|---|")
    for cell, Forecaster in FORECASTERS.items():
        for batch_size in (16, 64, 256):
            lr = 4e-3 * np.sqrt(batch_size / 16)
            for num_epochs in (1, 3, 8, 20):
                forecaster = Forecaster(
                    num_epochs=num_epochs,
                    batch_size=batch_size,
                    lr=lr,
                    device=device,
                    random_state=0,
                )
                start = time.perf_counter()
                forecaster.fit(train)
                seconds = time.perf_counter() - start
                error = score(forecaster, y, begin)
                row = f"{batch_size} | {lr:.1e} | {num_epochs} | {seconds:.1f} | {error:.3f}"
                print(f"| {cell} | {row} |", flush=True)

    print("\nThe tutorial's protocol:", flush=True)
    script = Path(__file__).parents[1] / "compare_gru_lstm.py"
    options = ["--protocol", "tutorial", "--device", device, "--figure", "gpu_tutorial.png"]
    subprocess.run([sys.executable, script, *options], check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
