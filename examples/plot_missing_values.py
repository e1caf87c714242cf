"""
Missing values
==============

A meter that fails leaves NaN. They are no targets, and inputs are filled in by seasonal naive
forecasts, so nothing has to be imputed. How much does it cost?
"""

import matplotlib.pyplot as plt
import numpy as np

from skrnn import GRUForecaster, backtest, smape
from skrnn.datasets import make_hourly_load

load = make_hourly_load(1, 1600, random_state=0).loc["region_00"].asfreq("h")["load_mw"]
n_train = 1200

# %%
# Remove three hours in ten: single hours at random, or gaps of half a day.

rng = np.random.default_rng(1)
hours = rng.random(len(load)) < 0.3
gaps = np.repeat(rng.random(-(-len(load) // 12)) < 0.3, 12)[: len(load)]
known = {
    "complete": load,
    "single hours\nmissing": load.mask(hours),
    "gaps of half a\nday missing": load.mask(gaps),
}
errors = {}
for name, y in known.items():
    forecaster = GRUForecaster(hidden_size=16, random_state=0).fit(y[:n_train])
    table = backtest(forecaster, y, fh=range(1, 25), start=n_train - 1, step_length=7)
    actual = load[table.index.get_level_values("time")].to_numpy()  # also where y is missing
    errors[name] = smape(actual, table["y_pred"])

# %%
# All forecasts of a day ahead are scored, those of hours that were removed included.

figure, (left, right) = plt.subplots(
    1, 2, figsize=(11, 4), layout="constrained", width_ratios=[3, 2]
)
shown = y[n_train - 120 : n_train]
left.plot(shown.index, load[shown.index], color="0.8", label="removed")
left.plot(shown, color="black", linewidth=1.4, label="known to the forecaster")
left.plot(forecaster.predict(fh=range(1, 25)), ".-", label="forecast")
left.plot(load[n_train : n_train + 24], ":", color="black", label="actual")
left.set(title="gaps, and a forecast after them", ylabel="load in MW")
left.tick_params(axis="x", rotation=30)
left.legend(fontsize="small", ncols=2, loc="upper center")
left.margins(y=0.25)
right.bar_label(right.bar(list(errors), list(errors.values()), width=0.6), fmt="%.2f")
right.set(title="error of a day ahead", ylabel="sMAPE in percent")
right.margins(y=0.12)
