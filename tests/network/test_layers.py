"""skrnn's GRU and LSTM against those of torch."""

import copy
import inspect
import io
import itertools
import os
import pickle
import subprocess
import sys
import threading
from functools import partial

import numba
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from skrnn import GRUForecaster, LSTMForecaster
from skrnn.datasets import make_hourly_load
from skrnn.network import layer_kernels, layers
from skrnn.network import threads as threads_module
from skrnn.network.cells import CELLS as CELLS_BY_NAME
from skrnn.network.cells import RecurrentLayers
from skrnn.network.layers import GRU, LSTM

CELLS = {"gru": (nn.GRU, GRU), "lstm": (nn.LSTM, LSTM)}


@pytest.fixture(params=CELLS)
def cell(request):
    return request.param


def pair(cell, *args, dtype=torch.float64, seed=0, **kwargs):
    """torch's network and ours with the same weights."""
    torch.manual_seed(seed)
    theirs, ours = (make(*args, **kwargs).to(dtype) for make in CELLS[cell])
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def our(cell, *args, dtype=torch.float64, **kwargs):
    return pair(cell, *args, dtype=dtype, **kwargs)[1]


def parts(state):
    """The states as a tuple: of a GRU one, of an LSTM two."""
    return state if isinstance(state, tuple) else (state,)


def random_state(cell, *shape, **kwargs):
    """What a network takes as `hx`."""
    state = tuple(torch.randn(*shape, **kwargs) for _ in range(1 + (cell == "lstm")))
    return state if cell == "lstm" else state[0]


def everything(network, x, hx=None):
    """Output, last states and all gradients of a loss that depends on them all."""
    x = x.detach().clone().requires_grad_()
    first = () if hx is None else tuple(h.detach().clone().requires_grad_() for h in parts(hx))
    network.zero_grad()
    output, state = network(x, first if isinstance(hx, tuple) else first[0] if first else None)
    loss = output.sin().sum()
    for number, last in enumerate(parts(state)):
        loss = loss + last.cos().mul(2 + number).sum()
    loss.backward()
    leaves = [x, *network.parameters(), *first]
    return [output, *parts(state)] + [leaf.grad for leaf in leaves]


def assert_same(network, reference, *args, rtol=1e-10, atol=1e-10):
    for ours, theirs in zip(everything(network, *args), everything(reference, *args), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=rtol, atol=atol)


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch):
    """Let short sequences take the fast path, and little work be shared among threads."""
    monkeypatch.setattr(layers, "MIN_STEPS", 1)
    monkeypatch.setattr(layers, "MIN_ROWS", 1)
    monkeypatch.setattr(layers, "MIN_MULTIPLICATIONS_PER_THREAD", 1)


@pytest.fixture(autouse=True)
def one_thread(restored_threads):
    """Keep torch's layers quick on a busy machine; tests of threads ask for their own number."""
    torch.set_num_threads(1)


@pytest.fixture
def no_fallback(monkeypatch):
    """Let the test fail where torch's layers would do the work."""

    def forward(*_):
        raise AssertionError("the fast path was not taken")

    for theirs, _ in CELLS.values():
        monkeypatch.setattr(theirs, "forward", forward)


@pytest.mark.parametrize("state", [False, True])
def test_gradients_match_finite_differences(no_fallback, cell, state):
    network = our(cell, 2, 3, batch_first=True)
    x = torch.randn(2, 4, 2, dtype=torch.float64, requires_grad=True)
    states = parts(random_state(cell, 1, 2, 3, dtype=torch.float64, requires_grad=True))
    names = [name for name, _ in network.named_parameters()]

    def call(x, *rest):
        hx, weights = rest[: len(states)], rest[len(states) :]
        hx = (hx if cell == "lstm" else hx[0]) if state else None
        weights = dict(zip(names, weights, strict=True))
        output, last = torch.func.functional_call(network, weights, (x, hx))
        return output, *parts(last)

    weights = [p.detach().requires_grad_() for p in network.parameters()]
    assert torch.autograd.gradcheck(call, (x, *states, *weights))


