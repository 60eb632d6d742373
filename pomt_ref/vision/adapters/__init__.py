"""Transformer blocks that can be patched, a module a library; none of the libraries is imported here."""

from pomt_ref.vision.adapters.encoder import KINDS, SUPPORTED, Encoder, find_encoder
from pomt_ref.vision.adapters.kind import Kind

__all__ = ["KINDS", "SUPPORTED", "Encoder", "Kind", "find_encoder"]
