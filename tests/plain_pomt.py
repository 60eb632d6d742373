"""POMT, Top-K and EViT once more, in plain loops over NumPy numbers, and forward passes of real models around them.

Written for the tests of patching and from the clauses alone: nothing of the package is used.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

Rows = NDArray[np.float64]


def pomt_scores(attn: Rows, v: Rows, prefix: int) -> Rows:
    """Scores of a batch: (batch, heads, tokens, tokens) and (batch, heads, tokens, features)."""
    batch, _, tokens, _ = attn.shape
    sums = np.zeros((batch, tokens - prefix))
    for sample in range(batch):
        for key in range(prefix, tokens):
            sums[sample, key - prefix] = sum(max(attn[sample, :, query, key]) for query in range(prefix, tokens))
    scores: Rows = sums / sums.max()
    for sample in range(batch):
        sizes = [sum(max(column) for column in v[sample, :, token].T) for token in range(tokens)]
        powers = [math.exp(size - max(sizes)) for size in sizes]
        for key in range(prefix, tokens):
            scores[sample, key - prefix] += powers[key] / sum(powers)
    return scores


def class_scores(attn: Rows, _v: Rows, prefix: int) -> Rows:
    """The attention of row 0, its mean over heads."""
    scores: Rows = attn[:, :, 0, prefix:].mean(axis=1)
    return scores


def pruned_rows(method: str, x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, remove: int) -> Tensor:
    """The tokens that are left of a batch."""
    score = pomt_scores if method == "pomt" else class_scores
    scores = score(attn.double().numpy(), v.double().numpy(), prefix)
    keep = x.shape[1] - prefix - remove - (method != "topk")
    samples = []
    for sample in range(len(x)):
        falling = (-scores[sample]).tolist()
        order = sorted(range(len(falling)), key=falling.__getitem__)
        rows = [x[sample, row] for row in range(prefix)] + [x[sample, prefix + patch] for patch in order[:keep]]
        others = [x[sample, prefix + patch].double() for patch in order[keep:]]
        if method == "pomt":
            rows.append((sum(others, torch.zeros(1)) / len(others)).to(x.dtype))
        if method == "evit":
            weighted = (scores[sample, patch] * row for patch, row in zip(order[keep:], others, strict=True))
            rows.append(sum(weighted, torch.zeros(1)).to(x.dtype))
        samples.append(torch.stack(rows))
    return torch.stack(samples)


def attend(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Attention head by head: what it makes of the values, heads side by side, and itself."""
    heads = []
    mixed = []
    for head in range(q.shape[1]):
        logits = q[:, head] @ k[:, head].transpose(1, 2) / math.sqrt(q.shape[3])
        heads.append(torch.softmax(logits, dim=2))
        mixed.append(heads[-1] @ v[:, head])
    return torch.cat(mixed, dim=2), torch.stack(heads, dim=1)


def by_heads(joined: Tensor, heads: int) -> Tensor:
    """(batch, tokens, channels) to (batch, heads, tokens, features)."""
    return torch.stack(joined.chunk(heads, dim=2), dim=1)


@torch.no_grad()
def timm_forward(model: Any, images: Tensor, removes: Mapping[int, int], method: str = "pomt") -> Tensor:  # noqa: ANN401 -- a model without types
    """A model of timm, its blocks written out, pruned between the residuals of some of them."""
    x = model.norm_pre(model._pos_embed(model.patch_embed(images)))  # noqa: SLF001 -- timm's own name for a step
    for index, block in enumerate(model.blocks):
        attention = block.attn
        q, k, v = (
            by_heads(joined, attention.num_heads)
            for joined in functional.linear(block.norm1(x), attention.qkv.weight, attention.qkv.bias).chunk(3, dim=2)
        )
        mixed, attn = attend(attention.q_norm(q), attention.k_norm(k), v)
        x = x + block.ls1(attention.proj(mixed))
        if removes.get(index):
            x = pruned_rows(method, x, attn, v, prefix=model.num_prefix_tokens, remove=removes[index])
        x = x + block.ls2(block.mlp(block.norm2(x)))
    logits: Tensor = model.forward_head(model.norm(x))
    return logits


def multihead(attention: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ANN401 -- a module
    """``torch.nn.MultiheadAttention`` of tokens to themselves: what it returns, its attention, its values."""
    joint = functional.linear(x, attention.in_proj_weight, attention.in_proj_bias)
    q, k, v = (by_heads(joined, attention.num_heads) for joined in joint.chunk(3, dim=2))
    mixed, attn = attend(q, k, v)
    return functional.linear(mixed, attention.out_proj.weight, attention.out_proj.bias), attn, v


@torch.no_grad()
def encoder_forward(
    encoder: nn.TransformerEncoder, x: Tensor, removes: Mapping[int, int], *, prefix: int, method: str = "pomt"
) -> Tensor:
    """``torch.nn.TransformerEncoder`` on (batch, tokens, channels), its layers written out."""
    layers: Any = encoder.layers
    for index, layer in enumerate(layers):
        update, attn, v = multihead(layer.self_attn, layer.norm1(x) if layer.norm_first else x)
        x = x + update if layer.norm_first else layer.norm1(x + update)
        if removes.get(index):
            x = pruned_rows(method, x, attn, v, prefix=prefix, remove=removes[index])
        read = layer.norm2(x) if layer.norm_first else x
        update = layer.linear2(layer.activation(layer.linear1(read)))
        x = x + update if layer.norm_first else layer.norm2(x + update)
    return x if encoder.norm is None else encoder.norm(x)


@torch.no_grad()
def hugging_face_forward(
    model: Any,  # noqa: ANN401 -- a model without types
    images: Tensor,
    removes: Mapping[int, int],
    *,
    prefix: int,
    method: str = "pomt",
) -> Tensor:
    """The tokens after the last layer of a ViT or DeiT of transformers, its layers written out."""
    x = model.embeddings(images)
    for index, layer in enumerate(model.layers):
        attention = layer.attention
        read = layer.layernorm_before(x)
        maps = (attention.q_proj, attention.k_proj, attention.v_proj)
        q, k, v = (by_heads(each(read), attention.num_attention_heads) for each in maps)
        mixed, attn = attend(q, k, v)
        x = x + attention.o_proj(mixed)
        if removes.get(index):
            x = pruned_rows(method, x, attn, v, prefix=prefix, remove=removes[index])
        x = x + layer.mlp(layer.layernorm_after(x))
    tokens: Tensor = model.layernorm(x)
    return tokens


@torch.no_grad()
def torchvision_forward(model: Any, images: Tensor, removes: Mapping[int, int]) -> Tensor:  # noqa: ANN401 -- a model without types
    """The tokens after the encoder of torchvision's ViT, its blocks written out."""
    x = model._process_input(images)  # noqa: SLF001 -- torchvision's own name for a step
    x = torch.cat([model.class_token.expand(len(x), -1, -1), x], dim=1) + model.encoder.pos_embedding
    for index, block in enumerate(model.encoder.layers):
        update, attn, v = multihead(block.self_attention, block.ln_1(x))
        x = x + update
        if removes.get(index):
            x = pruned_rows("pomt", x, attn, v, prefix=1, remove=removes[index])
        x = x + block.mlp(block.ln_2(x))
    tokens: Tensor = model.encoder.ln(x)
    return tokens
