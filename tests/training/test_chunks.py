from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from skrnn.data.covariates import Covariates
from skrnn.data.panel import Panel
from skrnn.data.scaling import Scaler
from skrnn.features.device_panel import DevicePanel
from skrnn.features.features import Features
from skrnn.features.naive_forecasts import NaiveForecasts
from skrnn.forecasting.strategies import MultiOutput, Recursive
from skrnn.naive import NAIVE_FORECASTS, naive_kinds
from skrnn.training import chunks as chunks_module
from skrnn.training.chunks import (
    MOST_EPOCHS_OF_LOOKED_UP,
    NUMBERS_PER_READ,
    VISITS_PER_TARGET,
    Chunks,
)

pytestmark = pytest.mark.usefixtures("one_thread")

W = 8  # window_length
LENGTHS = [2, 3, W - 1, W, W + 1, 3 * W + 5, 50]
STARTS = [3, 0, 20, 7, 1, 0, 40]
SEEDS = range(5)


def features_of(lags=(), sp=(), naive=(), calendar=(), horizons=None, n_numbers=1, **kwargs):
    strategy = Recursive() if horizons is None else MultiOutput(horizons)
    kinds = naive_kinds(naive)
    return Features(sp, lags, kinds, calendar, 1, strategy, n_numbers=n_numbers, **kwargs)


def data_of(lengths=LENGTHS, features=None, starts=None, freq=None, missing=()):
    """Panel of which each value is its row number, so that a value tells where it is from."""
    starts = np.resize(STARTS, len(lengths)) if starts is None else starts
    series = np.repeat(np.arange(len(lengths)), lengths)
    time = np.concatenate([start + np.arange(n) for start, n in zip(starts, lengths, strict=True)])
    stamps = time if freq is None else pd.Timestamp("2024-01-01") + pd.to_timedelta(time, freq)
    index = pd.MultiIndex.from_arrays([series, stamps])
    rows = np.arange(float(len(index)))
    X = pd.DataFrame({"x": -rows}, index=index)
    y = pd.DataFrame({"y": rows}, index=index)
    y.iloc[list(missing)] = np.nan
    panel = Panel.from_pandas(y, X, Covariates.of(X, ())).filled(())
    group = np.zeros(len(rows), dtype=int)
    values = Scaler(None).fit(panel.values, panel.series_of_rows())
    features = features_of() if features is None else features
    unscaled = values, Scaler(None).fit(panel.known, group)
    return panel, DevicePanel(panel, features, *unscaled, torch.device("cpu"))


def chunks_of(
    lengths=LENGTHS,
    stop=None,
    reach=2,
    window_length=W,
    batch_size=3,
    supervision="dense",
    seed=0,
    features=None,
    missing=(),
    **kwargs,
):
    """Chunks of steps that need ``reach`` past values, two at least: the last change."""
    features = features_of(lags=(reach,)) if features is None else features
    panel, data = data_of(lengths, features, missing=missing)
    stop = panel.lengths if stop is None else np.asarray(stop)
    rng = np.random.default_rng(seed)
    return panel, Chunks(data, stop, window_length, batch_size, supervision, rng, **kwargs)


def read(data, series, start, length):
    """Steps of the given series and their targets, (B, L)."""
    series, start = torch.tensor(series), torch.tensor(start)
    values, _ = data.target_values(series, start[:, None] + torch.arange(length))
    return data.steps(series, start, length), values[:, :, 0, 0]


def forecast_from(chunk):
    """Steps (B, M) of a chunk that are forecast from."""
    everyone = torch.arange(chunk.steps.past.shape[1]).expand(len(chunk.values), -1)
    return everyone if chunk.at is None else chunk.at


def counted(panel, epoch):
    """How often the target of each row counts in the batches of an epoch."""
    times = np.zeros(panel.offsets[-1])
    for chunk in epoch:
        rows = chunk.values.long().numpy()
        np.add.at(times, rows.ravel(), chunk.weight.numpy().ravel())
    return times


def rows_that_count(panel, begin, stop):
    """1 in the rows ``begin`` to ``stop`` of each series, 0 elsewhere."""
    row = np.arange(panel.offsets[-1]) - panel.offsets[panel.series_of_rows()]
    series = panel.series_of_rows()
    return ((row >= np.asarray(begin)[series]) & (row < np.asarray(stop)[series])).astype(float)


