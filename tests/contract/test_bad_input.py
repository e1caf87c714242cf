"""Bad input is refused with a sentence: what must hold, what came, and the way out."""

import sys

import numpy as np
import pandas as pd
import pytest
import torch
from sktime.exceptions import NotFittedError
from sktime.forecasting.base import ForecastingHorizon
from sktime.forecasting.naive import NaiveForecaster
from torch import nn

from skrnn import GRUForecaster, RNNForecaster, backtest

pytestmark = pytest.mark.usefixtures("one_thread")

N, FITTED = 60, 50
Y = pd.Series(
    np.sin(np.arange(N)),
    index=pd.date_range("2024-01-01", periods=N, freq="h"),
    name="load",
)
X = pd.DataFrame({"temp": np.arange(N) / N, "wind": 1.0}, index=Y.index)
PANEL = pd.concat({name: Y.to_frame() for name in ("north", "south")})
TINY = PANEL.loc[["north"]].iloc[:1].rename(index={"north": "tiny"})
TWO = pd.DataFrame({"a": Y, "b": Y})
WITHOUT_DATES = Y.reset_index(drop=True)
LONG = pd.Series(np.sin(np.arange(144)), pd.date_range("2024-01-01", periods=144, freq="h"))
SMALL = {"window_length": 8, "hidden_size": 2, "num_epochs": 1, "random_state": 0}


def after_nan(y):
    """Only the last row holds an observation."""
    y = y.copy()
    y.iloc[:-1] = np.nan
    return y


def fit(y=Y, x=None, **parameters):
    return GRUForecaster(**{**SMALL, **parameters}).fit(y, X=x)


def fitted():
    return fit(Y[:FITTED])


def fitted_x():
    return fit(Y[:FITTED], X[:FITTED])


def fitted_panel():
    return fit(PANEL.groupby(level=0).head(FITTED))


def with_value(data, row, value):
    data = data.copy()
    data.iloc[row] = value
    return data


def absolute(times):
    return ForecastingHorizon(pd.Index(times), is_relative=False)


def without_tqdm():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "tqdm.auto", None)
        fit(verbose=True)


