import numpy as np
import pytest

from skpro_checks import COLUMNS, INDEX, INDICES, check_quantiles_and_labels, check_variance
from skrnn.distributions import Normal
from skrnn.forecasting.samples import Samples

rng = np.random.default_rng(0)
# Location and scale of four values.
NORMAL = np.array([[0.0, 1.0], [-5.0, 0.2], [100.0, 30.0], [1e-3, 1e-2]])


def test_quantiles_mean_and_variance_of_equally_likely_values_by_hand():
    values = np.array([[4.0, 0.0, 3.0, 1.0, 2.0], [7.0, 7.0, 7.0, 7.0, 7.0]])
    samples = Samples()
    # Value k of five stands at level (k + 1/2) / 5; between them it is linear.
    made = samples.quantiles(values, [0.01, 0.1, 0.2, 0.5, 0.9, 0.99])
    np.testing.assert_allclose(made, [[0, 0, 0.5, 2, 4, 4], [7] * 6])
    assert samples.point(values).tolist() == [2.0, 7.0]
    assert samples.variance(values).tolist() == [2.0, 0.0]


def test_quantiles_taken_as_values_give_the_same_quantiles():
    levels = (np.arange(50) + 0.5) / 50
    values = Normal().quantiles(NORMAL, levels)
    np.testing.assert_allclose(Samples().quantiles(values, levels), values, rtol=1e-9)


@pytest.mark.parametrize("index", INDICES, ids=["panel", "series"])
def test_distribution_of_skpro_has_the_same_quantiles_and_labels(index):
    check_quantiles_and_labels(Samples(), rng.normal(size=(3, 2, 500)), index, has_formula=False)


def test_distribution_of_skpro_has_the_same_variance():
    check_variance(Samples(), rng.normal(size=(3, 2, 500)))


def test_sample_of_skpro_is_a_whole_path():
    # Path v has the values 10 v + row in both columns: no sample mixes two paths.
    paths = np.arange(3.0)[:, None, None] + 10 * np.arange(20) + np.zeros((3, 2, 1))
    distribution = Samples().skpro(paths, index=INDEX, columns=COLUMNS)
    seen = set()
    for _ in range(30):
        sample = distribution.sample().to_numpy()
        v, row = divmod(sample, 10)
        assert len(np.unique(v)) == 1
        assert row.tolist() == [[0, 0], [1, 1], [2, 2]]
        seen.add(v[0, 0])
    assert len(seen) > 5


def test_unscaled_samples_are_in_the_unit_of_the_data():
    values = rng.normal(size=(4, 3, 2, 9))
    center, scale = np.array([3.0, -7.0])[:, None], np.array([10.0, 0.1])[:, None]
    np.testing.assert_allclose(Samples().unscaled(values, center, scale), values * scale + center)
