"""Tables, figures and quoted numbers of the pages, made from the recorded results.

    python docs/formulas.py

A comment that begins with "=" holds a formula, as in a spreadsheet. What stands before it is its
value, with as many decimals as are shown:

    The error is 0.694<!-- = pjm_accuracy("h = 1", task="gru") --> percent.

A formula on a line of its own stands before its value, which ends at the next such comment:

    <!-- = table(layer_speed, {"network": "", "ms": ".2f"}) -->

    | network | ms |
    ...

    <!-- end -->

The name of a result is that of its file in docs/benchmarks/results. `NAME` also stands for the rows
of all files `NAME-PART.json` together. The command above rewrites all pages and figures. The site
computes them when it is built, and a test finds what differs from the results.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import re
import sys
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
    """Rows of one benchmark, and how each of its files was recorded."""

    def __init__(self, name):
        paths = [FOLDER / f"{name}.json", *sorted(FOLDER.glob(f"{name}-*.json"))]
        self.records = [
            json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()
        ]
        if not self.records:
            raise FileNotFoundError(f"There is no result {name!r} in {FOLDER}.")
        self.rows = pd.concat([pd.DataFrame(r["rows"]) for r in self.records], ignore_index=True)

    def where(self, **values):
        """Rows in which columns have a value, or one of a list of values."""
        rows = self.rows
        for column, value in values.items():
            rows = rows[rows[column].isin(value if isinstance(value, list) else [value])]
        if rows.empty:
            raise LookupError(f"No row has {values}.")
        return rows

    def __call__(self, column, how="mean", **values):
        """The mean of a column over the rows that have these values, or another aggregate."""
        return self.where(**values)[column].agg(how)


class Names(dict):
    """Names in formulas: the functions below, and the results, read when they are first used."""

    def __missing__(self, name):
        self[name] = Result(name)
        return self[name]


# ----------------------------------------------------------------------------- formulas


def table(result, columns, **values):
    """The rows with these columns, each with its format."""
    rows = result.where(**values)
    cells = [rows[name].map(cell, form=form) for name, form in columns.items()]
    return markdown(list(columns), zip(*cells, strict=True))


def pivot(result, index, columns, value, form, how="mean", **values):
    """A row for each value of one column, a column for each of another, and aggregates between.

    ``index`` and ``columns`` are each the name of a column, or a list of one name and the values in
    their order. ``how`` may name two aggregates, such as "min to max".
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
    parts = [part.reindex(index=lines, columns=order).map(cell, form=form) for part in parts]
    cells = [
        [cell(line, ""), *(" to ".join(dict.fromkeys(texts)) for texts in zip(*rows, strict=True))]
        for line, *rows in zip(lines, *(part.to_numpy() for part in parts), strict=True)
    ]
    return markdown(["", *map(str, order)], cells)


def recorded(*results):
    """How the files of results were recorded: command, machine, versions, commit and date."""
    records = [record for result in results for record in result.records]
    groups = {}
    for record in records:
        groups.setdefault(circumstances(record), []).append(record["command"])
    blocks = [
        "\n".join(["```console", *dict.fromkeys(commands), "```", "", text])
        for text, commands in groups.items()
    ]
    return "\n\n".join(blocks)


def circumstances(record):
    """A sentence on machine, versions, commit and date."""
    if "source" in record:
        return f"{record['source']}, on this site since {record['date']}: {record['machine']}."
    machine = record["machine"]
    threads = f"{machine['threads']} thread" + "s" * (machine["threads"] > 1)
    parts = [
        f"{machine['processor']} ({machine['instructions']}), {machine['cores']} cores, {threads}",
        f"load {machine['load']} when it began",
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
    """The text of a page with the values of all its formulas."""
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
    """A replacement that leaves a text as it is while its result has not been recorded."""

    def replace(match):
        try:
            return replacement(match)
        except FileNotFoundError:
            return match[0]

    return replace


def digest(name):
    """What tells the rows of a figure from others."""
    rows = Result(name).rows.to_json()
    return hashlib.sha256(rows.encode()).hexdigest()


def draw(name):
    """Draw the figure of a benchmark from its rows, unless it shows these rows already."""
    import matplotlib

    path = DOCS / "benchmarks" / f"{name}.png"
    if path.exists() and digest(name).encode() in path.read_bytes():
        return
    matplotlib.use("agg")
    sys.path.insert(0, str(DOCS.parent / "examples" / "benchmarks"))
    figure = importlib.import_module(name).plot(Result(name).rows)
    figure.savefig(path, dpi=150, metadata={"Description": digest(name)})


def draw_all():
    """Draw the figures whose rows have been recorded."""
    for name in FIGURES:
        if any(FOLDER.glob(f"{name}*.json")):
            draw(name)


def main():
    """Rewrite all pages and figures."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        page.write_text(fill(text), encoding="utf-8")
    draw_all()


if __name__ == "__main__":
    main()
