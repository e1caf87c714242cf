"""A small network, its batches and a trainer, which the tests of training share."""

import numpy as np
import pandas as pd
import torch

from skrnn.callbacks import Training
from skrnn.data.covariates import Covariates
from skrnn.data.panel import Panel
from skrnn.data.scaling import Scaler
from skrnn.distributions import Distribution, distribution_of
from skrnn.features.device_panel import DevicePanel
from skrnn.features.features import Features
from skrnn.forecasting.strategies import MultiOutput, Recursive
from skrnn.naive import NAIVE_FORECASTS, naive_kinds
from skrnn.network.cells import CELLS
from skrnn.network.network import RecurrentNetwork
from skrnn.network.randomness import RandomStreams
from skrnn.training.chunks import Chunks
from skrnn.training.prior import NaivePrior
from skrnn.training.trainer import Trainer


def features_of(strategy=None, n_columns=1, **kwargs):
    """All naive forecasts, of a season of four steps."""
    strategy = Recursive() if strategy is None else strategy
    return Features(
        (4,), (4,), naive_kinds(tuple(NAIVE_FORECASTS)), (), n_columns, strategy, **kwargs
    )


FEATURES = features_of()
SEVERAL_HORIZONS = features_of(MultiOutput((1, 3)))

# What a forecaster needs to train in a few milliseconds: three epochs of three or four steps.
SMALL = {
    "linear_lags": None,
    "hidden_size": 2,
    "window_length": 5,
    "batch_size": 4,
    "num_epochs": 3,
    "sp": None,
    "random_state": 0,
}
Y = pd.Series(
    np.tile([1.0, 4.0, 2.0, 0.0], 15) + np.random.default_rng(0).normal(size=60), name="y"
)


def network_of(criterion="mae", features=FEATURES, cell="gru", dropout=0.0, num_layers=1):
    """A network with the weights that follow `torch.manual_seed(0)`."""
    torch.manual_seed(0)
    if not isinstance(criterion, Distribution):
        criterion = distribution_of(criterion, (0.1, 0.5, 0.9))
    return RecurrentNetwork(features, criterion, CELLS[cell], 3, num_layers, dropout)


def chunks_of(streams=None, batch_size=5, features=FEATURES):
    """Batches of three short noisy series."""
    rng = np.random.default_rng(9)
    index = pd.MultiIndex.from_product([range(3), range(20)])
    y = pd.DataFrame({"y": np.tile([0.0, 3.0, 1.0, -2.0, 1.0], 12) + rng.normal(size=60)}, index)
    panel = Panel.from_pandas(y, None, Covariates.of(None, ()))
    group = panel.series_of_rows()
    scaler = Scaler("standard").fit(y.to_numpy(), group)
    known_scaler = Scaler(None).fit(panel.known, group * 0)
    data = DevicePanel(panel, features, scaler, known_scaler, torch.device("cpu"))
    streams = RandomStreams(0) if streams is None else streams
    return Chunks(data, panel.lengths, 6, batch_size, "dense", streams.numpy)


def one_chunk():
    return next(iter(chunks_of().epoch()))


def trainer_of(network=None, chunks=None, lr=1e-2, optimizer=None, rows=(), **kwargs):
    """A trainer by plain gradient descent."""
    network = network_of() if network is None else network
    streams = RandomStreams(0)
    chunks = chunks_of(streams) if chunks is None else chunks
    training = Training("GRUForecaster", network)
    training.rows = list(rows)
    defaults = {
        "network": network,
        "chunks": chunks,
        "optimizer": torch.optim.SGD(network.parameters(), lr) if optimizer is None else optimizer,
        "streams": streams,
        "penalty": NaivePrior(network, chunks.n_observations).penalty,
        "max_grad_norm": None,
        "callbacks": [],
        "training": training,
    }
    return Trainer(**defaults | kwargs)


def weights_of(network):
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])
