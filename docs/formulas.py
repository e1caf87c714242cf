"""Compute the tables, figures and numbers of the documentation from recorded results.

    python docs/formulas.py

A page holds each number together with its formula, as a spreadsheet does. The formula is a Python
expression in an HTML comment that begins with "=", after the number. The number keeps as many
decimals as it has in the page:

    The error is 0.694<!-- = pjm_accuracy("h = 1", task="gru") --> percent.

The formula of a table has a line of its own, before the table. `<!-- end -->` ends the table:

    <!-- = table(layer_speed, {"network": "", "ms": ".2f"}) -->

    | network | ms |
    ...

    <!-- end -->

In a formula, `pjm_accuracy` is the result in docs/benchmarks/results/pjm_accuracy.json. A result in
several files, `NAME-PART.json`, has the rows of all of them. The command above updates the numbers
in all pages, and the figures. The site does the same when it is built. A test fails if a page or a
figure differs from the results.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import re
import sys
from functools import partial
from pathlib import Path

import pandas as pd

DOCS = Path(__file__).parent
FOLDER = DOCS / "benchmarks" / "results"
PAGES = [
    DOCS.parent / "README.md",
    *sorted((DOCS / "guide").glob("*.md")),
    *sorted((DOCS / "benchmarks").glob("*.md")),
]
FIGURES = ["data_size", "layer_speed", "one_series", "peers"]  # benchmarks with a function `plot`
FORMULA = r"<!-- = (?P<formula>.+?) -->"
QUOTED = re.compile(r"(?P<shown>-?(?:\d[\d,]*)?\.?\d+)" + FORMULA)
BLOCK = re.compile(rf"^{FORMULA}\n.*?^<!-- end -->$", re.MULTILINE | re.DOTALL)


# ----------------------------------------------------------------------------- results


class Result:
    """The rows of one benchmark, and the records (machine, date, ...) of its files."""

    def __init__(self, name):
        paths = [FOLDER / f"{name}.json", *sorted(FOLDER.glob(f"{name}-*.json"))]
        self.records = [
            json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()
        ]
        if not self.records:
            raise FileNotFoundError(f"There is no result {name!r} in {FOLDER}.")
        self.rows = pd.concat([pd.DataFrame(r["rows"]) for r in self.records], ignore_index=True)

    def where(self, **values):
        """Select rows: each keyword is a column and its value, or a list of allowed values."""
        rows = self.rows
        for column, value in values.items():
            rows = rows[rows[column].isin(value if isinstance(value, list) else [value])]
        if rows.empty:
            raise LookupError(f"No row has {values}.")
        return rows

    def __call__(self, column, how="mean", **values):
        """Aggregate a column over the selected rows, by default to the mean."""
        return self.where(**values)[column].agg(how)


class Names(dict):
    """Names in formulas: functions, and results, which are read from their files on first use."""

    def __missing__(self, name):
        self[name] = Result(name)
        return self[name]


# ----------------------------------------------------------------------------- formulas


def table(result, columns, **values):
    """Table of the selected rows. ``columns`` maps the columns to show to their formats."""
    rows = result.where(**values)
    cells = [rows[name].map(partial(cell, form=form)) for name, form in columns.items()]
    return markdown(list(columns), zip(*cells, strict=True))


def pivot(result, index, columns, value, form, how="mean", **values):
    """Pivot table of ``value``: the rows are the values of one column, the columns of another.

    ``index`` and ``columns`` name these two. A list of a name and values chooses the values and
    their order. ``how`` is an aggregate, or two of them, such as "min to max".
    """
    columns, *order = columns if isinstance(columns, list) else [columns]
    index, *lines = index if isinstance(index, list) else [index]
    given = {name: chosen for name, chosen in ((columns, order), (index, lines)) if chosen}
    rows = result.where(**values, **given)
    lines, order = (
        chosen or list(rows[name].unique()) for name, chosen in ((index, lines), (columns, order))
    )
    groups = rows.groupby([index, columns])[value]
    parts = [groups.agg(name).unstack() for name in how.split(" to ")]
    parts = [
        part.reindex(index=lines, columns=order).map(partial(cell, form=form)) for part in parts
    ]
    cells = [
        [cell(line, ""), *(" to ".join(dict.fromkeys(texts)) for texts in zip(*rows, strict=True))]
        for line, *rows in zip(lines, *(part.to_numpy() for part in parts), strict=True)
    ]
    return markdown(["", *map(str, order)], cells)


def recorded(*results):
    """Commands with which results were recorded, and machine, versions, commit and date.

    Commands that differ in the load of the machine alone are listed together.
    """
    records = [record for result in results for record in result.records]
    groups = {}
    for record in records:
        groups.setdefault(circumstances(record), []).append(record)
    blocks = []
    for text, group in groups.items():
        loads = sorted(r["machine"]["load"] for r in group if "source" not in r)
        load = " to ".join(map(str, dict.fromkeys([*loads[:1], *loads[-1:]])))
        commands = dict.fromkeys(record["command"] for record in group)
        blocks.append("\n".join(["```console", *commands, "```", "", text.replace("LOAD", load)]))
    return "\n\n".join(blocks)


def circumstances(record):
    """A sentence on machine, versions, commit and date, with "LOAD" for the machine's load."""
    if "source" in record:
        return f"{record['source']}, on this site since {record['date']}: {record['machine']}."
    machine = record["machine"]
    threads = f"{machine['threads']} thread" + "s" * (machine["threads"] > 1)
    parts = [
        f"{machine['processor']} ({machine['instructions']}), {machine['cores']} cores, {threads}",
        "load LOAD at the start",
        ", ".join(f"{name} {version}" for name, version in record["versions"].items()),
    ]
    parts[:0] = [machine["GPU"]] if "GPU" in machine else []
    commit = record["commit"].replace("+", ", with changes")
    return f"Recorded on {record['date']} at commit {commit}: {'; '.join(parts)}."


