"""Level shifts: a step in the level of a series less than a season before its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from skrnn.data.panel import Panel
from skrnn.data.ragged import numbered

# A shift lasts for an eighth of a season and three rows at least: a storm of some hours is none.
# One that lasts for more than a season is in the last values of the season, too.
LEAST_SHARE_OF_SEASON, FEWEST_ROWS = 1 / 8, 3
# Numbers of rows for which it is asked whether a shift has lasted for them.
N_LENGTHS = 12
# Seasons in a series at least, so that it is known how its level changes otherwise.
FEWEST_SEASONS = 8
# A shift exceeds all earlier changes of the level over as many rows, by this factor.
LEAST_RATIO = 1.5
# After it, four in five changes are at least half of it; before it, the level was as usual but for
# this share of it. A cold spell comes and goes by and by.
STEADY_SHARE, LEAST_STEADY, MOST_BEFORE = 0.2, 0.5, 0.25
# Changes are looked for in the latest rows alone.
MOST_ROWS = 20_000


@dataclass(frozen=True)
class LevelShift:
    """The latest shift of the level of each series and column, if there is one.

    Parameters
    ----------
    since : np.ndarray of shape (S, C)
        Position on the timeline of the first row on the new level.
    size : np.ndarray of shape (S, C)
        By how much the level has risen, in the unit of the data; 0 where there is no shift.
    """

    since: np.ndarray
    size: np.ndarray

    @classmethod
    def latest(cls, panel: Panel, seasons: Sequence[int]) -> LevelShift | None:
        r"""The shifts in a panel without missing values; None if there is none.

        Let :math:`d_t = y_t - y_{t-m}` for the longest season m, which the series must hold eight
        times: in changes over a shorter season, a weekend is a shift. After a shift, d is as large
        as the shift, until a season has passed. There is a shift of k rows if the mean of the last
        k values of d is further from the median than 1.5 times that of any k earlier rows in a row,
        if the level was as usual before, and if it has stayed.
        """
        shape = panel.n_series, len(panel.columns)
        since, size = np.zeros(shape, dtype=np.int64), np.zeros(shape)
        season = max(seasons, default=1)
        for s in range(panel.n_series):
            rows = slice(
                max(panel.offsets[s], panel.offsets[s + 1] - MOST_ROWS), panel.offsets[s + 1]
            )
            n_rows = rows.stop - rows.start
            if season == 1 or FEWEST_SEASONS * season > n_rows:
                continue
            for c in range(shape[1]):
                length, size[s, c] = _shift(panel.values[rows, c], season)
                since[s, c] = panel.end[s] - length
        return cls(since, size) if size.any() else None

    def before(self, series: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """How much higher the new level is, at positions (n, ...) of series (n,), (n, ..., C)."""
        shape = (len(series), *(1,) * (positions.ndim - 1), -1)
        is_before = positions[..., None] < self.since[series].reshape(shape)
        return is_before * self.size[series].reshape(shape)

    def removed(self, panel: Panel) -> Panel:
        """The panel with all rows on the new level."""
        series, _ = numbered(panel.lengths)
        values = panel.values.copy()
        values[:, : self.size.shape[1]] += self.before(series, panel.positions())
        return replace(panel, values=values)


def _shift(y: np.ndarray, season: int) -> tuple[int, float]:
    """Length in rows and size of a shift at the end of a series; 0 and 0.0 if there is none."""
    change = y[season:] - y[:-season]
    total = np.cumsum(np.pad(change, (1, 0)))
    fewest = max(FEWEST_ROWS, int(np.ceil(LEAST_SHARE_OF_SEASON * season)))
    usual = float(np.median(change))

    def latest_and_earlier(k: int) -> tuple[float, float]:
        means = np.abs((total[k:] - total[:-k]) / k - usual)
        return means[-1], means[:-k].max()

    lengths = np.unique(np.geomspace(fewest, season, N_LENGTHS).astype(int))
    pairs = [latest_and_earlier(k) for k in lengths]
    if all(latest <= LEAST_RATIO * earlier for latest, earlier in pairs):
        return 0, 0.0
    # The split of the last changes into two parts that differ most.
    late = change[-2 * season :] - usual
    lengths = np.arange(fewest, min(season, len(late) - 1) + 1)
    sums = np.cumsum(late[::-1])
    after, before = sums[lengths - 1] / lengths, (sums[-1] - sums[lengths - 1])
    before = before / (len(late) - lengths)
    gain = lengths * (len(late) - lengths) * (after - before) ** 2
    k = int(lengths[gain.argmax()])
    size = float(np.median(late[-k:]))
    is_large = abs(size) > LEAST_RATIO * latest_and_earlier(k)[1]
    is_steady = np.quantile(late[-k:] / size, STEADY_SHARE) > LEAST_STEADY if size else False
    is_step = abs(np.median(late[-2 * k : -k])) < MOST_BEFORE * abs(size)
    return (k, size) if is_large and is_steady and is_step else (0, 0.0)
