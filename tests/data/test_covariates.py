import numpy as np
import pandas as pd
import pytest

from skrnn.data.covariates import Covariates, is_number, rows_of

HOURS = pd.date_range("2024-01-01", periods=4, freq="h")


def frame(**columns):
    return pd.DataFrame(columns, index=HOURS)


X = frame(
    price=[1.5, 2.5, 3.5, 4.5],
    day=["mon", "tue", "mon", "sun"],
    wind=[5, 6, 7, 8],
    open=[True, False, True, True],
    shop=pd.Categorical(["b", "a", "b", "b"], categories=["a", "b", "never"]),
)


# --------------------------------------------------------------------- kinds


def test_columns_are_numbers_or_categories_by_their_dtype():
    covariates = Covariates.of(X, ())
    assert covariates.columns.tolist() == ["price", "day", "wind", "open", "shop"]
    assert covariates.known.tolist() == ["price", "day", "wind", "open", "shop"]
    assert covariates.numbers.tolist() == [True, False, True, True, False]
    assert covariates.past == ()


def test_categories_are_the_values_in_order_of_appearance():
    covariates = Covariates.of(X, ())
    assert {name: list(values) for name, values in covariates.categories.items()} == {
        "day": ["mon", "tue", "sun"],
        "shop": ["b", "a"],
    }
    assert covariates.sizes == (3, 2)


def test_past_columns_are_not_known():
    covariates = Covariates.of(X, ["wind", "price"])
    assert covariates.past == ("wind", "price")
    assert covariates.known.tolist() == ["day", "open", "shop"]
    assert covariates.numbers.tolist() == [False, True, False]
    assert covariates.sizes == (3, 2)


def test_without_X_there_is_no_column():
    covariates = Covariates.of(None, ())
    assert len(covariates.columns) == len(covariates.known) == len(covariates.numbers) == 0
    assert covariates.sizes == ()
    assert covariates.read_known(None, HOURS).shape == (4, 0)
    assert covariates.read_past(None, HOURS).shape == (4, 0)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2], True),
        ([1.0, np.nan], True),
        ([True, False], True),
        (pd.array([1, None], dtype="Int64"), True),
        (pd.array([True, None], dtype="boolean"), True),
        (np.array([1, 2.5, None], dtype=object), True),
        (np.array([True, False], dtype=object), True),
        (np.array([None, None], dtype=object), True),
        (np.array([1, "1"], dtype=object), False),
        (["1", "2"], False),
        (pd.Categorical([1, 2]), False),
        ([1 + 2j, 0j], False),
        (pd.to_datetime(["2024-01-01", "2024-01-02"]), False),
    ],
    ids=str,
)
def test_column_is_numeric_by_its_dtype_or_by_its_values_if_they_are_objects(values, expected):
    assert is_number(pd.Series(values)) is expected


def test_past_covariate_that_is_not_a_column_is_named():
    with pytest.raises(ValueError, match=r"but 'sun' is none of them, \['price', 'day', 'wind'"):
        Covariates.of(X, ["wind", "sun"])
    with pytest.raises(ValueError, match=r"but 'wind' is none of them, \[\]"):
        Covariates.of(None, ["wind"])


def test_categorical_past_covariate_is_refused():
    with pytest.raises(TypeError, match="must be numbers, but column 'day' is categorical"):
        Covariates.of(X, ["day"])


def test_duplicated_column_of_X_is_named():
    twice = pd.DataFrame(np.ones((4, 3)), index=HOURS, columns=["a", "b", "a"])
    with pytest.raises(ValueError, match="X must have each column once, but 'a' is duplicated"):
        Covariates.of(twice, ())
    with pytest.raises(ValueError, match="X must have each column once, but 'a' is duplicated"):
        Covariates.of(twice, ["a"])


@pytest.mark.parametrize("name", [["wind"], {"wind"}, np.array(["wind"]), bytearray(b"wind")])
def test_past_covariate_that_cannot_be_a_name_is_refused(name):
    with pytest.raises(TypeError, match=r"must be names of columns of X\. Got .*wind") as caught:
        Covariates.of(X, ["price", name])
    assert "Pass a flat list of names, such as ['price', 'day']" in str(caught.value)


