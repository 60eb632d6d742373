"""What ``pomt_ref.vision`` offers by itself, and that it costs no library of models."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import pomt_ref.vision
from pomt_ref.vision import errors, methods, patching, restoring

ROOT: Final = Path(__file__).parent.parent

LIBRARIES: Final = ("timm", "torchvision", "transformers", "sklearn", "matplotlib")
"""Whose models are understood, or what parts of the folder need; none is imported for the sake of patching."""

PROGRAM: Final = """
import sys
for name in {libraries}:
    sys.modules[name] = None  # an import of it fails, as where it is not installed
import torch
from pomt_ref.vision import patch, restore_order, dense_scatter
from pomt_ref.vision.vit import DigitsViT
patched = patch(DigitsViT().eval(), remove=8)
step = patched(torch.zeros(1, 8, 8)) is not None and patched.steps[0]
print(step.tokens_after, dense_scatter(torch.zeros(1, 9, 2), step.kept, step.discarded).shape[1])
layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
encoder = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
print(patch(encoder, remove=2, prefix=1)(torch.zeros(1, 9, 8)).shape[1])
"""


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

    def test_models_are_patched_where_no_library_is_installed(self) -> None:
        program = PROGRAM.format(libraries=LIBRARIES)
        done = subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, capture_output=True, text=True)
        assert done.stdout.splitlines() == ["9 17", "7"]
