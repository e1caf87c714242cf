"""Panel files: the same networks and forecasts as from memory, and what a file must hold."""

import copy
import errno
import os
import pickle

import numpy as np
import pandas as pd
import pytest

import skrnn
from skrnn import GRUForecaster
from skrnn.contract import blocks
from skrnn.contract.checkpoints import Checkpoint
from skrnn.contract.fitting import read
from skrnn.data import panel as panels
from skrnn.datasets import PanelFile
from skrnn.features import stored_device_panel
from skrnn.files import panel_file, panel_writer
from skrnn.saving import InvalidFileError
from skrnn.training.processes import Processes

FH = [1, 2, 24]
TINY = {"hidden_size": 4, "num_epochs": 1, "window_length": 48, "random_state": 0}


def _series(n, start, columns=("y",), missing=0.0, seed=0):
    """Float32 values with a daily season, as float64."""
    rng, t = np.random.default_rng(seed), np.arange(n)
    values = [
        100 * (c + 1) + 10 * np.sin(2 * np.pi * t / 24) + rng.normal(size=n).cumsum()
        for c in range(len(columns))
    ]
    values = np.stack(values, axis=1).astype(np.float32).astype(np.float64)
    values[rng.random(values.shape) < missing] = np.nan
    index = pd.date_range(start, periods=n, freq="h")
    return pd.DataFrame(values, index=index, columns=list(columns))


def _panel(frames):
    return pd.concat(frames, names=["series", "time"])


def _items(frames):
    return [(key, frame) for key, frame in frames.items()]


@pytest.fixture(scope="module")
def frames():
    """Series of unlike lengths and starts."""
    return {
        key: _series(n, start, seed=seed)
        for seed, (key, n, start) in enumerate(
            [("a", 400, "2020-01-03"), ("b", 700, "2020-01-01"), ("c", 300, "2020-02-01")]
        )
    }


@pytest.fixture(scope="module")
def gaps():
    """Two columns with missing values, also at the beginning, and two covariates."""
    result = {}
    for seed, (key, n) in enumerate([("a", 400), ("b", 500)]):
        y = _series(n, "2020-01-01", ["load", "heat"], missing=0.1, seed=seed)
        y.iloc[: 5 * seed] = np.nan
        X = _series(n, "2020-01-01", ["known", "past"], seed=seed + 10)
        result[key] = y, X
    return result


@pytest.fixture(scope="module")
def fitted(frames, tmp_path_factory):
    """Fitted in memory, and on a file."""
    path = tmp_path_factory.mktemp("panel") / "load.panel"
    file = PanelFile.from_frames(path, _items(frames), names=["series", "time"])
    settings = TINY | {"num_epochs": 2, "validation_split": 0.1}
    return tuple(GRUForecaster(**settings).fit(y) for y in (_panel(frames), file))


def test_a_recursive_forecaster_of_a_file_is_that_of_the_same_data_in_memory(fitted):
    memory, of_file = fitted
    pd.testing.assert_frame_equal(
        of_file.history_.drop(columns=["seconds", "targets_per_second"], errors="ignore"),
        memory.history_.drop(columns=["seconds", "targets_per_second"], errors="ignore"),
    )
    pd.testing.assert_frame_equal(of_file.predict(FH), memory.predict(FH), rtol=1e-6)
    pd.testing.assert_frame_equal(
        of_file.predict_interval(FH), memory.predict_interval(FH), rtol=1e-6
    )
    assert of_file.cutoff.equals(memory.cutoff)


def test_a_multioutput_forecaster_of_a_file_with_gaps_and_covariates_is_that_of_memory(
    gaps, tmp_path, monkeypatch
):
    monkeypatch.setattr(stored_device_panel, "MOST_CALENDAR_ROWS", 0)  # that of each batch
    y = _panel({key: y for key, (y, _) in gaps.items()})
    X = _panel({key: X for key, (_, X) in gaps.items()})
    items = [(key, *frames) for key, frames in gaps.items()]
    file = PanelFile.from_frames(tmp_path / "gaps", items, names=["series", "time"])
    settings = TINY | {"strategy": "multioutput", "past_covariates": ["past"]}
    memory = GRUForecaster(**settings).fit(y, X, fh=FH)
    of_file = GRUForecaster(**settings).fit(file, fh=FH)
    # What fills gaps is rounded to float32 in the file.
    ahead = _series(24, "2020-01-22", ["known"], seed=3)
    index = memory.predict(X=_ahead(y, ahead)).index
    found = of_file.predict(X=_ahead(y, ahead))
    pd.testing.assert_frame_equal(found, memory.predict(X=_ahead(y, ahead)), rtol=1e-5)
    assert found.index.equals(index)


