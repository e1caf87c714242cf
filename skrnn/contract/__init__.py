"""The contract: a forecaster as sktime and scikit-learn expect it, around a fitted model."""
