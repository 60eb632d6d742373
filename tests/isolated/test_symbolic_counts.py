"""Counts that stand for any number, as exporters pass them; the checker of annotations takes them for no int."""

from typing import SupportsIndex

from torch.fx.experimental.symbolic_shapes import ShapeEnv

from pomt_ref import contracts


class TestPlain:
    """A count is an int, or what an exporter traces in place of one."""

    def test_plain_leaves_a_symbolic_count_symbolic(self) -> None:
        """An export with a symbolic T is not to be specialised to one number."""
        count: SupportsIndex = ShapeEnv().create_unbacked_symint()
        assert contracts.plain(count) is count
