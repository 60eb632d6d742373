"""The failures: what is wrong, on which case, where it begins, how the scores stand, and how to see it again."""

import math
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from pomt_ref.conformance.page.clauses import anchor, badge
from pomt_ref.conformance.page.markup import Html, element, together
from pomt_ref.conformance.page.picture import picture, sample_of
from pomt_ref.conformance.page.scale import close_up, whole_scale, widest
from pomt_ref.conformance.page.standing import STATES, Pair, Standing, Token, standing
from pomt_ref.conformance.page.words import many
from pomt_ref.conformance.report import Failure, Report, Row

THREE_DIGITS: Final = 100.0
"""From here on, three digits have no room for a fraction."""
READABLE: Final = 1e9
"""From here on, numbers are written with an exponent."""

LISTED: Final = 16
"""Tokens in the table of a failure at most."""


def failure_articles(report: Report) -> Iterator[Html]:
    """The heading, then every failure; one that says what another has said already refers to it."""
    if not report.failures:
        return
    yield element("h2", "Failures" if not report.conforms else "Known deviations")
    seen: dict[str, int] = {}
    for number, row in enumerate(report.rows, 1):
        if row.failure is None:
            continue
        said = row.failure.message.partition(" wrong: ")[2]
        yield _article(row, row.failure, number, same=seen.get(said))
        seen.setdefault(said, number)


def _article(row: Row, failure: Failure, number: int, *, same: int | None) -> Html:
    """One failure."""
    source = [] if row.source == "generated" else [element("span", f" · {row.source}", class_="faint")]
    heading = element("h3", badge(row.verdict), f" {row.clause}", *source, id=f"heading-{number}")
    parts = [element("p", failure.message, class_="message")]
    if row.reason:
        parts.append(element("p", element("b", "known: "), row.reason))
    if same is None:
        parts += [_facts(failure), *_scores(failure), _snippet(failure)]
    else:
        parts.append(element("p", element("a", "The same is shown above.", href=f"#{anchor(same)}")))
    return element("article", heading, *parts, id=anchor(number), aria_labelledby=f"heading-{number}")


def _facts(failure: Failure) -> Html:
    """The case, where the fault begins, and the command that runs it again."""
    told = [("smallest case", element("code", str(failure.case)))]
    if failure.divergence:
        told.append(("first divergence", Html(element("span", failure.divergence))))
    if failure.replay:
        told.append(("replay", element("code", f"pomt-ref replay {shlex.quote(failure.replay)}")))
    return element("dl", *(together([element("dt", name), element("dd", value)]) for name, value in told))


def _snippet(failure: Failure) -> Html:
    """Python to paste; one click selects it all."""
    summary = element("summary", "Python that shows it again (a click on it selects it all)")
    return element("details", summary, element("pre", element("code", failure.snippet), tabindex="0"))


def _scores(failure: Failure) -> Iterator[Html]:
    """Pictures of the scores, what their marks mean, and the same in numbers."""
    ranking = failure.ranking
    found = None if ranking is None else standing(ranking)
    if ranking is None or found is None:
        yield element("p", "No scores are defined for this case.", class_="faint small")
        return
    whole = _figure(
        f"Scores of sample {ranking.sample} by the oracle",
        picture(found, whole_scale(found), range(len(found.tokens)), title=_described(found)),
    )
    figures = [whole]
    if found.pair is not None:
        scale, ranks = close_up(found, found.pair)
        if len(ranks) < len(found.tokens):
            title = f"Close-up: {_exchanged(found, found.pair)}."
            figures.append(_figure("Close-up of the two in the wrong order", picture(found, scale, ranks, title=title)))
    yield element("div", *figures, class_="pictures")
    yield _legend(found)
    yield element("p", _explained(found), class_="small")
    yield _numbers(found)


def _figure(caption: str, drawn: Html) -> Html:
    """A picture with its caption."""
    return element("figure", element("figcaption", caption), drawn)


