"""Lower bounds of speed, as ratios within one run.

    python -m pip install "skrnn[all,bench]"
    pytest examples/benchmarks

Wall-clock times are asserted here and not in the ordinary tests. Nothing else may run on the
machine. The bounds are for two cores (AMD EPYC with AVX-512, torch 2.13), where they take
less than a minute.
"""

import time
from statistics import median

import pytest
import torch
from busy_machine import compared
from overhead import INSIDE, shares
from torch import nn

from skrnn import GRUForecaster, LSTMForecaster
from skrnn.datasets import make_hourly_load
from skrnn.network.layers import GRU, LSTM


@pytest.mark.parametrize(
    ("cell", "reference", "shape", "least"),
    [
        (GRU, nn.GRU, (16, 180, 128), 5.0),
        (GRU, nn.GRU, (64, 180, 128), 2.5),
        (GRU, nn.GRU, (16, 336, 256), 2.5),
        (LSTM, nn.LSTM, (64, 180, 128), 1.25),
    ],
)
def test_layer_is_as_many_times_as_fast_as_that_of_torch(benchmark, cell, reference, shape, least):
    batch, length, hidden = shape
    ours, theirs = (make(16, hidden, batch_first=True) for make in (cell, reference))
    x, gradient = torch.randn(batch, length, 16), torch.randn(batch, length, hidden)
    slow = []

    def train(network):
        network(x)[0].backward(gradient)

    def in_turn():  # before each round of ours, one of theirs
        began = time.perf_counter()
        train(theirs)
        slow.append(time.perf_counter() - began)

    train(ours)  # compiles
    benchmark.pedantic(train, (ours,), setup=in_turn, rounds=15, warmup_rounds=2)
    ratio = median(slow) / benchmark.stats.stats.median
    benchmark.extra_info["times as fast"] = round(ratio, 2)
    assert ratio >= least


@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
def test_a_fit_beside_a_busy_process_takes_at_most_half_as_long_again(strategy):
    y = make_hourly_load(n_series=1, n_hours=8_760, random_state=0).droplevel(0).iloc[:, 0]
    alone, beside = compared(GRUForecaster(strategy, device="cpu", random_state=0), y, 3)
    assert beside <= 1.5 * alone


@pytest.mark.parametrize("forecaster", [GRUForecaster, LSTMForecaster])
def test_a_twentieth_of_an_epoch_at_most_is_no_forward_backward_clip_or_step(benchmark, forecaster):
    y = make_hourly_load(n_series=12, n_hours=20_000, random_state=0)
    seconds, spent = benchmark.pedantic(shares, (forecaster, y), rounds=1)
    outside = 1 - sum(spent[name] for name in INSIDE) / seconds
    benchmark.extra_info["outside"] = round(outside, 3)
    assert outside <= 1 / 20
