"""Arguments: what the command line takes, and how their text is read."""

from __future__ import annotations

import argparse
import ast
from typing import Any
from zoneinfo import ZoneInfo

from skrnn.command.tables import Layout
from skrnn.forecasters import GRUForecaster, LSTMForecaster

FORECASTERS = {"gru": GRUForecaster, "lstm": LSTMForecaster}
DESCRIPTION = """\
Forecast time series with a GRU or an LSTM, from a CSV or Parquet file.

  skrnn forecast sales.csv --time date --target sales --horizon 28 --out forecast.csv
  skrnn backtest sales.csv --time date --target sales --horizon 28
  skrnn info
"""
FORECAST = """\
Train a forecaster on a file and forecast the times after its last observations.

The file has a row for each time, in any order, and the names of the columns in its first line.
Empty cells of a target are missing values. Rows after the last value of a target are times to
forecast: they hold the covariates that are known in advance. The forecasts are rows of the same
form, as CSV on standard output or in the file that --out names.
"""
BACKTEST = """\
Train a forecaster on the first part of a file, forecast the rest from many cutoffs, and print the
errors by horizon beside those of the seasonal naive forecast, which repeats the last season.

  sMAPE      symmetric mean absolute percentage error, in percent
  MAE        mean absolute error, in the unit of the target
  MASE       mean absolute error divided by that of the seasonal naive forecast one season ahead on
             the training rows: below 1 is better than that
  ..._naive  the same for the seasonal naive forecast at the same times
  inside_0.9 share of the observations within the interval of --interval 0.9
"""
EPILOG = """\
Exit codes: 0, or 1 if the data or a setting is refused, 2 for wrong arguments, 130 after Ctrl-C.
"""


def parser() -> argparse.ArgumentParser:
    """The program's parser, with a subcommand each for forecast, backtest and info."""
    program = argparse.ArgumentParser(
        prog="skrnn",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = program.add_subparsers(dest="command", metavar="{forecast,backtest,info}")
    forecast = _command(commands, "forecast", "forecast the times after the data", FORECAST)
    _add_model(forecast)
    saved = forecast.add_argument_group("output and saved forecasters")
    saved.add_argument("--future", metavar="FILE", help="rows to forecast, with --known columns")
    saved.add_argument("--out", metavar="FILE", help="CSV or Parquet file of the forecasts")
    saved.add_argument("--plot", metavar="FILE", help="figure of the forecasts, such as plot.png")
    saved.add_argument("--save", metavar="FILE", help="save the trained forecaster")
    saved.add_argument(
        "--load",
        metavar="FILE",
        help="do not train, but forecast with a saved forecaster, which reads new rows of the file",
    )

    backtest = _command(commands, "backtest", "errors of past forecasts", BACKTEST)
    _add_model(backtest)
    cutoffs = backtest.add_argument_group("cutoffs and output")
    cutoffs.add_argument(
        "--train",
        type=_fraction,
        default=0.8,
        metavar="SHARE",
        help="share of each series to train on; forecasts start at its end (default: 0.8)",
    )
    cutoffs.add_argument(
        "--every", type=_count, default=1, metavar="N", help="steps between cutoffs (default: 1)"
    )
    cutoffs.add_argument("--out", metavar="FILE", help="CSV or Parquet file of the scores")
    info = commands.add_parser("info", help="versions, devices, extras and kernels")
    info.set_defaults(debug=False)
    return program


def layout_of(args: argparse.Namespace) -> Layout:
    """Which column of the file is what."""
    return Layout(
        time=args.time,
        target=args.target,
        series=args.series,
        known=[*args.known, *(name for name in args.category if name not in args.known)],
        past=args.past,
        category=args.category,
        time_format=args.time_format,
        time_zone=args.time_zone,
        separator=args.separator,
        decimal=args.decimal,
        encoding=args.encoding,
        fill_gaps=args.fill_gaps,
    )


def _command(commands: Any, name: str, summary: str, description: str) -> argparse.ArgumentParser:
    """A command that reads a file."""
    command = commands.add_parser(
        name,
        help=summary,
        usage=f"skrnn {name} FILE --time COLUMN --target COLUMN --horizon N [options]",
        description=description,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_argument("file", help='CSV or Parquet file; "-" reads CSV from standard input')
    columns = command.add_argument_group("columns of the file")
    columns.add_argument("--time", required=True, metavar="COLUMN", help="times of the rows")
    for option, text in (
        ("--target", "columns to forecast"),
        ("--series", "columns whose values name the series of a row"),
        ("--known", "numbers or names that are known in advance, such as a price or a plan"),
        ("--category", "the same, for names that are written as numbers"),
        ("--past", "numbers that are known up to now only, such as a measured temperature"),
    ):
        columns.add_argument(
            option,
            nargs="+",
            default=[],
            required=option == "--target",
            metavar="COLUMN",
            help=text,
        )
    written = command.add_argument_group("how the file is written")
    written.add_argument(
        "--time-format", metavar="FORMAT", help="such as %%d.%%m.%%Y; ISO 8601 needs none"
    )
    written.add_argument(
        "--time-zone",
        type=_zone,
        metavar="ZONE",
        help="such as Europe/Berlin, in which times with an offset are read (default: UTC)",
    )
    written.add_argument(
        "--fill-gaps", action="store_true", help="add rows that are missing, without values"
    )
    written.add_argument("--separator", metavar="CHARACTER", help="default: found in the file")
    written.add_argument("--decimal", default=".", metavar="CHARACTER", help="default: .")
    written.add_argument("--encoding", default="utf-8-sig", help="default: UTF-8")
    command.add_argument("--quiet", action="store_true", help="show no progress and no notes")
    command.add_argument("--debug", action="store_true", help="show where an error comes from")
    return command


def _add_model(command: argparse.ArgumentParser) -> None:
    model = command.add_argument_group("forecaster")
    model.add_argument(
        "--horizon", type=_count, required=True, metavar="N", help="number of steps to forecast"
    )
    model.add_argument(
        "--interval",
        type=_fraction,
        nargs="+",
        default=[],
        metavar="COVERAGE",
        help="intervals that hold this share of the observations, such as 0.9",
    )
    model.add_argument("--cell", choices=list(FORECASTERS), help="default: gru")
    model.add_argument(
        "--strategy",
        choices=["recursive", "multioutput"],
        help="one step after the other (default), or all steps at once",
    )
    model.add_argument("--seed", type=int, help="of the random numbers (default: 0)")
    model.add_argument(
        "--set",
        type=_setting,
        nargs="+",
        default=[],
        action="extend",
        metavar="NAME=VALUE",
        help="any parameter of the forecaster, such as hidden_size=32 or holidays=US",
    )


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise argparse.ArgumentTypeError(f"{text!r} must be a name, = and a value: hidden_size=32")
    return name.strip(), _value(value.strip())


def _value(text: str) -> Any:
    """A number, None, True, a list of these in Python's form, or else text; "a,b" is a list."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return [_value(part.strip()) for part in text.split(",")] if "," in text else text


def _count(text: str) -> int:
    try:
        if (number := int(text)) >= 1:
            return number
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} must be a whole number of at least 1")


def _fraction(text: str) -> float:
    try:
        if 0 < (number := float(text)) < 1:
            return number
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} must be a number between 0 and 1, such as 0.9")


def _zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        raise argparse.ArgumentTypeError(f"{text!r} must be a time zone: Europe/Berlin") from None
