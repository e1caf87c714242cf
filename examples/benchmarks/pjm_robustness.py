"""PJM, next hour: errors with a fifth of the values missing, and on a region without training data.

    SKRNN_DATA=<folder of the PJM files> python examples/benchmarks/pjm_robustness.py

The protocol is that of examples/compare_gru_lstm.py: the last tenth of each region is the test
range. First, a fifth of all hours is removed at random, from the training and the test range. The
forecaster gets the rest, and every observed hour of the test range is scored. Second, for each of
some regions, a network is pretrained on the eleven others. It forecasts the region without further
training (zero-shot) and after a few epochs on it (fine-tuned). These errors are relative to those
of a network trained on all twelve regions.

The trainings take about a minute on two cores (AMD EPYC with AVX-512, torch 2.13).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import results

from skrnn import GRUForecaster, backtest, smape
from skrnn.datasets import fetch_pjm_load

sys.path.insert(0, str(Path(__file__).parents[1]))
from compare_gru_lstm import is_test

FIRST_CUTOFF = 0.85  # share of a region's rows, before its test range begins


def main() -> None:
    args = parse_arguments()
    load = fetch_pjm_load(add_observed=True)
    y, observed = load[["load_mw"]], load["observed"]
    test = is_test(y)
    scored = test & observed
    settings = {"num_epochs": args.num_epochs, "random_state": 0}

    complete = error_by_region(GRUForecaster(**settings).fit(y[~test]), y, y, scored)
    print(f"{'':14}  next-hour sMAPE, mean of 12 regions")
    print(f"{'complete':14}  {complete.mean():.3f} %")
    known = with_missing(y, args.share)
    missing = error_by_region(GRUForecaster(**settings).fit(known[~test]), known, y, scored)
    ratio = missing.mean() / complete.mean()
    name = f"{args.share:.0%} missing"
    print(f"{name:14}  {missing.mean():.3f} %, {ratio:.3f} times as much")
    rows = [{"data": "complete", "sMAPE": complete.mean()}]
    rows.append({"data": name, "sMAPE": missing.mean(), "times as much": ratio})

    print("\nerror relative to training on all regions\n                zero-shot  fine-tuned")
    for region in args.regions:
        others = y[~test].drop(index=region, level=0)
        pretrained = GRUForecaster(**settings).pretrain(others)
        zero, tuned = new_region(pretrained, y, test, scored, region, args.tuning_epochs)
        row = {"region": region, "zero-shot": zero / complete[region]}
        row["fine-tuned"] = tuned / complete[region]
        rows.append(row)
        print(f"{region:14}  {row['zero-shot']:9.3f}  {row['fine-tuned']:10.3f}")
    results.write(args.json, rows)


def error_by_region(
    forecaster: GRUForecaster, known: pd.DataFrame, y: pd.DataFrame, scored: pd.Series
) -> pd.Series:
    """sMAPE in percent of each region's next-hour forecasts from ``known``, on the scored rows."""
    forecast = backtest(forecaster, known, start=FIRST_CUTOFF)["y_pred"].droplevel("cutoff")
    rows = forecast.index.intersection(scored.index[scored], sort=False)
    truth, forecast = y.loc[rows, "load_mw"], forecast.loc[rows]
    if truth.index.nlevels == 1:
        return pd.Series(smape(truth, forecast))
    return pd.Series(
        {name: smape(part, forecast.loc[part.index]) for name, part in truth.groupby(level=0)}
    )


def with_missing(y: pd.DataFrame, share: float) -> pd.DataFrame:
    """A copy in which this share of the rows is missing, at random."""
    is_missing = np.random.default_rng(7).random(len(y)) < share
    return y.mask(pd.Series(is_missing, index=y.index), axis=0)


def new_region(
    pretrained: GRUForecaster,
    y: pd.DataFrame,
    test: pd.Series,
    scored: pd.Series,
    region: str,
    tuning_epochs: int,
) -> tuple[float, float]:
    """sMAPE of a region by a network pretrained on the others: zero-shot and fine-tuned."""
    y_region, train = y.loc[region], y.loc[region][~test.loc[region]]
    errors = []
    for epochs in (0, tuning_epochs):
        forecaster = pretrained.clone().set_params(num_epochs=epochs).fit(train)
        errors.append(error_by_region(forecaster, y_region, y_region, scored.loc[region]).iloc[0])
    return errors[0], errors[1]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--num-epochs", type=int, default=4, help="epochs of each training")
    parser.add_argument("--tuning-epochs", type=int, default=3, help="epochs on the new region")
    parser.add_argument("--share", type=float, default=0.2, help="share of the values removed")
    parser.add_argument("--regions", nargs="*", default=["DAYTON", "EKPC", "NI", "PJMW"])
    results.add_argument(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
