"""GPT-2's options: what they change is in the captures, and both references agree on it."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import CONFIG, distance, make_case, random_weights, write_config
from safetensors.numpy import save_file

from trialplate_reference import open_session
from trialplate_reference.arrays import Array
from trialplate_reference.config import ModelConfig

HEAD_WIDTH = CONFIG["n_embd"] // CONFIG["n_head"]


def tanh_gelu(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu_new": tanh_gelu,
    "gelu_pytorch_tanh": tanh_gelu,
    "gelu": lambda x: x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2,
    "relu": lambda x: np.maximum(x, 0),
}
SCALES: list[tuple[dict[str, object], list[float]]] = [
    ({}, [HEAD_WIDTH**-0.5] * 2),
    ({"scale_attn_weights": False}, [1.0, 1.0]),
    ({"scale_attn_by_inverse_layer_idx": True}, [HEAD_WIDTH**-0.5, HEAD_WIDTH**-0.5 / 2]),
    ({"scale_attn_weights": False, "scale_attn_by_inverse_layer_idx": True}, [1.0, 0.5]),
]


def captured(path: Path, implementation: str, **options: object) -> dict[str, Array]:
    write_config(path, **options)
    save_file(random_weights(ModelConfig.read(path)), path / "model.safetensors", metadata={"format": "pt"})
    return open_session(implementation, "f64", str(path), 1).run(make_case())


def assert_agree(found: dict[str, Array], expected: dict[str, Array]) -> None:
    assert found.keys() == expected.keys()
    assert {name for name in expected if not distance(found[name], expected[name]) <= 1e-12} == set()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_activation_function_is_the_one_that_is_named(tmp_path: Path, activation: str) -> None:
    capture = captured(tmp_path, "torch", activation_function=activation)
    for step in ("step0/h.0.", "step3/h.1."):
        assert distance(capture[step + "mlp.act"], ACTIVATIONS[activation](capture[step + "mlp.fc"])) <= 1e-14
    if activation != "gelu":
        assert_agree(captured(tmp_path, "tinygrad", activation_function=activation), capture)


def test_tinygrad_refuses_the_gelu_that_it_only_approximates(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"activation_function is 'gelu'; tinygrad computes gelu_new"):
        captured(tmp_path, "tinygrad", activation_function="gelu")


@pytest.mark.parametrize(("options", "scales"), SCALES)
def test_scores_are_scaled_as_the_options_say(tmp_path: Path, options: dict[str, object], scales: list[float]) -> None:
    capture = captured(tmp_path, "torch", **options)
    for layer, scale in enumerate(scales):
        attn = f"step2/h.{layer}.attn."
        products = np.einsum("bshd,bkhd->bhsk", capture[attn + "q"], capture[attn + "cached_k"])
        assert distance(capture[attn + "scores"], products * scale) <= 1e-14
    assert_agree(captured(tmp_path, "tinygrad", **options), capture)


def test_an_untied_head_has_a_digest_of_its_own(tmp_path: Path) -> None:
    capture = captured(tmp_path, "torch", tie_word_embeddings=False)
    assert capture["head.tied"].tolist() == [0]
    assert not np.array_equal(capture["weights.lm_head.weight"], capture["weights.wte.weight"])
    assert_agree(captured(tmp_path, "tinygrad", tie_word_embeddings=False), capture)
