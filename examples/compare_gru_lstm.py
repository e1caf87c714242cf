"""GRU against LSTM on the PJM hourly load: train both, compare their errors, plot the forecasts.

    python -m pip install "skrnn[all]"
    python examples/compare_gru_lstm.py                      # protocol "next-hour"
    python examples/compare_gru_lstm.py --protocol tutorial  # use a GPU

The data are read from the folder in SKRNN_DATA or downloaded. The next-hour protocol holds out the
last tenth of each region. Neither training nor scaling uses it. Each of its hours is then forecast
from all hours before it. The tutorial protocol repeats the set-up of the tutorial from which this
package grew, including its data leaks.

On two cores (Intel Xeon, torch 2.13) the next-hour protocol takes four minutes, and the tutorial
protocol would take many hours.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import matplotlib
import pandas as pd
import torch

from skrnn import GRUForecaster, LSTMForecaster, backtest, smape
from skrnn.callbacks import Callback, StopAfter
from skrnn.datasets import fetch_pjm_load, make_hourly_load
from skrnn.plotting import plot_comparison, plot_history

sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))
import results

matplotlib.use("Agg")
import matplotlib.pyplot as plt

FORECASTERS = {"GRU": GRUForecaster, "LSTM": LSTMForecaster}
LOOK_BACK = 90  # hours of a window in the tutorial; the size of the test range depends on it, too
# Seconds of training on the tutorial's cloud GPU, and its "sMAPE" as published, in percent.
PUBLISHED = {"GRU": (390.5, 0.2808), "LSTM": (462.7, 0.2701)}
PANELS = 4  # regions in the figure
HOURS_SHOWN = 100  # in each panel
FIRST_CUTOFF = 0.89  # share of a region's rows, a little before its test range begins


def main() -> None:
    args = parse_arguments()
    if args.protocol == "tutorial":
        compare_as_the_tutorial(args)
    else:
        compare_next_hour(args)


# ------------------------------------------------------------------ protocol "next-hour"


def compare_next_hour(args: argparse.Namespace) -> None:
    load = load_or_simulate(regular=True, add_observed=True)
    y, observed = load[["load_mw"]], load["observed"]
    test = is_test(y)

    fitted, forecasts, rows = {}, naive_forecasts(y), {}
    for name, make in FORECASTERS.items():
        forecaster = make(
            device=args.device, random_state=0, verbose=True, callbacks=limit(args.max_steps)
        )
        forecaster.fit(y[~test])
        table = backtest(forecaster, y, start=FIRST_CUTOFF).droplevel("cutoff")
        forecasts[name] = table["y_pred"]
        fitted[name] = forecaster
        rows[name] = training_row(forecaster)

    # Only observed hours are scored, not those that were filled in.
    scored = y.loc[test & observed, "load_mw"]
    errors = pd.DataFrame(
        {name: by_region(scored, forecast) for name, forecast in forecasts.items()}
    )
    print_table("Next-hour sMAPE in percent", errors, rows)
    results.write(args.json, rows_of(errors, rows))
    print(
        "\nThe tutorial's published 'sMAPE' on the PJM data is 0.2808 % (GRU, 390.5 s on a GPU)\n"
        "and 0.2701 % (LSTM, 462.7 s). Its formula gives a quarter of the usual sMAPE, so these\n"
        "are 1.123 % and 1.081 % in the table's unit."
    )
    figure = plot(scored, forecasts, fitted, "next hour")
    save(figure, args.figure)


def is_test(y: pd.DataFrame) -> pd.Series:
    """Whether a row is one of its region's last int(0.1 * (rows - 90))."""
    region = y.groupby(level=0)["load_mw"]
    rows = region.transform("size")
    return region.cumcount() >= rows - (0.1 * (rows - LOOK_BACK)).astype(int)


def naive_forecasts(y: pd.DataFrame) -> dict[str, pd.Series]:
    """The value one hour, one day and one week before."""
    region = y.groupby(level=0)["load_mw"]
    lags = {"naive": 1, "naive 24 h": 24, "naive 168 h": 168}
    return {name: region.shift(lag) for name, lag in lags.items()}


def by_region(observed: pd.Series, forecast: pd.Series) -> pd.Series:
    """sMAPE of each region, in percent."""
    forecast = forecast.reindex(observed.index)
    regions = observed.index.get_level_values(0).unique()
    return pd.Series({r: smape(observed.loc[r], forecast.loc[r]) for r in regions})


