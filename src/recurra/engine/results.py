"""What a run gives back: labelled recordings, the final state, and where they come from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.courtesy import brief
from recurra.engine.open_ends import OpenEnd, split_arrays
from recurra.engine.origin import Origin
from recurra.engine.store import write_atomically
from recurra.errors import OptionError, PathError, unknown
from recurra.files import read_arrays, refusing

Name = str | tuple[str, ...]

if TYPE_CHECKING:
    import pandas
    import xarray
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Hold the whole state at one moment, so that a run can go on from it.

    Arguments:
        state: every state variable and ring, by storage key.
        step: number of steps since `t0`.
        t0, dt: time of step 0, and the step.
        origin: which model it is a state of. It goes on in another one with the same equations, whatever the numbers of
            that; `dataclasses.replace(snapshot, origin=None)` goes on wherever the shapes fit.
        end: what it takes to compute the last row again, where its inputs did not say how they go on; `None` else.

    >>> from recurra import CircuitTemplate
    >>> from recurra.engine import simulate
    >>> program = CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp").program
    >>> final = simulate(program, 1.0, dt=0.25).final
    >>> final.step, final.dt, simulate(program, 0.5, dt=0.25, state=final).time.tolist()
    (4, 0.25, [1.0, 1.25])
    """

    state: Mapping[str, np.ndarray]
    step: int
    t0: float
    dt: float
    origin: Origin | None = None
    end: OpenEnd | None = None

    __repr__ = brief

    def __getitem__(self, key: str) -> np.ndarray:
        """Return one array of the state by its storage key."""
        if not isinstance(key, str) or key not in self.state:
            raise PathError(unknown("state", key, self.state))
        return self.state[key]

    @property
    def about(self) -> dict[str, Any]:
        """Return what files hold beside the arrays."""
        origin = None if self.origin is None else self.origin.parts
        return {"step": int(self.step), "t0": float(self.t0), "dt": float(self.dt), "origin": origin}

    @classmethod
    def of_file(
        cls, state: Mapping[str, np.ndarray], about: Mapping[str, Any], end: OpenEnd | None = None
    ) -> Snapshot:
        """Return the snapshot of arrays and what a file says about them.

        Raises:
            KeyError, TypeError, ValueError: it is not what `about` wrote.
        """
        told = about.get("origin")
        origin = None if told is None else Origin(None, {str(k): str(v) for k, v in told.items()})
        return cls(state, int(about["step"]), float(about["t0"]), float(about["dt"]), origin, end)

    def save(self, path: str | Path) -> None:
        """Write the snapshot to an `.npz` file, without pickle."""
        arrays: dict[str, Any] = {f"state:{key}": value for key, value in self.state.items()}
        arrays |= self.end.to_arrays() if self.end is not None else {}
        meta = json.dumps({"kind": "recurra.Snapshot", **self.about})
        write_atomically(path, lambda file: np.savez(file, meta=np.array(meta), **arrays))

    @classmethod
    def load(cls, path: str | Path) -> Snapshot:
        """Read a snapshot that `save` wrote.

        Raises:
            StoreError: the file is not a snapshot.
        """
        meta, arrays = read_arrays(path, "recurra.Snapshot")
        with refusing(path, "not a complete snapshot"):
            own, end = split_arrays(arrays)
            return cls.of_file({key.removeprefix("state:"): value for key, value in own.items()}, meta, end)


def time_of(state: object) -> float:
    """Return the time at which a run begins that goes on from a state; 0 for anything else, which is refused later."""
    return state.t0 + state.step * state.dt if isinstance(state, Snapshot) else 0.0


