"""POMT-COUNT · how many tokens stay, go and come out: integers only.

POMT keeps T patch tokens, discards m = N - P - T of them and appends one mean row, so it prunes one more token than
it shortens the sequence by: R + 1 tokens go and one comes.
"""


def kept_count(tokens: int, *, prefix: int, remove: int, appended: int = 1) -> int:
    r"""POMT-COUNT-1: the number of patch tokens kept when the output is to be R tokens shorter.

    .. math:: T = N - P - R - 1

    Arguments:
        tokens: N, prefix included.
        prefix: P, never pruned.
        remove: R, by how much the sequence shrinks; 1 <= R <= N - P - 1.
        appended: rows appended after the kept ones: one for POMT and EViT, none for Top-K.

    Returns:
        T, in [0, N - P - 2] for POMT.

    Source: arXiv 2407.05941 section 3.4. Deviation: the authors' code has N - R - 2, which fits P = 1 only (erratum 1).

    >>> kept_count(197, prefix=1, remove=56)
    139
    """
    return tokens - prefix - remove - appended


def removed_count(tokens: int, *, prefix: int, keep: int, appended: int = 1) -> int:
    r"""POMT-COUNT-1 read the other way: R, by how much the sequence shrinks when T patch tokens are kept.

    .. math:: R = N - P - T - 1

    >>> removed_count(197, prefix=1, keep=139)
    56
    """
    return tokens - prefix - keep - appended


def discarded_count(tokens: int, *, prefix: int, keep: int) -> int:
    r"""POMT-PRUNE-4: the number of patch tokens that the mean row stands for.

    .. math:: m = N - P - T

    >>> discarded_count(197, prefix=1, keep=139)
    57
    """
    return tokens - prefix - keep


def output_length(*, prefix: int, keep: int, appended: int = 1) -> int:
    r"""POMT-PRUNE-1: the number of rows that come out.

    .. math:: P + T + 1

    >>> output_length(prefix=1, keep=139)
    141
    """
    return prefix + keep + appended
