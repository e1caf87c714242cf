"""Leakage: no forecast knows a value of the time that it forecasts, or of a later one."""

import copy

import numpy as np
import pandas as pd
import pytest

from skrnn import GRUForecaster, LSTMForecaster, backtest
from skrnn.datasets import make_hourly_load
from skrnn.explanation import explain

pytestmark = pytest.mark.usefixtures("one_thread")

N, CHANGED = 240, 200  # rows, and the first that changes
FH = [1, 2, 5]
LOAD = make_hourly_load(n_series=1, n_hours=N, random_state=0).droplevel(0)["load_mw"]
WITH_GAPS = LOAD.mask(np.isin(np.arange(N) % 25, [3, 4, 5]))
GAP_BEFORE_CHANGE = LOAD.mask((np.arange(N) >= CHANGED - 6) & (np.arange(N) < CHANGED))
X = pd.DataFrame({"price": LOAD.shift(1).bfill() / 100, "known": np.arange(N) % 7.0}, LOAD.index)
SMALL = {"hidden_size": 4, "num_epochs": 2, "random_state": 0}
DEMAND = pd.Series(np.random.default_rng(0).poisson(0.3, N).astype(float), LOAD.index)
SHIFTED = LOAD + 3_000.0 * (np.arange(N) > N - 30)

CASES = {
    "plain": ({}, LOAD, None),
    "robust": ({"scaler": "robust"}, LOAD, None),
    "lags": ({"lags": [1, 24], "sp": 24}, LOAD, None),
    "no linear forecast": ({"linear_lags": None}, LOAD, None),
    "quantiles": ({"criterion": "quantile"}, LOAD, None),
    "missing values": ({}, WITH_GAPS, None),
    "a gap up to the change": ({}, GAP_BEFORE_CHANGE, None),
    "past covariates": ({"past_covariates": ["price"]}, LOAD, X),
    "holidays": ({"holidays": pd.DatetimeIndex(["2017-01-02", "2017-01-06"])}, LOAD, None),
    "never negative": ({"naive": ["last"], "sp": None, "linear_lags": None}, DEMAND, None),
    "a level shift": ({}, SHIFTED, None),
    "two columns": ({}, pd.DataFrame({"a": LOAD, "b": LOAD[::-1].to_numpy()}), None),
}


def changed(data, columns=None):
    """The data with other values from row `CHANGED` on; known covariates stay."""
    result = data.copy()
    if columns is None:
        result.iloc[CHANGED:] = -1_000 - 3 * result.iloc[CHANGED:].to_numpy()
    else:
        result.loc[result.index[CHANGED:], columns] += 1_000
    return result


# The cells take turns: both meet the plain case in both strategies, and each half of the others.
CELLS = {name: [(GRUForecaster, LSTMForecaster)[k % 2]] for k, name in enumerate(CASES)}
CELLS["plain"] = [GRUForecaster, LSTMForecaster]


@pytest.mark.parametrize(("name", "cls"), [(name, cls) for name in CASES for cls in CELLS[name]])
@pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
def test_values_from_a_time_on_change_no_forecast_up_to_it(name, cls, strategy):
    options, y, x = CASES[name]
    x_changed = None if x is None else changed(x, ["price"])
    rows = np.arange(CHANGED - 20, N) - (N - 1)  # from the end, as sktime counts them
    fh = [*rows, *FH]
    forecaster = cls(strategy, **SMALL, **options).fit(y, x, fh=fh)

    # In-sample forecasts: that of the first changed row reads the rows before it alone.
    other = copy.deepcopy(forecaster)
    new_x = None if x is None else x_changed.iloc[CHANGED:]
    other.update(changed(y).iloc[CHANGED:], new_x, update_params=False)
    ahead = pd.date_range(y.index[-1], periods=6, freq="h")[1:]
    known = None if x is None else pd.concat([x, x.iloc[-24:-19].set_axis(ahead)])
    before, after = (f.predict(fh, X=known) for f in (forecaster, other))
    assert before.iloc[:21].equals(after.iloc[:21])
    assert not before.iloc[21:].equals(after.iloc[21:])

    # Nor does what a forecast is the sum of know more.
    before, after = (explain(f, fh=fh, X=known) for f in (forecaster, other))
    assert before.iloc[:21].equals(after.iloc[:21])

    # Backtests: a cutoff before the change knows nothing of it.
    tables = [
        backtest(forecaster, data, known, fh=FH, start=CHANGED - 12)
        for data, known in ((y, x), (changed(y), x_changed))
    ]
    made = [table[["y_pred"]].unstack("time") for table in tables]
    is_before = made[0].index < y.index[CHANGED]
    assert is_before.sum() == 12
    assert made[0][is_before].equals(made[1][is_before])
    assert not made[0][~is_before].equals(made[1][~is_before])
