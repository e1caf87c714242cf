"""One series at a time: errors relative to a ridge regression, and how many values intervals hold.

    SKRNN_DATA=<folder of the PJM files> python examples/benchmarks/one_series.py [options]

Six regions of PJM by the hour (the last n + 4,000 hours), one day ahead; the same by the quarter of
an hour and by the day; with ``--ett FILE`` the seven channels of ETTh1 (8,640 hours of training),
and with ``--m4 FOLDER`` forty series of M4 Hourly (all but the last week for training); with
``--simulated N ...`` series of N hours of training from `PROCESSES`, whose truth is known.
Each forecaster is fitted once with no argument but ``strategy`` and forecasts from every cutoff of
the test range (every third by default). Mean absolute percentage errors (for ETTh1: absolute
errors) are divided by those of the ridge regression below, for the next step and for the mean over
the season ahead. Coverage is that of the 90 % interval, over all steps and in the worst quarter of
the horizon. Pinball losses are the mean over five levels, relative to those of the ridge with
split-conformal intervals. ``--lightgbm`` adds LightGBM on the regressors of the ridge regression
(``pip install lightgbm``). ``--theta`` adds sktime's Theta method, fitted anew at every cutoff,
where n is at most 2,000. ``--oracle`` adds the best of a grid of epochs and units, chosen on the
test range, and the errors relative to it.
"""

import argparse
import time
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import results
from m4_hourly import read
from scipy.signal import lfilter
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sktime.forecasting.theta import ThetaForecaster

from skrnn import GRUForecaster, LSTMForecaster, backtest
from skrnn.datasets import fetch_pjm_load

REGIONS = ["DUQ", "COMED", "EKPC", "DAYTON", "AEP", "DOM"]
SIZES, TEST = (500, 2_000, 8_760, 36_000, 100_000), 4_000
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
PENALTIES = (0.1, 1.0, 10.0, 100.0, 1_000.0)
MOST_OF_THETA = 2_000  # observations of training; it is fitted anew at every cutoff
ORACLE_EPOCHS, ORACLE_UNITS = (0, 5, 10, 20, 40, 80), (32, 128)
YEAR = 365.25


# ------------------------------------------------------------------------------- series


def hours(n):
    """Yield name, series, observations of training and periods of PJM by the hour."""
    load = fetch_pjm_load().squeeze()
    for name in REGIONS:
        y = load.loc[name].asfreq("h").interpolate().rename(name)
        if len(y) >= n + TEST:
            yield f"hourly, {n:,}", y.iloc[-n - TEST :], n, (24, 168)


def days():
    """Yield the same by the day: all but the last 300 days for training."""
    load = fetch_pjm_load().squeeze()
    for name in REGIONS:
        y = load.loc[name].resample("D").mean().interpolate().rename(name)[1:-1]
        yield "daily", y, len(y) - 300, (7,)


