"""The Llama family's forward pass at f64 on NumPy, from its description, without code or data of the references."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from trialplate_reference.arrays import Array

_KEYS_ALONE = ("cached_k", "cached_v")
_QUERIES_BY_KEYS = ("scores", "probs", "mask")


class LlamaForward:
    """All activations of whole rows at once, without a cache; a step is a part of them."""

    def __init__(self, model: Path):
        self.config: dict[str, Any] = json.loads((model / "config.json").read_text())
        stored = load_file(model / "model.safetensors")
        self.weights = {name.removeprefix("model."): weight.astype(np.float64) for name, weight in stored.items()}
        self.heads, self.groups = self.config["num_attention_heads"], self.config["num_key_value_heads"]
        self.head_width = self.config.get("head_dim") or self.config["hidden_size"] // self.heads

    def __call__(self, ids: Array) -> dict[str, Array]:
        positions = np.arange(ids.shape[1])
        cos, sin = self.tables(positions)
        x = self.weights["embed_tokens.weight"][ids]
        batch = (len(ids), 1, 1)
        shown = {"token_ids": ids, "embd": x, "rope.cos": np.tile(cos, batch), "rope.sin": np.tile(sin, batch)}
        for layer in range(self.config["num_hidden_layers"]):
            block = self._block(f"layers.{layer}.", x, cos, sin)
            shown |= {f"h.{layer}.{name}": value for name, value in block.items()}
            x = block["out"]
        shown["norm_f"] = self._norm("norm", x)
        head = self.weights.get("lm_head.weight", self.weights["embed_tokens.weight"])
        return shown | {"logits": shown["norm_f"] @ head.T}

    def tables(self, positions: Array) -> tuple[Array, Array]:
        angles = positions[:, None] * np.array(frequencies(self.config, self.head_width))
        angles = np.concatenate([angles, angles], axis=-1)
        return np.cos(angles), np.sin(angles)

    def _block(self, prefix: str, x: Array, cos: Array, sin: Array) -> dict[str, Array]:
        a = self._attention(prefix + "self_attn.", self._norm(prefix + "input_layernorm", x), cos, sin)
        mid = x + a["attn.out"]
        normed = self._norm(prefix + "post_attention_layernorm", mid)
        gate, up = (self._linear(prefix + f"mlp.{name}_proj", normed) for name in ("gate", "up"))
        act = gate / (1 + np.exp(-gate))
        out = self._linear(prefix + "mlp.down_proj", act * up)
        mlp = {"gate": gate, "up": up, "act": act, "product": act * up, "out": out}
        shown = a | {"mid": mid, "mlp_norm": normed, "out": mid + out}
        return shown | {f"mlp.{name}": value for name, value in mlp.items()}

    def _attention(self, prefix: str, x: Array, cos: Array, sin: Array) -> dict[str, Array]:
        rows, length = x.shape[:2]
        q, k, v = (
            self._linear(prefix + f"{name}_proj", x).reshape(rows, length, -1, self.head_width) for name in "qkv"
        )
        shown = {"q_proj": q, "k_proj": k, "v": v, "cached_v": v}
        if prefix + "q_norm.weight" in self.weights:
            q, k = self._norm(prefix + "q_norm", q), self._norm(prefix + "k_norm", k)
            shown |= {"q_norm": q, "k_norm": k}
        q, k = rotated(q, cos, sin), rotated(k, cos, sin)
        shared = self.heads // self.groups
        scores = np.stack([q[:, :, h] @ k[:, :, h // shared].swapaxes(1, 2) for h in range(self.heads)], axis=1)
        scores /= math.sqrt(self.head_width)
        mask = np.broadcast_to(self._mask(length), (rows, length, length))
        probs = softmax(scores + mask[:, None])
        context = np.concatenate([probs[:, h] @ v[:, :, h // shared] for h in range(self.heads)], axis=-1)
        shown |= {"q": q, "k": k, "cached_k": k, "scores": scores, "mask": mask, "probs": probs, "context": context}
        shown["out"] = self._linear(prefix + "o_proj", context)
        return {"attn_norm": x} | {f"attn.{name}": value for name, value in shown.items()}

    def _mask(self, length: int) -> Array:
        """What lies ahead is hidden, and what is a window or more behind."""
        window = self.config.get("sliding_window") or length
        behind = np.arange(length)[:, None] - np.arange(length)
        return np.where((behind >= 0) & (behind < window), 0.0, -np.inf)

    def _norm(self, name: str, x: Array) -> Array:
        mean_square = (x * x).mean(axis=-1, keepdims=True)
        return x / np.sqrt(mean_square + self.config["rms_norm_eps"]) * self.weights[name + ".weight"]

    def _linear(self, name: str, x: Array) -> Array:
        return x @ self.weights[name + ".weight"].T + self.weights.get(name + ".bias", 0.0)


def frequencies(config: Mapping[str, Any], width: int) -> list[float]:
    rope = config["rope_parameters"]
    plain = [rope["rope_theta"] ** (-2 * pair / width) for pair in range(width // 2)]
    match rope["rope_type"]:
        case "linear":
            return [frequency / rope["factor"] for frequency in plain]
        case "llama3":
            return [_llama3(frequency, rope) for frequency in plain]
    return plain


def _llama3(frequency: float, rope: Mapping[str, Any]) -> float:
    """Long waves are stretched, short ones are not, and between them there is a ramp."""
    low, high, factor = rope["low_freq_factor"], rope["high_freq_factor"], rope["factor"]
    turns = rope["original_max_position_embeddings"] * frequency / (2 * math.pi)
    kept = min(max((turns - low) / (high - low), 0.0), 1.0)
    return frequency * (kept + (1 - kept) / factor)


def rotated(x: Array, cos: Array, sin: Array) -> Array:
    """Element i and element i + Dh/2 are a point of the plane."""
    first, second = np.split(x, 2, axis=-1)
    return x * cos[:, None] + np.concatenate([-second, first], axis=-1) * sin[:, None]


def softmax(x: Array) -> Array:
    exponentials = np.exp(x - x.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def step_of(shown: Mapping[str, Array], position: int, length: int) -> dict[str, Array]:
    """What a step of `length` tokens after `position` others shows of whole rows."""
    end = position + length

    def part(name: str, value: Array) -> Array:
        kind = name.rsplit(".", 1)[-1]
        if kind in _QUERIES_BY_KEYS:
            return value[..., position:end, :end]
        return value[:, :end] if kind in _KEYS_ALONE else value[:, position:end]

    step = {name: part(name, value) for name, value in shown.items()}
    last = step["logits"][:, -1]
    probs = {f"probs.t{temperature:g}": softmax(last / temperature) for temperature in (0.5, 1.0, 2.0)}
    return step | {"logits.last": last, "token": last.argmax(axis=-1), **probs}
