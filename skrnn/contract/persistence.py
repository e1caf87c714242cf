"""Persistence: what a pickled forecaster holds, and where its network is after loading."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from skrnn.forecasting.ensemble import AnyModel, Ensemble, ensemble_of
from skrnn.forecasting.fitted import Fitted
from skrnn.forecasting.local import LocalFitted
from skrnn.forecasting.model import Model
from skrnn.network.devices import resolve_device


def pickled(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a forecaster as a pickle holds them.

    Networks are on the CPU, so that they load on a machine without the device. Of the data there is
    the context alone, not all that was trained on.
    """
    result = _with_models(attributes, lambda model: _moved(model, torch.device("cpu")))
    if isinstance(fitted := result.get("fitted_"), (Fitted, LocalFitted)):
        result["fitted_"] = fitted.with_context_alone()
    return result


def copied(forecaster: Any, memo: dict[int, Any]) -> Any:
    """A deep copy with all data, and with networks where they are."""
    memo[id(forecaster)] = result = object.__new__(type(forecaster))
    vars(result).update(copy.deepcopy(vars(forecaster), memo))
    return result


def put_back(forecaster: Any) -> None:
    """Move the networks of a loaded forecaster to its device; without that, stay on the CPU."""
    if not any(name in vars(forecaster) for name in ("fitted_", "pretrained_model_")):
        return
    try:
        device = resolve_device(forecaster.device)
    except ValueError:
        warnings.warn(
            f"This {type(forecaster).__name__} was fitted on {forecaster.device!r}, which this "
            f"machine does not have; it forecasts on the CPU.",
            stacklevel=3,
        )
        return
    vars(forecaster).update(_with_models(vars(forecaster), lambda model: _moved(model, device)))


def _with_models(attributes: Mapping[str, Any], change: Any) -> dict[str, Any]:
    result = dict(attributes)
    fitted = result.get("fitted_")
    if isinstance(fitted, Fitted):
        result["fitted_"] = _with_changed(fitted, change)
    if isinstance(fitted, LocalFitted):
        parts = tuple(_with_changed(part, change) for part in fitted.parts)
        result["fitted_"] = LocalFitted(parts)
    if isinstance(pretrained := result.get("pretrained_model_"), (Model, Ensemble)):
        result["pretrained_model_"] = change(pretrained)
    return result


def _with_changed(fitted: Fitted, change: Any) -> Fitted:
    model = change(fitted.model)
    early = model if fitted.early is fitted.model else change(fitted.early)
    return replace(fitted, model=model, early=early)


def _moved(model: AnyModel, device: torch.device) -> AnyModel:
    if model.device == device:
        return model
    if isinstance(model, Ensemble):
        return ensemble_of([_one_moved(member, device) for member in model.members])
    return _one_moved(model, device)


def _one_moved(model: Model, device: torch.device) -> Model:
    return replace(model, network=copy.deepcopy(model.network).to(device))
