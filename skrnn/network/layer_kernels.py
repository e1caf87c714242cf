"""Numba kernels that compute GRU and LSTM layers over whole sequences, forward and backward.

A kernel takes blocks of a few batch rows through all time steps, so threads are synchronised only
at the end of the sequence. All memory is padded: the C inputs and the H hidden units to multiples
of a vector and of a tile (Cp and Hp), the batch to a multiple of a block. The memory of one step of
one block is contiguous:

    state (blocks, L + 1, rows, Hp + Cp)    the state before the step and the input of the step;
                                            in an LSTM, Hp more columns for the cell state
    gates (blocks, L, SLOTS, rows, Hp)      GRU: n, r, z, s; LSTM: i, f, g, o

G is the number of gates of the weights: 3 in a GRU and 4 in an LSTM. In a GRU, the candidate is
n = tanh(a + r s): a is computed from the input and s from the state. The slot of n first holds a.
So the input contributes to the slots n, r, z and the state to r, z, s; both are three neighbouring
slots, and those of the state start at slot SLOTS - G.
"""

import functools

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, codegen, types
from numba.extending import intrinsic, overload

_FEATURES = (numba.config.CPU_FEATURES or codegen.get_host_cpu_features()).split(",")
VECTOR_BYTES = 64 if "+avx512f" in _FEATURES else 32 if "+avx2" in _FEATURES else 16
# Slots of the gates in memory, see above.
SLOTS = 4
# Rows of a tile, which holds up to ROWS x 3 vectors of sums in registers. With the operands these
# are 28 of the 32 registers of AVX-512 and NEON, or all 16 of AVX2.
ROWS = 8 if {"+avx512f", "+neon"}.intersection(_FEATURES) else 4
HEIGHTS = tuple(rows for rows in (1, 2, 4, 8) if rows <= ROWS)
# Rows of the gates' gradient that are collected before they are added to the gradient of the
# weights; with many more they would no longer fit in the cache.
GATHER = 128


def lanes(dtype):
    """Return how many numbers of a type a vector register holds."""
    return VECTOR_BYTES // np.dtype(dtype).itemsize


