"""Compiled and exported, the step gives what it gives eagerly, bit for bit.

These run without the run-time checker of annotations: neither a full graph nor a strict export can trace through it.
Inductor is left out: it needs a compiler and half a minute, and the sums it fuses come in another order.
"""

from collections.abc import Callable, Iterator
from typing import Final

import pytest
import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram, export

from pomt_ref import Check, Pruned, evit_prune, prune, topk_prune, trace

DEVICES: Final = ["cpu", *["cuda"] * torch.cuda.is_available()]
each_device: Final = pytest.mark.parametrize("device", DEVICES)

Inputs = tuple[Tensor, Tensor, Tensor]


def layer(batch: int, heads: int, tokens: int, features: int, channels: int, *, device: str = "cpu") -> Inputs:
    """The tokens, attention and values of a layer; the same for the same sizes."""
    numbers = torch.Generator().manual_seed(batch + 10 * tokens)
    x = torch.randn(batch, tokens, channels, generator=numbers)
    attn = (3 * torch.randn(batch, heads, tokens, tokens, generator=numbers)).softmax(dim=-1)
    v = torch.randn(batch, heads, tokens, features, generator=numbers)
    return x.to(device), attn.to(device), v.to(device)


def bits(tensor: Tensor) -> Tensor:
    """The bytes of a tensor, so that -0.0 differs from 0.0."""
    return tensor.contiguous().view(torch.uint8)


