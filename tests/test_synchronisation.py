"""Transfers between CPU and device, counted on torch's meta device: no GPU is needed.

Meta tensors have shapes and no values. Most operators refuse to mix them with CPU tensors, and
reading a value is an error; here a read is counted and gives a dummy value instead.
"""

from collections import Counter
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from skrnn import GRUForecaster, LSTMForecaster, backtest
from skrnn.contract import fitting, forecaster
from skrnn.datasets import make_hourly_load
from skrnn.features import means
from skrnn.features.device_panel import DevicePanel
from skrnn.features.means import accumulator_dtype, trailing_means
from skrnn.training import least_squares, ridge
from skrnn.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")

META = torch.device("meta")
# MPS has no float64: nothing else may be left of it on the device.
MPS_SUMS = accumulator_dtype(torch.device("mps"))
N_EPOCHS = 2
FH = [-1, 1, 2, 5]
# Device-to-host reads of a fit besides one an epoch: the number of observations that the network
# was trained on, for the starting point and for the penalty; the initial weights of the naive
# forecasts; the check that training has not diverged.
READS_OF_A_FIT = Counter({"item": 3, "cpu": 1})
# Of an update: the number of observations for the penalty, and the check.
READS_OF_AN_UPDATE = Counter({"item": 2})
SETTINGS = {
    "hidden_size": 4,
    "num_epochs": N_EPOCHS,
    "window_length": 12,
    "batch_size": 64,
    "sp": 6,
    "random_state": 0,
    "n_samples": 5,
    # Fused optimisers have no kernel for meta tensors.
    "optimizer": torch.optim.AdamW,
}
STRATEGIES = pytest.mark.parametrize("strategy", ["recursive", "multioutput"])
CRITERIA = pytest.mark.parametrize("criterion", ["mae", "studentt", "quantile"])


def lacks_gamma_on_meta():
    """Whether torch draws no gamma values, of which those of Student's t are made, on meta."""
    try:
        torch._standard_gamma(torch.ones(1, device=META))
    except NotImplementedError:  # torch 2.4
        return True
    return False


class OneDevice(TorchDispatchMode):
    """Refuse operators that mix devices, and count copies from one device to another."""

    COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)

    def __init__(self):
        super().__init__()
        self.in_step, self.uploads_in_steps, self.float64 = False, [], set()

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [a for a in tree_leaves((args, kwargs)) if isinstance(a, torch.Tensor)]
        devices = {tensor.device.type for tensor in tensors}
        if operator in self.COPIES:
            to = kwargs.get("device")
            is_upload = "cpu" in devices and (devices | {to and torch.device(to).type}) >= {"meta"}
            if self.in_step and is_upload:
                self.uploads_in_steps.append(str(operator))
        else:
            assert len(devices) < 2, f"{operator} mixes tensors of {devices}"
        result = operator(*args, **kwargs)
        for tensor in tree_leaves(result):
            is_on_device = isinstance(tensor, torch.Tensor) and tensor.is_meta
            if is_on_device and tensor.dtype == torch.float64:
                self.float64.add(str(operator))
        return result


@pytest.fixture
def device(monkeypatch):
    """Accept "meta" as a device without float64, and count reads of values of its tensors."""
    for module in (means, least_squares, ridge):
        monkeypatch.setattr(module, "accumulator_dtype", lambda device: MPS_SUMS)
    reads, mode = Counter(), OneDevice()

    def read(name, dummy):
        original = getattr(torch.Tensor, name)

        def counted(tensor, *args, **kwargs):
            if not tensor.is_meta:
                return original(tensor, *args, **kwargs)
            reads[name] += 1
            return dummy(tensor)

        monkeypatch.setattr(torch.Tensor, name, counted)

    def zeros(tensor):
        return torch.zeros(tensor.shape, dtype=tensor.dtype)

    read("item", lambda tensor: 1.0 if tensor.is_floating_point() else 1)
    read("cpu", zeros)
    read("tolist", lambda tensor: zeros(tensor).tolist())
    read("numpy", lambda tensor: zeros(tensor).numpy())
    for name, dummy in (("__bool__", True), ("__int__", 1), ("__float__", 1.0), ("__index__", 0)):
        read(name, lambda tensor, dummy=dummy: dummy)

    # torch.tensor(..., device=...) shows itself to no mode.
    for name in ("tensor", "as_tensor", "from_numpy"):
        original = getattr(torch, name)

        def counted(*args, original=original, name=name, **kwargs):
            if mode.in_step:
                mode.uploads_in_steps.append(name)
            return original(*args, **kwargs)

        monkeypatch.setattr(torch, name, counted)

    step = Trainer.step

    def watched(trainer, chunk):
        mode.in_step = True
        try:
            return step(trainer, chunk)
        finally:
            mode.in_step = False

    # The optimiser's own arithmetic on the CPU is torch's: its fused kernels do without.
    def update(optimizer, *args, original=torch.optim.AdamW.step, **kwargs):
        mode.in_step = False
        return original(optimizer, *args, **kwargs)

    monkeypatch.setattr(Trainer, "step", watched)
    monkeypatch.setattr(torch.optim.AdamW, "step", update)
    resolve = forecaster.resolve_device
    for module in (forecaster, fitting):
        monkeypatch.setattr(
            module, "resolve_device", lambda name: META if name == "meta" else resolve(name)
        )

    @contextmanager
    def watch():
        reads.clear()
        mode.uploads_in_steps.clear()
        with mode:
            yield reads

    watch.mode = mode
    yield watch
    assert mode.float64 == set()


