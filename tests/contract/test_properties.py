"""Properties that an earlier attack on the package found broken, for data that hypothesis draws.

``SKRNN_EXAMPLES=200 pytest tests/contract/test_properties.py`` draws 200 of each.
"""

import copy
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from skrnn import GRUForecaster, LSTMForecaster
from small_cases import same_weights

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning"),
]

drawn = settings(
    max_examples=int(os.environ.get("SKRNN_EXAMPLES", "12")),
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
SMALL = {"hidden_size": 3, "window_length": 6, "num_epochs": 1, "random_state": 0}
strategies = st.sampled_from(["recursive", "multioutput"])
criteria = st.sampled_from(["mae", "quantile", "normal", "studentt"])
classes = st.sampled_from([GRUForecaster, LSTMForecaster])


def values(n, seed, least=0.0):
    rng = np.random.default_rng(seed)
    return least + np.abs(rng.normal(size=n).cumsum()) + rng.poisson(1.0, n)


def series(n, seed, start="2024-01-01"):
    return pd.DataFrame({"y": values(n, seed)}, pd.date_range(start, periods=n, name="day"))


def numbers(forecaster, fh=(1, 2)):
    """Everything that is forecast."""
    parts = [forecaster.predict(fh=list(fh))]
    if forecaster.get_tag("capability:pred_int"):
        parts.append(forecaster.predict_quantiles(fh=list(fh), alpha=[0.05, 0.9]))
    return pd.concat([pd.DataFrame(part) for part in parts], axis=1)


@drawn
@given(
    lengths=st.lists(st.integers(12, 40), min_size=2, max_size=5),
    n_new=st.lists(st.integers(0, 3), min_size=5, max_size=5),
    strategy=strategies,
    criterion=criteria,
    cls=classes,
)
@example(  # the order of the series by length changes
    lengths=[12, 12],
    n_new=[1, 0, 0, 0, 0],
    strategy="recursive",
    criterion="quantile",
    cls=GRUForecaster,
)
@example(  # a longer run of steps
    lengths=[12, 12],
    n_new=[0, 1, 0, 0, 0],
    strategy="recursive",
    criterion="studentt",
    cls=LSTMForecaster,
)
def test_new_rows_of_some_series_change_no_forecast_of_the_others(
    lengths, n_new, strategy, criterion, cls
):
    whole = {f"s{k}": series(n + 3, k) for k, n in enumerate(lengths)}
    y = pd.concat({key: rows[: len(rows) - 3] for key, rows in whole.items()})
    forecaster = cls(strategy, criterion=criterion, n_samples=4, **SMALL).fit(y, fh=[1, 2])
    before = numbers(forecaster)
    counts = dict(zip(whole, n_new, strict=False))
    new = {k: rows[len(rows) - 3 :][: counts[k]] for k, rows in whole.items() if counts[k]}
    if not new:
        return
    forecaster.update(pd.concat(new), update_params=False)
    after = numbers(forecaster)
    # torch multiplies the inputs of all steps of an LSTM at once.
    # Their number decides the rounding.
    rounding = 1e-6 if cls is LSTMForecaster else 0
    for key in whole:
        same = np.allclose(before.loc[key], after.loc[key], rtol=rounding, atol=rounding)
        # Simulated paths are drawn for all series one after the other, from the same numbers.
        assert same == (key not in new)


BAD = {
    "infinite": lambda new: new.replace({"y": {new["y"].iloc[-1]: np.inf}}),
    "text": lambda new: new.astype(str),
    "no number": lambda new: new * 1j,
    "off the grid": lambda new: new.set_index(new.index + pd.Timedelta("1h")),
    "with a zone": lambda new: new.tz_localize("UTC"),
    "integers": lambda new: new.reset_index(drop=True),
    "another column": lambda new: new.assign(z=1.0),
    "far ahead": lambda new: new.set_index(new.index + pd.Timedelta("40D")),
    "twice": lambda new: pd.concat([new, new]),
}


@drawn
@given(
    kind=st.sampled_from(list(BAD)),
    strategy=strategies,
    criterion=criteria,
    update_params=st.booleans(),
    n=st.integers(20, 40),
)
@example(
    kind="another column", strategy="recursive", criterion="quantile", update_params=False, n=20
)
def test_refused_update_leaves_the_forecaster_as_it_was(
    kind, strategy, criterion, update_params, n
):
    whole = series(n + 3, n)
    forecaster = GRUForecaster(strategy, criterion=criterion, n_samples=4, **SMALL)
    forecaster.fit(whole[:n], fh=[1, 2])
    before, weights = numbers(forecaster), copy.deepcopy(forecaster.network_.state_dict())
    try:
        forecaster.update(BAD[kind](whole[n:]), update_params=update_params)
    except (TypeError, ValueError):
        pd.testing.assert_frame_equal(numbers(forecaster), before)
        assert same_weights(forecaster.network_.state_dict(), weights)
        assert forecaster.cutoff[0] == whole.index[n - 1]
    else:  # a gap is no error: it is filled
        assert kind == "far ahead"
        assert forecaster.cutoff[0] == whole.index[-1] + pd.Timedelta("40D")


@drawn
@given(
    strategy=strategies,
    criterion=criteria,
    seed=st.integers(0, 1_000),
    n_series=st.integers(1, 4),
)
def test_forecasts_from_several_threads_equal_serial_ones(strategy, criterion, seed, n_series):
    y = pd.concat({f"s{k}": series(20 + 5 * k, seed + k) for k in range(n_series)})
    forecaster = GRUForecaster(strategy, criterion=criterion, n_samples=4, **SMALL)
    forecaster.fit(y, fh=[1, 2])
    expected = numbers(forecaster)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: numbers(forecaster), range(8)):
            pd.testing.assert_frame_equal(found, expected)


