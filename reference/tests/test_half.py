"""Half precision: what is stored is the nearest number, correct results stay within the bounds, and bugs do not."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from conftest import make_case

from trialplate_reference import Session
from trialplate_reference.activations import magnitude_name
from trialplate_reference.arrays import Array
from trialplate_reference.storage import HALVES, Storage, StoredOperators, rounded

Sessions = Callable[[str, str], Session]
UNIT = {"f16": 2.0**-11, "bf16": 2.0**-8}
_TORCH = {"f16": torch.float16, "bf16": torch.bfloat16}
_ELEMENTWISE, _PRODUCT = ["inputs", "output"], ["inputs", "weights", "output"]
_INSIDE = ["inputs", "intermediates", "output"]
ROUNDS = {
    "embd": ["weights", "output"],
    **{f"h.{{l}}.{norm}.normalized": _ELEMENTWISE for norm in ("ln_1", "ln_2")},
    **{f"h.{{l}}.{norm}": _PRODUCT for norm in ("ln_1", "ln_2", "attn.q", "attn.k", "attn.v", "attn.out")},
    **{f"h.{{l}}.mlp.{name}": _PRODUCT for name in ("fc", "out")},
    **{f"h.{{l}}.{name}": _ELEMENTWISE for name in ("attn.probs", "attn.context", "mid", "out")},
    **{f"h.{{l}}.{name}": _INSIDE for name in ("attn.scores", "mlp.act")},
    "ln_f.normalized": _ELEMENTWISE,
    "ln_f": _PRODUCT,
    "logits": _PRODUCT,
    **{f"probs.t{temperature}": _ELEMENTWISE for temperature in ("0.5", "1", "2")},
}


@pytest.fixture
def given(session: Sessions) -> dict[str, Array]:
    return session("torch", "f32").run(make_case())


def _bounds(session: Sessions, precision: str, given: dict[str, Array]) -> dict[str, Array]:
    storage = {"precision": precision, "rounds": ROUNDS}
    return session("torch", "f64").replay(make_case(), given, 5.0, storage)


def _used(oracle: dict[str, Array], found: dict[str, Array], precision: str) -> dict[str, float]:
    shares = {}
    for name, exact in oracle.items():
        if (bound := oracle.get(magnitude_name(name))) is not None and "/magnitude/" not in name:
            error = np.abs(found[name].astype(np.float64) - exact)
            allowed = UNIT[precision] * bound
            shares[name] = float(np.divide(error, allowed, where=error > 0, out=np.zeros_like(error)).max())
    return shares


@pytest.mark.parametrize("precision", HALVES)
def test_numbers_are_rounded_as_torch_rounds_them(precision: str) -> None:
    generator = np.random.default_rng(3)
    values = generator.standard_normal(4096).astype(np.float32) * np.float32(10.0) ** generator.integers(-9, 4, 4096)
    values = np.concatenate([values, [0.0, -0.0, np.inf, -np.inf, np.nan, 65520.0, 1.00390625, 6e-8]]).astype(
        np.float32
    )
    expected = torch.from_numpy(values).to(_TORCH[precision]).float().numpy()
    np.testing.assert_array_equal(rounded(values, precision), expected)


@pytest.mark.parametrize("precision", HALVES)
@pytest.mark.parametrize("implementation", ["torch", "tinygrad"])
def test_correct_results_use_half_of_their_bounds(
    session: Sessions, given: dict[str, Array], implementation: str, precision: str
) -> None:
    oracle = _bounds(session, precision, given)
    found = session(implementation, precision).replay(make_case(), given, None)
    assert all(array.dtype != np.float16 for array in found.values())
    shares = _used(oracle, found, precision)
    assert {name: share for name, share in shares.items() if not share < 0.6} == {}
    assert all(
        np.array_equal(rounded(array, precision), array) for array in found.values() if array.dtype == np.float32
    )


def test_results_stored_in_bf16_exceed_the_bounds_of_f16(session: Sessions, given: dict[str, Array]) -> None:
    shares = _used(_bounds(session, "f16", given), session("torch", "bf16").replay(make_case(), given, None), "f16")
    assert all(shares[f"step0/{end}"] > 1 for end in ("embd", "h.0.attn.q", "h.1.mid", "h.1.mlp.out", "logits"))


@pytest.mark.parametrize(("precision", "factor"), [("f16", 1.005), ("bf16", 1.04)])
@pytest.mark.parametrize("end", ["h.1.attn.q", "h.0.attn.out", "h.1.mlp.fc", "h.0.mlp.out", "logits", "h.1.ln_2"])
def test_a_scaled_result_exceeds_its_bound(
    session: Sessions, given: dict[str, Array], precision: str, factor: float, end: str
) -> None:
    oracle = _bounds(session, precision, given)
    found = session("torch", precision).replay(make_case(), given, None)
    name = f"step0/{end}"
    assert _used(oracle, found | {name: found[name] * np.float32(factor)}, precision)[name] > 1


def test_a_storage_says_something_of_everything() -> None:
    with pytest.raises(ValueError, match=r"expected a precision of \['f16', 'bf16'\]"):
        Storage.parse({"precision": "f32", "rounds": {}})
    with pytest.raises(KeyError, match="says nothing of 'embd'"):
        Storage.parse({"precision": "f16", "rounds": {}}).at("embd")


def test_weights_are_told_apart_before_they_are_rounded(session: Sessions, given: dict[str, Array]) -> None:
    for implementation in ("torch", "tinygrad"):
        run = session(implementation, "bf16").run(make_case())
        digests = {name: array for name, array in given.items() if name.startswith("weights.")}
        assert digests and all(np.array_equal(run[name], digest) for name, digest in digests.items())


def test_operators_that_store_keep_masks(session: Sessions) -> None:
    operators = StoredOperators(session("torch", "f32").operators, "bf16")  # type: ignore[attr-defined]
    assert np.isneginf(operators.mask(1, 0, 3)).sum() == 3
