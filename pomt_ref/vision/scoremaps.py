"""Pictures of the score: over every patch its attention part, its magnitude part, and the sum that ranks.

Importing this module needs matplotlib (extra ``plots``).
"""

from collections.abc import Sequence
from typing import Final

from jaxtyping import Float
from torch import Tensor

from pomt_ref.errors import MissingExtraError
from pomt_ref.types import Trace

try:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
except ImportError as _error:
    raise MissingExtraError("scoremaps", "plots", "matplotlib") from _error

from pomt_ref.vision.pictures import show_image

PARTS: Final = (
    ("attention m", "POMT-ATT-2", 1.0),
    ("magnitude p", "POMT-MAG-1", 1.0),
    ("score s = m + p", "POMT-SCORE-1", 2.0),
)
"""Name, clause and largest value of the three maps."""

MAP: Final = "viridis"
"""Colour map of the scores: perceptually even, readable without colour vision."""


def draw_scores(
    images: Float[Tensor, "batch rows columns"],
    stages: Trace,
    *,
    titles: Sequence[str],
    heading: str,
    patch_side: int = 2,
) -> Figure:
    """A figure with an image a row, and beside it the two parts of every patch's score and their sum.

    Arguments:
        images: pixels in [0, 1], ink is one.
        stages: :func:`pomt_ref.trace` of exactly these images; kept patches are framed.
        titles: what stands above each image.
        heading: what stands above the figure.
        patch_side: pixels along one side of a patch.

    Returns:
        The figure; ``figure.savefig`` writes it.
    """
    figure = Figure(figsize=(10.5, 2.6 * len(images) + 0.8), dpi=100, layout="constrained")
    panels = figure.subplots(len(images), 1 + len(PARTS), squeeze=False)
    across = images.shape[2] // patch_side
    kept = stages.kept - (stages.value_sums.shape[1] - stages.scores.shape[1])
    for sample, image in enumerate(images):
        show_image(image, axes=panels[sample][0], patch_side=patch_side, title=titles[sample])
        for axes, (name, clause, top), values in zip(
            panels[sample][1:], PARTS, (stages.attention, stages.magnitude, stages.scores), strict=True
        ):
            grid = values[sample].reshape(-1, across)
            drawn = axes.imshow(grid.numpy(), cmap=MAP, vmin=0, vmax=top)
            axes.set_title(f"{name}\n({clause})" if sample == 0 else "", fontsize=10)
            axes.set(xticks=[], yticks=[])
            _write_values(axes, grid, top)
            if sample == len(images) - 1:
                figure.colorbar(drawn, ax=[row[PARTS.index((name, clause, top)) + 1] for row in panels], shrink=0.8)
        _frame(panels[sample][-1], kept[sample].tolist(), across)
    figure.suptitle(heading, fontsize=12)
    figure.supxlabel("framed: the patches that are kept. All maps of a column have one scale", fontsize=9)
    return figure


def _write_values(axes: Axes, grid: Float[Tensor, "down across"], top: float) -> None:
    """Every value as a number, in an ink that can be read."""
    for down, row in enumerate(grid.tolist()):
        for right, value in enumerate(row):
            ink = "black" if value > 0.6 * top else "white"
            axes.text(right, down, f"{value:.2f}", ha="center", va="center", fontsize=7.5, color=ink)


def _frame(axes: Axes, patches: Sequence[int], across: int) -> None:
    """Frame patches by their place in reading order."""
    for patch in patches:
        down, right = divmod(patch, across)
        corners = ((-0.46, -0.46), (0.46, -0.46), (0.46, 0.46), (-0.46, 0.46), (-0.46, -0.46))
        axes.plot(
            [right + x for x, _ in corners],
            [down + y for _, y in corners],
            color="#ff5a36",
            linewidth=2.2,
            clip_on=False,
        )
