"""Correct f32 implementations, judged from the inputs that they observed, stay within the bounds, and bugs do not."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from tiny_graph import Weights, case, dimensions, model, random_weights, single_rules
from variants import CORRECT, Variant, by_erf, unbiased

from bundle_verifier.bounds import UNIT
from bundle_verifier.evaluation import Evaluation
from bundle_verifier.operations import Array

MOVED = ("cached_k", "cached_v", "mask", "logits.last", "token")


def _outlier(weights: Weights) -> None:
    weights["wpe.weight"][:, 3] += 3000


def _saturated(weights: Weights) -> None:
    for layer in range(2):
        weights[f"h.{layer}.attn.c_attn.weight"][:, :48] *= 12
    weights["ln_f.weight"] *= 12


def _tiny_variance(weights: Weights) -> None:
    for name in ("wte.weight", "wpe.weight", "h.0.attn.c_proj.weight", "h.0.mlp.c_proj.weight"):
        weights[name] *= 1e-3


def _norm_weights(weights: Weights) -> None:
    spread = np.geomspace(0.01, 12, 24, dtype=np.float32)
    for name in weights:
        if ".ln_" in name or name.startswith("ln_f"):
            weights[name][:] = spread if name.endswith("weight") else spread[::-1]


AWKWARD: dict[str, Callable[[Weights], None]] = {
    "plain": lambda _: None,
    "outlier channel": _outlier,
    "saturated softmax": _saturated,
    "tiny variance": _tiny_variance,
    "norm weights": _norm_weights,
}


@dataclasses.dataclass
class Bench:
    weights: Weights

    def run(self, **changes: object) -> dict[str, Array]:
        return Variant(**({"weights": self.weights, "dimensions": dimensions()} | changes)).run(case())  # type: ignore[arg-type]

    def judge(self, capture: dict[str, Array]) -> Evaluation:
        return Evaluation(model(self.weights), case(), capture.get, single_rules)

    def used(self, capture: dict[str, Array], end: str = "") -> dict[str, float]:
        """The share of its bound that the worst element of each activation uses."""
        judge, shares = self.judge(capture), {}
        for step in range(4):
            for name in judge.names:
                if name.endswith(end):
                    exact, found = judge.activation(step, name), capture[f"step{step}/{name}"].astype(np.float64)
                    error = np.subtract(found, exact.value, where=found != exact.value, out=np.zeros(found.shape))
                    share = np.divide(np.abs(error), exact.allowed, where=error != 0, out=np.zeros(found.shape))
                    shares[f"step{step}/{name}"] = float(share.max())
        return shares

    def scale(self, capture: dict[str, Array], name: str) -> float:
        """The factor by which a result is off as a whole, in units: a regression weighted by the bounds."""
        exact = self.judge(capture).activation(0, name)
        weight, error = 1 / exact.errors**2, capture[f"step0/{name}"] - exact.value
        return float((weight * error * exact.value).sum() / (weight * exact.value**2).sum() / UNIT)


@pytest.fixture(params=AWKWARD)
def bench(request: pytest.FixtureRequest) -> Bench:
    weights = random_weights()
    AWKWARD[request.param](weights)
    return Bench(weights)


@pytest.fixture(scope="module")
def plain() -> Bench:
    return Bench(random_weights())


def test_every_activation_has_a_finite_bound_and_only_moved_data_has_none(bench: Bench) -> None:
    capture = bench.run()
    judge = bench.judge(capture)
    for step in range(4):
        for name in judge.names:
            found = judge.activation(step, name)
            assert found.value.shape == capture[f"step{step}/{name}"].shape, name
            assert np.isfinite(found.errors).all(), name
            if name.endswith(MOVED):
                assert not found.errors.any(), name
            else:
                assert ((found.errors > 0) | (found.value == 0)).all(), name


@pytest.mark.parametrize("kind", CORRECT)
def test_a_correct_implementation_stays_within_its_bounds(bench: Bench, kind: str) -> None:
    shares = bench.used(bench.run(**CORRECT[kind]))
    assert {name: share for name, share in shares.items() if not share < 0.75} == {}


def _half(weight: Array) -> Array:
    return weight.astype(np.float16).astype(np.float32)


def _one_off(weight: Array) -> Array:
    """One weight by 1 %: the largest, in the last column of a matrix."""
    changed = weight.copy()
    column = changed if changed.ndim == 1 else changed[:, -1]
    column[np.abs(column).argmax()] *= np.float32(1.01)
    return changed


MATRICES = {
    "h.1.attn.c_attn.weight": "h.1.attn.v",
    "h.0.attn.c_proj.weight": "h.0.attn.out",
    "h.1.mlp.c_fc.weight": "h.1.mlp.fc",
    "h.0.mlp.c_proj.weight": "h.0.mlp.out",
}
NORMS = {"h.0.ln_1.weight": "h.0.ln_1", "h.1.ln_2.weight": "h.1.ln_2", "ln_f.weight": "ln_f"}
HEAD = {"wte.weight": "logits"}


@pytest.mark.parametrize(
    ("end", "bug"),
    [
        ("ln_1", {"epsilon": 1e-6}),
        ("ln_1.normalized", {"epsilon": 1e-6}),
        ("ln_2", {"norm": unbiased}),
        ("mlp.act", {"activation": by_erf}),
        ("attn.scores", {"scale": np.float32(0.353515625)}),  # 1/√8 rounded to bf16
        ("attn.probs", {"half_softmax": True}),
        ("probs.t1", {"half_softmax": True}),
    ],
)
def test_a_bug_in_an_operation_exceeds_its_bound_and_no_other(plain: Bench, end: str, bug: dict[str, object]) -> None:
    shares = plain.used(plain.run(**bug))
    assert max(share for name, share in shares.items() if name.endswith(end)) > 5
    if end == "mlp.act":
        assert all(share < 0.75 for name, share in shares.items() if not name.endswith(end))


@pytest.mark.parametrize(("name", "end"), (MATRICES | NORMS | HEAD).items())
@pytest.mark.parametrize("bug", [_half, _one_off])
def test_a_bug_in_a_weight_exceeds_the_bound(plain: Bench, name: str, end: str, bug: Callable[[Array], Array]) -> None:
    capture = plain.run(weights=plain.weights | {name: bug(plain.weights[name])})
    assert max(plain.used(capture, end).values()) > 5


@pytest.mark.parametrize(("name", "end"), (MATRICES | NORMS | HEAD).items())
def test_weights_off_as_a_whole_show_as_a_scale(plain: Bench, name: str, end: str) -> None:
    """2·10⁻⁶ is 34 units. Correct results have less than 2; norms less than 6, as each row shares its rounding."""
    allowed = 6 if end in NORMS.values() else 2
    assert abs(plain.scale(plain.run(), end)) < allowed
    changed = plain.weights | {name: (plain.weights[name] * np.float64(1.000002)).astype(np.float32)}
    assert plain.scale(plain.run(weights=changed), end) > 20


@pytest.mark.parametrize("kind", CORRECT)
def test_what_was_not_observed_is_computed_with_the_errors_it_carries(bench: Bench, kind: str) -> None:
    """Blocks without their inside: the bound of a composite is wider than that of its last operation, and holds."""
    capture = bench.run(**CORRECT[kind])
    shown = ("embd", "mid", ".out", "cached_k", "cached_v", "token_ids", "logits")
    seen = {name: value for name, value in capture.items() if name.endswith(shown)}
    whole, parts = bench.judge(seen), bench.judge(capture)
    for step in range(4):
        for name in ("h.0.attn.out", "h.1.mlp.out", "h.0.mid", "logits"):
            exact, found = whole.activation(step, name), capture[f"step{step}/{name}"]
            assert (np.abs(found - exact.value) <= 0.75 * exact.allowed).all(), name
        for name in ("h.1.mlp.out", "logits"):
            assert (whole.activation(step, name).errors > parts.activation(step, name).errors).all(), name
