"""Streams: forecasts from a context that grows by a row at a time, at a cost that does not grow."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from skrnn.data.held_out import HeldOut
from skrnn.data.latest_rows import LatestRows
from skrnn.data.panel import Panel
from skrnn.distributions import Predictive
from skrnn.features.device_panel import DevicePanel
from skrnn.features.sliding_panel import SlidingPanel
from skrnn.forecasting.adaptation import Followed
from skrnn.forecasting.decoding import VALUES_AT_ONCE, Decoder, Encoded, runs_at_once, states
from skrnn.forecasting.fitted import Fitted, bounded
from skrnn.forecasting.held_out_errors import N_SIMULATED, center_and_size
from skrnn.forecasting.model import Model
from skrnn.forecasting.strategies import ForecastingStrategy
from skrnn.network.cells import State, each_part, select
from skrnn.network.devices import tf32


@dataclass(frozen=True)
class CarriedDecoder(Decoder):
    """Forecasts from a recurrent state that is known one step before each cutoff.

    Parameters
    ----------
    carried : State
        Of each of the n cutoffs.
    steps_per_run : int
        Steps by which the size of batches is chosen, as for `Runs`: batches, and with them random
        draws, are then the same.
    """

    carried: State = None
    steps_per_run: int = 1

    def _encoded(self, horizon: int) -> Iterator[Encoded]:
        return self._in_batches(self._runs_at_once())

    def _encoded_with_states(
        self, n_values: int, horizon: int, by_length: bool
    ) -> Iterator[Encoded]:
        n = VALUES_AT_ONCE // n_values // self.n_parts
        return self._in_batches(max(1, min(self._runs_at_once(), n)))

    def _runs_at_once(self) -> int:
        return runs_at_once(self.steps_per_run, 1, self.n_parts)

    def _in_batches(self, n: int) -> Iterator[Encoded]:
        for first in range(0, len(self.cutoff), n):
            cutoffs = np.arange(first, min(first + n, len(self.cutoff)))
            series, t, place = self._put(self.series[cutoffs], self.cutoff[cutoffs], cutoffs)
            steps = self.data.steps(series, t, 1)
            hidden, state = self.network.encode(steps, select(self.carried, place))
            run = place - first
            at = torch.zeros_like(run)
            yield Encoded(cutoffs, hidden[:, 0], state, steps, run, at, self.data, series)


class StreamedModel:
    """A model beside the latest rows, scaled, and its recurrent state at the end of each series.

    Decision 3 says where runs start: at multiples of ``stride``. With a stride of a whole window
    two runs are under way at any time, the one whose state gives forecasts and the next one. Where
    the stride is 1, or a step takes in a patch, each forecast runs over its window.

    Parameters
    ----------
    model : Model
    panel : Panel
        The context, missing values filled.
    latest : LatestRows
        Its last rows.
    """

    def __init__(self, model: Model, panel: Panel, latest: LatestRows):
        self.model = model
        self.data = SlidingPanel(
            latest,
            model.features,
            model.scaler,  # type: ignore[arg-type]
            model.known_scaler,
            model.device,
            model.level_shift,
        )
        self.is_carried = carries_state(model)
        # The state of the run that gives forecasts, and of the next one, before the step of the
        # first row to come, of 2 S sequences.
        self.state: State = self._states_of(panel) if self.is_carried else None

    @torch.no_grad()
    def _states_of(self, panel: Panel) -> State:
        model = self.model
        rows_before = 2 * model.window_length + model.features.history
        tail = panel.tail(rows_before)
        data, n, every = model.on_device(tail), tail.lengths, np.arange(tail.n_series)
        position = tail.end
        start = (position + 1) // model.stride * model.stride - tail.origin
        starts = np.concatenate([start - model.window_length, start]).clip(min=1)
        return _states(model, data, np.tile(every, 2), starts, np.tile(n, 2))

    @torch.inference_mode()
    def step(self, series: np.ndarray, latest: LatestRows) -> State:
        """States after the step of the next row of each series (m,), 2 m; its X is in place."""
        if not self.is_carried:
            return None
        n_series, stride = latest.n_series, self.model.stride
        row, position = latest.count[series], latest.end[series]
        at, t = torch.from_numpy(series), torch.from_numpy(row)
        inputs = self.model.network.inputs(
            self.data.steps(at.to(self.data.device), t.to(self.data.device), 1)
        )
        both = torch.cat([at, at + n_series])
        before = select(self.state, both)
        with tf32(self.model.allows_tf32):
            _, after = self.model.network.recurrent(inputs.repeat(2, 1, 1), before)
        # A next run takes over when it is a window long; then the one after it begins.
        return _passed_on(after, (position + 1) % stride == 0, (position + 2) % stride == 0)

    def append(
        self,
        series: np.ndarray,
        row: np.ndarray,
        values: np.ndarray,
        observed: np.ndarray,
        state: State,
    ) -> None:
        """Append a row to each series (m,), with the state that `step` has given."""
        self.data.append(series, row, values, observed)
        if not self.is_carried:
            return
        both = np.concatenate([series, series + len(self.data.lengths)])
        self.state = _with(self.state, both, state)

    @torch.inference_mode()
    def forecast(
        self,
        latest: LatestRows,
        series: np.ndarray,
        steps: np.ndarray,
        n_samples: int = 0,
        generator: torch.Generator | None = None,
    ) -> tuple[Predictive, np.ndarray]:
        """See `Model.forecast`; from the end of each of the given series (m,)."""
        model, rows = self.model, latest.count[series]
        if not self.is_carried:
            return model.forecast(
                latest.grid(), series, rows, steps, n_samples, generator, self.data
            )
        decoder = CarriedDecoder(
            model.network,
            self.data,
            series,
            rows,
            None,  # type: ignore[arg-type]
            carried=select(self.state, torch.from_numpy(series)),
            steps_per_run=model.window_length + model.stride,
        )
        with tf32(model.allows_tf32):
            distribution, parameters = model.strategy.forecast(decoder, steps, n_samples, generator)
        positions = latest.end[series][:, None] + steps - 1
        return distribution, model.unscaled(distribution, parameters, series, positions)


def carries_state(model: Model) -> bool:
    """Whether runs of a model are so far apart that their states can be carried along."""
    return model.stride == model.window_length and model.features.patch_length == 1


def _states(
    model: Model, data: DevicePanel, series: np.ndarray, start: np.ndarray, stop: np.ndarray
) -> State:
    """States after the steps ``start`` to ``stop`` (excluded) of series (n,); zero without any."""
    network, device = model.network, data.device

    def put(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(device)

    one = network.encode(data.steps(put(series[:1]), put(start[:1]), 1))[1]
    result = each_part(lambda part: part.new_zeros(part.shape[0], len(series), part.shape[2]), one)
    n_steps = stop - start
    order = np.argsort(n_steps, kind="stable")
    order = order[n_steps[order] > 0]
    n = runs_at_once(model.window_length + model.stride, 1, 1)
    for first in range(0, len(order), n):
        runs = order[first : first + n]
        steps = data.steps(put(series[runs]), put(start[runs]), int(n_steps[runs].max()))
        _, state = states(network, steps, np.arange(len(runs)), n_steps[runs] - 1)
        result = _with(result, runs, state)
    return result


def _with(whole: State, sequences: np.ndarray, part: State) -> State:
    """States in which those of the given sequences are replaced."""
    at = torch.from_numpy(sequences)

    def put(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
        result = before.clone()
        result[:, at] = after
        return result

    return each_part(put, whole, part)


def _passed_on(state: State, begins: np.ndarray, takes_over: np.ndarray) -> State:
    """States of runs and of the next runs, where some of these begin or take over, (m,) each."""
    m = len(begins)
    if begins.any():
        next_ones = torch.from_numpy(m + np.flatnonzero(begins))
        state = each_part(lambda part: part.index_fill(1, next_ones.to(part.device), 0.0), state)
    if takes_over.any():
        order = np.arange(2 * m)
        order[:m][takes_over] += m
        state = select(state, torch.from_numpy(order))
    return state


class Tracker:
    """Quantiles of errors that follow each new one, see `HeldOutErrors.tracked`.

    Parameters
    ----------
    fitted : Fitted
        Its panel holds the held-out rows and all after them.
    steps : np.ndarray of shape (J,)
        Steps ahead, ascending.
    levels : np.ndarray of shape (A,)
        Of the quantiles, ascending.
    """

    def __init__(self, fitted: Fitted, steps: np.ndarray, levels: np.ndarray):
        panel = fitted.panel
        errors, self.sizes = fitted.held_out_errors(steps)
        self.steps, self.stride = steps, errors.stride
        first, stop = fitted.held_out.rows(panel)
        # Position of the first cutoff of each series; far in the future where there is none.
        self.first = np.where(first < stop, panel.origin + first, np.iinfo(np.int64).max)
        self.levels, self.adaptation = levels, errors.adaptation(levels)
        self.state = self.adaptation.begin(panel.n_series)
        n_recent = int(self.adaptation.before.max()) + 1
        quantile = self.state.quantile
        self.recent = np.tile(quantile, (n_recent, *(1,) * quantile.ndim))
        # Errors so far, of each series and horizon; all of them are followed once more.
        latest = panel.lengths[:, None] - steps  # (S, J)
        n_errors = (errors.cutoff[:, :, None] <= latest[:, None]).sum(1)
        self.count = np.zeros_like(n_errors)
        every = np.arange(panel.n_series)
        for k in range(n_errors.max()):
            is_first = errors.is_first[:, k]
            self._follow(every, errors.errors[:, k], k < n_errors, is_first)
        # Centre and size of forecasts from the last cutoffs, by the remainder of the position.
        shape = (panel.n_series, int(steps.max()), len(steps), len(panel.columns))
        self.center, self.size = np.full(shape, np.nan), np.ones(shape)

    def _follow(
        self, series: np.ndarray, error: np.ndarray, is_due: np.ndarray, is_first: np.ndarray
    ) -> None:
        """Move the quantiles of series (m,) after errors (m, J, C), where they are due (m, J)."""
        horizon, n_recent = np.arange(len(self.steps)), len(self.recent)
        count = self.count[series]
        back = np.maximum(count - self.adaptation.before, 0) % n_recent
        made_with = np.moveaxis(self.recent[back, :, series[:, None], horizon], 2, 0)
        stays = (~is_due | is_first)[..., None] | np.isnan(error)
        state = Followed(*(part[:, series] for part in self.state))
        moved = self.adaptation.moved(state, made_with, error, stays)
        for part, new in zip(self.state, moved, strict=True):
            part[:, series] = new
        self.count[series] = count = count + is_due
        place = count % n_recent
        self.recent[place, :, series[:, None], horizon] = np.moveaxis(moved.quantile, 0, 2)

    def is_cutoff(self, series: np.ndarray, position: np.ndarray) -> np.ndarray:
        """Whether forecasts from these positions (m, ...) of series (m,) have errors."""
        first = self.first[series].reshape(-1, *(1,) * (position.ndim - 1))
        return (position >= first) & ((position - first) % self.stride == 0)

    def forecast(
        self,
        series: np.ndarray,
        position: np.ndarray,
        distribution: Predictive,
        parameters: np.ndarray,
        horizon: np.ndarray | slice = slice(None),
    ) -> None:
        """Note forecasts (m, J, C, K) from positions (m,) of series (m,).

        Or those of one horizon each, (m,); parameters are then (m, C, K).
        """
        place = series, position % self.center.shape[1], horizon
        center, size = center_and_size(distribution, parameters)
        sizes = self.sizes[series].reshape(-1, *(1,) * (center.ndim - 2), center.shape[-1])
        self.center[place], self.size[place] = center, size * sizes

    def observe(self, series: np.ndarray, position: np.ndarray, values: np.ndarray) -> None:
        """Follow the errors that values (m, C) at positions (m,) show."""
        cutoff = position[:, None] + 1 - self.steps  # (m, J)
        is_due = self.is_cutoff(series, cutoff)
        if not is_due.any():
            return
        place = series[:, None], cutoff % self.center.shape[1], np.arange(len(self.steps))
        error = (values[:, None] - self.center[place]) / self.size[place]
        self._follow(series, error, is_due, np.zeros_like(is_due))

    def quantiles(self) -> np.ndarray:
        """The quantiles of the errors of forecasts from the end of each series, (S, J, C, A)."""
        return np.sort(self.adaptation.mean(self.state), axis=-1)


class FittedStream:
    """A fitted state to which rows are appended: what it costs and holds does not grow.

    Parameters
    ----------
    fitted : Fitted
    steps : np.ndarray of shape (J,)
        Steps ahead of the quantiles that errors move, ascending.
    levels : np.ndarray of shape (A,), or None
        Levels of these quantiles, ascending; None if quantiles do not follow errors.
    remembers : bool
        Whether all rows are kept.
    """

    def __init__(
        self, fitted: Fitted, steps: np.ndarray, levels: np.ndarray | None, remembers: bool
    ):
        panel, features = fitted.panel, fitted.model.features
        n_ahead = int(max(steps.max(), *features.horizons))
        self.steps = steps
        self.n_held_out = int((fitted.held_out.stop - fitted.held_out.first).max())
        self.n_context = fitted.rows_before + fitted.model.window_length
        self.n_context += max(self.n_held_out, n_ahead)
        self.latest = LatestRows(
            panel, features.seasons, None if remembers else self.n_context, n_ahead
        )
        self.tracker = None if levels is None else Tracker(fitted, steps, levels)
        self.held_out, self.least_dropped = fitted.held_out, fitted.least_dropped
        self.began = panel.origin if fitted.began is None else fitted.began
        # The data of the fitted state are not kept.
        self._fitted = replace(fitted, panel=self.latest.template)
        self._put_models(panel)
        self._note_open_forecasts(panel)

    def _put_models(self, panel: Panel) -> None:
        """Scale the latest rows for each model, and run it to their end."""
        model, (early,) = self._fitted.single, self._fitted.early.members
        self.model = StreamedModel(model, panel, self.latest)
        self.early = self.model
        if self.tracker is not None and early is not model:
            self.early = StreamedModel(early, panel, self.latest)
        self.models = [self.model] if self.early is self.model else [self.model, self.early]

    def stored(self) -> FittedStream:
        """What a pickle holds beside the fitted state: no network, and nothing on a device."""
        result = copy.copy(self)
        for name in ("_fitted", "model", "early", "models"):
            delattr(result, name)
        return result

    @classmethod
    def restored(cls, fitted: Fitted, stored: FittedStream) -> FittedStream:
        """The stream of what `fitted` and `stored` have given."""
        stored._fitted = replace(fitted, panel=stored.latest.template)
        stored._put_models(stored.latest.panel())
        return stored

    @property
    def of_counts(self) -> bool:
        """Whether values must be counts."""
        return self._fitted.model.features.of_counts

    @property
    def is_calibrated(self) -> bool:
        """See `Fitted.is_calibrated`."""
        return replace(self._fitted, held_out=self.held_out).is_calibrated

    @property
    def strategy(self) -> ForecastingStrategy:
        """How several steps are forecast."""
        return self._fitted.model.strategy

    # ---------------------------------------------------------------------------- new rows

    def update(self, series: np.ndarray, values: np.ndarray, known: np.ndarray) -> None:
        """Append a row to each of the given series.

        Parameters
        ----------
        series : np.ndarray of shape (m,)
            Distinct.
        values : np.ndarray of shape (m, V)
            Target columns and past covariates, NaN where missing.
        known : np.ndarray of shape (m, P)
            Covariates known in advance in this row.
        """
        self._reserve(int(self.steps.max()))
        latest, n_columns = self.latest, len(self._fitted.model.columns)
        row, position = latest.count[series], latest.end[series]
        self._announce(series, known[:, None])
        states = [model.step(series, latest) for model in self.models]
        if self.tracker is not None and self._forecasts_before:
            self._note_forecasts(series, position)
        filled = latest.append(series, values, known)
        for model, state in zip(self.models, states, strict=True):
            model.append(series, row, filled, ~np.isnan(values), state)
        if self.tracker is not None:
            if not self._forecasts_before:
                self._note_forecasts_behind(series)
            self.tracker.observe(series, position, values[:, :n_columns])

    def _announce(self, series: np.ndarray, known: np.ndarray) -> None:
        for model in self.models:
            model.data.announce(series, self.latest.count[series], known)

    def _reserve(self, n_ahead: int) -> None:
        """See that there is room for a row, and for so many ahead of the end."""
        latest = self.latest
        latest.n_ahead = max(latest.n_ahead, n_ahead)
        if latest.is_full:
            rows = latest.make_room()
            for model in self.models:
                model.data.make_room(latest, rows)

    # ------------------------------------------------------------- errors that move quantiles

    @property
    def _forecasts_before(self) -> bool:
        """Whether forecasts that give errors can be made at their cutoff: X is not known then."""
        n_known = self.latest.known.shape[2]
        return n_known == 0 or int(self.steps.max()) == 1

    @property
    def _n_samples(self) -> int:
        fitted = self._fitted
        is_sampled = fitted.is_probabilistic and fitted.model.strategy.name == "recursive"
        return N_SIMULATED if is_sampled else 0

    def _note_forecasts(self, series: np.ndarray, position: np.ndarray) -> None:
        """Note the forecasts from the end of the series that are cutoffs."""
        chosen = self.tracker.is_cutoff(series, position)  # type: ignore[union-attr]
        if chosen.any():
            series, position = series[chosen], position[chosen]
            forecast = self.early.forecast(self.latest, series, self.steps, self._n_samples)
            self.tracker.forecast(series, position, *forecast)  # type: ignore[union-attr]

    def _note_forecasts_behind(self, series: np.ndarray) -> None:
        """Note the forecasts of the last row, each from its own cutoff; their X is known now."""
        tracker, latest = self.tracker, self.latest
        cutoff = latest.end[series, None] - self.steps  # (m, J)
        at, horizon = np.nonzero(tracker.is_cutoff(series, cutoff))  # type: ignore[union-attr]
        if not len(at):
            return
        chosen, rows = series[at], cutoff[at, horizon] - latest.origin[series[at]]
        distribution, parameters = self.early.model.forecast(
            latest.grid(), chosen, rows, self.steps, self._n_samples, None, self.early.data
        )
        of_row = parameters[np.arange(len(at)), horizon]  # (n, C, K)
        position = cutoff[at, horizon]
        tracker.forecast(chosen, position, distribution, of_row, horizon)  # type: ignore[union-attr]

    def _note_open_forecasts(self, panel: Panel) -> None:
        """Note the forecasts from the last cutoffs whose errors are not known yet."""
        farthest = int(self.steps.max())
        if self.tracker is None or not self._forecasts_before or farthest == 1:
            return
        early, tail = self._fitted.early, panel.tail(self.n_context)
        tail = tail.extended(farthest, np.empty((tail.n_series, farthest, 0)))
        cutoff = panel.end[:, None] - np.arange(1, farthest)  # (S, H - 1)
        series, k = np.nonzero(self.tracker.is_cutoff(np.arange(panel.n_series), cutoff))
        if len(series):
            position = cutoff[series, k]
            rows = position - tail.origin[series]
            forecast = early.forecast(tail, series, rows, self.steps, self._n_samples)
            self.tracker.forecast(series, position, *forecast)

    # --------------------------------------------------------------------------- forecasts

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """See `Fitted.bounds`."""
        return self._with_panel(self.latest.template).bounds

    def forecast(
        self, steps: np.ndarray, known: np.ndarray, n_samples: int = 0
    ) -> tuple[Predictive, np.ndarray]:
        """Distribution of forecasts from the end of each series, and parameters (S, J, C, K).

        Parameters
        ----------
        steps : np.ndarray of shape (J,)
            Steps ahead, ascending, from 1 on.
        known : np.ndarray of shape (S, H, P)
            Covariates known in advance of the rows after the end.
        n_samples : int, default=0
            Simulated paths.
        """
        distribution, parameters = self._unbounded(steps, known, n_samples)
        return bounded(distribution, parameters, self.bounds())

    def quantiles(self, known: np.ndarray, n_samples: int) -> np.ndarray:
        """Quantiles that follow the errors, (S, J, C, A)."""
        n_samples = n_samples if self._fitted.is_probabilistic else 0
        center, size = center_and_size(*self._unbounded(self.steps, known, n_samples))
        size = size * self.tracker.sizes[:, None]  # type: ignore[union-attr]
        quantiles = self.tracker.quantiles()  # type: ignore[union-attr]
        lower, upper = (bound[:, None, :, None] for bound in self.bounds())
        return np.clip(center[..., None] + size[..., None] * quantiles, lower, upper)

    def _unbounded(
        self, steps: np.ndarray, known: np.ndarray, n_samples: int
    ) -> tuple[Predictive, np.ndarray]:
        n_ahead = int(max(steps.max(), known.shape[1]))
        self._fitted.check_size(n_ahead, n_samples)
        self._reserve(n_ahead)
        every = np.arange(self.latest.n_series)
        self._announce(every, known)
        generator = self._fitted.generator(n_samples)
        return self.model.forecast(self.latest, every, steps, n_samples, generator)

    # ------------------------------------------------------------------------- the way back

    def fitted(self) -> Fitted:
        """The fitted state with the rows that are kept.

        Where held-out rows have been dropped, as many of the last rows, on which no model was
        trained either, are the held-out rows.
        """
        panel, held_out = self.latest.panel(), self.held_out
        first, stop = held_out.first, held_out.stop
        is_lost = (panel.origin > self.began) & (first - self._fitted.rows_before < panel.origin)
        is_lost &= first < stop
        first = np.where(is_lost, panel.end - (stop - first), first)
        held_out = HeldOut(first, np.where(is_lost, panel.end, stop), held_out.is_trained_on)
        return replace(self._with_panel(panel), held_out=held_out)

    def _with_panel(self, panel: Panel) -> Fitted:
        least = self.latest.least
        if self.least_dropped is not None:
            least = np.minimum(least, self.least_dropped)
        is_whole = (panel.origin == self.began).all()
        began = None if is_whole else self.began
        return replace(self._fitted, panel=panel, began=began, least_dropped=least)
