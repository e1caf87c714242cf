"""Time of `fit` alone, and beside a process that keeps one core busy.

    python examples/benchmarks/busy_machine.py

A year of simulated hours is fitted with the defaults, by each strategy, with torch's default number
of threads and with one. The competitor is an endless loop. Fits alone and beside it take turns, and
the median of each counts. Nothing else may run on the machine. It takes three minutes on two cores.
"""

import argparse
import subprocess
import sys
import time
from contextlib import contextmanager
from statistics import median

import results
import torch

from skrnn import GRUForecaster, LSTMForecaster
from skrnn.datasets import make_hourly_load

FORECASTERS = {"GRU": GRUForecaster, "LSTM": LSTMForecaster}


@contextmanager
def competitor():
    """A process that keeps one core busy."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def seconds(forecaster, y):
    """Return the seconds that a fit takes."""
    began = time.perf_counter()
    forecaster.fit(y, fh=range(1, 25))
    return time.perf_counter() - began


def compared(forecaster, y, repeats):
    """Return the median seconds of a fit alone, and beside a competitor."""
    alone, beside = [], []
    for _ in range(repeats):
        alone.append(seconds(forecaster, y))
        with competitor():
            beside.append(seconds(forecaster, y))
    return median(alone), median(beside)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--hours", type=int, default=8_760)
    parser.add_argument("--repeats", type=int, default=3)
    results.add_argument(parser)
    args = parser.parse_args()
    y = make_hourly_load(n_series=1, n_hours=args.hours, random_state=0).droplevel(0).iloc[:, 0]
    rows, most = [], torch.get_num_threads()
    for name, Forecaster in FORECASTERS.items():
        for strategy in ("recursive", "multioutput"):
            forecaster = Forecaster(strategy, device="cpu", random_state=0)
            for threads in sorted({1, most}, reverse=True):
                torch.set_num_threads(threads)
                forecaster.clone().fit(y.iloc[:500], fh=range(1, 25))  # compiles
                alone, beside = compared(forecaster, y, args.repeats)
                print(f"{name} {strategy}, {threads} threads: {alone:.2f} s, {beside:.2f} s beside")
                rows.append(
                    {
                        "cell": name,
                        "strategy": strategy,
                        "threads": threads,
                        "alone, s": alone,
                        "beside, s": beside,
                        "ratio": beside / alone,
                    }
                )
    torch.set_num_threads(most)
    results.write(args.json, rows)


if __name__ == "__main__":
    main()