def test_past_covariate_that_is_named_twice_is_refused():
    with pytest.raises(ValueError, match="must be distinct, but 'wind' is duplicated"):
        Covariates.of(X, ["wind", "price", "wind"])


def test_past_covariate_of_a_column_with_levels_is_named_in_full():
    levels = X[["price", "wind"]].set_axis(pd.MultiIndex.from_tuples([("a", 1), ("a", 2)]), axis=1)
    covariates = Covariates.of(levels, [("a", 2)])
    assert covariates.known.tolist() == [("a", 1)]
    assert covariates.read_past(levels, HOURS)[:, 0].tolist() == [5, 6, 7, 8]
    with pytest.raises(ValueError, match="but 'a' is none of them"):
        Covariates.of(levels, ["a"])


# ---------------------------------------------------------------- categories


def test_categories_are_those_in_the_rows_of_y():
    covariates = Covariates.of(X, (), HOURS[:2])
    assert {name: list(values) for name, values in covariates.categories.items()} == {
        "day": ["mon", "tue"],
        "shop": ["b", "a"],
    }
    assert covariates.sizes == (2, 2)
    assert covariates.read_known(X, HOURS[:2])[:, 1].tolist() == [0, 1]
    with pytest.raises(ValueError, match="holds 'sun' at 2024-01-01 03:00:00"):
        covariates.read_known(X, HOURS)


@pytest.mark.parametrize("order", [[3, 2, 1, 0], [1, 3, 0, 2]])
def test_rows_of_y_are_found_in_any_order_of_X(order):
    covariates = Covariates.of(X.iloc[order], (), HOURS[1:3])
    assert set(covariates.categories["day"]) == {"tue", "mon"}


def test_categories_of_a_panel_are_those_in_the_rows_of_each_series():
    index = pd.MultiIndex.from_product([["a", "b"], HOURS])
    days = pd.DataFrame({"day": list("kkkl") + list("mmno")}, index=index)
    rows = index[[0, 1, 2, 4, 5]]
    assert Covariates.of(days, (), rows).categories["day"].tolist() == ["k", "m"]


@pytest.mark.parametrize(
    ("index", "lacking"),
    [
        (pd.date_range("2024-01-01", periods=5, freq="h"), "1 of 5 are missing"),
        (HOURS.tz_localize("UTC"), "4 of 4 are missing"),
        (pd.RangeIndex(4), "4 of 4 are missing"),
        (pd.MultiIndex.from_product([["a"], HOURS]), "4 of 4 are missing"),
    ],
    ids=["longer", "time zone", "integers", "panel"],
)
def test_rows_that_X_lacks_are_named_when_it_is_read(index, lacking):
    covariates = Covariates.of(X, (), index)
    with pytest.raises(ValueError, match=lacking):
        covariates.read_known(X, index)


def test_rows_of_a_single_series_that_X_of_a_panel_lacks_are_named_when_it_is_read():
    panel = X.set_axis(pd.MultiIndex.from_product([["a"], HOURS]))
    covariates = Covariates.of(panel, (), HOURS)
    with pytest.raises(ValueError, match="4 of 4 are missing"):
        covariates.read_known(panel, HOURS)


def test_kind_of_a_column_is_that_of_all_its_rows():
    late = frame(x=pd.Series([1, 2, "a", "b"], index=HOURS, dtype=object))
    assert Covariates.of(late, (), HOURS[:2]).categories["x"].tolist() == [1, 2]


@pytest.mark.parametrize("value", [["a"], {"a": 1}, np.ones(2)], ids=["list", "dict", "array"])
def test_value_that_cannot_be_a_category_is_located(value):
    days = X["day"].to_numpy(dtype=object, copy=True)
    days[1] = value
    bad = X.assign(day=days)
    holds = f"column 'day' holds a {type(value).__name__} at 2024-01-01 01:00:00"
    with pytest.raises(TypeError, match=holds):
        Covariates.of(bad, ())
    with pytest.raises(TypeError, match=holds):
        Covariates.of(X, ()).read_known(bad, HOURS)


# -------------------------------------------------------------------- values


