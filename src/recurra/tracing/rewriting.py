"""Write a function of the user's again, so that calls, indices and texts in it can be understood while it is traced.

Python asks `math.sin`, a list or a text for a number at once. In the function written again it is asked first whether
an argument stands for a number that is only known later; see `understanding.py`. The lines stay the same.
"""

from __future__ import annotations

import ast
import dis
import functools
import linecache
import types
from collections.abc import Callable
from typing import Any

HELPER = "__do__"
_SCALARS = {"float64", "float32", "int64", "int32", "bool_", "double", "single", "intp", "uint8"}
_LEFT_ALONE = {"super", "locals", "vars", "globals", "eval", "exec", "dir", "isinstance", "issubclass"}


def rewritten(function: Callable, helper: object) -> Callable:
    """Return a function that does the same, but asks `helper` to call, index and format.

    Arguments:
        function: a Python function, or a method.
        helper: has the methods `call`, `get`, `put`, `text` and `contains`.

    Returns:
        The function written again; the function itself where its text is not known.
    """
    if isinstance(function, types.MethodType):
        return types.MethodType(rewritten(function.__func__, helper), function.__self__)
    if not isinstance(function, types.FunctionType):
        return function
    code = _code_of(function)
    if code is None:
        return function
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    cells[HELPER] = types.CellType(helper)
    if any(name not in cells for name in code.co_freevars):
        return function
    closure = tuple(cells[name] for name in code.co_freevars)
    made = types.FunctionType(code, function.__globals__, function.__name__, function.__defaults__, closure)
    made.__kwdefaults__, made.__qualname__ = function.__kwdefaults__, function.__qualname__
    return made


def _code_of(function: types.FunctionType) -> types.CodeType | None:
    numpy = frozenset(
        name for name in function.__code__.co_names + function.__code__.co_freevars
        if isinstance(function.__globals__.get(name), types.ModuleType)
        and function.__globals__[name].__name__.split(".")[0] == "numpy"
    )  # fmt: skip
    return _compiled(function.__code__, function.__qualname__, numpy)


@functools.lru_cache(maxsize=512)  # a pure function of the code, whose text is in a file
def _compiled(code: types.CodeType, qualname: str, numpy: frozenset[str]) -> types.CodeType | None:
    text = "".join(linecache.getlines(code.co_filename))
    parts = qualname.split(".")
    owner = parts[-2].lstrip("_") if len(parts) > 1 and parts[-2] != "<locals>" else ""
    made = []
    for rewriter in (_Mangler(owner), _Rewriter(numpy, owner)):
        try:
            definition = _definition(ast.parse(text), code)
            if definition is None:
                return None
            definition.body = [rewriter.visit(statement) for statement in definition.body]
            made.append(_compile(definition, code))
        except (SyntaxError, ValueError):
            return None
    if _does(made[0]) != _does(code):
        return None  # the text is no longer that of the code
    return made[1].replace(co_name=code.co_name)


_METHODS = {"LOAD_METHOD": "LOAD_ATTR", "LOAD_CLASSDEREF": "LOAD_DEREF"}
_BESIDE = {"PUSH_NULL", "PRECALL", "CACHE", "CALL", "CALL_FUNCTION_EX", "RESUME", "COPY_FREE_VARS", "NOP"}


def _does(code: types.CodeType) -> list[tuple[str, str]]:
    """List what a piece of code does; functions of modules are called in two ways, which are the same."""
    found = []
    for instruction in dis.get_instructions(code):
        if instruction.opname in _BESIDE or "JUMP" in instruction.opname:
            continue
        name = _METHODS.get(instruction.opname, instruction.opname)
        value = instruction.argval
        told = instruction.argrepr if name in ("BINARY_OP", "COMPARE_OP") else repr(value)
        found.append((name, "" if isinstance(value, types.CodeType) else told))
    return found


def _compile(definition: ast.FunctionDef, code: types.CodeType) -> types.CodeType:
    names = dict.fromkeys((HELPER, *code.co_freevars))
    signature = ast.arguments([], [ast.arg(name) for name in names], None, [], [], None, [])
    factory = ast.FunctionDef("factory", signature, [definition], [], None, None)
    factory.type_params = []  # type: ignore[attr-defined]
    module = ast.fix_missing_locations(ast.Module([factory], []))
    made = compile(module, code.co_filename, "exec", dont_inherit=True, flags=code.co_flags & _FUTURE)
    outer = next(c for c in made.co_consts if isinstance(c, types.CodeType))
    return next(c for c in outer.co_consts if isinstance(c, types.CodeType))


_FUTURE = 0x1000000  # `from __future__ import annotations`


