"""How fast one forward and backward pass is: torch.nn.GRU, skrnn's GRU, torch.nn.LSTM.

All three take turns in one run, so that a busy machine slows them alike; times are medians. The
error is the largest difference to torch.nn.GRU, relative to the largest value: of the output, and
of the weights' gradients. Run `python gru_speed.py [threads] [repeats]`.
"""

import platform
import sys
import time
from statistics import median

import numba
import torch
from torch import nn

from skrnn._gru import GRU

SHAPES = [(16, 180, 128), (64, 180, 128), (16, 336, 256), (32, 168, 64), (1, 130, 64)]
INPUTS = 16


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
    print("| B, L, H | network | ms | targets/s | x nn.GRU | output error | gradient error |")
    print("|---|---|---|---|---|---|---|")
    for batch, length, hidden in SHAPES:
        networks = {
            "nn.GRU": nn.GRU(INPUTS, hidden, batch_first=True),
            "skrnn GRU": GRU(INPUTS, hidden, batch_first=True),
            "nn.LSTM": nn.LSTM(INPUTS, hidden, batch_first=True),
        }
        networks["skrnn GRU"].load_state_dict(networks["nn.GRU"].state_dict())
        x, gradient = torch.randn(batch, length, INPUTS), torch.randn(batch, length, hidden)
        # This also compiles, and fills the caches.
        results = {name: values(network, x, gradient) for name, network in networks.items()}
        seconds = {name: [] for name in networks}
        for _ in range(int(repeats)):
            for name, network in networks.items():
                seconds[name].append(train(network, x, gradient))
        for name, times in seconds.items():
            middle, ratio = median(times), median(seconds["nn.GRU"]) / median(times)
            errors = " | | |"
            if name == "skrnn GRU":
                pairs = zip(results[name], results["nn.GRU"], strict=True)
                output, *gradients = (error(a, b) for a, b in pairs)
                errors = f" | {output:.0e} | {max(gradients):.0e} |"
            shape = f"{batch}, {length}, {hidden}"
            speed = f"{1e3 * middle:.2f} | {batch * length / middle:,.0f} | {ratio:.1f}"
            print(f"| {shape} | {name} | {speed}{errors}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