# Name, how to provoke it, the exception, and words of the message: the parameter or series, what
# came, and the way out.
DATA = [
    (
        "nothing but NaN in y",
        lambda: fit(Y * np.nan),
        ValueError,
        ["Every series must hold an observation", "in y all are missing", "Drop it"],
    ),
    (
        "nothing but NaN in a series",
        lambda: fit(PANEL * np.repeat([1.0, np.nan], N)[:, None]),
        ValueError,
        ["Every series must hold an observation", "in 'south' all are missing", "Drop it"],
    ),
    (
        "X NaN",
        lambda: fit(x=with_value(X, 5, np.nan)),
        ValueError,
        ["X", "'temp'", "nan", "2024-01-01 05:00:00", "interpolate"],
    ),
    (
        "y infinite",
        lambda: fit(with_value(Y, 5, np.inf)),
        ValueError,
        ["y", "'load'", "inf", "2024-01-01 05:00:00", "interpolate"],
    ),
    (
        "y infinite in a panel",
        lambda: fit(with_value(PANEL, N + 5, -np.inf)),
        ValueError,
        ["'load'", "-inf", "south", "2024-01-01 05:00:00", "interpolate"],
    ),
    (
        "X infinite",
        lambda: fit(x=with_value(X, 5, np.inf)),
        ValueError,
        ["X", "'temp'", "inf", "2024-01-01 05:00:00", "interpolate"],
    ),
    ("y empty", lambda: fit(Y[:0]), ValueError, ["y", "empty", "longer"]),
    (
        "y of one point",
        lambda: fit(Y[:1]),
        ValueError,
        ["y", "at least 2 observations", "has 1", "lengthen"],
    ),
    (
        "one short series",
        lambda: fit(pd.concat([PANEL, TINY])),
        ValueError,
        ["'tiny'", "at least 2 observations", "has 1", "Drop it or lengthen it"],
    ),
    (
        "gap",
        lambda: fit(Y.drop(Y.index[7])),
        ValueError,
        ["'h'", "2024-01-01 08:00:00 follows 2024-01-01 06:00:00", "fill gaps"],
    ),
    (
        "gap in a panel",
        lambda: fit(PANEL.drop(PANEL.index[N + 7])),
        ValueError,
        ["'south'", "2024-01-01 08:00:00 follows 2024-01-01 06:00:00", "fill gaps"],
    ),
    (
        "gap in periods",
        lambda: fit(Y.to_period("h").drop(pd.Period("2024-01-01 07:00", "h"))),
        ValueError,
        ["'h'", "2024-01-01 08:00 follows 2024-01-01 06:00", "fill gaps"],
    ),
    (
        "gap in integers",
        lambda: fit(WITHOUT_DATES.drop(7)),
        ValueError,
        ["8 follows 6", "fill gaps"],
    ),
    (
        "duplicate",
        lambda: fit(pd.concat([Y[:7], Y[6:]])),
        ValueError,
        ["2024-01-01 06:00:00 follows 2024-01-01 06:00:00", "average duplicates"],
    ),
    (
        "duplicate in a panel",
        lambda: fit(pd.concat([PANEL[: N + 7], PANEL[N + 6 :]])),
        ValueError,
        ["'south'", "06:00:00 follows 2024-01-01 06:00:00", "average duplicates"],
    ),
    (
        "series in two pieces",
        lambda: fit(pd.concat([PANEL[N : N + 30], PANEL[:N], PANEL[N + 30 :]])),
        ValueError,
        ["'south'", "interrupted", ".sort_index()"],
    ),
    (
        "series on two grids",
        lambda: fit(pd.concat({"a": Y.to_frame(), "b": Y.shift(freq="30min").to_frame()})),
        ValueError,
        ["'h'", "2024-01-01 00:30:00", "Resample"],
    ),
    (
        "X lacks a series",
        lambda: fit(PANEL, pd.concat({"north": X})),
        ValueError,
        ["X", "60 of 120", "south", "Pass X over the whole range"],
    ),
]
PREDICT = [
    (
        "X missing at predict",
        lambda: fitted_x().predict(fh=[1]),
        ValueError,
        ["X", "['temp', 'wind']", "None", "Pass its values up to the last step of the forecast"],
    ),
    (
        "X lacks rows at predict",
        lambda: fitted_x().predict(fh=[1, 5], X=X[50:52]),
        ValueError,
        ["X", "3 of 5", "2024-01-03 04:00:00", "Pass X over the whole range"],
    ),
    (
        "X NaN at predict",
        lambda: fitted_x().predict(fh=[1, 5], X=with_value(X, 52, np.nan)),
        ValueError,
        ["X", "'temp'", "nan", "2024-01-03 04:00:00", "interpolate"],
    ),
    (
        "X on another index at predict",
        lambda: fitted_x().predict(fh=[1], X=X.reset_index(drop=True)),
        ValueError,
        ["X", "1 of 1", "2024-01-03 02:00:00", "Pass X over the whole range"],
    ),
    (
        "X lacks a column",
        lambda: fitted_x().predict(fh=[1], X=X[["temp"]]),
        ValueError,
        ["X", "['temp', 'wind']", "['temp']", "Select"],
    ),
    (
        "X has a column renamed",
        lambda: fitted_x().predict(fh=[1], X=X.rename(columns={"wind": "gust"})),
        ValueError,
        ["X", "['temp', 'wind']", "['temp', 'gust']", "Select"],
    ),
    (
        "X has columns in another order",
        lambda: fitted_x().predict(fh=[1], X=X[["wind", "temp"]]),
        ValueError,
        ["X", "['temp', 'wind']", "['wind', 'temp']", "order"],
    ),
    (
        "X given when fitted without",
        lambda: fitted().predict(fh=[1], X=X),
        ValueError,
        ["without X", "['temp', 'wind']", "Leave it out"],
    ),
    (
        "horizon of periods",
        lambda: fitted().predict(
            fh=absolute(pd.period_range("2024-01-03 02:00", periods=2, freq="h"))
        ),
        TypeError,
        ["DatetimeIndex", "PeriodIndex", "Convert"],
    ),
    (
        "horizon of integers",
        lambda: fitted().predict(fh=absolute([51, 52])),
        TypeError,
        ["DatetimeIndex", "integer", "Convert"],
    ),
    (
        "horizon of dates without dates",
        lambda: fit(WITHOUT_DATES).predict(fh=absolute(Y.index[-2:])),
        TypeError,
        ["integer", "DatetimeIndex", "Convert"],
    ),
    (
        "horizon between the hours",
        lambda: fitted().predict(fh=absolute(pd.DatetimeIndex(["2024-01-03 02:30"]))),
        ValueError,
        ["'h'", "2024-01-03 02:30:00", "Resample"],
    ),
    ("no horizon", lambda: fitted().predict(), ValueError, ["`fh`", "predict"]),
    (
        "predict before fit",
        lambda: GRUForecaster().predict(fh=[1]),
        NotFittedError,
        ["GRUForecaster", "not been fitted", "`fit`"],
    ),
]
UPDATE = [
    (
        "update with other columns",
        lambda: fit(TWO[:FITTED]).update(TWO[FITTED:].rename(columns={"b": "c"})),
        ValueError,
        ["y", "['a', 'b']", "['a', 'c']", "Select"],
    ),
    (
        "update with more columns",
        lambda: fitted().update(TWO[FITTED:]),
        ValueError,
        ["y", "['load']", "['a', 'b']", "Select"],
    ),
    (
        "update without X",
        lambda: fitted_x().update(Y[FITTED:]),
        ValueError,
        ["X", "['temp', 'wind']", "None", "Pass its values in the rows of y"],
    ),
    (
        "update with other X",
        lambda: fitted_x().update(Y[FITTED:], X=X[["temp"]][FITTED:]),
        ValueError,
        ["X", "['temp', 'wind']", "['temp']", "Select"],
    ),
    (
        "update with X when fitted without",
        lambda: fitted().update(Y[FITTED:], X=X[FITTED:]),
        ValueError,
        ["without X", "['temp', 'wind']", "Leave it out"],
    ),
    (
        "update of an unknown series",
        lambda: fitted_panel().update(PANEL.rename(index={"south": "west"})),
        ValueError,
        ["'west'", "not seen in fit", "`pretrain`"],
    ),
    (
        "update of a series with a panel",
        lambda: fitted().update(PANEL),
        ValueError,
        ["index levels", "single series", "Fit again"],
    ),
    (
        "update of a panel with a series",
        lambda: fitted_panel().update(Y[FITTED:]),
        ValueError,
        ["index levels", "panel", "Fit again"],
    ),
    (
        "update after a gap",
        lambda: fitted().update(Y[FITTED + 2 :], update_params=False),
        ValueError,
        ["y", "2024-01-03 02:00:00", "2024-01-03 04:00:00", "Pass the rows between"],
    ),
    (
        "update after a gap in one series",
        lambda: fitted_panel().update(PANEL.loc[["south"]][FITTED + 2 :]),
        ValueError,
        ["'south'", "2024-01-03 02:00:00", "2024-01-03 04:00:00", "Pass the rows between"],
    ),
    (
        "update with a gap",
        lambda: fitted().update(Y[FITTED:].drop(Y.index[FITTED + 3])),
        ValueError,
        ["y", "2024-01-03 06:00:00 follows 2024-01-03 04:00:00", "fill gaps"],
    ),
    (
        "update with periods",
        lambda: fitted().update(Y[FITTED:].to_period("h")),
        TypeError,
        ["DatetimeIndex", "PeriodIndex", "Convert"],
    ),
    (
        "update with infinity",
        lambda: fitted().update(with_value(Y, 55, np.inf)[FITTED:]),
        ValueError,
        ["y", "'load'", "inf", "2024-01-03 07:00:00", "interpolate"],
    ),
    (
        "update before fit",
        lambda: GRUForecaster().update(Y),
        NotFittedError,
        ["GRUForecaster", "not been fitted", "`fit`"],
    ),
]
DEVICES = [
    (
        f"device {device!r}",
        lambda device=device: fit(device=device),
        ValueError,
        ["'device'", repr(device), "device='auto'"],
    )
    for device in ("cuda:7", "gpu", "cuda:x", "", "cpu:1", "meta", torch.device("cuda", 7))
]
PARAMETERS = [
    (
        f"{name}={value!r}",
        lambda name=name, value=value: fit(**{name: value}),
        (ValueError, TypeError),
        [f"'{name}'", f"Got {value!r}", *words],
    )
    for name, values, words in [
        ("window_length", [-1, 0, 2.5, "long"], ["an int", "[1, inf)"]),
        ("hidden_size", [-1, 0, 2.5, "big"], ["'auto'", "an int", "[1, inf)"]),
        ("num_layers", [-1, 0, 2.5], ["an int", "[1, inf)"]),
        ("batch_size", [-1, 0, 2.5], ["an int", "[1, inf)"]),
        ("num_epochs", [-1, 1.5, "many"], ["'auto'", "an int", "[0, inf)"]),
        ("dropout", [1.5, 1, -0.1, "some"], ["a float", "[0.0, 1.0)"]),
        ("lr", [0, -1, np.nan, np.inf, "fast"], ["a float", "(0.0, inf)"]),
        ("max_grad_norm", [0, -1, "short"], ["a float", "(0.0, inf)", "None"]),
        ("validation_split", [0, 1, 1.5, -0.1], ["a float", "(0.0, 1.0)", "None"]),
        ("patience", [-1, 0, 2.5], ["an int", "[1, inf)", "None"]),
        ("sp", [0, -1, 2.5, "weekly"], ["'auto'", "an int", "[1, inf)", "None"]),
        ("lags", [0, -3, 2.5, "many"], ["'auto'", "an int", "[1, inf)", "None"]),
        ("calendar", ["hourly"], ["'auto'", "None"]),
        ("naive", ["trend"], ["'auto'", "'drift'", "None"]),
        ("scaler", ["log", 3], ["'standard'", "'minmax'", "'robust'", "None"]),
        ("criterion", ["mape", None], ["'mae'", "'mse'", "'huber'", "Module"]),
        ("optimizer", ["lion", None], ["'adamw'", "'adam'", "'sgd'", "'rmsprop'", "callable"]),
        ("optimizer_kwargs", [[1], "x"], ["dict", "None"]),
        ("lr_scheduler", ["step", 3], ["'one_cycle'", "'cosine'", "callable", "None"]),
        ("supervision", ["first", None], ["'dense'", "'last'"]),
        ("device", [5, None], ["str", "torch.device"]),
        ("precision", ["float16", 32, None], ["float32", "tf32", "bf16"]),
        ("random_state", ["seed", -1, 1.5], ["an int", "RandomState", "None"]),
        ("verbose", ["yes", 2], ["bool"]),
        ("callbacks", [3, "bar"], ["array-like", "None"]),
    ]
    for value in values
]
ENTRIES = [
    (
        f"{name}={value!r}",
        lambda name=name, value=value: fit(**{name: value}),
        (ValueError, TypeError),
        [f"'{name}'", f"Got {value[-1]!r}", *words],
    )
    for name, value, words in [
        ("sp", [12, 0], ["an int", "[1, inf)"]),
        ("sp", [1.5], ["an int", "[1, inf)"]),
        ("lags", [1, -2], ["an int", "[1, inf)"]),
        ("lags", ["two"], ["an int", "[1, inf)"]),
        ("calendar", ["hour", "minute"], ["'hour'", "'dayofweek'", "'dayofyear'"]),
        ("naive", ["last", "trend"], ["'last'", "'seasonal'", "'averaged'", "'drift'"]),
    ]
]
OTHERS = [
    (
        "cell='transformer'",
        lambda: RNNForecaster(cell="transformer", **SMALL).fit(Y),
        ValueError,
        ["'cell'", "'transformer'", "'gru'", "'lstm'", "'rnn'"],
    ),
    *(
        (
            f"{name} of another kind: {kind}",
            lambda name=name, value=value: fit(**{name: value}),
            TypeError,
            [f"The {name!r} parameter must", *words],
        )
        for name, kind, value, words in [
            ("optimizer", "another type", int, ["the weights and {'lr': 0.004}", "int()"]),
            ("optimizer", "no optimizer", lambda weights, lr: 5, ["torch Optimizer", "5"]),
            ("optimizer", "a generator", lambda weights, lr: weights, ["torch Optimizer"]),
            ("optimizer", "a layer", nn.Linear, ["the weights and {'lr': 0.004}"]),
            (
                "lr_scheduler",
                "another type",
                len,
                ["the optimizer and the number of steps", "len()"],
            ),
            ("lr_scheduler", "no scheduler", lambda optimizer, n: 5, ["torch LRScheduler", "5"]),
            ("lr_scheduler", "nothing", lambda optimizer, n: None, ["torch LRScheduler", "None"]),
        ]
    ),
    (
        "an unknown argument of the optimizer",
        lambda: fit(optimizer_kwargs={"momentum": 0.9}),
        TypeError,
        ["'optimizer'", "{'lr': 0.004, 'momentum': 0.9}", "Correct it, or optimizer_kwargs"],
    ),
    (
        "pretrain of nothing",
        lambda: GRUForecaster(**SMALL).pretrain(None),
        TypeError,
        ["pretrain needs y", "panel", "None", "pretrain(y)"],
    ),
    *(
        (
            f"{name}={value} on 144 rows",
            lambda name=name, value=value: fit(LONG, **{name: value}),
            ValueError,
            [f"'{name}'", "longest series", "144", "1000" if name == "sp" else "200", "'auto'"],
        )
        for name, value in (("sp", 1000), ("sp", [24, 1000]), ("lags", [200]), ("lags", 200))
    ),
    (
        "sp as long as what validation_split leaves",
        lambda: fit(LONG, sp=120, validation_split=0.2),
        ValueError,
        ["'sp'", "115 observations to train on", "Got 120", "'auto'"],
    ),
    (
        "lags longer than every series of a panel",
        lambda: fit(PANEL, lags=[N]),
        ValueError,
        ["'lags'", f"{N} observations", f"Got {N}", "'auto'"],
    ),
    *(
        (
            f"one row with validation_split, {kind}",
            lambda data=data: fit(data, sp=None, validation_split=0.2),
            ValueError,
            words,
        )
        for kind, data, words in [
            ("alone", WITHOUT_DATES[:1], ["validation_split=0.2", "longest series has 1"]),
            ("after NaN", after_nan(WITHOUT_DATES), ["validation_split=0.2", "series has 1"]),
            ("in a panel", pd.concat([PANEL, TINY]), ["'tiny'", "at least 2", "has 1", "Drop it"]),
            (
                "after NaN in a panel",
                pd.concat([PANEL, after_nan(PANEL.loc[["north"]]).rename(index={"north": "late"})]),
                ["'late'", "at least 2", "has 1", "Drop it"],
            ),
        ]
    ),
    (
        "patience without validation_split",
        lambda: fit(patience=2),
        ValueError,
        ["'patience'", "validation_split is 'auto'", "0.1"],
    ),
    (
        "verbose without tqdm",
        without_tqdm,
        ImportError,
        ["verbose=True", "tqdm", 'pip install "skrnn[progress]"', "verbose=False"],
    ),
    (
        "training that diverges",
        lambda: fit(
            lr=1e30,
            optimizer="sgd",
            criterion="mse",
            max_grad_norm=None,
            num_epochs=5,
            lr_scheduler=None,
            naive=None,
        ),
        FloatingPointError,
        ["loss", "finite", "Lower lr"],
    ),
]
BACKTEST = [
    (
        "backtest before fit",
        lambda: backtest(GRUForecaster(), Y),
        NotFittedError,
        ["GRUForecaster", "not been fitted", "`fit`"],
    ),
    (
        "backtest without X",
        lambda: backtest(fitted_x(), Y),
        ValueError,
        ["X", "['temp', 'wind']", "None", "Pass its values"],
    ),
    (
        "backtest with X that lacks rows",
        lambda: backtest(fitted_x(), Y, X[:55]),
        ValueError,
        ["X", "5 of 60", "2024-01-03 07:00:00", "Pass X over the whole range"],
    ),
    (
        "backtest with X when fitted without",
        lambda: backtest(fitted(), Y, X),
        ValueError,
        ["without X", "['temp', 'wind']", "Leave it out"],
    ),
    (
        "backtest after a gap",
        lambda: backtest(fitted(), Y[FITTED + 2 :], start=1),
        ValueError,
        ["y", "2024-01-03 02:00:00", "2024-01-03 04:00:00", "Pass the rows between"],
    ),
    (
        "backtest with infinity",
        lambda: backtest(fitted(), with_value(Y, 55, np.inf)),
        ValueError,
        ["y", "'load'", "inf", "2024-01-03 07:00:00", "interpolate"],
    ),
    (
        "backtest with text",
        lambda: backtest(fitted(), Y.map(lambda value: "high")),
        TypeError,
        ["y", "'load'", "numeric", "Encode"],
    ),
    (
        "backtest of an unknown series",
        lambda: backtest(fitted_panel(), PANEL.rename(index={"south": "west"})),
        ValueError,
        ["'west'", "not seen in fit", "`pretrain`"],
    ),
    (
        "backtest with more columns",
        lambda: backtest(fitted(), TWO),
        ValueError,
        ["y", "['load']", "['a', 'b']", "Select"],
    ),
    (
        "backtest of a series that is too short",
        lambda: backtest(
            fitted_panel(), pd.concat([PANEL[:N], PANEL[N : N + 3]]), start=5, fh=[1, 2]
        ),
        ValueError,
        ["'south'", "3 rows", "start=5", "Start earlier"],
    ),
]
BACKTEST += [
    (
        f"backtest with start={start!r}",
        lambda start=start: backtest(fitted(), Y, start=start),
        ValueError,
        ["start", repr(start), *words],
    )
    for start, words in [
        (1.5, ["'start'", "fraction in [0, 1)", "integer position", "time stamp"]),
        (1.0, ["'start'", "fraction in [0, 1)", "integer position", "time stamp"]),
        (-0.1, ["'start'", "fraction in [0, 1)", "integer position", "time stamp"]),
        (np.nan, ["'start'", "fraction in [0, 1)", "integer position", "time stamp"]),
        (59, ["60 rows", "1 observations", "Start earlier"]),
        (-61, ["60 rows", "row -1", "Start earlier"]),
        (pd.Timestamp("2025-01-01"), ["60 rows", "Start earlier"]),
    ]
]
BACKTEST += [
    (
        f"backtest with fh={fh!r}",
        lambda fh=fh: backtest(fitted(), Y, fh=fh),
        ValueError,
        ["'fh'", "steps ahead", "at least 1", repr(fh)],
    )
    for fh in (0, -1, [-1, 1], [], 1.5, [1.5], "tomorrow", None)
]
BACKTEST += [
    (
        "backtest with an absolute horizon",
        lambda: backtest(fitted(), Y, fh=absolute(Y.index[-2:])),
        ValueError,
        ["'fh'", "relative", "absolute", "[1, 24]"],
    ),
    (
        "backtest with too long a horizon",
        lambda: backtest(fitted(), Y, fh=[1, 1000]),
        ValueError,
        ["1000 observations", "y has 60 rows", "shorten fh"],
    ),
]
BACKTEST += [
    (
        f"backtest with step_length={step!r}",
        lambda step=step: backtest(fitted(), Y, step_length=step),
        ValueError,
        ["'step_length'", "an int of at least 1", f"Got {step!r}"],
    )
    for step in (0, -1, 1.5, "day", None)
]

