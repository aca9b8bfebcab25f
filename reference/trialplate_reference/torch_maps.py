"""Where Hugging Face's models show each activation: modules, and what is taken at their calls."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

Take = Callable[[nn.Module, tuple[Any, ...], Any], tuple[torch.Tensor, ...]]
"""From a module, what it was given, and what it returned."""


@dataclass(frozen=True)
class Shown:
    """What calls of a module show."""

    module: str
    """Its path in the model; with `{l}`, one in each layer."""
    take: Take
    names: tuple[str, ...]
    heads: str = ""
    """Axes that the last one is split into: `H Dh`."""


@dataclass(frozen=True)
class ModelMap:
    attention: str
    """The module that calls the attention function."""
    by_attention: tuple[str, ...]
    """What of the attention function's values has no module: names under `h.{l}.attn.`."""
    softmax: torch.dtype | None
    """The type in which the library computes the softmax of attention, whatever that of the model is."""
    rotary: str | None
    """The module that holds the frequencies of rotary positions."""
    shown: tuple[Shown, ...]


def _given(_: nn.Module, args: tuple[Any, ...], __: Any) -> tuple[torch.Tensor, ...]:
    return (args[0],)


def _returned(_: nn.Module, __: tuple[Any, ...], output: Any) -> tuple[torch.Tensor, ...]:
    return (output,)


def _thirds(_: nn.Module, __: tuple[Any, ...], output: Any) -> tuple[torch.Tensor, ...]:
    thirds: tuple[torch.Tensor, ...] = output.chunk(3, dim=-1)
    return thirds


def _normalized(module: Any, args: tuple[Any, ...], output: Any) -> tuple[torch.Tensor, ...]:
    """A layer norm before its scale and bias, and after."""
    return F.layer_norm(args[0], module.normalized_shape, eps=module.eps), output


def _tables(_: nn.Module, args: tuple[Any, ...], output: Any) -> tuple[torch.Tensor, ...]:
    """Rows of a batch that have their positions in common share a table."""
    return tuple(table.expand(len(args[0]), -1, -1) for table in output)


_GPT2 = ModelMap(
    attention="transformer.h.{l}.attn",
    by_attention=("cached_k", "cached_v", "scores", "mask", "probs"),
    softmax=None,
    rotary=None,
    shown=(
        Shown("transformer.h.0", _given, ("embd",)),
        Shown("transformer.h.{l}.ln_1", _normalized, ("h.{l}.ln_1.normalized", "h.{l}.ln_1")),
        Shown("transformer.h.{l}.attn.c_attn", _thirds, ("h.{l}.attn.q", "h.{l}.attn.k", "h.{l}.attn.v"), "H Dh"),
        Shown("transformer.h.{l}.attn.c_proj", _given, ("h.{l}.attn.context",)),
        Shown("transformer.h.{l}.attn.c_proj", _returned, ("h.{l}.attn.out",)),
        Shown("transformer.h.{l}.ln_2", _given, ("h.{l}.mid",)),
        Shown("transformer.h.{l}.ln_2", _normalized, ("h.{l}.ln_2.normalized", "h.{l}.ln_2")),
        Shown("transformer.h.{l}.mlp.c_fc", _returned, ("h.{l}.mlp.fc",)),
        Shown("transformer.h.{l}.mlp.act", _returned, ("h.{l}.mlp.act",)),
        Shown("transformer.h.{l}.mlp.c_proj", _returned, ("h.{l}.mlp.out",)),
        Shown("transformer.h.{l}", _returned, ("h.{l}.out",)),
        Shown("transformer.ln_f", _normalized, ("ln_f.normalized", "ln_f")),
        Shown("lm_head", _returned, ("logits",)),
    ),
)

_LLAMA = ModelMap(
    attention="model.layers.{l}.self_attn",
    by_attention=("q", "k", "cached_k", "cached_v", "scores", "mask", "probs"),
    softmax=torch.float32,
    rotary="model.rotary_emb",
    shown=(
        Shown("model.layers.0", _given, ("embd",)),
        Shown("model.rotary_emb", _tables, ("rope.cos", "rope.sin")),
        Shown("model.layers.{l}.input_layernorm", _returned, ("h.{l}.attn_norm",)),
        Shown("model.layers.{l}.self_attn.q_proj", _returned, ("h.{l}.attn.q_proj",), "H Dh"),
        Shown("model.layers.{l}.self_attn.k_proj", _returned, ("h.{l}.attn.k_proj",), "G Dh"),
        Shown("model.layers.{l}.self_attn.v_proj", _returned, ("h.{l}.attn.v",), "G Dh"),
        Shown("model.layers.{l}.self_attn.q_norm", _returned, ("h.{l}.attn.q_norm",)),
        Shown("model.layers.{l}.self_attn.k_norm", _returned, ("h.{l}.attn.k_norm",)),
        Shown("model.layers.{l}.self_attn.o_proj", _given, ("h.{l}.attn.context",)),
        Shown("model.layers.{l}.self_attn.o_proj", _returned, ("h.{l}.attn.out",)),
        Shown("model.layers.{l}.post_attention_layernorm", _given, ("h.{l}.mid",)),
        Shown("model.layers.{l}.post_attention_layernorm", _returned, ("h.{l}.mlp_norm",)),
        Shown("model.layers.{l}.mlp.gate_proj", _returned, ("h.{l}.mlp.gate",)),
        Shown("model.layers.{l}.mlp.up_proj", _returned, ("h.{l}.mlp.up",)),
        Shown("model.layers.{l}.mlp.act_fn", _returned, ("h.{l}.mlp.act",)),
        Shown("model.layers.{l}.mlp.down_proj", _given, ("h.{l}.mlp.product",)),
        Shown("model.layers.{l}.mlp.down_proj", _returned, ("h.{l}.mlp.out",)),
        Shown("model.layers.{l}", _returned, ("h.{l}.out",)),
        Shown("model.norm", _returned, ("norm_f",)),
        Shown("lm_head", _returned, ("logits",)),
    ),
)

MAPS = {"gpt2": _GPT2, "llama": _LLAMA}
"""By the name of the family."""
