"""LIN-1 · certificates: which tokens a pruning step keeps, whatever the perturbation."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from pomt_ref.bounds.asking import checked_step
from pomt_ref.bounds.box import CLAUSE, Box, refuse
from pomt_ref.bounds.claims import malformed
from pomt_ref.bounds.deciding import certain_order, fates, mean_bounds
from pomt_ref.bounds.differences import (
    attention_difference,
    attention_sum_bounds,
    batch_max_bounds,
    share_difference,
)
from pomt_ref.bounds.extremal import Extremal, extremal_point
from pomt_ref.bounds.margins import score_margin
from pomt_ref.bounds.replay import Replay, replay
from pomt_ref.bounds.softmax import softmax_bounds
from pomt_ref.bounds.steps import Arithmetic, Step
from pomt_ref.errors import CountError, KindError, OptionError
from pomt_ref.types import Normalisation


@dataclass(frozen=True, eq=False)
class Certificate:
    """LIN-1: what is certain of one pruning step over a box of inputs; patches are counted without the prefix."""

    step: Step = field(repr=False)
    """What was asked: the boxes and the options."""
    kept: Bool[Tensor, "batch patches"]
    """Patches that every point of the box keeps."""
    discarded: Bool[Tensor, "batch patches"]
    """Patches that every point of the box discards."""
    order: Bool[Tensor, "batch patches patches"] = field(repr=False)
    """Row i, column j: whether s_i > s_j at every point of the box."""
    attention: Box = field(repr=False)
    """Bounds of D_ij = S_i - S_j, (batch, patches, patches)."""
    values: Box = field(repr=False)
    """Bounds of δ_ij = p_i - p_j, (batch, patches, patches)."""
    largest: Box = field(repr=False)
    """Bounds of M, (1, 1), or (batch, 1) for ``normalisation="sample"``."""
    margin: Float64[Tensor, "batch patches"] = field(repr=False)
    """What floating-point arithmetic may add to a score; zero for ``arithmetic="real"``."""
    mean: Box | None = field(default=None, repr=False)
    """Bounds of the mean row, (batch, channels); none where x was not given."""
    weights: Float64[Tensor, "batch patches patches heads"] | None = field(default=None, repr=False)
    """What a certificate of tokens was searched for, so that whoever checks it need not search: for every query (row)
    and key (column), by which weights the planes of the heads are mixed. Any weights are sound."""

    @property
    def undetermined(self) -> Bool[Tensor, "batch patches"]:
        """Patches of which the box decides nothing."""
        return ~(self.kept | self.discarded)

    @property
    def share(self) -> float:
        """The share of patches whose fate is certain, in [0, 1]."""
        return float((self.kept | self.discarded).double().mean())

    def check(self) -> Replay:
        """LIN-1: derive every claim again, with integers and multiprecision arithmetic in place of float64.

        The margins of an arithmetic are derived again too, from sums in integers, by the formulas of FLOAT-1 and
        FLOAT-2 that made them. What is no certificate, because its shapes or its step cannot be, is refuted.

        A certificate of tokens is derived again from the tokens and the layer: the boxes of logits and values, and
        planes in the tokens, each of which is held against a condition that suffices for it to be sound.

        Returns:
            what was replayed and what was refuted; true if nothing was. Its cost grows with heads x patches³: seconds
            for 64 patches, about a minute for 196. For a certificate of tokens it grows with heads² x patches³ x
            channels: two seconds for 16 patches, about half a minute for 32 patches and 192 channels.
        """
        names = ("order", "kept", "discarded", "margin", "attention", "values", "largest", "mean", "weights")
        faults = tuple(malformed(self.step, {name: getattr(self, name) for name in names}))
        if faults:
            return Replay(0, 0, faults)
        return replay(
            self.step,
            order=self.order.cpu().numpy(),
            kept=self.kept.cpu().numpy(),
            discarded=self.discarded.cpu().numpy(),
            margin=self.margin.cpu().numpy(),
            ranges={
                name: (box.lo.cpu().numpy(), box.hi.cpu().numpy())
                for name, box in (("attention", self.attention), ("values", self.values), ("largest", self.largest))
            },
            mean=None if self.mean is None else (self.mean.lo.cpu().numpy(), self.mean.hi.cpu().numpy()),
            weights=None if self.weights is None else self.weights.cpu().numpy(),
        )

    def counterexample(self, i: int, j: int, *, sample: int = 0) -> Extremal:
        """LIN-1: the point of the box where patch i is furthest below patch j: D and δ are both at their least there.

        Arguments:
            i: a patch, in [0, n).
            j: another patch.
            sample: of the batch.

        Returns:
            the point, and the difference of the two scores at it. If it is not positive, the point is a counterexample
            to "i before j"; if it is, only M stands between the bound and the truth. Where logits of a row or value
            sums spread so far that their exponentials leave float64, the point is near the furthest, and the
            difference no more than what float64 makes of it.

        Raises:
            PomtError: patches or samples that are not there, or a pair whose order is certain: it has no
                counterexample.
        """
        samples, patches, _ = self.order.shape
        for name, value, most in (("i", i, patches), ("j", j, patches), ("sample", sample, samples)):
            if isinstance(value, bool) or not isinstance(value, int):
                raise KindError("counterexample", CLAUSE, f"{name}, an int", f"{name}={value!r}")
            if not 0 <= value < most:
                raise CountError("counterexample", CLAUSE, f"0 <= {name} <= {most - 1}", f"{name}={value}")
        if i == j:
            raise CountError("counterexample", CLAUSE, "two patches", f"i={i}, j={j}")
        if bool(self.order[sample, i, j]):
            got = f"order[{sample}, {i}, {j}], which is certain"
            raise OptionError("counterexample", CLAUSE, "a pair whose order is not certain", got)
        return extremal_point(self.step, i, j, sample)


def certify(
    *,
    values: Box,
    logits: Box | None = None,
    attention: Box | None = None,
    x: Box | None = None,
    prefix: int = 1,
    keep: int | None = None,
    remove: int | None = None,
    normalisation: Normalisation = "batch",
    arithmetic: Arithmetic = "real",
) -> Certificate:
    r"""LIN-1: which patches one step of POMT keeps, which it discards, and in what order, at every point of a box.

    .. math:: s_i > s_j \iff D_{ij} + M \delta_{ij} > 0

    Arguments:
        values: bounds of v, (batch, heads, tokens, features).
        logits: bounds of the attention logits before softmax, (batch, heads, tokens, tokens).
        attention: bounds of the attention after softmax, of the same shape, every entry on its own: rows need not sum
            to one. Exactly one of ``logits`` and ``attention``.
        x: bounds of the tokens, (batch, tokens, channels): with them the mean row is bounded too. They are taken as
            independent of the rest.
        prefix: number P of prefix tokens.
        keep: number T of patches kept, 0 <= T <= N - P - 1.
        remove: number R that the sequence shrinks by; exactly one of ``keep`` and ``remove``.
        normalisation: over what M is taken, see :func:`pomt_ref.attention_score`.
        arithmetic: ``"real"`` certifies the exact scores; ``"float32"`` and ``"float64"`` every run of a conforming
            implementation in that arithmetic too (FLOAT-1), from the logits or the attention on.

    Returns:
        the certificate. Whatever it calls certain holds for every point of the box at which the step is defined.

    Raises:
        PomtError: shapes, counts and options outside the specification, or bounds that are not finite: no certificate
            is made from them.

    >>> logits = torch.tensor([[[[0.0, 3.0, 1.0], [0.0, 3.0, 1.0], [0.0, 3.0, 1.0]]]])
    >>> certificate = certify(logits=Box.around(logits, 0.1), values=Box.point(torch.zeros(1, 1, 3, 2)), keep=1)
    >>> certificate.kept, certificate.discarded, bool(certificate.check())
    (tensor([[ True, False]]), tensor([[False,  True]]), True)
    """
    step = checked_step(
        "certify",
        values=values,
        logits=logits,
        attention=attention,
        x=x,
        prefix=prefix,
        keep=keep,
        remove=remove,
        normalisation=normalisation,
        arithmetic=arithmetic,
    )
    sums, difference = sum_bounds(step)
    return decide(step, sums=sums, attention=difference)


def sum_bounds(step: Step) -> tuple[Box, Box]:
    """Bounds of S and of D, from the logits or from the attention."""
    if step.logits is not None:
        sums = attention_sum_bounds(softmax_bounds(step.logits), prefix=step.prefix)
        return sums, attention_difference(step.logits, prefix=step.prefix)
    assert step.attention is not None  # noqa: S101 -- a step has exactly one of the two
    sums = attention_sum_bounds(step.attention, prefix=step.prefix)
    sup = torch.nextafter(sums.hi.unsqueeze(2) - sums.lo.unsqueeze(1), torch.full_like(sums.hi.unsqueeze(2), torch.inf))
    sup.diagonal(dim1=1, dim2=2).zero_()
    return sums, Box(-sup.mT, sup)


def decide(step: Step, *, sums: Box, attention: Box) -> Certificate:
    """A certificate from bounds of S and D, however they were found."""
    largest = batch_max_bounds(sums, normalisation=step.normalisation)
    if step.attention is not None:
        # A softmax is never zero: for logits a lower bound of zero is underflow, and sound.
        expected = "some patch-to-patch attention above zero at every point of the box"
        refuse("certify", expected, "M", largest.lo, largest.lo <= 0, clause="POMT-ATT-2")
    values = share_difference(step.value_sums, prefix=step.prefix)
    margin = score_margin(step, sums, largest)
    order = certain_order(attention, values, largest, margin)
    fate = fates(order, keep=step.keep)
    mean = None
    if step.x is not None:
        mean = mean_bounds(step.x, fate, prefix=step.prefix, keep=step.keep, arithmetic=step.arithmetic)
    return Certificate(step, fate.kept, fate.discarded, order, attention, values, largest, margin, mean)
