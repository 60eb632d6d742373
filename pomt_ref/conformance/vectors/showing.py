"""What a person sees: the list of a set, one vector in numbers, and what became of outputs."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, get_args

from rich.console import Console
from rich.table import Table

from pomt_ref.conformance.vectors.judging import RESULTS, Judgement, Result
from pomt_ref.conformance.vectors.manifest import Document, shape_of
from pomt_ref.conformance.vectors.vector import Cut, Vector
from pomt_ref.testing import Dtype

SHORT: Final[dict[Result, str]] = {
    "identical order": "same",
    "same kept set": "set",
    "admissible": "adm",
    "wrong": "WRONG",
    "missing": "missing",
}
"""The results as a table of many columns has room for them."""

TOKENS_SHOWN: Final = 24
"""Tokens of a sample that are listed one by one."""


def list_vectors(document: Document, console: Console) -> None:
    """A line a case."""
    table = Table("case", "B H N D C", "P", "T", "cut", box=None, padding=(0, 1, 0, 0))
    for column in table.columns[:-1]:
        column.no_wrap = True  # names are to be copied; what has no room wraps in the last column
    for entry in document["cases"]:
        shape = shape_of(entry)
        sizes = f"{shape.batch} {shape.heads} {shape.tokens} {shape.features} {shape.channels}"
        decisions = Counter(cut["decision"] for cut in entry["cuts"])
        cut = ", ".join(f"{count} {decision}" for decision, count in sorted(decisions.items()))
        table.add_row(entry["id"], sizes, f"{shape.prefix}", f"{shape.keep}", cut)
    console.print(table)
    head = f"{len(document['cases'])} cases · release {document['release']}, seed {document['seed']}"
    print(f"{head} · {document['generator']}", file=console.file)


def show_vector(vector: Vector, console: Console) -> None:
    """One vector: what it is, and for every sample the ranking with its decisions, the cut and the last row."""
    case, expected = vector.case, vector.expected
    print(f"{vector.name} · {vector.method}\n{case}\nshows {', '.join(vector.clauses)}", file=console.file)
    for sample, cut in enumerate(expected.cuts):
        print(f"\nsample {sample}: {cut_line(cut)}", file=console.file)
        console.print(_ranking(vector, sample))
        if expected.last_row is not None and expected.last_row_bound is not None:
            what = "mean" if vector.method == "pomt" else "fused"
            row, bound = expected.last_row[sample], expected.last_row_bound[sample]
            numbers = ", ".join(f"{value:.9g} ± {off:.1e}" for value, off in zip(row, bound, strict=True))
            print(f"{what} row of the {case.shape.discarded} discarded: {numbers}", file=console.file)


def cut_line(cut: Cut) -> str:
    """The cut in words.

    >>> cut_line(Cut(0.25, 1e-6, "forced"))
    'gap at the cut 0.25, rounding explains 1.0e-06: the kept set is forced'
    """
    if cut.gap is None or cut.allowed is None:
        return "nothing is kept: the kept set is forced"
    return f"gap at the cut {cut.gap:.9g}, rounding explains {cut.allowed:.1e}: the kept set is {cut.decision}"


def show_judgements(judgements: Sequence[Judgement], console: Console) -> None:
    """A table a method, then every wrong case with its clause, then the sum."""
    for method in dict.fromkeys(each.vector.method for each in judgements):
        console.print(_grades(method, [each for each in judgements if each.vector.method == method]))
    for each in judgements:
        if each.result == "wrong":
            print(f"{each.vector.name}: {each.message}", file=console.file)
            if each.divergence:
                print(f"  first divergence: {each.divergence}", file=console.file)
    missing = [each.vector.name for each in judgements if each.result == "missing"]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""  # noqa: PLR2004 -- as many as a line holds
        print(f"missing: {', '.join(missing[:3])}{more}", file=console.file)
    counts = Counter(each.result for each in judgements)
    told = ", ".join(f"{counts[result]} {result}" for result in RESULTS if counts[result])
    worst = max(each.attained for each in judgements)
    attained = f"worst accepted error {worst:.2f} of what rounding explains"
    print(f"{len(judgements)} cases: {told}; {attained}", file=console.file)


def _ranking(vector: Vector, sample: int) -> Table:
    """The tokens of one sample by rank, a line where the cut is."""
    expected, prefix = vector.expected, vector.case.shape.prefix
    keep, order = vector.case.shape.keep, expected.order[sample].tolist()
    table = Table("rank", "token", "score", "ε", "", box=None, pad_edge=False)
    for rank in _shown(len(order), keep):
        if rank is None:
            table.add_row("…")
            continue
        token = order[rank]
        score, epsilon = expected.scores[sample, token - prefix], expected.epsilon[sample, token - prefix]
        fate = _fate(expected.forced[sample].tolist(), rank)
        table.add_row(f"{rank}", f"{token}", f"{score:.17g}", f"{epsilon:.1e}", fate)
    return table


def _shown(patches: int, keep: int) -> list[int | None]:
    """The ranks that are listed: all of a few, else those around the cut; None stands for those left out."""
    if patches <= TOKENS_SHOWN:
        return list(range(patches))
    first = min(max(keep - TOKENS_SHOWN // 2, 0), patches - TOKENS_SHOWN)
    ranks: list[int | None] = [*range(first, first + TOKENS_SHOWN)]
    return [*([None] if first else []), *ranks, *([None] if first + TOKENS_SHOWN < patches else [])]


def _fate(forced: list[int], rank: int) -> str:
    """Kept or discarded, and whether the next one has to come after it."""
    if rank >= len(forced):
        return "discarded"
    return "kept" if forced[rank] else "kept, may change places with the next"


def _grades(method: str, judgements: Iterable[Judgement]) -> Table:
    """Families as rows, dtypes as columns."""
    cells: dict[str, dict[str, Counter[Result]]] = {}
    for each in judgements:
        case = each.vector.case
        cells.setdefault(case.family, {}).setdefault(case.dtype, Counter())[each.result] += 1
    dtypes = [dtype for dtype in get_args(Dtype) if any(dtype in row for row in cells.values())]
    table = Table(method, *dtypes)
    for family, row in cells.items():
        table.add_row(family, *(_cell(row.get(dtype, Counter())) for dtype in dtypes))
    return table


def _cell(counts: Counter[Result]) -> str:
    """How many cases of each result."""
    return " ".join(f"{counts[result]} {SHORT[result]}" for result in RESULTS if counts[result])
