"""Parts: models with their data, of which many are computed at once."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from skrnn.data.held_out import HeldOut
from skrnn.data.panel import Panel
from skrnn.features.device_panel import DevicePanel
from skrnn.forecasting.model import Model


@dataclass(frozen=True)
class Part:
    """One of many models, with the data that it is fitted to.

    Parameters
    ----------
    model : Model
    panel : Panel
    held_out : HeldOut
    first_series : int
        Number of the panel's first series among those of all models.
    """

    model: Model
    panel: Panel
    held_out: HeldOut
    first_series: int

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """First held-out row and stop of each series."""
        return self.held_out.rows(self.panel)


def joint_data(parts: Sequence[Part]) -> DevicePanel:
    """The series of all models on the device, each scaled as its model scales it."""
    first = parts[0]
    panels = [
        part.panel if part.model.level_shift is None else part.model.level_shift.removed(part.panel)
        for part in parts
    ]
    timeline = first.panel.timeline
    starts = {id(p.timeline): int(timeline.positions(p.timeline.start)[0]) for p in panels}
    observed = None
    if any(p.observed is not None for p in panels):
        observed = np.concatenate(
            [np.ones(p.values.shape, bool) if p.observed is None else p.observed for p in panels]
        )
    joint = replace(
        first.panel,
        values=np.concatenate([p.values for p in panels]),
        observed=observed,
        known=np.concatenate([p.known for p in panels]),
        offsets=np.concatenate([[0], np.cumsum(np.concatenate([p.lengths for p in panels]))]),
        origin=np.concatenate([p.origin + starts[id(p.timeline)] for p in panels]),
        keys=None,
    )
    scaler, known_scaler = copy.copy(first.model.scaler), copy.copy(first.model.known_scaler)
    n_series = [p.n_series for p in panels]
    for name in ("center_", "scale_"):
        setattr(scaler, name, np.concatenate([getattr(p.model.scaler, name) for p in parts]))
        of_known = [getattr(p.model.known_scaler, name) for p in parts]
        setattr(known_scaler, name, np.concatenate(of_known).repeat(n_series, axis=0))
    model = first.model
    return DevicePanel(joint, model.features, scaler, known_scaler, model.device)  # type: ignore[arg-type]
