"""Graphs are read strictly, and executed from what was observed."""

from collections.abc import Callable

import numpy as np
import pytest
from tiny_graph import ACTIVATIONS, CONFIG, FAMILY, case, dimensions, entry, graph, model, random_weights, single_rules
from variants import Variant

from bundle_verifier.case import Step
from bundle_verifier.evaluation import Evaluation, Model, token_ids
from bundle_verifier.family import Family, size
from bundle_verifier.graph import Graph, resolved, shape_of
from bundle_verifier.operations import Array


@pytest.fixture(scope="module")
def capture() -> dict[str, Array]:
    return Variant(random_weights(), dimensions()).run(case())


def evaluation(observed: Callable[[str], Array | None]) -> Evaluation:
    return Evaluation(model(random_weights()), case(), observed, single_rules)


def test_names_are_resolved_in_their_layer() -> None:
    assert resolved("embd | h.{l-1}.out", 0, 4) == "embd"
    assert resolved("embd | h.{l-1}.out", 3, 4) == "h.2.out"
    assert resolved("h.{L-1}.out", None, 4) == "h.3.out"
    assert resolved("h.{l}.ln_1", 2, 4) == "h.2.ln_1"
    with pytest.raises(ValueError, match="names a layer where there is none"):
        resolved("h.{l}.ln_1", None, 4)


