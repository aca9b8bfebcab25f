"""Attention functions that Hugging Face's models call in place of their own, and that hand on what they compute."""

from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask
from transformers.models.llama.modeling_llama import repeat_kv


def observed_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor,
    scaling: float,
    **_: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Hugging Face's eager attention, expression by expression, handing each result to the module's observer."""
    keys, values = for_each_query_head(module, key, value)
    scores = torch.matmul(query, keys.transpose(-1, -2)) * scaling
    probs = F.softmax(scores + mask, dim=-1, dtype=module.softmax_dtype).to(query.dtype)
    context = torch.matmul(probs, values).transpose(1, 2)
    show_rotated_and_cached(module, query, key, value, mask)
    module.observer(scores=scores, probs=probs)
    return context, probs


def for_each_query_head(module: Any, *cached: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Keys and values with each head repeated for the queries that share it, as the library does."""
    groups: int = getattr(module, "num_key_value_groups", 1)
    return tuple(repeat_kv(held, groups) for held in cached)


def show_rotated_and_cached(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor
) -> None:
    """What an attention function is given: queries and keys after rotation, keys and values after the cache."""
    cached_k, cached_v, new = key.transpose(1, 2), value.transpose(1, 2), query.shape[2]
    module.observer(
        q=query.transpose(1, 2),
        k=cached_k[:, -new:],
        cached_k=cached_k,
        cached_v=cached_v,
        mask=_additive(mask, len(key)),
    )


def registered(name: str, function: Any) -> str:
    """Makes the library call `function` for models loaded with `attn_implementation=name`."""
    AttentionInterface.register(name, function)
    AttentionMaskInterface.register(name, eager_mask)
    return name


def _additive(mask: torch.Tensor, batch: int) -> torch.Tensor:
    """`[B, S, K]` with −inf where Hugging Face writes the lowest finite number, its spelling of −inf."""
    lowest = torch.finfo(mask.dtype).min
    return mask[:, 0].masked_fill(mask[:, 0] == lowest, -torch.inf).expand(batch, -1, -1)
