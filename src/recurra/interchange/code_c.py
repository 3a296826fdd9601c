"""The right-hand side of a program as C99."""

from __future__ import annotations

import numpy as np

from recurra.engine.system import Assign, Chain, Collect, Projection
from recurra.errors import CapabilityError, ShapeError
from recurra.interchange.code_c_helpers import HELPERS, PLAIN
from recurra.interchange.code_expressions import ATOM, Piece, Printer
from recurra.interchange.code_source import Slot, Source, shown

# So many numbers are computed on the stack; more in static memory.
_ON_STACK = 65_536
# Names of so many numbers are listed one by one.
_LISTED = 100_000
_REDUCTIONS = ("sum", "mean", "var", "std")
_WHOLE = ("softmax", "softmin", "log_softmax")


class CPrinter(Printer):
    """Write expressions of entry i of arrays."""

    def literal(self, value: float | complex) -> str:
        if isinstance(value, complex):
            raise CapabilityError("complex numbers cannot be written in C; use language='numpy'.")
        if not np.isfinite(value):
            return "NAN" if np.isnan(value) else "INFINITY" if value > 0 else "-INFINITY"
        return repr(float(value))

    def variable(self, slot: Slot) -> Piece:
        if len(slot.shape) > 1:
            return Piece(slot.name, shape=slot.shape)  # a matrix, for functions that take one
        return Piece(f"{slot.name}[{'i' if slot.size > 1 else '0'}]", shape=(slot.size,) if slot.size > 1 else ())

    def counted(self, piece: Piece) -> Piece:
        return Piece(f"(double){piece.text}", shape=piece.shape, depth=piece.depth) if piece.truth else piece

    def comparison(self, op: str, left: Piece, right: Piece) -> Piece:
        return Piece(f"({left.text} {op} {right.text})", truth=True, shape=self.joined((left, right), op))

    def boolean(self, op: str, parts: tuple[Piece, ...]) -> Piece:
        shape = self.joined(parts, op)
        if op == "not":
            return Piece(f"(!{parts[0].held(ATOM)})", truth=True, shape=shape)
        sign = " && " if op == "and" else " || "
        return Piece(f"({sign.join(f'({part.text} != 0)' for part in parts)})", truth=True, shape=shape)

    def choice(self, condition: Piece, then: Piece, otherwise: Piece) -> Piece:
        shape = self.joined((condition, then, otherwise), "where")
        return Piece(f"(({condition.text} != 0) ? {then.text} : {otherwise.text})", shape=shape)

    def joined(self, parts: tuple[Piece, ...], where: str) -> tuple[int, ...]:
        shapes = {part.shape for part in parts} - {()}
        if len(shapes) > 1 or any(len(shape) > 1 for shape in shapes):
            raise CapabilityError(
                f"{where}: values of the shapes {sorted(shapes)} cannot be joined in C; use language='numpy'."
            )
        return shapes.pop() if shapes else ()

    def call(self, function: str, parts: tuple[Piece, ...], where: str) -> Piece:
        if function in ("real", "conj", "no_op"):
            return parts[0]
        if function == "imag":
            return self.number(0.0)
        if function == "power" and parts[1].constant == 2:
            function, parts = "square", parts[:1]
        if function in PLAIN:
            return self._plain(PLAIN[function], parts, where)
        if function in _REDUCTIONS:
            vector, size = self._vector(parts[0])
            return self._used(function, f"f_{function}({vector}, {size})")
        if function in _WHOLE:
            vector, size = self._vector(parts[0])
            return self._filled(function, f"f_{function}({vector}, {size}, {{to}});", size)
        special = {
            "roll": self._roll, "index": self._index, "index_2d": self._index_2d, "index_range": self._range,
            "matmul": self._matmul, "interp": self._interp, "concatenate": self._concatenate,
        }  # fmt: skip
        if function in special:
            return special[function](parts)
        if function not in HELPERS:
            raise KeyError(function)
        self.used.add(function)
        return self._plain(f"f_{function}", parts, where)

    def stored(self, piece: Piece) -> Piece:
        name, _ = self._vector(self.counted(piece), always=True)
        return Piece(f"{name}[{'i' if piece.shape else '0'}]", shape=piece.shape)

    def _plain(self, name: str, parts: tuple[Piece, ...], where: str) -> Piece:
        return Piece(f"{name}({', '.join(p.text for p in parts)})", shape=self.joined(parts, where))

    def _used(self, helper: str, text: str, shape: tuple[int, ...] = ()) -> Piece:
        self.used.add(helper)
        return Piece(text, shape=shape)

    def _vector(self, piece: Piece, always: bool = False) -> tuple[str, int]:
        """Keep a vector in an array of its own; return its name and its number of entries."""
        if len(piece.shape) > 1:
            raise CapabilityError("a matrix cannot stand here in C; use language='numpy'.")
        name, size = self.fresh(), piece.shape[0] if piece.shape else 1
        self.lines += [f"double {name}[{size}];", f"for (int i = 0; i < {size}; i++) {name}[i] = {piece.text};"]
        return name, size

    def _filled(self, helper: str, statement: str, size: int) -> Piece:
        """Let a helper fill an array."""
        name = self.fresh()
        self.lines += [f"double {name}[{size}];", statement.replace("{to}", name)]
        if helper:
            self.used.add(helper)
        return Piece(f"{name}[{'i' if size > 1 else '0'}]", shape=(size,) if size > 1 else ())

    def _roll(self, parts: tuple[Piece, ...]) -> Piece:
        steps = _whole(parts[1], "roll")
        name, size = self._vector(parts[0])
        return Piece(f"{name}[(i + {-steps % size}) % {size}]", shape=(size,)) if size > 1 else Piece(f"{name}[0]")

    def _index(self, parts: tuple[Piece, ...]) -> Piece:
        name, size = self._vector(parts[0])
        return self._used("index", f"f_index({name}, {size}, {parts[1].text})", parts[1].shape)

    def _index_2d(self, parts: tuple[Piece, ...]) -> Piece:
        matrix, *at = parts
        if len(matrix.shape) != 2:
            raise CapabilityError("two indices need a matrix.")
        rows, columns = matrix.shape
        text = f"f_index_2d({matrix.text}, {rows}, {columns}, {at[0].text}, {at[1].text})"
        return self._used("index_2d", text, self.joined(tuple(at), "index_2d"))

    def _range(self, parts: tuple[Piece, ...]) -> Piece:
        name, size = self._vector(parts[0])
        start, stop, _ = slice(_whole(parts[1], "index_range"), _whole(parts[2], "index_range")).indices(size)
        if stop <= start:
            raise ShapeError("index_range leaves nothing.")
        return Piece(f"{name}[i + {start}]", shape=(stop - start,)) if stop - start > 1 else Piece(f"{name}[{start}]")

    def _matmul(self, parts: tuple[Piece, ...]) -> Piece:
        matrix, vector = parts
        if len(matrix.shape) != 2 or len(vector.shape) > 1:
            raise CapabilityError("matmul is written in C for a matrix and a vector only; use language='numpy'.")
        name, _ = self._vector(vector)
        rows, columns = matrix.shape
        return self._filled("matmul", f"f_matmul({matrix.text}, {name}, {rows}, {columns}, {{to}});", rows)

    def _interp(self, parts: tuple[Piece, ...]) -> Piece:
        at, size = self._vector(parts[1])
        values, _ = self._vector(parts[2])
        return self._used("interp", f"f_interp({parts[0].text}, {at}, {values}, {size})", parts[0].shape)

    def _concatenate(self, parts: tuple[Piece, ...]) -> Piece:
        kept = [self._vector(part) for part in parts]
        name, size, start = self.fresh(), sum(n for _, n in kept), 0
        self.lines.append(f"double {name}[{size}];")
        for each, n in kept:
            self.lines.append(f"for (int i = 0; i < {n}; i++) {name}[{start} + i] = {each}[i];")
            start += n
        return Piece(f"{name}[{'i' if size > 1 else '0'}]", shape=(size,) if size > 1 else ())


