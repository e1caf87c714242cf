"""GRU and LSTM layers of several models at once, each with weights of its own, on a CPU."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from skrnn.network.layers import _kernels, _round_up, _rows_per_block
from skrnn.network.threads import n_threads, run_in_threads


def has_kernels() -> bool:
    """Whether the kernels can be used: Numba is installed."""
    return _kernels() is not None


class Packed(NamedTuple):
    """Weights (M, ...) of the layers of M models in the order in which the kernel reads them."""

    panels_x: Tensor
    panels_h: Tensor
    bias: Tensor


def packed(w_x: Tensor, w_h: Tensor, b_x: Tensor, b_h: Tensor) -> Packed:
    """Bring weights of torch, see `stacked_layer`, into the kernel's order."""
    kernels, name = _kernels(), _name(w_x)
    (M, _, C), (_, GH, H) = w_x.shape, w_h.shape
    G, Hp, lanes = GH // H, _padded_size(H, name), kernels.lanes(name)
    n_x, n_h = (C, Hp) if G < kernels.SLOTS else (0, Hp + C)
    result = Packed(
        w_x.new_zeros(M, Hp // lanes, n_x, G, lanes),
        w_x.new_zeros(M, Hp // lanes, n_h, G, lanes),
        w_x.new_zeros(M, kernels.SLOTS, Hp),
    )
    tensors = *(part.contiguous() for part in (w_x, w_h, b_x, b_h)), *result
    _run(kernels.pack_each(name), M, tensors)
    return result


def stacked_layer(
    x: Tensor, first: tuple[Tensor, ...], weights: tuple[Tensor, ...]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Output (M, B, L, H) and last states (M, B, H) of the layers of M models.

    A model's output is that of `skrnn.network.layers.GRU` or `LSTM` with its weights.

    Parameters
    ----------
    x : Tensor of shape (M, B, L, C)
    first : tuple of Tensor of shape (M, B, H)
        One state of a GRU, two of an LSTM.
    weights : tuple of Tensor
        Those of torch with a leading axis: (M, G H, C), (M, G H, H), (M, G H), (M, G H).
    """
    out, *last = _StackedLayer.apply(x, *weights, *first)
    return out, tuple(last)


def run_stacked_layer(
    x: Tensor, first: tuple[Tensor, ...], weights: Packed
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The same without gradients."""
    out, last, _ = _forward(x, first, weights, keep=False)
    return out, last


def stacked_states(
    x: Tensor, first: tuple[Tensor, ...], weights: Packed
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Output, and the states after every step, (M, B, L, H) each, without gradients."""
    B, H = first[0].shape[1:]
    out, _, (state, gates) = _forward(x, first, weights, keep=True)
    if len(first) == 1:
        return out, (out,)
    cell = state[:, :, 1:, :, -gates.shape[-1] :].transpose(2, 3)  # (M, blocks, rows, L, Hp)
    return out, (out, cell.flatten(1, 2)[:, :B, :, :H])


def _forward(x, first, weights, keep):
    """Output, last states, and the memory of the kernels: of all steps if ``keep``."""
    kernels, name = _kernels(), _name(x)
    (M, B, L, C), H = x.shape, first[0].shape[-1]
    Hp, Cp = (_padded_size(n, name) for n in (H, C))
    rows = _rows_per_block(B, 1, kernels.HEIGHTS)
    blocks = -(-B // rows)
    out = x.new_empty(M, B, L, H)
    n = blocks if keep else 1
    gates = x.new_empty(M, n, L if keep else 1, kernels.SLOTS, rows, Hp)
    state = x.new_empty(M, n, L + 1 if keep else 2, rows, len(first) * Hp + Cp)
    h = torch.stack(first, dim=1)  # (M, parts, B, H)
    layers = (x.transpose(1, 2), h, out.transpose(1, 2))
    _run(kernels.forward_each(name), M, (*layers, state, gates, *weights))
    return out, h.unbind(1), (state, gates)


def _run(kernel, n_models, tensors):
    """Run a kernel, with the models divided among threads."""
    arrays = [tensor.detach().numpy() for tensor in tensors]
    threads = min(n_models, n_threads())
    run_in_threads(lambda _, *share: kernel(*share, *arrays), n_models, threads)


def _name(tensor):
    return str(tensor.dtype).removeprefix("torch.")


def _padded_size(n, name):
    kernels = _kernels()
    return _round_up(n, max(kernels.lanes(name), kernels.ROWS))


class _StackedLayer(Function):
    """Layers of M models: x (M, B, L, C), weights, first states to output and last states."""

    @staticmethod
    def forward(ctx, x, w_x, w_h, b_x, b_h, *first):
        out, last, memory = _forward(x, first, packed(w_x, w_h, b_x, b_h), keep=True)
        ctx.save_for_backward(*memory, w_x, w_h)
        ctx.shape = x.shape
        ctx.set_materialize_grads(False)
        return out, *last

    @staticmethod
    @once_differentiable
    def backward(ctx, d_out, *d_last):
        kernels = _kernels()
        state, gates, w_x, w_h = ctx.saved_tensors
        (M, B, L, C), H = ctx.shape, w_h.shape[-1]
        _, blocks, _, _, rows, Hp = gates.shape
        if d_out is None:
            d_out = state.new_zeros(1).expand(M, B, L, H)
        d_h = state.new_zeros(M, blocks * rows, len(d_last), Hp)
        for part, gradient in enumerate(d_last):
            if gradient is not None:
                d_h[:, :B, part, :H] = gradient
        d_x = state.new_empty(M, B, L, C if ctx.needs_input_grad[0] else 0)
        gradients = [
            torch.empty_like(weight, memory_format=torch.contiguous_format) for weight in (w_x, w_h)
        ]
        gradients += [w_x.new_empty(w_x.shape[:2]) for _ in range(2)]
        by_step = [part.transpose(1, 2) for part in (d_out, d_x)]
        by_block = d_h.view(M, blocks, rows, -1)
        saved = (state, gates, w_x.contiguous(), w_h.contiguous())
        kernel = kernels.backward_each(_name(state))
        _run(kernel, M, (*by_step, by_block, *gradients, *saved))
        d_first = d_h[:, :B, :, :H].unbind(2)
        return (d_x if ctx.needs_input_grad[0] else None, *gradients, *d_first)
