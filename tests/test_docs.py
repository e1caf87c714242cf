"""The site: nothing public is left out. That it builds, and that its links hold, Sphinx checks."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def test_every_page_of_the_guide_is_listed_in_the_contents_and_in_the_navigation():
    pages = {path.stem for path in (DOCS / "guide").glob("*.md")}
    text = (DOCS / "user_guide.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\(guide/(\w+)\.md\)", text))
    navigated = set(re.findall(r"^guide/(\w+)$", text, flags=re.MULTILINE))
    assert linked == navigated
    assert pages == linked | {"install"}  # which has a place of its own in docs/index.md


def test_every_program_of_the_gallery_opens_with_a_title_and_says_what_it_shows():
    programs = sorted((DOCS.parent / "examples").glob("plot_*.py"))
    assert len(programs) >= 10
    for program in programs:
        title, rule, blank, text = program.read_text(encoding="utf-8").splitlines()[1:5]
        assert len(rule) == len(title), program.name
        assert set(rule) == {"="}, program.name
        assert not blank
        assert text


def test_links_between_the_files_of_the_repository_lead_somewhere():
    root = DOCS.parent
    pages = [*root.glob("*.md"), *DOCS.glob("*.md"), *DOCS.glob("[a-z]*/*.md")]
    links = [
        (page.relative_to(root), link)
        for page in pages
        for link in re.findall(
            r"\]\(([^)\s#:]+)(?:#[^)\s]*)?\)",
            re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S),
        )
        if "gallery/" not in link  # which Sphinx makes from the programs
    ]
    assert len(links) > 200
    assert [(page, link) for page, link in links if not (root / page.parent / link).exists()] == []
