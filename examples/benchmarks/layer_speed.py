"""Time of one forward and backward pass: GRU and LSTM of torch and of skrnn.

    python examples/benchmarks/layer_speed.py [--json FILE]

The four networks take turns in one run, so that other load on the machine slows all of them. Times
are medians. The last two columns are the largest differences to torch's output and gradients of the
weights, relative to the largest value. It takes half a minute on two cores (Intel Xeon with
AVX-512, torch 2.13).
"""

import argparse
import platform
import time
from statistics import median

import numba
import results
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


def plot(rows):
    """Plot targets per second of each shape and network."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
    for name, speeds in rows.groupby("network", sort=False):
        color, marker = "C0" if name.endswith("GRU") else "C1", "o" if name in OURS else "s"
        face = color if name in OURS else "none"
        style = {"color": color, "markerfacecolor": face, "markersize": 8}
        axes.plot(speeds["targets/s"], speeds["B, L, H"], marker, label=name, **style)
    axes.set(xscale="log", xlabel="targets a second, forward and backward, 16 inputs")
    axes.set(ylabel="batch, steps, hidden size")
    axes.invert_yaxis()
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper")
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    results.add_argument(parser)
    args = parser.parse_args()
    torch.manual_seed(0)
    versions = f"torch {torch.__version__}, numba {numba.__version__}"
    cpu = torch.backends.cpu.get_cpu_capability()
    print(f"{platform.machine()} {cpu}, {torch.get_num_threads()} threads, {versions}")
    print("| B, L, H | network | ms | targets/s | x nn.GRU | x nn.LSTM | output | gradients |")
    print("|---|---|---|---|---|---|---|---|")
    rows = []
    for batch, length, hidden in SHAPES:
        milliseconds, errors = compare(batch, length, hidden)
        for name, ms in milliseconds.items():
            ratios = {f"x {other}": milliseconds[other] / ms for _, other in OURS.values()}
            digits = dict(zip(("output", "gradients"), errors.get(name, ()), strict=False))
            row = {"B, L, H": f"{batch}, {length}, {hidden}", "network": name, "ms": ms}
            row["targets/s"] = 1e3 * batch * length / ms
            cells = [*map("{:.2f}".format, ratios.values()), *map("{:.0e}".format, digits.values())]
            shown = f"| {row['B, L, H']} | {name} | {ms:.2f} | {row['targets/s']:,.0f}"
            print(shown, *([*cells, "", ""])[:4], "", sep=" | ", flush=True)
            rows.append(row | ratios | digits)
    results.write(args.json, rows)


if __name__ == "__main__":
    main()
