"""Seconds of `explain` relative to those of `predict`.

    python examples/benchmarks/explain_speed.py

It takes two minutes on one core.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import results
import torch

from skrnn import GRUForecaster, explain
from skrnn.datasets import make_hourly_load

REPEATS = 9


def seconds(*calls: Callable) -> list[float]:
    """Least seconds of CPU time of each call, the calls taking turns."""
    best = [float("inf")] * len(calls)
    for _ in range(REPEATS):
        for k, call in enumerate(calls):
            start = time.process_time()
            call()
            best[k] = min(best[k], time.process_time() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    results.add_argument(parser)
    args = parser.parse_args()
    torch.set_num_threads(1)  # process_time adds the threads up
    print("strategy     series  steps  predict, ms  explain  with inputs=True")
    rows = []
    for strategy in ("recursive", "multioutput"):
        for n_series in (1, 12):
            y = make_hourly_load(n_series=n_series, n_hours=1500, random_state=0)
            for horizon in (24, 168):
                fh = range(1, horizon + 1)
                forecaster = GRUForecaster(strategy=strategy, num_epochs=1, random_state=0)
                forecaster.fit(y, fh=fh)
                predict, base, inputs = seconds(
                    forecaster.predict,
                    lambda f=forecaster: explain(f),
                    lambda f=forecaster: explain(f, inputs=True),
                )
                print(
                    f"{strategy:11}  {n_series:6}  {horizon:5}  {1e3 * predict:11.1f}  "
                    f"{base / predict:7.2f}  {inputs / predict:16.2f}",
                    flush=True,
                )
                row = {"strategy": strategy, "series": n_series, "steps": horizon}
                row |= {"predict, ms": 1e3 * predict, "explain": base / predict}
                rows.append(row | {"with inputs=True": inputs / predict})
    results.write(args.json, rows)


if __name__ == "__main__":
    main()
