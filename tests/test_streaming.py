"""Streaming against the plain functions: odd shapes, strides, large logits, gradients, memory, and what is chosen."""

from collections.abc import Callable
from typing import Any, Final

import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode

from pomt_ref import MemoryLimitError, OptionError, ValuesError, prune
from pomt_ref.attention import attention_sums
from pomt_ref.streaming import (
    attention_sums_from_lse,
    blocks,
    fused,
    logsumexp,
    prune_qkv,
    prune_sums,
    streaming_attention,
    tiles,
    whole,
)
from pomt_ref.streaming.sizes import is_short
from pomt_ref.streaming.step import choose

DEVICES: Final = ["cpu", *["cuda"] * torch.cuda.is_available()]
DTYPES: Final = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
each_device: Final = pytest.mark.parametrize("device", DEVICES)
each_dtype: Final = pytest.mark.parametrize("dtype", DTYPES, ids=str)

# Batch, heads, tokens, features, features of the values, prefix.
SHAPES: Final = [
    (1, 1, 1, 1, 1, 0),
    (1, 1, 2, 1, 1, 1),
    (2, 3, 7, 4, 5, 2),
    (1, 2, 33, 8, 8, 30),
    (2, 1, 65, 1, 3, 64),
    (1, 4, 24, 16, 16, 1),
    (3, 5, 19, 3, 2, 0),
]
ROWS: Final = [None, 1, 2, 5, 8, 19, 64, 1000]


