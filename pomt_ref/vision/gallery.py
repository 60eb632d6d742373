"""The pictures of the documentation: ``python -m pomt_ref.vision.gallery FOLDER [--seeds 5]``.

Writes ``gallery.png``, six digits before and after a step of POMT; ``scores.png``, the score of three digits in its two
parts; and ``accuracy.png``, what every method costs over R. They are the first test digits: nobody picked them.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pomt_ref.errors import MissingExtraError
from pomt_ref.pruning import prune
from pomt_ref.tracing import trace
from pomt_ref.vision.demo import DRAWN, DRAWN_REMOVE, seed_count
from pomt_ref.vision.digits import Digits, accuracy_table, load_digits, load_model
from pomt_ref.vision.training import reproducible
from pomt_ref.vision.vit import PREFIX, DigitsViT

SHOWN: Final = 6
"""Digits of the gallery."""

REMOVES: Final = tuple(range(1, 16))
"""Every R that 16 patches allow."""


def draw_gallery(model: DigitsViT, digits: Digits, file: Path) -> None:
    """Digits before and after, with what the model makes of them."""
    from pomt_ref.vision.pictures import compare_kept  # noqa: PLC0415 -- only a picture needs matplotlib

    images = digits.images[:SHOWN]
    seen = model.capture(images)
    pruned = prune(seen.x, seen.attn, seen.v, prefix=PREFIX, remove=DRAWN_REMOVE)
    plain = model(images).argmax(dim=1).tolist()
    after = model(images, prune_step=lambda *_: pruned.tokens).argmax(dim=1).tolist()
    titles = [
        (f"a {label}, recognised as {before}", f"pruned: as {digit}")
        for label, before, digit in zip(digits.labels.tolist(), plain, after, strict=False)
    ]
    heading = f"The first {SHOWN} test digits, before and after POMT with R = {DRAWN_REMOVE}"
    compare_kept(images, pruned, titles=titles, heading=heading).savefig(file)


def draw_parts(model: DigitsViT, digits: Digits, file: Path) -> None:
    """The score of some digits, and its two parts."""
    from pomt_ref.vision.scoremaps import draw_scores  # noqa: PLC0415 -- as above

    images = digits.images[:DRAWN]
    seen = model.capture(images)
    stages = trace(seen.x, seen.attn, seen.v, prefix=PREFIX, remove=DRAWN_REMOVE)
    titles = [f"input: a {label}" for label in digits.labels[:DRAWN].tolist()]
    heading = "What ranks a patch: how much it is attended to, and how large its values are"
    draw_scores(images, stages, titles=titles, heading=heading).savefig(file)


def draw_costs(model: DigitsViT, digits: Digits, file: Path, *, seeds: int) -> None:
    """The accuracy of every method at every R."""
    from pomt_ref.vision.accuracycurves import draw_accuracies  # noqa: PLC0415 -- as above

    with reproducible(0):
        rows = list(accuracy_table(model, digits, removes=REMOVES, seeds=seeds))
    note = f"{seeds} seeds, each with its own random share of the {len(digits.labels)} test images; one trained model"
    draw_accuracies(rows, heading="Pruning handwritten digits in the second of four blocks", note=note).savefig(file)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write every picture.

    Returns:
        0; where a package of an extra is missing, the process ends with 2 and says which.
    """
    parser = argparse.ArgumentParser(prog="python -m pomt_ref.vision.gallery", description="Draw pruned digits.")
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("--seeds", type=seed_count, default=5, help="shares of the test images (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        model, digits = load_model(), load_digits("test")
        options.folder.mkdir(parents=True, exist_ok=True)
        draw_gallery(model, digits, options.folder / "gallery.png")
        draw_parts(model, digits, options.folder / "scores.png")
        draw_costs(model, digits, options.folder / "accuracy.png", seeds=options.seeds)
    except MissingExtraError as error:
        parser.exit(2, f"{error}\n")
    return 0


if __name__ == "__main__":  # pragma: no cover -- the command line; tests call main
    raise SystemExit(main())
