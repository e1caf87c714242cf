"""What serving costs: streams of one series and of many, and an ONNX file from start to forecast.

    python examples/benchmarks/serve.py                  # all parts; 1,000,000 updates
    python examples/benchmarks/serve.py --updates 10000  # in some minutes
    python examples/benchmarks/serve.py --parts many onnx

The service over HTTP is measured by ``examples/serve/load_test.py``, joint paths by
``joint_paths.py``. Networks have the default size and are trained for one epoch: what a forecast
costs does not depend on the weights.

Latencies are wall times, and beside them processor times: on a machine that others use as well,
the second are what the first would be without them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import results

from skrnn import GRUForecaster, Stream
from skrnn.datasets import make_hourly_load

ALPHA = [0.05, 0.95]
DAY = list(range(1, 25))
AT_ONCE = {"strategy": "multioutput"}
HELD_OUT = {"validation_split": 0.1}
KINDS: dict[str, tuple[dict, list[int], list[float] | None]] = {
    "next hour": ({}, [1], None),
    "next hour, quantiles": (HELD_OUT, [1], ALPHA),
    "24 hours at once": (AT_ONCE, DAY, None),
    "24 hours at once, quantiles": (AT_ONCE | HELD_OUT, DAY, ALPHA),
    "24 hours, recursive": ({}, DAY, None),
}
N_FITTED, N_TIMED = 2_000, 1_000
ONNX = """
import sys, time
start = time.perf_counter()
import numpy as np
import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
inputs = dict(np.load(sys.argv[2]))
session.run(["forecast"], inputs)
first = time.perf_counter()
for _ in range(20):
    session.run(["forecast"], inputs)
print(first - start, (time.perf_counter() - first) / 20)
assert not {"torch", "sktime"} & set(sys.modules)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parts = {"one": one_series, "long": long_stream, "many": many, "onnx": onnx}
    parser.add_argument("--parts", nargs="+", default=list(parts), choices=list(parts))
    parser.add_argument("--updates", type=int, default=1_000_000)
    parser.add_argument("--series", type=int, default=10_000)
    results.add_argument(parser)
    args = parser.parse_args()
    rows = [row | {"part": name} for name in args.parts for row in parts[name](args)]
    results.write(args.json, rows)


# -------------------------------------------------------------------------------- latencies


class Latencies:
    """Wall and processor seconds of calls of one kind."""

    def __init__(self, name: str):
        self.name, self.wall, self.processor = name, [], []

    def of(self, call: Callable, *values: Any) -> None:
        wall, processor = time.perf_counter(), time.process_time()
        call(*values)
        self.processor.append(time.process_time() - processor)
        self.wall.append(time.perf_counter() - wall)

    def quantiles(self, times: list[float]) -> tuple[float, float, float]:
        p50, p99 = 1_000 * np.quantile(times, [0.5, 0.99])
        return p50, p99, 1_000 * max(times)

    def __str__(self) -> str:
        columns = []
        for times in (self.wall, self.processor):
            p50, p99, most = self.quantiles(times)
            columns.append(f"{p50:7.2f} {p99:7.2f} {most:8.2f}")
        return f"{self.name:44} {columns[0]}  | {columns[1]}"


def row(of: str, update: Latencies, predict: Latencies, **more: float) -> dict[str, Any]:
    """Print the latencies of updates and forecasts, and return them in ms."""
    print(f"{update}\n{predict}", flush=True)
    result: dict[str, Any] = {"of": of} | more
    for name, latencies in (("update", update), ("forecast", predict)):
        p50, p99, _ = latencies.quantiles(latencies.wall)
        result |= {f"{name} p50": p50, f"{name} p99": p99}
    return result


def print_header(title: str) -> None:
    columns = f"{'p50':>7} {'p99':>7} {'most':>8}"
    print(f"\n{title + ', ms':44} {columns}  | {columns} of processor time", flush=True)


def load(n_hours: int) -> pd.Series:
    return make_hourly_load(n_series=1, n_hours=n_hours, random_state=0).droplevel(0)["load_mw"]


def fitted(settings: dict, y: pd.Series, fh: list[int]) -> GRUForecaster:
    return GRUForecaster(**{"num_epochs": 1, "random_state": 0} | settings).fit(y, fh=fh)


# ---------------------------------------------------------------------------------- streams


