"""Forecasters: a GRU, an LSTM, or any recurrent cell, as sktime forecasters."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from skrnn.callbacks import Callback
from skrnn.contract.forecaster import BaseRecurrentForecaster
from skrnn.contract.parameters import DEFAULT_QUANTILES
from skrnn.contract.tags import contract_settings

__all__ = ["GRUForecaster", "LSTMForecaster", "RNNForecaster"]

Forecaster = TypeVar("Forecaster", bound=type[BaseRecurrentForecaster])


def documented_like(model: type) -> Callable[[Forecaster], Forecaster]:
    """Complete a class docstring by the sections of another class.

    The class keeps its own summary, the parameters that it adds, and its first reference.
    """

    def complete(cls: Forecaster) -> Forecaster:
        # Python strips the indentation of docstrings from 3.13 on.
        own, other = (inspect.cleandoc(c.__doc__ or "") for c in (cls, model))
        summary, _, sections = own.partition("\n\n")
        added, _, reference = sections.partition("References\n----------\n")
        _, _, rest = other.partition("Parameters\n----------\n")
        before, _, after = rest.partition(".. [1] ")
        _, _, after = after.partition(".. [2] ")
        added = added.strip("\n") or "Parameters\n----------"
        rest = f"{before}{reference.rstrip()}\n.. [2] {after}"
        cls.__doc__ = f"{summary}\n\n{added}\n{rest.replace(model.__name__, cls.__name__)}"
        return cls

    return complete


class GRUForecaster(BaseRecurrentForecaster):
    r"""Forecast with a gated recurrent unit that corrects a learned mix of naive forecasts.

    Parameters
    ----------
    strategy : {"recursive", "multioutput"}, default="recursive"
        How several steps are forecast. "recursive": one after the other, each an input of the
        next; any ``fh`` can be predicted. "multioutput": all at once from the state at the cutoff,
        by a network that is trained to forecast each step of ``fh`` from every step of a chunk;
        `fit` then needs ``fh``.
    window_length : int, default=192
        Time steps of a training chunk, and the least number of steps over which the network runs
        up to a cutoff. A shorter series is one chunk.
    patch_length : int, default=1
        Time steps that one step of the recurrent layer takes in, a divisor of ``window_length``;
        above 1 with "multioutput" only. For horizons of weeks of hours, a day: 24.
    hidden_size : int or "auto", default="auto"
        Units of each recurrent layer, H. "auto" takes more units for more data: 64 for up to
        1,000 values of y, 80 for 2,000 and 128 for 8,000 or more. They are
        :math:`128\,(n / 2^{13})^{1/3}`, rounded to a multiple of 16 between 64 and 128, where n
        counts the values of all series.
    num_layers : int, default=1
        Recurrent layers, one on top of the other.
    dropout : float, default=0.0
        Probability of dropping an output between recurrent layers, as in torch; with a single
        layer, of dropping its output. In [0, 1).
    sp : int, list of int, "auto" or None, default="auto"
        Seasonal periods in time steps, shorter than the longest series. "auto" takes the day and
        the week, the week, or the year from the frequency of the index, as far as they are shorter
        than the data. An index without dates, or of years, has the periods that its values show, at
        most two. None for no season.
    lags : int, list of int, "auto" or None, default="auto"
        Past values that each step reads beside the last one, in time steps. "auto" takes the
        seasonal periods.
    calendar : list of str, "auto" or None, default="auto"
        Calendar fields of the date that a step forecasts, as sines and cosines: "hour" (time of
        day), "dayofweek", "dayofyear". "auto" takes those that the frequency resolves and of which
        the data cover two full cycles.
    holidays : str, list of dates or None, default=None
        Days off, which each step reads together with the day before and after: those of a country
        as the `holidays` package codes it, "US" or "DE-BY" (``pip install "skrnn[holidays]"``), or
        the dates themselves, past and future.
    past_covariates : list of column names or None, default=None
        Numeric columns of X that are known only up to the cutoff: `predict` does not ask for them.
        They may hold NaN. A recursive forecast forecasts them too. The other columns of X are
        known in advance and may be numeric or categorical; strings, categories and objects are
        embedded.
    scaler : {"standard", "minmax", "robust", None}, default="standard"
        Scaling of each series by its own statistics over the training data. X is standardised
        over all series together, and left as it is with None; past covariates are scaled as y is.
    naive : list of str or of NaiveForecast subclasses, "auto" or None, default="auto"
        Naive forecasts that the network mixes and corrects: "last" value, "mean" (over the longest
        period), "seasonal" (the value one period ago), "shifted" (the same, shifted to the present
        level), "leveled" (shifted by the change of the mean over a period), "averaged" (the mean
        of the values three periods back, of more for horizons far ahead), "drift" (the last value
        plus the trend of the mean). "auto" uses all except "drift" for a series with a season, and
        "last", "mean" and "drift" for one without. None leaves the network without naive
        forecasts: relu and a linear layer on the recurrent output. See `skrnn.naive` for your own.
    linear_lags : int, list of int, "auto" or None, default="auto"
        Lags of a linear forecast that is mixed with the naive ones: a ridge regression on past
        values, the phase of each season, the calendar and X, fitted in closed form. "auto" takes
        every lag of two of the shortest season, at most 60, and those around whole seasons; without
        a season, 12. None, and ``naive=None``, for no linear forecast.
    criterion : str or Module, default="mae"
        One of "mae", "mse", "huber", "normal", "studentt", "quantile", "poisson", "negbinomial".
        Loss of the scaled forecasts. A `torch.nn.Module` is called with forecasts and targets, both
        flat, and returns their mean loss; its parameters are trained. "normal" and "studentt"
        forecast a distribution by its negative log-likelihood, and "quantile" the ``quantiles`` by
        the pinball loss. Where rows are held out, see ``validation_split``, their errors calibrate
        the intervals of these criteria, those of points included. "poisson" and "negbinomial" are
        distributions of counts: the point forecast is the mean, quantiles and simulated values are
        whole numbers, series are scaled but not shifted, and nothing is calibrated. A module may
        also be a distribution of your own, see `skrnn.distributions`.
    quantiles : list of float, default=(0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
        Levels, in (0, 1), that ``criterion="quantile"`` forecasts, at least two. They never cross.
        Between and beyond them, quantiles are interpolated linearly in those of a normal
        distribution.
    n_samples : int, default=200
        Number of simulated paths for recursive probabilistic forecasts, run in batches that fit in
        memory.
    forecast_range : pair of float or None, "auto" or None, default="auto"
        Least and greatest value that can come, None for no such bound. Forecasts, quantiles and
        simulated values are those of min(max(y, lower), upper). "auto" is (0, None) for each column
        of each series that was never negative before the forecast, (None, None) for the others.
        None for no bounds.
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
        Passes over the training data. "auto" takes as many as lower the error on held-out rows, see
        ``validation_split``; about min(n / 4, 60 n^(1/3)) optimiser steps for n targets at most,
        and 40 epochs. 0 leaves the network as it is.
    batch_size : int, default=16
        Chunks (windows, with ``supervision="last"``) of an optimiser step.
    max_grad_norm : float or None, default=1.0
        Norm to which gradients are clipped. None for no clipping.
    supervision : {"dense", "last"}, default="dense"
        "dense" counts the loss at every step of a chunk; "last" only at the end of each window of
        ``window_length`` steps, which processes an observation as many times.
    validation_split : float, "auto" or None, default="auto"
        Rows at the end of each series that are held out. "auto" holds out 15 % while it chooses
        ``num_epochs="auto"``, and then trains on these rows as well; with a given number of epochs,
        or in series with less than 8 such rows or two horizons, it holds out none. Of 50 such short
        series or more it holds out 8 rows or one horizon of each, but at most a third. A fraction
        is held out for good: these rows give the validation loss of each epoch, and the weights of
        the best epoch are kept. The errors of held-out rows calibrate the intervals. None holds out
        nothing.
    patience : int or None, default=None
        Epochs without a new lowest validation loss after which training ends; needs a fraction as
        ``validation_split``.
    device : str or torch.device, default="auto"
        "auto" (CUDA where there is one, else the CPU), "cpu", "cuda", "cuda:1" or "mps".
    precision : {"float32", "tf32", "bf16"}, default="float32"
        How products are computed in training. "tf32" lets an NVIDIA GPU round the factors to 10
        bits. "bf16" computes forward and backward in bfloat16 under autocast, with weights, loss
        and naive forecasts in float32. On a CPU it is slower, for skrnn's own kernels do not apply.
        Forecasts are computed in float32, with "tf32" under the same rounding as training.
    random_state : int, numpy.random.RandomState or None, default=None
        Seed of weights, batches, dropout and simulated paths. On the CPU an int repeats results to
        the bit. The global generators of numpy and torch are neither read nor changed.
    verbose : bool, default=False
        Whether to show a progress bar (needs tqdm), or in a log file a line for each epoch. Nothing
        is printed otherwise.
    callbacks : list of skrnn.callbacks.Callback or None, default=None
        Called during training.
    checkpoint : str, path-like or None, default=None
        File of the training's state. If training is killed, `fit`, `pretrain` or `update` with the
        same data and parameters goes on from the file, and on the CPU ends with the same weights to
        the bit. It is removed when training ends. "{fingerprint}" in the path is replaced by a
        number of the data and parameters, so that each fit of a search has a file of its own.
    checkpoint_seconds : float, default=60.0
        Seconds of training between two checkpoints; 0 writes one after every step.
    pooling : {"global", "local"}, default="global"
        What learns from a panel. "global": one network from all series. "local": a network for each
        series, as if a forecaster were fitted to one series after the other. On a CPU these are
        trained together in one computation; see `of_series`.
    n_estimators : int, default=1
        Networks of an ensemble. They differ in their seeds, the first of which is that of a single
        network. Their point forecasts are averaged, their distributions mixed, and ``n_samples``
        divided among them.

    Attributes
    ----------
    network_ : torch.nn.Module
        The trained network; ``network_.recurrent.layers`` are its recurrent layers, each one a
        torch.nn.GRU, LSTM or RNN, or what ``cell`` made. None of an ensemble.
    networks_ : list of torch.nn.Module
        All trained networks, of which there are ``n_estimators``.
    scaler_ : object
        Statistics of each series, ``center_`` and ``scale_`` of shape (series, columns), in the
        unit of the data; past covariates come after the columns of y.
    sp_, lags_, calendar_, linear_lags_ : tuple
        What was chosen or given.
    naive_ : pandas.DataFrame
        Initial weights of the naive forecasts, a row for each name and period, a column for each
        column of y; the mean over the horizons.
    hidden_size_ : int
        Units of each recurrent layer.
    device_ : torch.device
        Device of the network.
    num_epochs_ : int
        Epochs that were planned, or chosen.
    history_ : pandas.DataFrame
        A row for each epoch: epoch, loss, lr (at its beginning), seconds, targets_per_second, and
        validation_loss where it was computed.
    fitted_ : object
        The fitted model and its context, as the package uses them. With ``pooling="local"`` on a
        panel, ``num_epochs_`` is a Series of all series, ``history_`` has their names in its index,
        and the other attributes are those of `of_series`. With ``n_estimators`` above 1,
        ``num_epochs_`` is a Series, and ``history_`` has an index level "member"; ``naive_`` is the
        mean.

    Raises
    ------
    ValueError, TypeError
        In `fit`, if a parameter is out of range, if this machine does not have the device, or if
        the data hold infinite values, gaps in the time stamps, text in y, NaN in the known columns
        of X, or a series with fewer than two observations.
    FloatingPointError
        In `fit` and `update`, if training diverges.

    Notes
    -----
    Let s be the scaled series. The inputs x[t] of step t are the change s[t-1] - s[t-2] of the last
    value, each lag relative to the last value, s[t-l] - s[t-1], and the calendar and X at t. The
    recurrent layer runs over the steps; h[t] is its output. From every step the next value is
    forecast as a mix of J naive and linear forecasts n[t,j] plus a correction:

    .. math::
        f_t = \sum_{j=1}^{J} w_{tj}\, n_{tj} + u\,(A\,\mathrm{relu}(h_t) + b), \qquad
        w_t = \mathrm{softmax}(M h_t + m).

    A, b, M and m are trained. The unit of the correction is u = min(10 e, 1), where e is the mean
    absolute error of the best naive forecast on the training data, in the unit of s.

    With ``strategy="multioutput"``, every step t forecasts all steps h of ``fh``. A seasonal naive
    forecast of period p goes back k = ceil(h / p) seasons, to s[t-1+h-kp]. The correction and the
    scores of the mix are decoded from the state, from the known inputs v[t,h] of the target (its
    calendar, its X, its naive forecasts relative to the last value), and from a trained vector
    p[h]:

    .. math::
        e_{th} = \mathrm{relu}(U h_t + d + V v_{th} + p_h), \qquad
        f_{th} = \sum_j \mathrm{softmax}_j(M e_{th} + m_h)\, n_{thj}
                 + u_h\,(A e_{th} + B_h h_t + b_h).

    Here U, d, V, A, B, b, M and m are trained; u[h] is the unit of the correction for horizon h.

    The linear forecast for h steps ahead is s[t-1] plus a linear function of the last value, lags
    relative to it, the phase of each season, the calendar, holidays and X. Ridge regression fits
    it before training, with a penalty for each horizon by cross-validation over blocks of time.
    Cross-validation also decides whether past values are read: noise about a season is forecast
    better without them.

    A, b, B and M start at zero. Recursively m starts at -(4 + 4 q) log(error) of each forecast of
    the mix; q is S / (S + 150) / (1 + (n / 5000)^2) for n observations of S seasons of each series.
    Without a linear forecast it starts at -4 log(error), on short series mostly that of the error
    over a season. With "multioutput" it starts at weights that minimise the absolute error of the
    mix on left-out steps. So training starts from a good naive or linear forecaster. An L2 penalty
    on A, b, B and M keeps short series near the naive mix, the more so the fewer seasons were
    observed. Each horizon's and column's loss is divided by its e, so that all weigh the same.
    Recursively, each forecast beyond the first is an input of the next step, and the recurrent
    state is carried along. The path is then averaged with a direct forecast, a fixed mix of naive
    and linear forecasts for that step.

    By default the end of each series is held out, training ends where forecasts of it stop getting
    better, and a last quarter of the steps trains on all rows. The errors on the held-out rows, and
    on later ones, calibrate the quantiles of all criteria.

    A missing value of y, NaN, is no target. Where it would be an input, the mean of the seasonal
    naive forecasts from earlier values fills it in, and a flag marks it. Several columns of y are
    inputs and outputs of one network.

    An interrupt (Ctrl-C) during the epochs of `fit`, `update` or `pretrain` ends training with a
    warning. The weights of the best epoch are kept, or without a validation loss the present ones;
    ``history_`` has the whole epochs. On a clone the interrupt is raised: searches, evaluations and
    pipelines of scikit-learn and sktime fit clones, and end.

    With ``n_estimators`` = M, networks f_1, ..., f_M with different initial weights and order of
    batches are fitted to the same rows, each with its own length of training:

    .. math::
        f_t = \frac{1}{M} \sum_{m=1}^{M} f_{t,m}, \qquad
        F_t(y) = \frac{1}{M} \sum_{m=1}^{M} F_{t,m}(y)

    are the point forecast and the distribution function (a deep ensemble [4]_). Quantiles are those
    of this mixture, also with ``criterion="quantile"``; the point forecast is then the mean of the
    medians. Each simulated path is of one network. Held-out errors that calibrate quantiles are
    those of the ensemble. On a CPU the networks are trained in one computation, where the settings
    permit it: not with dropout, callbacks, a checkpoint or a progress bar. Otherwise they are
    trained one after the other, with the same result. Ctrl-C ends the training of an ensemble with
    the exception, and nothing is kept. `to_onnx` and `skrnn.Stream` need a single network.

    A panel trains one network, unless ``pooling="local"``. Each series is scaled on its own and
    forecast from its own end. Forecasts up to the cutoff are one-step-ahead. A series' first
    observation has no past, so its forecast is NaN.

    References
    ----------
    .. [1] K. Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for
       Statistical Machine Translation", EMNLP 2014.
    .. [2] R. Wen et al., "A Multi-Horizon Quantile Recurrent Forecaster", 2017 (several steps at
       once, from every step of a sequence).
    .. [3] L. N. Smith, N. Topin, "Super-Convergence: Very Fast Training of Neural Networks Using
       Large Learning Rates", 2018 (the learning rate's schedule).
    .. [4] B. Lakshminarayanan, A. Pritzel, C. Blundell, "Simple and Scalable Predictive Uncertainty
       Estimation using Deep Ensembles", NeurIPS 2017 (``n_estimators``).

    Examples
    --------
    >>> from sktime.datasets import load_airline
    >>> from skrnn import GRUForecaster
    >>> y = load_airline()
    >>> forecaster = GRUForecaster(random_state=0)
    >>> forecaster.fit(y)
    GRUForecaster(random_state=0)
    >>> forecaster.predict(fh=[1, 2, 3]).index.astype(str).tolist()
    ['1961-01', '1961-02', '1961-03']

    Several steps at once, with intervals:

    >>> forecaster = GRUForecaster(strategy="multioutput", criterion="quantile", random_state=0)
    >>> interval = forecaster.fit(y, fh=[1, 6, 12]).predict_interval(coverage=0.9)
    >>> interval.shape
    (3, 2)
    """

    def _cell(self) -> str:
        return "gru"


@documented_like(GRUForecaster)
class LSTMForecaster(BaseRecurrentForecaster):
    """Forecast with a long short-term memory that corrects a learned mix of naive forecasts.

    References
    ----------
    .. [1] S. Hochreiter, J. Schmidhuber, "Long Short-Term Memory", Neural Computation 9, 1997.
    """

    def _cell(self) -> str:
        return "lstm"

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        # The settings that GRUForecaster is not checked with: only the cell differs.
        return contract_settings()[1:-1]


@documented_like(GRUForecaster)
class RNNForecaster(BaseRecurrentForecaster):
    """Forecast with a recurrent network whose cell is a parameter and can be searched over.

    Parameters
    ----------
    cell : {"gru", "lstm", "rnn"} or callable, default="gru"
        Gated recurrent unit, long short-term memory, or Elman's plain cell with tanh. A callable,
        such as a class of your own or `torch.nn.GRU`, makes one recurrent layer: it is called as
        ``cell(input_size, hidden_size, batch_first=True)`` and returns a module that is called as
        `torch.nn.GRU` is, with inputs (B, L, C) and a state whose tensors are (1, B, H).

    References
    ----------
    .. [1] J. L. Elman, "Finding Structure in Time", Cognitive Science 14, 1990.
    """

    def __init__(
        self,
        cell: str | Callable[..., nn.Module] = "gru",
        strategy: str = "recursive",
        window_length: int = 192,
        patch_length: int = 1,
        hidden_size: int | str = "auto",
        num_layers: int = 1,
        dropout: float = 0.0,
        sp: int | Sequence[int] | str | None = "auto",
        lags: int | Sequence[int] | str | None = "auto",
        calendar: Sequence[str] | str | None = "auto",
        holidays: str | Sequence[Any] | None = None,
        past_covariates: Sequence[Any] | None = None,
        scaler: str | None = "standard",
        naive: Sequence[Any] | str | None = "auto",
        linear_lags: int | Sequence[int] | str | None = "auto",
        criterion: str | nn.Module = "mae",
        quantiles: Sequence[float] = DEFAULT_QUANTILES,
        n_samples: int = 200,
        forecast_range: Sequence[float | None] | str | None = "auto",
        optimizer: str | Callable = "adamw",
        optimizer_kwargs: dict[str, Any] | None = None,
        lr: float = 4e-3,
        lr_scheduler: str | Callable | None = "one_cycle",
        num_epochs: int | str = "auto",
        batch_size: int = 16,
        max_grad_norm: float | None = 1.0,
        supervision: str = "dense",
        validation_split: float | str | None = "auto",
        patience: int | None = None,
        device: str | torch.device = "auto",
        precision: str = "float32",
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
        callbacks: Sequence[Callback] | None = None,
        checkpoint: str | os.PathLike | None = None,
        checkpoint_seconds: float = 60.0,
        pooling: str = "global",
        n_estimators: int = 1,
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
            linear_lags=linear_lags,
            criterion=criterion,
            quantiles=quantiles,
            n_samples=n_samples,
            forecast_range=forecast_range,
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
            checkpoint=checkpoint,
            checkpoint_seconds=checkpoint_seconds,
            pooling=pooling,
            n_estimators=n_estimators,
        )

    def _cell(self) -> str | Callable[..., nn.Module]:
        return self.cell

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        first, last = super().get_test_params(parameter_set)
        return [first | {"cell": "gru"}, last | {"cell": nn.RNN}]
