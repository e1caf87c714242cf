"""The command line: forecasts and backtests of a CSV or Parquet file, and a report for bug reports.

``skrnn`` and ``python -m skrnn`` are the same program; ``skrnn forecast --help`` lists its options.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sktime.exceptions import NotFittedError

from skrnn.backtesting import backtest
from skrnn.command.arguments import FORECASTERS, layout_of, parser
from skrnn.command.report import report
from skrnn.command.scores import ends_of, score_table, season_of
from skrnn.command.tables import (
    PARQUET,
    Data,
    forecast_table,
    need_pyarrow,
    read_data,
    series_name,
    write_file,
)
from skrnn.contract.forecaster import BaseRecurrentForecaster
from skrnn.data.ragged import numbered, series_offsets
from skrnn.plotting import plot_forecast
from skrnn.saving import load, save

__all__ = ["main"]

# With these the package refuses data and settings; any other error is a bug and shows where.
REFUSALS = (
    ValueError,
    TypeError,
    ImportError,
    NotImplementedError,
    NotFittedError,
    FloatingPointError,
    MemoryError,
    OSError,
)
MAX_PLOTS = 8


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after ``skrnn``; those of the process by default.

    Returns
    -------
    int
        0, or 1 if the data or a setting is refused; the reason is then on standard error.

    Raises
    ------
    SystemExit
        With code 2 if the arguments are wrong, and with 0 after ``--help``.

    Examples
    --------
    >>> import os
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skrnn.command_line import main
    >>> path = Path(tempfile.mkdtemp()) / "sales.csv"
    >>> rows = [f"2024-{1 + k // 28:02}-{1 + k % 28:02},{k % 7}" for k in range(28)]
    >>> _ = path.write_text(os.linesep.join(["date,sales", *rows]))
    >>> main(["forecast", str(path), "--time=date", "--target=sales", "--horizon=2", "--quiet"])
    date,sales
    2024-01-29,...
    2024-01-30,...
    0
    """
    args = parser().parse_args(arguments)
    if args.command is None or args.command == "info":
        print(report())
        return 0
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            {"forecast": _forecast, "backtest": _backtest}[args.command](args)
    except REFUSALS as error:
        if args.debug:
            raise
        print(f"skrnn: {str(error) or type(error).__name__}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _forecast(args: argparse.Namespace) -> None:
    layout = layout_of(args)
    _check_outputs(args.out, args.plot, args.save)
    if args.plot is not None:
        _check_figure(args.plot)
    data = read_data(args.file, args.future, layout)
    data.check_known(layout.known, args.horizon)
    steps = range(1, args.horizon + 1)
    if args.load is None:
        forecaster = _new(args, data).fit(data.y, _rows_of(data.X, data.y), fh=steps)
    else:
        forecaster = _loaded(args)
        forecaster.update(data.y, _rows_of(data.X, data.y), update_params=False)
    if args.save is not None:
        save(forecaster, args.save)

    X = None if data.X is None or not layout.known else data.X[list(layout.known)]
    forecast = pd.DataFrame(forecaster.predict(fh=steps, X=X))
    intervals = None
    if args.interval:
        intervals = forecaster.predict_interval(fh=steps, X=X, coverage=args.interval)
        # A forecaster from Python may know the columns by other names.
        targets = dict(zip(intervals.columns.unique(0), data.y.columns, strict=True))
        intervals = intervals.rename(columns=targets, level=0)
    forecast = forecast.set_axis(data.y.columns, axis=1)
    write_file(forecast_table(forecast, intervals, data.y), args.out, layout)
    if args.plot is not None:
        _plot(forecast, intervals, data.y, args)
    if args.out is not None:
        _note(args, f"{len(forecast)} rows of forecasts are in {args.out}.")


def _backtest(args: argparse.Namespace) -> None:
    layout = layout_of(args)
    _check_outputs(args.out)
    data = read_data(args.file, None, layout)
    X, y = _rows_of(data.X, data.y), data.y
    train = _training_rows(y, args)
    steps = range(1, args.horizon + 1)
    forecaster = _new(args, data).fit(train, _rows_of(X, train), fh=steps)
    levels = sorted({level for coverage in args.interval for level in ends_of(coverage)})
    table = backtest(
        forecaster,
        y,
        X,
        fh=list(steps),
        start=args.train,
        step_length=args.every,
        alpha=levels or None,
    )
    season = season_of(train, forecaster.sp_)
    scores = score_table(table, y, train, season, args.interval)
    if args.out is not None:
        write_file(scores.reset_index(), args.out, layout)
        _note(args, f"{len(scores)} rows of scores are in {args.out}.")
        return
    scores = scores.droplevel("target") if len(y.columns) == 1 else scores
    print(scores.to_string(float_format=_number))
    naive = f"repeats the last {season} rows" if season > 1 else "repeats the last value"
    _note(args, f"The seasonal naive forecast {naive}.")


def _training_rows(y: pd.DataFrame, args: argparse.Namespace) -> pd.DataFrame:
    """The first rows of each series, up to the first cutoff of `backtest`."""
    offsets = series_offsets(y.index)
    lengths = np.diff(offsets)
    last = (args.train * lengths).astype(np.int64)
    short = np.flatnonzero(lengths - 1 - last < args.horizon)
    if len(short):
        s = short[0]
        name = f" of {series_name(y.index, offsets[s])}" if len(lengths) > 1 else ""
        msg = (
            f"At least {args.horizon} rows{name} must follow the training rows, but these are "
            f"{last[s] + 1} of {lengths[s]}. Lower --horizon or --train."
        )
        raise ValueError(msg)
    series, row = numbered(lengths)
    return y[row <= last[series]]


def _new(args: argparse.Namespace, data: Data) -> BaseRecurrentForecaster:
    """A forecaster with the settings of the command."""
    cls = FORECASTERS[args.cell or "gru"]
    given = {"strategy": args.strategy, "past_covariates": args.past or None}
    settings = {
        "random_state": 0 if args.seed is None else args.seed,
        "verbose": not args.quiet and sys.stderr.isatty() and find_spec("tqdm") is not None,
        **{name: value for name, value in given.items() if value is not None},
        **dict(args.set),
    }
    names = cls.get_param_names()
    for name in settings:
        if name not in names:
            near = get_close_matches(name, names, n=3)
            msg = f"--set must name a parameter of {cls.__name__}. Got {name!r} instead; " + (
                f"did you mean {' or '.join(near)}?" if near else f"pass one of {names}."
            )
            raise ValueError(msg)
    return cls(**settings)


def _loaded(args: argparse.Namespace) -> BaseRecurrentForecaster:
    """The forecaster of --load, which settings of training cannot change."""
    for option in ("cell", "strategy", "seed", "set"):
        if getattr(args, option) not in (None, []):
            msg = (
                f"--load forecasts with a forecaster as it was trained, so --{option} cannot be "
                f"given with it. Leave it out, or train without --load."
            )
            raise ValueError(msg)
    return load(args.load)


def _rows_of(X: pd.DataFrame | None, y: pd.DataFrame) -> pd.DataFrame | None:
    return None if X is None else X.loc[y.index]


def _check_outputs(*paths: str | None) -> None:
    """Raise where a file could not be written, before training rather than after it."""
    for path in paths:
        if path is None:
            continue
        folder = Path(path).parent
        if not folder.is_dir() or Path(path).is_dir():
            msg = f"Files to write must be in a folder that exists, but {path} is not. Create it."
            raise ValueError(msg)
        if path.lower().endswith(PARQUET):
            need_pyarrow()


def _check_figure(path: str) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        msg = '--plot draws with matplotlib. Run `pip install "skrnn[plot]"`.'
        raise ImportError(msg) from error
    kinds = sorted(Figure().canvas.get_supported_filetypes())
    if Path(path).suffix.removeprefix(".").lower() not in kinds:
        msg = f"--plot must name a file of one of the kinds {', '.join(kinds)}. Got {path!r}."
        raise ValueError(msg)


def _plot(
    forecast: pd.DataFrame, intervals: pd.DataFrame | None, y: pd.DataFrame, args: Any
) -> None:
    """Draw the first series and targets below each other."""
    from matplotlib.figure import Figure

    is_panel = isinstance(y.index, pd.MultiIndex)
    keys = list(forecast.index.droplevel(-1).unique()) if is_panel else [None]
    plots = [(key, column) for key in keys for column in y.columns]
    shown = plots[:MAX_PLOTS]
    figure = Figure(figsize=(10, 1 + 3 * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), squeeze=False)[:, 0]
    for (key, column), ax in zip(shown, axes, strict=True):
        plot_forecast(forecast, y, intervals=intervals, series=key, column=column, ax=ax)
    figure.savefig(args.plot, dpi=150)
    rest = f", the first {len(shown)} of {len(plots)} series" if len(shown) < len(plots) else ""
    _note(args, f"The figure is in {args.plot}{rest}.")


def _number(value: float) -> str:
    """Four digits, and all of those before the point."""
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"


def _note(args: argparse.Namespace, text: str) -> None:
    if not args.quiet:
        print(text, file=sys.stderr)


def _show_warning(message: Any, category: type[Warning], *args: Any, **options: Any) -> None:
    if not issubclass(category, (FutureWarning, DeprecationWarning, PendingDeprecationWarning)):
        print(f"skrnn: warning: {message}", file=sys.stderr)
