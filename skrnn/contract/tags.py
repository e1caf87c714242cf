"""Tags: what sktime and scikit-learn need to know about the forecasters, and settings to test."""

from __future__ import annotations

from typing import Any

from skrnn.distributions import is_probabilistic

TAGS: dict[str, Any] = {
    "authors": ["skrnn developers"],
    "maintainers": ["skrnn developers"],
    "python_dependencies": ["torch"],
    "y_inner_mtype": ["pd.DataFrame", "pd-multiindex", "pd_multiindex_hier"],
    "X_inner_mtype": ["pd.DataFrame", "pd-multiindex", "pd_multiindex_hier"],
    "capability:multivariate": True,
    "capability:exogenous": True,
    "capability:insample": True,
    "capability:pred_int": True,
    "capability:pred_int:insample": True,
    "capability:missing_values": True,
    "capability:categorical_in_X": True,
    # Each step of a recursive forecast needs its own X.
    "capability:non_contiguous_X": False,
    "capability:unequal_length": True,
    "capability:update": True,
    "capability:pretrain": True,
    "capability:random_state": True,
    "requires-fh-in-fit": False,
}


def tags_of(forecaster: Any) -> dict[str, bool]:
    """Tags that depend on a forecaster's parameters, which may still be of any type."""
    num_epochs, split = forecaster.num_epochs, forecaster.validation_split
    chooses_epochs = isinstance(num_epochs, str) and num_epochs == "auto"
    holds_out = split is not None and (chooses_epochs or not isinstance(split, str))
    has_intervals = is_probabilistic(forecaster.criterion) or holds_out
    strategy = forecaster.strategy
    return {
        "requires-fh-in-fit": isinstance(strategy, str) and strategy == "multioutput",
        "capability:pred_int": has_intervals,
        "capability:pred_int:insample": has_intervals,
    }


def contract_settings() -> list[dict[str, Any]]:
    """Small settings that train in a fraction of a second."""
    small: dict[str, Any] = {
        "hidden_size": 4,
        "num_epochs": 2,
        "window_length": 8,
        "linear_lags": None,
        "random_state": 0,
    }
    at_once = small | {"strategy": "multioutput"}
    return [
        small | {"linear_lags": "auto"},
        small
        | {
            "window_length": 5,
            "num_layers": 2,
            "dropout": 0.1,
            "sp": 3,
            "lags": [2, 3],
            "calendar": None,
            "scaler": "minmax",
            "naive": None,
            "criterion": "huber",
            "optimizer": "adam",
            "lr_scheduler": None,
            "supervision": "last",
            "validation_split": 0.4,
            "patience": 1,
        },
        small | {"criterion": "studentt", "n_samples": 20, "lr_scheduler": "plateau", "sp": 3},
        at_once
        | {
            "criterion": "quantile",
            "quantiles": [0.1, 0.9],
            "naive": None,
            "patch_length": 2,
            "holidays": ["2000-01-01"],
        },
    ]
