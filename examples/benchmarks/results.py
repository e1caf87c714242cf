"""A benchmark's rows as a JSON file, from which ``docs/formulas.py`` makes tables and figures.

Every benchmark has the option ``--json FILE``. The file has the rows, and what is needed to judge
or repeat them: the command, the seconds it took, the machine and its load, the versions, the commit
and the date.
"""

from __future__ import annotations

import datetime
import json
import math
import os
import platform
import re
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

PACKAGES = ("torch", "numba", "sktime", "scikit-learn", "pandas", "numpy")
DIGITS = 6  # of each number
BEGAN, LOAD = time.perf_counter(), os.getloadavg()[0]  # the load before the benchmark adds its own


def add_argument(parser):
    """Add ``--json FILE`` to a parser."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the rows as JSON")


def write(path, rows, **versions):
    """Write rows, a list of flat dictionaries, to ``path``; without a path, do nothing.

    ``versions`` are those of packages that other interpreters imported.
    """
    if path is None:
        return
    head = {
        "command": command(),
        "date": datetime.date.today().isoformat(),
        "commit": commit(),
        "seconds": round(time.perf_counter() - BEGAN),
        "machine": machine(),
        "versions": {
            "Python": platform.python_version(),
            **{name: metadata.version(name) for name in PACKAGES},
            **versions,
        },
    }
    lines = [json.dumps({key: plain(value) for key, value in row.items()}) for row in rows]
    text = json.dumps(head, indent=1)[:-2] + ',\n "rows": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def plain(value):
    """A number of JSON with `DIGITS` digits, None instead of NaN, or text."""
    if hasattr(value, "item"):  # a number of numpy
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value if isinstance(value, int) else str(value)


def command():
    """The command without ``--json``, and with the last part of each absolute path alone."""
    script, *words = sys.argv
    if "--json" in words:
        at = words.index("--json")
        del words[at : at + 2]
    script = Path(script).resolve().relative_to(Path(__file__).parents[2]).as_posix()
    words = [re.sub(r"/\S*/(\S+)", r"<\1>", word) for word in words]
    return " ".join(["python", script, *words])


def commit():
    """The commit of the checkout, with "+" if files differ from it; None outside of a checkout."""

    def git(*words):
        ran = subprocess.run(
            ["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True
        )
        return ran.stdout.strip()

    changed = git("diff", "HEAD", "--name-only", "--", ":/skrnn", ":/examples")
    return git("rev-parse", "--short", "HEAD") + "+" * bool(changed) or None


def machine():
    """Processor, its cores, threads of torch, the load before the benchmark began, and the GPU."""
    import torch

    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.+)", info.read_text()) if info.exists() else []
    found = {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(LOAD, 1),
    }
    return found | ({"GPU": torch.cuda.get_device_name()} if torch.cuda.is_available() else {})
