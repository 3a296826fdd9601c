"""Results in files: `.npz` and netCDF (both complete, and read back), and `.csv` for other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.engine.open_ends import split_arrays
from recurra.engine.store import write_atomically
from recurra.errors import MissingPackageError, StoreError
from recurra.files import find_file, plain_hdf5, read_arrays, refusing

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
        dataset = _dataset(result, path)
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
    return {
        "kind": "recurra.Result",
        "labels": dict(result.labels),
        "meta": dict(result.meta),
        "final": result.final.about,
    }


def _arrays(result: Result) -> dict[str, np.ndarray]:
    data = {f"data:{name}": value for name, value in result.data.items()}
    end = result.final.end.to_arrays() if result.final.end is not None else {}
    return data | {f"final:{key}": np.asarray(value) for key, value in result.final.state.items()} | end


def _result(meta: dict, arrays: dict[str, np.ndarray], path: str | Path) -> Result:
    from recurra.engine.results import Result, Snapshot

    def those(prefix: str) -> dict[str, np.ndarray]:
        return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}

    with refusing(path, "not a complete result"):
        final = Snapshot.of_file(those("final:"), meta["final"], split_arrays(arrays)[1])
        labels = {str(name): list(units) for name, units in meta["labels"].items()}
        result = Result(arrays["time"], those("data:"), labels, final, dict(meta["meta"]))
        _check(result)
        return result


def _check(result: Result) -> None:
    """Check that times, recordings and names belong together."""
    if result.time.ndim != 1 or result.time.dtype.kind not in "iuf":
        raise StoreError("its times are no row of numbers")
    if set(result.data) != set(result.labels):
        raise StoreError("its recordings and their labels are of different names")
    for name, value in result.data.items():
        if value.dtype.kind not in "biufc" or value.ndim not in (2, 3):
            raise StoreError(f"the recording {name!r} is no table of numbers")
        if value.shape[-2:] != (len(result.time), len(result.labels[name])):
            raise StoreError(f"the recording {name!r} does not fit its times and labels")


def _need_netcdf(path: str | Path) -> None:
    """Say how to get what reads and writes netCDF, before anything is computed for it."""
    try:
        import h5netcdf  # noqa: F401
        import h5py  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            f"{path}: netCDF needs {error.name}: pip install 'recurra[netcdf]', or use .npz."
        ) from None


def _dataset(result: Result, path: str | Path) -> xarray.Dataset:
    """Lay out a result so that any reader of netCDF shows it, and nothing of it is lost."""
    for name, value in result.data.items():
        if np.iscomplexobj(value):
            raise StoreError(f"{path}: {name!r} is complex and netCDF has real numbers only; save .npz.")
    dataset = result.to_xarray()
    named = [*map(str, dataset.variables), *map(str, dataset.dims)]
    dataset = dataset.rename({name: _name(name) for name in named if name != _name(name)})
    for i, (key, value) in enumerate(result.final.state.items()):
        parts = np.stack([np.real(value), np.imag(value)]) if np.iscomplexobj(value) else np.asarray(value)
        dims = [f"final_{i}_axis{axis}" for axis in range(parts.ndim)]
        dataset[f"final_{i}"] = (dims, parts, {"recurra_key": key, "recurra_complex": int(np.iscomplexobj(value))})
    dataset.attrs["recurra_result"] = json.dumps(_meta(result), default=str)
    return dataset


def _name(name: str) -> str:
    # A '/' means a group in netCDF.
    return name.replace("/", ".")


def _read_dataset(path: str | Path) -> tuple[dict, dict[str, np.ndarray]]:
    find_file(path)
    _need_netcdf(path)
    with plain_hdf5(path) as file, refusing(path, "not a result of this library"):
        meta = json.loads(file.attrs["recurra_result"])
        arrays = {"time": _values(file["time"])}
        for name, units in meta["labels"].items():
            value = _values(file[_name(name)])
            arrays[f"data:{name}"] = value[..., None] if len(units) == 1 else value
        for name, variable in file.items():
            if name.startswith("final_") and "recurra_key" in variable.attrs:
                value = _values(variable)
                if int(np.squeeze(variable.attrs["recurra_complex"])):
                    value = value[0] + 1j * value[1]
                arrays[f"final:{variable.attrs['recurra_key']}"] = value
    return meta, arrays


def _values(variable: Any) -> np.ndarray:
    """Return the numbers of a variable; netCDF has no truth values and notes what they were."""
    value = np.asarray(variable[()])
    if value.dtype.kind not in "biufc":
        raise StoreError(f"{variable.name!r} holds no numbers")
    value = value.astype(value.dtype.newbyteorder("="))
    return value.astype(bool) if variable.attrs.get("dtype") == "bool" else value
