"""Graph: an ONNX graph, written operator by operator as arithmetic of its tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

# The first version of the operators in which ScatterElements takes a maximum, and the version of
# the file format that came with it: runtimes of the last three years read both.
OPSET, IR_VERSION = 18, 8
INT, FLOAT, DOUBLE, BOOL = np.int64, np.float32, np.float64, np.bool_
# Constants of so many elements and more are stored in fewer bits: whole numbers in as few as hold
# them, others in 24 or 20, of which the first 16 stand by themselves.
PACKED_ELEMENTS = 1_024
HIGH_BITS = 16


class Graph:
    """An ONNX graph under construction: inputs, constants and nodes, in the order of computation.

    Operators are those of `Tensor`, which read as in numpy. Whatever is computed while the body of
    a loop is written becomes part of that body; constants are always those of the whole graph.
    """

    def __init__(self) -> None:
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._constants: dict[tuple, onnx.TensorProto] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._unpacking: list[onnx.NodeProto] = []
        self._packed: dict[tuple, Tensor] = {}
        self._n_names = 0

    def input(self, name: str, dtype: Any, shape: Sequence[int | str]) -> Tensor:
        """A tensor that the caller gives; axes of any length have names."""
        self._inputs.append(_described(name, dtype, shape))
        return Tensor(self, name, np.dtype(dtype))

    def output(self, name: str, tensor: Tensor, shape: Sequence[int | str]) -> None:
        """Let the graph return a tensor under a name."""
        self._nodes.append(helper.make_node("Identity", [tensor.name], [name]))
        self._outputs.append(_described(name, tensor.dtype, shape))

    def constant(self, value: Any, dtype: Any = None, bits: int = 24) -> Tensor:
        """A constant; equal ones are stored once.

        A large one of numbers that are not whole has 24 bits each: to the largest the error is
        that of float32. Where few of its numbers enter one forecast, 20 are enough.
        """
        array = np.asarray(value, dtype=dtype)
        if array.size < PACKED_ELEMENTS or array.dtype not in (FLOAT, INT):
            return self._stored(array)
        key = (array.dtype.str, array.shape, array.tobytes(), bits)
        if key not in self._packed:
            self._packed[key] = self._unpacked(array, bits)
        return self._packed[key]

    def _stored(self, array: np.ndarray) -> Tensor:
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = numpy_helper.from_array(array, self._name())
        return Tensor(self, self._constants[key].name, array.dtype)

    def _unpacked(self, array: np.ndarray, bits: int) -> Tensor:
        """A constant as smaller whole numbers, which a runtime computes once, when it starts.

        Numbers that are not whole become multiples of the largest, divided by 2**(bits - 1).
        """

        def stored(whole: np.ndarray) -> Tensor:
            kinds = (np.uint8, np.int16, np.int32, np.int64)
            kind = next(k for k in kinds if np.array_equal(whole.astype(k), whole))
            return self._stored(whole.astype(kind)).cast(INT)

        # Before all other nodes: the body of a loop may be under construction.
        outer, self._nodes = self._nodes, self._unpacking
        if array.dtype == INT:
            result = stored(array)
        else:
            unit = max(np.abs(array).max() / (2 ** (bits - 1) - 1), np.finfo(FLOAT).tiny)
            whole = np.rint(array / np.float64(unit)).astype(INT)
            step = 2 ** (bits - HIGH_BITS)
            high, rest = stored(whole // step), whole % step
            if step == 256:
                low = stored(rest)
            else:  # two in a byte: those of the first half of the numbers, and of the second
                pairs = np.resize(rest, (2, (rest.size + 1) // 2))
                pair = stored(pairs[0] * step + pairs[1])
                second = pair % step
                low = concat([(pair - second) // step, second], 0)
                low = low.part(0, rest.size, 0).reshape(*array.shape)
            result = (high * step + low).cast(FLOAT) * FLOAT(unit)
        self._nodes = outer
        return result

    def op(
        self, kind: str, *inputs: Any, dtype: Any = None, n_outputs: int = 1, **attributes: Any
    ) -> Any:
        """The result of an ONNX operator, or a tuple of its results.

        Parameters
        ----------
        kind : str
            Name of the operator.
        *inputs : Tensor, array, number or None
            None for an optional input that is left out. Arrays become constants.
        dtype : dtype, optional
            Type of the results; that of the first input by default.
        n_outputs : int, default=1
        **attributes
            Attributes of the operator.
        """
        tensors = [None if x is None else self._tensor(x) for x in inputs]
        if dtype is None:
            dtype = next(x.dtype for x in tensors if x is not None)
        names = [self._name() for _ in range(n_outputs)]
        given = ["" if x is None else x.name for x in tensors]
        self._nodes.append(helper.make_node(kind, given, names, **attributes))
        results = tuple(Tensor(self, name, np.dtype(dtype)) for name in names)
        return results[0] if n_outputs == 1 else results

    def loop(
        self,
        states: Sequence[Tensor],
        body: Callable[..., tuple[Sequence[Tensor], Tensor | None, Sequence[Tensor]]],
        n_steps: Tensor | None = None,
        goes_on: Tensor | None = None,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Repeat a body, which gets the number of the step and the states.

        Parameters
        ----------
        states : sequence of Tensor
            What the first step gets.
        body : callable
            From (step, *states) to the next states, whether to go on (None for always), and
            what each step gives.
        n_steps : Tensor, optional
            Number of steps; without it, the loop ends when it does not go on.
        goes_on : Tensor, optional
            Whether to take a first step.

        Returns
        -------
        states, given : list of Tensor
            The last states; what each step gave, stacked along a new first axis.
        """
        outer, self._nodes = self._nodes, []
        step, unused = (Tensor(self, self._name(), np.dtype(d)) for d in (INT, BOOL))
        inner = [Tensor(self, self._name(), state.dtype) for state in states]
        following, on, given = body(step, *inner)
        on = self.op("Identity", unused if on is None else on)
        # What a body returns must be made in it.
        results = [self.op("Identity", x) for x in (*following, *given)]
        described = [_described(step.name, INT, ()), _described(unused.name, BOOL, ())]
        described += [_described(x.name, x.dtype, None) for x in inner]
        body_graph = helper.make_graph(
            self._nodes,
            self._name(),
            described,
            [_described(x.name, x.dtype, None) for x in (on, *results)],
        )
        self._nodes = outer
        names = [self._name() for _ in results]
        limit = "" if n_steps is None else n_steps.name
        condition = "" if goes_on is None else goes_on.name
        start = [limit, condition, *(state.name for state in states)]
        self._nodes.append(helper.make_node("Loop", start, names, body=body_graph))
        made = [Tensor(self, name, x.dtype) for name, x in zip(names, results, strict=True)]
        return made[: len(states)], made[len(states) :]

    def model(self, metadata: dict[str, str]) -> onnx.ModelProto:
        """The whole graph as an ONNX model, checked for form."""
        graph = helper.make_graph(
            [*self._unpacking, *self._nodes],
            "forecast",
            self._inputs,
            self._outputs,
            list(self._constants.values()),
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="skrnn",
        )
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model)
        return model

    def _tensor(self, value: Any) -> Tensor:
        return value if isinstance(value, Tensor) else self.constant(value)

    def _name(self) -> str:
        self._n_names += 1
        return f"t{self._n_names}"


