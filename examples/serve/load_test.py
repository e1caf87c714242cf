"""Load test of the service on this machine: latencies at a given number of requests a second.

    python examples/serve/load_test.py --file load.onnx
    python examples/serve/load_test.py            # of a forecaster fitted to simulated load

A service is started on a free port, and gets requests at even intervals, whether earlier ones are
answered or not: a latency counts from the moment at which its request was due. In the second round
every other request is bad, and must be answered 422. Printed are quantiles of the latencies, and
answers with another status than expected.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import queue
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
N_CONNECTIONS = 16
WARM_UP = 20  # requests
BAD = [b'{"horizon": 24}', b"not JSON", b'{"horizon": 0, "series": {"time": [], "values": []}}']


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--file", help="of `to_onnx`, of one hourly series without X")
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=20.0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = args.file or fitted_file(Path(folder) / "load.onnx")
        with Service(file) as port:
            good = [question(n).encode() for n in range(20)]
            latencies(port, good, args.rate, WARM_UP / args.rate)
            for name, bodies in (("good requests", good), ("every other one bad", mixed(good))):
                seconds, wrong = latencies(port, bodies, args.rate, args.seconds)
                print(f"{name:20} {summary(seconds)}  {wrong} unexpected answers", flush=True)


def summary(seconds: np.ndarray) -> str:
    p50, p99 = 1_000 * np.quantile(seconds, [0.5, 0.99])
    return (
        f"{len(seconds)} requests: p50 {p50:.1f} ms, p99 {p99:.1f} ms, "
        f"most {1_000 * seconds.max():.1f} ms"
    )


def fitted_file(path: Path) -> str:
    """A file of a forecaster with default settings, except that it is trained for one epoch."""
    from skrnn import GRUForecaster
    from skrnn.datasets import make_hourly_load

    y = make_hourly_load(n_series=1, n_hours=3_000, random_state=0).droplevel(0)
    GRUForecaster(num_epochs=1, random_state=0).fit(y).to_onnx(path)
    return str(path)


def question(seed: int) -> str:
    """A day of hours from a context of 1,100 hours."""
    rng = np.random.default_rng(seed)
    hours = np.datetime64("2024-01-01T00:00") + np.arange(1_100) * np.timedelta64(1, "h")
    values = 30 + 5 * np.sin(np.arange(1_100) * np.pi / 12) + rng.normal(size=1_100)
    series = {"time": hours.astype(str).tolist(), "values": values.round(3).tolist()}
    return json.dumps({"horizon": 24, "series": series})


def mixed(good: list[bytes]) -> list[bytes]:
    return [body for k, each in enumerate(good) for body in (each, BAD[k % len(BAD)])]


class Service:
    """The service in a process of its own; the context gives its port."""

    def __init__(self, file: str):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.command = [sys.executable, "-m", "uvicorn", "app:app", "--port", str(self.port)]
        self.environment = os.environ | {"SKRNN_ONNX": os.path.abspath(file)}

    def __enter__(self) -> int:
        command = [*self.command, "--log-level", "warning", "--no-access-log"]
        self.process = subprocess.Popen(command, cwd=HERE, env=self.environment)
        for _ in range(600):
            try:
                if ask(http.client.HTTPConnection("127.0.0.1", self.port), "/health") == 200:
                    return self.port
            except OSError:
                time.sleep(0.05)
        self.__exit__()
        raise RuntimeError("The service did not start.")

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        self.process.wait()


def ask(connection: http.client.HTTPConnection, path: str, body: bytes | None = None) -> int:
    headers = {"content-type": "application/json"}
    connection.request("POST" if body else "GET", path, body, headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def latencies(
    port: int, bodies: list[bytes], rate: float, seconds: float
) -> tuple[np.ndarray, int]:
    """Seconds from when each request was due to its answer, and how many were not as expected."""
    n = max(1, round(rate * seconds))
    due, taken, wrong = queue.SimpleQueue(), np.empty(n), []
    start = time.perf_counter() + 0.2
    for k in range(n):
        due.put(k)

    def connection() -> None:
        service = http.client.HTTPConnection("127.0.0.1", port)
        while True:
            try:
                k = due.get_nowait()
            except queue.Empty:
                return
            at, body = start + k / rate, bodies[k % len(bodies)]
            time.sleep(max(0.0, at - time.perf_counter()))
            status = ask(service, "/forecast", body)
            taken[k] = time.perf_counter() - at
            if status != (422 if body in BAD else 200):
                wrong.append(status)

    threads = [threading.Thread(target=connection) for _ in range(N_CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken, len(wrong)


if __name__ == "__main__":
    main()
