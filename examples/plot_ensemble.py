"""
The mean of a few seeds
=======================

Trainings from other initial weights differ. The error of their mean is at most the mean of their
errors, and usually smaller. sktime's `EnsembleForecaster` makes it.
"""

import matplotlib.pyplot as plt
import numpy as np
from sktime.datasets import load_lynx
from sktime.forecasting.compose import EnsembleForecaster

from skrnn import GRUForecaster
from skrnn.plotting import plot_forecast

# %%
# Lynx trapped in Canada, with a cycle of nine to ten years that no calendar knows. Numbers of
# animals grow and shrink by factors, so their logarithm is forecast.

y = np.log10(load_lynx()).rename("lynx")
train, test = y[:-20], y[-20:]
seeds = [
    (f"seed {k}", GRUForecaster(hidden_size=32, num_epochs=40, random_state=k)) for k in range(6)
]
ensemble = EnsembleForecaster(seeds).fit(train)
mean = ensemble.predict(fh=range(1, 21))
members = {name: fitted.predict(fh=range(1, 21)) for name, fitted in ensemble.forecasters_}

# %%
# The result is a forecaster like any other: it can be updated, searched over and evaluated.

figure, (left, right) = plt.subplots(
    1, 2, figsize=(11, 4), layout="constrained", width_ratios=[3, 2]
)
plot_forecast(mean, train, y_true=test, n_history=40, ax=left)
years = test.index.to_timestamp()
for forecast in members.values():
    left.plot(years, forecast, color="0.7", linewidth=0.8, zorder=0)
left.set(title="six seeds (grey) and their mean", xlabel="", ylabel="log10 of lynx trapped")
errors = {name: np.abs(np.ravel(f) - test).mean() for name, f in {**members, "mean": mean}.items()}
right.barh(list(errors), list(errors.values()), color=["0.7"] * len(members) + ["C0"])
right.invert_yaxis()
right.set(title="mean absolute error")