@pytest.fixture
def y():
    return make_hourly_load(n_series=2, n_hours=80, random_state=0)


def head(y, n):
    return y.groupby(level=0).head(n)


def on_meta(cls=GRUForecaster, **settings):
    return cls(device="meta", **SETTINGS | settings)


@STRATEGIES
@pytest.mark.parametrize(
    ("cls", "criterion"),
    [
        (GRUForecaster, "mae"),
        (LSTMForecaster, "mae"),
        (GRUForecaster, "studentt"),
        (GRUForecaster, "quantile"),
    ],
)
def test_training_reads_the_device_once_an_epoch(device, y, strategy, cls, criterion):
    with device() as reads:
        fitted = on_meta(cls, strategy=strategy, criterion=criterion).fit(head(y, 70), fh=FH)
    assert fitted.network_.head.mix_bias.is_meta
    assert reads == READS_OF_A_FIT + Counter({"item": N_EPOCHS})
    assert device.mode.uploads_in_steps == []
    with device() as reads:
        fitted.update(y.groupby(level=0).tail(10))
    n_epochs = len(fitted.history_) - N_EPOCHS
    assert n_epochs >= 1
    assert reads == READS_OF_AN_UPDATE + Counter({"item": n_epochs})
    assert device.mode.uploads_in_steps == []


@STRATEGIES
def test_everything_that_a_step_can_read_is_on_the_device(device, y, strategy):
    # Missing values, X of both kinds, categories, holidays, patches, several layers and dropout.
    X = y[["load_mw"]].rename(columns={"load_mw": "past"})
    X["number"] = np.arange(len(X)) % 7.0
    X["kind"] = np.where(np.arange(len(X)) % 3, "a", "b")
    y = y.copy()
    y.iloc[[20, 50, 133]] = np.nan
    settings = {"strategy": strategy, "past_covariates": ["past"], "holidays": "US"}
    settings |= {"num_layers": 2, "dropout": 0.2, "patch_length": 1 + 2 * (strategy != "recursive")}
    with device() as reads:
        fitted = on_meta(**settings).fit(head(y, 70), head(X, 70), fh=FH)
    assert reads == READS_OF_A_FIT + Counter({"item": N_EPOCHS})
    assert device.mode.uploads_in_steps == []
    with device() as reads:
        fitted.predict(fh=FH, X=X.drop(columns="past"))
    assert reads == Counter({"cpu": 4 if strategy == "recursive" else 2})


@STRATEGIES
@pytest.mark.parametrize("supervision", ["dense", "last"])
def test_validation_reads_the_device_twice_an_epoch(device, y, strategy, supervision):
    # Its forecasts, as in every prediction, and its loss.
    settings = {"validation_split": 0.2, "supervision": supervision}
    with device() as reads:
        on_meta(strategy=strategy, **settings).fit(y, fh=[1, 2, 5])
    # Whether the held-out rows have targets at all is asked twice.
    once = Counter({"__bool__": 2})
    assert reads == READS_OF_A_FIT + Counter({"item": 2 * N_EPOCHS, "cpu": N_EPOCHS}) + once
    assert device.mode.uploads_in_steps == []


@STRATEGIES
@CRITERIA
def test_prediction_reads_its_results_alone(device, y, strategy, criterion):
    with device():
        fitted = on_meta(strategy=strategy, criterion=criterion).fit(y, fh=FH)
    with device() as reads:
        fitted.predict(fh=FH)
    # Recursive forecasts are averaged with direct ones, by shares.
    ahead = 3 if strategy == "recursive" else 1
    assert reads == Counter({"cpu": 1 + ahead})  # forecasts in the sample, and ahead
    if criterion != "mae" and not (criterion == "studentt" and lacks_gamma_on_meta()):
        with device() as reads:
            fitted.predict_quantiles(fh=FH, alpha=[0.1, 0.9])
        # Beside simulated paths that of the point forecast is computed.
        assert reads == Counter({"cpu": 1 + ahead + (strategy == "recursive")})
    with device() as reads:
        backtest(fitted, y, fh=[1, 2], start=0.5)
    assert reads == Counter({"cpu": ahead})


def test_update_without_training_reads_nothing(device, y):
    with device():
        fitted = on_meta().fit(head(y, 70))
    with device() as reads:
        fitted.update(y, update_params=False)
    assert reads == Counter()


# ------------------------- float64, of which every test above finds none on the device


def test_sums_on_an_mps_device_are_float32():
    assert accumulator_dtype(torch.device("mps")) == torch.float32
    assert accumulator_dtype(torch.device("cpu")) == torch.float64
    assert accumulator_dtype(torch.device("cuda")) == torch.float64


def test_panel_on_the_device_holds_no_float64(y):
    fitted = GRUForecaster(**SETTINGS).fit(y).fitted_
    data = fitted.model.on_device(fitted.panel)
    assert isinstance(data, DevicePanel)
    dtypes = {v.dtype for v in vars(data).values() if isinstance(v, torch.Tensor)}
    assert dtypes == {torch.float32, torch.int64}
    values, n_rows = torch.rand(10, 1), torch.arange(1, 11)
    assert trailing_means(values, n_rows, 3).dtype == torch.float32
