"""Sources: the name under which `explain` reports each input and each linear coefficient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from skrnn.data.covariates import Covariates
from skrnn.features.calendar import N_HOLIDAY_CHANNELS
from skrnn.features.features import Features

INTERCEPT, LAGS, SEASON, CALENDAR, HOLIDAYS = "intercept", "lags", "season", "calendar", "holidays"
CHANGES, GAPS, NAIVE_FORECASTS = "changes", "missing values", "naive forecasts"
NETWORK, BASELINE, LAG = "network", "baseline", "lag "
# A column of X that has one of these names, or the name of a lag, gets the suffix " (X)".
RESERVED = {INTERCEPT, LAGS, SEASON, CALENDAR, HOLIDAYS, CHANGES, GAPS, NAIVE_FORECASTS}
RESERVED |= {NETWORK, BASELINE}


class ChannelNames(NamedTuple):
    """Source names of the channels that hold covariates.

    known : one for each holiday channel and each numeric column of X that is known in advance.
    columns : one for each column of values; None for a target column.
    categories : one for each categorical column of X.
    """

    known: list[str]
    columns: list[str | None]
    categories: list[str]

    @classmethod
    def of(cls, features: Features, covariates: Covariates) -> ChannelNames:
        """Names of the channels of these features."""
        numbers = covariates.numbers
        holidays = [HOLIDAYS] * N_HOLIDAY_CHANNELS if features.holidays else []
        past = map(source_of, covariates.past)
        return cls(
            known=[*holidays, *map(source_of, covariates.known[numbers])],
            columns=[*[None] * features.n_columns, *past],
            categories=[*map(source_of, covariates.known[~numbers])],
        )

    def of_columns(self, name: str) -> list[str]:
        """Names of the columns of values, where ``name`` stands for the target columns."""
        return [column or name for column in self.columns]


def source_of(column: object) -> str:
    """Source name of a column of X, different from all other source names."""
    name = str(column)
    return f"{name} (X)" if name in RESERVED or name.startswith(LAG) else name


class Groups(NamedTuple):
    """To which of G groups each regressor of a linear forecast belongs; 1 if it does, else 0.

    shared : for the D regressors that all horizons share, (G, D).
    known : for the P regressors that differ by horizon, (G, P).
    """

    shared: Tensor
    known: Tensor

    @classmethod
    def of(
        cls, names: Sequence[str], shared: Sequence[str], known: Sequence[str], device: torch.device
    ) -> Groups:
        """Groups called ``names``, given the group name of each regressor."""
        places = {name: g for g, name in enumerate(names)}

        def member(sources: Sequence[str]) -> Tensor:
            place = torch.tensor([places[source] for source in sources], dtype=torch.long)
            return F.one_hot(place, len(names)).T.to(device, torch.float32)

        return cls(member(shared), member(known))
