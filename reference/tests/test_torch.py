from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import CONFIG, distance, make_case, random_weights, write_config
from safetensors.numpy import save_file
from transformers import DynamicCache

from trialplate_reference import Session, open_session
from trialplate_reference.config import ModelConfig
from trialplate_reference.torch_huggingface import load_model


@pytest.mark.parametrize("precision", ["f32", "f64"])
def test_observing_does_not_change_a_bit(session: Callable[[str, str], Session], model: Path, precision: str) -> None:
    case = make_case()
    capture = session("torch", precision).run(case)
    eager = load_model(model, "eager").to({"f32": torch.float32, "f64": torch.float64}[precision])
    cache, position = DynamicCache(), 0
    for step, length in enumerate(case["schedule"]):
        ids = torch.tensor(case["token_ids"])[:, position : position + length]
        logits = eager(ids, past_key_values=cache, use_cache=True).logits
        assert torch.equal(logits, torch.from_numpy(capture[f"step{step}/logits"]))
        position += length


def test_a_missing_weight_is_never_initialised_at_random(tmp_path: Path) -> None:
    write_config(tmp_path)
    weights = random_weights(ModelConfig.read(tmp_path))
    del weights["h.1.ln_2.bias"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"h\.1\.ln_2\.bias"):
        open_session("torch", "f32", str(tmp_path), 1)


def test_layers_beyond_the_config_are_refused(tmp_path: Path) -> None:
    write_config(tmp_path, n_layer=CONFIG["n_layer"] + 1)
    weights = random_weights(ModelConfig.read(tmp_path))
    write_config(tmp_path)
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"h\.2\.attn"):
        open_session("torch", "f32", str(tmp_path), 1)


def test_fused_attention_shows_all_but_scores_and_probabilities(session: Callable[[str, str], Session]) -> None:
    eager, fused = session("torch", "f64").run(make_case()), session("torch-sdpa", "f64").run(make_case())
    assert fused.keys() == {name for name in eager if not name.endswith(("attn.scores", "attn.probs"))}
    for name, array in fused.items():
        assert distance(array, eager[name]) <= 1e-12, name
