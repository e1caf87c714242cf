"""Blocks: panels in files given to `fit`, and forecasts of some series at a time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from sktime.forecasting.base import ForecastingHorizon

from skrnn.contract.horizons import steps_ahead
from skrnn.files.container import replacing
from skrnn.files.panel_file import PanelFile
from skrnn.forecasting.local import LocalFitted

# Forecasts that a block has at most.
FORECASTS_PER_BLOCK = 1_000_000


def refuse_covariates_beside(file: PanelFile, X: Any) -> None:
    """Raise ValueError if X is given beside a panel file, which holds the covariates."""
    if X is not None:
        msg = (
            f"A panel file holds its covariates, so that X must be None, but fit got {file!r} and "
            f"X. Pass X to PanelFile.from_frames or from_parquet, and leave it out here."
        )
        raise ValueError(msg)


def refuse_file_in_update(y: Any) -> None:
    """Raise TypeError if `update` is given a panel file."""
    if isinstance(y, PanelFile):
        msg = (
            f"update takes new observations as a pd.DataFrame, but got {y!r}. Build a panel file "
            f"that holds them as well, and fit on it."
        )
        raise TypeError(msg)


def refuse_local(forecaster: Any) -> None:
    """Raise ValueError if a network for each series is asked for of a panel file."""
    if forecaster.pooling == "local":
        msg = (
            "pooling='local' trains on series in memory, but fit got a panel file. Set "
            "pooling='global', or pass a pd.DataFrame of some of the series at a time."
        )
        raise ValueError(msg)


def predictions(
    forecaster: Any, fh: ForecastingHorizon, X: pd.DataFrame | None
) -> Iterator[pd.DataFrame]:
    """Point forecasts of some series after others."""
    fitted = forecaster.fitted_
    if isinstance(fitted, LocalFitted):
        yield forecaster._predict(fh, X)
        return
    steps = steps_ahead(fitted.panel, fh)
    n_ahead = max(1, fitted.model.strategy.n_rows_ahead(steps))
    columns = fitted.model.columns
    for first, stop in fitted.panel.block_bounds(max(1, FORECASTS_PER_BLOCK // n_ahead)):
        distribution, index, parameters = fitted.part(first, stop).forecast(steps[first:stop], X)
        yield pd.DataFrame(distribution.point(parameters), index=index, columns=columns)


def write_parquet(path: str | os.PathLike, frames: Iterable[pd.DataFrame]) -> None:
    """Write frames, one after another, to a parquet file; it is put in place when it is whole."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        msg = 'predict_to_parquet needs pyarrow. Run `pip install "skrnn[parquet]"`.'
        raise ImportError(msg) from error
    writer = None
    with replacing(Path(path)) as temporary:
        try:
            for frame in frames:
                table = pyarrow.Table.from_pandas(_flat(frame), preserve_index=False)
                if writer is None:
                    writer = pyarrow.parquet.ParquetWriter(temporary, table.schema)
                writer.write_table(table.cast(writer.schema))
            writer.close()  # type: ignore[union-attr]
        except BaseException:
            if writer is not None:
                with contextlib.suppress(OSError):
                    writer.close()
            raise


def _flat(frame: pd.DataFrame) -> pd.DataFrame:
    """Index levels as columns, with names that a file can hold."""
    flat = frame.reset_index()
    flat.columns = [str(name) for name in flat.columns]
    for name, column in flat.items():
        if isinstance(column.dtype, pd.PeriodDtype):
            flat[name] = column.dt.to_timestamp()
    return flat