# ----------------------------------------------------------------- the steps


def test_steps_hold_the_values_before_their_target():
    features = features_of(lags=(3,))
    _, data = data_of([10, 12], features)
    steps, target = read(data, [0, 1], [4, 5], 3)
    assert target.tolist() == [[4, 5, 6], [15, 16, 17]]
    past = steps.past[..., 0]
    assert past[..., features.offsets.index(1)].tolist() == [[3, 4, 5], [14, 15, 16]]
    assert past[..., features.offsets.index(3)].tolist() == [[1, 2, 3], [12, 13, 14]]
    assert steps.n_past.tolist() == [[4, 5, 6], [5, 6, 7]]
    assert steps.known[..., 0].tolist() == [[-4, -5, -6], [-15, -16, -17]]


def test_steps_before_the_first_value_of_a_series_do_not_reach_into_the_one_before():
    features = features_of(lags=(3,))
    _, data = data_of([10, 12], features)
    steps, _ = read(data, [1], [1], 4)
    assert steps.n_past.tolist() == [[1, 2, 3, 4]]
    past = steps.past[0, :, features.offsets.index(3), 0].tolist()
    assert past[2:] == [10, 11]  # the lag exists from the third step on
    assert min(past) >= 10


def test_steps_after_the_end_of_a_series_repeat_its_last_row():
    _, data = data_of([10, 12])
    steps, target = read(data, [0], [8], 4)
    assert target.tolist() == [[8, 9, 9, 9]]
    assert steps.n_past.tolist() == [[8, 9, 9, 9]]


def test_calendar_of_a_step_is_that_of_its_own_time():
    features = features_of(calendar=("hour",))
    panel, data = data_of([30, 40], features, starts=[5, 2], freq="h")
    steps, _ = read(data, [0, 1], [4, 4], 20)
    for s, start in enumerate([5, 2]):
        expected = features.encode_calendar(panel.timeline, panel.origin[s] + np.arange(4, 24))
        np.testing.assert_array_equal(steps.known[s, :, :-1], expected)
        hour = (start + 4 + np.arange(20)) % 24
        np.testing.assert_allclose(
            expected[:, :2] @ [0, 1], np.cos(2 * np.pi * hour / 24), atol=1e-6
        )


# ------------------------------------------------------------------ an epoch


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("reach", [2, 5, 30])
@pytest.mark.parametrize("batch_size", [1, 3, 1000])
def test_dense_epoch_counts_every_target_once(seed, reach, batch_size):
    panel, chunks = chunks_of(seed=seed, reach=reach, batch_size=batch_size)
    expected = rows_that_count(panel, chunks.begin, chunks.stop)
    for _ in range(3):
        np.testing.assert_array_equal(counted(panel, chunks.epoch()), expected)
    assert chunks.n_targets == expected.sum()


@pytest.mark.parametrize("length", [2, 3, W - 1, W, W + 1, W + 2, 2 * W, 2 * W + 1])
def test_dense_epoch_of_one_series_counts_every_target_once(length):
    for seed in range(10):
        panel, chunks = chunks_of([length], seed=seed)
        begin = 1 if length < 4 else 2
        assert counted(panel, chunks.epoch()).tolist() == [0.0] * begin + [1.0] * (length - begin)


@pytest.mark.parametrize("supervision", ["dense", "last"])
def test_targets_begin_when_all_lags_exist_or_at_half_of_a_short_series(supervision):
    _, chunks = chunks_of([2, 3, 20, 21, 30, 50], reach=12, supervision=supervision)
    assert chunks.begin.tolist() == [1, 1, 10, 10, 12, 12]


def test_targets_begin_early_enough_for_one_of_every_horizon():
    features = features_of(lags=(12,), horizons=(1, 15))
    lengths = [50, 20, 16, 15, 8]
    _, chunks = chunks_of(lengths, features=features)
    # The lag exists from row 12 on. Then 20 rows have no target 15 steps ahead of row 12, but one
    # of row 5, 16 rows one of row 1. Where there is none at all, it is half of the series.
    assert chunks.begin.tolist() == [12, 5, 1, 7, 4]
    _, chunks = chunks_of([50, 40], stop=[20, 40], features=features)
    assert chunks.begin.tolist() == [5, 12]


