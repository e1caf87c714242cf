r"""The linear forecast: a regression on past values, the season, the calendar and X."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skrnn.features.batch import Regressors, Targets
from skrnn.features.features import Features
from skrnn.features.sources import CALENDAR, INTERCEPT, LAGS, SEASON, ChannelNames, Groups

# With a season: every lag up to two of the shortest season, at most so many, and the lags around
# whole seasons. Without one: at most a year of months.
MOST_NEAR_LAGS, MOST_LAGS_WITHOUT_SEASON = 60, 12
# No lag reaches beyond this share of a series, so that enough rows are left to fit to.
LONGEST_LAG_SHARE = 1 / 3
# A season has an effect for each of its steps, or for each of at most so many equal parts of it;
# coefficients that differ within a season have a value for each of at most so many parts.
MOST_PHASES, MOST_CROSSED_PHASES = 168, 24
# Of at most so many columns each reads the others: their last value, last change and season.
MOST_CROSS_COLUMNS = 20
# The nearest lags have coefficients that differ within the season, and those around a season.
NEAREST_CROSSED_LAGS = 6


def linear_lags(periods: Sequence[int], n_observations: int) -> tuple[int, ...]:
    """Lags of the linear forecast of a series with these seasonal periods and this length."""
    seasons = sorted(p for p in periods if p > 1)
    if seasons:
        shortest, longest = seasons[0], seasons[-1]
        lags = set(range(1, min(2 * shortest, MOST_NEAR_LAGS) + 1))
        lags |= {lag + k for lag in (2 * shortest, *seasons) for k in (-1, 0, 1)}
        multiples = range(shortest, longest, shortest)
        lags |= set(multiples) if len(multiples) <= MOST_NEAR_LAGS else set()
    else:
        lags = set(range(1, MOST_LAGS_WITHOUT_SEASON + 1))
    most = max(1, int(LONGEST_LAG_SHARE * n_observations))
    return tuple(sorted(lag for lag in lags if 1 <= lag <= most))


def n_phases(period: int, most: int) -> int:
    """Parts of a season that have an effect each: the largest divisor up to ``most``."""
    return max(k for k in range(1, min(period, most) + 1) if period % k == 0)


class _Regressors(NamedTuple):
    """Regressors of B x L steps.

    values : the last value, and lags relative to it, (B, L, K, C).
    others : one, the calendar, the known inputs before the step, and other columns, (B, L, O).
    phases : phase of each season, (B, L) each.
    crossed_phase : phase by which the coefficients of ``crossed`` differ, (B, L).
    crossed : regressors whose coefficients differ within the season, (B, L, X, C).
    """

    values: Tensor
    others: Tensor
    phases: list[Tensor]
    crossed_phase: Tensor | None
    crossed: Tensor | None


class LinearForecast(nn.Module):
    r"""A linear forecast of each horizon; its coefficients are fitted in closed form.

    With s the scaled series and :math:`d_{tl} = s_{t-l} - s_{t-1}`, the forecast for h steps ahead
    of step t is

    .. math:: s_{t-1} + a_h s_{t-1} + \sum_l b_{hl} d_{tl} + c_h^\top z_t + c'^\top_h x_{t-1}
              + \sum_p g_{hp}[\phi_p] + \sum_k v_{tk}\, q_{hk}[\phi] + r_h^\top x_{t-1+h},

    where :math:`\phi_p` is the phase of step t in the season p and :math:`\phi` that in the
    shortest season. z holds 1, the calendar, and of all columns, if there are several, the last
    value, its change and that since a season before. x holds the holidays and the numeric columns
    of X, and v the first wave of the year, the last value and some of the d. Where past values say
    nothing, :math:`a_h = -1`, and no other coefficient of a past value differs from zero.

    Parameters
    ----------
    features : Features
    """

    coefficients: Tensor
    known_coefficients: Tensor
    optimism: Tensor
    lag_position: Tensor
    crossed_position: Tensor
    cross_position: Tensor

    def __init__(self, features: Features):
        super().__init__()
        self.features = features
        lags = [lag for lag in features.linear_lags if lag > 1]
        position = {offset: k for k, offset in enumerate(features.naive_offsets)}
        places = torch.tensor([position[lag] for lag in lags]).long()
        self.register_buffer("lag_position", places, persistent=False)
        self.depth = max(features.linear_lags)
        # Of each season its period and its number of phases.
        seasons = sorted(features.seasons)
        self.phases = [(p, n_phases(p, MOST_PHASES)) for p in seasons]
        crossed = _crossed_lags(features)
        places = torch.tensor([1 + lags.index(lag) if lag > 1 else 0 for lag in crossed]).long()
        self.register_buffer("crossed_position", places, persistent=False)
        self.waves = features.year_channels if seasons else slice(0, 0)
        self.n_crossed = len(crossed) + (self.waves.stop - self.waves.start)
        self.n_crossed_phases = n_phases(seasons[0], MOST_CROSSED_PHASES) if seasons else 0
        # Of other columns: the change of the last step, and since a season before.
        cross = [2, *seasons] if 1 < features.n_values <= MOST_CROSS_COLUMNS else []
        cross = [lag for lag in cross if lag in features.linear_lags]
        places = torch.tensor([position[lag] for lag in cross]).long()
        self.register_buffer("cross_position", places, persistent=False)
        self.reads_columns = 1 < features.n_values <= MOST_CROSS_COLUMNS
        n_known = features.n_linear_known
        n_others = 1 + features.n_linear_calendar + n_known
        n_others += self.reads_columns * features.n_values * (1 + len(cross))
        self.sizes = [1 + len(lags), n_others, *(n for _, n in self.phases)]
        shape = (len(features.horizons), features.n_outputs)
        # D regressors that all horizons share, the crossed ones last, and P of their own.
        self.n_plain = sum(self.sizes)
        n = self.n_plain + self.n_crossed * self.n_crossed_phases
        self.register_buffer("coefficients", torch.zeros(n, *shape))
        self.register_buffer("known_coefficients", torch.zeros(n_known, *shape))
        self.level_columns = self._levels()
        # Error on rows that were not fitted to, relative to that on the others.
        self.register_buffer("optimism", torch.ones(shape))

    def _levels(self) -> list[tuple[int, int]]:
        """Regressors that are last values, and among how many phases each is divided."""
        result, n_columns = [(0, 1)], self.features.n_values
        if self.reads_columns:
            first = self.sizes[0] + 1 + self.features.n_linear_calendar
            first += self.features.n_linear_known
            result += [(first + c, 1) for c in range(n_columns)]
        if self.n_crossed_phases and 0 in self.crossed_position:
            place = self.n_crossed - len(self.crossed_position)
            place += self.crossed_position.tolist().index(0)
            result += [
                (self.n_plain + phase * self.n_crossed + place, self.n_crossed_phases)
                for phase in range(self.n_crossed_phases)
            ]
        return result

    @property
    def places_without_past(self) -> Tensor:
        """Numbers of the regressors that are one, of the calendar, of X, or a phase."""
        (n_lags, n_others, *phases), features = self.sizes, self.features
        n_given = 1 + features.n_linear_calendar + features.n_linear_known
        given = torch.arange(n_lags, n_lags + n_given)
        of_season = torch.arange(n_lags + n_others, n_lags + n_others + sum(phases))
        return torch.cat([given, of_season])

    def take(self, other: LinearForecast) -> None:
        """Take the coefficients of another linear forecast, of its last horizon for later ones."""
        horizons = [min(h, other.features.horizons[-1]) for h in self.features.horizons]
        places = [other.features.horizons.index(h) for h in horizons]
        self.coefficients.copy_(other.coefficients[:, places])
        self.known_coefficients.copy_(other.known_coefficients[:, places])
        self.optimism.copy_(other.optimism[places])

    def forward(self, targets: Targets) -> Tensor:
        """Forecasts, (B, L, J, C)."""
        regressors = self._regressors(targets)
        known = targets.regressors.known  # type: ignore[union-attr]
        last = regressors.values[:, :, :1]
        return self._combined(regressors, known, self.coefficients, self.known_coefficients, last)

    def without_past(self, given: Regressors) -> Tensor:
        """What the forecasts are without past values, (B, L, J, C): all that X and calendar add."""
        features = self.features
        shape = (*given.ordinal.shape, len(features.naive_offsets), features.n_values)
        past = given.calendar.new_zeros(()).expand(shape)
        return self(Targets(past, None, given.ordinal, None, None, given))

    def response(self) -> Tensor:
        """The next value by past values alone, for each phase of those crossed, (X, K C, C')."""
        features, device = self.features, self.coefficients.device
        n_phases = max(1, self.n_crossed_phases)
        size = len(features.naive_offsets) * features.n_values
        ordinal = torch.arange(n_phases, device=device).repeat_interleave(size)[:, None]
        if self.n_crossed_phases:
            ordinal = ordinal * (self.phases[0][0] // self.n_crossed_phases)
        calendar = self.coefficients.new_zeros(len(ordinal), 1, features.n_linear_calendar)
        known = before = None
        if features.n_linear_known:
            before = calendar.new_zeros(len(ordinal), 1, features.n_linear_known)
            known = before[:, :, None].expand(-1, -1, len(features.horizons), -1)
        given = Regressors(ordinal, calendar, known, before)
        past = torch.eye(size, dtype=calendar.dtype, device=device).repeat(n_phases, 1)
        past = past.view(len(ordinal), 1, -1, features.n_values)
        regressors = self._regressors(Targets(past, None, ordinal, None, None, given))
        # Neither the regressor that is one nor phases, which may be a thousand times as large.
        coefficients, (n_lags, n_others, *_) = self.coefficients.clone(), self.sizes
        coefficients[n_lags] = coefficients[n_lags + n_others : self.n_plain] = 0.0
        last = regressors.values[:, :, :1]
        alone = self._combined(regressors, known, coefficients, self.known_coefficients, last)
        return alone[:, 0, 0].unflatten(0, (n_phases, size))

    def crossed_phase(self, given: Regressors) -> Tensor:
        """The phase of the season whose coefficients the crossed regressors have, (B, L)."""
        if not self.n_crossed_phases:
            return torch.zeros_like(given.ordinal)
        shortest = self.phases[0][0]
        return given.ordinal % shortest // (shortest // self.n_crossed_phases)

    def parts(self, targets: Targets, groups: Groups) -> Tensor:
        """What each of G groups of regressors adds to the forecasts, (B, L, J, C, G)."""
        # The coefficients of the other groups are zero; groups take the place of horizons.
        regressors, n = self._regressors(targets), len(groups.shared)
        coefficients, known_coefficients = (
            (member.T[:, :, None, None] * of_all[:, None]).flatten(1, 2)  # (D, G J, C)
            for member, of_all in (
                (groups.shared, self.coefficients),
                (groups.known, self.known_coefficients),
            )
        )
        known = targets.regressors.known  # type: ignore[union-attr]
        known = None if known is None else known.repeat(1, 1, n, 1)
        # The last value, to which the regression adds, goes with its own coefficient.
        is_of_last = groups.shared[:, 0].repeat_interleave(len(self.features.horizons))
        last = regressors.values[:, :, :1] * is_of_last[:, None]
        parts = self._combined(regressors, known, coefficients, known_coefficients, last)
        return parts.unflatten(2, (n, -1)).movedim(2, -1)

    def _combined(
        self,
        regressors: _Regressors,
        known: Tensor | None,
        coefficients: Tensor,
        known_coefficients: Tensor,
        last: Tensor,
    ) -> Tensor:
        """The last value plus the regressors by their coefficients, (B, L, J, C)."""
        of_values, of_others, *tables = coefficients[: self.n_plain].split(self.sizes)
        result = last + torch.einsum("blkc,kjc->bljc", regressors.values, of_values)
        result = result + torch.tensordot(regressors.others, of_others, 1)
        for phase, table in zip(regressors.phases, tables, strict=True):
            result = result + F.embedding(phase, table.flatten(1)).view_as(result)
        if regressors.crossed is not None:
            table = coefficients[self.n_plain :].unflatten(0, (-1, self.n_crossed))
            looked_up = F.embedding(regressors.crossed_phase, table.flatten(1))  # type: ignore
            looked_up = looked_up.unflatten(-1, table.shape[1:])  # (B, L, X, J, C)
            result = result + (looked_up * regressors.crossed[:, :, :, None]).sum(2)
        if known is not None:
            result = result + torch.einsum("bljp,pjc->bljc", known, known_coefficients)
        return result

    def sources(self, names: ChannelNames) -> tuple[list[str], list[str]]:
        """What each coefficient belongs to: those of shared regressors, and of a horizon's own."""
        n_lags, _, *phases = self.sizes
        n_waves = self.n_crossed - len(self.crossed_position)
        shared = [LAGS] * n_lags
        shared += [INTERCEPT] + [CALENDAR] * self.features.n_linear_calendar + names.known
        if self.reads_columns:
            shared += names.of_columns(LAGS) * (1 + len(self.cross_position))
        shared += [SEASON] * sum(phases)
        crossed = [CALENDAR] * n_waves + [LAGS] * len(self.crossed_position)
        return shared + crossed * self.n_crossed_phases, names.known

    def design(self, targets: Targets, column: int, has_crossed: bool = True) -> Tensor:
        """The regressors of one column as a matrix, (B, L, D), the crossed ones last."""
        regressors = self._regressors(targets)
        dtype = regressors.values.dtype
        columns = [regressors.values[..., column], regressors.others]
        for phase, (_, n) in zip(regressors.phases, self.phases, strict=True):
            columns.append(F.one_hot(phase, n).to(dtype))
        if has_crossed and regressors.crossed is not None and regressors.crossed_phase is not None:
            one_hot = F.one_hot(regressors.crossed_phase, self.n_crossed_phases).to(dtype)
            crossed = one_hot[..., None] * regressors.crossed[..., None, :, column]
            columns.append(crossed.flatten(-2))
        return torch.cat(columns, dim=-1)

    def _regressors(self, targets: Targets) -> _Regressors:
        given = targets.regressors
        past = targets.past[..., : self.features.n_outputs]
        last = past[:, :, :1]
        values = torch.cat([last, past[:, :, self.lag_position] - last], dim=2)
        calendar, before = given.calendar, given.known_before  # type: ignore[union-attr]
        others = [calendar.new_ones((*calendar.shape[:-1], 1)), calendar]
        if before is not None:
            others.append(before)
        if self.reads_columns:
            every = targets.past[:, :, :1]
            changes = targets.past[:, :, self.cross_position] - every
            others.append(torch.cat([every, changes], dim=2).flatten(2))
        ordinal = given.ordinal  # type: ignore[union-attr]
        phases = [ordinal % p // (p // n) for p, n in self.phases]
        crossed = crossed_phase = None
        if self.n_crossed and self.n_crossed_phases:
            crossed_phase = self.crossed_phase(given)  # type: ignore[arg-type]
            # A slice, for a list of channels would be copied to the device at every step.
            waves = calendar[..., self.waves, None].expand(-1, -1, -1, past.shape[-1])
            crossed = torch.cat([waves, values[:, :, self.crossed_position]], dim=2)
        return _Regressors(values, torch.cat(others, dim=-1), phases, crossed_phase, crossed)


def _crossed_lags(features: Features) -> list[int]:
    """Lags whose coefficients differ within the season: the nearest, and around a season."""
    if not features.seasons:
        return []
    shortest, longest = min(features.seasons), max(features.seasons)
    near = {*range(1, NEAREST_CROSSED_LAGS + 1)}
    around = {shortest - 1, shortest, shortest + 1, longest}
    return sorted((near | around) & {1, *features.linear_lags})