def _ahead(y, values):
    """The same covariates after the end of each series."""
    parts = {}
    for key, part in y.groupby(level=0):
        last = part.index[-1][-1]
        stamps = pd.date_range(last, periods=len(values) + 1, freq="h")[1:]
        parts[key] = values.set_axis(stamps)
    return _panel(parts)


def test_smaller_blocks_of_series_change_no_forecast(fitted, frames, monkeypatch):
    memory, _ = fitted
    monkeypatch.setattr(panels, "ROWS_PER_BLOCK", 500)
    again = GRUForecaster(**TINY | {"num_epochs": 2, "validation_split": 0.1}).fit(_panel(frames))
    pd.testing.assert_frame_equal(again.predict(FH), memory.predict(FH), rtol=0, atol=0)


def test_pretraining_on_a_file_of_counts_gives_the_network_of_memory(frames, tmp_path):
    frames = {key: y.round().clip(lower=0) for key, y in frames.items()}
    counts = TINY | {"criterion": "poisson"}
    file = PanelFile.from_frames(tmp_path / "p", _items(frames), names=["series", "time"])
    new = _series(300, "2020-03-01", seed=9).round().clip(lower=0)
    found = [
        GRUForecaster(**counts).pretrain(y).set_params(num_epochs=0).fit(new).predict(FH)
        for y in (_panel(frames), file)
    ]
    pd.testing.assert_frame_equal(found[1], found[0], rtol=1e-6)


def test_blocks_of_forecasts_are_those_of_predict(fitted, tmp_path, monkeypatch):
    for forecaster in fitted:
        monkeypatch.setattr(blocks, "FORECASTS_PER_BLOCK", 24)  # one series
        parts = list(forecaster.predict_blocks(FH))
        assert [len(part) for part in parts] == [3, 3, 3]
        pd.testing.assert_frame_equal(pd.concat(parts), forecaster.predict(FH), rtol=1e-5)
        path = tmp_path / "forecasts.parquet"
        forecaster.predict_to_parquet(path, FH)
        expected = forecaster.predict(FH).reset_index()
        found = pd.read_parquet(path)
        np.testing.assert_allclose(found["y"], expected["y"], rtol=1e-5)
        assert (found["time"] == expected["time"]).all()
        assert (found["series"] == expected["series"]).all()


def test_a_forecast_that_fails_leaves_the_earlier_parquet_file(fitted, tmp_path):
    path = tmp_path / "forecasts.parquet"
    path.write_bytes(b"before")

    def frames():
        yield fitted[0].predict(FH)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        blocks.write_parquet(path, frames())
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["forecasts.parquet"]


def test_a_copied_pickled_or_saved_forecaster_forecasts_without_the_file(fitted, tmp_path):
    _, of_file = fitted
    expected = of_file.predict(FH)
    skrnn.save(of_file, tmp_path / "saved")
    for copied in (
        copy.deepcopy(of_file),
        pickle.loads(pickle.dumps(of_file)),
        skrnn.load(tmp_path / "saved"),
    ):
        pd.testing.assert_frame_equal(copied.predict(FH), expected, rtol=1e-6)


def test_an_update_appends_to_the_context_of_a_file(fitted, frames):
    memory, of_file = (copy.deepcopy(forecaster) for forecaster in fitted)
    new = _panel({key: _series(5, y.index[-1] + pd.Timedelta("1h")) for key, y in frames.items()})
    for forecaster in (memory, of_file):
        forecaster.update(new, update_params=False)
    pd.testing.assert_frame_equal(of_file.predict(FH), memory.predict(FH), rtol=1e-5)


def test_a_checkpoint_and_other_processes_know_files_by_their_content(tmp_path):
    forecaster = GRUForecaster(checkpoint=tmp_path / "checkpoint")

    def identity(values, **options):
        file = PanelFile.from_array(tmp_path / "p", values, **options)
        return Checkpoint.of(forecaster, _values(file), None, Processes()).identity

    assert identity(np.arange(9.0)) == identity(np.arange(9.0))
    for values, start in ((np.arange(9.0) + np.eye(9)[3], 0), (np.arange(9.0), 1)):
        found = identity(values, start=start)
        assert found.pop("the data") != identity(np.arange(9.0))["the data"]
        assert found == {k: v for k, v in identity(np.arange(9.0)).items() if k in found}


# ------------------------------------------------------------------------------ building


def _values(file):
    """The panel of a file, as `fit` reads it."""
    return read(GRUForecaster(), file, None, None)


