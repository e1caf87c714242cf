"""A training that was killed goes on from its checkpoint and ends with the same weights."""

import functools
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit

import skrnn
from skrnn import GRUForecaster, smape_scorer
from skrnn.callbacks import Callback
from skrnn.contract import checkpoints
from skrnn.datasets import make_hourly_load
from skrnn.saving import InvalidFileError
from small_cases import same_weights

pytestmark = pytest.mark.usefixtures("one_thread")
Y = make_hourly_load(n_series=1, n_hours=500, random_state=0).droplevel(0)["load_mw"]
SMALL = {"hidden_size": 4, "window_length": 24, "batch_size": 2, "random_state": 0}


class Killed(BaseException):
    """Stands for a kill in the middle of training."""


class KillAt(Callback):
    def __init__(self, step, after_training=0):
        self.step, self.n_before = step, after_training

    def on_train_begin(self, training, num_epochs):
        self.n_before -= 1

    def on_batch_end(self, training, n_batches):
        if training.step == self.step and self.n_before < 0:
            raise Killed


SETTINGS = {
    "a few epochs": {"num_epochs": 4},
    "dropout": {"num_epochs": 4, "dropout": 0.5, "num_layers": 2},
    "chosen epochs": {"num_epochs": "auto", "hidden_size": 8, "naive": None},
    "plateau": {"num_epochs": 4, "lr_scheduler": "plateau", "validation_split": 0.2},
    "at once": {"num_epochs": 3, "strategy": "multioutput", "criterion": "quantile"},
}


@functools.cache
def uninterrupted(name):
    return GRUForecaster(**SMALL | SETTINGS[name]).fit(Y, fh=[1, 2])


@pytest.mark.parametrize(
    ("name", "step", "after_training"),
    [(name, step, 0) for name in SETTINGS for step in (2, 19)] + [("chosen epochs", 3, 1)],
)
def test_killed_training_goes_on_to_the_same_weights(tmp_path, name, step, after_training):
    settings, path, expected = SMALL | SETTINGS[name], tmp_path / "a", uninterrupted(name)
    kept = settings | {"checkpoint": path, "checkpoint_seconds": 0}
    with pytest.raises(Killed):
        # Callbacks are compared by their classes: the same class, which kills no more, is given
        # again.
        GRUForecaster(**kept, callbacks=[KillAt(step, after_training)]).fit(Y, fh=[1, 2])
    assert path.exists()
    kept["checkpoint_seconds"] = 60
    resumed = GRUForecaster(**kept, callbacks=[KillAt(None)]).fit(Y, fh=[1, 2])
    assert same_weights(resumed.network_.state_dict(), expected.network_.state_dict())
    early = resumed.fitted_.early.network.state_dict()
    assert same_weights(early, expected.fitted_.early.network.state_dict())
    columns = ["epoch", "loss", "lr"]
    pd.testing.assert_frame_equal(resumed.history_[columns], expected.history_[columns])
    assert not path.exists()


def test_random_seed_of_a_killed_training_is_that_of_the_checkpoint(tmp_path):
    settings = SMALL | {"num_epochs": 3, "random_state": None, "checkpoint_seconds": 0}
    settings["checkpoint"] = tmp_path / "a"
    with pytest.raises(Killed):
        GRUForecaster(**settings, callbacks=[KillAt(20)]).fit(Y)
    content = (tmp_path / "a").read_bytes()
    resumed = []
    for _ in range(2):
        (tmp_path / "a").write_bytes(content)
        resumed.append(GRUForecaster(**settings, callbacks=[KillAt(None)]).fit(Y))
    weights = [forecaster.network_.state_dict() for forecaster in resumed]
    assert same_weights(*weights)


def killed(path, y=Y, **settings):
    settings = SMALL | {"num_epochs": 3} | settings
    kept = {"checkpoint": path, "checkpoint_seconds": 0, "callbacks": [KillAt(5)]}
    with pytest.raises(Killed):
        GRUForecaster(**settings | kept).fit(y)
    return settings | kept | {"callbacks": [KillAt(None)]}


def test_checkpoint_of_other_data_or_parameters_is_refused_with_what_differs(tmp_path):
    settings = killed(tmp_path / "a")
    with pytest.raises(ValueError, match=r"but it differs in hidden_size, lr\. Set them back"):
        GRUForecaster(**settings | {"lr": 0.1, "hidden_size": 5}).fit(Y)
    with pytest.raises(ValueError, match="differs in the data"):
        GRUForecaster(**settings).fit(Y + 1)
    GRUForecaster(**settings | {"verbose": False, "n_samples": 7}).fit(Y)  # these change no weight


def test_damaged_checkpoint_is_refused(tmp_path):
    settings = killed(tmp_path / "a")
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes()[:-10])
    with pytest.raises(InvalidFileError):
        GRUForecaster(**settings).fit(Y)


