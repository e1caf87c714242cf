"""The PJM hourly load 24 hours ahead, with prediction intervals.

    python -m pip install "skrnn[all]"
    python examples/day_ahead.py

One network forecasts quantiles of the next 24 hours for every region. The last tenth of each region
is held out, as in compare_gru_lstm.py. Neither training nor scaling uses it. Forecasts start at
every 37th of its hours, so that each hour of the day is a cutoff, and use all hours up to the
cutoff. The benchmark is the value one day before, with the quantiles of its errors in training.

Training takes one minute on two cores (AMD EPYC with AVX-512, torch 2.13).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import torch
from compare_gru_lstm import is_test, limit, load_or_simulate, results, save

from skrnn import RNNForecaster, backtest, smape
from skrnn.plotting import plot_forecast

matplotlib.use("Agg")
import matplotlib.pyplot as plt

DAY = 24
LEVELS = [0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95]
QUANTILES = [f"y_pred_{level:g}" for level in LEVELS]
STEPS = [1, 6, 12, 18, 24]  # hours ahead, columns of the table
SCORES = ["sMAPE in percent", "inside the 90 % interval", "pinball loss, % of mean load"]
PANELS = 2  # regions in the figure
HOURS_SHOWN = 60  # before the forecast


def main() -> None:
    args = parse_arguments()
    load = load_or_simulate(regular=True, add_observed=True)
    if args.regions:
        load = select(load, args.regions)
    y, observed = load[["load_mw"]], load["observed"]
    test = is_test(y)

    fh = range(1, DAY + 1)
    forecaster = RNNForecaster(
        cell=args.cell,
        strategy="multioutput",
        criterion="quantile",
        quantiles=LEVELS,
        hidden_size=args.hidden_size,
        dropout=0.2,  # without it the network overfits and intervals are too narrow
        num_epochs=args.num_epochs,
        device=args.device,
        random_state=0,
        verbose=True,
        callbacks=limit(args.max_steps),
    )
    forecaster.fit(y[~test], fh=fh)
    cutoffs = cutoffs_of(test, args.step_length)
    table = backtest(forecaster, y, fh=fh, cutoffs=cutoffs, alpha=LEVELS)
    # Only observed hours are scored, not those that were filled in.
    table = table[observed.loc[table.index.droplevel("cutoff")].to_numpy()]
    naive = naive_table(table, y["load_mw"], ~test & observed)

    seconds = forecaster.history_["seconds"].sum()
    n_regions = len(y.index.unique(level=0))
    print(f"Trained in {seconds:.1f} s; {len(cutoffs):,} days of {n_regions} regions")
    scores = scores_by_method({args.cell: table, "naive 24 h": naive})
    print(f"\nA day ahead\n{scores.to_string(float_format='{:.3f}'.format)}")
    rows = scores.rename_axis(["score", "method"]).reset_index().to_dict("records")
    facts = {"score": "training", "seconds": seconds, "days": len(cutoffs)}
    results.write(args.json, [*rows, facts])
    save(plot(forecaster, y, test), args.figure)


def select(load: pd.DataFrame, regions: list[str]) -> pd.DataFrame:
    names = load.index.unique(level=0)
    if not set(regions) <= set(names):
        raise SystemExit(f"--regions must be among {', '.join(names)}. Got {', '.join(regions)}.")
    return pd.concat({region: load.loc[region] for region in regions}, names=load.index.names)


def cutoffs_of(test: pd.Series, step_length: int) -> pd.MultiIndex:
    """Every ``step_length``-th hour from the end of training, if a whole test day follows it."""
    region = test.groupby(level=0)
    n_before = region.cumsum()  # test hours up to and including this one
    n_after = region.transform("sum") - n_before
    is_cutoff = (test | region.shift(-1, fill_value=False)) & (n_before % step_length == 0)
    return test.index[is_cutoff & (n_after >= DAY)]


def naive_table(table: pd.DataFrame, load: pd.Series, train: pd.Series) -> pd.DataFrame:
    """The value one day before, with the quantiles of its errors in training, as a backtest.

    Up to 24 hours ahead, its error is the change of the load within 24 hours. Hence a region has
    the same quantiles for all hours ahead.
    """
    region = load.groupby(level=0)
    errors = region.diff(DAY)[train].groupby(level=0).quantile(LEVELS).unstack()
    before = region.shift(DAY).loc[table.index.droplevel("cutoff")].to_numpy()
    quantiles = before[:, None] + errors.loc[table.index.get_level_values(0)].to_numpy()
    return table.assign(y_pred=before, **dict(zip(QUANTILES, quantiles.T, strict=True)))


# ------------------------------------------------------------------------------- output


def scores_by_method(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Means over the regions of each region's scores, by hour ahead and over all."""
    scores = {name: scores_of(table) for name, table in tables.items()}
    return pd.concat({s: pd.DataFrame({n: t.loc[s] for n, t in scores.items()}).T for s in SCORES})


