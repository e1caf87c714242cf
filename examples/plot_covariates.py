"""
What a known future is worth
============================

Promotions are planned weeks ahead, so they are known when sales are forecast. Pass them as X. The
same network without X knows the weekday only.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skrnn import GRUForecaster, backtest, smape

# %%
# Three years of daily sales. One week in four has a promotion that starts on a Thursday and raises
# sales by 60 %, less at its end.

rng = np.random.default_rng(1)
days = pd.date_range("2022-01-01", periods=3 * 365, freq="D")
starts = days[(days.dayofweek == 3) & (rng.random(len(days)) < 1 / 4)]
day_of_promotion = pd.Series(0, days)
for start in starts:
    day_of_promotion[start : start + pd.Timedelta(days=4)] = range(
        1, len(day_of_promotion[start:][:5]) + 1
    )
effect = day_of_promotion.map({0: 1, 1: 1.6, 2: 1.5, 3: 1.4, 4: 1.3, 5: 1.2})
week = np.array([0.9, 0.85, 0.9, 1.0, 1.2, 1.4, 0.75])
sales = pd.Series(200 * week[days.dayofweek] * effect * rng.lognormal(0, 0.05, len(days)), days)

# %%
# A column of text is categorical: the network learns a vector for each of its values.
# Squared errors weigh rare, strong effects more than the default does.

X = pd.DataFrame({"promotion": "day " + day_of_promotion.astype(str)}, index=days)
n_train = 2 * 365
tables = {}
for name, x in {"without X": None, "with X": X}.items():
    known = None if x is None else x[:n_train]
    forecaster = GRUForecaster(criterion="mse", hidden_size=32, random_state=0).fit(
        sales[:n_train], known
    )
    tables[name] = backtest(forecaster, sales, X=x, fh=[7], start=n_train - 1)

figure, ax = plt.subplots(figsize=(10, 4), layout="constrained")
shown = slice("2024-09-01", "2024-12-15")
for name, table in tables.items():
    one = table.droplevel("cutoff").loc[shown]
    ax.plot(one["y_pred"], label=f"{name}, sMAPE {smape(table['y_true'], table['y_pred']):.1f} %")
ax.plot(one["y_true"], color="black", linewidth=1, label="actual")
for start in starts[(starts >= shown.start) & (starts <= shown.stop)]:
    ax.axvspan(start, start + pd.Timedelta(days=4), color="gold", alpha=0.2, linewidth=0)
ax.set(title="sales, forecast a week before; promotions in yellow", ylabel="units")
ax.legend(loc="upper left", ncols=3, fontsize="small")
ax.margins(x=0.01, y=0.25)
