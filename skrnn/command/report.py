"""The report: versions, devices, extras and kernels, for bug reports."""

from __future__ import annotations

import os
import platform
from importlib import metadata

import torch
from packaging.requirements import Requirement

from skrnn.network.layers import GRU, MIN_STEPS, is_fast


def report() -> str:
    """What a bug report needs to say of this installation."""
    core, extras = _requirements()
    lines = [
        f"skrnn {metadata.version('skrnn')}",
        f"Python {platform.python_version()}, {platform.platform()}",
        "",
        *(f"{name} {_version(name)}" for name in sorted(core)),
        "",
        "Devices",
        *(f"  {line}" for line in _devices()),
        "Extras",
        *(f"  {extra}: {_extra(extra, names)}" for extra, names in sorted(extras.items())),
        "Fast kernels",
        f"  {_kernels()}",
    ]
    return "\n".join(lines)


def _requirements() -> tuple[list[str], dict[str, list[str]]]:
    """Packages that are always needed, and those of each extra for users."""
    requirements = [Requirement(text) for text in metadata.requires("skrnn") or ()]

    def of(extra: str) -> list[str]:
        return [r.name for r in requirements if r.marker and r.marker.evaluate({"extra": extra})]

    provided = metadata.metadata("skrnn").get_all("Provides-Extra") or ()
    # The other extras are for developers.
    of_users = set(of("all"))
    extras = {
        name: of(name) for name in provided if name != "all" and of_users.issuperset(of(name))
    }
    return [r.name for r in requirements if r.marker is None], extras


def _version(name: str) -> str | None:
    """Version of an installed package, None if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _extra(extra: str, names: list[str]) -> str:
    versions = {name: _version(name) for name in names}
    if None in versions.values():
        return f'not installed, pip install "skrnn[{extra}]"'
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _devices() -> list[str]:
    devices = [f"cpu: {os.cpu_count()} cores, {torch.get_num_threads()} threads"]
    if torch.cuda.is_available():
        devices += [
            f"cuda:{k}: {torch.cuda.get_device_name(k)}" for k in range(torch.cuda.device_count())
        ]
    else:
        devices.append("cuda: none")
    devices.append("mps: available" if torch.backends.mps.is_available() else "mps: none")
    return devices


def _kernels() -> str:
    """Whether the Numba kernels compute a layer here, found by running one."""
    layer = GRU(1, 8, batch_first=True)
    steps = torch.linspace(-1, 1, MIN_STEPS)[None, :, None]
    if not is_fast(layer, steps, ()):
        if _version("numba") is None:
            return 'do not run: numba is not installed, pip install "skrnn[fast]"'
        return "do not run: this numba cannot be imported, see `python -c 'import numba'`"
    with torch.no_grad():
        error = (layer(steps)[0] - torch.nn.GRU.forward(layer, steps)[0]).abs().max()
    return f"run, and differ from torch's GRU by {error:.0e}"
