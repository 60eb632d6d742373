"""What CrossHair confirms of :mod:`pomt_ref.counting`: integers in, assertions on what comes out, every path.

The first assertions of a function are its precondition; the last ones are what is confirmed.
"""

from pomt_ref import counting


def kept_from_removed(tokens: int, prefix: int, remove: int, appended: int) -> None:
    """POMT-COUNT-1: T, its range, and the way back to R."""
    assert 0 <= prefix < tokens
    assert 0 <= appended <= 1 <= remove <= tokens - prefix - appended
    keep = counting.kept_count(tokens, prefix=prefix, remove=remove, appended=appended)
    assert keep == tokens - prefix - remove - appended
    assert 0 <= keep <= tokens - prefix - 1 - appended
    assert counting.removed_count(tokens, prefix=prefix, keep=keep, appended=appended) == remove


def length_from_kept(tokens: int, prefix: int, keep: int) -> None:
    """POMT-PRUNE-1, POMT-PRUNE-4: the length, what it is shorter by, and what the mean row stands for."""
    assert 0 <= prefix < tokens
    assert 0 <= keep <= tokens - prefix - 1
    length = counting.output_length(prefix=prefix, keep=keep)
    discarded = counting.discarded_count(tokens, prefix=prefix, keep=keep)
    assert length == prefix + keep + 1
    assert discarded == tokens - prefix - keep
    assert 1 <= discarded <= tokens - prefix
    assert tokens - length == counting.removed_count(tokens, prefix=prefix, keep=keep) == discarded - 1


def prune_one_more(tokens: int, prefix: int, remove: int) -> None:
    """POMT-COUNT-1: R + 1 tokens go and one comes, with what a caller leaves out."""
    assert 0 <= prefix < tokens
    assert 1 <= remove <= tokens - prefix - 1
    keep = counting.kept_count(tokens, prefix=prefix, remove=remove)
    assert keep == tokens - prefix - remove - 1
    assert counting.discarded_count(tokens, prefix=prefix, keep=keep) == remove + 1
    assert counting.output_length(prefix=prefix, keep=keep) == tokens - remove
