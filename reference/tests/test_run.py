from collections.abc import Callable

import numpy as np
import pytest
from conftest import CONFIG, TEXT, distance, make_case

from trialplate_reference import Session
from trialplate_reference.activations import activation_shapes, weight_shapes
from trialplate_reference.config import ModelConfig

Sessions = Callable[[str, str], Session]

every_reference = pytest.mark.parametrize(
    ("implementation", "precision"), [(name, bits) for name in ("torch", "tinygrad") for bits in ("f32", "f64")]
)
every_implementation = pytest.mark.parametrize("implementation", ["torch", "tinygrad"])


@every_reference
def test_a_capture_holds_exactly_the_contract(session: Sessions, model, implementation: str, precision: str) -> None:
    config = ModelConfig.read(model)
    case = make_case(texts=[TEXT, TEXT], generate=3)
    capture = session(implementation, precision).run(case)

    expected = {f"weights.{name}": (32,) for name in weight_shapes(config)}
    expected |= {"head.tied": (1,), "prompt.ids": (2, 10), "generated": (2, 3), "generated.logits": (2, 3, 300)}
    for index, (position, length) in enumerate([(0, 6), (6, 1), (7, 2), (9, 1)]):
        shapes = activation_shapes(config, 2, position, length)
        expected |= {f"step{index}/{name}": shape for name, shape in shapes.items()}
    assert {name: array.shape for name, array in capture.items()} == expected

    float_type = {"f32": np.float32, "f64": np.float64}[precision]
    integers = {"token": np.int64, "token_ids": np.int64, "prompt.ids": np.int64, "generated": np.int64}
    for name, array in capture.items():
        dtype = np.uint8 if name.startswith(("weights.", "head.")) else integers.get(name.split("/")[-1], float_type)
        assert array.dtype == dtype and array.flags.c_contiguous, name
    assert capture["head.tied"].tolist() == [1]


def test_identities_name_library_precision_and_device(session: Sessions) -> None:
    identity = session("tinygrad", "f64").identity()
    assert identity.keys() == {"name", "version", "precision", "device"}
    assert identity["name"] == "tinygrad" and identity["precision"] == "f64" and "clang" in identity["version"]
    assert "transformers" in session("torch", "f32").identity()["version"]


def test_the_references_agree_at_f64(session: Sessions) -> None:
    case = make_case(texts=[TEXT, TEXT], generate=4)
    torch, tinygrad = session("torch", "f64").run(case), session("tinygrad", "f64").run(case)
    assert torch.keys() == tinygrad.keys()
    for name, expected in torch.items():
        if expected.dtype == np.float64 and not name.endswith("mask"):
            assert distance(tinygrad[name], expected) <= 1e-12, name
        else:
            assert np.array_equal(tinygrad[name], expected), name


@every_implementation
def test_f32_stays_near_f64(session: Sessions, implementation: str) -> None:
    narrow, wide = session(implementation, "f32").run(make_case()), session(implementation, "f64").run(make_case())
    assert max(distance(narrow[name], wide[name]) for name in wide if wide[name].dtype == np.float64) <= 1e-5


@every_implementation
def test_prefill_equals_decoding(session: Sessions, implementation: str) -> None:
    reference = session(implementation, "f64")
    whole = reference.run(make_case(schedule=[10]))
    decoded = reference.run(make_case(schedule=[1] * 10))
    for layer in range(2):
        for name in (f"h.{layer}.attn.cached_k", f"h.{layer}.attn.cached_v"):
            assert distance(decoded["step9/" + name], whole["step0/" + name]) <= 1e-12
    for step in range(10):
        assert distance(decoded[f"step{step}/logits"][:, 0], whole["step0/logits"][:, step]) <= 1e-12


@every_implementation
def test_rows_of_a_batch_are_independent(session: Sessions, implementation: str) -> None:
    case = make_case()
    both = session(implementation, "f64").run(case)
    second = session(implementation, "f64").run(make_case(token_ids=[case["token_ids"][1]]))
    for name, alone in second.items():
        if name.startswith("step") and alone.dtype == np.float64:
            assert distance(both[name][1:], alone) <= 1e-12, name


