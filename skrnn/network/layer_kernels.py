"""GRU and LSTM over a whole sequence as two Numba kernels; `layers` imports them if needed.

A kernel takes blocks of a few batch rows through all time steps, so threads meet only at the end of
the sequence. Memory is padded so that nothing is left over: the C inputs and the H hidden units to
whole vectors and tiles (Cp and Hp), the batch to whole blocks. What a step of a block needs lies
together:

    state (blocks, L + 1, rows, Hp + Cp)    the state before the step, and the input of the step;
                                            an LSTM's has its cell's state in Hp more columns
    gates (blocks, L, 4, rows, Hp)          GRU: n; r; z; n's share from the state. LSTM: i; f; g; o

The weights tell the cell, by their number of gates G. In a GRU, n's share from the input stands in
the place of n before n is known: so the gates of the input (n, r, z) and those of the state
(r, z, n) are three neighbours each, the latter from row 4 - G on.
"""

import functools

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, codegen, types
from numba.extending import intrinsic, overload

_FEATURES = (numba.config.CPU_FEATURES or codegen.get_host_cpu_features()).split(",")
VECTOR_BYTES = 64 if "+avx512f" in _FEATURES else 32 if "+avx2" in _FEATURES else 16
# A tile has up to ROWS x 3 vectors of sums. With its operands it takes 28 of the 32 registers of
# AVX-512 and NEON, or the 16 of AVX2.
ROWS = 8 if {"+avx512f", "+neon"}.intersection(_FEATURES) else 4
HEIGHTS = tuple(rows for rows in (1, 2, 4, 8) if rows <= ROWS)
# Rows of the gates' gradient that update the weights' gradient at once; more would leave the cache.
GATHER = 128


def lanes(dtype):
    """How many numbers of a type a vector register holds."""
    return VECTOR_BYTES // np.dtype(dtype).itemsize


def _tile(vectors):
    """Return `tile(rows, c, a, b, depth)`: c += a b for a (rows, depth), b (depth, vectors).

    Each matrix is (array, offset, stride, stride), and the array flat memory: from the offset, the
    strides lead to the next row and to the next column; of c and b, a column is a whole vector. It
    is written in LLVM's own language because LLVM, given loops, keeps the sums in memory instead of
    registers, at a third of the speed.
    """

    @intrinsic
    def tile(_, rows, c, a, b, depth):
        def generate(context, builder, signature, args):
            rows_, *matrices, depth_ = args
            number, index = c[0].dtype, depth_.type
            vector = ir.VectorType(context.get_value_type(number), lanes(number.name))
            align = np.dtype(number.name).itemsize

            def memory(kind, matrix):
                array, offset, *strides = cgutils.unpack_tuple(builder, matrix)
                data = context.make_array(kind[0])(context, builder, array).data
                return builder.gep(data, [offset]), *strides

            (out, ci, cv), (left, ai, ak), (right, bk, bv) = map(memory, (c, a, b), matrices)

            def at(pointer, *terms):
                for n, stride in terms:
                    pointer = builder.gep(pointer, [builder.mul(index(n), stride)])
                return builder.bitcast(pointer, vector.as_pointer())

            def multiply(height):
                cells = [(i, v) for i in range(height) for v in range(vectors)]
                starts = [builder.load(at(out, (i, ci), (v, cv)), align=align) for i, v in cells]
                before, loop = builder.block, builder.append_basic_block()
                builder.branch(loop)
                builder.position_at_end(loop)
                k, sums = builder.phi(index), [builder.phi(vector) for _ in cells]
                a_k, b_k = (
                    builder.gep(left, [builder.mul(k, ak)]),
                    builder.gep(right, [builder.mul(k, bk)]),
                )
                columns = [builder.load(at(b_k, (v, bv)), align=align) for v in range(vectors)]
                ends = []
                for i in range(height):
                    scalar = builder.load(builder.gep(a_k, [builder.mul(index(i), ai)]))
                    same = builder.insert_element(vector(ir.Undefined), scalar, ir.IntType(32)(0))
                    same = builder.shuffle_vector(
                        same, same, ir.VectorType(ir.IntType(32), vector.count)(None)
                    )
                    for column in columns:
                        term = builder.fmul(same, column, flags=("contract",))
                        ends.append(builder.fadd(sums[len(ends)], term, flags=("contract",)))
                following = builder.add(k, index(1))
                for phi, start, end in zip(
                    [k, *sums], [index(0), *starts], [following, *ends], strict=True
                ):
                    phi.add_incoming(start, before)
                    phi.add_incoming(end, loop)
                after = builder.append_basic_block()
                builder.cbranch(builder.icmp_signed("<", following, depth_), loop, after)
                builder.position_at_end(after)
                for (i, v), end in zip(cells, ends, strict=True):
                    builder.store(end, at(out, (i, ci), (v, cv)), align=align)

            for height in HEIGHTS:
                with builder.if_then(builder.icmp_signed("==", rows_, rows_.type(height))):
                    multiply(height)
            return context.get_dummy_value()

        return types.void(rows, c, a, b, depth), generate

    return tile