OWN_WORDS = [
    (
        "text in y",
        lambda: fit(TWO.assign(b="high")),
        TypeError,
        ["y must be numeric", "'b'", "categorical", "Encode"],
    ),
    (
        "text as a past covariate",
        lambda: fit(x=X.assign(sky="blue"), past_covariates=["sky"]),
        TypeError,
        ["Past covariates must be numbers", "'sky'", "categorical", "get_dummies"],
    ),
    (
        "a category that fit has not seen",
        lambda: fit(Y[:FITTED], X[:FITTED].assign(sky="blue")).predict(
            fh=[1, 2], X=X[FITTED:].assign(sky="grey")
        ),
        ValueError,
        ["categories seen in fit", "'sky'", "'grey'", "fit saw ['blue']", "fit again"],
    ),
    (
        "rows of y in disorder",
        lambda: fit(Y.iloc[[1, 0, *range(2, N)]]),
        ValueError,
        ["Series y", "2024-01-01 00:00:00 follows 2024-01-01 01:00:00", "Sort"],
    ),
    (
        "X without the last rows of y",
        lambda: fit(x=X[:50]),
        ValueError,
        ["X", "10 of 60", "2024-01-03 02:00:00", "Pass X over the whole range"],
    ),
    ("y without columns", lambda: fit(pd.DataFrame(index=Y.index)), ValueError, ["y", "column"]),
    (
        "a callback of another kind",
        lambda: fit(callbacks=[3]),
        ValueError,
        ["'callbacks'", "Callback", "Got 3"],
    ),
    (
        "backtest of a numpy array",
        lambda: backtest(fitted(), Y.to_numpy()),
        TypeError,
        ["'y'", "pandas", "ndarray", "Convert"],
    ),
    (
        "backtest of another library's forecaster",
        lambda: backtest(NaiveForecaster().fit(Y), Y),
        TypeError,
        ["'forecaster'", "NaiveForecaster", "evaluate"],
    ),
    (
        "backtest from a word",
        lambda: backtest(fitted(), Y, start="tomorrow"),
        TypeError,
        ["'start'", "'tomorrow'", "time stamp"],
    ),
    (
        "backtest from nowhere",
        lambda: backtest(fitted(), Y, start=None),
        TypeError,
        ["'start'", "None", "fraction"],
    ),
    (
        "validation of too short a series",
        lambda: fit(Y[:2], validation_split=0.5),
        ValueError,
        ["validation_split=0.5", "the longest series has 2", "None"],
    ),
]

CASES = [
    pytest.param(*case, id=name)
    for group in (DATA, PREDICT, UPDATE, DEVICES, PARAMETERS, ENTRIES, OTHERS, BACKTEST, OWN_WORDS)
    for name, *case in group
]
# On a machine with CUDA this device is there.
CASES.append(
    pytest.param(
        lambda: fit(device="cuda"),
        ValueError,
        ["'device'", "'cuda'", "0 'cuda' devices", "device='auto'"],
        id="device 'cuda'",
        marks=pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is available here"),
    )
)


@pytest.mark.parametrize(("provoke", "exception", "words"), CASES)
def test_message_names_what_must_hold_what_came_and_the_way_out(provoke, exception, words):
    with pytest.raises(exception) as error:
        provoke()
    message = str(error.value)
    assert [word for word in words if word not in message] == [], message