def one_series(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Updates and forecasts of a stream, and of the forecaster, from which they must not differ."""
    y = load(N_FITTED + N_TIMED)
    print_header("One series")
    for name, (settings, fh, alpha) in KINDS.items():
        forecaster = fitted(settings, y[:N_FITTED], fh)
        stream = Stream(forecaster, alpha=alpha)
        update, predict = Latencies(f"{name}: update"), Latencies(f"{name}: forecast")
        forecast = stream.predict if alpha is None else stream.predict_quantiles
        for value in y.to_numpy()[N_FITTED:]:
            update.of(stream.update, value)
            predict.of(forecast)
        forecaster.update(y[N_FITTED:], update_params=False)
        expected = (
            forecaster.predict(fh)
            if alpha is None
            else forecaster.predict_quantiles(fh, alpha=alpha)
        )
        difference = np.abs(forecast().ravel() - expected.to_numpy().ravel()).max() / y.std()
        yield row(f"stream, {name}", update, predict, difference=difference)
        print(f"{'':4}differs from the forecaster by {difference:.1e} of the scale", flush=True)
    forecaster = fitted({}, y[:N_FITTED], [1])
    update, predict = Latencies("without a stream: update"), Latencies("without a stream: predict")
    for k in range(N_FITTED, N_FITTED + 100):
        update.of(forecaster.update, y[k : k + 1], None, False)
        predict.of(forecaster.predict)
    yield row("`update` and `predict` of the forecaster, next hour", update, predict)


def long_stream(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The same after many updates; the last thousand before each power of ten are timed."""
    y = load(20_000).to_numpy()
    forecaster = fitted({}, load(20_000)[:N_FITTED], [1])
    stream, n = Stream(forecaster), 0
    print_header("After many updates, next hour")
    for stop in [10**k for k in range(3, 7) if 10**k <= args.updates]:
        update, predict = Latencies(f"{stop:,}: update"), Latencies(f"{stop:,}: forecast")
        while n < stop - N_TIMED:
            stream.update(y[n % len(y)])
            n += 1
        while n < stop:
            update.of(stream.update, y[n % len(y)])
            predict.of(stream.predict)
            n += 1
        yield row(f"{stop:,}", update, predict)
    again = Stream(stream.forecaster())
    difference = np.abs(again.predict() - stream.predict()).max() / y.std()
    print(f"    differs from a fresh context by {difference:.1e} of the scale", flush=True)
    yield {"of": "a fresh context", "difference": difference}


def many(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row of each of many series at once."""
    n_rows = 150
    rng = np.random.default_rng(0)
    hours = pd.date_range("2024-01-01", periods=n_rows, freq="h")
    index = pd.MultiIndex.from_product([range(args.series), hours], names=["series", "time"])
    season = np.sin(np.arange(n_rows) * np.pi / 12)
    values = season + 0.3 * rng.normal(size=(args.series, n_rows))
    y = pd.DataFrame({"y": values.ravel()}, index)
    settings = {"num_epochs": 0, "random_state": 0, "sp": 24}
    for name, more in (("next hour", {}), ("24 hours at once", AT_ONCE)):
        fh = DAY if more else [1]
        forecaster = GRUForecaster(**settings | more).fit(y, fh=fh)
        stream = Stream(forecaster)
        update, predict = Latencies(f"{name}: update"), Latencies(f"{name}: forecast")
        for k in range(30):
            hour = season[k % 24] + 0.3 * rng.normal(size=args.series)
            update.of(stream.update, hour)
            if k % 3 == 0:
                predict.of(stream.predict)
        print_header(f"{args.series:,} series")
        yield row(name, update, predict)


# ------------------------------------------------------------------------------------- ONNX


def onnx(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Size of files, and seconds from the start of Python's first import to the first forecast."""
    print(f"\n{'ONNX file, forecast of 24 hours':36} {'kB':>8} {'first, s':>10} {'later, ms':>10}")
    for name, settings, n_hours in (
        ("recursive", {}, N_FITTED),
        ("multioutput", AT_ONCE, N_FITTED),
        ("recursive, a year of hours", {}, 9_000),
    ):
        y = load(n_hours)
        with tempfile.TemporaryDirectory() as folder:
            file, inputs = Path(folder) / "load.onnx", Path(folder) / "inputs.npz"
            fitted(settings, y, DAY).to_onnx(file)
            np.savez(inputs, **inputs_of(y[-1_100:]))
            command = [sys.executable, "-c", ONNX, str(file), str(inputs)]
            texts = [subprocess.check_output(command, text=True).split() for _ in range(5)]
            first, later = np.min(np.array(texts, dtype=float), axis=0)
            size = file.stat().st_size / 1_000
        print(f"{name:36} {size:8.0f} {first:10.3f} {1_000 * later:10.1f}", flush=True)
        yield {"of": name, "kB": size, "first forecast, s": first, "later, ms": 1_000 * later}


def inputs_of(y: pd.Series) -> dict[str, np.ndarray]:
    stamps = pd.date_range(y.index[0], periods=len(y) + 24, freq="h")
    seconds = stamps.to_numpy().astype("datetime64[s]").astype(np.int64)
    return {
        "y": y.to_numpy().reshape(1, -1, 1),
        "time": seconds[None],
        "series": np.array([0]),
    }


if __name__ == "__main__":
    main()
