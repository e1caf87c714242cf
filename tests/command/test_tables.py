"""Tables: what is read from files of every kind, and what is refused with which way out."""

import io
import sys
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from skrnn.command.tables import Layout, forecast_table, read_data, write_file

LAYOUT = Layout("date", ["sales"])


@pytest.fixture
def file(tmp_path):
    def write(text, name="data.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_text(text, encoding=encoding)
        return str(path)

    return write


def lines(header, *rows):
    return "\n".join([header, *rows]) + "\n"


DAYS = lines("date,sales", "2024-02-28,1", "2024-02-29,2.5", "2024-03-01,3")


def test_dates_and_numbers_are_read(file):
    data = read_data(file(DAYS), None, LAYOUT)
    expected = pd.DataFrame(
        {"sales": [1, 2.5, 3]}, pd.date_range("2024-02-28", periods=3, name="date")
    )
    pd.testing.assert_frame_equal(
        data.y, expected, check_freq=False, check_index_type=False, check_column_type=False
    )
    assert data.X is None


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (["1998", "1999", "2000"], pd.Index([1998, 1999, 2000])),
        (["2023-12", "2024-01", "2024-02"], pd.period_range("2023-12", periods=3, freq="M")),
        (["2023Q4", "2024Q1", "2024Q2"], pd.period_range("2023Q4", periods=3, freq="Q")),
        (["2023-Q4", "2024-Q1", "2024-Q2"], pd.period_range("2023Q4", periods=3, freq="Q")),
        (["20231231", "20240101", "20240102"], pd.date_range("2023-12-31", periods=3)),
        (
            ["2024-01-01T23:00", "2024-01-02 00:00", "2024-01-02T01:00"],
            pd.date_range("2024-01-01 23:00", periods=3, freq="h"),
        ),
    ],
)
def test_times_are_read_as_they_are_written(file, times, expected):
    data = read_data(file(lines("date,sales", *(f"{t},1" for t in times))), None, LAYOUT)
    assert list(data.y.index) == list(expected)
    assert list(data.future_index(2)) == [
        expected[-1] + k * (expected[-1] - expected[-2]) for k in (1, 2)
    ]


def test_times_with_an_offset_are_read_in_the_zone_across_the_change_of_clocks(file):
    text = lines(
        "date,sales",
        "2024-10-27T01:00+02:00,1",
        "2024-10-27T02:00+02:00,2",
        "2024-10-27T02:00+01:00,3",
        "2024-10-27T03:00+01:00,4",
    )
    layout = Layout("date", ["sales"], time_zone=ZoneInfo("Europe/Berlin"))
    data = read_data(file(text), None, layout)
    assert [str(t) for t in data.y.index] == [
        "2024-10-27 01:00:00+02:00",
        "2024-10-27 02:00:00+02:00",
        "2024-10-27 02:00:00+01:00",
        "2024-10-27 03:00:00+01:00",
    ]
    assert str(read_data(file(text), None, LAYOUT).y.index[0]) == "2024-10-26 23:00:00+00:00"
    with pytest.raises(ValueError, match=r"needs times with their offset.*Write the offset"):
        read_data(file(DAYS), None, layout)


def test_a_file_in_the_continental_way_is_read(file):
    text = lines("date;sales;preis", "28.02.2024;1,5;2,5", "29.02.2024;2;3", "01.03.2024;;4,25")
    layout = Layout("date", ["sales"], known=["preis"], time_format="%d.%m.%Y", decimal=",")
    data = read_data(file(text, encoding="utf-8-sig"), None, layout)
    assert data.y["sales"].tolist() == [1.5, 2]
    assert data.X["preis"].tolist() == [2.5, 3, 4.25]
    assert list(data.X.index) == list(pd.date_range("2024-02-28", periods=3))


def test_rows_may_come_in_any_order_and_series_have_their_own_ends(file):
    text = lines(
        "shop,date,sales,price",
        "002,2024-01-02,4,9",
        "001,2024-01-02,,7",
        "002,2024-01-01,3,9",
        "001,2024-01-01,1,8",
        "002,2024-01-03,,5",
    )
    layout = Layout("date", ["sales"], series=["shop"], known=["price"])
    data = read_data(file(text), None, layout)
    day = pd.Timestamp("2024-01-01"), pd.Timestamp("2024-01-02"), pd.Timestamp("2024-01-03")
    assert data.y["sales"].to_dict() == {("001", day[0]): 1, ("002", day[0]): 3, ("002", day[1]): 4}
    assert data.X["price"].tolist() == [8, 7, 9, 9, 5]
    assert list(data.future_index(1)) == [("001", day[1]), ("002", day[2])]


