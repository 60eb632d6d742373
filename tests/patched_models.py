"""Models while they are patched, for the tests: how far from what is expected, and what they are made of."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from torch import Tensor, nn

from pomt_ref.vision.patching import PatchedModel, patch

CLOSE: Final = 2e-6
"""The largest difference of a number of the output between float32, and float64 in plain loops; they are about 1."""


def distance(one: Tensor, other: Tensor) -> float:
    """The largest difference."""
    assert one.shape == other.shape
    return float((one - other).detach().abs().max())


@contextmanager
def patched_model(model: nn.Module, **options: Any) -> Iterator[PatchedModel]:  # noqa: ANN401 -- what patch takes
    """A model while it is patched."""
    patched = patch(model, **options)
    try:
        yield patched
    finally:
        patched.unpatch()


def anatomy(model: nn.Module) -> dict[str, dict[str, object]]:
    """What every module of a model is made of beside its parameters: flags, hooks, configuration."""
    beside = {"_parameters", "_buffers", "_modules"}
    return {
        name: {part: copy.copy(value) for part, value in vars(module).items() if part not in beside}
        for name, module in model.named_modules()
    }