@settings(max_examples=25, deadline=None)
@given(
    cell=st.sampled_from(list(CELLS)),
    batch=st.integers(1, 20),
    length=st.integers(1, 40),
    inputs=st.integers(1, 20),
    hidden=st.integers(1, 40),
    layers=st.integers(1, 3),
    batch_first=st.booleans(),
    state=st.booleans(),
)
def test_values_and_gradients_match_torch(
    cell, batch, length, inputs, hidden, layers, batch_first, state
):
    theirs, ours = pair(cell, inputs, hidden, layers, batch_first=batch_first)
    shape = (batch, length) if batch_first else (length, batch)
    x = torch.randn(*shape, inputs, dtype=torch.float64)
    hx = random_state(cell, layers, batch, hidden, dtype=torch.float64) if state else None
    assert_same(ours, theirs, x, hx)


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 7, 8, 9, 16, 17, 24])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_every_split_of_the_batch_matches_torch(cell, batch, threads):
    torch.set_num_threads(threads)
    theirs, ours = pair(cell, 3, 19, batch_first=True)
    assert_same(ours, theirs, torch.randn(batch, 30, 3, dtype=torch.float64))


@pytest.mark.parametrize("shape", [(16, 180, 16, 128), (3, 50, 5, 33)])
def test_single_precision_matches_torch(no_fallback, cell, monkeypatch, shape):
    batch, length, inputs, hidden = shape
    theirs, ours = pair(cell, inputs, hidden, batch_first=True, dtype=torch.float32)
    x = torch.randn(batch, length, inputs)
    results = everything(ours, x)
    monkeypatch.undo()
    for a, b in zip(results, everything(theirs, x), strict=True):
        assert (a - b).abs().max() <= 1e-5 * b.abs().max()


def test_single_precision_is_as_close_to_double_as_torch(cell):
    theirs, ours = pair(cell, 8, 64, 2, batch_first=True, dtype=torch.float32)
    x = torch.randn(8, 200, 8)
    exact = everything(copy.deepcopy(theirs).double(), x.double())
    for a, b, c in zip(everything(ours, x), everything(theirs, x), exact, strict=True):
        assert (a - c).abs().max() <= 4 * (b - c).abs().max() + 1e-6 * c.abs().max()


def test_state_is_carried_from_one_half_to_the_next(no_fallback, cell):
    torch.manual_seed(0)
    network = our(cell, 3, 5, 2, batch_first=True)
    x = torch.randn(4, 12, 3, dtype=torch.float64)
    whole, last = network(x)
    first, state = network(x[:, :7])
    second, state = network(x[:, 7:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state, last, rtol=1e-12, atol=1e-12)


def test_gradient_flows_through_a_carried_state(cell):
    theirs, ours = pair(cell, 3, 5, batch_first=True)
    x = torch.randn(4, 12, 3, dtype=torch.float64)
    gradients = []
    for network in (ours, theirs):
        _, state = network(x[:, :7])
        parts(network(x[:, 7:], state)[1])[-1].sum().backward()
        gradients.append(network.weight_ih_l0.grad)
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("cell", "part"), [("gru", 0), ("gru", 1), ("lstm", 0), ("lstm", 2)])
def test_loss_on_output_or_state_alone_matches_torch(cell, part):
    theirs, ours = pair(cell, 3, 5, 2)
    x = torch.randn(6, 4, 3, dtype=torch.float64)
    for network in (ours, theirs):
        output, state = network(x)
        (output, *parts(state))[part].sum().backward()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-10, atol=1e-10)


