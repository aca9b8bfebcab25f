import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import make_case, write_config

from trialplate_reference import Session, open_session
from trialplate_reference.case import Case
from trialplate_reference.config import ModelConfig


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"token_ids": [[1, 300]]}, r"token_ids\[0\] has id 300; expected 0 <= id < 300"),
        ({"token_ids": [[1, -1]]}, "has id -1"),
        ({"token_ids": [[1], [1, 2]]}, r"rows of lengths \[1, 2\]"),
        ({"token_ids": []}, r"rows of lengths \[\]"),
        ({"token_ids": [[]]}, r"rows of lengths \[0\]"),
        ({"token_ids": [[1.0]]}, "holds 1.0; expected integers"),
        ({"token_ids": [[True]]}, "holds True; expected integers"),
        ({"token_ids": ["ab"]}, "expected a list"),
        ({"schedule": [6, 1]}, "expected steps of at least 1 with the sum 10"),
        ({"schedule": [10, 0]}, "expected steps of at least 1"),
        ({"generate": -1}, "generate is -1"),
        ({"generate": 32}, "need 41 positions; the context limit of the model is 40"),
        ({"texts": ["one"]}, "expected 2 strings"),
        ({"forced": [[1], [2]]}, "expected 2 of at most 0"),
        ({"generate": 2, "forced": [[300], []]}, r"forced\[0\] has id 300"),
        ({"id": 3}, "id is 3"),
        ({"seed": 1}, r"unknown fields \['seed'\]"),
    ],
)
def test_what_is_wrong_with_a_case_is_said(model: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Case.parse(make_case(**change), ModelConfig.read(model))


def test_a_missing_field_is_named(model: Path) -> None:
    case = make_case()
    del case["forced"]
    with pytest.raises(ValueError, match=r"missing fields \['forced'\]"):
        Case.parse(case, ModelConfig.read(model))


def test_a_case_survives_json(model: Path, session: Callable[[str, str], Session]) -> None:
    case = Case.parse(json.loads(json.dumps(make_case())), ModelConfig.read(model))
    assert [(step.position, step.length) for step in case.steps()] == [(0, 6), (6, 1), (7, 2), (9, 1)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation_function": "silu"}, "activation_function is 'silu'"),
        ({"reorder_and_upcast_attn": True}, "reorder_and_upcast_attn is True"),
        ({"quantization_config": {"bits": 4}}, "quantization_config is"),
        ({"model_type": "gptj"}, "model_type is 'gptj'"),
        ({"architectures": ["GPTJForCausalLM"]}, r"architectures is \['GPTJForCausalLM'\]"),
        ({"vocab_size": None}, "vocab_size is missing"),
        ({"n_head": 5}, "not a multiple"),
    ],
)
def test_a_model_that_is_computed_otherwise_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    write_config(tmp_path, **change)
    for implementation in ("torch", "tinygrad"):
        with pytest.raises(ValueError, match=message):
            open_session(implementation, "f32", str(tmp_path), 1)


def test_unknown_implementations_and_precisions_are_refused(model: Path) -> None:
    with pytest.raises(ValueError, match='expected "torch" or "tinygrad"'):
        open_session("candle", "f32", str(model), 1)
    with pytest.raises(ValueError, match=r"expected one of .*f32"):
        open_session("torch", "f8", str(model), 1)
