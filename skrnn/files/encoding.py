"""Encoding: Python objects as JSON and named arrays, and back from a fixed list of types."""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd
import torch
from sktime.forecasting.base import ForecastingHorizon

from skrnn.data.covariates import Covariates
from skrnn.data.held_out import HeldOut
from skrnn.data.holidays import Holidays
from skrnn.data.level_shift import LevelShift
from skrnn.data.panel import Panel
from skrnn.data.scaling import Scaler
from skrnn.data.timeline import Timeline
from skrnn.forecasting.strategies import MultiOutput, Recursive

# Objects that a file may hold are built from these classes alone, by the names of their fields.
DATACLASSES: dict[str, type] = {
    cls.__name__: cls
    for cls in (Covariates, HeldOut, LevelShift, MultiOutput, Panel, Recursive, Timeline)
}
ARRAY_KINDS = "biuf"  # of numpy's dtypes: booleans, integers and floating-point numbers


class CannotSaveError(TypeError):
    """An object is code, or of a type that no file holds.

    Examples
    --------
    >>> import io
    >>> import skrnn
    >>> from sktime.forecasting.naive import NaiveForecaster
    >>> from skrnn.saving import CannotSaveError
    >>> try:
    ...     skrnn.save(NaiveForecaster(), io.BytesIO())
    ... except CannotSaveError as error:
    ...     print(error)
    skrnn.save writes GRUForecaster, ..., but got a sktime...NaiveForecaster. Save ...
    """


class CodeNeededError(TypeError):
    """A file was saved without a parameter that is code, which `load` must be given.

    Examples
    --------
    >>> import io
    >>> import skrnn
    >>> from torch import nn
    >>> from skrnn.saving import CodeNeededError
    >>> file = io.BytesIO()
    >>> skrnn.save(skrnn.GRUForecaster(criterion=nn.L1Loss()), file)
    >>> try:
    ...     skrnn.load(file.getvalue())
    ... except CodeNeededError as error:
    ...     print("criterion" in str(error))
    True
    >>> skrnn.load(file.getvalue(), criterion=nn.L1Loss()).criterion
    L1Loss()
    """


