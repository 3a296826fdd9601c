"""Ways in and out: the formats of other people, for models, recordings and right-hand sides."""

from recurra.courtesy import guard
from recurra.interchange.code_export import export_function
from recurra.interchange.nir_reading import from_nir
from recurra.interchange.nir_writing import to_nir
from recurra.interchange.nwb_files import Series, Session, from_nwb, to_nwb
from recurra.interchange.pynapple_objects import from_pynapple, to_pynapple

__all__ = [
    "Series",
    "Session",
    "export_function",
    "from_nir",
    "from_nwb",
    "from_pynapple",
    "to_nir",
    "to_nwb",
    "to_pynapple",
]

guard(globals(), __all__)
