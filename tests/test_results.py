"""Recorded results: every table, figure and quoted number of the pages is theirs."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "examples" / "benchmarks"
# Their numbers were noted by hand, and stand in the pages until a run records them.
NOT_RECORDED = {"ensembles", "panel_file-huge"}
# Nothing in examples/benchmarks makes it again: it compares two versions of the package.
WITHOUT_SCRIPT = {"cuda_graphs"}
BY_HAND = re.compile(r"^<!-- by hand -->$.*?^<!-- end -->$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
ADDRESS = re.compile(r"\]\([^)\s]+\)")


def load(path, name):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


formulas = load(ROOT / "docs" / "formulas.py", "formulas")
runs = load(BENCHMARKS / "all.py", "all_benchmarks").RUNS
results = load(BENCHMARKS / "results.py", "results_of_benchmarks")


def text(page):
    return page.read_text(encoding="utf-8")


# ------------------------------------------------------------------------------- pages


@pytest.mark.parametrize("page", formulas.PAGES, ids=lambda page: page.stem)
def test_tables_and_quoted_numbers_are_those_of_the_results(page):
    assert formulas.fill(text(page)) == text(page), "run `python docs/formulas.py`"


@pytest.mark.parametrize("name", sorted(set(formulas.FIGURES) - NOT_RECORDED))
def test_figure_shows_the_rows_of_its_result(name):
    picture = ROOT / "docs" / "benchmarks" / f"{name}.png"
    assert formulas.digest(name).encode() in picture.read_bytes(), "run `python docs/formulas.py`"


def unmarked(text):
    """Decimal numbers that no formula gives and that are not marked as noted by hand."""
    for pattern in (BY_HAND, formulas.BLOCK, CODE, ADDRESS, formulas.QUOTED):
        text = pattern.sub(" ", text)
    return re.findall(r"\d*\.\d+", text)


@pytest.mark.parametrize(
    "page",
    [page for page in formulas.PAGES if page.parent.name == "benchmarks"],
    ids=lambda page: page.stem,
)
def test_every_decimal_number_of_a_benchmark_has_a_formula_or_is_marked_as_noted_by_hand(page):
    assert unmarked(text(page)) == []


def test_decimal_numbers_beside_a_link_to_a_benchmark_have_a_formula():
    pages = [ROOT / "README.md", *(ROOT / "docs" / "guide").glob("*.md")]
    lines = [line for page in pages for line in text(page).splitlines() if "benchmarks/" in line]
    assert len(lines) > 10
    assert [line for line in lines if unmarked(line)] == []


def test_only_known_results_are_missing():
    names = {
        name
        for page in formulas.PAGES
        for match in re.finditer(formulas.FORMULA, text(page))
        for name in re.findall(r"\b([a-z]\w+)(?=[,()])", re.sub(r'"[^"]*"', "", match["formula"]))
    }
    names -= {"table", "pivot", "recorded", "abs"}
    missing = {name for name in names if not any(formulas.FOLDER.glob(f"{name}*.json"))}
    assert missing <= NOT_RECORDED
    assert len(names - missing) > 10


def test_every_result_and_every_benchmark_has_a_command_in_all():
    assert {path.stem for path in formulas.FOLDER.glob("*.json")} - set(runs) == WITHOUT_SCRIPT
    scripts = {path.name for path in BENCHMARKS.glob("*.py")} - {
        "all.py",
        "results.py",
        "test_ratios.py",
    }
    assert scripts == {
        run.split()[0].removeprefix("benchmarks/") for run in runs.values() if "/" in run.split()[0]
    }


@pytest.mark.parametrize("path", sorted(formulas.FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_result_says_how_it_was_recorded(path):
    record = json.loads(text(path))
    assert record["rows"]
    assert {"command", "date", "machine"} < set(record)
    if "source" not in record:
        assert re.fullmatch(r"[0-9a-f]+\+?", record["commit"])
        assert {"Python", "torch", "sktime"} < set(record["versions"])


# ---------------------------------------------------------------------------- formulas


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A result of two files: three rows and one."""
    monkeypatch.setattr(formulas, "FOLDER", tmp_path)
    rows = [
        {"cell": "GRU", "seed": 0, "error": 0.5},
        {"cell": "GRU", "seed": 1, "error": 0.7},
        {"cell": "LSTM", "seed": 0, "error": 0.25},
    ]
    head = {"source": "Typed", "command": "python a.py", "date": "2026-01-01", "machine": "here"}
    (tmp_path / "small-a.json").write_text(json.dumps(head | {"rows": rows}))
    more = {"cell": "LSTM", "seed": 2, "error": 1234.5}
    (tmp_path / "small-b.json").write_text(json.dumps(head | {"rows": [more]}))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("shown", "formula", "expected"),
    [
        ("0.10", 'small("error", cell="GRU")', "0.60"),
        ("9", '100 * small("error", "min", cell=["GRU", "LSTM"])', "25"),
        ("1,000.0", 'small("error", "max")', "1,234.5"),
        ("0.60", 'small("error", cell="GRU")', "0.60"),
        ("7", 'missing("error")', "7"),
    ],
)
def test_quoted_number_becomes_the_value_of_its_formula(shown, formula, expected):
    page = f"An error of {shown}<!-- = {formula} --> percent."
    assert formulas.fill(page) == page.replace(shown, expected, 1)


