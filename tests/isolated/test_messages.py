"""Every message of the boundary, word for word, as a caller of the public functions meets it.

These run without the run-time checker of annotations, which would refuse most of these calls first, in its own words.
"""

import copy
import pickle
import re
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import numpy as np
import pytest
import torch

import pomt_ref
from pomt_ref import (
    CountError,
    DeviceError,
    DtypeError,
    KindError,
    MissingExtraError,
    OptionError,
    PomtError,
    ShapeError,
    ValuesError,
)
from pomt_ref.conformance import SubjectError, check
from pomt_ref.pruning import planned_keep

NAN: Final = float("nan")
INFINITY: Final = float("inf")

X: Final = torch.tensor([[[9.0, -1.0, 0.5], [1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]])
"""One sample, four tokens (the first is the prefix), three channels."""
ATTN: Final = torch.full((1, 2, 4, 4), 0.25)
"""Two heads that attend to every token alike."""
V: Final = torch.zeros(1, 2, 4, 2)
"""Two heads, two features."""
SELFLESS: Final = torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(1, 2, 4, 4)
"""All attention goes to the prefix token."""
BLIND: Final = torch.cat([ATTN[:, :, :1], SELFLESS[:, :, 1:]], dim=2)
"""The prefix token looks around, but nothing flows between patches."""


def altered(tensor: torch.Tensor, place: tuple[int, ...], value: float) -> torch.Tensor:
    """A copy with one other value."""
    copied = tensor.clone()
    copied[place] = value
    return copied


VALID: Final[dict[str, dict[str, object]]] = {
    "prune": {"x": X, "attn": ATTN, "v": V, "keep": 1},
    "trace": {"x": X, "attn": ATTN, "v": V, "keep": 1},
    "topk_prune": {"x": X, "attn": ATTN, "keep": 1},
    "evit_prune": {"x": X, "attn": ATTN, "keep": 1},
    "score": {"attn": ATTN, "v": V},
    "attention_score": {"attn": ATTN},
    "magnitude_score": {"v": V},
    "rank": {"scores": torch.tensor([[0.5, 1.5, 0.25]])},
    "choose_remove": {"tokens": [49, 99, 197], "latency": [1.0, 1.5, 4.0], "accuracy": [0.5, 0.75, 0.8]},
}
"""One call of every public function that is fine; a refusal below changes some of its arguments."""

OF_X: Final = ("prune", "trace", "topk_prune", "evit_prune")
OF_ATTN: Final = ("prune", "trace", "topk_prune", "evit_prune", "score", "attention_score")
OF_V: Final = ("prune", "trace", "score", "magnitude_score")
OF_MAXIMUM: Final = ("prune", "trace", "score", "attention_score")
POMT: Final = ("prune", "trace")
SIBLINGS: Final = ("topk_prune", "evit_prune")
CHECKED: Final = tuple(name for name in VALID if name != "choose_remove")

SPEAKS_AS: Final = {"trace": "prune"}
"""A trace is a prune seen from inside: its arguments and errors are those of prune."""


@dataclass(frozen=True)
class Refusal:
    """The functions that refuse, what is wrong in the call, the class of the error, the message after the name."""

    functions: tuple[str, ...]
    changes: dict[str, object]
    error: type[PomtError]
    message: str

    @property
    def function(self) -> str:
        """The only function left once the table is spread."""
        (function,) = self.functions
        return function

    @property
    def whole_message(self) -> str:
        """The message with the name of the function that speaks."""
        return f"{SPEAKS_AS.get(self.function, self.function)}: {self.message}"

    def provoke(self) -> PomtError:
        """Make the call, and catch what it raises."""
        with pytest.raises(PomtError) as caught:
            getattr(pomt_ref, self.function)(**(VALID[self.function] | self.changes))
        return caught.value


REFUSALS: Final = [
    # ---- options ------------------------------------------------------------------------------------------------
    Refusal(
        CHECKED,
        {"check": "strict"},
        OptionError,
        "expected check in ('values', 'shapes', 'none') (POMT-PRUNE-1), got check='strict'",
    ),
    Refusal(
        CHECKED,
        {"check": None},
        OptionError,
        "expected check in ('values', 'shapes', 'none') (POMT-PRUNE-1), got check=None",
    ),
    Refusal(
        OF_MAXIMUM,
        {"normalisation": "token"},
        OptionError,
        "expected normalisation in ('batch', 'sample') (POMT-ATT-2), got normalisation='token'",
    ),
    Refusal(
        OF_MAXIMUM,
        {"normalisation": np.array(["batch", "sample"])},
        OptionError,
        "expected normalisation in ('batch', 'sample') (POMT-ATT-2), "
        "got normalisation=array(['batch', 'sample'], dtype='<U6')",
    ),
    Refusal(
        OF_MAXIMUM,
        {"normalisation": "token", "check": "none"},
        OptionError,
        "expected normalisation in ('batch', 'sample') (POMT-ATT-2), got normalisation='token'",
    ),
    Refusal(
        OF_X,
        {"keep": None},
        OptionError,
        "expected exactly one of keep and remove (POMT-COUNT-1), got keep=None, remove=None",
    ),
    Refusal(
        OF_X,
        {"keep": 1, "remove": 2},
        OptionError,
        "expected exactly one of keep and remove (POMT-COUNT-1), got keep=1, remove=2",
    ),
    Refusal(
        OF_X,
        {"keep": 0, "remove": 0, "check": "none"},
        OptionError,
        "expected exactly one of keep and remove (POMT-COUNT-1), got keep=0, remove=0",
    ),
    # ---- x ------------------------------------------------------------------------------------------------------
    Refusal(OF_X, {"x": X.numpy()}, KindError, "expected x, a torch.Tensor (POMT-PRUNE-1), got ndarray"),
    Refusal(OF_X, {"x": X.tolist()}, KindError, "expected x, a torch.Tensor (POMT-PRUNE-1), got list"),
    Refusal(
        OF_X,
        {"x": X.long()},
        DtypeError,
        "expected x in float16, bfloat16, float32 or float64 (POMT-PREC-1), got torch.int64",
    ),
    Refusal(
        OF_X,
        {"x": X[0]},
        ShapeError,
        "expected x of shape (batch, tokens, channels) (POMT-PRUNE-1), got (4, 3)",
    ),
    Refusal(
        OF_X,
        {"x": X[:0]},
        ShapeError,
        "expected x of shape (batch, tokens, channels), no axis empty (POMT-PRUNE-1), got (0, 4, 3)",
    ),
    Refusal(
        OF_X,
        {"x": X[:, :, :0], "check": "shapes"},
        ShapeError,
        "expected x of shape (batch, tokens, channels), no axis empty (POMT-PRUNE-1), got (1, 4, 0)",
    ),
    Refusal(
        OF_X,
        {"x": altered(X, (0, 2, 1), NAN)},
        ValuesError,
        "expected finite x (POMT-PRUNE-1), got x[0, 2, 1] = nan",
    ),
    Refusal(
        OF_X,
        {"x": altered(altered(X, (0, 3, 2), INFINITY), (0, 0, 2), -INFINITY)},
        ValuesError,
        "expected finite x (POMT-PRUNE-1), got x[0, 0, 2] = -inf",
    ),
    # ---- attn ---------------------------------------------------------------------------------------------------
    Refusal(OF_ATTN, {"attn": None}, KindError, "expected attn, a torch.Tensor (POMT-ATT-1), got NoneType"),
    Refusal(
        OF_ATTN,
        {"attn": ATTN.to(torch.complex64)},
        DtypeError,
        "expected attn in float16, bfloat16, float32 or float64 (POMT-PREC-1), got torch.complex64",
    ),
    Refusal(
        OF_ATTN,
        {"attn": ATTN[0]},
        ShapeError,
        "expected attn of shape (batch, heads, tokens, tokens) (POMT-ATT-1), got (2, 4, 4)",
    ),
    Refusal(
        OF_ATTN,
        {"attn": ATTN[:, :0]},
        ShapeError,
        "expected attn of shape (batch, heads, tokens, tokens), no axis empty (POMT-ATT-1), got (1, 0, 4, 4)",
    ),
    Refusal(
        OF_ATTN,
        {"attn": ATTN[:0], "check": "shapes"},
        ShapeError,
        "expected attn of shape (batch, heads, tokens, tokens), no axis empty (POMT-ATT-1), got (0, 2, 4, 4)",
    ),
    Refusal(
        OF_ATTN,
        {"attn": ATTN[:, :, :3]},
        ShapeError,
        "expected attn of shape (batch, heads, tokens, tokens) (POMT-ATT-1), got (1, 2, 3, 4)",
    ),
    Refusal(
        OF_ATTN,
        {"attn": altered(ATTN, (0, 1, 2, 3), NAN)},
        ValuesError,
        "expected finite attn (POMT-ATT-1), got attn[0, 1, 2, 3] = nan",
    ),
    Refusal(
        OF_ATTN,
        {"attn": altered(ATTN, (0, 0, 0, 0), INFINITY)},
        ValuesError,
        "expected finite attn (POMT-ATT-1), got attn[0, 0, 0, 0] = inf",
    ),
    Refusal(
        OF_ATTN,
        {"attn": altered(altered(ATTN, (0, 1, 3, 0), -0.125), (0, 1, 3, 1), 0.625)},
        ValuesError,
        "expected attn >= 0 (POMT-ATT-1), got attn[0, 1, 3, 0] = -0.125",
    ),
    Refusal(
        OF_ATTN,
        {"attn": altered(ATTN, (0, 1, 2, 0), 0.375)},
        ValuesError,
        "expected rows of attn that sum to 1 +- 9.5e-07 (POMT-ATT-1), got sum[0, 1, 2] = 1.125",
    ),
    Refusal(
        OF_MAXIMUM,
        {"attn": BLIND},
        ValuesError,
        "expected some patch-to-patch attention above zero in the batch (POMT-ATT-2), got none in all 1 samples",
    ),
    Refusal(
        OF_MAXIMUM,
        {"attn": BLIND, "normalisation": "sample"},
        ValuesError,
        "expected some patch-to-patch attention above zero in every sample (POMT-ATT-2), got none in sample 0",
    ),
    Refusal(
        ("attention_score",),
        {"attn": torch.cat([ATTN, ATTN, BLIND]), "normalisation": "sample"},
        ValuesError,
        "expected some patch-to-patch attention above zero in every sample (POMT-ATT-2), got none in sample 2",
    ),
    Refusal(
        ("attention_score",),
        {"attn": torch.cat([BLIND, BLIND])},
        ValuesError,
        "expected some patch-to-patch attention above zero in the batch (POMT-ATT-2), got none in all 2 samples",
    ),
    # ---- v ------------------------------------------------------------------------------------------------------
    Refusal(OF_V, {"v": 1.5}, KindError, "expected v, a torch.Tensor (POMT-MAG-1), got float"),
    Refusal(
        OF_V,
        {"v": V.bool()},
        DtypeError,
        "expected v in float16, bfloat16, float32 or float64 (POMT-PREC-1), got torch.bool",
    ),
    Refusal(
        OF_V,
        {"v": V[..., None]},
        ShapeError,
        "expected v of shape (batch, heads, tokens, features) (POMT-MAG-1), got (1, 2, 4, 2, 1)",
    ),
    Refusal(
        OF_V,
        {"v": V[..., :0]},
        ShapeError,
        "expected v of shape (batch, heads, tokens, features), no axis empty (POMT-MAG-1), got (1, 2, 4, 0)",
    ),
    Refusal(
        OF_V,
        {"v": V[:, :0], "check": "shapes"},
        ShapeError,
        "expected v of shape (batch, heads, tokens, features), no axis empty (POMT-MAG-1), got (1, 0, 4, 2)",
    ),
    Refusal(
        OF_V,
        {"v": altered(V, (0, 1, 0, 1), -INFINITY)},
        ValuesError,
        "expected finite v (POMT-MAG-1), got v[0, 1, 0, 1] = -inf",
    ),
    # ---- scores -------------------------------------------------------------------------------------------------
    Refusal(
        ("rank",),
        {"scores": [0.5, 1.5]},
        KindError,
        "expected scores, a torch.Tensor (POMT-RANK-1), got list",
    ),
    Refusal(
        ("rank",),
        {"scores": torch.tensor([[2, 1]])},
        DtypeError,
        "expected scores in float16, bfloat16, float32 or float64 (POMT-PREC-1), got torch.int64",
    ),
    Refusal(
        ("rank",),
        {"scores": torch.tensor([0.5, 1.5])},
        ShapeError,
        "expected scores of shape (batch, patches) (POMT-RANK-1), got (2,)",
    ),
    Refusal(
        ("rank",),
        {"scores": torch.zeros(1, 0)},
        ShapeError,
        "expected scores of shape (batch, patches), no axis empty (POMT-RANK-1), got (1, 0)",
    ),
    Refusal(
        ("rank",),
        {"scores": torch.tensor([[0.5, NAN]])},
        ValuesError,
        "expected finite scores (POMT-RANK-1), got scores[0, 1] = nan",
    ),
    Refusal(("rank",), {"prefix": -1}, CountError, "expected prefix >= 0 (POMT-RANK-1), got prefix=-1"),
    Refusal(
        ("rank",), {"prefix": 10**30}, CountError, f"expected prefix <= {2**31} (POMT-RANK-1), got prefix={10**30}"
    ),
    Refusal(
        ("rank",),
        {"scores": torch.ones(1, 2, device="meta")},
        DeviceError,
        'expected scores with values, or check="shapes" (POMT-PREC-1), got a meta tensor',
    ),
    Refusal(("rank",), {"prefix": 1.0}, KindError, "expected prefix, an int (POMT-RANK-1), got prefix=1.0"),
    # ---- prefix -------------------------------------------------------------------------------------------------
    Refusal(OF_X, {"prefix": -1}, CountError, "expected 0 <= prefix <= 3 (POMT-PRUNE-1), got prefix=-1 (tokens=4)"),
    Refusal(OF_X, {"prefix": 4}, CountError, "expected 0 <= prefix <= 3 (POMT-PRUNE-1), got prefix=4 (tokens=4)"),
    Refusal(OF_X, {"prefix": True}, KindError, "expected prefix, an int (POMT-PRUNE-1), got prefix=True"),
    Refusal(
        ("score", "attention_score"),
        {"prefix": 4},
        CountError,
        "expected 0 <= prefix <= 3 (POMT-ATT-1), got prefix=4 (tokens=4)",
    ),
    Refusal(
        ("score", "attention_score"),
        {"prefix": "1"},
        KindError,
        "expected prefix, an int (POMT-ATT-1), got prefix='1'",
    ),
    Refusal(
        ("magnitude_score",),
        {"prefix": 4},
        CountError,
        "expected 0 <= prefix <= 3 (POMT-MAG-1), got prefix=4 (tokens=4)",
    ),
    Refusal(
        ("magnitude_score",),
        {"prefix": -1},
        CountError,
        "expected 0 <= prefix <= 3 (POMT-MAG-1), got prefix=-1 (tokens=4)",
    ),
    Refusal(
        POMT,
        {"attn": ATTN[..., :2, :2] * 2, "prefix": 3},
        CountError,
        "expected 0 <= prefix <= 1 (POMT-ATT-1), got prefix=3 (tokens=2)",
    ),
    Refusal(
        ("score",),
        {"v": V[:, :, :1], "prefix": 1},
        CountError,
        "expected 0 <= prefix <= 0 (POMT-MAG-1), got prefix=1 (tokens=1)",
    ),
    # ---- keep ---------------------------------------------------------------------------------------------------
    Refusal(
        POMT,
        {"keep": 3},
        CountError,
        "expected 0 <= keep <= 2 (POMT-PRUNE-1), got keep=3 (tokens=4, prefix=1)",
    ),
    Refusal(
        POMT,
        {"keep": 4, "prefix": 0, "check": "shapes"},
        CountError,
        "expected 0 <= keep <= 3 (POMT-PRUNE-1), got keep=4 (tokens=4, prefix=0)",
    ),
    Refusal(
        POMT,
        {"keep": -1},
        CountError,
        "expected 0 <= keep <= 2 (POMT-PRUNE-1), got keep=-1 (tokens=4, prefix=1)",
    ),
    Refusal(
        POMT,
        {"keep": 1, "prefix": 3},
        CountError,
        "expected 0 <= keep <= 0 (POMT-PRUNE-1), got keep=1 (tokens=4, prefix=3)",
    ),
    Refusal(
        ("topk_prune",),
        {"keep": 3},
        CountError,
        "expected 0 <= keep <= 2 (TOPK-1), got keep=3 (tokens=4, prefix=1)",
    ),
    Refusal(
        ("evit_prune",),
        {"keep": -2},
        CountError,
        "expected 0 <= keep <= 2 (EVIT-1), got keep=-2 (tokens=4, prefix=1)",
    ),
    Refusal(POMT, {"keep": True}, KindError, "expected keep, an int (POMT-PRUNE-1), got keep=True"),
    Refusal(POMT, {"keep": 1.0}, KindError, "expected keep, an int (POMT-PRUNE-1), got keep=1.0"),
    Refusal(POMT, {"keep": np.float64(1)}, KindError, "expected keep, an int (POMT-PRUNE-1), got keep=np.float64(1.0)"),
    Refusal(POMT, {"keep": np.True_}, KindError, "expected keep, an int (POMT-PRUNE-1), got keep=np.True_"),
    Refusal(POMT, {"keep": torch.tensor(1)}, KindError, "expected keep, an int (POMT-PRUNE-1), got keep=tensor(1)"),
    Refusal(("topk_prune",), {"keep": 1.5}, KindError, "expected keep, an int (TOPK-1), got keep=1.5"),
    Refusal(("evit_prune",), {"keep": False}, KindError, "expected keep, an int (EVIT-1), got keep=False"),
    # ---- remove -------------------------------------------------------------------------------------------------
    Refusal(
        (*POMT, "evit_prune"),
        {"keep": None, "remove": 0},
        CountError,
        "expected 1 <= remove <= 2 (POMT-COUNT-1), got remove=0 (tokens=4, prefix=1)",
    ),
    Refusal(
        (*POMT, "evit_prune"),
        {"keep": None, "remove": 3, "check": "shapes"},
        CountError,
        "expected 1 <= remove <= 2 (POMT-COUNT-1), got remove=3 (tokens=4, prefix=1)",
    ),
    Refusal(
        POMT,
        {"keep": None, "remove": -1, "prefix": 0},
        CountError,
        "expected 1 <= remove <= 3 (POMT-COUNT-1), got remove=-1 (tokens=4, prefix=0)",
    ),
    Refusal(
        (*POMT, "evit_prune"),
        {"keep": None, "remove": 1, "prefix": 3},
        CountError,
        "expected at least 2 patch tokens to remove any (POMT-COUNT-1), got remove=1 (tokens=4, prefix=3)",
    ),
    Refusal(
        ("topk_prune",),
        {"keep": None, "remove": 0},
        CountError,
        "expected 1 <= remove <= 3 (POMT-COUNT-1), got remove=0 (tokens=4, prefix=1)",
    ),
    Refusal(
        ("topk_prune",),
        {"keep": None, "remove": 2, "prefix": 3},
        CountError,
        "expected 1 <= remove <= 1 (POMT-COUNT-1), got remove=2 (tokens=4, prefix=3)",
    ),
    Refusal(
        OF_X,
        {"keep": None, "remove": True},
        KindError,
        "expected remove, an int (POMT-COUNT-1), got remove=True",
    ),
    Refusal(
        OF_X,
        {"keep": None, "remove": torch.tensor(2)},
        KindError,
        "expected remove, an int (POMT-COUNT-1), got remove=tensor(2)",
    ),
    # ---- the class row ------------------------------------------------------------------------------------------
    Refusal(SIBLINGS, {"prefix": 0}, CountError, "expected prefix >= 1 (SIB-1), got prefix=0"),
    Refusal(
        SIBLINGS,
        {"class_index": 1},
        CountError,
        "expected 0 <= class_index <= 0 (SIB-1), got class_index=1",
    ),
    Refusal(
        SIBLINGS,
        {"class_index": -1, "prefix": 2},
        CountError,
        "expected 0 <= class_index <= 1 (SIB-1), got class_index=-1",
    ),
    Refusal(
        SIBLINGS,
        {"class_index": False},
        KindError,
        "expected class_index, an int (SIB-1), got class_index=False",
    ),
    # ---- agreement ----------------------------------------------------------------------------------------------
    Refusal(
        OF_X,
        {"x": X.double()},
        DtypeError,
        "expected x and attn of one dtype (POMT-PREC-1), got x torch.float64, attn torch.float32",
    ),
    Refusal(
        (*POMT, "score"),
        {"v": V.half()},
        DtypeError,
        "expected attn and v of one dtype (POMT-PREC-1), got attn torch.float32, v torch.float16",
    ),
    Refusal(
        OF_X,
        {"x": X.to("meta"), "check": "shapes"},
        DeviceError,
        "expected x and attn on one device (POMT-PREC-1), got x on meta, attn on cpu",
    ),
    Refusal(
        ("magnitude_score",),
        {"v": V.to_sparse()},
        KindError,
        "expected v, a dense tensor (POMT-MAG-1), got torch.sparse_coo",
    ),
    Refusal(
        ("magnitude_score",),
        {"v": V.to("meta")},
        DeviceError,
        'expected v with values, or check="shapes" (POMT-PREC-1), got a meta tensor',
    ),
    Refusal(
        (*POMT, "score"),
        {"v": V.to("meta"), "check": "shapes"},
        DeviceError,
        "expected attn and v on one device (POMT-PREC-1), got attn on cpu, v on meta",
    ),
    Refusal(
        OF_X,
        {"x": X.expand(2, -1, -1)},
        ShapeError,
        "expected x and attn with the same batch (POMT-PRUNE-1), got x (2, 4, 3), attn (1, 2, 4, 4)",
    ),
    Refusal(
        OF_X,
        {"x": X[:, :3]},
        ShapeError,
        "expected x and attn with the same tokens (POMT-PRUNE-1), got x (1, 3, 3), attn (1, 2, 4, 4)",
    ),
    Refusal(
        (*POMT, "score"),
        {"v": V.expand(3, -1, -1, -1)},
        ShapeError,
        "expected attn and v with the same batch (POMT-PRUNE-1), got attn (1, 2, 4, 4), v (3, 2, 4, 2)",
    ),
    Refusal(
        (*POMT, "score"),
        {"v": V[:, :1], "check": "shapes"},
        ShapeError,
        "expected attn and v with the same heads (POMT-PRUNE-1), got attn (1, 2, 4, 4), v (1, 1, 4, 2)",
    ),
    Refusal(
        (*POMT, "score"),
        {"v": V[:, :, :3]},
        ShapeError,
        "expected attn and v with the same tokens (POMT-PRUNE-1), got attn (1, 2, 4, 4), v (1, 2, 3, 2)",
    ),
    # ---- what overflows -----------------------------------------------------------------------------------------
    Refusal(
        POMT,
        {"x": torch.full_like(X, 3e38)},
        ValuesError,
        "expected finite mean (POMT-PRUNE-3), got mean[0, 0, 0] = inf",
    ),
    Refusal(
        (*POMT, "score"),
        {"v": torch.full_like(V, 3e38)},
        ValuesError,
        "expected finite scores (POMT-SCORE-1), got scores[0, 0] = nan",
    ),
    Refusal(
        ("magnitude_score",),
        {"v": torch.full_like(V, 3e38)},
        ValuesError,
        "expected finite share (POMT-MAG-1), got share[0, 0] = nan",
    ),
    Refusal(
        ("evit_prune",),
        {"attn": SELFLESS, "normalise": True},
        ValuesError,
        "expected finite fused (EVIT-1), got fused[0, 0, 0] = nan",
    ),
    Refusal(
        ("evit_prune",),
        {"normalise": "no"},
        OptionError,
        "expected normalise, a bool (EVIT-1), got normalise='no'",
    ),
    # ---- choosing -----------------------------------------------------------------------------------------------
    Refusal(
        ("choose_remove",),
        {"tokens": {197}},
        KindError,
        "expected tokens, a sequence (CHOOSE-1), got {197}",
    ),
    Refusal(
        ("choose_remove",),
        {"latency": "123"},
        KindError,
        "expected latency, a sequence of numbers (CHOOSE-1), got '123'",
    ),
    Refusal(
        ("choose_remove",),
        {"accuracy": {0.5: 1, 0.75: 2, 0.8: 3}},
        KindError,
        "expected accuracy, a sequence of numbers (CHOOSE-1), got {0.5: 1, 0.75: 2, 0.8: 3}",
    ),
    Refusal(
        ("choose_remove",),
        {"latency": [1.0, None, 2.0]},
        KindError,
        "expected latency, a sequence of numbers (CHOOSE-1), got [1.0, None, 2.0]",
    ),
    Refusal(
        ("choose_remove",),
        {"latency": ["1", "2", "3"]},
        KindError,
        "expected latency, a sequence of numbers (CHOOSE-1), got ['1', '2', '3']",
    ),
    Refusal(
        ("choose_remove",),
        {"alpha": 10**400},
        OptionError,
        f"expected 0 <= alpha <= 1 (CHOOSE-1), got alpha={10**400}",
    ),
    Refusal(
        ("choose_remove",),
        {"latency": [1.0, 1.5]},
        ShapeError,
        "expected three sequences of one length, at least 1 (CHOOSE-1), got 3 token counts, 2 latencies, 3 accuracies",
    ),
    Refusal(
        ("choose_remove",),
        {"tokens": [], "latency": [], "accuracy": []},
        ShapeError,
        "expected three sequences of one length, at least 1 (CHOOSE-1), got 0 token counts, 0 latencies, 0 accuracies",
    ),
    Refusal(
        ("choose_remove",),
        {"tokens": [0, 99, 197]},
        CountError,
        "expected token counts above zero, all different (CHOOSE-1), got tokens=[0, 99, 197]",
    ),
    Refusal(
        ("choose_remove",),
        {"tokens": (99, 99, 197)},
        CountError,
        "expected token counts above zero, all different (CHOOSE-1), got tokens=[99, 99, 197]",
    ),
    Refusal(
        ("choose_remove",),
        {"latency": [1.0, 0.0, 4.0]},
        ValuesError,
        "expected finite latencies above zero (CHOOSE-1), got latency=[1.0, 0.0, 4.0]",
    ),
    Refusal(
        ("choose_remove",),
        {"latency": [1.0, NAN, INFINITY]},
        ValuesError,
        "expected finite latencies above zero (CHOOSE-1), got latency=[1.0, nan, inf]",
    ),
    Refusal(
        ("choose_remove",),
        {"accuracy": [0.5, -0.5, 0.5]},
        ValuesError,
        "expected finite accuracies, none negative, one above zero (CHOOSE-1), got accuracy=[0.5, -0.5, 0.5]",
    ),
    Refusal(
        ("choose_remove",),
        {"accuracy": [0.5, INFINITY, 0.5]},
        ValuesError,
        "expected finite accuracies, none negative, one above zero (CHOOSE-1), got accuracy=[0.5, inf, 0.5]",
    ),
    Refusal(
        ("choose_remove",),
        {"accuracy": [0, 0, 0]},
        ValuesError,
        "expected finite accuracies, none negative, one above zero (CHOOSE-1), got accuracy=[0.0, 0.0, 0.0]",
    ),
    Refusal(("choose_remove",), {"alpha": 1.5}, OptionError, "expected 0 <= alpha <= 1 (CHOOSE-1), got alpha=1.5"),
    Refusal(("choose_remove",), {"alpha": -0.1}, OptionError, "expected 0 <= alpha <= 1 (CHOOSE-1), got alpha=-0.1"),
    Refusal(("choose_remove",), {"alpha": NAN}, OptionError, "expected 0 <= alpha <= 1 (CHOOSE-1), got alpha=nan"),
    Refusal(("choose_remove",), {"alpha": "x"}, OptionError, "expected 0 <= alpha <= 1 (CHOOSE-1), got alpha='x'"),
    Refusal(("choose_remove",), {"total": 196}, CountError, "expected total >= 197 (CHOOSE-1), got total=196"),
    Refusal(("choose_remove",), {"total": 197.5}, KindError, "expected total of integers (CHOOSE-1), got 197.5"),
    Refusal(
        ("choose_remove",), {"tokens": [49, True, 197]}, KindError, "expected tokens of integers (CHOOSE-1), got True"
    ),
    Refusal(
        ("choose_remove",),
        {"latency": None},
        KindError,
        "expected latency, a sequence of numbers (CHOOSE-1), got None",
    ),
    Refusal(("choose_remove",), {"tokens": 197}, KindError, "expected tokens, a sequence (CHOOSE-1), got 197"),
    Refusal(
        ("choose_remove",),
        {"tokens": np.array([[49], [99]]).repeat(2, axis=1)},
        KindError,
        "expected tokens of integers (CHOOSE-1), got array([49, 49])",
    ),
    Refusal(
        ("choose_remove",),
        {"accuracy": ["good", "bad", "good"]},
        KindError,
        "expected accuracy, a sequence of numbers (CHOOSE-1), got ['good', 'bad', 'good']",
    ),
]

EACH: Final = [replace(row, functions=(function,)) for row in REFUSALS for function in row.functions]
each_refusal: Final = pytest.mark.parametrize(
    "refusal", [pytest.param(row, id=f"{row.function}({', '.join(row.changes)}): {row.message}") for row in EACH]
)

READS_AS: Final = re.compile(
    r"(?P<function>\w+): expected (?P<expected>.+) "
    r"\((?P<clause>POMT-[A-Z]+-\d|TOPK-1|EVIT-1|SIB-1|CHOOSE-1)\), got (?P<got>.+)"
)


class TestMessages:
    """Errors are the project's own classes, say what was expected and what came, and name the clause."""

    @each_refusal
    def test_refusal_is_worded(self, refusal: Refusal) -> None:
        error = refusal.provoke()
        assert str(error) == refusal.whole_message
        assert type(error) is refusal.error

    @each_refusal
    def test_refusal_has_its_words_as_fields(self, refusal: Refusal) -> None:
        error = refusal.provoke()
        words = READS_AS.fullmatch(refusal.whole_message)
        assert words is not None, "the message has no clause, or does not read `function: expected … (clause), got …`"
        assert vars(error) == words.groupdict()

    @each_refusal
    def test_refusal_survives_copies_and_processes(self, refusal: Refusal) -> None:
        error = refusal.provoke()
        for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):  # noqa: S301 - our own
            assert type(twin) is type(error)
            assert str(twin) == str(error)
            assert vars(twin) == vars(error)
            assert twin.args == error.args

    @pytest.mark.parametrize("function", VALID)
    def test_valid_call_is_not_refused(self, function: str) -> None:
        assert getattr(pomt_ref, function)(**VALID[function]) is not None, "the table changes calls that are fine"

    @pytest.mark.parametrize(
        ("changes", "first"),
        [
            ({"check": "no", "normalisation": "no", "x": None}, "check in"),
            ({"normalisation": "no", "x": None}, "normalisation in"),
            ({"x": None, "attn": None}, "x, a torch.Tensor"),
            ({"attn": None, "v": None}, "attn, a torch.Tensor"),
            ({"v": None, "keep": None}, "v, a torch.Tensor"),
            ({"v": V.half(), "keep": None}, "attn and v of one dtype"),
            ({"x": X.double(), "v": V.half()}, "x and attn of one dtype"),
            ({"x": X.double()[:, :3], "keep": 9}, "x and attn of one dtype"),
            ({"attn": -ATTN * NAN}, "finite attn"),
            ({"attn": -ATTN}, "attn >= 0"),
            ({"attn": BLIND * 2}, "rows of attn"),
        ],
    )
    def test_refusal_names_the_first_fault(self, changes: dict[str, object], first: str) -> None:
        """Options, then x, attn, v, then how they agree, then the counts; shape before values in each."""
        error = Refusal(("prune",), changes, PomtError, "").provoke()
        assert error.expected.startswith(first)

    @pytest.mark.parametrize(
        ("dtype", "tokens", "slack"),
        [
            (torch.float16, 4, "3.9e-03"),
            (torch.float16, 1024, "4.1e-03"),  # 2^-8 + 1024 (2^-23 + 2^-24): entries below the smallest normal count
            (torch.bfloat16, 4, "3.1e-02"),
            (torch.float32, 4, "9.5e-07"),
            (torch.float32, 1024, "1.2e-04"),
            (torch.float64, 4, "9.5e-07"),  # that of float32: attention in float64 is often converted
        ],
        ids=str,
    )
    def test_refusal_says_how_far_a_row_may_be_off(self, dtype: torch.dtype, tokens: int, slack: str) -> None:
        attn = torch.full((1, 1, tokens, tokens), 1.5 / tokens, dtype=dtype)
        with pytest.raises(ValuesError) as caught:
            pomt_ref.attention_score(attn)
        assert caught.value.expected == f"rows of attn that sum to 1 +- {slack}"

    @pytest.mark.parametrize(
        ("prefix", "keep", "remove", "expected"), [(1, 139, None, 139), (1, None, 56, 139), (0, None, 1, 195)]
    )
    def test_planned_keep_reads_either_count(
        self, prefix: int, keep: int | None, remove: int | None, expected: int
    ) -> None:
        assert planned_keep("here", 197, prefix=prefix, keep=keep, remove=remove, check="values") == expected

    def test_planned_keep_names_the_function_and_the_clause_it_is_told(self) -> None:
        with pytest.raises(CountError) as caught:
            planned_keep("here", 5, prefix=1, keep=4, remove=None, check="shapes", clause="EVIT-1")
        assert str(caught.value) == "here: expected 0 <= keep <= 3 (EVIT-1), got keep=4 (tokens=5, prefix=1)"