@drawn
@given(
    n=st.integers(20, 60),
    rate=st.floats(0.02, 3.0),
    size=st.floats(0.1, 1e6),
    strategy=strategies,
    criterion=st.sampled_from(["mae", "mse", "quantile", "normal", "studentt", "poisson"]),
    seed=st.integers(0, 1_000),
    with_gaps=st.booleans(),
)
def test_no_forecast_of_what_was_never_negative_is_below_zero(
    n, rate, size, strategy, criterion, seed, with_gaps
):
    rng = np.random.default_rng(seed)
    y = rng.poisson(rate, n).astype(float)
    if criterion != "poisson":  # which needs whole numbers
        y = y * size * rng.uniform(0.5, 1.5, n)
    if with_gaps:
        y[rng.integers(1, n - 1, 3)] = np.nan
    y = pd.Series(y, pd.date_range("2024-01-01", periods=n), name="demand")
    fh = range(1, 8)
    forecaster = GRUForecaster(strategy, criterion=criterion, n_samples=5, **SMALL).fit(y, fh=fh)
    found = numbers(forecaster, fh)
    assert (found.to_numpy() >= 0).all()


@drawn
@given(n=st.integers(2, 30), longest=st.integers(1, 40), strategy=strategies)
def test_horizon_is_trained_for_or_refused(n, longest, strategy):
    """With all horizons at once, there must be a target so many steps after the first row."""
    y = series(n, n)["y"]
    forecaster = GRUForecaster(strategy, **SMALL)
    if strategy == "multioutput" and longest >= n:
        with pytest.raises(ValueError, match=rf"\b{longest}\b"):
            forecaster.fit(y, fh=sorted({1, longest}))
    else:
        forecast = forecaster.fit(y, fh=sorted({1, longest})).predict()
        assert np.isfinite(forecast).all()
        assert forecast.index[-1] == y.index[-1] + pd.Timedelta(days=longest)


@drawn
@given(n_series=st.integers(1, 5), longest=st.integers(10**8, 10**9))
def test_horizon_beyond_the_memory_is_refused_with_its_size(n_series, longest):
    y = pd.concat({f"s{k}": series(15, k) for k in range(n_series)})
    forecaster = GRUForecaster(**SMALL).fit(y)
    with pytest.raises(ValueError, match=rf"{n_series * longest:,}.* Shorten fh"):
        forecaster.predict(fh=[longest])
