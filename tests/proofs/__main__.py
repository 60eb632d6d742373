"""``python -m tests.proofs``: prove everything, reject the mutants, end in a table. Red is exit status 1.

``--write`` keeps the results as pages of the documentation; ``--every-mutant`` also tries every edit of one token of
the specification's modules, which takes a quarter of an hour on two cores.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from tests.proofs import table
from tests.proofs.edits import SPECIFICATION, edits
from tests.proofs.equivalent import REASONS
from tests.proofs.everything import BY_NAME, STATEMENTS, first_for
from tests.proofs.kills import KILLS, PREMISES
from tests.proofs.mutants import TYPES, Verdict, rejected_by_types, verdicts
from tests.proofs.processes import in_processes
from tests.proofs.shapes import checker


def say(words: str) -> None:
    """Tell how far it is."""
    print(words, flush=True)  # noqa: T201 -- a command


def prove(name: str) -> str:
    """Why a statement is red; empty if it holds."""
    try:
        BY_NAME[name].prove()
    except Exception as error:  # noqa: BLE001 -- whatever a changed source raises is why it is red
        return f"{type(error).__name__}: {error}"
    return ""


def prove_all(names: Iterable[str]) -> dict[str, float]:
    """Seconds for every statement that holds; what does not is said."""
    seconds = {}
    for done in in_processes(prove, names):
        red = "the process died" if done.answer is None else done.answer
        say(f"{'RED   ' if red else 'proved'} {done.seconds:5.1f} s  {done.task}{': ' if red else ''}{red}")
        if not red:
            seconds[done.task] = done.seconds
    return seconds


def fails_without(place: int) -> bool:
    """Whether a statement fails without its premise."""
    try:
        PREMISES[place].prove()
    except Exception:  # noqa: BLE001 -- it must
        return True
    return False


def reject_all() -> Counter[str]:
    """How many mutants each statement rejects; one that it does not reject is said."""
    rejected: Counter[str] = Counter()
    for verdict in verdicts((each.edit(), [each.statement]) for each in KILLS):
        rejected[verdict.statement] += 1
        if not verdict.statement:
            say(f"RED    a mutant stands: {verdict.edit}")
    for done in in_processes(fails_without, range(len(PREMISES))):
        rejected[PREMISES[done.task].statement] += bool(done.answer)
        if not done.answer:
            say(f"RED    {PREMISES[done.task].statement} holds without its premise")
    return rejected


def try_every_edit() -> list[Verdict]:
    """What becomes of every edit; one that stands and is not known to be the same program is said."""
    found: list[Verdict] = []
    tasks = ((edit, first_for(edit.source_line)) for module in SPECIFICATION for edit in edits(module))
    for verdict in verdicts(tasks):
        if not verdict.statement and rejected_by_types(verdict.edit):
            found.append(replace(verdict, statement=TYPES))
            continue
        found.append(verdict)
        if stands(verdict):
            say(f"RED    a mutant stands: {verdict.edit}")
    return found


def stands(verdict: Verdict) -> bool:
    """Whether nothing rejects a mutant, and it is not known to be the same program."""
    return not verdict.statement and verdict.edit.in_its_line not in REASONS


def main(arguments: list[str] | None = None) -> int:
    """Prove, reject, show; answer with an exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.proofs", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the results into docs/")
    parser.add_argument("--every-mutant", action="store_true", help="try every edit of one token")
    options = parser.parse_args(arguments)
    say(f"{len(STATEMENTS)} statements about the sources; the shape checker is {checker()}")
    seconds = prove_all(sorted(BY_NAME))
    if len(seconds) < len(STATEMENTS):
        table.show(seconds, {})
        say(f"{len(STATEMENTS) - len(seconds)} of {len(STATEMENTS)} statements are red; mutants are tried when none is")
        return 1
    rejected = reject_all()
    table.show(seconds, rejected)
    every = try_every_edit() if options.every_mutant else []
    if options.write:
        table.write_page(seconds, rejected)
    if options.write and every:
        table.write_list(every, REASONS)
    stand = [each for each in every if stands(each)]
    mutants = len(KILLS) + len(PREMISES) + len(every)
    standing = len(KILLS) + len(PREMISES) - sum(rejected[each.name] for each in STATEMENTS) + len(stand)
    fallen = f"{mutants - standing} of {mutants} mutants rejected or known to be the same program"
    say(f"{len(seconds)} statements proved, {fallen}")
    return 1 if standing else 0


if __name__ == "__main__":
    sys.exit(main())
