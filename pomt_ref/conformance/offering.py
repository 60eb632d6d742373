"""What an implementation returns beside its output: one ordinary call, before any law is held."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final

from pomt_ref.conformance.call import TimeLimitError
from pomt_ref.conformance.errors import NoTensorError, SubjectError, SubjectFailedError
from pomt_ref.conformance.subject import OUTPUT, CallableSubject
from pomt_ref.testing import FAMILIES, Dtype, Shape

LARGEST: Final = 2**40
"""Numbers in a tensor: more than any memory holds, and few enough for NumPy to say so itself."""


def offered_by(subject: CallableSubject, dtype: Dtype) -> tuple[str, ...]:
    """One ordinary call: what returns beside its output, by name. What raises is left to the laws to tell.

    Raises:
        SubjectError: no tensor came, which cannot be held against the laws; or its sizes leave nothing to call it with.
    """
    shape = _ordinary(subject.fixed)
    if shape.discarded < 1:
        raise SubjectError(subject.name, "sizes that leave a patch token to discard", f"{shape}")
    if shape.batch * shape.tokens * max(shape.heads * max(shape.tokens, shape.features), shape.channels) > LARGEST:
        raise SubjectError(subject.name, "sizes that memory has room for", f"{shape}")
    with suppress(SubjectFailedError, TimeLimitError):
        try:
            outcome = subject.run(FAMILIES["ordinary"].build(shape, seed=0, dtype=dtype))
        except NoTensorError as error:
            raise SubjectError(subject.name, f"a call that returns {OUTPUT}", error.kind) from error
        rows = {"kept": outcome.kept, "discarded": outcome.discarded}
        return (*outcome.stages, *(name for name, indices in rows.items() if indices is not None))
    return ()


def _ordinary(fixed: Mapping[str, int]) -> Shape:
    """A small shape with the sizes that are fixed, and those of the others that go with them."""
    shape = replace(Shape(batch=2, heads=2, tokens=6, features=3, channels=4, prefix=1, keep=2), **fixed)
    if "tokens" not in fixed:
        shape = replace(shape, tokens=max(shape.tokens, shape.prefix + shape.keep + 1))
    if "keep" not in fixed:
        shape = replace(shape, keep=max(min(shape.keep, shape.patches - 1), 0))
    return shape
