"""Captured tensors: the x, attn and v of a real model, read from a safetensors file, as one more input family."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float64
from safetensors import SafetensorError, safe_open

from pomt_ref.errors import ShapeError, ValuesError
from pomt_ref.testing.cases import Case, Shape, make_case
from pomt_ref.testing.formats import Dtype

DIGITS: Final = 9
"""Of the largest number of prefix tokens that is read."""

ROW_SUM_SLACK: Final = 8 * 2.0**-11
"""How far a row of captured attention may be from one: eight roundings of float16."""


@dataclass(frozen=True)
class Captured:
    """The tensors of many samples; a case takes one sample of them, or a few."""

    path: Path
    prefix: int
    x: Float64[np.ndarray, "samples tokens channels"] = field(repr=False)
    attn: Float64[np.ndarray, "samples heads tokens tokens"] = field(repr=False)
    v: Float64[np.ndarray, "samples heads tokens features"] = field(repr=False)

    @property
    def name(self) -> str:
        """The family that these tensors are reported as."""
        return f"captured: {self.path.name}"

    def build(self, *, batch: int, keep: int, seed: int, dtype: Dtype) -> Case:
        """The case of ``batch`` consecutive samples, the first of which the seed says."""
        samples = (seed + np.arange(batch)) % len(self.x)
        x, attn, v = self.x[samples], self.attn[samples], self.v[samples]
        keep = min(keep, x.shape[1] - self.prefix - 1)
        shape = Shape(batch, attn.shape[1], x.shape[1], v.shape[3], x.shape[2], self.prefix, keep)
        return make_case(self.name, shape, seed=seed, dtype=dtype, x=x, attn=attn, v=v)


def load_captured(path: Path) -> Captured:
    """Read ``x``, ``attn`` and ``v`` of (samples, …) and the metadata ``prefix`` from a safetensors file.

    Raises:
        PomtError: no such file, no safetensors file, a tensor missing, or shapes that are not of one layer.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: _widened(file, name) for name in ("x", "attn", "v")}
    except (OSError, SafetensorError, TypeError, AttributeError) as error:
        expected = "a safetensors file with the tensors x, attn and v in float16, float32 or float64"
        raise ValuesError("load_captured", "POMT-PRUNE-1", expected, f"{path}: {error}") from error
    prefix = metadata.get("prefix", "")
    if not prefix.isdecimal() or len(prefix) > DIGITS:
        raise ValuesError("load_captured", "POMT-PRUNE-1", "metadata prefix, an integer", f"{path}: {metadata}")
    x, attn, v = tensors["x"], tensors["attn"], tensors["v"]
    if not _of_one_layer(x, attn, v, int(prefix)):
        got = f"{path}: x {x.shape}, attn {attn.shape}, v {v.shape}, prefix {prefix}"
        expected = (
            "x (samples, tokens, channels), attn (samples, heads, tokens, tokens), v (samples, heads, tokens, features)"
        )
        raise ShapeError("load_captured", "POMT-PRUNE-1", expected, got)
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
        raise ValuesError("load_captured", "POMT-PRUNE-1", "finite tensors", f"{path}: a NaN or an infinity")
    if (attn < 0).any() or (np.abs(attn.sum(axis=-1) - 1) > ROW_SUM_SLACK).any():
        expected = "attn after softmax: no negative entry, rows that sum to 1"
        raise ValuesError("load_captured", "POMT-ATT-1", expected, f"{path}: rows from {attn.sum(axis=-1).min():.6g}")
    _require_sums(path, x, attn, int(prefix))
    return Captured(path, int(prefix), x, attn, v)


def _require_sums(
    path: Path,
    x: Float64[np.ndarray, "samples tokens channels"],
    attn: Float64[np.ndarray, "samples heads tokens tokens"],
    prefix: int,
) -> None:
    """Tensors that the edge rules leave undefined are no test of anybody: every sample may come to stand alone."""
    nothing = attn[:, :, prefix:, prefix:].max(axis=(1, 2, 3)) == 0
    if nothing.any():
        expected = "some patch-to-patch attention above zero in every sample"
        raise ValuesError("load_captured", "POMT-ATT-2", expected, f"{path}: none in sample {int(nothing.argmax())}")
    if np.abs(x).sum(axis=1).max() > np.finfo(np.float32).max:
        raise ValuesError("load_captured", "FLOAT-2", "sums over tokens that float32 holds", f"{path}: larger ones")


def _widened(file: Any, name: str) -> Float64[np.ndarray, "*axes"]:  # noqa: ANN401 -- safetensors names no type
    """A stored tensor as float64."""
    kind = file.get_slice(name).get_dtype()
    if kind == "BF16":  # NumPy has no such type: its bits are the upper half of a float32
        raise TypeError(f"{name} is stored as bfloat16")
    stored = file.get_tensor(name)
    if stored.dtype.kind != "f":
        raise TypeError(f"{name} is stored as {stored.dtype}")
    tensor: Float64[np.ndarray, "*axes"] = stored.astype(np.float64)
    return tensor


def _of_one_layer(
    x: Float64[np.ndarray, "*x"], attn: Float64[np.ndarray, "*attn"], v: Float64[np.ndarray, "*v"], prefix: int
) -> bool:
    """Whether the three belong together, and leave a patch token."""
    if (x.ndim, attn.ndim, v.ndim) != (3, 4, 4) or 0 in (*x.shape, *attn.shape, *v.shape):
        return False
    (samples, tokens, _), heads = x.shape, attn.shape[1]
    same = attn.shape == (samples, heads, tokens, tokens) and v.shape[:3] == (samples, heads, tokens)
    return same and prefix < tokens
