"""The laws in an implementation's own tests: ``pytest --pyargs pomt_ref.testing.suite --pomt-subject package:name``.

pytest loads this module wherever the project is installed, so nothing heavy is imported before a subject is named.
"""

import sys
from typing import Any, Final

import pytest

__all__ = ["SUBJECT", "pytest_addoption", "pytest_configure"]

SUBJECT: Final = pytest.StashKey[object]()
"""Where the configuration of a run holds the implementation that it was asked about."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Say which implementation the laws of ``pomt_ref.testing.suite`` are held over."""
    group = parser.getgroup("pomt_ref", "conformance of an implementation of POMT, Top-K or EViT")
    group.addoption("--pomt-subject", metavar="package.module:attribute", help="the implementation, or a file.onnx")
    group.addoption("--pomt-method", choices=["pomt", "topk", "evit"], default="pomt", help="what it implements")
    group.addoption(
        "--pomt-dtype",
        action="append",
        choices=["float16", "bfloat16", "float32", "float64"],
        help="dtype of the inputs (default: float32); may be repeated",
    )
    group.addoption("--pomt-device", default="cpu", metavar="DEVICE", help="device of the inputs (default: cpu)")
    profiles = ["float64", "float32", "float32/float16", "float32/bfloat16", "float16", "bfloat16"]
    group.addoption("--pomt-profile", choices=profiles, help="precision that it works in")
    group.addoption("--pomt-framework", choices=["torch", "numpy", "jax"], help="whose arrays it is called with")
    group.addoption("--pomt-examples", type=int, default=100, metavar="N", help="cases a clause (default: 100)")


def pytest_configure(config: pytest.Config) -> None:
    """Load the implementation; if there is none, say so in one line before anything runs."""
    said: Any = config.getoption
    path = said("--pomt-subject")
    if not path:
        return
    from pomt_ref.conformance import SubjectError, load_subject  # noqa: PLC0415 -- late: torch
    from pomt_ref.conformance.asked import require_device  # noqa: PLC0415 -- late: torch

    sys.path.insert(0, "")  # found where the command is given, as `python -m` finds it
    try:
        config.stash[SUBJECT] = load_subject(
            path,
            method=said("--pomt-method"),
            device=said("--pomt-device"),
            claims=said("--pomt-profile"),
            framework=said("--pomt-framework"),
        )
        dtypes: Any = said("--pomt-dtype") or ("float32",)
        for dtype in dtypes:
            require_device(path, said("--pomt-device"), dtype)
    except SubjectError as error:
        raise pytest.UsageError(str(error)) from error
