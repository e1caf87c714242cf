"""Models: untrained ones, their features chosen from the data, or copies of pretrained ones."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from skrnn.contract.parameters import ARCHITECTURE, named, plain, tuple_of
from skrnn.data.holidays import Holidays
from skrnn.data.level_shift import LevelShift
from skrnn.data.panel import Panel
from skrnn.data.scaling import Scaler
from skrnn.data.stored_panel import StoredPanel
from skrnn.distributions import distribution_of
from skrnn.features.calendar import calendar_cycle, calendar_fields
from skrnn.features.features import Features, Strategy
from skrnn.features.linear_forecast import linear_lags
from skrnn.features.seasonality import check_within, level_period, seasonal_periods
from skrnn.forecasting.model import Model
from skrnn.naive import AUTO_LEVEL, AUTO_SEASONAL, naive_kinds
from skrnn.network.cells import CELLS
from skrnn.network.devices import enough_memory
from skrnn.network.network import RecurrentNetwork
from skrnn.network.randomness import RandomStreams, drawing_from

# The linear forecast reads calendar fields of which the data cover one cycle: its few waves are
# smooth, and penalised.
LINEAR_CALENDAR_CYCLES = 0.95  # 365 days hold a year of 365.25
# Units of a recurrent layer: so many times the cube root of the values of all series (decision 41),
# a multiple of a vector register.
UNITS_PER_CUBE_ROOT, UNITS_MULTIPLE = 128 / 2 ** (13 / 3), 16
FEWEST_UNITS, MOST_UNITS = 64, 128


def forecasts_counts(forecaster: Any) -> bool:
    """Whether the criterion is a distribution of counts."""
    return distribution_of(forecaster.criterion, forecaster.quantiles).of_counts


@enough_memory()
def new_model(
    forecaster: Any,
    panel: Panel,
    strategy: Strategy,
    device: torch.device,
    streams: RandomStreams,
    networks: dict[Any, RecurrentNetwork] | None = None,
) -> Model:
    """An untrained model, its features chosen from the rows to train on.

    ``networks``, if given, collects untrained networks by their features, units and seed: models
    that agree in these share one.
    """
    known_scaler = _known_scaler(forecaster, panel)
    features = chosen_features(forecaster, panel, strategy)
    architecture = architecture_of(forecaster, panel)
    n_units = architecture["hidden_size"]
    return Model(
        network=new_network(forecaster, features, n_units, device, streams, networks),
        known_scaler=known_scaler,
        covariates=panel.covariates,
        architecture=architecture,
        **_of_series(forecaster, panel),
    )


def architecture_of(forecaster: Any, panel: Panel) -> dict[str, Any]:
    """The parameters that a network is built with; other values need other weights."""
    params = forecaster.get_params(deep=False)
    given = {name: plain(params[name]) for name in ARCHITECTURE if name in params}
    return given | {"hidden_size": hidden_size(forecaster, panel)}


def hidden_size(forecaster: Any, panel: Panel) -> int:
    """Units of each recurrent layer: those asked for, or with "auto" those for so many values."""
    if not isinstance(forecaster.hidden_size, str):
        return forecaster.hidden_size
    n_values = int(panel.lengths.sum()) * len(panel.columns)
    n_units = UNITS_MULTIPLE * round(UNITS_PER_CUBE_ROOT * n_values ** (1 / 3) / UNITS_MULTIPLE)
    return max(FEWEST_UNITS, min(n_units, MOST_UNITS))


def new_network(
    forecaster: Any,
    features: Features,
    n_units: int,
    device: torch.device,
    streams: RandomStreams,
    networks: dict[Any, RecurrentNetwork] | None = None,
) -> RecurrentNetwork:
    """An untrained network; see `new_model`."""
    networks = {} if networks is None else networks
    network = networks.get((features, n_units, streams.seed))
    if network is None:
        with drawing_from(streams.weights):
            network = RecurrentNetwork(
                features,
                distribution_of(forecaster.criterion, forecaster.quantiles),
                named(forecaster._cell(), CELLS),
                n_units,
                forecaster.num_layers,
                forecaster.dropout,
            )
        network = network.float().to(device).eval()
        networks[features, n_units, streams.seed] = network
    return network


def _known_scaler(forecaster: Any, panel: Panel) -> Scaler:
    """Statistics of the numeric columns of X that are known in advance.

    They are those of all series alike: a column that is constant in each tells them apart.
    """
    scaler, is_number = Scaler("standard" if forecaster.scaler else None), panel.covariates.numbers
    if not is_number.any():
        scaler.center_, scaler.scale_ = np.empty((1, 0)), np.empty((1, 0))
        return scaler
    if isinstance(panel, StoredPanel):
        return scaler.fit_blocks(lambda: (block.known[:, is_number] for block in panel.blocks()))
    numbers = panel.known[:, is_number]
    return scaler.fit(numbers, np.zeros(len(numbers), dtype=np.int64))


def chosen_features(forecaster: Any, panel: Panel, strategy: Strategy) -> Features:
    """The features that parameters ask for; "auto" looks at the rows to train on."""
    sp = seasonal_periods(forecaster.sp, panel)
    lags = tuple_of(forecaster.lags, auto=sp)
    check_within("lags", lags, int(panel.lengths.max()))
    calendar = calendar_fields(forecaster.calendar, panel)
    auto = AUTO_SEASONAL if max(sp, default=1) > 1 else AUTO_LEVEL
    covariates = panel.covariates
    return Features(
        sp=sp,
        lags=lags,
        naive=naive_kinds(tuple_of(forecaster.naive, auto=auto)),
        calendar=calendar,
        holidays=None if forecaster.holidays is None else Holidays(forecaster.holidays),
        n_columns=len(panel.columns),
        n_past=len(covariates.past),
        n_numbers=int(covariates.numbers.sum()),
        sizes=covariates.sizes,
        missing=bool((panel.n_observed < panel.lengths[:, None]).any()),
        strategy=strategy,
        patch_length=forecaster.patch_length,
        level_period=level_period(panel),
        cycle=calendar_cycle(calendar, panel),
        linear_lags=chosen_lags(forecaster, sp, panel),
        linear_calendar=calendar_fields(forecaster.calendar, panel, LINEAR_CALENDAR_CYCLES),
        of_counts=forecasts_counts(forecaster),
    )


def chosen_lags(forecaster: Any, sp: tuple[int, ...], panel: Panel) -> tuple[int, ...]:
    """Lags of the linear forecast: those given, or with "auto" those of the seasons."""
    lags = forecaster.linear_lags
    if lags is None or forecaster.naive is None:
        return ()
    if not isinstance(lags, str):
        given = tuple_of(lags, auto=())
        check_within("linear_lags", given, int(panel.lengths.max()))
        return tuple(sorted({1, *given}))
    return linear_lags(sp, int(np.median(panel.lengths)))


def warm_model(forecaster: Any, pretrained: Model, panel: Panel, device: torch.device) -> Model:
    """A copy of a pretrained model for the series of this panel."""
    network = warm_network(forecaster, pretrained, device)
    return replace(pretrained, network=network, **_of_series(forecaster, panel))


def warm_network(forecaster: Any, pretrained: Model, device: torch.device) -> RecurrentNetwork:
    """A copy of a pretrained network."""
    network = copy.deepcopy(pretrained.network).to(device)
    network.set_dropout(forecaster.dropout)
    return network


def with_level_shift(model: Model, panel: Panel) -> Model:
    """The model with the level shifts that the series of a filled panel end with; no counts'."""
    if model.features.of_counts:
        return model
    return replace(model, level_shift=LevelShift.latest(panel, model.features.seasons))


def _of_series(forecaster: Any, panel: Panel) -> dict[str, Any]:
    """What a model takes from the series of a fit and from parameters that need no new weights."""
    scaler = Scaler(forecaster.scaler, is_centered=not forecasts_counts(forecaster))
    return {
        "scaler": Scaler.joined(
            [
                copy.copy(scaler).fit(block.values, block.series_of_rows())
                for block in panel.blocks()
            ]
        ),
        "columns": panel.columns,
        "timeline": panel.timeline,
        "window_length": forecaster.window_length,
        "stride": forecaster.window_length if forecaster.supervision == "dense" else 1,
        "allows_tf32": forecaster.precision == "tf32",
    }
