"""A grid search whose candidates are trained together, against sktime's on the same grid.

    python examples/benchmarks/search_speed.py
    python examples/benchmarks/search_speed.py --threads 1 --sizes 32 --rates 32

It prints seconds of wall time and of processor time. Both searches fit the best forecaster to all
data in the end. sktime's runs in this process, as with backend=None.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
import pandas as pd
import results
import torch
from many_networks import FORECASTERS, N_MONTHS, STEPS_AHEAD, Clock
from sktime.datasets import load_airline
from sktime.forecasting.model_selection import ForecastingGridSearchCV
from sktime.split import ExpandingWindowSplitter

from skrnn import SMAPE, RecurrentGridSearchCV

N_FOLDS = 3
SIZES = [16, 32, 64, 128]
LOWEST_RATE, HIGHEST_RATE = 1e-3, 8e-3
SEARCHES = {"together": RecurrentGridSearchCV, "sktime": ForecastingGridSearchCV}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="hidden sizes")
    parser.add_argument("--rates", type=int, default=8, help="learning rates for each hidden size")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--cell", choices=sorted(FORECASTERS), default="GRU")
    results.add_argument(parser)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(args.threads)
    y, forecaster = load_airline(), FORECASTERS[args.cell](random_state=0)
    cv = ExpandingWindowSplitter(
        initial_window=N_MONTHS - N_FOLDS * STEPS_AHEAD,
        step_length=STEPS_AHEAD,
        fh=range(1, STEPS_AHEAD + 1),
    )
    grid = {"hidden_size": args.sizes, "lr": np.geomspace(LOWEST_RATE, HIGHEST_RATE, args.rates)}

    rows, scores = [], {}
    for way, search in SEARCHES.items():
        options = {"scoring": SMAPE(), "backend": "None", "error_score": "raise"}
        search(forecaster, cv, {"num_epochs": [1, 2]}, **options).fit(y)  # compiles the kernels
        clock = Clock()
        found = search(forecaster, cv, grid, **options).fit(y)
        wall, cpu = clock.seconds()
        rows.append({"way": way, "wall s": wall, "processor s": cpu})
        scores[way] = found.cv_results_["mean_test_SMAPE"]

    difference = np.abs(scores["together"] / scores["sktime"] - 1).max()
    n_fits = N_FOLDS * len(scores["sktime"])
    print(
        f"{len(scores['sktime'])} candidates, {N_FOLDS} folds of up to {N_MONTHS - STEPS_AHEAD} "
        f"months, {args.cell}, {args.threads} threads\n"
    )
    print(pd.DataFrame(rows).round(1).to_string(index=False))
    ratio = rows[1]["processor s"] / rows[0]["processor s"]
    print(f"\n{ratio:.1f} times the processor time, largest relative difference {difference:.0e}")
    for row in rows:
        row |= {"sizes": len(args.sizes), "fits": n_fits, "difference": difference}
    results.write(args.json, rows)


if __name__ == "__main__":
    main()
