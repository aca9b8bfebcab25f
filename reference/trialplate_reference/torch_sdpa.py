"""PyTorch's fused attention, as a correct implementation for benches: it shows no scores and no probabilities."""

from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812

from trialplate_reference.torch_gpt2 import TorchGPT2, register_attention


def _fused_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor,
    scaling: float,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    context = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling)
    module.observer(cached_k=key.transpose(1, 2), cached_v=value.transpose(1, 2), mask=mask)
    return context.transpose(1, 2), None


register_attention("trialplate-sdpa", _fused_attention)


class TorchSdpa(TorchGPT2):
    name = "torch-sdpa"
    attention = "trialplate-sdpa"
    unobserved = ("attn.scores", "attn.probs")