_tile1, _tile2, _tile3 = _tile(1), _tile(2), _tile(3)
# Without "nnan" and "ninf": a NaN in the input must come out as NaN.
_MATHS = {"contract", "arcp", "nsz"}
_OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": _MATHS}


@numba.njit(**_OPTIONS)
def _add_gates(gates, rows, c, a, b, depth):
    """Add a b to c, where the vectors are the same units of 3 or 4 gates."""
    if gates == 3:
        _tile3(rows, c, a, b, depth)
    else:
        _tile2(rows, c, a, b, depth)
        (array, start, stride, gate), (other, begin, step, panel) = c, b
        c, b = (array, start + 2 * gate, stride, gate), (other, begin + 2 * panel, step, panel)
        _tile2(rows, c, a, b, depth)


@numba.njit(**_OPTIONS)
def _add_rows(rows, c, a, a0, b):
    """Add a b to c (rows, n): the sum over the gates of (rows, depth) times (depth, n)."""
    gates, depth, n = b.shape
    width, stride = VECTOR_BYTES // c.itemsize, c.shape[1]
    for gate in range(gates):
        left, b0 = (a, a0 + gate * GATHER * depth, depth, 1), gate * depth * n
        for j in range(0, n - width, 2 * width):
            _tile2(rows, (c, j, stride, width), left, (b, b0 + j, n, width), depth)
        if n // width % 2:
            j = n - width
            _tile1(rows, (c, j, stride, width), left, (b, b0 + j, n, width), depth)


def _tanh(x):
    """Stand in for the function that `_tanh_of` chooses."""


@overload(_tanh, jit_options={"fastmath": _MATHS})
def _tanh_of(x):
    if x == types.float64:
        return lambda x: np.tanh(x)

    # Eigen's rational approximation (Eigen/src/Core/MathFunctionsImpl.h), good to a few units of
    # the last digit up to its limit. Both comparisons are false for a NaN, which therefore stays.
    one, limit = np.float32(1), np.float32(7.90531110763549805)
    p1, p3, p5, p7 = np.float32(
        [4.89352455891786e-03, 6.37261928875436e-04, 1.48572235717979e-05, 5.12229709037114e-08]
    )
    p9, p11, p13 = np.float32([-8.60467152213735e-11, 2.00018790482477e-13, -2.76076847742355e-16])
    q0, q2, q4, q6 = np.float32(
        [4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04, 1.19825839466702e-06]
    )

    def tanh(x):
        s = x * x
        y = x * (p1 + s * (p3 + s * (p5 + s * (p7 + s * (p9 + s * (p11 + s * p13))))))
        y = y / (q0 + s * (q2 + s * (q4 + s * q6)))
        return one if x > limit else -one if x < -limit else y

    return tanh


