r"""Train one network on several processes, of one machine or of many.

    SKRNN_DATA=<folder of the PJM files> torchrun --standalone --nproc-per-node=2 \
        examples/train_on_many.py

Every process reads the same data and runs the same lines. `fit` takes part in the process group
that this script initialises: each process computes its share of every batch, the gradients are
added up, and all end with the same weights. On machines with GPUs each process takes one of them.
`--hours` takes the last hours of each region alone; `--epochs` sets the length of training.
"""

import argparse
import os
import time

import torch
from torch import distributed

from skrnn import GRUForecaster
from skrnn.datasets import fetch_pjm_load


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=int)
    parser.add_argument("--epochs", type=int, default=4)
    given = parser.parse_args()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))  # of torchrun
    distributed.init_process_group()
    load = fetch_pjm_load()
    if given.hours:
        load = load.groupby(level=0).tail(given.hours)
    forecaster = GRUForecaster(num_epochs=given.epochs, random_state=0)
    begin = time.perf_counter()
    forecaster.fit(load)
    seconds = time.perf_counter() - begin
    if distributed.get_rank() == 0:  # all processes can predict and save; one is enough
        n = distributed.get_world_size()
        loss = forecaster.history_["loss"].iloc[-1]
        print(f"{n} processes, {seconds:.1f} s, training loss {loss:.5f}")
        print(forecaster.predict(fh=[1, 24]).head())
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
