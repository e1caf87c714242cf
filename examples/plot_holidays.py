"""
Holidays
========

On a holiday, offices use less electricity. A forecaster that reads the weekday only expects a
working day. With ``holidays="US"`` it knows the days off and the days around them.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from holidays import country_holidays

from skrnn import GRUForecaster, backtest

# %%
# Eight years of daily load with the holidays of the United States.

rng = np.random.default_rng(0)
days = pd.date_range("2016-01-01", "2023-12-31", freq="D")
off = pd.Series(
    days.isin(pd.to_datetime(list(country_holidays("US", years=range(2016, 2024))))), days
)
season = 1 + 0.15 * np.cos(2 * np.pi * days.dayofyear / 365.25) ** 2
working = (days.dayofweek < 5) & ~off
load = pd.Series(season * np.where(working, 1000, 800) * rng.lognormal(0, 0.02, len(days)), days)

# %%
# The default criterion counts absolute errors, for which ten days a year matter little. Squared
# errors count them more.

n_train = int((days < "2022-01-01").sum())
tables = {}
for name, holidays in {"without": None, 'with holidays="US"': "US"}.items():
    forecaster = GRUForecaster(holidays=holidays, criterion="mse", hidden_size=32, random_state=0)
    forecaster.fit(load[:n_train])
    tables[name] = backtest(forecaster, load, fh=[1], start=n_train - 1).droplevel("cutoff")

figure, (left, right) = plt.subplots(
    1, 2, figsize=(11, 4), layout="constrained", width_ratios=[3, 2]
)
shown = slice("2022-11-10", "2023-01-10")
for name, table in tables.items():
    left.plot(table.loc[shown, "y_pred"], label=name)
left.plot(load[shown], color="black", linewidth=1, label="actual")
left.plot(load[shown][off[shown]], "o", color="black", markersize=4, label="holiday")
left.set(title="load, forecast the day before", ylabel="MW")
left.tick_params(axis="x", rotation=30)
left.legend(fontsize="small", ncols=2, loc="upper center")
left.margins(y=0.3)

errors = pd.DataFrame({name: (t["y_pred"] - t["y_true"]).abs() for name, t in tables.items()})
after = off.shift(1, fill_value=False) & ~off
kind = np.select([off[errors.index], after[errors.index]], ["holiday", "day after"], "other")
errors.groupby(kind).mean().loc[["holiday", "day after", "other"]].plot.bar(ax=right, rot=0)
right.set(title="mean absolute error", ylabel="MW")
