"""A patched model as an ONNX file, and what onnxruntime makes of it: ``python -m docs.examples.pruned_onnx FILE``."""

# onnxruntime publishes no types.
# pyright: reportMissingTypeStubs=false

import sys
from pathlib import Path

import onnxruntime
import torch

from pomt_ref.vision import patch
from pomt_ref.vision.digits import load_digits, load_model


def difference(file: Path) -> float:
    """The largest difference of a logit between torch and onnxruntime, on real digits."""
    patched = patch(load_model(), remove=8)
    images = load_digits("test").images[:4]
    torch.onnx.export(patched, (images,), file, input_names=["images"], output_names=["logits"], dynamo=True)
    (logits,) = onnxruntime.InferenceSession(file).run(["logits"], {"images": images.numpy()})
    return float((patched(images) - torch.from_numpy(logits)).abs().max())


if __name__ == "__main__":
    print(f"largest difference of a logit: {difference(Path(sys.argv[1])):.1e}")
