"""A picture of what pruning costs: accuracy over R, a line a method, the spread over seeds as bars.

Importing this module needs matplotlib (extra ``plots``).
"""

from collections.abc import Sequence
from typing import Final

from pomt_ref.errors import MissingExtraError
from pomt_ref.vision.digits import Accuracies

try:
    from matplotlib.figure import Figure
except ImportError as _error:
    raise MissingExtraError("accuracycurves", "plots", "matplotlib") from _error

STYLES: Final = (
    ("#0b5394", "o"),
    ("#b45f06", "s"),
    ("#6a329f", "^"),
    ("#5f6368", "x"),
    ("#b3261e", "v"),
)
"""Colour and marker of every method, in the order of the table; the markers tell them apart without colour."""

APART: Final = 0.09
"""How far, in R, the bars of two methods stand beside each other."""


def draw_accuracies(rows: Sequence[Accuracies], *, heading: str, note: str) -> Figure:
    """A figure of every method's accuracy over R.

    Arguments:
        rows: as :func:`pomt_ref.vision.digits.accuracy_table` yields them, the unpruned model first.
        heading: what stands above the figure.
        note: what stands below it.

    Returns:
        The figure; ``figure.savefig`` writes it.
    """
    figure = Figure(figsize=(8, 5.2), dpi=100, layout="constrained")
    axes = figure.subplots()
    unpruned, *pruned = rows
    axes.axhline(100 * unpruned.mean, color="black", linewidth=0.8, linestyle="--", label="unpruned")
    methods = list(dict.fromkeys(row.method for row in pruned))
    for place, (method, (colour, marker)) in enumerate(zip(methods, STYLES, strict=False)):
        found = [row for row in pruned if row.method == method]
        shift = APART * (place - (len(methods) - 1) / 2)
        axes.errorbar(
            [row.remove + shift for row in found],
            [100 * row.mean for row in found],
            yerr=[100 * row.deviation for row in found],
            color=colour,
            marker=marker,
            markersize=5,
            linewidth=1.4,
            elinewidth=0.8,
            capsize=2,
            label=method,
        )
    axes.set_xlabel("R: how many of 17 tokens the sequence is shorter")
    axes.set_ylabel("test accuracy (%), mean ± standard deviation")
    axes.grid(visible=True, color="gainsboro", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower left")
    figure.suptitle(heading, fontsize=12)
    figure.supxlabel(note, fontsize=9)
    return figure
