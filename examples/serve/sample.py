"""Write a file to serve and data to forecast: `load.onnx` and `load.csv`, of simulated load.

python examples/serve/sample.py                   # into this folder, for app.py
python examples/serve/sample.py --folder browser  # into examples/serve/browser, for the page
"""

from __future__ import annotations

import argparse
from pathlib import Path

from skrnn import GRUForecaster
from skrnn.datasets import make_hourly_load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path())
    parser.add_argument("--epochs", type=int, default=5)
    args = parser.parse_args()
    folder = Path(__file__).parent / args.folder
    y = make_hourly_load(n_series=1, n_hours=3_000, random_state=0).droplevel(0)
    forecaster = GRUForecaster(num_epochs=args.epochs, random_state=0).fit(y)
    forecaster.to_onnx(folder / "load.onnx")
    y.round(3).to_csv(folder / "load.csv", date_format="%Y-%m-%d %H:%M")
    print(forecaster.predict(fh=range(1, 49)).round(3).to_string())


if __name__ == "__main__":
    main()
