"""Networks: a recurrent layer over relative inputs, correcting a mix of naive forecasts."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from skrnn.distributions import Distribution
from skrnn.features.features import Features
from skrnn.features.naive import Ahead, NaiveForecasts
from skrnn.network.layers import GRU, LSTM

CELLS = {"gru": GRU, "lstm": LSTM, "rnn": nn.RNN}

# Most of the error a season ahead in the weights of the naive forecasts; the rest is the next
# step's.
SHARE_OF_SEASON = 0.75
# Naive forecasts that are values of the series, and by how much less values that are one may
# differ, in units of the scaled series: by rounding.
PLAIN = ("last", "seasonal")
AGREE = 1e-4

# None is the zero state; an LSTM's has two parts, (hidden, cell).
State = Tensor | tuple[Tensor, ...] | None


class Steps(NamedTuple):
    """What is known before each of L steps of B sequences.

    past : scaled values at each of K offsets before the step, (B, L, K, C).
    observed : 1 where these were observed, 0 where they stand in for a missing value; or None.
    n_past : rows before the step, (B, L); an offset beyond it has no value.
    known : calendar and numbers of X at the step itself, (B, L, Q).
    codes : categories of X at the step itself, (B, L, E); None if there are none.
    """

    past: Tensor
    observed: Tensor | None
    n_past: Tensor
    known: Tensor
    codes: Tensor | None

    def between(self, first: int, stop: int) -> Steps:
        """Steps ``first`` to ``stop``."""
        parts = (None if part is None else part[:, first:stop] for part in self)
        return Steps(*parts)  # type: ignore[arg-type]


class RecurrentNetwork(nn.Module):
    r"""Forecasts of the next values from every step of a sequence.

    With h the recurrent layer's output over the inputs x, and n_j the naive forecasts of a target,
    its distribution has the location

    .. math:: f = \sum_j w_j\, n_j + u c, \qquad w = \mathrm{softmax}(m),

    where the head makes the correction c, the scores m and the other parameters from h. Training
    starts from c = 0, a fixed mix and a unit u of its error. Without naive forecasts, f = c, in
    torch's own initialisation.

    Parameters
    ----------
    features : Features
        Channels of the input and the naive forecasts.
    distribution : Distribution
        What is forecast of each value.
    cell : {"gru", "lstm", "rnn"}
    hidden_size, num_layers : int
    dropout : float
        Between recurrent layers, as in torch; with a single layer, on its output.
    """

    unit: Tensor
    emphasis: Tensor
    error: Tensor
    seen: Tensor
    lags: Tensor
    lag_position: Tensor
    plain: Tensor

    def __init__(
        self,
        features: Features,
        distribution: Distribution,
        cell: str,
        hidden_size: int,
        num_layers: int,
        dropout: float,
    ):
        super().__init__()
        self.features, self.distribution = features, distribution
        self.naive_forecasts = NaiveForecasts(features)
        # A category's place among others is learnt; the width grows with their number, slowly.
        widths = [min(32, 1 + size // 2) for size in features.sizes]
        self.embeddings = nn.ModuleList(map(nn.Embedding, features.sizes, widths))
        n_embedded = sum(widths)
        self.recurrent = CELLS[cell](
            features.n_inputs + n_embedded,
            int(hidden_size),  # torch refuses the integers of a numpy grid
            int(num_layers),
            batch_first=True,
        )
        n_naive = len(features.candidates)
        shape = (features.n_outputs, distribution.n_parameters, n_naive)
        if features.horizons:
            n_known = features.n_known + n_embedded + features.n_outputs * n_naive
            self.head: StepHead | HorizonHead = HorizonHead(
                int(hidden_size), n_known, len(features.horizons), *shape
            )
        else:
            self.head = StepHead(int(hidden_size), *shape)
        self.dropout = nn.Dropout()
        self.set_dropout(dropout)
        # Sizes of the correction, of each forecast in the loss and of the loss; see `start_from`.
        self.register_buffer("unit", torch.ones(len(features.ahead), features.n_outputs, 1))
        self.register_buffer("emphasis", torch.ones(len(features.ahead), features.n_outputs))
        self.register_buffer("error", torch.ones(()))
        # Observations learnt from, in pretraining too: what the mix is believed in less for.
        self.register_buffer("seen", torch.zeros(()))

        # Constants of the architecture; not persistent, so a state dict holds what was learnt.
        position = {offset: k for k, offset in enumerate(features.offsets)}
        at = torch.tensor([position[lag] for lag in features.lags])
        self.register_buffer("lags", torch.tensor(features.lags).long(), persistent=False)
        self.register_buffer("lag_position", at.long(), persistent=False)
        plain = [k for k, (name, _) in enumerate(features.candidates) if name in PLAIN]
        self.register_buffer("plain", torch.tensor(plain).long(), persistent=False)

    def forward(
        self, steps: Steps, ahead: Ahead, state: State = None, at: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Parameters of every step's forecasts, (B, L, J, C, K), and the state after the last.

        Or those of M steps, ``at`` (B, M), whose targets ``ahead`` then tells of.
        """
        hidden, state = self.encode(steps, state)
        if at is not None:
            hidden = hidden.gather(1, at[..., None].expand(-1, -1, hidden.shape[-1]))
        return self.decode(hidden, ahead), state

    def encode(self, steps: Steps, state: State = None) -> tuple[Tensor, State]:
        """Output of the recurrent layer at every step, (B, L, H), and the state after the last."""
        return self.recurrent(self.inputs(steps), state)

    def decode(self, hidden: Tensor, ahead: Ahead) -> Tensor:
        """Parameters of the forecasts, (B, L, J, C, K), from the recurrent layer's output."""
        features = self.features
        naive, exists = self.naive_forecasts(ahead)  # (B, L, J, C, N), (B, L, J, 1, N)
        known = None
        if ahead.known is not None:
            last = ahead.past[:, :, 0, : features.n_outputs, None]  # (B, L, C, 1)
            relative = (naive - last[:, :, None]) * exists
            channels = [ahead.known, relative.flatten(3), *self._embedded(ahead.codes)]
            known = torch.cat(channels, dim=-1)
        outputs, score = self.head(hidden, self.dropout(hidden), known)
        if score is not None:
            # Where none exists, before the first season, all share: a softmax of nothing is NaN.
            shared = exists | ~exists.any(-1, keepdim=True)
            weights = score.masked_fill(~shared, -torch.inf).softmax(-1)  # (B, L, J, C, N)
            made = outputs[..., :1] * self.unit + (weights * naive).sum(-1, keepdim=True)
            made = self._kept(made, naive, exists)
            outputs = torch.cat([made, outputs[..., 1:]], dim=-1)
        return self.distribution.parameters(outputs)

    def _kept(self, made: Tensor, naive: Tensor, exists: Tensor) -> Tensor:
        """Forecasts made, and the last value where it is also that of every season before.

        Of a median, and unless X or a longer cycle of the calendar tells more: rare demand and what
        has been flat for a season go on as they are. A mean may still be another number.
        """
        is_median, is_foreseen = self.distribution.is_median, self.features.is_foreseen
        if not (is_median and is_foreseen and len(self.plain) > 1):
            return made
        values = naive.index_select(-1, self.plain)
        there = exists.index_select(-1, self.plain).all(-1, keepdim=True)
        agree = values.amax(-1, keepdim=True) - values.amin(-1, keepdim=True) <= AGREE
        return torch.where(agree & there, values[..., :1], made)

    def set_dropout(self, p: float) -> None:
        """Drop between recurrent layers, or the output of a single one, with probability p."""
        single = self.recurrent.num_layers == 1
        self.recurrent.dropout = 0.0 if single else p
        self.dropout.p = p if single else 0.0

    @torch.no_grad()
    def start_from(
        self, error: Tensor, season: Tensor | None = None, trust: float = torch.inf
    ) -> None:
        """Let training start from the mix that favours the best naive forecasts.

        Each is weighed by its mean absolute error to the power -4: one with twice the error of
        another gets a sixteenth of its weight. Where one step's forecast is an input of the next,
        what is best one step ahead may be worthless after a day, so that the error a season ahead
        counts up to three times as much as that of the next step. Less where data are many: there
        the next steps teach the network a mix of its own, and it had better start near it.

        The best one's errors, e of the next step and e_s a season ahead, are

        - the first guess of how wide a distribution is: e,
        - the size of a loss, to which the prior belief in the mix is held: e (e_s / e)^2, for a
          correction grows along the steps as the error does, and enters squared,
        - the size of a correction: its unit is 10 e, at most that of the scaled series, so that
          what is forecast well from the start, such as a straight line, is not disturbed,
        - the unit in which the errors of a step ahead, and of a column, enter the loss: a mean of
          errors would be one of those far ahead.

        Parameters
        ----------
        error : Tensor of shape (J, C, N)
            Mean absolute errors, see `NaiveForecasts.errors`.
        season : Tensor of shape (1, C, N), optional
            Those over a season, of a network that forecasts one step after the other.
        trust : float, default=inf
            In the mix: how many times as many observations the prior belief in it is worth as
            there are.
        """
        if not self.features.candidates:
            # Of a scaled series, whose values are about 1.
            self.head.start(self.distribution.start(error.new_ones(error.shape[:2])))
            return
        score, least = error.log(), error.amin(-1)
        growth = torch.ones_like(least)  # (J, C)
        if season is not None:
            share = SHARE_OF_SEASON / (1 + 1 / trust)
            score = share * season.log() + (1 - share) * score
            growth = (season.amin(-1) / least).clamp(min=1)
        self.head.mix_bias.copy_(-4 * score)
        self.head.start(self.distribution.start(least))
        self.unit.copy_((10 * least[..., None]).clamp(max=1))
        size = least if self.distribution.has_unit else torch.ones_like(least)
        self.error.copy_((size * growth**2).mean())
        if self.distribution.has_unit:
            # At most ten times the mean's weight: a column that is known exactly is not all.
            emphasis = least.clamp(min=0.1 * least.mean()).reciprocal()
            self.emphasis.copy_(emphasis / emphasis.mean())

    def loss(self, made: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Mean loss over the targets that count, of parameters made (..., J, C, K)."""
        return self.distribution.mean_loss(made, target, weight * self.emphasis)

    def departure(self) -> Tensor | float:
        """Squared size of what departs from a fixed mix of the naive forecasts, as a loss."""
        if not self.features.candidates:
            return 0.0
        return self.error * sum(parameter.square().sum() for parameter in self.head.departing())

    def inputs(self, steps: Steps) -> Tensor:
        """Last changes (or value), lags relative to the last value, calendar and X, (B, L, D)."""
        features = self.features
        last = steps.past[:, :, :1]  # (B, L, 1, C)
        back = torch.arange(2, features.patch_length + 2, device=last.device)
        changes = last - steps.past[:, :, 1 : features.patch_length + 1]  # (B, L, patch, C)
        changes = changes * (steps.n_past[..., None] >= back)[..., None]
        if not features.candidates:
            # The bare network must find the level, so it is shown it; see `Features`.
            changes = torch.cat([last, changes[:, :, :-1]], dim=2)
        lagged = steps.past[:, :, self.lag_position] - last  # (B, L, lags, C)
        there = (steps.n_past[..., None] >= self.lags)[..., None]
        channels = [changes.flatten(2), (lagged * there).flatten(2), steps.known]
        if steps.observed is not None:
            missing = 1 - steps.observed
            channels += [missing[:, :, 0], (missing[:, :, self.lag_position] * there).flatten(2)]
        return torch.cat([*channels, *self._embedded(steps.codes)], dim=-1)

    def _embedded(self, codes: Tensor | None) -> list[Tensor]:
        return [table(codes[..., k]) for k, table in enumerate(self.embeddings)]  # type: ignore


class StepHead(nn.Module):
    r"""One step ahead: correction :math:`A\,\mathrm{relu}(h) + b`, scores :math:`M h + m`.

    Parameters
    ----------
    hidden_size : int
    n_columns, n_parameters, n_naive : int
        C columns, K outputs for each, N naive forecasts.
    """

    def __init__(self, hidden_size: int, n_columns: int, n_parameters: int, n_naive: int):
        super().__init__()
        self.shape = (1, n_columns, n_parameters)
        self.correction = nn.Linear(hidden_size, n_columns * n_parameters)
        self.mix = nn.Linear(hidden_size, n_columns * n_naive, bias=False) if n_naive else None
        self.mix_bias = nn.Parameter(torch.zeros(1, n_columns, n_naive))
        if self.mix is not None:
            for parameter in (*self.correction.parameters(), self.mix.weight):
                nn.init.zeros_(parameter)

    def forward(
        self, hidden: Tensor, dropped: Tensor, known: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Outputs (B, L, 1, C, K) and scores (B, L, 1, C, N), None without naive forecasts."""
        outputs = self.correction(torch.relu(dropped)).unflatten(-1, self.shape)
        if self.mix is None:
            return outputs, None
        return outputs, self.mix(hidden).unflatten(-1, self.mix_bias.shape) + self.mix_bias

    def start(self, outputs: Tensor) -> None:
        """Let training start from these outputs, (1, C, K), but for the location."""
        bias = self.correction.bias.view(self.shape)
        bias[..., 1:] = outputs[..., 1:]

    def departing(self) -> list[Tensor]:
        """What departs from a fixed mix: A, b of the locations, M."""
        bias = self.correction.bias.view(self.shape)[..., 0]
        return [self.correction.weight, bias, self.mix.weight]  # type: ignore[union-attr]


class HorizonHead(nn.Module):
    r"""J steps ahead at once: each target decoded from the state and what is known of the target.

    With u_j what is known of target j (calendar, X, its naive forecasts relative to the last
    value) and p_j a vector for its place,

    .. math:: e_j = \mathrm{relu}(U h + V u_j + p_j), \qquad
              c_j = A e_j + B_j h, \qquad m_j = M e_j + q_j.

    Parameters
    ----------
    hidden_size : int
    n_known : int
        Channels of u.
    n_horizons, n_columns, n_parameters, n_naive : int
        J horizons, C columns, K outputs for each, N naive forecasts.
    """

    def __init__(
        self,
        hidden_size: int,
        n_known: int,
        n_horizons: int,
        n_columns: int,
        n_parameters: int,
        n_naive: int,
    ):
        super().__init__()
        self.shape = (n_horizons, n_columns, n_parameters)
        width = max(8, hidden_size // 2)
        self.state = nn.Linear(hidden_size, width)
        self.known = nn.Linear(n_known, width, bias=False)
        self.place = nn.Parameter(torch.zeros(n_horizons, width))
        self.correction = nn.Linear(width, n_columns * n_parameters, bias=False)
        self.direct = nn.Linear(hidden_size, n_horizons * n_columns * n_parameters)
        self.mix = nn.Linear(width, n_columns * n_naive, bias=False) if n_naive else None
        self.mix_bias = nn.Parameter(torch.zeros(n_horizons, n_columns, n_naive))
        if self.mix is not None:
            for module in (self.correction, self.direct, self.mix):
                for parameter in module.parameters():
                    nn.init.zeros_(parameter)

    def forward(
        self, hidden: Tensor, dropped: Tensor, known: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Outputs (B, L, J, C, K) and scores (B, L, J, C, N), None without naive forecasts."""
        decoded = self.state(dropped)[:, :, None] + self.known(known) + self.place
        decoded = torch.relu(decoded)  # (B, L, J, width)
        outputs = self.correction(decoded).unflatten(-1, self.shape[1:])
        outputs = outputs + self.direct(dropped).unflatten(-1, self.shape)
        if self.mix is None:
            return outputs, None
        score = self.mix(decoded).unflatten(-1, self.mix_bias.shape[1:])
        return outputs, score + self.mix_bias

    def start(self, outputs: Tensor) -> None:
        """Let training start from these outputs, (J, C, K), but for the location."""
        bias = self.direct.bias.view(self.shape)
        bias[..., 1:] = outputs[..., 1:]

    def departing(self) -> list[Tensor]:
        """What departs from a fixed mix: A, B, M."""
        bias = self.direct.bias.view(self.shape)[..., 0]
        weights = [self.correction.weight, self.direct.weight, self.mix.weight]  # type: ignore
        return [*weights, bias]
