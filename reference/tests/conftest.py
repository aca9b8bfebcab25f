"""A tiny GPT-2 with random weights, and sessions on it that the tests share."""

import functools
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

os.environ.setdefault("TRIALPLATE_CACHE", tempfile.mkdtemp(prefix="trialplate-tests-"))

from trialplate_reference import Session, open_session
from trialplate_reference.activations import weight_shapes
from trialplate_reference.arrays import Array
from trialplate_reference.config import ModelConfig

pytest_plugins = ["bundle_fixtures"]

CONFIG = {
    "model_type": "gpt2",
    "architectures": ["GPT2LMHeadModel"],
    "activation_function": "gelu_new",
    "layer_norm_epsilon": 1e-5,
    "n_layer": 2,
    "n_embd": 24,
    "n_head": 3,
    "n_positions": 40,
    "vocab_size": 300,
}
TEXT = (
    "The coin is weighed against the plate; it's 12 grains, they'll say 13.  Ça va? 你好\n\n\tnaïve 🙂 x_1 = [2, 3]\n"
)


def random_weights(config: ModelConfig) -> dict[str, Array]:
    rng = np.random.default_rng(7)
    weights: dict[str, Array] = {}
    for name, shape in weight_shapes(config).items():
        centre = 1.0 if "ln_" in name and name.endswith("weight") else 0.0
        weights[name] = rng.normal(centre, 0.3, shape).astype(np.float32)
    return weights


def write_config(model: Path, **changes: object) -> None:
    (model / "config.json").write_text(json.dumps(CONFIG | changes))


def write_tokenizer(model: Path) -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=CONFIG["vocab_size"],
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT] * 3, trainer)
    tokenizer.save(str(model / "tokenizer.json"))


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny")
    write_config(path)
    write_tokenizer(path)
    weights = random_weights(ModelConfig.read(path))
    save_file({f"transformer.{name}": weight for name, weight in weights.items()}, path / "model.safetensors")
    return path


@pytest.fixture(scope="session")
def session(model: Path) -> Callable[[str, str], Session]:
    """One session for each implementation and precision."""
    return functools.cache(lambda implementation, precision: open_session(implementation, precision, str(model), 1))


def make_case(**changes: object) -> dict[str, object]:
    """Two rows of ten tokens: a prefill of six, then decoding."""
    rows = np.random.default_rng(3).integers(0, CONFIG["vocab_size"], (2, 10)).tolist()
    case = {"id": "two-rows", "token_ids": rows, "texts": None, "schedule": [6, 1, 2, 1], "generate": 0, "forced": None}
    return case | changes


def distance(found: Array, expected: Array) -> float:
    """Largest difference relative to the largest expected value; infinite where they are not infinite alike."""
    assert found.shape == expected.shape
    finite = np.isfinite(expected)
    if not np.array_equal(found[~finite], expected[~finite]):
        return float("inf")
    differences, scale = np.abs(found[finite] - expected[finite]), np.abs(expected[finite])
    return float(differences.max(initial=0.0)) / max(float(scale.max(initial=0.0)), 1e-30)
