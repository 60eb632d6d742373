"""TOPK, EVIT, SIB · laws of the sibling methods, on the same rows and orders."""

import numpy as np

from pomt_ref import oracle
from pomt_ref.testing.cases import Case
from pomt_ref.testing.evidence import Evidence
from pomt_ref.testing.laws.admissible import require_admissible
from pomt_ref.testing.laws.law import law
from pomt_ref.testing.laws.reading import under
from pomt_ref.testing.subject import Subject

_FAMILIES = ("ordinary", "contrasting prefix", "disagreeing heads", "contrasting tokens", "signed zeros", "ties")
_KILLS = ("maximum over heads of the class row", "last prefix row for class row", "ascending", "input order")


@law("TOPK-1", families=_FAMILIES, kills=_KILLS, method="topk", sizes="mixed")
def topk_keeps_what_the_class_row_attends_to(case: Case, subject: Subject) -> Evidence:
    """score = mean over heads of A[h, class row, patch keys]; the output is the prefix and the T best in rank order."""
    return _require_all("TOPK-1", case, subject)


@law(
    "EVIT-1",
    families=_FAMILIES,
    kills=(*_KILLS, "fused row normalised", "mean row for fused row"),
    method="evit",
    sizes="mixed",
)
def evit_fuses_the_discarded_by_their_scores(case: Case, subject: Subject) -> Evidence:
    """The same score; then one fused row, the sum over the discarded of score times x."""
    evidence = _require_all("EVIT-1", case, subject)
    if "normalise" in subject.options() and _has_weight(case):
        evidence |= _require("EVIT-1", case, subject, normalise=True)
    return evidence


@law("SIB-1", families=("contrasting prefix",), kills=("last prefix row for class row",), method="topk")
def topk_class_row_is_row_zero(case: Case, subject: Subject) -> Evidence:
    """The class row is row 0 by default; ``class_index`` says otherwise."""
    return _require_class_row(case, subject)


@law("SIB-1", families=("contrasting prefix",), kills=("last prefix row for class row",), method="evit")
def evit_class_row_is_row_zero(case: Case, subject: Subject) -> Evidence:
    """The class row is row 0 by default; ``class_index`` says otherwise."""
    return _require_class_row(case, subject)


def _require_all(clause: str, case: Case, subject: Subject) -> Evidence:
    """Everything that one output can be asked, told by T and, where that is offered, by R."""
    evidence = _require(clause, case, subject)
    remove = case.shape.discarded - (0 if subject.method == "topk" else 1)
    if "remove" in subject.options() and remove >= 1:
        evidence |= _require(clause, case, subject, remove=remove)
    return evidence


def _require_class_row(case: Case, subject: Subject) -> Evidence:
    """Rank by row 0, and by every other prefix row where the subject takes a class_index."""
    evidence = _require("SIB-1", case, subject)
    options = subject.options()
    for row in range(case.shape.prefix) if "class_index" in options else ():
        evidence |= _require("SIB-1", case, subject, class_index=row)
        if "normalise" in options and _has_weight(case, class_index=row):
            evidence |= _require("SIB-1", case, subject, class_index=row, normalise=True)
    return evidence


def _require(
    clause: str, case: Case, subject: Subject, *, class_index: int = 0, normalise: bool = False, remove: int = 0
) -> Evidence:
    """One output, with these options, held in full; what is broken is broken under the sibling's own clause."""
    said: dict[str, int | bool] = {"class_index": class_index, "normalise": normalise, "remove": remove}
    outcome = subject.run(case, **{name: value for name, value in said.items() if value})
    with under(clause):
        return require_admissible(
            case,
            outcome,
            method=subject.method,
            profile=subject.profile(case.dtype),
            class_index=class_index,
            normalise=normalise,
        )


def _has_weight(case: Case, *, class_index: int = 0) -> bool:
    """Whether any T tokens left out have an average: weights that sum to zero have none."""
    scores = oracle.class_score(case.attn, prefix=case.shape.prefix, class_index=class_index)
    lightest = np.sort(scores, axis=1)[:, : case.shape.discarded].sum(axis=1)
    return bool(lightest.all())