@every_reference
def test_masks_hide_the_future_and_nothing_else(session: Sessions, implementation: str, precision: str) -> None:
    capture = session(implementation, precision).run(make_case())
    visible = np.arange(9) <= np.array([[7], [8]])  # step 2 has two queries after seven tokens
    for layer in range(2):
        mask, probs = capture[f"step2/h.{layer}.attn.mask"], capture[f"step2/h.{layer}.attn.probs"]
        assert np.array_equal(mask, np.broadcast_to(np.where(visible, 0.0, -np.inf), (2, 2, 9)))
        assert np.array_equal(probs > 0, np.broadcast_to(visible, (2, 3, 2, 9)))


@every_implementation
def test_one_session_runs_cases_one_after_another_with_equal_bits(session: Sessions, implementation: str) -> None:
    reference = session(implementation, "f32")
    first = reference.run(make_case())
    reference.run(make_case(token_ids=[[1, 2, 3]], schedule=[3], generate=5))
    again = reference.run(make_case())
    assert all(np.array_equal(first[name], again[name]) for name in first)


@every_implementation
def test_generation_is_the_chained_argmax(session: Sessions, implementation: str) -> None:
    reference = session(implementation, "f64")
    case = make_case(generate=5)
    generated = reference.run(case)["generated"]
    rows = np.concatenate([case["token_ids"], generated[:, :-1]], axis=1)
    checked = reference.run(make_case(token_ids=rows.tolist(), schedule=[14]))["step0/logits"]
    assert np.array_equal(checked[:, 9:].argmax(-1), generated)


@every_implementation
def test_forced_tokens_are_fed_but_the_own_argmax_is_recorded(session: Sessions, implementation: str) -> None:
    reference = session(implementation, "f64")
    free = reference.run(make_case(generate=4))
    other = (int(free["generated"][0, 0]) + 1) % 300
    forced = reference.run(make_case(generate=4, forced=[[other], []]))
    assert np.array_equal(forced["generated"][:, 0], free["generated"][:, 0])
    assert np.array_equal(forced["generated"][1], free["generated"][1])
    assert not np.allclose(forced["generated.logits"][0, 1], free["generated.logits"][0, 1])

    same = reference.run(make_case(generate=4, forced=free["generated"].tolist()))
    assert np.array_equal(same["generated.logits"], free["generated.logits"])


@every_implementation
def test_the_whole_context_can_be_used_and_no_more(session: Sessions, implementation: str) -> None:
    context = CONFIG["n_positions"]
    full = make_case(token_ids=[[5] * context], schedule=[context], generate=1)
    assert session(implementation, "f32").run(full)["step0/logits"].shape == (1, context, 300)
    with pytest.raises(ValueError, match="the context limit of the model is 40"):
        session(implementation, "f32").run(full | {"generate": 2})


@every_implementation
def test_a_text_shorter_than_its_ids_is_refused(session: Sessions, implementation: str) -> None:
    with pytest.raises(ValueError, match=r"texts\[1\] has 1 tokens; expected at least the 10"):
        session(implementation, "f32").run(make_case(texts=[TEXT, "a"]))


@every_implementation
def test_each_activation_is_handed_over_before_the_next_layer(session: Sessions, implementation: str) -> None:
    """Nothing of an earlier layer comes after a later one: a session that gathered a step would show no order."""
    shown: list[str] = []
    opened, case = session(implementation, "f32"), make_case(generate=2)
    opened.show(case, lambda name, array: shown.append(name))
    assert shown == list(dict.fromkeys(shown))
    assert set(shown) == opened.run(case).keys()
    first = [name.split("/")[1] for name in shown if name.startswith("step0/h.")]
    layers = [int(name.split(".")[1]) for name in first]
    assert layers == sorted(layers)
    assert shown.index("step0/h.0.out") < shown.index("step0/h.1.out") < shown.index("step0/logits")
