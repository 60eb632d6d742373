"""Symbolic execution of the public boundary: the real functions, run once for each path that their conditions allow.

A size is a term over the integers; a tensor has symbolic sizes and a name, and what is computed of it has the name of
the computation. Where the source branches on a size or on a value, both branches are run, and z3 drops those that
cannot be taken. What comes out are all paths: under which condition, and with what error or result.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, Final, NoReturn
from unittest.mock import patch

import torch
import z3

from tests.proofs.sources import public

MOST_PATHS: Final = 400
"""More than any function of the project has: a change that makes a function loop is stopped here."""


class UnmodelledError(Exception):
    """The source does something of which the executor has no model; nothing is concluded from such a run."""


@dataclass
class _Path:
    """One run: the answers that it was started with and those that it found, and whether the other one was possible."""

    answers: list[bool]
    open: list[bool] = field(default_factory=list)
    taken: int = 0
    conditions: list[z3.BoolRef] = field(default_factory=list)
    solver: z3.Solver = field(default_factory=z3.Solver)

    def decide(self, condition: z3.BoolRef) -> bool:
        """Which branch this run takes: a known answer, the only possible one, or the first of two."""
        if self.taken == len(self.answers):
            possible = [self._possible(each) for each in (condition, z3.Not(condition))]
            self.answers.append(possible[0])
            self.open.append(all(possible))
        answer = self.answers[self.taken]
        self.taken += 1
        self.conditions.append(condition if answer else z3.Not(condition))
        self.solver.add(self.conditions[-1])
        return answer

    def _possible(self, condition: z3.BoolRef) -> bool:
        self.solver.push()
        self.solver.add(condition)
        possible = bool(self.solver.check() != z3.unsat)
        self.solver.pop()
        return possible


_running: list[_Path] = []


@dataclass(frozen=True)
class Outcome:
    """How one path ends."""

    condition: z3.BoolRef
    error: tuple[str, str, str] | None
    """Class, function and clause of the error, if it ends in one."""
    expected: str
    """What the error says was expected."""
    result: Any
    """What is returned, if it returns."""


def every_path(call: Callable[[], Any]) -> Iterator[Outcome]:
    """Run a call along each of its paths."""
    waiting: list[list[bool]] = [[]]
    refused: type[Exception] = public("errors.PomtError")
    for _ in range(MOST_PATHS):
        if not waiting:
            return
        start = waiting.pop()
        path = _Path(list(start), [False] * len(start))
        _running.append(path)
        error: tuple[str, str, str] | None = None
        result: Any = None
        expected = ""
        try:
            with patch.object(torch, "arange", counted):
                result = call()
        except refused as caught:
            function, clause = (str(getattr(caught, each)) for each in ("function", "clause"))
            error = (type(caught).__name__, function, clause)
            expected = str(getattr(caught, "expected", ""))
        finally:
            _running.pop()
        waiting += [[*path.answers[:place], False] for place, two in enumerate(path.open) if two]
        yield Outcome(z3.And(*path.conditions), error, expected, result)
    raise UnmodelledError(f"more than {MOST_PATHS} paths")


def term_of(number: object) -> Any:  # noqa: ANN401 -- a term, or what z3 takes for one
    """A term of a size, or of an int."""
    if isinstance(number, Whole):
        return number.term
    if type(number) is not int:
        raise UnmodelledError(f"a size meets {number!r}, which is no plain integer")
    return number


class Whole:
    """A symbolic integer. It passes for torch's own kind, which the contracts let stand where an int does.

    It is no int, so that nothing can ask for its value behind the executor's back.
    """

    def __init__(self, term: Any) -> None:  # noqa: ANN401 -- z3 has few types
        """Be a term."""
        self.term = term

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride] -- read only, which is enough here
        """Pass for a symbolic integer of torch."""
        return torch.SymInt

    def _with(self, other: object, combine: Callable[[Any, Any], Any], sign: str) -> Any:  # noqa: ANN401 -- either kind
        if isinstance(other, float):
            return Named(f"({self} {sign} {other})")
        return Whole(combine(self.term, term_of(other)))

    def __add__(self, other: object) -> Any:  # noqa: ANN401 -- as above
        """Add."""
        return self._with(other, lambda a, b: a + b, "+")

    def __sub__(self, other: object) -> Any:  # noqa: ANN401 -- as above
        """Subtract."""
        return self._with(other, lambda a, b: a - b, "-")

    def __mul__(self, other: object) -> Any:  # noqa: ANN401 -- as above
        """Multiply."""
        return self._with(other, lambda a, b: a * b, "*")

    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, other: object) -> Any:  # noqa: ANN401 -- as above
        """Subtract from a number."""
        return Whole(term_of(other) - self.term)

    def __neg__(self) -> "Whole":
        """Change the sign."""
        return Whole(-self.term)

    def __eq__(self, other: object) -> bool:
        """Branch."""
        return _decide(self.term == term_of(other))

    def __ne__(self, other: object) -> bool:
        """Branch."""
        return _decide(self.term != term_of(other))

    def __lt__(self, other: object) -> bool:
        """Branch."""
        return _decide(self.term < term_of(other))

    def __le__(self, other: object) -> bool:
        """Branch."""
        return _decide(self.term <= term_of(other))

    def __gt__(self, other: object) -> bool:
        """Branch."""
        return _decide(self.term > term_of(other))

    def __ge__(self, other: object) -> bool:
        """Branch."""
        return _decide(self.term >= term_of(other))

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        """Branch on whether it is zero."""
        return _decide(self.term != 0)

    def __repr__(self) -> str:
        """Read as the term."""
        return str(z3.simplify(self.term)).replace("\n", "")


def plain_number(number: Any) -> Any:  # noqa: ANN401 -- a number or a symbol
    """The number that a narrow integer stands for; others as they are."""
    return number.number if type(number) is Narrow else number


class Narrow:
    """A caller's own kind of integer, as NumPy's int8: it compares and indexes, but what it adds up may overflow."""

    def __init__(self, number: int) -> None:
        """Stand for a number."""
        self.number = number

    def __index__(self) -> int:
        """The plain number."""
        return self.number

    def __le__(self, other: object) -> bool:
        """Compare, which cannot overflow."""
        return bool(self.number <= plain_number(other))

    def __ge__(self, other: object) -> bool:
        """As above."""
        return bool(self.number >= plain_number(other))

    def __lt__(self, other: object) -> bool:
        """As above."""
        return bool(self.number < plain_number(other))

    def _arithmetic(self, other: object) -> NoReturn:
        raise UnmodelledError(f"{self.number} and {other} are added up in the caller's own kind of integer")

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _arithmetic


Integral.register(Narrow)


def _decide(condition: z3.BoolRef) -> bool:
    if not _running:
        raise UnmodelledError("a branch on a symbol outside a run")
    return _running[-1].decide(condition)


class Named:
    """A tensor of which only the name is known: that of an argument, or of the computation that makes it."""

    def __init__(self, name: str, dtype: torch.dtype | None = None, **known: object) -> None:
        """Be called something; know a dtype, and for an argument its shape and where it lives."""
        self._name = name
        self._known = {"dtype": dtype, **known}

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride] -- read only, which is enough here
        """Pass for a tensor."""
        return torch.Tensor

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 -- whatever a tensor has
        """What is known, or something that can be called: a method, or used: a field of a result."""
        if name.startswith("__"):
            raise AttributeError(name)
        if self._known.get(name) is not None:
            return self._known[name]
        if name in {"shape", "ndim", "layout", "device", "is_nested", "is_meta", "dtype"}:
            if name == "shape":
                return [Whole(z3.Int(f"{self._name}.shape[{axis}]")) for axis in range(4)]
            raise UnmodelledError(f"{name} of {self._name} is not known")
        return Named(f"{self._name}.{name}", self._known["dtype"])  # type: ignore[arg-type]

    def __call__(self, *arguments: object, **options: object) -> "Named":
        """The result of a method; a dtype that is asked for is that of the result."""
        given = [shown(each) for each in arguments] + [f"{name}={shown(each)}" for name, each in options.items()]
        asked = [each for each in (*arguments, *options.values()) if isinstance(each, torch.dtype)]
        dtype = asked[0] if asked else self._known["dtype"]
        return Named(f"{self._name}({', '.join(given)})", dtype)  # type: ignore[arg-type]

    def __getitem__(self, place: object) -> "Named":
        """A part of it."""
        return Named(f"{self._name}[{shown(place)}]", self._known["dtype"])  # type: ignore[arg-type]

    def _operation(sign: str) -> Callable[["Named", object], "Named"]:  # type: ignore[misc] # noqa: N805 -- makes methods
        def operation(self: "Named", other: object) -> "Named":
            return Named(f"({self._name} {sign} {shown(other)})", self._known["dtype"])  # type: ignore[arg-type]

        return operation

    __add__, __sub__, __mul__, __and__ = _operation("+"), _operation("-"), _operation("*"), _operation("&")
    __truediv__, __lt__, __gt__, __eq__ = _operation("/"), _operation("<"), _operation(">"), _operation("==")  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]

    def __radd__(self, other: object) -> "Named":
        """Be added to a number."""
        return Named(f"({shown(other)} + {self})", self._known["dtype"])  # type: ignore[arg-type]

    def __invert__(self) -> "Named":
        """Not."""
        return Named(f"~{self._name}")

    def __bool__(self) -> bool:
        """Branch: on a value, of which only the name is known."""
        return _decide(z3.Bool(self._name))

    def tolist(self) -> list[int]:
        """Where a wrong value stands: no matter here."""
        return []

    def item(self) -> float:
        """What a wrong value is: no matter here."""
        return 0.0

    def __int__(self) -> int:
        """Which sample is wrong: no matter here."""
        return 0

    def __len__(self) -> int:
        """How many samples there are: no matter here."""
        return 0

    def __repr__(self) -> str:
        """Read as the name."""
        return self._name

    def __format__(self, _: str) -> str:
        """As above, in a message."""
        return self._name

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., object],
        types: object,
        arguments: tuple[object, ...] = (),
        options: Mapping[str, object] | None = None,
    ) -> "Named":
        """A function of torch, by its name; rows that are looked up have the dtype of where they lie."""
        del types
        given = [shown(each) for each in arguments] + [
            f"{name}={shown(each)}" for name, each in (options or {}).items()
        ]
        dtype = getattr(arguments[0], "dtype", None) if function is torch.embedding else None
        return Named(f"torch.{function.__name__}({', '.join(given)})", dtype)


def counted(count: object, **options: object) -> Named:
    """A tensor that torch makes of a size alone, by its name: there is no tensor that its name could come through."""
    del options
    return Named(f"torch.arange({count})", torch.int64)


def shown(value: object) -> str:
    """An argument as it is written; a slice as in an index."""
    if isinstance(value, slice):
        return f"{'' if value.start is None else value.start}:{'' if value.stop is None else value.stop}"
    if isinstance(value, tuple | list):
        return ", ".join(map(shown, value)) if isinstance(value, tuple) else f"[{', '.join(map(shown, value))}]"
    return str(value)
