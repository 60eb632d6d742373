"""Outputs of a Python implementation for a set of vectors: ``write_outputs.py VECTORS OUTPUTS package:function``."""

import json
import sys
from importlib import import_module
from pathlib import Path

from safetensors.torch import load_file, save_file


def write_outputs(vectors: Path, outputs: Path, subject: str, method: str = "pomt") -> None:
    """Call the implementation on every case of its method, and write what it returns."""
    sys.path.insert(0, "")  # modules are looked for where the command is given, as `pomt-ref check` does
    module, _, name = subject.partition(":")
    prune = getattr(import_module(module), name)
    outputs.mkdir(parents=True, exist_ok=True)
    for case in json.loads((vectors / "manifest.json").read_text(encoding="utf-8"))["cases"]:
        if case["method"] != method:
            continue
        tensors = load_file(vectors / case["file"])
        inputs = [tensors[name] for name in ("x", "attn", "v")[: 3 if method == "pomt" else 2]]
        answer = prune(*inputs, prefix=case["prefix"], keep=case["keep"])
        if hasattr(answer, "tokens"):
            found = {name: getattr(answer, name) for name in ("tokens", "kept", "discarded", "scores")}
        else:
            found = {"tokens": answer}
        save_file({name: tensor.contiguous() for name, tensor in found.items()}, outputs / case["file"])


if __name__ == "__main__":
    write_outputs(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
