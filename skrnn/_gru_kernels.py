"""The GRU over a whole sequence as two Numba kernels; imported by `skrnn._gru` on its first fast call.

A kernel takes blocks of a few batch rows through all time steps, so threads meet only at the end of the sequence.
Memory is padded so that the kernels have no remainders: the I inputs and H hidden units to whole vectors (Ip, Hp), the
batch to whole blocks. Both layouts put what one step of one block needs side by side:

    state (blocks, L + 1, rows, Hp + Ip)    the hidden state before the step, and the step's input
    gates (blocks, L, 4, rows, Hp)          n's share from the input; r; z; n's share from the state

With this order the gates of the input (n, r, z) and those of the state (r, z, n) are each one matrix of 3 Hp columns.
Nearly all of the time goes into `_tile`, a matrix product whose sums stay in vector registers.
"""

import functools

import numba
import numpy as np
from llvmlite import binding, ir
from numba.core import types
from numba.extending import intrinsic, overload

_FEATURES = set((numba.config.CPU_FEATURES or binding.get_host_cpu_features().flatten()).split(","))
VECTOR_BYTES = 64 if "+avx512f" in _FEATURES else 32 if "+avx2" in _FEATURES else 16
# A tile is at most ROWS x 3 vectors of sums. With its operands it fills 28 of the 32 vector registers of AVX-512 and
# NEON, and the 16 of AVX2.
ROWS = 4 if "+avx2" in _FEATURES and VECTOR_BYTES == 32 else 8
HEIGHTS = (1, 2, 4, 8)
# Rows of the gates' gradient that are gathered before they update the weights' gradient: they stay in the L2 cache.
GATHER = 128


def lanes(dtype):
    """How many numbers a vector register holds."""
    return VECTOR_BYTES // np.dtype(dtype).itemsize


def _tile(vectors):
    """Return `tile(rows, c, c0, ci, cv, a, a0, ai, ak, b, b0, bk, depth)`, which adds the product a b to c.

    a is (rows, depth), b is (depth, vectors * lanes). The arrays are flat memory: row i, vector v of c starts at
    c0 + i ci + v cv, element (i, k) of a lies at a0 + i ai + k ak, and row k of b starts at b0 + k bk. It is written
    in LLVM's own language because LLVM, given loops, keeps the sums in memory: 100 instead of 260 GFLOP/s on one core.
    """

    @intrinsic
    def tile(_, rows, c, c0, ci, cv, a, a0, ai, ak, b, b0, bk, depth):
        def generate(context, builder, signature, args):
            rows_, c_, c0_, ci_, cv_, a_, a0_, ai_, ak_, b_, b0_, bk_, depth_ = args
            index, real = depth_.type, context.get_value_type(c.dtype)
            vector = ir.VectorType(real, lanes(c.dtype.name))
            align = np.dtype(c.dtype.name).itemsize

            def memory(array_type, value, offset):
                return builder.gep(context.make_array(array_type)(context, builder, value).data, [offset])

            def at(pointer, *terms):
                for n, stride in terms:
                    pointer = builder.gep(pointer, [builder.mul(index(n), stride)])
                return builder.bitcast(pointer, vector.as_pointer())

            out, left, right = memory(c, c_, c0_), memory(a, a_, a0_), memory(b, b_, b0_)

            def product(height):
                cells = [(i, v) for i in range(height) for v in range(vectors)]
                start = [builder.load(at(out, (i, ci_), (v, cv_)), align=align) for i, v in cells]
                before, loop = builder.block, builder.append_basic_block("k")
                builder.branch(loop)
                builder.position_at_end(loop)
                k, sums = builder.phi(index), [builder.phi(vector) for _ in cells]
                a_k = builder.gep(left, [builder.mul(k, ak_)])
                b_k = builder.gep(right, [builder.mul(k, bk_)])
                columns = [builder.load(at(b_k, (v, index(vector.count))), align=align) for v in range(vectors)]
                ends = []
                for i in range(height):
                    number = builder.load(builder.gep(a_k, [builder.mul(index(i), ai_)]))
                    same = builder.insert_element(vector(ir.Undefined), number, ir.IntType(32)(0))
                    same = builder.shuffle_vector(same, same, ir.VectorType(ir.IntType(32), vector.count)(None))
                    for column in columns:
                        term = builder.fmul(same, column, flags=("contract",))
                        ends.append(builder.fadd(sums[len(ends)], term, flags=("contract",)))
                following = builder.add(k, index(1))
                for phi, first, last in zip([k, *sums], [index(0), *start], [following, *ends], strict=True):
                    phi.add_incoming(first, before)
                    phi.add_incoming(last, loop)
                after = builder.append_basic_block("done")
                builder.cbranch(builder.icmp_signed("<", following, depth_), loop, after)
                builder.position_at_end(after)
                for (i, v), value in zip(cells, ends, strict=True):
                    builder.store(value, at(out, (i, ci_), (v, cv_)), align=align)

            for height in HEIGHTS:
                with builder.if_then(builder.icmp_signed("==", rows_, rows_.type(height))):
                    product(height)
            return context.get_dummy_value()

        return types.void(rows, c, c0, ci, cv, a, a0, ai, ak, b, b0, bk, depth), generate

    return tile


