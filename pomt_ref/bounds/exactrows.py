"""LIN-1 · one row of logits over a box of tokens, in integers: how far they can be apart, and what shares they have."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from pomt_ref.bounds.exactlayer import ExactForms
from pomt_ref.bounds.fixedpoint import (
    Decisions,
    Integers,
    ceiling,
    decisions,
    exponentials_down,
    exponentials_up,
    integers,
    whole,
)

LARGEST_ARGUMENT: Final = 1000
"""Logits that may differ by more have shares of which nothing is known; their exponentials would fill the memory."""


@dataclass(frozen=True)
class ExactRow:
    """One row of one head: what its logits can do over the box of tokens, in units of 2^-bits."""

    forms: ExactForms
    own: Integers
    """(keys, channels): what the logits have on the token of the query."""
    others: Integers
    """(keys,): what the other tokens move them by."""
    head: int
    query: int
    prefix: int
    """Targets are the keys from here on."""
    low: Integers
    """The least of logit m less logit k, (targets k, keys m)."""
    high: Integers
    """The largest, (targets, keys)."""

    @property
    def center(self) -> Integers:
        """The logits at the center, (keys,)."""
        return whole(self.forms.center[self.head, self.query])

    @cached_property
    def center_exponentials(self) -> Integers:
        """Relative to the largest, (keys,), rounded down."""
        return exponentials_down(whole(self.center - self.center.max()), self.forms.bits)

    @cached_property
    def weights(self) -> Integers:
        """The shares at the center, (keys,), rounded so that they sum to exactly one."""
        shares = (self.center_exponentials << self.forms.bits) // self.center_exponentials.sum()
        shares[shares.argmax()] += (1 << self.forms.bits) - shares.sum()
        return whole(shares)

    @cached_property
    def least_exponentials(self) -> Integers:
        """Of the differences, (targets, keys), rounded down."""
        limited = np.minimum(self.low, LARGEST_ARGUMENT << self.forms.bits)
        return exponentials_down(whole(limited), self.forms.bits)

    @cached_property
    def most_exponentials(self) -> Integers:
        """Of the differences, (targets, keys), rounded up; of no meaning where they are ``far``."""
        limited = np.minimum(self.high, LARGEST_ARGUMENT << self.forms.bits)
        return exponentials_up(whole(limited), self.forms.bits)

    @cached_property
    def far(self) -> Decisions:
        """Whether any difference may be beyond the largest argument, (targets,)."""
        return decisions((self.high > LARGEST_ARGUMENT << self.forms.bits).any(axis=1))

    @cached_property
    def least_shares(self) -> Integers:
        """A lower bound of the share of every target: one over the sum of the highest exponentials."""
        quotient = (1 << 2 * self.forms.bits) // self.most_exponentials.sum(axis=1)
        return whole(np.where(self.far, 0, quotient))

    @cached_property
    def most_shares(self) -> Integers:
        """An upper bound of the share of every target, at most one."""
        total = self.least_exponentials.sum(axis=1)
        return whole(np.minimum(ceiling(integers([1 << 2 * self.forms.bits]), total), 1 << self.forms.bits))

    @cached_property
    def alone(self) -> Integers:
        """How far every logit goes from its center, (keys,)."""
        moves = (abs(self.own) * self.forms.radius[self.query]).sum(axis=1) + self.others
        rest = self.forms.remainder[self.head, self.query]
        return whole(self.forms.reach(moves << self.forms.bits, rest << self.forms.bits))

    def reach(self, slopes: Integers) -> Integers:
        """How far planes (planes, keys) go from their values at the center, (planes,)."""
        radius = self.forms.radius[self.query]
        moves = (abs(slopes @ self.own) * radius).sum(axis=1) + abs(slopes) @ self.others
        rest = abs(slopes) @ self.forms.remainder[self.head, self.query]
        return whole(self.forms.reach(moves, rest))


def exact_row(forms: ExactForms, logits: tuple[Integers, Integers], head: int, query: int, prefix: int) -> ExactRow:
    """A row from the forms and from bounds of all logits, (heads, queries, keys), whichever say more."""
    own, others = forms.own(query)[head], forms.others(query)[head]
    center, rest, radius = forms.center[head, query], forms.remainder[head, query], forms.radius[query]
    moves = np.stack([(abs(own - target) * radius).sum(axis=1) for target in own[prefix:]])
    moves = moves + others + others[prefix:, None]
    reach = forms.reach(moves << forms.bits, (rest + rest[prefix:, None]) << forms.bits)
    middle = center - center[prefix:, None]
    low, high = (side[head, query] for side in logits)
    least = np.maximum(middle - reach, low - high[prefix:, None])
    most = np.minimum(middle + reach, high - low[prefix:, None])
    for bound in (least, most):
        np.fill_diagonal(bound[:, prefix:], 0)
    return ExactRow(forms, own, others, head, query, prefix, whole(least), whole(most))
