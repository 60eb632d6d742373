"""One model, pruned by each method in turn: how much faster, how accurate, how often of the same opinion.

The methods take turns: every round times the whole model and each method once, in an order that rotates, and a ratio is
that of two times of one round.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from pomt_ref.errors import OptionError
from pomt_ref.vision.asking import TOKEN_AXES
from pomt_ref.vision.images import Images, one_line
from pomt_ref.vision.measurements import Measurements
from pomt_ref.vision.models import Model
from pomt_ref.vision.profiling import Progress
from pomt_ref.vision.timing import Timing, seconds, summary

WHOLE: Final = "none"
"""The model as it is."""

Pruning = Callable[[], AbstractContextManager[object]]
"""Makes the model prune while the block of `with` runs."""


@dataclass(frozen=True)
class Row:
    """What one method does to the model."""

    method: str
    tokens: int
    """How many are left after the last pruned block."""
    latency: Timing
    """Of one batch, in seconds."""
    ratio: Timing
    """Of the latency to that of the whole model in the same round."""
    accuracy: float | None
    """Share of images classified as their label says, in [0, 1]; ``None`` where they have no labels."""
    agreement: float
    """Share of images classified as the whole model does, in [0, 1]."""


@dataclass(frozen=True)
class Comparison:
    """All methods at one R."""

    remove: int
    rows: tuple[Row, ...]
    """The whole model first."""
    images: int
    """How many images were read."""
    unreadable: tuple[str, ...]
    """Files that could not be read, and were left out."""


def compare(
    model: Model,
    images: Images,
    kept: Measurements,
    methods: Mapping[str, Pruning],
    *,
    remove: int,
    batch: int,
    rounds: int,
    seed: int = 0,
    progress: Progress = lambda *_: None,
) -> Comparison:
    """Time the whole model and every method in interleaved rounds, and let all of them classify the images.

    Arguments:
        model: what is pruned.
        images: what it classifies.
        kept: where measurements are found and written.
        methods: by name; the first one prunes nothing.
        remove: R, for the report.
        batch: images at once.
        rounds: times a method is timed.
        seed: of the images that are timed; what they show does not matter.
        progress: told after every measurement.

    Returns:
        A row a method.

    Raises:
        OptionError: the last block returns no tokens, no image can be read, or what was measured before cannot be true.
    """
    names = list(methods)
    tokens = {name: _tokens_left(model, methods[name]) for name in names}  # what does not run is told first
    kept.require_counts("right", "agreeing")
    done, whole = 0, len(names) * (rounds + 1)
    pixels = model.random_images(batch, seed=seed)
    for repeat in range(rounds):
        for name in _rotated(names, repeat):
            if kept.get("latency", name, repeat) is None:
                with methods[name]():
                    kept.add("latency", name, repeat, seconds(lambda: model.logits(pixels), device=model.device))
            done += 1
            progress(f"{name}, round {repeat + 1} of {rounds}", done, whole)
    said: dict[str, tuple[Tensor, Tensor]] = {}
    for name in names:
        if kept.get("images", name, 0) is None:
            for needed in {WHOLE, name} - set(said):
                with methods[needed]():
                    said[needed] = _classified(model, images, batch)
            _write(kept, name, said[name], said[WHOLE][0], images)
        done += 1
        progress(f"{name} on {len(images)} images", done, whole)
    complete = sorted(set.intersection(*(set(kept.repeats("latency", name)) for name in names)))
    rows = tuple(_row(kept, name, images, complete, tokens=tokens[name]) for name in names)
    return Comparison(remove, rows, int(kept.all("images", WHOLE)[0]), kept.of("unreadable"))


def _rotated(names: Sequence[str], repeat: int) -> Iterator[str]:
    """Each round begins with the next one, so that none is always timed after the same other."""
    first = repeat % len(names)
    yield from (*names[first:], *names[:first])


def _classified(model: Model, images: Images, batch: int) -> tuple[Tensor, Tensor]:
    """The class of every image, and its label."""
    pairs = [(model.logits(pixels).argmax(dim=-1).cpu(), labels) for pixels, labels in images.batches(model, batch)]
    if not pairs:
        unreadable = ", ".join(map(one_line, images.unreadable))
        raise OptionError(
            "compare", "CHOOSE-2", "an image that can be read", f"{len(images)} that cannot: {unreadable}"
        )
    return torch.cat([said for said, _ in pairs]), torch.cat([labels for _, labels in pairs])


def _write(kept: Measurements, name: str, found: tuple[Tensor, Tensor], whole: Tensor, images: Images) -> None:
    """Keep what one method made of the images; the number of images last, as it says that all the rest is there."""
    said, labels = found
    kept.add("right", name, 0, float((said == labels).sum()))
    kept.add("agreeing", name, 0, float((said == whole).sum()))
    for file in map(one_line, images.unreadable):
        if kept.get("unreadable", file, 0) is None:
            kept.add("unreadable", file, 0, 1.0)
    kept.add("images", name, 0, float(len(said)))


def _row(kept: Measurements, name: str, images: Images, complete: Sequence[int], *, tokens: int) -> Row:
    """Everything that is known of one method; a round that was stopped, and is not asked for again, does not count."""
    known, known_of_whole = kept.repeats("latency", name), kept.repeats("latency", WHOLE)
    times = [known[repeat] for repeat in complete]
    ratio = summary([known[repeat] / known_of_whole[repeat] for repeat in complete])
    seen = kept.all("images", name)[0]
    accuracy = kept.all("right", name)[0] / seen if images.labelled else None
    return Row(name, tokens, summary(times), ratio, accuracy, kept.all("agreeing", name)[0] / seen)


def _tokens_left(model: Model, pruning: Pruning) -> int:
    """How many tokens the last block passes on."""
    seen: list[object] = []
    handle = model.blocks[-1].register_forward_hook(lambda _, __, output: seen.append(output))
    try:
        with pruning():
            model.logits(model.random_images(1))
    finally:
        handle.remove()
    last = seen[-1] if seen else None  # those before it are of the passes that tried the model
    if not isinstance(last, Tensor) or last.ndim != TOKEN_AXES:
        expected = "a model whose last block returns tokens (batch, tokens, channels)"
        got = tuple(last.shape) if isinstance(last, Tensor) else type(last).__name__
        raise OptionError("compare", "CHOOSE-2", expected, f"{model.name} ({got})")
    return last.shape[1]
