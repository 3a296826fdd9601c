"""Results in files: `.npz` and netCDF (both complete, and read back), and `.csv` for other programs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.engine.store import read_arrays, write_atomically
from recurra.errors import StoreError

if TYPE_CHECKING:
    import xarray

    from recurra.engine.results import Result

_ENDINGS = (".npz", ".csv", ".nc")


def save_result(result: Result, path: str | Path) -> None:
    """Write a result; see :meth:`Result.save`."""
    ending = Path(path).suffix
    if ending == ".npz":
        arrays: dict[str, Any] = {"time": result.time, **_arrays(result)}
        text = json.dumps(_meta(result), default=str)
        write_atomically(path, lambda file: np.savez(file, meta=np.array(text), **arrays))
    elif ending == ".csv":
        write_atomically(path, lambda file: file.write(result.to_dataframe().to_csv().encode()))
    elif ending == ".nc":
        _need_netcdf(path)
        dataset = _dataset(result)
        # The writer closes what it is given, and the file must still be moved to its place.
        write_atomically(path, lambda file: file.write(bytes(dataset.to_netcdf(engine="h5netcdf"))))
    else:
        raise StoreError(f"{path}: cannot tell the format from the ending {ending!r}; use .npz, .csv or .nc.")


def load_result(path: str | Path) -> Result:
    """Read a result; see :meth:`Result.load`."""
    ending = Path(path).suffix
    if ending == ".npz":
        meta, arrays = read_arrays(path, "recurra.Result")
    elif ending == ".nc":
        meta, arrays = _read_dataset(path)
    else:
        raise StoreError(f"{path}: a result is read from .npz or .nc, not from {ending!r}.")
    return _result(meta, arrays, path)


def _meta(result: Result) -> dict:
    final = result.final
    return {
        "kind": "recurra.Result",
        "labels": dict(result.labels),
        "meta": dict(result.meta),
        "final": {"step": int(final.step), "t0": float(final.t0), "dt": float(final.dt)},
    }


def _arrays(result: Result) -> dict[str, np.ndarray]:
    data = {f"data:{name}": value for name, value in result.data.items()}
    return data | {f"final:{key}": np.asarray(value) for key, value in result.final.state.items()}


def _result(meta: dict, arrays: dict[str, np.ndarray], path: str | Path) -> Result:
    from recurra.engine.results import Result, Snapshot

    def those(prefix: str) -> dict[str, np.ndarray]:
        return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}

    try:
        end = meta["final"]
        final = Snapshot(those("final:"), int(end["step"]), float(end["t0"]), float(end["dt"]))
        labels = {str(name): list(units) for name, units in meta["labels"].items()}
        return Result(arrays["time"], those("data:"), labels, final, dict(meta["meta"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(f"{path}: not a complete result ({error}).") from None


def _need_netcdf(path: str | Path) -> None:
    """Say how to get what reads and writes netCDF, before anything is computed for it."""
    try:
        import h5netcdf  # noqa: F401
        import h5py  # noqa: F401
    except ImportError as error:
        raise StoreError(
            f"{path}: netCDF needs {error.name}: pip install 'recurra[netcdf]', or use .npz."
        ) from None


def _dataset(result: Result) -> xarray.Dataset:
    """Lay out a result so that any reader of netCDF shows it, and nothing of it is lost."""
    import xarray

    variables: dict[str, tuple] = {}
    for key, value in _arrays(result).items():
        kind, _, name = key.partition(":")
        stem = re.sub(r"\W+", "_", name if kind == "data" else key).strip("_") or "recording"
        label = stem if stem not in (*variables, "time") else f"{stem}_{len(variables)}"
        dims = [f"{label}_axis{i}" for i in range(value.ndim)]
        if kind == "data":
            dims = [*(["batch"] if value.ndim == 3 else []), "time", f"{label}_unit"]
        attributes = {"recurra_key": key}
        if kind == "data" and value.shape[-1] == 1:
            # One unit needs no axis of its own, for the sake of other readers.
            value, dims = value[..., 0], dims[:-1]
            attributes["recurra_single"] = "yes"
        if np.iscomplexobj(value):
            value, dims = np.stack([np.real(value), np.imag(value)], axis=-1), [*dims, "real_imag"]
            attributes["recurra_complex"] = "yes"
        variables[label] = (dims, value, attributes)
    attributes = {"recurra": json.dumps(_meta(result), default=str)}
    return xarray.Dataset(variables, coords={"time": result.time}, attrs=attributes)  # type: ignore[arg-type]


def _read_dataset(path: str | Path) -> tuple[dict, dict[str, np.ndarray]]:
    import xarray

    if not Path(path).is_file():
        raise StoreError(f"{path}: no such file.")
    _need_netcdf(path)
    try:
        with xarray.open_dataset(path, engine="h5netcdf", decode_times=False) as dataset:
            meta = json.loads(dataset.attrs["recurra"])
            arrays = {"time": np.asarray(dataset["time"])}
            for variable in dataset.data_vars.values():
                value = np.asarray(variable)
                if "recurra_complex" in variable.attrs:
                    value = value[..., 0] + 1j * value[..., 1]
                if "recurra_single" in variable.attrs:
                    value = value[..., None]
                arrays[variable.attrs["recurra_key"]] = value
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise StoreError(f"{path}: not a result of this library ({error}).") from None
    return meta, arrays