def made(
    shape: tuple[int, ...], *, dtype: torch.dtype = torch.float64, device: str = "cpu", spread: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values; the same for the same shape."""
    batch, heads, tokens, features, values, _ = shape
    numbers = torch.Generator().manual_seed(sum(shape))
    sizes = [(batch, heads, tokens, each) for each in (features, features, values)]
    q, k, v = (torch.randn(size, generator=numbers, dtype=torch.float64) for size in sizes)
    return tuple(each.to(device, dtype) for each in (spread * q, k, v))  # type: ignore[return-value]


def plain(q: Tensor, k: Tensor, v: Tensor, *, prefix: int, scale: float | None = None) -> tuple[Tensor, Tensor]:
    """Attention with its matrix, in float64, and the plain sums of it."""
    q, k, v = (each.double() for each in (q, k, v))
    attn = (q @ k.mT * (q.shape[-1] ** -0.5 if scale is None else scale)).softmax(dim=-1)
    return attn @ v, attention_sums(attn, prefix=prefix)


def close(got: Tensor, expected: Tensor, *, roundings: float) -> bool:
    """Within so many roundings of the dtype in which it is stored."""
    unit = torch.finfo(got.dtype).eps
    return torch.allclose(got.double(), expected, rtol=roundings * unit, atol=8 * unit)


class TestOnePass:
    """POMT-ATT-1: attention and its sums without the matrix are those with it."""

    @each_device
    @each_dtype
    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_one_pass_is_attention_in_blocks_of_any_size(
        self, shape: tuple[int, ...], dtype: torch.dtype, device: str
    ) -> None:
        q, k, v = made(shape, dtype=dtype, device=device)
        expected_out, expected_sums = plain(q, k, v, prefix=shape[-1])
        for rows in ROWS:
            out, sums = streaming_attention(q, k, v, prefix=shape[-1], rows=rows)
            assert (out.dtype, out.device, out.shape) == (v.dtype, v.device, v.shape)
            assert out.is_contiguous()
            assert sums.dtype == torch.promote_types(dtype, torch.float32)
            assert close(out, expected_out, roundings=16)
            assert close(sums, expected_sums, roundings=32)

    @pytest.mark.parametrize(("heads", "tokens"), [(3, 37), (9, 256)], ids=["all heads at once", "head by head"])
    @pytest.mark.parametrize("dtype", DTYPES[2:], ids=str)
    def test_one_block_is_the_plain_path_to_the_bit(self, dtype: torch.dtype, heads: int, tokens: int) -> None:
        q, k, v = made((2, heads, tokens, 16, 16, 2), dtype=dtype)
        assert is_short(tokens, heads=heads, rows=tokens) == (heads == 3)
        attn = (0.25 * (q @ k.mT)).softmax(dim=-1)
        out, sums = streaming_attention(q, k, v, prefix=2, rows=tokens)
        assert torch.equal(sums, attention_sums(attn, prefix=2))
        assert torch.equal(out, attn @ v)

    def test_a_sequence_is_short_where_it_is_one_block_and_small_with_all_its_heads(self) -> None:
        """As many numbers as two blocks of the longest sequence that is one."""
        assert is_short(512, heads=2, rows=512)
        assert not is_short(512, heads=2, rows=511)
        assert not is_short(513, heads=2, rows=513)
        assert is_short(1, heads=2 * 512**2, rows=1)

    @pytest.mark.parametrize("spread", [10.0, 100.0, 1000.0])
    @pytest.mark.parametrize("dtype", DTYPES[2:], ids=str)
    def test_large_logits_cost_no_digits(self, dtype: torch.dtype, spread: float) -> None:
        """Small whole numbers, whose products are exact: what is left is the rounding of softmax and sums."""
        numbers = torch.Generator().manual_seed(3)
        q, k = (torch.randint(-3, 4, (1, 3, 50, 4), generator=numbers).to(dtype) for _ in range(2))
        _, sums = streaming_attention(spread * q, k, k, prefix=1, rows=7)
        assert close(sums, plain(spread * q, k, k, prefix=1)[1], roundings=16)

    def test_scale_is_what_products_are_multiplied_by(self) -> None:
        q, k, v = made(SHAPES[2])
        for scale in (0.0, -0.5, 2.0, 0.125):
            out, sums = streaming_attention(q, k, v, prefix=2, scale=scale, rows=3)
            expected_out, expected_sums = plain(q, k, v, prefix=2, scale=scale)
            assert close(out, expected_out, roundings=16)
            assert close(sums, expected_sums, roundings=16)

    @each_device
    def test_strides_do_not_matter(self, device: str) -> None:
        q, k, v = made((2, 3, 9, 4, 4, 2), device=device)
        expected = streaming_attention(q, k, v, prefix=2, rows=4)
        one, row = q[:1, :1, :1, :1].expand(2, 3, 9, 4), k[:, :1, :1].expand(2, 3, 9, 4)
        others: list[tuple[Callable[[Tensor], Tensor], tuple[Tensor, ...]]] = [
            (lambda each: each.transpose(1, 2).contiguous().transpose(1, 2), (q, k, v)),
            (lambda each: each.mT.contiguous().mT, (q, k, v)),
            (lambda each: torch.stack([each, each], dim=-1)[..., 0], (q, k, v)),
            (lambda each: each.repeat_interleave(2, dim=2)[:, :, ::2], (q, k, v)),
        ]
        for stride, layer in others:
            for got, wanted in zip(streaming_attention(*map(stride, layer), prefix=2, rows=4), expected, strict=True):
                assert torch.allclose(got, wanted, rtol=1e-14, atol=1e-14)
        for layer in ((one, k, v), (q, row, v), (q, k, one), (one, one, one)):
            contiguous = streaming_attention(*(each.contiguous() for each in layer), prefix=2, rows=4)
            for got, wanted in zip(streaming_attention(*layer, prefix=2, rows=4), contiguous, strict=True):
                assert torch.allclose(got, wanted, rtol=1e-14, atol=1e-14)

    def test_inputs_are_left_alone(self) -> None:
        q, k, v = made(SHAPES[2])
        before = [each.clone() for each in (q, k, v)]
        out, sums = streaming_attention(q, k, v, prefix=2, rows=3)
        assert all(torch.equal(now, then) for now, then in zip((q, k, v), before, strict=True))
        out.zero_()
        sums.zero_()
        assert all(torch.equal(now, then) for now, then in zip((q, k, v), before, strict=True))


class TestGradients:
    """Attention and its sums are differentiable in O(N) memory; what is made for the ranking alone is not."""

    @each_dtype
    @pytest.mark.parametrize("part", [0, 1])
    def test_gradients_are_those_of_the_plain_functions(self, part: int, dtype: torch.dtype) -> None:
        ours = [each.requires_grad_() for each in made((2, 3, 11, 4, 4, 2), dtype=dtype)]
        theirs = [each.detach().double().requires_grad_() for each in ours]
        weights = torch.linspace(-1, 1, 11)
        results = streaming_attention(*ours, prefix=2, rows=4)[part], plain(*theirs, prefix=2)[part]
        for result in results:
            (result * (weights[2:] if part else weights.unsqueeze(-1)).to(result.dtype)).sum().backward()
        for mine, exact in zip(ours[: 2 + (part == 0)], theirs, strict=False):
            assert mine.grad is not None
            assert exact.grad is not None
            assert mine.grad.dtype == dtype
            tolerance = 32 * torch.finfo(dtype).eps
            assert torch.allclose(mine.grad.double(), exact.grad, rtol=tolerance, atol=tolerance)

    def test_the_first_of_equal_heads_has_the_gradient(self) -> None:
        q, k, v = made((1, 1, 5, 3, 3, 0))
        q, k, v = (each.repeat(1, 2, 1, 1).requires_grad_() for each in (q, k, v))
        streaming_attention(q, k, v, prefix=0)[1].square().sum().backward()
        assert q.grad is not None
        assert q.grad[0, 0].abs().sum() > 0
        assert q.grad[0, 1].abs().sum() == 0

    def test_a_gradient_of_a_gradient_is_an_error(self) -> None:
        q, k, v = (each.requires_grad_() for each in made(SHAPES[2]))
        (first,) = torch.autograd.grad(streaming_attention(q, k, v, prefix=2)[0].square().sum(), q, create_graph=True)
        with pytest.raises(RuntimeError, match="no autograd formula"):
            first.sum().backward()

    def test_sums_from_lse_say_that_they_are_not_differentiable(self) -> None:
        q, k, _ = (each.requires_grad_() for each in made(SHAPES[2]))
        sums = attention_sums_from_lse(q, k, (q @ k.mT / 2).logsumexp(dim=-1), prefix=2)
        expected = (
            "attention_sums_from_lse: expected no gradient to the ranking (POMT-META-7), got a backward pass through "
            "sums alone; those of streaming_attention are differentiable, in reverse mode"
        )
        with pytest.raises(OptionError) as caught:
            sums.sum().backward()
        assert str(caught.value) == expected


class TestLogsumexp:
    """POMT-ATT-1: beside a logsumexp, tiles of any size give the sums."""

    @each_device
    @each_dtype
    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_sums_from_lse_are_those_of_the_matrix(
        self, shape: tuple[int, ...], dtype: torch.dtype, device: str
    ) -> None:
        q, k, v = made(shape, dtype=dtype, device=device)
        lse = (q.double() @ k.double().mT * shape[3] ** -0.5).logsumexp(dim=-1)
        for rows in ROWS:
            sums = attention_sums_from_lse(
                q, k, lse.to(torch.promote_types(dtype, torch.float32)), prefix=shape[-1], rows=rows
            )
            assert close(sums, plain(q, k, v, prefix=shape[-1])[1], roundings=64)

    @pytest.mark.long
    @each_dtype
    @pytest.mark.parametrize("spread", [1e-3, 1.0, 30.0, 1e3])
    def test_honest_logsumexp_is_none_that_is_too_small(self, spread: float, dtype: torch.dtype) -> None:
        """All queries attend to one key, so that its sum is N - P and every rounding upwards is beyond it."""
        wide = torch.promote_types(dtype, torch.float32)
        for seed in range(20):
            numbers = torch.Generator().manual_seed(seed)
            q, k = (torch.randn(1, 2, 65, 16, generator=numbers, dtype=torch.float64) for _ in range(2))
            q, k = (q.abs() * spread).to(dtype), k.to(dtype)
            k[:, :, 7] = k.abs().amax(dim=2)
            coarse = q.bfloat16().to(wide) @ k.bfloat16().mT.to(wide)  # in a kernel that multiplies in bfloat16
            exact = q.double() @ k.double().mT
            for products in (exact, q.to(wide) @ k.to(wide).mT, coarse):
                sums = attention_sums_from_lse(q, k, (products / 4).logsumexp(dim=-1).to(wide), prefix=0)
                assert sums.isfinite().all()
            assert attention_sums_from_lse(q, k, logsumexp(q, k, scale=0.25), prefix=0).isfinite().all()

    @each_dtype
    def test_logsumexp_of_something_else_is_told(self, dtype: torch.dtype) -> None:
        q, k, _ = made((2, 3, 40, 16, 16, 2), dtype=dtype)
        wide = torch.promote_types(dtype, torch.float32)
        products = q.to(wide) @ k.to(wide).mT
        none, of_some_keys = torch.zeros_like(products[..., 0]), (products[..., :3] / 4).logsumexp(dim=-1)
        for lse in (none, of_some_keys, products.logsumexp(dim=-1) / -4):
            with pytest.raises(ValuesError, match="expected sums <= N - P = 38, as of a natural logarithm over all"):
                attention_sums_from_lse(q, k, lse, prefix=2)

    @each_device
    @each_dtype
    def test_fused_kernel_returns_the_logsumexp(self, dtype: torch.dtype, device: str) -> None:
        q, k, _ = made((2, 3, 40, 16, 16, 0), dtype=dtype, device=device)
        if not fused.is_fused(q):
            return
        expected = (q.double() @ k.double().mT / 4).logsumexp(dim=-1)
        got = logsumexp(q, k, scale=0.25)
        assert got.dtype == torch.promote_types(dtype, torch.float32)
        assert torch.allclose(got.double(), expected, atol=2e-4 if dtype.itemsize == 2 else 1e-5)
        stranger = q.mT.contiguous().mT
        assert torch.equal(logsumexp(stranger, k, scale=0.25), got), "strides of the last axis do not matter"

    def test_kernel_for_cuda_by_its_shapes(self) -> None:
        """Without a device, on tensors that have shapes alone: the logsumexp is cut to the number of queries."""
        q = torch.empty(2, 3, 40, 16, device="meta")
        assert fused.FUSED["cuda"](q, q, 0.25).shape == (2, 3, 40)

    @pytest.mark.parametrize(
        ("device", "dtype", "features", "expected"),
        [
            ("cpu", torch.float64, 3, True),
            ("cuda", torch.float32, 4, True),
            ("cuda", torch.float16, 8, True),
            ("cuda", torch.float16, 4, False),
            ("cuda", torch.float32, 5, False),
            ("cuda", torch.float64, 8, False),
            ("meta", torch.float32, 8, False),
        ],
    )
    def test_fused_kernels_and_what_they_take(
        self, device: str, dtype: torch.dtype, features: int, expected: bool
    ) -> None:
        assert fused.is_fused(elsewhere(device, dtype, features)) == expected


def elsewhere(device: str, dtype: torch.dtype, features: int) -> Tensor:
    """Queries on a device that may not be there: of a tensor, all but its numbers."""
    with FakeTensorMode():
        return torch.empty(2, 3, 40, features, dtype=dtype, device=device)


class TestStep:
    """POMT-PRUNE-1: the step from queries, keys and values is the step from attention and values."""

    @each_device
    @each_dtype
    @pytest.mark.parametrize("algorithm", ["auto", "one pass", "logsumexp"])
    @pytest.mark.parametrize("normalisation", ["batch", "sample"])
    def test_prune_qkv_is_prune(self, normalisation: Any, algorithm: Any, dtype: torch.dtype, device: str) -> None:  # noqa: ANN401 -- one of a few words
        q, k, v = made((2, 3, 21, 8, 4, 2), dtype=dtype, device=device)
        if device == "cuda" and algorithm == "logsumexp" and not fused.is_fused(q):
            return
        x = torch.randn(2, 21, 6, generator=torch.Generator().manual_seed(0)).to(device, dtype)
        attn = (q.double() @ k.double().mT * 8**-0.5).softmax(dim=-1)
        expected = prune(x.double(), attn, v.double(), prefix=2, remove=7, normalisation=normalisation)
        step = prune_qkv(x, q, k, v, prefix=2, remove=7, rows=5, algorithm=algorithm, normalisation=normalisation)
        assert torch.equal(step.kept, expected.kept)
        assert torch.equal(step.discarded, expected.discarded)
        assert torch.equal(step.tokens[:, :-1].double(), expected.tokens[:, :-1])
        assert close(step.tokens[:, -1:], expected.tokens[:, -1:], roundings=4)
        assert close(step.scores, expected.scores, roundings=64)
        assert close(step.sums, attention_sums(attn, prefix=2), roundings=64)
        assert step.algorithm == (
            algorithm if algorithm != "auto" else "one pass" if device == "cpu" else step.algorithm
        )

    def test_choice_by_device(self) -> None:
        assert choose("prune_qkv", "auto", torch.zeros(1, 1, 1, 8)) == "one pass"
        assert choose("prune_qkv", "auto", elsewhere("cuda", torch.float32, 8)) == "logsumexp"
        assert choose("prune_qkv", "auto", elsewhere("cuda", torch.float64, 8)) == "one pass"

    def test_prune_sums_is_the_rest_of_the_step(self) -> None:
        q, k, v = made((2, 3, 9, 4, 4, 1))
        x = torch.arange(18.0, dtype=torch.float64).reshape(2, 9, 1)
        _, sums = streaming_attention(q, k, v, prefix=1)
        step, whole = prune_sums(x, sums, v, keep=3), prune_qkv(x, q, k, v, keep=3)
        assert torch.equal(step.tokens, whole.tokens)
        assert torch.equal(step.scores, whole.scores)

    def test_gradients_flow_to_rows_and_not_to_the_ranking(self) -> None:
        """POMT-META-7."""
        q, k, v = (each.requires_grad_() for each in made((1, 2, 5, 4, 4, 1)))
        x = torch.ones(1, 5, 2, dtype=torch.float64, requires_grad=True)
        prune_qkv(x, q, k, v, keep=1).tokens.sum().backward()
        assert x.grad is not None
        assert sorted(x.grad[0, :, 0].tolist()) == pytest.approx([1 / 3] * 3 + [1.0] * 2)
        assert (q.grad, k.grad, v.grad) == (None, None, None)
        out, sums = streaming_attention(q, k, v, prefix=1)
        assert not prune_sums(x.detach(), sums, out, keep=1).scores.requires_grad


class TestMemory:
    """The N x N matrix is never held, and memory that runs out says which block size to choose."""

    @pytest.mark.parametrize(("rows", "choose"), [(4, "rows=1"), (1, "fewer samples a call")])
    @pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")])
    def test_memory_that_runs_out_at_small_blocks(
        self, error: Exception, rows: int, choose: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_layer: Tensor, **_options: object) -> None:
            raise error

        monkeypatch.setattr(blocks, "one_pass", fail)
        q, k, v = made(SHAPES[2])
        with pytest.raises(MemoryLimitError, match=f": choose {choose} \\(POMT-ATT-1\\), got none left$") as caught:
            streaming_attention(q, k, v, prefix=1, rows=rows)
        assert isinstance(caught.value, MemoryError)
        assert caught.value.__cause__ is error

    def test_memory_that_runs_out_where_all_heads_are_one_operation(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_layer: Tensor, **_options: object) -> None:
            raise MemoryError

        q, k, v = made(SHAPES[2])
        said = (
            r"expected memory for 3 x 7 x 7 numbers in torch\.float64, 0\.0 MiB: choose rows=1 \(POMT-ATT-1\), got none"
        )
        monkeypatch.setattr(whole, "whole_pass", fail)
        with pytest.raises(MemoryLimitError, match="^streaming_attention: " + said):
            streaming_attention(q, k, v, prefix=1)
        monkeypatch.setattr(whole, "whole_sums", fail)
        with pytest.raises(MemoryLimitError, match="^prune_qkv: " + said):
            prune_qkv(torch.zeros(2, 7, 1, dtype=q.dtype), q, k, v, prefix=1, keep=1, algorithm="one pass")

    def test_other_errors_stay_what_they_are(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_layer: Tensor, **_options: object) -> None:
            raise RuntimeError("something else")

        monkeypatch.setattr(tiles, "sums_in_tiles", fail)
        q, k, _ = made(SHAPES[2])
        with pytest.raises(RuntimeError, match=r"^something else$"):
            attention_sums_from_lse(q, k, q[..., 0], prefix=1)

    @pytest.mark.long
    def test_no_tensor_is_larger_than_a_block(self) -> None:
        """Every tensor that is made on the way, by the sizes that torch's profiler reports."""
        q, k, v = made((1, 2, 600, 4, 4, 1), dtype=torch.float32)
        q.requires_grad_()
        with torch.profiler.profile(profile_memory=True) as profile:
            out, sums = streaming_attention(q, k, v, prefix=1, rows=32)
            (out.sum() + sums.sum()).backward()
        largest = max(event.self_cpu_memory_usage for event in profile.events() or ())
        assert 0 < largest <= 2 * 32 * 600 * 4


@pytest.mark.parametrize("algorithm", ["one pass", "logsumexp"])
def test_attention_that_goes_to_the_prefix_alone_is_refused(algorithm: str) -> None:
    q, k = torch.ones(1, 2, 4, 8), torch.zeros(1, 2, 4, 8)
    k[:, :, 0] = 1000.0
    x, v = torch.ones(1, 4, 3), torch.ones(1, 2, 4, 8)
    expected = r"prune_qkv: expected some patch-to-patch attention above zero in the batch \(POMT-ATT-2\), got none"
    with pytest.raises(ValuesError, match=expected):
        prune_qkv(x, q, k, v, prefix=1, keep=1, algorithm=algorithm)  # type: ignore[arg-type] # a loop of two words
