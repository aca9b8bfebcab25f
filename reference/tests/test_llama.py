"""Hugging Face's Llama, Mistral and Qwen: at f64 all they show is what a forward pass written on NumPy gives."""

import functools
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from conftest import distance
from llama_forward import LlamaForward, step_of
from llama_models import MODELS, VOCABULARY, write_model
from safetensors.numpy import load_file
from transformers import DynamicCache

from trialplate_reference import open_session
from trialplate_reference.activations import activation_shapes, weight_shapes
from trialplate_reference.arrays import Array
from trialplate_reference.config import ModelConfig
from trialplate_reference.half_precision import rounded

Models = Callable[[str, int], Path]
TOKENS = 40
SCHEDULES = [[40], [5, 1, 1, 3, 30], [15, 1, 1, 1, 20, 1, 1]]
_TORCH = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
every_model = pytest.mark.parametrize("name", MODELS)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return functools.cache(lambda name, seed: write_model(tmp_path_factory.mktemp("llama"), name, seed))


def make_case(seed: int, schedule: list[int], **changes: object) -> dict[str, object]:
    """Two rows of tokens."""
    rows = np.random.default_rng(seed).integers(0, VOCABULARY, (2, sum(schedule))).tolist()
    case = {"id": "two-rows", "token_ids": rows, "texts": None, "schedule": schedule, "generate": 0, "forced": None}
    return case | changes


def steps(schedule: list[int]) -> list[tuple[str, int, int]]:
    """Prefix, position and length."""
    return [(f"step{step}/", sum(schedule[:step]), length) for step, length in enumerate(schedule)]


def expected_capture(forward: LlamaForward, case: dict[str, object], schedule: list[int]) -> dict[str, Array]:
    shown = forward(np.array(case["token_ids"]))
    parts = ((prefix, step_of(shown, position, length)) for prefix, position, length in steps(schedule))
    return {prefix + name: value for prefix, part in parts for name, value in part.items()}


@every_model
@pytest.mark.parametrize("seed", [1, 2])
def test_every_activation_at_f64_is_that_of_the_description(models: Models, name: str, seed: int) -> None:
    model = models(name, seed)
    session, forward = open_session("torch", "f64", str(model), 1), LlamaForward(model)
    for schedule in SCHEDULES:
        case = make_case(seed, schedule)
        capture, expected = session.run(case), expected_capture(forward, case, schedule)
        assert {name for name in capture if name.startswith("step")} == expected.keys()
        for activation, value in expected.items():
            assert capture[activation].dtype == value.dtype, activation
            assert distance(capture[activation], value) <= 1e-12, activation


@every_model
def test_generation_goes_on_where_the_tokens_end(models: Models, name: str) -> None:
    model = models(name, 1)
    case = make_case(3, [38, 2], generate=5)
    capture = open_session("torch", "f64", str(model), 1).run(case)
    rows = np.concatenate([case["token_ids"], capture["generated"][:, :-1]], axis=1)
    logits = LlamaForward(model)(rows)["logits"][:, TOKENS - 1 :]
    assert np.array_equal(capture["generated"], logits.argmax(axis=-1))
    assert distance(capture["generated.logits"], logits) <= 1e-12


@every_model
@pytest.mark.parametrize("precision", ["f64", "f32", "bf16", "f16"])
def test_a_capture_holds_exactly_the_contract(models: Models, name: str, precision: str) -> None:
    model, schedule = models(name, 1), SCHEDULES[1]
    config = ModelConfig.read(model)
    capture = open_session("torch", precision, str(model), 1).run(make_case(1, schedule, generate=2))

    expected = {f"weights.{weight}": (32,) for weight in weight_shapes(config)}
    expected |= {"head.tied": (1,), "generated": (2, 2), "generated.logits": (2, 2, VOCABULARY)}
    for prefix, position, length in steps(schedule):
        shapes = activation_shapes(config, 2, position, length)
        expected |= {prefix + activation: shape for activation, shape in shapes.items()}
    assert {name: array.shape for name, array in capture.items()} == expected

    floats = {name: array for name, array in capture.items() if array.dtype.kind == "f"}
    assert {array.dtype for array in floats.values()} == {np.dtype(np.float64 if precision == "f64" else np.float32)}
    if precision in ("bf16", "f16"):
        assert all(np.array_equal(rounded(array, precision), array) for array in floats.values())


