"""Parameters: what is taken, what is refused or warned of, and what changing them does."""

import numpy as np
import pandas as pd
import pytest

from small_cases import SMALL, cells, noisy

pytestmark = pytest.mark.usefixtures("one_thread")


@cells
def test_sizes_of_a_numpy_grid_are_taken(cell):
    sizes = {"hidden_size": np.int64(4), "num_layers": np.int64(2)}
    as_numpy, as_int = (cell(**SMALL | sizes), cell(**SMALL | {"num_layers": 2}))
    one, other = (f.fit(noisy()).predict(fh=[1, 2]) for f in (as_numpy, as_int))
    pd.testing.assert_series_equal(one, other)
