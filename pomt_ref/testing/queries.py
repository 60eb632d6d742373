"""POMT-ATT-1 from queries and keys: cases, error bounds and laws for implementations that never hold the matrix."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from hypothesis import strategies as st
from jaxtyping import Float64

from pomt_ref import oracle
from pomt_ref.testing.formats import Dtype, normative, representable

Array = Float64[np.ndarray, "..."]


@dataclass(frozen=True)
class LayerShape:
    """How large queries, keys and values are, and in what blocks they are to be read."""

    batch: int
    heads: int
    tokens: int
    """N, prefix included."""
    features: int
    """D, of queries and keys."""
    values: int
    """Features of the values."""
    prefix: int
    """P, less than N."""
    rows: int
    """Query rows a block: any number from one on, more than N too."""


@dataclass(frozen=True, repr=False)
class LayerCase:
    """Queries, keys and values whose attention nobody has computed yet."""

    family: str
    shape: LayerShape
    seed: int
    dtype: Dtype
    q: Float64[np.ndarray, "batch heads tokens features"]
    k: Float64[np.ndarray, "batch heads tokens features"]
    v: Float64[np.ndarray, "batch heads tokens values"]

    def __repr__(self) -> str:
        """Read as ``batch=1 heads=2 … (family: ordinary)``, without the tensors."""
        sizes = " ".join(f"{axis}={size}" for axis, size in asdict(self.shape).items())
        return f"<LayerCase {sizes} seed={self.seed} dtype={self.dtype} (family: {self.family})>"

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:  # noqa: ANN401, FBT001 -- Hypothesis's protocol
        """Hypothesis would print the fields of a data class, all tensors among them."""
        printer.text(repr(self))

    @property
    def scale(self) -> float:
        """One over the root of the features, as attention has it unless told."""
        return float(self.shape.features**-0.5)

    @cached_property
    def logits(self) -> Float64[np.ndarray, "batch heads tokens tokens"]:
        """By the oracle."""
        return oracle.logits(self.q, self.k, scale=self.scale)

    @cached_property
    def sizes(self) -> Float64[np.ndarray, "batch heads tokens tokens"]:
        """Of every logit, the sum of the sizes of its products: what its rounding is relative to."""
        products: Float64[np.ndarray, "batch heads tokens tokens"] = np.abs(self.q) @ np.abs(self.k).swapaxes(-1, -2)
        return abs(self.scale) * products

    @cached_property
    def attn(self) -> Float64[np.ndarray, "batch heads tokens tokens"]:
        """By the oracle."""
        return oracle.attention(self.logits)

    @cached_property
    def lse(self) -> Float64[np.ndarray, "batch heads tokens"]:
        """By the oracle, as a kernel that makes no mistake would return it: in the dtype of scores."""
        return representable(oracle.logsumexp(self.logits), normative(self.dtype).name)  # type: ignore[arg-type]


Draw = Callable[[np.random.Generator, LayerShape], tuple[Array, Array]]
"""How a family makes queries and keys."""


def _ordinary(random: np.random.Generator, shape: LayerShape) -> tuple[Array, Array]:
    """Gaussian: logits of about one."""
    size = (shape.batch, shape.heads, shape.tokens, shape.features)
    return random.normal(size=size), random.normal(size=size)


def _large(random: np.random.Generator, shape: LayerShape) -> tuple[Array, Array]:
    """Logits of tens to thousands, so that a softmax that is not shifted overflows and rounding grows."""
    q, k = _ordinary(random, shape)
    spread = 10.0 ** random.uniform(1.0, 3.0)
    return spread * q, k


def _apart(random: np.random.Generator, shape: LayerShape) -> tuple[Array, Array]:
    """Every head attends to keys of its own, strongly: a mean or a sum over heads is far from the maximum."""
    q, k = _ordinary(random, shape)
    own = np.arange(shape.tokens) % shape.heads == np.arange(shape.heads)[:, None]
    return np.abs(q), np.where(own[None, :, :, None], 2.0, -2.0) + 0.1 * k


def _to_prefix(random: np.random.Generator, shape: LayerShape) -> tuple[Array, Array]:
    """Rows of the prefix look elsewhere than those of the patches, and all look at the prefix."""
    q, k = _ordinary(random, shape)
    q[:, :, : shape.prefix] *= -8.0
    k[:, :, : shape.prefix] += 1.0
    return q, k


def _level(random: np.random.Generator, shape: LayerShape) -> tuple[Array, Array]:
    """Few different numbers: heads and keys that tie."""
    size = (shape.batch, shape.heads, shape.tokens, shape.features)
    return random.integers(-1, 2, size=size).astype(np.float64), random.integers(-1, 2, size=size).astype(np.float64)


LAYER_FAMILIES: Final[dict[str, Draw]] = {
    "ordinary": _ordinary,
    "large logits": _large,
    "heads apart": _apart,
    "attention to the prefix": _to_prefix,
    "few numbers": _level,
}
"""Every family by its name."""


def build_layer(family: str, shape: LayerShape, *, seed: int, dtype: Dtype) -> LayerCase:
    """Make the case of this family, shape and seed; the same arguments give the same tensors on every machine."""
    random = np.random.default_rng(seed)
    q, k = LAYER_FAMILIES[family](random, shape)
    v = random.normal(size=(shape.batch, shape.heads, shape.tokens, shape.values))
    q, k, v = (representable(each, dtype) for each in (q, k, v))
    return LayerCase(family, shape, seed, dtype, q, k, v)


@st.composite
def layer_cases(draw: Callable[..., Any], *, dtype: Dtype) -> LayerCase:
    """Any family, in any shape up to twenty tokens, odd ones and single ones among them."""
    tokens = draw(st.sampled_from((5, 1, 2, 3, 4, 7, 8, 13, 20)))
    shape = LayerShape(
        batch=draw(st.sampled_from((1, 2))),
        heads=draw(st.sampled_from((2, 1, 3, 5))),
        tokens=tokens,
        features=draw(st.sampled_from((2, 1, 3, 8))),
        values=draw(st.sampled_from((2, 1, 5))),
        prefix=draw(st.integers(0, tokens - 1)),
        rows=draw(st.integers(1, tokens + 2)),
    )
    family = draw(st.sampled_from(tuple(LAYER_FAMILIES)))
    return build_layer(family, shape, seed=draw(st.integers(0, 2**32 - 1)), dtype=dtype)
