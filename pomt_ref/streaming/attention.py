"""POMT-ATT-1 beside the output of attention, from queries, keys and values, in one pass and O(N) memory."""

from jaxtyping import Float
from torch import Tensor

from pomt_ref import contracts
from pomt_ref.streaming import boundary, operators
from pomt_ref.streaming.tangents import refuse_tangents
from pomt_ref.types import Check


def streaming_attention(
    q: Float[Tensor, "batch heads tokens features"],
    k: Float[Tensor, "batch heads tokens features"],
    v: Float[Tensor, "batch heads tokens values"],
    *,
    prefix: int,
    scale: float | None = None,
    rows: int | None = None,
    check: Check = "values",
) -> tuple[Float[Tensor, "batch heads tokens values"], Float[Tensor, "batch tokens-{prefix}"]]:
    r"""POMT-ATT-1: attention, and the sum over patch queries of its maximum over heads, without the matrix.

    .. math:: A_h = \mathrm{softmax}(\mathrm{scale} \cdot q_h k_h^T), \qquad \mathrm{out}_h = A_h v_h, \qquad
        S_j = \sum_{i \ge P} \max_h A_{h,i,j}, \quad j \ge P

    The rows of the matrix come in blocks. A block holds whole rows, so its softmax is exact and is not corrected
    afterwards; what is held are two buffers of rows x N (of a short sequence one a head, no larger than the two of
    512 tokens), the output and S. In blocks of N rows or more, and with a scale that is a power of two, out and S are
    those of the plain functions to the bit on a CPU; otherwise products and sums are rounded in another order.

    Arguments:
        q: queries.
        k: keys.
        v: values; their number of features may be another one.
        prefix: number P of prefix tokens; they attend and are attended to, and have no part in S.
        scale: what products of queries and keys are multiplied by; one over the root of the features unless told.
        rows: query rows a block, at least one; :func:`~pomt_ref.streaming.sizes.default_rows` unless told. Fewer need
            less memory.
        check: ``"values"`` checks shapes and values, ``"shapes"`` shapes alone, ``"none"`` options alone.

    Returns:
        out in the dtype of v, and S in [0, N - P], float32 or wider: as :func:`pomt_ref.attention.attention_sums` of
        the matrix would be. Both are differentiable once, in reverse mode, in O(N) memory. Where several heads are the
        strongest, the gradient of S goes to the first; that of the plain function is shared among them.

    Raises:
        PomtError: inputs outside the specification, or that carry tangents of forward mode; products that overflow;
            or memory that runs out: the message then says which ``rows`` to choose.

    Source: arXiv 2407.05941 section 3.3. Deviation: the authors' code holds the matrix of all heads, in the dtype of
    its inputs.

    >>> import torch
    >>> q, k = torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3, 4)
    >>> out, sums = streaming_attention(q, k, torch.ones(1, 2, 3, 1), prefix=1)
    >>> out.flatten(), sums
    (tensor([1., 1., 1., 1., 1., 1.]), tensor([[0.6667, 0.6667]]))
    """
    contracts.options("streaming_attention", check=check)
    rows = boundary.rows_of("streaming_attention", rows)
    contracts.layer("streaming_attention", q=q, k=k, v=v, prefix=prefix, check=check)
    scale = boundary.scale_of("streaming_attention", scale, features=q.shape[-1], dtype=q.dtype)
    refuse_tangents(operators.no_forward_mode, q, k, v)
    out, sums = operators.streaming_attention(q, k, v, contracts.plain(prefix), scale, rows)
    contracts.finite("streaming_attention", "POMT-ATT-1", sums=sums, out=out, check=check)
    return out, sums
