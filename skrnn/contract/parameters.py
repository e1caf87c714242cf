"""Parameters: what each may be, and one sentence for all that is not."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import torch
from sklearn.utils._param_validation import (
    Interval,
    Options,
    StrOptions,
    validate_parameter_constraints,
)
from torch import nn

from skrnn.callbacks import Callback
from skrnn.data.scaling import SCALERS
from skrnn.distributions import CRITERIA, DISTRIBUTIONS
from skrnn.features.features import CALENDAR, NAIVE
from skrnn.network.network import CELLS
from skrnn.training.trainer import OPTIMIZERS, SCHEDULERS

POSITIVE = Interval(Integral, 1, None, closed="left")
CONSTRAINTS: dict[str, list] = {
    "cell": [StrOptions(set(CELLS))],
    "strategy": [StrOptions({"recursive", "multioutput"})],
    "window_length": [POSITIVE],
    "patch_length": [POSITIVE],
    "hidden_size": [POSITIVE],
    "num_layers": [POSITIVE],
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "sp": [StrOptions({"auto"}), POSITIVE, "array-like", None],
    "lags": [StrOptions({"auto"}), POSITIVE, "array-like", None],
    "calendar": [StrOptions({"auto", *CALENDAR}), "array-like", None],
    "holidays": [str, "array-like", None],
    "past_covariates": [str, "array-like", None],
    "scaler": [StrOptions({kind for kind in SCALERS if kind}), None],
    "naive": [StrOptions({"auto", *NAIVE}), "array-like", None],
    "criterion": [StrOptions({*CRITERIA, *DISTRIBUTIONS}), nn.Module],
    "quantiles": ["array-like"],
    "n_samples": [POSITIVE],
    "optimizer": [StrOptions(set(OPTIMIZERS)), callable],
    "optimizer_kwargs": [dict, None],
    "lr": [Interval(Real, 0, None, closed="neither")],
    "lr_scheduler": [StrOptions(set(SCHEDULERS)), callable, None],
    "num_epochs": [StrOptions({"auto"}), Interval(Integral, 0, None, closed="left")],
    "batch_size": [POSITIVE],
    "max_grad_norm": [Interval(Real, 0, None, closed="neither"), None],
    "supervision": [StrOptions({"dense", "last"})],
    "validation_split": [Interval(Real, 0, 1, closed="neither"), None],
    "patience": [POSITIVE, None],
    "device": [str, torch.device],
    "precision": [StrOptions({"float32", "tf32", "bf16"})],
    "random_state": ["random_state"],
    "verbose": ["boolean"],
    "callbacks": ["array-like", None],
}
# What each entry of a list may be.
ENTRIES: dict[str, list] = {
    "sp": [POSITIVE],
    "lags": [POSITIVE],
    "calendar": [Options(str, set(CALENDAR))],
    "naive": [Options(str, set(NAIVE))],
    "quantiles": [Interval(Real, 0, 1, closed="neither")],
    "callbacks": [Callback],
}


def check_parameters(caller: str, params: Mapping[str, Any]) -> None:
    """Raise ValueError or TypeError unless every parameter of a forecaster is in its range."""
    validate_parameter_constraints(CONSTRAINTS, params, caller)
    for name, constraint in ENTRIES.items():
        for entry in tuple_of(params[name], auto=()):
            validate_parameter_constraints({name: constraint}, {name: entry}, caller)
    if params["strategy"] == "recursive" and params["patch_length"] > 1:
        msg = (
            f"patch_length={params['patch_length']} needs strategy='multioutput', for a recursive "
            f"forecast goes step by step, but strategy is 'recursive'. Set strategy='multioutput' "
            f"and pass fh in fit."
        )
        raise ValueError(msg)
    if params["window_length"] % params["patch_length"]:
        msg = (
            f"The 'window_length' parameter must be a multiple of patch_length, but they are "
            f"{params['window_length']} and {params['patch_length']}. Set window_length="
            f"{params['patch_length'] * max(1, params['window_length'] // params['patch_length'])}."
        )
        raise ValueError(msg)
    if len(params["quantiles"]) == 0:
        msg = "The 'quantiles' parameter must hold at least one level in (0, 1), but it is empty."
        raise ValueError(msg)
    if "lr" in (params["optimizer_kwargs"] or {}):
        msg = "The 'optimizer_kwargs' parameter must not hold 'lr'. Pass it as the lr parameter."
        raise ValueError(msg)
    if params["patience"] is not None and params["validation_split"] is None:
        msg = (
            "The 'patience' parameter needs a validation loss to wait for, but validation_split "
            "is None. Set it, for example to 0.1."
        )
        raise ValueError(msg)


def tuple_of(value: Any, auto: tuple) -> tuple:
    """Entries of a parameter that is None, "auto", one entry or a list."""
    if value is None:
        return ()
    if isinstance(value, str):
        return auto if value == "auto" else (value,)
    return (int(value),) if isinstance(value, Integral) else tuple(value)


def plain(value: Any) -> Any:
    """A parameter's value to compare and keep: a list, an array and a tuple are the same."""
    return value if value is None or isinstance(value, (str, Real)) else tuple(value)


def named(value: Any, table: Mapping[str, Any]) -> Any:
    """What the table holds under a name; anything else stands for itself."""
    return table[value] if isinstance(value, str) else value
