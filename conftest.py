"""Every Python example in README.md and docs/ is executed: as a doctest where it shows a prompt, else as a program."""

import doctest

from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser, SkipParser

pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(doctest_optionflags=doctest.ELLIPSIS), SkipParser()], patterns=["*.md"]
).pytest()

collect_ignore = ["docs/conf.py", "noxfile.py"]
