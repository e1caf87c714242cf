"""Networks: a recurrent layer over relative inputs, correcting a mix of naive forecasts."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from skrnn._distributions import Distribution
from skrnn._features import LEVELS, Features, season_depths, seasons_back
from skrnn._layers import GRU, LSTM

if TYPE_CHECKING:
    from skrnn._chunks import Chunk

CELLS = {"gru": GRU, "lstm": LSTM, "rnn": nn.RNN}

# Targets' worth of belief that a naive forecast is as good as the last value.
FEW = 2.0
NEVER = 2**40  # rows before a step that no series has

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


class Ahead(NamedTuple):
    """What is known of the J targets of each of L steps of B sequences.

    past : scaled values at each of K offsets before the step, (B, L, K, C).
    levels : means over each of P periods before the step, and before the seasons that the naive
        forecasts go back to, (B, L, P, 1 + J, C); or None.
    n_past : rows before the step, (B, L).
    known : calendar and numbers of X at each target, (B, L, J, Q); None for the step's own.
    codes : categories of X at each target, (B, L, J, E), or None.
    """

    past: Tensor
    levels: Tensor | None
    n_past: Tensor
    known: Tensor | None
    codes: Tensor | None


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
    lags: Tensor
    lag_position: Tensor
    depth: Tensor
    target_position: Tensor
    before_position: Tensor
    season_depth: Tensor
    drift: Tensor

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

        # Constants of the architecture; not persistent, so a state dict holds what was learnt.
        position = {offset: k for k, offset in enumerate(features.offsets)}
        naive_position = {offset: k for k, offset in enumerate(features.naive_offsets)}
        depth = torch.ones(len(features.ahead), n_naive, dtype=torch.long)
        seasons, before, drift = [], [], []
        for j, h in enumerate(features.ahead):
            for i, (name, p) in enumerate(features.candidates):
                back = seasons_back(h, p) * p
                if name not in ("last", "mean"):
                    extra = {"shifted": 1, "leveled": p, "drift": p}
                    depth[j, i] = back + extra.get(name, 1 - h)
                if name == "drift":
                    drift.append(h / back)
            periods = features.seasonal_periods
            seasons.append([season_depths(h, p) for p in periods])
            before.append([naive_position.get(seasons_back(h, p) * p + 1, 0) for p in periods])
        # The sets of seasons differ in size: a depth of NEVER fills them up.
        most = max((len(part) for row in seasons for part in row), default=0)
        seasons = [[part + [NEVER] * (most - len(part)) for part in row] for row in seasons]
        target = [[[naive_position.get(d, 0) for d in part] for part in row] for row in seasons]
        constants = {
            "lags": torch.tensor(features.lags, dtype=torch.long),
            "lag_position": torch.tensor([position[lag] for lag in features.lags]).long(),
            "depth": depth,
            "season_depth": torch.tensor(seasons).long(),  # (J, P, seasons)
            "target_position": torch.tensor(target).long(),  # (J, P, seasons)
            "before_position": torch.tensor(before).long(),  # (J, P)
            "drift": torch.tensor(drift)[:, None],  # (J, 1), periods ahead
        }
        for name, constant in constants.items():
            self.register_buffer(name, constant, persistent=False)

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
            exists = exists | ~exists.any(-1, keepdim=True)
            weights = score.masked_fill(~exists, -torch.inf).softmax(-1)  # (B, L, J, C, N)
            mixed = (weights * naive).sum(-1, keepdim=True)
            outputs = torch.cat([outputs[..., :1] * self.unit + mixed, outputs[..., 1:]], dim=-1)
        return self.distribution.parameters(outputs)

    def set_dropout(self, p: float) -> None:
        """Drop between recurrent layers, or the output of a single one, with probability p."""
        single = self.recurrent.num_layers == 1
        self.recurrent.dropout = 0.0 if single else p
        self.dropout.p = p if single else 0.0

    @torch.no_grad()
    def start_from(self, chunks: Iterable[Chunk], n_chunks: int = 8) -> None:
        """Let training start from the mix that favours the best naive forecasts.

        Each is weighed by its mean absolute error to the power -4, measured on a few batches: one
        with twice the error of another gets a sixteenth of its weight. Those that exist late are
        compared with the last value on the same targets. The best one's error e is

        - the first guess of how wide a distribution is,
        - the size of a loss, to which the prior belief in the mix is held,
        - the size of a correction: its unit is 10 e, at most that of the scaled series, so that
          what is forecast well from the start, such as a straight line, is not disturbed,
        - the unit in which the errors of a step ahead, and of a column, enter the loss: a mean of
          errors would be one of those far ahead.
        """
        sums = self.head.mix_bias.new_zeros(2, *self.head.mix_bias.shape)  # (2, J, C, N)
        if not self.features.candidates:
            # Of a scaled series, whose values are about 1.
            self.head.start(self.distribution.start(sums[0].sum(-1) + 1))
            return
        total = sums.new_zeros(2, *sums.shape[1:3], 1)  # (2, J, C, 1)
        for chunk in islice(chunks, n_chunks):
            naive, exists = self.naive_forecasts(chunk.ahead)
            weight = chunk.weight[..., None]  # (B, L, J, C, 1)
            counts = weight * exists  # (B, L, J, C, N)
            last = chunk.ahead.past[:, :, None, 0, : self.features.n_outputs]  # always exists
            missed = (last - chunk.target).abs()[..., None]
            sums[0] += ((naive - chunk.target[..., None]).abs() * counts).sum((0, 1))
            sums[1] += (missed * counts).sum((0, 1))
            total[0] += (missed * weight).sum((0, 1))
            total[1] += weight.sum((0, 1))
        own, last = sums
        usual = total[0] / total[1].clamp(min=1)
        # Of a step ahead that no sampled target has, the worst is assumed.
        usual = torch.where(total[1] > 0, usual, usual.amax()) + 1e-6
        # As if FEW targets more had been missed by as much as the last value misses.
        error = usual * (own + FEW * usual) / (last + FEW * usual)
        self.head.mix_bias.copy_(-4 * error.log())
        least = error.amin(-1)  # (J, C)
        self.head.start(self.distribution.start(least))
        self.unit.copy_((10 * least[..., None]).clamp(max=1))
        if self.distribution.has_unit:
            self.error.copy_(least.mean())
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

    def naive_forecasts(self, ahead: Ahead) -> tuple[Tensor, Tensor]:
        """Naive forecasts, (B, L, J, C, N), and whether they exist, (B, L, J, 1, N)."""
        past = ahead.past[..., : self.features.n_outputs]
        whole = past[:, :, None, 0].expand(-1, -1, len(self.features.ahead), -1)
        made = [
            self._naive(name, p, past, ahead).expand_as(whole)
            for name, p in self.features.candidates
        ]
        exists = (ahead.n_past[..., None, None] >= self.depth)[:, :, :, None]  # (B, L, J, 1, N)
        return torch.stack(made, dim=-1) if made else whole[..., None][..., :0], exists

    def _naive(self, name: str, p: int, past: Tensor, ahead: Ahead) -> Tensor:
        """One naive forecast of each horizon, (B, L, J, C), or of all of them, (B, L, 1, C)."""
        features, last = self.features, past[:, :, None, 0]
        if name == "last":
            return last
        if name in LEVELS:
            k = features.level_periods.index(p)
            levels = ahead.levels[:, :, k, :, : features.n_outputs]  # type: ignore[index]
            level, earlier = levels[:, :, :1], levels[:, :, 1:]  # (B, L, 1, C), (B, L, J, C)
            if name == "mean":
                return level
            if name == "drift":
                return last + (level - earlier) * self.drift
        k = features.seasonal_periods.index(p)
        if name == "averaged":
            seasons = past[:, :, self.target_position[:, k]]  # (B, L, J, seasons, C)
            there = ahead.n_past[..., None, None] >= self.season_depth[:, k]
            there[..., 0] = True  # where there is none, it is masked as "seasonal" is
            there = there[..., None].to(past.dtype)  # (B, L, J, seasons, 1)
            return (seasons * there).sum(3) / there.sum(3)
        seasonal = past[:, :, self.target_position[:, k, 0]]  # (B, L, J, C)
        if name == "shifted":
            return seasonal + last - past[:, :, self.before_position[:, k]]
        return seasonal + level - earlier if name == "leveled" else seasonal


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