def test_targets_begin_at_since_or_later():
    _, chunks = chunks_of([50, 50, 50], reach=12, since=np.array([30, 3, 50]))
    assert chunks.begin.tolist() == [30, 12, 50]
    panel, chunks = chunks_of([50, 20], reach=12, since=np.array([30, 20]))
    expected = rows_that_count(panel, [30, 20], [50, 20])
    np.testing.assert_array_equal(counted(panel, chunks.epoch()), expected)


def test_targets_wait_for_one_season_and_the_value_before_it_not_for_older_ones():
    _, chunks = chunks_of([8, 20, 50], features=features_of(sp=(4,), naive=tuple(NAIVE_FORECASTS)))
    assert chunks.begin.tolist() == [4, 5, 5]


@pytest.mark.parametrize("supervision", ["dense", "last"])
def test_one_step_ahead_the_naive_forecasts_are_given_the_values_and_means_before_it(supervision):
    features = features_of(sp=(4,), naive=tuple(NAIVE_FORECASTS))
    _, chunks = chunks_of([50, 40], features=features, supervision=supervision)
    for chunk in chunks.epoch():
        target, counts = chunk.values[..., 0], chunk.weight[..., 0] > 0
        # Values are row numbers.
        exists = chunk.targets.n_past[..., None] >= torch.tensor(features.naive_offsets)
        expected = target - torch.tensor(features.naive_offsets)
        assert torch.equal(chunk.targets.past[..., 0][exists & counts], expected[exists & counts])
        # Means of the last four values and of the four before.
        level, before = chunk.targets.means[..., 0, :, 0].unbind(-1)
        there = counts[..., 0]
        assert torch.equal(level[there], target[..., 0][there] - 2.5)
        there = there & (chunk.targets.n_past >= 8)
        assert torch.equal(before[there], target[..., 0][there] - 6.5)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_target_at_or_after_stop(seed):
    stop = [2, 2, 4, 6, 7, 20, 33]
    panel, chunks = chunks_of(stop=stop, seed=seed)
    expected = rows_that_count(panel, [1, 1, 2, 2, 2, 2, 2], stop)
    np.testing.assert_array_equal(counted(panel, chunks.epoch()), expected)