def markdown(head, cells):
    """A table in Markdown."""
    return "\n".join([line(head), "|" + "---|" * len(head), *map(line, cells)])


def line(cells):
    """A line of a table in Markdown."""
    return "| " + " | ".join(cells) + " |"


def cell(value, form):
    """A value in a format; nothing if it is missing."""
    if pd.isna(value):
        return ""
    if isinstance(value, float) and value.is_integer() and form in ("", ","):
        value = int(value)  # a column of whole numbers in which some are missing
    return format(value, form) if form else str(value)


# ----------------------------------------------------------------------------- pages


def fill(text):
    """Compute all formulas in the text of a page."""
    names = Names({f.__name__: f for f in (table, pivot, recorded, min, max, round)})

    def value(match):
        return eval(match["formula"], {"__builtins__": {}}, names)

    def quoted(match):
        shown = match["shown"]
        decimals = len(shown.partition(".")[2])
        number = format(value(match), f"{',' if ',' in shown else ''}.{decimals}f")
        return match[0].replace(shown, number, 1)

    def block(match):
        formula = match[0].partition("\n")[0]
        return f"{formula}\n\n{value(match)}\n\n<!-- end -->"

    return QUOTED.sub(known(quoted), BLOCK.sub(known(block), text))


def known(replacement):
    """Wrap a replacement so that the text stays as it is if the result has no file yet."""

    def replace(match):
        try:
            return replacement(match)
        except FileNotFoundError:
            return match[0]

    return replace


def digest(name):
    """Fingerprint of a result's rows, which the figure's file carries."""
    rows = Result(name).rows.to_json()
    return hashlib.sha256(rows.encode()).hexdigest()


def draw(name):
    """Draw the figure of a benchmark, unless the file shows these rows already."""
    import matplotlib

    path = DOCS / "benchmarks" / f"{name}.png"
    if path.exists() and digest(name).encode() in path.read_bytes():
        return
    matplotlib.use("agg")
    sys.path.insert(0, str(DOCS.parent / "examples" / "benchmarks"))
    figure = importlib.import_module(name).plot(Result(name).rows)
    figure.savefig(path, dpi=150, metadata={"Description": digest(name)})


def draw_all():
    """Draw the figures of all results that have files."""
    for name in FIGURES:
        if any(FOLDER.glob(f"{name}*.json")):
            draw(name)


def main():
    """Update all pages and figures."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        page.write_text(fill(text), encoding="utf-8")
    draw_all()


if __name__ == "__main__":
    main()
