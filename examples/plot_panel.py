"""
One network for many series
===========================

One network learns from 40 short series together. Each series is scaled by its own statistics, and
forecast from its own end. Is it better than the last week on most of them?
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skrnn import GRUForecaster
from skrnn.plotting import plot_forecast

# %%
# Sales of 40 shops over 26 weeks: levels, trends and weekly patterns differ, with noise of 8 %.

rng = np.random.default_rng(0)
days = pd.date_range("2024-01-01", periods=26 * 7, freq="D", name="day")
shops = {}
for k in range(40):
    week = 1 + 0.4 * rng.random() * np.roll([-1, -0.6, -0.2, 0, 0.4, 1, 0.4], rng.integers(2))
    trend = 1 + rng.normal(0, 0.3) * np.linspace(0, 1, len(days)) ** 2
    noise = rng.lognormal(0, 0.08, len(days))
    shops[f"shop {k:02}"] = pd.Series(
        10 ** rng.uniform(1, 4) * week[days.dayofweek] * trend * noise, days
    )
sales = pd.concat(shops, names=["shop"]).to_frame("sales")
train, test = sales.groupby("shop").head(-14), sales.groupby("shop").tail(14)

# %%
# The result is a panel like the input. Errors are compared with those of the last week, repeated.

forecast = GRUForecaster(hidden_size=32, random_state=0).fit(train).predict(fh=range(1, 15))
last_week = pd.concat([train.groupby("shop").tail(7)] * 2).sort_index(level=0, kind="stable")
errors = pd.DataFrame(
    {
        "GRU": (forecast["sales"] - test["sales"]).abs().groupby("shop").mean(),
        "last week": np.abs(last_week["sales"].to_numpy() - test["sales"]).groupby("shop").mean(),
    }
)
better = (errors["GRU"] < errors["last week"]).mean()

figure, axes = plt.subplot_mosaic(
    [["all", "a"], ["all", "b"]], figsize=(11, 5), layout="constrained"
)
axes["all"].loglog(errors["last week"], errors["GRU"], "o", alpha=0.7)
axes["all"].plot(errors["last week"], errors["last week"], color="0.5", linewidth=1)
axes["all"].set(
    title=f"mean absolute error: the GRU is better on {better:.0%} of the shops",
    xlabel="last week, repeated",
    ylabel="GRU",
)
for name, shop in {"a": "shop 07", "b": "shop 31"}.items():
    plot_forecast(forecast, train, y_true=test, series=shop, n_history=28, ax=axes[name])
    axes[name].set(xlabel="")
    axes[name].tick_params(axis="x", rotation=20)
