"""The plugin that users of the installed project have; tests/integration/test_packaging.py runs it as they do."""

import argparse
from dataclasses import dataclass, field
from typing import Any

import pytest

from pomt_ref.conformance import CallableSubject
from pomt_ref.pytest_plugin import SUBJECT, pytest_addoption, pytest_configure


@dataclass
class Configured:
    """A run of pytest, as far as the plugin sees it."""

    options: dict[str, Any]
    stash: pytest.Stash = field(default_factory=pytest.Stash)

    def getoption(self, name: str) -> Any:  # noqa: ANN401 -- any option
        """What the command line says."""
        return self.options[name.removeprefix("--pomt-")]


def configured(subject: str | None, **options: object) -> Any:  # noqa: ANN401 -- stands for a pytest.Config
    """A run with the defaults of every other option."""
    said = {"method": "pomt", "device": "cpu", "dtype": None, "profile": "float32/float16", "framework": None}
    return Configured({"subject": subject, **said, **options})


def test_subject_is_loaded_once() -> None:
    """With what was said of it."""
    config = configured("pomt_ref:prune")
    pytest_configure(config)
    subject = config.stash[SUBJECT]
    assert isinstance(subject, CallableSubject)
    assert (subject.name, subject.claims) == ("pomt_ref:prune", "float32/float16")


def test_nothing_is_loaded_where_nothing_is_asked() -> None:
    """pytest loads the plugin in every run."""
    config = configured(None)
    pytest_configure(config)
    assert SUBJECT not in config.stash


def test_subject_that_is_not_there_is_wrong_usage() -> None:
    """One line."""
    with pytest.raises(pytest.UsageError, match="check nowhere:at_all: expected a module nowhere that can be imported"):
        pytest_configure(configured("nowhere:at_all"))


def test_device_that_is_not_there_is_wrong_usage() -> None:
    """One line, before the first law."""
    with pytest.raises(pytest.UsageError, match=r"check pomt_ref:prune: expected the device cuda:99, got .*CUDA: "):
        pytest_configure(configured("pomt_ref:prune", device="cuda:99", dtype=["float32", "float16"]))


def test_options_stand_in_a_group_of_their_own() -> None:
    """`pytest --help` lists them."""

    class Parser:
        """As far as the plugin needs one."""

        found = argparse.ArgumentParser()

        def getgroup(self, name: str, description: str) -> Any:  # noqa: ANN401 -- an argparse group
            """A group that takes options as pytest's does."""
            group = self.found.add_argument_group(name, description)
            group.addoption = group.add_argument  # type: ignore[attr-defined]  # pytest's name for it
            return group

    parser: Any = Parser()
    pytest_addoption(parser)
    assert "--pomt-subject package.module:attribute" in parser.found.format_help()
    assert parser.found.parse_args([]).pomt_examples == 100
