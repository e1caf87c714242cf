"""Panel files: a panel on disk, built in pieces, whose values are read where they are needed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import reprlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skrnn.data.covariates import Covariates, check_columns
from skrnn.data.stored_panel import RowsFile, StoredPanel
from skrnn.files.container import InvalidFileError, unpack
from skrnn.files.encoding import Decoder
from skrnn.files.panel_writer import (
    HEAD,
    KIND,
    ROWS_PER_PIECE,
    TAIL,
    VERSION,
    PanelWriter,
    pieces_of,
    plain_keys,
    timeline_of,
)


class PanelFile:
    """A panel in a file, for `fit` and `pretrain` on more data than memory holds.

    It is built once, by `from_frames`, `from_parquet` or `from_array`, in pieces. A forecaster
    then reads the values that a batch needs.

    Parameters
    ----------
    path : str or path-like
        A file that one of these methods has written.

    Attributes
    ----------
    path : Path
    keys : pd.Index or None
        The names of the series; None for a single series without a name.
    lengths : np.ndarray of shape (n_series,)
        Number of time stamps of each series.
    columns : pd.Index
        Target columns.
    X_columns : pd.Index
        Columns of X, all numeric.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    skrnn.saving.InvalidFileError
        If it is no panel file, is not whole, or is of another version.

    Notes
    -----
    Values are float32, whatever they were. A file is not changed: to add observations, build it
    again. It is 4 bytes for each value, and a few for each series.

    Examples
    --------
    >>> import tempfile
    >>> from skrnn import GRUForecaster
    >>> from skrnn.datasets import PanelFile, make_hourly_load
    >>> load = make_hourly_load(n_series=2, n_hours=400, random_state=0)
    >>> path = tempfile.mkdtemp() + "/load.panel"
    >>> frames = ((region, y.droplevel(0)) for region, y in load.groupby(level=0))
    >>> file = PanelFile.from_frames(path, frames)
    >>> file.n_series, file.n_values
    (2, 800)
    >>> forecaster = GRUForecaster(hidden_size=8, num_epochs=1, random_state=0).fit(file)
    >>> forecaster.predict(fh=[1, 2]).shape
    (4, 1)
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self._description = _read_description(self.path)
        self.keys: pd.Index | None = self._description["keys"]
        self.lengths: np.ndarray = self._description["lengths"]
        self.columns: pd.Index = self._description["columns"]
        self.X_columns: pd.Index = self._description["X_columns"]

    @property
    def n_series(self) -> int:
        """Number of series."""
        return len(self.lengths)

    @property
    def n_values(self) -> int:
        """Number of values of y, missing ones included."""
        return int(self.lengths.sum()) * len(self.columns)

    def __repr__(self) -> str:
        return f"PanelFile({str(self.path)!r})"

    def __reduce__(self) -> tuple:
        return type(self), (self.path,)

    @classmethod
    def from_frames(
        cls,
        path: str | os.PathLike,
        frames: Iterable[tuple],
        *,
        names: Sequence[Any] | None = None,
        freq: Any = None,
    ) -> PanelFile:
        """Build a file from one frame for each series, of which few are in memory at once.

        Parameters
        ----------
        path : str or path-like
            Where to write. A file that is there stays until the new one is whole.
        frames : iterable of (key, y) or (key, y, X)
            The name of a series, a label or a tuple of labels, its values, a pd.Series or
            pd.DataFrame, and its covariates, a pd.DataFrame of numbers.
        names : sequence, optional
            Names of the index levels that the labels become, and, if you like, of that of time.
        freq : str or pd.offsets.BaseOffset, optional
            Frequency of the time stamps. By default it is that of the longest of the first series,
            about 260,000 rows of them.

        Returns
        -------
        PanelFile

        Raises
        ------
        ValueError
            If a series is unsorted, lacks rows, is empty or duplicated, or has values that are
            infinite or that float32 cannot hold; if series differ in their columns.
        TypeError
            If values are not numbers, or ``frames`` gives something else.
        OSError
            If the file cannot be written, because the disk is full or for another reason. What was
            written is removed.
        """
        if names is not None and not _is_list(names):
            msg = f"names must be a list of names of index levels. Got {names!r} instead."
            raise TypeError(msg)
        with PanelWriter(path, freq) as writer:
            ready: list[tuple[Any, pd.DataFrame, pd.DataFrame | None]] = []
            n_rows = 0
            for item in frames:
                if not (isinstance(item, tuple) and len(item) in (2, 3)):
                    msg = (
                        f"frames must give a tuple (key, y) or (key, y, X) for each series, but "
                        f"gave a {type(item).__name__}. Of a panel in memory, y.groupby(level=0) "
                        f"gives them after `droplevel(0)`."
                    )
                    raise TypeError(msg)
                key, y, *others = item
                parts = [y, *(X for X in others if X is not None)]
                if not all(isinstance(part, (pd.Series, pd.DataFrame)) for part in parts):
                    msg = f"y and X of series {key!r} must be pandas. Convert them."
                    raise TypeError(msg)
                y = y.to_frame("y" if y.name is None else y.name) if y.ndim == 1 else y
                ready.append((key, y, *others) if others else (key, y, None))
                n_rows += len(y)
                if n_rows >= ROWS_PER_PIECE:
                    writer.add_frames(ready, names)
                    ready, n_rows = [], 0
            if ready:
                writer.add_frames(ready, names)
        return cls(path)

    @classmethod
    def from_parquet(
        cls,
        path: str | os.PathLike,
        source: Any,
        *,
        time: str,
        target: str | Sequence[str],
        series: str | Sequence[str] | None = None,
        X: Sequence[str] = (),
        freq: Any = None,
    ) -> PanelFile:
        """Build a file from a parquet data set, which is read batch by batch.

        Its rows must be sorted: those of a series together, in the order of time.

        Parameters
        ----------
        path : str or path-like
            Where to write. A file that is there stays until the new one is whole.
        source : str, path-like or list
            A parquet file, a folder of them, or a list of files: what `pyarrow.dataset.dataset`
            accepts. Files of a folder are read in the order of their names.
        time : str
            The column of time stamps.
        target : str or list of str
            The columns to forecast.
        series : str or list of str, optional
            The columns that name the series; None for a single series.
        X : list of str, default=()
            Columns that are covariates, all numeric.
        freq : str or pd.offsets.BaseOffset, optional
            Frequency of the time stamps. By default it is that of the longest series of the first
            batch.

        Returns
        -------
        PanelFile

        Raises
        ------
        ImportError
            If pyarrow is missing: ``pip install "skrnn[parquet]"``.
        ValueError, TypeError, OSError
            See `from_frames`; also if the data set lacks one of the columns.
        """
        try:
            import pyarrow.dataset
        except ImportError as error:
            msg = 'PanelFile.from_parquet needs pyarrow. Run `pip install "skrnn[parquet]"`.'
            raise ImportError(msg) from error
        targets = [target] if isinstance(target, str) else list(target)
        keys = [] if series is None else [series] if isinstance(series, str) else list(series)
        data = pyarrow.dataset.dataset(source, format="parquet")
        needed = [*keys, time, *targets, *X]
        lacking = [name for name in needed if name not in data.schema.names]
        if lacking:
            msg = (
                f"The parquet data must have the columns {needed}, but {lacking[0]!r} is not among "
                f"{data.schema.names}. Correct the name."
            )
            raise ValueError(msg)
        batches = data.scanner(
            columns=needed,
            batch_size=ROWS_PER_PIECE,
            batch_readahead=1,
            fragment_readahead=1,
            use_threads=False,
        ).to_batches()
        with PanelWriter(path, freq) as writer:
            for batch in batches:
                if batch.num_rows:
                    frame = batch.to_pandas(date_as_object=False)
                    for key in keys:
                        frame[key] = plain_keys(frame[key])
                    frame = frame.set_index([*keys, time])
                    writer.add(frame[targets], frame[list(X)] if X else None)
        return cls(path)

    @classmethod
    def from_array(
        cls,
        path: str | os.PathLike,
        values: np.ndarray,
        *,
        lengths: Sequence[int] | np.ndarray | None = None,
        keys: Sequence[Any] | pd.Index | None = None,
        start: Any = 0,
        freq: Any = None,
        columns: Sequence[Any] | None = None,
    ) -> PanelFile:
        """Build a file from an array, such as a `numpy.memmap`, of which a piece is read at a time.

        Parameters
        ----------
        path : str or path-like
            Where to write. A file that is there stays until the new one is whole.
        values : np.ndarray of shape (N,) or (N, C)
            The rows of all series, one series after another; C target columns.
        lengths : array of int, optional
            Rows of each series; by default all rows are one series.
        keys : sequence or pd.Index, optional
            Names of the series; 0, 1, ... by default.
        start : int, pd.Timestamp, pd.Period or an index of them, default=0
            Time stamp of the first row of every series, or of each.
        freq : str or pd.offsets.BaseOffset, optional
            Frequency; it is needed where ``start`` is a pd.Timestamp.
        columns : sequence, optional
            Names of the target columns; "y", or "y0", "y1", ... by default.

        Returns
        -------
        PanelFile

        Raises
        ------
        ValueError
            If the lengths do not add up to the rows, names are too few or too many, or the file of
            a memmap has become shorter than the map; and as `from_frames` does.
        TypeError
            If ``values`` is no array of real numbers, or another parameter is of another type.
        OSError
            See `from_frames`.
        """
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu":
            kind = getattr(values, "dtype", type(values).__name__)
            msg = f"values must be an array of real numbers, but got {kind}. Convert it."
            raise TypeError(msg)
        if values.ndim not in (1, 2):
            msg = (
                f"values must have the shape (N,) or (N, C), but it has {values.shape}. Reshape "
                f"series of equal length, (S, T), with `.reshape(-1)`, and pass lengths=[T] * S."
            )
            raise ValueError(msg)
        n_columns = 1 if values.ndim == 1 else values.shape[1]
        names = pd.Index(["y"] if n_columns == 1 else [f"y{c}" for c in range(n_columns)])
        if columns is not None:
            names = _names("columns", columns, n_columns)
        counts = np.asarray([len(values)] if lengths is None else lengths)
        if counts.ndim != 1 or counts.dtype.kind not in "iu":
            msg = f"lengths must be a list of integers. Got {lengths!r} instead."
            raise TypeError(msg)
        if counts.sum() != len(values) or (counts <= 0).any():
            msg = (
                f"lengths must be positive and add up to the {len(values):,} rows of values, but "
                f"they add up to {counts.sum():,} and the least is {counts.min(initial=0)}."
            )
            raise ValueError(msg)
        labels = None
        if lengths is not None:
            labels = pd.RangeIndex(len(counts))
            if keys is not None:
                labels = _names("keys", keys, len(counts))
        timeline, origin = timeline_of(start, freq, len(counts))
        with PanelWriter(path, freq) as writer:
            writer.timeline = timeline
            for panel in pieces_of(values, counts, labels, timeline, origin, names):
                writer.add_panel(panel)
        return cls(path)