def quarter_hours(n=35_000):
    """Yield the same by the quarter of an hour, interpolated, with noise of 0.3 percent."""
    load, rng = fetch_pjm_load().squeeze(), np.random.default_rng(0)
    for name in REGIONS:
        y = load.loc[name].iloc[-n // 4 - TEST // 4 - 1 :].asfreq("h").interpolate()
        y = y.resample("15min").interpolate("cubic").rename(name)
        y *= 1 + 0.003 * rng.standard_normal(len(y))
        yield "quarter-hourly", y.iloc[-n - TEST :], n, (96, 672)


def ett(path):
    """Yield the channels of ETTh1: 8,640 hours of training, and the 2,880 of the test range."""
    table = pd.read_csv(path, parse_dates=[0], index_col=0).asfreq("h").iloc[:14_400]
    for channel in table:
        yield "ETTh1", table[channel].iloc[2_880:], 8_640, (24, 168)


def m4(folder):
    """Yield forty series of M4 Hourly: all but the last week for training.

    The competition's split has a single origin, whose error of the next step says little.
    """
    values, test = read(folder, validate=False)
    for k in np.linspace(0, len(values) - 1, 40).astype(int):
        y = np.concatenate([values[k], test[k]])
        index = pd.date_range("2020-01-06", periods=len(y), freq="h")
        yield "M4 Hourly", pd.Series(y, index, name=f"H{k + 1}"), len(y) - 168, (24, 168)


def autoregression(errors, coefficient):
    """Values that are so many times the value before plus an error."""
    return lfilter([1.0], [1.0, -coefficient], errors)


# Hourly processes, from the number of the hour, a wave of the day, and standard normal errors.
PROCESSES = {
    "white noise": lambda t, day, e, rng: 50 + e,
    "random walk": lambda t, day, e, rng: 1_000 + e.cumsum(),
    "season": lambda t, day, e, rng: 100 + 10 * day + 2 * autoregression(e, 0.9),
    "trend": lambda t, day, e, rng: 10 + 0.01 * t + 3 * day + autoregression(e, 0.7),
    "multiplicative": lambda t, day, e, rng: np.exp(
        4 + 0.3 * day + 5e-5 * t + 0.05 * autoregression(e, 0.95)
    ),
    "spread by hour": lambda t, day, e, rng: (
        100 + 10 * day + 2 * autoregression(e * np.exp(0.6 * day), 0.8)
    ),
    "heavy tails": lambda t, day, e, rng: (
        100 + 8 * day + autoregression(rng.standard_t(2.2, len(t)), 0.8)
    ),
    "level shifts": lambda t, day, e, rng: (
        100
        + 5 * day
        + autoregression(e, 0.6)
        + ((rng.random(len(t)) < 3 / len(t)) * rng.normal(0, 15, len(t))).cumsum()
    ),
    "season that changes": lambda t, day, e, rng: (
        100
        + 10 * day * (1 + 0.5 * np.sin(0.02 * rng.normal(size=len(t)).cumsum()))
        + 1.5 * autoregression(e, 0.8)
    ),
    "zero at night": lambda t, day, e, rng: (
        100
        * np.sin(2 * np.pi * (t % 24 - 6) / 24).clip(0)
        * (0.7 + 0.075 * autoregression(e, 0.97)).clip(0.05, 1)
    ),
}


def simulated(n, n_test=2_500):
    """Yield a series of each process, whose wave of the day is flatter on two days of a week."""
    t = np.arange(n + n_test)
    day = np.sin(2 * np.pi * t / 24) + 0.5 * np.cos(4 * np.pi * t / 24)
    day *= np.where(t // 24 % 7 < 5, 1.0, 0.6)
    for k, (name, process) in enumerate(PROCESSES.items()):
        rng = np.random.default_rng((100, k))
        index = pd.date_range("2018-01-01", periods=len(t), freq="h")
        y = pd.Series(process(t, day, rng.standard_normal(len(t)), rng), index, name=name)
        yield f"simulated, {n:,}", y, n, (24, 168)


# ---------------------------------------------------------------------------- forecasts


def regressors(y, periods, with_year, cutoffs):
    """Lags, place in the longest season, and waves of the year by the place in the shortest one.

    The place of a target differs from that of its cutoff by the same number of steps for all
    cutoffs, so that one set of regressors serves all horizons.
    """
    values, (short, long) = y.to_numpy(), (periods[0], periods[-1])
    lags = [*range(1, min(2 * short, 48) + 1), *range(short, long + 1, short), long - 1]
    columns = [values[cutoffs[:, None] - sorted(set(lags))]]
    stamps = y.index[cutoffs]
    seconds = (y.index[1] - y.index[0]).total_seconds()
    number = ((stamps - pd.Timestamp("1970-01-05")).total_seconds() // seconds).astype(int)
    place = number % long * min(long, 168) // long
    columns.append(np.eye(min(long, 168))[place])
    if with_year:
        angle = 2 * np.pi * stamps.dayofyear.to_numpy() / YEAR
        of_day = np.eye(min(short, 24))[number % short * min(short, 24) // short]
        columns += [wave(angle)[:, None] * of_day for wave in (np.sin, np.cos)]
    return np.concatenate(columns, axis=1)


def ridge(y, n, periods, horizon, cutoffs):
    """Direct ridge regression of each step; forecasts (cutoffs, steps), quantiles (..., levels).

    The penalty, and whether the year is read, is chosen for each step on the last tenth of the
    training range. Its errors there give split-conformal quantiles.
    """
    is_positive = (y > 0).all()
    log = FunctionTransformer(np.log if is_positive else None, np.exp if is_positive else None)
    center, scale = (f(log.transform(y.to_numpy()[:n])) for f in (np.mean, np.std))
    s = pd.Series((log.transform(y.to_numpy()) - center) / scale, y.index)
    first, late = max(periods) + 1, int(0.9 * n)
    rows = np.arange(first, n - horizon + 1)
    target = s.to_numpy()[rows[:, None] + np.arange(horizon)]
    early, after = rows + horizon <= late, rows >= late
    candidates = []
    for with_year in (False, True):
        read_at = partial(regressors, s, periods, with_year)
        for penalty in PENALTIES:
            model = make_pipeline(FunctionTransformer(read_at), Ridge(penalty))
            model.fit(rows[early], target[early])
            error = target[after] - model.predict(rows[after])
            candidates.append((np.abs(error).mean(0), error, model, penalty))
    best = np.argmin([c[0] for c in candidates], axis=0)  # of each step
    forecast, quantiles = np.empty((len(cutoffs), horizon)), []
    for k in np.unique(best):
        steps = best == k
        _, error, model, _ = candidates[k]
        model.fit(rows, target)
        forecast[:, steps] = model.predict(cutoffs)[:, steps]
    for level in LEVELS:
        shift = [np.quantile(candidates[best[h]][1][:, h], level) for h in range(horizon)]
        quantiles.append(log.inverse_transform((forecast + shift) * scale + center))
    return log.inverse_transform(forecast * scale + center), np.stack(quantiles, axis=-1)


def lightgbm(y, n, periods, horizon, cutoffs):
    """Forecasts of LightGBM: a model for each step, on all regressors of the ridge regression.

    It forecasts the change since the last value, for trees do not extrapolate a level; as the ridge
    regression, in logarithms where all values are positive.
    """
    from lightgbm import LGBMRegressor

    is_positive = (y > 0).all()
    values = np.log(y) if is_positive else y
    rows = np.arange(max(periods) + 1, n - horizon + 1)
    z = values.to_numpy()
    learn, read = (regressors(values, periods, True, at) for at in (rows, cutoffs))
    last, forecast = z[cutoffs - 1], np.empty((len(cutoffs), horizon))
    for h in range(horizon):
        model = LGBMRegressor(n_estimators=200, learning_rate=0.05, n_jobs=1, verbosity=-1)
        model.fit(learn, z[rows + h] - z[rows - 1])
        forecast[:, h] = last + model.predict(read)
    return np.exp(forecast) if is_positive else forecast


def theta(y, sp, horizon, cutoffs):
    """Forecasts of the Theta method, fitted to all observations before each cutoff."""
    steps = list(range(1, horizon + 1))
    is_multiplicative = bool((y > 0).all())
    return np.array(
        [
            ThetaForecaster(sp=sp, deseasonalize=is_multiplicative)
            .fit(y.iloc[:cutoff])
            .predict(steps)
            for cutoff in cutoffs
        ]
    )


def network(forecaster, y, n, horizon, step_length):
    """Forecasts and quantiles of a forecaster of this package, and the seconds of its fit."""
    steps, start = list(range(1, horizon + 1)), time.perf_counter()
    forecaster.fit(y.iloc[:n], fh=steps)
    seconds = time.perf_counter() - start
    alpha = list(LEVELS) if forecaster.get_tag("capability:pred_int") else None
    table = backtest(forecaster, y, fh=steps, start=n - 1, step_length=step_length, alpha=alpha)
    forecast = table["y_pred"].to_numpy().reshape(-1, horizon)
    quantiles = [table[f"y_pred_{level}"].to_numpy() for level in LEVELS] if alpha else [forecast]
    return forecast, np.stack(quantiles, -1).reshape(*forecast.shape, -1), seconds


# ------------------------------------------------------------------------------- scores


def scores(truth, forecast, quantiles, size):
    """Errors of the next step and of the season, coverage, and pinball loss."""
    error = np.abs(forecast - truth) / size
    row = {"next": error[:, 0].mean(), "season": error.mean()}
    if quantiles.shape[-1] < len(LEVELS):
        return row
    inside = (truth >= quantiles[..., 0]) & (truth <= quantiles[..., -1])
    quarters = [part.mean() for part in np.array_split(inside, 4, axis=1)]
    over = truth[..., None] - quantiles
    loss = np.maximum(np.array(LEVELS) * over, (np.array(LEVELS) - 1) * over)
    middle = (truth >= quantiles[..., 1]) & (truth <= quantiles[..., 3])
    return row | {
        "90 %": inside.mean(),
        "worst quarter": min(quarters, key=lambda share: -abs(share - 0.9)),
        "50 %": middle.mean(),
        "pinball": (loss.mean(-1) / size).mean(),
    }


def evaluate(y, n, periods, methods, step_length, others=()):
    """Scores of all methods on one series, a row for each.

    ``others`` may name "lightgbm", "theta" and "oracle".
    """
    horizon = periods[0]
    cutoffs = np.arange(n, len(y) - horizon + 1, step_length)
    truth = y.to_numpy()[cutoffs[:, None] + np.arange(horizon)]
    size = np.abs(truth) if (y > 0).all() else np.ones_like(truth)
    rows = {}
    back = periods[0] * -(-np.arange(1, horizon + 1) // periods[0])
    naive = y.to_numpy()[cutoffs[:, None] + np.arange(horizon) - back]
    points = {"seasonal naive": naive}
    if "lightgbm" in others:
        points["LightGBM"] = lightgbm(y, n, periods, horizon, cutoffs)
    if "theta" in others and n <= MOST_OF_THETA:
        points["Theta"] = theta(y, periods[0], horizon, cutoffs)
    for name, forecast in points.items():
        rows[name] = scores(truth, forecast, forecast[..., None], size)
    rows["ridge"] = scores(truth, *ridge(y, n, periods, horizon, cutoffs), size)
    for name, make in methods.items():
        forecast, quantiles, seconds = network(make(), y, n, horizon, step_length)
        rows[name] = scores(truth, forecast, quantiles, size) | {"seconds": seconds}
    if "oracle" in others:
        found = []
        for units in ORACLE_UNITS:
            for epochs in ORACLE_EPOCHS:
                forecaster = GRUForecaster(
                    "multioutput", num_epochs=epochs, hidden_size=units, random_state=0
                )
                forecast, quantiles, _ = network(forecaster, y, n, horizon, step_length)
                found.append(scores(truth, forecast, quantiles, size))
        rows["oracle"] = {name: min(row[name] for row in found) for name in ("next", "season")}
    table = pd.DataFrame(rows).T
    if "oracle" in others:
        table["season / oracle"] = table["season"] / table.loc["oracle", "season"]
    relative = ["next", "season", "pinball"]
    table[relative] /= table.loc["ridge", relative]
    return table


def plot(rows):
    """Errors over the season ahead relative to the ridge, over n: means over regions.

    Of the networks, the range over the regions as well.
    """
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(8, 4), layout="constrained")
    hourly = rows[rows["kind"].str.startswith("hourly") & (rows["method"] != "ridge")]
    for name, rows in hourly.groupby("method", sort=False):
        rows = rows.groupby("kind", sort=False)["season"].agg(["mean", "min", "max"])
        n = [int(kind.split(", ")[1].replace(",", "")) for kind in rows.index]
        rows = rows.set_axis(n).sort_index()
        (line,) = axis.plot(rows["mean"], marker="o", label=name)
        if name.startswith(("GRU", "LSTM")):
            color = line.get_color()
            axis.fill_between(rows.index, rows["min"], rows["max"], color=color, alpha=0.1)
    axis.axhline(1, color="black", linewidth=1, label="ridge")
    axis.set(xscale="log", xlabel="hours of training", ylabel="error a day ahead / ridge's")
    figure.legend(loc="outside right upper")
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES, help="hours of training")
    parser.add_argument("--kinds", nargs="*", default=["days", "quarter_hours"])
    parser.add_argument("--ett", type=Path, help="ETTh1.csv")
    parser.add_argument("--m4", type=Path, help="folder of M4 Hourly")
    parser.add_argument("--simulated", type=int, nargs="*", default=(), help="hours of training")
    parser.add_argument("--methods", nargs="*", default=["gru", "lstm"], choices=["gru", "lstm"])
    parser.add_argument("--criteria", nargs="+", default=["mae"], help="of the networks")
    parser.add_argument("--step-length", type=int, default=3, help="steps between cutoffs")
    parser.add_argument("--seed", type=int, default=0)
    for name in ("lightgbm", "theta", "oracle"):
        parser.add_argument(f"--{name}", action="append_const", const=name, dest="others")
    parser.add_argument("--csv", type=Path, help="where to write a row for each series and method")
    results.add_argument(parser)
    args = parser.parse_args()
    classes = {"gru": GRUForecaster, "lstm": LSTMForecaster}
    methods = {}
    for name, strategy, criterion in product(
        args.methods, ("recursive", "multioutput"), args.criteria
    ):
        label = f"{classes[name].__name__[:-10]} {strategy}"
        label += "" if criterion == "mae" else f", {criterion}"
        methods[label] = partial(
            classes[name], strategy, criterion=criterion, random_state=args.seed
        )
    sources = [hours(n) for n in args.sizes]
    sources += [{"days": days, "quarter_hours": quarter_hours}[kind]() for kind in args.kinds]
    sources += [ett(args.ett)] if args.ett else []
    sources += [m4(args.m4)] if args.m4 else []
    sources += [simulated(n) for n in args.simulated]
    parts = {}
    for source in sources:
        for kind, y, n, periods in source:
            table = evaluate(y, n, periods, methods, args.step_length, args.others or ())
            parts[kind, y.name] = table
            print(f"{kind}  {y.name}\n{table.round(3).to_string(na_rep='')}\n", flush=True)
    table = pd.concat(parts, names=["kind", "series", "method"])
    if args.csv:
        table.to_csv(args.csv)
    groups = table.groupby(["kind", "method"], sort=False)
    mean = groups.mean()
    mean["worst season"] = groups["season"].max()
    print(mean.round(3).to_string(na_rep=""))
    results.write(args.json, table.reset_index().to_dict("records"))


if __name__ == "__main__":
    main()
