"""The code on the pages of the site works as it is written, and pages and gallery hang together."""

from __future__ import annotations

import importlib
import re
import shlex
import sys
from pathlib import Path

import matplotlib

import code_blocks

matplotlib.use("agg")

import matplotlib.pyplot as plt
import pytest

from recurra.cli import main
from recurra.cli.waveforms import FORMS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [path for path in sorted(DOCS.rglob("*.md")) if "gallery" not in path.parts]
SHOWN = re.compile(r"!\[([^\]]*)\]\(([^)]+)\)")  # a picture


def name_of(page: Path) -> str:
    return page.relative_to(DOCS).with_suffix("").as_posix()


def figures_of(page: Path) -> list[str]:
    return [Path(target).name for _, target in SHOWN.findall(page.read_text("utf-8"))]


@pytest.mark.filterwarnings("ignore:.*non-interactive.*")
@pytest.mark.parametrize("page", [page for page in PAGES if code_blocks.blocks(page)], ids=name_of)
def test_blocks_of_a_page_print_what_it_says_and_draw_what_it_shows(page, tmp_path, monkeypatch):
    """They share one namespace and run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    try:
        printed, _ = code_blocks.run(page, tmp_path, tmp_path)
    finally:
        plt.close("all")
    assert printed == [code_blocks.expected(block) for block in code_blocks.blocks(page)]
    for figure in figures_of(page):
        assert plt.imread(tmp_path / figure).std() > 0, figure


def test_a_block_that_prints_something_else_is_found(tmp_path):
    page = tmp_path / "page.md"
    texts = "print(1)\n#> 1\n", "print(2, '\\n')\nprint(4)\n#> 2\n#> 3\n"
    page.write_text("\n".join(f"```python\n{text}```\n" for text in texts), "utf-8")
    printed, _ = code_blocks.run(page, tmp_path, tmp_path)
    assert printed == ["1", "2\n\n4"]
    assert [code_blocks.expected(block) for block in code_blocks.blocks(page)] == ["1", "2\n3"]


def test_the_page_of_the_command_line_says_what_its_commands_do(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "reference" / "cli.md").read_text("utf-8")
    texts = re.findall(r'^```text title="([^"]*)"\n(.*?)^```$', page, flags=re.DOTALL | re.MULTILINE)
    printed = {}
    for title, text in texts:
        for line in text.replace("\\\n", " ").splitlines():
            if line.startswith("recurra "):
                assert main(shlex.split(line)[1:]) == 0, line
                printed[title] = capsys.readouterr().out
    assert len(printed) == 3
    assert dict(texts)["What it prints"] in printed.values()
    for form, meaning in FORMS.values():
        assert f"| `{form}` | {meaning} |" in page
    assert main(["--help"]) == 0
    commands = re.findall(r"^    ([a-z]+)\b", capsys.readouterr().out, flags=re.MULTILINE)
    assert commands == re.findall(r"^\| `recurra ([a-z]+)", page, flags=re.MULTILINE)


def test_pictures_have_a_text_and_a_name_of_their_own():
    shown = [part for page in PAGES for part in SHOWN.findall(page.read_text("utf-8"))]
    assert all(len(text) > 20 and "figures/" in target for text, target in shown)
    names = [Path(target).name for _, target in shown]
    assert len(set(names)) == len(names) > 5


def test_pictures_that_were_not_drawn_are_left_out(tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "there.png").touch()
    text = "```text\nx\n```\n![a](../figures/there.png)\n![b](../figures/gone.png)\n"
    kept = code_blocks.on_page_markdown(text, config={"docs_dir": str(tmp_path)}, page=None, files=None)
    assert kept == text.replace("![b](../figures/gone.png)", "")


def test_pages_hold_no_block_of_another_kind():
    """A block is run, or is fenced as something that says that it is not."""
    for page in PAGES:
        parts = code_blocks.PART.finditer(page.read_text("utf-8"))
        languages = {part["language"] for part in parts if not part["figure"]}
        assert languages <= {"python", "py", "text", "yaml"}, page
        shown = re.findall(r"^```py\b([^\n]*)$", page.read_text("utf-8"), flags=re.MULTILINE)
        assert all("ot run here" in words for words in shown), page


def test_every_page_is_in_the_navigation():
    listed = set(re.findall(r"[\w/]+\.md", (ROOT / "mkdocs.yml").read_text("utf-8")))
    assert listed == {f"{name_of(page)}.md" for page in PAGES} | {"gallery/index.md"}


def test_links_between_pages_lead_somewhere():
    built = {f"gallery/{path.stem}.md" for path in (ROOT / "examples").glob("*.py")} | {"gallery/index.md"}
    built |= {f"figures/{figure}" for page in PAGES for figure in figures_of(page)}
    for page in PAGES:
        for target in re.findall(r"\]\((?!http|#)([^)#]+)[^)]*\)", page.read_text("utf-8")):
            found = (page.parent / target).resolve()
            assert found.exists() or found.relative_to(DOCS).as_posix() in built, (page, target)


def test_gallery_has_a_page_for_each_example(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "demo"))
    try:
        gallery = importlib.import_module("build_gallery")
        monkeypatch.setattr(gallery, "GALLERY", tmp_path / "gallery")
        monkeypatch.setattr(gallery, "FIGURES", tmp_path / "figures")
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
