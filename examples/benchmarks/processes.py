"""Training by one process and by two that take part in a group, each with one thread.

    python examples/benchmarks/processes.py

Twelve simulated regions are trained on with the defaults for some epochs. Each process computes its
share of every batch, and one all-reduce a step adds the gradients (gloo, over the loopback device).
A step takes its part of the median time of an epoch. Efficiency is the time of one process over n
times that of n. The all-reduce alone is timed as well, and two processes that train on half a batch
each at the same time, and do not join: what the machine costs.

Steps of more processes are predicted: one process is timed with the n-th part of the batch, and a
ring of all-reduce takes the latency of a network 2 (n - 1) times, and 2 (n - 1) / n times the time
of sending all gradients. It needs two free cores, and three minutes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median

import results
import torch
from torch import distributed

from skrnn import GRUForecaster
from skrnn.datasets import make_hourly_load

N_WARM_UP, N_TIMED, N_EPOCHS = 20, 100, 8
# A data centre's network: seconds of a message, and bytes a second (10 Gbit/s).
LATENCY, BANDWIDTH = 30e-6, 1.25e9
MEASURED, PREDICTED = (1, 2), (2, 4, 8, 16)


def join(folder, rank, n):
    """Join a group of n processes that find each other by a file."""
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/group{n}", rank=rank, world_size=n
    )


def all_reduce_seconds(n_numbers):
    """Median seconds of adding up so many numbers of all processes."""
    numbers, took = torch.zeros(n_numbers), []
    for _ in range(N_WARM_UP + N_TIMED):
        begin = time.perf_counter()
        distributed.all_reduce(numbers)
        took.append(time.perf_counter() - begin)
    return median(took[N_WARM_UP:])


def child(folder, rank, n, args):
    """What one process does; returns the milliseconds of a step."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    load = make_hourly_load(n_series=12, n_hours=args.hours, random_state=0)
    forecaster = GRUForecaster(num_epochs=N_EPOCHS, validation_split=None, random_state=0)
    per_batch = forecaster.batch_size * forecaster.window_length
    forecaster.set_params(batch_size=forecaster.batch_size // args.parts)
    forecaster.clone().set_params(num_epochs=1).fit(load.groupby(level=0).tail(500))  # compiles
    if n > 1:
        join(folder, rank, n)
    forecaster.fit(load)
    per_second = forecaster.history_["targets_per_second"].median()
    row = {"step ms": 1e3 * per_batch / args.parts / per_second}
    row["loss"] = float(forecaster.history_["loss"].iloc[-1])
    row["numbers"] = sum(weight.numel() for weight in forecaster.network_.parameters())
    if n > 1:
        row["all-reduce ms"] = 1e3 * all_reduce_seconds(row["numbers"])
        distributed.destroy_process_group()
    return row


def run(n, args, parts=1, is_group=True):
    """Train on n processes, on the given part of a batch; returns the row of the first."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    given = ["--hours", str(args.hours), "--parts", str(parts)]
    with tempfile.TemporaryDirectory() as folder:
        children = [
            subprocess.Popen(
                [sys.executable, __file__, *given, "--child", folder, *map(str, place)],
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
            for place in ([(rank, n) for rank in range(n)] if is_group else [(0, 1)] * n)
        ]
        outputs = [process.communicate()[0] for process in children]
    if any(process.returncode for process in children):
        raise SystemExit(f"A process of {n} has failed.")
    return {"processes": n, **json.loads(outputs[0])}


def predicted(n, args):
    """The row of n processes in a data centre."""
    row = run(1, args, parts=n)
    sent = 4 * row["numbers"] / BANDWIDTH
    reduced = 1e3 * (2 * (n - 1) * LATENCY + 2 * (n - 1) / n * sent)
    return {"processes": n, "step ms": row["step ms"] + reduced, "all-reduce ms": reduced}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--hours", type=int, default=10_000)
    parser.add_argument("--parts", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    results.add_argument(parser)
    args = parser.parse_args()
    if args.child:
        folder, rank, n = args.child
        print(json.dumps(child(Path(folder), int(rank), int(n), args)))
        return
    rows = [{"way": "joined", **run(n, args)} for n in MEASURED]
    rows += [{"way": "side by side", **run(n, args, parts=n, is_group=False)} for n in MEASURED[1:]]
    rows += [{"way": "predicted", **predicted(n, args)} for n in PREDICTED]
    alone = rows[0]["step ms"]
    for row in rows:
        row["efficiency"] = alone / (row["processes"] * row["step ms"])
        print({key: round(v, 4) if isinstance(v, float) else v for key, v in row.items()})
    results.write(args.json, rows)


if __name__ == "__main__":
    main()
