"""Networks in files: an archive of our own without pickle, and the .mat files of the published code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recurra.engine.store import write_atomically
from recurra.errors import StoreError, near
from recurra.files import read_arrays, read_matlab, refusing
from recurra.rate.model import FR_RNN_dale, matrix

KIND = "recurra.FR_RNN_dale"
ARRAYS = ("w", "w0", "w_in", "w_out", "mask", "som_mask", "inh", "taus_gaus", "taus_gaus0")
NUMBERS = ("N", "P_inh", "P_rec", "som_N", "w_dist", "gain", "apply_dale", "seed", "activation")
NEEDED = ("w", "w_in", "w_out", "b_out", "m", "som_m", "inh")
OPTIONAL = ("w0", "taus", "taus_gaus", "taus_gaus0", "activation", "som_N", "apply_dale")


def save_net(
    net: FR_RNN_dale, path: str | Path, *, rectified: bool = True, extra: Mapping[str, Any] | None = None
) -> None:
    """Write a network: whole or not at all, without pickle.

    Arguments:
        net: the network.
        path: ends in `.mat` for the format of the published code, else our own archive.
        rectified: in a `.mat` file, write relu(w), which every reader understands; `False` writes what is trained, of
            which readers must rectify the negative entries. Our own archive holds what is trained.
        extra: more arrays for a `.mat` file, as of a scaling search.

    Raises:
        StoreError: it cannot be written there.
    """
    path = Path(path)
    if path.suffix == ".mat":
        from scipy.io import savemat

        content = to_mat(net, rectified) | dict(extra or {})
        write_atomically(path, lambda file: savemat(file, content))
        return
    meta = {"kind": KIND} | {name: getattr(net, name) for name in NUMBERS}
    arrays: dict[str, Any] = {name: getattr(net, name) for name in ARRAYS}
    arrays |= {"taus": np.array(net.taus), "b_out": np.asarray(net.b_out, float), "meta": np.array(json.dumps(meta))}
    write_atomically(path, lambda file: np.savez(file, **arrays))


def load_net(path: str | Path) -> FR_RNN_dale:
    """Read a network from a `.mat` file of the published code, or from our own archive.

    Arguments:
        path: the file.

    Returns:
        The network.

    Raises:
        StoreError: the file is missing, damaged, or holds no such network.
    """
    path = Path(path)
    if path.suffix == ".mat":
        return from_mat(read_mat(path), str(path))
    meta, arrays = read_arrays(path, KIND)
    with refusing(path, "not a complete network"):
        found = {name: arrays[name] for name in ARRAYS} | {name: meta[name] for name in NUMBERS}
        found |= {"taus": arrays["taus"], "b_out": arrays["b_out"]}
        return _assemble(found)


def _assemble(found: Mapping[str, Any]) -> FR_RNN_dale:
    """Make a network of given arrays instead of drawn ones."""
    size = len(found["w"])
    matrix(found["w"], "w", (size, size))  # before anything of this size is made
    dale = bool(found["apply_dale"])
    net = FR_RNN_dale(
        size, float(found["P_inh"]), float(found["P_rec"]), found["w_in"], 0, found["w_dist"], float(found["gain"]),
        dale, found["w_out"], seed=int(found["seed"]), taus=found["taus"], activation=str(found["activation"]),
    )  # fmt: skip
    square = (size, size)
    for name in ("w", "w0", "mask", "som_mask"):
        setattr(net, name, matrix(found[name], name, square))
    if np.any(net.mask != np.diag(np.diag(net.mask))) or np.any(np.abs(np.diag(net.mask)) != 1):
        raise StoreError("the mask of signs is no diagonal of +1 and -1")
    for name in ("taus_gaus", "taus_gaus0"):
        setattr(net, name, matrix(np.reshape(found[name], (-1, 1)), name, (size, 1)))
    net.inh = matrix(np.reshape(found["inh"], (-1, 1)), "inh", (size, 1)).astype(bool)
    net.exc, net.NI, net.NE = ~net.inh, int(net.inh.sum()), int((~net.inh).sum())
    if dale and np.any((net.signs < 0) != net.inh[:, 0]):
        raise StoreError("inh and the signs name different units as inhibitory")
    net.som_N = int(found["som_N"])
    net.som_inh = np.flatnonzero(net.inh)[: net.som_N] if net.som_N else 0
    outputs = len(net.w_out)
    bias = np.broadcast_to(np.asarray(found["b_out"], float).reshape(-1), (outputs,)).copy()
    net.b_out = float(bias[0]) if outputs == 1 else bias
    return net


def read_mat(path: str | Path) -> dict[str, np.ndarray]:
    """Read the arrays of a `.mat` file that a network needs.

    Raises:
        StoreError: the file is missing or damaged, or lacks an array.
    """
    path = Path(path)
    if not path.is_file():
        beside = near(path.name, [p.name for p in path.parent.glob("*.mat")]) if path.parent.is_dir() else []
        raise StoreError(f"{path}: no such file." + (f" Did you mean {beside[0]!r}?" if beside else ""))
    found, known = read_matlab(path, (*NEEDED, *OPTIONAL))
    missing = [name for name in NEEDED if name not in found]
    if missing:
        raise StoreError(
            f"{path}: no network of the published code: {', '.join(missing)} missing, found"
            f" {', '.join(known[:20]) or 'nothing'}."
        )
    return found


def from_mat(found: Mapping[str, Any], where: str) -> FR_RNN_dale:
    """Make a network of the arrays of a `.mat` file.

    Weights may be rectified or not: under Dale's principle negative ones do not act.

    Raises:
        StoreError: the arrays do not make a network.
    """
    with refusing(where, "its arrays do not make a network"):
        inhibitory = np.asarray(found["inh"]).astype(bool).reshape(-1)
        dale = bool(np.ravel(found["apply_dale"])[0]) if "apply_dale" in found else bool(inhibitory.any())
        w = np.asarray(found["w"], float)
        gaus = found.get("taus_gaus", np.zeros(len(w)))
        support = float(np.mean(w != 0))
        content = {
            "w": w, "w0": found.get("w0", w), "w_in": found["w_in"], "w_out": found["w_out"], "mask": found["m"],
            "som_mask": found["som_m"], "inh": inhibitory, "taus_gaus": gaus, "b_out": found["b_out"],
            "taus_gaus0": found.get("taus_gaus0", gaus), "taus": found.get("taus", np.array([4.0, 20.0])),
            "activation": str(np.ravel(found.get("activation", "sigmoid"))[0]),
            "som_N": int(np.ravel(found.get("som_N", 0))[0]), "apply_dale": dale, "seed": 0, "w_dist": "gaus",
            "gain": 1.5, "P_inh": float(np.mean(inhibitory)), "P_rec": support,
        }  # fmt: skip
        return _assemble(content)


def to_mat(net: FR_RNN_dale, rectified: bool) -> dict[str, Any]:
    """Return the arrays of a `.mat` file as the published code names them."""
    dale = net.apply_dale and rectified
    return {
        "N": net.N, "som_N": net.som_N, "inh": net.inh, "exc": net.exc, "m": net.mask, "som_m": net.som_mask,
        "w": np.maximum(net.w, 0.0) if dale else net.w, "w0": net.w0, "w_in": net.w_in, "w_in0": net.w_in,
        "w_out": net.w_out, "b_out": net.b_out, "taus": np.unique(net.taus), "taus_gaus": net.taus_gaus,
        "taus_gaus0": net.taus_gaus0, "activation": net.activation, "apply_dale": float(net.apply_dale),
    }  # fmt: skip
