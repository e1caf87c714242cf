"""
A first forecast
================

A year of monthly passengers, with intervals. No setting is needed: the seasonal period, the
scaling and the length of training follow from the data.
"""

from sktime.datasets import load_airline

from skrnn import GRUForecaster, smape
from skrnn.plotting import plot_forecast

y = load_airline()  # 144 months, in thousands
train, test = y[:-12], y[-12:]

forecaster = GRUForecaster(random_state=0).fit(train)
forecast = forecaster.predict(fh=range(1, 13))
intervals = forecaster.predict_interval(fh=range(1, 13), coverage=[0.5, 0.9])

ax = plot_forecast(forecast, train, y_true=test, intervals=intervals, n_history=48)
ax.set(title=f"sMAPE {smape(test, forecast):.1f} %", ylabel="passengers in thousands", xlabel="")

# %%
# The intervals come from the errors on held-out months. The table says what the data have chosen.

forecaster.summary()
