"""The panel on the device to which rows are appended."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from skrnn.data.latest_rows import LatestRows
from skrnn.data.level_shift import LevelShift
from skrnn.data.scaling import Scaler
from skrnn.features.device_panel import DevicePanel
from skrnn.features.features import Features
from skrnn.features.means import accumulator_dtype


class SlidingPanel(DevicePanel):
    """The scaled latest rows of each series, with room for rows to come.

    Parameters
    ----------
    latest : LatestRows
        Rows in the unit of the data. It is not changed here: each change of it is followed by the
        method of the same name.
    features, scaler, known_scaler, device
        See `DevicePanel`.
    level_shift : LevelShift or None
        Rows are known on the level after it.
    """

    def __init__(
        self,
        latest: LatestRows,
        features: Features,
        scaler: Scaler,
        known_scaler: Scaler,
        device: torch.device,
        level_shift: LevelShift | None,
    ):
        grid = latest.grid()
        if level_shift is not None:
            grid = level_shift.removed(grid)
        super().__init__(grid, features, scaler, known_scaler, device)
        self.scaler, self.known_scaler = scaler, known_scaler
        self.is_number = grid.covariates.numbers

    def make_room(self, latest: LatestRows, rows: np.ndarray) -> None:
        """Move the rows as `LatestRows.make_room` has moved its own."""
        after = torch.from_numpy(rows).to(self.device)
        series = torch.arange(len(rows), device=self.device)[:, None]
        for name in ("values", "observed", "means", "numbers", "codes"):
            block = getattr(self, name)
            if block is not None:
                per_series = block.unflatten(0, (len(rows), len(block) // len(rows)))
                setattr(self, name, per_series[series, after].flatten(0, 1))
        grid = latest.grid()
        self.lengths = grid.lengths
        self.first = torch.from_numpy(grid.offsets[:-1]).to(self.device)
        self.last = torch.from_numpy(grid.lengths - 1).to(self.device)
        self._place(grid, self.features)

    def announce(self, series: np.ndarray, row: np.ndarray, known: np.ndarray) -> None:
        """Put covariates known in advance (m, H, P) in rows of series (m,) from ``row`` on."""
        if not known.shape[2]:
            return
        at = self.first[torch.from_numpy(series)] + torch.from_numpy(row).to(self.device)
        at = at[:, None] + torch.arange(known.shape[1], device=self.device)
        group = np.zeros(known.shape[0] * known.shape[1], dtype=np.int64)
        numbers = self.known_scaler.transform(
            known[..., self.is_number].reshape(len(group), -1), group
        )
        self.numbers[at.flatten()] = torch.from_numpy(numbers).to(self.device)
        if self.codes is not None:
            codes = known[..., ~self.is_number].reshape(len(group), -1).astype(np.int64)
            self.codes[at.flatten()] = torch.from_numpy(codes).to(self.device)

    def append(
        self, series: np.ndarray, row: np.ndarray, values: np.ndarray, observed: np.ndarray
    ) -> None:
        """Put values (m, V) of ``row`` (m,), missing ones filled, and their means beside them."""
        scaled = (values - self.scaler.center_[series]) / self.scaler.scale_[series]
        if self.observed is not None:
            scaled = np.nan_to_num(scaled)
        count = torch.from_numpy(row + 1).to(self.device)  # (m,)
        at = self.first[torch.from_numpy(series)] + count - 1
        self.values[at] = torch.from_numpy(scaled.astype(np.float32)).to(self.device)
        if self.observed is not None:
            self.observed[at] = torch.from_numpy(observed).to(self.device)
        if self.means is not None:
            means = [self._mean(at, count, period) for period in self.features.mean_periods]
            self.means[at] = torch.stack(means, dim=1)

    def _mean(self, at: Tensor, count: Tensor, period: int) -> Tensor:
        """Mean of the last ``period`` values up to the rows ``at``, of so many; (m, C)."""
        back = torch.arange(min(period, int(count.max())), device=self.device)
        window = self.values[(at[:, None] - back).clamp_(min=0)].to(accumulator_dtype(self.device))
        window = torch.where((back < count[:, None])[..., None], window, 0.0)
        total = window.sum(1) / count.clamp(max=period)[:, None]
        return total.to(self.values.dtype)
