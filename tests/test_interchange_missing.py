"""Without an optional package there is an error that says how to install it."""

from __future__ import annotations

import sys

import pytest

from recurra import Network
from recurra.errors import CapabilityError
from recurra.interchange import from_nir, from_nwb, from_pynapple, to_nir, to_nwb, to_pynapple

EXTRAS = {"nir": "nir", "pynwb": "nwb", "pynapple": "pynapple"}
CALLS = [
    ("nir", lambda: from_nir("x.nir", 0.1)),
    ("nir", lambda: to_nir(Network())),
    ("pynwb", lambda: from_nwb("x.nwb")),
    ("pynwb", lambda: to_nwb(None, "x.nwb")),
    ("pynapple", lambda: from_pynapple(None)),
    ("pynapple", lambda: to_pynapple(None)),
]


@pytest.mark.parametrize(("package", "call"), CALLS, ids=range(len(CALLS)))
def test_a_missing_package_is_an_error_that_names_its_extra(package, call, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(CapabilityError, match=rf"need the package.*pip install 'recurra\[{EXTRAS[package]}\]"):
        call()
