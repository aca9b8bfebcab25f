import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_case, random_weights, write_config
from safetensors.torch import save_file

from trialplate_reference import open_session
from trialplate_reference.config import ModelConfig
from trialplate_reference.weights import read_weights

Tensors = dict[str, torch.Tensor]


@pytest.fixture
def tensors(tmp_path: Path) -> Tensors:
    write_config(tmp_path)
    return {name: torch.from_numpy(weight) for name, weight in random_weights(ModelConfig.read(tmp_path)).items()}


def prefixed(tensors: Tensors) -> Tensors:
    return {f"transformer.{name}": tensor for name, tensor in tensors.items()}


def with_buffers(tensors: Tensors) -> Tensors:
    pattern = torch.ones(1, 1, 40, 40, dtype=torch.bool)
    return tensors | {"h.0.attn.bias": pattern, "h.0.attn.masked_bias": torch.tensor(-1e4)}


def with_head(tensors: Tensors) -> Tensors:
    return prefixed(tensors) | {"lm_head.weight": tensors["wte.weight"].clone()}


LAYOUTS: dict[str, Callable[[Tensors], Tensors]] = {
    "plain": lambda tensors: tensors,
    "prefixed": prefixed,
    "with mask buffers": with_buffers,
    "with a copy of the tied head": with_head,
    "f16": lambda tensors: {name: tensor.half() for name, tensor in tensors.items()},
    "bf16": lambda tensors: {name: tensor.bfloat16() for name, tensor in tensors.items()},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_both_readers_hold_the_same_weights(tmp_path: Path, tensors: Tensors, layout: str) -> None:
    stored = LAYOUTS[layout](tensors)
    save_file(stored, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert_digests(tmp_path, stored)


def test_shards_are_read_as_one(tmp_path: Path, tensors: Tensors) -> None:
    names = list(tensors)
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, held in shards.items():
        save_file({name: tensors[name] for name in held}, tmp_path / file, metadata={"format": "pt"})
    weight_map = {name: file for file, held in shards.items() for name in held}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    assert_digests(tmp_path, tensors)


def assert_digests(model: Path, stored: Tensors) -> None:
    config = ModelConfig.read(model)
    canonical = {name.removeprefix("transformer."): tensor.float().numpy() for name, tensor in stored.items()}
    expected = {
        f"weights.{name}": hashlib.sha256(canonical[name].tobytes()).hexdigest() for name in read_weights(model, config)
    }
    for implementation in ("torch", "tinygrad"):
        capture = open_session(implementation, "f64", str(model), 1).run(make_case(token_ids=[[1]], schedule=[1]))
        found = {name: value.tobytes().hex() for name, value in capture.items() if name.startswith("weights.")}
        assert found == expected, implementation
        assert capture["head.tied"].tolist() == [1], implementation


def test_an_untied_head_is_used_and_reported(tmp_path: Path, tensors: Tensors) -> None:
    write_config(tmp_path, tie_word_embeddings=False)
    head = tensors["wte.weight"].flip(0).contiguous()
    save_file(prefixed(tensors) | {"lm_head.weight": head}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    for implementation in ("torch", "tinygrad"):
        capture = open_session(implementation, "f64", str(tmp_path), 1).run(make_case(token_ids=[[1]], schedule=[1]))
        assert capture["head.tied"].tolist() == [0], implementation
        logits = capture["step0/ln_f"] @ head.numpy().astype(np.float64).T
        assert np.allclose(capture["step0/logits"], logits, rtol=1e-12), implementation


def missing(tensors: Tensors) -> Tensors:
    return {name: tensor for name, tensor in tensors.items() if name != "ln_f.bias"}


BROKEN: dict[str, tuple[Callable[[Tensors], Tensors], str]] = {
    "missing": (missing, r"has no weights \['ln_f.bias'\]"),
    "unknown": (lambda tensors: tensors | {"h.9.ln_1.bias": torch.zeros(24)}, r"h\.9\.ln_1\.bias.*expected None"),
    "transposed": (lambda tensors: tensors | {"h.0.mlp.c_fc.weight": torch.zeros(96, 24)}, r"expected \(24, 96\)"),
    "twice": (lambda tensors: tensors | {"transformer.ln_f.bias": torch.zeros(24)}, "stored twice"),
    "integers": (lambda tensors: tensors | {"ln_f.bias": torch.zeros(24, dtype=torch.int8)}, "is I8"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_the_reader_refuses_what_is_not_this_model(tmp_path: Path, tensors: Tensors, fault: str) -> None:
    change, message = BROKEN[fault]
    save_file(change(tensors), tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=message):
        read_weights(tmp_path, ModelConfig.read(tmp_path))


def test_a_directory_without_weights_is_named(tmp_path: Path) -> None:
    write_config(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"neither model\.safetensors nor"):
        read_weights(tmp_path, ModelConfig.read(tmp_path))
