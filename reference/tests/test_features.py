"""Features of a family: decided by `config.json`, and refused by name, as this verifier computes none."""

from pathlib import Path
from typing import Any

import pytest

from bundle_verifier.family import Family
from bundle_verifier.features import absent, decided, found, holds, plain
from bundle_verifier.graph import Graph

FAMILIES = Path(__file__).parents[2] / "crates/graph/families"
GPT2 = {
    "n_layer": 2,
    "n_embd": 24,
    "n_head": 3,
    "n_positions": 40,
    "vocab_size": 300,
    "layer_norm_epsilon": 1e-5,
    "activation_function": "gelu_new",
}


def family() -> Family:
    return Family.parse((FAMILIES / "gpt2/family.toml").read_bytes())


def test_the_first_path_that_says_something_counts_and_null_is_not_absent() -> None:
    config: dict[str, Any] = {"scaling": None, "rope": {"factor": 2.0}, "theta": 3}
    assert found(config, "rope.factor | scaling.factor") == 2.0
    assert found(config, "rope.theta | theta") == 3
    assert found(config, "scaling") is None and not absent(config, "scaling")
    assert absent(config, "scaling.factor | nothing")


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"path": "window", "otherwise": 4096, "present": True}, False),
        ({"path": "other", "otherwise": 4096, "present": True}, True),
        ({"path": "kind", "is": ["a", "b"]}, True),
        ({"path": "one", "is": [True]}, False),
        ({"path": "layers", "each": "full"}, True),
        ({"path": "kind", "each": "a"}, False),
    ],
)
def test_a_condition_asks_of_the_configuration(condition: dict[str, Any], expected: bool) -> None:
    config = {"window": None, "kind": "a", "one": 1, "layers": ["full", "full"]}
    assert holds(condition, config) == expected


@pytest.mark.parametrize("condition", [{"path": "a"}, {"path": "a", "matches": "b.*"}])
def test_a_condition_that_is_not_known_in_full_is_refused(condition: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="asks for something else"):
        holds(condition, {})


@pytest.mark.parametrize(
    ("option", "value", "feature"),
    [
        ("activation_function", "gelu", "gelu-erf"),
        ("activation_function", "relu", "relu"),
        ("scale_attn_weights", False, "unscaled"),
        ("scale_attn_by_inverse_layer_idx", True, "scaled-by-layer"),
        ("tie_word_embeddings", False, "untied-head"),
    ],
)
def test_a_model_with_a_feature_is_refused_by_its_name(option: str, value: object, feature: str) -> None:
    config = GPT2 | {option: value}
    assert decided(family().table, config) == [feature]
    with pytest.raises(ValueError, match=feature):
        family().dimensions(config)


def test_a_model_without_features_has_its_sizes_and_constants() -> None:
    dimensions = family().dimensions(GPT2)
    assert dimensions.sizes["Dh"] == 8 and dimensions.constants == {"epsilon": 1e-5}
    assert all(weight["name"] != "lm_head.weight" for weight in family().table["weight"])


def test_what_exists_with_a_feature_only_is_left_out() -> None:
    entries = [{"name": "a", "unless": ["x"]}, {"name": "a", "when": ["x"]}, {"name": "b"}]
    assert plain(entries) == [{"name": "a"}, {"name": "b"}]


def test_operations_of_another_family_are_refused_by_name() -> None:
    specs = {path.name: path.read_bytes() for path in (FAMILIES / "llama").glob("[0-9]*.toml")}
    with pytest.raises(ValueError, match="rms_norm"):
        Graph.parse(specs)
