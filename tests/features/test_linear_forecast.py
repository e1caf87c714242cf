"""The linear forecast: its regressors, and that it computes what they and the coefficients say."""

import numpy as np
import pandas as pd
import pytest
import torch

from builders import features_of, read
from skrnn.features.linear_forecast import LinearForecast, linear_lags, n_phases
from skrnn.features.sources import CALENDAR, INTERCEPT, LAGS, SEASON, ChannelNames, Groups

pytestmark = pytest.mark.usefixtures("one_thread")

rng = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("periods", "n", "lags"),
    [
        ((), 100, range(1, 13)),
        ((), 12, range(1, 5)),  # a third of the series
        ((7,), 400, [*range(1, 16)]),
        ((12,), 60, range(1, 21)),
        ((24, 168), 8760, [*range(1, 50), 72, 96, 120, 144, 167, 168, 169]),
        ((24,), 3, [1]),
    ],
)
def test_lags_of_auto_are_near_ones_and_those_around_whole_seasons(periods, n, lags):
    assert linear_lags(periods, n) == tuple(lags)


@pytest.mark.parametrize(
    ("period", "most", "n"), [(24, 168, 24), (672, 168, 168), (288, 168, 144), (365, 168, 73)]
)
def test_phases_are_equal_parts_of_the_season(period, most, n):
    assert n_phases(period, most) == n


SETTINGS = [
    {"sp": (), "linear_lags": (1, 2, 5)},
    {"sp": (4,), "linear_lags": (1, 2, 3, 4, 5)},
    {"sp": (4, 12), "linear_lags": (1, 3, 4, 12), "horizons": (1, 3)},
    {"sp": (4,), "linear_lags": (1, 4), "n_columns": 2, "horizons": (2,), "n_numbers": 1},
    {"sp": (24,), "linear_lags": (1, 2, 24), "linear_calendar": ("hour", "dayofyear")},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_forecast_is_the_last_value_plus_the_regressors_times_the_coefficients(settings):
    n = 60
    features = features_of(naive=("last",), **settings)
    linear = LinearForecast(features)
    linear.coefficients.normal_(generator=torch.Generator().manual_seed(0))
    linear.known_coefficients.normal_(generator=torch.Generator().manual_seed(1))
    values = rng.normal(size=(n, features.n_columns))
    X = rng.normal(size=(n, 1)) if features.n_numbers else None
    index = pd.date_range("2024-01-01", periods=n, freq="h")
    _, targets, _ = read(features, values, start=30, X=X, index=index)
    forecast = linear(targets)  # (1, L, J, C)
    for c in range(features.n_outputs):
        expected = linear.design(targets, c) @ linear.coefficients[..., c]
        expected = expected + targets.past[:, :, :1, c]
        if X is not None:
            known = targets.regressors.known
            expected = expected + (known @ linear.known_coefficients[..., c])[..., 0]
        torch.testing.assert_close(forecast[..., c], expected, rtol=1e-4, atol=1e-4)


def parts_of(linear, targets, names):
    """What each group adds to the forecasts, by its name."""
    shared, known = linear.sources(names)
    assert len(shared) == len(linear.coefficients)
    groups = list(dict.fromkeys([*shared, *known]))
    members = Groups.of(groups, shared, known, linear.coefficients.device)
    return dict(zip(groups, linear.parts(targets, members).unbind(-1), strict=True))


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_parts_are_what_their_own_regressors_add(settings):
    features = features_of(naive=("last",), **settings)
    linear = LinearForecast(features)
    linear.coefficients.normal_(generator=torch.Generator().manual_seed(0))
    linear.known_coefficients.normal_(generator=torch.Generator().manual_seed(1))
    names = ChannelNames(["x"] * features.n_numbers, [None] * features.n_columns, [])
    values = rng.normal(size=(60, features.n_columns))
    X = rng.normal(size=(60, 1)) if features.n_numbers else None
    index = pd.date_range("2024-01-01", periods=60, freq="h")
    _, targets, _ = read(features, values, start=30, X=X, index=index)
    parts = parts_of(linear, targets, names)
    torch.testing.assert_close(sum(parts.values()), linear(targets), rtol=1e-4, atol=1e-4)

    given = targets.regressors
    changes = {
        LAGS: targets._replace(past=targets.past + 1.0),
        CALENDAR: targets._replace(regressors=given._replace(calendar=given.calendar + 1.0)),
        "x": targets,
    }
    if given.known is not None:
        more = given._replace(known=given.known + 1.0, known_before=given.known_before - 2.0)
        changes["x"] = targets._replace(regressors=more)
    for name, other in changes.items():
        moved = parts_of(linear, other, names)
        for group, part in parts.items():
            is_same = torch.equal(moved[group], part)
            assert is_same == (group != name), (name, group)
    row = linear.sources(names)[0].index(INTERCEPT)
    torch.testing.assert_close(
        parts[INTERCEPT], linear.coefficients[row].expand_as(parts[INTERCEPT])
    )
    # A level that is higher by 1 adds 1, and the coefficients of the last values.
    place = [k for k, n in linear.level_columns if n == 1]
    added = (1 + linear.coefficients[place].sum(0)).expand_as(parts[LAGS])
    if not linear.n_crossed:
        rise = parts_of(linear, changes[LAGS], names)[LAGS] - parts[LAGS]
        torch.testing.assert_close(rise, added, rtol=1e-3, atol=1e-3)
    assert (SEASON in parts) == bool(features.seasons)


def test_regressors_are_the_last_value_and_lags_relative_to_it():
    features = features_of(naive=("last",), linear_lags=(1, 2, 5), sp=())
    s = rng.normal(size=20)
    _, targets, _ = read(features, s, start=10)
    design = LinearForecast(features).design(targets, 0)[0, 0]
    expected = [s[9], s[8] - s[9], s[5] - s[9], 1.0]
    np.testing.assert_allclose(design, expected, rtol=1e-6)


def test_untouched_coefficients_repeat_the_last_value():
    features = features_of(naive=("last",), linear_lags=(1, 4), sp=(4,), horizons=(1, 7))
    s = rng.normal(size=20)
    _, targets, _ = read(features, s, start=10)
    forecast = LinearForecast(features)(targets)[0, :, :, 0]
    np.testing.assert_allclose(forecast, np.repeat(s[9:19, None], 2, axis=1), rtol=1e-6)


def test_coefficients_of_horizons_are_taken_from_those_of_another_forecast():
    every = LinearForecast(features_of(naive=("last",), linear_lags=(1, 2), horizons=(1, 2, 3)))
    every.coefficients.copy_(torch.arange(every.coefficients.numel()).view_as(every.coefficients))
    some = LinearForecast(features_of(naive=("last",), linear_lags=(1, 2), horizons=(2, 9)))
    some.take(every)
    # Beyond the last horizon that there is, its own.
    assert torch.equal(some.coefficients, every.coefficients[:, [1, 2]])
