"""pomt_ref: the executable specification of POMT, "Pruning One More Token" (WACV 2025, arXiv 2407.05941).

The names load on first use, so that ``pomt-ref --help`` answers without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from pomt_ref.version import __version__

if TYPE_CHECKING:
    from pomt_ref.attention import attention_score
    from pomt_ref.choosing import Choice, choose_remove
    from pomt_ref.errors import (
        CountError,
        DeviceError,
        DtypeError,
        KindError,
        MemoryLimitError,
        MissingExtraError,
        OptionError,
        PomtError,
        RankError,
        ShapeError,
        ValuesError,
    )
    from pomt_ref.magnitude import magnitude_score
    from pomt_ref.pruning import prune
    from pomt_ref.ranking import rank, score
    from pomt_ref.siblings import evit_prune, topk_prune
    from pomt_ref.tracing import trace
    from pomt_ref.types import Check, Normalisation, Pruned, Trace

__all__ = [
    "Check",
    "Choice",
    "CountError",
    "DeviceError",
    "DtypeError",
    "KindError",
    "MemoryLimitError",
    "MissingExtraError",
    "Normalisation",
    "OptionError",
    "PomtError",
    "Pruned",
    "RankError",
    "ShapeError",
    "Trace",
    "ValuesError",
    "__version__",
    "attention_score",
    "choose_remove",
    "evit_prune",
    "magnitude_score",
    "prune",
    "rank",
    "score",
    "topk_prune",
    "trace",
]

_HOMES: Final = {
    "attention": ("attention_score",),
    "choosing": ("Choice", "choose_remove"),
    "errors": (
        "CountError",
        "DeviceError",
        "DtypeError",
        "KindError",
        "MemoryLimitError",
        "MissingExtraError",
        "OptionError",
        "PomtError",
        "RankError",
        "ShapeError",
        "ValuesError",
    ),
    "magnitude": ("magnitude_score",),
    "pruning": ("prune",),
    "ranking": ("rank", "score"),
    "siblings": ("evit_prune", "topk_prune"),
    "tracing": ("trace",),
    "types": ("Check", "Normalisation", "Pruned", "Trace"),
}
"""The module of every public name; a test holds it against the imports above."""


if not TYPE_CHECKING:  # else a type checker would take any misspelt name for one that loads

    def __getattr__(name: str) -> object:
        """Import the module of a public name when the name is first asked for (PEP 562)."""
        for module, names in _HOMES.items():
            if name in names:
                value: object = getattr(import_module(f"pomt_ref.{module}"), name)
                globals()[name] = value
                return value
        raise AttributeError(f"module 'pomt_ref' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return __all__
