"""Go through the instructions of a function with a stack of values, for all ways through it at once.

Instructions are those of Python 3.11 to 3.14. One that is not known takes and leaves what `dis.stack_effect` says, and
what it leaves may be anything that was on the stack.
"""

from __future__ import annotations

import dis
import types
from dataclasses import dataclass, replace
from typing import Any, Protocol

Names = frozenset[str]
NONE: Names = frozenset()

_MANY = ("BUILD_TUPLE", "BUILD_LIST", "BUILD_SET", "BUILD_STRING", "BUILD_SLICE", "BUILD_INTERPOLATION")
_ENDS = ("RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE", "JUMP_FORWARD", "JUMP_BACKWARD")
_ENDS += ("INTERPRETER_EXIT", "JUMP_BACKWARD_NO_INTERRUPT", "JUMP_ABSOLUTE")
_UNARY = ("UNARY_NEGATIVE", "UNARY_NOT", "UNARY_INVERT", "UNARY_POSITIVE", "TO_BOOL")
_SAME = ("GET_ITER", "GET_YIELD_FROM_ITER", "LIST_TO_TUPLE", "CALL_INTRINSIC_1", "CONVERT_VALUE", "NOP", "RESUME")
_SAME += (
    "CACHE",
    "EXTENDED_ARG",
    "PRECALL",
    "MAKE_CELL",
    "COPY_FREE_VARS",
    "SETUP_ANNOTATIONS",
    "DELETE_FAST",
    "DELETE_GLOBAL",
)
_SAME += ("DELETE_DEREF", "CHECK_EG_MATCH", "GEN_START", "ASYNC_GEN_WRAP", "NOT_TAKEN", "JUMP_FORWARD", "JUMP_BACKWARD")
_SAME += ("JUMP_BACKWARD_NO_INTERRUPT", "JUMP_ABSOLUTE")
_POPS_INTO = ("LIST_APPEND", "SET_ADD", "LIST_EXTEND", "SET_UPDATE", "DICT_UPDATE", "DICT_MERGE")


@dataclass(frozen=True)
class Value:
    """Say what is known of a value on the stack.

    Attributes:
        origins: the names from which it may have come.
        known: the object itself, of functions, classes, modules and constants.
        is_known: whether `known` says something.
        name, base: of a method or an attribute: its name, and the origins of what it was asked of.
    """

    origins: Names = NONE
    known: Any = None
    is_known: bool = False
    name: str = ""
    base: Names = NONE


NULL = Value(name="NULL")


def either(first: Value, second: Value) -> Value:
    """Return what is known of a value that may be one of two."""
    same = first.is_known and second.is_known and first.known is second.known
    origins = first.origins | second.origins
    if same:
        return replace(first, origins=origins, base=first.base | second.base)
    name = first.name if first.name == second.name else ""
    return Value(origins, name=name, base=first.base | second.base)


class Reader(Protocol):
    """Give the values of variables, and be told what happens to values."""

    def load(self, name: str) -> Value: ...
    def load_global(self, name: str) -> Value: ...
    def load_cell(self, name: str) -> Value: ...
    def store(self, name: str, value: Value) -> None: ...
    def attribute(self, value: Value, name: str) -> Value: ...
    def store_attribute(self, target: Value, name: str, value: Value) -> None: ...
    def store_item(self, container: Value, value: Value | None) -> None: ...
    def binary(self, left: Value, right: Value, in_place: bool, makes_list: bool) -> Value: ...
    def written(self, names: Names) -> None: ...
    def share(self, names: Names, others: Names) -> None: ...
    def give_back(self, value: Value) -> None: ...
    def inner(self, code: types.CodeType) -> Value: ...
    def call(self, callee: Value, given: list[Value], keywords: tuple[str, ...], spread: bool = False) -> Value: ...


def walk(code: types.CodeType, reader: Reader) -> None:
    """Follow all values once through a code object, and tell a reader what happens to them.

    Arguments:
        code: the code.
        reader: is told; it gives the values of variables.
    """
    _Walk(code, reader).run()


