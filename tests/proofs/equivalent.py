"""Edits that no statement rejects because they change nothing that the clauses speak of, each with the reason."""

from typing import Final

SORTED: Final = "scores.argsort(dim=1, descending=True, stable=True)"
SUMMED: Final = "return strongest_head.sum(dim=-1, dtype=score_dtype(v.dtype))"

WIDE: Final = "siblings: wide = discarded.to(weights.dtype)"

SAMPLES: Final = "pruning: samples = torch.arange(x.shape[0], device=x.device).unsqueeze(-1)"

REASONS: Final[dict[str, str]] = {
    f"ranking: return {SORTED} + prefix · {SORTED} → scores.argsort(descending=True, stable=True)": (
        "scores have two axes, and the last is what argsort sorts anyway"
    ),
    "magnitude: share = value_sums(v).softmax(dim=-1) · -1 → 1": "sums have two axes, and the last is axis 1",
    f"magnitude: {SUMMED} · v → strongest_head": "a maximum has the dtype of what it is the maximum of",
    f"{SAMPLES} · x → rows": "both have as many samples",
    f"{SAMPLES} · -1 → 1": "of one axis, what is new after it is axis 1",
    f"{WIDE} · discarded.to(weights.dtype) → discarded": "a product is in the wider dtype of its factors anyway",
    f"{WIDE} · weights → discarded": "as the line above: nothing is converted, and the product is in the wider dtype",
}
"""By what the line says."""
