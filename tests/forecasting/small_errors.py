import numpy as np

from skrnn.forecasting.adaptation import HeldOutErrors


def held_out(errors, n_first, steps=(1,)):
    """Errors (1, G, J, C) of a cutoff in every row, of which the first ones are held out."""
    is_first = np.broadcast_to((np.arange(errors.shape[1]) < n_first)[:, None], errors.shape[1:3])
    cutoff = np.arange(errors.shape[1])[None]
    return HeldOutErrors(cutoff, errors, is_first[None], np.asarray(steps), 1)
