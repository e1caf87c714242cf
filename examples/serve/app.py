"""A forecasting service: HTTP around a file of `to_onnx`, with onnxruntime and without torch.

    SKRNN_ONNX=load.onnx uvicorn app:app --port 8000

`GET /health` says what the file forecasts. `POST /forecast` gets one series, or several, and
returns forecasts in the unit of the data:

    {"horizon": 24, "series": {"time": ["2024-01-01T00", ...], "values": [31.5, null, ...]}}

What cannot be forecast is answered with status 422 and a sentence that says why.
"""

from __future__ import annotations

import json
import os
import re
from datetime import datetime, timezone
from typing import Annotated, Any

import numpy as np
import onnxruntime
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

# So much of the processor and of the memory a request may take.
MOST_SERIES, MOST_ROWS, MOST_STEPS, MOST_VALUES_AHEAD = 1_000, 100_000, 1_000, 100_000

Number = Annotated[float, Field(allow_inf_nan=False, strict=True)] | None  # None where missing
Row = Number | list[Number]


class Series(BaseModel):
    """One series: its rows, and X in these rows and in those to forecast."""

    model_config = ConfigDict(extra="forbid")
    name: str | int | None = Field(
        None, description="Name of the series in `fit`; without one it is scaled by its own values."
    )
    time: list[str | int] = Field(
        min_length=1,
        max_length=MOST_ROWS + MOST_STEPS,
        description="Time stamps (ISO 8601) of the rows. Those to forecast may follow; they must "
        "where steps differ in length, such as months.",
    )
    values: list[Row] = Field(
        min_length=1,
        max_length=MOST_ROWS,
        description="A value for each row, or a list with one for each column of y.",
    )
    X: dict[str, list[float | str | bool | None]] = Field(
        default_factory=dict,
        description="Columns of X: values in the rows and in those to forecast; past covariates "
        "in the rows alone.",
    )


class Question(BaseModel):
    """What is to be forecast."""

    model_config = ConfigDict(extra="forbid")
    horizon: int | None = Field(
        None, ge=1, le=MOST_STEPS, description="Steps to forecast; those of `fit` by default."
    )
    series: Series | list[Series]


class Forecast(BaseModel):
    """Forecasts of one series."""

    name: str | int | None
    time: list[str | int]
    values: list[list[float]] = Field(description="A row for each step, a value for each column.")
    quantiles: dict[str, list[list[float | None]]] | None = None


class Answer(BaseModel):
    """Forecasts of all series, in the order of the request."""

    forecasts: list[Forecast]