def _is_list(given: Any) -> bool:
    return pd.api.types.is_list_like(given) and getattr(given, "ndim", 1) == 1


def _names(parameter: str, given: Any, n: int) -> pd.Index:
    """The names of n columns or series."""
    if not _is_list(given) or len(given) != n:
        got = reprlib.repr(given)
        msg = f"The {parameter!r} parameter must be a list of {n} names. Got {got} instead."
        raise ValueError(msg)
    return pd.Index(given)


def panel_of(
    file: PanelFile, past: Sequence[Any], expected: Covariates | None = None
) -> StoredPanel:
    """The panel that `fit` reads; ``past`` names the columns of X known only up to now.

    ``expected`` are the covariates of a pretrained model, which then say so.
    """
    columns = file.X_columns
    if expected is not None:
        check_columns(columns, expected.columns, "X")
        covariates = expected
    else:
        covariates = Covariates.of(pd.DataFrame(columns=columns, dtype=np.float64), past)
    n, missing = len(file.columns), file._description["n_missing"]
    is_past = np.isin(np.arange(len(columns)), columns.get_indexer(list(covariates.past)))
    known = n + np.flatnonzero(~is_past)
    if missing[known].any():
        name = columns[known[missing[known] > 0][0] - n]
        msg = (
            f"X must be finite in columns known in advance, but column {name!r} of "
            f"{str(file.path)!r} has missing values. Fill them and build the file again, or "
            f"name the column in past_covariates."
        )
        raise ValueError(msg)
    past_columns = [n + columns.get_loc(name) for name in covariates.past]
    of_values = np.append(np.arange(n), np.array(past_columns, dtype=np.int64))
    n_rows, width = int(file.lengths.sum()), n + len(columns)
    return StoredPanel.of(
        RowsFile(file.path, HEAD.size, n_rows, width),
        of_values,
        known,
        np.cumsum(file.lengths) - file.lengths,
        file.lengths,
        bool(missing[of_values].any()),
        digest=file._description["digest"],
        origin=file._description["origin"],
        timeline=file._description["timeline"],
        keys=file.keys,
        columns=file.columns,
        covariates=covariates,
    )