@numba.njit(**_OPTIONS)
def _gru(H, gates, now, new):
    half = gates.dtype.type(0.5)
    for k in range(len(now)):
        for j in range(H):
            r = half + half * _tanh(half * gates[1, k, j])
            z = half + half * _tanh(half * gates[2, k, j])
            n = _tanh(gates[0, k, j] + r * gates[3, k, j])
            gates[0, k, j], gates[1, k, j], gates[2, k, j] = n, r, z
            new[k, j] = n + z * (now[k, j] - n)


@numba.njit(**_OPTIONS)
def _gru_back(H, gates, now, dh, d_gates, k0):
    one = gates.dtype.type(1)
    for k in range(len(now)):
        d_n, d_r = d_gates[0, k0 + k], d_gates[1, k0 + k]
        d_z, d_s = d_gates[2, k0 + k], d_gates[3, k0 + k]
        for j in range(H):
            n, r, z = gates[0, k, j], gates[1, k, j], gates[2, k, j]
            dn = dh[k, j] * (one - z) * (one - n * n)
            d_n[j], d_s[j] = dn, dn * r
            d_r[j] = dn * gates[3, k, j] * r * (one - r)
            d_z[j] = dh[k, j] * (now[k, j] - n) * z * (one - z)
            dh[k, j] *= z


# In one loop, as above, there are so many arrays that LLVM no longer checks whether they overlap,
# and gives up vectors: of the LSTM's loops, each writes to one.
@numba.njit(**_OPTIONS)
def _lstm(H, gates, now, new):
    half, cell = gates.dtype.type(0.5), now.shape[1] - gates.shape[2]
    for k in range(len(now)):
        i, f, g, o = gates[0, k, :H], gates[1, k, :H], gates[2, k, :H], gates[3, k, :H]
        c, c_new, h_new = now[k, cell:], new[k, cell:], new[k, :H]
        for j in range(H):
            i[j] = half + half * _tanh(half * i[j])
        for j in range(H):
            f[j] = half + half * _tanh(half * f[j])
        for j in range(H):
            g[j] = _tanh(g[j])
        for j in range(H):
            o[j] = half + half * _tanh(half * o[j])
        for j in range(H):
            c_new[j] = f[j] * c[j] + i[j] * g[j]
        for j in range(H):
            h_new[j] = o[j] * _tanh(c_new[j])


@numba.njit(**_OPTIONS)
def _lstm_back(H, gates, now, new, dh, d_gates, k0):
    Hp, one = gates.shape[2], gates.dtype.type(1)
    cell = now.shape[1] - Hp
    for k in range(len(now)):
        i, f, g, o = gates[0, k, :H], gates[1, k, :H], gates[2, k, :H], gates[3, k, :H]
        d_i, d_f = d_gates[0, k0 + k], d_gates[1, k0 + k]
        d_g, d_o = d_gates[2, k0 + k], d_gates[3, k0 + k]
        c, c_new, d, dc = now[k, cell:], new[k, cell:], dh[k, :H], dh[k, Hp:]
        tanh = d_i  # until this is known itself
        for j in range(H):
            tanh[j] = _tanh(c_new[j])
        for j in range(H):
            dc[j] += d[j] * o[j] * (one - tanh[j] * tanh[j])
        for j in range(H):
            d_o[j] = d[j] * tanh[j] * o[j] * (one - o[j])
        for j in range(H):
            d_i[j] = dc[j] * g[j] * i[j] * (one - i[j])
        for j in range(H):
            d_f[j] = dc[j] * c[j] * f[j] * (one - f[j])
        for j in range(H):
            d_g[j] = dc[j] * i[j] * (one - g[j] * g[j])
        for j in range(H):
            dc[j] *= f[j]
        d[:] = 0


