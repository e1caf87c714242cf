import numpy as np
import pandas as pd
import pytest
import torch

from skrnn.data.diagnosis import explain_refusal

HOURS = pd.date_range("2024-01-01", periods=6, freq="h")
REFUSAL = ValueError("refused by another library")

y = pd.Series(np.arange(6.0), index=HOURS)
X = pd.DataFrame({"wind": np.arange(6.0), "day": list("aabbab")}, index=HOURS)


def holding(column, value, row=2):
    """X with one value replaced."""
    changed = X.copy()
    changed.iloc[row, changed.columns.get_loc(column)] = value
    return changed


@pytest.mark.parametrize("frame", [y, y.to_frame(), None, [y.to_frame()], y.to_numpy()])
@pytest.mark.parametrize("covariates", [X, None, X.to_numpy(), X["wind"]])
def test_data_without_a_fault_are_not_explained(frame, covariates):
    assert explain_refusal(frame, covariates, (), REFUSAL) is None


def test_explanation_has_the_refusal_as_its_cause():
    with pytest.raises(ValueError, match="column 'wind' holds nan at") as caught:
        explain_refusal(y, holding("wind", np.nan), (), REFUSAL)
    assert caught.value.__cause__ is REFUSAL


@pytest.mark.parametrize("frame", [y, None], ids=["fit", "predict"])
def test_missing_past_covariate_is_no_fault(frame):
    explain_refusal(frame, holding("wind", np.nan), ["wind"], REFUSAL)
    with pytest.raises(ValueError, match="column 'wind' holds nan at 2024-01-01 02:00:00"):
        explain_refusal(frame, holding("wind", np.nan), (), REFUSAL)


@pytest.mark.parametrize("frame", [y, None], ids=["fit", "predict"])
def test_infinite_past_covariate_is_a_fault(frame):
    with pytest.raises(ValueError, match="column 'wind' holds inf at 2024-01-01 02:00:00"):
        explain_refusal(frame, holding("wind", np.inf), ["wind"], REFUSAL)


@pytest.mark.parametrize("name", ["sun", ["wind"], np.array([1, 2])])
def test_past_covariate_that_X_lacks_is_not_blamed(name):
    explain_refusal(None, X, [name], REFUSAL)


@pytest.mark.parametrize(
    ("frame", "exception", "message"),
    [
        (y.where(y != 3, np.inf), ValueError, "y must be finite, but column 0 holds inf at"),
        (y.iloc[[0, 1, 3, 4]], ValueError, "04:00:00 follows 2024-01-01 03:00:00|03:00:00 follows"),
        (y.astype(str), TypeError, "y must be numeric"),
        (pd.concat([y, y], axis=1, keys=["a", "a"]), ValueError, "'a' is duplicated"),
        (y.set_axis(pd.Index([*HOURS[:5], "a"], dtype=object)), TypeError, "got an Index of dtype"),
        (y.set_axis([*HOURS[:5], pd.NaT]), ValueError, "in row 5 of the data it is NaT"),
        ([1.0, 2.0], TypeError, r"it is of type list. Convert it, .* `pd.Series\(y\)`"),
        ([], TypeError, "y must hold a series, but it is an empty list"),
        (torch.ones(3), TypeError, "y must be a pandas Series .* of type Tensor"),
        (pd.concat({"a": y}), TypeError, r"must be a DataFrame .* Pass `y.to_frame\(\)`"),
        (y.to_frame().reset_index(), TypeError, "put it in the index, with `.set_index`"),
    ],
)
def test_fault_of_y_is_named(frame, exception, message):
    with pytest.raises(exception, match=message):
        explain_refusal(frame, None, (), REFUSAL)


@pytest.mark.parametrize(("column", "value"), [("wind", np.nan), ("day", ["a"])])
def test_fault_of_X_outside_the_rows_of_y_is_not_blamed(column, value):
    values = X[column].to_numpy(dtype=object, copy=True)
    values[5] = value
    faulty = X.assign(**{column: values})
    explain_refusal(y[:4], faulty, (), REFUSAL)
    with pytest.raises((TypeError, ValueError), match=f"column '{column}' holds .* 05:00:00"):
        explain_refusal(y, faulty, (), REFUSAL)


def test_X_without_rows_is_named():
    with pytest.raises(ValueError, match=r"X must have a row .* but it has none"):
        explain_refusal(y, X[:0], (), REFUSAL)


@pytest.mark.parametrize(
    "index",
    [pd.timedelta_range("0h", periods=6, freq="h"), HOURS.to_period("h"), pd.RangeIndex(6)],
)
def test_X_with_another_kind_of_time_stamps_is_named(index):
    message = "those of y are of type DatetimeIndex and those of X of type .*Index. Give X the"
    with pytest.raises(TypeError, match=message):
        explain_refusal(y, X.set_axis(index), (), REFUSAL)
    panel, of_panel = (pd.concat({"a": data.to_frame()}) for data in (y, X["wind"].set_axis(index)))
    with pytest.raises(TypeError, match=message):
        explain_refusal(panel, of_panel, (), REFUSAL)


def test_rows_that_X_lacks_are_named():
    with pytest.raises(ValueError, match="1 of 6 are missing, the first 2024-01-01 05:00:00"):
        explain_refusal(y, X[:5], (), REFUSAL)
