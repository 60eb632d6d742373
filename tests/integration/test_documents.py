"""What README and guide say of the command line is so: options, clauses, exit statuses, output, JSON fields, links."""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from pomt_ref.cli import build_parser
from pomt_ref.testing import LAWS
from pomt_ref.vision.demo import write_captured
from pomt_ref.vision.digits import load_digits, load_model

ROOT: Final = Path(__file__).parent.parent.parent
README: Final = ROOT / "README.md"
GUIDE: Final = ROOT / "docs" / "guide.md"
REPORT: Final = ROOT / "docs" / "report.md"
PAGES: Final = (README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")))

KERNEL: Final = "my_package/kernels.py"
"""The reader's own module: what the guide's blocks that begin with this name define, the latest last."""

LONG: Final = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"

CUT: Final = "…"
"""A line of shown output that stands for any number of real ones."""

OPTIONS_OF_OTHERS: Final = {
    *("--no-venv", "--every-mutant", "--write", "--only", "--verifytypes", "--ranks", "--split"),
    *("--pyargs", "--pomt-subject", "--pomt-dtype"),
}
"""Options that the pages mention and that belong to nox, the proofs, pyright, pytest, the plugin and an example."""


@dataclass(frozen=True)
class Run:
    """One `pomt-ref check` as a page shows it."""

    line: str
    source: str
    """The reader's module as it stands by then."""
    shown: tuple[str, ...]
    status: int | None
    """What `echo $?` shows after it."""

    @property
    def words(self) -> list[str]:
        """What follows the name of the program."""
        return self.line.removeprefix("$ pomt-ref ").split()

    @property
    def arguments(self) -> list[str]:
        """As shown under the profile nightly; else with fewer cases, which show the same verdicts."""
        return [*self.words, *([] if LONG or self.status == 2 else ["--max-examples=20"])]


def read(page: Path) -> str:
    """The text of a page."""
    return page.read_text(encoding="utf-8")


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Language and content of every fenced block."""
    for block in re.finditer(r"^```(\w+)\n(.*?)^```$", read(page), flags=re.DOTALL | re.MULTILINE):
        yield block[1], block[2]


def runs(page: Path) -> list[Run]:
    """Every `pomt-ref check` that a page shows with its output."""
    found, source = [], ""
    for language, content in blocks(page):
        if language == "python" and content.startswith(f"# {KERNEL}\n"):
            source += content
        if language == "console":
            found += read_console(content, source)
    return found


def read_console(content: str, source: str) -> list[Run]:
    """The checks of one console block."""
    commands = re.findall(r"^(\$ .*)\n((?:(?!\$ ).*\n)*)", content, flags=re.MULTILINE)
    statuses = [int(output) if command == "$ echo $?" else None for command, output in commands] + [None]
    return [
        Run(command, source, tuple(output.splitlines()), status)
        for (command, output), status in zip(commands, statuses[1:], strict=True)
        if command.startswith("$ pomt-ref check")
    ]


def table(lines: tuple[str, ...], *, counts: bool) -> list[tuple[str, ...]]:
    """Clause and verdict of every row, and the cases where they are to be the same; times are a machine's own."""
    rows: list[list[str]] = []
    for line in lines:
        cells = [cell.strip() for cell in line.strip("│").split("│")]
        if line.startswith("│") and cells[0]:
            rows.append(cells)
        elif line.startswith("│"):  # a name that has no room in one line goes on in the next
            rows[-1] = [f"{first} {rest}".strip() for first, rest in zip(rows[-1], cells, strict=True)]
    return [(*row[:-4], *([row[-4]] if counts else []), row[-3]) for row in rows]


def violations(lines: tuple[str, ...]) -> list[str]:
    """The clauses of the failures that are shown, and what blocks them."""
    return [line.partition(":")[0] for line in lines if re.match(r"[A-Z0-9-]+ (blocked by [A-Z0-9-]+ )?wrong: ", line)]


def answer(lines: tuple[str, ...]) -> str:
    """The last line up to what it rests on, which is a machine's own."""
    return lines[-1].partition(" (")[0]


def check_options() -> dict[str, argparse.Action]:
    """The options of `pomt-ref check` by name."""
    actions = build_parser()._actions  # noqa: SLF001 - argparse offers no other way
    (commands,) = (action.choices for action in actions if isinstance(action.choices, Mapping))
    command: argparse.ArgumentParser = commands["check"]
    options = {action.option_strings[-1]: action for action in command._actions if action.option_strings}  # noqa: SLF001
    del options["--help"]
    return options


def all_options() -> set[str]:
    """The options of every command, and of what stands under it."""
    found, waiting = set(), [build_parser()]
    while waiting:
        for action in waiting.pop()._actions:  # noqa: SLF001 - argparse offers no other way
            found |= set(action.option_strings)
            if isinstance(action.choices, Mapping):
                waiting += action.choices.values()
    return found


def keys_of(value: Any) -> set[str]:  # noqa: ANN401 - any JSON
    """Every name of a JSON value but those of families and grades, which are data."""
    if isinstance(value, list):
        return set().union(*map(keys_of, value))
    if not isinstance(value, dict):
        return set()
    inner = (keys_of(part) for name, part in value.items() if name not in {"families", "grades"})
    return set(value).union(*inner)


def section(page: Path, heading: str) -> str:
    """The text under a heading, up to the next one of its level."""
    return read(page).partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def links(page: Path) -> list[str]:
    """The targets of links and pictures that are no addresses."""
    targets = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```$", "", read(page), flags=re.DOTALL | re.MULTILINE))
    return [target for target in targets if "://" not in target]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reader's folder: a package of their own, and captured tensors (here those of the demo)."""
    folder = tmp_path_factory.mktemp("workplace")
    write_captured(load_model(), load_digits("test"), folder / "captured.safetensors")
    return folder


def run_check(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a reader does, the project importable."""
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": paths, "PYTHONIOENCODING": "utf-8", "COLUMNS": "80"}
    command = [sys.executable, "-B", "-m", "pomt_ref", *arguments]
    return subprocess.run(command, check=False, cwd=folder, env=environment, capture_output=True, encoding="utf-8")


class TestCommands:
    """Every `pomt-ref check` of a page ends as the page says, with the clauses and verdicts that the page shows."""

    @pytest.mark.parametrize("run", [*runs(README), *runs(GUIDE)], ids=lambda run: run.line.removeprefix("$ pomt-ref "))
    def test_run_is_as_shown(self, run: Run, workplace: Path) -> None:
        (workplace / KERNEL).parent.mkdir(exist_ok=True)
        (workplace / KERNEL).write_text(run.source, encoding="utf-8")
        done = run_check(workplace, *run.arguments)
        assert done.returncode == run.status, done.stderr
        real = tuple((done.stderr if run.status == 2 else done.stdout).splitlines())
        assert answer(run.shown) == answer(real)
        counts = run.arguments == run.words
        shown, found = table(run.shown, counts=counts), table(real, counts=counts)
        assert shown == (found[: len(shown)] if CUT in run.shown else found)
        assert set(violations(run.shown)) <= set(violations(real))

    def test_pages_show_right_and_wrong_and_what_cannot_run(self) -> None:
        assert [run.status for run in runs(README)] == [0, 1]
        assert {run.status for run in runs(GUIDE)} == {0, 1, 2}


class TestOptions:
    """The guide's table of options is that of the parser."""

    def test_every_option_has_a_row_with_its_values_and_default(self) -> None:
        rows = [line.split(" | ") for line in section(GUIDE, "Options").splitlines() if line.startswith("| `--")]
        told = {name.strip("|` "): (values, default) for name, values, default, _ in rows}
        options = check_options()
        assert list(told) == list(options)
        for name, (values, default) in told.items():
            choices, standard = options[name].choices, options[name].default
            assert choices is None or values == ", ".join(choices)
            assert default == ("none" if standard is None and name != "--clause" else str(standard or default))

    def test_every_option_mentioned_exists(self) -> None:
        mentioned = {option for page in PAGES for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", read(page))}
        assert mentioned - {*all_options(), "--version", *OPTIONS_OF_OTHERS} == set()


class TestClauses:
    """The README's table of clauses is that of the laws."""

    def test_every_law_has_a_line_and_every_line_a_law(self) -> None:
        lines = re.findall(r"^\| ([A-Z]+-[A-Z0-9-]+) \|", section(README, "The clauses"), flags=re.MULTILINE)
        assert sorted(lines) == sorted({law.clause for law in LAWS})


class TestJson:
    """The page on the report names every field of its JSON."""

    def test_every_field_is_explained(self, workplace: Path) -> None:
        wrong = ("docs.examples.mean_over_heads:prune", "--clause", "POMT-ATT-1", "--json", "report.json")
        assert run_check(workplace, "check", *wrong).returncode == 1
        report = json.loads((workplace / "report.json").read_text(encoding="utf-8"))
        explained = set(re.findall(r"`(\w+)`", section(REPORT, "The report in JSON")))
        assert keys_of(report) - explained == set()


class TestLinks:
    """Every link to a file of the project leads to one, and to a heading or label that is there."""

    @pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
    def test_files_and_labels_exist(self, page: Path) -> None:
        for link in links(page):
            name, _, label = link.partition("#")
            target = page.parent / name if name else page
            assert target.exists(), f"{page.name} links to {link}"
            if label and target.suffix == ".md":
                anywhere = [target] if name else PAGES  # sphinx finds a label on any page
                assert any(label in labels(other) for other in anywhere), f"{page.name} links to {link}"


def labels(page: Path) -> set[str]:
    """Explicit labels, and headings as links spell them."""
    text = read(page)
    headings = re.findall(r"^#+ (.*)$", re.sub(r"\[([^]]*)]\([^)]*\)", r"\1", text), flags=re.MULTILINE)
    spelled = {re.sub(r"[^\w\s-]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return spelled | set(re.findall(r"^\(([\w-]+)\)=$", text, flags=re.MULTILINE))