def assert_same_bits(got: object, expected: Pruned) -> None:
    """The same tokens, kept and discarded rows, and scores."""
    assert isinstance(got, Pruned)
    for ours, theirs in zip(vars(got).values(), vars(expected).values(), strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        assert torch.equal(bits(ours), bits(theirs))


class TestCompile:
    """A step with check="none" or "shapes" is one graph."""

    @pytest.fixture(autouse=True)
    def forget_graphs(self) -> Iterator[None]:
        """Every test compiles anew."""
        torch.compiler.reset()
        yield
        torch.compiler.reset()

    @each_device
    @pytest.mark.parametrize(
        ("backend", "check", "count"),
        [
            ("eager", "none", "keep"),
            ("eager", "none", "remove"),
            ("eager", "shapes", "keep"),
            ("eager", "shapes", "remove"),
            ("aot_eager", "none", "keep"),
            ("aot_eager", "shapes", "remove"),
        ],
    )
    def test_prune_compiles_to_one_graph(self, count: str, check: Check, backend: str, device: str) -> None:
        def step(x: Tensor, attn: Tensor, v: Tensor) -> Pruned:
            return prune(x, attn, v, prefix=2, check=check, **{count: 3})  # type: ignore[arg-type]

        inputs = layer(2, 3, 9, 4, 5, device=device)
        before = [tensor.clone() for tensor in inputs]
        compiled = torch.compile(step, fullgraph=True, backend=backend)
        assert_same_bits(compiled(*inputs), step(*inputs))
        assert all(torch.equal(now, then) for now, then in zip(inputs, before, strict=True)), "an input was modified"

    def test_prune_compiles_once_for_all_sizes(self) -> None:
        def step(x: Tensor, attn: Tensor, v: Tensor) -> Pruned:
            return prune(x, attn, v, keep=3, check="none")

        compiled = torch.compile(step, fullgraph=True, backend="eager", dynamic=True)
        compiled(*layer(2, 3, 9, 4, 5))
        for sizes in [(3, 2, 17, 6, 7), (4, 5, 12, 3, 2)]:
            with torch.compiler.set_stance("fail_on_recompile"):
                got = compiled(*layer(*sizes))
            assert_same_bits(got, step(*layer(*sizes)))

    def test_prune_compiles_with_gradients(self) -> None:
        x, attn, v = layer(2, 3, 9, 4, 5)
        compiled = torch.compile(
            lambda x: prune(x, attn, v, keep=3, check="none").tokens, fullgraph=True, backend="aot_eager"
        )
        leaf, twin = x.clone().requires_grad_(), x.clone().requires_grad_()
        compiled(leaf).square().sum().backward()
        prune(twin, attn, v, keep=3).tokens.square().sum().backward()
        assert leaf.grad is not None
        assert twin.grad is not None
        assert torch.equal(leaf.grad, twin.grad)

    @pytest.mark.parametrize(("sibling", "check"), [(topk_prune, "none"), (evit_prune, "shapes")])
    def test_siblings_compile_to_one_graph(self, sibling: Callable[..., Pruned], check: Check) -> None:
        def step(x: Tensor, attn: Tensor) -> Pruned:
            return sibling(x, attn, prefix=2, remove=3, class_index=1, check=check)

        x, attn, _ = layer(2, 3, 9, 4, 5)
        compiled = torch.compile(step, fullgraph=True, backend="eager")
        assert_same_bits(compiled(x, attn), step(x, attn))

    def test_trace_compiles_to_one_graph(self) -> None:
        def stages(x: Tensor, attn: Tensor, v: Tensor) -> tuple[Tensor, ...]:
            traced = trace(x, attn, v, keep=3, check="none")
            return traced.sums, traced.gap, traced.mean, traced.tokens

        inputs = layer(2, 3, 9, 4, 5)
        compiled = torch.compile(stages, fullgraph=True, backend="eager")
        for got, expected in zip(compiled(*inputs), stages(*inputs), strict=True):
            assert torch.equal(got, expected)


class Step(torch.nn.Module):
    """A pruning step as the module that export asks for."""

    def __init__(self, prefix: int, keep: int) -> None:
        super().__init__()
        self.prefix, self.keep = prefix, keep

    def forward(self, x: Tensor, attn: Tensor, v: Tensor) -> Pruned:
        """Prune by POMT."""
        return prune(x, attn, v, prefix=self.prefix, keep=self.keep, check="none")


class Siblings(torch.nn.Module):
    """Both siblings, as the module that export asks for."""

    def forward(self, x: Tensor, attn: Tensor) -> tuple[Pruned, Pruned]:
        """Prune by Top-K and by EViT."""
        fused = evit_prune(x, attn, prefix=2, keep=3, class_index=1, normalise=True, check="none")
        return topk_prune(x, attn, prefix=2, keep=3, check="none"), fused


def exported(module: torch.nn.Module, inputs: tuple[Tensor, ...], *, fewest: int, strict: bool) -> ExportedProgram:
    """The module exported with every axis dynamic; at least two rows go, for torch specialises a lone one (m != 1)."""
    batch, heads, features, channels = (
        Dim(name, min=1, max=4096) for name in ("batch", "heads", "features", "channels")
    )
    tokens = Dim("tokens", min=fewest, max=1 << 20)
    axes = (
        {0: batch, 1: tokens, 2: channels},
        {0: batch, 1: heads, 2: tokens, 3: tokens},
        {0: batch, 1: heads, 2: tokens, 3: features},
    )
    return export(module, inputs, dynamic_shapes=axes[: len(inputs)], strict=strict)


SIZES: Final = [(2, 3, 9, 4, 5), (1, 1, 7, 1, 1), (3, 2, 40, 8, 6), (5, 1, 8, 2, 3)]
"""Batch, heads, tokens, features, channels; the first is what export sees."""


class TestExport:
    """A step with check="none" exports with every axis dynamic, and writes to none of its inputs."""

    @pytest.mark.parametrize(("prefix", "keep", "strict"), [(0, 1, True), (1, 4, False), (2, 0, True), (2, 0, False)])
    def test_prune_exports_for_all_sizes(self, prefix: int, keep: int, strict: bool) -> None:
        step = Step(prefix, keep)
        program = exported(step, layer(*SIZES[0]), fewest=prefix + keep + 2, strict=strict)
        again = program.module()
        for sizes in [*SIZES, (2, 2, prefix + keep + 2, 2, 2)]:
            inputs = layer(*sizes)
            before = [tensor.clone() for tensor in inputs]
            assert_same_bits(again(*inputs), step(*inputs))
            assert all(torch.equal(now, then) for now, then in zip(inputs, before, strict=True)), "an input changed"
        signature = program.graph_signature
        assert not signature.user_inputs_to_mutate
        assert not signature.buffers_to_mutate

    def test_counts_may_follow_the_length(self) -> None:
        """All patches but four are kept: while this is exported, keep is no int but a symbol."""

        class AllButFour(torch.nn.Module):
            def forward(self, x: Tensor, attn: Tensor, v: Tensor) -> Pruned:
                return prune(x, attn, v, keep=x.shape[1] - 5, check="shapes")

        program = exported(AllButFour(), layer(*SIZES[0]), fewest=7, strict=False)
        for sizes in SIZES:
            assert_same_bits(program.module()(*layer(*sizes)), AllButFour()(*layer(*sizes)))

    def test_siblings_export_for_all_sizes(self) -> None:
        program = exported(Siblings(), layer(*SIZES[0])[:2], fewest=7, strict=True)
        again = program.module()
        for sizes in [*SIZES, (2, 2, 7, 2, 2)]:
            x, attn, _ = layer(*sizes)
            for got, expected in zip(again(x, attn), Siblings()(x, attn), strict=True):
                assert_same_bits(got, expected)
        assert not program.graph_signature.user_inputs_to_mutate
