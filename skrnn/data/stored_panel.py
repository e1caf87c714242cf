"""The stored panel: a panel whose values stay in a file and are read where they are needed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from skrnn.data.missing import fill_missing
from skrnn.data.panel import Panel


class RowsFile:
    """Rows of float32 numbers in a file.

    They are read, not mapped: pages of a mapped file count as memory of the process, and one that
    shrinks would end it by a signal.

    Parameters
    ----------
    path : Path
        For messages, and to open the file.
    start : int
        Byte at which the first row begins.
    n_rows, width : int
    descriptor : int, optional
        Of a file that is open already, and has no name.
    """

    def __init__(
        self, path: Path, start: int, n_rows: int, width: int, descriptor: int | None = None
    ):
        self.path, self.start, self.n_rows, self.width = path, start, n_rows, width
        self.descriptor = os.open(path, _READ_ONLY) if descriptor is None else descriptor

    def read(self, first: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Ranges of rows one after another, (counts.sum(), width).

        Raises
        ------
        OSError
            If the file has become shorter, or cannot be read.
        """
        result = np.empty((int(counts.sum()), self.width), dtype=np.float32)
        size = result.itemsize * self.width
        # Ranges that follow each other are one.
        begins = np.append(True, first[1:] != first[:-1] + counts[:-1])[: len(first)]
        ends = np.cumsum(counts)[np.append(begins[1:], True)[: len(first)]] * size
        starts = self.start + first[begins] * size
        place, view = 0, memoryview(result).cast("B")  # type: ignore[arg-type]
        for offset, end in zip(starts.tolist(), ends.tolist(), strict=True):
            while place < end:
                n = _read_into(self.descriptor, view[place:end], offset)
                if n == 0:
                    msg = (
                        f"The panel file {str(self.path)!r} must hold {self.n_rows:,} rows, but it "
                        f"has become shorter since it was opened. Build it again."
                    )
                    raise OSError(msg)
                place, offset = place + n, offset + n
        return result

    def __deepcopy__(self, memo: dict[int, Any]) -> RowsFile:
        return self  # nothing of it changes

    def __del__(self) -> None:
        if (descriptor := vars(self).pop("descriptor", None)) is not None:
            os.close(descriptor)


# On Windows a file is opened as text unless it is said to be binary.
_READ_ONLY = os.O_RDONLY | getattr(os, "O_BINARY", 0)


def _read_into(descriptor: int, view: memoryview, offset: int) -> int:
    """Read from a place of the file; the number of bytes read, 0 beyond its end."""
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [view], offset)
    os.lseek(descriptor, offset, os.SEEK_SET)  # Windows: not from several threads at once
    content = os.read(descriptor, len(view))
    view[: len(content)] = content
    return len(content)


