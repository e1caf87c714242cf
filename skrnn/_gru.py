"""A faster torch.nn.GRU for the CPU."""

import ctypes
import functools
import importlib.util
import os
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

HAS_NUMBA = importlib.util.find_spec("numba") is not None


def _kernels():
    from skrnn import _gru_kernels

    return _gru_kernels


@functools.cache
def _pool():
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="skrnn-gru")


def _openmp():
    """Return PyTorch's own OpenMP library, or None if it is not of a kind that we can call."""
    library = ctypes.CDLL(torch._C.__file__)
    return library if hasattr(library, "GOMP_parallel") else None


_OPENMP = _openmp()


def _spread(work, blocks, threads):
    """Call work(worker, first, last) on even shares of the blocks, the last of them on this thread."""
    bounds = [blocks * worker // threads for worker in range(threads + 1)]
    shares = list(zip(range(threads), bounds[:-1], bounds[1:], strict=True))
    if threads == 1:
        work(*shares[0])
    elif _OPENMP is not None:
        errors = []

        @ctypes.CFUNCTYPE(None, ctypes.c_void_p)
        def run(_):
            try:
                me, n = _OPENMP.omp_get_thread_num(), _OPENMP.omp_get_num_threads()
                for share in shares[me::n]:
                    work(*share)
            except Exception as error:
                errors.append(error)

        _OPENMP.GOMP_parallel(run, None, threads, 0)
        if errors:
            raise errors[0]
    else:
        others = [_pool().submit(work, *share) for share in shares[:-1]]
        work(*shares[-1])
        for other in others:
            other.result()


def _rows(batch, threads):
    """Rows of a block: weights are read once per block and step, which costs about as much as two rows."""
    return min((8, 4, 2, 1), key=lambda rows: -(-(-(-batch // rows)) // threads) * (rows + 2))


def _up(size, multiple):
    return -(-size // multiple) * multiple


def _gates(weight, Hp, columns):
    """Return a (3 H, n) weight as (3, Hp, columns), padded with zeros."""
    H = len(weight) // 3
    return F.pad(weight.view(3, H, -1), (0, columns - weight.shape[1], 0, Hp - H))


def _panels(gates, lanes):
    """Return (3, Hp, n) as (Hp / lanes, n, 3, lanes): what one tile of the forward product reads, in order."""
    _, Hp, n = gates.shape
    return gates.view(3, Hp // lanes, lanes, n).permute(1, 3, 0, 2).reshape(-1)


def _forward(x, h0, out, weights, keep):
    """Fill `out` (L, B, H) from `x` (L, B, I); return the memory of the states and the gates."""
    kernels = _kernels()
    (L, B, I), H = x.shape, out.shape[2]
    lanes = kernels.lanes(out.numpy().dtype)
    Hp, Ip = _up(H, lanes), _up(I, lanes)
    threads = torch.get_num_threads()
    rows = _rows(B, threads)
    blocks = -(-B // rows)
    state = x.new_empty(blocks, L + 1 if keep else 2, rows, Hp + Ip)
    gates = x.new_empty(blocks, L if keep else 1, 4, rows, Hp)
    state[:, 0, :, :Hp] = F.pad(h0, (0, Hp - H, 0, blocks * rows - B)).view(blocks, rows, Hp)

    weight_x, weight_h, bias_x, bias_h = (weight.detach() for weight in weights)
    weight_x = _panels(_gates(weight_x, Hp, I).roll(1, 0), lanes)
    weight_h = _panels(_gates(weight_h, Hp, Hp), lanes)
    bias = torch.zeros(4, Hp, dtype=x.dtype)
    bias[0, :H] = bias_x[2 * H :]
    bias[1:3, :H] = (bias_x + bias_h)[: 2 * H].view(2, H)
    bias[3, :H] = bias_h[2 * H :]
    arrays = [a.numpy() for a in (x.detach(), out, state, gates, weight_x, weight_h, bias)]
    kernel = kernels.forward(arrays[0].dtype.name)
    _spread(lambda _, first, last: kernel(first, last, *arrays), blocks, min(threads, blocks))
    return state, gates


class _Sequence(Function):
    """One layer over a sequence: x (L, B, I), h0 (B, H) -> all states (L, B, H), the last state (B, H)."""

    @staticmethod
    def forward(ctx, x, h0, batch_first, *weights):
        out = _empty(x, h0, batch_first)
        state, gates = _forward(x, h0, out, weights, keep=True)
        ctx.save_for_backward(x, state, gates, *weights)
        ctx.set_materialize_grads(False)
        return out, out[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, d_out, d_last):
        kernels = _kernels()
        x, state, gates, *weights = ctx.saved_tensors
        weight_x, weight_h, *_ = weights
        L, B, I = x.shape
        H = weight_h.shape[1]
        blocks, _, rows, width = state.shape
        Hp = gates.shape[4]
        Ip = width - Hp
        threads = min(torch.get_num_threads(), blocks)
        if d_out is None:
            d_out = x.new_zeros(1, 1, 1).expand(L, B, H)
        if d_last is None:
            d_last = x.new_zeros(B, H)
        d_h = F.pad(d_last, (0, Hp - H, 0, blocks * rows - B)).contiguous().view(blocks, rows, Hp)
        if d_h.data_ptr() == d_last.data_ptr():
            d_h = d_h.clone()
        d_x = x.new_empty(L, B, I if ctx.needs_input_grad[0] else 0)
        weight_x = _gates(weight_x, Hp, Ip).roll(1, 0).view(3 * Hp, Ip)
        weight_h = _gates(weight_h, Hp, Hp).view(3 * Hp, Hp)
        d_gates = x.new_empty(threads, kernels.GATHER, 4 * Hp)
        d_inputs = x.new_empty(threads, rows, Ip)
        d_weight_x, d_weight_h = x.new_zeros(threads, Ip, 3 * Hp), x.new_zeros(threads, Hp, 3 * Hp)
        d_bias = x.new_zeros(threads, 4 * Hp)
        shared = [a.numpy() for a in (d_out, d_x)]
        d_h_ = d_h.numpy()
        own = [a.numpy() for a in (d_gates, d_inputs, d_weight_x, d_weight_h, d_bias)]
        saved = [a.numpy() for a in (state, gates, weight_x, weight_h)]
        kernel = kernels.backward(shared[0].dtype.name)

        def work(worker, first, last):
            kernel(first, last, *shared, d_h_, *(a[worker] for a in own), *saved)

        _spread(work, blocks, threads)
        d_weight_x = d_weight_x.sum(0)[:I].view(I, 3, Hp)[:, :, :H].roll(-1, 1).permute(1, 2, 0).reshape(3 * H, I)
        d_weight_h = d_weight_h.sum(0)[:H].view(H, 3, Hp)[:, :, :H].permute(1, 2, 0).reshape(3 * H, H)
        d_bias = d_bias.sum(0).view(4, Hp)[:, :H]
        d_bias_x, d_bias_h = d_bias[[1, 2, 0]].reshape(3 * H), d_bias[1:].reshape(3 * H)
        d_h0 = d_h.view(-1, Hp)[:B, :H]
        return d_x if ctx.needs_input_grad[0] else None, d_h0, None, d_weight_x, d_weight_h, d_bias_x, d_bias_h


def _empty(x, h0, batch_first):
    L, B, _ = x.shape
    if batch_first:
        return x.new_empty(B, L, h0.shape[1]).transpose(0, 1)
    return x.new_empty(L, B, h0.shape[1])


class GRU(nn.GRU):
    """GRU."""

    def _is_fast(self, x, hx):
        return HAS_NUMBA and isinstance(x, torch.Tensor) and x.ndim == 3

    def forward(self, input, hx=None):
        if not self._is_fast(input, hx):
            return super().forward(input, hx)
        x = input.transpose(0, 1) if self.batch_first else input
        B = x.shape[1]
        h0 = x.new_zeros(self.num_layers, B, self.hidden_size) if hx is None else hx
        last = []
        for layer, weights in enumerate(self.all_weights):
            final = layer == self.num_layers - 1
            if torch.is_grad_enabled() and any(a.requires_grad for a in (x, h0, *weights)):
                x, h = _Sequence.apply(x, h0[layer], self.batch_first and final, *weights)
            else:
                out = _empty(x, h0[layer], self.batch_first and final)
                _forward(x, h0[layer], out, weights, keep=False)
                x, h = out, out[-1].clone()
            last.append(h)
            if not final:
                x = F.dropout(x, self.dropout, self.training)
        return x.transpose(0, 1) if self.batch_first else x, torch.stack(last)
