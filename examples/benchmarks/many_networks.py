"""A network for each series: trained together, and one after the other.

    python examples/benchmarks/many_networks.py
    python examples/benchmarks/many_networks.py --series 100 --threads 1

It prints seconds of wall time and of processor time. Those of one after the other are of the first
few series, times the number of all.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import pandas as pd
import results
import torch

from skrnn import GRUForecaster, LSTMForecaster

N_MONTHS, STEPS_AHEAD = 144, 12
FORECASTERS = {"GRU": GRUForecaster, "LSTM": LSTMForecaster}


def months(seed: int) -> pd.DataFrame:
    """A series of months: a trend, a season, a random walk and noise."""
    rng, t = np.random.default_rng(seed), np.arange(N_MONTHS)
    season = rng.uniform(3, 30) * np.sin(2 * np.pi * (t + rng.integers(12)) / 12)
    walk = np.cumsum(rng.normal(scale=2, size=N_MONTHS))
    values = 100 + rng.normal(scale=0.3) * t + season + walk + rng.normal(scale=3, size=N_MONTHS)
    index = pd.period_range("2000-01", periods=N_MONTHS, freq="M", name="month")
    return pd.DataFrame({"sales": values}, index=index)


class Clock:
    """Wall time and processor time since it was made."""

    def __init__(self) -> None:
        self.start = self._now()

    def _now(self) -> np.ndarray:
        return np.array([time.perf_counter(), time.process_time()])

    def seconds(self) -> np.ndarray:
        return self._now() - self.start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--alone", type=int, default=20, help="series fitted one after the other")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--cell", choices=sorted(FORECASTERS), default="GRU")
    results.add_argument(parser)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(args.threads)
    fh, forecaster = range(1, STEPS_AHEAD + 1), FORECASTERS[args.cell](random_state=0)

    parts = {f"shop {k}": months(k) for k in range(args.series)}
    panel = pd.concat(parts, names=["shop"])
    local = forecaster.clone().set_params(pooling="local")
    some = panel.loc[["shop 0", "shop 1"]]
    local.clone().fit(some).predict(fh)  # compiles the kernels
    forecaster.clone().fit(parts["shop 0"])

    clock = Clock()
    local.fit(panel)
    fitted = clock.seconds()
    forecasts = local.predict(fh)
    together = clock.seconds()

    clock, differences = Clock(), []
    for key in list(parts)[: args.alone]:
        expected = forecaster.clone().fit(parts[key]).predict(fh).to_numpy()
        found = forecasts.loc[key].to_numpy()
        differences.append(np.abs(found - expected).max() / np.abs(expected).max())
    alone = clock.seconds() / args.alone * args.series

    ways = {"together": together, "of which predict": together - fitted, "one by one": alone}
    rows = [{"way": way, "wall s": wall, "processor s": cpu} for way, (wall, cpu) in ways.items()]
    print(f"{args.series:,} series of {N_MONTHS} months, {args.cell}, {args.threads} threads\n")
    print(pd.DataFrame(rows).round(1).to_string(index=False))
    print(f"\nlargest relative difference of {args.alone} series: {max(differences):.0e}")
    for row in rows:
        row |= {"series": args.series, "difference": max(differences)}
    results.write(args.json, rows)


if __name__ == "__main__":
    main()
