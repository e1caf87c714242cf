"""
Do intervals a day ahead hold?
==============================

Quantiles of the next 24 hours are forecast at once. A backtest from many cutoffs checks them: for
every level, what share of the hours lay below the quantile?
"""

import os

import matplotlib.pyplot as plt

from skrnn import GRUForecaster, backtest
from skrnn.datasets import fetch_pjm_load, make_hourly_load
from skrnn.plotting import plot_forecast

n_hours, n_train = 5000, 4000
if os.environ.get("SKRNN_DATA"):
    load = fetch_pjm_load("AEP").loc["AEP"].asfreq("h")["load_mw"].tail(n_hours)
else:
    load = make_hourly_load(1, n_hours, random_state=0).loc["region_00"].asfreq("h")["load_mw"]

# %%
# Train on the first 4,000 hours, then forecast from every seventh hour of the rest.

levels = [0.05, 0.25, 0.5, 0.75, 0.95]
forecaster = GRUForecaster(
    strategy="multioutput", criterion="quantile", quantiles=levels, hidden_size=32, random_state=0
)
forecaster.fit(load[:n_train], fh=range(1, 25))
table = backtest(forecaster, load, fh=range(1, 25), start=n_train - 1, step_length=7, alpha=levels)
table.head(3).round()

# %%
# The share of hours below each quantile should be its level, for near and for far hours.

ahead = (
    table.index.get_level_values("time") - table.index.get_level_values("cutoff")
).total_seconds()
ahead = (ahead // 3600).astype(int)
below = table.filter(like="y_pred_").ge(table["y_true"], axis=0).groupby(ahead).mean()

figure, (left, right) = plt.subplots(
    1, 2, figsize=(11, 4), layout="constrained", width_ratios=[3, 2]
)
plot_forecast(
    forecaster.predict(),
    load[:n_train],
    y_true=load,
    intervals=forecaster.predict_interval(coverage=[0.5, 0.9]),
    n_history=72,
    ax=left,
)
left.legend(loc="lower left", ncols=2, fontsize="small")
left.margins(y=0.2)
left.set(title="the first day after training", xlabel="", ylabel="load in MW")
left.tick_params(axis="x", rotation=30)
for level, column in zip(levels, below, strict=True):
    right.axhline(level, color="0.8", zorder=0)
    right.plot(below.index, below[column], ".-")
right.set(
    title="share of hours below the quantile", xlabel="hours ahead", ylim=(0, 1), yticks=levels
)
right.set_ylabel("level (grey) and share")
