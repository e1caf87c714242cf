"""Refusal: what of a fitted forecaster an ONNX file cannot hold, before anything is written."""

from __future__ import annotations

from collections.abc import Sequence

from skrnn.distributions import Point
from skrnn.distributions.counts import NegativeBinomial, Poisson
from skrnn.distributions.location_scale import Normal, StudentT
from skrnn.distributions.values import Quantiles
from skrnn.export.clock import check_timeline
from skrnn.export.mix import FORECASTS
from skrnn.export.recurrence import is_exportable
from skrnn.forecasting.ensemble import Ensemble
from skrnn.forecasting.fitted import Fitted

DISTRIBUTIONS = (Point, Normal, StudentT, Quantiles, Poisson, NegativeBinomial)


class CannotExportError(ValueError):
    """What a forecaster computes cannot be written as an ONNX graph."""


def check_exportable(fitted: Fitted, levels: Sequence[float]) -> None:
    """Raise CannotExportError unless every part of a forecast has a counterpart in ONNX."""
    model = fitted.model
    if isinstance(model, Ensemble):
        msg = (
            f"to_onnx writes one network, but this forecaster has n_estimators="
            f"{len(model.members)}. Fit with n_estimators=1, or write a file for each of several "
            f"values of random_state and average what they forecast."
        )
        raise CannotExportError(msg)
    features, network = model.features, model.network
    for layer in network.recurrent.layers:
        if not is_exportable(layer):
            raise _refused(f"cell={type(layer).__qualname__}", "'gru', 'lstm' or 'rnn'")
    if type(network.distribution) not in DISTRIBUTIONS:
        name = type(network.distribution).__qualname__
        raise _refused(f"criterion={name}", "a criterion by its name")
    for forecast in features.naive_forecasts:
        if type(forecast) not in FORECASTS:
            raise _refused(f"naive={type(forecast).__qualname__}", "naive forecasts by their names")
    if features.holidays is not None and isinstance(features.holidays.days, str):
        msg = (
            f"to_onnx writes dates, but holidays={features.holidays.days!r} is a country, whose "
            f"holidays the holidays package computes for every year. Pass the dates themselves, "
            f"as far ahead as the file is used, and fit again."
        )
        raise CannotExportError(msg)
    check_timeline(model.timeline)
    if levels:
        _check_quantiles(fitted)


def _check_quantiles(fitted: Fitted) -> None:
    """Raise CannotExportError unless the quantiles are a formula of the network's outputs."""
    distribution = fitted.model.network.distribution
    if fitted.model.strategy.name == "recursive":
        reason = "strategy='recursive' takes quantiles from simulated paths, or step by step"
    elif not isinstance(distribution, (Point, Normal, Quantiles)):
        reason = f"the quantiles of {type(distribution).__name__} have no operator in ONNX"
    elif isinstance(distribution, Point) and fitted.held_out.is_empty:
        reason = "the forecaster forecasts points, and no rows were held out"
    else:
        return
    msg = (
        f"to_onnx writes quantiles that are a formula of the network's outputs, but got alpha and "
        f"{reason}. Leave alpha out, or fit with strategy='multioutput' and criterion='quantile', "
        f"'normal' or, where rows are held out, 'mae'."
    )
    raise CannotExportError(msg)


def _refused(given: str, allowed: str) -> CannotExportError:
    return CannotExportError(
        f"to_onnx writes operators of ONNX, but {given} is code of your own, of which it does not "
        f"know the operators. Fit with {allowed}, or save the forecaster with skrnn.save."
    )
