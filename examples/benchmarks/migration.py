"""The programs of docs/guide/migration.md, each in the environment of its library.

    python examples/benchmarks/migration.py --peer darts=/path/to/python \
        --peer neuralforecast=/path/to/python --peer skforecast=/path/to/python

A block of the page that begins with the name of a library is run as it stands by the interpreter of
this library, and its ``forecast`` of twelve months is scored. sktime's own networks need an
interpreter with neuralforecast, too: ``--peer sktime=/path/to/python``. It takes two minutes.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import results
from sktime.datasets import load_airline

from skrnn import smape

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "migration.md"
BLOCK = re.compile(r"^```python\n# ([\w, ]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OURS = """
from skrnn import GRUForecaster
forecast = GRUForecaster(random_state=0).fit(y[:-12]).predict(fh=range(1, 13))
"""
AFTER = """
import importlib.metadata, json, numpy
version = importlib.metadata.version({package!r})
forecast = numpy.asarray(forecast, dtype=float).ravel().tolist()
print("\\n" + json.dumps({{"version": version, "forecast": forecast}}))
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON")
    results.add_argument(parser)
    args = parser.parse_args()
    pythons = {"skrnn": sys.executable} | dict(peer.split("=", 1) for peer in args.peer)
    blocks = dict(BLOCK.findall(PAGE.read_text(encoding="utf-8")))
    before = blocks.pop("every library")
    y, rows = load_airline().to_timestamp(), []
    for name, code in ({"skrnn": OURS} | blocks).items():
        package = name.split(",")[0]
        with tempfile.TemporaryDirectory() as folder:
            y.to_csv(Path(folder) / "airline.csv")
            ran = subprocess.run(
                [pythons[package], "-c", before + code + AFTER.format(package=package)],
                cwd=folder,
                capture_output=True,
                text=True,
            )
        if ran.returncode:
            sys.exit(f"{name} failed:\n{ran.stderr}")
        found = json.loads(ran.stdout.splitlines()[-1])
        error = smape(y[-12:], np.array(found["forecast"]))
        print(f"{name:16} {found['version']:8} {error:6.2f} %", flush=True)
        rows.append({"library": name, "version": found["version"], "sMAPE %": error})
    results.write(args.json, rows)


if __name__ == "__main__":
    main()
