"""Write the tables of docs/comparison.md: ``python -m pomt_ref.bounds.comparison [--output FILE] [--seeds N]``.

Every figure but the seconds is the same on every machine, up to the last digit shown.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Final

import torch

from pomt_ref.bounds.measuring import attention_boxes, certified_shares, difference_drops, plane_gaps

HEADS: Final = (3, 6, 12)
"""Variables of the maximum: the heads of small, middling and base vision transformers."""

BOXES: Final = 2048
"""Boxes of the first table."""

TOKENS: Final = (197, 17)
"""N of the second and of the third table."""

LOGIT_RADII: Final = (1e-3, 1e-2, 3e-2, 1e-1)
"""ε of the second table."""

TOKEN_RADII: Final = (1e-3, 3e-3, 1e-2)
"""ε of the third table."""

INTRODUCTION: Final = """# Bounds, measured

This page is written by `python -m pomt_ref.bounds.comparison`, which `nox -s bounds` runs. Seconds are those of one
core of the machine that ran it last; every other figure is the same everywhere. [Sound bounds](bounds.md) explains the
terms.
"""

PLANES: Final = """
## Planes above the maximum

Boxes of one attention entry in every head, from softmax over {keys} keys whose logits move by 0.3. The gap is the
distance from the maximum to the plane, in units of the height of the box, $w_1 - L$: its mean over the box, and its
largest value in the box, both averaged over {boxes} boxes. MaxLin, Ti-Lin and the default have the same, least mean.

| plane | {heads} |
|---|{rules}|
"""

SHARES: Final = """
## Patches whose fate is certain

One step with {tokens} tokens, one of them prefix, 3 heads, 64 features, and 70 % of the patches kept. Logits move by
ε, values by ε / 8. Percent of the patches that are certainly kept or certainly discarded, mean over {seeds} seeds. The
limit counts the patches whose fate an attack did not change.

| ε | score intervals | M multiplied out | exact pairs | limit | seconds |
|---|---|---|---|---|---|
"""

DROPS: Final = """
## A box of tokens

{tokens} tokens through random linear maps, one of them prefix, 3 heads, 16 features, and 70 % of the patches kept;
every entry of every token moves by ε. The drop of $D_{{ij}}$ below its value at the center, summed over pairs, relative
to the drop that signed gradient steps reach: 1 would be exact. Mean over {seeds} seeds; the largest of a seed in
brackets. CROWN is that of auto_LiRPA, for the same pairs, where the package can be imported when this page is written.

| ε | drop by intervals | by auto_LiRPA's CROWN | by planes | certain by intervals, % | by planes, % | seconds |
|---|---|---|---|---|---|---|
"""


def page(*, seeds: int) -> Iterator[str]:
    """The page, part by part, the second and third tables averaged over so many random steps."""
    yield INTRODUCTION
    yield "".join(plane_table())
    yield SHARES.format(tokens=TOKENS[0], seeds=seeds) + "".join(share_rows(seeds=seeds, tokens=TOKENS[0]))
    yield DROPS.format(tokens=TOKENS[1], seeds=seeds) + "".join(drop_rows(seeds=seeds, tokens=TOKENS[1]))


def plane_table() -> Iterator[str]:
    """Mean and worst gap of every plane, for every number of heads."""
    headings = " | ".join(f"{n} heads: mean | worst" for n in HEADS)
    yield PLANES.format(keys=16, boxes=BOXES, heads=headings, rules="|".join(["---"] * 2 * len(HEADS)))
    columns = [plane_gaps(attention_boxes(n, count=BOXES, seed=0)) for n in HEADS]
    for row in zip(*columns, strict=True):
        cells = " | ".join(f"{each.mean:.3f} | {each.worst:.3f}" for each in row)
        yield f"| {row[0].name} | {cells} |\n"


def share_rows(*, seeds: int, tokens: int) -> Iterator[str]:
    """The rows of the second table."""
    for radius in LOGIT_RADII:
        found = [certified_shares(tokens, 3, radius=radius, seed=seed) for seed in range(seeds)]
        cells = [
            _mean([getattr(each, way) for each in found], digits=1)
            for way in ("intervals", "multiplied", "exact", "limit")
        ]
        yield _row(radius, *cells, _mean([each.seconds for each in found], digits=2))


def drop_rows(*, seeds: int, tokens: int) -> Iterator[str]:
    """The rows of the third table."""
    for radius in TOKEN_RADII:
        found = [
            difference_drops(tokens=tokens, heads=3, features=16, radius=radius, seed=seed) for seed in range(seeds)
        ]
        crown = [each.crown for each in found if each.crown is not None]
        yield _row(
            radius,
            _mean([each.intervals for each in found], digits=2),
            _mean(crown, digits=2) if crown else "auto_LiRPA: not available",
            f"{_mean([each.planes for each in found], digits=2)} ({max(each.planes for each in found):.2f})",
            _mean([each.certain_intervals for each in found], digits=1),
            _mean([each.certain_planes for each in found], digits=1),
            _mean([each.seconds for each in found], digits=2),
        )


def _mean(values: Sequence[float], *, digits: int) -> str:
    """The mean, rounded."""
    return f"{fmean(values):.{digits}f}"


def _row(radius: float, *cells: str) -> str:
    """One line."""
    return f"| {radius:g} | {' | '.join(cells)} |\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page."""
    parser = argparse.ArgumentParser(prog="python -m pomt_ref.bounds.comparison", description="Measure the bounds.")
    parser.add_argument("--output", type=Path, default=Path("docs/comparison.md"), help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=4, help="random steps to average over (default: %(default)s)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    options.output.write_text("".join(page(seeds=options.seeds)), encoding="utf-8")
    print(f"wrote {options.output}")
    return 0


if __name__ == "__main__":  # pragma: no cover -- the command line; tests call main
    raise SystemExit(main())
