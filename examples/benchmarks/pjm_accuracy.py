"""PJM load, the next hour and the next day: sMAPE over the test range, mean of the 12 regions.

    SKRNN_DATA=<folder of the PJM files> python examples/benchmarks/pjm_accuracy.py TASK

TASK is one of

- gru, lstm: the next hour, with the defaults;
- best: the next hour, with more units, more epochs and holidays;
- day: 1 to 24 hours ahead from every cutoff, by one recursive forecaster.

The protocol is that of examples/compare_gru_lstm.py: the last tenth of each region is the test
range and is not used in training. With `--validate` the last tenth of the training range is scored
instead; the settings were chosen in this way.

With three seeds, gru and lstm take 3 minutes on two cores (AMD EPYC with AVX-512, torch 2.13); best
takes 16 and day 5 minutes on one core.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import results

from skrnn import RNNForecaster, backtest
from skrnn.datasets import fetch_pjm_load

sys.path.insert(0, str(Path(__file__).parents[1]))
from compare_gru_lstm import by_region, is_test

TASKS = {
    "gru": {"cell": "gru"},
    "lstm": {"cell": "lstm"},
    "best": {"cell": "gru", "holidays": "US", "hidden_size": 256, "num_epochs": 30},
    "day": {"cell": "gru", "holidays": "US"},
}
STEPS = {"day": range(1, 25)}  # hours ahead; of all other tasks 1
PRINTED_STEPS = [1, 6, 12, 18, 24]  # hours ahead
# sMAPE by hour ahead of a linear regression for each region and hour, under the same protocol.
LINEAR = {1: 0.815, 6: 3.31, 12: 4.66, 18: 5.14, 24: 5.44}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("task", choices=list(TASKS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--validate", action="store_true")
    parser.add_argument("--params", default="", help="more settings, as in 'num_epochs=3, lr=0.01'")
    results.add_argument(parser)
    args = parser.parse_args()
    settings = TASKS[args.task] | eval(f"dict({args.params})")
    steps = STEPS.get(args.task, [1])
    load = read(args.validate)
    print(
        f"{settings}\nseed  seconds  sMAPE at h = {[h for h in PRINTED_STEPS if h in steps]}",
        flush=True,
    )
    rows = []
    for seed in args.seeds:
        forecaster, errors = run(settings | {"random_state": seed}, load, steps)
        rows.append([forecaster.history_["seconds"].sum(), *errors.mean()])
        print(f"{seed:4}  {rows[-1][0]:7.1f}  {np.round(rows[-1][1:], 3)}", flush=True)
    if args.task == "day" and not args.validate:
        print(f"linear         {np.array(list(LINEAR.values()))}")
    mean, low, high = (np.round(f(rows, 0)[1:], 3) for f in (np.mean, np.min, np.max))
    print(f"mean {mean}, from {low} to {high}")
    columns = ["seconds", *(f"h = {h}" for h in PRINTED_STEPS if h in steps)]
    results.write(
        args.json,
        [
            {"task": args.task, "seed": seed} | dict(zip(columns, row, strict=True))
            for seed, row in zip(args.seeds, rows, strict=True)
        ],
    )


def read(validate: bool) -> pd.DataFrame:
    """The load of the regions, and whether each hour was observed and is held out."""
    load = fetch_pjm_load(add_observed=True)
    if validate:
        load = load[~is_test(load)]
    return load.assign(test=is_test(load))


def run(
    settings: dict, load: pd.DataFrame, steps: list[int], X: pd.DataFrame | None = None
) -> tuple[RNNForecaster, pd.DataFrame]:
    """Return a fitted forecaster, and its sMAPE by region and hour ahead."""
    y, test = load[["load_mw"]], load["test"]
    X_train = None if X is None else X[~test]
    forecaster = RNNForecaster(**settings).fit(y[~test], X_train, fh=steps)
    # Every cutoff from the end of training on for which all hours ahead are in the test range.
    region = y.groupby(level=0)
    n_after = region.cumcount(ascending=False)
    n_test = test.groupby(level=0).transform("sum")
    cutoffs = y.index[(n_after <= n_test) & (n_after >= max(steps))]
    table = backtest(forecaster, y, X, fh=steps, cutoffs=cutoffs)
    # Only observed hours are scored, not those that were filled in.
    table = table[load["observed"].loc[table.index.droplevel("cutoff")].to_numpy()]
    time, cutoff = (table.index.get_level_values(name) for name in ("time", "cutoff"))
    hours = (time - cutoff) // pd.Timedelta(hours=1)
    errors = {}
    for h in [h for h in PRINTED_STEPS if h in steps]:
        part = table[hours == h].droplevel("cutoff")
        errors[h] = by_region(part["y_true"], part["y_pred"])
    return forecaster, pd.DataFrame(errors)


if __name__ == "__main__":
    main()
