"""`import recurra` is quick, changes nothing, and knows its names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import recurra

HEAVY = ["jax", "pandas", "matplotlib", "xarray", "sympy", "diffrax", "optax", "scipy", "ruamel", "tqdm"]
SOURCE = Path(recurra.__file__).parent.parent

PROBE = f"""
import json, sys, time
before = time.process_time()
import recurra
spent = time.process_time() - before
heavy = [name for name in {HEAVY!r} if name in sys.modules]
import jax
fresh = {{k: str(v) for k, v in jax.config.values.items()}}
import recurra.engine, recurra.circuits, recurra.equations
changed = [k for k, v in jax.config.values.items() if fresh.get(k, str(v)) != str(v)]
print(json.dumps([spent, heavy, changed, bool(jax.config.jax_enable_x64)]))
"""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fresh")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    environment |= {"PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", PROBE]
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    seconds, heavy, changed, x64 = json.loads(run.stdout)
    files = list(folder.iterdir())
    return {"seconds": seconds, "heavy": heavy, "changed": changed, "x64": x64, "files": files}


def test_import_takes_less_than_a_second_of_processor_time(fresh):
    assert fresh["seconds"] < 1.0


def test_import_loads_nothing_heavy(fresh):
    assert fresh["heavy"] == []


def test_import_leaves_the_settings_of_jax_alone(fresh):
    assert fresh["changed"] == []
    assert fresh["x64"] is False


def test_import_writes_no_file(fresh):
    assert fresh["files"] == []


def test_star_import_gives_at_most_forty_names_and_each_exists():
    assert len(recurra.__all__) <= 40
    assert len(set(recurra.__all__)) == len(recurra.__all__)
    for name in recurra.__all__:
        assert getattr(recurra, name) is not None
        assert name in dir(recurra)


def test_packages_are_reached_as_attributes():
    assert recurra.errors.RecurraError is not None
    assert "circuits" in dir(recurra)


@pytest.mark.parametrize(
    ("name", "near"), [("CircuitTemplat", "CircuitTemplate"), ("simulat", "simulate"), ("engin", "engine")]
)
def test_unknown_name_is_an_attribute_error_with_near_names(name, near):
    with pytest.raises(AttributeError, match=f"unknown name '{name}'. Did you mean .*'{near}'"):
        getattr(recurra, name)


def test_unknown_dunder_is_a_plain_attribute_error():
    assert not hasattr(recurra, "__wrapped__")
