"""The fitted state: a model, and the data from whose end it forecasts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch

from skrnn.data.counts import check_counts
from skrnn.data.held_out import HeldOut
from skrnn.data.panel import Panel
from skrnn.data.stored_panel import StoredPanel
from skrnn.distributions import Predictive
from skrnn.distributions.bounded import Bounded
from skrnn.features.device_panel import DevicePanel
from skrnn.forecasting.adaptation import HeldOutErrors
from skrnn.forecasting.conformal import calibrated
from skrnn.forecasting.contributions import RANGE, Contributions, Explained
from skrnn.forecasting.ensemble import AnyModel, combined
from skrnn.forecasting.held_out_errors import held_out_errors
from skrnn.forecasting.model import Model
from skrnn.forecasting.samples import Samples
from skrnn.network.randomness import RandomStreams

# Values that one call of predict forecasts at most; more would not fit into memory.
MOST_VALUES_AHEAD = 50_000_000


@dataclass(frozen=True)
class Fitted:
    """A model with its context: all that `predict` reads. It is replaced, never changed.

    Parameters
    ----------
    model : Model or Ensemble
    panel : Panel
        The context: all observations so far, missing ones filled.
    held_out : HeldOut
        Rows that the model was not trained on.
    seed : int
        Of simulated paths, so that all calls simulate the same.
    early : Model or Ensemble
        The model before the held-out rows were trained on; the same if they were not.
    forecast_range : tuple of float or None, "auto" or None
        Bounds of forecasts; "auto" is zero for what was never negative.
    began : np.ndarray of shape (S,), or None
        Position of the first row that each series had before rows were dropped, see
        `with_context_alone`; None if none were.
    least_dropped : np.ndarray of shape (S, C), or None
        Least value of each series in the rows dropped.
    """

    model: AnyModel
    panel: Panel
    held_out: HeldOut
    seed: int
    early: AnyModel
    forecast_range: Any = None
    began: np.ndarray | None = None
    least_dropped: np.ndarray | None = None

    @property
    def single(self) -> Model:
        """The model, where it is no ensemble."""
        (model,) = self.model.members
        return model

    @cached_property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bound of forecasts from the end of each series, (S, C) each."""
        return self._bounds(self.panel, np.arange(self.panel.n_series), self.panel.lengths)

    def _bounds(
        self, panel: Panel, series: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bound of forecasts of series (n,) that know the rows before these (n,).

        Each is (n, C).
        """
        low, high = (None, None) if self.forecast_range in (None, "auto") else self.forecast_range
        shape = (len(series), len(panel.columns))
        lower = np.full(shape, -np.inf if low is None else low)
        if isinstance(self.forecast_range, str):
            was_negative = panel.first_negative[series] < rows[:, None]
            if self.least_dropped is not None:
                was_negative |= self.least_dropped[series] < 0
            lower[~was_negative] = 0.0
        return lower, np.full(shape, np.inf if high is None else high)

    def least(self) -> np.ndarray:
        """Least value so far of each series and column, (S, C); that of missing ones is 0."""
        least = np.concatenate(
            [
                np.minimum.reduceat(block.observed_or_zero(), block.offsets[:-1])
                for block in self.panel.blocks()
            ]
        )
        return least if self.least_dropped is None else np.minimum(least, self.least_dropped)

    def with_context_alone(self) -> Fitted:
        """The same without the rows that neither later forecasts nor their intervals read.

        Of each series are kept: the held-out rows and all after them, the rows before these that
        the network reads, and a window more, for in-sample forecasts of the latest rows.
        """
        panel = self.panel
        first, stop = self.held_out.rows(panel)
        first = np.where(first < stop, first, panel.lengths)
        begin = np.maximum(first - self.rows_before - self.model.window_length, 0)
        if not begin.any():
            return replace(self, panel=panel.in_memory())
        began = panel.origin if self.began is None else np.minimum(self.began, panel.origin)
        least, panel = self.least(), panel.since(begin).in_memory()
        return replace(self, panel=panel, began=began, least_dropped=least)

    def in_memory(self) -> Fitted:
        """The same; of a panel in a file, with the context in memory and without the file."""
        return self.with_context_alone() if isinstance(self.panel, StoredPanel) else self

    def _check_kept(self, panel: Panel, series: np.ndarray, rows: np.ndarray) -> None:
        """Raise ValueError if a forecast from one of these rows would read rows dropped before."""
        if self.began is None:
            return
        is_lost = panel.origin[series] > self.began[series]
        early = np.flatnonzero(is_lost & (rows < self.rows_before))
        if len(early):
            s, row = series[early[0]], rows[early[0]]
            first, asked = panel.timeline.stamps(panel.origin[s] + np.array([0, row]))
            msg = (
                f"A forecast must have {self.rows_before} rows before it, but of series "
                f"{panel.label(s)} those before {first} were dropped when it was saved, so that "
                f"{asked} cannot be forecast. Save the forecaster with history='all'."
            )
            raise ValueError(msg)

    def appended(self, y: pd.DataFrame, X: pd.DataFrame | None) -> Fitted:
        """The same model with a context that holds these observations as well."""
        self = self.in_memory()
        panel = self.panel
        panel.covariates.check(X)
        new = Panel.from_pandas(y, X, panel.covariates, panel.timeline)
        if self.model.features.of_counts:
            check_counts(new)
        return replace(self, panel=panel.updated(new).filled(self.model.features.seasons))

    def part(self, first: int, stop: int) -> Fitted:
        """The same of some neighbouring series, in memory."""
        kept = slice(first, stop)
        return replace(
            self,
            model=self.model.part(kept),
            early=self.early.part(kept),
            panel=self.panel.part(first, stop),
            held_out=replace(
                self.held_out, first=self.held_out.first[kept], stop=self.held_out.stop[kept]
            ),
            began=None if self.began is None else self.began[kept],
            least_dropped=None if self.least_dropped is None else self.least_dropped[kept],
        )

    def last_stamps(self) -> pd.Index:
        """Index of each series' last observation."""
        return self.panel.index(np.arange(self.panel.n_series), self.panel.end - 1)

    # -------------------------------------------------------------- from the end of the data

    def forecast(
        self, steps: np.ndarray, X: pd.DataFrame | None, n_samples: int = 0
    ) -> tuple[Predictive, pd.Index, np.ndarray]:
        """Distribution and index of the forecasts, and its parameters (n, C, K).

        Forecasts up to the cutoff are one-step-ahead. The first observation of a series has no past
        to be forecast from: NaN.

        Parameters
        ----------
        steps : np.ndarray of shape (S, J)
            Steps from each series' end; 0 is its last observation.
        X : pd.DataFrame or None
            Covariates known in advance, of all rows that are forecast.
        n_samples : int, default=0
            See `Model.forecast`.
        """
        distribution, index, parameters = self._unbounded(steps, X, n_samples)
        bounds = self._bounds(self.panel, *self._known(steps))
        distribution, parameters = bounded(distribution, parameters, bounds)
        return distribution, index, parameters

    def explained(
        self, steps: np.ndarray, X: pd.DataFrame | None, by_input: bool
    ) -> tuple[pd.Index, list[tuple[str, str]], np.ndarray]:
        """Index of the point forecasts, sources, and what each of P contributes, (n, C, P).

        Parameters
        ----------
        steps, X
            See `forecast`.
        by_input : bool
            Whether the correction is divided among the inputs of the network.
        """
        of_each = []
        for member in self.model.members:
            contributions = member.contributions(by_input)
            explained, index, parameters = replace(self, model=member)._unbounded(
                steps, X, 0, contributions
            )
            sources, parts, own = explained.split(parameters)  # type: ignore[attr-defined]
            of_each.append((explained.distribution, own, parts))  # type: ignore[attr-defined]
        distributions, owns, of_members = zip(*of_each, strict=True)
        distribution, own = combined(distributions, owns, is_simulated=False)
        parts = np.mean(of_members, axis=0)
        bounds = self._bounds(self.panel, *self._known(steps))
        if np.isfinite(bounds).any():
            inside, of_inside = bounded(distribution, own, bounds)
            moved = inside.point(of_inside) - distribution.point(own)
            sources, parts = [*sources, RANGE], np.append(parts, moved[..., None], axis=-1)
        return index, sources, parts

    def _unbounded(
        self,
        steps: np.ndarray,
        X: pd.DataFrame | None,
        n_samples: int,
        contributions: Contributions | None = None,
    ) -> tuple[Predictive, pd.Index, np.ndarray]:
        """The same before `forecast_range` is applied."""
        panel = self.panel
        tail, extended = self.read_ahead(steps, X, n_samples)
        data = self.model.on_device(extended)
        row = tail.lengths[:, None] - 1 + steps
        parts: list[tuple[np.ndarray, np.ndarray]] = []
        distribution: Predictive = Samples()
        n_parameters = 1
        if contributions is not None:
            distribution = Explained(distribution, contributions)
            n_parameters += contributions.n_channels
        # Only a single network is explained.
        options: dict[str, Any] = {} if contributions is None else {"contributions": contributions}
        inside, ahead = (row > 0) & (steps <= 0), steps > 0
        self._check_kept(tail, np.nonzero(~ahead)[0], row[~ahead])
        if inside.any():
            series, _ = np.nonzero(inside)
            one = np.ones(1, dtype=np.int64)
            distribution, parameters = self.model.forecast(
                tail,
                series,
                row[inside],
                one,
                n_samples,
                self.generator(n_samples),
                data,
                **options,
            )
            parts.append((inside, parameters[:, 0]))
        if ahead.any():
            series, _ = np.nonzero(ahead)
            horizons, every = np.unique(steps[ahead]), np.arange(panel.n_series)
            distribution, parameters = self.model.forecast(
                tail,
                every,
                tail.lengths,
                horizons,
                n_samples,
                self.generator(n_samples),
                data,
                **options,
            )
            parts.append((ahead, parameters[series, np.searchsorted(horizons, steps[ahead])]))
        if not parts:  # nothing but first observations
            parts = [(ahead, np.empty((0, len(panel.columns), n_parameters)))]
        result = np.full((*steps.shape, *parts[0][1].shape[1:]), np.nan)
        for mask, parameters in parts:
            result[mask] = parameters
        series = np.repeat(np.arange(panel.n_series), steps.shape[1])
        index = panel.index(series, (panel.end[:, None] - 1 + steps).ravel())
        return distribution, index, result.reshape(len(index), *result.shape[2:])

    def read_ahead(
        self, steps: np.ndarray, X: pd.DataFrame | None, n_samples: int = 0
    ) -> tuple[Panel, Panel]:
        """The rows that forecasts read, and the same with the rows that are forecast."""
        panel, strategy = self.panel, self.model.strategy
        panel.covariates.check(X, past=False, needed=bool((steps > 0).any()))
        self.check_size(strategy.n_rows_ahead(steps), n_samples)
        tail = panel.tail(self._rows_read(steps))
        return tail, tail.extended(strategy.n_rows_ahead(steps), self._known_ahead(X, steps))

    def predictive(
        self, steps: np.ndarray, X: pd.DataFrame | None, n_samples: int
    ) -> tuple[Predictive, pd.Index, np.ndarray]:
        """The same with a distribution that has quantiles: the network's, or a conformal one."""
        n_samples = n_samples if self.is_probabilistic else 0
        if not self.is_calibrated:
            return self.forecast(steps, X, n_samples)
        distribution, index, parameters = self._unbounded(steps, X, n_samples)
        series, rows = self._known(steps)
        ahead = np.maximum(steps, 1).reshape(-1, 1)
        result, parameters = calibrated(
            distribution,
            parameters.reshape(-1, 1, *parameters.shape[1:]),
            series,
            rows,
            ahead,
            self._bounds(self.panel, series, rows),
            *self.held_out_errors(np.unique(ahead)),
        )
        return result, index, parameters[:, 0]

    def held_out_errors(self, steps: np.ndarray) -> tuple[HeldOutErrors, np.ndarray]:
        """`skrnn.forecasting.conformal.held_out_errors` of the data so far.

        They are forecasts from hundreds of rows, and those of the last steps asked for are kept:
        further intervals for the same horizon take no longer than the forecasts.
        """
        latest = self.__dict__.get("_latest_errors")
        if latest is None or not np.array_equal(latest[0].steps, steps):
            latest = held_out_errors(self.early, self.panel, self.held_out, steps)
            self.__dict__["_latest_errors"] = latest  # what `self` is does not change
        return latest

    def _known(self, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Series of each forecast, and the row before which it knows all, (S * J,) each.

        A forecast up to the cutoff is one step ahead of the row before it.
        """
        rows = self.panel.lengths[:, None] - 1 + np.minimum(steps, 1)
        return np.repeat(np.arange(len(steps)), steps.shape[1]), rows.ravel()

    # ----------------------------------------------------------------- from many cutoffs

    def forecast_from(
        self,
        panel: Panel,
        series: np.ndarray,
        rows: np.ndarray,
        steps: np.ndarray,
        n_samples: int = 0,
        data: DevicePanel | None = None,
    ) -> tuple[Predictive, np.ndarray]:
        """`Model.forecast` with the random numbers of this fit, within `forecast_range`."""
        self._check_kept(panel, series, rows)
        distribution, parameters = self.model.forecast(
            panel, series, rows, steps, n_samples, self.generator(n_samples), data
        )
        return bounded(distribution, parameters, self._bounds(panel, series, rows))

    def generator(self, n_samples: int) -> torch.Generator | None:
        """Random numbers of simulated paths: the same in every call."""
        return RandomStreams(self.seed).sampling(self.model.device) if n_samples else None

    def predictive_from(
        self,
        panel: Panel,
        series: np.ndarray,
        rows: np.ndarray,
        steps: np.ndarray,
        n_samples: int,
        data: DevicePanel,
    ) -> tuple[Predictive, np.ndarray]:
        """The same with a distribution that has quantiles."""
        n_samples = n_samples if self.is_probabilistic else 0
        if not self.is_calibrated:
            return self.forecast_from(panel, series, rows, steps, n_samples, data)
        self._check_kept(panel, series, rows)
        distribution, parameters = self.model.forecast(
            panel, series, rows, steps, n_samples, self.generator(n_samples), data
        )
        return calibrated(
            distribution,
            parameters,
            series,
            rows,
            np.broadcast_to(steps, parameters.shape[:2]),
            self._bounds(panel, series, rows),
            *held_out_errors(self.early, panel, self.held_out, np.unique(steps)),
        )

    @property
    def is_probabilistic(self) -> bool:
        """Whether the network forecasts a distribution."""
        return self.model.distribution.is_probabilistic

    @property
    def is_calibrated(self) -> bool:
        """Whether held-out rows calibrate the quantiles; those of points need it.

        Those of counts are whole numbers, which cannot be moved by the size of an error.
        """
        of_counts = self.model.features.of_counts
        return not (self.is_probabilistic and (self.held_out.is_empty or of_counts))

    # ------------------------------------------------------------------------- what is read

    def _rows_read(self, steps: np.ndarray) -> int:
        """Rows at the end of each series that the runs to the earliest forecast read."""
        return self.rows_before + max(0, int(1 - steps.min()))

    @property
    def rows_before(self) -> int:
        """Rows before a forecast that the run to it reads."""
        model, features = self.model, self.model.features
        return 2 * model.window_length + features.history + features.patch_length

    def _known_ahead(self, X: pd.DataFrame | None, steps: np.ndarray) -> np.ndarray:
        """Known covariates of the rows after each series' end, (S, H, P); zeros where not read."""
        panel, strategy = self.panel, self.model.strategy
        n_known = len(panel.covariates.known)
        known = np.zeros((panel.n_series, strategy.n_rows_ahead(steps), n_known))
        if not known.size or not (steps > 0).any():
            return known
        rows = strategy.rows_with_X(steps)
        series = np.repeat(np.arange(panel.n_series), len(rows))
        index = panel.index(series, (panel.end[:, None] - 1 + rows).ravel())
        values = panel.covariates.read_known(X, index)
        known[:, rows - 1] = values.reshape(panel.n_series, len(rows), -1)
        return known

    def check_size(self, n_rows_ahead: int, n_samples: int) -> None:
        n_values = self.panel.n_series * n_rows_ahead * max(1, n_samples)
        if n_values > MOST_VALUES_AHEAD:
            msg = (
                f"fh must ask for at most {MOST_VALUES_AHEAD:,} forecasts, but {n_rows_ahead:,} "
                f"steps ahead, {self.panel.n_series} series and {max(1, n_samples)} paths are "
                f"{n_values:,}. Shorten fh, or lower n_samples."
            )
            raise ValueError(msg)


def bounded(
    distribution: Predictive, parameters: np.ndarray, bounds: tuple[np.ndarray, np.ndarray]
) -> tuple[Predictive, np.ndarray]:
    """The distribution of min(max(y, lower), upper), and its parameters (n, ..., C, K)."""
    shape = (len(parameters), *(1,) * (parameters.ndim - 3), -1, 1)
    lower, upper = (bound.reshape(shape) for bound in bounds)
    if distribution.has_values:
        return distribution, np.clip(parameters, lower, upper)
    if np.isinf(lower).all() and np.isinf(upper).all():
        return distribution, parameters
    shape = (*parameters.shape[:-1], 1)
    full = [np.broadcast_to(bound, shape) for bound in (lower, upper)]
    return Bounded(distribution), np.concatenate([parameters, *full], axis=-1)