def _assert_same(file, y):
    found, expected = _values(file), read(GRUForecaster(), y, None, None)
    np.testing.assert_array_equal(found.values[:], expected.values)
    np.testing.assert_array_equal(found.offsets, expected.offsets)
    np.testing.assert_array_equal(found.origin, expected.origin)
    assert found.keys.equals(expected.keys)
    assert found.timeline == expected.timeline or found.timeline.start.equals(
        expected.timeline.start
    )
    assert found.timeline.freq == expected.timeline.freq


def test_pieces_that_cut_series_give_the_panel_of_one_piece(gaps, tmp_path, monkeypatch):
    y = _panel({key: y for key, (y, _) in gaps.items()})
    y.iloc[:120] = np.nan  # a piece without any observation
    monkeypatch.setattr(panel_file, "ROWS_PER_PIECE", 50)
    table = y.reset_index()
    table.to_parquet(tmp_path / "y.parquet", row_group_size=70)
    columns = {"time": "time", "series": "series", "target": ["load", "heat"]}
    file = PanelFile.from_parquet(tmp_path / "p", tmp_path / "y.parquet", **columns)
    _assert_same(file, y)


def test_a_memmap_gives_the_panel_of_its_rows(frames, tmp_path, monkeypatch):
    monkeypatch.setattr(panel_writer, "ROWS_PER_PIECE", 64)
    y = _panel(frames)
    array = np.memmap(tmp_path / "raw", np.float32, "w+", shape=(len(y),))
    array[:] = y["y"]
    file = PanelFile.from_array(
        tmp_path / "p",
        array,
        lengths=[len(frame) for frame in frames.values()],
        keys=pd.Index(list(frames), name="series"),
        start=pd.DatetimeIndex([frame.index[0] for frame in frames.values()], name="time"),
        freq="h",
    )
    _assert_same(file, y)


def test_an_array_without_lengths_is_one_series(tmp_path):
    file = PanelFile.from_array(tmp_path / "p", np.arange(5.0))
    panel = _values(file)
    assert panel.keys is None
    assert panel.index(np.zeros(1, int), panel.end - 1).tolist() == [4]
    assert file.n_values == 5


@pytest.mark.parametrize("fault", ["duplicate", "gap", "unsorted", "interrupted"])
def test_a_parquet_file_out_of_order_is_refused(frames, tmp_path, monkeypatch, fault):
    monkeypatch.setattr(panel_file, "ROWS_PER_PIECE", 100)
    table = _panel(frames).reset_index()
    order = np.arange(len(table))
    if fault == "duplicate":
        order = np.insert(order, 100, 99)
    elif fault == "gap":
        order = np.delete(order, 100)
    elif fault == "unsorted":
        order[[100, 99]] = order[[99, 100]]
    else:
        order = np.append(order[1:], 0)
    table.iloc[order].to_parquet(tmp_path / "y.parquet")
    match = "must be together" if fault == "interrupted" else "Series 'a' must have one row"
    with pytest.raises(ValueError, match=match):
        PanelFile.from_parquet(
            tmp_path / "p", tmp_path / "y.parquet", time="time", series="series", target="y"
        )
    assert os.listdir(tmp_path) == ["y.parquet"]


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (np.inf, "y must be finite"),
        (1e39, "must fit in float32"),
        (np.nan, "has none"),
    ],
)
def test_values_that_no_file_can_hold_are_refused(tmp_path, value, match):
    y = _series(10, "2020-01-01")
    y.iloc[4 if np.isfinite(value) or np.isinf(value) else slice(None)] = value
    with pytest.raises(ValueError, match=match):
        PanelFile.from_frames(tmp_path / "p", [("a", y)])
    assert not os.listdir(tmp_path)


def test_changes_that_float32_would_round_away_are_refused(tmp_path):
    y = 1e9 + _series(10, "2020-01-01")
    with pytest.raises(ValueError, match="Subtract the level"):
        PanelFile.from_frames(tmp_path / "p", [("a", y)])
    constant = PanelFile.from_frames(tmp_path / "p", [("a", 0.0 * y + 0.1)])
    assert constant.n_series == 1


def test_a_full_disk_leaves_the_earlier_file(tmp_path, monkeypatch):
    path = tmp_path / "p"
    PanelFile.from_array(path, np.arange(5.0))

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="What was written of it is removed"):
        PanelFile.from_array(path, np.arange(50.0))
    assert os.listdir(tmp_path) == ["p"]
    assert PanelFile(path).n_values == 5


