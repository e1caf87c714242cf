"""
What the network mixes
======================

A forecast is a weighted mean of naive forecasts and of a linear one, plus a correction that the
network learns. Here are its parts, with the weights from which training starts.
"""

import matplotlib.pyplot as plt
import pandas as pd

from skrnn import GRUForecaster
from skrnn.datasets import make_hourly_load

# %%
# On short series the naive forecasts have most of the weight, on long ones the linear forecast.

load = make_hourly_load(1, 6000, random_state=0).loc["region_00"].asfreq("h")["load_mw"]
weights = {}
for n in (240, 600, 1500, 6000):
    forecaster = GRUForecaster(num_epochs=0, random_state=0).fit(load[-n:])
    weights[f"{n:,} hours"] = forecaster.naive_.iloc[:, 0]
weights = pd.DataFrame(weights).fillna(0)
weights = weights[weights.max(axis=1) > 0.02]
weights.index = [f"{name}, {period} h" if period > 1 else name for name, period in weights.index]

figure, ax = plt.subplots(figsize=(9, 4.5), layout="constrained")
weights.T.plot.barh(stacked=True, ax=ax, colormap="tab20", width=0.7)
ax.invert_yaxis()
ax.set(title="initial weights of the mix", xlabel="weight", xlim=(0, 1))
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")
weights.round(3)
