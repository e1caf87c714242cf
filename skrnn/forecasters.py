"""Forecasters: a GRU, an LSTM, or either by name, as sktime forecasters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from skrnn.callbacks import Callback
from skrnn.contract.forecaster import BaseRecurrentForecaster

Forecaster = TypeVar("Forecaster", bound=type[BaseRecurrentForecaster])

PARAMETERS = """\
    strategy : {"recursive", "multioutput"}, default="recursive"
        How several steps are forecast. "recursive": one after the other, each an input of the
        next; any ``fh`` can be predicted. "multioutput": all at once from the state at the cutoff,
        by a network trained to forecast each step of ``fh``, which `fit` then needs, from every
        step of a chunk.
    window_length : int, default=192
        Time steps of a training chunk, and the least number of steps over which the network runs
        up to a cutoff. A shorter series is one chunk.
    patch_length : int, default=1
        Time steps that one step of the recurrent layer takes in, a divisor of ``window_length``;
        above 1 with "multioutput" only. A day of hours, 24, for horizons of weeks.
    hidden_size : int, default=128
        Units of each recurrent layer.
    num_layers : int, default=1
        Recurrent layers, one on top of the other.
    dropout : float, default=0.0
        Probability of dropping an output between recurrent layers, as in torch; with a single
        layer, of dropping its output. In [0, 1).
    sp : int, list of int, "auto" or None, default="auto"
        Seasonal periods in time steps. "auto" takes the day and the week, the week or the year
        from the index's frequency, those shorter than the data; for an index without dates, and
        for years, the highest significant peak of the autocorrelation. None for no season.
    lags : int, list of int, "auto" or None, default="auto"
        Past values shown to each step beside the last one, in time steps. "auto" takes the
        seasonal periods.
    calendar : list of str, "auto" or None, default="auto"
        What each step is told of the date it forecasts, as sines and cosines: "hour" (time of
        day), "dayofweek", "dayofyear". "auto" takes those which the frequency can show and the
        data holds twice.
    holidays : str, list of dates or None, default=None
        Days off, shown to each step with the day before and after: of a country as the `holidays`
        package codes it, "US" or "DE-BY" (``pip install skrnn[holidays]``), or the dates
        themselves, past and future.
    past_covariates : list of column names or None, default=None
        Numeric columns of X that are known up to the present alone: `predict` does not ask for
        them. They may hold NaN. A recursive forecast forecasts them along. The other columns of X
        are known in advance; a column of strings, categories or objects is embedded.
    scaler : {"standard", "minmax", "robust", None}, default="standard"
        Scaling of each series by its own statistics over the training data. X is standardised
        over all series together, and left as it is with None; past covariates are scaled as y is.
    naive : list of str, "auto" or None, default="auto"
        Naive forecasts that the network mixes and corrects: "last" value, "mean" (of the longest
        period), "seasonal" (the value one period ago), "shifted" (the same, moved to the present
        level), "leveled" (moved to the mean of the last period), "averaged" (the mean of three
        periods ago, of more far ahead), "drift" (the last value and the trend of the mean). "auto"
        takes all but the last; without a season "last", "mean" and "drift". None leaves the bare
        network: relu and a linear layer on the recurrent output.
    criterion : {"mae", "mse", "huber", "normal", "studentt", "quantile"} or torch.nn.Module, \
            default="mae"
        Loss of the scaled forecasts. A module is called with forecasts and targets, both flat,
        and returns their mean loss. "normal" and "studentt" forecast a distribution, the loss
        being its negative log-likelihood, and "quantile" the ``quantiles``, by the pinball loss:
        `predict_interval`, `predict_quantiles`, `predict_var` and `predict_proba` then tell
        how sure a forecast is. With the others they do so from the residuals of
        ``validation_split``, if that is given (split conformal prediction).
    quantiles : list of float, default=(0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
        Levels, in (0, 1), that ``criterion="quantile"`` forecasts. They never cross. Between them
        and beyond them, quantiles are interpolated linearly in those of a normal distribution.
    n_samples : int, default=200
        Paths that a recursive forecast of a distribution samples; as many in one batch as fit.
    optimizer : {"adamw", "adam", "sgd", "rmsprop"} or callable, default="adamw"
        A callable takes the parameters, ``lr`` and ``optimizer_kwargs``.
    optimizer_kwargs : dict, default=None
        Further arguments of the optimizer.
    lr : float, default=0.004
        Learning rate, the highest that the schedule reaches.
    lr_scheduler : {"one_cycle", "cosine", "plateau"}, callable or None, default="one_cycle"
        Course of the learning rate over the optimiser steps. "plateau" halves it after every
        fifth epoch in a row without a lower validation loss (without ``validation_split``, training
        loss). A callable takes the optimizer and the number of steps and returns a torch
        scheduler; a ReduceLROnPlateau steps once an epoch. None keeps it constant.
    num_epochs : int or "auto", default="auto"
        Passes over the training data. "auto" plans about min(n / 4, 60 n^(1/3)) optimiser steps
        for n targets: 33 for 132 months, 6,000 for a million hours. 0 leaves the network as it is.
    batch_size : int, default=16
        Chunks (windows, with ``supervision="last"``) of an optimiser step.
    max_grad_norm : float or None, default=1.0
        Norm to which gradients are clipped. None for no clipping.
    supervision : {"dense", "last"}, default="dense"
        "dense" counts the loss at every step of a chunk; "last" only at the end of each window of
        ``window_length`` steps, which processes an observation as many times.
    validation_split : float or None, default=None
        Fraction of each series, at its end, that is not trained on but gives the validation loss
        of each epoch. The weights of the best epoch are kept.
    patience : int or None, default=None
        Epochs without a new lowest validation loss after which training ends.
    device : str or torch.device, default="auto"
        "auto" (CUDA where there is one, else the CPU), "cpu", "cuda", "cuda:1" or "mps".
    precision : {"float32", "tf32", "bf16"}, default="float32"
        How products are computed in training. "tf32" lets an NVIDIA GPU round the factors to 10
        bits. "bf16" computes forward and backward in bfloat16 under autocast, with weights, loss
        and naive forecasts in float32; on a CPU it is slower, for skrnn's own kernels do not apply.
        Forecasts are made in float32, with "tf32" as with that.
    random_state : int, numpy.random.RandomState or None, default=None
        Seed of weights, batches and dropout. On the CPU an int repeats results to the bit. The
        global generators of numpy and torch are neither read nor changed.
    verbose : bool, default=False
        Whether to show a progress bar (needs tqdm). Nothing is ever printed otherwise.
    callbacks : list of skrnn.callbacks.Callback or None, default=None
        Called during training.
"""

REST = """
    Attributes
    ----------
    network_ : torch.nn.Module
        The trained network; its recurrent layer, a torch.nn.GRU, LSTM or RNN, is
        ``network_.recurrent``.
    scaler_ : object
        Statistics of each series, ``center_`` and ``scale_`` of shape (series, columns), in the
        unit of the data; past covariates stand after the columns of y.
    history_ : pandas.DataFrame
        A row for each epoch: epoch, loss, lr (at its begin), seconds, targets_per_second, and
        validation_loss with ``validation_split``.

    Raises
    ------
    ValueError, TypeError
        In `fit`, if a parameter is out of range, a device is not there, or the data holds
        infinite values, time stamps left out, text in y, NaN in the known columns of X, or a
        series of less than two observations.

    Notes
    -----
    With s the scaled series, step t is told the last value s[t-1], each lag relative to it, and
    the calendar and X at t. The recurrent layer runs over the steps, h[t] being its output, and
    from every step the next value is forecast as a mix of J naive forecasts n plus a correction:

    .. math::
        f_t = \\sum_{{j=1}}^{{J}} w_{{tj}}\\, n_{{tj}} + A\\,\\mathrm{{relu}}(h_t) + b, \\qquad
        w_t = \\mathrm{{softmax}}(M h_t + m).

    With ``strategy="multioutput"``, every step forecasts all steps h of ``fh``. The seasonal
    forecasts go back k = ceil(h / p) seasons of p steps, to s[t-1+h-kp], and c and the scores m of
    the mix are decoded from the state, from what is known of the target, u[th] (its calendar, its
    X, its naive forecasts relative to the last value), and from a vector for its place, p[h]:

    .. math::
        e_{{th}} = \\mathrm{{relu}}(U h_t + V u_{{th}} + p_h), \\qquad
        f_{{th}} = \\sum_j \\mathrm{{softmax}}_j(M e_{{th}} + m_h)\\, n_{{thj}}
                   + A e_{{th}} + B_h h_t.

    A, b and M start at zero and m favours the naive forecasts with the least error, of the step or,
    recursively and in short series, over a season ahead, so training starts from a good naive
    forecaster; a ridge on A, b and M keeps short series near it, and what they are multiplied with
    is in units of ten times its error e, at most of the scaled series, which the equations leave
    out. A median is the last value where that is also the value of every season before, unless the
    network is told of what naive forecasts do not go back to (X, other columns, longer lags or
    calendar cycles). In the loss, errors of each step ahead and column are divided by its e.
    Recursively, horizons beyond one are forecast with each forecast an input of the next step, the
    recurrent state carried along.

    A missing value of y, NaN, is no target; where it would be an input, seasonal naive forecasts
    from earlier values stand in for it, and the network is told so. Several columns of y are
    inputs and outputs of one network.

    An interrupt (Ctrl-C) during the epochs of `fit`, `update` or `pretrain` ends training with a
    warning. The weights of the best epoch stand, or without a validation loss those of the moment;
    ``history_`` has the whole epochs. Within a search or an evaluation of scikit-learn or sktime
    the interrupt is raised and ends that.

    A panel trains one network; each series is scaled on its own and forecast from its own end.
    Forecasts up to the cutoff are one-step-ahead; a series' first observation has no past, and
    its forecast is NaN.

    References
    ----------
    {reference}
    .. [2] R. Wen et al., "A Multi-Horizon Quantile Recurrent Forecaster", 2017 (several steps at
       once, from every step of a sequence).
    .. [3] L. N. Smith, N. Topin, "Super-Convergence: Very Fast Training of Neural Networks Using
       Large Learning Rates", 2018 (the learning rate's schedule).

    Examples
    --------
    >>> from sktime.datasets import load_airline
    >>> from skrnn import {name}
    >>> y = load_airline()
    >>> forecaster = {name}(random_state=0)
    >>> forecaster.fit(y)
    {name}(random_state=0)
    >>> forecaster.predict(fh=[1, 2, 3]).index.astype(str).tolist()
    ['1961-01', '1961-02', '1961-03']

    Several steps at once, with intervals:

    >>> forecaster = {name}(strategy="multioutput", criterion="quantile", random_state=0)
    >>> interval = forecaster.fit(y, fh=[1, 6, 12]).predict_interval(coverage=0.9)
    >>> interval.shape
    (3, 2)
"""

GRU = """.. [1] K. Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for
       Statistical Machine Translation", EMNLP 2014."""
LSTM = """.. [1] S. Hochreiter, J. Schmidhuber, "Long Short-Term Memory", Neural Computation 9,
       1997."""
ELMAN = """.. [1] J. L. Elman, "Finding Structure in Time", Cognitive Science 14, 1990."""


def _documented(reference: str) -> Callable[[Forecaster], Forecaster]:
    """Complete a class docstring by the parameters and notes that all forecasters share."""

    def complete(cls: Forecaster) -> Forecaster:
        rest = REST.format(name=cls.__name__, reference=reference)
        head = (cls.__doc__ or "").rstrip(" ")  # a formatter indents the closing quotes
        cls.__doc__ = f"{head}{PARAMETERS}{rest}    "
        return cls

    return complete


@_documented(GRU)
class GRUForecaster(BaseRecurrentForecaster):
    """Forecast with a gated recurrent unit that corrects a learned mix of naive forecasts.

    Parameters
    ----------
    """

    def _cell(self) -> str:
        return "gru"


@_documented(LSTM)
class LSTMForecaster(BaseRecurrentForecaster):
    """Forecast with a long short-term memory that corrects a learned mix of naive forecasts.

    Parameters
    ----------
    """

    def _cell(self) -> str:
        return "lstm"


@_documented(ELMAN)
class RNNForecaster(BaseRecurrentForecaster):
    """Forecast with a recurrent network whose cell is a parameter and can be searched over.

    Parameters
    ----------
    cell : {"gru", "lstm", "rnn"}, default="gru"
        Gated recurrent unit, long short-term memory, or Elman's plain cell with tanh.
    """

    def __init__(
        self,
        cell: str = "gru",
        strategy: str = "recursive",
        window_length: int = 192,
        patch_length: int = 1,
        hidden_size: int = 128,
        num_layers: int = 1,
        dropout: float = 0.0,
        sp: int | Sequence[int] | str | None = "auto",
        lags: int | Sequence[int] | str | None = "auto",
        calendar: Sequence[str] | str | None = "auto",
        holidays: str | Sequence[Any] | None = None,
        past_covariates: Sequence[Any] | None = None,
        scaler: str | None = "standard",
        naive: Sequence[str] | str | None = "auto",
        criterion: str | nn.Module = "mae",
        quantiles: Sequence[float] = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95),
        n_samples: int = 200,
        optimizer: str | Callable = "adamw",
        optimizer_kwargs: dict[str, Any] | None = None,
        lr: float = 4e-3,
        lr_scheduler: str | Callable | None = "one_cycle",
        num_epochs: int | str = "auto",
        batch_size: int = 16,
        max_grad_norm: float | None = 1.0,
        supervision: str = "dense",
        validation_split: float | None = None,
        patience: int | None = None,
        device: str | torch.device = "auto",
        precision: str = "float32",
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
        callbacks: Sequence[Callback] | None = None,
    ):
        self.cell = cell
        super().__init__(
            strategy=strategy,
            window_length=window_length,
            patch_length=patch_length,
            hidden_size=hidden_size,
            num_layers=num_layers,
            dropout=dropout,
            sp=sp,
            lags=lags,
            calendar=calendar,
            holidays=holidays,
            past_covariates=past_covariates,
            scaler=scaler,
            naive=naive,
            criterion=criterion,
            quantiles=quantiles,
            n_samples=n_samples,
            optimizer=optimizer,
            optimizer_kwargs=optimizer_kwargs,
            lr=lr,
            lr_scheduler=lr_scheduler,
            num_epochs=num_epochs,
            batch_size=batch_size,
            max_grad_norm=max_grad_norm,
            supervision=supervision,
            validation_split=validation_split,
            patience=patience,
            device=device,
            precision=precision,
            random_state=random_state,
            verbose=verbose,
            callbacks=callbacks,
        )

    def _cell(self) -> str:
        return self.cell
