"""PyTorch's fused attention, as a correct implementation for benches: it shows no scores and no probabilities."""

from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812

from trialplate_reference.torch_attention import for_each_query_head, registered, show_rotated_and_cached
from trialplate_reference.torch_huggingface import TorchReference


def _fused_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor,
    scaling: float,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    keys, values = for_each_query_head(module, key, value)
    context = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask, scale=scaling)
    show_rotated_and_cached(module, query, key, value, mask)
    return context.transpose(1, 2), None


class TorchSdpa(TorchReference):
    name = "torch-sdpa"
    attention = registered("trialplate-sdpa", _fused_attention)
    unobserved = ("attn.scores", "attn.probs")
