"""Random streams of one training, and torch's own modules drawing from them."""

import threading

import numpy as np
import pytest
import torch
from torch import nn

from skrnn.network.layers import GRU, LSTM
from skrnn.network.randomness import SEED_BOUND, RandomStreams, drawing_from

CPU, META = torch.device("cpu"), torch.device("meta")
MODULES = {
    "GRU": lambda: nn.GRU(3, 5, 2),
    "LSTM": lambda: nn.LSTM(3, 5, 2),
    "RNN": lambda: nn.RNN(3, 5),
    "skrnn GRU": lambda: GRU(3, 5),
    "skrnn LSTM": lambda: LSTM(3, 5),
    "Linear": lambda: nn.Linear(3, 5),
    "Embedding": lambda: nn.Embedding(3, 5),
}


def generator(seed):
    return torch.Generator().manual_seed(seed)


def global_states():
    return np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


def numbers(streams):
    """Some of every stream."""
    draws = [torch.rand(3, generator=g) for g in (streams.weights, streams.sampling(CPU))]
    return [*streams.numpy.random(3), *torch.cat(draws).tolist()]


# ------------------------------------------------------------------------- RandomStreams


@pytest.mark.parametrize("random_state", [None, 0, 7, np.random.RandomState(0)])
def test_streams_leave_the_global_generators_as_they_were(random_state):
    before = global_states()
    numbers(RandomStreams.of(random_state))
    assert global_states() == before


def test_equal_seeds_give_equal_numbers():
    assert numbers(RandomStreams.of(3)) == numbers(RandomStreams.of(3))
    assert numbers(RandomStreams.of(3)) != numbers(RandomStreams.of(4))
    assert RandomStreams.of(np.random.RandomState(3)).seed == RandomStreams.of(3).seed


def test_seed_is_a_draw_of_the_random_state():
    assert RandomStreams.of(5).seed == np.random.RandomState(5).randint(SEED_BOUND - 1)
    assert RandomStreams(5).seed == 5


def test_random_state_advances_from_one_training_to_the_next():
    random_state = np.random.RandomState(0)
    assert RandomStreams.of(random_state).seed != RandomStreams.of(random_state).seed


def test_streams_do_not_depend_on_the_global_generators():
    drawn = []
    for seed in (1, 2):
        np.random.seed(seed)
        torch.manual_seed(seed)
        drawn.append(numbers(RandomStreams.of(5)))
    assert drawn[0] == drawn[1]


def test_none_gives_other_seeds_though_the_global_generators_repeat():
    seeds = []
    for _ in range(2):
        np.random.seed(0)
        torch.manual_seed(0)
        seeds.append(RandomStreams.of(None).seed)
    assert seeds[0] != seeds[1]


def test_streams_of_a_seed_are_those_of_numpy_and_torch():
    streams = RandomStreams(11)
    np.testing.assert_array_equal(streams.numpy.random(4), np.random.default_rng(11).random(4))
    assert torch.equal(
        torch.rand(4, generator=streams.weights), torch.rand(4, generator=generator(11))
    )
    seed = int(np.random.default_rng(11).integers(SEED_BOUND))
    assert torch.equal(
        torch.rand(4, generator=streams.sampling(CPU)), torch.rand(4, generator=generator(seed))
    )


@pytest.mark.parametrize("device", [CPU, META])
def test_dropout_on_the_cpu_goes_on_where_the_weights_end(device):
    streams = RandomStreams(0)
    assert streams.dropout(device) is streams.weights


@pytest.mark.parametrize("device", [CPU, META])
def test_sampling_starts_anew_at_every_call(device):
    streams = RandomStreams(0)
    first, second = streams.sampling(device), streams.sampling(device)
    assert first is not second
    assert torch.equal(torch.rand(3, generator=first), torch.rand(3, generator=second))


def test_state_dict_resumes_every_stream():
    streams = RandomStreams(1)
    numbers(streams)
    state = streams.state_dict()
    expected = numbers(streams)
    resumed = RandomStreams(2)
    resumed.load_state_dict(state)
    assert resumed.seed == 1
    assert numbers(resumed) == expected
    streams.load_state_dict(state)
    assert numbers(streams) == expected


def test_state_of_a_device_that_this_machine_lacks_is_kept():
    state = RandomStreams(1).state_dict()
    state["dropout"]["cuda:99"] = generator(7).get_state()
    resumed = RandomStreams(2)
    resumed.load_state_dict(state)
    assert torch.equal(resumed.state_dict()["dropout"]["cuda:99"], generator(7).get_state())


@pytest.fixture
def cpu_plays_cuda(monkeypatch):
    """Generators of a CUDA device on a machine that may have none."""
    make = torch.Generator
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch, "Generator", lambda device="cpu": make())


@pytest.mark.usefixtures("cpu_plays_cuda")
def test_every_other_device_has_one_generator_for_dropout():
    streams = RandomStreams(4)
    first = streams.dropout(torch.device("cuda"))
    assert first is streams.dropout(torch.device("cuda:0"))
    assert first is not streams.weights
    assert first is not streams.dropout(torch.device("cuda:1"))
    assert torch.equal(torch.rand(4, generator=first), torch.rand(4, generator=generator(4)))