class Encoder:
    """Turns objects into JSON; their arrays are collected under the path of the object.

    Attributes
    ----------
    arrays : dict of str to np.ndarray
    """

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}

    def __call__(self, value: Any, path: str) -> Any:
        """Encode an object; JSON's own types except objects stand for themselves."""
        if value is None or isinstance(value, (bool, str)):
            return str(value) if isinstance(value, str) else value
        for kinds, encode in self._encoders.items():
            if isinstance(value, kinds):
                return encode(self, value, path)
        if type(value).__name__ in DATACLASSES and dataclasses.is_dataclass(value):
            fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
            return {type(value).__name__: self._fields(fields, path)}
        msg = (
            f"A file holds numbers, text and dates, but {path} is a "
            f"{type(value).__module__}.{type(value).__qualname__}."
        )
        raise CannotSaveError(msg)

    def _fields(self, fields: Mapping[str, Any], path: str) -> dict[str, Any]:
        return {name: self(value, f"{path}.{name}") for name, value in fields.items()}

    def _items(self, values: Any, path: str) -> list[Any]:
        return [self(value, f"{path}.{k}") for k, value in enumerate(values)]

    def _array(self, value: np.ndarray, path: str) -> Any:
        if value.dtype.kind not in ARRAY_KINDS or value.dtype.itemsize > 8:
            msg = f"A file holds arrays of numbers, but {path} has the dtype {value.dtype}."
            raise CannotSaveError(msg)
        self.arrays[path] = value
        return {"array": path}

    def _tensor(self, value: torch.Tensor, path: str) -> Any:
        return {"tensor": self._array(value.detach().cpu().numpy(), path)["array"]}

    def _number(self, value: Any, path: str) -> Any:
        if isinstance(value, np.generic):
            return {"number": [value.dtype.str, self(value.item(), path)]}
        if isinstance(value, float) and not math.isfinite(value):
            return {"float": repr(value)}
        return value

    def _scaler(self, value: Scaler, path: str) -> Any:
        return {"Scaler": self._fields(vars(value), path)}

    def _random_state(self, value: np.random.RandomState, path: str) -> Any:
        return {"RandomState": self._items(value.get_state(), path)}

    def _horizon(self, value: ForecastingHorizon, path: str) -> Any:
        freq = value.freq if value.is_relative else None
        parts = {"values": value.to_pandas(), "is_relative": value.is_relative, "freq": freq}
        return {"ForecastingHorizon": self._fields(parts, path)}

    def _timestamp(self, value: pd.Timestamp, path: str) -> Any:
        return {"Timestamp": self(pd.DatetimeIndex([value]), path)}

    def _period(self, value: pd.Period, path: str) -> Any:
        return {"Period": [value.ordinal, value.freqstr]}

    def _offset(self, value: pd.offsets.BaseOffset, path: str) -> Any:
        try:
            is_named = pd.tseries.frequencies.to_offset(value.freqstr) == value
        except ValueError:
            is_named = False
        if not is_named:
            msg = (
                f"A file holds frequencies by the name that pandas gives them, but {path} is "
                f"{value!r}. Fit with another frequency, or with a RangeIndex."
            )
            raise CannotSaveError(msg)
        return {"offset": value.freqstr}

    def _frame(self, value: pd.DataFrame, path: str) -> Any:
        columns = [value.iloc[:, k].to_numpy() for k in range(value.shape[1])]
        parts = {"index": value.index, "columns": value.columns, "values": columns}
        return {"DataFrame": self._fields(parts, path)}

    def _series(self, value: pd.Series, path: str) -> Any:
        parts = {"index": value.index, "name": value.name, "values": value.to_numpy()}
        return {"Series": self._fields(parts, path)}

    def _index(self, value: pd.Index, path: str) -> Any:
        parts: dict[str, Any] = {"name": value.name}
        if isinstance(value, pd.MultiIndex):
            kind = "MultiIndex"
            parts = {"levels": [value.get_level_values(k) for k in range(value.nlevels)]}
        elif isinstance(value, pd.RangeIndex):
            kind = "RangeIndex"
            parts |= {"start": value.start, "stop": value.stop, "step": value.step}
        elif isinstance(value, pd.DatetimeIndex):
            kind = "DatetimeIndex"
            zone = None if value.tz is None else str(value.tz)
            parts |= {"values": value.asi8, "unit": value.unit, "zone": zone, "freq": value.freq}
        elif isinstance(value, pd.PeriodIndex):
            kind = "PeriodIndex"
            parts |= {"values": value.asi8, "freq": value.freqstr}
        elif isinstance(value, pd.CategoricalIndex):
            kind = "CategoricalIndex"
            categories, codes = value.categories, np.asarray(value.codes, dtype=np.int64)
            parts |= {"values": codes, "categories": categories, "is_ordered": value.ordered}
        elif isinstance(value.dtype, np.dtype) and value.dtype.kind in ARRAY_KINDS:
            kind = "NumberIndex"
            parts |= {"values": value.to_numpy()}
        elif isinstance(value, (pd.TimedeltaIndex, pd.IntervalIndex)):
            msg = (
                f"A file holds no {type(value).__name__}, but {path} is one. Fit with labels that "
                f"are text, numbers or dates."
            )
            raise CannotSaveError(msg)
        else:
            kind = "LabelIndex"
            parts |= {"values": value.tolist(), "dtype": str(value.dtype)}
        return {kind: self._fields(parts, path)}

    _encoders: dict[Any, Callable[[Encoder, Any, str], Any]] = {
        np.ndarray: _array,
        torch.Tensor: _tensor,
        (int, float, np.number, np.bool_): _number,
        list: _items,
        tuple: lambda self, value, path: {"tuple": self._items(value, path)},
        dict: lambda self, value, path: {
            "dict": [[self(k, path), self(v, f"{path}.{k}")] for k, v in value.items()]
        },
        pd.MultiIndex: _index,
        pd.Index: _index,
        pd.DataFrame: _frame,
        pd.Series: _series,
        type(pd.NaT): lambda self, value, path: {"NaT": None},
        type(pd.NA): lambda self, value, path: {"NA": None},
        pd.Timestamp: _timestamp,
        datetime.datetime: lambda self, value, path: {"datetime": value.isoformat()},
        datetime.date: lambda self, value, path: {"date": value.isoformat()},
        np.datetime64: lambda self, value, path: {"datetime64": str(value)},
        pd.Period: _period,
        pd.offsets.BaseOffset: _offset,
        ForecastingHorizon: _horizon,
        np.random.RandomState: _random_state,
        PurePath: lambda self, value, path: {"Path": str(value)},
        torch.device: lambda self, value, path: {"device": str(value)},
        Scaler: _scaler,
        Holidays: lambda self, value, path: {"Holidays": self(value.days, path)},
    }