class Model:
    """The file, and how a request becomes its inputs.

    Parameters
    ----------
    path : str
        A file that `to_onnx` has written.
    """

    def __init__(self, path: str):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # requests run beside one another
        self.session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        metadata = self.session.get_modelmeta().custom_metadata_map
        self.about = {name: json.loads(text) for name, text in metadata.items()}
        self.is_recursive = self.about["horizons"] == "any"
        self.inputs = {each.name for each in self.session.get_inputs()}
        self.outputs = [each.name for each in self.session.get_outputs()]
        self.has_dates = self.about["time"] != "integers of the index"
        self.is_utc = " in UTC" in self.about["time"]
        # Gaps are filled from a season before.
        self.most_rows = self.about["context"] + self.about["longest_season"]

    def forecast(self, question: Question) -> list[Forecast]:
        """Forecasts of all series, in one run of the graph."""
        several = question.series if isinstance(question.series, list) else [question.series]
        refuse(
            not 1 <= len(several) <= MOST_SERIES,
            f"A request must hold 1 to {MOST_SERIES} "
            f"series, but got {len(several)}. Send several requests.",
        )
        n_steps = self.n_steps(question.horizon)
        refuse(
            len(several) * n_steps > MOST_VALUES_AHEAD,
            f"A request must ask for at most "
            f"{MOST_VALUES_AHEAD} forecasts, but {len(several)} series and {n_steps} steps are "
            f"{len(several) * n_steps}. Send several requests.",
        )
        parts = [self.read(series, n_steps) for series in several]
        n_rows = max(len(part["y"]) for part in parts)
        feed = {
            name: np.stack([padded(part, name, n_rows, n_steps) for part in parts])
            for name in self.inputs - {"series"}
        }
        feed["series"] = np.array([self.number(series.name) for series in several])
        values, *quantiles = self.session.run(self.outputs, feed)
        steps = np.arange(n_steps) if self.is_recursive else np.array(self.about["horizons"]) - 1
        return [
            Forecast(
                name=series.name,
                time=self.stamps(parts[s]["time"][-n_steps:][steps]),
                values=values[s].tolist(),
                quantiles=self.of_levels(quantiles[0][s]) if quantiles else None,
            )
            for s, series in enumerate(several)
        ]

    def n_steps(self, horizon: int | None) -> int:
        if self.is_recursive:
            refuse(horizon is None, "A request must have a horizon: how many steps to forecast.")
            return int(horizon)  # type: ignore[arg-type]
        last = self.about["horizons"][-1]
        refuse(
            horizon not in (None, last),
            f"The horizon must be that of fit, {last}, but got {horizon}. Leave it out.",
        )
        return last

    def number(self, name: str | int | None) -> int:
        """Number of a series in `fit`; -1 for another one."""
        names = self.about["series"]
        if names is None:
            refuse(
                name is not None,
                f"The model was fitted to one series without a name, but got "
                f"the name {name!r}. Leave it out.",
            )
            return 0
        if name is None:
            return -1
        known = [each if isinstance(each, (str, int)) else str(each) for each in names]
        refuse(
            name not in known,
            f"Series {name!r} was not in fit, which knows {known[:10]}. Leave "
            f"the name out: the series is then scaled by its own values.",
        )
        return known.index(name)

    def read(self, series: Series, n_steps: int) -> dict[str, np.ndarray]:
        """Inputs of one series, from the last rows alone."""
        label = "the series" if series.name is None else f"series {series.name!r}"
        columns = self.about["columns"]
        try:
            y = np.array(series.values, dtype=np.float64).reshape(len(series.values), -1)
        except ValueError:
            y = np.empty((0, 0))
        refuse(
            y.shape[1] != len(columns),
            f"Each row of {label} must hold {len(columns)} values, "
            f"of the columns {columns}. Send a list for each row, null where one is missing.",
        )
        refuse(
            bool(np.isnan(y).all(0).any()),
            f"Every column of {label} must hold a value, but in one all are missing.",
        )
        time = self.seconds(series.time, label)
        n_rows = len(y)
        refuse(
            len(time) not in (n_rows, n_rows + n_steps),
            f"The time of {label} must hold a stamp "
            f"for each of {n_rows} rows, or for these and the {n_steps} steps after them, but it "
            f"holds {len(time)}.",
        )
        steps = np.diff(time)
        refuse(
            bool((steps <= 0).any()),
            f"The time of {label} must ascend, but it does not. Sort the rows and drop duplicates.",
        )
        if len(time) == n_rows:
            refuse(
                n_rows < 2 or len(set(steps.tolist())) > 1,
                f"The steps of {label} differ in "
                f"length, or there is no gap to take one from. Fill missing rows with null, and "
                f"send the stamps of the {n_steps} steps to forecast as well.",
            )
            time = np.append(time, time[-1] + steps[-1] * np.arange(1, n_steps + 1))
        parts = {"y": y, "time": time} | self.covariates(series.X, n_rows, n_steps, label)
        # A series that was not in fit is scaled by all its values.
        first = 0 if self.number(series.name) < 0 else max(0, n_rows - self.most_rows)
        return {name: part[first:] for name, part in parts.items()}

    def covariates(
        self, X: dict[str, list], n_rows: int, n_steps: int, label: str
    ) -> dict[str, np.ndarray]:
        about = self.about
        past, numbers, categories = (
            about["past_covariates"], about["X_numbers"], about["X_categories"]
        )  # fmt: skip
        expected = [*past, *numbers, *categories]
        refuse(
            set(X) != set(map(str, expected)),
            f"X of {label} must have the columns {expected}, but it has {list(X)}.",
        )
        for name in expected:
            n = n_rows + (0 if name in past else n_steps)
            refuse(
                len(X[str(name)]) != n,
                f"Column {name!r} of X of {label} must hold {n} values, "
                f"but it holds {len(X[str(name)])}: those of the rows"
                f"{'' if name in past else ' and of the steps to forecast'}.",
            )
        result = {}
        for key, names in (("past_covariates", past), ("X_numbers", numbers)):
            if names:
                result[key] = np.stack([as_numbers(X[str(n)], n, n in past) for n in names], -1)
        if categories:
            result["X_categories"] = np.stack(
                [as_codes(X[name], name, known) for name, known in categories.items()], -1
            )
        return result

    def seconds(self, time: list[str | int], label: str) -> np.ndarray:
        """Stamps as the file takes them: integers, or seconds since 1970."""
        kind = "ISO dates, such as '2024-01-31T13:00'" if self.has_dates else "integers"
        is_right = all(isinstance(stamp, str) == self.has_dates for stamp in time)
        refuse(not is_right, f"The time of {label} must hold {kind}.")
        if not self.has_dates:
            return np.array(time, dtype=np.int64)
        try:
            # Python 3.10 knows no Z for UTC.
            stamps = [
                datetime.fromisoformat(re.sub("Z$", "+00:00", stamp))  # type: ignore[arg-type]
                for stamp in time
            ]
        except ValueError as error:
            refuse(True, f"The time of {label} must hold {kind}, but {error}.")
        has_zone = {stamp.tzinfo is not None for stamp in stamps}
        refuse(
            has_zone != {self.is_utc},
            f"The time of {label} must be "
            f"{'with' if self.is_utc else 'without'} a time zone, as in fit.",
        )
        if not self.is_utc:
            stamps = [stamp.replace(tzinfo=timezone.utc) for stamp in stamps]
        return np.array([round(stamp.timestamp()) for stamp in stamps], dtype=np.int64)

    def stamps(self, seconds: np.ndarray) -> list[str | int]:
        if not self.has_dates:
            return seconds.tolist()
        stamps = [datetime.fromtimestamp(each, timezone.utc) for each in seconds.tolist()]
        return [(t if self.is_utc else t.replace(tzinfo=None)).isoformat() for t in stamps]

    def of_levels(self, quantiles: np.ndarray) -> dict[str, Any]:
        """Quantiles (J, C, A) of each level; None where the file has none for the series."""
        whole = np.where(np.isnan(quantiles), None, quantiles)
        return {str(a): whole[..., k].tolist() for k, a in enumerate(self.about["quantiles"])}


