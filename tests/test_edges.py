"""What holds for every public function of tensors, whatever the layout, the mode or the size of its inputs.

The rows of the specification's "Edge rules" that are errors stand, with their messages, in isolated/test_messages.py.
"""

from collections.abc import Callable, Iterator
from typing import Final

import pytest
import torch
from torch import Tensor

from pomt_ref import (
    CountError,
    Pruned,
    Trace,
    ValuesError,
    attention_score,
    evit_prune,
    magnitude_score,
    prune,
    rank,
    score,
    topk_prune,
    trace,
)

DEVICES: Final = ["cpu", *["cuda"] * torch.cuda.is_available()]
DTYPES: Final = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
each_device: Final = pytest.mark.parametrize("device", DEVICES)
each_dtype: Final = pytest.mark.parametrize("dtype", DTYPES, ids=str)

Inputs = tuple[Tensor, Tensor, Tensor]


def parts(result: Pruned | Trace) -> tuple[Tensor, ...]:
    """The fields themselves: `dataclasses.astuple` would copy them."""
    return tuple(vars(result).values())


CALLS: Final[dict[str, Callable[[Tensor, Tensor, Tensor], tuple[Tensor, ...]]]] = {
    "prune": lambda x, attn, v: parts(prune(x, attn, v, prefix=2, keep=3)),
    "prune, remove": lambda x, attn, v: parts(prune(x, attn, v, prefix=0, remove=3, normalisation="sample")),
    "trace": lambda x, attn, v: parts(trace(x, attn, v, prefix=2, keep=3)),
    "topk_prune": lambda x, attn, _: parts(topk_prune(x, attn, prefix=2, keep=3)),
    "topk_prune, keep none": lambda x, attn, _: parts(topk_prune(x, attn, prefix=2, keep=0)),
    "evit_prune": lambda x, attn, _: parts(evit_prune(x, attn, prefix=2, keep=3)),
    "evit_prune, normalise": lambda x, attn, _: parts(evit_prune(x, attn, prefix=2, keep=3, normalise=True)),
    "score": lambda _, attn, v: (score(attn, v, prefix=2),),
    "attention_score": lambda _, attn, __: (attention_score(attn, prefix=0),),
    "magnitude_score": lambda _, __, v: (magnitude_score(v, prefix=0),),
    "rank": lambda x, _, __: (rank(x[:, :, 0], prefix=0),),
}
"""Every public function of tensors, on the inputs of one layer."""
each_call: Final = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


