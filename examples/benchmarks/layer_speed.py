"""Time of one forward and backward pass: GRU and LSTM of torch and of skrnn.

    python examples/benchmarks/layer_speed.py [FIGURE]

The four networks take turns in one run, so that other load on the machine slows all of them. Times
are medians. The last two columns are the largest differences to torch's output and gradients of the
weights, relative to the largest value. The figure shows targets per second against the hidden size.
Without a figure it takes half a minute on two cores (Intel Xeon with AVX-512, torch 2.13).
"""

import platform
import sys
import time
from statistics import median

import numba
import torch
from torch import nn

from skrnn.network.layers import GRU, LSTM

# Batch size, steps and hidden size.
SHAPES = [(16, 180, 128), (64, 180, 128), (16, 336, 256), (32, 168, 64), (1, 130, 64)]
INPUTS = 16  # of a step
OURS = {"skrnn GRU": (GRU, "nn.GRU"), "skrnn LSTM": (LSTM, "nn.LSTM")}


def train(network, x, gradient):
    """Run a forward and a backward pass and return the seconds."""
    network.zero_grad()
    start = time.perf_counter()
    network(x)[0].backward(gradient)
    return time.perf_counter() - start


def values(network, x, gradient):
    """Return the output and the gradients of all weights."""
    network.zero_grad()
    output, _ = network(x)
    output.backward(gradient)
    return [output.detach(), *(p.grad.clone() for p in network.parameters())]


def error(a, b):
    return ((a - b).abs().max() / b.abs().max()).item()


def compare(batch, length, hidden, repeats=30):
    """Return milliseconds of each network, and the errors of skrnn's outputs and gradients."""
    networks = {
        name: getattr(nn, name[3:])(INPUTS, hidden, batch_first=True) for _, name in OURS.values()
    }
    for name, (cell, reference) in OURS.items():
        networks[name] = cell(INPUTS, hidden, batch_first=True)
        networks[name].load_state_dict(networks[reference].state_dict())
    x, gradient = torch.randn(batch, length, INPUTS), torch.randn(batch, length, hidden)
    # These calls also compile the kernels and fill the caches.
    results = {name: values(network, x, gradient) for name, network in networks.items()}
    errors = {}
    for name, (_, reference) in OURS.items():
        output, *gradients = map(error, results[name], results[reference])
        errors[name] = output, max(gradients)
    seconds = {name: [] for name in networks}
    for _ in range(repeats):
        for name, network in networks.items():
            seconds[name].append(train(network, x, gradient))
    return {name: 1e3 * median(times) for name, times in seconds.items()}, errors


def plot(path):
    """Plot targets per second against the hidden size, for batches of 16 x 192."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    sizes, speeds = [32, 64, 128, 256, 512], {}
    for hidden in sizes:
        for name, ms in compare(16, 192, hidden, repeats=15)[0].items():
            speeds.setdefault(name, []).append(1e3 * 16 * 192 / ms)
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name, speed in speeds.items():
        ours = name in OURS
        color = "C0" if name.endswith("GRU") else "C1"
        axes.plot(sizes, speed, "o-" if ours else "s--", color=color, label=name)
    axes.set(
        xscale="log", yscale="log", xlabel="hidden size", title="batches of 16 x 192, 16 inputs"
    )
    axes.set_ylabel("targets a second, forward and backward")
    axes.set_xticks(sizes, sizes)
    ticks = [10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000]
    axes.set_yticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=150)


def main(figure=None):
    torch.manual_seed(0)
    versions = f"torch {torch.__version__}, numba {numba.__version__}"
    cpu = torch.backends.cpu.get_cpu_capability()
    print(f"{platform.machine()} {cpu}, {torch.get_num_threads()} threads, {versions}")
    print("| B, L, H | network | ms | targets/s | x nn.GRU | x nn.LSTM | output | gradients |")
    print("|---|---|---|---|---|---|---|---|")
    for batch, length, hidden in SHAPES:
        milliseconds, errors = compare(batch, length, hidden)
        for name, ms in milliseconds.items():
            ratios = [f"{milliseconds[reference] / ms:.2f}" for _, reference in OURS.values()]
            digits = [f"{value:.0e}" for value in errors.get(name, ())] or ["", ""]
            shape, speed = f"{batch}, {length}, {hidden}", f"{1e3 * batch * length / ms:,.0f}"
            print("|", " | ".join([shape, name, f"{ms:.2f}", speed, *ratios, *digits]), "|")
    if figure:
        plot(figure)


if __name__ == "__main__":
    main(*sys.argv[1:])
