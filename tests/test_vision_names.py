"""What ``pomt_ref.vision`` offers by itself, and that it costs no library of models."""

from pathlib import Path
from typing import Final

import pytest

import pomt_ref.vision
from pomt_ref.vision import errors, methods, patching, restoring

ROOT: Final = Path(__file__).parent.parent


class TestNames:
    """`vision/__init__.py`: what a user of models needs, loaded on first use."""

    def test_names_are_those_of_their_modules(self) -> None:
        assert pomt_ref.vision.__all__ == sorted(pomt_ref.vision.__all__)
        assert dir(pomt_ref.vision) == pomt_ref.vision.__all__
        assert pomt_ref.vision.patch is patching.patch
        assert pomt_ref.vision.PatchedModel is patching.PatchedModel
        assert pomt_ref.vision.Step is methods.Step
        assert pomt_ref.vision.ModelError is errors.ModelError
        assert pomt_ref.vision.restore_order is restoring.restore_order
        assert pomt_ref.vision.dense_scatter is restoring.dense_scatter

    def test_unknown_name_is_refused(self) -> None:
        with pytest.raises(AttributeError, match=r"^module 'pomt_ref\.vision' has no attribute 'patched'$"):
            _ = getattr(pomt_ref.vision, "patched")  # noqa: B009 -- a type checker would refuse the attribute