_tile1, _tile2, _tile3 = _tile(1), _tile(2), _tile(3)
# No "nnan" and "ninf" here: a NaN in the input must come out as NaN.
_options = {"nogil": True, "fastmath": {"contract", "arcp", "nsz"}, "error_model": "numpy"}


@numba.njit(**_options)
def _add3(rows, c, c0, ci, cv, a, a0, ai, ak, b, b0, bk, depth):
    _tile3(rows, c, c0, ci, cv, a, a0, ai, ak, b, b0, bk, depth)


@numba.njit(**_options)
def _add_wide(rows, c, c0, ci, a, a0, ai, b, columns, depth):
    """Add a b to c for a row-major b (depth, columns), two vectors at a time."""
    width = VECTOR_BYTES // c.itemsize
    for j in range(0, columns - width, 2 * width):
        _tile2(rows, c, c0 + j, ci, width, a, a0, ai, 1, b, j, columns, depth)
    if columns // width % 2:
        _tile1(rows, c, c0 + columns - width, ci, width, a, a0, ai, 1, b, columns - width, columns, depth)


def _tanh(x):
    """Stand for tanh in the kernels; its meaning is below."""


@overload(_tanh, jit_options={"fastmath": _options["fastmath"]})
def _tanh_of(x):
    if x == types.float64:
        return lambda x: np.tanh(x)

    # The rational minimax approximation of Eigen (Eigen/src/Core/MathFunctionsImpl.h), within 4 units in the last
    # place; beyond the limit tanh rounds to 1. Both comparisons are false for NaN, which therefore stays.
    limit = np.float32(7.90531110763549805)
    p = [np.float32(c) for c in (4.89352455891786e-03, 6.37261928875436e-04, 1.48572235717979e-05,
         5.12229709037114e-08, -8.60467152213735e-11, 2.00018790482477e-13, -2.76076847742355e-16)]
    q = [np.float32(c) for c in (4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04, 1.19825839466702e-06)]
    p0, p1, p2, p3, p4, p5, p6 = p
    q0, q1, q2, q3 = q

    def tanh(x):
        y = limit if x > limit else x
        y = -limit if y < -limit else y
        s = y * y
        above = y * (p0 + s * (p1 + s * (p2 + s * (p3 + s * (p4 + s * (p5 + s * p6))))))
        return above / (q0 + s * (q1 + s * (q2 + s * q3)))

    return tanh


def _forward(first, last, x, out, state, gates, weight_x, weight_h, bias):
    """Take blocks first to last through all steps."""
    (L, B, I), H = x.shape, out.shape[2]
    _, slots, rows, width = state.shape
    kept, Hp, step = gates.shape[1], gates.shape[4], VECTOR_BYTES // state.itemsize
    half = state.dtype.type(0.5)
    for block in range(first, last):
        start = block * rows
        used = min(rows, B - start)
        for t in range(L):
            # Without a backward pass only two steps of the state and one of the gates are kept.
            g, now, new = gates[block, t % kept], state[block, t % slots], state[block, (t + 1) % slots]
            now[:used, Hp : Hp + I] = x[t, start : start + used]
            now[used:, Hp:] = 0
            for k in range(4):
                for i in range(rows):
                    g[k, i] = bias[k]
            for j in range(0, Hp, step):
                _add3(rows, g, j, Hp, rows * Hp, now, Hp, width, 1, weight_x, 3 * I * j, 3 * step, I)
                _add3(rows, g, rows * Hp + j, Hp, rows * Hp, now, 0, width, 1, weight_h, 3 * Hp * j, 3 * step, Hp)
            for i in range(rows):
                for j in range(Hp):
                    r = half + half * _tanh(half * g[1, i, j])
                    z = half + half * _tanh(half * g[2, i, j])
                    n = _tanh(g[0, i, j] + r * g[3, i, j])
                    g[0, i, j], g[1, i, j], g[2, i, j] = n, r, z
                    new[i, j] = n + z * (now[i, j] - n)
            out[t, start : start + used] = new[:used, :H]


