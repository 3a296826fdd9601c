"""The code on the pages of the site works as it is written, and pages and gallery hang together."""

from __future__ import annotations

import importlib
import re
import runpy
import sys
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [path for path in sorted(DOCS.rglob("*.md")) if "gallery" not in path.parts]
FENCE = re.compile(r"^( *)```(\S*)[^\n]*\n(.*?)^\1```$", flags=re.DOTALL | re.MULTILINE)


def blocks(page: Path) -> list[str]:
    """Return the blocks of a page that are run; others are fenced as `text`, `py` (not run), `yaml`."""
    return [text for _, language, text in FENCE.findall(page.read_text("utf-8")) if language == "python"]


def name_of(page: Path) -> str:
    return page.relative_to(DOCS).with_suffix("").as_posix()


@pytest.mark.filterwarnings("ignore:.*non-interactive.*")
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=name_of)
def test_blocks_of_a_page_run_in_order(page, tmp_path, monkeypatch):
    """They share one namespace and run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    script = tmp_path / f"page_{page.stem}.py"
    script.write_text("\n".join(blocks(page)), "utf-8")
    try:
        runpy.run_path(str(script))
    finally:
        plt.close("all")


def test_pages_hold_no_block_of_another_kind():
    """A block is run, or is fenced as something that says that it is not."""
    for page in PAGES:
        languages = {language for _, language, _ in FENCE.findall(page.read_text("utf-8"))}
        assert languages <= {"python", "py", "text", "yaml"}, page
        shown = re.findall(r"^```py\b([^\n]*)$", page.read_text("utf-8"), flags=re.MULTILINE)
        assert all("ot run here" in words for words in shown), page


def test_every_page_is_in_the_navigation():
    listed = set(re.findall(r"[\w/]+\.md", (ROOT / "mkdocs.yml").read_text("utf-8")))
    assert listed == {f"{name_of(page)}.md" for page in PAGES} | {"gallery/index.md"}


def test_links_between_pages_lead_somewhere():
    from_demo = {f"gallery/{path.stem}.md" for path in (ROOT / "examples").glob("*.py")} | {"gallery/index.md"}
    for page in PAGES:
        for target in re.findall(r"\]\((?!http|#)([^)#]+)[^)]*\)", page.read_text("utf-8")):
            found = (page.parent / target).resolve()
            assert found.exists() or found.relative_to(DOCS).as_posix() in from_demo, (page, target)


def test_gallery_has_a_page_for_each_example(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "demo"))
    monkeypatch.syspath_prepend(str(DOCS))
    try:
        gallery = importlib.import_module("build_gallery")
        monkeypatch.setattr(gallery, "GALLERY", tmp_path / "gallery")
        assert gallery.main(["--text"]) == 0
        part = gallery.Part("Title", "Text.", "x = 1\n", ["a.png"], ["what it shows"], {"a|b": 3}, 2.0, "Not all.")
        page = gallery.markdown(part, "x.py")
    finally:
        for name in ("build_gallery", "pages", "report"):
            sys.modules.pop(name, None)
    stems = {path.stem for path in (ROOT / "examples").glob("*.py")}
    assert {path.stem for path in (tmp_path / "gallery").glob("*.md")} == stems | {"index"}
    index = (tmp_path / "gallery" / "index.md").read_text("utf-8")
    assert set(re.findall(r"\((\w+)\.md\)", index)) == stems
    for words in ("# Title", "![what it shows](a.png)", "| a\\|b | 3 |", "Not all.", "```python\nx = 1\n```", "2.0 s"):
        assert words in page
