"""Pictures of certificates: which patches of an image stay kept, which stay discarded, and which are open.

Importing this module needs matplotlib (extra ``plots``), as :mod:`pomt_ref.vision.pictures` does.
"""

from collections.abc import Sequence
from typing import Final

from jaxtyping import Float
from torch import Tensor

from pomt_ref.bounds import Certificate
from pomt_ref.errors import MissingExtraError

try:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle
except ImportError as _error:
    raise MissingExtraError("fates", "plots", "matplotlib") from _error

from pomt_ref.vision.pictures import show_image

KEPT: Final = "#0072b2"
"""Colour of the frame of a patch that stays kept: told from the other one without colour vision."""

OPEN: Final = "#d55e00"
"""Colour of the mark of a patch whose fate is open."""

VEIL: Final = 0.75
"""Opacity of the white that covers a patch that stays discarded, in [0, 1]."""


def show_fates(
    image: Float[Tensor, "rows columns"], certificate: Certificate, *, axes: Axes, patch_side: int = 2, title: str = ""
) -> None:
    """Draw one image with the fate of each patch: framed, veiled, or with a question mark.

    Arguments:
        image: pixels in [0, 1], ink is one.
        certificate: of one image, its patches in reading order.
        axes: where to draw.
        patch_side: pixels along one side of a patch.
        title: what stands above it.
    """
    show_image(image, axes=axes, patch_side=patch_side, title=title)
    across = image.shape[1] // patch_side
    for patch, (kept, discarded) in enumerate(
        zip(certificate.kept[0].tolist(), certificate.discarded[0].tolist(), strict=True)
    ):
        left, top = patch_side * (patch % across) - 0.5, patch_side * (patch // across) - 0.5
        if kept:
            inset, side = 0.1, patch_side - 0.2
            axes.add_patch(Rectangle((left + inset, top + inset), side, side, fill=False, edgecolor=KEPT, linewidth=3))
        elif discarded:
            axes.add_patch(Rectangle((left, top), patch_side, patch_side, facecolor="white", alpha=VEIL, linewidth=0))
        else:
            middle = (left + patch_side / 2, top + patch_side / 2)
            box = {"boxstyle": "circle,pad=0.15", "facecolor": "white", "edgecolor": OPEN, "linewidth": 1.5}
            axes.text(*middle, "?", color=OPEN, fontsize=11, weight="bold", ha="center", va="center", bbox=box)


def compare_fates(
    images: Float[Tensor, "images rows columns"],
    certificates: Sequence[Sequence[Certificate]],
    *,
    radii: Sequence[float],
) -> Figure:
    """A figure: an image a column, an ε a row.

    Arguments:
        images: what was pruned.
        certificates: a row for every ε, in it a certificate for every image.
        radii: ε of the rows.
    """
    figure = Figure(figsize=(2.5 * len(images) + 0.6, 2.7 * len(radii) + 0.8), dpi=100, layout="constrained")
    grid = figure.subplots(len(radii), len(images), squeeze=False)
    for row, radius in enumerate(radii):
        for column, image in enumerate(images):
            certificate = certificates[row][column]
            kept, out = int(certificate.kept.sum()), int(certificate.discarded.sum())
            title = f"{kept} stay kept, {out} discarded"
            show_fates(image, certificate, axes=grid[row, column], title=title)
        grid[row, 0].set_ylabel(f"ε = {radius:g}", fontsize=12)
    figure.suptitle("What POMT is certain to keep, if every token moves by ε", fontsize=12)
    figure.supxlabel("framed: stays kept · veiled: stays discarded · ?: open", fontsize=10)
    return figure
