"""Correct f32 implementations stay within the magnitudes, and bugs do not."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import distance, make_case, random_weights, write_config
from safetensors.numpy import save_file
from variants import CORRECT, Variant, by_erf, unbiased

from trialplate_reference import Session, open_session
from trialplate_reference.activations import magnitude_name
from trialplate_reference.arrays import Array
from trialplate_reference.case import Case
from trialplate_reference.config import ModelConfig
from trialplate_reference.magnitude import UNIT
from trialplate_reference.replay import replay

CONFIDENCE = math.sqrt(2 * math.log(2 * 1e6 / 1e-9) / 3)
Weights = dict[str, Array]
Sessions = Callable[[str, str], Session]


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


AWKWARD = {
    "plain": lambda _: None,
    "outlier channel": _outlier,
    "saturated softmax": _saturated,
    "tiny variance": _tiny_variance,
    "norm weights": _norm_weights,
}


@dataclasses.dataclass
class Bench:
    """A model, the f32 capture whose activations are the inputs of every replay, and the oracle's results on them."""

    model: Path
    config: ModelConfig
    weights: Weights
    given: dict[str, Array]
    oracle: dict[str, Array]

    def variant(self, **changes: object) -> dict[str, Array]:
        changes = {"weights": self.weights, "config": self.config} | changes
        case = Case.parse(make_case(), self.config)
        with np.errstate(over="ignore", under="ignore"):
            operators = Variant(**changes)  # type: ignore[arg-type]
            return replay(operators, self.config, case, self.given, np.float32, lambda array: array)

    def used(self, found: dict[str, Array]) -> dict[str, float]:
        """The share of its bound that the worst element of each activation uses."""
        shares = {}
        for name, exact in self.oracle.items():
            if (bound := self.oracle.get(magnitude_name(name))) is not None:
                error = np.abs(found[name].astype(np.float64) - exact)
                shares[name] = float(np.divide(error, UNIT * bound, where=error > 0, out=np.zeros_like(error)).max())
        return shares

    def worst(self, found: dict[str, Array], end: str) -> float:
        return max(share for name, share in self.used(found).items() if name.endswith(end) and "whole/" not in name)

    def scale(self, found: dict[str, Array], name: str) -> float:
        """The factor by which a result is off as a whole, in units: a regression weighted by the bounds."""
        exact, bound = self.oracle[name], self.oracle[magnitude_name(name)]
        weight = 1 / bound**2
        return float((weight * (found[name] - exact) * exact).sum() / (weight * exact * exact).sum() / UNIT)


def _bench(path: Path, awkward: str) -> Bench:
    write_config(path)
    config = ModelConfig.read(path)
    weights = random_weights(config)
    AWKWARD[awkward](weights)
    save_file(weights, path / "model.safetensors")
    given = open_session("torch", "f32", str(path), 1).run(make_case())
    oracle = open_session("torch", "f64", str(path), 1).replay(make_case(), given, CONFIDENCE)
    return Bench(path, config, weights, given, oracle)


@pytest.fixture(scope="module", params=AWKWARD)
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return _bench(tmp_path_factory.mktemp("model"), request.param)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return _bench(tmp_path_factory.mktemp("model"), "plain")


def test_every_float_activation_has_a_finite_magnitude_of_its_shape(bench: Bench) -> None:
    for name, exact in bench.oracle.items():
        if "/magnitude/" in name:
            continue
        bound = bench.oracle.get(magnitude_name(name))
        if name.endswith((".mask", "/token")):
            assert bound is None
        else:
            assert bound is not None and (bound.shape, bound.dtype) == (exact.shape, np.float32), name
            assert bound.flags.c_contiguous and np.isfinite(bound).all() and (bound >= 0).all(), name


def test_moved_data_and_masked_probabilities_are_exact(bench: Bench) -> None:
    for name, exact in bench.oracle.items():
        if name.endswith(("cached_k", "cached_v", "logits.last")) and "/magnitude/" not in name:
            assert not bench.oracle[magnitude_name(name)].any()
        if name.endswith(".probs") and "/magnitude/" not in name:
            future = np.isneginf(bench.oracle[name.replace(".probs", ".mask")])[:, None]
            assert np.array_equal(bench.oracle[magnitude_name(name)] == 0, np.broadcast_to(future, exact.shape))


@pytest.mark.parametrize("kind", CORRECT)
def test_a_correct_variant_stays_within_its_bounds(bench: Bench, kind: str) -> None:
    shares = bench.used(bench.variant(**CORRECT[kind]))
    assert {name: share for name, share in shares.items() if not share < 0.75} == {}


def test_torch_stays_within_half_of_its_bounds(bench: Bench) -> None:
    shares = bench.used(open_session("torch", "f32", str(bench.model), 1).replay(make_case(), bench.given, None))
    assert {name: share for name, share in shares.items() if not share < 0.5} == {}


def test_the_oracle_changes_no_value(plain: Bench) -> None:
    replayed = open_session("torch", "f64", str(plain.model), 1).replay(make_case(), plain.given, None)
    assert all(np.array_equal(value, plain.oracle[name]) for name, value in replayed.items())


def test_tinygrad_stays_within_half_of_torchs_bounds_and_gives_the_same(session: Sessions) -> None:
    given = session("torch", "f32").run(make_case())
    oracle = session("torch", "f64").replay(make_case(), given, CONFIDENCE)
    tinygrad = session("tinygrad", "f64").replay(make_case(), given, CONFIDENCE)
    assert tinygrad.keys() == oracle.keys()
    for name in oracle:
        if "/magnitude/" in name:
            assert distance(tinygrad[name], oracle[name]) <= 1e-5, name
    bench = Bench(Path(), ModelConfig.read(session("torch", "f32").model), {}, given, oracle)  # type: ignore[attr-defined]
    shares = bench.used(session("tinygrad", "f32").replay(make_case(), given, None))
    assert {name: share for name, share in shares.items() if not share < 0.5} == {}


@pytest.mark.parametrize("implementation", ["torch", "tinygrad"])
def test_magnitudes_need_an_oracle(session: Sessions, implementation: str) -> None:
    given = session("torch", "f32").run(make_case())
    with pytest.raises(ValueError, match=f"f64; this session of {implementation} is f32"):
        session(implementation, "f32").replay(make_case(), given, CONFIDENCE)


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
def test_a_bug_in_an_operation_exceeds_the_bound(plain: Bench, end: str, bug: dict[str, object]) -> None:
    assert plain.worst(plain.variant(**bug), end) > 5


@pytest.mark.parametrize(("name", "end"), (MATRICES | NORMS | HEAD).items())
@pytest.mark.parametrize("bug", [_half, _one_off])
def test_a_bug_in_a_weight_exceeds_the_bound(plain: Bench, name: str, end: str, bug: Callable[[Array], Array]) -> None:
    changed = plain.weights | {name: bug(plain.weights[name])}
    assert plain.worst(plain.variant(weights=changed), end) > 5


@pytest.mark.parametrize(("name", "end"), (MATRICES | NORMS | HEAD).items())
def test_weights_off_as_a_whole_show_as_a_scale(plain: Bench, name: str, end: str) -> None:
    """2·10⁻⁶ is 34 units. Correct results have less than 2; norms less than 6, as each row shares its rounding."""
    allowed = 6 if end in NORMS.values() else 2
    activation = f"step0/{end}"
    assert abs(plain.scale(plain.variant(), activation)) < allowed
    changed = plain.weights | {name: (plain.weights[name] * np.float64(1.000002)).astype(np.float32)}
    assert plain.scale(plain.variant(weights=changed), activation) > 20