def test_full_disk_is_warned_of_once_and_training_goes_on(tmp_path, monkeypatch):
    written, write = [], checkpoints.write

    def full(content, path):
        written.append(path)
        if len(written) > 3:
            raise OSError(28, "No space left on device")
        write(content, path)

    monkeypatch.setattr(checkpoints, "write", full)
    settings = SMALL | {"num_epochs": 2, "checkpoint": tmp_path / "a", "checkpoint_seconds": 0}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fitted = GRUForecaster(**settings).fit(Y)
    messages = [str(w.message) for w in caught if "No space left" in str(w.message)]
    assert len(messages) == 1
    assert "Training goes on" in messages[0]
    expected = GRUForecaster(**SMALL, num_epochs=2).fit(Y)
    assert same_weights(fitted.network_.state_dict(), expected.network_.state_dict())


def test_checkpoints_are_as_far_apart_as_asked(tmp_path, monkeypatch):
    now, written = [0.0], []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(checkpoints, "write", lambda content, path: written.append(now[0]))

    class Clock(Callback):
        def on_batch_end(self, training, n_batches):
            now[0] += 1.0

    settings = SMALL | {"num_epochs": 3, "checkpoint": tmp_path / "a", "checkpoint_seconds": 10}
    GRUForecaster(**settings, callbacks=[Clock()]).fit(Y)
    assert len(written) >= 2
    assert (np.diff(written[:-1]) == 10).all()  # the last is that of the end of training


def test_update_and_pretraining_go_on_as_well(tmp_path):
    settings = SMALL | {"num_epochs": 3}
    kept = settings | {"checkpoint": tmp_path / "a", "checkpoint_seconds": 0}
    panel = make_hourly_load(n_series=2, n_hours=300, random_state=1)
    with pytest.raises(Killed):
        GRUForecaster(**kept, callbacks=[KillAt(7)]).pretrain(panel)
    resumed = GRUForecaster(**kept, callbacks=[KillAt(None)]).pretrain(panel)
    expected = GRUForecaster(**settings).pretrain(panel)
    models = [forecaster.pretrained_model_.network for forecaster in (resumed, expected)]
    assert same_weights(*[network.state_dict() for network in models])

    forecaster = GRUForecaster(**kept, callbacks=[KillAt(None)]).fit(Y[:300])
    expected = GRUForecaster(**settings).fit(Y[:300]).update(Y[300:])
    forecaster.callbacks[0].step = 2
    with pytest.raises(Killed):
        forecaster.update(Y[300:])
    forecaster.callbacks[0].step = None
    forecaster.update(Y[300:])
    assert same_weights(forecaster.network_.state_dict(), expected.network_.state_dict())


def test_fits_of_a_search_have_files_of_their_own(tmp_path, monkeypatch):
    paths, write = set(), checkpoints.write
    monkeypatch.setattr(checkpoints, "write", lambda c, path: [paths.add(path), write(c, path)])
    checkpoint = str(tmp_path / "{fingerprint}.checkpoint")
    forecaster = GRUForecaster(**SMALL, num_epochs=1, checkpoint=checkpoint)
    cv = TimeSeriesSplit(2, test_size=24)
    GridSearchCV(forecaster, {"lr": [0.01, 0.02]}, cv=cv, scoring=smape_scorer).fit(Y)
    assert len(paths) == 2 * 2 + 1
    assert not list(tmp_path.iterdir())


LONG = SMALL | {"hidden_size": 16, "num_epochs": 30, "checkpoint_seconds": 0}
TRAINING = """
import sys, torch
torch.set_num_threads(1)
sys.path[:0] = sys.argv[2:]
from test_checkpoints import GRUForecaster, LONG, Y
GRUForecaster(**LONG, checkpoint=sys.argv[1]).fit(Y)
"""


def modified(path):
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def test_process_that_is_killed_at_any_moment_ends_with_the_same_weights(tmp_path):
    path, tests = tmp_path / "a", Path(__file__).parents[1]
    command = [sys.executable, "-W", "ignore", "-c", TRAINING, path, tests / "contract", tests]
    environment = os.environ | {"PYTHONPATH": str(Path(skrnn.__file__).parents[1])}
    rng, n, n_killed = random.Random(0), int(os.environ.get("SKRNN_KILLS", "1")), 0
    for _ in range(n):
        before = modified(path)
        process = subprocess.Popen(command, env=environment)
        while process.poll() is None and modified(path) == before:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 1))  # in a step, or while a checkpoint is written
        process.kill()
        n_killed += process.wait() == -signal.SIGKILL
    resumed = GRUForecaster(**LONG, checkpoint=path).fit(Y)
    expected = GRUForecaster(**LONG).fit(Y)
    assert n_killed > n // 2  # some end before they are killed
    assert same_weights(resumed.network_.state_dict(), expected.network_.state_dict())
    assert list(tmp_path.iterdir()) == []
