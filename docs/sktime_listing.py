"""The records by which sktime lists the forecasters, as a patch for a clone of sktime.

    python docs/sktime_listing.py | git -C ../sktime apply

sktime-listing.md says what else sktime asks for. Names, parameters, defaults, the first sentence
of each description and the tags are read from the classes, so that the records agree with them.
"""

import inspect
import re
import textwrap
from collections.abc import Iterator

from numpydoc.docscrape import ClassDoc

import skrnn
from skrnn.contract.tags import TAGS

LISTED = {
    skrnn.GRUForecaster: "Gated recurrent unit",
    skrnn.LSTMForecaster: "Long short-term memory",
    skrnn.RNNForecaster: "Recurrent network of any cell",
}
PATH = "sktime/forecasting/skrnn.py"
WIDTH = 88  # of sktime's lines
HEAD = '''\
# copyright: sktime developers, BSD-3-Clause License (see LICENSE file)
"""Interfaces to the recurrent forecasters of skrnn."""

from sktime.forecasting.base._delegate import _DelegatedForecaster
from sktime.utils.dependencies import _placeholder_record
'''
RECORD = '''

@_placeholder_record("skrnn", dependencies="skrnn>={version}")
class {name}(_DelegatedForecaster):
    """{cell} that corrects a learned mix of naive forecasts.

    Estimator from the ``skrnn`` package, which documents the equations and all
    settings: ``help(skrnn.{name})``.

    Parameters
    ----------
{parameters}

    Examples
    --------
    >>> from sktime.datasets import load_airline
    >>> from sktime.forecasting.skrnn import {name}
    >>> y = load_airline()
    >>> forecaster = {name}(random_state=0)  # doctest: +SKIP
    >>> forecaster.fit(y)  # doctest: +SKIP
    >>> forecaster.predict(fh=[1, 2, 3])  # doctest: +SKIP
    """

    _tags = {{
        # packaging info
        # --------------
{packaging}
        # estimator type
        # --------------
{tags}
        # testing configuration
        # ---------------------
        "tests:vm": True,
    }}

    # attribute for _DelegatedForecaster, which delegates all methods to it
    _delegate_name = "_delegate"

    def __init__(
        self,
{signature}
    ):
{assignments}
        super().__init__()

    def __post_init__(self):
        """Construct the delegate."""
        from skrnn import {name}

        self._delegate = {name}(**self.get_params(deep=False))
'''


def described(cls: type) -> Iterator[str]:
    """Each parameter with its type, and the first sentence of its description."""
    for parameter in ClassDoc(cls)["Parameters"]:
        line = f"    {parameter.name} : {parameter.type}"
        # numpydoc reads a type from one line; the signature has the default as well.
        yield line if len(line) <= WIDTH else line.partition(", default=")[0]
        description = " ".join(parameter.desc)
        sentence = re.split(r"(?<=[.)])\s+(?=[A-Z\"`])", " ".join(description.split()))[0]
        indent = " " * 8
        options = {"break_long_words": False, "break_on_hyphens": False}
        yield from textwrap.wrap(
            sentence, WIDTH, initial_indent=indent, subsequent_indent=indent, **options
        )


def record(cls: type) -> str:
    """The record of a class, as Python."""
    defaults = {
        name: parameter.default for name, parameter in inspect.signature(cls).parameters.items()
    }
    dependencies = [f"skrnn>={skrnn.__version__}", *TAGS["python_dependencies"]]
    packaging = {
        "authors": TAGS["authors"],
        "maintainers": TAGS["maintainers"],
        "python_dependencies": dependencies,
    }
    tags = {name: value for name, value in TAGS.items() if name not in packaging}
    return RECORD.format(
        name=cls.__name__,
        version=skrnn.__version__,
        cell=LISTED[cls],
        parameters="\n".join(described(cls)),
        packaging=_entries(packaging),
        tags=_entries(tags),
        signature="\n".join(f"        {name}={_code(value)}," for name, value in defaults.items()),
        assignments="\n".join(f"        self.{name} = {name}" for name in defaults),
    )


def _entries(tags: dict) -> str:
    return "\n".join(f"        {_code(name)}: {_code(value)}," for name, value in tags.items())


def _code(value: object) -> str:
    return repr(value).replace("'", '"')


def module() -> str:
    """The module of sktime that holds the records."""
    return HEAD + "".join(map(record, LISTED))


def patch() -> str:
    """A patch that adds the module."""
    lines = module().splitlines()
    head = [
        f"diff --git a/{PATH} b/{PATH}",
        "new file mode 100644",
        "--- /dev/null",
        f"+++ b/{PATH}",
    ]
    return "\n".join([*head, f"@@ -0,0 +1,{len(lines)} @@", *(f"+{line}" for line in lines)]) + "\n"


if __name__ == "__main__":
    print(patch(), end="")
