"""A drop-in replacement for torch.nn.GRU that trains several times faster on a CPU."""

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
        from skrnn import _gru_kernels
    except ImportError:
        return None
    return _gru_kernels


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
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="skrnn-gru")


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


def _padded(weight, Hp, columns):
    """Return a weight (3 H, n) as (3, Hp, columns), filled up with zeros."""
    H = len(weight) // 3
    return F.pad(weight.reshape(3, H, -1), (0, columns - weight.shape[1], 0, Hp - H))


def _panels(weight, lanes):
    """Return (3, Hp, n) as (Hp / lanes, n, 3, lanes), the order in which the forward pass reads."""
    _, Hp, n = weight.shape
    return weight.view(3, Hp // lanes, lanes, n).permute(1, 3, 0, 2).reshape(-1)


def _forward(x, h0, weights, batch_first, keep):
    """Return the output (L, B, H) for x (L, B, C), the states and gates, and the threads used."""
    kernels = _kernels()
    (L, B, C), H = x.shape, h0.shape[1]
    name = str(x.dtype).removeprefix("torch.")
    lanes = kernels.lanes(name)
    Hp, Cp = (_up(n, max(lanes, kernels.ROWS)) for n in (H, C))
    threads = max(1, min(torch.get_num_threads(), L * B * 3 * H * (H + C) // LEAST_WORK))
    rows = _rows(B, threads, kernels.HEIGHTS)
    blocks = -(-B // rows)
    out = x.new_empty(B, L, H).transpose(0, 1) if batch_first else x.new_empty(L, B, H)
    gates = x.new_empty(blocks, L if keep else 1, 4, rows, Hp)
    state = x.new_empty(blocks, L + 1 if keep else 2, rows, Hp + Cp)
    first = x.new_zeros(blocks * rows, Hp)
    first[:B, :H] = h0
    state[:, 0, :, :Hp] = first.view(blocks, rows, Hp)

    weight_x, weight_h, bias_x, bias_h = weights
    bias = x.new_zeros(4, Hp)  # of n's input; r; z; n's state
    bias[:3, :H] = bias_x.view(3, H).roll(1, 0)
    bias[1:, :H] += bias_h.view(3, H)
    weight_x = _panels(_padded(weight_x, Hp, C).roll(1, 0), lanes)
    weight_h = _panels(_padded(weight_h, Hp, Hp), lanes)

    kernel = kernels.forward(name)
    arrays = [a.detach().numpy() for a in (x, out, state, gates, weight_x, weight_h, bias)]
    threads = min(threads, blocks)
    _spread(lambda _, *share: kernel(*share, *arrays), blocks, threads)
    return out, state, gates, threads


class _Layer(Function):
    """x (L, B, C), h0 (B, H) -> the output (L, B, H) of one layer and its last state (B, H)."""

    @staticmethod
    def forward(ctx, x, h0, batch_first, *weights):
        out, state, gates, ctx.threads = _forward(x, h0, weights, batch_first, keep=True)
        ctx.save_for_backward(state, gates, *weights[:2])
        ctx.shape = x.shape
        ctx.set_materialize_grads(False)
        return out, out[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, d_out, d_last):
        kernels = _kernels()
        state, gates, weight_x, weight_h = ctx.saved_tensors
        (L, B, C), H = ctx.shape, weight_h.shape[1]
        blocks, _, _, rows, Hp = gates.shape
        Cp = state.shape[3] - Hp
        if d_out is None:
            d_out = state.new_zeros(1).expand(L, B, H)
        d_h = state.new_zeros(blocks * rows, Hp)
        if d_last is not None:
            d_h[:B, :H] = d_last
        d_x = state.new_empty(L, B, C if ctx.needs_input_grad[0] else 0)
        weight_x = _padded(weight_x, Hp, Cp).roll(1, 0).view(3 * Hp, Cp)
        weight_h = _padded(weight_h, Hp, Hp).view(3 * Hp, Hp)

        # Every thread sums its own gradients of the weights; they are added below.
        threads = min(torch.get_num_threads(), ctx.threads)
        d_gates = state.new_zeros(threads, 4, kernels.GATHER, Hp)
        d_inputs = state.new_empty(threads, rows, Cp)
        d_weight = state.new_zeros(threads, Hp + Cp, 3 * Hp)
        d_bias = state.new_zeros(threads, 4, Hp)

        kernel = kernels.backward(str(state.dtype).removeprefix("torch."))
        shared = [a.detach().numpy() for a in (d_out, d_x, d_h.view(blocks, rows, Hp))]
        own = [a.numpy() for a in (d_gates, d_inputs, d_weight, d_bias)]
        saved = [a.detach().numpy() for a in (state, gates, weight_x, weight_h)]

        def work(thread, first, last):
            kernel(first, last, *shared, *(a[thread] for a in own), *saved)

        _spread(work, blocks, threads)
        d_weight = d_weight.sum(0).view(Hp + Cp, 3, Hp)[..., :H].permute(1, 2, 0)  # (3, H, Hp + Cp)
        d_bias = d_bias.sum(0)[:, :H]
        return (
            d_x if ctx.needs_input_grad[0] else None,
            d_h[:B, :H],
            None,
            d_weight[..., Hp : Hp + C].roll(-1, 0).reshape(3 * H, C),
            d_weight[..., :H].reshape(3 * H, H),
            d_bias[:3].roll(-1, 0).reshape(-1),
            d_bias[1:].reshape(-1),
        )


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
    all steps, and its gradients with them; ``examples/benchmarks/gru_speed.py`` measures the gain.

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
    >>> from skrnn._gru import GRU
    >>> network = GRU(input_size=3, hidden_size=5, batch_first=True)
    >>> output, state = network(torch.zeros(2, 24, 3))
    >>> output.shape, state.shape
    (torch.Size([2, 24, 5]), torch.Size([1, 2, 5]))
    """

    def _is_fast(self, input, hx):
        """Whether the kernels apply; if not, torch.nn.GRU computes, or says what is wrong."""
        if not (isinstance(input, torch.Tensor) and input.ndim == 3 and input.numel() > 0):
            return False
        tensors = [input, *self.parameters()] + ([] if hx is None else [hx])
        return (
            input.shape[1 if self.batch_first else 0] >= FEWEST_STEPS
            and self.bias
            and not self.bidirectional
            and input.dtype in (torch.float32, torch.float64)
            and all(a.dtype == input.dtype and a.device.type == "cpu" for a in tensors)
            and not torch.is_autocast_enabled("cpu")
            and not (torch.compiler.is_compiling() or torch.jit.is_tracing())
            and _kernels() is not None
        )

    def forward(self, input, hx=None):
        """Return the last layer's output of every step, and the last state of every layer."""
        if not self._is_fast(input, hx):
            return super().forward(input, hx)
        x = input.transpose(0, 1) if self.batch_first else input  # (L, B, C)
        if hx is None:
            hx = x.new_zeros(self.num_layers, x.shape[1], self.hidden_size)
        self.check_forward_args(input, hx, None)
        states = []
        for layer, (h0, weights) in enumerate(zip(hx, self.all_weights, strict=True)):
            if layer:
                x = F.dropout(x, self.dropout, self.training)
            batch_first = self.batch_first and layer == self.num_layers - 1
            if torch.is_grad_enabled() and any(a.requires_grad for a in (x, h0, *weights)):
                x, state = _Layer.apply(x, h0, batch_first, *weights)
            else:
                x, *_ = _forward(x, h0, weights, batch_first, keep=False)
                state = x[-1]
            states.append(state)
        return x.transpose(0, 1) if self.batch_first else x, torch.stack(states)
