"""The right-hand side of a program as a module of Python that needs NumPy only."""

from __future__ import annotations

import numpy as np

from recurra.engine.system import Assign, Chain, Collect, Projection
from recurra.interchange.code_expressions import Piece, Printer
from recurra.interchange.code_source import Slot, Source, shown

_SAME = (
    "sin cos tan sinh cosh tanh exp arcsin arccos arctan arcsinh arccosh arctanh arctan2 log log10 log2 log1p expm1"
    " sign floor ceil round square real imag conj angle sqrt abs mod maximum minimum power matmul interp"
)
_CALLS = {name: f"np.{name}" for name in _SAME.split()}
_COMPARE = {
    "<": "np.less", "<=": "np.less_equal", ">": "np.greater", ">=": "np.greater_equal", "==": "np.equal",
    "!=": "np.not_equal",
}  # fmt: skip

# What NumPy has not; only those that are used are written.
_HELPERS = {
    "clip": "def _clip(x, low, high):\n    return np.minimum(np.maximum(x, low), high)",
    "heaviside": "def _heaviside(x):\n    return np.heaviside(x, 1.0)",
    "sigmoid": (
        "def _sigmoid(x):\n    right = np.real(x) >= 0\n    e = np.exp(np.where(right, -1.0 * x, x))\n"
        "    return np.where(right, 1.0 / (1.0 + e), e / (1.0 + e))"
    ),
    "softplus": "def _softplus(x):\n    return np.logaddexp(x, 0.0)",
    "relu": "def _relu(x):\n    return np.maximum(x, 0.0)",
    "erf": "def _erf(x):\n    return np.vectorize(math.erf, otypes=[float])(x)",
    "exprel": (
        "def _exprel(x):\n    safe = np.where(x == 0, 1.0, x)\n    return np.where(x == 0, 1.0, np.expm1(safe) / safe)"
    ),
    "no_op": "def _no_op(x):\n    return x",
    "log_softmax": (
        "def _log_softmax(x):\n    shifted = np.atleast_1d(x) - np.max(x)\n"
        "    return shifted - np.log(np.sum(np.exp(shifted)))"
    ),
    "softmax": (
        "def _softmax(x):\n    e = np.exp(np.atleast_1d(x) - np.max(x))\n    return e / np.sum(e)"
    ),
    "softmin": (
        "def _softmin(x):\n    e = np.exp(np.min(x) - np.atleast_1d(x))\n    return e / np.sum(e)"
    ),
    **{
        name: f"def _{name}(x):\n    return np.{name}(np.atleast_1d(x), axis=-1)"
        for name in ("mean", "sum", "std", "var")
    },
    "roll": "def _roll(x, n):\n    return np.roll(np.atleast_1d(x), int(n), axis=-1)",
    "index": (
        "def _index(x, *indices):\n    x = np.asarray(x)\n"
        "    whole = [np.trunc(np.asarray(i, float)).astype(int) for i in indices]\n    inside = True\n"
        "    for size, i in zip(x.shape, whole):\n        inside = inside & (-size <= i) & (i < size)\n"
        "    found = x[tuple(np.where(inside, i, 0) for i in whole)]\n    return np.where(inside, found, np.nan)"
    ),
    "index_range": "def _index_range(x, start, stop):\n    return np.asarray(x)[int(start) : int(stop)]",
    "index_axis": (
        "def _index_axis(x, i=None, axis=0):\n"
        "    return np.asarray(x) if i is None else np.take(x, int(i), axis=int(axis))"
    ),
    "concatenate": (
        "def _concatenate(*parts):\n    return np.concatenate([np.atleast_1d(p) for p in parts], axis=-1)"
    ),
}