@pytest.mark.parametrize("supervision", ["dense", "last"])
@pytest.mark.parametrize("horizons", [None, (1, 4), tuple(range(1, 13))])
@pytest.mark.parametrize("extreme", [1e30, -1e300, np.inf])
def test_batches_hold_no_value_at_or_after_stop(supervision, horizons, extreme):
    features = features_of((3,), (4,), tuple(NAIVE_FORECASTS), horizons=horizons, n_numbers=0)
    panel, _ = data_of([30, 45])

    def batches(held_out):
        values = panel.values.copy()
        values[24:30] = held_out  # the end of the first series
        changed = replace(panel, values=values)
        scalers = Scaler(None).fit(panel.values, panel.series_of_rows()), Scaler(None)
        scalers[1].fit(np.zeros((75, 0)), np.zeros(75, int))
        changed = replace(changed, covariates=Covariates.of(None, ()), known=np.zeros((75, 0)))
        data = DevicePanel(changed, features, *scalers, torch.device("cpu"))
        rng = np.random.default_rng(0)
        # Of both series one batch, so that shorter chunks are filled up beyond their end.
        chunks = Chunks(data, np.array([24, 45]), W, 100, supervision, rng)
        return [part for _ in range(3) for chunk in chunks.epoch() for part in tensors_of(chunk)]

    with np.errstate(over="ignore"):  # 1e300 is infinite in float32
        for one, other in zip(batches(-5.0), batches(extreme), strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("supervision", ["dense", "last"])
@pytest.mark.parametrize("seed", SEEDS)
def test_steps_never_know_their_target_or_later(seed, supervision):
    features = features_of(lags=(2, 6))
    _, chunks = chunks_of(seed=seed, supervision=supervision, features=features)
    for chunk in chunks.epoch():
        counts = chunk.weight[..., 0, 0] > 0
        here = torch.arange(len(counts))[:, None], forecast_from(chunk)
        target, past = chunk.values[..., 0, 0], chunk.steps.past[here][..., 0]
        assert counts.any()
        # Values are row numbers.
        for k, offset in enumerate(features.offsets):
            exists = counts & (chunk.steps.n_past[here] >= offset)
            assert torch.equal(past[..., k][exists], target[exists] - offset)
        assert (past < target[..., None])[counts].all()


@pytest.mark.parametrize("seed", SEEDS)
def test_steps_of_a_chunk_follow_one_another(seed):
    _, chunks = chunks_of(seed=seed)
    for chunk in chunks.epoch():
        target, counts = chunk.values[..., 0, 0], chunk.weight[..., 0, 0] > 0
        both = counts[:, 1:] & counts[:, :-1]
        assert (target.diff(dim=1)[both] == 1).all()
        # What counts in a chunk is one stretch.
        assert (counts.int().diff(dim=1).abs().sum(1) <= 2).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_chunks_of_a_long_series_are_as_long_as_the_window(seed):
    # Where the first target has a window of values before it, no chunk is shorter.
    _, chunks = chunks_of([50, 40], reach=W, seed=seed, batch_size=2)
    for chunk in chunks.epoch():
        assert chunk.values.shape[1] == W


def test_chunks_of_short_series_are_as_long_as_these():
    _, chunks = chunks_of([5, 50, 5, 50], batch_size=2, reach=W)
    lengths = [chunk.values.shape[1] for chunk in chunks.epoch()]
    assert lengths.count(4) == 1  # both short series in one batch, without padding
    assert set(lengths) == {4, W}


@pytest.mark.parametrize("supervision", ["dense", "last"])
def test_n_targets_of_a_batch_is_the_sum_of_its_weights(supervision):
    _, chunks = chunks_of(supervision=supervision)
    for chunk in chunks.epoch():
        assert chunk.n_targets == chunk.weight.sum()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("batch_size", [1, 3, 1000])
def test_len_is_the_most_batches_that_an_epoch_has(seed, batch_size):
    _, chunks = chunks_of(seed=seed, batch_size=batch_size)
    epochs = [len(list(chunks.epoch())) for _ in range(20)]
    assert max(epochs) <= len(chunks) <= max(epochs) + 2 * len(LENGTHS)
    assert min(epochs) >= 1


def tensors_of(made):
    if isinstance(made, torch.Tensor):
        return [made]
    return [a for part in made for a in tensors_of(part)] if isinstance(made, tuple) else []


@pytest.mark.parametrize("supervision", ["dense", "last"])
@pytest.mark.parametrize(
    "settings",
    [{}, {"missing": True}, {"horizons": (1, 4)}, {"horizons": tuple(range(1, 13))}],
    ids=["step", "missing", "two horizons", "many horizons"],
)
def test_batches_drawn_together_are_those_drawn_one_by_one(monkeypatch, supervision, settings):
    # Of these lengths each has an incomplete batch, or shares one with the next.
    lengths = [5, 6, 6, 6, 6, W, W + 3, 40, 50, 50, 70]
    missing = [70, 71, 90] if "missing" in settings else ()
    settings = {
        "features": features_of(lags=(3,), **settings),
        "supervision": supervision,
        "missing": missing,
    }

    def batches(read):
        monkeypatch.setattr(chunks_module, "NUMBERS_PER_READ", read)
        _, chunks = chunks_of(lengths, **settings)
        made = [(*tensors_of(chunk), chunk.n_targets) for chunk in chunks.epoch()]
        # The order of the batches is random.
        return sorted(made, key=lambda batch: [str(part) for part in batch])

    alone = batches(1)
    for read in (1000, NUMBERS_PER_READ):
        together = batches(read)
        assert len(together) == len(alone)
        for one, other in zip(together, alone, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one[:-1], other[:-1], strict=True))
            assert one[-1] == other[-1]