def layer(
    *, batch: int = 2, heads: int = 3, tokens: int = 9, dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> Inputs:
    """Tokens, attention and values of a layer; the tokens hold -0.0 as well."""
    numbers = torch.Generator().manual_seed(tokens)
    x = torch.randn(batch, tokens, 4, generator=numbers, dtype=torch.float32)
    x[:, :, 1] = -0.0
    attn = torch.randn(batch, heads, tokens, tokens, generator=numbers, dtype=torch.float32).softmax(dim=-1)
    v = torch.randn(batch, heads, tokens, 5, generator=numbers, dtype=torch.float32)
    return x.to(device, dtype), attn.to(device, dtype), v.to(device, dtype)


def bits(tensor: Tensor) -> Tensor:
    """The bytes of a tensor, so that -0.0 differs from 0.0."""
    return tensor.detach().contiguous().view(torch.uint8)


def assert_same_bits(got: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
    """The same number of tensors, each of one dtype, shape and content."""
    for number, (ours, theirs) in enumerate(zip(got, expected, strict=True)):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), f"result {number}"
        assert torch.equal(bits(ours), bits(theirs)), f"result {number}"


class TestInputs:
    """No input is changed in place, and no result shares memory with one."""

    @each_device
    @each_dtype
    @each_call
    def test_inputs_are_not_modified(
        self, call: Callable[..., tuple[Tensor, ...]], dtype: torch.dtype, device: str
    ) -> None:
        inputs = layer(dtype=dtype, device=device)
        before = tuple(tensor.clone() for tensor in inputs)
        call(*inputs)
        assert_same_bits(inputs, before)

    @each_device
    @each_call
    @pytest.mark.parametrize("heads", [1, 3])
    def test_results_share_nothing_with_the_inputs(
        self, heads: int, call: Callable[..., tuple[Tensor, ...]], device: str
    ) -> None:
        """One head too: a maximum over it is the head itself, but not its memory."""
        inputs = layer(heads=heads, device=device)
        results = call(*inputs)
        before = tuple(tensor.clone() for tensor in results)
        for tensor in inputs:
            tensor.fill_(7.0)
        assert_same_bits(results, before)


class TestLayout:
    """Strides are no part of the input: expanded and non-contiguous tensors give what contiguous ones give."""

    @each_device
    @each_dtype
    @each_call
    def test_non_contiguous_inputs_give_the_same(
        self, call: Callable[..., tuple[Tensor, ...]], dtype: torch.dtype, device: str
    ) -> None:
        x, attn, v = layer(dtype=dtype, device=device)
        spread = (
            x.mT.contiguous().mT,
            attn.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0),
            torch.stack([v, -v], dim=-1)[..., 0],
        )
        assert not any(tensor.is_contiguous() for tensor in spread)
        got, expected = call(*spread), call(x, attn, v)
        for ours, theirs in zip(got, expected, strict=True):
            torch.testing.assert_close(ours, theirs)  # sums may come in another order

    @each_call
    def test_slices_of_larger_tensors_give_the_same(self, call: Callable[..., tuple[Tensor, ...]]) -> None:
        inputs = layer()
        slices = tuple(torch.cat([tensor, tensor, tensor])[2:4] for tensor in inputs)
        assert all(tensor.storage_offset() for tensor in slices)
        assert_same_bits(call(*slices), call(*inputs))

    @each_device
    @each_call
    def test_expanded_inputs_give_the_same(self, call: Callable[..., tuple[Tensor, ...]], device: str) -> None:
        x, attn, v = layer(batch=1, heads=1, device=device)
        expanded = x.expand(3, -1, -1), attn.expand(3, 2, -1, -1), v.expand(3, 2, -1, -1)
        assert_same_bits(call(*expanded), call(*(tensor.contiguous() for tensor in expanded)))


class TestModes:
    """What is set around the call changes nothing in it."""

    @pytest.fixture
    def default_float64(self) -> Iterator[None]:
        """Let new tensors be float64."""
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        yield
        torch.set_default_dtype(before)

    @each_dtype
    @each_call
    def test_default_dtype_changes_nothing(
        self, call: Callable[..., tuple[Tensor, ...]], dtype: torch.dtype, request: pytest.FixtureRequest
    ) -> None:
        expected = call(*layer(dtype=dtype))
        request.getfixturevalue("default_float64")
        assert_same_bits(call(*layer(dtype=dtype)), expected)

    # Torch concatenates no float16 under an autocast to bfloat16, nor the other way round.
    @each_device
    @pytest.mark.parametrize(
        ("dtype", "autocast"),
        [
            (torch.float16, torch.float16),
            (torch.bfloat16, torch.bfloat16),
            (torch.float32, torch.float16),
            (torch.float32, torch.bfloat16),
            (torch.float64, torch.bfloat16),
        ],
        ids=str,
    )
    @each_call
    def test_autocast_changes_nothing(
        self, call: Callable[..., tuple[Tensor, ...]], dtype: torch.dtype, autocast: torch.dtype, device: str
    ) -> None:
        inputs = layer(dtype=dtype, device=device)
        expected = call(*inputs)
        with torch.autocast(device, dtype=autocast):
            assert_same_bits(call(*inputs), expected)

    @each_device
    @each_call
    @pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
    def test_inference_changes_nothing(
        self, mode: Callable[[], torch.inference_mode], call: Callable[..., tuple[Tensor, ...]], device: str
    ) -> None:
        inputs = tuple(tensor.requires_grad_() for tensor in layer(device=device))
        expected = call(*inputs)
        with mode():
            got = call(*inputs)
        assert not any(tensor.requires_grad for tensor in got)
        assert_same_bits(got, expected)

    @pytest.mark.parametrize("check", ["shapes", "none"])
    def test_less_checking_changes_nothing(self, check: str) -> None:
        x, attn, v = layer()
        for less, whole in (
            (prune(x, attn, v, keep=3, check=check), prune(x, attn, v, keep=3)),  # type: ignore[arg-type]
            (topk_prune(x, attn, remove=3, check=check), topk_prune(x, attn, remove=3)),  # type: ignore[arg-type]
            (evit_prune(x, attn, remove=3, check=check), evit_prune(x, attn, remove=3)),  # type: ignore[arg-type]
        ):
            assert isinstance(less, Pruned)
            assert_same_bits(parts(less), parts(whole))