def scores_of(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each score; a column for each of some hours ahead and one for all hours."""
    region, cutoff, time = (table.index.get_level_values(level) for level in range(3))
    above = table["y_true"].to_numpy()[:, None] - table[QUANTILES].to_numpy()  # (n, 7)
    pinball = np.maximum(LEVELS * above, (np.array(LEVELS) - 1) * above).mean(axis=1)
    mean_load = table["y_true"].groupby(level=0).transform("mean")
    table = table.assign(
        inside=table["y_true"].between(table[QUANTILES[0]], table[QUANTILES[-1]]),
        pinball=100 * pinball / mean_load,
        region=region,
        ahead=(time - cutoff) // pd.Timedelta(hours=1),
    ).reset_index(drop=True)

    def scores(part: pd.DataFrame) -> pd.Series:
        error = smape(part["y_true"], part["y_pred"])
        return pd.Series([error, part["inside"].mean(), part["pinball"].mean()], SCORES)

    by_hour = table.groupby(["ahead", "region"]).apply(scores).groupby(level="ahead").mean()
    by_step = by_hour.loc[STEPS].T.add_prefix("h=")
    return by_step.assign(all=table.groupby("region").apply(scores).mean())


def plot(forecaster: RNNForecaster, y: pd.DataFrame, test: pd.Series) -> plt.Figure:
    """The first day after training, in two of the regions."""
    forecast = forecaster.predict()
    intervals = forecaster.predict_interval(coverage=[0.5, 0.9])
    regions = y.index.unique(level=0)
    regions = regions[:: max(1, len(regions) // PANELS)][:PANELS]
    figure, axes = plt.subplots(
        len(regions), figsize=(11, 4 * len(regions)), layout="constrained", squeeze=False
    )
    figure.suptitle("Load a day ahead, the first day of the test range")
    for region, ax in zip(regions, axes.flat, strict=True):
        plot_forecast(
            forecast,
            y[~test],
            y_true=y,
            intervals=intervals,
            series=region,
            n_history=HOURS_SHOWN,
            ax=ax,
        )
        ax.set(xlabel="", ylabel="load in MW")
        ax.legend(loc="upper left", ncols=3, fontsize="small")
        ax.margins(x=0.02, y=0.2)
    return figure


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cell", choices=["gru", "lstm", "rnn"], default="gru")
    parser.add_argument("--hidden-size", type=int, default=128)
    parser.add_argument("--num-epochs", type=int, default=10)
    parser.add_argument("--max-steps", type=int, help="most optimiser steps")
    parser.add_argument("--regions", nargs="+", help="names of regions; default: all")
    parser.add_argument("--step-length", type=int, default=37, help="hours between cutoffs")
    parser.add_argument("--device", default="auto", help="'auto', 'cpu', 'cuda', ...")
    parser.add_argument("--figure", type=Path, default=Path("day_ahead.png"))
    results.add_argument(parser)
    return parser.parse_args()


if __name__ == "__main__":
    torch.set_float32_matmul_precision("high")  # allows TF32 on GPUs
    main()
