"""scikit-learn's handwritten digits, the packaged transformer for them, and what pruning costs it in accuracy."""

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Final, Literal, get_args

import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file
from torch import Tensor

from pomt_ref.errors import MissingExtraError, OptionError
from pomt_ref.pruning import gather, mean_row, prune
from pomt_ref.ranking import score
from pomt_ref.siblings import evit_prune, topk_prune
from pomt_ref.types import Pruned
from pomt_ref.vision.vit import PREFIX, DigitsViT, PruneStep

WEIGHTS: Final = Path(__file__).with_name("digits.safetensors")
"""The packaged weights, in float16; ``pomt_ref.vision.training`` made them."""

TEST_STRIDE: Final = 3
"""Every third image, from the first on, is a test image: 599 of 1797. A rule, so that no random generator matters."""

BATCH: Final = 64
"""Images a pruning step sees at once. It matters: POMT's scores are relative to the batch (POMT-ATT-2, erratum 5)."""

Method = Literal["POMT", "Top-K", "EViT", "random", "inverted POMT"]
"""How a block is pruned; ``random`` is POMT with a random order instead of the ranking, ``inverted POMT`` with the
ranking from its other end: what POMT would keep is discarded first."""


@dataclass(frozen=True)
class Digits:
    """Images of handwritten digits and what they show."""

    images: Float[Tensor, "images 8 8"]
    """Pixels in [0, 1]; ink is one."""
    labels: Int[Tensor, " images"]
    """The digit, in [0, 9]."""


@dataclass(frozen=True)
class Accuracies:
    """Test accuracy of one method at one R, once a seed."""

    method: str
    """The method, or ``none`` for the unpruned model."""
    remove: int
    """R: how much shorter the token sequence of 17 becomes."""
    values: tuple[float, ...]
    """Share of the images classified correctly, in [0, 1], one a seed."""

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return fmean(self.values)

    @property
    def deviation(self) -> float:
        """The sample standard deviation over seeds."""
        return stdev(self.values)


def load_digits(part: Literal["train", "test"]) -> Digits:
    """One part of the 1797 digits; the parts are fixed and share no image.

    The same writers appear in both parts, as in every split of these images: scikit-learn does not tell writers apart.

    Raises:
        MissingExtraError: scikit-learn is not installed.
        OptionError: there is no such part.

    Source: ``sklearn.datasets.load_digits``, the test set of UCI "Optical Recognition of Handwritten Digits".

    >>> load_digits("test").images.shape
    torch.Size([599, 8, 8])
    """
    if part not in {"train", "test"}:
        raise OptionError("load_digits", "CHOOSE-1", "the part train or test", f"{part!r}")
    try:
        datasets = importlib.import_module("sklearn.datasets")
    except ImportError as error:
        raise MissingExtraError("load_digits", "vision", "scikit-learn") from error
    raw = datasets.load_digits()
    images, labels = torch.tensor(raw.images / 16, dtype=torch.float32), torch.tensor(raw.target)
    chosen = (torch.arange(len(labels)) % TEST_STRIDE == 0) == (part == "test")
    return Digits(images[chosen], labels[chosen])


def load_model(weights: Path = WEIGHTS) -> DigitsViT:
    """The trained transformer, in float32, in evaluation mode and without gradients.

    Arguments:
        weights: safetensors as ``pomt_ref.vision.training`` writes them.
    """
    model = DigitsViT()
    model.load_state_dict(load_file(weights))
    return model.requires_grad_(requires_grad=False).eval()


def prune_by(
    x: Float[Tensor, "batch tokens channels"],
    scores: Float[Tensor, "batch patches"],
    *,
    remove: int,
    prefix: int = PREFIX,
) -> Pruned:
    """As :func:`pomt_ref.prune`, with any scores: prefix, the T best patch rows, the mean of the others.

    >>> prune_by(torch.arange(4.0).reshape(1, 4, 1), torch.tensor([[0.1, 0.3, 0.2]]), remove=1).tokens.flatten()
    tensor([0., 2., 2.])
    """
    patches = scores.shape[1]
    order = scores.argsort(dim=1, descending=True) + prefix
    kept, discarded = order[:, : patches - remove - 1], order[:, patches - remove - 1 :]
    tokens = torch.cat([x[:, :prefix], gather(x, kept), mean_row(gather(x, discarded))], dim=1)
    return Pruned(tokens, kept, discarded, scores)


