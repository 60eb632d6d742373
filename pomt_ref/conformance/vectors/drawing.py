"""Draws that are the same bytes on every machine, although exponentials and matrix products are not.

The last bits of a family's tensors depend on the instructions that NumPy and its BLAS choose for a processor. Rounding
to the dtype of the case hides them, except where a number lies next to the point between two roundings. Seeds that
draw such a number are passed over.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, islice
from typing import Final

import numpy as np
from jaxtyping import Float64

from pomt_ref.conformance.vectors.errors import Fault, VectorsError
from pomt_ref.testing import Case, Dtype, Family, Shape
from pomt_ref.testing.cases import make_case
from pomt_ref.testing.formats import representable

WIGGLE: Final = 2.0**-43
"""Relative: how far the same draw may differ between machines. Between instruction sets of one machine, with and
without AVX2 and AVX-512 and with the oldest kernels of OpenBLAS, it was 2⁻⁴⁶ at most in half a million numbers."""

FLOAT64_BITS: Final = (40, 28)
"""Significant bits of a tensor of a float64 case: 40 where that is settled, as it is for exact numbers, else 28. More
than float32 has in either case."""

TRIES: Final = 1000
"""Seeds that are looked at; in the release it is never more than a few."""

Tensor = Float64[np.ndarray, "..."]


def settled_case(family: Family, shape: Shape, *, seed: int, dtype: Dtype) -> Case:
    """The case of the first seed, from this one on, whose tensors are settled.

    Raises:
        VectorsError: there is none, as for a family whose tensors do not depend on the seed.
    """
    for candidate in islice(count(seed), TRIES):
        drawn = family.tensors(shape, seed=candidate, dtype=dtype)
        x, attn, v = (settled(tensor, dtype) for tensor in drawn)
        if x is not None and attn is not None and v is not None:
            return make_case(family.name, shape, seed=candidate, dtype=dtype, x=x, attn=attn, v=v)
    where = f"family {family.name}, {shape}, {dtype}"
    raise VectorsError([Fault(where, "a seed that draws the same bytes everywhere", f"none of {TRIES}")])


def settled(tensor: Tensor, dtype: Dtype) -> Tensor | None:
    """The tensor in its dtype, if every number within the wiggle of it rounds to the same; None otherwise.

    >>> settled(np.array([1.0, 1.25]), "float16")
    array([1.  , 1.25])
    >>> settled(np.array([1.0, 1.0 + 2.0**-11]), "float16") is None  # half way between two numbers
    True
    """
    for rounded in _roundings(dtype):
        below, above = rounded(tensor * (1 - WIGGLE)), rounded(tensor * (1 + WIGGLE))
        if below.tobytes() == above.tobytes():
            return below
    return None


def to_bits(tensor: Tensor, *, bits: int) -> Tensor:
    """Round to the nearest number of so many significant bits, ties to even.

    >>> to_bits(np.array([1.0 + 2.0**-39, 1.0 + 2.0**-41]), bits=40).tolist()
    [1.000000000001819, 1.0]
    """
    mantissa, exponent = np.frexp(tensor)
    rounded: Tensor = np.ldexp(np.rint(np.ldexp(mantissa, bits)), exponent - bits)
    return rounded


def _roundings(dtype: Dtype) -> Iterator[Callable[[Tensor], Tensor]]:
    """What brings a draw into its dtype, the first that is settled to be taken."""
    if dtype != "float64":
        yield partial(representable, dtype=dtype)
        return
    for bits in FLOAT64_BITS:
        yield partial(to_bits, bits=bits)
