"""Real digits, pruned: ``python -m pomt_ref.vision.demo [--seeds 5] [--captured FILE] [--picture FILE]``.

Prints the test accuracy of the packaged transformer unpruned and with R = 4, 8 and 12 of POMT, Top-K, EViT and random
pruning. Each seed has its own random share of the 599 test images (the same share for every method) and seeds the
random orders: the mean over seeds is the accuracy on all test images, the standard deviation that between shares, of
one trained model. Optionally writes what the pruning step receives for 64 real digits, and a picture of what POMT
keeps of three.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table
from safetensors.torch import save

from pomt_ref.errors import MissingExtraError
from pomt_ref.pruning import prune
from pomt_ref.vision.digits import Accuracies, Digits, accuracy_table, load_digits, load_model
from pomt_ref.vision.training import reproducible
from pomt_ref.vision.vit import PREFIX, DigitsViT

REMOVES: Final = (4, 8, 12)
"""The R of the table, beside R = 0: a quarter, a half and three quarters of the 16 patches."""

CAPTURED: Final = 64
"""Number of test digits whose tensors are written: one batch of the table."""

DRAWN: Final = 3
"""Number of digits in the picture."""

DRAWN_REMOVE: Final = 8
"""R of the picture: 7 of 16 patches are kept."""

FEWEST_SEEDS: Final = 3
"""A standard deviation of fewer says nothing."""


def accuracy_report(rows: Sequence[Accuracies], *, images: int) -> Table:
    """One table: a method a line, an R a column, mean and standard deviation over seeds in percent.

    Arguments:
        rows: as :func:`pomt_ref.vision.digits.accuracy_table` yields them, the unpruned model first.
        images: number of test images in all.
    """
    seeds = len(rows[0].values)
    caption = (
        f"mean ± standard deviation over {seeds} seeds; each seed has its own random share of the {images} test images "
        "(the same share for all methods) and its own random order for random pruning; one trained model"
    )
    table = Table(title="Test accuracy in %, 17 tokens pruned by R", caption=caption)
    removes = sorted({row.remove for row in rows})
    table.add_column("method")
    for remove in removes:
        table.add_column(f"R = {remove}", justify="right")
    cells = {(row.method, row.remove): f"{100 * row.mean:.1f} ± {100 * row.deviation:.1f}" for row in rows}
    unpruned = cells[rows[0].method, 0]
    for method in dict.fromkeys(row.method for row in rows[1:]):
        table.add_row(method, unpruned, *(cells[method, remove] for remove in removes[1:]))
    return table


def write_captured(model: DigitsViT, digits: Digits, file: Path) -> None:
    """What a pruning step receives for the first test digits, as safetensors: float32 ``x``, ``attn`` and ``v``."""
    seen = model.capture(digits.images[:CAPTURED])
    tensors = {"x": seen.x, "attn": seen.attn, "v": seen.v.contiguous()}
    source = f"block 2 of 4 of pomt_ref.vision on the first {CAPTURED} test digits of scikit-learn"
    file.write_bytes(save(tensors, metadata={"prefix": str(PREFIX), "source": source}))


def draw(model: DigitsViT, digits: Digits, file: Path) -> None:
    """A picture of what POMT keeps of the first ``DRAWN`` test digits: the place decides, nobody picked.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    from pomt_ref.vision.pictures import compare_kept  # noqa: PLC0415 -- only a picture needs matplotlib

    images = digits.images[:DRAWN]
    seen = model.capture(images)
    pruned = prune(seen.x, seen.attn, seen.v, prefix=PREFIX, remove=DRAWN_REMOVE)
    recognised = model(images, prune_step=lambda *_: pruned.tokens).argmax(dim=1)
    titles = [
        (f"input: a {label}", f"pruned: recognised as {digit}")
        for label, digit in zip(digits.labels.tolist(), recognised.tolist(), strict=False)
    ]
    before, after = seen.x.shape[1], pruned.tokens.shape[1]
    parts = f"1 class, {pruned.kept.shape[1]} kept, 1 mean"
    heading = f"POMT on handwritten digits, R = {DRAWN_REMOVE}: {before} tokens become {after} ({parts})"
    compare_kept(images, pruned, titles=titles, heading=heading).savefig(file)


def seed_count(text: str) -> int:
    """A number of seeds, for a command line."""
    number = int(text)
    if number < FEWEST_SEEDS:
        raise argparse.ArgumentTypeError(f"expected at least {FEWEST_SEEDS}, got {number}")
    return number


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; write the tensors and the picture where they are asked for.

    Returns:
        0; where a package of an extra is missing, the process ends with 2 and says which.
    """
    parser = argparse.ArgumentParser(prog="python -m pomt_ref.vision.demo", description="Prune real digits.")
    parser.add_argument("--seeds", type=seed_count, default=5, help="shares of the test images (default: %(default)s)")
    parser.add_argument("--captured", type=Path, help="safetensors to write x, attn and v of real digits to")
    parser.add_argument("--picture", type=Path, help="PNG to draw three pruned digits to")
    options = parser.parse_args(arguments)

    console = Console()
    try:
        model, digits = load_model(), load_digits("test")
        with reproducible(0):
            rows = list(accuracy_table(model, digits, removes=REMOVES, seeds=options.seeds))
        console.print(accuracy_report(rows, images=len(digits.labels)))
        for file, write in ((options.captured, write_captured), (options.picture, draw)):
            if file is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
                write(model, digits, file)
                console.print(f"wrote {file}", markup=False, soft_wrap=True)
    except MissingExtraError as error:
        parser.exit(2, f"{error}\n")
    return 0


if __name__ == "__main__":  # pragma: no cover -- the command line; tests call main
    raise SystemExit(main())
