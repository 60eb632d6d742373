"""CHOOSE · latency and accuracy of a model over token counts, measured; and the R that they ask for.

Rounds take turns: every round measures every token count once, so that what disturbs a machine for a while disturbs
all counts alike. Every number is written down as soon as it is known (:mod:`pomt_ref.vision.measurements`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from pomt_ref.choosing import Choice, choose_remove
from pomt_ref.errors import CountError, OptionError
from pomt_ref.vision.images import Images, one_line
from pomt_ref.vision.measurements import Measurements
from pomt_ref.vision.models import Model
from pomt_ref.vision.shortening import random_rows, shortened
from pomt_ref.vision.timing import Timing, seconds, summary

Progress = Callable[[str, int, int], None]
"""What is done, how many measurements there are, and how many there will be."""

FEWEST_PATCHES: Final = 1
"""A pruned sequence has at least the prefix and the mean token."""


@dataclass(frozen=True)
class Curves:
    """What was measured, and what CHOOSE-1 makes of it."""

    tokens: tuple[int, ...]
    """Token counts k, ascending; the last one is N."""
    latency: tuple[Timing, ...]
    """L(k) of one batch, in seconds."""
    accuracy: tuple[float, ...]
    """A(k), in [0, 1]: the share of images classified as their label says, or as the whole model does."""
    labelled: bool
    """Whether the images had labels."""
    images: int
    """How many images were read."""
    unreadable: tuple[str, ...]
    """Files that could not be read, and were left out."""
    choice: Choice | None
    """k*, R and U; ``None`` where no image was classified right at any count: utility is then undefined."""

    @property
    def utility(self) -> tuple[float | None, ...]:
        """U(k), where it is defined."""
        return tuple(None for _ in self.tokens) if self.choice is None else self.choice.utility


def token_counts(model: Model, *, every: int = 1) -> tuple[int, ...]:
    """Every so many token counts from N downwards, as long as the prefix and one more token are left.

    Arguments:
        model: whose N and P count.
        every: distance between two counts.

    Returns:
        Token counts, ascending.
    """
    return tuple(reversed(range(model.tokens, model.prefix + FEWEST_PATCHES - 1, -every)))


def checked_counts(model: Model, counts: Sequence[int]) -> list[int]:
    """Token counts in ascending order, if a model can be measured at them.

    Arguments:
        model: whose N and P count.
        counts: the token counts k, P < k <= N, all different; N itself among them.

    Raises:
        CountError: a count that leaves no patch, one that comes twice, or N missing.
    """
    counts = sorted(counts)
    if not counts or counts[0] <= model.prefix or counts[-1] != model.tokens or len(set(counts)) < len(counts):
        expected = f"token counts from {model.prefix + 1} to {model.tokens}, the last one among them, each once"
        raise CountError("profile", "CHOOSE-2", expected, f"{counts}")
    return counts


def profile(
    model: Model,
    images: Images,
    kept: Measurements,
    *,
    counts: Sequence[int],
    batch: int,
    rounds: int,
    alpha: float = 0.5,
    seed: int = 0,
    progress: Progress = lambda *_: None,
) -> Curves:
    """CHOOSE-1 and CHOOSE-2: measure a model at some token counts, and choose R.

    Arguments:
        model: what is measured.
        images: what accuracy is measured on.
        kept: where measurements are found and written.
        counts: the token counts k, P < k <= N; N itself among them.
        batch: images at once.
        rounds: measurements of latency a count.
        alpha: weight of the latency.
        seed: of the subsets of tokens.
        progress: told after every measurement.

    Returns:
        Both curves, and the choice.

    Raises:
        CountError: a count that leaves no patch, one that comes twice, or N missing.
        OptionError: no image can be read, or the measurements that were found cannot be true.
    """
    counts = checked_counts(model, counts)
    kept.require_counts("right")
    done, whole = 0, len(counts) * (rounds + 1)
    for repeat in range(rounds):
        for count in counts:
            if kept.get("latency", count, repeat) is None:
                kept.add("latency", count, repeat, latency(model, count, batch=batch, seed=seed))
            done += 1
            progress(f"latency at {count} tokens, round {repeat + 1} of {rounds}", done, whole)
    predicted = None if images.labelled else predictions(model, images, model.tokens, batch=batch, seed=seed)
    for count in reversed(counts):
        _measure_accuracy(kept, model, images, count, batch=batch, seed=seed, reference=predicted)
        done += 1
        progress(f"accuracy at {count} tokens", done, whole)
    return _curves(kept, counts, labelled=images.labelled, alpha=alpha)


def latency(model: Model, count: int, *, batch: int, seed: int) -> float:
    """CHOOSE-2: seconds that a batch of random images takes on ``count`` tokens."""
    pixels = model.random_images(batch, seed=seed)
    rows = _rows(model, batch, count, seed=seed).to(model.device)
    with shortened(model.blocks[0], rows):
        return seconds(lambda: model.logits(pixels), device=model.device)


def predictions(model: Model, images: Images, count: int, *, batch: int, seed: int) -> tuple[Tensor, Tensor]:
    """CHOOSE-2: what the model on ``count`` tokens says of every image, and its label; unreadable ones are left out."""
    said, labels = [], []
    for place, (pixels, label) in enumerate(images.batches(model, batch)):
        rows = _rows(model, len(pixels), count, seed=seed + 1 + place)
        with shortened(model.blocks[0], rows):
            said.append(model.logits(pixels).argmax(dim=-1).cpu())
        labels.append(label)
    if not said:
        unreadable = ", ".join(map(one_line, images.unreadable))
        raise OptionError(
            "profile", "CHOOSE-2", "an image that can be read", f"{len(images)} that cannot: {unreadable}"
        )
    return torch.cat(said), torch.cat(labels)


def _measure_accuracy(
    kept: Measurements,
    model: Model,
    images: Images,
    count: int,
    *,
    batch: int,
    seed: int,
    reference: tuple[Tensor, Tensor] | None,
) -> None:
    """How many images are classified right, and how many there are; unless both are known."""
    if kept.get("images", count, 0) is not None:
        return
    said, labels = predictions(model, images, count, batch=batch, seed=seed)
    expected = labels if reference is None else reference[0]
    kept.add("right", count, 0, float((said == expected).sum()))
    for file in map(one_line, images.unreadable):
        if kept.get("unreadable", file, 0) is None:
            kept.add("unreadable", file, 0, 1.0)
    kept.add("images", count, 0, float(len(said)))


def _rows(model: Model, batch: int, count: int, *, seed: int) -> Tensor:
    """The rows that a batch keeps."""
    generator = torch.Generator().manual_seed(seed)
    return random_rows(batch, model.tokens, count, prefix=model.prefix, generator=generator)


def _curves(kept: Measurements, counts: Sequence[int], *, labelled: bool, alpha: float) -> Curves:
    """What all measurements together say."""
    timings = tuple(summary(kept.all("latency", count)) for count in counts)
    images = [int(kept.all("images", count)[0]) for count in counts]
    accuracy = tuple(kept.all("right", count)[0] / seen for count, seen in zip(counts, images, strict=True))
    medians = [timing.median for timing in timings]
    choice = choose_remove(counts, medians, accuracy, alpha=alpha) if any(accuracy) else None
    return Curves(tuple(counts), timings, accuracy, labelled, images[0], kept.of("unreadable"), choice)