class NumpyPrinter(Printer):
    """Write expressions of whole arrays."""

    def literal(self, value: float | complex) -> str:
        if isinstance(value, complex):
            return f"complex({self.literal(value.real)}, {self.literal(value.imag)})"
        if not np.isfinite(value):
            return "np.nan" if np.isnan(value) else "np.inf" if value > 0 else "-np.inf"
        return repr(float(value))

    def variable(self, slot: Slot) -> Piece:
        return Piece(slot.name, shape=slot.shape)

    def counted(self, piece: Piece) -> Piece:
        return Piece(f"np.where({piece.text}, 1.0, 0.0)", depth=piece.depth) if piece.truth else piece

    def comparison(self, op: str, left: Piece, right: Piece) -> Piece:
        return Piece(f"{_COMPARE[op]}({left.text}, {right.text})", truth=True)

    def boolean(self, op: str, parts: tuple[Piece, ...]) -> Piece:
        if op == "not":
            return Piece(f"np.logical_not({parts[0].text})", truth=True)
        text = parts[0].text
        for part in parts[1:]:
            text = f"np.logical_{op}({text}, {part.text})"
        return Piece(text, truth=True)

    def choice(self, condition: Piece, then: Piece, otherwise: Piece) -> Piece:
        return Piece(f"np.where({condition.text}, {then.text}, {otherwise.text})")

    def call(self, function: str, parts: tuple[Piece, ...], where: str) -> Piece:
        arguments = ", ".join(part.text for part in parts)
        if function == "power" and parts[1].constant == 2:
            return Piece(f"np.square({parts[0].text})")
        if function in _CALLS:
            return Piece(f"{_CALLS[function]}({arguments})")
        helper = "index" if function == "index_2d" else function
        self.used.add(helper if helper in _HELPERS else _HELPERS[helper])
        return Piece(f"_{helper}({arguments})")

    def stored(self, piece: Piece) -> Piece:
        name = self.fresh()
        self.lines.append(f"{name} = {piece.text}")
        return Piece(name, truth=piece.truth)

    def joined(self, parts: tuple[Piece, ...], where: str) -> tuple[int, ...]:
        return ()


def write_numpy(source: Source) -> str:
    """Return the text of the module; see :func:`recurra.interchange.export_function`."""
    writer = _Writer(source)
    body = writer.body()
    name = shown(source.name) or "a model"
    used = sorted(writer.printer.used)
    parts = [
        f'"""Right-hand side of {name}: dy/dt = f(t, y, params). Needs NumPy only.\n\n'
        "STATES and PARAMETERS say where each variable is: (first, last + 1) or a list of places in y and params.\n"
        '"""',
        "\n".join([*(["import math\n"] if "erf" in used else []), "import numpy as np"]),
        f"STATES = {_index(source.state_index)}",
        f"PARAMETERS = {_index(source.param_index)}",
        f"Y0 = {_array(source.y0)}\nP0 = {_array(source.p0)}",
    ]
    parts += [f"{table} = {_array(values)}  # {shown(key)}" for table, (key, values) in source.tables.items()]
    text = "\n\n".join(parts)
    functions = ["def _fit(value, shape):\n    return np.broadcast_to(np.asarray(value) * 1.0, shape)"]
    functions += [_HELPERS[helper] for helper in used]
    signature = 'def f(t, y, params=P0):\n    """Return dy/dt at time t, laid out as y."""\n'
    functions.append(signature + "\n".join(f"    {line}" for line in body))
    return text + "\n\n\n" + "\n\n\n".join(functions) + "\n"


def _index(places: dict) -> str:
    rows = [f"    {path!a}: {place!r}," for path, place in places.items()]
    return "{\n" + "\n".join(rows) + "\n}" if rows else "{}"


def _array(values: np.ndarray) -> str:
    if values.dtype.kind == "b":
        return f"np.array({values.tolist()!r}, bool)"
    if values.dtype.kind in "iu":
        return f"np.array({values.tolist()!r}, int)"
    literal = NumpyPrinter({}).literal
    kind = "complex" if values.dtype.kind == "c" else "float"
    rows = ", ".join(literal(value) for value in values.tolist())
    return f"np.array([{rows}], {kind})"


