r"""Short panels: hundreds of series of years, quarters or months, beside exponential smoothing.

    python examples/benchmarks/short_panels.py --peer /path/to/python

Panels are simulated: levels and trends that change, seasons that are partly shared, jumps, and
noise with heavy tails; and random walks, of which no forecast is better than the last value. All
series of a panel are forecast from their ends; printed is the mean absolute scaled error (MASE)
relative to that of the mean of AutoETS, AutoTheta and DynamicOptimizedTheta of statsforecast, whose
interpreter `--peer` names; without it, relative to the best of the last value and seasonal naive.
Also printed is the share of values within 90 % intervals, where there are any. The four kinds of
panels take four minutes on one core of a shared machine (AMD EPYC, torch 2.13).
"""

import argparse
import json
import subprocess
import tempfile
import time
import warnings
from importlib import metadata
from pathlib import Path

import numpy as np
import results

# Period of the season, shortest and longest series, steps ahead, and pandas' frequency.
KINDS = {
    "years": (1, 15, 45, 6, "Y"),
    "quarters": (4, 24, 70, 8, "Q"),
    "months": (12, 60, 150, 18, "M"),
    "walks": (1, 30, 30, 8, "Y"),
}


# ------------------------------------------------------------------ the data


def simulate(kind, n_series, seed):
    """Series as (training values, future values)."""
    period, shortest, longest, horizon, _ = KINDS[kind]
    rng = np.random.default_rng([seed, list(KINDS).index(kind)])
    shared = rng.normal(size=period)
    result = []
    for _ in range(n_series):
        n = int(rng.integers(shortest, longest + 1)) + horizon
        if kind == "walks":
            values = 500 + 10 * rng.normal(size=n).cumsum()
        else:
            values = _series(rng, n, period, shared)
        result.append((values[:-horizon], values[-horizon:]))
    return result


