"""The reference of the site holds every public name, and every docstring says what goes in and what comes out."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

import recurra

DOCS = Path(__file__).parent.parent / "docs"

PACKAGES = (
    "analysis", "behaviors", "circuits", "cli", "engine", "equations", "glm", "glm.basis", "groups", "interchange",
    "network", "plotting", "rate.tasks", "spiking", "sweeping", "training",
)  # fmt: skip
# Packages without a list of names of their own: what is public in their modules.
MODULES = {
    "errors": None,
    "rate.model": ["FR_RNN_dale", "eval_rnn", "loss_op", "trial_loss"],
    "rate.training": ["Criterion", "Trained", "train"],
    "rate.evaluation": ["Assessment", "evaluate"],
}


def public() -> list[tuple[str, object]]:
    """Return path and object of every public name that is a class or a function."""
    found = {}
    for package in (*PACKAGES, *MODULES):
        module = importlib.import_module(f"recurra.{package}")
        names = MODULES.get(package) or getattr(module, "__all__", None)
        if names is None:
            names = [n for n, each in vars(module).items() if getattr(each, "__module__", "") == module.__name__]
        for name in names:
            if not inspect.ismodule(getattr(module, name)):
                found[f"recurra.{package}.{name}"] = getattr(module, name)
    return sorted(found.items())


def test_no_package_is_left_out():
    """`tracing` is for groups only, `courtesy` and `files` for the library itself; `rate` exports nothing itself."""
    source = DOCS.parent / "src" / "recurra"
    lists = {
        path.parent.relative_to(source).as_posix().replace("/", ".")
        for path in source.rglob("__init__.py")
        if path.parent != source and "__all__" in path.read_text("utf-8")
    }
    assert lists - {"tracing", "courtesy", "files"} == set(PACKAGES)


def test_reference_holds_every_public_name_once():
    shown = []
    for page in DOCS.joinpath("reference").glob("*.md"):
        shown += re.findall(r"^::: (\S+)$", page.read_text("utf-8"), flags=re.MULTILINE)
    pictures = [path for path in shown if ".pictures." in path]
    assert sorted(set(shown) - set(pictures)) == sorted(path for path, _ in public())
    assert len(set(shown)) == len(shown)
    index = (DOCS / "reference" / "index.md").read_text("utf-8")
    assert sorted(re.findall(r"\[`(\w+)`\]", index)) == sorted(recurra.__all__)


def complaints(path: str, each: object) -> list[str]:
    """Say what the docstring of a class or a function lacks."""
    text = inspect.getdoc(each) or ""
    if not text:
        return [f"{path}: no docstring"]
    try:
        signature = inspect.signature(each)  # pyright: ignore[reportArgumentType]
    except ValueError:
        return []
    found = []
    takes = any(p.kind is not p.VAR_POSITIONAL for p in signature.parameters.values())
    if takes and not any(word in text for word in ("Arguments:", "Attributes:", "Arguments (")):
        found.append(f"{path}: no Arguments")
    if inspect.isfunction(each) and signature.return_annotation not in ("None", None) and "Returns:" not in text:
        found.append(f"{path}: no Returns")
    if not text.split("\n\n")[0].rstrip().endswith((".", ":")):
        found.append(f"{path}: the first sentence does not end")
    return found


@pytest.mark.parametrize("package", [*PACKAGES, *MODULES])
def test_docstrings_say_what_goes_in_and_what_comes_out(package):
    mine = [(p, each) for p, each in public() if p.rpartition(".")[0] == f"recurra.{package}"]
    classes_and_functions = [(p, e) for p, e in mine if inspect.isclass(e) or inspect.isfunction(e)]
    lacking = [words for path, each in classes_and_functions for words in complaints(path, each)]
    assert lacking == []


def test_every_public_class_and_function_has_a_doctest():
    """A doctest of its own: `inspect.getdoc` would take that of a base class."""
    both = [(path, each) for path, each in public() if inspect.isclass(each) or inspect.isfunction(each)]
    assert [path for path, each in both if ">>>" not in (each.__doc__ or "")] == []
