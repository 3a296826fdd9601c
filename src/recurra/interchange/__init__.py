"""Ways in and out: the formats of other people, for models, recordings and right-hand sides."""

from recurra.interchange.code_export import export_function
from recurra.interchange.nir_reading import from_nir
from recurra.interchange.nir_writing import to_nir

__all__ = ["export_function", "from_nir", "to_nir"]
