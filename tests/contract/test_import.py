"""Import: it changes nothing of the process, and loads no optional package."""

import subprocess
import sys

CHANGES = """
import random, sys, threading, warnings
import numpy as np, torch
import sklearn, sktime.forecasting.base, sktime.performance_metrics.forecasting
def state():
    return (
        list(warnings.filters), threading.active_count(), torch.get_num_threads(),
        random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist(),
        torch.get_default_dtype(), torch.is_grad_enabled(), np.geterr(),
    )
before, modules = state(), set(sys.modules)
import skrnn
assert state() == before
loaded = {name.split(".")[0] for name in set(sys.modules) - modules}
print(*sorted(loaded & {"matplotlib", "optuna", "tqdm", "holidays", "pooch", "skpro", "numba"}))
"""


def test_import_changes_nothing_and_loads_no_optional_package():
    done = subprocess.run([sys.executable, "-c", CHANGES], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
