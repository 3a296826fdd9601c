"""What a run gives back: labelled recordings, the final state, and where they come from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from recurra.engine.store import write_atomically
from recurra.errors import OptionError, PathError, StoreError, unknown

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
    """

    state: Mapping[str, np.ndarray]
    step: int
    t0: float
    dt: float

    def save(self, path: str | Path) -> None:
        """Write the snapshot to an `.npz` file, without pickle."""
        arrays: dict[str, Any] = {f"state:{key}": value for key, value in self.state.items()}
        meta = json.dumps({"kind": "recurra.Snapshot", "step": self.step, "t0": self.t0, "dt": self.dt})
        write_atomically(path, lambda file: np.savez(file, meta=np.array(meta), **arrays))

    @classmethod
    def load(cls, path: str | Path) -> Snapshot:
        """Read a snapshot that `save` wrote.

        Raises:
            StoreError: the file is not a snapshot.
        """
        from recurra.engine.store import read_arrays

        meta, arrays = read_arrays(path, "recurra.Snapshot")
        state = {key.removeprefix("state:"): value for key, value in arrays.items()}
        try:
            return cls(state, int(meta["step"]), float(meta["t0"]), float(meta["dt"]))
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{path}: not a complete snapshot ({error}).") from None


@dataclass(frozen=True, eq=False)
class Result:
    """Hold what a run recorded.

    Row k of every recording is the state at `time[k]`, before the step that starts there.

    Arguments:
        time: `(rows,)`.
        data: name -> `(rows, units)`, with a leading batch axis for a batch of parameter sets.
        labels: name -> the path of every unit.
        final: the state after the last step; hand it to `simulate(..., state=)` to go on.
        meta: seed, dt, solver, precision, versions, and what happened.
    """

    time: np.ndarray
    data: Mapping[str, np.ndarray]
    labels: Mapping[str, list[str]]
    final: Snapshot
    meta: Mapping[str, object] = field(default_factory=dict)

    def __getitem__(self, name: str) -> np.ndarray:
        """Return one recording, `(rows, units)`."""
        if name not in self.data:
            raise PathError(unknown("recording", name, self.data))
        return self.data[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __contains__(self, name: object) -> bool:
        return name in self.data

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {value.shape}" for name, value in self.data.items())
        span = f"{self.time[0]:g} to {self.time[-1]:g}" if len(self.time) else "empty"
        return f"Result(time {span}, {len(self.time)} rows; {shapes})"

    def keys(self) -> list[str]:
        """List the names of the recordings."""
        return list(self.data)

    def to_numpy(self, name: str | None = None) -> np.ndarray:
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
            raise OptionError("a batch of runs has three axes: use to_xarray(), or take one run of it.")
        index = pandas.Index(self.time, name="time")
        single = all(value.shape[1] == 1 for value in self.data.values())
        columns: object = list(self.data)
        if not single:
            pairs = [(name, label) for name in self.data for label in self.labels[name]]
            columns = pandas.MultiIndex.from_tuples(pairs, names=["name", "unit"])
        return pandas.DataFrame(self.to_numpy(), index=index, columns=columns)  # type: ignore[arg-type]

    def to_xarray(self) -> xarray.Dataset:
        """Return a dataset with dimensions `(batch,) time, <name>_unit` and the provenance as attributes."""
        import xarray

        arrays, coords = {}, {"time": self.time}
        for name, value in self.data.items():
            dims = [*(["batch"] if value.ndim == 3 else []), "time"]
            if value.shape[-1] == 1:
                arrays[name] = (dims, value[..., 0])
            else:
                arrays[name] = ([*dims, f"{name}_unit"], value)
                coords[f"{name}_unit"] = np.array(self.labels[name])
        plain = {k: v if isinstance(v, (int, float, str)) else json.dumps(v, default=str) for k, v in self.meta.items()}
        return xarray.Dataset(arrays, coords=coords, attrs=plain)

    def plot(self, name: str | None = None, ax: Axes | None = None) -> Axes:
        """Draw one recording, or all, against time; return the axes.

        Arguments:
            name: which recording; all of them if `None`.
            ax: axes to draw into.
        """
        import matplotlib.pyplot as plt

        ax = plt.subplots()[1] if ax is None else ax
        for key in self.data if name is None else [name]:
            values = self[key]
            labels = [key] if values.shape[-1] == 1 else self.labels[key]
            lines = ax.plot(self.time, np.real(values))
            if len(lines) <= 12:
                for line, label in zip(lines, labels, strict=True):
                    line.set_label(label)
        if ax.get_legend_handles_labels()[0]:
            ax.legend()
        ax.set_xlabel("time")
        return ax

    def _for_netcdf(self, path: str | Path) -> xarray.Dataset:
        """Return the dataset with names that netCDF takes: '.' for '/', which means groups there."""
        for name, value in self.data.items():
            if np.iscomplexobj(value):
                raise StoreError(f"{path}: {name!r} is complex and netCDF has real numbers only; save .npz.")
        dataset = self.to_xarray()
        named = [*map(str, dataset.variables), *map(str, dataset.dims)]
        return dataset.rename({name: name.replace("/", ".") for name in named if "/" in name})

    def save(self, path: str | Path) -> None:
        """Write the recordings to `.npz`, `.csv` or netCDF (`.nc`); nothing half-written is left on failure.

        Raises:
            StoreError: the ending is none of these.
        """
        ending = Path(path).suffix
        if ending == ".npz":
            meta = json.dumps({"kind": "recurra.Result", "labels": self.labels, **self.meta}, default=str)
            arrays: dict[str, Any] = {f"data:{k}": v for k, v in self.data.items()}
            write_atomically(path, lambda file: np.savez(file, meta=np.array(meta), time=self.time, **arrays))
        elif ending == ".csv":
            write_atomically(path, lambda file: file.write(self.to_dataframe().to_csv().encode()))
        elif ending == ".nc":
            _need_netcdf(path)
            dataset = self._for_netcdf(path)
            write_atomically(path, lambda file: dataset.to_netcdf(cast(Any, file), engine="h5netcdf"))
        else:
            raise StoreError(f"{path}: cannot tell the format from the ending {ending!r}; use .npz, .csv or .nc.")


def _need_netcdf(path: str | Path) -> None:
    """Say how to get what writes netCDF, before anything is computed for it."""
    try:
        import h5netcdf  # noqa: F401
        import h5py  # noqa: F401
    except ImportError as error:
        raise StoreError(
            f"{path}: netCDF needs {error.name}: pip install 'recurra[netcdf]', or use .npz."
        ) from None
