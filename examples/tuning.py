"""Tune a forecaster with sktime's Optuna search and scikit-learn's grid search.

    python -m pip install "skrnn[tune,plot]"
    python examples/tuning.py

The data are the monthly airline passengers. The years 1959 and 1960 are held out from both
searches. Each setting is scored on the same three folds, the years 1956, 1957 and 1958. Each year
is forecast at once from all months before it. The held-out years are then forecast in the same way
by the best settings, the defaults and the values of the year before. The best score on the folds is
too optimistic, because it is the best of many. On 120 months another ``random_state`` changes the
score as much as another setting does.

It takes 40 seconds on two cores (Intel Xeon with AVX-512, torch 2.13).
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import matplotlib
import optuna
import pandas as pd
from compare_gru_lstm import save
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sktime.datasets import load_airline
from sktime.forecasting.model_selection import ForecastingOptunaSearchCV
from sktime.split import ExpandingWindowSplitter

from skrnn import SMAPE, RNNForecaster, backtest, evaluate, smape, smape_scorer
from skrnn.plotting import COLORS, plot_comparison

matplotlib.use("Agg")
import matplotlib.pyplot as plt

YEAR = 12  # months of a fold, and of a forecast
HELD_OUT = 2 * YEAR  # months
FOLDS = 3
CELLS = ["gru", "lstm", "rnn"]
SPACE = {
    "cell": CategoricalDistribution(CELLS),
    "hidden_size": IntDistribution(8, 128, log=True),
    "window_length": IntDistribution(24, 72, step=12),
    "lr": FloatDistribution(5e-4, 2e-2, log=True),
}
GRID = {"cell": CELLS, "hidden_size": [8, 32, 128], "window_length": [24, 48]}


def main() -> None:
    args = parse_arguments()
    y = load_airline()
    train = y[:-HELD_OUT]
    default = RNNForecaster(num_epochs=args.num_epochs, random_state=0)

    searches = {
        "Optuna": search_with_optuna(default, train, args.trials),
        "grid": search_on_a_grid(default, train),
    }
    tried = {name: scores_of(search) for name, search in searches.items()}
    for name, search in searches.items():
        best = ", ".join(f"{k}={text_of(v)}" for k, v in sorted(search.best_params_.items()))
        print(f"{name}, the best of {len(tried[name])}: {best}")

    # The winners were refitted to all of the training years.
    winners = [searches["Optuna"].best_forecaster_, searches["grid"].best_estimator_]
    fitted = dict(zip(["default", *searches], [default.clone().fit(train), *winners], strict=True))
    ahead = {"fh": range(1, YEAR + 1), "start": len(train) - 1, "step_length": YEAR}
    tables = {name: backtest(forecaster, y, **ahead) for name, forecaster in fitted.items()}
    year_before = pd.DataFrame({"y_true": y, "y_pred": y.shift(YEAR)})
    tables["seasonal naive"] = year_before[-HELD_OUT:]

    on_folds = {"default": score_on_folds(default, train)}
    on_folds |= {name: settings["smape"].min() for name, settings in tried.items()}
    on_folds["seasonal naive"] = smape_of(year_before[: len(train)][-FOLDS * YEAR :])
    held_out = {name: smape_of(table) for name, table in tables.items()}
    scores = pd.DataFrame({"folds": on_folds, "held out": held_out})
    print(f"\nsMAPE in percent\n{scores.to_string(float_format='{:.2f}'.format)}")
    save(plot(tables, tried, on_folds["default"]), args.figure)


# ------------------------------------------------------------------------- the searches


def folds(train: pd.Series) -> ExpandingWindowSplitter:
    """The splits of TimeSeriesSplit(FOLDS, test_size=YEAR), for sktime."""
    first = len(train) - FOLDS * YEAR
    return ExpandingWindowSplitter(range(1, YEAR + 1), initial_window=first, step_length=YEAR)


def search_with_optuna(
    forecaster: RNNForecaster, train: pd.Series, n_trials: int
) -> ForecastingOptunaSearchCV:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        # sktime warns that the class is new, and that sktime 1.3 changes a default.
        warnings.filterwarnings("ignore", "ForecastingOptunaSearchCV is experimental")
        warnings.filterwarnings("ignore", "The default of config ``remember_data``")
        search = ForecastingOptunaSearchCV(
            forecaster,
            folds(train),
            SPACE,
            scoring=SMAPE(),
            n_evals=n_trials,
            sampler=optuna.samplers.TPESampler(seed=0),
            error_score="raise",
        )
        return search.fit(train)


def search_on_a_grid(forecaster: RNNForecaster, train: pd.Series) -> GridSearchCV:
    cv = TimeSeriesSplit(FOLDS, test_size=YEAR)
    search = GridSearchCV(forecaster, GRID, cv=cv, scoring=smape_scorer, error_score="raise")
    return search.fit(train)


def scores_of(search: ForecastingOptunaSearchCV | GridSearchCV) -> pd.DataFrame:
    """A row for each setting, in the order of the search, with its mean sMAPE over the folds."""
    results = pd.DataFrame(search.cv_results_)
    settings = pd.DataFrame(results["params"].tolist())
    if isinstance(search, GridSearchCV):
        return settings.assign(smape=-results["mean_test_score"])  # scorers return the negative
    return settings.assign(smape=results["mean_test_SMAPE"])


def score_on_folds(forecaster: RNNForecaster, train: pd.Series) -> float:
    scores = evaluate(forecaster, folds(train), train, strategy="refit", scoring=SMAPE())
    return scores["test_SMAPE"].mean()


def smape_of(table: pd.DataFrame) -> float:
    return smape(table["y_true"], table["y_pred"])


# ------------------------------------------------------------------------------- output


def text_of(value: object) -> str:
    return f"{value:.2g}" if isinstance(value, float) else str(value)


def plot(
    tables: dict[str, pd.DataFrame], tried: dict[str, pd.DataFrame], default: float
) -> plt.Figure:
    """Forecasts of the held-out years; below, the scores of each search on the folds."""
    figure, axes = plt.subplot_mosaic(
        [["held out", "held out"], ["Optuna", "grid"]], figsize=(12, 8.5), layout="constrained"
    )
    ax = plot_comparison(tables, window=None, ax=axes["held out"])
    ax.set(title="Held out: a year at a time", xlabel="", ylabel="passengers in thousands")
    ax.legend(loc="upper left", ncols=2, fontsize="small")

    trials, grid = tried["Optuna"], tried["grid"]
    for cell, color in zip(CELLS, COLORS, strict=False):
        scores = trials.loc[trials["cell"] == cell, "smape"]
        axes["Optuna"].plot(scores.index + 1, scores, "o", color=color, label=cell)
        for window, style in zip(GRID["window_length"], ["o-", "s--"], strict=True):
            part = grid[(grid["cell"] == cell) & (grid["window_length"] == window)]
            label = f"{cell}, window of {window}"
            axes["grid"].plot(part["hidden_size"], part["smape"], style, color=color, label=label)
    best = trials["smape"].cummin()
    axes["Optuna"].step(best.index + 1, best, color="0.5", where="post", label="best so far")
    axes["Optuna"].set(title="Optuna", xlabel="trial", ylabel="sMAPE over the folds, in percent")
    axes["grid"].set_xscale("log", base=2)
    axes["grid"].set_xticks(GRID["hidden_size"], [str(size) for size in GRID["hidden_size"]])
    axes["grid"].set(title="Grid", xlabel="hidden_size")
    axes["grid"].sharey(axes["Optuna"])
    for name in tried:
        axes[name].axhline(default, color="black", linestyle=":", label="default")
        axes[name].margins(y=0.1)
        axes[name].legend(fontsize="small", ncols=2)
    return figure


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=60, help="settings that Optuna tries")
    parser.add_argument(
        "--num-epochs",
        type=lambda text: text if text == "auto" else int(text),
        default="auto",
        help="passes over the training data of each fit",
    )
    parser.add_argument("--figure", type=Path, default=Path("tuning.png"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
