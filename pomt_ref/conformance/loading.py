"""From a name to an implementation: ``package.module:attribute``, an ONNX file, or a callable at hand."""

import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from pomt_ref.conformance.answer import told
from pomt_ref.conformance.arrays import Framework, framework_of
from pomt_ref.conformance.call import Watch
from pomt_ref.conformance.errors import SubjectError
from pomt_ref.conformance.graph import load_graph
from pomt_ref.conformance.subject import TENSORS, CallableSubject
from pomt_ref.testing import Method, ProfileName


def load_subject(
    path: str,
    *,
    method: Method = "pomt",
    device: str = "cpu",
    claims: ProfileName | None = None,
    framework: Framework | None = None,
    fixed: Mapping[str, int] | None = None,
    watch: Watch | None = None,
) -> CallableSubject:
    """Import ``package.module:attribute``, or load an ONNX file.

    Raises:
        SubjectError: the path, the module, the attribute or the signature is wrong; one line says which.
    """
    if path.endswith(".onnx"):
        graph = load_graph(path, method=method)
        fixed = {**graph.fixed, **(fixed or {})}
        return CallableSubject(graph, path, method, device, claims, "numpy", fixed, watch or Watch())
    module_name, colon, attribute = path.partition(":")
    if not colon or not module_name or not attribute:
        raise SubjectError(path, "package.module:attribute, or a file.onnx", f"{path!r}")
    try:
        found: Any = import_module(module_name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise SubjectError(path, f"a module {module_name} that can be imported", told(error)) from error
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise SubjectError(path, f"an attribute {attribute} of {module_name}", told(error)) from error
    return as_subject(
        found, name=path, method=method, device=device, claims=claims, framework=framework, fixed=fixed, watch=watch
    )


def as_subject(
    function: object,
    *,
    name: str,
    method: Method = "pomt",
    device: str = "cpu",
    claims: ProfileName | None = None,
    framework: Framework | None = None,
    fixed: Mapping[str, int] | None = None,
    watch: Watch | None = None,
) -> CallableSubject:
    """Make a subject of a callable, after a look at its signature.

    Raises:
        SubjectError: not callable, or not callable as ``(x, attn, v, *, prefix, keep)``.
    """
    wanted = f"a callable ({', '.join(TENSORS[method])}, *, prefix, keep)"
    if not callable(function):
        raise SubjectError(name, wanted, f"{type(function).__name__}")
    arrays = framework_of(function) if framework is None else framework
    subject = CallableSubject(function, name, method, device, claims, arrays, fixed or {}, watch or Watch())
    try:
        signature = inspect.signature(function)
    except Exception:  # noqa: BLE001 -- a builtin has none, and an object may have a strange one
        return subject  # a builtin tells nothing of itself; the first call will
    try:
        signature.bind(*TENSORS[method], prefix=1, keep=1)
    except TypeError as error:
        raise SubjectError(name, wanted, f"{signature}: {error}") from error
    return subject


@dataclass(frozen=True)
class Loading:
    """How to load an implementation again, in another process."""

    path: str
    method: Method
    device: str
    claims: ProfileName | None
    framework: Framework
    fixed: tuple[tuple[str, int], ...]
    limit: float

    def subject(self) -> CallableSubject:
        """Load it."""
        return load_subject(
            self.path,
            method=self.method,
            device=self.device,
            claims=self.claims,
            framework=self.framework,
            fixed=dict(self.fixed),
            watch=Watch(self.limit),
        )


def loading_of(subject: CallableSubject) -> Loading:
    """How this one is loaded.

    Raises:
        SubjectError: it has no name to import it by.
    """
    if not has_name(subject) or subject.name.startswith("__main__:"):
        raise SubjectError(subject.name, "a name to import it by, or one job", "a callable without one")
    return Loading(
        subject.name,
        subject.method,
        subject.device,
        subject.claims,
        subject.framework,
        tuple(subject.fixed.items()),
        subject.watch.limit,
    )


def has_name(subject: CallableSubject) -> bool:
    """Whether its name leads to it."""
    if subject.name.endswith(".onnx"):
        return True
    module, _, attribute = subject.name.partition(":")
    found: object = sys.modules.get(module)
    try:
        for part in attribute.split("."):
            found = getattr(found, part, None)
        return bool(found == subject.function)
    except Exception:  # noqa: BLE001 -- an attribute or a comparison of the implementation's own
        return False
