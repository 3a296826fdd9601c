"""The page of promises: every test that it names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "promised.md"
ROWS = re.findall(r"^\| (?!promise|---)(.+?) \| (.+) \|$", PAGE.read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("promise, tests", ROWS, ids=[promise[:40] for promise, _ in ROWS])
def test_a_promise_has_a_test(promise, tests):
    named = re.findall(r"`(test_\w+\.py)(?:::(\w+))?`", tests)
    assert named, f"{promise}: names no test"
    for file, function in named:
        tree = ast.parse((HERE / file).read_text("utf-8"))
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert function in functions or (not function and any(name.startswith("test_") for name in functions)), file


def test_the_page_is_read():
    assert len(ROWS) > 30