def head_of(file: PanelFile) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """The first rows of y, and of X, by which sktime knows what the data are."""
    panel, n = panel_of(file, ()), min(file.n_series, 2)
    series, counts = np.arange(n), np.minimum(file.lengths[:n], 3)
    rows = panel.windows(series, np.zeros_like(counts), counts)
    index = panel.index(np.repeat(series, counts), rows.positions())
    y = pd.DataFrame(rows.values, index=index, columns=file.columns)
    X = pd.DataFrame(rows.known, index=index, columns=file.X_columns)
    return y, X if len(file.X_columns) else None


def _read_description(path: Path) -> dict[str, Any]:
    """What a panel file says of its rows."""
    with open(path, "rb") as file:
        head = file.read(HEAD.size)
        kind, version = HEAD.unpack(head) if len(head) == HEAD.size else (b"", 0)
        if kind != KIND:
            msg = (
                f"A PanelFile must be a file that PanelFile.from_frames, from_parquet or "
                f"from_array has written, but {str(path)!r} is none. Check its name."
            )
            raise InvalidFileError(msg)
        if version != VERSION:
            msg = (
                f"The panel file {str(path)!r} must have version {VERSION}, but it has {version}. "
                f"Build it again, or upgrade skrnn if it is newer."
            )
            raise InvalidFileError(msg)
        size = file.seek(0, os.SEEK_END)
        file.seek(max(HEAD.size, size - TAIL.size))
        tail = file.read()
        n, end = TAIL.unpack(tail) if len(tail) == TAIL.size else (0, b"")
        if end == KIND and HEAD.size + n + TAIL.size <= size:
            file.seek(size - TAIL.size - n)
            with contextlib.suppress(InvalidFileError):
                content = file.read(n)
                description, arrays = unpack(content)
                found = Decoder(arrays).fields(description["panel"])
                found["digest"] = hashlib.sha256(content).hexdigest()  # that of the rows is in it
                width = len(found["columns"]) + len(found["X_columns"])
                of_rows = 4 * width * int(found["lengths"].sum())
                if HEAD.size + of_rows + n + TAIL.size == size:
                    return found
    msg = (
        f"The panel file {str(path)!r} is not whole: it was cut off or damaged. Copy or build it "
        f"again."
    )
    raise InvalidFileError(msg)