# ------------------------------------------------------------------- protocol "tutorial"


def compare_as_the_tutorial(args: argparse.Namespace) -> None:
    load = load_or_simulate(regular=False)
    y, X, scale = tutorial_panel(load)
    train = ~is_test(y)
    windows = int((train.groupby(level=0).sum() - LOOK_BACK).sum())
    print(f"{windows:,} training windows of {LOOK_BACK} hours")

    fitted, forecasts, rows = {}, {}, {}
    for name, make in FORECASTERS.items():
        forecaster = make(
            **TUTORIAL,
            device=args.device,
            random_state=0,
            verbose=True,
            callbacks=[CarriedState(), *limit(args.max_steps)],
        )
        forecaster.fit(y[train], X[train])
        # Each file is forecast on its own, from a zero state, and scaled back to megawatts.
        tables = [
            backtest(forecaster, y.loc[[r]], X.loc[[r]], start=int(train.loc[r].sum()) - 1)
            for r in scale.index
        ]
        scaled = pd.concat(tables).droplevel("cutoff")["y_pred"]
        region = scaled.index.get_level_values(0)
        low, span = (scale[column].reindex(region).to_numpy() for column in ("low", "span"))
        forecasts[name] = scaled * span + low
        fitted[name] = forecaster
        rows[name] = training_row(forecaster)

    scored = pd.Series(load["load_mw"].to_numpy(), index=y.index)[~train]
    errors = pd.DataFrame(
        {name: by_region(scored, forecast) for name, forecast in forecasts.items()}
    )
    print_table("Next-hour sMAPE in percent, the tutorial's set-up", errors, rows)
    results.write(args.json, rows_of(errors, rows))
    print("\nThe tutorial's own figure, the mean over regions of mean(|f - y| / (f + y) / 2):")
    for name in forecasts:
        quarter = errors[name].mean() / 4
        seconds, published = PUBLISHED[name]
        print(
            f"  {name:4s} {quarter:.4f} % after {rows[name]['seconds']} s of training; published: "
            f"{published} % after {seconds} s"
        )
    figure = plot(scored, forecasts, fitted, "the tutorial's set-up")
    save(figure, args.figure)


TUTORIAL = {
    "window_length": LOOK_BACK,
    "hidden_size": 256,
    "num_layers": 2,
    "dropout": 0.2,
    "sp": None,
    "lags": None,
    "calendar": None,
    "scaler": None,
    "naive": None,
    "criterion": "mse",
    "optimizer": "adam",
    "lr": 1e-3,
    "lr_scheduler": None,
    "num_epochs": 5,
    "batch_size": 1024,
    "max_grad_norm": None,
    "supervision": "last",
    "precision": "tf32",  # torch's own default for recurrent layers, on GPUs that have it
}


