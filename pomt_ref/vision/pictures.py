"""Pictures of what a pruning step kept: kept patches clear, discarded ones dimmed, rank as colour.

Importing this module needs matplotlib (extra ``plots``); nothing else of the project does. Figures are made without
pyplot, so there is no global state, no window, and nothing to close.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import Float
from torch import Tensor

from pomt_ref.errors import MissingExtraError
from pomt_ref.types import Pruned

try:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle
except ImportError as _error:
    raise MissingExtraError("pictures", "plots", "matplotlib") from _error

COLOURS: Final = "plasma"
"""Colour map of the ranks: dark is best, bright is last; readable without colour vision."""

VEIL: Final = 0.8
"""Opacity of the white that covers a discarded patch, in [0, 1]."""

FRAME: Final = 0.05
"""Distance from the edge of a kept patch to its frame, in sides of a patch."""


SHADES: Final = 230
"""How many of the 256 colours are used: the last ones are too pale on white."""


def rank_colours(keep: int) -> ScalarMappable:
    """The colour of every rank from 1 to ``keep``."""
    bounds = [rank + 0.5 for rank in range(max(keep, 1) + 1)]
    return ScalarMappable(BoundaryNorm(bounds, SHADES), COLOURS)


def show_image(image: Float[Tensor, "rows columns"], *, axes: Axes, patch_side: int = 2, title: str = "") -> None:
    """Draw one image as ink on white, with the borders of its patches.

    Arguments:
        image: pixels in [0, 1], ink is one; both sides divisible by ``patch_side``.
        axes: where to draw.
        patch_side: pixels along one side of a patch.
        title: what stands above it.
    """
    axes.imshow(image.numpy(), cmap="gray_r", vmin=0, vmax=1)
    rows, columns = image.shape
    axes.set_xticks([column - 0.5 for column in range(0, columns + 1, patch_side)])
    axes.set_yticks([row - 0.5 for row in range(0, rows + 1, patch_side)])
    axes.grid(visible=True, color="silver", linewidth=0.8)
    axes.tick_params(length=0, labelbottom=False, labelleft=False)
    axes.set_title(title, fontsize=10)


def show_kept(
    image: Float[Tensor, "rows columns"],
    pruned: Pruned,
    *,
    axes: Axes,
    sample: int = 0,
    prefix: int = 1,
    patch_side: int = 2,
    title: str = "",
) -> None:
    """Draw one image with its kept patches clear, framed and numbered by rank, and the discarded ones dimmed.

    Arguments:
        image: as for :func:`show_image`.
        pruned: the outcome of a pruning step; its indices count the prefix.
        axes: where to draw.
        sample: the place of the image in the batch of ``pruned``.
        prefix: number P of prefix tokens.
        patch_side: as for :func:`show_image`.
        title: as for :func:`show_image`.
    """
    show_image(image, axes=axes, patch_side=patch_side, title=title)
    across = image.shape[1] // patch_side

    def corner(row: int, inset: float) -> tuple[float, float]:
        """The place, in pixels, of the upper left corner of a token's patch, moved inwards by ``inset`` sides."""
        down, right = divmod(row - prefix, across)
        return (right + inset) * patch_side - 0.5, (down + inset) * patch_side - 0.5

    for row in pruned.discarded[sample].tolist():
        veil = Rectangle(corner(row, 0.0), patch_side, patch_side, facecolor="white", alpha=VEIL, linewidth=0)
        veil.set(edgecolor="dimgrey", hatch="///")
        axes.add_patch(veil)
    kept = pruned.kept[sample].tolist()
    colours = rank_colours(len(kept)).to_rgba(np.arange(1, len(kept) + 1)).tolist()
    side = patch_side * (1 - 2 * FRAME)
    for rank, (row, colour) in enumerate(zip(kept, colours, strict=True), start=1):
        axes.add_patch(Rectangle(corner(row, FRAME), side, side, fill=False, edgecolor=colour, linewidth=3))
        label = {"boxstyle": "square,pad=0.2", "facecolor": colour, "edgecolor": "none"}
        left, top = corner(row, 3 * FRAME)
        axes.text(left, top, str(rank), color=_ink(colour), fontsize=8, va="top", ha="left", bbox=label)


def compare_kept(
    images: Float[Tensor, "batch rows columns"],
    pruned: Pruned,
    *,
    titles: Sequence[tuple[str, str]],
    heading: str,
    prefix: int = 1,
    patch_side: int = 2,
) -> Figure:
    """A figure of some images above what a pruning step kept of them, with a legend and a colour bar of the ranks.

    Arguments:
        images: as for :func:`show_image`; a column of the figure each.
        pruned: the outcome of one pruning step on exactly these images.
        titles: what stands above each image, and above the same image pruned.
        heading: what stands above the figure.
        prefix: number P of prefix tokens.
        patch_side: as for :func:`show_image`.

    Returns:
        The figure; ``figure.savefig`` writes it.
    """
    figure = Figure(figsize=(2.5 * len(images) + 1, 6), dpi=100, layout="constrained")
    above, below = figure.subplots(2, len(images), squeeze=False)
    for sample, image in enumerate(images):
        whole, partial = titles[sample]
        show_image(image, axes=above[sample], patch_side=patch_side, title=whole)
        axes: Axes = below[sample]
        show_kept(image, pruned, axes=axes, sample=sample, prefix=prefix, patch_side=patch_side, title=partial)
    keep = pruned.kept.shape[1]
    bar = figure.colorbar(
        rank_colours(keep), ax=below, label="rank of a kept patch, 1 is best", ticks=range(1, keep + 1)
    )
    bar.ax.invert_yaxis()
    figure.suptitle(heading, fontsize=12)
    figure.supxlabel(
        f"numbered and clear: {keep} patches kept · hatched and dim: {pruned.discarded.shape[1]} discarded, "
        "averaged into one token",
        fontsize=9,
    )
    return figure


def _ink(colour: Sequence[float]) -> str:
    """Black on a bright colour, white on a dark one."""
    red, green, blue = colour[:3]
    return "black" if 0.3 * red + 0.6 * green + 0.1 * blue > 0.5 else "white"  # noqa: PLR2004 -- half of full brightness
