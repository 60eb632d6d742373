"""Draws docs/images/latency.png: ``python -m tests.published.latency``, which measures a ViT-S of timm on this machine.

Its weights are random: nothing is downloaded, and latency does not depend on them. It goes on where it was stopped; the
measurements are in build/latency.
"""

import shutil
import sys
from pathlib import Path
from typing import Final

from pomt_ref.cli import main
from tests.real_models import import_timm

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "build" / "latency"
PICTURE: Final = ROOT / "docs" / "images" / "latency.png"
COMMAND: Final = (
    *("choose", "--model", "vit_small_patch16_224", "--batch-size", "4"),
    *("--every", "4", "--rounds", "9", "--threads", "1", "--output", str(FOLDER)),
)


def measure() -> int:
    """Measure, and keep the picture.

    Returns:
        the exit status of ``pomt-ref choose``.
    """
    import_timm()
    FOLDER.parent.mkdir(exist_ok=True)
    status = main(COMMAND)
    if status == 0:
        shutil.copy(FOLDER / "curves.png", PICTURE)
    return status


if __name__ == "__main__":
    sys.exit(measure())