def test_sizes_come_from_the_config_or_from_each_other() -> None:
    found = dimensions()
    assert found.sizes == {"C": 40, "D": 24, "Dh": 8, "F": 96, "H": 3, "V": 300}
    assert (found.layers, found.constants) == (2, {"epsilon": 1e-5})
    assert Family.parse(FAMILY).dimensions(CONFIG | {"n_inner": 7}).sizes["F"] == 7
    assert Family.parse(FAMILY).dimensions(CONFIG | {"n_inner": None}).sizes["F"] == 96
    assert size("3*D", found.sizes) == 72
    assert shape_of(("B", "H", "S", "K", "2"), 5, Step(6, 2), found) == (5, 3, 2, 8, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_head": 5}, "expected a whole number"),
        ({"n_embd": 0}, "n_embd 0; expected a whole number above 0"),
        ({"n_layer": True}, "n_layer True"),
        ({"vocab_size": None}, "has no vocab_size"),
        ({"layer_norm_epsilon": "1e-5"}, "layer_norm_epsilon '1e-5'"),
        ({"activation_function": "gelu"}, "activation_function is 'gelu'.*tanh form"),
    ],
)
def test_a_config_that_says_something_else_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Family.parse(FAMILY).dimensions(CONFIG | change)


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        ("rms_norm = { x = 'embd' }", "no operation 'rms_norm'"),
        ("add = { x = 'embd' }", r"add has \['x'\]; expected \['x', 'y'\]"),
        ("gelu = { x = 'embd', form = 'erf' }", "a form of"),
        ("linear = { x = 'embd', weight = 'w', layout = 'rows' }", "a layout of"),
        ("linear = { x = 'embd', layout = 'in-out' }", "expected .*'weight'"),
        ("last = { x = 'logits', y = 'logits' }", "last has"),
        ("mask = {}, last = { x = 'logits' }", "expected one operation"),
    ],
)
def test_an_operation_that_is_not_known_in_full_is_refused(operation: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Graph.parse({"00.toml": entry("it", '["B"]', operation).encode()})


def test_storage_is_the_operations_unless_the_activation_says_otherwise() -> None:
    own = 'budget = { half = { rounds = ["inputs"] } }'
    text = (
        entry("a", '["B"]', "add = { x = 'x', y = 'y' }")
        + own
        + "\n"
        + entry("b", '["B"]', "add = { x = 'x', y = 'y' }")
    )
    law = b'operation = "add"\nhalf = { rounds = ["inputs", "output"] }\n'
    first, second = Graph.parse({"00.toml": text.encode()}, {"add.toml": law}).nodes
    assert (first.rounds, second.rounds) == ({"inputs"}, {"inputs", "output"})


def test_a_chain_is_what_an_f32_model_approximates(capture: dict[str, Array]) -> None:
    chain = dict(Evaluation(model(random_weights()), case(), token_ids(case())).chain())
    assert chain.keys() == {name for name in capture if not name.endswith("token_ids")}
    for name, value in chain.items():
        assert value.shape == capture[name].shape, name
        finite = np.isfinite(value)
        assert np.array_equal(finite, np.isfinite(capture[name]))
        assert np.allclose(value[finite], capture[name][finite], rtol=1e-4, atol=1e-4), name


def test_an_activation_is_computed_from_its_own_inputs_alone(capture: dict[str, Array]) -> None:
    """Whatever else was observed: what an input is off, and nothing before it, is seen."""
    seen: list[str] = []

    def observed(name: str) -> Array | None:
        seen.append(name)
        return capture.get(name)

    expected = {
        "h.1.ln_1": {"step1/h.0.out"},
        "h.0.mid": {"step1/embd", "step1/h.0.attn.out"},
        "embd": {"step1/token_ids"},
        "h.1.attn.cached_k": {"step0/h.1.attn.cached_k", "step1/h.1.attn.k"},
        "h.0.attn.probs": {"step1/h.0.attn.scores", "step1/h.0.attn.mask"},
        "h.0.attn.mask": set(),
        "ln_f": {"step1/h.1.out"},
        "probs.t2": {"step1/logits.last"},
    }
    for name, inputs in expected.items():
        seen.clear()
        evaluation(observed).activation(1, name)
        assert set(seen) == inputs, name


def test_moved_data_is_exact(capture: dict[str, Array]) -> None:
    judge = evaluation(capture.get)
    for step in range(4):
        for name in ("h.0.attn.cached_k", "h.1.attn.cached_v", "h.0.attn.mask", "logits.last", "token"):
            found = judge.activation(step, name)
            assert np.array_equal(found.value, capture[f"step{step}/{name}"]), name
            assert not found.allowed.any()


def test_from_token_ids_alone_everything_is_a_composite(capture: dict[str, Array]) -> None:
    judge = evaluation(token_ids(case()))
    found = judge.activation(3, "logits")
    assert np.isfinite(found.errors).all()
    assert (np.abs(capture["step3/logits"] - found.value) <= found.allowed).all()


def test_what_is_neither_observed_nor_computed_is_an_error() -> None:
    with pytest.raises(KeyError, match="step0/token_ids was not observed"):
        evaluation(lambda _: None).activation(0, "embd")


def test_an_input_of_another_shape_and_ids_outside_the_table_are_errors(capture: dict[str, Array]) -> None:
    wrong = capture | {"step0/h.0.attn.q": capture["step0/h.0.attn.q"][:, :5]}
    with pytest.raises(ValueError, match=r"step0/h.0.attn.q has the shape \[2, 5, 3, 8\]; expected \[2, 6, 3, 8\]"):
        evaluation(wrong.get).activation(0, "h.0.attn.scores")
    for token in (-1, 300):
        with pytest.raises(IndexError, match="expected some below 300"):
            evaluation({"step0/token_ids": np.full((2, 6), token)}.get).activation(0, "embd")


def test_an_activation_that_depends_on_itself_is_an_error() -> None:
    text = entry("a", '["B"]', "gelu = { x = 'b', form = 'tanh' }") + entry("b", '["B"]', "last = { x = 'a' }")
    looped = Model(Graph.parse({"00.toml": text.encode()}), dimensions(), {})
    with pytest.raises(ValueError, match="depends on itself"):
        Evaluation(looped, case(), lambda _: None).activation(0, "a")


def test_a_deep_chain_does_not_exhaust_the_stack() -> None:
    names = [f"a{index}" for index in range(3000)]
    links = zip(names[1:], names, strict=False)
    text = "".join(entry(name, '["B", "S"]', f"add = {{ x = '{of}', y = '{of}' }}") for name, of in links)
    deep = Model(Graph.parse({"00.toml": text.encode()}), dimensions(), {})
    given = {"step0/a0": np.zeros((2, 6))}
    assert not Evaluation(deep, case(), given.get).activation(0, "a2999").value.any()


def test_every_activation_of_the_family_is_placed_in_every_layer() -> None:
    layered = sum("{l}" in name for name in ACTIVATIONS)
    assert len(graph().places(5)) == len(ACTIVATIONS) + 4 * layered