def refuse(is_wrong: bool, sentence: str) -> None:
    if is_wrong:
        raise HTTPException(422, sentence)


def as_numbers(values: list, name: str, may_be_missing: bool) -> np.ndarray:
    is_right = all(v is None or isinstance(v, (int, float)) for v in values)
    numbers = np.array(values if is_right else [np.nan], dtype=np.float64)
    wrong = np.isinf(numbers) | (np.isnan(numbers) & (not (is_right and may_be_missing)))
    refuse(
        bool(wrong.any()),
        f"Column {name!r} of X must hold numbers"
        f"{'.' if may_be_missing else ', none of them missing.'}",
    )
    return numbers


def as_codes(values: list, name: str, known: list) -> np.ndarray:
    unknown = [value for value in values if value not in known]
    refuse(
        bool(unknown),
        f"Column {name!r} of X must hold categories of fit, {known[:10]}, but got {unknown[:1]}.",
    )
    return np.array([known.index(value) for value in values], dtype=np.int64)


def padded(part: dict[str, np.ndarray], name: str, n_rows: int, n_steps: int) -> np.ndarray:
    """An input of one series, with rows before its first one where others are longer."""
    values = part[name]
    n = n_rows - len(part["y"])
    if n == 0:
        return values
    if name == "time":
        step = values[1] - values[0] if len(values) > 1 else 1
        return np.concatenate([values[0] - step * np.arange(n, 0, -1), values])
    fill = np.nan if name in ("y", "past_covariates") else values[0]
    return np.concatenate([np.full((n, *values.shape[1:]), fill, dtype=values.dtype), values])


def create_app(path: str) -> FastAPI:
    """The service of one file."""
    model = Model(path)
    app = FastAPI(title="Forecasts", summary="Forecasts of one file of skrnn.")

    @app.exception_handler(RequestValidationError)
    def explain(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            reason = f"at character {first['loc'][-1]}: {first['ctx']['error']}"
            return JSONResponse({"detail": f"The request must be JSON, but {reason}."}, 422)
        # A union puts the names of its types, which are classes, among those of fields.
        parts = [str(p) for p in first["loc"][1:] if str(p)[:1].islower() or isinstance(p, int)]
        place = ".".join(p for p in parts if "[" not in p and "-" not in p) or "the top"
        sentence = f"The request must fit the schema at /docs, but at {place}: {first['msg']}."
        return JSONResponse({"detail": sentence}, 422)

    @app.get("/health")
    def health() -> dict[str, Any]:
        about = model.about
        names = ("class", "columns", "horizons", "quantiles", "frequency", "context", "versions")
        return {"status": "ok"} | {name: about[name] for name in names}

    @app.post("/forecast")
    def forecast(question: Question) -> Answer:
        return Answer(forecasts=model.forecast(question))

    return app


def __getattr__(name: str) -> Any:
    """The application that uvicorn asks for, made when it is."""
    if name != "app":
        raise AttributeError(name)
    return create_app(os.environ["SKRNN_ONNX"])
