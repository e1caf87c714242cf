"""Ensembles: four networks beside one, and beside sktime's EnsembleForecaster of four.

    SKRNN_DATA=<folder of the PJM files> python examples/benchmarks/ensembles.py [options]

Regions of PJM by the hour, one day ahead, as in one_series.py; with ``--m4 FOLDER`` forty series of
M4 Hourly; simulated series of months, a year ahead, of which the last year is not trained on. With
``--p1`` the pooled regions of pjm_accuracy.py, the next hour (some ten minutes). All have the
defaults and ``random_state=0``; the members of EnsembleForecaster have the seeds 0 to 3. Mean
absolute percentage errors are divided by those of one network, and then averaged over the series.
Coverage is that of the 90 % interval. Seconds are those of all fits.

On one core that other processes used as well, 40 minutes without ``--p1``.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import results
import torch
from many_networks import STEPS_AHEAD, months
from one_series import hours, m4
from sktime.forecasting.compose import EnsembleForecaster

from skrnn import GRUForecaster, backtest

N, COVERAGE = 4, [0.05, 0.95]
N_OF_MONTHS, DAY = 20, 24
METHODS = {
    "one network": GRUForecaster(random_state=0),
    f"n_estimators={N}": GRUForecaster(random_state=0, n_estimators=N),
    "EnsembleForecaster": EnsembleForecaster(
        [(f"seed {seed}", GRUForecaster(random_state=seed)) for seed in range(N)]
    ),
}


def of_months():
    """Yield simulated series of months: all but the last year for training."""
    for k in range(N_OF_MONTHS):
        yield "months", months(k)["sales"], len(months(k)) - STEPS_AHEAD, (12,)


def members_of(forecaster):
    """The forecasters whose forecasts are averaged."""
    if isinstance(forecaster, EnsembleForecaster):
        return [one for _, one in forecaster.forecasters_]
    return [forecaster]


def fitted(forecaster, *data):
    """A fitted clone, and the seconds of wall time and of the processor."""
    wall, processor = time.perf_counter(), time.process_time()
    forecaster = forecaster.clone().fit(*data)
    return forecaster, {
        "wall s": time.perf_counter() - wall,
        "processor s": time.process_time() - processor,
    }


def row_of(name, forecaster, y, n, horizon, step_length):
    """Errors, coverage and seconds of a forecaster of one series."""
    forecaster, row = fitted(forecaster, y.iloc[:n])
    asked = {"fh": range(1, horizon + 1), "start": n - 1, "step_length": step_length}
    alpha = COVERAGE if hasattr(forecaster, "networks_") else None
    tables = [backtest(one, y, **asked, alpha=alpha) for one in members_of(forecaster)]
    truth = tables[0]["y_true"].to_numpy().reshape(-1, horizon)
    forecast = np.mean([table["y_pred"] for table in tables], axis=0).reshape(truth.shape)
    error = np.abs(forecast - truth) / np.abs(truth)
    row = {"method": name, "next": error[:, 0].mean(), "all": error.mean(), **row}
    if alpha:
        low, high = (tables[0][f"y_pred_{level}"] for level in COVERAGE)
        row["coverage"] = tables[0]["y_true"].between(low, high).mean()
    return row


def p1():
    """sMAPE of the next hour of the pooled regions, over their last tenths."""
    from pjm_accuracy import by_region, read

    load = read(validate=False)
    y, test = load[["load_mw"]], load["test"]
    cutoffs = y.index[test.groupby(level=0).shift(-1, fill_value=False)]
    rows = []
    for name, forecaster in METHODS.items():
        forecaster, row = fitted(forecaster, y[~test])
        of_each = [backtest(one, y, fh=[1], cutoffs=cutoffs) for one in members_of(forecaster)]
        table = of_each[0].assign(y_pred=np.mean([one["y_pred"] for one in of_each], axis=0))
        table = table.droplevel("cutoff")
        table = table[load["observed"].loc[table.index].to_numpy()]
        error = by_region(table["y_true"], table["y_pred"]).mean()
        rows.append({"kind": "P1", "series": 12, "method": name, "sMAPE": error, **row})
    return rows


def summary(rows):
    """Means over the series of each kind, errors relative to one network; sums of seconds."""
    table = pd.DataFrame(rows)
    for name in ("next", "all"):
        one = table[table["method"] == "one network"].set_index(["kind", "name"])[name]
        keys = pd.MultiIndex.from_frame(table[["kind", "name"]])
        table[f"{name}, relative"] = table[name].to_numpy() / one.loc[keys].to_numpy()
    groups = table.groupby(["kind", "method"], sort=False)
    means = groups[["next, relative", "all, relative", "coverage"]].mean()
    return (
        groups.size()
        .rename("series")
        .to_frame()
        .join(means.join(groups[["wall s", "processor s"]].sum()))
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[2_000, 8_760], help="hours of PJM")
    parser.add_argument(
        "--m4", type=Path, metavar="FOLDER", help="of Hourly-train.csv and Hourly-test.csv"
    )
    parser.add_argument("--series", type=int, help="of each kind at most")
    parser.add_argument("--p1", action="store_true", help="the pooled regions as well")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    results.add_argument(parser)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(args.threads)
    fitted(METHODS[f"n_estimators={N}"], months(0).iloc[:60])  # compiles the kernels
    fitted(METHODS["one network"], months(0).iloc[:60])

    sources = [of_months(), *(hours(n) for n in args.sizes)]
    if args.m4:
        sources.append(m4(args.m4))
    rows = []
    for source in sources:
        for k, (kind, y, n, _) in enumerate(source):
            if args.series is not None and k >= args.series:
                break
            horizon, step_length = (STEPS_AHEAD, 1) if kind == "months" else (DAY, 7)
            name = y.name if kind != "months" else str(k)
            for method, forecaster in METHODS.items():
                row = row_of(method, forecaster, y, n, horizon, step_length)
                rows.append({"kind": kind, "name": name, **row})
                print(rows[-1], flush=True)
    table = summary(rows).reset_index() if rows else pd.DataFrame()
    if args.p1:
        table = pd.concat([table, pd.DataFrame(p1())])
    print(table.round(3).to_string(index=False))
    results.write(args.json, table.to_dict("records"))


if __name__ == "__main__":
    main()
