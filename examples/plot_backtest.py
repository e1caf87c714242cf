"""
Recursive or multioutput?
=========================

The recursive strategy forecasts step by step, the multioutput strategy all steps at once. Which is
better depends on the data, so measure it: `backtest` forecasts from hundreds of cutoffs in one
batched pass, without training again.
"""

import os

import matplotlib.pyplot as plt
import pandas as pd

from skrnn import GRUForecaster, backtest
from skrnn.datasets import fetch_pjm_load, make_hourly_load

n_hours, n_train = 2400, 1800
if os.environ.get("SKRNN_DATA"):
    load = fetch_pjm_load("DAYTON").loc["DAYTON"].asfreq("h")["load_mw"].tail(n_hours)
else:
    load = make_hourly_load(1, n_hours, random_state=1).loc["region_00"].asfreq("h")["load_mw"]

# %%
# Forecast 24 hours from every third hour of the test range.

fh = range(1, 25)
tables = {}
for strategy in ("recursive", "multioutput"):
    forecaster = GRUForecaster(strategy, hidden_size=32, random_state=0).fit(load[:n_train], fh=fh)
    tables[strategy] = backtest(forecaster, load, fh=fh, start=n_train - 1, step_length=3)
table = tables["recursive"]
for name, hours in {"a day before": 24, "a week before": 168}.items():
    past = load.shift(hours)[table.index.get_level_values("time")].to_numpy()
    tables[name] = table.assign(y_pred=past)

# %%
# A table has a row for each cutoff and each time, so errors can be grouped by either.

cutoff, time = (pd.DatetimeIndex(table.index.get_level_values(level)) for level in range(2))
ahead = (time - cutoff) // pd.Timedelta(hours=1)
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained", sharey=True)
for (name, one), style in zip(tables.items(), ["-", "--", ":", ":"], strict=True):
    error = 100 * (one["y_pred"] - one["y_true"]).abs() / one["y_true"]
    left.plot(error.groupby(ahead).mean(), style, label=name)
    right.plot(error.groupby(time.hour).mean(), style, label=name)
left.set(
    title="by hours ahead",
    xlabel="hours ahead",
    ylabel="mean absolute error in percent",
    ylim=(0, None),
)
right.set(title="by hour of the day", xlabel="hour of the day")
left.legend()