def _series(rng, n, period, shared):
    noise = rng.uniform(0.005, 0.06)  # relative to the level
    drift = rng.normal(0, 0.02 / np.sqrt(period)) + rng.normal(0, 0.002, n).cumsum()
    level = drift.cumsum() + rng.normal(0, noise * rng.uniform(0.1, 1), n).cumsum()
    if rng.random() < 0.3:
        level[rng.integers(n) :] += rng.normal(0, 0.3)
    season = rng.uniform(0, 0.15) * (0.5 * shared + 0.5 * rng.normal(size=period))
    changes = rng.normal(0, rng.uniform(0, 0.01), (n // period + 1, period)).cumsum(0)
    season = (season + changes).ravel()[:n] if period > 1 else 0.0
    error = noise * rng.standard_t(4, n) / np.sqrt(2)
    return 10 ** rng.uniform(1, 5) * np.exp(np.clip(level, -3, 3) + season + error)


# ------------------------------------------------------------------ the forecasts


def as_panel(series, freq):
    import pandas as pd

    parts = {
        f"s{i:04d}": pd.Series(values, pd.period_range("1990", periods=len(values), freq=freq))
        for i, (values, _) in enumerate(series)
    }
    return pd.concat(parts, names=["series", "time"]).to_frame("y")


def skrnn_forecasts(series, kind, parameters):
    """Forecasts (S, H) and 90 % intervals (S, H, 2), or None."""
    from skrnn import GRUForecaster

    horizon, freq = KINDS[kind][3:]
    fh = range(1, horizon + 1)
    forecaster = GRUForecaster(random_state=0, **parameters)
    forecaster.fit(as_panel(series, freq), fh=fh)
    point = forecaster.predict().to_numpy().reshape(len(series), horizon)
    try:
        interval = forecaster.predict_interval(coverage=0.9).to_numpy()
    except ValueError:  # nothing was held out
        return point, None
    return point, interval.reshape(len(series), horizon, 2)


def statsforecast_forecasts(path):
    """In an environment of its own: forecasts of all models, written beside the data."""
    import pandas as pd
    from statsforecast import StatsForecast
    from statsforecast.models import AutoETS, AutoTheta, DynamicOptimizedTheta

    given = json.loads(Path(path).read_text())
    parts = [
        pd.DataFrame({"unique_id": f"s{i:04d}", "ds": np.arange(len(values)), "y": values})
        for i, values in enumerate(given["series"])
    ]
    period = given["period"]
    models = [model(season_length=period) for model in (AutoETS, AutoTheta, DynamicOptimizedTheta)]
    fitted = StatsForecast(models=models, freq=1, n_jobs=1)
    found = fitted.forecast(df=pd.concat(parts), h=given["horizon"])
    found = found.sort_values(["unique_id", "ds"])
    forecasts = {str(model): found[str(model)].tolist() for model in models}
    forecasts["version"] = metadata.version("statsforecast")
    Path(path).write_text(json.dumps(forecasts))


def peer_forecasts(python, series, kind):
    period, _, _, horizon, _ = KINDS[kind]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "panel.json"
        values = [values.tolist() for values, _ in series]
        path.write_text(json.dumps({"series": values, "period": period, "horizon": horizon}))
        subprocess.run([python, __file__, "--write-peers", str(path)], check=True)
        found = json.loads(path.read_text())
    version = found.pop("version")
    forecasts = {name: np.reshape(v, (len(series), horizon)) for name, v in found.items()}
    return forecasts, version


# ------------------------------------------------------------------ the errors


def mase(series, forecasts, period):
    errors = []
    for (past, future), forecast in zip(series, forecasts, strict=True):
        scale = np.abs(past[period:] - past[:-period]).mean()
        errors.append(np.abs(future - forecast).mean() / scale)
    return float(np.mean(errors))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", help="interpreter of an environment with statsforecast")
    parser.add_argument("--write-peers", help=argparse.SUPPRESS)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--series", type=int, default=200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--set", type=json.loads, default={}, help="further parameters, as JSON")
    parser.add_argument("--strategies", nargs="+", default=["recursive", "multioutput"])
    results.add_argument(parser)
    given = parser.parse_args()
    if given.write_peers:
        statsforecast_forecasts(given.write_peers)
        return
    warnings.filterwarnings("ignore", category=UserWarning)
    rows, versions = [], {}
    for kind in given.kinds:
        period, _, _, horizon, _ = KINDS[kind]
        for seed in given.seeds:
            series = simulate(kind, given.series, seed)
            future = np.array([values for _, values in series])
            last = [np.repeat(values[-1], horizon) for values, _ in series]
            seasonal = [np.resize(values[-period:], horizon) for values, _ in series]
            errors = {"naive": mase(series, last, period)}
            errors["seasonal naive"] = mase(series, seasonal, period)
            reference = min(errors.values())
            if given.peer:
                peers, versions["statsforecast"] = peer_forecasts(given.peer, series, kind)
                errors |= {name: mase(series, found, period) for name, found in peers.items()}
                reference = float(np.mean([errors[name] for name in peers]))
            notes = {}
            for strategy in given.strategies:
                begin = time.perf_counter()
                point, interval = skrnn_forecasts(series, kind, {"strategy": strategy, **given.set})
                errors[strategy] = mase(series, point, period)
                seconds = time.perf_counter() - begin
                covered = np.nan
                if interval is not None:
                    inside = (interval[..., 0] <= future) & (future <= interval[..., 1])
                    covered = inside.mean()
                notes[strategy] = {"inside 90 %": covered, "seconds": seconds}
            print(f"{kind}, {given.series} series, seed {seed}", flush=True)
            for name, error in errors.items():
                row = {"kind": kind, "seed": seed, "method": name, "MASE": error}
                rows.append(row | {"relative": error / reference} | notes.get(name, {}))
                note = [f"{key}: {value:.3f}" for key, value in notes.get(name, {}).items()]
                shown = f"{error:.3f}  {error / reference:.3f}  {', '.join(note)}"
                print(f"  {name:24} {shown}", flush=True)
    results.write(given.json, rows, **versions)


if __name__ == "__main__":
    main()