@pytest.mark.usefixtures("small")
def test_table_and_pivot_hold_the_rows_and_their_aggregates():
    columns = '{"cell": "", "error": ".2f"}'
    page = f"<!-- = table(small, {columns}, seed=0) -->\nold\n<!-- end -->"
    lines = formulas.fill(page).splitlines()
    assert lines[2:6] == ["| cell | error |", "|---|---|", "| GRU | 0.50 |", "| LSTM | 0.25 |"]

    pivot = 'pivot(small, "cell", ["seed", 2, 0, 1], "error", ".1f")'
    lines = formulas.fill(f"<!-- = {pivot} -->\n<!-- end -->").splitlines()
    assert lines[2] == "|  | 2 | 0 | 1 |"
    assert lines[4:6] == ["| GRU |  | 0.5 | 0.7 |", "| LSTM | 1234.5 | 0.2 |  |"]

    pivot = 'pivot(small, "seed", "cell", "error", ".1f", how="min to max", cell="GRU")'
    lines = formulas.fill(f"<!-- = {pivot} -->\n<!-- end -->").splitlines()
    assert lines[4:6] == ["| 0 | 0.5 |", "| 1 | 0.7 |"]
    spread = 'pivot(small, "cell", "cell", "error", ".1f", how="min to max", seed=[0, 1])'
    assert "| GRU | 0.5 to 0.7 |" in formulas.fill(f"<!-- = {spread} -->\n<!-- end -->")


@pytest.mark.usefixtures("small")
def test_files_that_were_recorded_alike_are_described_once():
    block = formulas.fill("<!-- = recorded(small) -->\n<!-- end -->")
    assert block.count("python a.py") == 1
    assert block.count("Typed, on this site since 2026-01-01: here.") == 1


@pytest.mark.usefixtures("small")
def test_formula_of_a_row_that_no_result_has_is_an_error():
    with pytest.raises(LookupError, match="No row has"):
        formulas.fill('5<!-- = small("error", cell="RNN") -->')


# ----------------------------------------------------------------------------- recording


def test_a_written_result_has_its_rows_and_its_command_without_folders(tmp_path, monkeypatch):
    file = tmp_path / "new" / "result.json"
    script = str(BENCHMARKS / "m4_hourly.py")
    words = ["/data/m4", "--peer", "darts=/envs/darts/bin/python", "--json", str(file)]
    monkeypatch.setattr(sys, "argv", [script, *words, "--seeds", "1"])
    results.write(file, [{"cell": "GRU", "error": 0.123456789, "none": float("nan")}], darts="0.48")
    record = json.loads(text(file))
    assert record["rows"] == [{"cell": "GRU", "error": 0.123457, "none": None}]
    assert record["command"] == (
        "python examples/benchmarks/m4_hourly.py <m4> --peer darts=<python> --seeds 1"
    )
    assert record["versions"]["darts"] == "0.48"
    assert {"processor", "cores", "threads", "load"} <= set(record["machine"])
    results.write(None, [])  # without --json nothing is written


def test_one_run_of_one_series_renews_its_page_and_figure(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    module = importlib.import_module("one_series")
    series = pd.Series([1.0, 2.0], name="AEP")
    monkeypatch.setattr(module, "hours", lambda n: [(f"hourly, {n:,}", series, n, (24, 168))])
    monkeypatch.setattr(module, "days", lambda: [("daily", series, 1, (7,))])
    monkeypatch.setattr(module, "quarter_hours", lambda: [("quarter-hourly", series, 1, (96,))])
    names = ["seasonal naive", "LightGBM", "Theta", "ridge"]

    def evaluate(y, n, periods, methods, step_length, others):
        columns = ["next", "season", "90 %", "worst quarter", "50 %", "pinball", "seconds"]
        index = pd.Index([*names, *methods], name="method")
        return pd.DataFrame(0.123, index, columns)

    monkeypatch.setattr(module, "evaluate", evaluate)
    file = tmp_path / "one_series-all.json"
    monkeypatch.setattr(sys, "argv", [str(BENCHMARKS / "one_series.py"), "--json", str(file)])
    module.main()
    monkeypatch.setattr(formulas, "FOLDER", tmp_path)
    page = formulas.fill(text(ROOT / "docs" / "benchmarks" / "one_series.md"))
    assert "| hourly, 100,000 | 0.12 | 0.12 | 0.12 | 0.12 | 0.12 | 0.12 | 0.12 |" in page
    assert "| daily | 0.12 to 0.12 |" not in page  # least and most are the same
    rows = formulas.Result("one_series").rows
    assert len(rows) == 7 * 8
    (axes,) = module.plot(rows).axes
    assert axes.get_xlabel() == "hours of training"
    assert len(axes.lines) == 7 + 1  # all methods but the ridge regression, and its line at 1
