"""Sources: what each input, and each coefficient of the linear forecast, belongs to."""

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
# A column of X with one of these names, or that of a lag, is told apart by a suffix.
RESERVED = {INTERCEPT, LAGS, SEASON, CALENDAR, HOLIDAYS, CHANGES, GAPS, NAIVE_FORECASTS}
RESERVED |= {NETWORK, BASELINE}


class ChannelNames(NamedTuple):
    """Names of the channels that hold covariates.

    known : of each channel of holidays and each numeric column of X that is known in advance.
    columns : of each column of values: the name of a past covariate, None for a target column.
    categories : of each categorical column of X.
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
        """The names of the columns of values, with this one for the target columns."""
        return [column or name for column in self.columns]


def source_of(column: object) -> str:
    """Name of a column of X as a source, which no other source has."""
    name = str(column)
    return f"{name} (X)" if name in RESERVED or name.startswith(LAG) else name


class Groups(NamedTuple):
    """Which of G groups each regressor of a linear forecast belongs to, 1 or 0.

    shared : of the D regressors that all horizons share, (G, D).
    known : of the P regressors of each horizon, (G, P).
    """

    shared: Tensor
    known: Tensor

    @classmethod
    def of(
        cls, names: Sequence[str], shared: Sequence[str], known: Sequence[str], device: torch.device
    ) -> Groups:
        """The groups with these names, of regressors that belong to these."""
        places = {name: g for g, name in enumerate(names)}

        def member(sources: Sequence[str]) -> Tensor:
            place = torch.tensor([places[source] for source in sources], dtype=torch.long)
            return F.one_hot(place, len(names)).T.to(device, torch.float32)

        return cls(member(shared), member(known))
