"""The network: a recurrent layer over relative inputs, correcting a mix of naive forecasts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from skrnn.distributions import Distribution
from skrnn.features.batch import Steps, Targets
from skrnn.features.direct_forecast import DirectForecast
from skrnn.features.features import Features
from skrnn.features.naive_forecasts import NaiveForecasts
from skrnn.features.sources import (
    CALENDAR,
    CHANGES,
    GAPS,
    LAG,
    NAIVE_FORECASTS,
    ChannelNames,
)
from skrnn.network.cells import RecurrentLayers, State
from skrnn.network.dropout import Dropout

# A category is embedded in about half as many dimensions as it has values, at most so many.
MOST_EMBEDDING_DIMENSIONS = 32
# Initial weights of the naive forecasts go with their errors to the power -4 (decision 10).
ERROR_EXPONENT = 4
# Where a path is averaged with a direct forecast, the weights of its next step go with errors that
# are certain to this power (decision 45).
CERTAIN_ERROR_EXPONENT = 8
# Largest share of the error a season ahead in the initial weights; the rest is that of the next
# step (decision 11).
SEASON_SHARE = 0.75
# A correction is measured in this many errors of the best naive forecast, and in units of the
# scaled series at most (decision 10).
ERRORS_PER_CORRECTION = 10
# A column or horizon with a tiny error counts in the loss as one with this share of the mean.
LEAST_ERROR_SHARE = 0.1


class Mixed(NamedTuple):
    """What the location of forecasts is the sum of, and the other outputs for each value.

    correction : in the unit of the scaled series, (B, L, J, C).
    weights, naive : of the N naive and linear forecasts, (B, L, J, C, N); None without any.
    others : outputs beside the location, (B, L, J, C, K - 1).
    """

    correction: Tensor
    weights: Tensor | None
    naive: Tensor | None
    others: Tensor


class RecurrentNetwork(nn.Module):
    r"""Forecasts of the next values from every step of a sequence.

    With h the recurrent layer's output over the inputs and :math:`n_j` the naive forecasts of a
    target, the location of its distribution is

    .. math:: f = \sum_j w_j\, n_j + u c, \qquad w = \mathrm{softmax}(m),

    where the head computes the correction c, the scores m and the other parameters from h. Training
    starts from c = 0, a fixed mix, and a unit u of the size of its error. Without naive forecasts,
    f = c, in torch's own initialisation.

    Parameters
    ----------
    features : Features
        Inputs of a step and the naive forecasts.
    distribution : Distribution
        What is forecast of each value.
    cell : callable
        Makes a recurrent layer, see `skrnn.network.cells.Cell`.
    hidden_size, num_layers : int
    dropout : float
        Probability of dropping an output between recurrent layers; with a single layer, of
        dropping its output.
    """

    correction_scale: Tensor
    loss_weight: Tensor
    penalty_scale: Tensor
    n_observations: Tensor
    lags: Tensor
    lag_position: Tensor

    def __init__(
        self,
        features: Features,
        distribution: Distribution,
        cell: Callable[..., nn.Module],
        hidden_size: int,
        num_layers: int,
        dropout: float,
    ):
        super().__init__()
        self.features, self.distribution = features, distribution
        self.naive_forecasts = NaiveForecasts(features)
        self.ahead = features.strategy.direct(features)
        has_direct = self.ahead is not None and features.linear_lags
        self.direct = DirectForecast(self.ahead) if has_direct else None  # type: ignore[arg-type]
        widths = [min(MOST_EMBEDDING_DIMENSIONS, 1 + size // 2) for size in features.sizes]
        self.embeddings = nn.ModuleList(map(nn.Embedding, features.sizes, widths))
        hidden_size, num_layers = int(hidden_size), int(num_layers)  # torch refuses numpy's
        self.recurrent = RecurrentLayers(
            cell, features.n_inputs + sum(widths), hidden_size, num_layers, 0.0
        )
        n_naive = features.n_mixed
        n_known = features.n_known + sum(widths) + features.n_outputs * n_naive
        shape = (features.n_outputs, distribution.n_outputs, n_naive)
        self.head: Any = features.strategy.head(hidden_size, n_known, shape)
        self.output_dropout = Dropout()
        self.set_dropout(dropout)
        n_horizons = len(features.horizons)
        # Units of the correction, weights of the losses, and unit of the penalty; see `start_from`.
        self.register_buffer("correction_scale", torch.ones(n_horizons, features.n_outputs, 1))
        self.register_buffer("loss_weight", torch.ones(n_horizons, features.n_outputs))
        self.register_buffer("penalty_scale", torch.ones(()))
        # Observations trained on so far, those of pretraining included.
        self.register_buffer("n_observations", torch.zeros(()))

        # Constants of the architecture; not persistent, so a state dict holds what was trained.
        position = {offset: k for k, offset in enumerate(features.offsets)}
        places = torch.tensor([position[lag] for lag in features.lags])
        self.register_buffer("lags", torch.tensor(features.lags).long(), persistent=False)
        self.register_buffer("lag_position", places.long(), persistent=False)

    def forward(
        self, steps: Steps, targets: Targets, state: State = None, at: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Parameters of every step's forecasts, (B, L, J, C, K), and the state after the last.

        Or those of M steps, ``at`` (B, M), which the ``targets`` then belong to.
        """
        hidden, state = self.encode(steps, state)
        if at is not None:
            hidden = hidden.gather(1, at[..., None].expand(-1, -1, hidden.shape[-1]))
        return self.decode(hidden, targets), state

    def encode(self, steps: Steps, state: State = None) -> tuple[Tensor, State]:
        """Output of the recurrent layer at every step, (B, L, H), and the state after the last."""
        return self.recurrent(self.inputs(steps), state)

    def states_of_steps(self, steps: Steps) -> tuple[Tensor, State] | None:
        """Output of the recurrent layer and its states after every step, (B, L, H) each.

        Without dropout; None for cells that cannot tell them.
        """
        return self.recurrent.states_of_steps(self.inputs(steps))

    def inputs(self, steps: Steps) -> Tensor:
        """Last changes (or value), lags relative to the last value, calendar and X, (B, L, D)."""
        features = self.features
        last = steps.past[:, :, :1]  # (B, L, 1, C)
        back = torch.arange(2, features.patch_length + 2, device=last.device)
        changes = last - steps.past[:, :, 1 : features.patch_length + 1]  # (B, L, patch, C)
        changes = changes * (steps.n_past[..., None] >= back)[..., None]
        if not features.naive:
            # Without naive forecasts the network must find the level itself; see `Features`.
            changes = torch.cat([last, changes[:, :, :-1]], dim=2)
        lagged = steps.past[:, :, self.lag_position] - last  # (B, L, lags, C)
        exists = (steps.n_past[..., None] >= self.lags)[..., None]
        channels = [changes.flatten(2), (lagged * exists).flatten(2), steps.known]
        if steps.observed is not None:
            missing = 1 - steps.observed
            channels += [missing[:, :, 0], (missing[:, :, self.lag_position] * exists).flatten(2)]
        return torch.cat([*channels, *self._embedded(steps.codes)], dim=-1)

    def decode(self, hidden: Tensor, targets: Targets) -> Tensor:
        """Parameters of the forecasts, (B, L, J, C, K), from the recurrent layer's output."""
        return self.parameters_of(self.mixed(hidden, targets), targets)

    def mixed(self, hidden: Tensor, targets: Targets, naive: Tensor | None = None) -> Mixed:
        """The correction, and the naive forecasts with their weights.

        Naive forecasts that are given, (B, L, J, C, N), all exist.
        """
        exists = None
        if naive is None:
            naive, exists = self.naive_forecasts(targets)  # (B, L, J, C, N), (B, L, J, 1, N)
        known = self.known_of_targets(targets, naive, exists)
        correction, others, score = self._decoded(hidden, known)
        if score is None:
            return Mixed(correction, None, None, others)
        if exists is not None:
            # Where none exists, before the first season, all share: a softmax of nothing is NaN.
            shared = exists | ~exists.any(-1, keepdim=True)
            score = score.masked_fill(~shared, -torch.inf)
        return Mixed(correction, score.softmax(-1), naive, others)  # (B, L, J, C, N)

    def parameters_of(self, mixed: Mixed, targets: Targets) -> Tensor:
        """Parameters of the distribution whose location is the mix and its correction."""
        location = mixed.correction
        if mixed.weights is not None and mixed.naive is not None:
            location = location + (mixed.weights * mixed.naive).sum(-1)
        outputs = torch.cat([location[..., None], mixed.others], dim=-1)
        if targets.scale is not None:
            scale = targets.scale.expand(outputs.shape[:-1])[..., None]
            outputs = torch.cat([outputs, scale], dim=-1)
        return self.distribution(outputs)

    def correction(self, hidden: Tensor, known: Tensor | None) -> Tensor:
        """The correction alone, (B, L, J, C), from the known inputs of each target."""
        return self._decoded(hidden, known)[0]

    def _decoded(
        self, hidden: Tensor, known: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """The correction in the unit of the scaled series, the other outputs, and scores."""
        outputs, score = self.head(hidden, self.output_dropout(hidden), known)
        correction = outputs[..., 0]
        if score is not None:
            correction = correction * self.correction_scale[..., 0]
        return correction, outputs[..., 1:], score

    def known_of_targets(
        self, targets: Targets, naive: Tensor, exists: Tensor | None
    ) -> Tensor | None:
        """Known inputs of each target, (B, L, J, Q); None where those of the step hold them."""
        if targets.known is None:
            return None
        last = targets.past[:, :, 0, : self.features.n_outputs, None]  # (B, L, C, 1)
        relative = naive - last[:, :, None]
        relative = relative if exists is None else relative * exists
        channels = [targets.known, relative.flatten(3), *self._embedded(targets.codes)]
        return torch.cat(channels, dim=-1)

    def _embedded(self, codes: Tensor | None) -> list[Tensor]:
        return [table(codes[..., k]) for k, table in enumerate(self.embeddings)]  # type: ignore

    # ------------------------------------------------------------- what the inputs belong to

    def input_sources(self, names: ChannelNames) -> list[str]:
        """What each channel of `inputs` belongs to."""
        features = self.features
        sources = names.of_columns(CHANGES) * features.patch_length
        for lag in features.lags:
            sources += names.of_columns(f"{LAG}{lag}")
        sources += [CALENDAR] * features.n_calendar + names.known
        if features.missing:
            sources += [GAPS] * features.n_values * (1 + len(features.lags))
        return sources + self._embedded_sources(names)

    def target_sources(self, names: ChannelNames) -> list[str]:
        """What each channel of `known_of_targets` belongs to."""
        features = self.features
        sources = [CALENDAR] * features.n_calendar + names.known
        sources += [NAIVE_FORECASTS] * features.n_outputs * features.n_mixed
        return sources + self._embedded_sources(names)

    def _embedded_sources(self, names: ChannelNames) -> list[str]:
        widths = [table.weight.shape[1] for table in self.embeddings]  # type: ignore[index, union-attr]
        pairs = zip(names.categories, widths, strict=True)
        return [name for name, width in pairs for _ in range(width)]

    def baseline(self, n_channels: int) -> Tensor:
        """Inputs, or known inputs of a target, that say nothing in particular, (D,).

        Nothing has changed, there is no holiday, the calendar is at the centre of its cycles,
        numeric columns of X are at their mean in training (unscaled ones at zero), and categories
        at the mean of all.
        """
        embedded = [table.weight.mean(0) for table in self.embeddings]  # type: ignore[operator]
        width = sum(map(len, embedded))
        return torch.cat([self.correction_scale.new_zeros(n_channels - width), *embedded])

    def set_dropout(self, p: float) -> None:
        """Drop between recurrent layers, or the output of a single one, with probability p."""
        single = len(self.recurrent.layers) == 1
        self.recurrent.dropout.p = 0.0 if single else p
        self.output_dropout.p = p if single else 0.0

    @property
    def has_dropout(self) -> bool:
        """Whether training draws random numbers for dropout."""
        return bool(self.recurrent.dropout.p or self.output_dropout.p)

    def draw_dropout_from(self, generator: torch.Generator | None) -> None:
        """Let dropout draw from a generator; None is torch's global one."""
        self.recurrent.dropout.generator = self.output_dropout.generator = generator

    # ---------------------------------------------------------------- loss and starting point

    def loss(self, parameters: Tensor, values: Tensor, weight: Tensor) -> Tensor:
        """Mean loss over the targets that count, from the parameters of forecasts (..., J, C, K).

        Each horizon's and column's loss is divided by the error of its best naive forecast, so that
        all weigh the same.
        """
        return self.distribution.mean_loss(parameters, values, self.loss_weights(weight))

    def loss_weights(self, weight: Tensor) -> Tensor:
        """How much each target counts in the loss, (..., J, C)."""
        return weight * self.loss_weight

    def penalty(self) -> Tensor | float:
        """Squared size of what moves forecasts away from a fixed mix, in the unit of the loss."""
        if not self.features.naive:
            return 0.0
        squares = sum(weight.square().sum() for weight in self.head.penalized())
        return self.penalty_scale * squares

    @torch.no_grad()
    def start_from(
        self,
        errors: Tensor,
        season_errors: Tensor | None,
        prior_weight: float,
        certainty: float,
    ) -> None:
        r"""Let training start from the mix that favours the best naive forecasts.

        Initial weights are proportional to :math:`e^{-4}`, e being the mean absolute error: a
        forecast with twice the error of another gets a sixteenth of its weight. Recursively, where
        each forecast is an input of the next, what is best one step ahead may be worthless a day
        ahead. So the error over a season, :math:`e_s`, counts up to three times as much as that of
        the next step, less so the more observations there are per unit of the prior: the network
        then learns a mix of its own. Where paths are averaged with a direct forecast, which knows
        the steps of a season, the next step's error alone counts. Initial weights are then
        proportional to :math:`e^{-(4 + 4 q)}`, q being how certain the errors are.

        With e and :math:`e_s` those of the best naive forecast, also set are

        - the initial scale of a distribution: e,
        - the unit of a correction, min(10 e, 1): what is forecast well from the start, such as a
          straight line, is not disturbed,
        - the unit of the penalty, :math:`e (e_s / e)^2`: a correction grows along the recursion as
          the error does, and enters squared,
        - the loss weights 1 / e of each horizon and column.

        Parameters
        ----------
        errors : Tensor of shape (J, C, N)
            Mean absolute errors, see `NaiveForecasts.errors`.
        season_errors : Tensor of shape (1, C, N), or None
            Those over a season, of a recursive network.
        prior_weight : float
            Weight of the prior: the observations that it counts as, per observation trained on.
        certainty : float
            How certain the errors are, q, from 0 to 1.
        """
        distribution = self.distribution
        if not self.features.naive:
            # Values of a scaled series are about 1.
            self.head.start_from(distribution.start(errors.new_ones(errors.shape[:2])))
            return
        least = errors.amin(-1)
        growth = torch.ones_like(least)  # (J, C)
        if season_errors is not None:
            growth = (season_errors.amin(-1) / least).clamp(min=1)
        scores = self.initial_scores(errors, season_errors, prior_weight, certainty)
        self.head.mix_bias.copy_(scores)
        self.head.start_from(distribution.start(least))
        self.correction_scale.copy_((ERRORS_PER_CORRECTION * least[..., None]).clamp(max=1))
        size = least if distribution.has_unit else torch.ones_like(least)
        self.penalty_scale.copy_((size * growth**2).mean())
        if distribution.has_unit:
            weight = least.clamp(min=LEAST_ERROR_SHARE * least.mean()).reciprocal()
            self.loss_weight.copy_(weight / weight.mean())

    def initial_scores(
        self,
        errors: Tensor,
        season_errors: Tensor | None,
        prior_weight: float,
        certainty: float,
    ) -> Tensor:
        """Scores of the mix from which training starts, (J, C, N); see `start_from`."""
        score, exponent = errors.log(), float(ERROR_EXPONENT)
        if self.direct is not None:
            exponent += certainty * (CERTAIN_ERROR_EXPONENT - ERROR_EXPONENT)
        elif season_errors is not None:
            share = SEASON_SHARE / (1 + 1 / prior_weight)
            score = share * season_errors.log() + (1 - share) * score
        return -exponent * score

    def initial_weights(self) -> Tensor:
        """Weights of the mix before any correction, (J, C, N)."""
        return self.head.mix_bias.detach().softmax(-1)


def error_weights(errors: Tensor) -> Tensor:
    """Weights of forecasts with these mean absolute errors, (..., N)."""
    return (-ERROR_EXPONENT * errors.log()).softmax(-1)