def tutorial_panel(load: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Scaled load, the calendar channels as X, and each region's minimum and range in MW.

    The index is a row number, because the tutorial keeps duplicated and missing hours. The
    tutorial's inputs for the forecast of row t end with the calendar of row t - 1, so X is shifted
    by one row.
    """
    region = load.index.get_level_values(0)
    time = pd.DatetimeIndex(load.index.get_level_values(1))
    number = load.groupby(level=0).cumcount()
    index = pd.MultiIndex.from_arrays([region, number], names=["region", "row"])
    channels = pd.DataFrame(
        {
            "load_mw": load["load_mw"].to_numpy(),
            "hour": time.hour,
            "dayofweek": time.dayofweek,
            "month": time.month,
            "dayofyear": time.dayofyear,
        },
        index=index,
        dtype=float,
    )
    groups = channels.groupby(level=0, sort=False)
    low, high = groups.min(), groups.max()  # over the whole file, including the test range
    scaled = (channels - groups.transform("min")) / (high - low).reindex(region).to_numpy()
    X = scaled.drop(columns="load_mw").groupby(level=0).shift(1).bfill()
    scale = pd.DataFrame({"low": low["load_mw"], "span": (high - low)["load_mw"]})
    return scaled[["load_mw"]], X, scale


class CarriedState(Callback):
    """Start each batch from the last recurrent state of the batch before, as the tutorial does.

    The batches are shuffled, so that state belongs to other windows. Each epoch starts from zero.
    """

    def on_train_begin(self, training, num_epochs):
        recurrent = training.network.recurrent
        self.hooks = [
            recurrent.register_forward_pre_hook(self.pass_state),
            recurrent.register_forward_hook(self.keep_state),
        ]

    def on_epoch_begin(self, training):
        self.state = None

    def pass_state(self, module, args):
        return (args[0], self.state)

    def keep_state(self, module, args, output):
        self.state = detached(output[1])

    def on_train_end(self, training):
        for hook in self.hooks:
            hook.remove()


def detached(state):
    """The state of each layer, and of an LSTM's layer both its parts, without their gradients."""
    return tuple(map(detached, state)) if isinstance(state, tuple) else state.detach()


# ----------------------------------------------------------------------- data and output


def load_or_simulate(**options) -> pd.DataFrame:
    """The PJM data from SKRNN_DATA, the cache or a download; otherwise simulated load."""
    try:
        return fetch_pjm_load(**options)
    except (ImportError, OSError) as error:
        print(f"{error}\nSimulated load is used instead: the numbers below are not PJM's.\n")
        return make_hourly_load(random_state=0).assign(observed=True)


def limit(max_steps: int | None) -> list[Callback]:
    return [] if max_steps is None else [StopAfter(max_steps)]


def training_row(forecaster) -> dict[str, str]:
    history = forecaster.history_
    parameters = sum(p.numel() for p in forecaster.network_.parameters())
    return {
        "parameters": f"{parameters:,}",
        "seconds": f"{history['seconds'].sum():.1f}",
        "seconds an epoch": f"{history['seconds'].mean():.2f}",
    }


def print_table(title: str, errors: pd.DataFrame, training: dict[str, dict[str, str]]) -> None:
    table = errors.map("{:.3f}".format)
    table.loc["mean"] = errors.mean().map("{:.3f}".format)
    facts = pd.DataFrame(training).reindex(columns=table.columns).fillna("-")
    print(f"\n{title}\n{pd.concat([facts, table]).to_string()}")


def rows_of(errors: pd.DataFrame, training: dict[str, dict[str, str]]) -> list[dict]:
    """A row for each cell, for each region, and for the mean of the regions."""
    rows = [
        {"part": "training", "cell": cell}
        | {fact: float(value.replace(",", "")) for fact, value in facts.items()}
        for cell, facts in training.items()
    ]
    table = errors.copy()
    table.loc["mean"] = errors.mean()
    table = table.rename_axis("region").reset_index()
    return rows + table.assign(part="errors").to_dict("records")


def plot(
    observed: pd.Series, forecasts: dict[str, pd.Series], fitted: dict, title: str
) -> plt.Figure:
    """Four panels of predicted against actual load, and the loss curves."""
    figure, axes = plt.subplot_mosaic(
        [[0, 1], [2, 3], ["loss", "loss"]], figsize=(12, 10), layout="constrained"
    )
    figure.suptitle(f"GRU and LSTM, {title}")
    tables = {
        name: pd.DataFrame({"y_true": observed, "y_pred": forecasts[name].reindex(observed.index)})
        for name in fitted
    }
    regions = observed.index.get_level_values(0).unique()
    for k, region in enumerate(regions[:: max(1, len(regions) // PANELS)][:PANELS]):
        plot_comparison(tables, series=region, window=HOURS_SHOWN, ax=axes[k])
        axes[k].set_ylabel("load in MW")
        axes[k].margins(y=0.15)
        axes[k].legend(loc="upper center", ncols=3, fontsize="small")
    plot_history(fitted, ax=axes["loss"]).set(ylabel="training loss (scaled)", title="Training")
    return figure


def save(figure: plt.Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    print(f"\nFigure saved as {path}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--protocol", choices=["next-hour", "tutorial"], default="next-hour")
    parser.add_argument("--device", default="auto", help="'auto', 'cpu', 'cuda', ...")
    parser.add_argument("--max-steps", type=int, help="most optimiser steps of each forecaster")
    parser.add_argument("--figure", type=Path, default=Path("compare_gru_lstm.png"))
    results.add_argument(parser)
    return parser.parse_args()


if __name__ == "__main__":
    torch.set_float32_matmul_precision("high")  # allows TF32 on GPUs
    main()
