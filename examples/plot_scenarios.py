"""
The peak of a day
=================

How high may tomorrow's peak be, and when? Quantiles of single hours do not say: it is a question on
whole days. `sample_paths` draws them.
"""

import matplotlib.pyplot as plt
import numpy as np

from skrnn import GRUForecaster, sample_paths
from skrnn.datasets import make_hourly_load

# %%
# Half a year of hourly load; the last day is forecast.

y = make_hourly_load(n_series=1, n_hours=24 * 180, random_state=3).droplevel(0)["load_mw"]
train, test = y[:-24], y[-24:]
fh = range(1, 25)
forecaster = GRUForecaster("multioutput", hidden_size=16, num_epochs=6, validation_split=0.15)
forecaster.set_params(random_state=0).fit(train, fh=fh)
paths = sample_paths(forecaster, n_paths=500, random_state=0)
days = paths.to_numpy().reshape(500, 24)  # path, hour

# %%
# A hundred of the days, and the distribution of the highest hour of all 500. It is higher than that
# of any single hour, since the peak may come an hour earlier or later.

figure, (left, right) = plt.subplots(
    1, 2, figsize=(10, 4), sharey=True, width_ratios=[3, 1], layout="constrained"
)
left.plot(days[:100].T, color="C0", alpha=0.12)
left.plot(test.to_numpy(), "k", label="observed")
left.plot(days.argmax(1)[:100], days.max(1)[:100], "C1.", label="peaks of the paths")
left.set(xlabel="hour", ylabel="load in MW")
left.legend(loc="upper left")
right.hist(days.max(1), bins=30, orientation="horizontal", color="C1", alpha=0.7)
right.axhline(test.max(), color="k")
right.axhline(np.quantile(days.max(1), 0.9), color="C1", linestyle="--")
right.set(xlabel="paths", title="peak; dashed: 90 %")

# %%
# How often is each hour the peak, as a share of the paths?

hours, counts = np.unique(days.argmax(1), return_counts=True)
dict(zip(hours.tolist(), (counts / 500).round(2).tolist(), strict=True))
