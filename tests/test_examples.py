"""The comparison example: its protocols by value, its fallback, and the figures it reaches."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from skrnn import GRUForecaster, LSTMForecaster, backtest
from skrnn.callbacks import Callback, StopAfter
from skrnn.datasets import fetch_pjm_load, make_hourly_load

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("SKRNN_DATA") or ROOT.parent / "shared" / "data" / "pjm")
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="needs the PJM files: set SKRNN_DATA to their folder"
)


@pytest.fixture(scope="module")
def example():
    path = ROOT / "examples" / "compare_gru_lstm.py"
    spec = importlib.util.spec_from_file_location("compare_gru_lstm", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Batches(Callback):
    """Keep how many targets and batches an epoch has."""

    def on_batch_end(self, forecaster, n_batches):
        self.n_batches = n_batches


@needs_data
def test_tutorial_protocol_trains_on_980185_windows(example):
    load = fetch_pjm_load(data_home=DATA, regular=False)
    y, X, _ = example.tutorial_panel(load)
    train = ~example.is_test(y)
    assert (train.groupby(level=0).sum() - 90).sum() == 980_185
    batches = Batches()
    settings = example.TUTORIAL | {"hidden_size": 2, "num_layers": 1, "dropout": 0.0}
    GRUForecaster(**settings, callbacks=[batches, StopAfter(1)]).fit(y[train], X[train])
    assert batches.n_batches == 980_185 // 1024


def test_tutorial_channels_are_those_of_the_row_before(example):
    load = make_hourly_load(n_series=2, n_hours=200, random_state=0)
    y, X, scale = example.tutorial_panel(load)
    region = load.index[0][0]
    time = load.loc[region].index
    assert X.loc[region, "hour"].iloc[5] == pytest.approx(time[4].hour / 23)
    assert X.loc[region, "dayofweek"].iloc[30] == pytest.approx(time[29].dayofweek / 6)
    back = y.loc[region, "load_mw"] * scale.loc[region, "span"] + scale.loc[region, "low"]
    np.testing.assert_allclose(back, load.loc[region, "load_mw"])


def test_state_is_carried_from_batch_to_batch_and_zero_at_each_epoch(example):
    class Seen(Callback):
        given = []

        def on_train_begin(self, forecaster, num_epochs):
            recurrent = forecaster.network_.recurrent
            recurrent.register_forward_hook(
                lambda m, args, out: self.given.append((args[1], out[1]))
            )

    y = pd.Series(np.random.default_rng(0).normal(size=60))
    settings = example.TUTORIAL | {
        "hidden_size": 3,
        "num_layers": 1,
        "dropout": 0.0,
        "num_epochs": 2,
        "window_length": 10,
        "batch_size": 20,
    }
    GRUForecaster(**settings, callbacks=[example.CarriedState(), Seen()], random_state=0).fit(y)
    (first, out1), (second, _), (third, _), (fourth, _) = Seen.given  # 50 windows: 2 batches
    assert first is None
    assert third is None
    assert torch.equal(second, out1)
    assert fourth is not None


def test_without_data_the_example_says_so_and_uses_simulated_load(
    example, monkeypatch, capsys, tmp_path
):
    def offline(**options):
        raise OSError("PJM files could not be downloaded.")

    monkeypatch.setattr(example, "fetch_pjm_load", offline)
    monkeypatch.setattr(
        example, "make_hourly_load", lambda random_state: make_hourly_load(4, 800, random_state)
    )
    figure = tmp_path / "figure.png"
    arguments = ["compare_gru_lstm.py", "--max-steps", "3", "--figure", str(figure)]
    monkeypatch.setattr("sys.argv", arguments)
    example.main()
    printed = capsys.readouterr().out
    assert "PJM files could not be downloaded." in printed
    assert "Simulated load is used instead" in printed
    assert [line.split()[0] for line in printed.splitlines() if line.startswith("mean")] == ["mean"]
    assert figure.read_bytes()[:4] == b"\x89PNG"


@needs_data
@pytest.mark.parametrize("forecaster", [GRUForecaster, LSTMForecaster])
def test_two_epochs_on_pjm_beat_the_tutorial(example, forecaster):
    load = fetch_pjm_load(data_home=DATA, add_observed=True)
    y, observed = load[["load_mw"]], load["observed"]
    test = example.is_test(y)
    table = backtest(forecaster(num_epochs=2, random_state=0).fit(y[~test]), y, start=0.89)
    errors = example.by_region(
        y.loc[test & observed, "load_mw"], table.droplevel("cutoff")["y_pred"]
    )
    # The tutorial's LSTM reaches 1.081 in this definition, its GRU 1.123.
    assert errors.mean() < 0.9
