"""
The mean of several forecasters
===============================

Both strategies, each on the passengers and on their logarithms: which will be best, nobody knows
beforehand. Their mean is safer than a guess, since errors of opposite signs cancel.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sktime.datasets import load_airline

from skrnn import GRUForecaster, smape
from skrnn.plotting import plot_forecast

y = load_airline()
train, test = y[:-36], y[-36:]
fh = range(1, 37)

# %%
# A forecast of logarithms is brought back by the exponential.

forecasts = {}
for strategy in ("recursive", "multioutput"):
    forecaster = GRUForecaster(strategy, hidden_size=32, random_state=0)
    forecasts[strategy] = forecaster.fit(train, fh=fh).predict(fh=fh)
    forecasts[f"{strategy}, log"] = np.exp(forecaster.fit(np.log(train), fh=fh).predict(fh=fh))
members = list(forecasts)
forecasts["mean of the four"] = pd.DataFrame(forecasts).mean(axis=1)

# %%
# To have the mean as one forecaster, which can be updated and searched over, use sktime's
# `EnsembleForecaster`.

figure, (left, right) = plt.subplots(
    1, 2, figsize=(11, 4), layout="constrained", width_ratios=[3, 2]
)
plot_forecast(forecasts["mean of the four"], train, y_true=test, n_history=36, ax=left)
for name in members:
    left.plot(test.index.to_timestamp(), forecasts[name], color="0.7", linewidth=0.8, zorder=0)
left.set(title="the members (grey) and their mean", xlabel="", ylabel="passengers in thousands")
errors = {name: smape(test, forecast) for name, forecast in forecasts.items()}
bars = right.barh(list(errors), list(errors.values()), color=["0.7"] * len(members) + ["C0"])
right.bar_label(bars, fmt="%.1f", padding=2)
right.invert_yaxis()
right.margins(x=0.1)
guess = sum(errors[name] for name in members) / len(members)
right.axvline(guess, color="black", linestyle=":")
right.set(title="sMAPE in percent", xlabel="dotted: the mean of the four errors")
