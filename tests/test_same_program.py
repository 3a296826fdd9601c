"""What is handed to the compiler is the same in every process, whatever Python's hash seed; no set decides an order."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import recurra

SRC = Path(recurra.__file__).parent
SETS = ("set", "frozenset")


def cached(folder: Path, seed: int) -> set[str]:
    """Run the models in a process of their own, and list what JAX's compilation cache holds then."""
    environment = {
        **os.environ,
        "PYTHONHASHSEED": str(seed),
        "JAX_COMPILATION_CACHE_DIR": str(folder),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        # Nothing is looked up in other places, which would make keys depend on these.
        "JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES": "none",
    }
    script = Path(__file__).parent / "process_models.py"
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return {path.name for path in folder.iterdir() if path.name.endswith("-cache")}


def test_no_hash_seed_changes_what_is_compiled(tmp_path):
    """The key of an entry is made of the program's text and the compiler's options: a new text is a new entry."""
    first = cached(tmp_path, 1)
    assert any("run_chunk" in name for name in first) and len(first) > 20
    assert cached(tmp_path, 2) - first == set()


def is_set(annotation: ast.expr | None) -> bool:
    return annotation is not None and ast.unparse(annotation).split("[")[0] in SETS


class Orders(ast.NodeVisitor):
    """Find where the order of a set decides something: loops, comprehensions, lists and unpacking of sets.

    What is a set is found from literals, calls of `set` and `frozenset`, operators between these, annotations, and
    names that are assigned one in the same function.
    """

    def __init__(self, functions: set[str], attributes: set[str]):
        self.functions, self.attributes, self.local, self.found = functions, attributes, set(), []

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        before, self.local = self.local, set(self.local)
        arguments = [*node.args.args, *node.args.kwonlyargs]
        self.local |= {argument.arg for argument in arguments if is_set(argument.annotation)}
        self.generic_visit(node)
        self.local = before

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                (self.local.add if self.is_set(node.value) else self.local.discard)(target.id)
            elif isinstance(target, ast.Tuple):
                self.check(node.value)
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if isinstance(node.target, ast.Name) and is_set(node.annotation):
            self.local.add(node.target.id)
        self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        self.check(node.iter)
        self.generic_visit(node)

    def visit_Starred(self, node: ast.Starred) -> None:
        self.check(node.value)
        self.generic_visit(node)

    def visit_Set(self, node: ast.Set) -> None:
        for part in node.elts:  # a set made of a set has no order either
            self.visit(part.value if isinstance(part, ast.Starred) else part)

    def visit_ListComp(self, node: ast.ListComp | ast.GeneratorExp | ast.DictComp) -> None:
        for generator in node.generators:
            self.check(generator.iter)
        self.generic_visit(node)

    visit_GeneratorExp = visit_DictComp = visit_ListComp

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if name in ("list", "tuple", "dict", "next", "iter", "enumerate", "zip", "map", "filter") or (
            method in ("join", "extend", "fromkeys")
        ):
            for argument in node.args:
                self.check(argument)
        if name in ("sorted", "set", "frozenset", "any", "all", "len", "min", "max"):
            for argument in node.args:  # these give the same whatever the order
                parts = argument.generators if isinstance(argument, ast.GeneratorExp) else []
                for part in parts:
                    self.visit(part.iter)
                self.visit(argument.elt if isinstance(argument, ast.GeneratorExp) else argument)
            return
        self.generic_visit(node)

    def is_set(self, node: ast.expr) -> bool:
        match node:
            case ast.Set() | ast.SetComp():
                return True
            case ast.Call(func=ast.Name(id=name)):
                return name in SETS or name in self.functions
            case ast.Call(func=ast.Attribute(attr=name, value=value)):
                return name in ("union", "intersection", "difference") and self.is_set(value)
            case ast.BinOp(op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor(), left=left, right=right):
                return any(map(self.is_set, (left, right))) or all(map(is_keys, (left, right)))
            case ast.Name(id=name):
                return name in self.local
            case ast.Attribute(attr=name):
                return name in self.attributes
        return False

    def check(self, node: ast.expr) -> None:
        if self.is_set(node):
            self.found.append((node.lineno, ast.unparse(node)))


def is_keys(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "keys"


def orders_of(trees: dict[str, ast.Module]) -> list[str]:
    every = [node for tree in trees.values() for node in ast.walk(tree)]
    # A name that means a set in one class and something else in another is not looked at.
    members = [n for c in every if isinstance(c, ast.ClassDef) for n in c.body]
    fields = [(n.target.id, n.annotation) for n in members if isinstance(n, ast.AnnAssign)]  # type: ignore[attr-defined]
    methods = [n for n in members if isinstance(n, ast.FunctionDef) and n.decorator_list]
    fields += [(n.name, n.returns) for n in methods]
    stored = [n.attr for n in every if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)]
    other = {name for name, kind in fields if not is_set(kind)}.union(stored)
    attributes = {name for name, kind in fields if is_set(kind)} - other
    top = [n for tree in trees.values() for n in tree.body if isinstance(n, ast.FunctionDef)]
    functions = {n.name for n in top if is_set(n.returns)} - {n.name for n in top if not is_set(n.returns)}
    found = []
    for name, tree in trees.items():
        visitor = Orders(functions, attributes)
        visitor.visit(tree)
        found += [f"{name}:{line}: {text}" for line, text in visitor.found]
    return found


def test_no_code_goes_through_a_set_in_its_own_order():
    """Sort it, or go through what it was made of."""
    trees = {str(path.relative_to(SRC)): ast.parse(path.read_text()) for path in sorted(SRC.rglob("*.py"))}
    found = orders_of(trees)
    assert not found, "\n".join(found)


def test_the_search_for_sets_finds_them():
    text = """
def names(x) -> frozenset[str]: ...
def f(a: set[str], b):
    c = {1, *b}
    for x in a: pass
    for x in sorted(c): pass
    d = [y for y in c | b]
    e = {y for y in c}
    return any(y for y in c), {y: 1 for y in names(b)}, [*a], ", ".join(e)
"""
    found = [line.partition(": ")[2] for line in orders_of({"t": ast.parse(text)})]
    assert found == ["a", "c | b", "names(b)", "a", "e"]
