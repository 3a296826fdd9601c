"""Files of strangers, read within bounds of size and memory: no pickles, no links, one kind of error."""

from recurra.files.archives import check_count, read_arrays
from recurra.files.guard import find_file, read_bytes, reason, refusing
from recurra.files.hdf5 import plain_hdf5
from recurra.files.matlab import read_matlab
from recurra.files.npy import read_array
from recurra.files.zarr_folders import check_zarr

__all__ = [
    "check_count",
    "check_zarr",
    "find_file",
    "plain_hdf5",
    "read_array",
    "read_arrays",
    "read_bytes",
    "read_matlab",
    "reason",
    "refusing",
]