class Tensor:
    """A tensor of a graph; what is computed from it becomes a node of the graph.

    Numbers and arrays in arithmetic get its type.
    """

    def __init__(self, graph: Graph, name: str, dtype: np.dtype):
        self.graph, self.name, self.dtype = graph, name, dtype

    def _binary(self, kind: str, one: Any, other: Any, dtype: Any = None) -> Tensor:
        pair = [x if isinstance(x, Tensor) else np.asarray(x, self.dtype) for x in (one, other)]
        return self.graph.op(kind, *pair, dtype=dtype or self.dtype)

    def __add__(self, other: Any) -> Tensor:
        return self._binary("Add", self, other)

    def __sub__(self, other: Any) -> Tensor:
        return self._binary("Sub", self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return self._binary("Sub", other, self)

    def __mul__(self, other: Any) -> Tensor:
        return self._binary("Mul", self, other)

    def __truediv__(self, other: Any) -> Tensor:
        return self._binary("Div", self, other)

    def __mod__(self, other: Any) -> Tensor:
        """Remainder with the sign of the divisor, as in Python."""
        return self._binary("Mod", self, other)

    def __floordiv__(self, other: Any) -> Tensor:
        """Quotient of integers rounded down, as in Python; ONNX rounds towards zero."""
        return self._binary("Div", self - self % other, other)

    def __ge__(self, other: Any) -> Tensor:
        return self._binary("GreaterOrEqual", self, other, BOOL)

    def __gt__(self, other: Any) -> Tensor:
        return self._binary("Greater", self, other, BOOL)

    def __lt__(self, other: Any) -> Tensor:
        return self._binary("Less", self, other, BOOL)

    def equals(self, other: Any) -> Tensor:
        """Where it is equal to another."""
        return self._binary("Equal", self, other, BOOL)

    def __and__(self, other: Tensor) -> Tensor:
        return self.graph.op("And", self, other)

    def __or__(self, other: Tensor) -> Tensor:
        return self.graph.op("Or", self, other)

    def __invert__(self) -> Tensor:
        return self.graph.op("Not", self)

    def minimum(self, other: Any) -> Tensor:
        """The smaller of both."""
        return self._binary("Min", self, other)

    def maximum(self, other: Any) -> Tensor:
        """The larger of both."""
        return self._binary("Max", self, other)

    def where(self, condition: Tensor, other: Any) -> Tensor:
        """Itself where a condition holds, elsewhere another."""
        other = other if isinstance(other, Tensor) else np.asarray(other, self.dtype)
        return self.graph.op("Where", condition, self, other, dtype=self.dtype)

    def cast(self, dtype: Any) -> Tensor:
        """The same in another type."""
        dtype = np.dtype(dtype)
        if dtype == self.dtype:
            return self
        to = helper.np_dtype_to_tensor_dtype(dtype)
        return self.graph.op("Cast", self, to=to, dtype=dtype)

    def is_nan(self) -> Tensor:
        """Where it is NaN."""
        return self.graph.op("IsNaN", self, dtype=BOOL)

    def sum(self, *axes: int, keepdims: bool = False) -> Tensor:
        """Sum over axes."""
        return self._reduced("ReduceSum", axes, keepdims)

    def max(self, *axes: int, keepdims: bool = False) -> Tensor:
        """Largest over axes."""
        return self._reduced("ReduceMax", axes, keepdims)

    def min(self, *axes: int, keepdims: bool = False) -> Tensor:
        """Smallest over axes."""
        return self._reduced("ReduceMin", axes, keepdims)

    def any(self, *axes: int, keepdims: bool = False) -> Tensor:
        """Whether one is true, over axes."""
        return self.cast(INT).max(*axes, keepdims=keepdims) > 0

    def _reduced(self, kind: str, axes: Sequence[int], keepdims: bool) -> Tensor:
        axes_given = np.array(axes, dtype=INT) if axes else None
        return self.graph.op(kind, self, axes_given, keepdims=int(keepdims))

    def shape(self, axis: int) -> Tensor:
        """Length of an axis, shape (1,)."""
        return self.graph.op("Shape", self, start=axis, end=axis + 1, dtype=INT)

    def reshape(self, *shape: int) -> Tensor:
        """Another shape; 0 keeps an axis, -1 is what is left."""
        return self.graph.op("Reshape", self, np.array(shape, dtype=INT))

    def expand(self, *shape: int | Tensor) -> Tensor:
        """Broadcast to a shape of numbers and lengths (1,); 1 keeps an axis."""
        parts = [n if isinstance(n, Tensor) else self.graph.constant([n], INT) for n in shape]
        return self.graph.op("Expand", self, concat(parts, 0))

    def unsqueeze(self, *axes: int) -> Tensor:
        """Add axes of length 1."""
        return self.graph.op("Unsqueeze", self, np.array(axes, dtype=INT))

    def squeeze(self, *axes: int) -> Tensor:
        """Drop axes of length 1."""
        return self.graph.op("Squeeze", self, np.array(axes, dtype=INT))

    def transpose(self, *axes: int) -> Tensor:
        """The axes in another order."""
        return self.graph.op("Transpose", self, perm=list(axes))

    def take(self, indices: Any, axis: int) -> Tensor:
        """Entries of an axis by number; one beyond its end is an error of the runtime."""
        if not isinstance(indices, Tensor):
            indices = np.asarray(indices, dtype=INT)
        return self.graph.op("Gather", self, indices, axis=axis)

    def part(self, start: int | Tensor, stop: int | Tensor, axis: int) -> Tensor:
        """Entries ``start`` to ``stop`` (excluded) of an axis; numbers, or tensors (1,)."""
        ends = [n if isinstance(n, Tensor) else np.array([n], INT) for n in (start, stop)]
        return self.graph.op("Slice", self, *ends, np.array([axis], INT))

    def take_rows(self, rows: Tensor) -> Tensor:
        """Rows (S, ...) of each series from (S, R, ...), both with the same first axis."""
        return self.graph.op("GatherND", self, rows.unsqueeze(-1), batch_dims=1)

    def take_along(self, indices: Tensor, axis: int) -> Tensor:
        """Entries of an axis by number, with numbers for every place."""
        return self.graph.op("GatherElements", self, indices, axis=axis)


def concat(tensors: Sequence[Tensor], axis: int) -> Tensor:
    """Tensors one after another along an axis."""
    return tensors[0] if len(tensors) == 1 else tensors[0].graph.op("Concat", *tensors, axis=axis)


def _described(name: str, dtype: Any, shape: Sequence[int | str] | None) -> onnx.ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_tensor_value_info(name, kind, shape)
