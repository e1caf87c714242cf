"""Drop-in replacements for torch.nn.GRU and torch.nn.LSTM that train faster on a CPU."""

import functools
from contextlib import nullcontext

import torch
from torch import nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from skrnn.network.threads import n_threads, run_in_threads

# Time steps, or steps times batch rows: for fewer of both, copying the weights into the kernels'
# order costs more than they save.
MIN_STEPS, MIN_ROWS = 8, 2048
# Multiplications: with fewer for each thread, starting threads costs more than it saves.
MIN_MULTIPLICATIONS_PER_THREAD = 8_000_000
# Batch rows: reading the weights in a time step takes as long as computing this many more rows.
ROWS_WORTH_OF_READING_WEIGHTS = 2


@functools.cache
def _kernels():
    """Return the module of the kernels, or None if Numba is missing or does not fit NumPy."""
    try:
        from skrnn.network import layer_kernels
    except ImportError:
        return None
    return layer_kernels


def _rows_per_block(batch, threads, heights):
    """Return the number of batch rows of a block that takes the least time; the larger if equal."""

    def cost(rows):
        blocks_per_thread = -(-batch // rows // threads)
        return blocks_per_thread * (rows + ROWS_WORTH_OF_READING_WEIGHTS)

    return min(reversed(heights), key=cost)


def _round_up(size, multiple):
    return -(-size // multiple) * multiple


def _padded(weight, G, Hp, columns):
    """Return a weight (G H, n) as (G, Hp, columns), padded with zeros."""
    H = len(weight) // G
    return F.pad(weight.reshape(G, H, -1), (0, columns - weight.shape[1], 0, Hp - H))


def _panels(weight, lanes):
    """Return (G, Hp, n) as (Hp / lanes, n, G, lanes), the order in which the forward pass reads."""
    G, Hp, n = weight.shape
    return weight.view(G, Hp // lanes, lanes, n).permute(1, 3, 0, 2).contiguous()


def _forward(x, first, weights, batch_first, keep_states=False, keep_gates=False):
    """Compute a layer from x (L, B, C) and the first states (B, H), one or an LSTM's two.

    Returns the output (L, B, H), the last states, the memory (state, gates) of the kernels and the
    number of threads. The memory holds those of all steps that are to be kept; the backward pass
    needs both.
    """
    kernels = _kernels()
    (L, B, C), H = x.shape, first[0].shape[1]
    G = len(weights[0]) // H
    name, slots = str(x.dtype).removeprefix("torch."), kernels.SLOTS
    lanes = kernels.lanes(name)
    Hp, Cp = (_round_up(n, max(lanes, kernels.ROWS)) for n in (H, C))
    multiplications = L * B * G * H * (H + C)
    worthwhile = multiplications // MIN_MULTIPLICATIONS_PER_THREAD
    threads = max(1, min(n_threads(), worthwhile))
    rows = _rows_per_block(B, threads, kernels.HEIGHTS)
    blocks = -(-B // rows)
    out = x.new_empty(B, L, H).transpose(0, 1) if batch_first else x.new_empty(L, B, H)
    threads = min(threads, blocks)
    n_states, n_gates = (blocks if keep else threads for keep in (keep_states, keep_gates))
    state = x.new_empty(n_states, L + 1 if keep_states else 2, rows, len(first) * Hp + Cp)
    gates = x.new_empty(n_gates, L if keep_gates else 1, slots, rows, Hp)
    h = torch.stack(first)

    weight_x, weight_h, bias_x, bias_h = weights
    bias = x.new_zeros(slots, Hp)
    bias[:G, :H] = bias_x.view(G, H).roll(slots - G, 0)
    bias[slots - G :, :H] += bias_h.view(G, H)
    weight_x = _padded(weight_x, G, Hp, C).roll(slots - G, 0)
    weight_h = _padded(weight_h, G, Hp, Hp)
    if slots == G:
        weight_h, weight_x = torch.cat([weight_h, weight_x], 2), weight_x[..., :0]

    kernel = kernels.forward(name)
    panels = _panels(weight_x, lanes), _panels(weight_h, lanes)
    layer = [a.detach().numpy() for a in (x, h, out)]
    memory = [(state.numpy(), keep_states), (gates.numpy(), keep_gates)]
    weights = [a.detach().numpy() for a in (*panels, bias)]

    def work(thread, start, stop):
        own = [a if keep else a[thread : thread + 1] for a, keep in memory]
        kernel(start, stop, *layer, *own, *weights)

    run_in_threads(work, blocks, threads)
    return out, h.unbind(), (state, gates), threads


class _Layer(Function):
    """One layer: x (L, B, C), weights and first states (B, H) to output (L, B, H), last states."""

    @staticmethod
    def forward(ctx, x, batch_first, w_x, w_h, b_x, b_h, *first):
        weights = w_x, w_h, b_x, b_h
        out, last, saved, ctx.threads = _forward(x, first, weights, batch_first, True, True)
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
        G, slots = len(weight_h) // H, kernels.SLOTS
        blocks, _, _, rows, Hp = gates.shape
        Cp = state.shape[3] - len(d_last) * Hp
        if d_out is None:
            d_out = state.new_zeros(1).expand(L, B, H)
        d_h = state.new_zeros(blocks * rows, len(d_last), Hp)
        for part, gradient in enumerate(d_last):
            if gradient is not None:
                d_h[:B, part, :H] = gradient
        d_x = state.new_empty(L, B, C if ctx.needs_input_grad[0] else 0)
        weight_x = _padded(weight_x, G, Hp, Cp).roll(slots - G, 0)
        weight_h = _padded(weight_h, G, Hp, Hp)

        # Each thread sums the gradients of its blocks; the sums of all threads are added below.
        threads = min(n_threads(), ctx.threads)
        d_gates = state.new_zeros(threads, slots, kernels.GATHER, Hp)
        d_inputs = state.new_empty(threads, rows, Cp)
        d_weight = state.new_zeros(threads, Hp + Cp, G, Hp)
        d_bias = state.new_zeros(threads, slots, Hp)

        kernel = kernels.backward(str(state.dtype).removeprefix("torch."))
        shared = [a.detach().numpy() for a in (d_out, d_x, d_h.view(blocks, rows, -1))]
        per_thread = [a.numpy() for a in (d_gates, d_inputs, d_weight, d_bias)]
        saved = [a.detach().numpy() for a in (state, gates, weight_x, weight_h)]

        def work(thread, start, stop):
            kernel(start, stop, *shared, *(a[thread] for a in per_thread), *saved)

        run_in_threads(work, blocks, threads)
        d_weight = d_weight.sum(0)[..., :H].permute(1, 2, 0)  # (G, H, Hp + Cp)
        d_bias = d_bias.sum(0)[:, :H]
        return (
            d_x if ctx.needs_input_grad[0] else None,
            None,
            d_weight[..., Hp : Hp + C].roll(G - slots, 0).reshape(G * H, C),
            d_weight[..., :H].reshape(G * H, H),
            d_bias[:G].roll(G - slots, 0).reshape(-1),
            d_bias[slots - G :].reshape(-1),
            *d_h[:B, :, :H].unbind(1),
        )


def is_fast(network, input, hx):
    """Whether the kernels support this call; if not, torch computes it or raises its error."""
    if not (isinstance(input, torch.Tensor) and input.ndim == 3 and input.numel() > 0):
        return False
    return (
        (input.shape[1 if network.batch_first else 0] >= MIN_STEPS or _has_many_rows(input))
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


def _has_many_rows(input):
    return input.shape[0] * input.shape[1] >= MIN_ROWS


def _run(network, input, hx):
    """Return the output of the last layer and the last states of all layers."""
    x = input.transpose(0, 1) if network.batch_first else input  # (L, B, C)
    states = []
    for layer, (*first, weights) in enumerate(zip(*hx, network.all_weights, strict=True)):
        if layer:
            x = F.dropout(x, network.dropout, network.training)
        batch_first = network.batch_first and layer == network.num_layers - 1
        if torch.is_grad_enabled() and any(a.requires_grad for a in (x, *weights, *first)):
            x, *last = _Layer.apply(x, batch_first, *weights, *first)
        else:
            x, last, *_ = _forward(x, first, weights, batch_first)
        states.append(last)
    output = x.transpose(0, 1) if network.batch_first else x
    return output, tuple(map(_stacked, zip(*states, strict=True)))


def _stacked(states):
    """Return the states (B, H) of all layers as (N, B, H); that of one is not copied."""
    return states[0][None] if len(states) == 1 else torch.stack(states)


@torch.no_grad()
def states_of_steps(layer, input):
    """Return the output (B, L, H) of a layer, and its states after every step, from a zero state.

    The states are (B, L, H), of an LSTM a tuple of two. None for a layer that cannot tell them.
    """
    kind = type(layer)  # a subclass may compute anything
    if kind not in (GRU, LSTM, nn.GRU, nn.RNN) or layer.num_layers > 1 or layer.bidirectional:
        return None
    if kind is not LSTM:  # the output of a step is the state after it
        output, _ = layer(input)
        return output, output
    if not is_fast(layer, input, ()):
        return None
    x = input.transpose(0, 1)
    first, H = (_zeros(layer, input)[0],) * 2, layer.hidden_size
    out, _, (state, gates), _ = _forward(x, first, layer.all_weights[0], True, keep_states=True)
    cell = state[:, 1:, :, -gates.shape[-1] :].transpose(1, 2).flatten(0, 1)  # (rows, L, Hp)
    output = out.transpose(0, 1)
    return output, (output, cell[: len(input), :, :H])


def _without_missing_bfloat16():
    """Keep oneDNN out where it has no LSTM in bfloat16: on processors without AVX-512."""
    if not torch.is_autocast_enabled("cpu") or torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return nullcontext()
    return torch.backends.mkldnn.flags(enabled=False)


def _zeros(network, input):
    batch = input.shape[0 if network.batch_first else 1]
    return input.new_zeros(network.num_layers, batch, network.hidden_size)


class GRU(nn.GRU):
    r"""torch.nn.GRU that trains faster on a CPU.

    At each step t a layer computes from its input :math:`x_t` and the state :math:`h_{t-1}`

    .. math::

        r_t &= \sigma(W_{ir} x_t + b_{ir} + W_{hr} h_{t-1} + b_{hr}) \\
        z_t &= \sigma(W_{iz} x_t + b_{iz} + W_{hz} h_{t-1} + b_{hz}) \\
        n_t &= \tanh(W_{in} x_t + b_{in} + r_t \odot (W_{hn} h_{t-1} + b_{hn})) \\
        h_t &= (1 - z_t) \odot n_t + z_t \odot h_{t-1}

    with the reset gate r, the update gate z, the candidate n, the logistic function
    :math:`\sigma` and the elementwise product :math:`\odot`; W and b are weights and biases.

    Arguments, parameters, state dict and results are those of :class:`torch.nn.GRU`, including the
    units that dropout drops for a seed. On a CPU, PyTorch computes each step by several small
    operators. Here a kernel compiled by Numba computes all steps of a few batch rows at once, and
    another one their gradients. ``examples/benchmarks/layer_speed.py`` compares the speeds.

    Parameters
    ----------
    input_size : int
        Number of inputs per step, C.
    hidden_size : int
        Number of hidden units, H.
    num_layers : int, default=1
        Number of layers; the input of a layer is the output of the one before.
    bias : bool, default=True
        Whether the layers have the biases :math:`b`.
    batch_first : bool, default=False
        Whether input and output are (B, L, .) instead of (L, B, .).
    dropout : float, default=0.0
        Probability with which, in training, an element of a layer's output is set to zero before
        the next layer.
    bidirectional : bool, default=False
        Whether a second network also reads the sequence backwards.
    device, dtype
        Device and type of the parameters.

    Notes
    -----
    The kernels are used if Numba is installed, the network has biases and one direction, the input
    has a batch axis, either 8 steps or 2,048 steps of all batch rows together or more, and all
    tensors are on the CPU and either float32 or float64. In all other cases :class:`torch.nn.GRU`,
    the base class, computes the same results.
    The first call compiles the kernels, which takes some seconds; Numba stores them on disk for
    later processes.

    The kernels use at most ``torch.get_num_threads()`` threads. Second derivatives are not
    available.

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
        """Return the output of the last layer at every step, and the last state of every layer."""
        if not is_fast(self, input, () if hx is None else (hx,)):
            return super().forward(input, hx)
        hx = _zeros(self, input) if hx is None else hx
        self.check_forward_args(input, hx, None)
        output, (state,) = _run(self, input, (hx,))
        return output, state


class LSTM(nn.LSTM):
    r"""torch.nn.LSTM that trains faster on a CPU.

    At each step t a layer computes from its input :math:`x_t`, the hidden state :math:`h_{t-1}` and
    the cell state :math:`c_{t-1}`

    .. math::

        i_t &= \sigma(W_{ii} x_t + b_{ii} + W_{hi} h_{t-1} + b_{hi}) \\
        f_t &= \sigma(W_{if} x_t + b_{if} + W_{hf} h_{t-1} + b_{hf}) \\
        g_t &= \tanh(W_{ig} x_t + b_{ig} + W_{hg} h_{t-1} + b_{hg}) \\
        o_t &= \sigma(W_{io} x_t + b_{io} + W_{ho} h_{t-1} + b_{ho}) \\
        c_t &= f_t \odot c_{t-1} + i_t \odot g_t \\
        h_t &= o_t \odot \tanh(c_t)

    with the input gate i, the forget gate f, the candidate g, the output gate o, the logistic
    function :math:`\sigma` and the elementwise product :math:`\odot`; W and b are weights and
    biases.

    Arguments, parameters, state dict and results are those of :class:`torch.nn.LSTM`. The kernels
    are like those of :class:`GRU`.

    Parameters
    ----------
    input_size : int
        Number of inputs per step, C.
    hidden_size : int
        Number of hidden units, H.
    num_layers : int, default=1
        Number of layers; the input of a layer is the output of the one before.
    bias : bool, default=True
        Whether the layers have the biases :math:`b`.
    batch_first : bool, default=False
        Whether input and output are (B, L, .) instead of (L, B, .).
    dropout : float, default=0.0
        Probability with which, in training, an element of a layer's output is set to zero before
        the next layer.
    bidirectional : bool, default=False
        Whether a second network also reads the sequence backwards.
    proj_size : int, default=0
        Number of units onto which the state is projected; 0 for no projection.
    device, dtype
        Device and type of the parameters.

    Notes
    -----
    The kernels are used under the same conditions as in :class:`GRU` and without a projection.
    Without gradients at least 2,048 steps of all batch rows together are needed: for fewer,
    PyTorch's fused oneDNN kernels are the faster ones.

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
        """Return the output of the last layer at every step, and the last states of every layer."""
        is_slow = not is_fast(self, input, hx or ())
        # Without gradients PyTorch's fused oneDNN kernels are the faster ones for few rows.
        if is_slow or not (torch.is_grad_enabled() or _has_many_rows(input)):
            with _without_missing_bfloat16():
                return super().forward(input, hx)
        hx = (_zeros(self, input),) * 2 if hx is None else hx
        self.check_forward_args(input, hx, None)
        return _run(self, input, hx)
