"""The rules of the source: who may import whom, one time loop, nothing that runs text, small parts.

Each rule is a function from a parsed file to complaints, so that it can be shown to find planted offences.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "recurra"
FILES = sorted(SOURCE.rglob("*.py"))

# From the top; a package may import only from the rows below its own.
ROWS = [
    {"__main__"},
    {"cli"},
    {"plotting"},
    {"analysis", "sweeping", "interchange"},
    {"circuits", "network", "glm", "rate", "spiking"},
    {"behaviors"},  # ready behaviors, written as users write theirs
    {"groups"},  # behaviors and their order; `network` joins them with nodes
    {"training", "tracing"},  # training works on any Program; front-ends offer both as methods
    {"engine"},
    {"equations"},
    {"courtesy"},  # what is owed to people at a prompt
    {"files"},  # one guarded reader for the files of strangers
    {"errors"},
]
SIDEWAYS = {("network", "circuits"), ("spiking", "rate")}
LAZY_ONLY = {"pandas", "xarray", "matplotlib", "diffrax", "optax", "ruamel", "scipy", "sympy", "tqdm", "zarr"}
LAZY_ONLY |= {"h5py", "nir", "pynapple", "pynwb"}
FORBIDDEN_IMPORTS = {"pickle", "dill", "cloudpickle", "shelve", "marshal", "yaml", "subprocess", "code"}
COUNTER = ("engine/loop.py", ["_traces"])  # counts compilations; nothing computes with it
CHILD = "files/hdf5.py"  # the one module that starts a process: it reads what may kill its reader
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
REWRITER = ("compile", "tracing/rewriting.py")  # of functions that run anyway, from the file that they come from
TIME_LOOPS = {"scan", "while_loop", "fori_loop"}
MAX_FILE, MAX_BODY = 600, 60


def package_of(path: str) -> str:
    """Return the package of a file given relative to src/recurra: 'engine/graph.py' -> 'engine'."""
    return path.split("/")[0].removesuffix(".py")


def imported(tree: ast.AST, path: str) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of everything imported, also inside functions; relative imports resolved."""
    parts = ["recurra", *path.split("/")[:-1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = parts[: len(parts) + 1 - node.level] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def arrows(tree: ast.AST, path: str) -> Iterator[str]:
    """Complain of imports against the layers."""
    rank = {package: row for row, packages in enumerate(ROWS) for package in packages}
    here = package_of(path)
    if here == "__init__":
        return
    if here not in rank:
        yield f"{path}: package {here!r} is in no layer; add it to ROWS"
        return
    for line, name in imported(tree, path):
        pieces = name.split(".")
        if pieces[0] != "recurra" or pieces[1:] == ["__version__"]:
            continue
        there = pieces[1] if len(pieces) > 1 else ""
        if there == here or (here, there) in SIDEWAYS:
            continue
        if there not in rank:
            yield f"{path}:{line}: import from the package that holds the name, not {name!r}"
        elif rank[there] <= rank[here]:
            yield f"{path}:{line}: {here} may not import {there}"


def loops(tree: ast.AST, path: str) -> Iterator[str]:
    """Complain of a loop of JAX outside the engine."""
    if package_of(path) == "engine":
        return
    for node in ast.walk(tree):
        name = getattr(node, "attr", "") or (node.name if isinstance(node, ast.alias) else "")
        if name in TIME_LOOPS:
            yield f"{path}:{getattr(node, 'lineno', '?')}: {name} belongs into recurra.engine"


def unsafe(tree: ast.AST, path: str) -> Iterator[str]:
    """Complain of whatever could run text, and of assert, which `python -O` removes."""
    for line, name in imported(tree, path):
        if name.split(".")[0] in FORBIDDEN_IMPORTS and (name, path) != ("subprocess", CHILD):
            yield f"{path}:{line}: import of {name}"
        if name.startswith("importlib") and name != "importlib.metadata" and path != "__init__.py":
            yield f"{path}:{line}: imports by name belong into recurra/__init__.py"
    for node in ast.walk(tree):
        where = f"{path}:{getattr(node, 'lineno', '?')}"
        if isinstance(node, ast.Assert):
            yield f"{where}: assert"
        elif isinstance(node, ast.Global) and (path, node.names) != COUNTER:
            yield f"{where}: global"
        elif isinstance(node, ast.Call):
            yield from unsafe_call(node, where)


def unsafe_call(node: ast.Call, where: str) -> Iterator[str]:
    """Complain of a call that could run text or that changes the process for everyone."""
    called = ast.unparse(node.func)
    options = {k.arg: ast.unparse(k.value) for k in node.keywords}
    if (called in FORBIDDEN_CALLS and (called, where.split(":")[0]) != REWRITER) or called in {"os.system", "os.popen"}:
        yield f"{where}: {called}()"
    if called.endswith("config.update"):
        yield f"{where}: {called}() changes JAX for the whole process"
    if options.get("allow_pickle", "False") != "False":
        yield f"{where}: allow_pickle"
    if called.split(".")[-1] == "YAML" and options.get("typ") != "'safe'":
        yield f"{where}: YAML() without typ='safe'"


def heavy(tree: ast.AST, path: str) -> Iterator[str]:
    """Complain of a heavy package imported when the module is, rather than when it is used."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            for line, name in imported(node, path):
                if name.split(".")[0] in LAZY_ONLY:
                    yield f"{path}:{line}: import {name} inside the function that uses it"
        waiting += ast.iter_child_nodes(node)


def size(tree: ast.AST, path: str) -> Iterator[str]:
    """Complain of long functions; the docstring does not count."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            length = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            if length > MAX_BODY:
                yield f"{path}:{node.lineno}: {node.name} has {length} lines, more than {MAX_BODY}"


RULES = [arrows, loops, unsafe, heavy, size]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_source_keeps_the_rule(rule):
    complaints = []
    for file in FILES:
        path = file.relative_to(SOURCE).as_posix()
        complaints += rule(ast.parse(file.read_text(encoding="utf-8")), path)
    assert complaints == []


def test_files_are_small_and_named_for_what_they_do():
    lengths = {f.relative_to(SOURCE).as_posix(): len(f.read_text("utf-8").splitlines()) for f in FILES}
    assert {path: n for path, n in lengths.items() if n > MAX_FILE} == {}
    vague = {"utils", "util", "helpers", "misc", "common"}
    assert [p for p in lengths if vague & set(p.removesuffix(".py").split("/"))] == []


OFFENCES = [
    (arrows, "equations/x.py", "from recurra.engine import lower", "equations may not import engine"),
    (arrows, "engine/x.py", "def f():\n    import recurra.circuits", "engine may not import circuits"),
    (arrows, "glm/x.py", "from recurra.rate import model", "glm may not import rate"),
    (arrows, "glm/x.py", "from ..rate import model", "glm may not import rate"),
    (arrows, "circuits/x.py", "from recurra import network", "circuits may not import network"),
    (arrows, "circuits/x.py", "from recurra import simulate", "import from the package that holds the name"),
    (arrows, "magic/x.py", "", "is in no layer"),
    (loops, "rate/x.py", "import jax\njax.lax.scan(f, 0, None)", "scan belongs into recurra.engine"),
    (loops, "rate/x.py", "from jax.lax import fori_loop as go", "fori_loop belongs"),
    (unsafe, "engine/x.py", "eval('1')", "eval()"),
    (unsafe, "engine/x.py", "def f():\n    import pickle", "import of pickle"),
    (unsafe, "engine/x.py", "import yaml", "import of yaml"),
    (unsafe, "files/x.py", "import subprocess", "import of subprocess"),
    (unsafe, "engine/x.py", "assert True", "assert"),
    (unsafe, "engine/x.py", "np.load(p, allow_pickle=True)", "allow_pickle"),
    (unsafe, "engine/x.py", "YAML()", "without typ='safe'"),
    (unsafe, "engine/x.py", "jax.config.update('jax_enable_x64', True)", "whole process"),
    (unsafe, "engine/x.py", "def f():\n    global g", "global"),
    (unsafe, "engine/x.py", "from importlib import import_module", "imports by name"),
    (heavy, "engine/x.py", "import pandas as pd", "inside the function"),
    (heavy, "engine/x.py", "class A:\n    from scipy import linalg", "inside the function"),
    (size, "engine/x.py", "def f():\n" + "    x = 1\n" * 61, "61 lines"),
]


@pytest.mark.parametrize(("rule", "path", "text", "expected"), OFFENCES)
def test_rule_finds_a_planted_offence(rule, path, text, expected):
    complaints = list(rule(ast.parse(text), path))
    assert len(complaints) == 1
    assert expected in complaints[0]


INNOCENT = [
    (arrows, "network/x.py", "from recurra.circuits import from_yaml\nfrom recurra.engine import lower"),
    (arrows, "engine/x.py", "from . import graph\nfrom .graph import Graph\nimport recurra.equations"),
    (arrows, "cli/x.py", "from recurra import __version__"),
    (loops, "engine/x.py", "jax.lax.scan(f, 0, None)"),
    (unsafe, "circuits/x.py", "YAML(typ='safe', pure=True).load(text)\nre.compile('x')\nd.update(x=1)"),
    (heavy, "engine/x.py", "if TYPE_CHECKING:\n    import pandas\ndef f():\n    import pandas"),
    (size, "engine/x.py", 'def f():\n    """Say.\n' + "\n" * 80 + '    """\n    return 1'),
]


@pytest.mark.parametrize(("rule", "path", "text"), INNOCENT)
def test_rule_leaves_the_innocent_alone(rule, path, text):
    assert list(rule(ast.parse(text), path)) == []
