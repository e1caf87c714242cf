"""Docstrings: numpydoc accepts them, and the defaults that they name are the coded ones."""

import ast
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest
from numpydoc.docscrape import FunctionDoc
from numpydoc.validate import validate

import skrnn

# What numpydoc would have beyond the project's own rules.
IGNORED = {
    "ES01",  # an extended summary: one sentence may be enough
    "SA01",  # See Also: where there is nothing to see
    "SS05",  # a summary that begins with an order: a noun phrase says what a property is
    "GL02",  # where the quotes close, which ruff checks
}
# An example belongs to the class or function, and shows its methods.
IGNORED_OF_METHODS = IGNORED | {"EX01"}


def public_modules():
    found = [module.name for module in pkgutil.iter_modules(skrnn.__path__) if not module.ispkg]
    public = [name for name in found if not name.startswith("_")]
    return [importlib.import_module(f"skrnn.{name}") for name in [*public, "distributions"]]


def public_objects():
    """Classes and functions that the public modules list, by their name there."""
    return {
        f"{module.__name__}.{name}": getattr(module, name)
        for module in public_modules()
        for name in module.__all__
        if callable(getattr(module, name))
    }


def methods(name, cls):
    """Methods that a class of the package is the first to have; the others say what it said."""
    inherited = {key for base in cls.__mro__[1:] for key in vars(base)}
    return [
        f"{name}.{key}"
        for key, value in vars(cls).items()
        if not key.startswith("_")
        and key not in inherited
        and callable(getattr(cls, key))
        and not inspect.isclass(value)
    ]


OBJECTS = public_objects()
METHODS = [
    method
    for name, value in OBJECTS.items()
    if inspect.isclass(value)
    for method in methods(name, value)
]


def complaints(name, ignored):
    return [
        error
        for error in validate(name)["errors"]
        if error[0] not in ignored and "**kwargs" not in error[1]  # those of torch.nn.Module
    ]


def test_every_public_module_lists_its_names():
    modules = public_modules()
    assert all(module.__all__ for module in modules)
    assert set(skrnn.__all__) <= {name.rsplit(".")[-1] for name in OBJECTS}


@pytest.mark.parametrize("name", OBJECTS)
def test_numpydoc_accepts_the_docstring(name):
    assert complaints(name, IGNORED) == []


@pytest.mark.parametrize("name", METHODS)
def test_numpydoc_accepts_the_docstring_of_a_method(name):
    assert complaints(name, IGNORED_OF_METHODS) == []


def documented_defaults(function):
    """The default that each parameter's description names, as text."""
    found = {}
    for parameter in FunctionDoc(function)["Parameters"]:
        if match := re.search(r"default=(.+)$", parameter.type):
            found |= {name.strip(): match[1] for name in parameter.name.split(",")}
    return found


@pytest.mark.parametrize("name", [n for n in OBJECTS if not n.endswith("Error")])
def test_documented_defaults_are_the_coded_ones(name):
    documented = documented_defaults(OBJECTS[name])
    coded = {
        key: parameter.default
        for key, parameter in inspect.signature(OBJECTS[name]).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }
    undocumented = {key for key, value in coded.items() if value is not None} - set(documented)
    assert undocumented == set()
    read = {
        key: float("nan") if text == "np.nan" else ast.literal_eval(text)
        for key, text in documented.items()
    }
    assert {key: repr(value) for key, value in read.items()} == {
        key: repr(coded[key]) for key in documented
    }


def test_most_parameters_of_the_forecasters_have_a_documented_default():
    counts = [
        len(documented_defaults(getattr(skrnn, f"{cell}Forecaster")))
        for cell in ("GRU", "LSTM", "RNN")
    ]
    assert min(counts) > 30


def test_every_public_name_is_in_the_api_reference():
    index = (Path(__file__).parents[1] / "docs" / "api" / "index.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^   (\w+)$", index, re.MULTILINE))
    assert {name.rpartition(".")[2] for name in OBJECTS} - listed == set()
