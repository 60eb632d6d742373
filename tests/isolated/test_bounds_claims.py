"""LIN-1: whoever forges a certificate is refuted, with a reason and without an exception."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest
import torch

from pomt_ref.bounds import AttentionLayer, Box, Certificate, certify, certify_tokens
from pomt_ref.bounds.replaymargins import rounded
from properties.bounds import make_problem, make_token_problem

ROWS: Final = torch.tensor([[[9.0], [1.0], [2.0], [4.0]]])
LOGITS: Final = torch.tensor([[[[0.0, 3.0, 1.0, 2.0]] * 4] * 2])
VALUES: Final = torch.zeros(1, 2, 4, 3)
LAYER: Final = AttentionLayer(*(torch.ones(2, 3, 1),) * 3, *(torch.zeros(2, 3),) * 3)


def of_logits(**options: Any) -> Certificate:  # noqa: ANN401 -- options of certify
    """A certificate of three patches, of which one is kept."""
    return certify(logits=Box.around(LOGITS, 0.1), values=Box.point(VALUES), keep=1, **options)


def of_tokens(**options: Any) -> Certificate:  # noqa: ANN401 -- options of certify_tokens
    """A certificate of a box of tokens."""
    return certify_tokens(Box.around(ROWS, 0.01), LAYER, keep=1, **options)


def stepped(certificate: Certificate, **changes: Any) -> Certificate:  # noqa: ANN401 -- fields of a step
    """A certificate whose step was changed afterwards."""
    return replace(certificate, step=replace(certificate.step, **changes))


FORGED: Final[dict[str, tuple[Callable[[], Certificate], str]]] = {
    "kept is cut": (
        lambda: replace(of_logits(), kept=of_logits().kept[:, :1]),
        "kept: torch.bool (1, 1), not torch.bool (1, 3)",
    ),
    "discarded is none": (lambda: replace(of_logits(), discarded=None), "discarded: NoneType, not torch.bool (1, 3)"),  # type: ignore[arg-type]
    "order is of another batch": (
        lambda: replace(of_logits(), order=of_logits().order[:0]),
        "order: torch.bool (0, 3, 3), not torch.bool (1, 3, 3)",
    ),
    "margin is NaN": (lambda: replace(of_logits(), margin=of_logits().margin * torch.nan), "margin: not finite"),
    "weights are NaN": (
        lambda: replace(of_tokens(), weights=torch.full((1, 3, 3, 2), torch.nan, dtype=torch.float64)),
        "weights: not finite",
    ),
    "values are no box": (lambda: replace(of_logits(), values=None), "values: NoneType, not a Box (1, 3, 3)"),  # type: ignore[arg-type]
    "largest is of another shape": (
        lambda: replace(of_logits(), largest=Box.point(torch.ones(2, 1))),
        "largest: (2, 1), not a Box (1, 1)",
    ),
    "mean without x": (lambda: replace(of_logits(), mean=Box.point(torch.ones(1, 1))), "mean: of a step without x"),
    "mean of other channels": (
        lambda: replace(of_logits(x=Box.point(ROWS)), mean=Box.point(torch.ones(1, 2))),
        "mean: (1, 2), not a Box (1, 1)",
    ),
    "step is none": (lambda: replace(of_logits(), step=None), "step: no Step"),  # type: ignore[arg-type]
    "keep is out of range": (
        lambda: stepped(of_logits(), keep=3),
        "step: check: expected 0 <= keep <= 2 (POMT-PRUNE-1), got keep=3 (tokens=4, prefix=1)",
    ),
    "keep is negative": (
        lambda: stepped(of_logits(), keep=-1),
        "step: check: expected 0 <= keep <= 2 (POMT-PRUNE-1), got keep=-1 (tokens=4, prefix=1)",
    ),
    "layer is none": (lambda: stepped(of_tokens(), layer=None), "step: tokens, layer and logits not together"),
    "layer of other heads": (
        lambda: stepped(of_tokens(), layer=AttentionLayer(*(torch.ones(1, 3, 1),) * 3, *(torch.zeros(1, 3),) * 3)),
        "step: a layer of other heads or features than the values",
    ),
    "tokens of another shape": (
        lambda: stepped(of_tokens(), tokens=Box.point(ROWS[:, :3])),
        "step: tokens of another shape than the layer and the values",
    ),
    "value sums of another shape": (
        lambda: stepped(of_logits(), value_sums=Box.point(torch.ones(1, 3))),
        "step: value sums of another shape",
    ),
    "arithmetic that cannot hold the values": (
        lambda: stepped(of_logits(), values=Box.point(VALUES + 3e38), arithmetic="float32"),
        "margin: certify: expected sums that the arithmetic holds (FLOAT-1), got margin[0, 0] = inf",
    ),
    "arithmetic that cannot add the rows": (
        lambda: stepped(of_logits(x=Box.point(ROWS.double() * 1e200)), arithmetic="float32"),
        "mean: certify: expected rows of x that the arithmetic can add (FLOAT-2), got size[0, 0] = 3e+200",
    ),
}
"""Certificates that are none, and the reason that is told."""


@pytest.mark.parametrize("name", FORGED)
def test_what_is_no_certificate_is_refuted(name: str) -> None:
    forge, reason = FORGED[name]
    replay = forge().check()
    assert not replay
    assert reason in replay.refuted


def test_a_reversed_order_under_a_negative_margin_is_refuted() -> None:
    certificate = of_logits()
    forged = replace(
        certificate,
        margin=certificate.margin - 100,
        order=certificate.order.mT,
        kept=certificate.discarded,
        discarded=certificate.kept,
    )
    refuted = forged.check().refuted
    assert {"margin[0, 0]", "order[0, 1, 0]", "kept[0, 1]", "discarded[0, 0]"} <= {*refuted}


@pytest.mark.long
@pytest.mark.parametrize("arithmetic", ["real", "float32", "float64"])
@pytest.mark.parametrize("make", [make_problem, make_token_problem], ids=["logits", "tokens"])
def test_a_margin_that_is_smaller_is_refuted(make: Callable[..., Any], arithmetic: str) -> None:
    """By a billionth; a larger one says less than is true, and is confirmed."""
    for seed in range(3):
        certificate = make(seed, radius=0.02).certify(arithmetic=arithmetic)
        assert certificate.check()
        assert replace(certificate, margin=certificate.margin + 1e-9).check()
        smaller = replace(certificate, margin=certificate.margin * (1 - 1e-9) - 1e-300)
        assert smaller.check().refuted == tuple(f"margin[0, {place}]" for place in range(certificate.kept.shape[1]))


def test_a_mean_row_without_the_margin_of_its_arithmetic_is_refuted() -> None:
    exact, single = (of_logits(x=Box.point(ROWS), arithmetic=each) for each in ("real", "float32"))
    assert single.check()
    assert replace(single, mean=exact.mean).check().refuted == ("mean[0, 0]", "mean[0, 0]")


def test_fractions_are_rounded_outward() -> None:
    import numpy as np  # noqa: PLC0415 -- only here

    third = np.array([1], dtype=object)
    assert 3 * rounded(third, 3, -1).item().as_integer_ratio()[0] < rounded(third, 3, -1).item().as_integer_ratio()[1]
    assert 3 * rounded(third, 3, 1).item().as_integer_ratio()[0] > rounded(third, 3, 1).item().as_integer_ratio()[1]
    assert rounded(third, 4, 1) == rounded(third, 4, -1) == 0.25