class _Writer:
    """Write the body of f, statement by statement."""

    def __init__(self, source: Source):
        self.source, self.system, self.slots = source, source.system, source.slots
        self.printer = NumpyPrinter(source.slots)
        self.lines: list[str] = []

    def body(self) -> list[str]:
        """Return the statements."""
        source = self.source
        head = ["t = np.float64(t)", "y = np.asarray(y)", "params = np.asarray(params)"]
        for vector, keys in (("y", source.states), ("params", source.params)):
            mixed = any(self.slots[key].complex for key in keys)
            for key in keys:
                slot = self.slots[key]
                real = ".real" if mixed and not slot.complex else ""
                shape = "" if len(slot.shape) == 1 else f".reshape({slot.shape!r})"
                head.append(f"{slot.name} = {vector}[{slot.start}:{slot.stop}]{real}{shape}  # {shown(key)}")
        for noise in self.system.noises:
            slot = self.slots[noise.target]
            head.append(f"{slot.name} = np.zeros({slot.shape!r})  # noise, left out")
        for chain in self.system.chains:
            head.append(f"{self.slots[chain.output].name} = {self.slots[chain.state].name}[-1]")
        for item in self.system.schedule:
            if isinstance(item, Assign):
                self._assign(item, self.slots[item.target].name)
            else:
                self._collect(item)
        is_complex = any(self.slots[key].complex for key in source.states)
        self.lines.append(f"dy = np.zeros({len(source.y0)}, {'complex' if is_complex else 'float'})")
        for item in self.system.derivatives:
            slot = self.slots[item.target]
            self._assign(item, f"dy[{slot.start}:{slot.stop}]", len(slot.shape) > 1)
        for chain in self.system.chains:
            self._chain(chain)
        return [*head, 'with np.errstate(all="ignore"):', *(f"    {line}" for line in self.lines), "return dy"]

    def _assign(self, item: Assign, to: str, flat: bool = False) -> None:
        slot = self.slots[item.target]
        piece = self.printer.write(item.expression, dict(item.names), item.target)
        self.lines += self.printer.lines
        self.printer.lines = []
        ravel = ".ravel()" if flat else ""
        self.lines.append(f"{to} = _fit({piece.text}, {slot.shape!r}){ravel}  # {shown(item.target)}")

    def _collect(self, item: Collect) -> None:
        slot = self.slots[item.target]
        # The name stands for the default until what arrives takes its place.
        name = slot.name
        kind = "complex" if slot.complex else "float"
        start = f"np.zeros({slot.shape!r}, {kind})"
        if item.base == "open":
            start = f"{start} + {name}"
        elif item.base == "mixed":
            start = f"{start} + np.where({self.source.table_names[f'{item.target}/open']}, {name}, 0.0)"
        self.lines.append(f"{name} = {start}  # {shown(item.target)}")
        for key in item.signals:
            self.lines.append(f"{name} = {name} + {self.slots[key].name}")
        for number in item.projections:
            projection = self.system.projections[number]
            brought, part = self._delivered(projection), projection.target_slice
            if part is not None and part != (0, slot.shape[0]):
                self.lines.append(f"{name}[{part[0]}:{part[1]}] += {brought}")
            else:
                self.lines.append(f"{name} = {name} + {brought}  # {shown(projection.label)}")

    def _delivered(self, projection: Projection) -> str:
        """Return what a projection brings, as `recurra.engine.delivery` computes it."""
        source = self.slots[projection.source].name
        weights = self.slots[projection.weights].name if projection.weights else ""
        times = f"{weights} * " if weights else ""
        tables = self.source.table_names
        if projection.delivery == "dense":
            return f"{weights} @ {source}"
        if projection.delivery == "one_to_one":
            return f"{weights} * {source}"
        if projection.delivery == "pairs":
            return f"np.sum({weights} * {source}.reshape({self.slots[projection.weights].shape!r}), axis=1)"
        if projection.delivery == "all_to_all":
            low, high = projection.source_slice or (0, projection.shape[1])
            return f"{weights} * np.sum({source}[{low}:{high}])"
        picked = f"{times}{source}[{tables[projection.columns]}]"
        if projection.delivery == "gather":
            return picked
        name, slot = self.printer.fresh(), self.slots[projection.source]
        kind = "complex" if slot.complex else "float"
        self.lines.append(f"{name} = np.zeros({projection.shape[0]}, {kind})")
        self.lines.append(f"np.add.at({name}, {tables[projection.rows]}, {picked})")
        return name

    def _chain(self, chain: Chain) -> None:
        slot, source = self.slots[chain.state], self.slots[chain.source].name
        entering = f"{source}[{self.source.table_names[chain.columns]}]" if chain.columns else source
        rate = f"{chain.order} / {self.slots[chain.delays].name}"
        before = f"np.concatenate([np.broadcast_to({entering}, {slot.shape[1:]!r})[None], {slot.name}[:-1]])"
        self.lines.append(f"dy[{slot.start}:{slot.stop}] = ({rate} * ({before} - {slot.name})).ravel()")
