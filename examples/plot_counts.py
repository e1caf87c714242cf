"""
Rare demand: distributions of counts
====================================

A spare part is sold once or twice a day, and often not at all. The mean says little about the
stock that is needed; quantiles of a distribution of counts do.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skrnn import GRUForecaster, backtest

# %%
# Three years of daily sales of a part: more in winter and at weekends.

rng = np.random.default_rng(0)
days = pd.date_range("2021-01-04", periods=3 * 364, freq="D")
winter = 1 + 0.6 * np.cos(2 * np.pi * days.dayofyear / 365.25)
mean = winter * np.where(days.dayofweek >= 5, 2.0, 0.8)
sold = pd.Series(rng.negative_binomial(1.5, 1.5 / (1.5 + mean)), index=days)

# %%
# ``criterion="negbinomial"`` forecasts a mean and a dispersion. Its quantiles are whole numbers.

levels = [0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
n_train = 2 * 364
forecaster = GRUForecaster(criterion="negbinomial", hidden_size=32, random_state=0)
forecaster.fit(sold[:n_train])
table = backtest(forecaster, sold, fh=[1], start=n_train - 1, alpha=levels).droplevel("cutoff")

# %%
# A stock at the quantile serves at least as many days as its level says: quantiles are whole
# numbers, so the share may be larger.

figure, (left, right) = plt.subplots(
    1, 2, figsize=(11, 4), layout="constrained", width_ratios=[3, 2]
)
shown = table["2023-01-09":"2023-02-26"]
left.bar(shown.index, shown["y_true"], color="0.7", label="sold")
left.step(shown.index, shown["y_pred"], where="mid", label="mean")
left.step(shown.index, shown["y_pred_0.9"], where="mid", label="0.9 quantile")
left.set(title="sales, forecast the day before", ylabel="parts a day")
left.tick_params(axis="x", rotation=30)
left.legend(ncols=3)
left.margins(y=0.15)

served = [(table["y_true"] <= table[f"y_pred_{level:g}"]).mean() for level in levels]
right.plot([0.4, 1], [0.4, 1], color="0.6", linewidth=1)
right.plot(levels, served, "o-")
right.set(title="days served", xlabel="level of the quantile", ylabel="share of days")