def test_no_more_is_read_at_once_than_asked_for(monkeypatch):
    _, chunks = chunks_of([400] * 20)
    sizes, gather = [], chunks.gathered

    def watched(rows, length):
        made = gather(rows, length)
        sizes.append(sum(a.numel() for a in tensors_of(made)))
        return made

    monkeypatch.setattr(chunks, "gathered", watched)
    for read in (2000, 10_000):
        monkeypatch.setattr(chunks_module, "NUMBERS_PER_READ", read)
        sizes.clear()
        n = len(list(chunks.epoch()))
        assert len(sizes) < n  # of which several are read at once
        assert 0.3 * read < max(sizes) < 2 * read


# ------------------------------------------------------------ several horizons


def pairs_that_count(panel, chunks):
    """How often each step, the row after what it knows, and each target of it count."""
    times = {}
    for chunk in chunks.epoch():
        step = chunk.steps.past[..., 0, 0].gather(1, forecast_from(chunk)).long() + 1
        for b, k, j in np.argwhere(chunk.weight[..., 0].numpy() > 0):
            pair = int(step[b, k]), int(chunk.values[b, k, j, 0])
            times[pair] = times.get(pair, 0) + 1
    return times


@pytest.mark.parametrize("supervision", ["dense", "last"])
@pytest.mark.parametrize("held_out", [0, 2])
def test_targets_ahead_count_once_each_and_none_beyond_stop(supervision, held_out):
    horizons = (1, 3, 6)
    lengths = np.array([12, 30, 5])
    features = features_of(lags=(3,), horizons=horizons)
    stop = lengths - held_out
    panel, chunks = chunks_of(
        lengths, stop, supervision=supervision, features=features, batch_size=1
    )
    first = panel.offsets[:-1]
    expected = {
        (first[s] + t, first[s] + t + h - 1): 1
        for s in range(3)
        for t in range(chunks.begin[s], stop[s])
        for h in horizons
        if t + h - 1 < stop[s]
    }
    assert pairs_that_count(panel, chunks) == expected


def test_of_many_horizons_each_step_is_forecast_from_in_one_of_several_epochs():
    features, lengths = features_of(lags=(3,), horizons=tuple(range(1, 7))), np.array([12, 60, 9])
    panel, chunks = chunks_of(lengths, features=features, batch_size=2, visits_per_target=2)
    assert chunks.every == 3
    first = panel.offsets[:-1]
    allowed = {
        (first[s] + t, first[s] + t + h - 1)
        for s in range(3)
        for t in range(chunks.begin[s], lengths[s])
        for h in range(1, 7)
        if t + h - 1 < lengths[s]
    }
    seen = set()
    for _ in range(40):
        pairs = pairs_that_count(panel, chunks)
        assert set(pairs.values()) == {1}
        assert len(pairs) == pytest.approx(len(allowed) / 3, rel=0.35)
        seen |= pairs.keys()
    assert seen == allowed


def test_each_target_is_visited_about_as_often_as_the_constant_says():
    horizons = tuple(range(1, 6 * VISITS_PER_TARGET + 1))
    panel, chunks = chunks_of([400], features=features_of(lags=(3,), horizons=horizons))
    inner = counted(panel, chunks.epoch())[len(horizons) : -len(horizons)]
    assert inner.mean() == pytest.approx(VISITS_PER_TARGET, rel=0.1)


@pytest.mark.parametrize("horizons", [None, (1, 4)])
@pytest.mark.parametrize("supervision", ["dense", "last"])
def test_missing_targets_do_not_count(horizons, supervision):
    missing = [9, 10, 20]
    features = features_of(lags=(3,), horizons=horizons, missing=True)
    settings = {"features": features, "supervision": supervision, "batch_size": 1}
    panel, whole = chunks_of([30], **settings)
    _, chunks = chunks_of([30], missing=missing, **settings)
    # Values are row numbers, but for those that were filled in.
    made = counted(panel, chunks.epoch())
    expected = np.zeros(30)
    for (_, target), times in pairs_that_count(panel, whole).items():
        expected[target] += times
    assert (expected[missing] > 0).all()
    expected[missing] = 0
    np.testing.assert_array_equal(made, expected)


