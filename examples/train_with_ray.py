r"""Train one network on the workers of a Ray cluster, by Ray Train's TorchTrainer.

    pip install "ray[train]"
    SKRNN_DATA=<folder of the PJM files> python examples/train_with_ray.py --workers 2

Ray starts the workers and initialises their process group, which `fit` joins as in
`train_on_many.py`. The first worker saves the forecaster. Without a cluster to connect to,
`ray.init` starts one on this machine. `--hours` takes the last hours of each region alone.
"""

import argparse
import os
import tempfile
from pathlib import Path

import ray
from ray import train
from ray.train import Checkpoint, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

import skrnn
from skrnn.datasets import fetch_pjm_load

FILE = "forecaster.skrnn"


def fit(settings):
    """What each worker runs."""
    load = fetch_pjm_load(data_home=settings["data_home"])
    if settings["hours"]:
        load = load.groupby(level=0).tail(settings["hours"])
    forecaster = skrnn.GRUForecaster(num_epochs=settings["epochs"], random_state=0).fit(load)
    loss = {"loss": forecaster.history_["loss"].iloc[-1]}
    if train.get_context().get_world_rank():
        train.report(loss)
        return
    with tempfile.TemporaryDirectory() as folder:
        skrnn.save(forecaster, Path(folder) / FILE)
        train.report(loss, checkpoint=Checkpoint.from_directory(folder))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--hours", type=int)
    parser.add_argument("--epochs", type=int, default=4)
    given = parser.parse_args()
    settings = {"hours": given.hours, "epochs": given.epochs}
    settings["data_home"] = os.environ.get("SKRNN_DATA")
    ray.init()
    with tempfile.TemporaryDirectory() as storage:
        trainer = TorchTrainer(
            fit,
            train_loop_config=settings,
            scaling_config=ScalingConfig(num_workers=given.workers),
            run_config=RunConfig(storage_path=storage),
        )
        result = trainer.fit()
        with result.checkpoint.as_directory() as folder:
            forecaster = skrnn.load(Path(folder) / FILE)
    print(f"{given.workers} workers, training loss {result.metrics['loss']:.5f}")
    print(forecaster.predict(fh=[1, 24]).head())
    ray.shutdown()


if __name__ == "__main__":
    main()
