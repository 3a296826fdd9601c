"""The report is complete and safe HTML, and the published example runs to its golden rows."""

from __future__ import annotations

import importlib
import runpy
import sys
from html.parser import HTMLParser
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def demo(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "demo"))
    names = ("pages", "report")
    yield importlib.import_module
    for name in names:
        sys.modules.pop(name, None)


class Outline(HTMLParser):
    """Collect what a page holds, and check that what is opened is closed."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def outline(page):
    found = Outline()
    found.feed(page)
    assert found.open == []
    return found


def test_report_holds_every_part_and_escapes_it(demo):
    part = demo("report").Part(
        title="A < B & C",
        text="text <script>",
        source="x = 1 < 2\n" * 60,
        images=["01_a_1.png"],
        captions=["what it shows"],
        numbers={"rate": "3 > 2", "count": 4},
        seconds=1.25,
        limits="not all",
        error="Trouble: <b>",
    )
    page = outline(demo("report").html([part, part], "0.1", "machine", "today"))
    tags = [tag for tag, _ in page.seen]
    text = " ".join(page.text)
    assert tags.count("section") == 2 and tags.count("details") == 2 and "script" not in tags and "b" not in tags
    for words in ("A < B & C", "text <script>", "3 > 2", "count", "Took 1.2 s", "not all", "Trouble: <b>"):
        assert words in text
    images = [attributes for tag, attributes in page.seen if tag == "img"]
    assert images[0] == {"src": "01_a_1.png", "alt": "what it shows"}
    assert [a["href"] for tag, a in page.seen if tag == "a"] == ["#part1", "#part2"]


def test_report_fetches_nothing(demo):
    page = demo("report").html([], "0.1", "machine", "today")
    assert "http" not in page and "url(" not in page and "@import" not in page


def test_pages_have_a_script_each_and_all_scripts_are_shown(demo):
    scripts = [page.script for page in demo("pages").PAGES]
    assert all(script.exists() for script in scripts)
    assert sorted(scripts) == sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.filterwarnings("ignore:.*non-interactive.*")
def test_published_example_gives_the_golden_rows(demo):
    names = runpy.run_path(str(ROOT / "examples" / "wilson_cowan.py"))
    plt.close("all")
    with np.load(ROOT / "tests" / "golden" / "seed_wilsoncowan_euler_float64.npz") as golden:
        for key in ("E", "I"):
            np.testing.assert_allclose(names["results"][key], golden[key], rtol=0, atol=1e-12)
    numbers = demo("pages").wilson_cowan(names)
    assert numbers["largest E"].startswith("0.2234944 at t = 35.08 ")
    assert numbers["E, I at t = 60"].startswith("0.17490879, 0.13183317 ")
    assert numbers["E, I at the end"].startswith("-0.03290941, 0.01286169 ")


def test_published_example_differs_from_the_document_in_its_import_only():
    source = (ROOT / "examples" / "wilson_cowan.py").read_text("utf-8")
    assert [line for line in source.splitlines() if "recurra" in line] == ["from recurra import CircuitTemplate"]