def test_a_series_may_be_called_na(file):
    text = lines("shop,date,sales", "NA,1,1", "NA,2,2", "None,1,3", "None,2,NA")
    y = read_data(file(text), None, Layout("date", ["sales"], series=["shop"])).y
    assert y["sales"].to_dict() == {("NA", 1): 1, ("NA", 2): 2, ("None", 1): 3}


def test_a_missing_value_within_a_series_stays(file):
    text = lines("date,sales", "2024-01-01,1", "2024-01-02,", "2024-01-03,3", "2024-01-04,")
    values = read_data(file(text), None, LAYOUT).y["sales"]
    np.testing.assert_array_equal(values, [1, np.nan, 3])


def test_covariates_ahead_may_be_in_a_second_file(file):
    past = file(lines("date,sales,price,sun", "2024-01-01,1,5,1", "2024-01-02,2,6,2"))
    ahead = file(lines("date;price", "2024-01-03;7"), "ahead.csv")
    layout = Layout("date", ["sales"], known=["price"], past=["sun"])
    data = read_data(past, ahead, layout)
    assert data.X["price"].tolist() == [5, 6, 7]
    np.testing.assert_array_equal(data.X["sun"], [1, 2, np.nan])
    data.check_known(["price"], 1)
    with pytest.raises(ValueError, match=r"each of the 2 times.*1 are missing.*2024-01-04\. Add"):
        data.check_known(["price"], 2)


def test_numbers_that_are_names_are_read_as_names(file):
    text = lines("date,sales,kind", "2024-01-01,1,07", "2024-01-02,2,7")
    layout = Layout("date", ["sales"], known=["kind"], category=["kind"])
    assert read_data(file(text), None, layout).X["kind"].tolist() == ["07", "7"]


def test_parquet_holds_the_same_as_csv(file, tmp_path):
    frame = pd.DataFrame({"date": pd.date_range("2024-02-28", periods=3), "sales": [1, 2.5, 3]})
    path = str(tmp_path / "data.parquet")
    write_file(frame, path, LAYOUT)
    expected = read_data(file(DAYS), None, LAYOUT).y
    pd.testing.assert_frame_equal(read_data(path, None, LAYOUT).y, expected, check_index_type=False)


