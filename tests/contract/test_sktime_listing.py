"""The records for sktime's listing stand for the classes: same parameters, tags and forecasts."""

import inspect
import runpy
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from monthly_sales import FH, SMALL, forecasters, monthly
from sktime.utils import dependencies

import skrnn
from skrnn.contract.tags import TAGS

pytestmark = pytest.mark.usefixtures("one_thread")
LISTING = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "sktime_listing.py"))


def names_of(code):
    names = {"__name__": "sktime.forecasting.skrnn"}
    exec(code, names)
    return names


@pytest.fixture
def records(monkeypatch):
    """The records as they are where skrnn is not installed."""
    monkeypatch.setattr(
        dependencies, "_placeholder_record", lambda *args, **kwargs: lambda record: record
    )
    return names_of(LISTING["module"]())


def test_the_patch_adds_the_module(tmp_path):
    (tmp_path / "sktime" / "forecasting").mkdir(parents=True)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    subprocess.run(
        ["git", "-C", str(tmp_path), "apply"], input=LISTING["patch"](), text=True, check=True
    )
    added = tmp_path / "sktime" / "forecasting" / "skrnn.py"
    assert added.read_text() == LISTING["module"]()
    assert max(map(len, added.read_text().splitlines())) <= 88


@forecasters
def test_an_installed_class_takes_the_place_of_its_record(cls):
    assert names_of(LISTING["module"]())[cls.__name__] is cls


@forecasters
def test_a_record_has_the_parameters_and_tags_of_its_class(cls, records):
    record = records[cls.__name__]
    assert record is not cls
    coded = {name: p.default for name, p in inspect.signature(cls).parameters.items()}
    assert {name: p.default for name, p in inspect.signature(record).parameters.items()} == coded
    tags = {name: record.get_class_tag(name) for name in TAGS}
    needed = [f"skrnn>={skrnn.__version__}", *TAGS["python_dependencies"]]
    assert tags == TAGS | {"python_dependencies": needed}


@forecasters
def test_a_record_forecasts_what_its_class_does(cls, records):
    y = monthly()
    expected = cls(**SMALL).fit(y).predict(fh=FH)
    pd.testing.assert_series_equal(records[cls.__name__](**SMALL).fit(y).predict(fh=FH), expected)
