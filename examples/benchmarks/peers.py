r"""Seconds of training against accuracy on PJM: skrnn, plain PyTorch, darts, neuralforecast.

    SKRNN_DATA=<folder of the PJM files> python examples/benchmarks/peers.py \
        --peer darts=/path/to/python --peer neuralforecast=/path/to/python

All methods train on the same hours of the twelve regions and forecast the same sample of test
hours, every nineteenth, one hour ahead. They run one after the other, each in its own process;
"seconds" is the training alone. darts and neuralforecast need environments of their own, and
`--peer` names their interpreters. A peer without one is reported as not installed. `--seconds` is
the training budget of each row; with the default of 60 the trainings take six minutes in all,
without the peers, on two cores (AMD EPYC with AVX-512, torch 2.13).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import results

WINDOW, STEP = 192, 19  # hours of a training window; hours between scored forecasts
# Harmonics of the day, the week and the year, in cycles per hour.
CYCLES = [1 / 24, 2 / 24, 1 / 168, 2 / 168, 3 / 168, 1 / 8766, 2 / 8766]


# ------------------------------------------------------------------ the data


def prepare(path):
    """Write values, hours since 1970, first test row and scored rows of each region."""
    from skrnn.datasets import fetch_pjm_load

    load = fetch_pjm_load(add_observed=True)
    parts = {}
    for region, rows in load.groupby(level=0):
        hours = rows.index.get_level_values(-1).values.astype("datetime64[h]").astype(np.int64)
        n = len(rows)
        begin = n - int(0.1 * (n - 90))
        scored = np.flatnonzero(rows["observed"].to_numpy(bool)[begin:])[::STEP] + begin
        parts |= {f"{region}/values": rows["load_mw"].to_numpy(), f"{region}/hours": hours}
        parts |= {f"{region}/begin": begin, f"{region}/scored": scored}
    np.savez(path, **parts)


class Region:
    """One series: rows before ``begin`` are for training, rows ``scored`` are forecast."""

    def __init__(self, name, data):
        self.name = name
        self.values, self.hours, self.begin, self.scored = (
            data[f"{name}/{part}"] for part in ("values", "hours", "begin", "scored")
        )
        self.mean, self.std = self.values[: self.begin].mean(), self.values[: self.begin].std()
        self.z = ((self.values - self.mean) / self.std).astype(np.float32)

    def calendar(self):
        angle = 2 * np.pi * self.hours[:, None] * np.array(CYCLES)
        return np.concatenate([np.sin(angle), np.cos(angle)], 1).astype(np.float32)

    def error(self, forecast):
        y = self.values[self.scored]
        return np.mean(200 * np.abs(y - forecast) / (np.abs(y) + np.abs(forecast)))


def report(regions, seconds, forecasts, n_targets=0, package=None):
    """Print seconds of training, mean sMAPE of the regions and targets per second as JSON."""
    versions = {package: metadata.version(package)} if package else {}
    error = np.mean([r.error(f) for r, f in zip(regions, forecasts, strict=True)])
    speed = n_targets / seconds if seconds else 0
    found = {"seconds": seconds, "smape": float(error), "speed": speed, "versions": versions}
    print(json.dumps(found), flush=True)


# ------------------------------------------------------------------ the rows


def seasonal_naive(regions, budget):
    report(regions, 0, [r.values[r.scored - 24] for r in regions])


def naive(regions, budget):
    report(regions, 0, [r.values[r.scored - 1] for r in regions])


def linear(regions, budget):
    """Ridge regression of each region on lagged logarithms, hour of the week and season x hour."""
    from sklearn.linear_model import Ridge

    seconds, forecasts = 0, []
    lags = [*range(1, 91), *range(166, 171), 336]
    for r in regions:
        s = np.log(np.maximum(r.values, 1))
        hour, week = r.hours % 24, r.hours % 168
        year = 2 * np.pi * r.hours[:, None] / 8766 * np.array([1, 2])
        waves = np.concatenate([np.sin(year), np.cos(year)], 1)

        def design(t, s=s, hour=hour, week=week, waves=waves):
            by_hour = (np.eye(24)[hour[t]][:, :, None] * waves[t][:, None]).reshape(len(t), -1)
            return np.hstack([s[t[:, None] - lags], np.eye(168)[week[t]], by_hour])

        t = np.arange(max(lags), r.begin)
        began = time.perf_counter()
        model = Ridge(1e-3).fit(design(t), s[t])
        seconds += time.perf_counter() - began
        forecasts.append(np.exp(model.predict(design(r.scored))))
    report(regions, seconds, forecasts)


def skrnn(regions, budget, cell):
    """The defaults with more and more epochs, each a training of its own for the schedule."""
    import pandas as pd

    import skrnn as package

    def frame(stop):
        stamps = [
            r.hours[: stop(r)].astype("datetime64[h]").astype("datetime64[s]") for r in regions
        ]
        keys = np.repeat([r.name for r in regions], [len(s) for s in stamps])
        index = pd.MultiIndex.from_arrays([keys, np.concatenate(stamps)], names=["region", "time"])
        return pd.DataFrame({"load": np.concatenate([r.values[: stop(r)] for r in regions])}, index)

    train, whole = frame(lambda r: r.begin), frame(lambda r: len(r.values))
    first = np.cumsum([0, *(len(r.values) for r in regions)])
    cutoffs = whole.index[
        np.concatenate([a + r.scored - 1 for a, r in zip(first[:-1], regions, strict=True)])
    ]
    Forecaster = getattr(package, f"{cell}Forecaster")
    Forecaster(num_epochs=1, random_state=0).fit(train.groupby(level=0).head(500))  # compiles
    for num_epochs in (1, 3, 8, 20, 60):
        forecaster = Forecaster(num_epochs=num_epochs, random_state=0)
        began = time.perf_counter()
        forecaster.fit(train)
        seconds = time.perf_counter() - began
        table = package.backtest(forecaster, whole, fh=[1], cutoffs=cutoffs)
        by_region = table["y_pred"].groupby(level=0)
        report(
            regions,
            seconds,
            [by_region.get_group(r.name).to_numpy() for r in regions],
            num_epochs * len(train),
        )
        if 2.5 * seconds > budget:
            return


def tutorial(regions, budget, cell):
    """Two layers of 256 units, windows of 90 hours, batches of 1024, loss on the last output."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    length = 90
    layer = getattr(nn, cell)(4, 256, 2, dropout=0.2, batch_first=True)
    head = nn.Linear(256, 1)
    optimizer = torch.optim.Adam([*layer.parameters(), *head.parameters()], lr=1e-3)
    inputs = []
    for r in regions:
        phases = np.stack([r.hours % 24 / 24, r.hours % 168 / 168, r.hours % 8766 / 8766], 1)
        inputs.append(np.concatenate([r.z[:, None], phases], 1).astype(np.float32))

    def windows(r, t):
        rows = t[:, None] - np.arange(length, 0, -1)
        return torch.from_numpy(inputs[r][rows])

    def forecast():
        layer.eval()
        forecasts = []
        with torch.no_grad():
            for k, r in enumerate(regions):
                parts = [
                    head(layer(windows(k, t))[0][:, -1])[:, 0].numpy()
                    for t in np.array_split(r.scored, 1 + len(r.scored) // 512)
                ]
                forecasts.append(np.concatenate(parts) * r.std + r.mean)
        layer.train()
        return forecasts

    def batch():
        which = rng.integers(0, len(regions), 1024)
        t = rng.integers(length, [regions[k].begin for k in which])
        rows = t[:, None] - np.arange(length, 0, -1)
        x = np.stack([inputs[k][row] for k, row in zip(which, rows, strict=True)])
        target = np.array([regions[k].z[i] for k, i in zip(which, t, strict=True)])
        loss = nn.functional.mse_loss(
            head(layer(torch.from_numpy(x))[0][:, -1])[:, 0], torch.from_numpy(target)
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return 1024

    checkpoints(regions, budget, batch, forecast)


def bare(regions, budget, cell):
    """torch's layer on the last value and the calendar of the target, loss at every step."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    layer = getattr(nn, cell)(1 + 2 * len(CYCLES), 128, batch_first=True)
    head = nn.Linear(128, 1)
    optimizer = torch.optim.Adam([*layer.parameters(), *head.parameters()], lr=1e-3)
    # Step t has the target z[t + 1], and its inputs have the calendar of t + 1.
    inputs = [
        torch.from_numpy(np.concatenate([r.z[:-1, None], r.calendar()[1:]], 1)) for r in regions
    ]
    targets = [torch.from_numpy(r.z[1:]) for r in regions]

    def batch():
        which = rng.integers(0, len(regions), 16)
        start = rng.integers(0, [regions[k].begin - WINDOW - 1 for k in which])
        x = torch.stack([inputs[k][i : i + WINDOW] for k, i in zip(which, start, strict=True)])
        y = torch.stack([targets[k][i : i + WINDOW] for k, i in zip(which, start, strict=True)])
        loss = nn.functional.l1_loss(head(layer(x)[0])[..., 0], y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return y.numel()

    def forecast():
        with torch.no_grad():
            return [
                head(layer(x[None])[0])[0, r.scored - 1, 0].numpy() * r.std + r.mean
                for r, x in zip(regions, inputs, strict=True)
            ]

    checkpoints(regions, budget, batch, forecast)


def checkpoints(regions, budget, batch, forecast):
    """Train for the budget; forecast after an eighth, a quarter, a half and all of it."""
    seconds, n_targets = 0.0, 0
    for share in (8, 4, 2, 1):
        if seconds >= budget / share:  # one batch took longer than this share
            continue
        while seconds < budget / share:
            began = time.perf_counter()
            n_targets += batch()
            seconds += time.perf_counter() - began
        report(regions, seconds, forecast(), n_targets)


def darts(regions, budget):
    import logging
    import warnings
    from datetime import timedelta

    import pandas as pd
    from darts import TimeSeries
    from darts.models import RNNModel

    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)

    def series(r, first, stop):
        stamps = pd.DatetimeIndex(
            r.hours[first:stop].astype("datetime64[h]").astype("datetime64[ns]"), freq="h"
        )
        return TimeSeries.from_times_and_values(stamps, r.z[first:stop])

    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    model = RNNModel(
        input_chunk_length=24,
        training_length=WINDOW,
        model="GRU",
        hidden_dim=128,
        batch_size=16,
        n_epochs=10_000,
        random_state=0,
        add_encoders={"cyclic": {"future": ["hour", "dayofweek", "dayofyear"]}},
        pl_trainer_kwargs=quiet | {"accelerator": "cpu", "max_time": timedelta(seconds=budget)},
    )
    began = time.perf_counter()
    model.fit([series(r, 0, r.begin) for r in regions])
    seconds = time.perf_counter() - began
    n_targets = model.trainer.global_step * 16 * WINDOW
    windows = [series(r, t - WINDOW, t) for r in regions for t in r.scored]
    z = np.array([f.values()[0, 0] for f in model.predict(1, windows, verbose=False)])
    split = np.split(z, np.cumsum([len(r.scored) for r in regions])[:-1])
    report(
        regions,
        seconds,
        [z * r.std + r.mean for r, z in zip(regions, split, strict=True)],
        n_targets,
        package="darts",
    )


def neuralforecast(regions, budget):
    import logging

    import pandas as pd
    from neuralforecast import NeuralForecast
    from neuralforecast.models import GRU

    logging.disable(logging.WARNING)
    train = pd.concat(
        pd.DataFrame({"unique_id": r.name, "ds": np.arange(r.begin), "y": r.z[: r.begin]})
        for r in regions
    )
    model = GRU(
        h=1,
        input_size=168,
        encoder_hidden_size=128,
        encoder_n_layers=1,
        max_steps=100_000,
        random_seed=0,
        accelerator="cpu",
        max_time={"seconds": int(budget)},
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=False,
    )
    forecaster = NeuralForecast([model], freq=1)
    began = time.perf_counter()
    forecaster.fit(train)
    seconds = time.perf_counter() - began
    steps = len(forecaster.models[0].train_trajectories)
    windows = pd.concat(
        pd.DataFrame(
            {"unique_id": f"{k:02d}-{t:07d}", "ds": np.arange(t - 168, t), "y": r.z[t - 168 : t]}
        )
        for k, r in enumerate(regions)
        for t in r.scored
    )
    z = forecaster.predict(df=windows).sort_values("unique_id")["GRU"].to_numpy()
    split = np.split(z, np.cumsum([len(r.scored) for r in regions])[:-1])
    n_targets = steps * forecaster.models[0].windows_batch_size
    report(
        regions,
        seconds,
        [z * r.std + r.mean for r, z in zip(regions, split, strict=True)],
        n_targets,
        package="neuralforecast",
    )


ROWS = {
    "naive": naive,
    "seasonal naive 24 h": seasonal_naive,
    "linear regression": linear,
    "skrnn GRUForecaster": lambda *a: skrnn(*a, "GRU"),
    "skrnn LSTMForecaster": lambda *a: skrnn(*a, "LSTM"),
    "torch nn.GRU, dense loss": lambda *a: bare(*a, "GRU"),
    "torch nn.LSTM, dense loss": lambda *a: bare(*a, "LSTM"),
    "tutorial's loop, GRU": lambda *a: tutorial(*a, "GRU"),
    "tutorial's loop, LSTM": lambda *a: tutorial(*a, "LSTM"),
    "darts RNNModel GRU": darts,
    "neuralforecast GRU": neuralforecast,
}
PEERS = {"darts RNNModel GRU": "darts", "neuralforecast GRU": "neuralforecast"}


# ---------------------------------------------------------------------- main


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60, help="training budget of a row")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    parser.add_argument("--data", help=argparse.SUPPRESS)
    results.add_argument(parser)
    parser.add_argument("--only", help="only rows whose names contain this text")
    args = parser.parse_args()
    if args.row:
        with np.load(args.data) as data:
            names = sorted({key.split("/")[0] for key in data})
            ROWS[args.row]([Region(name, data) for name in names], args.seconds)
        return
    pythons = dict(peer.split("=", 1) for peer in args.peer)
    rows, versions = [], {}
    print("| method | seconds | targets/s | sMAPE % |\n|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        data = str(Path(folder) / "pjm.npz")
        prepare(data)
        for row in (row for row in ROWS if not args.only or args.only in row):
            python = pythons.get(PEERS[row]) if row in PEERS else sys.executable
            if python is None:
                print(f"| {row} | not installed: pass --peer {PEERS[row]}=PYTHON | | |", flush=True)
                continue
            command = [python, __file__, "--row", row, "--data", data]
            command += ["--seconds", str(args.seconds)]
            environment = os.environ if row not in PEERS else {**os.environ, "PYTHONPATH": ""}
            ran = subprocess.run(
                command, capture_output=True, text=True, cwd=folder, env=environment
            )
            lines = [json.loads(line) for line in ran.stdout.splitlines() if line[:1] == "{"]
            if ran.returncode or not lines:
                last = (ran.stderr.strip().splitlines() or ["no output"])[-1]
                print(f"| {row} | failed: {last} | | |", flush=True)
                continue
            for line in lines:
                versions |= line["versions"]
                numbers = {"targets/s": line["speed"] or np.nan, "sMAPE": line["smape"]}
                rows.append({"method": row, "seconds": line["seconds"]} | numbers)
                speed = f"{line['speed']:,.0f}" if line["speed"] else ""
                print(
                    f"| {row} | {line['seconds']:.1f} | {speed} | {line['smape']:.3f} |", flush=True
                )
    results.write(args.json, rows, **versions)


def plot(rows):
    """Plot sMAPE against seconds, on logarithmic scales; a row without training is a line."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    styles = {"skrnn": "o-", "torch": "s--", "tutorial": "^:", "darts": "D", "neural": "P"}
    for method, points in rows.groupby("method", sort=False):
        if not points["seconds"].any():
            level = points["sMAPE"].iloc[0]
            axes.axhline(level, color="0.6", lw=1)
            right = axes.get_yaxis_transform()
            axes.text(0.99, level, method, transform=right, ha="right", va="bottom", fontsize=8)
            continue
        style = next((s for name, s in styles.items() if method.startswith(name)), "*")
        axes.plot(points["seconds"], points["sMAPE"], style, label=method)
    axes.set(xscale="log", yscale="log", xlabel="seconds of training, two CPU cores")
    axes.set(ylabel="sMAPE %, next hour, 12 PJM regions")
    axes.set_xticks(seconds := [2, 5, 10, 20, 60], seconds)
    ticks = [0.7, 1, 1.5, 2, 3, 5, 10, 20]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(0, 0.6))
    return figure


if __name__ == "__main__":
    main()