def _definition(tree: ast.Module, code: types.CodeType) -> ast.FunctionDef | None:
    """Return the definition of a function in the text of its file, without decorators and defaults."""
    found: list[Any] = []
    if code.co_name == "<lambda>":
        places = [p[:4] for p in code.co_positions() if p[0] is not None and p[2] is not None and p[3] != p[2]]
        for node in ast.walk(tree):
            if isinstance(node, ast.Lambda) and all(map(functools.partial(_is_in, node.body), places)):
                body = ast.copy_location(ast.Return(node.body), node.body)
                found.append(ast.FunctionDef("a_lambda", node.args, [body], [], None, None))
    else:
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name == code.co_name:
                first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                found += [node] if first == code.co_firstlineno else []
    if len(found) != 1:
        return None
    made = found[0]
    made.decorator_list, made.returns, made.type_params = [], None, []
    made.args.defaults = [ast.Constant(None) for _ in made.args.defaults]
    made.args.kw_defaults = [None if d is None else ast.Constant(None) for d in made.args.kw_defaults]
    for argument in ast.walk(made.args):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    return made


def _is_in(body: ast.expr, place: tuple) -> bool:
    line, end_line, start, end = place
    return (body.lineno, body.col_offset) <= (line, start) and (end_line, end) <= (body.end_lineno, body.end_col_offset)


class _Mangler(ast.NodeTransformer):
    """Write names such as `self.__x` as Python does.

    Arguments:
        owner: the class that the function is in.
    """

    def __init__(self, owner: str):
        self.owner = owner

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        node.attr = self._mangled(node.attr)
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self._mangled(node.id)
        return node

    def _mangled(self, name: str) -> str:
        private = self.owner and name.startswith("__") and not name.endswith("__")
        return f"_{self.owner}{name}" if private else name


class _Rewriter(_Mangler):
    """Let the helper do calls, indices, texts and the search in containers.

    Arguments:
        numpy: names of the module NumPy, whose functions are called as they are.
        owner: the class that the function is in, for names such as `self.__x`.
    """

    def __init__(self, numpy: frozenset[str], owner: str):
        super().__init__(owner)
        self.numpy = numpy

    def _do(self, method: str, node: ast.expr, *args: ast.expr, keywords: list | None = None) -> ast.expr:
        name = ast.copy_location(ast.Name(HELPER, ast.Load()), node)
        function = ast.copy_location(ast.Attribute(name, method, ast.Load()), node)
        return ast.copy_location(ast.Call(function, list(args), keywords or []), node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        root: Any = node.func
        while isinstance(root, ast.Attribute):
            root = root.value
        self.generic_visit(node)
        named = root.id if isinstance(root, ast.Name) else ""
        scalar = isinstance(node.func, ast.Attribute) and node.func.attr in _SCALARS
        if (named in self.numpy and not scalar) or (root is node.func and named in _LEFT_ALONE):
            return node
        return self._do("call", node, node.func, *node.args, keywords=node.keywords)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.ctx, ast.Load):
            return node
        return self._do("get", node, node.value, _as_value(node.slice))

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        self.generic_visit(node)
        target = node.targets[0]
        if len(node.targets) > 1 or not isinstance(target, ast.Subscript):
            return node
        done = self._do("put", target, node.value, target.value, _as_value(target.slice))
        return ast.copy_location(ast.Expr(done), node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        parts: list[ast.expr] = []
        for value in node.values:
            if not isinstance(value, ast.FormattedValue):
                parts.append(value)
                continue
            spec = self.visit(value.format_spec) if value.format_spec is not None else ast.Constant("")
            kept: list[ast.expr] = [self.visit(value.value), ast.Constant(value.conversion), spec]
            parts.append(ast.copy_location(ast.Tuple(kept, ast.Load()), node))
        return self._do("text", node, *parts)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if len(node.ops) > 1 or not isinstance(node.ops[0], ast.In | ast.NotIn):
            return node
        found = self._do("contains", node, node.left, node.comparators[0])
        return found if isinstance(node.ops[0], ast.In) else self._do("opposite", node, found)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        method = {ast.Mod: "modulo", ast.MatMult: "matmul"}.get(type(node.op))
        return self._do(method, node, node.left, node.right) if method is not None else node


def _as_value(index: ast.expr) -> ast.expr:
    """Return an index as an expression that can be handed over."""
    if isinstance(index, ast.Slice):
        parts = [part if part is not None else ast.Constant(None) for part in (index.lower, index.upper, index.step)]
        made = ast.Call(ast.Name("slice", ast.Load()), parts, [])
        return ast.fix_missing_locations(ast.copy_location(made, index))
    if isinstance(index, ast.Tuple):
        return ast.copy_location(ast.Tuple([_as_value(item) for item in index.elts], ast.Load()), index)
    return index
