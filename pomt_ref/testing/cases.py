"""A case: the tensors of one pruning step, made from a family, a shape and a seed, and nothing else.

Tensors are float64 arrays whose values are representable in the case's dtype, so that an implementation and the oracle
see the same numbers, and a case is told in one line.
"""

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float64

from pomt_ref import oracle
from pomt_ref.testing.formats import Dtype, representable


@dataclass(frozen=True)
class Shape:
    """How large a case is, and how much of it is kept."""

    batch: int
    heads: int
    tokens: int
    """N, prefix included."""
    features: int
    """D, of one head."""
    channels: int
    """C."""
    prefix: int
    """P."""
    keep: int
    """T, in [0, N - P - 1]."""

    @property
    def patches(self) -> int:
        """n = N - P."""
        return self.tokens - self.prefix

    @property
    def discarded(self) -> int:
        """m = n - T."""
        return self.patches - self.keep

    def __str__(self) -> str:
        """Read as ``batch=1 heads=2 …``: the words of a failure."""
        return " ".join(f"{axis}={size}" for axis, size in asdict(self).items())


@dataclass(frozen=True, repr=False)
class Case:
    """One pruning step to be done: what goes in."""

    family: str
    shape: Shape
    seed: int
    dtype: Dtype
    x: Float64[np.ndarray, "batch tokens channels"]
    attn: Float64[np.ndarray, "batch heads tokens tokens"]
    v: Float64[np.ndarray, "batch heads tokens features"]

    def __str__(self) -> str:
        """Read as ``batch=1 heads=2 … seed=17 dtype=float32 (family: ordinary)``."""
        return f"{self.shape} seed={self.seed} dtype={self.dtype} (family: {self.family})"

    def __repr__(self) -> str:
        """Without the tensors."""
        return f"<Case {self}>"

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:  # noqa: ANN401, FBT001 -- Hypothesis's protocol
        """Hypothesis would print the fields of a data class, all tensors among them."""
        printer.text(repr(self))

    @cached_property
    def defined(self) -> bool:
        """Whether the batch has patch-to-patch attention (M > 0): otherwise no order is defined."""
        prefix = self.shape.prefix
        return bool((self.attn[:, :, prefix:, prefix:] > 0).any())

    @cached_property
    def sums(self) -> Float64[np.ndarray, "batch patches"]:
        """POMT-ATT-1 by the oracle, computed once."""
        return oracle.attention_sums(self.attn, prefix=self.shape.prefix)

    @cached_property
    def scores(self) -> Float64[np.ndarray, "batch patches"]:
        """POMT-SCORE-1 by the oracle, from the sums that are known."""
        return oracle.share_of_largest(self.sums) + oracle.magnitude_score(self.v, prefix=self.shape.prefix)

    def patch_rows(self, sample: int) -> Float64[np.ndarray, "patches channels"]:
        """The rows of x that may be pruned."""
        return self.x[sample, self.shape.prefix :]

    def keeping(self, keep: int) -> "Case":
        """The same tensors, with another T."""
        return replace(self, shape=replace(self.shape, keep=keep))

    def sample(self, index: int) -> "Case":
        """One sample of the batch, alone."""
        chosen = slice(index, index + 1)
        return self.having(x=self.x[chosen], attn=self.attn[chosen], v=self.v[chosen])

    def having(
        self,
        *,
        x: Float64[np.ndarray, "batch tokens channels"] | None = None,
        attn: Float64[np.ndarray, "batch heads tokens tokens"] | None = None,
        v: Float64[np.ndarray, "batch heads tokens features"] | None = None,
    ) -> "Case":
        """The same step on other tensors, as the metamorphic laws need it."""
        x, attn, v = (self.x if x is None else x), (self.attn if attn is None else attn), (self.v if v is None else v)
        shape = replace(self.shape, batch=len(x), heads=attn.shape[1])
        return replace(self, shape=shape, x=x, attn=attn, v=v)


def make_case(
    family: str,
    shape: Shape,
    *,
    seed: int,
    dtype: Dtype,
    x: Float64[np.ndarray, "batch tokens channels"],
    attn: Float64[np.ndarray, "batch heads tokens tokens"],
    v: Float64[np.ndarray, "batch heads tokens features"],
) -> Case:
    """Round the tensors to the case's dtype: the case is what an implementation is given, to the bit.

    >>> shape = Shape(batch=1, heads=1, tokens=2, features=1, channels=1, prefix=0, keep=1)
    >>> half = np.full((1, 1, 2, 2), 0.5)
    >>> print(make_case("by hand", shape, seed=0, dtype="float32", x=half[0, :, :, :1], attn=half, v=half[..., :1]))
    batch=1 heads=1 tokens=2 features=1 channels=1 prefix=0 keep=1 seed=0 dtype=float32 (family: by hand)
    """
    rounded = {name: representable(array, dtype) for name, array in (("x", x), ("attn", attn), ("v", v))}
    return Case(family, shape, seed, dtype, **rounded)
