"""The files around the package agree with one another."""

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import skrnn

ROOT = Path(__file__).parents[1]


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def constraints():
    pins = [line for line in text("constraints.txt").splitlines() if "==" in line]
    return {Requirement(pin).name: pin.split("==")[1] for pin in pins}


@pytest.mark.parametrize(
    ("file", "pattern"),
    [
        ("pyproject.toml", r'^version = "(.+)"$'),
        ("CITATION.cff", r"^version: (.+)$"),
    ],
)
def test_every_file_names_the_version_of_the_package(file, pattern):
    assert re.search(pattern, text(file), re.MULTILINE)[1] == skrnn.__version__


def test_pre_commit_runs_the_linter_in_the_version_of_ci():
    (rev,) = re.findall(r"ruff-pre-commit\n    rev: v(.+)", text(".pre-commit-config.yaml"))
    assert rev == constraints()["ruff"]


def test_every_dependency_is_pinned_for_ci_above_its_lower_bound():
    pins = constraints()
    # The requirements of the package and its extras are the only strings with a lower bound.
    bounds = re.findall(r'"([A-Za-z][\w-]*>=[\d.]+)"', text("pyproject.toml"))
    assert len(bounds) > 20
    requirements = [Requirement(bound) for bound in bounds]
    assert {r.name for r in requirements} - set(pins) == {"pytest-benchmark"}  # CI does not run it
    low = [str(r) for r in requirements if r.name in pins and pins[r.name] not in r.specifier]
    assert low == []


def test_the_extra_for_all_holds_every_extra_for_users():
    extras = re.search(
        r"\[project.optional-dependencies\]\n(.*?)\n\n", text("pyproject.toml"), re.S
    )[1]
    names = set(re.findall(r"^(\w+) = ", extras, re.MULTILINE))
    (every,) = re.findall(r'^all = \["skrnn\[(.+)\]"\]', extras, re.MULTILINE)
    assert set(every.split(",")) == names - {"all", "test", "dev", "bench", "notebooks", "docs"}
