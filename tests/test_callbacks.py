import io
import re
import sys

import numpy as np
import pandas as pd
import pytest
from tqdm import auto

from skrnn import GRUForecaster
from skrnn.callbacks import Callback, ProgressBar, StopAfter, Training

pytestmark = pytest.mark.usefixtures("one_thread")

Y = pd.Series(np.tile([1.0, 4.0, 2.0, 0.0], 15), index=pd.RangeIndex(60), name="y")


def forecaster_of(*callbacks, **kwargs):
    defaults = {
        "linear_lags": None,
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
    """Writes down every event; stops after the given one."""

    def __init__(self, stop=None):
        self.stop = stop
        self.events, self.arguments = [], []

    def note(self, event, *arguments):
        self.events.append(event)
        self.arguments.append(arguments)
        return (event, self.events.count(event)) == self.stop

    def on_train_begin(self, training, num_epochs):
        self.note("train begin", num_epochs)

    def on_epoch_begin(self, training):
        self.note("epoch begin", len(training.history))

    def on_batch_end(self, training, n_batches):
        return self.note("batch end", n_batches)

    def on_epoch_end(self, training, epoch):
        return self.note("epoch end", dict(epoch), len(training.history))

    def on_train_end(self, training):
        self.note("train end")

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


def test_events_carry_planned_epochs_batches_and_the_row_of_history():
    recorder = Recorder()
    forecaster = forecaster_of(recorder).fit(Y)
    assert recorder.of("train begin") == [(3,)]
    assert recorder.of("epoch begin") == [(0,), (1,), (2,)]
    n_batches = {arguments for arguments in recorder.of("batch end")}
    assert n_batches == {(4,)}
    rows = [row for row, _ in recorder.of("epoch end")]
    pd.testing.assert_frame_equal(pd.DataFrame(rows), forecaster.history_)
    assert [length for _, length in recorder.of("epoch end")] == [1, 2, 3]


def test_several_callbacks_get_each_event_in_their_order():
    log = []

    class Named(Callback):
        def __init__(self, name):
            self.name = name

        def on_epoch_end(self, training, epoch):
            log.append(self.name)

    forecaster_of(Named("a"), Named("b"), num_epochs=2).fit(Y)
    assert log == ["a", "b", "a", "b"]


def test_callbacks_read_the_training_under_way():
    trainings, biases, counts = [], [], []

    class See(Callback):
        def on_batch_end(self, training, n_batches):
            trainings.append(training)
            biases.append(training.network.head.correction.bias.item())

        def on_epoch_end(self, training, epoch):
            counts.append((training.epoch, training.step, len(training.history)))

    forecaster = forecaster_of(See()).fit(Y)
    training = trainings[0]
    assert all(one is training for one in trainings)
    assert (training.name, training.num_epochs) == ("GRUForecaster", 3)
    assert training.network is forecaster.network_
    assert len(set(biases)) == len(biases)  # moved by every step
    assert biases[-1] == forecaster.network_.head.correction.bias.item()
    assert [epoch for epoch, _, _ in counts] == [length for _, _, length in counts] == [1, 2, 3]
    assert training.step == counts[-1][1] == len(biases)
    forecaster.update(Y[-1:].set_axis([60]))
    assert trainings[-1] is not training
    assert trainings[-1].epoch == 1
    assert trainings[-1].step < training.step
    assert len(trainings[-1].history) == 4


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


def test_stop_of_one_callback_still_reaches_the_others():
    first, second = Recorder(stop=("batch end", 2)), Recorder()
    forecaster_of(first, second).fit(Y)
    assert first.events == second.events


@pytest.mark.parametrize("max_steps", [1.5, 2.0, True, False, "a", None, np.float64(3), [1]])
def test_stop_after_refuses_what_is_no_int(max_steps):
    with pytest.raises(TypeError, match=re.escape(f"an int of at least 1. Got {max_steps!r} inst")):
        StopAfter(max_steps)


@pytest.mark.parametrize("max_steps", [0, -1, np.int64(0)])
def test_stop_after_refuses_less_than_one_step(max_steps):
    with pytest.raises(ValueError, match=re.escape(f"at least 1. Got {max_steps!r}; num_epochs=0")):
        StopAfter(max_steps)


@pytest.mark.parametrize("max_steps", [1, 2, 5, np.int64(3)])
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


@pytest.mark.parametrize("event", ["on_train_begin", "on_epoch_begin", "on_train_end"])
def test_all_callbacks_end_whichever_of_them_fails(event):
    class Fail(Callback):
        pass

    def fail(self, *args):
        raise ZeroDivisionError

    setattr(Fail, event, fail)
    first, last = Recorder(), Recorder()
    with pytest.raises(ZeroDivisionError):
        forecaster_of(first, Fail(), last).fit(Y)
    for recorder in (first, last):
        assert recorder.events.count("train end") == 1


def test_callbacks_end_in_the_order_of_their_list():
    log = []

    class Named(Callback):
        def __init__(self, name):
            self.name = name

        def on_train_end(self, training):
            log.append(self.name)

    forecaster_of(Named("a"), Named("b"), Named("c")).fit(Y)
    assert log == ["a", "b", "c"]


def test_refused_training_opens_no_callback():
    recorder = Recorder()
    with pytest.raises(ValueError, match="a training target 80 steps ahead"):
        forecaster_of(recorder, strategy="multioutput").fit(Y, fh=[80])
    assert recorder.events == []


@pytest.mark.parametrize("validation_split", [None, 0.2])
def test_callbacks_end_where_update_fails(validation_split):
    recorder = Recorder()
    forecaster = forecaster_of(recorder, validation_split=validation_split).fit(Y)
    assert recorder.events.count("train end") == 1
    forecaster.lr, forecaster.max_grad_norm = 1e12, None
    with pytest.raises(FloatingPointError):
        forecaster.update(Y[-9:].set_axis(range(60, 69)))
    assert recorder.events.count("train begin") == recorder.events.count("train end") == 2


# ----------------------------------------------------------------- ProgressBar


@pytest.fixture
def terminal(monkeypatch):
    """What tqdm draws on: text of a terminal, whatever the standard error of the tests is."""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()

    class OnTerminal(auto.tqdm):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, file=terminal, **kwargs)

    monkeypatch.setattr(auto, "tqdm", OnTerminal)
    return terminal


