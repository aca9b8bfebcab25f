"""Small models of the Llama family with random weights, written by the library itself."""

from pathlib import Path
from typing import Any

import torch
import transformers

VOCABULARY = 96
WINDOW = 16
_SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "intermediate_size": 72,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": None,
    "eos_token_id": None,
}
_LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
_LINEAR = {"rope_type": "linear", "rope_theta": 500000.0, "factor": 4.0}

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {}),
    "llama tied, llama3 scaling": ("Llama", {"tie_word_embeddings": True, "rope_parameters": _LLAMA3}),
    "llama with biases, linear scaling": ("Llama", {"attention_bias": True, "rope_parameters": _LINEAR}),
    "llama, wide heads, not grouped": ("Llama", {"head_dim": 10, "num_key_value_heads": 6}),
    "mistral": ("Mistral", {"sliding_window": WINDOW}),
    "mistral tied, no window": ("Mistral", {"sliding_window": None, "tie_word_embeddings": True}),
    "qwen2": ("Qwen2", {"tie_word_embeddings": True}),
    "qwen2, window": (
        "Qwen2",
        {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 0, "rms_norm_eps": 1e-5},
    ),
    "qwen3": ("Qwen3", {"head_dim": 16}),
    "qwen3 tied, with biases": ("Qwen3", {"head_dim": 8, "attention_bias": True, "tie_word_embeddings": True}),
}


def write_model(path: Path, name: str, seed: int, **changes: Any) -> Path:
    prefix, options = MODELS[name]
    config = getattr(transformers, prefix + "Config")(**_SIZES | options | changes)
    model = getattr(transformers, prefix + "ForCausalLM")(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight_name, weight in model.named_parameters():
            weight.normal_(1.0 if "norm" in weight_name else 0.0, 0.3, generator=generator)
    model.save_pretrained(path)
    return path
