"""Parameters: what each may be, and one sentence for everything else."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial, update_wrapper
from numbers import Integral, Real
from types import FunctionType
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from skrnn.callbacks import Callback
from skrnn.contract.private_names import Interval, StrOptions, validate_parameter_constraints
from skrnn.data.scaling import SCALERS
from skrnn.distributions import CRITERIA, DISTRIBUTIONS
from skrnn.distributions.values import FEWEST_LEVELS
from skrnn.features.calendar import CALENDAR
from skrnn.forecasting.strategies import STRATEGIES
from skrnn.naive import NAIVE_FORECASTS, NaiveForecast
from skrnn.network.cells import CELLS
from skrnn.training.schedules import OPTIMIZERS, SCHEDULERS

POSITIVE = Interval(Integral, 1, None, closed="left")
CONSTRAINTS: dict[str, list] = {
    "cell": [StrOptions(set(CELLS)), callable],
    "strategy": [StrOptions(set(STRATEGIES))],
    "window_length": [POSITIVE],
    "patch_length": [POSITIVE],
    "hidden_size": [StrOptions({"auto"}), POSITIVE],
    "num_layers": [POSITIVE],
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "sp": [StrOptions({"auto"}), POSITIVE, "array-like", None],
    "lags": [StrOptions({"auto"}), POSITIVE, "array-like", None],
    "calendar": [StrOptions({"auto", *CALENDAR}), "array-like", None],
    "holidays": [str, "array-like", None],
    "past_covariates": [str, "array-like", None],
    "scaler": [StrOptions({kind for kind in SCALERS if kind}), None],
    "naive": [StrOptions({"auto", *NAIVE_FORECASTS}), "array-like", None],
    "linear_lags": [StrOptions({"auto"}), POSITIVE, "array-like", None],
    "criterion": [StrOptions({*CRITERIA, *DISTRIBUTIONS}), nn.Module],
    "quantiles": ["array-like"],
    "n_samples": [POSITIVE],
    "forecast_range": [StrOptions({"auto"}), "array-like", None],
    "optimizer": [StrOptions(set(OPTIMIZERS)), callable],
    "optimizer_kwargs": [dict, None],
    "lr": [Interval(Real, 0, None, closed="neither")],
    "lr_scheduler": [StrOptions(set(SCHEDULERS)), callable, None],
    "num_epochs": [StrOptions({"auto"}), Interval(Integral, 0, None, closed="left")],
    "batch_size": [POSITIVE],
    "max_grad_norm": [Interval(Real, 0, None, closed="neither"), None],
    "supervision": [StrOptions({"dense", "last"})],
    "validation_split": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="neither"), None],
    "patience": [POSITIVE, None],
    "device": [str, torch.device],
    "precision": [StrOptions({"float32", "tf32", "bf16"})],
    "random_state": ["random_state"],
    "verbose": ["boolean"],
    "callbacks": ["array-like", None],
    "checkpoint": [str, os.PathLike, None],
    "checkpoint_seconds": [Interval(Real, 0, None, closed="left")],
    "pooling": [StrOptions({"global", "local"})],
    "n_estimators": [POSITIVE],
}
# What a network is built with.
ARCHITECTURE = (
    "cell",
    "strategy",
    "patch_length",
    "hidden_size",
    "num_layers",
    "sp",
    "lags",
    "calendar",
    "holidays",
    "past_covariates",
    "naive",
    "linear_lags",
    "criterion",
    "quantiles",
)
DEFAULT_QUANTILES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
# What each entry of a list may be.
ENTRIES: dict[str, list] = {
    "sp": [POSITIVE],
    "lags": [POSITIVE],
    "linear_lags": [POSITIVE],
    "calendar": [StrOptions(set(CALENDAR))],
    "naive": [StrOptions(set(NAIVE_FORECASTS)), type],
    "quantiles": [Interval(Real, 0, 1, closed="neither")],
    "callbacks": [Callback],
}


def check_parameters(caller: str, params: Mapping[str, Any]) -> None:
    """Raise ValueError or TypeError unless every parameter of a forecaster is in its range."""
    validate_parameter_constraints(CONSTRAINTS, params, caller)
    for name, constraint in ENTRIES.items():
        for entry in tuple_of(params[name], auto=()):
            validate_parameter_constraints({name: constraint}, {name: entry}, caller)
    for entry in tuple_of(params["naive"], auto=()):
        if isinstance(entry, type) and not issubclass(entry, NaiveForecast):
            msg = (
                f"The 'naive' parameter of {caller} must hold names or subclasses of "
                f"skrnn.naive.NaiveForecast. Got {entry!r} instead."
            )
            raise TypeError(msg)
    if "lr" in (params["optimizer_kwargs"] or {}):
        msg = "The 'optimizer_kwargs' parameter must not hold 'lr'. Pass it as the lr parameter."
        raise ValueError(msg)
    split = params["validation_split"]
    if params["patience"] is not None and (split is None or isinstance(split, str)):
        msg = (
            f"The 'patience' parameter needs a validation loss of every epoch, but "
            f"validation_split is {split!r}. Set it, for example to 0.1."
        )
        raise ValueError(msg)
    _check_range(params["forecast_range"])
    _check_patches(params)
    _check_quantiles(params)


def check_flags(caller: str, **flags: Any) -> None:
    """Raise TypeError unless each parameter of a function is True or False."""
    for name, value in flags.items():
        if not isinstance(value, (bool, np.bool_)):
            msg = (
                f"The {name!r} parameter of {caller} must be True or False. Got {value!r} instead."
            )
            raise TypeError(msg)


def check_seed(caller: str, random_state: Any) -> None:
    """Raise ValueError or TypeError unless scikit-learn makes random numbers from it."""
    validate_parameter_constraints(
        {"random_state": CONSTRAINTS["random_state"]}, {"random_state": random_state}, caller
    )


def _check_range(given: Any) -> None:
    if given is None or isinstance(given, str):
        return
    bounds = tuple(given)
    numbers = [b for b in bounds if isinstance(b, Real) and not isinstance(b, bool)]
    is_pair = len(bounds) == 2 and len(numbers) + bounds.count(None) == 2
    ordered = len(numbers) < 2 or numbers[0] < numbers[1]
    if not is_pair or not ordered or any(b != b for b in numbers):  # NaN differs from itself
        msg = (
            f"The 'forecast_range' parameter must be a lower and a greater upper bound, each a "
            f"number or None. Got {given!r} instead. Pass (0, None) for values that cannot be "
            f"negative."
        )
        raise ValueError(msg)


def _check_patches(params: Mapping[str, Any]) -> None:
    patch_length, window_length = params["patch_length"], params["window_length"]
    if params["strategy"] == "recursive" and patch_length > 1:
        msg = (
            f"patch_length={patch_length} needs strategy='multioutput', for a recursive forecast "
            f"goes step by step, but strategy is 'recursive'. Set strategy='multioutput' and pass "
            f"fh in fit."
        )
        raise ValueError(msg)
    if window_length % patch_length:
        msg = (
            f"The 'window_length' parameter must be a multiple of patch_length, but they are "
            f"{window_length} and {patch_length}. Set window_length="
            f"{patch_length * max(1, window_length // patch_length)}."
        )
        raise ValueError(msg)


def _check_quantiles(params: Mapping[str, Any]) -> None:
    levels = tuple(params["quantiles"])
    if params["criterion"] == "quantile" and len(set(levels)) < FEWEST_LEVELS:
        msg = (
            f"The 'quantiles' parameter must hold at least {FEWEST_LEVELS} different levels in "
            f"(0, 1), for a single one does not say how wide an interval is. Got {levels!r} "
            f"instead. Add levels, such as 0.1 and 0.9."
        )
        raise ValueError(msg)
    if params["criterion"] != "quantile" and levels != DEFAULT_QUANTILES:
        warnings.warn(
            f"The 'quantiles' parameter is read with criterion='quantile' alone, but criterion is "
            f"{params['criterion']!r}: {levels!r} has no effect. Set criterion='quantile'.",
            stacklevel=7,  # the line that calls fit: sktime and two decorators stand between
        )


def tuple_of(value: Any, auto: tuple) -> tuple:
    """Entries of a parameter that is None, "auto", one entry or a list."""
    if value is None:
        return ()
    if isinstance(value, str):
        return auto if value == "auto" else (value,)
    return (int(value),) if isinstance(value, Integral) else tuple(value)


def plain(value: Any) -> Any:
    """A parameter's value to compare and keep: a list, an array and a tuple are the same."""
    if isinstance(value, nn.Module):  # clones of a module differ in identity
        settings = {
            name: entry
            for name, entry in vars(value).items()
            if isinstance(entry, (Real, str)) and name != "training" and name[0] != "_"
        }
        return f"{type(value).__module__}.{value!r} {settings}"
    if isinstance(value, partial):  # equal by what it calls, for a copy is not the same object
        return value.func, value.args, tuple(sorted(value.keywords.items()))
    if isinstance(value, str):
        return value
    if isinstance(value, (Sequence, np.ndarray, pd.Index, pd.Series)):
        return tuple(value)
    return value


def renamed(function: Any, qualname: str) -> Any:
    """A copy of a function with another qualified name."""
    parts = (function.__code__, function.__globals__, function.__name__)
    copied = FunctionType(*parts, function.__defaults__, function.__closure__)
    update_wrapper(copied, function).__qualname__ = qualname
    return copied


def named(value: Any, table: Mapping[str, Any]) -> Any:
    """What the table holds under a name; anything else stands for itself."""
    return table[value] if isinstance(value, str) else value


def result_of(name: str, kind: type, make: Callable, *args: Any, **options: Any) -> Any:
    """What the callable of a parameter returns, if that is of the right kind."""
    try:
        result = make(*args, **options)
    except TypeError as error:
        called = (
            f"the weights and {options}" if options else "the optimizer and the number of steps"
        )
        msg = (
            f"The {name!r} parameter must be callable with {called}, but {make!r} raised: "
            f"{error}. Correct it{', or optimizer_kwargs' if options else ''}."
        )
        raise TypeError(msg) from error
    if not isinstance(result, kind):
        msg = (
            f"The {name!r} parameter must be a name or a callable that returns a torch "
            f"{kind.__name__}, but {make!r} returned {result!r}. Pass one of torch.optim."
        )
        raise TypeError(msg)
    return result