@dataclass(frozen=True, eq=False)
class Result:
    """Hold what a run recorded.

    Row k of every recording is the state at `time[k]`, before the step that starts there.

    Arguments:
        time: `(rows,)`.
        data: name -> `(rows, units)`, with a leading axis for a batch of parameter sets and one for trials.
        labels: name -> the path of every unit.
        final: the state after the last step; hand it to `simulate(..., state=)` to go on.
        meta: seed, dt, solver, precision, versions, and what happened.

    >>> from recurra import CircuitTemplate
    >>> from recurra.engine import simulate
    >>> program = CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp").program
    >>> first = simulate(program, 1.0, dt=0.25, record={"x": "p/vdp_op/x"})
    >>> first.time.tolist(), first["x"].shape, first.labels["x"], first.meta["solver"]
    ([0.0, 0.25, 0.5, 0.75], (4, 1), ['p/vdp_op/x'], 'euler')
    >>> second = simulate(program, 1.0, dt=0.25, record={"x": "p/vdp_op/x"}, state=first.final)
    >>> whole = simulate(program, 2.0, dt=0.25, record={"x": "p/vdp_op/x"})
    >>> bool(np.all(np.concatenate([first["x"], second["x"]]) == whole["x"]))
    True
    """

    time: np.ndarray
    data: Mapping[str, np.ndarray]
    labels: Mapping[str, list[str]]
    final: Snapshot
    meta: Mapping[str, object] = field(default_factory=dict)

    @property
    def interrupted(self) -> bool:
        """Say whether Ctrl-C ended the run, so that there are fewer rows than were asked for; go on from `final`."""
        return bool(self.meta.get("interrupted"))

    @property
    def marks(self) -> dict[str, bool]:
        """Return what a table of the result must carry along: `interrupted`, if it is so."""
        return {"interrupted": True} if self.interrupted else {}

    def __getitem__(self, name: Name) -> np.ndarray:
        """Return one recording, `(rows, units)`; `"steps"` gives the number of the step at every row.

        Arguments:
            name: the name, or its parts: `("node", "operator/variable")`.

        Raises:
            PathError: there is no such recording.
        """
        if name == "steps" and "steps" not in self.data:
            return np.rint((self.time - self.final.t0) / self.final.dt).astype(int)
        return np.asarray(self.data[self.find(name)])

    def find(self, name: Name) -> str:
        """Return the name of a recording in one piece.

        Raises:
            PathError: there is none; the message says which there are.
        """
        if not isinstance(name, str | tuple):
            few = next(iter(self.data), "x")
            raise PathError(
                f"[{_row(name)}]: a result is read by the name of a recording, which gives an array:"
                f" result[{few!r}][{_row(name)}] for rows of it, result.to_dataframe() for a table."
                f" {unknown('recording', name, self.data)}"
            )
        key = name if isinstance(name, str) else "/".join(map(str, name))
        if key not in self.data:
            raise PathError(unknown("recording", key, self.data))
        return key

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __bool__(self) -> bool:
        return True

    def __contains__(self, name: object) -> bool:
        return ("/".join(map(str, name)) if isinstance(name, tuple) else name) in self.data

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {value.shape}" for name, value in self.data.items())
        span = f"{self.time[0]:g} to {self.time[-1]:g}" if len(self.time) else "empty"
        return f"Result(time {span}, {len(self.time)} rows; {shapes})"

    def __len__(self) -> int:
        """Return the number of recordings."""
        return len(self.data)

    def keys(self) -> list[str]:
        """List the names of the recordings."""
        return list(self.data)

    def values(self) -> list[np.ndarray]:
        """List the recordings, in the order of `keys`."""
        return [self[name] for name in self.data]

    def items(self) -> list[tuple[str, np.ndarray]]:
        """List pairs of name and recording."""
        return [(name, self[name]) for name in self.data]

    def get(self, name: Name, default: Any = None) -> Any:
        """Return one recording, or something else if there is none of this name."""
        return self[name] if name in self or name == "steps" else default

    def to_numpy(self, name: Name | None = None) -> np.ndarray:
        """Return one recording, or all of them side by side: `(rows, all units)`."""
        if name is not None:
            return self[name]
        if not self.data:
            return np.zeros((len(self.time), 0))
        return np.concatenate(list(self.data.values()), axis=-1)

    def to_dataframe(self) -> pandas.DataFrame:
        """Return a table with the time as index and one column per unit; `(name, unit)` where a name has several.

        Raises:
            OptionError: the result is a batch; use `to_xarray`.
        """
        import pandas

        if any(value.ndim != 2 for value in self.data.values()):
            raise OptionError("several runs have an axis more: use to_xarray(), or take one of them.")
        index = pandas.Index(self.time, name="time")
        single = all(value.shape[1] == 1 for value in self.data.values())
        columns: object = list(self.data)
        if not single:
            pairs = [(name, label) for name in self.data for label in self.labels[name]]
            columns = pandas.MultiIndex.from_tuples(pairs, names=["name", "unit"])
        table = pandas.DataFrame(self.to_numpy(), index=index, columns=columns)  # type: ignore[arg-type]
        table.attrs.update(self.marks)
        return table

    def to_xarray(self) -> xarray.Dataset:
        """Return a dataset with dimensions `(batch, trial,) time, <name>_unit` and the provenance as attributes."""
        import xarray

        arrays, coords = {}, {"time": self.time}
        for name, value in self.data.items():
            trial = ["trial"] if "trials" in self.meta else []
            dims = [*(["batch"] if value.ndim > 2 + len(trial) else []), *trial, "time"]
            if value.shape[-1] == 1:
                arrays[name] = (dims, value[..., 0])
            else:
                arrays[name] = ([*dims, f"{name}_unit"], value)
                coords[f"{name}_unit"] = np.array(self.labels[name])
        plain = {k: v if isinstance(v, (int, float, str)) else json.dumps(v, default=str) for k, v in self.meta.items()}
        return xarray.Dataset(arrays, coords=coords, attrs=plain)

    def plot(self, name: Name | None = None, x: Name | None = None, ax: Axes | None = None) -> Axes:
        """Draw one recording, or all, against time or against another recording; return the axes.

        Arguments:
            name: which recording; all of them if `None`.
            x: the recording along the horizontal axis; time if `None`.
            ax: axes to draw into.
        """
        from recurra.engine.pictures import draw_lines

        return draw_lines(self, name, x, ax)

    def matshow(self, name: Name, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw one recording as colours, time to the right and units downwards; return the axes.

        Arguments:
            name: which recording.
            ax: axes to draw into.
            **options: for matplotlib's `imshow`.
        """
        from recurra.engine.pictures import draw_matrix

        return draw_matrix(self, name, ax, options)

    def raster(self, name: Name, above: float = 0.0, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw a dot for every row and unit in which one recording is above a value; return the axes.

        Arguments:
            name: which recording, for instance an input that is fed with spikes.
            above: the value.
            ax: axes to draw into.
            **options: for matplotlib's `plot`.
        """
        from recurra.engine.pictures import draw_raster

        return draw_raster(self, name, above, ax, options)

    def save(self, path: str | Path) -> None:
        """Write the result to `.npz` or netCDF (`.nc`), or its recordings to `.csv`; nothing half-written is left.

        Arguments:
            path: the file; its ending says the format.

        Raises:
            StoreError: the ending is none of these.
        """
        from recurra.engine.archive import save_result

        save_result(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Result:
        """Read a result that `save` wrote to `.npz` or `.nc`, final state and provenance included.

        Raises:
            StoreError: there is no such file, or it is no result.
        """
        from recurra.engine.archive import load_result

        return load_result(path)


def _row(name: object) -> str:
    """Write an index as it stands between brackets."""
    if not isinstance(name, slice):
        return repr(name)
    return ":".join("" if part is None else repr(part) for part in (name.start, name.stop))
