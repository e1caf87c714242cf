"""On a GPU: targets a second by hidden size, seconds to an sMAPE, and the tutorial, all on PJM.

Run `SKRNN_DATA=... python gpu.py [device]`; without a CUDA device it measures the CPU. TFLOP/s
count the products of the recurrent layer, forward and backward; `overhead.py`, which takes a device
too, measures what an epoch spends beside forward, backward and optimiser step.
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
STEP = 19  # one test hour in nineteen is scored; all hours of the day take turns


def score(forecaster, y, begin):
    """Mean sMAPE of the regions, one hour ahead, over a sample of the test hours."""
    place = y.groupby(level=0).cumcount()
    cutoffs = y.index[(place >= begin - 1) & ((place - begin) % STEP == 0)]
    last = y.groupby(level=0).tail(1).index
    made = backtest(forecaster, y, fh=[1], cutoffs=cutoffs.difference(last))
    true, forecast = made["y_true"], made["y_pred"]
    error = 200 * (true - forecast).abs() / (true.abs() + forecast.abs())
    return error.groupby(level=0).mean().mean()


def main(device="auto"):
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor()
    print(f"{name or platform.machine()}, torch {torch.__version__}, device={device!r}\n")
    y = fetch_pjm_load()
    n = y.groupby(level=0)[y.columns[0]].transform("size")
    begin = n - (0.1 * (n - 90)).astype(int)
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
                    print(f"| {cell} | {row} | {6 * weights * speed / 1e12:.2f} |", flush=True)

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
                began = time.perf_counter()
                forecaster.fit(train)
                seconds = time.perf_counter() - began
                error = score(forecaster, y, begin)
                row = f"{batch_size} | {lr:.1e} | {num_epochs} | {seconds:.1f} | {error:.3f}"
                print(f"| {cell} | {row} |", flush=True)

    print("\nThe tutorial's protocol:", flush=True)
    script = Path(__file__).parents[1] / "compare_gru_lstm.py"
    options = ["--protocol", "tutorial", "--device", device, "--figure", "gpu_tutorial.png"]
    subprocess.run([sys.executable, script, *options], check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
