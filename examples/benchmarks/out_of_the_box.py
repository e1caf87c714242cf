"""Defaults on short and ordinary series: errors relative to the seasonal naive forecast.

    python examples/benchmarks/out_of_the_box.py

The series are the univariate ones bundled with sktime that have a seasonal period, the columns of
its multivariate ones, and synthetic ones. Each of the last `ORIGINS` seasons of a bundled series,
and the last season of a synthetic one, is forecast by a forecaster fitted to the observations
before it. The score is the ratio of its mean absolute error to that of the seasonal naive forecast,
which is also the ratio of their MASE. With `--validate` the last `ORIGINS` seasons are dropped
first and other synthetic series are drawn. Use it while changing the package.

The last line is the time it took.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import pandas as pd
import results
from sktime.datasets import (
    load_airline,
    load_hierarchical_sales_toydata,
    load_lynx,
    load_macroeconomic,
    load_PBS_dataset,
    load_shampoo_sales,
    load_solar,
    load_uschange,
)

from skrnn import GRUForecaster, LSTMForecaster

FORECASTERS = {"GRU": GRUForecaster, "LSTM": LSTMForecaster}
ORIGINS = 2  # seasons of a bundled series that are forecast


# ------------------------------------------------------------------ the series


def bundled() -> dict[str, tuple[pd.Series, int]]:
    """Series by name, each with its seasonal period."""
    series = {
        "airline": (load_airline(), 12),
        "shampoo": (load_shampoo_sales(), 12),
        "PBS": (load_PBS_dataset(), 12),
        "lynx": (load_lynx(), 10),
        "solar": (load_solar(api_version=None).tz_localize(None).asfreq("30min"), 48),
    }
    consumption, other = load_uschange()
    for y in [consumption, *(other[name] for name in other)]:
        quarters = pd.period_range("1970Q1", periods=len(y), freq="Q")
        series[f"US change: {y.name}"] = (pd.Series(y.to_numpy(), quarters, name=y.name), 4)
    macro = load_macroeconomic()
    series |= {f"US: {name}": (macro[name], 4) for name in macro}
    sales = load_hierarchical_sales_toydata()
    for key, part in sales.groupby(level=[0, 1]):
        series[f"sales: {key[1]}"] = (part.droplevel([0, 1]).iloc[:, 0], 12)
    return series


def synthetic(rng: np.random.Generator) -> dict[str, tuple[pd.Series, int]]:
    """One draw of each kind of series."""

    def months(values, sp=12):
        index = pd.period_range("2001-01", periods=len(values), freq="M")
        return pd.Series(values, index), sp

    def days(values, sp=7):
        return pd.Series(values, pd.date_range("2020-01-01", periods=len(values), freq="D")), sp

    n = 120
    t = np.arange(n)
    season = rng.normal(0, 1, 12)[t % 12]
    noise = rng.normal(0, 1, n)
    d = np.arange(400)
    week = rng.normal(0, 1, 7)[d % 7]
    h = np.arange(24 * 21)
    day = rng.normal(0, 1, 24).cumsum()
    day = (day - day.mean())[h % 24]
    return {
        "trend": months(100 + 2 * t + 5 * noise),
        "steep trend, no noise": months(10 + 3.0 * t),
        "trend + season": months(100 + t + 10 * season + 3 * noise),
        "trend x season": months((100 + 2 * t) * np.exp(0.2 * season + 0.03 * noise)),
        "growth x season": months(100 * np.exp(0.015 * t + 0.2 * season + 0.03 * noise)),
        "falling trend + season": months(500 - 2 * t + 10 * season + 5 * noise),
        "level shift": months(100 + 30 * (t > 70) + 10 * season + 3 * noise),
        "late level shift": months(100 + 30 * (t > 100) + 10 * season + 3 * noise),
        "level shift, no season": months(100 + 30 * (t > 70) + 3 * noise),
        "season + noise": months(100 + 10 * season + 5 * noise),
        "noise": months(100 + 5 * noise),
        "random walk": months(100 + np.cumsum(noise)),
        "random walk + season": months(100 + np.cumsum(noise) + 5 * season),
        "intermittent": days(rng.poisson(0.4, 400) * rng.integers(1, 6, 400).astype(float)),
        "intermittent, months": months(rng.poisson(0.5, n).astype(float)),
        "counts with week": days(rng.poisson(5 * np.exp(0.5 * week)).astype(float)),
        "very short, 3 years": months((100 + t + 10 * season + 3 * noise)[:36]),
        "very short, 2.5 years": months((100 + 10 * season + 3 * noise)[:30]),
        "very short, quarters": (
            pd.Series(
                (100 + t + 10 * season[t % 4] + 3 * noise)[:12],
                pd.period_range("2001Q1", periods=12, freq="Q"),
            ),
            4,
        ),
        "very short, weeks of days": days((100 + 10 * week[:400] + 3 * rng.normal(0, 1, 400))[:28]),
        "days with week": days(100 + 10 * week + 3 * rng.normal(0, 1, 400)),
        "days with week and trend": days(100 + 0.2 * d + 10 * week + 5 * rng.normal(0, 1, 400)),
        "days with week and year": days(
            (100 + 20 * np.sin(2 * np.pi * np.arange(1000) / 365.25))
            + 10 * rng.normal(0, 1, 7)[np.arange(1000) % 7]
            + 5 * rng.normal(0, 1, 1000)
        ),
        "hours with day": (
            pd.Series(
                100 + 10 * day + 5 * rng.normal(0, 1, len(h)),
                pd.date_range("2024-01-01", periods=len(h), freq="h"),
            ),
            24,
        ),
        "numbered, with season": (
            pd.Series(100 + 10 * season + 3 * noise, pd.RangeIndex(n)),
            12,
        ),
    }


# ------------------------------------------------------------------ the score


def held_out(y: pd.Series, sp: int, origins: int):
    """Yield the training range before each of the last seasons, and that season."""
    for k in range(origins, 0, -1):
        stop = len(y) - (k - 1) * sp
        if stop - sp >= 2 * sp or k == 1:
            yield y.iloc[: stop - sp], y.iloc[stop - sp : stop]


def errors(make, y: pd.Series, sp: int, origins: int) -> tuple[float, float]:
    """Sums of the absolute errors of a forecaster and of the seasonal naive forecast."""
    error = naive = 0.0
    for train, test in held_out(y, sp, origins):
        fh = np.arange(1, len(test) + 1)
        error += (make().fit(train).predict(fh) - test).abs().sum()
        naive += np.abs(train.to_numpy()[-sp:] - test.to_numpy()).sum()
    return error, naive


def cases(validate: bool, draws: int) -> list[tuple[str, str, pd.Series, int, int]]:
    """Kind, name, values, seasonal period and number of origins of each series."""
    found = []
    for name, (y, sp) in bundled().items():
        if validate:
            y = y.iloc[: -ORIGINS * sp]
        if len(y) > 2 * sp:
            found.append(("bundled", name, y, sp, ORIGINS))
    for draw in range(draws):
        rng = np.random.default_rng([draw, validate])
        found += [("synthetic", name, y, sp, 1) for name, (y, sp) in synthetic(rng).items()]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--validate", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--draws", type=int, default=5, help="draws of each kind of synthetic series"
    )
    parser.add_argument("--params", default="", help="parameters, as in 'num_epochs=0, lr=0.01'")
    parser.add_argument("--cells", nargs="+", choices=list(FORECASTERS), default=list(FORECASTERS))
    results.add_argument(parser)
    args = parser.parse_args()
    params = eval(f"dict({args.params})")
    start = time.perf_counter()
    rows = []
    for kind, name, y, sp, origins in cases(args.validate, args.draws):
        for cell in args.cells:
            forecaster = FORECASTERS[cell](random_state=args.seed, **params)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                error, naive = errors(forecaster.clone, y, sp, origins)
            rows.append((kind, name, cell, error, naive))
    table = pd.DataFrame(rows, columns=["kind", "series", "cell", "error", "naive"])
    table = table.groupby(["kind", "series", "cell"], sort=False)[["error", "naive"]].sum()
    exact = table[table["naive"] == 0]
    for (_, name, cell), row in exact.iterrows():
        print(f"{name}: seasonal naive is exact; errors of {cell} sum to {row['error']:.3g}")
    table = table.drop(exact.index)
    table["ratio"] = table["error"] / table["naive"]
    results.write(args.json, table["ratio"].reset_index().to_dict("records"))
    ratio = table["ratio"].unstack("cell")
    print(ratio.to_string(float_format="%.3f"))
    summary = ratio.groupby(level=0).agg(["mean", "max"])
    summary.loc["all"] = ratio.agg(["mean", "max"]).unstack()
    print(f"\n{summary.to_string(float_format='%.3f')}\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
