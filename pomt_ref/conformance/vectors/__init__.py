"""Vectors: cases with everything that comes out of them, as files that a program in any language reads."""
