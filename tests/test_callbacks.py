import sys

import numpy as np
import pandas as pd
import pytest
from tqdm import auto

from skrnn import GRUForecaster
from skrnn.callbacks import Callback, ProgressBar, StopAfter

pytestmark = pytest.mark.usefixtures("one_thread")

Y = pd.Series(np.tile([1.0, 4.0, 2.0, 0.0], 15), index=pd.RangeIndex(60), name="y")


def forecaster_of(*callbacks, **kwargs):
    defaults = {
        "hidden_size": 2,
        "window_length": 5,
        "batch_size": 4,
        "num_epochs": 3,
        "sp": None,
        "random_state": 0,
        "callbacks": list(callbacks),
    }
    return GRUForecaster(**defaults | kwargs)


class Recorder(Callback):
    """Writes down every event; stops where told."""

    def __init__(self, stop=None):
        self.stop = stop
        self.events, self.arguments = [], []

    def tell(self, event, *arguments):
        self.events.append(event)
        self.arguments.append(arguments)
        return (event, self.events.count(event)) == self.stop

    def on_train_begin(self, forecaster, num_epochs):
        self.tell("train begin", num_epochs)

    def on_epoch_begin(self, forecaster):
        self.tell("epoch begin", len(forecaster.history_))

    def on_batch_end(self, forecaster, n_batches):
        return self.tell("batch end", n_batches)

    def on_epoch_end(self, forecaster, epoch):
        return self.tell("epoch end", dict(epoch), len(forecaster.history_))

    def on_train_end(self, forecaster):
        self.tell("train end")

    def of(self, event):
        both = zip(self.events, self.arguments, strict=True)
        return [arguments for name, arguments in both if name == event]


def test_events_come_in_the_documented_order():
    recorder = Recorder()
    forecaster_of(recorder).fit(Y)
    rows = [event for event in recorder.events if event != "batch end"]
    assert rows == ["train begin", *["epoch begin", "epoch end"] * 3, "train end"]
    text = " ".join(recorder.events)
    assert text.count("epoch begin batch end") == 3
    assert text.count("batch end epoch end") == 3
    # 59 targets in chunks of 5, by four: at least three batches an epoch.
    assert recorder.events.count("batch end") >= 9


def test_events_tell_epochs_planned_batches_and_the_row_of_history():
    recorder = Recorder()
    forecaster = forecaster_of(recorder).fit(Y)
    assert recorder.of("train begin") == [(3,)]
    assert recorder.of("epoch begin") == [(0,), (1,), (2,)]
    n_batches = {arguments for arguments in recorder.of("batch end")}
    assert n_batches == {(4,)}
    rows = [row for row, _ in recorder.of("epoch end")]
    pd.testing.assert_frame_equal(pd.DataFrame(rows), forecaster.history_)
    assert [length for _, length in recorder.of("epoch end")] == [1, 2, 3]


def test_several_callbacks_are_told_each_event_in_their_order():
    log = []

    class Named(Callback):
        def __init__(self, name):
            self.name = name

        def on_epoch_end(self, forecaster, epoch):
            log.append(self.name)

    forecaster_of(Named("a"), Named("b"), num_epochs=2).fit(Y)
    assert log == ["a", "b", "a", "b"]


def test_callbacks_see_the_forecaster_that_is_fitted():
    seen = []

    class See(Callback):
        def on_batch_end(self, forecaster, n_batches):
            seen.append((forecaster, forecaster.network_.head.correction.bias.item()))

    forecaster = forecaster_of(See()).fit(Y)
    assert all(one is forecaster for one, _ in seen)
    biases = [bias for _, bias in seen]
    assert len(set(biases)) == len(biases)  # moved by every step
    assert biases[-1] == forecaster.network_.head.correction.bias.item()


def test_base_callback_changes_nothing():
    with_callback = forecaster_of(Callback()).fit(Y).predict([1, 2, 3])
    pd.testing.assert_series_equal(with_callback, forecaster_of().fit(Y).predict([1, 2, 3]))


@pytest.mark.parametrize("count", [1, 2])
def test_true_from_on_epoch_end_stops_after_that_epoch(count):
    recorder = Recorder(stop=("epoch end", count))
    forecaster = forecaster_of(recorder).fit(Y)
    assert len(forecaster.history_) == count
    assert recorder.events[-2:] == ["epoch end", "train end"]


@pytest.mark.parametrize("count", [1, 3, 6])
def test_true_from_on_batch_end_stops_after_that_step(count):
    recorder = Recorder(stop=("batch end", count))
    forecaster = forecaster_of(recorder).fit(Y)
    assert recorder.events.count("batch end") == count
    # The epoch that was begun is recorded, with the mean loss of its steps.
    assert recorder.events[-3:] == ["batch end", "epoch end", "train end"]
    assert np.isfinite(forecaster.history_["loss"]).all()
    assert len(forecaster.history_) == recorder.events.count("epoch begin")


def test_stop_of_one_callback_still_tells_the_others():
    first, second = Recorder(stop=("batch end", 2)), Recorder()
    forecaster_of(first, second).fit(Y)
    assert first.events == second.events


@pytest.mark.parametrize("max_steps", [1, 2, 5])
def test_stop_after_stops_after_so_many_steps(max_steps):
    recorder = Recorder()
    forecaster_of(StopAfter(max_steps), recorder, num_epochs=50).fit(Y)
    assert recorder.events.count("batch end") == max_steps


def test_stop_after_counts_each_training_anew():
    stop = StopAfter(2)
    for _ in range(2):
        recorder = Recorder()
        forecaster_of(stop, recorder, num_epochs=50).fit(Y)
        assert recorder.events.count("batch end") == 2


