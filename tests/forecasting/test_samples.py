import numpy as np
import pandas as pd
import pytest

from skrnn.forecasting.samples import Samples

VALUES = np.array([[[4.0, 1.0, 2.0, 9.0]]])  # (n, C, V)


def test_point_is_the_mean_of_the_values():
    assert Samples().point(VALUES).tolist() == [[4.0]]


def test_variance_is_that_of_the_values():
    assert Samples().variance(VALUES).tolist() == [[np.var([4, 1, 2, 9])]]


def test_values_are_quantiles_in_the_middle_of_their_shares():
    # Four values are the quantiles at 1/8, 3/8, 5/8 and 7/8; linear between them (Hazen).
    levels = [0.01, 0.125, 0.25, 0.375, 0.5, 0.875, 0.99]
    quantiles = Samples().quantiles(VALUES, levels)
    assert quantiles.tolist() == [[[1.0, 1.0, 1.5, 2.0, 3.0, 9.0, 9.0]]]


def test_distribution_has_the_values_and_the_labels():
    pytest.importorskip("skpro")
    index, columns = pd.RangeIndex(3, 5), pd.Index(["a"])
    values = np.stack([VALUES[0], 10 + VALUES[0]])  # two rows
    distribution = Samples().skpro(values, index=index, columns=columns)
    assert distribution.mean()["a"].to_dict() == {3: 4.0, 4: 14.0}
    paths = distribution.sample(50)["a"].unstack().to_numpy()
    # A sample is one of the four paths, whose second value is ten more than the first.
    assert (paths[:, 1] - paths[:, 0] == 10).all()
    assert set(paths[:, 0]) == {1.0, 2.0, 4.0, 9.0}
