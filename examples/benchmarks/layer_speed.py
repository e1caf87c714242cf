"""How fast one forward and backward pass is: the GRU and the LSTM of torch and of skrnn.

All four take turns in one run, so that a busy machine slows them alike; times are medians. The last
columns hold the largest difference to torch's, relative to the largest value: of the output, and of
the weights' gradients. Run `python layer_speed.py [threads] [repeats]`.
"""

import platform
import sys
import time
from statistics import median

import numba
import torch
from torch import nn

from skrnn._layers import GRU, LSTM

SHAPES = [(16, 180, 128), (64, 180, 128), (16, 336, 256), (32, 168, 64), (1, 130, 64)]
INPUTS = 16
OURS = {"skrnn GRU": (GRU, "nn.GRU"), "skrnn LSTM": (LSTM, "nn.LSTM")}


def train(network, x, gradient):
    """Run forward and backward; return the seconds."""
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


def main(threads=0, repeats=30):
    torch.manual_seed(0)
    torch.set_num_threads(int(threads) or torch.get_num_threads())
    versions = f"torch {torch.__version__}, numba {numba.__version__}"
    cpu = torch.backends.cpu.get_cpu_capability()
    print(f"{platform.machine()} {cpu}, {torch.get_num_threads()} threads, {versions}")
    print("| B, L, H | network | ms | targets/s | x nn.GRU | x nn.LSTM | output | gradients |")
    print("|---|---|---|---|---|---|---|---|")
    for batch, length, hidden in SHAPES:
        networks = {
            name: getattr(nn, name[3:])(INPUTS, hidden, batch_first=True)
            for _, name in OURS.values()
        }
        for name, (cell, reference) in OURS.items():
            networks[name] = cell(INPUTS, hidden, batch_first=True)
            networks[name].load_state_dict(networks[reference].state_dict())
        x, gradient = torch.randn(batch, length, INPUTS), torch.randn(batch, length, hidden)
        # This also compiles, and fills the caches.
        results = {name: values(network, x, gradient) for name, network in networks.items()}
        seconds = {name: [] for name in networks}
        for _ in range(int(repeats)):
            for name, network in networks.items():
                seconds[name].append(train(network, x, gradient))
        milliseconds = {name: 1e3 * median(times) for name, times in seconds.items()}
        for name, ms in milliseconds.items():
            ratios = [f"{milliseconds[reference] / ms:.2f}" for _, reference in OURS.values()]
            errors = ["", ""]
            if name in OURS:
                pairs = zip(results[name], results[OURS[name][1]], strict=True)
                output, *gradients = (error(a, b) for a, b in pairs)
                errors = [f"{output:.0e}", f"{max(gradients):.0e}"]
            shape, speed = f"{batch}, {length}, {hidden}", f"{1e3 * batch * length / ms:,.0f}"
            print("|", " | ".join([shape, name, f"{ms:.2f}", speed, *ratios, *errors]), "|")


if __name__ == "__main__":
    main(*sys.argv[1:])
