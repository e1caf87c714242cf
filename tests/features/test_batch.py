"""Batches: cutting the steps of sequences."""

import pytest
import torch

from skrnn.features.batch import Steps


@pytest.mark.parametrize("has_missing", [True, False])
@pytest.mark.parametrize("has_codes", [True, False])
def test_steps_between_are_those_rows_of_every_part(has_missing, has_codes):
    past = torch.arange(2 * 6 * 3.0).reshape(2, 6, 3, 1)
    n_past = torch.arange(12).reshape(2, 6)
    steps = Steps(
        past=past,
        observed=past + 100 if has_missing else None,
        n_past=n_past,
        known=past[:, :, 0],
        codes=n_past[..., None] if has_codes else None,
    )
    between = steps.between(2, 5)
    assert torch.equal(between.past, past[:, [2, 3, 4]])
    assert torch.equal(between.n_past, n_past[:, [2, 3, 4]])
    assert torch.equal(between.known, past[:, [2, 3, 4], 0])
    for part, whole in ((between.observed, steps.observed), (between.codes, steps.codes)):
        assert part is whole is None or torch.equal(part, whole[:, [2, 3, 4]])
