"""Time and peak memory of `fit` against the size of the data, up to 20 million values.

    python examples/benchmarks/data_size.py [FIGURE]

Each size is fitted in a new process: one epoch on an hourly panel of float32 values, with at most
100,000 in a series. Memory is the peak of the process minus its peak after all imports. The
fits take 20 seconds in all on two cores (AMD EPYC with AVX-512, torch 2.13).
"""

import json
import resource
import subprocess
import sys
import time

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


def main(figure=None):
    rows = []
    print("| values | fit, s | the epoch alone, s | data, MB | peak, MB | bytes a value |")
    print("|---|---|---|---|---|---|", flush=True)
    for n in SIZES:
        command = [sys.executable, __file__, "--measure", str(n)]
        row = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        rows.append(row)
        megabytes = f"{row['data'] / 1e6:.0f} | {row['peak'] / 1e6:.0f}"
        times = f"{row['seconds']:.2f} | {row['epoch']:.2f}"
        print(f"| {n:,} | {times} | {megabytes} | {row['peak'] / n:.0f} |", flush=True)
    if figure:
        plot(rows, figure)


def plot(rows, path):
    """Plot peak memory and time on logarithmic scales."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (memory, seconds) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    n = [row["n"] for row in rows]
    memory.plot(
        n, [row["peak"] / 1e6 for row in rows], "o-", label="peak of fit, including the data"
    )
    memory.plot(n, [row["data"] / 1e6 for row in rows], "s--", label="the data")
    memory.set(ylabel="MB above the imports")
    seconds.plot(n, [row["seconds"] for row in rows], "o-", label="fit, one epoch")
    seconds.plot(n, [row["epoch"] for row in rows], "s--", label="the epoch")
    seconds.set(ylabel="seconds")
    for axes in (memory, seconds):
        axes.set(xscale="log", yscale="log", xlabel="values")
        axes.legend()
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(int(sys.argv[2]))
    else:
        main(*sys.argv[1:])