def test_only_the_missing_column_of_a_target_does_not_count():
    index = pd.RangeIndex(6)
    y = pd.DataFrame({"u": [1.0, 2.0, np.nan, 4.0, 5.0, 6.0], "v": np.arange(6.0)}, index=index)
    panel = Panel.from_pandas(y, None, Covariates.of(None, ())).filled(())
    features = Features((), (), (), (), 2, Recursive(), missing=True)
    scalers = (
        Scaler(None).fit(panel.values, np.zeros(6, int)),
        Scaler(None).fit(panel.known, np.zeros(6, int)),
    )
    data = DevicePanel(panel, features, *scalers, torch.device("cpu"))
    chunks = Chunks(data, panel.lengths, W, 1, "dense", np.random.default_rng(0))
    (chunk,) = chunks.epoch()
    # Targets begin at row 2; the chunk at row 1.
    assert chunk.weight[0, :, 0].tolist() == [[0, 0], [0, 1], [1, 1], [1, 1], [1, 1]]


def test_steps_tell_which_of_their_values_were_observed():
    features = features_of(lags=(3,), missing=True)
    _, data = data_of([10], features, missing=[4, 6])
    steps, _ = read(data, [0], [5], 4)
    # Of each step from row 5 on the values 1, 2 and 3 rows before.
    assert features.offsets == (1, 2, 3)
    assert steps.observed[0, :, :, 0].tolist() == [[0, 1, 1], [1, 0, 1], [0, 1, 0], [1, 0, 1]]
    assert steps.past[0, :, :, 0].tolist() == [[3, 3, 2], [5, 3, 3], [5, 5, 3], [7, 5, 5]]


@pytest.mark.parametrize(("told", "expected"), [(True, 1.0), (False, None)])
def test_without_missing_values_all_is_observed_or_nothing_is_said(told, expected):
    _, data = data_of([10], features_of(missing=told))
    steps, _ = read(data, [0], [5], 4)
    assert (steps.observed is None) if expected is None else (steps.observed == 1).all()


def test_targets_of_a_step_lie_its_horizons_ahead():
    features = features_of(horizons=(1, 2, 5))
    _, data = data_of([10, 12], features)
    t = torch.tensor([[3, 4], [3, 8]])
    values, observed = data.target_values(torch.tensor([0, 1]), t)
    assert values[..., 0].tolist() == [
        [[3, 4, 7], [4, 5, 8]],
        [[13, 14, 17], [18, 19, 21]],  # the last one beyond the end: its weight is zero
    ]
    assert observed is None


def test_calendar_and_X_ahead_are_those_of_the_targets():
    features = features_of(calendar=("hour",), horizons=(1, 4))
    _, data = data_of([30, 40], features, starts=[5, 2], freq="h")
    targets = data.targets(torch.tensor([0, 1]), torch.tensor([[4, 5], [9, 10]]))
    assert targets.known[..., -1].tolist() == [[[-4, -7], [-5, -8]], [[-39, -42], [-40, -43]]]
    for s, t, start in [(0, 4, 5), (1, 9, 2)]:
        angle = 2 * np.pi * (start + t + np.array([0, 3])) / 24
        made = targets.known[s, 0, :, :2]
        np.testing.assert_allclose(made[:, 0], np.sin(angle), atol=1e-6)
        np.testing.assert_allclose(made[:, 1], np.cos(angle), atol=1e-6)


# ------------------------------------------------------------------- patches


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("lengths", [[50, 40], LENGTHS])
def test_steps_of_a_patch_lie_a_patch_apart_and_count_at_most_once(seed, lengths):
    features = features_of(horizons=(1,), patch_length=4)
    panel, chunks = chunks_of(lengths, features=features, seed=seed)
    times = np.zeros(panel.offsets[-1])
    for chunk in chunks.epoch():
        target, counts = chunk.values[..., 0, 0], chunk.weight[..., 0, 0] > 0
        both = counts[:, 1:] & counts[:, :-1]
        assert (target.diff(dim=1)[both] == 4).all()
        assert counts.any(1).all()
        np.add.at(times, target[counts].long().numpy(), 1)
    assert set(times) <= {0.0, 1.0}
    assert (times <= rows_that_count(panel, chunks.begin, chunks.stop)).all()
    # As many as whole patches fit, but for the two ends of a chunk.
    assert abs(times.sum() - chunks.n_targets) <= 2 * len(lengths) + 2


