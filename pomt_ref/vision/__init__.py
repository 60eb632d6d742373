"""Real vision transformers: patched, measured, drawn; and a small one for handwritten digits.

The names below load on first use, and need torch only. The other submodules are imported by their own names:
``digits`` needs scikit-learn (extra ``vision``), ``pictures`` needs matplotlib (extra ``plots``). Nothing here imports
timm, torchvision or transformers for a model that is handed over.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pomt_ref.vision.errors import ModelError
    from pomt_ref.vision.methods import Step
    from pomt_ref.vision.patching import PatchedModel, patch
    from pomt_ref.vision.restoring import dense_scatter, restore_order

__all__ = ["ModelError", "PatchedModel", "Step", "dense_scatter", "patch", "restore_order"]

_HOMES: Final = {
    "errors": ("ModelError",),
    "methods": ("Step",),
    "patching": ("PatchedModel", "patch"),
    "restoring": ("dense_scatter", "restore_order"),
}
"""The module of every name."""


if not TYPE_CHECKING:  # else a type checker would take any misspelt name for one that loads

    def __getattr__(name: str) -> object:
        """Import the module of a name when the name is first asked for (PEP 562)."""
        for module, names in _HOMES.items():
            if name in names:
                value: object = getattr(import_module(f"pomt_ref.vision.{module}"), name)
                globals()[name] = value
                return value
        raise AttributeError(f"module 'pomt_ref.vision' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the names, loaded or not."""
    return __all__