class TestSizes:
    """Edge rules: T = 0 is the mean of all patch tokens; one patch token is enough."""

    @each_device
    @each_dtype
    @pytest.mark.parametrize("prefix", range(6))
    def test_one_patch_token_is_its_own_mean(self, prefix: int, dtype: torch.dtype, device: str) -> None:
        """N = 1 and P = 0 included: m = 1, T = 0, the output is the input."""
        x, attn, v = layer(tokens=prefix + 1, dtype=dtype, device=device)
        pruned = prune(x, attn, v, prefix=prefix, keep=0)
        assert torch.equal(bits(pruned.tokens[:, :prefix]), bits(x[:, :prefix]))
        assert torch.equal(pruned.tokens, x), "the mean of one row is that row"
        assert pruned.kept.shape == (2, 0)
        assert pruned.discarded.tolist() == [[prefix], [prefix]]

    @each_dtype
    @pytest.mark.parametrize("prefix", range(6))
    def test_none_kept_leaves_the_mean_of_all_patches(self, prefix: int, dtype: torch.dtype) -> None:
        tokens = prefix + 4
        x = torch.tensor([5.0] * prefix + [1.0, 2.0, 4.0, 9.0], dtype=dtype).reshape(1, tokens, 1)
        _, attn, v = layer(batch=1, tokens=tokens, dtype=dtype)
        assert prune(x, attn, v, prefix=prefix, keep=0).tokens.flatten().tolist() == [5.0] * prefix + [4.0]
        assert topk_prune(x, attn, prefix=max(prefix, 1), keep=0).tokens.shape == (1, max(prefix, 1), 1)

    @pytest.mark.parametrize("prefix", range(6))
    @pytest.mark.parametrize("patches", [1, 2, 5])
    def test_one_row_too_many_is_refused(self, patches: int, prefix: int) -> None:
        """Edge rules: T = n (nothing discarded), T > n and T < 0 are errors; T = n - 1 is the most."""
        x, attn, v = layer(tokens=prefix + patches)
        assert prune(x, attn, v, prefix=prefix, keep=patches - 1).tokens.shape[1] == prefix + patches
        for keep in (-1, patches, patches + 1):
            with pytest.raises(CountError, match=rf"^prune: expected 0 <= keep <= {patches - 1} \(POMT-PRUNE-1\)"):
                prune(x, attn, v, prefix=prefix, keep=keep)

    @pytest.mark.parametrize("prefix", range(6))
    @pytest.mark.parametrize("patches", [2, 3, 6])
    def test_output_is_as_much_shorter_as_asked(self, patches: int, prefix: int) -> None:
        """POMT-COUNT-1: output length N - R, 1 <= R <= N - P - 1; R = 0 is the unpruned sequence, not a step."""
        x, attn, v = layer(tokens=prefix + patches)
        for remove in range(1, patches):
            assert prune(x, attn, v, prefix=prefix, remove=remove).tokens.shape[1] == prefix + patches - remove
        for remove in (-1, 0, patches):
            with pytest.raises(CountError, match=rf"^prune: expected 1 <= remove <= {patches - 1} \(POMT-COUNT-1\)"):
                prune(x, attn, v, prefix=prefix, remove=remove)

    def test_no_patch_token_is_refused(self) -> None:
        """Edge rule: n = 0 is an error."""
        x, attn, v = layer(tokens=3)
        with pytest.raises(CountError, match=r"^prune: expected 0 <= prefix <= 2 \(POMT-PRUNE-1\), got prefix=3"):
            prune(x, attn, v, prefix=3, keep=0)

    @each_device
    @pytest.mark.parametrize("tokens", [129, 257, 1025])
    def test_long_sequences_are_told_apart(self, tokens: int, device: str) -> None:
        """Index widths and sort algorithms change on the way."""
        x = torch.arange(tokens, dtype=torch.float32, device=device).reshape(1, tokens, 1)
        attn = torch.full((1, 1, tokens, tokens), 1 / tokens, device=device)
        pruned = prune(x, attn, x.unsqueeze(1) / 64, prefix=1, keep=2)
        last = tokens - 1
        assert pruned.tokens.flatten().tolist() == [0.0, last, last - 1, (last - 1) / 2]