def test_parquet_without_pyarrow_names_the_command(monkeypatch):
    monkeypatch.setattr("skrnn.command.tables.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "skrnn\[parquet\]"'):
        read_data("data.parquet", None, LAYOUT)


def test_standard_input_is_read(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(DAYS.replace(",", ";")))
    assert read_data("-", None, LAYOUT).y["sales"].tolist() == [1, 2.5, 3]


GAP = lines("date,sales", *(f"2024-01-0{k},{k}" for k in (1, 2, 3, 4, 5, 6, 9)))


def test_the_first_gap_is_named_with_the_way_out(file):
    sentence = (
        r"No time may be missing between two others, but 2024-01-09 follows 2024-01-06, where "
        r"2024-01-07 should \(frequency 'D'; gaps in all: 1\)\. Add the rows, or pass --fill-gaps"
    )
    with pytest.raises(ValueError, match=sentence):
        read_data(file(GAP), None, LAYOUT)


def test_weekends_are_no_gaps_of_business_days(file):
    text = lines("date,sales", *(f"2024-01-{k:02},{k}" for k in (1, 2, 3, 4, 5, 8, 9)))
    data = read_data(file(text), None, LAYOUT)
    assert list(data.future_index(4)) == list(pd.bdate_range("2024-01-10", periods=4))


def test_gaps_are_filled_with_missing_values(file):
    layout = Layout("date", ["sales"], fill_gaps=True)
    y = read_data(file(GAP), None, layout).y
    np.testing.assert_array_equal(y["sales"], [1, 2, 3, 4, 5, 6, np.nan, np.nan, 9])
    assert list(y.index) == list(pd.date_range("2024-01-01", periods=9))


def test_gaps_of_each_series_are_filled(file):
    text = lines("shop,date,sales", "a,1,1", "a,2,2", "a,3,3", "b,5,1", "b,6,2", "b,9,3")
    layout = Layout("date", ["sales"], series=["shop"], fill_gaps=True)
    y = read_data(file(text), None, layout).y
    assert list(y.index) == [("a", k) for k in (1, 2, 3)] + [("b", k) for k in range(5, 10)]
    np.testing.assert_array_equal(y["sales"], [1, 2, 3, 1, 2, np.nan, np.nan, 3])


@pytest.mark.parametrize(
    ("text", "options", "sentence"),
    [
        (DAYS.replace("sales", "sale"), {}, r"one column 'sales', but.*Did you mean 'sale'\?"),
        (DAYS.replace("2.5", "2x"), {}, r"must hold numbers.*'2x' in row 2.*--decimal ,"),
        (DAYS.replace("2024-02-29", "29.2.24"), {}, r"row 2.*'29\.2\.24'.*--time-format %d"),
        (DAYS.replace("2024-02-29", ""), {}, r"value in column 'date', but row 2 of the data"),
        (DAYS.replace("2024-02-29", "2024-02-29T00:00+01:00"), {}, "must all have an offset"),
        (DAYS.replace("2.5", '"2,000"'), {}, "remove separators of thousands"),
        (DAYS, {"known": ["sales"]}, "'sales' is given 2 times"),
        (
            lines(
                "date,sales",
                *(f"2024-03-{k}T00:00+01:00,1" for k in range(25, 32)),
                "2024-04-01T00:00+02:00,1",
            ),
            {},
            r"frequency 'D', but 2024-03-31 22:00:00\+00:00 does not.*pass --time-zone",
        ),
        (DAYS + "2024-03-01,4\n", {}, r"2024-03-01 occurs twice.*by --series"),
        (lines("date,sales", "2024-01-01,"), {}, "frequency of a single time stamp"),
        (lines("date,sales", "1,", "2,"), {}, r"value in 'sales', but the file has none"),
        ("", {}, "names of the columns, but it is empty"),
        (lines("date,sales", "1,2", "2,3,4,5"), {}, r"must be a CSV file.*--separator"),
        (
            lines("date,sales,price", "1,2,1.5", "2,3,'x'"),
            {"known": ["price"]},
            r"numbers or names, but '1\.5' in row 1 .*--category",
        ),
        (
            lines("shop,date,sales", "a,1,1", "a,2,2", "b,1,", "b,2,"),
            {"series": ["shop"]},
            "but series 'b' has none. Remove its rows",
        ),
        (
            lines("shop,date,sales", "a,1,1", "a,2,2", "a,2,3"),
            {"series": ["shop"]},
            r"2 of series 'a' occurs twice\. Remove one of the rows\.",
        ),
        (
            lines("shop,date,sales", "a,1,1", "a,2,2", "a,4,3"),
            {"series": ["shop"]},
            r"4 follows 2 of series 'a', where 3 should",
        ),
    ],
)
def test_what_is_wrong_is_named_with_the_way_out(file, text, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_data(file(text), None, Layout("date", ["sales"], **options))


def test_another_encoding_is_named(file):
    path = file("date,größe\n1,2\n2,3\n", encoding="cp1252")
    with pytest.raises(ValueError, match="--encoding cp1252"):
        read_data(path, None, Layout("date", ["größe"]))
    assert len(read_data(path, None, Layout("date", ["größe"], encoding="cp1252")).y) == 2


def test_an_empty_covariate_is_named_before_training(file):
    text = lines("date,sales,price", "2024-01-01,1,5", "2024-01-02,2,", "2024-01-03,,7")
    data = read_data(file(text), None, Layout("date", ["sales"], known=["price"]))
    with pytest.raises(ValueError, match=r"'price' of --known.*1 are empty.*2024-01-02.*--past"):
        data.check_known(["price"], 1)


def test_forecasts_are_rows_of_the_same_form(capsys):
    index = pd.MultiIndex.from_product(
        [["a"], pd.date_range("2024-03-01", periods=2)], names=["shop", "date"]
    )
    y = pd.DataFrame({"sold": [1.0], "back": [2.0]}, index[:1])
    forecast = pd.DataFrame({"sold": [1.5, 2.0], "back": [0.0, 1.0]}, index)
    ends = [(name, 0.9, end) for name in ("sold", "back") for end in ("lower", "upper")]
    intervals = pd.DataFrame(
        [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]], index, pd.MultiIndex.from_tuples(ends)
    )
    layout = Layout("date", ["sold", "back"], series=["shop"], time_format="%d.%m.%Y")
    write_file(forecast_table(forecast, intervals, y), None, layout)
    assert capsys.readouterr().out.splitlines() == [
        "shop,date,sold,back,sold_lower_0.9,sold_upper_0.9,back_lower_0.9,back_upper_0.9",
        "a,01.03.2024,1.5,0.0,1.0,2.0,3.0,4.0",
        "a,02.03.2024,2.0,1.0,5.0,6.0,7.0,8.0",
    ]
