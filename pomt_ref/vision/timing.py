"""How long a call takes, measured: one call at a time, so that what is compared can take turns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import quantiles

import torch
from torch.utils import benchmark


@dataclass(frozen=True)
class Timing:
    """Several measurements of one thing."""

    median: float
    """In seconds, or as a ratio."""
    low: float
    """The first quartile, in the same unit."""
    high: float
    """The third quartile, in the same unit."""
    runs: int
    """How many measurements there are."""


def seconds(run: Callable[[], object], *, device: torch.device) -> float:
    """How long one call takes, after two that are not counted.

    Arguments:
        run: what is measured.
        device: where it works; on CUDA its own events tell the time, so that nothing waits for the host.

    Returns:
        Seconds, above zero.

    >>> seconds(lambda: torch.ones(8).sum(), device=torch.device("cpu")) > 0
    True
    """
    if device.type == "cuda":  # pragma: no cover -- needs a GPU
        return _seconds_on_cuda(run, device)
    timer = benchmark.Timer("run()", globals={"run": run}, num_threads=torch.get_num_threads())
    return float(timer.timeit(1).median)


def summary(measured: Sequence[float]) -> Timing:
    """The median and the quartiles of some measurements; of a single one, itself.

    >>> summary([3.0, 1.0, 2.0])
    Timing(median=2.0, low=1.5, high=2.5, runs=3)
    """
    if len(measured) == 1:
        return Timing(measured[0], measured[0], measured[0], 1)
    low, middle, high = quantiles(measured, n=4, method="inclusive")
    return Timing(median=middle, low=low, high=high, runs=len(measured))


def _seconds_on_cuda(run: Callable[[], object], device: torch.device) -> float:  # pragma: no cover -- needs a GPU
    """Between two events of the device, after two calls that are not counted."""
    with torch.cuda.device(device):
        run()
        run()
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        return float(start.elapsed_time(end)) / 1000
