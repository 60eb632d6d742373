"""Pruning in a real vision transformer: ``patch`` puts steps between its residuals, ``unpatch`` takes them out again.

Everything is done by hooks on modules that are there: no class is replaced, no parameter is renamed, and nothing but
torch is imported. A model whose blocks are not understood is refused by name.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from pomt_ref.errors import DeviceError, KindError, OptionError
from pomt_ref.types import Check, Normalisation
from pomt_ref.vision.adapters import find_encoder
from pomt_ref.vision.examining import example_for, prove_identity, refuse_unusable, rehearse
from pomt_ref.vision.layers import Layer
from pomt_ref.vision.methods import Method, Options, Step, Ties
from pomt_ref.vision.planning import plan, verify_plan
from pomt_ref.vision.splicing import Splice


class PatchedModel(nn.Module):
    """A model that prunes in some of its blocks: made by :func:`patch`, undone by :meth:`unpatch`.

    The hooks are in the model itself: calling it, or a method of it that runs its blocks, prunes as well.

    Attributes:
        model: the model that was patched, the same object.
    """

    def __init__(self, model: nn.Module, places: Sequence[tuple[Layer, Splice]]) -> None:
        super().__init__()
        self.model = model
        self.training: bool = model.training
        self._places = tuple(places)
        self._patched = True

    @property
    def layers(self) -> tuple[int, ...]:
        """Indices of the blocks that prune, ascending."""
        return tuple(layer.index for layer, _ in self._places)

    @property
    def removes(self) -> tuple[int, ...]:
        """R of each of them."""
        return tuple(layer.remove for layer, _ in self._places)

    @property
    def steps(self) -> tuple[Step, ...]:
        """What every pruning block did in the last forward pass, in the order of the blocks; empty before the first."""
        return tuple(layer.last for layer, _ in self._places if layer.last is not None)

    def forward(self, *inputs: Any, **named: Any) -> Any:  # noqa: ANN401 -- what the model takes and returns
        """Run the model.

        Raises:
            DeviceError: an input lies where no parameter of the model does.
            PomtError: R is out of range for the tokens that an image makes, or values are outside the specification.
        """
        for layer, _ in self._places:
            layer.last = None
        _same_device(self.model, (*inputs, *named.values()))
        return self.model(*inputs, **named)

    def unpatch(self) -> nn.Module:
        """Take out every hook, put back every attribute; the model is what it was before.

        Returns:
            The model.

        Raises:
            OptionError: it is unpatched already.
        """
        if not self._patched:
            raise OptionError("unpatch", "CHOOSE-3", "a patched model", "one that is unpatched already")
        for _, splice in self._places:
            splice.detach()
        self._places, self._patched = (), False
        return self.model


def patch(
    model: nn.Module,
    *,
    remove: int | Sequence[int],
    layer: int | Sequence[int] | None = None,
    method: Method = "pomt",
    prefix: int | None = None,
    example: Tensor | None = None,
    normalisation: Normalisation = "batch",
    class_index: int = 0,
    normalise: bool = False,
    ties: Ties = "lower",
    check: Check = "values",
    streaming: bool = False,
) -> PatchedModel:
    """CHOOSE-3: prune in one block of a vision transformer, or in several, between attention and MLP.

    The model runs twice on an example before it is returned. First with steps that remove nothing, where every patched
    block has to return bit for bit what it computes itself, of the very attention (or queries and keys) and values that
    are read: R = 0 is the identity. Then pruned, so that what cannot work with fewer tokens fails here and not later.

    Arguments:
        model: see :ref:`what is understood <models-supported>`. It is changed in place, by hooks.
        remove: R, by how much shorter the sequence becomes, 0 <= R <= N - P - 1 (0 <= R <= N - P for Top-K); 0 for not
            at all. One for every block of ``layer``; a sequence without ``layer`` has one for every block there is.
        layer: index of the block, or of several; ``None`` for the one after a quarter of the depth, index 3 of 12.
        method: POMT, Top-K or EViT.
        prefix: P; ``None`` for what the model says: timm, torchvision and transformers do, another model by an
            attribute ``num_prefix_tokens``. A bare ``torch.nn.TransformerEncoder`` says nothing.
        example: an input to try the model on, for models that do not say what they take, by ``image_shape`` (channels,
            rows, columns) or as their library does.
        normalisation: POMT-ATT-2, see :func:`pomt_ref.attention_score`.
        class_index: SIB-1, the row of the class token for Top-K and EViT.
        normalise: EVIT-1, see :func:`pomt_ref.evit_prune`.
        ties: ``"lower"`` as the reference (POMT-RANK-1); ``"any"`` ranks through TopK, for exporters.
        check: ``"values"`` checks attention and values in every pass, which costs passes over them and, on an
            accelerator, a synchronisation; ``"shapes"`` shapes alone, ``"none"`` neither. Compiled and exported graphs
            check no values.
        streaming: read queries and keys instead of attention, which pruned blocks then never hold as a matrix of
            B x H x N x N numbers: they attend by a fused kernel, and the score comes from one more pass over queries
            and keys, in blocks (:func:`pomt_ref.streaming.step.prune_qkv`).

    Returns:
        The patched model.

    Raises:
        ModelError: the model, or a block of it, is not understood, or is patched already; with ``streaming``, queries
            and keys of a block cannot be read.
        PomtError: R, layers, prefix or an option out of range; the message says what is allowed.

    Source: arXiv 2407.05941 section 3.4. Deviation: the authors' patch prunes nothing at large R, assumes one prefix
    token and takes no notice of rotary positions (errata 1 to 3, 7).

    >>> import torch
    >>> from pomt_ref.vision.vit import DigitsViT
    >>> patched = patch(DigitsViT().eval(), remove=8)
    >>> patched(torch.rand(2, 8, 8)).shape, patched.steps[0].tokens_after
    (torch.Size([2, 10]), 9)
    >>> _ = patched.unpatch()
    """
    refuse_unusable(model)
    if not isinstance(streaming, bool):
        raise OptionError("patch", "CHOOSE-3", "streaming, a bool", f"streaming={streaming!r}")
    encoder = find_encoder(model, streaming=streaming)
    if example is not None and not isinstance(example, Tensor):
        raise KindError("patch", "CHOOSE-3", "example, a torch.Tensor", type(example).__name__)
    removes = plan(remove, layer, depth=len(encoder.blocks))
    rows = _prefix(prefix, encoder.kind.prefix(encoder.owner), getattr(model, "num_prefix_tokens", None))
    options = Options(method, normalisation, class_index, normalise, ties, check)
    options.verify("patch", prefix=rows)
    if example is None:
        example = example_for(model, encoder, tokens=rows + sum(max(each, 0) for each in removes.values()) + 2)
    splices = {index: encoder.kind.splice(encoder.blocks[index], streaming=streaming) for index in removes}
    tokens = prove_identity(model, splices, example)
    verify_plan(removes, tokens=tokens, prefix=rows, method=method)
    places = [
        (Layer(index, prefix=rows, remove=removes[index], options=options), splice)
        for index, splice in splices.items()
        if removes[index]
    ]
    return _rehearsed(model, places, example)


def _rehearsed(model: nn.Module, places: Sequence[tuple[Layer, Splice]], example: Tensor) -> PatchedModel:
    """The model with its steps in place, once it has run with them; else as it was."""
    try:
        for layer, splice in places:
            splice.attach(layer)
        rehearse(model, example, "a model that also works with fewer tokens in its later parts")
    except BaseException:
        for _, splice in places:
            splice.detach()
        raise
    for layer, _ in places:
        layer.last = None
    return PatchedModel(model, places)


def _prefix(*sources: object) -> int:
    """P, by the first who says it."""
    said = next((source for source in sources if source is not None), None)
    if said is None:
        expected = "prefix=, the number of prefix tokens"
        raise OptionError("patch", "CHOOSE-3", expected, "a model that does not say its own")
    if isinstance(said, bool) or not isinstance(said, int) or said < 0:
        raise KindError("patch", "CHOOSE-3", "prefix, an int of zero or more", f"prefix={said!r}")
    return said


def _same_device(model: nn.Module, inputs: tuple[object, ...]) -> None:
    """Inputs lie where some part of the model does."""
    devices = {parameter.device for parameter in model.parameters()}
    for tensor in inputs:
        if isinstance(tensor, Tensor) and devices and tensor.device not in devices:
            known = ", ".join(sorted(map(str, devices)))
            expected = f"inputs on the device of the model ({known})"
            raise DeviceError("patch", "POMT-PREC-1", expected, f"{tensor.device}")
