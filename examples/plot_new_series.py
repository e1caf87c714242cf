"""
A new series with little history
================================

A new region has two weeks of hourly load. A network of its own has little to learn from. One that
was pretrained on other regions forecasts it without training (zero-shot), or after a few epochs.
"""

import os

import matplotlib.pyplot as plt
import pandas as pd

from skrnn import GRUForecaster, backtest
from skrnn.datasets import fetch_pjm_load, make_hourly_load

if os.environ.get("SKRNN_DATA"):
    load = fetch_pjm_load(["AEP", "COMED", "DEOK", "DOM", "FE", "PJMW", "DAYTON"])[["load_mw"]]
    load = load.groupby("region").tail(1500)
else:
    load = make_hourly_load(7, 1500, random_state=0)
*others, new = load.index.unique("region")
pretrained = GRUForecaster(num_epochs=5, hidden_size=32, random_state=0).pretrain(load.loc[others])
y = load.loc[new].asfreq("h")["load_mw"]

# %%
# How much history does a network of its own need? Each forecaster sees the last hours before the
# same two weeks, which are forecast a day ahead from every fifth hour.

n_test = 14 * 24
lengths = {"2 weeks": 14 * 24, "6 weeks": 42 * 24}
errors = {}
for label, n in lengths.items():
    known = y[-n_test - n : -n_test]
    # A clone keeps the pretrained weights.
    fitted = {
        "own network": GRUForecaster(hidden_size=32, random_state=0).fit(known),
        "pretrained, zero-shot": pretrained.clone().set_params(num_epochs=0).fit(known),
        "pretrained, 5 epochs": pretrained.clone().fit(known),
    }
    for name, forecaster in fitted.items():
        table = backtest(forecaster, y[-n_test - n :], fh=range(1, 25), start=n - 1, step_length=5)
        error = (table["y_pred"] - table["y_true"]).abs() / table["y_true"]
        errors[label, name] = 100 * error.mean()

# %%
# The mean absolute error in percent of the load:

errors = pd.Series(errors).unstack()[list(fitted)].loc[list(lengths)]
figure, ax = plt.subplots(figsize=(9, 4), layout="constrained")
errors.plot.bar(ax=ax, rot=0, width=0.75)
for bars in ax.containers:
    ax.bar_label(bars, fmt="%.1f", fontsize=8)
ax.set(title=f"error a day ahead in {new}, in percent", xlabel="history of the new region")
ax.legend(loc="lower center", ncols=3, bbox_to_anchor=(0.5, -0.32), frameon=False)
