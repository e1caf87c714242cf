"""Drop-in replacements for torch.nn.GRU and torch.nn.LSTM that train faster on a CPU."""

import ctypes
import functools
import os
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

# Bringing the weights into the kernels' order costs about as much as eight of torch.nn.GRU's steps.
FEWEST_STEPS = 8
# Multiplications that a thread must have to do, or starting it (60 us) takes longer.
LEAST_WORK = 8_000_000
_PARENT = os.getpid()


@functools.cache
def _kernels():
    """Return the kernels, or None where Numba is missing or does not fit the installed NumPy."""
    try:
        from skrnn.network import layer_kernels
    except ImportError:
        return None
    return layer_kernels


@functools.cache
def _openmp():
    """Return PyTorch's own OpenMP library, or None where it has no GNU entry point.

    After each operator its threads spin for milliseconds, waiting for the next one. Any other
    threads, Numba's included, would have to share the cores with them: up to half of the speed.
    """
    if os.getpid() != _PARENT:
        # A forked process has inherited the library but not its threads, and would wait for ever.
        return None
    library = ctypes.CDLL(torch._C.__file__)
    return library if hasattr(library, "GOMP_parallel") else None


@functools.cache
def _pool():
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="skrnn")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_openmp.cache_clear)
    os.register_at_fork(after_in_child=_pool.cache_clear)