def _whole(piece: Piece, function: str) -> int:
    if piece.constant is None or isinstance(piece.constant, complex):
        raise CapabilityError(f"{function} is written in C for literal numbers only; use language='numpy'.")
    return int(piece.constant)


def write_c(source: Source) -> str:
    """Return the text of the file; see :func:`recurra.interchange.export_function`.

    Raises:
        CapabilityError: the program has complex numbers, or uses what C has not.
    """
    if source.is_complex:
        raise CapabilityError("the model has complex numbers, which cannot be written in C; use language='numpy'.")
    writer = _Writer(source)
    body = writer.body()
    states, params = _entries(source.state_index, len(source.y0)), _entries(source.param_index, len(source.p0))
    header = [
        f"/* Right-hand side of {shown(source.name) or 'a model'}: f(t, y, params, dy) sets dy to dy/dt.",
        "",
        f"   {len(source.y0)} states y:",
        *_places(source.state_index),
        "",
        f"   {len(source.p0)} numbers params:",
        *_places(source.param_index),
        "*/",
    ]
    text = [
        "\n".join(header),
        "#include <math.h>",
        f"const int f_number_of_states = {len(source.y0)};\nconst int f_number_of_parameters = {len(source.p0)};",
        f"const double f_y0[] = {_numbers(source.y0)};\nconst double f_params0[] = {_numbers(source.p0)};",
        _strings("f_state_names", states),
        _strings("f_parameter_names", params),
    ]
    for table, (key, values) in source.tables.items():
        listed = ", ".join(str(int(v)) for v in values.ravel().tolist()) or "0"
        text.append(f"static const int {table}[] = {{{listed}}};  /* {shown(key)} */")
    text += [HELPERS[name] for name in sorted(writer.printer.used)]
    signature = "void f(double t, const double *y, const double *params, double *dy) {"
    text.append("\n".join([signature, "    (void)t; (void)y; (void)params;", *(f"    {line}" for line in body), "}"]))
    return "\n\n".join(text) + "\n"


