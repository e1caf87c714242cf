"""Forecasting: the fitted model, and how it forecasts from a cutoff."""
