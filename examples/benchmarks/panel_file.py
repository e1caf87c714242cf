"""A panel in a file against one in memory: resident memory and speed of training.

    python examples/benchmarks/panel_file.py
    python examples/benchmarks/panel_file.py --values 1e9 --ways file
    python examples/benchmarks/panel_file.py --values --forecast 1000000

Each fit runs in a process of its own, on hourly series of equal length, and stops after some steps.
Memory is the largest resident set during the fit, less that before it, when the kernels are
compiled and the user's frame is there; Linux alone tells it. Speed is in targets by second of
processor time during the steps. Files are removed in the end. 1e9 values take 8 GB of disk: an
array, and the panel file built from it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import results
import torch

from skrnn import GRUForecaster
from skrnn.callbacks import Callback, StopAfter
from skrnn.datasets import PanelFile

BYTES_PER_MB, START, SEASON = 2**20, pd.Timestamp("2020-01-01"), 24
ROWS_PER_WRITE = 2**22
# Series forecast from their ends: values of each, and steps ahead.
N_FORECAST_FROM, STEPS_AHEAD = 200, 12


def resident(kind: str) -> float:
    """Resident set of this process in MB: "VmRSS", now, or "VmHWM", the largest so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(kind)) / 1024


class Stopwatch(Callback):
    """Processor time from the first step to the last."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_batch_end(self, training, n_batches) -> None:
        self.times.append(time.process_time())


def write_array(path: Path, n_values: int) -> None:
    """Write random walks around a daily season, float32, some at a time."""
    rng = np.random.default_rng(0)
    with open(path, "wb") as file:
        for first in range(0, n_values, ROWS_PER_WRITE):
            t = np.arange(first, min(first + ROWS_PER_WRITE, n_values))
            walk = rng.normal(scale=0.2, size=len(t)).cumsum()
            season = 10 * np.sin(2 * np.pi * t / SEASON)
            file.write((100 + season + walk).astype(np.float32).tobytes())


def child(way: str, folder: Path, length: int, steps: int) -> dict[str, float]:
    """What one process does, and what it took."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    clock = Stopwatch()
    forecaster = GRUForecaster(
        num_epochs=1, random_state=0, callbacks=[clock, StopAfter(steps)], lr_scheduler=None
    )
    array = np.memmap(folder / "array", np.float32, "r")
    lengths, path, y = np.full(len(array) // length, length), folder / "panel", None
    if way == "memory":
        dates = pd.date_range(START, periods=length, freq="h")
        index = pd.MultiIndex.from_product([range(len(lengths)), dates])
        y = pd.DataFrame({"y": np.array(array)}, index=index)
    if way != "build":
        few = pd.date_range(START, periods=1_000, freq="h")
        forecaster.fit(pd.DataFrame({"y": array[:1_000]}, index=few))  # compiles the kernels
    if way == "forecast":
        forecaster.fit(PanelFile(path))
    clock.times.clear()
    Path("/proc/self/clear_refs").write_text("5")  # the largest resident set begins anew
    before, begin = resident("VmRSS"), time.process_time()
    if way == "build":
        PanelFile.from_array(path, array, lengths=lengths, start=START, freq="h")
    elif way == "forecast":
        forecaster.predict_to_parquet(folder / "forecasts", fh=range(1, STEPS_AHEAD + 1))
    else:
        forecaster.fit(PanelFile(path) if y is None else y)
    row = {"MB": resident("VmHWM") - before, "seconds": time.process_time() - begin}
    if len(clock.times) > 1:
        targets = (len(clock.times) - 1) * forecaster.batch_size * forecaster.window_length
        row["targets/s"] = targets / (clock.times[-1] - clock.times[0])
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--values", type=float, nargs="*", default=[1e7])
    parser.add_argument("--ways", nargs="+", default=["file", "memory"])
    parser.add_argument("--length", type=int, default=10_000, help="values of each series")
    parser.add_argument("--steps", type=int, default=300, help="of the optimiser")
    parser.add_argument("--forecast", type=int, default=0, help="series to forecast from a file")
    parser.add_argument("--folder", type=Path, help="on the disk to use")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    results.add_argument(parser)
    args = parser.parse_args()
    if args.child:
        way, folder = args.child
        print(json.dumps(child(way, Path(folder), args.length, args.steps)))
        return

    sizes = [(int(size) // args.length * args.length, args.length) for size in args.values]
    runs = [(size, length, ["build", *args.ways]) for size, length in sizes]
    if args.forecast:
        runs.append((args.forecast * N_FORECAST_FROM, N_FORECAST_FROM, ["build", "forecast"]))
    rows = []
    for n_values, length, ways in runs:
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            write_array(Path(folder) / "array", n_values)
            for way in ways:
                command = [sys.executable, __file__, "--child", way, folder]
                command += ["--length", str(length), "--steps", str(args.steps)]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                rows.append({"values": n_values, "way": way, **json.loads(output)})
                rows[-1]["bytes a value"] = rows[-1]["MB"] * BYTES_PER_MB / n_values
                print(pd.DataFrame(rows[-1:]).round(1).to_string(index=False), flush=True)
    results.write(args.json, rows)


if __name__ == "__main__":
    main()
