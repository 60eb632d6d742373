"""What an implementation returns beside its output: one ordinary call, before any law is held."""

from contextlib import suppress
from dataclasses import replace

from pomt_ref.conformance.call import TimeLimitError
from pomt_ref.conformance.errors import NoTensorError, SubjectError, SubjectFailedError
from pomt_ref.conformance.subject import OUTPUT, CallableSubject
from pomt_ref.testing import FAMILIES, Dtype, Shape


def offered_by(subject: CallableSubject, dtype: Dtype) -> tuple[str, ...]:
    """One ordinary call: what returns beside its output, by name. What raises is left to the laws to tell.

    Raises:
        SubjectError: no tensor came, which cannot be held against the laws.
    """
    ordinary = Shape(batch=2, heads=2, tokens=6, features=3, channels=4, prefix=1, keep=2)
    shape = replace(ordinary, **subject.fixed)
    shape = replace(shape, keep=min(shape.keep, shape.patches - 1))
    if shape.patches < 1 or shape.keep < 0:
        raise SubjectError(subject.name, "sizes that leave a patch token to discard", f"{shape}")
    with suppress(SubjectFailedError, TimeLimitError):
        try:
            outcome = subject.run(FAMILIES["ordinary"].build(shape, seed=0, dtype=dtype))
        except NoTensorError as error:
            raise SubjectError(subject.name, f"a call that returns {OUTPUT}", error.kind) from error
        rows = {"kept": outcome.kept, "discarded": outcome.discarded}
        return (*outcome.stages, *(name for name, indices in rows.items() if indices is not None))
    return ()
