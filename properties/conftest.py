"""How the laws run: over what, with which Hypothesis profile, in one thread; and what device was found.

They run over every implementation of this project, or over the one that ``--pomt-subject`` names. The profile is
``HYPOTHESIS_PROFILE``, or ``ci`` where ``CI`` is set, or ``dev``; with ``--pomt-subject`` it draws ``--pomt-examples``
cases a law, the same in every run.
"""

import os
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch

from pomt_ref.pytest_plugin import SUBJECT

from .implementations import asked_for, implementations, laws_of_chapters

SLOW_IS_FINE = (hypothesis.HealthCheck.too_slow,)
"""A case holds tensors of up to a thousand tokens: drawing one may take longer than Hypothesis expects."""

HEADER_SHOWN = pytest.StashKey[bool]()

hypothesis.settings.register_profile("dev", deadline=None, max_examples=5, suppress_health_check=SLOW_IS_FINE)
hypothesis.settings.register_profile(
    "ci",
    deadline=None,
    max_examples=5,
    derandomize=True,
    database=None,
    print_blob=True,
    suppress_health_check=SLOW_IS_FINE,
)
hypothesis.settings.register_profile(
    "nightly",
    parent=hypothesis.settings.get_profile("ci" if os.environ.get("CI") else "dev"),
    max_examples=100,
    print_blob=True,
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))

# Cases are small: threads cost more than they bring, and sums come in one order on every machine.
torch.set_num_threads(1)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say once which accelerator the laws also run on (other folders' conftest.py share this function)."""
    if config.stash.get(HEADER_SHOWN, False):
        return []
    config.stash[HEADER_SHOWN] = True
    return [f"CUDA: {torch.cuda.get_device_name() if torch.cuda.is_available() else 'not available'}"]


def pytest_configure(config: pytest.Config) -> None:
    """Draw as many cases of an implementation of the user's as were asked for, the same in every run."""
    if SUBJECT in config.stash:
        hypothesis.settings.register_profile(
            "subject",
            parent=hypothesis.settings.get_profile("ci"),
            max_examples=config.getoption("--pomt-examples"),
        )
        hypothesis.settings.load_profile("subject")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what holds for this project and for no other implementation: ties of the reference, and bounds."""
    if SUBJECT in config.stash and collection_path.name.startswith(("test_reference", "test_bounds")):
        return True
    return None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every law of the file's chapters, over every implementation of its method."""
    if "implementation" not in metafunc.fixturenames:
        return
    module: Any = metafunc.module
    method, chapters = module.METHOD, module.CHAPTERS
    asked = asked_for(metafunc.config)
    held = implementations(method) if asked is None else [one for one in asked if one.subject.method == method]
    laws = laws_of_chapters(method, *chapters) if held else []
    pairs = [pytest.param(law, one, id=f"{law}-{one}") for law in laws for one in held]
    metafunc.parametrize(("law", "implementation"), pairs)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Drop the laws of other methods: pytest would call a test without parameters skipped."""
    if SUBJECT in config.stash:
        items[:] = [item for item in items if "NOTSET" not in item.name]
