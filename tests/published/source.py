"""Writes docs/survivors.md: which changes of the specification's own source no test notices, and why none can.

``python -m tests.published.source`` has mutmut change every expression of the modules that pyproject.toml names, one
at a time, in a copy under build/. A survivor that :data:`EQUIVALENT` does not explain is an error, and so is an
explanation that explains nothing.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "survivors.md"
COPY: Final = ROOT / "build" / "mutation"
NEEDED: Final = ("pomt_ref", "properties", "tests", "conftest.py", "pyproject.toml", "README.md")


@dataclass(frozen=True)
class Survivor:
    """A change that no test notices."""

    function: str
    before: str
    after: str


@dataclass(frozen=True)
class Equivalent:
    """Why changes of a function change nothing that anyone can see."""

    function: str
    part: str
    """What stands in the line before."""
    reason: str


def run_mutmut() -> str:
    """Change the copy, and say how many changes there were."""
    shutil.rmtree(COPY, ignore_errors=True)
    COPY.mkdir(parents=True)
    for name in NEEDED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, COPY / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, COPY / name)
    output = _mutmut("run", "--max-children", str(os.cpu_count()))
    counts = re.findall(r"(\d+)/(\d+)  🎉", output)
    if not counts or counts[-1][0] != counts[-1][1]:
        raise AssertionError(f"mutmut did not run to its end: {output[-500:]}")
    return str(counts[-1][1])


def survivors() -> list[Survivor]:
    """Every change that survived, as lines before and after."""
    found = []
    for line in _mutmut("results").splitlines():
        name, _, verdict = line.strip().partition(": ")
        if verdict in {"", "killed", "timeout"}:
            continue
        if verdict != "survived":
            raise AssertionError(line)
        shown = [text for text in _mutmut("show", name).splitlines() if not text.startswith(("---", "+++"))]
        before = " ".join(text[1:].strip() for text in shown if text.startswith("-"))
        after = " ".join(text[1:].strip() for text in shown if text.startswith("+"))
        module, _, function = name.partition("__mutmut")[0].rpartition(".")
        found.append(Survivor(f"{module}.{function.removeprefix('x_')}", before, after))
    return found


def _mutmut(*arguments: str) -> str:
    """One command of mutmut, in the copy; the sources there are the ones to import."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-m", "mutmut", *arguments],
        cwd=COPY,
        env={**environment, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def explanation(survivor: Survivor) -> Equivalent | None:
    """The first entry that is about it."""
    return next((one for one in EQUIVALENT if one.function == survivor.function and one.part in survivor.before), None)


def page(changes: str, found: Sequence[Survivor]) -> str:
    """The whole page."""
    rows = [
        f"| `{one.function}` | `{_told(one.before)}` | `{_told(one.after)}` | {told.reason} |"
        for one in found
        if (told := explanation(one)) is not None
    ]
    head = ["| function | the line | changed to | why it makes no difference |", "|---|---|---|---|"]
    return "\n\n".join((INTRODUCTION.format(changes=changes, survivors=len(found)), "\n".join([*head, *rows]))) + "\n"


def _told(line: str) -> str:
    """A line in a cell."""
    return line.replace("|", "\\|").replace("`", "'")


INTRODUCTION: Final = """# Changes that nobody can see

`nox -s mutants` also changes the source of the specification itself, with
[mutmut](https://mutmut.readthedocs.io): every operator, number, string and argument, one at a time, and runs the unit
tests on each. Of {changes} changes {survivors} are noticed by no test. Each is explained here; one that is not fails
the session."""

EQUIVALENT: Final[tuple[Equivalent, ...]] = (
    Equivalent("pomt_ref.choosing.choose_remove", "strict=True", "The lengths were found equal before."),
    Equivalent("pomt_ref.choosing._check_weight", 'cast("float"', "`typing.cast` does nothing when it runs."),
    Equivalent("pomt_ref.contracts.plain", 'cast("int"', "`typing.cast` does nothing when it runs."),
    Equivalent("pomt_ref.contracts.scores", '"prefix >= 0" if', "Only a prefix that was refused gets there: not zero."),
    Equivalent("pomt_ref.contracts._distribution", "attn.shape[-1]", "Attention is square: that was checked before."),
    Equivalent("pomt_ref.magnitude.magnitude_score", "softmax(dim=-1)", "Of two axes, the second is the last."),
    Equivalent("pomt_ref.ranking.rank", "argsort(dim=1", "Of two axes, the second is the last, which is the default."),
    Equivalent("pomt_ref.pruning.gather", "unsqueeze(-1)", "Of one axis, what is new after it is axis 1."),
    Equivalent(
        "pomt_ref.pruning.mean_row",
        "dtype=score_dtype(",
        "torch itself accumulates the mean of half-precision rows in float32; the argument promises it.",
    ),
    Equivalent(
        "pomt_ref.siblings.fused_row",
        "discarded.to(",
        "The product with the weights, which are wide, widens the rows as well.",
    ),
)
"""Survivors that are no faults."""


def main() -> int:
    """Run it, write the page, and complain about what is not explained."""
    changes = run_mutmut()
    found = survivors()
    PAGE.write_text(page(changes, found), encoding="utf-8")
    open_ones = [one for one in found if explanation(one) is None]
    stale = set(EQUIVALENT) - {explanation(one) for one in found}
    for one in open_ones:
        sys.stdout.write(f"no test notices, in {one.function}:\n- {one.before}\n+ {one.after}\n")
    for entry in stale:
        sys.stdout.write(f"nothing to explain any more: {entry}\n")
    return int(bool(open_ones or stale))


if __name__ == "__main__":
    sys.exit(main())
