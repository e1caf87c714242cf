"""
Intervals that follow a change
==============================

After training, the noise of a series becomes three times as large.
``update(update_params=False)`` trains nothing, but the intervals adapt: each value outside moves
them.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skrnn import GRUForecaster, backtest

rng = np.random.default_rng(0)
days = pd.date_range("2021-01-01", periods=1400, freq="D")
n_train, change = 700, 900
noise = rng.normal(0, np.where(np.arange(1400) < change, 5, 15))
y = pd.Series(100 + 10 * np.sin(2 * np.pi * days.dayofweek / 7) + noise, days)

# %%
# In a backtest, each forecast knows all values up to its cutoff, as after an update.

forecaster = GRUForecaster(hidden_size=16, random_state=0).fit(y[:n_train])
table = backtest(forecaster, y, fh=[1], start=n_train - 1, alpha=[0.05, 0.95]).droplevel("cutoff")
inside = table["y_true"].between(table["y_pred_0.05"], table["y_pred_0.95"])

figure, (top, bottom) = plt.subplots(
    2, figsize=(10, 5.5), sharex=True, layout="constrained", height_ratios=[2, 1]
)
top.plot(table["y_true"], ".", color="black", markersize=2, label="actual")
top.fill_between(
    table.index,
    table["y_pred_0.05"],
    table["y_pred_0.95"],
    alpha=0.35,
    linewidth=0,
    label="90 % interval",
)
top.set(title="one day ahead")
top.legend(loc="upper left", ncols=2)
bottom.plot(inside.rolling(60).mean(), label="share inside, 60 days")
bottom.axhline(0.9, color="black", linestyle=":")
bottom.set(ylim=(0.4, 1.02))
bottom.legend(loc="lower left")
for ax in (top, bottom):
    ax.axvline(days[change], color="0.6", linewidth=1)
