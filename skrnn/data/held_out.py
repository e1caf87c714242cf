"""The held-out rows: the end of each series, which is not trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skrnn.data.panel import Panel

# Rows that a series needs to be trained on: a value and one to forecast from it.
FEWEST_TRAINING_ROWS = 2
# With "auto", the share of each series that is held out, and how many rows of all series together
# are enough, unless they would be so few of each.
AUTO_SHARE, MOST_HELD_OUT, FEWEST_OF_LONG = 0.15, 20_000, 1_000
# With "auto" at least so many rows of a series are held out, and so many times the longest horizon.
FEWEST_HELD_OUT, HORIZONS_HELD_OUT = 8, 2
# So many shorter series hold out enough together, with one horizon of each (decision 30), but no
# more than this share.
FEWEST_SHORT_SERIES, MOST_OF_SHORT = 50, 1 / 3


@dataclass(frozen=True)
class HeldOut:
    """The rows of each series that give validation losses and residuals, as timeline positions.

    Parameters
    ----------
    first, stop : np.ndarray of shape (S,)
        Positions ``first`` to ``stop`` (excluded) are held out; none if both are equal.
    is_trained_on : bool
        Whether these rows are trained on at last, once they have shown how long to train.
    """

    first: np.ndarray
    stop: np.ndarray
    is_trained_on: bool = False

    @classmethod
    def of(cls, panel: Panel, share: float | None) -> HeldOut:
        """Hold out a share of each series, rounded up, if two rows are left to train on.

        Raises
        ------
        ValueError
            If no series is long enough.
        """
        if share is None:
            return cls(panel.end, panel.end)
        n_held_out = np.ceil(share * panel.lengths).astype(np.int64)
        n_trained = np.maximum(panel.lengths - n_held_out, FEWEST_TRAINING_ROWS)
        n_trained = np.minimum(n_trained, panel.lengths)
        if (n_trained == panel.lengths).all():
            msg = (
                f"validation_split={share} must leave {FEWEST_TRAINING_ROWS} observations to train "
                f"on and hold out at least one, but the longest series has "
                f"{panel.lengths.max()}. Pass longer series, or validation_split=None."
            )
            raise ValueError(msg)
        return cls(panel.origin + n_trained, panel.end)

    @classmethod
    def automatic(cls, panel: Panel, horizon: int) -> HeldOut:
        """Hold out the ends of series that are long enough, or many enough, for ``horizon`` steps.

        A panel of many long series holds out less of each.
        """
        fewest = max(FEWEST_HELD_OUT, horizon)
        n = np.floor(AUTO_SHARE * panel.lengths)
        n = np.minimum(n, max(FEWEST_OF_LONG, MOST_HELD_OUT / panel.n_series))
        is_long = n >= max(FEWEST_HELD_OUT, HORIZONS_HELD_OUT * horizon)
        of_short = np.maximum(n, np.minimum(fewest, np.floor(MOST_OF_SHORT * panel.lengths)))
        is_short = ~is_long & (of_short >= horizon)
        if is_short.sum() < FEWEST_SHORT_SERIES:
            is_short = np.zeros_like(is_short)
        n = np.select([is_long, is_short], [n, of_short]).astype(np.int64)
        return cls(panel.end - n, panel.end, bool(n.any()))

    def rows(self, panel: Panel) -> tuple[np.ndarray, np.ndarray]:
        """First row and stop of each series in a panel that holds them."""
        stop = np.minimum(self.stop - panel.origin, panel.lengths)
        return np.minimum(self.first - panel.origin, stop), stop

    @property
    def is_empty(self) -> bool:
        """Whether nothing is held out."""
        return bool((self.first == self.stop).all())
