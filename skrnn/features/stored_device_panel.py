"""The device panel of a file: what a batch reads is read, scaled and put on the device for it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from skrnn.data.level_shift import LevelShift
from skrnn.data.panel import Panel
from skrnn.data.scaling import Scaler
from skrnn.data.stored_panel import StoredPanel
from skrnn.features.device_panel import DevicePanel
from skrnn.features.features import Features

# Steps of the timeline whose calendar is computed once: a century of hours, about 60 MB. That of a
# longer timeline is computed for each batch.
MOST_CALENDAR_ROWS = 1_000_000


class StoredDevicePanel(DevicePanel):
    """A panel of which nothing is on the device but the calendar: `near` reads the rows.

    Parameters
    ----------
    panel : StoredPanel
        Its missing values filled.
    features : Features
    scaler, known_scaler : Scaler
        See `DevicePanel`.
    level_shift : LevelShift or None
        It is removed from the rows that are read.
    device : torch.device
    """

    is_whole = False

    def __init__(
        self,
        panel: StoredPanel,
        features: Features,
        scaler: Scaler,
        known_scaler: Scaler,
        level_shift: LevelShift | None,
        device: torch.device,
    ):
        self.device, self.lengths = device, panel.lengths
        self.panel, self.scaler, self.known_scaler = panel, scaler, known_scaler
        self.level_shift = level_shift
        self.last = self._put(panel.lengths - 1)  # (S,)
        self.naive = self.scale = None
        if features.of_counts:
            scale = scaler.scale_[:, : features.n_columns]
            self.scale = self._put(scale.astype(np.float32))  # (S, C)
        self.base, stop = int(panel.origin.min()), int(panel.end.max())
        self.has_calendar = stop - self.base <= MOST_CALENDAR_ROWS
        if self.has_calendar:
            self._put_calendar(panel.timeline, np.arange(self.base, stop), features)
        self._set_features(features)

    def near(
        self, series: Tensor, first: Tensor, stop: Tensor | int, history: int | None = None
    ) -> tuple[DevicePanel, Tensor]:
        """The rows of a file that steps ``first`` to ``stop`` of series (B,) read, on the device.

        See `DevicePanel.near`.
        """
        history = self.features.history if history is None else history
        last = self.last[series]  # of a panel that is cut, too
        since = (torch.minimum(first, last) - history).clamp_(min=0)
        until = torch.minimum(torch.as_tensor(stop, device=last.device), last + 1)
        numbers, begin, end = (part.cpu().numpy() for part in (series, since, until))
        end = np.maximum(end, begin + 1)
        rows = self.panel.windows(numbers, begin, end)
        if self.level_shift is not None:
            shift = self.level_shift
            rows = LevelShift(shift.since[numbers], shift.size[numbers]).removed(rows)
        return self._window(rows, numbers, begin), torch.arange(len(numbers), device=self.device)

    def _window(self, rows: Panel, series: np.ndarray, begin: np.ndarray) -> DevicePanel:
        """Rows from ``begin`` (B,) on of series (B,), which keep their numbers."""
        # What all windows share is taken over as it is.
        window = object.__new__(DevicePanel)
        vars(window).update(vars(self))
        scaler = self.scaler.of(series)
        window._put_rows(rows, self.features, scaler, self.known_scaler, begin)
        window.lengths, of_series = self.lengths[series], self._put(series)
        window.first = self._put(rows.offsets[:-1] - begin)
        window.last = self.last[of_series]
        window.scale = None if self.scale is None else self.scale[of_series]
        if self.has_calendar:
            window.lead = self._put(rows.origin - self.base - rows.offsets[:-1])
        else:
            window._place(rows, self.features)
        return window
