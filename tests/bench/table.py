"""The page, the JSON and the picture that a run leaves behind."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
import torch

from tests.bench.result import Figure

ROOT: Final = Path(__file__).parent.parent.parent
PAGE: Final = ROOT / "docs" / "performance.md"
PICTURE: Final = ROOT / "docs" / "images" / "performance.png"


@dataclass(frozen=True)
class Part:
    """What is measured, and written, by itself: its section of the page, and its numbers."""

    mark: str
    """The line above its section in the page; what stands above the first of them is written by hand."""
    heading: str
    numbers: Path


PARTS: Final[Mapping[str, Part]] = {
    "layer": Part("<!-- written by nox -s bench -->\n", "Measured on", ROOT / "docs" / "performance.json"),
    "model": Part(
        "<!-- written by nox -s bench -- --only model -->\n",
        "A model, measured on",
        ROOT / "docs" / "performance-model.json",
    ),
}
"""In the order of the page."""


def machine() -> dict[str, str]:
    """Where it ran, in words; no name of a machine or of a place."""
    return {
        "processor": f"{os.cpu_count()} cores, {platform.machine()}, instructions up to "
        f"{torch.backends.cpu.get_cpu_capability()}",
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "threads": "1",
        "CUDA": torch.cuda.get_device_name() if torch.cuda.is_available() else "not available",
    }


def as_json(figures: Sequence[Figure], day: str) -> dict[str, Any]:
    """Everything that was measured."""
    return {
        "format": "pomt-ref bench 1",
        "day": day,
        "machine": machine(),
        "figures": [each.as_json() for each in figures],
    }


def read(path: Path) -> list[Figure]:
    """The figures of an earlier run; none if there was none."""
    if not path.exists():
        return []
    return [Figure.of_json(each) for each in json.loads(path.read_text(encoding="utf-8"))["figures"]]


def shown(number: float, unit: str) -> str:
    """With as many digits as are worth reading."""
    if unit == "ratio":
        return f"{number:.3f}" if number < 0.1 else f"{number:.2f}"
    return f"{number:.0f}" if number >= 100 else f"{number:.1f}"


def line(figure: Figure, before: dict[str, Figure]) -> str:
    """One row: the median, its quartiles, the goal, whether it is reached, and the median over the last one."""
    spread, unit = figure.spread, figure.unit
    numbers = shown(spread.median, unit) + ("" if unit == "ratio" else f" {unit}")
    quartiles = f"{shown(spread.low, unit)} to {shown(spread.high, unit)}" if spread.rounds > 1 else ""
    goal = "" if figure.goal is None else f"{'≥' if figure.at_least else '≤'} {figure.goal:g}"
    verdict = {None: "", True: "yes", False: "**no**"}[figure.reached]
    old = before.get(figure.key)
    change = f"{spread.median / old.spread.median:.2f}" if old else ""
    cells = (figure.name, figure.allocator, numbers, quartiles, str(spread.rounds), goal, verdict, change)
    return f"| {' | '.join(cells)} |"


def tables(figures: Sequence[Figure], before: Sequence[Figure]) -> str:
    """All figures by group."""
    known = {each.key: each for each in before}
    head = "| | allocator | median | quartiles | rounds | goal | reached | over the last |\n" + "|---" * 8 + "|\n"
    groups = dict.fromkeys(each.group for each in figures)
    parts = []
    for group in groups:
        rows = "\n".join(line(each, known) for each in figures if each.group == group)
        parts.append(f"### {group[0].upper()}{group[1:]}\n\n{head}{rows}\n")
    return "\n".join(parts)


def sections(text: str) -> dict[str, str]:
    """What is written by hand, and the section of every part that there is, by its mark."""
    found: dict[str, str] = {}
    for part in reversed(list(PARTS.values())):
        text, mark, section = text.partition(part.mark)
        if mark:
            found[part.mark] = section
    return {"": text, **dict(reversed(found.items()))}


def write(name: str, figures: Sequence[Figure], before: Sequence[Figure], day: str) -> None:
    """The section of a part and its numbers; the picture, which shows a layer."""
    part = PARTS[name]
    stored = json.dumps(as_json(figures, day), indent=1, ensure_ascii=False)
    part.numbers.write_text(f"{stored}\n", encoding="utf-8")
    where = "\n".join(f"- {word}: {words}" for word, words in machine().items())
    found = sections(PAGE.read_text(encoding="utf-8"))
    found[part.mark] = f"\n## {part.heading} {day}\n\n{where}\n\n{tables(figures, before)}"
    marks = ["", *(each.mark for each in PARTS.values() if each.mark in found)]
    PAGE.write_text("\n".join(f"{mark}{found[mark].rstrip()}\n" for mark in marks), encoding="utf-8")
    if name == "layer":
        draw(figures, PICTURE)


def series(figures: Sequence[Figure], group: str, name: str, allocator: str = "") -> dict[int, Figure]:
    """Figures by N."""
    prefix = f"{name}N = "
    found = [
        each for each in figures if (each.group, each.allocator) == (group, allocator) and each.name.startswith(prefix)
    ]
    return {int(each.name.removeprefix(prefix)): each for each in found if each.name.removeprefix(prefix).isdigit()}


def draw(figures: Sequence[Figure], path: Path) -> None:
    """Memory and time by sequence length."""
    mpl.use("agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 -- after the backend is chosen

    drawing, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for name, label, colour in (
        ("peer, ", "with the matrix", "#b5482e"),
        ("streaming, ", "streaming", "#1f6f8b"),
        ("flash, ", "attention alone", "#8a8a8a"),
    ):  # fmt: skip
        points = series(figures, "extra memory", name)
        left.plot(list(points), [each.spread.median for each in points.values()], "o-", label=label, color=colour)
    left.set(
        xscale="log", yscale="log", xlabel="tokens N", ylabel="extra memory, MiB", title="Memory of one layer, 12 heads"
    )
    left.set_xticks(ticks := list(series(figures, "extra memory", "streaming, ")), [str(each) for each in ticks])
    left.minorticks_off()
    left.legend(frameon=False)
    for allocator, colour in (("default", "#1f6f8b"), ("retained", "#d19a2a")):
        points = series(figures, "time / peer", "", allocator)
        medians = [each.spread.median for each in points.values()]
        errors = [
            [each.spread.median - each.spread.low for each in points.values()],
            [each.spread.high - each.spread.median for each in points.values()],
        ]
        right.errorbar(list(points), medians, errors, fmt="o-", capsize=3, label=f"{allocator} allocator", color=colour)
    right.axhline(1, color="#8a8a8a", linewidth=0.8)
    right.set(
        xlabel="tokens N", ylabel="time / with the matrix", title="Time of attention, metric and step", ylim=(0, 1.1)
    )
    right.legend(frameon=False)
    drawing.savefig(path, dpi=110)
    plt.close(drawing)