@pytest.fixture
def bars(monkeypatch, terminal):
    """Every bar that tqdm opens."""
    opened = []

    class Kept(auto.tqdm):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            opened.append(self)

    monkeypatch.setattr(auto, "tqdm", Kept)
    return opened


def test_progress_bar_draws_on_a_terminal_and_closes(bars, terminal, capsys):
    forecaster = forecaster_of(verbose=True).fit(Y)
    assert capsys.readouterr().out == ""
    err = terminal.getvalue()
    assert "\r" in err
    assert "GRUForecaster" in err
    assert f"loss={forecaster.history_['loss'].iloc[-1]:.3g}" in err
    assert "epoch=3/3" in err
    (bar,) = bars
    assert bar.disable  # what tqdm sets when a bar is closed


def test_progress_bar_counts_the_steps_of_training(bars, terminal):
    recorder = Recorder()
    forecaster_of(recorder, verbose=True, num_epochs=2).fit(Y)
    (bar,) = bars
    assert bar.n == recorder.events.count("batch end")
    assert bar.total == bar.n  # epochs may make a step less than was planned


def test_progress_bar_of_update_counts_its_own_steps_and_epochs(bars, terminal):
    forecaster = forecaster_of(verbose=True).fit(Y[:45])
    terminal.truncate(0)
    recorder = Recorder()
    forecaster.callbacks = [recorder]
    forecaster.update(Y[45:])
    bar = bars[1]
    # The last epoch is cut short: the new observations are not worth a whole one.
    n_epochs = recorder.of("train begin")[0][0]
    assert recorder.events.count("batch end") < n_epochs * recorder.of("batch end")[0][0]
    assert bar.n == bar.total == recorder.events.count("batch end")
    assert f"epoch={n_epochs}/{n_epochs}" in terminal.getvalue()


@pytest.mark.parametrize(
    "early", [{"callbacks": [StopAfter(5)]}, {"validation_split": 0.2, "patience": 1, "lr": 1.0}]
)
def test_progress_bar_is_full_when_training_stops_early(bars, terminal, early):
    recorder = Recorder()
    early = {**early, "callbacks": [*early.get("callbacks", []), recorder]}
    forecaster_of(verbose=True, num_epochs=50, **early).fit(Y)
    (bar,) = bars
    assert bar.n == bar.total == recorder.events.count("batch end")
    assert len(recorder.of("epoch end")) < 50


