"""Tables: a CSV or Parquet file read into y and X, and forecasts as rows of such a file."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd

from skrnn.data.ragged import numbered, series_offsets
from skrnn.data.timeline import Timeline, check_stamps

PARQUET = (".parquet", ".pq")
SEPARATORS = ",;\t|"
# Months and quarters written without a day are periods.
PERIODS = {r"\d{4}-\d{2}": "M", r"\d{4}[- ]?[Qq][1-4]": "Q"}
# Up to seven digits are a number, such as a year; eight are a date such as 20240331.
INTEGER = r"[+-]?\d{1,7}"
OFFSET = r"\d:\d{2}.*(?:Z|[+-]\d{2}:?\d{2})$"


@dataclass(frozen=True)
class Layout:
    """Which column of a file is what, and how its numbers and times are written.

    Parameters
    ----------
    time : str
    target, series, known, past, category : sequence of str
        Columns to forecast, columns whose values name the series, covariates known in advance and
        in the past alone, and those known in advance whose values are names, also if they are
        written as numbers.
    time_format : str or None
        As in `datetime.strptime`; None for ISO 8601, months, quarters and whole numbers.
    time_zone : zoneinfo.ZoneInfo or None
        Zone in which times with an offset are read; None for UTC.
    separator : str or None
        None for that of ``,``, ``;``, tab and ``|`` which occurs most in the first line.
    decimal, encoding : str
    fill_gaps : bool
        Whether rows that are missing between two others are added, without values.
    """

    time: str
    target: Sequence[str]
    series: Sequence[str] = ()
    known: Sequence[str] = ()
    past: Sequence[str] = ()
    category: Sequence[str] = ()
    time_format: str | None = None
    time_zone: Any = None
    separator: str | None = None
    decimal: str = "."
    encoding: str = "utf-8-sig"
    fill_gaps: bool = False


@dataclass(frozen=True)
class Data:
    """What a file holds, as the forecasters take it.

    Parameters
    ----------
    y : pd.DataFrame
        The rows of each series up to its last observation, a column for each target.
    X : pd.DataFrame or None
        The covariates in these rows and after them; None if there are none.
    timeline : Timeline
    """

    y: pd.DataFrame
    X: pd.DataFrame | None
    timeline: Timeline

    def future_index(self, horizon: int) -> pd.Index:
        """Index of the rows to forecast: the next ``horizon`` times of every series."""
        offsets = series_offsets(self.y.index)
        last = self.timeline.positions(_stamps_of(self.y.index)[offsets[1:] - 1])
        return _index_of(self.y.index, self.timeline, last + 1, np.full_like(last, horizon))

    def check_known(self, known: Sequence[str], horizon: int) -> None:
        """Raise ValueError unless covariates are there wherever a forecast needs them.

        `fit` and `predict` check the same, but the latter only after the training.
        """
        if not known or self.X is None:
            return
        needed = self.y.index.append(self.future_index(horizon))
        lacking = needed[~needed.isin(self.X.index)]
        if len(lacking):
            msg = (
                f"The columns of --known must have a row for each of the {horizon} times to "
                f"forecast, but {len(lacking)} are missing, the first {_place(lacking[0])}. Add "
                f"rows with an empty target to the file, pass them by --future, or lower --horizon."
            )
            raise ValueError(msg)
        values = self.X.loc[self.X.index.isin(needed), list(known)].isna()
        for name in known:
            if values[name].any():
                msg = (
                    f"Column {name!r} of --known must have a value in every row, but "
                    f"{values[name].sum()} are empty, the first {_place(values[name].idxmax())}. "
                    f"Fill them, or pass the column by --past if it is not known in advance."
                )
                raise ValueError(msg)


def read_data(path: str, future: str | None, layout: Layout) -> Data:
    """Read y and X from one file, or the rows ahead of X from a second one.

    Raises
    ------
    ValueError
        If a column is missing or of another kind, a time cannot be read, occurs twice or is
        missing between two others, or a series has no observation.
    """
    _check_roles(layout)
    text = {layout.time, *layout.series, *layout.category}
    frame = read_file(path, text, layout)
    covariates = [*layout.known, *layout.past]
    keys = [*layout.series, layout.time]
    _check_columns(path, frame, [*keys, *layout.target, *covariates])
    if future is not None:
        ahead = read_file(future, text, layout)
        _check_columns(future, ahead, [*keys, *layout.known])
        frame = pd.concat([frame, ahead[[*keys, *layout.known]]], ignore_index=True)
    for name in [*layout.target, *layout.past]:
        frame[name] = _numbers(frame[name])
    for name in set(layout.known).difference(layout.category):
        _check_one_kind(frame[name])
    frame = _indexed(frame, layout)
    offsets = series_offsets(frame.index)
    _check_unique(frame.index, layout)
    timeline = Timeline.of(_stamps_of(frame.index), offsets)
    frame = _without_gaps(frame, offsets, timeline, layout)

    y = frame[list(layout.target)]
    observed = y.notna().any(axis=1).to_numpy()
    offsets = series_offsets(frame.index)
    # The last observed row of each series, or -1.
    row = np.where(observed, np.arange(len(y)), -1)
    last = np.maximum.reduceat(row, offsets[:-1])
    empty = np.flatnonzero(last < offsets[:-1])
    if len(empty):
        name = series_name(frame.index, offsets[empty[0]])
        msg = (
            f"Every series must have a value in {_listed(layout.target)}, but {name} has none. "
            f"Remove its rows, or correct the name of the series."
        )
        raise ValueError(msg)
    y = y[np.arange(len(y)) <= np.repeat(last, np.diff(offsets))]
    return Data(y, frame[covariates] if covariates else None, timeline)


def read_file(path: str, text: set[str], layout: Layout) -> pd.DataFrame:
    """Read a CSV or Parquet file, "-" for standard input; some columns of a CSV as text."""
    if path.lower().endswith(PARQUET):
        need_pyarrow()
        frame = pd.read_parquet(path)
        return frame.astype({name: object for name in layout.category if name in frame})
    source: Any = path
    if path == "-":
        source = io.StringIO(sys.stdin.read())
    try:
        return pd.read_csv(
            source,
            sep=layout.separator or _separator(source, layout.encoding),
            decimal=layout.decimal,
            encoding=layout.encoding,
            converters=dict.fromkeys(text, _text_or_none),  # "NA" is a name here
        )
    except UnicodeError as error:
        msg = (
            f"{path} must be text in the encoding {layout.encoding!r}, but {error}. Save it as "
            f"UTF-8, or pass its encoding, such as --encoding cp1252."
        )
        raise ValueError(msg) from error
    except pd.errors.ParserError as error:
        msg = (
            f"{path} must be a CSV file with the names of the columns in its first line, but "
            f"{str(error).strip()}. Correct this line, or pass --separator."
        )
        raise ValueError(msg) from error
    except pd.errors.EmptyDataError as error:
        msg = f"{path} must hold a line with the names of the columns, but it is empty."
        raise ValueError(msg) from error


def write_file(table: pd.DataFrame, path: str | None, layout: Layout) -> None:
    """Write a table to a Parquet or CSV file, or as CSV to standard output."""
    if path is not None and path.lower().endswith(PARQUET):
        table.to_parquet(path, index=False)
        return
    table = table.copy()
    for name, column in table.items():
        if layout.time_format and pd.api.types.is_datetime64_any_dtype(column):
            table[name] = column.dt.strftime(layout.time_format)
    table.to_csv(
        sys.stdout if path is None else path,
        index=False,
        sep=layout.separator or ",",
        decimal=layout.decimal,
        encoding=layout.encoding.removesuffix("-sig"),
    )


def need_pyarrow() -> None:
    """Raise ImportError, with the command that installs it, unless pyarrow is there."""
    if find_spec("pyarrow") is None:
        msg = 'Parquet files are read and written by pyarrow. Run `pip install "skrnn[parquet]"`.'
        raise ImportError(msg)


def forecast_table(
    forecast: pd.DataFrame, intervals: pd.DataFrame | None, y: pd.DataFrame
) -> pd.DataFrame:
    """Rows that could go on in the file: series, time, targets, and the ends of intervals.

    Parameters
    ----------
    forecast, intervals : pd.DataFrame
        Results of ``predict`` and ``predict_interval``, with the columns of ``y``.
    y : pd.DataFrame
        Observations.
    """
    parts = [forecast]
    if intervals is not None:
        names = [f"{name}_{end}_{coverage:g}" for name, coverage, end in intervals.columns]
        parts.append(intervals.set_axis(names, axis=1))
    table = pd.concat(parts, axis=1)
    return table.set_axis(table.index.set_names(y.index.names)).reset_index()


def _text_or_none(cell: str) -> str | None:
    return cell.strip() or None


def _separator(source: Any, encoding: str) -> str:
    """The separator that occurs most in the first line."""
    if isinstance(source, io.StringIO):
        line = source.readline()
        source.seek(0)
    else:
        with open(source, encoding=encoding, newline="") as file:
            line = file.readline()
    return max(SEPARATORS, key=line.count)


def _check_roles(layout: Layout) -> None:
    """Raise ValueError if a column is given twice."""
    names = [layout.time, *layout.target, *layout.series, *layout.known, *layout.past]
    for name in names:
        if names.count(name) > 1:
            msg = (
                f"Each column can be given once, but {name!r} is given {names.count(name)} times "
                f"by --time, --target, --series, --known or --past. Leave it out of one option."
            )
            raise ValueError(msg)


def _check_columns(path: str, frame: pd.DataFrame, names: Sequence[str]) -> None:
    for name in names:
        if list(frame.columns).count(name) == 1:
            continue
        near = get_close_matches(name, map(str, frame.columns), n=1)
        msg = (
            f"{path} must have one column {name!r}, but its columns are "
            f"{_listed(list(frame.columns))}. "
            + (f"Did you mean {near[0]!r}?" if near else "Pass one of them.")
        )
        raise ValueError(msg)


def _numbers(column: pd.Series) -> pd.Series:
    """The column as numbers, where empty cells are NaN."""
    numbers = pd.to_numeric(column, errors="coerce").astype(float)
    wrong = np.flatnonzero(numbers.isna() & column.notna())
    if len(wrong):
        value = column.iloc[wrong[0]]
        msg = (
            f"Column {column.name!r} must hold numbers, but {len(wrong)} values are not, the first "
            f"{value!r} in row {wrong[0] + 1} of the data. Leave unknown values empty and remove "
            f"separators of thousands; if 1,5 is one and a half, pass --decimal ,"
        )
        raise ValueError(msg)
    return numbers


def _check_one_kind(column: pd.Series) -> None:
    """Raise ValueError if some values of a column are numbers and others text."""
    if pd.api.types.is_numeric_dtype(column):
        return
    text = column.astype("str")
    is_number = pd.to_numeric(text.str.replace(",", "."), errors="coerce").notna()
    if is_number.any():
        row = np.flatnonzero(is_number)[0]
        msg = (
            f"Column {column.name!r} of --known must hold numbers or names, but "
            f"{text.iloc[row]!r} in row {row + 1} of the data is a number among text. If numbers "
            f"are written as 1,5, pass --decimal , and if they are names, pass the column by "
            f"--category."
        )
        raise ValueError(msg)


def _indexed(frame: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    """The table with its series and times as the index, in their order."""
    for name in [*layout.series, layout.time]:
        missing = np.flatnonzero(frame[name].isna())
        if len(missing):
            msg = (
                f"Every row must have a value in column {name!r}, but row {missing[0] + 1} of the "
                f"data has none ({len(missing)} such rows in all). Fill or remove them."
            )
            raise ValueError(msg)
    frame = frame.assign(**{layout.time: _times(frame[layout.time], layout)})
    return frame.set_index([*layout.series, layout.time]).sort_index(kind="stable")


def _times(column: pd.Series, layout: Layout) -> pd.Index:
    """The times of a column as whole numbers, dates or periods."""
    if not pd.api.types.is_string_dtype(column.dtype):  # of a Parquet file
        times = pd.Index(column, name=layout.time)
        check_stamps(times)
        return times
    text = column.str.strip()
    has_offset = text.str.contains(OFFSET)
    if layout.time_format is None:
        if has_offset.any() and not has_offset.all():
            msg = (
                f"Times in column {layout.time!r} must all have an offset, or none, but "
                f"{text[has_offset].iloc[0]!r} has one and {text[~has_offset].iloc[0]!r} has none. "
                f"Write them alike."
            )
            raise ValueError(msg)
        if text.str.fullmatch(INTEGER).all():
            return pd.Index(text.astype("int64"))
        for pattern, freq in PERIODS.items():
            if text.str.fullmatch(pattern).all():
                return pd.PeriodIndex(text.str.replace(" ", ""), freq=freq)
    time_format, in_utc = layout.time_format or "ISO8601", bool(has_offset.all())
    times = pd.to_datetime(text, format=time_format, utc=in_utc, errors="coerce")
    wrong = np.flatnonzero(times.isna())
    if len(wrong):
        expected = (
            f"{layout.time_format!r}, which --time-format gives"
            if layout.time_format
            else "2024-03-31, 2024-03-31 14:00, 2024-03, 2024Q1 or a whole number"
        )
        msg = (
            f"Times in column {layout.time!r} must be written as {expected}, but row "
            f"{wrong[0] + 1} of the data holds {text.iloc[wrong[0]]!r}. Describe how they are "
            f"written, such as --time-format %d.%m.%Y for 31.03.2024."
        )
        raise ValueError(msg)
    if times.dt.tz is not None:
        return pd.DatetimeIndex(times).tz_convert(layout.time_zone or "UTC")
    if layout.time_zone is not None:
        msg = (
            f"--time-zone needs times with their offset, such as 2024-03-31T14:00+01:00, for an "
            f"hour occurs twice when clocks are set back, but column {layout.time!r} holds "
            f"{text.iloc[0]!r}. Write the offset, or leave out --time-zone."
        )
        raise ValueError(msg)
    return pd.DatetimeIndex(times)


def _check_unique(index: pd.Index, layout: Layout) -> None:
    if index.is_unique:
        return
    repeated = index[index.duplicated()][0]
    way_out = (
        "Remove one of the rows"
        if layout.series
        else "Remove one of the rows, or name the column that tells the series apart by --series"
    )
    msg = f"Every time must occur once in a series, but {_place(repeated)} occurs twice. {way_out}."
    raise ValueError(msg)


def _without_gaps(
    frame: pd.DataFrame, offsets: np.ndarray, timeline: Timeline, layout: Layout
) -> pd.DataFrame:
    """The table itself if no row is missing; with the rows added if these may be filled."""
    stamps = _stamps_of(frame.index)
    try:
        position = timeline.positions(stamps)
    except ValueError as error:
        if getattr(stamps, "tz", None) is None:
            raise
        msg = f"{error} If days begin at midnight of a zone whose clocks change, pass --time-zone."
        raise ValueError(msg) from error
    last_rows = offsets[1:] - 1
    is_gap = np.diff(position) != 1
    is_gap[last_rows[:-1]] = False
    if not is_gap.any():
        return frame
    if not layout.fill_gaps:
        row = np.flatnonzero(is_gap)[0]
        expected = timeline.stamps(position[row : row + 1] + 1)[0]
        name = f" of {series_name(frame.index, row)}" if layout.series else ""
        msg = (
            f"No time may be missing between two others, but {_text(stamps[row + 1])} follows "
            f"{_text(stamps[row])}{name}, where {_text(expected)} should (frequency {timeline}; "
            f"gaps in all: {is_gap.sum()}). Add the rows, or pass --fill-gaps to have them added "
            f"without a value."
        )
        raise ValueError(msg)
    first, last = position[offsets[:-1]], position[last_rows]
    return frame.reindex(_index_of(frame.index, timeline, first, last - first + 1))


def _index_of(
    index: pd.Index, timeline: Timeline, first: np.ndarray, lengths: np.ndarray
) -> pd.Index:
    """Index with ``lengths`` consecutive times from ``first`` on, for each series of ``index``."""
    series, k = numbered(lengths)
    stamps = timeline.stamps(first[series] + k)
    if not isinstance(index, pd.MultiIndex):
        return stamps.rename(index.name)
    keys = index[series_offsets(index)[:-1]].take(series)
    levels = [keys.get_level_values(i) for i in range(keys.nlevels - 1)]
    return pd.MultiIndex.from_arrays([*levels, stamps], names=index.names)


def _stamps_of(index: pd.Index) -> pd.Index:
    return index.get_level_values(-1)


def series_name(index: pd.Index, row: int) -> str:
    """The series of a row, for messages."""
    if not isinstance(index, pd.MultiIndex):
        return "the file"
    return "series " + ", ".join(map(repr, index[row][:-1]))


def _place(entry: Any) -> str:
    """An entry of an index for messages: its time, and its series if it has one."""
    if not isinstance(entry, tuple):
        return _text(entry)
    return f"{_text(entry[-1])} of series {', '.join(map(repr, entry[:-1]))}"


def _text(stamp: Any) -> str:
    """A time for messages; a day without its hours."""
    return str(stamp).removesuffix(" 00:00:00")


def _listed(names: Sequence[Any], most: int = 20) -> str:
    return ", ".join(map(repr, names[:most])) + ", ..." * (len(names) > most)
