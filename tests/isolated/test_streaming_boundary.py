"""Streaming at its boundary: every message word for word, gradients by finite differences, compiled and exported.

These run without the run-time checker of annotations, which would refuse most of these calls first, in its own words,
and which no graph can be traced through.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._dynamo.exc import Unsupported
from torch._subclasses import FakeTensorMode
from torch.autograd import forward_ad
from torch.export import Dim, export

from pomt_ref import (
    CountError,
    DeviceError,
    DtypeError,
    KindError,
    OptionError,
    PomtError,
    ShapeError,
    ValuesError,
    prune,
)
from pomt_ref.streaming import (
    attention_sums_from_lse,
    default_rows,
    operators,
    prune_qkv,
    prune_sums,
    streaming_attention,
)

Q: Final = torch.zeros(1, 2, 4, 3)
V: Final = torch.ones(1, 2, 4, 2)
X: Final = torch.ones(1, 4, 5)
LSE: Final = torch.full((1, 2, 4), 4.0).log()
SUMS: Final = torch.tensor([[1.0, 2.0, 3.0]])
NAN: Final = float("nan")

VALID: Final[dict[Callable[..., Any], dict[str, object]]] = {
    streaming_attention: {"q": Q, "k": Q, "v": V, "prefix": 1},
    attention_sums_from_lse: {"q": Q, "k": Q, "lse": LSE, "prefix": 1},
    prune_qkv: {"x": X, "q": Q, "k": Q, "v": V, "keep": 1},
    prune_sums: {"x": X, "sums": SUMS, "v": V, "keep": 1},
}

OF_ALL: Final[list[Callable[..., Any]]] = [streaming_attention, attention_sums_from_lse, prune_qkv]
"""The functions that take queries and keys."""


def marked(tensor: Tensor, value: float) -> Tensor:
    """A copy whose last number is another one."""
    copied = tensor.clone()
    copied.view(-1)[-1] = value
    return copied


CASES: Final[list[tuple[list[Callable[..., Any]], dict[str, object], type[PomtError], str]]] = [
    # what a layer must be
    (OF_ALL, {"q": 1.0}, KindError, "expected q, a torch.Tensor (POMT-ATT-1), got float"),
    (
        OF_ALL,
        {"q": Q.int()},
        DtypeError,
        "expected q in float16, bfloat16, float32 or float64 (POMT-PREC-1), got torch.int32",
    ),
    (
        OF_ALL,
        {"k": Q.double()},
        DtypeError,
        "expected q and k of one dtype (POMT-PREC-1), got q torch.float32, k torch.float64",
    ),
    (
        OF_ALL,
        {"k": Q.to("meta")},
        DeviceError,
        "expected q and k on one device (POMT-PREC-1), got q on cpu, k on meta",
    ),
    (
        OF_ALL,
        {"k": Q[..., :2]},
        ShapeError,
        "expected q and k with the same features (POMT-PRUNE-1), got q (1, 2, 4, 3), k (1, 2, 4, 2)",
    ),
    (
        OF_ALL,
        {"k": Q[:, :1]},
        ShapeError,
        "expected q and k with the same heads (POMT-PRUNE-1), got q (1, 2, 4, 3), k (1, 1, 4, 3)",
    ),
    (
        OF_ALL,
        {"k": Q[:, :, :3]},
        ShapeError,
        "expected q and k with the same tokens (POMT-PRUNE-1), got q (1, 2, 4, 3), k (1, 2, 3, 3)",
    ),
    (
        OF_ALL,
        {"q": Q[0]},
        ShapeError,
        "expected q of shape (batch, heads, tokens, features) (POMT-ATT-1), got (2, 4, 3)",
    ),
    (
        OF_ALL,
        {"q": Q[:, :, :, :0]},
        ShapeError,
        "expected q of shape (batch, heads, tokens, features), no axis empty (POMT-ATT-1), got (1, 2, 4, 0)",
    ),
    (OF_ALL, {"q": marked(Q, NAN)}, ValuesError, "expected finite q (POMT-ATT-1), got q[0, 1, 3, 2] = nan"),
    (OF_ALL, {"k": marked(Q, -float("inf"))}, ValuesError, "expected finite k (POMT-ATT-1), got k[0, 1, 3, 2] = -inf"),
    (
        [streaming_attention, prune_qkv],
        {"v": marked(V, NAN)},
        ValuesError,
        "expected finite v (POMT-MAG-1), got v[0, 1, 3, 1] = nan",
    ),
    (
        [streaming_attention, prune_qkv],
        {"v": V[:, :1]},
        ShapeError,
        "expected q and v with the same heads (POMT-PRUNE-1), got q (1, 2, 4, 3), v (1, 1, 4, 2)",
    ),
    (
        [prune_qkv],
        {"x": X[:, :3]},
        ShapeError,
        "expected x and q with the same tokens (POMT-PRUNE-1), got x (1, 3, 5), q (1, 2, 4, 3)",
    ),
    (
        [prune_qkv],
        {"x": X.half()},
        DtypeError,
        "expected x and q of one dtype (POMT-PREC-1), got x torch.float16, q torch.float32",
    ),
    (
        [streaming_attention, attention_sums_from_lse],
        {"prefix": 4},
        CountError,
        "expected 0 <= prefix <= 3 (POMT-ATT-1), got prefix=4 (tokens=4)",
    ),
    (
        [streaming_attention, attention_sums_from_lse],
        {"prefix": -1},
        CountError,
        "expected 0 <= prefix <= 3 (POMT-ATT-1), got prefix=-1 (tokens=4)",
    ),
    (
        [streaming_attention, attention_sums_from_lse],
        {"prefix": 1.0},
        KindError,
        "expected prefix, an int (POMT-ATT-1), got prefix=1.0",
    ),
    # products that overflow
    (
        [streaming_attention],
        {"q": Q + 1e30, "k": Q + 1e30},
        ValuesError,
        "expected finite sums (POMT-ATT-1), got sums[0, 0] = nan",
    ),
    (
        [prune_qkv],
        {"q": Q + 1e30, "k": Q + 1e30},
        ValuesError,
        "expected finite sums (POMT-ATT-1), got sums[0, 0] = nan",
    ),
    (
        [attention_sums_from_lse],
        {"lse": LSE - 200},
        ValuesError,
        "expected finite sums (POMT-ATT-1), got sums[0, 0] = inf",
    ),
    # a logsumexp of another scale, or of some of the keys
    (
        [attention_sums_from_lse],
        {"lse": LSE - 3},
        ValuesError,
        (
            "expected sums <= N - P = 3, as of a natural logarithm over all keys, at this scale (POMT-ATT-1), "
            "got 15.0641527"
        ),
    ),
    # options
    (OF_ALL, {"rows": 0}, CountError, "expected rows >= 1 (POMT-ATT-1), got rows=0"),
    (OF_ALL, {"rows": -3}, CountError, "expected rows >= 1 (POMT-ATT-1), got rows=-3"),
    (OF_ALL, {"rows": 2.0}, KindError, "expected rows, an int (POMT-ATT-1), got rows=2.0"),
    (OF_ALL, {"rows": True}, KindError, "expected rows, an int (POMT-ATT-1), got rows=True"),
    (OF_ALL, {"scale": "1"}, KindError, "expected scale, a number (POMT-ATT-1), got scale='1'"),
    (OF_ALL, {"scale": True}, KindError, "expected scale, a number (POMT-ATT-1), got scale=True"),
    (OF_ALL, {"scale": NAN}, OptionError, "expected a finite scale (POMT-ATT-1), got scale=nan"),
    (OF_ALL, {"scale": 10**5000}, OptionError, "expected a finite scale (POMT-ATT-1), got a number beyond float64"),
    (
        OF_ALL,
        {"scale": -1e39},
        OptionError,
        "expected a scale that torch.float32 holds (POMT-ATT-1), got scale=-1e+39",
    ),
    (
        OF_ALL,
        {"check": "value"},
        OptionError,
        "expected check in ('values', 'shapes', 'none') (POMT-PRUNE-1), got check='value'",
    ),
    (
        [prune_qkv, prune_sums],
        {"normalisation": "head"},
        OptionError,
        "expected normalisation in ('batch', 'sample') (POMT-ATT-2), got normalisation='head'",
    ),
    (
        [prune_qkv],
        {"algorithm": "flash"},
        OptionError,
        "expected algorithm in ('auto', 'one pass', 'logsumexp') (POMT-ATT-1), got algorithm='flash'",
    ),
    (
        [prune_qkv, prune_sums],
        {"keep": 3},
        CountError,
        "expected 0 <= keep <= 2 (POMT-PRUNE-1), got keep=3 (tokens=4, prefix=1)",
    ),
    (
        [prune_qkv, prune_sums],
        {"remove": 1},
        OptionError,
        "expected exactly one of keep and remove (POMT-COUNT-1), got keep=1, remove=1",
    ),
    # a logsumexp
    (
        [attention_sums_from_lse],
        {"lse": LSE[:, :, :3]},
        ShapeError,
        "expected q and lse with the same batch, heads and tokens (POMT-ATT-1), got q (1, 2, 4, 3), lse (1, 2, 3)",
    ),
    (
        [attention_sums_from_lse],
        {"lse": LSE[0]},
        ShapeError,
        "expected lse of shape (batch, heads, tokens) (POMT-ATT-1), got (2, 4)",
    ),
    (
        [attention_sums_from_lse],
        {"lse": LSE.half()},
        DtypeError,
        "expected lse in torch.float32 beside such queries (POMT-PREC-1), got q torch.float32, lse torch.float16",
    ),
    (
        [attention_sums_from_lse],
        {"lse": LSE.double()},
        DtypeError,
        "expected lse in torch.float32 beside such queries (POMT-PREC-1), got q torch.float32, lse torch.float64",
    ),
    (
        [attention_sums_from_lse],
        {"lse": LSE.long()},
        DtypeError,
        "expected lse in float16, bfloat16, float32 or float64 (POMT-PREC-1), got torch.int64",
    ),
    (
        [attention_sums_from_lse],
        {"lse": LSE.to("meta"), "check": "shapes"},
        DeviceError,
        "expected q and lse on one device (POMT-PREC-1), got q on cpu, lse on meta",
    ),
    (
        [attention_sums_from_lse],
        {"lse": marked(LSE, NAN)},
        ValuesError,
        "expected finite lse (POMT-ATT-1), got lse[0, 1, 3] = nan",
    ),
    # sums
    ([prune_sums], {"sums": [1.0]}, KindError, "expected sums, a torch.Tensor (POMT-ATT-1), got list"),
    (
        [prune_sums],
        {"sums": torch.ones(1, 3).to_sparse()},
        KindError,
        "expected sums, a dense tensor (POMT-ATT-1), got torch.sparse_coo",
    ),
    ([prune_sums], {"sums": SUMS[:, :2]}, ShapeError, "expected sums of shape (1, 3) (POMT-ATT-1), got (1, 2)"),
    (
        [prune_sums],
        {"sums": SUMS.double()},
        DtypeError,
        "expected sums in torch.float32 (POMT-PREC-1), got torch.float64",
    ),
    (
        [prune_sums],
        {"sums": SUMS.to("meta"), "check": "shapes"},
        DeviceError,
        "expected x and sums on one device (POMT-PREC-1), got x on cpu, sums on meta",
    ),
    ([prune_sums], {"sums": marked(SUMS, NAN)}, ValuesError, "expected finite sums (POMT-ATT-1), got sums[0, 2] = nan"),
    ([prune_sums], {"sums": -SUMS}, ValuesError, "expected sums >= 0 (POMT-ATT-1), got -3"),
    (
        [prune_sums],
        {"sums": 0 * SUMS},
        ValuesError,
        "expected some patch-to-patch attention above zero in the batch (POMT-ATT-2), got none in all 1 samples",
    ),
    (
        [prune_sums],
        {"sums": 0 * SUMS, "normalisation": "sample"},
        ValuesError,
        "expected some patch-to-patch attention above zero in every sample (POMT-ATT-2), got none in sample 0",
    ),
    (
        [prune_sums, prune_qkv],
        {"x": torch.full_like(X, 3e38)},
        ValuesError,
        "expected finite mean (POMT-PRUNE-3), got mean[0, 0, 0] = inf",
    ),
    (
        [prune_sums, prune_qkv],
        {"v": V * 3e38},
        ValuesError,
        "expected finite scores (POMT-SCORE-1), got scores[0, 0] = nan",
    ),
]


class TestMessages:
    """Bad input: one error of the project, that names function, clause, what was expected and what came."""

    @pytest.mark.parametrize(
        ("function", "changed", "error", "says"),
        [
            pytest.param(function, changed, error, says, id=f"{function.__name__}-{number}")
            for number, (functions, changed, error, says) in enumerate(CASES)
            for function in functions
        ],
    )
    def test_message(
        self, function: Callable[..., Any], changed: dict[str, object], error: type[PomtError], says: str
    ) -> None:
        with pytest.raises(error) as caught:
            function(**{**VALID[function], **changed})
        assert str(caught.value) == f"{function.__name__}: {says}"

    @pytest.mark.parametrize("function", VALID)
    def test_valid_calls_are_valid(self, function: Callable[..., Any]) -> None:
        for check in ("values", "shapes", "none"):
            function(**VALID[function], check=check)

    def test_algorithm_that_no_kernel_offers(self) -> None:
        with FakeTensorMode():
            q = torch.empty(1, 2, 4, 3, device="cuda")
            x = torch.empty(1, 4, 5, device="cuda")
        expected = "prune_qkv: expected queries that a fused kernel of torch takes (POMT-ATT-1), "
        with pytest.raises(DeviceError, match=re.escape(expected) + "got 3 features in torch.float32 on cuda$"):
            prune_qkv(x, q, q, q, keep=1, algorithm="logsumexp", check="shapes")

    def test_numbers_of_numpy_are_numbers(self) -> None:
        call: Callable[..., tuple[Tensor, Tensor]] = streaming_attention
        out, sums = call(Q, Q, V, prefix=1, scale=np.float32(0.5), rows=np.int8(3))
        other, same = call(Q, Q, V, prefix=np.int64(1), scale=0.5, rows=3)
        assert torch.equal(out, other)
        assert torch.equal(sums, same)
        assert torch.equal(streaming_attention(Q, Q, V, prefix=1, scale=2)[1], sums)

    @pytest.mark.parametrize("function", OF_ALL)
    @pytest.mark.parametrize("check", ["values", "shapes", "none"])
    @pytest.mark.parametrize("rows", [5, 2**63, 10**400])
    def test_more_rows_than_tokens_are_all_of_them(self, function: Callable[..., Any], check: str, rows: int) -> None:
        def sums(rows: int) -> Tensor:
            result = function(**VALID[function], check=check, rows=rows)
            found: Tensor = (
                result if isinstance(result, Tensor) else result[1] if type(result) is tuple else result.sums
            )
            return found

        assert torch.equal(sums(rows), sums(4))

    @pytest.mark.parametrize(
        ("tokens", "dtype", "error", "says"),
        [
            (-5, torch.float32, CountError, "expected tokens >= 1 (POMT-ATT-1), got tokens=-5"),
            ("a", torch.float32, KindError, "expected tokens, an int (POMT-ATT-1), got tokens='a'"),
            (
                9,
                torch.int8,
                DtypeError,
                "expected dtype in float16, bfloat16, float32 or float64 (POMT-PREC-1), got dtype=torch.int8",
            ),
        ],
    )
    def test_default_rows_of_nothing(self, tokens: Any, dtype: torch.dtype, error: type[PomtError], says: str) -> None:  # noqa: ANN401 -- what is no number too
        with pytest.raises(error) as caught:
            default_rows(tokens, dtype)
        assert str(caught.value) == f"default_rows: {says}"


def layer(batch: int = 2, heads: int = 3, tokens: int = 9, *, requires_grad: bool = False) -> tuple[Tensor, ...]:
    """Tokens, queries, keys and values."""
    numbers = torch.Generator().manual_seed(tokens)
    x = torch.randn(batch, tokens, 5, generator=numbers, dtype=torch.float64)
    q, k, v = (torch.randn(batch, heads, tokens, each, generator=numbers, dtype=torch.float64) for each in (4, 4, 6))
    return tuple(each.requires_grad_(requires_grad) for each in (x, q, k, v))


class TestGradients:
    """Attention and its sums are differentiable, by blocks of any size."""

    @pytest.mark.long
    @pytest.mark.parametrize("rows", [1, 2, 64])
    @pytest.mark.parametrize("prefix", [0, 2])
    def test_gradients_are_those_of_finite_differences(self, prefix: int, rows: int) -> None:
        _, q, k, v = layer(2, 3, 5, requires_grad=True)
        assert torch.autograd.gradcheck(
            lambda *each: streaming_attention(*each, prefix=prefix, rows=rows, check="shapes"), (q, k, v)
        )


jvp: Final[Any] = torch.func.jvp  # torch declares three values, or two
ONCE: Final = "streaming_attention: expected derivatives in reverse mode (POMT-ATT-1), got tangents, of forward mode"
FROM_LSE: Final = (
    "attention_sums_from_lse: expected no gradient to the ranking (POMT-META-7), got tangents through sums alone; "
    "those of streaming_attention are differentiable, in reverse mode"
)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # by torch, for forward mode
class TestForwardMode:
    """Tangents of forward mode are an error, where torch would go on without them; the step lets them pass."""

    @staticmethod
    def one_pass(q: Tensor, check: Any = "values") -> Tensor:  # noqa: ANN401 -- one of three words
        """The sums, of queries as they come."""
        k, v = torch.linspace(-1, 2, 80, dtype=torch.float64).reshape(2, 1, 2, 5, 4).sin()
        return streaming_attention(q, k, v, prefix=1, check=check)[1].sum()

    @pytest.mark.parametrize("check", ["values", "shapes", "none"])
    @pytest.mark.parametrize("part", [0, 1, 2])
    def test_tangent_of_any_input_is_told(self, part: int, check: Any) -> None:  # noqa: ANN401 -- one of three words
        _, q, k, v = layer(1, 2, 5)
        calls: list[tuple[Callable[..., Any], list[Tensor], str]] = [
            (streaming_attention, [q, k, v], ONCE),
            (attention_sums_from_lse, [q, k, (q @ k.mT / 2).logsumexp(dim=-1)], FROM_LSE),
        ]
        for function, tensors, says in calls:
            for primal in (tensors[part], tensors[part].detach().clone().requires_grad_()):
                with forward_ad.dual_level():
                    tensors[part] = forward_ad.make_dual(primal, torch.ones_like(primal))
                    with pytest.raises(OptionError) as caught:
                        function(*tensors, prefix=1, check=check)
                assert str(caught.value) == says

    def test_transforms_are_told(self) -> None:
        q = layer(1, 2, 5)[1]
        transforms: list[Callable[[], object]] = [
            lambda: jvp(self.one_pass, (q,), (q,)),
            lambda: torch.func.jacfwd(lambda one: self.one_pass(one, "none"))(q),
            # the tangent is that of the outer transform
            lambda: jvp(lambda one: jvp(lambda other: self.one_pass(one) * other.sum(), (q,), (q,))[0], (q,), (q,)),
        ]
        for transformed in transforms:
            with pytest.raises(OptionError) as caught:
                transformed()
            assert str(caught.value) == ONCE

    def test_tangent_of_what_comes_back_is_told(self) -> None:
        q = layer(1, 2, 5, requires_grad=True)[1]
        with forward_ad.dual_level():
            loss = self.one_pass(q) * forward_ad.make_dual(*torch.ones(2, 1, dtype=torch.float64))
            with pytest.raises(OptionError) as caught:
                loss.backward()
        assert str(caught.value) == ONCE

    def test_tangent_of_something_else_is_none_of_theirs(self) -> None:
        q = layer(1, 2, 5)[1]
        value, tangent = jvp(lambda other: self.one_pass(q) * other.sum(), (q,), (torch.ones_like(q),))
        assert torch.allclose(value, self.one_pass(q) * q.sum())
        assert torch.allclose(tangent, self.one_pass(q) * q.numel())

    def test_samples_by_vmap_are_those_of_a_batch(self) -> None:
        q = layer(3, 2, 5)[1]
        found = torch.func.vmap(lambda one: self.one_pass(one.unsqueeze(0), "none"))(q)
        assert torch.allclose(found, torch.stack([self.one_pass(one.unsqueeze(0)) for one in q]))

    @pytest.mark.long
    def test_compiled_transform_is_told(self) -> None:
        q = layer(1, 2, 5)[1]
        tangents = torch.compile(
            lambda one: jvp(lambda each: self.one_pass(each, "none"), (one,), (one,))[1],
            backend="eager",
            fullgraph=True,
        )
        with pytest.raises(Unsupported, match="no_forward_mode"):
            tangents(q)
        torch.compiler.reset()

    def test_tangent_is_told_while_a_graph_is_traced(self, monkeypatch: pytest.MonkeyPatch) -> None:
        q = layer(1, 2, 5)[1]
        expected = self.one_pass(q)
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
        assert torch.equal(self.one_pass(q), expected)
        with forward_ad.dual_level():
            dual = forward_ad.make_dual(q, q)
            with pytest.raises(OptionError) as caught:
                self.one_pass(dual)
        assert str(caught.value) == ONCE

    def test_step_lets_tangents_of_its_tokens_pass(self) -> None:
        x, q, k, v = layer()
        attn = (q @ k.mT / 2).softmax(dim=-1)
        _, ours = jvp(lambda one: prune_qkv(one, q, k, v, keep=3).tokens, (x,), (x.flip(1),))
        _, theirs = jvp(lambda one: prune(one, attn, v, keep=3).tokens, (x,), (x.flip(1),))
        assert torch.equal(ours, theirs)
        _, none = jvp(lambda one: prune_qkv(x, one, k, v, keep=3).scores, (q,), (q,))
        assert not none.any()


class TestGraphs:
    """The streaming functions are one node of a graph each, whatever its sizes."""

    @pytest.fixture(autouse=True)
    def forget_graphs(self) -> Iterator[None]:
        """Every test compiles anew."""
        torch.compiler.reset()
        yield
        torch.compiler.reset()

    @pytest.mark.parametrize(
        "rule",
        [
            "test_schema",
            "test_autograd_registration",
            "test_faketensor",
            pytest.param("test_aot_dispatch_dynamic", marks=pytest.mark.long),
        ],
    )
    def test_operators_keep_the_rules_of_torch(self, rule: str) -> None:
        _, q, k, v = layer(requires_grad=True)
        calls: list[tuple[Any, tuple[Any, ...]]] = [
            (operators.streaming_attention, (q, k, v, 1, 0.5, 4)),
            (operators.attention_sums, (q.detach(), k.detach(), 1, 0.5, 4)),
            (operators.attention_sums_from_lse, (q.detach(), k.detach(), q.detach()[..., 0], 1, 0.5, 4)),
            (operators.streaming_gradients, (*(each.detach() for each in (v, v[:, 0, 1:, 0], q, k, v)), 1, 0.5, 4)),
        ]
        for operator, arguments in calls:
            results = torch.library.opcheck(operator, arguments, test_utils=rule)
            assert results == {rule: "SUCCESS"}, f"{operator}: {results}"

    @pytest.mark.long
    def test_attention_compiles_to_one_graph_with_gradients(self) -> None:
        _, q, k, v = layer(requires_grad=True)

        def loss(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            out, sums = streaming_attention(q, k, v, prefix=2, rows=4, check="none")
            return out.square().sum() + sums.square().sum()

        compiled = torch.compile(loss, fullgraph=True, backend="aot_eager", dynamic=True)
        got = torch.autograd.grad(compiled(q, k, v), (q, k, v))
        for ours, theirs in zip(got, torch.autograd.grad(loss(q, k, v), (q, k, v)), strict=True):
            assert torch.equal(ours, theirs)

    @pytest.mark.long
    @pytest.mark.parametrize("algorithm", ["one pass", "logsumexp"])
    def test_step_compiles_once_for_all_sizes(self, algorithm: Any) -> None:  # noqa: ANN401 -- one of two words
        def step(x: Tensor, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return prune_qkv(x, q, k, v, keep=3, rows=4, algorithm=algorithm, check="none").tokens

        compiled = torch.compile(step, fullgraph=True, backend="eager", dynamic=True)
        assert torch.equal(compiled(*layer()), step(*layer()))
        for sizes in [(3, 2, 17), (4, 5, 12)]:
            with torch.compiler.set_stance("fail_on_recompile"):
                got = compiled(*layer(*sizes))
            assert torch.equal(got, step(*layer(*sizes)))

    @pytest.mark.long
    def test_step_exports_for_all_sizes(self) -> None:
        class Step(torch.nn.Module):
            def forward(self, x: Tensor, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
                step = prune_qkv(x, q, k, v, prefix=1, keep=3, rows=4, check="none")
                return step.tokens, step.scores

        batch, tokens = Dim("batch", max=4096), Dim("tokens", min=6, max=1 << 20)
        of_layer = {0: batch, 2: tokens}
        dynamic = ({0: batch, 1: tokens}, of_layer, of_layer, of_layer)
        program = export(Step(), layer(), dynamic_shapes=dynamic, strict=False)
        for sizes in [(3, 3, 17), (1, 3, 6)]:
            for got, expected in zip(program.module()(*layer(*sizes)), Step()(*layer(*sizes)), strict=True):
                assert torch.equal(got, expected)

    def test_step_on_tensors_without_numbers(self) -> None:
        x, q, k, v = (each.to("meta") for each in layer())
        step = prune_qkv(x, q, k, v, keep=3, check="shapes")
        assert (step.tokens.shape, step.scores.shape) == ((2, 5, 5), (2, 8))