@pytest.mark.usefixtures("cpu_plays_cuda")
@pytest.mark.parametrize("is_used", [True, False])
def test_dropout_on_another_device_resumes(is_used):
    device, streams = torch.device("cuda"), RandomStreams(4)
    torch.rand(4, generator=streams.dropout(device))
    state = streams.state_dict()
    expected = torch.rand(4, generator=streams.dropout(device))
    resumed = RandomStreams(5)
    if is_used:
        torch.rand(9, generator=resumed.dropout(device))
    resumed.load_state_dict(state)
    assert torch.equal(torch.rand(4, generator=resumed.dropout(device)), expected)


@pytest.mark.usefixtures("cpu_plays_cuda")
def test_generator_whose_state_was_not_saved_starts_from_the_saved_seed():
    state, resumed, device = RandomStreams(4).state_dict(), RandomStreams(5), torch.device("cuda")
    torch.rand(9, generator=resumed.dropout(device))
    resumed.load_state_dict(state)
    drawn = torch.rand(4, generator=resumed.dropout(device))
    assert torch.equal(drawn, torch.rand(4, generator=generator(4)))


# -------------------------------------------------------------------------- drawing_from


def assert_same_weights(module, other):
    for ours, theirs in zip(module.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.fixture(params=[torch.float32, torch.float64], ids=str)
def default_dtype(request):
    before = torch.get_default_dtype()
    torch.set_default_dtype(request.param)
    yield request.param
    torch.set_default_dtype(before)


@pytest.mark.parametrize("name", MODULES)
def test_module_gets_the_weights_that_torchs_global_seed_gives(default_dtype, name):
    torch.manual_seed(3)
    expected = MODULES[name]()
    before = global_states()
    with drawing_from(generator(3)):
        module = MODULES[name]()
    assert global_states() == before
    assert next(module.parameters()).dtype == default_dtype
    assert_same_weights(module, expected)


DRAWS = {
    "rand": lambda: torch.rand(4),
    "randn": lambda: torch.randn(4),
    "randint": lambda: torch.randint(9, (4,)),
    "randint from": lambda: torch.randint(3, 9, (4,)),
    "randperm": lambda: torch.randperm(9),
    "normal": lambda: torch.normal(0.0, 1.0, (4,)),
    "uniform_": lambda: torch.empty(4).uniform_(),
    "bernoulli_": lambda: torch.empty(4).bernoulli_(0.5),
    "bernoulli": lambda: torch.full((4,), 0.5).bernoulli(),
    "exponential_": lambda: torch.empty(4).exponential_(),
    "poisson": lambda: torch.poisson(torch.full((4,), 5.0)),
    "multinomial": lambda: torch.ones(4).multinomial(2),
    "rrelu": lambda: nn.functional.rrelu(-torch.ones(4), training=True),
    "dropout": lambda: nn.functional.dropout(torch.ones(9), 0.5),
    "dropout of a layer": lambda: nn.RNN(3, 5, 2, dropout=0.5)(torch.ones(4, 2, 3))[0],
    "trunc_normal_": lambda: nn.init.trunc_normal_(torch.empty(4)),
    "orthogonal_": lambda: nn.init.orthogonal_(torch.empty(4, 4)),
}


@pytest.mark.parametrize("name", DRAWS)
def test_operator_draws_what_it_draws_after_seeding_torch(name):
    torch.manual_seed(3)
    expected = DRAWS[name]()
    before = global_states()
    with drawing_from(generator(3)):
        drawn = DRAWS[name]()
    assert global_states() == before
    assert torch.equal(drawn, expected)


def test_generator_that_the_code_passes_is_used():
    expected = torch.rand(4, generator=generator(5)), torch.poisson(torch.ones(4), generator(5))
    with drawing_from(generator(3)):
        drawn = torch.rand(4, generator=generator(5)), torch.poisson(torch.ones(4), generator(5))
    assert torch.equal(drawn[0], expected[0])
    assert torch.equal(drawn[1], expected[1])


def test_draws_go_on_from_one_block_to_the_next():
    torch.manual_seed(3)
    expected = torch.rand(4), torch.rand(4)
    ours = generator(3)
    for part in expected:
        with drawing_from(ours):
            assert torch.equal(torch.rand(4), part)


def test_global_generator_is_used_again_after_the_block_also_when_it_fails():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    with pytest.raises(ZeroDivisionError), drawing_from(generator(0)):
        raise ZeroDivisionError
    assert torch.equal(torch.rand(4), expected)


def test_threads_that_build_networks_at_once_get_the_weights_of_one_after_the_other():
    def build(seed):
        with drawing_from(RandomStreams(seed).weights):
            return [nn.GRU(3, 8, 2) for _ in range(10)]

    before = global_states()
    serial = [build(seed) for seed in range(4)]
    start, threaded = threading.Barrier(4), {}

    def work(seed):
        start.wait()
        threaded[seed] = build(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, modules in enumerate(serial):
        for module, other in zip(modules, threaded[seed], strict=True):
            assert_same_weights(module, other)
    assert global_states() == before