def random_prune(
    x: Float[Tensor, "batch tokens channels"], *, remove: int, generator: torch.Generator, prefix: int = PREFIX
) -> Pruned:
    """As :func:`prune_by`, with random scores.

    >>> random_prune(torch.zeros(2, 17, 64), remove=8, generator=torch.Generator()).tokens.shape
    torch.Size([2, 9, 64])
    """
    scores = torch.rand(len(x), x.shape[1] - prefix, generator=generator)
    return prune_by(x, scores.to(x.device), remove=remove, prefix=prefix)


def prune_step(method: Method, remove: int, generator: torch.Generator) -> PruneStep:
    """The step that a method puts between the residuals of a block.

    Arguments:
        method: what ranks the patch tokens.
        remove: R >= 1.
        generator: where ``random`` takes its order from; the others ignore it.
    """
    steps: dict[Method, Callable[[Tensor, Tensor, Tensor], Pruned]] = {
        "POMT": lambda x, attn, v: prune(x, attn, v, prefix=PREFIX, remove=remove),
        "Top-K": lambda x, attn, _: topk_prune(x, attn, prefix=PREFIX, remove=remove),
        "EViT": lambda x, attn, _: evit_prune(x, attn, prefix=PREFIX, remove=remove),
        "random": lambda x, _attn, _v: random_prune(x, remove=remove, generator=generator),
        "inverted POMT": lambda x, attn, v: prune_by(x, -score(attn, v, prefix=PREFIX), remove=remove),
    }
    chosen = steps[method]
    return lambda x, attn, v: chosen(x, attn, v).tokens


@torch.no_grad()
def accuracy(model: DigitsViT, digits: Digits, step: PruneStep | None = None) -> float:
    """The share of images that the model, pruned by ``step`` in its second block, classifies correctly.

    Returns:
        A number in [0, 1]; images go through in batches of ``BATCH``.
    """
    correct = 0
    for images, labels in zip(torch.split(digits.images, BATCH), torch.split(digits.labels, BATCH), strict=True):
        correct += int((model(images, prune_step=step).argmax(dim=1) == labels).sum())
    return correct / len(digits.labels)


def share(digits: Digits, seed: int, seeds: int) -> Digits:
    """The images that belong to one of ``seeds`` seeds: a random share, disjoint from the shares of the others.

    Arguments:
        digits: the images to share out, all of them.
        seed: whose share, in [0, seeds).
        seeds: number of shares.
    """
    order = torch.randperm(len(digits.labels), generator=torch.Generator().manual_seed(0))
    chosen = order[seed::seeds]
    return Digits(digits.images[chosen], digits.labels[chosen])


def accuracy_table(
    model: DigitsViT, digits: Digits, *, removes: Sequence[int] = (4, 8, 12), seeds: int = 5
) -> Iterator[Accuracies]:
    """Accuracy unpruned and for every method and R, over several seeds.

    POMT, Top-K and EViT have nothing random in them, so a seed stands for more than a random order: each seed has its
    own random share of the images, disjoint from the others and the same for every method and R, and ``random`` draws
    its orders with it. The mean is then the accuracy on all images; the deviation is that of one trained model between
    independent test sets of this size, and says nothing of training it again.

    Arguments:
        model: one trained model.
        digits: the images to share out.
        removes: the R to measure, each in [1, 15].
        seeds: number of shares, at least two.

    Yields:
        The unpruned model first (method ``none``, R = 0), then method by method.
    """
    shares = [share(digits, seed, seeds) for seed in range(seeds)]
    yield Accuracies("none", 0, tuple(accuracy(model, images) for images in shares))
    for method in get_args(Method):
        for remove in removes:
            generators = [torch.Generator().manual_seed(seed) for seed in range(seeds)]
            steps = [prune_step(method, remove, generator) for generator in generators]
            values = (accuracy(model, images, step) for images, step in zip(shares, steps, strict=True))
            yield Accuracies(method, remove, tuple(values))
