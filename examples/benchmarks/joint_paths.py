"""Joint paths: coverage of the sum of a day and of the peak of a week, and the time of a call.

    SKRNN_DATA=<folder of the PJM files> python examples/benchmarks/joint_paths.py

Six regions of PJM, one forecaster each of `KINDS`, fitted to the two years before the test range,
the last tenth of each region. From the last training hour on, and then from every `STEP_LENGTH`
hours later, the forecaster gets the hours since (`update_params=False`), and `skrnn.sample_paths`
draws a week of hours. Printed is the share of observed sums of 24 hours (seven from each cutoff)
and highest hours of the week inside the intervals between quantiles of the paths, beside that of
single hours, and beside that of paths whose values are shuffled at every hour, which have the same
quantiles and are not joint.

With `--validate` the last tenth of the training range is forecast instead, by forecasters fitted to
the two years before it. Use it while changing the package. With `--time` only a call is timed:
1,000 paths of 168 hours for 12 regions, the best of three.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import results

from skrnn import GRUForecaster, sample_paths
from skrnn.datasets import fetch_pjm_load

sys.path.insert(0, str(Path(__file__).parents[1]))
from compare_gru_lstm import is_test

REGIONS = ["AEP", "COMED", "DAYTON", "DOM", "DUQ", "PJME"]
KINDS: dict[str, dict] = {
    "recursive, mae": {},
    "recursive, quantile": {"criterion": "quantile"},
    "multioutput, mae": {"strategy": "multioutput"},
    "multioutput, quantile": {"strategy": "multioutput", "criterion": "quantile"},
}
WEEK, DAY, YEARS = 168, 24, 2
STEP_LENGTH = 6 * DAY + 7  # each cutoff at another hour and day
LEVELS = [0.05, 0.25, 0.75, 0.95]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--n-paths", type=int, default=400)
    parser.add_argument("--cutoffs", type=int, default=60)
    parser.add_argument("--validate", action="store_true")
    parser.add_argument("--time", action="store_true")
    results.add_argument(parser)
    args = parser.parse_args()
    rows = []
    for kind in args.kinds:
        if args.time:
            seconds = seconds_of_a_call(KINDS[kind])
            print(f"{kind:24} {seconds:6.2f} s", flush=True)
            rows.append({"kind": kind, "seconds": seconds})
        else:
            y = fetch_pjm_load(regions=REGIONS)
            y = y[~is_test(y)] if args.validate else y
            table = coverages(KINDS[kind], y, args)
            print(f"\n{kind}\n{table.round(3)}", flush=True)
            flat = table.set_axis([f"{share}, {of}" for share, of in table], axis=1)
            rows += flat.assign(kind=kind).reset_index().to_dict("records")
    results.write(args.json, rows)


# -------------------------------------------------------------------------------- coverage


def coverages(settings: dict, y: pd.DataFrame, args: argparse.Namespace) -> pd.DataFrame:
    """Share inside the 90 % and the 50 % interval of each quantity: mean and range of regions."""
    test = is_test(y)
    train = y[~test].groupby(level=0).tail(YEARS * 365 * DAY)
    forecaster = GRUForecaster(**settings, random_state=0).fit(train, fh=range(1, WEEK + 1))
    test = y[test]
    n_cutoffs = min(args.cutoffs, (test.groupby(level=0).size().min() - WEEK) // STEP_LENGTH)
    inside = []
    for k in range(n_cutoffs):
        paths, actual = week_ahead(forecaster, test, k, args.n_paths)
        shuffled = np.random.default_rng(k).permuted(paths, axis=1)
        inside.append(in_intervals(paths, shuffled, actual))
    table = pd.concat(inside).groupby(level=["quantity", "region"]).mean()
    quantity = table.groupby(level="quantity", sort=False)
    print(f"{n_cutoffs} cutoffs of each region")
    return pd.concat(
        {"mean": quantity.mean(), "least": quantity.min(), "most": quantity.max()}, axis=1
    ).swaplevel(axis=1)[["90 %", "50 %"]]


def week_ahead(
    forecaster: GRUForecaster, test: pd.DataFrame, k: int, n_paths: int
) -> tuple[np.ndarray, np.ndarray]:
    """Paths (regions, paths, hours) from the k-th cutoff, and what came (regions, hours)."""
    hour = test.groupby(level=0).cumcount()
    first = k * STEP_LENGTH
    if k:
        new = test[(hour >= first - STEP_LENGTH) & (hour < first)]
        forecaster.update(new, update_params=False)
    paths = sample_paths(forecaster, n_paths=n_paths, random_state=k)
    actual = test[(hour >= first) & (hour < first + WEEK)]
    shape = (len(REGIONS), -1, WEEK)
    return paths.to_numpy().reshape(shape), actual.to_numpy().reshape(len(REGIONS), WEEK)


def in_intervals(paths: np.ndarray, shuffled: np.ndarray, actual: np.ndarray) -> pd.DataFrame:
    """Whether each quantity lies inside the 90 % and the 50 % interval of its paths."""
    quantities = {
        "single hours": lambda hours: hours,
        "sum of a day": lambda hours: hours.reshape(*hours.shape[:-1], -1, DAY).sum(-1),
        "peak of the week": lambda hours: hours.max(-1, keepdims=True),
    }
    tables = {}
    for suffix, drawn in (("", paths), (", shuffled", shuffled)):
        for name, of in quantities.items():
            if suffix and name == "single hours":
                continue
            low, lower, upper, high = np.quantile(of(drawn), LEVELS, axis=1)
            true = of(actual)
            tables[name + suffix] = pd.DataFrame(
                {
                    "90 %": ((true >= low) & (true <= high)).mean(-1),
                    "50 %": ((true >= lower) & (true <= upper)).mean(-1),
                },
                index=pd.Index(REGIONS, name="region"),
            )
    return pd.concat(tables, names=["quantity"])


# ------------------------------------------------------------------------------------ time


def seconds_of_a_call(settings: dict) -> float:
    """Wall seconds of a call of `sample_paths`; the network is trained for one epoch."""
    y = fetch_pjm_load().groupby(level=0).tail(365 * DAY)
    # The regions of PJM end years apart; here all end at the same hour.
    hours = pd.date_range("2017-01-01", periods=365 * DAY, freq="h")
    names = y.index.get_level_values(0).unique()
    y.index = pd.MultiIndex.from_product([names, hours], names=y.index.names)
    settings = settings | {"num_epochs": 1, "validation_split": 0.15}
    forecaster = GRUForecaster(**settings, random_state=0).fit(y, fh=range(1, WEEK + 1))
    seconds = []
    for k in range(3):
        start = time.perf_counter()
        sample_paths(forecaster, n_paths=1_000, random_state=k)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


if __name__ == "__main__":
    main()
