"""Reports made by hand, for the tests of what is written of them: every verdict, and scores of every kind."""

from dataclasses import replace
from typing import Any, Final

import numpy as np

from pomt_ref.conformance.report import Failure, Kill, Ranking, Report, Row
from pomt_ref.testing import Case, Shape, build_case

SHAPE: Final = {"batch": 1, "heads": 1, "tokens": 5, "features": 1, "channels": 1, "prefix": 1, "keep": 2}
CASE: Final = build_case("ordinary", seed=3, dtype="float32", **SHAPE)
NOTHING: Final = np.zeros((0, 0, 0, 0))
CAPTURED: Final = Case("captured.safetensors", Shape(**SHAPE), 3, "float32", np.zeros((0, 0, 0)), NOTHING, NOTHING)
"""As it is read again from a report: its tensors stand elsewhere."""

EXCHANGED: Final = Ranking(0, 1, 2, (0.5, 2.0, 1.0, 1.25), (0.01, 0.03, 0.02, 0.02), (2, 4), (2, 3))
"""Four patch tokens in rows 1 to 4; 3 is kept in place of 4."""


def failure(**changes: Any) -> Failure:  # noqa: ANN401 -- any field
    """A failure of POMT-RANK-1."""
    message = "POMT-RANK-1 wrong: sample 0 keeps token 3 before token 4"
    made = Failure("POMT-RANK-1", "ordinary", message, CASE, "print('again')", ranking=EXCHANGED)
    return replace(made, **changes)


def row(**changes: Any) -> Row:  # noqa: ANN401 -- any field
    """A clause that conforms."""
    made = Row("POMT-PRUNE-1", "The length is ``P + T + 1``.", "generated", "conforms", 40, {"ordinary": 40}, 0.5)
    return replace(made, **changes)


def wrong(**changes: Any) -> Row:  # noqa: ANN401 -- any field
    """A clause that does not."""
    made = row(clause="POMT-RANK-1", verdict="wrong", failure=failure(), first_kill=Kill(3, 0.125))
    return replace(made, **changes)


def report(*rows: Row, **changes: Any) -> Report:  # noqa: ANN401 -- any field
    """A report of these rows; of one that conforms, if there are none."""
    versions = {"python": "3.11", "torch": "2.13", "numpy": "2.4", "hypothesis": "6.1"}
    made = Report("kernels:prune", "pomt", "float32", "cpu", 7, 40, (), versions, rows or (row(),))
    return replace(made, **changes)


def every_verdict() -> Report:
    """All that a report can say at once."""
    return report(
        row(grades={"identical order": 30, "same kept set": 2, "admissible": 1}, attained=0.25),
        row(source="captured.safetensors", families={"captured.safetensors": 40}),
        wrong(families={"ordinary": 1, "near ties": 2, "balanced": 3}),
        wrong(clause="POMT-ATT-1", verdict="blocked", blocked_by="POMT-RANK-1"),
        wrong(
            clause="POMT-PRUNE-2",
            verdict="known",
            reason="the copy engine",
            failure=failure(message="POMT-PRUNE-2 wrong: -0.0", ranking=None, divergence="gather (POMT-PRUNE-2): -0.0"),
        ),
        wrong(
            clause="POMT-MAG-1",
            source="captured.safetensors",
            failure=failure(message="POMT-MAG-1 wrong: other", case=CAPTURED, replay="a folder/case-1.safetensors"),
        ),
        row(clause="POMT-META-7", verdict="not offered", cases=0, families={}),
        row(clause="POMT-META-1", verdict="not shown", cases=0, families={}),
        remarks=("it prints: 'hello'",),
        stale=("POMT-ATT-2: M per sample",),
        offered=("scores", "kept"),
    )
