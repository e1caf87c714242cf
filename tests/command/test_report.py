"""The report: versions as they are installed, and what is missing."""

from importlib import metadata

import numpy as np
import torch

from skrnn.command import report as module
from skrnn.command.report import report


def test_the_report_names_versions_devices_extras_and_kernels():
    lines = report().splitlines()
    assert lines[0] == f"skrnn {metadata.version('skrnn')}"
    assert f"numpy {np.__version__}" in lines
    assert f"  cpu: {module.os.cpu_count()} cores, {torch.get_num_threads()} threads" in lines
    assert f"  plot: matplotlib {metadata.version('matplotlib')}" in lines
    assert not any(line.startswith(("  test:", "  dev:", "  all:")) for line in lines)
    assert "run, and differ from torch's GRU by" in lines[-1]
    assert float(lines[-1].rsplit(" ", 1)[1]) < 1e-5


def test_the_report_says_what_is_missing(monkeypatch):
    version = module._version
    monkeypatch.setattr(module, "_version", lambda name: None if name == "numba" else version(name))
    monkeypatch.setattr(module, "is_fast", lambda *args: False)
    lines = report().splitlines()
    assert '  fast: not installed, pip install "skrnn[fast]"' in lines
    assert lines[-1] == '  do not run: numba is not installed, pip install "skrnn[fast]"'
