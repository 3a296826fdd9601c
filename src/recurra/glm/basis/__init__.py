"""Bases: what the inputs of a GLM are expanded in, spelled as their names are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recurra.courtesy import guard
from recurra.glm.basis.core import AdditiveBasis, Basis, MultiplicativeBasis
from recurra.glm.basis.families import (
    BSplineConv,
    BSplineEval,
    CyclicBSplineConv,
    CyclicBSplineEval,
    HistoryConv,
    IdentityEval,
    MSplineConv,
    MSplineEval,
    OrthExponentialConv,
    OrthExponentialEval,
    RaisedCosineLinearConv,
    RaisedCosineLinearEval,
    RaisedCosineLogConv,
    RaisedCosineLogEval,
)
from recurra.glm.basis.special import Category, CustomBasis, FourierEval, Zero

if TYPE_CHECKING:
    from recurra.glm.basis.transformer import TransformerBasis

__all__ = [
    "AdditiveBasis",
    "BSplineConv",
    "BSplineEval",
    "Basis",
    "Category",
    "CustomBasis",
    "CyclicBSplineConv",
    "CyclicBSplineEval",
    "FourierEval",
    "HistoryConv",
    "IdentityEval",
    "MSplineConv",
    "MSplineEval",
    "MultiplicativeBasis",
    "OrthExponentialConv",
    "OrthExponentialEval",
    "RaisedCosineLinearConv",
    "RaisedCosineLinearEval",
    "RaisedCosineLogConv",
    "RaisedCosineLogEval",
    "TransformerBasis",
    "Zero",
]


def __getattr__(name: str) -> object:
    if name == "TransformerBasis":  # needs scikit-learn, which the bases themselves do not
        from recurra.glm.basis.transformer import TransformerBasis

        return TransformerBasis
    from recurra.errors import unknown

    raise AttributeError("module 'recurra.glm.basis': " + unknown("name", name, __all__))

guard(globals(), [name for name in __all__ if name != "TransformerBasis"])
