"""What a model directory's `config.json` says, reduced to what a GPT-2 forward pass depends on."""

import json
from dataclasses import dataclass
from pathlib import Path

# Options of Hugging Face's GPT-2 that change the computation, with the only value the checkpoints are specified for.
_FIXED = {
    "model_type": "gpt2",
    "activation_function": "gelu_new",
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "reorder_and_upcast_attn": False,
    "add_cross_attention": False,
}


@dataclass(frozen=True)
class ModelConfig:
    layers: int
    width: int
    heads: int
    context: int
    vocabulary: int
    inner: int
    """Width of the feed-forward layer, 4·width unless the model says otherwise."""
    epsilon: float
    tied_head: bool

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    @staticmethod
    def read(model: Path) -> "ModelConfig":
        path = model / "config.json"
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing; expected a model directory in Hugging Face format")
        raw = json.loads(path.read_text(encoding="utf-8"))
        for option, expected in _FIXED.items():
            if (found := raw.get(option, expected)) != expected:
                raise ValueError(f"{path}: {option} is {found!r}; this reference computes {expected!r} only")
        try:
            config = ModelConfig(
                layers=raw["n_layer"],
                width=raw["n_embd"],
                heads=raw["n_head"],
                context=raw["n_positions"],
                vocabulary=raw["vocab_size"],
                inner=raw.get("n_inner") or 4 * raw["n_embd"],
                epsilon=raw["layer_norm_epsilon"],
                tied_head=raw.get("tie_word_embeddings", True),
            )
        except KeyError as missing:
            raise ValueError(f"{path}: {missing} is missing") from None
        if config.width % config.heads:
            raise ValueError(f"{path}: n_embd {config.width} is not a multiple of n_head {config.heads}")
        return config
