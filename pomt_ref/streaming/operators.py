"""The streaming functions as operators of torch: one node of a compiled or exported graph each, of any size.

A compiler sees what comes out and not the loops. The one pass has a gradient, which is an operator as well; through
the sums alone none flows (POMT-META-7), and asking for it is an error.
"""

from typing import Any, Final, NoReturn

from torch import Tensor
from torch.library import custom_op

from pomt_ref.errors import OptionError
from pomt_ref.streaming import blocks, gradients, tiles, whole
from pomt_ref.streaming.boundary import within_memory
from pomt_ref.streaming.sizes import default_rows, is_short
from pomt_ref.streaming.tangents import refuse_tangents
from pomt_ref.types import score_dtype

LAYER: Final = "Tensor q, Tensor k, Tensor v, int prefix, float scale, int? rows"
"""What the one pass takes, in torch's words."""


def buffers_of(q: Tensor, rows: int | None) -> tuple[int, int, int]:
    """Two blocks of attention: their rows, as many as are asked for and no more than there are, and their columns."""
    tokens = q.shape[2]
    return 2, min(default_rows(tokens, q.dtype) if rows is None else rows, tokens), tokens


def all_at_once(q: Tensor, rows: int | None) -> tuple[int, int, int] | None:
    """A buffer a head, where the sequence is short; nothing where it is not."""
    heads, tokens = q.shape[1:3]
    return (heads, tokens, tokens) if is_short(tokens, heads=heads, rows=buffers_of(q, rows)[1]) else None


@custom_op("pomt_ref::streaming_attention", mutates_args=(), schema=f"({LAYER}) -> (Tensor, Tensor)")
def streaming_attention(
    q: Tensor, k: Tensor, v: Tensor, prefix: int, scale: float, rows: int | None
) -> tuple[Tensor, Tensor]:
    """Attention and its sums."""
    short, two = all_at_once(q, rows), buffers_of(q, rows)
    with within_memory("streaming_attention", short or two, dtype=score_dtype(q.dtype)):
        if short:
            return whole.whole_pass(q, k, v, prefix=prefix, scale=scale)
        return blocks.one_pass(q, k, v, prefix=prefix, scale=scale, rows=two[1])


@custom_op(
    "pomt_ref::streaming_gradients",
    mutates_args=(),
    schema=f"(Tensor upstream, Tensor upstream_sums, {LAYER}) -> (Tensor, Tensor, Tensor)",
)
def streaming_gradients(
    upstream: Tensor,
    upstream_sums: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    prefix: int,
    scale: float,
    rows: int | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients with respect to q, k and v."""
    two = buffers_of(q, rows)
    layer = upstream, upstream_sums, q, k, v
    with within_memory("streaming_attention", two, dtype=score_dtype(q.dtype)):
        return gradients.one_pass_gradients(*layer, prefix=prefix, scale=scale, rows=two[1])


@custom_op(
    "pomt_ref::attention_sums",
    mutates_args=(),
    schema="(Tensor q, Tensor k, int prefix, float scale, int? rows) -> Tensor",
)
def attention_sums(q: Tensor, k: Tensor, prefix: int, scale: float, rows: int | None) -> Tensor:
    """The sums alone."""
    short, two = all_at_once(q, rows), buffers_of(q, rows)
    with within_memory("prune_qkv", short or two, dtype=score_dtype(q.dtype)):
        if short:
            return whole.whole_sums(q, k, prefix=prefix, scale=scale)
        return blocks.sums_alone(q, k, prefix=prefix, scale=scale, rows=two[1])


@custom_op(
    "pomt_ref::attention_sums_from_lse",
    mutates_args=(),
    schema="(Tensor q, Tensor k, Tensor lse, int prefix, float scale, int? rows) -> Tensor",
)
def attention_sums_from_lse(q: Tensor, k: Tensor, lse: Tensor, prefix: int, scale: float, rows: int | None) -> Tensor:
    """The sums of a layer whose logsumexp is known."""
    side = min(tiles.SIDE if rows is None else rows, q.shape[2] - prefix)
    with within_memory("attention_sums_from_lse", (2, side, side), dtype=lse.dtype):
        return tiles.sums_in_tiles(q, k, lse, prefix=prefix, scale=scale, side=side)


@streaming_attention.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, prefix: int, scale: float, rows: int | None) -> tuple[Tensor, Tensor]:
    """What comes out, by shape and dtype."""
    del k, scale, rows
    return v.new_empty(v.shape), _sums_like(q, prefix)


@streaming_gradients.register_fake
def _(
    upstream: Tensor,
    upstream_sums: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    prefix: int,
    scale: float,
    rows: int | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """As above."""
    del upstream, upstream_sums, prefix, scale, rows
    return q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape)


@attention_sums.register_fake
def _(q: Tensor, k: Tensor, prefix: int, scale: float, rows: int | None) -> Tensor:
    """As above."""
    del k, scale, rows
    return _sums_like(q, prefix)


@attention_sums_from_lse.register_fake
def _(q: Tensor, k: Tensor, lse: Tensor, prefix: int, scale: float, rows: int | None) -> Tensor:
    """As above."""
    del k, lse, scale, rows
    return _sums_like(q, prefix)


def no_forward_mode() -> OptionError:
    """The one pass has a gradient, and no rule for tangents."""
    return OptionError("streaming_attention", "POMT-ATT-1", "derivatives in reverse mode", "tangents, of forward mode")


def no_tangents() -> OptionError:
    """As :func:`no_derivative`, in forward mode."""
    return no_derivative("tangents")


def no_derivative(what: str) -> OptionError:
    """No gradient flows to the ranking, and these sums are made for nothing else."""
    got = f"{what} through sums alone; those of streaming_attention are differentiable, in reverse mode"
    return OptionError("attention_sums_from_lse", "POMT-META-7", "no gradient to the ranking", got)


def _sums_like(q: Tensor, prefix: int) -> Tensor:
    """One sum a patch key, in the dtype of scores."""
    return q.new_empty((q.shape[0], q.shape[2] - prefix), dtype=score_dtype(q.dtype))


def _keep_layer(ctx: Any, inputs: tuple[Any, ...], output: object) -> None:  # noqa: ANN401 -- torch's own context
    """Keep what the gradient is made of."""
    del output
    ctx.save_for_backward(*inputs[:3])
    ctx.options = inputs[3:]


def _differentiate(ctx: Any, upstream: Tensor, upstream_sums: Tensor) -> tuple[Any, ...]:  # noqa: ANN401 -- as above
    """Gradients of q, k and v, and none of the numbers."""
    refuse_tangents(no_forward_mode, upstream, upstream_sums)
    found = streaming_gradients(upstream, upstream_sums, *ctx.saved_tensors, *ctx.options)
    return (*found, None, None, None)


def _refuse(_ctx: object, *_upstream: Tensor) -> NoReturn:
    """A backward pass."""
    raise no_derivative("a backward pass")


streaming_attention.register_autograd(_differentiate, setup_context=_keep_layer)
attention_sums.register_autograd(_refuse)
attention_sums_from_lse.register_autograd(_refuse)