def test_graph_can_be_walked_twice(no_fallback, cell):
    network = our(cell, 3, 5, dtype=torch.float32)
    loss = network(torch.randn(6, 4, 3))[0].sum()
    first = torch.autograd.grad(loss, network.weight_hh_l0, retain_graph=True)[0]
    second = torch.autograd.grad(loss, network.weight_hh_l0)[0]
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_weights_changed_before_backward_are_an_error(no_fallback, cell):
    network = our(cell, 3, 5, dtype=torch.float32)
    loss = network(torch.randn(6, 4, 3))[0].sum()
    with torch.no_grad():
        network.weight_hh_l0.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_output_may_be_changed_in_place(no_fallback, cell):
    torch.manual_seed(0)
    network, x = our(cell, 3, 5, dtype=torch.float32), torch.randn(6, 4, 3)
    (plain,) = torch.autograd.grad((2 * network(x)[0]).sum(), network.weight_hh_l0)
    (changed,) = torch.autograd.grad(network(x)[0].mul_(2).sum(), network.weight_hh_l0)
    torch.testing.assert_close(plain, changed)


def test_frozen_weights_get_no_gradient(no_fallback, cell):
    network = our(cell, 3, 5, dtype=torch.float32)
    network.weight_hh_l0.requires_grad_(False)
    network(torch.randn(6, 4, 3))[0].sum().backward()
    assert network.weight_hh_l0.grad is None
    assert network.weight_ih_l0.grad.abs().sum() > 0


