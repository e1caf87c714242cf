"""How Sphinx builds the site.

One command, from the root of the repository:

    python -m sphinx -W -b html docs docs/_build/html

With the environment variable SKRNN_DATA, the gallery reads the PJM files from the folder that it
names; without, it simulates load. With SKRNN_INTERSPHINX=1, names of other packages link to their
documentation, which needs a network.
"""

import os
import re
import sys
import textwrap
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

import skrnn

sys.path.insert(0, str(Path(__file__).parent))
import formulas

project = "skrnn"
author = "the skrnn developers"
copyright = "the skrnn developers, BSD-3-Clause"
release = version = skrnn.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]
nitpicky = False

# ------------------------------------------------------------------------------ Markdown

myst_enable_extensions = ["colon_fence", "dollarmath", "attrs_inline"]
myst_heading_anchors = 4

# ------------------------------------------------------------------------- API reference

autosummary_generate = ["api/index.md"]  # another page quotes a directive of sktime's
autodoc_member_order = "groupwise"
autodoc_typehints = "none"  # numpydoc describes the types
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
add_module_names = False
toc_object_entries_show_parents = "hide"

# Inventories are fetched from the network, so only for a release.
if os.environ.get("SKRNN_INTERSPHINX"):
    intersphinx_mapping = {
        "numpy": ("https://numpy.org/doc/stable", None),
        "pandas": ("https://pandas.pydata.org/docs", None),
        "python": ("https://docs.python.org/3", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
        "sktime": ("https://www.sktime.net/en/stable", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
    }

# ------------------------------------------------------------------------------- gallery

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": "/plot_",
    "ignore_pattern": "^(?!plot_)",
    "nested_sections": False,
    "doc_module": ("skrnn",),
    "backreferences_dir": "api/generated",
    "download_all_examples": False,
    "show_memory": False,
    "capture_repr": ("_repr_html_",),  # tables, but not what matplotlib returns
    "min_reported_time": 600,  # what a busy machine took is of no use to a reader
    "image_srcset": ["2x"],
    "parallel": 2,
}
suppress_warnings = ["config.cache"]  # sphinx-gallery's settings hold functions

# ---------------------------------------------------------------------------------- HTML

html_theme = "pydata_sphinx_theme"
# Browsers draw MathML themselves; MathJax is a script that each reader fetches from another host.
html_math_renderer = "mathml"
html_title = "skrnn"
html_static_path = ["_static"]
html_css_files = ["skrnn.css"]
html_show_sourcelink = False
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
}
# The list of versions lies on the host, as docs/releasing.md says, so it is for a release only.
if os.environ.get("SKRNN_SWITCHER"):
    html_theme_options |= {
        "switcher": {"json_url": os.environ["SKRNN_SWITCHER"], "version_match": version},
        "check_switcher": False,
        "navbar_end": ["version-switcher", "theme-switcher", "navbar-icon-links"],
    }
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"


def drop_blank_ends(app, document, source):
    """Drop the blank line that ends a doctest in Markdown from the page."""
    source[0] = re.sub(r"(?m)^\n(?=```$)", "", source[0])


def compute(app, document, source):
    """Compute the formulas of a page from the recorded results."""
    source[0] = formulas.fill(source[0])


def frame_figures(app, document, source):
    """Put each figure of the gallery into a container, in which it scrolls on a narrow screen."""

    def framed(match):
        return ".. container:: gallery-figure\n\n" + textwrap.indent(match[0], "   ")

    source[0] = re.sub(r"(?m)^\.\. image-sg::.*\n(?: .*\n)*", framed, source[0])


def plain_terms(app, what, name, obj, options, lines):
    """Write the terms of sktime's glossary, to which its docstrings link, as plain words."""
    lines[:] = [re.sub(r":term:`([^`<]+?)(?: <[^>]*>)?`", r"\1", line) for line in lines]


def write_formula(translator, node):
    """Write a formula within a sentence as MathML."""
    translator.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def write_equation(translator, node):
    """Write an equation of its own lines as MathML, aligned where it has several."""
    tex = node.astext().strip()
    if r"\\" in tex and not tex.startswith(r"\begin"):
        tex = rf"\begin{{aligned}}{tex}\end{{aligned}}"
    translator.body.append(f'<div class="equation">{tex2mathml(tex, as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app):
    """Connect the hooks of this file."""
    app.add_html_math_renderer("mathml", (write_formula, None), (write_equation, None))
    app.connect("builder-inited", lambda app: formulas.draw_all())
    app.connect("source-read", drop_blank_ends)
    app.connect("source-read", compute)
    app.connect("source-read", frame_figures)
    app.connect("autodoc-process-docstring", plain_terms)