def test_known_values_are_numbers_and_the_positions_of_categories():
    values = Covariates.of(X, ["wind"]).read_known(X, HOURS)
    assert values.tolist() == [[1.5, 0, 1, 0], [2.5, 1, 0, 1], [3.5, 0, 1, 0], [4.5, 2, 1, 0]]


def test_positions_of_categories_are_those_of_fit():
    covariates = Covariates.of(X, ())
    later = X.assign(day=["sun", "sun", "tue", "mon"], shop=pd.Categorical(["a", "a", "b", "b"]))
    values = covariates.read_known(later, HOURS)
    assert values[:, 1].tolist() == [2, 2, 1, 0]
    assert values[:, 4].tolist() == [1, 1, 0, 0]


def test_categories_of_integers_keep_their_values_apart():
    grades = frame(grade=pd.Categorical([3, 1, 3, 2]))
    covariates = Covariates.of(grades, ())
    assert covariates.read_known(grades, HOURS)[:, 0].tolist() == [0, 1, 0, 2]
    # The same values as text are other categories.
    with pytest.raises(ValueError, match="column 'grade' holds '3' at 2024-01-01 00:00:00"):
        covariates.read_known(frame(grade=["3", "1", "3", "2"]), HOURS)


def test_past_values_have_the_order_of_their_names():
    past = Covariates.of(X, ["wind", "price"]).read_past(X, HOURS[1:3])
    assert past.tolist() == [[6, 2.5], [7, 3.5]]


def test_missing_past_value_is_left_missing():
    past = Covariates.of(X, ["wind"]).read_past(frame(wind=[1, np.nan, 3, 4]), HOURS)
    np.testing.assert_array_equal(past[:, 0], [1, np.nan, 3, 4])


def test_unknown_category_is_named_with_its_row_and_the_known_ones():
    covariates = Covariates.of(X, ())
    with pytest.raises(ValueError, match="must hold categories seen in fit") as caught:
        covariates.read_known(X.assign(day=["mon", "tue", "wed", "thu"]), HOURS)
    message = str(caught.value)
    assert "column 'day' holds 'wed' at 2024-01-01 02:00:00" in message
    assert "fit saw ['mon', 'tue', 'sun']." in message


def test_message_lists_ten_categories_at_most():
    index = pd.RangeIndex(12)
    many = pd.DataFrame({"shop": [f"s{k}" for k in range(12)]}, index=index)
    with pytest.raises(ValueError, match=r"'s8', 's9'\] and more\."):
        Covariates.of(many, ()).read_known(many.assign(shop="other"), index)


def test_category_outside_the_rows_read_is_ignored():
    covariates = Covariates.of(X, ())
    later = X.assign(day=["wed", "mon", "tue", "wed"])
    assert covariates.read_known(later, HOURS[1:3])[:, 1].tolist() == [0, 1]


@pytest.mark.parametrize("value", [None, np.nan])
def test_missing_value_is_not_a_category_and_is_refused(value):
    missing = frame(day=np.array(["mon", value, "tue", "mon"], dtype=object))
    covariates = Covariates.of(missing, ())
    assert list(covariates.categories["day"]) == ["mon", "tue"]
    with pytest.raises(ValueError, match="column 'day' holds nan at 2024-01-01 01:00:00"):
        covariates.read_known(missing, HOURS)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [float, object])
def test_known_value_that_is_not_finite_is_located(value, dtype):
    bad = frame(one=[1, 1, 1, 1], two=np.array([1, 1, value, value], dtype=dtype))
    with pytest.raises(ValueError, match="X must be finite") as caught:
        Covariates.of(bad, ()).read_known(bad, HOURS)
    assert f"column 'two' holds {value} at 2024-01-01 02:00:00" in str(caught.value)
    assert "(2 such values in all)" in str(caught.value)


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_past_value_is_located(value):
    bad = frame(one=[1.0, np.nan, 1.0, 1.0], two=[1.0, 1.0, 1.0, value])
    with pytest.raises(ValueError, match="X must be finite") as caught:
        Covariates.of(bad, ["one", "two"]).read_past(bad, HOURS)
    assert f"column 'two' holds {value} at 2024-01-01 03:00:00" in str(caught.value)
    assert "(1 such values in all)" in str(caught.value)