def test_a_file_that_is_cut_off_damaged_or_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "p"
    PanelFile.from_array(path, np.arange(500.0))
    content = path.read_bytes()
    path.write_bytes(content[:-40])
    with pytest.raises(InvalidFileError, match="not whole"):
        PanelFile(path)
    path.write_bytes(content[:100] + content[104:])
    with pytest.raises(InvalidFileError, match="not whole"):
        PanelFile(path)
    path.write_bytes(content.replace(b"\x01\x00\x00\x00", b"\x63\x00\x00\x00", 1))
    with pytest.raises(InvalidFileError, match="version 1, but it has 99"):
        PanelFile(path)
    path.write_bytes(b"a text")
    with pytest.raises(InvalidFileError, match="is none"):
        PanelFile(path)


def test_a_file_that_shrinks_while_it_is_read_is_an_error(tmp_path):
    path = tmp_path / "p"
    panel = _values(PanelFile.from_array(path, np.arange(500.0)))
    os.truncate(path, 1000)
    np.testing.assert_array_equal(panel.values[:10, 0], np.arange(10.0))
    with pytest.raises(OSError, match="has become shorter"):
        panel.values[:400]


def test_a_memmap_whose_file_shrinks_is_an_error(tmp_path):
    array = np.memmap(tmp_path / "raw", np.float32, "w+", shape=(50,))
    os.truncate(tmp_path / "raw", 100)
    with pytest.raises(ValueError, match="has become shorter, 100 bytes"):
        PanelFile.from_array(tmp_path / "p", array)


def test_rows_are_read_by_slices_arrays_and_columns(gaps, tmp_path):
    y = {key: y for key, (y, _) in gaps.items()}
    file = PanelFile.from_frames(tmp_path / "p", _items(y))
    stored = _values(file)
    cut = stored.since(np.array([3, 7])).cut(np.array([50, 80]))
    expected = stored.in_memory().since(np.array([3, 7])).cut(np.array([50, 80]))
    rows = np.array([[5, 60], [129, 0]])
    for found, array in ((cut.values, expected.values), (cut.observed, expected.observed)):
        assert found.shape == array.shape
        np.testing.assert_array_equal(found[:], array)
        np.testing.assert_array_equal(found[rows], array[rows])
        np.testing.assert_array_equal(found[40:90, 1], array[40:90, 1])
        np.testing.assert_array_equal(found[rows][..., :1], array[rows][..., :1])
    np.testing.assert_array_equal(cut.n_observed, expected.n_observed)


def test_what_a_file_cannot_do_is_refused_with_the_way_out(frames, gaps, tmp_path):
    file = PanelFile.from_frames(tmp_path / "p", _items(frames))
    with pytest.raises(ValueError, match="leave it out here"):
        GRUForecaster(**TINY).fit(file, X=_panel(frames))
    with pytest.raises(ValueError, match="pooling='local'"):
        GRUForecaster(pooling="local", **TINY).fit(file)
    X = frames["a"].rename(columns={"y": "x"}).astype(str)
    with pytest.raises(TypeError, match="must be numbers"):
        PanelFile.from_frames(tmp_path / "q", [("a", frames["a"], X)])
    items = [(key, X[["known"]], y) for key, (y, X) in gaps.items()]
    with_gaps = PanelFile.from_frames(tmp_path / "q", items)
    with pytest.raises(ValueError, match="has missing values"):
        GRUForecaster(**TINY).fit(with_gaps)
    short = PanelFile.from_array(tmp_path / "s", np.arange(7.0), lengths=[6, 1])
    with pytest.raises(ValueError, match="at least 2 observations"):
        GRUForecaster(**TINY).fit(short)


def test_an_update_by_a_file_is_refused(fitted, frames, tmp_path):
    file = PanelFile.from_frames(tmp_path / "p", _items(frames))
    with pytest.raises(TypeError, match="update takes new observations"):
        fitted[1].update(file)


def test_an_ensemble_of_a_file_is_that_of_memory(frames, tmp_path):
    file = PanelFile.from_frames(tmp_path / "data.panel", _items(frames))
    small = {"n_estimators": 2, "hidden_size": 4, "num_epochs": 1, "random_state": 0}
    of_file, of_memory = (
        GRUForecaster(**small).fit(y).predict([1, 3]) for y in (file, _panel(frames))
    )
    np.testing.assert_allclose(of_file, of_memory, rtol=1e-6)


def test_frames_without_a_key_are_refused(frames, tmp_path):
    with pytest.raises(TypeError, match=r"a tuple \(key, y\) or \(key, y, X\) for each series"):
        PanelFile.from_frames(tmp_path / "data.panel", [y for _, y, *_ in _items(frames)])
    assert not list(tmp_path.iterdir())
