"""What a recorded tensor is called: by the path of its module, by a map, or as Trialplate's specs name it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trialplate_capture.arrays import Held, digest_of

Names = str | Mapping[str, str] | Callable[[str], str | None] | None
"""A preset, a map with `{l}` for the layer, or a function of the recorded name that gives None for what is left out."""

Named = Iterable[tuple[str, Held]]
Naming = Callable[[str, Held], Named]


@dataclass(frozen=True)
class Shown:
    """How one recorded tensor is shown under other names."""

    names: tuple[str, ...]
    """More than one where the last axis holds so many parts side by side."""
    heads: str = ""
    """`queries` or `keys`: the last axis is split into heads of these and their width."""
    swapped: bool = False
    """Heads come before positions, and are brought behind them."""
    shared: bool = False
    """All rows of a batch share one, which is shown for each of them."""


def naming(names: Names, config: Any) -> Naming:
    """The function that names what is recorded. `config` says how many heads a model has, which presets need."""
    if names is None:
        return lambda name, held: [(name, held)]
    if isinstance(names, str):
        if names not in PRESETS:
            raise ValueError(f"there is no preset {names!r}, expected one of {', '.join(PRESETS)}")
        return _by_preset(PRESETS[names], config)
    if callable(names):
        return _by_function(names)
    return _by_map(names)


def _by_function(names: Callable[[str], str | None]) -> Naming:
    def name(recorded: str, held: Held) -> Named:
        new = names(recorded)
        return [] if new is None else [(new, held)]

    return name


def _by_map(names: Mapping[str, str]) -> Naming:
    """What the map does not name keeps its name."""
    patterns = [(_pattern(theirs), ours) for theirs, ours in names.items()]

    def name(recorded: str, held: Held) -> Named:
        for pattern, ours in patterns:
            if found := pattern.fullmatch(recorded):
                return [(_filled(ours, found), held)]
        return [(recorded, held)]

    return name


def _by_preset(preset: Mapping[str, Shown], config: Any) -> Naming:
    """What the preset does not name is left out."""
    patterns = [(_pattern(theirs), shown) for theirs, shown in preset.items()]
    rows = 1

    def name(recorded: str, held: Held) -> Named:
        nonlocal rows
        if recorded == "input_ids":
            rows = len(held.array)
        for pattern, shown in patterns:
            if found := pattern.fullmatch(recorded):
                parts = np.split(held.array, len(shown.names), axis=-1) if len(shown.names) > 1 else [held.array]
                arranged = (_arranged(part, shown, config, rows) for part in parts)
                return [
                    (_filled(ours, found), Held(held.dtype, array, digest_of(array)))
                    for ours, array in zip(shown.names, arranged, strict=True)
                ]
        return []

    return name


def _arranged(array: np.ndarray[Any, Any], shown: Shown, config: Any, rows: int) -> np.ndarray[Any, Any]:
    if shown.shared and len(array) == 1:
        array = np.broadcast_to(array, (rows, *array.shape[1:]))
    if shown.heads:
        heads = config.num_attention_heads
        if shown.heads == "keys":
            heads = getattr(config, "num_key_value_heads", None) or heads
        array = array.reshape(*array.shape[:-1], heads, -1)
    return array.swapaxes(1, 2) if shown.swapped else array


def _pattern(theirs: str) -> re.Pattern[str]:
    return re.compile(re.escape(theirs).replace(r"\{l\}", r"(?P<l>\d+)"))


def _filled(ours: str, found: re.Match[str]) -> str:
    layer = found.groupdict().get("l")
    return ours if layer is None else ours.replace("{l}", layer)


def _one(name: str, heads: str = "", swapped: bool = False) -> Shown:
    return Shown((name,), heads, swapped)


_GPT2 = {
    "input_ids": _one("token_ids"),
    "transformer.h.0.input.0": _one("embd"),
    "transformer.h.{l}.ln_1": _one("h.{l}.ln_1"),
    "transformer.h.{l}.attn.c_attn": Shown(("h.{l}.attn.q", "h.{l}.attn.k", "h.{l}.attn.v"), "queries"),
    "transformer.h.{l}.attn.key": _one("h.{l}.attn.cached_k", swapped=True),
    "transformer.h.{l}.attn.value": _one("h.{l}.attn.cached_v", swapped=True),
    "transformer.h.{l}.attn.scores": _one("h.{l}.attn.scores"),
    "transformer.h.{l}.attn.probs": _one("h.{l}.attn.probs"),
    "transformer.h.{l}.attn.c_proj.input.0": _one("h.{l}.attn.context"),
    "transformer.h.{l}.attn.c_proj": _one("h.{l}.attn.out"),
    "transformer.h.{l}.ln_2.input.0": _one("h.{l}.mid"),
    "transformer.h.{l}.ln_2": _one("h.{l}.ln_2"),
    "transformer.h.{l}.mlp.c_fc": _one("h.{l}.mlp.fc"),
    "transformer.h.{l}.mlp.act": _one("h.{l}.mlp.act"),
    "transformer.h.{l}.mlp.c_proj": _one("h.{l}.mlp.out"),
    "transformer.h.{l}": _one("h.{l}.out"),
    "transformer.h.{l}.0": _one("h.{l}.out"),  # of older libraries
    "transformer.ln_f": _one("ln_f"),
    "lm_head": _one("logits"),
}

_LLAMA = {
    "input_ids": _one("token_ids"),
    "model.layers.0.input.0": _one("embd"),
    "model.rotary_emb.0": Shown(("rope.cos",), shared=True),
    "model.rotary_emb.1": Shown(("rope.sin",), shared=True),
    "model.layers.{l}.input_layernorm": _one("h.{l}.attn_norm"),
    "model.layers.{l}.self_attn.q_proj": _one("h.{l}.attn.q_proj", "queries"),
    "model.layers.{l}.self_attn.k_proj": _one("h.{l}.attn.k_proj", "keys"),
    "model.layers.{l}.self_attn.v_proj": _one("h.{l}.attn.v", "keys"),
    "model.layers.{l}.self_attn.q_norm": _one("h.{l}.attn.q_norm"),
    "model.layers.{l}.self_attn.k_norm": _one("h.{l}.attn.k_norm"),
    "model.layers.{l}.self_attn.query": _one("h.{l}.attn.q", swapped=True),
    "model.layers.{l}.self_attn.key": _one("h.{l}.attn.cached_k", swapped=True),
    "model.layers.{l}.self_attn.new_key": _one("h.{l}.attn.k", swapped=True),
    "model.layers.{l}.self_attn.value": _one("h.{l}.attn.cached_v", swapped=True),
    "model.layers.{l}.self_attn.scores": _one("h.{l}.attn.scores"),
    "model.layers.{l}.self_attn.probs": _one("h.{l}.attn.probs"),
    "model.layers.{l}.self_attn.o_proj.input.0": _one("h.{l}.attn.context"),
    "model.layers.{l}.self_attn.o_proj": _one("h.{l}.attn.out"),
    "model.layers.{l}.post_attention_layernorm.input.0": _one("h.{l}.mid"),
    "model.layers.{l}.post_attention_layernorm": _one("h.{l}.mlp_norm"),
    "model.layers.{l}.mlp.gate_proj": _one("h.{l}.mlp.gate"),
    "model.layers.{l}.mlp.up_proj": _one("h.{l}.mlp.up"),
    "model.layers.{l}.mlp.act_fn": _one("h.{l}.mlp.act"),
    "model.layers.{l}.mlp.down_proj.input.0": _one("h.{l}.mlp.product"),
    "model.layers.{l}.mlp.down_proj": _one("h.{l}.mlp.out"),
    "model.layers.{l}": _one("h.{l}.out"),
    "model.layers.{l}.0": _one("h.{l}.out"),  # of older libraries
    "model.norm": _one("norm_f"),
    "lm_head": _one("logits"),
}

PRESETS: dict[str, dict[str, Shown]] = {"huggingface-gpt2": _GPT2, "huggingface-llama": _LLAMA}
"""The names of Trialplate's specs, for models of Hugging Face's."""
