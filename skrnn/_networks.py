"""Networks: a recurrent layer over relative inputs, correcting a mix of naive forecasts."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from skrnn._features import Features
from skrnn._gru import GRU

if TYPE_CHECKING:
    from skrnn._chunks import Chunk

CELLS = {"gru": GRU, "lstm": nn.LSTM, "rnn": nn.RNN}

# None is the zero state; an LSTM's has two parts, (hidden, cell).
State = Tensor | tuple[Tensor, ...] | None


class Steps(NamedTuple):
    """What is known before each of L time steps of B sequences.

    past : scaled values at each of K offsets before the step, (B, L, K, C).
    n_past : observations before the step, (B, L); an offset beyond it has no value.
    known : calendar and X at the step itself, (B, L, Q).
    """

    past: Tensor
    n_past: Tensor
    known: Tensor


class RecurrentNetwork(nn.Module):
    r"""One-step-ahead forecasts from every step of a sequence.

    With h the recurrent layer's output over the inputs x and n_j the naive forecasts,

    .. math:: f_t = \sum_j w_{tj}\, n_{tj} + A\,\mathrm{relu}(h_t) + b, \qquad
              w_t = \mathrm{softmax}(M h_t + m).

    A, b and M start at zero, so training starts from a fixed mix of the naive forecasts. Without
    naive forecasts, f is the plain head of a recurrent network, in torch's own initialisation.

    Parameters
    ----------
    features : Features
        Channels of the input and the naive forecasts.
    cell : {"gru", "lstm", "rnn"}
    hidden_size, num_layers : int
    dropout : float
        Between recurrent layers, as in torch; with a single layer, on its output.
    """

    lags: Tensor
    lag_position: Tensor
    candidate_weights: Tensor
    candidate_reach: Tensor

    def __init__(
        self, features: Features, cell: str, hidden_size: int, num_layers: int, dropout: float
    ):
        super().__init__()
        self.n_columns, self.n_naive = features.n_columns, features.n_naive
        self.recurrent = CELLS[cell](
            features.n_inputs,
            int(hidden_size),  # torch refuses the integers of a numpy grid
            int(num_layers),
            batch_first=True,
        )
        self.dropout = nn.Dropout()
        self.set_dropout(dropout)
        self.head = nn.Linear(hidden_size, self.n_columns)
        if self.n_naive:
            self.mix = nn.Linear(hidden_size, self.n_columns * self.n_naive)
            for parameter in (*self.head.parameters(), *self.mix.parameters()):
                nn.init.zeros_(parameter)

        # Constants of the architecture; not persistent, so a state dict holds weights alone.
        position = {offset: k for k, offset in enumerate(features.offsets)}
        lags = torch.tensor(features.lags, dtype=torch.long)
        weights = torch.zeros(len(position), self.n_naive)
        for j, candidate in enumerate(features.candidates):
            for offset, weight in candidate.items():
                weights[position[offset], j] = weight
        deepest = torch.tensor([max(c) for c in features.candidates], dtype=torch.long)
        constants = {
            "lags": lags,
            "lag_position": torch.tensor([position[lag] for lag in features.lags]).long(),
            "candidate_weights": weights,
            "candidate_reach": deepest,
        }
        for name, constant in constants.items():
            self.register_buffer(name, constant, persistent=False)

    def forward(self, steps: Steps, state: State = None) -> tuple[Tensor, State]:
        """Forecast every step, (B, L, C), and return the state after the last one."""
        hidden, state = self.recurrent(self.inputs(steps), state)  # (B, L, H)
        correction = self.head(torch.relu(self.dropout(hidden)))  # (B, L, C)
        if not self.n_naive:
            return correction, state
        naive, exists = self.naive_forecasts(steps)  # (B, L, C, J), (B, L, 1, J)
        score = self.mix(hidden).unflatten(-1, (self.n_columns, self.n_naive))
        # Where none exists, before the first season, all share: a softmax of nothing is NaN.
        exists = exists | ~exists.any(-1, keepdim=True)
        weights = score.masked_fill(~exists, -torch.inf).softmax(-1)  # (B, L, C, J)
        return (weights * naive).sum(-1) + correction, state

    def set_dropout(self, p: float) -> None:
        """Drop between recurrent layers, or the output of a single one, with probability p."""
        single = self.recurrent.num_layers == 1
        self.recurrent.dropout = 0.0 if single else p
        self.dropout.p = p if single else 0.0

    @torch.no_grad()
    def start_from(self, chunks: Iterable[Chunk], n_chunks: int = 8) -> None:
        """Let training start from the mix that favours the best naive forecasts.

        Each is weighed by its mean absolute error to the power -4, measured on a few batches: one
        with twice the error of another gets a sixteenth of its weight.
        """
        if not self.n_naive:
            return
        error = torch.zeros_like(self.mix.bias)
        n = torch.zeros_like(error)
        for chunk in islice(chunks, n_chunks):
            naive, exists = self.naive_forecasts(chunk.steps)
            counts = (chunk.weight[..., None] * exists).expand_as(naive)
            distance = (naive - chunk.target[..., None]).abs() * counts
            error += distance.sum((0, 1)).flatten()
            n += counts.sum((0, 1)).flatten()
        # A forecast that exists nowhere in the sample is not known to be better than another.
        error = torch.where(n > 0, error / n, (error / n.clamp(min=1)).max())
        self.mix.bias.copy_(-4 * (error + 1e-6).log())

    def departure(self) -> Tensor | float:
        """Squared size of what departs from a fixed mix of the naive forecasts: A, b and M."""
        if not self.n_naive:
            return 0.0
        return sum(p.square().sum() for p in (*self.head.parameters(), self.mix.weight))

    def inputs(self, steps: Steps) -> Tensor:
        """Last change (or value), lags relative to the last value, calendar and X, (B, L, D)."""
        last, before = steps.past[:, :, :1], steps.past[:, :, 1:2]  # (B, L, 1, C)
        # The bare network must find the level, so it is shown it; see `Features`.
        change = (last - before) * (steps.n_past >= 2)[..., None, None]
        first = change if self.n_naive else last
        lagged = steps.past[:, :, self.lag_position] - last  # (B, L, lags, C)
        lagged = lagged * (steps.n_past[..., None] >= self.lags)[..., None]
        return torch.cat([first.flatten(2), lagged.flatten(2), steps.known], dim=-1)

    def naive_forecasts(self, steps: Steps) -> tuple[Tensor, Tensor]:
        """Naive forecasts of each step, (B, L, C, J), and whether they exist, (B, L, 1, J)."""
        exists = steps.n_past[..., None] >= self.candidate_reach
        return steps.past.transpose(2, 3) @ self.candidate_weights, exists[:, :, None]