class TestChecks:
    """`check` is "values" (everything), "shapes" (all but the values) or "none" (options alone)."""

    VALUES_ALONE: Final = [row for row in EACH if row.error is ValuesError and row.function != "choose_remove"]
    COUNTS: Final = [row for row in EACH if row.error is CountError and row.function in {"rank", *OF_X}]

    @pytest.mark.parametrize("check", ["shapes", "none"])
    @pytest.mark.parametrize("refusal", VALUES_ALONE, ids=lambda row: f"{row.function}: {row.message}")
    def test_values_are_checked_only_when_asked(self, refusal: Refusal, check: str) -> None:
        call = VALID[refusal.function] | refusal.changes | {"check": check}
        assert getattr(pomt_ref, refusal.function)(**call) is not None

    def test_values_are_checked_by_default(self) -> None:
        for row in self.VALUES_ALONE:
            assert "check" not in row.changes, "the table shows what happens when nothing is said about the check"

    @pytest.mark.parametrize(
        ("function", "changes"),
        [
            ("prune", {"x": X.double(), "keep": 3}),
            ("prune", {"keep": None, "remove": 0}),
            ("trace", {"v": V[..., :0], "keep": 0}),
            ("topk_prune", {"x": X.half(), "prefix": 0, "class_index": 2}),
            ("topk_prune", {"keep": 3}),
            ("evit_prune", {"attn": ATTN.double(), "class_index": -1}),
            ("score", {"v": V.half()}),
            ("attention_score", {"attn": ATTN[:, :, 1:]}),
            ("magnitude_score", {"v": V[..., :0]}),
            ("magnitude_score", {"prefix": 4}),
            ("rank", {"scores": torch.tensor([[2, 1]]), "prefix": -1}),
        ],
    )
    def test_nothing_is_checked_when_asked(self, function: str, changes: dict[str, object]) -> None:
        call = VALID[function] | changes
        with pytest.raises(PomtError):
            getattr(pomt_ref, function)(**call, check="shapes")
        assert getattr(pomt_ref, function)(**call, check="none") is not None