def test_epochs_take_the_ends_of_patches_at_every_phase():
    features = features_of(horizons=(1,), patch_length=4)
    panel, chunks = chunks_of([50], features=features)
    times = sum(counted(panel, chunks.epoch()) for _ in range(60))
    assert (times[chunks.begin[0] :] > 0).all()
    assert (times[: chunks.begin[0]] == 0).all()


def test_patch_is_told_its_last_values_one_by_one():
    features = features_of(patch_length=3)
    _, data = data_of([20], features)
    steps = data.steps(torch.tensor([0]), torch.tensor([7]), 3)
    assert steps.past[0, :, :, 0].tolist() == [[6, 5, 4, 3], [9, 8, 7, 6], [12, 11, 10, 9]]
    assert steps.n_past.tolist() == [[7, 10, 13]]
    assert steps.known[0, :, 0].tolist() == [-7, -10, -13]


# ---------------------------------------------------------------- supervision


def test_last_takes_the_window_before_and_with_every_target():
    n, batch_size = 30, 1
    _, chunks = chunks_of([n], supervision="last", batch_size=batch_size)
    seen = []
    for chunk in chunks.epoch():
        assert chunk.at.tolist() == [[W - 1]]
        assert chunk.weight.ravel().tolist() == [1.0]
        last = int(chunk.values[0, -1])
        # Its steps know the window of W values that ends before the target, and no others.
        assert chunk.steps.past[0, :, 0, 0].tolist() == list(range(last - W, last))
        seen.append(last)
    assert sorted(seen) == list(range(W, n))
    assert len(seen) == n - W


@pytest.mark.parametrize("seed", SEEDS)
def test_last_counts_every_target_once(seed):
    panel, chunks = chunks_of(supervision="last", batch_size=1, seed=seed, reach=3)
    expected = rows_that_count(panel, chunks.begin, chunks.stop)
    np.testing.assert_array_equal(counted(panel, chunks.epoch()), expected)


def test_windows_of_several_series_are_all_but_the_first_of_each():
    _, chunks = chunks_of([30, 45, 60], supervision="last", batch_size=1)
    assert chunks.n_targets == len(chunks) == 30 + 45 + 60 - 3 * W


def test_last_drops_the_incomplete_batch():
    _, chunks = chunks_of([30], supervision="last", batch_size=5)  # 22 windows
    sizes = [len(chunk.values) for chunk in chunks.epoch()]
    assert sizes == [5] * 4
    assert len(chunks) == 4


def test_last_keeps_the_only_batch_though_it_is_incomplete():
    _, chunks = chunks_of([30], supervision="last", batch_size=1000)
    assert [len(chunk.values) for chunk in chunks.epoch()] == [22]


def test_incomplete_batch_that_is_dropped_holds_other_targets_each_epoch():
    panel, chunks = chunks_of([30], supervision="last", batch_size=5)
    left_out = [np.flatnonzero(counted(panel, chunks.epoch())[W:] == 0) for _ in range(4)]
    assert all(len(rows) == 2 for rows in left_out)
    assert len({tuple(rows) for rows in left_out}) > 1


def test_dense_keeps_the_incomplete_batch():
    _, chunks = chunks_of([50], batch_size=4)
    sizes = [len(chunk.values) for chunk in chunks.epoch()]
    assert sorted(sizes)[-1] == 4
    assert sum(sizes) in (7, 8)


# --------------------------------------------------------------------- random


def drawn(chunks):
    return [chunk.values[..., 0, 0].tolist() for chunk in chunks.epoch()]


@pytest.mark.parametrize("supervision", ["dense", "last"])
def test_epochs_differ_and_a_seed_repeats_them(supervision):
    _, one = chunks_of(supervision=supervision, seed=1)
    _, same = chunks_of(supervision=supervision, seed=1)
    _, other = chunks_of(supervision=supervision, seed=2)
    first, second = drawn(one), drawn(one)
    assert first != second
    assert drawn(same) == first
    assert drawn(same) == second
    assert drawn(other) != first