def _tile(vectors):
    """Return `tile(rows, c, a, b, depth)`: c += a b for a (rows, depth), b (depth, vectors).

    Each matrix is (array, offset, row stride, column stride): numbers into the memory of the array,
    seen as flat. A column of c and b is a whole vector. The code is LLVM's intermediate language,
    because LLVM keeps the sums of a loop written in Python in memory instead of registers.
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

            def vector_at(pointer, *terms):
                for n, stride in terms:
                    pointer = builder.gep(pointer, [builder.mul(index(n), stride)])
                return builder.bitcast(pointer, vector.as_pointer())

            def multiply(height):
                cells = [(i, v) for i in range(height) for v in range(vectors)]
                # From zero, so that the rounding of long sums of small terms stays small.
                starts = [vector([0.0] * vector.count)] * len(cells)
                entry, loop = builder.block, builder.append_basic_block()
                builder.branch(loop)
                builder.position_at_end(loop)
                k, sums = builder.phi(index), [builder.phi(vector) for _ in cells]
                a_k, b_k = (
                    builder.gep(left, [builder.mul(k, ak)]),
                    builder.gep(right, [builder.mul(k, bk)]),
                )
                columns = [
                    builder.load(vector_at(b_k, (v, bv)), align=align) for v in range(vectors)
                ]
                ends = []
                for i in range(height):
                    scalar = builder.load(builder.gep(a_k, [builder.mul(index(i), ai)]))
                    repeated = builder.insert_element(
                        vector(ir.Undefined), scalar, ir.IntType(32)(0)
                    )
                    repeated = builder.shuffle_vector(
                        repeated, repeated, ir.VectorType(ir.IntType(32), vector.count)(None)
                    )
                    for column in columns:
                        term = builder.fmul(repeated, column, flags=("contract",))
                        ends.append(builder.fadd(sums[len(ends)], term, flags=("contract",)))
                next_k = builder.add(k, index(1))
                for phi, start, end in zip(
                    [k, *sums], [index(0), *starts], [next_k, *ends], strict=True
                ):
                    phi.add_incoming(start, entry)
                    phi.add_incoming(end, loop)
                done = builder.append_basic_block()
                builder.cbranch(builder.icmp_signed("<", next_k, depth_), loop, done)
                builder.position_at_end(done)
                for (i, v), end in zip(cells, ends, strict=True):
                    place = vector_at(out, (i, ci), (v, cv))
                    before = builder.load(place, align=align)
                    builder.store(builder.fadd(before, end), place, align=align)

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
    """Add a b to c, whose columns are one vector of units for each of 3 or 4 gates."""
    if gates == 3:
        _tile3(rows, c, a, b, depth)
    else:
        _tile2(rows, c, a, b, depth)
        (c_array, c0, c_row, c_column), (b_array, b0, b_row, b_column) = c, b
        c = (c_array, c0 + 2 * c_column, c_row, c_column)
        b = (b_array, b0 + 2 * b_column, b_row, b_column)
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
    """Hyperbolic tangent; `_tanh_of` has the code for each type."""


@overload(_tanh, jit_options={"fastmath": _MATHS})
def _tanh_of(x):
    if x == types.float64:
        return lambda x: np.tanh(x)

    # Eigen's rational approximation (Eigen/src/Core/MathFunctionsImpl.h), with an error of a few
    # units in the last place. Beyond the limit the result is rounded to 1 or -1. A NaN stays a NaN,
    # because both comparisons are then false.
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
def _gru(H, gates, old, new):
    half = gates.dtype.type(0.5)
    for k in range(len(old)):
        for j in range(H):
            r = half + half * _tanh(half * gates[1, k, j])
            z = half + half * _tanh(half * gates[2, k, j])
            n = _tanh(gates[0, k, j] + r * gates[3, k, j])
            gates[0, k, j], gates[1, k, j], gates[2, k, j] = n, r, z
            new[k, j] = n + z * (old[k, j] - n)


@numba.njit(**_OPTIONS)
def _gru_back(H, gates, old, dh, d_gates, k0):
    one = gates.dtype.type(1)
    for k in range(len(old)):
        d_n, d_r = d_gates[0, k0 + k], d_gates[1, k0 + k]
        d_z, d_s = d_gates[2, k0 + k], d_gates[3, k0 + k]
        for j in range(H):
            n, r, z = gates[0, k, j], gates[1, k, j], gates[2, k, j]
            dn = dh[k, j] * (one - z) * (one - n * n)
            d_n[j], d_s[j] = dn, dn * r
            d_r[j] = dn * gates[3, k, j] * r * (one - r)
            d_z[j] = dh[k, j] * (old[k, j] - n) * z * (one - z)
            dh[k, j] *= z


# Each loop of the LSTM writes to one array. In a single loop, as in the GRU, LLVM would have to
# check too many arrays for overlap, and would not vectorise it.
@numba.njit(**_OPTIONS)
def _lstm(H, gates, old, new):
    half, cell = gates.dtype.type(0.5), old.shape[1] - gates.shape[2]
    for k in range(len(old)):
        i, f, g, o = gates[0, k, :H], gates[1, k, :H], gates[2, k, :H], gates[3, k, :H]
        c, c_new, h_new = old[k, cell:], new[k, cell:], new[k, :H]
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
def _lstm_back(H, gates, old, new, dh, d_gates, k0):
    Hp, one = gates.shape[2], gates.dtype.type(1)
    cell = old.shape[1] - Hp
    for k in range(len(old)):
        i, f, g, o = gates[0, k, :H], gates[1, k, :H], gates[2, k, :H], gates[3, k, :H]
        d_i, d_f = d_gates[0, k0 + k], d_gates[1, k0 + k]
        d_g, d_o = d_gates[2, k0 + k], d_gates[3, k0 + k]
        c, c_new, d, dc = old[k, cell:], new[k, cell:], dh[k, :H], dh[k, Hp:]
        tanh = d_i  # the memory is free until the gradient of i is known
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


def _forward(first, last, x, h, out, state, gates, w_x, w_h, bias):
    """Compute all steps of blocks first to last - 1.

    h (1, B, H), in an LSTM with the cell state (2, B, H), holds the states before the first step
    and then those after the last. In an LSTM, w_h holds the weights of state and input together,
    and w_x is empty.

    Without a backward pass, one block after the other uses the same memory, which holds two steps
    of the state and one of the gates.
    """
    (L, B, C), H = x.shape, out.shape[2]
    _, slots, rows, width = state.shape
    kept, Hp, step = gates.shape[1], gates.shape[4], VECTOR_BYTES // state.itemsize
    (_, depth, G, _), size = w_h.shape, rows * Hp
    for block in range(first, last):
        start = block * rows
        used = min(rows, B - start)
        states, of_block = state[block % len(state)], gates[block % len(gates)]
        for part in range(len(h)):
            column = part * (width - Hp)
            states[0, :, column : column + Hp] = 0
            states[0, :used, column : column + H] = h[part, start : start + used]
        for t in range(L):
            g, old, new = of_block[t % kept], states[t % slots], states[(t + 1) % slots]
            old[:used, Hp : Hp + C] = x[t, start : start + used]
            old[used:, Hp:] = 0
            for gate in range(SLOTS):
                for i in range(rows):
                    g[gate, i] = bias[gate]
            for j in range(0, Hp, step):
                if G == 3:
                    w = (w_x, G * C * j, G * step, step)
                    _add_gates(G, rows, (g, j, Hp, size), (old, Hp, width, 1), w, C)
                w = (w_h, G * depth * j, G * step, step)
                c = (g, (SLOTS - G) * size + j, Hp, size)
                _add_gates(G, rows, c, (old, 0, width, 1), w, depth)
            if G == 3:
                _gru(H, g, old, new)
            else:
                _lstm(H, g, old, new)
            # With an infinite input the padding is 0 times infinity: a NaN that would spread.
            new[:, H:Hp] = 0
            out[t, start : start + used] = new[:used, :H]
        for part in range(len(h)):
            column = part * (width - Hp)
            h[part, start : start + used] = states[L % slots, :used, column : column + H]


def _backward(
    first, last, d_out, d_x, d_h, d_gates, d_inputs, d_weight, d_bias, state, gates, w_x, w_h
):
    """Compute the gradients of all steps of blocks first to last - 1, from the last step back.

    d_h is the gradient of the last state and is overwritten by that of the first. In an LSTM, the
    gradient of the cell state follows in each row.
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
                _add_rows(rows, dh, d_gates, (SLOTS - G) * size + k * Hp, w_h)
                if C:
                    d_inputs[:] = 0
                    _add_rows(rows, d_inputs, d_gates, k * Hp, w_x)
                    d_x[t, start : start + used] = d_inputs[:used, :C]
            s, depth = state[block, begin], (end - begin) * rows
            for j in range(0, Hp, step):
                for k in range(0, Hp + Cp, ROWS):
                    d = (d_gates, j + ((SLOTS - G) * size if k < Hp else 0), Hp, size)
                    c = (d_weight, G * Hp * k + j, G * Hp, Hp)
                    _add_gates(G, ROWS, c, (s, k, 1, width), d, depth)
            for gate in range(SLOTS):
                for k in range(depth):
                    for j in range(Hp):
                        d_bias[gate, j] += d_gates[gate, k, j]