def _forward(first, last, x, out, state, gates, w_x, w_h, bias):
    """Take blocks first to last through all steps.

    An LSTM's gates read state and input alike: w_h holds the weights of both, and w_x none.
    """
    (L, B, C), H = x.shape, out.shape[2]
    _, slots, rows, width = state.shape
    kept, Hp, step = gates.shape[1], gates.shape[4], VECTOR_BYTES // state.itemsize
    (_, depth, G, _), size = w_h.shape, rows * Hp
    for block in range(first, last):
        start = block * rows
        used = min(rows, B - start)
        for t in range(L):
            # Without a backward pass two steps of the state and one of the gates are kept.
            g, now = gates[block, t % kept], state[block, t % slots]
            new = state[block, (t + 1) % slots]
            now[:used, Hp : Hp + C] = x[t, start : start + used]
            now[used:, Hp:] = 0
            for gate in range(4):
                for i in range(rows):
                    g[gate, i] = bias[gate]
            for j in range(0, Hp, step):
                if G == 3:
                    w = (w_x, G * C * j, G * step, step)
                    _add_gates(G, rows, (g, j, Hp, size), (now, Hp, width, 1), w, C)
                w = (w_h, G * depth * j, G * step, step)
                c = (g, (4 - G) * size + j, Hp, size)
                _add_gates(G, rows, c, (now, 0, width, 1), w, depth)
            if G == 3:
                _gru(H, g, now, new)
            else:
                _lstm(H, g, now, new)
            # The padding of an infinite input is 0 times infinity, a NaN that would spread.
            new[:, H:Hp] = 0
            out[t, start : start + used] = new[:used, :H]


def _backward(
    first, last, d_out, d_x, d_h, d_gates, d_inputs, d_weight, d_bias, state, gates, w_x, w_h
):
    """Take blocks first to last back through all steps.

    d_h holds the gradient of the last state, and in the end that of the first; of an LSTM, that of
    the cell's state follows in each row.
    """
    (L, B, H), C = d_out.shape, d_x.shape[2]
    _, _, rows, width = state.shape
    Hp, Cp, step = gates.shape[4], d_inputs.shape[1], VECTOR_BYTES // state.itemsize
    steps, size, G = GATHER // rows, GATHER * Hp, w_h.shape[0]
    for block in range(first, last):
        start = block * rows
        used = min(rows, B - start)
        dh = d_h[block]
        for end in range(L, 0, -steps):
            begin = max(end - steps, 0)
            for t in range(end - 1, begin - 1, -1):
                g, h, k = gates[block, t], state[block, t], (t - begin) * rows
                dh[:used, :H] += d_out[t, start : start + used]
                if G == 3:
                    _gru_back(H, g, h, dh, d_gates, k)
                else:
                    _lstm_back(H, g, h, state[block, t + 1], dh, d_gates, k)
                _add_rows(rows, dh, d_gates, (4 - G) * size + k * Hp, w_h)
                if C:
                    d_inputs[:] = 0
                    _add_rows(rows, d_inputs, d_gates, k * Hp, w_x)
                    d_x[t, start : start + used] = d_inputs[:used, :C]
            s, depth = state[block, begin], (end - begin) * rows
            for j in range(0, Hp, step):
                for k in range(0, Hp + Cp, ROWS):
                    d = (d_gates, j + ((4 - G) * size if k < Hp else 0), Hp, size)
                    c = (d_weight, G * Hp * k + j, G * Hp, Hp)
                    _add_gates(G, ROWS, c, (s, k, 1, width), d, depth)
            for gate in range(4):
                for k in range(depth):
                    for j in range(Hp):
                        d_bias[gate, j] += d_gates[gate, k, j]


def _compile(function, dtype, arguments):
    """Compile for one real type; "v" is an array (L, B, n) of any strides, a digit a dense one."""
    real = numba.from_dtype(np.dtype(dtype))
    arrays = [
        types.Array(real, 3, "A") if n == "v" else types.Array(real, int(n), "C") for n in arguments
    ]
    signature = types.void(types.intp, types.intp, *arrays)
    try:
        return numba.njit([signature], cache=True, **_OPTIONS)(function)
    except RuntimeError:  # there is no folder that Numba could cache in
        return numba.njit([signature], **_OPTIONS)(function)


@functools.cache
def forward(dtype):
    """Return the compiled forward kernel for "float32" or "float64"."""
    return _compile(_forward, dtype, "vv45442")


@functools.cache
def backward(dtype):
    """Return the compiled backward kernel for "float32" or "float64"."""
    return _compile(_backward, dtype, "vv332324533")