@every_model
def test_digests_are_of_the_weights_as_stored(models: Models, name: str) -> None:
    model = models(name, 2)
    stored = {name.removeprefix("model."): weight for name, weight in load_file(model / "model.safetensors").items()}
    assert {name: weight.shape for name, weight in stored.items()} == weight_shapes(ModelConfig.read(model))
    digests = {f"weights.{name}": hashlib.sha256(weight.tobytes()).hexdigest() for name, weight in stored.items()}
    for precision in ("f64", "bf16"):
        capture = open_session("torch", precision, str(model), 1).run(make_case(1, [1]))
        assert {n: a.tobytes().hex() for n, a in capture.items() if n.startswith("weights.")} == digests
        assert capture["head.tied"].tolist() == ["lm_head.weight" not in stored]


@every_model
@pytest.mark.parametrize("precision", _TORCH)
def test_observing_does_not_change_a_bit(models: Models, name: str, precision: str) -> None:
    model, case = models(name, 1), make_case(1, SCHEDULES[1])
    capture = open_session("torch", precision, str(model), 1).run(case)
    load = getattr(transformers, ModelConfig.read(model).architecture).from_pretrained
    eager = load(model, dtype=_TORCH[precision], attn_implementation="eager").eval()
    cache, ids = DynamicCache(), torch.tensor(case["token_ids"])
    for prefix, position, length in steps(SCHEDULES[1]):
        with torch.no_grad():
            logits = eager(ids[:, position : position + length], past_key_values=cache, use_cache=True).logits
        assert np.array_equal(logits.float().numpy(), capture[prefix + "logits"]), prefix


@every_model
def test_fused_attention_shows_all_but_scores_and_probabilities(models: Models, name: str) -> None:
    model, case = str(models(name, 1)), make_case(1, SCHEDULES[1])
    eager, fused = (open_session(named, "f64", model, 1).run(case) for named in ("torch", "torch-sdpa"))
    assert fused.keys() == {name for name in eager if not name.endswith(("attn.scores", "attn.probs"))}
    assert all(distance(array, eager[name]) <= 1e-12 for name, array in fused.items())


@pytest.mark.parametrize("name", ["llama", "llama tied, llama3 scaling", "llama with biases, linear scaling"])
def test_rotary_tables_are_right_at_f64_far_from_the_beginning(tmp_path: Path, name: str) -> None:
    model = write_model(tmp_path, name, 1, num_hidden_layers=1, max_position_embeddings=4096)
    length = 256
    capture = open_session("torch", "f64", str(model), 1).run(make_case(1, [length] * 16))
    for step in range(16):
        cos, sin = LlamaForward(model).tables(np.arange(step * length, (step + 1) * length))
        for name, table in [("rope.cos", cos), ("rope.sin", sin)]:
            assert distance(capture[f"step{step}/{name}"][0], table) <= 1e-12


@pytest.mark.parametrize("name", ["mistral", "qwen2, window"])
def test_masks_have_the_window_and_the_cache_is_whole(models: Models, name: str) -> None:
    capture = open_session("torch", "f32", str(models(name, 1)), 1).run(make_case(1, [20, 1, 19]))
    for step, keys in enumerate([20, 21, 40]):
        assert capture[f"step{step}/h.1.attn.cached_k"].shape[1] == keys
    visible = np.isfinite(capture["step1/h.1.attn.mask"])
    assert np.array_equal(visible, np.broadcast_to(np.arange(21) > 20 - 16, (2, 1, 21)))
    assert np.isfinite(capture["step2/h.0.attn.mask"]).sum(axis=-1).tolist() == [[16] * 19] * 2


def test_configs_of_older_versions_mean_the_same(models: Models, tmp_path: Path) -> None:
    model = models("llama with biases, linear scaling", 1)
    config = json.loads((model / "config.json").read_text())
    rope = config.pop("rope_parameters")
    config |= {"rope_theta": rope["rope_theta"], "rope_scaling": {"type": "linear", "factor": rope["factor"]}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes())
    new, old = (open_session("torch", "f64", str(path), 1).run(make_case(1, [9])) for path in (model, tmp_path))
    assert new.keys() == old.keys() and all(np.array_equal(array, old[name]) for name, array in new.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"mlp_bias": True}, "mlp_bias is True"),
        ({"rope_scaling": {"type": "yarn", "factor": 2.0}}, r"rope_scaling\.type is 'yarn'"),
        ({"rope_parameters": {"rope_type": "dynamic"}}, r"rope_parameters\.rope_type is 'dynamic'"),
        ({"model_type": "mistral"}, "model_type is 'mistral'; this reference computes 'llama' only"),
    ],
)
def test_what_is_not_described_is_refused(
    models: Models, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    config = json.loads((models("llama", 1) / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(ValueError, match=message):
        open_session("torch", "f64", str(tmp_path), 1)


def test_tinygrad_refuses_the_family(models: Models) -> None:
    with pytest.raises(ValueError, match="the model is a Qwen3ForCausalLM; tinygrad computes GPT2LMHeadModel only"):
        open_session("tinygrad", "f64", str(models("qwen3", 1)), 1)
