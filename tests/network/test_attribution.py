"""Attribution of the correction: against integrated gradients by autograd, and by hand."""

import numpy as np
import pytest
import torch

from builders import dates, features_of, network_of, randomised, read
from skrnn.network.attribution import InputGroups, Located, attributed
from skrnn.network.layers import MIN_STEPS

pytestmark = pytest.mark.usefixtures("one_thread")

N_ROWS, AT = 40, (25, 38)
N_POINTS = 64


def case(cell, horizons):
    """A random network, and the inputs of two forecasts of a series with a calendar and X."""
    rng = np.random.default_rng(0)
    features = features_of(
        (5,), (3,), ("last", "seasonal"), ("hour",), n_numbers=1, horizons=horizons
    )
    network = randomised(network_of(features, cell, hidden_size=6))
    index, X = dates("h", N_ROWS), {"x": rng.normal(size=N_ROWS)}
    steps, targets, _ = read(features, rng.normal(size=N_ROWS), start=6, X=X, index=index)
    inputs = network.inputs(steps).detach()
    step = torch.tensor([AT]) - 6
    known = network.known_of_targets(targets, *network.naive_forecasts(targets))
    known = None if known is None else known[:, step[0]].detach()
    at = Located(inputs, torch.zeros(1, 1, dtype=torch.long), step, known)
    n_known = 0 if known is None else known.shape[-1]
    groups = [f"g{k % 3}" for k in range(inputs.shape[-1])]
    names = ["g0", "g1", "g2"]
    return network, InputGroups.of(names, groups, groups[:1] * n_known, inputs.device), at


def correction(network, at, inputs, known):
    hidden = network.recurrent(inputs)[0][at.run, at.step]
    return network.correction(hidden, known)[0]  # (T, J, C)


def integrated_gradients(network, groups, at):
    """The integral of the gradient along the straight line, by the midpoint rule."""
    start = network.baseline(at.inputs.shape[-1])
    way = at.inputs - start
    known_start = known_way = None
    if at.known is not None:
        known_start = network.baseline(at.known.shape[-1])
        known_way = at.known - known_start
    shape = correction(network, at, at.inputs, at.known).shape
    result = torch.zeros(*shape, groups.n_groups)
    for k in range(N_POINTS):
        share = (k + 0.5) / N_POINTS
        inputs = (start + share * way).requires_grad_()
        known = None if known_way is None else (known_start + share * known_way).requires_grad_()
        values = correction(network, at, inputs, known)
        for place in np.ndindex(*shape):
            leaves = [inputs] if known is None else [inputs, known]
            gradients = torch.autograd.grad(values[place], leaves, retain_graph=True)
            by_channel = (gradients[0] * way).sum((0, 1))
            result[place].index_add_(0, groups.inputs, by_channel / N_POINTS)
            if known is not None:
                by_channel = (gradients[1] * known_way).sum((0, 1, 2))
                result[place].index_add_(0, groups.known, by_channel / N_POINTS)
    return result


@pytest.mark.parametrize("horizons", [None, [1, 4]], ids=["recursive", "multioutput"])
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_attributions_are_integrated_gradients_and_complete(cell, horizons):
    network, groups, at = case(cell, horizons)
    assert at.inputs.shape[1] >= MIN_STEPS  # so that the Numba layers' gradients are compared with
    with torch.no_grad():
        found = attributed(network, groups, at)[0].detach()
        whole = correction(network, at, at.inputs, at.known)
    expected = integrated_gradients(network, groups, at)
    size = expected.abs().sum(-1, keepdim=True)
    assert ((found[..., :-1] - expected).abs() / size).max() < 0.01
    torch.testing.assert_close(found.sum(-1), whole, rtol=1e-4, atol=1e-5)
    start = torch.zeros_like(at.inputs)
    known = None if at.known is None else torch.zeros_like(at.known)
    torch.testing.assert_close(found[..., -1], correction(network, at, start, known).detach())


def test_one_group_has_all_that_the_baseline_has_not():
    network, groups, at = case("gru", None)
    alone = InputGroups(1, torch.zeros_like(groups.inputs), groups.known)
    with torch.no_grad():
        found = attributed(network, alone, at)[0]
        whole = correction(network, at, at.inputs, None)
    torch.testing.assert_close(found[..., 0], whole - found[..., 1], rtol=1e-4, atol=1e-5)


def test_later_steps_owe_nothing_to_an_earlier_forecast():
    network, groups, at = case("gru", None)
    changed = at.inputs.clone()
    changed[:, AT[0] - 5 :] += 1.0
    with torch.no_grad():
        before, after = (
            attributed(network, groups, at._replace(inputs=inputs))[0]
            for inputs in (at.inputs, changed)
        )
    torch.testing.assert_close(before[0], after[0])
    assert (before[1] - after[1]).abs().max() > 1e-3
