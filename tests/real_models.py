"""Real vision transformers for the tests: of timm, torchvision and transformers, small, with random weights.

A build of torch for the CPU and torchvision from the package index do not fit: the second registers its operators for
another build, and its import fails for lack of two of them. Neither is ever called here, so they are only declared.
"""

import importlib
import sys
from importlib.util import find_spec
from typing import Any, Final

import pytest
import torch
from torch import Tensor, nn

OPERATORS: Final = ("nms", "qnms")
"""What torchvision registers shapes for when it is imported."""

_declared: list[torch.library.Library] = []
"""A library ends with its object."""

FAMILIES: Final[dict[str, tuple[str, dict[str, Any], int]]] = {
    "ViT": ("vit_tiny_patch16_224", {"img_size": 64}, 1),
    "DeiT": ("deit_tiny_patch16_224", {"img_size": 64}, 1),
    "DeiT3": ("deit3_small_patch16_224", {"img_size": 64}, 1),
    "DeiT distilled": ("deit_tiny_distilled_patch16_224", {"img_size": 64}, 2),
    "DINOv2": ("vit_small_patch14_dinov2", {"img_size": 56}, 1),
    "DINOv2 with registers": ("vit_small_patch14_reg4_dinov2", {"img_size": 56}, 5),
    "SigLIP": ("vit_base_patch16_siglip_224", {"img_size": 64}, 0),
    "CLIP": ("vit_base_patch32_clip_224", {"img_size": 128}, 1),
    "query and key norms": ("vit_tiny_patch16_224", {"img_size": 64, "qk_norm": True}, 1),
    "mean of patches": ("vit_medium_patch16_gap_240", {"img_size": 64}, 0),
}
"""A model of timm, what makes it 16 patches large, and its P."""


def import_torchvision() -> Any:  # noqa: ANN401 -- a module without types
    """Torchvision, with its operators declared where they are missing."""
    try:
        return importlib.import_module("torchvision")
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in OPERATORS:
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared.append(library)
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        return importlib.import_module("torchvision")


def import_timm() -> Any:  # noqa: ANN401 -- as above
    """Timm; a test that needs it is skipped where it is not installed."""
    if find_spec("timm") is None:
        pytest.skip("timm is not installed")
    import_torchvision()
    return importlib.import_module("timm")


def enliven(model: nn.Module, *, seed: int = 0) -> nn.Module:
    """Draw every parameter anew, in evaluation mode: as they are made, layer scales and heads are next to nothing."""
    numbers = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                deviation = (0.5 if "head" in name else 1.0) * parameter[0].numel() ** -0.5
                parameter.copy_(deviation * torch.randn(parameter.shape, generator=numbers))
            elif "gamma" in name or "weight" in name:
                parameter.copy_(1 + 0.2 * torch.randn(parameter.shape, generator=numbers))
            else:
                parameter.copy_(0.2 * torch.randn(parameter.shape, generator=numbers))
    return model.eval()


def timm_model(family: str, **options: Any) -> Any:  # noqa: ANN401 -- a model without types
    """One of the families: three blocks, three heads, 48 channels, 16 patches."""
    name, made_small, _ = FAMILIES[family]
    small = {"embed_dim": 48, "depth": 3, "num_heads": 3, "num_classes": 10}
    return enliven(import_timm().create_model(name, pretrained=False, **{**small, **made_small, **options}))


def images_for(model: Any, batch: int = 2, *, seed: int = 1) -> Tensor:  # noqa: ANN401 -- a model without types
    """Noise in the size of a model of timm."""
    numbers = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 3, *model.patch_embed.img_size, generator=numbers)


def import_transformers() -> Any:  # noqa: ANN401 -- a module without types
    """Transformers; a test that needs it is skipped where it is not installed."""
    if find_spec("transformers") is None:
        pytest.skip("transformers is not installed")
    import_torchvision()
    return importlib.import_module("transformers")


def hugging_face_model(kind: str, **options: Any) -> Any:  # noqa: ANN401 -- a model without types
    """ViT or DeiT with a classifier: three layers, three heads, 48 channels, 16 patches."""
    transformers = import_transformers()
    config = getattr(transformers, f"{kind}Config")
    head = {"ViT": "ViTForImageClassification", "DeiT": "DeiTForImageClassificationWithTeacher"}[kind]
    small = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 96}
    sizes = {**small, "image_size": 32, "patch_size": 8, "num_labels": 10, **options}
    return enliven(getattr(transformers, head)(config(**sizes)))


def encoder(*, norm_first: bool, batch_first: bool, heads: int = 4, depth: int = 3) -> nn.TransformerEncoder:
    """An encoder of torch: 24 channels."""
    layer = nn.TransformerEncoderLayer(
        24, heads, 48, norm_first=norm_first, batch_first=batch_first, activation="gelu", dropout=0.1
    )
    made = nn.TransformerEncoder(layer, depth, norm=nn.LayerNorm(24), enable_nested_tensor=False)
    enliven(made)
    return made