class StoredRows:
    """Some columns of a file's rows, as an array that is read where it is indexed.

    Parameters
    ----------
    file : RowsFile
    columns : np.ndarray of shape (C,)
        Numbers of the columns.
    first : np.ndarray of shape (S,)
        Row of the file with which each series begins.
    offsets : np.ndarray of shape (S + 1,)
        Series s holds the rows ``offsets[s]`` to ``offsets[s + 1]`` of the array.
    of_missing : bool, default=False
        Whether the array says which values are not NaN, in place of the values.
    """

    def __init__(
        self,
        file: RowsFile,
        columns: np.ndarray,
        first: np.ndarray,
        offsets: np.ndarray,
        of_missing: bool = False,
    ):
        self.file, self.columns, self.first, self.offsets = file, columns, first, offsets
        self.of_missing = of_missing

    @property
    def shape(self) -> tuple[int, int]:
        return int(self.offsets[-1]), len(self.columns)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, item: Any) -> np.ndarray:
        """Rows by a slice or an integer array, and then columns, if ``item`` is a tuple."""
        if isinstance(item, tuple):
            rows, *others = item
            part = self[rows]
            return part[(slice(None),) * (part.ndim - 1) + tuple(others)]
        if isinstance(item, slice):
            start, stop, _ = item.indices(len(self))
            return self._range(start, max(start, stop))
        rows, inverse = np.unique(np.asarray(item), return_inverse=True)
        series = np.searchsorted(self.offsets, rows, side="right") - 1
        found = self.file.read(self.first[series] + rows - self.offsets[series], np.ones_like(rows))
        return self._columns_of(found)[inverse.reshape(np.shape(item))]

    def _range(self, start: int, stop: int) -> np.ndarray:
        """Rows ``start`` to ``stop``."""
        begin = int(np.searchsorted(self.offsets, start, side="right")) - 1
        end = max(begin + 1, int(np.searchsorted(self.offsets, stop, side="left")))
        low = np.maximum(self.offsets[begin:end], start)
        counts = np.maximum(np.minimum(self.offsets[begin + 1 : end + 1], stop) - low, 0)
        first = self.first[begin:end] + low - self.offsets[begin:end]
        return self._columns_of(self.file.read(first, counts))

    def windows(self, series: np.ndarray, begin: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """As many rows from row ``begin`` of some series on, one after another."""
        return self._columns_of(self.file.read(self.first[series] + begin, counts))

    def _columns_of(self, rows: np.ndarray) -> np.ndarray:
        rows = rows if len(self.columns) == self.file.width else rows[:, self.columns]
        return ~np.isnan(rows) if self.of_missing else rows.astype(np.float64)


@dataclass(frozen=True)
class StoredPanel(Panel):
    """A panel whose values, `StoredRows`, are in a file; only what is asked for is in memory.

    Parameters
    ----------
    digest : str
        Checksum of the file.
    """

    digest: str

    @classmethod
    def of(
        cls,
        file: RowsFile,
        value_columns: np.ndarray,
        known_columns: np.ndarray,
        first: np.ndarray,
        lengths: np.ndarray,
        has_missing: bool,
        **fields: Any,
    ) -> StoredPanel:
        """The panel of these columns of a file."""
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        observed = StoredRows(file, value_columns, first, offsets, True) if has_missing else None
        return cls(
            values=StoredRows(file, value_columns, first, offsets),  # type: ignore[arg-type]
            observed=observed,  # type: ignore[arg-type]
            known=StoredRows(file, known_columns, first, offsets),  # type: ignore[arg-type]
            offsets=offsets,
            **fields,
        )

    def trim_leading_missing(self) -> StoredPanel:
        """The same: this was done when the file was built."""
        return self

    def filled(self, periods: Sequence[int]) -> StoredPanel:
        """Fill missing values as `Panel.filled`, in a second file that goes with the panel.

        It is in the folder of temporary files, and as large as the panel.
        """
        if self.observed is None:
            return self
        width = self.values.shape[1]
        folder = Path(tempfile.gettempdir())
        try:
            with tempfile.TemporaryFile(dir=folder) as scratch:
                for block in self.blocks():
                    assert block.observed is not None
                    values = fill_missing(block.values, block.observed, block.offsets, periods)
                    scratch.write(values.astype(np.float32).tobytes())
                scratch.flush()
                descriptor = os.dup(scratch.fileno())
        except OSError as error:
            size = 4 * width * len(self.values)
            msg = (
                f"Missing values are filled in a temporary file of {size:,} bytes, but "
                f"{str(folder)!r} cannot hold it: {error.strerror}. Set the environment variable "
                f"TMPDIR to a folder with more room."
            )
            raise OSError(msg) from error
        file = RowsFile(folder, 0, len(self.values), width, descriptor)
        filled = StoredRows(file, np.arange(width), self.offsets[:-1], self.offsets)
        return replace(self, values=filled)  # type: ignore[arg-type]

    def part(self, first: int, stop: int) -> Panel:
        """Some neighbouring series, in memory."""
        rows = slice(self.offsets[first], self.offsets[stop])
        return Panel(
            values=self.values[rows],
            observed=None if self.observed is None else self.observed[rows],
            known=self.known[rows],
            offsets=self.offsets[first : stop + 1] - self.offsets[first],
            origin=self.origin[first:stop],
            timeline=self.timeline,
            keys=None if self.keys is None else self.keys[first:stop],
            columns=self.columns,
            covariates=self.covariates,
        )

    def in_memory(self) -> Panel:
        """The same panel with all its values in memory."""
        return self.part(0, self.n_series)

    def windows(self, series: np.ndarray, begin: np.ndarray, stop: np.ndarray) -> Panel:
        """Rows ``begin`` to ``stop`` of some series, (n,) each, as n series in memory.

        They have no names.
        """
        counts = stop - begin

        def read(rows: Any) -> np.ndarray:
            return rows.windows(series, begin, counts)

        return Panel(
            values=read(self.values),
            observed=None if self.observed is None else read(self.observed),
            known=read(self.known) if self.known.shape[1] else np.empty((counts.sum(), 0)),
            offsets=np.concatenate([[0], np.cumsum(counts)]),
            origin=self.origin[series] + begin,
            timeline=self.timeline,
            keys=None,
            columns=self.columns,
            covariates=self.covariates,
        )

    def _select(self, first: np.ndarray, stop: np.ndarray) -> StoredPanel:
        """Keep the rows ``first`` to ``stop`` of each series, counted over the whole panel."""
        begin = first - self.offsets[:-1]
        offsets = np.concatenate([[0], np.cumsum(stop - first)])

        def kept(rows: Any) -> Any:
            return (
                None
                if rows is None
                else StoredRows(
                    rows.file, rows.columns, rows.first + begin, offsets, rows.of_missing
                )
            )

        return replace(
            self,
            values=kept(self.values),
            observed=kept(self.observed),
            known=kept(self.known),
            offsets=offsets,
            origin=self.origin + begin,
        )

    @cached_property
    def first_negative(self) -> np.ndarray:
        """Row of the first negative value of each series, (S, C); its length if there is none."""
        return np.concatenate([block.first_negative for block in self.blocks()])
