"""What the stubs of torch lack, or have wrong, for the shapes of this project: part of what is trusted.

Each is a text that must stand in the installed stubs exactly once and the text that takes its place. A
release of the stubs that says something else is an error, so that nothing is patched unseen.
"""

import shutil
from pathlib import Path
from typing import Final

from tests.proofs.statement import refute

SUM: Final = """        self: Tensor[Shape], dim: Dim = None, keepdim: Keepdim = False
    ) -> Tensor[reduce_shape(Shape, Dim, Keepdim)]:
        \"\"\"Sum along dimension(s). Shape inference via meta-shape: torch.Tensor.sum\"\"\"
        ...
"""
SUM_WITH_DTYPE: Final = SUM.replace("keepdim: Keepdim = False", "keepdim: Keepdim = False, *, dtype: Any = None")
"""``sum`` has no ``dtype`` in the stubs; in torch it has, and it changes no shape."""

ARGSORT: Final = """
    def argsort(
        self, dim: builtins.int = -1, descending: builtins.bool = False, *, stable: builtins.bool = False
    ) -> Self: ...
"""
"""The method is missing, which would make its result unknown. An order has the shape of what it orders."""


AMAX: Final = """
    def amax[
        Shape: IntTuple,
        Dim: Flag[builtins.int | tuple[builtins.int, ...] | None],
        Keepdim: Flag[builtins.bool],
    ](
        self: Tensor[Shape], dim: Dim = None, keepdim: Keepdim = False
    ) -> Tensor[reduce_shape(Shape, Dim, Keepdim)]: ...
"""
"""This one too; it reduces as ``sum`` does."""

ADD: Final = "    def add[OtherShape: _Shape = []](\n        self, other: _TensorLike[OtherShape]\n    )"
ADD_SO_MANY_TIMES: Final = ADD.replace("]\n    )", "], *, alpha: builtins.int = 1\n    )")
"""``alpha``, how often the second one is added, is missing; it changes no shape."""

EMBEDDING: Final = """def embedding[Rows: IntVar, Channels: IntVar, Index: IntTuple](
    weight: Tensor[[Rows, Channels]], indices: Tensor[Index]
) -> Tensor[[*Index, Channels]]: ...

"""
"""The function that looks rows up is missing: for every index a row."""

UNKNOWN_PRODUCT: Final = "    baddbmm as baddbmm,\n"
PRODUCT: Final = """def baddbmm[B: IntVar, N: IntVar, K: IntVar, M: IntVar](
    input: Tensor[[B, N, M]],
    batch1: Tensor[[B, N, K]],
    batch2: Tensor[[B, K, M]],
    *,
    beta: builtins.float = 1,
    alpha: builtins.float = 1,
    out: Tensor[[B, N, M]] | None = None,
) -> Tensor[[B, N, M]]: ...

"""
"""The product of many with something added is named, and its shapes are not told."""

BASE: Final = "class Tensor[Shape: _Shape = _Shape](_TensorBase):\n"
BASE_OF_ITS_OWN: Final = "class Tensor[Shape: _Shape = _Shape]:\n"
"""Where torch is not installed the base is unknown, and a tensor passes for a number: ``w * x`` for ``w * 1``."""

GRADUAL: Final = "    def __getattr__(self, name: str) -> Any: ...\n    def __iter__"
DTYPE: Final = "    dtype: Any\n    def __iter__"
"""Any member that the stubs do not know would be unknown without a word; without this line it is an error."""

MM: Final = "    input: Tensor[[N, K]], mat2: Tensor[[K, M]]\n) -> Tensor[[N, M]]:\n"
BMM: Final = "    input: Tensor[[B, N, K]], mat2: Tensor[[B, K, M]]\n) -> Tensor[[B, N, M]]:\n"
ADDMM: Final = '    alpha: builtins.float = 1,\n) -> Tensor[[N, M]]:\n    """Matrix multiply with add'
SOFTMAX: Final = 'dim: builtins.int | str, *, dtype: Any = None\n) -> Tensor[Shape]:\n    """Apply softmax'
MAXIMUM: Final = """def maximum[Shape: IntTuple, OtherShape: IntTuple = []](
    input: Tensor[Shape], other: _TensorLike[OtherShape]
) -> Tensor[broadcast(Shape, OtherShape)]:
"""
EXP: Final = "def exp[Shape: IntTuple](input: Tensor[Shape]) -> Tensor[Shape]:\n"

WITH_OUT: Final = {
    MM: MM.replace("M]]\n)", "M]], *, out: Tensor[[N, M]] | None = None\n)", 1),
    BMM: BMM.replace("M]]\n)", "M]], *, out: Tensor[[B, N, M]] | None = None\n)", 1),
    ADDMM: ADDMM.replace(",\n)", ",\n    out: Tensor[[N, M]] | None = None,\n)", 1),
    SOFTMAX: SOFTMAX.replace("= None\n)", "= None, out: Tensor[Shape] | None = None\n)", 1),
    MAXIMUM: MAXIMUM.replace("e]\n)", "e], *, out: Tensor[broadcast(Shape, OtherShape)] | None = None\n)", 1),
    EXP: EXP.replace("[Shape])", "[Shape], *, out: Tensor[Shape] | None = None)", 1),
}
"""``out`` is missing; what it is given must have the shape of the result, which is more than torch asks."""

CHANGES: Final = {
    SUM: SUM_WITH_DTYPE + ARGSORT + AMAX,
    ADD: ADD_SO_MANY_TIMES,
    BASE: BASE_OF_ITS_OWN,
    GRADUAL: DTYPE,
    **WITH_OUT,
    UNKNOWN_PRODUCT: "",
    EXP: EMBEDDING + PRODUCT + WITH_OUT[EXP],
}


def write_stubs(installed: Path, folder: Path) -> None:
    """Copy the installed stubs with the changes made."""
    shutil.copytree(installed / "torch-stubs", folder / "torch-stubs", dirs_exist_ok=True)
    page = folder / "torch-stubs" / "__init__.pyi"
    text = page.read_text(encoding="utf-8")
    for old, new in CHANGES.items():
        refute(unless=text.count(old) == 1, why=f"the installed stubs of torch do not say once: {old}")
        text = text.replace(old, new)
    page.write_text(text, encoding="utf-8")