class Decoder:
    """Turns what an `Encoder` has made back into objects.

    Parameters
    ----------
    arrays : mapping of str to np.ndarray
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]):
        self.arrays = arrays

    def __call__(self, code: Any) -> Any:
        """Decode an object."""
        if isinstance(code, list):
            return [self(part) for part in code]
        if not isinstance(code, dict):
            return code
        ((kind, content),) = code.items()
        if kind in DATACLASSES:
            return DATACLASSES[kind](**self.fields(content))
        return self._decoders[kind](self, content)

    def fields(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Decode the fields of an object."""
        return {name: self(part) for name, part in content.items()}

    def _scaler(self, content: Any) -> Scaler:
        fields = self.fields(content)
        scaler = Scaler(fields.pop("kind"), fields.pop("is_centered"))
        scaler.center_, scaler.scale_ = fields.pop("center_"), fields.pop("scale_")
        return scaler

    def _random_state(self, content: Any) -> np.random.RandomState:
        result = np.random.RandomState()
        result.set_state(tuple(self(content)))
        return result

    def _horizon(self, content: Any) -> ForecastingHorizon:
        return ForecastingHorizon(**self.fields(content))

    def _frame(self, content: Any) -> pd.DataFrame:
        index, columns, values = self.fields(content).values()
        frame = pd.DataFrame(dict(enumerate(values)), index=index)
        return frame.set_axis(columns, axis=1)

    def _dates(self, content: Any) -> pd.DatetimeIndex:
        name, values, unit, zone, freq = self.fields(content).values()
        dates = pd.DatetimeIndex(values.view(f"M8[{unit}]"))
        dates = dates if zone is None else dates.tz_localize("UTC").tz_convert(zone)
        # The frequency is that of the index that was saved, whose stamps it has.
        return pd.DatetimeIndex(dates, freq=freq, name=name)

    def _periods(self, content: Any) -> pd.PeriodIndex:
        name, values, freq = self.fields(content).values()
        return pd.PeriodIndex.from_ordinals(values, freq=freq, name=name)

    def _levels(self, content: Any) -> pd.MultiIndex:
        return pd.MultiIndex.from_arrays(self(content["levels"]))

    def _range(self, content: Any) -> pd.RangeIndex:
        return pd.RangeIndex(**self.fields(content))

    def _categories(self, content: Any) -> pd.CategoricalIndex:
        name, codes, categories, is_ordered = self.fields(content).values()
        values = pd.Categorical.from_codes(codes, categories, ordered=is_ordered)
        return pd.CategoricalIndex(values, name=name)

    def _labels(self, content: Any) -> pd.Index:
        name, values, dtype = self.fields(content).values()
        return pd.Index(values, dtype=dtype, name=name, tupleize_cols=False)

    _decoders: dict[str, Callable[[Decoder, Any], Any]] = {
        "array": lambda self, content: self.arrays[content].copy(),
        "tensor": lambda self, content: torch.from_numpy(self.arrays[content].copy()),
        "number": lambda self, content: np.dtype(content[0]).type(self(content[1])),
        "float": lambda self, content: float(content),
        "tuple": lambda self, content: tuple(self(content)),
        "dict": lambda self, content: {self(name): self(part) for name, part in content},
        "Timestamp": lambda self, content: self(content)[0],
        "Period": lambda self, content: pd.Period(ordinal=content[0], freq=content[1]),
        "NaT": lambda self, content: pd.NaT,
        "NA": lambda self, content: pd.NA,
        "datetime": lambda self, content: datetime.datetime.fromisoformat(content),
        "date": lambda self, content: datetime.date.fromisoformat(content),
        "datetime64": lambda self, content: np.datetime64(content),
        "offset": lambda self, content: pd.tseries.frequencies.to_offset(content),
        "Path": lambda self, content: Path(content),
        "device": lambda self, content: torch.device(content),
        "Holidays": lambda self, content: Holidays(self(content)),
        "NumberIndex": lambda self, content: pd.Index(**_as_data(self.fields(content))),
        "Series": lambda self, content: pd.Series(**_as_data(self.fields(content))),
        "Scaler": _scaler,
        "RandomState": _random_state,
        "ForecastingHorizon": _horizon,
        "DataFrame": _frame,
        "DatetimeIndex": _dates,
        "PeriodIndex": _periods,
        "MultiIndex": _levels,
        "RangeIndex": _range,
        "CategoricalIndex": _categories,
        "LabelIndex": _labels,
    }


def _as_data(fields: dict[str, Any]) -> dict[str, Any]:
    return {"data" if name == "values" else name: value for name, value in fields.items()}