def test_dense_chunks_are_cut_at_another_phase_each_epoch():
    _, chunks = chunks_of([50], batch_size=1)
    edges = {
        min(int(chunk.values[chunk.weight > 0].max()) for chunk in chunks.epoch())
        for _ in range(40)
    }
    # The first chunk ends after 1 to W targets, of which the first is row 2.
    assert edges == set(range(2, W + 2))


def test_drawing_leaves_global_random_numbers_untouched():
    numpy_state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()
    _, chunks = chunks_of()
    drawn(chunks)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)
    assert torch.equal(torch.get_rng_state(), torch_state)


def test_series_that_stop_years_apart_cost_their_own_rows_of_the_calendar():
    features = features_of(calendar=("hour", "dayofyear"))
    panel, data = data_of([30, 40], features, starts=[50_000, 2], freq="h")
    assert len(data.calendar) == 70
    steps, _ = read(data, [0, 1], [4, 4], 20)
    for s, start in enumerate([50_000, 2]):
        expected = features.encode_calendar(panel.timeline, start - 2 + np.arange(4, 24))
        np.testing.assert_array_equal(steps.known[s, :, :8], expected)


def test_series_of_the_same_dates_share_the_calendar():
    features = features_of(calendar=("hour",))
    _, data = data_of([30, 30, 30], features, starts=[5, 5, 5], freq="h")
    assert len(data.calendar) == 30


# ------------------------------------------------------------- naive forecasts looked up


def with_linear(horizons=None, n_rows=60):
    features = features_of(
        (3,), (4,), ("last", "seasonal"), ("hour",), horizons, linear_lags=(1, 2, 4, 7)
    )
    _, data = data_of([n_rows, 30], features, freq="h", missing=[40])
    naive = NaiveForecasts(features)
    generator = torch.Generator().manual_seed(0)
    naive.linear.coefficients.normal_(generator=generator)
    naive.linear.known_coefficients.normal_(generator=generator)
    lengths = np.array([n_rows, 30])
    chunks, same = (
        Chunks(data, lengths - 5, W, 3, "dense", np.random.default_rng(0)) for _ in range(2)
    )
    return naive, data, chunks, same


@pytest.mark.parametrize("horizons", [None, (1, 2, 3), tuple(range(1, 13))])
def test_naive_forecasts_looked_up_are_those_computed_in_each_batch(horizons):
    naive, data, computed, looked_up = with_linear(horizons)
    looked_up.look_up(naive, data)
    for chunk, other in zip(computed.epoch(), looked_up.epoch(), strict=True):
        assert other.targets.regressors is None
        assert other.targets.means is None
        assert other.targets.past.shape[2] < chunk.targets.past.shape[2]
        assert torch.equal(other.values, chunk.values)
        expected, exists = naive(chunk.targets)
        found, same = naive(other.targets)
        counts = chunk.weight.bool()[..., None] & exists
        assert counts.any()
        assert torch.equal(exists, same)
        torch.testing.assert_close(found[counts], expected[counts])


def test_naive_forecasts_are_not_looked_up_where_an_epoch_reads_few_or_they_are_many(monkeypatch):
    horizons = tuple(range(1, 1 + VISITS_PER_TARGET * (1 + MOST_EPOCHS_OF_LOOKED_UP)))
    naive, data, chunks, _ = with_linear(horizons, n_rows=100)
    chunks.look_up(naive, data)
    assert chunks.data.naive is None
    naive, data, chunks, other = with_linear()
    n_forecasts = len(chunks.data.values) * naive.features.n_mixed
    monkeypatch.setattr(chunks_module, "MOST_LOOKED_UP", n_forecasts - 1)
    chunks.look_up(naive, data)
    assert chunks.data.naive is None
    monkeypatch.setattr(chunks_module, "MOST_LOOKED_UP", n_forecasts)
    other.look_up(naive, data)
    assert other.data.naive.shape == (90, 1, 1, naive.features.n_mixed)
    features = features_of((3,), (4,), (), ("hour",))
    _, data = data_of([30], features, freq="h")
    none = Chunks(data, np.array([30]), W, 3, "dense", np.random.default_rng(0))
    none.look_up(NaiveForecasts(features), data)  # a network without naive forecasts
    assert none.data.naive is None
