"""Trying a model on an example before it is handed back patched: R = 0 is the identity, and fewer tokens are enough."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from operator import index

import torch
from torch import Tensor, nn

from pomt_ref.errors import DeviceError, KindError, OptionError, PomtError
from pomt_ref.vision.adapters import Encoder
from pomt_ref.vision.attending import Attention
from pomt_ref.vision.capturing import Capture
from pomt_ref.vision.errors import ModelError
from pomt_ref.vision.splicing import Splice, StepFunction

CLAUSE = "CHOOSE-3"


def refuse_patched(model: nn.Module, function: str) -> None:
    """A model without a step in it.

    Raises:
        ModelError: it prunes already.
    """
    for module in model.modules():
        if _is_patched(module):
            got = f"one that is patched already (in {type(module).__name__})"
            raise ModelError(function, CLAUSE, "an unpatched model: unpatch it first", got)


def refuse_unusable(model: nn.Module) -> None:
    """A module with values, neither compiled nor patched.

    Raises:
        PomtError: it is something else.
    """
    if not isinstance(model, nn.Module):
        raise KindError("patch", CLAUSE, "a torch.nn.Module", type(model).__name__)
    for module in model.modules():
        if type(module).__name__ == "OptimizedModule" or vars(module).get("_compiled_call_impl") is not None:
            expected, got = "a model that is compiled after it is patched", f"a compiled {type(module).__name__}"
            raise ModelError("patch", CLAUSE, expected, got)
    refuse_patched(model, "patch")
    if any(parameter.is_meta for parameter in model.parameters()):
        raise DeviceError("patch", CLAUSE, "a model with values", "parameters on the meta device")


def example_for(model: nn.Module, encoder: Encoder, *, tokens: int) -> Tensor:
    """Noise of the shape that the model takes, in the dtype and on the device of its parameters.

    The model's own ``image_shape`` comes before what its blocks and their owner tell.

    Raises:
        OptionError: the model does not say what it takes, or what it says is no shape.
    """
    shape = _image_shape(model) or encoder.kind.shape(encoder.owner, model, tokens=tokens)
    if shape is None:
        expected = "example=, an input to try the model on"
        raise OptionError("patch", CLAUSE, expected, "a model that does not say its own")
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    parameter = next((each for each in model.parameters() if each.is_floating_point()), noise)
    return noise.to(parameter.device, parameter.dtype)


def prove_identity(model: nn.Module, splices: Mapping[int, Splice], example: Tensor) -> int:
    """R = 0 is the identity: in one forward pass, every block returns bit for bit what it computes itself.

    What is read of it, attention or queries and keys, and values, has to be what it multiplies. The model is left
    unpatched.

    Arguments:
        model: runs its blocks once each.
        splices: the places for steps, by the index of their blocks.
        example: an input of the model.

    Returns:
        N, the number of tokens in the first of the blocks.

    Raises:
        ModelError: something does not hold; the message says what.
    """
    passes: Counter[int] = Counter()
    tokens: list[int] = []

    def watch(layer: int) -> StepFunction:
        def step(x: Tensor, _attention: Attention, _v: Tensor) -> Tensor:
            passes[layer] += 1
            tokens.append(x.shape[1])
            return x

        return step

    try:
        for layer, splice in splices.items():
            splice.proving = True
            splice.attach(watch(layer))
        rehearse(model, example, f"a model that runs on an example of shape {tuple(example.shape)}")
    finally:
        for splice in splices.values():
            splice.proving = False
            splice.detach()
    for layer in splices:
        if passes[layer] != 1:
            got = f"{passes[layer]} passes through block {layer}"
            raise ModelError("patch", CLAUSE, "a model that runs every block once", got)
    return tokens[0]


def rehearse(model: nn.Module, example: Tensor, expected: str) -> None:
    """One forward pass that leaves no trace: as in evaluation, without gradients, whatever mode the model is in.

    Raises:
        ModelError: the pass fails; ``expected`` says what should not have.
    """
    try:
        with _evaluating(model), torch.no_grad():
            model(example)
    except PomtError:
        raise
    except Exception as error:
        told = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise ModelError("patch", CLAUSE, expected, told) from error


def _image_shape(model: nn.Module) -> tuple[int, ...] | None:
    """One image of the shape that a model says it takes, if it does."""
    said: object = getattr(model, "image_shape", None)
    if said is None:
        return None
    try:
        sides = tuple(index(side) for side in said)  # type: ignore[attr-defined] # whatever it is; else a TypeError
    except TypeError:
        sides = ()
    if not sides or min(sides) < 1:
        raise OptionError("patch", CLAUSE, "image_shape, (channels, rows, columns)", f"image_shape={said!r}")
    return (1, *sides)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Every module in evaluation mode, and afterwards in the one that it was in."""
    before = {module: module.training for module in model.modules()}
    try:
        for module in before:
            module.training = False
        yield
    finally:
        for module, training in before.items():
            module.training = training


def _is_patched(module: nn.Module) -> bool:
    """Whether one of our hooks stands in a module."""
    hooks = [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]  # noqa: SLF001 -- torch lists them nowhere else
    return any(isinstance(getattr(hook, "__self__", None), Splice | Capture) for hook in hooks)
