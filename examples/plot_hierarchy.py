"""
Forecasts that add up
=====================

Sales of three shops, and their total. One network forecasts all four series, but the forecasts of
the shops do not add up to that of the total. Reconciliation makes them.
"""

import warnings

import matplotlib.dates as mdates
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sktime.transformations.hierarchical.aggregate import Aggregator
from sktime.transformations.hierarchical.reconcile import Reconciler

from skrnn import GRUForecaster

warnings.simplefilter("ignore", FutureWarning)  # of sktime

# %%
# Ten years of months of three shops; sktime's `Aggregator` adds the total.

months = pd.period_range("2015-01", periods=120, freq="M")
rng = np.random.default_rng(5)
season = rng.normal(0, 8, (3, 12))
shops = pd.concat(
    {
        f"shop {name}": pd.Series(
            80
            + 30 * k
            + 0.3 * np.arange(120)
            + season[k, np.arange(120) % 12]
            + rng.normal(0, 6, 120),
            months,
        )
        for k, name in enumerate("ABC")
    },
    names=["shop", "month"],
).to_frame("sales")
y = Aggregator(flatten_single_levels=True).fit_transform(shops)
train = y.groupby(level=0).head(108)
test = y.groupby(level=0).tail(12)

# %%
# Forecast all four series, then reconcile: by the shops alone (bottom up), and by least squares of
# all four (OLS).

forecast = GRUForecaster("multioutput", random_state=0).fit(train, fh=range(1, 13)).predict()
forecasts = {"as forecast": forecast}
for name, method in (("bottom up", "bu"), ("OLS", "ols")):
    forecasts[name] = Reconciler(method=method).fit_transform(forecast)

total, parts = "__total", [f"shop {name}" for name in "ABC"]
gap = {
    name: (f.loc[total] - sum(f.loc[part] for part in parts)).abs().max().item()
    for name, f in forecasts.items()
}
error = pd.DataFrame(
    {name: (f - test)["sales"].abs().groupby(level=0).mean() for name, f in forecasts.items()}
)

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
stamps = months[-12:].to_timestamp()
left.plot(months[-36:].to_timestamp(), y.loc[total]["sales"].to_numpy()[-36:], "k", label="total")
left.plot(stamps, forecasts["as forecast"].loc[total], label="forecast of the total")
left.plot(stamps, sum(forecast.loc[part] for part in parts), "--", label="sum of the shops'")
left.xaxis.set_major_locator(mdates.YearLocator())
left.set(ylabel="sales")
left.legend(loc="upper left", fontsize="small")
error.rename(index={total: "total"}).plot.barh(ax=right, legend=False)
right.set(xlabel="mean absolute error", ylabel="")
figure.legend(*right.get_legend_handles_labels(), loc="outside right lower", fontsize="small")

# %%
# The largest difference between the total and the sum of the shops:

{name: round(value, 2) for name, value in gap.items()}
