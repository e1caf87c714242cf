"""Trainings that several processes do together; each returns numbers that they must agree on."""

import os
import pickle
import signal
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import distributed

from skrnn import GRUForecaster, LSTMForecaster
from skrnn.callbacks import Callback
from skrnn.datasets import make_hourly_load
from skrnn.training.processes import Processes

SMALL = {"hidden_size": 8, "window_length": 24, "batch_size": 5, "sp": 24, "random_state": 0}
# Adam divides by the size of the gradients: where they are nearly 0, rounding grows at every step.
FEW = SMALL | {"num_epochs": 2, "lr": 1e-3}
PANEL = make_hourly_load(n_series=3, n_hours=200, random_state=0)


def weights(forecaster):
    return torch.cat([p.detach().ravel() for p in forecaster.network_.parameters()]).numpy()


def numbers(forecaster, fh=(1, 2, 3)):
    return {
        "weights": weights(forecaster),
        "history": forecaster.history_[["loss"]].to_numpy(),
        "forecast": forecaster.predict(fh=list(fh)).to_numpy(),
        "epochs": forecaster.num_epochs_,
    }


def recursive(folder):
    return numbers(GRUForecaster(**FEW).fit(PANEL))


def lstm_of_several_horizons_with_gaps(folder):
    y = PANEL.mask(np.random.default_rng(0).random(PANEL.shape) < 0.1)
    y.iloc[40:80] = np.nan  # chunks without a target
    forecaster = LSTMForecaster(strategy="multioutput", criterion="quantile", **FEW)
    return numbers(forecaster.fit(y, fh=[1, 2, 3]))


def fewer_chunks_than_processes(folder):
    y = PANEL.loc[[PANEL.index[0][0]]].iloc[:40]
    return numbers(GRUForecaster(**FEW | {"sp": 6}).fit(y))


def covariates_and_ridge_penalty(folder):
    X = pd.DataFrame({"open": np.arange(len(PANEL)) % 24 < 12}, index=PANEL.index).astype(float)
    forecaster = GRUForecaster(criterion="normal", supervision="last", **FEW).fit(PANEL, X)
    return {"weights": weights(forecaster)}


def length_from_held_out_rows(folder):
    forecaster = GRUForecaster(**SMALL | {"lr": 1e-3, "batch_size": 64}).fit(PANEL)
    found = numbers(forecaster)
    return {"epochs": found["epochs"], "forecast": found["forecast"]}


def early_stopping(folder):
    forecaster = GRUForecaster(validation_split=0.2, patience=1, **FEW | {"num_epochs": 4})
    forecaster.fit(PANEL)
    losses = forecaster.history_["validation_loss"].to_numpy()
    return numbers(forecaster) | {"validation": losses}


def pretraining_and_update(folder):
    forecaster = GRUForecaster(**FEW).pretrain(PANEL)
    first = PANEL.loc[[PANEL.index[0][0]]]
    forecaster.fit(first[:150]).update(first[150:])
    return numbers(forecaster)


def of_this_process(data):
    """Of several processes, each one's part of the series; alone, all of them."""
    keys = data.index.get_level_values(0).unique()
    first, stop = Processes.joined().share(len(keys))
    return data.loc[keys[first:stop]]


def shards_of_a_panel(folder):
    y = PANEL.drop(PANEL.index[-10:])  # its last series ends first
    names = y.index.get_level_values(0)
    X = pd.DataFrame({"place": names.str[-1], "open": np.arange(len(y)) % 24 < 12}, index=y.index)
    y, X = of_this_process(y), of_this_process(X)
    forecaster = GRUForecaster(**FEW).fit(y.groupby(level=0).head(180), X)
    cutoff = forecaster.cutoff
    forecaster.update(y, X)
    return {
        "weights": weights(forecaster),
        "in the sample": forecaster.predict(fh=[-2, 0], X=X).to_numpy(),
        "cutoffs": [stamps[0].value for stamps in (cutoff, forecaster.cutoff)],
    }


class StopAtThird(Callback):
    """Known to the first process alone."""

    def on_batch_end(self, training, n_batches):
        return training.step == 3


def callback_of_the_first(folder):
    forecaster = GRUForecaster(callbacks=[StopAtThird()], **FEW).fit(PANEL)
    return {"weights": weights(forecaster)}


class FailOnce(Callback):
    """Fail at step 5, unless a file says that this has happened."""

    path = ""  # of the file; no argument, for a checkpoint compares these

    def on_batch_end(self, training, n_batches):
        if training.step == 5 and not self.path.exists():
            self.path.touch()
            raise InterruptedError


def checkpoint(folder):
    path = Path(folder) / "checkpoint"
    FailOnce.path = Path(folder) / "failed"
    settings = {"checkpoint": path, "checkpoint_seconds": 0, **FEW}
    forecaster = GRUForecaster(callbacks=[FailOnce()], **settings)
    if not path.exists():  # the test leaves one for the processes
        try:
            forecaster.fit(PANEL)
        except InterruptedError:
            assert path.exists()
            if folder.endswith("left"):
                return {}
    return numbers(forecaster.fit(PANEL)) | {"is left": path.exists()}


ALIKE = [
    recursive,
    lstm_of_several_horizons_with_gaps,
    fewer_chunks_than_processes,
    covariates_and_ridge_penalty,
    length_from_held_out_rows,
    early_stopping,
    pretraining_and_update,
    shards_of_a_panel,
    callback_of_the_first,
    checkpoint,
]


# ---------------------------------------------------------------- in a group alone


def without_a_seed(folder):
    return numbers(GRUForecaster(**FEW | {"random_state": None}).fit(PANEL))


def unlike(folder):
    rank = distributed.get_rank()
    y = PANEL if rank == 0 else PANEL + 1
    others = PANEL.drop(PANEL.index[0][0], level=0) if rank else PANEL
    renamed = of_this_process(PANEL).rename(columns=lambda name: f"{name} {rank}")
    messages = []
    for forecaster, data in [
        (GRUForecaster(**FEW), y),
        (GRUForecaster(**FEW), others),
        (GRUForecaster(**FEW), renamed),
        (GRUForecaster(**FEW | {"hidden_size": 8 + rank, "lr": 1e-3 + rank}), PANEL),
    ]:
        try:
            forecaster.fit(data)
        except ValueError as error:
            messages.append(str(error))
    return {"messages": messages}


class KillItself(Callback):
    def on_batch_end(self, training, n_batches):
        os.kill(os.getpid(), signal.SIGKILL)


def killed(folder):
    try:
        GRUForecaster(callbacks=[KillItself()], **FEW).fit(PANEL)
    except ConnectionError as error:
        return {"message": str(error)}


def main(rank, n, store, folder, *names):
    """Do trainings as one of n processes of a group, and write the results into a folder."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=int(rank), world_size=int(n),
        timeout=timedelta(seconds=100),
    )  # fmt: skip
    results = {}
    for name in names:
        results[name] = globals()[name](folder)
        Path(folder, f"results{rank}").write_bytes(pickle.dumps(results))