def test_state_dict_moves_both_ways(cell):
    theirs, ours = pair(cell, 3, 5, 2, seed=1)
    x = torch.randn(6, 4, 3, dtype=torch.float64)
    back = CELLS[cell][0](3, 5, 2).double()
    back.load_state_dict(ours.state_dict())
    for network in (ours, back):
        torch.testing.assert_close(network(x)[0], theirs(x)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("batch_first", [False, True])
def test_same_seed_drops_the_same_units_as_torch(cell, batch_first):
    theirs, ours = pair(cell, 3, 9, 3, dropout=0.4, batch_first=batch_first)
    x = torch.randn(6, 7, 3, dtype=torch.float64)
    outputs = []
    for network in (ours, theirs):
        torch.manual_seed(5)
        outputs.append(network(x)[0])
    torch.testing.assert_close(*outputs, rtol=1e-10, atol=1e-10)


def test_dropout_acts_in_training_only(cell):
    theirs, ours = pair(cell, 3, 9, 2, dropout=0.4)
    x = torch.randn(6, 4, 3, dtype=torch.float64)
    assert not torch.equal(ours(x)[0], ours(x)[0])
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("how", ["no_grad", "inference_mode", "frozen"])
def test_nothing_is_stored_when_there_is_nothing_to_learn(no_fallback, monkeypatch, cell, how):
    theirs, network = pair(cell, 3, 5, 2)
    kept, forward = [], layers._forward

    def spy(*args, **kwargs):
        result = forward(*args, **kwargs)
        kept.append([a.shape[1] for a in result[2]])
        return result

    monkeypatch.setattr(layers, "_forward", spy)
    x = torch.randn(50, 4, 3, dtype=torch.float64)
    if how == "frozen":
        network.requires_grad_(False)
        output, state = network(x)
    else:
        with getattr(torch, how)():
            output, state = network(x)
    assert not any(a.grad_fn for a in (output, *parts(state)))
    assert kept == [[2, 1], [2, 1]]
    monkeypatch.undo()
    expected, last = theirs(x)
    for a, b in zip((output, *parts(state)), (expected, *parts(last)), strict=True):
        torch.testing.assert_close(a.clone(), b.detach(), rtol=1e-12, atol=1e-12)


def test_without_numba_it_is_torchs_layer(cell, monkeypatch):
    theirs, ours = pair(cell, 3, 5, 2)
    monkeypatch.setattr(layers, "_kernels", lambda: None)
    monkeypatch.setattr(layers, "_forward", None)
    assert_same(ours, theirs, torch.randn(6, 4, 3, dtype=torch.float64), rtol=0, atol=0)


@pytest.mark.parametrize(
    "kwargs", [{"bidirectional": True}, {"bias": False}, {"bidirectional": True, "num_layers": 2}]
)
def test_other_variants_are_torchs_layer(cell, kwargs):
    theirs, ours = pair(cell, 3, 5, **kwargs)
    assert_same(ours, theirs, torch.randn(6, 4, 3, dtype=torch.float64), rtol=0, atol=0)


def test_projection_is_torchs_layer():
    theirs, ours = pair("lstm", 3, 5, proj_size=2)
    assert_same(ours, theirs, torch.randn(9, 4, 3, dtype=torch.float64), rtol=0, atol=0)


def test_other_inputs_are_torchs_layer(cell):
    theirs, ours = pair(cell, 3, 5)
    assert_same(ours, theirs, torch.randn(6, 3, dtype=torch.float64), rtol=0, atol=0)
    packed = nn.utils.rnn.pack_sequence([torch.randn(n, 3, dtype=torch.float64) for n in (5, 2)])
    torch.testing.assert_close(ours(packed)[0].data, theirs(packed)[0].data, rtol=0, atol=0)


def test_a_few_rows_without_gradients_are_torchs_lstm(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(layers, "_forward", None)
    theirs, ours = pair("lstm", 3, 5)
    with torch.no_grad():
        x = torch.randn(layers.MIN_ROWS - 1, 1, 3, dtype=torch.float64)
        torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=0)
        with pytest.raises(TypeError):
            ours(torch.randn(layers.MIN_ROWS, 1, 3, dtype=torch.float64))


def test_a_few_steps_are_torchs_layer(cell, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(layers, "_forward", None)
    theirs, ours = pair(cell, 3, 5)
    x = torch.randn(layers.MIN_STEPS - 1, 4, 3, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=0)
    for length, batch in ((layers.MIN_STEPS, 4), (1, layers.MIN_ROWS)):
        with pytest.raises(TypeError):
            ours(torch.randn(length, batch, 3, dtype=torch.float64))


@pytest.mark.parametrize("cell", [*CELLS, "rnn"])
def test_states_of_steps_are_those_after_each_step(cell):
    recurrent = RecurrentLayers(CELLS_BY_NAME[cell], 3, 5, num_layers=2, dropout=0.0)
    x = torch.randn(37, 11, 3)
    output, states = recurrent.states_of_steps(x)
    for t in range(x.shape[1]):
        expected, after = recurrent(x[:, : t + 1])
        torch.testing.assert_close(output[:, t], expected[:, -1], rtol=1e-5, atol=1e-6)
        for layer, of_layer in zip(after, states, strict=True):
            for part, found in zip(parts(layer), parts(of_layer), strict=True):
                torch.testing.assert_close(found[:, t], part[0], rtol=1e-5, atol=1e-6)


class Doubled(nn.GRU):
    def forward(self, input, hx=None):
        output, state = super().forward(input, hx)
        return 2 * output, state


@pytest.mark.parametrize(
    "cell",
    [Doubled, partial(nn.GRU, num_layers=2), partial(nn.GRU, bidirectional=True), nn.LSTM],
    ids=["subclass", "two layers", "two directions", "torch's LSTM"],
)
def test_states_of_steps_that_are_not_the_outputs_are_not_known(cell):
    recurrent = RecurrentLayers(cell, 3, 5, num_layers=1, dropout=0.0)
    assert recurrent.states_of_steps(torch.zeros(2, 4, 3)) is None


@pytest.mark.parametrize("threads", [1, 2])
def test_blocks_that_share_memory_without_gradients_differ_in_no_bit(cell, threads):
    network = our(cell, 3, 5, dtype=torch.float32)
    x, hx = torch.randn(7, 45, 3), random_state(cell, 1, 45, 5)
    torch.set_num_threads(threads)
    with_gradients = network(x, hx)
    with torch.no_grad():
        output, last = layers._run(network, x, parts(hx))
    assert torch.equal(output, with_gradients[0])
    for part, expected in zip(last, parts(with_gradients[1]), strict=True):
        assert torch.equal(part, expected)


@pytest.mark.parametrize(
    ("x", "batch"),
    [
        (torch.zeros(6, 4, 2), None),
        (torch.zeros(6, 4, 3), 3),
        (torch.zeros(0, 4, 3), None),
        (torch.zeros(6, 4, 3).double(), None),
    ],
)
def test_wrong_arguments_raise_what_torch_raises(cell, x, batch):
    hx = batch and random_state(cell, 1, batch, 5)
    messages = []
    for network in pair(cell, 3, 5, dtype=torch.float32):
        with pytest.raises((RuntimeError, ValueError)) as raised:
            network(x, hx)
        messages.append((raised.type, str(raised.value)))
    assert messages[0] == messages[1]


def test_memory_layout_does_not_matter(no_fallback, cell):
    torch.manual_seed(0)
    network = our(cell, 3, 5, batch_first=True)
    x = torch.randn(4, 6, 3, dtype=torch.float64)
    strided = torch.zeros(3, 8, 12, dtype=torch.float64)[:, ::2, ::2].permute(1, 2, 0).copy_(x)
    expected = everything(network, x)
    output, _ = network(strided)
    torch.testing.assert_close(output, expected[0], rtol=0, atol=0)
    constant = x[:, :1].expand(4, 6, 3)
    torch.testing.assert_close(network(constant)[0], network(constant.clone())[0], rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nan_stays_in_its_row_and_later_steps(no_fallback, cell, dtype):
    torch.manual_seed(0)
    network = our(cell, 3, 20, batch_first=True, dtype=dtype)
    x = torch.randn(4, 6, 3, dtype=dtype)
    clean = network(x)[0]
    x[1, 2, 0] = float("nan")
    output = network(x)[0]
    assert output[1, 2:].isnan().all()
    output, clean = output.clone(), clean.clone()
    output[1, 2:], clean[1, 2:] = 0, 0
    torch.testing.assert_close(output, clean, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [float("inf"), -float("inf"), 1e30])
def test_huge_inputs_saturate_as_in_torch(cell, dtype, value):
    theirs, ours = pair(cell, 1, 20, batch_first=True, dtype=dtype)
    x = torch.randn(4, 6, 1, dtype=dtype)
    x[1, 2] = value
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-6)


def test_nan_weights_give_nan(no_fallback, cell):
    network = our(cell, 3, 5, dtype=torch.float32)
    with torch.no_grad():
        network.bias_hh_l0[0] = float("nan")
    assert network(torch.zeros(6, 4, 3))[0][:, :, 0].isnan().all()


def test_pickle_copy_and_save_keep_the_network(cell):
    network, x = our(cell, 3, 5, 2, dtype=torch.float32), torch.randn(6, 4, 3)
    expected = network(x)[0]
    buffer = io.BytesIO()
    torch.save(network, buffer)
    buffer.seek(0)
    again = torch.load(buffer, weights_only=False)
    for other in (pickle.loads(pickle.dumps(network)), copy.deepcopy(network), again):
        torch.testing.assert_close(other(x)[0], expected, rtol=0, atol=0)


@pytest.mark.parametrize("openmp", [True, False])
@pytest.mark.parametrize("threads", [1, 2])
def test_torchs_number_of_threads_is_used(no_fallback, cell, monkeypatch, threads, openmp):
    if not openmp:
        monkeypatch.setattr(threads_module, "_openmp", lambda: None)
    elif threads_module._openmp() is None:
        pytest.skip("this PyTorch has no GNU OpenMP")
    torch.manual_seed(0)
    network, x = our(cell, 3, 5, dtype=torch.float32), torch.randn(40, 6, 3)
    expected = network(x)[0]
    used, forward = set(), layers._kernels().forward("float32")

    def spy(*args):
        used.add(threading.get_ident())
        forward(*args)

    monkeypatch.setattr(layers._kernels(), "forward", lambda _: spy)
    torch.set_num_threads(threads)
    output = network(x)[0]
    assert len(used) == threads
    torch.testing.assert_close(output, expected)


@pytest.mark.parametrize("openmp", [True, False])
def test_error_in_a_thread_reaches_the_caller(monkeypatch, openmp):
    if not openmp:
        monkeypatch.setattr(threads_module, "_openmp", lambda: None)

    def work(thread, start, stop):
        if thread == 1:
            raise KeyError(thread)

    with pytest.raises(KeyError):
        threads_module.run_in_threads(work, 4, 2)


def test_python_threads_may_call_at_once(no_fallback, cell):
    torch.manual_seed(0)
    network, x = our(cell, 3, 33, batch_first=True, dtype=torch.float32), torch.randn(20, 50, 3)
    expected = everything(copy.deepcopy(network), x)
    results = {}

    def call(name):
        mine = copy.deepcopy(network)
        results[name] = [everything(mine, x) for _ in range(5)]

    threads = [threading.Thread(target=call, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for result in itertools.chain.from_iterable(results.values()):
        for a, b in zip(result, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_process_can_use_it_after_its_parent_did():
    code = """
import os, torch
from skrnn import LSTMForecaster
from skrnn.network import layer_kernels, layers
from skrnn.network.cells import CELLS as CELLS_BY_NAME
from skrnn.network.cells import RecurrentLayers
from skrnn.network.layers import GRU
layers.MIN_MULTIPLICATIONS_PER_THREAD = 1
torch.set_num_threads(2)
network, x = GRU(3, 5), torch.randn(40, 6, 3)
expected = network(x)[0]
child = os.fork()
if not child:
    os._exit(0 if torch.allclose(network(x)[0], expected) else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=300)


def test_without_a_folder_to_cache_in_it_compiles_anyway(monkeypatch):
    def nothing(first, last):
        pass

    for kind in (numba.core.caching.CompileResultCacheImpl, numba.core.caching.CacheImpl):
        monkeypatch.setattr(kind, "_locator_classes", [])
    kernel = layers._kernels()._compile(nothing, "float32", "")
    assert kernel(1, 2) is None


def test_processes_may_compile_at_once(tmp_path):
    # A small function instead of a kernel, which takes ten seconds to compile.
    (tmp_path / "small.py").write_text("def small(first, last, x):\n    x[0] = first + last\n")
    # The module alone: the package would import torch and sktime in each process.
    code = f"""
import importlib.util
import numpy
from small import small
spec = importlib.util.spec_from_file_location("kernels", {inspect.getfile(layer_kernels)!r})
kernels = importlib.util.module_from_spec(spec)
spec.loader.exec_module(kernels)
x = numpy.zeros(1)
kernels._compile(small, "float64", "1")(1, 2, x)
print(x[0])
"""
    cache = tmp_path / "cache"
    options = {"env": {**os.environ, "NUMBA_CACHE_DIR": str(cache)}, "cwd": tmp_path}
    processes = [
        subprocess.Popen([sys.executable, "-c", code], **options, stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    outputs = [process.communicate(timeout=120)[0].split() for process in processes]
    assert all(process.returncode == 0 for process in processes)
    assert outputs == [[b"3.0"]] * 4
    assert any(cache.rglob("*.nbi"))


def operators(call):
    """Names of the operators that a call runs."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        call()
    return {event.key for event in profile.key_averages()}


@pytest.mark.parametrize("numba", [True, False])
@pytest.mark.parametrize("forecaster", [GRUForecaster, LSTMForecaster])
def test_lstm_forecasts_a_few_rows_by_torchs_fused_kernel(monkeypatch, forecaster, numba):
    monkeypatch.setattr(layers, "MIN_ROWS", 2048)
    if not numba:
        monkeypatch.setattr(layers, "_kernels", lambda: None)
    lstm = forecaster is LSTMForecaster
    forecaster = forecaster(device="cpu", hidden_size=8, num_epochs=1, random_state=0)
    y = make_hourly_load(n_series=1, n_hours=120, random_state=0).droplevel(0)
    training = operators(lambda: forecaster.fit(y))
    predicting = operators(lambda: forecaster.predict([1, 2]))
    assert ("_LayerBackward" in training) == numba
    assert ("aten::mkldnn_rnn_layer_backward" in training) == (lstm and not numba)
    assert ("aten::mkldnn_rnn_layer" in predicting) == lstm
    assert not {name for name in training | predicting if "lstm_cell" in name}
