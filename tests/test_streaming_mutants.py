"""The laws of streamed sums reject plausible mistakes in the streaming code, and accept it as it stands."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.vendor.pretty import pretty
from torch import Tensor

from pomt_ref import DtypeError, oracle
from pomt_ref.conformance import as_subject, check, from_queries, queries_and_keys, run_law
from pomt_ref.streaming import attention_sums_from_lse, blocks, prune_qkv, prune_sums, streaming_attention, tiles, whole
from pomt_ref.testing import LAYER_FAMILIES, LawViolation, LayerCase, LayerShape, build_layer, laws_of, layer_cases
from pomt_ref.testing.laws import (
    output_is_that_of_attention,
    streamed_sums_are_those_of_the_matrix,
    sums_from_a_logsumexp_are_those_of_the_matrix,
)

SHAPES: Final = (
    LayerShape(batch=2, heads=3, tokens=7, features=4, values=2, prefix=2, rows=3),
    LayerShape(batch=1, heads=2, tokens=8, features=3, values=3, prefix=5, rows=4),
    LayerShape(batch=1, heads=1, tokens=4, features=1, values=1, prefix=1, rows=9),
)
"""A partial last block; a block that lies in the prefix, and one that begins there; all in one block."""

SHORT: Final = (
    LayerShape(batch=2, heads=3, tokens=7, features=4, values=2, prefix=2, rows=7),
    LayerShape(batch=1, heads=2, tokens=8, features=3, values=3, prefix=5, rows=9),
)
"""All heads at once."""

whole_softmax = {2: blocks.head_attention, 3: whole.every_head}
"""By the number of axes."""
full_spans = blocks.spans


def rows_of_the_prefix(strongest: Tensor, *, start: int, prefix: int) -> Tensor:
    """Rows of the prefix are counted."""
    del start
    return strongest[:, prefix:].sum(dim=0)


def one_row_more(strongest: Tensor, *, start: int, prefix: int) -> Tensor:
    """The first patch query is taken for one of the prefix."""
    return strongest[max(prefix + 1 - start, 0) :, prefix:].sum(dim=0)


def first_columns(strongest: Tensor, *, start: int, prefix: int) -> Tensor:
    """The first columns are taken, whichever they are."""
    return strongest[max(prefix - start, 0) :, : strongest.shape[1] - prefix].sum(dim=0)


def largest_of_block(strongest: Tensor, *, start: int, prefix: int) -> Tensor:
    """The maximum over queries is taken in each block."""
    patches = strongest[max(prefix - start, 0) :, prefix:]
    return patches.amax(dim=0) if len(patches) else patches.sum(dim=0)


def whole_blocks(first: int, end: int, size: int) -> Iterator[tuple[int, int]]:
    """A last block that is not full is dropped."""
    yield from (each for each in full_spans(first, end, size) if each[1] - each[0] == min(size, end - first))


def overlapping(first: int, end: int, size: int) -> Iterator[tuple[int, int]]:
    """A last block that is not full begins earlier, so that it is: some rows count twice."""
    yield from ((max(min(start, end - size), first), stop) for start, stop in full_spans(first, end, size))


def scaled_twice(q: Tensor, k: Tensor, buffer: Tensor, *, scale: float) -> Tensor:
    """The queries are scaled already."""
    return whole_softmax[q.ndim](q * scale, k, buffer, scale=scale)


def not_scaled(q: Tensor, k: Tensor, buffer: Tensor, *, scale: float) -> Tensor:
    """The scale is forgotten."""
    del scale
    return whole_softmax[q.ndim](q, k, buffer, scale=1.0)


def not_rescaled(q: Tensor, k: Tensor, buffer: Tensor, *, scale: float) -> Tensor:
    """Keys come in two halves, each with a softmax of its own: what an online softmax gives without its rescaling."""
    half = (k.shape[-2] + 1) // 2
    for part in (slice(half), slice(half, None)):
        buffer[..., part] = (scale * q.to(buffer.dtype) @ k[..., part, :].to(buffer.dtype).mT).softmax(dim=-1)
    return buffer


def not_shifted(q: Tensor, k: Tensor, buffer: Tensor, *, scale: float) -> Tensor:
    """The exponential is bare."""
    powers = (scale * q.to(buffer.dtype) @ k.to(buffer.dtype).mT).exp()
    return buffer.copy_(powers / powers.sum(dim=-1, keepdim=True))


def in_half_precision(q: Tensor, k: Tensor, buffer: Tensor, *, scale: float) -> Tensor:
    """Scores are computed in half precision."""
    return buffer.copy_((scale * q.bfloat16() @ k.bfloat16().mT).softmax(dim=-1))


def transposed(q: Tensor, k: Tensor, buffer: Tensor, *, scale: float) -> Tensor:
    """The softmax runs over the queries of the block."""
    return buffer.copy_((scale * q.to(buffer.dtype) @ k.to(buffer.dtype).mT).softmax(dim=-2))


def of_one_head(q: Tensor, k: Tensor, buffer: Tensor, *, scale: float) -> Tensor:
    """The first head is taken for all."""
    return buffer.copy_(whole_softmax[3](q, k, buffer, scale=scale)[:1].clone())


def of_other_heads(q: Tensor, k: Tensor, buffer: Tensor, *, scale: float) -> Tensor:
    """Queries meet the keys of the next head."""
    return whole_softmax[3](q, k.roll(1, dims=0), buffer, scale=scale)


def reduced(reduce: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """Heads reduced in another way, the output left as it is."""

    def strongest(*layer: Tensor, scale: float) -> Tensor:
        q, k, *rest = layer
        every = [
            blocks.head_attention(a, b, torch.empty_like(layer[-1]), scale=scale) for a, b in zip(q, k, strict=True)
        ]
        if len(layer) > 4:
            rest[1].copy_(torch.stack([a @ b.to(a.dtype) for a, b in zip(every, rest[0], strict=True)]))
        return reduce(torch.stack(every))

    return strongest


@dataclass(frozen=True)
class Fault:
    """A mistake: what is replaced, where, and by what."""

    name: str
    places: tuple[tuple[Any, str], ...]
    function: Callable[..., Any]

    def __str__(self) -> str:
        """Read as an identifier."""
        return self.name.replace(" ", "_")


SUMS: Final = ((blocks, "patch_sums"),)
SPANS: Final = ((blocks, "spans"),)
SOFTMAX: Final = ((blocks, "head_attention"),)
HEADS: Final = ((blocks, "strongest_head"), (blocks, "strongest_head_and_output"))
OF_ONE_PASS: Final = (
    Fault("prefix rows counted", SUMS, rows_of_the_prefix),
    Fault("a patch row left out", SUMS, one_row_more),
    Fault("first columns", SUMS, first_columns),
    Fault("maximum over queries", SUMS, largest_of_block),
    Fault("last partial block dropped", SPANS, whole_blocks),
    Fault("last block overlaps", SPANS, overlapping),
    Fault("scale applied twice", SOFTMAX, scaled_twice),
    Fault("scale forgotten", SOFTMAX, not_scaled),
    Fault("missing rescale", SOFTMAX, not_rescaled),
    Fault("softmax not shifted", SOFTMAX, not_shifted),
    Fault("scores in half precision", SOFTMAX, in_half_precision),
    Fault("softmax over queries", SOFTMAX, transposed),
    Fault("mean in place of max", HEADS, reduced(lambda every: every.mean(dim=0))),
    Fault("sum in place of max", HEADS, reduced(lambda every: every.sum(dim=0))),
    Fault("last head alone", HEADS, reduced(lambda every: every[-1])),
    Fault("first head alone", HEADS, reduced(lambda every: every[0])),
)
ALL_HEADS: Final = ((whole, "every_head"),)
OF_SHORT: Final = (
    *(Fault(each.name, ((whole, "patch_sums"),), each.function) for each in OF_ONE_PASS if each.places == SUMS),
    *(Fault(each.name, ALL_HEADS, each.function) for each in OF_ONE_PASS if each.places == SOFTMAX),
    Fault("first head for all", ALL_HEADS, of_one_head),
    Fault("keys of the next head", ALL_HEADS, of_other_heads),
)


def bare(q: Tensor, k: Tensor, lse: Tensor, *, scale: float) -> tuple[Tensor, Tensor]:
    """The logsumexp is forgotten."""
    return whole_shift(q, k, torch.zeros_like(lse), scale=scale)


def of_two(q: Tensor, k: Tensor, lse: Tensor, *, scale: float) -> tuple[Tensor, Tensor]:
    """The logsumexp is taken for one to the base of two."""
    return whole_shift(q, k, lse * 0.6931471805599453, scale=scale)


def shift_scaled_twice(q: Tensor, k: Tensor, lse: Tensor, *, scale: float) -> tuple[Tensor, Tensor]:
    """Both queries and keys are scaled."""
    return whole_shift(q, scale * k, lse, scale=scale)


def exponentials_first(q: Tensor, k: Tensor, strongest: Tensor, spare: Tensor) -> Tensor:
    """A sum over heads, of exponentials."""
    del spare
    return strongest.copy_(torch.exp(q @ k.mT).sum(dim=0))


whole_shift = tiles.shifted
OF_TILES: Final = (
    Fault("last partial tile dropped", ((tiles, "spans"),), whole_blocks),
    Fault("last tile overlaps", ((tiles, "spans"),), overlapping),
    Fault("logsumexp forgotten", ((tiles, "shifted"),), bare),
    Fault("logsumexp to the base of two", ((tiles, "shifted"),), of_two),
    Fault("tiles scaled twice", ((tiles, "shifted"),), shift_scaled_twice),
    Fault("sum over heads", ((tiles, "strongest_in_tile"),), exponentials_first),
)


def layers(shapes: tuple[LayerShape, ...] = SHAPES) -> list[LayerCase]:
    """Every family in every shape."""
    return [
        build_layer(family, shape, seed=seed, dtype="float32")
        for seed, family in enumerate(LAYER_FAMILIES)
        for shape in shapes
    ]


def hold_one_pass(case: LayerCase) -> None:
    """Both laws of the one pass."""
    q, k, v = (torch.tensor(each).float() for each in (case.q, case.k, case.v))
    out, sums = streaming_attention(q, k, v, prefix=case.shape.prefix, rows=case.shape.rows, check="shapes")
    streamed_sums_are_those_of_the_matrix(case, sums.double().numpy())
    output_is_that_of_attention(case, out.double().numpy())


def hold_tiles(case: LayerCase) -> None:
    """The law of sums beside a logsumexp."""
    q, k, lse = (torch.tensor(each).float() for each in (case.q, case.k, case.lse))
    sums = attention_sums_from_lse(q, k, lse, prefix=case.shape.prefix, rows=case.shape.rows, check="shapes")
    sums_from_a_logsumexp_are_those_of_the_matrix(case, sums.double().numpy())


def rejected(hold: Callable[[LayerCase], None], shapes: tuple[LayerShape, ...] = SHAPES) -> list[str]:
    """What the laws say, of every case that breaks one."""
    said = []
    for case in layers(shapes):
        try:
            hold(case)
        except LawViolation as violation:
            said.append(str(violation))
    return said


class TestCases:
    """Layers are drawn by their shape and a seed, and told in one line."""

    def test_entry_that_is_too_small_for_float64_may_still_be_computed_as_one(self) -> None:
        """Logits of 2³⁶ and 1500 less are one number in float32."""
        q = np.array([[[[2.0**36, 1.0], [2.0**36, 1.0]]]])
        k = np.array([[[[1.0, 0.0], [1.0, -1500.0]]]])
        case = LayerCase("by hand", LayerShape(1, 1, 2, 2, 2, prefix=0, rows=1), 0, "float32", q, k, k)
        assert case.attn[0, 0, 0, 1] == 0.0
        hold_one_pass(case)

    @settings(max_examples=20, derandomize=True, database=None, deadline=None)
    @given(case=layer_cases(dtype="bfloat16"))
    def test_layers_are_what_they_say(self, case: LayerCase) -> None:
        shape = case.shape
        assert case.q.shape == case.k.shape == (shape.batch, shape.heads, shape.tokens, shape.features)
        assert case.v.shape == (*case.q.shape[:3], shape.values)
        assert 0 <= shape.prefix < shape.tokens
        assert torch.equal(torch.tensor(case.q).bfloat16().double(), torch.tensor(case.q)), "no number is rounded"
        again = build_layer(case.family, shape, seed=case.seed, dtype="bfloat16")
        assert np.array_equal(again.k, case.k)

    def test_layer_reads_as_a_line(self) -> None:
        assert repr(build_layer("large logits", SHAPES[0], seed=3, dtype="float16")) == (
            "<LayerCase batch=2 heads=3 tokens=7 features=4 values=2 prefix=2 rows=3 seed=3 dtype=float16 "
            "(family: large logits)>"
        )

    def test_hypothesis_tells_no_tensors(self) -> None:
        layer = build_layer("large logits", SHAPES[0], seed=3, dtype="float16")
        assert pretty(layer) == repr(layer)


def _by_lse(change: Callable[[Tensor, float], tuple[Tensor, float]]) -> Callable[..., Any]:
    """The step from sums beside a logsumexp, where one or the other is changed after it was made."""

    def step(x: Tensor, q: Tensor, k: Tensor, v: Tensor, *, prefix: int, keep: int, scale: float) -> Any:  # noqa: ANN401 -- a step
        lse, scale = change((scale * q @ k.mT).logsumexp(dim=-1), scale)
        sums = attention_sums_from_lse(q, k, lse, prefix=prefix, scale=scale, check="shapes")
        return prune_sums(x, sums, v, prefix=prefix, keep=keep, check="shapes")

    return step


WITHOUT: Final = (
    pytest.param(_by_lse(lambda lse, scale: (torch.zeros_like(lse), scale)), id="no logsumexp"),
    pytest.param(_by_lse(lambda lse, scale: (1.4427 * lse, scale)), id="logsumexp to the base of two"),
    pytest.param(_by_lse(lambda lse, scale: (lse[:, -1:].expand_as(lse), scale)), id="logsumexp of the last head"),
    pytest.param(_by_lse(lambda lse, _scale: (lse, 1.0)), id="no scale"),
    pytest.param(_by_lse(lambda lse, scale: (lse, scale**2)), id="scale twice"),
)
"""Steps that are right where all logsumexps are zero and the scale is one."""


class TestQueries:
    """Queries and keys are made whose attention is the one that is given."""

    def test_attention_comes_back(self) -> None:
        attn = torch.tensor([[[[0.25, 0.75, 0.0], [1.0, 0.0, 0.0], [1e-30, 0.5, 0.5]]]])
        q, k = queries_and_keys(attn)
        assert torch.allclose((q @ k.mT).softmax(dim=-1), attn.double(), rtol=1e-13, atol=0.0)
        q, k = queries_and_keys(attn, scale=0.5)
        assert torch.allclose((q @ k.mT / 2).softmax(dim=-1), attn.double(), rtol=1e-13, atol=0.0)

    def test_every_row_and_head_has_another_logsumexp(self) -> None:
        q, k = queries_and_keys(torch.full((1, 3, 5, 5), 0.2))
        assert (q @ k.mT).logsumexp(dim=-1).mul(4).round().unique().numel() > 5

    @pytest.mark.long
    @pytest.mark.parametrize("wrong", WITHOUT)
    def test_check_rejects_steps_without_scale_or_logsumexp(self, wrong: Callable[..., Any]) -> None:
        assert not check(from_queries(wrong), clauses=["POMT-ATT-1"], max_examples=20).conforms

    def test_answer_with_names_keeps_them_and_its_output_has_the_dtype_of_x(self) -> None:
        x, v = torch.arange(10.0).reshape(1, 5, 2), torch.arange(15.0).reshape(1, 1, 5, 3)
        attn = torch.eye(5).mul(0.5).add(0.1).reshape(1, 1, 5, 5)
        step = from_queries(prune_qkv)(x, attn, v, prefix=1, keep=2)
        assert step.tokens.dtype == torch.float32
        assert step.kept.tolist() == [[4, 3]]
        expected = oracle.prune(*(each.double().numpy() for each in (x, attn, v)), prefix=1, keep=2)
        np.testing.assert_allclose(step.tokens, expected.tokens, rtol=1e-6)

    def test_attention_in_half_precision_is_refused(self) -> None:
        attn = torch.full((1, 1, 2, 2), 0.5, dtype=torch.bfloat16)
        expected = (
            "from_queries: expected attention in float32 or float64, whose rows a softmax can have (POMT-ATT-1), got "
            "torch.bfloat16"
        )
        with pytest.raises(DtypeError, match=re.escape(expected)):
            from_queries(prune_qkv)(attn[:, 0], attn, attn, prefix=0, keep=1)


class TestMutants:
    """POMT-ATT-1: every law of streamed sums has mutants that it kills, and accepts the code as it stands."""

    @pytest.mark.parametrize("hold", [hold_one_pass, hold_tiles])
    def test_laws_accept_the_code_as_it_stands(self, hold: Callable[[LayerCase], None]) -> None:
        assert rejected(hold, SHAPES + SHORT) == []

    @pytest.mark.long
    @pytest.mark.parametrize("fault", OF_ONE_PASS, ids=str)
    def test_laws_reject_a_fault_of_the_one_pass(self, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
        for module, name in fault.places:
            monkeypatch.setattr(module, name, fault.function)
        said = rejected(hold_one_pass)
        assert said
        assert all(each.startswith("POMT-ATT-1 wrong: ") for each in said)

    @pytest.mark.parametrize("fault", OF_SHORT, ids=str)
    def test_laws_reject_a_fault_where_all_heads_are_one_operation(
        self, fault: Fault, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ((module, name),) = fault.places
        monkeypatch.setattr(module, name, fault.function)
        said = rejected(hold_one_pass, SHORT)
        assert said
        assert all(each.startswith("POMT-ATT-1 wrong: ") for each in said)

    @pytest.mark.parametrize("fault", OF_TILES, ids=str)
    def test_laws_reject_a_fault_of_the_tiles(self, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
        for module, name in fault.places:
            monkeypatch.setattr(module, name, fault.function)
        assert rejected(hold_tiles)

    @pytest.mark.parametrize("fault", [each for each in OF_ONE_PASS if each.places != SOFTMAX][1:], ids=str)
    def test_law_of_the_specification_rejects_it_too(self, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
        """As in any implementation: the law of POMT-ATT-1 on the step from queries and keys, with a scale of one.

        Whose blocks begin after the prefix, so that rows of the prefix cannot be counted.
        """
        for module, name in fault.places:
            monkeypatch.setattr(module, name, fault.function)

        def step(x: Tensor, q: Tensor, k: Tensor, v: Tensor, *, prefix: int, keep: int, scale: float) -> Tensor:
            return prune_qkv(x, q, k, v, prefix=prefix, keep=keep, scale=scale, rows=2).tokens

        (law,) = (law for law in laws_of("pomt") if law.clause == "POMT-ATT-1")
        subject = as_subject(from_queries(step), name="streamed")
        assert run_law(law, subject, dtype="float32", examples=40, seed=0, shrink=False, long=False).verdict == "wrong"
