r"""Train one network on the executors of a Spark cluster, by Spark's TorchDistributor.

    pip install pyspark
    SKRNN_DATA=<folder of the PJM files> python examples/train_with_spark.py --processes 2

Spark starts the processes, each of which initialises the process group from what Spark has set in
its environment; `fit` joins it as in `train_on_many.py`. The first process returns the forecaster
as bytes. Without a cluster, Spark runs on this machine ("local mode", which needs Java). `--hours`
takes the last hours of each region alone.
"""

import argparse
import io
import os

from pyspark.ml.torch.distributor import TorchDistributor
from pyspark.sql import SparkSession

import skrnn


def fit(data_home, hours, epochs):
    """What each process runs; the result of the first one is returned to the driver."""
    from torch import distributed

    from skrnn.datasets import fetch_pjm_load

    distributed.init_process_group("gloo")
    load = fetch_pjm_load(data_home=data_home)
    if hours:
        load = load.groupby(level=0).tail(hours)
    forecaster = skrnn.GRUForecaster(num_epochs=epochs, random_state=0).fit(load)
    file = io.BytesIO()
    skrnn.save(forecaster, file)
    distributed.destroy_process_group()
    return file.getvalue(), forecaster.history_["loss"].iloc[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--hours", type=int)
    parser.add_argument("--epochs", type=int, default=4)
    given = parser.parse_args()
    spark = SparkSession.builder.master(f"local[{given.processes}]").getOrCreate()
    distributor = TorchDistributor(num_processes=given.processes, local_mode=True, use_gpu=False)
    file, loss = distributor.run(fit, os.environ.get("SKRNN_DATA"), given.hours, given.epochs)
    forecaster = skrnn.load(io.BytesIO(file))
    print(f"{given.processes} processes, training loss {loss:.5f}")
    print(forecaster.predict(fh=[1, 24]).head())
    spark.stop()


if __name__ == "__main__":
    main()
