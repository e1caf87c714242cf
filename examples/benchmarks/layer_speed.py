"""Time of one forward and backward pass: GRU and LSTM of torch and of skrnn.

    python examples/benchmarks/layer_speed.py [--json FILE]

The four networks take turns in one run, so that other load on the machine slows all of them. Times
are medians. The last two columns are the largest differences to torch's output and gradients of the
weights, relative to the largest value. With `--json` the speed by hidden size is measured as well.
Without, it takes half a minute on two cores (Intel Xeon with AVX-512, torch 2.13).
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
SIZES = [(16, 192, hidden) for hidden in (32, 64, 128, 256, 512)]  # of the figure
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


def rows_of(part, shape, repeats=30):
    """Measure a shape and return a row for each network."""
    batch, length, hidden = shape
    milliseconds, errors = compare(batch, length, hidden, repeats)
    rows = []
    for name, ms in milliseconds.items():
        row = {"part": part, "B, L, H": f"{batch}, {length}, {hidden}", "H": hidden}
        row |= {"network": name, "ms": ms, "targets/s": 1e3 * batch * length / ms}
        row |= {f"x {other}": milliseconds[other] / ms for _, other in OURS.values()}
        output, gradients = errors.get(name, (float("nan"), float("nan")))
        rows.append(row | {"output": output, "gradients": gradients})
    return rows


def plot(rows):
    """Plot targets per second against the hidden size."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name, speeds in rows[rows["part"] == "sizes"].groupby("network", sort=False):
        color = "C0" if name.endswith("GRU") else "C1"
        style = "o-" if name in OURS else "s--"
        axes.plot(speeds["H"], speeds["targets/s"], style, color=color, label=name)
    axes.set(
        xscale="log", yscale="log", xlabel="hidden size", title="batches of 16 x 192, 16 inputs"
    )
    axes.set_ylabel("targets a second, forward and backward")
    sizes = [hidden for *_, hidden in SIZES]
    axes.set_xticks(sizes, sizes)
    ticks = [10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000]
    axes.set_yticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
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
    for shape in SHAPES:
        rows += rows_of("shapes", shape)
        for row in rows[-4:]:
            print(
                f"| {row['B, L, H']} | {row['network']} | {row['ms']:.2f} | {row['targets/s']:,.0f}"
                f" | {row['x nn.GRU']:.2f} | {row['x nn.LSTM']:.2f}"
                f" | {row['output']:.0e} | {row['gradients']:.0e} |",
                flush=True,
            )
    if args.json:
        for shape in SIZES:
            rows += rows_of("sizes", shape, repeats=15)
    results.write(args.json, rows)


if __name__ == "__main__":
    main()