_forward_of_one, _backward_of_one = (
    numba.njit(**_OPTIONS)(_forward),
    numba.njit(**_OPTIONS)(_backward),
)


@numba.njit(**_OPTIONS)
def _rolled(gate, w_h):
    """Number of a gate in the slots of the input; that of the state is its own, see above."""
    gates = w_h.shape[0] // w_h.shape[1]
    return (gate + SLOTS - gates) % gates


def _pack_each(first, last, w_x, w_h, b_x, b_h, panels_x, panels_h, bias):
    """Bring weights and biases of models first to last - 1 from torch's order into the kernel's.

    The arrays to fill must be zero.
    """
    H, Hp, step = w_h.shape[2], bias.shape[2], panels_h.shape[4]
    G = w_h.shape[1] // H
    for m in range(first, last):
        for gate in range(G):
            slot = _rolled(gate, w_h[m])
            for j in range(H):
                row, panel, lane = gate * H + j, j // step, j % step
                if G == 3:
                    panels_x[m, panel, :, slot, lane] = w_x[m, row]
                else:
                    panels_h[m, panel, Hp:, slot, lane] = w_x[m, row]
                panels_h[m, panel, :H, gate, lane] = w_h[m, row]
                bias[m, slot, j] += b_x[m, row]
                bias[m, SLOTS - G + gate, j] += b_h[m, row]


