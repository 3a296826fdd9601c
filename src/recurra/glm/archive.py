"""Fitted models in files: arrays and JSON, never pickle."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from recurra.engine.store import write_atomically
from recurra.errors import StoreError, unknown
from recurra.files import read_arrays, refusing
from recurra.glm.design import Layout
from recurra.glm.links import INVERSE_LINKS
from recurra.glm.observations import OBSERVATION_MODELS
from recurra.glm.regularizers import REGULARIZERS

KIND, FORMAT = "recurra.GLM", 1
OBJECTS = {**{f"observation:{k}": v for k, v in OBSERVATION_MODELS.items()},
           **{f"regularizer:{k}": v for k, v in REGULARIZERS.items()}}  # fmt: skip


def save(model: Any, path: str | Path) -> None:
    """Write the parameters of an estimator and everything that its fit found."""
    arrays: dict[str, np.ndarray] = {}
    told = {name: _told(value, name, arrays) for name, value in model.get_params(deep=False).items()}
    found = {}
    for name, value in vars(model).items():
        if name == "layout_":
            found[name] = {"names": list(value.names), "sizes": list(value.sizes), "tree": _tree(value)}
        elif name.endswith("_") and name != "coef_":
            found[name] = _told(value, name, arrays)
    coef = model.coef_
    arrays["coef_"] = np.concatenate(jax.tree.leaves(coef)) if model.layout_.tree is not None else np.asarray(coef)
    meta = {"kind": KIND, "format": FORMAT, "class": type(model).__name__, "params": told, "found": found}
    text = json.dumps(meta)
    write_atomically(path, lambda file: np.savez(file, meta=np.array(text), **arrays))  # type: ignore[arg-type]


def _tree(layout: Layout) -> Any:
    """Return the structure of X as JSON: the numbers of the leaves in dicts and lists."""
    if layout.tree is None:
        return None
    return jax.tree.unflatten(layout.tree, range(len(layout.sizes)))


def _told(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        found = np.asarray(value)
        if found.dtype.kind == "O":
            if not all(isinstance(v, str) for v in found.ravel()):
                raise StoreError(f"{name}: labels must be numbers or text to be saved, got objects.")
            found = found.astype(str)
        key = f"array:{len(arrays)}"
        arrays[key] = found
        return {"array": key}
    if isinstance(value, dict) and all(isinstance(k, str) for k in value):
        return {"dict": {k: _told(v, f"{name}[{k}]", arrays) for k, v in value.items()}}
    if isinstance(value, tuple | list):
        return {type(value).__name__: [_told(v, name, arrays) for v in value]}
    for known, kind in OBJECTS.items():
        if type(value) is kind and is_dataclass(value):
            return {"object": known, "fields": {k: _told(v, name, arrays) for k, v in asdict(value).items()}}  # type: ignore[arg-type]
    for link, function in INVERSE_LINKS.items():
        if value is function:
            return {"link": link}
    raise StoreError(
        f"{name}: {value!r} is code, which a file does not hold. Use a name ({', '.join(INVERSE_LINKS)} for links), or"
        " keep coef_ and intercept_ yourself and set them in a new model."
    )


def load(path: str | Path) -> Any:
    """Read a fitted model that its method `save` wrote.

    Arguments:
        path: the file.

    Returns:
        The estimator, fitted, with bitwise equal numbers.

    Raises:
        StoreError: the file is missing, damaged or of another kind.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from recurra.glm import GLM
    >>> model = GLM().fit(np.arange(20.0)[:, None] / 20, np.arange(20) % 3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(Path(folder) / "glm.npz")
    ...     bool(load(Path(folder) / "glm.npz").coef_ == model.coef_)
    True
    """
    from recurra.glm.classifier import ClassifierGLM, ClassifierPopulationGLM
    from recurra.glm.hmm import GLMHMM
    from recurra.glm.population import GLM, PopulationGLM

    kinds: dict[str, Callable] = {
        k.__name__: k for k in (GLM, PopulationGLM, ClassifierGLM, ClassifierPopulationGLM, GLMHMM)
    }
    meta, arrays = read_arrays(path, KIND)
    if meta.get("format") != FORMAT:
        raise StoreError(f"{path}: format {meta.get('format')!r} is not known; this version reads format {FORMAT}.")
    if str(meta.get("class")) not in kinds:
        raise StoreError(f"{path}: " + unknown("class", str(meta.get("class"))[:60], kinds))
    with refusing(path, "the model in it cannot be rebuilt"):
        model = kinds[meta["class"]](**{k: _read(v, arrays) for k, v in meta["params"].items()})
        found = dict(meta["found"])
        shape = found.pop("layout_")
        tree = None if shape["tree"] is None else jax.tree.structure(shape["tree"])
        model.layout_ = Layout(tuple(shape["names"]), tuple(int(s) for s in shape["sizes"]), tree)
        if not all(name.endswith("_") and not name.startswith("_") for name in found):
            raise StoreError(f"{path}: it holds attributes that are not those of a fit.")
        for name, value in found.items():
            setattr(model, name, _read(value, arrays))
        model.coef_ = model.layout_.split(arrays["coef_"])
        model._flat()
    return model


def _read(item: Any, arrays: dict[str, np.ndarray]) -> Any:
    if not isinstance(item, dict):
        return item
    if "array" in item:
        return arrays[item["array"]]
    if "dict" in item:
        return {k: _read(v, arrays) for k, v in item["dict"].items()}
    if "tuple" in item:
        return tuple(_read(v, arrays) for v in item["tuple"])
    if "list" in item:
        return [_read(v, arrays) for v in item["list"]]
    if "link" in item:
        return INVERSE_LINKS[item["link"]]
    return OBJECTS[item["object"]](**{k: _read(v, arrays) for k, v in item["fields"].items()})
