import numpy as np
import onnxruntime
import pytest

from skrnn.export.graph import DOUBLE, FLOAT, INT, Graph

SHAPES = [(), ("a",), ("a", "b"), ("a", "b", "c")]


def run(graph, *results, n_axes=1, **inputs):
    for k, result in enumerate(results):
        graph.output(f"result{k}", result, SHAPES[n_axes])
    session = onnxruntime.InferenceSession(graph.model({}).SerializeToString())
    return session.run(None, inputs)


def test_quotient_and_remainder_of_integers_are_those_of_python():
    graph, values = Graph(), np.arange(-9, 10)
    x = graph.input("x", INT, ("n",))
    quotient, remainder = run(graph, x // 4, x % 4, x=values)
    np.testing.assert_array_equal(quotient, values // 4)
    np.testing.assert_array_equal(remainder, values % 4)


@pytest.mark.parametrize("shape", [(64, 64), (55, 77)])  # an even and an odd number of elements
@pytest.mark.parametrize("bits", [20, 24])
@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_packed_constants_lose_no_more_than_their_last_bit_of_the_largest(size, bits, shape):
    values = (size * np.random.default_rng(0).normal(size=shape)).astype(FLOAT)
    graph = Graph()
    (found,) = run(graph, graph.constant(values, bits=bits) + 0, n_axes=2)
    # With 24 bits that is the accuracy of float32.
    assert np.abs(found - values).max() <= np.abs(values).max() * 2.0 ** (1 - bits)
    assert len(graph.model({}).SerializeToString()) < bits / 8 * values.size + 1_000


def test_packed_integers_are_exact():
    values = np.concatenate([np.arange(2_000), [2**40, -1]])
    graph = Graph()
    (found,) = run(graph, graph.constant(values) + 0)
    np.testing.assert_array_equal(found, values)


def test_equal_constants_are_stored_once():
    graph = Graph()
    names = [graph.constant(np.full(n, 2.0)).name for n in (3, 3, 4)]
    assert names[0] == names[1] != names[2]


def test_loop_hands_its_states_on_and_stacks_what_each_step_gives():
    graph = Graph()
    x, n = graph.input("x", DOUBLE, ("n",)), graph.input("n", INT, (1,))
    (last,), (each,) = graph.loop([x], lambda i, s: ([s * 2], None, [s]), n_steps=n)
    found = run(graph, last, each.reshape(-1), x=np.array([1.0, 3.0]), n=np.array([3]))
    np.testing.assert_array_equal(found[0], [8, 24])
    np.testing.assert_array_equal(found[1], [1, 3, 2, 6, 4, 12])


def test_loop_ends_when_it_does_not_go_on():
    graph = Graph()
    x = graph.input("x", DOUBLE, (1,))
    (last,), _ = graph.loop([x], lambda i, s: ([s * 2], (s < 10).any(), []), goes_on=(x < 10).any())
    assert run(graph, last, x=np.array([1.0]))[0] == 32
