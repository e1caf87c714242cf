"""Heads: from the recurrent output to the correction and the scores of the mix."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# The decoder of several horizons has half as many units as the recurrent layer, at least so many.
FEWEST_DECODER_UNITS = 8


class StepHead(nn.Module):
    r"""The next step: correction :math:`c = A\,\mathrm{relu}(h) + b`, scores :math:`M h + m`.

    Parameters
    ----------
    hidden_size : int
    shape : tuple of int
        C columns, K outputs for each, N naive forecasts.
    """

    # Whether known inputs of the targets are decoded.
    reads_targets = False

    def __init__(self, hidden_size: int, shape: tuple[int, int, int]):
        super().__init__()
        n_columns, n_outputs, n_naive = shape
        self.shape = (1, n_columns, n_outputs)
        self.correction = nn.Linear(hidden_size, n_columns * n_outputs)
        self.mix = nn.Linear(hidden_size, n_columns * n_naive, bias=False) if n_naive else None
        self.mix_bias = nn.Parameter(torch.zeros(1, n_columns, n_naive))
        if self.mix is not None:
            _zero(self.correction, self.mix)

    def forward(
        self, hidden: Tensor, dropped: Tensor, known: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Outputs (B, L, 1, C, K) and scores (B, L, 1, C, N), None without naive forecasts."""
        outputs = self.correction(torch.relu(dropped)).unflatten(-1, self.shape)
        if self.mix is None:
            return outputs, None
        return outputs, self.mix(hidden).unflatten(-1, self.mix_bias.shape) + self.mix_bias

    def start_from(self, outputs: Tensor) -> None:
        """Let training start from these outputs, (1, C, K), except for the location."""
        bias = self.correction.bias.view(self.shape)
        bias[..., 1:] = outputs[..., 1:]

    def penalized(self) -> list[Tensor]:
        """The weights that move a forecast away from a fixed mix: A, b of the locations, M."""
        bias = self.correction.bias.view(self.shape)[..., 0]
        return [self.correction.weight, bias, self.mix.weight]  # type: ignore[union-attr]


class HorizonHead(nn.Module):
    r"""J horizons at once: each is decoded from the state and from what is known of its target.

    With :math:`u_j` the known inputs of target j (calendar, X, its naive forecasts relative to the
    last value) and :math:`p_j` a vector for the horizon,

    .. math:: e_j = \mathrm{relu}(U h + V u_j + p_j), \qquad
              c_j = A e_j + B_j h + b_j, \qquad m_j = M e_j + q_j.

    Parameters
    ----------
    hidden_size : int
    n_known : int
        Channels of u.
    n_horizons : int
        J horizons.
    shape : tuple of int
        C columns, K outputs for each, N naive forecasts.
    """

    reads_targets = True

    def __init__(
        self, hidden_size: int, n_known: int, n_horizons: int, shape: tuple[int, int, int]
    ):
        super().__init__()
        n_columns, n_outputs, n_naive = shape
        self.shape = (n_horizons, n_columns, n_outputs)
        width = max(FEWEST_DECODER_UNITS, hidden_size // 2)
        self.state = nn.Linear(hidden_size, width)
        # Without known inputs there is nothing to decode from them; torch warns of an empty layer.
        self.known = nn.Linear(n_known, width, bias=False) if n_known else None
        self.horizon = nn.Parameter(torch.zeros(n_horizons, width))
        self.correction = nn.Linear(width, n_columns * n_outputs, bias=False)
        self.direct = nn.Linear(hidden_size, n_horizons * n_columns * n_outputs)
        self.mix = nn.Linear(width, n_columns * n_naive, bias=False) if n_naive else None
        self.mix_bias = nn.Parameter(torch.zeros(n_horizons, n_columns, n_naive))
        if self.mix is not None:
            _zero(self.correction, self.direct, self.mix)

    def forward(
        self, hidden: Tensor, dropped: Tensor, known: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Outputs (B, L, J, C, K) and scores (B, L, J, C, N), None without naive forecasts."""
        decoded = self.state(dropped)[:, :, None]
        if self.known is not None:
            decoded = decoded + self.known(known)
        decoded = torch.relu(decoded + self.horizon)  # (B, L, J, width)
        outputs = self.correction(decoded).unflatten(-1, self.shape[1:])
        outputs = outputs + self.direct(dropped).unflatten(-1, self.shape)
        if self.mix is None:
            return outputs, None
        score = self.mix(decoded).unflatten(-1, self.mix_bias.shape[1:])
        return outputs, score + self.mix_bias

    def start_from(self, outputs: Tensor) -> None:
        """Let training start from these outputs, (J, C, K), except for the location."""
        bias = self.direct.bias.view(self.shape)
        bias[..., 1:] = outputs[..., 1:]

    def penalized(self) -> list[Tensor]:
        """The weights that move a forecast away from a fixed mix: A, B, M, b of the locations."""
        bias = self.direct.bias.view(self.shape)[..., 0]
        weights = [self.correction.weight, self.direct.weight, self.mix.weight]  # type: ignore
        return [*weights, bias]


def _zero(*modules: nn.Module) -> None:
    """Start a correction at zero, so that training starts from the mix."""
    for module in modules:
        for parameter in module.parameters():
            nn.init.zeros_(parameter)
