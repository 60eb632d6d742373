"""Latency, accuracy and utility over token counts, drawn, with the choice and the steps of the machine marked.

Importing this module needs matplotlib (extra ``plots``).
"""

from collections.abc import Sequence
from typing import Final

from pomt_ref.choosing import Choice
from pomt_ref.errors import MissingExtraError, ValuesError
from pomt_ref.vision.profiling import Curves
from pomt_ref.vision.steps import latency_steps

try:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
except ImportError as _error:
    raise MissingExtraError("curves", "plots", "matplotlib") from _error

BLUE: Final = "#0b5394"
RED: Final = "#b3261e"
"""The choice."""
GREY: Final = "#767676"

NAMED_STEPS: Final = 6
"""The largest steps carry their token counts; more of them could not be read."""


def draw_curves(curves: Curves, *, title: str, note: str = "") -> Figure:
    """A figure of three panels, one above the other, over the token count.

    Arguments:
        curves: what was measured.
        title: what stands above.
        note: what stands below.

    Returns:
        The figure; ``figure.savefig`` writes it.

    Raises:
        ValuesError: nothing was chosen.
    """
    choice = curves.choice
    if choice is None:
        raise ValuesError("draw_curves", "CHOOSE-1", "curves with a choice", "none: no image was classified right")
    figure = Figure(figsize=(8, 8.5), dpi=100, layout="constrained")
    above, middle, below = figure.subplots(3, 1, sharex=True, height_ratios=[1.4, 1, 1])
    _draw_latency(above, curves, choice)
    what = "accuracy" if curves.labelled else "agreement with\nthe whole model"
    _draw_curve(middle, curves.tokens, [100.0 * share for share in curves.accuracy], f"{what} (%)")
    _draw_curve(below, curves.tokens, choice.utility, "utility U")
    _mark(middle, choice)
    _mark(below, choice)
    below.set_xlabel("tokens k after pruning, prefix and mean token included")
    figure.suptitle(title, fontsize=12)
    figure.supxlabel(note, fontsize=9)
    return figure


def _draw_latency(axes: Axes, curves: Curves, choice: Choice) -> None:
    """Medians, the middle half of the measurements as a band, and the steps."""
    milliseconds = [1000 * timing.median for timing in curves.latency]
    low, high = ([1000 * value for value in side] for side in _band(curves))
    axes.fill_between(curves.tokens, low, high, color=BLUE, alpha=0.2, linewidth=0)
    axes.plot(curves.tokens, milliseconds, color=BLUE, linewidth=1.5)
    axes.set_ylabel("latency (ms, median and\nmiddle half)")
    axes.set_ylim(bottom=0)
    steps = latency_steps(curves.tokens, curves.latency)
    named = sorted(steps, key=lambda step: -abs(step.ratio - 1))[:NAMED_STEPS]
    for step in steps:
        axes.axvline((step.below + step.above) / 2, color=GREY, linewidth=0.8, linestyle=":")
    for step in named:
        said = f"{step.below}→{step.above}: ×{step.ratio:.2f}"
        place = ((step.below + step.above) / 2, axes.get_ylim()[1])
        axes.annotate(
            said, place, xytext=(-2, -3), textcoords="offset points", rotation=90, va="top", ha="right", fontsize=8
        )
    _mark(axes, choice, f"R = {choice.remove}: {choice.tokens} of {curves.tokens[-1]} tokens")


def _draw_curve(axes: Axes, tokens: Sequence[int], values: Sequence[float], label: str) -> None:
    """One curve."""
    axes.plot(tokens, values, color=BLUE, linewidth=1.5)
    axes.set_ylabel(label)


def _mark(axes: Axes, choice: Choice, label: str | None = None) -> None:
    """The chosen token count, as a line."""
    axes.axvline(choice.tokens, color=RED, linewidth=1.5, label=label)
    axes.grid(visible=True, color="gainsboro", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if label is not None:
        axes.legend(loc="lower right", frameon=True)


def _band(curves: Curves) -> tuple[list[float], list[float]]:
    """The quartiles of the latency."""
    return [timing.low for timing in curves.latency], [timing.high for timing in curves.latency]
