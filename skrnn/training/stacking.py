"""Stacking: weights of the naive and linear forecasts by their errors together."""

from __future__ import annotations

import torch
from torch import Tensor

from skrnn.features.device_panel import DevicePanel
from skrnn.features.naive_forecasts import NaiveForecasts
from skrnn.training.least_squares import LeftOut

# Steps of mirror descent; the step size falls with their root, and the last half is averaged.
N_STEPS, FIRST_STEP = 30, 4.0
# The initial weights count as so many independent targets. Targets of neighbouring steps overlap: h
# steps ahead, one in h of all steps is independent, and each of a sample that is as sparse.
PRIOR_TARGETS = 20.0
# A forecast must exist at this share of the steps to be compared.
LEAST_SHARE_OF_STEPS = 0.5
# An error in units of the scaled series that counts as none; the logarithm of a weight of none.
LEAST_ERROR, LOG_OF_NOTHING = 1e-6, -80.0


@torch.no_grad()
def stacked_weights(
    naive: NaiveForecasts, data: DevicePanel, left_out: LeftOut, weights: Tensor
) -> Tensor:
    r"""Weights of the mix that forecast best together, (J, C, N).

    They minimise the mean absolute error of the mix, in units of that of its best part, plus
    :math:`\frac{20 h}{n} \mathrm{KL}(w \| w_0)` for n steps. The factor is 20 divided by the number
    of sampled steps where these are so sparse that their targets do not overlap.

    Parameters
    ----------
    naive : NaiveForecasts
    data : DevicePanel
        With the features of ``naive``.
    left_out : LeftOut
        Linear forecasts of steps that were not fitted to.
    weights : Tensor of shape (J, C, N)
        Initial weights, :math:`w_0`.
    """
    t, places = left_out.t, left_out.places
    data, series = data.near(left_out.series, t, t + naive.features.horizons[-1])
    targets = data.targets(series, t[:, None])
    values, observed = data.target_values(series, t[:, None])
    forecasts, exists = naive(targets)
    forecasts = forecasts[:, 0, places].clone()  # (n, J', C, N)
    forecasts[..., -1] = left_out.forecasts
    error = forecasts - values[:, 0, places, :, None]
    exists = exists[:, 0, places].expand_as(error)
    # A forecast that most steps lack keeps its initial weight. The others are compared at the steps
    # at which all of them exist.
    is_rare = exists.to(error.dtype).mean(0) < LEAST_SHARE_OF_STEPS  # (J', C, N)
    counts = (exists | is_rare).all(-1, keepdim=True).expand_as(error).to(error.dtype)
    if observed is not None:
        counts = counts * observed[:, 0, places, :, None]
    n = counts.sum(0).clamp(min=1)
    error = error.masked_fill(is_rare, 0.0)
    size = ((error.abs() * counts).sum(0) / n).masked_fill(is_rare, torch.inf)
    share = counts / n / (size.amin(-1, keepdim=True) + LEAST_ERROR)
    horizons = torch.tensor(naive.features.horizons, device=values.device)[places]
    overlap = (horizons[:, None, None] * len(t) / left_out.n_steps).clamp(min=1)
    strength = PRIOR_TARGETS * overlap / n
    initial = weights[places]
    start = initial.clamp(min=torch.finfo(weights.dtype).tiny).log()
    start = start.masked_fill(is_rare, LOG_OF_NOTHING).log_softmax(-1)
    weighted, score, mean = error * share, start, torch.zeros_like(start)
    for k in range(N_STEPS):
        mix = score.softmax(-1)
        # The error of a mix is the mix of the errors, for weights add up to 1.
        sign = (error * mix).sum(-1, keepdim=True).sign()
        gradient = (sign * weighted).sum(0)
        # Where one forecast is nearly exact, the others' errors are large in its unit.
        largest = gradient.abs().amax(-1, keepdim=True).clamp(min=1)
        step = FIRST_STEP / (k + 1) ** 0.5 / largest
        # An implicit step of the divergence, which is stable however strong it is.
        score = (score - step * gradient + step * strength * start) / (1 + step * strength)
        score = score.log_softmax(-1)
        if k >= N_STEPS // 2:
            mean += mix / (N_STEPS - N_STEPS // 2)
    rare = initial * is_rare
    found = mean * ~is_rare
    found = found / found.sum(-1, keepdim=True) * (1 - rare.sum(-1, keepdim=True))
    return (found + rare)[left_out.nearest]
