"""Models for the tests of `choose` and `bench-model`: as small as a transformer with colours can be, and wrong ones."""

import torch
from torch import Tensor, nn


class Block(nn.Module):
    """A block that mixes its tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Each token, and a little of all of them."""
        mixed: Tensor = tokens + self.mix(tokens).mean(dim=1, keepdim=True)
        return mixed


class Tiny(nn.Module):
    """Two blocks over a class token and sixteen patches of an 8 x 8 image in three colours."""

    image_shape: tuple[int, ...] | None = (3, 8, 8)
    num_prefix_tokens: int | None = 1

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.embedding = nn.Conv2d(3, width, kernel_size=2, stride=2)
        self.blocks = nn.ModuleList([Block(width), Block(width)])
        self.head = nn.Linear(width, 5)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of five classes."""
        tokens = self.embedding(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([tokens.mean(dim=1, keepdim=True), tokens], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        logits: Tensor = self.head(tokens[:, 0])
        return logits


class Shapeless(Tiny):
    """Says nowhere what it eats."""

    image_shape: tuple[int, ...] | None = None


class Prefixless(Tiny):
    """Says nowhere how many prefix tokens it has."""

    num_prefix_tokens: int | None = None


class Blockless(Tiny):
    """Has no blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()


tiny = Tiny()
no_model = 5


def raises() -> nn.Module:
    """A function that makes no model."""
    raise RuntimeError("no memory")


def leaves() -> nn.Module:
    """A function that would end the process."""
    raise SystemExit(3)


def says(**values: object) -> nn.Module:
    """A model that says something else of itself."""
    model = Tiny()
    for name, value in values.items():
        setattr(model, name, value)
    return model


class Raising(Tiny):
    """Does not run."""

    def forward(self, images: Tensor) -> Tensor:
        """Nothing."""
        raise RuntimeError(f"cannot run on {len(images)}\nmore")


class Greedy(Tiny):
    """Takes more memory than there is."""

    def forward(self, images: Tensor) -> Tensor:
        """Nothing."""
        raise MemoryError(f"for {len(images)}")


class Pair(Tiny):
    """Returns logits in a tuple."""

    def forward(self, images: Tensor) -> Tensor:
        """Logits and something else."""
        return super().forward(images), None  # type: ignore[return-value]


class Sum(Tiny):
    """Returns one row, whatever the batch."""

    def forward(self, images: Tensor) -> Tensor:
        """Of all images together."""
        return super().forward(images).sum(dim=0)


class ByKeyword(Tiny):
    """Calls its blocks by keyword."""

    def forward(self, images: Tensor) -> Tensor:
        """Logits of five classes."""
        tokens = self.embedding(images).flatten(2).transpose(1, 2)
        for block in self.blocks:
            tokens = block(tokens=tokens)
        logits: Tensor = self.head(tokens[:, 0])
        return logits


class Planes(ByKeyword):
    """Gives its blocks planes instead of tokens."""

    def forward(self, images: Tensor) -> Tensor:
        """Logits of five classes."""
        planes = self.blocks[0](self.embedding(images)[:, :, None].transpose(1, 4))
        logits: Tensor = self.head(planes.flatten(1, 3).mean(dim=1))
        return logits


class Idle(Tiny):
    """Does not run its blocks."""

    def forward(self, images: Tensor) -> Tensor:
        """Logits of five classes."""
        logits: Tensor = self.head(self.embedding(images).flatten(2).mean(dim=2))
        return logits


class Rigid(Tiny):
    """Runs on all of its tokens only."""

    def forward(self, images: Tensor) -> Tensor:
        """Logits of five classes."""
        tokens = self.embedding(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([tokens.mean(dim=1, keepdim=True), tokens], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        logits: Tensor = self.head(tokens[:, 1:].unflatten(1, (4, 4)).mean(dim=(1, 2)))
        return logits


def _refuse(_: nn.Module) -> None:
    """Says nothing of itself."""
    raise RuntimeError("not known yet")


class Secretive(Tiny):
    """Raises when it is asked for its prefix."""

    def __getattribute__(self, name: str) -> object:
        """Everything else."""
        if name == "num_prefix_tokens":
            _refuse(self)
        return super().__getattribute__(name)


class Hidden(Tiny):
    """Raises when it is asked for its blocks."""

    def __init__(self) -> None:
        nn.Module.__init__(self)

    blocks = property(_refuse)
