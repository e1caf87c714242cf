r"""Run the benchmarks, and record their results and the pages made from them.

    SKRNN_DATA=<folder of the PJM files> python examples/benchmarks/all.py [--only NAME ...] \
        [--m4 <folder>] [--ett <folder>] [--peer darts=<python> ...]

Each run writes docs/benchmarks/results/NAME.json; at the end docs/formulas.py rewrites the tables,
figures and quoted numbers of the pages. `--only peers pjm_accuracy-gru` chooses runs, `--only
pjm_accuracy` all runs of a benchmark. A run that needs what this machine or command lacks is
skipped, with what it needs. All of them take hours; each script says how long it takes.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "benchmarks" / "results"
# Each in an environment of its own; "sktime" is one with neuralforecast.
PEERS = ("darts", "neuralforecast", "skforecast", "statsforecast", "sktime")
# The script and options of each result. In braces stands what an option of this script gives.
RUNS = {
    "layer_speed": "benchmarks/layer_speed.py",
    "overhead": "benchmarks/overhead.py {pjm}",
    "busy_machine": "benchmarks/busy_machine.py",
    "data_size": "benchmarks/data_size.py",
    "evaluate_speed": "benchmarks/evaluate_speed.py",
    "explain_speed": "benchmarks/explain_speed.py",
    "compare_gru_lstm": (
        "compare_gru_lstm.py --figure docs/benchmarks/compare_gru_lstm.png --device cpu {pjm}"
    ),
    "day_ahead": "day_ahead.py --figure docs/benchmarks/day_ahead.png --device cpu {pjm}",
    "pjm_robustness": "benchmarks/pjm_robustness.py {pjm}",
    "pjm_accuracy-gru": "benchmarks/pjm_accuracy.py gru {pjm}",
    "pjm_accuracy-lstm": "benchmarks/pjm_accuracy.py lstm {pjm}",
    "pjm_accuracy-best": "benchmarks/pjm_accuracy.py best {pjm}",
    "pjm_accuracy-day": "benchmarks/pjm_accuracy.py day {pjm}",
    "ablation-pjm": "benchmarks/ablation.py pjm {pjm}",
    "ablation-m4": "benchmarks/ablation.py m4 {m4}",
    "m4_hourly": "benchmarks/m4_hourly.py {m4}",
    "etth1": "benchmarks/etth1.py {ett}",
    "out_of_the_box": "benchmarks/out_of_the_box.py",
    "some_weeks-defaults": "benchmarks/some_weeks.py {m4} {pjm}",
    "some_weeks-untrained": "benchmarks/some_weeks.py {m4} --params num_epochs=0 {pjm}",
    "one_series-short": (
        "benchmarks/one_series.py --sizes 500 2000 --kinds days --lightgbm --theta"
        " --step-length 7 {pjm}"
    ),
    "one_series-year": (
        "benchmarks/one_series.py --sizes 8760 --kinds --lightgbm --step-length 7 {pjm}"
    ),
    "one_series-years": (
        "benchmarks/one_series.py --sizes 36000 --kinds --lightgbm --step-length 21 {pjm}"
    ),
    "one_series-decade": (
        "benchmarks/one_series.py --sizes 100000 --kinds --methods gru --step-length 21 {pjm}"
    ),
    "one_series-quarters": (
        "benchmarks/one_series.py --sizes --kinds quarter_hours --methods gru --step-length 21"
        " {pjm}"
    ),
    "one_series-ett": (
        "benchmarks/one_series.py --sizes --kinds --ett {ett}/ETTh1.csv --step-length 7"
    ),
    "one_series-m4": (
        "benchmarks/one_series.py --sizes --kinds --m4 {m4} --methods gru --step-length 7"
    ),
    "simulated": (
        "benchmarks/one_series.py --sizes --kinds --simulated 500 2000 8760 --methods gru"
        " --step-length 7"
    ),
    "criteria": (
        "benchmarks/one_series.py --sizes 2000 8760 --kinds days --methods gru"
        " --criteria mae normal studentt quantile --step-length 21 {pjm}"
    ),
    "oracle": (
        "benchmarks/one_series.py --sizes 500 2000 8760 --kinds days --oracle --methods gru"
        " --step-length 21 {pjm}"
    ),
    "many_networks": "benchmarks/many_networks.py --threads 2",
    "panel_file": "benchmarks/panel_file.py --values 1e7 3e7",
    "panel_file-huge": "benchmarks/panel_file.py --values 1e9 --ways file --forecast 1000000",
    "processes": "benchmarks/processes.py",
    "search_speed-one_size": "benchmarks/search_speed.py --threads 1 --sizes 32 --rates 32",
    "search_speed-one_thread": "benchmarks/search_speed.py --threads 1",
    "search_speed-two_threads": "benchmarks/search_speed.py --threads 2",
    "ensembles": "benchmarks/ensembles.py --threads 1 --m4 {m4} {pjm}",
    "serve-short": "benchmarks/serve.py --parts one many onnx",
    "serve-long": "benchmarks/serve.py --parts long",
    "short_panels": "benchmarks/short_panels.py --peer {statsforecast}",
    "joint_paths-validate": "benchmarks/joint_paths.py --validate {pjm}",
    "joint_paths-time": "benchmarks/joint_paths.py --time {pjm}",
    "peers": (
        "benchmarks/peers.py --seconds 60 --peer darts={darts}"
        " --peer neuralforecast={neuralforecast} {pjm}"
    ),
    "migration": (
        "benchmarks/migration.py --peer darts={darts} --peer neuralforecast={neuralforecast}"
        " --peer skforecast={skforecast} --peer sktime={sktime}"
    ),
    "gpu": "benchmarks/gpu.py --device cuda {pjm} {gpu}",
    "tutorial": (
        "compare_gru_lstm.py --protocol tutorial --device cuda"
        " --figure docs/_build/tutorial.png {pjm} {gpu}"
    ),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"among {', '.join(RUNS)}")
    parser.add_argument("--m4", metavar="FOLDER", help="of Hourly-train.csv and Hourly-test.csv")
    parser.add_argument("--ett", metavar="FOLDER", help="of ETTh1.csv")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON")
    args = parser.parse_args()
    runs = {name: run for name, run in RUNS.items() if not args.only or chosen(name, args.only)}
    unknown = [name for name in args.only or () if not any(chosen(run, [name]) for run in RUNS)]
    if unknown:
        parser.error(f"--only must be among {', '.join(RUNS)}. Got {', '.join(unknown)}.")
    given = dict(peer.split("=", 1) for peer in args.peer)
    # The package itself finds the PJM files and the GPU.
    given |= {"pjm": "SKRNN_DATA" in os.environ and " ", "gpu": torch.cuda.is_available() and " "}
    given |= {"m4": args.m4, "ett": args.ett}
    failed = []
    for name, run in runs.items():
        lacking = [key for key in (*given, *PEERS) if f"{{{key}}}" in run and not given.get(key)]
        if lacking:
            print(f"{name}: skipped, it needs {' and '.join(map(need, lacking))}", flush=True)
            continue
        script, *options = run.format(**given).split()
        command = [sys.executable, f"examples/{script}", *options]
        command += ["--json", str(RESULTS / f"{name}.json")]
        print(f"{name}: {' '.join(command[1:-2])}", flush=True)
        begin = time.perf_counter()
        code = subprocess.run(command, cwd=ROOT).returncode
        print(f"{name}: exit code {code}, {time.perf_counter() - begin:.0f} s\n", flush=True)
        failed += [name] if code else []
    subprocess.run([sys.executable, "docs/formulas.py"], cwd=ROOT, check=True)
    if failed:
        sys.exit(f"Failed: {', '.join(failed)}")


def chosen(name, only):
    """Whether a run, or its benchmark, is among the names given."""
    return name in only or name.partition("-")[0] in only


def need(key):
    """What to give for a placeholder."""
    fixed = {"pjm": "SKRNN_DATA", "gpu": "a CUDA device"}
    return fixed.get(key) or (f"--peer {key}=PYTHON" if key in PEERS else f"--{key} FOLDER")


if __name__ == "__main__":
    main()
