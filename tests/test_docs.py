"""The code on the pages of the site works as it is written, and the reference holds every public name."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
import runpy
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import pytest

import recurra

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
    script = tmp_path / f"{page.stem}.py"
    script.write_text("\n".join(blocks(page)), "utf-8")
    try:
        runpy.run_path(str(script))
    finally:
        plt.close("all")
