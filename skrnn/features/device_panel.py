"""The panel on the device: scaled once, then read by index; nothing is copied for a batch."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from skrnn.data.panel import Panel
from skrnn.data.ragged import numbered
from skrnn.data.scaling import Scaler
from skrnn.data.timeline import Timeline
from skrnn.features.batch import Regressors, Steps, Targets
from skrnn.features.calendar import encode_calendar, ordinals
from skrnn.features.features import Features
from skrnn.features.means import trailing_means
from skrnn.features.naive_forecasts import NaiveForecasts

# Rows of which naive forecasts are computed at once.
ROWS_AT_ONCE = 4_096


class DevicePanel:
    """The scaled panel, its calendar and its covariates, on the device.

    Parameters
    ----------
    panel : Panel
        Its missing values filled.
    features : Features
    scaler, known_scaler : Scaler
        Fitted; ``scaler`` by series, ``known_scaler`` over all rows or by series, for the numeric
        columns of X.
    device : torch.device
    """

    # Whether all rows are on the device; otherwise `near` puts some of them there.
    is_whole = True

    def __init__(
        self,
        panel: Panel,
        features: Features,
        scaler: Scaler,
        known_scaler: Scaler,
        device: torch.device,
    ):
        self.device, self.lengths = device, panel.lengths
        self._put_rows(panel, features, scaler, known_scaler)
        self.first = self._put(panel.offsets[:-1])  # (S,)
        self._place(panel, features)
        self.last = self._put(panel.lengths - 1)  # (S,)
        self.naive: Tensor | None = None  # (N, J, C, F)
        self.scale = None
        if features.of_counts:
            scale = scaler.scale_[:, : features.n_columns]
            self.scale = self._put(scale.astype(np.float32))  # (S, C)
        self._set_features(features)

    def _put(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    def _put_rows(
        self,
        panel: Panel,
        features: Features,
        scaler: Scaler,
        known_scaler: Scaler,
        begin: np.ndarray | int = 0,
    ) -> None:
        """Put the scaled rows of a panel on the device.

        Each series has ``begin`` (S,) rows before its first one here.
        """
        is_number = panel.covariates.numbers
        n_means, (n, n_columns) = len(features.mean_periods), panel.values.shape
        numbers = np.empty((n, int(is_number.sum())), dtype=np.float32)
        self.values = torch.empty(n, n_columns, dtype=torch.float32, device=self.device)  # (N, C)
        self.means = None
        if n_means:
            shape = n, n_means, n_columns  # (N, P, C)
            self.means = torch.empty(shape, dtype=torch.float32, device=self.device)
        # By blocks of series: each row takes many times its size on the way.
        for first, stop in panel.block_bounds():
            block, rows = panel.part(first, stop), slice(*panel.offsets[[first, stop]])
            number, k = numbered(block.lengths)
            group = first + number
            values = scaler.transform(block.values, group)
            if block.observed is not None:
                # Before its first observation a column is at its mean.
                values = np.nan_to_num(values, copy=False)
            self.values[rows] = self._put(values)
            of_known = np.minimum(group, len(known_scaler.center_) - 1)
            numbers[rows] = known_scaler.transform(block.known[:, is_number], of_known)
            n_rows = self._put(k + 1 + np.broadcast_to(begin, panel.n_series)[group])
            for place, period in enumerate(features.mean_periods):
                means = trailing_means(self.values[rows], n_rows, period)
                self.means[rows, place] = means  # type: ignore[index]
        self.observed = None if panel.observed is None else self._put(panel.observed)  # (N, C)
        self.numbers = self._put(numbers)  # (N, Q)
        self.codes = None
        if features.sizes:
            self.codes = self._put(panel.known[:, ~is_number].astype(np.int64))  # (N, E)

    def _place(self, panel: Panel, features: Features) -> None:
        """Put the calendar of a panel's rows on the device."""
        # Series that share their dates share rows of the calendar. The ends of series that stop
        # years apart do not.
        base, stop = int(panel.origin.min()), int(panel.end.max())
        shared = stop - base < panel.lengths.sum()
        positions = np.arange(base, stop) if shared else panel.positions()
        self._put_calendar(panel.timeline, positions, features)
        # From a row of the panel to the row of the calendar.
        lead = panel.origin - base - panel.offsets[:-1]
        self.lead = self._put(lead if shared else np.zeros_like(lead))  # (S,)

    def _put_calendar(self, timeline: Timeline, positions: np.ndarray, features: Features) -> None:
        """Put the calendar at positions (T,) of a timeline on the device."""
        self.calendar = self._put(features.encode_calendar(timeline, positions))  # (T, Q)
        if features.linear_lags:
            linear = encode_calendar(features.linear_calendar, None, timeline, positions)
            self.linear_calendar = self._put(linear)  # (T, Q')
            self.ordinal = self._put(ordinals(timeline, positions))  # (T,)

    def _set_features(self, features: Features) -> None:
        """Put on the device how far back and ahead a step reads."""
        device = self.device
        self.features = features
        self.offsets = torch.tensor(features.offsets, device=device)
        self.naive_offsets = torch.tensor(features.naive_offsets, device=device)
        self.steps_after = torch.tensor(features.horizons, device=device) - 1  # (J,)
        self.mean_offsets = torch.tensor(features.mean_offsets, device=device)  # (P, 1 + J)
        self.mean_period = torch.arange(len(features.mean_periods), device=device)[:, None]

    def with_features(self, features: Features) -> DevicePanel:
        """The same panel, read for other horizons; seasons and means must be the same."""
        panel = copy.copy(self)
        panel._set_features(features)
        return panel

    @torch.no_grad()
    def with_naive(self, naive_forecasts: NaiveForecasts) -> DevicePanel:
        """The same panel, whose naive forecasts from every row are computed once and looked up."""
        stop, features = np.cumsum(self.lengths), self.features
        n_rows, shape = int(stop[-1]), (len(features.horizons), features.n_outputs)
        forecasts = self.values.new_empty(n_rows, *shape, features.n_mixed)
        for first in range(0, n_rows, ROWS_AT_ONCE):
            rows = np.arange(first, min(first + ROWS_AT_ONCE, n_rows))
            number = np.searchsorted(stop, rows, side="right")
            t = rows - (stop - self.lengths)[number]
            series = self._put(number)
            targets = self.targets(series, self._put(t)[:, None])
            forecasts[first : first + len(rows)] = naive_forecasts(targets)[0][:, 0]
        return self.holding(forecasts)

    def holding(self, naive: Tensor) -> DevicePanel:
        """The same panel with naive forecasts from every row, (N, J, C, F).

        What they alone read, but for the last value, is not read any more.
        """
        panel = copy.copy(self)
        panel.naive = naive
        # Recursively, the inputs of a step lie among the values that naive forecasts read.
        others = replace(self.features, linear_lags=())
        panel.offsets = self.offsets[: len(others.offsets)]
        panel.naive_offsets = self.naive_offsets[:1]
        return panel

    def with_calendar_from(self, order: np.ndarray, channels: slice) -> DevicePanel:
        """The same panel with these channels of the calendar read from rows ``order`` (T,) of it.

        Those that are not holidays go with the calendar and the phases of the linear forecast.
        """
        panel, rows = copy.copy(self), torch.from_numpy(order).to(self.device)
        panel.calendar = self.calendar.clone()
        panel.calendar[:, channels] = self.calendar[rows, channels]
        if self.features.linear_lags and channels.start < self.features.n_calendar:
            panel.linear_calendar, panel.ordinal = self.linear_calendar[rows], self.ordinal[rows]
        return panel

    def near(
        self, series: Tensor, first: Tensor, stop: Tensor | int, history: int | None = None
    ) -> tuple[DevicePanel, Tensor]:
        """A panel that holds what steps ``first`` to ``stop`` of series (B,) read.

        Parameters
        ----------
        series, first, stop : Tensor of shape (B,)
        history : int, optional
            Rows before ``first`` that are read; what the features read by default.

        Returns
        -------
        DevicePanel
            This panel, of which all rows are on the device.
        Tensor of shape (B,)
            The number of each series in it. Rows keep their numbers.
        """
        return self, series

    def cut(self, stop: np.ndarray) -> DevicePanel:
        """The same panel, of which nothing is read from row ``stop`` (S,) of each series on."""
        panel = copy.copy(self)
        panel.last = torch.from_numpy(stop - 1).to(self.device)
        return panel

    def rows(self, series: Tensor, row: Tensor) -> Tensor:
        """Rows of the panel, for rows of series (B,) of shape (B, ...); beyond an end, the last."""
        row = torch.minimum(row, _per_row(self.last[series], row)).clamp_(min=0)
        return row.add_(_per_row(self.first[series], row))

    def past(self, series: Tensor, t: Tensor, offsets: Tensor) -> Tensor:
        """Values (B, L, K, C) at each of K offsets before the steps t (B, L)."""
        return self.values[self.rows(series, t[..., None] - offsets)]

    def known(self, series: Tensor, row: Tensor) -> tuple[Tensor, Tensor | None]:
        """Calendar and numbers, (B, ..., Q), and codes, (B, ..., E), of rows of series (B,)."""
        rows = self.rows(series, row)
        # An embedding looks rows up in about a third of the time of indexing.
        known = F.embedding(rows + _per_row(self.lead[series], rows), self.calendar)
        if self.numbers.shape[1]:
            known = torch.cat([known, self.numbers[rows]], dim=-1)
        return known, None if self.codes is None else self.codes[rows]

    def regressors(self, series: Tensor, t: Tensor) -> Regressors | None:
        """What the linear forecast from the steps t (B, L) reads beside past values."""
        features = self.features
        if not features.linear_lags or self.naive is not None:
            return None
        rows = self.rows(series, t)
        rows = rows + _per_row(self.lead[series], rows)
        calendar = F.embedding(rows, self.linear_calendar)
        known = before = None
        if features.n_linear_known:
            known = self.known(series, t[..., None] + self.steps_after)[0]
            before = self.known(series, t - 1)[0]
            known, before = (part[..., features.n_calendar :] for part in (known, before))
        return Regressors(self.ordinal[rows], calendar, known, before)

    def naive_before(self, series: Tensor, t: Tensor) -> Tensor | None:
        """Naive forecasts from the steps t (B, L), (B, L, J, C, F), if they have been computed."""
        return None if self.naive is None else self.naive[self.rows(series, t)]

    def scale_of(self, series: Tensor) -> Tensor | None:
        """Scale of series (B,) of counts, (B, 1, 1, C); None of other values."""
        return None if self.scale is None else self.scale[series][:, None, None]

    def means_before(self, series: Tensor, t: Tensor) -> Tensor | None:
        """Trailing means (B, L, P, 1 + J, C) that the naive forecasts of the steps t read."""
        if not self.features.mean_periods or self.naive is not None:
            return None
        rows = self.rows(series, t[..., None, None] - self.mean_offsets)  # (B, L, P, 1 + J)
        return self.means[rows, self.mean_period]  # type: ignore[index]

    def times(self, start: Tensor, length: int) -> Tensor:
        """Rows (B, L) of the steps from ``start`` on, a patch apart."""
        after = torch.arange(length, device=self.device) * self.features.patch_length
        return start[:, None] + after

    def steps(self, series: Tensor, start: Tensor, length: int) -> Steps:
        """The recurrent layer's steps from row ``start`` of the given series on, a patch apart.

        Parameters
        ----------
        series, start : Tensor of shape (B,)
            Step t has the target s[t] and reads s up to t - 1. Steps after a series' end repeat
            its last row: their weight must be zero.
        length : int
            Number of steps.
        """
        t = torch.minimum(self.times(start, length), self.last[series][:, None])  # (B, L)
        rows = self.rows(series, t[..., None] - self.offsets)  # (B, L, K)
        past, observed = self.values[rows], None
        if self.features.missing:
            observed = torch.ones_like(past)
            if self.observed is not None:
                observed = self.observed[rows].to(past.dtype)
        return Steps(past, observed, t, *self.known(series, t))

    def targets(self, series: Tensor, t: Tensor, steps: Steps | None = None) -> Targets:
        """What is known of the targets of each step t, rows (B, L) of the given series.

        ``steps``, if given, are the same steps: what they have read is not read again.
        """
        t = torch.minimum(t, self.last[series][:, None])
        return self.features.strategy.targets(self, series, t, steps)

    def targets_of_linear(self, series: Tensor, t: Tensor) -> Targets:
        """The same as `targets`, but only what the linear forecast reads."""
        t = torch.minimum(t, self.last[series][:, None])
        past = self.past(series, t, self.naive_offsets)
        return Targets(past, None, t, None, None, self.regressors(series, t))

    def target_values(self, series: Tensor, t: Tensor) -> tuple[Tensor, Tensor | None]:
        """Values (B, L, J, C) that the steps t (B, L) forecast, and whether they were observed."""
        rows = self.rows(series, t[..., None] + self.steps_after)
        n = self.features.n_outputs
        observed = None if self.observed is None else self.observed[rows][..., :n]
        return self.values[rows][..., :n], observed


def _per_row(per_series: Tensor, rows: Tensor) -> Tensor:
    """A number for each series (B,), shaped to go with its rows (B, ...)."""
    return per_series.view((-1,) + (1,) * (rows.ndim - 1))
