"""Time of `fit` outside of forward, backward, clipping and optimiser step.

    SKRNN_DATA=<folder of the PJM files> python examples/benchmarks/overhead.py

The first table has the seconds of an epoch on PJM at the default size, with all threads, and the
shares of its parts on one thread, measured with a clock around the parts of a step. The second
table has the time of `fit` and `predict` on the 144 months of the airline series, and what remains
of it without the epochs. Both are of the CPU: a GPU gets all parts of a step at once.
The trainings take three minutes on two cores (AMD EPYC with AVX2, torch 2.13).
"""

import argparse
import time
from collections import defaultdict
from statistics import median
from unittest.mock import patch

import results
import torch
from sktime.datasets import load_airline

from skrnn import GRUForecaster, LSTMForecaster
from skrnn.datasets import fetch_pjm_load
from skrnn.distributions import Point
from skrnn.network.network import RecurrentNetwork
from skrnn.training.trainer import Trainer

# Parts of a step that any training loop has. The loss counts as forward.
INSIDE = ("forward", "backward", "clip", "step")
FORECASTERS = {"GRU": GRUForecaster, "LSTM": LSTMForecaster}


def shares(Forecaster, y):
    """Return the seconds of two epochs, and of each part of their steps, on one thread.

    Two threads would each take a part of a batch through forward and backward, at the same time.
    """
    spent = defaultdict(float)

    def timed(name, function):
        def call(*args, **kwargs):
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                spent[name] += time.perf_counter() - start

        return call

    settings = {"device": "cpu", "random_state": 0}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    Forecaster(num_epochs=1, **settings).fit(y.groupby(level=0).head(500))  # compiles
    with (
        patch.object(RecurrentNetwork, "__call__", timed("forward", RecurrentNetwork.__call__)),
        patch.object(Point, "mean_loss", timed("forward", Point.mean_loss)),
        patch.object(RecurrentNetwork, "penalty", timed("forward", RecurrentNetwork.penalty)),
        patch.object(torch.Tensor, "backward", timed("backward", torch.Tensor.backward)),
        patch.object(Trainer, "_clip", timed("clip", Trainer._clip)),
        patch.object(torch.optim.AdamW, "step", timed("step", torch.optim.AdamW.step)),
        patch.object(Trainer, "step", timed("all of a step", Trainer.step)),
    ):
        forecaster = Forecaster(num_epochs=2, **settings).fit(y)
    torch.set_num_threads(threads)
    return forecaster.history_["seconds"].sum(), spent


def fixed(Forecaster, y, repeats=7):
    """Return the median seconds of fit and predict on a short series, with and without training."""
    total, rest = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        forecaster = Forecaster(device="cpu", random_state=0).fit(y, fh=range(1, 13))
        forecaster.predict()
        total.append(time.perf_counter() - start)
        rest.append(total[-1] - forecaster.history_["seconds"].sum())
    return median(total), median(rest)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    results.add_argument(parser)
    args = parser.parse_args()
    y, short = fetch_pjm_load(), load_airline()
    print("| cell | epoch, s | forward | backward | clip | step | rest | gather | outside |")
    print("|---|---|---|---|---|---|---|---|---|")
    rows = []
    for cell, Forecaster in FORECASTERS.items():
        seconds, spent = shares(Forecaster, y)
        inside = [spent[name] for name in INSIDE]
        parts = [*inside, spent["all of a step"] - sum(inside), seconds - spent["all of a step"]]
        parts.append(seconds - sum(inside))
        row = " | ".join(f"{part / seconds:.1%}" for part in parts)
        trained = Forecaster(num_epochs=2, device="cpu", random_state=0).fit(y)
        epoch = trained.history_["seconds"].mean()
        print(f"| {cell} | {epoch:.2f} | {row} |", flush=True)
        shared = [part / seconds for part in parts]
        names = [*INSIDE, "rest", "gather", "outside"]
        row = {"part": "epoch", "cell": cell, "epoch, s": epoch}
        rows.append(row | dict(zip(names, shared, strict=True)))
    print("\n| cell | fit and predict, 144 months, s | without training, s |\n|---|---|---|")
    for cell, Forecaster in FORECASTERS.items():
        total, rest = fixed(Forecaster, short)
        print(f"| {cell} | {total:.3f} | {rest:.3f} |")
        row = {"part": "short", "cell": cell, "fit and predict, 144 months, s": total}
        rows.append(row | {"without training, s": rest})
    results.write(args.json, rows)


if __name__ == "__main__":
    main()