class TestNothingSilent:
    """No input produces NaN in the output silently."""

    @each_dtype
    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
    @pytest.mark.parametrize("place", [0, 1, 2], ids=["x", "attn", "v"])
    def test_what_is_not_finite_is_refused(self, place: int, value: float, dtype: torch.dtype) -> None:
        inputs = layer(dtype=dtype)
        inputs[place][-1, -1, -1] = value
        with pytest.raises(ValuesError, match=f"^prune: expected finite {('x', 'attn', 'v')[place]} "):
            prune(*inputs, keep=3)

    @each_dtype
    def test_no_patch_attention_is_refused(self, dtype: torch.dtype) -> None:
        """Edge rule: all patch-to-patch attention of the batch zero (M = 0) is an error."""
        x, attn, v = layer(dtype=dtype)
        attn.zero_()[..., 0] = 1
        for normalisation in ("batch", "sample"):
            with pytest.raises(ValuesError, match=r"^prune: expected some patch-to-patch attention above zero in"):
                prune(x, attn, v, keep=3, normalisation=normalisation)

    def test_one_blind_sample_is_ranked_by_its_values(self) -> None:
        """Edge rule: one sample's patch attention zero, M > 0: m = 0 there."""
        x, attn, _ = layer(tokens=4)
        attn[1].zero_()[..., 0] = 1
        v = torch.tensor([0.0, -1000.0, 0.0, -1000.0]).reshape(1, 1, 4, 1).expand(2, 3, 4, 1)
        pruned = prune(x, attn, v, keep=1)
        assert pruned.scores[1].tolist() == [0.0, 0.5, 0.0]
        assert pruned.kept[1].tolist() == [2]

    @pytest.mark.parametrize("sign", [1, -1])
    def test_value_sums_that_overflow_are_refused(self, sign: int) -> None:
        x, attn, v = layer()
        with pytest.raises(ValuesError, match=r"^prune: expected finite scores \(POMT-SCORE-1\)"):
            prune(x, attn, torch.full_like(v, sign * 3e38), keep=3)

    def test_value_sums_of_half_precision_do_not_overflow(self) -> None:
        """Edge rule: half-precision sums above 65504 do not overflow."""
        x, attn, v = layer(tokens=4, dtype=torch.float16)
        v[:] = 60000
        v[:, :, 3] = 65504
        pruned = prune(x, attn, v, keep=1)
        assert pruned.kept.tolist() == [[3], [3]]
        assert pruned.scores.isfinite().all()
