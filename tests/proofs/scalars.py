"""The specification once more, one number at a time: what the exported graphs are proved equal to.

It is written from the clauses, with loops over samples, queries, keys and features, and uses no operator on arrays. It
shares no line with the reference, and with the graphs only the algebra of single numbers.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.proofs.algebra import Algebra, Scalar
from tests.proofs.operators import Array, filled


@dataclass(frozen=True)
class Layer:
    """The tensors of one layer, and what arithmetic their numbers are of."""

    algebra: Algebra
    x: Array
    """(batch, tokens, channels)"""
    attn: Array
    """(batch, heads, tokens, tokens)"""
    v: Array
    """(batch, heads, tokens, features)"""
    prefix: int

    @property
    def samples(self) -> range:
        """0, …, B - 1."""
        return range(self.x.shape[0])

    @property
    def heads(self) -> range:
        """0, …, H - 1."""
        return range(self.attn.shape[1])

    @property
    def tokens(self) -> range:
        """0, …, N - 1."""
        return range(self.x.shape[1])

    @property
    def patches(self) -> range:
        """The rows that are no prefix: P, …, N - 1."""
        return range(self.prefix, self.x.shape[1])

    def per_patch(self, entry: Callable[[int, int], Scalar]) -> Array:
        """One number for every sample and patch token."""
        return filled((len(self.samples), len(self.patches)), lambda at: entry(at[0], self.patches[at[1]]))


# ---- POMT-ATT -------------------------------------------------------------------------------------------------------


def head_maximum(layer: Layer) -> Array:
    """POMT-ATT-1: the largest attention that any head gives from a patch query to a patch key."""
    count = len(layer.patches)

    def entry(at: tuple[int, ...]) -> Scalar:
        sample, query, key = at[0], layer.patches[at[1]], layer.patches[at[2]]
        return layer.algebra.maximum([layer.attn[sample, head, query, key] for head in layer.heads])

    return filled((len(layer.samples), count, count), entry)


def attention_sums(layer: Layer) -> Array:
    """POMT-ATT-1: S, the sum of it over the patch queries."""
    strongest, first = head_maximum(layer), layer.prefix
    queries = range(len(layer.patches))
    return layer.per_patch(
        lambda sample, key: layer.algebra.total([strongest[sample, query, key - first] for query in queries])
    )


def largest_sums(layer: Layer, sums: Array, normalisation: str) -> list[Scalar]:
    """POMT-ATT-2: M for every sample: of the whole batch, or of the sample alone."""
    if normalisation == "sample":
        return [layer.algebra.maximum(list(sums[sample])) for sample in layer.samples]
    of_all = layer.algebra.maximum([each for sample in layer.samples for each in sums[sample]])
    return [of_all for _ in layer.samples]


def attention_scores(layer: Layer, normalisation: str) -> Array:
    """POMT-ATT-2: m = S / M."""
    sums, first = attention_sums(layer), layer.prefix
    largest = largest_sums(layer, sums, normalisation)
    return layer.per_patch(lambda sample, key: layer.algebra.quotient(sums[sample, key - first], largest[sample]))


# ---- POMT-MAG, POMT-SCORE -------------------------------------------------------------------------------------------


def value_sums(layer: Layer) -> Array:
    """POMT-MAG-1: t, for every token: the sum over features of the largest value that any head has."""
    features = range(layer.v.shape[3])

    def entry(at: tuple[int, ...]) -> Scalar:
        sample, token = at
        each = [
            layer.algebra.maximum([layer.v[sample, head, token, feature] for head in layer.heads])
            for feature in features
        ]
        return layer.algebra.total(each)

    return filled((len(layer.samples), len(layer.tokens)), entry)


def magnitude_scores(layer: Layer) -> Array:
    """POMT-MAG-1: p, the exponential of t over the sum of those of all tokens, prefix included."""
    sums = value_sums(layer)
    powers = [[layer.algebra.exponential(sums[sample, token]) for token in layer.tokens] for sample in layer.samples]
    totals = [layer.algebra.total(each) for each in powers]
    return layer.per_patch(lambda sample, token: layer.algebra.quotient(powers[sample][token], totals[sample]))


def scores(layer: Layer, normalisation: str) -> Array:
    """POMT-SCORE-1: s = m + p."""
    attention, magnitude, first = attention_scores(layer, normalisation), magnitude_scores(layer), layer.prefix
    return layer.per_patch(lambda sample, token: attention[sample, token - first] + magnitude[sample, token - first])


def class_scores(layer: Layer, class_index: int) -> Array:
    """TOPK-1: the mean over heads of the attention from the class row."""
    return layer.per_patch(
        lambda sample, key: (
            layer.algebra.total([layer.attn[sample, head, class_index, key] for head in layer.heads]) / len(layer.heads)
        )
    )


# ---- POMT-RANK, POMT-PRUNE ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ranking:
    """The patch tokens of a layer by their scores."""

    layer: Layer
    scores: Array
    ranks: Array
    """For every sample and patch token: how many come before it."""

    def at(self, sample: int, rank: int, value: Callable[[int], Scalar], *, index: bool = False) -> Scalar:
        """What the patch token with a rank has as its value."""
        found = self.layer.algebra.undefined(index=index)
        for place, token in enumerate(self.layer.patches):
            here = self.layer.algebra.equals(self.ranks[sample, place], rank)
            found = self.layer.algebra.choose(here, value(token), found)
        return found

    def rows(self, wanted: range) -> Array:
        """POMT-PRUNE-4: rows of x with these ranks, as the input numbers them."""
        shape = (len(self.layer.samples), len(wanted))
        return filled(shape, lambda at: self.at(at[0], wanted[at[1]], lambda token: token, index=True))

    def channel(self, sample: int, rank: int, channel: int) -> Scalar:
        """POMT-PRUNE-2: one number of the row with a rank."""
        return self.at(sample, rank, lambda token: self.layer.x[sample, token, channel])

    def score(self, sample: int, rank: int) -> Scalar:
        """The score of the patch token with a rank."""
        return self.at(sample, rank, lambda token: self.scores[sample, token - self.layer.prefix])


def ranking(layer: Layer, scores: Array) -> Ranking:
    """POMT-RANK-1: before a token come those that score more, and of those that score the same, the lower index."""
    first = layer.prefix

    def rank(sample: int, token: int) -> Scalar:
        own = scores[sample, token - first]
        return layer.algebra.number_of(
            layer.algebra.before(scores[sample, other - first], own, wins_ties=other < token)
            for other in layer.patches
            if other != token
        )

    return Ranking(layer, scores, layer.per_patch(rank))


Appended = Callable[[Ranking, range, int, int], Scalar]
"""A number of the appended row, from the ranks that are discarded, the sample and the channel."""


def mean(ranked: Ranking, discarded: range, sample: int, channel: int) -> Scalar:
    """POMT-PRUNE-3: the arithmetic mean of the discarded rows."""
    rows = [ranked.channel(sample, rank, channel) for rank in discarded]
    return ranked.layer.algebra.total(rows) / len(rows)


def weighted(ranked: Ranking, discarded: range, sample: int, channel: int) -> Scalar:
    """EVIT-1: the sum of score times row over the discarded rows."""
    algebra = ranked.layer.algebra
    return algebra.total(
        [algebra.product(ranked.score(sample, rank), ranked.channel(sample, rank, channel)) for rank in discarded]
    )


def weighted_average(ranked: Ranking, discarded: range, sample: int, channel: int) -> Scalar:
    """EVIT-1 with ``normalise=True``: that sum over the sum of the scores."""
    divisor = ranked.layer.algebra.total([ranked.score(sample, rank) for rank in discarded])
    return ranked.layer.algebra.quotient(weighted(ranked, discarded, sample, channel), divisor)


def step(ranked: Ranking, keep: int, appended: Iterable[Appended]) -> dict[str, Array]:
    """POMT-PRUNE-1: the prefix rows, the T best in rank order, and what is appended: every field of the result."""
    layer = ranked.layer
    kept, discarded = range(keep), range(keep, len(layer.patches))
    extra = list(appended)

    def entry(at: tuple[int, ...]) -> Scalar:
        sample, row, channel = at
        if row < layer.prefix:
            return layer.x[sample, row, channel]
        if row < layer.prefix + keep:
            return ranked.channel(sample, row - layer.prefix, channel)
        return extra[row - layer.prefix - keep](ranked, discarded, sample, channel)

    shape = (len(layer.samples), layer.prefix + keep + len(extra), layer.x.shape[2])
    return {
        "tokens": filled(shape, entry),
        "kept": ranked.rows(kept),
        "discarded": ranked.rows(discarded),
        "scores": ranked.scores,
    }


def stages(layer: Layer, normalisation: str) -> dict[str, Array]:
    """Every stage before the order, by the name of its field in a trace."""
    sums = attention_sums(layer)
    largest = largest_sums(layer, sums, normalisation)
    samples = len(layer.samples) if normalisation == "sample" else 1
    return {
        "head_maximum": head_maximum(layer),
        "sums": sums,
        "largest": filled((samples, 1), lambda at: largest[at[0]]),
        "attention": attention_scores(layer, normalisation),
        "value_sums": value_sums(layer),
        "magnitude": magnitude_scores(layer),
        "scores": scores(layer, normalisation),
    }


def after_order(ranked: Ranking, keep: int) -> dict[str, Array]:
    """Every stage after it."""
    layer, samples = ranked.layer, len(ranked.layer.samples)
    every = range(len(layer.patches))
    discarded = every[keep:]

    def gap(at: tuple[int, ...]) -> Scalar:
        if keep == 0:
            return layer.algebra.infinity
        return ranked.score(at[0], keep - 1) - ranked.score(at[0], keep)

    return step(ranked, keep, [mean]) | {
        "order": ranked.rows(every),
        "gap": filled((samples,), gap),
        "mean": filled((samples, 1, layer.x.shape[2]), lambda at: mean(ranked, discarded, at[0], at[2])),
    }
