"""The laws of the specification as property-based tests, one file a chapter; shipped as ``pomt_ref.testing.suite``."""