def test_progress_bar_counts_towards_what_is_planned(bars, terminal):
    seen = []

    class Look(Callback):
        def on_epoch_begin(self, training):
            if bars and bars[0].n:
                seen.append("between epochs")

        def on_batch_end(self, training, n_batches):
            if bars[0].n:
                seen.append((bars[0].n, bars[0].total))

    class Fail(Callback):
        def on_batch_end(self, training, n_batches):
            if bars[0].n == 6:
                raise ZeroDivisionError

    forecaster = forecaster_of(verbose=True)
    forecaster.callbacks = [Look(), Fail()]
    with pytest.raises(ZeroDivisionError):
        forecaster.fit(Y)
    # The callbacks run before the bar, so they see it one step late.
    assert seen == [(1, 12), (2, 12), (3, 12), "between epochs", (4, 4), (5, 12), (6, 12)]
    assert (bars[0].n, bars[0].total) == (6, 12)


def test_progress_bar_shows_the_validation_loss(terminal):
    forecaster_of(verbose=True, validation_split=0.2).fit(Y)
    assert "validation_loss=" in terminal.getvalue()


def test_log_file_gets_one_line_an_epoch(monkeypatch):
    log = io.StringIO()  # no terminal
    monkeypatch.setattr(sys, "stderr", log)
    history = forecaster_of(verbose=True, validation_split=0.2).fit(Y).history_
    assert log.getvalue().splitlines() == [
        f"GRUForecaster: epoch {epoch}/3, loss {loss:.4g}, validation loss {validation_loss:.4g}"
        for epoch, loss, validation_loss in zip(
            history["epoch"], history["loss"], history["validation_loss"], strict=True
        )
    ]


def test_lines_of_an_update_in_a_log_file_count_its_own_epochs(monkeypatch):
    forecaster = forecaster_of().fit(Y[:45])
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    forecaster.verbose = True
    forecaster.update(Y[45:])
    lines = log.getvalue().splitlines()
    n = len(forecaster.history_) - 3
    assert [line.split(",")[0] for line in lines] == [
        f"GRUForecaster: epoch {k}/{n}" for k in range(1, n + 1)
    ]


def test_notebook_gets_a_bar_though_its_standard_error_is_no_terminal(monkeypatch):
    class NotebookBar(auto.tqdm):
        """As tqdm.notebook's, which needs ipywidgets; tqdm.auto hands it out in a notebook."""

    NotebookBar.__module__ = "tqdm.notebook"
    monkeypatch.setattr(auto, "tqdm", NotebookBar)
    page = io.StringIO()
    monkeypatch.setattr(sys, "stderr", page)
    forecaster_of(verbose=True).fit(Y)
    assert "epoch=3/3" in page.getvalue()
    assert "GRUForecaster: epoch" not in page.getvalue()


def test_bar_of_a_resumed_training_begins_at_its_steps(bars, terminal):
    training = Training("GRUForecaster", None)
    training.num_epochs, training.epoch, training.step = 3, 1, 4
    bar = ProgressBar()
    bar.on_train_begin(training, 3)
    bar.on_batch_end(training, 4)
    assert (bars[0].n, bars[0].total) == (5, 12)
    bar.on_train_end(training)


def test_progress_bar_closes_when_training_raises(bars, terminal):
    class Fail(Callback):
        def on_batch_end(self, training, n_batches):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        forecaster_of(Fail(), verbose=True).fit(Y)
    (bar,) = bars
    assert bar.disable


def test_progress_bar_changes_no_forecast(bars, terminal):
    shown = forecaster_of(verbose=True).fit(Y).predict([1, 2, 3])
    pd.testing.assert_series_equal(shown, forecaster_of().fit(Y).predict([1, 2, 3]))


def test_progress_bar_without_tqdm_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(
        ImportError, match=r'pip install "skrnn\[progress\]"`, or pass verbose=False'
    ):
        ProgressBar().on_train_begin(Training("GRUForecaster", None), 1)


def test_tqdm_is_not_needed_without_a_bar(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    assert len(forecaster_of().fit(Y).history_) == 3


def test_nothing_is_printed_without_verbose(capfd):
    forecaster_of(StopAfter(4)).fit(Y).predict([1])
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
