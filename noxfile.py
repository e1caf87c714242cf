"""The commands that people repeat: ``nox -l`` lists them, ``nox -s tests`` runs one.

They run in the environment that is active, which the README's test command has set up. Words after
``--`` are passed on: ``nox -s tests -- tests/test_metrics.py``.
"""

import sys

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "tests"]
PYTHON = sys.executable


@nox.session
def tests(session):
    """The test suite, with the examples in docstrings and documents."""
    session.run(PYTHON, "-m", "pytest", *(session.posargs or ["-n", "auto", "--dist=worksteal"]))


@nox.session
def lint(session):
    """What .ci/run checks beside the tests."""
    session.run("ruff", "check", ".", ".ci/mutants")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")


@nox.session
def versions(session):
    """The tests on the oldest and the newest supported versions; needs both interpreters."""
    session.run("bash", ".ci/versions", *session.posargs, external=True)


@nox.session
def mutants(session):
    """Which of many small errors in the code no test finds; takes hours, see the script."""
    session.run(PYTHON, ".ci/mutants", *session.posargs)


@nox.session
def benchmarks(session):
    """Record benchmarks for docs/benchmarks: ``nox -s benchmarks -- --only layer_speed``."""
    session.run(PYTHON, "examples/benchmarks/all.py", *session.posargs)


@nox.session
def notebooks(session):
    """Make the notebooks and run them; needs the extra `notebooks`."""
    session.run(PYTHON, "examples/notebooks.py", "--run", *session.posargs)


@nox.session
def release(session):
    """Build sdist and wheel, check them, and test the wheel in an empty environment."""
    session.run("bash", ".ci/release", *session.posargs, external=True)