def _described(found: Standing) -> str:
    """What the picture shows, for those who do not see it."""
    counts = Counter(token.state for token in found.tokens)
    told = "; ".join(f"{counts[state]} {words}" for state, words in STATES.items() if counts[state])
    wrong = "" if found.pair is None else f" {_exchanged(found, found.pair)}."
    return f"Scores of {many(len(found.tokens), 'patch token')}, best first, the cut after {found.keep}: {told}.{wrong}"


def _exchanged(found: Standing, pair: Pair) -> str:
    """The two tokens in words."""
    first, second = found.tokens[pair.first], found.tokens[pair.second]
    fate = "which is discarded" if second.place is None else f"at place {second.place}"
    return f"token {first.row} is kept at place {first.place}, before token {second.row}, {fate}"


def _legend(found: Standing) -> Html:
    """Only the marks that occur, with how many there are."""
    counts = Counter(token.state for token in found.tokens)
    marks = [
        element("li", sample_of(state), f"{words} ({counts[state]})")
        for state, words in STATES.items()
        if counts[state]
    ]
    return element("ul", *marks, class_="legend", role="list", aria_label="what the marks mean")


def _explained(found: Standing) -> str:
    """The gap beside what rounding explains, and how long the error bars are."""
    largest = widest(found.tokens)
    endless = "a bar from edge to edge has no end" if math.isinf(largest) else f"at most {largest:.2g}"
    bars = f"Error bars are ± ε: {endless}."
    if found.pair is None:
        return bars
    gap, explained = found.pair.gap, found.pair.explained
    times = f", {_plain(gap / explained)} times less" if explained else ""
    return f"The gap is {gap:.2g}; rounding explains {explained:.2g}{times}. {bars}"


def _plain(number: float) -> str:
    """Three digits, without an exponent as long as that can be read.

    >>> _plain(12345.0), _plain(1.2345), _plain(1e12)
    ('12,300', '1.23', '1e+12')
    """
    rounded = float(f"{number:.3g}")
    return f"{rounded:,.0f}" if THREE_DIGITS <= rounded < READABLE else f"{rounded:.3g}"


def _numbers(found: Standing) -> Html:
    """The tokens that matter, in numbers: those in dispute and those around the cut."""
    shown = _chosen(found)
    head = element(
        "tr", *(element("th", name, scope="col") for name in ("row of x", "score", "ε", "oracle", "implementation"))
    )
    rows = (
        element(
            "tr",
            element("th", str(token.row), scope="row"),
            *(
                element("td", cell)
                for cell in (f"{token.score:.9g}", f"{token.epsilon:.2g}", _fate(token.expected), _got(token))
            ),
        )
        for token in shown
    )
    left = (
        ""
        if len(shown) == len(found.tokens)
        else f": {len(shown)} of {len(found.tokens)} tokens, at the cut and in dispute"
    )
    table = element("table", element("thead", head), element("tbody", *rows))
    scrolling = element("div", table, class_="scroll", tabindex="0", role="region", aria_label="scores in numbers")
    return element("details", element("summary", f"The numbers{left}"), scrolling)


def _chosen(found: Standing) -> Sequence[Token]:
    """At most LISTED tokens, best first."""
    order = range(len(found.tokens))
    pair = () if found.pair is None else (found.pair.second, found.pair.first)
    disputed = [rank for rank in order if found.tokens[rank].state in {"kept instead", "missed"}]
    near = sorted(order, key=lambda rank: abs(rank + 0.5 - found.keep))
    chosen = list(dict.fromkeys([*pair, *disputed, *near]))[:LISTED]
    return [found.tokens[rank] for rank in sorted(chosen)]


def _fate(place: int | None) -> str:
    """What becomes of a token."""
    return "discarded" if place is None else f"kept, place {place}"


def _got(token: Token) -> str:
    """What the implementation did with it, marked where that is not what the oracle does."""
    if token.state == "unknown":
        return "not known"
    return _fate(token.place) + (" ≠" if token.place != token.expected else "")