def _spread(work, blocks, threads):
    """Call work(share, first, last) for even shares of the blocks, each in its own thread."""
    bounds = [blocks * share // threads for share in range(threads + 1)]
    shares = list(zip(range(threads), bounds[:-1], bounds[1:], strict=True))
    openmp = _openmp()
    if threads == 1:
        work(*shares[0])
    elif openmp is None:
        others = [_pool().submit(work, *share) for share in shares[1:]]
        work(*shares[0])
        for other in others:
            other.result()
    else:
        errors = []

        @ctypes.CFUNCTYPE(None, ctypes.c_void_p)
        def team(_):
            try:
                # OpenMP may give fewer threads than asked for, in nested regions for instance.
                for share in shares[openmp.omp_get_thread_num() :: openmp.omp_get_num_threads()]:
                    work(*share)
            except BaseException as error:  # would be printed and lost
                errors.append(error)

        openmp.GOMP_parallel(team, None, threads, 0)
        if errors:
            raise errors[0]


def _rows(batch, threads, heights):
    """Return the batch rows of a block; reading the weights costs as much as two more rows."""
    return min(reversed(heights), key=lambda rows: -(-batch // rows // threads) * (rows + 2))


def _up(size, multiple):
    return -(-size // multiple) * multiple


def _padded(weight, G, Hp, columns):
    """Return a weight (G H, n) as (G, Hp, columns), filled up with zeros."""
    H = len(weight) // G
    return F.pad(weight.reshape(G, H, -1), (0, columns - weight.shape[1], 0, Hp - H))


def _panels(weight, lanes):
    """Return (G, Hp, n) as (Hp / lanes, n, G, lanes), the order in which the forward pass reads."""
    G, Hp, n = weight.shape
    return weight.view(G, Hp // lanes, lanes, n).permute(1, 3, 0, 2).contiguous()


def _forward(x, first, weights, batch_first, keep):
    """Take x (L, B, C) and the first states (B, H), one or an LSTM's two, through a layer.

    Returns the output (L, B, H), the last states, what the backward pass needs, and the threads.
    """
    kernels = _kernels()
    (L, B, C), H = x.shape, first[0].shape[1]
    G = len(weights[0]) // H
    name = str(x.dtype).removeprefix("torch.")
    lanes = kernels.lanes(name)
    Hp, Cp = (_up(n, max(lanes, kernels.ROWS)) for n in (H, C))
    threads = max(1, min(torch.get_num_threads(), L * B * G * H * (H + C) // LEAST_WORK))
    rows = _rows(B, threads, kernels.HEIGHTS)
    blocks = -(-B // rows)
    out = x.new_empty(B, L, H).transpose(0, 1) if batch_first else x.new_empty(L, B, H)
    gates = x.new_empty(blocks, L if keep else 1, 4, rows, Hp)
    state = x.new_empty(blocks, L + 1 if keep else 2, rows, len(first) * Hp + Cp)
    for part, at in zip(first, (0, Hp + Cp), strict=False):
        padded = F.pad(part, (0, Hp - H, 0, blocks * rows - B))
        state[:, 0, :, at : at + Hp] = padded.view(blocks, rows, Hp)

    weight_x, weight_h, bias_x, bias_h = weights
    bias = x.new_zeros(4, Hp)
    bias[:G, :H] = bias_x.view(G, H).roll(4 - G, 0)
    bias[4 - G :, :H] += bias_h.view(G, H)
    weight_x = _padded(weight_x, G, Hp, C).roll(4 - G, 0)
    weight_h = _padded(weight_h, G, Hp, Hp)
    if G == 4:
        weight_h, weight_x = torch.cat([weight_h, weight_x], 2), weight_x[..., :0]

    kernel = kernels.forward(name)
    panels = _panels(weight_x, lanes), _panels(weight_h, lanes)
    arrays = [a.detach().numpy() for a in (x, out, state, gates, *panels, bias)]
    threads = min(threads, blocks)
    _spread(lambda _, *share: kernel(*share, *arrays), blocks, threads)
    last = [out[-1].clone()]
    if len(first) == 2:
        cell = state[:, L % state.shape[1], :, Hp + Cp :].reshape(blocks * rows, Hp)
        last.append(cell[:B, :H].clone())
    return out, tuple(last), (state, gates), threads


class _Layer(Function):
    """x (L, B, C), the weights, first states (B, H) -> output (L, B, H) of a layer, last states."""

    @staticmethod
    def forward(ctx, x, batch_first, w_x, w_h, b_x, b_h, *first):
        weights = w_x, w_h, b_x, b_h
        out, last, saved, ctx.threads = _forward(x, first, weights, batch_first, keep=True)
        ctx.save_for_backward(*saved, w_x, w_h)
        ctx.shape = x.shape
        ctx.set_materialize_grads(False)
        return out, *last

    @staticmethod
    @once_differentiable
    def backward(ctx, d_out, *d_last):
        kernels = _kernels()
        state, gates, weight_x, weight_h = ctx.saved_tensors
        (L, B, C), H = ctx.shape, weight_h.shape[1]
        G = len(weight_h) // H
        blocks, _, _, rows, Hp = gates.shape
        Cp = state.shape[3] - len(d_last) * Hp
        if d_out is None:
            d_out = state.new_zeros(1).expand(L, B, H)
        d_h = state.new_zeros(blocks * rows, len(d_last), Hp)
        for part, d in enumerate(d_last):
            if d is not None:
                d_h[:B, part, :H] = d
        d_x = state.new_empty(L, B, C if ctx.needs_input_grad[0] else 0)
        weight_x = _padded(weight_x, G, Hp, Cp).roll(4 - G, 0)
        weight_h = _padded(weight_h, G, Hp, Hp)

        # Every thread sums its own gradients of the weights; they are added below.
        threads = min(torch.get_num_threads(), ctx.threads)
        d_gates = state.new_zeros(threads, 4, kernels.GATHER, Hp)
        d_inputs = state.new_empty(threads, rows, Cp)
        d_weight = state.new_zeros(threads, Hp + Cp, G, Hp)
        d_bias = state.new_zeros(threads, 4, Hp)

        kernel = kernels.backward(str(state.dtype).removeprefix("torch."))
        shared = [a.detach().numpy() for a in (d_out, d_x, d_h.view(blocks, rows, -1))]
        own = [a.numpy() for a in (d_gates, d_inputs, d_weight, d_bias)]
        saved = [a.detach().numpy() for a in (state, gates, weight_x, weight_h)]

        def work(thread, first, last):
            kernel(first, last, *shared, *(a[thread] for a in own), *saved)

        _spread(work, blocks, threads)
        d_weight = d_weight.sum(0)[..., :H].permute(1, 2, 0)  # (G, H, Hp + Cp)
        d_bias = d_bias.sum(0)[:, :H]
        return (
            d_x if ctx.needs_input_grad[0] else None,
            None,
            d_weight[..., Hp : Hp + C].roll(G - 4, 0).reshape(G * H, C),
            d_weight[..., :H].reshape(G * H, H),
            d_bias[:G].roll(G - 4, 0).reshape(-1),
            d_bias[4 - G :].reshape(-1),
            *d_h[:B, :, :H].unbind(1),
        )


def _is_fast(network, input, hx):
    """Whether the kernels apply; if not, torch computes, or says what is wrong."""
    if not (isinstance(input, torch.Tensor) and input.ndim == 3 and input.numel() > 0):
        return False
    return (
        input.shape[1 if network.batch_first else 0] >= FEWEST_STEPS
        and network.bias
        and not network.bidirectional
        and not network.proj_size
        and input.dtype in (torch.float32, torch.float64)
        and all(
            a.dtype == input.dtype and a.device.type == "cpu"
            for a in (input, *hx, *network.parameters())
        )
        and not torch.is_autocast_enabled("cpu")
        and not (torch.compiler.is_compiling() or torch.jit.is_tracing())
        and _kernels() is not None
    )


def _run(network, input, hx):
    """Return the last layer's output, and the last states of every layer."""
    x = input.transpose(0, 1) if network.batch_first else input  # (L, B, C)
    states = []
    for layer, (*first, weights) in enumerate(zip(*hx, network.all_weights, strict=True)):
        if layer:
            x = F.dropout(x, network.dropout, network.training)
        batch_first = network.batch_first and layer == network.num_layers - 1
        if torch.is_grad_enabled() and any(a.requires_grad for a in (x, *weights, *first)):
            x, *last = _Layer.apply(x, batch_first, *weights, *first)
        else:
            x, last, *_ = _forward(x, first, weights, batch_first, keep=False)
        states.append(last)
    output = x.transpose(0, 1) if network.batch_first else x
    return output, tuple(map(torch.stack, zip(*states, strict=True)))


def _zeros(network, input):
    batch = input.shape[0 if network.batch_first else 1]
    return input.new_zeros(network.num_layers, batch, network.hidden_size)


class GRU(nn.GRU):
    r"""torch.nn.GRU, trained several times faster on a CPU.

    From the input :math:`x_t` and the state :math:`h_{t-1}` every layer computes, step by step,

    .. math::

        r_t &= \sigma(W_{ir} x_t + b_{ir} + W_{hr} h_{t-1} + b_{hr}) \\
        z_t &= \sigma(W_{iz} x_t + b_{iz} + W_{hz} h_{t-1} + b_{hz}) \\
        n_t &= \tanh(W_{in} x_t + b_{in} + r_t \odot (W_{hn} h_{t-1} + b_{hn})) \\
        h_t &= (1 - z_t) \odot n_t + z_t \odot h_{t-1}

    Arguments, parameters, state dict and results are those of :class:`torch.nn.GRU`; with the same
    seed, dropout even drops the same units. On a CPU, PyTorch walks through these equations one
    small operator at a time. Here a kernel compiled by Numba takes a few rows of the batch through
    all steps, and its gradients with them; ``examples/benchmarks/layer_speed.py`` measures how
    much faster.

    Parameters
    ----------
    input_size : int
        Number of inputs per step, C.
    hidden_size : int
        Number of hidden units, H.
    num_layers : int, default=1
        Number of layers; each reads the output of the one before.
    bias : bool, default=True
        Whether the layers have the biases :math:`b`.
    batch_first : bool, default=False
        Whether input and output are (B, L, .) instead of (L, B, .).
    dropout : float, default=0.0
        Probability with which an output is dropped on its way to the next layer, in training.
    bidirectional : bool, default=False
        Whether a second network reads the sequence backwards.
    device, dtype
        Where the parameters live, and their type.

    Notes
    -----
    The kernels need Numba; biases; one direction; an input (B, L, C) of at least 8 steps; and all
    tensors float32 or all float64, on the CPU. Everything else is computed by
    :class:`torch.nn.GRU`, on which this class is built: without Numba only speed is lost. The first
    call compiles for some seconds, and keeps the result on disk for later processes.

    The kernels use ``torch.get_num_threads()`` threads. A backward pass cannot be differentiated
    again.

    Examples
    --------
    >>> import torch
    >>> from skrnn.network.layers import GRU
    >>> network = GRU(input_size=3, hidden_size=5, batch_first=True)
    >>> output, state = network(torch.zeros(2, 24, 3))
    >>> output.shape, state.shape
    (torch.Size([2, 24, 5]), torch.Size([1, 2, 5]))
    """

    def forward(self, input, hx=None):
        """Return the last layer's output of every step, and the last state of every layer."""
        if not _is_fast(self, input, () if hx is None else (hx,)):
            return super().forward(input, hx)
        hx = _zeros(self, input) if hx is None else hx
        self.check_forward_args(input, hx, None)
        output, (state,) = _run(self, input, (hx,))
        return output, state


class LSTM(nn.LSTM):
    r"""torch.nn.LSTM, trained faster on a CPU.

    From the input :math:`x_t`, the state :math:`h_{t-1}` and the cell's state :math:`c_{t-1}` every
    layer computes, step by step,

    .. math::

        i_t &= \sigma(W_{ii} x_t + b_{ii} + W_{hi} h_{t-1} + b_{hi}) \\
        f_t &= \sigma(W_{if} x_t + b_{if} + W_{hf} h_{t-1} + b_{hf}) \\
        g_t &= \tanh(W_{ig} x_t + b_{ig} + W_{hg} h_{t-1} + b_{hg}) \\
        o_t &= \sigma(W_{io} x_t + b_{io} + W_{ho} h_{t-1} + b_{ho}) \\
        c_t &= f_t \odot c_{t-1} + i_t \odot g_t \\
        h_t &= o_t \odot \tanh(c_t)

    Arguments, parameters, state dict and results are those of :class:`torch.nn.LSTM`. On a CPU,
    PyTorch computes it in oneDNN's fused kernels, which are the faster ones where no gradient is
    wanted, and do that work here too; in training :class:`GRU`'s kernels are.

    Parameters
    ----------
    input_size : int
        Number of inputs per step, C.
    hidden_size : int
        Number of hidden units, H.
    num_layers : int, default=1
        Number of layers; each reads the output of the one before.
    bias : bool, default=True
        Whether the layers have the biases :math:`b`.
    batch_first : bool, default=False
        Whether input and output are (B, L, .) instead of (L, B, .).
    dropout : float, default=0.0
        Probability with which an output is dropped on its way to the next layer, in training.
    bidirectional : bool, default=False
        Whether a second network reads the sequence backwards.
    proj_size : int, default=0
        Number of units onto which the state is projected; 0 for no projection.
    device, dtype
        Where the parameters live, and their type.

    Notes
    -----
    The kernels need what they need for :class:`GRU`, and no projection.

    Examples
    --------
    >>> import torch
    >>> from skrnn.network.layers import LSTM
    >>> network = LSTM(input_size=3, hidden_size=5, batch_first=True)
    >>> output, (state, cell) = network(torch.zeros(2, 24, 3))
    >>> output.shape, state.shape, cell.shape
    (torch.Size([2, 24, 5]), torch.Size([1, 2, 5]), torch.Size([1, 2, 5]))
    """

    def forward(self, input, hx=None):
        """Return the last layer's output of every step, and the last states of every layer."""
        if not torch.is_grad_enabled() or not _is_fast(self, input, hx or ()):
            return super().forward(input, hx)
        hx = (_zeros(self, input),) * 2 if hx is None else hx
        self.check_forward_args(input, hx, None)
        return _run(self, input, hx)
