"""Time and peak memory of `fit` against the size of the data, up to 20 million values.

    python examples/benchmarks/data_size.py

Each size is fitted in a new process: one epoch on an hourly panel of float32 values, with at most
100,000 in a series. Memory is the peak of the process minus its peak after all imports. The
fits take 20 seconds in all on two cores (AMD EPYC with AVX-512, torch 2.13).
"""

import argparse
import json
import resource
import subprocess
import sys
import time

import results

VALUES_PER_SERIES = 100_000  # at most
SIZES = [100_000, 300_000, 1_000_000, 3_000_000, 10_000_000, 20_000_000]


def peak():
    """Peak resident memory of this process so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def measure(n):
    """Fit on n values and print seconds and bytes as JSON."""
    import numpy as np
    import pandas as pd

    from skrnn import GRUForecaster

    settings = {"num_epochs": 1, "random_state": 0, "hidden_size": 8, "batch_size": 512}

    def panel(n):
        stamps = pd.date_range("2000", periods=min(n, VALUES_PER_SERIES), freq="h")
        index = pd.MultiIndex.from_product([range(max(1, n // VALUES_PER_SERIES)), stamps])
        values = np.random.default_rng(0).normal(size=len(index)).astype(np.float32)
        return pd.DataFrame({"y": values}, index=index)

    GRUForecaster(**settings).fit(panel(1000))  # imports and compiles
    before = peak()
    y = panel(n)
    with_data = peak()
    start = time.perf_counter()
    forecaster = GRUForecaster(**settings).fit(y)
    seconds = time.perf_counter() - start
    epoch = float(forecaster.history_["seconds"].sum())
    print(
        json.dumps(
            {
                "n": n,
                "seconds": seconds,
                "epoch": epoch,
                "data": with_data - before,
                "peak": peak() - before,
            }
        )
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    results.add_argument(parser)
    args = parser.parse_args()
    if args.measure:
        measure(args.measure)
        return
    rows = []
    print("| values | fit, s | the epoch alone, s | data, MB | peak, MB | bytes per value |")
    print("|---|---|---|---|---|---|", flush=True)
    for n in SIZES:
        command = [sys.executable, __file__, "--measure", str(n)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        row = {"values": n, "fit, s": found["seconds"], "the epoch alone, s": found["epoch"]}
        row |= {"data, MB": found["data"] / 1e6, "peak, MB": found["peak"] / 1e6}
        row["bytes per value"] = found["peak"] / n
        rows.append(row)
        times = f"{found['seconds']:.2f} | {found['epoch']:.2f}"
        sizes = f"{row['data, MB']:.0f} | {row['peak, MB']:.0f} | {row['bytes per value']:.0f}"
        print(f"| {n:,} | {times} | {sizes} |", flush=True)
    results.write(args.json, rows)


def plot(rows):
    """Plot peak memory and time on logarithmic scales."""
    import matplotlib.pyplot as plt

    figure, (memory, seconds) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    n = rows["values"]
    memory.plot(n, rows["peak, MB"], "o-", label="peak of fit, including the data")
    memory.plot(n, rows["data, MB"], "s--", label="the data")
    memory.set(ylabel="MB above the imports")
    seconds.plot(n, rows["fit, s"], "o-", label="fit, one epoch")
    seconds.plot(n, rows["the epoch alone, s"], "s--", label="the epoch")
    seconds.set(ylabel="seconds")
    for axes in (memory, seconds):
        axes.set(xscale="log", yscale="log", xlabel="values")
        axes.legend()
    return figure


if __name__ == "__main__":
    main()