class TestCounts:
    """T, R, P and the class row are integers of any kind; a bool, a float or a tensor is none."""

    @pytest.mark.parametrize("kind", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
    @pytest.mark.parametrize("tokens", [4, 300])
    def test_counts_may_be_numpy_integers(self, kind: str, tokens: int) -> None:
        x = torch.arange(tokens, dtype=torch.float32).reshape(1, tokens, 1)
        attn = torch.full((1, 1, tokens, tokens), 1 / tokens)
        v = x.unsqueeze(1)
        counts: list[Any] = list(np.arange(3, dtype=kind))
        zero, one, two = counts
        last, before = tokens - 1, tokens - 2
        assert pomt_ref.prune(x, attn, v, prefix=one, keep=two).kept.tolist() == [[last, before]]
        assert pomt_ref.prune(x, attn, v, prefix=one, remove=one).kept.shape == (1, tokens - 3)
        assert pomt_ref.trace(x, attn, v, prefix=two, keep=one).kept.tolist() == [[last]]
        assert pomt_ref.topk_prune(x, attn, prefix=one, keep=two, class_index=zero).kept.tolist() == [[1, 2]]
        assert pomt_ref.evit_prune(x, attn, prefix=two, remove=one, class_index=one).kept.shape == (1, tokens - 4)
        assert pomt_ref.rank(torch.tensor([[0.5, 1.5]]), prefix=two).tolist() == [[3, 2]]

    def test_count_is_echoed_without_its_kind(self) -> None:
        one, three = cast("list[int]", list(np.array([1, 3])))
        with pytest.raises(CountError, match=r"got keep=3 \(tokens=4, prefix=1\)$"):
            pomt_ref.prune(X, ATTN, V, prefix=one, keep=three)

    @pytest.mark.parametrize("count", [True, 99.5, "99"], ids=repr)
    def test_choose_remove_wants_integer_token_counts(self, count: object) -> None:
        """CHOOSE-1: k counts tokens, so that R = N - k* is a count too."""
        with pytest.raises(PomtError):
            pomt_ref.choose_remove([count, 197], [1.0, 2.0], [0.5, 0.5])  # type: ignore[list-item]

    def test_choose_remove_wants_an_integer_total(self) -> None:
        """CHOOSE-1: N counts tokens, so that R = N - k* is a count too."""
        with pytest.raises(PomtError):
            pomt_ref.choose_remove([99, 197], [1.0, 2.0], [0.5, 0.5], total=197.5)  # type: ignore[arg-type]

    def test_choose_remove_takes_numpy_integers(self) -> None:
        tokens = cast("list[int]", list(np.array([49, 99])))
        choice = pomt_ref.choose_remove(tokens, [1.0, 4.0], [0.5, 0.5])
        assert (choice.remove, choice.tokens) == (50, 49)

    def test_choose_remove_takes_integer_measurements(self) -> None:
        assert pomt_ref.choose_remove([49, 99], [1, 4], [1, 2], alpha=1).utility == (0.75, 0.0)


class TestErrorTree:
    """One tree: PomtError; each class is also the built-in error that a caller would expect."""

    @pytest.mark.parametrize(
        ("error", "built_in"),
        [
            (OptionError, ValueError),
            (KindError, TypeError),
            (DtypeError, TypeError),
            (DeviceError, ValueError),
            (ShapeError, ValueError),
            (CountError, ValueError),
            (ValuesError, ValueError),
            (MissingExtraError, ImportError),
        ],
    )
    def test_error_has_two_parents(self, error: type[PomtError], built_in: type[Exception]) -> None:
        assert error.__bases__ == (PomtError, built_in)

    def test_missing_extra_says_what_to_install(self) -> None:
        error = MissingExtraError("pomt-ref demo", "vision", "scikit-learn")
        for twin in (error, pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 - our own
            assert type(twin) is MissingExtraError
            assert str(twin) == (
                "pomt-ref demo: the package scikit-learn is not installed; pip install 'pomt-ref[vision]'"
            )
            assert vars(twin) == {
                "function": "pomt-ref demo",
                "clause": "extra: vision",
                "expected": "the package scikit-learn",
                "got": "no such package",
                "extra": "vision",
            }
            assert twin.args == ("pomt-ref demo", "vision", "scikit-learn")


def test_check_tells_a_profile_that_is_none() -> None:
    """The command offers a list; a caller may say anything."""
    profile: Any = "tf32"
    with pytest.raises(SubjectError, match=r"expected a profile in float64, float32, .* got tf32"):
        check(pomt_ref.prune, profile=profile)
