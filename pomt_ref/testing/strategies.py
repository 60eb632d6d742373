"""Hypothesis strategies: a shape from short lists and one seed, so that many cases are cheap and shrink to a line."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from hypothesis import reject
from hypothesis import strategies as st

from pomt_ref.testing.captured import Captured
from pomt_ref.testing.cases import Case, Shape
from pomt_ref.testing.families import FAMILIES
from pomt_ref.testing.formats import Dtype
from pomt_ref.testing.laws.law import Law, Sizes

Draw = Callable[..., Any]
"""Hypothesis's ``DrawFn``, a protocol that run-time checkers of annotations cannot check."""

PREFIXES: Final = (1, 0, 2, 3, 4, 5, 6, 7, 8, 9)
"""No prefix; a class token; with a distillation token; with registers. The simplest for a report comes first."""

SMALL: Final = (1, 2, 3, 4, 5, 6, 8, 12, 16, 17, 24, 31, 32)
"""Patch tokens; an unstable sort shows from 17 elements."""

LARGE: Final = (33, 63, 64, 65, 128, 129, 196, 256, 257, 300)
"""Past the switches of sorting algorithms, the range of 8-bit indices, and what half precision can tell apart."""


@st.composite
def shapes(draw: Draw, *, sizes: Sizes = "small", least_prefix: int = 0, max_patches: int = LARGE[-1]) -> Shape:
    """Shapes of small cases, one in three of them large where asked; T is often an extreme one."""
    large = sizes != "small" and draw(st.integers(0, 2)) == 2  # noqa: PLR2004 -- the last of the three
    patches = min(draw(st.sampled_from(LARGE if large else SMALL)), max_patches)
    prefix = draw(st.sampled_from((*PREFIXES, 0, 1, 2)))  # the common ones come more often
    # Extremes, and the counts that show most: a long kept row of ranks orders many pairs of tokens.
    keep = draw(st.sampled_from((0, 1, patches // 2, patches * 3 // 4, patches - 2, patches - 1)))
    return Shape(
        batch=1 if large else draw(st.integers(1, 3)),
        heads=draw(st.sampled_from((1, 2) if large else (1, 2, 3, 4, 6, 8, 12, 16))),
        tokens=max(prefix, least_prefix) + patches,
        features=draw(st.sampled_from((1, 2, 3, 5, 8, 24, 64))),
        channels=draw(st.sampled_from((1, 2, 3, 7, 16, 48, 65))),
        prefix=max(prefix, least_prefix),
        keep=min(max(keep, 0), patches - 1),
    )


@st.composite
def cases(
    draw: Draw, law: Law, *, dtype: Dtype, captured: Captured | None = None, fixed: Mapping[str, int] | None = None
) -> Case:
    """Cases that show the clause of a law: one of its families, a shape and a seed; or samples of captured tensors.

    Axes that are fixed have that size, whatever was drawn: an implementation may be made for one shape only.

    Hypothesis prefers numbers from 100 on that stand in the source of modules loaded. Every number drawn here is
    smaller, so that the same seed draws the same cases whatever else is loaded.
    """
    name = draw(st.sampled_from(law.families))
    shape = draw(shapes(sizes=law.sizes, least_prefix=0 if law.method == "pomt" else 1))
    seed = 100 * draw(st.integers(0, 99)) + draw(st.integers(0, 99))
    if captured is not None:
        return captured.build(batch=shape.batch, keep=shape.keep, seed=seed, dtype=dtype)
    family = FAMILIES[name]
    shape = family.fit(shape)
    if fixed:
        shape = replace(shape, **fixed)
        if shape.patches < 1 or ("keep" in fixed and shape.discarded < 1):
            reject()
        shape = replace(shape, keep=min(shape.keep, shape.patches - 1))
    return family.build(shape, seed=seed, dtype=dtype)