def _places(index: dict) -> list[str]:
    """Return a line for every path: its first place, its last one, and how many there are."""
    ends = [(place[0], place[1] - 1) if isinstance(place, tuple) else (place[0], place[-1]) for place in index.values()]
    counts = [len(range(*place)) if isinstance(place, tuple) else len(place) for place in index.values()]
    rows = zip(ends, counts, index, strict=True)
    return [f"   {low:6d} to {high:6d} ({count})  {shown(path)}" for (low, high), count, path in rows]


def _entries(index: dict, size: int) -> list[str]:
    """Return a name for every number of a vector; none for so many that nobody reads them."""
    if size > _LISTED:
        return []
    found = [""] * size
    for path, place in index.items():
        places = range(*place) if isinstance(place, tuple) else place
        for unit, at in enumerate(places):
            found[at] = path if len(places) == 1 else f"{path}[{unit}]"
    return found


def _numbers(values: np.ndarray) -> str:
    literal = CPrinter({}).literal
    return "{" + (", ".join(literal(value) for value in values.tolist()) or "0") + "}"


def _strings(name: str, texts: list[str]) -> str:
    rows = ",\n".join(f'    "{_escaped(text)}"' for text in texts) or '    ""'
    return f"const char *const {name}[] = {{\n{rows}\n}};"


def _escaped(text: str) -> str:
    r"""Return a text for a literal of C: everything but letters, digits and a few marks as octal numbers.

    >>> _escaped('a"??/')
    'a\\042\\077\\077/'
    """
    plain = "_ ./:->[]#+"
    return "".join(
        chr(byte) if (chr(byte).isalnum() and byte < 128) or chr(byte) in plain else f"\\{byte:03o}"
        for byte in text.encode("utf-8", "replace")
    )