def test_stop_after_more_steps_than_planned_changes_nothing():
    stopped = forecaster_of(StopAfter(10_000)).fit(Y).predict([1, 2, 3])
    pd.testing.assert_series_equal(stopped, forecaster_of().fit(Y).predict([1, 2, 3]))


@pytest.mark.parametrize("event", ["on_batch_end", "on_epoch_end"])
def test_on_train_end_runs_when_training_raises(event):
    class Fail(Callback):
        pass

    def fail(self, *args):
        raise ZeroDivisionError

    setattr(Fail, event, fail)
    recorder = Recorder()
    with pytest.raises(ZeroDivisionError):
        forecaster_of(recorder, Fail()).fit(Y)
    assert recorder.events[-1] == "train end"
    assert recorder.events.count("train end") == 1


def test_on_train_end_runs_when_the_loss_is_not_finite():
    recorder = Recorder()
    forecaster = forecaster_of(recorder, lr=1e30, max_grad_norm=None, optimizer="sgd")
    with pytest.raises(FloatingPointError, match="training loss must stay finite"):
        forecaster.fit(Y * 1e3)
    assert recorder.events[-1] == "train end"


# ----------------------------------------------------------------- ProgressBar


@pytest.fixture
def bars(monkeypatch):
    """Every bar that tqdm opens."""
    opened = []

    class Kept(auto.tqdm):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            opened.append(self)

    monkeypatch.setattr(auto, "tqdm", Kept)
    return opened


def test_progress_bar_draws_to_stderr_and_closes(bars, capsys):
    forecaster = forecaster_of(verbose=True).fit(Y)
    out, err = capsys.readouterr()
    assert out == ""
    assert "GRUForecaster" in err
    assert f"loss={forecaster.history_['loss'].iloc[-1]:.3g}" in err
    assert "epoch=3/3" in err
    (bar,) = bars
    assert bar.disable  # what tqdm sets when a bar is closed


def test_progress_bar_counts_the_steps_of_training(bars):
    recorder = Recorder()
    forecaster_of(recorder, verbose=True, num_epochs=2).fit(Y)
    (bar,) = bars
    assert bar.n == recorder.events.count("batch end")
    assert bar.total == bar.n  # epochs may make a step less than was planned


def test_progress_bar_of_update_counts_its_own_steps_and_epochs(bars, capsys):
    forecaster = forecaster_of(verbose=True).fit(Y[:45])
    capsys.readouterr()
    recorder = Recorder()
    forecaster.callbacks = [recorder]
    forecaster.update(Y[45:])
    bar = bars[1]
    # The last epoch is cut short: the new observations are not worth a whole one.
    n_epochs = recorder.of("train begin")[0][0]
    assert recorder.events.count("batch end") < n_epochs * recorder.of("batch end")[0][0]
    assert bar.n == bar.total == recorder.events.count("batch end")
    assert f"epoch={n_epochs}/{n_epochs}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "early", [{"callbacks": [StopAfter(5)]}, {"validation_split": 0.2, "patience": 1, "lr": 1.0}]
)
def test_progress_bar_is_full_when_training_stops_early(bars, early):
    recorder = Recorder()
    early = {**early, "callbacks": [*early.get("callbacks", []), recorder]}
    forecaster_of(verbose=True, num_epochs=50, **early).fit(Y)
    (bar,) = bars
    assert bar.n == bar.total == recorder.events.count("batch end")
    assert len(recorder.of("epoch end")) < 50


def test_progress_bar_counts_towards_what_is_planned(bars):
    seen = []

    class Look(Callback):
        def on_epoch_begin(self, forecaster):
            if bars and bars[0].n:
                seen.append("between epochs")

        def on_batch_end(self, forecaster, n_batches):
            if bars[0].n:
                seen.append((bars[0].n, bars[0].total))

    class Fail(Callback):
        def on_batch_end(self, forecaster, n_batches):
            if bars[0].n == 6:
                raise ZeroDivisionError

    forecaster = forecaster_of(verbose=True)
    forecaster.callbacks = [Look(), Fail()]
    with pytest.raises(ZeroDivisionError):
        forecaster.fit(Y)
    # The callbacks are told before the bar, so they see it one step late.
    assert seen == [(1, 12), (2, 12), (3, 12), "between epochs", (4, 4), (5, 12), (6, 12)]
    assert (bars[0].n, bars[0].total) == (6, 12)


def test_progress_bar_shows_the_validation_loss(bars, capsys):
    forecaster_of(verbose=True, validation_split=0.2).fit(Y)
    assert "validation_loss=" in capsys.readouterr().err


def test_progress_bar_closes_when_training_raises(bars):
    class Fail(Callback):
        def on_batch_end(self, forecaster, n_batches):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        forecaster_of(Fail(), verbose=True).fit(Y)
    (bar,) = bars
    assert bar.disable


def test_progress_bar_changes_no_forecast(bars):
    shown = forecaster_of(verbose=True).fit(Y).predict([1, 2, 3])
    pd.testing.assert_series_equal(shown, forecaster_of().fit(Y).predict([1, 2, 3]))


def test_progress_bar_without_tqdm_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ImportError, match=r"pip install skrnn\[progress\]`, or pass verbose=False"):
        ProgressBar().on_train_begin(forecaster_of(), 1)


def test_tqdm_is_not_needed_without_a_bar(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    assert len(forecaster_of().fit(Y).history_) == 3


def test_nothing_is_printed_without_verbose(capfd):
    forecaster_of(StopAfter(4)).fit(Y).predict([1])
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