def _forward_each(first, last, x, h, out, state, gates, panels_x, panels_h, bias):
    """Compute the layers of models first to last - 1, each with weights of its own.

    The arrays are those of `_forward` with a leading axis of models.
    """
    for m in range(first, last):
        blocks = -(-h.shape[2] // state.shape[3])
        _forward_of_one(
            0, blocks, x[m], h[m], out[m], state[m], gates[m], panels_x[m], panels_h[m], bias[m]
        )


def _backward_each(
    first, last, d_out, d_x, d_h, d_w_x, d_w_h, d_b_x, d_b_h, state, gates, w_x, w_h
):
    """Compute the gradients of models first to last - 1."""
    H, C, Hp, (blocks, _, rows) = w_h.shape[2], w_x.shape[2], gates.shape[5], state.shape[1:4]
    G = w_h.shape[1] // H
    Cp = state.shape[4] - d_h.shape[3]
    d_gates = np.zeros((SLOTS, GATHER, Hp), dtype=state.dtype)
    d_inputs = np.zeros((rows, Cp), dtype=state.dtype)
    d_weight = np.empty((Hp + Cp, G, Hp), dtype=state.dtype)
    d_bias = np.empty((SLOTS, Hp), dtype=state.dtype)
    weight_x = np.zeros((G, Hp, Cp), dtype=state.dtype)
    weight_h = np.zeros((G, Hp, Hp), dtype=state.dtype)
    for m in range(first, last):
        for gate in range(G):
            rows_of_gate = slice(gate * H, (gate + 1) * H)
            weight_x[_rolled(gate, w_h[m]), :H, :C] = w_x[m, rows_of_gate]
            weight_h[gate, :H, :H] = w_h[m, rows_of_gate]
        d_weight[:], d_bias[:] = 0, 0
        _backward_of_one(
            0, blocks, d_out[m], d_x[m], d_h[m], d_gates, d_inputs, d_weight, d_bias, state[m],
            gates[m], weight_x, weight_h,
        )  # fmt: skip
        for gate in range(G):
            slot, rows_of_gate = _rolled(gate, w_h[m]), slice(gate * H, (gate + 1) * H)
            d_w_x[m, rows_of_gate] = d_weight[Hp : Hp + C, slot, :H].T
            d_w_h[m, rows_of_gate] = d_weight[:H, gate, :H].T
            d_b_x[m, rows_of_gate] = d_bias[slot, :H]
            d_b_h[m, rows_of_gate] = d_bias[SLOTS - G + gate, :H]


def _compile(function, dtype, arguments):
    """Compile for one type of numbers and arrays of the given kinds, one character each.

    "v" is an array with 3 axes and any strides, "w" one with 4; a digit is a contiguous array with
    so many axes.
    """
    real, strided = numba.from_dtype(np.dtype(dtype)), {"v": 3, "w": 4}
    arrays = [
        types.Array(real, strided[kind], "A")
        if kind in strided
        else types.Array(real, int(kind), "C")
        for kind in arguments
    ]
    signature = types.void(types.intp, types.intp, *arrays)
    try:
        return numba.njit([signature], cache=True, **_OPTIONS)(function)
    except RuntimeError:  # Numba finds no folder in which it may store the result
        return numba.njit([signature], **_OPTIONS)(function)


@functools.cache
def forward(dtype):
    """Return the compiled forward kernel for "float32" or "float64"."""
    return _compile(_forward, dtype, "v3v45442")


@functools.cache
def backward(dtype):
    """Return the compiled backward kernel for "float32" or "float64"."""
    return _compile(_backward, dtype, "vv332324533")


@functools.cache
def forward_each(dtype):
    """Return the forward kernel of several models for "float32" or "float64"."""
    return _compile(_forward_each, dtype, "w4w56553")


@functools.cache
def pack_each(dtype):
    """Return the compiled `_pack_each` for "float32" or "float64"."""
    return _compile(_pack_each, dtype, "3322553")


@functools.cache
def backward_each(dtype):
    """Return the backward kernel of several models for "float32" or "float64"."""
    return _compile(_backward_each, dtype, "ww43322" + "5633")