class _Writer:
    """Write the body of f, statement by statement."""

    def __init__(self, source: Source):
        self.source, self.system, self.slots = source, source.system, source.slots
        self.printer = CPrinter(source.slots)
        self.lines: list[str] = []
        computed = [slot.size for slot in source.slots.values() if slot.start is None]
        computed += [slot.size for slot in (source.slots[c.target] for c in self._collects())]
        self.storage = "static " if sum(computed) > _ON_STACK else ""

    def _collects(self) -> list[Collect]:
        return [item for item in self.system.schedule if isinstance(item, Collect)]

    def body(self) -> list[str]:
        """Return the statements."""
        driven = {item.target for item in self._collects()}
        for vector, keys in (("y", self.source.states), ("params", self.source.params)):
            for key in keys:
                slot = self.slots[key]
                # The default of an input keeps a name of its own: what arrives takes the input's.
                name = f"default_{slot.name}" if key in driven else slot.name
                self._line(f"const double *{name} = {vector} + {slot.start}; (void){name};  /* {shown(key)} */")
        for noise in self.system.noises:
            slot = self.slots[noise.target]
            self._line(f"const double {slot.name}[{slot.size}] = {{0}}; (void){slot.name};  /* noise, left out */")
        for chain in self.system.chains:
            slot = self.slots[chain.state]
            last = (slot.shape[0] - 1) * self._width(slot)
            name = self.slots[chain.output].name
            self._line(f"const double *{name} = {slot.name} + {last}; (void){name};")
        for item in self.system.schedule:
            if isinstance(item, Assign):
                slot = self.slots[item.target]
                self._line(f"{self.storage}double {slot.name}[{slot.size}]; (void){slot.name};")
                self._assign(item, slot.name)
            else:
                self._collect(item)
        for item in self.system.derivatives:
            self._assign(item, f"(dy + {self.slots[item.target].start})")
        for chain in self.system.chains:
            self._chain(chain)
        return self.lines

    @staticmethod
    def _width(slot: Slot) -> int:
        return int(np.prod(slot.shape[1:]))

    def _line(self, line: str) -> None:
        self.lines.append(line)

    def _loop(self, size: int, statement: str) -> None:
        self._line(f"for (int i = 0; i < {size}; i++) {statement}")

    def _assign(self, item: Assign, to: str) -> None:
        slot = self.slots[item.target]
        piece = self.printer.write(item.expression, dict(item.names), item.target)
        self.lines += self.printer.lines
        self.printer.lines = []
        if piece.shape not in ((), (slot.size,)) or len(slot.shape) > 1:
            raise CapabilityError(
                f"{item.target}: an equation of the shape {piece.shape} for a variable of the shape {slot.shape} cannot"
                " be written in C; use language='numpy'."
            )
        self._loop(slot.size, f"{to}[i] = {piece.text};  /* {shown(item.target)} */")

    def _collect(self, item: Collect) -> None:
        slot = self.slots[item.target]
        default = f"default_{slot.name}[i]" if item.target in self.source.params else "0.0"
        start = {"open": default, "wired": "0.0"}.get(item.base, "")
        if item.base == "mixed":
            start = f"{self.source.table_names[f'{item.target}/open']}[i] ? {default} : 0.0"
        self._line(f"{self.storage}double {slot.name}[{slot.size}]; (void){slot.name};  /* {shown(item.target)} */")
        self._loop(slot.size, f"{slot.name}[i] = {start};")
        for key in item.signals:
            signal = self.slots[key]
            self._loop(slot.size, f"{slot.name}[i] += {signal.name}[{'i' if signal.size > 1 else '0'}];")
        for number in item.projections:
            self._deliver(self.system.projections[number], slot)

    def _deliver(self, projection: Projection, slot: Slot) -> None:
        """Add what a projection brings, as `recurra.engine.delivery` computes it."""
        source, tables = self.slots[projection.source].name, self.source.table_names
        weight = self.slots[projection.weights] if projection.weights else None
        name = weight.name if weight else ""
        low, high = projection.target_slice or (0, slot.size)
        to = f"{slot.name}[{low} + i]" if low else f"{slot.name}[i]"
        at = "[i]" if weight and weight.size > 1 else "[0]"
        times = f"{name}{at} * " if weight else ""
        self._line(f"/* {shown(projection.label)} */")
        if projection.delivery in ("dense", "pairs"):
            columns = projection.shape[1] if projection.delivery == "dense" else self._width(weight)  # type: ignore
            read = "j" if projection.delivery == "dense" else f"(long)i * {columns} + j"
            term = f"{name}[(long)i * {columns} + j] * {source}[{read}]"
            self._loop(high - low, f"{{ double s = 0; for (int j = 0; j < {columns}; j++) s += {term}; {to} += s; }}")
        elif projection.delivery == "one_to_one":
            self._loop(high - low, f"{to} += {times}{source}[i];")
        elif projection.delivery == "all_to_all":
            first, last = projection.source_slice or (0, projection.shape[1])
            total = self.printer.fresh()
            self._line(f"double {total} = 0; for (int j = {first}; j < {last}; j++) {total} += {source}[j];")
            self._loop(high - low, f"{to} += {times}{total};")
        elif projection.delivery == "gather":
            self._loop(high - low, f"{to} += {times}{source}[{tables[projection.columns]}[i]];")
        else:
            entries = len(self.source.tables[tables[projection.columns]][1])
            row = f"{low} + {tables[projection.rows]}[i]" if low else f"{tables[projection.rows]}[i]"
            self._loop(entries, f"{slot.name}[{row}] += {times}{source}[{tables[projection.columns]}[i]];")

    def _chain(self, chain: Chain) -> None:
        slot, source = self.slots[chain.state], self.slots[chain.source]
        width, delay = self._width(slot), self.slots[chain.delays]
        pick = f"{self.source.table_names[chain.columns]}[i]" if chain.columns else "i" if source.size > 1 else "0"
        rate = f"{chain.order} / {delay.name}[{'i' if delay.size > 1 else '0'}]"
        first = f"{rate} * ({source.name}[{pick}] - {slot.name}[i])"
        self._loop(width, f"dy[{slot.start} + i] = {first};")
        rest = f"{slot.name}[(j - 1) * {width} + i] - {slot.name}[j * {width} + i]"
        inner = f"dy[{slot.start} + j * {width} + i] = {rate} * ({rest});"
        self._loop(width, f"for (int j = 1; j < {slot.shape[0]}; j++) {inner}")
