"""The five programs of the gallery that a newcomer tries first, as notebooks.

    python -m pip install "skrnn[all,notebooks]"
    python examples/notebooks.py [FOLDER] [--run]

FOLDER is ``notebooks`` by default. With ``--run`` they are run, and hold their tables and figures;
an error ends the command. Every other program of the gallery becomes a notebook by
``--programs plot_mix``, or by the link on its page.
"""

import argparse
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parent
PROGRAMS = [
    "plot_first_forecast",
    "plot_panel",
    "plot_covariates",
    "plot_day_ahead_intervals",
    "plot_backtest",
]
# Text of the gallery is reStructuredText, that of notebooks Markdown.
GALLERY = {"extension": ".py", "format_name": "sphinx", "rst2md": True}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path("notebooks"))
    parser.add_argument("--run", action="store_true", help="run the notebooks")
    parser.add_argument("--programs", nargs="+", default=PROGRAMS)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    for program in args.programs:
        notebook = jupytext.read(EXAMPLES / f"{program}.py", fmt=GALLERY)
        if args.run:
            NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
        path = args.folder / f"{program.removeprefix('plot_')}.ipynb"
        nbformat.write(notebook, path)
        print(path, flush=True)


if __name__ == "__main__":
    main()
