"""The command that simulates a model for many parameter sets."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from recurra.cli.commands import INTERRUPTED, model_of, rows_every, run_options, split, writable
from recurra.errors import OptionError

if TYPE_CHECKING:
    from recurra.engine import Result

MEASURES: Mapping[str, Callable[[np.ndarray], object]] = MappingProxyType(
    {
        "mean": lambda rows: rows.mean(),
        "min": lambda rows: rows.min(),
        "max": lambda rows: rows.max(),
        "std": lambda rows: rows.std(),
        "last": lambda rows: rows[-1].mean(),
    }
)
EXAMPLE = """example:
  recurra sweep model_templates.neural_mass_models.qif.qif --duration 40 --dt 1e-3 \\
    --over p/qif_op/eta=-10:0:41 --record r=p/qif_op/r --measure mean max --after 20 --save qif.csv
"""


def sweep(options: argparse.Namespace) -> int:
    """Run all points, print how many failed, and write the table."""
    from recurra.sweeping import sweep as run_sweep

    save = writable(options.save, (".csv", ".nc"), "--save")
    every = rows_every(options)
    values = {path: points_of(path, text) for path, text in (split(w, "--over", "PATH=VALUES") for w in options.over)}
    if not 0 <= options.after < options.duration:
        raise OptionError(f"--after: expected a time from 0 to below the duration, got {options.after:g}.")

    def measure(result: Result) -> dict[str, object]:
        late = result.time >= options.after - 1e-9 * max(1.0, abs(options.after))
        return {f"{name}_{what}": MEASURES[what](result[name][late]) for name in result for what in options.measure}

    circuit, inputs = model_of(options)
    found = run_sweep(
        circuit,
        values,
        options.duration,
        mode=options.mode,
        samples=options.samples,
        measure=measure,
        measure_id=f"{'+'.join(options.measure)} after {options.after!r}",
        store=options.store,
        inputs=inputs,
        every=every,
        **run_options(options),
    )
    table = found.to_dataframe().reset_index()
    errors = [text for text in table["error"].tolist() if text]
    print(f"{len(table)} points, {len(errors)} failed")
    if errors:
        print(f"first failure: {errors[0]}")
    if save is not None and save.suffix == ".csv":
        table.to_csv(save, index=False)
    elif save is not None:
        # netCDF takes a slash for a folder, so the file has dots there.
        found.rename({name: str(name).replace("/", ".") for name in [*found.variables] if "/" in str(name)}).to_netcdf(
            save, engine="h5netcdf"
        )
    print(f"saved {save}")
    return INTERRUPTED if found.attrs.get("interrupted") else 0


def points_of(path: str, text: str) -> np.ndarray | tuple[float, float]:
    """Read `low:high:count`, `low:high` or values separated by commas.

    >>> points_of("a", "0:1:3"), points_of("a", "1,5"), points_of("a", "0:2")
    (array([0. , 0.5, 1. ]), array([1., 5.]), (0.0, 2.0))
    """
    try:
        if ":" not in text:
            return np.array([float(part) for part in text.split(",")])
        low, high, *count = text.split(":")
        if not count:
            return float(low), float(high)
        (number,) = count
        if not 1 <= int(number) <= 10_000_000:
            raise ValueError
        return np.linspace(float(low), float(high), int(number))
    except ValueError:
        raise OptionError(f"--over {path}: expected LOW:HIGH:COUNT, LOW:HIGH or numbers, got {text!r}.") from None
