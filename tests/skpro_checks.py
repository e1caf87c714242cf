"""What every distribution that is handed to skpro must keep."""

import numpy as np
import pandas as pd
import scipy
from packaging.version import Version

# Its quantiles of Student's t have some ten digits, and may cross by a rounding.
OLD_SCIPY = Version(scipy.__version__) < Version("1.12")
INDEX = pd.MultiIndex.from_tuples(
    [
        ("a", pd.Timestamp("2024-01-01")),
        ("a", pd.Timestamp("2024-01-02")),
        ("b", pd.Timestamp("2024-01-01")),
    ],
    names=["series", "time"],
)
INDICES = [INDEX, pd.RangeIndex(3)]
COLUMNS = pd.Index(["u", "v"])


def columns_of(parameters):
    """Parameters (3, 2, K) of three rows and two columns, no two of them alike."""
    parts = [parameters[[0, 1, 2]], parameters[[2, 0, 1]]]
    return np.stack(parts, axis=1)


def check_quantiles_and_labels(distribution, parameters, index, has_formula):
    converted = distribution.skpro(parameters, index=index, columns=COLUMNS)
    pd.testing.assert_index_equal(converted.index, index)
    pd.testing.assert_index_equal(converted.columns, COLUMNS)
    levels = [0.1, 0.5, 0.8]
    frame = converted.quantile(levels)
    expected = distribution.quantiles(parameters, levels)
    # Equally likely values give a quantile up to one of them.
    low, high = (distribution.quantiles(parameters, np.array(levels) + e) for e in (-0.006, 0.006))
    for c, column in enumerate(COLUMNS):
        for a, level in enumerate(levels):
            values = frame[(column, level)].to_numpy()
            if has_formula:
                rtol, atol = (1e-8, 1e-12) if OLD_SCIPY else (1e-9, 0)
                np.testing.assert_allclose(values, expected[:, c, a], rtol=rtol, atol=atol)
            assert (low[:, c, a] <= values + 1e-9).all()
            assert (values <= high[:, c, a] + 1e-9).all()


def check_variance(distribution, parameters):
    converted = distribution.skpro(parameters, index=INDEX, columns=COLUMNS)
    np.testing.assert_allclose(converted.var(), distribution.variance(parameters), rtol=1e-6)
