"""How the site is built: `nox -s docs`, where a warning or a dead reference is an error."""

import sys
import tomllib
import typing
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

# jaxtyping reads this when it is imported: annotations then show as Float[Tensor, 'batch heads tokens tokens'].
typing.GENERATING_DOCUMENTATION = "pomt_ref"  # type: ignore[attr-defined]

project = "pomt_ref"
author = "The pomt_ref authors"
project_copyright = "2026, The pomt_ref authors"
release = version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = f"pomt_ref {release}"
exclude_patterns = ["examples"]

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath", "fieldlist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
# The sections of a docstring, in the order in which the house writes them.
napoleon_custom_sections = [("Source", "notes_style"), ("Deviation", "notes_style")]

# Names of other projects are shown and not linked: a build fetches nothing.
nitpick_ignore_regex = [
    (
        "py:.*",
        r"(torch|fractions|numpy|np|jaxtyping|hypothesis|safetensors|abc|collections|contextlib|math|multiprocessing|pathlib|typing)\..*",
    ),
    (
        "py:class",
        r"(Float|Float32|Float64|Int|Int64|UInt8|Bool|Shaped|Num|Tensor|ndarray|NDArray|Path|Callable|Sequence).*",
    ),
]


prose: dict[str, list[str]] = {}


def keep_prose(_app: Sphinx, what: str, name: str, _object: object, _options: object, lines: list[str]) -> None:
    """Put aside the text of a constant, field or property: napoleon reads `POMT-ATT-2: the sum` as `type: text`."""
    if what in {"attribute", "data", "property"}:
        prose[name] = lines.copy()


def restore_prose(_app: Sphinx, _what: str, name: str, _object: object, _options: object, lines: list[str]) -> None:
    """Put it back."""
    lines[:] = prose.pop(name, lines)


def setup(app: Sphinx) -> None:
    """Come before and after napoleon, whose handler has the default priority of 500."""
    app.connect("autodoc-process-docstring", keep_prose, priority=400)
    app.connect("autodoc-process-docstring", restore_prose, priority=600)
