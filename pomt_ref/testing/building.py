"""A case made again from what a report says of it."""

from dataclasses import fields
from typing import Final, get_args

from pomt_ref.errors import CountError, KindError, OptionError
from pomt_ref.testing.cases import Case, Shape
from pomt_ref.testing.families import FAMILIES
from pomt_ref.testing.formats import Dtype

AXES: Final = tuple(field.name for field in fields(Shape))
"""What a shape consists of."""


def build_case(family: str, *, seed: int, dtype: Dtype, **shape: int) -> Case:
    """Make again the case that a report names.

    Arguments:
        family: the family of inputs, by its name in a report.
        seed: of the case, in [0, 2**32).
        dtype: that its numbers are representable in.
        shape: ``batch``, ``heads``, ``tokens``, ``features``, ``channels``, ``prefix`` and ``keep``, all of them.

    Raises:
        OptionError: a family or a dtype that there is not, an axis too many or too few.
        KindError: a size or a seed that is no int.
        CountError: a size or a seed out of range, 0 <= prefix < tokens and 0 <= keep < tokens - prefix among them.

    >>> case = build_case("ordinary", seed=17, dtype="float32", batch=1, heads=2, tokens=4, features=1, channels=1,
    ...                   prefix=1, keep=1)
    >>> print(case)
    batch=1 heads=2 tokens=4 features=1 channels=1 prefix=1 keep=1 seed=17 dtype=float32 (family: ordinary)
    """
    if family not in FAMILIES:
        raise OptionError("build_case", "POMT-PRUNE-1", f"family, one of {', '.join(FAMILIES)}", f"{family!r}")
    if dtype not in get_args(Dtype):
        raise OptionError("build_case", "POMT-PREC-1", f"dtype in {get_args(Dtype)}", f"{dtype!r}")
    if shape.keys() != set(AXES):
        raise OptionError("build_case", "POMT-PRUNE-1", f"{', '.join(AXES)}", f"{', '.join(shape) or 'none of them'}")
    for name, value in {**shape, "seed": seed}.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise KindError("build_case", "POMT-COUNT-1", f"{name}, an int", f"{value!r}")
    return FAMILIES[family].build(_possible(Shape(**shape), seed), seed=seed, dtype=dtype)


def _possible(shape: Shape, seed: int) -> Shape:
    """The shape, where there can be tensors of it."""
    largest = {"prefix": shape.tokens - 1, "keep": shape.patches - 1}
    for name in AXES:
        value, least, most = getattr(shape, name), int(name not in largest), largest.get(name)
        if value < least or (most is not None and value > most):
            expected = f"{least} <= {name}" if most is None else f"{least} <= {name} <= {most}"
            raise CountError("build_case", "POMT-COUNT-1", expected, f"{name}={value} ({shape})")
    if not 0 <= seed < 2**32:
        raise CountError("build_case", "POMT-PRUNE-1", "0 <= seed < 2**32", f"seed={seed}")
    return shape
