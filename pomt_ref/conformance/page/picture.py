"""A picture of scores: a mark a patch token, the best first, its bound as an error bar, and the cut after T of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pomt_ref.conformance.page.markup import Html, element, together
from pomt_ref.conformance.page.scale import CLOSE, Scale
from pomt_ref.conformance.page.standing import STATES, Standing, State, Token

WIDTH: Final = 440
HEIGHT: Final = 284
TOP: Final = 40
BOTTOM: Final = 236
"""Of the frame; the row numbers stand below."""
RIGHT: Final = 430
DIGIT: Final = 7.6
"""Width of one, in the units of the picture, as all of these."""
CAPPED: Final = 64
"""Error bars at most that end in a stroke; of more, the strokes would run into one another."""
LABEL: Final = 64
"""Half the width of a name beside a mark."""


def picture(standing: Standing, scale: Scale, ranks: Sequence[int], *, title: str) -> Html:
    """Draw the tokens of these ranks.

    Arguments:
        standing: all tokens.
        scale: from a score to a height.
        ranks: of the tokens to be shown, ascending.
        title: what a reader is told who does not see the picture.
    """
    frame = _Frame(scale, ranks)
    parts = [
        element("title", title),
        *frame.lines(),
        *_cut(standing, frame),
        *(_mark(standing.tokens[rank], column, frame) for column, rank in enumerate(ranks)),
        *_pair(standing, frame),
        *_rows(standing, frame),
    ]
    return element("svg", *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=title)


def sample_of(state: State) -> Html:
    """The mark of a state, for the legend."""
    mark = element("path", d=_outline(state, 8.0, 8.0, 5.0), class_=_class(state))
    return element("svg", mark, viewBox="0 0 16 16", class_="sample", aria_hidden="true")


@dataclass(frozen=True)
class _Frame:
    """Where things stand."""

    scale: Scale
    ranks: Sequence[int]

    @property
    def left(self) -> float:
        """Right of the longest number of the scale."""
        return 16 + DIGIT * max((len(said) for _, said in self.scale.ticks), default=0)

    @property
    def column_width(self) -> float:
        """For each token."""
        return (RIGHT - self.left) / len(self.ranks)

    @property
    def radius(self) -> float:
        """Of a mark."""
        return min(5.0, max(1.4, self.column_width * 0.4))

    def edge(self, column: int) -> float:
        """The left edge of a column."""
        return self.left + column * self.column_width

    def x(self, column: int) -> float:
        """The middle of a column."""
        return self.edge(column) + self.column_width / 2

    def y(self, score: float) -> float:
        """The height of a score, downwards."""
        return BOTTOM - (BOTTOM - TOP) * self.scale.height(score)

    def lines(self) -> list[Html]:
        """The lines of the scale, and what they say."""
        drawn = [element("text", self.scale.title, x=4, y=14, class_="axis")]
        for height, said in self.scale.ticks:
            y = _rounded(BOTTOM - (BOTTOM - TOP) * height)
            drawn.append(element("path", d=f"M{_rounded(self.left)},{y}H{RIGHT}", class_="grid"))
            drawn.append(element("text", said, x=_rounded(self.left - 6), y=y + 4, class_="axis", text_anchor="end"))
        return drawn


def _cut(standing: Standing, frame: _Frame) -> list[Html]:
    """The line between what the oracle keeps and what it discards, if it is in the picture."""
    before = sum(rank < standing.keep for rank in frame.ranks)
    if (before == 0 and frame.ranks[0] > standing.keep) or (before == len(frame.ranks)):
        return []
    x = _rounded(frame.edge(before))
    anchor = "start" if x < frame.left + LABEL else "end" if x > RIGHT - LABEL else "middle"
    return [
        element(
            "rect", x=_rounded(frame.left), y=TOP, width=_rounded(x - frame.left), height=BOTTOM - TOP, class_="stay"
        ),
        element("path", d=f"M{x},{TOP}V{BOTTOM}", class_="cut"),
        element("text", f"cut, T = {standing.keep}", x=x, y=TOP - 8, class_="name", text_anchor=anchor),
    ]


def _mark(token: Token, column: int, frame: _Frame) -> Html:
    """One token with its bound."""
    x, y, radius = frame.x(column), frame.y(token.score), frame.radius
    lower, upper = _rounded(frame.y(token.score - token.epsilon)), _rounded(frame.y(token.score + token.epsilon))
    cap = _rounded(min(radius + 3.0, frame.column_width * 0.45))  # seen beside the mark where the bar is short
    bar = f"M{_rounded(x)},{lower}V{upper}"
    caps = (
        "".join(f"M{_rounded(x - cap)},{end}h{2 * cap:g}" for end in (lower, upper))
        if len(frame.ranks) <= CAPPED
        else ""
    )
    told = f"token {token.row}: score {token.score:.9g} ± {token.epsilon:.2g}, {STATES[token.state]}"
    return element(
        "g",
        element("title", told),
        element("path", d=_outline(token.state, x, y, radius), class_=_class(token.state)),
        element("path", d=bar + caps, class_="bar"),
    )


def _pair(standing: Standing, frame: _Frame) -> list[Html]:
    """A ring and a name for both tokens that stand the wrong way round."""
    if standing.pair is None:
        return []
    drawn = []
    for rank, above in ((standing.pair.second, True), (standing.pair.first, False)):
        token = standing.tokens[rank]
        x, y = frame.x(frame.ranks.index(rank)), frame.y(token.score)
        anchor = "start" if x < frame.left + LABEL else "end" if x > RIGHT - LABEL else "middle"
        told = f"{token.row} " + ("discarded" if token.place is None else f"kept, place {token.place}")
        beside = y - 13 if above else y + 22
        drawn.append(element("circle", cx=_rounded(x), cy=_rounded(y), r=_rounded(frame.radius + 4), class_="ring"))
        drawn.append(element("text", told, x=_rounded(x), y=_rounded(beside), class_="name", text_anchor=anchor))
    return drawn


def _rows(standing: Standing, frame: _Frame) -> list[Html]:
    """Which rows of x they are, where there is room for the numbers."""
    few = len(frame.ranks) <= CLOSE
    told = "row of x, best score first" if few else f"{len(frame.ranks)} patch tokens, best score first"
    title = element(
        "text", told, x=_rounded((frame.left + RIGHT) / 2), y=HEIGHT - 10, class_="axis", text_anchor="middle"
    )
    if not few:
        return [title]
    numbers = (
        element(
            "text",
            str(standing.tokens[rank].row),
            x=_rounded(frame.x(column)),
            y=BOTTOM + 18,
            class_="axis",
            text_anchor="middle",
        )
        for column, rank in enumerate(frame.ranks)
    )
    return [together(numbers), title]


def _outline(state: State, x: float, y: float, radius: float) -> str:
    """Circles where oracle and implementation agree, diamonds where not, a square where nobody knows."""
    x, y, r = _rounded(x), _rounded(y), _rounded(radius)
    if state in {"kept", "discarded"}:
        return f"M{_rounded(x - r)},{y}a{r},{r} 0 1,0 {2 * r:g},0a{r},{r} 0 1,0 {-2 * r:g},0z"
    if state == "unknown":
        return f"M{_rounded(x - r)},{_rounded(y - r)}h{2 * r:g}v{2 * r:g}h{-2 * r:g}z"
    r = _rounded(1.35 * radius)
    return f"M{x},{_rounded(y - r)}l{r:g},{r:g}l{-r:g},{r:g}l{-r:g},{-r:g}z"


def _class(state: State) -> str:
    """The name of a state in the style sheet."""
    return f"mark {state.replace(' ', '-')}"


def _rounded(number: float) -> float:
    """A hundredth of a unit is finer than any screen."""
    return round(number, 2)
