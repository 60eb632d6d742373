"""Which patches of real digits stay kept, whatever moves: ``python -m pomt_ref.vision.certificates [--picture FILE]``.

The perturbation is a box around the tokens that the pruned block's queries, keys and values are made of: every entry of
every token, after the block's norm, moves by up to ε on its own.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pomt_ref.bounds import AttentionLayer, Box, Certificate, certify_tokens
from pomt_ref.errors import MissingExtraError
from pomt_ref.vision.digits import load_digits, load_model
from pomt_ref.vision.vit import PREFIX, PRUNED_BLOCK, DigitsViT

RADII: Final = (0.01, 0.02, 0.03)
"""ε of the picture, a row each."""

DRAWN: Final = 3
"""Images of the picture: the first test digits, a column each."""

REMOVE: Final = 8
"""R of the step: 7 of 16 patches are kept."""


@torch.no_grad()
def attention_input(
    model: DigitsViT, images: Float[Tensor, "batch 8 8"], *, block: int = PRUNED_BLOCK
) -> Float[Tensor, "batch tokens channels"]:
    """What the linear maps of a block read: its tokens after the norm."""
    seen: list[Tensor] = []

    def record(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append(output)

    hook = model.get_submodule(f"blocks.{block}.attention_norm").register_forward_hook(record)
    try:
        model(images)
    finally:
        hook.remove()
    return seen[0]


def attention_layer(model: DigitsViT, *, block: int = PRUNED_BLOCK) -> AttentionLayer:
    """The linear maps of a block, head by head."""
    maps = model.get_submodule(f"blocks.{block}.queries_keys_values")
    heads = model.get_submodule(f"blocks.{block}").heads
    assert isinstance(maps, nn.Linear)  # noqa: S101 -- tells the type checker what the model is made of
    assert isinstance(heads, int)  # noqa: S101 -- as above
    return AttentionLayer.from_joint(maps.weight, maps.bias, heads=heads)


def certify_digit(model: DigitsViT, image: Float[Tensor, "8 8"], *, radius: float, remove: int = REMOVE) -> Certificate:
    """What is certain of pruning one digit, alone in its batch, if every token moves by ``radius``."""
    tokens = attention_input(model, image.unsqueeze(0))
    return certify_tokens(Box.around(tokens, radius), attention_layer(model), prefix=PREFIX, remove=remove)


def draw(images: Float[Tensor, "images 8 8"], rows: Sequence[Sequence[Certificate]], file: Path) -> None:
    """A picture: a digit a column, an ε a row; framed patches stay kept, veiled ones stay discarded, ``?`` is open.

    Arguments:
        images: the digits.
        rows: for every ε of ``RADII`` one certificate a digit.
        file: where the PNG goes; its folder is made.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    from pomt_ref.vision.fates import compare_fates  # noqa: PLC0415 -- only a picture needs matplotlib

    file.parent.mkdir(parents=True, exist_ok=True)
    compare_fates(images, rows, radii=RADII).savefig(file)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what is certain of the first test digits, and draw it where asked.

    Returns:
        0; where a package of an extra is missing, the process ends with 2 and says which.
    """
    parser = argparse.ArgumentParser(prog="python -m pomt_ref.vision.certificates", description="Certify real digits.")
    parser.add_argument("--picture", type=Path, help="PNG to draw the certificates to")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        model, images = load_model(), load_digits("test").images[:DRAWN]
        rows = []
        for radius in RADII:
            rows.append([certify_digit(model, image, radius=radius) for image in images])
            print(f"ε = {radius:g}: certain in {', '.join(f'{each.share:.0%}' for each in rows[-1])} of the patches")
        if options.picture is not None:
            draw(images, rows, options.picture)
            print(f"wrote {options.picture}")
    except MissingExtraError as error:
        parser.exit(2, f"{error}\n")
    return 0


if __name__ == "__main__":  # pragma: no cover -- the command line; tests call main
    raise SystemExit(main())
