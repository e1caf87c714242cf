"""
Why this forecast?
==================

Two weeks of sales ahead, with a promotion planned and the weather known. `explain` says what each
forecast is the sum of, in the unit of the data, and what it would be without the promotion.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skrnn import GRUForecaster, explain
from skrnn.plotting import plot_explanation

# %%
# Three years of days: weekdays sell more, a degree is worth 1.5, a promotion 25.

days = pd.date_range("2022-01-03", periods=3 * 364, freq="D")
rng = np.random.default_rng(0)
n = len(days)
season = 12 * np.sin(2 * np.pi * np.arange(n) / 365.25)
X = pd.DataFrame({"temperature": 15 + season + rng.normal(0, 3, n)}, days)
X["promotion"] = (rng.random(n) < 0.1) * 1.0
X.loc[days[-9:-6], "promotion"] = 1.0  # planned for three days of the second week
sales = 100 + 15 * (days.dayofweek < 5) + 1.5 * X["temperature"] + 25 * X["promotion"]
sales += rng.normal(0, 3, n)

# %%
# Fit to all but the last two weeks. The columns of the explanation add up to the forecast.

horizon = range(1, 15)
forecaster = GRUForecaster(strategy="multioutput", num_epochs=5, hidden_size=16, random_state=0)
forecaster.fit(sales[:-14], X[:-14], fh=horizon)
table = explain(forecaster, X=X)
without = forecaster.predict(X=X.assign(promotion=X["promotion"].where(X.index < days[-14], 0)))

figure, (top, bottom) = plt.subplots(
    2, figsize=(10, 7), sharex=False, height_ratios=[3, 2], layout="constrained"
)
plot_explanation(table, ax=top)
top.get_legend().remove()
figure.legend(*top.get_legend_handles_labels(), loc="outside right upper", fontsize="small")
top.set(title="What makes a day higher or lower than the mean of these two weeks", ylabel="sales")
bottom.plot(sales[-14:], "k.", label="sold")
bottom.plot(forecaster.predict(X=X), label="forecast")
bottom.plot(without, "--", label="forecast without the promotion")
bottom.set(ylabel="sales")
bottom.legend(loc="upper right", fontsize="small")

# %%
# The effect of the promotion, as forecast; the data were made with 25.

gain = (forecaster.predict(X=X) - without)[days[-9:-6]]
gain.round(1).to_frame("gain")