class _Walk:
    def __init__(self, code: types.CodeType, reader: Reader):
        self.code, self.reader = code, reader
        self.steps = list(dis.get_instructions(code))
        self.place = {step.offset: i for i, step in enumerate(self.steps)}
        self.stacks: dict[int, list[Value]] = {}
        self.stack: list[Value] = []
        self.keywords: tuple[str, ...] = ()

    def run(self) -> None:
        entries = _entries(self.code)
        waiting = [0]
        self.stacks[0] = []
        while waiting:
            i = waiting.pop()
            step = self.steps[i]
            self.stack = list(self.stacks[i])
            for start, end, target, depth, lasti in entries:  # an error may leave for a handler from here
                if start <= step.offset < end:
                    here = [*self.stack[:depth], *[self._any()] * (depth - len(self.stack))]
                    self._reach(self.place[target], here, waiting, 1 + lasti)
            jumps = step.opcode in dis.hasjrel or step.opcode in dis.hasjabs
            before = list(self.stack)
            self._do(step)
            if jumps and isinstance(step.argval, int) and step.argval in self.place:
                self._jump(step, before, waiting)
            if step.opname not in _ENDS and i + 1 < len(self.steps):
                self._reach(i + 1, self.stack, waiting)

    def _jump(self, step: dis.Instruction, before: list[Value], waiting: list[int]) -> None:
        target = self.place[step.argval]
        if step.opname == "FOR_ITER":
            # At its end, the iterator is gone (to 3.11), or about to be taken by END_FOR.
            depth = len(before) + dis.stack_effect(step.opcode, step.arg, jump=True)
            self._reach(target, [*before, self._any()][:depth], waiting)
        elif step.opname.startswith("JUMP_IF") and step.opname.endswith("OR_POP"):
            self._reach(target, before, waiting)
        else:
            depth = len(before) + dis.stack_effect(step.opcode, step.arg, jump=True)
            self._reach(target, [*self.stack, *[self._any()] * depth][:depth], waiting)

    def _reach(self, i: int, stack: list[Value], waiting: list[int], more: int = 0) -> None:
        stack = [*stack, *[self._any()] * more]
        known = self.stacks.get(i)
        if known is None:
            self.stacks[i] = list(stack)
            waiting.append(i)
            return
        if len(known) != len(stack):  # never in code that the compiler made
            depth = min(len(known), len(stack))
            known, stack = known[:depth], stack[:depth]
        merged = [either(a, b) for a, b in zip(known, stack, strict=True)]
        if [v.origins for v in merged] != [v.origins for v in self.stacks[i]]:
            self.stacks[i] = merged
            waiting.append(i)

    def _any(self) -> Value:
        return Value(frozenset(o for value in self.stack for o in value.origins))

    # -- one instruction ------------------------------------------------------------------------------------------

    def pop(self, count: int = 1) -> list[Value]:
        """Take values off the stack, the deepest first."""
        if not count:
            return []
        taken = self.stack[-count:]
        del self.stack[-count:]
        return taken

    def _do(self, step: dis.Instruction) -> None:
        name = step.opname
        one = getattr(self, f"_do_{name.lower()}", None)
        if one is not None:
            one(step)
        elif name.startswith(("LOAD_FAST", "STORE_FAST")):
            self._variables(step)
        elif name in _SAME:
            pass
        elif name in _UNARY:
            self.pop()
            self._push()
        elif name in _MANY or name == "BUILD_MAP":
            self._push(*self.pop((step.arg or 0) * (2 if name == "BUILD_MAP" else 1)))
        elif name in _POPS_INTO:
            self._into(self.pop(), step.arg or 1)
        else:
            self._other(step)

    def _push(self, *values: Value) -> None:
        self.stack.append(Value(frozenset(o for value in values for o in value.origins)))

    def _into(self, values: list[Value], depth: int) -> None:
        held = self.stack[-depth]
        self.stack[-depth] = Value(held.origins | {o for v in values for o in v.origins})

    def _other(self, step: dis.Instruction) -> None:
        change = dis.stack_effect(step.opcode, step.arg if step.opcode >= dis.HAVE_ARGUMENT else None, jump=False)
        anything = self._any()
        self.pop(max(0, -change))
        self.stack = [anything for _ in self.stack] + [anything] * max(0, change)

    def _variables(self, step: dis.Instruction) -> None:
        """Do one of the instructions for local variables, of which there are some for two at once."""
        names = step.argval if isinstance(step.argval, tuple) else (step.argval,)
        kinds = [kind for kind in step.opname.split("_") if kind in ("LOAD", "STORE")]
        for kind, name in zip(kinds, names, strict=False):
            if kind == "LOAD":
                self.stack.append(self.reader.load(name))
            else:
                self.reader.store(name, self.pop()[0])

    def _do_load_const(self, step: dis.Instruction) -> None:
        self.stack.append(Value(known=step.argval, is_known=True))

    _do_load_small_int = _do_load_const

    def _do_return_const(self, step: dis.Instruction) -> None:
        """Return a constant."""

    def _do_return_value(self, step: dis.Instruction) -> None:
        self.reader.give_back(self.pop()[0])

    def _do_yield_value(self, step: dis.Instruction) -> None:
        self.reader.give_back(self.stack[-1])

    def _do_pop_top(self, step: dis.Instruction) -> None:
        self.pop()

    def _do_push_null(self, step: dis.Instruction) -> None:
        self.stack.append(NULL)

    def _do_copy(self, step: dis.Instruction) -> None:
        self.stack.append(self.stack[-(step.arg or 1)])

    def _do_swap(self, step: dis.Instruction) -> None:
        i = -(step.arg or 1)
        self.stack[i], self.stack[-1] = self.stack[-1], self.stack[i]

    def _do_load_global(self, step: dis.Instruction) -> None:
        found, null = self.reader.load_global(step.argval), bool((step.arg or 0) & 1)
        self.stack += [NULL, found] if null else [found]

    def _do_load_name(self, step: dis.Instruction) -> None:
        self.stack.append(self.reader.load_global(step.argval))

    def _do_store_global(self, step: dis.Instruction) -> None:
        value = self.pop()[0]
        self.reader.written(frozenset({f"@{step.argval}"}))
        self.reader.share(frozenset({f"@{step.argval}"}), value.origins)

    _do_store_name = _do_store_global

    def _do_load_deref(self, step: dis.Instruction) -> None:
        self.stack.append(self.reader.load_cell(step.argval))

    _do_load_closure = _do_load_classderef = _do_load_deref

    def _do_store_deref(self, step: dis.Instruction) -> None:
        self.reader.store(step.argval, self.pop()[0])

    def _do_load_attr(self, step: dis.Instruction) -> None:
        method = step.opname == "LOAD_METHOD" or (step.opname == "LOAD_ATTR" and _asks_method(step))
        held = self.pop()[0]
        found = self.reader.attribute(held, step.argval)
        if method:
            self.stack += [NULL, found] if found.is_known else [found, held]
        else:
            self.stack.append(found)

    _do_load_method = _do_load_attr

    def _do_load_super_attr(self, step: dis.Instruction) -> None:
        held = self.pop(3)
        found = self.reader.attribute(held[2], step.argval)
        self.stack += [found, held[2]] if (step.arg or 0) & 1 else [found]

    def _do_store_attr(self, step: dis.Instruction) -> None:
        value, target = self.pop(2)
        self.reader.store_attribute(target, step.argval, value)

    def _do_delete_attr(self, step: dis.Instruction) -> None:
        self.reader.store_attribute(self.pop()[0], step.argval, Value())

    def _do_store_subscr(self, step: dis.Instruction) -> None:
        value, container, _ = self.pop(3)
        self.reader.store_item(container, value)

    def _do_store_slice(self, step: dis.Instruction) -> None:
        value, container, _, _ = self.pop(4)
        self.reader.store_item(container, value)

    def _do_delete_subscr(self, step: dis.Instruction) -> None:
        self.reader.store_item(self.pop(2)[0], None)

    def _do_binary_subscr(self, step: dis.Instruction) -> None:
        self._push(self.pop(2)[0])

    def _do_binary_slice(self, step: dis.Instruction) -> None:
        self._push(self.pop(3)[0])

    def _do_binary_op(self, step: dis.Instruction) -> None:
        left, right = self.pop(2)
        sign = step.argrepr
        if sign == "[]":
            self._push(left)
        else:
            self.stack.append(self.reader.binary(left, right, sign.endswith("="), sign.strip("=") in ("+", "*", "|")))

    def _do_compare_op(self, step: dis.Instruction) -> None:
        self.pop(2)
        self._push()

    _do_is_op = _do_contains_op = _do_compare_op

    def _do_build_const_key_map(self, step: dis.Instruction) -> None:
        self._push(*self.pop((step.arg or 0) + 1))

    def _do_map_add(self, step: dis.Instruction) -> None:
        self._into(self.pop(2), step.arg or 1)

    def _do_unpack_sequence(self, step: dis.Instruction) -> None:
        held = self.pop()[0]
        for _ in range(step.arg or 0):
            self._push(held)

    def _do_unpack_ex(self, step: dis.Instruction) -> None:
        held, arg = self.pop()[0], step.arg or 0
        for _ in range((arg & 0xFF) + (arg >> 8) + 1):
            self._push(held)

    def _do_for_iter(self, step: dis.Instruction) -> None:
        self._push(self.stack[-1])

    def _do_format_value(self, step: dis.Instruction) -> None:
        self.pop(2 if (step.arg or 0) & 0x04 else 1)
        self._push()

    def _do_make_function(self, step: dis.Instruction) -> None:
        code = self.pop()[0].known
        flags = step.arg or 0
        self.pop(sum(bool(flags & bit) for bit in (1, 2, 4, 8)))
        self.stack.append(self.reader.inner(code))

    def _do_set_function_attribute(self, step: dis.Instruction) -> None:
        function = self.pop()[0]
        self.pop()
        self.stack.append(function)

    def _do_kw_names(self, step: dis.Instruction) -> None:
        self.keywords = self.code.co_consts[step.arg or 0]

    def _do_call(self, step: dis.Instruction) -> None:
        given = self.pop(step.arg or 0)
        self._call(given, self.keywords)
        self.keywords = ()

    def _do_call_kw(self, step: dis.Instruction) -> None:
        names = self.pop()[0].known
        self._call(self.pop(step.arg or 0), names)

    def _call(self, given: list[Value], keywords: tuple[str, ...]) -> None:
        first, second = self.pop(2)
        # With a method comes the object that it was asked of, which its name and where it came from tell as well.
        self.stack.append(self.reader.call(second if first is NULL else first, given, keywords))

    def _do_call_function_ex(self, step: dis.Instruction) -> None:
        depth = -dis.stack_effect(step.opcode, step.arg) + 1
        taken = [value for value in self.pop(depth) if value is not NULL]
        self.stack.append(self.reader.call(taken[0], taken[1:], (), spread=True))


def _asks_method(step: dis.Instruction) -> bool:
    """Tell whether an instruction leaves a method and its object (from Python 3.12)."""
    return dis.stack_effect(step.opcode, step.arg) > 0


def _entries(code: types.CodeType) -> list[tuple[int, int, int, int, int]]:
    """Return where errors go: from, to, the handler, how much of the stack is kept, and whether a place is pushed."""
    table = dis._parse_exception_table(code)  # type: ignore[attr-defined]
    return [(e.start, e.end, e.target, e.depth, int(e.lasti)) for e in table]