@pytest.mark.parametrize(
    ("later", "message"),
    [
        (X.assign(price=["a", "b", "c", "d"]), "X must be numeric, but column 'price' is"),
        (X.assign(price=pd.Categorical([1, 2, 3, 4])), "X must be numeric, but column 'price' is"),
    ],
)
def test_number_that_became_a_category_is_named(later, message):
    with pytest.raises(TypeError, match=message):
        Covariates.of(X, ()).read_known(later, HOURS)


def test_values_read_are_a_copy():
    covariates, mine = Covariates.of(X, ["wind"]), X.copy()
    known, past = covariates.read_known(mine, HOURS), covariates.read_past(mine, HOURS)
    mine[["price", "wind"]] = 0.0
    assert known[:, 0].tolist() == [1.5, 2.5, 3.5, 4.5]
    assert past[:, 0].tolist() == [5, 6, 7, 8]


# ---------------------------------------------------------------------- rows


def test_rows_are_found_by_stamp_in_any_order():
    assert rows_of(X.iloc[::-1], HOURS[1:3])["wind"].tolist() == [6, 7]


def test_duplicated_row_is_named():
    twice = X.iloc[[0, 1, 2, 1]]
    with pytest.raises(ValueError, match="each row once, but 2024-01-01 01:00:00 is duplicated"):
        rows_of(twice, HOURS[:1])


def test_lacking_rows_are_counted_and_the_first_is_named():
    with pytest.raises(ValueError, match="2 of 4 are missing, the first 2024-01-01 01:00:00"):
        rows_of(X.iloc[[0, 2]], HOURS)


# --------------------------------------------------------------------- check


AB = Covariates.of(pd.DataFrame({"a": [1.0], "b": [1.0]}), ())
A_PAST_B = Covariates.of(pd.DataFrame({"a": [1.0], "b": [1.0]}), ["b"])


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (None, r"fitted with X of columns \['a', 'b'\].*X is None"),
        (frame(b=np.ones(4), a=np.ones(4)), r"\['a', 'b'\], but it has \['b', 'a'\]"),
        (frame(a=np.ones(4)), r"\['a', 'b'\], but it has \['a'\]"),
        (frame(a=1.0, b=1.0, c=1.0), r"\['a', 'b'\], but it has \['a', 'b', 'c'\]"),
    ],
    ids=["none", "order", "lacking", "more"],
)
@pytest.mark.parametrize("past", [True, False])
def test_other_columns_of_X_are_refused(X, message, past):
    with pytest.raises(ValueError, match=message):
        AB.check(X, past=past)


def test_X_may_be_missing_where_it_is_not_needed():
    AB.check(None, needed=False)
    Covariates.of(None, ()).check(None)


def test_X_of_a_forecaster_fitted_without_is_refused():
    with pytest.raises(ValueError, match=r"fitted without X, but got X with columns \['a'\]"):
        Covariates.of(None, ()).check(frame(a=1.0))


def test_X_may_have_past_columns_that_are_not_needed():
    A_PAST_B.check(frame(a=1.0), past=False)
    A_PAST_B.check(frame(a=1.0, b=1.0), past=False)
    with pytest.raises(ValueError, match=r"\['a'\], but it has \['b'\]"):
        A_PAST_B.check(frame(b=1.0), past=False)
    with pytest.raises(ValueError, match=r"of columns \['a'\].*X is None"):
        A_PAST_B.check(None, past=False)


def test_X_must_have_past_columns_that_are_needed():
    A_PAST_B.check(frame(a=1.0, b=1.0))
    with pytest.raises(ValueError, match=r"\['a', 'b'\], but it has \['a'\]"):
        A_PAST_B.check(frame(a=1.0))
    with pytest.raises(ValueError, match=r"of columns \['a', 'b'\].*X is None"):
        A_PAST_B.check(None)


def test_X_of_past_columns_alone_is_not_needed_for_the_future():
    covariates = Covariates.of(frame(b=1.0), ["b"])
    covariates.check(None, past=False)
    assert len(covariates.known) == 0
    assert covariates.read_known(None, HOURS).shape == (4, 0)
