from collections.abc import Callable

import numpy as np
import pytest
from conftest import distance, make_case

from trialplate_reference import Session
from trialplate_reference.arrays import Array

Sessions = Callable[[str, str], Session]
every_implementation = pytest.mark.parametrize("implementation", ["torch", "tinygrad"])

WHOLES = {"whole/logits"} | {f"whole/h.{layer}.{name}" for layer in range(2) for name in ("attn.out", "mlp.out", "out")}


@pytest.fixture(scope="module")
def given(session: Sessions) -> dict[str, Array]:
    return session("torch", "f32").run(make_case())


def test_replay_gives_every_activation_and_composite(session: Sessions, given: dict[str, Array]) -> None:
    replayed = session("torch", "f32").replay(make_case(), given, None)
    activations = {name for name in given if name.startswith("step") and not name.endswith("/token_ids")}
    assert replayed.keys() == activations | {f"step{step}/{name}" for step in range(4) for name in WHOLES}
    for name, array in replayed.items():
        expected = given[name.replace("whole/", "")]
        assert (array.shape, array.dtype, array.flags.c_contiguous) == (expected.shape, expected.dtype, True), name


@every_implementation
def test_replay_of_the_own_run_repeats_it(session: Sessions, implementation: str) -> None:
    run = session(implementation, "f64").run(make_case())
    for name, array in session(implementation, "f64").replay(make_case(), run, None).items():
        assert distance(array, run[name.replace("whole/", "")]) <= 1e-13, name


def test_the_references_agree_at_f64_on_f32_inputs(session: Sessions, given: dict[str, Array]) -> None:
    torch = session("torch", "f64").replay(make_case(), given, None)
    tinygrad = session("tinygrad", "f64").replay(make_case(), given, None)
    assert torch.keys() == tinygrad.keys()
    for name, expected in torch.items():
        assert tinygrad[name].dtype == expected.dtype and distance(tinygrad[name], expected) <= 1e-12, name


# Each activation, and what depends on it directly, in layer 1 of step 1 unless said otherwise.
DEPENDENTS = {
    "step1/embd": {"h.0.ln_1.normalized", "h.0.ln_1", "h.0.mid", "whole/h.0.out"},
    "step1/h.0.out": {"h.1.ln_1.normalized", "h.1.ln_1", "h.1.mid", "whole/h.1.out"},
    "step1/h.1.ln_1.normalized": set(),
    "step1/h.1.ln_1": {"h.1.attn.q", "h.1.attn.k", "h.1.attn.v"},
    "step1/h.1.attn.q": {"h.1.attn.scores", "whole/h.1.attn.out"},
    "step1/h.1.attn.k": {"h.1.attn.cached_k"},
    "step1/h.1.attn.v": {"h.1.attn.cached_v"},
    "step0/h.1.attn.cached_k": {"h.1.attn.cached_k", "whole/h.1.out"},
    "step0/h.1.attn.cached_v": {"h.1.attn.cached_v", "whole/h.1.out"},
    "step1/h.1.attn.cached_k": {"h.1.attn.scores", "whole/h.1.attn.out"},
    "step1/h.1.attn.cached_v": {"h.1.attn.context", "whole/h.1.attn.out"},
    "step1/h.1.attn.scores": {"h.1.attn.probs"},
    "step1/h.1.attn.mask": set(),
    "step1/h.1.attn.probs": {"h.1.attn.context"},
    "step1/h.1.attn.context": {"h.1.attn.out"},
    "step1/h.1.attn.out": {"h.1.mid"},
    "step1/h.1.mid": {"h.1.ln_2.normalized", "h.1.ln_2", "h.1.out"},
    "step1/h.1.ln_2": {"h.1.mlp.fc", "whole/h.1.mlp.out"},
    "step1/h.1.mlp.fc": {"h.1.mlp.act"},
    "step1/h.1.mlp.act": {"h.1.mlp.out"},
    "step1/h.1.mlp.out": {"h.1.out"},
    "step1/h.1.out": {"ln_f.normalized", "ln_f", "whole/logits"},
    "step1/ln_f": {"logits"},
    "step1/logits": {"logits.last"},
    "step1/logits.last": {"token", "probs.t0.5", "probs.t1", "probs.t2"},
}


@pytest.mark.parametrize("changed", DEPENDENTS)
def test_only_direct_dependents_follow_an_input(session: Sessions, given: dict[str, Array], changed: str) -> None:
    case = make_case(token_ids=[row[:7] for row in make_case()["token_ids"]], schedule=[6, 1])
    reference = session("torch", "f32")
    before = reference.replay(case, given, None)
    after = reference.replay(case, given | {changed: given[changed][..., ::-1] - 1}, None)
    moved = {
        name.removeprefix("step1/")
        for name in after
        if name.startswith("step1/") and not np.array_equal(after[name], before[name])
    }
    assert moved == DEPENDENTS[changed]


@every_implementation
def test_a_missing_input_is_named(session: Sessions, given: dict[str, Array], implementation: str) -> None:
    incomplete = {name: array for name, array in given.items() if name != "step2/h.1.mid"}
    with pytest.raises(KeyError, match=r"step2/h\.1\.mid"):
        session(implementation, "f32").replay(make_case(), incomplete, None)


@every_implementation
def test_an_input_of_another_shape_is_refused(session: Sessions, given: dict[str, Array], implementation: str) -> None:
    broadcastable = given | {"step0/h.0.mlp.act": given["step0/h.0.mlp.act"][:, :1]}
    with pytest.raises(ValueError, match=r"shape \[2, 1, 96\]; expected \[2, 6, 96\]"):
        session(implementation, "f32").replay(make_case(), broadcastable, None)


def test_inputs_are_never_rounded(session: Sessions, given: dict[str, Array]) -> None:
    wide = {name: array.astype(np.float64) if array.dtype == np.float32 else array for name, array in given.items()}
    with pytest.raises(ValueError, match="float64, which float32 does not hold exactly"):
        session("torch", "f32").replay(make_case(), wide, None)
