"""The processes that share a step: what they must agree on, and the three things they tell each other."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Int64, Shaped
from torch import Tensor
from torch import distributed as dist

from pomt_ref.errors import PomtError, RankError

Facts = Mapping[str, int]
"""What a rank says of its share, by name."""


@dataclass(frozen=True)
class Ranks:
    """The members of a process group, as one of them sees them."""

    function: str
    """Whom an error names."""
    device: torch.device
    """Where messages are made."""
    group: "dist.ProcessGroup | None" = None

    def compare(self, own: Facts, refused: PomtError | None) -> Mapping[str, list[int]]:
        """What every rank says of its share, in order of rank.

        Arguments:
            own: what this rank says; the same names on every rank.
            refused: why this rank cannot take part; it is raised when the others know.

        Raises:
            PomtError: ``refused``.
            RankError: another rank cannot take part, or does not answer.
        """
        message = torch.tensor([int(refused is None), *own.values()], device=self.device)
        with self._answers():
            told = [torch.empty_like(message) for _ in range(dist.get_world_size(self.group))]
            dist.all_gather(told, message, group=self.group)
        if refused is not None:
            raise refused
        willing, *facts = torch.stack(told).T.tolist()
        if 0 in willing:
            raise self._error("valid inputs on every rank", f"rank {willing.index(0)} refused its own")
        return dict(zip(own, facts, strict=True))

    def require_same(self, facts: Mapping[str, list[int]], *names: str, words: Mapping[str, Sequence[object]]) -> None:
        """All ranks say the same.

        Arguments:
            facts: what every rank says, by name.
            names: of what has to be the same.
            words: what the numbers of a fact stand for, where they are places in a list.

        Raises:
            RankError: two of them do not.
        """
        for name in names:
            if len(set(facts[name])) > 1:
                said = [words[name][number] if name in words else number for number in facts[name]]
                raise self._error(f"the same {name} on every rank", f"{name}={said}")

    def largest(self, value: Shaped[Tensor, "*axes"]) -> Shaped[Tensor, "*axes"]:
        """POMT-ATT-2: the largest value of all ranks, element by element."""
        return self._reduced(value, dist.ReduceOp.MAX)

    def total(self, value: Int64[Tensor, "*axes"]) -> Int64[Tensor, "*axes"]:
        """POMT-ATT-1: the sum of all ranks' integers, element by element."""
        return self._reduced(value, dist.ReduceOp.SUM)

    def _reduced(self, value: Tensor, operation: "dist.ReduceOp.RedOpType") -> Tensor:
        """One number out of those of all ranks."""
        shared = value.contiguous().clone()
        with self._answers():
            dist.all_reduce(shared, op=operation, group=self.group)
        return shared

    @contextmanager
    def _answers(self) -> Iterator[None]:
        """Tell a rank that is late, or gone, as what it is; what the backend printed is the cause of the error."""
        try:
            yield
        except (RuntimeError, ValueError) as error:  # neither gloo nor NCCL has an error of its own for either
            late = "time" in str(error).lower()
            got = "none within the timeout of the process group" if late else "a connection that was lost"
            raise self._error("an answer of every rank", got) from error

    def _error(self, expected: str, got: str) -> RankError:
        """An error that names function and clause."""
        return RankError(self.function, "POMT-ATT-2", expected, got)


def require_group(function: str, group: "dist.ProcessGroup | None") -> None:
    """There is a process group, and this process is one of it.

    Raises:
        RankError: none was made, or the group is one of others.
    """
    if not (dist.is_available() and dist.is_initialized()):
        expected = "an initialised process group (torch.distributed.init_process_group)"
        raise RankError(function, "POMT-ATT-2", expected, "none" if group is None else "one of no use")
    if dist.get_rank(group) < 0:
        raise RankError(function, "POMT-ATT-2", "a process group of which this process is a rank", "one of others")