def _backward(
    first, last, d_out, d_x, d_h, d_gates, d_inputs, d_weight_x, d_weight_h, d_bias, state, gates, weight_x, weight_h
):
    """Take blocks first to last back through all steps; d_h is the last state's gradient and becomes the first's."""
    L, B, H = d_out.shape
    _, _, rows, width = state.shape
    Hp, Ip, step, I = gates.shape[4], d_inputs.shape[1], VECTOR_BYTES // state.itemsize, d_x.shape[2]
    row, steps, one = d_gates.shape[1], len(d_gates) // rows, state.dtype.type(1)
    for block in range(first, last):
        start = block * rows
        used = min(rows, B - start)
        dh = d_h[block]
        for end in range(L, 0, -steps):
            begin = max(end - steps, 0)
            for t in range(end - 1, begin - 1, -1):
                g, h, d = gates[block, t], state[block, t], d_gates[(t - begin) * rows :]
                dh[:used, :H] += d_out[t, start : start + used]
                for i in range(rows):
                    d_n, d_r, d_z, d_s = d[i, :Hp], d[i, Hp : 2 * Hp], d[i, 2 * Hp : 3 * Hp], d[i, 3 * Hp :]
                    for j in range(Hp):
                        n, r, z = g[0, i, j], g[1, i, j], g[2, i, j]
                        dn = dh[i, j] * (one - z) * (one - n * n)
                        d_n[j], d_s[j] = dn, dn * r
                        d_r[j] = dn * g[3, i, j] * r * (one - r)
                        d_z[j] = dh[i, j] * (h[i, j] - n) * z * (one - z)
                        dh[i, j] *= z
                _add_wide(rows, dh, 0, Hp, d, Hp, row, weight_h, Hp, 3 * Hp)
                if I:
                    d_inputs[:] = 0
                    _add_wide(rows, d_inputs, 0, Ip, d, 0, row, weight_x, Ip, 3 * Hp)
                    d_x[t, start : start + used] = d_inputs[:used, :I]
            s, depth = state[block, begin], (end - begin) * rows
            for j in range(0, 3 * Hp, 3 * step):
                for k in range(0, Hp, ROWS):
                    _add3(ROWS, d_weight_h, 3 * Hp * k + j, 3 * Hp, step, s, k, 1, width, d_gates, Hp + j, row, depth)
                for k in range(0, Ip, ROWS):
                    _add3(ROWS, d_weight_x, 3 * Hp * k + j, 3 * Hp, step, s, Hp + k, 1, width, d_gates, j, row, depth)
            for k in range(depth):
                for j in range(4 * Hp):
                    d_bias[j] += d_gates[k, j]


def _compile(function, dtype, arguments):
    """Compile for one real type; "v" stands for a view with any strides (L, B, n), a digit for a dense array."""
    real = numba.from_dtype(np.dtype(dtype))
    arrays = [types.Array(real, 3, "A") if n == "v" else types.Array(real, int(n), "C") for n in arguments]
    signature = types.void(types.intp, types.intp, *arrays)
    try:
        return numba.njit([signature], cache=True, **_options)(function)
    except RuntimeError:  # there is no folder that numba could cache in
        return numba.njit([signature], **_options)(function)


@functools.cache
def forward(dtype):
    """Return the compiled forward kernel for "float32" or "float64"."""
    return _compile(_forward, dtype, "vv45112")


@functools.cache
def backward(dtype):
    """Return the compiled backward kernel for "float32" or "float64"."""
    return _compile(_backward, dtype, "vv3222214522")
